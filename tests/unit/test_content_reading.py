"""What answers of the customer's system say: each that can come is read, or has its reason."""

import gzip
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import harmless, http_body, message, ports
from agi_sms.content import reading
from agi_sms.content import settings as api_settings
from agi_sms.message import Reason

POLISH = "Zażółć gęślą jaźń"
JSON = "application/json"
XML = "application/xml"


def reader(response: str, path: str | None = None, *, templated: bool = False) -> reading.Reader:
    given = {"url": "https://shop.example/sms", "response": response, "message": path, "max_size": "32KiB"}
    return reading.Reader(api_settings.Api.model_validate(given), templated=templated)


def raw(body: bytes | str, kind: str = "", status: int = 200, headers: dict[str, str] | None = None) -> http_body.Raw:
    return http_body.Raw(
        status=status,
        headers={"Content-Type": kind, **(headers or {})},
        body=body.encode() if isinstance(body, str) else body,
    )


def packed(body: bytes, coding: str, *, whole: bool = True) -> http_body.Raw:
    return http_body.Raw(status=200, headers={"Content-Encoding": coding}, body=body, whole=whole)


def answer(found: ports.Answer | ports.NoAnswer) -> ports.Answer:
    assert isinstance(found, ports.Answer), found
    return found


def fault(found: ports.Answer | ports.NoAnswer) -> ports.NoAnswer:
    assert isinstance(found, ports.NoAnswer), found
    return found


# --- texts that are found --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "path", "kind", "body", "text"),
    [
        ("text", None, "text/plain", f"{POLISH}\r\n", POLISH),
        ("text", None, "", "two\nlines", "two\nlines"),
        ("text", None, "application/octet-stream", "x", "x"),
        ("text", None, "text/csv", "a;b", "a;b"),
        ("text", None, "text/plain; charset=windows-1250", POLISH.encode("cp1250"), POLISH),
        ("text", None, "", b"\xef\xbb\xbfx", "x"),
        ("text", None, "", "x".encode("utf-16"), "x"),  # its byte order mark says so
        ("json", None, JSON, json.dumps({"message": POLISH}), POLISH),
        ("json", None, "application/vnd.shop+json; v=1", '{"message": " kept "}', " kept "),
        ("json", None, "text/json", '{"message": "a\\u0000b"}', "a\0b"),
        ("json", None, "TEXT/PLAIN", '\ufeff{"message": "x"}', "x"),
        ("json", "$.order.status", JSON, '{"order": {"status": "sent"}}', "sent"),
        ("json", "$.items[?@.lang == 'pl'].text", "", '{"items": [{"lang": "pl", "text": "x"}]}', "x"),
        ("json", "$..text", JSON, '[{"text": "first"}, {"text": "second"}]', "first"),
        ("json", "$", JSON, '"all of it"', "all of it"),
        ("json", "$", JSON, '"{\\"a\\": 5}"', '{"a": 5}'),
        ("json", "$.n", JSON, '{"n": 14}', "14"),
        ("json", "$.n", JSON, '{"n": 12.5}', "12.5"),
        ("json", "$.n", JSON, '{"n": ' + "9" * 4000 + "}", "9" * 4000),
        ("xml", None, XML, f"<a><message> {POLISH}\n</message></a>", POLISH),
        ("xml", None, "text/xml", "<message>x</message>", "x"),
        ("xml", None, "application/soap+xml", "<a xmlns='u:x'><message>x</message></a>", "x"),
        ("xml", None, "", f"<?xml version='1.0' encoding='l2'?><message>{POLISH}</message>".encode("l2"), POLISH),
        ("xml", None, "text/xml; charset=cp1250", f"<message>{POLISH}</message>".encode("cp1250"), POLISH),
        ("xml", None, "", f"<message>{POLISH}</message>".encode("utf-16"), POLISH),
        ("xml", "/Envelope/Body/status", "",
         "<s:Envelope xmlns:s='u:s'><s:Body><status>ok</status></s:Body></s:Envelope>", "ok"),
        ("xml", "/a/@b", "", "<a b='c'/>", "c"),
        ("xml", "concat(/a/b, '!')", "", "<a><b>hey</b></a>", "hey!"),
        ("xml", "count(/a/b)", "", "<a><b/><b/></a>", "2"),
    ],
)  # fmt: skip
def test_texts(response: str, path: str | None, kind: str, body: str | bytes, text: str) -> None:
    found = answer(reader(response, path).read(raw(body, kind)))
    assert found.text == text
    assert found.code == "200"


