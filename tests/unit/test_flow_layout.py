"""Where boxes and lines of small flows stand: what a person sees of each, to the pixel, and the rules behind it."""

import re
from collections.abc import Sequence

import pytest

from agi_sms import flow_layout
from agi_sms.flow_order import Cell, Line

DRAWINGS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    # boxes, lines (`a` leaves its box aside, `l` has a label), middles of the boxes in the size of the whole,
    # and each line's path, and the middle of its label
    "a box alone": (
        "80x30",
        "",
        "40,15 in 80x30",
        (),
    ),
    "a line with a label": (
        "80x30 60x40",
        "0-1l",
        "40,15 40,118 in 80x138",
        ("M40,30L40,98 40,59.5",),
    ),
    "two lines share their track": (
        "80x30 100x40 60x20",
        "0-1l 0-2l",
        "103,15 50,118 156,118 in 186x138",
        (
            "M103,30L103,35.5Q103,41 97.5,41L57,41Q50,41 50,48L50,98 50,59.5",
            "M103,30L103,35.5Q103,41 108.5,41L149,41Q156,41 156,48L156,108 156,59.5",
        ),
    ),
    "two lines enter one box": (
        "40x30 40x30 200x30",
        "0-2l 1-2",
        "67,15 133,15 100,113 in 200x128",
        (
            "M67,30L67,35.5Q67,41 72.5,41L78,41Q85,41 85,48L85,71Q85,78 92,78L93,78Q100,78 100,85L100,98 85,59.5",
            "M127,30L127,71Q127,78 120,78L107,78Q100,78 100,85L100,98 127,59.5",
        ),
    ),
    "a line to its own box": (
        "80x30",
        "0-0l",
        "40,15 in 152x30",
        ("M80,22L115,22Q122,22 122,15L122,15Q122,8 115,8L80,8 122,15 back",),
    ),
    "a line that leads up again": (
        "80x30 60x40 100x20",
        "0-1 1-2 2-0l",
        "50,15 50,103 50,201 in 142x211",
        (
            "M50,30L50,83 50,52",
            "M50,123L50,191 50,152.5",
            "M100,201L106,201Q112,201 112,195L112,22Q112,15 105,15L90,15 112,152.5 back",
        ),
    ),
    "two boxes that lead to each other": (
        "80x30 60x40",
        "0-1 1-0",
        "40,15 40,103 in 92x123",
        (
            "M40,30L40,83 40,52",
            "M70,103L85,103Q92,103 92,96L92,21Q92,15 86,15L80,15 92,15 back",
        ),
    ),
    "a line that leaves its box aside": (
        "80x30 100x40 60x20",
        "0-1 0-2al",
        "52.3,15 50,118 156,118 in 186x138",
        (
            "M50,30L50,98 50,59.5",
            "M66.3,30L66.3,35.5Q66.3,41 71.8,41L149,41Q156,41 156,48L156,108 156,59.5",
        ),
    ),
    "two ways that meet, and one past them": (
        "80x30 100x40 60x20 90x30",
        "0-1 0-2 1-3 2-3 0-3l",
        "134.7,15 50,118 156,118 134.7,213 in 228x228",
        (
            "M134.7,30L134.7,35.5Q134.7,41 129.2,41L57,41Q50,41 50,48L50,98 50,59.5",
            "M134.7,30L134.7,35.5Q134.7,41 140.2,41L149,41Q156,41 156,48L156,108 156,59.5",
            "M50,138L50,143.5Q50,149 55.5,149L127.7,149Q134.7,149 134.7,156L134.7,198 134.7,167",
            "M156,128L156,151.3Q156,156 151.3,156L151.3,156Q146.7,156 146.7,160.7"
            "L146.7,172Q146.7,178 140.7,178L140.7,178Q134.7,178 134.7,184L134.7,198 146.7,167",
            "M134.7,30L134.7,35.5Q134.7,41 140.2,41L191,41Q198,41 198,48L198,171Q198,178 191,178"
            "L141.7,178Q134.7,178 134.7,185L134.7,198 198,59.5",
        ),
    ),
    "lines past other boxes": (
        "80x30 60x20 60x20 60x20 60x20",
        "0-1 0-2 0-3 0-4 1-4 2-1a",
        "85.3,15 58.2,166 42,93 128,93 96.2,239 in 170x249",
        (
            "M85.3,30L85.3,35.5Q85.3,41 79.8,41L7,41Q0,41 0,48L0,129Q0,136 7,136L51.2,136Q58.2,136 58.2,143"
            "L58.2,156 0,52",
            "M85.3,30L85.3,35.5Q85.3,41 79.8,41L49,41Q42,41 42,48L42,83 42,52",
            "M85.3,30L85.3,35.5Q85.3,41 90.8,41L121,41Q128,41 128,48L128,83 128,52",
            "M85.3,30L85.3,35.5Q85.3,41 90.8,41L163,41Q170,41 170,48L170,202Q170,209 163,209"
            "L103.2,209Q96.2,209 96.2,216L96.2,229 170,52",
            "M58.2,176L58.2,181.5Q58.2,187 63.7,187L89.2,187Q96.2,187 96.2,194L96.2,229 96.2,198",
            "M56,103L56,112.9Q56,114 57.1,114L57.1,114Q58.2,114 58.2,115.1L58.2,156 58.2,125",
        ),
    ),
    "two bundles that cross": (
        "80x30 90x20 70x20 50x20 60x60 110x20 40x20",
        "0-1 0-2 0-3 1-4 2-5 3-6 1-6 2-6 3-4 3-5",
        "137.7,15 45,93 227,93 141,93 55,193 232,193 131,193 in 287x223",
        (
            "M137.7,30L137.7,35.5Q137.7,41 132.2,41L52,41Q45,41 45,48L45,83 45,52",
            "M137.7,30L137.7,35.5Q137.7,41 143.2,41L220,41Q227,41 227,48L227,83 227,52",
            "M141,30L141,83 141,52",
            "M45,103L45,116Q45,121 50,121L50,121Q55,121 55,126L55,163 55,132",
            "M232,103L232,183 232,132",
            "M141,103L141,109Q141,114 136,114L136,114Q131,114 131,119L131,183 131,132",
            "M45,103L45,114Q45,121 52,121L112,121Q119,121 119,128L119,137Q119,143 125,143"
            "L125,143Q131,143 131,149L131,183 119,132",
            "M227,103L227,114Q227,121 220,121L150,121Q143,121 143,128L143,137Q143,143 137,143"
            "L137,143Q131,143 131,149L131,183 143,132",
            "M141,103L141,108.5Q141,114 135.5,114L74,114Q67,114 67,121L67,137Q67,143 61,143"
            "L61,143Q55,143 55,149L55,163 67,132",
            "M141,103L141,108.5Q141,114 146.5,114L213,114Q220,114 220,121L220,137Q220,143 226,143"
            "L226,143Q232,143 232,149L232,183 220,132",
        ),
    ),
}


