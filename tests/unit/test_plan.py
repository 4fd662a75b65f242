"""Who gets which SMS for one visit, and who gets none and why."""

import re
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import call, message, node, numbers, plan, text
from agi_sms.message import Reason, Source, Status
from tests.unit.visits import LANDLINE, MOBILE, NOW, PL, make_node, make_visit

E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def told(planned: plan.Plan) -> list[tuple[str, Source, Status, Reason | None]]:
    return [(d.recipient, d.source, d.status, d.reason) for d in planned.drafts]


def body(source: str, **facts: Any) -> str | None:
    target = make_node(source, recipients=(node.Recipient(number=MOBILE),), description="Front desk")
    return plan.plan(make_visit(**facts), target, PL).drafts[0].text


# --- recipients -----------------------------------------------------------------------------------------------


def test_recipients_come_in_the_order_config_group_dialplan_caller() -> None:
    target = make_node(
        recipients=(node.Recipient(number="+48600000001"), node.Recipient(number="+48600000002", group="shop")),
        dialplan_recipients=True,
        send_to_caller=True,
    )
    planned = plan.plan(make_visit(recipients="600000003"), target, PL)
    assert told(planned) == [
        ("+48600000001", Source.CONFIG, Status.SCHEDULED, None),
        ("+48600000002", Source.GROUP, Status.SCHEDULED, None),
        ("+48600000003", Source.DIALPLAN, Status.SCHEDULED, None),
        (MOBILE, Source.CALLER, Status.SCHEDULED, None),
    ]
    assert planned.count == 4
    assert planned.faults == planned.ignored == ()


@pytest.mark.parametrize(
    ("wish", "target"),
    [
        ({}, {}),
        ({}, {"dialplan_recipients": True}),
        ({"recipients": ", &"}, {"dialplan_recipients": True}),
        ({"recipients": MOBILE}, {}),
        ({}, {"template": None, "asking": node.Asking()}),
    ],
)
def test_where_nobody_is_named_a_row_says_so(wish: dict[str, Any], target: dict[str, Any]) -> None:
    planned = plan.plan(make_visit(**wish), make_node(**target), PL)
    assert told(planned) == [("", Source.CONFIG, Status.SKIPPED, Reason.NO_RECIPIENT)]
    assert (planned.count, planned.fetch_at, planned.faults) == (0, None, ())
    assert planned.drafts[0].route == ()


@pytest.mark.parametrize(
    ("wish", "source", "target"),
    [
        ({"delay": "soon"}, "Hello", {}),
        ({"delay": "soon"}, "Hello", {"template": None, "asking": node.Asking()}),
        ({}, "{{ missing }}", {}),
    ],
)
def test_for_nobody_other_faults_hold_nothing(wish: dict[str, Any], source: str, target: dict[str, Any]) -> None:
    """There would be nobody whom a person could have it sent to; the log still says what is wrong."""
    planned = plan.plan(make_visit(**wish), make_node(source, **target), PL)
    assert told(planned) == [("", Source.CONFIG, Status.SKIPPED, Reason.NO_RECIPIENT)]
    assert len(planned.faults) == 1


def test_one_number_from_several_places_is_one_message_and_the_first_place_counts() -> None:
    target = make_node(
        recipients=(
            node.Recipient(number=MOBILE, group="shop"),
            node.Recipient(number=MOBILE),
            node.Recipient(number="+48600000001"),
        ),
        dialplan_recipients=True,
        send_to_caller=True,
    )
    planned = plan.plan(make_visit(recipients="600 100 200, +48600100200", caller="0048600100200"), target, PL)
    assert told(planned) == [
        (MOBILE, Source.GROUP, Status.SCHEDULED, None),
        ("+48600000001", Source.CONFIG, Status.SCHEDULED, None),
    ]


def test_the_caller_gets_nothing_unless_the_node_says_so() -> None:
    planned = plan.plan(make_visit(), make_node(recipients=(node.Recipient(number="+48600000001"),)), PL)
    assert [d.recipient for d in planned.drafts] == ["+48600000001"]


