"""Receipts over SMPP: acknowledged when they are kept, not before; what is none harms nobody."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from agi_sms import errors, message, ports
from agi_sms.message import Status
from tests.contract import smsc, subjects

HELLO = subjects.submission()
OK, TEMPORARY = 0, 0x64


class Keeper:
    """Keeps receipts as the outbox would; `gate` holds it up, `fault` says what it raises."""

    def __init__(self) -> None:
        self.kept: list[ports.Receipt] = []
        self.calls: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.bad = ""  # the id of one that cannot be stored

    async def __call__(self, provider: str, receipts: Sequence[ports.Receipt]) -> None:
        assert provider == "acme"
        self.calls.append(len(receipts))
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        if any(one.provider_id == self.bad for one in receipts):
            raise errors.OutboxRefused
        self.kept += receipts


@contextlib.asynccontextmanager
async def kept(made: Any, keeper: Keeper) -> AsyncIterator[None]:
    """The provider with somebody who keeps its receipts."""
    task = asyncio.create_task(made.run(keeper))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await made.close()


async def answers(other: smsc.Smsc, command: int, count: int) -> list[tuple[int, int]]:
    """Sequence and status of what the provider answered."""
    return [(pdu.sequence, pdu.status) for pdu in await other.until(command | smsc.RESPONSE, count)]


async def test_smpp_a_receipt_is_acknowledged_when_it_is_kept() -> None:
    keeper = Keeper()
    keeper.gate.clear()
    async with smsc.running() as other, kept(smsc.provider(other.port), keeper):
        await other.until(smsc.BIND)
        other.connections[0].send(smsc.DELIVER, 9, smsc.receipt("abc"))
        other.connections[0].send(smsc.ENQUIRE, 10)
        await other.until(smsc.ENQUIRE | smsc.RESPONSE)
        assert other.of(smsc.DELIVER | smsc.RESPONSE) == []
        keeper.gate.set()
        assert await answers(other, smsc.DELIVER, 1) == [(9, OK)]
        assert other.of(smsc.DELIVER | smsc.RESPONSE)[0].body == b"\0"
    (receipt,) = keeper.kept
    assert (receipt.provider_id, receipt.state, receipt.detail) == ("abc", Status.DELIVERED, "DELIVRD")
    assert receipt.raw.startswith("id:abc sub:001")
    assert "text" not in receipt.raw


async def test_smpp_receipts_may_come_before_the_answer_and_twice() -> None:
    keeper = Keeper()

    async def hasty(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        connection.send(smsc.DELIVER, 1, smsc.receipt("abc", "ACCEPTD"))
        connection.send(smsc.DELIVER, 2, smsc.receipt("abc"))
        await other.until(smsc.BIND)
        connection.accept(pdu, "abc")
        connection.send(smsc.DELIVER, 3, smsc.receipt("abc"))

    async with smsc.running(submit=hasty) as other:
        made = smsc.provider(other.port)
        async with kept(made, keeper):
            assert await made.send(HELLO) == message.Accepted(ids=("abc",))
            await other.until(smsc.DELIVER | smsc.RESPONSE, 3)
    assert [one.state for one in keeper.kept] == [Status.ACCEPTED, Status.DELIVERED, Status.DELIVERED]


@pytest.mark.parametrize(
    "fault", [errors.OutboxBusy(), errors.OutboxFull(), RuntimeError("a bug")], ids=["busy", "full", "bug"]
)
async def test_smpp_what_is_not_kept_is_to_come_again(fault: Exception) -> None:
    keeper = Keeper()
    keeper.fault = fault
    async with smsc.running() as other, kept(smsc.provider(other.port), keeper):
        await other.until(smsc.BIND)
        other.connections[0].send(smsc.DELIVER, 9, smsc.receipt("abc"))
        assert await answers(other, smsc.DELIVER, 1) == [(9, TEMPORARY)]
        keeper.fault = None
        other.connections[0].send(smsc.DELIVER, 10, smsc.receipt("abc"))
        assert await answers(other, smsc.DELIVER, 2) == [(9, TEMPORARY), (10, OK)]
    assert len(keeper.kept) == 1


async def test_smpp_many_are_kept_together_and_a_bad_one_harms_no_other() -> None:
    keeper = Keeper()
    keeper.gate.clear()
    keeper.bad = "id7"
    async with smsc.running() as other, kept(smsc.provider(other.port), keeper):
        await other.until(smsc.BIND)
        for at in range(20):
            other.connections[0].send(smsc.DELIVER, 100 + at, smsc.receipt(f"id{at}"))
        other.connections[0].send(smsc.ENQUIRE, 10)
        await other.until(smsc.ENQUIRE | smsc.RESPONSE)
        keeper.gate.set()
        told = await answers(other, smsc.DELIVER, 20)
    assert sorted(told) == [(100 + at, TEMPORARY if at == 7 else OK) for at in range(20)]
    assert [one.provider_id for one in keeper.kept] == [f"id{at}" for at in range(20) if at != 7]
    assert max(keeper.calls) >= 19


async def test_smpp_too_many_at_once_have_to_come_again() -> None:
    keeper = Keeper()
    keeper.gate.clear()
    async with smsc.running() as other, kept(smsc.provider(other.port), keeper):
        await other.until(smsc.BIND)
        for at in range(700):
            other.connections[0].send(smsc.DELIVER, at, smsc.receipt(f"id{at}"))
        other.connections[0].send(smsc.ENQUIRE, 1000)
        await other.until(smsc.ENQUIRE | smsc.RESPONSE)
        refused = other.of(smsc.DELIVER | smsc.RESPONSE)
        assert {pdu.status for pdu in refused} == {TEMPORARY}
        assert 100 <= len(refused) <= 200
        keeper.gate.set()
        await other.until(smsc.DELIVER | smsc.RESPONSE, 700)
    assert len(keeper.kept) == 700 - len(refused)


async def test_smpp_without_anybody_who_keeps_them_receipts_come_again_later() -> None:
    async with smsc.running() as other:
        made = smsc.provider(other.port)
        await made.send(HELLO)
        other.connections[0].send(smsc.DELIVER, 9, smsc.receipt("abc"))
        assert await answers(other, smsc.DELIVER, 1) == [(9, TEMPORARY)]
        await made.close()


async def test_smpp_an_end_in_the_middle_acknowledges_nothing() -> None:
    keeper = Keeper()
    keeper.gate.clear()
    async with smsc.running() as other:
        async with kept(smsc.provider(other.port), keeper):
            await other.until(smsc.BIND)
            for at in range(3):
                other.connections[0].send(smsc.DELIVER, at, smsc.receipt(f"id{at}"))
            other.connections[0].send(smsc.ENQUIRE, 10)
            await other.until(smsc.ENQUIRE | smsc.RESPONSE)
        assert {status for _, status in await answers(other, smsc.DELIVER, 3)} == {TEMPORARY}


async def test_smpp_by_data_sm_and_by_parameters_alone() -> None:
    keeper = Keeper()
    state = smsc.tlv(0x1E, b"abc\0") + smsc.tlv(0x427, b"\x05") + smsc.tlv(0x423, b"\x03\x00\x1b")
    async with smsc.running() as other, kept(smsc.provider(other.port), keeper):
        await other.until(smsc.BIND)
        other.connections[0].send(smsc.DATA, 9, smsc.delivery(tlvs=state, command=smsc.DATA))
        other.connections[0].send(smsc.DELIVER, 10, smsc.delivery(tlvs=state, esm_class=0))
        assert await answers(other, smsc.DATA, 1) == [(9, OK)]
        assert await answers(other, smsc.DELIVER, 1) == [(10, OK)]
    for one in keeper.kept:
        assert (one.provider_id, one.state, one.code, one.detail) == ("abc", Status.FAILED, "3/27", "UNDELIV")
    assert len(keeper.kept) == 2


@pytest.mark.parametrize(
    ("receipt_id", "submitted", "receipted"),
    [("as_is", "0A1B", "0A1B"), ("hex", "2587", "0a1b"), ("decimal", "0A1B", "0000002587")],
)
async def test_smpp_ids_in_receipts_are_those_of_the_answers(receipt_id: str, submitted: str, receipted: str) -> None:
    keeper = Keeper()

    async def accept(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        connection.accept(pdu, submitted)

    async with smsc.running(submit=accept) as other:
        made = smsc.provider(other.port, receipt_id=receipt_id)
        async with kept(made, keeper):
            outcome = await made.send(HELLO)
            other.connections[0].send(smsc.DELIVER, 9, smsc.receipt(receipted))
            await other.until(smsc.DELIVER | smsc.RESPONSE)
    assert isinstance(outcome, message.Accepted)
    assert (keeper.kept[0].provider_id,) == outcome.ids


async def test_smpp_an_sms_to_us_is_dropped_counted_and_told_once_an_hour_without_its_text(logged: list[Any]) -> None:
    keeper = Keeper()
    forged = b"id:abc stat:DELIVRD secret words"
    async with smsc.running() as other, kept(smsc.provider(other.port), keeper):
        await other.until(smsc.BIND)
        for at in range(5):
            other.connections[0].send(smsc.DELIVER, at, smsc.delivery(forged, esm_class=0))
        other.connections[0].send(smsc.DELIVER, 9, smsc.delivery(b"no id in it"))
        assert await answers(other, smsc.DELIVER, 6) == [(at, OK) for at in (0, 1, 2, 3, 4, 9)]
    assert keeper.kept == []
    told = [line["what"] for line in logged if line["event"] == "the SMSC sent what is dropped here"]
    assert told == ["mobile-originated SMS", "receipts without an id"]
    assert "secret words" not in str(logged)
    assert "48600100200" not in str(logged)
