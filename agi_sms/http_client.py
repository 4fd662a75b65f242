"""Sends one HTTP request, at most once. What comes of it is a value; nothing that a peer does is raised.

The one thing that matters here is where the line is between "certainly not taken" and "may have been taken".
It is drawn before the first byte of a request, when there is a connection for it. Whatever fails earlier is a Fault
that was not `written`.

aiohttp's own `ClientSession.request` writes a GET or PUT a second time when a connection breaks, be it new or reused.
So it is not used: here a request gets one connection, is written to it, and that is all (`_answer`).
"""

import asyncio
import enum
import functools
import os
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import yarl
from aiohttp import abc, client_proto

from agi_sms import durations, http_body, http_words, turns

_IDLE = 2.0  # seconds that a connection is kept: a stale one costs a request that may have been taken
_CHUNK = 16 * 1024
_LEAST_ROOM = 64 * 1024  # bytes of a body
_HEAD = 64 * 1024  # bytes that an answer may take on the wire beside its body, of which chunks may make twice as many
_INTERIM = re.compile(rb"HTTP/1\.[01] 1\d\d")
_MOST_INTERIM = 50


@dataclass(frozen=True, kw_only=True)
class Request:
    """What goes on the wire. `url` is sent as it stands: build it with `encoded=True`."""

    method: str
    url: yarl.URL
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """No answer. `written`: the request, or part of it, may have reached the other side.

    `code` is timeout, or where nothing was written dns, tls, private or connect, else broken. `detail` may hold
    what the other side said. `bug` is there where neither the network nor the other side is to blame.
    """

    written: bool
    code: str
    detail: str
    bug: Exception | None = None


class Client:
    """One peer's HTTP client: TLS verified, no proxy, no cookies, no redirects, nothing unpacked, nothing repeated.

    `private_addresses` False: addresses that `http_words.private` names are refused at the moment of connecting.
    `keep_alive` False: a connection for each request.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        resolver: Callable[[], abc.AbstractResolver] | None = None,
        private_addresses: bool = True,
        keep_alive: bool = True,
    ) -> None:
        self._tls = True if ca_file is None else ssl.create_default_context(cafile=ca_file)
        self._resolver = resolver
        self._private_addresses = private_addresses
        self._keep_alive = keep_alive
        self._turns = turns.Turns()
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def exchange(
        self,
        request: Request,
        *,
        timeout: timedelta,  # noqa: ASYNC109
        most: int,
        spent: timedelta = timedelta(0),
    ) -> http_body.Raw | Fault:
        """The answer, of its body at most `most` bytes. Raises nothing but CancelledError.

        `timeout` is for the whole, of which `spent` has gone by already.
        """
        progress = _Progress()
        try:
            async with asyncio.timeout((timeout - spent).total_seconds()):
                return await self._exchange(request, progress, most)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return _fault(progress.stage, error, timeout)
        except Exception as error:
            return replace(_fault(progress.stage, error, timeout), bug=error)

    async def close(self) -> None:
        """Let the connections go."""
        for session in self._sessions.values():
            await session.close()

    async def _exchange(self, request: Request, progress: "_Progress", most: int) -> http_body.Raw:
        # A reused connection that the peer has just closed costs a fault after the request was written. POST takes
        # that risk for a moment, to save handshakes; GET and PUT do not.
        session = self._session(reuse=self._keep_alive and request.method == "POST")
        call = aiohttp.ClientRequest(
            request.method,
            request.url,
            headers=request.headers.items(),
            data=request.body,
            loop=asyncio.get_running_loop(),
            session=session,
        )
        async with await _answer(session, call, progress, max(most, _LEAST_ROOM)) as response:
            body, content = bytearray(), response.content
            while len(body) <= most:
                body += await content.read(_CHUNK)
                if content.at_eof() and content.exception() is None:
                    break
            if len(body) <= most:
                return http_body.Raw(status=response.status, headers=response.headers, body=bytes(body))
            response.close()
            return http_body.Raw(status=response.status, headers=response.headers, body=bytes(body[:most]), whole=False)

    def _session(self, *, reuse: bool) -> aiohttp.ClientSession:
        """The session, made on the running loop when first needed."""
        session = self._sessions.get(reuse)
        if session is None:
            options: dict[str, Any] = {"keepalive_timeout": _IDLE} if reuse else {"force_close": True}
            if not self._private_addresses:
                options["socket_factory"] = _public_socket
            session = self._sessions[reuse] = aiohttp.ClientSession(
                connector=_Connector(
                    self._turns,
                    limit=0,  # how many there are at once is for the caller to say
                    ssl=self._tls,
                    resolver=self._resolver() if self._resolver is not None else None,
                    **options,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            )
        return session


async def _answer(
    session: aiohttp.ClientSession, call: aiohttp.ClientRequest, progress: "_Progress", room: int
) -> aiohttp.ClientResponse:
    """Write a request, once, and read its answer's head. As `session.request` does, which would do it again."""
    if session.connector is None:
        raise aiohttp.ClientConnectionError("the client is closed")
    connection = await session.connector.connect(call, [], session.timeout)
    try:
        if connection.protocol is not None:  # as it always is
            connection.protocol.set_response_params(
                skip_payload=call.method == "HEAD", read_until_eof=True, auto_decompress=False, read_bufsize=room
            )
        progress.stage = _Stage.WRITTEN
        response = await call.send(connection)
        try:
            return await response.start(connection)
        except BaseException:
            response.close()
            raise
    except BaseException:
        connection.close()
        raise


