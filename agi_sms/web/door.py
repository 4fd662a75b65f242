"""One connection of a listening port: aiohttp speaks HTTP on it, and a door counts what comes, and ends it."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Protocol, cast

from aiohttp import web

from agi_sms import turns

OURS = {"Server": "agi-sms"}  # headers of every answer
_MOST_HEADERS = 64
_LONGEST_HEADER = 4096  # bytes
_HEAD = 48 * 1024  # bytes that may come beside a body: line, headers, sizes of chunks
_MOST_BYTES = 1 << 20  # of a request, most of them unread: they come before it is known to be refused, or behind it
_MOST_REQUESTS = 1000  # one after the other on one connection
_LINGER = 1.0  # seconds in which the rest of a request is let in behind its refusal, so that this arrives

# aiohttp writes a traceback for every request that is no HTTP: whoever reaches the port could fill the log.
_silent = logging.getLogger(f"{__name__}.aiohttp")
_silent.disabled = True


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a port may cost."""

    connections: int  # open at once; where one more comes, the one that we have been waiting for longest gives way
    asking: float  # seconds from the opening of a connection until its request is whole
    answering: float  # seconds from then until the connection's end
    body: int  # bytes
    work: int  # requests being worked on at once, and none in a queue
    idle: float = 0.0  # seconds that a connection is kept for another request behind an answer; 0: not at all


class Port(Protocol):
    """The port that a connection was made to."""

    limits: Limits
    turns: turns.Turns
    http: web.Server  # what answers

    def admit(self, door: "Door", transport: asyncio.Transport) -> bool:
        """Whether a new connection may stay."""

    def waits(self, door: "Door", transport: asyncio.BaseTransport | None) -> None:
        """An open connection has had its answer, and may bring another request, or has begun to."""

    def gone(self, transport: asyncio.BaseTransport | None) -> None:
        """A connection has ended."""


class Handler(web.RequestHandler):
    """aiohttp's own, which tells a stranger nothing of itself and of what he sent, and the door when it is done."""

    __slots__ = ("door",)

    def __init__(self, manager: web.Server, *, door: "Door", **options: Any) -> None:
        super().__init__(manager, **options)
        self.door = door

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
        response = web.Response(status=status, text=text, headers=OURS)
        response.force_close()
        return response


class Door(asyncio.Protocol):
    """One connection: aiohttp's handler speaks HTTP, and this counts and ends it."""

    def __init__(self, port: Port) -> None:
        self.asking = True  # until its request is whole, and again from its answer on
        self._port = port
        self._listening = True  # until its request is whole, or refused
        self.idle = False  # nothing has come since the last answer
        self._early = False  # something came before the answer was out
        self._requests = 0
        self._bytes = 0
        self._head = bytearray()
        self._backlog = turns.Backlog()
        self._paused = False
        self._lost: tuple[Exception | None] | None = None  # why the connection has ended, which is not told yet
        self._inner: Handler | None = None
        self._transport: asyncio.Transport | None = None
        self._until = 0.0  # of the loop's clock
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._port.admit(self, self._transport):
            self.cut()
            return
        self._end_after(self._port.limits.asking)
        self._inner = Handler(
            self._port.http,
            door=self,
            loop=asyncio.get_running_loop(),
            access_log=None,  # that is how aiohttp is told to write none
            logger=_silent,
            lingering_time=_LINGER,
            auto_decompress=False,
            max_headers=_MOST_HEADERS,
            max_field_size=_LONGEST_HEADER,
            read_bufsize=max(self._port.limits.body, 1024),
        )
        self._inner.connection_made(self._transport)

    def stop_listening(self) -> None:
        """Whatever else comes is not read: the request is whole, or refused."""
        self._listening = False
        self._backlog.clear()

    def asked(self, size: int | None) -> None:
        """The request is whole, with a body of that size; None where that cannot be told.

        Whatever came behind it, read or not, is a request before its time, or a part of one, which the parser keeps
        for what comes next.
        """
        self.stop_listening()
        self._early = self._early or size is None or self._head_end() + size != self._bytes
        self.asking = False
        self._requests += 1
        self._end_after(self._port.limits.answering)

    def _head_end(self) -> int:
        """Where its head ends: no parser of aiohttp's takes a bare LF, so never before that."""
        at = self._head.find(b"\r\n\r\n")
        return at + 4 if at >= 0 else -1 - self._bytes

    @property
    def may_stay(self) -> bool:
        """Whether its connection may bring another request; not where something is there that was not waited for."""
        return self._port.limits.idle > 0 and self._requests < _MOST_REQUESTS and not self._early and self._lost is None

    def answered(self) -> None:
        """The answer is out, and said that the connection stays."""
        if not self.may_stay:
            if self._transport is not None:
                self._transport.close()
            return
        self.asking = self._listening = self.idle = True
        self._bytes = 0
        self._head.clear()
        self._port.waits(self, self._transport)
        self._end_after(self._port.limits.idle)

    def cut(self) -> None:
        """End it now, whatever is still to be written."""
        self.stop_listening()
        self._port.gone(self._transport)
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
            self._port.waits(self, self._transport)
            self._end_after(self._port.limits.asking)
        room = self._port.limits.body + _HEAD - self._bytes
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
                self._port.turns.join(self._take)
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
        self._port.gone(self._transport)
        self._backlog.clear()
        if self._deadline is not None:
            self._deadline.cancel()
        if self._inner is not None:
            inner, self._inner = self._inner, None
            inner.connection_lost(*self._lost)
