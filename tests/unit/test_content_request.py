"""What the customer's system is asked: the same values in every form, and nothing of a stranger's outside of them."""

import hashlib
import hmac
import json
import urllib.parse
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

import agi_sms
from agi_sms import http_client, numbers, ports
from agi_sms.content import request as requests
from agi_sms.content import settings as api_settings
from tests.unit import visits

URL = "https://shop.example/sms-text"
NOW = datetime(2026, 11, 23, 13, 5, 0, 999_999, tzinfo=UTC)
HOSTILE = "a&b=c#d?e/../%00+ ;\r\nX-Evil: 1\x00\x1b\u202e\ud800\U0001f600 Zażółć \"'<>\\{{ caller }}"
WAYS: list[dict[str, Any]] = [{"method": "GET"}, {"body": "form"}, {"body": "json"}]
way = pytest.mark.parametrize("way", WAYS, ids=["get", "form", "json"])


def asked(*, test: bool = False, rules: numbers.Rules = visits.PL, **visit: Any) -> ports.Question:
    made = visits.make_visit(**({"dialled": "221131415"} | visit))
    return ports.Question(activation_id="a1", visit=made, rules=rules, test=test)


def builder(**changes: Any) -> requests.Builder:
    return requests.Builder(api_settings.Api.model_validate({"url": URL, **changes}))


def built(question: ports.Question | None = None, **changes: Any) -> http_client.Request:
    return builder(**changes).build(question or asked(), NOW)


def told(request: http_client.Request) -> list[tuple[str, str]]:
    """What a standard parser makes of the request."""
    if request.body is None:
        return list(urllib.parse.parse_qsl(request.url.raw_query_string, keep_blank_values=True, strict_parsing=True))
    if request.headers["Content-Type"] == "application/json":
        return list(json.loads(request.body).items())
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    return list(urllib.parse.parse_qsl(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True))


EXPECTED = [
    ("from_number", "+48600100200"),
    ("to_number", "+48221131415"),
    ("call_id", "1795439100.12"),
    ("node", "desk"),
    ("pbx", "main"),
    ("activation_id", "a1"),
]


@way
def test_the_same_values_go_in_every_form(way: dict[str, Any]) -> None:
    request = built(
        asked(diverted_from="600100300", variables={"ORDER_ID": "Zażółć"}),
        params={"to_number": "did", "pbx": False, "diverted_from": True},
        fields={"shop": "12", "lang": "pl"},
        vars=["ORDER_ID", "MISSING"],
        **way,
    )
    assert told(request) == [
        ("from_number", "+48600100200"),
        ("did", "+48221131415"),
        ("call_id", "1795439100.12"),
        ("diverted_from", "+48600100300"),
        ("node", "desk"),
        ("activation_id", "a1"),
        ("shop", "12"),
        ("lang", "pl"),
        ("ORDER_ID", "Zażółć"),
        ("MISSING", ""),
    ]
    assert request.method == way.get("method", "POST")
    assert str(request.url).split("?")[0] == URL
    assert (request.body is None) is (request.method == "GET")


def test_forms_are_as_they_stand_in_the_standards() -> None:
    question = asked(variables={"O": "Ł ó+&"})
    off = dict.fromkeys(["from_number", "to_number", "call_id", "node", "pbx", "activation_id"], False)
    assert built(question, params=off, vars="O").body == b"O=%C5%81+%C3%B3%2B%26"
    assert built(question, params=off, vars="O", body="json").body == '{"O":"Ł ó+&"}'.encode()
    assert str(built(question, params=off, vars="O", method="GET").url) == f"{URL}?O=%C5%81%20%C3%B3%2B%26"
    assert str(built(question, params=off, method="GET").url) == URL
    assert built(question, params=off).body == b""
    assert built(question, params=off, body="json").body == b"{}"