def test_what_json_says_beside_the_text_comes_as_it_is() -> None:
    body = {
        "message": "x",
        "sender": "ACME",
        "delay": [5],
        "recipients": "+48600100200",
        "send": "yes",
        "more": {"a": 1},
    }
    found = answer(reader("json").read(raw(json.dumps(body), JSON)))
    assert (found.sender, found.delay, found.recipients, found.send) == ("ACME", [5], "+48600100200", "yes")
    assert found.fields == body


@pytest.mark.parametrize("text", ["", ', "message": null', ', "message": " "', ', "message": ["x"]'])
def test_who_wants_nothing_sent_needs_no_text(text: str) -> None:
    found = answer(reader("json").read(raw(f'{{"send": false{text}}}', JSON)))
    assert (found.text, found.send) == (None, False)


@pytest.mark.parametrize(
    ("response", "body", "fields"),
    [
        ("text", " x \n", "x"),
        ("json", '{"name": "Jan", "order": {"id": 5}}', {"name": "Jan", "order": {"id": 5}}),
        ("json", "[1, 2.5, true, null]", [1, 2.5, True, None]),
        ("xml", "<a><name>Jan</name><order id='5'/></a>", {"name": "Jan", "order": {"id": "5"}}),
    ],
)
def test_a_template_gets_the_whole_answer_and_needs_no_message(response: str, body: str, fields: object) -> None:
    found = answer(reader(response, templated=True).read(raw(body)))
    assert found.text is None
    assert found.fields == fields


# --- texts that are not ----------------------------------------------------------------------------------------

DEEP = '{"a":' * 3000 + "1" + "}" * 3000
BOMB = gzip.compress(b" " * (20 << 20))

