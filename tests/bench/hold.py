"""How long a call is held in the node, and what it costs, beside the least that an aioari application can do."""

import contextlib
import dataclasses
import json
import pathlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rig import sipp
from rig.asterisk import Asterisk
from tests.acceptance import gateway as gateways
from tests.bench import figures, load, processes, sizes

NUMBERS = {"gateway": "100", "variable": "200", "only": "300", "stored": "200"}
APPS = {"variable": "floor-variable", "only": "floor-only", "stored": "floor-variable"}
ASKS = "400"
DIALPLAN = """
[from-trunk]
exten => 100,1,Gosub(agi-sms,s,1(bench))
 same => n,Hangup(17)
exten => 200,1,Gosub(floor,s,1(bench))
 same => n,Hangup(17)
exten => 300,1,Stasis(floor-only)
 same => n,Hangup(17)
exten => 400,1,Gosub(agi-sms,s,1(asks))
 same => n,Hangup(17)
"""
SUBROUTINE = (processes.ROOT / "dialplan" / "agi-sms.conf").read_text()
NODE: dict[str, Any] = {
    "bench": {
        "sender": "ACME",
        "delay": "1h",
        "recipients": "+48600100300",
        "content": {"text": "Thank you for calling {{ dialled }} at {{ now.strftime('%H:%M') }}."},
    }
}
AT_ONCE = 100  # questions to the API; the most that there may be
SLOW = 5.0  # seconds that the content API and the provider take
PATIENCE = 60.0  # seconds
P99 = {200.0: 2.0, 400.0: 3.0}  # times the floor's
CPU = figures.Goal(of="ratio", most=2.5)
NONE_LOST = figures.Goal(of="value", most=0)
LEAST_NOISE = 1.1  # a run of the same again is easily so much longer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One load on one subject. Times in ms, by Asterisk's clock; `cpu_ms` is the subject's own, for each call."""

    calls: int
    ended: int  # calls that got their answer from the dialplan's next priority
    held: tuple[float, ...]
    cpu_ms: float
    set_aside: int = 0  # calls that the database did not take within the hold budget; spool or AstDB did

    @property
    def p50(self) -> float:
        return figures.quantile(self.held, 0.50)

    @property
    def p99(self) -> float:
        return figures.quantile(self.held, 0.99)

    @property
    def lost(self) -> int:
        return self.calls - self.ended

    def told(self) -> str:
        """In words."""
        times = f"p50 {self.p50:.1f} ms, p99 {self.p99:.1f} ms of {len(self.held)}"
        return f"{times}, CPU {self.cpu_ms:.2f} ms a call, {self.lost} of {self.calls} lost, {self.set_aside} set aside"


One = Callable[[Asterisk, pathlib.Path, float, int], Run]


def measure(asterisk: Asterisk, directory: pathlib.Path, of: sizes.Sizes, tell: load.Tell) -> list[figures.Figure]:
    """Each rate on each subject, again and again in turn."""
    asterisk.load_dialplan(DIALPLAN + floor_subroutine())
    floors = {mode: _floor(mode, app) for mode, app in APPS.items()}
    subjects = {"gateway": _gateway(NODE, NUMBERS["gateway"]), **floors}
    found = []
    for rate, runs in _alternate(asterisk, directory, of, of.rates, subjects, tell).items():
        found += [*figures_at(rate, runs), *figures_stored(rate, runs)]
    subjects = {"gateway": subjects["gateway"], "variable": subjects["variable"]}
    with _hears_nothing(asterisk):
        runs = _alternate(asterisk, directory / "deaf", of, (of.deaf_rate,), subjects, tell)[of.deaf_rate]
    found += figures_deaf(of.deaf_rate, runs)
    with processes.helper("company", 0, SLOW) as slow, processes.helper("company", 0, 0) as quick:
        asking = {
            "5 s": _gateway(*_asking(slow.says())),
            "at once": _gateway(*_asking(quick.says())),
        }
        runs = _alternate(asterisk, directory, of, (of.slow_rate,), asking, tell)[of.slow_rate]
    return [*found, *figures_slow(of.slow_rate, runs)]


