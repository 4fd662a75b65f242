"""What only the SQLite outbox has: the file, its owner, its schema, its query plans, its one writer."""

# ruff: noqa: ASYNC240 - tests may wait for a small local file

import contextlib
import os
import re
import sqlite3
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from agi_sms import errors, message, ports, testing
from agi_sms.outbox import database, history, many, queries, rows
from agi_sms.outbox.sqlite import SqliteOutbox, migrate, owner_pid
from tests.contract import stores
from tests.contract.stores import MINUTE, activation, admit, draft, statuses

CLOCK = testing.FixedClock()
SQL = queries.load("sqlite")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lib" / "outbox.db"


async def opened(path: Path, *, owner: bool = False, patience: timedelta = MINUTE) -> SqliteOutbox:
    return await SqliteOutbox.open(
        path, clock=CLOCK, owner=owner, busy_timeout=timedelta(milliseconds=50), patience=patience
    )


async def made(path: Path) -> None:
    await (await opened(path)).close()


async def refused(path: Path, kind: type[errors.OutboxError], match: str) -> None:
    with pytest.raises(errors.OutboxError, match=match) as caught:
        await opened(path)
    assert type(caught.value) is kind


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def execute(path: Path, statement: str) -> None:
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute(statement)
    raw.close()


# --- the file --------------------------------------------------------------------------------------------------


async def test_nobody_else_reads_it(path: Path) -> None:
    before = os.umask(0)
    try:
        outbox = await opened(path, owner=True)
        await admit(outbox, "v1", CLOCK)
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == ["outbox.db", "outbox.db-shm", "outbox.db-wal", "outbox.db.lock"]
        assert {mode(file) for file in files} == {0o600}
        assert mode(path.parent) == 0o700
        await outbox.close()
    finally:
        os.umask(before)


async def test_every_commit_is_synced(path: Path) -> None:
    outbox = await opened(path)
    found = {}
    for name in ("synchronous", "journal_mode", "foreign_keys"):
        found[name] = await outbox._writing.run(lambda raw, name=name: raw.execute(f"PRAGMA {name}").fetchone()[0])  # type: ignore[misc]
    assert found == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1}
    await outbox.close()


async def test_one_owner(path: Path) -> None:
    assert owner_pid(path) is None
    with stores.child("own", str(path)) as child:
        assert await child.line() == "owned"
        assert owner_pid(path) == child.process.pid
        with pytest.raises(errors.OutboxOwned, match=f"process {child.process.pid}"):
            await opened(path, owner=True)
        assert owner_pid(path) == child.process.pid
        await made(path)  # a command beside it
        child.kill()
    assert owner_pid(path) is None
    outbox = await opened(path, owner=True)
    assert owner_pid(path) == os.getpid()
    await outbox.close()
    assert owner_pid(path) is None


