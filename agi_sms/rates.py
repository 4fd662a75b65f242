"""How many in how long: `3/1d`, `200/1h`, `10/1s`."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import pydantic
from pydantic_core import PydanticKnownError

from agi_sms import durations

_WRITTEN = re.compile(r"\s*(\d{1,9})\s*/\s*(\S+)\s*")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """At most `most` messages within any span of `window`; nodes' limits are that exact to half a percent of it."""

    most: int
    window: timedelta


def parse(value: object) -> Rate:
    """Read a rate; raise ValueError that says what would be right."""
    if isinstance(value, Rate):
        return value
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    match = _WRITTEN.fullmatch(value)
    if not match:
        raise ValueError("must be a number of messages and a time, like 3/1d or 100/1h")
    most, window = int(match.group(1)), durations.parse(match.group(2))
    if not most or not window:
        raise ValueError("must allow at least 1 message, within more than 0, like 3/1d or 100/1h")
    return Rate(most=most, window=window)


Field = Annotated[Rate, pydantic.PlainValidator(parse)]
