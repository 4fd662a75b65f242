"""`make fuzz`: the tests by Hypothesis, with many times their examples, and a watch over what keeps the event loop."""

import sys
import time

import click
import pytest
from rich.console import Console
from rich.table import Table

from agi_sms import loop_lag
from tests.fuzz import plugin, suites


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--times", default=20.0, show_default=True, help="Examples, by those of `make test`.")
@click.option(
    "--edge", "edges", multiple=True, type=click.Choice(list(suites.EDGES)), help="Only this one; repeatable."
)
@click.argument("arguments", nargs=-1)
def main(times: float, edges: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    """Throw anything at every edge: no exception may escape, and nothing of ours may keep the event loop over 50 ms.

    ARGUMENTS go to pytest. Exit code 1: a test failed, or one place kept the loop for that long more than once (once,
    a busy machine keeps anybody).
    """
    console = Console(soft_wrap=True)
    chosen = {edge: files for edge, files in suites.EDGES.items() if not edges or edge in edges}
    files = list(dict.fromkeys(file for files in chosen.values() for file in files))
    watch = plugin.Plugin(times)
    began = time.monotonic()
    options = ["-q", "-p", "no:cacheprovider", "-o", "timeout=0", "-m", "not asterisk"]
    code = pytest.main([*options, *arguments, *files], plugins=[watch])
    console.print(_table(chosen, watch))
    blocks = watch.blocks.again()
    for place, seconds in sorted(blocks.items(), key=lambda one: -max(one[1])):
        told = f"{len(seconds)} times the event loop was kept, for {1000 * max(seconds):.0f} ms at most: {place}"
        console.print(told, style="bold red", markup=False, highlight=False)
    if not blocks:
        console.print(f"nothing of ours kept the event loop over {1000 * loop_lag.BLOCKED:.0f} ms more than once")
    console.print(f"{time.monotonic() - began:.0f} s", highlight=False)
    sys.exit(1 if code or blocks else 0)


def _table(chosen: dict[str, tuple[str, ...]], watch: plugin.Plugin) -> Table:
    table = Table(title="What was thrown at which edge")
    for heading in ("edge", "tests", "examples, at most", "failed"):
        table.add_column(heading, justify="left" if heading == "edge" else "right")
    for edge, files in chosen.items():
        counts = [watch.counts[file] for file in files if file in watch.counts]
        failed = sum(len(one.failed) for one in counts)
        figures = (sum(one.tests for one in counts), sum(one.examples for one in counts), failed)
        table.add_row(edge, *map(str, figures), style="bold red" if failed else None)
    return table


if __name__ == "__main__":
    main()
