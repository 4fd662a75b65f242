"""aioari over an HTTP client of our own: no password in an address, deadlines and size limits everywhere.

This is the one place where what aioari, aiohttp and the network raise becomes errors.PbxError.
"""

import asyncio
import base64
import contextlib
import email.utils
import json
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aioari
import aiohttp
import yarl
from aioswagger11 import http_client

from agi_sms import errors
from agi_sms.asterisk.settings import Ari

POOL = 50  # connections; Asterisk's own default limit is 100 sessions
KEEPALIVE = 10.0  # seconds; Asterisk closes idle connections after 15
HEARTBEAT = 6.0  # seconds between our pings; aiohttp waits half of that for the answer
CLOSING = 1.0  # seconds
LARGEST_ANSWER = 8 * 1024 * 1024
LARGEST_EVENT = 1024 * 1024
USED_DOCS = frozenset({"applications", "channels", "events"})
PROBE = "agi-sms-probe"  # the id of a channel that does not exist
RIGHTS_HINT = "check ari.conf: the user's section, its password, and read_only = no"

Handler = Callable[[dict[str, Any]], None]


class Refusal(errors.PbxError):
    """Asterisk answered a request with an HTTP error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"Asterisk answered {status}: {text[:200]}")
        self.status = status


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """The little of an HTTP response that aioari looks at."""

    status: int
    body: str

    async def text(self) -> str:
        return self.body


class _Socket:
    """The websocket as aioari reads it: whatever is no text is the end, so that every loss is seen as one."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> aiohttp.WSMessage | None:
        message = await self._socket.receive()
        return message if message.type is aiohttp.WSMsgType.TEXT else None

    async def close(self) -> None:
        await self._socket.close()


