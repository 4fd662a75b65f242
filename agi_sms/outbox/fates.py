"""What receipts say of an attempt, and what that makes of the message. Pure; a final word is never taken back."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agi_sms import message
from agi_sms.message import Status

_NOT_TAKEN = frozenset(message.OUTCOMES[kind] for kind in (message.Rejected, message.Retry, message.ProviderDown))
_IN_DOUBT = message.OUTCOMES[message.Uncertain]
_TAKEN = message.OUTCOMES[message.Accepted]
_LAST = frozenset({Status.DELIVERED, Status.FAILED})
_WORDS = _LAST | {Status.ACCEPTED}
_UNDECIDED = frozenset({Status.SCHEDULED, Status.UNCERTAIN, Status.HELD})
_DOUBTED = frozenset({Status.UNCERTAIN, Status.HELD})


@dataclass(frozen=True, kw_only=True)
class Tried:
    """An attempt: what its answer came to (empty: not answered yet), and what its receipts say."""

    n: int
    outcome: str
    verdict: Status | None


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What receipts have said so far of an attempt whose answers named `segments` segments.

    `missing`: by the ids that the answers gave, how many of an id's segments no receipt has called delivered yet.
    `whole`: these are all segments of the text, not only those that were taken. `refused`: it was certainly not taken.
    """

    segments: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    whole: bool = True
    refused: bool = False
    verdict: Status | None = None


def named(ids: Sequence[str], outcome: str = "") -> Heard:
    """The beginning: an attempt with that outcome (empty: not answered yet), whose answers gave these ids."""
    return Heard(
        segments=len(ids),
        missing=Counter(ids),
        whole=not ids or outcome != _IN_DOUBT,
        refused=outcome in _NOT_TAKEN,
    )


def hear(so_far: Heard, name: str, state: Status) -> Heard:
    """What one receipt more (provider's id and state) changes; a last word is the last.

    The text is delivered when each of its segments is, failed as soon as one failed. An empty id speaks for all. So
    does any where the answer gave one id or none: what a receipt then names is the same, written in another way. Else
    an id that the answer never gave delivers nothing. An SMSC may give several segments the same id: then nobody can
    tell which of them a receipt is about, and there must be one for each, be it in the same words.

    Where the ids are not of the `whole` text, but of those of its segments that were taken, one that failed is the
    failure of the text too: no phone can put it together. Any other word about them leaves open what became of the
    rest, and so of the text. Of an attempt that was `refused`, only that the phone has it all the same is believed: a
    company that took nothing has nothing to say of what became of it. A state that is none says nothing.
    """
    if so_far.verdict in _LAST or state not in _WORDS or (so_far.refused and state is not Status.DELIVERED):
        return so_far
    segment = name if so_far.segments > 1 or not so_far.whole else ""
    left = so_far.missing.get(segment)
    if left == 0:
        return so_far
    if state is Status.FAILED or (state is Status.DELIVERED and not segment):
        return replace(so_far, verdict=state)
    missing = so_far.missing
    if state is Status.DELIVERED and left is not None:
        missing = {**missing, segment: left - 1}
        if so_far.whole and not any(missing.values()):
            return replace(so_far, missing=missing, verdict=Status.DELIVERED)
    word = Status.ACCEPTED if so_far.whole or not segment else so_far.verdict
    return replace(so_far, missing=missing, verdict=word)


def settled(status: Status, tried: Sequence[Tried], before: int) -> Status | None:
    """What a message becomes by its attempts (oldest first), None where it stays what it is.

    Delivered by one attempt is delivered, whatever people or other attempts said. Else those count that came after
    a person's last retry (the first `before` came earlier): the newest of them that may have been taken decides, so
    that a failure of one does not end another that is under way; and where any was taken, there is no doubt, and no
    reason to send again. One that was certainly not taken decides nothing.
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
    return [one for one in tried if one.n > before and one.outcome not in _NOT_TAKEN]
