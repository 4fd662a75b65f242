"""What `agi-sms trigger` makes of its options, and what it says."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from agi_sms import call, config, errors, message, plan, ports, show, trigger
from agi_sms.message import Reason, Source, Status

NOW = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
TREE: dict[str, Any] = {
    "region": "PL",
    "database": "box.db",
    "pbx": {
        "main": {"ari": {"url": "http://127.0.0.1:1", "username": "u", "password": "p"}},
        "berlin": {
            "ari": {"url": "http://127.0.0.1:1", "username": "u", "password": "p"},
            "trunks": {"acme": {"number_format": "e164_no_plus"}},
        },
    },
    "nodes": {
        "desk": {"send_to_caller": True, "content": {"text": "Hi {{ caller_name }} {{ var.order | default('-') }}"}},
        "quiet": {"content": {"text": "Hello"}},
    },
}


def load(folder: Path, **changed: Any) -> config.Config:
    path = folder / "agi-sms.yaml"
    path.write_text(json.dumps(TREE | changed), encoding="utf-8")
    return config.load(path, {})


def make_visit(loaded: config.Config, **changed: Any) -> call.Visit:
    values: dict[str, Any] = {
        "node": "desk",
        "caller": "600100200",
        "withheld": False,
        "caller_name": "",
        "dialled": "",
        "variables": {},
        "recipients": None,
        "sender": None,
        "delay": None,
        "call_id": None,
        "pbx": None,
        "trunk": "",
    }
    return trigger.visit(loaded, **(values | changed))


def make_draft(**changed: Any) -> message.Draft:
    values: dict[str, Any] = {
        "recipient": "+48600100200",
        "source": Source.CALLER,
        "status": Status.SCHEDULED,
        "sender": "TeleShop",
        "text": "Hello",
        "segments": 1,
        "route": ("a", "b"),
        "due_at": NOW,
        "expires_at": NOW + timedelta(hours=2),
    }
    return message.Draft(**(values | changed))


# --- the visit --------------------------------------------------------------------------------------------------


def test_a_visit_holds_what_was_asked_for(tmp_path: Path) -> None:
    asked = make_visit(
        load(tmp_path),
        caller_name="Jan",
        dialled="221131415",
        variables={"order": "17"},
        recipients="600",
        sender="Shop",
        delay="5m",
        trunk="acme",
    )
    assert (asked.node, asked.entry) == ("desk", call.Entry.TRIGGER)
    assert (asked.recipients, asked.sender, asked.delay) == ("600", "Shop", "5m")
    at = asked.call
    assert (at.pbx, at.caller, at.presentation, at.caller_name) == ("main", "600100200", "allowed", "Jan")
    assert (at.dialled, at.trunk, dict(at.variables)) == ("221131415", "acme", {"order": "17"})
    assert asked.arrived_at.tzinfo is UTC


def test_every_visit_is_another_call_unless_told(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    one, two = make_visit(loaded), make_visit(loaded)
    assert one.id != two.id
    assert one.call.key != two.call.key
    same = [make_visit(loaded, call_id="c1") for _ in range(2)]
    assert same[0].id != same[1].id
    assert same[0].call.key == same[1].call.key
    assert same[0].call.call_id == "c1"


def test_a_withheld_caller_gets_nothing(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    planned = trigger.planned(loaded, make_visit(loaded, withheld=True))
    assert [draft.reason for draft in planned.drafts] == [Reason.CALLER_WITHHELD]


def test_an_unknown_node_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(errors.ArgumentError, match=r"'dest'.*desk, quiet"):
        make_visit(load(tmp_path), node="dest")


def test_an_unknown_pbx_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(errors.ArgumentError, match=r"'munich'.*main, berlin"):
        make_visit(load(tmp_path), pbx="munich")


def test_without_any_pbx_it_works_too(tmp_path: Path) -> None:
    loaded = load(tmp_path, pbx={})
    planned = trigger.planned(loaded, make_visit(loaded))
    assert [draft.status for draft in planned.drafts] == [Status.SCHEDULED]


def test_the_trunks_number_format_counts(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    planned = trigger.planned(loaded, make_visit(loaded, caller="4915112345678", pbx="berlin", trunk="acme"))
    assert [draft.recipient for draft in planned.drafts] == ["+4915112345678"]


def test_the_sample_can_be_planned_for_every_node(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    for name in loaded.nodes:
        planned = trigger.planned(loaded, trigger.sample(loaded, name))
        [draft] = planned.drafts
        nobody = (Status.SKIPPED, Reason.NO_RECIPIENT)
        assert (draft.status, draft.reason) == {"quiet": nobody}.get(name, (Status.SCHEDULED, None))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"ORDER_ID": "1", "LANG": "pl", "NAME": "x"}, []),
        ({"ORDER_ID": "1", "LANG": "pl"}, []),
        (
            {"ORDER": "1", "LANG": "pl"},
            [
                "note: --var ORDER: nothing in shop uses it; it uses LANG, NAME, ORDER_ID",
                "note: ORDER_ID is among content.api.vars, and not given: it is sent empty (--var ORDER_ID=...)",
            ],
        ),
    ],
)
def test_a_variable_that_does_nothing_is_noted(tmp_path: Path, given: dict[str, str], expected: list[str]) -> None:
    api = {"url": "https://shop.example/", "response": "json", "vars": ["ORDER_ID", "LANG"]}
    content = {"api": api, "text": "{{ api.x }} {{ NAME | default('') }}", "fallback": "Hi {{ var.NAME }}"}
    loaded = load(tmp_path, nodes={"shop": {"send_to_caller": True, "content": content}})
    assert list(trigger.notes(loaded, make_visit(loaded, node="shop", variables=given))) == expected


def test_a_variable_that_anything_may_use_is_not_noted(tmp_path: Path) -> None:
    texts = {"plain": "Hello", "all": "{% for name in var %}{{ name }} {% endfor %}!"}
    loaded = load(tmp_path, nodes={name: {"content": {"text": text}} for name, text in texts.items()})
    noted = {name: list(trigger.notes(loaded, make_visit(loaded, node=name, variables={"X": "1"}))) for name in texts}
    assert noted == {"plain": ["note: --var X: nothing in plain uses it"], "all": []}


# --- what it says -----------------------------------------------------------------------------------------------


def preview(*drafts: message.Draft, faults: tuple[str, ...] = (), ignored: tuple[str, ...] = ()) -> list[str]:
    return list(trigger.preview(plan.Plan(drafts=drafts, faults=faults, ignored=ignored)))


def test_a_preview_says_who_gets_what_when() -> None:
    lines = preview(make_draft(text="one\ntwo"), make_draft(recipient="+48600100201", sender=""))
    assert lines == [
        f"+48600100200: from TeleShop, due {show.local(NOW)}, expires 2h later, by a, b",
        f"+48600100201: from (the provider decides), due {show.local(NOW)}, expires 2h later, by a, b",
        "text (gsm7, 1 segment, 7 characters):",
        "  one",
        "  two",
        "dry run: nothing stored, nothing sent",
    ]


def test_a_preview_says_why_somebody_gets_nothing() -> None:
    lines = preview(
        make_draft(recipient="", status=Status.SKIPPED, reason=Reason.CALLER_WITHHELD, text=None),
        faults=("delay: 'soon' is not a duration",),
        ignored=("recipients= is given",),
    )
    assert lines == [
        "fault: delay: 'soon' is not a duration",
        "note: recipients= is given",
        f"(withheld): skipped, {show.REASONS[Reason.CALLER_WITHHELD]}",
        "dry run: nothing stored, nothing sent",
    ]


def test_a_preview_of_nobody_says_so(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    lines = list(trigger.preview(trigger.planned(loaded, make_visit(loaded, node="quiet"))))
    assert lines[0] == f"(nobody named): skipped, {show.REASONS[Reason.NO_RECIPIENT]}"


def test_a_strangers_words_move_no_cursor() -> None:
    lines = preview(
        make_draft(recipient="\x1b[2J", status=Status.SKIPPED, reason=Reason.CALLER_INVALID, text="\x1b[31m"),
        faults=("\x07",),
    )
    assert all(line.isprintable() for line in lines)


def admission(*kept: ports.Admitted) -> ports.Admission:
    return ports.Admission(activation_id="a1", new=True, messages=kept)


def test_a_report_has_a_line_for_each_message() -> None:
    lines = trigger.report(
        admission(
            ports.Admitted(message_id="m1", recipient="+48600100200", status=Status.SCHEDULED, reason=None, due_at=NOW),
            ports.Admitted(
                message_id="m2", recipient="", status=Status.SKIPPED, reason=Reason.CALLER_WITHHELD, due_at=NOW
            ),
        ),
        plan.Plan(drafts=(), faults=("delay: no",)),
    )
    assert list(lines) == [
        "fault: delay: no",
        f"m1  +48600100200: due {show.local(NOW)}",
        f"m2  (withheld): skipped, {show.REASONS[Reason.CALLER_WITHHELD]}",
    ]


def test_a_node_that_asks_for_its_text_makes_waiting_messages(tmp_path: Path) -> None:
    api = {"api": {"url": "https://shop.example/", "fetch": "send"}}
    loaded = load(tmp_path, nodes={"shop": {"send_to_caller": True, "delay": "5m", "content": api}})
    asked = make_visit(loaded, node="shop")
    planned = trigger.planned(loaded, asked)
    assert [draft.status for draft in planned.drafts] == [Status.WAITING]
    assert planned.fetch_at == asked.arrived_at + timedelta(minutes=5)
    kept = ports.Admitted(message_id="m1", recipient="+48600100200", status=Status.WAITING, reason=None, due_at=NOW)
    assert list(trigger.report(admission(kept), planned)) == [
        f"m1  +48600100200: waiting for its text, due {show.local(NOW)}"
    ]


async def test_what_is_stored_says_when_the_text_is_asked_for(tmp_path: Path) -> None:
    class Box:
        """Keeps what it is given."""

        async def admit(self, activation: ports.Activation, *_: object) -> ports.Admission:
            self.activation = activation
            return admission()

    api = {"api": {"url": "https://shop.example/", "response": "json", "allow": ["recipients"]}}
    loaded = load(tmp_path, nodes={"shop": {"content": api}})
    asked = make_visit(loaded, node="shop")
    box = Box()
    await trigger.admit(cast(ports.Outbox, box), loaded, asked, trigger.planned(loaded, asked))
    assert box.activation.fetch_at == asked.arrived_at


def test_a_fallback_is_shown_as_what_goes_out() -> None:
    lines = preview(
        make_draft(recipient="x", status=Status.SKIPPED, reason=Reason.RECIPIENT_INVALID, text=None),
        make_draft(reason=Reason.CONTENT_TIMEOUT),
    )
    assert lines[1].startswith("+48600100200: from TeleShop, due ")
    assert lines[2:4] == ["text (gsm7, 1 segment, 5 characters):", "  Hello"]
