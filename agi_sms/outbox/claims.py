"""Inside the transaction of a claim: provider by provider, so that what one has waiting costs the others nothing."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agi_sms import ports
from agi_sms.outbox import queries, rows, work
from agi_sms.rates import Rate

SQL = queries.load("sqlite")
_NOBODY = ""  # stands for the providers that are not known


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one transaction came to; `more`: there was so much to tidy up that it took nothing."""

    round: ports.ClaimRound
    more: bool = False


@dataclass(frozen=True, kw_only=True)
class Room:
    """How many messages a provider's rate has room for, and when there is room for one (milliseconds)."""

    most: int
    at: int


def claim(
    raw: sqlite3.Connection,
    *,
    now: datetime,
    run: str,
    free: Mapping[str, int],
    known: Collection[str],
    rates: Mapping[str, Rate],
    lease: timedelta,
) -> Found:
    """Take what is due for providers with free places, about work.CHUNK at most."""
    if work.tidy(raw, now):
        return Found(round=ports.ClaimRound(), more=True)
    ms, places = rows.to_ms(now), dict(free)
    queues = []
    for row in raw.execute(SQL["providers_to_come"]).fetchall():
        name = row["provider"]
        key = name if name in known else _NOBODY
        if places.get(key, 0) > 0 and (first := _first(raw, name)) is not None:
            queues.append((first, name, key))
    pending = Counter({row["provider"]: row["n"] for row in raw.execute(SQL["about_to_begin"])} if rates else {})
    leases: list[ports.Lease] = []
    to_come: list[int] = []
    for first, name, key in sorted(queues):
        most = min(places[key], max(work.CHUNK // len(queues), 1), _room(raw, name, rates, pending, ms).most)
        if first <= ms and most > 0:
            due = raw.execute(SQL["due_of"], {"provider": name, "now": ms, "most": most}).fetchall()
            taken = work.take(raw, due, now, run, lease)
            leases += taken
            places[key] -= len(taken)
            pending[name] += len(taken)
        if places[key] > 0 and (following := _first(raw, name)) is not None:
            to_come.append(max(following, _room(raw, name, rates, pending, ms).at))
    lapse = raw.execute(SQL["next_lapse"]).fetchone()  # so that somebody sees to it
    if lapse is not None:
        to_come.append(lapse["at"])
    leases.sort(key=lambda one: (one.message.due_at or now, one.message.id))
    return Found(round=ports.ClaimRound(leases=tuple(leases), next_at=rows.maybe_at(min(to_come, default=None))))


def _first(raw: sqlite3.Connection, provider: str) -> int | None:
    row = raw.execute(SQL["first_of"], {"provider": provider}).fetchone()
    return None if row is None else int(row["due_at"])


def _room(
    raw: sqlite3.Connection, provider: str, rates: Mapping[str, Rate], pending: Mapping[str, int], now: int
) -> Room:
    """Counted from the attempts, which outlast a restart. Those claimed and not begun are taken to begin now."""
    rate = rates.get(provider)
    if rate is None:
        return Room(most=work.CHUNK, at=0)
    window, left = max(rows.span_ms(rate.window), 1), rate.most - pending[provider]
    if left <= 0:
        return Room(most=0, at=now + window)
    facts = {"provider": provider, "since": now - window, "now": now, "most": left}
    begun = [row["started_at"] for row in raw.execute(SQL["begun"], facts)]
    return Room(most=left - len(begun), at=begun[-1] + window if len(begun) == left else 0)
