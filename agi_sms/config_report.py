"""What `agi-sms check` says of a configuration without mistakes."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from agi_sms import durations, node

if TYPE_CHECKING:
    from agi_sms.config import Config

_SWITCHES = ("send_to_caller", "once_per_call", "dialplan_recipients", "transliterate")
_WIDEST = 44  # characters of a text that are shown in the table


def format_report(config: "Config", *, verbose: bool = False) -> str:
    """A short report for a terminal; `verbose` adds each node's text with sample values and its variables."""
    blocks = [_summary(config)]
    if config.nodes:
        blocks.append(_table(config))
    if verbose:
        blocks += [_story(config, one) for one in config.nodes.values()]
    if config.warnings:
        count = len(config.warnings)
        blocks.append("\n".join([f"{_many(count, 'warning')}:", *(f"  {warning}" for warning in config.warnings)]))
    return "\n\n".join(blocks)


def _summary(config: "Config") -> str:
    facts = [_many(len(config.nodes), "node"), _named("provider", config.providers)]
    facts.append(_named("pbx", config.settings.pbx, plural="pbxes"))
    if config.templates:
        facts.append(_many(len(config.templates), "template"))
    lines = [f"{config.path}: right", f"  {', '.join(facts)}"]
    used = {provider for one in config.nodes.values() for provider in one.route}
    if used == {"print"}:
        lines.append("  every SMS is printed, none is sent: add a provider and name it in routes.default")
    return "\n".join(lines)


def _table(config: "Config") -> str:
    head = ("NODE", "SENDER", "DELAY", "TO", "TEXT", "ROUTE")
    return _columns([head, *(_row(config, one) for one in config.nodes.values())])


def _row(config: "Config", one: node.Node) -> tuple[str, ...]:
    sized = config.details[one.name].sized
    text = f"{_many(sized.segments, 'segment')} {sized.encoding}: {_short(sized.text)}"
    return (
        one.name,
        one.sender or "-",
        durations.show(one.delay),
        _recipients(one),
        text,
        ", ".join(one.route),
    )


def _recipients(one: node.Node) -> str:
    parts = [_many(len(one.recipients), "number")] if one.recipients else []
    parts += ["caller"] if one.send_to_caller else []
    parts += ["dialplan"] if one.dialplan_recipients else []
    return " + ".join(parts) or "nobody"


def _story(config: "Config", one: node.Node) -> str:
    detail = config.details[one.name]
    lines = [f"{one.name}  ({detail.where})"]
    if one.description:
        lines.append(f"  description  {one.description}")
    lines += [f"  recipient    {r.number}{f' (@{r.group})' if r.group else ''}" for r in one.recipients]
    if one.send_to_caller:
        places = (
            "any country" if one.caller_countries == (node.ANY,) else ", ".join(one.caller_countries or [one.region])
        )
        lines.append(f"  callers      mobiles of {places}")
    if detail.template:
        lines.append(f"  template     {detail.template}")
    on = [name for name in _SWITCHES if getattr(one, name)]
    lines.append(f"  options      {', '.join(on) or 'none'}, max_segments {one.max_segments}")
    for limit in one.limits:
        whose = "for each recipient" if limit.per == "recipient" else "in all"
        lines.append(f"  limit        {_many(limit.most, 'message')} in {durations.show(limit.window)} {whose}")
    if detail.variables:
        lines.append(f"  variables    {', '.join(detail.variables)}  (the dialplan hands them over as var.NAME=)")
    lines.append(f"  units        {detail.sized.units}, {detail.sized.left} left in the last segment")
    first, *rest = detail.sized.text.split("\n")
    lines.append(f"  text         {first}")
    lines += [f"               {line}" for line in rest]
    return "\n".join(lines)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip() for row in rows
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"


def _named(word: str, names: Iterable[str], *, plural: str = "") -> str:
    listed = sorted(names)
    return _many(len(listed), word, plural=plural) + (f" ({', '.join(listed)})" if listed else "")


def _many(count: int, word: str, *, plural: str = "") -> str:
    return f"{count or 'no'} {word if count == 1 else plural or word + 's'}"
