"""The outbox in one SQLite file: every commit synced, one writer with group commit, reads beside it."""

import asyncio
import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Self, TypeVar

import structlog

from agi_sms import errors, message, node, ports
from agi_sms.outbox import admission, claims, content, database, history, many, queries, receipts, rows, work
from agi_sms.outbox.receipt_rows import Reported
from agi_sms.outbox.writer import Work, Writer
from agi_sms.rates import Rate

log = structlog.get_logger(__name__)

BUSY = timedelta(seconds=5)
PATIENCE = timedelta(seconds=30)
SQL = queries.load("sqlite")
owner_pid = database.owner_pid
_NO_RATES: Mapping[str, Rate] = MappingProxyType({})
_NO_ROUTES: Mapping[str, Sequence[str]] = MappingProxyType({})
T = TypeVar("T")


async def migrate(path: Path) -> None:
    """Make the database, or bring it up to date; harmless where nothing is to be done. Raises OutboxError."""
    path = Path(path)
    database.prepare(path)
    session = await _connect(path, BUSY, PATIENCE)
    try:
        await database.set_up(session, path, PATIENCE)
    finally:
        await session.close()


async def _connect(path: Path, busy: timedelta, patience: timedelta, *, reads_only: bool = False) -> database.Session:
    return await database.patiently(
        lambda: database.Session.open(path, busy=busy, reads_only=reads_only), path, patience
    )


