"""The real `agi-sms run` with FastAGI: what it stores and tells, how it stops, and what a reload changes."""

import contextlib
import signal
import socket
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract import fake_agi
from tests.contract.test_service import DEADLINE, TREE, Gateway, gateway, wait_for
from tests.contract.test_service_edges import free_port

__all__ = ["gateway"]

STORED = "SELECT a.visit, a.pbx, a.entry, a.returned_at IS NOT NULL FROM activations a ORDER BY a.id"


class Call:
    """One channel in AGI(), as a blocking socket."""

    def __init__(self, port: int, *, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE, source_address=(host, 0))
        self._file = self._socket.makefile("rwb")

    def say(self, raw: bytes) -> None:
        self._file.write(raw)
        self._file.flush()

    def hear(self) -> str:
        """The next command; empty where the connection has ended."""
        with contextlib.suppress(ConnectionError):
            return self._file.readline().decode().rstrip("\n")
        return ""

    def begin(self, visit: str) -> None:
        """The header, and the answer to the first command."""
        self.say(fake_agi.header("desk?back=1", [f"visit={visit}", "linkedid="]))
        asked = self.hear()
        assert asked.startswith('GET FULL VARIABLE "')
        self.say(f"200 result=1 ({asked.split(chr(34))[1]})\n".encode())

    def told(self) -> str:
        """What AGISMS is set to, after which the connection ends."""
        command = self.hear()
        self.say(b"200 result=1\n")
        assert self.hear() == ""
        self.close()
        return command

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._socket.close()


@pytest.fixture(name="port")
def _port() -> int:
    return free_port()


def tree(port: int, **more: Any) -> dict[str, Any]:
    return TREE | {"pbx": {"main": {}}, "agi": {"listen": f"127.0.0.1:{port}"}} | more


def ask(gateway: Gateway, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True)) as raw:
        return raw.execute(sql).fetchall()


@contextlib.contextmanager
def held(gateway: Gateway) -> Iterator[None]:
    """Nobody else writes to the database."""
    with contextlib.closing(sqlite3.connect(gateway.database, isolation_level=None, timeout=DEADLINE)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        yield
        raw.execute("ROLLBACK")


def test_what_is_told_is_on_disk(gateway: Gateway, port: int) -> None:
    gateway.write(tree(port))
    gateway.start()
    call = Call(port)
    call.begin("v-1")
    told = call.hear()
    assert [row[:3] for row in ask(gateway, STORED)] == [("v-1", "main", "agi")]  # before Asterisk has answered
    assert told == 'SET VARIABLE AGISMS "SCHEDULED,1"'
    call.say(b"200 result=1\n")
    assert call.hear() == ""
    call.close()
    gateway.comes_to("accepted")
    wait_for("it is noted that the call is back", lambda: ask(gateway, STORED)[0][3], gateway.said)
    again = Call(port)
    again.begin("v-1")
    assert again.told() == 'SET VARIABLE AGISMS "SCHEDULED,1"'
    assert len(ask(gateway, STORED)) == 1
    assert gateway.stop() == 0


def test_a_port_that_is_taken_is_said_in_words(gateway: Gateway, port: int) -> None:
    gateway.write(tree(port))
    with socket.create_server(("127.0.0.1", port)):
        said = gateway.refused(1)
    assert f"agi.listen: 127.0.0.1:{port} cannot be listened on (Address already in use)" in said
    assert "Traceback" not in said


def test_a_stop_lets_the_call_in_hand_go_on(gateway: Gateway, port: int) -> None:
    """Here the database keeps it waiting, so it is in the spool when it goes on."""
    gateway.write(tree(port, hold_budget="1s"))
    process = gateway.start()
    idle = [Call(port) for _ in range(20)]
    with held(gateway):
        call = Call(port)
        call.begin("v-1")
        process.send_signal(signal.SIGTERM)
        assert [one.hear() for one in idle] == [""] * 20
        assert call.told() == 'SET VARIABLE AGISMS "SCHEDULED,1"'
    assert process.wait(DEADLINE) == 0
    for one in idle:
        one.close()
    with pytest.raises(ConnectionError):
        Call(port)
    gateway.start()
    gateway.comes_to("accepted")
    assert len(ask(gateway, STORED)) == 1
    assert gateway.stop() == 0


def test_a_reload_changes_whose_calls_are_served(gateway: Gateway, port: int) -> None:
    gateway.write(tree(port, pbx={"main": {"addresses": ["127.0.0.1"]}}))
    gateway.start()
    stranger = Call(port, host="127.0.0.2")
    assert stranger.hear() == ""
    stranger.close()
    gateway.write(tree(port, pbx={"main": {"addresses": ["127.0.0.2"]}}))
    assert "configuration reloaded" not in gateway.events()
    gateway("reload")
    call = Call(port, host="127.0.0.2")
    call.begin("v-2")
    assert call.told() == 'SET VARIABLE AGISMS "SCHEDULED,1"'
    former = Call(port)
    assert former.hear() == ""
    former.close()
    gateway.write(tree(free_port(), pbx={"main": {"addresses": ["127.0.0.2"]}}))
    assert "agi" in gateway("reload")
    assert gateway.stop() == 0


def test_without_the_key_nobody_listens(gateway: Gateway, port: int) -> None:
    gateway.write(TREE)
    gateway.start()
    with pytest.raises(ConnectionError):
        Call(port)
    assert not [line for line in gateway.lines() if "FastAGI" in line["event"]]
    assert gateway.stop() == 0
