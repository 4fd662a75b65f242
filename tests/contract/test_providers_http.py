"""The HTTP provider against a peer that misbehaves in every way: what each answer, and each silence, means."""

import asyncio
import gzip
import json
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pydantic
import pytest
import structlog
from aiohttp import abc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agi_sms import message
from agi_sms.providers import http, http_settings
from tests.contract import peer, subjects

OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n"
GZIP_BOMB = gzip.compress(b'{"id": "a1"}' + b" " * 5_000_000)

CASES: dict[str, tuple[peer.Behaviour, type[message.Outcome]]] = {
    "accept": (peer.answer(201, b'{"id": "a1"}'), message.Accepted),
    "reject": (peer.answer(400, b'{"error": "bad number"}'), message.Rejected),
    "redirect": (peer.answer(302, b"", {"Location": "http://127.0.0.1:1/"}), message.ProviderDown),
    "login": (peer.answer(401, b"{}"), message.ProviderDown),
    "forbidden": (peer.answer(403, b"<html>"), message.ProviderDown),
    "throttle": (peer.answer(429, b"slow down"), message.Retry),
    "server error": (peer.answer(500, b'{"id": "a1"}'), message.Uncertain),
    "gateway time-out": (peer.answer(504, b""), message.Uncertain),
    "no id": (peer.answer(200, b'{"error": "no credit"}'), message.Uncertain),
    "not json": (peer.answer(200, b"<html>OK</html>"), message.Uncertain),
    "empty": (peer.answer(200, b""), message.Uncertain),
    "binary": (peer.answer(200, bytes(range(256)) * 8), message.Uncertain),
    "nested": (peer.answer(200, b"[" * 60_000), message.Uncertain),
    "huge number": (peer.answer(200, b'{"id": ' + b"9" * 50_000 + b"}"), message.Uncertain),
    "wrong charset": (
        peer.answer(200, b'{"id": "\xb3\xf3"}', {"Content-Type": "application/json; charset=punycode"}),
        message.Uncertain,
    ),
    "latin-2": (
        peer.answer(200, b'{"id": "a1", "t": "\xb3"}', {"Content-Type": "text/plain; charset=iso-8859-2"}),
        message.Accepted,
    ),
    "gzip bomb": (peer.answer(200, GZIP_BOMB, {"Content-Encoding": "gzip"}), message.Uncertain),
    "oversized": (peer.endless(), message.Uncertain),
    "garbage": (peer.raw(b"\x00\xff\xfe" * 100), message.Uncertain),
    "another protocol": (peer.raw(b"220 mail.example ESMTP\r\n"), message.Uncertain),
    "endless header": (peer.raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), message.Uncertain),
    "closed without a word": (peer.raw(b""), message.Uncertain),
    "reset without a word": (peer.cut(), message.Uncertain),
    "reset after the headers": (peer.cut(OK_HEAD), message.Uncertain),
    "reset within the answer": (peer.cut(OK_HEAD + b'{"id": "a1"'), message.Uncertain),
    "closed within the answer": (peer.raw(OK_HEAD + b'{"id": "a1"}'), message.Uncertain),
    "bad chunks": (
        peer.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
        message.Uncertain,
    ),
}


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_http_meaning(name: str, method: str) -> None:
    behave, expected = CASES[name]
    changes: dict[str, Any] = {"body": None, "query": {"to": "{{ to }}"}} if method == "GET" else {}
    async with peer.running(behave) as other:
        made = subjects.http_provider(other.url, method=method, answer={"id": "$.id"}, **changes)
        outcome = await made.send(subjects.submission())
        await made.close()
    assert type(outcome) is expected, outcome
    assert len(outcome.detail) <= 500
    assert len(outcome.code) <= 500
    assert len(other.requests) == 1  # whatever happened: asked once


@pytest.mark.parametrize(
    "behave",
    [peer.silence(), peer.drip(OK_HEAD), peer.drip(b"HTTP/1.1 200 OK\r\nX-A: "), peer.drip(b"")],
    ids=["silent after the request", "drips a body", "drips a header", "drips a status line"],
)
async def test_http_deadline_after_the_request_is_uncertain(behave: peer.Behaviour) -> None:
    async with peer.running(behave) as other:
        made = subjects.http_provider(other.url, timeout="300ms")
        outcome = await made.send(subjects.submission())
        await made.close()
    assert isinstance(outcome, message.Uncertain)
    assert len(other.requests) == 1


async def test_http_throttle_passes_the_providers_wish_on() -> None:
    async with peer.running(peer.answer(429, b"later", {"Retry-After": "17"})) as other:
        made = subjects.http_provider(other.url)
        outcome = await made.send(subjects.submission())
        await made.close()
    assert outcome == message.Retry(code="429", detail="later", after=timedelta(seconds=17))


