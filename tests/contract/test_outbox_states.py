"""Whatever the order of claims, attempts, late answers, lapses and a person's decisions: what must always hold."""

import asyncio
import tempfile
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agi_sms import message, ports
from tests.contract import stores
from tests.contract.stores import MINUTE, activation, draft

T = TypeVar("T")
S = message.Status
ENDS: list[tuple[message.Outcome, S, message.Reason | None]] = [
    (message.Accepted(ids=("x",)), S.ACCEPTED, None),
    (message.Rejected(code="1"), S.FAILED, message.Reason.REJECTED),
    (message.Retry(), S.SCHEDULED, None),
    (message.ProviderDown(), S.SCHEDULED, None),
    (message.Uncertain(), S.UNCERTAIN, message.Reason.UNANSWERED),
    (message.Uncertain(), S.HELD, message.Reason.UNANSWERED),
]


class OutboxMachine(RuleBasedStateMachine):
    """A model of what may be known from outside: which leases were given, and what was answered last."""

    store_type: type[stores.SqliteStore] = stores.SqliteStore

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.store = self.store_type(Path(self.folder.name))
        self.outbox: ports.Outbox = self.run(self.store.open())
        self.visits = 0
        self.messages = 0
        self.once_sent: set[tuple[str, str]] = set()
        self.held: dict[str, ports.Lease] = {}  # the newest lease of each message, while the outbox honours it
        self.old: list[tuple[ports.Lease, str | None]] = []  # leases that are over, with their attempts
        self.attempts: dict[str, str] = {}  # open attempts by message
        self.frozen: dict[str, S] = {}  # final states, and who alone may change them: a person

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def now(self) -> datetime:
        return self.store.clock()

    def teardown(self) -> None:
        self.run(self.outbox.close())
        self.runner.close()
        self.folder.cleanup()

    @initialize()
    def one(self) -> None:
        self.admit(call="a", recipient="+1", once=True, delay=0)

    @rule(
        call=st.sampled_from("ab"), recipient=st.sampled_from(["+1", "+2"]), once=st.booleans(), delay=st.integers(0, 3)
    )
    def admit(self, call: str, recipient: str, once: bool, delay: int) -> None:
        self.visits += 1
        planned = draft(self.store.clock, recipient, once=once, due_at=self.now() + delay * MINUTE)
        admission = self.run(self.outbox.admit(activation(f"v{self.visits}", self.store.clock, key=call), [planned]))
        [got] = admission.messages
        duplicate = once and (call, recipient) in self.once_sent
        assert got.status is (S.SKIPPED if duplicate else S.SCHEDULED)
        self.messages += 1
        if once:
            self.once_sent.add((call, recipient))

    @rule(limit=st.integers(1, 3), minutes=st.integers(1, 3))
    def claim(self, limit: int, minutes: int) -> None:
        leases = self.run(stores.claim(self.outbox, limit, minutes * MINUTE))
        assert len(leases) <= limit
        self.claimed(leases)

    @rule(limit=st.integers(1, 3), minutes=st.integers(1, 3), provider=st.sampled_from(["main", "spare"]))
    def claim_by_provider(self, limit: int, minutes: int, provider: str) -> None:
        found = self.run(self.outbox.claim(free={provider: limit}, lease=minutes * MINUTE))
        assert len(found.leases) <= limit
        assert {lease.message.provider for lease in found.leases} <= {provider}
        self.claimed(found.leases)
        to_come = [
            one.due_at
            for one in self.run(self.outbox.history(ports.Query()))
            if one.status in (S.SCHEDULED, S.UNCERTAIN) and one.provider == provider and one.due_at is not None
        ]
        if len(found.leases) < limit:
            assert found.next_at == min([*to_come, *(one.until for one in self.held.values())], default=None)

    def claimed(self, leases: Sequence[ports.Lease]) -> None:
        self.forget_lapsed()
        for lease in leases:
            assert lease.message.id not in self.held, "two valid leases"
            assert lease.status_before in (S.SCHEDULED, S.UNCERTAIN)
            assert lease.message.due_at is not None
            assert lease.message.due_at <= self.now()
            self.held[lease.message.id] = lease

    def forget_lapsed(self) -> None:
        """After a claim, every lease whose time is over has been taken away."""
        for name, lease in list(self.held.items()):
            if lease.until <= self.now():
                self.old.append((lease, self.attempts.pop(name, None)))
                del self.held[name]

    @precondition(lambda self: bool(self.held))
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        lease = self.held[data.draw(st.sampled_from(sorted(self.held)))]
        allowed = lease.until > self.now() and lease.message.id not in self.attempts
        attempt = self.run(self.outbox.begin(lease, "main"))
        assert (attempt is not None) == allowed
        if attempt is not None:
            self.attempts[lease.message.id] = attempt

    @precondition(lambda self: bool(self.attempts))
    @rule(
        data=st.data(),
        end=st.sampled_from(ENDS),
        delay=st.integers(0, 3),
        provider=st.sampled_from([None, "main", "spare"]),
    )
    def finish(
        self,
        data: st.DataObject,
        end: tuple[message.Outcome, S, message.Reason | None],
        delay: int,
        provider: str | None,
    ) -> None:
        name = data.draw(st.sampled_from(sorted(self.attempts)))
        lease, attempt = self.held.pop(name), self.attempts.pop(name)
        outcome, status, reason = end
        due = self.now() + delay * MINUTE if status in (S.SCHEDULED, S.UNCERTAIN) else None
        decision = ports.Decision(status=status, reason=reason, due_at=due, provider=provider)
        assert self.run(self.outbox.finish(lease, attempt, outcome, decision))
        assert self.run(self.outbox.history(ports.Query(message_id=name)))[0].provider == (provider or "main")
        self.old.append((lease, attempt))

    @precondition(lambda self: bool(set(self.held) - set(self.attempts)))
    @rule(data=st.data(), status=st.sampled_from([S.SCHEDULED, S.EXPIRED, S.HELD]))
    def settle(self, data: st.DataObject, status: S) -> None:
        name = data.draw(st.sampled_from(sorted(set(self.held) - set(self.attempts))))
        lease = self.held.pop(name)
        assert self.run(self.outbox.settle(lease, ports.Decision(status=status)))
        self.old.append((lease, None))

    @precondition(lambda self: bool(self.old))
    @rule(data=st.data(), end=st.sampled_from(ENDS))
    def late(self, data: st.DataObject, end: tuple[message.Outcome, S, message.Reason | None]) -> None:
        """A worker that comes back when its lease is over: only of an attempt in doubt there is something to say."""
        lease, attempt = data.draw(st.sampled_from(self.old))
        name, (outcome, status, reason) = lease.message.id, end
        decision = ports.Decision(status=status, reason=reason, due_at=self.now())
        before = self.run(stores.story(self.outbox, name))
        outcome = self.named(outcome, [one.provider_ids for one in before.attempts if one.id == attempt])
        assert self.run(self.outbox.begin(lease, "main")) is None
        assert not self.run(self.outbox.settle(lease, decision))
        if name in self.attempts:
            assert self.run(self.outbox.finish(lease, self.attempts[name], outcome, decision)) is None
        doubtful = [one.id for one in before.attempts if one.outcome == "uncertain"]
        got = None if attempt is None else self.run(self.outbox.finish(lease, attempt, outcome, decision))
        after = self.run(stores.story(self.outbox, name))
        if attempt not in doubtful:
            assert (got, after) == (None, before)
            return
        assert got is after.message.status
        assert [one.outcome for one in after.attempts if one.id == attempt] == [message.OUTCOMES[type(outcome)]]
        assert [one for one in after.attempts if one.id != attempt] == [
            one for one in before.attempts if one.id != attempt
        ]
        was = self.held[name].status_before if name in self.held else before.message.status
        expected = was if name in self.attempts else self.settled(after, was, attempt, status)
        if name in self.attempts or expected is was:
            assert replace(after.message, maybe_taken=before.message.maybe_taken) == before.message
            return
        assert got is expected
        self.frozen.pop(name, None)
        if name in self.held:
            self.old.append((self.held.pop(name), None))

    def named(self, outcome: message.Outcome, before: Sequence[tuple[str, ...]]) -> message.Outcome:
        """With ids, after those that its attempt has already."""
        return outcome

    @staticmethod
    def settled(story: ports.Story, was: S, attempt: str | None, decided: S) -> S:
        """What a message is that was this, now that it is known what one of its attempts in doubt came to."""
        ours = story.attempts[len(story.attempts) - story.message.attempts :]
        alive = [one for one in ours if one.outcome in ("accepted", "uncertain")]
        if S.DELIVERED in [one.verdict for one in story.attempts]:
            return S.DELIVERED
        if was in (S.UNCERTAIN, S.HELD) and not alive and attempt in [one.id for one in ours]:
            return decided
        if was in message.FINAL or not alive:
            return was
        if alive[-1].verdict is S.FAILED:
            return S.FAILED
        taken = any((one.verdict or one.outcome) == "accepted" for one in alive)
        return S.ACCEPTED if taken and was in (S.SCHEDULED, S.UNCERTAIN, S.HELD) else was

    @rule(minutes=st.sampled_from([1, 2, 5, 24 * 60]))
    def time_goes_by(self, minutes: int) -> None:
        self.store.clock.advance(minutes * MINUTE)

    @rule(call=st.sampled_from("ab"), verb=st.sampled_from(["cancel", "retry"]))
    def a_person_decides(self, call: str, verb: str) -> None:
        query = ports.Query(call_id=f"call-{call}")
        allowed = message.CANCELLABLE if verb == "cancel" else message.RETRYABLE
        before = self.run(self.outbox.history(query))
        decides = self.outbox.cancel if verb == "cancel" else partial(stores.again, self.outbox)
        changed = self.run(decides(query, "ann"))
        after = self.run(self.outbox.history(query))
        touched = [one.id for one in before if one.status in allowed]
        assert changed == len(touched)
        for old, new in zip(before, after, strict=True):
            if old.id in touched:
                assert new.status is (S.CANCELLED if verb == "cancel" else self.retried(old))
                self.frozen.pop(old.id, None)
            else:
                assert new == old

    def retried(self, old: message.Message) -> S:
        """What a message is after a person had it sent again."""
        return S.SCHEDULED

    @rule()
    def the_gateway_starts_again(self) -> None:
        self.run(self.outbox.close())
        self.outbox = self.run(self.store.open())
        found = self.run(self.outbox.recover())
        assert found.rescheduled + found.uncertain == len(self.held) + self.jobs_given_back()
        assert found.uncertain >= len(self.attempts)
        self.old += [(lease, self.attempts.pop(name, None)) for name, lease in self.held.items()]
        self.held.clear()

    def jobs_given_back(self) -> int:
        """How many content jobs had a lease."""
        return 0

    @invariant()
    def it_all_fits(self) -> None:
        found = self.run(self.outbox.history(ports.Query()))
        assert len(found) == self.messages
        assert {one.id for one in found if one.status is S.SENDING} == set(self.held)
        for one in found:
            if one.id in self.frozen:
                assert one.status is self.frozen[one.id], "a final state went back by itself"
            if one.status in message.FINAL or one.status is S.ACCEPTED:
                self.frozen[one.id] = one.status


OutboxMachine.TestCase.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestOutbox = OutboxMachine.TestCase