async def test_a_failed_start_lets_go(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("not a database, really not")
    with pytest.raises(errors.OutboxForeign):
        await opened(path, owner=True)
    execute(path.with_name("other.db"), "CREATE TABLE theirs (x)")
    path.write_bytes(path.with_name("other.db").read_bytes())
    with pytest.raises(errors.OutboxForeign):
        await opened(path, owner=True)
    assert owner_pid(path) is None
    path.unlink()
    await made(path)


async def test_files_that_are_not_ours_stay_as_they_are(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("minutes of the meeting")
    await refused(path, errors.OutboxForeign, "not a SQLite database")
    assert path.read_text() == "minutes of the meeting"
    path.unlink()
    execute(path, "CREATE TABLE theirs (x)")
    before = path.read_bytes()
    await refused(path, errors.OutboxForeign, "another program")
    assert path.read_bytes() == before


async def test_a_newer_schema(path: Path) -> None:
    await made(path)
    execute(path, "UPDATE meta SET value = 999 WHERE key = 'schema'")
    await refused(path, errors.OutboxForeign, "newer agi-sms .schema 999")
    execute(path, f"UPDATE meta SET value = {queries.migrations()[-1][0]} WHERE key = 'schema'")
    await made(path)


async def test_damage(path: Path) -> None:
    await made(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (size - 100))
    await refused(path, errors.OutboxForeign, "damaged")


async def test_damage_that_shows_later(path: Path) -> None:
    outbox = await opened(path)
    for number in range(30):
        await admit(outbox, f"v{number}", CLOCK)
    await outbox.close()
    raw = sqlite3.connect(path)
    page = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'messages'").fetchone()[0]
    raw.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    outbox = await opened(path)
    with pytest.raises(errors.OutboxForeign, match="damaged"):
        await admit(outbox, "new", CLOCK)
    with pytest.raises(errors.OutboxForeign, match="damaged"):
        await outbox.history(ports.Query())
    await outbox.close()


async def test_places_that_cannot_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    await refused(tmp_path / "file" / "outbox.db", errors.OutboxError, "cannot be opened for writing")
    (tmp_path / "folder.db").mkdir()
    await refused(tmp_path / "folder.db", errors.OutboxError, "cannot be opened for writing")
    monkeypatch.setattr(database, "_mountinfo", lambda: f"1 0 0:1 / {tmp_path} rw - nfs4 server:/x rw\n")
    await refused(tmp_path / "sub" / "outbox.db", errors.OutboxError, "network file system .nfs4")


async def test_a_file_that_may_not_be_written(path: Path) -> None:
    """SQLite is told by PRAGMA, since permissions do not stop root."""
    outbox = await opened(path)
    await outbox._writing.run(lambda raw: raw.execute("PRAGMA query_only = ON").fetchall())
    with pytest.raises(errors.OutboxError, match="cannot be written"):
        await admit(outbox, "v1", CLOCK)
    await outbox.close()


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("/srv/x.db", "ext4"),
        ("/mnt/a/x.db", "nfs4"),
        ("/mnt/a b/x.db", "cifs"),
        ("/mnt/ab/x.db", "ext4"),
        ("/twice/x.db", "xfs"),
    ],
)
def test_file_system(where: str, kind: str) -> None:
    mounts = (
        "20 1 8:1 / / rw shared:1 - ext4 /dev/sda rw\n"
        "21 20 0:5 / /mnt/a rw - nfs4 server:/a rw\n"
        "22 20 0:6 / /mnt/a\\040b rw shared:3 master:1 - cifs //server/b rw\n"
        "23 20 0:7 / /twice rw - nfs server:/c rw\n"
        "24 20 0:8 / /twice rw - xfs /dev/sdb rw\n"
        "nonsense\n"
    )
    assert database.file_system(Path(where).parent, mounts) == kind
    assert database.file_system(Path(where), "") == ""


# --- schema and statements -------------------------------------------------------------------------------------


async def test_migrations_are_all_or_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = queries.migrations()
    newest = first[-1][0]
    broken = (*first, (newest + 1, "CREATE TABLE extra (x);\nCREATE TABLE messages (x);"))
    monkeypatch.setattr(queries, "migrations", lambda: broken)
    with pytest.raises(errors.OutboxError, match="already exists"):
        await migrate(path)
    monkeypatch.setattr(queries, "migrations", lambda: first)
    await migrate(path)
    outbox = await opened(path)
    await admit(outbox, "v1", CLOCK)
    await outbox.close()
    good = (*first, (newest + 1, "ALTER TABLE activations ADD COLUMN extra TEXT;\n"))
    monkeypatch.setattr(queries, "migrations", lambda: good)
    outbox = await opened(path)
    assert await statuses(outbox) == ["scheduled"]
    await outbox.close()
    monkeypatch.setattr(queries, "migrations", lambda: first)
    await refused(path, errors.OutboxForeign, f"schema {newest + 1}, this one knows {newest}")


async def test_hashes_depend_on_the_database(tmp_path: Path) -> None:
    found = []
    for name in ("a.db", "b.db"):
        outbox = await opened(tmp_path / name)
        await outbox.admit(activation("v1", CLOCK), [draft(CLOCK, once=True)])
        await outbox.close()
        raw = sqlite3.connect(tmp_path / name)
        found.append(raw.execute("SELECT once_key, recipient_hash FROM messages").fetchone())
        raw.close()
    assert len({one for pair in found for one in pair}) == 4
    assert {len(one) for pair in found for one in pair} == {16}
    keys = rows.Keys(b"k" * 32)
    assert keys.once("ab", "c", "d") != keys.once("a", "bc", "d")


