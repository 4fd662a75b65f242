"""The event way on a real Asterisk: how soon a visit is taken, what a bare event tells, and who listens."""

import base64
import collections.abc
import re
import statistics
from datetime import datetime
from typing import Any

import pytest

from rig import sipp
from rig.asterisk import Asterisk
from tests.acceptance import flows
from tests.acceptance import lab as labs
from tests.acceptance.flows import ATTACKER, CALLER, DESK
from tests.acceptance.gateway import Gateway, wait_for

pytestmark = [pytest.mark.asterisk, pytest.mark.asterisk_versions("22", "16")]

WITHIN = 1.0  # second, as README says of 50 calls a second
TEXT = "[{{ caller }}|{{ caller_name }}|{{ dialled }}|{{ X | default('') }}]"
NODES = {
    "desk": {"recipients": DESK, "send_to_caller": True, "content": {"text": TEXT}},
    "once": {"recipients": DESK, "once_per_call": True, "content": {"text": "one per call"}},
    "later": {"recipients": DESK, "delay": "1h", "content": {"text": "later"}},
}

DIALPLAN = f"""{flows.SEEN}
[from-trunk]
exten => 400,1,Set(DB(test/at/${{UNIQUEID}})=${{STRFTIME(,,%s.%3q)}})
 same => n,Gosub(agi-sms-event,s,1(later))
 same => n,Gosub(seen,s,1)
 same => n,Answer()
 same => n,Hangup()
; Without the subroutine: the visit is the event, and the channel's facts are what Asterisk tells of it.
exten => 410,1,UserEvent(AgiSms,"AgiSms: desk,var.X=${{URIENCODE(a,"b": c)}}")
 same => n,UserEvent(AgiSms,"AgiSms: once")
 same => n,UserEvent(AgiSms,"AgiSms: once")
 same => n,Answer()
 same => n,Hangup()
exten => 411,1,Set(name=${{URIENCODE(${{CALLERID(name)}})}})
 same => n,UserEvent(AgiSms,"AgiSms: desk,presentation=${{CALLERID(num-pres)}},caller_name=${{name}}")
 same => n,Answer()
 same => n,Hangup()
; As somebody will write it, and what other dialplans send.
exten => 412,1,Set(CALLERID(name)=${{BASE64_DECODE(${{DB(test/name)}})}})
 same => n,UserEvent(Other,Name: ${{CALLERID(name)}})
 same => n,UserEvent(AgiSms,AgiSms: desk,Name: ${{CALLERID(name)}})
 same => n,Answer()
 same => n,Hangup()
exten => 413,1,UserEvent(AgiSms)
 same => n,UserEvent(AgiSms,"AgiSms: no-such-node")
 same => n,UserEvent(AgiSms,"AgiSms: desk,colour=red")
 same => n,UserEvent(AgiSms,"AgiSms: once")
 same => n,Answer()
 same => n,Hangup()
; The visit after the hangup, where Asterisk says `h` for the extension and a Local channel has no number dialled.
exten => 420,1,Set(CALLERID(dnid)=)
 same => n,Set(AFTER=${{EXTEN}})
 same => n,Hangup()
exten => 421,1,Gosub(agi-sms-event,s,1(once))
 same => n,Goto(420,1)
; Callers who are gone, and time-outs that come, while the call is in the subroutine.
exten => 430,1,Gosub(agi-sms-event,s,1(later))
 same => n,Set(DB(test/seen/${{UNIQUEID}})=${{AGISMS_STATUS}})
 same => n,Wait(2)
 same => n,Hangup()
exten => _43X,1,Set(TIMEOUT(absolute)=0.00${{EXTEN:2}})
 same => n,Gosub(agi-sms-event,s,1(later))
 same => n,Set(DB(test/seen/${{UNIQUEID}})=${{AGISMS_STATUS}})
 same => n,Wait(2)
 same => n,Set(DB(test/waited/${{UNIQUEID}})=1)
 same => n,Hangup()
exten => T,1,Set(DB(test/T/${{UNIQUEID}})=1${{DB(test/T/${{UNIQUEID}})}})
 same => n,Hangup()
exten => h,1,Set(DB(test/h/${{UNIQUEID}})=1${{DB(test/h/${{UNIQUEID}})}})
 same => n,GotoIf($["${{AFTER}}" = "420"]?visit)
 same => n,Goto(over)
 same => n(visit),Gosub(agi-sms-event,s,1(desk))
 same => n(over),NoOp()
"""


