"""A delivery over a real database, for the suites of delivery."""

import asyncio
import contextlib
import functools
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agi_sms import call, delivery, ids, message, node, plan, ports, retry
from agi_sms.message import Status
from agi_sms.outbox import sqlite
from agi_sms.testing import FakeProvider, FixedClock

NOW = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
BREAK = timedelta(seconds=30)
POLICY = retry.Policy(first=30 * SECOND, factor=2.0, longest=30 * MINUTE, attempts=3, jitter=0.0, grace=5 * MINUTE)
DEADLINE = 20.0  # seconds until a condition that never comes true fails the test


class Rig:
    """A delivery over a real database; the clock stands still until it is turned."""

    def __init__(self, path: Path, box: sqlite.SqliteOutbox, clock: FixedClock) -> None:
        self.path = path
        self.box = box
        self.clock = clock
        self.providers: dict[str, ports.Provider] = {}
        self.concurrency = 10
        self.accounts: dict[str, delivery.Account] = {}
        self.break_after = 1000
        self.policy = POLICY
        self.nodes: node.Nodes = {}
        self.sender: delivery.Delivery | None = None
        self.running: asyncio.Task[None] | None = None

    def start(self, *known: ports.Provider, outbox: ports.Outbox | None = None) -> delivery.Delivery:
        self.providers = {provider.name: provider for provider in known}
        self.sender = delivery.Delivery(
            outbox=outbox or self.box,
            terms=self.terms,
            clock=self.clock,
            jitter=lambda: 0.0,
        )
        self.running = asyncio.create_task(self.sender.run())
        return self.sender

    def terms(self) -> delivery.Terms:
        account = delivery.Account(concurrency=self.concurrency)
        return delivery.Terms(
            providers=self.providers,
            accounts=dict.fromkeys(self.providers, account) | self.accounts,
            policy=self.policy,
            break_after=self.break_after,
            break_for=BREAK,
            routes=functools.partial(plan.route, self.nodes),
        )

    async def stop(self) -> None:
        if self.sender is not None and self.running is not None:
            await self.sender.drain(timedelta(0))
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)

    def turn(self, span: timedelta) -> None:
        self.clock.advance(span)
        if self.sender is not None:
            self.sender.wake()

    async def add(self, count: int = 1, **changed: Any) -> list[str]:
        values: dict[str, Any] = {
            "source": message.Source.CONFIG,
            "status": Status.SCHEDULED,
            "sender": "TeleShop",
            "text": "Hello",
            "segments": 1,
            "route": ("a",),
            "due_at": self.clock.now,
            "expires_at": self.clock.now + 24 * HOUR,
        }
        drafts = [message.Draft(recipient=f"+4860010{n:04}", **(values | changed)) for n in range(count)]
        fresh = ids.new(self.clock.now)
        facts = call.Call(pbx="main", key=f"main/{fresh}", call_id=fresh)
        visit = call.Visit(id=fresh, node="desk", call=facts, entry=call.Entry.ARI, arrived_at=self.clock.now)
        activation = ports.Activation(id=fresh, visit=visit, node_revision="r1")
        admission = await self.box.admit(activation, drafts)
        if self.sender is not None:
            self.sender.wake()
        return [kept.message_id for kept in admission.messages]

    async def story(self, message_id: str) -> ports.Story:
        story = await self.box.story(message_id)
        assert story is not None
        return story

    async def comes_to(
        self, message_id: str, status: Status, *, attempts: int | None = None
    ) -> tuple[message.Message, list[tuple[str, str]]]:
        """The message once it stands so, and its attempts as (provider, outcome)."""
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    story = await self.story(message_id)
                    tried = [(a.provider, a.outcome) for a in story.attempts]
                    if story.message.status is status and attempts in (None, len(tried)):
                        return story.message, tried
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"{(await self.story(message_id)).message} never became {status}") from None


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - nothing tells of these
            await asyncio.sleep(0.005)


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        yield
        raw.execute("ROLLBACK")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    clock = FixedClock(NOW)
    box = await sqlite.SqliteOutbox.open(
        tmp_path / "box.db",
        clock=clock,
        busy_timeout=timedelta(milliseconds=20),
        patience=timedelta(milliseconds=100),
    )
    made = Rig(tmp_path / "box.db", box, clock)
    try:
        yield made
    finally:
        await made.stop()
        await box.close()


class Slow(FakeProvider):
    """Counts how many are being sent at once, and how many there ever were."""

    def __init__(self, name: str, *, script: Iterable[message.Outcome | Exception] = ()) -> None:
        super().__init__(name, script=script)
        self.now = self.most = 0

    async def send(self, submission: ports.Submission) -> message.Outcome:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().send(submission)
        finally:
            self.now -= 1
