"""Steps of a dialplan that are meant to enter a node and do not: our subroutines' names, misspelt. Pure."""

import difflib
from collections.abc import Iterator

from agi_sms import dialplan, dialplan_calls, dialplan_listing, doctor_read, harmless
from agi_sms.dialplan_calls import Target
from agi_sms.dialplan_places import Places
from agi_sms.doctor_finding import Area, Finding
from agi_sms.doctor_read import Read

_ALIKE = 0.8  # of difflib's ratio: agi_sms, agisms, agi-sms-evnt
_GOTOS = frozenset({"goto", "gotoif", "gotoiftime"})


def findings(read: Read, area: Area) -> Iterator[Finding]:
    """Each step by itself: they are few."""
    places = Places(read.plan)
    for context, extension, priority in dialplan_listing.steps(read.plan):
        if context.name in dialplan.OURS:
            continue
        here = (context.name, extension.name)
        at = doctor_read.at(*here, priority.number, priority.file, priority.line)
        for application, data in dialplan_calls.within(priority.application, priority.data):
            for one in dialplan_calls.subroutines(application, data):
                if (why := _why(places, here, at, one.target)) is not None:
                    mend = _mend(_meant(places, here, one.target), one)
                    yield area.error("dialplan.misspelt", f"{why}: Asterisk hangs up on the call", mend)
            if application.lower() in _GOTOS:
                for target in dialplan_calls.jumps(application, data)[1:]:
                    if target is not None and (subroutine := _meant(places, here, target)):
                        shown = harmless.clipped(target.shown, 60)
                        what = f"{at} goes to {shown}: Goto names no node, and the call ends where it should come back"
                        yield area.warning("dialplan.misspelt", what, f"write Gosub({subroutine},s,1(NODE)) there")


def _why(places: Places, here: tuple[str, str], at: str, target: Target) -> str | None:
    """Why a subroutine of ours is meant and not entered; None where none is, or it is."""
    if target.computed or not _meant(places, here, target):
        return None
    shown = harmless.clipped(target.shown, 60)
    if target.context in dialplan.OURS:
        right = (target.exten, target.priority) == ("s", "1")
        return None if right else f"{shown} is not where [{target.context}] begins, and entered at {at}"
    if target.context is not None:
        return f"there is no [{harmless.clipped(target.context, 60)}] to which {at} leads"
    context, exten = (harmless.clipped(one, 60) for one in here)
    if target.exten is not None:
        return f"{shown} is an extension of {context}, which it does not have, entered at {at}"
    return f"{shown} is a priority of {context},{exten}, which it does not have, entered at {at}"


def _meant(places: Places, here: tuple[str, str], target: Target) -> str:
    """The subroutine of ours whose name this is, or is like, where nothing of that name is there; else empty."""
    context, exten = here
    if target.context is not None:
        if target.context in dialplan.OURS:
            return target.context
        known = target.context in places.plan.contexts or dialplan_calls.computed(target.context)
        return "" if known else _like(target.context)
    if target.exten is not None:
        known = bool(places.variants(context, target.exten)) or bool(places.switched(context))
        return target.exten if target.exten in dialplan.OURS and not known else ""
    if target.priority not in dialplan.OURS:
        return ""
    labels = {step.label for found in places.variants(context, exten) for step in found.extension.priorities}
    return "" if target.priority in labels else target.priority


def _like(name: str) -> str:
    return next(iter(difflib.get_close_matches(name.lower(), dialplan.OURS, n=1, cutoff=_ALIKE)), "")


def _mend(subroutine: str, one: dialplan_calls.Subroutine) -> str:
    given = ",".join(one.target.arguments) or "NODE"
    gosub = f"Gosub({subroutine},s,1({given}))"
    if one.through == "hangup_handler":
        mend = f"write Set(CHANNEL(hangup_handler_push)={subroutine},s,1({given})) there"
    elif one.through:
        mend = f"write {subroutine}^s^1({given.replace(',', '^')}) there, or {gosub} before it"
    else:
        mend = f"write {gosub} there"
    return harmless.clipped(mend, doctor_read.LONGEST)
