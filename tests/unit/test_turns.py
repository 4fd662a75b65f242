"""What one turn of the event loop has time for."""

import asyncio
import time

import pytest

from agi_sms import turns


def work(seconds: float) -> None:
    """Computing, for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def left(share: turns.Share) -> bool:
    return share.left


async def test_what_is_spent_counts_until_the_next_turn() -> None:
    share = turns.Share(0.001)
    assert left(share)
    share.spend(lambda: work(0.002))
    assert not left(share)
    await asyncio.sleep(0)
    assert left(share)


async def test_what_fails_counts_too() -> None:
    share = turns.Share(0.001)

    def fail() -> None:
        work(0.002)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        share.spend(fail)
    assert not left(share)


async def test_tasks_that_are_ready_together_share_one_turn() -> None:
    share, done = turns.Share(0.001), list[bool]()

    async def one() -> None:
        done.append(share.left)
        if share.left:
            share.spend(lambda: work(0.002))

    await asyncio.gather(*(one() for _ in range(5)))
    assert done == [True, False, False, False, False]
