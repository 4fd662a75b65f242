"""From which extensions a call can come to a node, as far as jumps are literal: the others need not be drawn. Pure."""

from collections import defaultdict
from collections.abc import Iterator

from agi_sms import dialplan, dialplan_calls, flow_words
from agi_sms.dialplan_listing import Context, Extension
from agi_sms.dialplan_places import Places

Key = tuple[str, int]  # a context and the place of an extension in it
ANY = -1  # in the place of an extension
SPECIAL = frozenset("hitTeoa")  # extensions to which a call comes by itself


def reaching(places: Places, doors: dialplan.Doors) -> frozenset[Key]:
    """The extensions that have a node in them, or lead to one."""
    leading: dict[Key, list[Key]] = defaultdict(list)
    found: list[Key] = []
    for context in places.plan.contexts.values():
        if context.name in dialplan.OURS:
            continue
        for at, extension in enumerate(context.extensions):
            key = (context.name, at)
            if _enters(extension, doors):
                found.append(key)
            for other in set(_targets(places, context, extension)):
                leading[other].append(key)
    for name in [context for context, at in leading if at == ANY]:
        for context in places.reach(name):
            for at, extension in enumerate(context.extensions):
                if extension.name not in SPECIAL:
                    leading[context.name, at].append((name, ANY))
    reached = set(found)
    while found:
        for key in leading[found.pop()]:
            if key not in reached:
                reached.add(key)
                found.append(key)
    return frozenset(key for key in reached if key[1] != ANY)


def _enters(extension: Extension, doors: dialplan.Doors) -> bool:
    return any(
        True
        for one in extension.priorities
        if one.written
        for _ in dialplan.node_calls(one.application, one.data, doors)
    )


def _targets(places: Places, context: Context, extension: Extension) -> Iterator[Key]:
    for one in extension.priorities:
        for application, data in dialplan_calls.within(one.application, one.data):
            for target in _named(application, data):
                yield from led(places, context.name, extension.name, target)
            if application.lower() in flow_words.MENUS:
                home = menu_context(application, data) or context.name
                yield home, ANY
                for name in ("i", "t"):
                    yield from ((found.home, found.at) for found in places.variants(home, name))


def _named(application: str, data: str) -> Iterator[dialplan_calls.Target]:
    yield from (one for one in dialplan_calls.jumps(application, data)[1:] if one is not None)
    yield from (one.target for one in dialplan_calls.subroutines(application, data))
    yield from (one.target for one in dialplan_calls.transfers(application, data))


def led(places: Places, context: str, exten: str, target: dialplan_calls.Target) -> Iterator[Key]:
    """The extensions that a jump may lead to; ANY of a context where only a call knows which."""
    context = target.context or context
    if dialplan_calls.computed(context):
        return
    same = target.exten is None or (target.exten == "${EXTEN}" and bool(places.variants(context, exten)))
    exten = exten if same or target.exten is None else target.exten
    if dialplan_calls.computed(exten):
        yield context, ANY
        return
    yield from ((found.home, found.at) for found in places.variants(context, exten))


def menu_context(application: str, data: str) -> str:
    """The context in which Background looks for what the caller dials; empty for the call's own."""
    if application.lower() == "waitexten":
        return ""
    masked = dialplan_calls.Masked(data)
    given = masked.split(masked.text)
    return given[3] if len(given) > 3 else ""
