"""The floor: the least that an aioari application can do with a call.

    python -m tests.bench.floor URL USER PASSWORD APP variable|only|stored FILE

Sets one variable on each channel and lets it go on (`variable`), only lets it go on (`only`), or commits one row for it
to an SQLite database beside FILE before it does the former (`stored`). At SIGTERM it writes into FILE how long each
call was held, in ms by Asterisk's own clock (StasisStart to StasisEnd), as one JSON list.
"""

import asyncio
import json
import pathlib
import signal
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import aioari

TEXT = "Thank you for calling 100 at 12:00."


class Table:
    """The least that outlives a power cut: a row for each call, all that wait in one commit, on a thread of its own."""

    def __init__(self, path: pathlib.Path) -> None:
        self._raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._raw.execute("PRAGMA journal_mode = WAL")
        self._raw.execute("PRAGMA synchronous = FULL")
        self._raw.execute("CREATE TABLE calls (id TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID")
        self._thread = ThreadPoolExecutor(1)
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._writer: asyncio.Task[None] | None = None

    async def add(self, call_id: str) -> None:
        self._waiting[call_id] = stored = asyncio.get_running_loop().create_future()
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await stored

    async def _write(self) -> None:
        while self._waiting:
            now, self._waiting = self._waiting, {}
            await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, list(now))
            for stored in now.values():
                stored.set_result(None)

    def _commit(self, calls: list[str]) -> None:
        self._raw.execute("BEGIN IMMEDIATE")
        self._raw.executemany("INSERT INTO calls (id, text) VALUES (?, ?)", [(one, TEXT) for one in calls])
        self._raw.execute("COMMIT")


async def main(url: str, user: str, password: str, app: str, mode: str, table: Table | None) -> list[float]:
    """Serve until SIGTERM; how long each call was held, in ms."""
    client = await aioari.connect(url, user, password)
    started: dict[str, str] = {}
    held: list[float] = []
    tasks: set[asyncio.Task[None]] = set()

    async def send_on(channel_id: str) -> None:
        if table is not None:
            await table.add(channel_id)
        if mode != "only":
            await client.channels.setChannelVar(channelId=channel_id, variable="AGISMS", value="SCHEDULED,1")
        await client.channels.continueInDialplan(channelId=channel_id)

    def on_start(event: dict[str, Any]) -> None:
        started[event["channel"]["id"]] = event["timestamp"]
        task = asyncio.create_task(send_on(event["channel"]["id"]))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def on_end(event: dict[str, Any]) -> None:
        begun = started.pop(event["channel"]["id"])
        took = datetime.fromisoformat(event["timestamp"]) - datetime.fromisoformat(begun)
        held.append(took.total_seconds() * 1000)

    client.on_event("StasisStart", on_start)
    client.on_event("StasisEnd", on_end)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    running = asyncio.create_task(client.run(apps=app))
    ended = asyncio.create_task(stop.wait())
    await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    await client.close()
    return held


if __name__ == "__main__":
    url, user, password, app, mode, file = sys.argv[1:]
    table = Table(pathlib.Path(file).with_suffix(".sqlite3")) if mode == "stored" else None
    pathlib.Path(file).write_text(json.dumps(asyncio.run(main(url, user, password, app, mode, table))))
