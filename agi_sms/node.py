"""One configured SMS gateway element, compiled: nothing is left to be parsed when a call arrives."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

from agi_sms import message, numbers, text

ANY = "any"  # as the only one of `caller_countries`: wherever the caller's number belongs


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """A configured recipient: E.164, and the group it came from, if any."""

    number: str
    group: str = ""

    @property
    def source(self) -> message.Source:
        return message.Source.GROUP if self.group else message.Source.CONFIG


@dataclass(frozen=True, kw_only=True)
class Limit:
    """At most `most` messages within each `window`; `per` is `recipient` (within this node) or `node`."""

    per: str
    most: int
    window: timedelta


class Fetch(enum.StrEnum):
    """When the customer's system is asked."""

    ARRIVAL = "arrival"  # as soon as the call is stored
    SEND = "send"  # when the message is due


class OnError(enum.StrEnum):
    """What becomes of the messages where the customer's system gives no text."""

    FALLBACK = "fallback"
    SKIP = "skip"
    HOLD = "hold"


class Allowed(enum.StrEnum):
    """What an answer may say beside its text."""

    SENDER = "sender"
    DELAY = "delay"
    RECIPIENTS = "recipients"
    SEND = "send"


@dataclass(frozen=True, kw_only=True)
class Asking:
    """A node whose text comes from the customer's system; how that is reached, its ContentSource knows.

    `retries` are the times that it is asked again, after faults that may pass.
    """

    fetch: Fetch = Fetch.ARRIVAL
    retries: int = 2
    on_error: OnError = OnError.HOLD
    fallback: text.Template | None = None  # there where on_error says FALLBACK
    allow: frozenset[Allowed] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Way:
    """One entry of a route: which providers, in order, for which numbers. Without a condition it is for all."""

    providers: tuple[str, ...]
    countries: tuple[str, ...] = ()  # ISO 3166
    prefixes: tuple[str, ...] = ()  # of E.164 numbers, each with its plus

    @property
    def for_all(self) -> bool:
        return not (self.countries or self.prefixes)

    def fits(self, number: str, region: str) -> bool:
        """Whether it is for this E.164 number, which belongs to `region`."""
        return self.for_all or number.startswith(self.prefixes) or region in self.countries


@dataclass(frozen=True, kw_only=True)
class Route:
    """By which providers messages go: the first of `ways` that fits the recipient counts."""

    ways: tuple[Way, ...]

    @classmethod
    def of(cls, *providers: str) -> "Route":
        """The same providers for every number."""
        return cls(ways=(Way(providers=providers),))

    def for_number(self, e164: str) -> tuple[str, ...]:
        """The names of the providers, in order; none where no way is for this number."""
        region = numbers.region(e164) if any(way.countries for way in self.ways) else ""
        return next((way.providers for way in self.ways if way.fits(e164, region)), ())

    @property
    def providers(self) -> tuple[str, ...]:
        """Every provider in it, once."""
        return tuple(dict.fromkeys(name for way in self.ways for name in way.providers))


@dataclass(frozen=True, kw_only=True)
class Node:
    """The settings of one node. `revision` is a short hash of them, kept with every activation.

    `asking` without a `template`: the answer's message is the text.
    """

    name: str
    revision: str
    template: text.Template | None
    asking: Asking | None = None
    description: str = ""
    sender: str = ""
    delay: timedelta = timedelta(0)
    recipients: tuple[Recipient, ...] = ()
    send_to_caller: bool = False
    caller_countries: tuple[str, ...] = ()  # ISO 3166, or ANY; empty: only the node's own region
    once_per_call: bool = False
    dialplan_recipients: bool = False
    transliterate: bool = False
    max_segments: int = 6
    max_age: timedelta = timedelta(hours=24)  # counted from due_at
    route: Route = field(default_factory=lambda: Route.of("print"))
    region: str = "PL"
    time_zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    limits: tuple[Limit, ...] = ()
    when: tuple[tuple[str, frozenset[str]], ...] = ()  # variables, each with the values that it may have

    def wants(self, variables: Mapping[str, str]) -> bool:
        """Whether a call with these variables is to make messages. Upper and lower case are the same."""
        return all(variables.get(name, "").strip().upper() in values for name, values in self.when)

    def serves(self, region: str) -> bool:
        """Whether callers with numbers of this region may get the SMS."""
        return self.caller_countries == (ANY,) or region in (self.caller_countries or (self.region,))


Nodes = Mapping[str, Node]
