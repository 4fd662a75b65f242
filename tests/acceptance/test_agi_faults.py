"""FastAGI with the gateway away, hung, killed or closed to the PBX: calls go on, each visit is one activation."""

import signal
import threading
from collections import Counter

import pytest

from rig import ports, sipp
from rig.asterisk import Asterisk
from tests.acceptance import agi_flows, flows
from tests.acceptance import lab as labs
from tests.acceptance.gateway import wait_for

pytestmark = pytest.mark.asterisk

(PORT,) = ports.free(1)
LISTENING = flows.PATIENT | agi_flows.listening(PORT)
DIALPLAN = agi_flows.dialplan(PORT)


def test_not_running(lab: labs.Lab) -> None:
    """The calls go on at once; the gateway that comes later takes each visit, once."""
    placed = flows.place(lab.asterisk, "600")
    assert placed.call.answered
    assert agi_flows.ended(lab.asterisk) == ["FAILURE:"]
    assert flows.told(lab.asterisk) == ["MISSED:0"]
    assert flows.place(lab.asterisk, "640").call.answered
    assert {one.status for one in lab.seen()} == {"MISSED"}
    assert max(one.took_ms for one in lab.seen()) < labs.MARGIN_MS
    assert len(labs.missed(lab.asterisk)) == 5
    gateway = lab.gateway(agi_flows.NODES, **LISTENING).start()
    rows = labs.wait_activations(gateway, 5)
    agi_flows.drained(lab.asterisk)
    assert {row["entry"] for row in rows} == {"astdb"}
    sent = {("many", "accepted"): 2, ("once", "accepted"): 1, ("once", "skipped"): 1, ("desk", "accepted"): 2}
    labs.wait_messages(gateway, sent)


def test_hung(lab: labs.Lab) -> None:
    """The watchdog takes the calls back; each visit is there twice afterwards, as a connection and in AstDB."""
    gateway = lab.gateway(agi_flows.NODES, **LISTENING).start()
    gateway.signal(signal.SIGSTOP)
    placed = flows.place(lab.asterisk, "643", calls=6, rate=20)
    assert all(call.answered for call in placed.calls)
    assert {one.status for one in lab.seen()} == {"MISSED"}
    assert len(lab.seen()) == 12
    assert min(one.took_ms for one in lab.seen()) > labs.WATCHDOG_MS - labs.MARGIN_MS
    assert max(one.took_ms for one in lab.seen()) <= labs.WATCHDOG_MS + labs.MARGIN_MS
    assert len(labs.missed(lab.asterisk)) == 12
    gateway.signal(signal.SIGCONT)
    labs.wait_activations(gateway, 12)
    agi_flows.drained(lab.asterisk)
    labs.wait_messages(gateway, {("many", "accepted"): 6, ("once", "accepted"): 6})
    assert flows.place(lab.asterisk, "641").call.answered
    assert lab.seen()[-1].status == "SCHEDULED"


def test_hangup_while_the_gateway_hangs(lab: labs.Lab) -> None:
    gateway = lab.gateway(agi_flows.NODES, **LISTENING).start()
    gateway.signal(signal.SIGSTOP)
    placed = flows.place(lab.asterisk, "642", calls=5, rate=20, hangup_after_ms=400)
    assert {call.status for call in placed.calls} == {487}
    assert len(labs.missed(lab.asterisk)) == 5
    gateway.signal(signal.SIGCONT)
    rows = labs.wait_activations(gateway, 5)
    agi_flows.drained(lab.asterisk)
    assert len({row["call_id"] for row in rows}) == 5
    labs.wait_messages(gateway, {("many", "accepted"): 5})
    assert flows.seen(lab.asterisk) == {}


def test_killed_with_calls_in_hand(lab: labs.Lab) -> None:
    """Their connections end with it, so they go on before their watchdog, and the next gateway takes their visits."""
    gateway = lab.gateway(agi_flows.NODES, **LISTENING).start()
    lab.asterisk.cli("dialplan set global AGISMS_WATCHDOG 30")
    try:
        gateway.signal(signal.SIGSTOP)
        calls = sipp.place_async(lab.asterisk, "641", calls=10, rate=50, hold=5)
        wait_for("all calls are in the node", lambda: in_agi(lab.asterisk) == 10)
        gateway.kill()
        assert all(call.answered for call in calls.wait().calls)
        lab.asterisk.wait_for_no_channels()
    finally:
        lab.asterisk.cli("dialplan set global AGISMS_WATCHDOG 2")
    assert [one.status for one in lab.seen()] == ["MISSED"] * 10
    gateway.start()
    labs.wait_activations(gateway, 10)
    agi_flows.drained(lab.asterisk)
    labs.wait_messages(gateway, {("many", "accepted"): 10})


