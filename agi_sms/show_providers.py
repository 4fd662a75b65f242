"""What the command line says of providers: those that are configured, and what the profiles of companies can do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from agi_sms import durations, message, ports, prices, text
from agi_sms.providers import common

if TYPE_CHECKING:
    from agi_sms import config as configuration
    from agi_sms.providers import profiles

_MOST_NAMED = 5  # nodes
_HEAD = ("Profile", "Company", "Login", "Sender", "Unicode", "Repeats dropped", "Receipts", "found by", "Proof")
MARKS = ("<!-- profiles -->", "<!-- end of profiles -->")  # around the table, where it is kept in a file


def configured(loaded: "configuration.Config", built: Mapping[str, ports.Provider]) -> Iterator[str]:
    """Every provider and what is said of it in the configuration, line by line."""
    for at, (name, provider) in enumerate(built.items()):
        settings = loaded.providers[name]
        kind, profile = str(getattr(settings, "type", "")), str(getattr(settings, "profile", ""))
        yield from [""] * (at > 0)
        yield f"{name}  ({kind}{f', profile {profile}' if profile else ''})"
        yield from _fact("used by", _users(loaded, name))
        yield from _fact("means", _MEANS[provider.confirms])
        if isinstance(settings, common.Settings):
            most = settings.concurrency or loaded.settings.concurrency
            limit = settings.limit
            yield from _fact("at once", str(most))
            yield from _fact("limit", f"{limit.most} in {durations.show(limit.window)}" if limit else "")
            yield from _fact("price", _price(settings.price) if settings.price else "")
        yield from _fact("uncertain", "sent again: it drops repeats" if provider.idempotent else provider.on_uncertain)
        yield from _fact("receipts", _receipts(loaded, name, provider))


_MEANS = {
    ports.Confirms.HANDOVER: "its yes says that the message was handed over; a refusal stays unknown",
    ports.Confirms.ACCEPTANCE: "its yes says that it took the message",
    ports.Confirms.DELIVERY: "its yes says that it took the message; its receipts, that the phone has it",
}


def _users(loaded: "configuration.Config", name: str) -> str:
    """The routes that name it, and the nodes whose messages may go by it."""
    routes = [
        route
        for route, entries in loaded.settings.routes.items()
        if any(name in ((entry,) if isinstance(entry, str) else entry.providers) for entry in entries)
    ]
    nodes = [node for node, one in loaded.nodes.items() if name in one.route.providers]
    shown = ", ".join(nodes[:_MOST_NAMED]) + (f" and {len(nodes) - _MOST_NAMED} more" * (len(nodes) > _MOST_NAMED))
    parts = [f"route {', '.join(routes)}"] if routes else []
    parts += [f"{text.counted(len(nodes), 'node')} ({shown})"] if nodes else []
    return "; ".join(parts) or "no route and no node"


def _price(price: prices.Prices) -> str:
    """Of a segment, by country."""
    known = [("", price.default)] if price.default is not None else []
    known += [(f"{region} ", micros) for region, micros in price.regions.items()]
    shown = (f"{where}{prices.shown(message.Cost(micros=m, currency=price.currency))}" for where, m in known)
    return ", ".join(shown) + " a segment"


def _receipts(loaded: "configuration.Config", name: str, provider: ports.Provider) -> str:
    settings = loaded.providers[name]
    wait = (
        f"; overdue after {durations.show(settings.receipt_timeout)}" if isinstance(settings, common.Settings) else ""
    )
    pace = getattr(provider, "pace", None)
    asked = f"asked for every {durations.show(pace.every)}" if pace is not None else ""
    if getattr(provider, "reports", False):
        return address(settings) + (f"; {asked}" if asked else "") + wait
    if asked:
        return asked + wait
    if getattr(settings, "receipts", None) is not None:
        return "none: no receipts.public_url says where they come in"
    if provider.confirms is ports.Confirms.DELIVERY:
        return "by its own connection" + wait
    return "none"


def address(settings: object) -> str:
    """Where an HTTP provider's receipts come in, to be told to the company; a token is named, not shown."""
    verify = getattr(getattr(settings, "receipts", None), "verify", None)
    token = f"/<secret.{verify.secret}>" if verify is not None and verify.scheme == "token" else ""
    return f"{getattr(settings, 'receipt_url', '')}{token}"


# --- profiles -----------------------------------------------------------------------------------------------------


def matrix(rows: Iterable["profiles.Row"]) -> str:
    """What each profile can do, as a table in Markdown that reads well in a terminal too."""
    return "\n".join(_table([_HEAD, *map(_cells, rows)]))


def _cells(row: "profiles.Row") -> tuple[str, ...]:
    found_by = row.ids if row.receipts != "no" else ""
    can = (row.auth, row.sender, row.unicode, row.idempotent, row.receipts, found_by)
    return row.name, row.title, *can, row.proof


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [f"| {' | '.join(c.ljust(w) for c, w in zip(row, widths, strict=True))} |" for row in rows]
    yield lines[0]
    yield f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    yield from lines[1:]


def profile(found: "profiles.Profile") -> Iterator[str]:
    """One profile: whose it is, what it needs, where its facts are from, and how it is configured."""
    head = found.head
    yield f"{head.title}  ({found.origin})"
    yield from _fact("docs", head.docs)
    yield from _fact("proof", _PROOFS[head.proof])
    for word, needs in (("needs", head.needs), ("optional", head.optional)):
        for name, what in needs.items():
            yield from _fact(word, f"{name}: {what}")
    for note in head.notes:
        yield from _fact("note", note)
    for fact, source in head.sources.items():
        yield from _fact("source", f"{fact}: {source}")
    yield "\nproviders:"
    yield f"  {found.name}:"
    yield "    type: http"
    yield f"    profile: {found.name}"
    yield from _wanted(found)


_PROOFS = {
    "software": "against third-party software",
    "document": "against the company's own official document (OpenAPI)",
    "documentation": "written from documentation only; try it with agi-sms send-test",
}


def _wanted(found: "profiles.Profile") -> Iterator[str]:
    """The keys that the operator gives, as YAML."""
    secrets = []
    verify = (found.settings.get("receipts") or {}).get("verify") or {}
    for name in (*found.head.needs, *found.head.optional):
        section, _, key = name.partition(".")
        variable = f"{found.name}_{key or section}".upper().replace("-", "_")
        optional = "# " if name in found.head.optional else ""
        if section == "secret":
            why = "  # needed where receipts come in" if optional and key == verify.get("secret") else ""
            secrets.append(f'      {optional}{key}: "${{{variable}}}"{why}')
        else:
            yield f'    {optional}{name}: "${{{variable}}}"'
    if secrets:
        yield "    secret:"
        yield from secrets


def _fact(name: str, value: str) -> Iterator[str]:
    if value:
        yield f"  {name:<10} {value}"
