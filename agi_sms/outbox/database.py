"""The database file: who may open it, what must be true of it, and SQLite's words for trouble in ours."""

import asyncio
import contextlib
import errno
import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import aiosqlite

from agi_sms import errors
from agi_sms.outbox import queries

T = TypeVar("T")

APPLICATION_ID = 0x61676953  # "agiS", in the file's header: this database is ours
ROOM = 1 << 20  # bytes; an I/O error on a disk with less than this is a full disk
WAL_LIMIT = 64 << 20  # bytes that the write-ahead log may keep on disk after a burst

# SQLite's WAL needs shared memory and honest locks between all processes that use the file.
NETWORK = frozenset(
    (
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs"),
        *("nfs", "nfs4", "ocfs2", "smb3", "smbfs", "fuse.ceph", "fuse.davfs", "fuse.glusterfs", "fuse.rclone"),
        *("fuse.s3fs", "fuse.sshfs"),
    )
)


def file_system(path: Path, mountinfo: str) -> str:
    """The type of the file system that `path` is on, by /proc/self/mountinfo; empty if unknown."""
    longest, found = -1, ""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        point = Path(fields[4].encode("ascii", "replace").decode("unicode_escape"))
        if (path == point or point in path.parents) and len(point.parts) >= longest:
            longest, found = (
                len(point.parts),
                right.split()[0],
            )  # a later mount on the same point hides the earlier
    return found


def _mountinfo() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text("utf-8", "replace")
    except OSError:
        return ""


def prepare(path: Path) -> None:
    """Make the folder (0700) and the file (0600) where missing; refuse what cannot hold a database."""
    try:
        make_folder(path)
        kind = file_system(path.parent.resolve(), _mountinfo())
        if kind in NETWORK:
            raise errors.OutboxError(
                f"{path} is on a network file system ({kind}), where SQLite loses data; use a local disk"
            )
        existed = path.exists()
        if not existed and (pid := owner_pid(path)) is not None:
            raise errors.OutboxError(
                f"{path} is gone, and a gateway (process {pid}) runs on it; its log says where it was saved, "
                "and what to do"
            )
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _ours_alone(path, handle)
            header = os.read(handle, 16)
        finally:
            os.close(handle)
        if not existed:
            _sync_directory(path.parent)
    except OSError as error:
        raise _refused(path, error) from error
    if header and header != b"SQLite format 3\0":
        raise errors.OutboxForeign(
            f"{path} is not a SQLite database; move it away, or give the outbox another path. Nothing was changed"
        )


def make_folder(path: Path) -> None:
    """The last folder of a file's path (0700), where it is missing; raises OutboxError where those above it are.

    A path with a slip in it shall not make folders that nobody looks into.
    """
    above = path.absolute().parent.parent
    if not above.exists():
        raise errors.OutboxError(f"{path}: there is no folder {above}; make it, or mend the path")
    path.parent.mkdir(mode=0o700, exist_ok=True)


def _ours_alone(path: Path, handle: int) -> None:
    if danger := foreign(path, handle):
        raise errors.OutboxError(danger)


def foreign(path: Path, handle: int) -> str:
    """Why others could change an open file of ours, empty where only we and root can."""
    facts, us = os.fstat(handle), os.geteuid()
    trusted = {us} if us else {0, path.parent.stat().st_uid}  # root's commands serve the files of another user
    if facts.st_uid not in trusted:
        return (
            f"{path} belongs to another user (uid {facts.st_uid}), who could change it; if it is the right file: "
            f"chown {us or path.parent.stat().st_uid} {path}"
        )
    if facts.st_mode & 0o022:
        return f"others than its owner may write {path}; if nobody has: chmod 600 {path}"
    return ""


def _refused(path: Path, error: OSError) -> errors.OutboxError:
    if error.errno == errno.ELOOP:
        return errors.OutboxError(f"{path} is a symbolic link, which may lead anywhere; remove it")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return errors.OutboxFull(f"{path} cannot be made: the disk is full; make room")
    return errors.OutboxError(
        f"{path} cannot be opened for writing: {error.strerror}; the user of agi-sms needs to write this "
        f"file and to make files in {path.parent}"
    )


