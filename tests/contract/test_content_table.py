"""The README's table of what the customer's system may do: each row happens, over the real outbox, use case, edge."""

import asyncio
import contextlib
import gzip
import io
import json
import re
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import abc
from rich import console

from agi_sms import call, fetching, ids, node, numbers, plan, ports, show, text
from agi_sms.content import api
from agi_sms.content import settings as content_settings
from agi_sms.message import Reason, Status
from agi_sms.node import OnError
from agi_sms.outbox import sqlite
from agi_sms.testing import FixedClock
from tests.contract import peer

README = Path(__file__).resolve().parents[2] / "README.md"
SECTION = "Text from your own system"
HEAD = "| What your system does | Status | Reason | Asked again | Fallback |"
DEADLINE = 20.0  # seconds until a condition that never comes true fails the test
NOW = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
ANSWER, FALLBACK = "Zażółć", "Thank you for calling"
SOON = "300ms"  # the timeout where it is waited for
RETRIES = 1
BREAK_AFTER = 3


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    does: str
    status: str
    reason: str | None
    again: bool
    fallback: bool


def _table() -> list[Row]:
    section = re.search(rf"^## {SECTION}\n(.*?)(?=^## |\Z)", README.read_text(encoding="utf-8"), re.M | re.S)
    assert section, SECTION
    _, _, below = section.group(1).partition(f"{HEAD}\n")
    rows = []
    for line in below.splitlines()[1:]:
        if not line.startswith("|"):
            break
        does, status, reason, again, fallback = (cell.strip() for cell in line.strip("|").split("|"))
        rows.append(
            Row(
                does=does,
                status=status.strip("`"),
                reason=reason.strip("`") or None,
                again=_yes(again),
                fallback=_yes(fallback),
            )
        )
    return rows


def _yes(cell: str) -> bool:
    return {"yes": True, "no": False}[cell]


@dataclass(frozen=True, kw_only=True)
class Case:
    """How a peer does it, and how it is asked."""

    name: str
    behave: peer.Behaviour = field(default_factory=peer.silence)
    settings: Mapping[str, Any] = field(default_factory=dict)
    template: str | None = None
    text: str = ANSWER  # what the answer comes to where it is used
    tls: bool = False
    gone: bool = False  # nobody listens there
    host: str = "127.0.0.1"
    faults_before: int = 0


def _case(name: str, behave: peer.Behaviour, **more: Any) -> Case:
    return Case(name=name, behave=behave, **more)


def _plain(body: bytes, kind: str = "text/plain", **more: Any) -> Case:
    return _case(kind, peer.answer(200, body, {"Content-Type": kind}), **more)


def _status(number: int, **headers: str) -> Case:
    return _case(str(number), peer.answer(number, b"no", {"Content-Type": "text/plain", **headers}))


def _json(tree: object, **more: Any) -> Case:
    body = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    settings = {"response": "json", **more.pop("settings", {})}
    name = body[:30].decode(errors="replace")
    return _case(name, peer.answer(200, body), settings=settings, **more)


def _xml(body: bytes) -> Case:
    answer = peer.answer(200, body, {"Content-Type": "application/xml"})
    return _case(body[-40:].decode(), answer, settings={"response": "xml"})


def _packed(body: bytes) -> Case:
    headers = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    return _case("gzip", peer.answer(200, gzip.compress(body), headers))


