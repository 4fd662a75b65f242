"""Inside the transaction of admissions: which visits are new, who had an SMS in this call, who too many.

For all of them together: what is to be known is read at once, decided one by one in their order, and written at once.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agi_sms import call, ids, message, node, ports
from agi_sms.outbox import many, queries, rows

SQL = queries.load("sqlite")
SLICES = 200  # of a limit's window
_TO_BE_SENT = (message.Status.SCHEDULED, message.Status.WAITING)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A visit that is to be stored with its messages."""

    activation: ports.Activation
    drafts: Sequence[message.Draft]
    limits: Sequence[node.Limit] = ()

    @property
    def visit(self) -> tuple[str, str]:
        return self.activation.visit.call.pbx, self.activation.visit.id


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a limit counts: a slice of time, and the window that ends with it."""

    scope: str
    most: int
    since: int
    window_start: int
    window_end: int

    def facts(self) -> dict[str, Any]:
        return {
            "scope": self.scope,
            "since": self.since,
            "window_start": self.window_start,
            "window_end": self.window_end,
        }


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A message that is to be stored; `once_key` and `places` where it may be a duplicate, or one too many."""

    id: str
    activation_id: str
    visit: call.Visit
    draft: message.Draft
    recipient_hash: bytes
    once_key: bytes | None
    places: Sequence[_Place]


def admit(
    raw: sqlite3.Connection, *, keys: rows.Keys, now: datetime, wanted: Sequence[Wanted]
) -> list[ports.Admission]:
    """Store activations with their messages, or tell what was stored when a visit came before."""
    known = {(row["pbx"], row["visit"]): row["id"] for row in many.find(raw, SQL["visits"], _visits(wanted))}
    fresh: dict[tuple[str, str], Wanted] = {}
    for one in wanted:
        if one.visit not in known:
            fresh.setdefault(one.visit, one)
    entries = {
        visit: [_entry(keys, now, one.activation.id, one.activation.visit, draft, one.limits) for draft in one.drafts]
        for visit, one in fresh.items()
    }
    ledger = _Ledger.read(raw, [entry for several in entries.values() for entry in several])
    told: dict[tuple[str, str], tuple[ports.Admitted, ...]] = {}
    messages, jobs = [], []
    for visit, one in fresh.items():
        judged = [(entry, ledger.judge(entry)) for entry in entries[visit]]
        messages += [_facts(entry, now, what) for entry, what in judged]
        told[visit] = tuple(_admitted(entry, what) for entry, what in judged)
        if one.activation.fetch_at is not None and any(m.status is message.Status.WAITING for m in told[visit]):
            jobs.append(_job(one.activation, one.activation.fetch_at))
    many.change(raw, SQL["add_activation"], [rows.from_activation(one.activation) for one in fresh.values()])
    many.change(raw, SQL["add_message"], messages)
    many.change(raw, SQL["add_job"], jobs)
    ledger.write(raw)
    return [
        ports.Admission(activation_id=one.activation.id, new=True, messages=told[one.visit])
        if fresh.get(one.visit) is one
        else _earlier(raw, known.get(one.visit) or fresh[one.visit].activation.id)
        for one in wanted
    ]


def _visits(wanted: Iterable[Wanted]) -> list[dict[str, str]]:
    return [{"pbx": pbx, "visit": visit} for pbx, visit in dict.fromkeys(one.visit for one in wanted)]


def _job(activation: ports.Activation, at: datetime) -> dict[str, Any]:
    return {"activation_id": activation.id, "node": activation.visit.node, "at": rows.to_ms(at)}


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
    drafts: Sequence[message.Draft],
    limits: Sequence[node.Limit],
    place: str | None = None,
) -> None:
    """Store more messages of an activation, or why they are not to be sent: duplicates in the call, or over a limit.

    `place` is the id of a message that waited for a recipient, which the first of them becomes.
    """
    entries = [_entry(keys, now, activation_id, visit, draft, limits) for draft in drafts]
    ledger = _Ledger.read(raw, entries)
    messages = [_facts(entry, now, ledger.judge(entry)) for entry in entries]
    if place is not None and messages:
        raw.execute(SQL["take_place"], messages.pop(0) | {"id": place})
    many.change(raw, SQL["add_message"], messages)
    ledger.write(raw)


# --- duplicates and limits ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """What a message is, once the others are known."""

    status: message.Status
    reason: message.Reason | None
    once_key: bytes | None


