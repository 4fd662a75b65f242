"""What becomes of a message after an attempt: a returned decision, no I/O and no clock of its own."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, assert_never

import pydantic

from agi_sms import durations, message, ports
from agi_sms.message import Reason, Status


class Policy(pydantic.BaseModel):
    """How patiently to try again. `jitter` is the share by which each wait is lengthened or shortened at random."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    first: Annotated[durations.Duration, pydantic.Field(ge=timedelta(milliseconds=100))] = timedelta(seconds=30)
    factor: float = pydantic.Field(default=2.0, ge=1.0, le=100.0)
    longest: Annotated[durations.Duration, pydantic.Field(ge=timedelta(milliseconds=100))] = timedelta(minutes=30)
    attempts: int = pydantic.Field(default=8, ge=1, le=100)
    jitter: float = pydantic.Field(default=0.2, ge=0.0, lt=1.0)
    grace: durations.Duration = timedelta(minutes=5)  # how long an uncertain message waits for a settling receipt


@dataclass(frozen=True, kw_only=True)
class Go:
    """A claimed message goes to this provider."""

    provider: str


def wait(policy: Policy, rounds: int, jitter: float) -> timedelta:
    """The pause after so many rounds through a route (1 is the first); `jitter` is from -1 to 1."""
    doublings = min(rounds - 1, 1000)
    try:
        seconds = policy.first.total_seconds() * math.pow(policy.factor, doublings)
    except OverflowError:
        seconds = math.inf
    seconds = min(seconds, policy.longest.total_seconds())
    return timedelta(seconds=seconds * (1.0 + policy.jitter * jitter))


Broken = Callable[[str], datetime | None]
Routes = Callable[[str, str], tuple[str, ...] | None]
"""The providers in order for a node's message to a number, by the present configuration; None: it has no such node."""


def no_routes(node: str, number: str) -> tuple[str, ...] | None:
    """No message without a route gets one."""
    return ()


def choose(
    lease: ports.Lease,
    policy: Policy,
    traits: Callable[[str], ports.Provider | None],
    now: datetime,
    broken: Broken = lambda _: None,
    routes: Routes = no_routes,
) -> Go | ports.Decision:
    """Where a claimed message goes, or how its lease ends without an attempt.

    `broken` tells until when a provider is left alone, None where it is not: then the route's next healthy one gets
    the message. One without a route gets that of `routes`, as does one that a person has sent again where its own names
    no provider that there is. An uncertain one may only be sent again by the provider that may have it already, unless
    the operator lets it fail over. One that a crash left so has its grace period before it, unless that one dedupes.
    """
    if lease.status_before is Status.UNCERTAIN:
        return _doubtful(lease, policy, traits, now, broken)
    held = lease.message
    known = [name for name in held.route if traits(name) is not None]
    if not held.route or (lease.again and not known):
        return _routed(held, routes(held.node, held.recipient))
    if not known:
        return ports.Decision(status=Status.HELD, reason=Reason.PROVIDER_MISSING)
    start = known.index(held.provider) if held.provider in known else 0
    ordered = known[start:] + known[:start]
    healthy = next((name for name in ordered if broken(name) is None), None)
    if healthy is None:
        until = min(end for name in known if (end := broken(name)) is not None)
        return ports.Decision(status=Status.SCHEDULED, due_at=max(until, now), provider=ordered[0])
    if healthy != held.provider:  # it is claimed again under that name, with its places and its rate
        return ports.Decision(status=Status.SCHEDULED, due_at=held.due_at, provider=healthy)
    return Go(provider=healthy)


def _routed(held: message.Message, route: tuple[str, ...] | None) -> ports.Decision:
    """It is claimed again by the first of its new route, with its places and its rate."""
    if not route:
        reason = Reason.NODE_MISSING if route is None else Reason.NO_ROUTE
        return ports.Decision(status=Status.HELD, reason=reason)
    if route == held.route:
        return ports.Decision(status=Status.HELD, reason=Reason.PROVIDER_MISSING)
    return ports.Decision(status=Status.SCHEDULED, due_at=held.due_at, provider=route[0], route=route)


