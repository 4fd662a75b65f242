"""What is right and wrong with a dialplan: our subroutines in it, and the steps that enter a node. Pure."""

import re
import urllib.parse
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from agi_sms import app_arguments, dialplan_calls, dialplan_listing, harmless, text
from agi_sms import dialplan as dialplans
from agi_sms import doctor_needs as needs
from agi_sms.config_settings import Agi
from agi_sms.config_words import nearest
from agi_sms.dialplan import Dialplan, NodeCall
from agi_sms.doctor_asked import near
from agi_sms.doctor_finding import Area, Finding, named

_RELOAD = 'asterisk -rx "dialplan reload"'
_ADDRESS = re.compile(r"h?agi://([^/?]*)/?([^?]*)", re.IGNORECASE)
_BARE = {"stasis": "Stasis()", "fastagi": "AGI()"}
_FILES = {"agi-sms": "agi-sms.conf", "agi-sms-agi": "agi-sms-agi.conf", "agi-sms-event": "agi-sms-event.conf"}


@dataclass(frozen=True, kw_only=True)
class Read:
    """A dialplan with what it is measured by. `whole` False: the configuration has mistakes, and maybe more nodes."""

    pbx: str
    plan: Dialplan
    visits: tuple[NodeCall, ...]
    nodes: Collection[str]
    whole: bool
    app: str | None  # of the gateway's ARI, None where it has none
    agi: Agi | None
    variables: Mapping[str, str] | None  # globals of the dialplan, None where nobody tells them


def findings(read: Read) -> Iterator[Finding]:
    """All of them."""
    area = Area(name=f"dialplan of {read.pbx}", about=read.pbx)
    if not read.visits:
        yield from _nobody(read, area)
    else:
        count = f"{text.counted(len(read.visits), 'step enters', 'steps enter')} a node"
        yield area.ok("dialplan.visits", count)
    yield from _subroutines(read, area)
    yield from _app(read, area)
    yield from _unknown(read, area)
    yield from _computed(read, area)
    yield from _legs(read, area)
    yield from _unwatched(read, area)
    yield from _agi(read, area)
    if read.plan.cut:
        yield area.unknown("dialplan.cut", "the listing of the dialplan has no end: what is missing cannot be told")


def ours(visits: Collection[NodeCall], plan: Dialplan, nodes: Collection[str], agi: Agi | None) -> Iterator[NodeCall]:
    """Those that enter a node of ours: FastAGI's usual port is that of other programs too."""
    theirs = {
        at for at, address, node in _addresses(plan) if agi is None or (node not in nodes and not _leads(address, agi))
    }
    for one in visits:
        if one.way != "fastagi" or place(one) not in theirs:
            yield one


def place(one: NodeCall) -> str:
    """Where a step is: context,extension,priority, and file and line where they are known."""
    at = harmless.clipped(f"{one.context},{one.exten},{one.priority}", 120)
    return f"{at} ({one.file}:{one.line})" if one.file else at


def unreached(nodes: Collection[str], reads: Collection[Read]) -> Iterator[Finding]:
    """The nodes that no step of any dialplan enters; `reads` are of all PBXs."""
    area = Area(name="nodes")
    entered = {one.node for read in reads for one in read.visits}
    if not entered:
        return  # told already
    left = [name for name in nodes if name not in entered]
    if not left:
        yield area.ok("dialplan.node_unreached", f"the dialplan reaches {'it' if len(nodes) == 1 else 'all of them'}")
        return
    what = f"no step of the dialplan enters {named(left)}"
    if None in entered or any(context.switches for read in reads for context in read.plan.contexts.values()):
        yield area.unknown("dialplan.node_unreached", f"{what} by name; a computed one may")
        return
    mend = f"Gosub(agi-sms,s,1({left[0]})) where the SMS should come from, or take the node out of the configuration"
    yield area.warning("dialplan.node_unreached", what, mend)


# --- one after the other ------------------------------------------------------------------------------------------


def _nobody(read: Read, area: Area) -> Iterator[Finding]:
    switched = [name for name, context in read.plan.contexts.items() if context.switches]
    if switched:
        what = f"no step enters a node; what the switches of {named(switched)} add is not listed"
        yield area.unknown("dialplan.visits", what)
        return
    mend = "same => n,Gosub(agi-sms,s,1(NODE)) where the SMS should come from"
    yield area.warning("dialplan.visits", "no step enters a node: no call makes an SMS", mend)