@pytest.mark.parametrize(
    ("caller", "presentation"),
    [
        (MOBILE, "prohib"),
        (MOBILE, "prohib_passed_screen"),
        (MOBILE, "unavailable"),
        (MOBILE, ""),
        (MOBILE, "no such word"),
        ("", "allowed"),
        ("Anonymous", "allowed"),
        ("unknown", "allowed"),
        ("RESTRICTED", "allowed"),
    ],
)
def test_a_withheld_caller_is_skipped_and_the_number_is_not_kept_as_recipient(caller: str, presentation: str) -> None:
    planned = plan.plan(make_visit(caller=caller, presentation=presentation), make_node(send_to_caller=True), PL)
    assert told(planned) == [("", Source.CALLER, Status.SKIPPED, Reason.CALLER_WITHHELD)]
    assert planned.count == 0


def test_withholding_does_not_keep_a_configured_recipient_from_getting_it() -> None:
    target = make_node(recipients=(node.Recipient(number=MOBILE),), send_to_caller=True)
    planned = plan.plan(make_visit(presentation="prohib"), target, PL)
    assert told(planned) == [
        (MOBILE, Source.CONFIG, Status.SCHEDULED, None),
        ("", Source.CALLER, Status.SKIPPED, Reason.CALLER_WITHHELD),
    ]


def test_an_unusable_caller_is_skipped_and_what_was_received_is_kept_in_short() -> None:
    planned = plan.plan(make_visit(caller="sip:" + "x" * 100), make_node(send_to_caller=True), PL)
    [draft] = planned.drafts
    assert (draft.status, draft.reason) == (Status.SKIPPED, Reason.CALLER_INVALID)
    assert draft.recipient == ("sip:" + "x" * 100)[:40]


def test_a_landline_that_calls_is_skipped() -> None:
    planned = plan.plan(make_visit(caller="221131415"), make_node(send_to_caller=True), PL)
    assert told(planned) == [(LANDLINE, Source.CALLER, Status.SKIPPED, Reason.LANDLINE)]


PREMIUM, TOLL_FREE, PAGER, PERSONAL = "+48700123456", "+48800123456", "+447640123456", "+15005550100"
SATELLITE, GLOBAL_PREMIUM = ("+881612345678", "+870773111632"), "+979123456789"
GERMAN, AMERICAN = "+4915112345678", "+12125550123"


@pytest.mark.parametrize(
    ("caller", "countries", "reason"),
    [
        (MOBILE, (), None),
        (MOBILE, ("PL", "DE"), None),
        (MOBILE, ("DE",), Reason.COUNTRY),
        (GERMAN, (), Reason.COUNTRY),
        (GERMAN, ("PL", "DE"), None),
        (GERMAN, ("any",), None),
        (AMERICAN, (), Reason.COUNTRY),
        (AMERICAN, ("US",), None),  # where mobiles cannot be told from landlines
        ("+18765550123", ("US",), Reason.COUNTRY),  # Jamaica, though it begins with +1 too
        ("+447797123456", ("GB",), Reason.COUNTRY),  # Jersey
        (PREMIUM, ("any",), Reason.NOT_MOBILE),
        (TOLL_FREE, ("any",), Reason.NOT_MOBILE),
        (PAGER, ("any",), Reason.NOT_MOBILE),
        (PERSONAL, ("any",), Reason.NOT_MOBILE),
        (SATELLITE[0], ("any",), Reason.NOT_MOBILE),
        (SATELLITE[1], ("any",), Reason.NOT_MOBILE),
        (GLOBAL_PREMIUM, ("any",), Reason.NOT_MOBILE),
        (GLOBAL_PREMIUM, (), Reason.NOT_MOBILE),
        ("+4930901820", (), Reason.LANDLINE),
    ],
)
def test_which_callers_get_one(caller: str, countries: tuple[str, ...], reason: Reason | None) -> None:
    target = make_node(send_to_caller=True, caller_countries=countries)
    status = Status.SKIPPED if reason else Status.SCHEDULED
    assert told(plan.plan(make_visit(caller=caller), target, PL)) == [(caller, Source.CALLER, status, reason)]


def test_the_callers_country_is_the_nodes_and_not_the_trunks() -> None:
    target = make_node(send_to_caller=True, region="DE")
    assert told(plan.plan(make_visit(caller=GERMAN), target, PL))[0][2:] == (Status.SCHEDULED, None)
    assert told(plan.plan(make_visit(), target, PL))[0][2:] == (Status.SKIPPED, Reason.COUNTRY)


