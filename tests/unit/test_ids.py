"""Ids sort by the time of making, whatever the clock does."""

import itertools
import re
import secrets
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

from agi_sms import ids

NOW = datetime(2090, 1, 1, tzinfo=UTC)
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


@pytest.fixture(autouse=True)
def nothing_made_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_last", [-1])


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
    with pytest.raises(ValueError, match=r"^ids need a time with its zone$"):
        ids.new(datetime(2026, 1, 1))


def test_those_of_one_moment_cannot_be_guessed_from_each_other() -> None:
    start = NOW
    made = [ids.new(start) for _ in range(300)]
    values = [sum(DIGITS.index(digit) * 32**at for at, digit in enumerate(reversed(one))) for one in made]
    steps = [after - before for before, after in itertools.pairwise(values)]
    assert all(1 <= step <= 32**3 for step in steps)
    assert len(set(steps)) > 250
    assert max(steps) > 32**2


def test_chance_is_asked_for_seldom_and_never_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def bytes_of(count: int) -> bytes:
        asked.append(count)
        return b"".join((len(asked) * 1_000 + at).to_bytes(4, "big") for at in range(count // 4))

    monkeypatch.setattr(secrets, "token_bytes", bytes_of)
    monkeypatch.setattr(ids, "_chance", bytearray())
    ends = [ids.new(NOW + timedelta(milliseconds=n))[10:] for n in range(128)]
    assert asked == [512]
    ends.append(ids.new(NOW + timedelta(milliseconds=128))[10:])
    assert asked == [512, 512]
    assert len(set(ends)) == 129
    assert ends[0] == "000137"  # 1,127: the last of the first 128 numbers


def test_without_luck_the_next_one_is_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_bytes", bytes)
    monkeypatch.setattr(ids, "_chance", bytearray())
    made = [ids.new(NOW) for _ in range(3)]
    assert [one[10:] for one in made] == ["000000", "000001", "000002"]
