"""Inside the transactions of content jobs: claim, postpone, release, resolve, and leases of an earlier run."""

import heapq
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from agi_sms import message, node, ports
from agi_sms.outbox import admission, queries, rows, work

SQL = queries.load("sqlite")
_First = tuple[int, str, str]  # of a node: when its first job may be claimed, the node, the job's activation


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one transaction of a claim came to; `more`: there was so much to tidy up that it took nothing."""

    round: ports.JobRound
    more: bool


def claim(
    raw: sqlite3.Connection,
    *,
    now: datetime,
    run: str,
    hosts: Mapping[str, str],
    free: Mapping[str, int],
    lease: timedelta,
) -> Found:
    """Take what is due, host by host, so that what one host has waiting costs the others nothing."""
    ms = rows.to_ms(now)
    queues: dict[str, list[_First]] = {}  # of each host with places
    for row in raw.execute(SQL["pending_nodes"]).fetchall():
        host = hosts.get(row["node"], "")
        if free.get(host, 0) > 0 and (first := _first(raw, row["node"])) is not None:
            queues.setdefault(host, []).append(first)
    taken: list[tuple[int, ports.Job]] = []
    to_come: list[int] = []
    for host, queue in queues.items():
        places, steps = free[host], max(work.CHUNK // len(queues), 1)
        heapq.heapify(queue)
        while queue and queue[0][0] <= ms and places and steps:
            due_at, name, activation_id = queue[0]
            job = _take(raw, activation_id, now, run, lease)
            if job is not None:
                taken.append((due_at, job))
                places -= 1
            following = _first(raw, name)
            if following is None:
                heapq.heappop(queue)
            else:
                heapq.heapreplace(queue, following)
            steps -= 1
        if queue and places:
            to_come.append(queue[0][0])
    next_at = min(to_come, default=None)
    return Found(
        round=ports.JobRound(
            jobs=tuple(job for _, job in sorted(taken, key=lambda one: one[0])), next_at=rows.maybe_at(next_at)
        ),
        more=not taken and next_at is not None and next_at <= ms,
    )


def _first(raw: sqlite3.Connection, name: str) -> _First | None:
    row = raw.execute(SQL["first_job"], {"node": name}).fetchone()
    return None if row is None else (row["next_at"], name, row["activation_id"])


def _take(raw: sqlite3.Connection, activation_id: str, now: datetime, run: str, lease: timedelta) -> ports.Job | None:
    """Lease one job, or end it where nobody waits for it, or where it was claimed too often."""
    facts = {"activation_id": activation_id, "now": rows.to_ms(now)}
    raw.execute(SQL["expire_waiting"], facts)  # nobody is asked for the text of what is too old to be sent
    row = raw.execute(SQL["job"], facts).fetchone()
    if not row["wanted"]:
        raw.execute(SQL["drop_job"], facts)
        return None
    if row["claims"] >= work.MOST_CLAIMS:
        _end(raw, facts, _POISON)
        return None
    token = run + secrets.token_hex(8)
    raw.execute(SQL["lease_job"], facts | {"token": token, "until": rows.to_ms(now + lease)})
    return ports.Job(activation_id=activation_id, visit=rows.to_visit(row), token=token, tries=row["tries"])


_POISON = ports.Resolution(
    state=ports.ContentState.HELD,
    status=message.Status.HELD,
    reason=message.Reason.POISON,
    detail=f"begun {work.MOST_CLAIMS} times, and the gateway ended, or its lease did, before any answer was kept",
    asked=False,
)


def recover(raw: sqlite3.Connection, *, now: datetime, run: str) -> ports.Recovery:
    """Make up to CHUNK jobs due that an earlier run was working on; nothing found where there is none left."""
    facts = {"run": run, "now": rows.to_ms(now), "most": work.CHUNK}
    return ports.Recovery(rescheduled=raw.execute(SQL["recover_jobs"], facts).rowcount, uncertain=0)


def postpone(
    raw: sqlite3.Connection, *, now: datetime, job: ports.Job, no_answer: ports.NoAnswer, at: datetime
) -> bool:
    """Count a try and make the job due `at` that time; False, and no change, where the lease is not ours any more."""
    facts = _held(job, now) | _told(no_answer) | {"at": rows.to_ms(at)}
    return raw.execute(SQL["postpone_job"], facts).rowcount == 1


def release(raw: sqlite3.Connection, *, now: datetime, job: ports.Job) -> bool:
    return raw.execute(SQL["release_job"], _held(job, now)).rowcount == 1


def resolve(
    raw: sqlite3.Connection,
    *,
    keys: rows.Keys,
    now: datetime,
    job: ports.Job,
    resolution: ports.Resolution,
    limits: Sequence[node.Limit],
) -> bool:
    """Write the text, add who else is to get it, end the job; False, and no change, where the lease is lost.

    Where nobody waits any more (a person cancelled, or it got too old), nobody else gets it either.
    """
    facts = _held(job, now)
    if raw.execute(SQL["holds_job"], facts).fetchone() is None:
        return False
    waiting = raw.execute(SQL["waiting"], facts).fetchone()
    if not waiting["n"]:
        _end(raw, facts, resolution)
        raw.execute(SQL["drop_job"], facts)
        return True
    there = {row["recipient"] for row in raw.execute(SQL["recipients_of"], facts)}
    place = waiting["unnamed"]  # the message that waits for a recipient, too
    more = []
    for draft in resolution.more:
        clean = replace(
            draft,
            recipient=rows.whole(draft.recipient),
            sender=rows.whole(draft.sender),
            text=None if draft.text is None else rows.whole(draft.text),
            # not too old before those who wait: a person may have had the question repeated
            expires_at=max(draft.expires_at, rows.from_ms(waiting["expires_at"])),
        )
        if clean.recipient not in there:
            there.add(clean.recipient)
            more.append(clean)
    admission.add(
        raw,
        keys=keys,
        now=now,
        activation_id=job.activation_id,
        visit=job.visit,
        drafts=more,
        limits=limits,
        place=place,
    )
    if place is not None and not more:
        status, reason = resolution.unnamed
        raw.execute(SQL["end_unnamed"], {"message_id": place, "status": str(status), "reason": str(reason)})
    _end(raw, facts, resolution)
    return True


def _end(raw: sqlite3.Connection, facts: Mapping[str, Any], resolution: ports.Resolution) -> None:
    """End the job and the waiting of its messages."""
    values = {
        **facts,
        **_told(resolution),
        "tried": int(resolution.asked),
        "state": str(resolution.state),
        "status": str(resolution.status),
        "text": None if resolution.text is None else rows.whole(resolution.text),
        "encoding": str(resolution.encoding),
        "segments": resolution.segments,
        "sender": None if resolution.sender is None else rows.whole(resolution.sender),
        "due_at": rows.maybe_ms(resolution.due_at),
    }
    raw.execute(SQL["end_job"], values)
    raw.execute(SQL["end_waiting"], values)


def _held(job: ports.Job, now: datetime) -> dict[str, Any]:
    return {"activation_id": job.activation_id, "token": job.token, "now": rows.to_ms(now)}


def _told(what: ports.NoAnswer | ports.Resolution) -> dict[str, Any]:
    """What is kept of a try, in a form that can be stored whatever came."""
    return {
        "reason": None if what.reason is None else str(what.reason),
        "code": rows.storable(what.code),
        "detail": rows.storable(what.detail),
        "excerpt": rows.storable(what.excerpt, ports.LONGEST_EXCERPT),
    }


def story(raw: sqlite3.Connection, activation_id: str) -> ports.ContentStory | None:
    """How an activation's text was got; None where its node asks nobody."""
    row = raw.execute(SQL["content_of"], {"activation_id": activation_id}).fetchone()
    if row is None:
        return None
    state = ports.ContentState(row["state"])
    return ports.ContentStory(
        state=state,
        tries=row["tries"],
        next_at=rows.from_ms(row["due_at"]) if state is ports.ContentState.OPEN else None,
        ended_at=rows.maybe_at(row["ended_at"]),
        reason=rows.to_reason(row["reason"]),
        code=row["code"],
        detail=row["detail"],
        excerpt=row["excerpt"],
    )
