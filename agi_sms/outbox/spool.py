"""A file of fixed size for calls that the outbox does not take in time; it has its room before the disk is full.

The file is a header and records, one after the other. Each record carries the file's generation; once everything
is handed over, the header gets the next generation, and all older records are void without being touched.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import structlog

from agi_sms import errors, message, node, ports
from agi_sms.outbox import database, wire

log = structlog.get_logger(__name__)
T = TypeVar("T")

SIZE = 16 << 20  # bytes
WINDOW = 32  # records handed to the outbox at once, so that they share a commit
_MAGIC = b"agi-sms spool 1\n"
_HEADER = struct.Struct("<16sII")  # magic, generation, crc of both
_RECORD = struct.Struct("<III")  # length, generation, crc of both and the payload
_START = 512  # the header has a sector of its own, written whole or not at all


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a record's payload is."""

    offset: int
    length: int


class File:
    """The blocking half: used by one thread at a time."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.generation = 1
        self.tail = _START
        self.places: deque[Place] = deque()
        try:
            database.make_folder(path)
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise errors.SpoolError(f"the spool {path} cannot be opened: {error.strerror}") from error
        try:
            self._open(size)
        except BaseException:
            os.close(self._handle)
            raise

    def _open(self, size: int) -> None:
        if danger := database.foreign(self.path, self._handle):
            raise errors.SpoolError(danger)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.SpoolError(f"another agi-sms uses the spool {self.path}") from None
        try:
            found = os.fstat(self._handle).st_size
            header = os.pread(self._handle, _HEADER.size, 0)
            if header.strip(b"\0") and not header.startswith(_MAGIC):
                raise errors.SpoolError(f"{self.path} is not a spool of agi-sms; give the spool another path")
            self.size = max(size, found, _START)
            os.posix_fallocate(self._handle, 0, self.size)
            os.fsync(self._handle)
            if header.startswith(_MAGIC):
                self._find(header)
            else:
                self._stamp(1)
        except OSError as error:
            raise errors.SpoolError(f"the spool {self.path} cannot have its {size} bytes: {error.strerror}") from error

    def _find(self, header: bytes) -> None:
        """The records of this generation, up to the first that was not written to its end."""
        _, self.generation, check = _HEADER.unpack(header)
        if check != zlib.crc32(header[:-4]):
            raise errors.SpoolError(f"the header of the spool {self.path} is damaged; move the file away and keep it")
        while (place := self._at(self.tail)) is not None:
            self.places.append(place)
            self.tail = place.offset + place.length

    def _at(self, offset: int) -> Place | None:
        head = os.pread(self._handle, _RECORD.size, offset)
        if len(head) < _RECORD.size:
            return None
        length, generation, check = _RECORD.unpack(head)
        place = Place(offset=offset + _RECORD.size, length=length)
        if not length or generation != self.generation or place.offset + length > self.size:
            return None
        return place if zlib.crc32(self.read(place), zlib.crc32(head[:-4])) == check else None

    def _stamp(self, generation: int) -> None:
        head = _HEADER.pack(_MAGIC, generation, 0)[:-4]
        os.pwrite(self._handle, head + struct.pack("<I", zlib.crc32(head)), 0)
        os.fdatasync(self._handle)
        self.generation, self.tail = generation, _START

    def append(self, payloads: Sequence[bytes]) -> list[bool]:
        """Write and sync all that fit; which ones did. After an OSError none counts as written."""
        places, tail, fits = [], self.tail, []
        for payload in payloads:
            end = tail + _RECORD.size + len(payload)
            fits.append(end <= self.size)
            if fits[-1]:
                head = _RECORD.pack(len(payload), self.generation, 0)[:-4]
                check = struct.pack("<I", zlib.crc32(payload, zlib.crc32(head)))
                os.pwrite(self._handle, head + check + payload, tail)
                places.append(Place(offset=tail + _RECORD.size, length=len(payload)))
                tail = end
        os.fdatasync(self._handle)
        self.tail = tail
        self.places.extend(places)
        return fits

    def read(self, place: Place) -> bytes:
        return os.pread(self._handle, place.length, place.offset)

    def reset(self) -> None:
        """Start over, unless something was written meanwhile."""
        if not self.places and self.tail > _START:
            self._stamp((self.generation + 1) & 0xFFFFFFFF)

    def quarantine(self, payload: bytes, why: str) -> None:
        entry = {"why": why, "record": payload.decode("utf-8", "replace")}
        handle = os.open(
            self.path.with_name(self.path.name + ".quarantine"),
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
        )
        with os.fdopen(handle, "ab") as file:
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        os.close(self._handle)


class FileSpool:
    """`ports.Spool` in one file, on a thread of its own; writers that come together share a sync."""

    def __init__(self, file: File, executor: ThreadPoolExecutor) -> None:
        self._file = file
        self._executor = executor
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._replaying = asyncio.Lock()
        self._closed = False

    @classmethod
    async def open(cls, path: Path, size: int = SIZE) -> Self:
        """Take the file, at least `size` bytes of it; what an earlier run left is pending. SpoolError."""
        executor = ThreadPoolExecutor(1, "agi-sms-spool")
        try:
            file = await asyncio.get_running_loop().run_in_executor(executor, File, Path(path), size)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(file, executor)

    @property
    def pending(self) -> int:
        return len(self._file.places)

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        if self._closed:
            raise errors.SpoolError("the spool is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)
        except OSError as error:
            raise errors.SpoolError(f"the spool {self._file.path} fails: {error.strerror}") from error

    async def write(
        self, activation: ports.Activation, drafts: Sequence[message.Draft], limits: Sequence[node.Limit] = ()
    ) -> None:
        """Durable on return; SpoolFull where there is no room for this record."""
        try:
            payload = wire.dump(wire.Record(activation=activation, drafts=tuple(drafts), limits=tuple(limits)))
        except ValueError as error:
            raise errors.SpoolError(f"this cannot be spooled: {error}") from error
        if self._closed:
            raise errors.SpoolError("the spool is closed")
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((payload, answer))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="spool writer")
        await answer

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                trouble: list[errors.SpoolError | None]
                try:
                    written = await self._in_thread(self._file.append, [payload for payload, _ in batch])
                    trouble = [None if fits else errors.SpoolFull() for fits in written]
                except errors.SpoolError as error:
                    trouble = [error] * len(batch)
                for (_, answer), error_or_none in zip(batch, trouble, strict=True):
                    if answer.done():
                        continue
                    if error_or_none is None:
                        answer.set_result(None)
                    else:
                        answer.set_exception(error_or_none)
        finally:
            self._flushing = None

    async def replay(self, outbox: ports.Outbox) -> int:
        """Hand over in the order of writing; how many. Writes may go on meanwhile.

        Raises what the outbox raises when it is busy, full or broken; the rest stays. A record that it cannot
        store goes to the file `.quarantine` beside the spool, with a line in the log, and is not counted.
        """
        count = 0
        async with self._replaying:
            while self._file.places:
                count += await self._hand_over(outbox, tuple(self._file.places)[:WINDOW])
            await self._in_thread(self._file.reset)
        return count

    async def _hand_over(self, outbox: ports.Outbox, places: Sequence[Place]) -> int:
        payloads = [await self._in_thread(self._file.read, place) for place in places]
        results = await asyncio.gather(*(self._admit(outbox, payload) for payload in payloads), return_exceptions=True)
        count = 0
        for payload, result in zip(payloads, results, strict=True):
            if isinstance(result, errors.OutboxError) and not isinstance(result, errors.OutboxRefused):
                raise result
            if isinstance(result, Exception):  # this record's own fault, or a bug that it brings to light
                log.error("a spooled call cannot be stored; it is kept in quarantine", error=repr(result))
                await self._in_thread(self._file.quarantine, payload, str(result))
            elif isinstance(result, BaseException):
                raise result
            else:
                count += 1
            self._file.places.popleft()
        return count

    @staticmethod
    async def _admit(outbox: ports.Outbox, payload: bytes) -> ports.Admission:
        record = wire.load(payload)
        return await outbox.admit(record.activation, record.drafts, record.limits)

    async def close(self) -> None:
        """Finish what is being written and let go of the file. Harmless when repeated."""
        if self._closed:
            return
        if self._flushing is not None:
            await self._flushing
        self._closed = True
        with contextlib.suppress(RuntimeError):
            await asyncio.get_running_loop().run_in_executor(self._executor, self._file.close)
        self._executor.shutdown(wait=False)
