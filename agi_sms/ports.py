"""What the use cases ask of the world. Every implementation runs the suite in tests/contract."""

import enum
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from types import MappingProxyType
from typing import Protocol

from agi_sms import call, message, node, numbers
from agi_sms.message import Message, Status
from agi_sms.rates import Rate

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


class Book(Protocol):
    """What a reload replaces: the nodes, and how each trunk writes numbers."""

    @property
    def nodes(self) -> node.Nodes: ...

    def rules(self, pbx: str, trunk: str) -> numbers.Rules: ...


# --- outbox ---------------------------------------------------------------------------------------------------


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


class ContentState(enum.StrEnum):
    """Where a content job stands. Each but OPEN is an end."""

    OPEN = "open"  # to be asked, being asked, or to be asked again
    ANSWERED = "answered"
    FALLBACK = "fallback"  # no text was got: the node's fallback went out
    SKIPPED = "skipped"  # no text was got, or the customer's system said send: false
    HELD = "held"  # no text was got: a person decides
    DROPPED = "dropped"  # nobody waits for it any more (cancelled, expired)


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question to a content source. `rules` say how the call's trunk writes numbers.

    `activation_id` is the same however often the question is repeated. `test`: no call is behind it.
    """

    activation_id: str
    visit: call.Visit
    rules: numbers.Rules
    test: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a content source said. What it says beside the text is as it came, unread.

    `fields` is the whole answer for the node's own template: dict, list, str, int, float, bool, None.
    `code` (an HTTP status) and `excerpt` (the beginning of what came, at most LONGEST_EXCERPT characters) are
    kept for people.
    """

    text: str | None
    fields: object = None
    sender: object = None
    delay: object = None
    recipients: object = None
    send: object = None
    code: str = ""
    excerpt: str = ""


@dataclass(frozen=True, kw_only=True)
class NoAnswer:
    """Why a content source gave no text. `detail` says it in words.

    `again`: it may pass, so asking once more makes sense, `after` the other side's own wish, where it gave one.
    `host_fault`: nobody gets an answer from there, as far as this can be told from one. `asked`: a question was put.
    """

    reason: message.Reason
    code: str = ""
    detail: str = ""
    excerpt: str = ""
    again: bool = False
    after: timedelta | None = None
    host_fault: bool = False
    asked: bool = True


LONGEST_EXCERPT = 2000  # characters


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


@dataclass(frozen=True, kw_only=True)
class KeptReceipt:
    """A receipt, and when it came."""

    at: datetime
    receipt: Receipt


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


