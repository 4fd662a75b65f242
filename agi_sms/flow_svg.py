"""A flow as an SVG picture: no scripts, no fonts or files from elsewhere, the same bytes for the same flow. Pure.

Everything that is written in it comes from a dialplan or a configuration, and is escaped.
"""

from dataclasses import dataclass
from xml.sax import saxutils

from agi_sms import flow_layout, flow_order, flow_words, harmless
from agi_sms.flow import Edge, Flow, Kind, State, Step

FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
TITLE, LINE, SMALL = 13.0, 11.0, 9.5  # sizes of letters, in pixels
LEADING = 1.35  # height of a line, in its letters' size
PAD_X, PAD_Y = 14.0, 9.0
MARGIN = 24.0
HEAD = 44.0  # height of the heading
SLANT = 12.0  # of a choice's sides
ICON = 22.0  # width of the letter in an SMS node
LEAST = 72.0  # width of a box

# How wide a letter is, in its size: those of DejaVu Sans, the widest of the fonts above, so that nothing runs over.
_NARROW, _WIDE, _CAPITAL, _OTHER, _HAN = 0.42, 0.98, 0.74, 0.63, 1.05
_NARROWS, _WIDES = frozenset("iljftrI.,:;'|!()[]{} \"`-/\\"), frozenset("mwMW@%—…×")


@dataclass(frozen=True, kw_only=True)
class _Look:
    """Colours: of the box, its border, its title, and whether the border is dashed."""

    fill: str = "#ffffff"
    border: str = "#8494a7"
    title: str = "#1f2a37"
    dashed: bool = False
    thick: float = 1.2


_LOOKS = {
    Kind.ENTRY: _Look(fill="#26384d", border="#26384d", title="#ffffff"),
    Kind.STEP: _Look(),
    Kind.MENU: _Look(fill="#f3effb", border="#7f62b3"),
    Kind.CHOICE: _Look(fill="#eef4fc", border="#5b82b8"),
    Kind.END: _Look(fill="#eceff3", border="#b6c0cc", title="#4a5868"),
    Kind.COMPUTED: _Look(fill="#fff9e8", border="#a37a12", dashed=True),
    Kind.MISSING: _Look(fill="#fdecea", border="#c62828", title="#a31515", thick=1.6),
    Kind.MORE: _Look(fill="#ffffff", border="#8494a7", title="#4a5868", dashed=True),
}
_NODES = {
    State.KNOWN: _Look(fill="#e7f5ed", border="#1e8a58", title="#0f5c39", thick=1.8),
    State.UNKNOWN: _Look(fill="#fdecea", border="#c62828", title="#a31515", thick=1.8),
    State.UNHEARD: _Look(fill="#fdecea", border="#c62828", title="#a31515", thick=1.8),
    State.COMPUTED: _Look(fill="#fff9e8", border="#a37a12", title="#6f520a", thick=1.8, dashed=True),
}
_INK, _GREY = "#3d4a59", "#7b8794"
_LINE, _BACK, _ASIDE = "#5d6b7a", "#8a5aa8", "#b06a12"
_ROUND = frozenset({Kind.ENTRY, Kind.END})


def svg(flow: Flow) -> str:
    """The picture, as text."""
    boxes = [_Box(step) for step in flow.steps]
    lines = [
        flow_order.Line(
            source=edge.source,
            target=edge.target,
            width=_width(edge.label, LINE) + 10 if edge.label else 0.0,
            height=LINE * LEADING if edge.label else 0.0,
            aside=edge.aside,
        )
        for edge in flow.edges
    ]
    placed = flow_layout.arrange([(box.width, box.height) for box in boxes], lines)
    heading, below = flow.title, flow_words.facts(flow)
    width = round(max(placed.width, _width(heading, 16.0), _width(below, LINE)) + 2 * MARGIN)
    height = round(placed.height + HEAD + 2 * MARGIN)
    left = (width - placed.width) / 2
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{_quoted(FONT)}">',
        f"<title>{_escaped(heading)}</title>",
        f"<desc>{_escaped(below)}</desc>",
        "<defs>",
        *(_arrow(name, colour) for name, colour in (("line", _LINE), ("back", _BACK), ("aside", _ASIDE))),
        "</defs>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(MARGIN, MARGIN + 14, heading, 16.0, "#1f2a37", bold=True),
        _text(MARGIN, MARGIN + 32, below, LINE, _GREY),
        f'<g transform="translate({_n(left)},{_n(MARGIN + HEAD)})">',
    ]
    parts += [_line(edge, route) for edge, route in zip(flow.edges, placed.routes, strict=True)]
    parts += [_label(edge, route) for edge, route in zip(flow.edges, placed.routes, strict=True) if edge.label]
    parts += [box.drawn(x, y) for box, (x, y) in zip(boxes, placed.boxes, strict=True)]
    return "\n".join([*parts, "</g>", "</svg>", ""])