def test_restarted_under_load(lab: labs.Lab) -> None:
    """Calls in hand go on with their answer, those that come meanwhile write their visit down."""
    gateway = lab.gateway(agi_flows.NODES, **LISTENING).start()
    calls = sipp.place_async(lab.asterisk, "641", calls=80, rate=20, hold=5, deadline=60)
    wait_for("some have been there", lambda: len(lab.seen()) >= 10)
    assert gateway.stop() == 0
    wait_for("some find nobody", lambda: any(one.status == "MISSED" for one in lab.seen()))
    gateway.start()
    assert all(call.answered for call in calls.wait().calls)
    lab.asterisk.wait_for_no_channels()
    told = Counter(one.status for one in lab.seen())
    assert set(told) == {"SCHEDULED", "MISSED"}
    assert sum(told.values()) == 80
    labs.wait_activations(gateway, 80)
    agi_flows.drained(lab.asterisk)
    labs.wait_messages(gateway, {("many", "accepted"): 80})


def in_agi(asterisk: Asterisk) -> int:
    """How many channels are in AGI()."""
    rows = asterisk.cli("core show channels concise").splitlines()
    return sum(row.split("!")[5:6] == ["AGI"] for row in rows)


def test_nothing_times_out_after_the_hangup(lab: labs.Lab) -> None:
    """In `h` a gateway that hangs keeps the channel until it goes on or dies: agi-sms-event is for there."""
    gateway = lab.gateway(agi_flows.NODES, **LISTENING).start()
    gateway.signal(signal.SIGSTOP)
    # The caller is rid of the call, only Asterisk is not.
    assert sipp.place(lab.asterisk, "651", hold=0.1).call.answered
    wait_for("the channel is in the node", lambda: in_agi(lab.asterisk) == 1)
    threading.Event().wait(2 * labs.WATCHDOG_MS / 1000)  # how long the gateway hangs: not a wait for anything
    assert in_agi(lab.asterisk) == 1
    assert labs.missed(lab.asterisk) == set()
    gateway.signal(signal.SIGCONT)
    lab.asterisk.wait_for_no_channels()
    assert flows.told(lab.asterisk) == ["SCHEDULED:1"]
    labs.wait_messages(gateway, {("many", "accepted"): 1})
    gateway.signal(signal.SIGSTOP)
    assert sipp.place(lab.asterisk, "651", hold=0.1).call.answered
    wait_for("the channel is in the node", lambda: in_agi(lab.asterisk) == 1)
    gateway.kill()
    lab.asterisk.wait_for_no_channels()
    assert len(labs.missed(lab.asterisk)) == 1
    gateway.start()
    labs.wait_messages(gateway, {("many", "accepted"): 2})
    agi_flows.drained(lab.asterisk)


def test_pbx_without_ari(lab: labs.Lab) -> None:
    """FastAGI for calls and AMI for those that were missed are enough."""
    pbx = lab.asterisk
    ami = {"host": pbx.ami_host, "port": pbx.ami_port, "username": pbx.ami_user, "secret": pbx.ami_secret}
    whole = {"pbx": {"main": {"ami": ami, "addresses": "127.0.0.0/8"}}, **LISTENING}
    assert flows.place(pbx, "600").call.answered
    gateway = lab.gateway(agi_flows.NODES, **whole).start(connected=False)
    labs.wait_activations(gateway, 1)
    assert flows.place(pbx, "600").call.answered
    rows = labs.wait_activations(gateway, 2)
    assert [row["entry"] for row in rows] == ["astdb", "agi"]
    labs.wait_messages(gateway, {("desk", "accepted"): 4})


def test_address_that_is_nobodys(lab: labs.Lab) -> None:
    """The call goes on as if there were no gateway, and the log says why."""
    pbx = lab.asterisk
    ami = {"host": pbx.ami_host, "port": pbx.ami_port, "username": pbx.ami_user, "secret": pbx.ami_secret}
    whole = {"pbx": {"main": {"ami": ami, "addresses": ["192.0.2.7"]}}, **LISTENING}
    gateway = lab.gateway(agi_flows.NODES, **whole).start(connected=False)
    assert flows.place(pbx, "600").call.answered
    assert flows.told(pbx) == ["MISSED:0"]
    (said,) = gateway.events("FastAGI connections closed")
    assert said["the_last_from"] == "127.0.0.1"
    assert "pbx.NAME.addresses" in said["why"]
