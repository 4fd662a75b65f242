"""The history as the command line prints it: a table for people, JSON and CSV for machines."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich import box, console, table
from rich.text import Text

from agi_sms import message, plain, prices, show

FIELDS = (
    "id", "created_at", "due_at", "node", "call_id", "recipient", "source", "sender",
    "status", "reason", "fallback", "receipt_overdue", "encoding", "segments", "attempts", "route", "provider",
    "cost", "currency", "text",
)  # fmt: skip


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


def as_json(messages: Iterable[message.Message]) -> str:
    """A JSON array, one object a message; times are ISO 8601 in UTC."""
    return plain.as_json([_row(one) for one in messages])


def as_csv(messages: Iterable[message.Message]) -> str:
    """CSV with a header; a cell that a spreadsheet would run as a formula gets an apostrophe in front."""
    return plain.as_csv(FIELDS, map(_row, messages))


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
            yield Text("no room for more; agi-sms explain MESSAGE and --format json have it", "dim")


_Row = dict[str, Text]
_LEAST = {"text": 20, "node": 8, "node\nto": 16}  # columns of what may be given fewer than it would take
_FEWEST = ("provider", "seg", "text")  # what a narrow terminal does not show
_WIDEST_NUMBER = 16
_GAP, _LAST = 2, 1  # columns behind a cell: its padding, and the box's divider, which the last one has not


def as_table(messages: Sequence[message.Message]) -> History:
    """Newest first, as given."""
    return History(messages)


def _fitted(messages: Sequence[message.Message], width: int) -> tuple[list[_Row], str, int]:
    """The rows of the first layout that fits, else of the narrowest; its elastic cell, and the columns left for it."""
    cells = [_cells(one) for one in messages]
    stacked = [row | {"status": _stacked(row["status"])} for row in cells]
    layouts = (
        (cells, "text"),
        (stacked, "text"),
        (_without(cells, "provider"), "text"),
        (_without(stacked, "provider"), "text"),
        (_without(cells, *_FEWEST), ""),
        (_without(stacked, *_FEWEST), "node"),
    )
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


def _without(rows: Sequence[_Row], *names: str) -> list[_Row]:
    return [{name: cell for name, cell in row.items() if name not in names} for row in rows]


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
    for mark in (show.OVERDUE, show.FALLBACK):
        lines = lines.replace(mark, f"\n{mark[1:]}")
    return Text(lines, style=state.style)


def _cells(one: message.Message) -> _Row:
    to_whom = Text(show.to(one.recipient, one.reason).replace("\n", " "))
    to_whom.truncate(_WIDEST_NUMBER, overflow="ellipsis")  # what is no number may be long
    return {
        "arrived": Text(show.short(one.created_at)),
        "message": Text(one.id, style="dim"),
        "node": Text(one.node),
        "to": to_whom,
        "status": Text(show.state(one), style=show.COLOURS[one.status]),
        "provider": Text(one.provider),
        "seg": Text(str(one.segments or "")),
        "text": Text(show.FETCHING if show.fetching(one) else plain.safe(one.text or "").replace("\n", " ⏎ ")),
    }
