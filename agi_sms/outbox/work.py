"""Inside the transactions of delivery: take, begin, finish, and what becomes of leases that ran out."""

import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agi_sms import ids, message, ports
from agi_sms.outbox import many, queries, receipts, rows

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


def take(
    raw: sqlite3.Connection, due: Sequence[sqlite3.Row], now: datetime, run: str, length: timedelta
) -> list[ports.Lease]:
    """Lease messages, but hold those that were claimed too often."""
    until = now + length
    leases = []
    for row in due:
        if row["claims"] >= MOST_CLAIMS:
            _set_status(raw, row["id"], message.Status.HELD, message.Reason.POISON)
            continue
        leases.append(
            ports.Lease(
                message=rows.to_message(row, status=message.Status.SENDING, claims=row["claims"] + 1),
                token=run + secrets.token_hex(8),
                until=until,
                status_before=message.Status(row["status"]),
                last_provider=row["last_provider"] or "",
                last_ended=rows.maybe_at(row["last_ended"]),
                refusals=row["refusals"],
                again=bool(row["again"]),
            )
        )
    told = [{"message_id": one.message.id, "token": one.token, "until": rows.to_ms(until)} for one in leases]
    many.change(raw, SQL["lease"], told)
    return leases


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


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """An attempt that is to be opened."""

    lease: ports.Lease
    provider: str
    cost: message.Cost | None = None
    receipt_due_at: datetime | None = None


def begin(raw: sqlite3.Connection, *, now: datetime, several: Sequence[Beginning]) -> list[str | None]:
    """Open attempts; None where the lease is lost, has run out, or has an attempt under way already."""
    ms = rows.to_ms(now)
    held = [{"message_id": one.lease.message.id, "token": one.lease.token, "now": ms} for one in several]
    free = {(row["id"], row["token"]) for row in many.find(raw, SQL["holds"], held)}
    opened: list[str | None] = []
    facts = []
    for one in several:
        message_id, lease = one.lease.message.id, (one.lease.message.id, one.lease.token)
        if lease not in free:
            opened.append(None)
            continue
        free.remove(lease)
        opened.append(ids.new(now))
        due_at = rows.maybe_ms(one.receipt_due_at)
        facts.append(
            {"attempt_id": opened[-1], "message_id": message_id, "provider": one.provider, "now": ms}
            | {"receipt_due_at": due_at}
            | _money(one.cost)
        )
    many.change(raw, SQL["add_attempt"], facts)
    many.change(raw, SQL["attempted"], facts)
    return opened


def _money(cost: message.Cost | None) -> dict[str, Any]:
    return {"cost": None if cost is None else cost.micros, "currency": None if cost is None else cost.currency}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What came of an attempt, and what its message is to become."""

    lease: ports.Lease
    attempt_id: str
    outcome: message.Outcome
    decision: ports.Decision
    receipt_due_at: datetime | None = None
    cost: message.Cost | None = None

    @property
    def accepted(self) -> bool:
        """Nothing but that."""
        return isinstance(self.outcome, message.Accepted) and self.decision == _ACCEPTED

    @property
    def names(self) -> list[str]:
        """The provider's names for the segments."""
        if not isinstance(self.outcome, message.Accepted | message.Uncertain):
            return []
        return [rows.storable(name) for name in self.outcome.ids if name]


_ACCEPTED = ports.Decision(status=message.Status.ACCEPTED)


def finish(raw: sqlite3.Connection, *, now: datetime, several: Sequence[Ending]) -> list[message.Status | None]:
    """Close attempts and their leases together, or end the doubt about attempts that were closed in doubt.

    What each message is now; None, and no change, where the attempt has another end, or the lease is not ours any more.
    """
    plain = _plain(raw, several)
    facts = [_facts(now, one) for one, _ in plain.values()]
    many.change(raw, SQL["close_attempt"], facts)
    many.change(raw, SQL["end_lease"], facts)
    many.change(raw, SQL["add_submission"], [name for _, names in plain.values() for name in names])
    return [
        message.Status.ACCEPTED if plain.get(one.attempt_id, (None,))[0] is one else _finish(raw, now, one)
        for one in several
    ]


