"""From what the customer's system answered, or did not, to what becomes of the waiting messages. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agi_sms import call, durations, message, node, numbers, plan, ports, text, writing
from agi_sms.message import Reason, Source, Status
from agi_sms.node import Allowed, OnError
from agi_sms.ports import ContentState

FIRST_PAUSE = timedelta(seconds=1)  # before a question is repeated; twice as long each time
LONGEST_PAUSE = timedelta(minutes=1)
_JITTER = 0.2

_ENDS = {
    OnError.SKIP: (ContentState.SKIPPED, Status.SKIPPED),
    OnError.HOLD: (ContentState.HELD, Status.HELD),
    OnError.FALLBACK: (ContentState.HELD, Status.HELD),  # where the fallback itself comes to nothing
}


@dataclass(frozen=True, kw_only=True)
class _Wishes:
    """What an answer says beside its text, as far as the node lets it."""

    sender: str | None = None
    due_at: datetime | None = None
    recipients: tuple[str, ...] = ()


class _Invalid(Exception):
    """Something in the answer is not as the same key of a node would have to be."""


def resolve(visit: call.Visit, target: node.Node, rules: numbers.Rules, answer: ports.Answer) -> ports.Resolution:
    """What an answer makes of the messages; as with no answer, where no SMS can be made of it."""
    asking = target.asking
    if asking is None:
        return rewritten(visit, target, rules)
    try:
        if _declined(answer, asking):
            return _said(answer, ContentState.SKIPPED, Status.SKIPPED, Reason.DECLINED)
        wishes = _wishes(visit, asking, answer)
    except _Invalid as error:
        return give_up(visit, target, rules, _fault(answer, Reason.CONTENT_ERROR, str(error)))
    if target.template is not None:
        written = writing.write(target.template, visit, target, rules, {"api": answer.fields})
    elif answer.text is None:
        return give_up(visit, target, rules, _fault(answer, Reason.CONTENT_MISSING, _no_text(answer)))
    else:
        written = writing.take(answer.text, target)
    if written.reason is not None:
        return give_up(visit, target, rules, _fault(answer, written.reason, _why(written, target)))
    said = _said(answer, ContentState.ANSWERED, Status.SCHEDULED)
    notes = "; ".join(filter(None, [written.ignored, _ignored(answer, asking), _beyond(wishes)]))
    more = tuple(_named(visit, target, written, wishes))
    return replace(_with_text(said, written), detail=notes, sender=wishes.sender, due_at=wishes.due_at, more=more)


def give_up(visit: call.Visit, target: node.Node, rules: numbers.Rules, no_answer: ports.NoAnswer) -> ports.Resolution:
    """What the node's `on_error` makes of the messages."""
    asking = target.asking
    if asking is None:
        return rewritten(visit, target, rules)
    state, status = _ENDS[asking.on_error]
    base = ports.Resolution(
        state=state,
        status=status,
        reason=no_answer.reason,
        code=no_answer.code,
        detail=no_answer.detail[: message.LONGEST_DETAIL],
        excerpt=no_answer.excerpt,
        asked=no_answer.asked,
    )
    if asking.on_error is OnError.FALLBACK and asking.fallback is not None:
        written = writing.write(asking.fallback, visit, target, rules)
        if written.reason is None:
            return _with_text(replace(base, state=ContentState.FALLBACK, status=Status.SCHEDULED), written)
        why = f"{base.detail}; the fallback: {_why(written, target) or written.reason}"
        return replace(base, detail=why[: message.LONGEST_DETAIL])
    return base


def again_at(target: node.Node, no_answer: ports.NoAnswer, tries: int, now: datetime, jitter: float) -> datetime | None:
    """When to ask again after so many tries (1 is the first); None: not again. `jitter` is from -1 to 1."""
    if target.asking is None or not no_answer.again or tries > target.asking.retries:
        return None
    pause = min(FIRST_PAUSE * 2.0 ** min(tries - 1, 10), LONGEST_PAUSE) * (1 + _JITTER * jitter)
    return now + max(pause, min(no_answer.after or timedelta(0), LONGEST_PAUSE))


def removed() -> ports.Resolution:
    """The node is not in the configuration any more: a person decides."""
    return ports.Resolution(
        state=ContentState.HELD,
        status=Status.HELD,
        reason=Reason.CONTENT_REMOVED,
        detail="the configuration has no such node any more",
        asked=False,
    )


def rewritten(visit: call.Visit, target: node.Node, rules: numbers.Rules) -> ports.Resolution:
    """After a reload the node has a text of its own, and asks nobody."""
    written = plan.write(visit, target, rules)
    if written.reason is not None:
        return ports.Resolution(
            state=ContentState.SKIPPED,
            status=Status.SKIPPED,
            reason=written.reason,
            detail=_why(written, target),
            asked=False,
        )
    detail = "not asked: meanwhile the node has a text of its own"
    base = ports.Resolution(state=ContentState.ANSWERED, status=Status.SCHEDULED, detail=detail, asked=False)
    return _with_text(base, written)


