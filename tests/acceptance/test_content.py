"""Texts from the customer's own system: a real call, what that system is asked, and the SMS that it makes of it."""

import collections.abc
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from xml.sax import saxutils

import pytest

from rig import sipp
from rig.asterisk import Asterisk
from tests.acceptance import flows, shop
from tests.acceptance import lab as labs
from tests.acceptance.flows import CALLER, DEPUTY, DESK
from tests.acceptance.gateway import Gateway, wait_for

pytestmark = pytest.mark.asterisk

TOKEN, SECRET = "token-of-the-shop", "secret-of-the-shop"
ORDER = "Łódź & ż=1, 5/7"
FIELD = "Gęślą+Jaźń=100% & „więcej”"
DIVERTED = "+48221131499"


@dataclass(frozen=True, kw_only=True)
class Combination:
    """A way to ask and the structure of the answer; `more` settings make the shop get other things than from all."""

    how: str  # get, form, json
    response: str
    dialled: str
    caller: str = CALLER
    more: Mapping[str, Any] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)  # beside or instead of the usual
    untold: frozenset[str] = frozenset()

    @property
    def node(self) -> str:
        return f"{self.how}-{self.response}"

    @property
    def api(self) -> dict[str, Any]:
        ask: dict[str, Any] = {"method": "GET"} if self.how == "get" else {"method": "POST", "body": self.how}
        return {**ask, "response": self.response, **self.more}


COMBINATIONS = (
    Combination(
        how="get",
        response="text",
        dialled="+48221131410",
        more={"params": {"diverted_from": True}},
        told={"diverted_from": DIVERTED, "strona": "12"},
    ),
    Combination(
        how="get",
        response="json",
        dialled="+48221131411",
        more={"number_format": "digits"},
        told={"from_number": "48600100200", "to_number": "48221131411"},
    ),
    Combination(
        how="get",
        response="xml",
        dialled="+48221131412",
        more={"number_format": "national"},
        told={"from_number": "600100200", "to_number": "221131412"},
    ),
    Combination(
        how="form",
        response="text",
        dialled="+48221131413",
        more={"params": {"to_number": "numer"}},
        told={"numer": "+48221131413"},
        untold=frozenset({"to_number"}),
    ),
    Combination(how="form", response="json", dialled="+48221131414", more={"message": "$.sms[1].tekst"}),
    Combination(how="form", response="xml", dialled="+48221131415", more={"message": "/koperta/sms/@tekst"}),
    Combination(
        how="json",
        response="text",
        dialled="+48221131416",
        caller="48600100200",
        more={"number_format": "raw"},
        told={"from_number": "48600100200"},
    ),
    Combination(
        how="json",
        response="json",
        dialled="+48221131417",
        more={"params": {"pbx": False, "diverted_from": "od"}},
        told={"od": DIVERTED},
        untold=frozenset({"pbx"}),
    ),
    Combination(how="json", response="xml", dialled="+48221131418"),
)


def _sms(asked: shop.Asked) -> str:
    return f"Zamówienie {asked.told['ORDER_ID']} ({asked.told['sklep']}) wysłano żółtą łodzią"


def _xml_message(asked: shop.Asked) -> shop.Said:
    return shop.xml(f"<odpowiedź><message>{saxutils.escape(_sms(asked))}</message></odpowiedź>")


def _xml_attribute(asked: shop.Asked) -> shop.Said:
    return shop.xml(f"<koperta><sms tekst={saxutils.quoteattr(_sms(asked))}/></koperta>")


def _old_xml(asked: shop.Asked) -> shop.Said:
    document = f'<?xml version="1.0" encoding="ISO-8859-2"?><a><message>{saxutils.escape(_sms(asked))}</message></a>'
    return shop.Said(kind="text/xml", body=document.replace("„", '"').replace("”", '"').encode("iso-8859-2"))


