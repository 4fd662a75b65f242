"""The edges that a configuration names, built by it: what did not change survives a reload."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Protocol, TypeVar, cast

from agi_sms import config as configuration
from agi_sms import content, delivery, fetching, plan, ports, providers
from agi_sms.asterisk import messenger
from agi_sms.providers import common


class Edge(Protocol):
    """A provider, or a content source."""

    @property
    def timeout(self) -> timedelta: ...

    async def close(self) -> None: ...


E = TypeVar("E", bound=Edge)


@dataclass(frozen=True, kw_only=True)
class Built(Generic[E]):
    """Edges by name, each with the settings that it was built from."""

    edges: Mapping[str, E]
    settings: Mapping[str, object]

    @classmethod
    def make(cls, settings: Mapping[str, object], build: Callable[[str], E], old: "Built[E] | None") -> "Built[E]":
        """Those whose settings did not change stay as they are."""
        kept = {} if old is None else {n: e for n, e in old.edges.items() if old.settings[n] == settings.get(n)}
        return cls(edges={name: kept[name] if name in kept else build(name) for name in settings}, settings=settings)

    def without(self, new: "Built[E]") -> list[E]:
        """What `new` has not taken over."""
        return [edge for name, edge in self.edges.items() if new.edges.get(name) is not edge]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A configuration and the edges built by it, swapped as one."""

    config: configuration.Config
    messengers: Mapping[str, messenger.Messenger]  # by pbx; how one is reached changes with a restart only
    providers: Built[ports.Provider]
    sources: Built[ports.ContentSource]

    @classmethod
    def make(cls, loaded: configuration.Config, old: "Parts | None" = None) -> "Parts":
        """Raises what a plug-in's constructor raises; then nothing has changed."""
        known = {} if old is None else dict(old.messengers)
        for name, pbx in loaded.settings.pbx.items():
            known.setdefault(name, messenger.Messenger(name, ari=pbx.ari, ami=pbx.ami))
        templated = {name: loaded.nodes[name].template is not None for name in loaded.sources}
        return cls(
            config=loaded,
            messengers=known,
            providers=Built.make(
                loaded.providers,
                lambda name: providers.build(name, loaded.providers[name], known),
                None if old is None else old.providers,
            ),
            sources=Built.make(
                {name: (asked, templated[name]) for name, asked in loaded.sources.items()},
                lambda name: content.build(name, loaded.sources[name], templated=templated[name]),
                None if old is None else old.sources,
            ),
        )

    @property
    def edges(self) -> list[Edge]:
        return [*self.providers.edges.values(), *self.sources.edges.values()]

    def without(self, new: "Parts") -> list[Edge]:
        """The edges that `new` has not taken over."""
        return [*self.providers.without(new.providers), *self.sources.without(new.sources)]

    @functools.cached_property
    def sending(self) -> delivery.Terms:
        """What delivery goes by."""
        settings = self.config.settings
        return delivery.Terms(
            providers=self.providers.edges,
            accounts={name: self._account(name) for name in self.providers.edges},
            policy=settings.retry,
            break_after=settings.health.break_after,
            break_for=settings.health.break_for,
            routes=functools.partial(plan.route, self.config.nodes),
        )

    def _account(self, name: str) -> delivery.Account:
        """What the settings say of a provider; a plug-in's need not be of our class."""
        provider, wanted = self.providers.edges[name], self.config.providers[name]
        most = self.config.settings.concurrency
        if not isinstance(wanted, common.Settings):
            return delivery.Account(concurrency=most)
        reports = getattr(provider, "reports", provider.confirms is ports.Confirms.DELIVERY)
        reports = reports or name in self.polled
        return delivery.Account(
            concurrency=wanted.concurrency or most,
            rate=wanted.limit,
            prices=wanted.price,
            receipt_timeout=wanted.receipt_timeout if reports else None,
        )

    @property
    def reporting(self) -> Mapping[str, ports.Reporting]:
        """Those who send receipts over HTTP."""
        return {
            name: cast(ports.Reporting, one)
            for name, one in self.providers.edges.items()
            if getattr(one, "reports", False)
        }

    @property
    def polled(self) -> Mapping[str, ports.Polled]:
        """Those who are asked what became of messages."""
        return {
            name: cast(ports.Polled, one)
            for name, one in self.providers.edges.items()
            if getattr(one, "pace", None) is not None
        }

    @property
    def connected(self) -> Mapping[str, ports.Connected]:
        """Those who keep a connection."""
        return {name: cast(ports.Connected, one) for name, one in self.providers.edges.items() if hasattr(one, "run")}

    @functools.cached_property
    def asking(self) -> fetching.Terms:
        """What fetching goes by."""
        hosts = self.config.settings.content
        return fetching.Terms(
            sources=self.sources.edges,
            concurrency=hosts.concurrency,
            break_after=hosts.break_after,
            break_for=hosts.break_for,
        )
