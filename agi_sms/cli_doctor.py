"""The command that asks Asterisk, this machine and the providers what is right and what is not."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click
from click import shell_completion

from agi_sms import cli_flow, cli_shared, clock
from agi_sms.cli_shared import MISTAKES, config_option

if TYPE_CHECKING:
    from agi_sms import config as configuration
    from agi_sms import doctor_facts as facts

_AFTER = 1.0  # seconds, until it is told who has not answered yet
_LOOK = 0.1  # seconds
_MOST_NAMED = 4
_WIDE = 10_000  # columns, where there is no terminal: one line a finding


def register(main: click.Group) -> None:
    """Put it beside the others."""
    main.add_command(doctor)


def complete_ids(_: click.Context, __: click.Parameter, typed: str) -> list[shell_completion.CompletionItem]:
    """Tab completion of what can be found."""
    from agi_sms import doctor as judging

    return [shell_completion.CompletionItem(one) for one in judging.IDS if one.startswith(typed)]


def _ids(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    from agi_sms import doctor as judging
    from agi_sms.config_words import nearest

    for value in values:
        if value not in judging.IDS:
            raise click.BadParameter(f"there is no finding {value!r}; {nearest(value, judging.IDS)}")
    return values


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="An array of findings, for machines; each has an id that stays.")
@click.option("--pbx", shell_complete=cli_flow.complete_pbxs, help="Ask only this one.  [default: all]")
@click.option(
    "--from",
    "saved",
    type=click.File(encoding="utf-8", errors="replace"),
    help='A saved dialplan, instead of asking for it: asterisk -rx "dialplan show" > FILE. `-` reads it from a pipe.',
)
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="ID",
    callback=_ids,
    shell_complete=complete_ids,
    help="Leave out what you know of, by its id as --json tells it; may be repeated.",
)
def doctor(config_file: Path, as_json: bool, pbx: str | None, saved: TextIO | None, ignored: tuple[str, ...]) -> None:
    """Ask Asterisk, this machine and the providers: what is right, what is not, and what mends it.

    The first thing to run when no SMS came. It works while the gateway runs and while it does not, takes at most 10
    seconds, and leaves nothing behind: no call is made, no message sent, nothing registered, no row written.

    \b
      ✓ right   ! works, but not as it should   ✗ wrong   ? cannot be told, and what would let it

    Exit code 0 where all is right, 1 with warnings, 2 with errors; what cannot be told counts for nothing.

    \b
      agi-sms doctor
      asterisk -rx "dialplan show" | agi-sms doctor --from -
      agi-sms doctor --json --ignore pjsip.trust_id_inbound
    """
    from rich import console

    from agi_sms import config as configuration
    from agi_sms import doctor as judging
    from agi_sms import doctor_facts as facts
    from agi_sms import logs, show_doctor

    loaded, mistakes = configuration.examined(config_file, os.environ)
    warnings = loaded.warnings if loaded is not None else ()
    told = facts.Configuration(path=config_file, mistakes=mistakes, warnings=warnings)
    if loaded is None:
        found = facts.Facts(now=clock.now(), configuration=told)
    else:
        logs.configure(format="console", level="error", reveal=False)
        found = cli_shared.finish(_examined(loaded, told, pbx, saved))
    findings = judging.findings(loaded, found, ignored=ignored)
    if as_json:
        click.echo(show_doctor.as_json(findings))
    else:
        out = console.Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
        show_doctor.screen(out, findings)
    sys.exit(judging.exit_code(findings))


async def _examined(
    loaded: "configuration.Config", told: "facts.Configuration", pbx: str | None, saved: TextIO | None
) -> "facts.Facts":
    """Ask, and tell a terminal who has not answered after a second."""
    from agi_sms import doctor_ask

    known = loaded.settings.pbx
    if pbx is not None and pbx not in known:
        cli_shared.fail(f"no pbx {pbx!r}; there are: {', '.join(sorted(known)) or 'none'}", MISTAKES)
    asked = {name: one for name, one in known.items() if pbx in (None, name)}
    if saved is not None and len(asked) != 1:
        raise click.UsageError("--from is of one PBX: say which with --pbx")
    plans = {name: cli_shared.saved_dialplan(saved) for name in asked} if saved is not None else {}
    pending: frozenset[str] = frozenset()

    def tell(left: frozenset[str]) -> None:
        nonlocal pending
        pending = left

    waiting = asyncio.create_task(_progress(lambda: pending))
    try:
        return await doctor_ask.examine(loaded, told, pbxs=asked, plans=plans, tell=tell)
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def _progress(pending: Callable[[], frozenset[str]]) -> None:
    """Until cancelled."""
    from rich import console

    err = console.Console(stderr=True)
    if not err.is_terminal:
        return
    await asyncio.sleep(_AFTER)
    with err.status("") as status:
        while True:
            names = sorted(pending())
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            status.update(f"no answer yet: {', '.join(names[:_MOST_NAMED])}{more}" if names else "")
            await asyncio.sleep(_LOOK)
