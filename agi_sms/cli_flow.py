"""The command that draws the way of a call through its SMS nodes."""

import contextlib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

import click
from click import shell_completion

from agi_sms import cli_shared, errors, harmless
from agi_sms import flow as flows
from agi_sms.cli_shared import MISTAKES, NOT_DONE, config_option

if TYPE_CHECKING:
    from agi_sms import config as configuration
    from agi_sms import dialplan
    from agi_sms.asterisk.settings import Ami

DEEPEST = 100
_PATIENCE = timedelta(seconds=1)  # of who presses the tabulator
_ELSE = 'asterisk -rx "dialplan show" > FILE, and then --from FILE, needs none of that'


def register(main: click.Group) -> None:
    """Put it beside the others."""
    main.add_command(flow)


def complete_pbxs(ctx: click.Context, _: click.Parameter, typed: str) -> list[shell_completion.CompletionItem]:
    """Tab completion of the PBXs' names; silent where the config cannot be read."""
    with contextlib.suppress(errors.AgiSmsError, OSError):
        names = cli_shared.read(cli_shared.config_path(ctx)).settings.pbx
        return [shell_completion.CompletionItem(name) for name in names if name.startswith(typed)]
    return []


def complete_contexts(ctx: click.Context, _: click.Parameter, typed: str) -> list[shell_completion.CompletionItem]:
    """Tab completion of the dialplan's contexts; silent where it cannot be had within a second."""
    import asyncio

    from agi_sms import dialplan
    from agi_sms.asterisk import survey

    with contextlib.suppress(errors.AgiSmsError, OSError):
        saved = ctx.params.get("saved")
        if saved is not None:
            with click.open_file(str(getattr(saved, "name", saved)), encoding="utf-8", errors="replace") as file:
                plan = dialplan.parse_show(file.read())
        else:
            known = cli_shared.read(cli_shared.config_path(ctx)).settings.pbx
            wanted = ctx.params.get("pbx")
            ami = next((one.ami for name, one in known.items() if one.ami and wanted in (None, name)), None)
            if ami is None:
                return []
            plan = asyncio.run(survey.Survey(ami.model_copy(update={"timeout": _PATIENCE})).dialplan())
        return [
            shell_completion.CompletionItem(one.name)
            for one in plan.contexts.values()
            if one.name.isprintable()
            and one.name.startswith(typed)
            and any(step.written for exten in one.extensions for step in exten.priorities)
        ]
    return []


@click.command()
@config_option
@click.argument("context", shell_complete=complete_contexts)
@click.option("--exten", help="Only from this extension on.  [default: from all of the context]")
@click.option("--format", "form", type=click.Choice(["mermaid", "svg"]), help="[default: as --output ends, or mermaid]")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write, such as flow.svg.")
@click.option(
    "--depth", type=click.IntRange(0, DEEPEST), default=flows.DEPTH, show_default=True, help="How many jumps deep."
)
@click.option("--pbx", shell_complete=complete_pbxs, help="Whose dialplan.  [default: the first with ami]")
@click.option(
    "--from",
    "saved",
    type=click.File(encoding="utf-8", errors="replace"),
    help='A saved dialplan, instead of asking Asterisk: asterisk -rx "dialplan show" > FILE. `-` reads it from a pipe.',
)
def flow(
    config_file: Path,
    context: str,
    exten: str | None,
    form: str | None,
    output: Path | None,
    depth: int,
    pbx: str | None,
    saved: TextIO | None,
) -> None:
    """Draw the way of calls through the SMS nodes, from a CONTEXT of the running dialplan on.

    Menus, hours, queues, subroutines and jumps are followed; each node has its settings from the configuration. What
    is red is not in it, or the gateway would not hear of it; what is dashed only the call knows. Mermaid text can be
    pasted into GitHub, GitLab and wikis; an SVG opens in any browser, and shows file and line where the pointer is.

    The dialplan is asked for over AMI: the user in manager.conf needs `command` in its `write` (or `reporting`, which
    tells neither files nor lines, and keeps calls waiting while a long dialplan is told).

    \b
      agi-sms flow from-trunk --output flow.svg
      agi-sms flow ivr-main --exten s --from dialplan.txt
    """
    from agi_sms import dialplan_config, flow_draw, flow_mermaid, flow_svg, flow_words

    loaded = cli_shared.load(config_file)
    name, ami = _pbx(loaded, pbx)
    plan = cli_shared.saved_dialplan(saved) if saved is not None else _asked(loaded, name, ami)
    if plan.cut:
        click.echo(
            "warning: the dialplan was not told whole, something may be missing (manager.conf: writetimeout = 5000)",
            err=True,
        )
    try:
        drawn = flow_draw.draw(
            plan,
            context,
            exten=exten,
            cards=flow_words.cards(loaded.nodes),
            doors=dialplan_config.doors(loaded.settings, name, loaded.nodes),
            depth=depth,
        )
    except flow_draw.NoSuchPlace as error:
        cli_shared.fail(str(error), MISTAKES)
    form = form or ("svg" if output is not None and output.suffix.lower() == ".svg" else "mermaid")
    text = flow_svg.svg(drawn) if form == "svg" else flow_mermaid.mermaid(drawn)
    if output is None:
        click.echo(text, nl=False)
    else:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            cli_shared.fail(f"{output} cannot be written: {(error.strerror or '').lower()}", NOT_DONE)
        click.echo(f"{output}: {flow_words.facts(drawn)}")
    for warning in flow_words.warnings(drawn):  # also for who does not look at the drawing
        click.echo(f"warning: {harmless.harmless(warning)}", err=True)
    if not drawn.whole:
        click.echo(
            "warning: this is too much to draw: not all ways are followed; --exten or a smaller --depth draws less",
            err=True,
        )


def _pbx(loaded: "configuration.Config", wanted: str | None) -> "tuple[str, Ami | None]":
    """The PBX that is meant, and how to ask it."""
    known = loaded.settings.pbx
    if wanted is not None and wanted not in known:
        cli_shared.fail(f"no pbx {wanted!r}; there are: {', '.join(sorted(known)) or 'none'}", MISTAKES)
    name = wanted or next((name for name, one in known.items() if one.ami), next(iter(known), ""))
    return name, known[name].ami if name else None


def _asked(loaded: "configuration.Config", name: str, ami: "Ami | None") -> "dialplan.Dialplan":
    from agi_sms.asterisk import survey

    if ami is None:
        what = f"pbx {name} has no ami" if name else "no pbx is configured"
        cli_shared.fail(f"{what}, over which its dialplan could be asked for ({loaded.path}); {_ELSE}", MISTAKES)

    async def ask() -> "dialplan.Dialplan":
        try:
            return await survey.Survey(ami).dialplan()
        except errors.PbxError as error:
            _refused(name, ami, error)

    return cli_shared.finish(ask())


def _refused(name: str, ami: "Ami", error: errors.PbxError) -> NoReturn:
    from agi_sms import doctor_facts as facts

    why = error.__cause__
    if isinstance(why, OSError | UnicodeError) and not isinstance(why, TimeoutError):
        said = facts.not_connected(ami.host, why).detail
        what = f"AMI at {ami.host}:{ami.port}: {said}; does Asterisk run? agi-sms doctor says more"
    else:
        what = str(error)
    cli_shared.fail(f"pbx {name}: {what}; {_ELSE}", NOT_DONE)
