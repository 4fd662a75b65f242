"""Says when the machine's clock was set, and what that means for messages that wait. It changes nothing itself."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from agi_sms import clock

log = structlog.get_logger(__name__)

EVERY = 5.0  # seconds between two looks
STEP = timedelta(seconds=10)  # a clock that runs fast or slow is not told of
FORWARD = (
    "what is due by the new time is sent now, and what is older than its max_age by it is expired; "
    "if the clock is wrong: set it right, then `agi-sms retry --status expired`"
)
BACK = (
    "new calls go by the new time; what was scheduled by the old one keeps its time, and is later by as much; "
    "`agi-sms history --status scheduled` lists it"
)


def elapsed() -> timedelta:
    """Since the machine was started, its sleep included; nobody can set this one."""
    return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))


class Steps:
    """By how much the clock was set since the last look."""

    def __init__(self, now: datetime, elapsed: timedelta) -> None:
        self._ahead = now - (now.min.replace(tzinfo=now.tzinfo) + elapsed)

    def look(self, now: datetime, elapsed: timedelta) -> timedelta | None:
        """None where it was not, or by less than STEP."""
        before, self._ahead = self._ahead, now - (now.min.replace(tzinfo=now.tzinfo) + elapsed)
        step = self._ahead - before
        return step if abs(step) >= STEP else None


def tell(step: timedelta) -> None:
    """Into the log."""
    seconds = round(step.total_seconds())
    if step > timedelta(0):
        log.warning("the clock was set forward", seconds=seconds, meaning=FORWARD)
    else:
        log.warning("the clock was set back", seconds=seconds, meaning=BACK)


async def watch(
    now: Callable[[], datetime] | None = None,
    elapsed: Callable[[], timedelta] = elapsed,
    every: float = EVERY,
) -> None:
    """Tell of each step in the log, until cancelled."""
    now = now or clock.now
    steps = Steps(now(), elapsed())
    while True:
        await asyncio.sleep(every)
        step = steps.look(now(), elapsed())
        if step is not None:
            tell(step)
