"""What is done for many at once comes to the same as one after the other."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import message, node, ports, testing
from agi_sms.message import Status
from agi_sms.outbox import sqlite
from tests.contract import stores

T = TypeVar("T")
RECIPIENTS = ("+48600100200", "+48600100201", "+48600100202")
IDS = ("x1", "x2", "x3")
ACCEPTED = ports.Decision(status=Status.ACCEPTED)
DUMP = {
    "activations": "SELECT visit, returned_at FROM activations ORDER BY visit",
    "messages": """
        SELECT a.visit, recipient, m.status, reason, admitted_status, admitted_reason, due_at, claims, provider,
            receipt_due_at, lease_before, once_key IS NULL
        FROM messages m JOIN activations a ON a.id = m.activation_id ORDER BY a.visit, recipient""",
    "counters": "SELECT window_start, window_end, used FROM counters ORDER BY window_start, used",
    "attempts": """
        SELECT a.visit, m.recipient, n, t.provider, t.started_at, ended_at, outcome, code, detail, cost, verdict,
            receipts
        FROM attempts t JOIN messages m ON m.id = t.message_id JOIN activations a ON a.id = m.activation_id
        ORDER BY a.visit, m.recipient, n""",
    "submissions": """
        SELECT a.visit, m.recipient, n, segment, s.provider, provider_id, delivered
        FROM submissions s JOIN attempts t ON t.id = s.attempt_id JOIN messages m ON m.id = t.message_id
        JOIN activations a ON a.id = m.activation_id ORDER BY a.visit, m.recipient, n, segment""",
    "receipts": """
        SELECT a.visit, m.recipient, t.n, r.provider_id, r.ref = '', r.state, r.code, r.times, r.n
        FROM receipts r LEFT JOIN attempts t ON t.id = r.attempt_id LEFT JOIN messages m ON m.id = t.message_id
        LEFT JOIN activations a ON a.id = m.activation_id
        ORDER BY a.visit, m.recipient, t.n, r.provider_id, r.ref, r.state, r.code""",
    "unmatched": "SELECT provider, n FROM unmatched ORDER BY provider",
}


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A call that comes to a node: by number, since the same may come again."""

    number: int
    call: int
    recipients: tuple[str, ...]
    once: bool
    most: int  # of a limit for each recipient; 0: none


@dataclass(frozen=True, kw_only=True)
class Told:
    """A receipt, about the message with this number if `ref`."""

    name: str
    ref: int | None
    state: Status
    code: str


@dataclass(frozen=True, kw_only=True)
class Round:
    """What happens, one kind after the other; the things of one kind at once, or one by one."""

    visits: Sequence[Visit]
    early: Sequence[Told]
    outcomes: Sequence[tuple[message.Outcome, ports.Decision]]
    twice: bool  # each attempt is begun and ended twice
    late: Sequence[Told]


visits = st.builds(
    Visit,
    number=st.integers(0, 5),
    call=st.integers(0, 2),
    recipients=st.lists(st.sampled_from(RECIPIENTS), min_size=1, max_size=3, unique=True).map(tuple),
    once=st.booleans(),
    most=st.sampled_from([0, 0, 1, 2]),
)
told = st.builds(
    Told,
    name=st.sampled_from(IDS),
    ref=st.none() | st.none() | st.integers(0, 2),
    state=st.sampled_from([Status.DELIVERED, Status.DELIVERED, Status.FAILED, Status.ACCEPTED, Status.UNCERTAIN]),
    code=st.sampled_from(["", "", "7"]),
)
taken = st.lists(st.sampled_from(IDS), max_size=2).map(
    lambda ids: (message.Accepted(ids=tuple(ids), code="200"), ACCEPTED)
)
other = st.sampled_from(
    [
        (message.Rejected(code="4"), ports.Decision(status=Status.FAILED, reason=message.Reason.REJECTED)),
        (message.Retry(detail="busy"), ports.Decision(status=Status.SCHEDULED)),
        (message.Uncertain(ids=("x1",)), ports.Decision(status=Status.HELD)),
    ]
)
rounds = st.builds(
    Round,
    visits=st.lists(visits, min_size=1, max_size=4),
    early=st.lists(told, max_size=2),
    outcomes=st.lists(taken | taken | taken | other, min_size=1, max_size=3),
    twice=st.booleans(),
    late=st.lists(told, min_size=1, max_size=4),
)