def _doubtful(
    lease: ports.Lease,
    policy: Policy,
    traits: Callable[[str], ports.Provider | None],
    now: datetime,
    broken: Broken,
) -> Go | ports.Decision:
    held, last = lease.message, traits(lease.last_provider)
    if held.reason is Reason.CRASHED and lease.last_ended is not None and not (last and last.idempotent):
        grace_ends = lease.last_ended + policy.grace
        if now < grace_ends:
            return ports.Decision(status=Status.UNCERTAIN, reason=Reason.CRASHED, due_at=grace_ends)
    onward = _again(lease, last, traits)
    if onward is None or held.attempts >= policy.attempts or now >= held.expires_at:
        return ports.Decision(status=Status.HELD, reason=held.reason or Reason.UNANSWERED)
    if (until := broken(onward)) is not None:
        return ports.Decision(status=Status.UNCERTAIN, reason=held.reason, due_at=max(until, now), provider=onward)
    if onward != held.provider:
        return ports.Decision(status=Status.UNCERTAIN, reason=held.reason, due_at=held.due_at, provider=onward)
    return Go(provider=onward)


def _again(
    lease: ports.Lease, last: ports.Provider | None, traits: Callable[[str], ports.Provider | None]
) -> str | None:
    """Who may have a message that may have been taken; None: nobody."""
    if last is None:
        return None
    if last.idempotent or last.on_uncertain is ports.OnUncertain.RESEND:
        return lease.last_provider
    if last.on_uncertain is ports.OnUncertain.FAILOVER:
        there = [name for name in lease.message.route if traits(name) is not None]
        return following(there, lease.last_provider)
    return None


def following(route: Sequence[str], name: str) -> str | None:
    """Who comes after this provider in the route; None after the last."""
    at = route.index(name) + 1 if name in route else 0
    return route[at] if at < len(route) else None


def decide(
    outcome: message.Outcome,
    *,
    sent: message.Message,
    before: Status,
    attempts: int,
    refusals: int,
    provider: ports.Provider,
    policy: Policy,
    now: datetime,
    jitter: float,
) -> ports.Decision:
    """What becomes of `sent` after its attempt number `attempts` (1 is the first); `jitter` is from -1 to 1.

    What was certainly not taken goes to the route's next provider at once, and round again after a pause. Who refused
    it leaves its route, so that each is asked once; where all have refused it, it has failed. What may have been
    taken stays with its provider: soon again where that dedupes, else after the grace period.
    `refusals` are the earlier attempts that came to Retry: only these count against the policy, since a provider
    that is down says nothing about a message. `before` is the status it was claimed in: an attempt that certainly
    failed does not settle an earlier doubt.
    """
    doubtful = before is Status.UNCERTAIN
    width = 1 if doubtful else max(1, len(sent.route))
    within = None if doubtful else following(sent.route, provider.name)
    pause = timedelta(0) if within else wait(policy, max(1, attempts // width), jitter)

    def again(after: timedelta) -> ports.Decision:
        due_at = now + min(after, sent.expires_at - now)  # `after` is a stranger's, and may be beyond all calendars
        if doubtful:
            return ports.Decision(status=Status.UNCERTAIN, reason=sent.reason or Reason.UNANSWERED, due_at=due_at)
        onward = within or next(iter(sent.route), None)
        return ports.Decision(status=Status.SCHEDULED, due_at=due_at, provider=onward)

    match outcome:
        case message.Accepted():
            return ports.Decision(status=Status.ACCEPTED)
        case message.Rejected() if doubtful:  # the earlier attempt may have been taken all the same
            return ports.Decision(status=Status.HELD, reason=sent.reason or Reason.UNANSWERED)
        case message.Rejected():
            left = tuple(name for name in sent.route if name != provider.name)
            if not left or isinstance(outcome, message.Final) or provider.confirms is ports.Confirms.HANDOVER:
                return ports.Decision(status=Status.FAILED, reason=Reason.REJECTED)
            return ports.Decision(status=Status.SCHEDULED, due_at=now, provider=within or left[0], route=left)
        case message.Retry(after=after):
            if (refusals + 1) // width >= policy.attempts and not doubtful:
                return ports.Decision(status=Status.FAILED, reason=Reason.GAVE_UP)
            return again(pause if within else max(pause, after or timedelta(0)))
        case message.ProviderDown():
            return again(pause)
        case message.Uncertain() if _fails_over(sent, provider):
            onward = following(sent.route, provider.name)
            return ports.Decision(status=Status.UNCERTAIN, reason=Reason.UNANSWERED, due_at=now, provider=onward)
        case message.Uncertain():
            soon = wait(policy, attempts, jitter) if provider.idempotent else policy.grace
            return ports.Decision(status=Status.UNCERTAIN, reason=Reason.UNANSWERED, due_at=now + soon)
        case _:
            assert_never(outcome)  # type: ignore[arg-type]


def _fails_over(sent: message.Message, provider: ports.Provider) -> bool:
    fails_over = provider.on_uncertain is ports.OnUncertain.FAILOVER and not provider.idempotent
    return fails_over and following(sent.route, provider.name) is not None
