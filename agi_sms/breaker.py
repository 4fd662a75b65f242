"""When to leave somebody alone who answers nobody, and when to ask again. Pure: the time is handed in."""

from datetime import datetime, timedelta


class Breaker:
    """Breaks after so many faults in a row; after the pause it lets one probe through at a time.

    `count` is the number of faults in a row, `until` when the next probe may go, None while it is whole. `after`,
    `pause` and `patience` (how long a probe may take) may be changed at any time.
    """

    def __init__(self, *, after: int, pause: timedelta) -> None:
        self.after = after
        self.pause = pause
        self.patience = timedelta(0)
        self.count = 0
        self._since: datetime | None = None  # when it broke, or the last probe failed
        self._probe: datetime | None = None  # when the probe that is under way went

    @property
    def until(self) -> datetime | None:
        return None if self._since is None else self._since + self.pause

    def left_alone(self, now: datetime) -> datetime | None:
        """Until when nobody may ask; None where it is whole, or a probe may go."""
        return self.until if self._since is not None and _within(self._since, now, self.pause) else None

    def asks(self, now: datetime) -> bool:
        """Whether this one may ask. Who may has to tell of a fault or a success, or is forgotten after the pause.

        Where a probe may take longer than a pause (`patience`), it is waited for so long.
        """
        if self._since is None:
            return True
        probed = self._probe is not None and _within(self._probe, now, max(self.pause, self.patience))
        if probed or _within(self._since, now, self.pause):
            return False
        self._probe = now
        return True

    def forget(self) -> None:
        """Who asked last has learned nothing; where it was the probe, another may go."""
        self._probe = None

    def fault(self, now: datetime) -> bool:
        """Nobody answered; True where this broke it."""
        self.count += 1
        if self._since is None:
            if self.count < self.after:
                return False
            self._since = now
            return True
        if self._probe is not None:
            self._since, self._probe = now, None
        return False

    def success(self) -> bool:
        """Somebody answered; True where it had been broken."""
        was = self._since is not None
        self.count = 0
        self._since = self._probe = None
        return was


def _within(since: datetime, now: datetime, span: timedelta) -> bool:
    return since <= now < since + span  # a clock that was turned back makes nothing longer
