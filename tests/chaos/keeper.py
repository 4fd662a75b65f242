"""Runs the gateway as systemd does with Restart=always: whenever it ends, it is started again."""

import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time
import types
from dataclasses import dataclass
from typing import Self

from tests.acceptance import gateway as gateways

AGAIN_AFTER = 0.1  # seconds
LOOK_EVERY = 0.05  # seconds
PATIENCE = 6.0  # seconds that a killer waits for a gateway that does not come to serve
SERVES = (b'"connected to Asterisk', b'"door":"ari"')  # both in one line of its log


@dataclass(frozen=True, kw_only=True)
class Ending:
    """One end of the process: when, its exit code, and whether it was us."""

    at: float
    code: int
    killed: bool


class Keeper:
    """Keeps one gateway running; a context manager."""

    def __init__(self, gateway: gateways.Gateway) -> None:
        self.endings: list[Ending] = []
        self._gateway = gateway
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._ours = False
        self._log_begins = 0
        self._serves_since: float | None = None
        self._killing = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        """SIGTERM, and wait for its end."""
        self._stopping.set()
        with self._lock:
            if self._process is not None:
                self._process.terminate()
        self._thread.join(gateways.PATIENCE)
        if self._thread.is_alive():
            self.kill()
            self._thread.join()
            if error is None:
                raise AssertionError("the gateway does not end on SIGTERM")

    def kill_after(self, served: float, give_up: threading.Event) -> bool:
        """SIGKILL once it has served calls for so many seconds; whether that was ours to do, or somebody waits already.

        One that needs longer to start than there is between two kills, as on a busy machine, would never serve.
        """
        if not self._killing.acquire(blocking=False):
            return False
        try:
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end and not give_up.is_set():
                since = self._looked()
                if since is not None and time.monotonic() - since >= served:
                    break
                give_up.wait(LOOK_EVERY)
            if give_up.is_set():
                return False
            self.kill()
            return True
        finally:
            self._killing.release()

    def _looked(self) -> float | None:
        """Since when it serves calls, by its log; None while it does not yet."""
        with self._lock:
            if self._serves_since is None:
                with (self._gateway.directory / "gateway.log").open("rb") as log:
                    log.seek(self._log_begins)
                    if any(all(part in line for part in SERVES) for line in log):
                        self._serves_since = time.monotonic()
            return self._serves_since

    def kill(self) -> None:
        """SIGKILL; harmless where it does not run just now."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._process is not None and self._process.poll() is None:
                self._ours = True
                os.kill(self._process.pid, signal.SIGKILL)

    def _keep(self) -> None:
        folder = self._gateway.directory
        command: list[str | pathlib.Path] = [gateways.AGI_SMS, "run", "--config", self._gateway.config]
        with (folder / "gateway.log").open("ab") as log, (folder / "gateway.out").open("ab") as out:
            while not self._stopping.is_set():
                with self._lock:
                    self._ours, self._serves_since = False, None
                    self._log_begins = (folder / "gateway.log").stat().st_size
                    self._process = subprocess.Popen(command, stdout=out, stderr=log, cwd=folder)
                code = self._process.wait()
                self.endings.append(Ending(at=time.time(), code=code, killed=self._ours or self._stopping.is_set()))
                self._stopping.wait(AGAIN_AFTER)