class _Http(http_client.AsynchronousHttpClient):  # type: ignore[misc]
    """The HTTP client that aioari is given. Its base's __init__ would make a session without any of this."""

    def __init__(self, settings: Ari) -> None:
        self.authenticator = None
        self.websockets: set[object] = set()
        self.on_open: Callable[[], None] = lambda: None
        self.date = ""  # of the last answer, as its header has it
        self._base = settings.url
        self._seconds = settings.timeout.total_seconds()
        login = f"{settings.username}:{settings.password.get_secret_value()}".encode()
        context = ssl.create_default_context(cafile=settings.ca_file) if self._base.startswith("https") else True
        self.session = aiohttp.ClientSession(
            headers={"Authorization": "Basic " + base64.b64encode(login).decode()},
            timeout=aiohttp.ClientTimeout(total=self._seconds),
            connector=aiohttp.TCPConnector(limit=POOL, keepalive_timeout=KEEPALIVE, ssl=context),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def post(self, path: str, params: Mapping[str, str | int]) -> None:
        """What every call needs, past aioari: that would find and fill in the operation anew each time, which costs
        as much again as the request."""
        query = f"?{urllib.parse.urlencode(params, quote_via=urllib.parse.quote)}" if params else ""
        await self.request("POST", yarl.URL(f"{self._base}ari/{path}{query}", encoded=True))

    async def request(
        self,
        method: str,
        url: str | yarl.URL,
        params: Mapping[str, str] | None = None,
        data: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> _Answer:
        """Ask, and read the whole answer."""
        async with self.session.request(
            method, url, params=params, data=data, headers=headers, allow_redirects=False
        ) as response:
            self.date = response.headers.get("Date", "")
            body = await _read(response)
            if response.status >= 300:
                raise Refusal(response.status, body)
        if "/ari/api-docs/" in str(url):
            body = self._docs(body)
        return _Answer(status=response.status, body=body)

    def _docs(self, body: str) -> str:
        """What is used of the API's description, under the address we know: behind TLS it names another."""
        docs = json.loads(body)
        docs["basePath"] = self._base + "ari"
        apis = docs["apis"]
        if any("operations" not in api for api in apis):  # the listing
            docs["apis"] = [api for api in apis if Path(api["path"]).name.partition(".")[0] in USED_DOCS]
        return json.dumps(docs)

    async def ws_connect(self, url: str, params: Mapping[str, str] | None = None) -> _Socket:
        """Open the websocket of events."""
        async with asyncio.timeout(self._seconds):
            socket = await self.session.ws_connect(
                url,
                params=params,
                heartbeat=HEARTBEAT,
                max_msg_size=LARGEST_EVENT,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSING),
            )
        self.on_open()
        return _Socket(socket)

    async def close(self) -> None:
        await self.session.close()


async def _read(response: aiohttp.ClientResponse) -> str:
    """The body, as long as it is of a sensible size."""
    chunks = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > LARGEST_ANSWER:
            response.close()
            raise errors.PbxError(f"an answer of Asterisk is longer than {LARGEST_ANSWER} bytes")
        chunks.append(chunk)
    return b"".join(chunks).decode(errors="replace")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn what the libraries raise into errors.PbxError."""
    try:
        yield
    except Refusal as refusal:
        if refusal.status in (401, 403):
            raise errors.PbxRefused(str(refusal)) from refusal
        raise
    except aiohttp.WSServerHandshakeError as error:
        if error.status in (401, 403):
            raise errors.PbxRefused(f"Asterisk answered {error.status} to the websocket") from error
        raise errors.PbxUnreachable(f"no websocket: Asterisk answered {error.status}") from error
    except TimeoutError as error:
        raise errors.PbxUnreachable("Asterisk did not answer in time") from error
    except (aiohttp.ClientError, OSError, RuntimeError) as error:  # RuntimeError: the session was closed meanwhile
        raise errors.PbxUnreachable(f"{type(error).__name__}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.PbxError(f"this is not how ARI speaks: {type(error).__name__}: {error}") from error


class Connection:
    """One login at one Asterisk. Every method raises errors.PbxError and below, and nothing else."""

    def __init__(self, settings: Ari) -> None:
        self._http = _Http(settings)
        self._client = aioari.Client(settings.url, self._http)

    async def check(self) -> None:
        """Read the API's description, and see whether this user may write at all.

        A read-only user could neither set a variable nor send a channel on; every call would wait for the
        dialplan's watchdog. Asterisk says so before it looks whether there is such a channel.
        """
        with _translated():
            await self._client.init()
        with contextlib.suppress(Refusal):
            await self.send_on(PROBE)

    async def listen(
        self,
        app: str,
        handlers: Mapping[str, Handler],
        *,
        on_open: Callable[[], None],
        on_fault: Callable[[Exception], None],
    ) -> None:
        """Register the application, and hand over its events until the connection ends.

        Handlers are called by the reader, so they must not wait for anything.
        """
        self._client.exception_handler = on_fault
        self._http.on_open = on_open
        for kind, handler in handlers.items():
            self._client.on_event(kind, handler)
        with _translated():
            await self._client.run(apps=app)

    async def send_on(self, channel_id: str, where: Mapping[str, str | int] | None = None) -> None:
        """Let a channel go on at its next priority, or at another place of the dialplan, which must exist."""
        with _translated():
            await self._http.post(f"channels/{urllib.parse.quote(channel_id, safe='')}/continue", where or {})

    async def channel(self, channel_id: str) -> dict[str, Any] | None:
        """A channel as Asterisk describes it, None where it is gone."""
        with _translated():
            try:
                found = await self._client.channels.get(channelId=channel_id)
            except Refusal as refusal:
                if refusal.status == 404:
                    return None
                raise
            description = found.json
            return description if isinstance(description, dict) else None

    @property
    def present(self) -> datetime | None:
        """The time by Asterisk's clock when it gave its last answer, in whole seconds; None where it did not say."""
        with contextlib.suppress(ValueError, TypeError):
            found = email.utils.parsedate_to_datetime(self._http.date)
            return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return None

    async def parked(self, app: str) -> set[str] | None:
        """The ids of the channels that an application is subscribed to, None where nobody registered it."""
        with _translated():
            try:
                found = await self._client.applications.get(applicationName=app)
            except Refusal as refusal:
                if refusal.status == 404:
                    return None
                raise
            return {str(channel_id) for channel_id in found["channel_ids"]}

    async def close(self) -> None:
        """Let go of every socket."""
        await self._http.close()


@contextlib.asynccontextmanager
async def connected(settings: Ari) -> AsyncIterator[Connection]:
    """A checked connection, closed again in every case."""
    connection = Connection(settings)
    try:
        await connection.check()
        yield connection
    finally:
        await connection.close()
