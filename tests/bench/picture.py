"""The figures as a picture (SVG 1.1): for each a bar beside that of its floor, and where the limit is."""

import math
import textwrap
from collections.abc import Sequence
from xml.sax import saxutils

from tests.bench import figures

WIDTH, MARGIN = 1000, 24
NAME, BARS, LONGEST, GOAL = 24, 400, 300, 830  # where columns begin, and the length of the longest bar
ROW, BAR, SECTION, LINE = 46, 13, 30, 18
LETTERS = 54  # of a name in one line
OURS, FLOOR, LIMIT, INK, DIM, GOOD, BAD = "#1f6feb", "#b8bfc8", "#d1242f", "#1f2328", "#59636e", "#1a7f37", "#d1242f"
FONT = 'font-family="Segoe UI, Helvetica, Arial, sans-serif"'


def svg(found: Sequence[figures.Figure], *, title: str, notes: Sequence[str], warning: str = "") -> str:
    """A picture of all figures, section by section; `notes` stand below, a warning above."""
    parts: list[str] = []
    y = MARGIN + 14
    parts.append(_text(NAME, y, title, size=20, weight="bold"))
    if warning:
        y += 22
        parts.append(_text(NAME, y, warning, size=13, colour=BAD, weight="bold"))
    y += 14
    parts += _legend(y)
    y += 26
    for section, what in figures.SECTIONS.items():
        own = [one for one in found if one.section == section]
        if not own:
            continue
        y += SECTION
        parts.append(_text(NAME, y, what.title, size=14, weight="bold"))
        parts.append(_text(NAME, y + LINE, f"Floor: {what.floor}", size=12, colour=DIM))
        y += 2 * LINE
        parts.append(f'<path d="M{NAME} {y - 10}H{WIDTH - MARGIN}" stroke="{FLOOR}"/>')
        for one in own:
            parts += _figure(one, y)
            y += ROW
    y += SECTION
    for note in notes:
        for line in textwrap.wrap(note, 150):
            parts.append(_text(NAME, y, line, size=12, colour=DIM))
            y += LINE
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" {FONT}>'
    back = f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>'
    return "\n".join([head, back, *parts, "</svg>", ""])


def _legend(y: float) -> list[str]:
    return [
        _bar(NAME, y, 24, OURS),
        _text(NAME + 32, y + 11, "agi-sms", size=12),
        _bar(NAME + 110, y, 24, FLOOR),
        _text(NAME + 142, y + 11, "its floor, measured in turn in the same run", size=12),
        _mark(NAME + 430, y - 2, BAR + 4),
        _text(NAME + 440, y + 11, "what is required", size=12),
    ]


def _figure(one: figures.Figure, y: float) -> list[str]:
    floor, limit = figures.median(one.floor), _limit(one)
    most = max((value for value in (one.value, floor, limit) if math.isfinite(value)), default=0.0)
    scale = LONGEST / most if most else 0.0
    parts = [
        _text(NAME, y + 15 + 14 * number, line, size=13)
        for number, line in enumerate(textwrap.wrap(one.name, LETTERS)[:2])
    ]
    if math.isfinite(limit) and scale:
        parts.append(_mark(BARS + limit * scale, y, 2 * BAR + 8))
    for value, colour, top in ((one.value, OURS, y + 3), (floor, FLOOR, y + 5 + BAR)):
        if not math.isnan(value):
            length = value * scale
            parts.append(_bar(BARS, top, max(length, 1), colour))
            parts.append(_text(BARS + length + 6, top + 11, figures.shown(value, one.unit), size=12, halo=True))
    if one.goal is not None:
        colour = GOOD if one.met else BAD
        judged = _judged(one)
        parts.append(_text(GOAL, y + 14, ("✓ " if one.met else "✗ ") + judged, size=13, colour=colour, weight="bold"))
        parts.append(_text(GOAL, y + 30, "required " + one.goal.words(one.unit), size=11, colour=DIM))
    elif not math.isnan(one.ratio):
        parts.append(_text(GOAL, y + 14, f"{figures.shown(one.ratio)} ×", size=13, colour=DIM))
    return parts


def _judged(one: figures.Figure) -> str:
    if one.goal is None or math.isnan(one.judged):
        return "not known"
    if one.goal.of == "ratio":
        return f"{figures.shown(one.judged)} ×"
    sign = "+" if one.goal.of == "difference" and one.judged >= 0 else ""
    return sign + figures.shown(one.judged, one.unit)


def _limit(one: figures.Figure) -> float:
    """What is required, in the figure's unit; NaN where nothing is."""
    if one.goal is None:
        return math.nan
    limit = one.goal.most if math.isfinite(one.goal.most) else one.goal.least
    match one.goal.of:
        case "ratio":
            return figures.median(one.floor) * limit
        case "difference":
            return figures.median(one.floor) + limit
        case _:
            return limit


def _bar(x: float, y: float, length: float, colour: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'


def _mark(x: float, y: float, height: float) -> str:
    return f'<path d="M{x:.1f} {y:g}v{height:g}" stroke="{LIMIT}" stroke-width="2"/>'


def _text(
    x: float, y: float, words: str, *, size: int, colour: str = INK, weight: str = "normal", halo: bool = False
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" fill="{colour}"'
    if halo:  # so that it can be read on a line
        style += ' stroke="#ffffff" stroke-width="4" paint-order="stroke"'
    return f'<text x="{x:.1f}" y="{y:g}" {style}>{saxutils.escape(words)}</text>'
