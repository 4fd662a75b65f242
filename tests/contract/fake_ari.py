"""An ARI that misbehaves on demand, for faults that no real Asterisk produces when it is told to."""

import asyncio
import base64
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from agi_sms import call, ports
from agi_sms.asterisk import ari, ari_client
from agi_sms.asterisk.settings import Ari

USER, PASSWORD, APP = "gateway", "s3cret", "agi-sms"
NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
SCHEDULED = ports.Reply(status=ports.ReplyStatus.SCHEDULED, count=2, activation_id="act-1")
MARK = "back=1"
SENT_ON = [("continue", "result:SCHEDULED:2")]
LOGIN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def _operation(method: str, path: str, nickname: str, answer: str, *query: str, websocket: bool = False) -> Any:
    in_path = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "paramType": "path", "required": True, "dataType": "string"} for name in in_path]
    parameters += [{"name": name, "paramType": "query", "required": False, "dataType": "string"} for name in query]
    operation = {"httpMethod": method, "nickname": nickname, "responseClass": answer, "parameters": parameters}
    return {"path": path, "operations": [operation | ({"upgrade": "websocket"} if websocket else {})]}


DOCS = {
    "channels": [
        _operation("GET", "/channels/{channelId}", "get", "Channel"),
        _operation(
            "POST", "/channels/{channelId}/continue", "continueInDialplan", "void", "context", "extension", "priority"
        ),
    ],
    "applications": [_operation("GET", "/applications/{applicationName}", "get", "Application")],
    "events": [_operation("GET", "/events", "eventWebsocket", "Message", "app", websocket=True)],
    "playbacks": [_operation("GET", "/playbacks/{playbackId}", "get", "Playback")],
}


def _destination(request: web.Request, app_data: str) -> tuple[str, ...]:
    """The subroutine's extension for answers, nothing for the next priority; anything else would end the call.

    Where the answer is for the visit that the channel is in, as the subroutine sees it, that is left away.
    """
    if not request.query_string:
        return ()
    assert (request.query["context"], request.query["priority"]) == ("agi-sms", "1")
    answer, _, for_whom = request.query["extension"].rpartition(":")
    (visit,) = re.findall(r",back=1,(?:visit=([^,]*))?", f"{app_data},") or ("",)
    return (answer,) if for_whom == visit[-9:] else (request.query["extension"],)


