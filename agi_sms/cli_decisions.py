"""The commands by which a person decides about messages: cancel, retry, resolve."""

import contextlib
import getpass
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click import shell_completion

from agi_sms import cli_providers, cli_shared, errors, message, ports, text
from agi_sms.cli_shared import NOT_DONE, config_option
from agi_sms.message import Status

if TYPE_CHECKING:
    from agi_sms import config as configuration
    from agi_sms.outbox import sqlite

_STATUSES = [str(status) for status in Status]


def register(main: click.Group) -> None:
    """Put them beside the others."""
    for command in (cancel, retry, resolve):
        main.add_command(command)


def _who() -> str:
    return f"{getpass.getuser()} (command line)"


def _one_way(message_id: str | None, *groups: str | None) -> None:
    if (message_id is None) == all(group is None for group in groups):
        raise click.UsageError("name a MESSAGE_ID, or a node with --node")


async def _of_statuses(
    box: "sqlite.SqliteOutbox", statuses: Iterable[Status], **conditions: Any
) -> list[message.Message]:
    found: list[message.Message] = []
    for status in statuses:
        found += await box.history(ports.Query(status=status, **conditions))
    return found


def _allowed(one: message.Message, verb: str, allowed: Iterable[Status], more: str = "") -> None:
    if one.status not in allowed:
        from agi_sms import show_again

        now = show_again.standing(one.status, one.reason)
        cli_shared.fail(f"{one.id} is {now}; only {show_again.statuses(allowed)} {verb}{more}", NOT_DONE)


def _nothing(config_file: Path, node: str | None, provider: str | None, what: str) -> NoReturn:
    """Say that there is nothing to do, and why, where that can be told."""
    whose = [f"node {node}"] * (node is not None) + [f"provider {provider}"] * (provider is not None)
    unknown = node is not None and node not in cli_shared.known_nodes(config_file)
    hint = "; the configuration has no such node" if unknown else ""
    cli_shared.fail(f"nothing to {what} of {' and '.join(whose)}{hint}", NOT_DONE)


# --- cancel -------------------------------------------------------------------------------------------------------