# --- what the answer wishes -------------------------------------------------------------------------------------


def _declined(answer: ports.Answer, asking: node.Asking) -> bool:
    if answer.send is None or Allowed.SEND not in asking.allow:
        return False
    if not isinstance(answer.send, bool):
        raise _Invalid(f"send: must be true or false, not {_shown(answer.send)}")
    return not answer.send


def _wishes(visit: call.Visit, asking: node.Asking, answer: ports.Answer) -> _Wishes:
    sender = due_at = None
    if Allowed.SENDER in asking.allow and answer.sender not in (None, ""):
        sender = _sender(answer.sender)
    if Allowed.DELAY in asking.allow and answer.delay is not None:
        if not isinstance(answer.delay, str | int):
            raise _Invalid(f"delay: {_shown(answer.delay)} is not a duration; {durations.HELP}")
        try:
            due_at = visit.arrived_at + durations.parse(answer.delay)
        except ValueError as error:
            raise _Invalid(f"delay: {error}") from None
    recipients = _recipients(answer.recipients) if Allowed.RECIPIENTS in asking.allow else ()
    return _Wishes(sender=sender, due_at=due_at, recipients=recipients)


def _sender(value: object) -> str:
    if not isinstance(value, str):
        raise _Invalid(f"sender: must be text, not {_shown(value)}")
    fault = text.sender_fault(value)
    if fault is not None:
        raise _Invalid(f"sender: {fault}")
    return value


def _recipients(value: object) -> tuple[str, ...]:
    """A list, or one string with commas between; like a node's own."""
    if value is None:
        return ()
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise _Invalid('recipients: must be numbers in quotes: "+48600100200, +48600100201", or a list of them')
    return tuple(part.strip() for part in parts if part.strip())


def _ignored(answer: ports.Answer, asking: node.Asking) -> str:
    told = {allowed: getattr(answer, allowed.value) for allowed in Allowed}
    names = [name.value for name, value in told.items() if value is not None and name not in asking.allow]
    return f"ignored, since allow does not name it: {', '.join(names)}" if names else ""


def _shown(value: object) -> str:
    shown = str(value) if isinstance(value, str | int | float | bool) else f"a {type(value).__name__}"
    return repr(shown[:40]) if isinstance(value, str) else shown[:40]


# --- what becomes of it -----------------------------------------------------------------------------------------


def _with_text(base: ports.Resolution, written: writing.Written) -> ports.Resolution:
    return replace(base, text=written.text, encoding=written.encoding, segments=written.segments)


def _named(visit: call.Visit, target: node.Node, written: writing.Written, wishes: _Wishes) -> Iterator[message.Draft]:
    """The messages to those whom the answer names, in international format like a node's own."""
    blank, faults = plan.common(visit, target)
    due_at = wishes.due_at or blank.due_at
    blank = replace(
        plan.with_text(blank, written),
        source=Source.API,
        sender=blank.sender if wishes.sender is None else wishes.sender,
        status=Status.HELD if faults else Status.SCHEDULED,
        reason=Reason.BAD_ARGUMENT if faults else None,
        due_at=due_at,
        expires_at=due_at + target.max_age,
    )
    rules = numbers.Rules(number_format=numbers.NumberFormat.E164, region=target.region)
    for wanted in plan.merged(plan.named(wishes.recipients, Source.API, rules)):
        draft = replace(blank, recipient=wanted.recipient)
        if wanted.reason is not None:
            draft = replace(draft, status=Status.SKIPPED, reason=wanted.reason)
        yield plan.routed(draft, target)


def _beyond(wishes: _Wishes) -> str:
    over = len(wishes.recipients) - plan.MOST_NAMED
    return f"recipients: {over} beyond the first {plan.MOST_NAMED} get nothing" if over > 0 else ""


def _said(answer: ports.Answer, state: ContentState, status: Status, reason: Reason | None = None) -> ports.Resolution:
    return ports.Resolution(state=state, status=status, reason=reason, code=answer.code, excerpt=answer.excerpt)


def _fault(answer: ports.Answer, reason: Reason, detail: str) -> ports.NoAnswer:
    return ports.NoAnswer(reason=reason, code=answer.code, detail=detail, excerpt=answer.excerpt)


def _no_text(answer: ports.Answer) -> str:
    if answer.send is False:
        return "the answer says send: false, which the node does not allow (allow: [send]), and has no text"
    return "the answer has no text"


def _why(written: writing.Written, target: node.Node) -> str:
    if written.reason is Reason.TOO_LONG and not written.fault:
        return f"the text makes {written.segments} segments, more than max_segments: {target.max_segments}"
    return written.fault or ("the text is empty" if written.reason is Reason.EMPTY_CONTENT else "")
