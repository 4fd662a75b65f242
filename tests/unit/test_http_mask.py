"""A provider's echo of an SMS must not be noted, whatever it was encoded as."""

import html
import json
import re
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