PAGES: dict[str, shop.Page] = {
    "/get-text": lambda asked: shop.Said(kind="text/plain; charset=windows-1250", body=_sms(asked).encode("cp1250")),
    "/get-json": lambda asked: shop.json_({"message": _sms(asked)}),
    "/get-xml": _old_xml,
    "/form-text": lambda asked: shop.text(_sms(asked)),
    "/form-json": lambda asked: shop.json_({"sms": [{}, {"tekst": _sms(asked)}]}),
    "/form-xml": _xml_attribute,
    "/json-text": lambda asked: shop.text(_sms(asked)),
    "/json-json": lambda asked: shop.Said(kind=shop.JSON, body=json.dumps({"message": _sms(asked)}).encode()),
    "/json-xml": _xml_message,
    "/order": lambda _: shop.json_(
        {"name": "Łucja", "order": {"id": 7, "status": "wysłane", "items": ["koń", "żółw"]}}
    ),
    "/order-xml": lambda _: shop.xml('<n:order xmlns:n="urn:x" id="7"><status>wysłane</status></n:order>'),
    "/wishes": lambda _: shop.json_(
        {
            "message": "dla Ciebie",
            "sender": "Sklep",
            "delay": "1s",
            "recipients": [DEPUTY, DESK, "nobody"],
            "send": True,
        }
    ),
    "/no": lambda _: shop.json_({"message": "mimo to", "send": False}),
    "/whom": lambda _: shop.json_({"message": "do was", "recipients": f"{DESK}, {DEPUTY}"}),
    "/bad-sender": lambda _: shop.json_({"message": "pod złym nazwiskiem", "sender": "no+such+sender!"}),
    "/who": lambda asked: shop.text(f"[{asked.told['from_number']}]"),
}


def _asks(where: shop.Shop, path: str, *, text: str | None = None, fallback: str | None = None, **api: Any) -> Any:
    content: dict[str, Any] = {"api": {"url": where.host + path, "timeout": "30s", **api}}
    if text is not None:
        content["text"] = text
    if fallback is not None:
        content["fallback"] = fallback
    return {"sender": "ACME", "recipients": DESK, "content": content}


def _nodes(where: shop.Shop) -> dict[str, Any]:
    every: dict[str, Any] = {
        "fields": {"sklep": FIELD, "lang": "pl"},
        "vars": ["ORDER_ID", "NOTHING"],
        "headers": {"Authorization": "Bearer ${SHOP_TOKEN}"},
        "sign": {"secret": "${SHOP_SECRET}"},
    }
    nodes = {
        one.node: {**_asks(where, f"/{one.node}", **every, **one.api), "recipients": [], "send_to_caller": True}
        for one in COMBINATIONS
    }
    nodes["get-text"]["content"]["api"]["url"] += "?strona=12"  # a query of the operator's own stays
    json_: dict[str, Any] = {"response": "json"}
    return {
        **nodes,
        "order": _asks(
            where,
            "/order",
            **json_,
            text="{{ api.name }}, your order {{ api.order.id }} is {{ api.order.status }}: "
            "{{ api.order['items'] | join(', ') }}.",
        ),
        "order-xml": _asks(where, "/order-xml", response="xml", text="{{ api.id }} {{ api.status }}, {{ dialled }}"),
        "wishes": _asks(where, "/wishes", **json_, allow=["sender", "delay", "recipients", "send"]),
        "mute": _asks(where, "/wishes", **json_),
        "declined": _asks(where, "/no", **json_, allow=["send"]),
        "insists": _asks(where, "/no", **json_),
        "open": {**_asks(where, "/whom", **json_, allow=["recipients"]), "recipients": []},
        "bad-sender": _asks(where, "/bad-sender", **json_, allow=["sender"], fallback="dziękujemy"),
        "who": _asks(where, "/who"),
        "slow": _asks(where, "/who"),
        "late": {**_asks(where, "/who", fetch="send"), "delay": "2s"},
    }


def _exten(number: str, *nodes: str) -> str:
    visits = "\n".join(
        f" same => n,Gosub(agi-sms,s,1({node},var.ORDER_ID=${{URIENCODE({ORDER})}}))\n same => n,Gosub(seen,s,1)"
        for node in nodes
    )
    return f"exten => {number},1,Answer()\n{visits}\n same => n,Hangup()\n"


DIALPLAN = f"""{flows.SEEN}
[from-trunk]
{"".join(_exten(one.dialled, one.node) for one in COMBINATIONS)}
{_exten("+48221131420", "order", "order-xml")}
{_exten("+48221131421", "wishes", "mute", "declined", "insists", "bad-sender")}
{_exten("+48221131422", "who")}
{_exten("+48221131423", "slow")}
{_exten("+48221131424", "late")}
{_exten("+48221131425", "open")}
"""


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What the tests of this file share."""

    asterisk: Asterisk
    gateway: Gateway
    where: shop.Shop

    def call(self, number: str, **how: Any) -> str:
        """Place a call; its id."""
        assert flows.place(self.asterisk, number, **how).call.answered
        ((call_id, _),) = flows.seen(self.asterisk).items()
        return call_id

    def settled(self, call_id: str, count: int) -> list[dict[str, Any]]:
        """The history of a call, oldest first, once it has so many messages and all went their way."""
        wait_for(f"{count} messages of the call", lambda: len(flows.settled_of(self.gateway, call_id)) >= count)
        rows = self.gateway.history("--call", call_id)
        assert len(rows) == count, rows
        return rows

    def asked(self, path: str, call_id: str) -> shop.Asked:
        """The one question about a call."""
        (asked,) = (asked for asked in self.where.at(path) if asked.told["call_id"] == call_id)
        return asked

    def explained(self, row: dict[str, Any]) -> str:
        """What `agi-sms explain` tells of a message, in one line."""
        done = self.gateway.command("explain", row["id"])
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split())

    def activation(self, call_id: str, node: str) -> str:
        """The id of the call's activation of this node."""
        rows = [row for row in labs.activations(self.gateway) if (row["call_id"], row["node"]) == (call_id, node)]
        (row,) = rows
        return str(row["id"])


