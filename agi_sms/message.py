"""A message, the words for its state, and what came of one attempt to send it."""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta


class Status(enum.StrEnum):
    """Where a message stands. A final state never goes back (except that a person retries it)."""

    WAITING = "waiting"  # its text is still being fetched
    SCHEDULED = "scheduled"  # goes out at due_at
    SENDING = "sending"  # a worker holds the lease
    ACCEPTED = "accepted"  # the provider took it
    DELIVERED = "delivered"  # a receipt says so
    FAILED = "failed"  # a provider refused it for good
    EXPIRED = "expired"  # too old to be sent
    UNCERTAIN = "uncertain"  # it may or may not have been taken; at due_at the provider's on_uncertain decides
    HELD = "held"  # a person decides
    CANCELLED = "cancelled"  # a person said no
    SKIPPED = "skipped"  # never to be sent


class Reason(enum.StrEnum):
    """Why a message is failed, expired, uncertain, held, cancelled or skipped."""

    CALLER_WITHHELD = "caller_withheld"
    CALLER_INVALID = "caller_invalid"
    LANDLINE = "landline"
    NOT_MOBILE = "not_mobile"  # premium rate, toll-free, a pager, a satellite phone, ...
    COUNTRY = "country"  # a caller from none of the node's caller_countries
    RECIPIENT_INVALID = "recipient_invalid"  # from the dialplan; configured ones are checked at load
    DUPLICATE_IN_CALL = "duplicate_in_call"
    CAPPED = "capped"
    CONDITION = "condition"  # the node's `when` does not fit this call
    BAD_ARGUMENT = "bad_argument"  # the dialplan's delay, sender or recipients were not usable
    EMPTY_CONTENT = "empty_content"
    CONTENT_ERROR = "content_error"  # the text's template failed on this call, or on this answer
    CONTENT_TIMEOUT = "content_timeout"  # the customer's system did not answer in time
    CONTENT_UNREACHABLE = "content_unreachable"  # no connection to it, or it broke; or left alone after such faults
    CONTENT_REFUSED = "content_refused"  # it answered with another HTTP status than 2xx
    CONTENT_UNREADABLE = "content_unreadable"  # its answer is not of the structure that the node expects
    CONTENT_MISSING = "content_missing"  # its answer has no text where the node looks for it
    CONTENT_REMOVED = "content_removed"  # the configuration no longer has the node that asked
    DECLINED = "declined"  # the customer's system said send: false
    NO_ROUTE = "no_route"  # the node's route has no providers for this number
    NO_RECIPIENT = "no_recipient"  # neither the node nor the customer's system named anybody
    TOO_LONG = "too_long"
    TOO_OLD = "too_old"
    REJECTED = "rejected"
    UNDELIVERED = "undelivered"  # a receipt says that it never will be
    GAVE_UP = "gave_up"  # every retry used up
    CRASHED = "crashed"  # the gateway died between handing over and hearing the answer
    UNANSWERED = "unanswered"  # timeout, reset or nonsense after the request was written
    POISON = "poison"  # claimed again and again, never ended
    PROVIDER_MISSING = "provider_missing"  # the config no longer has it
    NODE_MISSING = "node_missing"  # to be sent, and the config no longer has the node that would know by what route
    OPERATOR = "operator"


class Source(enum.StrEnum):
    """Why somebody is a recipient."""

    CONFIG = "config"
    GROUP = "group"
    DIALPLAN = "dialplan"
    CALLER = "caller"
    API = "api"  # named by the customer's system
    OPERATOR = "operator"  # named on the command line


class Encoding(enum.StrEnum):
    GSM7 = "gsm7"
    UCS2 = "ucs2"


FINAL = frozenset({Status.DELIVERED, Status.FAILED, Status.EXPIRED, Status.CANCELLED, Status.SKIPPED})
CANCELLABLE = frozenset({Status.WAITING, Status.SCHEDULED, Status.UNCERTAIN, Status.HELD})
JUDGEABLE = frozenset({Status.UNCERTAIN, Status.HELD})
RETRYABLE = frozenset({Status.FAILED, Status.EXPIRED, Status.UNCERTAIN, Status.HELD, Status.CANCELLED})
REROUTABLE = RETRYABLE | {Status.SCHEDULED}


@dataclass(frozen=True, kw_only=True)
class Draft:
    """One message as planned, before the outbox has decided duplicates and caps.

    `recipient` is E.164, or what was received where no number could be made of it (then it is skipped).
    `once` asks for "one per call". Times are UTC.
    """

    recipient: str
    source: Source
    status: Status
    reason: Reason | None = None
    sender: str = ""
    text: str | None = None
    encoding: Encoding = Encoding.GSM7
    segments: int = 0
    route: tuple[str, ...] = ()  # provider names, in order
    due_at: datetime
    expires_at: datetime
    once: bool = False


@dataclass(frozen=True, kw_only=True)
class Cost:
    """An amount of money: `micros` are millionths of the currency (ISO 4217)."""

    micros: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """A row of the outbox."""

    id: str
    activation_id: str
    node: str
    call_id: str
    recipient: str
    source: Source
    status: Status
    reason: Reason | None
    sender: str
    text: str | None
    encoding: Encoding
    segments: int
    route: tuple[str, ...]
    created_at: datetime
    due_at: datetime | None
    expires_at: datetime
    claims: int = 0
    attempts: int = 0
    provider: str = ""  # where its next attempt goes, or its last one went
    receipt_due_at: datetime | None = None  # None: no receipt is expected, or the one with the last word is there
    costs: tuple[Cost, ...] = ()  # of the attempts that were taken, as far as prices are known; one for each currency
    first_due_at: datetime | None = None  # when it was due first, or again as a person said so
    maybe_taken: bool = False  # a provider took it, or may have: sent again, it may arrive twice
    fallback: bool = False  # its text is the node's fallback, as the customer's system gave none

    def receipt_overdue(self, now: datetime) -> bool:
        """Whether the provider took it and should have said by now what became of it."""
        return self.status is Status.ACCEPTED and self.receipt_due_at is not None and self.receipt_due_at <= now


# --- what one attempt came to --------------------------------------------------------------------------------


LONGEST_DETAIL = 500  # characters


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one submission. `code` and `detail` are the provider's own words, at most LONGEST_DETAIL each."""

    code: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Accepted(Outcome):
    """The provider took it. `ids` are its names for the segments (often one for all)."""

    ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rejected(Outcome):
    """The provider refused this message for good; asking it again gives the same, another may take it."""


@dataclass(frozen=True, kw_only=True)
class Final(Rejected):
    """The recipient wants no SMS, or is on a block list: no other provider is to be asked either."""


@dataclass(frozen=True, kw_only=True)
class Retry(Outcome):
    """Certainly not taken, worth another try. `after` is the provider's own wish, where it gave one."""

    after: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class ProviderDown(Outcome):
    """Certainly not taken, and the provider takes nothing from anybody now (DNS, refused, TLS, login)."""


@dataclass(frozen=True, kw_only=True)
class Uncertain(Outcome):
    """It may have been taken.

    `ids` are the provider's names for segments that it took for sure, while of others it did not, or nobody knows.
    """

    ids: tuple[str, ...] = ()


OUTCOMES: dict[type[Outcome], str] = {
    Accepted: "accepted",
    Rejected: "rejected",
    Final: "rejected",
    Retry: "retry",
    ProviderDown: "provider_down",
    Uncertain: "uncertain",
}
