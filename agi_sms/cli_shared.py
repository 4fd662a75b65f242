"""What the commands of `agi-sms` share: their options, how they read the configuration, how they end."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from datetime import UTC, datetime, time, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar

import click
from click import shell_completion

from agi_sms import durations, errors, message, plain, ports, text

if TYPE_CHECKING:
    from agi_sms import config as configuration
    from agi_sms import dialplan
    from agi_sms.outbox import sqlite

DONE, NOT_DONE, MISTAKES, UNUSABLE = 0, 1, 2, 3
DEFAULT_CONFIG = Path("/etc/agi-sms/agi-sms.yaml")
WIDE = 160  # columns, where there is no terminal that says how many
SHORTEST_ID = 4  # characters of a message's id that are looked for

T = TypeVar("T")

# --- options --------------------------------------------------------------------------------------------------

Completion = Callable[[click.Context, click.Parameter, str], list[shell_completion.CompletionItem]]
_MOST_COMPLETED = 50


def config_path(ctx: click.Context) -> Path:
    """The main file, for tab completion: before the options are read."""
    return Path(ctx.params.get("config_file") or os.environ.get("AGI_SMS_CONFIG") or DEFAULT_CONFIG)


def complete_messages(statuses: Collection[message.Status] = tuple(message.Status)) -> Completion:
    """Tab completion of the newest messages' ids, also by their ends; silent where they cannot be read."""

    def complete(ctx: click.Context, _: click.Parameter, typed: str) -> list[shell_completion.CompletionItem]:
        found: list[message.Message] = []
        with contextlib.suppress(Exception):  # whatever it is, a command tells it better
            database = settings(config_path(ctx)).database
            found = asyncio.run(_newest(database, statuses)) if database.exists() else []
        return [
            shell_completion.CompletionItem(one.id, help=f"{one.node}: {one.status}")
            for one in found
            if one.id.startswith(typed) or one.id.endswith(typed)
        ]

    return complete


async def _newest(database: Path, statuses: Collection[message.Status]) -> list[message.Message]:
    async with opened(database) as box:
        if set(statuses) == set(message.Status):
            return await box.history(ports.Query(limit=_MOST_COMPLETED))
        found = [await box.history(ports.Query(status=one, limit=_MOST_COMPLETED)) for one in statuses]
    return sorted((one for part in found for one in part), key=lambda one: one.id, reverse=True)[:_MOST_COMPLETED]


def complete_nodes(ctx: click.Context, _: click.Parameter, typed: str) -> list[shell_completion.CompletionItem]:
    """Tab completion of node names; silent where the config cannot be read."""
    with contextlib.suppress(errors.AgiSmsError, OSError):
        loaded = read(config_path(ctx))
        return [
            shell_completion.CompletionItem(name, help=node.description)
            for name, node in loaded.nodes.items()
            if name.startswith(typed)
        ]
    return []


def moment(ctx: click.Context, _: click.Parameter, value: str | None) -> datetime | None:
    """A time, in the configured zone where it names none."""
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        return datetime.now(UTC) - durations.parse(value)
    zone: tzinfo | None = None
    with contextlib.suppress(errors.ConfigError):
        zone = settings(config_path(ctx)).time_zone
    with contextlib.suppress(ValueError):
        return _within(zone, datetime.combine(datetime.now(zone).date(), time.fromisoformat(value)))
    with contextlib.suppress(ValueError):
        return _within(zone, datetime.fromisoformat(value))
    raise click.BadParameter("write 2026-11-23, 2026-11-23T14:05, 14:05 (today), or a time ago: 2h, 30m, 7d")


def _within(zone: tzinfo | None, at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=zone).astimezone(zone)


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
    is_eager=True,  # other options are read as it says
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


def saved_dialplan(file: TextIO) -> "dialplan.Dialplan":
    """What `dialplan show` printed into a file; one that is none ends the command."""
    from agi_sms import dialplan

    try:
        return dialplan.parse_show(file.read())
    except (dialplan.Unreadable, OSError) as error:
        fail(f"{file.name}: {error}", MISTAKES)


def fail(told: str, code: int) -> NoReturn:
    click.echo(told, err=True)
    sys.exit(code)


def read(path: Path) -> "configuration.Config":
    from agi_sms import config as configuration

    return configuration.load(path, os.environ)


def load(path: Path) -> "configuration.Config":
    try:
        loaded = read(path)
    except errors.ConfigError as error:
        refuse(error)
    _show_times_of(loaded.settings.time_zone)
    return loaded


def _show_times_of(zone: tzinfo) -> None:
    """For as long as the command runs."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.call_on_close(lambda: plain.show_times_of(None))
    plain.show_times_of(zone)


def refuse(error: errors.ConfigError) -> NoReturn:
    fail(f"{error}\n{text.counted(len(error.mistakes), 'mistake')} in the configuration", MISTAKES)


def sizes(loaded: "configuration.Config") -> str:
    return f"{text.counted(len(loaded.nodes), 'node')}, {text.counted(len(loaded.providers), 'provider')}"


def width() -> int | None:
    """Columns of the terminal; None where nobody reads along."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show(*tables: Any) -> None:
    """Print tables, as wide as the terminal, or as is easy to read where there is none."""
    from rich import console

    out = console.Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    for one in tables:
        out.print(one)


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


async def chosen(box: "sqlite.SqliteOutbox", message_id: str) -> message.Message:
    """The message of this id, or of one that ends or begins so; raises ArgumentError that says why there is none."""
    found = await box.history(ports.Query(message_id=message_id))
    exact = [one for one in found if one.id == message_id] or found
    if len(exact) == 1:
        return exact[0]
    if found:
        raise errors.ArgumentError(f"{len(found)} messages are called {message_id}; write more of the id")
    if len(message_id) < SHORTEST_ID:
        raise errors.ArgumentError(f"{message_id} is too short: at least the last {SHORTEST_ID} characters of an id")
    raise errors.ArgumentError(f"no message {message_id}; `agi-sms history` lists them")


def settings(config_file: Path) -> "configuration.Basics":
    """For commands that need nothing else: mistakes elsewhere are no hindrance. Raises errors.ConfigError."""
    from agi_sms import config as configuration

    return configuration.basics(config_file, os.environ)


def basics(config_file: Path) -> "configuration.Basics":
    """The same, telling of the mistakes; times are shown in the configured zone from now on."""
    try:
        found = settings(config_file)
    except errors.ConfigError as error:
        refuse(error)
    if found.mistakes:
        click.echo(f"the configuration has mistakes (agi-sms check); reading {found.database}", err=True)
    _show_times_of(found.time_zone)
    return found


def database(config_file: Path) -> Path:
    """Where the outbox is."""
    return basics(config_file).database


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
