"""Fixtures that several contract suites share."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from agi_sms import ports
from tests.contract import stores

STORES = {"sqlite": stores.SqliteStore}


@pytest.fixture(params=sorted(STORES))
def outbox_factory(request: pytest.FixtureRequest, tmp_path: Path) -> stores.Store:
    """A fresh store of each implementation; `open()` gives outboxes on it."""
    return STORES[request.param](tmp_path)


@pytest.fixture
async def outbox(outbox_factory: stores.Store) -> AsyncIterator[ports.Outbox]:
    """One outbox on the fresh store."""
    opened = await outbox_factory.open()
    yield opened
    await opened.close()


@pytest.fixture(params=sorted(STORES))
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[stores.Store]:
    """A store on a disk of 4 MiB that can be filled for real; where none may be mounted, one that may not grow."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and not subprocess.call(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "agi-sms-test", str(folder)], stderr=subprocess.DEVNULL
    )
    try:
        yield STORES[request.param](folder, on_small_disk=mounted)
    finally:
        if mounted:
            subprocess.check_call(["umount", "-l", str(folder)])


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """What is logged meanwhile."""
    with structlog.testing.capture_logs() as lines:
        yield lines