@contextlib.contextmanager
def _hears_nothing(asterisk: Asterisk) -> Iterator[None]:
    """Without `read = user` the gateway is logged in to AMI for its looks only."""
    shipped = (asterisk.directory / "etc" / "manager.conf").read_text()
    if "read = user\n" not in shipped:
        raise ValueError("config/asterisk/manager.conf has no line `read = user`")
    asterisk.configure("manager.conf", shipped.replace("read = user\n", "", 1))
    asterisk.cli("manager reload")
    try:
        yield
    finally:
        asterisk.configure("manager.conf", shipped)
        asterisk.cli("manager reload")


def floor_subroutine() -> str:
    """The shipped subroutine, with the floor's application in the gateway's place: what Asterisk does is the same."""
    ours = {"[agi-sms]": "[floor]", "Stasis(agi-sms,": "Stasis(floor-variable,"}
    text = SUBROUTINE
    for word, its in ours.items():
        if text.count(word) != 1:
            raise ValueError(f"dialplan/agi-sms.conf has {word} {text.count(word)} times, not once")
        text = text.replace(word, its)
    return text


def _alternate(
    asterisk: Asterisk,
    directory: pathlib.Path,
    of: sizes.Sizes,
    rates: Sequence[float],
    subjects: Mapping[str, One],
    tell: load.Tell,
) -> dict[float, dict[str, list[Run]]]:
    found: dict[float, dict[str, list[Run]]] = {rate: {name: [] for name in subjects} for rate in rates}
    for number in range(of.runs):
        for rate in rates:
            for name, one in subjects.items():
                where = directory / f"{name.replace(' ', '-')}-{rate:g}-{number}"
                where.mkdir(parents=True)
                run = one(asterisk, where, rate, round(rate * of.seconds))
                found[rate][name].append(run)
                tell(f"{rate:g} calls/s, {name}: {run.told()}")
    return found


def figures_at(rate: float, runs: Mapping[str, Sequence[Run]]) -> list[figures.Figure]:
    """Of the subjects `gateway`, `variable` and `only` at one rate."""

    def of(name: str, unit: str, goal: figures.Goal | None, pick: Callable[[Run], float]) -> figures.Figure:
        ours, floor, bare = (tuple(map(pick, runs[subject])) for subject in ("gateway", "variable", "only"))
        whole = f"{name}, {rate:g} calls/s"
        return figures.Figure(section="hold", name=whole, unit=unit, ours=ours, floor=floor, bare=bare, goal=goal)

    slowest = figures.Goal(of="ratio", most=P99[rate]) if rate in P99 else None

    def total(name: str, goal: figures.Goal | None, pick: Callable[[Run], int]) -> figures.Figure:
        ours = (float(sum(pick(run) for run in runs["gateway"])),)  # one in any run is one
        return figures.Figure(section="hold", name=f"{name}, {rate:g} calls/s", unit="", ours=ours, goal=goal)

    return [
        of("held, p50", "ms", None, lambda run: run.p50),
        of("held, p99", "ms", slowest, lambda run: run.p99),
        of("CPU for a call", "ms", CPU, lambda run: run.cpu_ms),
        total("calls lost", NONE_LOST, lambda run: run.lost),
        total("calls not in the database within the hold budget", NONE_LOST, lambda run: run.set_aside),
    ]


def figures_stored(rate: float, runs: Mapping[str, Sequence[Run]]) -> list[figures.Figure]:
    """Of the subjects `gateway` and `stored`, the least that still has something after a power cut; for the record."""
    picks: dict[str, tuple[str, Callable[[Run], float]]] = {
        "held, p50": ("ms", lambda run: run.p50),
        "held, p99": ("ms", lambda run: run.p99),
        "CPU for a call": ("ms", lambda run: run.cpu_ms),
    }
    found = []
    for name, (unit, pick) in picks.items():
        ours, floor = (tuple(map(pick, runs[who])) for who in ("gateway", "stored"))
        what = f"{name}, {rate:g} calls/s (floor: it commits a row too)"
        found.append(figures.Figure(section="hold", name=what, unit=unit, ours=ours, floor=floor))
    return found


def figures_deaf(rate: float, runs: Mapping[str, Sequence[Run]]) -> list[figures.Figure]:
    """Of the subjects `gateway` and `variable`, where no session of AMI is open; for the record."""
    found = []
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        ours, floor = (tuple(figures.quantile(run.held, part) for run in runs[who]) for who in ("gateway", "variable"))
        what = f"held, {name}, {rate:g} calls/s, AMI user without `read = user`"
        found.append(figures.Figure(section="hold", name=what, unit="ms", ours=ours, floor=floor))
    return found


