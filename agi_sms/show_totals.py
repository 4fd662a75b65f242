"""What messages come to, by node, day, provider and currency: a table for people, JSON and CSV for machines."""

from collections.abc import Iterable, Iterator, Sequence

from rich import box, table

from agi_sms import message, plain, ports, prices, text

FIELDS = ("node", "day", "provider", "currency", "messages", "segments", "cost", "in_doubt", "cost_in_doubt")


def _row(one: ports.Total) -> dict[str, object]:
    known = {"currency": one.currency, "cost": prices.amount(one.cost)} if one.currency else {}
    if one.currency:
        known["cost_in_doubt"] = prices.amount(one.cost_doubted)
    same = {name: getattr(one, name) for name in ("node", "messages", "segments")}
    more = {"day": one.day.isoformat(), "provider": one.provider or None, "in_doubt": one.doubted}
    return dict.fromkeys(FIELDS) | same | more | known


def as_json(totals: Iterable[ports.Total]) -> str:
    """A JSON array; `cost` is text, as no float is exact; null where no price is known."""
    return plain.as_json([_row(one) for one in totals])


def as_csv(totals: Iterable[ports.Total]) -> str:
    """CSV with a header."""
    return plain.as_csv(FIELDS, map(_row, totals))


def as_table(totals: Sequence[ports.Total], *, by_provider: bool = False) -> table.Table:
    """A row for each of which something was taken, and below them the sums of each currency."""
    grid = table.Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    names = ("node", "day", "provider") if by_provider else ("node", "day")
    for name in (*names, "messages", "segments", "cost"):
        grid.add_column(name, justify="left" if name in names else "right", overflow="fold")
    shown = [one for one in totals if one.messages]
    for one in shown:
        what = (one.node, str(one.day), one.provider)[: len(names)]
        grid.add_row(*what, *_cells(one.messages, one.segments, one.cost, one.currency))
    if len(shown) > 1:
        grid.add_section()
        for currency in dict.fromkeys(one.currency for one in shown):
            same = [one for one in shown if one.currency == currency]
            sums = (sum(one.messages for one in same), sum(one.segments for one in same), sum(one.cost for one in same))
            grid.add_row(*("all", "", "")[: len(names)], *_cells(*sums, currency))
    return grid


def _cells(messages: int, segments: int, cost: int, currency: str) -> tuple[str, ...]:
    shown = prices.shown(message.Cost(micros=cost, currency=currency)) if currency else "not known"
    return str(messages), str(segments), shown


def doubts(totals: Sequence[ports.Total]) -> Iterator[str]:
    """What may have been taken as well, a line for each currency."""
    for currency in dict.fromkeys(one.currency for one in totals if one.doubted):
        same = [one for one in totals if one.currency == currency]
        cost = prices.shown(message.Cost(micros=sum(one.cost_doubted for one in same), currency=currency))
        what = text.counted(sum(one.doubted for one in same), "message")
        yield f"in doubt: {what}, {f'up to {cost}' if currency else 'cost not known'}; agi-sms resolve settles them"
