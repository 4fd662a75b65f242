"""What every spool does: durable on return, in order, never in the way of itself."""

# ruff: noqa: ASYNC240 - tests may wait for a small local file

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agi_sms import errors, message, node, ports, testing
from agi_sms.outbox import wire
from agi_sms.outbox.spool import FileSpool
from tests.contract import stores
from tests.contract.stores import HOUR, activation, draft

CLOCK = testing.FixedClock()
SIZE = 64 << 10
LIMITS = (node.Limit(per="node", most=3, window=HOUR),)


class Outbox:
    """An outbox that only admits; `trouble` is raised for the visits named."""

    def __init__(self) -> None:
        self.admitted: list[tuple[ports.Activation, tuple[message.Draft, ...], tuple[node.Limit, ...]]] = []
        self.trouble: dict[str, Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def visits(self) -> list[str]:
        return [one.visit.id for one, _, _ in self.admitted]

    async def admit(
        self, one: ports.Activation, drafts: Sequence[message.Draft], limits: Sequence[node.Limit] = ()
    ) -> ports.Admission:
        await self.gate.wait()
        if one.visit.id in self.trouble:
            raise self.trouble[one.visit.id]
        self.admitted.append((one, tuple(drafts), tuple(limits)))
        return ports.Admission(activation_id=one.id, new=True, messages=())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "agi-sms.spool"


@pytest.fixture
async def reserve(path: Path) -> AsyncIterator[FileSpool]:
    opened = await FileSpool.open(path, SIZE)
    yield opened
    await opened.close()


@pytest.fixture
def target() -> Outbox:
    return Outbox()


async def write(reserve: ports.Spool, *visits: str) -> None:
    for visit in visits:
        await reserve.write(activation(visit, CLOCK), [draft(CLOCK)])


async def replay(reserve: ports.Spool, target: Outbox) -> int:
    return await reserve.replay(target)  # type: ignore[arg-type]


async def test_everything_comes_back_in_order(reserve: FileSpool, path: Path, target: Outbox) -> None:
    written = replace(
        activation("v0", CLOCK, caller_name="Zoë \x00 \U0001f600", variables={"A": "ą"}), fetch_at=CLOCK() + HOUR
    )
    drafts = [
        draft(CLOCK, "+1", once=True, status=message.Status.WAITING, text=None),
        draft(CLOCK, "", status=message.Status.SKIPPED, reason=message.Reason.CALLER_WITHHELD, route=()),
    ]
    await reserve.write(written, drafts, LIMITS)
    await write(reserve, *(f"v{n}" for n in range(1, 70)))
    assert reserve.pending == 70
    await reserve.close()
    again = await FileSpool.open(path, SIZE)
    assert again.pending == 70
    assert await replay(again, target) == 70
    assert again.pending == 0
    assert target.admitted[0] == (written, tuple(drafts), LIMITS)
    assert target.visits == [f"v{n}" for n in range(70)]
    assert await replay(again, target) == 0
    await again.close()


async def test_what_was_handed_over_is_forgotten(reserve: FileSpool, path: Path, target: Outbox) -> None:
    await write(reserve, "a", "b", "c")
    await replay(reserve, target)
    await write(reserve, "d")  # over the place of "a", in front of what is left of "b"
    await reserve.close()
    again = await FileSpool.open(path, SIZE)
    assert again.pending == 1
    await replay(again, target)
    assert target.visits == ["a", "b", "c", "d"]
    await again.close()


async def test_it_never_gets_full_by_and_by(reserve: FileSpool, target: Outbox) -> None:
    for _ in range(5):
        with pytest.raises(errors.SpoolFull):
            await write(reserve, *(f"v{n}" for n in range(1000)))
        kept = reserve.pending
        assert kept > 20
        assert await replay(reserve, target) == kept


async def test_its_room_is_there_from_the_start(reserve: FileSpool, path: Path) -> None:
    assert path.stat().st_size == SIZE
    assert path.stat().st_blocks * 512 >= SIZE
    assert path.stat().st_mode & 0o777 == 0o600
    await write(reserve, "a")
    assert path.stat().st_size == SIZE


async def test_a_full_disk_does_not_stop_it(small_disk: stores.SqliteStore, target: Outbox) -> None:
    folder = small_disk.path.parent
    reserve = await FileSpool.open(folder / "agi-sms.spool", SIZE)
    if small_disk.on_small_disk:
        outbox = await small_disk.open()
        await small_disk.fill(outbox)
        with pytest.raises(errors.SpoolError, match="bytes"):
            await FileSpool.open(folder / "other.spool", SIZE)
        await outbox.close()
    await write(reserve, *(f"v{n}" for n in range(40)))
    assert await replay(reserve, target) == 40
    await reserve.close()


async def test_no_room_at_the_start_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(errors.SpoolError, match=f"{SIZE} bytes: No space left"):
        await FileSpool.open(path, SIZE)


@pytest.mark.parametrize("cut", [1, 5, 11, 12, 13, 200])
async def test_a_torn_end_costs_only_itself(reserve: FileSpool, path: Path, target: Outbox, cut: int) -> None:
    """The last record was being written when the power went: only its first bytes are there."""
    await write(reserve, "a", "b")
    start = reserve._file.tail
    await write(reserve, "c")
    end = reserve._file.tail
    await reserve.close()
    with path.open("r+b") as file:
        file.seek(start + cut)
        file.write(b"\0" * (end - start - cut))
    again = await FileSpool.open(path, SIZE)
    assert again.pending == 2
    await write(again, "d")
    await replay(again, target)
    assert target.visits == ["a", "b", "d"]
    await again.close()


async def test_a_rotten_bit_is_seen(reserve: FileSpool, path: Path) -> None:
    await write(reserve, "a", "b")
    place = reserve._file.places[1]
    await reserve.close()
    with path.open("r+b") as file:
        file.seek(place.offset + 7)
        file.write(b"\xff")
    again = await FileSpool.open(path, SIZE)
    assert again.pending == 1
    await again.close()


async def test_what_was_answered_survives_a_kill(path: Path, target: Outbox) -> None:
    told = []
    with stores.child("spooled", str(path), "100000") as child:
        async for line in child.lines():
            told.append(line)
            if len(told) == 37:
                child.kill()
                break
    reserve = await FileSpool.open(path, SIZE)
    await replay(reserve, target)
    assert target.visits[: len(told)] == told
    await reserve.close()


async def test_writers_share_a_sync(reserve: FileSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    sync = os.fdatasync

    def counted(handle: int) -> None:
        syncs.append(handle)
        sync(handle)

    monkeypatch.setattr(os, "fdatasync", counted)
    await asyncio.gather(*(write(reserve, f"v{n}") for n in range(40)))
    assert reserve.pending == 40
    assert len(syncs) <= 3


async def test_a_writer_that_gives_up_harms_nobody(reserve: FileSpool) -> None:
    tasks = [asyncio.ensure_future(write(reserve, f"v{n}")) for n in range(10)]
    await asyncio.sleep(0)
    tasks[4].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [one for one in done if one is not None and not isinstance(one, asyncio.CancelledError)] == []
    assert reserve.pending == 10


@pytest.mark.parametrize("trouble", [errors.OutboxBusy(), errors.OutboxFull(), errors.OutboxError("broken")])
async def test_the_rest_stays_while_the_outbox_is_in_trouble(
    reserve: FileSpool, target: Outbox, trouble: Exception, path: Path
) -> None:
    await write(reserve, "a", "b", "c")
    target.trouble["b"] = trouble
    with pytest.raises(type(trouble)):
        await replay(reserve, target)
    assert reserve.pending == 2
    target.trouble.clear()
    assert await replay(reserve, target) == 2
    assert list(dict.fromkeys(target.visits)) in (["a", "b", "c"], ["a", "c", "b"])
    assert not path.with_name("agi-sms.spool.quarantine").exists()


@pytest.mark.parametrize("trouble", [errors.OutboxRefused("never"), TypeError("never")])
async def test_a_record_that_cannot_be_stored_blocks_nobody(
    reserve: FileSpool, target: Outbox, path: Path, trouble: Exception
) -> None:
    await write(reserve, "a", "bad", "c")
    target.trouble["bad"] = trouble
    assert await replay(reserve, target) == 2
    assert target.visits == ["a", "c"]
    assert reserve.pending == 0
    kept = path.with_name("agi-sms.spool.quarantine")
    assert kept.stat().st_mode & 0o777 == 0o600
    entry = json.loads(kept.read_text())
    assert entry["why"] == "never"
    assert wire.load(entry["record"].encode()).activation == activation("bad", CLOCK)


async def test_a_record_that_cannot_be_read_blocks_nobody(
    reserve: FileSpool, target: Outbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(wire, "dump", lambda record: b'{"from": "a later version"}')
        await write(reserve, "odd")
    await write(reserve, "b")
    assert await replay(reserve, target) == 1
    assert target.visits == ["b"]
    assert "a later version" in path.with_name("agi-sms.spool.quarantine").read_text()


async def test_writing_goes_on_during_a_replay(reserve: FileSpool, target: Outbox) -> None:
    await write(reserve, "a", "b")
    target.gate.clear()
    replaying = asyncio.ensure_future(replay(reserve, target))
    await write(reserve, "c")
    target.gate.set()
    await write(reserve, "d")
    handed_over = await replaying
    await write(reserve, "e")
    assert handed_over + await replay(reserve, target) == 5
    assert target.visits == ["a", "b", "c", "d", "e"]


async def test_with_the_real_outbox_a_visit_stays_one(
    outbox_factory: stores.Store, outbox: ports.Outbox, reserve: FileSpool
) -> None:
    await write(reserve, "a", "b")
    await outbox.admit(activation("a", CLOCK), [draft(CLOCK)])  # the late commit of what was spooled too
    assert await reserve.replay(outbox) == 2
    assert len(await outbox.history(ports.Query())) == 2


async def test_a_text_is_fetched_for_what_was_spooled(outbox: ports.Outbox, reserve: FileSpool) -> None:
    late = replace(activation("a", CLOCK), fetch_at=CLOCK())
    for _ in range(2):
        await reserve.write(late, [stores.waiting(CLOCK)])
    assert await reserve.replay(outbox) == 2
    assert (await stores.claim_job(outbox)).visit == late.visit


# As the version before content jobs wrote it.
OLD = (
    b'{"activation":{"id":"act-pbx1-old","visit":{"id":"old","node":"after-hours","call":{"pbx":"pbx1",'
    b'"key":"pbx1/old","call_id":"call-old","channel_id":"","linkedid":"","caller":"","presentation":"",'
    b'"caller_name":"","dialled":"","diverted_from":"","trunk":"","variables":{}},"entry":"ari",'
    b'"arrived_at":"2026-01-15T12:00:00Z","recipients":null,"sender":null,"delay":null},"node_revision":"rev1"},'
    b'"drafts":[{"recipient":"+48600100200","source":"config","status":"scheduled","reason":null,"sender":"Acme",'
    b'"text":"We call back","encoding":"gsm7","segments":1,"route":["main","spare"],'
    b'"due_at":"2026-01-15T12:00:00Z","expires_at":"2026-01-16T12:00:00Z","once":false}],'
    b'"limits":[{"per":"node","most":3,"window":"PT1H"}]}'
)


async def test_a_record_of_an_earlier_version_is_read(
    reserve: FileSpool, target: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(wire, "dump", lambda record: OLD)
        await write(reserve, "old")
    assert await replay(reserve, target) == 1
    assert target.admitted == [(activation("old", CLOCK), (draft(CLOCK),), LIMITS)]


async def test_what_cannot_be_used_is_refused(reserve: FileSpool, path: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.SpoolError, match="another agi-sms"):
        await FileSpool.open(path, SIZE)
    (tmp_path / "letter").write_text("Dear all, this is no spool, it is a letter of some length.")
    with pytest.raises(errors.SpoolError, match="not a spool"):
        await FileSpool.open(tmp_path / "letter", SIZE)
    assert (tmp_path / "letter").read_text().startswith("Dear all")
    with pytest.raises(errors.SpoolError, match="cannot be spooled"):
        await reserve.write(activation("v", CLOCK, caller_name="\ud800"), [])
    await reserve.close()
    await reserve.close()
    with pytest.raises(errors.SpoolError, match="closed"):
        await write(reserve, "late")
    with path.open("r+b") as file:
        file.seek(16)
        file.write(b"\xff")
    with pytest.raises(errors.SpoolError, match="damaged"):
        await FileSpool.open(path, SIZE)


async def test_a_disk_that_fails_is_said_and_loses_no_order(
    reserve: FileSpool, target: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(reserve, "a")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(errors.SpoolError, match="Input/output error"):
            await write(reserve, "lost")
    await write(reserve, "b")
    await replay(reserve, target)
    assert target.visits == ["a", "b"]


async def test_a_spool_that_others_may_write_is_refused(path: Path) -> None:
    await (await FileSpool.open(path, SIZE)).close()
    path.chmod(0o620)
    with pytest.raises(errors.SpoolError, match=f"others than its owner may write .*chmod 600 {path}"):
        await FileSpool.open(path, SIZE)


async def test_a_spool_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await (await FileSpool.open(path, SIZE)).close()
    stranger = os.getuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(errors.SpoolError, match=rf"belongs to another user.*chown {stranger} {path}"):
        await FileSpool.open(path, SIZE)
