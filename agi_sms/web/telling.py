"""What a stranger can bring about is counted each time and told once in a while: he cannot fill the log."""

import time
from typing import Any

import structlog

from agi_sms import metrics

log = structlog.get_logger(__name__)

EVERY = 60.0  # seconds between two lines of one kind about one thing


class Telling:
    """Tells of kinds of trouble. Kinds and `about` come out of the code and the configuration, so they are few."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._told: dict[tuple[str, str], float] = {}

    def __call__(self, kind: str, event: str, *, about: str = "", **facts: Any) -> None:
        """Count a fault of this kind; log it where nothing was of that kind, about that, for a while."""
        metrics.fault(f"{self._prefix}_{kind}")
        now, key = time.monotonic(), (kind, about)
        if now - self._told.get(key, -EVERY) >= EVERY:
            self._told[key] = now
            log.warning(event, **facts)
