"""A flow as Mermaid text and as an SVG picture, and where the boxes and lines of that stand."""

import itertools
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import dialplan, flow_draw, flow_layout, flow_mermaid, flow_order, flow_svg, flow_words
from agi_sms.flow import Edge, Flow, Kind, State, Step

DATA = Path(__file__).resolve().parents[1] / "data" / "dialplan"
COMPANY = dialplan.parse_show((DATA / "company.txt").read_text(encoding="utf-8"))
NAMES = ("company-info", "missed-call", "order-status", "on-call-alarm", "sms-gateway")
CARDS: Mapping[str, tuple[str, ...]] = {name: (f"what {name} is",) for name in NAMES}
SVG = "{http://www.w3.org/2000/svg}"
MARKED = """[ Context 'a' created by 'pbx_config' ]
  's' =>            1. Gosub(agi-sms,s,1(nobody))   [a.conf:1]
                    2. Goto(${X},1)                 [a.conf:2]
[ Context 'agi-sms' created by 'pbx_config' ]
  's' =>            1. Return()                     [b.conf:1]
"""

HOSTILE = [
    "</title><script>alert(1)</script>",
    '"]; click n0 "javascript:alert(1)"',
    '%%{init: {"securityLevel": "loose"}}%%',
    "`md` **b** [x](javascript:alert(1))",
    "&lt;b&gt; #quot; &#x3c;",
    "\x00\x1b[31m\u202eabc\r\nclick n0 x",
    "end",
    "1. list",
    "- list",
]


def hostile() -> Flow:
    kinds = list(Kind)
    steps = tuple(
        Step(
            kind=kinds[at % len(kinds)],
            title=bad,
            lines=(bad, bad),
            before=bad,
            place=bad,
            source=bad,
            state=State.KNOWN,
        )
        for at, bad in enumerate(HOSTILE)
    )
    edges = [Edge(source=at, target=(at + 1) % len(steps), label=bad) for at, bad in enumerate(HOSTILE)]
    return Flow(title=HOSTILE[0], steps=steps, edges=(*edges, Edge(source=2, target=2, label=HOSTILE[1])))


def test_mermaid_text() -> None:
    told = flow_mermaid.mermaid(flow_draw.draw(COMPANY, "announcement", cards=CARDS))
    assert told.splitlines()[:6] == [
        "flowchart TD",
        "  %% announcement",
        '  n0(["announcement"]):::box_entry',
        "  %% announcement,100,2 extensions_test.conf:10",
        '  n1["(Answer)<br/>Playback<br/>our-address"]:::box_step',
        "  %% announcement,100,3 extensions_test.conf:11",
    ]
    assert '  n2["✉ company-info<br/>what company-info is<br/>by Stasis"]:::box_sms' in told.splitlines()
    assert '  n3 -->|"not answered"| n4' in told.splitlines()


def test_what_is_unknown_or_computed_is_marked() -> None:
    flow = flow_draw.draw(dialplan.parse_show(MARKED), "a", cards={})
    told = flow_mermaid.mermaid(flow)
    assert re.search(r"^  n1.*\]:::box_unknown$", told, re.MULTILINE)
    assert re.search(r"^  n2.*\]:::box_computed$", told, re.MULTILINE)
    assert "#36;#123;X#125;" in told
    picture = flow_svg.svg(flow)
    assert 'stroke="#c62828"' in picture
    assert 'stroke-dasharray="5 3"' in picture


def test_what_the_gateway_does_not_hear_of_is_red() -> None:
    doors = dialplan.Doors(pbx="main", ari=False, nodes=CARDS)
    flow = flow_draw.draw(COMPANY, "announcement", cards=CARDS, doors=doors)
    assert re.search(r"^  n2.*pbx main has no ari.*:::box_unheard$", flow_mermaid.mermaid(flow), re.MULTILINE)
    picture = flow_svg.svg(flow)
    assert 'stroke="#c62828"' in picture
    assert "1 SMS node · 1 warning" in picture


def test_nothing_from_outside_means_anything_to_mermaid() -> None:
    told = flow_mermaid.mermaid(hostile())
    for line in told.splitlines():
        words = re.sub(r'^  n\d+(\(\[|\{\{|\[/|\[)"|"(\]\)|\}\}|/\]|\]):::box_[a-z]+$|\|"|"\|', "", line)
        words = words.replace("<br/>", "")
        if line.startswith("  n") and " -" not in line[:6]:
            assert not set(words) & set('"<>`{}[]\\&%*_'), line
        elif line.startswith("  %%"):
            assert not set(line[4:]) & set("%{}\r\n"), line
    assert "\x1b" not in told
    assert "\u202e" not in told


def test_nothing_from_outside_is_markup_in_the_picture() -> None:
    picture = flow_svg.svg(hostile())
    root = ET.fromstring(picture)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "defs", "marker", "path", "rect", "g", "text", "polygon"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not any(name.startswith("on") or name.endswith("href") for name in names)
    assert "://" not in picture.replace("http://www.w3.org/2000/svg", "")
    assert {element.text for element in root.iter(f"{SVG}text")} >= {HOSTILE[0], HOSTILE[3], HOSTILE[4]}


