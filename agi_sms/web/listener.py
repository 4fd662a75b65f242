"""A listening port on the gateway's own event loop: whoever reaches it can make it busy, never the gateway.

Few connections at once, each for a short time; what is no HTTP leaves no trace in the log.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Self, cast

from aiohttp import web

from agi_sms import errors

# aiohttp writes a traceback for every request that is no HTTP: whoever reaches the port could fill the log.
_silent = logging.getLogger(f"{__name__}.aiohttp")
_silent.disabled = True

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Listener:
    """A listening port; `close` lets go of it."""

    def __init__(self, answer: Answer, *, most: int, deadline: float) -> None:
        self._http = web.Server(answer, access_log=None, logger=_silent, lingering_time=0.0)
        self._most = most
        self._deadline = deadline
        self._doors: set[_Door] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    async def open(cls, answer: Answer, *, key: str, host: str, port: int, most: int, deadline: float) -> Self:
        """Listen, as the configuration says under `key`; raises errors.AgiSmsError where that cannot be.

        `most` connections at once (one more is closed without a word), each for `deadline` seconds.
        """
        made = cls(answer, most=most, deadline=deadline)
        try:
            made._server = await asyncio.get_running_loop().create_server(
                lambda: _Door(made._http, made._doors, made._most, made._deadline), host, port
            )
        except OSError as error:
            raise errors.AgiSmsError(_why(f"{key}: {host}:{port}", error)) from error
        return made

    @property
    def port(self) -> int:
        """Which port it is, where 0 was asked for."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    async def close(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
            for door in tuple(self._doors):
                door.cut()
            await self._http.shutdown(1.0)
            await self._server.wait_closed()
            self._server = None


class _Door(asyncio.Protocol):
    """One connection: aiohttp's own handler speaks HTTP, and this counts and ends it."""

    def __init__(self, http: web.Server, doors: "set[_Door]", most: int, seconds: float) -> None:
        self._http = http
        self._doors = doors
        self._most = most
        self._seconds = seconds
        self._inner: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if len(self._doors) >= self._most:
            self.cut()
            return
        self._doors.add(self)
        self._deadline = asyncio.get_running_loop().call_later(self._seconds, self.cut)
        self._inner = self._http()
        self._inner.connection_made(transport)

    def cut(self) -> None:
        """End it now, whatever is still to be written."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._doors.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._inner is not None:
            self._inner.connection_lost(exc)


def _why(where: str, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is taken by another program; choose another port, or stop that program"
        case errno.EADDRNOTAVAIL:
            return f"{where} is no address of this machine; write 127.0.0.1 or one that it has"
        case errno.EACCES:
            return f"{where}: this user may not listen there; choose a port above 1023"
    words = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or str(error)
    return f"{where} cannot be listened on ({words}); choose another address and port"
