"""In which layer each box of a flow stands, and in which order: so that few lines cross. Pure.

A part of `flow_layout`, which see.
"""

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

ROUNDS = 24
MOST_WORK = 1_500_000  # comparisons of lines; what is so dense that it needs more, nobody follows line by line


@dataclass(frozen=True, kw_only=True)
class Line:
    """An edge that wants to be drawn: boxes by number, the size of its label, and whether it leaves its box aside."""

    source: int
    target: int
    width: float = 0.0
    height: float = 0.0
    aside: bool = False


@dataclass(eq=False)
class Cell:
    """A box, or a line's place in one layer. `above` and `below` are its neighbours in the layers beside.

    `beside` is the box in the same layer at whose side it has to stand; `aside`: of a line that leaves its box aside.
    """

    layer: int
    width: float
    height: float
    box: bool
    above: "list[Cell]" = field(default_factory=list)
    below: "list[Cell]" = field(default_factory=list)
    beside: "Cell | None" = None
    aside: bool = False
    at: int = 0  # in its layer
    x: float = 0.0
    y: float = 0.0


Layers = list[list[Cell]]


def leading_back(count: int, lines: Sequence[Line]) -> frozenset[int]:
    """The lines that lead to a box on the way from the entry to their own."""
    outgoing: list[list[int]] = [[] for _ in range(count)]
    for at, line in enumerate(lines):
        outgoing[line.source].append(at)
    back: set[int] = set()
    done: set[int] = set()
    for start in range(count):
        way: list[tuple[int, Iterator[int]]] = [] if start in done else [(start, iter(outgoing[start]))]
        on_way = {start}
        while way:
            number, left = way[-1]
            at = next(left, -1)
            if at < 0:
                way.pop()
                on_way.discard(number)
                done.add(number)
                continue
            target = lines[at].target
            if target in on_way:
                back.add(at)
            elif target not in done:
                on_way.add(target)
                way.append((target, iter(outgoing[target])))
    return frozenset(back)


def ranks(count: int, lines: Sequence[Line]) -> list[int]:
    """The longest way from a box without predecessors to each."""
    waiting_for = [0] * count
    outgoing: list[list[int]] = [[] for _ in range(count)]
    for line in lines:
        waiting_for[line.target] += 1
        outgoing[line.source].append(line.target)
    ranks = [0] * count
    ready = [number for number in range(count) if not waiting_for[number]]
    for number in ready:
        for target in outgoing[number]:
            ranks[target] = max(ranks[target], ranks[number] + 1)
            waiting_for[target] -= 1
            if not waiting_for[target]:
                ready.append(target)
    return ranks


def number(layers: Layers) -> None:
    """Tell each cell its place."""
    for layer in layers:
        for at, one in enumerate(layer):
            one.at = at


def ordered(layers: Layers) -> Layers:
    """The layers with as few crossings as some rounds of looking up and down find; deterministic."""
    number(layers)
    for layer in layers:
        _attach(layer)
    best, fewest = [list(layer) for layer in layers], crossings(layers)
    rounds = _rounds(layers)
    for turn in range(rounds):
        downwards = turn % 2 == 0
        for layer in layers if downwards else reversed(layers):
            middles = {id(one): _middle(one.above if downwards else one.below, one.at) for one in layer}
            layer.sort(key=lambda one, middles=middles: (middles[id(one)], one.at))  # type: ignore[misc]
            _attach(layer)
        for _ in range(rounds):
            if not _swap(layers):
                break
        for layer in layers:
            _attach(layer)
        now = crossings(layers)
        if now < fewest:
            best, fewest = [list(layer) for layer in layers], now
    number(best)
    return best


def _rounds(layers: Layers) -> int:
    """How many rounds of so many exchanges can be afforded; at least one down and one up."""
    work = sum(
        1 + len(left.above) * len(right.above) + len(left.below) * len(right.below)
        for layer in layers
        for left, right in itertools.pairwise(layer)
    )
    return max(2, min(ROUNDS, math.isqrt(MOST_WORK // (2 * work or 1))))


def _attach(layer: list[Cell]) -> None:
    """Bring what has to stand beside a box there, to the side on which it is already; and number the layer."""
    for cell, box in [(one, one.beside) for one in layer if one.beside is not None]:
        right = layer.index(cell) > layer.index(box)
        layer.remove(cell)
        layer.insert(layer.index(box) + right, cell)
    for at, one in enumerate(layer):
        one.at = at


def _middle(near: Sequence[Cell], otherwise: float) -> float:
    return sum(one.at for one in near) / len(near) if near else float(otherwise)


def _swap(layers: Layers) -> bool:
    """Exchange neighbours whose lines cross less then; whether there were any."""
    changed = False
    for layer in layers:
        for at in range(len(layer) - 1):
            left, right = layer[at], layer[at + 1]
            if _between(left, right) > _between(right, left):
                layer[at], layer[at + 1] = right, left
                left.at, right.at = at + 1, at
                changed = True
    return changed


def _between(left: Cell, right: Cell) -> int:
    """How many lines of two cells cross, where they stand in this order."""
    found = 0
    for mine, others in ((left.above, right.above), (left.below, right.below)):
        if len(mine) == 1 == len(others):  # most are places of long lines
            found += mine[0].at > others[0].at
        else:
            found += sum(one.at > other.at for one in mine for other in others)
    return found


def crossings(layers: Layers) -> int:
    """How many lines cross."""
    found = 0
    for layer in layers:
        ends: list[int] = []  # of the lines to the left, in order
        for one in layer:
            below = [one.below[0].at] if len(one.below) == 1 else sorted(other.at for other in one.below)
            for other in below:
                found += len(ends) - bisect.bisect_right(ends, other)
            for other in below:
                bisect.insort(ends, other)
    return found