@pytest.mark.parametrize("number", [PREMIUM, SATELLITE[0], GERMAN])
def test_whom_the_operator_or_the_dialplan_names_gets_it_wherever_the_number_belongs(number: str) -> None:
    configured = make_node(recipients=(node.Recipient(number=number),), send_to_caller=True)
    assert told(plan.plan(make_visit(caller=number), configured, PL)) == [
        (number, Source.CONFIG, Status.SCHEDULED, None)
    ]
    dialplan = plan.plan(make_visit(recipients=number), make_node(dialplan_recipients=True), PL)
    assert told(dialplan) == [(number, Source.DIALPLAN, Status.SCHEDULED, None)]


def test_a_landline_that_is_configured_or_named_by_the_dialplan_is_not() -> None:
    target = make_node(recipients=(node.Recipient(number=LANDLINE),), dialplan_recipients=True)
    planned = plan.plan(make_visit(recipients="221131416"), target, PL)
    assert [(d.recipient, d.status) for d in planned.drafts] == [
        (LANDLINE, Status.SCHEDULED),
        ("+48221131416", Status.SCHEDULED),
    ]


def test_dialplan_recipients_are_ignored_aloud_where_the_node_does_not_allow_them() -> None:
    target = make_node(recipients=(node.Recipient(number=MOBILE),))
    planned = plan.plan(make_visit(recipients="+19005550100"), target, PL)
    assert [d.recipient for d in planned.drafts] == [MOBILE]
    assert planned.count == 1
    assert planned.faults == ()
    assert len(planned.ignored) == 1
    assert "dialplan_recipients" in planned.ignored[0]


def test_dialplan_recipients_are_separated_by_comma_or_ampersand() -> None:
    planned = plan.plan(
        make_visit(recipients=" 600000001 ,, +48600000002&600000003& "), make_node(dialplan_recipients=True), PL
    )
    assert [d.recipient for d in planned.drafts] == ["+48600000001", "+48600000002", "+48600000003"]


def test_one_bad_dialplan_recipient_harms_no_other() -> None:
    planned = plan.plan(make_visit(recipients="nobody,600000001"), make_node(dialplan_recipients=True), PL)
    assert told(planned) == [
        ("nobody", Source.DIALPLAN, Status.SKIPPED, Reason.RECIPIENT_INVALID),
        ("+48600000001", Source.DIALPLAN, Status.SCHEDULED, None),
    ]
    assert planned.faults == ()


def test_what_is_no_number_is_kept_without_what_a_terminal_would_act_on() -> None:
    hostile = "a\x1b[31m\x9b\u202e\u2028\x07" + "x" * 50
    visit = make_visit(recipients=hostile, caller=hostile)
    planned = plan.plan(visit, make_node(dialplan_recipients=True, send_to_caller=True), PL)
    assert [draft.recipient for draft in planned.drafts] == ["a\\x1b[31m\\x9b\\u202e\\u2028\\x07" + "x" * 11]


def test_more_dialplan_recipients_than_allowed_are_left_out_aloud() -> None:
    many = ",".join(f"+486000000{n:02}" for n in range(plan.MOST_NAMED + 3))
    planned = plan.plan(make_visit(recipients=many), make_node(dialplan_recipients=True), PL)
    assert planned.count == plan.MOST_NAMED
    assert len(planned.ignored) == 1
    assert str(plan.MOST_NAMED) in planned.ignored[0]


def test_as_many_dialplan_recipients_as_allowed_are_no_fault() -> None:
    many = ",".join(f"+486000000{n:02}" for n in range(plan.MOST_NAMED))
    planned = plan.plan(make_visit(recipients=many), make_node(dialplan_recipients=True), PL)
    assert planned.count == plan.MOST_NAMED
    assert planned.ignored == ()


