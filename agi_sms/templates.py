"""Text templates: Jinja2 in a sandbox so small that neither a mistake nor a caller's data can do harm.

Values go in as data and are never read as a template. What a template may do is listed here, everything else is
refused when it is compiled; what it makes is bounded while it runs.
"""

import functools
import io
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from datetime import date, time
from typing import Any

import jinja2
from jinja2 import compiler, filters, nodes, runtime, sandbox

from agi_sms import errors, numbers

LONGEST_SOURCE = 10_000  # characters
LONGEST_RESULT = 10_000  # characters, also of every string in between
MOST_ROUNDS = 200  # of a loop
_BIGGEST = 10**18
_FILENAME = "<text>"  # of the generated code, in tracebacks

_NODES = (
    nodes.Output,
    nodes.TemplateData,
    nodes.If,
    nodes.For,
    nodes.Assign,
    nodes.Name,
    nodes.Literal,
    nodes.Pair,
    nodes.Keyword,
    nodes.CondExpr,
    nodes.Filter,
    nodes.Test,
    nodes.Call,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.Concat,
    nodes.Compare,
    nodes.Operand,
    nodes.BinExpr,
    nodes.UnaryExpr,
)
_TAGS: dict[type[nodes.Node], str] = {
    nodes.AssignBlock: "{% set %} with a block",
    nodes.Block: "{% block %}",
    nodes.CallBlock: "{% call %}",
    nodes.Extends: "{% extends %}",
    nodes.FilterBlock: "{% filter %}",
    nodes.FromImport: "{% from %}",
    nodes.Import: "{% import %}",
    nodes.Include: "{% include %}",
    nodes.Macro: "{% macro %}",
    nodes.NSRef: "namespace",
    nodes.Scope: "{% autoescape %}",
    nodes.With: "{% with %}",
}
_MEMBERS: tuple[tuple[type[Any], frozenset[str]], ...] = (
    (
        str,
        frozenset(
            {"upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip", "split", "startswith"}
            | {"endswith", "removeprefix", "removesuffix", "isdigit", "isalpha", "isalnum", "find", "count"}
        ),
    ),
    (Mapping, frozenset({"get", "items", "keys", "values"})),
    (
        date,  # and datetime
        frozenset(
            {"year", "month", "day", "hour", "minute", "second", "strftime", "isoformat", "weekday"}
            | {"isoweekday", "date", "time"}
        ),
    ),
    (time, frozenset({"hour", "minute", "second", "strftime", "isoformat"})),
    (
        runtime.LoopContext,
        frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"}),
    ),
)


# --- filters ------------------------------------------------------------------------------------------------


def _bounded(value: Any) -> Any:
    if isinstance(value, str | list | tuple | dict) and len(value) > LONGEST_RESULT:
        raise errors.TextError(f"a value has more than {LONGEST_RESULT} characters")
    return value


