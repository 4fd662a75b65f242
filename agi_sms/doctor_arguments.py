"""What is right and wrong with the arguments that steps of a dialplan hand to a node. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from agi_sms import dialplan, dialplan_calls, durations, errors, harmless, text
from agi_sms.asterisk import arguments
from agi_sms.dialplan import NodeCall
from agi_sms.doctor_finding import Area, Finding
from agi_sms.doctor_read import Read, places

HANDED_ON = 8  # arguments behind the node: ARG2 to ARG9 of agi-sms.conf
WISHES = ("recipients", "sender", "delay")  # what is left to the dialplan; the other keys our subroutines give
_SET = {"call": "__AGISMS_CALL", "dialled": "__AGISMS_DIALLED", "trunk": "__AGISMS_TRUNK"}
_WRITE = (
    "write it there as recipients=, sender=, delay= or var.NAME=, or leave it out: "
    "the log of the gateway says INVALID of each such call"
)
_LOST = "no SMS comes of"
_HELD = "the messages are held of"


@dataclass(frozen=True, kw_only=True)
class _Fault:
    """What is wrong with one argument, what comes of it, and what mends it."""

    argument: str
    why: str
    comes: str = _LOST
    mend: str = _WRITE


def findings(read: Read, area: Area) -> Iterator[Finding]:
    """Those that nobody can read, or that cannot do what they are meant for."""
    wrong: dict[_Fault, list[NodeCall]] = {}
    for one in read.visits:
        for fault in _faults(read, one):
            wrong.setdefault(fault, []).append(one)
    for fault, found in wrong.items():
        what = f"the argument {harmless.clipped(fault.argument, 40)} {fault.why}: {fault.comes} {places(found)}"
        mend = f"{fault.mend}; in full AGI(agi://HOST/NODE?key=value&key=value)" if found[0].way == "fastagi" else ""
        yield area.error("dialplan.argument", what, mend or fault.mend)


def _faults(read: Read, one: NodeCall) -> Iterator[_Fault]:
    ours = one.way in dialplan.OURS.values()
    given = one.arguments[:HANDED_ON] if ours else one.arguments
    seen: set[str] = set()
    for argument in filter(None, map(str.strip, _split(given) if ours else given)):
        key, equals, value = map(str.strip, argument.partition("="))
        if dialplan_calls.computed(key):
            continue  # only the call knows
        fault = _unread(argument, key, value, ours=ours) if equals else _Fault(argument=argument, why="is no key=value")
        if fault is None and key in seen:
            fault = _Fault(argument=argument, why="is given twice", mend="leave one of them out")
        fault = fault or _unused(read, one, argument, key, value)
        seen.add(key)
        if fault is not None:
            yield fault
    for argument in filter(None, map(str.strip, one.arguments[len(given) :])):
        subroutine = next(name for name, way in dialplan.OURS.items() if way == one.way)
        yield _Fault(
            argument=argument,
            why=f"is the {HANDED_ON + 1}th or later, and [{subroutine}] hands on {HANDED_ON}",
            comes="it is lost at",
            mend="leave empty ones out, or put two into one: var.BOTH=${URIENCODE(${A} ${B})}",
        )


def _split(given: tuple[str, ...]) -> list[str]:
    """As they are split when a subroutine hands them on; Gosub itself keeps quotes and backslashes."""
    masked = dialplan_calls.Masked(",".join(given))
    return masked.split(masked.text)


def _unread(argument: str, key: str, value: str, *, ours: bool) -> _Fault | None:
    """Why arguments.parse would refuse it, whose own words are used where it knows the key."""
    if not key.startswith("var.") and key not in arguments.KEYS:
        return _Fault(argument=argument, why="is none that there is")
    if ours and key in arguments.KEYS and key not in WISHES:
        mend = f"Set({_SET[key]}={value}) before the call's first visit, and leave it out" if key in _SET else ""
        why = "is given by the subroutine itself, and nothing can be read that is given twice"
        return _Fault(argument=argument, why=why, mend=mend or "leave it out")
    if dialplan_calls.computed(value):
        if not key.startswith("var."):
            return None
        value = ""
    try:
        arguments.parse(["node", f"{key}={value}"])
    except errors.ArgumentError as error:
        return _Fault(argument=argument, why=f"cannot be used ({error})")
    return None


def _unused(read: Read, one: NodeCall, argument: str, key: str, value: str) -> _Fault | None:
    """Why what can be read does not do what it is meant for; as in plan.py."""
    if key == "recipients":
        node = read.nodes.get(one.node or "")
        if node is None or node.dialplan_recipients or not value:
            return None
        why = f"is not used: the node {node.name} has no dialplan_recipients: true"
        return _Fault(
            argument=argument,
            why=why,
            comes="whom it names gets nothing at",
            mend=f"dialplan_recipients: true in the node {node.name}, or leave it out",
        )
    if key not in WISHES or dialplan_calls.computed(value):
        return None
    said = arguments.parse(["node", f"{key}={value}"])
    if key == "sender" and said.sender and (fault := text.sender_fault(said.sender)) is not None:
        return _Fault(argument=argument, why=f"cannot be used ({fault})", comes=_HELD, mend="write another there")
    if key == "delay" and said.delay:
        try:
            durations.parse(said.delay)
        except ValueError as error:
            mend = "write delay=0, delay=30s, delay=5m or delay=2h there"
            return _Fault(argument=argument, why=f"cannot be used ({error})", comes=_HELD, mend=mend)
    return None