def _facts(now: datetime, ending: Ending) -> dict[str, Any]:
    """What is written of it, in its attempt and in its message."""
    lease, outcome = ending.lease, ending.outcome
    return {
        "attempt_id": ending.attempt_id,
        "message_id": lease.message.id,
        "token": lease.token,
        "now": rows.to_ms(now),
        "outcome": message.OUTCOMES[type(outcome)],
        "code": rows.storable(outcome.code),
        "detail": rows.storable(outcome.detail),
        **_money(ending.cost),
        **_decided(now, ending.decision, ending.receipt_due_at),
    }


def _plain(raw: sqlite3.Connection, several: Sequence[Ending]) -> dict[str, tuple[Ending, list[dict[str, Any]]]]:
    """The first attempts of their messages, accepted, of which no receipt has told anything, and their submissions.

    That is nearly all of them, and nothing has to be weighed.
    """
    first: dict[str, Ending] = {}
    for one in several:
        if one.accepted:
            first.setdefault(one.attempt_id, one)
    told = [
        {"attempt_id": one.attempt_id, "message_id": one.lease.message.id, "token": one.lease.token}
        for one in first.values()
    ]
    found = {}
    for row in many.find(raw, SQL["plain"], told):
        one = first[row["id"]]
        found[one.attempt_id] = one, _submissions(one, row["provider"])
    for row in many.find(raw, SQL["laid"], [name for _, names in found.values() for name in names]):
        found.pop(row["attempt_id"], None)
    return found


def _submissions(ending: Ending, provider: str) -> list[dict[str, Any]]:
    return [
        {"attempt_id": ending.attempt_id, "segment": segment, "provider": provider, "provider_id": name}
        for segment, name in enumerate(ending.names, start=1)
    ]


def _finish(raw: sqlite3.Connection, now: datetime, ending: Ending) -> message.Status | None:
    """One of which more is known."""
    facts, message_id, attempt_id = _facts(now, ending), ending.lease.message.id, ending.attempt_id
    attempt = raw.execute(SQL["attempt"], facts).fetchone()
    if attempt is None or attempt["message_id"] != message_id:
        return None
    late = attempt["outcome"] == _DOUBT
    if not late and (attempt["outcome"] or not _end_lease(raw, facts)):
        return None
    raw.execute(SQL["amend_attempt" if late else "close_attempt"], facts)
    if isinstance(ending.outcome, message.Accepted | message.Uncertain):
        _name(raw, now, ending, attempt["provider"])
    receipts.weigh(raw, attempt_id, answered=not late)  # some come before the answer
    settled = receipts.settle(raw, message_id)
    if late and settled is not None:
        raw.execute(SQL["expect_receipt"], facts)
    elif late and receipts.cleared(raw, message_id, attempt["n"]):
        raw.execute(SQL["decide"], facts | {"receipt_due_at": None})
    return message.Status(raw.execute(SQL["status"], facts).fetchone()["status"])


def _name(raw: sqlite3.Connection, now: datetime, ending: Ending, provider: str) -> None:
    """Keep the provider's names for segments, and take the receipts that came before."""
    many.change(raw, SQL["add_submission"], _submissions(ending, provider))
    names = set(ending.names)
    receipts.match(raw, now=now, attempt_id=ending.attempt_id, provider=provider, provider_ids=names)


def settle(raw: sqlite3.Connection, *, now: datetime, lease: ports.Lease, decision: ports.Decision) -> bool:
    """End a lease that led to no attempt; False where it is lost or has an attempt under way."""
    if raw.execute(SQL["any_open_attempt"], {"message_id": lease.message.id}).fetchone() is not None:
        return False
    facts = {"message_id": lease.message.id, "token": lease.token}
    return _end_lease(raw, facts | _decided(now, decision))


def _end_lease(raw: sqlite3.Connection, facts: dict[str, Any]) -> bool:
    return many.change(raw, SQL["end_lease"], [facts]) == 1


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
