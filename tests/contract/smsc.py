"""An SMSC that misbehaves on demand, on a loopback port. It keeps every PDU that arrives.

It frames PDUs by itself and reads submit_sm with smpplib, so that nothing here shares code with the provider.
"""

import asyncio
import contextlib
import dataclasses
import ssl
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import smsutil
from smpplib import smpp as oracle  # type: ignore[import-untyped]

from agi_sms.providers import smpp, smpp_link, smpp_settings
from tests.contract import peer

BIND, SUBMIT, DELIVER, DATA, UNBIND, ENQUIRE, NACK = 0x09, 0x04, 0x05, 0x103, 0x06, 0x15, 0x80000000
RESPONSE = 0x80000000


@dataclass(frozen=True)
class Pdu:
    """What arrived."""

    command: int
    status: int
    sequence: int
    body: bytes
    connection: int  # counted from 1


class _Numbers:
    """smpplib asks its client for sequence numbers."""

    sequence = 1

    def next_sequence(self) -> int:
        return self.sequence


def read(pdu: Pdu) -> Any:
    """A submit_sm, by smpplib."""
    found = oracle.make_pdu("submit_sm", client=_Numbers())
    found.parse(struct.pack(">IIII", 16 + len(pdu.body), pdu.command, pdu.status, pdu.sequence) + pdu.body)
    return found


def content(submit: Any) -> tuple[bytes, bytes]:
    """The user data header, and the rest of the message."""
    octets = bytes(submit.short_message or submit.message_payload or b"")
    at = 1 + octets[0] if submit.esm_class & 0x40 else 0
    return octets[:at], octets[at:]


def decoded(octets: bytes, data_coding: int) -> str:
    """The text, by smsutil's alphabet."""
    if data_coding == 0:
        return str(smsutil.decode(octets, "gsm0338"))
    return octets.decode({1: "ascii", 3: "latin-1", 8: "utf-16-be"}[data_coding])


def texts(submits: list[Any]) -> list[str]:
    """The texts as the phones put them together: segments by recipient and reference, whole ones only."""
    whole: list[str] = []
    begun: dict[tuple[bytes, int], dict[int, str]] = defaultdict(dict)
    for submit in submits:
        header, octets = content(submit)
        text = decoded(octets, submit.data_coding)
        if header:
            assert (header[0], header[1:3]) in ((5, b"\x00\x03"), (6, b"\x08\x04"))
            reference, (total, at) = int.from_bytes(header[3:-2], "big"), header[-2:]
        elif submit.sar_total_segments:
            reference, total, at = submit.sar_msg_ref_num, submit.sar_total_segments, submit.sar_segment_seqnum
        else:
            whole.append(text)
            continue
        parts = begun[submit.destination_addr, reference]
        assert at not in parts, "a reference came twice"
        parts[at] = text
        if len(parts) == total:
            whole.append("".join(parts[n] for n in sorted(begun.pop((submit.destination_addr, reference)))))
    return whole


class Connection:
    """One client, as the SMSC sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number

    async def read(self) -> Pdu:
        """The next PDU."""
        head = await self.reader.readexactly(16)
        size, command, status, sequence = struct.unpack(">IIII", head)
        return Pdu(command, status, sequence, await self.reader.readexactly(size - 16), self.number)

    def send(self, command: int, sequence: int, body: bytes = b"", status: int = 0) -> None:
        """Any PDU."""
        self.writer.write(struct.pack(">IIII", 16 + len(body), command, status, sequence) + body)

    def answer(self, pdu: Pdu, body: bytes = b"", status: int = 0) -> None:
        """The answer to a request."""
        self.send(pdu.command | RESPONSE, pdu.sequence, body, status)

    def accept(self, pdu: Pdu, name: str = "id") -> None:
        """Take a submit_sm."""
        self.answer(pdu, name.encode() + b"\0")

    def cut(self) -> None:
        """Reset the connection."""
        peer.reset(self.writer)


Behaviour = Callable[[Connection, Pdu], Awaitable[None]]


async def bound(connection: Connection, pdu: Pdu) -> None:
    connection.answer(pdu, b"SMSC\0")


async def alive(connection: Connection, pdu: Pdu) -> None:
    connection.answer(pdu)


async def silent(connection: Connection, pdu: Pdu) -> None:
    """Say nothing."""


async def taken(connection: Connection, pdu: Pdu) -> None:
    connection.accept(pdu, f"id-{pdu.sequence}")


async def left(connection: Connection, pdu: Pdu) -> None:
    connection.answer(pdu)
    connection.writer.close()


def status(number: int, body: bytes = b"") -> Behaviour:
    """Refuse with a status."""

    async def behave(connection: Connection, pdu: Pdu) -> None:
        connection.answer(pdu, body, number)

    return behave


def raw(octets: bytes, *, then: Callable[[Connection], None] = lambda _: None) -> Behaviour:
    """Write octets that need not be SMPP."""

    async def behave(connection: Connection, pdu: Pdu) -> None:
        connection.writer.write(octets)
        await connection.writer.drain()
        then(connection)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One after the other, the last for ever."""
    left_over = list(behaviours)

    async def behave(connection: Connection, pdu: Pdu) -> None:
        await (left_over.pop(0) if len(left_over) > 1 else left_over[0])(connection, pdu)

    return behave


