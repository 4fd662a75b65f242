"""What is right and wrong with a dialplan: our subroutines in it, and the steps that enter a node. Pure."""

import math
import re
from collections.abc import Collection, Iterator
from datetime import timedelta

from agi_sms import (
    app_arguments,
    dialplan_listing,
    doctor_agi,
    doctor_arguments,
    doctor_misspelt,
    doctor_read,
    harmless,
    text,
)
from agi_sms import dialplan as dialplans
from agi_sms import doctor_needs as needs
from agi_sms.config_words import nearest
from agi_sms.dialplan import NodeCall
from agi_sms.doctor_asked import RELOAD_AMI
from agi_sms.doctor_finding import Area, Finding, named, span
from agi_sms.doctor_read import Read, place, places

_RELOAD = 'asterisk -rx "dialplan reload"'
_BARE = {"stasis": "Stasis()", "fastagi": "AGI()"}
_SECONDS = re.compile(r"0*([1-9][0-9]{0,8}\.?[0-9]*|\.0*[1-9][0-9]*)")  # as agi-sms.conf has it


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
    yield from _after_hangup(read, area)
    yield from _watchdog(read, area)
    yield from doctor_arguments.findings(read, area)
    yield from doctor_misspelt.findings(read, area)
    yield from _doors(read, area)
    yield from doctor_agi.findings(read, area)
    if read.plan.cut:
        what = "the listing of the dialplan has no end: what is missing cannot be told"
        mend = f"manager.conf: [general] writetimeout = 5000; {RELOAD_AMI}; or save all of it for --from"
        yield area.unknown("dialplan.cut", what, mend)


def unreached(nodes: Collection[str], reads: Collection[Read]) -> Iterator[Finding]:
    """The nodes that no step of any dialplan enters, and those of which no call is heard; `reads` are of all PBXs."""
    area = Area(name="nodes")
    entered = {one.node for read in reads for one in read.visits}
    heard = {one.node for read in reads for one in read.visits if read.heard(one)}
    if not entered:
        return  # told already
    deaf = [name for name in nodes if name in entered - heard] if None not in heard else []
    if deaf:
        where = [read.pbx for read in reads if any(one.node in deaf for one in read.visits)]
        under = named([f"'dialplan of {pbx}'" for pbx in where])
        what = f"calls that enter {named(deaf)} do not reach the gateway, see the errors under {under}"
        yield area.warning("dialplan.node_unreached", what, "mend those first")
    left = [name for name in nodes if name not in entered]
    if not left:
        if not deaf:
            yield area.ok(
                "dialplan.node_unreached", f"the dialplan reaches {'it' if len(nodes) == 1 else 'all of them'}"
            )
        return
    what = f"no step of the dialplan enters {named(left)}"
    switched = any(context.switches for read in reads for context in read.plan.contexts.values())
    if None in entered or switched or any(read.perhaps for read in reads):
        mend = "look at the steps that are computed, or in a switch; a node that none of them names can be taken out"
        yield area.unknown("dialplan.node_unreached", f"{what} by name; a computed one may", mend)
        return
    mend = f"Gosub(agi-sms,s,1({left[0]})) where the SMS should come from, or take the node out of the configuration"
    yield area.warning("dialplan.node_unreached", what, mend)


# --- one after the other ------------------------------------------------------------------------------------------


def _nobody(read: Read, area: Area) -> Iterator[Finding]:
    switched = [name for name, context in read.plan.contexts.items() if context.switches]
    if switched:
        what = f"no step enters a node; what the switches of {named(switched)} add is not listed"
        yield area.unknown("dialplan.visits", what, "look for Gosub(agi-sms,s,1(NODE)) where the switch reads from")
        return
    mend = "same => n,Gosub(agi-sms,s,1(NODE)) where the SMS should come from"
    yield area.warning("dialplan.visits", "no step enters a node: no call makes an SMS", mend)


def _subroutines(read: Read, area: Area) -> Iterator[Finding]:
    """Whether those that are called are loaded, and are the shipped ones."""
    called = {context for one in read.visits for context in dialplans.entering(one.way)}
    right = True
    for context in dialplans.OURS:
        known = read.plan.contexts.get(context)
        if known is None:
            if context in called:
                right = False
                first = next((one for one in read.visits if dialplans.OURS[context] == one.way), read.visits[0])
                what = f"[{context}] is not loaded: Asterisk hangs up on the call at {place(first)}"
                mend = (
                    f"copy dialplan/{context}.conf of the source archive to /etc/asterisk/, #include {context}.conf in"
                )
                mend = f"{mend} extensions.conf; {_RELOAD}"
                yield area.error("dialplan.subroutine", what, mend)
            continue
        found = {one.name: one for one in known.extensions if one.caller is None}
        missing = [name for name in needs.SHIPPED[context] if name not in found]
        changed = [
            name for name, digest in needs.SHIPPED[context].items() if name in found and digest != _digest(found[name])
        ]
        mend = f"copy dialplan/{context}.conf of this version's source archive to /etc/asterisk/; {_RELOAD}"
        if missing:
            right = False
            what = f"[{context}] has no extension {', '.join(missing)}: it is not the whole subroutine"
            yield area.error("dialplan.subroutine", what, mend)
        if changed:
            right = False
            differ = "differ" if changed[1:] else "differs"
            what = f"[{context}] is not the one of this version: {', '.join(changed)} {differ}"
            yield area.warning("dialplan.shipped", what, mend)
    if right and called:
        yield area.ok("dialplan.subroutine", f"{named(sorted(f'[{one}]' for one in called))} as shipped")


