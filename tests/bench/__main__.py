"""`make bench`: how long a call is held in the node, and what it costs, beside the least that an application can do."""

import json
import os
import pathlib
import platform
import tempfile
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import agi_sms
from rig.asterisk import Asterisk
from tests.bench import hold

RESULTS = pathlib.Path(__file__).parent / "results"
SUBJECTS = {"gateway": "agi-sms", "variable": "floor", "only": "bare floor"}
REQUIRED = {200.0: 2.0, 400.0: 3.0}  # times the floor's p99
CPU = 2.5  # times the floor's


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rates", default="50,200,400", show_default=True, help="Calls a second, each in its turn.")
@click.option("--runs", default=5, show_default=True, help="How often each; the medians count.")
@click.option("--seconds", default=10.0, show_default=True, help="How long each load lasts.")
@click.option("--save/--no-save", default=True, show_default=True, help="Whether to write tests/bench/results/.")
def main(rates: str, runs: int, seconds: float, *, save: bool) -> None:
    """Measure agi-sms and two floors in turn, on one Asterisk, with real SIP calls.

    The floor is an aioari application that sets one variable on the channel and lets it go on, the bare floor one that
    only lets it go on. Times are from StasisStart to StasisEnd by Asterisk's clock, CPU is that of the application for
    one call, and `x` says how many times the floor's.

    All share this machine, sipp and Asterisk too: compare agi-sms with the floor of the same run, and no figures of
    two machines. Nothing else should run meanwhile.
    """
    console = Console()
    wanted = [float(rate) for rate in rates.split(",")]
    found: list[hold.Run] = []
    with tempfile.TemporaryDirectory(prefix="agi-sms-bench-") as directory:
        where = pathlib.Path(directory)
        with Asterisk(where / "asterisk", verbose=0) as asterisk:
            count = len(wanted) * runs * len(SUBJECTS)
            for run in hold.alternate(asterisk, where / "runs", rates=wanted, runs=runs, seconds=seconds):
                found.append(run)
                name = SUBJECTS[run.subject]
                told = f"p50 {run.p50:.1f} ms, p99 {run.p99:.1f} ms, CPU {run.cpu_ms:.2f} ms a call, {run.lost} lost"
                console.print(f"{len(found):3}/{count}  {run.rate:g}/s  {name}: {told}", highlight=False)
            version = asterisk.cli("core show version").partition(" built")[0]
    medians = hold.medians(found)
    console.print(_table(medians, wanted))
    if save:
        path = _save(medians, found, version)
        console.print(f"written to tests/bench/results/{path.name}")


def _table(medians: dict[tuple[str, float], dict[str, float]], rates: list[float]) -> Table:
    table = Table(title="Time in the node, medians of the runs")
    for heading in ("calls/s", "", "p50 ms", "p99 ms", "CPU ms", "lost", "p99 x", "CPU x"):
        table.add_column(heading, justify="left" if not heading else "right")
    for rate in rates:
        floor = medians["variable", rate]
        for subject, name in SUBJECTS.items():
            facts = medians[subject, rate]
            ratios = [facts[key] / floor[key] if floor[key] else float("nan") for key in ("p99", "cpu_ms")]
            shown = [f"{ratio:.1f}" for ratio in ratios] if subject == "gateway" else ["", ""]
            if subject == "gateway" and rate in REQUIRED:
                shown[0] += f" (goal {REQUIRED[rate]:g})"
                shown[1] += f" (goal {CPU:g})"
            figures = [f"{facts['p50']:.1f}", f"{facts['p99']:.1f}", f"{facts['cpu_ms']:.2f}", f"{facts['lost']:g}"]
            table.add_row(f"{rate:g}", name, *figures, *shown, end_section=subject == "only")
    return table


def _save(medians: dict[tuple[str, float], dict[str, float]], found: list[hold.Run], version: str) -> pathlib.Path:
    RESULTS.mkdir(exist_ok=True)
    at = datetime.now(UTC)
    facts: dict[str, Any] = {
        "at": at.isoformat(timespec="seconds"),
        "agi_sms": agi_sms.__version__,
        "asterisk": version,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "medians": [{"subject": subject, "rate": rate, **of} for (subject, rate), of in medians.items()],
        "runs": [run.facts() for run in found],
    }
    path = RESULTS / f"hold-{at:%Y-%m-%d-%H%M}.json"
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