@dataclass
class Smsc:
    """A running SMSC. What it does may be replaced at any time."""

    bind: Behaviour = bound
    submit: Behaviour | None = None  # take it
    enquire: Behaviour = alive
    unbind: Behaviour = left
    greeting: bytes = b""
    port: int = 0
    connections: list[Connection] = field(default_factory=list)
    received: list[Pdu] = field(default_factory=list)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        connection = Connection(reader, writer, len(self.connections) + 1)
        self.connections.append(connection)
        try:
            if self.greeting:
                writer.write(self.greeting)
            while True:
                await self._take(connection, await connection.read())
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side is gone, or the test is over
        finally:
            self.tasks.discard(task)
            writer.transport.abort()

    async def _take(self, connection: Connection, pdu: Pdu) -> None:
        self.received.append(pdu)
        async with self.changed:
            self.changed.notify_all()
        match pdu.command:
            case 0x09:
                await self.bind(connection, pdu)
            case 0x04:
                await (self.submit or self._accept)(connection, pdu)
            case 0x15:
                await self.enquire(connection, pdu)
            case 0x06:
                await self.unbind(connection, pdu)

    async def _accept(self, connection: Connection, pdu: Pdu) -> None:
        connection.accept(pdu, f"id{len(self.of(SUBMIT))}")

    def of(self, command: int) -> list[Pdu]:
        """What arrived of one command."""
        return [pdu for pdu in self.received if pdu.command == command]

    @property
    def submits(self) -> list[Any]:
        return [read(pdu) for pdu in self.of(SUBMIT)]

    async def until(self, command: int, count: int = 1) -> list[Pdu]:
        """Wait for so many of one command, with a deadline."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: len(self.of(command)) >= count)
        return self.of(command)


@contextlib.asynccontextmanager
async def running(tls: ssl.SSLContext | None = None, **changes: Any) -> AsyncIterator[Smsc]:
    """An SMSC on a free port."""
    made = dataclasses.replace(Smsc(), **changes)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in list(made.tasks):
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)
        await server.wait_closed()


def provider(port: int, *, pauses: smpp_link.Pauses | None = None, **changes: Any) -> smpp.SmppProvider:
    """The one that is tested."""
    raw = {
        "type": "smpp",
        "host": "127.0.0.1",
        "port": port,
        "system_id": "acme",
        "password": "s3cret",
        "timeout": "5s",
        **changes,
    }
    quick = smpp_link.Pauses(first=0.01, longest=0.05)
    return smpp.SmppProvider("acme", smpp_settings.Settings.model_validate(raw), pauses=pauses or quick)


# --- what an SMSC sends by itself ---------------------------------------------------------------------------------


def delivery(
    text: bytes = b"", *, esm_class: int = 4, tlvs: bytes = b"", data_coding: int = 0, command: int = DELIVER
) -> bytes:
    """The body of a deliver_sm or data_sm from a phone to us."""
    addresses = b"\0" + b"\x01\x0148600100200\0" + b"\x05\x00ACME\0"
    if command == DATA:
        return addresses + bytes((esm_class, 0, data_coding)) + tlvs
    return addresses + bytes((esm_class, 0, 0)) + b"\0\0" + bytes((0, 0, data_coding, 0, len(text))) + text + tlvs


def tlv(tag: int, value: bytes) -> bytes:
    return struct.pack(">HH", tag, len(value)) + value


def receipt(name: str, stat: str = "DELIVRD", err: str = "000") -> bytes:
    """A receipt as most SMSCs write it."""
    return delivery(
        f"id:{name} sub:001 dlvrd:001 submit date:2611231305 done date:2611231306 stat:{stat} err:{err} text:x".encode()
    )


async def provider_idle() -> None:
    """Let everything that can go on go on, until only octets on the wire could change something."""
    for _ in range(50):
        await asyncio.sleep(0)
