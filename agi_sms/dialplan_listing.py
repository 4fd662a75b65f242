"""A dialplan as values, read from what Asterisk says of it: `dialplan show`, or AMI's ShowDialPlan. Pure.

`dialplan show` tells file and line of each priority (main/pbx.c, show_dialplan_helper). It does not tell the label of
an extension's first priority, and cuts what is longer than 1023 bytes. ShowDialPlan tells neither file nor line.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from agi_sms import errors

LONGEST = 1023  # bytes of `1. Application(data)`, behind which the listing is cut
LONGEST_LINE = 4096  # characters; no line is longer that Asterisk prints, and no data of an application
CUT = "${…}"  # stands where a listing was cut: like an expression, nobody can tell what it is

_CONTEXT = re.compile(r"\[ (?:Context|Included context) '(.*)' created by '(.*)' \]")
_FIRST = re.compile(r"  '(.*?)'(?: \(CID match '([^']*)'\))? => +(?=hint: |\d{1,9}\. )")
_NEXT = re.compile(r" {5,}(?:\[(.+?)\] +)?(?=hint: |\d{1,9}\. )")
_BESIDE = re.compile(r"  (Include|Ignore pattern|Alt\. Switch) => +'(.*)' *\[(.*)\]")
_END = re.compile(r"-= (\d{1,9}) extensions? \((\d{1,9}) priorit(?:y|ies)\) in (\d{1,9}) contexts?\. =-")
_WHERE = re.compile(r"(.+):(\d{1,9})")
_NUMBER = re.compile(r"\d{1,9}")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Unreadable(errors.AgiSmsError):
    """This is not what `dialplan show` prints."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Priority:
    """One step. `label` is None where the listing does not tell it; `file` and `line` are there where it tells them."""

    number: int
    application: str
    data: str = ""
    label: str | None = ""
    file: str = ""
    line: int = 0
    registrar: str = ""

    @property
    def written(self) -> bool:
        """Whether somebody wrote it, and not a module of Asterisk."""
        return bool(self.file) or self.registrar.startswith("pbx_")


