"""Inside the transactions of receipts: kept once, matched with attempts, and what they settle."""

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from agi_sms import ports
from agi_sms.message import Reason, Status
from agi_sms.outbox import expected, fates, queries, receipt_rows, rows

SQL = queries.load("sqlite")
log = structlog.get_logger(__name__)

CHUNK = 50  # receipts in one transaction: some 25 ms, also where each is of another long message
MOST_KEPT = 200  # receipts of one attempt; half of them may say that it is still on its way
MOST_OF_ID = 100  # that are nobody's and name the same id
MOST_UNMATCHED = 20_000  # that are nobody's, of each provider; of more the oldest go
UNMATCHED_FOR = timedelta(days=7)
_FEWEST_MATCHED = 4  # of each id, however many ids an answer gives


@dataclass(kw_only=True)
class _Hearing:
    """An attempt while its receipts of one transaction are heard: read once, written once."""

    attempt_id: str
    message_id: str
    before: fates.Heard
    heard: fates.Heard
    told: int  # receipts so far, those included that are not kept
    new: int = 0
    cause: ports.Receipt | None = None  # the one that changed its verdict

    def hear(self, receipt: ports.Receipt) -> bool:
        """Whether it changed anything."""
        after = fates.hear(self.heard, receipt.provider_id, receipt.state)
        if self.cause is None or after.verdict is not self.heard.verdict:
            self.cause = receipt
        changed = after != self.heard
        self.heard = after
        return changed


def receive(
    raw: sqlite3.Connection, *, keys: rows.Keys, now: datetime, several: Sequence[receipt_rows.Reported]
) -> list[ports.Received]:
    """Keep each once, and settle what they are about."""
    stored = [replace(one, receipts=tuple(map(receipt_rows.storable, one.receipts))) for one in several]
    awaited = expected.find(raw, stored)
    settled = expected.settle(raw, keys=keys, now=now, found=awaited)
    received = []
    for one in stored:
        names = [(one.provider, receipt.provider_id) for receipt in one.receipts]
        rest = [told for told, name in zip(one.receipts, names, strict=True) if name not in awaited]
        more = _receive(raw, keys=keys, now=now, provider=one.provider, receipts=rest) if rest else ports.Received()
        here = tuple(settled[name] for name in names if name in settled)
        received.append(replace(more, new=more.new + len(here), settled=here + more.settled))
    return received


def _receive(
    raw: sqlite3.Connection, *, keys: rows.Keys, now: datetime, provider: str, receipts: Sequence[ports.Receipt]
) -> ports.Received:
    """Those of which more is known, or nothing."""
    new = unmatched = contradictory = 0
    hearings: dict[str, _Hearing] = {}
    for receipt in receipts:
        facts = receipt_rows.facts(now, provider, receipt)
        attempt_id, contradicts = _whose(raw, facts)
        contradictory += contradicts
        if attempt_id is None:
            kept = _lay_by(raw, keys, receipt, facts)
            unmatched += kept
        else:
            if attempt_id not in hearings:
                hearings[attempt_id] = _hearing(raw, attempt_id)
            kept = _keep(raw, keys, receipt, facts, hearings[attempt_id])
        new += kept
    if contradictory:
        log.warning(
            "receipts count for nobody, whose ref is one message's and whose id is another's",
            provider=provider,
            count=contradictory,
        )
    for hearing in hearings.values():
        _write(raw, hearing)
    settled = [found for hearing in hearings.values() if (found := _settled(raw, hearing)) is not None]
    if unmatched:
        _bound(raw, provider)
    return ports.Received(new=new, known=len(receipts) - new, unmatched=unmatched, settled=tuple(settled))


