"""Slow steps, shown as they go: one line each, with the seconds; their own output goes to a log file."""

import collections.abc
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from rig import errors

TICK = 1.0


@contextlib.contextmanager
def shown(what: str) -> collections.abc.Iterator[None]:
    """Show a step while it runs; on a terminal its seconds are counted."""
    begin = time.monotonic()
    done = threading.Event()
    terminal = sys.stderr.isatty()

    def count() -> None:
        while not done.wait(TICK):
            print(f"\r{what} ... {time.monotonic() - begin:.0f} s", end="", file=sys.stderr, flush=True)

    print(f"{what} ...", end="" if terminal else "\n", file=sys.stderr, flush=True)
    ticker = threading.Thread(target=count, daemon=True)
    if terminal:
        ticker.start()
    ended = "failed after"
    try:
        yield
        ended = "done in"
    finally:
        done.set()
        if terminal:
            ticker.join()
        start = "\r" if terminal else ""
        print(f"{start}{what}: {ended} {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)


def run(what: str, command: list[str], *, stdin: bytes | None = None, env: dict[str, str] | None = None) -> None:
    """Run a slow command as a shown step; raises errors.BuildFailed, naming the log, when it fails."""
    number, name = tempfile.mkstemp(prefix="agi-sms-", suffix=".log")
    log = pathlib.Path(name)
    with os.fdopen(number, "wb") as output:
        try:
            with shown(what):
                ended = subprocess.run(
                    command, input=stdin, stdout=output, stderr=output, check=False, env={**os.environ, **(env or {})}
                )
                if ended.returncode != 0:
                    raise errors.BuildFailed(f"{what} failed, see {log}")
        except FileNotFoundError as error:
            raise errors.BuildFailed(f"{what} failed: {error}") from error
    log.unlink()
