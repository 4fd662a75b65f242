"""One message by one provider, followed to its end: for `agi-sms send-test`."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agi_sms import call, clock, durations, errors, ids, message, numbers, ports, show, text
from agi_sms.message import Status

if TYPE_CHECKING:
    from agi_sms import config as configuration

NODE = "send-test"  # the name under which it stands in the history
_LOOK_EVERY = 0.1  # seconds
_ENDS = message.FINAL | {Status.HELD}


def draft(
    loaded: "configuration.Config", provider: str, number: str, *, body: str, sender: str, wait: timedelta
) -> message.Draft:
    """The message, which is given up when the wait is over; raises ArgumentError that says what is not usable."""
    if provider not in loaded.providers:
        raise errors.ArgumentError(f"no provider {provider!r}; there are: {', '.join(sorted(loaded.providers))}")
    try:
        recipient = numbers.read(number, numbers.Rules(region=loaded.settings.region)).e164
    except errors.NumberError as error:
        raise errors.ArgumentError(str(error)) from error
    fault = text.sender_fault(sender)
    if fault is not None:
        raise errors.ArgumentError(f"sender: {fault}")
    sized = text.measure(body)
    if not sized.text.strip():
        raise errors.ArgumentError("the text is empty")
    now = clock.now()
    return message.Draft(
        recipient=recipient,
        source=message.Source.OPERATOR,
        status=Status.SCHEDULED,
        sender=sender,
        text=sized.text,
        encoding=sized.encoding,
        segments=sized.segments,
        route=(provider,),
        due_at=now,
        expires_at=now + wait,
    )


async def admit(box: ports.Outbox, wanted: message.Draft) -> str:
    """Store it; its id."""
    visit = str(uuid.uuid4())
    activation = ports.Activation(
        id=ids.new(clock.now()),
        node_revision="",
        visit=call.Visit(
            id=visit,
            node=NODE,
            entry=call.Entry.TRIGGER,
            arrived_at=wanted.due_at,
            call=call.Call(pbx="none", key=f"{NODE}/{visit}", call_id=f"{NODE}-{visit[:8]}"),
        ),
    )
    return (await box.admit(activation, [wanted])).messages[0].message_id


async def follow(
    box: ports.Outbox, message_id: str, wait: timedelta, tell: Callable[[str], None]
) -> message.Message | None:
    """Tell of what happens to it, as it happens, until it has come to an end or the wait is over; how it is then."""
    started = time.monotonic()
    told: set[str] = set()
    while True:
        story = await box.story(message_id)
        if story is None:
            return None
        for key, line in events(story):
            if key not in told:
                told.add(key)
                tell(f"{time.monotonic() - started:7.1f} s  {line}")
        if ended(story.message) or time.monotonic() - started >= wait.total_seconds():
            return story.message
        await asyncio.sleep(_LOOK_EVERY)


def ended(one: message.Message) -> bool:
    """Whether nothing more is to come of it by itself: no further attempt, and no receipt that is expected."""
    return one.status in _ENDS or (one.status is Status.ACCEPTED and one.receipt_due_at is None)


def events(story: ports.Story) -> Iterator[tuple[str, str]]:
    """All that has happened so far, each with a key of its own, in the order in which it is told."""
    for attempt in story.attempts:
        yield f"{attempt.id} begun", f"attempt {attempt.n} by {attempt.provider}"
        if attempt.ended_at is not None:
            took = durations.show(attempt.ended_at - attempt.started_at)
            words = [show.said(attempt.code, attempt.detail), *(f"id={name}" for name in attempt.provider_ids)]
            said = show.safe(" ".join(word for word in words if word))
            yield f"{attempt.id} ended", f"{attempt.outcome} after {took}{f': {said}' if said else ''}"
        for at, kept in enumerate(attempt.receipts):
            receipt = kept.receipt
            said = show.safe(show.said(receipt.code, receipt.detail))
            yield f"{attempt.id} receipt {at}", f"receipt: {receipt.state}{f', {said}' if said else ''}"
    one = story.message
    if one.status in (Status.SCHEDULED, Status.UNCERTAIN) and story.attempts and one.due_at is not None:
        what = "goes out again" if one.status is Status.SCHEDULED else "uncertain; a receipt may settle it, until"
        yield f"{one.status} {one.due_at}", f"{what} {show.local(one.due_at)}"
    elif one.status not in (Status.SCHEDULED, Status.SENDING, Status.UNCERTAIN):
        yield f"is {one.status}", _standing(one)


def _standing(one: message.Message) -> str:
    if one.reason is message.Reason.TOO_OLD:
        return "expired: the wait was over before it could be sent"
    why = f": {show.REASONS[one.reason]}" if one.reason is not None else ""
    waits = "; its receipt is waited for" if one.status is Status.ACCEPTED and one.receipt_due_at is not None else ""
    return f"{one.status}{why}{waits}"


def verdict(
    one: message.Message | None, wait: timedelta, now: datetime, *, waits: str = "", said: str = ""
) -> tuple[bool, str]:
    """Whether the provider works as far as can be seen, and that in a sentence.

    `waits` is why it was not tried, where that is known, `said` what the provider's last receipt says.
    """
    if one is None:
        return False, "the message is not in the outbox any more"
    match one.status:
        case Status.DELIVERED:
            return True, "delivered: the provider works, and so do its receipts"
        case Status.ACCEPTED if one.receipt_due_at is None:
            return True, "accepted: the provider took it, and sends no receipts that would tell more"
        case Status.ACCEPTED:
            return False, f"accepted, and no receipt within {durations.show(wait)}; it still counts when it comes"
        case _ if one.reason is message.Reason.PROVIDER_MISSING:
            return False, "the running gateway does not have this provider yet: agi-sms reload"
        case Status.FAILED if one.reason is message.Reason.UNDELIVERED:
            return False, f"sent, not delivered: {said or show.REASONS[one.reason]}"
        case Status.EXPIRED if waits and not one.attempts:
            return False, f"not sent: expired after {durations.show(wait)}: {waits}"
        case status if status in _ENDS:
            return False, f"not sent: {status}"
        case Status.UNCERTAIN:
            return False, "uncertain: nobody knows whether it was taken"
    if one.attempts:
        return False, f"not taken within {durations.show(wait)}; it is given up {_when(one.expires_at, now)}"
    why = waits or "the gateway is busy, or the provider is at its limit or left alone after faults (see its log)"
    return False, f"not tried within {durations.show(wait)}: {why}; given up {_when(one.expires_at, now)}"


def last_receipt(story: ports.Story | None) -> str:
    """The provider's words in the newest receipt, empty where there is none, or no words in it."""
    told = [kept.receipt for attempt in story.attempts for kept in attempt.receipts] if story is not None else []
    return show.safe(show.said(told[-1].code, told[-1].detail)) if told else ""


def _when(at: datetime, now: datetime) -> str:
    return f"at {show.local(at)}" if at > now else "now"
