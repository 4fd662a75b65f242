"""Where a jump in the dialplan leads: extensions by name or pattern, includes, labels. Pure.

Rules: pbx_find_extension and ext_cmp, main/pbx.c. What depends on the caller's number or on the time of day is not
decided: an extension comes with its variants for certain callers, and every include counts.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from agi_sms.dialplan_listing import Context, Dialplan, Extension, Priority

DIALLED = re.compile(r"[0-9*#A-D]+")  # what a caller can dial
_CLASSES = {"X": "0123456789", "Z": "123456789", "N": "23456789"}
_ANY, _ANY_OR_NONE, _END = 0x18000, 0x28000, 0x30000  # how little `.`, `!` and a pattern's end say; fewer is more
_LABEL = re.compile(r"[\w.-]+")
_RELATIVE = re.compile(r"[+-]\d+")
_LAST_BYTE = 0xFF


@dataclass(frozen=True, kw_only=True)
class Place:
    """A step of an extension. `context` is the channel's, `home` the one where the extension stands (an include's)."""

    context: str
    home: str
    at: int  # of the home's extensions
    number: int  # of the priority


@dataclass(frozen=True, kw_only=True)
class Found:
    """An extension that fits. `at` is its place among the extensions of the context where it stands."""

    home: str
    at: int
    extension: Extension


class Places:
    """Look-ups in one dialplan."""

    def __init__(self, plan: Dialplan) -> None:
        self.plan = plan
        self._steps: dict[tuple[str, int], dict[int, Priority]] = {}
        self._names: dict[str, dict[str, list[int]]] = {}
        self._patterns: dict[str, _Branch] = {}
        self._reach: dict[str, tuple[Context, ...]] = {}
        self._variants: dict[tuple[str, str], tuple[Found, ...]] = {}

    def extension(self, place: Place) -> Extension:
        """The extension of a place."""
        return self.plan.contexts[place.home].extensions[place.at]

    def priority(self, place: Place) -> Priority | None:
        """The step of a place; None where there is none."""
        key = (place.home, place.at)
        if key not in self._steps:
            self._steps[key] = {one.number: one for one in self.extension(place).priorities}
        return self._steps[key].get(place.number)

    def variants(self, context: str, exten: str) -> tuple[Found, ...]:
        """The extension that this name leads to, before it those of the same name for certain callers.

        Empty where there is none; `exten` may be the name of a pattern too.
        """
        key = (context, exten)
        if key not in self._variants:
            self._variants[key] = self._looked_up(context, exten)
        return self._variants[key]

    def _looked_up(self, context: str, exten: str) -> tuple[Found, ...]:
        for home in self.reach(context):
            names = self._named(home)
            fitting = [exten] if exten in names else self._patterns[home.name].fitting(exten)
            if fitting:
                same = names[min(fitting, key=lambda name: (_vagueness(name), names[name]))]
                found = (Found(home=home.name, at=at, extension=home.extensions[at]) for at in same)
                return tuple(sorted(found, key=lambda one: one.extension.caller is None))
        return ()

    def _named(self, home: Context) -> dict[str, list[int]]:
        """Where the extensions of each name stand in a context."""
        if home.name not in self._names:
            names = self._names[home.name] = dict[str, list[int]]()
            for at, one in enumerate(home.extensions):
                names.setdefault(one.name, []).append(at)
            patterns = self._patterns[home.name] = _Branch()
            for name in names:
                if name.startswith("_"):
                    patterns.grow(name)
        return self._names[home.name]

    def reach(self, context: str) -> tuple[Context, ...]:
        """A context, then those that it includes, in the order in which Asterisk looks."""
        if context not in self._reach:
            self._reach[context] = tuple(self._reached(context))
        return self._reach[context]

    def _reached(self, context: str) -> Iterator[Context]:
        seen: set[str] = set()
        waiting = [context]
        while waiting and len(seen) < len(self.plan.contexts):
            name = waiting.pop()
            here = self.plan.contexts.get(name)
            if here is None or name in seen:
                continue
            seen.add(name)
            yield here
            waiting += [one.context for one in reversed(here.includes) if one.context not in seen]

    def switched(self, context: str) -> str:
        """A switch that may know extensions which the listing does not show; empty where there is none."""
        return next((switch for home in self.reach(context) for switch in home.switches), "")

    def numbered(self, found: Found, context: str, label: str, *, now: int = 0) -> Place | None:
        """The place of a priority as a jump writes it: a number, `+1`, a label; None where there is none.

        `now` is the priority of the jump. A listing may not tell the label of an extension's first step, so that one
        is taken where no other has the label, and it could be one.
        """
        steps = found.extension.priorities
        if label.isdecimal() or _RELATIVE.fullmatch(label):
            number = int(label[:10]) + (now if label[0] in "+-" else 0)
            known = any(one.number == number for one in steps)
        else:
            named = [one.number for one in steps if one.label == label]
            if not named and _LABEL.fullmatch(label):
                named = [one.number for one in steps if one.label is None]
            known, number = bool(named), named[0] if named else 0
        return Place(context=context, home=found.home, at=found.at, number=number) if known else None


@functools.cache
def _tokens(pattern: str) -> tuple[frozenset[str] | int, ...]:
    """A pattern's characters: each a set of those that fit, or what `.` and `!` say. Hyphens are for the eye."""
    found: list[frozenset[str] | int] = []
    at, end = 1, len(pattern)
    while at < end:
        one, at = pattern[at], at + 1
        if one == "[" and (closing := pattern.find("]", at)) >= 0:
            found.append(_set(pattern[at:closing]))
            at = closing + 1
        elif one in ".!":
            found.append(_ANY if one == "." else _ANY_OR_NONE)
            break
        elif one != "-":
            found.append(frozenset(_CLASSES.get(one.upper(), one)))
    return tuple(found)