# --- what no peer should do -------------------------------------------------------------------------------------


class _Handler(client_proto.ResponseHandler):
    """aiohttp's end of a connection, which takes nothing that nobody asked for, and no more than there is room for.

    Bytes that come while the connection is idle would be taken for the answer to the next request. Interim answers
    (1xx) are skipped without a limit, and so are the words behind a chunk's size. What comes is taken in turns.
    """

    awaiting = False
    _interim = 0
    _came = 0  # bytes of this answer
    _most = 0
    _body = 0  # bytes of its body that anybody wants
    _full = False  # aiohttp wants no more for now

    def __init__(self, loop: asyncio.AbstractEventLoop, *, share: turns.Turns) -> None:
        super().__init__(loop)
        self.backlog = turns.Backlog()
        self._share = share
        self._queued = False
        self._lost: tuple[BaseException | None] | None = None  # why the connection has ended, which is not told yet

    def set_response_params(self, **options: Any) -> None:
        self.awaiting, self._interim, self._came = True, 0, 0
        self._body = int(options["read_bufsize"])
        self._most = _HEAD + 2 * self._body
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        if not data:  # aiohttp's own way of going on with what it has
            super().data_received(data)
            return
        room = self._most - self._came
        self._came += len(data)
        if room > 0:
            self._interim += len(_INTERIM.findall(data))
        if not self.awaiting or self._interim > _MOST_INTERIM:
            self._refuse()
        elif room > 0:
            self.backlog.put(data[:room])
            self._go_on()
        elif not self.backlog:
            self._refuse()

    def _refuse(self) -> None:
        self.backlog.clear()
        error = aiohttp.ClientPayloadError("more than was asked for")
        self.set_exception(error)
        # A body that goes on to the end of the connection would pass for a whole one. Where there is more of it than
        # anybody wants, its reader sees that.
        if self._payload is not None and self._payload.total_bytes <= self._body:
            self._payload.set_exception(error)
        if self.transport is not None:
            self.transport.abort()

    def _go_on(self) -> None:
        if (self.backlog or self._lost is not None) and not self._queued and not self._full:
            self._queued = True
            self._share.join(self._take)

    def _take(self) -> bool:
        """A piece of what has come; whether there is more to be taken now."""
        if self.backlog:
            if self.awaiting:
                super().data_received(self.backlog.take())
            else:
                self._refuse()
        if self._came > self._most and not self.backlog:
            self._refuse()
        if self._lost is not None and not self.backlog and not self._full:
            (exc,), self._lost = self._lost, None
            super().connection_lost(exc)
        self._queued = bool(self.backlog) and not self._full
        return self._queued

    def pause_reading(self) -> None:
        self._full = True
        super().pause_reading()
        if self.transport is not None:  # what comes has its limit; what TLS holds back would be lost with its end
            self.transport.resume_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        self._full = False
        super().resume_reading(resume_parser)
        self._go_on()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Not before all is taken that came before it."""
        self._lost = (exc,)
        self._go_on()

    def close(self) -> None:
        self._forget()
        super().close()

    def abort(self) -> None:
        self._forget()
        super().abort()

    def _forget(self) -> None:
        self.backlog.clear()
        self._full = False
        self._go_on()


class _Connector(aiohttp.TCPConnector):
    """Connections with our own end."""

    def __init__(self, share: turns.Turns, **options: Any) -> None:
        super().__init__(**options)
        self._factory = functools.partial(_Handler, loop=self._loop, share=share)  # type: ignore[assignment]

    def _release(self, key: Any, protocol: client_proto.ResponseHandler, *, should_close: bool = False) -> None:
        if isinstance(protocol, _Handler):
            protocol.awaiting = False
            should_close = should_close or bool(protocol.backlog)
        super()._release(key, protocol, should_close=should_close)


# --- private addresses ------------------------------------------------------------------------------------------


class _PrivateAddress(OSError):
    """The peer's address is not of the public internet. All have the same words: of several, asyncio keeps one."""

    def __init__(self) -> None:
        super().__init__("a private address")


