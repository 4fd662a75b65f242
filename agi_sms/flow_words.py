"""How the steps of a flow are named: what an engineer, and a customer, read in the boxes. Pure."""

import re
from collections.abc import Iterable, Mapping

from agi_sms import app_arguments, dialplan, dialplan_calls, durations, harmless, node
from agi_sms import flow as flows

LONGEST_LINE = 44  # characters
LONGEST_CONDITION = 60
MOST_FOLDED = 3  # kinds of steps that are named where they are folded

# What a caller does not notice: it is not drawn, only named in small letters above the next step.
FOLDED = frozenset(
    {
        *("answer", "progress", "proceeding", "ringing", "wait"),
        *("set", "mset", "setglobalvar", "setcallerid", "setamaflags", "setmusiconhold", "importvar", "clearhash"),
        *("noop", "verbose", "log", "dumpchan", "userevent", "celgenuserevent", "queuelog", "statsd"),
        *("dbdel", "dbdeltree", "forkcdr", "nocdr", "resetcdr", "hangupcauseclear", "stackpop", "raiseexception"),
        *("monitor", "stopmonitor", "mixmonitor", "stopmixmonitor", "sipaddheader", "sipremoveheader"),
    }
)
ENDS = frozenset({"hangup", "busy", "congestion", "pickup", "blindtransfer"})
MENUS = frozenset({"background", "backgrounddetect", "waitexten"})
THROUGH = {  # by what runs a subroutine, or by the last letter of it
    "dial_U": "answered: on the callee's leg",
    "queue": "answered: on the agent's leg",
    "hangup_handler": "when the call ends",
    "b": "before it rings: on the callee's leg",
    "B": "before it rings",
}
WAYS = {
    "agi": "by FastAGI",
    "event": "by event",
    "stasis": "bare Stasis",
    "fastagi": "bare AGI",
    "userevent": "bare UserEvent",
}
_PARALLEL = frozenset({"dial", "page", "retrydial"})
_SECONDS = {"dial": 1, "queue": 4, "waitexten": 0, "page": 2, "retrydial": 4, "read": 5}
_MAIN = {"read": (0, 1), "voicemail": (0,), "agi": (0,), "stasis": (0, 1), "originate": (0, 1), "system": ()}
_GOES_ON = frozenset("gFG")  # Dial goes on after an answered call too
_QUEUE_GOES_ON = frozenset("cCF")


def clipped(text: str, most: int = LONGEST_LINE) -> str:
    """One harmless line."""
    return harmless.clipped(text, most)


def condition(text: str) -> str:
    """`$["${DIALSTATUS}" = "BUSY"]` as `DIALSTATUS = BUSY`."""
    plain = text.strip()
    if plain.startswith("$[") and dialplan_calls.Masked(plain).text == "\0000\0":
        plain = plain[2:-1]
    for _ in range(dialplan_calls.DEEPEST):
        shorter = re.sub(r"\$\{([^{}$]*)\}", r"\1", plain)
        if shorter == plain:
            break
        plain = shorter
    plain = re.sub(r'"([^"\s]+)"', r"\1", plain)
    return clipped(plain, LONGEST_CONDITION) or "always"


def times(text: str) -> str:
    """`9:00-17:00,mon-fri,*,*` as `9:00-17:00, mon-fri`."""
    parts = [part.strip() for part in text.split(",")]
    return condition(", ".join(part for part in parts if part not in ("*", "")) or "always")


def folded(applications: Iterable[str]) -> str:
    """A run of steps that are not drawn, `Answer, Set ×3`."""
    counts: dict[str, int] = {}
    for one in applications:
        counts[one] = counts.get(one, 0) + 1
    named = [f"{clipped(one, 20)} ×{count}" if count > 1 else clipped(one, 20) for one, count in counts.items()]
    more = sum(list(counts.values())[MOST_FOLDED:])
    return ", ".join(named[:MOST_FOLDED]) + (f" and {more} more" if more else "")


