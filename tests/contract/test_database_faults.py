"""The database goes wrong under the real `agi-sms run`: it says so and what to do; calls go on, none is lost.

Here the calls come by FastAGI, which tells the dialplan at once where nothing can be kept: there is no answer then, and
the dialplan writes the visit down by itself. tests/acceptance/test_storage_faults.py has the full disk with Asterisk.
"""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_service import TREE, Gateway, gateway, wait_for
from tests.contract.test_service_agi import Call, ask, tree
from tests.contract.test_service_edges import free_port

__all__ = ["gateway"]

SCHEDULED = 'SET VARIABLE AGISMS "SCHEDULED,1"'
SET_ASIDE = "the outbox does not take new calls; they are set aside in the spool"
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="a file system is mounted, which only root may")


@pytest.fixture(name="port")
def _port() -> int:
    return free_port()


def call(port: int, visit: str) -> str:
    """What the dialplan is told; empty where the gateway could keep it nowhere, and the dialplan has to."""
    made = Call(port)
    made.begin(visit)
    said = made.hear()
    if said:
        made.say(b"200 result=1\n")
        assert made.hear() == ""
    made.close()
    return said


def set_aside(gateway: Gateway, number: int = -1) -> str:
    """What it says of the trouble when calls go to the spool."""
    wait_for("set aside", lambda: SET_ASIDE in gateway.events(), gateway.said)
    return str([line for line in gateway.lines() if line["event"] == SET_ASIDE][number]["error"])


def checkpointed(gateway: Gateway) -> None:
    with contextlib.closing(sqlite3.connect(gateway.database)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def visits(gateway: Gateway) -> list[str]:
    return [visit for (visit,) in ask(gateway, "SELECT visit FROM activations ORDER BY visit")]


def remove(database: Path, *ends: str) -> None:
    for end in ends or ("", "-wal", "-shm"):
        database.with_name(database.name + end).unlink(missing_ok=True)


# --- deleted, or replaced, while it runs ------------------------------------------------------------------------


def replaced(database: Path) -> None:
    """By a backup, as by somebody who did not stop the gateway."""
    with contextlib.closing(sqlite3.connect(database)) as raw:
        raw.execute("VACUUM INTO ?", (str(database.with_name("backup")),))
    remove(database)
    database.with_name("backup").rename(database)
    database.chmod(0o600)


@pytest.mark.parametrize("harm", [remove, lambda box: remove(box, ""), lambda box: remove(box, "-wal"), replaced])
def test_deleted_while_it_runs(gateway: Gateway, port: int, harm: Callable[[Path], None]) -> None:
    gateway.write(tree(port, nodes={"desk": TREE["nodes"]["desk"] | {"delay": "1h"}}))
    process = gateway.start()
    assert call(port, "v-1") == SCHEDULED
    harm(gateway.database)
    assert call(port, "v-2") == SCHEDULED
    assert call(port, "v-3") == SCHEDULED
    said = set_aside(gateway)
    assert str(gateway.database) in said
    assert "while agi-sms runs" in said
    [saved] = gateway.folder.glob("box.db.rescued-1")
    assert str(saved) in said
    assert saved.stat().st_mode & 0o777 == 0o600
    assert process.poll() is None
    assert gateway.stop() == 0
    remove(gateway.database)
    saved.rename(gateway.database)
    gateway.start()
    wait_for("all calls are there", lambda: visits(gateway) == ["v-1", "v-2", "v-3"], gateway.said)
    assert gateway.stop() == 0


def test_moved_away_and_back(gateway: Gateway, port: int) -> None:
    gateway.write(tree(port))
    gateway.start()
    assert call(port, "v-1") == SCHEDULED
    away = gateway.database.with_name("away")
    gateway.database.rename(away)
    assert call(port, "v-2") == SCHEDULED
    set_aside(gateway)
    away.rename(gateway.database)
    wait_for("all calls are there", lambda: visits(gateway) == ["v-1", "v-2"], gateway.said)
    gateway.comes_to("accepted", "accepted")
    assert gateway.stop() == 0


def test_commands_make_no_new_one_beside_the_gateway_whose_file_is_gone(gateway: Gateway) -> None:
    process = gateway.start()
    remove(gateway.database)
    said = gateway("trigger", "desk", code=3)
    assert "gone" in said
    assert str(process.pid) in said
    assert not gateway.database.exists()
    assert gateway.stop() == 0


# --- damaged while it runs --------------------------------------------------------------------------------------


def test_damaged_while_it_runs(gateway: Gateway, port: int) -> None:
    gateway.write(tree(port, nodes={"desk": TREE["nodes"]["desk"] | {"delay": "1h"}}))
    process = gateway.start()
    assert call(port, "v-1") == SCHEDULED
    checkpointed(gateway)
    shutil.copyfile(gateway.database, gateway.folder / "backup")
    with gateway.database.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (gateway.database.stat().st_size - 100))
    with contextlib.closing(sqlite3.connect(gateway.database)) as raw, contextlib.suppress(sqlite3.Error):
        raw.execute("CREATE TABLE x (y)")  # so that pages in memory are not trusted any more
    wait_for("it is noticed", lambda: call(port, "v-2") and SET_ASIDE in gateway.events(), gateway.said)
    assert "damaged" in set_aside(gateway)
    assert ".recover" in set_aside(gateway)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.wait()
    said = gateway.refused(3)
    assert "damaged" in said
    assert "Traceback" not in said
    remove(gateway.database)
    (gateway.folder / "backup").rename(gateway.database)
    gateway.database.chmod(0o600)
    gateway.start()
    wait_for("all calls are there", lambda: visits(gateway) == ["v-1", "v-2"], gateway.said)
    assert gateway.stop() == 0


