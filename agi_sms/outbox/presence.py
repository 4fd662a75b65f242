"""Whether the database's files are still those that were opened: what is written to deleted ones is lost at the end."""

import contextlib
import itertools
import os
import sqlite3
from pathlib import Path

from agi_sms import errors

Identity = tuple[int, int]  # device and inode


class Presence:
    """Of the file and its write-ahead log. Used on the connection's own thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = (path, path.with_name(path.name + "-wal"))
        self._known: tuple[Identity | None, ...] | None = None
        self._saved: Path | None = None

    def check(self, raw: sqlite3.Connection) -> None:
        """Raises OutboxError where they are not; what they hold has been saved beside them then."""
        found = tuple(_identity(file) for file in self._files)
        if self._known is None or None in self._known:
            self._known = found  # the log is made by the first transaction
            return
        if found == self._known:
            return
        self._save(raw)
        raise errors.OutboxError(
            f"{self._path} or its -wal was deleted or replaced while agi-sms runs. All that was in it is saved in "
            f"{self._saved}: stop the gateway, remove {self._path} and its -wal and -shm where they are, move the "
            "saved file there, and start; calls that come until then wait in the spool"
        )

    def _save(self, raw: sqlite3.Connection) -> None:
        """Once: nothing is written after it. Without a time in the name, which the log would take for a number."""
        if self._saved is not None and self._saved.exists():
            return
        names = (self._path.with_name(f"{self._path.name}.rescued-{number}") for number in itertools.count(1))
        saved = next(name for name in names if not name.exists())
        try:
            os.close(os.open(saved, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            raw.execute("VACUUM INTO ?", (str(saved),))
        except (OSError, sqlite3.Error) as error:
            with contextlib.suppress(OSError):
                saved.unlink()
            raise errors.OutboxError(
                f"{self._path} or its -wal was deleted or replaced while agi-sms runs, and what was in it cannot be "
                f"saved as {saved} ({error}); what is wrong with that? Do not stop the gateway before it is saved: "
                f"it tries again. Calls that come until then wait in the spool"
            ) from error
        self._saved = saved


def _identity(path: Path) -> Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - before each transaction, so the shortest way
    except OSError:
        return None
    return found.st_dev, found.st_ino
