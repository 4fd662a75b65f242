"""The command `agi-sms`. Exit codes: 0 done, 1 not done, 2 mistakes in config or usage, 3 database unusable."""

import asyncio
import contextlib
import getpass
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime, time
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from click import shell_completion

import agi_sms
from agi_sms import durations, errors, message, ports

if TYPE_CHECKING:
    from agi_sms import config as configuration
    from agi_sms.outbox import sqlite

DONE, NOT_DONE, MISTAKES, UNUSABLE = 0, 1, 2, 3
DEFAULT_CONFIG = Path("/etc/agi-sms/agi-sms.yaml")
WIDE = 160  # columns, where there is no terminal that says how many
RELOAD_PATIENCE = 15.0  # seconds

T = TypeVar("T")


def _nodes(ctx: click.Context, _: click.Parameter, typed: str) -> list[shell_completion.CompletionItem]:
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


def _moment(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        return datetime.combine(datetime.now().astimezone(), time.fromisoformat(value)).astimezone()
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(value).astimezone()
    with contextlib.suppress(ValueError):
        return datetime.now().astimezone() - durations.parse(value)
    raise click.BadParameter("write 2026-11-23, 2026-11-23T14:05, 14:05 (today), or a time ago: 2h, 30m, 7d")


def _pairs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(agi_sms.__version__, prog_name="agi-sms")
def main() -> None:
    """SMS gateway node for Asterisk: a call reaches the node, the call goes on, the SMS goes out.

    \b
    First steps:
      agi-sms check                                  is the configuration right?
      agi-sms trigger NODE --caller +48600100200 --dry-run    what would be sent?
      agi-sms run                                    serve calls
      agi-sms history                                what became of the messages
    """


@main.command()
@config_option
def run(config_file: Path) -> None:
    """Serve calls until SIGTERM; SIGHUP takes a new configuration."""
    from agi_sms import logs, service

    loaded = _load(config_file)
    logs.configure(**loaded.settings.log.model_dump())
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    if not loaded.settings.pbx:
        click.echo(
            "warning: no pbx is configured: no call can arrive, only `agi-sms trigger` makes messages",
            err=True,
        )
    _finish(service.Service(loaded, lambda: _read(config_file)).run())


@main.command()
@config_option
@click.option("-v", "--verbose", is_flag=True, help="Also show each node's text as a sample call would make it.")
def check(config_file: Path, verbose: bool) -> None:
    """Find every mistake in the configuration before a call does.

    Prints each as `file:line: key: what is wrong, what would be right`. Exit code 0, or 2 with mistakes.
    """
    from agi_sms import config as configuration

    click.echo(configuration.format_report(_load(config_file), verbose=verbose))


@main.command()
@config_option
def reload(config_file: Path) -> None:
    """Check the configuration, then have the running gateway take it. Exit code 1 if it does not run."""
    from agi_sms import service
    from agi_sms.outbox import sqlite

    loaded = _load(config_file)
    database = loaded.settings.database
    pid = sqlite.owner_pid(database)
    if pid is None and not os.access(database.parent, os.X_OK):
        _fail(f"{database.parent} is closed to this user; reload as the user that runs the gateway", NOT_DONE)
    if pid is None:
        _fail(f"no gateway runs on {database}; start it with: agi-sms run", NOT_DONE)
    before = service.read_status(database)
    os.kill(pid, signal.SIGHUP)
    deadline = monotonic() + RELOAD_PATIENCE
    while monotonic() < deadline:
        after = service.read_status(database)
        if after is not None and before is not None and after.reloads > before.reloads:
            if after.error:
                _fail(f"the gateway kept its old configuration:\n{after.error}", MISTAKES)
            click.echo(f"reloaded: {len(loaded.nodes)} nodes, {len(loaded.providers)} providers")
            if after.restart:
                click.echo(f"these keys change with a restart only: {', '.join(after.restart)}", err=True)
            return
        sleep(0.05)
    _fail(f"the gateway (pid {pid}) did not answer within {RELOAD_PATIENCE:.0f} s; see its log", NOT_DONE)


@main.command()
@config_option
@click.option("--node", shell_complete=_nodes, help="Only this node's messages.")
@click.option("--status", type=click.Choice([str(s) for s in message.Status]), help="Only with this status.")
@click.option("--call", "call_id", help="Only of this call (its call id).")
@click.option("--number", help="Only to this number; its last digits are enough.")
@click.option("--since", callback=_moment, help="Only from this time on: 2026-11-23T14:05, 14:05, or ago: 2h.")
@click.option("--until", callback=_moment, help="Only before this time.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most so many.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def history(config_file: Path, form: str, limit: int, **wanted: Any) -> None:
    """What was sent, what will be, and why somebody got nothing. Newest first.

    Numbers and texts are shown in full here; the log masks them.
    """
    from rich import console

    from agi_sms import show

    database = _database(config_file)
    found: list[message.Message] = []
    if database.exists():
        found = _with_outbox(database, lambda box: box.history(_query(limit=limit, **wanted)))
    if form == "json":
        click.echo(show.history_json(found))
    elif form == "csv":
        click.echo(show.history_csv(found), nl=False)
    elif not found:
        click.echo("no messages")
        if wanted["node"] and wanted["node"] not in _known_nodes(config_file):
            click.echo(f"the configuration has no node {wanted['node']}", err=True)
    else:
        out = console.Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
        out.print(show.history_table(found))
        if len(found) == limit:
            click.echo(f"the newest {limit}; more with --limit")


@main.command()
@config_option
@click.argument("message_id")
def explain(config_file: Path, message_id: str) -> None:
    """Tell one message's whole story: the call, the node, why these recipients, each attempt."""
    from rich import console

    from agi_sms import show

    story = _with_outbox(_database(config_file), lambda box: box.story(message_id))
    if story is None:
        _fail(f"no message {message_id}; `agi-sms history` lists them", NOT_DONE)
    show.explain(console.Console(highlight=False, soft_wrap=True), story)


@main.command()
@config_option
@click.argument("node", shell_complete=_nodes)
@click.option("--caller", default="", help="Who calls, as the trunk would write it.")
@click.option("--withheld", is_flag=True, help="The caller withholds the number.")
@click.option("--caller-name", default="", help="The caller's name.")
@click.option("--dialled", default="", help="The number that was called.")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", callback=_pairs, help="As var.NAME=.")
@click.option("--recipients", help="As recipients= from the dialplan.")
@click.option("--sender", help="As sender= from the dialplan.")
@click.option("--delay", help="As delay= from the dialplan.")
@click.option("--call", "call_id", help="The call's id, to try once_per_call.  [default: a new one]")
@click.option("--pbx", help="Whose number format counts.  [default: the first one]")
@click.option("--trunk", default="", help="The trunk it came in by.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent; store and send nothing.")
def trigger(config_file: Path, dry_run: bool, **asked: Any) -> None:
    """Do what a call to NODE would do, without a call."""
    from agi_sms import trigger as triggering

    loaded = _load(config_file)
    try:
        visit = triggering.visit(loaded, **asked)
        planned = triggering.planned(loaded, visit)
    except errors.AgiSmsError as error:
        _fail(str(error), MISTAKES)
    if dry_run:
        for line in triggering.preview(planned):
            click.echo(line)
        sys.exit(NOT_DONE if planned.faults else DONE)
    admission = _with_outbox(
        loaded.settings.database, lambda box: triggering.admit(box, loaded, visit, planned), fresh=True
    )
    for line in triggering.report(admission, planned):
        click.echo(line)
    if admission.count and not _wake(loaded.settings.database):
        click.echo("the gateway is not running: what is scheduled goes out once it is (agi-sms run)")
    sys.exit(NOT_DONE if planned.faults else DONE)


def _change(name: str, verb: str, done: str, text: str) -> None:
    """`cancel` and `retry` are the same command with another verb."""

    @main.command(name, help=text)
    @config_option
    @click.argument("message_id", required=False)
    @click.option("--node", shell_complete=_nodes, help="All of this node's that can be.")
    @click.option("--status", type=click.Choice([str(s) for s in message.Status]), help="Only with this status.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    def command(config_file: Path, message_id: str | None, node: str | None, status: str | None, yes: bool) -> None:
        if (message_id is None) == (node is None):
            raise click.UsageError("name a MESSAGE_ID, or a node with --node")
        if node is not None and not yes:
            click.confirm(f"{verb} all messages of node {node}{f' that are {status}' if status else ''}?", abort=True)
        query = _query(node=node, status=status, message_id=message_id)
        who = f"{getpass.getuser()} (command line)"
        database = _database(config_file)
        count = _with_outbox(database, lambda box: getattr(box, name)(query, who))
        if not count:
            _fail(
                f"nothing to {name}: no such message, or its status does not allow it (agi-sms history)",
                NOT_DONE,
            )
        _wake(database)
        click.echo(f"{count} message{'' if count == 1 else 's'} {done}")


_change("cancel", "Cancel", "cancelled", "Cancel what has not gone out: one message, or a node's.")
_change(
    "retry", "Send again", "scheduled again",
    "Send again, now, what failed, expired, was cancelled, is held or uncertain: one message, or a node's.\n\n"
    "An uncertain message may have reached the phone already; then its owner gets it twice.",
)  # fmt: skip


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the tab completion script for your shell.

    \b
      agi-sms completion bash > /etc/bash_completion.d/agi-sms
    """
    chosen = shell_completion.get_completion_class(shell)
    if chosen is None:
        _fail(f"no completion for {shell}", NOT_DONE)
    click.echo(chosen(main, {}, "agi-sms", "_AGI_SMS_COMPLETE").source())


# --- shared by the commands ---------------------------------------------------------------------------------


def _known_nodes(config_file: Path) -> frozenset[str]:
    with contextlib.suppress(errors.ConfigError):
        return frozenset(_read(config_file).nodes)
    return frozenset()


def _fail(text: str, code: int) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(code)


def _read(path: Path) -> "configuration.Config":
    from agi_sms import config as configuration

    return configuration.load(path, os.environ)


def _load(path: Path) -> "configuration.Config":
    try:
        return _read(path)
    except errors.ConfigError as error:
        _refuse(error)


def _refuse(error: errors.ConfigError) -> NoReturn:
    count = len(error.mistakes)
    _fail(f"{error}\n{count} mistake{'' if count == 1 else 's'} in the configuration", MISTAKES)


def _query(
    *, status: str | None = None, number: str | None = None, limit: int | None = None, **rest: Any
) -> ports.Query:
    if number is not None:
        number = "".join(c for c in number if c.isdigit() or c == "+")
    return ports.Query(status=message.Status(status) if status else None, number=number, limit=limit, **rest)


@contextlib.asynccontextmanager
async def _outbox(path: Path) -> "AsyncIterator[sqlite.SqliteOutbox]":
    from agi_sms import clock
    from agi_sms.outbox import sqlite

    box = await sqlite.SqliteOutbox.open(path, clock=clock.now)
    try:
        yield box
    finally:
        await box.close()


def _with_outbox(
    database: Path,
    work: "Callable[[sqlite.SqliteOutbox], Coroutine[Any, Any, T]]",
    *,
    fresh: bool = False,
) -> T:
    """Ask the outbox; `fresh` is for what may be the first to use it."""
    if not fresh and not database.exists():
        _fail(f"no messages yet: {database} is made by the gateway's first start (agi-sms run)", NOT_DONE)

    async def ask() -> T:
        async with _outbox(database) as box:
            return await work(box)

    return _finish(ask())


def _database(config_file: Path) -> Path:
    """For commands that need nothing else: mistakes elsewhere are told, and are no hindrance."""
    from agi_sms import config as configuration

    try:
        return _read(config_file).settings.database
    except errors.ConfigError as error:
        found = configuration.database(config_file, os.environ)
        if found is None:
            _refuse(error)
        click.echo(f"the configuration has mistakes (agi-sms check); reading {found}", err=True)
        return found


def _wake(database: Path) -> bool:
    """Tell a running gateway that there is something to do; False where none runs."""
    from agi_sms.outbox import sqlite

    pid = sqlite.owner_pid(database)
    if pid is None:
        return False
    with contextlib.suppress(PermissionError):  # it looks by itself every few seconds
        os.kill(pid, signal.SIGUSR1)
    return True


def _finish(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (errors.OutboxError, errors.SpoolError) as error:
        _fail(str(error), UNUSABLE)
    except errors.AgiSmsError as error:
        _fail(str(error), NOT_DONE)
