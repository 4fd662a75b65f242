"""The recipes of dialplan/, included as they are, with the nodes of config/nodes.d: real calls and their SMS."""

import collections.abc
import pathlib
import re
import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ruamel.yaml import YAML

from rig import configuration, sipp
from rig.asterisk import Asterisk
from tests.acceptance import flows, shop
from tests.acceptance import lab as labs
from tests.acceptance.flows import DESK
from tests.acceptance.gateway import Gateway, wait_for

pytestmark = [pytest.mark.asterisk, pytest.mark.asterisk_versions("22", "16")]

CONFIG = pathlib.Path(__file__).resolve().parents[2] / "config"
SHOP = "https://shop.example/sms-text"  # in the node as it is shipped
DID = "+48221131415"
ON_CALL = ["+48600100200", "+48600100201", "+48600100210"]
CLOCK = r"\d\d:\d\d"

ENTRIES = f"""
[from-trunk]
exten => 200,1,Goto(sms-announcement,s,1)
exten => _1XX,1,Goto(sms-missed-call,${{EXTEN}},1)
exten => 201,1,Goto(sms-queue-abandoned,s,1)
exten => 202,1,Gosub(sms-after-hours,s,1(*,${{DB(test/days)}}))
 same => n,Set(DB(test/open)=1)
 same => n,Hangup()
exten => 203,1,Goto(sms-on-call,s,1)
exten => 204,1,Goto(sms-order-status,s,1)
exten => 205,1,Goto(sms-ring-group,s,1)
exten => 206,1,Goto(sms-voicemail,100,1)
; What FreePBX makes of an inbound route to Custom Destinations with Return, and of what they lead to.
exten => _3XX,1,Set(__FROM_DID={DID})
 same => n,Gosub(${{DB(test/target)}})
 same => n,GosubIf($["${{DB(test/second)}}" != ""]?${{DB(test/second)}})
 same => n,Set(DB(test/went on)=1)
 same => n,GotoIf($["${{DB(test/next)}}" != ""]?freepbx,${{DB(test/next)}},1)
 same => n,Answer()
 same => n,Hangup()
[freepbx]
exten => queue,1,Answer()
 same => n,Queue(support,,,,${{DB(test/wait)}})
 same => n,Gosub(sms-fpbx-queue-full,400,1)
 same => n,Hangup()
exten => phone,1,Dial(PJSIP/100,15)
 same => n,Hangup()
exten => both,1,Dial(PJSIP/100,15)
 same => n,Goto(box,1)
exten => box,1,Voicemail(100@default,u)
 same => n,Hangup()
"""
DIALPLAN = "".join(f"#include {path.name}\n" for path in configuration.RECIPES) + ENTRIES


@pytest.fixture(scope="module")
def customers() -> collections.abc.Iterator[shop.Shop]:
    """The shop that knows of orders."""
    with shop.Shop() as serving:
        yield serving


@pytest.fixture(scope="module")
def door(
    pbx: Asterisk, customers: shop.Shop, tmp_path_factory: pytest.TempPathFactory
) -> collections.abc.Iterator[Gateway]:
    """One gateway for this file's calls, with the shipped nodes; only the shop's address is another."""
    tree = YAML(typ="safe").load((CONFIG / "agi-sms.yaml").read_text(encoding="utf-8"))
    shared = {key: tree[key] for key in ("region", "time_zone", "groups", "defaults")}
    with labs.Lab(pbx, tmp_path_factory.mktemp("recipes")) as lab:
        gateway = lab.gateway({}, **flows.PATIENT, **shared)
        for name in ("nodes.d", "templates.d"):
            shutil.copytree(CONFIG / name, gateway.directory / name)
        node = gateway.directory / "nodes.d" / "order-status.yaml"
        text = node.read_text(encoding="utf-8")
        assert text.count(SHOP) == 1
        node.write_text(text.replace(SHOP, f"{customers.host}/sms-text"), encoding="utf-8")
        yield gateway.start()


@pytest.fixture
def gateway(door: Gateway, asterisk: Asterisk) -> collections.abc.Iterator[Gateway]:
    """The file's gateway; the owner of phone and box 100 has a mobile."""
    with asterisk.session() as session:
        session.action("DBPut", Family="mobile", Key="100", Val=DESK)
    with flows.shown(asterisk, door):
        yield door
    asterisk.database_clear("mobile")


