"""Asterisk's side of FastAGI, as res_agi.c speaks it, and as it never would; and the door that is tested."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agi_sms.asterisk import agi
from tests.contract import fake_ari

NOW = fake_ari.NOW
SCHEDULED = fake_ari.SCHEDULED
MARK = "back=1"
UNIQUEID = "1795431034.4"
LINKEDID = "1795431030.1"
FROM_SUBROUTINE = ("visit=v-1", "origin=1795431030.1", "caller=%2B48600100200", "presentation=allowed", "linkedid=1.0")
VALUES = {
    "agi_request": "agi://127.0.0.1:4573/reception",
    "agi_channel": "PJSIP/acme-0000001f",
    "agi_language": "en",
    "agi_type": "PJSIP",
    "agi_uniqueid": UNIQUEID,
    "agi_version": "22.10.1",
    "agi_callerid": "600100200",
    "agi_calleridname": "Ann",
    "agi_callingpres": "0",
    "agi_callingani2": "0",
    "agi_callington": "0",
    "agi_callingtns": "0",
    "agi_dnid": "225550100",
    "agi_rdnis": "unknown",
    "agi_context": "from-trunk",
    "agi_extension": "100",
    "agi_priority": "2",
    "agi_enhanced": "0.0",
    "agi_accountcode": "",
    "agi_threadid": "139684703008448",
}


def header(script: str | None = f"reception?{MARK}", args: Sequence[str] = (), **values: str) -> bytes:
    """A header as Asterisk writes it: nothing in a value is escaped."""
    lines = ["agi_network: yes"]
    if script is not None:
        lines.append(f"agi_network_script: {script}")
    lines += [f"{key}: {value}" for key, value in (VALUES | values).items()]
    lines += [f"agi_arg_{number}: {value}" for number, value in enumerate(args, 1)]
    return "".join(f"{line}\n" for line in [*lines, ""]).encode("utf-8", "surrogateescape")


SUBROUTINE = header(args=FROM_SUBROUTINE)


@dataclass
class Channel:
    """One channel in AGI(). `functions` is what its dialplan functions say, `variables` what was set.

    `before` comes before each reply. `answers` replaces the reply to a command that begins so; None: no reply.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    functions: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    before: bytes = b""
    answers: dict[str, bytes | None] = field(default_factory=dict)

    def write(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def answer(self) -> bool:
        """Read one command and reply; False where the connection has ended, so that the call goes on."""
        try:
            line = (await self.reader.readline()).decode()
        except ConnectionError:
            return False
        if not line:
            return False
        self.commands.append(line.rstrip("\n"))
        scripted = [reply for begin, reply in self.answers.items() if line.startswith(begin)]
        reply = scripted[0] if scripted else self._reply(line)
        if reply is not None:
            self.writer.write(self.before + reply)
        return True

    def _reply(self, line: str) -> bytes:
        if match := re.fullmatch(r'SET VARIABLE (\w+) "([^"]*)"\n', line):
            self.variables[match[1]] = match[2]
            return b"200 result=1\n"
        if match := re.fullmatch(r'GET FULL VARIABLE "([^"]*)"\n', line):
            said = re.sub(r"\$\{([^}]*)\}", lambda found: self.functions.get(found[1], ""), match[1])
            return f"200 result=1 ({said})\n".encode()
        return b"510 Invalid or unknown command\n"

    async def run(self) -> dict[str, str]:
        """Answer until the connection ends; the variables that were set."""
        async with asyncio.timeout(20):
            while await self.answer():
                pass
        return self.variables

    async def ended(self) -> bytes:
        """What still comes until the connection ends."""
        async with asyncio.timeout(20):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        self.writer.transport.abort()


class Intake(fake_ari.Intake):
    """What stands behind the door, for the visits of any PBX."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[str] = []

    async def returned(self, activation_id: str, at: datetime) -> None:
        self.back.append((activation_id, at))


def only_loopback(address: str) -> str | None:
    return "pbx1" if address == "127.0.0.1" else None


@contextlib.asynccontextmanager
async def running(
    intake: Intake,
    *,
    connections: int = 50,
    patience: float = 5.0,
    pbx_at: Callable[[str], str | None] = only_loopback,
) -> AsyncIterator[agi.AgiEntry]:
    """The door, open on a port of its own; closed again in the end."""
    entry = agi.AgiEntry(
        intake.receive,
        limits=agi.Limits(connections=connections, timeout=patience),
        pbx_at=pbx_at,
        clock=lambda: NOW,
        returned=intake.returned,
        missed=intake.looks.append,
    )
    await entry.open("127.0.0.1", 0)
    task = asyncio.create_task(entry.run())
    try:
        yield entry
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task.exception()
        assert entry.connections == 0


@contextlib.asynccontextmanager
async def connected(entry: agi.AgiEntry, *, host: str = "127.0.0.1") -> AsyncIterator[Channel]:
    """A connection to the door from one of this machine's loopback addresses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", entry.port, local_addr=(host, 0))
    try:
        yield Channel(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def visit(entry: agi.AgiEntry, raw: bytes = SUBROUTINE, *, host: str = "127.0.0.1", **functions: str) -> Channel:
    """A whole visit; the channel as it goes on."""
    async with connected(entry, host=host) as channel:
        channel.functions = functions
        channel.write(raw)
        await channel.run()
    return channel