def _sync_directory(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- one owner --------------------------------------------------------------------------------------------


def lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


async def own(path: Path) -> int:
    """Take the lock file and write our pid into it; returns the handle to close. OutboxOwned if another has it."""
    try:
        handle = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _refused(lock_path(path), error) from error
    for wait in (0.02, 0.05, 0.1, None):  # owner_pid() of another process holds the lock for an instant
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if wait is None:
                pid = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
                os.close(handle)
                raise errors.OutboxOwned(
                    f"another agi-sms (process {pid or 'unknown'}) already runs on {path}; stop it, "
                    "or give this one an outbox of its own"
                ) from None
            await asyncio.sleep(wait)
        else:
            break
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        os.close(handle)
        raise _refused(lock_path(path), error) from error
    return handle


def owner_pid(path: Path) -> int | None:
    """The process that runs the gateway on this outbox, None where none does."""
    try:
        handle = os.open(lock_path(Path(path)), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(handle, 32, 0).strip()
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(handle)


# --- one connection ---------------------------------------------------------------------------------------


class Session(aiosqlite.Connection):
    """A connection whose unit of work is a plain function over sqlite3, run on the connection's own thread.

    aiosqlite's statements cost a hop between threads each; a transaction of a hundred statements would spend
    its time waiting for the event loop while it holds the write lock. So a whole transaction is one hop.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._thread.daemon = True  # a crash elsewhere must not leave the process hanging

    @classmethod
    async def open(cls, path: Path, *, busy: timedelta, reads_only: bool = False) -> Self:
        def connect() -> sqlite3.Connection:
            raw = sqlite3.connect(path, isolation_level=None, timeout=busy.total_seconds(), cached_statements=256)
            raw.row_factory = sqlite3.Row
            try:
                raw.execute("PRAGMA foreign_keys = ON")
                raw.execute("PRAGMA synchronous = FULL")
                raw.execute("PRAGMA trusted_schema = OFF")
                raw.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
                if reads_only:
                    raw.execute("PRAGMA query_only = ON")
            except BaseException:
                raw.close()
                raise
            return raw

        session = cls(connect)
        try:
            await session
        except BaseException:
            await asyncio.to_thread(session._thread.join)  # its last word needs the event loop, so not later
            raise
        return session

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns; it may use the connection until it returns."""
        result: T = await self._execute(work, self._conn)  # type: ignore[no-untyped-call]
        return result


# --- schema -----------------------------------------------------------------------------------------------


def migrate(raw: sqlite3.Connection, path: Path) -> bytes:
    """Bring the schema up to date in one transaction; returns the database's secret. Harmless if repeated."""
    newest = queries.migrations()[-1][0]
    if _found(raw, path) == newest:  # nothing to write, so nobody who writes is waited for
        return _secret(raw)
    if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("BEGIN IMMEDIATE")
    try:
        version = _ours(raw, path)
        if version > newest:
            raise _newer(path, version, newest)  # noqa: TRY301
        if version > 0 and (pid := owner_pid(path)) not in (None, os.getpid()):
            raise errors.OutboxForeign(  # noqa: TRY301
                f"an older agi-sms (process {pid}) runs on {path}; stop it first. Nothing was changed"
            )
        for number, script in queries.migrations():
            if number > version:
                _script(raw, script)
                _set(raw, "schema", number)
        if version == 0:
            _set(raw, "secret", secrets.token_bytes(32))
            raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        secret = _secret(raw)
        raw.execute("COMMIT")
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raise
    return secret


def _secret(raw: sqlite3.Connection) -> bytes:
    secret: bytes = raw.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()[0]
    return secret


def _newer(path: Path, version: int, newest: int) -> errors.OutboxForeign:
    return errors.OutboxForeign(
        f"{path} was written by a newer agi-sms (schema {version}, this one knows {newest}); "
        "upgrade agi-sms, or restore the backup from before the upgrade"
    )


def _found(raw: sqlite3.Connection, path: Path) -> int:
    """As _ours(), of one state: another process may be making the tables just now."""
    raw.execute("BEGIN")
    try:
        return _ours(raw, path)
    finally:
        if raw.in_transaction:
            raw.execute("ROLLBACK")


def _ours(raw: sqlite3.Connection, path: Path) -> int:
    """The schema's version, 0 where the database is empty; within a transaction."""
    mark = raw.execute("PRAGMA application_id").fetchone()[0]
    if mark == APPLICATION_ID:
        return int(raw.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()[0])
    if mark != 0 or raw.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise errors.OutboxForeign(
            f"{path} is the SQLite database of another program; give the outbox another path. Nothing was changed"
        )
    return 0


def _set(raw: sqlite3.Connection, key: str, value: Any) -> None:
    raw.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = ?",
        (key, value, value),
    )


def _script(raw: sqlite3.Connection, script: str) -> None:
    """sqlite3's own executescript commits first, and a migration must be all or nothing."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            raw.execute(statement)
            statement = ""
    if statement.strip():
        raise ValueError("a migration ends in the middle of a statement")


async def set_up(session: Session, path: Path, patience: timedelta) -> bytes:
    """Migrate, however long another process is busy, up to `patience`."""
    return await patiently(lambda: session.run(lambda raw: migrate(raw, path)), path, patience)


async def patiently(ask: Callable[[], Awaitable[T]], path: Path, patience: timedelta) -> T:
    """What `ask` gives, asked again while another process holds the database, up to `patience`; trouble translated."""
    deadline = time.monotonic() + patience.total_seconds()
    while True:
        try:
            return await ask()
        except Exception as error:
            if not is_busy(error) or time.monotonic() > deadline:
                trouble = translate(error, path)
                if trouble is error:
                    raise
                raise trouble from error
        await asyncio.sleep(0.05)


# --- trouble ----------------------------------------------------------------------------------------------


def is_busy(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _room(path: Path) -> bool:
    with contextlib.suppress(OSError):
        disk = os.statvfs(path.parent)
        return disk.f_bavail * disk.f_frsize >= ROOM
    return True


def translate(error: Exception, path: Path) -> Exception:
    """Our word for what SQLite (or the binding of a value) raised; what is a bug stays as it is."""
    if isinstance(error, (UnicodeError, OverflowError)):
        return errors.OutboxRefused(f"this cannot be stored: {error}")
    if not isinstance(error, sqlite3.Error):
        return error
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return errors.OutboxBusy(f"another process holds {path} (a backup, an open transaction in a shell?)")
        case sqlite3.SQLITE_FULL:
            return errors.OutboxFull(f"no room for {path}: the disk is full; make room and it goes on")
        case sqlite3.SQLITE_IOERR:
            if not _room(path):
                return errors.OutboxFull(f"no room for {path}: the disk is full; make room and it goes on")
            return errors.OutboxError(f"the disk that holds {path} fails: {error}; see the system's log")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return errors.OutboxForeign(
                f"{path} is damaged ({error}); stop the gateway, keep the file and its -wal, restore a backup "
                "or read what can be read with `sqlite3 FILE .recover`"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return errors.OutboxError(
                f"{path} cannot be written ({error}); the user of agi-sms needs to write this file and to "
                f"make files in {path.parent}"
            )
        case sqlite3.SQLITE_CONSTRAINT | sqlite3.SQLITE_MISMATCH | sqlite3.SQLITE_TOOBIG | sqlite3.SQLITE_RANGE:
            return errors.OutboxRefused(f"this cannot be stored: {error}")
        case 0:
            return errors.OutboxRefused(f"this cannot be stored: {error}")
    return errors.OutboxError(f"{path}: {error}")
