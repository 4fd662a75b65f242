"""Three ways into the gateway, one behaviour: by ARI, by FastAGI, by an event with a record in AstDB.

The core of it with Asterisk 16 too: what is stored, the way back, once per call, after the hangup.
"""

import collections.abc
import contextlib
import sqlite3
from collections import Counter
from typing import Any

import pytest

from rig import ports, sipp
from rig.asterisk import Asterisk
from tests.acceptance import flows, stories
from tests.acceptance import lab as labs
from tests.acceptance.flows import ATTACKER, CALLER, DEPUTY, DESK
from tests.acceptance.gateway import Gateway, wait_for
from tests.acceptance.stories import EVENT, WAYS, Story

pytestmark = [pytest.mark.asterisk, pytest.mark.asterisk_versions("22")]
BOTH = pytest.mark.asterisk_versions("22", "16")

AFTER_HANGUP = ("agi-sms-agi", EVENT)
LANDLINE, DIVERTED = "+48221131415", "+48600100400"
HOUR_MS = 3_600_000

TEXT = (
    "[{{ caller }}|{{ caller_name }}|{{ dialled }}|{{ diverted_from }}|{{ ORDER | default('') }}|{{ node }}|{{ pbx }}]"
)
OWN: dict[str, Any] = {"recipients": DESK, "content": {"text": TEXT}}
NODES: dict[str, dict[str, Any]] = {
    "plain": {**OWN, "recipients": f"{DESK}, {DEPUTY}", "send_to_caller": True},
    "open": {**OWN, "sender": "ACME", "dialplan_recipients": True},
    "late": {**OWN, "delay": "1h"},
    "now": {**OWN, "delay": "1h"},
    "long": {**OWN, "content": {"text": "{{ LONG }}"}, "max_segments": 2},
    **{
        f"few-{way}": {**OWN, "content": {"text": "few {{ ORDER | default('') }}"}, "limits": {"per_node": "1/1h"}}
        for way in WAYS
    },
    "missed": {**OWN, "when": {"DIALSTATUS": ["NOANSWER", "BUSY", "CANCEL"]}},
    "once": {**OWN, "once_per_call": True},
}

