"""Messages a second, to whatever peer. The peer's clock counts, and for the gateway also what it has written down."""

import asyncio
import contextlib
import pathlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench import figures, fill, processes, sizes

Tell = Callable[[str], None]
PATIENCE = 300.0  # seconds
GOAL = figures.Goal(of="ratio", least=0.5)
DONE = "SELECT count(*) FROM messages WHERE status = 'delivered'"
LAST = "SELECT max((SELECT max(ended_at) FROM attempts), (SELECT max(received_at) FROM receipts)) / 1000.0"


@dataclass(frozen=True, kw_only=True)
class Load:
    """From the first message that the peer saw to the last that was done; CPU of the sender for each, in ms."""

    rate: float
    cpu_ms: float


Ways = Mapping[str, Callable[[pathlib.Path], Load]]


def alternate(directory: pathlib.Path, of: sizes.Sizes, ways: Ways, tell: Tell) -> dict[str, list[Load]]:
    """Each way in its turn, `of.runs` times."""
    found: dict[str, list[Load]] = {name: [] for name in ways}
    for number in range(of.runs):
        for name, run in ways.items():
            one = run(directory / f"{name}-{number}")
            found[name].append(one)
            tell(f"{name}: {one.rate:.0f} messages/s, CPU {one.cpu_ms:.2f} ms a message")
    return found


def figures_of(section: str, found: Mapping[str, list[Load]]) -> list[figures.Figure]:
    """Of the ways `agi-sms`, `floor` and `bare`."""

    def of(name: str, unit: str, goal: figures.Goal | None, pick: Callable[[Load], float]) -> figures.Figure:
        ours, floor, bare = (tuple(map(pick, found[way])) for way in ("agi-sms", "floor", "bare"))
        return figures.Figure(section=section, name=name, unit=unit, ours=ours, floor=floor, bare=bare, goal=goal)

    return [
        of("messages a second", "/s", GOAL, lambda one: one.rate),
        of("CPU of the sender for a message", "ms", None, lambda one: one.cpu_ms),
    ]


def through_gateway(directory: pathlib.Path, peer: processes.Helper, count: int, **tree: Any) -> Load:
    """Messages that are due when the gateway starts, until the last one's receipt is acknowledged and written down."""
    database = directory / "agi-sms.db"
    asyncio.run(fill.waiting(database, count, due_in=-1))
    with processes.Gateway(directory, database, **tree) as gateway:
        before = processes.cpu_ms(gateway.pid)
        facts = peer.says(patience=PATIENCE)
        whole(facts, count)
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as raw:
            processes.wait_for("all are delivered", lambda: raw.execute(DONE).fetchone()[0] == count)
            last = max(facts["last"], raw.execute(LAST).fetchone()[0])
        spent = processes.cpu_ms(gateway.pid) - before
    return Load(rate=count / (last - facts["first"]), cpu_ms=spent / count)


def of_client(peer: processes.Helper, client: processes.Helper, count: int) -> Load:
    """A client that ends by itself."""
    facts = peer.says(patience=PATIENCE)
    whole(facts, count)
    return Load(rate=count / (facts["last"] - facts["first"]), cpu_ms=client.says() / count)


def whole(facts: Mapping[str, Any], count: int) -> None:
    if facts["taken"] != count or facts["repeated"]:
        raise AssertionError(f"of {count} messages {facts['taken']} came, {facts['repeated']} of them again")
