"""Spans of time as engineers write them: `0`, `150ms`, `30s`, `5m`, `2h`, `1d`, `1h30m`."""

import re
from datetime import timedelta
from typing import Annotated

import pydantic

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(rf"(?:{_PIECE.pattern})+")
LONGEST = timedelta(days=366)
HELP = "write 0 or a number with a unit: 150ms, 30s, 5m, 2h, 1d, 1h30m"


def parse(value: object) -> timedelta:
    """Read a duration; raise ValueError that says what would be right.

    >>> parse("1h30m")
    datetime.timedelta(seconds=5400)
    """
    if isinstance(value, timedelta):
        span = value
    elif str(value).strip() == "0" and not isinstance(value, bool):
        span = timedelta(0)
    else:
        text = str(value).strip().lower()
        if len(text) > 40 or not text.isascii() or not _WHOLE.fullmatch(text):
            raise ValueError(f"{str(value)[:40]!r} is not a duration; {HELP}")
        try:
            span = timedelta(seconds=sum(float(n) * _UNITS[unit] for n, unit in _PIECE.findall(text)))
        except OverflowError:
            span = timedelta.max
    if not timedelta(0) <= span <= LONGEST:
        raise ValueError(f"{str(value)[:40]!r} is out of range; at most {LONGEST.days}d")
    return span


def show(span: timedelta) -> str:
    """The shortest way to write a duration that `parse` reads back (to the millisecond)."""
    left = round(span / timedelta(milliseconds=1))
    if left == 0:
        return "0"
    sign, left = ("-", -left) if left < 0 else ("", left)
    parts = []
    for unit, size in (("d", 86400000), ("h", 3600000), ("m", 60000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return sign + "".join(parts)


Duration = Annotated[timedelta, pydantic.BeforeValidator(parse)]