@pytest.fixture
def phones(asterisk: Asterisk) -> collections.abc.Iterator[collections.abc.Callable[..., sipp.Phone]]:
    """Endpoints of these names, which all are one phone; it is there until the end of the test."""
    made: list[sipp.Phone] = []

    def make(*names: str, **how: Any) -> sipp.Phone:
        made.append(sipp.Phone(**how))
        made[-1].start()
        asterisk.phones(dict.fromkeys(names, made[-1].uri))
        return made[-1]

    yield make
    for phone in made:
        phone.stop()


def messages(gateway: Gateway, asterisk: Asterisk, before: int) -> list[dict[str, Any]]:
    """The history of all visits but the first so many, once the last record is taken out of AstDB."""
    wait_for("AstDB is empty", lambda: not labs.missed(asterisk), deadline=45)
    calls = [row["call_id"] for row in labs.activations(gateway)[before:]]
    found: list[dict[str, Any]] = []

    def fetched() -> bool:
        nonlocal found
        found = [row for call_id in dict.fromkeys(calls) for row in gateway.history("--call", call_id)]
        return all(row["status"] != "waiting" for row in found)

    wait_for("the texts are there", fetched)
    return found


def call(gateway: Gateway, asterisk: Asterisk, number: str, **how: Any) -> list[dict[str, Any]]:
    """Place one call, and return the messages that it made."""
    before = len(labs.activations(gateway))
    flows.place(asterisk, number, **how)
    return messages(gateway, asterisk, before)


def only(rows: list[dict[str, Any]], node: str, to: str, text: str) -> dict[str, Any]:
    """The only message, which must be this node's to this recipient, with a text of this shape."""
    (row,) = rows
    assert (row["node"], row["recipient"]) == (node, to)
    assert row["status"] in {"scheduled", "sending", "accepted"}, row
    assert re.fullmatch(text, row["text"]), row["text"]
    return row


@pytest.mark.parametrize("recipe", configuration.RECIPES, ids=lambda path: path.stem)
def test_asterisk_takes_it(pbx: Asterisk, recipe: pathlib.Path) -> None:
    contexts = re.findall(r"^\[(\S+)\]$", recipe.read_text(encoding="utf-8"), re.MULTILINE)
    assert contexts
    for context in contexts:
        assert context.startswith("sms-fpbx-" if recipe.stem == "sms-freepbx" else recipe.stem)
        assert f"Context '{context}'" in pbx.cli(f"dialplan show {context}")


def test_this_asterisk_has_the_modules_that_are_named(pbx: Asterisk) -> None:
    """What a file's head names can be had in every version that we work with."""
    running = set(re.findall(r"^(\w+)\.so .* Running ", pbx.cli("module show"), re.MULTILINE))
    for path in (*configuration.SUBROUTINES, *configuration.RECIPES):
        head, _, _ = path.read_text(encoding="utf-8").partition("\n[")
        _, modules, named = head.rpartition("Modules:")
        assert modules
        assert set(re.findall(r"\b(?:app|func|res)_\w+", named)) <= running, path.name


def test_announcement(asterisk: Asterisk, gateway: Gateway) -> None:
    row = only(
        call(gateway, asterisk, "200", caller="+48600100401"),
        "company-info",
        "+48600100401",
        r"ACME Sp\. z o\.o\., ul\. Zrodlana 5.*\n.*tel\. \+48 22 113 14 15\.",
    )
    assert datetime.fromisoformat(row["due_at"]) - flows.arrivals(gateway)[row["id"]] == timedelta(seconds=30)


Phones = collections.abc.Callable[..., sipp.Phone]


@pytest.mark.parametrize(
    ("phone", "how"),
    [({"busy": True}, {}), ({"ring": 60}, {"hangup_after_ms": 700}), (None, {})],
    ids=["busy", "caller gives up", "away"],
)
def test_missed_call(
    asterisk: Asterisk, gateway: Gateway, phones: Phones, phone: dict[str, Any] | None, how: dict[str, Any]
) -> None:
    if phone is None:
        asterisk.phones({})
    else:
        phones("100", **phone)
    text = rf"Missed call from \+48600100402 for 100 at {CLOCK}\."
    only(call(gateway, asterisk, "100", caller="+48600100402", **how), "missed-call", DESK, text)


