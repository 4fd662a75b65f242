"""The SQLite outbox's one writer: who goes first, who harms whom, and small reads beside it."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agi_sms import errors, message
from agi_sms.outbox import writer
from tests.contract.stores import activation, admit, draft, statuses
from tests.contract.test_outbox_sqlite import CLOCK, opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def order() -> tuple[list[str], Callable[[str], writer.Work[None]]]:
    seen: list[str] = []
    return seen, lambda word: lambda raw: seen.append(word)


async def test_admissions_go_first(path: Path, order: tuple[list[str], Callable[[str], writer.Work[None]]]) -> None:
    seen, job = order
    outbox = await opened(path)
    for _ in range(20):
        outbox._writer.submit(job("other"))
    last = outbox._writer.submit(job("urgent"), urgent=True)
    await last
    assert seen[0] == "urgent"
    await outbox.close()
    assert seen.count("other") == 20


async def test_other_work_makes_way(path: Path) -> None:
    """While a long row of other jobs runs, an admission that comes is not behind all of them."""
    outbox = await opened(path)
    loop = asyncio.get_running_loop()
    done: list[str] = []
    admitting: list[asyncio.Future[None]] = []

    def slow(raw: sqlite3.Connection) -> None:
        if len(done) == 3:
            loop.call_soon_threadsafe(come)
            arrived.wait_for_it()
        done.append("other")

    class Arrived:
        def wait_for_it(self) -> None:
            while not outbox._writer._urgent:
                os.sched_yield()

    arrived = Arrived()

    def come() -> None:
        admitting.append(outbox._writer.submit(lambda raw: done.append("urgent"), urgent=True))

    others = [outbox._writer.submit(slow) for _ in range(50)]
    await asyncio.gather(*others)
    await admitting[0]
    assert done.index("urgent") == 4
    await outbox.close()


async def test_one_lost_transaction_is_tried_job_by_job(path: Path) -> None:
    """As when SQLite gives a transaction up as a whole; then each job has its own fate."""
    outbox = await opened(path)

    def ruin(raw: sqlite3.Connection) -> None:
        raw.execute("ROLLBACK")
        raise sqlite3.OperationalError("gone")

    good = [asyncio.ensure_future(outbox.admit(activation(f"v{n}", CLOCK), [draft(CLOCK)])) for n in range(5)]
    bad = outbox._writer.submit(ruin, urgent=True)
    with pytest.raises(errors.OutboxError, match="gone"):
        await bad
    assert all(one.new for one in await asyncio.gather(*good))
    assert await statuses(outbox) == ["scheduled"] * 5
    await outbox.close()


async def test_after_a_lost_transaction_nothing_is_forgotten_or_done_twice(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where work was done at once with what stood behind other work, and some was left for the next turn."""
    monkeypatch.setattr(writer, "ALONE", 0.0)
    outbox = await opened(path)
    done: list[str] = []

    def together(raw: sqlite3.Connection, items: Sequence[str]) -> list[str]:
        done.extend(items)
        if len(items) > 1:
            raw.execute("ROLLBACK")
            raise sqlite3.OperationalError("gone")
        return list(items)

    def alone(word: str) -> writer.Work[None]:
        return lambda raw: done.append(word)

    answers: list[asyncio.Future[Any]] = [
        outbox._writer.join(together, "x1"),
        outbox._writer.submit(alone("y1")),
        outbox._writer.join(together, "x2"),
        outbox._writer.submit(alone("y2")),
    ]
    async with asyncio.timeout(20):
        assert await asyncio.gather(*answers) == ["x1", None, "x2", None]
    assert sorted(done) == ["x1", "x1", "x2", "x2", "y1", "y2"]  # together, which was lost, then each alone
    await outbox.close()


Seen = list[tuple[str, ...]]


def noting(seen: Seen, word: str) -> writer.Together[str, str]:
    """Work for many at once that notes for whom, and refuses `bad`."""

    def together(raw: sqlite3.Connection, items: Sequence[str]) -> list[str]:
        seen.append((word, *items))
        if "bad" in items:
            raise errors.OutboxError(f"{len(items)} items")
        return [item.upper() for item in items]

    return together


async def test_what_waits_of_one_kind_is_done_at_once_and_results_come_first(path: Path) -> None:
    outbox = await opened(path)
    seen: Seen = []
    receipt, result = noting(seen, "receipt"), noting(seen, "result")
    answers: list[asyncio.Future[Any]] = [
        outbox._writer.join(receipt, "a"),
        outbox._writer.submit(lambda raw: seen.append(("alone",))),
        outbox._writer.join(result, "b", result=True),
        outbox._writer.join(receipt, "c"),
        outbox._writer.join(result, "d", result=True),
    ]
    assert await asyncio.gather(*answers) == ["A", None, "B", "C", "D"]
    assert seen == [("result", "b", "d"), ("receipt", "a", "c"), ("alone",)]
    await outbox.close()


async def test_where_one_of_many_fails_each_has_its_own_fate(path: Path) -> None:
    outbox = await opened(path)
    seen: Seen = []
    work = noting(seen, "work")
    good, bad, other = (outbox._writer.join(work, item) for item in ("good", "bad", "other"))
    assert (await good, await other) == ("GOOD", "OTHER")
    with pytest.raises(errors.OutboxError, match="1 items"):
        await bad
    assert seen == [("work", "good", "bad", "other"), ("work", "good"), ("work", "bad"), ("work", "other")]
    await outbox.close()


async def test_no_more_is_done_at_once_than_admissions_can_wait_for(path: Path) -> None:
    """What an item holds counts."""
    outbox = await opened(path)
    seen: Seen = []
    work = noting(seen, "work")
    answers = [outbox._writer.join(work, str(n), weight=writer.MOST_TOGETHER // 2) for n in range(5)]
    await asyncio.gather(*answers)
    assert seen == [("work", "0", "1"), ("work", "2", "3"), ("work", "4")]
    await outbox.close()


async def test_work_that_nobody_waits_for_is_not_done(path: Path) -> None:
    outbox = await opened(path)
    seen: list[int] = []
    given_up = outbox._writer.submit(lambda raw: seen.append(1))
    given_up.cancel()
    await outbox._writer.submit(lambda raw: seen.append(2))
    assert seen == [2]
    await outbox.close()


async def test_stats(path: Path) -> None:
    outbox = await opened(path)
    await admit(outbox, "v1", CLOCK, "+1", "+2")
    await admit(outbox, "v2", CLOCK, "+1", status=message.Status.SKIPPED, reason=message.Reason.LANDLINE)
    found = await outbox.stats()
    assert set(found) == set(message.Status)
    assert {str(status): n for status, n in found.items() if n} == {"scheduled": 2, "skipped": 1}
    await outbox.close()


async def test_a_copy_of_the_files_opens(path: Path, tmp_path: Path) -> None:
    """A backup by copying after close, and the write-ahead log of one that was killed."""
    outbox = await opened(path)
    await admit(outbox, "v1", CLOCK)
    for name in ("outbox.db", "outbox.db-wal"):
        shutil.copy(path.with_name(name), tmp_path / f"copy-{name}")
    await outbox.close()
    copy = await opened(tmp_path / "copy-outbox.db")
    assert await statuses(copy) == ["scheduled"]
    await copy.close()
