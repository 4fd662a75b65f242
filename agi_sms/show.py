"""What the command line prints about messages: tables for people, JSON and CSV for machines."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich import box, console, table
from rich.text import Text

from agi_sms import call, message, numbers, plain, ports, prices, show_attempts, text
from agi_sms.message import Reason, Status
from agi_sms.ports import ContentState

COLOURS = {
    Status.WAITING: "cyan",
    Status.SCHEDULED: "cyan",
    Status.SENDING: "cyan",
    Status.ACCEPTED: "green",
    Status.DELIVERED: "bold green",
    Status.FAILED: "bold red",
    Status.EXPIRED: "red",
    Status.UNCERTAIN: "yellow",
    Status.HELD: "bold yellow",
    Status.CANCELLED: "dim",
    Status.SKIPPED: "dim",
}

REASONS = {
    Reason.CALLER_WITHHELD: "the caller withheld the number (or nobody said that it may be shown)",
    Reason.CALLER_INVALID: "the caller's number is no phone number under this trunk's number_format",
    Reason.LANDLINE: "the caller's number is a landline",
    Reason.NOT_MOBILE: "the caller's number is no mobile's (premium rate, toll-free, a pager, satellite, or the like)",
    Reason.COUNTRY: "the caller's number is of a country that is not among the node's caller_countries",
    Reason.RECIPIENT_INVALID: "what the dialplan's recipients= or the node's API named is no phone number",
    Reason.DUPLICATE_IN_CALL: "this recipient already has one from this node in this call (once_per_call)",
    Reason.CAPPED: "the node's limits were reached",
    Reason.CONDITION: "the node's when does not fit this call: see the call's variables",
    Reason.BAD_ARGUMENT: "the dialplan's delay= or sender= was not usable",
    Reason.EMPTY_CONTENT: "the text came out empty",
    Reason.CONTENT_ERROR: "the text's template failed, or the node's API answered something that cannot be used",
    Reason.CONTENT_TIMEOUT: "the node's API did not answer in time",
    Reason.CONTENT_UNREACHABLE: "the node's API could not be reached, broke off, or was left alone after such faults",
    Reason.CONTENT_REFUSED: "the node's API answered with another HTTP status than 2xx",
    Reason.CONTENT_UNREADABLE: "the node's API answered something else than the node's content.api.response says",
    Reason.CONTENT_MISSING: "the node's API answered without a text where content.api.message says",
    Reason.CONTENT_REMOVED: "the configuration no longer has the node whose API was to be asked",
    Reason.DECLINED: "the node's API answered send: false",
    Reason.NO_ROUTE: "the node's route has no entry for this number (routes)",
    Reason.NO_RECIPIENT: "neither the node nor its API named anybody",
    Reason.TOO_LONG: "the text needs more segments than max_segments allows",
    Reason.TOO_OLD: "older than max_age when it could have been sent",
    Reason.REJECTED: "the provider refused it for good",
    Reason.GAVE_UP: "every retry was used up",
    Reason.CRASHED: "the gateway died between handing it over and hearing the answer",
    Reason.UNANSWERED: "after the message was handed over, no answer came that says whether it was taken",
    Reason.POISON: "taken up again and again without ever ending",
    Reason.PROVIDER_MISSING: "the configuration no longer has its provider",
    Reason.NODE_MISSING: "it was made without a route, and the configuration no longer has its node, to get one from",
    Reason.UNDELIVERED: "the provider reports that it never reached the phone",
    Reason.OPERATOR: "an operator said so",
}

SOURCES = {
    message.Source.CONFIG: "configured in the node",
    message.Source.GROUP: "in a configured group",
    message.Source.DIALPLAN: "named by the dialplan",
    message.Source.CALLER: "the caller",
    message.Source.API: "named by the node's API",
    message.Source.OPERATOR: "named on the command line",
}

ENTRIES = {
    call.Entry.ARI: "came in over ARI",
    call.Entry.AGI: "came in over FastAGI",
    call.Entry.AMI: "came in over AMI",
    call.Entry.ASTDB: "missed at the time, found in the PBX's database",
    call.Entry.TRIGGER: "made on the command line",
}

CONTENT = {
    ContentState.OPEN: "not known yet",
    ContentState.ANSWERED: "answered",
    ContentState.FALLBACK: "not answered: the node's fallback goes out",
    ContentState.SKIPPED: "nothing is to be sent",
    ContentState.HELD: "not answered: a person decides",
    ContentState.DROPPED: "nobody waits for it any more",
}

FIELDS = (
    "id", "created_at", "due_at", "node", "call_id", "recipient", "source", "sender",
    "status", "reason", "fallback", "receipt_overdue", "encoding", "segments", "attempts", "route", "provider",
    "cost", "currency", "text",
)  # fmt: skip


def to(recipient: str, reason: Reason | None) -> str:
    """Who gets it, or why nobody can be named."""
    if recipient:
        return safe(recipient)
    if reason is Reason.CALLER_WITHHELD:
        return "(withheld)"
    return "(to be named)" if reason is None else "(nobody named)"


safe, local, said = plain.safe, plain.local, plain.said


def _row(one: message.Message) -> dict[str, object]:
    row: dict[str, object] = {}
    made = {
        "receipt_overdue": one.receipt_overdue(datetime.now(UTC)),
        "cost": ",".join(prices.amount(cost.micros) for cost in one.costs) or None,
        "currency": ",".join(cost.currency for cost in one.costs) or None,
    }
    for name in FIELDS:
        value = made[name] if name in made else getattr(one, name)
        if isinstance(value, datetime):
            value = value.isoformat(timespec="milliseconds")
        elif isinstance(value, tuple):
            value = ",".join(value)
        elif value is not None and not isinstance(value, int):
            value = str(value)
        row[name] = value
    return row


def history_json(messages: Iterable[message.Message]) -> str:
    """A JSON array, one object a message; times are ISO 8601 in UTC."""
    return json.dumps([_row(one) for one in messages], ensure_ascii=False, indent=2)


def history_csv(messages: Iterable[message.Message]) -> str:
    """CSV with a header; a cell that a spreadsheet would run as a formula gets an apostrophe in front."""
    return plain.as_csv(FIELDS, ({name: _inert(value) for name, value in _row(one).items()} for one in messages))


def _inert(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    value = value.replace("\r", " ")  # which the csv module would leave unquoted
    return "'" + value if value.lstrip().startswith(tuple("=-@+")) and not value[1:].isdigit() else value


class History:
    """Messages as a table for `rich`. Nothing but the text is ever cut, and that is there where it has room."""

    def __init__(self, messages: Sequence[message.Message]) -> None:
        self._messages = messages

    def __rich_console__(self, _: console.Console, options: console.ConsoleOptions) -> console.RenderResult:
        rows, elastic, room = _fitted(self._messages, options.max_width)
        grid = table.Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for name in rows[0] if rows else ():
            width = _width(rows, name)
            grid.add_column(
                name,
                justify="right" if name == "seg" else "left",
                no_wrap=not name.startswith("node"),
                overflow="ellipsis" if name == "text" else "fold",
                width=max(_LEAST[name], min(width, room)) if name == elastic else width,
            )
        for row in rows:
            grid.add_row(*row.values())
        yield grid
        if rows and "text" not in rows[0]:
            yield Text("no room for seg and text; agi-sms explain MESSAGE and --format json have them", "dim")


_Row = dict[str, Text]
_LEAST = {"text": 20, "node": 8, "node\nto": 16}  # columns of what may be given fewer than it would take
_WIDEST_NUMBER = 16
_FETCHING, _FALLBACK, _OVERDUE = "(to be fetched)", " (fallback)", " (receipt overdue)"
_MOST_LINES, _WIDEST_LINE = 8, 160  # of an answer
_GAP, _LAST = 2, 1  # columns behind a cell: its padding, and the box's divider, which the last one has not


def history_table(messages: Sequence[message.Message]) -> History:
    """Newest first, as given."""
    return History(messages)


def _fitted(messages: Sequence[message.Message], width: int) -> tuple[list[_Row], str, int]:
    """The rows of the first layout that fits, else of the narrowest; its elastic cell, and the columns left for it."""
    cells = [_cells(one) for one in messages]
    stacked = [row | {"status": _stacked(row["status"])} for row in cells]
    layouts = ((cells, "text"), (stacked, "text"), (_without(cells), ""), (_without(stacked), "node"))
    for rows, elastic in layouts:
        if (room := _room(rows, elastic, width)) >= _LEAST.get(elastic, 0):
            return rows, elastic, room
    narrow = [_narrow(row) for row in stacked]
    return narrow, "node\nto", _room(narrow, "node\nto", width)


def _room(rows: Sequence[_Row], elastic: str, width: int) -> int:
    names = tuple(rows[0]) if rows else ()
    return width + _LAST - sum((0 if name == elastic else _width(rows, name)) + _GAP for name in names)


def _width(rows: Sequence[_Row], name: str) -> int:
    return max(line.cell_len for cell in (Text(name), *(row[name] for row in rows)) for line in cell.split("\n"))


def _without(rows: Sequence[_Row]) -> list[_Row]:
    return [{name: cell for name, cell in row.items() if name not in {"seg", "text"}} for row in rows]


def _narrow(row: _Row) -> _Row:
    """Two lines a message."""
    return {
        "arrived\nmessage": Text("\n").join([row["arrived"], row["message"]]),
        "node\nto": Text("\n").join([row["node"], row["to"]]),
        "status": row["status"],
    }


def _stacked(state: Text) -> Text:
    """A status, and what is said beside it, a line each."""
    lines = state.plain.replace(" ", "\n", 1)
    for mark in (_OVERDUE, _FALLBACK):
        lines = lines.replace(mark, f"\n{mark[1:]}")
    return Text(lines, style=state.style)


def _cells(one: message.Message) -> _Row:
    to_whom = Text(to(one.recipient, one.reason).replace("\n", " "))
    to_whom.truncate(_WIDEST_NUMBER, overflow="ellipsis")  # what is no number may be long
    return {
        "arrived": Text(_short(one.created_at)),
        "message": Text(one.id, style="dim"),
        "node": Text(one.node),
        "to": to_whom,
        "status": Text(_state(one), style=COLOURS[one.status]),
        "seg": Text(str(one.segments or "")),
        "text": Text(_FETCHING if _fetching(one) else safe(one.text or "").replace("\n", " ⏎ ")),
    }


def _fetching(one: message.Message) -> bool:
    return one.status is Status.WAITING and one.text is None


def _short(at: datetime) -> str:
    """A local time; the year only where it is not this one."""
    shown = at.astimezone()
    return shown.strftime("%m-%d %H:%M:%S" if shown.year == datetime.now(UTC).astimezone().year else "%Y-%m-%d %H:%M")


def _state(one: message.Message) -> str:
    """Its status, with what there is to say beside it."""
    overdue = _OVERDUE if one.receipt_overdue(datetime.now(UTC)) else ""
    return _standing(one) + overdue + (_FALLBACK if one.fallback else "")


def _standing(one: message.Message) -> str:
    if one.status is Status.SCHEDULED and one.due_at is not None:
        today = one.due_at.astimezone().date() == datetime.now(UTC).astimezone().date()
        return f"scheduled for {one.due_at.astimezone().strftime('%H:%M:%S') if today else _short(one.due_at)}"
    return f"{one.status}: {one.reason}" if one.reason else str(one.status)


def explain(out: console.Console, story: ports.Story) -> None:
    """One message's whole story."""
    for line in _story(story):
        out.print(line)