HOT = {
    "visits": "activations",
    "admitted": "messages_activation",
    "once": "messages_once",
    "used": "counters",
    "use": "",
    "returned": "activations",
    "lapsed": "messages_leased",
    "of_earlier_run": "messages_leased",
    "close_attempt": "attempts",
    "amend_attempt": "attempts",
    "void": "messages",
    "expire": "messages_old",
    "forget_counters": "counters_end",
    "lease": "messages",
    "next_lapse": "messages_leased",
    "holds": "messages",
    "add_attempt": "attempts",
    "attempted": "messages",
    "decide": "messages",
    "end_lease": "messages",
    "expect_receipt": "messages",
    "attempt": "attempts",
    "any_open_attempt": "attempts",
    "judge_sent": "messages",
    "judge_fail": "messages",
    "retry": "messages",
    "of_activation": "messages_activation",
    "attempts": "attempts",
    "provider_ids": "submissions",
    "events": "events_message",
}


SCANNED = r"^SCAN (?!.*messages_leased|(\d+ )?CONSTANT ROW|told$)"


def plan(raw: sqlite3.Connection, sql: str) -> str:
    """How SQLite goes about it; with values for many rows, for many of them."""
    values: dict[str, int] | list[int] = dict.fromkeys(re.findall(r":(\w+)", sql), 1)
    if many.is_for_many(sql):
        sql = many.sized(sql, many.SIZES[0])
        values = [1] * sql.count("?")
    return "\n".join(row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", values))


async def test_no_statement_on_a_hot_path_reads_a_whole_table(path: Path) -> None:
    await made(path)
    raw = sqlite3.connect(path)
    for name, index in HOT.items():
        sql = SQL[name]
        steps = plan(raw, sql)
        assert index in steps, (name, steps)
        # The index of leased messages holds only what is being sent at the moment, `told` what the statement is told.
        assert not re.search(SCANNED, steps, re.MULTILINE), (name, steps)
        if name in ("lapsed", "next_lapse", "expire"):
            assert "TEMP B-TREE" not in steps, (name, steps)  # or it would read all that wait, to sort them
    raw.close()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (ports.Query(limit=9), "messages_by_time"),
        (ports.Query(node="n", limit=9), "messages_by_node"),
        (ports.Query(status=message.Status.HELD, limit=9), "messages_by_status"),
        (ports.Query(since=CLOCK(), limit=9), "messages_by_time"),
        (ports.Query(node="n", since=CLOCK(), until=CLOCK(), limit=9), "messages_by_node"),
        (ports.Query(number="415", limit=9), "messages_recipient"),
        (ports.Query(number="+48221131415", limit=9), "messages_recipient"),
        (ports.Query(call_id="c", limit=9), "activations_call"),
    ],
)
async def test_history_uses_an_index(path: Path, query: ports.Query, index: str) -> None:
    await made(path)
    raw = sqlite3.connect(path)
    where, _ = history._conditions(query)
    steps = plan(raw, f"{SQL['history']}{where}{SQL['newest_first']} LIMIT :limit")
    assert f"INDEX {index}" in steps
    if not (query.number or query.call_id):
        assert "TEMP B-TREE" not in steps
    raw.close()


def test_every_statement_is_sound(path: Path) -> None:
    parts = {"columns", "taken", "doubted", "maybe_taken", "newest_first", "by_quarter"}
    whole = {name for name in SQL if name not in parts and not name.startswith("if_")}
    raw = sqlite3.connect(":memory:")
    for _, script in queries.migrations():
        raw.executescript(script)
    for name in whole - {"begin"}:
        plan(raw, SQL[name])
    raw.close()


async def test_reading_waits_for_nobody_who_writes(path: Path) -> None:
    await made(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        box = await opened(path, patience=timedelta(0))
        assert await box.history(ports.Query()) == []
        await box.close()


# --- files that others could change ------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0o620, 0o602])
async def test_a_database_that_others_may_write_is_refused(path: Path, bits: int) -> None:
    await made(path)
    path.chmod(bits)
    await refused(path, errors.OutboxError, f"others than its owner may write .*chmod 600 {path}")
    path.chmod(0o640)
    await made(path)


async def test_a_database_of_another_user_is_refused_but_root_serves_the_directorys_owner(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(path)
    mine, stranger = os.getuid(), os.getuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    await refused(path, errors.OutboxError, rf"belongs to another user \(uid {mine}\).*chown {stranger} {path}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    await made(path)


async def test_a_lock_file_that_leads_elsewhere_is_refused(path: Path, tmp_path: Path) -> None:
    await made(path)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    database.lock_path(path).unlink(missing_ok=True)
    database.lock_path(path).symlink_to(victim)
    with pytest.raises(errors.OutboxError, match="symbolic link"):
        await opened(path, owner=True)
    assert owner_pid(path) is None
    assert victim.read_text() == "precious"
