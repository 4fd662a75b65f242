"""Places for what may be under way at once: who comes first gets one first, nobody waits longer than his patience."""

import asyncio
from datetime import timedelta

from agi_sms.providers.deadlines import Deadlines


class Places:
    """So many places. Making them needs no running loop."""

    def __init__(self, count: int, patience: timedelta) -> None:
        self._free = count
        self._patience = patience.total_seconds()
        self._waiting: dict[asyncio.Future[bool], None] = {}  # in their order; True is a place, False is none
        self._deadlines: Deadlines[asyncio.Future[bool]] | None = None

    async def take(self) -> None:
        """Wait for a place. Raises TimeoutError where there is none in time."""
        if self._free:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        if self._deadlines is None:
            self._deadlines = Deadlines(_too_late)
        place: asyncio.Future[bool] = loop.create_future()
        self._waiting[place] = None
        self._deadlines.add(place, loop.time() + self._patience)
        try:
            if not await place:
                raise TimeoutError
        except asyncio.CancelledError:
            if not place.cancelled() and place.result():
                self.give()
            raise
        finally:
            self._deadlines.over(place)
            self._waiting.pop(place, None)

    def give(self) -> None:
        """Give one back: to who waits for the longest time."""
        while self._waiting:
            place = next(iter(self._waiting))
            del self._waiting[place]
            if not place.done():
                place.set_result(True)
                return
        self._free += 1


def _too_late(place: asyncio.Future[bool]) -> None:
    if not place.done():
        place.set_result(False)
