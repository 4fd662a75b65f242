"""How late an event is heard: a connection may hold back what it carries, and the gateway may have been stopped.

A visit that is heard of long after it came is not new: its texts may be too old, and the channel has mostly left by the
watchdog. Asterisk's events carry the time by its own clock, which need not be ours, so the quickest event of the
connection says what "at once" is. An event that is much later than that is either late, or Asterisk's clock was set
back: only its present time can tell, and is to be asked for then.
"""

from datetime import datetime, timedelta

MUCH = 1.0  # seconds; Asterisk says its present time in whole ones
MOST = 86_400.0  # seconds that anything can count as late


class Lateness:
    """Of the events of one connection."""

    def __init__(self) -> None:
        self._least: float | None = None  # between the event's own time and when it was heard, on another clock

    def suspects(self, stamped: datetime, heard: float) -> bool:
        """Whether an event may be late; `heard` in seconds of a clock that nobody sets."""
        took = heard - stamped.timestamp()
        if self._least is None or took < self._least:
            self._least = took
        return took - self._least > MUCH

    def settle(self, stamped: datetime, heard: float, present: datetime | None) -> timedelta:
        """How late a suspected event was, by Asterisk's own present time; nothing where that is not known."""
        late = 0.0 if present is None else present.timestamp() - stamped.timestamp()
        if late <= MUCH:
            self._least = heard - stamped.timestamp()  # its clock was set
            return timedelta()
        return timedelta(seconds=min(late, MOST))