class SqliteOutbox:
    """`ports.Outbox` on SQLite. `SqliteOutbox.open()` makes one; what waits is lost without `close()`."""

    def __init__(
        self,
        *,
        path: Path,
        clock: Callable[[], datetime],
        writing: database.Session,
        reading: database.Session,
        secret: bytes,
        lock: int | None,
        patience: timedelta,
    ) -> None:
        self.path = path
        self._clock = clock
        self._writing = writing
        self._reading = reading
        self._keys = rows.Keys(secret)
        self._lock = lock
        self._run = secrets.token_hex(8)
        self._writer = Writer(writing, path, patience=patience)
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Callable[[], datetime],
        owner: bool = False,
        busy_timeout: timedelta = BUSY,
        patience: timedelta = PATIENCE,
    ) -> Self:
        """Open the database, making or migrating it.

        `clock` gives aware UTC times, also from other threads. `owner` is for the one gateway that sends
        (OutboxOwned where there is one). Where another process holds the database, each write waits
        `busy_timeout` at a time, `patience` in all. Raises OutboxError and below, each saying what to do.
        """
        path = Path(path)
        async with contextlib.AsyncExitStack() as undo:
            database.prepare(path)
            lock = await database.own(path) if owner else None
            if lock is not None:
                undo.callback(os.close, lock)
            writing = await _connect(path, busy_timeout, patience)
            undo.push_async_callback(writing.close)
            secret = await database.set_up(writing, path, patience)
            reading = await _connect(path, busy_timeout, patience, reads_only=True)
            undo.pop_all()
        return cls(
            path=path,
            clock=clock,
            writing=writing,
            reading=reading,
            secret=secret,
            lock=lock,
            patience=patience,
        )

    # --- admission ---

    async def admit(
        self, activation: ports.Activation, drafts: Sequence[message.Draft], limits: Sequence[node.Limit] = ()
    ) -> ports.Admission:
        """Durable on return. The same (pbx, visit) again stores nothing and gives the first answer again.

        One that is cancelled is carried out all the same. OutboxRefused where a value cannot be stored.
        """
        wanted = admission.Wanted(activation=activation, drafts=tuple(drafts), limits=tuple(limits))
        return await self._writer.join(self._admit, wanted, urgent=True)

    def _admit(self, raw: sqlite3.Connection, wanted: Sequence[admission.Wanted]) -> Sequence[ports.Admission]:
        return admission.admit(raw, keys=self._keys, now=self._clock(), wanted=wanted)

    async def returned(self, activation_id: str, at: datetime) -> None:
        """Written with the next transaction, within about a second."""
        facts = {"activation_id": activation_id, "at": rows.to_ms(at)}
        self._writer.join(_returned, facts, lazy=True).add_done_callback(_noted)

    # --- delivery ---

    async def recover(self) -> ports.Recovery:
        rescheduled = uncertain = 0
        for part in (work.recover, content.recover):
            size = work.CHUNK
            while size >= work.CHUNK:
                found = await self._writer.submit(partial(part, now=self._clock(), run=self._run))
                rescheduled += found.rescheduled
                uncertain += found.uncertain
                size = found.rescheduled + found.uncertain
        return ports.Recovery(rescheduled=rescheduled, uncertain=uncertain)

    async def claim(
        self,
        *,
        free: Mapping[str, int],
        known: Collection[str] | None = None,
        rates: Mapping[str, Rate] = _NO_RATES,
        lease: timedelta,
    ) -> ports.ClaimRound:
        """About `work.CHUNK` at once; where there are more, `next_at` is past."""
        places, names, most = dict(free), frozenset(free if known is None else known), dict(rates)
        while True:
            found = await self._claim(
                lambda raw: claims.claim(
                    raw, now=self._clock(), run=self._run, free=places, known=names, rates=most, lease=lease
                ),
                lambda found: self._undo(found.round.leases),
            )
            if not found.more:
                return found.round

    def _undo(self, leases: Iterable[ports.Lease]) -> Iterable[Work[bool]]:
        now = self._clock()
        return [partial(work.settle, now=now, lease=lease, decision=lease.undone) for lease in leases]

    async def _claim(self, claiming: Work[T], undo: Callable[[T], Iterable[Work[bool]]]) -> T:
        answer = self._writer.submit(claiming)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            answer.add_done_callback(partial(self._give_back, undo))  # nobody will work on these leases
            raise

    def _give_back(self, undo: Callable[[T], Iterable[Work[bool]]], answer: "asyncio.Future[T]") -> None:
        if answer.cancelled() or answer.exception() is not None:
            return
        for undoing in undo(answer.result()):
            with contextlib.suppress(errors.OutboxError):  # closing: recover() finds it
                self._writer.submit(undoing).add_done_callback(_seen)

    async def begin(
        self,
        lease: ports.Lease,
        provider: str,
        *,
        cost: message.Cost | None = None,
        receipt_due_at: datetime | None = None,
    ) -> str | None:
        wanted = work.Beginning(lease=lease, provider=provider, cost=cost, receipt_due_at=receipt_due_at)
        return await self._writer.join(self._begin, wanted)

    def _begin(self, raw: sqlite3.Connection, several: Sequence[work.Beginning]) -> Sequence[str | None]:
        return work.begin(raw, now=self._clock(), several=several)

    async def finish(
        self,
        lease: ports.Lease,
        attempt_id: str,
        outcome: message.Outcome,
        decision: ports.Decision,
        *,
        receipt_due_at: datetime | None = None,
        cost: message.Cost | None = None,
    ) -> message.Status | None:
        ending = work.Ending(
            lease=lease,
            attempt_id=attempt_id,
            outcome=outcome,
            decision=decision,
            receipt_due_at=receipt_due_at,
            cost=cost,
        )
        return await self._writer.join(self._finish, ending, result=True)

    def _finish(self, raw: sqlite3.Connection, several: Sequence[work.Ending]) -> Sequence[message.Status | None]:
        return work.finish(raw, now=self._clock(), several=several)

    async def settle(self, lease: ports.Lease, decision: ports.Decision) -> bool:
        return await self._writer.submit(
            lambda raw: work.settle(raw, now=self._clock(), lease=lease, decision=decision)
        )

    # --- receipts ---

    async def receive(self, provider: str, receipts: Sequence[ports.Receipt]) -> ports.Received:
        """Fifty in one transaction, so that admissions do not wait. What is nobody's is kept for a week."""
        found = await asyncio.gather(*(self._receive(provider, part) for part in _parts(receipts)))
        return ports.Received(
            new=sum(part.new for part in found),
            known=sum(part.known for part in found),
            unmatched=sum(part.unmatched for part in found),
            settled=tuple(one for part in found for one in part.settled),
        )

    async def _receive(self, provider: str, part: Sequence[ports.Receipt]) -> ports.Received:
        return await self._writer.join(
            self._take_receipts, Reported(provider=provider, receipts=part), weight=len(part)
        )

    def _take_receipts(self, raw: sqlite3.Connection, several: Sequence[Reported]) -> Sequence[ports.Received]:
        return receipts.receive(raw, keys=self._keys, now=self._clock(), several=several)

    async def awaited(self, provider: str, *, most: int, after: ports.Awaited | None = None) -> Sequence[ports.Awaited]:
        return await self._read(
            lambda raw: receipts.awaited(raw, now=self._clock(), provider=provider, most=most, after=after)
        )

    # --- content ---

    async def claim_content(
        self, *, hosts: Mapping[str, str], free: Mapping[str, int], lease: timedelta
    ) -> ports.JobRound:
        """About `work.CHUNK` at once; where there are more, `next_at` is past."""
        hosts, free = dict(hosts), dict(free)
        while True:
            found = await self._claim(
                lambda raw: content.claim(raw, now=self._clock(), run=self._run, hosts=hosts, free=free, lease=lease),
                self._release,
            )
            if not found.more:
                return found.round

    def _release(self, found: content.Found) -> Iterable[Work[bool]]:
        return [partial(content.release, now=self._clock(), job=job) for job in found.round.jobs]

    async def postpone(self, job: ports.Job, no_answer: ports.NoAnswer, at: datetime) -> bool:
        return await self._writer.submit(
            lambda raw: content.postpone(raw, now=self._clock(), job=job, no_answer=no_answer, at=at)
        )

    async def release(self, job: ports.Job) -> bool:
        return await self._writer.submit(lambda raw: content.release(raw, now=self._clock(), job=job))

    async def resolve(self, job: ports.Job, resolution: ports.Resolution, limits: Sequence[node.Limit] = ()) -> bool:
        kept = tuple(limits)
        return await self._writer.submit(
            lambda raw: content.resolve(
                raw, keys=self._keys, now=self._clock(), job=job, resolution=resolution, limits=kept
            )
        )

    # --- history and a person's decisions ---

    async def history(self, query: ports.Query) -> list[message.Message]:
        """Newest first. A shortened `message_id` (at least 4 characters) finds every message that it fits."""
        return await self._read(lambda raw: history.find(raw, query))

    async def story(self, message_id: str) -> ports.Story | None:
        """`message_id` may be shortened where it fits one message only."""
        return await self._read(lambda raw: history.story(raw, message_id))

    async def stats(self) -> dict[message.Status, int]:
        """How many messages are in each status, all of them named."""
        return await self._read(history.stats)

    async def totals(self, query: ports.Query, zone: tzinfo, *, by_provider: bool = False) -> list[ports.Total]:
        """A message counts on the day it arrived."""
        return await self._read(lambda raw: history.totals(raw, query, zone, by_provider))

    async def traffic(self, provider: str, rate: Rate | None = None) -> ports.Traffic:
        return await self._read(lambda raw: history.traffic(raw, provider, rate, self._clock()))

    async def waiting(self) -> Mapping[tuple[str, ...], int]:
        return await self._read(history.waiting)

    async def cancel(self, query: ports.Query, who: str) -> int:
        """Not what is being sent just now; nothing where a shortened id fits several messages."""
        return await self._decide("cancel", message.CANCELLABLE, query, who)

    async def retry(
        self, seen: Sequence[message.Message], who: str, routes: Mapping[str, Sequence[str]] = _NO_ROUTES
    ) -> int:
        """Due now, with its whole maximum age again; what was scheduled keeps its time."""
        ways, count = dict(routes), 0
        for start in range(0, len(seen), work.CHUNK):
            part = tuple(seen[start : start + work.CHUNK])
            count += await self._writer.submit(
                partial(history.retry, now=self._clock(), seen=part, who=who, routes=ways)
            )
        return count

    async def judge(self, message_id: str, verdict: ports.Verdict, who: str) -> bool:
        """`message_id` may be shortened where it fits one message only. RESEND is as `retry`.

        SENT counts what the last attempt in doubt costs.
        """
        query = ports.Query(message_id=message_id)
        return await self._decide(str(verdict), message.JUDGEABLE, query, who) > 0

    async def _decide(self, what: str, allowed: frozenset[message.Status], query: ports.Query, who: str) -> int:
        chosen = await self._read(lambda raw: history.targets(raw, query))
        count = 0
        for start in range(0, len(chosen), work.CHUNK):
            part = chosen[start : start + work.CHUNK]
            count += await self._writer.submit(
                partial(history.decide, now=self._clock(), what=what, allowed=allowed, chosen=part, who=who)
            )
        return count

    async def _read(self, reading: Work[T]) -> T:
        if self._closed:
            raise errors.OutboxError("the outbox is closed")
        try:
            return await self._reading.run(reading)
        except Exception as error:
            trouble = database.translate(error, self.path)
            if trouble is error:
                raise
            raise trouble from error

    async def close(self) -> None:
        """Carry out what waits, then let go of the file. Harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        async with contextlib.AsyncExitStack() as stack:  # each is let go of, also where another fails
            if self._lock is not None:
                stack.callback(os.close, self._lock)
            stack.push_async_callback(self._writing.close)
            stack.push_async_callback(self._reading.close)
            await self._writer.close()


def _parts(reported: Sequence[ports.Receipt]) -> Iterable[Sequence[ports.Receipt]]:
    most = receipts.CHUNK
    return [tuple(reported[start : start + most]) for start in range(0, len(reported), most)]


def _returned(raw: sqlite3.Connection, told: many.Rows) -> Sequence[None]:
    many.change(raw, SQL["returned"], told)
    return [None] * len(told)


def _seen(answer: "asyncio.Future[bool]") -> None:
    if not answer.cancelled():
        answer.exception()


def _noted(answer: "asyncio.Future[None]") -> None:
    if not answer.cancelled() and (error := answer.exception()) is not None:
        log.warning("the time of a call's return was not written down", error=str(error))
