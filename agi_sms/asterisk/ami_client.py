"""panoramisk, one connection at a time: nothing is sent twice, everything has a deadline and a size limit.

Its Manager reconnects by itself and then repeats what had no answer; here a lost connection is the end of it.
This is the one place where what panoramisk and the network raise becomes errors.PbxError.
"""

import asyncio
import codecs
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import panoramisk
from panoramisk import actions, ami_protocol

from agi_sms import errors, metrics
from agi_sms.asterisk.settings import Ami

LARGEST_MESSAGE = 1024 * 1024  # characters
LONGEST_LINE = 1016  # bytes, of one `Key: value`; Asterisk 22.10.1 refuses an action with a line of 1024
LARGEST_ANSWER = 16 * 1024 * 1024  # bytes, of all messages that answer one action
BITE = 16 * 1024  # bytes
RECORDS_AT_ONCE = 25  # handled before others have their turn
TREE_PATIENCE = 6.0  # times the usual deadline, for thousands of records
RIGHTS_HINT = "check manager.conf: the user's section, its secret, permit, and write = system"
NOT_FOUND = "Database entry not found"
GONE = frozenset({NOT_FOUND, "Database entry could not be deleted"})  # DBDel's word for it, in 16.28 and 22.10
ENDING = "Asterisk is shutting down"  # to every action until it has ended; none of them is done
END = "\r\n\r\n"  # of a message
USER_EVENT = "Event: UserEvent\r\n"

TakeEvent = Callable[[Mapping[str, str]], None]  # keys in lower case; called by the reader, so it must not wait

# panoramisk writes whole messages into its log, the login with its secret among them.
_silent = logging.getLogger(f"{__name__}.panoramisk")
_silent.disabled = True


@dataclass(frozen=True, kw_only=True)
class Record:
    """One entry of a family in AstDB."""

    key: str
    value: str


class Unsendable(errors.PbxError):
    """A value cannot stand in an action."""


class Unanswered(errors.PbxUnreachable):
    """An action was written, and got no whole answer: Asterisk may have done it."""


class TooLong(Unanswered):
    """An answer had no end in sight, so the connection was given up; `found` came before that."""

    def __init__(self, reason: str, found: list[Record]) -> None:
        super().__init__(reason)
        self.found = found


