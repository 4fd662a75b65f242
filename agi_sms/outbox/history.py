"""What was, and what a person decides about it: history, one message's story, cancel and retry."""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, tzinfo
from typing import Any

from agi_sms import ids, message, ports
from agi_sms.outbox import content, queries, receipts, rows
from agi_sms.rates import Rate

SQL = queries.load("sqlite")
SHORTEST_END = 3  # digits of a number's end
_QUARTER = 900_000  # milliseconds
_SUMS = ("messages", "segments", "cost", "doubted", "cost_doubted")
_SPACERS = str.maketrans("", "", " -./()")


def _conditions(query: ports.Query) -> tuple[str, dict[str, Any]]:
    """The WHERE clause of a query, and its values."""
    names: list[str] = []
    values: dict[str, Any] = {}
    for name in ("node", "status", "call_id", "provider", "message_id"):
        if (value := getattr(query, name)) is not None:
            names.append(f"if_{name}")
            values[name] = str(value)
    for name in ("since", "until"):
        if (at := getattr(query, name)) is not None:
            names.append(f"if_{name}")
            values[name] = rows.to_ms(at)
    if query.number is not None:
        digits = query.number.translate(_SPACERS)
        by_end = digits.isdecimal() and digits.isascii() and len(digits) >= SHORTEST_END
        names.append("if_number_ends" if by_end else "if_number")
        exact = digits if digits[1:].isdecimal() else query.number  # what is no number is looked for as it stands
        values["number"] = exact[::-1]
    clause = " AND ".join(f"({SQL[name]})" for name in names)
    return (f" WHERE {clause} " if clause else " "), values


def _select(head: str, query: ports.Query, raw: sqlite3.Connection) -> list[sqlite3.Row]:
    where, values = _conditions(query)
    sql = f"{SQL[head]}{where}{SQL['newest_first']}"
    if query.limit is not None:
        sql += " LIMIT :limit"
        values["limit"] = max(query.limit, 0)
    return raw.execute(sql, values).fetchall()


def find(raw: sqlite3.Connection, query: ports.Query) -> list[message.Message]:
    return [rows.to_message(row) for row in _select("history", query, raw)]


def targets(raw: sqlite3.Connection, query: ports.Query) -> list[str]:
    """The messages that a person's decision is about; none where a shortened id fits several."""
    if query.message_id is not None:
        named = [row["id"] for row in _select("history_ids", ports.Query(message_id=query.message_id), raw)]
        if query.message_id not in named and len(named) > 1:
            return []
    return [row["id"] for row in _select("history_ids", query, raw)]


def story(raw: sqlite3.Connection, message_id: str) -> ports.Story | None:
    """All about one message, by its id or an end or beginning of it that fits no other."""
    raw.execute("BEGIN")  # one state for all the statements
    try:
        found = find(raw, ports.Query(message_id=message_id))
        exact = [one for one in found if one.id == message_id] or found
        return _story(raw, exact[0]) if len(exact) == 1 else None
    finally:
        raw.execute("ROLLBACK")


def _story(raw: sqlite3.Connection, one: message.Message) -> ports.Story:
    named = {"message_id": one.id, "activation_id": one.activation_id}
    visit = raw.execute(SQL["visit_of"], named).fetchone()
    attempts = raw.execute(SQL["attempts"], named).fetchall()
    family = [rows.to_message(row) for row in raw.execute(SQL["of_activation"], named)]
    return ports.Story(
        message=one,
        visit=rows.to_visit(visit),
        node_revision=visit["node_revision"],
        returned_at=rows.maybe_at(visit["returned_at"]),
        attempts=tuple(_attempt(raw, row) for row in attempts),
        events=tuple(
            ports.Event(at=rows.from_ms(row["at"]), who=row["who"], what=row["what"])
            for row in raw.execute(SQL["events"], named)
        ),
        siblings=tuple(other for other in family if other.id != one.id),
        content=content.story(raw, one.activation_id),
    )


def _attempt(raw: sqlite3.Connection, row: sqlite3.Row) -> ports.Attempt:
    names = raw.execute(SQL["provider_ids"], {"attempt_id": row["id"]})
    return ports.Attempt(
        id=row["id"],
        n=row["n"],
        provider=row["provider"],
        started_at=rows.from_ms(row["started_at"]),
        ended_at=rows.maybe_at(row["ended_at"]),
        outcome=row["outcome"] or "",
        code=row["code"],
        detail=row["detail"],
        provider_ids=tuple(name["provider_id"] for name in names),
        receipts=receipts.of_attempt(raw, row["id"]),
        verdict=None if row["verdict"] is None else message.Status(row["verdict"]),
        cost=None if row["cost"] is None else message.Cost(micros=row["cost"], currency=row["currency"]),
    )


def stats(raw: sqlite3.Connection) -> dict[message.Status, int]:
    counted = {message.Status(row["status"]): int(row["n"]) for row in raw.execute(SQL["stats"])}
    return {status: counted.get(status, 0) for status in message.Status}