def said(application: str, data: str) -> tuple[str, ...]:
    """What stands below an application's name: its main argument, and how long it takes."""
    name = application.lower()
    masked = dialplan_calls.Masked(data)
    given = [masked.shown(part) for part in app_arguments.split(masked.text)]
    if name == "gosub":
        at = dialplan_calls.target(data)
        place = at.context if (at.exten, at.priority) == ("s", "1") and at.context else at.shown
        return (clipped(f"{place}({', '.join(at.arguments)})" if at.arguments else place),)
    lines = []
    main = [given[at] for at in _MAIN.get(name, (0,)) if at < len(given)]
    what = " & ".join(main[0].split("&")) if main and name in _PARALLEL else ", ".join(part for part in main if part)
    if what and _SECONDS.get(name) != 0:
        lines.append(clipped(what))
    seconds = _SECONDS.get(name)
    if seconds is not None and seconds < len(given) and given[seconds]:
        lines.append(clipped(f"up to {given[seconds]} s"))
    return tuple(lines)


def goes_on(application: str, data: str) -> str:
    """When the dialplan goes on behind this application; empty for always, or where that is not said."""
    name = application.lower()
    place, letters = {"dial": (2, _GOES_ON), "queue": (1, _QUEUE_GOES_ON)}.get(name, (0, frozenset[str]()))
    if not letters:
        return ""
    masked = dialplan_calls.Masked(data)
    given = [masked.shown(part) for part in app_arguments.split(masked.text)]
    text = given[place] if place < len(given) else ""
    return "" if dialplan_calls.computed(text) or letters & set(dialplan_calls.options(text)) else "not answered"


def facts(flow: flows.Flow) -> str:
    """What there is in a flow, in a line."""
    count = len(flow.nodes)
    found = [f"{count} SMS node{'' if count == 1 else 's'}" if count else "no SMS node"]
    different = len({step.title for step in flow.nodes})
    found += [f"{different} different"] if different < count else []
    for state, words in (
        (flows.State.UNKNOWN, "not in the configuration"),
        (flows.State.COMPUTED, "known only during the call"),
    ):
        some = sum(step.state is state for step in flow.nodes)
        found += [f"{some} {words}"] if some else []
    return " · ".join(found)


# --- nodes --------------------------------------------------------------------------------------------------------


def cards(nodes: Mapping[str, node.Node]) -> dict[str, tuple[str, ...]]:
    """What is shown of each node's settings."""
    return {name: _card(one) for name, one in nodes.items()}


def _card(one: node.Node) -> tuple[str, ...]:
    when = f"after {durations.show(one.delay)}" if one.delay else "at once"
    to = [_counted(len(one.recipients))] if one.recipients else []
    to += ["caller"] if one.send_to_caller else []
    to += ["whom the dialplan names"] if one.dialplan_recipients else []
    to += ["whom the answer names"] if one.asking and node.Allowed.RECIPIENTS in one.asking.allow else []
    lines = [
        clipped(one.description),
        f"from {one.sender}, {when}" if one.sender else when,
        f"to {' + '.join(to) or 'nobody'}" + (", once per call" if one.once_per_call else ""),
        *(clipped(f"only if {name} is {' or '.join(sorted(values))}") for name, values in one.when),
        _text(one),
    ]
    return tuple(line for line in lines if line)


def _counted(count: int) -> str:
    return "1 number" if count == 1 else f"{count} numbers"


def _text(one: node.Node) -> str:
    if one.template is None:
        return "text from your own system"
    return f"“{clipped(one.template.source, LONGEST_LINE - 2)}”"


def entered(one: dialplan.Entered, known: Mapping[str, tuple[str, ...]]) -> tuple[str, tuple[str, ...], str]:
    """A visit's title, lines and state: `known`, `unknown` (the configuration has no such node) or `computed`."""
    lines: tuple[str, ...]
    if one.node is None:
        title, lines, state = clipped(one.expression), ("which node, only the call knows",), "computed"
    elif one.node in known:
        title, lines, state = clipped(one.node), known[one.node], "known"
    else:
        title, state = clipped(one.node) or "no node", "unknown"
        lines = ("not in the configuration",) if one.node else ("no node is named",)
    given = ", ".join(argument for argument in one.arguments if argument)
    if given:
        lines += (clipped(f"with {condition(given)}"),)
    if one.way in WAYS:
        lines += (WAYS[one.way],)
    return title, lines, state