def lines_of(words: str) -> list[Line]:
    found: list[Line] = []
    for word in words.split():
        match = re.fullmatch(r"(\d)-(\d)(a?)(l?)", word)
        assert match
        wide, high = (60.0, 15.0) if match[4] else (0.0, 0.0)
        found.append(Line(source=int(match[1]), target=int(match[2]), width=wide, height=high, aside=bool(match[3])))
    return found


@pytest.mark.parametrize(("sizes", "words", "boxes", "routes"), DRAWINGS.values(), ids=DRAWINGS)
def test_small_flows(sizes: str, words: str, boxes: str, routes: Sequence[str]) -> None:
    pairs = [(float(width), float(height)) for width, height in (size.split("x") for size in sizes.split())]
    layout = flow_layout.arrange(pairs, lines_of(words))
    middles = " ".join(f"{x:g},{y:g}" for x, y in layout.boxes)
    assert f"{middles} in {layout.width:g}x{layout.height:g}" == boxes
    told = [f"{one.path} {one.label[0]:g},{one.label[1]:g}{' back' * one.back}" for one in layout.routes]
    assert told == list(routes)


@pytest.mark.parametrize(
    ("ways", "tracks"),
    [
        ([[(0, 40)], [(100, 140)]], [0, 0]),  # far from each other
        ([[(0, 40)], [(54, 90)]], [0, 0]),  # with the corners of both between them
        ([[(0, 40)], [(53, 90)]], [1, 0]),
        ([[(0, 100)], [(50, 150)]], [1, 0]),  # to the right: the one further right is the upper one
        ([[(100, 0)], [(150, 50)]], [0, 1]),  # to the left: the one further left
        ([[(0, 100)], [(150, 50)]], [0, 1]),
        ([[(0, 50), (100, 50)], [(20, 90)]], [0, 1]),  # both ways first
        ([[(0, 100)], [(50, 150)], [(120, 190)]], [2, 1, 0]),
    ],
)
def test_ways_that_would_run_over_each_other_have_tracks_of_their_own(
    ways: list[list[tuple[float, float]]], tracks: list[int]
) -> None:
    made = [flow_layout._Across(pieces=pieces) for pieces in ways]
    flow_layout._tracks(made)
    assert [one.track for one in made] == tracks


