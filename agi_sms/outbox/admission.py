"""Inside the transaction of an admission: is the visit new, who had an SMS in this call, who too many."""

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from agi_sms import call, ids, message, node, ports
from agi_sms.outbox import queries, rows

SQL = queries.load("sqlite")
SLICES = 200  # of a limit's window
_TO_BE_SENT = (message.Status.SCHEDULED, message.Status.WAITING)


def admit(
    raw: sqlite3.Connection,
    *,
    keys: rows.Keys,
    now: datetime,
    activation: ports.Activation,
    drafts: Sequence[message.Draft],
    limits: Sequence[node.Limit],
) -> ports.Admission:
    """Store one activation with its messages, or tell what was stored when this visit came before."""
    before = raw.execute(SQL["visit"], {"pbx": activation.visit.call.pbx, "visit": activation.visit.id}).fetchone()
    if before is not None:
        return _earlier(raw, before["id"])
    raw.execute(SQL["add_activation"], rows.from_activation(activation))
    admitted = tuple(
        add(
            raw,
            keys=keys,
            now=now,
            activation_id=activation.id,
            visit=activation.visit,
            draft=draft,
            limits=limits,
        )
        for draft in drafts
    )
    if activation.fetch_at is not None and any(one.status is message.Status.WAITING for one in admitted):
        at = {"activation_id": activation.id, "node": activation.visit.node, "at": rows.to_ms(activation.fetch_at)}
        raw.execute(SQL["add_job"], at)
    return ports.Admission(activation_id=activation.id, new=True, messages=admitted)


def _earlier(raw: sqlite3.Connection, activation_id: str) -> ports.Admission:
    """The answer of then, not the state of now: the dialplan is told the same both times."""
    stored = raw.execute(SQL["admitted"], {"activation_id": activation_id})
    return ports.Admission(
        activation_id=activation_id,
        new=False,
        messages=tuple(
            ports.Admitted(
                message_id=row["id"],
                recipient=row["recipient"],
                status=message.Status(row["admitted_status"]),
                reason=rows.to_reason(row["admitted_reason"]),
                due_at=rows.from_ms(row["due_at"]),
            )
            for row in stored
        ),
    )


def add(
    raw: sqlite3.Connection,
    *,
    keys: rows.Keys,
    now: datetime,
    activation_id: str,
    visit: call.Visit,
    draft: message.Draft,
    limits: Sequence[node.Limit],
    place: str | None = None,
) -> ports.Admitted:
    """Store one message of an activation, or why it is not to be sent: a duplicate in the call, or over a limit.

    `place` is the id of a message that waited for a recipient, which this one becomes.
    """
    recipient_hash = keys.recipient(draft.recipient)
    status, reason, once_key = draft.status, draft.reason, None
    if status in _TO_BE_SENT or status is message.Status.HELD:  # a person may have what is held sent
        if draft.once:
            once_key = keys.once(visit.call.key, visit.node, draft.recipient)
            # The key stays with a message that was cancelled, expired or failed: a second visit of the same
            # call is no reason to try again, and a person who wants it has `retry`.
            if raw.execute(SQL["once"], {"once_key": once_key}).fetchone():
                status, reason, once_key = message.Status.SKIPPED, message.Reason.DUPLICATE_IN_CALL, None
        if draft.recipient and status in _TO_BE_SENT and not _within(raw, limits, visit.node, recipient_hash, now):
            # Without the key: it was never sent, so a later visit of the call may still get through.
            status, reason, once_key = message.Status.SKIPPED, message.Reason.CAPPED, None
    message_id = place or ids.new(now)
    raw.execute(
        SQL["take_place" if place else "add_message"],
        {
            "id": message_id,
            "activation_id": activation_id,
            "node": visit.node,
            "recipient": draft.recipient,
            "recipient_reversed": draft.recipient[::-1],
            "recipient_hash": recipient_hash,
            "source": str(draft.source),
            "status": str(status),
            "reason": None if reason is None else str(reason),
            "sender": draft.sender,
            "text": draft.text,
            "encoding": str(draft.encoding),
            "segments": draft.segments,
            "route": json.dumps(draft.route),
            "provider": draft.route[0] if draft.route else "",
            "created_at": rows.to_ms(min(now, visit.arrived_at)),
            "due_at": rows.to_ms(draft.due_at),
            "expires_at": rows.to_ms(draft.expires_at),
            "once_key": once_key,
        },
    )
    return ports.Admitted(
        message_id=message_id, recipient=draft.recipient, status=status, reason=reason, due_at=draft.due_at
    )


def _within(
    raw: sqlite3.Connection,
    limits: Sequence[node.Limit],
    node_name: str,
    recipient_hash: bytes,
    now: datetime,
) -> bool:
    """Whether every limit has room, counting one more in each if so.

    A window is the time up to now. What is counted is kept by the slice of time in which it came, so that a limit
    costs at most so many rows, and lets one more through by at most a slice too early.
    """
    places = []
    for limit in limits:
        window = max(rows.span_ms(limit.window), 1)
        size = max(window // SLICES, 1)
        start = rows.to_ms(now) // size * size
        whom = recipient_hash.hex() if limit.per == "recipient" else ""
        places.append({"scope": f"{limit.per}/{window}/{node_name}/{whom}", "window_start": start})
        since = {"since": rows.to_ms(now) - window}
        if raw.execute(SQL["used"], places[-1] | since).fetchone()["used"] >= limit.most:
            return False
        places[-1]["window_end"] = start + window
    unique = {str(place["scope"]): place for place in places}  # two limits over one window count the same messages
    for place in unique.values():
        raw.execute(SQL["use"], place)
    return True
