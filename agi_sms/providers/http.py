"""Sends over any HTTP API that a mapping of settings can describe (`http_settings.Settings`).

The one thing that matters here is where the line is between "certainly not taken" and "may have been taken".
It is drawn before the first byte of a request: aiohttp calls `on_request_headers_sent` when it has a
connection and before it writes. Whatever fails earlier is ProviderDown; whatever fails later is Uncertain.

aiohttp writes a GET or PUT a second time by itself when a connection breaks, be it new or reused. The same
callback refuses to be passed twice by one submission, so that the second never leaves.
"""

import asyncio
import contextlib
import enum
import os
import re
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import aiohttp
import structlog
from aiohttp import abc

from agi_sms import durations, message, ports
from agi_sms.providers import common, http_answer, http_mask, http_request, http_settings

log = structlog.get_logger(__name__)

_IDLE = 2.0  # seconds that a connection is kept: a stale one costs an uncertain message
_CHUNK = 16 * 1024
_SMALL = 4 * 1024


class _Stage(enum.Enum):
    CONNECTING = enum.auto()
    WRITTEN = enum.auto()  # or about to be: nobody can say any more that nothing left


@dataclass
class _Progress:
    stage: _Stage = _Stage.CONNECTING


class _SecondWrite(aiohttp.ClientError):
    """aiohttp was about to write one submission a second time."""


class HttpProvider:
    """One company's API."""

    Settings = http_settings.Settings
    confirms = ports.Confirms.ACCEPTANCE

    def __init__(
        self,
        name: str,
        settings: http_settings.Settings,
        *,
        resolver: Callable[[], abc.AbstractResolver] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self.idempotent = settings.idempotent
        self.on_uncertain = settings.on_uncertain
        self.timeout = 2 * settings.timeout  # for a free place, then for the request
        self._settings = settings
        self._resolver = resolver
        self._clock = clock
        self._builder = http_request.Builder(settings)
        self._mask = http_request.Mask(settings)
        self._reader = http_answer.Reader(settings.answer, self._mask)
        self._tls = True if settings.ca_file is None else ssl.create_default_context(cafile=settings.ca_file)
        self._session: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(settings.concurrency)
        self._under_way = 0
        self._idle = asyncio.Event()
        self._closed = False

    async def send(self, submission: ports.Submission) -> message.Outcome:
        """One request, at most one. Raises nothing but CancelledError."""
        if self._closed:
            return message.ProviderDown(code="closed", detail="this provider was replaced, or is shutting down")
        hide = http_mask.TextMask(submission.text)
        try:
            request = self._builder.build(submission)
        except http_request.Unsendable as error:
            return message.Rejected(code="request", detail=self._words(str(error), hide))
        async with self._counted():
            try:
                async with asyncio.timeout(self._settings.timeout.total_seconds()):
                    await self._places.acquire()
            except TimeoutError:
                return message.ProviderDown(code="busy", detail=f"all {self._settings.concurrency} places are taken")
            try:
                return await self._ask(request, hide)
            finally:
                self._places.release()

    async def _ask(self, request: http_request.Request, hide: http_mask.TextMask) -> message.Outcome:
        progress = _Progress()
        try:
            async with asyncio.timeout(self._settings.timeout.total_seconds()):
                raw = await self._exchange(request, progress)
            if len(raw.body) > _SMALL or self._reader.slow:  # up to 100 ms, in which no call would be served
                return await asyncio.to_thread(self._reader.read, raw, self._clock(), hide)
            return self._reader.read(raw, self._clock(), hide)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return self._fault(progress.stage, error, hide)
        except Exception as error:
            log.exception("a bug in the HTTP provider, or in the library below it", provider=self.name)
            return self._fault(progress.stage, error, hide)

    async def close(self) -> None:
        """Wait for requests under way (each ends by its own deadline), then let the connections go."""
        self._closed = True
        while self._under_way:
            self._idle.clear()
            await self._idle.wait()
        if self._session is not None:
            await self._session.close()

    @contextlib.asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._idle.set()

    async def _exchange(self, request: http_request.Request, progress: _Progress) -> http_answer.Raw:
        async with self._opened().request(
            request.method,
            request.url,
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
            trace_request_ctx=progress,
        ) as response:
            body = bytearray()
            while len(body) <= http_answer.LARGEST:
                chunk = await response.content.read(_CHUNK)
                if not chunk:
                    return http_answer.Raw(status=response.status, headers=response.headers, body=bytes(body))
                body += chunk
            response.close()
            return http_answer.Raw(
                status=response.status,
                headers=response.headers,
                body=bytes(body[: http_answer.LARGEST]),
                whole=False,
            )

    def _opened(self) -> aiohttp.ClientSession:
        """The session, made on the running loop when first needed."""
        if self._session is None:
            # A reused connection that the peer has just closed costs an uncertain message. POST takes that risk
            # for a moment, to save handshakes; GET and PUT, which aiohttp would send again, do not.
            reuse: dict[str, Any] = (
                {"keepalive_timeout": _IDLE} if self._settings.method == "POST" else {"force_close": True}
            )
            connector = aiohttp.TCPConnector(
                limit=0,  # `_places` is the limit
                ssl=self._tls,
                resolver=self._resolver() if self._resolver is not None else None,
                **reuse,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                trace_configs=[_trace()],
            )
        return self._session

    def _fault(self, stage: _Stage, error: Exception, hide: http_mask.TextMask) -> message.Outcome:
        late = isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError)
        waited = durations.show(self._settings.timeout)
        if stage is not _Stage.WRITTEN:
            code, detail = ("timeout", f"no connection within {waited}") if late else _connecting(error)
            return message.ProviderDown(code=code, detail=self._words(detail, hide))
        if late:
            return message.Uncertain(code="timeout", detail=f"no whole answer within {waited}")
        return message.Uncertain(code="broken", detail=self._words(_answering(error), hide))

    def _words(self, text: str, hide: http_mask.TextMask) -> str:
        return common.clipped(hide(self._mask(text)))


