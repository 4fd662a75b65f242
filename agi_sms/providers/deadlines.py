"""Deadlines of many things with one timer: what is over in time, as nearly all is, costs no timer of its own."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Deadlines(Generic[Key]):
    """Times are the event loop's. `late` is called with each key that is not over by its time, and forgotten then."""

    def __init__(self, late: Callable[[Key], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._late = late
        self._until: dict[Key, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, key: Key, until: float) -> None:
        """From now on it has until then."""
        self._until[key] = until
        if self._timer is None or until < self._timer.when():
            self._set(until)

    def over(self, key: Key) -> None:
        """Its deadline is no matter any more, if there is one."""
        self._until.pop(key, None)

    def stop(self) -> None:
        """Nothing is late any more."""
        self._until.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        late = [key for key, until in self._until.items() if until <= now]
        for key in sorted(late, key=self._until.__getitem__):
            if self._until.pop(key, None) is not None:  # the one before it may have ended it
                self._late(key)
        if self._until:
            self._set(min(self._until.values()))
