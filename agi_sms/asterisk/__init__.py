"""The edge towards Asterisk: ARI, AMI, and the one parser of what the dialplan hands over."""
