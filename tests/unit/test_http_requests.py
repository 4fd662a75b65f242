"""What profiles need of requests and answers: ways to log in, filters, joined values, XML, segments. No network."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import errors, http_body, message
from agi_sms.providers import http, http_answer, http_request, http_settings, templates

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SAMPLE = templates.SAMPLE


def made(**changes: Any) -> http_settings.Settings:
    return http_settings.Settings.model_validate({"url": "https://sms.example/send", **changes})


def built(**changes: Any) -> http_request.Request:
    return http_request.Builder(made(**changes)).build(SAMPLE)


# --- logging in ---------------------------------------------------------------------------------------------------

SECRET = {"key": "k3y/+ł", "user": "me", "plain": "t0ken"}


def test_a_header_of_the_companys_own() -> None:
    asked = built(secret=SECRET, auth={"header": {"name": "Authorization", "value": "App {{ secret.plain }}"}})
    assert asked.headers["Authorization"] == "App t0ken"
    assert built(auth={"header": {"name": "X-Key", "value": "literal"}}).headers["X-Key"] == "literal"


def test_a_value_in_the_query() -> None:
    asked = built(secret=SECRET, query={"a": "1"}, auth={"query": {"name": "api key", "value": "{{ secret.key }}"}})
    assert str(asked.url) == "https://sms.example/send?a=1&api%20key=k3y%2F%2B%C5%82"


def test_user_password_and_bearer_out_of_secret() -> None:
    asked = built(secret=SECRET, auth={"basic": {"username": "{{ secret.user }}", "password": "{{secret.plain}}"}})
    assert asked.headers["Authorization"] == "Basic bWU6dDBrZW4="
    assert built(secret=SECRET, auth={"bearer": "{{ secret.plain }}"}).headers["Authorization"] == "Bearer t0ken"
    # a password is no template: what looks like the beginning of one stays as it is
    assert (
        built(auth={"basic": {"username": "me", "password": "a{#b{%"}}).headers["Authorization"] == "Basic bWU6YXsjYnsl"
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"auth": {"bearer": "{{ secret.nokey }}"}}, r"secret\.nokey is missing: \{\{ secret\.nokey \}\} is filled in"),
        ({"auth": {"basic": {"username": "{{ secret.nokey }}", "password": "x"}}}, r"secret\.nokey is missing"),
        ({"auth": {"header": {"name": "X", "value": "{{ secret.nokey }}"}}}, r"secret\.nokey is missing"),
        ({"auth": {"header": {"name": "X Y", "value": "a"}}}, "no header's name"),
        ({"auth": {"header": {"name": "X", "value": "a"}}, "headers": {"x": "b"}}, "one of the two"),
        ({"auth": {"query": {"name": "q", "value": "a"}}, "query": {"q": "b"}}, "one of the two"),
        ({"auth": {"basic": {"username": "u", "password": "p"}, "bearer": "x"}}, "one of basic, bearer, header, query"),
        ({"secret": {"a": "b c"}, "auth": {"bearer": "{{ secret.a }}"}}, "plain ASCII without spaces"),
        ({"secret": {"a": "b:c"}, "auth": {"basic": {"username": "{{ secret.a }}", "password": "x"}}}, "colon"),
        ({"body": {"form": {"k": "{{ secret.nokey }}"}}}, r"secret\.nokey is missing"),
        ({"segments": 0}, "greater than or equal to 1"),
    ],
)
def test_mistakes(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=says):
        made(**changes)


def test_what_is_secret_of_it_is_masked() -> None:
    for auth in (
        {"header": {"name": "X-Key", "value": "hidden-word"}},
        {"query": {"name": "q", "value": "hidden-word"}},
        {"basic": {"username": "u", "password": "hidden-word"}},
        {"bearer": "hidden-word"},
    ):
        assert http_request.Mask(made(auth=auth))("a hidden-word b") == "a *** b"
    mask = http_request.Mask(made(secret=SECRET, auth={"header": {"name": "A", "value": "App {{ secret.plain }}"}}))
    assert mask("App t0ken") == "App ***"
    login = {"basic": {"username": "{{ secret.user }}", "password": "{{ secret.plain }}"}}
    assert http_request.Mask(made(secret=SECRET, auth=login))("bWU6dDBrZW4=") == "***"


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("{{ to|no_plus }}", "48600100200"),
        ("{{ sender|no_plus }}", "ACME+1"),
        ("{{ text|utf16hex }}", "005A0061017C00F301420107"),
        ("{{ ref|urlencode }}", "a%26b%2F%C5%82"),
        ("{{ 'x' ~ ref ~ segments }}", "xa&b/ł1"),
        ("{{ receipt_url ~ '?r=' ~ ref|urlencode if receipt_url else '' }}", "https://h/r?r=a%26b%2F%C5%82"),
        ("{{ 'gText' if sender_kind == 'name' else 'gOwn' }}", "gText"),
        ("{{ 31 if receipt_url else '' }}", "31"),
    ],
)
def test_filters_and_joined_values(source: str, shown: str) -> None:
    sample = replace(SAMPLE, sender="ACME+1", ref="a&b/ł", text="Zażółć")
    values = templates.values(sample, {}, "https://h/r")
    assert templates.compiled(source).render(values) == shown


PIECES = (
    *("to", "sender", "text", "ref", "segments", "unicode", "secret.a", "to|no_plus", "text|utf16hex|lower"),
    *("text|urlencode", "segments|digits", "sender|upper", "text|default('x')", "'%' if unicode else to"),
)


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.just("{%"), min_size=1, max_size=4), st.text(max_size=20), st.booleans())
def test_what_is_filled_in_without_jinja_is_what_jinja_fills_in(pieces: list[str], text: str, in_url: bool) -> None:
    source = " a\r\n".join(piece if piece == "{%" else f"{{{{ {piece} }}}}" for piece in pieces).replace("{%", "%20")
    template = templates.compiled(source, in_url=in_url)
    values = templates.values(replace(SAMPLE, text=text), {"a": "t0ken"})
    assert template.render(values) == template._template.render(values)
    if template._value is not None:
        assert template.value(values) == template._value(values)


@pytest.mark.parametrize("source", ["{{ to }}", "{{ secret.b }}", "x{{ to|digits }}", "{{ text|utf16hex }}"])
def test_what_cannot_be_filled_in_is_told_in_jinjas_words(source: str) -> None:
    values = {"text": "a" * (templates.LONGEST + 1), "secret": SimpleNamespace()}
    for fill in (templates.compiled(source).render, templates.compiled(source).value):
        with pytest.raises(errors.TextError, match=r"undefined|has no attribute|longer than"):
            fill(values)


@pytest.mark.parametrize("source", ["{{ secret.__class__ }}", "{{ secret.__dict__ }}", "x{{ secret._b }}"])
def test_what_begins_with_an_underline_is_nobodys_to_see(source: str) -> None:
    made = templates.compiled(source)
    with pytest.raises(errors.TextError):
        made.render({"secret": SimpleNamespace(_b="t0ken")})


def test_what_is_the_same_in_each_request_is_made_once_and_what_is_not_is_not() -> None:
    builder = http_request.Builder(made(url="https://h/{{ to|digits }}", query={"r": "{{ ref }}"}))
    first, second = (builder.build(replace(SAMPLE, to=to)) for to in ("+48600100200", "+48600100201"))
    assert [one.url.path for one in (first, second)] == ["/48600100200", "/48600100201"]
    for _ in range(2):
        with pytest.raises(http_request.Unsendable, match="change the path"):
            http_request.Builder(made(url="https://h/{{ sender }}")).build(replace(SAMPLE, sender=".."))
    fixed = http_request.Builder(made(url="https://h/sms"))
    assert fixed.build(SAMPLE).url is fixed.build(replace(SAMPLE, to="+1")).url


def test_an_address_that_was_checked_is_known_to_its_own_builder_only_and_until_the_next_one() -> None:
    one, other = (http_request.Builder(made(url="https://h/{{ to|digits }}")) for _ in range(2))
    for to in ("+48600100200", "+48600100201", "+48600100201"):
        one.build(replace(SAMPLE, to=to))
    assert one._check.cache_info()[:] == (1, 2, 1, 1)  # hits, misses, most, kept
    assert other._check.cache_info().currsize == 0


@pytest.mark.parametrize(
    ("sender", "kind"),
    [
        ("", ""),
        ("ACME", "name"),
        ("+48600100200", "number"),
        ("4455", "short_code"),
        ("48600100200", "name"),
        ("1A", "name"),
    ],
)
def test_kinds_of_sender(sender: str, kind: str) -> None:
    assert templates.sender_kind(sender) == kind


@settings(deadline=None)
@given(st.text(max_size=300))
def test_utf16hex_is_reversible(text: str) -> None:
    values = templates.values(replace(SAMPLE, text=text), {})
    shown = templates.compiled("{{ text|utf16hex }}").render(values)
    assert bytes.fromhex(shown).decode("utf-16-be") == values["text"]


def test_a_template_is_compiled_once_and_tells_what_it_needs() -> None:
    assert templates.compiled("{{ to }}") is templates.compiled("{{ to }}")
    assert templates.compiled("{{ to }}") is not templates.compiled("{{ to }}", in_url=True)
    one = templates.compiled("{{ secret.a if unicode else secret.b }}")
    assert one.secrets == {"a", "b"}
    assert one.names == {"secret", "unicode"}
    with pytest.raises(errors.TextError, match="no add"):
        templates.compiled("{{ to + to }}")


def test_objects_that_come_out_empty_are_left_out() -> None:
    body = {
        "json": {
            "hooks": {"url": "{{ receipt_url }}", "deep": {"x": "{{ receipt_url }}"}},
            "kept": {},
            "list": [{"url": "{{ receipt_url }}"}],
            "zero": 0,
            "no": False,
            "to": "{{ to }}",
        }
    }
    asked = json.loads(built(body=body).body or b"")
    assert asked == {"kept": {}, "list": [{}], "zero": 0, "no": False, "to": "+48600100200"}
    whole = json.loads(built(body=body, omit_empty=False).body or b"")
    assert whole["hooks"] == {"url": "", "deep": {"x": ""}}


async def test_too_many_segments_are_refused_before_anything_is_sent() -> None:
    settings = made(url="http://127.0.0.1:1/", segments=4)
    provider = http.HttpProvider("acme", settings)
    outcome = await provider.send(replace(SAMPLE, segments=5))
    await provider.close()
    assert isinstance(outcome, message.Rejected)
    assert outcome.code == "segments"
    assert "takes 5 segments" in outcome.detail


# --- XML answers --------------------------------------------------------------------------------------------------

XML: dict[str, Any] = {
    "rules": [
        {"path": "/response/error/@code", "equals": [7, "8"], "then": "reject"},
        {"path": "/response/error", "matches": "^busy", "then": "retry"},
        {"path": "/response/message/id", "then": "accept"},
    ],
    "id": "/response/message/id",
    "code": "/response/error/@code",
    "detail": "/response/error",
}
SOAP = '<s:response xmlns:s="urn:x"><message><id> a1 </id></message><message><id>a2</id></message></s:response>'


def read(body: str | bytes, status: int = 200, **headers: str) -> message.Outcome:
    reader = http_answer.Reader(http_answer.Answer.model_validate(XML), lambda text: text)
    assert reader.slow
    data = body if isinstance(body, bytes) else body.encode()
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return reader.read(http_body.Raw(status=status, headers=lines, body=data), NOW)


def test_xml_answers() -> None:
    outcome = read(SOAP)
    assert isinstance(outcome, message.Accepted)
    assert outcome.ids == ("a1", "a2")
    refused = read('<response><error code="8">no number</error></response>')
    assert refused == message.Rejected(code="8", detail="no number")
    assert type(read("<response><error>busy now</error></response>")) is message.Retry
    latin = '<?xml version="1.0" encoding="iso-8859-2"?><response><error code="7">zły</error></response>'
    assert read(latin.encode("iso-8859-2")).detail == "zły"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "<response>",
        "<response/>",
        '<!DOCTYPE r [<!ENTITY a "b">]><response><message><id>&a;</id></message></response>',
        "<a>" * 200,
        b"\xff\xfe\x00",
    ],
)
def test_xml_that_cannot_be_read_is_uncertain(body: str | bytes) -> None:
    assert type(read(body)) is message.Uncertain


def test_a_path_that_is_no_xpath_is_a_mistake() -> None:
    for wrong in ("/[", "//a[text()=$x]", "/a[id('x')]"):
        with pytest.raises(pydantic.ValidationError, match="XPath"):
            http_answer.Answer.model_validate({"id": wrong})
