"""Receipts as the HTTP provider reads them: every form they come in, and whatever else reaches the address."""

import json
from dataclasses import replace
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import errors, message, ports
from agi_sms.providers import reports as reading
from tests.contract import reports, subjects


def test_a_form() -> None:
    made = reports.provider(receipt_url=reports.URL)
    assert made.reports
    assert not reports.provider().reports  # nobody knows where to send them
    report = made.read(reports.notice({"id": "a1", "ref": "m1", "state": "ok", "code": "7", "why": "fine\x1b[2J"}))
    assert reports.found(report) == [("a1", "m1", "delivered", "7", "fine\\x1b[2J")]
    assert (report.status, report.content_type, report.body) == (200, "text/plain; charset=utf-8", b"")
    assert json.loads(report.receipts[0].raw)["state"] == "ok"


def test_without_settings_there_are_none() -> None:
    made = subjects.http_provider("http://127.0.0.1:1")
    assert not made.reports
    with pytest.raises(errors.ReceiptError, match="say nothing of receipts"):
        made.read(reports.notice({"id": "a1"}))


def test_a_query_and_the_exact_acknowledgement() -> None:
    acknowledge = {"status": 202, "type": "text/html", "body": "ACK/Jasmin"}
    made = reports.provider(receipts={"from": "query", "acknowledge": acknowledge})
    report = made.read(reports.notice(url=f"{reports.URL}?id=a1&state=NO&id=a1&x=1&x=2", method="GET"))
    assert reports.found(report) == [("a1", "", "failed", "NO", "")]
    assert (report.status, report.content_type, report.body) == (202, "text/html", b"ACK/Jasmin")


def test_a_field_of_the_address_beside_a_body() -> None:
    made = reports.provider(
        receipts={"ref": "?ref", "id": "$.id", "state": "$.s", "code": None, "detail": None, "from": "json"}
    )
    report = made.read(reports.notice('{"id": 17, "s": "OK"}', url=f"{reports.URL}?ref=m%2B1", kind="application/json"))
    assert reports.found(report) == [("17", "m+1", "delivered", "OK", "")]


def test_several_in_one_value() -> None:
    made = reports.provider(receipts={"split": ","})
    report = made.read(reports.notice({"id": "a,b", "state": "OK,NO", "ref": ",", "why": "x,y,z"}))
    assert reports.found(report) == [("a", "", "delivered", "OK", "x,y,z"), ("b", "", "failed", "NO", "x,y,z")]
    report = made.read(reports.notice({"id": "a,b", "state": "WAIT"}))
    assert [one.state for one in report.receipts] == [message.Status.ACCEPTED] * 2
    with pytest.raises(errors.ReceiptError, match="not of one length"):
        made.read(reports.notice({"id": "a,b,c", "state": "OK,NO"}))


def test_a_list_where_its_members_are_meant_is_taken_as_them() -> None:
    made = reports.provider(receipts=reports.JSON | {"each": "$.events"})
    body = '{"events": [{"id": "a", "s": "OK"}, {"id": "b", "s": "NO"}]}'
    assert [one.provider_id for one in made.read(reports.notice(body, kind="application/json")).receipts] == ["a", "b"]


EACH = {"from": "json", "each": ["$.results[*]", "$.late[*]"], "id": "$.id", "ref": None, "state": "$.st.name"}


def test_items_of_a_list_and_of_several() -> None:
    made = reports.provider(receipts={**EACH, "code": None, "detail": None})
    tree = {
        "results": [{"id": "a", "st": {"name": "OK"}}, {"id": "b", "st": {"name": "??"}}],
        "late": [{"id": "c", "st": {"name": "NO"}}],
    }
    report = made.read(reports.notice(json.dumps(tree), kind="application/json"))
    assert [one[0::2] for one in reports.found(report)] == [
        ("a", "delivered", ""),
        ("b", "uncertain", "unknown state '??'"),
        ("c", "failed", ""),
    ]
    assert "late" not in report.receipts[0].raw


