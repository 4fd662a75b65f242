"""What becomes of waiting messages when the customer's system answered, or did not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import message, node, plan, ports, resolution, text
from agi_sms.message import Reason, Source, Status
from agi_sms.node import Allowed, OnError
from agi_sms.ports import ContentState
from tests.unit.visits import MOBILE, NOW, PL, make_node, make_visit

SECOND = timedelta(seconds=1)
ALL = frozenset(Allowed)


def asking(*, template: str | None = None, **changed: Any) -> node.Node:
    """A node that asks; `asking` keys and node keys mixed."""
    own: dict[str, Any] = {key: changed.pop(key) for key in ("fetch", "retries", "on_error", "allow") if key in changed}
    fallback = changed.pop("fallback", None)
    if fallback is not None:
        own |= {"fallback": text.Template(fallback, name="fallback")}
        own.setdefault("on_error", OnError.FALLBACK)
    compiled = None if template is None else text.Template(template, name="text")
    return make_node(**({"send_to_caller": True} | changed | {"template": compiled, "asking": node.Asking(**own)}))


def answer(said: str | None = "Hello", **changed: Any) -> ports.Answer:
    return ports.Answer(**({"text": said, "code": "200", "excerpt": "…"} | changed))


def resolve(target: node.Node, said: ports.Answer, **visit: Any) -> ports.Resolution:
    return resolution.resolve(make_visit(**visit), target, PL, said)


# --- the plan of a node that asks ---------------------------------------------------------------------------------


def test_messages_wait_and_are_counted_as_to_be_sent() -> None:
    planned = plan.plan(make_visit(), asking(), PL)
    (draft,) = planned.drafts
    assert (draft.status, draft.text, draft.reason) == (Status.WAITING, None, None)
    assert planned.count == 1
    assert planned.fetch_at == NOW


def test_fetch_send_asks_when_the_message_is_due() -> None:
    target = asking(fetch=node.Fetch.SEND, delay=timedelta(minutes=5))
    assert plan.plan(make_visit(), target, PL).fetch_at == NOW + timedelta(minutes=5)
    assert plan.plan(make_visit(delay="10s"), target, PL).fetch_at == NOW + 10 * SECOND


def test_nobody_waits_nobody_asks() -> None:
    planned = plan.plan(make_visit(presentation="prohib"), asking(), PL)
    assert [d.status for d in planned.drafts] == [Status.SKIPPED]
    assert planned.fetch_at is None


@pytest.mark.parametrize("caller", [True, False])
def test_where_only_the_answer_can_name_recipients_a_message_waits_for_that(caller: bool) -> None:
    target = asking(allow=frozenset({Allowed.RECIPIENTS}), send_to_caller=caller)
    planned = plan.plan(make_visit(presentation="prohib"), target, PL)
    *skipped, waiting = planned.drafts
    assert [d.status for d in skipped] == ([Status.SKIPPED] if caller else [])
    assert (waiting.recipient, waiting.source, waiting.status) == ("", Source.API, Status.WAITING)
    assert (planned.fetch_at, planned.count) == (NOW, 1)


def test_whoever_waits_needs_nobody_to_wait_for_names() -> None:
    planned = plan.plan(make_visit(), asking(allow=ALL), PL)
    assert [d.recipient for d in planned.drafts] == [MOBILE]
    held = plan.plan(make_visit(delay="soon"), asking(allow=ALL, send_to_caller=False), PL)
    assert [(d.recipient, d.status, d.reason) for d in held.drafts] == [("", Status.HELD, Reason.BAD_ARGUMENT)]


def test_a_bad_argument_holds_and_does_not_ask() -> None:
    planned = plan.plan(make_visit(delay="soon"), asking(), PL)
    assert [(d.status, d.reason) for d in planned.drafts] == [(Status.HELD, Reason.BAD_ARGUMENT)]
    assert planned.fetch_at is None


# --- an answer ----------------------------------------------------------------------------------------------------


def test_the_message_is_the_text() -> None:
    made = resolve(asking(), answer("Zamówienie 12 gotowe"))
    assert (made.state, made.status, made.reason) == (ContentState.ANSWERED, Status.SCHEDULED, None)
    assert (made.text, made.encoding, made.segments) == ("Zamówienie 12 gotowe", message.Encoding.UCS2, 1)
    assert (made.sender, made.due_at, made.more, made.code, made.excerpt) == (None, None, (), "200", "…")


def test_transliteration_and_cleaning_are_the_nodes() -> None:
    assert resolve(asking(transliterate=True), answer("Zażółć\x07\r\n\ud800!")).text == "Zazolc\n?!"


def test_a_text_too_long_with_its_accents_goes_out_in_plain_letters() -> None:
    made = resolve(asking(max_segments=1), answer("ż" * 100))
    assert (made.status, made.text, made.segments) == (Status.SCHEDULED, "z" * 100, 1)


def test_the_nodes_own_template_sees_the_answer() -> None:
    target = asking(template="{{ api.name }}: {{ api.order.id }}, {{ api.lines|length }}, {{ caller }}")
    made = resolve(target, answer(None, fields={"name": "Ola", "order": {"id": 12}, "lines": [1, 2]}))
    assert made.text == f"Ola: 12, 2, {MOBILE}"


def test_an_answer_is_never_read_as_a_template() -> None:
    said = "{{ caller }}{% for x in y %}"
    assert resolve(asking(), answer(said)).text == said
    assert resolve(asking(template="{{ api.x }}"), answer(None, fields={"x": said})).text == said


@pytest.mark.parametrize(
    ("said", "template", "reason", "detail"),
    [
        (answer(" \n"), None, Reason.EMPTY_CONTENT, "empty"),
        (answer("x" * 2000), None, Reason.TOO_LONG, "14 segments, more than max_segments: 6"),
        (answer("ż" * 10_001), None, Reason.TOO_LONG, "10001 characters"),
        (answer(None, fields={"a": 1}), "{{ api.b }}", Reason.CONTENT_ERROR, "'b'"),
        (answer(None, fields=[1]), "{{ api.b }}", Reason.CONTENT_ERROR, "'b'"),
        (answer(None, fields=None), "{{ api.b }}", Reason.CONTENT_ERROR, "'b'"),
        (answer(None, fields={"b": [1]}), "{{ api.b }}", Reason.CONTENT_ERROR, "a list is no text"),
        (answer(None, fields={"b": {}}), "{{ api.b }}", Reason.CONTENT_ERROR, "a group of fields is no text"),
        (answer(None, send=False), None, Reason.CONTENT_MISSING, "allow: [send]"),
    ],
)
@pytest.mark.parametrize(
    ("on_error", "state", "status"),
    [(OnError.SKIP, ContentState.SKIPPED, Status.SKIPPED), (OnError.HOLD, ContentState.HELD, Status.HELD)],
)
def test_what_no_sms_can_be_made_of_is_as_no_answer(
    said: ports.Answer,
    template: str | None,
    reason: Reason,
    detail: str,
    on_error: OnError,
    state: ContentState,
    status: Status,
) -> None:
    made = resolve(asking(template=template, on_error=on_error), said)
    assert (made.state, made.status, made.reason, made.text) == (state, status, reason, None)
    assert detail in made.detail
    assert made.excerpt == "…"


# --- what an answer may wish --------------------------------------------------------------------------------------


def test_wishes_count_only_where_they_are_allowed() -> None:
    said = answer(sender="SHOP", delay="10m", recipients=["+48600000009"], send=True)
    plain = resolve(asking(), said)
    assert (plain.sender, plain.due_at, plain.more) == (None, None, ())
    assert plain.detail == "ignored, since allow does not name it: sender, delay, recipients, send"
    made = resolve(asking(allow=ALL), said)
    assert (made.sender, made.due_at, made.detail) == ("SHOP", NOW + timedelta(minutes=10), "")
    (draft,) = made.more
    assert (draft.recipient, draft.source, draft.status) == ("+48600000009", Source.API, Status.SCHEDULED)
    assert (draft.text, draft.sender, draft.due_at) == ("Hello", "SHOP", made.due_at)
    assert draft.expires_at == draft.due_at + timedelta(hours=24)


def test_an_empty_sender_is_no_wish() -> None:
    assert resolve(asking(allow=ALL), answer(sender="")).sender is None


def test_send_false_skips_whatever_the_text() -> None:
    made = resolve(asking(allow=ALL, fallback="Sorry"), answer("Hello", send=False))
    assert (made.state, made.status, made.reason) == (ContentState.SKIPPED, Status.SKIPPED, Reason.DECLINED)
    assert resolve(asking(allow=ALL), answer(None, send=False)).reason is Reason.DECLINED


@pytest.mark.parametrize(
    ("wish", "detail"),
    [
        ({"sender": "A far too long name"}, "sender: "),
        ({"sender": 12}, "sender: must be text, not 12"),
        ({"delay": "soon"}, "delay: 'soon' is not a duration"),
        ({"delay": 30}, "delay: '30' is not a duration"),
        ({"delay": "400d"}, "delay: '400d' is out of range; at most 366d"),
        ({"delay": ["5m"]}, "delay: a list is not a duration"),
        ({"recipients": 48600100200}, "recipients: must be numbers in quotes"),
        ({"recipients": [1]}, "recipients: must be numbers in quotes"),
        ({"send": "false"}, "send: must be true or false, not 'false'"),
    ],
)
def test_a_wish_that_a_config_would_not_take_is_a_fault_of_the_answer(wish: dict[str, Any], detail: str) -> None:
    made = resolve(asking(allow=ALL, fallback="Sorry"), answer(**wish))
    assert (made.state, made.status, made.text) == (ContentState.FALLBACK, Status.SCHEDULED, "Sorry")
    assert made.reason is Reason.CONTENT_ERROR
    assert made.detail.startswith(detail)
    assert (made.sender, made.due_at, made.more) == (None, None, ())


def test_a_bad_number_among_recipients_is_seen_and_keeps_nobody_from_it() -> None:
    made = resolve(asking(allow=ALL), answer(recipients="+48600000001, nonsense, 600000002, +48600000001"))
    assert [(d.recipient, d.status, d.reason) for d in made.more] == [
        ("+48600000001", Status.SCHEDULED, None),
        ("nonsense", Status.SKIPPED, Reason.RECIPIENT_INVALID),
        ("600000002", Status.SKIPPED, Reason.RECIPIENT_INVALID),  # international format, like a node's own
    ]


def test_recipients_of_a_visit_with_a_bad_argument_are_held() -> None:
    made = resolve(asking(allow=ALL), answer(recipients="+48600000001"), delay="soon")
    assert [(d.status, d.reason) for d in made.more] == [(Status.HELD, Reason.BAD_ARGUMENT)]


@pytest.mark.parametrize(
    ("said", "on_error", "unnamed"),
    [
        (answer(), OnError.HOLD, (Status.SKIPPED, Reason.NO_RECIPIENT)),
        (answer(send=False), OnError.HOLD, (Status.SKIPPED, Reason.DECLINED)),
        (answer(""), OnError.SKIP, (Status.SKIPPED, Reason.EMPTY_CONTENT)),
        (answer(""), OnError.HOLD, (Status.HELD, Reason.EMPTY_CONTENT)),
        (answer(""), OnError.FALLBACK, (Status.HELD, Reason.EMPTY_CONTENT)),
    ],
)
def test_what_becomes_of_the_message_that_waits_for_a_name(
    said: ports.Answer, on_error: OnError, unnamed: tuple[Status, Reason]
) -> None:
    target = asking(allow=ALL, send_to_caller=False, fallback="Sorry", on_error=on_error)
    assert resolve(target, said).unnamed == unnamed


def test_recipients_beyond_the_most_are_told_of() -> None:
    many = [f"+486000000{n:02}" for n in range(plan.MOST_NAMED + 3)]
    made = resolve(asking(allow=ALL), answer(recipients=many))
    assert len(made.more) == plan.MOST_NAMED
    assert made.detail == "recipients: 3 beyond the first 50 get nothing"


# --- no answer ----------------------------------------------------------------------------------------------------

TIMEOUT = ports.NoAnswer(reason=Reason.CONTENT_TIMEOUT, code="timeout", detail="no answer within 3s", again=True)


def give_up(target: node.Node) -> ports.Resolution:
    return resolution.give_up(make_visit(), target, PL, TIMEOUT)


def test_the_fallback_goes_out_with_the_reason_kept() -> None:
    made = give_up(asking(fallback="Thank you, {{ caller }}"))
    assert (made.state, made.status, made.text) == (ContentState.FALLBACK, Status.SCHEDULED, f"Thank you, {MOBILE}")
    assert (made.reason, made.code, made.detail) == (Reason.CONTENT_TIMEOUT, "timeout", "no answer within 3s")


def test_a_fallback_that_fails_holds() -> None:
    made = give_up(asking(fallback="{{ ORDER }}"))
    assert (made.state, made.status, made.reason) == (ContentState.HELD, Status.HELD, Reason.CONTENT_TIMEOUT)
    assert "the fallback: fallback:1: 'ORDER' is undefined" in made.detail


def test_again_as_often_as_the_node_says_and_only_where_it_may_pass() -> None:
    target = asking(retries=2)
    pauses = [resolution.again_at(target, TIMEOUT, tries, NOW, 0.0) for tries in (1, 2, 3)]
    assert pauses == [NOW + SECOND, NOW + 2 * SECOND, None]
    assert resolution.again_at(asking(retries=0), TIMEOUT, 1, NOW, 0.0) is None
    never = ports.NoAnswer(reason=Reason.CONTENT_REFUSED, code="404")
    assert resolution.again_at(target, never, 1, NOW, 0.0) is None


@given(
    tries=st.integers(1, 10),
    jitter=st.floats(-1, 1),
    after=st.none() | st.timedeltas(min_value=timedelta(0)),
)
def test_a_pause_is_never_shorter_than_asked_for_nor_longer_than_its_limit(
    tries: int, jitter: float, after: timedelta | None
) -> None:
    said = ports.NoAnswer(reason=Reason.CONTENT_REFUSED, again=True, after=after)
    at = resolution.again_at(asking(retries=10), said, tries, NOW, jitter)
    assert at is not None
    least = min(after or timedelta(0), resolution.LONGEST_PAUSE)
    assert max(least, 0.8 * SECOND) <= at - NOW <= 1.2 * resolution.LONGEST_PAUSE


@pytest.mark.parametrize(
    ("said", "allow", "template", "detail"),
    [
        (answer(None), ALL, None, "the answer has no text"),
        (answer(None, send=False), frozenset(), None,
         "the answer says send: false, which the node does not allow (allow: [send]), and has no text"),
        (answer("x" * 161), ALL, None, "the text makes 2 segments, more than max_segments: 1"),
        (answer(" "), ALL, None, "the text is empty"),
        (answer(send="x" * 41), ALL, None, f"send: must be true or false, not '{'x' * 40}'"),
        (answer(send=10**41), ALL, None, f"send: must be true or false, not 1{'0' * 39}"),
        (answer(sender=["A"]), ALL, None, "sender: must be text, not a list"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_answer_is_kept(
    said: ports.Answer, allow: frozenset[Allowed], template: str | None, detail: str
) -> None:
    """Whatever becomes of it then."""
    held = resolve(asking(template=template, allow=allow, max_segments=1), said)
    assert (held.status, held.detail, held.code, held.excerpt) == (Status.HELD, detail, "200", "…")
    sent = resolve(asking(template=template, allow=allow, max_segments=1, fallback="Call {{ caller }}"), said)
    assert (sent.status, sent.text, sent.detail) == (Status.SCHEDULED, f"Call {MOBILE}", detail)
    assert (sent.code, sent.excerpt) == ("200", "…")


def test_whether_it_was_asked_is_kept() -> None:
    for asked in (True, False):
        assert give_up_with(replace(TIMEOUT, asked=asked)).asked is asked


def give_up_with(no_answer: ports.NoAnswer) -> ports.Resolution:
    return resolution.give_up(make_visit(), asking(), PL, no_answer)


def test_jitter_makes_a_pause_longer_or_shorter() -> None:
    target = asking(retries=99)
    shorter, plain, longer = (resolution.again_at(target, TIMEOUT, 1, NOW, jitter) for jitter in (-1, 0, 1))
    assert shorter is not None
    assert plain is not None
    assert longer is not None
    assert shorter < plain < longer
    assert plain - shorter == longer - plain


def test_why_a_fallback_failed() -> None:
    made = resolution.give_up(make_visit(), asking(fallback="x" * 161, max_segments=1), PL, TIMEOUT)
    assert made.detail == ("no answer within 3s; the fallback: the text makes 2 segments, more than max_segments: 1")


def test_all_that_is_noted_of_a_good_answer() -> None:
    many = [f"+486000000{n:02}" for n in range(plan.MOST_NAMED + 1)]
    made = resolve(asking(allow=frozenset({Allowed.RECIPIENTS})), answer(recipients=many, sender="ACME", delay="5m"))
    assert made.detail == (
        "ignored, since allow does not name it: sender, delay; recipients: 1 beyond the first 50 get nothing"
    )
    assert resolve(asking(allow=ALL), answer(recipients=many[:-1])).detail == ""


def test_whom_an_answer_names_gets_it_from_the_nodes_sender_or_the_answers() -> None:
    for wish, sender in (({}, "NODE"), ({"sender": "ACME"}, "ACME"), ({"sender": ""}, "NODE")):
        made = resolve(asking(allow=ALL, sender="NODE"), answer(recipients=MOBILE, **wish))
        assert [draft.sender for draft in made.more] == [sender]


# --- the configuration has changed --------------------------------------------------------------------------------


def test_a_node_that_has_a_text_of_its_own_by_now_sends_it() -> None:
    made = resolution.resolve(make_visit(), make_node("Hi", send_to_caller=True), PL, answer())
    assert (made.state, made.status, made.text) == (ContentState.ANSWERED, Status.SCHEDULED, "Hi")
    assert resolution.give_up(make_visit(), make_node("Hi"), PL, TIMEOUT).text == "Hi"
    assert resolution.rewritten(make_visit(), make_node("{{ X }}"), PL).reason is Reason.CONTENT_ERROR


def test_a_node_that_is_gone_leaves_its_messages_to_a_person() -> None:
    made = resolution.removed()
    assert (made.state, made.status, made.reason) == (ContentState.HELD, Status.HELD, Reason.CONTENT_REMOVED)
    assert (made.detail, made.asked) == ("the configuration has no such node any more", False)


def test_what_is_said_of_a_text_of_its_own() -> None:
    target = make_node("Hi {{ caller }}", send_to_caller=True)
    for made in (
        resolution.resolve(make_visit(), target, PL, answer()),
        resolution.give_up(make_visit(), target, PL, TIMEOUT),
        resolution.rewritten(make_visit(), target, PL),
    ):
        assert (made.state, made.status, made.text) == (ContentState.ANSWERED, Status.SCHEDULED, f"Hi {MOBILE}")
        assert (made.detail, made.asked) == ("not asked: meanwhile the node has a text of its own", False)
    long = resolution.rewritten(make_visit(), make_node("x" * 161, max_segments=1), PL)
    assert (long.state, long.status, long.reason) == (ContentState.SKIPPED, Status.SKIPPED, Reason.TOO_LONG)
    assert (long.detail, long.asked) == ("the text makes 2 segments, more than max_segments: 1", False)
    none = resolution.rewritten(make_visit(), make_node("{{ '' }}"), PL)
    assert (none.reason, none.detail) == (Reason.EMPTY_CONTENT, "the text is empty")


# --- anything at all ------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    said=st.builds(
        ports.Answer,
        text=st.none() | st.text(st.characters(exclude_categories=())),
        fields=JSON,
        sender=JSON,
        delay=JSON,
        recipients=JSON,
        send=JSON,
    ),
    template=st.sampled_from([None, "{{ api }}", "{{ api.a }}", "{{ api['a'][0] }}", "{{ api|length }}"]),
    allow=st.frozensets(st.sampled_from(list(Allowed))),
    on_error=st.sampled_from(list(OnError)),
)
def test_whatever_is_answered_the_messages_have_an_end(
    said: ports.Answer, template: str | None, allow: frozenset[Allowed], on_error: OnError
) -> None:
    target = asking(template=template, allow=allow, on_error=on_error, fallback="Sorry")
    made = resolve(target, said)
    assert made.status in (Status.SCHEDULED, Status.SKIPPED, Status.HELD)
    assert (made.text is not None) == (made.status is Status.SCHEDULED)
    if made.text is not None:
        assert made.text.strip()
        assert made.segments <= target.max_segments
        made.text.encode()
    else:
        assert made.reason is not None
    assert len(made.detail) <= message.LONGEST_DETAIL
