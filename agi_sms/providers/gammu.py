"""Sends by a modem or a phone behind gammu-smsd, by its files service.

A message is `accepted` when smsd has moved its file to the sent ones, and `delivered` where the network's report lies
in smsd's inbox. What is among its errors may have been sent (see gammu_folders), so it is a doubt. A file that smsd
does not move on is taken out of the outbox in the end: else it would be sent again and again, or be in the way.

smsd must say: service = files, the three folders (each a folder of its own), transmitformat = auto; for reports also
deliveryreport = sms and inboxformat = detail. Its database service is not supported: its tables have a version of
their own in each release, and the files do the same. Written after smsd/services/files.c and smsd/core.c.
"""

import asyncio
import contextlib
import errno
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import pydantic
import structlog

from agi_sms import durations, errors, message, metrics, ports, segments, under_way
from agi_sms.message import Status
from agi_sms.providers import common, free_places, gammu_folders, gammu_reports, writer
from agi_sms.providers.gammu_folders import Name, Place
from agi_sms.providers.gammu_reports import Verdict

MOST_SEGMENTS = 20  # smsd silently cuts off what is beyond 50
MOST_READS = 4  # times that smsd may begin with a message again, beside once for each segment that it has sent
SEGMENT = timedelta(seconds=30)  # that smsd has for each segment beyond the first; its own sendtimeout
LOOK_EVERY = 0.2  # seconds
SCAN_EVERY = 5.0  # seconds
WINDOW = timedelta(hours=48)  # how long a file is of interest
_TOGETHER = 100  # receipts in one commit
_LAST_LOOK = timedelta(seconds=2)
_SCAN = timedelta(seconds=60)  # the longest that one may take
_FINAL = {Verdict.DELIVERED: Status.DELIVERED, Verdict.FAILED: Status.FAILED}

T = TypeVar("T")

log = structlog.get_logger(__name__)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError(f"the folder {path} does not exist; it is made for gammu-smsd, writable for the gateway")
    if path.stat().st_mode & stat.S_ISVTX:
        raise ValueError(f"the folder {path} has the sticky bit: smsd could move nothing, and send it again and again")
    return path


Folder = Annotated[common.LocalPath, pydantic.AfterValidator(_folder)]


