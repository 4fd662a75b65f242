"""The port for Prometheus: it answers one question, and whoever sits on it hinders nobody else for long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from agi_sms import errors
from agi_sms import metrics as counters
from agi_sms.web import listener, metrics


@pytest.fixture
async def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[listener.Listener]:
    """The port; parametrised with a deadline in seconds, or with its own."""
    monkeypatch.setattr(metrics, "DEADLINE", getattr(request, "param", metrics.DEADLINE))
    opened = await metrics.listen("127.0.0.1", 0)
    yield opened
    await opened.close()


async def ask(port: int, request: bytes) -> bytes:
    """What comes back until the connection ends; empty where it is cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            writer.write(request)
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_it_gives_the_numbers_and_closes(door: listener.Listener) -> None:
    counters.FAULTS.labels("a-test").inc()
    answer = await ask(door.port, GET)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in answer
    assert b"text/plain; version=" in answer
    assert b'agi_sms_faults_total{kind="a-test"} 1.0' in answer


@pytest.mark.parametrize(
    "request_line",
    [b"GET / HTTP/1.1", b"GET /metrics/x HTTP/1.1", b"GET //metrics HTTP/1.1", b"POST /metrics HTTP/1.1"],
)
async def test_nothing_else_is_there(door: listener.Listener, request_line: bytes) -> None:
    answer = await ask(door.port, request_line + b"\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "junk", [b"\x00\xff\xfe\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000]
)
async def test_junk_is_answered_or_cut_and_says_nothing_in_the_log(
    door: listener.Listener, junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert b"agi_sms_" not in await ask(door.port, junk)
    assert (await ask(door.port, GET)).startswith(b"HTTP/1.1 200 ")
    assert caplog.text == ""


@pytest.mark.parametrize("door", [0.5], indirect=True)
@pytest.mark.parametrize("beginning", [b"", b"GET /metrics HTTP/1.1\r\nX: "], ids=["silent", "half a head"])
async def test_two_hundred_idle_connections_keep_it_for_the_deadline_at_most(
    door: listener.Listener, beginning: bytes
) -> None:
    idle = []
    for _ in range(200):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(beginning)
        idle.append((reader, writer))
    assert len(door._doors) <= metrics.MOST_CONNECTIONS
    async with asyncio.timeout(20):
        # until the deadline frees a place
        while not (await ask(door.port, GET)).startswith(b"HTTP/1.1 200 "):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        for reader, writer in idle:  # and none of the idle ones is left
            with contextlib.suppress(ConnectionError):
                assert await reader.read() in (b"", b"HTTP/1.0 400 Bad Request\r\n")
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        while door._doors:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("door", [0.3], indirect=True)
async def test_a_head_that_drips_ends_at_the_deadline(door: listener.Listener) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nX: ")
    ended = asyncio.create_task(reader.read())
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            while not ended.done():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
    with contextlib.suppress(ConnectionError):
        assert await ended == b""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_a_taken_port_is_said_clearly(door: listener.Listener) -> None:
    with pytest.raises(errors.AgiSmsError, match=rf"metrics\.listen: 127\.0\.0\.1:{door.port} is taken.*another port"):
        await metrics.listen("127.0.0.1", door.port)


async def test_an_address_that_is_not_ours_is_said_clearly() -> None:
    with pytest.raises(errors.AgiSmsError, match=r"metrics\.listen: 192\.0\.2\.1:9464 is no address of this machine"):
        await metrics.listen("192.0.2.1", 9464)


async def test_closing_frees_the_port_and_ends_what_is_open() -> None:
    first = await metrics.listen("127.0.0.1", 0)
    port = first.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(20):
        await first.close()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    second = await metrics.listen("127.0.0.1", port)
    assert (await ask(port, GET)).startswith(b"HTTP/1.1 200 ")
    await second.close()
