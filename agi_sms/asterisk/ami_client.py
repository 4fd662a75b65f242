"""panoramisk, one connection at a time: nothing is sent twice, everything has a deadline and a size limit.

Its Manager reconnects by itself and then repeats what had no answer; here a lost connection is the end of it.
This is the one place where what panoramisk and the network raise becomes errors.PbxError.
"""

import asyncio
import codecs
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import panoramisk
from panoramisk import ami_protocol

from agi_sms import errors
from agi_sms.asterisk.settings import Ami

LARGEST_MESSAGE = 1024 * 1024  # characters
BITE = 16 * 1024  # bytes
RECORDS_AT_ONCE = 25  # handled before others have their turn
TREE_PATIENCE = 6.0  # times the usual deadline, for thousands of records
RIGHTS_HINT = "check manager.conf: the user's section, its secret, permit, and write = system"
NOT_FOUND = "Database entry not found"

# panoramisk writes whole messages into its log, the login with its secret among them.
_silent = logging.getLogger(f"{__name__}.panoramisk")
_silent.disabled = True


@dataclass(frozen=True, kw_only=True)
class Record:
    """One entry of a family in AstDB."""

    key: str
    value: str


class _Protocol(ami_protocol.AMIProtocol):  # type: ignore[misc]
    """What panoramisk's protocol lacks: characters split between two segments stay whole, and input ends."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        # What is read at once is parsed at once, and meanwhile no call goes on: thousands of records come in bites.
        setattr(transport, "max_size", BITE)  # noqa: B010 - asyncio's, for plain sockets; elsewhere it does nothing
        self.log = _silent
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def data_received(self, data: bytes) -> None:
        super().data_received(self._decoder.decode(data).encode())
        if sum(len(part) for part in self.queue) > LARGEST_MESSAGE:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.factory is not None:
            super().connection_lost(exc)


class _Manager(panoramisk.Manager):  # type: ignore[misc]
    """panoramisk's Manager for one connection, made and watched by us."""

    def __init__(self, settings: Ami) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        super().__init__(
            username=settings.username,
            secret=settings.secret.get_secret_value(),
            events="off",
            loop=asyncio.get_running_loop(),
            log=_silent,
        )

    def connection_lost(self, exc: object) -> None:
        if not self.lost.done():
            self.lost.set_result(str(exc) if exc else "Asterisk closed the connection")

    def login(self, future: "asyncio.Future[Any]") -> None:
        """The answer is looked at in `connected`; here it would only start panoramisk's own pings."""

    def ping(self) -> None:
        """Ours have a deadline."""


class Connection:
    """One login at one Asterisk. Every method raises errors.PbxError and below, and nothing else."""

    def __init__(self, manager: _Manager, seconds: float) -> None:
        self._manager = manager
        self._seconds = seconds

    @property
    def lost(self) -> "asyncio.Future[str]":
        """Done, with the reason, when the connection has ended."""
        return self._manager.lost

    async def action(self, name: str, *, patience: float = 1.0, **fields: str) -> list[Any]:
        """Send one action once; its answer, and the events that belong to it.

        A value with a line break would be an action of its own, so it is refused.
        """
        for key, value in fields.items():
            if set("\r\n\0") & set(value):
                raise errors.PbxError(f"{name}: {key} holds a line break")
        if self.lost.done():
            raise errors.PbxUnreachable(self.lost.result())
        answer = self._manager.send_action({"Action": name, **fields})
        return await self.first(name, answer, self._seconds * patience)

    async def first(self, name: str, answer: "asyncio.Future[Any]", seconds: float) -> list[Any]:
        """The answer, unless the connection ends or the time is up before."""
        await asyncio.wait({answer, self.lost}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            ended = self.lost.result() if self.lost.done() else "Asterisk did not answer in time"
            raise errors.PbxUnreachable(f"{name}: {ended}")
        messages = answer.result()
        messages = messages if isinstance(messages, list) else [messages]
        if not messages[0].success and messages[0].message == "Permission denied":
            raise errors.PbxRefused(f"{name}: permission denied")
        return messages

    async def tree(self, family: str) -> list[Record]:
        """Every entry of one family of AstDB."""
        answer, *events = await self.action("DBGetTree", patience=TREE_PATIENCE, Family=family)
        if not answer.success:
            if answer.message == NOT_FOUND:
                return []
            raise errors.PbxError(f"DBGetTree: {answer.message}")
        found = []
        for number, event in enumerate(events):
            if number % RECORDS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if event.event == "DBGetTreeResponse":
                key, value = _text(event["key"]), _text(event.get("val", ""))
                found.append(Record(key=key.removeprefix(f"/{family}/"), value=value))
        return found

    async def delete(self, family: str, key: str) -> None:
        """Delete one entry of AstDB; it is fine if it is gone already."""
        (answer, *_) = await self.action("DBDel", Family=family, Key=key)
        if not answer.success and answer.message != NOT_FOUND:
            raise errors.PbxError(f"DBDel: {answer.message}")

    async def ping(self) -> None:
        """See that somebody is there."""
        await self.action("Ping")

    def close(self) -> None:
        """End the connection."""
        self._manager.close()


def _text(value: Any) -> str:
    """A header that came twice is a list: that is a record which nobody of ours has written."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


@contextlib.asynccontextmanager
async def connected(settings: Ami) -> AsyncIterator[Connection]:
    """A connection that is logged in, closed again in every case."""
    seconds = settings.timeout.total_seconds()
    manager = _Manager(settings)
    connection = Connection(manager, seconds)
    try:
        async with asyncio.timeout(seconds):
            made = await asyncio.get_running_loop().create_connection(
                _Protocol,
                settings.host,
                settings.port,
                ssl=ssl.create_default_context(cafile=settings.ca_file) if settings.tls else None,
            )
    except TimeoutError as error:
        raise errors.PbxUnreachable("Asterisk did not answer in time") from error
    except OSError as error:
        raise errors.PbxUnreachable(f"{type(error).__name__}: {error}") from error
    ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    ready.set_result(made)
    try:
        manager.connection_made(ready)
        (answer, *_) = await connection.first("Login", manager.authenticated_future, seconds)
        if not answer.success:
            raise errors.PbxRefused(f"Login: {answer.message}")
        yield connection
    finally:
        connection.close()
        made[0].abort()