class GammuSettings(common.Settings):
    """`type: gammu`. `timeout` is for a free place, and then for what becomes of the file."""

    type: Literal["gammu"] = "gammu"
    timeout: common.Timeout = timedelta(seconds=60)
    outbox: Folder
    sent: Folder
    error: Folder
    inbox: Folder | None = None  # where there are delivery reports
    concurrency: int = pydantic.Field(default=3, ge=1, le=100)  # files in the outbox

    @pydantic.model_validator(mode="after")
    def _apart(self) -> "GammuSettings":
        found = [path.resolve() for path in (self.outbox, self.sent, self.error, self.inbox) if path is not None]
        if len(set(found)) < len(found):
            raise ValueError("outbox, sent, error and inbox must be different folders, here and in gammu-smsdrc")
        return self


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What a scan came to: the ids of our files, what is to be said of them, and why the inbox could not be read."""

    there: frozenset[str]
    receipts: tuple[ports.Receipt, ...]
    fault: str = ""


class GammuProvider:
    """One gammu-smsd."""

    Settings = GammuSettings
    idempotent = False  # only as long as the file is in the outbox

    def __init__(
        self, name: str, settings: GammuSettings, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.name = name
        self.confirms = ports.Confirms.ACCEPTANCE if settings.inbox is None else ports.Confirms.DELIVERY
        self.on_uncertain = settings.on_uncertain
        self.timeout = 2 * settings.timeout + (MOST_SEGMENTS - 1) * SEGMENT + 4 * _LAST_LOOK
        self._settings = settings
        self._clock = clock
        self._folders = gammu_folders.Folders(outbox=settings.outbox, sent=settings.sent, error=settings.error)
        self._places = free_places.Places(settings.concurrency, settings.timeout)
        self._disk = writer.Writer(name)
        self._scanner = writer.Writer(f"{name}-scan")
        self._followed: set[str] = set()  # refs of messages whose files send() follows
        self._told: set[tuple[str, Status]] = set()  # what is known of files, by send() or by a receipt
        self._reports: dict[str, gammu_reports.Report | None] = {}  # by the name of an inbox file
        self._sizes: dict[str, int] = {}  # segments of sent files
        self._under_way = under_way.UnderWay()
        self._moved = 0  # files that smsd has moved
        self._closed = False

    # --- sending ----------------------------------------------------------------------------------------------

    async def send(self, submission: ports.Submission) -> message.Outcome:
        """One file, and what becomes of it. Raises nothing but CancelledError."""
        if self._closed:
            return message.ProviderDown(code="closed", detail="this provider was replaced, or is shutting down")
        sized = segments.measure(submission.text)
        if sized.segments > MOST_SEGMENTS:
            return message.Rejected(
                code="segments", detail=f"more than {MOST_SEGMENTS} segments: smsd would cut it off"
            )
        reports = self._settings.inbox is not None
        name = Name.make(submission.to, submission.ref, self._clock(), report=reports)
        if name is None:
            return message.Rejected(code="to", detail="no file name can be made of this recipient")
        with self._under_way:
            try:
                await self._places.take()
            except TimeoutError:
                detail = f"{self._settings.concurrency} messages are in the outbox, and none has moved on"
                return message.ProviderDown(code="busy", detail=detail)
            self._followed.add(name.ref)
            try:
                return await self._one(name, sized, again=submission.attempt > 1)
            finally:
                self._followed.discard(name.ref)
                self._places.give()

    async def _one(self, name: Name, sized: segments.Sized, *, again: bool) -> message.Outcome:
        patience = self._settings.timeout + (sized.segments - 1) * SEGMENT
        until = asyncio.get_running_loop().time() + patience.total_seconds()

        def put() -> Name:
            """An earlier attempt may still be in the outbox; a second file would be a second SMS."""
            there = self._folders.find(name.ref) if again else None
            if there is None:
                self._folders.put(name, sized.text)
            return there or name

        try:
            placed = await self._do(put, self._settings.timeout)
        except writer.NotBegun:
            return message.ProviderDown(code="blocked", detail="the outbox's disk takes nothing")
        except writer.Unfinished:
            return message.Uncertain(code="blocked", detail="writing into the outbox did not end in time")
        except OSError as error:
            return message.ProviderDown(code=_code(error), detail=f"{self._settings.outbox}: {error.strerror}")
        return await self._follow(placed, until, MOST_READS + sized.segments)

    async def _follow(self, name: Name, until: float, most: int) -> message.Outcome:
        """Wait until smsd has moved the file; take it out where that does not happen, or it begins again and again."""
        loop = asyncio.get_running_loop()
        moved, reads = self._moved, 0
        try:
            place, fresh = await self._do(lambda: self._folders.look(name), _LAST_LOOK)
            while place is Place.OUTBOX and (reads := reads + fresh) < most and loop.time() < until:
                await asyncio.sleep(min(LOOK_EVERY, max(0.0, until - loop.time())))
                place, fresh = await self._do(lambda: self._folders.look(name), _LAST_LOOK)
            if place is Place.OUTBOX:
                try:
                    return self._taken_out(
                        moved, certain=await self._do(lambda: self._folders.take_out(name), _LAST_LOOK)
                    )
                except FileNotFoundError:  # smsd has just moved it
                    place, _ = await self._do(lambda: self._folders.look(name), _LAST_LOOK)
        except (writer.NotBegun, writer.Unfinished):
            return message.Uncertain(code="blocked", detail="the disk of smsd's folders does not answer")
        except OSError as error:
            return message.Uncertain(code=_code(error), detail=f"smsd's folders: {error.strerror}")
        return self._judged(name, place)

    def _taken_out(self, moved: int, *, certain: bool) -> message.Outcome:
        if not certain:
            return message.Uncertain(
                code="unsent", detail="smsd has begun with it and not ended; taken out of its outbox"
            )
        waited = durations.show(self._settings.timeout)
        detail = f"smsd did not look at it within {waited}; taken back"
        return (message.ProviderDown if self._moved == moved else message.Retry)(code="idle", detail=detail)

    def _judged(self, name: Name, place: Place) -> message.Outcome:
        self._moved += place in (Place.SENT, Place.ERROR)
        match place:
            case Place.SENT:
                self._told.add((name.id, Status.ACCEPTED))
                return message.Accepted(ids=(name.id,))
            case Place.ERROR:
                return message.Uncertain(
                    code="error", detail="smsd moved it to its errors; its log says whether it went"
                )
        return message.Uncertain(code="vanished", detail="its file is in none of smsd's folders any more")

    async def close(self) -> None:
        """Wait for files that are followed (each by its own deadline), then let the threads go."""
        self._closed = True
        await self._under_way.ended()
        await self._disk.close()
        await self._scanner.close()

    # --- what becomes of files later --------------------------------------------------------------------------

    async def run(self, take: ports.TakeReceipts) -> None:
        """Tell what became of messages that nobody waits for any more, and what the network reports."""
        fault = ""
        while True:
            before, fault = fault, ""
            try:
                found = await self._do(self._scan, _SCAN, self._scanner)
                fault = found.fault
                self._told = {key for key in self._told if key[0] in found.there}
                fresh = [one for one in found.receipts if (one.provider_id, one.state) not in self._told]
                for start in range(0, len(fresh), _TOGETHER):
                    await self._keep(take, fresh[start : start + _TOGETHER])
            except (writer.NotBegun, writer.Unfinished):
                fault = "no answer"
            except OSError as error:
                fault = f"{error.strerror}"  # its whole text would tell numbers
            if fault and fault != before:
                log.warning("smsd's folders cannot be read", provider=self.name, error=fault)
            await asyncio.sleep(SCAN_EVERY)

    async def _keep(self, take: ports.TakeReceipts, receipts: list[ports.Receipt]) -> None:
        """What cannot be kept now is found again by the next scan."""
        try:
            await take(self.name, receipts)
        except errors.OutboxRefused as error:
            if len(receipts) > 1:  # the bad one harms no other
                for one in receipts:
                    await self._keep(take, [one])
                return
            metrics.fault("receipt")
            log.error("what became of a message cannot be stored", provider=self.name, error=str(error))
        except errors.OutboxError:
            metrics.fault("receipt")
            return
        self._told |= {(one.provider_id, one.state) for one in receipts}

    def _scan(self) -> "_Found":
        """All that can be said of our files. Runs in a thread."""
        oldest = time.time() - WINDOW.total_seconds()
        sent = _recent(self._folders.sent, oldest)
        news = [(name, Status.ACCEPTED, "in smsd's sent folder") for name, _ in sent if name.ref not in self._followed]
        fault = ""
        try:
            reports = self._matched(sent, oldest)
            news += [(name, _FINAL[verdict], f"reported: {verdict.value}") for name, verdict in reports]
        except OSError as error:
            fault = f"{error.strerror}"
        self._clear(time.time() - self.timeout.total_seconds())
        return _Found(
            there=frozenset(name.id for name, _ in sent),
            receipts=tuple(
                ports.Receipt(provider_id=name.id, ref=name.ref, state=state, raw=f"{name.id} {words}", detail=words)
                for name, state, words in news
            ),
            fault=fault,
        )

    def _clear(self, oldest: float) -> None:
        """Take out of the outbox what an earlier run left there, and smsd has begun with and does not end."""
        for name, found in gammu_folders.files(self._folders.outbox):
            if name.ref not in self._followed and found.st_mtime < oldest and found.st_atime_ns:
                with contextlib.suppress(FileNotFoundError):  # smsd has just moved it
                    self._folders.take_out(name)
                    log.warning("took a message out of smsd's outbox, which it does not get rid of", file=name.id)

    def _matched(self, sent: Iterable[tuple[Name, float]], oldest: float) -> list[tuple[Name, Verdict]]:
        inbox = self._settings.inbox
        if inbox is None:
            return []
        self._reports = dict(_inbox(inbox, oldest, self._reports))
        asked = [(name, at) for name, at in sent if name.report]
        self._sizes = {str(name): self._size(name) for name, _ in asked}
        messages = [gammu_reports.Sent(name=name, segments=self._sizes[str(name)], at=at) for name, at in asked]
        return list(gammu_reports.matched(messages, filter(None, self._reports.values())))

    def _size(self, name: Name) -> int:
        if (known := self._sizes.get(str(name))) is not None:
            return known
        return segments.measure(gammu_folders.text_of(self._folders.sent / str(name))).segments

    # --- threads ----------------------------------------------------------------------------------------------

    async def _do(self, job: Callable[[], T], patience: timedelta, thread: writer.Writer | None = None) -> T:
        """Have a job done where it can wait for a disk. Raises what it raises, writer.NotBegun, writer.Unfinished."""
        found: list[T] = []
        await (thread or self._disk).do(lambda: found.append(job()), patience)
        return found[0]


def _recent(folder: Path, oldest: float) -> list[tuple[Name, float]]:
    """Our files in a folder, with the time when they were made."""
    return [(name, stat.st_mtime) for name, stat in gammu_folders.files(folder) if stat.st_mtime > oldest]


def _inbox(
    folder: Path, oldest: float, known: dict[str, gammu_reports.Report | None]
) -> Iterable[tuple[str, gammu_reports.Report | None]]:
    """Each inbox file of interest, read once."""
    for path in sorted(folder.iterdir()):
        try:
            if path.name.startswith("IN") and stat.S_ISREG((found := path.lstat()).st_mode) and found.st_mtime > oldest:
                yield path.name, known[path.name] if path.name in known else gammu_reports.read(path)
        except FileNotFoundError:
            continue


def _code(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "")
