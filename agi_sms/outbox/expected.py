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


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A receipt that needs no weighing, and whose it is."""

    provider: str
    receipt: ports.Receipt
    attempt_id: str
    message_id: str


def find(raw: sqlite3.Connection, several: Sequence[receipt_rows.Reported]) -> dict[Name, Expected]:
    """Those that need no weighing, by provider and id."""
    told: dict[Name, ports.Receipt] = {}
    times: Counter[Name] = Counter()
    refs: Counter[str] = Counter()
    for one in several:
        for receipt in one.receipts:
            name = one.provider, receipt.provider_id
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
    told: list[dict[str, Any]] = []
    for one in found.values():
        facts = receipt_rows.facts(now, one.provider, one.receipt)
        whose = {"attempt_id": one.attempt_id, "message_id": one.message_id, "n": 0, "more": 1}
        fingerprint = receipt_rows.fingerprint(keys, facts, one.attempt_id)
        reason = str(Reason.UNDELIVERED) if one.receipt.state is Status.FAILED else None
        settled = {"verdict": facts["state"], "status": facts["state"], "reason": reason}
        told.append(facts | whose | settled | {"fingerprint": fingerprint})
    for name in ("add_receipt", "set_verdict", "count_receipts", "settle_message"):
        many.change(raw, SQL[name], told)
    changed = {row["id"]: rows.to_message(row) for row in many.find(raw, SQL["one"], told)}
    return {
        name: ports.Settled(message=changed[one.message_id], before=Status.ACCEPTED, receipt=one.receipt)
        for name, one in found.items()
    }
