"""Small templates for what goes to a provider: `{{ to|digits }}`, `{{ 2 if unicode else 0 }}`.

The same sandbox as for texts, but values, filters and `~` (which joins texts) only: no loops, no arithmetic, no
attributes except `secret.NAME`, so that none can run away. Each is compiled once, when the configuration is read.

Where a company is asked what became of messages, there are `ids` (its own) and `refs` (ours) of those that it is asked
about: a list where one stands alone in JSON, joined by commas elsewhere.

Beside what a message holds there are `receipt_url`, where receipts are to be sent (empty where none are taken), and
`sender_kind`: name, number, short_code, or empty where there is no sender. Filters: `digits` (nothing but 0-9),
`no_plus` (without the + in front), `utf16hex` (UTF-16BE in hexadecimal), `urlencode` (for a value within an address
within a value), and Jinja's default, int, lower, replace, trim and upper.
"""

import functools
import operator
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import jinja2
from jinja2 import nodes, sandbox

from agi_sms import errors, message, ports

NAMES = (
    "to",
    "sender",
    "sender_kind",
    "text",
    "ref",
    "node",
    "segments",
    "encoding",
    "unicode",
    "attempt",
    "receipt_url",
    "secret",
)
ASKED = ("ids", "refs")  # in a polling request, beside `secret`
LONGEST = 1 << 18  # characters that a filter takes or makes; the longest SMS has 39,015
LONGEST_SOURCE = 8192  # characters of a template
MOST_FILTERS = 3  # one upon the other
_FILTERS = ("default", "int", "lower", "trim", "upper")
_ALIKE = frozenset({"digits", "lower", "no_plus", "upper", "urlencode", "utf16hex"})  # without Jinja the same
_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Filter,
    nodes.Keyword,
    nodes.Const,
    nodes.CondExpr,
    nodes.Concat,
    nodes.Compare,
    nodes.Operand,
    nodes.Not,
    nodes.And,
    nodes.Or,
)
_ALONE = re.compile(r"\{\{[-+]?(.*?)[-+]?\}\}", re.DOTALL)
_SECRET = re.compile(r"\{\{\s*secret\.([A-Za-z][A-Za-z0-9_]*)\s*\}\}")
_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_NUMBER = re.compile(r"\+[0-9]{7,15}")

SAMPLE = ports.Submission(
    ref="sample",
    to="+48600100200",
    sender="ACME",
    text="Zażółć",
    encoding=message.Encoding.UCS2,
    segments=1,
    node="sample",
    attempt=1,
)


class Names(str):
    """Several names, joined by commas; `each` is a list of them."""

    each: list[str]

    def __new__(cls, each: list[str]) -> "Names":
        made = super().__new__(cls, ",".join(each))
        made.each = each
        return made


def _written(value: object) -> object:
    return ("true" if value else "false") if isinstance(value, bool) else value


def _some(value: object) -> str:
    """A filter's value as text, of a bearable length. Raises errors.TextError."""
    text = str(value)
    if len(text) > LONGEST:
        raise errors.TextError(f"a value is longer than {LONGEST} characters")
    return text


def _replaced(value: object, old: str, new: str) -> str:
    text = _some(value)
    if len(text) + text.count(str(old)) * len(str(new)) > LONGEST:
        raise errors.TextError(f"a value would be longer than {LONGEST} characters")
    return text.replace(str(old), str(new))


def _percent(value: object) -> object:
    if isinstance(value, jinja2.Undefined):
        return value  # so that it complains
    return urllib.parse.quote(str(_written(value)), safe="")


def _environment(finalize: Any) -> sandbox.ImmutableSandboxedEnvironment:
    made = sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False, finalize=finalize, keep_trailing_newline=True
    )
    made.filters = {name: made.filters[name] for name in _FILTERS}
    made.filters["replace"] = _replaced
    made.filters["digits"] = lambda value: "".join(c for c in _some(value) if c in "0123456789")
    made.filters["no_plus"] = lambda value: str(value).removeprefix("+")
    made.filters["utf16hex"] = lambda value: _some(value).encode("utf-16-be", "replace").hex().upper()
    made.filters["urlencode"] = lambda value: urllib.parse.quote(_some(value), safe="")
    made.globals.clear()
    return made