def test_call_that_is_answered_is_not_missed(asterisk: Asterisk, gateway: Gateway, phones: Phones) -> None:
    """The node says which calls count, so the history says why this one did not."""
    phones("100", hangup_after=0.3)
    (row,) = call(gateway, asterisk, "100")
    assert (row["node"], row["recipient"], row["status"], row["reason"]) == (
        *("missed-call", DESK),
        *("skipped", "condition"),
    )


def test_missed_call_of_somebody_without_a_mobile(asterisk: Asterisk, gateway: Gateway) -> None:
    asterisk.phones({})
    (row,) = call(gateway, asterisk, "101")
    assert (row["recipient"], row["status"], row["reason"]) == ("", "skipped", "no_recipient")


@pytest.mark.asterisk_versions("22")  # it takes 15 s, and 16 is heard of busy phones and of callers who give up
def test_nobody_answers_until_the_phones_stop(asterisk: Asterisk, gateway: Gateway, phones: Phones) -> None:
    """Both recipes that ring phones, at once, since it takes as long as they say."""
    phones("100", "101", ring=60)
    before = len(labs.activations(gateway))
    placed = [
        sipp.place_async(asterisk, number, caller=caller, hold=5, deadline=40)
        for number, caller in (("100", "+48600100403"), ("205", "+48600100404"))
    ]
    for one in placed:
        one.wait()
    asterisk.wait_for_no_channels()
    rows = {row["node"]: row for row in messages(gateway, asterisk, before)}
    only([rows.pop("missed-call")], "missed-call", DESK, rf"Missed call from \+48600100403 for 100 at {CLOCK}\.")
    text = rf"We could not take your call to 205 at {CLOCK}\. We will call you back\."
    only(list(rows.values()), "ring-group", "+48600100404", text)


def test_ring_group_given_up(asterisk: Asterisk, gateway: Gateway, phones: Phones) -> None:
    phones("100", "101", ring=60)
    text = rf"We could not take your call to 205 at {CLOCK}\. We will call you back\."
    rows = call(gateway, asterisk, "205", caller="+48600100405", hangup_after_ms=700)
    only(rows, "ring-group", "+48600100405", text)


def test_ring_group_all_busy(asterisk: Asterisk, gateway: Gateway, phones: Phones) -> None:
    """One SMS, though the call passes h as well."""
    phones("100", "101", busy=True)
    text = rf"We could not take your call to 205 at {CLOCK}\. We will call you back\."
    only(call(gateway, asterisk, "205", caller="+48600100406"), "ring-group", "+48600100406", text)


def test_ring_group_answers(asterisk: Asterisk, gateway: Gateway, phones: Phones) -> None:
    phones("100", "101", hangup_after=0.3)
    assert call(gateway, asterisk, "205") == []


def test_queue_abandoned(asterisk: Asterisk, gateway: Gateway) -> None:
    text = rf"Call back: \+48600100407 waited in queue support until {CLOCK} \(ABANDONED\)\."
    only(call(gateway, asterisk, "201", caller="+48600100407", hold=0.7), "queue-abandoned", DESK, text)


@pytest.fixture
def closed_queue(asterisk: Asterisk) -> collections.abc.Iterator[None]:
    """The queue takes nobody while no agent is there."""
    path = asterisk.directory / "etc" / "queues.conf"
    before = path.read_text()
    asterisk.configure("queues.conf", before.replace("joinempty = yes", "joinempty = no"))
    asterisk.cli("queue reload all")
    yield
    asterisk.configure("queues.conf", before)
    asterisk.cli("queue reload all")


@pytest.mark.usefixtures("closed_queue")
def test_queue_without_agents(asterisk: Asterisk, gateway: Gateway) -> None:
    """One SMS, though the call passes h as well."""
    text = rf"Call back: \+48600100408 waited in queue support until {CLOCK} \(JOINEMPTY\)\."
    only(call(gateway, asterisk, "201", caller="+48600100408"), "queue-abandoned", DESK, text)


def test_queue_that_answers(asterisk: Asterisk, gateway: Gateway, phones: Phones) -> None:
    phone = phones("100", hangup_after=0.3)
    asterisk.cli("queue add member PJSIP/100 to support")
    try:
        assert call(gateway, asterisk, "201") == []
        assert phone.calls() == 1
    finally:
        asterisk.cli("queue remove member PJSIP/100 from support")


