"""The watch over the event loop: it beats, and tells who kept the loop from beating."""

import asyncio
import time

import pytest

from agi_sms import loop_lag, metrics
from tests.contract import doors


def beats() -> float:
    (family,) = metrics.LOOP_LAG.collect()
    return next(one.value for one in family.samples if one.name.endswith("_count"))


async def looked_at(blocks: list[loop_lag.Block], block: float) -> None:
    heart = asyncio.create_task(loop_lag.Heart(look=True, tell=blocks.append, beat=0.01).run())
    before = beats()
    await doors.until(lambda: beats() > before)
    hog(block)
    await doors.until(lambda: any("hog" in line for one in blocks for line in one.where))
    heart.cancel()
    await asyncio.wait({heart})


def hog(seconds: float) -> None:
    time.sleep(seconds)


async def test_who_keeps_the_loop_is_told_with_its_place() -> None:
    blocks: list[loop_lag.Block] = []
    await looked_at(blocks, 0.5)
    found = next(one for one in blocks if any("hog" in line for line in one.where))
    assert found.seconds > loop_lag.BLOCKED
    assert "test_loop_lag.py" in found.where[0]


async def test_without_looking_it_only_beats() -> None:
    heart = asyncio.create_task(loop_lag.Heart(look=False, beat=0.001).run())
    before = beats()
    await doors.until(lambda: beats() >= before + 3)
    heart.cancel()
    with pytest.raises(asyncio.CancelledError):
        await heart
