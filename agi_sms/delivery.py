"""Claim what is due, attempt it, record what came of it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from agi_sms import breaker, errors, message, metrics, ports, retry, rounds
from agi_sms.prices import Prices
from agi_sms.rates import Rate

log = structlog.get_logger(__name__)

WORDS = rounds.Words(
    part="delivery",
    pauses="sending pauses: the outbox does not answer",
    goes_on="sending goes on: the outbox answers again",
    bug="a bug in delivery; the lease runs out and the message is found again",
)
MARGIN = timedelta(seconds=60)  # a lease outlasts the longest send by this
BUSY = "busy"  # the code of an outcome: we had no place or turn for it within its time
PROBED = timedelta(seconds=1)  # until a message that met a probe under way is looked at again
MOVES = 50  # messages of a provider that is left alone, looked at in one round


@dataclass(frozen=True, kw_only=True)
class Account:
    """What the operator says of one provider, of whatever kind.

    `concurrency`: submissions at once. `receipt_timeout`: how long after its acceptance a message should have its
    receipt; None where the provider sends none.
    """

    concurrency: int = 20
    rate: Rate | None = None
    prices: Prices | None = None
    receipt_timeout: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a reload replaces.

    A provider that is down, or leaves messages in doubt, `break_after` times in a row is left alone for `break_for`.
    `routes` tells the way of a message that has none.
    """

    providers: Mapping[str, ports.Provider]
    accounts: Mapping[str, Account]
    policy: retry.Policy
    break_after: int = 5
    break_for: timedelta = timedelta(seconds=30)
    routes: retry.Routes = retry.no_routes

    def account(self, provider: str) -> Account:
        return self.accounts.get(provider) or Account()


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """What is under way, or was: attempt `id` on a claimed message, the `number`th since a person's last retry."""

    id: str
    lease: ports.Lease
    number: int
    provider: ports.Provider
    terms: Terms


