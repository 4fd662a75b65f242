"""From a visit and its node to the messages that should be sent, or the reasons why not. Pure: no I/O, no clock."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from agi_sms import call, durations, errors, message, node, numbers, text
from agi_sms.message import Reason, Source, Status

MOST_FROM_DIALPLAN = 50
_RAW = 40  # characters kept of what could not be read as a number
_KEYS = frozenset("+0123456789*#")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The drafts, and what was wrong with what the dialplan handed over.

    Where there are `faults`, nothing is scheduled: all is held, or skipped where there is no text. `ignored` was
    left out of account.
    """

    drafts: tuple[message.Draft, ...]
    faults: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many are to be sent, before duplicates and limits are known."""
        return sum(draft.status is Status.SCHEDULED for draft in self.drafts)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Somebody who should get the message, or the reason why not."""

    recipient: str
    source: message.Source
    reason: Reason | None = None


@dataclass(frozen=True, kw_only=True)
class Written:
    """The text for everybody, or the reason why there is none."""

    text: str | None
    encoding: message.Encoding = message.Encoding.GSM7
    segments: int = 0
    reason: Reason | None = None
    fault: str = ""
    ignored: str = ""


def plan(visit: call.Visit, target: node.Node, rules: numbers.Rules) -> Plan:
    """The messages that `visit` makes at node `target`; `rules` say how its trunk writes numbers.

    A fault in what the dialplan handed over (a delay, a sender) holds the messages for a person to decide,
    so that nothing is lost and nothing goes out at the wrong time or under the wrong name.
    """
    faults: list[str] = []
    delay = _delay(visit, target, faults)
    sender = _sender(visit, target, faults)
    ignored: list[str] = []
    if visit.recipients and not target.dialplan_recipients:
        ignored.append("recipients= is given, but the node does not say dialplan_recipients: true")
    elif len(_listed(visit)) > MOST_FROM_DIALPLAN:
        ignored.append(f"recipients= names more than {MOST_FROM_DIALPLAN}; those after them get nothing")
    written = write(visit, target, rules)
    if written.fault:
        faults.append(written.fault)
    if written.ignored:
        ignored.append(written.ignored)
    due_at = visit.arrived_at + delay
    blank = message.Draft(
        recipient="",
        source=Source.CONFIG,
        status=Status.SCHEDULED,
        sender=sender,
        text=written.text,
        encoding=written.encoding,
        segments=written.segments,
        route=target.route,
        due_at=due_at,
        expires_at=due_at + target.max_age,
        once=target.once_per_call,
    )
    drafts = []
    for wanted in _merged(_wanted(visit, target, rules)):
        reason = wanted.reason or written.reason
        if reason is not None:
            status = Status.SKIPPED
        elif faults:
            status, reason = Status.HELD, Reason.BAD_ARGUMENT
        else:
            status = Status.SCHEDULED
        drafts.append(replace(blank, recipient=wanted.recipient, source=wanted.source, status=status, reason=reason))
    return Plan(drafts=tuple(drafts), faults=tuple(faults), ignored=tuple(ignored))


def write(visit: call.Visit, target: node.Node, rules: numbers.Rules) -> Written:
    """Render the node's text for this call and measure it. A withheld caller's number and name stay out of it.

    A caller's name keeps the message from nobody: where the text is too long, or its template fails, it is tried
    again in plain letters, then without the name.
    """
    at = visit.call
    caller = _readable(at.caller, rules)
    if numbers.withheld(at.caller, at.presentation):
        at, caller = replace(at, caller_name=""), ""
    first = _write(replace(visit, call=at), target, rules, caller=caller, plain=target.transliterate)
    if first.reason not in (Reason.TOO_LONG, Reason.CONTENT_ERROR):
        return first
    for name in dict.fromkeys((at.caller_name, "")):
        again = replace(visit, call=replace(at, caller_name=name))
        for plain in dict.fromkeys((target.transliterate, True)):
            written = _write(again, target, rules, caller=caller, plain=plain)
            if written.reason is None:
                why = first.fault or f"with it the text makes {first.segments} segments, more than max_segments"
                return replace(written, ignored="" if name == at.caller_name else f"caller_name is left out: {why}")
    return first