def weekday(later: int) -> str:
    """The day of the week so many days from now, as GotoIfTime() names it."""
    return ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(datetime.now(UTC) + timedelta(days=later)).weekday()]


def test_after_hours(asterisk: Asterisk, gateway: Gateway) -> None:
    flows.put(asterisk, "days", weekday(3))
    text = r"Thank you for calling 202\. Our office is open from 8 to 16, Monday to Friday\."
    only(call(gateway, asterisk, "202", caller="+48600100409"), "after-hours", "+48600100409", text)
    assert "open" not in asterisk.database("test")


def test_within_hours(asterisk: Asterisk, gateway: Gateway) -> None:
    flows.put(asterisk, "days", f"{weekday(-1)}-{weekday(1)}")
    assert call(gateway, asterisk, "202") == []
    assert asterisk.database("test")["open"] == "1"


def test_on_call(asterisk: Asterisk, gateway: Gateway, phones: Phones) -> None:
    """Nobody takes the call: three rounds, and each time all of them get an SMS."""
    phone = phones("110", "111", busy=True)
    rows = call(gateway, asterisk, "203", caller="+48600100410", caller_name="Pump 7")
    assert phone.calls() == 6
    assert sorted(row["recipient"] for row in rows) == sorted(ON_CALL * 3)
    for row in rows:
        assert (row["node"], row["sender"]) == ("on-call-alarm", "ALARM")
        assert re.fullmatch(
            rf"Alarm line: \+48600100410 \(Pump 7\) called 203 at {CLOCK}\.\nCall \d+\.\d+", row["text"]
        )


def test_on_call_answered(asterisk: Asterisk, gateway: Gateway, phones: Phones) -> None:
    phones("110", "111", hangup_after=0.3)
    rows = call(gateway, asterisk, "203")
    assert sorted(row["recipient"] for row in rows) == sorted(ON_CALL)


def status_of(asked: shop.Asked) -> shop.Said:
    """What the shop knows of an order."""
    order = {"id": asked.told["ORDER_ID"], "status": "on its way"}
    return shop.json_({"name": "Jan", "order": order})


def test_order_status(asterisk: Asterisk, gateway: Gateway, customers: shop.Shop) -> None:
    customers.pages["/sms-text"] = status_of
    rows = call(gateway, asterisk, "204", caller="+48600100411", digits="1235#", hold=10)
    only(rows, "order-status", "+48600100411", r"Jan, your order 1235 is on its way\.")
    assert customers.asked[-1].told["from_number"] == "+48600100411"


def test_voicemail(asterisk: Asterisk, gateway: Gateway) -> None:
    """# skips the greeting; then the caller talks, and hangs up."""
    rows = call(gateway, asterisk, "206", caller="+48600100412", digits="#", talk=True, hold=4)
    text = rf"New voicemail for 100 from \+48600100412, \d\d\.\d\d\. {CLOCK}\."
    only(rows, "voicemail-left", DESK, text)


def test_voicemail_given_up_at_the_beep(asterisk: Asterisk, gateway: Gateway) -> None:
    assert call(gateway, asterisk, "206", digits="#", hold=1) == []


# --- FreePBX -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "node", "text"),
    [
        ("company-info", "company-info", r"ACME Sp\. z o\.o\..*\n.*"),
        (
            "nobody-answered",
            "ring-group",
            rf"We could not take your call to \{DID} at {CLOCK}\. We will call you back\.",
        ),
        ("after-hours", "after-hours", rf"Thank you for calling \{DID}\. Our office .*"),
    ],
    ids=["announcement", "nobody answered", "after hours"],
)
def test_custom_destination(asterisk: Asterisk, gateway: Gateway, context: str, node: str, text: str) -> None:
    """It visits the node and returns; the number dialled is the inbound route's."""
    flows.put(asterisk, "target", f"sms-fpbx-{context},s,1")
    only(call(gateway, asterisk, "300", caller="+48600100421"), node, "+48600100421", text)
    assert asterisk.database("test")["went on"] == "1"


