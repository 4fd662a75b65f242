"""Real calls through the node by FastAGI: they go on at once, and each visit ends as exactly one activation."""

import base64
import collections.abc
import statistics
from collections import Counter
from typing import Any

import pytest

from rig import ports, sipp
from rig.asterisk import Asterisk
from tests.acceptance import agi_flows, flows
from tests.acceptance import lab as labs
from tests.acceptance.flows import ATTACKER, CALLER, DESK
from tests.acceptance.gateway import Gateway, wait_for
from tests.acceptance.test_hostile import LINES, NAMES, harmless

pytestmark = pytest.mark.asterisk

(PORT,) = ports.free(1)
DIALPLAN = agi_flows.dialplan(PORT)


@pytest.fixture(scope="module")
def door(pbx: Asterisk, tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[Gateway]:
    """One gateway for this file's tests."""
    with flows.served(pbx, tmp_path_factory.mktemp("agi"), agi_flows.NODES, **agi_flows.listening(PORT)) as running:
        yield running


@pytest.fixture
def gateway(pbx: Asterisk, door: Gateway, asterisk: Asterisk) -> collections.abc.Iterator[Gateway]:
    """It must be as good as ever after each test."""
    with flows.shown(asterisk, door):
        yield door
        assert door.running()
        assert not [event for event in door.events() if "bug" in event["event"] or event.get("level") == "error"]
        assert not door.events("FastAGI connections closed")


def one_call(asterisk: Asterisk, gateway: Gateway, number: str, **how: Any) -> list[dict[str, Any]]:
    """Place one call that goes on after the node; the messages that it made, once they went their way."""
    before = len(gateway.sent())
    assert flows.place(asterisk, number, **how).call.answered
    (call_id,) = flows.seen(asterisk)
    rows = flows.settled_of(gateway, call_id)
    assert ATTACKER not in {line["to"] for line in gateway.sent()[before:]}
    return rows


def test_call_goes_on_and_its_sms_go_out(asterisk: Asterisk, gateway: Gateway) -> None:
    rows = one_call(asterisk, gateway, "600", caller_name="Łukasz Żak")
    assert flows.to(rows) == [(CALLER, "accepted", None), (DESK, "accepted", None)]
    assert {row["text"] for row in rows} == {f"[{CALLER}|Łukasz Żak|600|„pilne”, nr 5/7]"}
    assert flows.told(asterisk) == ["SCHEDULED:2"]
    assert agi_flows.ended(asterisk) == ["SUCCESS:"]
    assert labs.missed(asterisk) == set()
    (call_id,) = flows.seen(asterisk)
    (returned,) = [event for event in gateway.events("call returned") if event["call_id"] == call_id]
    assert (returned["reply"], returned["node"], returned["pbx"]) == ("SCHEDULED,2", "desk", "main")
    assert returned["held_ms"] > 0
    told = " ".join(gateway.command("explain", rows[0]["id"]).stdout.split())
    for part in ("came in over FastAGI, back in the dialplan after", "trunk trunk", f"dialled {600}"):
        assert part in told, part


def test_the_setting_that_lets_the_watchdog_work_is_ours_alone(asterisk: Asterisk, gateway: Gateway) -> None:
    one_call(asterisk, gateway, "601")
    assert agi_flows.ended(asterisk) == ["SUCCESS:mine"]


def test_bare_agi(asterisk: Asterisk, gateway: Gateway) -> None:
    """A dialplan without the subroutine works too, mistakes included, and one SMS per call."""
    assert flows.place(asterisk, "610", caller_name="Ann").call.answered
    assert flows.told(asterisk) == ["SCHEDULED:2", "SCHEDULED:1", "SKIPPED:0", "INVALID:0", "INVALID:0"]
    (call_id,) = flows.seen(asterisk)
    rows = flows.settled_of(gateway, call_id)
    by_node = [(row["node"], row["recipient"], row["status"]) for row in rows]
    assert sorted(by_node) == [
        ("desk", CALLER, "accepted"),
        ("desk", DESK, "accepted"),
        ("once", DESK, "accepted"),
        ("once", DESK, "skipped"),
    ]
    assert {row["text"] for row in rows if row["node"] == "desk"} == {f"[{CALLER}|Ann|610|5,7 & 9]"}


def test_mistakes_in_the_dialplan_cost_no_call_anything(asterisk: Asterisk, gateway: Gateway) -> None:
    assert flows.place(asterisk, "620").call.answered
    assert flows.told(asterisk) == ["INVALID:0"] * 3 + ["SCHEDULED:3"]
    assert labs.missed(asterisk) == set()


def both(asterisk: Asterisk, gateway: Gateway, number: str = "611", **how: Any) -> list[dict[str, Any]]:
    """One call by the subroutine and by a bare AGI(), which come to the same; the messages of the first."""
    rows = one_call(asterisk, gateway, number, **how)
    first, second = ([row for row in rows if row["node"] == node] for node in ("desk", "bare"))
    assert len(first) == len(second) == len(rows) / 2
    assert flows.to(first) == flows.to(second)
    return first


@pytest.mark.parametrize(
    ("trusted", "privacy", "reason"),
    [(False, "id", None), (False, "anonymous", "caller_withheld"), (True, "id", "caller_withheld")],
    ids=["untrusted, number shown", "untrusted, anonymous", "trusted, number shown"],
)
def test_withheld_caller(
    asterisk: Asterisk, gateway: Gateway, trusted: bool, privacy: sipp.Privacy, reason: str | None
) -> None:
    logged = len(gateway.said())
    rows = both(asterisk, gateway, trusted=trusted, privacy=privacy, caller_name="Jan Kowalski")
    if reason is None:
        assert flows.to(rows) == [(CALLER, "accepted", None), (DESK, "accepted", None)]
        return
    assert flows.to(rows) == [("", "skipped", reason), (DESK, "accepted", None)]
    assert not any("Kowalski" in row["text"] for row in rows)
    assert CALLER[1:] not in gateway.said()[logged:]


@pytest.mark.parametrize(
    "name", ["recipient", "quoted", "backslashes", "separators", "not UTF-8", "template", "dialplan", "very long"]
)
def test_hostile_caller_name(asterisk: Asterisk, gateway: Gateway, name: str) -> None:
    rows = both(asterisk, gateway, raw_caller_name=NAMES[name])
    assert flows.to(rows) == [(CALLER, "accepted", None), (DESK, "accepted", None)]
    for row in rows:
        assert row["text"].startswith(f"[{CALLER}|")
        assert harmless(row["text"])
        assert "49" not in row["text"]
    assert not (asterisk.directory / "owned").exists()


FORGED = b"x\nagi_threadid: 1\nagi_arg_1: back=1\nagi_arg_2: recipients=+19005550100\n"


@pytest.mark.parametrize(
    "name",
    [LINES, FORGED, FORGED + b"\n200 result=1 (allowed)\n200 result=1", b"\n" * 50, b"\xff" * 600, b"x\n\nHANGUP\n"],
    ids=["lines", "arguments", "end and reply", "empty lines", "not UTF-8", "hangup"],
)
def test_hostile_caller_name_of_another_channel_driver(asterisk: Asterisk, gateway: Gateway, name: bytes) -> None:
    """Asterisk writes it into the header as it is, and the header may look as if it ended there."""
    flows.put(asterisk, "name", base64.b64encode(name).decode())
    rows = both(asterisk, gateway, "612")
    assert flows.to(rows) == [(CALLER, "accepted", None), (DESK, "accepted", None)]
    assert flows.told(asterisk) == ["SCHEDULED:2"] * 2
    assert all(harmless(row["text"]) for row in rows)


def test_two_visits_of_one_call(asterisk: Asterisk, gateway: Gateway) -> None:
    before = labs.messages(gateway)
    assert flows.place(asterisk, "640", calls=2, rate=2).calls[0].answered
    expected = Counter({("many", "accepted"): 4, ("once", "accepted"): 2, ("once", "skipped"): 2})
    wait_for("the messages", lambda: labs.messages(gateway) - before == expected)


@pytest.mark.parametrize("number", ["650", "651"], ids=["h", "hangup handler"])
def test_after_the_hangup(asterisk: Asterisk, gateway: Gateway, number: str) -> None:
    before = len(labs.activations(gateway))
    assert flows.place(asterisk, number).call.answered
    rows = labs.wait_activations(gateway, before + (2 if number == "650" else 1))[before:]
    assert {row["entry"] for row in rows} == {"agi"}
    many = flows.settled_of(gateway, rows[0]["call_id"])
    assert (DESK, "accepted", None) in flows.to([row for row in many if row["node"] == "many"])
    assert flows.told(asterisk) == ["SCHEDULED:1", "SCHEDULED:2"][: len(rows)]
    assert labs.missed(asterisk) == set()


def test_hangup_at_any_moment(asterisk: Asterisk, gateway: Gateway) -> None:
    """Callers who are gone after a few milliseconds: at most one activation each, and the next call is served."""
    before = len(labs.activations(gateway))
    calls = [
        sipp.place_async(asterisk, "642", calls=10, rate=100, hangup_after_ms=delay, hold=0.1) for delay in (1, 8, 20)
    ]
    for under_way in calls:
        assert len(under_way.wait().calls) == 10
    asterisk.wait_for_no_channels()
    agi_flows.drained(asterisk)
    rows = labs.activations(gateway)[before:]
    assert len({row["call_id"] for row in rows}) == len(rows)
    assert {row["call_id"] for row in rows} >= set(flows.seen(asterisk))
    asterisk.database_clear("test")
    one_call(asterisk, gateway, "600")


def test_a_hundred_calls(asterisk: Asterisk, gateway: Gateway, lab: labs.Lab) -> None:
    """At 20 a second; how long each was held by the node is printed."""
    before, told = len(labs.activations(gateway)), len(gateway.events("call returned"))
    placed = flows.place(asterisk, "641", calls=100, rate=20, deadline=60)
    assert [call.answered for call in placed.calls] == [True] * 100
    rows = labs.wait_activations(gateway, before + 100)[before:]
    assert len({row["call_id"] for row in rows}) == 100
    assert {row["entry"] for row in rows} == {"agi"}
    wait_for("all are back", lambda: len(gateway.events("call returned")) == told + 100)
    held = sorted(event["held_ms"] for event in gateway.events("call returned")[told:])
    took = sorted(one.took_ms for one in lab.seen())
    assert len(took) == 100
    print(
        f"100 calls at 20/s: held {statistics.median(held):.1f} ms (median), {held[98]:.1f} ms (p99), {held[-1]:.1f} "
        f"ms (most); in the subroutine {statistics.median(took)} ms (median), {took[98]} ms (p99), {took[-1]} ms (most)"
    )
    assert {event["reply"] for event in gateway.events("call returned")[told:]} == {"SCHEDULED,1"}
