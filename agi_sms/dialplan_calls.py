"""What a step of the dialplan does, as far as its words tell: where it jumps, what it runs, which node it enters. Pure.

Asterisk fills in `${...}` and `$[...]` before it splits; here they are opaque, so whatever has one in it is *computed*
and cannot be told. Everything else is split as Asterisk does, with its oddities: spaces count, Gosub and ExecIf keep
quotes, and the `gosub` of a queue is separated by commas and nothing else (tried with 22.10.1).
"""

import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, replace

from agi_sms import app_arguments

_HANDLERS = frozenset({"channel(hangup_handler_push)", "channel(hangup_handler_wipe)"})
_OPTIONS = {"dial": 2, "retrydial": 5, "queue": 1, "page": 1, "followme": 1}  # where each has its options
_LEGS = {"b": "b", "B": "B"}
MACROS = frozenset({"macro", "macroexclusive"})  # until Asterisk 20
CONDITIONAL = frozenset({"gosubif", "macroif"})
_TRANSFERS = {"dial": "GF", "retrydial": "GF", "queue": "F"}
_QUEUE_GOSUB = (6, 7)  # until Asterisk 20 the seventh argument was a macro
_URL = re.compile(r"h?agi://([^/?]*)/?([^?]*)\??(.*)", re.DOTALL)
_CHOICES = frozenset({"gotoif", "gotoiftime", "gosubif", "macroif"})
_RUNNING = frozenset({"exec", "tryexec", "execif", "execiftime"})
_AGI = frozenset({"agi", "deadagi", "eagi"})
_BARE = frozenset({"stasis", "userevent"})
_HEADER = re.compile(r"\s*AgiSms\s*:\s*(.*)", re.IGNORECASE | re.DOTALL)
_OPENING = re.compile(r"\$[{\[]")
_BRACKETS = {"{": re.compile("[{}]"), "[": re.compile(r"[\[\]]")}
DEEPEST = 8  # applications that run one another
GLOBAL = "AGISMS_AGI"  # names the gateway's address in the dialplan


@dataclass(frozen=True, kw_only=True)
class Target:
    """A place that is jumped to, as written; what is not written is the jump's own. Empty `priority`: unreadable."""

    priority: str
    exten: str | None = None
    context: str | None = None
    arguments: tuple[str, ...] = ()

    @property
    def computed(self) -> bool:
        """Whether only a call knows where it leads."""
        return any(map(computed, (self.context, self.exten, self.priority)))

    @property
    def shown(self) -> str:
        """As it is written in a dialplan, without arguments."""
        return ",".join(part for part in (self.context, self.exten, self.priority) if part is not None)


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One way of several: what is done where `condition` holds, or where it does not."""

    condition: str
    holds: bool
    application: str
    data: str


@dataclass(frozen=True, kw_only=True)
class Subroutine:
    """A subroutine that a step runs. `through` is empty for Gosub, else `dial_U`, `queue`, `hangup_handler` ...

    A `macro` also comes back where its extension ends.
    """

    target: Target
    through: str = ""
    macro: bool = False


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Where Dial or Queue sends calls. `option` G: the caller when it is answered, and the callee one priority further;

    F: the callee when the caller hangs up.
    """

    target: Target
    option: str


@dataclass(frozen=True, kw_only=True)
class Bare:
    """A node that is entered without our subroutines. `way` is stasis, fastagi or userevent; `name` None: computed.

    `address` is where an AGI() goes, as written; `ours`: to where the gateway listens, or to AGISMS_AGI.
    """

    way: str
    name: str | None
    expression: str
    arguments: tuple[str, ...] = ()
    address: str = ""
    ours: bool = False


# --- expressions --------------------------------------------------------------------------------------------------


class Masked:
    """A text whose expressions are one mark each, so that it can be split; `shown` gives them back.

    A NUL, which no dialplan can have, is left out: it begins and ends our marks.
    """

    def __init__(self, text: str) -> None:
        text = text.replace("\0", "")
        self._found: list[str] = []
        pieces, at = [], 0
        while (begin := _opening(text, at)) >= 0:
            end = _closing(text, begin)
            pieces += [text[at:begin], f"\0{len(self._found)}\0"]
            self._found.append(text[begin:end])
            at = end
        self.text = "".join(pieces) + text[at:]

    def shown(self, part: str) -> str:
        """The part as it was written."""
        if "\0" not in part:
            return part
        return re.sub("\0(\\d+)\0", lambda match: self._found[int(match[1])], part)

    def split(self, part: str, separator: str = ",", *, most: int | None = None, raw: bool = False) -> list[str]:
        """As Asterisk splits, each piece as it was written."""
        return [self.shown(one) for one in app_arguments.split(part, most=most, separator=separator, raw=raw)]


def computed(text: str | None) -> bool:
    """Whether there is an expression in it."""
    return text is not None and _opening(text, 0) >= 0