class Resolver(abc.AbstractResolver):
    """A name service that knows nothing, or never answers."""

    def __init__(self, *, hangs: bool = False) -> None:
        self._hangs = hangs

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[abc.ResolveResult]:
        if self._hangs:
            await asyncio.Event().wait()
        raise OSError(None, "no such name")

    async def close(self) -> None:
        pass


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize(("hangs", "code"), [(False, "dns"), (True, "timeout")])
async def test_http_name_that_does_not_resolve_is_provider_down(hangs: bool, code: str) -> None:
    raw = {"url": "http://sms.invalid/send", "timeout": "300ms"}
    made = http.HttpProvider("acme", http_settings.Settings.model_validate(raw), resolver=lambda: Resolver(hangs=hangs))
    outcome = await made.send(subjects.submission())
    await made.close()
    assert isinstance(outcome, message.ProviderDown)
    assert outcome.code == code


async def test_http_refused_is_provider_down() -> None:
    made = subjects.http_provider(f"http://127.0.0.1:{free_port()}")
    outcome = await made.send(subjects.submission())
    await made.close()
    assert isinstance(outcome, message.ProviderDown)
    assert "refused" in outcome.detail.lower()


async def test_http_certificate_must_be_good(tmp_path: Path) -> None:
    async with peer.running(peer.answer(), tls=True) as other:
        made = subjects.http_provider(other.url)
        outcome = await made.send(subjects.submission())
        await made.close()
        assert isinstance(outcome, message.ProviderDown)
        assert outcome.code == "tls"
        assert other.requests == []
        (tmp_path / "ca.pem").write_text(peer.CERTIFICATE)
        made = subjects.http_provider(other.url, ca_file=str(tmp_path / "ca.pem"))
        outcome = await made.send(subjects.submission())
        await made.close()
        assert isinstance(outcome, message.Accepted)


@pytest.mark.parametrize("speaks", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["mute", "plain text"])
async def test_http_handshake_that_fails_is_provider_down(speaks: bytes) -> None:
    async with peer.running(peer.answer()) as other:
        other.greeting = speaks
        made = subjects.http_provider(f"https://127.0.0.1:{other.port}", timeout="500ms")
        outcome = await made.send(subjects.submission())
        await made.close()
    assert isinstance(outcome, message.ProviderDown)


async def test_http_reset_before_the_request_is_read_may_have_been_too_late() -> None:
    async with peer.running(peer.answer()) as other:
        other.reset_at_once = True
        made = subjects.http_provider(other.url)
        outcome = await made.send(subjects.submission())
        await made.close()
    assert isinstance(outcome, message.Uncertain)
    assert other.requests == []


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_http_connection_cut_on_the_second_message_is_never_asked_again(method: str) -> None:
    """aiohttp writes GET and PUT again by itself when a connection breaks; here the peer sees each ref once."""
    async with peer.running(peer.answer()) as other:
        made = subjects.http_provider(other.url, method=method, path="/send?ref={{ ref }}", body=None)
        assert isinstance(await made.send(subjects.submission("m1")), message.Accepted)
        other.behave = peer.cut()
        assert isinstance(await made.send(subjects.submission("m2")), message.Uncertain)
        other.behave = peer.answer()
        assert isinstance(await made.send(subjects.submission("m3")), message.Accepted)
        await made.close()
    assert [request.target for request in other.requests] == [f"/send?ref=m{i}" for i in (1, 2, 3)]
    reused = other.requests[0].connection == other.requests[1].connection
    assert reused is (method == "POST")


async def test_http_place_that_never_gets_free_has_sent_nothing() -> None:
    async with peer.running(peer.silence()) as other:
        made = subjects.http_provider(other.url, concurrency=1, timeout="300ms")
        outcomes = await asyncio.gather(*(made.send(subjects.submission(f"m{i}")) for i in range(5)))
        await made.close()
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds.count(message.Uncertain) == len(other.requests) >= 1
    busy = [outcome for outcome in outcomes if isinstance(outcome, message.ProviderDown)]
    assert len(busy) == 5 - len(other.requests) >= 1
    assert {outcome.code for outcome in busy} == {"busy"}