@pytest.mark.parametrize(
    ("url", "begins"),
    [
        ("https://shop.example", "https://shop.example/?from_number="),
        ("https://shop.example?a=1", "https://shop.example/?a=1&from_number="),
        (URL + "?", URL + "?from_number="),
        (URL + "?a=b%2Fc+d", URL + "?a=b%2Fc+d&from_number="),
        (URL + "?a=1&", URL + "?a=1&from_number="),
        (URL + "?a", URL + "?a&from_number="),
    ],
)
def test_get_leaves_the_query_of_the_url_alone(url: str, begins: str) -> None:
    request = built(method="GET", url=url)
    assert str(request.url).startswith(begins)
    assert told(replace(request, url=yarl.URL("http://h/?" + request.url.raw_query_string.split("&", 1)[-1])))[-1] == (
        "activation_id",
        "a1",
    )


def test_post_leaves_the_url_alone() -> None:
    assert str(built(url=URL + "?a=b%2Fc+d&from_number=1").url) == URL + "?a=b%2Fc+d&from_number=1"


DE = numbers.Rules(region="DE")


@pytest.mark.parametrize(
    ("raw", "rules", "e164", "digits", "national"),
    [
        ("600100200", visits.PL, "+48600100200", "48600100200", "600100200"),
        ("0048600100200", visits.PL, "+48600100200", "48600100200", "600100200"),
        ("+4930123456", visits.PL, "+4930123456", "4930123456", "+4930123456"),
        ("030123456", DE, "+4930123456", "4930123456", "030123456"),
        ("2015550123", numbers.Rules(region="US"), "+12015550123", "12015550123", "2015550123"),
        ("101", visits.PL, "101", "101", "101"),
        ("*97", visits.PL, "*97", "*97", "*97"),
        ("+x1\r\n2<a>", visits.PL, "+12", "12", "12"),
        ("9" * 500, visits.PL, "9" * 40, "9" * 40, "9" * 40),
        ("", visits.PL, "", "", ""),
    ],
)
def test_numbers(raw: str, rules: numbers.Rules, e164: str, digits: str, national: str) -> None:
    question = asked(caller=raw, dialled=raw, diverted_from=raw, rules=rules)
    for form, expected in (("e164", e164), ("digits", digits), ("national", national), ("raw", raw)):
        values = dict(told(built(question, number_format=form, params={"diverted_from": True})))
        assert values["to_number"] == values["diverted_from"] == values["from_number"] == expected, form


@pytest.mark.parametrize("form", list(api_settings.NumberFormat))
@pytest.mark.parametrize("presentation", ["", "prohib", "prohib_not_screened", "unavailable", "nonsense"])
def test_a_withheld_number_stays_withheld(form: str, presentation: str) -> None:
    request = built(asked(presentation=presentation), number_format=form)
    assert dict(told(request))["from_number"] == ""
    assert b"600100200" not in (request.body or b"")


@way
def test_headers(way: dict[str, Any]) -> None:
    request = built(headers={"Authorization": "Bearer t", "user-agent": "shop"}, response="json", **way)
    assert dict(request.headers) == {
        "Accept": "application/json, */*;q=0.1",
        "Accept-Encoding": "identity",
        "Authorization": "Bearer t",
        "user-agent": "shop",
    } | ({"Content-Type": request.headers["Content-Type"]} if request.body is not None else {})
    plain = built(**way).headers
    assert plain["User-Agent"] == f"agi-sms/{agi_sms.__version__}"
    assert plain["Accept"].startswith("text/plain")
    assert requests.TEST not in plain
    assert built(asked(test=True), **way).headers[requests.TEST] == "1"


@way
def test_the_customer_can_check_who_asks(way: dict[str, Any]) -> None:
    request = built(asked(variables={"O": "Zażółć"}), url=URL + "?a=1", sign={"secret": "gęś"}, vars="O", **way)
    at, signature = request.headers["Agi-Sms-Timestamp"], request.headers["Agi-Sms-Signature"]
    assert at == str(int(NOW.timestamp()))
    signed = str(request.url).split("?", 1)[1].encode() if request.body is None else request.body
    expected = hmac.new("gęś".encode(), at.encode() + b"." + signed, hashlib.sha256).hexdigest()
    assert signature == f"sha256={expected}"
    assert not {requests.TIMESTAMP, requests.SIGNATURE} & built(**way).headers.keys()


