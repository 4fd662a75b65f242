"""Where the boxes of a flow stand, and how its lines run: layer by layer, from top to bottom. Pure.

The steps are those of Sugiyama, Tagawa and Toda (1981): what leads back is set aside, each box gets the layer behind
its last predecessor, long lines get a place of their own in every layer they pass, the order within layers is improved
until fewer lines cross (all that in `flow_order`), and then each box is moved towards those that it is connected to.
Lines run straight down, and straight across between two layers, each there on a track of its own: only those that leave
the same box, or enter the same one, share one. Between any two layers of boxes there is one for labels.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agi_sms import flow_order
from agi_sms.flow_order import Cell, Line

GAP = 26.0  # between two boxes beside each other, in pixels
THIN = 12.0  # beside a line
WIDE = 1e6  # as far as nothing stands
SPACE = 11.0  # between a layer and the first track below it, and the last and the next layer
TRACK = 7.0  # between two tracks
HEAD = 9.0  # more, for the arrows, above boxes
MOVES, LEAST_MOVES = 60, 8  # of straightening
MOST_MOVED = 150_000  # places, in all of them
CORNER = 7.0  # radius
ASIDE = 14.0  # from the middle of its box, for a line that leaves it aside


@dataclass(frozen=True, kw_only=True)
class Route:
    """A line as drawn: an SVG path from box to box, and the middle of its label. `back`: it leads up again."""

    path: str
    label: tuple[float, float]
    back: bool


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The middle of each box, the course of each line, and the size of the whole."""

    boxes: tuple[tuple[float, float], ...]
    routes: tuple[Route, ...]
    width: float
    height: float


@dataclass(eq=False)
class _Across:
    """The ways across between two layers that share a track: `pieces` are from where to where."""

    pieces: list[tuple[float, float]] = field(default_factory=list)
    track: int = 0

    @property
    def span(self) -> tuple[float, float]:
        ends = [x for piece in self.pieces for x in piece]
        return min(ends) - CORNER, max(ends) + CORNER

    @property
    def direction(self) -> int:
        """1 where all lead to the right, -1 to the left, 0 both."""
        ways = {1 if after > before else -1 for before, after in self.pieces}
        return ways.pop() if len(ways) == 1 else 0


def arrange(sizes: Sequence[tuple[float, float]], lines: Sequence[Line]) -> Layout:
    """Lay out boxes of these sizes (width, height); the first is where all begin. The same input, the same layout."""
    return _Arranging(sizes, lines).layout()


