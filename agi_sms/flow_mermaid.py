"""A flow as Mermaid text, which GitHub, GitLab and many wikis draw. Pure.

Everything that is written in it comes from a dialplan or a configuration. What could mean something to Mermaid, to
Markdown or to the HTML that it makes, is an entity code: `#34;`.
"""

import re

from agi_sms import harmless
from agi_sms.flow import Edge, Flow, Kind, State, Step

_PLAIN = frozenset(" .,:/=()-?!'…·“”‹›×→✉")
_LIST = re.compile(r"(\d+)\.(?= |$)|-(?= |$)|-{2,}|={2,}")  # what Markdown makes of the beginning of a line
_SHAPES = {
    Kind.ENTRY: ("([", "])"),
    Kind.END: ("([", "])"),
    Kind.CHOICE: ("{{", "}}"),
    Kind.MENU: ("[/", "/]"),
}
_STYLES = {
    "entry": "fill:#26384d,stroke:#26384d,color:#fff",
    "step": "fill:#fff,stroke:#8494a7,color:#1f2a37",
    "menu": "fill:#f3effb,stroke:#7f62b3,color:#1f2a37",
    "choice": "fill:#eef4fc,stroke:#5b82b8,color:#1f2a37",
    "end": "fill:#eceff3,stroke:#b6c0cc,color:#4a5868",
    "computed": "fill:#fff9e8,stroke:#a37a12,color:#6f520a,stroke-dasharray:5 3",
    "missing": "fill:#fdecea,stroke:#c62828,color:#a31515,stroke-width:2px",
    "more": "fill:#fff,stroke:#8494a7,color:#4a5868,stroke-dasharray:5 3",
    "sms": "fill:#e7f5ed,stroke:#1e8a58,color:#0f5c39,stroke-width:2px",
    "unknown": "fill:#fdecea,stroke:#c62828,color:#a31515,stroke-width:2px",
    "unheard": "fill:#fdecea,stroke:#c62828,color:#a31515,stroke-width:2px",
}


def mermaid(flow: Flow) -> str:
    """The flowchart, as text."""
    lines = ["flowchart TD"]
    lines += [_step(at, step) for at, step in enumerate(flow.steps)]
    lines += [_edge(edge) for edge in flow.edges]
    lines += [f"  classDef box_{name} {_STYLES[name]}" for name in sorted({_class(step) for step in flow.steps})]
    return "\n".join([*lines, ""])


def _class(step: Step) -> str:
    if step.kind is Kind.SMS:
        return "sms" if step.state is State.KNOWN else str(step.state)
    return str(step.kind)


def _step(at: int, step: Step) -> str:
    begin, end = _SHAPES.get(step.kind, ("[", "]"))
    title = f"✉ {step.title}" if step.kind is Kind.SMS else step.title
    before = [f"({step.before})"] if step.before else []
    rows = (*before, title, *step.lines)
    words = "<br/>".join(_escaped(row, alone="".join(rows).count("_") == 1) for row in rows)
    place = f"  %% {_comment(step.place)}{f' {_comment(step.source)}' if step.source else ''}\n" if step.place else ""
    return f'{place}  n{at}{begin}"{words}"{end}:::box_{_class(step)}'


def _edge(edge: Edge) -> str:
    arrow = "-.->" if edge.aside or not edge.sure else "-->"
    label = f'|"{_escaped(edge.label, alone=edge.label.count("_") == 1)}"|' if edge.label else ""
    return f"  n{edge.source} {arrow}{label} n{edge.target}"


def _escaped(text: str, *, alone: bool) -> str:
    """A row; `alone`: there is one underscore in the box or label, which emphasises nothing."""
    plain = harmless.harmless(text)
    begins = _LIST.match(plain)
    end = begins.end() if begins else 0
    return "".join(
        one if one.isalnum() or (one in _PLAIN and at >= end) or (one == "_" and alone) else f"#{ord(one)};"
        for at, one in enumerate(plain)
    )


def _comment(text: str) -> str:
    """A comment ends at the line's end; what Mermaid would read in it as an instruction is left out."""
    return "".join(one for one in harmless.harmless(text) if one not in "%{}")
