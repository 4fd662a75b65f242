"""The dialplan subroutine and the example configuration on a real Asterisk, without the gateway."""

import base64
import collections.abc
import pathlib
import re
import urllib.parse

import pytest

from rig import ami, ari, asterisk, errors, sipp

pytestmark = [pytest.mark.asterisk, pytest.mark.asterisk_versions("22", "16")]

DIALPLAN = pathlib.Path(__file__).with_suffix(".conf").read_text()

HOSTILE = [
    b"x,recipients=+19005550100",
    b"x,visit=00000000-0000-4000-8000-000000000000",
    b'a"b',
    b"back\\slash\\",
    b"${SHELL(id)}$[1+1]",
    b"line\r\nAction: Originate\nend",
    b")}]",
    b"({[",
    b"a;b|c&d@e!f<g>h%2Ci",
    "Zażółć gęślą jaźń".encode(),
    b"\xff\xfe not UTF-8 \xc5",
    b"n" * 700,
    "ż".encode() * 60,
]


@pytest.fixture(scope="module", autouse=True)
def dialplan(shared_asterisk: asterisk.Asterisk) -> None:
    """Load this file's call flows."""
    shared_asterisk.load_dialplan(DIALPLAN)


def parsed(record: str) -> tuple[str, dict[str, bytes]]:
    """Read a record as the contract says: the node, then key=value, values percent-encoded; no key twice."""
    node, *rest = record.split(",")
    pairs = [item.split("=", 1) for item in rest if item]
    assert len({key for key, _ in pairs}) == len(pairs), record
    return urllib.parse.unquote(node), {key: urllib.parse.unquote_to_bytes(value) for key, value in pairs}


def missed(pbx: asterisk.Asterisk) -> list[tuple[str, dict[str, bytes]]]:
    """Return the records of missed visits, after checking that each is filed under its own visit."""
    records = []
    for key, value in pbx.database("agi-sms").items():
        node, facts = parsed(value)
        assert facts["visit"].decode() == key
        assert re.fullmatch("[0-9.]+-[0-9]{16}-[0-9]{9}", key)
        records.append((node, facts))
    return records


def only(pbx: asterisk.Asterisk) -> tuple[str, dict[str, bytes]]:
    """Return the one record of a missed visit."""
    (record,) = missed(pbx)
    return record


def put(pbx: asterisk.Asterisk, key: str, value: str) -> None:
    """Give a call flow something to read: DB(test/KEY)."""
    with pbx.session() as session:
        session.action("DBPut", Family="test", Key=key, Val=value)


def call(pbx: asterisk.Asterisk, number: str, **how: object) -> sipp.Call:
    """Place one call and wait until Asterisk is done with it."""
    result = sipp.place(pbx, number, hold=0.1, **how)  # type: ignore[arg-type]
    pbx.wait_for_no_channels()
    return result.call


def test_nobody_listens_visit_is_written_down(asterisk: asterisk.Asterisk) -> None:
    call(asterisk, "100", caller="+48600100200", caller_name="Jan, Kowalski")
    node, facts = only(asterisk)
    assert node == "NODE"
    channel = facts["channel"].decode()
    assert re.fullmatch(r"\d+\.\d+", channel)
    at = int(facts.pop("at"))
    trunk = facts.pop("trunk").decode()
    assert re.fullmatch(r"PJSIP/trunk-[0-9a-f]+", trunk)
    assert abs(at - float(channel)) < 60
    del facts["visit"]
    assert facts == {
        "origin": channel.encode(),
        "call": b"",
        "channel": channel.encode(),
        "linkedid": channel.encode(),
        "caller": b"+48600100200",
        "presentation": b"allowed_not_screened",
        "caller_name": b"Jan, Kowalski",
        "dialled": b"100",
        "diverted_from": b"",
    }
    seen = asterisk.database("test")
    assert seen == {"status": "MISSED", "count": "0", "both": "MISSED,0", "timeout": "0", "h": "1"}