class _Arranging:
    """One layout on its way."""

    def __init__(self, sizes: Sequence[tuple[float, float]], lines: Sequence[Line]) -> None:
        self.lines = lines
        self.back = flow_order.leading_back(len(sizes), lines)
        rank = flow_order.ranks(len(sizes), [one for at, one in enumerate(lines) if at not in self.back])
        self.cells = [
            Cell(layer=2 * rank[at], width=width, height=height, box=True) for at, (width, height) in enumerate(sizes)
        ]
        self.chains = [self.chain(at, one) for at, one in enumerate(lines)]
        self.layers: list[list[Cell]] = [[] for _ in range(2 * max(rank, default=0) + 1)]

    def chain(self, at: int, line: Line) -> list[Cell]:
        """The places of a line, from the upper box to the lower one.

        One that leads back leaves and enters its boxes at their sides, so it has a place beside each of them too.
        """
        upper, lower = self.cells[line.source], self.cells[line.target]
        if at not in self.back:
            span, labelled = range(upper.layer + 1, lower.layer), upper.layer + 1
        else:
            upper, lower = lower, upper
            span, labelled = range(upper.layer, lower.layer + 1), max(lower.layer - 1, upper.layer)
        made = [Cell(layer=layer, width=0.0, height=0.0, box=False, aside=line.aside) for layer in span]
        label = made[labelled - span.start]
        label.width, label.height = line.width, line.height
        if at in self.back:
            made[0].beside, made[-1].beside = upper, lower
        for one, other in itertools.pairwise(made if at in self.back else [upper, *made, lower]):
            one.below.append(other)
            other.above.append(one)
        return made

    def layout(self) -> Layout:
        """All of it."""
        self.fill()
        self.layers = flow_order.ordered(self.layers)
        self.settle()
        self.align()
        self.straighten()
        left = min((one.x - one.width / 2 for layer in self.layers for one in layer), default=0.0)
        for layer in self.layers:
            for one in layer:
                one.x -= left
        gaps = self.across()
        self.heights(gaps)
        return Layout(
            boxes=tuple((round(one.x, 1), round(one.y, 1)) for one in self.cells),
            routes=tuple(self.route(at, gaps) for at in range(len(self.lines))),
            width=round(max((one.x + one.width / 2 for layer in self.layers for one in layer), default=0.0), 1),
            height=round(max((one.y + one.height / 2 for one in self.cells), default=0.0), 1),
        )

    def fill(self) -> None:
        """A first order within layers: as a walk from the entry meets boxes and lines."""
        outgoing: dict[int, list[int]] = {}
        for at, line in enumerate(self.lines):
            outgoing.setdefault(line.target if at in self.back else line.source, []).append(at)
        placed: set[int] = set()
        waiting = [*range(len(self.cells) - 1, -1, -1)]
        while waiting:
            number = waiting.pop()
            if number in placed:
                continue
            placed.add(number)
            self.layers[self.cells[number].layer].append(self.cells[number])
            for at in outgoing.get(number, []):
                for cell in self.chains[at]:
                    self.layers[cell.layer].append(cell)
            waiting += [self.lines[at].target for at in reversed(outgoing.get(number, [])) if at not in self.back]

    # --- from left to right ---

    def settle(self) -> None:
        """Move everything towards what it is connected to, as far as its neighbours let it."""
        for layer in self.layers:
            x = 0.0
            for at, one in enumerate(layer):
                x += _distance(layer[at - 1], one) if at else 0.0
                one.x = x
        rows = [_Row(layer) for layer in self.layers]
        moves = max(LEAST_MOVES, min(MOVES, MOST_MOVED // sum(map(len, self.layers))))
        for turn in range(moves):
            for row in rows if turn % 2 == 0 else reversed(rows):
                row.settle(row.both if turn >= moves - 4 else row.lower if turn % 2 else row.upper)

    def align(self) -> None:
        """Put a box right below the only one that leads to it, and only to it, where there is room."""
        leaving: dict[int, list[int]] = {}
        entering: dict[int, list[int]] = {}
        for at, line in enumerate(self.lines):
            if at not in self.back:
                leaving.setdefault(line.source, []).extend([at] * (not line.aside))
                entering.setdefault(line.target, []).append(at)
        for number in sorted(entering, key=lambda number: self.cells[number].layer):
            at, *others = entering[number]
            source = self.lines[at].source
            if others or leaving[source] != [at]:
                continue
            x = self.cells[source].x
            moved = [*self.chains[at], self.cells[number]]
            if all(low <= x <= high for low, high in map(self.room, moved)):
                for cell in moved:
                    cell.x = x

    def straighten(self) -> None:
        """Give long lines one x through as many layers as there is room for."""
        for at in sorted(range(len(self.chains)), key=lambda at: (-len(self.chains[at]), at)):
            chain, line = self.chains[at], self.lines[at]
            runs: list[tuple[float, float, list[Cell]]] = []
            for cell in chain:
                low, high = self.room(cell)
                if runs and max(low, runs[-1][0]) <= min(high, runs[-1][1]):
                    runs[-1][2].append(cell)
                    runs[-1] = (max(low, runs[-1][0]), min(high, runs[-1][1]), runs[-1][2])
                else:
                    runs.append((low, high, [cell]))
            x = chain[len(chain) // 2].x if at in self.back else self.cells[line.source].x
            for number, (low, high, cells) in enumerate(runs, start=1):
                if number == len(runs) and at not in self.back:
                    x = self.cells[line.target].x
                x = min(max(x, low), high)
                for cell in cells:
                    cell.x = x

    def room(self, cell: Cell) -> tuple[float, float]:
        """How far a cell can move without touching its neighbours."""
        layer = self.layers[cell.layer]
        low = layer[cell.at - 1].x + _distance(layer[cell.at - 1], cell) if cell.at else -WIDE
        high = layer[cell.at + 1].x - _distance(cell, layer[cell.at + 1]) if cell.at + 1 < len(layer) else WIDE
        return min(low, cell.x), max(high, cell.x)

    # --- from top to bottom ---

    def course(self, at: int) -> list[float]:
        """Where a line is in each layer, from the upper box's to the lower one's."""
        line, chain = self.lines[at], self.chains[at]
        inner = [cell.x for cell in chain]
        if at in self.back:
            return inner
        source, target = self.cells[line.source], self.cells[line.target]
        if line.aside:
            begin = source.x + (ASIDE if inner[0] > source.x else -ASIDE)
        else:
            begin = inner[0] if abs(inner[0] - source.x) < CORNER else source.x
        return [begin, *inner, inner[-1] if abs(inner[-1] - target.x) < CORNER else target.x]

    def top(self, at: int) -> int:
        """The layer in which a line's course begins."""
        line = self.lines[at]
        return self.cells[line.target if at in self.back else line.source].layer

    def pieces(self, at: int) -> Iterator[tuple[int, object, float, float]]:
        """The ways across of a line: below which layer, with whom the track is shared, from where to where."""
        line, course, top = self.lines[at], self.course(at), self.top(at)
        last = len(course) - 2
        for number, (before, after) in enumerate(itertools.pairwise(course)):
            shared: object = ("line", at)
            if at not in self.back and number == 0:
                shared = ("from", line.source, line.aside)
            elif at not in self.back and number == last:
                shared = ("to", line.target)
            yield top + number, shared, before, after

    def across(self) -> list[dict[object, _Across]]:
        """For each layer, the ways across below it, each with its track."""
        gaps: list[dict[object, _Across]] = [{} for _ in self.layers]
        for at in range(len(self.lines)):
            for gap, shared, before, after in self.pieces(at):
                if abs(before - after) >= 0.5:
                    gaps[gap].setdefault(shared, _Across()).pieces.append((before, after))
        for ways in gaps:
            _tracks(list(ways.values()))
        return gaps

    def heights(self, gaps: Sequence[dict[object, _Across]]) -> None:
        """Put the layers below each other, with room for the tracks between them."""
        self.first: list[float] = []  # track below each layer
        y = 0.0
        for number, layer in enumerate(self.layers):
            height = max((one.height for one in layer), default=0.0)
            for one in layer:
                one.y = y + height / 2
            y += height + SPACE
            self.first.append(y)
            y += TRACK * max((one.track for one in gaps[number].values()), default=0) + SPACE + HEAD * (number % 2)

    def route(self, at: int, gaps: Sequence[dict[object, _Across]]) -> Route:
        """One line, from box to box."""
        line, chain = self.lines[at], self.chains[at]
        source, target = self.cells[line.source], self.cells[line.target]
        labelled = next((cell for cell in chain if cell.height), chain[0])
        points: list[tuple[float, float]] = []
        for gap, shared, before, after in self.pieces(at):
            if abs(before - after) >= 0.5:
                y = self.first[gap] + TRACK * gaps[gap][shared].track
                points += [(before, y), (after, y)]
        if at not in self.back:
            course = self.course(at)
            points.insert(0, (course[0], source.y + source.height / 2))
            points.append((course[-1], target.y - target.height / 2))
        elif source is target:
            far, near = chain[0].x, source.x + _side(chain[0].x, source)
            points = [(near, source.y + CORNER), (far, source.y + CORNER), (far, source.y - CORNER)]
            points.append((near, source.y - CORNER))
        else:
            out, into = chain[-1].x, chain[0].x
            points = [(source.x + _side(out, source), source.y), (out, source.y), *reversed(points)]
            points += [(into, target.y), (target.x + _side(into, target), target.y)]
        label = (round(labelled.x, 1), round(labelled.y, 1))
        return Route(path=_rounded(points), label=label, back=at in self.back)


def _side(x: float, box: Cell) -> float:
    """From the middle of a box to its side that is nearer."""
    return box.width / 2 if x > box.x else -box.width / 2


def _tracks(ways: list[_Across]) -> None:
    """Give ways that would run over each other different tracks, those with the fewest crossings.

    Of two that lead to the right the one further right is the upper one; to the left, the one further left.
    """
    measured = [(one.direction, *one.span, one) for one in ways]
    measured.sort(key=lambda found: (found[0] != 0, found[0] < 0, -found[0] * found[1]))
    placed: list[tuple[float, float, int, int]] = []  # from where to where, direction, track
    for direction, low, high, one in measured:
        touching = [(way, track) for left, right, way, track in placed if left < high and low < right]
        taken = {track for _, track in touching}
        track = max((track for way, track in touching if way == direction), default=-1) + 1
        while track in taken:
            track += 1
        one.track = track
        placed.append((low, high, direction, track))


def _rounded(points: Sequence[tuple[float, float]]) -> str:
    """A path along points, with round corners."""
    corners = [point for at, point in enumerate(points) if at == 0 or _far(point, points[at - 1]) >= 0.1]
    pieces = [f"M{_n(corners[0][0])},{_n(corners[0][1])}"]
    for before, here, after in zip(corners, corners[1:], corners[2:], strict=False):
        radius = min(CORNER, _far(before, here) / 2, _far(here, after) / 2)
        (x0, y0), (x1, y1) = _towards(here, before, radius), _towards(here, after, radius)
        pieces.append(f"L{_n(x0)},{_n(y0)}Q{_n(here[0])},{_n(here[1])} {_n(x1)},{_n(y1)}")
    return "".join([*pieces, f"L{_n(corners[-1][0])},{_n(corners[-1][1])}"])


def _far(one: tuple[float, float], other: tuple[float, float]) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _towards(here: tuple[float, float], there: tuple[float, float], far: float) -> tuple[float, float]:
    share = far / _far(here, there)
    return here[0] + (there[0] - here[0]) * share, here[1] + (there[1] - here[1]) * share


def _n(number: float) -> str:
    return f"{round(number, 1):g}"


def _distance(left: Cell, right: Cell) -> float:
    gap = GAP if left.box and right.box else THIN
    return left.width / 2 + gap + right.width / 2


def _weight(one: Cell, other: Cell) -> float:
    """How much a line wants to be straight: most where it is a long one, or the only one at both its ends."""
    if one.aside or other.aside:
        return 0.2
    upper, lower = (one, other) if one.layer < other.layer else (other, one)
    alone = len(lower.above) == 1 and sum(not cell.aside for cell in upper.below) == 1
    return (1.0, 9.0 if alone else 2.0, 9.0)[(not one.box) + (not other.box)]


Wishes = list[list[tuple[float, Cell]]]  # of each cell of a layer: by what weight it wants to be at which other's x


class _Row:
    """A layer with what each of its cells wants, of those above, below or both; the order stays."""

    def __init__(self, layer: Sequence[Cell]) -> None:
        self.layer = layer
        steps = (_distance(*pair) for pair in itertools.pairwise(layer))
        self.offsets = list(itertools.accumulate(steps, initial=0.0))
        self.upper: Wishes = [[(_weight(one, other), other) for other in one.above] for one in layer]
        self.lower: Wishes = [[(_weight(one, other), other) for other in one.below] for one in layer]

    @functools.cached_property
    def both(self) -> Wishes:
        return [[*upper, *lower] for upper, lower in zip(self.upper, self.lower, strict=True)]

    def settle(self, wishes: Wishes) -> None:
        """Put each cell where its neighbours want it, as near as their order allows: a least squares fit.

        Rule: pool adjacent violators, for isotonic regression.
        """
        blocks: list[tuple[float, float, int]] = []  # where, weight, how many
        for one, offset, near in zip(self.layer, self.offsets, wishes, strict=False):
            if len(near) == 1:
                weight, wanted = near[0][0], near[0][1].x
            elif near:
                weight = sum(w for w, _ in near)
                wanted = sum(w * other.x for w, other in near) / weight
            else:
                weight, wanted = 0.01, one.x
            x, count = wanted - offset, 1
            while blocks and blocks[-1][0] > x:
                before, w, many = blocks.pop()
                x, weight, count = (before * w + x * weight) / (w + weight), w + weight, count + many
            blocks.append((x, weight, count))
        places = (x for x, _, count in blocks for _ in range(count))
        for one, place, offset in zip(self.layer, places, self.offsets, strict=False):
            one.x = place + offset
