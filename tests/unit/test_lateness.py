"""How late an event is heard, whatever the two clocks say."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms.asterisk import lateness

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
FINE = st.floats(-1e9, 1e9)
DELAYS = st.lists(st.floats(0, 3600), min_size=1, max_size=30)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@given(offset=FINE, delays=DELAYS)
def test_what_is_much_later_than_the_quickest_is_suspected(offset: float, delays: list[float]) -> None:
    """However far the clocks are apart: ours says `offset` at noon."""
    late = lateness.Lateness()
    for number, delay in enumerate(delays):
        least = min(delays[: number + 1])
        if abs(delay - least - lateness.MUCH) > 0.001:  # floats this large are no finer
            assert late.suspects(at(number), offset + number + delay) == (delay - least > lateness.MUCH)
        else:
            late.suspects(at(number), offset + number + delay)


@given(delay=st.floats(2.1, 3600))
def test_how_late_it_was_is_known_to_a_second(delay: float) -> None:
    late = lateness.Lateness()
    assert not late.suspects(at(0), 0.0)
    assert late.suspects(at(1), 1 + delay)
    found = late.settle(at(1), 1 + delay, at(int(1 + delay))).total_seconds()
    assert delay - 1 - 1e-3 <= found <= delay + 1e-3
    assert late.suspects(at(1), 1 + delay)  # what comes behind it is late too


@pytest.mark.parametrize("present", [None, at(-100), at(-99.5)])
def test_a_clock_set_back_is_what_at_once_is_measured_by(present: datetime | None) -> None:
    late = lateness.Lateness()
    assert not late.suspects(at(0), 0.0)
    assert late.suspects(at(-100), 0.1)
    assert late.settle(at(-100), 0.1, present) == timedelta()
    assert not late.suspects(at(-99), 1.1)


def test_no_time_that_asterisk_says_makes_it_later_than_a_day() -> None:
    late = lateness.Lateness()
    assert late.settle(at(0), 5.0, datetime(9999, 1, 1, tzinfo=UTC)) == timedelta(days=1)


def test_a_second_is_not_much_and_a_set_clock_is_measured_anew() -> None:
    late = lateness.Lateness()
    assert [late.suspects(at(0), heard) for heard in (10.0, 11.0, 11.25)] == [False, False, True]
    assert late.settle(at(0), 11.25, at(1)) == timedelta()
    assert [late.suspects(at(0), heard) for heard in (12.25, 12.5)] == [False, True]
    assert late.settle(at(0), 12.5, at(2)) == timedelta(seconds=2)
    assert late.settle(at(0), 12.5, at(1.5)) == timedelta(seconds=1.5)
