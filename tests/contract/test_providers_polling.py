"""A company that is asked what became of messages: what is asked, what is believed, and when it is given up."""

import asyncio
import json
import re
import urllib.parse
from datetime import timedelta
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import http_body, message, ports
from agi_sms.providers import http, http_settings, polling
from tests.contract import peer, subjects

S = message.Status
ANSWER = {
    "each": "$.all[*]",
    "id": "id",
    "state": "s",
    "states": {"OK": "delivered", "NO": "failed", "WAIT": "accepted"},
    "detail": "why",
    "fault": "$.error",
}


def provider(base: str, **changes: Any) -> http.HttpProvider:
    asked = {"url": base + "/reports", "most": 2, "query": {"ids": "{{ ids }}"}, "answer": ANSWER}
    raw = {
        "url": base + "/send",
        "query": changes.pop("sends", {"ref": "{{ ref }}"}),
        "answer": {"id": "$.id"},
        "secret": {"key": "s3cret-key"},
        "auth": {"bearer": "{{ secret.key }}"},
        "timeout": changes.pop("timeout", "5s"),
        "polling": {**asked, **changes},
    }
    return http.HttpProvider("acme", http_settings.Settings.model_validate(raw), clock=lambda: subjects.NOW)


def awaited(*names: str) -> list[ports.Awaited]:
    return [
        ports.Awaited(ref=f"ref-{name}", provider_ids=(name,), since=subjects.NOW, until=subjects.NOW) for name in names
    ]


def said(*items: tuple[str, str], **more: Any) -> bytes:
    return json.dumps({"all": [{"id": name, "s": state, **more} for name, state in items]}).encode()


async def told(came: bytes, *names: str, status: int = 200, **changes: Any) -> tuple[ports.Told, list[peer.Request]]:
    headers = {"Content-Type": "application/json"}
    async with peer.running(peer.answer(status, came, headers)) as other:
        made = provider(other.url, **changes)
        try:
            return await made.ask(awaited(*names)), other.requests
        finally:
            await made.close()


def states(found: ports.Told) -> list[tuple[str, str]]:
    return [(one.provider_id or one.ref, one.state.value) for one in found.receipts]


async def test_so_many_at_once() -> None:
    found, requests = await told(said(("a", "OK"), ("b", "NO"), ("c", "WAIT")), "a", "b", "c")
    asked = [urllib.parse.parse_qs(urllib.parse.urlsplit(one.target).query)["ids"] for one in requests]
    assert asked == [["a,b"], ["c"]]
    assert states(found) == [("a", "delivered"), ("b", "failed"), ("c", "accepted")]  # and nothing else of each answer
    assert found.fault == ""
    assert {one.headers["authorization"] for one in requests} == {"Bearer s3cret-key"}


async def test_by_our_own_ids_in_json() -> None:
    body = {"json": {"which": "{{ refs }}", "as": "{{ refs|upper }}"}}
    answer = {**ANSWER, "id": None, "ref": "$.id"}
    found, (request,) = await told(said(("ref-a", "OK")), "a", "b", method="POST", query={}, body=body, answer=answer)
    assert json.loads(request.body) == {"which": ["ref-a", "ref-b"], "as": "REF-A,REF-B"}
    assert states(found) == [("ref-a", "delivered")]


async def test_one_at_a_time_needs_no_name_in_the_answer() -> None:
    answer = {"state": "$.s", "states": {"OK": "delivered"}}

    async def behave(request: peer.Request, writer: asyncio.StreamWriter) -> bool:
        known = request.target == "/reports/b%2F1"
        body = b'{"s": "OK"}' if known else b"no such message"
        return await peer.answer(200 if known else 404, body, {})(request, writer)

    async with peer.running(behave) as other:
        made = provider(other.url, most=1, query={}, url=other.url + "/reports/{{ ids }}", answer=answer)
        found = await made.ask(awaited("a", "b/1", "c", ".."))
        await made.close()
    assert [(one.provider_id, one.ref, one.state) for one in found.receipts] == [("b/1", "ref-b/1", S.DELIVERED)]
    assert found.fault == ""
    assert [one.target for one in other.requests] == ["/reports/a", "/reports/b%2F1", "/reports/c"]


