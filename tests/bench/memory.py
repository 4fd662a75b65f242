"""How much memory the gateway takes while a great many messages wait, beside the same with none."""

import asyncio
import pathlib
import time

from tests.bench import figures, fill, load, processes, sizes

GOAL = figures.Goal(of="difference", most=50)
HOUR, EVERY = 3600.0, 0.05  # seconds


def measure(directory: pathlib.Path, of: sizes.Sizes, tell: load.Tell) -> list[figures.Figure]:
    """An empty gateway, one whose messages wait for their time, one whose messages are due and its provider slow."""
    found: dict[str, list[float]] = {"empty": [], "later": [], "due": []}
    for name in found:
        database = directory / name / "agi-sms.db"
        if name == "empty":
            asyncio.run(fill.empty(database))
        else:
            asyncio.run(fill.waiting(database, of.waiting, due_in=HOUR if name == "later" else -1))
    with processes.helper("company", 0, 5) as company:
        url = f"http://127.0.0.1:{company.says()}/sms"
        for _ in range(of.runs):
            for name, values in found.items():
                values.append(_highest(directory / name, url, of.watch))
                tell(f"{name}: {values[-1]:.1f} MB")
    return [
        figures.Figure(
            section="memory",
            name=f"{of.waiting:,} messages {what}",
            unit="MB",
            ours=tuple(found[name]),
            floor=tuple(found["empty"]),
            goal=GOAL,
        )
        for name, what in (("later", "wait for their time"), ("due", "are due, the provider takes 5 s"))
    ]


def _highest(directory: pathlib.Path, url: str, seconds: float) -> float:
    peer = {"type": "http", "url": url, "body": {"json": {"ref": "{{ ref }}"}}, "answer": {"id": "$.id"}}
    highest = 0.0
    with processes.Gateway(directory, directory / "agi-sms.db", providers={"peer": peer}, drain="1s") as gateway:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            highest = max(highest, processes.rss_mb(gateway.pid))
            time.sleep(EVERY)
    return highest
