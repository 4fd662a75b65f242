"""Prometheus' numbers over HTTP, on the gateway's own event loop.

Whoever reaches the port can make it busy, never the gateway: few connections at once, each for one request and
for a short time.
"""

import asyncio
import errno
import logging
import os
from typing import cast

import prometheus_client
from aiohttp import web

from agi_sms import errors

MOST_CONNECTIONS = 20  # at once; one more is closed without a word
DEADLINE = 10.0  # seconds, for the request's head and for taking the answer
PATH = "/metrics"

# aiohttp writes a traceback for every request that is no HTTP: whoever reaches the port could fill the log.
_silent = logging.getLogger(f"{__name__}.aiohttp")
_silent.disabled = True


class Metrics:
    """A listening port; `close` lets go of it."""

    def __init__(self) -> None:
        self._http = web.Server(_answer, access_log=None, logger=_silent, lingering_time=0.0)
        self._doors: set[_Door] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> "Metrics":
        """Listen. Raises errors.AgiSmsError where that cannot be."""
        made = cls()
        try:
            made._server = await asyncio.get_running_loop().create_server(
                lambda: _Door(made._http, made._doors), host, port
            )
        except OSError as error:
            raise errors.AgiSmsError(_why(host, port, error)) from error
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

    def __init__(self, http: web.Server, doors: "set[_Door]") -> None:
        self._http = http
        self._doors = doors
        self._inner: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if len(self._doors) >= MOST_CONNECTIONS:
            self.cut()
            return
        self._doors.add(self)
        self._deadline = asyncio.get_running_loop().call_later(DEADLINE, self.cut)
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


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    if request.method == "GET" and request.path == PATH:
        response = web.Response(
            body=prometheus_client.generate_latest(), headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST}
        )
    else:
        response = web.Response(status=404, text=f"there is only GET {PATH}\n")
    response.force_close()
    return response


def _why(host: str, port: int, error: OSError) -> str:
    where = f"metrics.listen: {host}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is taken by another program; choose another port, or stop that program"
        case errno.EADDRNOTAVAIL:
            return f"{where} is no address of this machine; write 127.0.0.1 or one that it has"
        case errno.EACCES:
            return f"{where}: this user may not listen there; choose a port above 1023"
    words = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or str(error)
    return f"{where} cannot be listened on ({words}); choose another address and port"