def _subroutines(read: Read, area: Area) -> Iterator[Finding]:
    """Whether those that are called are loaded, and are the shipped ones."""
    called = {context for context, way in dialplans.OURS.items() for one in read.visits if one.way == way}
    called |= {"agi-sms"} if called else set()
    right = True
    for context in dialplans.OURS:
        known = read.plan.contexts.get(context)
        if known is None:
            if context in called:
                right = False
                first = next((one for one in read.visits if dialplans.OURS[context] == one.way), read.visits[0])
                what = f"[{context}] is not loaded: Asterisk hangs up on the call at {place(first)}"
                mend = f"#include {_FILES[context]} in extensions.conf (it is in our dialplan/); {_RELOAD}"
                yield area.error("dialplan.subroutine", what, mend)
            continue
        found = {one.name: one for one in known.extensions if one.caller is None}
        missing = [name for name in needs.SHIPPED[context] if name not in found]
        changed = [
            name for name, digest in needs.SHIPPED[context].items() if name in found and digest != _digest(found[name])
        ]
        mend = f"copy {_FILES[context]} of this version's dialplan/ to /etc/asterisk/; {_RELOAD}"
        if missing:
            right = False
            what = f"[{context}] has no extension {', '.join(missing)}: it is not the whole subroutine"
            yield area.error("dialplan.subroutine", what, mend)
        if changed:
            right = False
            what = f"[{context}] is not the one of this version: {', '.join(changed)} differs"
            yield area.warning("dialplan.shipped", what, mend)
    if right and called:
        yield area.ok("dialplan.subroutine", f"{named(sorted(f'[{one}]' for one in called))} as shipped")


def _digest(extension: dialplan_listing.Extension) -> str:
    return needs.digest((one.number, one.application, one.data) for one in extension.priorities)


def _app(read: Read, area: Area) -> Iterator[Finding]:
    """Whether the subroutine goes where the gateway listens."""
    subroutine = read.plan.contexts.get("agi-sms")
    if subroutine is None or read.app is None or not any(one.way == "ari" for one in read.visits):
        return
    for extension in subroutine.extensions:
        for step in extension.priorities:
            if step.application.lower() != "stasis":
                continue
            into = next(iter(app_arguments.split(step.data)), "")
            if into != read.app:
                what = f"[agi-sms] enters the application {harmless.clipped(into, 64)}, and the gateway is {read.app}"
                mend = f"pbx.{read.pbx}.ari.app: {into}, or Stasis({read.app},... in agi-sms.conf"
                yield area.error("dialplan.app", what, mend)


def _unknown(read: Read, area: Area) -> Iterator[Finding]:
    """Nodes that the configuration does not have: the call goes on, and nobody gets an SMS."""
    wrong: dict[str, list[str]] = {}
    for one in read.visits:
        if one.node is not None and one.node not in read.nodes:
            wrong.setdefault(one.node, []).append(place(one))
    for node, places in wrong.items():
        if not node:
            what = f"no node is named at {named(places)}"
            yield area.error(
                "dialplan.node_unknown", what, "Gosub(agi-sms,s,1(NODE)), with a node of the configuration"
            )
            continue
        name = harmless.clipped(node, 60)
        what = f"there is no node {name}, which is entered at {named(places)}"
        if not read.whole:
            yield area.unknown("dialplan.node_unknown", f"{what}; the configuration has mistakes", "agi-sms check")
            continue
        mend = f"{nearest(node, read.nodes, show='nodes')} Correct the dialplan, or add the node"
        yield area.error("dialplan.node_unknown", what, mend)


def _computed(read: Read, area: Area) -> Iterator[Finding]:
    places = [f"{harmless.clipped(one.expression, 40)} at {place(one)}" for one in read.visits if one.node is None]
    if places:
        yield area.unknown("dialplan.node_computed", f"which node is entered, only the call knows: {named(places)}")


