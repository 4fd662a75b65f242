"""The gateway away, hung or killed, Asterisk restarted: calls go on, and each visit ends as exactly one activation."""

import collections.abc
import pathlib
import signal
import threading
import time
from collections import Counter

import pytest

from rig import sipp
from rig.asterisk import Asterisk
from tests.acceptance import gateway as gateways
from tests.acceptance import lab as labs
from tests.acceptance.conftest import AsteriskFactory
from tests.acceptance.gateway import wait_for

pytestmark = [pytest.mark.asterisk, pytest.mark.asterisk_versions("22", "16")]

VISITS = 3  # of each call to 201 and 202

DIALPLAN = f"""{labs.VISIT}
[from-trunk]
exten => 200,1,Gosub(visit,s,1(many))
 same => n,Hangup()
exten => 201,1,Gosub(visit,s,1(many))
 same => n,Gosub(visit,s,1(many))
 same => n,Gosub(visit,s,1(many))
 same => n,Hangup()
exten => 202,1,Gosub(visit,s,1(once))
 same => n,Gosub(visit,s,1(once))
 same => n,Gosub(visit,s,1(once))
 same => n,Hangup()
; For a gateway that needs a while to come back.
exten => 203,1,Set(AGISMS_WATCHDOG=30)
 same => n,Goto(201,1)
exten => 204,1,Set(AGISMS_WATCHDOG=30)
 same => n,Goto(202,1)
; Two visits, and between them as long as the test wants.
exten => 205,1,Answer()
 same => n,Gosub(visit,s,1(once))
 same => n,While($["${{GLOBAL(GO_ON)}}" != "yes"])
 same => n,Wait(0.1)
 same => n,EndWhile()
 same => n,Gosub(visit,s,1(once))
 same => n,Hangup()
"""


def place_both(
    asterisk: Asterisk, calls: int, numbers: tuple[str, str] = ("201", "202"), *, rate: float = 100
) -> list[sipp.Calls]:
    """So many calls to each of two numbers, so many a second."""
    return [sipp.place_async(asterisk, number, calls=calls, rate=rate, hold=0.1, deadline=60) for number in numbers]


def over(asterisk: Asterisk, under_way: collections.abc.Iterable[sipp.Calls]) -> int:
    """Wait until all calls are over; how many there were, each of them one that Asterisk ended in its own time."""
    results = [calls.wait() for calls in under_way]
    asterisk.wait_for_no_channels()
    return sum(len(result.calls) for result in results)


def drained(asterisk: Asterisk) -> None:
    """Wait until no visit is left in AstDB."""
    wait_for("the missed visits are taken out of AstDB", lambda: not labs.missed(asterisk), deadline=45)


def balanced(lab: labs.Lab, gateway: gateways.Gateway, calls: int) -> None:
    """Every visit of so many calls to each of 201 and 202 is there once, and so are its messages."""
    visits = Counter(one.node for one in lab.seen())
    assert visits == {"many": calls * VISITS, "once": calls * VISITS}  # what the dialplan counted
    labs.wait_activations(gateway, 2 * calls * VISITS)
    drained(lab.asterisk)
    sent = {("many", "accepted"): calls * VISITS, ("once", "accepted"): calls}
    labs.wait_messages(gateway, {**sent, ("once", "skipped"): calls * (VISITS - 1)})
    rows = labs.activations(gateway)
    assert Counter(row["node"] for row in rows) == visits
    assert all(len({row["call_id"] for row in rows if row["node"] == node}) == calls for node in visits)
    assert Counter(line["node"] for line in gateway.sent()) == {"many": calls * VISITS, "once": calls}


def within_the_watchdog(lab: labs.Lab) -> None:
    assert lab.seen()
    assert max(one.took_ms for one in lab.seen()) <= labs.WATCHDOG_MS + labs.MARGIN_MS


def test_not_running(lab: labs.Lab) -> None:
    """The calls go on at once; the gateway that comes later takes each visit, once."""
    assert over(lab.asterisk, place_both(lab.asterisk, 2)) == 4
    assert {one.status for one in lab.seen()} == {"MISSED"}
    assert max(one.took_ms for one in lab.seen()) < labs.MARGIN_MS
    assert len(labs.missed(lab.asterisk)) == 4 * VISITS
    gateway = lab.gateway().start()
    balanced(lab, gateway, 2)
    assert {row["entry"] for row in labs.activations(gateway)} == {"astdb"}


