"""What the commands of `agi-sms` share: their options, how they read the configuration, how they end."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from click import shell_completion

from agi_sms import durations, errors, message, ports, text

if TYPE_CHECKING:
    from agi_sms import config as configuration
    from agi_sms.outbox import sqlite

DONE, NOT_DONE, MISTAKES, UNUSABLE = 0, 1, 2, 3
DEFAULT_CONFIG = Path("/etc/agi-sms/agi-sms.yaml")

T = TypeVar("T")

# --- options --------------------------------------------------------------------------------------------------


def complete_nodes(ctx: click.Context, _: click.Parameter, typed: str) -> list[shell_completion.CompletionItem]:
    """Tab completion of node names; silent where the config cannot be read."""
    from agi_sms import config as configuration

    path = Path(ctx.params.get("config_file") or os.environ.get("AGI_SMS_CONFIG") or DEFAULT_CONFIG)
    with contextlib.suppress(errors.AgiSmsError, OSError):
        loaded = configuration.load(path, os.environ)
        return [
            shell_completion.CompletionItem(name, help=node.description)
            for name, node in loaded.nodes.items()
            if name.startswith(typed)
        ]
    return []


def moment(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        return datetime.combine(datetime.now().astimezone(), time.fromisoformat(value)).astimezone()
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(value).astimezone()
    with contextlib.suppress(ValueError):
        return datetime.now().astimezone() - durations.parse(value)
    raise click.BadParameter("write 2026-11-23, 2026-11-23T14:05, 14:05 (today), or a time ago: 2h, 30m, 7d")


def pairs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{value!r}: write NAME=VALUE")
        pairs[name] = rest
    return pairs


config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="AGI_SMS_CONFIG",
    default=DEFAULT_CONFIG,
    show_default=True,
    show_envvar=True,
    help="The main configuration file; nodes.d and templates.d are found beside it.",
)


# --- configuration, outbox, end -------------------------------------------------------------------------------


def known_nodes(config_file: Path) -> frozenset[str]:
    with contextlib.suppress(errors.ConfigError):
        return frozenset(read(config_file).nodes)
    return frozenset()


def fail(told: str, code: int) -> NoReturn:
    click.echo(told, err=True)
    sys.exit(code)


def read(path: Path) -> "configuration.Config":
    from agi_sms import config as configuration

    return configuration.load(path, os.environ)


def load(path: Path) -> "configuration.Config":
    try:
        return read(path)
    except errors.ConfigError as error:
        refuse(error)


def refuse(error: errors.ConfigError) -> NoReturn:
    fail(f"{error}\n{text.counted(len(error.mistakes), 'mistake')} in the configuration", MISTAKES)


def sizes(loaded: "configuration.Config") -> str:
    return f"{text.counted(len(loaded.nodes), 'node')}, {text.counted(len(loaded.providers), 'provider')}"


def width() -> int | None:
    """Columns of the terminal; None where nobody reads along."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def query(
    *, status: str | None = None, number: str | None = None, limit: int | None = None, **rest: Any
) -> ports.Query:
    if number is not None:
        number = "".join(c for c in number if c.isdigit() or c == "+")
    return ports.Query(status=message.Status(status) if status else None, number=number, limit=limit, **rest)


@contextlib.asynccontextmanager
async def opened(path: Path) -> "AsyncIterator[sqlite.SqliteOutbox]":
    from agi_sms import clock
    from agi_sms.outbox import sqlite

    box = await sqlite.SqliteOutbox.open(path, clock=clock.now)
    try:
        yield box
    finally:
        await box.close()


def with_outbox(
    database: Path,
    work: "Callable[[sqlite.SqliteOutbox], Coroutine[Any, Any, T]]",
    *,
    fresh: bool = False,
) -> T:
    """Ask the outbox; `fresh` is for what may be the first to use it."""
    if not fresh and not database.exists():
        fail(f"no messages yet: {database} is made by the gateway's first start (agi-sms run)", NOT_DONE)

    async def ask() -> T:
        async with opened(database) as box:
            return await work(box)

    return finish(ask())


def database(config_file: Path) -> Path:
    """For commands that need nothing else: mistakes elsewhere are told, and are no hindrance."""
    from agi_sms import config as configuration

    try:
        return read(config_file).settings.database
    except errors.ConfigError as error:
        found = configuration.database(config_file, os.environ)
        if found is None:
            refuse(error)
        click.echo(f"the configuration has mistakes (agi-sms check); reading {found}", err=True)
        return found


def wake(database: Path) -> bool:
    """Tell a running gateway that there is something to do; False where none runs."""
    from agi_sms.outbox import sqlite

    pid = sqlite.owner_pid(database)
    if pid is None:
        return False
    with contextlib.suppress(PermissionError):  # it looks by itself every few seconds
        os.kill(pid, signal.SIGUSR1)
    return True


def finish(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (errors.OutboxError, errors.SpoolError) as error:
        fail(str(error), UNUSABLE)
    except errors.AgiSmsError as error:
        fail(str(error), NOT_DONE)
