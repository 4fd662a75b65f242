"""What a profile, or whoever may write one, cannot make the gateway do for ever: expressions, filters, files."""

import contextlib
import os
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import config, errors
from agi_sms.config_files import Reader
from agi_sms.config_mistakes import Mistakes
from agi_sms.providers import http_answer, templates


@pytest.mark.parametrize(
    "pattern",
    ["(?:abc){1000000000}", "(?:(?:a{100}){100}){100}", "a{0,99999}", "(x{5000}){3}", "a{ 20000 }", "[)(]{10001}"],
)
def test_an_expression_that_is_long_when_compiled_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="more than 10000 places"):
        http_answer._pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        r"^id:([A-Za-z0-9_-]{1,64})\b",
        r"(?:[({]{1,3}){1,100}",
        r"\{1000000\}",
        r"[]{1000000}]x",
        "",
    ],
)
def test_usual_expressions_pass(pattern: str) -> None:
    assert http_answer._pattern(pattern) == pattern


def test_a_long_expression_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 1000"):
        http_answer._pattern("a" * 1001)


@given(st.text(alphabet="(){}[]\\,^?*+ab019", max_size=40))
def test_whatever_is_written_is_compiled_or_refused(pattern: str) -> None:
    with contextlib.suppress(ValueError):
        assert http_answer._pattern(pattern) == pattern


# --- templates --------------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {"text": "a" * 39_000, "to": "+48600100200"}


@pytest.mark.parametrize(
    "source",
    [
        "{{ text|utf16hex|utf16hex|utf16hex }}",
        "{{ text|urlencode|replace('a', 'bbbbbbbbbb') }}",
        "{{ text|replace('', 'xxxxxxxx') }}",
    ],
)
def test_filters_upon_filters_end_in_an_error(source: str) -> None:
    with pytest.raises(errors.TextError, match="longer than"):
        templates.Template(source).render(VALUES)


def test_the_longest_sms_passes_each_filter() -> None:
    longest = {"text": "ż" * 255 * 67}
    for name in ("utf16hex", "urlencode", "digits", "lower", "no_plus", "trim", "upper", "replace('ż', 'z')"):
        templates.Template("{{ text|" + name + " }}").render(longest)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ text|trim|lower|upper|trim }}", "more than 3 filters"),
        ("{{ (text|trim|lower) ~ (text|upper|trim) }}", ""),
        ("{{ text }}" * 1000, "longer than 8192"),
        ("{{ " + "(" * 2000 + "text" + ")" * 2000 + " }}", "nested too deeply"),
        ("{{ " + "not " * 1500 + "unicode }}", "nested too deeply"),
    ],
)
def test_what_a_template_may_be(source: str, words: str) -> None:
    if not words:
        assert templates.Template(source).render({"text": " aB "}) == "abAB"
        return
    with pytest.raises(errors.TextError, match=words):
        templates.Template(source)


# --- files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "nodes.d", "templates.d", "profiles.d"])
def test_a_pipe_in_place_of_a_file_is_named_and_keeps_nobody_waiting(tmp_path: Path, folder: str) -> None:
    main = tmp_path / "agi-sms.yaml"
    main.write_text("nodes: {a: {send_to_caller: true, content: {template: pipe}}}\n" if folder else "", "utf-8")
    if folder == "profiles.d":
        main.write_text("providers: {a: {type: http, profile: pipe}}\n", "utf-8")
    path = main
    if folder:
        path = tmp_path / folder / ("pipe.txt" if folder == "templates.d" else "pipe.yaml")
        path.parent.mkdir()
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(errors.ConfigError) as caught:
        config.load(main, {})
    assert any("is no plain file" in line and str(path) in line for line in caught.value.mistakes), caught.value


def test_a_device_is_no_file_either() -> None:
    mistakes = Mistakes()
    assert Reader({}, mistakes).text(Path("/dev/zero"), 10) is None
    assert mistakes.texts() == ("/dev/zero: is no plain file, but a folder, a pipe or a device",)


def test_a_mistake_in_a_pattern_is_a_mistake_of_its_key() -> None:
    with pytest.raises(pydantic.ValidationError, match="more than 10000 places"):
        http_answer.Answer.model_validate({"id": "(?:abc){1000000000}"})