def test_too_old_when_the_gateway_comes(lab: labs.Lab) -> None:
    """Nothing is sent, and the history says why."""
    assert over(lab.asterisk, [sipp.place_async(lab.asterisk, "200", hold=0.1)]) == 1
    written = time.time()
    gateway = lab.gateway({"many": {**labs.NODES["many"], "max_age": "1s"}})
    wait_for("the visit is too old", lambda: time.time() > written + 1.1)
    gateway.start()
    labs.wait_messages(gateway, {("many", "expired"): 1})
    assert gateway.history()[0]["reason"] == "too_old"
    drained(lab.asterisk)
    assert len(labs.activations(gateway)) == 1
    assert gateway.sent() == []


def test_hung(lab: labs.Lab) -> None:
    """Each visit leaves by the watchdog, and is there twice afterwards: as an event unread, and in AstDB."""
    gateway = lab.gateway().start()
    gateway.signal(signal.SIGSTOP)
    assert over(lab.asterisk, place_both(lab.asterisk, 3)) == 6
    assert {one.status for one in lab.seen()} == {"MISSED"}
    assert min(one.took_ms for one in lab.seen()) > labs.WATCHDOG_MS - labs.MARGIN_MS
    within_the_watchdog(lab)
    assert len(labs.missed(lab.asterisk)) == 6 * VISITS
    gateway.signal(signal.SIGCONT)
    balanced(lab, gateway, 3)


def test_too_old_when_it_is_heard_of(lab: labs.Lab) -> None:
    """It left by the watchdog long before the event is read, which is no younger than the record in AstDB."""
    gateway = lab.gateway({"many": {**labs.NODES["many"], "max_age": "3s"}}).start()
    assert over(lab.asterisk, [sipp.place_async(lab.asterisk, "200", hold=0.1)]) == 1  # this one is heard of at once
    labs.wait_messages(gateway, {("many", "accepted"): 1})
    gateway.signal(signal.SIGSTOP)
    began = time.time()
    assert over(lab.asterisk, [sipp.place_async(lab.asterisk, "200", calls=5, rate=50, hold=0.1)]) == 5
    wait_for("the visits are too old", lambda: time.time() > began + 6)
    gateway.signal(signal.SIGCONT)
    labs.wait_messages(gateway, {("many", "accepted"): 1, ("many", "expired"): 5})
    drained(lab.asterisk)
    assert len(gateway.sent()) == 1
    assert all(event["left"] for event in gateway.events("a visit is heard of late"))


def test_wakes_while_calls_leave(lab: labs.Lab) -> None:
    """Some have left by the watchdog, others are in their first or second visit when the gateway goes on."""
    gateway = lab.gateway().start()
    gateway.signal(signal.SIGSTOP)
    calls = place_both(lab.asterisk, 20, rate=10)
    wait_for("some have left", lambda: len(labs.missed(lab.asterisk)) >= 8)
    gateway.signal(signal.SIGCONT)
    assert over(lab.asterisk, calls) == 40
    told = Counter(one.status for one in lab.seen())
    assert told["MISSED"] >= 8
    assert told["SCHEDULED"] >= 8
    within_the_watchdog(lab)
    balanced(lab, gateway, 20)


@pytest.mark.parametrize("away", [1, 10])
def test_killed_with_calls_parked(lab: labs.Lab, away: int) -> None:
    """32 calls of three visits each, in the node when the gateway dies; it is back after so many seconds."""
    gateway = lab.gateway().start()
    gateway.signal(signal.SIGSTOP)
    calls = place_both(lab.asterisk, 16)
    wait_for("all calls are in the node", lambda: labs.parked(lab.asterisk) == 32)
    gateway.kill()
    threading.Event().wait(away)  # how long the gateway is away: not a wait for anything
    gateway.start()
    assert over(lab.asterisk, calls) == 32
    within_the_watchdog(lab)
    balanced(lab, gateway, 16)