DIALPLAN = f"""{stories.WAY}
[from-trunk]
; What a dialplan hands over.
exten => 500,1,Gosub(way,s,1)
 same => n,Gosub(visit,s,1(plain,var.ORDER=${{URIENCODE(„pilne”, nr 5/7)}}))
 same => n,Gosub(visit,s,1(open,recipients=${{URIENCODE({DEPUTY}, 600 100 302,nobody)}},sender=Desk,delay=1h))
 same => n,Gosub(visit,s,1(late,recipients=${{URIENCODE({ATTACKER})}},sender=${{URIENCODE(too long a sender)}}))
 same => n,Gosub(visit,s,1(now,delay=0))
 same => n,Gosub(visit,s,1(long,var.LONG=${{DB(long/long)}}))
 same => n,Gosub(visit,s,1(few-${{WAY}}))
 same => n,Gosub(visit,s,1(few-${{WAY}},var.ORDER=2))
 same => n,Gosub(visit,s,1(once))
 same => n,Gosub(visit,s,1(once,var.ORDER=2))
 same => n,Answer()
 same => n,Hangup()
exten => 501,1,Gosub(way,s,1)
 same => n,Gosub(visit,s,1(plain,delay=soon))
 same => n,Answer()
 same => n,Hangup()
exten => 502,1,Gosub(way,s,1)
 same => n,Gosub(visit,s,1(missed,var.DIALSTATUS=busy))
 same => n,Gosub(visit,s,1(missed,var.DIALSTATUS=ANSWER))
 same => n,Gosub(visit,s,1(missed))
 same => n,Answer()
 same => n,Hangup()
exten => 503,1,Gosub(way,s,1)
 same => n,Gosub(visit,s,1(no-such-node))
 same => n,Gosub(visit,s,1(plain,colour=red))
 same => n,Answer()
 same => n,Hangup()
; What a caller brings.
exten => _51X,1,Gosub(way,s,1)
 same => n,Gosub(visit,s,1(plain,var.ORDER=${{URIENCODE(${{CALLERID(name)}})}}))
 same => n,Answer()
 same => n,Hangup()
; The next step of the dialplan takes the database away as it is.
exten => 520,1,Gosub(way,s,1)
 same => n,Gosub(visit,s,1(plain))
 same => n,System(cd /rig/gateway && mkdir ${{UNIQUEID}} && cp agi-sms.db agi-sms.db-wal ${{UNIQUEID}})
 same => n,Answer()
 same => n,Hangup()
; A phone that is called, and what came of it, after the hangup.
exten => _53X,1,Gosub(way,s,1)
 same => n,Set(AFTER=${{PJSIP_HEADER(read,X-After)}})
 same => n,ExecIf($["${{AFTER}}" = "handler"]?Set(CHANNEL(hangup_handler_push)=gone,s,1))
 same => n,Dial(PJSIP/phone/${{PJSIP_HEADER(read,X-Phone)}},1)
 same => n,Hangup()
exten => h,1,GotoIf($["${{AFTER}}" = "h"]?visit)
 same => n,Set(DB(test/h/${{UNIQUEID}})=1)
 same => n,Goto(over)
 same => n(visit),Gosub(visit,s,1(missed,var.DIALSTATUS=${{DIALSTATUS}}))
 same => n(over),NoOp()
[gone]
exten => s,1,Gosub(visit,s,1(missed,var.DIALSTATUS=${{DIALSTATUS}}))
 same => n,Return()
; All ways in one call, and again after a transfer, and after the hangup.
[all]
exten => s,1,Gosub(${{ARG1}},s,1(once))
 same => n,Gosub(${{ARG2}},s,1(once))
 same => n,Gosub(${{ARG3}},s,1(once))
 same => n,Return()
[from-trunk](+)
exten => 540,1,Set(__WAY={EVENT})
 same => n,Set(__AFTER=h)
 same => n,Gosub(all,s,1(${{CUT(DB(test/order),&,1)}},${{CUT(DB(test/order),&,2)}},${{CUT(DB(test/order),&,3)}}))
 same => n,Dial(${{DB(test/phone)}},10)
 same => n,Hangup()
exten => 541,1,Gosub(all,s,1({",".join(WAYS)}))
 same => n,Hangup()
"""

CALLERS: dict[str, dict[str, Any]] = {
    "510": {"caller_name": "Łukasz Żak"},
    "511": {"trusted": True, "privacy": "id", "caller_name": "Jan Kowalski"},
    "512": {"caller": LANDLINE},
    "513": {"raw_caller_name": rb"x\",recipients=+19005550100,y=\"', \\ ;|${SHELL(id)}"},
    "514": {"raw_caller_name": b"\xff\xfe,AgiSms: other,Event: Shutdown,\xc5"},
    "515": {"raw_caller_name": "{{ 7*7 }}\u202eżółć🙂%2Crecipients%3D".encode()},
    "516": {"headers": {"Diversion": f"<sip:{DIVERTED}@127.0.0.1>;reason=no-answer"}},
    "517": {"raw_caller_name": b"n," * 500},
    "518": {"caller": ATTACKER},
    "519": {"caller": "anonymous"},
}
FEW = ("510", "511", "513", "516")
DIALPLANS = {number: dict[str, Any]() for number in ("500", "501", "502")}


@pytest.fixture(scope="module")
def door(pbx: Asterisk) -> collections.abc.Iterator[Gateway]:
    """One gateway with all three doors; Asterisk sees its folder."""
    (port,) = ports.free(1)
    pbx.cli(f"dialplan set global AGISMS_AGI 127.0.0.1:{port}")
    listening = {"listen": f"127.0.0.1:{port}"}
    made = Gateway(pbx.directory / "gateway", pbx, NODES, agi=listening, **flows.PATIENT)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def gateway(door: Gateway, asterisk: Asterisk) -> collections.abc.Iterator[Gateway]:
    """It must be as good as ever after each test."""
    with flows.shown(asterisk, door):
        yield door
        assert door.running()
        assert not [e for e in door.events() if "bug" in e["event"] or "lost" in e["event"]]