@dataclass(frozen=True, kw_only=True)
class Extension:
    """An extension or a pattern. `caller` is the pattern of the callers it is for, None for all."""

    name: str
    caller: str | None = None
    hint: str = ""
    priorities: tuple[Priority, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Include:
    """Another context whose extensions count too; `times` is when, as written, empty for always."""

    context: str
    times: str = ""


@dataclass(frozen=True, kw_only=True)
class Context:
    """A context. `switches` (Realtime, Lua, DUNDi ...) bring extensions that no listing shows."""

    name: str
    registrar: str = ""
    extensions: tuple[Extension, ...] = ()
    includes: tuple[Include, ...] = ()
    switches: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Dialplan:
    """All contexts by name, in the order of the listing. `cut` says that not all of it was there."""

    contexts: Mapping[str, Context]
    cut: bool = False


def parse_show(text: str) -> Dialplan:
    """Read what `dialplan show` printed; raises Unreadable where there is nothing of the kind in it.

    A line longer than LONGEST_LINE is left out, and the dialplan is `cut` then.
    """
    made: dict[str, _Making] = {}
    here: _Making | None = None
    counts: tuple[int, ...] = ()
    left_out = False
    for raw in text.splitlines():
        if len(raw) > LONGEST_LINE:
            left_out = True
            continue
        line = _COLOUR.sub("", raw).rstrip()
        if line.endswith("' ]") and (match := _CONTEXT.fullmatch(line)):
            here = made.setdefault(match[1], _Making(*match.groups()))
        elif match := _END.fullmatch(line):
            counts = tuple(map(int, match.groups()))
        elif here is None:
            continue
        elif match := _FIRST.match(line):
            here.extension(match[1], match[2])
            here.step(_step(line[match.end() :], None))
        elif match := _NEXT.match(line):
            here.step(_step(line[match.end() :], match[1] or ""))
        elif line.endswith("]") and (match := _BESIDE.fullmatch(line)):
            here.beside(match[1], match[2])
    if not made:
        raise Unreadable("no context in it: this is not what `dialplan show` prints")
    contexts = {name: one.done() for name, one in made.items()}
    return Dialplan(contexts=contexts, cut=left_out or _counted(contexts.values()) != counts)


def _counted(contexts: Collection[Context]) -> tuple[int, ...]:
    """What Asterisk counts at the end: extensions, priorities and hints, contexts."""
    extensions = [one for context in contexts for one in context.extensions]
    return len(extensions), sum(len(one.priorities) + bool(one.hint) for one in extensions), len(contexts)


def parse_events(events: Iterable[Mapping[str, str]]) -> Dialplan:
    """Read the ListDialplan events that answer ShowDialPlan, and its end; their keys are in lower case."""
    made: dict[str, _Making] = {}
    read, told = 0, ""
    for event in events:
        told = event.get("listitems", told)
        read += event.get("event") == "ListDialplan"
        if event.get("event") != "ListDialplan" or "context" not in event:
            continue
        registrar = event.get("registrar", "")
        here = made.setdefault(event["context"], _Making(event["context"], registrar))
        for key, kind in _KINDS.items():
            if key in event:
                here.beside(kind, event[key])
        if "priority" not in event:
            continue
        number, application = event["priority"], event.get("application", "")
        label, data = event.get("extensionlabel", ""), event.get("appdata", "")
        if number == "hint":
            here.extension(event.get("extension", ""), None)
            here.step(application)
        elif _NUMBER.fullmatch(number):
            data = shortened(data)
            one = Priority(number=int(number), application=application, data=data, label=label, registrar=registrar)
            here.follow(event.get("extension", ""), one)
    return Dialplan(contexts={name: one.done() for name, one in made.items()}, cut=told != str(read))


_KINDS = {"includecontext": "Include", "ignorepattern": "Ignore pattern", "switch": "Alt. Switch"}


class _Making:
    """A context on its way."""

    def __init__(self, name: str, registrar: str) -> None:
        self._context = Context(name=name, registrar=registrar)
        self._extensions: list[Extension] = []
        self._steps: list[Priority] = []
        self._beside: dict[str, list[str]] = {kind: [] for kind in _KINDS.values()}

    def extension(self, name: str, caller: str | None) -> None:
        """From here on, steps are this one's."""
        self._close()
        self._extensions.append(Extension(name=name, caller=caller))

    def step(self, one: Priority | str | None) -> None:
        """A step, or a hint, of the extension."""
        if isinstance(one, str):
            self._extensions[-1] = replace(self._extensions[-1], hint=one)
        elif one is not None and self._extensions:
            self._steps.append(one)

    def follow(self, name: str, one: Priority) -> None:
        """A step of an extension that is told with each; a number that comes again is that of another caller's."""
        before = self._extensions[-1] if self._extensions else None
        if before is None or before.name != name or (self._steps and one.number <= self._steps[-1].number):
            self.extension(name, None)
        self._steps.append(one)

    def beside(self, kind: str, value: str) -> None:
        """An include, a pattern that is ignored, or a switch."""
        self._beside[kind].append(value)

    def _close(self) -> None:
        if self._extensions and self._steps:
            self._extensions[-1] = replace(self._extensions[-1], priorities=tuple(self._steps))
        self._steps = []

    def done(self) -> Context:
        """The context."""
        self._close()
        includes = (value.partition(",") for value in self._beside["Include"])
        return replace(
            self._context,
            extensions=tuple(self._extensions),
            includes=tuple(Include(context=name, times=times) for name, _, times in includes),
            switches=tuple(self._beside["Alt. Switch"]),
            ignored=tuple(self._beside["Ignore pattern"]),
        )


def _step(text: str, label: str | None) -> Priority | str | None:
    """Read `1. Application(data)   [file:1]`, or the device of a hint."""
    said, _, where = text.rpartition(" [")
    said, where = said.rstrip(), where.removesuffix("]")
    if said.startswith("hint: "):
        return said.removeprefix("hint: ")
    number, _, what = said.partition(". ")
    application, bracket, data = what.partition("(")
    if not bracket:
        return None
    cut = len(said.encode()) >= LONGEST or not data.endswith(")")
    found = _WHERE.fullmatch(where)
    return Priority(
        number=int(number),
        application=application,
        data=data[:LONGEST] + CUT if cut else data[:-1],
        label=label,
        file=found[1] if found else "",
        line=int(found[2]) if found else 0,
        registrar="" if found else where,
    )


def shortened(data: str) -> str:
    """As long as a line may be, and behind that a mark that it was cut."""
    return data if len(data) <= LONGEST_LINE else data[:LONGEST_LINE] + CUT


def steps(plan: Dialplan) -> Iterator[tuple[Context, Extension, Priority]]:
    """Every step that somebody wrote."""
    for context in plan.contexts.values():
        for extension in context.extensions:
            for priority in extension.priorities:
                if priority.written:
                    yield context, extension, priority
