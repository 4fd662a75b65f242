"""What `agi-sms check` says of a configuration without mistakes."""

import textwrap
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from agi_sms import config_book, config_routes, durations, node, text

if TYPE_CHECKING:
    from agi_sms.config import Config

_SWITCHES = ("send_to_caller", "once_per_call", "dialplan_recipients", "transliterate")
_HEAD = ("NODE", "SENDER", "DELAY", "TO", "TEXT", "ROUTE")
_WIDEST, _LEAST = 44, 20  # characters of a text that are shown in the table
_INDENT, _LESS = " " * 15, " " * 4  # below what a line of a node's story says, and below other lines


def format_report(
    config: "Config", *, verbose: bool = False, names: Collection[str] | None = None, width: int | None = None
) -> str:
    """A short report for a terminal; `verbose` adds each node's text with sample values and its variables.

    `names` are the nodes that it tells of, None: all. Its lines have `width` columns where that can be.
    """
    nodes = [one for one in config.nodes.values() if names is None or one.name in names]
    blocks = [_folded(_summary(config), width, indent=_LESS)]
    if nodes:
        blocks.append(_table(config, nodes, width))
    if verbose:
        blocks += [_folded(_story(config, one), width) for one in nodes]
    if config.warnings:
        count = text.counted(len(config.warnings), "warning")
        blocks.append(_folded([f"{count}:", *(f"  {warning}" for warning in config.warnings)], width, indent=_LESS))
    return "\n\n".join(blocks)


def _summary(config: "Config") -> list[str]:
    facts = [_many(len(config.nodes), "node"), _named("provider", config.providers)]
    facts.append(_named("pbx", config.settings.pbx, plural="pbxes"))
    if config.templates:
        facts.append(_many(len(config.templates), "template"))
    lines = [f"{config.path}: right", f"  {', '.join(facts)}"]
    used = {provider for one in config.nodes.values() for provider in one.route.providers}
    if used == {"print"}:
        lines.append("  every SMS is printed, none is sent: add a provider and name it in routes.default")
    return lines


def _table(config: "Config", nodes: Iterable[node.Node], width: int | None) -> str:
    rows = [_HEAD, *(_row(config, one) for one in nodes)]
    over = max(map(len, _columns(rows).split("\n"))) - (width or 0)
    if width is not None and over > 0:
        at = _HEAD.index("TEXT")
        room = max(max(len(row[at]) for row in rows) - over, _LEAST)
        rows = [(*row[:at], _clipped(row[at], room), *row[at + 1 :]) for row in rows]
    return _columns(rows)


def _row(config: "Config", one: node.Node) -> tuple[str, ...]:
    detail = config.details[one.name]
    if detail.api is not None:
        body = f"from {config_book.address(detail.api)} ({detail.api.method}, {detail.api.response})"
    elif detail.sized is not None:
        body = f"{_many(detail.sized.segments, 'segment')} {detail.sized.encoding}: {_short(detail.sized.text)}"
    else:
        body = _short(detail.sample)
    return (
        one.name,
        one.sender or "-",
        durations.show(one.delay),
        _recipients(one),
        body,
        config_routes.shown(one.route),
    )


def _recipients(one: node.Node) -> str:
    parts = [_many(len(one.recipients), "number")] if one.recipients else []
    parts += ["caller"] if one.send_to_caller else []
    parts += ["dialplan"] if one.dialplan_recipients else []
    parts += ["whom the answer names"] if one.asking and node.Allowed.RECIPIENTS in one.asking.allow else []
    return " + ".join(parts) or "nobody"


def _folded(lines: Iterable[str], width: int | None, *, indent: str = _INDENT) -> str:
    """The lines, those that are too wide as several."""
    if width is None:
        return "\n".join(lines)
    room = max(width, 2 * len(_INDENT))
    wrap = textwrap.TextWrapper(
        room, subsequent_indent=indent, expand_tabs=False, replace_whitespace=False,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return "\n".join("\n".join(wrap.wrap(line)) or line for line in lines)


def _story(config: "Config", one: node.Node) -> list[str]:
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
    if len(one.route.ways) > 1:
        lines += [
            f"  route        {config_routes.conditions(way)}: {', '.join(way.providers)}" for way in one.route.ways
        ]
    if detail.template:
        lines.append(f"  template     {detail.template}")
    on = [name for name in _SWITCHES if getattr(one, name)]
    lines.append(f"  options      {', '.join(on) or 'none'}, max_segments {one.max_segments}")
    for name, values in one.when:
        lines.append(f"  when         {name} is {' or '.join(sorted(values))}")
    for limit in one.limits:
        whose = "for each recipient" if limit.per == "recipient" else "in all"
        lines.append(f"  limit        {_many(limit.most, 'message')} in {durations.show(limit.window)} {whose}")
    if detail.variables:
        lines.append(f"  variables    {', '.join(detail.variables)}  (the dialplan hands them over as var.NAME=)")
    lines += _asked(one, detail)
    if detail.sized is not None:
        lines.append(f"  units        {detail.sized.units}, {detail.sized.left} left in the last segment")
    lines += _lines("text", detail.sample if detail.sized is None else detail.sized.text)
    if detail.fallback is not None:
        lines += _lines("fallback", detail.fallback.text)
    return lines


def _asked(one: node.Node, detail: config_book.Detail) -> list[str]:
    """How the customer's system is asked for the text."""
    api, asking = detail.api, one.asking
    if api is None or asking is None:
        return []
    from agi_sms.content import reading  # only who asks for so much needs its libraries

    looked_for = api.message or reading.DEFAULTS.get(api.response, "")
    times = _many(asking.retries, "retry", plural="retries")
    lines = [
        f"  api          {api.method} {config_book.address(api)}, answers {api.response}",
        f"  fetch        {asking.fetch}, within {durations.show(api.timeout)}, {times}",
        f"  on_error     {asking.on_error}",
    ]
    facts = {
        "message": "" if one.template is not None else looked_for,
        "sends": ", ".join(param if param == sent else f"{param} as {sent}" for param, sent in api.params.names()),
        "fields": ", ".join(api.fields),
        "headers": ", ".join(api.headers),
        "sign": "every question, with HMAC-SHA256" if api.sign is not None else "",
        "redirects": "followed" if api.redirects else "",
        "addresses": "no private ones" if api.private_addresses == "deny" else "",
        "ca_file": str(api.ca_file or ""),
        "allow": ", ".join(sorted(asking.allow)),
    }
    return lines + [f"  {name:<12} {fact}" for name, fact in facts.items() if fact]


def _lines(name: str, body: str) -> list[str]:
    first, *rest = body.split("\n")
    return [f"  {name:<12} {first}", *(_INDENT + line for line in rest)]


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip() for row in rows
    )


def _short(body: str) -> str:
    return _clipped(" ".join(body.split()), _WIDEST)


def _clipped(line: str, most: int) -> str:
    return line if len(line) <= most else line[: most - 1] + "…"


def _named(word: str, names: Iterable[str], *, plural: str = "") -> str:
    listed = sorted(names)
    return _many(len(listed), word, plural=plural) + (f" ({', '.join(listed)})" if listed else "")


def _many(count: int, word: str, *, plural: str = "") -> str:
    return text.counted(count, word, plural) if count else f"no {plural or word + 's'}"
