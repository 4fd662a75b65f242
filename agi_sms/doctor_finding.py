"""One thing that `agi-sms doctor` tells: what is right, or what is not and what mends it. Pure."""

import enum
from dataclasses import dataclass
from datetime import timedelta

from agi_sms import durations

MOST_NAMED = 3  # of several things that are wrong in one way


class Severity(enum.StrEnum):
    """How bad it is. UNKNOWN cannot be told, and says what would let it."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`id` stays the same from version to version; `about` is which PBX, provider or node it is of, where there are
    several. `area` is under which heading it stands."""

    id: str
    severity: Severity
    area: str
    what: str
    mend: str = ""
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Area:
    """Makes the findings of one heading."""

    name: str
    about: str = ""

    def ok(self, key: str, what: str) -> Finding:
        """It is right."""
        return Finding(id=key, severity=Severity.OK, area=self.name, what=what, about=self.about)

    def unknown(self, key: str, what: str, mend: str) -> Finding:
        """It cannot be told; `mend` is what would let it."""
        return Finding(id=key, severity=Severity.UNKNOWN, area=self.name, what=what, mend=mend, about=self.about)

    def warning(self, key: str, what: str, mend: str) -> Finding:
        """It works, and not as it should."""
        return Finding(id=key, severity=Severity.WARNING, area=self.name, what=what, mend=mend, about=self.about)

    def error(self, key: str, what: str, mend: str) -> Finding:
        """It does not work."""
        return Finding(id=key, severity=Severity.ERROR, area=self.name, what=what, mend=mend, about=self.about)


def named(names: "list[str] | tuple[str, ...]", most: int = MOST_NAMED) -> str:
    """The first few, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def span(seconds: float) -> str:
    """A time in few characters: `0.4ms`, `35ms`, `5s`, `2h5m`."""
    if seconds >= 1:
        return durations.show(timedelta(seconds=round(seconds)))
    return f"{seconds * 1000:.{int(seconds < 0.01)}f}ms"
