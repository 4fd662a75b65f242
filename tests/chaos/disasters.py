"""What can be made to go wrong in a running world. Each is a context manager that undoes itself."""

import contextlib
import pathlib
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rig.asterisk import Asterisk
from tests.chaos import keeper, link, plan, windows

ROOM = "192m"  # of the gateway's disk
BLOCK = bytes(1 << 16)
HELD_PATIENCE = 20.0  # seconds until the database is ours to hold


class Disk:
    """A file system of its own, that can be filled up. A context manager; needs root."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.path = directory
        self._filler = directory / "filler"

    def __enter__(self) -> "Disk":
        self.path.mkdir(parents=True)
        command: list[str | pathlib.Path] = [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={ROOM},mode=0700",
            "agi-sms-chaos",
            self.path,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"a full disk cannot be tried here, it takes root and mount: {done.stderr.strip()}")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", self.path], check=True)

    def fill(self) -> None:
        """Leave not one block."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (len(BLOCK), 4096):
                with contextlib.suppress(OSError):
                    while file.write(BLOCK[:size]) == size:
                        pass

    def make_room(self) -> None:
        """Take away what filled it."""
        self._filler.unlink(missing_ok=True)


@dataclass(kw_only=True)
class World:
    """What disasters happen to."""

    asterisk: Asterisk
    keeper: keeper.Keeper
    ari: link.Link
    ami: link.Link
    disk: Disk
    database: pathlib.Path
    provider: str  # its address
    asterisk_busy: threading.Lock = field(default_factory=threading.Lock)


Undoing = contextlib.AbstractContextManager[None]


def _once(what: Callable[[World], None]) -> Callable[[World], Undoing]:
    """For what needs no undoing."""

    @contextlib.contextmanager
    def happen(world: World) -> Iterator[None]:
        what(world)
        yield

    return happen


def _asterisk(end: Callable[[Asterisk], None]) -> Callable[[World], Undoing]:
    @contextlib.contextmanager
    def happen(world: World) -> Iterator[None]:
        end(world.asterisk)
        try:
            yield
        finally:
            world.asterisk.start()

    return happen


def _silence(which: Callable[[World], link.Link]) -> Callable[[World], Undoing]:
    @contextlib.contextmanager
    def happen(world: World) -> Iterator[None]:
        which(world).hush()
        try:
            yield
        finally:
            which(world).speak()

    return happen


@contextlib.contextmanager
def _disk_full(world: World) -> Iterator[None]:
    try:
        world.disk.fill()
        yield
    finally:
        world.disk.make_room()


@contextlib.contextmanager
def _database_held(world: World) -> Iterator[None]:
    connection = sqlite3.connect(world.database, isolation_level=None, timeout=HELD_PATIENCE)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


@contextlib.contextmanager
def _provider_fails(world: World) -> Iterator[None]:
    _tell(world.provider, "fail")
    try:
        yield
    finally:
        _tell(world.provider, "work")


def _tell(address: str, what: str) -> None:
    with urllib.request.urlopen(f"{address}/{what}", data=b"", timeout=10):
        pass


DISASTERS: dict[str, Callable[[World], Undoing]] = {
    plan.PROVIDER: _provider_fails,
    "asterisk-restart": _asterisk(lambda asterisk: asterisk.stop()),
    "asterisk-kill": _asterisk(lambda asterisk: asterisk.kill()),
    "ari-reset": _once(lambda world: world.ari.reset()),
    "ari-silence": _silence(lambda world: world.ari),
    "ami-reset": _once(lambda world: world.ami.reset()),
    "ami-silence": _silence(lambda world: world.ami),
    "disk-full": _disk_full,
    "database-held": _database_held,
}


class Fate:
    """Has every disaster of a plan happen in its time. `happened` and `failed` say how it went."""

    def __init__(self, world: World, disasters: tuple[plan.Disaster, ...]) -> None:
        self.happened: list[windows.Happened] = []
        self.failed: list[str] = []
        self._world = world
        self._over = threading.Event()
        self._began = time.monotonic()
        self._threads = [threading.Thread(target=self._happen, args=(one,)) for one in disasters]
        for thread in self._threads:
            thread.start()

    def _happen(self, disaster: plan.Disaster) -> None:
        if self._over.wait(max(0.0, self._began + disaster.at - time.monotonic())):
            return
        alone = self._world.asterisk_busy if disaster.name.startswith("asterisk") else contextlib.nullcontext()
        with alone:
            began = struck = time.time()
            try:
                if disaster.name == plan.KILL:
                    if not self._kill(disaster.lasts):
                        return
                    struck = time.time()
                else:
                    with DISASTERS[disaster.name](self._world):
                        struck = time.time()
                        self._over.wait(disaster.lasts)
            except Exception as error:
                self.failed.append(f"{disaster.name} at {disaster.at} s: {error!r}")
            self.happened.append(windows.Happened(name=disaster.name, began=began, struck=struck, ended=time.time()))

    def _kill(self, served: float) -> bool:
        if served:
            return self._world.keeper.kill_after(served, self._over)
        self._world.keeper.kill()
        return True

    def under_way(self) -> bool:
        """Whether there is more to come."""
        return any(thread.is_alive() for thread in self._threads)

    def end(self) -> None:
        """Undo what is under way, leave out what was to come."""
        self._over.set()
        for thread in self._threads:
            thread.join()
