"""The real command line, run by tests: `agi-sms run` as a process, the other commands beside it."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rig.asterisk import Asterisk

AGI_SMS = pathlib.Path(sys.executable).with_name("agi-sms")
PATIENCE = 20.0  # seconds


def wait_for(what: str, condition: Callable[[], object], *, deadline: float = PATIENCE) -> None:
    """Until the condition holds; fails the test with `what` when it never does."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline:.0f} s")
        time.sleep(0.02)


def way_in(asterisk: Asterisk, **ami: Any) -> dict[str, Any]:
    """How the gateway reaches this Asterisk, a `pbx.NAME`; with more settings of AMI."""
    login = {"username": asterisk.ami_user, "secret": asterisk.ami_secret}
    return {
        "ari": {"url": asterisk.ari_url, "username": asterisk.ari_user, "password": asterisk.ari_password},
        "ami": {"host": asterisk.ami_host, "port": asterisk.ami_port, **login, **ami},
    }


class Gateway:
    """One configuration directory, and the gateway that runs on it.

    `nodes` and `more` go into agi-sms.yaml as they are (JSON is YAML). Provider `file` writes to `sent.jsonl`,
    and is the default route unless `more` says otherwise. `program` replaces the command that runs the gateway.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        asterisk: Asterisk,
        nodes: Mapping[str, Any],
        *,
        program: Sequence[str | pathlib.Path] = (AGI_SMS,),
        **more: Any,
    ) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.config = directory / "agi-sms.yaml"
        self.database = directory / "agi-sms.db"
        self._asterisk = asterisk
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(nodes, **more)

    def configure(self, nodes: Mapping[str, Any], **more: Any) -> None:
        """Write the configuration anew."""
        tree: dict[str, Any] = {
            "region": "PL",
            "database": str(self.database),
            "log": {"format": "json", "level": "debug"},
            "pbx": {"main": way_in(self._asterisk, bare_events=True)},
            "providers": {"file": {"type": "file", "path": str(self.directory / "sent.jsonl")}},
            "routes": {"default": ["file"]},
            "nodes": dict(nodes),
        }
        for key, value in more.items():
            tree[key] = {**tree[key], **value} if isinstance(tree.get(key), dict) else value
        self.config.write_text(json.dumps(tree, ensure_ascii=False, indent=1), encoding="utf-8")

    # --- the process ------------------------------------------------------------------------------------------

    def start(self, *, connected: bool = True) -> "Gateway":
        """Run it; returns when it serves calls (or, with connected=False, when it has opened its database)."""
        seen = len(self.events())
        with (self.directory / "gateway.log").open("ab") as log, (self.directory / "gateway.out").open("ab") as out:
            self._process = subprocess.Popen(
                [*self._program, "run", "--config", self.config], stdout=out, stderr=log, cwd=self.directory
            )

        def ready() -> bool:
            if self._process is None or self._process.poll() is not None:
                raise AssertionError(f"the gateway ended; it said:\n{self.said()}")
            fresh = self.events()[seen:]
            if not connected:
                return any(e["event"] == "gateway runs" for e in fresh)
            return any(str(e["event"]).startswith("connected to Asterisk") and e.get("door") == "ari" for e in fresh)

        wait_for("the gateway serves calls", ready)
        return self

    @property
    def pid(self) -> int:
        """The process id; the gateway must have been started."""
        assert self._process is not None
        return self._process.pid

    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def stop(self) -> int:
        """SIGTERM, and wait until it is gone; the exit code."""
        if self.running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                return self.wait()
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return self.wait() if self._process is not None else 0

    def restart(self) -> "Gateway":
        """Stop cleanly, run again."""
        self.stop()
        return self.start()

    # --- looking in -------------------------------------------------------------------------------------------

    def said(self) -> str:
        """All that it logged."""
        path = self.directory / "gateway.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """Its log as objects, all or those of one event; a line that is not JSON is an event of its own."""
        found = []
        for line in self.said().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"event": line})
        return [e for e in found if event is None or e["event"] == event]

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run another agi-sms command on this configuration."""
        return subprocess.run(
            [AGI_SMS, *arguments, "--config", self.config],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    def history(self, *arguments: str) -> list[dict[str, Any]]:
        """`agi-sms history`, oldest first."""
        done = self.command("history", "--format", "json", "--limit", "100000", *arguments)
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows[::-1]

    def wait_history(self, count: int, *arguments: str, deadline: float = PATIENCE) -> list[dict[str, Any]]:
        """The history, once it has exactly `count` messages of the kind."""
        rows: list[dict[str, Any]] = []

        def enough() -> bool:
            nonlocal rows
            rows = self.history(*arguments)
            return len(rows) >= count

        wait_for(f"{count} messages in the history {arguments}", enough, deadline=deadline)
        assert len(rows) == count, rows
        return rows

    def sent(self) -> list[dict[str, Any]]:
        """What the file provider was handed."""
        path = self.directory / "sent.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
