"""The gammu provider: one file a message, and the truth about what smsd may have taken of it."""

import asyncio
import contextlib
import os
import stat
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pydantic
import pytest

from agi_sms import errors, message, ports
from agi_sms.message import Status
from agi_sms.providers import gammu, gammu_folders, gammu_reports
from agi_sms.providers.gammu_reports import Verdict
from tests.contract import doors, fake_smsd, subjects

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
STAMP = "OUTC20260301_120000_123"
NUMBER = "+48600100200"
FILE = f"{STAMP}_{NUMBER}_m1.txt"


def provider(smsd: fake_smsd.Smsd, **changes: Any) -> gammu.GammuProvider:
    return gammu.GammuProvider("modem", smsd.settings(**changes), clock=lambda: NOW)


async def left_behind(smsd: fake_smsd.Smsd) -> None:
    """A message whose file is in the outbox, and nobody waits for it."""
    made = provider(smsd)
    task = asyncio.create_task(made.send(subjects.submission()))
    await doors.until(lambda: FILE in smsd.names("outbox"))
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    await made.close()


@pytest.fixture
def smsd(tmp_path: Path) -> fake_smsd.Smsd:
    return fake_smsd.Smsd(tmp_path)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that waits in production waits less here."""
    monkeypatch.setattr(gammu, "LOOK_EVERY", 0.005)
    monkeypatch.setattr(gammu, "SCAN_EVERY", 0.01)
    monkeypatch.setattr(gammu, "SEGMENT", timedelta(0))


@dataclass
class Keeper:
    """Keeps receipts as the outbox would; `faults` are raised first."""

    kept: list[ports.Receipt] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    bad: str = ""  # the ref of one that cannot be stored

    async def __call__(self, provider: str, receipts: Sequence[ports.Receipt]) -> None:
        assert provider == "modem"
        if self.faults:
            raise self.faults.pop(0)
        if any(one.ref == self.bad for one in receipts):
            raise errors.OutboxRefused
        self.kept += receipts

    @property
    def states(self) -> list[tuple[str, Status]]:
        return [(one.ref, one.state) for one in self.kept]


@contextlib.asynccontextmanager
async def watching(made: gammu.GammuProvider, keeper: Keeper) -> AsyncIterator[None]:
    task = asyncio.create_task(made.run(keeper))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task.exception()


# --- sending ------------------------------------------------------------------------------------------------------


async def test_gammu_a_message_is_a_file_in_ucs2_that_moves_to_the_sent_ones(smsd: fake_smsd.Smsd) -> None:
    made = provider(smsd)
    async with fake_smsd.running(smsd):
        outcome = await made.send(subjects.submission(text="Zażółć\n😀 €"))
    await made.close()
    assert outcome == message.Accepted(ids=(f"{STAMP}_m1",))
    assert smsd.read == ["Zażółć\n😀 €"]
    assert (smsd.names("outbox"), smsd.names("sent")) == ([], [FILE])
    assert stat.S_IMODE((smsd.at("sent") / FILE).stat().st_mode) == 0o640
    assert made.confirms is ports.Confirms.ACCEPTANCE


async def test_gammu_with_an_inbox_reports_are_asked_for(smsd: fake_smsd.Smsd) -> None:
    made = provider(smsd, inbox=smsd.at("inbox"))
    async with fake_smsd.running(smsd):
        await made.send(subjects.submission())
    await made.close()
    assert smsd.names("sent") == [f"{FILE}d"]
    assert made.confirms is ports.Confirms.DELIVERY


async def test_gammu_smsd_never_sees_half_a_file(smsd: fake_smsd.Smsd, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    fsync = os.fsync

    def looking(fd: int) -> None:
        seen.append(smsd.names("outbox"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", looking)
    made = provider(smsd, timeout="100ms")
    await made.send(subjects.submission())
    await made.close()
    assert seen == [[f".{FILE}.new"]]


async def test_gammu_what_is_among_smsds_errors_may_have_been_sent(smsd: fake_smsd.Smsd) -> None:
    smsd.into = "error"
    made = provider(smsd)
    async with fake_smsd.running(smsd):
        outcome = await made.send(subjects.submission())
    await made.close()
    assert (type(outcome), outcome.code) == (message.Uncertain, "error")


async def test_gammu_what_smsd_does_not_even_read_is_taken_back(smsd: fake_smsd.Smsd) -> None:
    made = provider(smsd, timeout="100ms")
    outcome = await made.send(subjects.submission())
    await made.close()
    assert (type(outcome), outcome.code) == (message.ProviderDown, "idle")
    assert [smsd.names(name) for name in ("outbox", "sent", "error")] == [[], [], []]


async def test_gammu_a_slow_smsd_is_not_a_dead_one(smsd: fake_smsd.Smsd) -> None:
    made = provider(smsd, timeout="1s")
    first = asyncio.create_task(made.send(subjects.submission("m1")))
    second = asyncio.create_task(made.send(subjects.submission("m2")))
    await doors.until(lambda: len(smsd.names("outbox")) == 2)
    smsd.turn()
    assert isinstance(await first, message.Accepted)
    outcome = await second
    assert (type(outcome), outcome.code) == (message.Retry, "idle")
    await made.close()
    assert smsd.names("outbox") == []


async def test_gammu_what_smsd_has_read_may_be_on_its_way(smsd: fake_smsd.Smsd) -> None:
    smsd.into = "outbox"
    made = provider(smsd, timeout="1s")
    task = asyncio.create_task(made.send(subjects.submission()))
    await doors.until(lambda: FILE in smsd.names("outbox"))
    smsd.turn()
    outcome = await task
    await made.close()
    assert (type(outcome), outcome.code) == (message.Uncertain, "unsent")
    assert smsd.names("outbox") == []


async def test_gammu_what_smsd_begins_with_again_and_again_is_taken_out(smsd: fake_smsd.Smsd) -> None:
    """smsd sends at every turn what it cannot move, and what the modem refuses stands in the way of all others."""
    smsd.into = "outbox"
    made = provider(smsd)
    task = asyncio.create_task(made.send(subjects.submission()))
    await doors.until(lambda: FILE in smsd.names("outbox"))
    path = smsd.at("outbox") / FILE

    def noticed() -> bool:
        return not path.exists() or path.stat().st_atime_ns == gammu_folders._SEEN

    while not task.done():
        smsd.turn()
        await doors.until(noticed)
        await asyncio.sleep(0.01)
    outcome = await task
    await made.close()
    assert (type(outcome), outcome.code) == (message.Uncertain, "unsent")
    assert len(smsd.read) == gammu.MOST_READS + 1
    assert smsd.names("outbox") == []


async def test_gammu_what_smsd_has_open_is_a_doubt(smsd: fake_smsd.Smsd) -> None:
    """It may have been stopped between opening and reading."""
    made = provider(smsd, timeout="1s")
    task = asyncio.create_task(made.send(subjects.submission()))
    await doors.until(lambda: FILE in smsd.names("outbox"))
    with (smsd.at("outbox") / FILE).open("rb"):
        assert isinstance(await task, message.Uncertain)
    await made.close()
    assert smsd.names("outbox") == []


async def test_gammu_where_access_times_say_nothing_nothing_is_certain(
    smsd: fake_smsd.Smsd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gammu_folders.Folders, "_notices_reads", lambda _: False)
    made = provider(smsd, timeout="50ms")
    assert isinstance(await made.send(subjects.submission()), message.Uncertain)
    await made.close()
    assert smsd.names("outbox") == []


async def test_gammu_a_file_that_vanished_is_a_doubt(smsd: fake_smsd.Smsd) -> None:
    """smsd deletes what it has sent where its configuration names no folder for it."""
    made = provider(smsd)
    task = asyncio.create_task(made.send(subjects.submission()))
    await doors.until(lambda: FILE in smsd.names("outbox"))
    (smsd.at("outbox") / FILE).unlink()
    outcome = await task
    await made.close()
    assert (type(outcome), outcome.code) == (message.Uncertain, "vanished")


async def test_gammu_what_a_crash_left_in_the_outbox_gets_no_second_file(
    smsd: fake_smsd.Smsd, monkeypatch: pytest.MonkeyPatch
) -> None:
    await left_behind(smsd)
    looked: list[str] = []
    look = gammu_folders.Folders.look

    def looking(folders: gammu_folders.Folders, name: gammu_folders.Name) -> tuple[gammu_folders.Place, bool]:
        looked.append(str(name))
        return look(folders, name)

    monkeypatch.setattr(gammu_folders.Folders, "look", looking)
    later = gammu.GammuProvider("modem", smsd.settings(), clock=lambda: NOW + timedelta(minutes=5))
    task = asyncio.create_task(later.send(subjects.submission(attempt=2)))
    await doors.until(lambda: FILE in looked)
    smsd.turn()
    assert await task == message.Accepted(ids=(f"{STAMP}_m1",))
    await later.close()
    assert smsd.names("sent") == [FILE]


async def test_gammu_what_was_read_before_a_crash_stays_a_doubt(smsd: fake_smsd.Smsd) -> None:
    await left_behind(smsd)
    smsd.into = "outbox"
    smsd.turn()
    made = provider(smsd, timeout="50ms")
    outcome = await made.send(subjects.submission(attempt=2))
    await made.close()
    assert (type(outcome), outcome.code) == (message.Uncertain, "unsent")


async def test_gammu_an_attempt_after_one_that_ended_is_a_new_file(smsd: fake_smsd.Smsd) -> None:
    (smsd.at("error") / FILE).write_bytes(b"")
    (smsd.at("sent") / FILE).write_bytes(b"")
    made = gammu.GammuProvider("modem", smsd.settings(), clock=lambda: NOW + timedelta(minutes=5))
    async with fake_smsd.running(smsd):
        assert isinstance(await made.send(subjects.submission(attempt=2)), message.Accepted)
    await made.close()
    assert smsd.names("sent") == [FILE, f"OUTC20260301_120500_123_{NUMBER}_m1.txt"]


async def test_gammu_no_more_files_than_wanted_wait_in_the_outbox(smsd: fake_smsd.Smsd) -> None:
    made = provider(smsd, concurrency=2, timeout="1s")
    tasks = [asyncio.create_task(made.send(subjects.submission(f"m{number}"))) for number in range(6)]
    await doors.until(lambda: len([name for name in smsd.names("outbox") if name.startswith("OUT")]) == 2)
    outcomes = await asyncio.gather(*tasks)
    await made.close()
    assert {outcome.code for outcome in outcomes} == {"idle", "busy"}
    assert {type(outcome) for outcome in outcomes} == {message.ProviderDown}
    assert smsd.names("outbox") == []


@pytest.mark.parametrize(
    ("to", "ref"),
    [
        ("", "m1"),
        ("../../../etc/passwd", "m1"),
        ("+48600_1", "m1"),
        ("+48600.txt", "m1"),
        ("+48600\n", "m1"),
        ("٤٨٦٠٠١٠٠", "m1"),
        (NUMBER, "../x"),
        (NUMBER, "a_b"),
        (NUMBER, "a" * 41),
    ],
)
async def test_gammu_no_name_is_made_of_what_is_no_number(smsd: fake_smsd.Smsd, to: str, ref: str) -> None:
    made = provider(smsd)
    outcome = await made.send(subjects.submission(ref, to=to))
    await made.close()
    assert (type(outcome), outcome.code) == (message.Rejected, "to")
    assert smsd.names("outbox") == []


def test_gammu_the_longest_name_has_room_in_smsd() -> None:
    made = gammu_folders.Name.make("+" + "1" * 20, "a" * 40, NOW, report=True)
    assert made is not None
    assert len(str(made)) <= 99
    assert gammu_folders.Name.read(str(made)) == made


async def test_gammu_a_text_that_smsd_would_cut_off_is_refused(smsd: fake_smsd.Smsd) -> None:
    made = provider(smsd, timeout="50ms")
    outcome = await made.send(subjects.submission(text="x" * 153 * gammu.MOST_SEGMENTS + "y"))
    assert (type(outcome), outcome.code) == (message.Rejected, "segments")
    assert isinstance(await made.send(subjects.submission(text="x" * 153 * gammu.MOST_SEGMENTS)), message.ProviderDown)
    await made.close()


async def test_gammu_an_outbox_that_cannot_be_written_is_provider_down(smsd: fake_smsd.Smsd) -> None:
    made = provider(smsd)
    smsd.at("outbox").rmdir()
    outcome = await made.send(subjects.submission())
    assert (type(outcome), outcome.code) == (message.ProviderDown, "ENOENT")
    await made.close()


async def test_gammu_folders_that_vanish_meanwhile_leave_a_doubt(smsd: fake_smsd.Smsd) -> None:
    made = provider(smsd, timeout="1s")
    task = asyncio.create_task(made.send(subjects.submission()))
    await doors.until(lambda: FILE in smsd.names("outbox"))
    smsd.at("outbox").rename(smsd.folder / "elsewhere")
    assert isinstance(await task, message.Uncertain)
    await made.close()


async def test_gammu_cancelled_the_file_stays_and_is_told_of_later(smsd: fake_smsd.Smsd) -> None:
    await left_behind(smsd)
    keeper, later = Keeper(), provider(smsd)
    async with fake_smsd.running(smsd), watching(later, keeper):
        await doors.until(lambda: keeper.kept)
    await later.close()
    assert keeper.states == [("m1", Status.ACCEPTED)]
    assert keeper.kept[0].provider_id == f"{STAMP}_m1"


async def test_gammu_what_an_earlier_run_left_and_smsd_does_not_end_is_taken_out(smsd: fake_smsd.Smsd) -> None:
    for ref, at, read in (("m1", 10**9, True), ("m2", 10**9, False), ("m3", time.time(), True)):
        path = smsd.at("outbox") / FILE.replace("m1", ref)
        path.write_bytes(b"")
        os.utime(path, (at if read else 0, at))
    made = provider(smsd)
    async with watching(made, Keeper()):
        await doors.until(lambda: len(smsd.names("outbox")) == 2)
    await made.close()
    assert smsd.names("outbox") == [FILE.replace("m1", "m2"), FILE.replace("m1", "m3")]


@pytest.mark.parametrize("same", [("outbox", "sent"), ("sent", "error"), ("error", "inbox")])
def test_gammu_folders_must_differ(smsd: fake_smsd.Smsd, same: tuple[str, str]) -> None:
    with pytest.raises(pydantic.ValidationError, match="different folders"):
        smsd.settings(inbox=smsd.at("inbox"), **{same[0]: smsd.at(same[1])})


def test_gammu_folders_must_be_there_and_let_smsd_move_files(smsd: fake_smsd.Smsd) -> None:
    smsd.at("outbox").chmod(0o1777)
    with pytest.raises(pydantic.ValidationError, match="sticky bit"):
        smsd.settings()
    with pytest.raises(pydantic.ValidationError, match="does not exist"):
        smsd.settings(outbox=smsd.folder / "nowhere")


# --- later --------------------------------------------------------------------------------------------------------


async def test_gammu_what_send_has_said_needs_no_receipt(smsd: fake_smsd.Smsd) -> None:
    keeper, made = Keeper(), provider(smsd)
    async with fake_smsd.running(smsd), watching(made, keeper):
        await made.send(subjects.submission("m1"))
        smsd.into = "error"
        await made.send(subjects.submission("m2"))
        (smsd.at("sent") / FILE.replace("m1", "m3")).write_bytes(b"")
        await doors.until(lambda: keeper.kept)
    await made.close()
    assert keeper.states == [("m3", Status.ACCEPTED)]


async def test_gammu_other_files_and_old_ones_are_none_of_ours(smsd: fake_smsd.Smsd) -> None:
    for name in ("OUT+48600100200.txt", "OUTC20260301_120000_123_+48_x.smsbackup", "README", f".{FILE}.new"):
        (smsd.at("sent") / name).write_bytes(b"")
    old = smsd.at("sent") / FILE.replace("m1", "m0")
    old.write_bytes(b"")
    os.utime(old, (time.time() - gammu.WINDOW.total_seconds() - 10,) * 2)
    (smsd.at("sent") / FILE).write_bytes(b"")
    keeper, made = Keeper(), provider(smsd)
    async with watching(made, keeper):
        await doors.until(lambda: keeper.kept)
    await made.close()
    assert keeper.states == [("m1", Status.ACCEPTED)]


async def test_gammu_what_cannot_be_kept_comes_again_and_a_bad_one_harms_no_other(smsd: fake_smsd.Smsd) -> None:
    for ref in ("m1", "m2", "m3"):
        (smsd.at("sent") / FILE.replace("m1", ref)).write_bytes(b"")
    keeper, made = Keeper(faults=[errors.OutboxBusy()], bad="m2"), provider(smsd)
    async with watching(made, keeper):
        await doors.until(lambda: len(keeper.kept) >= 2)
    await made.close()
    assert sorted(keeper.states) == [("m1", Status.ACCEPTED), ("m3", Status.ACCEPTED)]


async def test_gammu_folders_that_cannot_be_read_are_said_once(smsd: fake_smsd.Smsd, logged: list[Any]) -> None:
    keeper, made = Keeper(), provider(smsd)
    smsd.at("sent").rmdir()
    async with watching(made, keeper):
        await doors.until(lambda: doors.events(logged, "folders cannot be read"))
        smsd.at("sent").mkdir()
        (smsd.at("sent") / FILE).write_bytes(b"")
        await doors.until(lambda: keeper.kept)
    await made.close()
    assert len(doors.events(logged, "folders cannot be read")) == 1


async def test_gammu_an_inbox_that_cannot_be_read_hides_nothing_else(smsd: fake_smsd.Smsd, logged: list[Any]) -> None:
    keeper, made = Keeper(), provider(smsd, inbox=smsd.at("inbox"))
    smsd.at("inbox").rmdir()
    (smsd.at("sent") / FILE).write_bytes(b"")
    async with watching(made, keeper):
        await doors.until(lambda: keeper.kept and doors.events(logged, "folders cannot be read"))
    await made.close()
    assert keeper.states == [("m1", Status.ACCEPTED)]
    assert "600100200" not in str(logged)


def put(path: Path, kind: str) -> None:
    match kind:
        case "link":
            path.symlink_to(__file__)
        case "link to a device":
            path.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "sparse":
            with path.open("wb") as file:
                file.truncate(1 << 40)


@pytest.mark.parametrize("kind", ["link", "link to a device", "pipe", "folder", "sparse"])
async def test_gammu_what_somebody_else_put_into_the_folders_neither_stops_nor_fills_us(
    smsd: fake_smsd.Smsd, kind: str
) -> None:
    """Whoever may write there could make it anything; the one that is right is told of all the same."""
    names = {
        "sent": f"{STAMP}_{NUMBER}_bad.txtd",
        "error": f"{STAMP}_{NUMBER}_bad.txtd",
        "outbox": f"{STAMP}_{NUMBER}_bad.txtd",
        "inbox": "IN20260301_120000_00_+48600100200_00.txt",
    }
    folders = smsd.settings(inbox=smsd.at("inbox"))
    for folder, name in names.items():
        put(getattr(folders, folder) / name, kind)
    made = gammu.GammuProvider("modem", folders, clock=lambda: NOW)
    (folders.sent / f"{STAMP}_{NUMBER}_good.txtd").write_bytes(b"\xfe\xff\0H\0i")
    keeper = Keeper()
    tracemalloc.start()
    try:
        async with watching(made, keeper):
            await doors.until(lambda: any(one.ref == "good" for one in keeper.kept))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert {one.ref for one in keeper.kept} == ({"good", "bad"} if kind == "sparse" else {"good"})


async def test_gammu_the_networks_report_is_a_receipt(smsd: fake_smsd.Smsd) -> None:
    keeper, made = Keeper(), provider(smsd, inbox=smsd.at("inbox"))
    async with fake_smsd.running(smsd), watching(made, keeper):
        await made.send(subjects.submission(text="x" * 200))
        smsd.report("Delivered", kind="Deliver")  # an SMS that says so
        smsd.report("Pending")
        smsd.report("Delivered", number="+48600999999")
        smsd.report("Delivered", number="48600100200")
        (smsd.at("inbox") / "IN20260301_120000_77_x.txt").write_bytes(b"\xff\xfe no ini [ at all")
        smsd.report("Delivered")
        await doors.until(lambda: keeper.kept)
    await made.close()
    (receipt,) = keeper.kept
    assert (receipt.provider_id, receipt.ref, receipt.state) == (f"{STAMP}_m1", "m1", Status.DELIVERED)
    assert "600100200" not in receipt.raw


# --- matching reports -----------------------------------------------------------------------------------------------


def sent(ref: str, at: float, *, segments: int = 1, to: str = NUMBER) -> gammu_reports.Sent:
    name = gammu_folders.Name(stamp=STAMP, to=to, ref=ref, report=True)
    return gammu_reports.Sent(name=name, segments=segments, at=at)


def reported(verdict: Verdict, at: float, *, number: str = NUMBER) -> gammu_reports.Report:
    return gammu_reports.Report(number=number, verdict=verdict, at=at)


GOOD, BAD = Verdict.DELIVERED, Verdict.FAILED


@pytest.mark.parametrize(
    ("messages", "reports", "expected"),
    [
        ([sent("a", 1)], [reported(GOOD, 2)], {"a": GOOD}),
        ([sent("a", 1)], [reported(BAD, 2)], {"a": BAD}),
        ([sent("a", 1, segments=2)], [reported(GOOD, 2)], {}),
        ([sent("a", 1, segments=2)], [reported(GOOD, 2), reported(GOOD, 2)], {"a": GOOD}),
        ([sent("a", 1, segments=2)], [reported(GOOD, 2), reported(BAD, 3)], {"a": BAD}),
        ([sent("a", 1, segments=2)], [reported(BAD, 2), reported(GOOD, 3)], {"a": BAD}),
        ([sent("a", 1), sent("b", 3)], [reported(GOOD, 2), reported(BAD, 4)], {"a": GOOD, "b": BAD}),
        ([sent("a", 1), sent("b", 2)], [reported(GOOD, 3)], {}),
        ([sent("a", 1), sent("b", 2)], [reported(GOOD, 3), reported(GOOD, 4)], {"a": GOOD, "b": GOOD}),
        ([sent("a", 1), sent("b", 2)], [reported(GOOD, 3), reported(BAD, 4)], {}),
        (
            [sent("a", 1), sent("b", 2), sent("c", 5)],
            [reported(GOOD, 3), reported(BAD, 4), reported(GOOD, 6)],
            {"c": GOOD},
        ),
        ([sent("a", 2)], [reported(GOOD, 1)], {}),
        ([sent("a", 1)], [reported(GOOD, 2, number="600100200")], {"a": GOOD}),
        ([sent("a", 1), sent("b", 1, to="+48600100201")], [reported(GOOD, 2)], {"a": GOOD}),
    ],
)
def test_gammu_reports_count_only_where_there_is_no_doubt(
    messages: list[gammu_reports.Sent], reports: list[gammu_reports.Report], expected: dict[str, Verdict]
) -> None:
    found = [(name.ref, verdict) for name, verdict in gammu_reports.matched(messages, reports)]
    assert dict(found) == expected
    assert len(found) == len(expected)
    turned = [(name.ref, verdict) for name, verdict in gammu_reports.matched(messages[::-1], reports[::-1])]
    assert dict(turned) == expected
