"""What strangers send in a call, withheld numbers, and callers who hang up inside the node."""

import base64
import collections.abc
import json
import re
import signal
import unicodedata
from typing import Any

import pytest

from rig import sipp
from rig.asterisk import Asterisk
from tests.acceptance import flows
from tests.acceptance import lab as labs
from tests.acceptance.flows import ATTACKER, CALLER, DESK
from tests.acceptance.gateway import Gateway, wait_for

pytestmark = pytest.mark.asterisk

SHOWN = "[{{ caller }}|{{ caller_name }}]"
NODES = {
    "desk": {"recipients": DESK, "send_to_caller": True, "content": {"text": SHOWN}},
    "variable": {"recipients": DESK, "content": {"text": "[{{ NAME }}]"}},
    "fixed": {"recipients": DESK, "content": {"text": "hello"}},
}
LONGEST_SHOWN = 60  # characters of a name or a number in a text

DIALPLAN = f"""{flows.SEEN}
[from-trunk]
exten => 300,1,Gosub(agi-sms,s,1(desk))
 same => n,Gosub(seen,s,1)
 same => n,Answer()
 same => n,Hangup()
; A name or a number as another channel driver may hand it on: any bytes.
exten => 301,1,Set(CALLERID(name)=${{BASE64_DECODE(${{DB(test/name)}})}})
 same => n,Goto(300,1)
exten => 302,1,Set(CALLERID(num)=${{BASE64_DECODE(${{DB(test/name)}})}})
 same => n,Goto(300,1)
; As it is to be written, and as somebody will write it.
exten => 303,1,Gosub(agi-sms,s,1(variable,var.NAME=${{URIENCODE(${{CALLERID(name)}})}}))
 same => n,Gosub(seen,s,1)
 same => n,Answer()
 same => n,Hangup()
exten => 304,1,Gosub(agi-sms,s,1(fixed,var.NAME=${{CALLERID(name)}}))
 same => n,Gosub(seen,s,1)
 same => n,Answer()
 same => n,Hangup()
exten => 305,1,Stasis(agi-sms,desk)
 same => n,Answer()
 same => n,Hangup()
exten => 310,1,Gosub(agi-sms,s,1(fixed))
 same => n,Set(DB(test/seen/${{UNIQUEID}})=${{AGISMS_STATUS}}:${{AGISMS_COUNT}})
 same => n,Wait(2)
 same => n,Hangup()
exten => h,1,Set(DB(test/ended/${{UNIQUEID}})=1)
"""

NAMES = {
    "recipient": b"x,recipients=+19005550100",
    "quoted": rb"x\",recipients=+19005550100,y=\"",
    "quotes": rb"\"\"'`",
    "open quote": rb"\"",
    "backslashes": rb"a\\b\\,recipients=+19005550100,\\",
    "brackets": b"({[,recipients=+19005550100",
    "separators": b"a;b|c&d=e<f>,recipients=+19005550100",
    "percent": b"100%2Crecipients%3D+19005550100%0D%0A%00%zz%",
    "not UTF-8": b"\xff\xfe,recipients=+19005550100,\xc5",
    "template": b"{{ 7*7 }}{% for a in range(9**9) %}{{ caller.__class__ }}",
    "dialplan": b"${SHELL(touch /rig/owned)}$[6*7],${GLOBAL(x)}",
    "terminal": b"\x1b[31mred\x1b]0;owned\x07\x08\x7f",
    "direction": "\u202egnitirw\u202c\ufeff\u200bZażółć 🙂".encode(),
    "very long": b"n," * 700,
    "SQL": b"'); DROP TABLE messages; --",
}
LINES = b"x\r\nAction: Originate\r\nrecipients=+19005550100\n\nevent: y\x00z"


@pytest.fixture(scope="module")
def door(pbx: Asterisk, tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[Gateway]:
    """One gateway for this file's tests."""
    with flows.served(pbx, tmp_path_factory.mktemp("hostile"), NODES) as running:
        yield running


@pytest.fixture
def gateway(door: Gateway, asterisk: Asterisk) -> collections.abc.Iterator[Gateway]:
    """It must be as good as ever after each test."""
    with flows.shown(asterisk, door):
        yield door
        assert door.running()
        for line in door.said().splitlines():
            assert line.startswith("warning: /") or isinstance(json.loads(line), dict), line
        assert not [e for e in door.events() if "bug" in e["event"] or e.get("level") == "error"]


def one_call(asterisk: Asterisk, gateway: Gateway, number: str, **how: Any) -> list[dict[str, Any]]:
    """Place one call that goes on after the node; the messages that it made, once they went their way."""
    before = len(gateway.sent())
    assert flows.place(asterisk, number, **how).call.answered
    (call_id,) = flows.seen(asterisk)
    rows = flows.settled_of(gateway, call_id)
    sent = gateway.sent()[before:]
    refs, ids = {line["ref"] for line in sent}, {row["id"] for row in rows}
    assert refs & ids == {row["id"] for row in rows if row["status"] == "accepted"}
    assert refs - ids <= flows.message_ids(gateway)  # of calls before this one, which ended while it was placed
    assert ATTACKER not in {line["to"] for line in sent}
    return rows


def harmless(text: str) -> bool:
    """Whether nothing in it is invisible, turns text round or moves a cursor."""
    return not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for char in text)


