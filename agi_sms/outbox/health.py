"""What `agi-sms doctor` sees of the outbox's files, whether a gateway runs on them or not. Nothing stays changed.

Blocking, and for as long as the disk likes: call it in a thread. What is in the database is read without a lock, and
without the files that SQLite makes beside one that it opens.
"""

import contextlib
import os
import pwd
import secrets
import sqlite3
import statistics
import time
import urllib.parse
from datetime import timedelta
from pathlib import Path

from agi_sms import doctor_facts as facts
from agi_sms.outbox import database, queries

SYNCS = 9  # measured
_PAGE = 4096  # bytes
_BESIDE = ("", "-wal", "-shm", ".lock", ".status")  # files of ours, by what their names end in


def examine(path: Path, spool: Path) -> facts.Database:
    """The files of one outbox. Raises nothing but bugs."""
    folder = path.parent
    trouble, fsync = _measured(folder)
    kind = _file_system(folder)
    exists = _exists(path)
    return facts.Database(
        path=path,
        user=_user(os.geteuid()),
        owner=_owner(folder),
        trouble=trouble,
        fsync=fsync,
        foreign=_foreign(path) or _foreign(spool),
        root_owned=tuple(_root_owned(folder, [path.with_name(path.name + end) for end in _BESIDE] + [spool])),
        exists=exists,
        file_trouble=_access(path) if exists else None,
        schema=_schema(path) if exists else None,
        newest=queries.migrations()[-1][0],
        file_system=kind,
        network=kind in database.NETWORK,
        free=_free(folder),
        spool=spool,
        spool_trouble=_access(spool) if _exists(spool) else _folder(spool.parent),
        spool_exists=_exists(spool),
        quarantine=_exists(spool.with_name(spool.name + ".quarantine")),
    )


def _measured(folder: Path) -> tuple[facts.Trouble | None, timedelta | None]:
    """How long a write takes until it is on the disk, tried with a file that is gone before it is written to."""
    path = folder / f".agi-sms-doctor-{secrets.token_hex(6)}"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            path.unlink()
            times = []
            for number in range(SYNCS):
                begun = time.perf_counter()
                os.pwrite(handle, secrets.token_bytes(_PAGE), number * _PAGE)
                os.fsync(handle)
                times.append(time.perf_counter() - begun)
        finally:
            os.close(handle)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    except OSError as error:
        return _trouble(error), None
    return None, timedelta(seconds=statistics.median(times))


def _folder(path: Path) -> facts.Trouble | None:
    """Why no file can be made in a folder."""
    return None if os.access(path, os.W_OK | os.X_OK) else _denied(path)


def _access(path: Path) -> facts.Trouble | None:
    """Why a file cannot be read and written."""
    return None if os.access(path, os.R_OK | os.W_OK) else _denied(path)


def _denied(path: Path) -> facts.Trouble:
    try:
        path.stat()
    except OSError as error:
        return _trouble(error)
    with contextlib.suppress(OSError):
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return facts.Trouble(code="EROFS", detail="the file system is read-only")
    return facts.Trouble(code="EACCES", detail="this user may not write there")


def _trouble(error: OSError) -> facts.Trouble:
    return facts.Trouble(code=_CODES.get(error.errno or 0, "error"), detail=(error.strerror or str(error)).lower())


_CODES = {2: "ENOENT", 13: "EACCES", 1: "EACCES", 20: "ENOENT", 28: "ENOSPC", 30: "EROFS", 122: "ENOSPC"}


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _owner(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return _user(folder.stat().st_uid)
    return ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _foreign(path: Path) -> str:
    """Why others could change a file of ours, as its owner looks at it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return database.foreign(path, handle)
    finally:
        os.close(handle)


def _root_owned(folder: Path, paths: list[Path]) -> list[Path]:
    """Files that belong to root in a folder that belongs to somebody else, who cannot write them then."""
    found: list[Path] = []
    with contextlib.suppress(OSError):
        if folder.stat().st_uid == 0:
            return []
        for path in paths:
            with contextlib.suppress(OSError):
                if path.lstat().st_uid == 0:
                    found.append(path)
    return found


def _schema(path: Path) -> int | None:
    """The version of the tables, None where it cannot be told.

    With `immutable` SQLite makes no files beside the database; what a gateway that runs, or has crashed, has in its
    write-ahead log is not seen by that, so where there is a log, it is read with it.
    """
    alive = all(_exists(path.with_name(path.name + end)) for end in ("-wal", "-shm"))
    address = f"file:{urllib.parse.quote(str(path))}?mode=ro{'' if alive else '&immutable=1'}"
    try:
        raw = sqlite3.connect(address, uri=True, timeout=1)
    except sqlite3.Error:
        return None
    try:
        if raw.execute("PRAGMA application_id").fetchone()[0] != database.APPLICATION_ID:
            return 0
        return int(raw.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()[0])
    except (sqlite3.Error, TypeError, ValueError):
        return None
    finally:
        raw.close()


def _file_system(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return database.file_system(folder.resolve(), database._mountinfo())
    return ""


def _free(folder: Path) -> int | None:
    """Bytes that are left for us."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize
