"""Processes that are measured, or that play the other side, each on the one machine."""

import contextlib
import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
AGI_SMS = pathlib.Path(sys.executable).with_name("agi-sms")
PATIENCE = 60.0  # seconds
TICK = os.sysconf("SC_CLK_TCK")


def cpu_ms(pid: int) -> float:
    """Milliseconds of CPU that a process has used; see proc(5), stat."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / TICK


def rss_mb(pid: int) -> float:
    """Megabytes of memory that a process has now; see proc(5), status."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def wait_for(what: str, condition: Callable[[], object], *, patience: float = PATIENCE, every: float = 0.02) -> None:
    """Until the condition holds, looked at `every` so many seconds; raises TimeoutError with `what`."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {patience:.0f} s")
        time.sleep(every)


class Helper:
    """`python -m tests.bench.NAME ARGUMENTS`. What it prints is one JSON value a line."""

    def __init__(self, name: str, *arguments: object) -> None:
        command = [sys.executable, "-m", f"tests.bench.{name}", *map(str, arguments)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self._said: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(line)
        self._said.put("")

    def says(self, *, patience: float = PATIENCE) -> Any:
        """The next thing that it prints; raises TimeoutError, and RuntimeError where it has ended."""
        try:
            line = self._said.get(timeout=patience)
        except queue.Empty:
            raise TimeoutError(f"{self.process.args!r} says nothing for {patience:.0f} s") from None
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended with {self.process.wait(PATIENCE)}")
        return json.loads(line)

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self._listener.join(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextlib.contextmanager
def helper(name: str, *arguments: object) -> Iterator[Helper]:
    """A helper that is ended with the block."""
    made = Helper(name, *arguments)
    try:
        yield made
    finally:
        made.end()


class Gateway:
    """`agi-sms run` without Asterisk, on a configuration; a context manager. `started` is how long its start took (s).

    The shipped defaults count for what `tree` does not say.
    """

    def __init__(self, directory: pathlib.Path, database: pathlib.Path, **tree: Any) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.config = configure(directory, database, **tree)
        self.started = 0.0
        self._log = directory / "gateway.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Gateway":
        with self._log.open("wb") as log:
            began = time.monotonic()
            self._process = subprocess.Popen(
                [AGI_SMS, "run", "--config", self.config], stdout=subprocess.DEVNULL, stderr=log, cwd=self._log.parent
            )
        try:
            wait_for("the gateway runs", self._runs, every=0.002)
        except BaseException:
            self.__exit__()
            raise
        self.started = time.monotonic() - began
        return self

    def _runs(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"the gateway ended; it said:\n{self._log.read_text()}")
        return '"gateway runs"' in self._log.read_text()

    @property
    def pid(self) -> int:
        """Of the running gateway."""
        assert self._process is not None
        return self._process.pid

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            finally:
                self._process.kill()


def configure(directory: pathlib.Path, database: pathlib.Path, **tree: Any) -> pathlib.Path:
    """Write a configuration without a PBX, and with a node whose messages go to provider `peer`."""
    whole = {
        "region": "PL",
        "database": str(database),
        "log": {"format": "json"},
        "providers": {"peer": {"type": "file", "path": str(directory / "sent.jsonl")}},
        "routes": {"default": ["peer"]},
        "nodes": {"node-0": {"sender": "ACME", "recipients": "+48600100300", "content": {"text": "Thank you."}}},
        **tree,
    }
    path = directory / "agi-sms.yaml"
    path.write_text(json.dumps(whole, indent=1), encoding="utf-8")  # JSON is YAML
    return path