def _set(inside: str) -> frozenset[str]:
    """`1-3a` is 1, 2, 3 and a. A range ends where those of Asterisk do, at the last byte."""
    found: set[str] = set()
    for first, last, alone in re.findall(r"(.)-(.)|(.)", inside, re.DOTALL):
        found |= {alone} if alone else set(map(chr, range(ord(first), min(ord(last), _LAST_BYTE) + 1)))
    return frozenset(found)


class _Branch:
    """Patterns that begin alike: `names` end here, `further` are those that go on, by their next token."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.further: dict[frozenset[str] | int, _Branch] = {}

    def grow(self, pattern: str) -> None:
        """One more pattern."""
        branch = self
        for token in _tokens(pattern):
            branch = branch.further.setdefault(token, _Branch())
        branch.names.append(pattern)

    def fitting(self, exten: str) -> list[str]:
        """Those that fit what was dialled."""
        dialled = exten.replace("-", "")
        found: list[str] = []
        waiting = [(self, 0)]
        while waiting:
            branch, at = waiting.pop()
            found += branch.names if at == len(dialled) else ()
            for token, further in branch.further.items():
                if isinstance(token, int):
                    found += further.names if token == _ANY_OR_NONE or at < len(dialled) else ()
                elif at < len(dialled) and dialled[at] in token:
                    waiting.append((further, at + 1))
        return found


def fits(pattern: str, exten: str) -> bool:
    """Whether a pattern, `_X.`, fits what was dialled."""
    alone = _Branch()
    alone.grow(pattern)
    return bool(alone.fitting(exten))


@functools.cache
def _vagueness(pattern: str) -> tuple[tuple[int, int], ...]:
    """What comes first is tried first: fewer characters, a lower one, then `.`, `!` and the pattern's end.

    Rule: ext_cmp_pattern_pos and ext_cmp_pattern, main/pbx.c.
    """
    if not pattern.startswith("_"):
        return ()
    return (*(_weight(token) for token in _tokens(pattern)), (_END, 0))


def _weight(token: frozenset[str] | int) -> tuple[int, int]:
    """How little one place of a pattern says, and behind it which characters, of two that say as little."""
    if isinstance(token, int):
        return token, 0
    codes = [min(ord(char), 255) for char in token]
    return (len(codes) << 8 | min(codes), -sum(1 << 255 - code for code in codes)) if codes else (_END, 0)
