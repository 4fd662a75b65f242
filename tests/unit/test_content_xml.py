"""XML answers: what is refused, how they look to templates, and XPath that never takes for long."""

import threading
from xml.etree.ElementTree import Element

import pytest

from agi_sms import http_body, http_xml
from agi_sms.content import xml_tree

ORDER = """
<order id="5" xmlns="urn:shop" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:b="urn:b">
  <!-- nobody reads this --><?nor this?>
  <b:item b:code="7" code="8">A</b:item> <item xsi:type="string">B</item>
  <buyer><name> Jan <![CDATA[<K>]]></name><gone/><kind vip="1"/></buyer>
  <id>six</id> <total>12.50</total>
</order>
"""


# --- parsing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not XML: no element found"),
        ("plain", "not XML: syntax error"),
        ("<a><b></a>", "not XML: mismatched tag: line 1, column 8"),
        ("<a>&nbsp;</a>", "not XML: undefined entity"),
        ("<x:a/>", "not XML: unbound prefix"),
        ("<a/>\0", "not XML"),
        ("<a b='&#xD800;'/>", "not XML"),
        ("<!DOCTYPE a><a/>", "DOCTYPE"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "DOCTYPE"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "DOCTYPE"),
        ("<a>" * 51 + "</a>" * 51, "nested deeper than 50 levels"),
        ("<a>" * 100_000, "nested deeper than 50 levels"),
    ],
)
def test_what_is_no_xml_for_us_says_so(text: str, says: str) -> None:
    with pytest.raises(http_body.Unreadable, match=says):
        http_xml.parse(text)


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        (b"<a/>", None),
        (b'<?xml version="1.0"?><a/>', None),
        (b'<?xml version="1.0" encoding="UTF-8"?><a/>', "utf-8"),
        (b"<?xml version='1.0' encoding='windows-1250' standalone='yes'?><a/>", "cp1250"),
        (b'<?xml version="1.0" encoding="utf-16"?><a/>', None),  # it is not, or this could not be read
        ('<?xml version="1.0"?><a/>'.encode("utf-16-le"), "utf-16-le"),
        ("<a/>".encode("utf-16-be"), "utf-16-be"),
    ],
)
def test_declared_charset(body: bytes, charset: str | None) -> None:
    assert http_xml.declared_charset(body) == charset


# --- for templates ---------------------------------------------------------------------------------------------


def test_fields() -> None:
    assert xml_tree.fields(http_xml.parse(ORDER)) == {
        "id": "six",
        "item": ["A", "B"],
        "buyer": {"name": "Jan <K>", "gone": "", "kind": {"vip": "1"}},
        "total": "12.50",
    }


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("<status>sent</status>", {"status": "sent"}),
        ("<status/>", {"status": ""}),
        ("<status code='1'/>", {"code": "1"}),
        ("<a>mixed<b>1</b>text</a>", {"b": "1"}),
        ("<a><b/><b>2</b><b><c>3</c></b></a>", {"b": ["", "2", {"c": "3"}]}),
        ("<a x:b='1' b='2' xmlns:x='urn:x'/>", {"b": "2"}),
        ("<a b='2' x:b='1' xmlns:x='urn:x'/>", {"b": "2"}),
    ],
)
def test_fields_of_small_answers(text: str, fields: object) -> None:
    assert xml_tree.fields(http_xml.parse(text)) == fields


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<a><b/><message>x</message><message>y</message></a>", "x"),
        ("<message>x</message>", "x"),
        ("<message>x<message>y</message></message>", "y"),
        ("<message>x<b>y</b></message>", "x"),
        ("<a><message/></a>", None),
        ("<a><Message>x</Message></a>", "nothing"),
        ("<a><b><message>x</message></b></a>", "nothing"),
        ("<note>x</note>", "nothing"),
    ],
)
def test_where_the_text_is_if_nobody_says_where(text: str, found: str | None) -> None:
    element = xml_tree.message(http_xml.parse(text))
    assert ("nothing" if element is None else element.text) == found