class Delivery(rounds.Worker):
    """Sends what is due. `jitter` gives numbers from -1 to 1.

    `tell_health` hears which providers are left alone until when, whenever one of them has answered or not.
    """

    def __init__(
        self,
        *,
        outbox: ports.Outbox,
        terms: Callable[[], Terms],
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
        tell_health: Callable[[Mapping[str, datetime]], None] = lambda _: None,
    ) -> None:
        super().__init__(words=WORDS, clock=clock)
        self._outbox = outbox
        self._terms = terms
        self._jitter = jitter
        self._tell_health = tell_health
        self._busy: Counter[str] = Counter()  # leases under way, by provider
        self._health: dict[str, tuple[ports.Provider, breaker.Breaker]] = {}

    async def _round(self) -> datetime | None:
        terms = self._terms()
        now = self._clock()
        self._forget(terms)
        places = {name: self._places(name, terms, now) for name in terms.providers} | {"": MOVES}
        longest = max((p.timeout for p in terms.providers.values()), default=timedelta(0))
        found = await self._outbox.claim(
            free={name: most - self._busy[name] for name, most in places.items() if most > self._busy[name]},
            known=terms.providers.keys(),
            # one that is left alone only has its messages looked at
            rates={
                name: one.rate
                for name, one in terms.accounts.items()
                if one.rate is not None and name in terms.providers and self._broken(name, terms, now) is None
            },
            lease=longest + MARGIN,
        )
        if self._draining:
            await self._give_back(found.leases)
            return None
        for lease in found.leases:
            self._begin(lease, terms)
        return found.next_at

    def _begin(self, lease: ports.Lease, terms: Terms) -> None:
        name = lease.message.provider if lease.message.provider in terms.providers else ""
        self._busy[name] += 1
        self._start(self._work(lease, terms)).add_done_callback(lambda _: self._busy.subtract([name]))

    def _places(self, name: str, terms: Terms, now: datetime) -> int:
        """Places that a provider has now: those of its account; of one that is left alone, those to look at its
        messages in; of one whose pause is over, that of the probe."""
        if self._broken(name, terms, now) is not None:
            return MOVES
        return 1 if self._breaker(name, terms).until is not None else terms.account(name).concurrency

    async def _give_back(self, leases: Sequence[ports.Lease]) -> None:
        """What was claimed while the drain began; what is not given back now, the next start finds."""
        for lease in leases:
            with contextlib.suppress(errors.OutboxError):
                await self._outbox.settle(lease, lease.undone)

    async def _work(self, lease: ports.Lease, terms: Terms) -> None:
        sent = lease.message
        with structlog.contextvars.bound_contextvars(call_id=sent.call_id, node=sent.node, message=sent.id):
            now = self._clock()
            onward = retry.choose(
                lease, terms.policy, terms.providers.get, now, lambda name: self._broken(name, terms, now), terms.routes
            )
            if isinstance(onward, retry.Go) and not self._asks(onward.provider, terms, now):
                onward = replace(lease.undone, due_at=now + PROBED)  # somebody else is the probe
            match onward:
                case retry.Go(provider=name):
                    await self._attempt(lease, terms, terms.providers[name])
                case ports.Decision(status=message.Status.HELD):
                    await self._persist(lambda: self._outbox.settle(lease, onward))
                    log.warning("message not sent", status=onward.status, reason=onward.reason)
                case ports.Decision():
                    await self._persist(lambda: self._outbox.settle(lease, onward))

    async def _attempt(self, lease: ports.Lease, terms: Terms, provider: ports.Provider) -> None:
        sent, account = lease.message, terms.account(provider.name)
        overdue_at = self._clock() + account.receipt_timeout if account.receipt_timeout else None
        cost = None if account.prices is None else account.prices.cost(sent.recipient, sent.segments)
        attempt_id = await self._persist(
            lambda: self._outbox.begin(lease, provider.name, cost=cost, receipt_due_at=overdue_at)
        )
        if attempt_id is None:
            self._breaker(provider.name, terms).forget()
            log.warning("lease lost before sending; somebody else has the message")
            return
        attempt = _Attempt(id=attempt_id, lease=lease, number=sent.attempts + 1, provider=provider, terms=terms)
        late: asyncio.Future[message.Outcome] = asyncio.get_running_loop().create_future()
        outcome = await self._send(attempt, lambda heard: None if late.done() else late.set_result(heard))
        self._learn(provider.name, outcome, terms)
        metrics.ATTEMPTS.labels(provider=provider.name, outcome=message.OUTCOMES[type(outcome)]).inc()
        await self._record(attempt, outcome)
        late.add_done_callback(lambda heard: self._hear(attempt, heard.result()))

    def _hear(self, attempt: _Attempt, outcome: message.Outcome) -> None:
        """An answer came after its attempt had been given up."""
        if not self._draining:  # then nobody would wait until it is written down
            self._start(self._record(attempt, outcome, late=True))

    async def _record(self, attempt: _Attempt, outcome: message.Outcome, *, late: bool = False) -> None:
        lease, terms, provider = attempt.lease, attempt.terms, attempt.provider
        sent, patience = lease.message, terms.account(provider.name).receipt_timeout
        there = tuple(name for name in sent.route if name in terms.providers)
        decision = retry.decide(
            outcome,
            sent=replace(sent, route=there or sent.route),
            before=lease.status_before,
            attempts=attempt.number,
            refusals=lease.refusals,
            provider=provider,
            policy=terms.policy,
            now=self._clock(),
            jitter=self._jitter(),
        )
        maybe_taken = isinstance(outcome, message.Accepted | message.Uncertain)
        overdue_at = self._clock() + patience if maybe_taken and patience else None
        status = await self._conclude(
            lambda: self._outbox.finish(lease, attempt.id, outcome, decision, receipt_due_at=overdue_at)
        )
        if status is not None and status is not decision.status and not late:  # a receipt was there before
            metrics.SETTLED.labels(provider=provider.name, status=status).inc()
        _tell(attempt, outcome, decision, status, late=late)

    async def _send(self, attempt: _Attempt, late: Callable[[message.Outcome], None]) -> message.Outcome:
        sent, provider = attempt.lease.message, attempt.provider
        submission = ports.Submission(
            ref=sent.id,
            to=sent.recipient,
            sender=sent.sender,
            text=sent.text or "",
            encoding=sent.encoding,
            segments=sent.segments,
            node=sent.node,
            attempt=attempt.number,
            late=late,
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

    # --- health -----------------------------------------------------------------------------------------------

    def _forget(self, terms: Terms) -> None:
        """What was learned of a provider that a reload replaced says nothing of the new one."""
        for name in [name for name, (one, _) in self._health.items() if terms.providers.get(name) is not one]:
            del self._health[name]
            self._count_broken()

    def _breaker(self, name: str, terms: Terms) -> breaker.Breaker:
        provider = terms.providers[name]
        _, known = self._health.get(name, (provider, None))
        if known is None:
            known = breaker.Breaker(after=terms.break_after, pause=terms.break_for)
            self._health[name] = (provider, known)
        known.after, known.pause = terms.break_after, terms.break_for
        return known

    def _broken(self, name: str, terms: Terms, now: datetime) -> datetime | None:
        """Until when a provider is left alone; None where it is not, or a probe may go."""
        return self._breaker(name, terms).left_alone(now)

    def _asks(self, name: str, terms: Terms, now: datetime) -> bool:
        health = self._breaker(name, terms)
        health.patience = terms.providers[name].timeout
        return health.asks(now)

    def _learn(self, name: str, outcome: message.Outcome, terms: Terms) -> None:
        if self._terms().providers.get(name) is not terms.providers[name]:
            return  # a reload has replaced it
        health = self._breaker(name, terms)
        if outcome.code == BUSY:
            health.forget()  # our own pace says nothing of the provider
        elif isinstance(outcome, message.ProviderDown | message.Uncertain):
            if health.fault(self._clock()):
                log.warning(
                    "provider left alone",
                    provider=name,
                    faults=health.count,
                    seconds=health.pause.total_seconds(),
                    code=outcome.code,
                    detail=outcome.detail,
                )
        else:
            faults = health.count
            if health.success():
                log.info("provider answers again", provider=name, faults=faults)
        self._count_broken()

    def _count_broken(self) -> None:
        broken = {name: one.until for name, (_, one) in self._health.items() if one.until is not None}
        metrics.PROVIDERS_LEFT_ALONE.set(len(broken))
        self._tell_health(broken)


_WORDS = {
    message.Status.ACCEPTED: "SMS sent",
    message.Status.DELIVERED: "SMS delivered",
    message.Status.FAILED: "SMS not delivered",
}


def _onward(route: Sequence[str], provider: str, following: str | None) -> bool:
    """Whether the next attempt is of a provider after this one in the route, which is asked at once."""
    return provider in route and following in route[route.index(provider) + 1 :]


def _tell(
    attempt: _Attempt, outcome: message.Outcome, decision: ports.Decision, status: message.Status | None, *, late: bool
) -> None:
    """What came of an attempt, and what its message is now: receipts may have come before, or a person decided."""
    sent = attempt.lease.message
    facts: dict[str, object] = {
        "provider": attempt.provider.name,
        "attempt": attempt.number,
        "recipient": sent.recipient,
        "outcome": message.OUTCOMES[type(outcome)],
    }
    if late:
        facts["late"] = True
    if status is message.Status.ACCEPTED:
        log.info("SMS sent", segments=sent.segments, **facts)
        return
    facts |= {"code": outcome.code, "detail": outcome.detail}
    if status is None:
        log.warning("this result is not the message's any more", **facts)
    elif status is not decision.status:
        tell = log.warning if status is message.Status.FAILED else log.info
        tell(_WORDS.get(status, "this result changes nothing"), status=status, **facts)
    elif status is message.Status.SCHEDULED and _onward(sent.route, attempt.provider.name, decision.provider):
        log.info("SMS handed on to the next provider", next_provider=decision.provider, **facts)
    else:
        if decision.due_at is not None:
            facts["again_at"] = decision.due_at.isoformat(timespec="seconds")
        log.warning(
            "SMS not sent yet" if decision.due_at is not None else "SMS not sent",
            status=status,
            reason=decision.reason,
            **facts,
        )
