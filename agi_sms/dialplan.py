"""The dialplan as data: which of its steps enter which node. Pure.

`dialplan_listing` reads it, `dialplan_calls` knows what a step's words mean.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from agi_sms import dialplan_calls, dialplan_listing, loopback
from agi_sms.dialplan_listing import Context, Dialplan, Extension, Priority, Unreadable, parse_events, parse_show

__all__ = [
    "OURS",
    "Context",
    "Dialplan",
    "Doors",
    "Extension",
    "NodeCall",
    "Priority",
    "Unreadable",
    "closed",
    "guesses",
    "node_calls",
    "parse_events",
    "parse_show",
    "visits",
]

OURS = {"agi-sms": "ari", "agi-sms-agi": "agi", "agi-sms-event": "event"}  # our subroutines, and the way of each
_CONTEXTS = {way: tuple(dict.fromkeys((context, "agi-sms"))) for context, way in OURS.items()}  # that each way enters
_STASIS = frozenset({"ari", "stasis"})
_FASTAGI = frozenset({"agi", "fastagi"})


@dataclass(frozen=True, kw_only=True)
class Doors:
    """By which ways the configuration lets the gateway hear of one PBX's calls.

    `pbx` is its name, `app` the gateway's Stasis application, `ari` and `ami` whether the PBX has them, `bare_events`
    whether an event alone is a visit; `agi_port` is where FastAGI listens, None where it does not; `nodes` tell our
    AGI() from those of other programs.
    """

    pbx: str = ""
    app: str = "agi-sms"
    ari: bool = True
    ami: bool = True
    bare_events: bool = True
    agi_port: int | None = dialplan_calls.AGI_PORT
    nodes: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class NodeCall:
    """A step that enters a node.

    `node` is its name; None where it is computed and cannot be told, empty where none is given; `expression` is what
    is written there. `way` is ari, agi or event for our subroutines, stasis, fastagi or userevent without them.
    `through` is empty where the call's own channel enters it, or says what runs the subroutine: hangup_handler, queue,
    or an option, as in dial_U, dial_b, dial_B, queue_b, page_b, followme_B. `file` is empty where it is not known.
    `address` is where a bare AGI() goes, as written.
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
    address: str = ""


@dataclass(frozen=True, kw_only=True)
class Entered:
    """A node as a step names it; the words are NodeCall's."""

    node: str | None
    expression: str
    way: str
    through: str = ""
    arguments: tuple[str, ...] = ()
    address: str = ""


def visits(plan: Dialplan, doors: Doors | None = None) -> tuple[NodeCall, ...]:
    """Every step that enters a node, in the order of the listing.

    What modules of Asterisk made, and the bodies of our own subroutines, do not count.
    """
    known = doors or Doors()
    return tuple(_made(plan, lambda application, data: node_calls(application, data, known)))


def guesses(plan: Dialplan, doors: Doors) -> tuple[NodeCall, ...]:
    """Every step that may be meant to enter a node: see `perhaps`."""

    def found(application: str, data: str) -> Iterator[Entered]:
        for name, inner in dialplan_calls.within(application, data):
            if (entered := perhaps(name, inner, doors)) is not None:
                yield entered

    return tuple(_made(plan, found))


def _made(plan: Dialplan, find: Callable[[str, str], Iterable[Entered]]) -> Iterator[NodeCall]:
    for context, extension, priority in dialplan_listing.steps(plan):
        if context.name in OURS:
            continue
        for one in find(priority.application, priority.data):
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
                address=one.address,
            )


def node_calls(application: str, data: str, doors: Doors) -> Iterator[Entered]:
    """The nodes that an application enters, or those that it runs."""
    for name, inner in dialplan_calls.within(application, data):
        for one in dialplan_calls.subroutines(name, inner):
            if (entered := of_subroutine(one)) is not None:
                yield entered
        if (entered := of_bare(name, inner, doors)) is not None:
            yield entered


def of_bare(application: str, data: str, doors: Doors) -> Entered | None:
    """The node that Stasis, AGI or UserEvent name themselves.

    Those AGI() are ours that go to where our FastAGI listens, or to AGISMS_AGI, or name a node of ours.
    """
    bare = dialplan_calls.bare(application, data, app=doors.app, agi_port=doors.agi_port)
    if bare is None:
        return None
    if bare.way == "fastagi" and bare.name not in doors.nodes and not bare.ours:
        return None
    return _entered(bare)


def _entered(bare: dialplan_calls.Bare) -> Entered:
    return Entered(
        node=bare.name,
        expression=bare.expression,
        way=bare.way,
        arguments=bare.arguments,
        address=bare.address,
    )


def perhaps(application: str, data: str, doors: Doors) -> Entered | None:
    """The node that an AGI() may be meant to enter, which goes to where gateways listen while this one does not."""
    bare = dialplan_calls.bare(application, data, app=doors.app, agi_port=doors.agi_port)
    if bare is None or bare.way != "fastagi" or doors.agi_port is not None or of_bare(application, data, doors):
        return None
    host = bare.address.removesuffix(f":{dialplan_calls.AGI_PORT}")
    if dialplan_calls.port_of(bare.address) != dialplan_calls.AGI_PORT or not loopback.near(host):
        return None
    return _entered(bare)


def closed(one: "Entered | NodeCall", plan: Dialplan, doors: Doors) -> str:
    """Why the gateway does not hear, live, of a call that enters a node at this step; empty where it does."""
    way = one.way
    missing = unloaded(way, plan)
    if missing:
        return f"[{missing[0]}] is not loaded"
    if way in _STASIS and not doors.ari:
        return f"pbx {doors.pbx} has no ari"
    if way in _FASTAGI and doors.agi_port is None:
        return "the configuration has no agi"
    known = one.address and not dialplan_calls.computed(one.address)
    if known and dialplan_calls.port_of(one.address) != doors.agi_port:
        return f"the gateway listens at port {doors.agi_port}"
    if way in ("event", "userevent") and not doors.ami:
        return f"pbx {doors.pbx} has no ami"
    if way == "userevent" and not doors.bare_events:
        return f"pbx {doors.pbx} does not take bare events"
    return ""


def unloaded(way: str, plan: Dialplan) -> tuple[str, ...]:
    """Those contexts of ours that this way needs and the dialplan does not have; Asterisk hangs up on the call."""
    return tuple(context for context in entering(way) if context not in plan.contexts)


def entering(way: str) -> tuple[str, ...]:
    """Those contexts of ours that this way needs."""
    return _CONTEXTS.get(way, ())


def of_subroutine(one: dialplan_calls.Subroutine) -> Entered | None:
    """The node that a subroutine of ours is given; None where it is another one."""
    at = one.target
    if at.context not in OURS or (at.exten, at.priority) != ("s", "1"):
        return None
    first = at.arguments[0].strip() if at.arguments else ""
    return Entered(
        node=None if dialplan_calls.computed(first) else first,
        expression=first,
        way=OURS[at.context],
        through=one.through,
        arguments=at.arguments[1:],
    )