FAULTS: list[tuple[str, str, bytes | str, Reason, str]] = [
    ("text", "", "", Reason.EMPTY_CONTENT, "the answer is empty"),
    ("text", "text/html", "", Reason.EMPTY_CONTENT, "the answer is empty"),
    ("json", JSON, " \n", Reason.EMPTY_CONTENT, "the answer is nothing but spaces"),
    ("text", "", "\ufeff\u00a0", Reason.EMPTY_CONTENT, "the answer is nothing but spaces"),
    ("json", JSON, '{"message": " "}', Reason.EMPTY_CONTENT, "$.message is empty"),
    ("xml", XML, "<message/>", Reason.EMPTY_CONTENT, "/*/message is empty"),
    ("json", "text/html; charset=utf-8", "<html>", Reason.CONTENT_UNREADABLE,
     "the answer is text/html, not JSON: often a login or error page"),
    ("xml", "application/xhtml+xml", "<html/>", Reason.CONTENT_UNREADABLE, "often a login or error page"),
    ("text", "text/html", "x<br>", Reason.CONTENT_UNREADABLE, "the answer is text/html, not plain text: often"),
    ("xml", "text/html", "<html><message>x</message></html>", Reason.CONTENT_UNREADABLE, "text/html, not XML"),
    ("text", "text/xml", "x", Reason.CONTENT_UNREADABLE, "text/xml, not plain text; response: xml reads it"),
    ("text", JSON, "{}", Reason.CONTENT_UNREADABLE, "response: json reads it"),
    ("text", "text/css", "x", Reason.CONTENT_UNREADABLE, "the answer is text/css, not plain text"),
    ("text", "image/png", "x", Reason.CONTENT_UNREADABLE, "the answer is image/png, not plain text"),
    ("json", "text/csv", "x", Reason.CONTENT_UNREADABLE, "the answer is text/csv, not JSON"),
    ("xml", JSON, "{}", Reason.CONTENT_UNREADABLE, "the answer is application/json, not XML"),
    ("json", "a\x1b[2J\ud800/b", "x", Reason.CONTENT_UNREADABLE, "the answer is a\\x1b[2j\\ud800/b, not JSON"),
    ("text", "", POLISH.encode("cp1250"), Reason.CONTENT_UNREADABLE, "the answer is not utf-8, see byte 2"),
    ("text", "text/plain; charset=ascii", "ż", Reason.CONTENT_UNREADABLE, "the answer is not ascii, see byte 0"),
    ("json", "text/plain; charset=klingon", "{}", Reason.CONTENT_UNREADABLE, "in the unknown charset 'klingon'"),
    ("xml", "", "<?xml version='1.0' encoding='klingon'?><a/>", Reason.CONTENT_UNREADABLE, "unknown charset 'klingon'"),
    ("json", JSON, "{oops", Reason.CONTENT_UNREADABLE, "the answer cannot be used: not JSON"),
    ("json", JSON, DEEP, Reason.CONTENT_UNREADABLE, "nested deeper than 50 levels"),
    ("json", JSON, '{"message": ' + "9" * 5000 + "}", Reason.CONTENT_UNREADABLE, "too many digits"),
    ("xml", XML, "<a>" * 3000, Reason.CONTENT_UNREADABLE, "nested deeper than 50 levels"),
    ("xml", XML, "<a><b></a>", Reason.CONTENT_UNREADABLE, "the answer cannot be used: not XML: mismatched tag"),
    ("xml", XML, "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", Reason.CONTENT_UNREADABLE, "DOCTYPE"),
    ("json", JSON, '{"status": "ok", "order": {}}', Reason.CONTENT_MISSING,
     "there is no $.message; the answer has: status, order"),
    ("json", JSON, "{}", Reason.CONTENT_MISSING, "there is no $.message; the answer is an empty object"),
    ("json", JSON, '["x"]', Reason.CONTENT_MISSING, "there is no $.message; the answer is a list"),
    ("json", JSON, '"x"', Reason.CONTENT_MISSING, "there is no $.message; the answer is text"),
    ("json", JSON, '{"message": ["x"]}', Reason.CONTENT_MISSING, "$.message is a list, not text"),
    ("json", JSON, '{"message": {"a": 1}}', Reason.CONTENT_MISSING, "$.message is an object, not text"),
    ("json", JSON, '{"message": null}', Reason.CONTENT_MISSING, "$.message is null, not text"),
    ("json", JSON, '{"message": true}', Reason.CONTENT_MISSING, "$.message is true, not text"),
    ("json", JSON, '{"message": NaN}', Reason.CONTENT_MISSING, "$.message is nan, not text"),
    ("json", JSON, '{"message": 1e999}', Reason.CONTENT_MISSING, "$.message is inf, not text"),
    ("json", JSON, '{"send": true}', Reason.CONTENT_MISSING, "there is no $.message; the answer has: send"),
    ("xml", XML, "<a><b/><c/></a>", Reason.CONTENT_MISSING, "there is no /*/message; the answer is <a> with: b, c"),
    ("xml", XML, "<a><message><b/></message></a>", Reason.CONTENT_MISSING, "has elements inside, not text: b"),
]  # fmt: skip


@pytest.mark.parametrize(("response", "kind", "body", "reason", "detail"), FAULTS)
def test_faults(response: str, kind: str, body: bytes | str, reason: Reason, detail: str) -> None:
    found = fault(reader(response).read(raw(body, kind)))
    assert (found.reason, found.code) == (reason, "200")
    assert detail in found.detail
    assert (found.again, found.host_fault, found.after) == (False, False, None)


