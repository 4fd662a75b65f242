"""The SQLite outbox is opened and closed: beside others who do the same, and given up half way."""

import asyncio
import contextlib
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from agi_sms import errors
from agi_sms.outbox import database
from agi_sms.outbox.sqlite import SqliteOutbox, owner_pid
from tests.contract.stores import PATIENT, admit, statuses
from tests.contract.test_outbox_sqlite import CLOCK, execute, made, opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


async def test_several_start_on_a_new_file_at_once(path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:

        async def start() -> SqliteOutbox:
            outbox = await opened(path)
            stack.push_async_callback(outbox.close)
            return outbox

        async with asyncio.TaskGroup() as group:
            starting = [group.create_task(start()) for _ in range(4)]
        several = [task.result() for task in starting]
        await asyncio.gather(*(admit(outbox, "same", CLOCK) for outbox in several))
        assert await statuses(several[0]) == ["scheduled"]


def test_another_may_make_the_tables_between_any_two_statements(tmp_path: Path) -> None:
    moments = iter(range(100))
    while _made_by_both(tmp_path, next(moments)):
        pass
    assert next(moments) > 10


def _made_by_both(folder: Path, moment: int) -> bool:
    """One makes the tables; another does so too, before the first's statement number `moment`. Did it come to that?"""
    path = folder / f"{moment}.db"
    seen: list[str] = []
    with contextlib.ExitStack() as stack:
        mine, other = (
            stack.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)))
            for _ in range(2)
        )

        def come(statement: str) -> None:
            seen.append(statement)
            if len(seen) == moment + 1:
                with contextlib.suppress(sqlite3.OperationalError):  # it is busy, and would ask again
                    database.migrate(other, path)

        mine.set_trace_callback(come)
        try:
            database.migrate(mine, path)
        except sqlite3.OperationalError as error:
            if not database.is_busy(error):  # else it is asked again, as by set_up()
                raise
        mine.set_trace_callback(None)
        assert database.migrate(mine, path) == database.migrate(other, path)
    return len(seen) > moment


async def test_opening_waits_while_another_process_holds_all(path: Path) -> None:
    """Not even reading is possible then, as while the last of several closes the file."""
    await made(path)
    execute(path, "PRAGMA journal_mode = DELETE")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(errors.OutboxBusy):
            await opened(path, patience=timedelta(0))
        opening = asyncio.ensure_future(opened(path))
        done, _ = await asyncio.wait([opening], timeout=0.3)  # several busy timeouts
        other.execute("ROLLBACK")
        assert not done
    async with asyncio.timeout(PATIENT):
        await (await opening).close()


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 10, 20, 40, 80, 160])
async def test_a_close_that_is_given_up_lets_go_all_the_same(path: Path, turns: int) -> None:
    outbox = await opened(path, owner=True)
    closing = asyncio.ensure_future(outbox.close())
    for _ in range(turns):  # of the event loop: each length meets another step of closing
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert outbox._writing._connection is None
    assert outbox._reading._connection is None
    assert owner_pid(path) is None


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 10, 20, 40, 80, 160])
async def test_an_opening_that_is_given_up_lets_go(path: Path, turns: int) -> None:
    opening = asyncio.ensure_future(opened(path, owner=True))
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    if not opening.cancelled():
        await opening.result().close()
    assert owner_pid(path) is None
    await made(path)