@pytest.fixture(scope="module")
def door(pbx: Asterisk, tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[Gateway]:
    """One gateway for this file's tests."""
    with flows.served(pbx, tmp_path_factory.mktemp("event"), NODES) as running:
        yield running


@pytest.fixture
def gateway(door: Gateway, asterisk: Asterisk) -> collections.abc.Iterator[Gateway]:
    """It must be as good as ever after each test, on the connection that it had before."""
    with flows.shown(asterisk, door):
        yield door
        assert door.running()
        assert not [e for e in door.events() if "bug" in e["event"] or "lost" in e["event"]]
        assert len([e for e in door.events("connected to Asterisk") if e["door"] == "ami"]) == 1


def marked(asterisk: Asterisk, kind: str) -> dict[str, str]:
    """What the dialplan kept as test/KIND/UNIQUEID."""
    entries = asterisk.database("test").items()
    return {key.removeprefix(f"{kind}/"): value for key, value in entries if key.startswith(f"{kind}/")}


@pytest.mark.parametrize(("calls", "rate"), [(1, 1), (200, 50)])
def test_how_soon_a_visit_is_taken(asterisk: Asterisk, gateway: Gateway, calls: int, rate: float) -> None:
    """From the subroutine's first line to the activation on disk."""
    before = len(labs.activations(gateway))
    placed = flows.place(asterisk, "400", calls=calls, rate=rate)
    assert [call.answered for call in placed.calls] == [True] * calls
    rows = labs.wait_activations(gateway, before + calls)[before:]
    assert {row["entry"] for row in rows} == {"ami"}
    assert {tuple(told) for told in flows.seen(asterisk).values()} == {("RECORDED:0",)}
    wait_for("the records are gone", lambda: not labs.missed(asterisk))
    stored = {e["call_id"]: datetime.fromisoformat(e["time"]).timestamp() for e in gateway.events("call arrived")}
    took = sorted(stored[call] - float(at) for call, at in marked(asterisk, "at").items())
    print(f"{calls} calls at {rate}/s: on disk after {statistics.median(took):.3f} s (median), {took[-1]:.3f} s (most)")
    assert len(took) == calls
    assert statistics.median(took) < WITHIN
    assert not [e for e in gateway.events() if "the gateway missed" in e["event"]]


def by_call(asterisk: Asterisk, gateway: Gateway, number: str, visits: int, **how: Any) -> list[dict[str, Any]]:
    """Place one call that makes so many visits, and return its messages."""
    before = len(labs.activations(gateway))
    assert flows.place(asterisk, number, **how).call.answered
    rows = labs.wait_activations(gateway, before + visits)[before:]
    (call_id,) = {row["call_id"] for row in rows}
    return flows.settled_of(gateway, call_id)


def test_a_bare_event(asterisk: Asterisk, gateway: Gateway) -> None:
    """It does not tell whether the number may be used, so the caller gets nothing; each event is a visit."""
    rows = by_call(asterisk, gateway, "410", 3, caller_name="Jan")
    assert flows.to(row for row in rows if row["node"] == "desk") == [
        ("", "skipped", "caller_withheld"),
        (DESK, "accepted", None),
    ]
    assert {row["text"] for row in rows if row["node"] == "desk"} == {'[||410|a,"b": c]'}
    assert sorted(str(row["reason"]) for row in rows if row["node"] == "once") == ["None", "duplicate_in_call"]


def test_a_bare_event_that_hands_the_presentation_over(asterisk: Asterisk, gateway: Gateway) -> None:
    rows = by_call(asterisk, gateway, "411", 1, caller_name="Łukasz, Żak")
    assert flows.to(rows) == [(CALLER, "accepted", None), (DESK, "accepted", None)]
    assert {row["text"] for row in rows} == {f"[{CALLER}|Łukasz, Żak|411|]"}
    rows = by_call(asterisk, gateway, "411", 1, trusted=True, privacy="id")
    assert flows.to(rows) == [("", "skipped", "caller_withheld"), (DESK, "accepted", None)]


@pytest.mark.parametrize(
    "name",
    [
        b"x,Event: Shutdown",
        b"x,event: shutdown,ActionID: 1,actionid: 2",
        b"x,Uniqueid: 1.1,uniqueid: 2.2,CallerIDNum: +19005550100",
        b"x,Response: Success,CommandID: 1",
        b'x",AgiSmsLook: "y',
    ],
)
def test_names_that_are_headers(asterisk: Asterisk, gateway: Gateway, name: bytes) -> None:
    """A caller's name that nobody encoded, in an event of ours and in one of somebody else's."""
    flows.put(asterisk, "name", base64.b64encode(name).decode())
    before = len(labs.activations(gateway))
    assert flows.place(asterisk, "412").call.answered
    if re.search(rb"event:|uniqueid:", name, re.IGNORECASE):  # nobody knows any more what in it is Asterisk's own
        by_call(asterisk, gateway, "411", 1)
        assert len(labs.activations(gateway)) == before + 1
        return
    (row,) = labs.wait_activations(gateway, before + 1)[before:]
    assert re.fullmatch(r"\d{10}\.\d+", row["call_id"])
    rows = flows.settled_of(gateway, row["call_id"])
    assert flows.to(rows) == [("", "skipped", "caller_withheld"), (DESK, "accepted", None)]
    assert ATTACKER not in {line["to"] for line in gateway.sent()}


def test_a_bare_event_that_is_not_utf8_costs_the_call(asterisk: Asterisk, gateway: Gateway) -> None:
    """Asterisk itself ends it: hence URIENCODE, as in the subroutine."""
    flows.put(asterisk, "name", base64.b64encode(b"\xff").decode())
    assert not flows.place(asterisk, "412").call.answered
    assert flows.place(asterisk, "400", raw_caller_name=b"\xff").call.answered


def test_events_that_cannot_be_used(asterisk: Asterisk, gateway: Gateway) -> None:
    rows = by_call(asterisk, gateway, "413", 1)
    assert flows.to(rows) == [(DESK, "accepted", None)]
    assert gateway.events("an event of the dialplan cannot be read, its call gets no SMS")
    assert gateway.events("call goes on without SMS: no such node")


@pytest.mark.parametrize(("number", "dialled"), [("420", ""), ("421", "421")])
def test_dialled_number_after_the_hangup(asterisk: Asterisk, gateway: Gateway, number: str, dialled: str) -> None:
    """`h` is no number; what an earlier visit knew stays with the call."""
    before = len(labs.activations(gateway))
    flows.place(asterisk, number)
    *_, row = labs.wait_activations(gateway, before + (2 if dialled else 1))
    rows = flows.settled_of(gateway, row["call_id"])
    assert {row["text"] for row in rows if row["node"] == "desk"} == {f"[{CALLER}||{dialled}|]"}


def test_hangup_at_any_moment(asterisk: Asterisk, gateway: Gateway) -> None:
    """Whoever got as far as the record is stored, once; and the caller's own h runs, once."""
    before = len(labs.activations(gateway))
    calls = [
        sipp.place_async(asterisk, "430", calls=20, rate=100, hangup_after_ms=delay, hold=0.1) for delay in (1, 5, 9)
    ]
    for under_way in calls:
        assert len(under_way.wait().calls) == 20
    asterisk.wait_for_no_channels()
    ended = marked(asterisk, "h")
    assert set(ended.values()) <= {"1"}
    wait_for("the records are taken", lambda: not labs.missed(asterisk), deadline=45)
    stored = [row["call_id"] for row in labs.activations(gateway)[before:]]
    assert 0 < len(stored) == len(set(stored))
    assert set(flows.seen(asterisk)) <= set(stored) <= set(ended)


def test_time_outs_at_any_moment(asterisk: Asterisk, gateway: Gateway) -> None:
    """The caller's own absolute time-out ends in the subroutine: the call goes to its own T all the same, once."""
    before = len(labs.activations(gateway))
    numbers = [f"43{n}" for n in range(1, 10)]
    calls = [sipp.place_async(asterisk, number, calls=5, rate=20, hold=5.0) for number in numbers]
    for under_way in calls:
        assert len(under_way.wait().calls) == 5
    asterisk.wait_for_no_channels()
    ended, timed_out = marked(asterisk, "h"), marked(asterisk, "T")
    assert list(ended.values()) == ["1"] * 5 * len(numbers)
    assert timed_out == ended
    assert not gateway.events("a visit cannot be used and stays in AstDB")
    assert marked(asterisk, "waited") == {}
    wait_for("the records are taken", lambda: not labs.missed(asterisk), deadline=45)
    stored = [row["call_id"] for row in labs.activations(gateway)[before:]]
    print(f"{len(stored)} of {len(ended)} got as far as the record")
    assert 0 < len(stored) == len(set(stored))
    assert {call for call, told in flows.seen(asterisk).items() if told == ["RECORDED"]} <= set(stored)