async def test_in_xml() -> None:
    answer = {"from": "xml", "id": "//sms/@id", "state": "//sms/state", "states": {"1": "delivered"}}
    found, _ = await told(b'<r><sms id="a"><state>1</state></sms></r>', "a", "b", answer=answer)
    assert states(found) == [("a", "delivered")]


async def test_an_unknown_word_settles_nothing() -> None:
    found, _ = await told(said(("a", "MAYBE"), why="tomorrow"), "a")
    assert states(found) == [("a", "uncertain")]
    assert found.receipts[0].detail == "unknown state 'MAYBE'; tomorrow"


async def test_one_bad_item_does_not_hide_the_others() -> None:
    body = json.dumps({"all": [{"id": "a"}, {"s": "OK"}, 7, None, {"id": "b", "s": "OK"}]}).encode()
    found, _ = await told(body, "a", "b")
    assert states(found) == [("b", "delivered")]
    assert "names no state" in found.fault


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, b"wrong key s3cret-key", "HTTP 401: wrong key \\*\\*\\*"),
        (404, b"not here", "HTTP 404: not here"),
        (500, b"", "HTTP 500"),
        (400, b"x" * 190 + b"s3cret-key", r"HTTP 400: x+"),
        (200, b"<html>", "not JSON"),
        (200, b'{"error": "account closed"}', "account closed"),
        (200, said(("z", "OK")), "not asked about"),
        (200, b"[" * 5000, "nested"),
        (200, b" " * (polling.LARGEST + 1), "longer than 256KiB"),
    ],
)
async def test_a_company_that_does_not_tell(status: int, body: bytes, says: str) -> None:
    found, requests = await told(body, *"abcdefghij", status=status)
    assert found.receipts == ()
    assert len(requests) == 1  # of five
    assert "s3cret" not in found.fault
    assert re.search(says, found.fault), found.fault


async def test_the_companys_wish_is_passed_on() -> None:
    headers = {"Retry-After": "90"}
    async with peer.running(peer.answer(429, b"", headers)) as other:
        made = provider(other.url)
        found = await made.ask(awaited("a"))
        await made.close()
    assert found.after == timedelta(seconds=90)


async def test_what_is_wrong_with_one_does_not_hide_the_others() -> None:
    found, _ = await told(said(("a", "OK"))[:-1] + b', "error": "b is unknown"}', "a", "b")
    assert states(found) == [("a", "delivered")]
    assert found.fault == "b is unknown"


@pytest.mark.parametrize("nothing", ["false", "0", "null", '"none"', '""'])
async def test_a_fault_that_is_none(nothing: str) -> None:
    found, _ = await told(said(("a", "OK"))[:-1] + b', "error": ' + nothing.encode() + b"}", "a")
    assert found.fault == ""


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("OK OK", "delivered"),
        ("OK WAIT", "accepted"),
        ("WAIT OK", "accepted"),
        ("NO OK", "failed"),
        ("OK ?", "uncertain"),
    ],
)
async def test_of_parts_with_one_name_the_word_farthest_from_a_good_end_counts(words: str, state: str) -> None:
    found, _ = await told(said(*(("a", word) for word in words.split())), "a")
    assert states(found) == [("a", state)]


async def test_of_an_answer_without_end_so_much_is_read() -> None:
    found, _ = await told(said(*((f"n{n}", "OK") for n in range(polling.MOST)), ("a", "OK")), "a")
    assert found.receipts == ()
    assert found.fault == f"tells of more than {polling.MOST} messages at once"


async def test_a_secret_is_hidden_before_a_word_is_cut() -> None:
    body = said(("a", "x" * 55 + "s3cret-key"), pad="s3cret-key" * 2000)
    found, _ = await told(body, "a")
    (one,) = found.receipts
    assert "s3c" not in one.detail + one.code + one.raw


async def test_nobody_there() -> None:
    made = provider("http://127.0.0.1:1")
    found = await made.ask(awaited("a"))
    await made.close()
    assert found.fault
    assert (await made.ask(awaited("a"))).fault  # closed


