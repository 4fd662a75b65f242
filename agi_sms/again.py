"""What a person may have sent again, by which way, and what it comes to: for `agi-sms retry`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from agi_sms import errors, message, node
from agi_sms.message import Reason, Status
from agi_sms.prices import Prices

if TYPE_CHECKING:
    from agi_sms import config as configuration

UNASKED = (Status.HELD, Status.EXPIRED, Status.FAILED)  # what is meant where nobody says which
_SAID_NO = frozenset({Reason.REJECTED, Reason.OPERATOR})


@dataclass(frozen=True, kw_only=True)
class Lot:
    """Messages of one status and reason. `costs` are those of sending them once more, as far as they are known."""

    status: Status
    reason: Reason | None
    messages: int
    oldest: datetime
    segments: int
    costs: tuple[message.Cost, ...]
    unpriced: int  # messages whose price is not known
    twice: int  # messages that may arrive twice


def harmless(one: message.Message) -> bool:
    """Whether it was certainly not handed over, and neither a provider nor a person said no to it."""
    return one.status in UNASKED and not one.maybe_taken and one.reason not in _SAID_NO


def lots(
    chosen: Iterable[message.Message], prices: Mapping[str, Prices], routes: Mapping[str, Sequence[str]]
) -> list[Lot]:
    """What the chosen come to; `routes` are the ways of those that do not keep theirs."""
    groups: dict[tuple[Status, Reason | None], list[message.Message]] = {}
    for one in chosen:
        groups.setdefault((one.status, one.reason), []).append(one)
    return [_lot(group, prices, routes) for _, group in sorted(groups.items(), key=lambda entry: str(entry[0]))]


def _lot(group: Sequence[message.Message], prices: Mapping[str, Prices], routes: Mapping[str, Sequence[str]]) -> Lot:
    sums: dict[str, int] = {}
    unpriced = 0
    for one in group:
        way = routes.get(one.id) or one.route
        price = prices.get(way[0]) if way else None
        cost = price.cost(one.recipient, one.segments) if price is not None else None
        if cost is None:
            unpriced += 1
        else:
            sums[cost.currency] = sums.get(cost.currency, 0) + cost.micros
    return Lot(
        status=group[0].status,
        reason=group[0].reason,
        messages=len(group),
        oldest=min(one.created_at for one in group),
        segments=sum(one.segments for one in group),
        costs=tuple(message.Cost(micros=micros, currency=currency) for currency, micros in sums.items()),
        unpriced=unpriced,
        twice=sum(one.maybe_taken for one in group),
    )


def prices(loaded: "configuration.Config") -> dict[str, Prices]:
    """Of the providers that have any."""
    named = {name: getattr(settings, "price", None) for name, settings in loaded.providers.items()}
    return {name: price for name, price in named.items() if isinstance(price, Prices)}


def ways(loaded: "configuration.Config", name: str, chosen: Iterable[message.Message]) -> dict[str, tuple[str, ...]]:
    """By message the providers of the route, or the provider, of that name; without those that it has no entry for.

    Raises errors.ArgumentError where there is neither.
    """
    route = _route(loaded, name)
    found = {one.id: route.for_number(one.recipient) for one in chosen}
    return {message_id: providers for message_id, providers in found.items() if providers}


def _route(loaded: "configuration.Config", name: str) -> node.Route:
    entries = loaded.settings.routes.get(name)
    if entries is None and name not in loaded.providers:
        known = ", ".join(dict.fromkeys((*loaded.settings.routes, *loaded.providers)))
        raise errors.ArgumentError(f"no route or provider {name!r}; there are: {known}")
    if entries is None:
        return node.Route.of(name)
    names = tuple(entry for entry in entries if isinstance(entry, str))
    if names:
        return node.Route.of(*names)
    conditional = [entry for entry in entries if not isinstance(entry, str)]
    return node.Route(
        ways=tuple(
            node.Way(providers=way.providers, countries=way.countries, prefixes=way.prefixes) for way in conditional
        )
    )


def stranded(loaded: "configuration.Config", chosen: Iterable[message.Message]) -> dict[str, int]:
    """How many of them name no provider that there is, by the names of those that they name."""
    found: dict[str, int] = {}
    for one in chosen:
        if one.route and not any(name in loaded.providers for name in one.route):
            named = ", ".join(one.route)
            found[named] = found.get(named, 0) + 1
    return found