@pytest.mark.parametrize(
    ("response", "kind", "body", "detail"),
    [
        ("text", "", "", "the answer is empty"),
        ("json", JSON, " \n", "the answer is nothing but spaces"),
        ("json", JSON, "[]", "there is no $.message; the answer is an empty list"),
        ("json", JSON, "null", "there is no $.message; the answer is null"),
        ("json", JSON, "false", "there is no $.message; the answer is false"),
        ("json", JSON, "5", "there is no $.message; the answer is 5"),
        ("json", JSON, "1" * 50, f"there is no $.message; the answer is {'1' * 40}"),
        ("json", JSON, json.dumps({"a" * 300: 1}), f"there is no $.message; the answer has: {'a' * 199}…"),
        ("text", "text/plain; charset=utf-16", "x", "the answer is not utf-16, see byte 0"),
        ("json", "text/csv", "x", "the answer is text/csv, not JSON"),
        ("json", "text/xml", "x", "the answer is text/xml, not JSON"),
        ("xml", JSON, "{}", "the answer is application/json, not XML"),
        (
            "text",
            "application/soap+xml",
            "<a/>",
            "the answer is application/soap+xml, not plain text; response: xml reads it",
        ),
        ("json", f"a/{'b' * 98}", "x", f"the answer is a/{'b' * 98}, not JSON"),
        ("json", f"a/{'b' * 99}", "x", f"the answer is a/{'b' * 97}…, not JSON"),
        ("json", "application/json/json", "{}", "the answer is application/json/json, not JSON"),
    ],
)
def test_faults_in_words(response: str, kind: str, body: str, detail: str) -> None:
    assert fault(reader(response).read(raw(body, kind))).detail == detail


def test_a_template_can_do_nothing_with_null() -> None:
    found = fault(reader("json", templated=True).read(raw("null", JSON)))
    assert (found.reason, found.detail) == (Reason.CONTENT_MISSING, "the answer is null")


@pytest.mark.parametrize(
    ("response", "body", "text"),
    [
        ("json", ' \n{"message": "x"} ', "x"),
        ("xml", " \n<message>x</message> ", "x"),
        ("text", " \nx > y ", "x > y"),
        ("json", '[{"message": "x"}]', None),
        ("json", '"x"', None),
        ("json", " \n<p>x", "the answer is text/html, not JSON: often a login or error page"),
        ("json", "oops {", "the answer is text/html, not JSON: often a login or error page"),
        ("xml", " \n<!DOCTYPE html><p>x</p>", "the answer is text/html, not XML: often a login or error page"),
        ("xml", " \n<HTML><p>x</p></HTML>", "the answer is text/html, not XML: often a login or error page"),
        ("xml", "x <message>x</message>", "the answer is text/html, not XML: often a login or error page"),
        ("text", "a<b", "the answer is text/html, not plain text: often a login or error page"),
    ],
)
def test_what_php_calls_html(response: str, body: str, text: str | None) -> None:
    found = reader(response).read(raw(body, "text/html; charset=utf-8"))
    if isinstance(found, ports.Answer):
        assert found.text == text
    else:
        assert (text or "there is no $.message") in found.detail


def test_a_status_that_is_just_good_and_just_not() -> None:
    assert answer(reader("text").read(raw("x", status=299))).code == "299"
    for status in (199, 300):
        assert fault(reader("text").read(raw("x", status=status))).code == str(status)


