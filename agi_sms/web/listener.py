"""A listening port on the gateway's own event loop: whoever reaches it can make it busy, never the gateway.

A connection brings one request at a time, whole within a deadline. It may stay for the next one behind an answer that
is a success, where nothing came before that answer was out; in all other cases it is closed. Few connections are open
at once, and few requests worked on: those whose sender has hung up count until their work is done. What comes is
counted as it comes, and taken piece by piece, in turns with all else. What is no HTTP leaves no trace in the log.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

import aiohttp
from aiohttp import web

from agi_sms import errors, turns
from agi_sms.web import telling

COME_AGAIN = {"Retry-After": "30"}  # seconds
_MOST_HEADERS = 64
_LONGEST_HEADER = 4096  # bytes
_HEAD = 48 * 1024  # bytes that may come beside a body: line, headers, sizes of chunks
_MOST_CHUNKS = 128  # of one body; proxies that do not know its length beforehand make a few
_MOST_BYTES = 1 << 20  # of a request, most of them unread: they come before it is known to be refused, or behind it
_MOST_REQUESTS = 1000  # one after the other on one connection
_LEAVE = 1.0  # seconds for what is being worked on when the port closes
_LINGER = 1.0  # seconds in which the rest of a request is let in behind its refusal, so that this arrives
_OURS = {"Server": "agi-sms"}

# aiohttp writes a traceback for every request that is no HTTP: whoever reaches the port could fill the log.
_silent = logging.getLogger(f"{__name__}.aiohttp")
_silent.disabled = True

Answer = Callable[[web.BaseRequest, bytes], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a port may cost."""

    connections: int  # open at once; where one more comes, the one that we have been waiting for longest gives way
    asking: float  # seconds from the opening of a connection until its request is whole
    answering: float  # seconds from then until the connection's end
    body: int  # bytes
    work: int  # requests being worked on at once, and none in a queue
    idle: float = 0.0  # seconds that a connection is kept for another request behind an answer; 0: not at all


