"""`python -m agi_sms` is the command `agi-sms`."""

from agi_sms import cli

cli.main()
