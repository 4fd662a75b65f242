"""Regular expressions of the operator's over answers of the provider's: no answer makes them take for ever."""

import time
from datetime import UTC, datetime
from typing import Any

import pydantic
import pytest

from agi_sms import http_body, message
from agi_sms.providers import http_answer

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EVIL = r"(a|aa)+$"
TRAP = "a" * 60 + "b"


def read(answer: dict[str, Any], status: int, body: str) -> message.Outcome:
    reader = http_answer.Reader(http_answer.Answer.model_validate(answer), lambda text: text)
    return reader.read(http_body.Raw(status=status, headers={}, body=body.encode()), NOW)


@pytest.mark.parametrize(
    "answer",
    [
        {"rules": [{"path": EVIL, "then": "accept"}]},
        {"rules": [{"path": "$.a", "matches": EVIL, "then": "reject"}]},
        {"rules": [{"path": "$.list[*]", "matches": EVIL, "then": "accept"}] * 20},
    ],
    ids=["path", "matches", "many"],
)
def test_a_trap_makes_the_answer_unreadable_and_the_message_uncertain(answer: dict[str, Any]) -> None:
    body = TRAP
    if answer["rules"][0]["path"].startswith("$"):
        body = f'{{"a": "{TRAP}", "list": [{",".join([chr(34) + TRAP + chr(34)] * 100)}]}}'
    began = time.thread_time()
    outcome = read(answer, 200, body)
    assert time.thread_time() - began < 5  # of computing; without a limit: minutes
    assert type(outcome) is message.Uncertain
    assert "a regular expression took too long" in outcome.detail


def test_the_classic_trap_is_none() -> None:
    """The standard library's engine takes minutes for it."""
    pattern, text = r"(\w+\s?)+;$", "a" * 26 + "!;"
    began = time.thread_time()
    assert type(read({"rules": [{"path": pattern, "then": "accept"}]}, 200, text)) is message.Uncertain
    assert time.thread_time() - began < 5


def test_a_trap_in_what_is_only_noted_leaves_the_meaning() -> None:
    answer = {"code": EVIL, "detail": EVIL}
    assert type(read(answer, 200, TRAP)) is message.Accepted
    assert type(read({"id": EVIL}, 200, TRAP)) is message.Uncertain  # no id, as in any answer without one


@pytest.mark.parametrize(
    "path",
    ["$[?match(@.a, '(a+)+;')]", "$[?search(@.a, '(a+)+;')]", "$[?@.a =~ /(a+)+;/]"],
    ids=["match", "search", "=~"],
)
def test_paths_cannot_hold_regular_expressions(path: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="no time limit; write `matches`"):
        http_answer.Answer.model_validate({"id": path})


@pytest.mark.parametrize("wrong", ["(", "a{2,1}", "[z-a]", "(?P<a"])
def test_what_is_no_regular_expression_is_refused(wrong: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="is no regular expression"):
        http_answer.Answer.model_validate({"rules": [{"path": "$.a", "matches": wrong, "then": "accept"}]})
    with pytest.raises(pydantic.ValidationError, match="is no regular expression"):
        http_answer.Answer.model_validate({"id": wrong})