# --- XPath -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/order/total", "12.50"),
        ("/order/buyer/name", "Jan <K>"),
        ("//name", "Jan <K>"),
        ("buyer/name", None),  # from the document, not from its root
        ("/order/item", "A"),
        ("/order/item[2]", "B"),
        ("/order/item[last()]/text()", "B"),
        ("/order/item[@code='8']", "A"),
        ("/order/*[name()='total']", "12.50"),
        ("/order/@id", "5"),
        ("/order/@nothing", None),
        ("/order/nothing", None),
        ("string(/order/nothing)", ""),
        ("normalize-space(/order/buyer/name)", "Jan <K>"),
        ("concat(/order/item[1], ' i ', /order/item[2])", "A i B"),
        ("count(/order/item)", "2"),
        ("/order/total * 2", "25"),
        ("number(/order/item)", None),  # not a number
        ("/order/id | /order/total", "six"),
        ("/order/item = 'B'", True),
        ("count(/order/item) = 3", False),
    ],
)
def test_xpath(path: str, found: str | bool | None) -> None:
    at = http_xml.XPath(path).find(http_xml.parse(ORDER))
    assert (http_xml.whole_text(at) if isinstance(at, Element) else at) == found


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "is no XPath 1.0"),
        ("/a[", "is no XPath 1.0"),
        ("/soap:Envelope/soap:Body", "prefix 'soap' is not declared; names stand without their namespaces"),
        ("doc('http://evil.example/')", "unknown function"),
        ("/a/$x", "variable"),
        ("id('a')", r"\[@id="),
        ("//a = //b", "compares two lists"),
        ("/x[a = (b)]", "compares two lists"),
        ("/x[a != @*]", "compares two lists"),
        ("/x[text() < ../child::b]", "compares two lists"),
        ("/a" * 300, "longer than 500"),
    ],
)
def test_what_is_no_path_is_refused(path: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        http_xml.XPath(path)


@pytest.mark.parametrize(
    "path", ["/x[a = 'b']", "/x[@a = ../b]", "/x[. = ../b]", "/x[count(a) = count(b)]", "/x[a+1 > b]"]
)
def test_comparing_with_one_thing_is_fine(path: str) -> None:
    assert http_xml.XPath(path).find(http_xml.parse("<a/>")) is None


WIDE = "<r>" + "<a/>" * 16_000 + "</r>"
LONG = "<x>" * 48 + "y" * 60_000 + "</x>" * 48
DEEP = "<x>" * 48 + "<a/>" * 16_000 + "</x>" * 48


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("//a[count(//a) = 1]", WIDE),
        ("//a[count(../a) = 1]", WIDE),
        ("//a[following::a = 'x']", WIDE),
        ("//a[preceding::a = 'x']", WIDE),
        ("//a[following-sibling::a[1] = 'x']", WIDE),
        ("//a[preceding-sibling::a = 'x']", WIDE),
        ("//a[.. = 'x']", WIDE),
        ("//a[/r = 'x']", WIDE),
        ("//a[string(/) = 'x']", WIDE),
        ("//a[. = //a/@b]", WIDE),
        ("//*//*//*", DEEP),
        ("//*[.//*[. = 'x']]", DEEP),
        ("//a[ancestor::x = 'x']", DEEP),
        ("//*[.//*[.//*[translate(., 'a', 'b') = 'x']]]", LONG),
    ],
)
def test_a_path_that_would_take_for_ever_is_given_up(path: str, answer: str) -> None:
    with pytest.raises(http_body.Unreadable, match="takes too long"):
        http_xml.XPath(path).find(http_xml.parse(answer))


def test_a_long_answer_is_searched_through() -> None:
    assert http_xml.XPath("//nothing").find(http_xml.parse(WIDE)) is None
    assert http_xml.XPath("//a[. = 'x']").find(http_xml.parse(WIDE)) is None
    assert isinstance(http_xml.XPath("/r/a[last()]").find(http_xml.parse(WIDE)), Element)


def test_what_a_path_cannot_do_with_this_answer_says_so() -> None:
    with pytest.raises(http_body.Unreadable, match="cannot be applied"):
        http_xml.XPath("/order[item > 5]").find(http_xml.parse(ORDER))


def test_one_path_serves_several_threads() -> None:
    path = http_xml.XPath("/r/a[@n = '7'][last()]")
    found: list[object] = []

    def search(number: int) -> None:
        root = http_xml.parse("<r>" + f"<a n='7'>{number}</a>" * 300 + "</r>")
        for _ in range(5):
            at = path.find(root)
            found.append(http_xml.whole_text(at) == str(number) if isinstance(at, Element) else at)

    threads = [threading.Thread(target=search, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 40
