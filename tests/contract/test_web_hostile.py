"""The port for receipts, as somebody finds it who wants no receipt kept: it stays there for the providers."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator

import prometheus_client
import pytest
import structlog
from structlog.testing import capture_logs

from agi_sms import errors, ports
from agi_sms.web import listener, receipts
from tests.contract import desks, doors

POST = b"POST /receipts/company HTTP/1.1\r\nHost: x\r\n"
WHOLE = POST + b"Content-Length: 4\r\n\r\nid=1"


@pytest.fixture
async def desk() -> AsyncIterator[desks.Desk]:
    async with desks.opened() as made:
        yield made


def faults(kind: str) -> float:
    return prometheus_client.REGISTRY.get_sample_value("agi_sms_faults_total", {"kind": kind}) or 0.0


# --- work ---------------------------------------------------------------------------------------------------------


async def test_whoever_posts_and_resets_gets_no_more_done_than_one_who_waits(
    desk: desks.Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "PATIENCE", 60.0)
    desk.gate.clear()
    before = faults("web_busy")
    for number in range(receipts.MOST_AT_WORK + 50):
        async with desk.connected() as (reader, writer):
            writer.write(WHOLE)
            if number < receipts.MOST_AT_WORK:
                await doors.until(lambda wanted=number + 1: desk.taking == wanted)  # type: ignore[misc]  # a default
            else:
                assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
            desks.reset(writer)
    assert desk.busiest == len(desk.company.notices) == receipts.MOST_AT_WORK
    answer = await desk.raw(WHOLE)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 30\r\n" in answer
    assert faults("web_busy") == before + 51
    desk.gate.set()
    await doors.until(lambda: desk.taking == 0)
    assert (await desk.ask())[0] == 200
    assert len(desk.kept) == receipts.MOST_AT_WORK + 1  # nothing that was whole is lost


async def test_what_never_became_whole_is_no_work(desk: desks.Desk) -> None:
    for beginning in (b"", POST, POST + b"Content-Length: 4\r\n\r\nid="):
        for _ in range(receipts.MOST_AT_WORK + 50):
            async with desk.connected() as (_, writer):
                writer.write(beginning)
                await writer.drain()
                desks.reset(writer)
    assert (await desk.ask())[0] == 200
    assert len(desk.company.notices) == 1


async def test_what_takes_too_long_to_keep_is_to_come_again(desk: desks.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "PATIENCE", 0.2)
    desk.gate.clear()
    assert (await desk.raw(WHOLE)).startswith(b"HTTP/1.1 503 ")
    assert desk.taking == 0
    desk.gate.set()
    assert (await desk.ask())[0] == 200


async def test_what_is_hard_to_read_hinders_nobody_else(desk: desks.Desk) -> None:
    """It is read beside the event loop, and not where names are looked up and certificates read."""
    desk.company.hold.clear()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(10):
            _, writer = await stack.enter_async_context(desk.connected())
            writer.write(WHOLE)
        await doors.until(lambda: len(desk.company.threads) == 2)
        assert (await desk.ask(method="DELETE"))[0] == 405  # the event loop is free
        assert await asyncio.to_thread(lambda: "free") == "free"
        assert all(name.startswith("agi-sms-receipts") for name in desk.company.threads)
        desk.company.hold.set()


async def test_closing_lets_end_what_is_being_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_LEAVE", 60.0)
    async with desks.opened() as desk, desk.connected() as (reader, writer):
        desk.gate.clear()
        writer.write(WHOLE)
        await doors.until(lambda: desk.taking == 1)
        closing = asyncio.create_task(desk.close())
        await asyncio.sleep(0)  # it has begun
        desk.gate.set()
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        await closing
        assert len(desk.kept) == 1


async def test_nothing_goes_on_behind_a_closed_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_LEAVE", 0.1)
    async with desks.opened() as desk, desk.connected() as (reader, writer):
        desk.gate.clear()
        writer.write(WHOLE)
        await doors.until(lambda: desk.taking == 1)
        await desk.close()
        assert desk.taking == 0
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        assert desk.kept == []


# --- connections --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"", b""),
        (b"", b"\r\n"),
        (b"POST /receipts/company", b"/x"),
        (POST + b"X: ", b"x"),
        (POST, b"X: x\r\n"),
        (POST + b"Content-Length: 60000\r\n\r\n", b"x"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1;x=", b"x"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", b"x"),
    ],
    ids=["silent", "empty lines", "line", "header", "headers", "body", "chunks", "chunk's words", "a great chunk"],
)
async def test_whoever_drips_is_cut(beginning: bytes, drop: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is for the whole request: what comes meanwhile does not prolong it."""
    monkeypatch.setattr(receipts, "ASKING", 0.3)
    async with desks.opened() as desk, desk.connected() as (reader, writer):
        writer.write(beginning)
        ended = asyncio.create_task(reader.read())
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                while not ended.done():
                    writer.write(drop)
                    await writer.drain()
                    await asyncio.sleep(0.02)
            with contextlib.suppress(ConnectionError):
                assert not (await ended).startswith(b"HTTP/1.1 200")
        assert desk.company.notices == []


