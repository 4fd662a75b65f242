"""The commands about providers, and what they took."""

import contextlib
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from click import shell_completion

from agi_sms import cli_shared, clock, durations, errors, ports
from agi_sms.cli_shared import DONE, MISTAKES, NOT_DONE, config_option

MOST_WAIT = timedelta(hours=1)


def register(main: click.Group) -> None:
    """Put them beside the others."""
    for command in (providers, send_test):
        main.add_command(command)


def complete_providers(ctx: click.Context, _: click.Parameter, typed: str) -> list[shell_completion.CompletionItem]:
    """Tab completion of provider names; silent where the config cannot be read."""
    path = Path(ctx.params.get("config_file") or os.environ.get("AGI_SMS_CONFIG") or cli_shared.DEFAULT_CONFIG)
    with contextlib.suppress(errors.AgiSmsError, OSError):
        loaded = cli_shared.read(path)
        return [
            shell_completion.CompletionItem(name, help=str(getattr(settings, "type", "")))
            for name, settings in loaded.providers.items()
            if name.startswith(typed)
        ]
    return []


def complete_profiles(ctx: click.Context, _: click.Parameter, typed: str) -> list[shell_completion.CompletionItem]:
    """Tab completion of the profiles' names."""
    from agi_sms.providers import profiles

    path = Path(ctx.params.get("config_file") or os.environ.get("AGI_SMS_CONFIG") or cli_shared.DEFAULT_CONFIG)
    return [shell_completion.CompletionItem(name) for name in profiles.names(_folders(path)) if name.startswith(typed)]


def _folders(config_file: Path) -> list[Path]:
    return [config_file.absolute().parent / "profiles.d"]


def _span(_: click.Context, __: click.Parameter, value: str) -> timedelta:
    try:
        found = durations.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if not timedelta(0) < found <= MOST_WAIT:
        raise click.BadParameter(f"must be more than 0 and at most {durations.show(MOST_WAIT)}")
    return found


@click.command()
@config_option
@click.option("--profiles", "table", is_flag=True, help="The SMS companies that `type: http` knows, and what each can.")
@click.option("--profile", metavar="NAME", shell_complete=complete_profiles, help="What one of them needs from you.")
def providers(config_file: Path, table: bool, profile: str | None) -> None:
    """The configured providers: who uses each, its limits and prices, and where its receipts come in.

    \b
      agi-sms providers --profiles          which SMS companies need no more than a login
      agi-sms providers --profile smsapi    what to write for one of them, and how it was proved
      agi-sms send-test PROVIDER NUMBER     does it work?

    Own profiles are read from profiles.d beside the configuration; one of a shipped one's name takes its place.
    """
    from agi_sms import show_providers

    if table or profile is not None:
        from agi_sms.providers import profiles

        try:
            if profile is not None:
                for line in show_providers.profile(profiles.load(profile, _folders(config_file))):
                    click.echo(line)
            if table:
                click.echo(show_providers.matrix(profiles.matrix(_folders(config_file))))
                if broken := profiles.broken(_folders(config_file)):
                    lines = [f"{name} is broken:\n{error}" for name, error in broken.items()]
                    cli_shared.fail("\n".join(lines), MISTAKES)
        except errors.ConfigError as error:
            cli_shared.fail(str(error), MISTAKES)
        return
    loaded = cli_shared.load(config_file)

    async def listed() -> None:
        from agi_sms import parts

        built = parts.Parts.make(loaded)
        try:
            for line in show_providers.configured(loaded, built.providers.edges):
                click.echo(line)
        finally:
            for edge in built.edges:
                await edge.close()

    cli_shared.finish(listed())


@click.command("send-test")
@config_option
@click.argument("provider", shell_complete=complete_providers)
@click.argument("number")
@click.option("--text", "body", default="agi-sms test", show_default=True, help="What it says.")
@click.option("--sender", default="", help="As a node's sender.  [default: the provider's]")
@click.option("--wait", default="60s", show_default=True, callback=_span, help="How long to follow it: 30s, 5m.")
def send_test(config_file: Path, provider: str, number: str, wait: timedelta, **said: Any) -> None:
    """Send one real SMS by PROVIDER, whatever the routes say, and follow it to its receipt.

    It goes the same way as every other: through the outbox, and out of the running gateway. Each attempt, the
    provider's own words and every receipt are shown as they come. What has not been taken when the wait is over, is
    given up.

    Exit code 0 where it was delivered, or accepted by a provider without receipts; 1 otherwise.

    \b
      agi-sms send-test company +48600100200 --sender ACME --wait 2m
    """
    from agi_sms import cli_why, sendtest, show_why
    from agi_sms.outbox import sqlite

    loaded = cli_shared.load(config_file)
    try:
        wanted = sendtest.draft(loaded, provider, number, body=said["body"], sender=said["sender"], wait=wait)
    except errors.AgiSmsError as error:
        cli_shared.fail(str(error), MISTAKES)
    database = loaded.settings.database
    if sqlite.owner_pid(database) is None:
        cli_shared.fail(f"no gateway runs on {database}, which would send it; start it: agi-sms run", NOT_DONE)

    async def sent() -> bool:
        async with cli_shared.opened(database) as box:
            made = await sendtest.admit(box, wanted)
            cli_shared.wake(database)
            size = f"{wanted.encoding}, {wanted.segments} segment{'' if wanted.segments == 1 else 's'}"
            click.echo(f"{made}  to {wanted.recipient} by {provider} ({size})")
            one = await sendtest.follow(box, made, wait, click.echo)
            facts = await cli_why.of_provider(loaded, box, provider)
            said = sendtest.last_receipt(await box.story(made))
            now = clock.now()
            waits = show_why.alone(facts, now) or show_why.limited(facts)
            right, words = sendtest.verdict(one, wait, now, waits=waits, said=said)
            click.echo(words)
            click.echo(f"more of it: agi-sms explain {made}")
            return right

    sys.exit(DONE if cli_shared.finish(sent()) else NOT_DONE)


def totals(config_file: Path, query: ports.Query, form: str, *, by_provider: bool) -> None:
    """What `agi-sms history --totals` prints, as `table`, `json` or `csv`."""
    from agi_sms import show_totals

    basics = cli_shared.basics(config_file)
    zone, found = basics.time_zone, list[ports.Total]()
    if basics.database.exists():
        found = cli_shared.with_outbox(basics.database, lambda box: box.totals(query, zone, by_provider=by_provider))
    if form == "json":
        click.echo(show_totals.as_json(found))
    elif form == "csv":
        click.echo(show_totals.as_csv(found), nl=False)
    else:
        if any(one.messages for one in found):
            cli_shared.show(show_totals.as_table(found, by_provider=by_provider))
            click.echo(f"days of {zone}")
        else:
            click.echo("nothing was taken by any provider")
        for line in show_totals.doubts(found):
            click.echo(line)
