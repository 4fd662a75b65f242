"""What can be broken. Expected trouble is a value (`message.Outcome`, a skipped draft), not an exception.

AgiSmsError
├── ConfigError          the configuration has mistakes; carries them all
├── ArgumentError        what the dialplan handed over cannot be read
├── NumberError          a string is no phone number under the rules given
├── TextError            a template does not compile or does not render
├── OutboxError          the database did not do it
│   ├── OutboxBusy       another process holds it
│   ├── OutboxFull       the disk has no room
│   ├── OutboxRefused    this one record cannot be stored, others can
│   ├── OutboxForeign    the file is not ours, damaged, or from a newer version
│   └── OutboxOwned      another gateway runs on this database
├── ReceiptError         what a provider reported cannot be read
│   └── ReceiptForged    its signature is not good
├── SpoolError           the emergency file did not take the record
│   └── SpoolFull
└── PbxError             Asterisk did not do it
    ├── PbxUnreachable
    └── PbxRefused       wrong credentials, or a right is missing
"""

import inspect


class AgiSmsError(Exception):
    """Something in agi-sms is broken."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(self.__doc__ or type(self).__name__).splitlines()[0])


class ConfigError(AgiSmsError):
    """The configuration has mistakes."""

    def __init__(self, mistakes: "tuple[str, ...]") -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class ArgumentError(AgiSmsError):
    """The arguments from the dialplan cannot be read."""


class NumberError(AgiSmsError):
    """This is not a phone number."""


class TextError(AgiSmsError):
    """The text template has a mistake."""


class OutboxError(AgiSmsError):
    """The outbox database did not do what was asked."""


class OutboxBusy(OutboxError):
    """Another process holds the outbox database."""


class OutboxFull(OutboxError):
    """The disk that holds the outbox database is full."""


class OutboxRefused(OutboxError):
    """The outbox cannot store this record."""


class OutboxForeign(OutboxError):
    """The outbox database is damaged, not ours, or written by a newer version."""


class OutboxOwned(OutboxError):
    """Another gateway already runs on this outbox database."""


class ReceiptError(AgiSmsError):
    """What the provider reported cannot be read."""


class ReceiptForged(ReceiptError):
    """The signature of what the provider reported is not good."""


class SpoolError(AgiSmsError):
    """The emergency spool did not take the record."""


class SpoolFull(SpoolError):
    """The emergency spool is full."""


class PbxError(AgiSmsError):
    """Asterisk did not do what was asked."""


class PbxUnreachable(PbxError):
    """Asterisk cannot be reached."""


class PbxRefused(PbxError):
    """Asterisk refused: the credentials are wrong, or a right is missing."""
