"""The outbox's words for what it tells of messages."""

from dataclasses import dataclass
from datetime import date, datetime

from agi_sms import call, message
from agi_sms.message import Message, Status
from agi_sms.ports_providers import Receipt
from agi_sms.ports_work import ContentState


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which messages: all given conditions hold. Text matches exactly, `number` and `message_id` also by their end."""

    node: str | None = None
    status: message.Status | None = None
    call_id: str | None = None
    number: str | None = None
    provider: str | None = None  # its next attempt goes there, or any went
    message_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class Total:
    """What providers took of one node's messages that arrived on one day, by currency.

    `segments` and `cost` (millionths of the currency) count a message as often as it was taken. Where no price is
    known, `cost` is 0 and `currency` empty. `doubted` messages may have been taken as well, or once more, which would
    cost `cost_doubted`. `provider` is empty where the sums are of all of them.
    """

    node: str
    day: date
    provider: str = ""
    currency: str
    messages: int
    segments: int
    cost: int
    doubted: int = 0
    cost_doubted: int = 0


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What passed between us and one provider.

    `begun` attempts in the window of its rate, and when there is room for another, None where there is. `unmatched`
    receipts are nobody's.
    """

    begun: int = 0
    room_at: datetime | None = None
    last_receipt_at: datetime | None = None
    unmatched: int = 0


@dataclass(frozen=True, kw_only=True)
class KeptReceipt:
    """A receipt, and when it came."""

    at: datetime
    receipt: Receipt


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One submission as kept. `verdict` is what its receipts say together: DELIVERED, FAILED, ACCEPTED, or nothing.

    `cost` is what it costs if the provider took it.
    """

    id: str
    n: int
    provider: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str
    code: str
    detail: str
    provider_ids: tuple[str, ...]
    receipts: tuple[KeptReceipt, ...] = ()  # as they came
    verdict: Status | None = None
    cost: message.Cost | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """Who did what to a message."""

    at: datetime
    who: str
    what: str


@dataclass(frozen=True, kw_only=True)
class ContentStory:
    """How an activation's text was got, or not yet. `reason` is that of the last fault, None where it was answered."""

    state: ContentState
    tries: int
    next_at: datetime | None
    ended_at: datetime | None
    reason: message.Reason | None
    code: str
    detail: str
    excerpt: str


@dataclass(frozen=True, kw_only=True)
class Story:
    """All that is known of one message."""

    message: Message
    visit: call.Visit
    node_revision: str
    returned_at: datetime | None
    attempts: tuple[Attempt, ...]
    events: tuple[Event, ...]
    siblings: tuple[Message, ...]  # the other messages of the same activation
    content: ContentStory | None = None  # where the text came from the customer's system
