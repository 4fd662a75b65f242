"""One peer in a container of the peers' image; it ends with the process that started it, whatever becomes of that."""

import collections.abc
import contextlib
import os
import pathlib
import subprocess
import threading
import time
import types
import typing
import uuid

from rig import engine, errors, images

HOST = "127.0.0.1"
PATIENCE = 30.0  # seconds, for a busy machine
TAIL = 2000  # characters of a log that an error shows


class Peer:
    """A program that runs in its container while its standard input is open; a context manager.

    A subclass says in start() how it is known to be up. `log` is what it printed so far, on both streams, also before
    it was last started.
    """

    def __init__(self, name: str, command: list[str], *, files: dict[pathlib.Path, str] | None = None) -> None:
        """Say what to run, and which of our directories and files it sees where; nothing runs yet."""
        self.name = name
        self.container = f"agi-sms-{name}-{uuid.uuid4().hex[:12]}"
        self._program = command
        self._files = files or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._lines: list[str] = []
        self._began = 0
        self._news = threading.Condition()

    # --- life cycle ---

    def start(self) -> None:
        """Start the container; raises errors.NoEngine, errors.BuildFailed."""
        image = images.peers()
        engine.remove_orphans()
        self._began = len(self._lines)
        mounts = [option for ours, theirs in self._files.items() for option in ("-v", f"{ours.resolve()}:{theirs}")]
        options = ["--network", "host", "--user", f"{os.getuid()}:{os.getgid()}", *engine.labels(), *mounts]
        self._process = subprocess.Popen(
            ["docker", "run", "--rm", "-i", "--init", "--name", self.container, *options, image, *self._program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the test; it then stops its peers itself.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line.decode(errors="replace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def running(self) -> bool:
        """Tell whether it runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kill it without warning; start() starts another with the same ports."""
        if self.running():
            engine.remove(self.container)
        self.stop()

    def stop(self) -> None:
        """End it, and return when its container is gone."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._reader is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            engine.remove(self.container)
            self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self._process.stdout.close()
        self._process = None

    def __enter__(self) -> typing.Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.stop()

    # --- talking with it ---

    def write(self, line: str) -> None:
        """Give it one line on its standard input; raises errors.RigError where it has ended."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise errors.RigError(f"{self.name} has ended:\n{self.log[-TAIL:]}") from error

    @property
    def lines(self) -> list[str]:
        """What it printed so far, line by line."""
        with self._news:
            return list(self._lines)

    @property
    def log(self) -> str:
        """What it printed so far."""
        return "\n".join(self.lines)

    def wait_for(self, what: str, condition: collections.abc.Callable[[], bool], *, deadline: float = PATIENCE) -> None:
        """Wait until a condition holds; raises errors.NotReady, with the end of the log, when it does not."""
        end = time.monotonic() + deadline
        while not condition():
            if not self.running():
                assert self._reader is not None
                self._reader.join(PATIENCE)
                if condition():
                    return
                raise errors.NotReady(f"{self.name}: ended before this: {what}\n{self.log[-TAIL:]}")
            if time.monotonic() > end:
                raise errors.NotReady(f"{self.name}: not within {deadline:.0f} s: {what}\n{self.log[-TAIL:]}")
            # A line wakes us; what shows elsewhere (a port, a file) is looked at now and then.
            with self._news:
                self._news.wait(0.02)

    def wait_for_line(self, text: str, *, deadline: float = PATIENCE) -> None:
        """Wait until a line since the last start has this text in it; raises errors.NotReady."""
        wanted = f"{text!r} in the log"
        self.wait_for(wanted, lambda: any(text in line for line in self.lines[self._began :]), deadline=deadline)
