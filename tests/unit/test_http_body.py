"""Bodies of HTTP answers: unpacked within bounds, decoded, and searched by paths that never take for long."""

import gzip
import json
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import http_body

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LIMIT = 64 * 1024
PLAIN = "Zażółć gęślą jaźń".encode()


def raw(body: bytes, *, whole: bool = True, **headers: str) -> http_body.Raw:
    return http_body.Raw(
        status=200,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=body,
        whole=whole,
    )


def deflated(body: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return packer.compress(body) + packer.flush()


# --- unpacking -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("", PLAIN),
        ("identity", PLAIN),
        ("gzip", gzip.compress(PLAIN, mtime=0)),
        ("X-GZip ", gzip.compress(PLAIN, mtime=0)),
        ("deflate", zlib.compress(PLAIN)),
        ("deflate", deflated(PLAIN, -zlib.MAX_WBITS)),  # without zlib's header, as some servers send it
    ],
)
def test_what_is_packed_in_a_known_way_is_unpacked(coding: str, body: bytes) -> None:
    assert http_body.unpacked(raw(body, Content_Encoding=coding), LIMIT) == http_body.Unpacked(body=PLAIN)


@pytest.mark.parametrize(
    ("coding", "body", "whole", "fault"),
    [
        ("", b"x" * 65, True, "longer than 64 bytes"),
        ("", b"x" * 64, False, "longer than 64 bytes"),
        ("gzip", gzip.compress(b"x" * 65, mtime=0), True, "longer than 64 bytes"),
        ("gzip", gzip.compress(b"x" * 60, mtime=0)[:-6], True, "gzip that breaks off"),
        ("gzip", b"", True, "gzip that breaks off"),
        ("gzip", b"plain", True, "not gzip, though it says so"),
        ("gzip", gzip.compress(PLAIN, mtime=0) + b"more", True, "gzip with something behind its end"),
        ("deflate", b"\xff\xff\xff", True, "not deflate, though it says so"),
        ("br", b"x", True, "packed as 'br', which was not asked for"),
        ("b" * 41, b"x", True, f"packed as '{'b' * 40}', which was not asked for"),
        ("gzip", gzip.compress(b"x" * 64, mtime=0), False, "longer than 64 bytes"),
        ("gzip, gzip", b"x", True, "packed as 'gzip, gzip', which was not asked for"),
    ],
)
def test_what_is_not_the_whole_says_why(coding: str, body: bytes, whole: bool, fault: str) -> None:
    found = http_body.unpacked(raw(body, whole=whole, Content_Encoding=coding), 64)
    assert found.fault == fault
    assert len(found.body) <= 64


@pytest.mark.parametrize("coding", ["", "gzip", "deflate"])
def test_a_body_may_be_as_long_as_it_may_be(coding: str) -> None:
    body = b"x" * 64
    packed = {"": body, "gzip": gzip.compress(body), "deflate": zlib.compress(body)}[coding]
    assert http_body.unpacked(raw(packed, Content_Encoding=coding), 64) == http_body.Unpacked(body=body)


def test_a_deflate_that_only_looks_as_if_it_had_a_header() -> None:
    """Its first two octets are a multiple of 31, or say the method 8, not both."""
    bodies = [deflated(bytes([one]) * 3 + PLAIN, -zlib.MAX_WBITS) for one in range(256)]
    bodies += [deflated(PLAIN[:size], -zlib.MAX_WBITS) for size in range(len(PLAIN))]
    for body in bodies:
        found = http_body.unpacked(raw(body, Content_Encoding="deflate"), LIMIT)
        assert (found.body, found.fault) == (zlib.decompress(body, -zlib.MAX_WBITS), "")


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * (50 << 20), mtime=0)
    tracemalloc.start()
    try:
        found = http_body.unpacked(raw(bomb, Content_Encoding="gzip"), LIMIT)
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.fault == "longer than 64KiB"
    assert used < 1 << 20


@given(st.binary(max_size=300), st.sampled_from(["", "gzip", "deflate", "br"]), st.booleans(), st.integers(0, 50))
def test_any_body_is_unpacked_or_says_why(body: bytes, coding: str, whole: bool, most: int) -> None:
    found = http_body.unpacked(raw(body, whole=whole, Content_Encoding=coding), most)
    assert len(found.body) <= most
    assert whole or found.fault


@pytest.mark.parametrize(
    ("count", "shown"),
    [(1, "1 bytes"), (1024, "1KiB"), (1025, "1025 bytes"), (64 << 10, "64KiB"), (1 << 20, "1MiB")],
)
def test_sizes_for_people(count: int, shown: str) -> None:
    assert http_body.size(count) == shown


