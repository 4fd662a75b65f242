"""What a run prints: a table for each section."""

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tests.bench import figures

HEADINGS = ("", "agi-sms", "floor", "ratio", "bare", "required")
MET = {True: "green", False: "bold red", None: ""}
MARK = {True: "✓ ", False: "✗ ", None: ""}


def tables(found: Sequence[figures.Figure], *, warning: str = "") -> Group:
    """Each figure with its floor, the ratio of the two, what is beside it for the record, and what is required."""
    sections = [(what, [one for one in found if one.section == name]) for name, what in figures.SECTIONS.items()]
    parts = [_table(what, own) for what, own in sections if own]
    return Group(*parts, *([Text(warning, style="bold red")] if warning else []))


def _table(what: figures.Section, found: Sequence[figures.Figure]) -> Table:
    said = f"Floor: {what.floor}" + (f"; bare: {what.bare}" if what.bare else "")
    grid = Table(
        title=what.title, title_justify="left", title_style="bold", caption=said, caption_justify="left",
        box=box.SIMPLE_HEAD, pad_edge=False, expand=True,
    )  # fmt: skip
    for heading in HEADINGS:
        plain = heading in ("", "required")
        grid.add_column(heading, justify="left" if plain else "right", ratio=1 if not heading else None)
    for one in found:
        grid.add_row(*_row(one))
    return grid


def _row(one: figures.Figure) -> tuple[Text, ...]:
    goal = "" if one.goal is None else MARK[one.met] + one.goal.words(one.unit)
    ratio = figures.shown(one.ratio)
    return (
        Text(one.name),
        Text(figures.shown(one.value, one.unit), style="bold"),
        Text(figures.shown(figures.median(one.floor), one.unit)),
        Text(f"{ratio} ×" if ratio else ""),
        Text(figures.shown(figures.median(one.bare), one.unit), style="dim"),
        Text(goal, style=MET[one.met]),
    )