def figures_slow(rate: float, runs: Mapping[str, Sequence[Run]]) -> list[figures.Figure]:
    """Beside itself: with a content API and a provider that take 5 s, and with the same that answer at once.

    It may be above that by as much as the runs of the latter differ among themselves.
    """
    found = []
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        ours, floor = (tuple(figures.quantile(run.held, part) for run in runs[way]) for way in ("5 s", "at once"))
        goal = figures.Goal(of="ratio", most=round(max(LEAST_NOISE, figures.noise(floor)), 2))
        what = f"held, {name}, {rate:g} calls/s, API and provider take 5 s (floor: they answer at once)"
        found.append(figures.Figure(section="hold", name=what, unit="ms", ours=ours, floor=floor, goal=goal))
    return found


def _asking(port: int) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """A node that asks the API of a company, and sends at once over it."""
    address = f"http://127.0.0.1:{port}"
    api = {"method": "POST", "url": f"{address}/text", "response": "json", "timeout": "10s"}
    node = {"sender": "ACME", "recipients": "+48600100300", "content": {"api": api, "fallback": "Thank you."}}
    body = {"json": {"ref": "{{ ref }}", "to": "{{ to }}", "text": "{{ text }}"}}
    company = {"type": "http", "url": f"{address}/sms", "body": body, "answer": {"id": "$.id"}, "timeout": "10s"}
    return {"asks": node}, ASKS, {"providers": {"file": company}, "content": {"concurrency": AT_ONCE}, "drain": "1s"}


def _gateway(node: Mapping[str, Any], number: str, more: Mapping[str, Any] | None = None) -> One:
    def run(asterisk: Asterisk, directory: pathlib.Path, rate: float, calls: int) -> Run:
        tree = {"log": {"format": "json", "level": "info"}, "pbx": {"main": gateways.way_in(asterisk)}, **(more or {})}
        gateway = gateways.Gateway(directory, asterisk, node, **tree).start()
        try:
            ended, cpu = _load(asterisk, number, rate, calls, gateway.pid)
            processes.wait_for("every call is told of", lambda: len(gateway.events("call returned")) >= ended)
            stored = "SELECT count(*) FROM activations"
            with contextlib.closing(sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True)) as raw:
                processes.wait_for("every call is stored", lambda: raw.execute(stored).fetchone()[0] >= ended)
            held = tuple(float(e["held_ms"]) for e in gateway.events("call returned") if e["held_ms"] is not None)
        finally:
            gateway.stop()
        asterisk.database_clear("agi-sms")
        aside = ended - len(gateway.events("call arrived"))
        return Run(calls=calls, ended=ended, held=held, cpu_ms=cpu, set_aside=aside)

    return run


def _floor(mode: str, app: str) -> One:
    def run(asterisk: Asterisk, directory: pathlib.Path, rate: float, calls: int) -> Run:
        file = directory / "held.json"
        command = [sys.executable, "-m", "tests.bench.floor", asterisk.ari_url]
        command += [asterisk.ari_user, asterisk.ari_password, app, mode, str(file)]
        process = subprocess.Popen(command, cwd=processes.ROOT)
        try:
            processes.wait_for(f"{app} is registered", lambda: app in asterisk.cli("ari show apps"))
            ended, cpu = _load(asterisk, NUMBERS[mode], rate, calls, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        return Run(calls=calls, ended=ended, held=tuple(json.loads(file.read_text())), cpu_ms=cpu)

    return run


def _load(asterisk: Asterisk, number: str, rate: float, calls: int, pid: int) -> tuple[int, float]:
    """Place the calls; how many got the answer of the dialplan's next priority, and CPU ms a call of a process."""
    before = processes.cpu_ms(pid)
    placed = sipp.place(asterisk, number, calls=calls, rate=rate, hold=0.1, deadline=calls / rate + PATIENCE)
    asterisk.wait_for_no_channels(deadline=PATIENCE)
    spent = processes.cpu_ms(pid) - before
    return sum(call.status == 486 for call in placed.calls), spent / calls
