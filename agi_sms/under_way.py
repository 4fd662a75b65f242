"""What is under way, counted."""

import asyncio


class UnderWay:
    """Counts what is under way (`with`), so that a close can wait for its end."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()

    def __enter__(self) -> None:
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self._idle.set()

    async def ended(self) -> None:
        """Wait until there is nothing."""
        while self._count:
            self._idle.clear()
            await self._idle.wait()
