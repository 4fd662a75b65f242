"""Why a message waits, and why its receipt is overdue: what is known beside the message itself. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agi_sms import call, durations, message, plain, ports, text
from agi_sms.message import Status
from agi_sms.rates import Rate


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the configuration, the outbox and the running gateway tell of a message's provider.

    `address` is where its receipts come in: empty where no HTTP address was told, None where it sends none that way.
    `every`: how often it is asked for them, None where it is not.
    """

    provider: str
    known: bool  # whether the configuration has it
    traffic: ports.Traffic
    rate: Rate | None = None
    places: int | None = None
    address: str | None = None
    every: timedelta | None = None
    runs: bool  # whether the gateway does
    left_alone: Mapping[str, datetime]  # until when, by provider


def waiting(one: message.Message, facts: Facts, now: datetime) -> str:
    """Why it has not been handed over although it is due; empty where it is not due."""
    if one.status is not Status.SCHEDULED or one.due_at is None:
        return ""
    if not facts.known:
        return f"the configuration has no provider {facts.provider}" if facts.provider else ""
    if not facts.runs:
        return "for the gateway, which does not run: agi-sms run"
    if one.due_at > now:
        return alone(facts, now)
    places = "" if facts.places is None else f" (concurrency: {facts.places})"
    return alone(facts, now) or limited(facts) or f"for a free place with {facts.provider}{places}"


def alone(facts: Facts, now: datetime) -> str:
    """Where it is left alone after faults: until when."""
    until = facts.left_alone.get(facts.provider)
    if until is None:
        return ""
    end = (
        f"until {plain.local(until)}" if until > now else "but for one message now and then, to see whether it answers"
    )
    return f"{facts.provider} is left alone after faults, {end}"


def limited(facts: Facts) -> str:
    """Where the limit is used up: how much of it, and until when."""
    if facts.rate is None or facts.traffic.begun < facts.rate.most:
        return ""
    span = durations.show(facts.rate.window)
    room = f", until {plain.local(facts.traffic.room_at)}" if facts.traffic.room_at is not None else ""
    return f"{facts.provider} is at its limit: {facts.traffic.begun} of {facts.rate.most} in {span}{room}"


def receipts(one: message.Message, facts: Facts, now: datetime) -> Iterator[str]:
    """What helps to find out why a receipt does not come; nothing where none is overdue."""
    if not one.receipt_overdue(now):
        return
    if facts.address:
        yield f"the company is told to send it to {facts.address}"
    elif facts.address is not None:
        yield "the company is told no address: receipts.listen and receipts.public_url are not set"
    if facts.every is not None:
        yield f"the company is asked every {durations.show(facts.every)}, ever less often as messages age"
    last = facts.traffic.last_receipt_at
    yield f"the last receipt of {facts.provider}: {plain.local(last) if last is not None else 'none has ever come'}"
    if facts.traffic.unmatched:
        what = text.counted(facts.traffic.unmatched, "receipt")
        yield f"{what} of {facts.provider} fit no message: is the id in them where the profile looks for it?"
    what = "refused (no good signature, not readable)" if facts.every is None else "not answered, and why,"
    yield f"what was {what} is in the gateway's log"


def bad_arguments(visit: call.Visit) -> str:
    """Which of the dialplan's arguments cannot be used, what it was, and what would be right; empty where all can."""
    faults = []
    if visit.delay:
        try:
            durations.parse(visit.delay)
        except ValueError as error:
            faults.append(f"delay={visit.delay} from the dialplan: {error}")
    if visit.sender and (fault := text.sender_fault(visit.sender)) is not None:
        faults.append(f"sender={visit.sender} from the dialplan: {fault}")
    return "; ".join(faults)


def passed_over(story: ports.Story) -> dict[str, tuple[str, ...]]:
    """By attempt the providers before it in the route, to which nothing was given since the attempt before it."""
    route, found = story.message.route, dict[str, tuple[str, ...]]()
    after = 0
    for attempt in story.attempts:
        at = route.index(attempt.provider) if attempt.provider in route else None
        if at is None:
            after = 0
            continue
        found[attempt.id] = route[after:at] if after <= at else ()
        after = at + 1 if at + 1 < len(route) else 0
    return found
