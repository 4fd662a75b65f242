"""The database held by another process, and the disk full: calls go on within the hold budget, nothing is lost."""

import collections.abc
import contextlib
import pathlib
import sqlite3
import subprocess
import time
from collections import Counter

import pytest

from rig import sipp
from tests.acceptance import gateway as gateways
from tests.acceptance import lab as labs
from tests.acceptance.gateway import wait_for

pytestmark = pytest.mark.asterisk

BUDGET_MS = 150 + 350  # the outbox, then the spool
MARGIN_MS = 500  # a busy machine, and two requests to Asterisk
HELD_SECONDS = 10
ROOM = "8m"  # of the disk that fills up
LONG = "ł" * 10_000  # so that a few calls fill the smallest spool

DIALPLAN = f"""{labs.VISIT}
[from-trunk]
exten => 400,1,Gosub(visit,s,1(many))
 same => n,Hangup()
exten => 401,1,Gosub(visit,s,1(long))
 same => n,Hangup()
"""


class SmallDisk:
    """A file system of its own, that can be filled up. A context manager; needs root, and says so."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.path = directory
        self._filler = directory / "filler"

    def __enter__(self) -> "SmallDisk":
        self.path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=0700", "agi-sms-test", self.path],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(f"a full disk cannot be tried here, it takes root and mount: {done.stderr}", pytrace=False)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", self.path], check=True)

    def fill(self) -> None:
        """Leave not one block."""
        with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def full(self) -> bool:
        """Whether there is still not one block."""
        with (self.path / "probe").open("ab", buffering=0) as file:
            try:
                file.write(bytes(4096))
            except OSError:
                return True
            return False

    def make_room(self) -> None:
        """Take away what filled it."""
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> collections.abc.Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "disk") as mounted:
        yield mounted


@pytest.fixture
def lab_on_disk(disk: SmallDisk, lab: labs.Lab) -> labs.Lab:
    """A lab whose gateways are stopped before the disk goes."""
    return lab


def on(disk: SmallDisk, lab: labs.Lab) -> gateways.Gateway:
    """A gateway whose database and spool are on the small disk, and what it sends is not."""
    node = labs.NODES["many"]
    gateway = lab.gateway(
        {"many": node, "long": {**node, "content": {"text": LONG}, "max_segments": 255}},
        database=str(disk.path / "agi-sms.db"),
        spool={"size": "1MiB"},
    )
    gateway.database = disk.path / "agi-sms.db"
    return gateway.start()


def call(lab: labs.Lab, number: str, calls: int, rate: float) -> int:
    """Place calls; how many were made, each of which Asterisk ended in its own time."""
    result = sipp.place(lab.asterisk, number, calls=calls, rate=rate, hold=0.1, deadline=60)
    lab.asterisk.wait_for_no_channels()
    return len(result.calls)


def within_the_budget(lab: labs.Lab, status: str, calls: int) -> None:
    """Every call of this status, so many of them, was in the node no longer than it may be."""
    took = [one.took_ms for one in lab.seen() if one.status == status]
    assert len(took) == calls
    assert max(took) <= BUDGET_MS + MARGIN_MS


def all_there(lab: labs.Lab, gateway: gateways.Gateway, made: collections.abc.Mapping[str, int]) -> None:
    """Each call made is one activation with one message, sent once."""
    labs.wait_messages(gateway, {(node, "accepted"): calls for node, calls in made.items()}, deadline=60)
    assert Counter(row["node"] for row in labs.activations(gateway)) == made
    assert Counter(line["node"] for line in gateway.sent()) == made
    assert len({line["ref"] for line in gateway.sent()}) == sum(made.values())


def test_another_process_holds_the_database(lab: labs.Lab) -> None:
    gateway = lab.gateway().start()
    assert call(lab, "400", 1, 1) == 1  # one before
    labs.wait_messages(gateway, {("many", "accepted"): 1})
    with contextlib.closing(sqlite3.connect(gateway.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        made = call(lab, "400", 50, 5)
        wait_for("it is held long enough", lambda: time.monotonic() - began > HELD_SECONDS)
        assert other.execute("SELECT count(*) FROM activations").fetchone() == (1,)
        other.execute("ROLLBACK")
    assert made == 50
    within_the_budget(lab, "SCHEDULED", 1 + made)
    all_there(lab, gateway, {"many": 1 + made})
    assert labs.missed(lab.asterisk) == set()


def test_killed_while_another_process_holds_the_database(lab: labs.Lab) -> None:
    """What was set aside is on disk too."""
    gateway = lab.gateway().start()
    with contextlib.closing(sqlite3.connect(gateway.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        made = call(lab, "400", 10, 10)
        gateway.kill()
        other.execute("ROLLBACK")
    within_the_budget(lab, "SCHEDULED", made)
    assert labs.activations(gateway) == []
    gateway.start()
    all_there(lab, gateway, {"many": made})


def test_disk_full(lab_on_disk: labs.Lab, disk: SmallDisk) -> None:
    """The spool has its room already."""
    lab = lab_on_disk
    gateway = on(disk, lab)
    assert call(lab, "400", 1, 1) == 1
    labs.wait_messages(gateway, {("many", "accepted"): 1})
    disk.fill()
    made = call(lab, "400", 30, 10)
    assert disk.full()
    assert gateway.running()
    assert gateway.events("the outbox does not take new calls; they are set aside in the spool")
    within_the_budget(lab, "SCHEDULED", 1 + made)
    disk.make_room()
    all_there(lab, gateway, {"many": 1 + made})
    assert labs.missed(lab.asterisk) == set()


def test_disk_and_spool_full(lab_on_disk: labs.Lab, disk: SmallDisk) -> None:
    """Then the dialplan writes the visits down, and the gateway takes them when there is room again."""
    lab = lab_on_disk
    gateway = on(disk, lab)
    assert call(lab, "400", 1, 1) == 1
    labs.wait_messages(gateway, {("many", "accepted"): 1})
    disk.fill()
    made = call(lab, "401", 60, 10)
    assert disk.full()
    told = Counter(one.status for one in lab.seen())
    assert told["SCHEDULED"] >= 2  # one before, and what the spool had room for
    assert told["MISSED"] >= 10
    assert told.total() == 1 + made
    assert max(one.took_ms for one in lab.seen()) <= BUDGET_MS + MARGIN_MS
    assert len(labs.missed(lab.asterisk)) == told["MISSED"]
    disk.make_room()
    all_there(lab, gateway, {"many": 1, "long": made})
    wait_for("the missed visits are taken out of AstDB", lambda: not labs.missed(lab.asterisk), deadline=45)
    assert len(labs.activations(gateway)) == 1 + made
