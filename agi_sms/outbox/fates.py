"""What receipts say of an attempt, and what that makes of the message. Pure; a final word is never taken back."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from agi_sms import message
from agi_sms.message import Status

_NOT_TAKEN = frozenset(message.OUTCOMES[kind] for kind in (message.Rejected, message.Retry, message.ProviderDown))
_TAKEN = message.OUTCOMES[message.Accepted]
_UNDECIDED = frozenset({Status.SCHEDULED, Status.UNCERTAIN, Status.HELD})
_DOUBTED = frozenset({Status.UNCERTAIN, Status.HELD})


@dataclass(frozen=True, kw_only=True)
class Tried:
    """An attempt: what its answer came to (empty: not answered yet), and what its receipts say."""

    n: int
    outcome: str
    verdict: Status | None


def verdict(ids: Collection[str], told: Iterable[tuple[str, Status]], *, whole: bool = True) -> Status | None:
    """What receipts (provider's id and state, as they came) say of an attempt whose answers gave these `ids`.

    It is delivered when each id is, failed as soon as one failed. An empty id speaks for all. So does any where
    the answer gave one id or none: what a receipt then names is the same, written in another way.

    Where the ids are not of the `whole` text, but of those of its segments that were taken, one that failed is the
    failure of the text too: no phone can put it together. Any other word about them leaves open what became of the
    rest, and so of the text.
    """
    delivered: set[str] = set()
    word = None
    for name, state in told:
        segment = name if len(ids) > 1 or not whole else ""
        if segment in delivered:
            continue
        if state is Status.FAILED:
            return Status.FAILED
        if state is Status.DELIVERED:
            delivered.add(segment)
            if not segment or (whole and len(delivered) >= len(ids)):
                return Status.DELIVERED
        if whole or not segment:
            word = Status.ACCEPTED
    return word


def settled(status: Status, tried: Sequence[Tried], before: int) -> Status | None:
    """What a message becomes by its attempts (oldest first), None where it stays what it is.

    Delivered by one attempt is delivered, whatever people or other attempts said. Else those count that came after
    a person's last retry (the first `before` came earlier): the newest of them that may have been taken decides, so
    that a failure of one does not end another that is under way; and where any was taken, there is no doubt, and no
    reason to send again.
    """
    if any(one.verdict is Status.DELIVERED for one in tried):
        return None if status is Status.DELIVERED else Status.DELIVERED
    possible = _possible(tried, before)
    if status in message.FINAL or not possible:
        return None
    if possible[-1].verdict is Status.FAILED:
        return Status.FAILED
    taken = any(one.verdict is Status.ACCEPTED or (one.verdict is None and one.outcome == _TAKEN) for one in possible)
    return Status.ACCEPTED if taken and status in _UNDECIDED else None


def cleared(status: Status, tried: Sequence[Tried], before: int, n: int) -> bool:
    """Whether the message was in doubt, and is no longer as attempt `n` was not taken: no other may have been."""
    return status in _DOUBTED and n > before and not _possible(tried, before)


def _possible(tried: Sequence[Tried], before: int) -> list[Tried]:
    """Those that were taken, or may have been."""
    return [one for one in tried if one.n > before and (one.verdict or one.outcome not in _NOT_TAKEN)]