def test_xml() -> None:
    places = {"each": "/report/message", "id": "/message/@id", "state": "/message/state", "ref": None}
    made = reports.provider(receipts={"from": "xml", "code": None, "detail": "/message/why", **places})
    body = (
        '<r:report xmlns:r="urn:x"><message id="a"><state>OK</state></message>'
        '<message id="b"><state> NO </state><why>gone</why></message></r:report>'
    )
    report = made.read(reports.notice(body, kind="text/xml"))
    assert reports.found(report) == [("a", "", "delivered", "OK", ""), ("b", "", "failed", "NO", "gone")]
    for bad in ("<a>", '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "", "{}"):
        with pytest.raises(errors.ReceiptError, match="cannot be read"):
            made.read(reports.notice(bad, kind="text/xml"))


def test_one_place_for_every_form() -> None:
    made = reports.provider(receipts={"from": ["query", "form", "json"], "method": ["GET", "POST"]})
    for asked in (
        reports.notice({"id": "a", "state": "OK"}),
        reports.notice(url=f"{reports.URL}?id=a&state=OK", method="GET"),
        reports.notice('{"id": "a", "state": "OK"}', kind="application/json; charset=utf-8"),
    ):
        assert reports.found(made.read(asked)) == [("a", "", "delivered", "OK", "")]


def test_what_is_about_something_else_makes_none() -> None:
    made = reports.provider(receipts={"only": {"path": "kind", "equals": ["dlr"]}})
    assert made.read(reports.notice({"kind": "mo", "text": "Hi"})).receipts == ()
    assert len(made.read(reports.notice({"kind": "dlr", "id": "a", "state": "OK"})).receipts) == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (reports.notice({"id": "a", "state": "OK"}, method="GET"), "came by GET, receipts come by POST"),
        (reports.notice({"id": "a", "state": "OK"}, method="DELETE"), "came by DELETE"),
        (reports.notice(b""), "names no message"),
        (reports.notice({"state": "OK"}), "names no message"),
        (reports.notice({"id": "a\nb", "state": "OK"}), "names no message"),
        (reports.notice({"id": "a" * 256, "state": "OK"}), "names no message"),
        (reports.notice({"id": "a"}), "names no state"),
        (reports.notice(b"\xff\xfe\x00=&&&=;" * 50), "names no message"),
        (reports.notice(b"a=b&" * 2000), "too many fields"),
        (reports.notice(b"id=a&state=OK&id=b"), "two things of id"),
        (reports.notice(b"id=a&state=OK&st%61te=NO"), "two things of state"),
    ],
)
def test_what_cannot_be_read(asked: ports.Notice, says: str) -> None:
    with pytest.raises(errors.ReceiptError, match=says) as caught:
        reports.provider().read(asked)
    assert not isinstance(caught.value, errors.ReceiptForged)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 5000, "nested"),
        ('{"results": []}', "nothing in it"),
        ('{"results": 5}', "nothing in it"),
        ('{"results": [5]}', "names no message"),
        ('{"results": [{"id": {"a": 1}, "st": {"name": "OK"}}]}', "names no message"),
        ('{"results": [{"id": "a", "st": {"name": null}}]}', "names no state"),
        ("\x00\xff", "not JSON"),
        (json.dumps({"results": [{"id": "a", "st": {"name": "OK"}}] * 501}), "more than 500"),
    ],
)
def test_json_that_cannot_be_read(body: str, says: str) -> None:
    with pytest.raises(errors.ReceiptError, match=says):
        reports.provider(receipts=EACH).read(reports.notice(body, kind="application/json"))


@settings(max_examples=200, deadline=None)
@given(
    body=st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(st.sampled_from(["results", "late", "id", "st", "name"]), inner, max_size=4)
            ),
        ).map(lambda tree: json.dumps(tree).encode()),
    ),
    kind=st.sampled_from(["application/json", "text/xml", "application/x-www-form-urlencoded", "", "x/\u0142"]),
)
def test_whatever_comes_only_receipt_errors_are_raised(body: bytes, kind: str) -> None:
    for shape in (reports.PLAIN, EACH, {**reports.PLAIN, "from": ["json", "form"], "split": ","}):
        try:
            report = reports.provider(receipts=shape).read(reports.notice(body, kind=kind))
        except errors.ReceiptError:
            continue
        for one in report.receipts:
            assert one.provider_id or one.ref
            assert one.state in (message.Status.DELIVERED, message.Status.FAILED, message.Status.ACCEPTED)
            assert max(len(one.code), len(one.detail)) <= message.LONGEST_DETAIL
            assert len(one.raw) <= reading.LONGEST_RAW
            one.raw.encode()
            (one.provider_id + one.ref).encode()


def test_secrets_and_length_of_what_is_kept() -> None:
    secret = {"word": "s3cret-w0rd"}
    made = reports.provider(secret=secret, receipts={"verify": {"scheme": "token", "secret": "word"}})
    asked = {"id": "a", "state": "OK", "why": "s3cret-w0rd", "much": "x" * 9000}
    (one,) = made.read(reports.notice(asked, url=f"{reports.URL}/s3cret-w0rd")).receipts
    assert "s3cret" not in repr(one)
    assert one.detail == "***"
    assert len(one.raw) == reading.LONGEST_RAW


def test_the_address_that_the_company_is_told() -> None:
    token = {"secret": {"word": "s3cret-w0rd"}, "receipts": {"verify": {"scheme": "token", "secret": "word"}}}
    ask = {"method": "GET", "query": {"cb": "{{ receipt_url }}"}}
    for changes, address in (
        ({"receipt_url": reports.URL, **token}, f"{reports.URL}/s3cret-w0rd"),
        ({"receipt_url": reports.URL + "/"}, reports.URL),
        ({**token}, None),
    ):
        made = reports.provider(**ask, **changes)
        assert made._builder.build(subjects.submission()).url.query.get("cb") == address


