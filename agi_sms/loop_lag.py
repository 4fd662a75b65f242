"""How late the event loop comes to what is due, and in debug mode: what kept it.

While it is late, calls wait. It beats ten times a second; how late each beat is, the metric `agi_sms_loop_lag_seconds`
tells. In debug mode a thread looks on, and notes where the loop's thread is while a beat is overdue.
"""

import asyncio
import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agi_sms import metrics

log = structlog.get_logger(__name__)

BEAT = 0.1  # seconds
BLOCKED = 0.05  # seconds that a beat may be late before somebody looks what keeps the loop
_DEEPEST = 12  # lines of a stack that are told, the innermost


@dataclass(frozen=True, kw_only=True)
class Block:
    """The loop came to nothing for so long. `where` is the innermost part of what it was doing, one call a line."""

    seconds: float
    where: tuple[str, ...]


def tell(block: Block) -> None:
    """Into the log."""
    log.warning("the event loop was kept from its work", seconds=round(block.seconds, 3), where=" > ".join(block.where))


class Heart:
    """Beats on the running loop. `look`: watch from a thread, and `tell` of every block."""

    def __init__(
        self, *, look: bool, tell: Callable[[Block], None] = tell, blocked: float = BLOCKED, beat: float = BEAT
    ) -> None:
        self._look = look
        self._tell = tell
        self._blocked = blocked
        self._beat = beat
        self._due = 0.0
        self._ended = threading.Event()

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        self._due = time.monotonic() + self._beat
        if self._look:
            here = threading.get_ident()
            threading.Thread(target=self._watch, args=(here, loop), name="loop watch", daemon=True).start()
        try:
            while True:
                await asyncio.sleep(self._due - time.monotonic())
                now = time.monotonic()
                metrics.LOOP_LAG.observe(max(now - self._due, 0.0))
                self._due = now + self._beat
        finally:
            self._ended.set()

    def _watch(self, thread: int, loop: asyncio.AbstractEventLoop) -> None:
        """From beside: who is late is looked at once, and told of when the next beat has come."""
        since = 0.0
        where: tuple[str, ...] = ()
        while not self._ended.wait(self._blocked / 2):
            due, now = self._due, time.monotonic()
            if where and due > since:
                block = Block(seconds=due - self._beat - since, where=where)
                where = ()
                try:
                    loop.call_soon_threadsafe(self._tell, block)
                except RuntimeError:
                    return  # the loop is closed
            elif not where and now - due > self._blocked:
                since, where = due, _stack(thread)


def _stack(thread: int) -> tuple[str, ...]:
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ("(ended)",)
    frames = itertools.islice(reversed(traceback.extract_stack(frame)), _DEEPEST)
    return tuple(f"{one.filename.rpartition('site-packages/')[2]}:{one.lineno} {one.name}" for one in frames)
