"""Faults in a row break it, one probe at a time mends it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import breaker

NOW = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PAUSE = 30 * SECOND


def make(after: int = 3, pause: timedelta = PAUSE) -> breaker.Breaker:
    return breaker.Breaker(after=after, pause=pause)


def broken(after: int = 3) -> breaker.Breaker:
    made = make(after)
    assert [made.fault(NOW) for _ in range(after)] == [False] * (after - 1) + [True]
    return made


def test_whole_it_lets_everybody_through() -> None:
    made = make()
    assert all(made.asks(NOW) for _ in range(100))
    assert (made.until, made.count) == (None, 0)


def test_faults_in_a_row_break_it() -> None:
    made = broken()
    assert (made.until, made.count) == (NOW + PAUSE, 3)
    assert not made.asks(NOW)
    assert not made.asks(NOW + PAUSE - timedelta(microseconds=1))


def test_until_when_nobody_may_ask() -> None:
    assert make().left_alone(NOW) is None
    made = broken()
    last = NOW + PAUSE - timedelta(microseconds=1)
    assert (made.left_alone(NOW), made.left_alone(last)) == (NOW + PAUSE, NOW + PAUSE)
    assert made.left_alone(NOW + PAUSE) is None  # a probe may go
    assert made.left_alone(NOW - SECOND) is None  # the clock was turned back
    assert made.asks(NOW + PAUSE)
    made.fault(NOW + PAUSE)
    assert made.left_alone(NOW + PAUSE) == NOW + 2 * PAUSE
    made.success()
    assert made.left_alone(NOW + PAUSE) is None


def test_a_success_between_faults_counts_them_anew() -> None:
    made = make()
    made.fault(NOW)
    made.fault(NOW)
    assert not made.success()
    assert not made.fault(NOW)
    assert not made.fault(NOW)
    assert made.asks(NOW)


def test_one_probe_at_a_time_after_the_pause() -> None:
    made = broken()
    assert [made.asks(NOW + PAUSE) for _ in range(4)] == [True, False, False, False]


def test_a_probe_that_succeeds_mends_it() -> None:
    made = broken()
    assert made.asks(NOW + PAUSE)
    assert made.success()
    assert (made.until, made.count) == (None, 0)
    assert all(made.asks(NOW + PAUSE) for _ in range(9))
    assert not made.success()


def test_a_probe_that_fails_makes_another_pause() -> None:
    made = broken()
    later = NOW + PAUSE + 3 * SECOND
    assert made.asks(later)
    assert not made.fault(later + 5 * SECOND)
    assert made.until == later + 5 * SECOND + PAUSE
    assert not made.asks(later + PAUSE)
    assert made.asks(later + 5 * SECOND + PAUSE)


def test_a_probe_that_never_tells_is_followed_by_another() -> None:
    made = broken()
    assert made.asks(NOW + PAUSE)
    assert not made.asks(NOW + 2 * PAUSE - SECOND)
    assert made.asks(NOW + 2 * PAUSE)


def test_who_asked_before_it_broke_makes_no_pause_longer() -> None:
    made = broken()
    assert not made.fault(NOW + 20 * SECOND)
    assert (made.until, made.count) == (NOW + PAUSE, 4)
    assert made.asks(NOW + PAUSE)


def test_an_answer_to_who_asked_before_it_broke_mends_it() -> None:
    made = broken()
    assert made.success()
    assert made.asks(NOW)


@pytest.mark.parametrize("back", [SECOND, timedelta(days=400)])
def test_a_clock_that_goes_back_makes_no_pause_longer(back: timedelta) -> None:
    made = broken()
    assert made.asks(NOW - back)
    assert not made.asks(NOW - back)
    assert not made.fault(NOW - back)
    assert not made.asks(NOW - back)
    assert made.asks(NOW - back + PAUSE)


def test_its_patience_may_change() -> None:
    made = broken()
    made.pause = SECOND
    assert made.until == NOW + SECOND
    assert made.asks(NOW + SECOND)
    made.success()
    made.after = 1
    assert made.fault(NOW)


EVENTS = st.lists(st.tuples(st.sampled_from(["asks", "fault", "success"]), st.integers(0, 40)), max_size=60)


@given(EVENTS, st.integers(1, 6))
def test_whatever_happens(events: list[tuple[str, int]], after: int) -> None:
    """Against a model of what is promised: broken by `after` in a row only, at most one through in a pause."""
    made = make(after)
    now, row, is_broken = NOW, 0, False
    quiet_until = NOW
    for what, seconds in events:
        now += seconds * SECOND
        if what == "fault":
            row += 1
            breaks = not is_broken and row >= after
            assert made.fault(now) is breaks
            if breaks:
                is_broken, quiet_until = True, now + PAUSE
        elif what == "success":
            assert made.success() is is_broken
            row, is_broken = 0, False
        else:
            let = made.asks(now)
            if not is_broken:
                assert let
            elif let:
                assert now >= quiet_until
                quiet_until = now + PAUSE  # until it tells, at least so long nobody else goes
        assert made.count == row
        assert (made.until is not None) is is_broken


@given(EVENTS, st.integers(1, 6))
def test_it_never_stays_shut(events: list[tuple[str, int]], after: int) -> None:
    """Wherever the clock went meanwhile, within two pauses somebody is let through."""
    made = make(after)
    now = NOW
    for what, seconds in events:
        now += (seconds - 15) * SECOND  # the clock goes back too
        if what == "asks":
            made.asks(now)
        elif what == "fault":
            made.fault(now)
        else:
            made.success()
    assert any(made.asks(now + n * PAUSE) for n in range(3))
