"""What both connections to Asterisk share: when to try again, and saying once that one is lost or back."""

import asyncio
import enum
import random
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from agi_sms import metrics

FIRST_PAUSE = 0.2  # seconds
LONGEST_PAUSE = 5.0
REFUSED_PAUSE = 10.0
WATCH_EVERY = 0.5

log = structlog.get_logger(__name__)


class State(enum.StrEnum):
    """How a connection to Asterisk stands."""

    CONNECTING = "connecting"
    SERVING = "serving"
    STANDBY = "standby"  # another connection has taken the application
    REFUSED = "refused"  # wrong credentials, or a right is missing


class Link:
    """The state of one connection, told to the log at its turns only."""

    def __init__(self, pbx: str, door: str) -> None:
        self.state = State.CONNECTING
        self._log = log.bind(pbx=pbx, door=door)
        self._labels = (pbx, door)
        self._was_up = False
        self._lost_at: float | None = None
        self._tries = 0

    def up(self) -> None:
        """The connection serves."""
        if self._lost_at is None:
            self._log.info("connected to Asterisk")
        else:
            away = round(time.monotonic() - self._lost_at, 1)
            self._log.info("connected to Asterisk again", away_seconds=away, tries=self._tries)
        metrics.CONNECTS.labels(*self._labels).inc()
        self.state, self._was_up, self._lost_at, self._tries = State.SERVING, True, None, 0

    def down(self, reason: object) -> float:
        """The connection is lost, or could not be made; how many seconds to wait before the next try."""
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            event = "connection to Asterisk lost" if self._was_up else "Asterisk cannot be reached"
            self._log.warning(event, reason=str(reason)[:300])
            if self._was_up:
                metrics.LOSSES.labels(*self._labels).inc()
        self.state = State.CONNECTING
        self._tries += 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._tries - 1, 10))
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads gateways, guards nothing

    def refused(self, reason: object, hint: str) -> float:
        """Asterisk does not let us in; how many seconds to wait before the next try."""
        if self.state is not State.REFUSED:
            self._log.error("Asterisk refuses us", reason=str(reason)[:300], hint=hint)
        if self._lost_at is None:
            self._lost_at = time.monotonic()
        self.state = State.REFUSED
        self._tries += 1
        return REFUSED_PAUSE


class Door(Protocol):
    """What keeps a connection to Asterisk."""

    @property
    def state(self) -> State:
        """How it stands."""


class Watch:
    """Notices the turns of several connections."""

    def __init__(self, tell: Callable[[], None]) -> None:
        """`tell` is called after each."""
        self._tell = tell
        self._doors: dict[str, Door] = {}

    def named(self, name: str, door: Door) -> str:
        """Watch this one too; returns the name."""
        self._doors[name] = door
        return name

    @property
    def states(self) -> dict[str, str]:
        """How each stands."""
        return {name: str(door.state) for name, door in self._doors.items()}

    async def run(self) -> None:
        """Until cancelled."""
        told: dict[str, str] = {}
        while True:
            if (found := self.states) != told:
                told = found
                self._tell()
            await asyncio.sleep(WATCH_EVERY)
