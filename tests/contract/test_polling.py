"""Asking providers what became of messages, with a real outbox: rounds, news, faults; and in the running gateway."""

import asyncio
import json
import urllib.parse
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from agi_sms import errors, message, polling, ports, receipts, testing
from tests.contract import peer, stores
from tests.contract.stores import HOUR, MINUTE, SECOND
from tests.contract.test_outbox_awaited import accepted, names, uncertain
from tests.contract.test_service import NODE, TREE, Gateway, gateway

__all__ = ["gateway"]

S = message.Status


class Told(testing.FakeProvider):
    """Answers as it is told to: `down` does not answer about these, nor to anything where it holds `*`."""

    def __init__(self, **states: S) -> None:
        super().__init__("main")
        self.pace: ports.Pace | None = ports.Pace(every=MINUTE, most=1)
        self.states = states
        self.down: set[str] = set()
        self.after: timedelta | None = None
        self.asked: list[str] = []

    async def ask(self, awaited: Sequence[ports.Awaited]) -> ports.Told:
        assert self.pace is not None
        assert len(awaited) <= self.pace.most
        names = [(name, one.ref) for one in awaited for name in one.provider_ids or ("",)]
        self.asked.append("+".join(name for name, _ in names))
        if "*" in self.down or self.down.intersection(name for name, _ in names):
            return ports.Told(fault="HTTP 500", after=self.after)
        found = [
            ports.Receipt(provider_id=name, ref="" if name else ref, state=self.states[name], raw="{}")
            for name, ref in names
            if name in self.states
        ]
        return ports.Told(receipts=tuple(found))


class Rounds:
    """Rests without time passing by itself: each rest moves the clock, until there were enough."""

    def __init__(self, clock: testing.FixedClock, most: int) -> None:
        self.clock = clock
        self.most = most
        self.rests: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.clock.advance(timedelta(seconds=seconds))
        if len(self.rests) == self.most:
            raise asyncio.CancelledError


async def asked(
    outbox: ports.Outbox, store: stores.Store, provider: Told, rounds: int, take: ports.TakeReceipts | None = None
) -> list[float]:
    """So many rounds; the rests between them, in seconds."""
    rest = Rounds(store.clock, rounds)
    taken = take or receipts.Receipts(outbox=outbox).take
    asker = polling.Polling(outbox=outbox, take=taken, clock=store.clock, rest=rest)
    task = asyncio.create_task(asker.keep_asking(provider))
    await asyncio.wait({task}, timeout=stores.PATIENT)
    assert task.cancelled()
    return rest.rests


