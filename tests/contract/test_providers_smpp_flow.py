"""How the SMPP provider keeps to a window and a rate, and how it ends."""

import asyncio
from datetime import timedelta

import pytest

from agi_sms import message
from tests.contract import smsc, subjects

HELLO = subjects.submission()


async def test_smpp_never_more_in_flight_than_the_window() -> None:
    waiting: list[tuple[smsc.Connection, smsc.Pdu]] = []

    async def keep(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        waiting.append((connection, pdu))

    async with smsc.running(submit=keep) as other:
        made = smsc.provider(other.port, window=3)
        sends = [asyncio.create_task(made.send(HELLO)) for _ in range(7)]
        for done in range(7):
            await other.until(smsc.SUBMIT, min(7, done + 3))
            await smsc.provider_idle()
            assert len(waiting) <= 3
            connection, pdu = waiting.pop(0)
            connection.accept(pdu, f"id{done}")
        outcomes = await asyncio.gather(*sends)
        await made.close()
    assert {type(one) for one in outcomes} == {message.Accepted}
    assert len(other.of(smsc.BIND)) == 1


async def test_smpp_who_finds_no_free_place_in_time_was_not_taken() -> None:
    async with smsc.running(submit=smsc.silent) as other:
        made = smsc.provider(other.port, window=1, timeout="300ms")
        outcomes = await asyncio.gather(*(made.send(HELLO) for _ in range(3)))
        await made.close()
    kinds = sorted(type(one).__name__ for one in outcomes)
    assert "Uncertain" in kinds
    assert "ProviderDown" in kinds
    assert len(other.submits) == kinds.count("Uncertain")


async def test_smpp_throttling_slows_the_whole_connection() -> None:
    async with smsc.running(submit=smsc.in_turn(smsc.status(0x58), smsc.taken)) as other:
        made = smsc.provider(other.port, rate=1, timeout="500ms")
        first = await made.send(HELLO)
        second = await made.send(HELLO)
        await made.close()
    assert isinstance(first, message.Retry)
    assert (type(second), second.code) == (message.ProviderDown, "busy")  # two seconds to its turn
    assert len(other.submits) == 1


async def test_smpp_a_cancelled_send_leaves_the_connection_usable() -> None:
    async with smsc.running(submit=smsc.in_turn(smsc.silent, smsc.taken)) as other:
        made = smsc.provider(other.port, window=1)
        send = asyncio.create_task(made.send(HELLO))
        await other.until(smsc.SUBMIT)
        send.cancel()
        with pytest.raises(asyncio.CancelledError):
            await send
        assert isinstance(await made.send(HELLO), message.Accepted)
        await made.close()
    assert len(other.of(smsc.BIND)) == 1


async def test_smpp_close_waits_for_answers_under_way_and_unbinds() -> None:
    gate = asyncio.Event()

    async def late(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        await gate.wait()
        connection.accept(pdu)

    async with smsc.running(submit=late) as other:
        made = smsc.provider(other.port)
        send = asyncio.create_task(made.send(HELLO))
        await other.until(smsc.SUBMIT)
        closing = asyncio.create_task(made.close())
        await smsc.provider_idle()
        assert not closing.done()
        gate.set()
        assert isinstance(await send, message.Accepted)
        await closing
        assert isinstance(await made.send(HELLO), message.ProviderDown)
    assert other.received[-1].command == smsc.UNBIND


async def test_smpp_close_begins_nothing_more() -> None:
    async with smsc.running(submit=smsc.silent) as other:
        made = smsc.provider(other.port, window=1)
        sends = [asyncio.create_task(made.send(HELLO)) for _ in range(4)]
        (first,) = await other.until(smsc.SUBMIT)
        closing = asyncio.create_task(made.close())
        await smsc.provider_idle()
        other.connections[0].accept(first)
        outcomes = [await send for send in sends]
        await closing
    assert [type(one) for one in outcomes] == [message.Accepted] + [message.ProviderDown] * 3
    assert {one.code for one in outcomes[1:]} == {"closed"}
    assert len(other.submits) == 1


async def test_smpp_close_does_not_wait_for_ever() -> None:
    async with smsc.running(submit=smsc.silent, unbind=smsc.silent) as other:
        made = smsc.provider(other.port, timeout="300ms")
        send = asyncio.create_task(made.send(HELLO))
        await other.until(smsc.SUBMIT)
        await made.close()
        assert isinstance(await send, message.Uncertain)


def test_smpp_declares_how_long_a_send_may_take() -> None:
    made, slow = smsc.provider(1, timeout="5s"), smsc.provider(1, timeout="5s", rate=1)
    assert made.timeout == timedelta(seconds=40)
    assert slow.timeout == timedelta(seconds=295)
