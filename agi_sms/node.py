"""One configured SMS gateway element, compiled: nothing is left to be parsed when a call arrives."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

from agi_sms import message, text

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
    route: tuple[str, ...] = ("print",)
    region: str = "PL"
    time_zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    limits: tuple[Limit, ...] = ()

    def serves(self, region: str) -> bool:
        """Whether callers with numbers of this region may get the SMS."""
        return self.caller_countries == (ANY,) or region in (self.caller_countries or (self.region,))


Nodes = Mapping[str, Node]