def _whose(raw: sqlite3.Connection, facts: dict[str, Any]) -> tuple[str | None, bool]:
    """The attempt that a receipt is about, and whether nobody's, as its ref and its id are of different messages.

    Our own ref goes before the provider's id, which may come again after a while; then the ref's attempt has given it
    too, or its answer is still to come, which finds the receipt by the id.
    """
    by_ref = raw.execute(SQL["attempt_by_ref"], facts).fetchone() if facts["ref"] else None
    if by_ref is not None and by_ref["gave"]:
        return by_ref["id"], False
    by_id = raw.execute(SQL["attempt_by_id"], facts).fetchone() if facts["provider_id"] else None
    if by_ref is None or by_id is None:
        found = by_ref or by_id
        return (None if found is None else found["id"]), False
    contradicts = by_ref["message_id"] != by_id["message_id"]
    return (None if contradicts else by_ref["id"]), contradicts


def _lay_by(raw: sqlite3.Connection, keys: rows.Keys, receipt: ports.Receipt, facts: dict[str, Any]) -> bool:
    """Keep one that is nobody's so far; whether it was new.

    Of too many that name one id, the oldest makes room for a last word, and any other is not kept.
    """
    facts = facts | {"attempt_id": None, "fingerprint": receipt_rows.fingerprint(keys, facts)}
    if raw.execute(SQL["came_again"], facts).rowcount == 1:
        return False
    ends = raw.execute(SQL["laid_by"], facts).fetchone()
    last = ends["last"] or 0
    if ends["last"] is not None and last - ends["first"] + 1 >= MOST_OF_ID:
        if receipt.state not in receipt_rows.FINAL:
            return False
        raw.execute(SQL["drop_oldest"], facts)
        _count(raw, facts["provider"], -1)
    raw.execute(SQL["add_receipt"], facts | {"n": last + 1})
    _count(raw, facts["provider"], 1)
    return True


def _keep(
    raw: sqlite3.Connection, keys: rows.Keys, receipt: ports.Receipt, facts: dict[str, Any], hearing: _Hearing
) -> bool:
    """Hear one of an attempt; whether it is new and kept. Where there are too many, one that changes something is.

    Ids come again, and the next attempt may end in the same words: those are others'.
    """
    whose = hearing.attempt_id
    facts = facts | {"attempt_id": whose, "n": 0, "fingerprint": receipt_rows.fingerprint(keys, facts, whose)}
    if raw.execute(SQL["repeated"], facts | {"early": receipt_rows.fingerprint(keys, facts)}).rowcount:
        hearing.hear(receipt)  # where segments share an id, it is of another one
        return False
    hearing.new += 1
    changed, final = hearing.hear(receipt), receipt.state in receipt_rows.FINAL
    if hearing.told + hearing.new > MOST_KEPT // (1 if final else 2) and not (changed and final):
        return False
    raw.execute(SQL["add_receipt"], facts)
    return True


def _hearing(raw: sqlite3.Connection, attempt_id: str) -> _Hearing:
    attempt = raw.execute(SQL["hearing"], {"attempt_id": attempt_id}).fetchone()
    segments = raw.execute(SQL["segments"], {"attempt_id": attempt_id}).fetchall()
    heard = fates.named([row["provider_id"] for row in segments], attempt["outcome"] or "")
    missing = Counter(heard.missing)
    missing.subtract(row["provider_id"] for row in segments if row["delivered"])
    verdict = None if attempt["verdict"] is None else Status(attempt["verdict"])
    heard = replace(heard, missing=missing, verdict=verdict)
    return _Hearing(
        attempt_id=attempt_id, message_id=attempt["message_id"], before=heard, heard=heard, told=attempt["receipts"]
    )


def _write(raw: sqlite3.Connection, hearing: _Hearing) -> None:
    facts = {"attempt_id": hearing.attempt_id}
    if hearing.new:
        raw.execute(SQL["count_receipts"], facts | {"more": hearing.new})
        if hearing.told <= MOST_KEPT < hearing.told + hearing.new:
            log.warning("no more receipts of this message are kept, but for last words", message=hearing.message_id)
    if hearing.heard.verdict is not hearing.before.verdict:
        raw.execute(SQL["set_verdict"], facts | {"verdict": _word(hearing.heard.verdict)})
    for name, left in hearing.heard.missing.items():
        if count := hearing.before.missing[name] - left:
            raw.execute(SQL["set_delivered"], facts | {"provider_id": name, "count": count})


