"""The command `agi-sms`. Exit codes: 0 done, 1 not done, 2 mistakes in config or usage, 3 database unusable."""

import os
import signal
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import click
from click import shell_completion

import agi_sms
from agi_sms import (
    cli_decisions,
    cli_doctor,
    cli_flow,
    cli_providers,
    cli_shared,
    cli_why,
    clock,
    errors,
    message,
    plain,
    text,
)
from agi_sms.cli_shared import DONE, MISTAKES, NOT_DONE, config_option

if TYPE_CHECKING:
    from agi_sms import call, plan, ports, show_why
    from agi_sms import config as configuration
    from agi_sms.outbox import sqlite

RELOAD_PATIENCE = 15.0  # seconds


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
      agi-sms doctor                                 no SMS came? what is right, and what is not
    """


@main.command()
@config_option
def run(config_file: Path) -> None:
    """Serve calls until SIGTERM; SIGHUP takes a new configuration.

    SMS of the `print` provider appear here. Exit code 0 after SIGTERM, 2 with mistakes in the configuration, 3 where
    the database cannot be used (another gateway runs on it, for example).
    """
    from agi_sms import logs, service

    loaded = cli_shared.load(config_file)
    logs.configure(**loaded.settings.log.model_dump())
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    if not loaded.settings.pbx:
        click.echo(
            "warning: no pbx is configured: no call can arrive, only `agi-sms trigger` makes messages",
            err=True,
        )
    cli_shared.finish(service.Service(loaded, lambda: cli_shared.read(config_file)).run())


@main.command()
@config_option
@click.option("-v", "--verbose", is_flag=True, help="Also show each node's text as a sample call would make it.")
@click.option("--online", is_flag=True, help="Then ask every node's content.api once, and show what it answers.")
@click.option("--node", shell_complete=cli_shared.complete_nodes, help="With --online: ask only this node's.")
def check(config_file: Path, verbose: bool, online: bool, node: str | None) -> None:
    """Find every mistake in the configuration before a call does.

    Prints each as `file:line: key: what is wrong, what would be right`. Exit code 0, or 2 with mistakes.

    With --online, the systems behind content.api are really asked, with sample values and the header
    `Agi-Sms-Test: 1`. Nothing is stored or sent. Exit code 1 where one of them gave no text.
    """
    from agi_sms import config as configuration

    if node is not None and not online:
        raise click.UsageError("--node goes with --online")
    loaded = cli_shared.load(config_file)
    if node is not None and node not in loaded.nodes:
        cli_shared.fail(f"no node {node!r}; there are: {', '.join(sorted(loaded.nodes)) or 'none'}", MISTAKES)
    names = [node] if node is not None else list(loaded.nodes)
    click.echo(configuration.format_report(loaded, verbose=verbose, names=names, width=cli_shared.width()))
    if online:
        _check_online(loaded, names)


def _check_online(loaded: "configuration.Config", names: list[str]) -> None:
    from agi_sms import logs, online

    logs.configure(**loaded.settings.log.model_dump())
    visits = online.samples(loaded, names)
    if not visits:
        click.echo(f"\nnothing to ask: {f'{names[0]} has no' if len(names) == 1 else 'no node has a'} content.api")

    width = cli_shared.width()
    without: list[str] = []

    def tell(told: online.Told) -> None:
        click.echo(f"\n{told.visit.node}  ({loaded.details[told.visit.node].where})")
        for line in online.lines(told, width):
            click.echo(line)
        if not told.right:
            without.append(told.visit.node)

    right = cli_shared.finish(online.ask(loaded, visits, tell))
    if visits:
        click.echo()
        for line in online.closing(len(visits), without, width):
            click.echo(line)
    sys.exit(DONE if right else NOT_DONE)


@main.command()
@config_option
def reload(config_file: Path) -> None:
    """Check the configuration, then have the running gateway take it. Exit code 1 if it does not run."""
    from agi_sms import service
    from agi_sms.outbox import sqlite

    loaded = cli_shared.load(config_file)
    database = loaded.settings.database
    pid = sqlite.owner_pid(database)
    if pid is None and not os.access(database.parent, os.X_OK):
        cli_shared.fail(f"{database.parent} is closed to this user; reload as the user that runs the gateway", NOT_DONE)
    if pid is None:
        cli_shared.fail(
            f"no gateway runs on {database}; start it (agi-sms run), or restart it where `database` changed", NOT_DONE
        )
    before = service.read_status(database)
    os.kill(pid, signal.SIGHUP)
    deadline = monotonic() + RELOAD_PATIENCE
    while monotonic() < deadline:
        after = service.read_status(database)
        if after is not None and before is not None and after.reloads > before.reloads:
            if after.error:
                cli_shared.fail(f"the gateway kept its old configuration:\n{after.error}", MISTAKES)
            click.echo(f"reloaded: {cli_shared.sizes(loaded)}")
            for route, count in after.stranded.items():
                click.echo(
                    f"{text.counted(count, 'message')} waiting for {route}, which is not configured any more: held "
                    "when due; agi-sms retry --provider NAME --status scheduled --route ROUTE moves them",
                    err=True,
                )
            if after.restart:
                click.echo(f"these keys change with a restart only: {', '.join(after.restart)}", err=True)
            return
        sleep(0.05)
    cli_shared.fail(f"the gateway (pid {pid}) did not answer within {RELOAD_PATIENCE:.0f} s; see its log", NOT_DONE)


@main.command()
@config_option
@click.option("--node", shell_complete=cli_shared.complete_nodes, help="Only this node's messages.")
@click.option("--status", type=click.Choice([str(s) for s in message.Status]), help="Only with this status.")
@click.option(
    "--provider", shell_complete=cli_providers.complete_providers, help="Only what goes, or went, by this one."
)
@click.option("--call", "call_id", help="Only of this call (its call id).")
@click.option("--number", help="Only to this number; its last digits are enough.")
@click.option("--since", callback=cli_shared.moment, help="Only from then on: 2026-11-23T14:05, 14:05, or ago: 2h.")
@click.option("--until", callback=cli_shared.moment, help="Only before this time.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most so many.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="A table for people, the others with everything for machines.",
)
@click.option("--totals", is_flag=True, help="Sums instead: segments taken and their cost, by node, day, currency.")
@click.option("--by", type=click.Choice(["provider"]), help="With --totals: a row for each provider, too.")
def history(config_file: Path, form: str, limit: int, totals: bool, by: str | None, **wanted: Any) -> None:
    """What was sent, what will be, and why somebody got nothing. Newest first.

    Numbers and texts are shown in full here; the log masks them. With --totals, the other options choose what is
    counted (--limit does not): what providers took, on the day on which its call arrived.
    """
    from agi_sms import show_history

    if by is not None and not totals:
        raise click.UsageError("--by goes with --totals")
    if totals:
        cli_providers.totals(config_file, cli_shared.query(**wanted), form, by_provider=by is not None)
        return
    database = cli_shared.database(config_file)
    found: list[message.Message] = []
    if database.exists():
        found = cli_shared.with_outbox(database, lambda box: box.history(cli_shared.query(limit=limit, **wanted)))
    if form == "json":
        click.echo(show_history.as_json(found))
    elif form == "csv":
        click.echo(show_history.as_csv(found), nl=False)
    elif not found:
        click.echo("no messages")
        if wanted["node"] and wanted["node"] not in cli_shared.known_nodes(config_file):
            click.echo(f"the configuration has no node {wanted['node']}", err=True)
    else:
        cli_shared.show(show_history.as_table(found))
        click.echo(f"times of {plain.zone()}")
        if len(found) == limit:
            click.echo(f"the newest {limit}; more with --limit")


@main.command()
@config_option
@click.argument("message_id", shell_complete=cli_shared.complete_messages())
def explain(config_file: Path, message_id: str) -> None:
    """Tell one message's whole story: the call, the node, why these recipients, each attempt.

    MESSAGE_ID is the one that `agi-sms history` shows; its last 4 characters are enough where only one ends so.
    """
    from rich import console

    from agi_sms import show

    async def found(box: "sqlite.SqliteOutbox") -> "tuple[ports.Story, show_why.Facts | None] | None":
        one = await cli_shared.chosen(box, message_id)
        told = await box.story(one.id)
        return None if told is None else (told, await cli_why.facts(config_file, box, one, clock.now()))

    story = cli_shared.with_outbox(cli_shared.database(config_file), found)
    if story is None:  # it is gone since
        cli_shared.fail(f"no message {message_id}; `agi-sms history` lists them", NOT_DONE)
    show.explain(console.Console(highlight=False, soft_wrap=True), *story)
    click.echo(f"\ntimes of {plain.zone()}")


@main.command()
@config_option
@click.argument("node", shell_complete=cli_shared.complete_nodes)
@click.option("--caller", default="", help="Who calls, as the trunk would write it.")
@click.option("--withheld", is_flag=True, help="The caller withholds the number.")
@click.option("--caller-name", default="", help="The caller's name.")
@click.option("--dialled", default="", help="The number that was called.")
@click.option(
    "--var",
    "variables",
    multiple=True,
    metavar="NAME=VALUE",
    callback=cli_shared.pairs,
    help="A variable for the text, as var.NAME= from the dialplan; may be repeated.",
)
@click.option("--recipients", help="As recipients= from the dialplan.")
@click.option("--sender", help="As sender= from the dialplan.")
@click.option("--delay", help="As delay= from the dialplan.")
@click.option("--call", "call_id", help="The call's id, to try once_per_call.  [default: a new one]")
@click.option("--pbx", help="Whose number format counts.  [default: the first one]")
@click.option("--trunk", default="", help="The trunk it came in by.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent; store and send nothing.")
def trigger(config_file: Path, dry_run: bool, **asked: Any) -> None:
    """Do what a call to NODE would do, without a call: store its messages, for the running gateway to send.

    With --dry-run, only show them. Exit code 1 where an argument cannot be used. Where the node has a content.api,
    --dry-run really asks that system, with the header `Agi-Sms-Test: 1`, and shows the exchange; exit code 1 where
    it gave no text.

    \b
      agi-sms trigger order-status --caller +48600100200 --var ORDER_ID=1234 --dry-run
    """
    from agi_sms import trigger as triggering

    loaded = cli_shared.load(config_file)
    try:
        visit = triggering.visit(loaded, **asked)
        planned = triggering.planned(loaded, visit)
    except errors.AgiSmsError as error:
        cli_shared.fail(str(error), MISTAKES)
    for line in triggering.notes(loaded, visit):
        click.echo(line)
    if dry_run:
        right = True
        if planned.fetch_at is not None:
            planned, right = _ask_for(loaded, visit, planned)
        for line in triggering.preview(planned):
            click.echo(line)
        sys.exit(NOT_DONE if planned.faults or not right else DONE)
    admission = cli_shared.with_outbox(
        loaded.settings.database, lambda box: triggering.admit(box, loaded, visit, planned), fresh=True
    )
    for line in triggering.report(admission, planned):
        click.echo(line)
    if admission.count and not cli_shared.wake(loaded.settings.database):
        click.echo("the gateway is not running: what is scheduled goes out once it is (agi-sms run)")
    sys.exit(NOT_DONE if planned.faults else DONE)


def _ask_for(loaded: "configuration.Config", visit: "call.Visit", planned: "plan.Plan") -> "tuple[plan.Plan, bool]":
    """Ask the node's API for this visit's text; the plan with it, and whether there is one."""
    from agi_sms import logs, online

    logs.configure(**loaded.settings.log.model_dump())
    found: list[online.Told] = []
    right = cli_shared.finish(online.ask(loaded, [visit], found.append))
    for line in online.lines(found[0], cli_shared.width()):
        click.echo(line)
    return online.applied(planned, found[0]), right


cli_decisions.register(main)
cli_providers.register(main)
cli_flow.register(main)
cli_doctor.register(main)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the tab completion script for your shell.

    \b
      agi-sms completion bash > /etc/bash_completion.d/agi-sms
    """
    chosen = shell_completion.get_completion_class(shell)
    if chosen is None:
        cli_shared.fail(f"no completion for {shell}", NOT_DONE)
    click.echo(chosen(main, {}, "agi-sms", "_AGI_SMS_COMPLETE").source())
