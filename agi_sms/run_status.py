"""What a running gateway says of itself, in a file beside its database, for the commands that ask."""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


def path(database: Path) -> Path:
    """Where a running gateway says which configuration it runs on."""
    return database.with_name(database.name + ".status")


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """What a running gateway says of itself: how often it was told to reload, and what was wrong the last time."""

    pid: int
    reloads: int
    error: str = ""
    restart: tuple[str, ...] = ()  # keys that the last reload could not take
    doors: Mapping[str, str] = field(default_factory=dict)  # `ari PBX` and `ami PBX`, each with its link.State
    left_alone: Mapping[str, str] = field(default_factory=dict)  # providers, until when (ISO 8601)
    stranded: Mapping[str, int] = field(default_factory=dict)  # messages by their routes, of no provider that there is

    @property
    def health(self) -> dict[str, datetime]:
        """Which providers are left alone, and until when."""
        return {name: datetime.fromisoformat(until) for name, until in self.left_alone.items()}


def stranded(waiting: Mapping[tuple[str, ...], int], there: Collection[str]) -> dict[str, int]:
    """Of the messages that wait, by their routes, those of routes that name no provider that is `there`."""
    return {", ".join(route): count for route, count in waiting.items() if route and not set(route) & set(there)}


def read(database: Path) -> RunStatus | None:
    """None where no gateway runs, or what it says cannot be read."""
    try:
        facts = json.loads(path(database).read_text(encoding="utf-8"))
        return RunStatus(**{**facts, "restart": tuple(facts["restart"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(database: Path, status: RunStatus) -> None:
    """For us alone to read; what cannot be written is logged, and no more."""
    whole = path(database)
    fresh = whole.with_name(whole.name + ".new")
    try:
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(status), file)
        fresh.replace(whole)
    except OSError as error:
        log.warning("cannot write the status file", path=str(whole), error=str(error))
