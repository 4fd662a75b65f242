"""What doctor sees of the outbox's files; nothing of them changes, and nothing stays behind."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agi_sms import clock
from agi_sms import doctor_facts as facts
from agi_sms.outbox import database, health, queries, sqlite

NEWEST = queries.migrations()[-1][0]
ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="file systems are mounted, and files given away, which only root may"
)
OTHER = 12345  # a user's id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "var"
    folder.mkdir(mode=0o700)
    return folder / "box.db"


def examine(path: Path) -> facts.Database:
    return health.examine(path, path.with_suffix(".spool"))


def files(path: Path) -> dict[str, tuple[int, int, int]]:
    """Every file beside it, with what would show a change."""
    found = {}
    for one in path.parent.iterdir():
        stat = one.stat()
        found[one.name] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return found


async def made(path: Path, *, owner: bool = False) -> sqlite.SqliteOutbox:
    return await sqlite.SqliteOutbox.open(path, clock=clock.now, owner=owner)


def test_nothing_is_there_yet(path: Path) -> None:
    found = examine(path)
    assert (found.exists, found.schema, found.spool_exists) == (False, None, False)
    assert (found.trouble, found.file_trouble, found.spool_trouble) == (None, None, None)
    assert found.fsync is not None
    assert timedelta(0) < found.fsync < timedelta(seconds=10)
    assert found.free
    assert files(path) == {}


async def test_of_a_gateway_that_does_not_run(path: Path) -> None:
    await (await made(path)).close()
    before = files(path)
    found = examine(path)
    assert (found.exists, found.schema, found.newest) == (True, NEWEST, NEWEST)
    assert (found.foreign, found.root_owned, found.file_trouble) == ("", (), None)
    assert files(path) == before


async def test_of_a_gateway_that_runs(path: Path) -> None:
    outbox = await made(path, owner=True)
    try:
        before = files(path)
        assert {"box.db", "box.db-wal", "box.db-shm", "box.db.lock"} <= before.keys()
        found = examine(path)
        assert (found.schema, found.trouble) == (NEWEST, None)
        after = files(path)
        assert after.pop("box.db-shm")[2] == before.pop("box.db-shm")[2]  # readers have their marks in there
        assert after == before
    finally:
        await outbox.close()


async def test_while_another_process_holds_the_write_lock(path: Path) -> None:
    outbox = await made(path)
    holder = sqlite3.connect(path, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        assert examine(path).schema == NEWEST
    finally:
        holder.close()
        await outbox.close()


@pytest.mark.parametrize(
    ("version", "expected"),
    [(NEWEST + 5, NEWEST + 5), (1, 1), ("many", None)],
)
async def test_another_schema(path: Path, version: object, expected: int | None) -> None:
    await (await made(path)).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (version,))
    raw.close()
    assert examine(path).schema == expected


def test_database_of_another_program(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    assert examine(path).schema == 0


@pytest.mark.parametrize("content", [b"", b"no database at all", b"SQLite format 3\0" + b"\xff" * 4096])
def test_what_is_no_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    before = files(path)
    assert examine(path).schema in (None, 0)
    assert files(path) == before


def test_names_that_an_address_cannot_hold(tmp_path: Path) -> None:
    """A `?` or `#` would begin another part of SQLite's address, and another file would be made."""
    path = tmp_path / "a?b#c%41.db"
    path.write_bytes(b"")
    assert examine(path).exists
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_no_folder(tmp_path: Path) -> None:
    found = examine(tmp_path / "none" / "box.db")
    assert found.trouble is not None
    assert found.trouble.code == "ENOENT"
    assert (found.fsync, found.free) == (None, None)
    assert not (tmp_path / "none").exists()


def test_others_may_write_it(path: Path) -> None:
    path.touch()
    path.chmod(0o666)
    assert "others than its owner may write" in examine(path).foreign


def test_network_file_system(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = f"1 0 0:1 / {path.parent} rw - nfs4 server:/x rw\n"
    monkeypatch.setattr(database, "_mountinfo", lambda: told)
    found = examine(path)
    assert (found.network, found.file_system) == (True, "nfs4")


def test_quarantine(path: Path) -> None:
    path.with_name("box.spool.quarantine").write_text("{}\n")
    assert examine(path).quarantine


@ROOT
async def test_files_that_root_has_made_in_the_folder_of_another(path: Path) -> None:
    await (await made(path)).close()
    os.chown(path.parent, OTHER, OTHER)
    found = examine(path)
    assert found.root_owned == (path,)
    assert (found.owner, found.user) == (str(OTHER), "root")
    os.chown(path, OTHER, OTHER)
    assert examine(path).root_owned == ()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.check_call(["mount", "-t", "tmpfs", "-o", "size=2m", "agi-sms-test", folder])
    yield folder / "box.db"
    subprocess.check_call(["umount", "-l", folder])


@ROOT
async def test_full_disk(small: Path) -> None:
    await (await made(small)).close()
    with (small.parent / "filling").open("wb") as file:
        free = shutil.disk_usage(small.parent).free
        os.posix_fallocate(file.fileno(), 0, free)
    before = files(small)
    found = examine(small)
    assert found.trouble is not None
    assert (found.trouble.code, found.free) == ("ENOSPC", 0)
    assert found.schema == NEWEST
    assert files(small) == before


@ROOT
async def test_read_only_file_system(small: Path) -> None:
    await (await made(small)).close()
    await asyncio.to_thread(subprocess.check_call, ["mount", "-o", "remount,ro", small.parent])
    found = examine(small)
    assert found.trouble is not None
    assert found.file_trouble is not None
    assert (found.trouble.code, found.file_trouble.code) == ("EROFS", "EROFS")
    assert found.schema == NEWEST
