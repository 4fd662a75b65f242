"""`make soak`: many calls for long, and what the gateway has meanwhile. Do memory and open files stay what they are?"""

import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import agi_sms
from rig import ports
from rig.asterisk import Asterisk
from tests.acceptance import gateway as gateways
from tests.chaos import calls, plan, stand_in
from tests.soak import flat

RESULTS = pathlib.Path(__file__).parent / "results"
EVERY = 10.0  # seconds between samples
PORTION = 60.0  # seconds of calls that one sipp places
SETTLE = 120.0  # seconds for the last messages
SHOWN = {"memory": ("memory, MB", 1 << 20), "files": ("open files", 1), "threads": ("threads", 1)}
SHOWN |= {"wal": ("write-ahead log, MB", 1 << 20)}


@dataclasses.dataclass(kw_only=True)
class Counts:
    """Calls that were placed, those that the dialplan answered after the node, and what came of their messages."""

    placed: int = 0
    went_on: int = 0
    messages: dict[str, int] = dataclasses.field(default_factory=dict)
    missed: int = 0

    @property
    def whole(self) -> bool:
        """Whether each call went on, and each has its message, sent."""
        return self.placed == self.went_on == self.messages.get("accepted", 0) == sum(self.messages.values())


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", default=30.0, show_default=True, help="How long.")
@click.option("--rate", default=50.0, show_default=True, help="Calls a second.")
@click.option("--keep", type=click.Path(path_type=pathlib.Path), help="A folder for logs, which stay there.")
@click.option("--save/--no-save", default=True, show_default=True, help="Whether to write tests/soak/results/.")
def main(minutes: float, rate: float, keep: pathlib.Path | None, *, save: bool) -> None:
    """Real calls by sipp through Asterisk and the gateway, which sends an SMS for each over HTTP.

    Eight in ten come by Stasis, the others by FastAGI and the event way. Every ten seconds memory, open files, threads
    and the database's log are looked at. The first third is warm-up; over the rest each may grow by the bound that
    the table names, by the median slope of all samples. Exit code 1: something grows, or a call or message is missing.
    """
    console = Console(soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="agi-sms-soak-") as directory:
        where = (keep or pathlib.Path(directory)).resolve()
        where.mkdir(parents=True, exist_ok=True)
        samples, counts, seconds = soak(where, minutes, rate, console)
    judged = flat.judge(samples)
    console.print(_table(judged))
    counted = ", ".join(f"{count} {status}" for status, count in sorted(counts.messages.items()))
    console.print(
        f"{counts.placed} calls in {seconds:.0f} s ({counts.placed / seconds:.1f} a second), {counts.went_on} went on, "
        f"{counts.missed} written down by the dialplan; messages: {counted}",
        highlight=False,
    )
    good = counts.whole and all(one.flat for one in judged)
    if save:
        console.print(f"written to tests/soak/results/{_save(samples, judged, counts, rate, seconds, good).name}")
    console.print("flat" if good else "NOT flat, or something is missing", style="bold green" if good else "bold red")
    sys.exit(0 if good else 1)


def soak(
    directory: pathlib.Path, minutes: float, rate: float, console: Console
) -> tuple[list[flat.Sample], Counts, float]:
    """The samples, the counts, and how long calls were placed."""
    with contextlib.ExitStack() as stack:
        asterisk = stack.enter_context(Asterisk(directory / "asterisk", verbose=0))
        (agi,) = ports.free(1)
        asterisk.load_dialplan(_dialplan(agi))
        provider = stack.enter_context(stand_in.running(directory / "provider.jsonl"))
        gateway = _gateway(directory / "gateway", asterisk, agi, f"{provider}/idempotent")
        gateway.start()
        stack.callback(gateway.stop)
        samples: list[flat.Sample] = []
        counts = Counts()
        began = time.monotonic()
        while (left := minutes * 60 - (time.monotonic() - began)) > 1:
            numbers = _numbers(round(min(PORTION, left) * rate))
            callers = calls.Callers(asterisk, [plan.Load(numbers=numbers, rate=rate)])
            try:
                while not callers.finished():
                    if not samples or time.monotonic() - began >= samples[-1].at + EVERY:
                        samples.append(_sample(gateway, time.monotonic() - began))
                        console.print(_line(samples[-1], counts), highlight=False)
                    time.sleep(0.1)
                made = callers.made()
            finally:
                callers.stop(directory / "sipp")
            counts.placed += len(made)
            counts.went_on += sum(one.status == 486 for one in made)
        seconds = time.monotonic() - began
        _settled(gateway, counts)
        return samples, counts, seconds