class Refused(Exception):
    """What the other side is told instead of an answer."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or {}


class Listener:
    """A listening port; `close` lets go of it."""

    def __init__(self, answer: Answer, *, key: str, limits: Limits) -> None:
        self.limits = limits
        self.turns = turns.Turns()
        self._answer = answer
        self._http = web.Server(self._whole)
        self._key = key
        self._doors: dict[asyncio.BaseTransport | None, _Door] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._closing = False
        self._tell = telling.Telling("web")

    @classmethod
    async def open(cls, answer: Answer, *, key: str, host: str, port: int, limits: Limits) -> Self:
        """Listen, as the configuration says under `key`; raises errors.AgiSmsError where that cannot be."""
        made = cls(answer, key=key, limits=limits)
        try:
            made._server = await asyncio.get_running_loop().create_server(lambda: _Door(made), host, port)
        except (OSError, UnicodeError) as error:
            raise errors.AgiSmsError(_why(f"{key}: {host}:{port}", error)) from error
        return made

    @property
    def port(self) -> int:
        """Which port it is, where 0 was asked for."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    async def close(self) -> None:
        """Close the port and every connection; what is being worked on has a moment to end."""
        if self._server is None:
            return
        self._closing = True
        self._server.close()
        for door in tuple(self._doors.values()):
            if door.asking:
                door.cut()
        if self._working:
            await asyncio.wait(self._working, timeout=_LEAVE)
        left = tuple(self._working)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for door in tuple(self._doors.values()):
            door.cut()
        await self._http.shutdown(_LEAVE)
        await self._server.wait_closed()
        self._server = None

    # --- connections ----------------------------------------------------------------------------------------------

    def handler(self, door: "_Door") -> "_Handler":
        """What speaks HTTP on one connection."""
        return _Handler(
            self._http,
            door=door,
            loop=asyncio.get_running_loop(),
            access_log=None,  # that is how aiohttp is told to write none
            logger=_silent,
            lingering_time=_LINGER,
            auto_decompress=False,
            max_headers=_MOST_HEADERS,
            max_field_size=_LONGEST_HEADER,
            read_bufsize=max(self.limits.body, 1024),
        )

    def admit(self, door: "_Door", transport: asyncio.Transport) -> bool:
        """Whether a new connection may stay."""
        if len(self._doors) >= self.limits.connections:
            oldest = next((one for one in self._doors.values() if one.asking), None)
            if oldest is None or not oldest.idle:
                most = self.limits.connections
                self._tell("crowded", "more connections than may be open", where=self._key, most=most)
            if oldest is None:
                return False
            oldest.cut()
        self._doors[transport] = door
        return True

    def waits(self, door: "_Door", transport: asyncio.BaseTransport | None) -> None:
        """An open connection has had its answer, and may bring another request, or has begun to."""
        if self._doors.pop(transport, None) is not None:
            self._doors[transport] = door  # behind those that we wait for longer

    def gone(self, transport: asyncio.BaseTransport | None) -> None:
        """A connection has ended."""
        self._doors.pop(transport, None)

    # --- requests -------------------------------------------------------------------------------------------------

    async def _whole(self, request: web.BaseRequest) -> web.StreamResponse:
        """The whole life of one request."""
        door = cast(_Handler, request.protocol).door
        try:
            body = await self._body(request)
            door.asked(_whole_size(request, body))
            response = await self._work(request, body)
            kept = door.may_stay and not self._closing and response.status < 300
        except Refused as refused:
            door.stop_listening()
            response = web.Response(status=refused.status, text=f"{refused}\n", headers=refused.headers)
            kept = False
        response.headers["Server"] = _OURS["Server"]
        if not kept:
            response.force_close()
        return response

    async def _work(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        if len(self._working) >= self.limits.work:
            self._tell("busy", "more requests than are worked on at once", where=self._key, most=self.limits.work)
            raise Refused(503, "busy; come again", COME_AGAIN)
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._working.add(task)
        try:
            return await self._answer(request, body)
        finally:
            self._working.discard(task)

    async def _body(self, request: web.BaseRequest) -> bytes:
        """What the request carries. Raises Refused."""
        if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise Refused(415, "not packed, please")  # a few bytes could hold any amount
        if request.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
            raise Refused(501, "chunked, or with a Content-Length")
        if (request.content_length or 0) > self.limits.body:
            raise self._too_long()
        body, chunks = bytearray(), 0
        try:
            if request.content_length is not None and request.content.is_eof():  # it is all there, and has no chunks
                return request.content.read_nowait()
            while not request.content.at_eof():
                data, ends_chunk = await request.content.readchunk()
                body += data
                chunks += ends_chunk
                if len(body) > self.limits.body:
                    raise self._too_long()
                if chunks > _MOST_CHUNKS:
                    raise Refused(413, f"at most {_MOST_CHUNKS} chunks, or a Content-Length")
        except (OSError, aiohttp.ClientError, web.RequestPayloadError) as error:  # it hung up, or was cut
            raise Refused(400, "broken off") from error
        return bytes(body)

    def _too_long(self) -> Refused:
        return Refused(413, f"at most {self.limits.body} bytes")


class _Handler(web.RequestHandler):
    """aiohttp's own, which tells a stranger nothing of itself and of what he sent, and the door when it is done."""

    __slots__ = ("door",)

    def __init__(self, manager: web.Server, *, door: "_Door", **options: Any) -> None:
        super().__init__(manager, **options)
        self.door = door

    @property
    def more(self) -> bool:
        """Whether another request is there already."""
        return bool(self._messages)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer; its connection is ready for another request, or ends."""
        done = await super().finish_response(request, resp, start_time)
        if done[0].keep_alive:
            self.door.answered()
        return done

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to what is no HTTP, and to a bug; `exc` and `message` are for nobody."""
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer is out")
        text = "no request that is served here\n" if status < 500 else "a fault in here\n"
        response = web.Response(status=status, text=text, headers=_OURS)
        response.force_close()
        return response


class _Door(asyncio.Protocol):
    """One connection: aiohttp's handler speaks HTTP, and this counts and ends it."""

    def __init__(self, listener: Listener) -> None:
        self.asking = True  # until its request is whole, and again from its answer on
        self._listener = listener
        self._listening = True  # until its request is whole, or refused
        self.idle = False  # nothing has come since the last answer
        self._early = False  # something came before the answer was out
        self._requests = 0
        self._bytes = 0
        self._head = bytearray()
        self._backlog = turns.Backlog()
        self._paused = False
        self._lost: tuple[Exception | None] | None = None  # why the connection has ended, which is not told yet
        self._inner: _Handler | None = None
        self._transport: asyncio.Transport | None = None
        self._until = 0.0  # of the loop's clock
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._listener.admit(self, self._transport):
            self.cut()
            return
        self._end_after(self._listener.limits.asking)
        self._inner = self._listener.handler(self)
        self._inner.connection_made(self._transport)

    def stop_listening(self) -> None:
        """Whatever else comes is not read: the request is whole, or refused."""
        self._listening = False
        self._early = self._early or bool(self._backlog)
        self._backlog.clear()

    def asked(self, size: int | None) -> None:
        """The request is whole, with a body of that size; None where that cannot be told."""
        self.stop_listening()
        # what is behind it may be a part of a request, which the parser keeps for what comes next
        self._early = self._early or size is None or self._head_end() + size != self._bytes
        self.asking = False
        self._requests += 1
        self._end_after(self._listener.limits.answering)

    def _head_end(self) -> int:
        at = self._head.find(b"\r\n\r\n")
        return at + 4 if at >= 0 else -1 - self._bytes

    @property
    def may_stay(self) -> bool:
        """Whether its connection may bring another request; not where something is there that was not waited for."""
        return (
            self._listener.limits.idle > 0
            and self._requests < _MOST_REQUESTS
            and not (self._early or self._lost is not None or self._inner is None or self._inner.more)
        )

    def answered(self) -> None:
        """The answer is out, and said that the connection stays."""
        if not self.may_stay:
            if self._transport is not None:
                self._transport.close()
            return
        self.asking = self._listening = self.idle = True
        self._bytes = 0
        self._head.clear()
        self._listener.waits(self, self._transport)
        self._end_after(self._listener.limits.idle)

    def cut(self) -> None:
        """End it now, whatever is still to be written."""
        self.stop_listening()
        self._listener.gone(self._transport)
        if self._transport is not None:
            self._transport.abort()

    def _end_after(self, seconds: float) -> None:
        """A timer that is due earlier finds out that it has more time: most requests need none of their own."""
        if self._inner is None and self._lost is not None:
            return
        loop = asyncio.get_running_loop()
        self._until = loop.time() + seconds
        if self._deadline is not None and self._deadline.when() > self._until:
            self._deadline.cancel()
            self._deadline = None
        if self._deadline is None:
            self._deadline = loop.call_at(self._until, self._due)

    def _due(self) -> None:
        self._deadline = None
        loop = asyncio.get_running_loop()
        if loop.time() < self._until:
            self._deadline = loop.call_at(self._until, self._due)
        else:
            self.cut()

    def data_received(self, data: bytes) -> None:
        if self.idle:
            self.idle = False
            self._listener.waits(self, self._transport)
            self._end_after(self._listener.limits.asking)
        room = self._listener.limits.body + _HEAD - self._bytes
        self._bytes += len(data)
        self._early = self._early or not self._listening
        if self._inner is None or self._transport is None or not self.asking:
            return
        if self._bytes > _MOST_BYTES:
            self.cut()
        elif self._listening and room > 0:
            if len(self._head) < _HEAD:
                self._head += data[: _HEAD - len(self._head)]
            waits = bool(self._backlog)
            self._backlog.put(data[:room])
            if not waits:
                self._listener.turns.join(self._take)
            if (waits or len(data) > turns.PIECE) and not self._paused:
                self._paused = True
                self._transport.pause_reading()

    def _take(self) -> bool:
        """A piece of what has come; whether there is more."""
        if self._backlog and self._inner is not None:
            self._inner.data_received(self._backlog.take())
        if self._backlog:
            return True
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        self._tell_end()
        return False

    def eof_received(self) -> bool | None:
        return None  # aiohttp's handler does nothing on it either: the transport closes, and the loss is told

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Not before all is taken that came before it."""
        self._lost = (exc,)
        if not (self._backlog and self._listening):
            self._tell_end()

    def _tell_end(self) -> None:
        if self._lost is None:
            return
        self._listener.gone(self._transport)
        self._backlog.clear()
        if self._deadline is not None:
            self._deadline.cancel()
        if self._inner is not None:
            inner, self._inner = self._inner, None
            inner.connection_lost(*self._lost)


def _whole_size(request: web.BaseRequest, body: bytes) -> int | None:
    """How many bytes its body took; None where that is not said beforehand, or another protocol is asked for."""
    if "Transfer-Encoding" in request.headers or "Upgrade" in request.headers:
        return None
    return len(body)


def _why(where: str, error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return f"{where} is no name that can be looked up ({error}); choose another address"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is taken by another program; choose another port, or stop that program"
        case errno.EADDRNOTAVAIL:
            return f"{where} is no address of this machine; write 127.0.0.1 or one that it has"
        case errno.EACCES:
            return f"{where}: this user may not listen there; choose a port above 1023"
    words = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or str(error)
    return f"{where} cannot be listened on ({words}); choose another address and port"