def _digest(extension: dialplan_listing.Extension) -> str:
    return needs.digest((one.number, one.application, one.data) for one in extension.priorities)


def _app(read: Read, area: Area) -> Iterator[Finding]:
    """Whether the subroutine goes where the gateway listens."""
    subroutine = read.plan.contexts.get("agi-sms")
    app = read.doors.app
    if subroutine is None or not read.doors.ari or not any(one.way == "ari" for one in read.visits):
        return
    for extension in subroutine.extensions:
        for step in extension.priorities:
            if step.application.lower() != "stasis":
                continue
            into = next(iter(app_arguments.split(step.data)), "")
            if into != app:
                what = f"[agi-sms] enters the application {harmless.clipped(into, 64)}, and the gateway is {app}"
                mend = f"pbx.{read.pbx}.ari.app: {into}, or Stasis({app},... in agi-sms.conf"
                yield area.error("dialplan.app", what, mend)


def _unknown(read: Read, area: Area) -> Iterator[Finding]:
    """Nodes that the configuration does not have: the call goes on, and nobody gets an SMS."""
    wrong: dict[str, list[str]] = {}
    for one in read.visits:
        if one.node is not None and one.node not in read.nodes:
            wrong.setdefault(one.node, []).append(place(one))
    for node, where in wrong.items():
        if not node:
            what = f"no node is named at {named(where)}"
            yield area.error(
                "dialplan.node_unknown", what, "Gosub(agi-sms,s,1(NODE)), with a node of the configuration"
            )
            continue
        name = harmless.clipped(node, 60)
        shown = name if node == " ".join(node.split()) else f'"{harmless.harmless(node[:60])}"'
        what = f"there is no node {shown}, which is entered at {named(where)}"
        if not read.whole:
            yield area.unknown("dialplan.node_unknown", f"{what}; the configuration has mistakes", "agi-sms check")
            continue
        yield area.error("dialplan.node_unknown", what, _another(name, read.nodes))


def _another(node: str, nodes: Collection[str]) -> str:
    """What to do about a name that no node has."""
    add = f"add the node {node} to the configuration"
    hint = nearest(node, nodes)
    if hint.startswith("did"):
        return f"{hint} Then write that name there; else {add}"
    return f"write the name of a node there ({hint.removeprefix('known: ')}), or {add}" if nodes else add


def _computed(read: Read, area: Area) -> Iterator[Finding]:
    places = [f"{harmless.clipped(one.expression, 40)} at {place(one)}" for one in read.visits if one.node is None]
    if places:
        what = f"which node is entered, only the call knows: {named(places)}"
        mend = "see that each name it may have is that of a node; a step for each node could be checked"
        yield area.unknown("dialplan.node_computed", what, mend)


def _legs(read: Read, area: Area) -> Iterator[Finding]:
    """Nodes that are entered on the callee's leg."""
    before = [one for one in read.visits if one.through.endswith("_b")]
    after = [one for one in read.visits if one.through in ("dial_U", "queue")]
    mend = "put the node before the Dial or Queue, on the caller's own channel"
    held = [one for one in before if one.way in ("ari", "stasis")]
    if held:
        what = f"entered in b() of a leg that is not up: each such call waits for the watchdog: {places(held)}"
        yield area.error("dialplan.leg_down", what, mend)
    rest = [one for one in (*before, *after) if one not in held]
    if rest:
        what = f"entered on the callee's leg, where the callee counts as the caller: {places(rest)}"
        yield area.warning("dialplan.callee_leg", what, mend)


def _unwatched(read: Read, area: Area) -> Iterator[Finding]:
    for way, application in _BARE.items():
        found = [one for one in read.visits if one.way == way and read.heard(one)]
        if found:
            what = f"a bare {application} has no watchdog: a gateway that hangs keeps the call: {places(found)}"
            subroutine = "agi-sms" if way == "stasis" else "agi-sms-agi"
            mend = f"{doctor_read.gosub(subroutine, found[0])}, which has one, and records missed visits"
            yield area.warning("dialplan.no_watchdog", what, mend)
    found = [one for one in read.visits if one.way == "userevent"]
    if found:
        what = f"a bare UserEvent() is lost while the gateway, or its AMI connection, is away: {places(found)}"
        mend = f"{doctor_read.gosub('agi-sms-event', found[0])}, which records the visit first"
        yield area.warning("dialplan.unrecorded", what, mend)


