"""Whatever octets an SMSC sends, or does not read, the SMPP provider neither hangs, spins nor grows."""

import asyncio
import contextlib
import os
import struct

import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agi_sms import message
from tests.contract import smsc, subjects

HELLO = subjects.submission()


async def test_smpp_a_flood_leaves_others_their_turn() -> None:
    async def flood(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.writer.write(struct.pack(">IIII", 16, smsc.ENQUIRE, 0, 1) * 4096)
                await connection.writer.drain()

    async with smsc.running(submit=flood) as other:
        made = smsc.provider(other.port, timeout="300ms")
        outcome = await made.send(HELLO)
        await made.close()
    assert isinstance(outcome, message.Uncertain)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.tuples(
                st.sampled_from([0x04, 0x05, 0x103, 0x15, 0x80000000, 0x80000004, 0x80000009, 0x80000015, 6, 3]),
                st.sampled_from([0, 1, 8, 0x58, 0xFFFFFFFF]),
                st.integers(0, 4),
                st.binary(max_size=60),
            ).map(lambda pdu: struct.pack(">IIII", 16 + len(pdu[3]), *pdu[:3]) + pdu[3]),
        ),
        max_size=6,
    )
)
async def test_smpp_whatever_it_sends_the_outcome_is_defined(pieces: list[bytes]) -> None:
    octets = b"".join(pieces)
    with structlog.testing.capture_logs() as logged:
        async with smsc.running(submit=smsc.raw(octets, then=lambda it: it.writer.close())) as other:
            made = smsc.provider(other.port, timeout="300ms", window=2)
            outcomes = await asyncio.gather(made.send(HELLO), made.send(HELLO))
            await made.close()
    for outcome in outcomes:
        assert isinstance(outcome, message.Outcome)
        assert len(outcome.detail) <= message.LONGEST_DETAIL
    assert not [line for line in logged if "bug" in line["event"]]


async def test_smpp_what_it_does_not_read_is_not_piled_up() -> None:
    """An SMSC that asks and never reads our answers."""

    async def deaf(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        connection.writer.transport.set_write_buffer_limits(1 << 26)
        for _ in range(200):
            connection.writer.write(struct.pack(">IIII", 16, smsc.ENQUIRE, 0, 1) * 4096)
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    async with smsc.running(submit=deaf) as other:
        made = smsc.provider(other.port, timeout="300ms")
        outcome = await made.send(HELLO)
        transport = made._link._session.wire._transport if made._link._session else None
        assert transport is None or transport.get_write_buffer_size() < 1 << 20
        await made.close()
    assert isinstance(outcome, message.Uncertain)


def test_smpp_leaves_no_file_open() -> None:
    async def once() -> None:
        async with smsc.running() as other:
            made = smsc.provider(other.port)
            await made.send(HELLO)
            await made.close()

    asyncio.run(once())
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        asyncio.run(once())
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