@pytest.fixture(scope="module")
def served(pbx: Asterisk, tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[Desk]:
    with pytest.MonkeyPatch.context() as patch, shop.Shop(PAGES) as where:
        patch.setenv("SHOP_TOKEN", TOKEN)
        patch.setenv("SHOP_SECRET", SECRET)
        with flows.served(pbx, tmp_path_factory.mktemp("content"), _nodes(where)) as gateway:
            yield Desk(asterisk=pbx, gateway=gateway, where=where)


@pytest.fixture
def desk(served: Desk, asterisk: Asterisk) -> collections.abc.Iterator[Desk]:
    """The shared gateway and shop, with no calls from another test, and an open gate."""
    with flows.shown(asterisk, served.gateway):
        try:
            yield served
        finally:
            served.where.gate.set()


@pytest.fixture(scope="module")
def called(served: Desk) -> dict[str, dict[str, Any]]:
    """One call to each combination, all at once: their rows in the history, by their nodes."""
    under_way = [
        sipp.place_async(
            served.asterisk,
            one.dialled,
            caller=one.caller,
            hold=5.0,
            headers={"Diversion": f"<sip:{DIVERTED}@127.0.0.1>"},
        )
        for one in COMBINATIONS
    ]
    assert all(calls.wait().call.answered for calls in under_way)
    served.asterisk.wait_for_no_channels(deadline=20)
    done = {(one.node, "accepted") for one in COMBINATIONS}
    wait_for("an SMS from each", lambda: done <= labs.messages(served.gateway).keys())
    rows = {row["node"]: row for row in served.gateway.history()}
    seen = flows.seen(served.asterisk)
    return {one.node: rows[one.node] for one in COMBINATIONS if seen[rows[one.node]["call_id"]] == ["SCHEDULED:1"]}


@pytest.mark.parametrize("one", COMBINATIONS, ids=lambda one: one.node)
def test_polish_letters_in_and_out(called: dict[str, dict[str, Any]], desk: Desk, one: Combination) -> None:
    """Each method and body with each structure of answer: what is asked, what is sent, what is told of it."""
    row = called[one.node]
    asked = desk.asked(f"/{one.node}", row["call_id"])

    usual = {
        "from_number": CALLER,
        "to_number": one.dialled,
        "call_id": row["call_id"],
        "node": one.node,
        "pbx": "main",
        "activation_id": desk.activation(row["call_id"], one.node),
        "sklep": FIELD,
        "lang": "pl",
        "ORDER_ID": ORDER,
        "NOTHING": "",
    }
    assert asked.told == {name: value for name, value in usual.items() if name not in one.untold} | one.told
    assert asked.method == ("GET" if one.how == "get" else "POST")
    assert asked.signed_with(SECRET)
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["user-agent"].startswith("agi-sms/")

    text = _sms(asked)
    if one.node == "get-xml":  # ISO-8859-2 has no such quotes
        text = text.replace("„", '"').replace("”", '"')
    assert (row["node"], row["recipient"], row["status"], row["reason"]) == (one.node, CALLER, "accepted", None)
    assert (row["text"], row["encoding"], row["sender"]) == (text, "ucs2", "ACME")
    (sent,) = [line for line in desk.gateway.sent() if line["ref"] == row["id"]]
    assert (sent["to"], sent["text"]) == (CALLER, text)
    told = desk.explained(row)
    assert text in told
    assert "200" in told
    for secret in (TOKEN, SECRET):
        assert secret not in told + desk.gateway.said()


def test_fields_of_the_answer_in_the_nodes_own_template(desk: Desk) -> None:
    call_id = desk.call("+48221131420")
    texts = {row["node"]: row["text"] for row in desk.settled(call_id, 2)}
    assert texts == {
        "order": "Łucja, your order 7 is wysłane: koń, żółw.",
        "order-xml": "7 wysłane, +48221131420",
    }


def test_what_the_answer_may_say_beside_the_text(desk: Desk) -> None:
    """Sender, delay, recipients and send: false count where the node allows it, and are ignored elsewhere."""
    call_id = desk.call("+48221131421")
    assert flows.told(desk.asterisk) == ["SCHEDULED:1"] * 5
    rows = desk.settled(call_id, 7)
    of = {node: [row for row in rows if row["node"] == node] for node in {row["node"] for row in rows}}

    assert flows.to(of["wishes"]) == [
        (DESK, "accepted", None),
        (DEPUTY, "accepted", None),
        ("nobody", "skipped", "recipient_invalid"),
    ]
    arrived = flows.arrivals(desk.gateway)
    for row in of["wishes"]:
        assert row["sender"] == "Sklep"
        assert row["source"] == ("config" if row["recipient"] == DESK else "api")
        if row["status"] == "accepted":
            assert row["text"] == "dla Ciebie"
            assert datetime.fromisoformat(row["due_at"]) - arrived[row["id"]] == timedelta(seconds=1)

    (mute,) = of["mute"]
    assert (mute["recipient"], mute["status"], mute["sender"]) == (DESK, "accepted", "ACME")
    assert datetime.fromisoformat(mute["due_at"]) == arrived[mute["id"]]
    assert "allow does not name" in desk.explained(mute)

    assert flows.to(of["declined"]) == [(DESK, "skipped", "declined")]
    assert flows.to(of["insists"]) == [(DESK, "accepted", None)]

    (bad,) = of["bad-sender"]
    assert (bad["status"], bad["text"], bad["sender"]) == ("accepted", "dziękujemy", "ACME")
    assert "content_error" in desk.explained(bad)
    texts = [line["text"] for line in desk.gateway.sent()]
    assert "pod złym nazwiskiem" not in texts


def test_recipients_whom_only_the_answer_names(desk: Desk) -> None:
    """A node without recipients of its own asks all the same."""
    call_id = desk.call("+48221131425")
    (told,) = flows.told(desk.asterisk)
    assert told.startswith("SCHEDULED:")
    assert flows.to(desk.settled(call_id, 2)) == [(DESK, "accepted", None), (DEPUTY, "accepted", None)]


def test_withheld_caller_stays_so(desk: Desk) -> None:
    """Also where the trunk told us the number."""
    call_id = desk.call("+48221131422", privacy="id", trusted=True)
    (row,) = desk.settled(call_id, 1)
    asked = desk.asked("/who", call_id)
    assert asked.told["from_number"] == ""
    assert CALLER[3:] not in asked.raw_query + asked.body.decode() + str(asked.headers)
    assert row["text"] == "[]"


def test_no_call_waits_for_the_answer(desk: Desk) -> None:
    """The call is over, and its message in the history, while the shop has not said a word."""
    desk.where.gate.clear()
    call_id = desk.call("+48221131423")  # returns when Asterisk has no channel any more
    assert flows.told(desk.asterisk) == ["SCHEDULED:1"]
    desk.where.wait_waiting(1)
    (row,) = desk.gateway.history("--call", call_id, "--status", "waiting")
    assert (row["status"], row["text"], row["recipient"]) == ("waiting", None, DESK)
    assert "waiting" in desk.explained(row)
    assert "slow" not in {line["node"] for line in desk.gateway.sent()}
    desk.where.gate.set()
    (row,) = desk.settled(call_id, 1)
    assert (row["status"], row["text"]) == ("accepted", f"[{CALLER}]")


def test_asked_when_the_message_is_due(desk: Desk) -> None:
    """With fetch: send the shop is not asked before; the delay counts from the arrival all the same."""
    call_id = desk.call("+48221131424")
    (row,) = desk.settled(call_id, 1)
    assert (row["status"], row["text"]) == ("accepted", f"[{CALLER}]")
    due = datetime.fromisoformat(row["due_at"])
    assert due - flows.arrivals(desk.gateway)[row["id"]] == timedelta(seconds=2)
    assert desk.asked("/who", call_id).at >= due.timestamp()


def test_every_api_is_tried_out(desk: Desk) -> None:
    """`check --online` asks each of them as a call would, says that it is a test, and shows what came of it."""
    before = len(desk.where.asked)
    done = desk.gateway.command("check", "--online")
    assert done.returncode == 1  # one of them gives no text that could be used
    asked = desk.where.asked[before:]
    assert sorted(one.told["node"] for one in asked) == sorted(_nodes(desk.where))
    assert {one.headers.get("agi-sms-test") for one in asked} == {"1"}
    assert "wysłano żółtą łodzią" in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
