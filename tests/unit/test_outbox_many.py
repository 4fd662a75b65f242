"""One statement for many rows: the same rows as one at a time, in few statements."""

import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms.outbox import many

ADD = "INSERT INTO t (a, b) VALUES (:a, max(:a, :b)) ON CONFLICT (a) DO UPDATE SET b = b + excluded.b"
FIND = "WITH told (a) AS (VALUES (:a)) SELECT t.a, t.b FROM told CROSS JOIN t ON t.a = told.a"


def table() -> tuple[sqlite3.Connection, list[str]]:
    raw = sqlite3.connect(":memory:", isolation_level=None)
    raw.execute("CREATE TABLE t (a INTEGER NOT NULL PRIMARY KEY, b)")
    seen: list[str] = []
    raw.set_trace_callback(seen.append)
    return raw, seen


def kept(raw: sqlite3.Connection) -> list[Any]:
    return raw.execute("SELECT a, b FROM t ORDER BY a").fetchall()


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(-5, 500)), max_size=300))
def test_many_rows_are_the_same_as_one_after_the_other(pairs: list[tuple[int, int]]) -> None:
    rows = [{"a": a, "b": b, "more": "unused"} for a, b in pairs]
    raw, seen = table()
    assert many.change(raw, ADD, rows) == len(rows)
    statements = len(seen)
    other, _ = table()
    for row in rows:
        many.change(other, ADD, [row])
    assert kept(raw) == kept(other)
    assert statements <= len(rows) // many.SIZES[0] + len(many.SIZES)
    asked = [{"a": a} for a in range(0, 300, 7)]
    found = [tuple(row) for row in many.find(raw, FIND, asked)]
    assert found == [pair for pair in kept(raw) if pair[0] % 7 == 0 and pair[0] < 300]


def test_what_begins_with_with_is_counted_too() -> None:
    raw, _ = table()
    many.change(raw, ADD, [{"a": a, "b": 0} for a in range(100)])
    change = "WITH told (a, b) AS (VALUES (:a, :b)) UPDATE t SET b = told.b FROM told WHERE t.a = told.a"
    assert many.change(raw, change, [{"a": a, "b": 1} for a in range(50, 150)]) == 50


def test_nothing_for_nobody() -> None:
    raw, seen = table()
    assert many.change(raw, ADD, []) == 0
    assert many.find(raw, FIND, []) == []
    assert not seen


def test_what_cannot_be_stored_fails_as_it_would_alone() -> None:
    raw, _ = table()
    with pytest.raises(UnicodeEncodeError):
        many.change(raw, ADD, [{"a": 1, "b": "x"}, {"a": 2, "b": "\ud800"}])


def test_a_statement_has_one_row_of_values_or_is_not_for_many() -> None:
    assert many.is_for_many(ADD)
    assert not many.is_for_many("SELECT 1")
    with pytest.raises(ValueError, match="not enough values"):
        many.change(sqlite3.connect(":memory:"), "SELECT 1", [{"a": 1}])
