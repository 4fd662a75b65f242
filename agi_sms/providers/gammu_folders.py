"""The folders of gammu-smsd's files service: one message is one file, and where the file is says what became of it.

smsd reads the first OUT file of its outbox, sends it, and moves it to its folder of sent files. It locks nothing: a
file that is taken out of the outbox while the modem sends it is sent all the same. So it counts as taken back only
where nobody has ever read it (its access time is still the one it was given) and nobody has it open (the kernel gives
a write lease on it).

As run with 1.42: what it cannot move to the sent files it has sent all the same, and moves it to its errors; what it
can move nowhere, it sends again at every turn; and what the modem refuses stays the first in the outbox, tried for
ever, and nothing behind it is sent.
"""

import enum
import fcntl
import os
import re
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agi_sms import plain_file

# OUT<priority><date>_<time>_<serial>_<recipient>_<note>.txt<options>; smsd has room for 99 characters
_NAME = re.compile(r"(OUT[A-Z][0-9]{8}_[0-9]{6}_[0-9]{3})_(\+?[0-9]{1,20})_([A-Za-z0-9-]{1,40})\.txt(d?)")
_MODE = 0o640  # smsd is another user, of the same group
_BOM = b"\xfe\xff"
_NEVER, _SEEN = 0, 1_000_000_000  # access times that we give, in ns: not read yet, and read before our last look
LARGEST_FILE = 64 * 1024


class Place(enum.Enum):
    """Where a message's file is."""

    OUTBOX = "outbox"
    SENT = "sent"
    ERROR = "error"
    NOWHERE = "nowhere"


@dataclass(frozen=True, kw_only=True)
class Name:
    """A file's name, taken apart. `stamp` holds priority and time; smsd sends in the order of names."""

    stamp: str
    to: str
    ref: str
    report: bool  # asks the network for a delivery report

    @classmethod
    def make(cls, to: str, ref: str, now: datetime, *, report: bool) -> "Name | None":
        """None where no safe name can be made of these."""
        utc = now.astimezone(UTC)
        stamp = f"OUTC{utc:%Y%m%d_%H%M%S}_{utc.microsecond // 1000:03d}"
        made = cls(stamp=stamp, to=to, ref=ref, report=report)
        return made if _NAME.fullmatch(str(made)) else None

    @classmethod
    def read(cls, name: str) -> "Name | None":
        """None where the file is not one of ours."""
        found = _NAME.fullmatch(name)
        return cls(stamp=found[1], to=found[2], ref=found[3], report=bool(found[4])) if found else None

    def __str__(self) -> str:
        return f"{self.stamp}_{self.to}_{self.ref}.txt{'d' if self.report else ''}"

    @property
    def id(self) -> str:
        """The name without the recipient's number."""
        return f"{self.stamp}_{self.ref}"


@dataclass(frozen=True, kw_only=True)
class Folders:
    """What smsd's configuration calls outboxpath, sentsmspath and errorsmspath. Every method raises OSError."""

    outbox: Path
    sent: Path
    error: Path

    def put(self, name: Name, text: str) -> None:
        """Put a message into the outbox, whole or not at all."""
        aside = self.outbox / f".{name}.new"  # smsd looks at no hidden file
        try:
            fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                left = memoryview(_BOM + text.encode("utf-16-be"))
                while left:
                    left = left[os.write(fd, left) :]
                os.fchmod(fd, _MODE)
                _forget_reads(fd)
                os.fsync(fd)
            finally:
                os.close(fd)
            aside.rename(self.outbox / str(name))
        except OSError:
            aside.unlink(missing_ok=True)
            raise

    def find(self, ref: str) -> Name | None:
        """The file in the outbox that holds this message already."""
        return next((name for name, _ in files(self.outbox) if name.ref == ref), None)

    def look(self, name: Name) -> tuple[Place, bool]:
        """Where a file is now, and whether it was read in the outbox since the last look."""
        path = self.outbox / str(name)
        try:
            found = path.lstat()
            fresh = found.st_atime_ns not in (_NEVER, _SEEN)
            if fresh:
                os.utime(path, ns=(_SEEN, found.st_mtime_ns), follow_symlinks=False)
            return Place.OUTBOX, fresh
        except FileNotFoundError:
            if (self.sent / str(name)).exists():
                return Place.SENT, False
            return (Place.ERROR if (self.error / str(name)).exists() else Place.NOWHERE), False

    def take_out(self, name: Name) -> bool:
        """Remove a file from the outbox; whether it is certain that nobody has read it.

        Raises FileNotFoundError where smsd has moved it.
        """
        certain = self._notices_reads()
        aside = self.outbox / f".{name}.out"
        (self.outbox / str(name)).rename(aside)
        certain = certain and _untouched(aside)
        aside.unlink()
        return certain

    def _notices_reads(self) -> bool:
        """Whether this file system notes access times (mounted noatime, or far away, it does not)."""
        probe = self.outbox / f".agi-sms-{os.getpid()}.probe"
        fd = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, b"?")
            _forget_reads(fd)
            os.pread(fd, 1, 0)
            return os.fstat(fd).st_atime_ns != _NEVER
        finally:
            os.close(fd)
            probe.unlink(missing_ok=True)


def files(folder: Path) -> Iterator[tuple[Name, os.stat_result]]:
    """Our files in a folder; a link, a pipe or a device is none, whatever it is called. Raises OSError."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = Name.read(entry.name)
            if name is not None:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # moved on meanwhile
                    continue
                if stat.S_ISREG(found.st_mode):
                    yield name, found


def beginning(path: Path) -> tuple[bytes, os.stat_result]:
    """At most LARGEST_FILE bytes of a file that others may have put there; never waits.

    Raises plain_file.NoFile, OSError.
    """
    fd = plain_file.opened(path, links=False)
    try:
        parts: list[bytes] = []
        left = LARGEST_FILE
        while left and (part := os.read(fd, left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts), os.fstat(fd)
    finally:
        os.close(fd)


def text_of(path: Path) -> str:
    """What a file of ours says. Raises plain_file.NoFile, OSError."""
    return beginning(path)[0].removeprefix(_BOM).decode("utf-16-be", "replace")


def _forget_reads(fd: int) -> None:
    os.utime(fd, ns=(_NEVER, os.fstat(fd).st_mtime_ns))


def _untouched(path: Path) -> bool:
    """Whether nobody has a file open, and nobody had read it before; False where this cannot be told."""
    try:
        fd = plain_file.opened(path, links=False)
    except plain_file.NoFile:
        return False
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # by default the kernel would end us where a lease is broken
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return os.fstat(fd).st_atime_ns == _NEVER
    except OSError:  # somebody has it open, or there are no leases here
        return False
    finally:
        os.close(fd)
