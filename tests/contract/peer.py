"""An HTTP peer that misbehaves on demand, on a loopback port. It counts what arrives, byte by byte as it came."""

import asyncio
import contextlib
import queue
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Made for these tests, worth nothing: self-signed for localhost and 127.0.0.1, good until 2120.
KEY = """\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIP3+3qrE9/6r1/CGFvnf2TnMsqJyU6Z16+cUlGq4BeFCoAoGCCqGSM49
AwEHoUQDQgAEYtyA/XID9v3Sml7bFkAAwrQsbcs2Ez5++rdxCVAWPCfFWH/k6GzM
NdsN1iPNzBPu2iilQc/Jx8L8M2P4JIxRRw==
-----END EC PRIVATE KEY-----
"""
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGLcgP1yA/b90ppe
2xZAAMK0LG3LNhM+fvq3cQlQFjwnxVh/5OhszDXbDdYjzcwT7toopUHPycfC/DNj
+CSMUUejXjBcMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAPBgNVHRMBAf8E
BTADAQH/MA4GA1UdDwEB/wQEAwIChDAdBgNVHQ4EFgQULAaQ5woW9lVLwRvEktV4
JPx7PsgwCgYIKoZIzj0EAwIDSAAwRQIgYIzhOAncqdMgSKB/r/Ijw8JeKYkdfYQp
BTUx5eg8kdICIQDl1zjlKqJphd/TsIPgt+B2ihjrAjEIAVpHvHLHfIgcWQ==
-----END CERTIFICATE-----
"""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What arrived. `connection` counts from 1."""

    method: str
    target: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    connection: int


Behaviour = Callable[[Request, asyncio.StreamWriter], Awaitable[bool]]  # whether the connection stays


@dataclass
class Peer:
    """A running peer. `behave` may be replaced at any time."""

    behave: Behaviour
    reset_at_once: bool = False  # cut every connection before its request is read
    greeting: bytes | None = None  # say this at once, and never answer
    host: str = "127.0.0.1"
    port: int = 0
    scheme: str = "http"
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    async def arrived(self) -> None:
        """Wait for the first request, with a deadline."""
        async with asyncio.timeout(10):
            await self.came.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        number = self.connections
        try:
            if self.reset_at_once:
                reset(writer)
                return
            if self.greeting is not None:
                writer.write(self.greeting)
                await reader.read()
                return
            while (request := await _read(reader, number)) is not None:
                self.requests.append(request)
                self.came.set()
                if not await self.behave(request, writer):
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the other side is gone, or the test is over
        finally:
            self.tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()


async def _read(reader: asyncio.StreamReader, connection: int) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method=method, target=target, headers=headers, body=body, connection=connection)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder, "chain.pem")
        chain.write_text(KEY + CERTIFICATE)
        context.load_cert_chain(chain)
    return context


@contextlib.asynccontextmanager
async def running(
    behave: Behaviour, *, tls: bool = False, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Peer]:
    """A peer for the duration; `host` is any loopback address."""
    peer = Peer(behave=behave, host=host, scheme="https" if tls else "http")
    context = _context() if tls else None
    server = await asyncio.start_server(peer.serve, host, port, ssl=context)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in tuple(peer.tasks):
            task.cancel()
        await asyncio.gather(*peer.tasks, return_exceptions=True)
        await server.wait_closed()


@contextlib.contextmanager
def beside(*behaviours: Behaviour) -> Iterator[list[Peer]]:
    """Peers on a loop and thread of their own, for tests that have no loop."""
    started: queue.SimpleQueue[tuple[list[Peer], asyncio.AbstractEventLoop, asyncio.Event]] = queue.SimpleQueue()

    async def serve() -> None:
        async with contextlib.AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(running(behave)) for behave in behaviours]
            end = asyncio.Event()
            started.put((peers, asyncio.get_running_loop(), end))
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    peers, loop, end = started.get(timeout=20)
    try:
        yield peers
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()


# --- behaviours ------------------------------------------------------------------------------------------------


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a TCP reset."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def answer(status: int = 200, body: bytes = b"{}", headers: dict[str, str] | None = None) -> Behaviour:
    """A well-formed answer; the connection stays."""
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return raw(f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body, keep=True)


def raw(data: bytes, *, keep: bool = False) -> Behaviour:
    """These bytes, and the end of the connection unless it is kept."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        return keep

    return behave


def cut(first: bytes = b"") -> Behaviour:
    """These bytes, then a reset."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> bool:
        if first:
            writer.write(first)
            await writer.drain()
            await asyncio.sleep(0.02)  # let them arrive: a reset throws away what is still on its way
        reset(writer)
        return False

    return behave


def silence() -> Behaviour:
    """Nothing, for ever."""

    async def behave(_: Request, __: asyncio.StreamWriter) -> bool:
        await asyncio.Event().wait()
        return False

    return behave


def drip(head: bytes, *, pause: float = 0.02) -> Behaviour:
    """A beginning, then one byte at a time, for ever."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(head)
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(pause)

    return behave


def endless() -> Behaviour:
    """An answer that is bigger than anybody wants."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            writer.write(b"x" * 16384)
            await writer.drain()

    return behave


def large(size: int) -> Behaviour:
    """An answer of so many bytes that says so beforehand."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> bool:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
        writer.write(head.encode())
        for at in range(0, size, 16384):
            writer.write(b"x" * min(16384, size - at))
            await writer.drain()
        return True

    return behave


def echo(status: int = 200) -> Behaviour:
    """All that was sent, headers included, as text: a provider that repeats our secrets."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> bool:
        lines = [f"{request.method} {request.target}", *(f"{k}: {v}" for k, v in request.headers.items())]
        body = "\n".join(lines).encode() + b"\n" + request.body
        return await answer(status, body, {"Content-Type": "text/plain"})(request, writer)

    return behave


def redirect(location: str, status: int = 302) -> Behaviour:
    """A redirect with a body that nobody wants."""
    return answer(status, b"moved", {"Location": location, "Content-Type": "text/plain"})


def gated(gate: asyncio.Event, behave: Behaviour) -> Behaviour:
    """The same, once the gate is open."""

    async def wait(request: Request, writer: asyncio.StreamWriter) -> bool:
        await gate.wait()
        return await behave(request, writer)

    return wait