@dataclass
class FakeAri:
    """The state that a test looks at and turns. `script` answers a request in place of the usual answer."""

    url: str = ""
    channels: dict[str, str] = field(default_factory=dict)  # parked channel -> its app_data
    registered: bool = False
    seen: list[tuple[str, ...]] = field(default_factory=list)  # what was asked of channels, in order
    paths: list[str] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    script: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse | None]]] = field(default_factory=dict)
    place: dict[str, str] = field(default_factory=lambda: {"context": "agi-sms", "exten": "s"})
    marked: bool = True
    docs_for: str = "http://elsewhere.invalid/ari"
    autoping: bool = True
    at_once: int = 0
    most_at_once: int = 0
    peers: Counter[object] = field(default_factory=Counter)
    date: str = ""  # its present time, where it is not that of this machine

    # --- what a test does ---

    async def connected(self, number: int = 1) -> web.WebSocketResponse:
        """Wait for the n-th websocket."""
        async with asyncio.timeout(10):
            while len(self.sockets) < number:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return self.sockets[number - 1]

    async def start(self, channel_id: str, *args: str, socket: int = -1, **more: Any) -> None:
        """Let a channel enter the application; by the subroutine, unless `marked` is turned off."""
        args = (*args[:1], MARK, *args[1:]) if self.marked and args else args
        self.channels[channel_id] = ",".join([APP, *args])
        event = {"args": list(args), "timestamp": "2026-01-15T12:00:00.000+0000", **more}
        await self.event("StasisStart", channel_id, socket=socket, **event)

    async def end(self, channel_id: str, *, ms: int = 3, socket: int = -1) -> None:
        """Let a channel leave."""
        self.channels.pop(channel_id, None)
        await self.event("StasisEnd", channel_id, socket=socket, timestamp=f"2026-01-15T12:00:00.{ms:03}+0000")

    async def event(self, kind: str, channel_id: str, *, socket: int = -1, **more: Any) -> None:
        await self.sockets[socket].send_json(
            {"type": kind, "application": APP, "channel": self.describe(channel_id), **more}
        )

    def describe(self, channel_id: str) -> dict[str, Any]:
        data = self.channels.get(channel_id)
        app = {"app_name": "Stasis", "app_data": data} if data is not None else {"app_name": "Wait", "app_data": "1"}
        return {
            "id": channel_id,
            "name": "PJSIP/acme-0000001f",
            "caller": {"name": "", "number": "600100200"},
            "dialplan": {**self.place, "priority": 2, **app},
            "channelvars": {},
        }

    def asked(self, channel_id: str) -> list[tuple[str, ...]]:
        """What was asked to be done with a channel."""
        return [call[1:] for call in self.seen if call[0] == channel_id]

    # --- the server ---

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path_qs)
        self.peers[request.transport] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            response = await self._answer(request)
            if self.date and not response.prepared:
                response.headers["Date"] = self.date
            return response
        finally:
            self.at_once -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        what = request.path.removeprefix("/ari/")
        for prefix, scripted in self.script.items():
            if what.startswith(prefix) or what.endswith(prefix):
                said = await scripted(request)
                if said is not None:
                    return said
        if request.headers.get("Authorization") != LOGIN:
            return web.Response(status=401)
        match what.split("/"):
            case ["api-docs", name]:
                return web.json_response(self._docs(name.removesuffix(".json")))
            case ["events"]:
                return await self._events(request)
            case ["applications", app]:
                if not self.registered or app != APP:
                    return web.json_response({"message": "Application not found"}, status=404)
                return web.json_response({"name": APP, "channel_ids": list(self.channels)})
            case ["channels", channel_id]:
                if channel_id.startswith("gone"):
                    return web.json_response({"message": "Channel not found"}, status=404)
                return web.json_response(self.describe(channel_id))
            case ["channels", channel_id, "continue"]:
                if channel_id != ari_client.PROBE:
                    where = _destination(request, self.channels.get(channel_id, ""))
                    self.seen.append((channel_id, "continue", *where))
                if channel_id not in self.channels:
                    return web.json_response({"message": "Channel not found"}, status=404)
                return web.Response(status=204)
            case _:
                return web.Response(status=404)

    def _docs(self, name: str) -> Any:
        base = {"swaggerVersion": "1.1", "basePath": self.docs_for}
        if name == "resources":
            apis = [{"path": f"/api-docs/{api}.{{format}}", "description": ""} for api in DOCS]
            return {**base, "apis": apis}
        return {**base, "resourcePath": f"/api-docs/{name}", "apis": DOCS[name], "models": {}}

    async def _events(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=self.autoping)
        await socket.prepare(request)
        self.sockets.append(socket)
        self.registered = True
        self.at_once -= 1
        try:
            async for _ in socket:
                pass
        finally:
            self.at_once += 1
            if self.sockets[-1] is socket:
                self.registered = False
        return socket


@contextlib.asynccontextmanager
async def serve(port: int = 0) -> AsyncIterator[FakeAri]:
    """A fake ARI on a loopback port."""
    fake = FakeAri()
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", fake.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


async def reset(request: web.Request) -> web.StreamResponse | None:
    """Break the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def status(number: int) -> Callable[[web.Request], Awaitable[web.StreamResponse | None]]:
    """Answer with this status."""

    async def answer(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({"message": "told to"}, status=number)

    return answer


# --- the door that is tested ---


class Intake:
    """What stands behind the door: keeps visits, answers as it was told, waits while `gate` is closed."""

    def __init__(self) -> None:
        self.visits: list[call.Visit] = []
        self.back: list[tuple[str, datetime]] = []
        self.missed = 0
        self.answer: ports.Reply | Exception = SCHEDULED
        self.gate = asyncio.Event()
        self.gate.set()

    async def receive(self, visit: call.Visit) -> ports.Reply:
        self.visits.append(visit)
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def returned(self, activation_id: str, at: datetime) -> None:
        self.back.append((activation_id, at))

    def note_missed(self) -> None:
        self.missed += 1


@contextlib.asynccontextmanager
async def running(fake: FakeAri, intake: Intake, **settings: Any) -> AsyncIterator[ari.AriEntry]:
    """The door, opened; closed again in the end."""
    entry = ari.AriEntry(
        "pbx1",
        Ari(**{"url": fake.url, "username": USER, "password": PASSWORD, "timeout": "2s"} | settings),
        intake.receive,
        clock=lambda: NOW,
        returned=intake.returned,
        missed=intake.note_missed,
    )
    task = asyncio.create_task(entry.run())
    try:
        yield entry
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task.exception()
