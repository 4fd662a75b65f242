"""What the command line prints about messages: tables for people, JSON and CSV for machines."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich import box, console, table, text

from agi_sms import call, durations, message, numbers, ports
from agi_sms.message import Reason, Status

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
    Reason.RECIPIENT_INVALID: "the dialplan's recipients= holds something that is no phone number",
    Reason.DUPLICATE_IN_CALL: "this recipient already has one from this node in this call (once_per_call)",
    Reason.CAPPED: "the node's limits were reached",
    Reason.BAD_ARGUMENT: "the dialplan's delay= or sender= was not usable; see the log",
    Reason.EMPTY_CONTENT: "the text came out empty",
    Reason.CONTENT_ERROR: "the text's template failed on this call; see the log",
    Reason.TOO_LONG: "the text needs more segments than max_segments allows",
    Reason.TOO_OLD: "older than max_age when it could have been sent",
    Reason.REJECTED: "the provider refused it for good",
    Reason.GAVE_UP: "every retry was used up",
    Reason.CRASHED: "the gateway died between handing it over and hearing the answer",
    Reason.UNANSWERED: "after the message was handed over, no answer came that says whether it was taken",
    Reason.POISON: "taken up again and again without ever ending",
    Reason.PROVIDER_MISSING: "the configuration no longer has its provider",
    Reason.OPERATOR: "an operator said so",
}

SOURCES = {
    message.Source.CONFIG: "configured in the node",
    message.Source.GROUP: "in a configured group",
    message.Source.DIALPLAN: "named by the dialplan",
    message.Source.CALLER: "the caller",
}

ENTRIES = {
    call.Entry.ARI: "came in over ARI",
    call.Entry.AGI: "came in over FastAGI",
    call.Entry.AMI: "came in over AMI",
    call.Entry.ASTDB: "missed at the time, found in the PBX's database",
    call.Entry.TRIGGER: "made on the command line",
}

FIELDS = (
    "id", "created_at", "due_at", "node", "call_id", "recipient", "source", "sender",
    "status", "reason", "encoding", "segments", "attempts", "route", "text",
)  # fmt: skip


def safe(value: str) -> str:
    """A stranger's text with nothing in it that could move a terminal's cursor."""
    return "".join(c if c.isprintable() or c == "\n" else _escaped(ord(c)) for c in value)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def local(at: datetime | None, *, precise: bool = False) -> str:
    """A time in the machine's own zone."""
    if at is None:
        return ""
    shown = at.astimezone()
    return shown.strftime("%Y-%m-%d %H:%M:%S") + (f".{shown.microsecond // 1000:03d}" if precise else "")


def _row(one: message.Message) -> dict[str, object]:
    row: dict[str, object] = {}
    for name in FIELDS:
        value = getattr(one, name)
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
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    for one in messages:
        writer.writerow({name: _inert(value) for name, value in _row(one).items()})
    return out.getvalue()


def _inert(value: object) -> object:
    if not isinstance(value, str):
        return value
    value = value.replace("\r", " ")  # which the csv module would leave unquoted
    return "'" + value if value.lstrip().startswith(tuple("=-@+")) and not value[1:].isdigit() else value


class History:
    """Messages as a table for `rich`. Ids and numbers are never cut; the text is there where it has room."""

    def __init__(self, messages: Sequence[message.Message]) -> None:
        self._messages = messages

    def __rich_console__(self, _: console.Console, options: console.ConsoleOptions) -> console.RenderResult:
        # with the text where it has room, if need be by giving a status and its reason a line each
        shown, rows, room = _fitted(self._messages, options.max_width)
        grid = table.Table(
            box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
        )
        for name in shown:
            width = _width(rows, name)
            if name == "node":
                width = max(_LEAST_NODE, min(width, width + room))
            grid.add_column(
                name,
                justify="right" if name == "seg" else "left",
                no_wrap=name != "node",
                overflow="ellipsis" if name == "text" else "fold",
                width=min(width, room) if name == "text" else width,
            )
        for row in rows:
            grid.add_row(*(row[name] for name in shown))
        yield grid


_COLUMNS = ("arrived", "message", "node", "to", "status", "seg", "text")
_FEWER = _COLUMNS[:5]
_LEAST_NODE, _LEAST_TEXT, _WIDEST_NUMBER = 8, 20, 16
_GAP = 2  # columns between two cells: their padding and the box's divider


def history_table(messages: Sequence[message.Message]) -> History:
    """Newest first, as given."""
    return History(messages)


def _fitted(messages: Sequence[message.Message], width: int) -> tuple[tuple[str, ...], list[dict[str, text.Text]], int]:
    """The columns and rows of the first layout that fits, else of the narrowest; and what room that leaves."""
    flat, stacked = ([_cells(one, stacked=how) for one in messages] for how in (False, True))
    for shown, rows in ((_COLUMNS, flat), (_COLUMNS, stacked), (_FEWER, flat)):
        least = _LEAST_TEXT if "text" in shown else 0
        if (room := _room(shown, rows, width)) >= least:
            return shown, rows, room
    return _FEWER, stacked, _room(_FEWER, stacked, width)