# --- charsets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("", None),
        ("text/plain", None),
        ("text/plain; charset=utf-8", "utf-8"),
        ('text/plain;charset="UTF-8"', "utf-8"),
        ("text/plain; format=flowed; Charset = 'ISO-8859-2'", "iso8859-2"),
        ("text/plain; charset=windows-1250; x=y", "cp1250"),
        ("text/plain; charset=utf-16le", "utf-16-le"),
        ("text/plain; charset=KOI8-U", "koi8-u"),
        ("text/plain; xcharset=nonsense", None),
    ],
)
def test_charsets(content_type: str, charset: str | None) -> None:
    assert http_body.charset(content_type) == charset


@pytest.mark.parametrize(
    "name", ["klingon", "base64", "hex", "zip", "rot13", "idna", "punycode", "unicode_escape", "undefined", "mbcs", "ś"]
)
def test_what_is_no_charset_is_refused(name: str) -> None:
    with pytest.raises(http_body.Unreadable, match=f"^in the unknown charset '{name}'$"):
        http_body.charset(f"text/plain; charset={name}")


# --- JSON ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("<html>", "not JSON"),
        ('{"a": 1,}', "not JSON"),
        ("9" * 5000, "too many digits"),
        ("[" * 100_000, "nested deeper"),
        ("[" * 51 + "]" * 51, "nested deeper than 50"),
        ('{"a":' * 60 + "1" + "}" * 60, "nested deeper than 50"),
    ],
)
def test_what_is_no_json_says_so(text: str, says: str) -> None:
    with pytest.raises(http_body.Unreadable, match=says):
        http_body.json_tree(text)


def test_what_is_no_json_says_where() -> None:
    for text, says in (
        ('{"a": 1,,}', "not JSON: Expecting property name enclosed in double quotes at character 9"),
        ("", "not JSON: Expecting value at character 1"),
        ("9" * 5000, "not JSON: a number has too many digits"),
    ):
        with pytest.raises(http_body.Unreadable) as caught:
            http_body.json_tree(text)
        assert str(caught.value) == says


def test_as_deep_as_it_may_be() -> None:
    for flat in ("", ",[]" * 60):
        assert http_body.json_tree("[" * 50 + "1" + "]" * 49 + flat + "]")
        with pytest.raises(http_body.Unreadable, match="nested deeper than 50 levels"):
            http_body.json_tree("[" * 51 + "1" + "]" * 50 + flat + "]")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"), (None, "null"), (True, "true"), (5, "5"), (2.5, "2.5"), ({"ż": [1]}, '{"ż": [1]}'),
        (datetime(2026, 3, 1), '"2026-03-01 00:00:00"'),
    ],
)  # fmt: skip
def test_values_as_text(value: object, text: str) -> None:
    assert http_body.shown(value) == text


def test_a_value_that_holds_itself_is_no_text() -> None:
    round_and_round: list[object] = []
    round_and_round.append(round_and_round)
    assert http_body.shown(round_and_round) == ""


def test_brackets_in_texts_are_no_nesting() -> None:
    assert http_body.json_tree(json.dumps(["[{" * 500])) == ["[{" * 500]
    assert http_body.json_tree("[" * 50 + "]" * 50)


