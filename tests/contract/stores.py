"""Outboxes to run the contract suite over, and short ways to make what goes into them."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Protocol

from agi_sms import call, message, ports, testing
from agi_sms.outbox import sqlite

ROOT = Path(__file__).parents[2]
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
PATIENT = 20.0  # seconds: a deadline for what has to come, not a measure


class Store(Protocol):
    """One place for messages that several outboxes, also of other processes, can be opened on."""

    clock: testing.FixedClock

    async def open(
        self, *, owner: bool = False, busy_timeout: timedelta = SECOND, patience: timedelta = HOUR
    ) -> ports.Outbox: ...

    def child(self, *words: str) -> "contextlib.AbstractContextManager[Child]":
        """Another process on this store; see child.py."""

    async def fill(self, outbox: ports.Outbox) -> None:
        """Take the room that it needs to grow."""

    async def make_room(self, outbox: ports.Outbox) -> None:
        """Give it back."""


class SqliteStore:
    def __init__(self, folder: Path, *, on_small_disk: bool = False) -> None:
        self.on_small_disk = on_small_disk
        self.path = folder / "outbox.db"
        self.clock = testing.FixedClock()

    async def open(
        self, *, owner: bool = False, busy_timeout: timedelta = SECOND, patience: timedelta = HOUR
    ) -> sqlite.SqliteOutbox:
        return await sqlite.SqliteOutbox.open(
            self.path, clock=self.clock, owner=owner, busy_timeout=busy_timeout, patience=patience
        )

    async def fill(self, outbox: ports.Outbox) -> None:
        assert isinstance(outbox, sqlite.SqliteOutbox)
        if not self.on_small_disk:
            await self._most_pages(outbox, 1)
            return
        with self.path.with_name("ballast").open("wb", buffering=0) as ballast:
            for size in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while ballast.write(b"x" * size) == size:
                        pass

    async def make_room(self, outbox: ports.Outbox) -> None:
        assert isinstance(outbox, sqlite.SqliteOutbox)
        if self.on_small_disk:
            self.path.with_name("ballast").unlink()
        else:
            await self._most_pages(outbox, 1 << 30)

    @staticmethod
    async def _most_pages(outbox: sqlite.SqliteOutbox, most: int) -> None:
        """As SQLite sees it: a limit below the present size means that it may not grow."""
        await outbox._writing.run(lambda raw: raw.execute(f"PRAGMA max_page_count = {most}").fetchall())

    def child(self, *words: str) -> "contextlib.AbstractContextManager[Child]":
        return child(words[0], str(self.path), *words[1:])


class Child:
    """Another process, killed at the end at the latest."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        assert process.stdin is not None
        self._out: IO[str] = process.stdout
        self._in: IO[str] = process.stdin

    async def line(self) -> str:
        """Its next line, empty at its end."""
        async with asyncio.timeout(PATIENT):
            return (await asyncio.to_thread(self._out.readline)).strip()

    async def lines(self) -> AsyncIterator[str]:
        while text := await self.line():
            yield text

    def go_on(self) -> None:
        self._in.write("\n")
        self._in.flush()

    async def end(self) -> int:
        async with asyncio.timeout(PATIENT):
            return await asyncio.to_thread(self.process.wait)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def child(*words: str) -> Iterator[Child]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.contract.child", *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Child(process)
        finally:
            process.kill()


def activation(
    visit: str, clock: testing.FixedClock, *, key: str = "", node: str = "after-hours", pbx: str = "pbx1", **facts: Any
) -> ports.Activation:
    return ports.Activation(
        id=f"act-{pbx}-{visit}",
        node_revision="rev1",
        visit=call.Visit(
            id=visit,
            node=node,
            call=call.Call(pbx=pbx, key=key or f"{pbx}/{visit}", call_id=f"call-{key or visit}", **facts),
            entry=call.Entry.ARI,
            arrived_at=clock(),
        ),
    )


def draft(clock: testing.FixedClock, recipient: str = "+48600100200", **changed: Any) -> message.Draft:
    due = changed.pop("due_at", clock())
    values: dict[str, Any] = {
        "recipient": recipient,
        "source": message.Source.CONFIG,
        "status": message.Status.SCHEDULED,
        "sender": "Acme",
        "text": "We call back",
        "segments": 1,
        "route": ("main", "spare"),
        "due_at": due,
        "expires_at": due + 24 * HOUR,
    }
    return message.Draft(**(values | changed))


async def admit(
    outbox: ports.Outbox, visit: str, clock: testing.FixedClock, *recipients: str, **changed: Any
) -> tuple[ports.Admitted, ...]:
    """Store a visit with one message to each recipient."""
    drafts = [draft(clock, recipient, **changed) for recipient in recipients or ("+48600100200",)]
    return (await outbox.admit(activation(visit, clock), drafts)).messages


def waiting(clock: testing.FixedClock, recipient: str = "+48600100200", **changed: Any) -> message.Draft:
    """A message whose text is to be fetched."""
    return draft(clock, recipient, **({"status": message.Status.WAITING, "text": None, "segments": 0} | changed))