def _opening(text: str, at: int) -> int:
    found = _OPENING.search(text, at)
    return found.start() if found else -1


def _closing(text: str, begin: int) -> int:
    """Behind the bracket that closes the one at `begin + 1`; the text's end where none does."""
    opened, brackets = text[begin + 1], _BRACKETS[text[begin + 1]]
    depth = 0
    for found in brackets.finditer(text, begin + 1):
        depth += 1 if found[0] == opened else -1
        if depth == 0:
            return found.end()
    return len(text)


# --- places -------------------------------------------------------------------------------------------------------


def target(text: str) -> Target:
    """Read `[[context,]exten,]priority[(arguments)]`, as Goto and Gosub do."""
    masked = Masked(text)
    label, bracket, rest = masked.text.partition("(")
    inside = rest.rpartition(")")[0] if ")" in rest else rest
    arguments = tuple(masked.split(inside, raw=True)) if bracket else ()
    parts = [masked.shown(part) for part in label.split(",")][:3]
    context, exten = ([None, None, *parts])[-3:-1]
    return Target(context=context, exten=exten, priority=parts[-1], arguments=arguments)


def _carets(text: str) -> str:
    """Options cannot hold commas, so they write `^` for them."""
    masked = Masked(text)
    return masked.shown(masked.text.replace("^", ","))


def _into(text: str) -> Target:
    """Read `context,argument,...`, of which a Gosub into `context,s,1` is made."""
    masked = Masked(text)
    context, *arguments = map(masked.shown, masked.text.split(","))
    return Target(context=context, exten="s", priority="1", arguments=tuple(arguments))


def _macro(text: str) -> Target:
    """Read `name,argument,...`, by which a macro goes to `macro-name,s,1`."""
    into = _into(text)
    return replace(into, context=f"macro-{into.context}")


def jumps(application: str, data: str) -> tuple[str, Target | None, Target | None]:
    """Where Goto and the conditional jumps lead: the condition, and the targets where it holds and does not."""
    name = application.lower()
    if name == "goto":
        return "", target(data), None
    if name not in _CHOICES:
        return "", None, None
    masked = Masked(data)
    if name == "gosubif":
        pieces = app_arguments.split(masked.text, separator="?", most=2, raw=True)
        branches = app_arguments.split(pieces[1], separator=":", most=2, raw=True) if len(pieces) == 2 else []
    else:
        condition, _, rest = masked.text.partition("?")
        pieces, branches = [condition], rest.split(":", 1)
    yes, no = ([masked.shown(branch) for branch in branches] + ["", ""])[:2]
    read = _macro if name == "macroif" else target
    return masked.shown(pieces[0]) if pieces else "", read(yes) if yes else None, read(no) if no else None


# --- applications -------------------------------------------------------------------------------------------------


def branches(application: str, data: str) -> tuple[Branch, ...]:
    """The applications that ExecIf, ExecIfTime, Exec and TryExec run."""
    name = application.lower()
    if name not in _RUNNING:
        return ()
    masked = Masked(data)
    if name in ("exec", "tryexec"):
        return (_branch(masked, "", True, masked.text),)
    if name == "execif":
        pieces = app_arguments.split(masked.text, separator="?", most=2, raw=True)
        if len(pieces) < 2:
            return ()
        ways = app_arguments.split(pieces[1], separator=":", most=2, raw=True)
        condition = masked.shown(pieces[0])
        return tuple(_branch(masked, condition, not at, way) for at, way in enumerate(ways) if way)
    condition, mark, rest = masked.text.partition("?")
    return (_branch(masked, masked.shown(condition), True, rest),) if mark else ()


def _branch(masked: Masked, condition: str, holds: bool, text: str) -> Branch:
    application, _, rest = text.partition("(")
    data = rest.rpartition(")")[0] if ")" in rest else rest
    return Branch(condition=condition, holds=holds, application=masked.shown(application), data=masked.shown(data))


def within(application: str, data: str, *, depth: int = DEEPEST) -> Iterator[tuple[str, str]]:
    """The application itself, or in its place those that it runs."""
    inner = branches(application, data) if depth else ()
    if not inner:
        yield application, data
    for one in inner:
        yield from within(one.application, one.data, depth=depth - 1)


def subroutines(application: str, data: str) -> tuple[Subroutine, ...]:
    """The subroutines that one application runs, on the call's channel or on another one."""
    name = application.lower()
    if name == "gosub":
        return (Subroutine(target=target(data)),)
    if name in CONDITIONAL:
        found = (one for one in jumps(application, data)[1:] if one is not None)
        return tuple(Subroutine(target=one, macro=name == "macroif") for one in found)
    if name in MACROS:
        return (Subroutine(target=_macro(data), macro=True),)
    if name in ("set", "mset"):
        return tuple(_handlers(name, data))
    return tuple(_on_legs(name, data)) if name in _OPTIONS else ()


