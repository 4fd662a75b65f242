"""Asks those providers what became of messages that do not tell by themselves."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from agi_sms import errors, metrics, ports, seldom
from agi_sms.message import Status

log = structlog.get_logger(__name__)

PAGE = 500  # messages that are read at a time
LONGEST_PAUSE = timedelta(minutes=15)  # between rounds, while a provider does not answer
_STEADY = 10  # times that a message is asked about at the full pace; then at every tenth of its age


def owed(since: datetime, last: datetime | None, now: datetime, every: timedelta) -> bool:
    """Whether a message is to be asked about again, which was sent `since` then and may have been asked about `last`.

    One that takes days is asked about ever less: after the tenth time whenever its age has grown by a tenth.
    """
    return last is None or _times(since, now, every) > _times(since, last, every)


def _times(since: datetime, at: datetime, every: timedelta) -> int:
    """How often it should have been asked about until then."""
    age = max((at - since) / every, 0.0)
    if age <= _STEADY:
        return int(age)
    return _STEADY + int(math.log(age / _STEADY) / math.log(1.1))


class Polling:
    """Asks one provider after the other; where it does not answer, less and less often."""

    def __init__(
        self,
        *,
        outbox: ports.Outbox,
        take: ports.TakeReceipts,
        clock: Callable[[], datetime],
        rest: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._outbox = outbox
        self._take = take
        self._clock = clock
        self._rest = rest
        self._seldom = seldom.Seldom()

    async def keep_asking(self, provider: ports.Polled) -> None:
        """Until cancelled."""
        last: datetime | None = None
        pause = timedelta(0)
        while (every := provider.every) is not None:
            now = self._clock()
            try:
                whole = await self.ask(provider, last, now)
            except errors.OutboxError as error:
                self._complain(provider.name, str(error))
                whole = False
            if whole:
                last, pause = now, every
            else:
                pause = min(max(2 * pause, every), max(LONGEST_PAUSE, every))
            metrics.POLLS.labels(provider=provider.name, result="answered" if whole else "gave up").inc()
            await self._rest(pause.total_seconds())

    async def ask(self, provider: ports.Polled, last: datetime | None, now: datetime) -> bool:
        """One round, about all that it is time for; whether the provider answered to its end.

        `last`: when the last whole round began, None for none. Raises OutboxError.
        """
        every = provider.every or timedelta(0)
        after = ""
        while page := await self._outbox.awaited(provider.name, most=PAGE, after=after):
            after = page[-1].ref
            due = [one for one in page if owed(one.since, last, now, every)]
            told = await provider.ask(due) if due else ports.Told()
            if news := _news(due, told.receipts):
                await self._take(provider.name, news)
            if told.fault:
                self._complain(provider.name, told.fault)
            if told.gave_up:
                return False
        return True

    def _complain(self, provider: str, fault: str) -> None:
        since = self._seldom((provider,), 1)
        if since is not None:
            log.warning("a provider does not say what became of messages", provider=provider, error=fault, times=since)


def _news(asked: Sequence[ports.Awaited], receipts: Sequence[ports.Receipt]) -> list[ports.Receipt]:
    """Without those that say of a message, which is known to be on its way, that it is on its way."""
    doubted = {name for one in asked if one.in_doubt for name in (one.ref, *one.provider_ids)}
    return [
        one
        for one in receipts
        if one.state is not Status.ACCEPTED or not doubted.isdisjoint({one.provider_id, one.ref} - {""})
    ]
