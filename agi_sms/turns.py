"""What strangers send is taken in pieces, in turns with everything else that the event loop has to do.

A read brings up to 256 KiB. In them there can be 40,000 chunks of one byte, and each costs as much as a small body.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PIECE = 2 * 1024  # bytes that are taken at once: of the most expensive kind about half a millisecond
_SHARE = 0.002  # seconds of one turn of the event loop; of what costs little, many pieces get through in them
_LEAST = 1e-9  # seconds that anything takes


class Turns:
    """Those who wait for their turn: one step each, round and round."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], bool]] = deque()
        self._called = False

    def join(self, step: Callable[[], bool]) -> None:
        """Call `step` soon, and again as long as it says that there is more."""
        self._waiting.append(step)
        self._call()

    def _call(self) -> None:
        if self._waiting and not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._called = False
        until = time.monotonic() + _SHARE
        try:
            while self._waiting:
                step = self._waiting.popleft()
                if step():
                    self._waiting.append(step)
                if time.monotonic() >= until:
                    break
        finally:
            self._call()


class Share:
    """Of each turn of the event loop so much is for what is done on it; tasks ready together share one turn."""

    def __init__(self, seconds: float = _SHARE) -> None:
        self._most = seconds
        self._spent = 0.0

    @property
    def left(self) -> bool:
        """Whether there is time for more in this turn."""
        return self._spent < self._most

    def spend(self, work: Callable[[], T]) -> T:
        """What `work` returns; it counts against this turn."""
        if not self._spent:
            asyncio.get_running_loop().call_soon(self._begin)
        start = time.monotonic()
        try:
            return work()
        finally:
            self._spent += max(time.monotonic() - start, _LEAST)

    def _begin(self) -> None:
        self._spent = 0.0


class Backlog:
    """The bytes of one connection that have come and are not taken yet, piece by piece."""

    def __init__(self) -> None:
        self._data = bytearray()

    def __bool__(self) -> bool:
        return bool(self._data)

    def put(self, data: bytes) -> None:
        """Behind what is there."""
        self._data += data

    def take(self) -> bytes:
        """The next piece."""
        piece = bytes(self._data[:PIECE])
        del self._data[:PIECE]  # from its front, for which a bytearray moves nothing
        return piece

    def clear(self) -> None:
        """Forget all of it."""
        self._data.clear()