@click.command()
@config_option
@click.argument("message_id", required=False, shell_complete=cli_shared.complete_messages(message.CANCELLABLE))
@click.option("--node", shell_complete=cli_shared.complete_nodes, help="All of this node whose status allows it.")
@click.option("--status", type=click.Choice(_STATUSES), help="Only with this status.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def cancel(config_file: Path, message_id: str | None, node: str | None, status: str | None, yes: bool) -> None:
    """Cancel what has not gone out: one message (its last 4 characters are enough), or a node's."""
    from agi_sms import show_again

    _one_way(message_id, node)
    database = cli_shared.database(config_file)
    statuses = message.CANCELLABLE if status is None else message.CANCELLABLE & {Status(status)}
    if message_id is not None:
        one = cli_shared.with_outbox(database, lambda box: cli_shared.chosen(box, message_id))
        _allowed(one, "can be cancelled", message.CANCELLABLE)
        query = ports.Query(message_id=one.id)
    else:
        found = cli_shared.with_outbox(database, lambda box: _of_statuses(box, statuses, node=node))
        if not found:
            _nothing(config_file, node, None, f"cancel, that is {_words(statuses)},")
        if not yes:
            what = text.counted(len(found), "message")
            click.confirm(f"Cancel {what} of node {node} ({show_again.counted(found)})?", abort=True)
        query = cli_shared.query(node=node, status=status)
    count = cli_shared.with_outbox(database, lambda box: box.cancel(query, _who()))
    if not count:
        cli_shared.fail("nothing to cancel: it has changed meanwhile (agi-sms history)", NOT_DONE)
    cli_shared.wake(database)
    click.echo(f"{text.counted(count, 'message')} cancelled")


# --- retry --------------------------------------------------------------------------------------------------------


def _complete_routes(ctx: click.Context, _: click.Parameter, typed: str) -> list[shell_completion.CompletionItem]:
    with contextlib.suppress(errors.AgiSmsError, OSError):
        loaded = cli_shared.read(cli_shared.config_path(ctx))
        names = dict.fromkeys((*loaded.settings.routes, *loaded.providers))
        return [shell_completion.CompletionItem(name) for name in names if name.startswith(typed)]
    return []


@click.command()
@config_option
@click.argument("message_id", required=False, shell_complete=cli_shared.complete_messages(message.RETRYABLE))
@click.option("--node", shell_complete=cli_shared.complete_nodes, help="Those of this node.")
@click.option(
    "--provider", shell_complete=cli_providers.complete_providers, help="Those that go, or went, by this one."
)
@click.option("--status", "statuses", type=click.Choice(_STATUSES), multiple=True, help="All with this status.")
@click.option("--since", callback=cli_shared.moment, help="Only those that arrived from then on: 2h (ago), 14:05.")
@click.option("--until", callback=cli_shared.moment, help="Only those that arrived before this time.")
@click.option("--route", metavar="NAME", shell_complete=_complete_routes, help="By this route, or provider, instead.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def retry(
    config_file: Path,
    message_id: str | None,
    node: str | None,
    provider: str | None,
    statuses: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    route: str | None,
    yes: bool,
) -> None:
    """Send again, now: one message (its last 4 characters are enough), or those of a node or provider.

    Of several, a table says first what would be sent. Without --status these are the held, expired and failed ones that
    were certainly not handed over, and that neither a provider refused for good nor a person. With --status, all of
    that status: an uncertain message may have reached the phone already, and then its owner gets it twice.

    Where a message's route names no provider that there still is, it takes its node's present one. With --route, it
    goes by that one; `--status scheduled` then moves what is still waiting for its time, and keeps that time.

    \b
      agi-sms retry --node shop --since 2h
      agi-sms retry --provider dead-company --route spare
      agi-sms retry --provider dead-company --route spare --status scheduled
    """
    _one_way(message_id, node, provider)
    database = cli_shared.database(config_file)
    movable = message.REROUTABLE if route is not None else message.RETRYABLE
    if message_id is not None:
        one = cli_shared.with_outbox(database, lambda box: cli_shared.chosen(box, message_id))
        hint = "; what is scheduled can go another way: --route" if one.status is Status.SCHEDULED else ""
        _allowed(one, "can be sent again", movable, hint)
        seen = [one]
    else:
        unfit = [name for name in statuses if Status(name) not in movable]
        if unfit:
            more = " (with --route: scheduled)" if route is None else ""
            raise click.UsageError(f"--status {unfit[0]}: only {_words(movable)} can be sent again{more}")
        conditions = {"node": node, "provider": provider, "since": since, "until": until}
        seen = _several(database, config_file, [Status(name) for name in statuses], conditions)
    routes, loaded = _ways(config_file, route, seen)
    seen = [one for one in seen if route is None or one.id in routes]
    _ask(message_id, seen, routes, loaded, yes)
    count = cli_shared.with_outbox(database, lambda box: box.retry(seen, _who(), routes))
    if not count:
        cli_shared.fail("nothing to retry: it has changed meanwhile (agi-sms history)", NOT_DONE)
    _tell(count, seen, routes, loaded)
    if not cli_shared.wake(database):
        click.echo("the gateway is not running: it goes out once it is (agi-sms run)")


def _words(allowed: Iterable[Status]) -> str:
    from agi_sms import show_again

    return show_again.statuses(allowed)


def _several(
    database: Path, config_file: Path, statuses: Sequence[Status], conditions: dict[str, Any]
) -> list[message.Message]:
    """What is meant, and a word on what is not."""
    from agi_sms import again, show_again

    asked = statuses or [status for status in Status if status in message.RETRYABLE]
    found = cli_shared.with_outbox(database, lambda box: _of_statuses(box, asked, **conditions))
    meant = found if statuses else [one for one in found if again.harmless(one)]
    others = [one for one in found if one not in meant] if len(meant) < len(found) else []
    left = f"left out: {show_again.counted(others)}; name them with --status" if others else ""
    if not meant and left:
        cli_shared.fail(f"nothing that was certainly not handed over; {left}", NOT_DONE)
    if not meant:
        _nothing(config_file, conditions["node"], conditions["provider"], f"retry, that is {_words(asked)},")
    if left:
        click.echo(left)
    return meant


def _ways(
    config_file: Path, route: str | None, seen: Sequence[message.Message]
) -> "tuple[dict[str, tuple[str, ...]], configuration.Config | None]":
    """The new ways of the messages, and the configuration; that may have mistakes where no route is asked for."""
    from agi_sms import again

    if route is None:
        with contextlib.suppress(errors.ConfigError):
            return {}, cli_shared.read(config_file)
        return {}, None
    loaded = cli_shared.load(config_file)
    try:
        found = again.ways(loaded, route, seen)
    except errors.ArgumentError as error:
        raise click.UsageError(str(error)) from error
    if less := len(seen) - len(found):
        click.echo(f"left out: {text.counted(less, 'message')}, as {route} has no entry for the number")
    if not found:
        cli_shared.fail("nothing to retry", NOT_DONE)
    return found, loaded


def _ask(
    message_id: str | None,
    seen: Sequence[message.Message],
    routes: dict[str, tuple[str, ...]],
    loaded: "configuration.Config | None",
    yes: bool,
) -> None:
    from agi_sms import again, show_again

    if message_id is not None:
        if seen[0].maybe_taken:
            click.echo(show_again.taken(seen[0]))
            click.echo(f"where you know what became of it: agi-sms resolve {seen[0].id} sent|resend|fail")
            if not yes:
                click.confirm("Send it again?", abort=True)
        return
    found = again.lots(seen, {} if loaded is None else again.prices(loaded), routes)
    cli_shared.show(show_again.lots(found))
    if not yes:
        what = text.counted(len(seen), "message")
        moved = all(one.status is Status.SCHEDULED for one in seen)
        click.confirm(f"Send {what} another way?" if moved else f"Send {what} again?", abort=True)


def _tell(
    count: int,
    seen: Sequence[message.Message],
    routes: dict[str, tuple[str, ...]],
    loaded: "configuration.Config | None",
) -> None:
    from agi_sms import again, show_again

    click.echo(show_again.done(count, seen))
    for way in dict.fromkeys(routes.values()):
        many = sum(one == way for one in routes.values())
        click.echo(f"{text.counted(many, 'message')} by {', then '.join(way)}")
    if loaded is not None and not routes:
        for named, many in again.stranded(loaded, seen).items():
            whose = text.counted(many, "message")
            click.echo(f"{whose}: the configuration has no provider {named} any more; by the node's present route")


# --- resolve ------------------------------------------------------------------------------------------------------


@click.command()
@config_option
@click.argument("message_id", shell_complete=cli_shared.complete_messages(message.JUDGEABLE))
@click.argument("verdict", type=click.Choice([str(one) for one in ports.Verdict]))
def resolve(config_file: Path, message_id: str, verdict: str) -> None:
    """Decide about a message that is uncertain or held: only a person can, from the provider's own panel or a phone.

    \b
      sent      it was taken: it counts as accepted, with what it costs, and is not sent again
      resend    it is sent now, by its route; where it was taken after all, its owner gets it twice
      fail      it was not taken, and is not to be sent

    MESSAGE_ID is the one that `agi-sms history --status uncertain` shows; its last 4 characters are enough. The
    decision is kept with the message, with your name; `agi-sms explain` shows it.
    """
    database = cli_shared.database(config_file)
    decided = ports.Verdict(verdict)
    one = cli_shared.with_outbox(database, lambda box: cli_shared.chosen(box, message_id))
    _allowed(one, "can be resolved", message.JUDGEABLE)

    async def judge(box: "sqlite.SqliteOutbox") -> message.Message | None:
        if not await box.judge(one.id, decided, _who()):
            return None
        return await cli_shared.chosen(box, one.id)

    after = cli_shared.with_outbox(database, judge)
    if after is None:
        cli_shared.fail("nothing to resolve: it has changed meanwhile (agi-sms history)", NOT_DONE)
    click.echo(_DECIDED[decided](one, after))
    if decided is ports.Verdict.RESEND and not cli_shared.wake(database):
        click.echo("the gateway is not running: it goes out once it is (agi-sms run)")


def _sent(before: message.Message, after: message.Message) -> str:
    from agi_sms import prices

    said = "it counts as sent: accepted"
    if not before.maybe_taken:
        return f"{said}; there was no attempt that may have been taken, so it counts with no provider"
    cost = ", ".join(prices.shown(cost) for cost in after.costs)
    return f"{said}, by {after.provider}{f', {cost}' if cost else ''}"


_DECIDED: dict[ports.Verdict, Callable[[message.Message, message.Message], str]] = {
    ports.Verdict.SENT: _sent,
    ports.Verdict.RESEND: lambda *_: "it is scheduled again, now",
    ports.Verdict.FAIL: lambda *_: "it is failed, and is not sent",
}