def boxes(root: ET.Element) -> Iterator[tuple[float, float, float, float]]:
    """Left, top, right and bottom of every box."""
    for group in root.iter(f"{SVG}g"):
        if "class" not in group.attrib:
            continue
        for shape in group:
            if shape.tag == f"{SVG}rect":
                x, y, width, height = (float(shape.attrib[name]) for name in ("x", "y", "width", "height"))
                yield x, y, x + width, y + height
            elif shape.tag == f"{SVG}polygon":
                points = [tuple(map(float, point.split(","))) for point in shape.attrib["points"].split()]
                xs, ys = zip(*points, strict=True)
                yield min(xs), min(ys), max(xs), max(ys)


@pytest.mark.parametrize("context", ["announcement", "from-trunk", "menu", "on-call"])
def test_boxes_do_not_touch_and_all_is_in_the_picture(context: str) -> None:
    flow = flow_draw.draw(COMPANY, context, cards=CARDS)
    root = ET.fromstring(flow_svg.svg(flow))
    found = list(boxes(root))
    assert len(found) == len(flow.steps)
    for at, (left, top, right, bottom) in enumerate(found):
        for other_left, other_top, other_right, other_bottom in found[:at]:
            assert right < other_left or other_right < left or bottom < other_top or other_bottom < top
    (group,) = [one for one in root if one.tag == f"{SVG}g"]
    match = re.fullmatch(r"translate\((.*),(.*)\)", group.attrib["transform"])
    assert match
    assert min(left for left, *_ in found) + float(match[1]) >= 0
    assert max(right for _, _, right, _ in found) + float(match[1]) <= float(root.attrib["width"])
    assert max(bottom for *_, bottom in found) + float(match[2]) <= float(root.attrib["height"])


def crossed(path: str, found: list[tuple[float, float, float, float]], own: set[int]) -> list[int]:
    """The boxes through which a line runs, and which are not its own; sampled along it."""
    points = [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)]
    through: list[int] = []
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        steps = max(1, int(abs(x1 - x0) + abs(y1 - y0)) // 4)
        for step in range(steps + 1):
            x, y = x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps
            for at, (left, top, right, bottom) in enumerate(found):
                if at not in own and left + 1 < x < right - 1 and top + 1 < y < bottom - 1:
                    through.append(at)
    return through


def test_lines_run_from_box_to_box_and_through_none() -> None:
    flow = flow_draw.draw(COMPANY, "from-trunk", cards=CARDS)
    root = ET.fromstring(flow_svg.svg(flow))
    found = list(boxes(root))
    paths = [one.attrib["d"] for one in root.iter(f"{SVG}path") if "marker-end" in one.attrib]
    assert len(paths) == len(flow.edges)
    for path, edge in zip(paths, flow.edges, strict=True):
        assert not crossed(path, found, {edge.source, edge.target}), path


@given(
    st.lists(st.tuples(st.integers(20, 300), st.integers(20, 120)), min_size=1, max_size=14),
    st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13), st.sampled_from([0, 60]), st.booleans()), max_size=30),
)
@settings(max_examples=150, deadline=None)
def test_any_graph_is_laid_out_without_boxes_over_each_other(
    sizes: list[tuple[float, float]], ends: list[tuple[int, int, int, bool]]
) -> None:
    count = len(sizes)
    lines = [
        flow_order.Line(source=a % count, target=b % count, width=wide, height=15 if wide else 0, aside=aside)
        for a, b, wide, aside in ends
    ]
    layout = flow_layout.arrange(sizes, lines)
    assert layout == flow_layout.arrange(sizes, lines)
    found = [
        (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        for (x, y), (width, height) in zip(layout.boxes, sizes, strict=True)
    ]
    for one, other in itertools.combinations(found, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    for left, top, right, bottom in found:
        assert left >= -0.1
        assert top >= -0.1
        assert right <= layout.width + 0.1
        assert bottom <= layout.height + 0.1
    for line, route in zip(lines, layout.routes, strict=True):
        assert not crossed(route.path, found, {line.source, line.target})


def test_the_same_flow_is_the_same_picture() -> None:
    again = dialplan.parse_show((DATA / "company.txt").read_text(encoding="utf-8"))
    first, second = (flow_draw.draw(one, "from-trunk", cards=CARDS) for one in (COMPANY, again))
    assert flow_svg.svg(first) == flow_svg.svg(second)
    assert flow_mermaid.mermaid(first) == flow_mermaid.mermaid(second)


def test_the_heading_counts() -> None:
    assert flow_words.facts(Flow(title="a", steps=(), edges=())) == "no SMS node"
    flow = flow_draw.draw(COMPANY, "from-trunk", cards=CARDS)
    assert flow_words.facts(flow) == "13 SMS nodes · 8 different · 3 warnings"


@pytest.mark.parametrize(("boxes", "more"), [(30, 0), (120, 1)])
def test_work_on_a_dense_flow_is_bounded(monkeypatch: pytest.MonkeyPatch, boxes: int, more: int) -> None:
    """As many comparisons as were meant, also where each box leads to many others far away."""
    lines = [flow_order.Line(source=max(0, at - 3), target=at) for at in range(1, boxes)]
    lines += [flow_order.Line(source=at, target=(at * 37 + 11) % boxes) for at in range(boxes * more)]
    compared = 0

    def between(left: flow_order.Cell, right: flow_order.Cell) -> int:
        nonlocal compared
        compared += 1 + len(left.above) * len(right.above) + len(left.below) * len(right.below)
        return before(left, right)

    before = flow_order._between
    monkeypatch.setattr(flow_order, "_between", between)
    flow_layout.arrange([(80.0, 30.0)] * boxes, lines)
    assert 0 < compared <= flow_order.MOST_WORK * 1.1