def test_halves_of_surrogate_pairs_are_replaced() -> None:
    tree = http_body.json_tree(r'{"\ud800": "a\udfffb", "whole": "\ud83d\ude00", "escaped": "\\ud800"}')
    assert tree == {"\ufffd": "a\ufffdb", "whole": "😀", "escaped": r"\ud800"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_json_comes_back_as_it_was(tree: Any) -> None:
    assert http_body.json_tree(json.dumps(tree)) == tree
    assert http_body.json_tree(json.dumps(tree, ensure_ascii=False)) == tree


# --- JSONPath --------------------------------------------------------------------------------------------------

TREE = {"a": [{"x": 1, "t": "one"}, {"x": 2, "t": "two"}], "b": 2, "c": {"d": "deep"}}


@pytest.mark.parametrize(
    ("path", "found", "single"),
    [
        ("$", [TREE], True),
        ("$.c.d", ["deep"], True),
        ("$['c']['d']", ["deep"], True),
        ("$.a[1].t", ["two"], True),
        ("$.a[-1].t", ["two"], True),
        ("$.a[*].t", ["one", "two"], False),
        ("$..t", ["one", "two"], False),
        ("$.a[?@.x == 2].t", ["two"], False),
        ("$.a[?@.x == $.b].t", ["two"], False),
        ("$.a[?count(@.*) == 2].x", [1, 2], False),
        ("$.nothing", [], True),
        ("$.c.d | $.b", ["deep", 2], False),
        ("^[?@.b == 2].c.d", ["deep"], False),
        ("^[?@.b == 3].c.d", [], False),
    ],
)
def test_paths(path: str, found: list[object], single: bool) -> None:
    compiled = http_body.JsonPath(path)
    assert list(compiled.find(TREE)) == found
    assert compiled.single is single


def test_a_path_keeps_nothing_of_one_answer_for_the_next() -> None:
    path = http_body.JsonPath("$.a[?@.x == $.b].t")
    assert list(path.find(TREE)) == ["two"]
    assert list(path.find({**TREE, "b": 1})) == ["one"]


def test_a_text_is_a_text_and_no_json_to_be_read_again() -> None:
    for text in ('{"a": 5}', "{oops", "[1"):
        assert list(http_body.JsonPath("$").find(text)) == [text]
        assert list(http_body.JsonPath("$.a").find(text)) == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("$.", "JSONPath"),
        ("$.a[", "JSONPath"),
        ("$[?match(@.a, 'x')]", "no time limit"),
        ("$[?@.a =~ /x/]", "no time limit"),
        ("$.a & $.b", "& is not available"),
        ("$[?@" + "(" * 200, "JSONPath"),
        ("$" + ".a" * 300, "longer than 500"),
    ],
)
def test_what_is_no_path_is_refused(path: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        http_body.JsonPath(path)


def _chain(leaf: object) -> object:
    for _ in range(40):
        leaf = {"a": leaf}
    return leaf


@pytest.mark.parametrize(
    ("path", "tree", "says"),
    [
        ("$..*..*..*", _chain([0] * 30_000), "takes too long"),
        ("$..*..nosuch", _chain([0] * 30_000), "takes too long"),
        ("$..a..a..a..a..a", _chain([0] * 30_000), "takes too long"),
        ("$..[?@..x]", _chain([{}] * 15_000), "takes too long"),
        ("$.a[?@ in $.b]", {"a": [0] * 15_000, "b": [1] * 15_000}, "^`in` meets a list of more than 1000$"),
        ("$.a[?$.b contains @]", {"a": [0], "b": [1] * 1_001}, "^`contains` meets a list of more than 1000$"),
    ],
)
def test_a_path_that_would_take_for_ever_is_given_up(path: str, tree: object, says: str) -> None:
    with pytest.raises(http_body.Unreadable, match=says):
        list(http_body.JsonPath(path).find(tree))


def test_a_list_of_so_many_is_searched() -> None:
    tree = {"a": [1, 2], "b": [1] * 1_000}
    for path in ("$.a[?@ in $.b]", "$.a[?$.b contains @]"):
        assert list(http_body.JsonPath(path).find(tree)) == [1]


def test_a_path_is_as_long_as_it_may_be() -> None:
    assert list(http_body.JsonPath("$." + "a" * 498).find({"a" * 498: 1})) == [1]
    for path, says in (
        ("$." + "a" * 499, "is longer than 500 characters"),
        ("$.a & $.b", "is no JSONPath: & is not available"),
    ):
        with pytest.raises(ValueError) as caught:
            http_body.JsonPath(path)
        assert str(caught.value) == says


def test_a_step_costs_what_it_looks_at() -> None:
    """One for each place, and one for each member there: of a list of n numbers, 1 + n, and n times 1."""
    path, most = http_body.JsonPath("$[*]"), (http_body.MOST_STEPS - 1) // 2
    assert len(list(path.find([0] * most))) == most
    with pytest.raises(http_body.Unreadable, match=r"^the path takes too long over it$"):
        list(path.find([0] * (most + 1)))


def test_a_long_key_costs_no_memory() -> None:
    """The library would write it into the path of each node below."""
    tree = {"k" * 100_000: [0] * 5_000}
    path = http_body.JsonPath("$..*..nosuch")
    tracemalloc.start()
    try:
        assert list(path.find(tree)) == []
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert used < 16 << 20


# --- Retry-After -----------------------------------------------------------------------------------------------


def test_retry_after_is_capped_and_a_date_needs_a_clock() -> None:
    date = "Sun, 01 Mar 2026 12:00:30 GMT"
    assert http_body.retry_after("90", NOW, timedelta(seconds=60)) == timedelta(seconds=60)
    assert http_body.retry_after("9", None) == timedelta(seconds=9)
    assert http_body.retry_after(date, NOW) == timedelta(seconds=30)
    assert http_body.retry_after(date, None) is None


@pytest.mark.parametrize(
    ("header", "date"),
    [
        ("Sun, 01 Mar 2026 12:00:00 GMT", NOW),
        ("Sun, 01 Mar 2026 13:00:00 +0100", NOW),
        ("Sun, 01 Mar 2026 12:00:00 -0000", NOW),  # no zone named: UTC
        ("Sun, 01 Mar 2026 12:00:00", NOW),
        ("soon", None),
        ("", None),
    ],
)
def test_dates_of_headers(header: str, date: datetime | None) -> None:
    found = http_body.http_date(header)
    assert found == date
    assert found is None or found.tzinfo is not None


@given(st.text(max_size=60))
def test_retry_after_takes_anything(header: str) -> None:
    found = http_body.retry_after(header, NOW)
    assert found is None or timedelta(0) <= found <= http_body.LONGEST_WAIT


# --- texts -----------------------------------------------------------------------------------------------------


@given(st.text(st.characters(codec=None)))
def test_texts_are_made_encodable(text: str) -> None:
    made = http_body.encodable(text)
    made.encode()
    assert made == text or any("\ud800" <= c <= "\udfff" for c in text)
