"""How long the start takes, and a look into the history, with a great many messages in it and with none."""

import asyncio
import pathlib
import subprocess
import time
from collections.abc import Callable
from functools import partial

from agi_sms import clock, ports
from agi_sms.outbox import sqlite
from tests.bench import figures, fill, load, processes, sizes

START = figures.Goal(of="value", most=2)
LOOK = figures.Goal(of="value", most=100)
LIMIT = 50  # the default of `agi-sms history`
QUERIES = {
    "a busy node": ports.Query(node="node-1", limit=LIMIT),
    "a quiet node": ports.Query(node=fill.RARE, limit=LIMIT),
    "all nodes": ports.Query(limit=LIMIT),
}


def measure(directory: pathlib.Path, of: sizes.Sizes, tell: load.Tell) -> list[figures.Figure]:
    """Each on the long history and on an empty one, in turn."""
    ours, floor = directory / "long" / "agi-sms.db", directory / "empty" / "agi-sms.db"
    began = time.monotonic()
    asyncio.run(fill.history(ours, of.rows))
    asyncio.run(fill.empty(floor))
    tell(f"{of.rows:,} messages made in {time.monotonic() - began:.1f} s, {ours.stat().st_size / 1e6:,.0f} MB")
    least = min(LIMIT, (of.rows + fill.CHUNK - 1) // fill.CHUNK)
    looks: list[tuple[str, str, figures.Goal | None, Callable[[pathlib.Path], float]]] = [
        ("start of the gateway", "s", START, _start)
    ]
    for name, query in QUERIES.items():
        looks.append((f"history of {name}: query", "ms", LOOK, partial(_query, query=query, least=least)))
    looks.append(("history of a busy node: command", "ms", None, lambda path: _command(path, "--node", "node-1")))
    found = []
    for name, unit, goal, look in looks:
        values: list[tuple[float, float]] = [(look(ours), look(floor)) for _ in range(of.runs)]
        of_ours, of_floor = zip(*values, strict=True)
        tell(f"{name}: {figures.median(of_ours):.3g} {unit}, empty {figures.median(of_floor):.3g} {unit}")
        found.append(
            figures.Figure(
                section="history", name=name, unit=unit, ours=tuple(of_ours), floor=tuple(of_floor), goal=goal
            )
        )
    return found


def _start(database: pathlib.Path) -> float:
    with processes.Gateway(database.parent, database) as gateway:
        return gateway.started


def _query(database: pathlib.Path, query: ports.Query, least: int) -> float:
    """Milliseconds of a connection's first query, through the outbox port."""

    async def ask() -> float:
        outbox = await sqlite.SqliteOutbox.open(database, clock=clock.now)
        try:
            began = time.perf_counter()
            found = await outbox.history(query)
            took = time.perf_counter() - began
        finally:
            await outbox.close()
        if database.parent.name == "long" and len(found) < least:
            raise AssertionError(f"{len(found)} messages found")
        return took * 1000

    return asyncio.run(ask())


def _command(database: pathlib.Path, *arguments: str) -> float:
    """Milliseconds of `agi-sms history`, the start of Python included."""
    config = processes.configure(database.parent, database)
    began = time.monotonic()
    subprocess.run([processes.AGI_SMS, "history", "--config", config, *arguments], check=True, capture_output=True)
    return (time.monotonic() - began) * 1000