@contextlib.contextmanager
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """To look into a database from outside."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.row_factory = sqlite3.Row
        yield raw


async def claim(outbox: ports.Outbox, limit: int, lease: timedelta) -> list[ports.Lease]:
    """Take what is due, whatever its provider."""
    return list((await outbox.claim(free={"": limit}, known=(), lease=lease)).leases)


async def next_due(outbox: ports.Outbox) -> datetime | None:
    """When claim() may next find something; what it finds now is given back."""
    found = await outbox.claim(free={"": 9}, known=(), lease=MINUTE)
    for lease in found.leases:
        assert await outbox.settle(lease, lease.undone)
    due = [lease.message.due_at for lease in found.leases]
    return min([at for at in (*due, found.next_at) if at is not None], default=None)


async def ask(
    outbox: ports.Outbox,
    visit: str,
    clock: testing.FixedClock,
    *drafts: message.Draft,
    at: datetime | None = None,
    **facts: Any,
) -> ports.Admission:
    """Store a visit whose text is to be fetched, at once or `at` that time."""
    made = replace(activation(visit, clock, **facts), fetch_at=at or clock())
    return await outbox.admit(made, drafts or (waiting(clock),))


async def claim_jobs(outbox: ports.Outbox, most: int = 9, lease: timedelta = MINUTE) -> tuple[ports.Job, ...]:
    """Content jobs of nodes whose host nobody names."""
    return (await outbox.claim_content(hosts={}, free={"": most}, lease=lease)).jobs


async def claim_job(outbox: ports.Outbox, lease: timedelta = MINUTE) -> ports.Job:
    [job] = await claim_jobs(outbox, lease=lease)
    return job


def answered(text: str | None = "Your order is ready", **changed: Any) -> ports.Resolution:
    """A resolution as after a good answer."""
    values: dict[str, Any] = {
        "state": ports.ContentState.ANSWERED,
        "status": message.Status.SCHEDULED,
        "text": text,
        "segments": 1,
    }
    return ports.Resolution(**(values | changed))


def unanswered(status: message.Status, **changed: Any) -> ports.Resolution:
    """A resolution without a text: SKIPPED or HELD."""
    values: dict[str, Any] = {
        "state": ports.ContentState(str(status)),
        "status": status,
        "reason": message.Reason.CONTENT_TIMEOUT,
    }
    return ports.Resolution(**(values | changed))


async def story(outbox: ports.Outbox, message_id: str) -> ports.Story:
    found = await outbox.story(message_id)
    assert found is not None
    return found


async def content(outbox: ports.Outbox, message_id: str) -> ports.ContentStory | None:
    return (await story(outbox, message_id)).content


async def claim_one(outbox: ports.Outbox, lease: timedelta = MINUTE) -> ports.Lease:
    [found] = await claim(outbox, 1, lease)
    return found


async def begun(outbox: ports.Outbox, lease: ports.Lease, provider: str = "main") -> str:
    attempt = await outbox.begin(lease, provider)
    assert attempt is not None
    return attempt


DECISIONS: dict[type[message.Outcome], ports.Decision] = {
    message.Accepted: ports.Decision(status=message.Status.ACCEPTED),
    message.Rejected: ports.Decision(status=message.Status.FAILED, reason=message.Reason.REJECTED),
    message.Retry: ports.Decision(status=message.Status.SCHEDULED),
    message.ProviderDown: ports.Decision(status=message.Status.SCHEDULED),
    message.Uncertain: ports.Decision(status=message.Status.UNCERTAIN, reason=message.Reason.UNANSWERED),
}


async def attempted(
    outbox: ports.Outbox, outcome: message.Outcome, provider: str = "main", due_at: datetime | None = None
) -> str:
    """Claim the longest due message and attempt it, with the plainest decision; its id."""
    lease = await claim_one(outbox)
    decision = replace(DECISIONS[type(outcome)], due_at=due_at)
    assert await outbox.finish(lease, await begun(outbox, lease, provider), outcome, decision)
    return lease.message.id


async def sent(outbox: ports.Outbox, visit: str, clock: testing.FixedClock, *ids: str, provider: str = "main") -> str:
    """Store a message that a provider takes, giving these ids for its segments; its id."""
    await admit(outbox, visit, clock)
    return await attempted(outbox, message.Accepted(ids=ids), provider)


def receipt(
    provider_id: str = "", state: message.Status = message.Status.DELIVERED, *, ref: str = "", code: str = ""
) -> ports.Receipt:
    return ports.Receipt(provider_id=provider_id, ref=ref, state=state, raw=f"{provider_id} {state}", code=code)


async def only(outbox: ports.Outbox, **conditions: Any) -> message.Message:
    found = await outbox.history(ports.Query(**conditions))
    assert len(found) == 1, found
    return found[0]


async def statuses(outbox: ports.Outbox) -> list[str]:
    """Of all messages, oldest first."""
    return [str(one.status) for one in reversed(await outbox.history(ports.Query()))]


async def again(outbox: ports.Outbox, query: ports.Query, who: str) -> int:
    """A person has everything sent again that fits and may be."""
    found = await outbox.history(query)
    return await outbox.retry([one for one in found if one.status in message.RETRYABLE], who)