def test_answer_of_the_gateway_reaches_the_dialplan(asterisk: asterisk.Asterisk) -> None:
    """Reading AstDB afterwards is the point too: a variable set by ARI makes Asterisk 22.10.1 refuse that."""
    with ari.App(asterisk, answer="SCHEDULED,2") as gateway:
        call(asterisk, "100")
        assert missed(asterisk) == []
        seen = asterisk.database("test")
        assert seen == {"status": "SCHEDULED", "count": "2", "both": "SCHEDULED,2", "timeout": "0", "h": "1"}
        (start,) = gateway.calls()
    node, facts = parsed(",".join(start["args"]))
    assert node == "NODE"
    assert facts["origin"].decode() == start["channel"]["id"]
    assert start["channel"]["channelvars"] == {
        "CHANNEL(linkedid)": start["channel"]["id"],
        "CALLERID(num-pres)": "allowed_not_screened",
        "CALLERID(dnid)": "100",
    }


def test_old_result_is_cleared_on_entry(asterisk: asterisk.Asterisk) -> None:
    call(asterisk, "105")
    assert only(asterisk)[0] == "NODE"
    assert asterisk.database("test")["both"] == "MISSED,0"


def test_arguments_are_forwarded_as_they_are(asterisk: asterisk.Asterisk) -> None:
    call(asterisk, "101")
    facts = only(asterisk)[1]
    given = {key: facts[key] for key in ("var.A", "delay", "sender", "recipients", "var.B", "var.C", "var.D")}
    assert given == {
        "var.A": "a,b=ż".encode(),
        "delay": b"5m",
        "sender": b"X",
        "recipients": b"+1,+2",
        "var.B": b"",
        "var.C": b"1",
        "var.D": b"2",
    }


def test_arguments_of_an_outer_subroutine_stay_out(asterisk: asterisk.Asterisk) -> None:
    call(asterisk, "102")
    facts = only(asterisk)[1]
    assert set(facts) == {
        *("visit", "origin", "call", "caller", "presentation", "dialled", "diverted_from", "trunk", "caller_name"),
        *("linkedid", "channel", "at", "var.X"),
    }


def test_odd_node_name_stays_one_argument(asterisk: asterisk.Asterisk) -> None:
    call(asterisk, "103")
    node, facts = only(asterisk)
    assert "," in node
    assert facts["dialled"] == b"103"


def test_visits_of_one_call_differ_and_share_the_call(asterisk: asterisk.Asterisk) -> None:
    """Also on a Local channel, which has neither the dialled number nor the trunk of its own."""
    call(asterisk, "104")
    records = missed(asterisk)
    assert sorted(node for node, _ in records) == ["INNER", "NODE", "OTHER"]
    assert len({facts["visit"] for _, facts in records}) == 3
    assert len({facts["channel"] for _, facts in records}) == 2
    for key in ("origin", "dialled", "trunk"):
        assert len({facts[key] for _, facts in records}) == 1
    assert records[0][1]["dialled"] == b"104"


def test_blind_transfer_between_two_visits_keeps_the_call(asterisk: asterisk.Asterisk) -> None:
    with sipp.Phone(transfer_to="131") as phone:
        put(asterisk, "phone", phone.dial)
        placed = sipp.place(asterisk, "130", hold=10).call
        asterisk.wait_for_no_channels()
    assert placed.answered
    records = dict(missed(asterisk))
    assert sorted(records) == ["FIRST", "TRANSFERRED"]
    for key in ("origin", "caller", "dialled", "trunk"):
        assert records["FIRST"][key] == records["TRANSFERRED"][key]