def test_only_xml_says_its_charset_in_its_text() -> None:
    declared = "<?xml version='1.0' encoding='cp1250'?>ż"
    assert answer(reader("text").read(raw(declared.encode(), "text/plain"))).text == declared


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/a/c", "<a><b/></a>", "there is no /a/c; the answer is <a> with: b"),
        ("count(/a) = 1", "<a/>", "count(/a) = 1 is true, not text"),
        ("number(/a)", "<a>x</a>", "there is no number(/a); the answer is <a>"),
        ("/", "<a><b/></a>", "/ has elements inside, not text: b"),
    ],
)
def test_xpaths_that_find_no_text(path: str, body: str, detail: str) -> None:
    found = fault(reader("xml", path).read(raw(body)))
    assert (found.reason, found.detail) == (Reason.CONTENT_MISSING, detail)


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        (packed(b"x" * 32_769, ""), "longer than 32KiB"),
        (packed(b"x" * 32_768, "", whole=False), "longer than 32KiB"),
        (packed(gzip.compress(b"x" * 32_769), "gzip"), "longer than 32KiB"),
        (packed(BOMB, "gzip"), "longer than 32KiB"),
        (packed(gzip.compress(b"x" * 100)[:-1], "gzip"), "gzip that breaks off"),
        (packed(b"plain", "gzip"), "not gzip, though it says so"),
        (packed(b"x", "br"), "packed as 'br', which was not asked for"),
    ],
)
def test_bodies_that_are_no_whole(sent: http_body.Raw, detail: str) -> None:
    found = fault(reader("text").read(sent))
    assert found.reason is Reason.CONTENT_UNREADABLE
    assert detail in found.detail


def test_a_packed_answer_is_unpacked() -> None:
    assert answer(reader("text").read(packed(gzip.compress(POLISH.encode()), "gzip"))).text == POLISH


# --- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "again", "host_fault"),
    [
        (100, False, False),
        (301, False, False),
        (400, False, False),
        (401, False, False),
        (404, False, False),
        (408, True, False),
        (410, False, False),
        (425, True, False),
        (429, True, True),
        (500, True, False),  # a value that one call brought may be the cause
        (502, True, True),
        (503, True, True),
        (504, True, True),
        (599, True, False),
    ],
)
def test_refusals(status: int, again: bool, host_fault: bool) -> None:
    for response in ("text", "json", "xml"):
        found = fault(reader(response).read(raw('{"message": "x"}', JSON, status, {"Retry-After": "7"})))
        assert (found.reason, found.code) == (Reason.CONTENT_REFUSED, str(status))
        assert (found.again, found.host_fault) == (again, host_fault)
        assert found.after == (timedelta(seconds=7) if again else None)


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({}, None),
        ({"Retry-After": "3600"}, 60),
        ({"Retry-After": "Sun, 01 Mar 2026 12:00:30 GMT"}, None),
        ({"Retry-After": "Sun, 01 Mar 2026 12:00:30 GMT", "Date": "Sun, 01 Mar 2026 12:00:10 GMT"}, 20),
        ({"Retry-After": "Sun, 01 Mar 2026 12:00:30 GMT", "Date": "Sun, 01 Mar 2026 13:00:10 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], after: int | None) -> None:
    found = fault(reader("text").read(raw("busy", "", 503, headers)))
    assert found.after == (None if after is None else timedelta(seconds=after))


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        (raw("no such order of Jan Kowalski", status=404), "404 Not Found"),  # what it says is for explain, not the log
        (raw("", status=500), "500 Internal Server Error"),
        (raw("x", status=799), "799"),
        (raw("moved", status=302, headers={"Location": "https://login.example:8443/?token=t0p"}),
         "302 Found: a redirect to login.example, not followed"),
        (raw("", status=302, headers={"Location": "/login?back=t0p"}), "302 Found: a redirect to /login, not followed"),
        (raw("", status=302, headers={"Location": "https://[half"}), "302 Found: a redirect to nowhere, not followed"),
        (raw("pick", status=300), "300 Multiple Choices"),
        (raw("", status=300, headers={"Location": "/x"}), "300 Multiple Choices: a redirect to /x, not followed"),
        (raw("", status=399, headers={"Location": "/x"}), "399: a redirect to /x, not followed"),
        (raw("", status=400, headers={"Location": "/x"}), "400 Bad Request"),
        (raw("", status=301, headers={"Location": "?a"}),
         "301 Moved Permanently: a redirect to nowhere, not followed"),
        (raw("", status=301, headers={"Location": "/" + "x" * 99}),
         f"301 Moved Permanently: a redirect to /{'x' * 99}, not followed"),
        (raw("", status=301, headers={"Location": "/" + "x" * 100}),
         f"301 Moved Permanently: a redirect to /{'x' * 98}…, not followed"),
    ],
)  # fmt: skip
def test_what_a_refusal_tells(sent: http_body.Raw, detail: str) -> None:
    assert fault(reader("json").read(sent)).detail == detail


