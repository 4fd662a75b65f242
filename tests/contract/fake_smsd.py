"""gammu-smsd as its files service behaves, without a modem."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agi_sms.providers import gammu

REPORT = """; This file format was designed for Gammu and is compatible with Gammu+

[SMSBackup000]
; {verdict}
PDU = {kind}
DateTime = 20260301T120000Z
State = UnRead
Number = "{number}"
Text00 = {text}
Coding = Unicode_No_Compression
Folder = 1
MessageReference = 255
"""


@dataclass
class Smsd:
    """The folders, and a daemon that reads the first file of its outbox and moves it, as smsd does.

    `into` is where the next ones go; "outbox": it reads a file, and then says nothing more.
    """

    folder: Path
    into: str = "sent"
    read: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("outbox", "sent", "error", "inbox"):
            self.at(name).mkdir(exist_ok=True)

    def at(self, name: str) -> Path:
        return self.folder / name

    def names(self, name: str) -> list[str]:
        return sorted(path.name for path in self.at(name).iterdir())

    def refs(self) -> list[str]:
        """The messages among the sent ones."""
        return [name.rsplit("_", 1)[1].partition(".")[0] for name in self.names("sent")]

    def turn(self) -> None:
        """One round of its loop."""
        waiting = [name for name in self.names("outbox") if name.startswith("OUT")]
        if waiting:
            path = self.at("outbox") / waiting[0]
            self.read.append(path.read_bytes().removeprefix(b"\xfe\xff").decode("utf-16-be"))
            path.rename(self.at(self.into) / path.name)

    def settings(self, **changes: Any) -> gammu.GammuSettings:
        raw = {"type": "gammu", **{name: self.at(name) for name in ("outbox", "sent", "error")}, "timeout": "5s"}
        return gammu.GammuSettings.model_validate(raw | changes)

    def report(self, verdict: str, *, number: str = "+48600100200", kind: str = "Status_Report", at: float = 0) -> None:
        """What the network says, as smsd writes it."""
        path = self.at("inbox") / f"IN20260301_120000_{len(self.names('inbox')):02d}_{number}_00.txt"
        text = verdict.encode("utf-16-be").hex().upper()
        path.write_text(REPORT.format(verdict=verdict, number=number, kind=kind, text=text))
        if at:
            os.utime(path, (at, at))


@contextlib.asynccontextmanager
async def running(smsd: Smsd) -> AsyncIterator[Smsd]:
    """smsd works."""

    async def work() -> None:
        while True:
            smsd.turn()
            await asyncio.sleep(0.002)

    task = asyncio.create_task(work())
    try:
        yield smsd
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task.exception()