@pytest.mark.parametrize("busy", [True, False], ids=["nobody answers", "answered"])
def test_visit_after_a_queue(asterisk: asterisk.Asterisk, busy: bool) -> None:
    with sipp.Phone(busy=busy, hangup_after=0.3) as phone:
        put(asterisk, "phone", phone.dial)
        sipp.place(asterisk, "132", caller="+48600300400", hold=15)
        asterisk.wait_for_no_channels()
        assert phone.calls() >= 1
    node, facts = only(asterisk)
    assert (node, facts["caller"], facts["dialled"]) == ("QUEUE", b"+48600300400", b"132")


def test_fifty_calls_at_once(asterisk: asterisk.Asterisk) -> None:
    placed = sipp.place(asterisk, "100", calls=50, rate=50, hold=0.1)
    asterisk.wait_for_no_channels()
    assert [one.status for one in placed.calls] == [603] * 50
    records = missed(asterisk)
    assert len(records) == 50
    assert len({facts["origin"] for _, facts in records}) == 50


def test_what_the_dialplan_knows_better_wins(asterisk: asterisk.Asterisk) -> None:
    call(asterisk, "106")
    facts = only(asterisk)[1]
    assert (facts["call"], facts["dialled"], facts["trunk"]) == (b"c:1", b"+48221131415", b"carrier")


@pytest.mark.parametrize(("number", "dialled"), [("107", b"+48221131415"), ("108", b"108")])
def test_dialled_number_of_freepbx_or_the_extension(asterisk: asterisk.Asterisk, number: str, dialled: bytes) -> None:
    call(asterisk, number)
    assert only(asterisk)[1]["dialled"] == dialled


@pytest.mark.parametrize("name", HOSTILE, ids=[repr(name[:20]) for name in HOSTILE])
def test_hostile_caller_name(asterisk: asterisk.Asterisk, name: bytes) -> None:
    put(asterisk, "name", base64.b64encode(name).decode())
    call(asterisk, "110")
    facts = only(asterisk)[1]
    assert facts["var.LAST"] == b"1"
    assert set(facts) == {
        *("visit", "origin", "call", "caller", "presentation", "dialled", "diverted_from", "trunk", "caller_name"),
        *("linkedid", "channel", "at", "var.LAST"),
    }
    assert name.startswith(facts["caller_name"])
    assert len(facts["caller_name"]) == min(len(name), 100)


def test_name_that_looks_like_an_offset_is_cut_and_nothing_else(asterisk: asterisk.Asterisk) -> None:
    put(asterisk, "name", base64.b64encode(b"a):0:1(").decode())
    call(asterisk, "110")
    facts = only(asterisk)[1]
    assert b"a):0:1(".startswith(facts["caller_name"])
    assert facts["var.LAST"] == b"1"


@pytest.mark.parametrize(
    ("number", "dialled"),
    [
        (b"x,recipients=+19005550100", b"x,recipients=+19005550100"),
        (b'"&:?)', b'"&:?)'),
        (b"12(34", b"12(34"),
        (b"12)34", b"12)34"),
        (b"\xff\xfe", b"112"),  # Asterisk 22 refuses such a dialled number, and the extension is the next best
    ],
    ids=repr,
)
def test_hostile_numbers(asterisk: asterisk.Asterisk, number: bytes, dialled: bytes) -> None:
    if asterisk.version == "16":
        dialled = number
    put(asterisk, "name", base64.b64encode(number).decode())
    call(asterisk, "112")
    facts = only(asterisk)[1]
    assert (facts["caller"], facts["dialled"], facts["var.LAST"]) == (number, dialled, b"1")


@pytest.mark.parametrize(
    "number", [b"12(34", b"12)34", b"1234)", b"(", b"5?3:4", b'"5', b"5;3|4", b"${X}5", b"5,6=7", b"%285"], ids=repr
)
def test_hostile_numbers_go_through_no_function_that_splits_them(asterisk: asterisk.Asterisk, number: bytes) -> None:
    put(asterisk, "name", base64.b64encode(number).decode())
    call(asterisk, "113")
    for _, facts in missed(asterisk):
        assert (facts["dialled"], facts["trunk"], facts["diverted_from"]) == (number, number, number)
    assert {node for node, _ in missed(asterisk)} == {"FIRST", "SECOND"}


