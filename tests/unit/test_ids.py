"""Ids sort by the time of making, whatever the clock does."""

import re
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

from agi_sms import ids

NOW = datetime(2090, 1, 1, tzinfo=UTC)
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def test_form() -> None:
    assert re.fullmatch(f"[{DIGITS}]{{16}}", ids.new(NOW))


def test_the_first_ten_are_the_time() -> None:
    later = NOW + timedelta(days=400)
    value = 0
    for digit in ids.new(later)[:10]:
        value = value * 32 + DIGITS.index(digit)
    assert value == int(later.timestamp() * 1000)


def test_they_rise_when_the_clock_stands_or_goes_back() -> None:
    start = NOW + timedelta(days=800)
    made = [ids.new(start) for _ in range(2000)]
    made += [ids.new(start - timedelta(hours=n)) for n in range(5)]
    made += [ids.new(start + timedelta(milliseconds=n)) for n in range(1, 50)]
    assert made == sorted(set(made))


def test_zone_does_not_matter() -> None:
    a = ids.new(NOW + timedelta(days=900))
    b = ids.new((NOW + timedelta(days=900)).astimezone(timezone(timedelta(hours=5))))
    assert a[:10] == b[:10]
    assert a < b


def test_threads_never_share_one() -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend(ids.new(NOW) for _ in range(500))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 2000


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        ids.new(datetime(2026, 1, 1))
