"""The rig: Asterisk and SIP callers in containers, for the acceptance tests and the demo.

Everything here needs a Docker engine; docker/with-engine runs a command with one.
"""