# Whatever text a dialplan may hand over; a half of a surrogate pair arrives as a question mark.
_TEXT = st.text(st.characters(exclude_categories=[]), max_size=60) | st.just(HOSTILE)


@given(
    st.sampled_from(WAYS),
    st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,10}", fullmatch=True), _TEXT, max_size=4),
    st.tuples(_TEXT, _TEXT, _TEXT, _TEXT),
    st.sampled_from(api_settings.NumberFormat),
)
def test_what_goes_in_is_what_a_parser_reads_back(
    way: dict[str, Any], variables: dict[str, str], facts: tuple[str, str, str, str], form: str
) -> None:
    call_id, caller, dialled, node = facts
    question = asked(caller=caller, dialled=dialled, variables=variables, node=node)
    question = replace(question, visit=replace(question.visit, call=replace(question.visit.call, call_id=call_id)))
    made = builder(url=URL + "?k=v", vars=list(variables), number_format=form, sign={"secret": "shared secret"}, **way)
    request = made.build(question, NOW)
    wanted = list(made.values(question))
    assert wanted[2:4] == [("call_id", _sendable(call_id)), ("node", _sendable(node))]
    assert wanted[6:] == [(name, _sendable(value)) for name, value in variables.items()]
    assert told(request) == ([("k", "v")] if request.body is None else []) + wanted
    wire = f"{request.method} {request.url.raw_path_qs} HTTP/1.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in request.headers.items()
    )
    assert wire.isascii()
    assert all(line.isprintable() for line in wire.split("\r\n"))
    assert request.url.raw_path == "/sms-text"
    assert len(wire.split("\r\n")) == len(request.headers) + 2
    shown = made.shown(request)
    assert list(shown.values) == told(request)


def _sendable(text: str) -> str:
    return "".join("?" if "\ud800" <= c <= "\udfff" else c for c in text)


# --- redirects ---------------------------------------------------------------------------------------------------


def follow(location: str, status: int = 302, *, url: str = URL, **changes: Any) -> http_client.Request:
    made = builder(url=url, headers={"X-Key": "k"}, sign={"secret": "s"}, **changes)
    return made.redirected(made.build(asked(test=True), NOW), status, location, NOW)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/other?x=%2F1", "https://shop.example/other?x=%2F1"),
        ("other", "https://shop.example/other"),
        ("?x=1", "https://shop.example/sms-text?x=1"),
        ("//shop.example/a", "https://shop.example/a"),
        ("https://SHOP.example:443/a#frag", "https://SHOP.example/a"),
        ("https:///a", "https://shop.example/a"),
        ("/zażółć x", "https://shop.example/za%C5%BC%C3%B3%C5%82%C4%87%20x"),
    ],
)
def test_a_redirect_within_the_host_keeps_the_headers(location: str, url: str) -> None:
    request = follow(location)
    assert str(request.url) == url
    assert request.headers["X-Key"] == "k"
    assert request.headers[requests.TEST] == "1"
    signed = request.url.raw_query_string
    expected = hmac.new(b"s", f"{int(NOW.timestamp())}.{signed}".encode(), hashlib.sha256).hexdigest()
    assert request.headers[requests.SIGNATURE] == f"sha256={expected}"


@pytest.mark.parametrize(
    "location",
    ["https://other.example/a", "https://shop.example:8443/", "//other.example/", "https://shop.example.evil.example/"],
)
@pytest.mark.parametrize("status", sorted(requests.REDIRECTS))
def test_a_redirect_to_another_host_takes_no_secret_there(location: str, status: int) -> None:
    request = follow(location, status)
    lines = {name.lower() for name in request.headers}
    assert lines - {"content-type"} == {"user-agent", "accept", "accept-encoding", "agi-sms-test"}
    assert ("content-type" in lines) is (request.body is not None)