def test_a_token_is_asked_for() -> None:
    made = reports.provider(secret={"word": "s3cret-w0rd"}, receipts={"verify": {"scheme": "token", "secret": "word"}})
    asked = {"id": "a", "state": "OK"}
    for url in (f"{reports.URL}/s3cret-w0rd", f"{reports.URL}?token=s3cret-w0rd"):
        assert len(made.read(reports.notice(asked, url=url)).receipts) == 1
    for url in (
        reports.URL,
        f"{reports.URL}/",
        f"{reports.URL}/s3cret-w0r",
        f"{reports.URL}/s3cret-w0rd/x",
        f"{reports.URL}?token=",
        f"{reports.URL}?token=no",
    ):
        with pytest.raises(errors.ReceiptForged):
            made.read(reports.notice(asked, url=url))


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"id": None, "ref": None}, "needs id or ref"),
    ({"verify": {"scheme": "token"}}, "needs `secret`"),
    ({"state": "$.x"}, "no place in form"),
    ({"from": "json", "state": "/x"}, "no place in json"),
    ({"from": "xml", "id": "/a", "ref": None, "state": "state"}, "no XPath"),
    ({"from": "json", "state": "$.["}, "JSONPath"),
    ({"from": "xml", "state": "/["}, "XPath"),
    ({"each": "$[*]"}, "only JSON and XML have items"),
    ({"state": "?"}, "needs a name"),
    ({"state": " "}, "must not be empty"),
    ({"states": {}}, "at least 1"),
    ({"states": {"a": "perhaps"}}, "delivered"),
    ({"acknowledge": {"status": 500}}, "less than or equal to 299"),
    ({"acknowledge": {"type": "text"}}, "pattern"),
    ({"acknowledge": {"type": "text/x\r\nA: b"}}, "pattern"),
    ({"from": []}, "at least 1"),
    ({"method": "PATCH"}, "GET"),
]


@pytest.mark.parametrize(("changes", "says"), MISTAKES)
def test_mistakes_are_found_when_the_settings_are_read(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=says):
        reports.provider(receipts=changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"receipt_url": "ftp://h/"}, "http:// or https://"),
        ({"receipt_url": "https://h/?a=b"}, "without a query"),
        (
            {"receipt_url": reports.URL, "receipts": {"verify": {"scheme": "twilio", "secret": "t"}}},
            r"secret.t is missing: receipts are verified",
        ),
        ({"secret": {"t": "short"}, "receipts": {"verify": {"scheme": "token", "secret": "t"}}}, "8 or more"),
        ({"secret": {"t": "has/slashes+"}, "receipts": {"verify": {"scheme": "token", "secret": "t"}}}, "8 or more"),
    ],
)
def test_mistakes_around_it(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=says):
        reports.provider(**changes)


def test_without_its_secret_and_an_address_it_only_refuses() -> None:
    made = reports.provider(receipts={"verify": {"scheme": "twilio", "secret": "t"}})
    with pytest.raises(errors.ReceiptForged, match=r"secret\.t is missing"):
        made.read(reports.notice({"id": "a", "state": "OK"}))


def test_a_field_in_an_address_that_is_repeated() -> None:
    made = reports.provider(
        receipts={
            **reports.JSON,
            "each": "$[*]",
            "ref": "$.to.url  ?our-ref",
            "verify": {"scheme": "none", "secret": ""},
        }
    )
    tree = [
        {"id": 1, "s": "OK", "to": {"url": "https://h/x?a=b&our-ref=m%2B1#our-ref=m2"}},
        {"id": 2, "s": "OK", "to": {"url": "https://h/x"}},
        {"id": 3, "s": "OK", "to": {"url": ["https://h/x?our-ref=m1"]}},
        {"id": 4, "s": "OK"},
    ]
    report = made.read(reports.notice(json.dumps(tree), kind="application/json", url=f"{reports.URL}?our-ref=m3"))
    assert [(one.provider_id, one.ref) for one in report.receipts] == [("1", "m+1"), ("2", ""), ("3", ""), ("4", "")]
    with pytest.raises(errors.ReceiptError, match="two things of our-ref"):
        made.read(
            reports.notice('[{"id": 1, "s": "OK", "to": {"url": "?our-ref=1&our-ref=2"}}]', kind="application/json")
        )


@pytest.mark.parametrize(
    ("changed", "quick"),
    [
        ({}, True),
        ({"headers": {"x-signature": "," * 1500}}, True),
        ({"headers": {"x-signature": "," * 3000}}, False),
        ({"headers": {f"x-{n}": "y" * 100 for n in range(30)}}, False),
        ({"body": b"x" * 2000}, False),
        ({"url": reports.URL + "?x=" + "y" * 2000}, False),
    ],
)
def test_only_what_is_small_all_in_all_is_read_without_a_thread(changed: dict[str, Any], quick: bool) -> None:
    notice_ = replace(reports.notice({"id": "x1", "state": "OK"}), **changed)
    assert reports.provider().quick(notice_) is quick
