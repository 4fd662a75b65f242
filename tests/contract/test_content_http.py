"""The content source over HTTP against a peer that misbehaves in every way.

An Answer or a NoAnswer always, in time; each question on the wire at most once; nothing secret in what is kept.
"""

import asyncio
import gzip
import json
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agi_sms import http_body, http_client, http_words, message, ports
from agi_sms.content import api
from agi_sms.content import settings as api_settings
from agi_sms.message import Reason
from tests.contract import peer, shops

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 400\r\n\r\n"

# --- over HTTP: what goes out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [{"method": "GET"}, {"body": "form"}, {"body": "json"}], ids=["get", "form", "json"])
async def test_http_the_request_arrives_as_it_was_built(way: dict[str, Any]) -> None:
    async with peer.running(peer.answer(200, b"Hello", shops.TEXT)) as other:
        made = shops.source(other.url, vars=["ORDER"], headers={"X-Shop": "Zażółć"}, sign={"secret": "s"}, **way)
        exchange = await made.exchange(shops.question(variables={"ORDER": "gęś & co\r\n"}))
        await made.close()
    (request,) = other.requests
    assert exchange.asked is not None
    assert request.method == exchange.asked.method
    assert f"{other.url}{request.target}" == exchange.asked.url
    assert request.body.decode() == exchange.asked.body
    told = json.loads(request.body) if way.get("body") == "json" else shops.values(request)
    assert told["ORDER"] == "gęś & co\r\n"
    assert told == dict(exchange.asked.values)
    for name, value in exchange.asked.headers:
        shown = "***" if name == "X-Shop" else request.headers[name.lower()]
        assert value == shown
    assert request.headers["x-shop"].encode("latin-1").decode() == "Zażółć"
    assert exchange.answered == api.Answered(status=200, content_type="text/plain; charset=utf-8", size=5, whole=True)
    assert isinstance(exchange.result, ports.Answer)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_http_connection_cut_on_the_second_question_is_never_asked_again(method: str) -> None:
    """aiohttp writes a GET again by itself when a connection breaks; here the peer sees each question once."""
    async with peer.running(peer.answer(200, b"Hello", shops.TEXT)) as other:
        made = shops.source(other.url, method=method)
        assert isinstance(await made.fetch(shops.question("a1")), ports.Answer)
        other.behave = peer.cut()
        broken = await made.fetch(shops.question("a2"))
        assert isinstance(broken, ports.NoAnswer)
        assert (broken.reason, broken.again, broken.host_fault) == (Reason.CONTENT_UNREACHABLE, True, True)
        other.behave = peer.answer(200, b"Hello", shops.TEXT)
        assert isinstance(await made.fetch(shops.question("a3")), ports.Answer)
        await made.close()
    assert [shops.values(request)["activation_id"] for request in other.requests] == ["a1", "a2", "a3"]
    assert other.connections == 3  # one that the host closes just then would count as its fault


# --- over HTTP: what comes back ------------------------------------------------------------------------------------

