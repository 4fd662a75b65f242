"""Appends each SMS to a file as one line of JSON: for a script that sends them, for tests, for an audit.

What it says yes to is `acceptance`: the line is on the disk.
"""

import errno
import fcntl
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from agi_sms import harmless, message, ports
from agi_sms.providers import common, writer


def _writable(path: Path) -> Path:
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} does not exist; make it, writable for the gateway")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; write a file's name")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no ordinary file; lines could not be made durable there")
    return path


class FileSettings(common.Settings):
    """`type: file`. The folder of `path` must exist; the file is made with mode 0600."""

    type: Literal["file"] = "file"
    path: Annotated[common.LocalPath, pydantic.AfterValidator(_writable)]


class _HalfLine(OSError):
    """Part of a line may have stayed in the file."""


class FileProvider:
    """One line per message, whole or not at all, on the disk before it counts. Follows a rotated file."""

    Settings = FileSettings
    confirms = ports.Confirms.ACCEPTANCE
    idempotent = False

    def __init__(
        self,
        name: str,
        settings: FileSettings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self.on_uncertain = settings.on_uncertain
        self.timeout = settings.timeout
        self._path = settings.path
        self._clock = clock
        self._writer = writer.Writer(name)
        self._fd: int | None = None

    async def send(self, submission: ports.Submission) -> message.Outcome:
        """Accepted when on the disk; ProviderDown where the file cannot be written or the disk is full."""
        line = record(submission, self._clock())
        try:
            await self._writer.do(lambda: self._append(line), self.timeout)
        except writer.NotBegun:
            return message.ProviderDown(code="blocked", detail=f"{self._path} takes no more")
        except writer.Unfinished:
            return message.Uncertain(code="blocked", detail=f"writing {self._path} did not end in time")
        except _HalfLine as error:
            return message.Uncertain(code="output", detail=f"{self._path}: {error.strerror}")
        except OSError as error:
            code = errno.errorcode.get(error.errno or 0, "")
            return message.ProviderDown(code=code, detail=f"{self._path}: {error.strerror}")
        return message.Accepted(ids=(f"{self.name}-{submission.ref}-{submission.attempt}",))

    async def close(self) -> None:
        """Finish the last line and let the file go."""
        if await self._writer.close():
            self._drop()

    def _drop(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _open(self) -> int:
        """The file now at the path, also after somebody has moved the former one away."""
        if self._fd is not None:
            ours = os.fstat(self._fd)
            try:
                there = self._path.stat()
            except FileNotFoundError:
                there = None
            if there is not None and (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino):
                return self._fd
            self._drop()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd

    def _append(self, line: bytes) -> None:
        fd = self._open()
        fcntl.flock(fd, fcntl.LOCK_EX)  # so that what is cut off again is never another process's line
        try:
            before = os.fstat(fd).st_size
            try:
                left = memoryview(line)
                while left:
                    left = left[os.write(fd, left) :]
                os.fsync(fd)
            except OSError as error:
                _cut(fd, before, error)
                raise
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)


def _cut(fd: int, size: int, cause: OSError) -> None:
    try:
        os.ftruncate(fd, size)
    except OSError as error:
        raise _HalfLine(error.errno, f"{cause.strerror}, and cannot be cut back: {error.strerror}") from cause


def record(submission: ports.Submission, now: datetime) -> bytes:
    """The line for one message. What is invisible is escaped: the file can be read in a terminal."""
    fields = {
        "time": now.isoformat(timespec="milliseconds"),
        "ref": submission.ref,
        "to": submission.to,
        "sender": submission.sender,
        "text": submission.text,
        "encoding": submission.encoding.value,
        "segments": submission.segments,
        "node": submission.node,
        "attempt": submission.attempt,
    }
    line = json.dumps(fields, ensure_ascii=False)
    if not line.isprintable():
        line = "".join(_escaped(c) if harmless.hidden(c) else c for c in line)
    return f"{line}\n".encode()


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1] if ord(char) > 0x7F else f"\\u{ord(char):04x}"