def _connecting(error: Exception) -> tuple[str, str]:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "dns", f"the name {error.host} does not resolve: {error.strerror}"
        case aiohttp.ClientConnectorCertificateError():
            return "tls", f"the certificate of {error.host} is not good: {error.certificate_error}"
        case aiohttp.ClientConnectorSSLError():
            return "tls", f"no TLS with {error.host}: {error.strerror or error.os_error}"
        case aiohttp.ClientConnectorError():
            why = os.strerror(error.errno) if error.errno else error.strerror or error.os_error
            return "connect", f"cannot connect to {error.host}:{error.port}: {why}"
    return "connect", f"cannot connect: {type(error).__name__}: {error}"


def _answering(error: Exception) -> str:
    match error:
        case aiohttp.ServerDisconnectedError() | _SecondWrite():
            return "the connection ended without an answer"
        case aiohttp.ClientPayloadError():
            return "the connection ended within the answer"
        case aiohttp.ClientResponseError():
            what = re.split(r"\n|: b['\"]", error.message)[0]  # after it comes a piece of the answer
            return f"the answer is not HTTP: {what}"
        case aiohttp.ClientOSError() | OSError():
            return f"the connection broke: {error.strerror or error}"
    return f"{type(error).__name__}: {error}"


def _trace() -> aiohttp.TraceConfig:
    """Notes in a submission's `_Progress` that it is being written, and lets none be written twice."""

    async def connecting(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        if context.trace_request_ctx.stage is _Stage.WRITTEN:
            raise _SecondWrite

    async def writing(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        if context.trace_request_ctx.stage is _Stage.WRITTEN:
            raise _SecondWrite
        context.trace_request_ctx.stage = _Stage.WRITTEN

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(connecting)
    trace.on_request_headers_sent.append(writing)
    return trace
