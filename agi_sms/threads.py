"""Work that may never end, in a thread that the end of the process does not wait for."""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")


async def apart(work: Callable[[], T], patience: timedelta, name: str) -> T:
    """What `work` returns, or raises; TimeoutError where it takes longer, and then nobody hears of it any more."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if ended.done():
            return
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(result)  # type: ignore[arg-type]  # None only where T is

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:  # the loop is closed
            return

    threading.Thread(target=run, name=name, daemon=True).start()
    async with asyncio.timeout(patience.total_seconds()):
        return await ended