def _write(visit: call.Visit, target: node.Node, rules: numbers.Rules, *, caller: str, plain: bool) -> Written:
    at = visit.call
    try:
        body = target.template.render(
            text.values(
                visit,
                node=target.name,
                description=target.description,
                time_zone=target.time_zone,
                caller=caller,
                dialled=_readable(at.dialled, rules),
                diverted_from=_readable(at.diverted_from, rules),
            )
        )
    except errors.TextError as error:
        return Written(text=None, reason=Reason.CONTENT_ERROR, fault=str(error))
    sized = text.measure(body, transliterate=plain)
    reason = None
    if not sized.text.strip():
        reason = Reason.EMPTY_CONTENT
    elif sized.segments > target.max_segments:
        reason = Reason.TOO_LONG
    return Written(text=sized.text, encoding=sized.encoding, segments=sized.segments, reason=reason)


def _delay(visit: call.Visit, target: node.Node, faults: list[str]) -> timedelta:
    if not visit.delay:
        return target.delay
    try:
        return durations.parse(visit.delay)
    except ValueError as error:
        faults.append(f"delay: {error}")
        return target.delay


def _sender(visit: call.Visit, target: node.Node, faults: list[str]) -> str:
    if not visit.sender:
        return target.sender
    fault = text.sender_fault(visit.sender)
    if fault is None:
        return visit.sender
    faults.append(f"sender: {fault}")
    return target.sender


def _listed(visit: call.Visit) -> list[str]:
    parts = (visit.recipients or "").replace("&", ",").split(",")
    return [part.strip() for part in parts if part.strip()]


def _wanted(visit: call.Visit, target: node.Node, rules: numbers.Rules) -> Iterator[Wanted]:
    for configured in target.recipients:
        yield Wanted(recipient=configured.number, source=configured.source)
    if target.dialplan_recipients:
        home = numbers.Rules(region=target.region)
        for raw in _listed(visit)[:MOST_FROM_DIALPLAN]:
            try:
                yield Wanted(recipient=numbers.read(raw, home).e164, source=Source.DIALPLAN)
            except errors.NumberError:
                yield Wanted(recipient=raw[:_RAW], source=Source.DIALPLAN, reason=Reason.RECIPIENT_INVALID)
    if target.send_to_caller:
        yield _caller(visit.call, target, rules)


def _caller(at: call.Call, target: node.Node, rules: numbers.Rules) -> Wanted:
    if numbers.withheld(at.caller, at.presentation):
        return Wanted(recipient="", source=Source.CALLER, reason=Reason.CALLER_WITHHELD)
    try:
        number = numbers.read(at.caller, rules)
    except errors.NumberError:
        return Wanted(recipient=at.caller[:_RAW], source=Source.CALLER, reason=Reason.CALLER_INVALID)
    return Wanted(recipient=number.e164, source=Source.CALLER, reason=_refused(number, target))


def _refused(number: numbers.Number, target: node.Node) -> Reason | None:
    """Why a caller's number gets no SMS. Anybody can call under any number, so that the SMS is at our expense."""
    if number.kind is numbers.Kind.LANDLINE:
        return Reason.LANDLINE
    # phonenumbers calls satellite phones mobile; what they cost is many times as much
    if number.kind is numbers.Kind.OTHER or number.region == numbers.WORLD:
        return Reason.NOT_MOBILE
    return None if target.serves(number.region) else Reason.COUNTRY


def _merged(everybody: Iterator[Wanted]) -> Iterator[Wanted]:
    seen: set[str] = set()
    for wanted in everybody:
        if wanted.recipient and wanted.recipient in seen:
            continue
        seen.add(wanted.recipient)
        yield wanted


def _readable(raw: str, rules: numbers.Rules) -> str:
    try:
        return numbers.read(raw, rules).e164
    except errors.NumberError:
        # whatever else is in it, a caller wrote, and it would go out in the operator's name
        return "".join(c for c in raw if c in _KEYS)[:_RAW]
