"""The dialplan as data: which of its steps enter which node. Pure.

`dialplan_listing` reads it, `dialplan_calls` knows what a step's words mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from agi_sms import dialplan_calls, dialplan_listing
from agi_sms.dialplan_listing import Context, Dialplan, Extension, Priority, Unreadable, parse_events, parse_show

__all__ = [
    "OURS",
    "Context",
    "Dialplan",
    "Extension",
    "NodeCall",
    "Priority",
    "Unreadable",
    "node_calls",
    "parse_events",
    "parse_show",
    "visits",
]

OURS = {"agi-sms": "ari", "agi-sms-agi": "agi", "agi-sms-event": "event"}  # our subroutines, and the way of each


@dataclass(frozen=True, kw_only=True)
class NodeCall:
    """A step that enters a node.

    `node` is its name; None where it is computed and cannot be told, empty where none is given; `expression` is what
    is written there. `way` is ari, agi or event for our subroutines, stasis, fastagi or userevent without them.
    `through` is empty where the call's own channel enters it, or says what runs the subroutine: hangup_handler, queue,
    or an option, as in dial_U, dial_b, dial_B, queue_b, page_b, followme_B. `file` is empty where it is not known.
    """

    context: str
    exten: str
    priority: int
    label: str
    file: str
    line: int
    node: str | None
    expression: str
    way: str
    through: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Entered:
    """A node as a step names it; the words are NodeCall's."""

    node: str | None
    expression: str
    way: str
    through: str = ""
    arguments: tuple[str, ...] = ()


def visits(
    plan: Dialplan, *, app: str = "agi-sms", agi_port: int | None = dialplan_calls.AGI_PORT
) -> tuple[NodeCall, ...]:
    """Every step that enters a node, in the order of the listing.

    `app` is the gateway's Stasis application, `agi_port` where its FastAGI listens, None where it does not. What
    modules of Asterisk made, and the bodies of our own subroutines, do not count.
    """
    return tuple(_visits(plan, app, agi_port))


def _visits(plan: Dialplan, app: str, agi_port: int | None) -> Iterator[NodeCall]:
    for context, extension, priority in dialplan_listing.steps(plan):
        if context.name in OURS:
            continue
        for one in node_calls(priority.application, priority.data, app=app, agi_port=agi_port):
            yield NodeCall(
                context=context.name,
                exten=extension.name,
                priority=priority.number,
                label=priority.label or "",
                file=priority.file,
                line=priority.line,
                node=one.node,
                expression=one.expression,
                way=one.way,
                through=one.through,
                arguments=one.arguments,
            )


def node_calls(application: str, data: str, *, app: str, agi_port: int | None) -> Iterator[Entered]:
    """The nodes that an application enters, or those that it runs."""
    for name, inner in dialplan_calls.within(application, data):
        for one in dialplan_calls.subroutines(name, inner):
            if (entered := of_subroutine(one)) is not None:
                yield entered
        bare = dialplan_calls.bare(name, inner, app=app, agi_port=agi_port)
        if bare is not None:
            yield Entered(node=bare.name, expression=bare.expression, way=bare.way, arguments=bare.arguments)


def of_subroutine(one: dialplan_calls.Subroutine) -> Entered | None:
    """The node that a subroutine of ours is given; None where it is another one."""
    at = one.target
    if at.context not in OURS or at.exten != "s":
        return None
    first = at.arguments[0] if at.arguments else ""
    return Entered(
        node=None if dialplan_calls.computed(first) else first,
        expression=first,
        way=OURS[at.context],
        through=one.through,
        arguments=at.arguments[1:],
    )
