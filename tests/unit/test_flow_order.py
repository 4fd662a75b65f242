"""In which layer and order the boxes of a flow stand: against the plain definitions, over any small graph."""

import itertools
from collections.abc import Sequence

import pytest
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


@pytest.mark.parametrize(
    ("sizes", "lines", "order"),
    [
        (
            (5, 5, 5),
            "000 001 004 011 012 013 014 032 044 101 111 121",
            ["02413", "01432", "01234"],
        ),
        ((5, 4), "000 003 022 033 040 041 042", ["30124", "3021"]),
        ((2, 4, 2), "000 001 003 010 012 013 110 111 120 130 131", ["01", "1032", "10"]),
    ],
)
def test_the_order_that_is_found_is_the_first_of_the_best(sizes: Sequence[int], lines: str, order: list[str]) -> None:
    """Rounds downwards and upwards, each with exchanges: one kind alone ends with more crossings here, or others."""
    layers = made(sizes, [(int(one[0]), int(one[1]), int(one[2])) for one in lines.split()])
    names = {id(one): str(one.at) for layer in layers for one in layer}
    found = flow_order.ordered(layers)
    assert ["".join(names[id(one)] for one in layer) for layer in found] == order


@settings(deadline=None)
@given(drawings())
def test_crossings_of_two_boxes_are_those_of_each_pair_of_their_lines(layers: Layers) -> None:
    for left, right in (pair for layer in layers for pair in itertools.permutations(layer, 2)):
        ends = [*itertools.product(left.above, right.above), *itertools.product(left.below, right.below)]
        assert flow_order._between(left, right) == sum(one.at > other.at for one, other in ends)


@pytest.mark.parametrize(
    ("pairs", "order", "changed"),
    [
        ([(0, 0, 0), (0, 1, 1), (0, 2, 2)], [0, 1, 2], False),
        ([(0, 0, 1), (0, 1, 1), (0, 2, 1)], [0, 1, 2], False),  # to the same box, so there is nothing to be won
        ([(0, 0, 0), (0, 1, 2), (0, 2, 1)], [0, 2, 1], True),
        ([(0, 0, 2), (0, 1, 0), (0, 2, 1)], [1, 2, 0], True),
    ],
)
def test_neighbours_whose_lines_cross_are_exchanged(
    pairs: list[tuple[int, int, int]], order: list[int], changed: bool
) -> None:
    upper, lower = made((3, 3), pairs)
    before = list(upper)
    assert flow_order._swap([upper]) is changed
    assert [before.index(one) for one in upper] == order
    assert [one.at for one in upper] == [0, 1, 2]
    assert flow_order._swap([lower]) is False


@pytest.mark.parametrize(("near", "middle"), [([], 7.0), ([1], 1.0), ([0, 1, 5], 2.0)])
def test_a_box_wants_to_be_in_the_middle_of_its_neighbours_or_where_it_is(near: list[int], middle: float) -> None:
    (layer,) = made((6,), [])
    assert flow_order._middle([layer[at] for at in near], 7) == middle


@pytest.mark.parametrize(("cell", "box", "order"), [(3, 1, [0, 1, 3, 2]), (0, 2, [1, 0, 2, 3]), (1, 2, [0, 1, 2, 3])])
def test_what_stands_beside_a_box_is_brought_there(cell: int, box: int, order: list[int]) -> None:
    (layer,) = made((4,), [])
    before = list(layer)
    before[cell].beside = before[box]
    flow_order._attach(layer)
    assert [before.index(one) for one in layer] == order
    assert [one.at for one in layer] == [0, 1, 2, 3]


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


@pytest.mark.parametrize(
    ("pairs", "back"),
    [
        ([(0, 1), (1, 0)], {1}),
        ([(0, 2), (2, 1), (1, 2), (1, 1)], {2, 3}),
        ([(3, 0), (0, 3), (0, 1), (1, 3)], {0}),
    ],
)
def test_lines_lead_back_as_a_walk_from_the_entry_sees_it(pairs: list[tuple[int, int]], back: set[int]) -> None:
    assert flow_order.leading_back(4, [Line(source=a, target=b) for a, b in pairs]) == back


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
    work = 1999  # each pair of neighbours is looked at, also where there is no line
    assert flow_order._rounds(made((2000,), [])) == int((flow_order.MOST_WORK // (2 * work)) ** 0.5)
    lots = [(0, a, b) for a in range(150) for b in range(150)]
    assert flow_order._rounds(made((150, 150), lots)) == 2
