"""A provider's echo of an SMS must not be noted, whatever it was encoded as."""

import html
import json
import re
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import echoes
from agi_sms.providers import http_mask

TEXT = 'Zażółć & "gęślą" <jaźń>:\nkod 12+34 = 50% \\o/ 😀 https://a.example/?q=1'


def _numeric(text: str) -> str:
    return "".join(f"&#{ord(c)};" if ord(c) > 127 or c in "&<>\"'" else c for c in text)


FORMS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "json": lambda text: json.dumps(text)[1:-1],
    "json, not ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json, as PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json, as .NET": lambda text: re.sub(
        r"\\u[0-9a-f]{4}",
        lambda found: "\\u" + found[0][2:].upper(),
        json.dumps(text)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c").replace("+", "\\u002b"),
    ),
    "percent": lambda text: urllib.parse.quote(text, safe=""),
    "percent, small": lambda text: re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(text)),
    "form": urllib.parse.quote_plus,
    "html": html.escape,
    "html, numbers": _numeric,
    "another line end": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("outer", sorted(FORMS))
@pytest.mark.parametrize("inner", sorted(FORMS))
def test_every_form_is_hidden(inner: str, outer: str) -> None:
    echo = FORMS[outer](FORMS[inner](TEXT))
    assert http_mask.TextMask(TEXT)(f"error 7: <{echo}> refused") == "error 7: <***> refused"


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_text_that_is_cut_off_is_hidden(form: str) -> None:
    echo = FORMS[form](TEXT)[:130]
    left = http_mask.TextMask(TEXT)(f'{{"text":"{echo}')
    assert "***" in left
    assert "12" not in left
    assert len(left) < 30


def test_every_echo_is_hidden_and_nothing_else() -> None:
    mask = http_mask.TextMask("Your code is 4711")
    said = "no credit; Your code is 4711; Your+code+is+4711; your balance is 4711"
    assert mask(said) == "no credit; ***; ***; your balance is 4711"
    assert mask("") == ""
    assert http_mask.TextMask("")("anything") == "anything"
    assert http_mask.TextMask(" \n")("any thing") == "any thing"


def test_a_very_short_text_is_hidden_as_a_word_only() -> None:
    assert http_mask.TextMask("OK")("OK: BOOKED, text=OK") == "***: BOOKED, text=***"


@given(text=st.text(min_size=1, max_size=40), form=st.sampled_from(sorted(FORMS)))
def test_whatever_the_text_its_echo_is_not_in_what_is_left(text: str, form: str) -> None:
    try:
        echo = FORMS[form](text)
    except UnicodeEncodeError:
        return  # cannot be sent either
    bare = re.sub(r"[\s+]", "", text)
    left = http_mask.TextMask(text)(f"<{echo}>")
    if len(bare) >= 4:
        assert "***" in left
        assert bare not in re.sub(r"[\s+]", "", left)


@given(text=st.text(max_size=40), answer=st.text(max_size=200))
def test_whatever_comes_it_does_not_fail(text: str, answer: str) -> None:
    http_mask.TextMask(text)(answer)


SHORT = st.text("ab +%&", max_size=60)


@given(text=SHORT, before=SHORT, after=SHORT, start=st.integers(0, 60), end=st.integers(0, 60))
def test_the_short_look_at_an_answer_sees_what_the_whole_search_finds(
    text: str, before: str, after: str, start: int, end: int
) -> None:
    answer = before + text[start:end] + after
    assert http_mask.TextMask(text)(answer) == http_mask.TextMask(text).searched(answer)


# --- how an escape is undone, and where it stood ------------------------------------------------------------------


def whole(text: str) -> echoes.Layer:
    return next(echoes.layers(text))