@pytest.fixture(scope="module")
def brought(asterisk_version: str) -> dict[str, dict[str, Any]]:
    """The callers: all of them with 22, a few with 16."""
    return CALLERS if asterisk_version == "22" else {number: CALLERS[number] for number in FEW}


@pytest.fixture(scope="module")
def told(pbx: Asterisk, door: Gateway, brought: dict[str, dict[str, Any]]) -> list[Story]:
    """What came of the same calls by every way."""
    pbx.database_clear("test")
    with pbx.session() as session:
        session.action("DBPut", Family="long", Key="long", Val="x" * 400)
    with flows.shown(pbx, door):
        for calls in (DIALPLANS, brought):
            stories.place(pbx, calls)
        return stories.read(pbx, door)


def of(told: list[Story], number: str) -> collections.abc.Iterator[Story]:
    """The calls to a number: one by each way."""
    found = [story for story in told if story.number == number]
    assert sorted(story.way for story in found) == sorted(WAYS)
    yield from found


def answered(*, ari: list[str]) -> dict[str, tuple[str, ...]]:
    """What the dialplan is told by each way, where it is this by ARI."""
    return {way: ("RECORDED:0",) * len(ari) if way == EVENT else tuple(ari) for way in WAYS}


@BOTH
def test_the_same_is_stored_whatever_the_way(told: list[Story], brought: dict[str, dict[str, Any]]) -> None:
    stories.alike(told)
    assert Counter(story.way for story in told) == dict.fromkeys(WAYS, len(brought) + len(DIALPLANS))
    for story in told:
        assert set(story.entries) == {WAYS[story.way]}


@BOTH
def test_what_the_dialplan_hands_over(told: list[Story]) -> None:
    both = [(DESK, "accepted", None), (DEPUTY, "accepted", None)]
    expected = answered(
        ari=[
            "SCHEDULED:3",
            "SCHEDULED:3",
            "INVALID:0",
            "SCHEDULED:1",
            "SKIPPED:0",
            "SCHEDULED:1",
            "SKIPPED:0",
            "SCHEDULED:1",
            "SKIPPED:0",
        ]
    )
    for story in of(told, "500"):
        plain, wide, late, now, long, few, more, once, again = story.visits
        assert plain.outcome == [(CALLER, "accepted", None), *both]
        assert plain.text == f"[{CALLER}||500||„pilne”, nr 5/7|plain|main]"
        assert {one.encoding for one in plain.messages} == {"ucs2"}
        assert wide.outcome == [
            (DESK, "scheduled", None),
            (DEPUTY, "scheduled", None),
            ("+48600100302", "scheduled", None),
            ("nobody", "skipped", "recipient_invalid"),
        ]
        assert {(one.sender, one.due) for one in wide.messages} == {("Desk", HOUR_MS)}
        assert late.outcome == [(DESK, "held", "bad_argument")]
        assert now.outcome == [(DESK, "accepted", None)]
        assert now.messages[0].due == 0
        assert long.outcome == [(DESK, "skipped", "too_long")]
        assert (few.outcome, more.outcome) == ([(DESK, "accepted", None)], [(DESK, "skipped", "capped")])
        assert (once.outcome, again.outcome) == ([(DESK, "accepted", None)], [(DESK, "skipped", "duplicate_in_call")])
        assert story.told == expected[story.way]


def test_a_delay_that_cannot_be_read_holds_the_messages(told: list[Story]) -> None:
    expected = answered(ari=["INVALID:0"])
    for story in of(told, "501"):
        held = [(number, "held", "bad_argument") for number in (CALLER, DESK, DEPUTY)]
        assert story.visits[0].outcome == held
        assert story.told == expected[story.way]