def _rounds(value: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for item in value:
        if len(found) == MOST_ROUNDS:
            raise errors.TextError(f"a loop has more than {MOST_ROUNDS} rounds")
        found.append(item)
    return found


def _join(value: Iterable[Any], separator: str = "") -> Any:
    pieces = [_bounded(str(item)) for item in _rounds(value)]
    if sum(map(len, pieces)) + len(separator) * len(pieces) > LONGEST_RESULT:
        raise errors.TextError(f"join makes more than {LONGEST_RESULT} characters")
    return separator.join(pieces)


def _replace(value: object, old: str, new: str) -> str:
    text = str(value)
    if len(text) + text.count(old) * len(new) > LONGEST_RESULT:
        raise errors.TextError(f"replace makes more than {LONGEST_RESULT} characters")
    return text.replace(old, new)


def _round(value: float, places: int = 0) -> float | int:
    return round(value, places) if places else round(value)


def _phone(value: object) -> str:
    return numbers.shown(str(value))


def _digits(value: object) -> str:
    return re.sub("[^0-9]", "", str(value))


def _careful(made: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, for values of a size that it gets through in no time."""

    @functools.wraps(made)
    def careful(*values: Any, **options: Any) -> Any:
        for value in values:
            _bounded(value)
        return made(*values, **options)

    return careful


_JINJAS = frozenset(
    {"abs", "capitalize", "count", "d", "default", "first", "float", "int", "last", "length", "list", "lower"}
    | {"reverse", "sort", "string", "title", "trim", "truncate", "unique", "upper"}
)
_FILTERS: dict[str, Callable[..., Any]] = {name: filters.FILTERS[name] for name in _JINJAS} | {
    "digits": _digits,
    "join": _join,
    "phone": _phone,
    "replace": _replace,
    "round": _round,
}
_TESTS = frozenset(
    {"defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "true", "false"}
    | {"mapping", "sequence", "iterable", "odd", "even", "divisibleby", "in", "lower", "upper"}
    | {"==", "eq", "equalto", "!=", "ne", "<", "lt", "lessthan", "<=", "le", ">", "gt", "greaterthan", ">=", "ge"}
)


def _final(value: Any) -> Any:
    if isinstance(value, Mapping | list | tuple | set) and not isinstance(value, jinja2.Undefined):
        raise errors.TextError(f"a {_kind(value)} is no text; name one of its parts, or join them")
    if callable(value) and not isinstance(value, jinja2.Undefined):
        raise errors.TextError(f"{getattr(value, '__name__', 'this')} is no value; did you mean to add ()?")
    return "" if value is None else value


class Variables(dict[str, str]):
    """What the dialplan handed over, by name: a template that looks for another is told so."""


# --- the sandbox --------------------------------------------------------------------------------------------


class _Sandbox(sandbox.ImmutableSandboxedEnvironment):
    """Jinja2 with what `_NODES`, `_MEMBERS`, `_FILTERS` and `_TESTS` name, and with bounded arithmetic."""

    intercepted_binops = frozenset({"+", "*", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            undefined=jinja2.StrictUndefined,
            autoescape=False,
            keep_trailing_newline=True,
            finalize=_final,
            cache_size=0,
        )
        self.globals.clear()
        self.filters = {name: _careful(made) for name, made in _FILTERS.items()}
        self.filters |= {"_bounded": _bounded, "_rounds": _rounds}
        self.tests = {name: test for name, test in self.tests.items() if name in _TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self._member(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping) or not isinstance(argument, str):
            try:
                return _bounded(obj[argument])
            except (TypeError, LookupError):
                pass
        return self._member(obj, argument)

    def _member(self, obj: Any, name: Any) -> Any:
        if isinstance(obj, jinja2.Undefined):
            return obj  # it then says itself what is missing
        if isinstance(obj, Mapping) and name in obj:
            return _bounded(obj[name])
        for kind, members in _MEMBERS:
            if isinstance(obj, kind) and name in members and hasattr(obj, name):
                return getattr(obj, name)
        if isinstance(obj, Mapping):
            there = ", ".join(sorted(str(key)[:60] for key in obj)[:20]) or "nothing"
            if isinstance(obj, Variables):
                return self.undefined(f"the dialplan gave no variable {str(name)[:60]!r} (given: {there})")
            return self.undefined(f"there is no {str(name)[:60]!r} in it (there is: {there})")
        return self.undefined(f"there is no {str(name)[:60]!r} in a {_kind(obj)}")

    def is_safe_callable(self, obj: Any) -> bool:
        """Only what `_member` gave out: methods of plain values."""
        if isinstance(obj, jinja2.Undefined):
            return True  # calling it raises what `_member` prepared
        owner = getattr(obj, "__self__", None)
        return any(isinstance(owner, kind) and obj.__name__ in members for kind, members in _MEMBERS)

    def call_binop(self, context: runtime.Context, operator: str, left: Any, right: Any) -> Any:
        numeric = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**":
            raise errors.TextError("** is not available in texts")
        if operator in ("*", "%") and not numeric:
            odd = right if isinstance(left, int | float) else left
            raise errors.TextError(f"{operator} is for numbers only, not for a {_kind(odd)}")
        result = super().call_binop(context, operator, left, right)
        if numeric and abs(result) > _BIGGEST:
            raise errors.TextError(f"{operator} makes a number beyond {_BIGGEST:.0e}")
        return _bounded(result)


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "group of fields"
    return {"str": "text", "int": "number", "float": "number"}.get(type(value).__name__, type(value).__name__)


_ENVIRONMENT = _Sandbox()


class _Generator(compiler.CodeGenerator):
    """Notes, while it writes code, what the template looks up from outside."""

    stream: io.StringIO

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.names: set[str] = set()

    def enter_frame(self, frame: compiler.Frame) -> None:
        super().enter_frame(frame)
        self.names.update(str(name) for action, name in frame.symbols.loads.values() if action == "resolve")


# --- templates ----------------------------------------------------------------------------------------------


class Template:
    """A text with placeholders, compiled once.

    `names` are the values it looks up. Raises TextError as `name:line: what is wrong`.
    One line end at the end of the source is dropped (files have one); `\\r\\n` counts as `\\n`.
    """

    def __init__(self, source: str, *, name: str) -> None:
        self.name = name
        self.source = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
        if len(self.source) > LONGEST_SOURCE:
            raise errors.TextError(f"{name}:1: the text has more than {LONGEST_SOURCE} characters")
        try:
            tree = _ENVIRONMENT.parse(self.source)
            parts = list(tree.find_all(nodes.Node))
            for part in parts:
                if fault := _fault(part):
                    raise errors.TextError(f"{name}:{part.lineno or 1}: {fault}")
            self._members = frozenset(_constant_members(parts))
            _bound(parts)
            generator = _Generator(_ENVIRONMENT, None, None)
            generator.visit(tree)
            code = compile(generator.stream.getvalue(), _FILENAME, "exec")
            self.names = frozenset(generator.names)
            self._template = jinja2.Template.from_code(_ENVIRONMENT, code, {})
        except jinja2.TemplateSyntaxError as error:
            raise errors.TextError(f"{name}:{error.lineno}: {error.message}") from error
        except RecursionError:
            raise errors.TextError(f"{name}:1: the text is nested too deep") from None

    def members(self, of: str) -> frozenset[str]:
        """Which parts of one of `names` it looks up by a name of their own: `x` in `var.x` and `var['x']`."""
        return frozenset(member for name, member in self._members if name == of)

    def render(self, values: Mapping[str, object]) -> str:
        """The text with these values; raise TextError where one is missing or the result is too long."""
        try:
            return "".join(self._pieces(values))
        except Exception as error:
            fault = str(error) or type(error).__name__
            if isinstance(error, jinja2.UndefinedError) and fault.endswith("is undefined"):
                fault += f"; known here: {', '.join(sorted(values))}"
            raise errors.TextError(f"{self.name}:{self._line(error)}: {fault[:1000]}") from error

    def _pieces(self, values: Mapping[str, object]) -> Iterable[str]:
        size = 0
        for piece in self._template.root_render_func(self._template.new_context(dict(values))):
            size += len(piece)
            if size > LONGEST_RESULT:
                raise errors.TextError(f"the text comes to more than {LONGEST_RESULT} characters")
            yield piece

    def _line(self, error: BaseException) -> int:
        code = self._template.root_render_func.__code__
        for frame, line in traceback.walk_tb(error.__traceback__):
            if frame.f_code is code:
                return self._template.get_corresponding_lineno(line)
        return 1

    def __repr__(self) -> str:
        return f"Template(name={self.name!r})"


def _fault(node: nodes.Node) -> str:
    match node:
        case nodes.Filter() if node.name not in _FILTERS:
            return f"there is no filter {node.name!r}; there are {', '.join(sorted(_FILTERS))}"
        case nodes.Test() if node.name not in _TESTS:
            return f"there is no test {node.name!r}; there are {', '.join(sorted(filter(str.isalpha, _TESTS)))}"
        case nodes.For() if node.recursive or any(True for part in node.body for _ in _loops(part)):
            return "a loop within a loop is not available in texts"
        case nodes.Call() if not isinstance(node.node, nodes.Getattr):
            called = getattr(node.node, "name", "this")
            return f"{called}(...) is not available in texts"
        case nodes.Name() if node.name in ("self", "super"):
            return f"{node.name} is not available in texts"
        case nodes.Pow():
            return "** is not available in texts"
        case _ if isinstance(node, _NODES):
            return ""
        case _:
            return f"{_TAGS.get(type(node), type(node).__name__)} is not available in texts"


def _loops(node: nodes.Node) -> Iterable[nodes.For]:
    if isinstance(node, nodes.For):
        yield node
    yield from node.find_all(nodes.For)


def _constant_members(parts: Iterable[nodes.Node]) -> Iterable[tuple[str, str]]:
    methods = dict(_MEMBERS)[Mapping]
    for part in parts:
        match part:
            case nodes.Getattr(node=nodes.Name() as owner) if part.attr not in methods:
                yield owner.name, part.attr
            case nodes.Getitem(node=nodes.Name() as owner, arg=nodes.Const() as key):
                yield owner.name, str(key.value)


def _bound(parts: Iterable[nodes.Node]) -> None:
    """Put a limit around what could grow from one statement to the next."""
    for part in parts:
        match part:
            case nodes.Assign():
                part.node = _filtered(part.node, "_bounded")
            case nodes.For():
                part.iter = _filtered(part.iter, "_rounds")


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=_ENVIRONMENT)