def _story(story: ports.Story) -> Iterator[Text]:
    """Line by line; nothing in them is markup, as much of it comes from strangers."""
    one = story.message
    yield Text.assemble("Message ", (one.id, "bold"), "  ", (_state(one), COLOURS[one.status]))
    yield from _facts(
        ("because", _because(story)),
        ("to", f"{_number(one)}, {SOURCES[one.source]}"),
        ("sender", one.sender or "(the provider decides)"),
        ("text", _FETCHING if _fetching(one) else "(none)" if one.text is None else f"“{one.text}”"),
        ("", "" if one.text is None else sized(one.text, one.encoding, one.segments)),
        ("due", "" if one.status is Status.SKIPPED else f"{local(one.due_at)}, not after {local(one.expires_at)}"),
        ("route", ", then ".join(one.route)),
        ("cost", show_attempts.costs(one)),
        ("receipt", _expected(one)),
    )
    yield _head("The call")
    yield from _facts(*_call(story))
    if story.content is not None:
        yield _head("The text")
        yield from _facts(*_content(story.content, one.reason))
    yield _head("The activation's messages")
    for sibling in sorted((one, *story.siblings), key=lambda m: m.id):
        mark = "  ← this one" if sibling.id == one.id else ""
        yield Text(f"  {sibling.id}  {_number(sibling)}, {SOURCES[sibling.source]}: {_state(sibling)}{mark}")
    yield _head("Attempts")
    for attempt in story.attempts:
        yield from show_attempts.lines(attempt)
    if not story.attempts:
        yield Text("  none")
    if story.events:
        yield _head("What people did")
    for event in story.events:
        yield Text(f"  {local(event.at)}  {safe(event.who)}: {safe(event.what)}")
    if one.status in (Status.HELD, Status.UNCERTAIN):
        asks = " (asks for the text again)" if story.content is not None and one.text is None else ""
        yield Text(f"\nNext: agi-sms retry {one.id}{asks}   or   agi-sms cancel {one.id}")
        yield Text(f"      agi-sms resolve {one.id} sent|resend|fail, where you know what became of it")


