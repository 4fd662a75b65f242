"""The outbox, where messages live, and the spool beside it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from types import MappingProxyType
from typing import Protocol

from agi_sms import message, node
from agi_sms.message import Message, Status
from agi_sms.ports_content import NoAnswer
from agi_sms.ports_history import Query, Story, Total, Traffic
from agi_sms.ports_providers import Awaited, Receipt
from agi_sms.ports_work import (
    Activation,
    Admission,
    ClaimRound,
    Decision,
    Job,
    JobRound,
    Lease,
    Received,
    Recovery,
    Resolution,
    Verdict,
)
from agi_sms.rates import Rate

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

    async def awaited(self, provider: str, *, most: int, after: Awaited | None = None) -> Sequence[Awaited]:
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
