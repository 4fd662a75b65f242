"""A fetching over the real outbox, with content sources that answer by a script: what its tests share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from agi_sms import call, delivery, fetching, ids, message, metrics, node, numbers, plan, ports
from agi_sms.message import Reason, Status
from agi_sms.outbox import sqlite
from agi_sms.testing import FixedClock

NOW = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
MOBILE, OTHER = "+48600100200", "+48600100300"
SHOP, BANK = "https://shop.example:443", "https://bank.example:443"
DEADLINE = 20.0  # seconds until a condition that never comes true fails the test

TIMEOUT = ports.NoAnswer(reason=Reason.CONTENT_TIMEOUT, detail="no answer within 5s", again=True, host_fault=True)
BROKEN = ports.NoAnswer(reason=Reason.CONTENT_REFUSED, code="503", detail="503: no database", host_fault=True)
REFUSED = ports.NoAnswer(reason=Reason.CONTENT_REFUSED, code="404", detail="404: no such order")


def asking(**changed: Any) -> node.Asking:
    return node.Asking(**({"retries": 2} | changed))


def make_node(name: str = "desk", **changed: Any) -> node.Node:
    values: dict[str, Any] = {
        "name": name,
        "revision": "r1",
        "template": None,
        "asking": asking(),
        "recipients": (node.Recipient(number=MOBILE),),
        "route": node.Route.of("a"),
    }
    return node.Node(**(values | changed))


@dataclass(kw_only=True)
class Book:
    nodes: dict[str, node.Node] = field(default_factory=dict)

    def rules(self, pbx: str, trunk: str) -> numbers.Rules:
        return numbers.Rules(region={"berlin": "DE"}.get(trunk, "PL"))


class Rig:
    """A fetching over a real database; the clock stands still until it is turned."""

    def __init__(self, path: Path, box: sqlite.SqliteOutbox, clock: FixedClock) -> None:
        self.path = path
        self.box = box
        self.clock = clock
        self.book = Book(nodes={"desk": make_node()})
        self.sources: dict[str, ports.ContentSource] = {}
        self.concurrency, self.break_after, self.break_for = 4, 3, 30 * SECOND
        self.woken = 0
        self.sender: delivery.Delivery | None = None
        self.fetcher: fetching.Fetching | None = None
        self.running: list[asyncio.Task[None]] = []

    def start(self, desk: ports.ContentSource | None = None, **named: ports.ContentSource) -> fetching.Fetching:
        """Sources by their nodes; nodes that there are not yet are made."""
        self.sources = named if desk is None else {"desk": desk, **named}
        for name in named.keys() - self.book.nodes.keys():
            self.book.nodes[name] = make_node(name)
        self.fetcher = fetching.Fetching(
            outbox=self.box,
            book=lambda: self.book,
            terms=lambda: fetching.Terms(
                sources=self.sources,
                concurrency=self.concurrency,
                break_after=self.break_after,
                break_for=self.break_for,
            ),
            clock=self.clock,
            jitter=lambda: 0.0,
            wake=self.wake,
        )
        self.running.append(asyncio.create_task(self.fetcher.run()))
        return self.fetcher

    def wake(self) -> None:
        self.woken += 1
        if self.sender is not None:
            self.sender.wake()

    async def stop(self) -> None:
        if self.fetcher is not None:
            await self.fetcher.drain(timedelta(0))
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)

    async def crash(self) -> None:
        """Nothing is given back, and another run opens the database."""
        assert self.fetcher is not None
        dying = {*self.running, *self.fetcher._under_way}
        for task in dying:
            task.cancel()
        await asyncio.gather(*dying, return_exceptions=True)
        self.running, self.fetcher = [], None
        await self.box.close()
        self.box = await sqlite.SqliteOutbox.open(self.path, clock=self.clock, owner=True)

    def turn(self, span: timedelta) -> None:
        self.clock.advance(span)
        if self.fetcher is not None:
            self.fetcher.wake()

    async def arrive(self, name: str = "desk", **facts: Any) -> str:
        """A call reaches the node; the id of its first message."""
        fresh = ids.new(self.clock.now)
        at = call.Call(**({"pbx": "main", "key": fresh, "call_id": fresh, "presentation": "allowed"} | facts))
        visit = call.Visit(id=fresh, node=name, call=at, entry=call.Entry.ARI, arrived_at=self.clock.now)
        target = self.book.nodes[name]
        planned = plan.plan(visit, target, self.book.rules("main", ""))
        activation = ports.Activation(
            id=f"act-{fresh}",
            visit=visit,
            node_revision="r1",
            fetch_at=planned.fetch_at,
        )
        admission = await self.box.admit(activation, planned.drafts, target.limits)
        if self.fetcher is not None:
            self.fetcher.wake()
        return admission.messages[0].message_id

    async def story(self, message_id: str) -> ports.Story:
        story = await self.box.story(message_id)
        assert story is not None
        return story

    async def comes_to(self, message_id: str, status: Status) -> message.Message:
        return (await self.stands(message_id, lambda story: story.message.status is status)).message

    async def tried(self, message_id: str, tries: int) -> ports.ContentStory:
        """Once it waits for the next try after so many."""
        story = await self.stands(
            message_id,
            lambda story: (
                story.content is not None
                and story.content.tries == tries
                and story.content.next_at is not None
                and story.content.next_at > self.clock.now
            ),
        )
        assert story.content is not None
        return story.content

    async def stands(self, message_id: str, so: Callable[[ports.Story], bool]) -> ports.Story:
        try:
            async with asyncio.timeout(DEADLINE):
                while not so(story := await self.story(message_id)):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
                return story
        except TimeoutError:
            raise AssertionError(f"never came to that: {await self.story(message_id)}") from None


def requests(result: str) -> float:
    return cast(float, metrics.CONTENT_REQUESTS.labels(result=result)._value.get())


def left_alone() -> float:
    return cast(float, metrics.CONTENT_LEFT_ALONE._value.get())


def events(lines: list[Any], event: str) -> list[Any]:
    return [line for line in lines if line["event"] == event]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    clock = FixedClock(NOW)
    box = await sqlite.SqliteOutbox.open(
        tmp_path / "box.db",
        clock=clock,
        owner=True,
        busy_timeout=timedelta(milliseconds=20),
        patience=timedelta(milliseconds=100),
    )
    made = Rig(tmp_path / "box.db", box, clock)
    try:
        yield made
    finally:
        await made.stop()
        await made.box.close()
