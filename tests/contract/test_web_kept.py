"""A connection that stays for another receipt: it costs no handshake, and no more than its limits."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest

from agi_sms import errors, ports, turns
from agi_sms.web import door as web_door
from agi_sms.web import receipts
from tests.contract import desks, doors
from tests.contract.test_web_hostile import faults

HEAD = b"POST /receipts/company HTTP/1.1\r\nHost: x\r\n"
WHOLE = HEAD + b"Content-Length: 4\r\n\r\nid=1"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nid=1\r\n0\r\n\r\n"


@pytest.fixture
async def desk() -> AsyncIterator[desks.Desk]:
    async with desks.opened(idle=60.0) as made:
        yield made


async def answer(reader: asyncio.StreamReader) -> bytes:
    """One answer; empty where the connection ends instead."""
    async with asyncio.timeout(20):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return head + await reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether nothing but the end comes."""
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            return await reader.read() == b""
        return True


@pytest.mark.parametrize("request_", [WHOLE, WHOLE.replace(b"POST", b"GET")], ids=["POST", "GET"])
async def test_one_receipt_after_the_other_on_one_connection(desk: desks.Desk, request_: bytes) -> None:
    async with desk.connected() as (reader, writer):
        for _ in range(20):
            writer.write(request_)
            found = await answer(reader)
            assert found.startswith(b"HTTP/1.1 200 ")
            assert found.endswith(b"OK")
            assert b"\r\nConnection: close" not in found
        assert desk.open == 1
    assert len(desk.kept) == 20


async def test_in_pieces_that_come_when_they_come(desk: desks.Desk) -> None:
    async with desk.connected() as (reader, writer):
        for number in range(6):
            for at in range(0, len(WHOLE), 10 * (number + 1)):
                writer.write(WHOLE[at : at + 10 * (number + 1)])
                await writer.drain()
                await asyncio.sleep(0.001)
            assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
    assert [one.body for one in desk.company.notices] == [b"id=1"] * 6


