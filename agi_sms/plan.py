"""From a visit and its node to the messages that should be sent, or the reasons why not. Pure: no I/O, no clock."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agi_sms import call, durations, errors, harmless, message, node, numbers, text, writing
from agi_sms.message import Reason, Source, Status

MOST_NAMED = 50  # recipients that one dialplan argument, or one answer, may name
_RAW = 40  # characters kept of what could not be read as a number


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The drafts, and what was wrong with what the dialplan handed over.

    Where there are `faults`, nothing is scheduled: all is held, or skipped where there is no text. `ignored` was
    left out of account. `fetch_at` is when the customer's system is to be asked for the text, None where it is not.
    Where only its answer can name recipients, a draft without one waits for that; where nobody can, a draft without
    one is skipped, so that there is always one, and the history tells why nobody got an SMS.
    """

    drafts: tuple[message.Draft, ...]
    faults: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    fetch_at: datetime | None = None

    @property
    def count(self) -> int:
        """How many are to be sent, before duplicates and limits are known."""
        return sum(draft.status in (Status.SCHEDULED, Status.WAITING) for draft in self.drafts)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Somebody who should get the message, or the reason why not."""

    recipient: str
    source: message.Source
    reason: Reason | None = None


def plan(visit: call.Visit, target: node.Node, rules: numbers.Rules) -> Plan:
    """The messages that `visit` makes at node `target`; `rules` say how its trunk writes numbers.

    A fault in what the dialplan handed over (a delay, a sender) holds the messages for a person to decide,
    so that nothing is lost and nothing goes out at the wrong time or under the wrong name.
    """
    blank, faults = common(visit, target)
    ignored: list[str] = []
    if visit.recipients and not target.dialplan_recipients:
        ignored.append("recipients= is given, but the node does not say dialplan_recipients: true")
    elif len(_listed(visit)) > MOST_NAMED:
        ignored.append(f"recipients= names more than {MOST_NAMED}; those after them get nothing")
    refusal = None
    if not target.wants(visit.call.variables):
        refusal = Reason.CONDITION
    elif target.asking is None:
        written = write(visit, target, rules)
        blank = with_text(blank, written)
        refusal = written.reason
        if written.fault:
            faults.append(written.fault)
        if written.ignored:
            ignored.append(written.ignored)
    drafts = []
    for wanted in merged(_wanted(visit, target, rules)):
        reason = wanted.reason or refusal
        if reason is not None:
            status = Status.SKIPPED
        elif faults:
            status, reason = Status.HELD, Reason.BAD_ARGUMENT
        else:
            status = blank.status
        draft = replace(blank, recipient=wanted.recipient, source=wanted.source, status=status, reason=reason)
        drafts.append(routed(draft, target))
    if refusal is None and _waits_for_names(target, drafts):
        status, reason = (Status.HELD, Reason.BAD_ARGUMENT) if faults else (blank.status, None)
        drafts.append(replace(blank, source=Source.API, status=status, reason=reason))
    if not drafts:
        reason = refusal if refusal is Reason.CONDITION else Reason.NO_RECIPIENT
        source = Source.API if _answer_names(target) else blank.source
        drafts.append(replace(blank, source=source, status=Status.SKIPPED, reason=reason))
    return Plan(
        drafts=tuple(drafts), faults=tuple(faults), ignored=tuple(ignored), fetch_at=_fetch_at(visit, target, drafts)
    )


def write(visit: call.Visit, target: node.Node, rules: numbers.Rules) -> writing.Written:
    """The text of a node that asks nobody for it."""
    if target.template is None:
        return writing.Written(text=None, reason=Reason.EMPTY_CONTENT, fault="the node has no text")
    return writing.write(target.template, visit, target, rules)


def common(visit: call.Visit, target: node.Node) -> tuple[message.Draft, list[str]]:
    """What the messages of a visit have in common, and the faults in what the dialplan wanted of them."""
    faults: list[str] = []
    due_at = visit.arrived_at + _delay(visit, target, faults)
    blank = message.Draft(
        recipient="",
        source=Source.CONFIG,
        status=Status.SCHEDULED if target.asking is None else Status.WAITING,
        sender=_sender(visit, target, faults),
        due_at=due_at,
        expires_at=due_at + target.max_age,
        once=target.once_per_call,
    )
    return blank, faults


def with_text(draft: message.Draft, written: writing.Written) -> message.Draft:
    """The draft with this text."""
    return replace(draft, text=written.text, encoding=written.encoding, segments=written.segments)


def routed(draft: message.Draft, target: node.Node) -> message.Draft:
    """The draft with the way that its recipient's number goes; held where there is none for it."""
    route = target.route.for_number(draft.recipient)
    if route or draft.status not in (Status.SCHEDULED, Status.WAITING):
        return replace(draft, route=route)
    return replace(draft, status=Status.HELD, reason=Reason.NO_ROUTE)