def test_what_was_dropped_does_not_come_back() -> None:
    made = builder(headers={"X-Key": "k", "user-agent": "secret-agent"}, sign={"secret": "s"})
    away = made.redirected(made.build(asked(), NOW), 307, "https://other.example/", NOW)
    back = made.redirected(away, 307, URL, NOW)
    assert back.headers["User-Agent"].startswith("agi-sms/")
    assert not {"X-Key", "user-agent", requests.SIGNATURE, requests.TIMESTAMP} & back.headers.keys()


@pytest.mark.parametrize(
    ("method", "status", "becomes"),
    [
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
        *(("GET", status, "GET") for status in sorted(requests.REDIRECTS)),
    ],
)
def test_methods_over_redirects(method: str, status: int, becomes: str) -> None:
    request = follow("/other", status, method=method)
    assert request.method == becomes
    assert (request.body is not None) is (becomes == "POST")
    assert ("Content-Type" in request.headers) is (becomes == "POST")
    if becomes == "POST":
        assert told(request) == EXPECTED


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://shop.example/sms-text", "from https to http"),
        ("http://other.example/", "from https to http"),
        ("ftp://shop.example/", "away from HTTP"),
        ("file:///etc/passwd", "none|away from HTTP"),
        ("javascript:alert(1)", "none|away from HTTP"),
        ("https://me:pw@shop.example/", "a user or a password"),
        ("https://shop.example\\@other.example/", "none"),
        ("https://shop.example:99999/", "none"),
        ("https://[::1", "none"),
    ],
)
def test_redirects_that_are_not_followed(location: str, why: str) -> None:
    with pytest.raises(requests.Unfollowed, match=why):
        follow(location)


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("https://[half", "its address is none"),
        ("ftp://shop.example/", "it leads away from HTTP"),
        ("https://jan@shop.example/", "its address holds a user or a password"),
        ("https://:t0p@shop.example/", "its address holds a user or a password"),
        ("http://shop.example/", "it leads from https to http"),
    ],
)
def test_why_a_redirect_is_not_followed(location: str, why: str) -> None:
    with pytest.raises(requests.Unfollowed) as caught:
        follow(location)
    assert str(caught.value) == why


def test_who_asks_for_no_test_is_not_told_of_one_elsewhere() -> None:
    made = builder()
    away = made.redirected(made.build(asked(), NOW), 307, "https://other.example/", NOW)
    assert requests.TEST not in away.headers


@given(st.text(max_size=80), st.sampled_from(sorted(requests.REDIRECTS)))
def test_a_redirect_is_followed_or_refused_whatever_it_says(location: str, status: int) -> None:
    try:
        request = follow(location, status)
    except requests.Unfollowed:
        return
    assert request.url.scheme == "https"
    assert request.url.raw_path_qs.isascii()
    assert request.url.raw_path_qs.isprintable()
    if (request.url.host, request.url.port) != ("shop.example", 443):
        assert "X-Key" not in request.headers


# --- for people --------------------------------------------------------------------------------------------------


@way
def test_what_people_see_holds_no_secret(way: dict[str, Any]) -> None:
    made = builder(
        url=URL + "?token=in%2furl",
        headers={"Authorization": "Bearer tok-1", "X-Lang": "pl"},
        fields={"api_key": "constant-key", "shop": "12"},
        sign={"secret": "s"},
        **way,
    )
    shown = made.shown(made.build(asked(test=True), NOW))
    assert ("Authorization", "***") in shown.headers
    assert ("X-Lang", "***") in shown.headers
    assert ("Agi-Sms-Test", "1") in shown.headers
    assert ("api_key", "***") in shown.values
    assert ("shop", "12") in shown.values
    assert ("from_number", "+48600100200") in shown.values
    posted = "body" in way
    assert shown.method == ("POST" if posted else "GET")
    assert bool(shown.body) is posted
    everything = "\n".join([*shown.lines, repr(shown)])
    assert f"{shown.method} {URL}?token=***" in everything
    for secret in ("tok-1", "constant-key", "in%2furl", "in/url"):
        assert secret not in everything
