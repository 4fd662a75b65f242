"""The outbox's words for what is under way: from a visit's admission to a message's end."""

import enum
from dataclasses import dataclass
from datetime import datetime

from agi_sms import call, message
from agi_sms.message import Message, Status
from agi_sms.ports_providers import Receipt


@dataclass(frozen=True, kw_only=True)
class Activation:
    """A visit, as it is to be kept. `id` is ours, sortable.

    `fetch_at`: when the node's content source is to be asked for the text of its waiting messages (a content job).
    """

    id: str
    visit: call.Visit
    node_revision: str
    fetch_at: datetime | None = None


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
    def to_be_sent(self) -> list[Admitted]:
        """Those that will be sent."""
        return [one for one in self.messages if one.status in (message.Status.SCHEDULED, message.Status.WAITING)]

    @property
    def count(self) -> int:
        """How many will be sent."""
        return len(self.to_be_sent)


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
    again: bool = False  # a person has it sent, after it had come to an end or was held

    @property
    def undone(self) -> "Decision":
        """What ends the lease as if the message had never been claimed."""
        return Decision(status=self.status_before, reason=self.message.reason, due_at=self.message.due_at)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of a message after an attempt. `due_at` only for SCHEDULED and UNCERTAIN.

    `provider` is where its next attempt goes, None: where the last one went or was to go. `route` takes the place
    of one that leads nowhere.
    """

    status: message.Status
    reason: message.Reason | None = None
    due_at: datetime | None = None
    provider: str | None = None
    route: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ClaimRound:
    """What one claim of messages came to. `next_at`: when there may be more for providers with free places."""

    leases: tuple[Lease, ...] = ()
    next_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What was found of an earlier run."""

    rescheduled: int
    uncertain: int


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A message whose status a provider's receipt has changed."""

    message: Message  # as it is now
    before: Status
    receipt: Receipt


@dataclass(frozen=True, kw_only=True)
class Received:
    """What came of receipts: so many were new; `unmatched` of these are nobody's so far.

    The others were known, or there were too many before them, and they changed nothing.
    """

    new: int = 0
    known: int = 0
    unmatched: int = 0
    settled: tuple[Settled, ...] = ()


class Verdict(enum.StrEnum):
    """What a person says of a message that nobody else can tell about."""

    SENT = "sent"  # the provider has it
    RESEND = "resend"  # it is to be sent, maybe again
    FAIL = "fail"  # it was not sent, and is not to be


class ContentState(enum.StrEnum):
    """Where a content job stands. Each but OPEN is an end."""

    OPEN = "open"  # to be asked, being asked, or to be asked again
    ANSWERED = "answered"
    FALLBACK = "fallback"  # no text was got: the node's fallback went out
    SKIPPED = "skipped"  # no text was got, or the customer's system said send: false
    HELD = "held"  # no text was got: a person decides
    DROPPED = "dropped"  # nobody waits for it any more (cancelled, expired)


@dataclass(frozen=True, kw_only=True)
class Job:
    """The right to ask for one activation's text until the lease ends. `tries` ended before this one."""

    activation_id: str
    visit: call.Visit
    token: str
    tries: int = 0


@dataclass(frozen=True, kw_only=True)
class JobRound:
    """What one claim of content jobs came to. `next_at`: when there may be more for hosts with free places."""

    jobs: tuple[Job, ...] = ()
    next_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What becomes of an activation's waiting messages, and what is kept of how their text was got.

    `status` is SCHEDULED, SKIPPED or HELD, `reason` None where the text is the answer's. `sender` and `due_at` are
    None where the messages keep theirs. `more` are messages that the answer asked for, as admit() takes them; the
    first of them takes the place of one that waits without a recipient. `asked`: a question was put.
    """

    state: ContentState
    status: Status
    reason: message.Reason | None = None
    text: str | None = None
    encoding: message.Encoding = message.Encoding.GSM7
    segments: int = 0
    sender: str | None = None
    due_at: datetime | None = None
    more: tuple[message.Draft, ...] = ()
    code: str = ""
    detail: str = ""
    excerpt: str = ""
    asked: bool = True

    @property
    def unnamed(self) -> tuple[Status, message.Reason]:
        """What becomes of a message that waited for a recipient too, where none was named.

        An answer is an answer; else a person may have the question repeated.
        """
        if self.state is ContentState.ANSWERED:
            return Status.SKIPPED, message.Reason.NO_RECIPIENT
        status = Status.HELD if self.status is Status.SCHEDULED else self.status
        return status, self.reason or message.Reason.NO_RECIPIENT
