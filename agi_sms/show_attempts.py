"""What the command line tells of attempts: what each came to, what it cost, and what the provider reported later."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from agi_sms import durations, message, plain, ports, prices
from agi_sms.message import Status

_TAKEN, _DOUBT = message.OUTCOMES[message.Accepted], message.OUTCOMES[message.Uncertain]


def lines(attempt: ports.Attempt, passed_over: Sequence[str] = ()) -> Iterator[Text]:
    """One attempt, and its receipts as they came. `passed_over`: providers before it that were not asked."""
    if passed_over:
        yield Text(f"     passed over: {', '.join(passed_over)} (left alone after faults, or not configured any more)")
    took = "still open"
    if attempt.ended_at is not None:
        took = durations.show(attempt.ended_at - attempt.started_at)
    words = [plain.said(attempt.code, attempt.detail), *(f"id={name}" for name in attempt.provider_ids), _cost(attempt)]
    yield Text(
        f"  {attempt.n}. {plain.local(attempt.started_at, precise=True)}  {attempt.provider}  "
        f"{attempt.outcome or 'no answer yet'} ({took})  {plain.safe(' '.join(filter(None, words)))}".rstrip()
    )
    for kept in attempt.receipts:
        receipt = kept.receipt
        name = f"id={receipt.provider_id}" if receipt.provider_id and len(attempt.provider_ids) > 1 else ""
        words = [plain.said(receipt.code, receipt.detail), name]
        yield Text(
            f"     {plain.local(kept.at, precise=True)}  receipt: {receipt.state}  "
            f"{plain.safe(' '.join(filter(None, words)))}".rstrip()
        )


def _cost(attempt: ports.Attempt) -> str:
    """What it costs, where it was taken or may have been, and its price is known."""
    if attempt.cost is None:
        return ""
    shown = prices.shown(attempt.cost)
    if attempt.outcome == _TAKEN or attempt.verdict in (Status.DELIVERED, Status.ACCEPTED):
        return f"({shown})"
    if attempt.outcome == _DOUBT:
        return f"({shown})" if attempt.verdict is not None else f"({shown} if it was taken)"
    return ""


def costs(one: message.Message) -> str:
    """What a message costs in all, empty where nobody took it or no price is known."""
    return ", ".join(prices.shown(cost) for cost in one.costs)
