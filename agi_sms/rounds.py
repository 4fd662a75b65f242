"""The life of a worker on the outbox: it claims, works in tasks, and rests until woken or something is due."""

import abc
import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from agi_sms import errors, metrics

log = structlog.get_logger(__name__)
T = TypeVar("T")

LONGEST_SLEEP = 5.0  # seconds: a clock that jumps does little harm
GRACE = timedelta(seconds=5)  # beyond drain's patience, for results that are being written down


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a worker says in the log; `part` is its name among the counted faults."""

    part: str
    pauses: str
    goes_on: str
    bug: str


class Worker(abc.ABC):
    """Claims and works until drained."""

    def __init__(self, *, words: Words, clock: Callable[[], datetime]) -> None:
        self._words = words
        self._clock = clock
        self._woken = asyncio.Event()
        self._rests_until: datetime | None = None  # None: there is a round, which may have looked already
        self._under_way: set[asyncio.Task[None]] = set()
        self._concluding: set[asyncio.Task[Any]] = set()
        self._draining = False

    def wake(self, at: datetime | None = None) -> None:
        """There may be something to do, now or `at` that time: before it nothing is looked for on its account."""
        if at is None or self._rests_until is None or at < self._rests_until:
            self._woken.set()

    async def run(self) -> None:
        """Work until `drain` is called or the task is cancelled."""
        pause = 0.0
        while not self._draining:
            self._woken.clear()
            try:
                until = await self._round()
            except errors.OutboxError as error:
                if not pause:
                    log.warning(self._words.pauses, error=str(error))
                pause = min(max(pause * 2, 0.2), LONGEST_SLEEP)
                await asyncio.sleep(pause)
                continue
            if pause:
                log.info(self._words.goes_on)
            pause = 0.0
            await self._rest(until)

    @abc.abstractmethod
    async def _round(self) -> datetime | None:
        """Claim what is due and `_start` the work on it; until when to rest, None: until woken.

        OutboxError makes a pause.
        """

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _rest(self, until: datetime | None) -> None:
        """Until something new came, some work has ended, or the time has come."""
        seconds = LONGEST_SLEEP
        if until is not None:
            seconds = min(max((until - self._clock()).total_seconds(), 0.0), LONGEST_SLEEP)
        self._rests_until = self._clock() + timedelta(seconds=seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._rests_until = None

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._concluding.discard(task)
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(self._words.bug, exc_info=error)
            metrics.fault(self._words.part)

    async def _persist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write something down however long the outbox needs: it must not be lost."""
        pause = 0.1
        while True:
            try:
                return await write()
            except errors.OutboxRefused:
                raise  # it would be refused for ever, and its place kept from others
            except errors.OutboxError as error:
                if pause >= LONGEST_SLEEP:
                    log.error("the outbox takes nothing; trying on", error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_SLEEP)

    async def _conclude(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write down what this task came to; drain's patience is longer for it."""
        task = asyncio.current_task()
        if task is not None:
            self._concluding.add(task)
        return await self._persist(write)

    async def drain(self, patience: timedelta) -> int:
        """Claim no more, let running work end; how much did not, and will be looked at after the next start.

        Results that are being written down when the patience ends have GRACE more.
        """
        self._draining = True
        self._woken.set()
        left = await _wait(self._under_way, patience)
        given_up = left - self._concluding
        for task in given_up:
            task.cancel()
        left = await _wait(left, GRACE)
        for task in left:
            task.cancel()
        await _wait(left - given_up, GRACE)
        return len(given_up | left)


async def _wait(tasks: "set[asyncio.Task[None]]", patience: timedelta) -> "set[asyncio.Task[None]]":
    """Those that did not end in time."""
    if not tasks:
        return set()
    return (await asyncio.wait(tuple(tasks), timeout=patience.total_seconds()))[1]