def named(rows: list[dict[str, Any]]) -> str:
    """The name in the text of messages to exactly the planned recipients."""
    assert flows.to(rows) == [(CALLER, "accepted", None), (DESK, "accepted", None)]
    (text,) = {row["text"] for row in rows}
    assert text.startswith(f"[{CALLER}|")
    assert text.endswith("]")
    name: str = text.removeprefix(f"[{CALLER}|").removesuffix("]")
    assert harmless(name)
    assert len(name) <= LONGEST_SHOWN
    return name


@pytest.mark.parametrize(
    ("trusted", "privacy", "reason"),
    [
        # Asterisk's default, trust_id_inbound=no, ignores the caller's wish: nothing of it reaches the dialplan.
        pytest.param(False, "id", None, id="untrusted, number shown"),
        pytest.param(False, "anonymous", "caller_withheld", id="untrusted, anonymous"),
        pytest.param(True, "id", "caller_withheld", id="trusted, number shown"),
        pytest.param(True, "anonymous", "caller_withheld", id="trusted, anonymous"),
    ],
)
@pytest.mark.parametrize("number", ["300", "305"], ids=["subroutine", "bare"])
def test_withheld_caller(
    asterisk: Asterisk, gateway: Gateway, number: str, trusted: bool, privacy: sipp.Privacy, reason: str | None
) -> None:
    """A caller who withholds the number gets nothing, and neither number nor name reaches anybody."""
    logged = len(gateway.said())
    before = len(labs.activations(gateway))
    how = {"trusted": trusted, "privacy": privacy, "caller": CALLER, "caller_name": "Jan Kowalski"}
    assert flows.place(asterisk, number, **how).call.answered
    rows = flows.settled_of(gateway, labs.wait_activations(gateway, before + 1)[before]["call_id"])
    if reason is None:
        assert named(rows) == "Jan Kowalski"
        return
    assert flows.to(rows) == [("", "skipped", reason), (DESK, "accepted", None)]
    assert {row["text"] for row in rows} == {"[|]"}
    if number == "300":
        assert flows.told(asterisk) == ["SCHEDULED:1"]
    assert CALLER[1:] not in gateway.said()[logged:]
    assert "Kowalski" not in gateway.said()[logged:]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_hostile_caller_name(asterisk: Asterisk, gateway: Gateway, name: bytes) -> None:
    shown = named(one_call(asterisk, gateway, "300", raw_caller_name=name))
    assert shown or name == NAMES["not UTF-8"]
    if name == NAMES["template"]:
        assert shown.startswith("{{ 7*7 }}{% for a in range(9**9) %}")
    if name == NAMES["dialplan"]:
        assert shown.startswith("${SHELL(touch")
        assert "42" not in shown
        assert not (asterisk.directory / "owned").exists()
    if name == NAMES["percent"]:
        assert shown == "100%2Crecipients%3D+19005550100%0D%0A%00%zz%"


@pytest.mark.parametrize("name", [LINES, b'a"b\\c\\', b"\xff" * 600], ids=["lines", "quote", "not UTF-8"])
def test_hostile_caller_name_of_another_channel_driver(asterisk: Asterisk, gateway: Gateway, name: bytes) -> None:
    flows.put(asterisk, "name", base64.b64encode(name).decode())
    named(one_call(asterisk, gateway, "301"))


@pytest.mark.parametrize(
    "number", [b"1,recipients=+19005550100", LINES, b"\xff\xfe", b'"\\', b"9" * 600, b"{{ 7*7 }}"], ids=lambda n: n[:12]
)
def test_hostile_number(asterisk: Asterisk, gateway: Gateway, number: bytes) -> None:
    """It is no number that could get an SMS, and the others get theirs."""
    flows.put(asterisk, "name", base64.b64encode(number).decode())
    rows = one_call(asterisk, gateway, "302")
    (desk,) = (row for row in rows if row["recipient"] == DESK)
    (caller,) = (row for row in rows if row["recipient"] != DESK)
    assert (caller["status"], caller["reason"]) == ("skipped", "caller_invalid")
    assert desk["status"] == "accepted"
    assert harmless(desk["text"])
    assert "49" not in desk["text"]