def _expected(one: message.Message) -> str:
    """Until when a receipt was or is to come."""
    if one.status is not Status.ACCEPTED or one.receipt_due_at is None:
        return ""
    word = "overdue since" if one.receipt_overdue(datetime.now(UTC)) else "expected until"
    return f"{word} {local(one.receipt_due_at)}"


def sized(body: str, encoding: message.Encoding, segments: int) -> str:
    """How a text travels, and how long it is."""
    return f"{encoding}, {text.counted(segments, 'segment')}, {text.counted(len(body), 'character')}"


def _because(story: ports.Story) -> str:
    """The reason in a sentence, and where more of it is told."""
    reason = story.message.reason
    if reason is None:
        return ""
    if story.content is not None and story.content.reason is reason:
        return f"{reason}: {REASONS[reason]} (see below)"
    return REASONS[reason] + ("; see the log" if reason in {Reason.BAD_ARGUMENT, Reason.CONTENT_ERROR} else "")


def _head(title: str) -> Text:
    return Text.assemble("\n", (title, "bold"))


def _facts(*facts: tuple[str, str]) -> Iterator[Text]:
    """Those that have a value, one below the other."""
    for name, value in facts:
        if value:
            indented = safe(value).replace("\n", "\n" + " " * 13)
            yield Text(f"  {safe(name):<9} {indented}")


