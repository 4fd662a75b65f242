"""JSONPath into what companies answer and report: a path of names and numbers is followed without the library. Pure."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from agi_sms import http_body

_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(0|[1-9][0-9]{0,5})\]")
_PLAIN = re.compile(rf"\$(?:{_STEP.pattern})*")

Find = Callable[[Any], Iterable[object]]


def finder(source: str) -> Find:
    """What finds all that is at a path, in order; it raises http_body.Unreadable. Raises ValueError for no JSONPath."""
    path = http_body.JsonPath(source)
    if not _PLAIN.fullmatch(source):
        return path.find
    steps = [name if name else int(number) for name, number in _STEP.findall(source)]
    return lambda tree: _followed(tree, steps)


def plain(source: str) -> bool:
    """Whether a place is one name, or a path of names and numbers: found in no time worth speaking of."""
    return source[:1] not in {"$", "/"} or bool(_PLAIN.fullmatch(source))


def _followed(tree: Any, steps: list[str | int]) -> tuple[object, ...]:
    for step in steps:
        if isinstance(tree, dict):
            key = str(step)
            if key not in tree:
                return ()
            tree = tree[key]
        elif isinstance(tree, list) and isinstance(step, int) and step < len(tree):
            tree = tree[step]
        else:
            return ()
    return (tree,)