def _public_socket(info: tuple[Any, ...]) -> socket.socket:
    """A socket for one address that a name stands for; aiohttp asks for it just before it connects.

    So it makes no difference how the address came about: written out, resolved, resolved anew, or redirected to.
    """
    family, kind, protocol, _, address = info
    if http_words.private(str(address[0])):
        raise _PrivateAddress
    return socket.socket(family=family, type=kind, proto=protocol)


# --- faults in words ---------------------------------------------------------------------------------------------


class _Stage(enum.Enum):
    CONNECTING = enum.auto()
    WRITTEN = enum.auto()  # or about to be: nobody can say any more that nothing left


@dataclass(slots=True)
class _Progress:
    stage: _Stage = _Stage.CONNECTING


def _fault(stage: _Stage, error: Exception, timeout: timedelta) -> Fault:
    late = isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError)
    waited = durations.show(timeout)
    if stage is not _Stage.WRITTEN:
        code, detail = ("timeout", f"no connection within {waited}") if late else _connecting(error)
        return Fault(written=False, code=code, detail=detail)
    if late:
        return Fault(written=True, code="timeout", detail=f"no whole answer within {waited}")
    return Fault(written=True, code="broken", detail=_answering(error))


def _connecting(error: Exception) -> tuple[str, str]:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "dns", f"the name {error.host} does not resolve: {error.strerror}"
        case aiohttp.ClientConnectorCertificateError():
            return "tls", f"the certificate of {error.host} is not good: {error.certificate_error}"
        case aiohttp.ClientConnectorSSLError():
            return "tls", f"no TLS with {error.host}: {error.strerror or error.os_error}"
        case aiohttp.ClientConnectorError(os_error=_PrivateAddress()):
            return "private", f"{error.host} has a private address, and private addresses are not allowed"
        case aiohttp.ClientConnectorError():
            why = os.strerror(error.errno) if error.errno else error.strerror or error.os_error
            return "connect", f"cannot connect to {error.host}:{error.port}: {why}"
    return "connect", f"cannot connect: {type(error).__name__}: {error}"


def _answering(error: Exception) -> str:
    match error:
        case aiohttp.ServerDisconnectedError():
            return "the connection ended without an answer"
        case aiohttp.ClientPayloadError():
            return "the connection ended within the answer"
        case aiohttp.ClientResponseError():
            what = re.split(r"\n|: (?:bytearray\()?b['\"]", error.message)[0]  # after it comes a piece of the answer
            return f"the answer is not HTTP: {what}"
        case aiohttp.ClientOSError() | OSError():
            return f"the connection broke: {error.strerror or error}"
    return f"{type(error).__name__}: {error}"