@dataclass(kw_only=True)
class _Ledger:
    """Which messages there are, once for each call and recipient, and how many count against which limit."""

    taken: set[bytes]
    used: dict[str, int]
    new: dict[str, tuple[_Place, int]] = field(default_factory=dict)

    @classmethod
    def read(cls, raw: sqlite3.Connection, entries: Iterable[_Entry]) -> "_Ledger":
        """What is needed to judge these."""
        keys: dict[bytes, dict[str, Any]] = {}
        places: dict[str, dict[str, Any]] = {}
        for entry in entries:
            if entry.once_key is not None:
                keys[entry.once_key] = {"once_key": entry.once_key}
            places |= {place.scope: place.facts() for place in entry.places}
        return cls(
            taken={row["once_key"] for row in many.find(raw, SQL["once"], list(keys.values()))},
            used={row["scope"]: row["used"] for row in many.find(raw, SQL["used"], list(places.values()))},
        )

    def judge(self, entry: _Entry) -> _Judged:
        """One after the other, each counting for those behind it."""
        status, reason, once_key = entry.draft.status, entry.draft.reason, entry.once_key
        if once_key is not None and once_key in self.taken:
            # The key stays with a message that was cancelled, expired or failed: a second visit of the same
            # call is no reason to try again, and a person who wants it has `retry`.
            return _Judged(status=message.Status.SKIPPED, reason=message.Reason.DUPLICATE_IN_CALL, once_key=None)
        if not self._within(entry.places):
            # Without the key: it was never sent, so a later visit of the call may still get through.
            return _Judged(status=message.Status.SKIPPED, reason=message.Reason.CAPPED, once_key=None)
        if once_key is not None:
            self.taken.add(once_key)
        return _Judged(status=status, reason=reason, once_key=once_key)

    def _within(self, places: Sequence[_Place]) -> bool:
        """Whether every limit has room, counting one more in each if so."""
        if any(self.used.get(place.scope, 0) >= place.most for place in places):
            return False
        for place in {place.scope: place for place in places}.values():  # two over one window count the same messages
            self.used[place.scope] = self.used.get(place.scope, 0) + 1
            self.new[place.scope] = place, self.new.get(place.scope, (place, 0))[1] + 1
        return True

    def write(self, raw: sqlite3.Connection) -> None:
        """Keep what has been counted."""
        counted = [place.facts() | {"more": n} for place, n in self.new.values()]
        many.change(raw, SQL["use"], counted)


def _entry(
    keys: rows.Keys,
    now: datetime,
    activation_id: str,
    visit: call.Visit,
    draft: message.Draft,
    limits: Sequence[node.Limit],
) -> _Entry:
    recipient_hash, once_key = keys.recipient(draft.recipient), None
    to_be_sent = draft.status in _TO_BE_SENT
    if draft.once and (to_be_sent or draft.status is message.Status.HELD):  # a person may have what is held sent
        once_key = keys.once(visit.call.key, visit.node, draft.recipient)
    places: Sequence[_Place] = ()
    if limits and to_be_sent and draft.recipient:
        places = [_place(limit, visit.node, recipient_hash, rows.to_ms(now)) for limit in limits]
    return _Entry(
        id=ids.new(now),
        activation_id=activation_id,
        visit=visit,
        draft=draft,
        recipient_hash=recipient_hash,
        once_key=once_key,
        places=places,
    )


def _place(limit: node.Limit, node_name: str, recipient_hash: bytes, now: int) -> _Place:
    """A window is the time up to now.

    What is counted is kept by the slice of time in which it came, so that a limit costs at most so many rows, and lets
    one more through by at most a slice too early.
    """
    window = max(rows.span_ms(limit.window), 1)
    size = max(window // SLICES, 1)
    start = now // size * size
    whom = recipient_hash.hex() if limit.per == "recipient" else ""
    return _Place(
        scope=f"{limit.per}/{window}/{node_name}/{whom}",
        most=limit.most,
        since=now - window,
        window_start=start,
        window_end=start + window,
    )


# --- rows -----------------------------------------------------------------------------------------------------


def _facts(entry: _Entry, now: datetime, judged: _Judged) -> dict[str, Any]:
    draft = entry.draft
    return {
        "id": entry.id,
        "activation_id": entry.activation_id,
        "node": entry.visit.node,
        "recipient": draft.recipient,
        "recipient_reversed": draft.recipient[::-1],
        "recipient_hash": entry.recipient_hash,
        "source": str(draft.source),
        "status": str(judged.status),
        "reason": None if judged.reason is None else str(judged.reason),
        "sender": draft.sender,
        "text": draft.text,
        "encoding": str(draft.encoding),
        "segments": draft.segments,
        "route": json.dumps(draft.route),
        "provider": draft.route[0] if draft.route else "",
        "created_at": rows.to_ms(min(now, entry.visit.arrived_at)),
        "due_at": rows.to_ms(draft.due_at),
        "expires_at": rows.to_ms(draft.expires_at),
        "once_key": judged.once_key,
    }


def _admitted(entry: _Entry, judged: _Judged) -> ports.Admitted:
    return ports.Admitted(
        message_id=entry.id,
        recipient=entry.draft.recipient,
        status=judged.status,
        reason=judged.reason,
        due_at=entry.draft.due_at,
    )
