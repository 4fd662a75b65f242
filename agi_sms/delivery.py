"""Claim what is due, attempt it, record what came of it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from agi_sms import errors, message, metrics, ports, retry

log = structlog.get_logger(__name__)
T = TypeVar("T")

LONGEST_SLEEP = 5.0  # seconds: a clock that jumps does little harm
MARGIN = timedelta(seconds=60)  # a lease outlasts the longest send by this


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a reload replaces."""

    providers: Mapping[str, ports.Provider]
    policy: retry.Policy
    concurrency: int


class Delivery:
    """Sends what is due. `jitter` gives numbers from -1 to 1."""

    def __init__(
        self,
        *,
        outbox: ports.Outbox,
        terms: Callable[[], Terms],
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._terms = terms
        self._clock = clock
        self._jitter = jitter
        self._woken = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._draining = False

    def wake(self) -> None:
        """There may be something to send."""
        self._woken.set()

    async def run(self) -> None:
        """Send until `drain` is called or the task is cancelled."""
        pause = 0.0
        while not self._draining:
            self._woken.clear()
            try:
                await self._round()
            except errors.OutboxError as error:
                if not pause:
                    log.warning("sending pauses: the outbox does not answer", error=str(error))
                pause = min(max(pause * 2, 0.2), LONGEST_SLEEP)
                await asyncio.sleep(pause)
            else:
                if pause:
                    log.info("sending goes on: the outbox answers again")
                pause = 0.0

    async def _round(self) -> None:
        terms = self._terms()
        free = terms.concurrency - len(self._under_way)
        leases: list[ports.Lease] = []
        if free > 0:
            longest = max((p.timeout for p in terms.providers.values()), default=timedelta(0))
            leases = await self._outbox.claim(limit=free, lease=longest + MARGIN)
            if self._draining:
                await self._give_back(leases)
                return
            for lease in leases:
                task = asyncio.create_task(self._work(lease, terms))
                self._under_way.add(task)
                task.add_done_callback(self._ended)
        if len(leases) < free or free <= 0:
            await self._rest(free)

    async def _give_back(self, leases: Sequence[ports.Lease]) -> None:
        """What was claimed while the drain began; what is not given back now, the next start finds."""
        for lease in leases:
            with contextlib.suppress(errors.OutboxError):
                await self._outbox.settle(lease, lease.undone)

    async def _rest(self, free: int) -> None:
        """Until something new came, a place is free, or the next message is due."""
        seconds = LONGEST_SLEEP
        if free > 0:
            due = await self._outbox.next_due()
            if due is not None:
                seconds = min(max((due - self._clock()).total_seconds(), 0.0), LONGEST_SLEEP)
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a bug in delivery; the lease runs out and the message is found again", exc_info=error)
            metrics.fault("delivery")

    async def _work(self, lease: ports.Lease, terms: Terms) -> None:
        sent = lease.message
        with structlog.contextvars.bound_contextvars(call_id=sent.call_id, node=sent.node, message=sent.id):
            onward = retry.choose(lease, terms.policy, terms.providers.get, self._clock())
            match onward:
                case retry.Go(provider=name):
                    await self._attempt(lease, terms, terms.providers[name])
                case ports.Decision():
                    await self._persist(lambda: self._outbox.settle(lease, onward))
                    log.warning("message not sent", status=onward.status, reason=onward.reason)

    async def _attempt(self, lease: ports.Lease, terms: Terms, provider: ports.Provider) -> None:
        sent = lease.message
        attempt_id = await self._persist(lambda: self._outbox.begin(lease, provider.name))
        if attempt_id is None:
            log.warning("lease lost before sending; somebody else has the message")
            return
        number = sent.attempts + 1
        outcome = await self._send(sent, number, provider)
        there = tuple(name for name in sent.route if name in terms.providers)
        decision = retry.decide(
            outcome,
            sent=replace(sent, route=there or sent.route),
            before=lease.status_before,
            attempts=number,
            refusals=lease.refusals,
            provider=provider,
            policy=terms.policy,
            now=self._clock(),
            jitter=self._jitter(),
        )
        kept = await self._persist(lambda: self._outbox.finish(lease, attempt_id, outcome, decision))
        self._tell(sent, provider.name, number, outcome, decision, kept=kept)

    async def _send(self, sent: message.Message, number: int, provider: ports.Provider) -> message.Outcome:
        submission = ports.Submission(
            ref=sent.id,
            to=sent.recipient,
            sender=sent.sender,
            text=sent.text or "",
            encoding=sent.encoding,
            segments=sent.segments,
            node=sent.node,
            attempt=number,
        )
        try:
            async with asyncio.timeout(provider.timeout.total_seconds() + MARGIN.total_seconds() / 2):
                return await provider.send(submission)
        except TimeoutError:
            return message.Uncertain(detail="the provider's code did not end in time")
        except Exception as error:
            log.exception("a bug in the provider's code", provider=provider.name)
            metrics.fault("provider")
            return message.Uncertain(detail=f"{type(error).__name__} in the provider's code")

    async def _persist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write something down however long the outbox needs: it must not be lost."""
        pause = 0.1
        while True:
            try:
                return await write()
            except errors.OutboxError as error:
                if pause >= LONGEST_SLEEP:
                    log.error("the outbox takes nothing; trying on", error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_SLEEP)

    def _tell(
        self,
        sent: message.Message,
        provider: str,
        number: int,
        outcome: message.Outcome,
        decision: ports.Decision,
        *,
        kept: bool,
    ) -> None:
        word = message.OUTCOMES[type(outcome)]
        metrics.ATTEMPTS.labels(provider=provider, outcome=word).inc()
        facts = {"provider": provider, "attempt": number, "recipient": sent.recipient, "outcome": word}
        if decision.status is message.Status.ACCEPTED:
            log.info("SMS sent", segments=sent.segments, **facts)
        else:
            if decision.due_at is not None:
                facts["again_at"] = decision.due_at.isoformat(timespec="seconds")
            log.warning(
                "SMS not sent yet" if decision.due_at is not None else "SMS not sent",
                status=decision.status,
                code=outcome.code,
                detail=outcome.detail,
                reason=decision.reason,
                **facts,
            )
        if not kept:
            log.warning("the lease had run out meanwhile; this result is not the message's any more")

    async def drain(self, patience: timedelta) -> int:
        """Claim no more, let running sends end; how many did not, and will be looked at after the next start."""
        self._draining = True
        self._woken.set()
        if not self._under_way:
            return 0
        _, left = await asyncio.wait(tuple(self._under_way), timeout=patience.total_seconds())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left)
