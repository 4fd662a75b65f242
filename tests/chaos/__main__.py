"""`make chaos`: real calls, and everything that can go wrong, from a seed. Was anything lost, doubled, kept waiting?"""

import dataclasses
import json
import os
import pathlib
import platform
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console

import agi_sms
from tests.chaos import plan, run, table, verdict

RESULTS = pathlib.Path(__file__).parent / "results"
EXAMPLES = 5  # of each finding


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--calls", default=5000, show_default=True, help="How many.")
@click.option("--rate", default=50.0, show_default=True, help="Calls a second.")
@click.option("--seed", type=int, help="Of an earlier run, to have it again; a new one where it is left out.")
@click.option("--only", default=",".join(plan.DISASTERS), show_default=True, help="Disasters, commas between.")
@click.option("--pace", default=1.0, show_default=True, help="How long disasters last: 0.5 is half as long.")
@click.option("--allowance", default=1000.0, show_default=True, help="ms that a call may be held longer: busy machine.")
@click.option("--keep", type=click.Path(path_type=pathlib.Path), help="A folder for logs and lists, which stay there.")
@click.option("--save/--no-save", default=True, show_default=True, help="Whether to write tests/chaos/results/.")
def main(
    calls: int, rate: float, seed: int | None, only: str, pace: float, allowance: float, keep: pathlib.Path | None,
    *, save: bool,
) -> None:  # fmt: skip
    """Real calls by sipp through Asterisk and the gateway, while everything goes wrong.

    The gateway is killed every 1 to 3 s (where it needs longer to start, once it has served for a moment), but for
    every third one of the other disasters; Asterisk is restarted and killed, the connections to it are reset and fall
    silent, the disk fills up, another process holds the database, the provider fails in every way. Calls come in by
    Stasis, some by FastAGI and the event way. At the end four lists are compared: the calls of sipp, those of the
    dialplan (written down by itself, and the CDR), the history, the provider's own log.

    Asterisk killed takes with it what it had not written to the disk: that is counted, and excepted.

    A seed gives the same calls and the same disasters at the same times; what meets what is up to the machine. Exit
    code 1: something was found.
    """
    console = Console(soft_wrap=True)
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    try:
        todo = plan.make(seed=seed, calls=calls, rate=rate, only=[name for name in only.split(",") if name], pace=pace)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--only") from error
    again = f"--calls {calls} --rate {rate:g} --seed {seed} --pace {pace:g} --only {only}"
    console.print(f"seed {seed}: {todo.calls} calls, {len(todo.disasters)} disasters", highlight=False)
    began = time.monotonic()

    def tell(text: str) -> None:
        console.print(f"{time.monotonic() - began:6.1f} s  {text}", highlight=False)

    with tempfile.TemporaryDirectory(prefix="agi-sms-chaos-") as directory:
        where = (keep or pathlib.Path(directory)).resolve()
        where.mkdir(parents=True, exist_ok=True)
        result = run.once(where, todo, allowance_ms=allowance, tell=tell)
    console.print(table.table(result, allowance_ms=allowance))
    for what, of in verdict.summary(result.verdict.findings).items():
        console.print(f"{what}: {len(of)}", style="bold red", highlight=False, markup=False)
        for one in of[:EXAMPLES]:
            console.print(f"  {one}", highlight=False, markup=False)
    console.print(f'again: make chaos ARGS="{again}"', highlight=False)
    if save:
        console.print(f"written to tests/chaos/results/{_save(result, again, seed).name}", highlight=False)
    sys.exit(1 if result.verdict.findings else 0)


def _save(result: run.Result, again: str, seed: int) -> pathlib.Path:
    RESULTS.mkdir(exist_ok=True)
    at = datetime.now(UTC)
    judged = result.verdict
    facts: dict[str, Any] = {
        "at": at.isoformat(timespec="seconds"),
        "agi_sms": agi_sms.__version__,
        "again": again,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "seconds": round(result.seconds, 1),
        "serving_seconds": round(result.serving_seconds, 1),
        "kills": result.kills,
        "happened": [dataclasses.asdict(one) for one in result.happened],
        "counts": judged.counts,
        "held_ms": {
            name: {"p50": table.quantile(ms, 0.5), "p99": table.quantile(ms, 0.99), "most": table.quantile(ms, 1.0)}
            for name, ms in (("serving", judged.held), ("otherwise", judged.waited))
        },
        "findings": verdict.summary(judged.findings),
    }
    path = RESULTS / f"chaos-{at:%Y-%m-%d-%H%M%S}-{seed}.json"
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
