"""What `agi-sms doctor` prints: a screen for people, JSON for machines."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from rich import console
from rich.text import Text

from agi_sms import harmless, plain, text
from agi_sms.doctor_finding import Finding, Severity

MARKS = {Severity.OK: "✓", Severity.UNKNOWN: "?", Severity.WARNING: "!", Severity.ERROR: "✗"}
PLAIN = {Severity.OK: "ok", Severity.UNKNOWN: "?", Severity.WARNING: "!", Severity.ERROR: "X"}
COLOURS = {
    Severity.OK: "green",
    Severity.UNKNOWN: "cyan",
    Severity.WARNING: "bold yellow",
    Severity.ERROR: "bold red",
}
_MARGIN = "  "
_NARROWEST = 20  # columns
_WORST = tuple(reversed(Severity))


def as_json(found: Iterable[Finding]) -> str:
    """A JSON array, one object a finding."""
    return plain.as_json([asdict(one) for one in found])


def screen(out: console.Console, found: Sequence[Finding]) -> None:
    """Grouped by area: what is wrong, the worst first, then in one line what is right."""
    marks = MARKS if _can_show(out, MARKS.values()) else PLAIN
    indent = max(map(len, marks.values())) + len(_MARGIN) + 1
    for area in dict.fromkeys(one.area for one in found):
        out.print(Text(area, style="bold"))
        for severity, what, mend in _lines([one for one in found if one.area == area]):
            mark = Text(f"{_MARGIN}{marks[severity]}".ljust(indent), style=COLOURS[severity])
            _print(out, mark, what)
            if mend:
                _print(out, Text.assemble(" " * indent, ("mend: ", "dim")), mend)
    out.print(closing(found))


def _print(out: console.Console, head: Text, said: str) -> None:
    """A line, or several below each other behind the same margin."""
    signs = out.encoding or "utf-8"
    line = harmless.harmless(said.replace("\n", " ")).encode(signs, "replace").decode(signs, "replace")
    room = max(out.width - head.cell_len, _NARROWEST)
    for row in textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False) or [""]:
        out.print(Text.assemble(head, row), soft_wrap=True)
        head = Text(" " * head.cell_len)


def _lines(found: Sequence[Finding]) -> Iterator[tuple[Severity, str, str]]:
    """One line a finding; those that are right share one."""
    for severity in _WORST:
        here = [one for one in found if one.severity is severity]
        if severity is Severity.OK:
            if here:
                yield severity, "; ".join(one.what for one in here), ""
        else:
            yield from ((severity, one.what, one.mend) for one in here)


def closing(found: Sequence[Finding]) -> Text:
    """How many of each."""
    counts = Counter(one.severity for one in found)
    words = {
        Severity.ERROR: text.counted(counts[Severity.ERROR], "error"),
        Severity.WARNING: text.counted(counts[Severity.WARNING], "warning"),
        Severity.UNKNOWN: f"{counts[Severity.UNKNOWN]} cannot be told",
        Severity.OK: f"{counts[Severity.OK]} right",
    }
    parts = [Text(words[one], style=COLOURS[one]) for one in _WORST if counts[one]]
    return Text(", ").join(parts)


def _can_show(out: console.Console, signs: Iterable[str]) -> bool:
    try:
        "".join(signs).encode(out.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
