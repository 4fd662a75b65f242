"""One configured SMS gateway element, compiled: nothing is left to be parsed when a call arrives."""

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


@dataclass(frozen=True, kw_only=True)
class Node:
    """The settings of one node. `revision` is a short hash of them, kept with every activation."""

    name: str
    revision: str
    template: text.Template
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