def test_a_condition_fits_or_does_not_or_cannot_be_told(told: list[Story]) -> None:
    expected = answered(ari=["SCHEDULED:1", "SKIPPED:0", "SKIPPED:0"])
    for story in of(told, "502"):
        fits, *others = story.visits
        assert fits.outcome == [(DESK, "accepted", None)]
        assert [other.outcome for other in others] == [[(DESK, "skipped", "condition")]] * 2
        assert story.told == expected[story.way]


@pytest.mark.parametrize(
    ("number", "caller", "refusal", "shown"),
    [
        ("510", CALLER, None, f"[{CALLER}|Łukasz Żak|510||Łukasz Żak|plain|main]"),
        ("511", "", "caller_withheld", "[||511|||plain|main]"),
        ("512", LANDLINE, "landline", f"[{LANDLINE}||512|||plain|main]"),
        ("513", CALLER, None, None),
        ("514", CALLER, None, None),
        ("515", CALLER, None, None),
        ("516", CALLER, None, f"[{CALLER}||516|{DIVERTED}||plain|main]"),
        ("517", CALLER, None, None),
        ("518", ATTACKER, "not_mobile", f"[{ATTACKER}||518|||plain|main]"),
        ("519", "", "caller_withheld", "[||519|||plain|main]"),
    ],
)
def test_what_the_caller_brings(
    told: list[Story], number: str, caller: str, refusal: str | None, shown: str | None
) -> None:
    expected = answered(ari=[f"SCHEDULED:{2 if refusal else 3}"])
    for story in of(told, number):
        (visit,) = story.visits
        to_caller = (caller, "skipped" if refusal else "accepted", refusal)
        assert visit.outcome == sorted([to_caller, (DESK, "accepted", None), (DEPUTY, "accepted", None)], key=str)
        assert shown is None or visit.text == shown
        assert story.told == expected[story.way]


def test_mistakes_of_the_dialplan_are_named_and_cost_no_call_anything(asterisk: Asterisk, gateway: Gateway) -> None:
    """Nobody waits for the event way's answer, so its records stay in AstDB, for a person to see."""
    logged = len(gateway.events())
    stories.place(asterisk, {"503": {}})
    expected = answered(ari=["INVALID:0", "INVALID:0"])
    seen = flows.seen(asterisk)
    ways = {key.removeprefix("way/"): way for key, way in asterisk.database("test").items() if key.startswith("way/")}
    assert {ways[call].partition(":")[0]: tuple(said) for call, said in seen.items()} == expected

    def since(said: str) -> list[dict[str, Any]]:
        return [event for event in gateway.events()[logged:] if said in event["event"]]

    wait_for("both records are named", lambda: len(since("stays in AstDB")) == 2)
    assert len(labs.missed(asterisk)) == 2
    assert [e["node"] for e in since("stays in AstDB") if e["reason"].startswith("no such node; nodes: ")] == [
        "no-such-node"
    ]
    assert len(since("call goes on without SMS: no such node")) == len(WAYS) - 1
    assert not [row for row in labs.activations(gateway) if row["node"] == "no-such-node"]


def test_it_is_on_disk_before_the_call_goes_on(asterisk: Asterisk, gateway: Gateway) -> None:
    """The dialplan's next step takes a copy of the database: a gateway that dies at that moment has lost nothing."""
    waited_for = [way for way in WAYS if way != EVENT]
    for _ in range(3):
        stories.place(asterisk, {"520": {}}, waited_for)
    asterisk.wait_for_no_channels()
    calls = [key.removeprefix("way/") for key in asterisk.database("test") if key.startswith("way/")]
    assert len(calls) == 3 * len(waited_for)
    for call_id in calls:
        with contextlib.closing(sqlite3.connect(gateway.directory / call_id / "agi-sms.db")) as copy:
            query = "SELECT m.recipient FROM messages m JOIN activations a ON a.id = m.activation_id WHERE call_id = ?"
            assert {to for (to,) in copy.execute(query, [call_id])} == {CALLER, DESK, DEPUTY}