# --- what is kept for people -----------------------------------------------------------------------------------


def test_the_excerpt_is_the_harmless_beginning() -> None:
    body = "Dear\r\ncaller\r\x1b[2J\u202e\ttail " + "ż" * 5000
    excerpt = answer(reader("text").read(raw(body))).excerpt
    assert excerpt.startswith("Dear\ncaller\n\\x1b[2J\\u202e\ttail żżż")
    assert len(excerpt) == ports.LONGEST_EXCERPT
    assert fault(reader("json").read(raw(b"\xff\0{", JSON))).excerpt == "\ufffd\\x00{"
    assert answer(reader("text").read(raw("\ufeffx\ufeff"))).excerpt == "x\\ufeff"
    assert fault(reader("text").read(raw("ż", "text/plain; charset=klingon"))).excerpt == "ż"
    declared = "<?xml version='1.0' encoding='cp1250'?><message>ż</message>"
    assert answer(reader("xml").read(raw(declared.encode("cp1250")))).excerpt == declared


def test_what_belongs_into_a_thread() -> None:
    assert not reader("text").slow
    assert not reader("json").slow
    assert not reader("json", "$.a.b[0]").slow
    assert reader("json", "$..text").slow
    assert not reader("json", "$..text", templated=True).slow
    assert reader("xml").slow


# --- paths in the settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("structure", "path", "says"),
    [
        ("text", "$.a", r"^a text answer is the message; leave it out$"),
        ("json", "message", r"begins with \$, like \$\.message"),
        ("json", "$.a[", "is no JSONPath"),
        ("json", "$[?match(@.a, 'x')]", "no time limit"),
        ("xml", "", "is no XPath 1.0"),
        ("xml", "/soap:Body", "names stand without their namespaces"),
        ("xml", "//a = //b", "compares two lists"),
    ],
)
def test_paths_that_find_nothing_ever_are_refused(structure: str, path: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        reading.check_path(api_settings.Structure(structure), path)


def test_good_paths_pass() -> None:
    for structure, default in reading.DEFAULTS.items():
        reading.check_path(structure, default)
    reading.check_path(api_settings.Structure.JSON, "$.items[?@.lang == 'pl'].text")
    reading.check_path(api_settings.Structure.XML, "//item[@lang='pl'][last()]/text()")


# --- whatever comes --------------------------------------------------------------------------------------------

KINDS = st.sampled_from(
    ["", JSON, XML, "text/plain", "text/html", "application/octet-stream", "text/", "/", ";charset=", "a;b;c"]
)
CHARSETS = st.sampled_from(["", *sorted(http_body._CHARSETS)]) | st.text(st.characters(codec=None), max_size=10)
CODINGS = st.sampled_from(["", "gzip", "deflate", "br"])
READERS = [
    reader(response, path, templated=templated)
    for response, path in [
        ("text", None),
        ("json", None),
        ("json", "$"),
        ("json", "$..*"),
        ("json", "$[?@.a == @.b]"),
        ("xml", None),
        ("xml", "//*"),
        ("xml", "string(/*/*[2])"),
        ("xml", "/a/b/@c | //text()"),
        ("xml", "//a[b > 5]"),
    ]
    for templated in (False, True)
]
TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["message", "send", "sender", "delay", "recipients", "a", "b"])
            | st.text(st.characters(codec=None), max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
PIECES = """<a> </a> <a/> <b> </b> <message> </message> x 7 ż &amp; &x; &#0; <![CDATA[<]]> <!---> <!--c--> <?pi?> \0
<p:a/> </p:a> <!DOCTYPE"""
TAGS = ["<b c='1'>", "<p:a xmlns:p='u'>", "<?xml version='1.0' encoding='utf-16'?>", "<?xml encoding='punycode'?>", " "]
XMLISH = st.lists(st.sampled_from([*PIECES.split(), *TAGS]), max_size=12).map("".join)


def check(sent: http_body.Raw) -> None:
    for one in READERS:
        found = one.read(sent)
        assert repr(found) == repr(one.read(sent))
        told = [found.code, found.excerpt]
        if isinstance(found, ports.Answer):
            assert found.text is None or found.text.strip()
            told += [found.text or "", shown((found.fields, found.sender, found.delay, found.recipients, found.send))]
        else:
            assert 0 < len(found.detail) <= message.LONGEST_DETAIL
            told.append(found.detail)
            assert not any(harmless.hidden(c) for c in found.detail)
        assert len(found.excerpt) <= ports.LONGEST_EXCERPT
        assert not any(harmless.hidden(c) and c not in "\n\t" for c in found.excerpt)
        for text in told:
            text.encode()


def shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@settings(deadline=None)
@given(
    st.binary(max_size=200),
    st.builds("{}; charset={}".format, KINDS, CHARSETS),
    CODINGS,
    st.integers(0, 999) | st.just(200),
    st.booleans(),
)
def test_any_bytes_are_an_answer_or_have_their_reason(
    body: bytes, kind: str, coding: str, status: int, whole: bool
) -> None:
    headers = {"Content-Type": kind, "Content-Encoding": coding}
    check(http_body.Raw(status=status, headers=headers, body=body, whole=whole))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["Location", "Retry-After", "Date"]), st.text(st.characters(codec=None))))
