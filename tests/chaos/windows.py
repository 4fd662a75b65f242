"""When the gateway served calls, and when Asterisk was away. Pure."""

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

RECOVERY = 1.0  # seconds after a silence, in which what was held up comes through


@dataclass(frozen=True, kw_only=True)
class Happened:
    """One disaster as it was, in seconds since 1970. It struck at some moment between `began` and `struck`."""

    name: str
    began: float
    struck: float
    ended: float


@dataclass(frozen=True, kw_only=True)
class Window:
    """From when to when; seconds since 1970."""

    begin: float
    end: float


class Windows:
    """Many that do not overlap."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self._all = sorted(windows, key=lambda one: one.begin)
        self._begins = [one.begin for one in self._all]

    def contain(self, begin: float, end: float) -> bool:
        """Whether one of them has all of this."""
        at = bisect.bisect_right(self._begins, begin) - 1
        return at >= 0 and end <= self._all[at].end

    @property
    def seconds(self) -> float:
        """How long, all together."""
        return sum(one.end - one.begin for one in self._all)


def serving(
    log: Iterable[Mapping[str, Any]], ends: Iterable[float], silences: Iterable[Window], over: float
) -> Windows:
    """When the gateway had its connection to ARI, by its log and the ends of its process, until all was over.

    In a silence it has one that is of no use; neither it nor its calls know.
    """
    turns = [(at, False) for at in ends]
    for event in log:
        if event.get("door") == "ari" and "time" in event:
            at = datetime.fromisoformat(str(event["time"])).timestamp()
            turns.append((at, str(event["event"]).startswith("connected to Asterisk")))
    found: list[Window] = []
    since: float | None = None
    for at, up in sorted([*turns, (over, False)]):
        if since is not None:
            found.append(Window(begin=since, end=at))
        since = at if up else None
    for silence in silences:
        found = [part for one in found for part in _without(one, silence.begin, silence.end + RECOVERY)]
    return Windows(found)


def _without(window: Window, begin: float, end: float) -> list[Window]:
    parts = [
        Window(begin=window.begin, end=min(window.end, begin)),
        Window(begin=max(window.begin, end), end=window.end),
    ]
    return [part for part in parts if part.begin < part.end]