_NO_ROUTES: Mapping[str, Sequence[str]] = MappingProxyType({})


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

    async def claim(
        self,
        *,
        free: Mapping[str, int],
        known: Collection[str] | None = None,
        rates: Mapping[str, Rate] = MappingProxyType({}),
        lease: timedelta,
    ) -> ClaimRound:
        """Take due messages, the longest due first; expire those too old; give leases back that ran out.

        At most `free[provider]` for each provider, and no more than its rate has room for; one that `free` does not
        name has no place. Messages of providers that are not `known` (None: those that `free` names) are of
        provider "".
        """

    async def begin(
        self,
        lease: Lease,
        provider: str,
        *,
        cost: message.Cost | None = None,
        receipt_due_at: datetime | None = None,
    ) -> str | None:
        """Commit an attempt before its bytes leave; its id, or None where the lease is lost.

        `cost` is what it costs if it is taken. `receipt_due_at`: as in `finish`, should nobody hear of the answer.
        """

    async def finish(
        self,
        lease: Lease,
        attempt_id: str,
        outcome: message.Outcome,
        decision: Decision,
        *,
        receipt_due_at: datetime | None = None,
        cost: message.Cost | None = None,
    ) -> Status | None:
        """Record what came of an attempt; what its message is now, None where nothing was recorded.

        Receipts that came before win over the decision. `receipt_due_at`: when a receipt that has the last word
        is overdue. `cost` takes the place of the one that `begin` was given.

        It is never too late for an attempt in doubt, though its lease ran out or it was finished as Uncertain: that
        it was taken ends the doubt as a receipt would. That it was not, makes of a message that is uncertain or held
        what the decision says, unless another attempt may have been taken. Every other end of an attempt stays.
        """

    async def receive(self, provider: str, receipts: Sequence[Receipt]) -> Received:
        """Keep what a provider reported, each once, and settle the messages that it is about. Durable on return.

        Matched by the provider's id or our ref; what is nobody's is kept for a while, in case that an attempt
        ends which it belongs to. A word that is final for an attempt is its last.
        """

    async def awaited(self, provider: str, *, most: int, after: "Awaited | None" = None) -> Sequence["Awaited"]:
        """Messages that this provider took or may have taken, whose receipt is still to come and not overdue.

        The one that is overdue first comes first, of those behind `after`.
        """

    async def judge(self, message_id: str, verdict: Verdict, who: str) -> bool:
        """A person decides about a message that is uncertain or held; False where it is not, or there is no such."""

    async def settle(self, lease: Lease, decision: Decision) -> bool:
        """End a lease without an attempt (released, expired, held)."""

    async def claim_content(self, *, hosts: Mapping[str, str], free: Mapping[str, int], lease: timedelta) -> JobRound:
        """Take content jobs that are due, at most `free[host]` for each host, the longest due first.

        `hosts` maps nodes to their content source's host; jobs of nodes it does not name are of host "". A host
        that `free` does not name has no place. A job that nobody waits for is dropped on the way.
        """

    async def postpone(self, job: Job, no_answer: NoAnswer, at: datetime) -> bool:
        """Note a try that failed, to be repeated `at` that time; False where the lease was lost meanwhile."""

    async def release(self, job: Job) -> bool:
        """End a lease as if the job had never been claimed."""

    async def resolve(self, job: Job, resolution: Resolution, limits: Sequence[node.Limit] = ()) -> bool:
        """Give the waiting messages their text or their end, and end the job; False where the lease was lost.

        Of `more`, recipients who are in this activation already are left out; duplicates and limits are decided
        as admit() does. A message that is skipped gives its once_key back.
        """

    async def history(self, query: Query) -> list[message.Message]:
        """Messages, newest first."""

    async def story(self, message_id: str) -> Story | None:
        """All about one message."""

    async def totals(self, query: Query, zone: tzinfo, *, by_provider: bool = False) -> list[Total]:
        """What the messages come to, by node, day (of `zone`) and currency; the query's limit does not count.

        Of the attempts those by the query's provider count, where it names one.
        """

    async def traffic(self, provider: str, rate: Rate | None = None) -> Traffic:
        """What passed between us and a provider; without its rate nothing of attempts."""

    async def waiting(self) -> Mapping[tuple[str, ...], int]:
        """How many messages are still to be sent, by their routes."""

    async def cancel(self, query: Query, who: str) -> int:
        """Cancel what has not been sent; how many."""

    async def retry(self, seen: Sequence[Message], who: str, routes: Mapping[str, Sequence[str]] = _NO_ROUTES) -> int:
        """Schedule these again, at once: those that are still as they were seen; how many.

        They failed, expired, are held, uncertain or cancelled. `routes` gives messages (by id) another route; one that
        is scheduled may have that too, and goes when it would have gone.
        """

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


# --- content, and what Asterisk sends for us ----------------------------------------------------------------------


class ContentSource(Protocol):
    """Where a node's text comes from, if not from the node. Never raises for what the other side does."""

    host: str  # sources of one host share its places and its faults
    timeout: timedelta  # the longest that `fetch` may take

    async def fetch(self, question: Question) -> Answer | NoAnswer: ...

    async def close(self) -> None: ...


class PbxMessenger(Protocol):
    """One Asterisk as a way of sending. Whatever it does is an Outcome; its own no is Retry with the code `refused`."""

    async def send_message(self, *, to: str, sender: str, body: str, over: str, patience: timedelta) -> message.Outcome:
        """Hand one SIP MESSAGE to its SIP stack, `over` "ari" or "ami"; what the peer answers, nobody hears."""

    async def action(self, name: str, fields: Mapping[str, str], *, patience: timedelta) -> message.Outcome:
        """One AMI action, by which something is sent. Accepted carries the answer's ID, where it has one."""

    async def listen(self, names: Collection[str], take: Callable[[Mapping[str, str]], None]) -> None:
        """Hand over AMI's events of these names, until cancelled."""

    async def close(self) -> None: ...
