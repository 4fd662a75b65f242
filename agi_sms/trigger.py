"""What a call would do, without a call: for `agi-sms trigger`."""

import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from agi_sms import call, clock, durations, errors, ids, message, plan, ports, show

if TYPE_CHECKING:
    from agi_sms import config as configuration

SAMPLE_CALLER = "+48600100200"


def visit(
    loaded: "configuration.Config",
    *,
    node: str,
    caller: str,
    withheld: bool,
    caller_name: str,
    dialled: str,
    variables: Mapping[str, str],
    recipients: str | None,
    sender: str | None,
    delay: str | None,
    call_id: str | None,
    pbx: str | None,
    trunk: str,
) -> call.Visit:
    """The visit that was asked for; raises ArgumentError where it names something unknown."""
    if node not in loaded.nodes:
        raise errors.ArgumentError(f"no node {node!r}; there are: {', '.join(sorted(loaded.nodes)) or 'none'}")
    names = list(loaded.settings.pbx)
    if pbx is not None and pbx not in names:
        raise errors.ArgumentError(f"no pbx {pbx!r}; there are: {', '.join(names) or 'none'}")
    chosen = pbx or (names[0] if names else "none")
    visit_id = str(uuid.uuid4())
    return call.Visit(
        id=visit_id,
        node=node,
        entry=call.Entry.TRIGGER,
        arrived_at=clock.now(),
        recipients=recipients,
        sender=sender,
        delay=delay,
        call=call.Call(
            pbx=chosen,
            key=call_id or f"trigger/{visit_id}",
            call_id=call_id or f"trigger-{visit_id[:8]}",
            caller=caller,
            presentation="prohib" if withheld else "allowed",
            caller_name=caller_name,
            dialled=dialled,
            trunk=trunk,
            variables=dict(variables),
        ),
    )


def sample(
    loaded: "configuration.Config",
    name: str,
    *,
    dialled: str = SAMPLE_CALLER,
    variables: Mapping[str, str] | None = None,
) -> call.Visit:
    """A visit such as a call might make."""
    return visit(
        loaded,
        node=name,
        caller=SAMPLE_CALLER,
        withheld=False,
        caller_name="",
        dialled=dialled,
        variables={one: min(values) for one, values in loaded.nodes[name].when} | dict(variables or {}),
        recipients=None,
        sender=None,
        delay=None,
        call_id=None,
        pbx=None,
        trunk="",
    )


def planned(loaded: "configuration.Config", asked: call.Visit) -> plan.Plan:
    """What the node makes of the visit."""
    rules = loaded.rules(asked.call.pbx, asked.call.trunk)
    return plan.plan(asked, loaded.nodes[asked.node], rules)


def notes(loaded: "configuration.Config", asked: call.Visit) -> Iterator[str]:
    """What was given that the node makes no use of, and what it sends on that was not given."""
    given, target, detail = asked.call.variables, loaded.nodes[asked.node], loaded.details[asked.node]
    templates = (target.template, target.asking.fallback if target.asking is not None else None)
    any_name = any(one is not None and "var" in one.names and not one.members("var") for one in templates)
    for name in given:
        if name not in detail.variables and not any_name:
            used = f"; it uses {', '.join(detail.variables)}" if detail.variables else ""
            yield f"note: --var {name}: nothing in {asked.node} uses it{used}"
    for name in detail.api.vars if detail.api is not None else ():
        if name not in given:
            yield f"note: {name} is among content.api.vars, and not given: it is sent empty (--var {name}=...)"


async def admit(
    box: ports.Outbox, loaded: "configuration.Config", asked: call.Visit, wanted: plan.Plan
) -> ports.Admission:
    """Store it, as a call would be stored."""
    target = loaded.nodes[asked.node]
    activation = ports.Activation(
        id=ids.new(clock.now()),
        visit=asked,
        node_revision=target.revision,
        fetch_at=wanted.fetch_at,
    )
    return await box.admit(activation, wanted.drafts, target.limits)


def preview(wanted: plan.Plan) -> Iterator[str]:
    """What would be sent, a line or more each."""
    yield from _faults(wanted)
    for draft in wanted.drafts:
        to = show.to(draft.recipient, draft.reason)
        if draft.reason is not None and draft.status is not message.Status.SCHEDULED:
            yield f"{to}: {draft.status}, {show.REASONS[draft.reason]}"
            continue
        after = durations.show(draft.expires_at - draft.due_at)
        yield (
            f"{to}: from {show.safe(draft.sender) or '(the provider decides)'}, due {show.local(draft.due_at)}, "
            f"expires {after} later, by {', '.join(draft.route)}"
        )
    for draft in wanted.drafts:
        if draft.text is not None:
            yield f"text ({show.sized(draft.text, draft.encoding, draft.segments)}):"
            yield from (f"  {line}" for line in show.safe(draft.text).split("\n"))
            break
    yield "dry run: nothing stored, nothing sent"


def report(admission: ports.Admission, wanted: plan.Plan) -> Iterator[str]:
    """What was stored, a line a message."""
    yield from _faults(wanted)
    for kept in admission.messages:
        to = show.to(kept.recipient, kept.reason)
        if kept.status is message.Status.SCHEDULED:
            yield f"{kept.message_id}  {to}: due {show.local(kept.due_at)}"
        elif kept.status is message.Status.WAITING:
            yield f"{kept.message_id}  {to}: waiting for its text, due {show.local(kept.due_at)}"
        else:
            why = f", {show.REASONS[kept.reason]}" if kept.reason else ""
            yield f"{kept.message_id}  {to}: {kept.status}{why}"


def _faults(wanted: plan.Plan) -> Iterator[str]:
    yield from (f"fault: {show.safe(fault)}" for fault in wanted.faults)
    yield from (f"note: {show.safe(note)}" for note in wanted.ignored)
