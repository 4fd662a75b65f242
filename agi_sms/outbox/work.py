"""Inside the transactions of delivery: take, begin, finish, and what becomes of leases that ran out."""

import json
import secrets
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from agi_sms import ids, message, ports
from agi_sms.outbox import queries, receipts, rows

SQL = queries.load("sqlite")
MOST_CLAIMS = 10  # in a row without an attempt or a decision; after that the message is held
CHUNK = 250  # rows in one transaction, so that admissions do not wait
_DOUBT = message.OUTCOMES[message.Uncertain]


def tidy(raw: sqlite3.Connection, now: datetime) -> bool:
    """Give leases back that ran out, expire and forget what is too old; whether there is so much that it goes on."""
    ms = rows.to_ms(now)
    chunk = {"now": ms, "most": CHUNK}
    lapsed = raw.execute(SQL["lapsed"], chunk).fetchall()
    for row in lapsed:
        _void(raw, row, ms)
    expired = raw.execute(SQL["expire"], chunk).rowcount
    forgotten = raw.execute(SQL["forget_counters"], chunk).rowcount
    unclaimed = receipts.forget(raw, now=now, most=CHUNK)
    return CHUNK in (len(lapsed), expired, forgotten, unclaimed)


def take(raw: sqlite3.Connection, row: sqlite3.Row, now: datetime, run: str, length: timedelta) -> ports.Lease | None:
    """Lease one message, or hold it where it was claimed too often."""
    before = message.Status(row["status"])
    if row["claims"] >= MOST_CLAIMS:
        _set_status(raw, row["id"], message.Status.HELD, message.Reason.POISON)
        return None
    token, until = run + secrets.token_hex(8), now + length
    raw.execute(SQL["lease"], {"message_id": row["id"], "token": token, "until": rows.to_ms(until)})
    leased = rows.to_message(row, status=message.Status.SENDING, claims=row["claims"] + 1)
    return ports.Lease(
        message=leased,
        token=token,
        until=until,
        status_before=before,
        last_provider=row["last_provider"] or "",
        last_ended=rows.maybe_at(row["last_ended"]),
        refusals=row["refusals"],
        again=bool(row["again"]),
    )


def recover(raw: sqlite3.Connection, *, now: datetime, run: str) -> ports.Recovery:
    """Void up to CHUNK leases that are not of this run; nothing found where there is none left."""
    rescheduled = uncertain = 0
    found = raw.execute(SQL["of_earlier_run"], {"run": run, "most": CHUNK}).fetchall()
    for row in found:
        if _void(raw, row, rows.to_ms(now)) is message.Status.UNCERTAIN:
            uncertain += 1
        else:
            rescheduled += 1
    return ports.Recovery(rescheduled=rescheduled, uncertain=uncertain)


def _void(raw: sqlite3.Connection, row: sqlite3.Row, now: int) -> message.Status:
    """A worker is gone. With an open attempt nobody knows whether the SMS left; without one it did not."""
    if row["open_attempt"] is None:
        # Back to what it was: an uncertain message that was claimed and never attempted is still uncertain.
        before = message.Status(row["lease_before"])
        _set_status(raw, row["id"], before, None)
        return before
    raw.execute(
        SQL["close_attempt"],
        {
            "attempt_id": row["open_attempt"],
            "message_id": row["id"],
            "now": now,
            "outcome": _DOUBT,
            "code": str(message.Reason.CRASHED),
            "detail": "the gateway ended, or its lease did, before the answer was written down",
            "cost": None,
            "currency": None,
        },
    )
    _set_status(raw, row["id"], message.Status.UNCERTAIN, message.Reason.CRASHED, now)
    receipts.settle(raw, row["id"])
    return message.Status.UNCERTAIN


def _set_status(
    raw: sqlite3.Connection,
    message_id: str,
    status: message.Status,
    reason: message.Reason | None,
    due_at: int | None = None,
) -> None:
    raw.execute(
        SQL["void"],
        {
            "message_id": message_id,
            "status": str(status),
            "reason": None if reason is None else str(reason),
            "due_at": due_at,
        },
    )