PACKED = gzip.compress(b"x" * 5_000_000)
BROKEN: dict[str, tuple[peer.Behaviour, Reason]] = {
    "closed without a word": (peer.raw(b""), Reason.CONTENT_UNREACHABLE),
    "reset without a word": (peer.cut(), Reason.CONTENT_UNREACHABLE),
    "reset after the headers": (peer.cut(HEAD), Reason.CONTENT_UNREACHABLE),
    "reset within the answer": (peer.cut(HEAD + b"Hel"), Reason.CONTENT_UNREACHABLE),
    "closed within the answer": (peer.raw(HEAD + b"Hello"), Reason.CONTENT_UNREACHABLE),
    "garbage": (peer.raw(b"\x00\xff\xfe" * 100), Reason.CONTENT_UNREACHABLE),
    "another protocol": (peer.raw(b"220 mail.example ESMTP\r\n"), Reason.CONTENT_UNREACHABLE),
    "bad chunks": (
        peer.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
        Reason.CONTENT_UNREACHABLE,
    ),
    "one header without an end": (
        peer.raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000, keep=True),
        Reason.CONTENT_UNREACHABLE,
    ),
    "headers without an end": (
        peer.raw(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(100_000)), keep=True),
        Reason.CONTENT_UNREACHABLE,
    ),
    "redirect": (peer.redirect("http://127.0.0.1:1/"), Reason.CONTENT_REFUSED),
    "not found": (peer.answer(404, b"no such page"), Reason.CONTENT_REFUSED),
    "not allowed": (peer.answer(403, b"<html>"), Reason.CONTENT_REFUSED),
    "too many": (peer.answer(429, b"slow down"), Reason.CONTENT_REFUSED),
    "server error": (peer.answer(500, b"Traceback"), Reason.CONTENT_REFUSED),
    "unavailable": (peer.answer(503, b""), Reason.CONTENT_REFUSED),
    "odd status": (peer.answer(999, b"Hello", shops.TEXT), Reason.CONTENT_REFUSED),
    "empty": (peer.answer(200, b"", shops.TEXT), Reason.EMPTY_CONTENT),
    "no content": (peer.raw(b"HTTP/1.1 204 No Content\r\n\r\n", keep=True), Reason.EMPTY_CONTENT),
    "wrong kind": (peer.answer(200, b"<html>", {"Content-Type": "text/html"}), Reason.CONTENT_UNREADABLE),
    "not UTF-8": (peer.answer(200, b"\xb3", shops.TEXT), Reason.CONTENT_UNREADABLE),
    "bomb": (peer.answer(200, PACKED, {**shops.TEXT, "Content-Encoding": "gzip"}), Reason.CONTENT_UNREADABLE),
    "endless": (peer.endless(), Reason.CONTENT_UNREADABLE),
    "10 MB": (peer.large(10_000_000), Reason.CONTENT_UNREADABLE),
}
OF_ONE_CALL = {"server error", "odd status"}  # a value that one call brought may be the cause
AGAIN = {"too many", "server error", "unavailable", "odd status"}
HOST_LIVES = {name for name, (_, reason) in BROKEN.items() if reason is not Reason.CONTENT_UNREACHABLE} - AGAIN


@pytest.mark.parametrize("name", sorted(BROKEN))
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_http_faults(name: str, method: str) -> None:
    behave, reason = BROKEN[name]
    async with peer.running(behave) as other:
        result = await shops.refused(other.url, method=method)
    assert result.reason is reason
    assert result.detail.isprintable()
    assert 0 < len(result.detail) <= message.LONGEST_DETAIL
    assert result.code
    assert (result.again, result.host_fault) == (name not in HOST_LIVES, name not in HOST_LIVES | OF_ONE_CALL)
    assert len(other.requests) == 1  # whatever happened: asked once
    assert other.connections == 1


