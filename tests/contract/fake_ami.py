"""An AMI that misbehaves on demand, on a loopback port: it counts what it is told to do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pydantic

from agi_sms.asterisk import messenger
from agi_sms.asterisk.settings import Ami, Ari

USER, SECRET = "gateway", "s3cret"
SENT = "Response: Success\r\nMessage: Message successfully sent"
QUEUED = "Response: Success\r\nMessage: [quectel0] SMS queued for send\r\nID: 0x7f01"
UNKNOWN = "Response: Error\r\nMessage: Invalid/unknown command"
DENIED = "Response: Error\r\nMessage: Permission denied"

Action = dict[str, str]


@dataclass
class FakeAmi:
    """`answers` are the lines by an action's name, or what makes them; one that is not there is unknown.

    `mute` actions get no answer, and after those in `cut` the connection ends without one.
    """

    answers: dict[str, str | Callable[[Action], str]] = field(default_factory=dict)
    mute: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    port: int = 0
    password: str = SECRET
    logins: int = 0
    actions: list[Action] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    listeners: list[asyncio.StreamWriter] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def done(self, name: str) -> list[Action]:
        """The actions of this name, as they came."""
        return [action for action in self.actions if action["Action"] == name]

    def settings(self, **more: Any) -> Ami:
        given: dict[str, Any] = {"port": self.port, "username": USER, "secret": SECRET, "timeout": "2s"}
        return Ami(**given | more)

    def say(self, event: str, **fields: str) -> None:
        """Send an event to everybody who listens."""
        lines = [f"Event: {event}", "Privilege: call,all", *(f"{key}: {value}" for key, value in fields.items())]
        for writer in self.listeners:
            writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())

    def drop(self) -> None:
        """End every connection."""
        for writer in self.writers:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(b"Asterisk Call Manager/9.0.0\r\n")
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                raw = await reader.readuntil(b"\r\n\r\n")
                self.raw += raw
                action = dict(line.split(": ", 1) for line in raw.decode().split("\r\n") if ": " in line)
                self.actions.append(action)
                name = action["Action"]
                if name in self.cut:
                    break
                if name not in self.mute:
                    writer.write(f"{self._answer(name, action)}\r\nActionID: {action['ActionID']}\r\n\r\n".encode())
                    await writer.drain()
                if name == "Login" and action["Events"] != "off":
                    self.listeners.append(writer)
        if writer in self.listeners:
            self.listeners.remove(writer)
        writer.close()

    def _answer(self, name: str, action: Action) -> str:
        if name in self.answers:
            answer = self.answers[name]
            return answer if isinstance(answer, str) else answer(action)
        if name == "Login":
            self.logins += 1
            if (action["Username"], action["Secret"]) != (USER, self.password):
                return "Response: Error\r\nMessage: Authentication failed"
            return "Response: Success\r\nMessage: Authentication accepted"
        return "Response: Success\r\nPing: Pong" if name == "Ping" else UNKNOWN


@contextlib.asynccontextmanager
async def running(**more: Any) -> AsyncIterator[FakeAmi]:
    """An AMI that serves; closed again in the end."""
    fake = FakeAmi(**more)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0, limit=1 << 20)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        fake.drop()
        await server.wait_closed()


# --- what sends over it, or over ARI ------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def over_ami(fake: FakeAmi, **more: Any) -> AsyncIterator[messenger.Messenger]:
    """A messenger that has nothing but AMI; `more` are settings."""
    made = messenger.Messenger("main", ari=None, ami=fake.settings(**more))
    try:
        yield made
    finally:
        await made.close()


def ari(url: str) -> Ari:
    return Ari(url=url, username=USER, password=pydantic.SecretStr(SECRET))


@contextlib.asynccontextmanager
async def over_ari(url: str) -> AsyncIterator[messenger.Messenger]:
    """A messenger that has nothing but ARI, at a peer."""
    made = messenger.Messenger("main", ari=ari(url), ami=None)
    try:
        yield made
    finally:
        await made.close()
