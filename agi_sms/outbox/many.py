"""One statement for many rows.

Each statement hands the interpreter to other threads, and waits until it gets it back; while calls come, that is where
a transaction's time goes. So what is done for many at once takes few statements, however many they are.
"""

import functools
import itertools
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_VALUES = re.compile(r"\bVALUES \(")
_NAME = re.compile(r":(\w+)")
SIZES = (64, 32, 16, 8, 4, 2, 1)  # rows in one statement; few sizes, since SQLite keeps each of them prepared

Rows = Sequence[Mapping[str, Any]]


@functools.cache
def _parts(statement: str) -> tuple[str, str, str, tuple[str, ...]]:
    """What stands before the one row of values, the row, what stands behind it, and the names in it in their order."""
    (start,) = (match.end() - 1 for match in _VALUES.finditer(statement))
    depths = itertools.accumulate((char == "(") - (char == ")") for char in statement[start:])
    end = start + 1 + next(at for at, depth in enumerate(depths) if not depth)
    row = statement[start:end]
    return statement[:start], _NAME.sub("?", row), statement[end:], tuple(_NAME.findall(row))


def is_for_many(statement: str) -> bool:
    """Whether it has one row of values, and all its values in it, so that it can have several."""
    if len(_VALUES.findall(statement)) != 1:
        return False
    head, _, tail, _ = _parts(statement)
    return not _NAME.search(head + tail)


@functools.cache
def sized(statement: str, size: int) -> str:
    """The statement for so many rows."""
    head, row, tail, _ = _parts(statement)
    return head + ", ".join([row] * size) + tail


def _each(raw: sqlite3.Connection, statement: str, rows: Rows) -> Iterator[sqlite3.Cursor]:
    names = _parts(statement)[3]
    start = 0
    while start < len(rows):
        size = next(size for size in SIZES if size <= len(rows) - start)
        values = [row[name] for row in rows[start : start + size] for name in names]
        yield raw.execute(sized(statement, size), values)
        start += size


def change(raw: sqlite3.Connection, statement: str, rows: Rows) -> int:
    """Carry out a statement with one `VALUES (:name, ...)` for all the rows; how many it changed."""
    before = raw.total_changes  # a cursor's `rowcount` is -1 where the statement begins with WITH
    for _ in _each(raw, statement, rows):
        pass
    return (raw.total_changes - before) % 2**32  # a C int, which wraps around


def find(raw: sqlite3.Connection, statement: str, rows: Rows) -> list[sqlite3.Row]:
    """What such a statement finds for all the rows."""
    return [found for cursor in _each(raw, statement, rows) for found in cursor.fetchall()]