_PLAIN = _environment(_written)
_URL = _environment(_percent)


Values = Mapping[str, object]
_Piece = str | Callable[[Values], object]


def _pieces(tree: nodes.Template, environment: jinja2.Environment) -> list[_Piece] | None:
    """The parts of a template that is nothing but texts and values, as most are; these need no Jinja to be filled in.

    None for any other.
    """
    found: list[_Piece] = []
    for output in tree.body:
        for node in output.nodes if isinstance(output, nodes.Output) else [output]:
            piece = node.data if isinstance(node, nodes.TemplateData) else _lookup(node, environment)
            if piece is None:
                return None
            found.append(piece)
    return found


def _lookup(node: nodes.Node | None, environment: jinja2.Environment) -> Callable[[Values], object] | None:
    match node:
        case nodes.Name(name=name):
            return operator.itemgetter(name)
        case nodes.Getattr(attr=attr) if not attr.startswith("_"):  # only secret.NAME has a dot
            return lambda values: getattr(values["secret"], attr)
        case nodes.Filter(name=name, args=[], kwargs=[], dyn_args=None, dyn_kwargs=None) if name in _ALIKE:
            value, changed = _lookup(node.node, environment), environment.filters[name]
            return None if value is None else lambda values: changed(value(values))
    return None


class Template:
    """One compiled template. Raises errors.TextError that says what is allowed."""

    def __init__(self, source: str, *, in_url: bool = False) -> None:
        environment = _URL if in_url else _PLAIN
        if len(source) > LONGEST_SOURCE:
            raise errors.TextError(f"in {_short(source)}: is longer than {LONGEST_SOURCE} characters")
        try:
            tree = environment.parse(source)
            _check(tree)
            self._template = environment.from_string(source)
            alone = _ALONE.fullmatch(source.strip()) if _is_one_value(tree) else None
            self._value = None
            if alone is not None:
                self._value = environment.compile_expression(alone[1], undefined_to_none=False)
        except jinja2.TemplateError as error:
            raise errors.TextError(f"in {_short(source)}: {error.message}") from error
        except (RecursionError, MemoryError) as error:
            raise errors.TextError(f"in {_short(source)}: is nested too deeply") from error
        self.source = source
        self.secrets = frozenset(_secrets(tree))  # the names of secrets in it
        self.names = frozenset(node.name for node in tree.find_all(nodes.Name))
        self._pieces = _pieces(tree, environment)
        only = self._pieces[0] if alone is not None and self._pieces is not None else ""
        self._lookup = None if isinstance(only, str) else only
        self._written = _percent if in_url else _written

    def render(self, values: Mapping[str, object]) -> str:
        """The text. Raises errors.TextError."""
        if self._pieces is not None:
            try:
                return "".join(
                    [one if isinstance(one, str) else str(self._written(one(values))) for one in self._pieces]
                )
            except Exception:  # noqa: S110  # Jinja meets the same, and has words for it
                pass
        try:
            return self._template.render(values)
        except Exception as error:  # a filter may raise anything
            raise errors.TextError(f"in {_short(self.source)}: {error}") from error

    def value(self, values: Mapping[str, object]) -> object:
        """As `render`, but one lone `{{ }}` keeps its type: in JSON a number or a truth value stays one."""
        if self._value is None:
            return self.render(values)
        try:
            found = self._found(values)
            if isinstance(found, Names):
                return found.each
            return found if isinstance(found, str | int | float | None) else str(found)
        except Exception as error:
            raise errors.TextError(f"in {_short(self.source)}: {error}") from error

    def _found(self, values: Values) -> object:
        """What a lone `{{ }}` comes to. Raises anything."""
        if self._lookup is not None:
            try:
                return self._lookup(values)
            except Exception:  # noqa: S110
                pass
        return self._value(values) if self._value is not None else None