# --- a newer version --------------------------------------------------------------------------------------------


def test_a_newer_command_leaves_the_database_of_a_running_gateway_as_it_is(gateway: Gateway) -> None:
    gateway.start()
    with contextlib.closing(sqlite3.connect(gateway.database)) as raw, raw:
        raw.execute("UPDATE meta SET value = value - 1 WHERE key = 'schema'")
        [(before,)] = raw.execute("SELECT value FROM meta WHERE key = 'schema'")
    said = gateway("history", code=3)
    assert "older agi-sms" in said
    assert "stop" in said
    assert ask(gateway, "SELECT value FROM meta WHERE key = 'schema'") == [(before,)]
    assert gateway.stop() == 0


# --- the disk ---------------------------------------------------------------------------------------------------


class Disk:
    """A file system in a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "disk"
        self._image = folder / "image"
        self.path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(32 << 20)
        subprocess.check_call(["mkfs.ext4", "-q", "-F", self._image])

    def mount(self, *options: str) -> None:
        subprocess.check_call(["mount", "-o", ",".join(("loop", *options)), self._image, self.path])

    def fails(self) -> None:
        """As the kernel does when it meets an error: nothing can be written any more."""
        subprocess.check_call(["mount", "-o", "remount,abort", self.path], stderr=subprocess.DEVNULL)

    def mend(self) -> None:
        self.unmount()
        assert subprocess.call(["e2fsck", "-fy", self._image], stdout=subprocess.DEVNULL) in (0, 1)
        self.mount()

    def unmount(self) -> None:
        if self.path.is_mount():
            subprocess.check_call(["umount", self.path])


@pytest.fixture
def disk(tmp_path: Path, gateway: Gateway) -> Iterator[Disk]:
    made = Disk(tmp_path)
    try:
        made.mount()
    except (subprocess.CalledProcessError, OSError) as error:
        pytest.skip(f"no loop device to mount a file system from: {error}")
    yield made
    if gateway.process is not None and gateway.process.poll() is None:
        gateway.process.kill()
        gateway.process.wait()
    made.unmount()


def on(disk: Disk, gateway: Gateway, port: int, **more: Any) -> None:
    gateway.database = disk.path / "box.db"
    node = TREE["nodes"]["desk"] | {"delay": "1h"}
    gateway.write(tree(port, nodes={"desk": node}, database=str(gateway.database), spool={"size": "1MiB"}) | more)


@only_root
@pytest.mark.parametrize("spool_elsewhere", [True, False])
def test_read_only_while_it_runs(gateway: Gateway, port: int, disk: Disk, spool_elsewhere: bool) -> None:
    spool = {"spool": {"size": "1MiB", "path": str(gateway.folder / "spool")}} if spool_elsewhere else {}
    on(disk, gateway, port, **spool)
    process = gateway.start()
    assert call(port, "v-1") == SCHEDULED
    disk.fails()
    answers = {call(port, "v-2"), call(port, "v-3")}
    assert answers == ({SCHEDULED} if spool_elsewhere else {""})
    assert str(gateway.database) in set_aside(gateway)
    if not spool_elsewhere:
        assert any("the dialplan is to write it down" in event for event in gateway.events())
    assert process.poll() is None
    assert gateway.stop() in (0, 1)
    disk.mend()
    gateway.start()
    kept = ["v-1", "v-2", "v-3"] if spool_elsewhere else ["v-1"]
    wait_for("all calls are there", lambda: visits(gateway) == kept, gateway.said)
    assert gateway.stop() == 0


@only_root
def test_read_only_at_the_start(gateway: Gateway, port: int, disk: Disk) -> None:
    on(disk, gateway, port)
    gateway.start()
    assert call(port, "v-1") == SCHEDULED
    assert gateway.stop() == 0
    disk.unmount()
    disk.mount("ro")
    said = gateway.refused(3)
    assert f"{gateway.database} cannot be opened for writing: Read-only file system" in said
    assert "Traceback" not in said
    disk.unmount()
    disk.mount()
    gateway.start()
    assert visits(gateway) == ["v-1"]
    assert gateway.stop() == 0


@only_root
def test_full_at_the_start(gateway: Gateway, port: int, disk: Disk) -> None:
    on(disk, gateway, port)
    gateway.start()
    assert call(port, "v-1") == SCHEDULED
    assert gateway.stop() == 0
    with (disk.path / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    said = gateway.refused(3)
    assert "the disk is full" in said
    assert "make room" in said
    assert "Traceback" not in said
    (disk.path / "filler").unlink()
    gateway.start()
    assert visits(gateway) == ["v-1"]
    assert gateway.stop() == 0
