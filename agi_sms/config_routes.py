"""Routes as they are written, checked, and compiled: by which providers the messages of a node go."""

from collections.abc import Sequence

from agi_sms import node
from agi_sms.config_book import Book
from agi_sms.config_mistakes import Spot
from agi_sms.config_settings import Way
from agi_sms.config_words import nearest


def compile_all(book: Book) -> None:
    """Every route that has a name; mistakes and warnings are noted in the book."""
    for name, entries in book.settings.routes.items():
        book.compiled[name] = _compiled(book, entries, book.spot.at("routes", name))


def resolve(book: Book, named: tuple[str, ...], spot: Spot) -> node.Route:
    """What a node's `route` comes to: a route's name, a provider's, or a list of providers."""
    if len(named) == 1 and named[0] in book.compiled:
        book.used.add(("routes", named[0]))
        return book.compiled[named[0]]
    if len(named) == 1 and named[0] in book.routes:
        return node.Route.of(*named)  # its mistakes have been told
    _check_providers(book, named, spot, others=book.routes if len(named) == 1 else frozenset())
    return node.Route.of(*named)


def _compiled(book: Book, entries: Sequence[str | Way], spot: Spot) -> node.Route:
    names = tuple(entry for entry in entries if isinstance(entry, str))
    if names:
        _check_providers(book, names, spot)
        return node.Route.of(*names)
    ways: list[node.Way] = []
    for at, entry in enumerate(entries):
        if not isinstance(entry, Way):
            continue
        here = spot.at(at)
        _check_providers(book, entry.providers, here.at("providers"))
        _check_reached(book, entry, ways, here)
        ways.append(node.Way(providers=entry.providers, countries=entry.countries, prefixes=entry.prefixes))
    return node.Route(ways=tuple(ways))


def _check_providers(book: Book, named: tuple[str, ...], spot: Spot, *, others: frozenset[str] = frozenset()) -> None:
    """Note names that are no provider, and those that stand there twice."""
    for at, name in enumerate(named):
        if name not in book.providers:
            known = book.providers | others
            what = "route or provider" if others else "provider"
            book.mistakes.add(spot.at(at), f"there is no {what} {name[:80]!r}; {nearest(name, known)}")
        elif name in named[:at]:
            book.warnings.add(spot.at(at), f"{name!r} stands in this route twice")


def _check_reached(book: Book, entry: Way, before: Sequence[node.Way], spot: Spot) -> None:
    """Warn of what no number comes to, as an entry above it takes them all."""
    if any(way.for_all for way in before):
        book.warnings.add(spot, "is never reached: an entry above it has no conditions, and takes every number")
        return
    for at, country in enumerate(entry.countries):
        if any(country in way.countries for way in before):
            book.warnings.add(spot.at("countries", at), f"{country} is never reached: it stands in an entry above")
    for at, prefix in enumerate(entry.prefixes):
        above = next((one for way in before for one in way.prefixes if prefix.startswith(one)), None)
        if above is not None:
            book.warnings.add(spot.at("prefixes", at), f"{prefix} is never reached: {above} stands in an entry above")


def shown(route: node.Route) -> str:
    """A route on one line."""
    if len(route.ways) == 1 and route.ways[0].for_all:
        return ", ".join(route.providers)
    return "; ".join(f"{conditions(way)}: {', '.join(way.providers)}" for way in route.ways)


def conditions(way: node.Way) -> str:
    """For whom an entry is, in few words."""
    return " ".join((*way.countries, *way.prefixes)) or "else"