def _dialplan(agi: int) -> str:
    return (
        "[from-trunk]\n"
        + "".join(f"exten => _{n}XX,1,Gosub({way},s,1(text))\n same => n,Hangup(17)\n" for n, way in _ways())
        + f"[globals]\nAGISMS_AGI=127.0.0.1:{agi}\n"
    )


def _ways() -> Iterator[tuple[int, str]]:
    return ((number, way) for number, way in enumerate(plan.WAYS, start=1))


def _numbers(count: int) -> tuple[str, ...]:
    ways = random.choices([number for number, _ in _ways()], plan.WAY_SHARES, k=count)
    return tuple(f"{way}{number % 100:02}" for number, way in enumerate(ways))


def _gateway(directory: pathlib.Path, asterisk: Asterisk, agi: int, provider: str) -> gateways.Gateway:
    answer = {"rules": [{"path": "$.id", "then": "accept"}], "id": "$.id"}
    body = {"json": {"ref": "{{ ref }}", "to": "{{ to }}", "text": "{{ text }}"}}
    return gateways.Gateway(
        directory,
        asterisk,
        {"text": {"recipients": "+48600100300", "content": {"text": "You called {{ dialled }} at {{ now }}"}}},
        agi={"listen": f"127.0.0.1:{agi}"},
        log={"format": "json", "level": "info"},
        providers={"company": {"type": "http", "url": provider, "body": body, "answer": answer, "idempotent": True}},
        routes={"default": ["company"]},
    )


def _sample(gateway: gateways.Gateway, at: float) -> flat.Sample:
    """See proc(5)."""
    process = pathlib.Path(f"/proc/{gateway.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    wal = gateway.database.with_name(gateway.database.name + "-wal")
    return flat.Sample(
        at=at,
        memory=int(status["VmRSS"].split()[0]) * 1024,
        files=len(list((process / "fd").iterdir())),
        threads=int(status["Threads"]),
        wal=wal.stat().st_size if wal.exists() else 0,
    )


def _settled(gateway: gateways.Gateway, counts: Counts) -> None:
    """Until every message has come to its end, or the patience has."""
    end = time.monotonic() + SETTLE
    while time.monotonic() < end:
        with contextlib.closing(sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True)) as raw:
            counts.messages = dict(raw.execute("SELECT status, count(*) FROM messages GROUP BY status"))
            (counts.missed,) = raw.execute("SELECT count(*) FROM activations WHERE entry = 'astdb'").fetchone()
        if counts.whole:
            return
        time.sleep(0.5)


def _line(sample: flat.Sample, counts: Counts) -> str:
    shown = ", ".join(f"{name} {getattr(sample, key) / unit:.0f}" for key, (name, unit) in SHOWN.items())
    return f"{sample.at:7.0f} s  {shown}, {counts.went_on} of {counts.placed} calls went on"


def _table(judged: list[flat.Judged]) -> Table:
    table = Table(title="After the warm-up")
    for heading in ("", "first", "last", "highest", "grew", "may grow", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for one in judged:
        name, unit = SHOWN[one.figure]
        values = [f"{value / unit:.1f}" for value in (one.first, one.last, one.highest, one.grew, one.most)]
        table.add_row(name, *values, "flat" if one.flat else "GROWS")
    return table


def _save(
    samples: list[flat.Sample], judged: list[flat.Judged], counts: Counts, rate: float, seconds: float, good: bool
) -> pathlib.Path:
    RESULTS.mkdir(exist_ok=True)
    at = datetime.now(UTC)
    facts: dict[str, Any] = {
        "at": at.isoformat(timespec="seconds"),
        "agi_sms": agi_sms.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "seconds": round(seconds, 1),
        "rate": rate,
        "good": good,
        "counts": dataclasses.asdict(counts),
        "judged": [dataclasses.asdict(one) | {"flat": one.flat} for one in judged],
        "samples": [dataclasses.asdict(one) for one in samples],
    }
    path = RESULTS / f"soak-{at:%Y-%m-%d-%H%M}.json"
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
