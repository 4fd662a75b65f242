"""SMS gateway node for Asterisk call flows."""

__version__ = "0.1.0"
