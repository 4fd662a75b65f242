"""When to say again what happens again and again, so that nobody can fill the log."""

import time
from collections import Counter
from collections.abc import Hashable

EVERY = 60.0  # seconds between two lines of one kind


class Seldom:
    """Counts what happens, by kind. Kinds come out of the code and the configuration, so they are few."""

    def __init__(self) -> None:
        self._told: dict[Hashable, float] = {}
        self._untold: Counter[Hashable] = Counter()

    def __call__(self, kind: Hashable, more: int = 1) -> int | None:
        """So many `more`: how many it were since it was last to be said, where it is time to say it, else None."""
        now = time.monotonic()
        self._untold[kind] += more
        if now - self._told.get(kind, -EVERY) < EVERY:
            return None
        self._told[kind] = now
        return self._untold.pop(kind)
