"""Why a message waits, and why its receipt is overdue, as it is told."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agi_sms import message, plain, ports, rates, show_why
from agi_sms.message import Status
from tests.unit.test_show import FUTURE, NOW, attempted, explain, make_message, make_story

LATER = NOW + timedelta(minutes=1)
WAITS = make_message(status=Status.SCHEDULED, due_at=NOW, provider="first")


def facts(**changed: Any) -> show_why.Facts:
    values: dict[str, Any] = {
        **{"provider": "first", "known": True, "traffic": ports.Traffic(), "runs": True, "left_alone": {}},
        **{"places": 10, **changed},
    }
    return show_why.Facts(**values)


LIMIT = {"rate": rates.Rate(most=20, window=timedelta(hours=1)), "traffic": ports.Traffic(begun=20, room_at=FUTURE)}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "for a free place with first (concurrency: 10)"),
        (LIMIT, f"first is at its limit: 20 of 20 in 1h, until {plain.local(FUTURE)}"),
        ({**LIMIT, "traffic": ports.Traffic(begun=19)}, "for a free place with first (concurrency: 10)"),
        ({"left_alone": {"first": FUTURE}}, f"first is left alone after faults, until {plain.local(FUTURE)}"),
        ({"left_alone": {"second": FUTURE}}, "for a free place with first (concurrency: 10)"),
        ({"runs": False}, "for the gateway, which does not run: agi-sms run"),
        ({"known": False}, "the configuration has no provider first"),
        ({"known": False, "provider": ""}, ""),
        ({"places": None}, "for a free place with first"),
        ({**LIMIT, "traffic": ports.Traffic(begun=20)}, "first is at its limit: 20 of 20 in 1h"),
        (
            {"left_alone": {"first": LATER}},
            "first is left alone after faults, but for one message now and then, to see whether it answers",
        ),
    ],
)
def test_why_a_message_waits(changed: dict[str, Any], told: str) -> None:
    assert show_why.waiting(WAITS, facts(**changed), LATER) == told


def test_a_message_that_is_not_due_waits_for_a_provider_that_is_left_alone() -> None:
    alone = facts(left_alone={"first": FUTURE})
    assert show_why.waiting(replace(WAITS, due_at=LATER), alone, NOW).endswith(f"until {plain.local(FUTURE)}")
    assert show_why.waiting(replace(WAITS, due_at=NOW), facts(), NOW).startswith("for a free place")


def test_what_does_not_wait_needs_no_reason() -> None:
    assert show_why.waiting(make_message(status=Status.ACCEPTED), facts(), LATER) == ""
    assert show_why.waiting(replace(WAITS, due_at=FUTURE), facts(**LIMIT), NOW) == ""


def test_why_a_receipt_is_overdue() -> None:
    late = make_message(status=Status.ACCEPTED, receipt_due_at=NOW, provider="first")
    found = list(show_why.receipts(late, facts(address="https://x/receipts/first", traffic=ports.Traffic()), LATER))
    assert found[0] == "the company is told to send it to https://x/receipts/first"
    assert found[1] == "the last receipt of first: none has ever come"
    assert found[2] == "what was refused (no good signature, not readable) is in the gateway's log"
    assert len(found) == 3
    known = facts(address="", traffic=ports.Traffic(unmatched=2, last_receipt_at=NOW))
    found = list(show_why.receipts(late, known, LATER))
    assert found[0].startswith("the company is told no address: receipts.listen and receipts.public_url")
    assert found[1] == f"the last receipt of first: {plain.local(NOW)}"
    assert found[2].startswith("2 receipts of first fit no message")
    assert next(show_why.receipts(late, facts(), LATER)).startswith("the last receipt")  # by its own connection
    assert list(show_why.receipts(replace(late, receipt_due_at=FUTURE), facts(), NOW)) == []


def test_why_a_receipt_that_is_asked_for_is_overdue() -> None:
    late = make_message(status=Status.ACCEPTED, receipt_due_at=NOW, provider="first")
    asked = list(show_why.receipts(late, facts(every=timedelta(minutes=5)), LATER))
    assert asked[0] == "the company is asked every 5m, ever less often as messages age"
    assert asked[-1] == "what was not answered, and why, is in the gateway's log"


@pytest.mark.parametrize(
    ("providers", "passed"),
    [
        (["a", "b"], [(), ()]),
        (["b"], [("a",)]),
        (["c", "b"], [("a", "b"), ("a",)]),
        (["a", "c"], [(), ("b",)]),
        (["a", "a"], [(), ()]),
        (["b", "c"], [("a",), ()]),
        (["c", "c"], [("a", "b"), ("a", "b")]),
    ],
)
def test_who_was_passed_over(providers: list[str], passed: list[tuple[str, ...]]) -> None:
    attempts = tuple(attempted(id=f"t{at}", n=at, provider=name) for at, name in enumerate(providers))
    story = make_story(make_message(route=("a", "b", "c")), attempts=attempts)
    assert list(show_why.passed_over(story).values()) == passed


def test_an_attempt_outside_the_route_passes_nobody_over_and_begins_it_anew() -> None:
    attempts = tuple(attempted(id=f"t{at}", n=at, provider=name) for at, name in enumerate(("a", "gone", "b")))
    story = make_story(make_message(route=("a", "b", "c")), attempts=attempts)
    assert show_why.passed_over(story) == {"t0": (), "t2": ("a",)}


def test_two_bad_arguments_are_both_named() -> None:
    story = make_story(make_message(reason=message.Reason.BAD_ARGUMENT))
    found = show_why.bad_arguments(replace(story.visit, sender="MuchTooLongName", delay="soon"))
    assert found.startswith("delay=soon from the dialplan: ")
    assert "; sender=MuchTooLongName from the dialplan: " in found


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"delay": "soon"}, ["delay=soon from the dialplan: ", "is not a duration"]),
        ({"sender": "MuchTooLongName"}, ["sender=MuchTooLongName from the dialplan: ", "15 characters"]),
        ({"sender": "TeleShop", "delay": "5m"}, []),
    ],
)
def test_which_argument_was_bad(asked: dict[str, str], told: list[str]) -> None:
    story = make_story(make_message(reason=message.Reason.BAD_ARGUMENT))
    visit = replace(story.visit, sender=asked.get("sender"), delay=asked.get("delay"))
    found = show_why.bad_arguments(visit)
    assert all(part in found for part in told)
    assert bool(found) is bool(told)


def test_when_it_was_due_first_and_when_it_is_tried_next() -> None:
    again = make_message(status=Status.SCHEDULED, first_due_at=NOW, due_at=LATER, attempts=1)
    told = explain(make_story(again))
    assert f"due       {plain.local(NOW)}, not after" in told
    assert f"next try  {plain.local(LATER)}" in told
    assert "next try" not in explain(make_story(replace(again, attempts=0, due_at=NOW)))
    doubt = explain(make_story(replace(again, status=Status.UNCERTAIN)))
    assert f"decided   {plain.local(LATER)}, where no receipt says before" in doubt


def test_a_test_message_has_no_revision() -> None:
    assert "revision" not in explain(replace(make_story(make_message()), node_revision=""))


def test_who_was_passed_over_stands_before_the_attempt() -> None:
    attempt = attempted(provider="second")
    told = explain(make_story(make_message(route=("first", "second")), attempts=(attempt,))).splitlines()
    at = next(at for at, line in enumerate(told) if "passed over: first (" in line)
    assert "second" in told[at + 1]
