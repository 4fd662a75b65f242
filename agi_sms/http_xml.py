"""XML, whoever sent it: parsed without DTD and entities, and searched by XPath 1.0. Pure.

Namespaces are left out of all names, so that `/Envelope/Body/status` finds what a SOAP service says. Whoever answers
chooses what an operator's path meets: a search takes at most http_body.MOST_STEPS.
"""

import math
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from xml.etree.ElementTree import Element, ElementTree, TreeBuilder

import defusedxml.common
import defusedxml.ElementTree

from agi_sms import http_body

_TEXT_PER_STEP = 256  # characters
_SCHEMA_INSTANCE = "{http://www.w3.org/2001/XMLSchema-instance}"  # xsi:type and the like say nothing to people
_DECLARED = re.compile(rb"\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z][A-Za-z0-9._-]{0,39})[\"']")
_LONGEST_DECLARATION = 500  # bytes
_STARTS = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_LISTS = frozenset({"/", "//", "|", "[", "*", "(name)", ".."})  # beside axes and tests like text()
_CODE = re.compile(r".*\[err:\w+\] ", re.DOTALL)


def declared_charset(body: bytes) -> str | None:
    """The charset of XML that has no byte order mark, None where it is UTF-8. Raises Unreadable."""
    if body[:2] in _STARTS:
        return _STARTS[body[:2]]
    declared = _DECLARED.match(body, 0, _LONGEST_DECLARATION)
    if declared is None:
        return None
    found = http_body.codec(declared[1].decode("ascii"))
    # Who can be read so far is no UTF-16; .NET's StringWriter claims it of what is then sent as UTF-8.
    return None if found.startswith(("utf-16", "utf-32")) else found