def _then_silence(first: bytes) -> peer.Behaviour:
    async def behave(_: peer.Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(first)
        await asyncio.Event().wait()
        return False

    return behave


_LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
CASES: dict[str, tuple[Case, ...]] = {
    "gives no answer within `timeout`": (
        _case("silence", peer.silence(), settings={"timeout": SOON}),
        _case("half a head", _then_silence(b"HTTP/1.1 200 OK\r\nContent-"), settings={"timeout": SOON}),
    ),
    "sends its answer in endless drips": (
        _case("body", peer.drip(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"), settings={"timeout": SOON}),
        _case("head", peer.drip(b"HTTP/1.1 200 OK\r\nX: "), settings={"timeout": SOON}),
    ),
    "refuses the connection": (Case(name="port", gone=True),),
    "has a name that DNS does not know": (Case(name="invalid", host="shop.invalid"),),
    "has a TLS certificate that does not fit": (_case("self-signed", peer.answer(200, b"hi"), tls=True),),
    "breaks the connection off": (
        _case("before the answer", peer.cut()),
        _case("in its head", peer.cut(b"HTTP/1.1 200 OK\r\nContent-")),
        _case("in its body", peer.cut(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nha")),
        _case("too short", peer.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nha")),
    ),
    "fails so often that it is left alone": (
        _case("503", peer.answer(503, b"no"), faults_before=BREAK_AFTER, settings={"retries": 0}),
    ),
    "answers with a redirect": tuple(_status(n, Location="/elsewhere") for n in (301, 302, 303, 307, 308)),
    "answers 404, or another 4xx": tuple(_status(n) for n in (400, 401, 403, 404, 409, 410, 422, 451)),
    "answers 408, 425 or 429": tuple(_status(n) for n in (408, 425, 429)),
    "answers 503, or another 5xx": tuple(_status(n) for n in (500, 502, 503, 504, 599)),
    "answers with an empty body": (_plain(b""), _case("204", peer.raw(b"HTTP/1.1 204 No Content\r\n\r\n", keep=True))),
    "answers with an empty text": (_plain(b" \r\n\t "), _json({"message": ""}), _json({"message": " \u00a0 "})),
    "answers HTML where JSON is expected": (
        _case(
            "a page",
            peer.answer(200, b"<!doctype html><h1>Log in</h1>", {"Content-Type": "text/html"}),
            settings={"response": "json"},
        ),
    ),
    "answers what is not JSON": (_json(b"{'message': 'hi'}"), _json(b'{"message": "hi"'), _json(b"hi")),
    "answers JSON that is nested too deeply": (
        _json(b"[" * 30000 + b"]" * 30000),
        _json(b'{"message":' * 5000 + b'"hi"' + b"}" * 5000),
    ),
    "answers XML with entities": (
        _xml(b'<!DOCTYPE a [<!ENTITY l0 "ha">' + _LAUGHS + b"]><a><message>&l9;</message></a>"),
        _xml(b'<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]><a><message>&f;</message></a>'),
        _xml(b'<!DOCTYPE a [<!ENTITY x "hi">]><a><message>&x;</message></a>'),
    ),
    "answers with other bytes than UTF-8, without a charset": (
        _plain(ANSWER.encode("cp1250")),
        _json(json.dumps({"message": ANSWER}, ensure_ascii=False).encode("iso-8859-2")),
    ),
    "answers with other bytes than UTF-8, and their charset": (
        _plain(ANSWER.encode("cp1250"), "text/plain; charset=windows-1250"),
        _plain(ANSWER.encode("iso-8859-2"), 'text/plain; charset="ISO-8859-2"'),
        _plain(ANSWER.encode("utf-16"), "text/plain; charset=utf-16"),
    ),
    "answers 10 MB": (
        _plain(b"x" * 10_000_000),
        _case("without an end", peer.endless()),
    ),
    "answers with a gzip bomb": (_packed(b"\0" * 10_000_000),),
    "leaves the field at `message` out": (_json({"status": "sent"}), _json({}), _xml(b"<a><status>sent</status></a>")),
    "has a list where text is wanted": (
        _json({"message": ["sent"]}),
        _json({"message": {"pl": "sent"}}),
        _json({"message": None}),
        _json({"message": True}),
        _xml(b"<a><message><pl>sent</pl></message></a>"),
    ),
    "leaves out a field that `content.text` shows": (
        _json({"order": {"id": 7}}, template="Order {{ api.order.id }} is {{ api.order.status }}"),
        _json([], template="{{ api.order }}"),
    ),
    "puts control characters into the text": (_json({"message": "Za\0\x1b\x07żó\x9b\x7fłć"}),),
    "sends a text beyond `max_segments`": (_json({"message": "long " * 400}), _plain(b"long " * 400)),
    "names a sender that cannot be one": tuple(
        _json({"message": "hi", "sender": sender}, settings={"allow": ["sender"]})
        for sender in ("no such sender!", 12, ["ACME"], "+48600100200\r\nX")
    ),
    "says `send: false`": tuple(
        _json({"send": False, **more}, settings={"allow": ["send"]}) for more in ({}, {"message": "hi"})
    ),
}


@dataclass(frozen=True, kw_only=True)
class Book:
    """One node, and trunks that write numbers as they are read."""

    nodes: node.Nodes

    def rules(self, pbx: str, trunk: str) -> numbers.Rules:
        return numbers.Rules(region="PL")


class Resolver(abc.AbstractResolver):
    """A name service that knows nothing."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[abc.ResolveResult]:
        raise OSError(None, "no such name")

    async def close(self) -> None:
        pass


class Counted:
    """A source that counts how often it is asked."""

    def __init__(self, inner: api.ApiSource) -> None:
        self.inner = inner
        self.host = inner.host
        self.timeout = inner.timeout
        self.asked = 0

    async def fetch(self, question: ports.Question) -> ports.Answer | ports.NoAnswer:
        self.asked += 1
        return await self.inner.fetch(question)

    async def close(self) -> None:
        await self.inner.close()


class Rig:
    """A node that asks the peer, over a real database; the clock is turned where something is to be repeated."""

    def __init__(self, box: sqlite.SqliteOutbox, clock: FixedClock, target: node.Node, source: Counted) -> None:
        self.box = box
        self.clock = clock
        self.book = Book(nodes={target.name: target})
        self.source = source
        self.fetcher = fetching.Fetching(
            outbox=box,
            book=lambda: self.book,
            terms=lambda: fetching.Terms(
                sources={target.name: source}, concurrency=4, break_after=BREAK_AFTER, break_for=timedelta(minutes=1)
            ),
            clock=clock,
            jitter=lambda: 0.0,
            wake=lambda: None,
        )

    async def arrive(self) -> str:
        """A call; its message's id."""
        ((name, target),) = self.book.nodes.items()
        fresh = ids.new(self.clock())
        facts = call.Call(pbx="main", key=fresh, call_id=fresh, caller="+48600100200", presentation="allowed")
        visit = call.Visit(id=fresh, node=name, call=facts, entry=call.Entry.ARI, arrived_at=self.clock())
        planned = plan.plan(visit, target, self.book.rules("main", ""))
        activation = ports.Activation(id=fresh, visit=visit, node_revision="r1", fetch_at=planned.fetch_at)
        (kept,) = (await self.box.admit(activation, planned.drafts)).messages
        assert kept.status is Status.WAITING
        self.fetcher.wake()
        return kept.message_id

    async def ended(self, message_id: str) -> ports.Story:
        """The message's story, once it waits no more for its text."""
        async with asyncio.timeout(DEADLINE):
            while True:
                story = await self.box.story(message_id)
                assert story is not None
                assert story.content is not None
                if story.message.status is not Status.WAITING:
                    return story
                if story.content.next_at is not None and story.content.tries and story.content.next_at > self.clock():
                    self.clock.now = story.content.next_at
                    self.fetcher.wake()
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(path: Path, case: Case, on_error: OnError, other: peer.Peer) -> AsyncIterator[Rig]:
    """The rig for a case, working; ended again."""
    port = free_port() if case.gone else other.port
    raw = {"url": f"{other.scheme}://{case.host}:{port}/sms-text", "retries": RETRIES, **case.settings}
    settings = content_settings.Api.model_validate(raw)
    asking = node.Asking(
        retries=settings.retries,
        on_error=on_error,
        fallback=text.Template(FALLBACK, name="fallback") if on_error is OnError.FALLBACK else None,
        allow=frozenset(settings.allow),
    )
    target = node.Node(
        name="desk",
        revision="r1",
        template=None if case.template is None else text.Template(case.template, name="text"),
        asking=asking,
        recipients=(node.Recipient(number="+48600100300"),),
    )
    resolver = None if case.host == "127.0.0.1" else Resolver
    source = Counted(api.ApiSource("desk", settings, templated=target.template is not None, resolver=resolver))
    clock = FixedClock(NOW)
    box = await sqlite.SqliteOutbox.open(path / "outbox.db", clock=clock, owner=True)
    rig = Rig(box, clock, target, source)
    task = asyncio.create_task(rig.fetcher.run())
    try:
        yield rig
    finally:
        await rig.fetcher.drain(timedelta(0))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await source.close()
        await box.close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def explained(story: ports.Story) -> str:
    """What `agi-sms explain` prints."""
    out = io.StringIO()
    show.explain(console.Console(file=out, width=200), story)
    return out.getvalue()


ROWS = _table()


def test_every_row_has_a_case_and_every_case_a_row() -> None:
    assert sorted(CASES) == sorted(row.does for row in ROWS)
    told = {row.reason for row in ROWS}
    content = {reason for reason in Reason if reason.startswith("content_")} - {Reason.CONTENT_REMOVED}
    assert told >= content | {Reason.EMPTY_CONTENT, Reason.TOO_LONG, Reason.DECLINED}


@pytest.mark.parametrize("on_error", OnError)
@pytest.mark.parametrize(
    ("row", "case"),
    [pytest.param(row, case, id=f"{row.does}: {case.name}") for row in ROWS for case in CASES.get(row.does, ())],
)
async def test_the_row_is_true(row: Row, case: Case, on_error: OnError, tmp_path: Path, logged: list[Any]) -> None:
    async with peer.running(case.behave, tls=case.tls) as other, running(tmp_path, case, on_error, other) as rig:
        for _ in range(case.faults_before):
            await rig.ended(await rig.arrive())
        before = rig.source.asked
        story = await rig.ended(await rig.arrive())
        asked = rig.source.asked - before
        arrived = len(other.requests)

    assert asked == (0 if case.faults_before else 1 + RETRIES if row.again else 1)
    if not case.tls and not case.gone and case.host == "127.0.0.1":
        assert arrived == before + asked  # each question is one request
    status, sms = row.status, FALLBACK if row.fallback else case.text
    if row.fallback and on_error is not OnError.FALLBACK:
        status = {OnError.SKIP: "skipped", OnError.HOLD: "held"}[on_error]
    found = story.message
    assert (found.status, found.reason) == (status, row.reason)
    assert found.text == (sms if status == "scheduled" else None)
    assert story.content is not None
    assert story.content.reason == row.reason
    assert story.content.tries == asked
    if row.reason is not None:
        assert f"{row.reason}: " in explained(story)
    assert [line for line in logged if line["log_level"] in ("error", "critical")] == []