def test_a_did_that_is_no_pattern_for_anybody(asterisk: asterisk.Asterisk) -> None:
    """REGEX() itself fails with it; what was dialled is the next best."""
    put(asterisk, "name", base64.b64encode(b"5):3").decode())
    call(asterisk, "113")
    assert {facts["dialled"] for _, facts in missed(asterisk)} == {b"113"}


def test_hostile_caller_name_over_sip(asterisk: asterisk.Asterisk) -> None:
    call(asterisk, "100", raw_caller_name=rb"x\",recipients=+19005550100,\\")
    facts = only(asterisk)[1]
    assert "recipients" not in facts
    assert b"recipients=+19005550100" in facts["caller_name"]


def test_long_variables_do_not_cost_the_visit(asterisk: asterisk.Asterisk) -> None:
    put(asterisk, "long", "y" * 900)
    call(asterisk, "111")
    facts = only(asterisk)[1]
    assert facts["var.A"] == facts["var.B"] == b"y" * 900
    assert facts["caller"] == b"+48600100200"
    assert asterisk.database("test")["status"] == "MISSED"


@pytest.mark.parametrize(
    ("trusted", "privacy", "presentation", "caller"),
    [
        (False, "id", b"allowed_not_screened", b"+48600100200"),
        (True, "id", b"prohib_not_screened", b"+48600100200"),
        (True, "anonymous", b"prohib_not_screened", b"+48600100200"),
        (False, "anonymous", b"allowed_not_screened", b"anonymous"),
    ],
)
def test_withheld_caller(
    asterisk: asterisk.Asterisk, trusted: bool, privacy: sipp.Privacy, presentation: bytes, caller: bytes
) -> None:
    call(asterisk, "100", trusted=trusted, privacy=privacy)
    facts = only(asterisk)[1]
    assert (facts["presentation"], facts["caller"]) == (presentation, caller)


def test_watchdog_frees_a_call_from_a_gateway_that_hangs(asterisk: asterisk.Asterisk) -> None:
    with ari.App(asterisk) as deaf:
        call(asterisk, "109")
        assert len(deaf.calls()) == 1
    assert only(asterisk)[0] == "NODE"
    seen = asterisk.database("test")
    assert (seen["status"], seen["timeout"]) == ("MISSED", "0")
    assert "T" not in seen


def test_no_value_switches_the_watchdog_off(asterisk: asterisk.Asterisk) -> None:
    """What is no time at all counts as 2 seconds; the callers of this test would wait for 9."""
    values = {"140": "0", "141": "-1", "142": "0.0", "143": "two", "144": "2s", "145": "1,5", "146": "1.2.3"}
    for number, value in values.items():
        put(asterisk, number, value)
    with ari.App(asterisk) as deaf:
        placed = [sipp.place_async(asterisk, number, hangup_after_ms=9000) for number in values]
        for one in placed:
            one.wait()
        asterisk.wait_for_no_channels()
        assert len(deaf.calls()) == len(values)
    seen = asterisk.database("test")
    assert {number: seen.get(f"back/{number}") for number in values} == dict.fromkeys(values, "MISSED")


@pytest.mark.parametrize("answer", [None, "SKIPPED,0"], ids=["watchdog", "answered"])
def test_callers_own_timeout_goes_on_as_if_nothing_had_been(asterisk: asterisk.Asterisk, answer: str | None) -> None:
    """The moment at which it ends is the same before and after, whether the node took 2 s or 2 ms."""
    with ari.App(asterisk, answer=answer):
        call(asterisk, "120")
    seen = asterisk.database("test")
    ends = [sum(map(float, seen[key].split())) for key in ("before", "after")]
    assert abs(ends[1] - ends[0]) < 0.5
    assert "T" not in seen


