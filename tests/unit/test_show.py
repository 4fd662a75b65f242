"""What the command line prints about messages, as a person and as a machine read it."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich import console

from agi_sms import call, message, ports, show
from agi_sms.message import Reason, Status

NOW = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
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
    out.print(show.history_table(messages))
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


def test_the_text_is_there_where_it_has_room() -> None:
    assert not any("Thank you" in line for line in table(make_message(), width=80))
    assert any("Thank you for calling" in line for line in table(make_message(), width=160))


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
    rows = json.loads(show.history_json([make_message(), make_message(text=None, due_at=None)]))
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
        "encoding": "gsm7",
        "segments": 1,
        "attempts": 1,
        "route": "first,second",
        "text": "Thank you for calling",
    }
    assert rows[1]["text"] is None
    assert rows[1]["due_at"] is None


def test_no_messages_are_an_empty_array_and_a_header() -> None:
    assert json.loads(show.history_json([])) == []
    assert show.history_csv([]).splitlines() == [",".join(show.FIELDS)]


def read_csv(*messages: message.Message) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(show.history_csv(messages))))


def test_csv_has_the_same_fields() -> None:
    [row] = read_csv(make_message(text='say "hi",\nthen go'))
    assert list(row) == list(show.FIELDS)
    assert row["text"] == 'say "hi",\nthen go'
    assert row["recipient"] == "+48600100200"
    assert row["reason"] == ""


def test_an_empty_cell_is_empty() -> None:
    [row] = read_csv(make_message(sender="", recipient="", text=""))
    assert (row["sender"], row["recipient"], row["text"]) == ("", "", "")


@pytest.mark.parametrize("text", ["=1+1", "-cmd", "@x", "+48 600", "\t=1", "\r=1", "=HYPERLINK(1)"])
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
        "first  provider_down (150ms)  ECONNREFUSED nobody there",
        "second  no answer yet (still open)  id=p-77",
        "01m83bmc2vdnxbp8  +48 600 100 200, the caller: skipped: landline",
        "← this one",
        "ann (command line): retry",
        "agi-sms retry 01m83bmc2vdnxbp7",
        "agi-sms cancel 01m83bmc2vdnxbp7",
    ):
        assert words in shown


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
    event = ports.Event(at=NOW, who=words, what=words)
    shown = explain(make_story(one, visit=visit, attempts=(attempt,), events=(event,), siblings=(one,)))
    assert all(char.isprintable() or char == "\n" for char in shown)
    first = show.safe(words).split("\n")[0]
    assert f"sender    {first}" in shown or not words
    "\n".join(table(one, width=120)).encode("utf-8", "strict")
