"""A listening port on the gateway's own event loop: whoever reaches it can make it busy, never the gateway.

A connection brings one request at a time, whole within a deadline. It may stay for the next one behind an answer that
is a success, where nothing came before that answer was out; in all other cases it is closed. Few connections are open
at once, and few requests worked on: those whose sender has hung up count until their work is done. What comes is
counted as it comes, and taken piece by piece, in turns with all else. What is no HTTP leaves no trace in the log.
"""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Self, cast

import aiohttp
from aiohttp import web

from agi_sms import errors, turns
from agi_sms.web import telling
from agi_sms.web.door import OURS, Door, Handler, Limits

COME_AGAIN = {"Retry-After": "30"}  # seconds
_MOST_CHUNKS = 128  # of one body; proxies that do not know its length beforehand make a few
_LEAVE = 1.0  # seconds for what is being worked on when the port closes

Answer = Callable[[web.BaseRequest, bytes], Awaitable[web.StreamResponse]]


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
        self.http = web.Server(self._whole)
        self._answer = answer
        self._key = key
        self._doors: dict[asyncio.BaseTransport | None, Door] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._closing = False
        self._tell = telling.Telling("web")

    @classmethod
    async def open(cls, answer: Answer, *, key: str, host: str, port: int, limits: Limits) -> Self:
        """Listen, as the configuration says under `key`; raises errors.AgiSmsError where that cannot be."""
        made = cls(answer, key=key, limits=limits)
        try:
            made._server = await asyncio.get_running_loop().create_server(lambda: Door(made), host, port)
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
        await self.http.shutdown(_LEAVE)
        await self._server.wait_closed()
        self._server = None

    # --- connections ----------------------------------------------------------------------------------------------

    def admit(self, door: Door, transport: asyncio.Transport) -> bool:
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

    def waits(self, door: Door, transport: asyncio.BaseTransport | None) -> None:
        """An open connection has had its answer, and may bring another request, or has begun to."""
        if self._doors.pop(transport, None) is not None:
            self._doors[transport] = door  # behind those that we wait for longer

    def gone(self, transport: asyncio.BaseTransport | None) -> None:
        """A connection has ended."""
        self._doors.pop(transport, None)

    # --- requests -------------------------------------------------------------------------------------------------

    async def _whole(self, request: web.BaseRequest) -> web.StreamResponse:
        """The whole life of one request."""
        door = cast(Handler, request.protocol).door
        try:
            body = await self._body(request)
            door.asked(_whole_size(request, body))
            response = await self._work(request, body)
            kept = door.may_stay and not self._closing and response.status < 300
        except Refused as refused:
            door.stop_listening()
            response = web.Response(status=refused.status, text=f"{refused}\n", headers=refused.headers)
            kept = False
        response.headers["Server"] = OURS["Server"]
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