@pytest.mark.parametrize(
    ("rules", "caller", "expected"),
    [
        (
            numbers.Rules(number_format=numbers.NumberFormat.E164_NO_PLUS, region="DE"),
            "4915112345678",
            "+4915112345678",
        ),
        (numbers.Rules(number_format=numbers.NumberFormat.NATIONAL, region="PL"), "600100200", MOBILE),
        (numbers.Rules(number_format=numbers.NumberFormat.E164, region="PL"), "0048600100200", MOBILE),
        (numbers.Rules(region="PL", strip=("9",), prefix="+48"), "9600100200", MOBILE),
        (numbers.Rules(region="PL"), "48600100200", MOBILE),
    ],
)
def test_the_caller_is_read_in_the_trunks_own_dress(rules: numbers.Rules, caller: str, expected: str) -> None:
    target = make_node("{{ caller }}", send_to_caller=True, caller_countries=("PL", "DE"))
    [draft] = plan.plan(make_visit(caller=caller), target, rules).drafts
    assert (draft.recipient, draft.status, draft.text) == (expected, Status.SCHEDULED, expected)


def test_what_the_trunk_does_not_write_so_is_no_number_of_it() -> None:
    rules = numbers.Rules(number_format=numbers.NumberFormat.E164, region="PL")
    [draft] = plan.plan(make_visit(caller="600100200"), make_node(send_to_caller=True), rules).drafts
    assert draft.reason is Reason.CALLER_INVALID


def test_dialplan_recipients_are_read_in_the_nodes_region_whatever_the_trunk_does() -> None:
    rules = numbers.Rules(number_format=numbers.NumberFormat.E164_NO_PLUS, region="DE", strip=("0",))
    target = make_node(dialplan_recipients=True, region="GB")
    [draft] = plan.plan(make_visit(recipients="07400 123456"), target, rules).drafts
    assert draft.recipient == "+447400123456"


# --- delay, sender, expiry --------------------------------------------------------------------------------------


def one(visit: call.Visit, **settings_: Any) -> message.Draft:
    target = make_node(recipients=(node.Recipient(number=MOBILE),), **settings_)
    [draft] = plan.plan(visit, target, PL).drafts
    return draft


def test_delay_counts_from_the_arrival_and_the_age_from_when_it_is_due() -> None:
    draft = one(make_visit(), delay=timedelta(minutes=5), max_age=timedelta(hours=2))
    assert draft.due_at == NOW + timedelta(minutes=5)
    assert draft.expires_at == NOW + timedelta(hours=2, minutes=5)


def test_without_delay_it_is_due_at_once() -> None:
    assert one(make_visit()).due_at == NOW


@pytest.mark.parametrize(("word", "span"), [("0", 0), ("30s", 30), ("1h30m", 5400), ("2d", 172800)])
def test_the_dialplans_delay_wins(word: str, span: int) -> None:
    draft = one(make_visit(delay=word), delay=timedelta(minutes=5))
    assert draft.due_at == NOW + timedelta(seconds=span)
    assert draft.status is Status.SCHEDULED


@pytest.mark.parametrize("word", ["soon", "-5m", "5", "9" * 30 + "d", "400d", "1h 30m x"])
def test_a_delay_that_nobody_can_read_holds_the_messages(word: str) -> None:
    target = make_node(recipients=(node.Recipient(number=MOBILE),), send_to_caller=True, delay=timedelta(minutes=5))
    planned = plan.plan(make_visit(delay=word, presentation="prohib"), target, PL)
    assert told(planned) == [
        (MOBILE, Source.CONFIG, Status.HELD, Reason.BAD_ARGUMENT),
        ("", Source.CALLER, Status.SKIPPED, Reason.CALLER_WITHHELD),
    ]
    assert planned.count == 0
    assert len(planned.faults) == 1
    assert planned.faults[0].startswith("delay: ")
    assert planned.drafts[0].due_at == NOW + timedelta(minutes=5)


def test_the_dialplans_sender_wins() -> None:
    assert one(make_visit(sender="Shop"), sender="TeleShop").sender == "Shop"
    assert one(make_visit(), sender="TeleShop").sender == "TeleShop"


def test_what_the_dialplan_leaves_empty_it_leaves_to_the_node() -> None:
    draft = one(make_visit(sender="", delay="", recipients=""), sender="TeleShop", delay=timedelta(minutes=5))
    assert (draft.sender, draft.due_at, draft.status) == ("TeleShop", NOW + timedelta(minutes=5), Status.SCHEDULED)


@pytest.mark.parametrize("word", ["MuchTooLongName", "bad\nname", "600100200", "!!!"])
def test_a_sender_that_no_network_takes_holds_the_messages(word: str) -> None:
    target = make_node(recipients=(node.Recipient(number=MOBILE),), sender="TeleShop")
    planned = plan.plan(make_visit(sender=word), target, PL)
    assert told(planned) == [(MOBILE, Source.CONFIG, Status.HELD, Reason.BAD_ARGUMENT)]
    assert planned.faults[0].startswith("sender: ")
    assert planned.drafts[0].sender == "TeleShop"


