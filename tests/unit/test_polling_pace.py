"""How often a message is asked about."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agi_sms import polling

SENT = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVERY = st.timedeltas(timedelta(seconds=5), timedelta(days=1))


def rounds(every: timedelta, span: timedelta) -> list[timedelta]:
    """At which ages it is asked about, where there is a round every `every`."""
    found, last, now = [], SENT, SENT
    while now - SENT <= span:
        if polling.owed(SENT, last, now, every):
            found.append(now - SENT)
        last, now = now, now + every
    return found


def test_ten_times_at_full_pace_then_ever_less() -> None:
    asked = rounds(MINUTE, timedelta(hours=48))
    assert asked[:10] == [n * MINUTE for n in range(1, 11)]
    assert asked[10:16] == [n * MINUTE for n in (11, 13, 14, 15, 17, 18)]  # whenever its age has grown by a tenth
    assert 50 <= len(asked) <= 80  # and not 2,880
    assert all(after - before <= after / 10 + 2 * MINUTE for before, after in itertools.pairwise(asked))


def test_at_the_start_about_everything() -> None:
    assert polling.owed(SENT, None, SENT, MINUTE)
    assert polling.owed(SENT, None, SENT + timedelta(days=3), MINUTE)


def test_a_new_one_is_not_asked_about_at_once() -> None:
    assert not polling.owed(SENT, SENT - MINUTE, SENT + MINUTE / 2, MINUTE)
    assert polling.owed(SENT, SENT - MINUTE, SENT + MINUTE, MINUTE)


@given(every=EVERY, ages=st.lists(st.timedeltas(timedelta(0), timedelta(days=30)), min_size=2, max_size=9))
def test_no_matter_when_the_rounds_are_none_is_forgotten(every: timedelta, ages: list[timedelta]) -> None:
    """Between two rounds it is owed once or not at all, and it is owed in one of them if it is in both together."""
    first, *between, end = sorted(ages)
    whole = polling.owed(SENT, SENT + first, SENT + end, every)
    steps = [first, *between, end]
    parts = [polling.owed(SENT, SENT + before, SENT + after, every) for before, after in itertools.pairwise(steps)]
    assert any(parts) == whole


@given(every=EVERY, back=st.timedeltas(timedelta(microseconds=1), timedelta(days=400)))
def test_after_a_clock_was_set_back_it_is_asked_about(every: timedelta, back: timedelta) -> None:
    assert polling.owed(SENT, SENT - back, SENT - back, every)
