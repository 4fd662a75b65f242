"""What the command line shows of messages before a person decides about them."""

from collections import Counter
from collections.abc import Iterable, Sequence

from rich import box, table

from agi_sms import again, message, plain, prices, text


def lots(found: Sequence[again.Lot]) -> table.Table:
    """A row for each status and reason, and below them the sums."""
    grid = table.Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("status", "messages", "oldest", "segments", "cost", "may arrive twice"):
        grid.add_column(name, justify="left" if name in ("status", "oldest") else "right", overflow="fold")
    for lot in found:
        grid.add_row(standing(lot.status, lot.reason), *_sums([lot]))
    if len(found) > 1:
        grid.add_section()
        grid.add_row("all", *_sums(found))
    return grid


def _sums(found: Sequence[again.Lot]) -> tuple[str, ...]:
    costs: Counter[str] = Counter()
    for lot in found:
        costs.update({cost.currency: cost.micros for cost in lot.costs})
    known = [prices.shown(message.Cost(micros=micros, currency=currency)) for currency, micros in costs.items()]
    unknown = ["not known"] if any(lot.unpriced for lot in found) else []
    oldest = plain.local(min(lot.oldest for lot in found))
    twice = sum(lot.twice for lot in found)
    counts = str(sum(lot.messages for lot in found)), oldest, str(sum(lot.segments for lot in found))
    return (*counts, " + ".join(known + unknown), str(twice or ""))


def standing(status: message.Status, reason: message.Reason | None) -> str:
    """A status, and its reason where it has one."""
    return f"{status}: {reason}" if reason is not None else str(status)


def counted(found: Iterable[message.Message]) -> str:
    """How many of which status and reason, on one line."""
    counts = Counter(standing(one.status, one.reason) for one in found)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def statuses(allowed: Iterable[message.Status]) -> str:
    """Statuses in a sentence, in the order in which they are declared."""
    words = [str(status) for status in message.Status if status in set(allowed)]
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def taken(one: message.Message) -> str:
    """Why a message that may have been taken had better not be sent again at once."""
    where, now = one.provider or "a provider", standing(one.status, one.reason)
    if one.costs:
        paid = ", ".join(prices.shown(cost) for cost in one.costs)
        return f"{one.id} is {now}: {where} took it for {paid}, which it would cost again"
    return f"{one.id} is {now}: {where} may have taken it; it may arrive twice, and cost twice"


def done(count: int, seen: Sequence[message.Message]) -> str:
    """How many of those that were seen have been changed, and what of the others."""
    said = f"{text.counted(count, 'message')} scheduled again"
    less = len(seen) - count
    return said + (f"; {less} had changed meanwhile and stay as they are" if less else "")
