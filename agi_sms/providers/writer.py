"""One thread that writes for one provider, so that a full pipe or a dead disk never holds the event loop."""

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable
from datetime import timedelta

_LAST_WORD = 2.0  # seconds that close() waits for a write under way


class NotBegun(Exception):
    """The write was taken back before it began."""


class Unfinished(Exception):
    """The write is under way and has not ended in time."""


class Writer:
    """Runs jobs one after the other. Its thread is a daemon: stuck in the kernel, it does not hold up the exit."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[tuple[concurrent.futures.Future[None], Callable[[], None]] | None]
        self._jobs = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def do(self, job: Callable[[], None], patience: timedelta) -> None:
        """Run a job. Raises what it raises, NotBegun (also after close) or Unfinished."""
        if self._closed:
            raise NotBegun
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"write-{self._name}", daemon=True)
            self._thread.start()
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _wake(loop, ended))
        self._jobs.put((future, job))
        try:
            async with asyncio.timeout(patience.total_seconds()):
                await ended.wait()
        except TimeoutError:
            if future.cancel():
                raise NotBegun from None
            if not future.done():
                raise Unfinished from None
        except asyncio.CancelledError:
            future.cancel()
            raise
        future.result()

    def _run(self) -> None:
        while (entry := self._jobs.get()) is not None:
            future, job = entry
            if not future.set_running_or_notify_cancel():
                continue
            try:
                job()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)

    async def close(self) -> bool:
        """Let what is queued end, but not wait for ever; whether the thread has ended."""
        self._closed = True
        if self._thread is None:
            return True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, _LAST_WORD)
        return not self._thread.is_alive()


def _wake(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(ended.set)