def test_parked_calls_are_found_by_the_next_gateway(lab: labs.Lab) -> None:
    """Their watchdog is long, so nothing but the gateway that comes frees them, and nothing is missed."""
    gateway = lab.gateway().start()
    gateway.signal(signal.SIGSTOP)
    calls = place_both(lab.asterisk, 16, ("203", "204"))
    wait_for("all calls are in the node", lambda: labs.parked(lab.asterisk) == 32)
    gateway.kill()
    gateway.start()
    assert over(lab.asterisk, calls) == 32
    assert "MISSED" not in {one.status for one in lab.seen()}
    assert sum(e["calls"] for e in gateway.events("found calls parked that no event had told of, sent them on")) == 32
    balanced(lab, gateway, 16)


def test_killed_between_two_visits(lab: labs.Lab) -> None:
    """The second visit finds nobody; the gateway that comes later still knows that the call has had its SMS."""
    gateway = lab.gateway().start()
    lab.asterisk.cli("dialplan set global GO_ON no")
    calls = sipp.place_async(lab.asterisk, "205", calls=3, hold=30)
    labs.wait_messages(gateway, {("once", "accepted"): 3})
    wait_for("all calls wait", lambda: len(lab.seen()) == 3)
    gateway.kill()
    lab.asterisk.cli("dialplan set global GO_ON yes")
    assert over(lab.asterisk, [calls]) == 3
    assert Counter(one.status for one in lab.seen()) == {"SCHEDULED": 3, "MISSED": 3}
    assert len(labs.missed(lab.asterisk)) == 3
    gateway.start()
    drained(lab.asterisk)
    labs.wait_messages(gateway, {("once", "accepted"): 3, ("once", "skipped"): 3})
    assert len(labs.activations(gateway)) == 6
    assert len(gateway.sent()) == 3


@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_asterisk_restarted(fresh_asterisk: AsteriskFactory, tmp_path: pathlib.Path, how: str) -> None:
    """The gateway is back by itself, within seconds, and serves the next call."""
    pbx = fresh_asterisk()
    pbx.load_dialplan(DIALPLAN)
    with labs.Lab(pbx, tmp_path) as lab:
        gateway = lab.gateway().start()
        assert over(pbx, [sipp.place_async(pbx, "200", hold=0.1)]) == 1
        labs.wait_messages(gateway, {("many", "accepted"): 1})
        pid = gateway.pid
        if how == "killed":
            pbx.kill()
            pbx.start()
        else:
            pbx.restart()
        back = "connected to Asterisk again"
        wait_for("it is back", lambda: {e["door"] for e in gateway.events(back)} == {"ari", "ami"}, deadline=10)
        assert over(pbx, [sipp.place_async(pbx, "201", hold=0.1)]) == 1
        assert [one.status for one in lab.seen()[-VISITS:]] == ["SCHEDULED"] * VISITS
        labs.wait_messages(gateway, {("many", "accepted"): 1 + VISITS})
        assert len(labs.activations(gateway)) == 1 + VISITS
        assert gateway.pid == pid
        assert gateway.running()


def serving(gateway: gateways.Gateway) -> int:
    """How often the gateway has come to serve calls."""
    return sum(str(e["event"]).startswith("connected to Asterisk") and e["door"] == "ari" for e in gateway.events())


def test_two_gateways_with_one_application(lab: labs.Lab) -> None:
    """The second takes the application; the first stands by, says so, and takes it back when nobody has it."""
    first = lab.gateway().start()
    second = lab.gateway().start()
    standing_by = "another connection has taken the application, standing by; one app name per gateway"
    wait_for("the first stands by", lambda: first.events(standing_by))
    assert over(lab.asterisk, [sipp.place_async(lab.asterisk, "200", hold=0.1)]) == 1
    labs.wait_messages(second, {("many", "accepted"): 1})
    assert labs.activations(first) == []
    assert second.stop() == 0
    wait_for("the first takes it back", lambda: serving(first) == 2, deadline=60)
    assert len(first.events(standing_by)) == 1
    assert over(lab.asterisk, [sipp.place_async(lab.asterisk, "200", hold=0.1)]) == 1
    labs.wait_messages(first, {("many", "accepted"): 1})
    assert [one.status for one in lab.seen()] == ["SCHEDULED"] * 2
    assert len(first.sent()) + len(second.sent()) == 2
