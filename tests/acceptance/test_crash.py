"""The gateway killed at named points: nothing is lost, nothing goes out twice unless the operator said so."""

import collections.abc
import http.server
import json
import pathlib
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Self

import pytest

from rig import sipp
from tests.acceptance import crashing
from tests.acceptance import gateway as gateways
from tests.acceptance import lab as labs
from tests.acceptance.gateway import wait_for

pytestmark = pytest.mark.asterisk

DIALPLAN = f"""{labs.VISIT}
[from-trunk]
exten => 300,1,Gosub(visit,s,1(many))
 same => n,Hangup()
"""
MAYBE_LEFT = ("after_attempt_row", "bytes_written", "answer_read")
GRACE = 2.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the provider's side was sent, and when."""

    at: float
    ref: str
    to: str
    text: str


class Peer:
    """An SMS company: takes every message, and writes each request down. A context manager."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.silent_once: pathlib.Path | None = None
        peer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                peer.take(self)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing: `requests` says it all."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def take(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """Note a request; answer it, unless this is the one to be silent at."""
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.requests.append(Request(at=time.time(), **body))
        received, self.silent_once = self.silent_once, None
        if received is not None:
            received.touch()
            handler.connection.settimeout(gateways.PATIENCE)
            handler.connection.recv(1)  # ends with the connection
            handler.close_connection = True
            return
        answer = json.dumps({"id": f"peer-{len(self.requests)}"}).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/sms"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def peer() -> collections.abc.Iterator[Peer]:
    with Peer() as running:
        yield running


def crashed(lab: labs.Lab, peer: Peer, point: str, *, grace: str, **provider: Any) -> gateways.Gateway:
    """One real call through a gateway that dies at the point; the gateway, started again."""
    settings = {
        "type": "http",
        "url": peer.url,
        "body": {"json": {"ref": "{{ ref }}", "to": "{{ to }}", "text": "{{ text }}"}},
        "answer": {"id": "$.id"},
        **provider,
    }
    gateway = lab.gateway(
        program=(sys.executable, pathlib.Path(crashing.__file__), point),
        providers={"company": settings},
        routes={"default": ["company"]},
        retry={"first": "1s", "grace": grace, "jitter": 0},
    )
    if point == "bytes_written":
        peer.silent_once = gateway.directory / crashing.RECEIVED
    gateway.start()
    call = sipp.place_async(lab.asterisk, "300", hold=0.1)
    wait_for("the gateway dies", lambda: not gateway.running())
    assert gateway.wait() == -9
    assert (gateway.directory / crashing.DIED).exists()
    gateway.start()
    assert len(call.wait().calls) == 1
    lab.asterisk.wait_for_no_channels()
    (visit,) = lab.seen()
    assert visit.took_ms <= labs.WATCHDOG_MS + labs.MARGIN_MS
    return gateway


def only(gateway: gateways.Gateway, status: str) -> dict[str, Any]:
    """The one message of the one activation, once it has this status."""
    labs.wait_messages(gateway, {("many", status): 1})
    assert len(labs.activations(gateway)) == 1
    (row,) = gateway.history()
    return row


def refs(peer: Peer) -> list[str]:
    """What the provider's side was asked to send, by our ids."""
    return [request.ref for request in peer.requests]


@pytest.mark.parametrize("point", ["after_commit", "after_claim", "result_recorded"])
def test_sent_once(lab: labs.Lab, peer: Peer, point: str) -> None:
    """Nothing had left, or the answer was on disk: no doubt, so nothing that the operator said of doubts counts."""
    gateway = crashed(lab, peer, point, grace="0s", on_uncertain="resend")
    row = only(gateway, "accepted")
    assert row["attempts"] == 1
    assert refs(peer) == [row["id"]]
    assert (peer.requests[0].to, peer.requests[0].text) == ("+48600100300", "one each")
    # Where the call left by the watchdog, AstDB names the same visit.
    assert labs.missed(lab.asterisk) <= {one["visit"] for one in labs.activations(gateway)}


@pytest.mark.parametrize("point", MAYBE_LEFT)
def test_in_doubt(lab: labs.Lab, peer: Peer, point: str) -> None:
    """Something may have left, and nobody may ask twice: uncertain, for as long as a receipt may settle it."""
    gateway = crashed(lab, peer, point, grace="1h")
    row = only(gateway, "uncertain")
    assert (row["reason"], row["attempts"]) == ("crashed", 1)
    assert refs(peer) == [row["id"]][: point != "after_attempt_row"]
    told = gateway.command("explain", row["id"]).stdout
    assert "crashed" in told


def test_held_when_nothing_settles_it(lab: labs.Lab, peer: Peer) -> None:
    """After the grace period a person decides; the provider is not asked again."""
    gateway = crashed(lab, peer, "bytes_written", grace="1s")
    row = only(gateway, "held")
    assert (row["reason"], row["attempts"]) == ("crashed", 1)
    assert refs(peer) == [row["id"]]


@pytest.mark.parametrize("point", MAYBE_LEFT)
def test_sent_again_where_the_operator_says_so(lab: labs.Lab, peer: Peer, point: str) -> None:
    """But not before the grace period is over."""
    gateway = crashed(lab, peer, point, grace=f"{GRACE:.0f}s", on_uncertain="resend")
    row = only(gateway, "accepted")
    assert row["attempts"] == 2
    assert refs(peer) == [row["id"]] * (1 if point == "after_attempt_row" else 2)
    died = (gateway.directory / crashing.DIED).stat().st_mtime
    assert peer.requests[-1].at > died + GRACE


@pytest.mark.parametrize("point", MAYBE_LEFT)
def test_sent_again_where_the_provider_dedupes(lab: labs.Lab, peer: Peer, point: str) -> None:
    """With the same ref, and without waiting for the grace period."""
    gateway = crashed(lab, peer, point, grace="1h", idempotent=True)
    row = only(gateway, "accepted")
    assert row["attempts"] == 2
    assert refs(peer) == [row["id"]] * (1 if point == "after_attempt_row" else 2)
