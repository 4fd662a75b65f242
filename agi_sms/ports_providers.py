"""Providers: the ways of sending, and of hearing what became of it."""

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from agi_sms import message
from agi_sms.message import Status


class Confirms(enum.StrEnum):
    """What a provider's yes means."""

    HANDOVER = "handover"
    ACCEPTANCE = "acceptance"
    DELIVERY = "delivery"


class OnUncertain(enum.StrEnum):
    """What to do with a message that may have been taken, when no receipt settled it."""

    HOLD = "hold"
    RESEND = "resend"
    FAILOVER = "failover"  # to the route's next provider: it may arrive twice, and cost twice


def _unheard(_: message.Outcome) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One message to a provider. `ref` is our id for it, the same at every attempt.

    Where `send` came to Uncertain and the answer comes after all, `late` takes what it means, on the event loop.
    """

    ref: str
    to: str
    sender: str
    text: str
    encoding: message.Encoding
    segments: int
    node: str
    attempt: int
    late: Callable[[message.Outcome], None] = field(default=_unheard, compare=False, repr=False)


class Provider(Protocol):
    """One configured way of sending. `send` never raises for what a peer does: every fault is an Outcome."""

    name: str
    confirms: Confirms
    idempotent: bool  # it dedupes by `ref`
    on_uncertain: OnUncertain
    timeout: timedelta  # the longest that `send` may take

    async def send(self, submission: Submission) -> message.Outcome: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a provider reports later of one submission, by its own id or by our ref (either may be empty).

    `state` is DELIVERED, FAILED (it never will be), ACCEPTED (still on its way) or UNCERTAIN (a word that nobody knows,
    which settles nothing). `raw` is what came, for people.
    """

    provider_id: str
    ref: str
    state: Status
    raw: str
    code: str = ""
    detail: str = ""


TakeReceipts = Callable[[str, Sequence[Receipt]], Awaitable[None]]
"""Keep what a provider (by name) reported. Durable on return, so only then is it acknowledged; raises OutboxError."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One HTTP request in which a provider reports. `url` is the public address that it was sent to, with its query."""

    method: str
    url: str
    headers: Mapping[str, str]  # whatever the case of a name
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Report:
    """The receipts in a notice, none where it is about something else, and its acknowledgement when they are kept."""

    receipts: tuple[Receipt, ...]
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""


class Reporting(Provider, Protocol):
    """A provider that sends receipts over HTTP, where `reports` says so."""

    @property
    def reports(self) -> bool: ...

    def read(self, notice: Notice) -> Report:
        """Raises errors.ReceiptForged where its signature is not good, errors.ReceiptError where it cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """A message that a provider took or may have taken (`in_doubt`), and whose last word is still to come.

    `since` is when its newest attempt by that provider began, `until` when its receipt is overdue.
    """

    ref: str
    provider_ids: tuple[str, ...]
    since: datetime
    until: datetime
    in_doubt: bool = False


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a provider said when it was asked. `fault`: why it did not tell all, empty where it did.

    `after`: how long it wishes not to be asked, None where it says nothing of that.
    """

    receipts: tuple[Receipt, ...] = ()
    fault: str = ""
    after: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often a provider is asked, and about how many messages at once."""

    every: timedelta
    most: int


class Polled(Provider, Protocol):
    """A provider that is asked what became of messages, where it has a pace."""

    @property
    def pace(self) -> Pace | None: ...

    async def ask(self, awaited: Sequence[Awaited]) -> Told:
        """What became of these, at most `pace.most`; never raises for what the other side does."""


class Connected(Provider, Protocol):
    """A provider that keeps a connection, over which receipts come too. `send` makes one where there is none."""

    async def run(self, take: TakeReceipts) -> None:
        """Keep the connection up and hand receipts on, until cancelled."""
