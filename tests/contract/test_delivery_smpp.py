"""From an SMSC that is slow, or takes half a text, to the outbox and back: delivery, provider and receipts together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from agi_sms import receipts
from agi_sms.message import Reason, Status
from tests.contract import smsc
from tests.contract.sends import MINUTE, Rig, rig

__all__ = ["rig"]

LONG = "x" * 400  # three segments


@contextlib.asynccontextmanager
async def sending(rig: Rig, keeps: Callable[[int], bool]) -> AsyncIterator[tuple[smsc.Smsc, list[smsc.Pdu]]]:
    """An SMSC that does not answer the submits that it keeps, and a delivery by way of it."""
    kept: list[smsc.Pdu] = []
    count = 0

    async def submit(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        nonlocal count
        count += 1
        if keeps(count):
            kept.append(pdu)
        else:
            connection.accept(pdu, f"id{count}")

    async with smsc.running(submit=submit) as other:
        provider = smsc.provider(other.port, timeout="300ms", on_uncertain="resend")
        connected = asyncio.create_task(provider.run(receipts.Receipts(outbox=rig.box).take))
        try:
            rig.start(provider)
            yield other, kept
        finally:
            await rig.stop()
            connected.cancel()
            await asyncio.gather(connected, return_exceptions=True)
            await provider.close()


async def test_a_late_answer_and_its_receipt(rig: Rig) -> None:
    async with sending(rig, lambda count: count == 1) as (other, kept):
        [one] = await rig.add(route=("acme",))
        doubtful, _ = await rig.comes_to(one, Status.UNCERTAIN)
        assert doubtful.reason is Reason.UNANSWERED
        [connection] = other.connections
        connection.send(smsc.DELIVER, 77, smsc.receipt("slow"))  # before the answer, as it may be
        await other.until(smsc.DELIVER | smsc.RESPONSE)
        await rig.comes_to(one, Status.UNCERTAIN)
        connection.accept(kept[0], "slow")
        _, tried = await rig.comes_to(one, Status.DELIVERED)
        assert tried == [("acme", "accepted")]
        rig.turn(10 * MINUTE)
        [two] = await rig.add(route=("acme",))
        await rig.comes_to(two, Status.ACCEPTED)
        assert len(other.submits) == 2  # nothing was sent again


async def test_a_late_no_while_it_is_sent_again(rig: Rig) -> None:
    """The answer is the first attempt's; the second has its own."""
    async with sending(rig, lambda count: count <= 2) as (other, kept):
        [one] = await rig.add(route=("acme",))
        await rig.comes_to(one, Status.UNCERTAIN)
        rig.turn(5 * MINUTE)
        await other.until(smsc.SUBMIT, 2)
        other.connections[0].answer(kept[0], status=0x0B)
        await rig.comes_to(one, Status.UNCERTAIN, attempts=2)
        other.connections[0].accept(kept[1], "second")
        _, tried = await rig.comes_to(one, Status.ACCEPTED)
        assert tried == [("acme", "rejected"), ("acme", "accepted")]


async def test_a_late_fault_that_passes_is_sent_again_soon(rig: Rig) -> None:
    async with sending(rig, lambda count: count == 1) as (other, kept):
        [one] = await rig.add(route=("acme",))
        await rig.comes_to(one, Status.UNCERTAIN)
        other.connections[0].answer(kept[0], status=0x08)
        await rig.comes_to(one, Status.SCHEDULED)
        rig.turn(MINUTE)
        _, tried = await rig.comes_to(one, Status.ACCEPTED)
        assert tried == [("acme", "retry"), ("acme", "accepted")]


async def test_half_a_text_and_its_receipts(rig: Rig) -> None:
    async with sending(rig, lambda count: count == 3) as (other, kept):
        [one] = await rig.add(route=("acme",), text=LONG, segments=3)
        await rig.comes_to(one, Status.UNCERTAIN)
        [connection] = other.connections
        for number, name in enumerate(("id1", "id2")):
            connection.send(smsc.DELIVER, 80 + number, smsc.receipt(name))
        await other.until(smsc.DELIVER | smsc.RESPONSE, 2)
        story = await rig.story(one)
        [attempt] = story.attempts
        assert story.message.status is Status.UNCERTAIN
        assert (attempt.provider_ids, len(attempt.receipts)) == (("id1", "id2"), 2)
        connection.accept(kept[0], "id3")
        await rig.comes_to(one, Status.ACCEPTED)
        connection.send(smsc.DELIVER, 90, smsc.receipt("id3"))
        await rig.comes_to(one, Status.DELIVERED, attempts=1)


async def test_half_a_text_of_which_one_segment_failed(rig: Rig) -> None:
    async with sending(rig, lambda count: count == 2) as (other, _):
        [one] = await rig.add(route=("acme",), text=LONG, segments=3)
        await rig.comes_to(one, Status.UNCERTAIN)
        other.connections[0].send(smsc.DELIVER, 80, smsc.receipt("id1", "UNDELIV", "027"))
        failed, tried = await rig.comes_to(one, Status.FAILED)
        assert (failed.reason, tried) == (Reason.UNDELIVERED, [("acme", "uncertain")])
        rig.turn(10 * MINUTE)
        [two] = await rig.add(route=("acme",))
        await rig.comes_to(two, Status.ACCEPTED)
        assert len(other.submits) == 3  # nothing was sent again