@pytest.mark.parametrize(("digits", "count"), [("77#", 1), ("##", 0)], ids=["digits", "none"])
def test_custom_destination_asks_for_an_order(
    asterisk: Asterisk, gateway: Gateway, customers: shop.Shop, digits: str, count: int
) -> None:
    customers.pages["/sms-text"] = status_of
    flows.put(asterisk, "target", "sms-fpbx-order-status,s,1")
    rows = call(gateway, asterisk, "300", caller="+48600100422", digits=digits, hold=10)
    assert [row["text"] for row in rows] == ["Jan, your order 77 is on its way."] * count
    assert asterisk.database("test")["went on"] == "1"


@pytest.mark.parametrize(("wait", "hold", "reason"), [("60", 0.7, "ABANDONED"), ("1", 10, "TIMEOUT")])
def test_custom_destination_watches_a_queue(
    asterisk: Asterisk, gateway: Gateway, wait: str, hold: float, reason: str
) -> None:
    """The hangup handler sees who hung up; where the queue gave the call back, its fail-over destination tells."""
    flows.put(asterisk, "target", "sms-fpbx-queue-watch,400,1")
    flows.put(asterisk, "next", "queue")
    flows.put(asterisk, "wait", wait)
    rows = call(gateway, asterisk, "300", caller="+48600100423", hold=hold)
    text = rf"Call back: \+48600100423 waited in queue 400 until {CLOCK} \({reason}\)\."
    only(rows, "queue-abandoned", DESK, text)


def test_custom_destination_watches_a_phone(asterisk: Asterisk, gateway: Gateway, phones: Phones) -> None:
    phones("100", ring=60)
    flows.put(asterisk, "target", "sms-fpbx-missed-watch,100,1")
    flows.put(asterisk, "next", "phone")
    text = rf"Missed call from \+48600100424 for 100 at {CLOCK}\."
    rows = call(gateway, asterisk, "300", caller="+48600100424", hangup_after_ms=700)
    only(rows, "missed-call", DESK, text)


@pytest.mark.asterisk_versions("22")
def test_custom_destination_watches_a_phone_that_answers(asterisk: Asterisk, gateway: Gateway, phones: Phones) -> None:
    phones("100", hangup_after=0.3)
    flows.put(asterisk, "target", "sms-fpbx-missed-watch,100,1")
    flows.put(asterisk, "next", "phone")
    (row,) = call(gateway, asterisk, "300")
    assert (row["node"], row["status"], row["reason"]) == ("missed-call", "skipped", "condition")


@pytest.mark.asterisk_versions("22")
def test_custom_destination_watches_a_box_that_gets_nothing(asterisk: Asterisk, gateway: Gateway) -> None:
    flows.put(asterisk, "target", "sms-fpbx-voicemail-watch,100,1")
    flows.put(asterisk, "next", "box")
    assert call(gateway, asterisk, "300", digits="#", hold=1) == []


def test_custom_destinations_one_behind_the_other(asterisk: Asterisk, gateway: Gateway, phones: Phones) -> None:
    """Nobody answers, and the caller leaves a message: each handler tells its own."""
    phones("100", busy=True)
    flows.put(asterisk, "target", "sms-fpbx-missed-watch,100,1")
    flows.put(asterisk, "second", "sms-fpbx-voicemail-watch,100,1")
    flows.put(asterisk, "next", "both")
    rows = call(gateway, asterisk, "300", caller="+48600100426", digits="#", talk=True, hold=4)
    missed, left = sorted(rows, key=lambda row: str(row["node"]))
    only([missed], "missed-call", DESK, rf"Missed call from \+48600100426 for 100 at {CLOCK}\.")
    only([left], "voicemail-left", DESK, rf"New voicemail for 100 from \+48600100426, \d\d\.\d\d\. {CLOCK}\.")


@pytest.mark.asterisk_versions("22")
def test_custom_destination_of_those_on_call(asterisk: Asterisk, gateway: Gateway, phones: Phones) -> None:
    """They have their SMS before the phones ring."""
    phone = phones("100", busy=True)
    flows.put(asterisk, "target", "sms-fpbx-on-call,s,1")
    flows.put(asterisk, "next", "phone")
    rows = call(gateway, asterisk, "300", caller="+48600100427")
    assert phone.calls() == 1
    assert sorted(row["recipient"] for row in rows) == sorted(ON_CALL)
    for row in rows:
        assert (row["node"], row["sender"]) == ("on-call-alarm", "ALARM")
        assert re.fullmatch(rf"Alarm line: \+48600100427 called \{DID} at {CLOCK}\.\nCall \d+\.\d+", row["text"])
