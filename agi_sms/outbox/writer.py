"""One writer, group commit: whatever waits is executed in one transaction, and answered after its commit."""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from agi_sms import errors
from agi_sms.outbox import database, presence, queries

Item = TypeVar("Item")
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Together = Callable[[sqlite3.Connection, Sequence[Item]], Sequence[T]]  # a result for each item

MOST_URGENT = 200  # admissions in one transaction: their commit is not put off for ever
MOST_TOGETHER = 64  # other work of one kind that is done at once
MOST_BESIDE = 16  # the same where admissions wait for it
MOST_PASSED = 100  # jobs of other kinds that are passed over in looking for such
ALONE = 0.05  # seconds of other work in a transaction of its own
BESIDE = 0.005  # seconds of other work in a transaction that admissions wait for
PAUSE = 0.02  # seconds before a busy database is asked again; SQLite has waited its busy_timeout before that
LAZY = 1.0  # seconds that lazy work waits for a transaction to join


@dataclass(eq=False, kw_only=True)
class Job:
    """One piece of work on an item, and who waits for it. Jobs with the same `together` are done at once."""

    together: Together[Any, Any]
    item: Any
    answer: "asyncio.Future[Any]"
    urgent: bool
    deadline: float  # of the monotonic clock; after it, a busy database is an error
    weight: int = 1  # as many as that are in the item

    @property
    def unwanted(self) -> bool:
        """Nobody waits for it any more. An admission is carried out all the same: the call was real."""
        return not self.urgent and self.answer.cancelled()


@dataclass(eq=False, kw_only=True)
class Done:
    job: Job
    result: Any = None
    error: Exception | None = None

    def tell(self, path: Path) -> None:
        if self.job.answer.done():
            return
        if self.error is None:
            self.job.answer.set_result(self.result)
        else:
            trouble = database.translate(self.error, path)
            if trouble is not self.error:
                trouble.__cause__ = self.error
            self.job.answer.set_exception(trouble)