def begin(
    raw: sqlite3.Connection,
    *,
    now: datetime,
    lease: ports.Lease,
    provider: str,
    cost: message.Cost | None = None,
    receipt_due_at: datetime | None = None,
) -> str | None:
    """Open an attempt; None where the lease is lost, has run out, or has an attempt under way already."""
    facts = {
        "message_id": lease.message.id,
        "token": lease.token,
        "now": rows.to_ms(now),
        "provider": provider,
    }
    if raw.execute(SQL["holds"], facts).fetchone() is None:
        return None
    attempt_id = ids.new(now)
    raw.execute(SQL["add_attempt"], facts | _money(cost) | {"attempt_id": attempt_id})
    raw.execute(SQL["attempted"], facts | {"receipt_due_at": rows.maybe_ms(receipt_due_at)})
    return attempt_id


def _money(cost: message.Cost | None) -> dict[str, Any]:
    return {"cost": None if cost is None else cost.micros, "currency": None if cost is None else cost.currency}


def finish(
    raw: sqlite3.Connection,
    *,
    now: datetime,
    lease: ports.Lease,
    attempt_id: str,
    outcome: message.Outcome,
    decision: ports.Decision,
    receipt_due_at: datetime | None = None,
    cost: message.Cost | None = None,
) -> message.Status | None:
    """Close the attempt and the lease together, or end the doubt about an attempt that was closed in doubt.

    What the message is now; None, and no change, where the attempt has another end, or the lease is not ours any more.
    """
    facts: dict[str, Any] = {"message_id": lease.message.id, "attempt_id": attempt_id}
    attempt = raw.execute(SQL["attempt"], facts).fetchone()
    if attempt is None or attempt["message_id"] != lease.message.id:
        return None
    late = attempt["outcome"] == _DOUBT
    if not late and (attempt["outcome"] or not _end_lease(raw, now, lease, decision, receipt_due_at)):
        return None
    told = {"code": rows.storable(outcome.code), "detail": rows.storable(outcome.detail)}
    ended = {"now": rows.to_ms(now), "outcome": message.OUTCOMES[type(outcome)]}
    raw.execute(SQL["amend_attempt" if late else "close_attempt"], facts | told | ended | _money(cost))
    if isinstance(outcome, message.Accepted | message.Uncertain):
        _name(raw, now, attempt_id, attempt["provider"], outcome.ids)
    receipts.weigh(raw, attempt_id, answered=not late)  # some come before the answer
    settled = receipts.settle(raw, lease.message.id)
    if late and settled is not None:
        raw.execute(SQL["expect_receipt"], facts | {"receipt_due_at": rows.maybe_ms(receipt_due_at)})
    elif late and receipts.cleared(raw, lease.message.id, attempt["n"]):
        raw.execute(SQL["decide"], facts | _decided(now, decision))
    return message.Status(raw.execute(SQL["status"], facts).fetchone()["status"])


def _name(raw: sqlite3.Connection, now: datetime, attempt_id: str, provider: str, ids: Sequence[str]) -> None:
    """Keep the provider's names for segments, and take the receipts that came before."""
    names = [rows.storable(name) for name in ids if name]
    for segment, name in enumerate(names, start=1):
        submission = {"attempt_id": attempt_id, "segment": segment, "provider": provider, "provider_id": name}
        raw.execute(SQL["add_submission"], submission)
    receipts.match(raw, now=now, attempt_id=attempt_id, provider=provider, provider_ids=set(names))


def settle(raw: sqlite3.Connection, *, now: datetime, lease: ports.Lease, decision: ports.Decision) -> bool:
    """End a lease that led to no attempt; False where it is lost or has an attempt under way."""
    if raw.execute(SQL["any_open_attempt"], {"message_id": lease.message.id}).fetchone() is not None:
        return False
    return _end_lease(raw, now, lease, decision)


def _end_lease(
    raw: sqlite3.Connection,
    now: datetime,
    lease: ports.Lease,
    decision: ports.Decision,
    receipt_due_at: datetime | None = None,
) -> bool:
    facts = {"message_id": lease.message.id, "token": lease.token}
    return raw.execute(SQL["end_lease"], facts | _decided(now, decision, receipt_due_at)).rowcount == 1


def _decided(now: datetime, decision: ports.Decision, receipt_due_at: datetime | None = None) -> dict[str, Any]:
    due_at = rows.maybe_ms(decision.due_at)
    if decision.status is message.Status.SCHEDULED and due_at is None:
        due_at = rows.to_ms(now)
    return {
        "status": str(decision.status),
        "reason": None if decision.reason is None else str(decision.reason),
        "due_at": due_at,
        "route": json.dumps(decision.route) if decision.route else None,
        "provider": decision.provider,
        "receipt_due_at": rows.maybe_ms(receipt_due_at),
    }