async def test_whoever_does_not_take_the_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "ANSWERING", 0.3)
    async with desks.opened() as desk, desk.connected() as (reader, writer):
        desk.company.said = ports.Report(receipts=(), body=b"x" * 50_000_000)
        writer.write(WHOLE)
        await doors.until(lambda: desk.company.notices)
        await doors.until(lambda: not desk.open)
        with contextlib.suppress(ConnectionError):
            await reader.read()


async def test_where_too_many_wait_the_one_that_waits_longest_gives_way(desk: desks.Desk) -> None:
    before = faults("web_crowded")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2 * receipts.MOST_CONNECTIONS):
            _, writer = await stack.enter_async_context(desk.connected())
            writer.write(POST)
        assert (await desk.ask())[0] == 200  # long before their time is over
        assert desk.open <= receipts.MOST_CONNECTIONS
    assert faults("web_crowded") > before


async def test_what_is_being_worked_on_gives_way_to_nobody(desk: desks.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.gate.clear()
    async with contextlib.AsyncExitStack() as stack:
        reader, writer = await stack.enter_async_context(desk.connected())
        writer.write(WHOLE)
        await doors.until(lambda: desk.taking == 1)
        for _ in range(2 * receipts.MOST_CONNECTIONS):
            await stack.enter_async_context(desk.connected())
        await doors.until(lambda: desk.open == receipts.MOST_CONNECTIONS)
        desk.gate.set()
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")


async def test_a_connection_brings_one_request_at_a_time(desk: desks.Desk) -> None:
    answer = await desk.raw(WHOLE.replace(b"Host", b"Connection: keep-alive\r\nHost") * 40)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in answer
    assert len(desk.kept) == 1


# --- what comes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "x-nobody", "gzip, identity"])
async def test_what_is_packed_is_not_unpacked(desk: desks.Desk, coding: str) -> None:
    for data in (gzip.compress(b"id=1"), gzip.compress(b"x" * 50_000_000)):
        assert (await desk.ask(data=data, headers={"Content-Encoding": coding}))[0] == 415
    assert desk.company.notices == []


async def test_what_says_that_it_is_not_packed(desk: desks.Desk) -> None:
    assert (await desk.ask(data=b"id=1", headers={"Content-Encoding": "Identity"}))[0] == 200
    assert desk.company.notices[0].body == b"id=1"
    assert (await desk.raw(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nid\r\n2;a=b\r\n=1\r\n0\r\n\r\n")).startswith(
        b"HTTP/1.1 200 "
    )
    assert desk.company.notices[1].body == b"id=1"


NO_REQUESTS = {
    "packed on its way": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nid=1\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nid=1",
    "a length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length that is none": POST + b"Content-Length: +4\r\n\r\nid=1",
    "a length below zero": POST + b"Content-Length: -4\r\n\r\nid=1",
    "a length beyond all": POST + b"Content-Length: 99999999999999999999\r\n\r\nid=1",
    "a great length": POST + b"Content-Length: 9999999999\r\n\r\nid=1",
    "a chunk that is none": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nid=1",
    "too much in chunks": POST
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"800\r\n"
    + b"x" * 0x800
    + (b"\r\n1\r\nx" * 90_000),
    "endless words of a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 2_000_000,
    "endless trailers": POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: x\r\n" * 200_000,
    "many headers": POST + b"".join(b"X-%d: x\r\n" % number for number in range(5000)) + b"\r\n",
    "a long header": POST + b"X: " + b"x" * 20_000 + b"\r\n\r\n",
    "a long name of a header": POST + b"x" * 20_000 + b": x\r\n\r\n",
    "a long line": b"POST /receipts/company?" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "an endless line": b"x" * 3_000_000,
    "a head whose lines end in LF": WHOLE.replace(b"\r\n", b"\n") + b"\r\n\r\n",
    "a head that ends in LF": POST + b"Content-Length: 4\n\nid=1\r\n\r\n",
    "NUL in a header": POST + b"X: a\0b\r\n\r\n",
    "NUL in the address": b"GET /receipts/company\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL": b"\0" * 5000,
    "another host's address": b"GET http://evil.example/receipts/company HTTP/1.1\r\nHost: x\r\n\r\n",
    "no address": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes that are no UTF-8": b"GET /receipts/comp\xffany HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 300,
    "another method": WHOLE.replace(b"POST", b"DELETE"),
    "a method of their own": WHOLE.replace(b"POST", b"REPORTS"),
}


@pytest.mark.parametrize("name", NO_REQUESTS)
async def test_what_is_no_request_is_refused_without_a_trace(
    desk: desks.Desk, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    structlog.reset_defaults()
    with capture_logs() as lines:
        for _ in range(3):
            answer = await desk.raw(NO_REQUESTS[name])
            assert answer == b"" or answer.split()[1] in {b"400", b"403", b"404", b"405", b"413", b"501"}
            assert b"aiohttp" not in answer and b"Python" not in answer and b"xxx" not in answer  # noqa: PT018
    assert desk.company.notices == []
    assert (lines, caplog.text) == ([], "")
    assert (await desk.ask())[0] == 200


async def test_the_methods_are_named(desk: desks.Desk) -> None:
    assert b"\r\nAllow: GET, POST, PUT\r\n" in await desk.raw(WHOLE.replace(b"POST", b"PATCH"))


# --- what a stranger learns ---------------------------------------------------------------------------------------


def undated(answer: bytes) -> list[bytes]:
    return [line for line in answer.split(b"\r\n") if not line.startswith(b"Date:")]


@pytest.mark.parametrize(
    "request_", [WHOLE, WHOLE.replace(b"POST", b"GET"), POST + b"Content-Length: 60000\r\n\r\n" + b"x" * 60_000]
)
async def test_a_stranger_cannot_tell_a_provider_from_none(desk: desks.Desk, request_: bytes) -> None:
    desk.company.said = errors.ReceiptForged("the token in the address is not ours")
    answer = await desk.raw(request_)
    assert answer.startswith(b"HTTP/1.1 403 ")
    for path in (b"/nobody", b"/", b"/company%20", b"/" + b"x" * 500, b"/%00", b"/%ff"):
        other = await desk.raw(request_.replace(b"/company", path, 1))
        assert undated(other) == undated(answer)


async def test_names_that_nobody_has_fill_neither_log_nor_memory_nor_metrics(desk: desks.Desk) -> None:
    structlog.reset_defaults()
    before = faults("receipt_unknown")
    with capture_logs() as lines:
        for number in range(100):
            await desk.ask(f"/receipts/%1b[2Jnobody-{number}")
    assert len(lines) == 1
    assert faults("receipt_unknown") == before + 100
    assert "nobody-" not in prometheus_client.generate_latest().decode()
