"""What machines read of strangers' words: a terminal must not act on it, nor a spreadsheet."""

import contextvars
import csv
import io
import json
import zoneinfo
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import harmless, message, plain

HOSTILE = "\x1b]0;x\x07\x1b[31m\x9b31m\u202egnp\u2066\u2028x\u00ad\x7f\U000e0041"


def cell(text: str) -> str:
    [row] = csv.DictReader(io.StringIO(plain.as_csv(["a"], [{"a": text}])))
    return row["a"]


@pytest.mark.parametrize("text", ["=1+1", "-cmd", "@x", "+48 600", "\uff1d1", "\uff20x", "'=1", '"=1"', " =1"])
def test_a_cell_that_would_be_a_formula_is_none(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("gap", [";", "\t", "\n", ";;", "\n\n", "; ", ';"', "\r\n"])
@pytest.mark.parametrize("sign", list("=+-@\uff1d\uff0b\uff0d\uff20"))
def test_a_formula_behind_what_divides_cells_elsewhere_is_none(gap: str, sign: str) -> None:
    """Excel of a region that divides by semicolons minds no quotation mark within a line."""
    found = cell(f"a{gap}{sign}1+1")
    for divider in (";", "\t", "\n"):
        assert not any(part.lstrip(" \"'").startswith(sign) and "'" not in part for part in found.split(divider))
    assert found.replace("'", "") == f"a{gap}{sign}1+1".replace("\r", " ")


@pytest.mark.parametrize("text", ["+48600100200", "-5", "a-b", "2026-11-23", "e-mail: a@b.example", "x = 1", "a;b"])
def test_other_cells_stay(text: str) -> None:
    assert cell(text) == text


def test_nothing_that_a_terminal_acts_on() -> None:
    for found in (plain.as_csv(["a"], [{"a": HOSTILE}]), plain.as_json([HOSTILE])):
        assert not any(harmless.hidden(char) for char in found if char != "\n")
    assert json.loads(plain.as_json([HOSTILE])) == [HOSTILE]
    assert "\\x1b]0;x" in cell(HOSTILE)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_json_says_what_was_there(tree: object) -> None:
    assert json.loads(plain.as_json(tree)) == tree


@pytest.mark.parametrize(
    ("code", "detail", "told"),
    [
        ("", "", ""), ("30", "", "30"), ("", "no credit", "no credit"), ("30", "no credit", "30 no credit"),
        ("0x0b", "no credit", "0x0b: no credit"), ("30", "30 no credit", "30 no credit"),
        ("30", "error 30: no credit", "error 30: no credit"),
        ("30", "an error: 30, no credit", "an error: 30, no credit"), ("30", "an error is: 30", "30 an error is: 30"),
        ("Bad", "it is BAD", "it is BAD"), ("30", "error 301", "30 error 301"), ("30", "(30)", "30 (30)"),
    ],
)  # fmt: skip
def test_what_the_other_side_said_has_its_code_once(code: str, detail: str, told: str) -> None:
    assert plain.said(code, detail) == told


def test_times_in_the_zone_that_is_shown() -> None:
    at = datetime(2026, 7, 1, 22, 30, 15, 7_900, tzinfo=UTC)

    def shown() -> None:
        plain.show_times_of(zoneinfo.ZoneInfo("Europe/Warsaw"))
        assert plain.zone() == "Europe/Warsaw"
        assert plain.local(at) == "2026-07-02 00:30:15"
        assert plain.local(at, precise=True) == "2026-07-02 00:30:15.007"
        assert plain.local(None) == ""
        plain.show_times_of(None)
        assert plain.zone() == str(datetime.now().astimezone().tzname())
        assert plain.local(at) == at.astimezone().strftime("%Y-%m-%d %H:%M:%S")

    contextvars.copy_context().run(shown)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (None, ""),
        ("a\rb", "a b"),
        ("a\nb\tc", "a\nb\tc"),
        ("a\x1b", "a\\x1b"),
    ],
)
def test_cells(value: object, written: str) -> None:
    assert plain._cell(value) == (value if value in (5, None) else written)
    text = plain.as_csv(["a", "b"], [{"a": value, "b": "x"}])
    assert list(csv.reader(io.StringIO(text))) == [["a", "b"], [written, "x"]]
    assert text.startswith("a,b\n")
    assert "\r" not in text


def test_json_is_for_people_too() -> None:
    assert plain.as_json({"ż": ["\u202e"]}) == '{\n  "ż": [\n    "\\u202e"\n  ]\n}'
    assert plain.safe("a\nb\x1b[31mż") == "a\nb\\x1b[31mż"


@pytest.mark.parametrize(
    ("text", "keep", "shown"),
    [
        ("a\nb", "", "a\\x0ab"), ("a\nb", "\n", "a\nb"), ("\x1b\u202e\U000e0041", "", "\\x1b\\u202e\\U000e0041"),
        ("\xff\x7f", "", "\xff\\x7f"), ("\xad", "", "\\xad"), ("\u0600", "", "\\u0600"), ("\uffff", "", "\\uffff"),
        ("\u200d", "", "\u200d"), ("\u2028\u2029", "", "\\u2028\\u2029"), ("\ud800", "", "\\ud800"),
        ("\u3000", "", "\u3000"),
        ("\U0010ffff", "", "\\U0010ffff"), ("\U000f0000", "", "\\U000f0000"), ("\x00", "", "\\x00"),
    ],
)  # fmt: skip
def test_what_shows_nothing_of_itself_is_written_out(text: str, keep: str, shown: str) -> None:
    assert harmless.harmless(text, keep=keep) == shown


@pytest.mark.parametrize(
    ("code", "written"),
    [(0, r"\x00"), (0xFF, r"\xff"), (0x100, r"\u0100"), (0xFFFF, r"\uffff"), (0x10000, r"\U00010000")],
)
def test_how_a_character_is_written_out(code: int, written: str) -> None:
    assert harmless.escaped(chr(code)) == written


@pytest.mark.parametrize(
    ("text", "most", "line"),
    [
        ("a  b\n c", 10, "a b c"), ("x" * 10, 10, "x" * 10), ("x" * 11, 10, "x" * 9 + "…"), ("", 10, ""),
        ("\x1b" * 3, 10, "\\x1b\\x1b\\…"), (" " * 39 + "x", 10, "x"), (" " * 40 + "x", 10, ""),
    ],
)  # fmt: skip
def test_one_line_of_so_many_characters(text: str, most: int, line: str) -> None:
    assert harmless.clipped(text, most) == line
    assert len(harmless.clipped("x" * 5_000)) == message.LONGEST_DETAIL
