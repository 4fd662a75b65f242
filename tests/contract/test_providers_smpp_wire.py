"""PDUs come off the wire as they went on it, however they are cut; what is written together goes together."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms.providers import smpp_pdus as pdus
from agi_sms.providers import smpp_session, smpp_wire

PATIENCE = 10.0  # seconds: a deadline for what has to come
PDUS = st.builds(
    pdus.Pdu,
    command=st.sampled_from([0x05, 0x15, 0x80000004]),
    status=st.integers(0, 0xFFFFFFFF),
    sequence=st.integers(0, 0xFFFFFFFF),
    body=st.binary(max_size=40),
)
PING = pdus.Pdu(command=0x15, sequence=1)


class Paper(asyncio.Transport):
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.reading = True
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


@dataclass
class Reader:
    """Who owns a wire."""

    patience: float = PATIENCE
    taken: list[pdus.Pdu] = field(default_factory=list)
    lost: "asyncio.Future[Exception]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    paper: Paper = field(default_factory=Paper)

    def __post_init__(self) -> None:
        self.wire = smpp_wire.Wire(self.take, self.lose, patience=self.patience)
        self.wire.connection_made(self.paper)

    def take(self, pdu: pdus.Pdu) -> None:
        self.taken.append(pdu)

    def lose(self, error: Exception) -> None:
        if not self.lost.done():
            self.lost.set_result(error)

    async def why(self) -> Exception:
        async with asyncio.timeout(PATIENCE):
            return await self.lost


async def turn() -> None:
    """What is due now, and nothing that it makes due."""
    await asyncio.sleep(0)


async def test_smpp_of_who_reads_no_answers_no_more_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is the answer to what was just read that fills the buffer."""
    it = Reader()

    def write(data: bytes | bytearray | memoryview) -> None:
        it.wire.pause_writing()

    monkeypatch.setattr(it.paper, "write", write)
    monkeypatch.setattr(it.wire, "_take", lambda pdu: it.wire.write(bytes(20_000)))
    it.wire.data_received(pdus.Pdu(command=pdus.Command.ENQUIRE_LINK, sequence=1).encode())
    assert not it.paper.reading
    it.wire.resume_writing()
    await turn()
    assert it.paper.reading


# --- writing ----------------------------------------------------------------------------------------------------------


async def test_smpp_what_is_written_in_one_turn_goes_in_one_piece() -> None:
    it = Reader()
    pieces = [it.wire.write(octets) for octets in (b"a", b"b", b"c")]
    assert it.paper.written == []
    await turn()
    later = it.wire.write(b"d")
    assert it.paper.written == [b"abc"]
    await turn()
    assert it.paper.written == [b"abc", b"d"]
    assert pieces == [0, 0, 0]
    assert (later, it.wire.piece) == (1, 2)


async def test_smpp_much_does_not_wait_for_the_end_of_the_turn() -> None:
    it = Reader()
    assert [it.wire.write(bytes(10_000)) for _ in range(3)] == [0, 0, 1]
    assert [len(octets) for octets in it.paper.written] == [20_000]
    await turn()
    assert [len(octets) for octets in it.paper.written] == [20_000, 10_000]


@pytest.mark.parametrize("how", ["aborted", "closing"])
async def test_smpp_what_waits_when_the_connection_ends_never_went(how: str) -> None:
    it = Reader()
    it.wire.write(b"a")
    await turn()
    piece = it.wire.write(b"b")
    if how == "aborted":
        it.wire.abort()
    else:
        it.paper.closed = True
    await turn()
    assert it.paper.written == [b"a"]
    assert piece >= it.wire.piece


@pytest.mark.parametrize("turns", [1, 2], ids=["before it went", "after"])
async def test_smpp_a_request_that_never_went_was_not_written(turns: int) -> None:
    paper = Paper()
    session = smpp_session.Session(patience=PATIENCE, receive=lambda _, __: None)
    session.wire.connection_made(paper)
    asking = asyncio.create_task(session.ask(pdus.Command.SUBMIT, b"body"))
    for _ in range(turns):
        await turn()
    session.end("over")
    with pytest.raises(smpp_session.Lost) as caught:
        await asking
    assert caught.value.written is bool(paper.written) is (turns == 2)