async def test_http_waiting_for_a_place_does_not_shorten_the_time_for_the_answer() -> None:
    async def behave(request: peer.Request, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(0.6)
        return await peer.answer()(request, writer)

    async with peer.running(behave) as other:
        made = subjects.http_provider(other.url, concurrency=1, timeout="1s")
        outcomes = await asyncio.gather(*(made.send(subjects.submission(f"m{i}")) for i in range(2)))
        assert made.timeout == timedelta(seconds=2)  # both together
        await made.close()
    assert {type(outcome) for outcome in outcomes} == {message.Accepted}


async def test_http_cancelled_at_shutdown() -> None:
    async with peer.running(peer.silence()) as other:
        made = subjects.http_provider(other.url)
        task = asyncio.create_task(made.send(subjects.submission()))
        await other.arrived()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            await made.close()
    assert len(other.requests) == 1


async def test_http_close_waits_for_what_is_under_way() -> None:
    gate = asyncio.Event()

    async def behave(request: peer.Request, writer: asyncio.StreamWriter) -> bool:
        await gate.wait()
        return await peer.answer()(request, writer)

    async with peer.running(behave) as other:
        made = subjects.http_provider(other.url)
        sending = asyncio.create_task(made.send(subjects.submission()))
        await other.arrived()
        closing = asyncio.create_task(made.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        gate.set()
        assert isinstance(await sending, message.Accepted)
        await closing


SECRET = 'S3cr/t+"x& y'


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
@pytest.mark.parametrize("login", ["basic", "bearer", "secret"])
async def test_http_secrets_come_back_to_nobody(
    status: int, login: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    word = SECRET if login != "bearer" else SECRET.replace(" ", "")
    ways: dict[str, dict[str, Any]] = {
        "basic": {"auth": {"basic": {"username": "me", "password": word}}},
        "bearer": {"auth": {"bearer": word}},
        "secret": {
            "secret": {"key": word},
            "headers": {"X-Api-Key": "{{ secret.key }}"},
            "query": {"password": "{{ secret.key }}", "token": "constant-token"},
            "body": {"form": {"pw": "{{ secret.key }}", "to": "{{ to }}"}},
        },
    }
    async with peer.running(peer.echo(status)) as other:
        made = subjects.http_provider(other.url, **ways[login])
        with structlog.testing.capture_logs() as logs:
            outcome = await made.send(subjects.submission())
        await made.close()
        (request,) = other.requests
    seen = json.dumps([repr(outcome), repr(made._settings), repr(made), logs, caplog.text, *capfd.readouterr()])
    assert "***" in outcome.detail
    sent = request.headers.get("authorization", "").split(" ")[-1]
    forms = [word, json.dumps(word)[1:-1], "S3cr%2Ft", sent, "constant-token"]
    for form in filter(None, forms):
        assert form not in seen
        assert form not in outcome.detail
    if login != "secret":
        assert sent
    assert f"{status}" == outcome.code


def test_http_mistakes_do_not_show_secrets() -> None:
    raw = {"url": "http://h/", "auth": {"basic": {"username": "a:b", "password": SECRET}, "bearer": SECRET}}
    with pytest.raises(pydantic.ValidationError) as caught:
        http_settings.Settings.model_validate(raw)
    assert SECRET not in str(caught.value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    head=st.sampled_from(
        [
            b"",
            b"HTTP/1.1 ",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 429 No\r\nRetry-After: ",
            b"HTTP/1.1 400 No\r\nContent-Type: ",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.0 999 X\r\n\r\n",
        ]
    ),
    rest=st.one_of(st.binary(max_size=400), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))),
)
def test_http_whatever_bytes_answer_an_outcome_comes_back(head: bytes, rest: bytes) -> None:
    async def once() -> message.Outcome:
        async with peer.running(peer.raw(head + rest)) as other, asyncio.timeout(20):
            made = subjects.http_provider(
                other.url,
                answer={
                    "rules": [
                        {"path": "$..error", "then": "reject"},
                        {"path": "busy (\\d+)", "equals": 7, "then": "retry"},
                    ],
                    "id": "$.id",
                    "code": "code=(\\w+)",
                },
            )
            outcome = await made.send(subjects.submission())
            await made.close()
            assert len(other.requests) == 1
            return outcome

    outcome = asyncio.run(once())
    assert type(outcome) in message.OUTCOMES
    assert len(outcome.detail) <= 500
    assert outcome.detail.isprintable() or "\u200d" in outcome.detail


CONFIDENTIAL = 'Zażółć "gęślą" & <jaźń>/+1: your word is QXZJ\nfor now'


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
@pytest.mark.parametrize("body", ["form", "json", "text", "query", "status line"])
async def test_http_the_sms_comes_back_to_nobody(
    status: int, body: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    way: dict[str, Any] = {"body": {body: {"msg": "{{ text }}"}}}
    if body in ("text", "status line"):
        way = {"body": {"text": "{{ text }}"}}
    elif body == "query":
        way = {"body": None, "query": {"msg": "{{ text }}"}}
    behave = peer.echo(status) if body != "status line" else peer.raw(CONFIDENTIAL.encode() + b"\r\n\r\n")
    async with peer.running(behave) as other:
        made = subjects.http_provider(other.url, answer={"code": "msg=(.*)"}, **way)
        with structlog.testing.capture_logs() as logs:
            outcome = await made.send(subjects.submission(text=CONFIDENTIAL))
        await made.close()
    seen = json.dumps([repr(outcome), logs, caplog.text, *capfd.readouterr()])
    for piece in ("your", "QXZJ", "Za%", "Zaż", "Za\\", "gę", "g%C4"):
        assert piece not in outcome.detail, outcome
    assert "QXZJ" not in seen


async def test_http_a_regular_expression_does_not_hold_calls_up() -> None:
    """While a trap is tried, the event loop goes round."""
    rounds = 0

    async def go_round() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    async with peer.running(peer.answer(200, b"a" * 60 + b"b")) as other:
        rules = {"rules": [{"path": "(a|aa)+$", "then": "accept"}]}
        made = subjects.http_provider(other.url, answer=rules)
        going = asyncio.create_task(go_round())
        outcome = await made.send(subjects.submission())
        going.cancel()
        await made.close()
    assert isinstance(outcome, message.Uncertain)
    assert "took too long" in outcome.detail
    assert made._reader.slow
    assert rounds > 100
