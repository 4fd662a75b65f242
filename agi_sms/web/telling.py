"""What a stranger can bring about is counted each time and told once in a while: he cannot fill the log."""

import time
from typing import Any

import structlog

from agi_sms import metrics

log = structlog.get_logger(__name__)

EVERY = 60.0  # seconds between two lines of one kind about one thing, by one cause
MOST_CAUSES = 5  # of one kind about one thing in that time: a stranger can make up any number


class Telling:
    """Tells of kinds of trouble. Kinds and `about` come out of the code and the configuration, so they are few."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._told: dict[tuple[str, str], dict[str, float]] = {}
        self._left_out: dict[tuple[str, str], int] = {}

    def __call__(self, kind: str, event: str, *, about: str = "", cause: str = "", **facts: Any) -> None:
        """Count a fault of this kind; log it where none of that kind, about that, by that cause was told for a while.

        A line has the number of those before it that were `left_out`.
        """
        metrics.fault(f"{self._prefix}_{kind}")
        now, key = time.monotonic(), (kind, about)
        told = {one: at for one, at in self._told.get(key, {}).items() if now - at < EVERY}
        self._told[key] = told
        if cause in told or len(told) >= MOST_CAUSES:
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return
        told[cause] = now
        if left_out := self._left_out.pop(key, 0):
            facts["left_out"] = left_out
        log.warning(event, **facts)