def _call(story: ports.Story) -> Iterator[tuple[str, str]]:
    visit = story.visit
    at = visit.call
    held = ""
    if story.returned_at is not None:
        took = story.returned_at - visit.arrived_at
        held = f", back in the dialplan after {took / timedelta(milliseconds=1):.0f} ms"
        if took < timedelta(0):
            held = ", had left the node (watchdog or hangup) before the gateway saw it"
    yield "arrived", f"{local(visit.arrived_at, precise=True)}, {ENTRIES[visit.entry]}{held}"
    yield "node", f"{visit.node} (revision {story.node_revision})"
    named = f", name “{at.caller_name}”" if at.caller_name else ""
    yield "caller", f"{at.caller or '(none)'}, presentation {at.presentation or 'not told'}{named}"
    yield "dialled", at.dialled
    yield "diverted", at.diverted_from
    yield "pbx", f"{at.pbx}{f', trunk {at.trunk}' if at.trunk else ''}, channel {at.channel_id or '(none)'}"
    yield "ids", f"call {at.call_id}, linkedid {at.linkedid or '(none)'}, visit {visit.id}"
    wishes = (("recipients", visit.recipients), ("sender", visit.sender), ("delay", visit.delay))
    yield "asked", ", ".join(f"{name}={value}" for name, value in wishes if value is not None)
    for name, value in at.variables.items():
        yield f"var {name}", value


def _content(content: ports.ContentStory, told: Reason | None) -> Iterator[tuple[str, str]]:
    """How the text was got, or not yet. The reason that is `told` already is not explained again."""
    until = f", until {local(content.ended_at, precise=True)}" if content.ended_at is not None else ""
    yield "is", CONTENT[content.state]
    yield "asked", text.counted(content.tries, "time") + until
    if content.state is ContentState.OPEN:
        yield "next try", local(content.next_at)
    if content.reason is not None and content.reason is not told:
        yield "why", f"{content.reason}: {REASONS[content.reason]}"
    yield "said", said(content.code, content.detail)
    lines = [line for line in content.excerpt.expandtabs(2).splitlines() if line.strip()]
    shown = [line if len(line) <= _WIDEST_LINE else line[: _WIDEST_LINE - 1] + "…" for line in lines[:_MOST_LINES]]
    yield "answer", "\n".join(shown + ["…"] * (len(lines) > _MOST_LINES))


def _number(one: message.Message) -> str:
    return safe(numbers.shown(one.recipient)) if one.recipient else to("", one.reason)