async def test_until_the_last_word(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await accepted(outbox, outbox_factory, "v1", "a")
    await accepted(outbox, outbox_factory, "v2", "b")
    provider = Told(a=S.DELIVERED, b=S.ACCEPTED)
    rests = await asked(outbox, outbox_factory, provider, 3)
    assert rests == [60.0] * 3
    assert provider.asked == ["a", "b", "b", "b"]
    assert sorted(await stores.statuses(outbox)) == ["accepted", "delivered"]
    (still,) = await outbox.history(ports.Query(status=S.ACCEPTED))
    (attempt,) = (await stores.story(outbox, still.id)).attempts
    assert attempt.receipts == ()  # that it is on its way was known


@pytest.mark.parametrize("ids", [(), ("a",)])
async def test_that_it_is_on_its_way_ends_a_doubt(
    outbox_factory: stores.Store, outbox: ports.Outbox, ids: tuple[str, ...]
) -> None:
    await uncertain(outbox, outbox_factory, "v1", *ids)
    await asked(outbox, outbox_factory, Told(**{"": S.ACCEPTED, "a": S.ACCEPTED}), 1)
    assert await stores.statuses(outbox) == ["accepted"]


async def test_segments_with_one_id_are_not_delivered_by_saying_so_of_one_twice(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    await accepted(outbox, outbox_factory, "v1", "a", "a")
    await accepted(outbox, outbox_factory, "v2", "b", "c")
    provider = Told(a=S.ACCEPTED, b=S.DELIVERED, c=S.ACCEPTED)
    await asked(outbox, outbox_factory, provider, 3)
    assert await stores.statuses(outbox) == ["accepted", "accepted"]
    provider.states |= {"a": S.DELIVERED, "c": S.DELIVERED}
    await asked(outbox, outbox_factory, provider, 1)
    assert await stores.statuses(outbox) == ["delivered", "delivered"]


async def test_a_provider_that_does_not_answer_is_asked_ever_less(
    outbox_factory: stores.Store, outbox: ports.Outbox, logged: list[Any]
) -> None:
    for n in range(4):
        await accepted(outbox, outbox_factory, f"v{n}", f"x{n}", overdue_in=99 * HOUR)
    provider = Told(**{f"x{n}": S.ACCEPTED for n in range(4)})
    provider.down = {"*"}
    assert await asked(outbox, outbox_factory, provider, 6) == [60, 120, 240, 480, 900, 900]
    assert provider.asked == ["x0", "x1", "x2", "x3"] + ["x0", "x1", "x2", "x3"] * 2  # three at a time, all in turn
    (line,) = [one for one in logged if one["log_level"] == "warning"]
    assert (line["provider"], line["error"]) == ("main", "HTTP 500")


async def test_a_pace_slower_than_the_longest_pause_is_kept(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await accepted(outbox, outbox_factory, "v1", "a", overdue_in=99 * HOUR)
    provider = Told()
    provider.pace, provider.down = ports.Pace(every=HOUR, most=1), {"*"}
    assert await asked(outbox, outbox_factory, provider, 3) == [3600.0] * 3


async def test_some_that_it_does_not_answer_about_keep_no_other(
    outbox_factory: stores.Store, outbox: ports.Outbox, logged: list[Any]
) -> None:
    for n in range(9):
        await accepted(outbox, outbox_factory, f"v{n}", f"x{n}")
        outbox_factory.clock.advance(SECOND)
    provider = Told(**{f"x{n}": S.DELIVERED for n in range(9)})
    provider.down = {"x0", "x1", "x2", "x3"}
    await asked(outbox, outbox_factory, provider, 3)
    assert (await stores.statuses(outbox)).count("delivered") == 5
    assert "a provider says again what became of messages" in [one["event"] for one in logged]


async def test_the_wish_not_to_be_asked_is_kept(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await accepted(outbox, outbox_factory, "v1", "a")
    provider = Told()
    provider.down, provider.after = {"*"}, timedelta(minutes=20)
    assert await asked(outbox, outbox_factory, provider, 1) == [1200.0]


async def test_receipts_that_cannot_be_kept_are_asked_for_again(
    outbox_factory: stores.Store, outbox: ports.Outbox, logged: list[Any]
) -> None:
    await accepted(outbox, outbox_factory, "v1", "a")
    keeper, busy = receipts.Receipts(outbox=outbox), True

    async def take(name: str, found: Sequence[ports.Receipt]) -> None:
        nonlocal busy
        if busy:
            busy = False
            raise errors.OutboxBusy("a backup")
        await keeper.take(name, found)

    provider = Told(a=S.DELIVERED)
    await asked(outbox, outbox_factory, provider, 2, take)
    assert provider.asked == ["a"] * 2
    assert await stores.statuses(outbox) == ["delivered"]
    (line,) = [one for one in logged if one["log_level"] == "warning"]
    assert line["event"] == "what a provider told of messages is not kept; it is asked again"


async def test_answers_that_tell_nothing_are_told_of(
    outbox_factory: stores.Store, outbox: ports.Outbox, logged: list[Any]
) -> None:
    for n in range(3):
        await accepted(outbox, outbox_factory, f"v{n}", f"x{n}")
    assert await asked(outbox, outbox_factory, Told(), 1) == [60.0]
    (line,) = [one for one in logged if one["log_level"] == "warning"]
    assert line["event"] == "a provider says nothing of the messages that it was asked about"


async def test_more_than_a_page_so_many_at_once(
    outbox_factory: stores.Store, outbox: ports.Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "PAGE", 5)
    for n in range(7):
        await accepted(outbox, outbox_factory, f"v{n}", f"x{n}")
        outbox_factory.clock.advance(SECOND)
    provider = Told(**{f"x{n}": S.DELIVERED for n in range(7)})
    provider.pace = ports.Pace(every=MINUTE, most=2)
    await asked(outbox, outbox_factory, provider, 1)
    assert provider.asked == ["x0+x1", "x2+x3", "x4", "x5+x6"]
    assert await names(outbox) == []


def test_in_the_running_gateway(gateway: Gateway) -> None:
    """A company that never reports by itself: sent, asked about, delivered; the reload asks no more."""
    with peer.beside(_company()) as (company,):
        out = {
            "type": "http",
            "url": f"{company.url}/send",
            "answer": {"id": "$.id"},
            "polling": {
                "every": "5s",
                "url": f"{company.url}/reports",
                "query": {"ids": "{{ ids }}"},
                "answer": {"id": "id", "state": "s", "states": {"OK": "delivered"}},
            },
        }
        gateway.write(TREE | {"providers": {"out": out}, "nodes": {"desk": NODE}})
        assert "asked for every 5s; overdue after 2d" in gateway("providers")
        gateway.start()
        gateway("trigger", "desk", "--caller", "+48600100200")
        gateway.comes_to("delivered")
        gateway.write(TREE | {"providers": {"out": out | {"polling": None}}, "nodes": {"desk": NODE}})
        gateway("reload")
        gateway("trigger", "desk", "--caller", "+48600100201")
        gateway.comes_to("accepted", "delivered")
        assert gateway.stop() == 0
        gateway.write(TREE | {"providers": {"out": out}, "nodes": {"desk": NODE}})
        gateway.start()
        gateway.comes_to("accepted", "delivered")  # no receipt was expected of it
        assert gateway.stop() == 0
        kinds = [urllib.parse.urlsplit(one.target).path for one in company.requests]
    assert kinds.count("/send") == 2
    assert "/reports" in kinds


def _company() -> peer.Behaviour:
    async def behave(request: peer.Request, writer: asyncio.StreamWriter) -> bool:
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(request.target).query)
        told = {"id": asked["ids"][0], "s": "OK"} if asked else {"id": "x1"}
        return await peer.answer(200, json.dumps(told).encode(), {"Content-Type": "application/json"})(request, writer)

    return behave