def _settled(raw: sqlite3.Connection, hearing: _Hearing) -> ports.Settled | None:
    before = settle(raw, hearing.message_id)
    if before is None or hearing.cause is None:
        return None
    changed = raw.execute(SQL["one"], {"message_id": hearing.message_id}).fetchone()
    return ports.Settled(message=rows.to_message(changed), before=before, receipt=hearing.cause)


def _word(verdict: Status | None) -> str | None:
    return None if verdict is None else str(verdict)


def match(
    raw: sqlite3.Connection, *, now: datetime, attempt_id: str, provider: str, provider_ids: Collection[str]
) -> None:
    """Take receipts that came before the answer did, last words first where there are too many.

    Older ones are of a message that had the same id before.
    """
    found = 0
    for name in provider_ids:
        most = max(MOST_KEPT // len(provider_ids), _FEWEST_MATCHED)
        facts = {
            "attempt_id": attempt_id,
            "provider": provider,
            "provider_id": name,
            "most": most,
            "now": rows.to_ms(now),
        }
        found += raw.execute(SQL["match_receipts"], facts).rowcount
    if found:
        _count(raw, provider, -found)
        raw.execute(SQL["count_receipts"], {"attempt_id": attempt_id, "more": found})


def weigh(raw: sqlite3.Connection, attempt_id: str, *, answered: bool = False) -> None:
    """Hear all the receipts of an attempt again, as an answer says what their ids stand for. A last word stays.

    `answered`: just now, so that what was heard before was heard without knowing what they are about.
    """
    facts = {"attempt_id": attempt_id}
    told = raw.execute(SQL["told"], facts).fetchall()
    if not told:
        return
    hearing = _hearing(raw, attempt_id)
    verdict, heard = hearing.heard.verdict, hearing.heard
    if verdict in receipt_rows.FINAL and not answered:
        return
    names = [row["provider_id"] for row in raw.execute(SQL["segments"], facts)]
    heard = replace(heard, missing=Counter(names), verdict=verdict if heard.refused and not answered else None)
    hearing.before = replace(heard, verdict=verdict)
    for row in told:
        for _ in range(min(row["times"], max(len(names), 1))):
            heard = fates.hear(heard, row["provider_id"], Status(row["state"]))
    hearing.heard = heard
    raw.execute(SQL["none_delivered"], facts)
    _write(raw, hearing)


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
    facts = {"before": rows.to_ms(now - UNMATCHED_FOR), "most": most}
    gone = Counter(row["provider"] for row in raw.execute(SQL["forget_receipts"], facts).fetchall())
    for provider, count in gone.items():
        _count(raw, provider, -count)
    return gone.total()


def _count(raw: sqlite3.Connection, provider: str, more: int) -> None:
    raw.execute(SQL["count_unmatched"], {"provider": provider, "more": more})


def _bound(raw: sqlite3.Connection, provider: str) -> None:
    """One provider pushes out its own only. A few at a time, where an earlier version kept more."""
    over = raw.execute(SQL["unmatched"], {"provider": provider}).fetchone()["n"] - MOST_UNMATCHED
    if over > 0:
        facts = {"provider": provider, "most": min(over, 2 * CHUNK)}
        _count(raw, provider, -raw.execute(SQL["drop_receipts"], facts).rowcount)


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


def awaited(
    raw: sqlite3.Connection, *, now: datetime, provider: str, most: int, after: ports.Awaited | None
) -> tuple[ports.Awaited, ...]:
    """Those whose last word is still to come, of segments those that were not delivered."""
    facts = {"provider": provider, "now": rows.to_ms(now), "most": most}
    facts |= {
        "until": rows.to_ms(after.until) if after is not None else 0,
        "after": after.ref if after is not None else "",
    }
    return tuple(
        ports.Awaited(
            ref=row["id"],
            provider_ids=tuple(dict.fromkeys(json.loads(row["provider_ids"]))),
            since=rows.from_ms(row["started_at"]),
            until=rows.from_ms(row["receipt_due_at"]),
            in_doubt=row["status"] != str(Status.ACCEPTED),
        )
        for row in raw.execute(SQL["awaited"], facts)
    )