def test_both_faults_are_told() -> None:
    target = make_node(recipients=(node.Recipient(number=MOBILE),))
    planned = plan.plan(make_visit(sender="!!!", delay="soon"), target, PL)
    assert [fault.split(":")[0] for fault in planned.faults] == ["delay", "sender"]


def test_what_the_message_needs_later_is_on_it() -> None:
    draft = one(make_visit(), route=node.Route.of("first", "second"), once_per_call=True)
    assert draft.route == ("first", "second")
    assert draft.once is True
    assert one(make_visit()).once is False


# --- text -------------------------------------------------------------------------------------------------------


def test_the_text_sees_the_call_in_e164() -> None:
    written = body(
        "{{ caller }} {{ dialled }} {{ diverted_from }} {{ call_id }} {{ node }} {{ description }} {{ pbx }}",
        dialled="221131415",
        diverted_from="0048221131416",
    )
    assert written == f"{MOBILE} {LANDLINE} +48221131416 1795439100.12 desk Front desk main"


def test_an_extension_that_was_dialled_is_shown_as_it_is() -> None:
    assert body("{{ dialled }}", dialled="2001") == "2001"


def test_now_is_in_the_nodes_time_zone() -> None:
    draft = one(make_visit(), template=text.Template("{{ now }}", name="text"), time_zone=ZoneInfo("Europe/Warsaw"))
    assert draft.text == "2026-11-23 14:05"


def test_the_dialplans_variables_are_in_the_text_and_take_no_name_of_ours() -> None:
    assert body("{{ var.order }} {{ order }}", variables={"order": "17"}) == "17 17"
    assert body("{{ caller }} {{ var.caller }}", variables={"caller": "evil"}) == f"{MOBILE} evil"


def test_a_caller_name_is_data_and_never_a_template() -> None:
    assert body("Hi {{ caller_name }}", caller_name="{{ 7 * 7 }}{% raw %}") == "Hi {{ 7 * 7 }}{% raw %}"


def test_a_callers_name_is_cleaned() -> None:
    assert body("Hi {{ caller_name }}!", caller_name="Jan\r\n\x00\u202eKowalski") == "Hi Jan Kowalski!"


@pytest.mark.parametrize("presentation", ["prohib", "unavailable", "", "prohib_not_screened"])
def test_a_withheld_callers_number_and_name_stay_out_of_the_text(presentation: str) -> None:
    assert body("[{{ caller }}|{{ caller_name }}]", caller_name="Jan Kowalski", presentation=presentation) == "[|]"


def test_text_is_measured() -> None:
    draft = one(make_visit(), template=text.Template("a" * 161, name="text"))
    assert (draft.encoding, draft.segments) == (message.Encoding.GSM7, 2)
    draft = one(make_visit(), template=text.Template("ż" * 70, name="text"))
    assert (draft.encoding, draft.segments) == (message.Encoding.UCS2, 1)


def test_transliteration_is_the_nodes_choice() -> None:
    template = text.Template("Zażółć", name="text")
    assert one(make_visit(), template=template).text == "Zażółć"
    plain = one(make_visit(), template=template, transliterate=True)
    assert (plain.text, plain.encoding) == ("Zazolc", message.Encoding.GSM7)


def test_a_text_that_is_too_long_is_skipped_and_kept() -> None:
    template = text.Template("{{ var.long }}", name="text")
    draft = one(make_visit(variables={"long": "a" * 161}), template=template, max_segments=1)
    assert (draft.status, draft.reason, draft.segments) == (Status.SKIPPED, Reason.TOO_LONG, 2)
    assert draft.text == "a" * 161


ALARM = "Alarm line: {{ caller }}{% if caller_name %} ({{ caller_name }}){% endif %} called."