def route(nodes: node.Nodes, name: str, number: str) -> tuple[str, ...] | None:
    """By which providers a message of this node to this number goes; None where there is no such node."""
    found = nodes.get(name)
    return None if found is None else found.route.for_number(number)


def _answer_names(target: node.Node) -> bool:
    """Whether the customer's system may name recipients."""
    return target.asking is not None and node.Allowed.RECIPIENTS in target.asking.allow


def _waits_for_names(target: node.Node, drafts: Iterable[message.Draft]) -> bool:
    asked_for = any(
        draft.status is Status.WAITING or (draft.status is Status.HELD and draft.reason is not Reason.NO_ROUTE)
        for draft in drafts
    )
    return _answer_names(target) and not asked_for


def _fetch_at(visit: call.Visit, target: node.Node, drafts: Iterable[message.Draft]) -> datetime | None:
    waiting = [draft for draft in drafts if draft.status is Status.WAITING]
    if target.asking is None or not waiting:
        return None
    return visit.arrived_at if target.asking.fetch is node.Fetch.ARRIVAL else waiting[0].due_at


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
        yield from named(_listed(visit), Source.DIALPLAN, numbers.Rules(region=target.region))
    if target.send_to_caller:
        yield _caller(visit.call, target, rules)


def named(listed: Iterable[str], source: Source, rules: numbers.Rules) -> Iterator[Wanted]:
    """Recipients as somebody else named them; what is no number is skipped, and seen in the history."""
    for raw in tuple(listed)[:MOST_NAMED]:
        try:
            yield Wanted(recipient=numbers.read(raw, rules).e164, source=source)
        except errors.NumberError:
            yield Wanted(recipient=_unread(raw), source=source, reason=Reason.RECIPIENT_INVALID)


def _caller(at: call.Call, target: node.Node, rules: numbers.Rules) -> Wanted:
    if numbers.withheld(at.caller, at.presentation):
        return Wanted(recipient="", source=Source.CALLER, reason=Reason.CALLER_WITHHELD)
    try:
        number = numbers.read(at.caller, rules)
    except errors.NumberError:
        return Wanted(recipient=_unread(at.caller), source=Source.CALLER, reason=Reason.CALLER_INVALID)
    return Wanted(recipient=number.e164, source=Source.CALLER, reason=_refused(number, target))


def _unread(raw: str) -> str:
    """What is no number, as it is kept and shown to people."""
    return harmless.harmless(raw[:_RAW])[:_RAW]


def _refused(number: numbers.Number, target: node.Node) -> Reason | None:
    """Why a caller's number gets no SMS. Anybody can call under any number, so that the SMS is at our expense."""
    if number.kind is numbers.Kind.LANDLINE:
        return Reason.LANDLINE
    # phonenumbers calls satellite phones mobile; what they cost is many times as much
    if number.kind is numbers.Kind.OTHER or number.region == numbers.WORLD:
        return Reason.NOT_MOBILE
    return None if target.serves(number.region) else Reason.COUNTRY


def merged(everybody: Iterator[Wanted]) -> Iterator[Wanted]:
    """Each recipient once, as first named."""
    seen: set[str] = set()
    for wanted in everybody:
        if wanted.recipient and wanted.recipient in seen:
            continue
        seen.add(wanted.recipient)
        yield wanted
