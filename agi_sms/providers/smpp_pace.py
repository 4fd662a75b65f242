"""How fast one SMSC is asked: its rate, slower after it said "too many", faster again in time. Pure.

Times are seconds of a clock that never goes back, handed in.
"""

import collections

SLOWEST = 0.2  # submits a second
_STEADY = 5.0  # seconds at the lower rate, before it rises
_DOUBLING = 10.0  # seconds in which it doubles then
_AMPLE = 8.0  # times the lower rate: without a limit of the settings, there is none any more
_COUNTED = 1000  # submits of the last second that are counted at most


class Pace:
    """Gives each submit its time. `rate` is the most in a second, None for no limit of ours."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._free_at = 0.0
        self._cut_at = 0.0
        self._cut_to: float | None = None  # the rate at that time, None where it is not lowered
        self._recent: collections.deque[float] = collections.deque(maxlen=_COUNTED)

    def rate(self, now: float) -> float | None:
        """How many may go in a second now."""
        if self._cut_to is None:
            return self._rate
        risen = self._cut_to * 2 ** min(max(0.0, now - self._cut_at - _STEADY) / _DOUBLING, 60.0)
        if risen < (self._rate if self._rate is not None else self._cut_to * _AMPLE):
            return risen
        self._cut_to = None
        return self._rate

    def next(self, now: float) -> float:
        """When the next one could go."""
        return max(now, self._free_at)

    def take(self, now: float) -> float:
        """When this one goes; its place is taken."""
        at, rate = self.next(now), self.rate(now)
        self._free_at = at if rate is None else at + 1 / rate
        self._recent.append(at)
        return at

    def throttled(self, now: float, sent_at: float) -> None:
        """The SMSC refused what was sent at that time because it was too much: half the rate from now on.

        What was on its way when the rate was lowered says nothing new.
        """
        if self._cut_to is not None and sent_at <= self._cut_at:
            return
        before = self.rate(now)
        if before is None:
            before = float(max(1, sum(now - 1.0 < at <= now for at in self._recent)))
        self._cut_to, self._cut_at = max(min(SLOWEST, before), before / 2), now
        self._free_at = max(self._free_at, now + 1 / self._cut_to)
