"""`make bench`: what agi-sms costs and how fast it is, each figure beside the least that anybody could do."""

import contextlib
import json
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console

from tests.bench import figures, load, machine, picture, sizes, table

RTP_PORTS = 4000  # where calls are held for long, as at rates that are too high, there are many at once
WIDE = 120  # columns, where there is no terminal that says how many
RESULTS = pathlib.Path(__file__).parent / "results"
Measure = Callable[[pathlib.Path, sizes.Sizes, load.Tell], list[figures.Figure]]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", default=",".join(figures.SECTIONS), show_default=True, help="Sections, commas between.")
@click.option("--quick", is_flag=True, help="Little of everything, once: to try it. No figures to publish.")
@click.option("--runs", type=click.IntRange(1, 99), help="How often each; the medians count. 5, with --quick 1.")
@click.option("--name", help="Of the JSON file and the picture; the time where it is left out.")
@click.option(
    "--results",
    type=click.Path(path_type=pathlib.Path, file_okay=False),
    default=RESULTS,
    help="The folder for the JSON file and the picture, tests/bench/results/ where it is left out.",
)
def main(only: str, runs: int | None, name: str | None, results: pathlib.Path, *, quick: bool) -> None:
    """Measure agi-sms and, in turn with it, the least that anybody could do; on this machine, with real calls by sipp.

    \b
    hold      how long calls are in the node, CPU for each call, calls lost; with a slow content API and provider
    http      messages a second over HTTP, sent, recorded, and reported back
    smpp      the same over SMPP
    memory    with 100,000 messages waiting
    history   the start, and looks into the history, with 1,000,000 messages in it

    All share this machine, the other sides too: compare agi-sms with the floor of the same run, not figures of two
    machines. Nothing else should run meanwhile. `ratio` is agi-sms by floor. Exit code 1: something that is required
    is not there.
    """
    chosen = [word.strip() for word in only.split(",") if word.strip()]
    if unknown := [word for word in chosen if word not in figures.SECTIONS]:
        raise click.BadParameter(f"{unknown[0]}: there are {', '.join(figures.SECTIONS)}", param_hint="--only")
    console = Console(soft_wrap=True)
    of = sizes.chosen(quick=quick, runs=runs)
    before, at, began = machine.load(), datetime.now(UTC), time.monotonic()
    facts: dict[str, Any] = {"at": at.isoformat(timespec="seconds"), "quick": quick, "runs": of.runs, **machine.facts()}
    facts["load_before"] = before
    facts["busy"] = machine.busy(before, machine.cores())
    found: list[figures.Figure] = []
    with tempfile.TemporaryDirectory(prefix="agi-sms-bench-") as directory:
        for section in figures.SECTIONS:
            if section in chosen:

                def tell(words: str, section: str = section) -> None:
                    console.print(f"{time.monotonic() - began:6.1f} s  {section:8}{words}", highlight=False)

                with _section(section, facts) as measure:
                    found += measure(pathlib.Path(directory) / section, of, tell)
    facts["seconds"] = round(time.monotonic() - began)
    wide = Console(width=None if console.is_terminal else WIDE)
    wide.print(table.tables(found, warning=_warning(facts)))
    for path in write(results, name or f"bench-{at:%Y-%m-%d-%H%M%S}", facts, found):
        console.print(f"written to {os.path.relpath(path)}", highlight=False)
    sys.exit(1 if any(one.met is False for one in found) else 0)


@contextlib.contextmanager
def _section(name: str, facts: dict[str, Any]) -> Iterator[Measure]:
    """How to measure it. Only `hold` needs Asterisk, and Docker with it."""
    from tests.bench import history, memory, over_http, over_smpp

    if name != "hold":
        yield {"http": over_http, "smpp": over_smpp, "memory": memory, "history": history}[name].measure
        return
    from rig.asterisk import Asterisk
    from tests.bench import hold

    with (
        tempfile.TemporaryDirectory(prefix="agi-sms-bench-") as directory,
        Asterisk(pathlib.Path(directory) / "asterisk", verbose=0, rtp_ports=RTP_PORTS) as asterisk,
    ):
        facts["versions"]["asterisk"] = (
            asterisk.cli("core show version").partition(" built")[0].removeprefix("Asterisk ")
        )
        yield lambda where, of, tell: hold.measure(asterisk, where, of, tell)


def _warning(facts: dict[str, Any]) -> str:
    said = []
    if facts["busy"]:
        said.append(f"others kept this machine busy (load {facts['load_before'][0]:.1f} before the run): no figures")
    if facts["quick"]:
        said.append("a quick run, to try it: no figures to publish")
    return "; ".join(said)


def write(
    folder: pathlib.Path, name: str, facts: dict[str, Any], found: Sequence[figures.Figure]
) -> tuple[pathlib.Path, pathlib.Path]:
    """The JSON file, and the picture."""
    folder.mkdir(exist_ok=True)
    data, drawing = folder / f"{name}.json", folder / f"{name}.svg"
    whole = facts | {"figures": [one.facts() for one in found]}
    data.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    versions = ", ".join(f"{what} {version}" for what, version in facts["versions"].items())
    notes = [f"{facts['at']}, {facts['machine']}, {facts['system']}; medians of the runs ({facts['runs']})", versions]
    title = f"agi-sms {facts['versions']['agi-sms']}: what it costs, and how fast it is"
    drawing.write_text(picture.svg(found, title=title, notes=notes, warning=_warning(facts)), "utf-8")
    return data, drawing


if __name__ == "__main__":
    main()
