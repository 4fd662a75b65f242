"""When a worker looks for something to do."""

import asyncio
from datetime import datetime, timedelta

import pytest

from agi_sms import rounds
from agi_sms.testing import FixedClock
from tests.contract.doors import until

NOW = datetime.fromisoformat("2026-11-23T12:00:00+00:00")
WORDS = rounds.Words(part="test", pauses="pauses", goes_on="goes on", bug="bug")


class Looker(rounds.Worker):
    """Finds nothing, and rests until it is woken or `until`."""

    def __init__(self, until: datetime | None) -> None:
        super().__init__(words=WORDS, clock=FixedClock(NOW))
        self.until = until
        self.rounds = 0
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def _round(self) -> datetime | None:
        self.rounds += 1
        self.began.set()
        await self.go.wait()
        return self.until


async def woken(looker: Looker, *times: datetime | None) -> bool:
    """Whether it looks again, woken for such times while it rests."""
    running = asyncio.create_task(looker.run())
    await until(lambda: looker._rests_until is not None)
    for at in times:
        looker.wake(at)
    again = looker._woken.is_set()
    if again:
        await until(lambda: looker.rounds == 2)
    await looker.drain(timedelta(0))
    async with asyncio.timeout(10):
        await running
    return again


@pytest.mark.parametrize("until", [None, NOW + timedelta(seconds=2)])
async def test_what_is_due_later_than_it_looks_anyway_wakes_nobody(until: datetime | None) -> None:
    assert not await woken(Looker(until), NOW + timedelta(seconds=5), NOW + timedelta(hours=1))


@pytest.mark.parametrize("at", [None, NOW, NOW + timedelta(seconds=1)])
async def test_what_is_due_before_wakes_it(at: datetime | None) -> None:
    assert await woken(Looker(NOW + timedelta(seconds=2)), NOW + timedelta(hours=1), at)


async def test_what_comes_while_it_looks_is_looked_for_afterwards_whenever_it_is_due() -> None:
    looker = Looker(NOW + timedelta(seconds=2))
    looker.go.clear()
    running = asyncio.create_task(looker.run())
    await looker.began.wait()
    looker.wake(NOW + timedelta(hours=1))
    looker.go.set()
    await until(lambda: looker.rounds == 2)
    await looker.drain(timedelta(0))
    await running