async def test_an_answer_that_never_ends_is_given_up() -> None:
    async with peer.running(peer.drip(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10_000)) as other:
        made = provider(other.url, timeout="100ms")
        found = await made.ask(awaited("a"))
        await made.close()
    assert found.fault


async def test_without_an_id_there_is_nothing_to_ask() -> None:
    async with peer.running(peer.answer(200, b"{}", {})) as other:
        made = provider(other.url)
        assert (
            await made.ask([ports.Awaited(ref="m1", provider_ids=(), since=subjects.NOW, until=subjects.NOW)])
            == ports.Told()
        )
        await made.close()
    assert other.requests == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["a", "OK", "NO"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["all", "id", "s", "why", "error", "x"]), inner),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=200) | _JSON.map(lambda tree: json.dumps(tree).encode()), status=st.integers(100, 599))
def test_whatever_comes_only_what_was_asked_about_is_told(body: bytes, status: int) -> None:
    asked = provider("http://127.0.0.1:1")._poller
    assert asked is not None
    (question,) = asked.questions(awaited("a", "b"))
    found = asked.read(question, http_body.Raw(status=status, headers={}, body=body), subjects.NOW)
    assert {one.provider_id for one in found.receipts} <= {"a", "b"}
    if not 200 <= status <= 299:
        assert found.fault.startswith(f"HTTP {status}: ")
        assert not found.receipts


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"query": {"x": "{{ ids }}", "y": "{{ refs }}"}}, "needs .* ids .* or .* refs"),
        ({"query": {"x": "1"}}, "needs .* ids .* or .* refs"),
        ({"query": {"x": "{{ ids }}", "y": "{{ to }}"}}, "to .* is of one message"),
        ({"answer": {**ANSWER, "id": None}}, "needs id or ref, or most: 1"),
        ({"answer": {**ANSWER, "id": "?id"}}, "cannot begin with \\?"),
        ({"answer": {**ANSWER, "id": "/id"}}, "/id is no place in json"),
        ({"answer": {**ANSWER, "fault": "/id"}}, "/id is no place in json"),
        ({"every": "1s"}, "from 5s to 1d"),
        ({"most": 501}, "less than or equal to 500"),
        ({"body": {"text": "{{ ids }}"}}, "GET has none"),
        ({"most": 51}, "room for about 50"),
        ({"query": {"x": "{{ refs }}"}, "sends": {}}, "does not carry .* ref "),
        ({"query": {"x": "{{ id }}"}}, "in polling: ids, refs"),
        ({"headers": {"authorization": "{{ ids }}"}}, "polling.headers.authorization: is set by auth"),
        ({"url": "http://127.0.0.1:1/a b/{{ ids }}"}, "polling.url: holds a space"),
        ({"answer": {**ANSWER, "split": ","}}, "split: is of receipts"),
        ({"query": {"x": "{{ ids }}", "k": "{{ secret.other }}"}}, "secret.other is missing"),
    ],
)
def test_settings_that_cannot_work(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=says):
        provider("http://127.0.0.1:1", **changes)


def test_what_is_known_only_in_polling() -> None:
    raw: dict[str, Any] = {"url": "http://127.0.0.1:1/{{ ids }}"}
    with pytest.raises(pydantic.ValidationError, match=r"ids .* is known in polling only"):
        http_settings.Settings.model_validate(raw)
    raw = {"url": "http://127.0.0.1:1", "polling": {"url": "http://127.0.0.1:1/{{ ids }}", "answer": ANSWER}}
    with pytest.raises(pydantic.ValidationError, match=r"no answer\.id keeps them"):
        http_settings.Settings.model_validate(raw)


def test_a_secret_written_openly_in_polling_is_one() -> None:
    raw = {
        "url": "http://127.0.0.1:1",
        "answer": {"id": "$.id"},
        "polling": {"url": "http://127.0.0.1:1/{{ ids }}", "query": {"api_key": "open-0123"}, "answer": ANSWER},
    }
    assert "open-0123" in http_settings.Settings.model_validate(raw).secrets()
