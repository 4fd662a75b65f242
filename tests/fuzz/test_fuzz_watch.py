"""The watch of `make fuzz` sees what code of ours does to an event loop, and multiplies examples."""

import asyncio
import pathlib
import time
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import loop_lag
from tests.contract import doors
from tests.fuzz import plugin, suites

ROOT = pathlib.Path(__file__).resolve().parents[2]


def hog(path: str) -> types.FunctionType:
    """A function that keeps the loop, in a file of that name."""
    space: dict[str, types.FunctionType] = {}
    exec(compile("def hog():\n    time.sleep(0.3)\n", path, "exec"), {"time": time}, space)
    return space["hog"]


@pytest.mark.parametrize(("path", "ours"), [("/somewhere/agi_sms/hog.py", True), ("/elsewhere/hog.py", False)])
def test_who_keeps_a_loop(path: str, ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = plugin.Plugin(1)
    seen: list[loop_lag.Block] = []
    note = watch.blocks.note

    def see(block: loop_lag.Block) -> None:
        seen.append(block)
        note(block)

    monkeypatch.setattr(watch.blocks, "note", see)
    kept = hog(path)

    async def work() -> None:
        for count in (1, 2):
            await asyncio.sleep(0.05)
            kept()
            await doors.until(lambda: sum(path in line for one in seen for line in one.where) >= count)  # noqa: B023

    loop = watch.pytest_runtestloop()
    next(loop)
    try:
        asyncio.run(work())
    finally:
        with pytest.raises(StopIteration):
            next(loop)
    assert any(path in place for place in watch.blocks.again()) is ours


def test_examples_are_multiplied(request: pytest.FixtureRequest) -> None:
    @settings(max_examples=3)
    @given(st.integers())
    def test(x: int) -> None: ...

    item = pytest.Function.from_parent(request.node.parent, name="test", callobj=test)
    plain = pytest.Function.from_parent(request.node.parent, name="plain", callobj=lambda: None)
    items: list[pytest.Item] = [item, plain]
    watch = plugin.Plugin(5)
    watch.pytest_collection_modifyitems(request.config, items)
    assert items == [item]
    [count] = watch.counts.values()
    assert (count.tests, count.examples) == (1, 15)


def test_every_suite_is_there() -> None:
    files = [file for files in suites.EDGES.values() for file in files]
    assert all((ROOT / file).exists() for file in files)
