"""What goes on for providers beside sending: connections that are kept up, questions that are asked."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog

from agi_sms import metrics, ports

log = structlog.get_logger(__name__)

Work = Callable[[], Awaitable[None]]
AGAIN, LONGEST = 5.0, 300.0  # seconds, where work for a provider ended by itself: first, and at most


class Attending:
    """Keeps work going, each for one provider."""

    def __init__(self) -> None:
        self._going: dict[str, tuple[ports.Provider, asyncio.Task[None]]] = {}

    def change(self, wanted: Mapping[str, tuple[ports.Provider, Work]]) -> None:
        """From now on this is wanted, by name: what is for another provider object than before begins anew."""
        ended: dict[str, asyncio.Task[None]] = {}
        for name, (provider, going) in list(self._going.items()):
            if name not in wanted or wanted[name][0] is not provider:
                going.cancel()
                ended[name] = going
                del self._going[name]
        for name, (provider, work) in wanted.items():
            if name not in self._going:
                going = asyncio.create_task(_keep_up(provider.name, work, ended.get(name)), name=name)
                self._going[name] = (provider, going)

    async def end(self) -> None:
        tasks = [going for _, going in self._going.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_up(provider: str, work: Work, before: "asyncio.Task[None] | None") -> None:
    """Once what was before it has ended: some companies let in one connection at a time."""
    if before is not None:
        await asyncio.wait({before})
    pause = AGAIN
    while True:
        begun = time.monotonic()
        try:
            await work()
        except Exception:
            log.exception("a bug in the provider's code; it is begun anew", provider=provider)
            metrics.fault("provider")
        pause = AGAIN if time.monotonic() - begun > LONGEST else pause
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST)