def _after_hangup(read: Read, area: Area) -> Iterator[Finding]:
    """Nodes that are entered where nothing can be timed out."""
    held = [one for one in read.visits if one.way in ("ari", "agi", "stasis", "fastagi")]
    for handler in (False, True):
        found = [one for one in held if (one.through == "hangup_handler" if handler else _ends(one))]
        if not found:
            continue
        what = f"entered after the hangup, where no watchdog ends the wait for a gateway that hangs: {places(found)}"
        step = doctor_read.subroutine("agi-sms-event", found[0])
        mend = f"Set(CHANNEL(hangup_handler_push)={step})" if handler else f"Gosub({step})"
        yield area.warning("dialplan.after_hangup", what, f"write {harmless.clipped(mend, doctor_read.LONGEST)} there")


def _ends(one: NodeCall) -> bool:
    return one.exten == "h" and not one.through


def _watchdog(read: Read, area: Area) -> Iterator[Finding]:
    """How long calls wait at most, where one of our subroutines holds them."""
    if not any(one.way in ("ari", "agi") for one in read.visits):
        return
    least = read.hold_budget + needs.WATCHDOG_MARGIN
    right = max(needs.WATCHDOG, timedelta(seconds=math.ceil(least.total_seconds())))
    mend = f"extensions.conf: [globals] AGISMS_WATCHDOG={right.total_seconds():g}; {_RELOAD}"
    if read.variables is None:
        if read.answers:
            what = "whether AGISMS_WATCHDOG suits cannot be told"
            yield area.unknown("dialplan.watchdog", what, doctor_read.VARIABLES)
        return
    given = read.variables.get("AGISMS_WATCHDOG", "").strip()
    if given and not _SECONDS.fullmatch(given):
        what = f"AGISMS_WATCHDOG is {harmless.clipped(given, 40)}, which is no number of seconds above 0"
        instead = f"agi-sms.conf takes {span(needs.WATCHDOG.total_seconds())}, an older one lets calls wait for ever"
        yield area.error("dialplan.watchdog", f"{what}: {instead}", mend)
        return
    limit = timedelta(seconds=float(given)) if given else needs.WATCHDOG
    now = f"the watchdog (AGISMS_WATCHDOG{'' if given else ', not set'}) is {span(limit.total_seconds())}"
    if limit < least:
        budget = f"hold_budget {span(read.hold_budget.total_seconds())}"
        what = f"{now}, and {budget} and the way there and back may take longer: visits are then missed"
        yield area.warning("dialplan.watchdog", what, mend)
    elif limit > needs.WATCHDOG_MOST:
        yield area.warning("dialplan.watchdog", f"{now}: so long a caller waits for a gateway that hangs", mend)
    else:
        yield area.ok("dialplan.watchdog", f"no call waits longer than {span(limit.total_seconds())}")


def _doors(read: Read, area: Area) -> Iterator[Finding]:
    """Steps that enter a node by a way that the configuration does not open; FastAGI is judged elsewhere."""
    found = [one for one in read.visits if one.way in ("ari", "stasis") and not read.doors.ari]
    late = [one for one in found if read.late(one)]
    lost = [one for one in found if one not in late]
    for some, how in ((lost, "no SMS comes of it"), (late, "its visit waits in AstDB until the gateway looks")):
        if not some:
            continue
        what = f"pbx {read.pbx} has no ari, by which the gateway would hear of {places(some)}: {how}"
        mend = f"{_elsewhere(read, some[0])} there, or give pbx.{read.pbx} its ari and restart the gateway"
        yield (area.warning if some is late else area.error)("dialplan.ari_off", what, mend)
    found = [one for one in read.visits if one.way in ("event", "userevent") and not read.doors.ami]
    alone = [one for one in read.visits if one.way == "userevent" and read.doors.ami and not read.doors.bare_events]
    if alone:
        what = f"bare events are not taken (pbx.{read.pbx}.ami.bare_events): no SMS comes of {places(alone)}"
        mend = f"{doctor_read.gosub('agi-sms-event', alone[0])} there, or bare_events: true and a restart"
        yield area.error("dialplan.bare_events", what, mend)
    if found:
        what = f"pbx {read.pbx} has no ami, by which the gateway would hear of {places(found)}: no SMS comes of it"
        mend = f"give pbx.{read.pbx} its ami and restart the gateway"
        yield area.error("dialplan.ami_off", what, mend)


def _elsewhere(read: Read, one: NodeCall) -> str:
    """The same visit by a way that is open."""
    ways = {"agi-sms-agi": read.agi is not None, "agi-sms-event": read.doors.ami}
    found = [doctor_read.gosub(context, one) for context, is_open in ways.items() if is_open]
    return " or ".join(found) or f"agi: {{}} in the configuration and {doctor_read.gosub('agi-sms-agi', one)}"
