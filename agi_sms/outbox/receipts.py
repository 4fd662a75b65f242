"""Inside the transactions of receipts: kept once, matched with attempts, and what they settle."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agi_sms import ids, message, ports
from agi_sms.message import Reason, Status
from agi_sms.outbox import fates, queries, rows

SQL = queries.load("sqlite")
CHUNK = 100  # receipts in one transaction: some 25 ms
MOST_UNMATCHED = 100_000  # receipts that are nobody's; of more the oldest go
UNMATCHED_FOR = timedelta(days=7)
_EVER = 1 << 62  # milliseconds
_FINAL = (Status.DELIVERED, Status.FAILED)
_DOUBT = message.OUTCOMES[message.Uncertain]


def receive(
    raw: sqlite3.Connection, *, keys: rows.Keys, now: datetime, provider: str, receipts: Sequence[ports.Receipt]
) -> ports.Received:
    """Keep each once, and settle what it is about."""
    new = unmatched = 0
    settled: list[ports.Settled] = []
    for told in receipts:
        receipt = _storable(told)
        facts = {"provider": provider, "provider_id": receipt.provider_id, "ref": receipt.ref}
        attempt = _attempt(raw, facts)
        if not _keep(raw, keys, now, receipt, facts, attempt):
            continue
        new += 1
        if attempt is None:
            unmatched += 1
            continue
        weigh(raw, attempt["id"])
        if (before := settle(raw, attempt["message_id"])) is not None:
            changed = raw.execute(SQL["one"], {"message_id": attempt["message_id"]}).fetchone()
            settled.append(ports.Settled(message=rows.to_message(changed), before=before, receipt=receipt))
    if unmatched:
        _count(raw, unmatched)
        _bound(raw)
    return ports.Received(new=new, known=len(receipts) - new, unmatched=unmatched, settled=tuple(settled))


def _storable(receipt: ports.Receipt) -> ports.Receipt:
    return ports.Receipt(
        provider_id=rows.storable(receipt.provider_id),
        ref=rows.storable(receipt.ref),
        state=receipt.state if receipt.state in _FINAL else Status.ACCEPTED,
        raw=rows.storable(receipt.raw, ports.LONGEST_EXCERPT),
        code=rows.storable(receipt.code),
        detail=rows.storable(receipt.detail),
    )


def _attempt(raw: sqlite3.Connection, facts: dict[str, str]) -> sqlite3.Row | None:
    """Whose a receipt is. Our own ref goes before the provider's id, which may come again after a while."""
    for name, key in (("attempt_by_ref", "ref"), ("attempt_by_id", "provider_id")):
        if facts[key]:
            found: sqlite3.Row | None = raw.execute(SQL[name], facts).fetchone()
            if found is not None:
                return found
    return None


def _keep(
    raw: sqlite3.Connection,
    keys: rows.Keys,
    now: datetime,
    receipt: ports.Receipt,
    facts: dict[str, str],
    attempt: sqlite3.Row | None,
) -> bool:
    """Whether it was new. Ids come again, and the next attempt may end in the same words: those are others'."""
    whose = None if attempt is None else attempt["id"]
    words = (facts["provider"], receipt.provider_id, receipt.ref, str(receipt.state), receipt.code)
    early = {"fingerprint": keys.receipt(*words, ""), "attempt_id": whose, "now": rows.to_ms(now)}
    if whose is not None and raw.execute(SQL["kept_early"], early).fetchone() is not None:
        return False
    values = {
        "id": ids.new(now),
        "state": str(receipt.state),
        "code": receipt.code,
        "detail": receipt.detail,
        "raw": receipt.raw,
        "now": rows.to_ms(now),
        "attempt_id": whose,
        "fingerprint": keys.receipt(*words, whose or ""),
    }
    if raw.execute(SQL["add_receipt"], facts | values).rowcount == 1:
        return True
    raw.execute(SQL["came_again"], early)
    return False


def match(raw: sqlite3.Connection, *, attempt_id: str, provider: str, provider_ids: Iterable[str]) -> None:
    """Take receipts that came before the answer did. Older ones are of a message that had the same id before."""
    found = 0
    for name in provider_ids:
        facts = {"attempt_id": attempt_id, "provider": provider, "provider_id": name}
        found += raw.execute(SQL["match_receipts"], facts).rowcount
    if found:
        _count(raw, -found)