@pytest.mark.parametrize(
    ("name", "shown", "notes"),
    [
        ("ż" * 60, f"Alarm line: {MOBILE} ({'z' * 60}) called.", 0),  # 67 and more: two segments where it is UCS-2
        ("\U0001f600" * 60, f"Alarm line: {MOBILE} () called.", 0),
        ("㌖" * 60, f"Alarm line: {MOBILE} called.", 1),  # eleven letters each when written plainly
        ("[" * 60, f"Alarm line: {MOBILE} ({'[' * 60}) called.", 0),  # 60 that take two units each: 154 of 160
    ],
)
def test_a_caller_cannot_silence_a_message_by_a_name_that_makes_it_too_long(name: str, shown: str, notes: int) -> None:
    target = make_node(ALARM, recipients=(node.Recipient(number=LANDLINE),), max_segments=1)
    planned = plan.plan(make_visit(caller_name=name), target, PL)
    [draft] = planned.drafts
    assert (draft.text, draft.status, draft.segments) == (shown, Status.SCHEDULED, 1)
    assert planned.faults == ()
    assert [note.partition(":")[0] for note in planned.ignored] == ["caller_name is left out"] * notes


def test_a_caller_cannot_silence_a_message_by_a_name_that_the_template_fails_on() -> None:
    source = "Called{% if caller_name %} by {{ caller_name.split(' ')[1] }}{% endif %}"
    target = make_node(source, recipients=(node.Recipient(number=LANDLINE),))
    planned = plan.plan(make_visit(caller_name="Madonna"), target, PL)
    assert (planned.drafts[0].text, planned.drafts[0].status) == ("Called", Status.SCHEDULED)
    assert planned.faults == ()
    assert planned.ignored[0].startswith("caller_name is left out: ")


def test_a_text_that_is_too_long_without_the_callers_name_is_skipped_as_it_was() -> None:
    source = "{{ caller_name }} {{ var.long }}"
    visit = make_visit(caller_name="Żak", variables={"long": "a" * 161})
    draft = one(visit, template=text.Template(source, name="text"), max_segments=1)
    assert (draft.status, draft.reason, draft.text) == (Status.SKIPPED, Reason.TOO_LONG, f"Żak {'a' * 161}")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("You won! Visit evil.example/x", ""),
        ("1234, call +48 700 123 456 now", "1234+48700123456"),
        ("*72#", "*72#"),
        ("٤٨٦٠٠", ""),
        ("9" * 100, "9" * 40),
        ("x" * 50 + "12", "12"),
    ],
)
def test_what_is_no_number_is_shown_as_the_keys_of_a_telephone_only(raw: str, shown: str) -> None:
    written = body("[{{ caller }}|{{ dialled }}|{{ diverted_from }}]", caller=raw, dialled=raw, diverted_from=raw)
    assert written == f"[{shown}|{shown}|{shown}]"


def test_as_long_as_allowed_is_not_too_long() -> None:
    draft = one(make_visit(), template=text.Template("a" * 160, name="text"), max_segments=1)
    assert draft.status is Status.SCHEDULED


@pytest.mark.parametrize("source", ["{{ var.gone | default('') }}", "{{ caller_name }} \n"])
def test_a_text_that_comes_out_empty_is_skipped(source: str) -> None:
    draft = one(make_visit(), template=text.Template(source, name="text"))
    assert (draft.status, draft.reason) == (Status.SKIPPED, Reason.EMPTY_CONTENT)


def test_a_template_that_fails_on_this_call_is_a_fault_and_the_messages_are_skipped() -> None:
    target = make_node("Order {{ var.order }}", recipients=(node.Recipient(number=MOBILE),))
    planned = plan.plan(make_visit(), target, PL)
    assert told(planned) == [(MOBILE, Source.CONFIG, Status.SKIPPED, Reason.CONTENT_ERROR)]
    assert planned.drafts[0].text is None
    assert planned.count == 0
    assert "order" in planned.faults[0]


def test_a_recipients_own_reason_is_told_before_the_texts() -> None:
    planned = plan.plan(make_visit(caller="221131415"), make_node("{{ var.gone }}", send_to_caller=True), PL)
    assert planned.drafts[0].reason is Reason.LANDLINE


# --- whatever the call holds ------------------------------------------------------------------------------------

