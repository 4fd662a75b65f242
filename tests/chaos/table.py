"""The one table that a run prints."""

from collections import Counter

from rich.table import Table

from tests.chaos import run, verdict

GRAIN_MS = 50.0  # of Asterisk's own timers, by which every call that the watchdog frees is later than its time


def quantile(values: list[float], part: float) -> float:
    """Of no values: NaN."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)] if values else float("nan")


def table(result: run.Result, *, allowance_ms: float) -> Table:
    """Calls, visits and messages; what happened; how long calls were held; and what was found."""
    grid = Table(title="Nothing lost, nothing doubled, nobody kept waiting", title_justify="left")
    for heading in ("", "how many"):
        grid.add_column(heading, justify="left" if not heading else "right", overflow="fold")
    judged = result.verdict
    happened = Counter(one.name for one in result.happened)
    for name, count in sorted(happened.items()):
        grid.add_row(name if name != "kill" else "kill, of a gateway that ran", str(_met(result, name, count)))
    grid.add_section()
    for name, count in judged.counts.items():
        grid.add_row(name, str(count))
    grid.add_section()
    for name, values, limit in (
        ("held while the gateway served", judged.held, verdict.HOLD_BUDGET_MS),
        ("held otherwise", judged.waited, verdict.WATCHDOG_MS),
    ):
        shown = "/".join(f"{quantile(values, part):.0f}" for part in (0.5, 0.99, 1.0))
        grid.add_row(f"{name}: p50/p99/most, ms (limit {limit} + {allowance_ms:g} for a busy machine)", shown)
        grid.add_row(f"{name}: visits, and those over the limit by {GRAIN_MS:g} ms", _over(values, limit))
    grid.add_row("seconds that the gateway served, of", f"{result.serving_seconds:.0f}/{result.seconds:.0f}")
    grid.add_section()
    for what, of in verdict.summary(judged.findings).items():
        grid.add_row(f"FOUND: {what}", str(len(of)), style="bold red")
    if not judged.findings:
        grid.add_row("found wrong", "0", style="green")
    return grid


def _over(values: list[float], limit: float) -> str:
    return f"{len(values)}, {sum(value > limit + GRAIN_MS for value in values)}"


def _met(result: run.Result, name: str, count: int) -> int:
    return result.kills if name == "kill" else count
