"""Where providers report what became of messages: one public port, a path for each provider.

A receipt is acknowledged only when it is kept; until then the provider is told to come again. Whoever is no provider of
ours gets one and the same answer, also where there is no provider of that name.
"""

import asyncio
import hmac
import urllib.parse
from collections.abc import Callable, Mapping
from concurrent import futures

from aiohttp import web

from agi_sms import errors, ports, turns
from agi_sms.web import addresses, door, listener, telling

MOST_CONNECTIONS = 200
MOST_AT_WORK = 100  # requests being read and kept at once; one more is to come again
ASKING = 10.0  # seconds until a request must be whole
PATIENCE = 10.0  # seconds for reading and keeping what a request brings
ANSWERING = 20.0  # seconds that a connection may take from then
IDLE = 90.0  # seconds that it is kept for another request; proxies let go earlier (nginx: 60), and meet no closed one
LARGEST = 64 * 1024  # bytes of one notice
METHODS = "GET, POST, PUT"
_METHODS = frozenset(METHODS.split(", "))

# Few, since they share one interpreter with the event loop: notices wait for each other, and nothing else for them.
_READERS = futures.ThreadPoolExecutor(2, "agi-sms-receipts")

Reporting = Callable[[], Mapping[str, ports.Reporting]]


async def listen(
    host: str, port: int, *, public_url: str, providers: Reporting, take: ports.TakeReceipts
) -> listener.Listener:
    """Take receipts there; `public_url` is the address of it that providers know, and sign with what they send.

    Its path is taken with and without: a proxy may keep it or strip it.
    Raises errors.AgiSmsError where that cannot be.
    """
    desk = _Receipts(public_url=public_url.rstrip("/"), providers=providers, take=take)
    limits = door.Limits(
        connections=MOST_CONNECTIONS, asking=ASKING, answering=ANSWERING, body=LARGEST, work=MOST_AT_WORK, idle=IDLE
    )
    return await listener.Listener.open(desk.answer, key="receipts.listen", host=host, port=port, limits=limits)


class _Receipts:
    def __init__(self, *, public_url: str, providers: Reporting, take: ports.TakeReceipts) -> None:
        self._public_url = public_url
        self._base = urllib.parse.urlsplit(public_url).path
        self._providers = providers
        self._take = take
        self._tell = telling.Telling("receipt")
        self._share = turns.Share()

    async def answer(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        """The acknowledgement. Raises listener.Refused."""
        if request.method not in _METHODS:
            raise listener.Refused(405, f"only {METHODS}", {"Allow": METHODS})
        path = request.raw_path
        if self._base and path.startswith(self._base + addresses.RECEIPTS):
            path = path.removeprefix(self._base)
        name = self._named(path)
        provider = self._providers().get(name)
        about = name if provider is not None else ""  # of names that a stranger made up there are any number
        notice = ports.Notice(method=request.method, url=self._public_url + path, headers=request.headers, body=body)
        try:
            async with asyncio.timeout(PATIENCE):
                report = await self._read(name, provider, notice)
                if report.receipts:
                    await self._take(name, report.receipts)
        except (errors.OutboxError, TimeoutError) as error:
            said = "receipts are not kept; the provider is told to come again"
            self._tell("not_kept", said, about=about, cause=repr(error), provider=about, error=repr(error))
        except listener.Refused:
            raise
        except Exception:
            said = "a bug in taking receipts; the provider is told to come again"
            self._tell("bug", said, about=about, provider=about, exc_info=True)
        else:
            return web.Response(status=report.status, body=report.body, headers={"Content-Type": report.content_type})
        raise listener.Refused(503, "not kept; come again", listener.COME_AGAIN)

    async def _read(self, name: str, provider: ports.Reporting | None, notice: ports.Notice) -> ports.Report:
        read = provider.read if provider is not None else _nobody
        quick = getattr(provider, "quick", _never)
        try:
            if self._share.left and quick(notice):  # of many that come at once, the rest is read by threads
                return self._share.spend(lambda: read(notice))
            return await asyncio.get_running_loop().run_in_executor(_READERS, read, notice)
        except errors.ReceiptForged as error:
            if provider is None:
                said = "a receipt for a provider that is not configured, or has none"
                self._tell("unknown", said, provider=name[:40], path=addresses.RECEIPTS + name[:40])
            else:
                said = "a receipt refused: it is not signed by the provider"
                self._complain("forged", said, name, error)
            raise listener.Refused(403, "this is not signed by a provider of ours") from error
        except errors.ReceiptError as error:
            self._complain("unreadable", "a receipt that cannot be read", name, error)
            raise listener.Refused(400, "this cannot be read") from error

    def _complain(self, kind: str, event: str, name: str, error: Exception) -> None:
        """Of what came for a provider of ours. Behind its name there may be a token, which is not for the log."""
        path = f"{addresses.RECEIPTS}{urllib.parse.quote(name, safe='')}"
        self._tell(kind, event, about=name, cause=str(error), provider=name, path=path, error=str(error))

    def _named(self, path: str) -> str:
        """The provider in a path; behind it there may be the token by which it shows that it was told the address.

        Raises listener.Refused where it is none of ours.
        """
        if not path.startswith(addresses.RECEIPTS):
            known = f"{self._base}{addresses.RECEIPTS}PROVIDER"
            front, receipt, _ = path.partition("?")[0].partition(addresses.RECEIPTS)
            if receipt and path.startswith("/"):  # a proxy's mistake; behind it there may be a token
                where = (front + receipt)[:60]
                self._tell("elsewhere", "a receipt came to a path that is not served", path=where, served=known)
            raise listener.Refused(404, f"there is only {known}")
        return urllib.parse.unquote(path.removeprefix(addresses.RECEIPTS).partition("?")[0].partition("/")[0])


def _never(_: ports.Notice) -> bool:
    return False


def _nobody(notice: ports.Notice) -> ports.Report:
    """Where there is no such provider: as long as with one whose signature is not good."""
    hmac.digest(b"nobody", notice.url.encode(errors="replace") + notice.body, "sha256")
    raise errors.ReceiptForged
