"""How the steps of a flow are named: what an engineer, and a customer, read in the boxes. Pure."""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from agi_sms import app_arguments, dialplan, dialplan_calls, dialplan_listing, durations, harmless, node
from agi_sms import flow as flows

LONGEST_LINE = 44  # characters
LONGEST_CONDITION = 60
LONGEST_TEXT = 110
MOST_LINES = 4  # of one thing that is said
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
    "dial_M": "answered: on the callee's leg",
    "queue": "answered: on the agent's leg",
    "hangup_handler": "when the call ends",
    "b": "before it rings: on the callee's leg",
    "B": "before it rings",
}
TRANSFERS = {  # by Dial's and Queue's option: where the callee goes
    "G": "answered: on the callee's leg",
    "F": "the caller hung up: on the callee's leg",
}
PERHAPS = "for our gateway? it has no agi"
WAYS = {
    "ari": "by Stasis",
    "agi": "by FastAGI",
    "event": "by event",
    "stasis": "bare Stasis",
    "fastagi": "bare AGI",
    "userevent": "bare UserEvent",
}
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)  # of templates
_FILLED = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_GIVEN = re.compile(r"\$\{(EXTEN|ARG[1-9]\d{0,3})\}")
_WRAPPED = re.compile(r"(?:URIENCODE|QUOTE)\((.*)\)")
_PARALLEL = frozenset({"dial", "page", "retrydial"})
_SECONDS = {"dial": 1, "queue": 4, "waitexten": 0, "page": 2, "retrydial": 4, "read": 5}
_MAIN = {"read": (0, 1), "voicemail": (0,), "agi": (0,), "stasis": (0, 1), "originate": (0, 1), "system": ()}
_GOES_ON = {"dial": (2, "g"), "queue": (1, "c")}  # where the options are, and by which it goes on after the call too


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


def given(data: str, known: Mapping[str, str]) -> str:
    """What a step says, with the values of those of ARG1, ARG2 ... and EXTEN that are known.

    It is cut where it gets longer than a line of Asterisk's.
    """
    pieces: list[str] = []
    length = at = 0
    for found in _GIVEN.finditer(data):
        value = known.get(found[1])
        if value is None:
            continue
        pieces += [data[at : found.start()], value]
        length += found.start() - at + len(value)
        at = found.end()
        if length > dialplan_listing.LONGEST_LINE:
            break
    return dialplan_listing.shortened("".join([*pieces, data[at:]]))


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
    if name not in _GOES_ON:
        return ""
    place, letter = _GOES_ON[name]
    masked = dialplan_calls.Masked(data)
    given = [masked.shown(part) for part in app_arguments.split(masked.text)]
    text = given[place] if place < len(given) else ""
    found = dialplan_calls.options(text)
    on = letter in found or ("F" in found and not found["F"])  # with nowhere else to go, the callee goes on here
    return "" if on or dialplan_calls.computed(text) else "not answered"


def facts(flow: flows.Flow) -> str:
    """What there is in a flow, in a line; a step that is drawn several times counts once."""
    nodes = {(step.place, step.title): step for step in flow.nodes}.values()
    count, different = len(nodes), len({step.title for step in nodes})
    found = [f"{count} SMS node{'' if count == 1 else 's'}" if count else "no SMS node"]
    if different < count:
        found.append("all the same" if different == 1 else f"{different} different")
    computed = sum(step.state is flows.State.COMPUTED for step in nodes)
    found += [f"{computed} known only during the call"] if computed else []
    wrong = len(warnings(flow))
    found += [f"{wrong} warning{'' if wrong == 1 else 's'}"] if wrong else []
    found += [] if flow.whole else ["not all of it"]
    return " · ".join(found)


def warnings(flow: flows.Flow) -> tuple[str, ...]:
    """What is red in a flow, each place of the dialplan once."""
    found: dict[str, None] = {}
    for step in flow.steps:
        where = f"{step.place}{f' ({step.source})' if step.source else ''}"
        if step.kind is flows.Kind.MISSING:
            found[f"the dialplan goes on at {where}, which it does not have"] = None
        elif step.trouble:
            found[f"{where} enters {step.title}, {step.trouble}"] = None
    return tuple(found)


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
        *(line for name, values in one.when for line in wrapped(f"only if {name} is {_either(sorted(values))}")),
        *_text(one),
    ]
    return tuple(line for line in lines if line)


def _counted(count: int) -> str:
    return "1 number" if count == 1 else f"{count} numbers"


def _either(values: Sequence[str]) -> str:
    *most, last = values
    return f"{', '.join(most)} or {last}" if most else last


def wrapped(text: str) -> tuple[str, ...]:
    """A few harmless lines, the last of them cut where that is not enough."""
    whole = harmless.clipped(text, LONGEST_LINE * MOST_LINES)
    lines = textwrap.wrap(whole, LONGEST_LINE, break_on_hyphens=False)
    if len(lines) <= MOST_LINES:
        return tuple(lines)
    return (*lines[: MOST_LINES - 1], clipped(f"{lines[MOST_LINES - 1]} …"))


def _text(one: node.Node) -> tuple[str, ...]:
    if one.template is None:
        return ("text from your own system",)
    return wrapped(f"“{clipped(plainly(one.template.source), LONGEST_TEXT)}”")


def plainly(source: str) -> str:
    """A template as its reader would see it, with the name of what is filled in: `‹caller›`."""
    told, mark, _ = _COMMENT.sub("", source).partition("{%")  # what stands behind it depends on the call
    filled = _FILLED.sub(lambda match: f"‹{_filled(match[1])}›", told)
    return filled + "…" if mark else filled


def _filled(expression: str) -> str:
    found = _NAME.search(expression)
    if found is None:
        return "…"
    owner = found[0].rpartition(".")[0]
    return owner if owner and expression[found.end() :].startswith("(") else found[0]


def entered(
    one: dialplan.Entered, known: Mapping[str, tuple[str, ...]], closed: str = ""
) -> tuple[str, tuple[str, ...], flows.State, str]:
    """A visit's title, lines and state, and what is wrong with it. `closed`: why the gateway does not hear of it."""
    lines: tuple[str, ...]
    trouble = f"and {closed}" if closed else ""
    state = flows.State.UNHEARD if closed else flows.State.KNOWN
    if one.node is None:
        title, lines = clipped(one.expression), ("which node, only the call knows",)
        state = state if closed else flows.State.COMPUTED
    elif one.node in known:
        title, lines = clipped(one.node), known[one.node]
    else:
        title, state = clipped(one.node) or "no node", flows.State.UNKNOWN
        lines = ("not in the configuration",) if one.node else ("no node is named",)
        told = "which the configuration does not have" if one.node else "since the step names none"
        trouble = f"{told}, {trouble}" if trouble else told
    if closed:
        lines = (clipped(closed), *lines)
    given = ", ".join(_given(argument) for argument in one.arguments if argument)
    if given:
        lines += wrapped(f"with {given}")
    return title, (*lines, WAYS[one.way]), state, trouble


def _given(argument: str) -> str:
    """`var.PHONE=${URIENCODE(${EXTEN})}` as `var.PHONE=EXTEN`."""
    key, equals, value = argument.partition("=")
    plain = condition(value) if value else ""
    while match := _WRAPPED.fullmatch(plain):
        plain = match[1]
    return clipped(key, LONGEST_CONDITION) + equals + plain