class Desk:
    """One outbox, and how things are asked of it."""

    def __init__(self, path: Path, outbox: ports.Outbox, clock: testing.FixedClock, *, at_once: bool) -> None:
        self.path = path
        self.outbox = outbox
        self.clock = clock
        self.at_once = at_once
        self.messages: list[str] = []

    async def all(self, work: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        if self.at_once:
            return list(await asyncio.gather(*(one() for one in work)))
        return [await one() for one in work]

    async def go(self, one: Round) -> list[Any]:
        """What was answered, by what both desks have in common."""
        said: list[Any] = []
        admitted = await self.all([lambda visit=visit: self.admit(visit) for visit in one.visits])  # type: ignore[misc]
        for admission in admitted:
            said.append([(kept.recipient, kept.status, kept.reason, kept.due_at) for kept in admission.messages])
            self.messages += [kept.message_id for kept in admission.messages if kept.message_id not in self.messages]
        await self.hear(one.early)
        leases = await stores.claim(self.outbox, 99, stores.HOUR)
        leases.sort(key=lambda lease: self.messages.index(lease.message.id))
        again = 2 if one.twice else 1
        begun = await self.all([lambda lease=lease: self.begin(lease) for lease in leases * again])  # type: ignore[misc]
        said.append([attempt is None for attempt in begun])
        ends = [
            (lease, attempt, *one.outcomes[number % len(one.outcomes)])
            for number, (lease, attempt) in enumerate(zip(leases, begun, strict=False))
            if attempt is not None
        ]
        said += await self.all([lambda end=end: self.finish(*end) for end in ends * again])  # type: ignore[misc]
        said += await self.hear(one.late)
        self.clock.advance(stores.MINUTE)
        return said

    async def admit(self, visit: Visit) -> ports.Admission:
        made = stores.activation(f"v{visit.number}", self.clock, key=f"c{visit.call}")
        drafts = [stores.draft(self.clock, recipient, once=visit.once) for recipient in visit.recipients]
        limits = [node.Limit(most=visit.most, window=timedelta(hours=1), per="recipient")] if visit.most else []
        return await self.outbox.admit(made, drafts, limits)

    async def begin(self, lease: ports.Lease) -> str | None:
        due_at = self.clock() + stores.HOUR
        return await self.outbox.begin(
            lease, "main", receipt_due_at=due_at, cost=message.Cost(micros=5, currency="EUR")
        )

    async def finish(
        self, lease: ports.Lease, attempt: str, outcome: message.Outcome, decision: ports.Decision
    ) -> Status | None:
        due_at = self.clock() + stores.HOUR if isinstance(outcome, message.Accepted) else None
        return await self.outbox.finish(lease, attempt, outcome, decision, receipt_due_at=due_at)

    async def hear(self, several: Sequence[Told]) -> list[Any]:
        received = await self.all([lambda one=one: self.outbox.receive("main", [self.receipt(one)]) for one in several])  # type: ignore[misc]
        return [
            sum(one.new for one in received),
            sorted((settled.message.recipient, settled.message.status) for one in received for settled in one.settled),
        ]

    def receipt(self, one: Told) -> ports.Receipt:
        known = self.messages and one.ref is not None
        ref = self.messages[(one.ref or 0) % len(self.messages)] if known else ""
        return ports.Receipt(provider_id=one.name, ref=ref, state=one.state, raw="raw", code=one.code)

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that is kept, without the names that are made up."""
        with stores.connection(self.path) as raw:
            return {table: [tuple(row) for row in raw.execute(select)] for table, select in DUMP.items()}


async def desk(folder: Path, *, at_once: bool) -> Desk:
    path, clock = folder / f"{at_once}.db", testing.FixedClock()
    return Desk(path, await sqlite.SqliteOutbox.open(path, clock=clock), clock, at_once=at_once)


@settings(max_examples=150, deadline=None)
@given(several=st.lists(rounds, min_size=1, max_size=2))
def test_at_once_is_as_one_by_one(several: list[Round]) -> None:
    async def both(folder: Path) -> None:
        together, alone = await desk(folder, at_once=True), await desk(folder, at_once=False)
        for one in several:
            assert await together.go(one) == await alone.go(one)
        await asyncio.gather(together.outbox.close(), alone.outbox.close())
        assert together.dump() == alone.dump()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(both(Path(folder)))


async def test_of_words_that_come_together_the_first_last_one_counts(tmp_path: Path) -> None:
    one = await desk(tmp_path, at_once=True)
    [kept] = await stores.admit(one.outbox, "v1", one.clock)
    [lease] = await stores.claim(one.outbox, 9, stores.HOUR)
    attempt = await one.begin(lease)
    assert attempt is not None
    await one.outbox.finish(lease, attempt, message.Accepted(ids=("x1",)), ACCEPTED)
    failed = ports.Receipt(provider_id="", ref=kept.message_id, state=Status.FAILED, raw="failed")
    delivered = ports.Receipt(provider_id="x1", ref="", state=Status.DELIVERED, raw="delivered")
    received = await one.outbox.receive("main", [failed, delivered])
    assert [settled.message.status for settled in received.settled] == [Status.FAILED]
    assert (await stores.story(one.outbox, kept.message_id)).message.status is Status.FAILED
    await one.outbox.close()


async def test_of_two_leases_of_one_message_the_one_that_holds_begins(tmp_path: Path) -> None:
    one = await desk(tmp_path, at_once=True)
    await stores.admit(one.outbox, "v1", one.clock)
    [stale] = await stores.claim(one.outbox, 9, stores.MINUTE)
    one.clock.advance(2 * stores.MINUTE)
    [good] = await stores.claim(one.outbox, 9, stores.HOUR)
    begun = await asyncio.gather(*(one.begin(lease) for lease in (stale, good)))
    assert [attempt is None for attempt in begun] == [True, False]
    await one.outbox.close()
