"""Asks those providers what became of messages that do not tell by themselves."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from agi_sms import errors, metrics, ports, seldom
from agi_sms.message import Status

log = structlog.get_logger(__name__)

PAGE = 500  # messages that are read at a time
LONGEST_PAUSE = timedelta(minutes=15)  # between rounds, while a provider does not answer
IN_VAIN = 3  # questions in a row without an answer, before a provider is left alone for a while
_STEADY = 10  # times that a message is asked about at the full pace; then at every tenth of its age
_ODD = 3  # questions that are answered, and tell nothing, which may be a mistake in the settings


def owed(since: datetime, last: datetime | None, now: datetime, every: timedelta) -> bool:
    """Whether a message is to be asked about again, which was sent `since` then and may have been asked about `last`.

    One that takes days is asked about ever less: after the tenth time whenever its age has grown by a tenth.
    """
    if last is None or since > now:  # a clock was set back
        return True
    return _times(since, now, every) > _times(since, last, every)


def _times(since: datetime, at: datetime, every: timedelta) -> int:
    """How often it should have been asked about until then."""
    age = max((at - since) / every, 0.0)
    if age <= _STEADY:
        return int(age)
    return _STEADY + int(math.log(age / _STEADY) / math.log(1.1))


@dataclass(kw_only=True)
class _Course:
    """How far a provider has been asked. A round may take several goes, each behind the one before."""

    last: datetime | None = None  # when the last whole round began
    began: datetime | None = None  # this round, None before it
    after: ports.Awaited | None = None  # whom it was asked about at the end of the last go, None between rounds
    pause: timedelta = timedelta(0)
    wish: timedelta = timedelta(0)  # of the provider's, not to be asked for so long
    answered: int = 0  # questions of this go
    receipts: int = 0  # that came of them
    in_vain: int = 0  # questions without an answer, in a row
    silent: bool = False  # nothing came of the last go


class Polling:
    """Asks each provider at its pace; one that does not answer, less and less often."""

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
        course = _Course()
        while (pace := provider.pace) is not None:
            course.answered = course.receipts = course.in_vain = 0
            course.wish = timedelta(0)
            try:
                await self._go(provider, pace, course)
                kept = True
            except errors.OutboxError as error:
                self._say("what a provider told of messages is not kept; it is asked again", provider.name, str(error))
                kept = False
            self._conclude(provider.name, pace, course, kept=kept)
            await self._rest(max(course.pause, course.wish).total_seconds())

    async def _go(self, provider: ports.Polled, pace: ports.Pace, course: _Course) -> None:
        """One go: to the end of the round, or until the provider does not answer. Raises OutboxError."""
        if course.began is None:
            course.began = self._clock()
        while page := await self._outbox.awaited(provider.name, most=PAGE, after=course.after):
            due = [one for one in page if owed(one.since, course.last, course.began, pace.every)]
            for start in range(0, len(due), pace.most):
                part = due[start : start + pace.most]
                await self._ask(provider, part, course)
                course.after = part[-1]
                if course.in_vain == IN_VAIN:
                    return
            course.after = page[-1]
        course.last, course.began, course.after = course.began, None, None

    async def _ask(self, provider: ports.Polled, part: Sequence[ports.Awaited], course: _Course) -> None:
        told = await provider.ask(part)
        if news := _news(part, told.receipts):
            await self._take(provider.name, news)
        if told.fault:
            self._say("a provider does not say what became of messages", provider.name, told.fault)
        if told.fault and not told.receipts:
            course.in_vain += 1
        else:
            course.in_vain, course.answered = 0, course.answered + 1
        course.receipts += len(told.receipts)
        course.wish = told.after or timedelta(0)

    def _conclude(self, provider: str, pace: ports.Pace, course: _Course, *, kept: bool) -> None:
        """How long to rest, and what there is to say."""
        vain = not kept or (course.in_vain > 0 and not course.answered)
        if not vain:
            course.pause = pace.every
        else:
            course.pause = min(max(2 * course.pause, pace.every), max(LONGEST_PAUSE, pace.every))
        if course.silent and not vain and course.answered:
            log.info("a provider says again what became of messages", provider=provider)
        course.silent = vain or (course.silent and not course.answered)
        if course.answered >= _ODD and not course.receipts:
            hint = "does polling.answer look where the company writes it?"
            self._say("a provider says nothing of the messages that it was asked about", provider, hint)
        if vain or course.answered:
            metrics.POLLS.labels(provider=provider, result="in vain" if vain else "answered").inc()

    def _say(self, event: str, provider: str, error: str) -> None:
        """Once in a while, with the number of times since."""
        since = self._seldom((event, provider))
        if since is not None:
            log.warning(event, provider=provider, error=error, times=since)


def _news(asked: Sequence[ports.Awaited], receipts: Sequence[ports.Receipt]) -> list[ports.Receipt]:
    """Receipts without those that say of a message, which is known to be on its way, that it is on its way.

    What is said of a message by the only id that it still has is said of all of it, however many segments share the id.
    """
    by_name = {name: one for one in asked for name in (one.ref, *one.provider_ids)}
    found = []
    for receipt in receipts:
        one = by_name.get(receipt.provider_id) or by_name.get(receipt.ref)
        if one is None or (receipt.state is Status.ACCEPTED and not one.in_doubt):
            continue
        whole = len(one.provider_ids) <= 1
        found.append(replace(receipt, provider_id="", ref=one.ref) if whole else receipt)
    return found