class _Protocol(ami_protocol.AMIProtocol):  # type: ignore[misc]
    """What panoramisk's protocol lacks: characters split between two segments stay whole, and input ends.

    What a dialplan sends with UserEvent() is read here: it may hold any header, those by which panoramisk tells
    answers from events too, and over one that comes twice it stumbles and ends the connection.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        # What is read at once is parsed at once, and meanwhile no call goes on: thousands of records come in bites.
        setattr(transport, "max_size", BITE)  # noqa: B010 - asyncio's, for plain sockets; elsewhere it does nothing
        self.log = _silent
        self.received = 0  # bytes since the last action, events of the dialplan left out
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._begun = ""  # a message whose end has not come
        self.longest = LARGEST_MESSAGE

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        *messages, self._begun = (self._begun + self._decoder.decode(data)).split(END)
        for text in messages:
            self._message(text.lstrip())
        if self.received > LARGEST_ANSWER and self.factory is not None:
            self.factory.give_up(f"an answer of Asterisk is longer than {LARGEST_ANSWER} bytes")
        if self.received > LARGEST_ANSWER or len(self._begun) > self.longest:
            self.transport.abort()

    def _message(self, text: str) -> None:
        if text.startswith(USER_EVENT):
            self.received -= len((text + END).encode())
            if self.factory is not None:
                self.factory.said(_headers(text))
            return
        try:
            super().data_received((text + END).encode())
        except (AttributeError, TypeError, ValueError):  # of a header that came twice; who waits for it has a deadline
            metrics.fault("ami_message")

    def connection_lost(self, exc: Exception | None) -> None:
        # Of an event that says so, panoramisk makes an end too. A caller's number can look like one; an Asterisk that
        # shuts down closes the connection.
        if self.factory is not None and not isinstance(exc, panoramisk.message.Message):
            super().connection_lost(exc)


class _Manager(panoramisk.Manager):  # type: ignore[misc]
    """panoramisk's Manager for one connection, made and watched by us."""

    def __init__(self, settings: Ami, events: str, take: TakeEvent | None) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.too_long = False
        super().__init__(
            username=settings.username,
            secret=settings.secret.get_secret_value(),
            events=events,
            loop=asyncio.get_running_loop(),
            log=_silent,
        )
        self._take = take

    def dispatch(self, event: Any) -> None:
        """Hand an event over; panoramisk's own callbacks only serve its reconnecting."""
        self.said({str(key).lower(): _text(value) for key, value in event.items()})

    def said(self, event: Mapping[str, str]) -> None:
        """Hand over what Asterisk told unasked."""
        if self._take is not None:
            self._take(event)

    def connection_lost(self, exc: object) -> None:
        if not self.lost.done():
            self.lost.set_result(str(exc) if exc else "Asterisk closed the connection")

    def give_up(self, reason: str) -> None:
        """This connection is of no more use."""
        self.too_long = True
        self.connection_lost(reason)

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
        """As `act`, with the fields as keywords."""
        return await self.act(name, fields, patience=patience)

    async def act(self, name: str, fields: Mapping[str, str], *, patience: float = 1.0) -> list[Any]:
        """Send one action once; its answer, and the events that belong to it. `patience` counts usual deadlines.

        A value with a line break would be an action of its own, so it is refused (Unsendable), as is one that is
        longer than Asterisk reads. Raises Unanswered where the action was written and nothing came of it.
        """
        for key, value in fields.items():
            if set("\r\n\0") & set(value):
                raise Unsendable(f"{name}: {key} holds a line break")
            try:
                line = f"{key}: {value}".encode()
            except UnicodeEncodeError as error:
                raise Unsendable(f"{name}: {key} is no Unicode text") from error
            if len(line) > LONGEST_LINE:
                raise Unsendable(f"{name}: {key} is longer than {LONGEST_LINE} bytes, with its name")
        if self.lost.done():
            raise errors.PbxUnreachable(self.lost.result())
        self._manager.protocol.received = 0
        action = actions.Action({"Action": name, **fields})
        try:
            messages = await self.first(name, self._manager.send_action(action), self._seconds * patience)
        except errors.PbxUnreachable as error:
            if self._manager.too_long:
                raise TooLong(str(error), await _records(action.responses)) from error
            raise
        if self._manager.too_long:  # it came to its end just then
            raise TooLong(f"{name}: {self.lost.result()}", await _records(messages))
        return messages

    async def first(self, name: str, answer: "asyncio.Future[Any]", seconds: float) -> list[Any]:
        """The answer, unless the connection ends or the time is up before."""
        await asyncio.wait({answer, self.lost}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            ended = self.lost.result() if self.lost.done() else "Asterisk did not answer in time"
            raise Unanswered(f"{name}: {ended}")
        messages = answer.result()
        messages = messages if isinstance(messages, list) else [messages]
        if not messages[0].success and messages[0].message == "Permission denied":
            raise errors.PbxRefused(f"{name}: permission denied")
        if not messages[0].success and messages[0].message == ENDING:
            raise errors.PbxUnreachable(f"{name}: {ENDING}")
        return messages

    async def tree(self, family: str) -> list[Record]:
        """Every entry of one family of AstDB."""
        answer, *events = await self.action("DBGetTree", patience=TREE_PATIENCE, Family=family)
        if not answer.success:
            if answer.message == NOT_FOUND:
                return []
            raise errors.PbxError(f"DBGetTree: {answer.message}")
        return await _records(events)

    async def delete(self, family: str, key: str) -> None:
        """Delete one entry of AstDB; it is fine if it is gone already."""
        (answer, *_) = await self.action("DBDel", Family=family, Key=key)
        if not answer.success and answer.message not in GONE:
            raise errors.PbxError(f"DBDel: {answer.message}")

    async def ping(self) -> None:
        """See that somebody is there."""
        await self.action("Ping")

    def close(self) -> None:
        """End the connection."""
        self._manager.close()


async def _records(events: list[Any]) -> list[Record]:
    """The entries of AstDB among the events; others have their turn meanwhile."""
    found = []
    for number, event in enumerate(events):
        if number % RECORDS_AT_ONCE == 0:
            await asyncio.sleep(0)
        if event.event == "DBGetTreeResponse":
            _, _, key = _text(event["key"]).removeprefix("/").partition("/")
            found.append(Record(key=key, value=_text(event.get("val", ""))))
    return found


class Headers(dict[str, str]):
    """The headers of an event; of one that comes twice, in whatever case, the first. `names`: all, as they came."""

    names: tuple[str, ...] = ()


def _headers(text: str) -> Headers:
    found, names = Headers(), []
    for line in text.split("\r\n"):
        key, colon, value = line.partition(":")
        if colon:
            names.append(key.strip().lower())
            found.setdefault(names[-1], value.strip())
    found.names = tuple(names)
    return found


def _text(value: Any) -> str:
    """A header that came twice is a list: that is a record which nobody of ours has written."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


@contextlib.asynccontextmanager
async def connected(
    settings: Ami, *, events: str = "off", take: TakeEvent | None = None, longest: int = LARGEST_MESSAGE
) -> AsyncIterator[Connection]:
    """A connection that is logged in, closed again in every case.

    `events` are the classes of events that `take` gets, such as `call`; `longest` is how many characters one message
    may have.
    """
    seconds = settings.timeout.total_seconds()
    manager = _Manager(settings, events, take)
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
    except (OSError, UnicodeError) as error:  # UnicodeError: of a host's name that is none
        raise errors.PbxUnreachable(f"{type(error).__name__}: {error}") from error
    ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    ready.set_result(made)
    try:
        made[1].longest = longest
        manager.connection_made(ready)
        (answer, *_) = await connection.first("Login", manager.authenticated_future, seconds)
        if not answer.success:
            raise errors.PbxRefused(f"Login: {answer.message}")
        yield connection
    finally:
        connection.close()
        made[0].abort()
