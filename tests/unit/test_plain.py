"""What machines read of strangers' words: a terminal must not act on it, nor a spreadsheet."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import harmless, plain

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
