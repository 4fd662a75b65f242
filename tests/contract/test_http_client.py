"""What a peer may not do to the HTTP client: answer what nobody asked, or go on with interim answers for ever."""

import asyncio
import contextlib
from datetime import timedelta

import yarl

from agi_sms import http_body, http_client
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
