"""Asking providers what became of messages, with a real outbox: rounds, news, faults; and in the running gateway."""

import asyncio
import json
import urllib.parse
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from agi_sms import errors, message, polling, ports, receipts, testing
from tests.contract import peer, stores
from tests.contract.stores import HOUR, MINUTE, SECOND
from tests.contract.test_outbox_awaited import accepted, names, uncertain
from tests.contract.test_service import NODE, TREE, Gateway, gateway

__all__ = ["gateway"]

S = message.Status


class Told(testing.FakeProvider):
    """Answers as it is told to."""

    def __init__(self, **states: S) -> None:
        super().__init__("main")
        self.every: timedelta | None = MINUTE
        self.states = states
        self.fault = ""
        self.gave_up = False
        self.asked: list[list[str]] = []

    async def ask(self, awaited: Sequence[ports.Awaited]) -> ports.Told:
        names = [(name, one.ref) for one in awaited for name in one.provider_ids or ("",)]
        self.asked.append([name for name, _ in names])
        found = [
            ports.Receipt(provider_id=name, ref="" if name else ref, state=self.states[name], raw="{}")
            for name, ref in names
            if name in self.states
        ]
        return ports.Told(receipts=tuple(found), fault=self.fault, gave_up=self.gave_up)


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
    assert provider.asked == [["a", "b"], ["b"], ["b"]]
    assert sorted(await stores.statuses(outbox)) == ["accepted", "delivered"]
    (still,) = await outbox.history(ports.Query(status=S.ACCEPTED))
    (attempt,) = (await stores.story(outbox, still.id)).attempts
    assert attempt.receipts == ()  # that it is on its way was known


async def test_that_it_is_on_its_way_ends_a_doubt(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await uncertain(outbox, outbox_factory, "v1")
    await asked(outbox, outbox_factory, Told(**{"": S.ACCEPTED}), 1)
    assert await stores.statuses(outbox) == ["accepted"]


async def test_a_provider_that_does_not_answer_is_asked_ever_less(
    outbox_factory: stores.Store, outbox: ports.Outbox, logged: list[Any]
) -> None:
    await accepted(outbox, outbox_factory, "v1", "a", overdue_in=99 * HOUR)
    provider = Told()
    provider.fault, provider.gave_up = "HTTP 500", True
    assert await asked(outbox, outbox_factory, provider, 7) == [60, 120, 240, 480, 900, 900, 900]
    assert provider.asked == [["a"]] * 7  # each time all of it: the round was never whole
    (line,) = [one for one in logged if one["log_level"] == "warning"]
    assert (line["provider"], line["error"]) == ("main", "HTTP 500")


async def test_what_is_told_before_it_gives_up_counts(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await accepted(outbox, outbox_factory, "v1", "a")
    provider = Told(a=S.FAILED)
    provider.fault, provider.gave_up = "HTTP 500", True
    await asked(outbox, outbox_factory, provider, 1)
    assert await stores.statuses(outbox) == ["failed"]


async def test_receipts_that_cannot_be_kept_are_asked_for_again(
    outbox_factory: stores.Store, outbox: ports.Outbox
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
    assert provider.asked == [["a"]] * 2
    assert await stores.statuses(outbox) == ["delivered"]


async def test_more_than_a_page(outbox_factory: stores.Store, outbox: ports.Outbox, monkeypatch: Any) -> None:
    monkeypatch.setattr(polling, "PAGE", 3)
    for n in range(7):
        await accepted(outbox, outbox_factory, f"v{n}", f"x{n}")
        outbox_factory.clock.advance(SECOND)
    provider = Told(**{f"x{n}": S.DELIVERED for n in range(7)})
    await asked(outbox, outbox_factory, provider, 1)
    assert [len(one) for one in provider.asked] == [3, 3, 1]
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
        kinds = [urllib.parse.urlsplit(one.target).path for one in company.requests]
    assert kinds.count("/send") == 2
    assert "/reports" in kinds


def _company() -> peer.Behaviour:
    async def behave(request: peer.Request, writer: asyncio.StreamWriter) -> bool:
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(request.target).query)
        told = {"id": asked["ids"][0], "s": "OK"} if asked else {"id": "x1"}
        return await peer.answer(200, json.dumps(told).encode(), {"Content-Type": "application/json"})(request, writer)

    return behave
