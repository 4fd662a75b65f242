"""Where providers report what became of messages: one public port, a path for each provider.

A receipt is acknowledged only when it is kept; until then the provider is told to come again.
"""

import asyncio
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import structlog
from aiohttp import web

from agi_sms import errors, metrics, ports
from agi_sms.web import addresses, listener

log = structlog.get_logger(__name__)

MOST_CONNECTIONS = 200
DEADLINE = 30.0  # seconds that one connection may take
PATIENCE = 10.0  # seconds for the receipts to be kept
LARGEST = 64 * 1024  # bytes of one notice
_SMALL = 4 * 1024  # bytes that are read on the event loop
_TOLD_EVERY = 60.0  # seconds: a stranger who knocks cannot fill the log

Reporting = Callable[[], Mapping[str, ports.Reporting]]


async def listen(
    host: str, port: int, *, public_url: str, providers: Reporting, take: ports.TakeReceipts
) -> listener.Listener:
    """Take receipts there; `public_url` is the address of it that providers know, and sign with what they send.

    Raises errors.AgiSmsError where that cannot be.
    """
    answer = _Receipts(public_url=public_url.rstrip("/"), providers=providers, take=take).answer
    return await listener.Listener.open(
        answer, key="receipts.listen", host=host, port=port, most=MOST_CONNECTIONS, deadline=DEADLINE
    )


class _Refused(Exception):
    """What the other side is told instead of an acknowledgement."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Receipts:
    def __init__(self, *, public_url: str, providers: Reporting, take: ports.TakeReceipts) -> None:
        self._public_url = public_url
        self._providers = providers
        self._take = take
        self._told: dict[tuple[str, str], float] = {}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The whole life of one request."""
        try:
            response = await self._answer(request)
        except _Refused as refused:
            headers = {"Retry-After": "30"} if refused.status == 503 else None
            response = web.Response(status=refused.status, text=f"{refused}\n", headers=headers)
        except Exception:
            self._tell("bug", "a bug in taking receipts; the provider is told to come again", exc_info=True)
            response = web.Response(status=503, text="not kept; come again\n", headers={"Retry-After": "30"})
        response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        name = _named(request.path)
        provider = self._providers().get(name)
        if provider is None:
            self._tell("unknown", "a receipt for a provider that is not configured, or has none", provider=name[:40])
            raise _Refused(404, f"there is only {addresses.RECEIPTS}PROVIDER")
        if request.method not in ("GET", "POST", "PUT"):
            raise _Refused(405, "GET, POST or PUT")
        body = await _body(request)
        notice = ports.Notice(
            method=request.method,
            url=self._public_url + request.raw_path,
            headers=request.headers,
            body=body,
        )
        report = await self._read(name, provider, notice)
        if report.receipts:
            await self._keep(name, report)
        return web.Response(status=report.status, body=report.body, headers={"Content-Type": report.content_type})

    async def _read(self, name: str, provider: ports.Reporting, notice: ports.Notice) -> ports.Report:
        try:
            if len(notice.body) + len(notice.url) > _SMALL:
                return await asyncio.to_thread(provider.read, notice)
            return provider.read(notice)
        except errors.ReceiptForged as error:
            self._tell("forged", "a receipt refused: it is not signed by the provider", provider=name, error=str(error))
            raise _Refused(403, "the signature is not good") from error
        except errors.ReceiptError as error:
            self._tell("unreadable", "a receipt that cannot be read", provider=name, error=str(error))
            raise _Refused(400, "this cannot be read") from error

    async def _keep(self, name: str, report: ports.Report) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._take(name, report.receipts)
        except (errors.OutboxError, TimeoutError) as error:
            self._tell(
                "not_kept",
                "receipts are not kept; the provider is told to come again",
                provider=name,
                error=repr(error),
            )
            raise _Refused(503, "not kept; come again") from error

    def _tell(self, kind: str, event: str, **facts: Any) -> None:
        """Counted each time, told once in a while: of each provider, those together that are none."""
        metrics.fault(f"receipt_{kind}")
        now, key = time.monotonic(), (kind, "" if kind == "unknown" else facts.get("provider", ""))
        if now - self._told.get(key, -_TOLD_EVERY) >= _TOLD_EVERY:
            self._told[key] = now
            log.warning(event, **facts)


def _named(path: str) -> str:
    """The provider in an address; behind it there may be the token by which it shows that it was told the address."""
    if not path.startswith(addresses.RECEIPTS):
        return ""
    return urllib.parse.unquote(path.removeprefix(addresses.RECEIPTS).partition("/")[0])


async def _body(request: web.BaseRequest) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.content.iter_chunked(_SMALL):
            body += chunk
            if len(body) > LARGEST:
                raise _Refused(413, f"at most {LARGEST} bytes")
    except (OSError, aiohttp.ClientError, web.RequestPayloadError) as error:  # it hung up, or was cut
        raise _Refused(400, "broken off") from error
    return bytes(body)
