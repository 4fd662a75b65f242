"""What the command line prints about messages, as a person and as a machine read it."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich import console
from rich.text import Text

from agi_sms import call, message, ports, show, show_history
from agi_sms.message import Reason, Status

NOW = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
PAST, FUTURE = datetime(2000, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)
HOSTILE = "[/] [bold]:smile:[/bold] \x1b[2J\u202e{{ x }}"


def make_message(**changed: Any) -> message.Message:
    values: dict[str, Any] = {
        "id": "01m83bmc2vdnxbp7",
        "activation_id": "a1",
        "node": "after-announcement",
        "call_id": "1795439100.12",
        "recipient": "+48600100200",
        "source": message.Source.CALLER,
        "status": Status.ACCEPTED,
        "reason": None,
        "sender": "TeleShop",
        "text": "Thank you for calling",
        "encoding": message.Encoding.GSM7,
        "segments": 1,
        "route": ("first", "second"),
        "created_at": NOW,
        "due_at": NOW,
        "expires_at": NOW + timedelta(hours=24),
        "attempts": 1,
    }
    return message.Message(**(values | changed))


def make_story(one: message.Message, **changed: Any) -> ports.Story:
    at = call.Call(pbx="main", key="k", call_id=one.call_id, caller="600100200", presentation="allowed")
    visit = call.Visit(id="v1", node=one.node, call=at, entry=call.Entry.ARI, arrived_at=NOW)
    values: dict[str, Any] = {
        "message": one,
        "visit": visit,
        "node_revision": "abc123",
        "returned_at": None,
        "attempts": (),
        "events": (),
        "siblings": (),
    }
    return ports.Story(**(values | changed))


def table(*messages: message.Message, width: int) -> list[str]:
    out = console.Console(width=width, file=io.StringIO(), highlight=False)
    out.print(show_history.as_table(messages))
    shown = out.file
    assert isinstance(shown, io.StringIO)
    return shown.getvalue().splitlines()


def explain(story: ports.Story) -> str:
    out = console.Console(width=100, file=io.StringIO(), highlight=False, soft_wrap=True)
    show.explain(out, story)
    shown = out.file
    assert isinstance(shown, io.StringIO)
    return shown.getvalue()


# --- words ------------------------------------------------------------------------------------------------------


def test_every_word_has_an_explanation() -> None:
    assert set(show.REASONS) == set(Reason)
    assert set(show.COLOURS) == set(Status)
    assert set(show.SOURCES) == set(message.Source)
    assert set(show.ENTRIES) == set(call.Entry)
    assert set(show.CONTENT) == set(ports.ContentState)


def test_what_could_move_a_cursor_is_written_out() -> None:
    assert show.safe("a\x1b[2J\u202eb\nż€") == "a\\x1b[2J\\u202eb\nż€"
    assert show.safe("\U000e0041") == "\\U000e0041"


# --- table ------------------------------------------------------------------------------------------------------

EVERY_KIND = (
    make_message(),
    make_message(status=Status.SCHEDULED, due_at=NOW + timedelta(days=40)),
    make_message(status=Status.SKIPPED, reason=Reason.DUPLICATE_IN_CALL),
    make_message(status=Status.SKIPPED, reason=Reason.CALLER_WITHHELD, recipient=""),
    make_message(status=Status.SKIPPED, reason=Reason.CALLER_INVALID, recipient="x" * 40),
    make_message(status=Status.WAITING, text=None, segments=0),
)


ROWS = st.builds(
    make_message,
    node=st.text("abcdefgh-", min_size=1, max_size=64),
    status=st.sampled_from(Status),
    reason=st.none() | st.sampled_from(Reason),
    text=st.none() | st.text("ab łŁ€😀\n", max_size=400),
    segments=st.integers(0, 12),
    recipient=st.sampled_from(["+48600100200", "+491511234567890", ""]),
    created_at=st.sampled_from([NOW, NOW - timedelta(days=700)]),
    due_at=st.sampled_from([NOW, NOW + timedelta(days=700)]),
    fallback=st.booleans(),
    receipt_due_at=st.sampled_from([None, PAST, FUTURE]),
)


@settings(deadline=None, max_examples=300)
@given(rows=st.lists(ROWS, min_size=1, max_size=4), width=st.integers(60, 250))
@example(rows=[make_message(status=Status.HELD, reason=Reason.CONTENT_REMOVED, text="word " * 99)], width=120)
def test_every_cell_but_the_text_is_whole_at_every_width(rows: list[message.Message], width: int) -> None:
    lines = table(*rows, width=width)
    assert max(Text(line).cell_len for line in lines) <= width
    words = set(" ".join(lines).split())
    for one in rows:
        status = f"{one.status}:" if one.reason and one.status is not Status.SCHEDULED else str(one.status)
        reason = str(one.reason or "") if one.status is not Status.SCHEDULED else "for"
        marks = "(receipt overdue) " * (one.status is Status.ACCEPTED and one.receipt_due_at == PAST)
        marks += "(fallback)" * one.fallback
        assert words.issuperset(" ".join((one.id, show.to(one.recipient, one.reason), status, reason, marks)).split())
    assert ("text" in lines[0].split()) != any("explain MESSAGE" in line for line in lines)


@pytest.mark.parametrize("width", [80, 100, 120, 160, 240])
def test_ids_numbers_and_statuses_are_whole_at_every_width(width: int) -> None:
    lines = table(*EVERY_KIND, width=width)
    shown = "\n".join(lines)
    assert shown.count("01m83bmc2vdnxbp7") == len(EVERY_KIND)
    assert shown.count("+48600100200") == 4
    for word in ("accepted", "scheduled", "duplicate_in_call", "caller_withheld", "caller_invalid", "(withheld)"):
        assert word in shown
    assert max(map(len, lines)) <= width


def test_a_node_of_the_longest_name_leaves_ids_and_numbers_alone() -> None:
    lines = table(make_message(node="z" * 64), width=80)
    assert "01m83bmc2vdnxbp7" in lines[2]
    assert "+48600100200" in lines[2]
    assert sum(line.count("z") for line in lines[2:]) == 64


def test_a_narrow_terminal_has_two_lines_a_message() -> None:
    head, more, _, first, second, *_ = table(make_message(), width=60)
    assert (head.split(), more.split()) == (["arrived", "node"], ["message", "to", "status"])
    assert first.split()[2:] == ["after-announcement", "accepted"]
    assert second.split() == ["01m83bmc2vdnxbp7", "+48600100200"]


def test_the_text_is_there_where_it_has_room() -> None:
    narrow = table(make_message(), width=80)
    assert not any("Thank you" in line for line in narrow)
    assert narrow[-1].startswith("no room for more; agi-sms explain MESSAGE")
    assert any("Thank you for calling" in line for line in table(make_message(), width=160))


def test_a_text_that_is_still_being_fetched_says_so() -> None:
    waiting = make_message(status=Status.WAITING, text=None, segments=0)
    assert any("waiting" in line and "(to be fetched)" in line for line in table(waiting, width=160))
    assert "text      (to be fetched)" in explain(make_story(waiting))
    skipped = make_message(status=Status.SKIPPED, reason=Reason.DECLINED, text=None)
    assert not any("to be fetched" in line for line in table(skipped, width=160))


def test_a_long_text_is_cut_with_a_mark() -> None:
    line = table(make_message(text="word " * 100), width=160)[2]
    assert line.rstrip().endswith("…")
    assert len(line) <= 160


def test_strangers_text_is_no_markup() -> None:
    shown = "\n".join(table(make_message(text=HOSTILE, recipient="[/x]"), width=200))
    assert "[/] [bold]:smile:[/bold] \\x1b[2J\\u202e{{ x }}" in shown
    assert "[/x]" in shown
    assert "\x1b" not in shown


def test_a_line_break_does_not_break_the_row() -> None:
    assert any("one ⏎ two" in line for line in table(make_message(text="one\ntwo"), width=160))


def test_a_due_time_on_another_day_says_which() -> None:
    shown = "\n".join(table(make_message(status=Status.SCHEDULED, due_at=NOW + timedelta(days=400)), width=160))
    assert (NOW + timedelta(days=400)).astimezone().strftime("%Y-%m-%d") in shown


# --- JSON and CSV -----------------------------------------------------------------------------------------------


def test_json_is_one_object_a_message() -> None:
    rows = json.loads(show_history.as_json([make_message(), make_message(text=None, due_at=None)]))
    assert rows[0] == {
        "id": "01m83bmc2vdnxbp7",
        "created_at": "2026-11-23T13:05:00.000+00:00",
        "due_at": "2026-11-23T13:05:00.000+00:00",
        "node": "after-announcement",
        "call_id": "1795439100.12",
        "recipient": "+48600100200",
        "source": "caller",
        "sender": "TeleShop",
        "status": "accepted",
        "reason": None,
        "fallback": False,
        "receipt_overdue": False,
        "encoding": "gsm7",
        "segments": 1,
        "attempts": 1,
        "route": "first,second",
        "provider": "",
        "cost": None,
        "currency": None,
        "text": "Thank you for calling",
    }
    assert rows[1]["text"] is None
    assert rows[1]["due_at"] is None


def test_no_messages_are_an_empty_array_and_a_header() -> None:
    assert json.loads(show_history.as_json([])) == []
    assert show_history.as_csv([]).splitlines() == [",".join(show_history.FIELDS)]


def read_csv(*messages: message.Message) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(show_history.as_csv(messages))))


def test_csv_has_the_same_fields() -> None:
    [row] = read_csv(make_message(text='say "hi",\nthen go'))
    assert list(row) == list(show_history.FIELDS)
    assert row["text"] == 'say "hi",\nthen go'
    assert row["recipient"] == "+48600100200"
    assert row["reason"] == ""
    assert row["fallback"] == "false"


def test_an_empty_cell_is_empty() -> None:
    [row] = read_csv(make_message(sender="", recipient="", text=""))
    assert (row["sender"], row["recipient"], row["text"]) == ("", "", "")


@pytest.mark.parametrize("text", ["=1+1", "-cmd", "@x", "+48 600", "=HYPERLINK(1)", "\uff1d1", "'=1", '"=1'])
def test_what_a_spreadsheet_would_run_is_made_inert(text: str) -> None:
    [row] = read_csv(make_message(text=text))
    assert row["text"] == "'" + text.replace("\r", " ")


# --- explain ----------------------------------------------------------------------------------------------------


def test_a_whole_story() -> None:
    attempts = (
        ports.Attempt(
            id="t1",
            n=1,
            provider="first",
            started_at=NOW,
            ended_at=NOW + timedelta(milliseconds=150),
            outcome="provider_down",
            code="ECONNREFUSED",
            detail="nobody there",
            provider_ids=(),
        ),
        ports.Attempt(
            id="t2",
            n=2,
            provider="second",
            started_at=NOW,
            ended_at=None,
            outcome="",
            code="",
            detail="",
            provider_ids=("p-77",),
        ),
    )
    events = (ports.Event(at=NOW, who="ann (command line)", what="retry"),)
    other = make_message(id="01m83bmc2vdnxbp8", status=Status.SKIPPED, reason=Reason.LANDLINE)
    one = make_message(status=Status.HELD, reason=Reason.UNANSWERED, text="line one\nline two")
    shown = explain(
        make_story(
            one,
            attempts=attempts,
            events=events,
            siblings=(other,),
            returned_at=NOW + timedelta(milliseconds=4),
        )
    )
    for words in (
        "held: unanswered",
        show.REASONS[Reason.UNANSWERED],
        "+48 600 100 200, the caller",
        "“line one\n             line two”",
        "gsm7, 1 segment, 17 characters",
        "first, then second",
        "came in over ARI, back in the dialplan after 4 ms",
        "after-announcement (revision abc123)",
        "600100200, presentation allowed",
        "call 1795439100.12",
        "first  provider_down (150ms)  ECONNREFUSED: nobody there",
        "second  no answer yet (still open)  id=p-77",
        "01m83bmc2vdnxbp8  +48 600 100 200, the caller: skipped: landline",
        "← this one",
        "ann (command line): retry",
        "agi-sms retry 01m83bmc2vdnxbp7",
        "agi-sms cancel 01m83bmc2vdnxbp7",
    ):
        assert words in shown


def attempted(**changed: Any) -> ports.Attempt:
    values: dict[str, Any] = {
        "id": "t1",
        "n": 1,
        "provider": "first",
        "started_at": NOW,
        "ended_at": NOW + timedelta(milliseconds=150),
        "outcome": "accepted",
        "code": "",
        "detail": "",
        "provider_ids": ("p-77",),
    }
    return ports.Attempt(**(values | changed))


def attempts_section(*attempts: ports.Attempt) -> list[str]:
    return explain(make_story(make_message(), attempts=attempts)).split("\nAttempts\n")[1].splitlines()


def kept(state: Status, **changed: Any) -> ports.KeptReceipt:
    values: dict[str, Any] = {"provider_id": "p-77", "ref": "", "state": state, "raw": "raw"}
    return ports.KeptReceipt(at=NOW + timedelta(seconds=2), receipt=ports.Receipt(**(values | changed)))


def test_the_receipts_of_an_attempt_are_told_as_they_came() -> None:
    attempt = attempted(
        receipts=(kept(Status.ACCEPTED, code="403"), kept(Status.FAILED, code="5", detail="\x1b[2J absent")),
    )
    first, *receipts = attempts_section(attempt)
    assert first.endswith("first  accepted (150ms)  id=p-77")
    at = show.local(NOW + timedelta(seconds=2), precise=True)
    assert receipts == [
        f"     {at}  receipt: accepted  403",
        f"     {at}  receipt: failed  5 \\x1b[2J absent",
    ]


def test_the_receipts_of_segments_say_of_which() -> None:
    attempt = attempted(provider_ids=("p-77", "p-78"), receipts=(kept(Status.DELIVERED),))
    assert attempts_section(attempt)[1].endswith("receipt: delivered  id=p-77")


EUR = message.Cost(micros=80_000, currency="EUR")


@pytest.mark.parametrize(
    ("outcome", "verdict", "told"),
    [
        ("accepted", None, "(0.08 EUR)"),
        ("accepted", Status.FAILED, "(0.08 EUR)"),  # billed all the same
        ("uncertain", None, "(0.08 EUR if it was taken)"),
        ("uncertain", Status.DELIVERED, "(0.08 EUR)"),
        ("retry", Status.DELIVERED, "(0.08 EUR)"),
        ("rejected", None, ""),
        ("", None, ""),
    ],
)
def test_what_an_attempt_costs(outcome: str, verdict: Status | None, told: str) -> None:
    [line] = attempts_section(attempted(outcome=outcome, verdict=verdict, cost=EUR))
    assert line.partition("id=p-77")[2].strip() == told


def test_what_a_message_costs() -> None:
    one = make_message(costs=(EUR, message.Cost(micros=1, currency="PLN")))
    assert "  cost      0.08 EUR, 0.000001 PLN\n" in explain(make_story(one))
    [row] = json.loads(show_history.as_json([one]))
    assert (row["cost"], row["currency"]) == ("0.08,0.000001", "EUR,PLN")
    assert "  cost " not in explain(make_story(make_message()))


def test_a_receipt_that_is_overdue_is_marked() -> None:
    late, waits = make_message(receipt_due_at=PAST), make_message(receipt_due_at=FUTURE)
    assert "accepted (receipt overdue)" in "\n".join(table(late, width=200))
    assert f"  receipt   overdue since {show.local(PAST)}\n" in explain(make_story(late))
    assert "overdue" not in "\n".join(table(waits, width=200))
    assert f"  receipt   expected until {show.local(FUTURE)}\n" in explain(make_story(waits))
    assert [row["receipt_overdue"] for row in json.loads(show_history.as_json([late, waits]))] == [True, False]
    assert read_csv(late)[0]["receipt_overdue"] == "true"
    done = make_message(receipt_due_at=PAST, status=Status.DELIVERED)
    assert "overdue" not in "\n".join(table(done, width=200)) + explain(make_story(done))


@pytest.mark.parametrize("status", [Status.HELD, Status.UNCERTAIN])
def test_what_a_person_can_do_is_said_last(status: Status) -> None:
    *_, first, second = explain(make_story(make_message(status=status))).splitlines()
    assert first == "Next: agi-sms retry 01m83bmc2vdnxbp7   or   agi-sms cancel 01m83bmc2vdnxbp7"
    assert second.startswith("      agi-sms resolve 01m83bmc2vdnxbp7 sent|resend|fail, ")


def make_content(**changed: Any) -> ports.ContentStory:
    values: dict[str, Any] = {
        "state": ports.ContentState.OPEN,
        "tries": 0,
        "next_at": NOW,
        "ended_at": None,
        "reason": None,
        "code": "",
        "detail": "",
        "excerpt": "",
    }
    return ports.ContentStory(**(values | changed))


def text_section(content: ports.ContentStory, **changed: Any) -> list[str]:
    shown = explain(make_story(make_message(**changed), content=content))
    return shown.split("\nThe text\n")[1].split("\n\n")[0].splitlines()


def test_a_text_that_nobody_was_asked_for_yet() -> None:
    assert text_section(make_content()) == [
        "  is        not known yet",
        "  asked     0 times",
        f"  next try  {show.local(NOW)}",
    ]


def test_a_text_that_is_asked_for_again() -> None:
    content = make_content(
        tries=2, reason=Reason.CONTENT_REFUSED, code="503", detail="Service Unavailable", excerpt="<h1>\n\nBusy"
    )
    assert text_section(content) == [
        "  is        not known yet",
        "  asked     2 times",
        f"  next try  {show.local(NOW)}",
        f"  why       content_refused: {show.REASONS[Reason.CONTENT_REFUSED]}",
        "  said      503 Service Unavailable",
        "  answer    <h1>",
        "             Busy",
    ]


def test_a_fallback_says_what_it_stands_for() -> None:
    content = make_content(
        state=ports.ContentState.FALLBACK, tries=1, next_at=None, ended_at=NOW, reason=Reason.CONTENT_TIMEOUT
    )
    at = show.local(NOW, precise=True)
    assert text_section(content) == [
        "  is        not answered: the node's fallback goes out",
        f"  asked     1 time, until {at}",
        f"  why       content_timeout: {show.REASONS[Reason.CONTENT_TIMEOUT]}",
    ]


def test_a_reason_is_explained_once() -> None:
    content = make_content(
        state=ports.ContentState.HELD,
        tries=1,
        next_at=None,
        ended_at=NOW,
        reason=Reason.CONTENT_ERROR,
        code="200",
        detail="sender: 'x!' has '!' in it",
    )
    one = make_message(status=Status.HELD, reason=Reason.CONTENT_ERROR, text=None)
    shown = explain(make_story(one, content=content))
    assert shown.count(show.REASONS[Reason.CONTENT_ERROR]) == 1
    assert f"  because   content_error: {show.REASONS[Reason.CONTENT_ERROR]} (see below)\n" in shown
    assert "\n  said      200 sender: 'x!' has '!' in it\n" in shown
    assert "  why " not in shown
    assert "see the log" not in shown


def test_what_only_the_log_can_tell_is_left_to_it() -> None:
    for reason in (Reason.CONTENT_ERROR, Reason.BAD_ARGUMENT):
        assert f"{show.REASONS[reason]}; see the log" in explain(make_story(make_message(reason=reason)))


@pytest.mark.parametrize(
    ("code", "detail", "told"),
    [
        ("500", "500 Internal Server Error", "500 Internal Server Error"),
        ("302", "a redirect, not followed", "302 a redirect, not followed"),
        ("tls", "no TLS with shop.example: eof", "no TLS with shop.example: eof"),
        ("connect", "cannot connect to shop.example:443: refused", "cannot connect to shop.example:443: refused"),
        ("dns", "the name shop.example does not resolve", "dns: the name shop.example does not resolve"),
        ("200", "", "200"),
        ("", "nothing", "nothing"),
        ("", "", ""),
    ],
)
def test_a_code_is_not_said_twice(code: str, detail: str, told: str) -> None:
    assert show.said(code, detail) == told


def test_one_of_anything_has_no_plural() -> None:
    shown = explain(make_story(make_message(text="x"), content=make_content(tries=1)))
    assert "gsm7, 1 segment, 1 character\n" in shown
    assert "asked     1 time\n" in shown


def test_a_text_that_is_the_fallback_says_so() -> None:
    one = make_message(fallback=True)
    assert any("accepted (fallback)" in line for line in table(one, width=160))
    assert "accepted (fallback)" in explain(make_story(one))
    assert json.loads(show_history.as_json([one]))[0]["fallback"] is True
    assert read_csv(one)[0]["fallback"] == "true"


def test_a_long_answer_is_cut() -> None:
    content = make_content(
        state=ports.ContentState.ANSWERED,
        tries=1,
        next_at=None,
        ended_at=NOW,
        code="200",
        excerpt="x" * 500 + "\ny" * 50,
    )
    lines = text_section(content)
    assert lines[2] == "  said      200"
    assert lines[3] == "  answer    " + "x" * 159 + "…"
    assert (len(lines), lines[-1].strip()) == (12, "…")


def test_a_held_message_without_a_text_says_that_a_retry_asks_again() -> None:
    content = make_content(state=ports.ContentState.HELD, tries=3, next_at=None, ended_at=NOW)
    one = make_message(status=Status.HELD, reason=Reason.CONTENT_REFUSED, text=None)
    assert "agi-sms retry 01m83bmc2vdnxbp7 (asks for the text again)   or" in explain(make_story(one, content=content))
    assert "(asks for" not in explain(make_story(one))


def test_what_the_dialplan_asked_for_is_told() -> None:
    story = make_story(make_message())
    visit = call.Visit(
        id="v1",
        node="desk",
        call=story.visit.call,
        entry=call.Entry.ASTDB,
        arrived_at=NOW,
        recipients="600100200,x",
        sender="",
        delay="soon",
    )
    shown = explain(make_story(make_message(), visit=visit))
    assert "recipients=600100200,x, sender=, delay=soon" in shown
    assert "missed at the time" in shown


def test_a_message_without_text_and_attempts() -> None:
    shown = explain(make_story(make_message(text=None, sender="", status=Status.SKIPPED, reason=Reason.CONTENT_ERROR)))
    assert "text      (none)" in shown
    assert "(the provider decides)" in shown
    assert "Attempts\n  none" in shown
    assert "Next:" not in shown
    assert "  due " not in shown


@settings(deadline=None, max_examples=100)
@given(
    words=st.one_of(st.just(HOSTILE), st.text(max_size=40), st.text(alphabet="[]/abold:smile=\\ \x1b\n", max_size=40))
)
def test_whatever_strangers_wrote_is_shown_and_moves_nothing(words: str) -> None:
    at = call.Call(
        pbx="main",
        key=words,
        call_id=words,
        channel_id=words,
        linkedid=words,
        caller=words,
        presentation=words,
        caller_name=words,
        dialled=words,
        diverted_from=words,
        trunk=words,
        variables={words: words},
    )
    visit = call.Visit(id=words, node="desk", call=at, entry=call.Entry.ARI, arrived_at=NOW, recipients=words)
    attempt = ports.Attempt(
        id="t",
        n=1,
        provider="p",
        started_at=NOW,
        ended_at=NOW,
        outcome="retry",
        code=words,
        detail=words,
        provider_ids=(words,),
    )
    one = make_message(recipient=words, sender=words, text=words)
    content = make_content(code=words, detail=words, excerpt=words)
    event = ports.Event(at=NOW, who=words, what=words)
    shown = explain(
        make_story(one, visit=visit, attempts=(attempt,), events=(event,), siblings=(one,), content=content)
    )
    assert all(char.isprintable() or char == "\n" for char in shown)
    first = show.safe(words).split("\n")[0]
    assert f"sender    {first}" in shown or not words
    "\n".join(table(one, width=120)).encode("utf-8", "strict")


def test_of_nobody_it_is_not_told_who_named_them() -> None:
    nobody = {"recipient": "", "status": Status.SKIPPED, "source": message.Source.CONFIG}
    said = explain(make_story(make_message(**nobody, reason=Reason.NO_RECIPIENT)))
    assert "(nobody named)\n" in said
    assert "configured in the node" not in said
    withheld = explain(make_story(make_message(recipient="", status=Status.SKIPPED, reason=Reason.CALLER_WITHHELD)))
    assert "(withheld), the caller\n" in withheld