def _legs(read: Read, area: Area) -> Iterator[Finding]:
    """Nodes that are entered on the callee's leg."""
    before = [one for one in read.visits if one.through.endswith("_b")]
    after = [one for one in read.visits if one.through in ("dial_U", "queue")]
    mend = "put the node before the Dial or Queue, on the caller's own channel"
    held = [one for one in before if one.way in ("ari", "stasis")]
    if held:
        what = f"entered in b() of a leg that is not up: each such call waits for the watchdog: {_places(held)}"
        yield area.error("dialplan.leg_down", what, mend)
    rest = [one for one in (*before, *after) if one not in held]
    if rest:
        what = f"entered on the callee's leg, where the callee counts as the caller: {_places(rest)}"
        yield area.warning("dialplan.callee_leg", what, mend)


def _unwatched(read: Read, area: Area) -> Iterator[Finding]:
    for way, application in _BARE.items():
        found = [one for one in read.visits if one.way == way]
        if found:
            what = f"a bare {application} has no watchdog: a gateway that hangs keeps the call: {_places(found)}"
            subroutine = "agi-sms" if way == "stasis" else "agi-sms-agi"
            mend = f"Gosub({subroutine},s,1({found[0].node or 'NODE'})), which has one, and records missed visits"
            yield area.warning("dialplan.no_watchdog", what, mend)
    found = [one for one in read.visits if one.way == "userevent"]
    if found:
        what = f"a bare UserEvent() is lost while the gateway, or its AMI connection, is away: {_places(found)}"
        mend = f"Gosub(agi-sms-event,s,1({found[0].node or 'NODE'})), which records the visit first"
        yield area.warning("dialplan.unrecorded", what, mend)


def _places(found: Collection[NodeCall]) -> str:
    return named([place(one) for one in found])


# --- FastAGI ------------------------------------------------------------------------------------------------------


def _agi(read: Read, area: Area) -> Iterator[Finding]:
    """Whether FastAGI goes where the gateway listens."""
    used = [one for one in read.visits if one.way == "agi"]
    if read.agi is None:
        found = [place(one) for one in used] or [at for at, _, node in _addresses(read.plan) if node in read.nodes]
        if found:
            what = f"FastAGI is used at {named(found)}, and the gateway does not listen for it"
            yield area.error("dialplan.agi_off", what, "agi: {listen: 127.0.0.1:4573} in our configuration")
        return
    listen = read.agi
    for where, address, node in _addresses(read.plan):
        if node in read.nodes and not _leads(address, listen):
            what = (
                f"AGI() at {where} goes to {harmless.clipped(address, 80)}, and the gateway listens at {listen.listen}"
            )
            yield area.error("dialplan.agi_address", what, f"write agi://{listen.listen}/{node} there")
    if not used:
        return
    if read.variables is None:
        what = "whether AGISMS_AGI says where the gateway listens cannot be told"
        yield area.unknown("dialplan.agi_address", what, "ARI, or AMI, with a login that works")
        return
    address = read.variables.get(dialplan_calls.GLOBAL, "") or needs.AGI_ADDRESS
    if _leads(address, listen):
        yield area.ok("dialplan.agi_address", f"FastAGI goes to {address}")
    else:
        what = f"agi-sms-agi goes to {harmless.clipped(address, 80)}, and the gateway listens at {listen.listen}"
        mend = f"extensions.conf: [globals] AGISMS_AGI={listen.listen}, or agi.listen: {address}; {_RELOAD}"
        yield area.error("dialplan.agi_address", what, mend)


def _addresses(plan: Dialplan) -> Iterator[tuple[str, str, str]]:
    """Steps that name a FastAGI address themselves: where, the address, and the node in it."""
    for context, extension, step in dialplan_listing.steps(plan):
        if context.name in dialplans.OURS:
            continue
        for application, data in dialplan_calls.within(step.application, step.data):
            given = app_arguments.split(data)
            match = _ADDRESS.match(given[0]) if application.lower() == "agi" and given else None
            if match is None or dialplan_calls.computed(given[0]):
                continue
            at = f"{context.name},{extension.name},{step.number}"
            yield (
                harmless.clipped(at, 120) + (f" ({step.file}:{step.line})" if step.file else ""),
                match[1],
                urllib.parse.unquote(match[2]),
            )


def _leads(address: str, listen: Agi) -> bool:
    """Whether a connection to this address may reach the port; which machine a name is, is not decided here."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = address, needs.AGI_ADDRESS.rpartition(":")[2]
    if int(port) != listen.port:
        return False
    return not near(listen.host) or near(host.strip("[]")) or not host