def waiting(raw: sqlite3.Connection) -> dict[tuple[str, ...], int]:
    return {tuple(json.loads(row["route"])): row["n"] for row in raw.execute(SQL["waiting_by_route"])}


def totals(raw: sqlite3.Connection, query: ports.Query, zone: tzinfo, by_provider: bool) -> list[ports.Total]:
    """By node, day, provider and currency, in this order. A day of any zone is made of whole quarters of an hour."""
    where, values = _conditions(query)
    values |= {"by_provider": by_provider, "provider": query.provider}
    sums: dict[tuple[str, date, str, str], Counter[str]] = {}
    for row in raw.execute(f"{SQL['totals']}{where}{SQL['by_quarter']}", values):
        day = rows.from_ms(row["quarter"] * _QUARTER).astimezone(zone).date()
        so_far = sums.setdefault((row["node"], day, row["by_provider"], row["currency"]), Counter())
        for name in _SUMS:
            so_far[name] += row[name]
    return [
        ports.Total(node=node, day=day, provider=provider, currency=currency, **{name: found[name] for name in _SUMS})
        for (node, day, provider, currency), found in sorted(sums.items())
    ]


def traffic(raw: sqlite3.Connection, provider: str, rate: Rate | None, now: datetime) -> ports.Traffic:
    """Attempts are counted as claims count them."""
    facts = {"provider": provider}
    begun, room_at = 0, None
    if rate is not None:
        window = max(rows.span_ms(rate.window), 1)
        span = {"since": rows.to_ms(now) - window, "now": rows.to_ms(now), "most": rate.most}
        started = [row["started_at"] for row in raw.execute(SQL["begun"], facts | span)]
        begun = len(started)
        room_at = rows.from_ms(started[-1] + window) if begun >= rate.most else None
    last = raw.execute(SQL["last_receipt"], facts).fetchone()
    unmatched = raw.execute(SQL["unmatched"], facts).fetchone()
    return ports.Traffic(
        begun=begun,
        room_at=room_at,
        last_receipt_at=None if last is None else rows.from_ms(last["received_at"]),
        unmatched=0 if unmatched is None else unmatched["n"],
    )


_STATEMENTS = {
    "cancel": ("cancel",),
    str(ports.Verdict.SENT): ("judge_sent", "judge_attempt"),
    str(ports.Verdict.RESEND): ("retry", "reopen_job"),
    str(ports.Verdict.FAIL): ("judge_fail", "judge_attempts"),
}


def decide(
    raw: sqlite3.Connection,
    *,
    now: datetime,
    what: str,
    allowed: frozenset[message.Status],
    chosen: Sequence[str],
    who: str,
) -> int:
    """Do `what` (`cancel`, a Verdict) to those of the chosen whose status still allows it; how many."""
    count = 0
    for message_id in chosen:
        facts = {"message_id": message_id, "now": rows.to_ms(now), "what": what, "route": None}
        if raw.execute(SQL["status"], facts).fetchone()["status"] in allowed:
            for statement in _STATEMENTS[what]:
                raw.execute(SQL[statement], facts)
            _note(raw, message_id, now, who, what)
            count += 1
    return count


def retry(
    raw: sqlite3.Connection,
    *,
    now: datetime,
    seen: Sequence[message.Message],
    who: str,
    routes: Mapping[str, Sequence[str]],
) -> int:
    """Schedule again what is still as it was seen, or give it another route; how many.

    What all have refused is offered to all again: who left its route by refusing it comes back into it.
    """
    count = 0
    for one in seen:
        route = routes.get(one.id) or ()
        allowed = message.REROUTABLE if route else message.RETRYABLE
        facts = {
            "message_id": one.id,
            "status": str(one.status),
            "reason": None if one.reason is None else str(one.reason),
            "due_at": rows.maybe_ms(one.due_at),
            "provider": one.provider,
            "attempts": one.attempts,
            "now": rows.to_ms(now),
            "route": json.dumps(list(route)) if route else None,
        }
        if one.status not in allowed or raw.execute(SQL["as_seen"], facts).fetchone() is None:
            continue
        if route:
            _note(raw, one.id, now, who, f"route {', '.join(route)}")
        if one.status is message.Status.SCHEDULED:
            raw.execute(SQL["reroute"], facts)
        else:
            if not route and (one.status, one.reason) == (message.Status.FAILED, message.Reason.REJECTED):
                refused = [row["provider"] for row in raw.execute(SQL["refused_by"], facts)]
                facts["route"] = json.dumps(list(dict.fromkeys((*refused, *one.route))))
            raw.execute(SQL["retry"], facts)
            raw.execute(SQL["reopen_job"], facts)
            _note(raw, one.id, now, who, "retry")
        count += 1
    return count


def _note(raw: sqlite3.Connection, message_id: str, now: datetime, who: str, what: str) -> None:
    facts = {"id": ids.new(now), "message_id": message_id, "now": rows.to_ms(now)}
    raw.execute(SQL["add_event"], facts | {"who": rows.storable(who), "what": rows.storable(what)})