def _room(shown: Sequence[str], rows: Sequence[dict[str, text.Text]], width: int) -> int:
    return width + _GAP - sum((0 if name == "text" else _width(rows, name)) + _GAP for name in shown)


def _width(rows: Sequence[dict[str, text.Text]], name: str) -> int:
    return max([len(name), *(line.cell_len for row in rows for line in row[name].split("\n"))])


def _cells(one: message.Message, *, stacked: bool) -> dict[str, text.Text]:
    to = safe(one.recipient).replace("\n", " ") or "(withheld)"
    state = _state(one)
    return {
        "arrived": text.Text(_short(one.created_at)),
        "message": text.Text(one.id, style="dim"),
        "node": text.Text(one.node),
        "to": text.Text(to if len(to) <= _WIDEST_NUMBER else to[: _WIDEST_NUMBER - 1] + "…"),
        "status": text.Text(state.replace(" ", "\n", 1) if stacked else state, style=COLOURS[one.status]),
        "seg": text.Text(str(one.segments or "")),
        "text": text.Text(safe(one.text or "").replace("\n", " ⏎ ")),
    }


def _short(at: datetime) -> str:
    """A local time; the year only where it is not this one."""
    shown = at.astimezone()
    return shown.strftime("%m-%d %H:%M:%S" if shown.year == datetime.now(UTC).astimezone().year else "%Y-%m-%d %H:%M")


def _state(one: message.Message) -> str:
    if one.status is Status.SCHEDULED and one.due_at is not None:
        today = one.due_at.astimezone().date() == datetime.now(UTC).astimezone().date()
        return f"scheduled for {one.due_at.astimezone().strftime('%H:%M:%S') if today else _short(one.due_at)}"
    return f"{one.status}: {one.reason}" if one.reason else str(one.status)


def explain(out: console.Console, story: ports.Story) -> None:
    """One message's whole story."""
    for line in _story(story):
        out.print(line)


def _story(story: ports.Story) -> Iterator[text.Text]:
    """Line by line; nothing in them is markup, as much of it comes from strangers."""
    one = story.message
    yield text.Text.assemble("Message ", (one.id, "bold"), "  ", (_state(one), COLOURS[one.status]))
    size = f"{one.encoding}, {one.segments} segment{'' if one.segments == 1 else 's'}"
    yield from _facts(
        ("because", REASONS[one.reason] if one.reason else ""),
        ("to", f"{_number(one.recipient)}, {SOURCES[one.source]}"),
        ("sender", one.sender or "(the provider decides)"),
        ("text", "(none)" if one.text is None else f"“{one.text}”"),
        ("", "" if one.text is None else f"{size}, {len(one.text)} characters"),
        ("due", "" if one.status is Status.SKIPPED else f"{local(one.due_at)}, not after {local(one.expires_at)}"),
        ("route", ", then ".join(one.route)),
    )
    yield _head("The call")
    yield from _facts(*_call(story))
    yield _head("The activation's messages")
    for sibling in sorted((one, *story.siblings), key=lambda m: m.id):
        mark = "  ← this one" if sibling.id == one.id else ""
        yield text.Text(
            f"  {sibling.id}  {_number(sibling.recipient)}, {SOURCES[sibling.source]}: {_state(sibling)}{mark}"
        )
    yield _head("Attempts")
    for attempt in story.attempts:
        yield _attempt(attempt)
    if not story.attempts:
        yield text.Text("  none")
    if story.events:
        yield _head("What people did")
    for event in story.events:
        yield text.Text(f"  {local(event.at)}  {safe(event.who)}: {safe(event.what)}")
    if one.status in (Status.HELD, Status.UNCERTAIN):
        yield text.Text(f"\nNext: agi-sms retry {one.id}   or   agi-sms cancel {one.id}")


def _head(title: str) -> text.Text:
    return text.Text.assemble("\n", (title, "bold"))


def _facts(*facts: tuple[str, str]) -> Iterator[text.Text]:
    """Those that have a value, one below the other."""
    for name, value in facts:
        if value:
            indented = safe(value).replace("\n", "\n" + " " * 13)
            yield text.Text(f"  {safe(name):<9} {indented}")


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


def _attempt(attempt: ports.Attempt) -> text.Text:
    took = "still open"
    if attempt.ended_at is not None:
        took = durations.show(attempt.ended_at - attempt.started_at)
    words = " ".join(w for w in (attempt.code, attempt.detail, *(f"id={i}" for i in attempt.provider_ids)) if w)
    return text.Text(
        f"  {attempt.n}. {local(attempt.started_at, precise=True)}  {attempt.provider}  "
        f"{attempt.outcome or 'no answer yet'} ({took})  {safe(words)}".rstrip()
    )


def _number(e164: str) -> str:
    return safe(numbers.shown(e164)) if e164 else "(withheld)"
