"""The rate holds, halves when the SMSC says so, and comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms.providers import smpp_pace


def taken(pace: smpp_pace.Pace, now: float, count: int) -> list[float]:
    return [pace.take(now) for _ in range(count)]


def test_without_a_rate_everybody_goes_at_once() -> None:
    pace = smpp_pace.Pace(None)
    assert taken(pace, 5.0, 100) == [5.0] * 100


def test_a_rate_spaces_them() -> None:
    pace = smpp_pace.Pace(10)
    assert taken(pace, 5.0, 4) == pytest.approx([5.0, 5.1, 5.2, 5.3])
    assert pace.next(5.35) == pytest.approx(5.4)
    assert taken(pace, 9.0, 1) == [9.0]


def test_throttled_it_is_halved_once_for_all_that_were_on_their_way() -> None:
    pace = smpp_pace.Pace(8)
    taken(pace, 0.0, 8)
    for _ in range(8):
        pace.throttled(1.0, sent_at=0.9)
    assert pace.rate(1.0) == 4
    assert pace.next(1.0) == pytest.approx(1.25)
    pace.throttled(2.0, sent_at=1.5)
    assert pace.rate(2.0) == 2


def test_it_recovers_to_its_rate_and_not_beyond() -> None:
    pace = smpp_pace.Pace(8)
    pace.throttled(0.0, sent_at=0.0)
    assert pace.rate(5.0) == 4
    assert pace.rate(10.0) == pytest.approx(4 * 2**0.5)
    assert pace.rate(15.1) == 8
    assert pace.rate(1e9) == 8


def test_without_a_rate_it_is_halved_from_what_went_and_then_free_again() -> None:
    pace = smpp_pace.Pace(None)
    taken(pace, 9.5, 40)
    pace.throttled(10.0, sent_at=9.5)
    assert pace.rate(10.0) == 20
    assert pace.rate(15.0 + 20.0) == pytest.approx(80)
    assert pace.rate(15.0 + 30.1) is None


def test_without_a_rate_the_last_second_counts_and_no_other() -> None:
    pace = smpp_pace.Pace(None)
    for at in (8.5, 9.0, 9.0, 9.25, 9.75, 10.0, 10.0):
        pace.take(at)
    pace.throttled(10.0, sent_at=9.75)
    assert pace.rate(10.0) == 2  # of four: what went a whole second ago is no more of it
    pace = smpp_pace.Pace(None)
    pace.throttled(10.0, sent_at=1.0)
    assert pace.rate(10.0) == 0.5  # nothing went in the last second: taken as one


def test_what_was_sent_when_the_rate_was_lowered_says_nothing_new() -> None:
    pace = smpp_pace.Pace(8)
    pace.throttled(1.0, sent_at=0.5)
    pace.throttled(1.5, sent_at=1.0)
    assert pace.rate(1.5) == 4
    pace.throttled(1.5, sent_at=1.001)
    assert pace.rate(1.5) == 2


def test_a_flood_costs_no_more_memory_than_what_is_counted() -> None:
    pace = smpp_pace.Pace(None)
    taken(pace, 9.5, 3_000)
    pace.throttled(10.0, sent_at=9.5)
    assert pace.rate(10.0) == 500


def test_it_never_stops() -> None:
    for rate in (None, 0.1, 1.0, 1000.0):
        pace = smpp_pace.Pace(rate)
        for at in range(50):
            pace.throttled(float(at), sent_at=float(at))
        left = pace.rate(50.0)
        assert left is not None
        assert left >= min(smpp_pace.SLOWEST, rate or smpp_pace.SLOWEST)


@given(
    rate=st.one_of(st.none(), st.floats(0.1, 10_000)),
    steps=st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=60),
)
def test_times_never_go_back_and_the_rate_stays_within_bounds(
    rate: float | None, steps: list[tuple[float, bool]]
) -> None:
    pace, now, last = smpp_pace.Pace(rate), 0.0, 0.0
    for step, refused in steps:
        now += step
        at = pace.take(now)
        assert at >= max(now, last)
        last = at
        if refused:
            pace.throttled(now, sent_at=now)
        current = pace.rate(now)
        assert current is None or current > 0
        assert rate is None or (current is not None and current <= rate)
