"""Databases with a great many messages, made by SQL in seconds."""

import contextlib
import pathlib
import re
import sqlite3
import time

from agi_sms.outbox import sqlite

CHUNK = 100_000  # rows made at once
NODES = 20
RARE = "quiet"  # the node of every 100,000th message, the oldest among them
STEP = 1000  # ms between two messages of a history

_SQL = dict(
    zip(
        *[iter(re.split(r"^-- name: (\w+)$", pathlib.Path(__file__).with_suffix(".sql").read_text(), flags=re.M)[1:])]
        * 2,
        strict=True,
    )
)
_PLACES = {
    "{node}": f"iif(i % {CHUNK} = 0, '{RARE}', 'node-' || (i % {NODES}))",
    "{at}": ":now - (:last - i) * :step",
}


async def empty(path: pathlib.Path) -> None:
    """A database as the gateway makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    await sqlite.migrate(path)


async def history(path: pathlib.Path, count: int) -> None:
    """So many messages that were delivered, one a second up to now, each with its attempt and its receipt."""
    await empty(path)
    _fill(path, count, tuple(_SQL), status="delivered", due=None, step=STEP)


async def waiting(path: pathlib.Path, count: int, *, due_in: float) -> None:
    """So many messages to be sent by provider `peer` in `due_in` seconds (or that long ago)."""
    due = round((time.time() + due_in) * 1000)
    await empty(path)
    _fill(path, count, ("activations", "messages"), status="scheduled", due=due, step=1)


def _fill(path: pathlib.Path, count: int, tables: tuple[str, ...], *, status: str, due: int | None, step: int) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.create_function("reversed", 1, lambda text: text[::-1], deterministic=True)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -200000", "foreign_keys = OFF"):
            raw.execute(f"PRAGMA {pragma}")
        indexes = raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
        raw.execute("BEGIN")
        for name, _ in indexes:
            raw.execute(f"DROP INDEX {name}")
        values = {"now": round(time.time() * 1000), "last": count - 1, "step": step, "status": status, "due": due}
        for first in range(0, count, CHUNK):
            for table in tables:
                sql = _SQL[table]
                for place, meaning in _PLACES.items():
                    sql = sql.replace(place, meaning)
                raw.execute(sql, values | {"first": first, "n": min(CHUNK, count - first)})
        for _, sql in indexes:  # built at once, from sorted rows, which takes a fraction of the time
            raw.execute(sql)
        raw.execute("COMMIT")
        raw.execute("PRAGMA journal_mode = WAL")
