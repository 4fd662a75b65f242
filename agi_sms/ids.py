"""Names for rows: short text that sorts by time of making."""

import secrets
import threading
from datetime import datetime

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_TIME, _RANDOM = 10, 6
_SPACE = 32**_RANDOM
_STEP = 32**3  # within one millisecond: so that the ends of two ids differ in more than a letter
_AT_ONCE = 512  # bytes of chance: each question to the system lets another thread have its turn first
_guard = threading.Lock()
_chance = bytearray()
_last = [-1]


def new(now: datetime) -> str:
    """A fresh id of 16 characters: ten of milliseconds since 1970, six of chance.

    Within one process each id sorts after all earlier ones, also when the clock stands still or goes back.
    `now` must carry its time zone, else ValueError.
    """
    if now.tzinfo is None:
        raise ValueError("ids need a time with its zone")
    with _guard:
        if not _chance:
            _chance.extend(secrets.token_bytes(_AT_ONCE))
        chance = int.from_bytes(_chance[-4:])
        del _chance[-4:]
        fresh = int(now.timestamp() * 1000) * _SPACE + chance % _SPACE
        value = fresh if fresh // _SPACE > _last[0] // _SPACE else _last[0] + 1 + chance % _STEP
        _last[0] = value
    text = ""
    for _ in range(_TIME + _RANDOM):
        value, digit = divmod(value, 32)
        text = _DIGITS[digit] + text
    return text
