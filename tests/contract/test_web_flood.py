"""The ports on the gateway's event loop while somebody sends what costs much to read: everybody else has turns too."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from aiohttp import web

from agi_sms import turns
from agi_sms.web import door, receipts
from tests.contract import desks

CHUNKED = b"POST /receipts/company HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
TINY = CHUNKED + b"1\r\nx\r\n" * 60_000 + b"0\r\n\r\n"
FLOODS = {
    "chunks of one byte": TINY,
    "words behind a chunk's size": CHUNKED + b"1;" + b"x" * 900_000,
    "empty lines": b"\r\n" * 400_000,
    "requests behind a request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20_000,
    "a great body": b"POST /receipts/company HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000,
}


class Watch:
    """What reaches aiohttp, and in which turn of the event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.turn = 0
        self.taken: list[tuple[int, object, int]] = []
        self._loop = asyncio.get_running_loop()
        self._going = self._loop.call_soon(self._count)
        plain: Callable[..., None] = web.RequestHandler.data_received

        def data_received(handler: web.RequestHandler, data: bytes) -> None:
            if data:
                self.taken.append((self.turn, id(handler), len(data)))
            plain(handler, data)

        monkeypatch.setattr(web.RequestHandler, "data_received", data_received)

    def _count(self) -> None:
        self.turn += 1
        self._going = self._loop.call_soon(self._count)

    def end(self) -> None:
        self._going.cancel()


async def flood(desk: desks.Desk, data: bytes) -> bytes:
    """What is answered; empty where the connection is cut."""
    async with desk.connected() as (reader, writer):
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(60):
                return await reader.read()
        return b""


@pytest.mark.parametrize("name", FLOODS)
async def test_of_all_that_comes_in_a_turn_one_piece_is_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_SHARE", 0.0)
    monkeypatch.setattr(receipts, "ASKING", 2.0)
    async with desks.opened() as desk:
        watch = Watch(monkeypatch)
        try:
            answers = await asyncio.gather(*(flood(desk, FLOODS[name]) for _ in range(20)))
        finally:
            watch.end()
        assert len({turn for turn, _, _ in watch.taken}) == len(watch.taken)
        assert max(size for _, _, size in watch.taken) <= turns.PIECE
        whole = receipts.LARGEST + door._HEAD
        for one in {handler for _, handler, _ in watch.taken}:
            assert sum(size for _, handler, size in watch.taken if handler == one) <= whole
        assert not any(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        assert desk.company.notices == []
        assert (await desk.ask(data=b"id=1"))[0] == 200


async def test_tiny_chunks_are_refused_before_they_are_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_SHARE", 0.0)
    async with desks.opened() as desk:
        watch = Watch(monkeypatch)
        try:
            answer = await flood(desk, TINY)
        finally:
            watch.end()
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert sum(size for _, _, size in watch.taken) < 16 * turns.PIECE  # of 360,000 bytes


@pytest.mark.parametrize("size", [600, 4096, 16384])
async def test_chunks_as_proxies_make_them_are_taken(size: int) -> None:
    body = b"x" * receipts.LARGEST
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    data = CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    async with desks.opened() as desk:
        assert (await flood(desk, data)).startswith(b"HTTP/1.1 200 ")
        assert desk.company.notices[0].body == body