class _Element(Element):
    """Counts how much of it is read: XPath makes an element's value out of all that is in it."""

    steps: http_body.Steps

    def iter(self, tag: str | None = None) -> Iterator[Element]:  # type: ignore[override]
        for one in super().iter(tag):
            self.steps.spend(1 + len(one.text or "") // _TEXT_PER_STEP)
            yield one


class _Builder(TreeBuilder):
    """Without namespaces, comments and processing instructions; not too deep."""

    def __init__(self) -> None:
        super().__init__(element_factory=self._element)
        self._steps = http_body.Steps()
        self._depth = 0

    def _element(self, tag: Any, attrs: dict[Any, Any], /) -> Element:
        made = _Element(tag, attrs)
        made.steps = self._steps
        return made

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        if self._depth > http_body.DEEPEST:
            raise http_body.Unreadable(http_body.TOO_DEEP)
        names = sorted(attrs, key=lambda name: "{" not in name)  # where two become one, that without a prefix stays
        local = {_local(name): attrs[name] for name in names if not name.startswith(_SCHEMA_INSTANCE)}
        return super().start(_local(tag), local)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(_local(tag))


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def parse(text: str) -> Element:
    """The root element. Raises Unreadable."""
    parser = defusedxml.ElementTree.DefusedXMLParser(target=_Builder(), forbid_dtd=True)
    try:
        parser.feed(text)
        root: Element = parser.close()
    except defusedxml.common.DefusedXmlException:
        raise http_body.Unreadable("it has a DOCTYPE (a DTD, entities), which is refused") from None
    except (SyntaxError, ValueError) as error:
        raise http_body.Unreadable(f"not XML: {error}") from None
    return root


def whole_text(element: Element) -> str:
    """An element's text without the spaces around it."""
    return "".join(element.itertext()).strip()


Found = Element | str | bool | None  # numbers as their text


class XPath:
    """A compiled XPath 1.0. Raises ValueError for what is none, and for what could take for ever."""

    def __init__(self, source: str) -> None:
        if len(source) > http_body.LONGEST_PATH:
            raise ValueError(f"is longer than {http_body.LONGEST_PATH} characters")
        parser, self._context, broken = _library()
        try:
            self._path = parser().parse(source)
        except (broken, RecursionError) as error:
            why = _CODE.sub("", str(error)).splitlines() or ["it is nested too deep"]
            hint = "; names stand without their namespaces" if ":" in source else ""
            raise ValueError(f"is no XPath 1.0: {why[0]}{hint}") from error
        if fault := next(filter(None, map(_fault, _tokens(self._path))), ""):
            raise ValueError(f"is an XPath that {fault}")

    def find(self, root: Element) -> Found:
        """The first of what is there, in the document's order; None where nothing is. Raises Unreadable."""
        return next(self.all(root), None)

    def all(self, root: Element) -> Iterator[Found]:
        """All that is there, in the document's order. Raises Unreadable, also on the way."""
        try:
            for found in self._path.select_results(self._context(ElementTree(root))):
                if isinstance(found, ElementTree):
                    yield root
                elif isinstance(found, Element | bool):
                    yield found
                elif isinstance(found, tuple) or (isinstance(found, float) and not math.isfinite(found)):
                    yield None  # a namespace; no number
                else:
                    yield str(self._path.string_value(found)).strip()
        except http_body.Unreadable:
            raise
        except Exception as error:  # the library has more kinds than it tells of
            why = _CODE.sub("", str(error))[:200]
            raise http_body.Unreadable(f"the path cannot be applied to it: {why}") from None


def _fault(token: Any) -> str:
    if token.symbol == "$":
        return "has a variable ($); there are none"
    if token.symbol == "id":
        return "has the function id(), which is not available; write [@id='...']"
    if token.symbol in _COMPARISONS and all(_is_list(operand) for operand in token):
        return "compares two lists of elements; one of the two must be a text, a number, @name or ."
    return ""


def _tokens(token: Any) -> Iterator[Any]:
    yield token
    for part in token:
        yield from _tokens(part)


def _is_list(token: Any) -> bool:
    if token.symbol in {"(", "@"}:
        return _is_list(token[0]) if token.symbol == "(" else token[0].symbol == "*"
    return token.symbol in _LISTS or token.label in {"axis", "kind test"}


@cache
def _library() -> tuple[Any, Callable[[ElementTree], Any], type[Exception]]:
    """elementpath, a quarter of a second to import: its parser, its context with a count of steps, its errors."""
    import elementpath
    from elementpath import xpath1

    class Counting(elementpath.XPathContext):
        """Every way from a node to others costs as many steps as it looks at."""

        def __init__(self, tree: ElementTree) -> None:
            super().__init__(tree)
            root = tree.getroot()
            self.count = len(self.root.elements or ()) if self.root is not None else 0
            self.steps = root.steps if isinstance(root, _Element) else http_body.Steps()

    for name, cost in _COSTS.items():
        setattr(Counting, name, _counted(getattr(elementpath.XPathContext, name), cost))
    return xpath1.XPath1Parser, Counting, elementpath.ElementPathError


def _children(context: Any) -> int:
    return len(getattr(context.item, "children", None) or ())


def _siblings(context: Any) -> int:
    return len(getattr(getattr(context.item, "parent", None), "children", None) or ())


def _everything(context: Any) -> int:
    return int(context.count)


_COSTS: dict[str, Callable[[Any], int]] = {
    "iter_self": lambda _: 1,
    "iter_attributes": lambda _: 1,
    "iter_parent": lambda _: 1,
    "iter_children_or_self": _children,
    "iter_matching_nodes": _children,
    "iter_siblings": _siblings,
    "iter_descendants": lambda _: 1,
    "iter_ancestors": lambda _: http_body.DEEPEST,
    "iter_preceding": _everything,
    "iter_followings": _everything,
}


def _counted(plain: Callable[..., Iterator[Any]], cost: Callable[[Any], int]) -> Callable[..., Iterator[Any]]:
    def counted(context: Any, *args: Any, **named: Any) -> Iterator[Any]:
        context.steps.spend(1 + cost(context))
        for one in plain(context, *args, **named):
            context.steps.spend(1)
            yield one

    return counted
