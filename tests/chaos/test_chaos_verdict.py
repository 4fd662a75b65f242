"""The judge of chaos sees what is lost, doubled, stuck, late or told wrongly, and excuses only what it may."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from tests.chaos import lists, verdict, windows

T0 = 1_800_000_000.0
SERVED = windows.Windows([windows.Window(begin=T0 - 10, end=T0 + 100)])
AWAY = windows.Windows([])


def made(**more: Any) -> lists.Made:
    usual = {"call": "1-a", "number": "7100", "at": T0 - 0.01, "until": T0 + 0.05, "status": 486, "stays": True}
    return lists.Made(**{**usual, **more})


def visit(**more: Any) -> lists.Visit:
    usual = {
        "mark": "1-a~7.1",
        "call": "1-a",
        "run": "1-a~7",
        "node": "idempotent",
        "entered": T0,
        "went_on": T0 + 0.01,
    }
    return lists.Visit(**{**usual, "status": "SCHEDULED", **more})


def row(**more: Any) -> lists.Row:
    usual = {"id": "m1", "mark": "1-a~7.1", "node": "idempotent", "status": "accepted", "reason": None}
    return lists.Row(**{**usual, **more})


def asked(**more: Any) -> lists.Asked:
    usual = {"at": T0 + 1, "door": "idempotent", "ref": "m1", "mark": "1-a~7.1", "fate": "accept", "taken": True}
    return lists.Asked(**{**usual, **more})


RIGHT = lists.Lists(
    made=(made(),),
    visits=(visit(),),
    ended={"1-a~7": T0 + 0.02},
    recorded={"1-a~7": "Hangup"},
    rows=(row(),),
    asked=(asked(),),
    outcomes={"m1": ("accepted",)},
)


def happened(name: str, began: float, ended: float) -> windows.Happened:
    return windows.Happened(name=name, began=began, struck=began + 0.1, ended=ended)


def judged(
    *happened: windows.Happened, serving: windows.Windows = SERVED, allowance_ms: float = 1000.0, **changed: Any
) -> verdict.Verdict:
    around = verdict.Circumstances(happened=happened, serving=serving, allowance_ms=allowance_ms)
    return verdict.judge(dataclasses.replace(RIGHT, **changed), around)


def kinds(judgement: verdict.Verdict) -> list[str]:
    return sorted({one.what for one in judgement.findings})


def test_nothing_is_wrong() -> None:
    judgement = judged()
    assert judgement.findings == []
    assert judgement.counts["visits"] == judgement.counts["messages accepted"] == 1
    assert judgement.held == pytest.approx([10.0], abs=0.1)
    assert judgement.waited == []


TWICE = {"m1": ("uncertain", "accepted")}
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "lost": ({"rows": (), "asked": ()}, ["lost"]),
    "lost, by a call that the gateway missed": (
        {"rows": (), "asked": (), "visits": (visit(status="MISSED"),)},
        ["lost"],
    ),
    "the provider knows, the history does not": ({"rows": ()}, ["lost", "the provider has what the history has not"]),
    "lost by who hung up inside": (
        {
            "rows": (),
            "asked": (),
            "visits": (visit(went_on=None, status="", hung_up=T0 + 1),),
            "made": (made(stays=False),),
        },
        ["lost"],
    ),
    "lost in the first lines": (
        {
            "rows": (),
            "asked": (),
            "visits": (visit(went_on=None, status="", hung_up=T0 + 0.001, named=False),),
            "made": (made(stays=False),),
        },
        ["lost: the caller left in the subroutine's first lines"],
    ),
    "a visit stored twice": (
        {"rows": (row(), row(id="m2")), "asked": (asked(), asked(ref="m2", taken=False))},
        ["a visit is there twice"],
    ),
    "stored twice and sent twice": (
        {"rows": (row(), row(id="m2")), "asked": (asked(), asked(ref="m2"))},
        ["a visit is there twice", "doubled"],
    ),
    "doubled, though the provider dedupes": ({"asked": (asked(), asked()), "outcomes": TWICE}, ["doubled"]),
    "doubled, though a person was to decide": (
        {"rows": (row(node="hold"),), "asked": (asked(), asked()), "outcomes": TWICE},
        ["doubled"],
    ),
    "doubled without a doubt": (
        {"rows": (row(node="resend"),), "asked": (asked(), asked()), "outcomes": {"m1": ("retry", "accepted")}},
        ["doubled without having been in doubt"],
    ),
    "tripled with one doubt": (
        {"rows": (row(node="resend"),), "asked": (asked(), asked(), asked()), "outcomes": TWICE},
        ["doubled without having been in doubt"],
    ),
    "accepted by nobody": ({"asked": ()}, ["accepted, and the provider has it not"]),
    "went out, said to be expired": (
        {"rows": (row(node="brief", status="expired", reason="too_old"),)},
        ["went out, and the history says that it did not"],
    ),
    "expired long before its time": (
        {"rows": (row(status="expired", reason="too_old"),), "asked": ()},
        ["expired without a reason to"],
    ),
    "sent when it was too old": (
        {"rows": (row(node="brief"),), "asked": (asked(at=T0 + 8),)},
        ["sent when it was too old"],
    ),
    "failed": ({"rows": (row(status="failed", reason="gave_up"),), "asked": ()}, ["failed without a reason to"]),
    "skipped": ({"rows": (row(status="skipped", reason="capped"),), "asked": ()}, ["skipped without a reason to"]),
    "held for nothing": (
        {"rows": (row(status="held", reason="unanswered"),), "asked": (), "outcomes": {"m1": ("retry",)}},
        ["held without a doubt"],
    ),
    "still on its way": ({"rows": (row(status="scheduled"),), "asked": ()}, ["not settled at the end"]),
    "a message from nowhere": (
        {"rows": (row(), row(id="m2", mark="9-z.1", status="expired", node="brief"))},
        ["a message of a visit that there was not"],
    ),
    "stuck in the node": (
        {"visits": (visit(went_on=None, status=""),), "ended": {}},
        ["a call did not go on", "a visit never came back"],
    ),
    "sent away in the node": (
        {"visits": (visit(went_on=None, status="", hung_up=T0 + 1),), "ended": {}},
        ["a call did not go on", "a caller who stays was sent away in the node"],
    ),
    "never in the dialplan": (
        {"visits": (), "ended": {}, "rows": (), "asked": ()},
        ["a call never came to the dialplan"],
    ),
    "in no CDR": ({"recorded": {}}, ["an ended call has no CDR"]),
    "elsewhere in the CDR": ({"recorded": {"1-a~7": "Stasis"}}, ["the CDR has an ended call elsewhere"]),
    "the caller did not hear": ({"made": (made(status=None),)}, ["a call went on, and the caller did not hear of it"]),
    "a call that nobody made": ({"made": ()}, ["a call that nobody made"]),
    "told of a fault": ({"visits": (visit(status="ERROR"),)}, ["a visit was told ERROR"]),
    "told nothing": ({"visits": (visit(status=""),)}, ["a visit was told nothing"]),
    "kept for longer than the budget": (
        {"visits": (visit(went_on=T0 + 1.6),)},
        ["a visit took longer than the hold budget while the gateway served"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(name: str) -> None:
    changed, expected = WRONG[name]
    assert kinds(judged(**changed)) == expected


def test_a_call_is_kept_for_the_watchdogs_time_while_nobody_serves() -> None:
    missed: dict[str, Any] = {"visits": (visit(went_on=T0 + 2.1, status="MISSED"),)}
    assert kinds(judged(serving=AWAY, **missed)) == []
    missed = {"visits": (visit(went_on=T0 + 3.1, status="MISSED"),)}
    assert kinds(judged(serving=AWAY, **missed)) == ["a visit took longer than the watchdog"]


def test_the_allowance_counts() -> None:
    late: dict[str, Any] = {"visits": (visit(went_on=T0 + 0.6),)}
    assert kinds(judged(allowance_ms=50, **late)) == [
        "a visit took longer than the hold budget while the gateway served"
    ]
    assert kinds(judged(allowance_ms=200, **late)) == []


def test_resend_may_double_what_was_in_doubt() -> None:
    double: dict[str, Any] = {"rows": (row(node="resend"),), "asked": (asked(), asked()), "outcomes": TWICE}
    judgement = judged(**double)
    assert judgement.findings == []
    assert judgement.counts["SMS doubled"] == 1


def test_what_asterisk_took_with_it_is_counted() -> None:
    killed = happened("asterisk-kill", T0 + 0.5, T0 + 4)
    gone: dict[str, Any] = {"rows": (), "asked": (), "visits": (visit(status="MISSED"),)}
    judgement = judged(killed, **gone)
    assert judgement.findings == []
    assert judgement.counts["excepted: written down within the last second of an Asterisk killed"] == 1
    inside: dict[str, Any] = {
        **gone,
        "visits": (visit(went_on=None, status=""),),
        "ended": {},
        "made": (made(until=T0 + 20),),
    }
    judgement = judged(killed, **inside)
    assert judgement.findings == []
    assert judgement.counts["excepted: in the node when Asterisk was killed"] == 1


@pytest.mark.parametrize(
    "excuse",
    [
        happened("asterisk-kill", T0 + 2, T0 + 5),
        happened("asterisk-kill", T0 - 1, T0 + 2),
        happened("asterisk-restart", T0 + 0.5, T0 + 4),
    ],
)
def test_asterisk_excuses_no_more_than_its_last_second(excuse: windows.Happened) -> None:
    assert kinds(judged(excuse, rows=(), asked=(), visits=(visit(status="MISSED"),))) == ["lost"]


def outcome_of_once(*statuses: str, taken: Sequence[bool]) -> list[str]:
    marks = [f"1-a~7.{number}" for number in range(1, len(statuses) + 1)]
    return kinds(
        judged(
            visits=tuple(visit(mark=mark, node="once") for mark in marks),
            rows=tuple(
                row(
                    id=mark,
                    mark=mark,
                    node="once",
                    status=status,
                    reason="duplicate_in_call" if status == "skipped" else None,
                )
                for mark, status in zip(marks, statuses, strict=True)
            ),
            asked=tuple(asked(ref=mark, mark=mark) for mark, went in zip(marks, taken, strict=True) if went),
            outcomes=dict.fromkeys(marks, ("accepted",)),
        )
    )


def test_one_sms_per_call() -> None:
    assert outcome_of_once("accepted", "skipped", "skipped", taken=(True, False, False)) == []
    assert outcome_of_once("accepted", "accepted", "skipped", taken=(True, True, False)) == [
        "once_per_call: 2 messages of one call",
        "once_per_call: more than one SMS of one call",
    ]
    assert outcome_of_once("skipped", "skipped", taken=(False, False)) == ["once_per_call: 0 messages of one call"]
