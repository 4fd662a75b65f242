"""What a peer may not do to the HTTP client: answer what nobody asked, go on for ever, or take all its time."""

import asyncio
import contextlib
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
import yarl
from aiohttp import client_proto

from agi_sms import http_body, http_client, turns
from tests.contract import peer

TIMEOUT = timedelta(seconds=10)


def question(url: str, method: str = "POST") -> http_client.Request:
    return http_client.Request(method=method, url=yarl.URL(url), headers={}, body=b"x" if method == "POST" else None)


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def test_an_answer_that_nobody_asked_for_is_nobodys() -> None:
    """It comes while the connection is idle, and would be taken for the answer to the next question."""
    read = asyncio.Event()
    gone = asyncio.Event()

    async def twice(_: peer.Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(whole(b"mine"))
        await read.wait()
        writer.write(whole(b"STALE"))
        with contextlib.suppress(OSError):
            while True:  # until the client has cut it
                await writer.drain()
                writer.write(b"STALE")
                await asyncio.sleep(0)
        gone.set()
        return False

    async with peer.running(twice) as other:
        client = http_client.Client()
        try:
            for _ in range(3):
                read.clear()
                gone.clear()
                answer = await client.exchange(question(other.url), timeout=TIMEOUT, most=1000)
                assert isinstance(answer, http_body.Raw), answer
                assert answer.body == b"mine"
                read.set()
                async with asyncio.timeout(10):
                    await gone.wait()
        finally:
            await client.close()


async def test_interim_answers_without_end_are_cut() -> None:
    async def forever(_: peer.Request, writer: asyncio.StreamWriter) -> bool:
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
            await writer.drain()
        return False

    async with peer.running(forever) as other:
        client = http_client.Client()
        try:
            answer = await client.exchange(question(other.url, "GET"), timeout=TIMEOUT, most=1000)
        finally:
            await client.close()
    assert isinstance(answer, http_client.Fault)
    assert answer.code == "broken"


async def test_a_few_interim_answers_are_skipped() -> None:
    async with peer.running(peer.raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5 + whole(b"Hello"))) as other:
        client = http_client.Client()
        try:
            answer = await client.exchange(question(other.url, "GET"), timeout=TIMEOUT, most=1000)
        finally:
            await client.close()
    assert isinstance(answer, http_body.Raw)
    assert answer.body == b"Hello"


# --- what costs much to read --------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
COSTLY = {
    "chunks of one byte": (HEAD, b"1\r\nx\r\n" * 10_000),
    "words behind a chunk's size": (HEAD + b"1;", b"x" * 60_000),
    "a great answer": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 60_000),
    "a great head, and no length": (
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (at, b"x" * 7000) for at in range(25)) + b"\r\n",
        b"x" * 60_000,
    ),
}


@pytest.mark.parametrize("name", COSTLY)
async def test_of_what_a_peer_sends_one_piece_is_taken_in_a_turn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten connections at once, each without an end: whoever else the event loop serves has turns in between."""
    beginning, more = COSTLY[name]

    async def forever(_: peer.Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(beginning)
        while not writer.is_closing():
            writer.write(more)
            await writer.drain()
        return False

    monkeypatch.setattr(turns, "_SHARE", 0.0)
    loop, turn, going = asyncio.get_running_loop(), 0, True
    taken: list[tuple[int, int]] = []
    plain = client_proto.ResponseHandler.data_received

    def count() -> None:
        nonlocal turn
        turn += 1
        if going:
            loop.call_soon(count)

    def data_received(handler: client_proto.ResponseHandler, data: bytes) -> None:
        if data:
            taken.append((turn, len(data)))
        plain(handler, data)

    monkeypatch.setattr(client_proto.ResponseHandler, "data_received", data_received)
    count()
    most = 64 * 1024
    async with peer.running(forever) as other:
        client = http_client.Client()
        try:
            answers = await asyncio.gather(
                *(client.exchange(question(other.url), timeout=6 * TIMEOUT, most=most) for _ in range(10))
            )
        finally:
            going = False
            await client.close()
    assert len({number for number, _ in taken}) == len(taken)
    assert max(size for _, size in taken) <= turns.PIECE
    assert sum(size for _, size in taken) <= 10 * (http_client._HEAD + 2 * most)
    for answer in answers:
        if isinstance(answer, http_body.Raw):
            assert not answer.whole
        else:
            assert (answer.written, answer.code) == (True, "broken")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("size", [1, 7, 1000, 70_000])
async def test_an_answer_in_pieces_arrives_whole_though_the_connection_ends_behind_it(size: int, tls: bool) -> None:
    body = bytes(range(256)) * (20 if size == 1 else 1000)
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    plain = b"HTTP/1.1 200 OK\r\n\r\n" + body  # until the end of the connection
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as ca:
        ca.write(peer.CERTIFICATE)
        ca.flush()
        for answer in (HEAD + chunks, plain):
            async with peer.running(peer.raw(answer), tls=tls) as other:
                client = http_client.Client(ca_file=Path(ca.name) if tls else None)
                try:
                    found = await client.exchange(question(other.url), timeout=6 * TIMEOUT, most=len(body))
                finally:
                    await client.close()
            assert isinstance(found, http_body.Raw), found
            assert (found.body, found.whole) == (body, True)
