"""Between rows and values: times are integers of milliseconds in UTC, hashes are keyed."""

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from agi_sms import call, message, ports

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def to_ms(at: datetime) -> int:
    """Milliseconds since 1970, rounded down; TypeError where the time has no zone."""
    return (at - _EPOCH) // _MS


def span_ms(span: timedelta) -> int:
    return span // _MS


def from_ms(ms: int) -> datetime:
    return _EPOCH + ms * _MS


def maybe_ms(at: datetime | None) -> int | None:
    return None if at is None else to_ms(at)


def maybe_at(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)


def whole(text: str) -> str:
    """The text without lone surrogates, which UTF-8 cannot hold: a result must never be refused."""
    return text.encode("utf-8", "replace").decode("utf-8")


def storable(text: str, most: int = message.LONGEST_DETAIL) -> str:
    """The same, at most so many characters of it."""
    return whole(text)[:most]


class Keys:
    """Keyed hashes of who was called and in which call; without the database's secret they tell nothing."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def _hash(self, purpose: bytes, *parts: str) -> bytes:
        digest = hashlib.blake2b(key=self._secret, digest_size=16, person=purpose)
        for part in parts:
            raw = part.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(4, "big") + raw)
        return digest.digest()

    def once(self, call_key: str, node: str, recipient: str) -> bytes:
        return self._hash(b"once", call_key, node, recipient)

    def recipient(self, recipient: str) -> bytes:
        return self._hash(b"recipient", recipient)

    def receipt(self, *words: str) -> bytes:
        return self._hash(b"receipt", *words)


def from_activation(activation: ports.Activation) -> dict[str, Any]:
    visit, facts = activation.visit, activation.visit.call
    return {
        "id": activation.id,
        "pbx": facts.pbx,
        "visit": visit.id,
        "entry": str(visit.entry),
        "node": visit.node,
        "node_revision": activation.node_revision,
        "call_key": facts.key,
        "call_id": facts.call_id,
        "channel_id": facts.channel_id,
        "linkedid": facts.linkedid,
        "caller": facts.caller,
        "presentation": facts.presentation,
        "caller_name": facts.caller_name,
        "dialled": facts.dialled,
        "diverted_from": facts.diverted_from,
        "trunk": facts.trunk,
        "vars": json.dumps(dict(facts.variables)),
        "recipients": visit.recipients,
        "sender": visit.sender,
        "delay": visit.delay,
        "arrived_at": to_ms(visit.arrived_at),
    }


def to_visit(row: sqlite3.Row | Mapping[str, Any]) -> call.Visit:
    return call.Visit(
        id=row["visit"],
        node=row["node"],
        call=call.Call(
            pbx=row["pbx"],
            key=row["call_key"],
            call_id=row["call_id"],
            channel_id=row["channel_id"],
            linkedid=row["linkedid"],
            caller=row["caller"],
            presentation=row["presentation"],
            caller_name=row["caller_name"],
            dialled=row["dialled"],
            diverted_from=row["diverted_from"],
            trunk=row["trunk"],
            variables=json.loads(row["vars"]),
        ),
        entry=call.Entry(row["entry"]),
        arrived_at=from_ms(row["arrived_at"]),
        recipients=row["recipients"],
        sender=row["sender"],
        delay=row["delay"],
    )


def to_reason(word: str | None) -> message.Reason | None:
    return None if word is None else message.Reason(word)


def to_message(row: sqlite3.Row | Mapping[str, Any], **changed: Any) -> message.Message:
    values = {
        "id": row["id"],
        "activation_id": row["activation_id"],
        "node": row["node"],
        "call_id": row["call_id"],
        "recipient": row["recipient"],
        "source": message.Source(row["source"]),
        "status": message.Status(row["status"]),
        "reason": to_reason(row["reason"]),
        "sender": row["sender"],
        "text": row["text"],
        "encoding": message.Encoding(row["encoding"]),
        "segments": row["segments"],
        "route": tuple(json.loads(row["route"])),
        "created_at": from_ms(row["created_at"]),
        "due_at": maybe_at(row["due_at"]),
        "expires_at": from_ms(row["expires_at"]),
        "claims": row["claims"],
        "attempts": row["attempts"],
        "provider": row["provider"],
        "receipt_due_at": maybe_at(row["receipt_due_at"]),
        "fallback": bool(row["fallback"]),
        "costs": _costs(json.loads(row["costs"])),
        "maybe_taken": bool(row["maybe_taken"]),
        "first_due_at": from_ms(row["first_due_at"]),
    }
    return message.Message(**(values | changed))


def _costs(taken: list[tuple[str, int]]) -> tuple[message.Cost, ...]:
    """Of each currency one."""
    sums: dict[str, int] = {}
    for currency, micros in taken:
        sums[currency] = sums.get(currency, 0) + micros
    return tuple(message.Cost(micros=micros, currency=currency) for currency, micros in sums.items())