@pytest.mark.parametrize(
    ("escaped", "char"),
    [
        ("\\u0105", "ą"), ("\\u010F", "ď"), ("\\ud83d\\ude00", "😀"), ("\\uD83D\\uDE00", "😀"),
        ("\\ud83d", "\ud83d"), ("\\b", "\b"), ("\\f", "\f"), ("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t"), ('\\"', '"'),
        ("\\\\", "\\"), ("\\/", "/"), ("&amp;", "&"), ("&lt;", "<"), ("&#261;", "ą"), ("&#x105;", "ą"),
        ("&#X105;", "ą"),
        ("&#1114111;", "\U0010ffff"), ("&#1114112;", "&#1114112;"), ("&#x110000;", "&#x110000;"),
        ("&nosuch;", "&nosuch;"),
        ("%41", "A"), ("%c4%85", "ą"), ("%C4%85", "ą"), ("%e2%82%ac", "€"), ("%F0%9F%98%80", "😀"),
    ],
)  # fmt: skip
def test_one_escape_is_undone_and_known_by_its_place(escaped: str, char: str) -> None:
    layer = whole(f"<{escaped}|{escaped}>").decoded()
    assert layer.text == f"<{char}|{char}>"
    first, second = (1, 1 + len(escaped)), (2 + len(escaped), 2 + 2 * len(escaped))
    many = len(char)
    if char != escaped:
        assert layer.starts == [0, *[first[0]] * many, first[1], *[second[0]] * many, second[1]]
        assert layer.ends == [1, *[first[1]] * many, first[1] + 1, *[second[1]] * many, second[1] + 1]
    assert echoes.encoded(escaped)


@pytest.mark.parametrize("plain", ["", "a", "%", "%4", "%zz", "%80", "&", "&amp", "&#;", "\\x41", "\\u12", "50% a;"])
def test_what_is_no_escape_stays(plain: str) -> None:
    assert not echoes.encoded(plain)
    assert [layer.text for layer in echoes.layers(plain)] == [plain]
    assert whole(plain).decoded() == whole(plain)


def test_four_layers_are_undone_and_no_more() -> None:
    found = list(echoes.layers("x%25252525253Cy"))
    assert [layer.text for layer in found] == [
        "x%25252525253Cy", "x%252525253Cy", "x%2525253Cy", "x%25253Cy", "x%253Cy",
    ]  # fmt: skip
    assert [(layer.starts[1], layer.ends[1]) for layer in found] == [(1, 2), (1, 4), (1, 6), (1, 8), (1, 10)]
    last = found[-1]
    assert (last.starts, last.ends) == ([0, 1, 10, 11, 12, 13, 14], [1, 10, 11, 12, 13, 14, 15])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a%", "a"), ("a%4", "a"), ("a%41", "a%41"), ("a\\", "a"), ("a\\u", "a"), ("a\\u010", "a"),
        ("a\\u0105", "a\\u0105"),
        ("a&", "a"), ("a&#2", "a"), ("a&amp", "a"), ("a&amp;", "a&amp;"), ("a% b", "a% b"),
    ],
)  # fmt: skip
def test_an_escape_that_was_cut_off_is_no_part_of_the_text(text: str, left: str) -> None:
    assert whole(text).whole() == left


def test_spaces_and_what_stands_for_them_do_not_count() -> None:
    bare = whole(" a+\tb\u00a0c ").bare()
    assert (bare.text, bare.starts, bare.ends) == ("abc", [1, 4, 6], [2, 5, 7])


@pytest.mark.parametrize(
    ("spans", "shown"),
    [
        ([], "abcdef"), ([(0, 6)], "***"), ([(1, 2)], "a***cdef"), ([(4, 5), (1, 2)], "a***cd***f"),
        ([(1, 3), (3, 5)], "a***f"), ([(1, 5), (2, 3)], "a***f"), ([(0, 1), (2, 3)], "***b***def"),
        ([(5, 6)], "abcde***"),
        ([(1, 3), (2, 5)], "a***f"), ([(0, 0)], "***abcdef"),
    ],
)  # fmt: skip
def test_stars_for_what_was_found(spans: list[tuple[int, int]], shown: str) -> None:
    assert echoes.starred("abcdef", spans) == shown
