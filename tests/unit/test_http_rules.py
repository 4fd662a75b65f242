"""What an HTTP answer means, how values are encoded for their place, and which settings are mistakes. No network."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import errors, harmless, http_body, message
from agi_sms.providers import http_answer, http_request, http_settings, templates

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SAMPLE = replace(templates.SAMPLE, sender="", text="a&b=c +ł\n\"'", ref="r/1")


def read(answer: dict[str, Any], status: int, body: bytes | str = b"", **headers: str) -> message.Outcome:
    reader = http_answer.Reader(http_answer.Answer.model_validate(answer), lambda text: text)
    raw = http_body.Raw(
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=body.encode() if isinstance(body, str) else body,
    )
    return reader.read(raw, NOW)


def made(**changes: Any) -> http_settings.Settings:
    return http_settings.Settings.model_validate({"url": "https://sms.example/send", **changes})


def built(**changes: Any) -> http_request.Request:
    return http_request.Builder(made(**changes)).build(SAMPLE)


# --- answers ---------------------------------------------------------------------------------------------------

DEFAULTS = {
    message.Accepted: [200, 201, 202, 204, 299],
    message.Retry: [425, 429],
    message.ProviderDown: [300, 301, 302, 304, 307, 308, 399, 401, 402, 403, 404, 405, 407, 410, 415, 421, 426],
    message.Uncertain: [100, 101, 199, 408, 500, 502, 503, 504, 599, 600, 999],
    message.Rejected: [400, 406, 409, 413, 422, 423, 451, 499],
}


@pytest.mark.parametrize(("status", "kind"), [(status, kind) for kind, many in DEFAULTS.items() for status in many])
def test_defaults(status: int, kind: type[message.Outcome]) -> None:
    assert type(read({}, status, "whatever")) is kind


def test_a_redirect_tells_where_to_and_no_more() -> None:
    moved = read({}, 301, "Moved", Location="https://user:pw@api2.sms.example/send?key=t0ken")
    assert moved.detail == "it redirects to api2.sms.example, and redirects are not followed; mend url; Moved"
    for location in ("/other", "http://[", ""):
        assert read({}, 308, "", Location=location).detail.startswith("it redirects to another path, ")
    said = read({"rules": [{"status": "3xx", "then": "reject"}]}, 302, "no", Location="https://a.example/")
    assert (type(said), said.detail) == (message.Rejected, "no")


def test_a_refusal_for_good_asks_nobody_else() -> None:
    said = read({"rules": [{"path": "$.code", "equals": 21610, "then": "final"}]}, 400, '{"code": 21610}')
    assert type(said) is message.Final
    assert isinstance(said, message.Rejected)


@pytest.mark.parametrize(
    ("answer", "mend"),
    [
        ({"id": "message.uuid"}, "$.message.uuid"),
        ({"code": "error"}, "$.error"),
        ({"detail": "errors[0].title"}, "$.errors[0].title"),
        ({"rules": [{"path": "error", "equals": 14, "then": "reject"}]}, "$.error"),
        ({"rules": [{"path": "error", "matches": "^1", "then": "reject"}]}, "$.error"),
        ({"rules": [{"path": "error.code", "exists": True, "then": "reject"}]}, "$.error.code"),
    ],
)
def test_a_jsonpath_without_its_sign_is_a_mistake(answer: dict[str, Any], mend: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=r"which finds only itself; write ") as caught:
        made(answer=answer)
    assert f"write {mend} for JSON" in str(caught.value)


def test_a_word_is_a_regular_expression_where_that_makes_sense() -> None:
    rules = [{"path": "OK", "then": "accept"}, {"path": "OK", "equals": "OK", "then": "accept"}]
    assert made(answer={"rules": rules, "id": "id=([0-9]+)"}).answer.id == "id=([0-9]+)"


@pytest.mark.parametrize(
    ("body", "kind"),
    [("ok", "text/html; charset=utf-8"), ("\ufeff\n<!DOCTYPE html><p>", "text/plain"), ("<HTML lang=en>", "")],
)
def test_a_web_page_is_no_yes_where_nothing_says_what_is(body: str, kind: str) -> None:
    page = read({}, 200, body, Content_Type=kind)
    assert (type(page), page.detail.split(";")[0]) == (message.Uncertain, "the answer is a web page")
    assert type(read({"rules": [{"status": 200, "then": "accept"}]}, 200, body)) is message.Accepted
    assert type(read({}, 200, "<htmlx/>", Content_Type="text/xml")) is message.Accepted


def test_receipts_by_an_id_that_nobody_keeps_are_a_mistake() -> None:
    receipts: dict[str, Any] = {
        "from": "json", "id": "$.id", "state": "$.s", "states": {"d": "delivered"}, "verify": {"scheme": "none"}
    }  # fmt: skip
    with pytest.raises(pydantic.ValidationError, match=r"receipts.id: is all that finds their messages"):
        made(receipts=receipts)
    assert made(receipts=receipts, answer={"id": "$.id"}).receipts is not None
    assert made(receipts=receipts | {"ref": "$.ref"}).receipts is not None
    with pytest.raises(pydantic.ValidationError, match=r"a\.id is the name of one key; write \$\.a\.id"):
        made(receipts=receipts | {"id": "a.id"}, answer={"id": "$.id"})


RULES: dict[str, Any] = {
    "rules": [
        {"status": 200, "path": "$.error", "equals": [14, "19"], "then": "reject"},
        {"status": "2xx", "path": "$.error", "matches": "^10[0-9]$", "then": "retry"},
        {"path": "$.error", "equals": 53, "then": "duplicate"},
        {"path": "$.ok", "equals": True, "then": "accept"},
        {"status": [402, 409], "then": "provider_down"},
        {"path": "$.list[?@.state == 'SENT']", "exists": True, "then": "accept"},
        {"status": "4xx", "path": "$.error", "exists": False, "then": "uncertain"},
    ],
    "id": "$.id",
    "code": "$.error",
    "detail": "$.text",
}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, '{"error": 14}', message.Rejected),
        (200, '{"error": "14"}', message.Rejected),
        (200, '{"error": "19"}', message.Rejected),
        (201, '{"error": 14}', message.Uncertain),  # the first rule speaks of 200 only, none else fits
        (201, '{"error": 101}', message.Retry),
        (500, '{"error": 101}', message.Uncertain),  # the rule speaks of 2xx; the table decides
        (400, '{"error": 53, "id": "x"}', message.Accepted),
        (200, '{"ok": true, "id": "x"}', message.Accepted),
        (200, '{"ok": true}', message.Accepted),  # said so in so many words, the id is missing
        (200, '{"ok": "yes"}', message.Uncertain),  # some rule says what acceptance looks like; this is not it
        (402, '{"error": null}', message.ProviderDown),
        (400, '{"error": null}', message.Uncertain),  # null is absent
        (400, '{"error": 7}', message.Rejected),
        (200, '{"list": [{"state": "FAILED"}, {"state": "SENT"}]}', message.Accepted),
        (200, '{"list": [{"state": "FAILED"}]}', message.Uncertain),
        (200, "<html>", message.Uncertain),
        (404, "<html>", message.Uncertain),  # it could have said 53, which is success
    ],
)
def test_rules_in_order(status: int, body: str, kind: type[message.Outcome]) -> None:
    assert type(read(RULES, status, body)) is kind


def test_unreadable_refusal_is_a_refusal_where_no_rule_could_have_accepted() -> None:
    rules = {"rules": [{"path": "$.error", "equals": 3, "then": "retry"}]}
    assert type(read(rules, 429, "<html>")) is message.Retry
    assert type(read(rules, 400, "<html>")) is message.Rejected
    assert type(read(rules, 200, "<html>")) is message.Uncertain


def test_ids_code_and_detail_are_found() -> None:
    body = '{"id": ["a", "b", "a", 7, null, ""], "error": "E1", "text": "no\\u001b[2J\\ncredit"}'
    answer = {"id": "$.id[*]", "code": "$.error", "detail": "$.text"}
    assert read(answer, 200, body) == message.Accepted(code="E1", detail="no\\x1b[2J credit", ids=("a", "b", "7"))


def test_text_answers_are_read_by_regular_expressions() -> None:
    answer = {
        "rules": [
            {"path": r"^ERROR:(\d+)", "equals": 8, "then": "retry"},
            {"path": r"^ERROR:", "then": "reject"},
        ],
        "id": r"^OK:(\w+)",
        "code": r"^ERROR:(\d+)",
    }
    assert read(answer, 200, "OK:abc:0.07") == message.Accepted(code="200", detail="OK:abc:0.07", ids=("abc",))
    assert read(answer, 200, "ERROR:8") == message.Retry(code="8", detail="ERROR:8")
    assert type(read(answer, 200, "ERROR:13")) is message.Rejected
    assert type(read(answer, 200, "Dear customer")) is message.Uncertain


def test_an_id_nobody_could_use_is_none() -> None:
    for bad in ("a\nb", "x" * 256, "\ufffd", "", "   "):
        assert type(read({"id": "$.id"}, 200, json.dumps({"id": bad}))) is message.Uncertain
    assert type(read({"id": "$.id"}, 200, '{"id": {"a": 1}}')) is message.Uncertain


def test_answer_cut_short_is_not_read_but_its_status_counts() -> None:
    reader = http_answer.Reader(http_answer.Answer(id="$.id"), lambda text: text)
    for status, kind in ((200, message.Uncertain), (401, message.ProviderDown), (429, message.Retry)):
        raw = http_body.Raw(status=status, headers={}, body=b'{"id": "a"}', whole=False)
        assert type(reader.read(raw, NOW)) is kind


@pytest.mark.parametrize(
    ("header", "after"),
    [
        ("0", 0),
        ("17", 17),
        (" 3600 ", 3600),
        ("999999999", 3600),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("9" * 40, None),
        ("١٢", None),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after(header: str, after: int | None) -> None:
    expected = None if after is None else timedelta(seconds=after)
    assert http_body.retry_after(header, NOW) == expected
    assert read({}, 429, "", Retry_After=header) == message.Retry(code="429", after=expected)


@given(st.integers(0, 999), st.binary(max_size=300), st.sampled_from(["", "gzip", "deflate", "br", "zstd"]))
def test_any_answer_is_an_outcome(status: int, body: bytes, coding: str) -> None:
    outcome = read(RULES, status, body, Content_Encoding=coding, Content_Type="text/html; charset=utf-16")
    assert type(outcome) in message.OUTCOMES
    assert max(len(outcome.code), len(outcome.detail)) <= message.LONGEST_DETAIL


# --- requests --------------------------------------------------------------------------------------------------


def test_values_are_encoded_for_their_place() -> None:
    asked = built(
        url="https://sms.example/v1/{{ ref }}/send?fixed=1&t={{ text }}",
        query={"to": "{{ to }}", "digits": "{{ to|digits }}", "n": 2, "flash": False},
        headers={"X-Ref": "{{ ref }}", "content-type": "application/x-own"},
        body={"form": {"text": "{{ text }}", "from": "{{ sender }}", "u": "{{ unicode }}"}},
    )
    assert str(asked.url) == (
        "https://sms.example/v1/r%2F1/send?fixed=1&t=a%26b%3Dc%20%2B%C5%82%0A%22%27"
        "&to=%2B48600100200&digits=48600100200&n=2&flash=false"
    )
    assert asked.url.host == "sms.example"
    assert asked.body == b"text=a%26b%3Dc+%2B%C5%82%0A%22%27&u=true"
    assert asked.headers["X-Ref"] == "r/1"
    assert asked.headers["content-type"] == "application/x-own"
    assert "Content-Type" not in asked.headers


def test_json_keeps_structure_and_types() -> None:
    asked = built(
        body={
            "json": {
                "messages": [{"to": ["{{ to }}"], "text": "{{ text }}", "from": "{{ sender }}"}],
                "unicode": "{{ unicode }}",
                "segments": "{{segments}}",
                "number": "{{ to|digits|int }}",
                "ref": "agi-{{ ref }}",
                "fixed": 3,
                "none": None,
            }
        }
    )
    assert asked.body is not None
    assert json.loads(asked.body) == {
        "messages": [{"to": ["+48600100200"], "text": SAMPLE.text}],
        "unicode": True,
        "segments": 1,
        "number": 48600100200,
        "ref": "agi-r/1",
        "fixed": 3,
        "none": None,
    }
    assert asked.headers["Content-Type"] == "application/json"


def test_empty_values_stay_where_asked_for() -> None:
    asked = built(omit_empty=False, query={"from": "{{ sender }}"}, body={"json": {"from": "{{ sender }}"}})
    assert asked.url.query_string == "from="
    assert asked.body == b'{"from":""}'


def test_login() -> None:
    asked = built(auth={"basic": {"username": "me", "password": "ł:x"}})
    assert asked.headers["Authorization"] == "Basic bWU6xYI6eA=="
    assert built(auth={"bearer": "t0ken"}).headers["Authorization"] == "Bearer t0ken"
    own = built(secret={"key": "k1"}, headers={"X-Api-Key": "{{ secret.key }}"})
    assert own.headers["X-Api-Key"] == "k1"


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\x00", "a\u2028b", "\x7f"])
def test_header_values_take_no_line_breaks(value: str) -> None:
    builder = http_request.Builder(made(headers={"X-Sender": "{{ sender }}"}))
    with pytest.raises(http_request.Unsendable, match="X-Sender"):
        builder.build(replace(SAMPLE, sender=value))


@pytest.mark.parametrize("value", ["..", ".", "../../admin", "%2e%2e", "a/../b", "?x=1", "#f", "@evil.example"])
def test_no_value_moves_the_address(value: str) -> None:
    builder = http_request.Builder(made(url="https://sms.example/a/{{ sender }}/send"))
    try:
        url = builder.build(replace(SAMPLE, sender=value)).url
    except http_request.Unsendable:
        assert value in {"..", "."}
    else:
        assert url.host == "sms.example"
        assert url.raw_path.startswith("/a/")
        assert url.raw_path.endswith("/send")
        assert url.raw_path.count("/") == 3
        assert url.query_string == ""


def test_half_a_surrogate_pair_is_replaced() -> None:
    builder = http_request.Builder(made(body={"form": {"t": "{{ text }}"}}, query={"t": "{{ text }}"}))
    assert builder.build(replace(SAMPLE, text="a\ud800")).body == b"t=a%3F"


# --- templates and mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "{{ to",
        "{{ recipient }}",
        "{{ to.upper() }}",
        "{{ ''.__class__ }}",
        "{{ 'x' * 1000000000 }}",
        "{{ 9 ** 9999 }}",
        "{% for c in text %}{{ c }}{% endfor %}",
        "{% include 'x' %}",
        "{{ secret }}",
        "{{ secret['x'] }}",
        "{{ to|center(100000000) }}",
        "{{ range(10) }}",
        "{{ to|nonsense }}",
    ],
)
def test_templates_hold_values_and_filters_only(source: str) -> None:
    with pytest.raises(errors.TextError):
        templates.Template(source)


MISTAKES: list[tuple[dict[str, Any], tuple[str | int, ...], str]] = [
    ({"url": "ftp://h/"}, ("url",), "http:// or https://"),
    ({"url": "https://{{ to }}/"}, ("url",), "fixed host"),
    ({"url": "https://h{{ to }}/"}, ("url",), "fixed host"),
    ({"url": "https://me:pw@h/"}, ("url",), "auth.basic"),
    ({"url": "https://h/#x"}, ("url",), "fragment"),
    ({"url": "https://h/ż"}, ("url",), "ASCII"),
    ({"url": "https://h/{{ too }}"}, ("url",), "'too' is unknown"),
    ({"url": "https://h/a b"}, (), "space"),
    ({"url": "https://h/../x"}, (), "path"),
    ({"method": "DELETE"}, ("method",), "GET"),
    ({"method": "GET", "body": {"text": "x"}}, (), "GET has none"),
    ({"headers": {"X": "{{ tu }}"}}, ("headers", "X"), "'tu' is unknown"),
    ({"headers": {"X": "a\r\nY: b"}}, ("headers", "X"), "one line"),
    ({"headers": {"X Y": "a"}}, ("headers", "X Y", "[key]"), "no header's name"),
    ({"headers": {"Content-Length": "1"}}, ("headers", "Content-Length", "[key]"), "gateway itself"),
    ({"query": {"a": "{{ to|nope }}"}}, ("query", "a"), "nope"),
    ({"query": {"a": ["x"]}}, ("query", "a"), "string"),
    ({"body": {}}, ("body",), "one of form, json, text"),
    ({"body": {"form": {}, "text": ""}}, ("body",), "one of form, json, text"),
    ({"body": {"json": {"a": [{"b": "{{ x }}"}]}}}, ("body", "json"), r"a\[0\].b"),
    ({"auth": {}}, ("auth",), "one of basic, bearer, header, query"),
    ({"auth": {"bearer": "a b"}}, ("auth",), "ASCII"),
    ({"auth": {"bearer": "x"}, "headers": {"authorization": "y"}}, (), "one of the two"),
    ({"headers": {"X": "{{ secret.nokey }}"}}, (), "nokey"),
    ({"answer": {"id": "$.["}}, ("answer", "id"), "JSONPath"),
    ({"answer": {"id": "("}}, ("answer", "id"), "regular expression"),
    ({"answer": {"rules": [{"status": "20x", "then": "accept"}]}}, ("answer", "rules", 0, "status"), "2xx"),
    ({"answer": {"rules": [{"equals": 1, "then": "accept"}]}}, ("answer", "rules", 0), "need a path"),
    ({"answer": {"rules": [{"then": "maybe"}]}}, ("answer", "rules", 0, "then"), "accept"),
    ({"answer": {"rules": [{"then": "duplicate"}]}}, (), "idempotent"),
    ({"timeout": "6m"}, ("timeout",), "at most 5m"),
    ({"timeout": "ten"}, ("timeout",), "not a duration"),
    ({"concurrency": 0}, ("concurrency",), "greater"),
    ({"ca_file": "/nonexistent/ca.pem"}, ("ca_file",), "no certificates"),
    ({"on_uncertain": "again"}, ("on_uncertain",), "hold"),
]


@pytest.mark.parametrize(("changes", "place", "says"), MISTAKES)
def test_mistakes_are_found_when_the_settings_are_read(
    changes: dict[str, Any], place: tuple[str | int, ...], says: str
) -> None:
    with pytest.raises(pydantic.ValidationError, match=says) as caught:
        made(**changes)
    assert place in [fault["loc"] for fault in caught.value.errors()]


def test_a_duplicate_is_success_where_our_ref_is_what_it_dedupes_by() -> None:
    settings = made(idempotent=True, answer={"rules": [{"status": 409, "then": "duplicate"}], "id": "$.id"})
    reader = http_answer.Reader(settings.answer, http_request.Mask(settings))
    outcome = reader.read(http_body.Raw(status=409, headers={}, body=b"known"), NOW)
    assert outcome == message.Accepted(code="409", detail="duplicate: known")


def test_mask_knows_secrets_in_every_dress() -> None:
    settings = made(
        url="https://h/?api_key=urlkey99",
        secret={"a": "p/w ł&1", "short": "abc"},
        auth={"basic": {"username": "u", "password": "basicpw"}},
        query={"token": "tok-123"},
        body={"json": {"login": {"password": "deep-pw"}, "to": "{{ to }}"}},
    )
    mask = http_request.Mask(settings)
    for dress in ("p/w ł&1", "p%2Fw%20%C5%82%261", "p%2Fw+%C5%82%261", "p\\/w \\u0142&1", "p/w ł&amp;1"):
        assert mask(f"<{dress}>") == "<***>"
    for word in ("basicpw", "dTpiYXNpY3B3", "tok-123", "deep-pw", "urlkey99", "abc"):
        assert mask(f"<{word}>") == "<***>"
    assert mask("abcdef") == "abcdef"
    assert mask("+48600100200") == "+48600100200"


@given(st.text(max_size=200))
def test_clipped_is_one_harmless_line(text: str) -> None:
    line = harmless.clipped(text, 50)
    assert len(line) <= 50
    assert not any(harmless.hidden(c) for c in line)
