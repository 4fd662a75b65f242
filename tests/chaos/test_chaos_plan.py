"""A seed's plan: the same again, everything in it, and nothing out of its time."""

from itertools import pairwise

import pytest

from tests.chaos import plan


def long_one(seed: int = 7) -> plan.Plan:
    return plan.make(seed=seed, calls=5000, rate=50)


def test_a_seed_replays() -> None:
    assert long_one() == long_one()
    assert long_one() != long_one(8)


def test_what_is_left_out_leaves_the_calls_as_they_were() -> None:
    assert plan.make(seed=7, calls=5000, rate=50, only=["kill"]).loads == long_one().loads


@pytest.mark.parametrize("seed", range(20))
def test_everything_goes_wrong(seed: int) -> None:
    made = long_one(seed)
    assert {one.name for one in made.disasters} == set(plan.DISASTERS)
    assert all(0 <= one.at < 100 for one in made.disasters)
    dealt = [one for one in made.disasters if one.name in plan.DECK]
    assert all(one.at + one.lasts < after.at for one, after in pairwise(dealt))
    assert len(dealt) >= len(plan.DECK)
    kills = [one.at for one in made.disasters if one.name == plan.KILL]
    assert all(after - one >= plan.KILL_EVERY[0] - 0.02 for one, after in pairwise(kills))
    assert len(kills) >= 20


@pytest.mark.parametrize(("calls", "rate"), [(5000, 50.0), (200, 8.0), (37, 3.0), (4, 1.0)])
def test_so_many_calls(calls: int, rate: float) -> None:
    made = plan.make(seed=1, calls=calls, rate=rate)
    assert made.calls == calls
    assert sum(load.rate for load in made.loads) == pytest.approx(rate, abs=0.01)


def test_kinds_of_calls() -> None:
    made = long_one()
    numbers = [number for load in made.loads for number in load.numbers]
    assert {number[1] for number in numbers} == {"1", "2", "3"}
    assert {number[2] for number in numbers} == {str(node) for node in range(len(plan.NODES))}
    assert {number[3] for number in numbers} == {str(way) for way in range(len(plan.WAYS))}
    assert all(number[4] == "0" for number in made.loads[0].numbers)
    assert [load.leave_after_ms for load in made.loads].count(None) == 1
    leaving = sum(len(load.numbers) for load in made.loads if load.leave_after_ms)
    assert leaving == pytest.approx(5000 * plan.LEAVERS, abs=4)


def test_a_disaster_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="no such disaster: flood"):
        plan.make(seed=1, calls=10, rate=1, only=["flood"])