def test_gateway_away(asterisk: Asterisk, gateway: Gateway, told: list[Story]) -> None:
    """Whichever way the calls wanted to go, the gateway takes their visits later: the same messages."""
    assert gateway.stop() == 0
    calls = {number: CALLERS[number] for number in FEW}
    try:
        stories.place(asterisk, calls)
        assert len(labs.missed(asterisk)) == len(calls) * len(WAYS)
    finally:
        gateway.start()
    later = stories.read(asterisk, gateway)
    assert len(later) == len(calls) * len(WAYS)
    stories.alike([*told, *later])
    for story in later:
        assert story.told == (("RECORDED:0",) if story.way == EVENT else ("MISSED:0",))
        assert story.entries == (("ami",) if story.way == EVENT else ("astdb",))
    missed = "calls had passed that the gateway missed, their visits are stored now"
    assert sum(event["calls"] for event in gateway.events(missed)) == len(calls) * (len(WAYS) - 1)


@BOTH
@pytest.mark.parametrize("after", ["h", "handler"])
def test_after_the_hangup(asterisk: Asterisk, gateway: Gateway, after: str) -> None:
    """What became of a Dial is known then: those who got nobody get their SMS."""
    with sipp.Phone(busy=True) as busy, sipp.Phone(ring=60) as ringing, sipp.Phone(hangup_after=0.1) as answering:

        def to(phone: sipp.Phone) -> dict[str, Any]:
            return {"headers": {"X-Phone": phone.uri, "X-After": after}}

        calls = {
            "531": to(busy),
            "532": to(ringing),
            "533": {**to(ringing), "hangup_after_ms": 400},
            "534": to(answering),
        }
        stories.place(asterisk, calls, AFTER_HANGUP)
    found = stories.read(asterisk, gateway)
    assert len(found) == len(calls) * len(AFTER_HANGUP)
    stories.alike(found)
    outcomes = {story.number: story.visit("missed") for story in found}
    assert {number: visit.vars for number, visit in outcomes.items()} == {
        "531": '{"DIALSTATUS": "BUSY"}',
        "532": '{"DIALSTATUS": "NOANSWER"}',
        "533": '{"DIALSTATUS": "CANCEL"}',
        "534": '{"DIALSTATUS": "ANSWER"}',
    }
    for number, visit in outcomes.items():
        assert visit.dialled == number
        assert visit.outcome == [(DESK, *(("skipped", "condition") if number == "534" else ("accepted", None)))]
    for story in found:
        assert story.entries == (WAYS[story.way],)


@BOTH
@pytest.mark.parametrize("first", WAYS)
def test_once_per_call_whichever_ways_it_goes(asterisk: Asterisk, gateway: Gateway, first: str) -> None:
    """Three visits by three ways, three after a transfer, one after the hangup."""
    order = [first, *(way for way in WAYS if way != first)]
    flows.put(asterisk, "order", "&".join(order))
    before = len(labs.activations(gateway))
    with sipp.Phone(transfer_to="541") as phone:
        flows.put(asterisk, "phone", phone.dial)
        assert flows.place(asterisk, "540", hold=20).call.answered
    asterisk.wait_for("all records are taken", lambda: not labs.missed(asterisk))
    visits = labs.wait_activations(gateway, before + 7)[before:]
    assert Counter((row["node"], row["entry"]) for row in visits) == {
        ("once", "ari"): 2,
        ("once", "agi"): 2,
        ("once", "ami"): 2,
        ("missed", "ami"): 1,
    }
    (call_id,) = {row["call_id"] for row in visits}
    outcomes = Counter(row["reason"] for row in flows.settled_of(gateway, call_id) if row["node"] == "once")
    assert outcomes == {None: 1, "duplicate_in_call": 5}
