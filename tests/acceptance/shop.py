"""The customer's system: an HTTP server on a loopback port that keeps what it was asked, and says what a test wants."""

import contextlib
import hashlib
import hmac
import http.server
import json
import pathlib
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tests.acceptance.gateway import wait_for

GATE = 60.0  # seconds that a request waits there at most
TEXT, JSON, XML = "text/plain; charset=utf-8", "application/json", "application/xml"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request, as it came. Names of headers are in lower case; `raw_query` is what follows the question mark."""

    at: float
    method: str
    path: str
    raw_query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, str]:
        """What it says, wherever that stands; each name once, and nothing but UTF-8."""
        kind = self.headers.get("content-type", "").partition(";")[0]
        pairs = _pairs(self.raw_query)
        if kind == "application/x-www-form-urlencoded":
            pairs += _pairs(self.body.decode())
        elif kind == JSON:
            pairs += json.loads(self.body.decode(), object_pairs_hook=list)
        else:
            assert self.body == b"", kind
        assert len({name for name, _ in pairs}) == len(pairs), pairs
        return dict(pairs)

    def signed_with(self, secret: str) -> bool:
        """Whether somebody who knows the secret asks, and asks now."""
        stamp = self.headers["agi-sms-timestamp"]
        signed = self.body if self.method == "POST" else self.raw_query.encode()
        expected = hmac.new(secret.encode(), stamp.encode() + b"." + signed, hashlib.sha256).hexdigest()
        fresh = abs(self.at - int(stamp)) < 60
        return fresh and hmac.compare_digest(self.headers["agi-sms-signature"], f"sha256={expected}")


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer."""

    status: int = 200
    kind: str = TEXT
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def text(words: str) -> Said:
    """Plain text."""
    return Said(body=words.encode())


def json_(tree: object) -> Said:
    """JSON, its letters as they are."""
    return Said(kind=JSON, body=json.dumps(tree, ensure_ascii=False).encode())


def xml(document: str) -> Said:
    """XML."""
    return Said(kind=XML, body=document.encode())


Page = Callable[[Asked], Said]


class Shop:
    """A context manager. `pages` may be changed at any time; while `gate` is cleared, requests wait there for their
    answers. `received` is a file made once a request is there."""

    def __init__(self, pages: Mapping[str, Page] | None = None, *, port: int = 0) -> None:
        self.pages = dict(pages or {})
        self.asked: list[Asked] = []
        self.gate = threading.Event()
        self.gate.set()
        self.received: pathlib.Path | None = None
        self.waiting = self.most_waiting = self.most_connections = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.shop = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        """As the gateway calls it."""
        return f"http://127.0.0.1:{self.port}"

    def at(self, path: str) -> list[Asked]:
        """What it was asked under this path, in order."""
        return [asked for asked in self.asked if asked.path == path]

    def wait_asked(self, path: str, count: int) -> list[Asked]:
        """What it was asked under this path, once it was asked so often; fails where it was asked more."""
        wait_for(f"{path} is asked {count} times", lambda: len(self.at(path)) >= count)
        found = self.at(path)
        assert len(found) == count, found
        return found

    def wait_waiting(self, count: int) -> None:
        """Until so many requests stand at the gate."""
        wait_for(f"{count} requests at the gate", lambda: self.waiting == count)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()  # waits for every connection's thread

    # --- what the handlers tell ---------------------------------------------------------------------------------

    def opened(self, connection: socket.socket) -> None:
        """A connection is there."""
        with self._lock:
            self._open.add(connection)
            self.most_connections = max(self.most_connections, len(self._open))

    def closed(self, connection: socket.socket) -> None:
        """A connection is gone, or goes with the answer that follows."""
        with self._lock:
            self._open.discard(connection)

    def answer(self, asked: Asked) -> Said:
        """Keep a request, and say something once the gate is open."""
        with self._lock:
            self.asked.append(asked)
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
        if self.received is not None:
            self.received.touch()
        try:
            self.gate.wait(GATE)
            page = self.pages.get(asked.path)
            return page(asked) if page else Said(status=404, body=b"no such page")
        finally:
            with self._lock:
                self.waiting -= 1


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128
    shop: Shop


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        self.server.shop.opened(self.connection)
        try:
            with contextlib.suppress(OSError):
                super().handle()
        finally:
            self.server.shop.closed(self.connection)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        asked = Asked(
            at=time.time(),
            method=self.command,
            path=path,
            raw_query=query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length", "0"))),
        )
        said = self.server.shop.answer(asked)
        self.send_response(said.status)
        for name, value in {"Content-Type": said.kind, **said.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said.body)))
        if self.close_connection:
            self.server.shop.closed(self.connection)  # whoever has read the answer may open the next one at once
        self.end_headers()
        self.wfile.write(said.body)

    def log_message(self, *_: Any) -> None:
        """Nothing: `asked` says it all."""


def _pairs(encoded: str) -> list[tuple[str, str]]:
    if not encoded:
        return []
    return urllib.parse.parse_qsl(encoded, keep_blank_values=True, strict_parsing=True, errors="strict")