async def test_smpp_who_does_not_read_what_was_written_is_let_go() -> None:
    it = Reader(patience=0.01)
    it.wire.pause_writing()
    waiting = asyncio.create_task(it.wire.room())
    assert isinstance(await it.why(), smpp_wire.Stalled)
    assert not waiting.done()
    it.wire.abort()
    async with asyncio.timeout(PATIENCE):
        await waiting


# --- reading ----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(PDUS, max_size=80), st.lists(st.integers(1, 60), min_size=1, max_size=20), st.booleans())
async def test_smpp_pdus_come_as_they_went_however_they_are_cut(
    sent: list[pdus.Pdu], sizes: list[int], reset: bool
) -> None:
    it = Reader()
    octets, at = b"".join(pdu.encode() for pdu in sent), 0
    while octets:
        size = sizes[at % len(sizes)]
        it.wire.data_received(octets[:size])
        octets, at = octets[size:], at + 1
    end = ConnectionResetError() if reset else None
    if not reset:
        it.wire.eof_received()
    it.wire.connection_lost(end)
    assert isinstance(await it.why(), ConnectionResetError if reset else EOFError)
    assert it.taken == sent
    assert it.wire.closed.done()


async def test_smpp_after_so_many_others_have_their_turn() -> None:
    it = Reader()
    it.wire.data_received(PING.encode() * 100)
    assert (len(it.taken), it.paper.reading) == (32, False)
    it.wire.data_received(PING.encode())  # TLS may have had it already
    for count in (64, 96, 101):
        await turn()
        assert len(it.taken) == count
    assert it.paper.reading
    assert not it.lost.done()


async def test_smpp_of_who_does_not_read_nothing_is_read() -> None:
    it = Reader()
    it.wire.pause_writing()
    assert not it.paper.reading
    it.wire.data_received(PING.encode() * 3)
    assert it.taken == []
    it.wire.resume_writing()
    await turn()
    assert (len(it.taken), it.paper.reading) == (3, True)


async def test_smpp_the_rest_of_a_pdu_has_to_come_in_time() -> None:
    it = Reader(patience=0.01)
    it.wire.data_received(PING.encode() + PING.encode()[:5])
    assert isinstance(await it.why(), smpp_wire.Stalled)
    assert len(it.taken) == 1


async def whole(it: Reader) -> None:
    it.wire.data_received(PING.encode()[5:])


async def read_again(it: Reader) -> None:
    it.wire.pause_writing()
    it.wire.data_received(PING.encode()[5:])
    it.wire.resume_writing()


@pytest.mark.parametrize("then", [whole, read_again])
async def test_smpp_whole_pdus_stall_nobody(then: Callable[[Reader], Awaitable[None]]) -> None:
    it = Reader(patience=0.01)
    it.wire.data_received(PING.encode()[:5])
    await then(it)
    over = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.05, over.set_result, None)  # after all timers that there could be
    await over
    assert it.taken == [PING]
    assert not it.lost.done()


async def test_smpp_while_we_do_not_read_no_rest_is_due() -> None:
    it = Reader()
    it.wire.data_received(PING.encode()[:5])
    timer = it.wire._rest
    it.wire.pause_writing()
    assert timer is not None
    assert timer.cancelled()
    it.wire.resume_writing()
    await turn()
    assert it.wire._rest is not None


async def test_smpp_what_is_no_pdu_ends_it_after_those_before() -> None:
    it = Reader()
    it.wire.data_received(PING.encode() + struct.pack(">I", 15) + PING.encode())
    assert isinstance(await it.why(), pdus.Malformed)
    it.wire.data_received(PING.encode())
    assert it.taken == [PING]


async def test_smpp_nothing_is_taken_after_the_end() -> None:
    it = Reader()
    it.wire.data_received(PING.encode() * 40)
    it.wire.abort()
    it.wire.data_received(PING.encode())
    await turn()
    assert len(it.taken) == 32
    assert it.paper.closed


async def test_smpp_a_bug_in_who_takes_is_told() -> None:
    it = Reader()
    bug = ZeroDivisionError()

    def fail(_: pdus.Pdu) -> None:
        raise bug

    it.wire._take = fail
    it.wire.data_received(PING.encode())
    assert await it.why() is bug
