"""Delivery reports as gammu-smsd leaves them in its inbox (deliveryreport = sms, inboxformat = detail).

A report names the recipient, and a reference that smsd writes nowhere beside the message. So it is matched by its
number, and only where there is no doubt: with one message on its way to a number, its reports count; with several,
nothing is said until as many segments are reported as were sent to it, all of them delivered.
"""

import configparser
import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agi_sms import plain_file
from agi_sms.providers import gammu_folders

_SAME = 9  # last digits in which two spellings of one number agree
_DATA = "Status_Report"


class Verdict(enum.Enum):
    """What the network says of one segment, in libgammu's words."""

    DELIVERED = "Delivered"
    FAILED = "Failed"


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A message that asked for reports. `at` is any clock's seconds, the same as a report's."""

    name: gammu_folders.Name
    segments: int
    at: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """One report on one segment."""

    number: str
    verdict: Verdict
    at: float


@dataclass
class _Pool:
    """Messages to one number that lack reports on `open` segments. `spoiled`: one failed, and not all are delivered."""

    names: list[gammu_folders.Name] = field(default_factory=list)
    open: int = 0
    spoiled: bool = False


def matched(sent: Iterable[Sent], reports: Iterable[Report]) -> Iterator[tuple[gammu_folders.Name, Verdict]]:
    """What became of which message, as far as this can be told. Both in any order; the same for the same input."""
    pools: dict[str, _Pool] = {}
    events: list[Sent | Report] = [*sent, *reports]
    for event in sorted(events, key=lambda event: event.at):
        number = event.name.to if isinstance(event, Sent) else event.number
        pool = pools.setdefault(_key(number), _Pool())
        if isinstance(event, Sent):
            pool.names.append(event.name)
            pool.open += event.segments
            continue
        if not pool.names:
            continue
        pool.open -= 1
        if event.verdict is Verdict.FAILED and not pool.spoiled:
            pool.spoiled = True
            if len(pool.names) == 1:
                yield pool.names[0], Verdict.FAILED
        if pool.open <= 0:
            if not pool.spoiled:
                yield from ((name, Verdict.DELIVERED) for name in pool.names)
            del pools[_key(number)]


def read(path: Path) -> Report | None:
    """The report in an inbox file; None where it is a message, or still on its way. Raises OSError."""
    try:
        raw, found = gammu_folders.beginning(path)
    except plain_file.NoFile:
        return None
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=(";",))
    try:
        parser.read_string(raw.decode("utf-8", "replace"))
        section = next((parser[name] for name in parser.sections() if name.startswith("SMSBackup")), None)
        if section is None or section.get("PDU") != _DATA:
            return None
        words = bytes.fromhex(section.get("Text00", "")).decode("utf-16-be")
        return Report(number=section.get("Number", "").strip('"'), verdict=Verdict(words), at=found.st_mtime)
    except (configparser.Error, ValueError):  # somebody's SMS, or a verdict that is none yet
        return None


def _key(number: str) -> str:
    return "".join(c for c in number if c.isdigit())[-_SAME:]
