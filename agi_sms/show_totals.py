"""What messages come to, by node, day and currency: a table for people, JSON and CSV for machines."""

import json
from collections.abc import Iterable, Sequence

from rich import box, table

from agi_sms import message, plain, ports, prices

FIELDS = ("node", "day", "currency", "messages", "segments", "cost")


def _row(one: ports.Total) -> dict[str, object]:
    known = {"currency": one.currency, "cost": prices.amount(one.cost)} if one.currency else {}
    same = {name: getattr(one, name) for name in ("node", "messages", "segments")}
    return dict.fromkeys(FIELDS) | same | {"day": one.day.isoformat()} | known


def as_json(totals: Iterable[ports.Total]) -> str:
    """A JSON array; `cost` is text, as no float is exact; null where no price is known."""
    return json.dumps([_row(one) for one in totals], ensure_ascii=False, indent=2)


def as_csv(totals: Iterable[ports.Total]) -> str:
    """CSV with a header."""
    return plain.as_csv(FIELDS, map(_row, totals))


def as_table(totals: Sequence[ports.Total]) -> table.Table:
    """A row for each, and below them the sums of each currency."""
    grid = table.Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("node", "day", "messages", "segments", "cost"):
        grid.add_column(name, justify="left" if name in ("node", "day") else "right", overflow="fold")
    for one in totals:
        grid.add_row(*_cells(one.node, str(one.day), one.messages, one.segments, one.cost, one.currency))
    if len(totals) > 1:
        grid.add_section()
        for currency in dict.fromkeys(one.currency for one in totals):
            same = [one for one in totals if one.currency == currency]
            sums = (sum(one.messages for one in same), sum(one.segments for one in same), sum(one.cost for one in same))
            grid.add_row(*_cells("all", "", *sums, currency))
    return grid


def _cells(node: str, day: str, messages: int, segments: int, cost: int, currency: str) -> tuple[str, ...]:
    shown = prices.shown(message.Cost(micros=cost, currency=currency)) if currency else "not known"
    return node, day, str(messages), str(segments), shown
