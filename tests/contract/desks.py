"""The port for receipts, with a provider behind it that says what a test wants."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from agi_sms import ports, testing
from agi_sms.message import Status
from agi_sms.web import listener as web_listener
from agi_sms.web import receipts

RECEIPT = ports.Receipt(provider_id="x1", ref="", state=Status.DELIVERED, raw="x1 DELIVRD")


class Company(testing.FakeProvider):
    """A provider that reports `said`, or raises it."""

    reports = True

    def __init__(self) -> None:
        super().__init__("company")
        self.said: ports.Report | Exception = ports.Report(receipts=(RECEIPT,), body=b"OK")
        self.notices: list[ports.Notice] = []
        self.threads: set[str] = set()
        self.hold = threading.Event()  # what reading waits for
        self.hold.set()
        self.asked = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def read(self, notice: ports.Notice) -> ports.Report:
        self.notices.append(notice)
        self.threads.add(threading.current_thread().name)
        self.loop.call_soon_threadsafe(self.asked.set)
        self.hold.wait(60)
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


@dataclass(kw_only=True)
class Desk:
    """The port, and what is behind it."""

    company: Company = field(default_factory=Company)
    kept: list[tuple[str, ports.Receipt]] = field(default_factory=list)
    fault: Exception | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    listener: web_listener.Listener | None = None
    taking: int = 0
    busiest: int = 0

    @property
    def port(self) -> int:
        assert self.listener is not None
        return self.listener.port

    @property
    def open(self) -> int:
        """How many connections there are."""
        assert self.listener is not None
        return len(self.listener._doors)

    async def close(self) -> None:
        assert self.listener is not None
        await self.listener.close()

    async def take(self, provider: str, found: Sequence[ports.Receipt]) -> None:
        self.taking += 1
        self.busiest = max(self.busiest, self.taking)
        try:
            await self.gate.wait()
        finally:
            self.taking -= 1
        if self.fault is not None:
            raise self.fault
        self.kept += [(provider, one) for one in found]

    async def ask(self, path: str = "/receipts/company", method: str = "POST", **more: Any) -> tuple[int, bytes]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"http://127.0.0.1:{self.port}{path}", **more) as answer,
        ):
            return answer.status, await answer.read()

    async def raw(self, request: bytes) -> bytes:
        """What comes back until the connection ends; empty where it is cut."""
        async with self.connected() as (reader, writer):
            try:
                async with asyncio.timeout(20):
                    writer.write(request)
                    return await reader.read()
            except ConnectionError:
                return b""

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as by a crash: what was sent is there, and nobody listens."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def opened(idle: float = 0.1) -> AsyncIterator[Desk]:
    """The port is open, and whatever comes in is kept at once. `idle`: seconds that a connection stays behind that."""
    made = Desk()
    made.gate.set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receipts, "IDLE", idle)
        listener = await listened(made)
    made.listener = listener
    try:
        yield made
    finally:
        made.gate.set()
        await listener.close()


async def listened(made: Desk) -> web_listener.Listener:
    return await receipts.listen(
        "127.0.0.1",
        0,
        public_url="https://sms.example/gw/",
        providers=lambda: {"company": made.company, "other company": made.company},
        take=made.take,
    )
