"""In which layer and order the boxes of a flow stand: against the plain definitions, over any small graph."""

import itertools
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import flow_order
from agi_sms.flow_order import Cell, Layers, Line

PAIRS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20)


def made(sizes: Sequence[int], pairs: Sequence[tuple[int, int, int]]) -> Layers:
    """So many boxes in each layer; a pair names the upper layer, and boxes in it and the next."""
    layers = [[Cell(layer=at, width=1, height=1, box=True) for _ in range(size)] for at, size in enumerate(sizes)]
    for at, above, below in pairs:
        left, right = layers[at][above % sizes[at]], layers[at + 1][below % sizes[at + 1]]
        left.below.append(right)
        right.above.append(left)
    flow_order.number(layers)
    return layers


def crossing(layers: Layers) -> int:
    """How many lines cross, by the definition: each pair of lines between two layers."""
    found = 0
    for layer in layers:
        lines = [(one.at, other.at) for one in layer for other in one.below]
        found += sum((a < c and b > d) or (a > c and b < d) for (a, b), (c, d) in itertools.combinations(lines, 2))
    return found


@st.composite
def drawings(draw: st.DrawFn) -> Layers:
    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    places = st.tuples(st.integers(0, len(sizes) - 2), st.integers(0, 4), st.integers(0, 4))
    return made(sizes, draw(st.lists(places, max_size=14, unique=True)))


@settings(deadline=None)
@given(drawings())
def test_crossings_are_those_of_each_pair(layers: Layers) -> None:
    assert flow_order.crossings(layers) == crossing(layers)


@settings(deadline=None)
@given(drawings())
def test_no_more_lines_cross_than_before(layers: Layers) -> None:
    before, boxes = crossing(layers), [set(layer) for layer in layers]
    found = flow_order.ordered(layers)
    assert crossing(found) <= before
    assert [set(layer) for layer in found] == boxes
    assert [[one.at for one in layer] for layer in found] == [list(range(len(layer))) for layer in found]


@settings(deadline=None)
@given(st.permutations(range(6)), st.permutations(range(6)))
def test_lines_that_need_not_cross_do_not(above: list[int], below: list[int]) -> None:
    """Six lines side by side over three layers, their boxes shuffled."""
    lines = [(0, at, above[at]) for at in range(6)] + [(1, above[at], below[at]) for at in range(6)]
    assert crossing(flow_order.ordered(made((6, 6, 6), lines))) == 0


def test_a_fan_that_only_looking_up_and_looking_down_together_untangles() -> None:
    fan = [(0, 0, 1), (0, 1, 0), (0, 1, 2), (1, 0, 2), (1, 1, 1), (1, 2, 0), (1, 0, 3)]
    assert crossing(flow_order.ordered(made((2, 3, 4), fan))) == 0


def test_what_stands_beside_a_box_stays_there_on_its_side() -> None:
    for side in (0, 2):
        layers = made((3, 3), [(0, 0, 2), (0, 1, 1), (0, 2, 0)])
        layers[0][side].beside = layers[0][1]
        cell, box = layers[0][side], layers[0][1]
        found = flow_order.ordered(layers)[0]
        assert abs(found.index(cell) - found.index(box)) == 1


@given(PAIRS)
def test_ranks_are_the_longest_ways(pairs: list[tuple[int, int]]) -> None:
    lines = [Line(source=min(pair), target=max(pair)) for pair in pairs if pair[0] != pair[1]]
    longest = [0] * 8
    for at in range(8):
        longest[at] = max((longest[one.source] + 1 for one in lines if one.target == at), default=0)
    assert flow_order.ranks(8, lines) == longest


@given(PAIRS)
def test_without_the_lines_that_lead_back_nothing_goes_round(pairs: list[tuple[int, int]]) -> None:
    """And those are no more than need be: each closes a way from its target to its source."""
    lines = [Line(source=a, target=b) for a, b in pairs]
    back = flow_order.leading_back(8, lines)
    kept = [line for at, line in enumerate(lines) if at not in back]
    reach = {(one.source, one.target) for one in kept}
    for via, a, b in itertools.product(range(8), repeat=3):
        if (a, via) in reach and (via, b) in reach:
            reach.add((a, b))
    assert all((at, at) not in reach for at in range(8))
    assert all(lines[at].source == lines[at].target or (lines[at].target, lines[at].source) in reach for at in back)


def test_dense_drawings_get_fewer_rounds_and_two_at_least() -> None:
    full = [(0, a, b) for a in range(60) for b in range(60)]
    assert flow_order._rounds(made((2, 2), [])) == flow_order.ROUNDS
    work = 59 * (1 + 60 * 60) * 2  # each pair of neighbours in both layers
    assert flow_order._rounds(made((60, 60), full)) == max(2, int((flow_order.MOST_WORK // (2 * work)) ** 0.5))
    few = [(0, a, b) for a in range(12) for b in range(12)]
    work = 11 * (1 + 12 * 12) * 2
    assert flow_order._rounds(made((12, 12), few)) == int((flow_order.MOST_WORK // (2 * work)) ** 0.5)
    lots = [(0, a, b) for a in range(150) for b in range(150)]
    assert flow_order._rounds(made((150, 150), lots)) == 2
