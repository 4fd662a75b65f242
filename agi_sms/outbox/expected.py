"""Receipts that are the first and last word on a message of which nobody knows more than that it was accepted.

Nearly all are. Nothing has to be weighed for them, so they are kept together by a few statements. Two about one message
are weighed: the first of them counts.
"""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agi_sms import ports
from agi_sms.message import Reason, Status
from agi_sms.outbox import many, queries, receipt_rows, rows

SQL = queries.load("sqlite")
Name = tuple[str, str]  # a provider, and an id of its
By = tuple[str, Sequence[ports.Receipt]]  # who reports, and what


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A receipt that needs no weighing, and whose it is."""

    provider: str
    receipt: ports.Receipt
    attempt_id: str
    message_id: str


def find(raw: sqlite3.Connection, several: Sequence[By]) -> dict[Name, Expected]:
    """Those that need no weighing, by provider and id."""
    told: dict[Name, ports.Receipt] = {}
    times: Counter[Name] = Counter()
    refs: Counter[str] = Counter()
    for provider, receipts in several:
        for receipt in receipts:
            name = provider, receipt.provider_id
            times[name] += 1
            refs[receipt.ref] += 1
            told[name] = receipt
    asked = [
        {"provider": name[0], "provider_id": name[1]}
        for name, receipt in told.items()
        if times[name] == 1 and receipt.provider_id and receipt.state in receipt_rows.FINAL
    ]
    found: dict[Name, Expected] = {}
    for row in many.find(raw, SQL["awaits"], asked):
        name = row["provider"], row["provider_id"]
        receipt = told[name]
        others = refs[row["message_id"]] - (receipt.ref == row["message_id"])
        if receipt.ref in ("", row["message_id"]) and not others:
            found[name] = Expected(
                provider=name[0], receipt=receipt, attempt_id=row["attempt_id"], message_id=row["message_id"]
            )
    return found


def settle(
    raw: sqlite3.Connection, *, keys: rows.Keys, now: datetime, found: Mapping[Name, Expected]
) -> dict[Name, ports.Settled]:
    """Keep them, and what they make of their messages."""
    kept: list[dict[str, Any]] = []
    heard: list[dict[str, Any]] = []
    for one in found.values():
        facts = {"provider": one.provider, "provider_id": one.receipt.provider_id, "ref": one.receipt.ref}
        fingerprint = keys.receipt(*receipt_rows.words(one.receipt, facts), one.attempt_id)
        kept.append(
            facts | receipt_rows.kept(now, one.receipt, attempt_id=one.attempt_id, n=0, fingerprint=fingerprint)
        )
        word = str(one.receipt.state)
        reason = str(Reason.UNDELIVERED) if one.receipt.state is Status.FAILED else None
        whose = {"attempt_id": one.attempt_id, "message_id": one.message_id}
        heard.append(whose | {"verdict": word, "status": word, "reason": reason})
    many.change(raw, SQL["add_receipt"], kept)
    many.change(raw, SQL["heard"], heard)
    many.change(raw, SQL["settle_heard"], heard)
    changed = {row["id"]: rows.to_message(row) for row in many.find(raw, SQL["these"], heard)}
    return {
        name: ports.Settled(message=changed[one.message_id], before=Status.ACCEPTED, receipt=one.receipt)
        for name, one in found.items()
    }