@pytest.mark.parametrize(
    ("request_", "said", "status"),
    [
        (WHOLE, errors.ReceiptForged(), b"403"),
        (WHOLE, errors.ReceiptError(), b"400"),
        (WHOLE, KeyError("a bug"), b"503"),
        (WHOLE.replace(b"/company", b"/nobody"), None, b"403"),
        (WHOLE.replace(b"/receipts", b"/nothing"), None, b"404"),
        (WHOLE.replace(b"POST", b"DELETE"), None, b"405"),
        (HEAD + b"Content-Length: 99999999\r\n\r\n", None, b"413"),
        (HEAD + b"Connection: close\r\nContent-Length: 4\r\n\r\nid=1", None, b"200"),
        (WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"), None, b"200"),
    ],
)
async def test_nothing_but_a_success_keeps_it(
    desk: desks.Desk, request_: bytes, said: Exception | None, status: bytes
) -> None:
    async with desk.connected() as (reader, writer):
        writer.write(WHOLE)
        assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
        desk.company.said = said or desk.company.said
        writer.write(request_)
        assert (await answer(reader)).split()[1] == status
        assert await ended(reader)


@pytest.mark.parametrize("early", [WHOLE, WHOLE[:10], WHOLE * 40, b"x" * 50_000], ids=["whole", "part", "many", "much"])
async def test_what_comes_before_the_answer_is_nobodys(desk: desks.Desk, early: bytes) -> None:
    """A request that a proxy takes for a part of another's must not be answered in that one's place."""
    desk.gate.clear()
    async with desk.connected() as (reader, writer):
        writer.write(WHOLE)
        await doors.until(lambda: desk.taking == 1)
        writer.write(early)
        await writer.drain()
        await doors.until(lambda: any(door._early for door in desk.listener._doors.values()))  # type: ignore[union-attr]
        desk.gate.set()
        assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
        assert await ended(reader)
    assert len(desk.kept) == 1


@pytest.mark.parametrize(
    "request_",
    [
        WHOLE + HEAD[:30],
        WHOLE + HEAD + b"X-Swallow: ",
        WHOLE + b"\r\n",
        WHOLE.replace(b"Host", b"Connection: upgrade\r\nUpgrade: x\r\nHost") + WHOLE,
        CHUNKED,
        CHUNKED + HEAD[:30],
    ],
    ids=["part", "head", "blank", "upgrade", "chunks", "chunks and part"],
)
async def test_nothing_hides_behind_a_request_on_a_connection_that_stays(desk: desks.Desk, request_: bytes) -> None:
    """A request of which the head has begun would swallow what another brings on the same connection."""
    async with desk.connected() as (reader, writer):
        writer.write(request_)
        assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
        assert await ended(reader)
    assert len(desk.kept) == 1


async def test_one_that_stays_idle_is_let_go() -> None:
    async with desks.opened(idle=0.2) as desk, desk.connected() as (reader, writer):
        writer.write(WHOLE)
        assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
        assert await ended(reader)


async def test_a_later_request_has_no_more_time_than_the_first() -> None:
    async with desks.opened(idle=60.0) as desk, desk.connected() as (reader, writer):
        writer.write(WHOLE)
        assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
        assert desk.listener is not None
        desk.listener.limits = dataclasses.replace(desk.listener.limits, asking=0.3)
        end = asyncio.create_task(ended(reader))
        with contextlib.suppress(ConnectionError):
            while not end.done():  # it is cut, however long this goes on
                writer.write(b"\r\n")
                await writer.drain()
                await asyncio.sleep(0.02)
        assert await end


async def test_a_later_request_has_no_more_bytes_than_the_first(desk: desks.Desk) -> None:
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % receipts.LARGEST + b"x" * receipts.LARGEST
    async with desk.connected() as (reader, writer):
        for _ in range(3):  # together more than one may have
            writer.write(whole)
            assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
        writer.write(HEAD + b"X: " + b"x" * 5000 + b"\r\n\r\n")
        assert (await answer(reader)).split()[1] == b"400"
        assert await ended(reader)


async def test_so_many_requests_and_no_more(desk: desks.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_door, "_MOST_REQUESTS", 3)
    async with desk.connected() as (reader, writer):
        for number in range(3):
            writer.write(WHOLE)
            assert (b"\r\nConnection: close" in await answer(reader)) == (number == 2)
        assert await ended(reader)


async def test_the_idle_give_way_to_others(desk: desks.Desk) -> None:
    async with contextlib.AsyncExitStack() as stack:
        many = [await stack.enter_async_context(desk.connected()) for _ in range(receipts.MOST_CONNECTIONS)]
        for reader, writer in many:
            writer.write(WHOLE)
            assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
        assert desk.open == receipts.MOST_CONNECTIONS
        for _ in range(10):
            assert (await desk.ask())[0] == 200
        reader, writer = many[-1]  # the one that we have waited for least
        writer.write(WHOLE)
        assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")


async def test_who_has_begun_another_request_is_behind_those_who_said_nothing(desk: desks.Desk) -> None:
    async with contextlib.AsyncExitStack() as stack:
        reader, writer = await stack.enter_async_context(desk.connected())
        writer.write(WHOLE)
        assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
        for _ in range(receipts.MOST_CONNECTIONS - 1):
            await stack.enter_async_context(desk.connected())
        await doors.until(lambda: desk.open == receipts.MOST_CONNECTIONS)
        writer.write(WHOLE[:20])
        assert desk.listener is not None
        door = next(iter(desk.listener._doors.values()))
        await doors.until(lambda: not door.idle)
        assert (await desk.ask())[0] == 200
        writer.write(WHOLE[20:])
        assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")


async def test_that_the_idle_give_way_is_no_trouble(desk: desks.Desk) -> None:
    before = faults("web_crowded")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(receipts.MOST_CONNECTIONS):
            reader, writer = await stack.enter_async_context(desk.connected())
            writer.write(WHOLE)
            assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
        assert (await desk.ask())[0] == 200
    assert faults("web_crowded") == before


async def test_closing_lets_go_of_the_idle(desk: desks.Desk) -> None:
    async with desk.connected() as (reader, writer):
        writer.write(WHOLE)
        assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
        async with asyncio.timeout(10):
            await desk.close()
        assert await ended(reader)


class Quick:
    """A provider that says which notices it reads in no time."""

    def __init__(self, company: desks.Company) -> None:
        self._company = company
        self.read = company.read

    def quick(self, notice: ports.Notice) -> bool:
        return notice.body == b"id=1"


async def test_what_is_read_in_no_time_takes_no_thread(desk: desks.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.listener._answer.__self__, "_providers", lambda: {"company": Quick(desk.company)})  # type: ignore[union-attr]
    assert (await desk.ask(data=b"id=1"))[0] == 200
    assert desk.company.threads == {"MainThread"}
    assert (await desk.ask(data=b"id=2"))[0] == 200
    assert any(name.startswith("agi-sms-receipts") for name in desk.company.threads)


async def test_of_many_that_come_at_once_threads_read_the_rest(
    desk: desks.Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a burst of them would keep the event loop, and calls with it."""
    share = turns.Share(0.0)  # what takes longer than a turn has
    share.spend(lambda: None)
    monkeypatch.setattr(share, "_begin", lambda: None)
    answering = desk.listener._answer.__self__  # type: ignore[union-attr]
    monkeypatch.setattr(answering, "_providers", lambda: {"company": Quick(desk.company)})
    monkeypatch.setattr(answering, "_share", share)
    assert (await desk.ask(data=b"id=1"))[0] == 200
    assert all(name.startswith("agi-sms-receipts") for name in desk.company.threads)
