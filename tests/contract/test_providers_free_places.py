"""Deadlines with one timer for all, and places with them: first come, first served, nobody for ever."""

import asyncio
from datetime import timedelta

import pytest

from agi_sms.providers.deadlines import Deadlines
from agi_sms.providers.free_places import Places

PATIENCE = timedelta(seconds=10)  # a deadline for what has to come


async def gone(count: int, late: list[str]) -> None:
    async with asyncio.timeout(PATIENCE.total_seconds()):
        while len(late) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_deadlines_come_in_their_order_whatever_the_order_of_their_begin() -> None:
    late: list[str] = []
    deadlines = Deadlines(late.append)
    now = asyncio.get_running_loop().time()
    for key, until in (("third", 0.003), ("first", 0.001), ("never", 0.0015), ("second", 0.002)):
        deadlines.add(key, now + until)
    deadlines.over("never")
    while asyncio.get_running_loop().time() < now + 0.003:
        """The loop comes to nothing until all are late."""
    await gone(3, late)
    assert late == ["first", "second", "third"]
    deadlines.add("again", now)
    await gone(4, late)
    assert late[3:] == ["again"]


async def test_deadlines_that_are_stopped_or_over_are_not_heard_of() -> None:
    late: list[str] = []
    deadlines, others = Deadlines(late.append), Deadlines(late.append)
    now = asyncio.get_running_loop().time()
    deadlines.add("stopped", now)
    deadlines.stop()
    deadlines.over("nobody")
    others.add("last", now + 0.01)
    await gone(1, late)
    assert late == ["last"]


async def test_one_that_is_late_may_end_another() -> None:
    late: list[str] = []

    def hear(key: str) -> None:
        late.append(key)
        deadlines.over("b")

    deadlines = Deadlines(hear)
    now = asyncio.get_running_loop().time()
    for key in ("a", "b", "c"):
        deadlines.add(key, now)
    await gone(2, late)
    assert late == ["a", "c"]


async def test_places_go_to_who_came_first() -> None:
    places, order = Places(2, PATIENCE), list[int]()

    async def come(number: int) -> None:
        await places.take()
        order.append(number)

    async with asyncio.timeout(PATIENCE.total_seconds()), asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(come(number))
        await asyncio.sleep(0)
        assert order == [0, 1]
        for _ in range(3):
            places.give()
    assert order == [0, 1, 2, 3, 4]


async def test_without_a_place_in_time() -> None:
    places = Places(1, timedelta(milliseconds=10))
    await places.take()
    with pytest.raises(TimeoutError):
        await places.take()
    assert not places._waiting
    places.give()
    await places.take()  # the one who gave up has not got it


@pytest.mark.parametrize("given", [False, True], ids=["before", "after it was given"])
async def test_who_is_cancelled_keeps_no_place(given: bool) -> None:
    places = Places(1, PATIENCE)
    await places.take()
    waiting = asyncio.create_task(places.take())
    await asyncio.sleep(0)
    if given:
        places.give()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not given:
        places.give()
    async with asyncio.timeout(PATIENCE.total_seconds()):
        await places.take()
    assert places._free == 0