class _Box:
    """One step's box: its size, and how it is drawn."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.look = _NODES[step.state or State.KNOWN] if step.kind is Kind.SMS else _LOOKS[step.kind]
        self.rows: list[tuple[str, float, str, bool]] = []  # text, size, colour, bold
        if step.before:
            self.rows.append((step.before, SMALL, _GREY, False))
        self.rows.append((step.title, TITLE, self.look.title, True))
        self.rows += [(line, LINE, _INK, False) for line in step.lines]
        self.icon = ICON if step.kind is Kind.SMS else 0.0
        widest = max(_width(text, size, bold=bold) + self.icon * bold for text, size, _, bold in self.rows)
        self.width = round(max(LEAST, widest + 2 * PAD_X + 2 * SLANT * (step.kind is Kind.CHOICE)))
        self.height = round(
            sum(size * LEADING for _, size, _, _ in self.rows) + 2 * PAD_Y * (0.8 if step.kind in _ROUND else 1)
        )

    def drawn(self, x: float, y: float) -> str:
        left, top = x - self.width / 2, y - self.height / 2
        pieces = [f'<g class="{self.step.kind}">', f"<title>{_escaped(self._tip())}</title>", self._shape(left, top)]
        text_height = sum(size * LEADING for _, size, _, _ in self.rows)
        row_y = y - text_height / 2
        for text, size, colour, bold in self.rows:
            row_y += size * LEADING
            middle = x + self.icon / 2 * bold
            pieces.append(_text(middle, row_y - size * 0.35, text, size, colour, bold=bold, anchor="middle"))
            if bold and self.icon:
                begin = middle - _width(text, size, bold=True) / 2 - self.icon
                pieces.append(_envelope(begin, row_y - size * 1.02, self.look.border))
        return "".join([*pieces, "</g>"])

    def _tip(self) -> str:
        where = f" ({self.step.source})" if self.step.source else ""
        return f"{self.step.place}{where}"

    def _shape(self, left: float, top: float) -> str:
        look = self.look
        paint = f'fill="{look.fill}" stroke="{look.border}" stroke-width="{look.thick:g}"'
        if look.dashed:
            paint += ' stroke-dasharray="5 3"'
        right, bottom, middle = left + self.width, top + self.height, top + self.height / 2
        if self.step.kind is Kind.CHOICE:
            corners = (
                (left + SLANT, top), (right - SLANT, top), (right, middle),
                (right - SLANT, bottom), (left + SLANT, bottom), (left, middle),
            )  # fmt: skip
            return f'<polygon points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in corners)}" {paint}/>'
        radius = self.height / 2 if self.step.kind in _ROUND else 6
        return (
            f'<rect x="{_n(left)}" y="{_n(top)}" width="{_n(self.width)}" height="{_n(self.height)}" '
            f'rx="{_n(min(radius, 18))}" {paint}/>'
        )


# --- pieces -------------------------------------------------------------------------------------------------------


def _line(edge: Edge, route: flow_layout.Route) -> str:
    name, colour = ("back", _BACK) if route.back else ("aside", _ASIDE) if edge.aside else ("line", _LINE)
    dashed = ' stroke-dasharray="5 4"' if edge.aside or not edge.sure else ""
    return (
        f'<path d="{route.path}" fill="none" stroke="{colour}" stroke-width="1.3"{dashed} marker-end="url(#{name})"/>'
    )


def _label(edge: Edge, route: flow_layout.Route) -> str:
    x, y = route.label
    width, height = _width(edge.label, LINE) + 6, LINE * LEADING
    colour = _BACK if route.back else _ASIDE if edge.aside else _INK
    return (
        f'<rect x="{_n(x - width / 2)}" y="{_n(y - height / 2)}" width="{_n(width)}" height="{_n(height)}" '
        f'fill="#ffffff"/>{_text(x, y + LINE * 0.36, edge.label, LINE, colour, anchor="middle")}'
    )


def _arrow(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0,1L10,5L0,9z" fill="{colour}"/></marker>'
    )


def _envelope(x: float, y: float, colour: str) -> str:
    return (
        f'<g transform="translate({_n(x)},{_n(y)})" fill="#ffffff" stroke="{colour}" stroke-width="1.3" '
        'stroke-linejoin="round"><rect width="15" height="11" rx="1.5"/>'
        '<path d="M0.8,1.2L7.5,6.4L14.2,1.2" fill="none"/></g>'
    )


def _text(x: float, y: float, text: str, size: float, colour: str, *, bold: bool = False, anchor: str = "") -> str:
    weight = ' font-weight="bold"' if bold else ""
    place = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size:g}" fill="{colour}"{weight}{place}>{_escaped(text)}</text>'


def _width(text: str, size: float, *, bold: bool = False) -> float:
    return sum(map(_letter, harmless.harmless(text))) * size * (1.13 if bold else 1.0)


def _letter(one: str) -> float:
    if one in _NARROWS:
        return _NARROW
    if one in _WIDES:
        return _WIDE
    if one >= "\u2e80":
        return _HAN
    return _CAPITAL if one.isupper() else _OTHER


def _escaped(text: str) -> str:
    return saxutils.escape(harmless.harmless(text))


def _quoted(text: str) -> str:
    return saxutils.escape(harmless.harmless(text), {'"': "&quot;"})


def _n(number: float) -> str:
    return f"{round(number, 1):g}"
