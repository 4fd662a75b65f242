"""What `agi-sms run` opens to others: the port of its metrics, and the files beside its database."""

import os
import socket
import stat
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from agi_sms import run_status, service
from tests.contract.test_service import TREE, Gateway, gateway, wait_for

__all__ = ["gateway"]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_metrics_are_served_and_the_port_is_given_back(gateway: Gateway) -> None:
    port = free_port()
    gateway.write(TREE | {"metrics": {"listen": f"127.0.0.1:{port}"}})
    gateway.start()
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    gateway("trigger", "desk")  # whoever sits on the port hinders no message
    gateway.comes_to("accepted")
    for one in idle:
        one.close()

    def answered() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return b"agi_sms_attempts_total" in answer.read()
        except (urllib.error.URLError, OSError):
            return False

    wait_for("metrics are served", answered, gateway.said)
    assert gateway.stop() == 0
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))


def test_a_taken_metrics_port_is_said_in_one_sentence(gateway: Gateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        gateway.write(TREE | {"metrics": {"listen": f"127.0.0.1:{port}"}})
        said = gateway.refused(1)
    assert f"metrics.listen: 127.0.0.1:{port} is taken" in said
    assert "Traceback" not in said


def test_nobody_else_reads_or_leads_astray_the_status_file(gateway: Gateway) -> None:
    victim = gateway.folder / "victim"
    victim.write_text("precious")
    status = run_status.path(gateway.database)
    status.with_name(status.name + ".new").symlink_to(victim)
    before = os.umask(0)
    try:
        gateway.start()
        assert service.read_status(gateway.database) is not None
        assert stat.S_IMODE(status.stat().st_mode) == 0o600
        assert not status.is_symlink()
        assert victim.read_text() == "precious"
        assert gateway.stop() == 0
    finally:
        os.umask(before)


@pytest.mark.parametrize("what", ["box.db", "box.spool"])
def test_a_file_that_others_may_write_is_refused(gateway: Gateway, what: str) -> None:
    gateway.start()
    assert gateway.stop() == 0
    file: Path = gateway.folder / what
    file.chmod(0o622)
    said = gateway.refused(3)
    assert f"chmod 600 {file}" in said
    assert "Traceback" not in said
    file.chmod(0o600)
    gateway.start()
    assert gateway.stop() == 0
