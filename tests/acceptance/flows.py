"""What tests of call flows share: one call after the other, and what the dialplan saw of its visits."""

import collections.abc
import contextlib
import http.server
import json
import pathlib
import sqlite3
import threading
from datetime import UTC, datetime
from typing import Any

from rig import sipp
from rig.asterisk import Asterisk
from tests.acceptance import lab as labs
from tests.acceptance.gateway import Gateway, wait_for

CALLER = "+48600100200"
DESK, DEPUTY = "+48600100300", "+48600100301"
# For gateways whose answers a test compares: a busy machine shall not send its calls to the spool, which cannot know
# of duplicates and says SCHEDULED.
PATIENT: dict[str, Any] = {"hold_budget": "1500ms"}
ATTACKER = "+19005550100"  # whom strangers try to make a recipient

# Gosub(seen,s,1) behind a visit keeps what the dialplan read, in AstDB as test/seen/UNIQUEID: STATUS:COUNT/...
SEEN = """
[seen]
exten => s,1,Set(DB(test/seen/${UNIQUEID})=${DB(test/seen/${UNIQUEID})}/${AGISMS_STATUS}:${AGISMS_COUNT})
 same => n,Return()
"""


def place(asterisk: Asterisk, number: str, **how: Any) -> sipp.Result:
    """Place calls as rig.sipp.place does, and wait until Asterisk is done with them."""
    result = sipp.place(asterisk, number, **{"hold": 5.0, **how})
    asterisk.wait_for_no_channels(deadline=20)
    return result


def seen(asterisk: Asterisk) -> dict[str, list[str]]:
    """What each channel read after its visits, as STATUS:COUNT, in their order; by the channel's uniqueid."""
    return {
        key.removeprefix("seen/"): told.strip("/").split("/")
        for key, told in asterisk.database("test").items()
        if key.startswith("seen/")
    }


def told(asterisk: Asterisk) -> list[str]:
    """What the only channel that kept something read after its visits."""
    (only,) = seen(asterisk).values()
    return only


def put(asterisk: Asterisk, key: str, value: str) -> None:
    """Give the dialplan a value, to be read as DB(test/KEY)."""
    with asterisk.session() as session:
        session.action("DBPut", Family="test", Key=key, Val=value)


def to(rows: collections.abc.Iterable[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    """Recipient, status and reason of history rows, in order of the recipients."""
    return sorted(((row["recipient"], row["status"], row["reason"]) for row in rows), key=str)


def _ask(gateway: Gateway, query: str) -> list[Any]:
    """Look into the database itself: for what no command tells, and for waiting, which commands are too slow for."""
    with contextlib.closing(sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True)) as database:
        return database.execute(query).fetchall()


def arrivals(gateway: Gateway) -> dict[str, datetime]:
    """When each activation arrived, by the id of each of its messages."""
    rows = _ask(gateway, "SELECT m.id, a.arrived_at FROM messages m JOIN activations a ON a.id = m.activation_id")
    return {message: datetime.fromtimestamp(at / 1000, UTC) for message, at in rows}


def settled(gateway: Gateway, count: int, *, later: int = 0) -> list[dict[str, Any]]:
    """The whole history, oldest first, once there are `count` messages and all but `later` of them went their way."""
    query = "SELECT count(*), count(*) FILTER (WHERE status IN ('waiting', 'scheduled', 'sending')) FROM messages"

    def enough() -> bool:
        ((there, open_),) = _ask(gateway, query)
        return bool(there >= count and open_ <= later)

    wait_for(f"{count} messages, {later} of them for later", enough)
    rows = gateway.history()
    assert len(rows) == count, rows
    return rows


def settled_of(gateway: Gateway, call_id: str) -> list[dict[str, Any]]:
    """The messages of one call as the database has them, oldest first, once there are some and none is on its way."""
    found: list[dict[str, Any]] = []

    def enough() -> bool:
        nonlocal found
        rows = (dict(zip(_COLUMNS, row, strict=True)) for row in _ask(gateway, _MESSAGES))
        found = [row for row in rows if row["call_id"] == call_id]
        return bool(found) and not {row["status"] for row in found} & {"waiting", "scheduled", "sending"}

    wait_for(f"the messages of call {call_id}", enough)
    return found


def message_ids(gateway: Gateway) -> set[str]:
    """Of every message that there is."""
    return {row[0] for row in _ask(gateway, _MESSAGES)}


_COLUMNS = ("id", "call_id", "node", "recipient", "status", "reason", "text")
_MESSAGES = (
    "SELECT m.id, a.call_id, m.node, m.recipient, m.status, m.reason, m.text "
    "FROM messages m JOIN activations a ON a.id = m.activation_id ORDER BY m.id"
)


def edit(gateway: Gateway, change: collections.abc.Callable[[dict[str, Any]], object]) -> None:
    """Change the gateway's configuration file in place."""
    tree = json.loads(gateway.config.read_text(encoding="utf-8"))
    change(tree)
    gateway.config.write_text(json.dumps(tree, ensure_ascii=False, indent=1), encoding="utf-8")


@contextlib.contextmanager
def shown(asterisk: Asterisk, gateway: Gateway) -> collections.abc.Iterator[None]:
    """Print what both said meanwhile: for tests that share a gateway."""
    before, logged = len(gateway.said()), len(asterisk.log())
    try:
        yield
    finally:
        print(f"--- the gateway said\n{gateway.said()[before:][-labs.TAIL :]}")
        print(f"--- Asterisk said\n{asterisk.log()[logged:][-labs.TAIL :]}")


@contextlib.contextmanager
def served(
    asterisk: Asterisk, directory: pathlib.Path, nodes: dict[str, Any], **more: Any
) -> collections.abc.Iterator[Gateway]:
    """A gateway that runs on these nodes, and is stopped again."""
    with labs.Lab(asterisk, directory) as lab:
        yield lab.gateway(nodes, **PATIENT, **more).start()


class SlowProvider(http.server.ThreadingHTTPServer):
    """A company whose API takes five seconds for each SMS, until it is told to hurry."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        self.hurry = threading.Event()
        self.under_way = self.answered = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), self._Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/sms"

    def counted(self, change: int) -> None:
        with self.lock:
            self.under_way += change
            self.answered += change < 0

    class _Handler(http.server.BaseHTTPRequestHandler):
        server: "SlowProvider"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.server.counted(+1)
            self.server.hurry.wait(5)
            self.server.counted(-1)
            body = b'{"id": "1"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: the test asks the server what it needs to know."""