def _handlers(name: str, data: str) -> Iterator[Subroutine]:
    if "hangup_handler" not in data.lower():
        return
    masked = Masked(data)
    for part in [data] if name == "set" else masked.split(masked.text):
        variable, _, value = part.partition("=")
        if variable.strip().lower() in _HANDLERS and value:
            yield Subroutine(target=target(value), through="hangup_handler")


def _on_legs(name: str, data: str) -> Iterator[Subroutine]:
    """What Dial, Queue and their kin run on the legs that they make."""
    masked = Masked(data)
    given = app_arguments.split(masked.text)
    for letter, value in given_options(name, data).items():
        if letter == "M" and name in ("dial", "retrydial") and value:
            yield Subroutine(target=_macro(_carets(value)), through="dial_M", macro=True)
        if letter == "U" and name in ("dial", "retrydial") and value:
            yield Subroutine(target=_into(_carets(value)), through="dial_U")
        elif letter in _LEGS and value:
            yield Subroutine(target=target(_carets(value)), through=f"{name.removeprefix('retry')}_{letter}")
    if name == "queue":
        for place in _QUEUE_GOSUB:
            if len(given) > place and given[place]:
                yield Subroutine(target=_into(masked.shown(given[place])), through="queue")


def transfers(application: str, data: str) -> tuple[Transfer, ...]:
    """Where Dial and Queue send those whom they connect, or connected."""
    name = application.lower()
    letters = _TRANSFERS.get(name, "")
    found = given_options(name, data).items() if letters else ()
    return tuple(
        Transfer(target=target(_carets(value)), option=letter) for letter, value in found if letter in letters and value
    )


def given_options(name: str, data: str) -> dict[str, str | None]:
    """The options of an application that runs something on other legs, `name` in small letters."""
    masked = Masked(data)
    given = app_arguments.split(masked.text)
    place = _OPTIONS[name]
    return options(masked.shown(given[place])) if len(given) > place else {}


def options(text: str) -> dict[str, str | None]:
    """Read an application's options, `tU(sub^1)g`: each letter, with what stands in its parentheses.

    Rule: ast_app_parse_options, main/app.c.
    """
    masked = Masked(text)
    found: dict[str, str | None] = {}
    at, end = 0, len(masked.text)
    while at < end:
        letter, at = masked.text[at], at + 1
        if letter == "\0":  # an expression, which may hold any
            at = masked.text.index("\0", at) + 1
            continue
        found[letter] = None
        if masked.text[at : at + 1] == "(":
            begin, depth = at + 1, 0
            while at < end:
                depth += (masked.text[at] == "(") - (masked.text[at] == ")")
                at += 1
                if depth == 0:
                    break
            found[letter] = masked.shown(masked.text[begin : at - (depth == 0)])
    return found


# --- nodes without our subroutines --------------------------------------------------------------------------------


def bare(application: str, data: str, *, app: str, agi_port: int | None) -> Bare | None:
    """The node that Stasis, AGI or UserEvent name themselves.

    `app` is the gateway's Stasis application, `agi_port` where its FastAGI listens, None where it does not. Every AGI()
    that goes to some FastAGI server may be meant for it.
    """
    name = application.lower()
    if name not in _AGI | _BARE:
        return None
    masked = Masked(data)
    given = masked.split(masked.text)
    if name == "stasis" and given[:1] == [app]:
        return _bare("stasis", given[1:])
    if name in _AGI and given:
        return _agi(given, agi_port)
    if name == "userevent" and given and given[0].strip().lower() == "agisms":
        found = [match[1] for one in given[1:] if (match := _HEADER.fullmatch(one))]
        inner = Masked(found[0]) if found else None
        return _bare("userevent", inner.split(inner.text)) if inner else None
    return None


def _agi(given: list[str], port: int | None) -> Bare | None:
    masked = Masked(given[0])
    match = _URL.fullmatch(masked.text)
    if match is None:
        return None
    host, path, query = map(masked.shown, match.groups())
    ours = GLOBAL in host if computed(host) else port_of(host) == port
    made = _bare("fastagi", [path, *(one for one in query.split("&") if one), *given[1:]])
    return replace(made, address=host, ours=ours)


def port_of(address: str) -> int:
    """The port of `host`, `host:port`, `[::1]` or `[::1]:port`, as AGI() has it."""
    _, colon, number = address.rpartition("]")[2].rpartition(":")
    return int(number[:9]) if colon and number.isdecimal() else AGI_PORT


AGI_PORT = 4573  # of FastAGI: res_agi.c, AGI_PORT


def _bare(way: str, given: list[str]) -> Bare:
    first = given[0].strip() if given else ""
    name = None if computed(first) else urllib.parse.unquote(first, errors="replace").strip()
    return Bare(way=way, name=name, expression=first, arguments=tuple(given[1:]))