class Writer:
    """Runs jobs on the one connection that writes. Admissions go first; nothing else may hold it for long."""

    def __init__(self, session: database.Session, path: Path, *, patience: timedelta) -> None:
        self._session = session
        self._path = path
        self._presence = presence.Presence(path)
        self._patience = patience.total_seconds()
        self._urgent: deque[Job] = deque()
        self._results: deque[Job] = deque()
        self._others: deque[Job] = deque()
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="outbox writer")

    def submit(self, work: Work[T], *, urgent: bool = False, lazy: bool = False) -> "asyncio.Future[T]":
        """The future of what `work` returns, resolved after its commit.

        Raises what `work` raises, OutboxBusy when the database was held longer than the patience, OutboxFull.
        `lazy` work joins the next transaction, or makes one after a second.
        """
        return self.join(_one, work, urgent=urgent, lazy=lazy)

    def join(
        self,
        together: Together[Item, T],
        item: Item,
        *,
        urgent: bool = False,
        result: bool = False,
        lazy: bool = False,
        weight: int = 1,
    ) -> "asyncio.Future[T]":
        """The future of this item's result, of work that is done for many items at once; as `submit` otherwise.

        Where it fails for several, it is tried for each alone, so that each has its own fate. A `result` is written
        before other work that waits: receipts that came close behind it then find what they are about.
        """
        if self._closing:
            raise errors.OutboxError("the outbox is closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        deadline = time.monotonic() + self._patience
        (self._urgent if urgent else self._results if result else self._others).append(
            Job(together=together, item=item, answer=answer, urgent=urgent, deadline=deadline, weight=weight)
        )
        if not lazy:
            self._wake.set()
        elif self._timer is None:
            self._timer = loop.call_later(LAZY, self._wake.set)
        return answer

    async def close(self) -> None:
        """Carry out what waits, then end."""
        self._closing = True
        self._wake.set()
        await self._task

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            while self._urgent or self._results or self._others:
                await self._turn()
            if self._closing:
                return

    async def _turn(self) -> None:
        urgent = [self._urgent.popleft() for _ in range(min(len(self._urgent), MOST_URGENT))]
        others = deque(job for job in (*self._results, *self._others) if not job.unwanted)
        self._results.clear()
        self._others.clear()
        try:
            done = await self._session.run(partial(self._execute, urgent, others))
        except Exception as error:
            now, again = time.monotonic(), database.is_busy(error)
            done = [Done(job=job, error=error) for job in (*urgent, *others) if not again or job.deadline <= now]
            self._urgent.extendleft(job for job in reversed(urgent) if again and job.deadline > now)
            others = deque(job for job in others if again and job.deadline > now)
            if again:
                await asyncio.sleep(PAUSE)
        self._others.extendleft(reversed(others))  # before what came meanwhile
        for each in done:
            each.tell(self._path)

    # --- from here on the connection's own thread ---

    def _execute(self, urgent: list[Job], others: deque[Job], raw: sqlite3.Connection) -> list[Done]:
        """One transaction; `others` keeps what there was no time for. Raises where the database is busy or gone."""
        self._presence.check(raw)
        waiting = list(others)
        try:
            return self._transaction(raw, urgent, others)
        except Exception as error:
            if database.is_busy(error):
                others.clear()
                others.extend(waiting)
                raise
        # Something took the whole transaction with it (the disk is full, the file fails): one by one, so that
        # each job has its own fate.
        left = set(others)
        tried = [*urgent, *(job for job in waiting if job not in left)]
        return [self._alone(raw, job) for job in tried]

    def _alone(self, raw: sqlite3.Connection, job: Job) -> Done:
        try:
            return self._transaction(raw, [job], deque())[0]
        except Exception as error:
            return Done(job=job, error=error)

    def _transaction(self, raw: sqlite3.Connection, urgent: list[Job], others: deque[Job]) -> list[Done]:
        raw.execute(queries.load("sqlite")["begin"])
        try:
            done: list[Done] = []
            first = deque(urgent)
            while first:
                done += _carry_out(raw, _next(first, MOST_URGENT))
            until = time.monotonic() + (BESIDE if urgent else ALONE)
            most = MOST_TOGETHER if not urgent else MOST_BESIDE
            begun = False
            while others and (not begun or (time.monotonic() < until and not self._urgent)):
                done += _carry_out(raw, _next(others, most))
                begun = True
            raw.execute("COMMIT")
        except BaseException:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            raise
        return done


def _next(waiting: deque[Job], most: int) -> list[Job]:
    """The first that waits, and with it others that are done at once with it, up to so many."""
    first = waiting.popleft()
    found, passed, left = [first], deque[Job](), most - first.weight
    if first.together is not _one:
        while waiting and left > 0 and len(passed) < MOST_PASSED:
            job = waiting.popleft()
            if job.together == first.together and job.weight <= left:
                found.append(job)
                left -= job.weight
            else:
                passed.append(job)
        waiting.extendleft(reversed(passed))
    return found


def _one(raw: sqlite3.Connection, items: Sequence[Work[Any]]) -> list[Any]:
    """What is done for nothing else at once."""
    return [work(raw) for work in items]


def _carry_out(raw: sqlite3.Connection, jobs: list[Job]) -> list[Done]:
    """In a savepoint: what fails takes back its own rows and nobody else's. Several that fail are tried one by one."""
    raw.execute("SAVEPOINT job")
    try:
        results = jobs[0].together(raw, [job.item for job in jobs])
        done = [Done(job=job, result=result) for job, result in zip(jobs, results, strict=True)]
    except Exception as error:
        if not raw.in_transaction:  # SQLite gave up the whole transaction
            raise
        raw.execute("ROLLBACK TO job")
        done = [Done(job=jobs[0], error=error)] if len(jobs) == 1 else []
    raw.execute("RELEASE job")
    return done or [one for job in jobs for one in _carry_out(raw, [job])]