@pytest.mark.parametrize(
    "behave",
    [peer.silence(), peer.drip(HEAD), peer.drip(b"HTTP/1.1 200 OK\r\nX-A: "), peer.drip(b"HTTP/1.1 200 ")],
    ids=["silent after the request", "drips a body", "drips a header", "drips a status line"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_http_deadline(behave: peer.Behaviour, method: str) -> None:
    async with peer.running(behave) as other:
        result = await shops.refused(other.url, method=method, timeout="300ms")
    assert result.reason is Reason.CONTENT_TIMEOUT
    assert result.detail == "no whole answer within 300ms"
    assert result.again
    assert result.host_fault
    assert len(other.requests) == 1


async def test_http_a_slow_redirect_has_no_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One deadline for the whole of a fetch, redirects included."""
    spent: list[timedelta] = []
    exchange = http_client.Client.exchange

    async def noted(self: http_client.Client, *args: Any, **named: Any) -> http_body.Raw | http_client.Fault:
        spent.append(named["spent"])
        return await exchange(self, *args, **named)

    async def behave(request: peer.Request, writer: asyncio.StreamWriter) -> bool:
        if request.target == "/more":
            return await peer.silence()(request, writer)
        await asyncio.sleep(0.2)  # a slow peer
        return await peer.redirect("/more")(request, writer)

    monkeypatch.setattr(http_client.Client, "exchange", noted)
    async with peer.running(behave) as other:
        result = await shops.refused(other.url, timeout="1s", redirects=True)
    assert result.reason is Reason.CONTENT_TIMEOUT
    assert result.detail == "no whole answer within 1s"
    assert len(spent) == 2
    assert spent[1] >= timedelta(seconds=0.2)


async def test_http_the_other_sides_wish_is_passed_on() -> None:
    async with peer.running(peer.answer(503, b"later", {"Retry-After": "17"})) as other:
        result = await shops.refused(other.url)
    assert result.after == timedelta(seconds=17)
    assert result.again


@pytest.mark.parametrize(
    ("hangs", "code", "reason"),
    [(False, "dns", Reason.CONTENT_UNREACHABLE), (True, "timeout", Reason.CONTENT_TIMEOUT)],
)
async def test_http_name_that_does_not_resolve(hangs: bool, code: str, reason: Reason) -> None:
    result = await shops.refused("http://shop.invalid", timeout="300ms", resolver=lambda: shops.Resolver(hangs=hangs))
    assert (result.code, result.reason) == (code, reason)
    assert result.again
    assert result.host_fault


async def test_http_refused() -> None:
    result = await shops.refused(f"http://127.0.0.1:{shops.free_port()}")
    assert (result.code, result.reason) == ("connect", Reason.CONTENT_UNREACHABLE)
    assert "refused" in result.detail.lower()
    assert result.again
    assert result.host_fault


async def test_http_reset_before_the_request_is_read() -> None:
    async with peer.running(peer.answer()) as other:
        other.reset_at_once = True
        result = await shops.refused(other.url)
    assert result.reason is Reason.CONTENT_UNREACHABLE
    assert other.requests == []
    assert other.connections == 1


async def test_http_certificate_must_be_good(tmp_path: Path) -> None:
    async with peer.running(peer.answer(200, b"Hello", shops.TEXT), tls=True) as other:
        result = await shops.refused(other.url)
        assert (result.code, result.reason) == ("tls", Reason.CONTENT_UNREACHABLE)
        assert other.requests == []
        (tmp_path / "ca.pem").write_text(peer.CERTIFICATE)
        answer = await shops.fetched(other.url, ca_file=tmp_path / "ca.pem")
        assert isinstance(answer, ports.Answer)


@pytest.mark.parametrize("speaks", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["mute", "plain text"])
async def test_http_handshake_that_fails(speaks: bytes) -> None:
    async with peer.running(peer.answer()) as other:
        other.greeting = speaks
        result = await shops.refused(f"https://127.0.0.1:{other.port}", timeout="500ms")
    assert result.reason is (Reason.CONTENT_UNREACHABLE if speaks else Reason.CONTENT_TIMEOUT)
    assert other.requests == []


@pytest.mark.parametrize("behave", [peer.endless(), peer.large(10_000_000)], ids=["endless", "sized"])
async def test_http_of_a_large_answer_only_the_beginning_is_read(behave: peer.Behaviour) -> None:
    async with peer.running(behave) as other:
        made = shops.source(other.url, max_size="64KiB")
        await made.fetch(shops.question())  # everything that is made once is there
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        exchange = await made.exchange(shops.question())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        await made.close()
    assert exchange.answered is not None
    assert (exchange.answered.size, exchange.answered.whole) == (64 << 10, False)
    assert isinstance(exchange.result, ports.NoAnswer)
    assert exchange.result.reason is Reason.CONTENT_UNREADABLE
    assert peak - before < 3_000_000


async def test_http_an_answer_that_takes_long_to_read_does_not_hold_calls_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read in a thread, and not for longer than the fetch may take."""
    reading = asyncio.Event()
    loop = asyncio.get_running_loop()
    enough = asyncio.Event()

    async with peer.running(peer.answer(200, b"x" * 20_000, shops.TEXT)) as other:
        made = shops.source(other.url, timeout="1s")

        def read(_: object) -> ports.Answer:
            loop.call_soon_threadsafe(reading.set)
            asyncio.run_coroutine_threadsafe(enough.wait(), loop).result(30)
            return ports.Answer(text="late")

        monkeypatch.setattr(made._reader, "read", read)
        async with asyncio.timeout(20):
            result = await made.fetch(shops.question())
        assert reading.is_set()
        enough.set()
        await made.close()
    assert isinstance(result, ports.NoAnswer)
    assert (result.reason, result.again, result.host_fault) == (Reason.CONTENT_TIMEOUT, True, False)


async def test_http_a_bug_is_no_answer(monkeypatch: pytest.MonkeyPatch, logged: list[Any]) -> None:
    async with peer.running(peer.answer(200, b"Hello", shops.TEXT)) as other:
        made = shops.source(other.url)

        def read(_: object) -> ports.Answer:
            raise RuntimeError("+48600100200 is in here")

        monkeypatch.setattr(made._reader, "read", read)
        result = await made.fetch(shops.question())
        await made.close()
    assert isinstance(result, ports.NoAnswer)
    assert (result.reason, result.code, result.host_fault) == (Reason.CONTENT_UNREACHABLE, "bug", False)
    assert "600100200" not in repr(result)
    (line,) = logged
    assert line["log_level"] == "error"
    assert line["node"] == "desk"


# --- redirects -----------------------------------------------------------------------------------------------------


async def test_http_redirects_are_followed_only_where_the_node_says_so() -> None:
    async with peer.running(peer.answer(200, b"Hello", shops.TEXT)) as there:
        async with peer.running(peer.redirect(there.url + "/there?x=1", 307)) as here:
            refusal = await shops.refused(here.url)
            assert refusal.reason is Reason.CONTENT_REFUSED
            assert refusal.code == "307"
            assert there.requests == []
            made = shops.source(here.url, redirects=True, headers={"X-Key": "k"}, sign={"secret": "s"})
            exchange = await made.exchange(shops.question())
            await made.close()
        assert isinstance(exchange.result, ports.Answer)
        assert exchange.followed == (there.url + "/there?x=1",)
        (request,) = there.requests
        assert (request.method, request.target) == ("POST", "/there?x=1")
        assert shops.values(request)["activation_id"] == "a1"
        assert not {"x-key", "agi-sms-signature", "agi-sms-timestamp"} & request.headers.keys()
        assert here.requests[-1].headers["x-key"] == "k"


async def test_http_a_redirect_within_the_host_keeps_what_is_ours() -> None:
    async def behave(request: peer.Request, writer: asyncio.StreamWriter) -> bool:
        if request.target == "/sms-text":
            return await peer.redirect("/there", 303)(request, writer)
        return await peer.answer(200, b"Hello", shops.TEXT)(request, writer)

    async with peer.running(behave) as other:
        answer = await shops.fetched(other.url, redirects=True, headers={"X-Key": "k"})
    assert isinstance(answer, ports.Answer)
    assert [(one.method, one.target, one.body == b"") for one in other.requests] == [
        ("POST", "/sms-text", False),
        ("GET", "/there", True),
    ]
    assert other.requests[1].headers["x-key"] == "k"
    assert "content-type" not in other.requests[1].headers


async def test_http_redirects_have_an_end() -> None:
    async with peer.running(peer.redirect("/again", 307)) as other:
        result = await shops.refused(other.url, redirects=True)
    assert (result.reason, result.code) == (Reason.CONTENT_REFUSED, "307")
    assert "more than 3" in result.detail
    assert not result.again
    assert len(other.requests) == 4


async def test_http_redirects_do_not_leave_tls(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(peer.CERTIFICATE)
    async with (
        peer.running(peer.answer(200, b"Hello", shops.TEXT)) as there,
        peer.running(peer.redirect(there.url), tls=True) as here,
    ):
        result = await shops.refused(here.url, redirects=True, ca_file=tmp_path / "ca.pem")
    assert result.reason is Reason.CONTENT_REFUSED
    assert "https to http" in result.detail
    assert there.connections == 0


async def test_http_a_redirect_to_nowhere_is_the_answer() -> None:
    async with peer.running(peer.answer(302, b"", {})) as other:
        result = await shops.refused(other.url, redirects=True)
    assert (result.reason, result.code) == (Reason.CONTENT_REFUSED, "302")
    assert len(other.requests) == 1


# --- private addresses ---------------------------------------------------------------------------------------------

NAME = "http://shop.example:{}"


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::1", "127.0.0.1"],
        ["127.0.0.1", "::1", "127.0.0.2", "10.0.0.1", "fe80::1"],
        ["nonsense"],
    ],
)
async def test_http_private_addresses_are_refused_where_they_are_denied(found: list[str]) -> None:
    async with peer.running(peer.answer(200, b"Hello", shops.TEXT)) as other:
        url = NAME.format(other.port)
        result = await shops.refused(url, private_addresses="deny", resolver=lambda: shops.Resolver(found))
        assert (result.code, result.reason) == ("private", Reason.CONTENT_UNREACHABLE)
        assert not result.again
        assert not result.host_fault
        assert not any(address in result.detail for address in found)
        assert other.connections == 0
        if "127.0.0.1" in found:
            assert isinstance(await shops.fetched(url, resolver=lambda: shops.Resolver(found)), ports.Answer)


@pytest.fixture
def one_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if 127.0.0.1 were of the public internet, so that a test has something to connect to."""
    real = http_words.private
    monkeypatch.setattr(http_words, "private", lambda address: address != "127.0.0.1" and real(address))


@pytest.mark.usefixtures("one_public")
@pytest.mark.parametrize("found", [["127.0.0.2", "127.0.0.1"], ["::1", "127.0.0.2", "127.0.0.1"], ["127.0.0.1", "::1"]])
async def test_http_of_several_addresses_only_public_ones_are_asked(found: list[str]) -> None:
    async with (
        peer.running(peer.answer(200, b"Hello", shops.TEXT)) as public,
        peer.running(peer.answer(200, b"Secret", shops.TEXT), host="127.0.0.2", port=public.port) as private,
    ):
        answer = await shops.fetched(
            NAME.format(public.port), private_addresses="deny", resolver=lambda: shops.Resolver(found)
        )
    assert isinstance(answer, ports.Answer)
    assert answer.text == "Hello"
    assert (public.connections, private.connections) == (1, 0)


@pytest.mark.usefixtures("one_public")
async def test_http_a_name_that_changes_its_address_is_refused_then() -> None:
    resolver = shops.Resolver(["127.0.0.1"], ["127.0.0.2"])
    async with (
        peer.running(peer.answer(200, b"Hello", shops.TEXT)) as public,
        peer.running(peer.answer(200, b"Secret", shops.TEXT), host="127.0.0.2", port=public.port) as private,
    ):
        made = shops.source(NAME.format(public.port), method="GET", private_addresses="deny", resolver=lambda: resolver)
        assert isinstance(await made.fetch(shops.question()), ports.Answer)
        for session in made._client._sessions.values():
            session.connector.clear_dns_cache()  # type: ignore[union-attr]
        result = await made.fetch(shops.question())
        await made.close()
    assert isinstance(result, ports.NoAnswer)
    assert result.code == "private"
    assert resolver.asked == 2
    assert private.connections == 0


@pytest.mark.usefixtures("one_public")
@pytest.mark.parametrize(
    "host", ["127.0.0.2", "2130706434", "0x7f.2", "127.2", "0177.0.0.2", "[::ffff:127.0.0.2]", "[::1]", "inner.example"]
)
async def test_http_a_redirect_does_not_lead_to_private_addresses(host: str) -> None:
    async with (
        peer.running(peer.answer()) as public,
        peer.running(peer.answer(200, b"Secret", shops.TEXT), host="127.0.0.2") as private,
    ):
        public.behave = peer.redirect(f"http://{host}:{private.port}/")
        resolver = (lambda: shops.Resolver(["127.0.0.2"])) if host == "inner.example" else None
        result = await shops.refused(public.url, private_addresses="deny", redirects=True, resolver=resolver)
        assert result.reason is Reason.CONTENT_UNREACHABLE
        assert private.connections == 0
        if host == "127.0.0.2":
            assert isinstance(await shops.fetched(public.url, redirects=True), ports.Answer)


# --- secrets -------------------------------------------------------------------------------------------------------

SECRET = 'S3cr/t+"x& y'


@pytest.mark.parametrize("status", [200, 400, 401, 500])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_http_secrets_come_back_to_nobody(
    status: int, method: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with peer.running(peer.echo(status)) as other:
        made = shops.source(
            other.url,
            method=method,
            headers={"Authorization": f"Bearer {SECRET}", "X-Trace": "trace-me-not"},
            fields={"api_key": SECRET},
            sign={"secret": "signing-secret"},
        )
        with structlog.testing.capture_logs() as logs:
            exchange = await made.exchange(shops.question())
        await made.close()
        (request,) = other.requests
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    result = exchange.result
    kept = [result.excerpt] if isinstance(result, ports.Answer) else [result.excerpt, result.detail]
    assert "***" in result.excerpt
    seen = json.dumps([kept, repr(exchange.asked), repr(exchange.answered), repr(made), logs, caplog.text])
    seen += "".join(capfd.readouterr())
    for form in (SECRET, json.dumps(SECRET)[1:-1], "S3cr%2Ft", "S3cr/t", "trace-me-not", "signing-secret"):
        assert form not in seen


# --- whatever the other side does ------------------------------------------------------------------------------------


def defined(result: ports.Answer | ports.NoAnswer) -> None:
    """What can be stored and shown, whatever it came from."""
    json.dumps(repr(result)).encode()
    assert len(result.excerpt) <= ports.LONGEST_EXCERPT
    result.excerpt.encode()
    if isinstance(result, ports.NoAnswer):
        assert result.reason in Reason
        assert len(result.detail) <= message.LONGEST_DETAIL
        result.detail.encode()
    else:
        json.dumps(result.fields, ensure_ascii=False).encode()


async def _once(behave: peer.Behaviour, **changes: Any) -> ports.Answer | ports.NoAnswer:
    async with peer.running(behave) as other:
        result = await shops.fetched(other.url, timeout="1s", max_size="1KiB", **changes)
        assert len(other.requests) == 1
        return result


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    head=st.sampled_from(
        [
            b"",
            b"HTTP/1.1 ",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 302 No\r\nLocation: ",
            b"HTTP/1.1 429 No\r\nRetry-After: ",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.0 999 X\r\n\r\n",
        ]
    ),
    rest=st.one_of(st.binary(max_size=400), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))),
    structure=st.sampled_from(list(api_settings.Structure)),
)
def test_http_whatever_bytes_come_a_result_comes_back(head: bytes, rest: bytes, structure: str) -> None:
    defined(asyncio.run(_once(peer.raw(head + rest), response=structure)))


_TREE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.just("message") | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_BODY = st.one_of(
    st.binary(max_size=300),
    _TREE.map(lambda tree: json.dumps(tree).encode()),
    st.text(max_size=100).map(lambda text: f"<a><message>{text}</message></a>".encode()),
    st.binary(max_size=300).map(gzip.compress),
)
_KIND = st.sampled_from(
    [
        "application/json",
        "text/xml",
        "text/plain",
        "text/plain; charset=utf-16",
        "text/html",
        "a/b; charset=\xff",
        ";",
        "",
    ]
) | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    body=_BODY,
    kind=_KIND,
    coding=st.sampled_from(["", "gzip", "deflate", "br", "identity", "x, y"]),
    status=st.sampled_from([200, 200, 201, 204, 404, 500]),
    structure=st.sampled_from(list(api_settings.Structure)),
)
def test_http_whatever_body_comes_a_result_comes_back(
    body: bytes, kind: str, coding: str, status: int, structure: str
) -> None:
    lines = f"Content-Type: {kind}\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n"
    wire = f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode("latin-1") + body
    defined(asyncio.run(_once(peer.raw(wire), response=structure)))