ANY = st.text(max_size=60)
ALMOST = st.one_of(
    ANY,
    st.sampled_from(["", MOBILE, "600100200", "221131415", "anonymous", "0048600100200", "+", "tel:", "+48", "٤٨٦٠٠"]),
    st.text(alphabet="+0123456789 -().&,\n\x00\ud800", max_size=30),
)
PRESENTATIONS = st.one_of(
    st.sampled_from(["allowed", "allowed_passed_screen", "prohib", "unavailable", "", "ALLOWED "]), ANY
)
SOURCES = (
    "{{ caller }} {{ caller_name }} {{ dialled }} {{ diverted_from }} {{ now }}",
    "{{ var.a }} {{ a }}",
    "{{ caller_name[5] }}{% for k, v in var.items() %}{{ k }}={{ v }}{% endfor %}",
    "plain",
)
TEMPLATES = tuple(text.Template(source, name="text") for source in SOURCES)
RULES = tuple(
    numbers.Rules(number_format=form, region=region, strip=strip, prefix=prefix)
    for form in numbers.NumberFormat
    for region in ("PL", "US", "DE")
    for strip, prefix in (((), ""), (("0",), "+49"), (("+",), "00"))
)


@st.composite
def visits(draw: st.DrawFn) -> call.Visit:
    maybe = st.one_of(st.none(), ALMOST)
    return make_visit(
        caller=draw(ALMOST),
        presentation=draw(PRESENTATIONS),
        caller_name=draw(ANY),
        dialled=draw(ALMOST),
        diverted_from=draw(ALMOST),
        variables=draw(st.dictionaries(ANY, ANY, max_size=3)),
        recipients=draw(maybe),
        sender=draw(maybe),
        delay=draw(st.one_of(st.none(), ANY, st.from_regex(r"[0-9]{1,30}(ms|s|m|h|d)", fullmatch=True))),
    )


@st.composite
def nodes_(draw: st.DrawFn) -> node.Node:
    return make_node(
        template=draw(st.sampled_from(TEMPLATES)),
        recipients=draw(st.sampled_from([(), (node.Recipient(number=MOBILE), node.Recipient(number=LANDLINE))])),
        caller_countries=draw(st.sampled_from([(), ("any",), ("DE", "US")])),
        send_to_caller=draw(st.booleans()),
        dialplan_recipients=draw(st.booleans()),
        transliterate=draw(st.booleans()),
        max_segments=draw(st.integers(1, 3)),
        delay=timedelta(seconds=draw(st.integers(0, 86400))),
    )


@settings(max_examples=250, deadline=None)
@given(visit=visits(), target=nodes_(), rules=st.sampled_from(RULES))
def test_whatever_the_call_holds(visit: call.Visit, target: node.Node, rules: numbers.Rules) -> None:
    planned = plan.plan(visit, target, rules)
    withheld = numbers.withheld(visit.call.caller, visit.call.presentation)
    seen = [d.recipient for d in planned.drafts if d.recipient]
    assert len(seen) == len(set(seen))
    assert planned.count == sum(d.status is Status.SCHEDULED for d in planned.drafts)
    for draft in planned.drafts:
        assert draft.status in (Status.SCHEDULED, Status.HELD, Status.SKIPPED)
        assert NOW <= draft.due_at < draft.expires_at == draft.due_at + target.max_age
        assert (draft.reason is None) == (draft.status is Status.SCHEDULED)
        if draft.status is Status.SKIPPED:
            continue
        assert E164.fullmatch(draft.recipient)
        assert draft.text is not None
        assert draft.text.strip()
        assert 1 <= draft.segments <= target.max_segments
        assert text.sender_fault(draft.sender) is None
        assert not (withheld and draft.source is Source.CALLER)
        assert target.dialplan_recipients or draft.source is not Source.DIALPLAN
        assert not planned.faults or draft.status is Status.HELD


SECRET = re.compile("87654321|Zenobia")


@settings(max_examples=200, deadline=None)
@given(
    presentation=PRESENTATIONS.filter(lambda p: not p.strip().lower().startswith("allowed")),
    target=nodes_(),
    rules=st.sampled_from(RULES),
)
def test_nothing_of_a_withheld_caller_is_in_any_draft(
    presentation: str, target: node.Node, rules: numbers.Rules
) -> None:
    visit = make_visit(caller="+48587654321", caller_name="Zenobia", presentation=presentation)
    planned = plan.plan(visit, target, rules)
    assert not SECRET.search(repr(planned))
    assert not any(d.status is Status.SCHEDULED and d.source is Source.CALLER for d in planned.drafts)
