"""On what, and beside what, was measured."""

import importlib.metadata
import os
import pathlib
import platform
import sqlite3
from typing import Any

import agi_sms

BUSY = 0.5  # load for each core, before the run
LIBRARIES = ("aioari", "aiohttp", "aiosqlite", "panoramisk", "smpplib")


def load() -> tuple[float, float, float]:
    """The load averages of 1, 5 and 15 minutes."""
    return os.getloadavg()


def busy(before: tuple[float, float, float], cores: int) -> bool:
    """Whether others kept the machine busy before the run."""
    return before[0] > BUSY * cores


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def facts() -> dict[str, Any]:
    """Machine and versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "machine": f"{_cpu()}, {cores()} cores, {memory:.0f} GB, {platform.machine()}",
        "system": f"Linux {platform.release()}",
        "versions": {
            "agi-sms": agi_sms.__version__,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
    }


def _cpu() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return "unknown CPU"