def weigh(raw: sqlite3.Connection, attempt_id: str, *, answered: bool = False) -> None:
    """Write down what the receipts of an attempt say together; a last word is the last, whatever ids come after it.

    `answered`: just now, so that ids that were not known before say what its receipts are about.
    """
    facts = {"attempt_id": attempt_id}
    attempt = raw.execute(SQL["attempt"], facts).fetchone()
    told = [(row["provider_id"], Status(row["state"])) for row in raw.execute(SQL["told"], facts)]
    if not told or (attempt["verdict"] in _FINAL and not answered):
        return
    names = {row["provider_id"] for row in raw.execute(SQL["provider_ids"], facts)}
    word = fates.verdict(names, told, whole=not names or attempt["outcome"] != _DOUBT)
    raw.execute(SQL["set_verdict"], facts | {"verdict": None if word is None else str(word)})


def settle(raw: sqlite3.Connection, message_id: str) -> Status | None:
    """Make of a message what its attempts and their receipts say; its status before, if that has changed.

    While an attempt is under way nothing changes: what it comes to is needed too.
    """
    standing = _standing(raw, message_id)
    if standing is None:
        return None
    after = fates.settled(standing.status, standing.tried, standing.before)
    if after is None:
        return None
    reason = str(Reason.UNDELIVERED) if after is Status.FAILED else None
    raw.execute(SQL["settle_message"], {"message_id": message_id, "status": str(after), "reason": reason})
    return standing.status


def cleared(raw: sqlite3.Connection, message_id: str, n: int) -> bool:
    """Whether a message was in doubt, and is no longer as its attempt `n` was not taken."""
    standing = _standing(raw, message_id)
    return standing is not None and fates.cleared(standing.status, standing.tried, standing.before, n)


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """What a message is, or was before its lease, and its attempts, of which `before` came before a retry."""

    status: Status
    tried: Sequence[fates.Tried]
    before: int


def _standing(raw: sqlite3.Connection, message_id: str) -> _Standing | None:
    """None while an attempt is under way."""
    row = raw.execute(SQL["standing"], {"message_id": message_id}).fetchone()
    if row["under_way"]:
        return None
    return _Standing(
        status=Status(row["lease_before"] or row["status"]),
        tried=[_tried(one) for one in raw.execute(SQL["tried"], {"message_id": message_id})],
        before=row["attempts_before"],
    )


def _tried(row: sqlite3.Row) -> fates.Tried:
    verdict = None if row["verdict"] is None else Status(row["verdict"])
    return fates.Tried(n=row["n"], outcome=row["outcome"] or "", verdict=verdict)


def forget(raw: sqlite3.Connection, *, now: datetime, most: int) -> int:
    """Delete what has been nobody's for too long, up to so many; how many."""
    return _forget(raw, before=rows.to_ms(now - UNMATCHED_FOR), most=most)


def _forget(raw: sqlite3.Connection, *, before: int, most: int) -> int:
    gone = raw.execute(SQL["forget_receipts"], {"before": before, "most": most}).rowcount
    if gone:
        _count(raw, -gone)
    return gone


def _count(raw: sqlite3.Connection, more: int) -> None:
    raw.execute(SQL["count_unmatched"], {"more": more})


def _bound(raw: sqlite3.Connection) -> None:
    over = raw.execute(SQL["unmatched"]).fetchone()["n"] - MOST_UNMATCHED
    if over > 0:
        _forget(raw, before=_EVER, most=over)


def of_attempt(raw: sqlite3.Connection, attempt_id: str) -> tuple[ports.KeptReceipt, ...]:
    """As they came."""
    return tuple(
        ports.KeptReceipt(
            at=rows.from_ms(row["received_at"]),
            receipt=ports.Receipt(
                provider_id=row["provider_id"],
                ref=row["ref"],
                state=Status(row["state"]),
                raw=row["raw"],
                code=row["code"],
                detail=row["detail"],
            ),
        )
        for row in raw.execute(SQL["receipts_of"], {"attempt_id": attempt_id})
    )