@pytest.mark.parametrize(
    ("pieces", "span", "direction"),
    [
        ([(10, 40)], (3, 47), 1),
        ([(40, 10)], (3, 47), -1),
        ([(10, 40), (20, 60)], (3, 67), 1),
        ([(10, 40), (60, 40)], (3, 67), 0),
    ],
)
def test_a_way_across(pieces: list[tuple[float, float]], span: tuple[float, float], direction: int) -> None:
    across = flow_layout._Across(pieces=pieces)
    assert (across.span, across.direction) == (span, direction)


@pytest.mark.parametrize(
    ("points", "path"),
    [
        ([(0, 0), (0, 50)], "M0,0L0,50"),
        ([(0, 0), (0, 0.05), (0, 50)], "M0,0L0,50"),
        ([(0, 0), (0, 0.2), (0, 50)], "M0,0L0,0.1Q0,0.2 0,0.3L0,50"),
        ([(0, 0), (0, 50), (60, 50)], "M0,0L0,43Q0,50 7,50L60,50"),
        ([(0, 0), (0, 8), (60, 8)], "M0,0L0,4Q0,8 4,8L60,8"),
        ([(0, 0), (0, 50), (-6, 50), (-6, 90)], "M0,0L0,47Q0,50 -3,50L-3,50Q-6,50 -6,53L-6,90"),
    ],
)
def test_corners_are_round_as_far_as_there_is_room(points: list[tuple[float, float]], path: str) -> None:
    assert flow_layout._rounded(points) == path


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ([10, 100], [10, 100]),
        ([100, 100], [82, 118]),  # 36 apart at least: each gives way by half
        ([118, 82], [82, 118]),
        ([0, 100, 100], [0, 82, 118]),
        ([50, 50, 50], [14, 50, 86]),
    ],
)
def test_boxes_stand_as_near_as_they_can_to_where_they_want_to(wanted: list[float], places: list[float]) -> None:
    layer = [Cell(layer=2, width=10, height=10, box=True) for _ in wanted]
    goals = [Cell(layer=0, width=10, height=10, box=True, x=x) for x in wanted]
    flow_layout._Row(layer).settle([[(1.0, goal)] for goal in goals])
    assert [one.x for one in layer] == pytest.approx(places)


def test_a_heavier_wish_moves_a_box_further_and_one_without_wishes_gives_way() -> None:
    layer = [Cell(layer=2, width=10, height=10, box=True, x=x) for x in (0.0, 20.0)]
    near, far = (Cell(layer=0, width=10, height=10, box=True, x=x) for x in (0.0, 100.0))
    row = flow_layout._Row(layer)
    row.settle([[(3.0, near), (1.0, far)], [(1.0, far)]])
    assert [one.x for one in layer] == pytest.approx([25, 100])
    row.settle([[(1.0, far)], []])
    assert [one.x for one in layer] == pytest.approx([(100 + 0.01 * 64) / 1.01, (100 + 0.01 * 64) / 1.01 + 36])


@pytest.mark.parametrize(
    ("left", "right", "apart"), [(True, True, 41.0), (True, False, 27.0), (False, True, 27.0), (False, False, 27.0)]
)
def test_lines_stand_closer_than_boxes(left: bool, right: bool, apart: float) -> None:
    one = Cell(layer=0, width=10, height=10, box=left)
    other = Cell(layer=0, width=20, height=10, box=right)
    assert flow_layout._distance(one, other) == apart


@pytest.mark.parametrize(
    ("upper", "lower", "others", "weight"),
    [
        (True, True, 0, 1.0),
        (True, False, 0, 9.0),  # the only one at both its ends
        (False, True, 0, 9.0),
        (True, False, 1, 2.0),
        (False, False, 1, 9.0),  # a long line
        (True, True, 1, 1.0),
    ],
)
def test_how_much_lines_want_to_be_straight(upper: bool, lower: bool, others: int, weight: float) -> None:
    above, below = Cell(layer=0, width=0, height=0, box=upper), Cell(layer=1, width=0, height=0, box=lower)
    above.below = [below, *(Cell(layer=1, width=0, height=0, box=True) for _ in range(others))]
    below.above = [above]
    assert flow_layout._weight(above, below) == flow_layout._weight(below, above) == weight


@pytest.mark.parametrize("which", [0, 1])
def test_what_leaves_its_box_aside_hardly_wants_to_be_straight(which: int) -> None:
    pair = [Cell(layer=at, width=0, height=0, box=True, aside=at == which) for at in (0, 1)]
    assert flow_layout._weight(*pair) == 0.2
