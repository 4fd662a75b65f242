"""Another process on the same outbox: `python -m tests.contract.child VERB PATH ...`."""

import asyncio
import sqlite3
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

from agi_sms import testing
from agi_sms.outbox import spool, sqlite
from tests.contract import stores

CLOCK = testing.FixedClock()


def say(text: str) -> None:
    print(text, flush=True)


async def admit(path: str, prefix: str, count: str) -> None:
    """Admit visits, several at a time, and name each when it is durable."""
    outbox = await sqlite.SqliteOutbox.open(Path(path), clock=CLOCK)
    say("ready")
    sys.stdin.readline()

    async def one(number: int) -> None:
        admission = await outbox.admit(stores.activation(f"{prefix}{number}", CLOCK), [stores.draft(CLOCK)])
        say(f"{prefix}{number} {admission.new}")

    for start in range(0, int(count), 5):
        await asyncio.gather(*(one(number) for number in range(start, min(start + 5, int(count)))))
    await outbox.close()


async def spooled(path: str, count: str) -> None:
    """Write records to a spool, and name each when it is durable."""
    reserve = await spool.FileSpool.open(Path(path), 1 << 20)
    for number in range(int(count)):
        await reserve.write(stores.activation(f"v{number}", CLOCK), [stores.draft(CLOCK)])
        say(f"v{number}")


async def claim(path: str) -> None:
    """Claim until nothing is due, and name each message."""
    outbox = await sqlite.SqliteOutbox.open(Path(path), clock=CLOCK)
    say("ready")
    sys.stdin.readline()
    while leases := await stores.claim(outbox, 3, timedelta(minutes=1)):
        for lease in leases:
            say(lease.message.id)
    await outbox.close()


async def attempt(path: str) -> None:
    """Claim everything, begin an attempt on all but one, and wait to be killed."""
    outbox = await sqlite.SqliteOutbox.open(Path(path), clock=CLOCK, owner=True)
    leases = await stores.claim(outbox, 100, timedelta(hours=1))
    for lease in leases[1:]:
        await outbox.begin(lease, "main")
    say(leases[0].message.id)
    sys.stdin.readline()


async def receive(path: str, prefix: str, count: str) -> None:
    """Keep receipts that say delivered, and name the provider's id of each when it is durable."""
    outbox = await sqlite.SqliteOutbox.open(Path(path), clock=CLOCK)
    say("ready")
    sys.stdin.readline()
    for number in range(int(count)):
        await outbox.receive("main", [stores.receipt(f"{prefix}{number}")])
        say(f"{prefix}{number}")


async def own(path: str) -> None:
    """Own the outbox until told to go."""
    outbox = await sqlite.SqliteOutbox.open(Path(path), clock=CLOCK, owner=True)
    say("owned")
    sys.stdin.readline()
    await outbox.close()


async def hold(path: str) -> None:
    """Hold the database against every writer until told to go."""
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    say("held")
    sys.stdin.readline()
    raw.execute("ROLLBACK")
    raw.close()


if __name__ == "__main__":
    verbs: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
        "admit": admit,
        "spooled": spooled,
        "claim": claim,
        "attempt": attempt,
        "receive": receive,
        "own": own,
        "hold": hold,
    }
    asyncio.run(verbs[sys.argv[1]](*sys.argv[2:]))
