"""A node's `when`: which calls make messages, as the dialplan's variables tell."""

from pathlib import Path

import pytest

from agi_sms import config, errors, node, plan, trigger
from agi_sms.message import Reason, Source, Status
from tests.unit.visits import MOBILE, PL, make_node, make_visit

MISSED = (("DIALSTATUS", frozenset({"NOANSWER", "BUSY"})),)
DESK = (node.Recipient(number=MOBILE),)


def told(planned: plan.Plan) -> list[tuple[str, Source, Status, Reason | None]]:
    return [(d.recipient, d.source, d.status, d.reason) for d in planned.drafts]


@pytest.mark.parametrize(
    ("variables", "fits"),
    [
        ({"DIALSTATUS": "BUSY"}, True),
        ({"DIALSTATUS": " noanswer "}, True),
        ({"DIALSTATUS": "ANSWER"}, False),
        ({"DIALSTATUS": ""}, False),
        ({"dialstatus": "BUSY"}, False),
        ({}, False),
    ],
)
def test_it_decides_whether_anybody_gets_a_message(variables: dict[str, str], fits: bool) -> None:
    target = make_node(recipients=DESK, when=MISSED)
    planned = plan.plan(make_visit(variables=variables), target, PL)
    expected = (Status.SCHEDULED, None) if fits else (Status.SKIPPED, Reason.CONDITION)
    assert told(planned) == [(MOBILE, Source.CONFIG, *expected)]
    assert planned.faults == ()


def test_every_variable_must_fit() -> None:
    target = make_node(recipients=DESK, when=(*MISSED, ("QUEUE", frozenset({"SALES"}))))
    one = plan.plan(make_visit(variables={"DIALSTATUS": "BUSY", "QUEUE": "support"}), target, PL)
    both = plan.plan(make_visit(variables={"DIALSTATUS": "BUSY", "QUEUE": "sales"}), target, PL)
    assert [p.count for p in (one, both)] == [0, 1]


def test_what_keeps_somebody_from_an_sms_anyway_is_told_first() -> None:
    target = make_node(send_to_caller=True, when=MISSED)
    planned = plan.plan(make_visit(presentation="prohib"), target, PL)
    assert told(planned) == [("", Source.CALLER, Status.SKIPPED, Reason.CALLER_WITHHELD)]


def test_a_text_that_fails_is_not_looked_at() -> None:
    target = make_node("{{ ORDER.x.y }}", recipients=DESK, when=MISSED)
    planned = plan.plan(make_visit(), target, PL)
    assert told(planned) == [(MOBILE, Source.CONFIG, Status.SKIPPED, Reason.CONDITION)]
    assert planned.faults == ()


@pytest.mark.parametrize(
    ("allow", "source"),
    [(frozenset[node.Allowed](), Source.CONFIG), (frozenset({node.Allowed.RECIPIENTS}), Source.API)],
)
def test_the_customers_system_is_not_asked_and_the_history_says_why(
    allow: frozenset[node.Allowed], source: Source
) -> None:
    target = make_node(template=None, asking=node.Asking(allow=allow), when=MISSED)
    planned = plan.plan(make_visit(), target, PL)
    assert told(planned) == [("", source, Status.SKIPPED, Reason.CONDITION)]
    assert planned.fetch_at is None
    fits = make_node(asking=target.asking, send_to_caller=True, when=MISSED)
    asked = plan.plan(make_visit(variables={"DIALSTATUS": "BUSY"}), fits, PL)
    assert [draft.status for draft in asked.drafts] == [Status.WAITING]


# --- as it is written -------------------------------------------------------------------------------------------


def load(folder: Path, when: str) -> config.Config:
    path = folder / "agi-sms.yaml"
    said = f"nodes:\n  missed:\n    send_to_caller: true\n    content: {{text: Hello}}\n    when: {when}\n"
    path.write_text(said, encoding="utf-8")
    return config.load(path, {})


def test_values_are_a_list_or_one_text(tmp_path: Path) -> None:
    loaded = load(tmp_path, "{DIALSTATUS: [NoAnswer, busy], QUEUE: 'sales, support'}")
    assert loaded.nodes["missed"].when == (
        ("DIALSTATUS", frozenset({"NOANSWER", "BUSY"})),
        ("QUEUE", frozenset({"SALES", "SUPPORT"})),
    )
    odd = load(tmp_path, "{KEY: [1, 07], OPEN: [NO, true]}").nodes["missed"].when
    assert odd == (("KEY", frozenset({"1", "07"})), ("OPEN", frozenset({"NO", "TRUE"})))
    report = config.format_report(loaded, verbose=True)
    assert "when         DIALSTATUS is BUSY or NOANSWER\n" in report
    assert "variables    DIALSTATUS, QUEUE  (the dialplan hands them over as var.NAME=)" in report


def test_the_revision_changes_with_it(tmp_path: Path) -> None:
    assert len({load(tmp_path, when).nodes["missed"].revision for when in ("{}", "{A: x}", "{A: y}")}) == 3


def test_a_sample_call_is_one_that_makes_a_message(tmp_path: Path) -> None:
    loaded = load(tmp_path, "{DIALSTATUS: [BUSY, CANCEL]}")
    assert trigger.planned(loaded, trigger.sample(loaded, "missed")).count == 1


@pytest.mark.parametrize(
    ("when", "line", "key", "words"),
    [
        ("DIALSTATUS", 5, "nodes.missed.when", "must hold keys of its own"),
        ("{DIAL STATUS: [BUSY]}", 5, "nodes.missed.when.DIAL STATUS", "a variable's name"),
        ("{DIALSTATUS: []}", 5, "nodes.missed.when.DIALSTATUS", "at least 1"),
        ("{DIALSTATUS: {BUSY: 1}}", 5, "nodes.missed.when.DIALSTATUS", ""),
    ],
)
def test_a_mistake_names_its_place_and_its_mend(tmp_path: Path, when: str, line: int, key: str, words: str) -> None:
    with pytest.raises(errors.ConfigError) as raised:
        load(tmp_path, when)
    [said] = raised.value.mistakes
    print(said)
    assert said.startswith(f"{tmp_path / 'agi-sms.yaml'}:{line}: {key}")
    assert words in said