@functools.lru_cache(maxsize=2048)
def compiled(source: str, *, in_url: bool = False) -> Template:
    """A template, made once for all who ask for it. Raises errors.TextError."""
    return Template(source, in_url=in_url)


def filled(text: str, secret: Mapping[str, str]) -> str:
    """A text that is no template, but may hold `{{ secret.NAME }}`. Raises errors.TextError."""

    def one(found: re.Match[str]) -> str:
        if found[1] not in secret:
            raise errors.TextError(f"secret.{found[1]} is missing")
        return secret[found[1]]

    return _SECRET.sub(one, text)


def named(text: str) -> frozenset[str]:
    """The secrets that `filled` would fill in."""
    return frozenset(_SECRET.findall(text))


def sender_kind(sender: str) -> str:
    """What a sender is: `number` (+48...), `short_code`, `name`, or empty for none."""
    if not sender or _NUMBER.fullmatch(sender):
        return sender and "number"
    return "short_code" if _SHORT_CODE.fullmatch(sender) else "name"


def values(submission: ports.Submission, secret: Mapping[str, str], receipt_url: str = "") -> dict[str, object]:
    """What a template can name."""
    return {
        "to": _clean(submission.to),
        "sender": _clean(submission.sender),
        "sender_kind": sender_kind(submission.sender),
        "text": _clean(submission.text),
        "ref": _clean(submission.ref),
        "node": _clean(submission.node),
        "segments": submission.segments,
        "encoding": submission.encoding.value,
        "unicode": submission.encoding is message.Encoding.UCS2,
        "attempt": submission.attempt,
        "receipt_url": receipt_url,
        "secret": SimpleNamespace(**secret),
    }


def asked(ids: list[str], refs: list[str], secret: Mapping[str, str]) -> dict[str, object]:
    """What a template of a polling request can name."""
    return {"ids": Names(ids), "refs": Names(refs), "secret": SimpleNamespace(**secret)}


def _clean(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be sent to anybody


def _short(source: str) -> str:
    return repr(source if len(source) <= 60 else source[:59] + "…")


def _is_one_value(tree: nodes.Template) -> bool:
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return False
    inside = tree.body[0].nodes
    return len(inside) == 1 and not isinstance(inside[0], nodes.TemplateData)


def _secrets(tree: nodes.Template) -> Iterator[str]:
    for node in tree.find_all(nodes.Getattr):
        yield node.attr


def _check(node: nodes.Node, filters: int = 0) -> None:
    filters += isinstance(node, nodes.Filter)
    if filters > MOST_FILTERS:
        raise jinja2.TemplateSyntaxError(f"more than {MOST_FILTERS} filters, one upon the other", node.lineno)
    if isinstance(node, nodes.Getattr):
        if not (isinstance(node.node, nodes.Name) and node.node.name == "secret"):
            raise jinja2.TemplateSyntaxError("only secret.NAME has a dot", node.lineno)
        return
    if not isinstance(node, _ALLOWED):
        raise jinja2.TemplateSyntaxError(
            f"only values, filters and `A if B else C` are allowed here, no {type(node).__name__.lower()}",
            node.lineno,
        )
    if isinstance(node, nodes.Name) and node.name not in NAMES and node.name not in ASKED:
        known = ", ".join((*NAMES[:-1], "secret.NAME"))
        asked = ", ".join(ASKED)
        raise jinja2.TemplateSyntaxError(
            f"{node.name!r} is unknown; known are {known}; in polling: {asked}", node.lineno
        )
    if isinstance(node, nodes.Name) and node.name == "secret":
        raise jinja2.TemplateSyntaxError("write secret.NAME, with a name from `secret:`", node.lineno)
    for child in node.iter_child_nodes():
        _check(child, filters)
