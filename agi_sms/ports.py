"""What the use cases ask of the world. Every implementation runs the suite in tests/contract."""

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from agi_sms import call, message, node
from agi_sms.message import Message, Status

# --- the doors ------------------------------------------------------------------------------------------------


class ReplyStatus(enum.StrEnum):
    """What the dialplan reads in AGISMS_STATUS."""

    SCHEDULED = "SCHEDULED"
    SKIPPED = "SKIPPED"
    INVALID = "INVALID"
    ERROR = "ERROR"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a visit is told. `leave_unset`: it could not be stored at all, so AGISMS is not to be set, and the
    subroutine writes the visit into the PBX's own database."""

    status: ReplyStatus
    count: int = 0
    activation_id: str = ""
    leave_unset: bool = False

    @property
    def value(self) -> str:
        """The channel variable AGISMS."""
        return f"{self.status},{self.count}"


Receive = Callable[[call.Visit], Awaitable[Reply]]

# --- outbox ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Activation:
    """A visit, as it is to be kept. `id` is ours, sortable."""

    id: str
    visit: call.Visit
    node_revision: str


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """What the outbox made of one draft."""

    message_id: str
    recipient: str
    status: message.Status
    reason: message.Reason | None
    due_at: datetime


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What was stored. `new` is False where this visit had been stored before: then it tells of that."""

    activation_id: str
    new: bool
    messages: tuple[Admitted, ...]

    @property
    def count(self) -> int:
        """How many will be sent."""
        return sum(m.status in (message.Status.SCHEDULED, message.Status.WAITING) for m in self.messages)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to work on one message until `until`. Completions with a token that is no longer valid change nothing.

    `status_before` is SCHEDULED, or UNCERTAIN where the time for a settling receipt is over.
    `last_provider` and `last_ended` are of the newest attempt, empty and None where there was none.
    """

    message: Message
    token: str
    until: datetime
    status_before: Status
    last_provider: str = ""
    last_ended: datetime | None = None
    refusals: int = 0  # attempts so far that the provider asked to repeat, which the policy counts

    @property
    def undone(self) -> "Decision":
        """What ends the lease as if the message had never been claimed."""
        return Decision(status=self.status_before, reason=self.message.reason, due_at=self.message.due_at)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of a message after an attempt. `due_at` only for SCHEDULED and UNCERTAIN."""

    status: message.Status
    reason: message.Reason | None = None
    due_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What was found of an earlier run."""

    rescheduled: int
    uncertain: int


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which messages: all given conditions hold. Text matches exactly, `number` and `message_id` also by their end."""

    node: str | None = None
    status: message.Status | None = None
    call_id: str | None = None
    number: str | None = None
    message_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One submission as kept."""

    id: str
    n: int
    provider: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str
    code: str
    detail: str
    provider_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Who did what to a message."""

    at: datetime
    who: str
    what: str


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


class Outbox(Protocol):
    """Where messages live. Its own clock decides what is due. Raises errors.OutboxError and below."""

    async def admit(
        self, activation: Activation, drafts: Sequence[message.Draft], limits: Sequence[node.Limit] = ()
    ) -> Admission:
        """Store an activation with its messages, once per (pbx, visit), deciding duplicates and limits.

        Durable on return.
        """

    async def returned(self, activation_id: str, at: datetime) -> None:
        """Note when the channel was back in the dialplan. Not urgent: may be written later."""

    async def recover(self) -> Recovery:
        """Void every lease of an earlier run of this gateway."""

    async def claim(self, *, limit: int, lease: timedelta) -> list[Lease]:
        """Take due messages; expire those too old; give leases back that ran out."""

    async def next_due(self) -> datetime | None:
        """When the next message may be claimed, None where none is waiting."""

    async def begin(self, lease: Lease, provider: str) -> str | None:
        """Commit an attempt before its bytes leave; its id, or None where the lease is lost."""

    async def finish(self, lease: Lease, attempt_id: str, outcome: message.Outcome, decision: Decision) -> bool:
        """Record what came of an attempt; False where the lease was lost meanwhile."""

    async def settle(self, lease: Lease, decision: Decision) -> bool:
        """End a lease without an attempt (released, expired, held)."""

    async def history(self, query: Query) -> list[message.Message]:
        """Messages, newest first."""

    async def story(self, message_id: str) -> Story | None:
        """All about one message."""

    async def cancel(self, query: Query, who: str) -> int:
        """Cancel what has not been sent; how many."""

    async def retry(self, query: Query, who: str) -> int:
        """Schedule again, at once, what failed, expired, is held, uncertain or cancelled; how many."""

    async def close(self) -> None:
        """Finish what is under way and let go."""


class Spool(Protocol):
    """Where activations go when the outbox does not answer in time. Raises errors.SpoolError."""

    async def write(
        self, activation: Activation, drafts: Sequence[message.Draft], limits: Sequence[node.Limit] = ()
    ) -> None:
        """Durable on return."""

    async def replay(self, outbox: Outbox) -> int:
        """Hand every record to the outbox, then forget it; how many. What the outbox refuses stays."""

    @property
    def pending(self) -> int:
        """Records not yet handed over."""

    async def close(self) -> None: ...


# --- providers ------------------------------------------------------------------------------------------------


class Confirms(enum.StrEnum):
    """What a provider's yes means."""

    HANDOVER = "handover"
    ACCEPTANCE = "acceptance"
    DELIVERY = "delivery"


class OnUncertain(enum.StrEnum):
    """What to do with a message that may have been taken, when no receipt settled it."""

    HOLD = "hold"
    RESEND = "resend"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One message to a provider. `ref` is our id for it, the same at every attempt."""

    ref: str
    to: str
    sender: str
    text: str
    encoding: message.Encoding
    segments: int
    node: str
    attempt: int


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
    """What a provider reports later of one submission: its id, or our ref, and how the message ended or stands."""

    provider_id: str
    ref: str
    state: Status
    raw: str


class Reporting(Provider, Protocol):
    """A provider that sends receipts to us."""

    def parse_receipt(self, *, headers: Mapping[str, str], query: str, body: bytes) -> tuple[Receipt, ...]:
        """The receipts in one HTTP request, none where it holds none; ValueError where it cannot be read."""


# --- content, and what Asterisk sends for us ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Content:
    """What the customer's system wants said, or why it is not known."""

    text: str | None
    reason: message.Reason | None = None


class ContentSource(Protocol):
    """Where a node's text comes from, if not from the node. Never raises for what the other side does."""

    async def fetch(self, visit: call.Visit) -> Content: ...


class PbxMessenger(Protocol):
    """Asterisk as a way of sending (SIP MESSAGE, a modem). Raises errors.PbxError."""

    async def send_message(self, *, to: str, sender: str, body: str) -> None: ...