def test_hostile_number_over_sip(asterisk: Asterisk, gateway: Gateway) -> None:
    rows = one_call(asterisk, gateway, "300", caller="1,recipients=+19005550100")
    assert (DESK, "accepted", None) in flows.to(rows)
    assert len(rows) == 2


def test_faked_number_that_would_cost(asterisk: Asterisk, gateway: Gateway) -> None:
    """A valid number, which the caller may have made up so that we pay for an SMS to it."""
    rows = one_call(asterisk, gateway, "300", caller=ATTACKER)
    assert flows.to(rows) == [(ATTACKER, "skipped", "not_mobile"), (DESK, "accepted", None)]


@pytest.mark.parametrize("name", ["quoted", "percent", "terminal", "template", "not UTF-8"])
def test_hostile_variable(asterisk: Asterisk, gateway: Gateway, name: str) -> None:
    rows = one_call(asterisk, gateway, "303", raw_caller_name=NAMES[name])
    assert flows.to(rows) == [(DESK, "accepted", None)]
    assert harmless(rows[0]["text"])
    assert "49" not in rows[0]["text"]


@pytest.mark.parametrize("name", ["recipient", "quoted", "not UTF-8", "terminal"])
def test_dialplan_that_forgot_to_encode(asterisk: Asterisk, gateway: Gateway, name: str) -> None:
    """It may lose its own SMS; a stranger still gets none, and the call goes on."""
    before = len(gateway.sent())
    assert flows.place(asterisk, "304", raw_caller_name=NAMES[name]).call.answered
    (told,) = flows.told(asterisk)
    assert told in ("SCHEDULED:1", "INVALID:0", "MISSED:0")
    if told == "SCHEDULED:1":
        (call_id,) = flows.seen(asterisk)
        assert flows.to(flows.settled_of(gateway, call_id)) == [(DESK, "accepted", None)]
    wait_for("what was missed is taken", lambda: not labs.missed(asterisk))
    assert ATTACKER not in {line["to"] for line in gateway.sent()[before:]}


def test_hangup_while_the_gateway_hangs(asterisk: Asterisk, gateway: Gateway) -> None:
    """The visit is there twice when it goes on, as an event and in AstDB, and ends as one activation."""
    before = len(labs.activations(gateway))
    gateway.signal(signal.SIGSTOP)
    try:
        placed = flows.place(asterisk, "310", calls=5, rate=20, hangup_after_ms=400)
        assert {call.status for call in placed.calls} == {487}
        assert len(labs.missed(asterisk)) == 5
    finally:
        gateway.signal(signal.SIGCONT)
    wait_for("what was missed is taken", lambda: not labs.missed(asterisk), deadline=45)
    rows = labs.wait_activations(gateway, before + 5)[before:]
    assert len({row["call_id"] for row in rows}) == 5
    for row in rows:
        assert flows.to(flows.settled_of(gateway, row["call_id"])) == [(DESK, "accepted", None)]
    assert flows.seen(asterisk) == {}


def test_hangup_at_any_moment(asterisk: Asterisk, gateway: Gateway) -> None:
    """Callers who are gone after a few milliseconds: at most one activation each, and the next call is served."""
    before = len(labs.activations(gateway))
    calls = [
        sipp.place_async(asterisk, "310", calls=10, rate=100, hangup_after_ms=delay, hold=0.1) for delay in (1, 8, 20)
    ]
    for under_way in calls:
        assert len(under_way.wait().calls) == 10
    asterisk.wait_for_no_channels()
    ended = {key.removeprefix("ended/") for key in asterisk.database("test") if key.startswith("ended/")}
    rows = labs.activations(gateway)[before:]
    stored = {row["call_id"] for row in rows}
    assert len(stored) == len(rows)
    assert stored <= ended
    assert stored >= set(flows.seen(asterisk))
    assert {row["node"] for row in rows} <= {"fixed"}
    # Most of these calls were stored; what the dialplan wrote down as well is a whole visit, or the gateway would
    # never be rid of it.
    for visit, record in asterisk.database("agi-sms").items():
        assert re.match(rf"fixed,visit={visit},origin=[0-9.]+,", record), record
    asterisk.database_clear("test")
    named(one_call(asterisk, gateway, "300"))


def test_nothing_of_it_all_is_in_the_way(asterisk: Asterisk, gateway: Gateway) -> None:
    """After whatever ran before: every history format, explain and the log can still be read."""
    rows = one_call(asterisk, gateway, "300", raw_caller_name=NAMES["terminal"])
    for form in ("table", "csv", "json"):
        done = gateway.command("history", "--format", form, "--limit", "1000")
        assert done.returncode == 0
        assert harmless(done.stdout.replace("\n", ""))
    told = gateway.command("explain", rows[0]["id"])
    assert told.returncode == 0
    assert harmless(told.stdout.replace("\n", ""))
