"""The real `agi-sms run`, without any PBX: it starts, sends, takes signals, and starts again."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agi_sms import cli, clock, run_status, service
from agi_sms.outbox import sqlite
from tests.contract import stores

PROGRAM = Path(sys.executable).with_name("agi-sms")
DEADLINE = 30.0  # seconds until a condition that never comes true fails the test
NODE = {"recipients": "+48600100200", "content": {"text": "Hello {{ var.who | default('you') }}"}}
TREE: dict[str, Any] = {
    "region": "PL",
    "database": "box.db",
    "log": {"format": "json"},
    "providers": {"out": {"type": "file", "path": "out.jsonl"}},
    "routes": {"default": ["out"]},
    "nodes": {"desk": NODE, "printed": NODE | {"route": "print"}},
}


def wait_for(what: str, condition: Callable[[], object], said: Callable[[], str]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: never\n{said()}")
        time.sleep(0.02)


class Gateway:
    """A folder with a configuration; the gateway that runs on it, and the commands beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "agi-sms.yaml"
        self.database = folder / "box.db"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = os.environ | {"AGI_SMS_CONFIG": str(self.config)}
        self.write(TREE)

    def write(self, tree: dict[str, Any]) -> None:
        self.config.write_text(json.dumps(tree, indent=1), encoding="utf-8")

    def start(self) -> subprocess.Popen[bytes]:
        """Run it until it says that it runs."""
        before = len(self.events())
        with (self.folder / "log").open("ab") as log, (self.folder / "printed").open("ab") as out:
            self.process = subprocess.Popen([PROGRAM, "run"], env=self.environment, stdout=out, stderr=log)
        process = self.process
        wait_for(
            "the gateway runs",
            lambda: process.poll() is not None or "gateway runs" in self.events()[before:],
            self.said,
        )
        assert process.poll() is None, self.said()
        return process

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    def said(self) -> str:
        path = self.folder / "log"
        return path.read_text("utf-8") if path.exists() else ""

    def lines(self) -> list[dict[str, Any]]:
        """What it logged, without a line that is being written."""
        whole = self.said().rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in whole if line.startswith("{")]

    def events(self) -> list[str]:
        return [str(line["event"]) for line in self.lines()]

    def sent(self) -> list[dict[str, Any]]:
        path = self.folder / "out.jsonl"
        whole = path.read_text("utf-8").rpartition("\n")[0].splitlines() if path.exists() else []
        return [json.loads(line) for line in whole]

    def __call__(self, *words: str, code: int = 0) -> str:
        """Another command on the same configuration; what it prints."""
        result = CliRunner().invoke(cli.main, words, env={"AGI_SMS_CONFIG": str(self.config)})
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        return result.output

    def refused(self, code: int) -> str:
        """What `agi-sms run` says that must end by itself."""
        done = subprocess.run(
            [PROGRAM, "run"], env=self.environment, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr

    def ask(self) -> list[tuple[str, str | None]]:
        """Status and reason of its messages, newest first, without a process for each question."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as raw:
            return raw.execute("SELECT status, reason FROM messages ORDER BY created_at DESC, id DESC").fetchall()

    def comes_to(self, *statuses: str) -> None:
        """Until the messages stand so, the newest first."""
        wait_for(
            f"messages are {statuses}",
            lambda: tuple(status for status, _ in self.ask()) == statuses,
            lambda: f"{self.ask()}\n{self.said()}",
        )


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


class Listener:
    """An HTTP provider that takes a request and answers when it is told to."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.asked = threading.Event()
        self.answer = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/sms"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self.socket.accept()
            with connection:
                connection.recv(65536)
                self.asked.set()
                self.answer.wait(DEADLINE)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    def close(self) -> None:
        self.answer.set()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(DEADLINE)


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def by_http(listener: Listener, **more: Any) -> dict[str, Any]:
    out = {"type": "http", "url": listener.url, "body": {"json": {"to": "{{ to }}", "text": "{{ text }}"}}}
    return TREE | {"providers": {"out": out}} | more


def test_the_life_of_a_gateway(gateway: Gateway) -> None:
    assert "not running" in gateway("trigger", "desk", "--var", "who=early")
    process = gateway.start()
    assert service.read_status(gateway.database) == run_status.RunStatus(pid=process.pid, reloads=0)

    assert "not running" not in gateway("trigger", "printed", "--var", "who=late")

    # nobody else may send from this database
    assert str(process.pid) in gateway.refused(3)
    assert process.poll() is None

    # a configuration with a mistake is refused, and the old one stays
    gateway.write(TREE | {"nodes": {"desk": NODE | {"colour": "red"}}})
    assert "colour" in gateway("reload", code=2)
    process.send_signal(signal.SIGHUP)
    wait_for("reload refused", lambda: any("reload refused" in e for e in gateway.events()), gateway.said)
    wait_for("it says why", lambda: "colour" in run_status.path(gateway.database).read_text("utf-8"), gateway.said)
    assert any("colour" in str(line.get("mistake")) for line in gateway.lines())

    # a good one is taken
    gateway.write(TREE | {"nodes": TREE["nodes"] | {"fresh": NODE}, "drain": "7s"})
    assert "3 nodes" in gateway("reload")
    status = service.read_status(gateway.database)
    assert status is not None
    assert (status.reloads, status.error) == (2, "")
    assert any(line.get("keys") == "drain" for line in gateway.lines())

    # what waited is sent, and what came while it runs
    gateway.comes_to("accepted", "accepted")
    assert [(one["to"], one["text"], one["attempt"]) for one in gateway.sent()] == [("+48600100200", "Hello early", 1)]
    wait_for("printed", lambda: "Hello late" in (gateway.folder / "printed").read_text("utf-8"), gateway.said)
    assert gateway("history").count("accepted") == 2
    assert "+48600100200" not in gateway.said()
    assert "Hello" not in gateway.said()

    # and at the end
    assert gateway.stop() == 0
    assert gateway.events()[-1] == "gateway stopped"
    assert not run_status.path(gateway.database).exists()
    assert sqlite.owner_pid(gateway.database) is None


def test_sigterm_lets_a_send_under_way_end(gateway: Gateway, listener: Listener) -> None:
    gateway.write(by_http(listener))
    gateway("trigger", "desk")
    process = gateway.start()
    assert listener.asked.wait(DEADLINE)
    process.send_signal(signal.SIGTERM)
    wait_for("it stops", lambda: any(e.startswith("stopping") for e in gateway.events()), gateway.said)
    gateway.comes_to("sending")
    assert process.poll() is None
    listener.answer.set()
    assert process.wait(DEADLINE) == 0
    gateway.comes_to("accepted")


def test_what_did_not_end_in_time_is_in_doubt_after_the_next_start(gateway: Gateway, listener: Listener) -> None:
    gateway.write(by_http(listener, drain="0", retry={"grace": "0"}))
    gateway("trigger", "desk")
    gateway.start()
    assert listener.asked.wait(DEADLINE)
    assert gateway.stop() == 0
    gateway.comes_to("sending")
    assert any(line.get("messages") == 1 for line in gateway.lines() if "under way" in line["event"])
    gateway.start()
    assert any(line.get("uncertain") == 1 for line in gateway.lines())
    gateway.comes_to("held")
    assert gateway.ask() == [("held", "crashed")]
    assert gateway.stop() == 0


def test_a_killed_gateway_leaves_nothing_behind_that_hinders_the_next(gateway: Gateway) -> None:
    gateway.write(TREE | {"retry": {"grace": "0"}})
    gateway("trigger", "desk", "--var", "who=one")
    gateway("trigger", "desk", "--var", "who=two")

    async def claimed_and_begun() -> None:
        """As after a crash: one lease without an attempt, one with."""
        box = await sqlite.SqliteOutbox.open(gateway.database, clock=clock.now)
        leases = await stores.claim(box, 2, timedelta(hours=1))
        [attempted] = [lease for lease in leases if "two" in (lease.message.text or "")]
        assert await box.begin(attempted, "out")
        await box.close()

    asyncio.run(claimed_and_begun())
    process = gateway.start()
    assert any((line.get("rescheduled"), line.get("uncertain")) == (1, 1) for line in gateway.lines())
    gateway.comes_to("held", "accepted")
    process.kill()
    process.wait(DEADLINE)
    assert run_status.path(gateway.database).exists()
    assert sqlite.owner_pid(gateway.database) is None
    process = gateway.start()
    assert service.read_status(gateway.database) == run_status.RunStatus(pid=process.pid, reloads=0)
    assert gateway.stop() == 0
    assert [one["text"] for one in gateway.sent()] == ["Hello one"]
    assert gateway.events().count("found of an earlier run") == 1


def test_a_configuration_with_mistakes_is_not_run(gateway: Gateway) -> None:
    gateway.write(TREE | {"nodes": {"desk": NODE | {"delay": "soon"}}})
    assert "nodes.desk.delay" in gateway.refused(2)
    assert not gateway.database.exists()