def test_callers_timeout_that_ends_in_the_node_is_still_theirs(asterisk: asterisk.Asterisk) -> None:
    """The visit is written down, and the caller's own T runs, once, where the caller's dialplan is."""
    with ari.App(asterisk):
        call(asterisk, "121")
    assert only(asterisk)[0] == "NODE"
    seen = asterisk.database("test")
    assert (seen["status"], seen["T"], seen["h"]) == ("MISSED", "1", "1")
    assert "waited" not in seen


def test_hangup_in_the_node_keeps_the_visit_and_the_callers_h(asterisk: asterisk.Asterisk) -> None:
    with ari.App(asterisk):
        placed = call(asterisk, "100", hangup_after_ms=300)
    assert placed.status == 487
    assert only(asterisk)[0] == "NODE"
    assert asterisk.database("test") == {"h": "1"}


def test_hangup_in_the_first_lines_keeps_the_visit_and_the_callers_h(asterisk: asterisk.Asterisk) -> None:
    call(asterisk, "122")
    node, facts = only(asterisk)
    assert (node, facts["caller"], facts["var.X"]) == ("NODE", b"+48600100200", b"1")
    assert asterisk.database("test") == {"h": "1"}


def test_gateway_lost_with_the_call_parked(asterisk: asterisk.Asterisk) -> None:
    """Nobody comes back for it, so the watchdog frees it."""
    with ari.App(asterisk) as gateway:
        placing = sipp.place_async(asterisk, "100", hold=0.1)
        asterisk.wait_for("call in the node", lambda: len(gateway.calls()) == 1)
    placing.wait()
    asterisk.wait_for_no_channels()
    assert only(asterisk)[0] == "NODE"
    assert asterisk.database("test")["status"] == "MISSED"


def test_an_answer_to_the_visit_before_is_none_to_this_one(asterisk: asterisk.Asterisk) -> None:
    """It came too late, and ARI sends a channel on wherever in Stasis it is: this visit must not think it is stored."""
    with ari.App(asterisk) as slow:
        placing = sipp.place_async(asterisk, "150", hold=0.1)
        asterisk.wait_for("the second visit", lambda: len(slow.calls()) == 2)
        assert slow.send_on(slow.calls()[0], "SCHEDULED,1") == 204
        placing.wait()
        asterisk.wait_for_no_channels()
    assert [node for node, _ in missed(asterisk)] == ["FIRST", "SECOND"]
    assert asterisk.database("test")["both"] == "MISSED,0"


def test_records_outlive_a_restart(fresh_asterisk: collections.abc.Callable[[], asterisk.Asterisk]) -> None:
    pbx = fresh_asterisk()
    pbx.load_dialplan(DIALPLAN)
    call(pbx, "100")
    before = pbx.database("agi-sms")
    assert len(before) == 1
    pbx.restart()
    assert pbx.database("agi-sms") == before


def test_ami_user_of_the_example_can_collect_and_nothing_else(asterisk: asterisk.Asterisk) -> None:
    call(asterisk, "100")
    (visit,) = asterisk.database("agi-sms")
    host, port = asterisk.ami_host, asterisk.ami_port
    with ami.Ami(host, port, asterisk.ami_user, asterisk.ami_secret) as session:
        session.action("Ping")
        session.action("DBGetTree", Family="agi-sms")
        listed = [dict(session.read()) for _ in range(2)]
        assert [event["Event"] for event in listed] == ["DBGetTreeResponse", "DBGetTreeComplete"]
        assert listed[0]["Key"] == f"/agi-sms/{visit}"
        session.action("DBDel", Family="agi-sms", Key=visit)
        for action, headers in (
            ("Command", {"Command": "core show version"}),
            ("Originate", {"Channel": "Local/100@from-trunk", "Application": "Hangup"}),
            ("Setvar", {"Variable": "x", "Value": "y"}),
        ):
            with pytest.raises(errors.RigError, match="denied"):
                session.action(action, **headers)
    assert asterisk.database("agi-sms") == {}
