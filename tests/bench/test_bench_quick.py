"""`make bench` itself, with little of what needs no Docker."""

import json
import os
import pathlib
import sqlite3
import subprocess
import sys
from datetime import timedelta

from agi_sms import clock, ports
from agi_sms.message import Status
from agi_sms.outbox import sqlite
from tests.bench import fill, processes


async def test_what_is_filled_in_is_what_the_outbox_reads(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "agi-sms.db"
    await fill.history(path, 45)
    outbox = await sqlite.SqliteOutbox.open(path, clock=clock.now)
    try:
        newest = await outbox.history(ports.Query(limit=1))
        busy = await outbox.history(ports.Query(node="node-1", limit=50))
        story = await outbox.story(newest[0].id)
        found = await outbox.stats()
    finally:
        await outbox.close()
    assert found[Status.DELIVERED] == 45
    assert [one.recipient for one in busy] == ["+48600000041", "+48600000021", "+48600000001"]
    assert story is not None
    assert [(a.verdict, a.provider_ids, len(a.receipts)) for a in story.attempts] == [
        (Status.DELIVERED, (newest[0].text and "old-44",), 1)
    ]


async def test_waiting_messages_are_due_as_told_and_the_schema_is_whole(tmp_path: pathlib.Path) -> None:
    made, usual = tmp_path / "made.db", tmp_path / "usual.db"
    await fill.waiting(made, 7, due_in=-1)
    await sqlite.migrate(usual)
    schemas = []
    for path in (made, usual):
        with sqlite3.connect(path) as raw:
            schemas.append(set(raw.execute("SELECT type, name, sql FROM sqlite_master").fetchall()))
            assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        raw.close()
    assert schemas[0] == schemas[1]
    outbox = await sqlite.SqliteOutbox.open(made, clock=clock.now)
    try:
        taken = await outbox.claim(free={"peer": 20}, lease=timedelta(minutes=1))
    finally:
        await outbox.close()
    assert len(taken.leases) == 7


def test_a_quick_run_measures_and_prints_everything(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "tests.bench", "--quick", "--only", "history,memory", "--results", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(processes.ROOT / "docker")}
    done = subprocess.run(
        command, cwd=processes.ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode in (0, 1), done.stderr  # 1: this machine is slower than what is required
    assert "a quick run" in done.stdout
    (data,) = tmp_path.glob("*.json")
    found = json.loads(data.read_text(encoding="utf-8"))["figures"]
    assert {one["section"] for one in found} == {"memory", "history"}
    assert len(found) == 7
    for one in found:
        assert one["agi_sms"] > 0, one
        assert one["floor"] > 0, one
        assert one["name"] in done.stdout
    assert data.with_suffix(".svg").exists()
