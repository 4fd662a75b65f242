"""How long a call is held in the node, and what it costs, beside the least that an aioari application can do."""

import dataclasses
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rig import sipp
from rig.asterisk import Asterisk
from tests.acceptance.gateway import Gateway, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
NUMBERS = {"gateway": "100", "variable": "200", "only": "300"}
DIALPLAN = """
[from-trunk]
exten => 100,1,Gosub(agi-sms,s,1(bench))
 same => n,Hangup(17)
exten => 200,1,Stasis(floor-variable)
 same => n,Hangup(17)
exten => 300,1,Stasis(floor-only)
 same => n,Hangup(17)
"""
NODE = {
    "bench": {
        "sender": "ACME",
        "delay": "1h",
        "recipients": "+48600100300",
        "content": {"text": "Thank you for calling {{ dialled }} at {{ now.strftime('%H:%M') }}."},
    }
}
PATIENCE = 60.0  # seconds
TICK = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One load on one subject. Times in ms, by Asterisk's clock; `cpu_ms` is the subject's own, for each call."""

    subject: str
    rate: float
    calls: int
    ended: int  # calls that got their answer from the dialplan's next priority
    held: tuple[float, ...]
    cpu_ms: float

    @property
    def p50(self) -> float:
        return _quantile(self.held, 0.50)

    @property
    def p99(self) -> float:
        return _quantile(self.held, 0.99)

    @property
    def lost(self) -> int:
        return self.calls - self.ended

    def facts(self) -> dict[str, Any]:
        """For the JSON file."""
        shown = ("subject", "rate", "calls", "lost", "p50", "p99", "cpu_ms")
        return {name: getattr(self, name) for name in shown} | {"measured": len(self.held)}


def alternate(
    asterisk: Asterisk, directory: pathlib.Path, *, rates: list[float], runs: int, seconds: float
) -> Iterator[Run]:
    """Each rate on each subject, again and again in turn."""
    asterisk.load_dialplan(DIALPLAN)
    for number in range(runs):
        for rate in rates:
            for subject in NUMBERS:
                where = directory / f"{subject}-{rate:g}-{number}"
                where.mkdir(parents=True)
                one = _gateway if subject == "gateway" else _floor(subject)
                yield one(asterisk, where, rate, round(rate * seconds))


def _gateway(asterisk: Asterisk, directory: pathlib.Path, rate: float, calls: int) -> Run:
    gateway = Gateway(directory, asterisk, NODE, log={"format": "json", "level": "info"}).start()
    try:
        ended, cpu = _load(asterisk, "gateway", rate, calls, gateway.pid)
        wait_for("every call is told of", lambda: len(gateway.events("call returned")) >= ended, deadline=PATIENCE)
        held = tuple(float(e["held_ms"]) for e in gateway.events("call returned") if e["held_ms"] is not None)
    finally:
        gateway.stop()
    asterisk.database_clear("agi-sms")
    return Run(subject="gateway", rate=rate, calls=calls, ended=ended, held=held, cpu_ms=cpu)


def _floor(mode: str) -> Callable[[Asterisk, pathlib.Path, float, int], Run]:
    def run(asterisk: Asterisk, directory: pathlib.Path, rate: float, calls: int) -> Run:
        file = directory / "held.json"
        app = f"floor-{mode}"
        command = [sys.executable, "-m", "tests.bench.floor", asterisk.ari_url]
        command += [asterisk.ari_user, asterisk.ari_password, app, mode, str(file)]
        process = subprocess.Popen(command, cwd=ROOT)
        try:
            wait_for(f"{app} is registered", lambda: app in asterisk.cli("ari show apps"))
            ended, cpu = _load(asterisk, mode, rate, calls, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        return Run(
            subject=mode, rate=rate, calls=calls, ended=ended, held=tuple(json.loads(file.read_text())), cpu_ms=cpu
        )

    return run


def _load(asterisk: Asterisk, subject: str, rate: float, calls: int, pid: int) -> tuple[int, float]:
    """Place the calls; how many got the answer of the dialplan's next priority, and CPU ms a call of a process."""
    before = _cpu(pid)
    placed = sipp.place(asterisk, NUMBERS[subject], calls=calls, rate=rate, hold=0.1, deadline=calls / rate + PATIENCE)
    asterisk.wait_for_no_channels(deadline=PATIENCE)
    spent = _cpu(pid) - before
    return sum(call.status == 486 for call in placed.calls), spent / calls


def _cpu(pid: int) -> float:
    """Milliseconds of CPU that a process has used; see proc(5), stat."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / TICK


def _quantile(values: tuple[float, ...], part: float) -> float:
    return sorted(values)[min(round(len(values) * part), len(values) - 1)] if values else float("nan")


def medians(runs: list[Run]) -> dict[tuple[str, float], dict[str, float]]:
    """For each subject and rate, the medians of the runs, and all calls lost."""
    found: dict[tuple[str, float], dict[str, float]] = {}
    for key in dict.fromkeys((run.subject, run.rate) for run in runs):
        chosen = [run for run in runs if (run.subject, run.rate) == key]
        facts = ("p50", "p99", "cpu_ms")
        found[key] = {name: statistics.median(getattr(run, name) for run in chosen) for name in facts}
        found[key]["lost"] = sum(run.lost for run in chosen)
    return found