def test_any_headers_of_a_refusal_are_taken(headers: dict[str, str]) -> None:
    check(http_body.Raw(status=302, headers=headers, body=b"x"))
    check(http_body.Raw(status=503, headers=headers, body=b"x"))


@settings(deadline=None)
@given(TREES, st.booleans())
def test_any_json_is_an_answer_or_has_its_reason(tree: Any, escaped: bool) -> None:
    check(raw(json.dumps(tree, ensure_ascii=escaped).encode("utf-8", "surrogatepass"), JSON))


@settings(deadline=None)
@given(XMLISH, st.sampled_from(["utf-8", "utf-16", "iso8859-2"]))
def test_any_xml_is_an_answer_or_has_its_reason(body: str, charset: str) -> None:
    check(raw(body.encode(charset, "replace"), XML))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200).filter(str.strip), st.sampled_from(["utf-8", "utf-16", "utf-16-be", "utf-8-sig"]))
def test_the_text_in_json_comes_back_exactly(text: str, charset: str) -> None:
    for escaped in (True, False):
        body = json.dumps({"a": [{"text": text}]}, ensure_ascii=escaped).encode(charset)
        assert answer(reader("json", "$.a[0].text").read(raw(body, f"{JSON}; charset={charset}"))).text == text


@settings(deadline=None)
@given(
    st.text('aąćęłńóśźżĄĆĘŁŃÓŚŹŻ "\\/\n', min_size=1).filter(str.strip), st.sampled_from(["iso-8859-2", "windows-1250"])
)
def test_polish_comes_back_from_polish_charsets(text: str, charset: str) -> None:
    body = json.dumps({"message": text}, ensure_ascii=False).encode(charset)
    assert answer(reader("json").read(raw(body, f"{JSON}; charset={charset}"))).text == text
    assert answer(reader("text").read(raw(text.encode(charset), f"text/plain; charset={charset}"))).text == text.strip()


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "utf-16-le", "gb18030"])
def test_emoji_come_back(charset: str) -> None:
    body = json.dumps({"message": "👍🏽 ok"}, ensure_ascii=False).encode(charset)
    assert answer(reader("json").read(raw(body, f"{JSON}; charset={charset}"))).text == "👍🏽 ok"
