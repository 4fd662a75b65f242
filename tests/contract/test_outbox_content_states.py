"""Messages that wait for a text: whatever the order of claims, answers, lapses and decisions, what must hold."""

from dataclasses import dataclass, replace
from datetime import datetime

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from agi_sms import message, ports
from agi_sms.outbox import work
from tests.contract import stores, test_outbox_states
from tests.contract.stores import MINUTE, answered, draft, unanswered, waiting

S = message.Status
State = ports.ContentState
HOSTS = {"slow": "slow.example", "quick": "quick.example"}
NO_ANSWER = ports.NoAnswer(reason=message.Reason.CONTENT_TIMEOUT, again=True)
ENDS = [answered(), unanswered(S.SKIPPED), unanswered(S.HELD)]


@dataclass(kw_only=True)
class Asking:
    """A content job as it must be while it is open."""

    node: str
    due_at: datetime
    next_at: datetime
    tries: int = 0
    claims: int = 0
    lease: ports.Job | None = None  # the newest that the outbox gave, also when its time is over


class ContentMachine(test_outbox_states.OutboxMachine):
    """Adds the jobs to the model. `once_sent` has the node before the recipient."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Asking] = {}  # the open ones, by activation
        self.recipients: dict[str, set[str]] = {}  # of each activation that has asked
        self.once: dict[str, tuple[str, str]] = {}  # messages that hold a key, and which
        self.old_jobs: list[ports.Job] = []
        self.texts: dict[str, str] = {}

    @initialize()
    def one_that_asks(self) -> None:
        self.ask(call="a", node="slow", recipients=["+1"], once=True, delay=0, age=5)

    @rule(
        call=st.sampled_from("ab"),
        node=st.sampled_from(sorted(HOSTS)),
        recipients=st.lists(st.sampled_from(["+1", "+2"]), min_size=1, max_size=2, unique=True),
        once=st.booleans(),
        delay=st.integers(0, 2),
        age=st.sampled_from([5, 24 * 60]),
    )
    def ask(self, call: str, node: str, recipients: list[str], once: bool, delay: int, age: int) -> None:
        self.visits += 1
        at, end = self.now() + delay * MINUTE, self.now() + age * MINUTE
        planned = [waiting(self.store.clock, name, once=once, expires_at=end) for name in recipients]
        admission = self.run(
            stores.ask(self.outbox, f"v{self.visits}", self.store.clock, *planned, at=at, key=call, node=node)
        )
        self.messages += len(recipients)
        self.recipients[admission.activation_id] = set(recipients)
        for got in admission.messages:
            self.keyed(got.message_id, once, call, f"{node} {got.recipient}", got.status, S.WAITING)
        if admission.count:
            self.jobs[admission.activation_id] = Asking(node=node, due_at=at, next_at=at)

    def keyed(self, message_id: str, once: bool, call: str, whom: str, got: S, wanted: S) -> None:
        assert got is (S.SKIPPED if once and (call, whom) in self.once_sent else wanted)
        if once and got is wanted:
            self.once_sent.add((call, whom))
            self.once[message_id] = (call, whom)

    def waiting_of(self, activation_id: str) -> list[message.Message]:
        found = self.run(self.outbox.history(ports.Query(status=S.WAITING)))
        return [one for one in found if one.activation_id == activation_id]

    def state(self, activation_id: str) -> State:
        found = self.run(self.outbox.history(ports.Query()))
        told = self.run(
            stores.content(self.outbox, next(one.id for one in found if one.activation_id == activation_id))
        )
        assert told is not None
        return told.state

    def valid(self) -> dict[str, ports.Job]:
        """The leases whose holders may still write."""
        return {
            name: asking.lease
            for name, asking in self.jobs.items()
            if asking.lease is not None and asking.next_at > self.now()
        }

    @rule(slow=st.integers(0, 2), quick=st.integers(0, 2), minutes=st.integers(1, 3))
    def claim_content(self, slow: int, quick: int, minutes: int) -> None:
        free = {"slow.example": slow, "quick.example": quick}
        before = self.valid()
        due = {name: asking for name, asking in self.jobs.items() if asking.next_at <= self.now()}
        wanted = {
            name
            for name, asking in due.items()
            if asking.claims < work.MOST_CLAIMS and any(one.expires_at > self.now() for one in self.waiting_of(name))
        }
        found = self.run(self.outbox.claim_content(hosts=HOSTS, free=free, lease=minutes * MINUTE))
        for job in found.jobs:
            asking = self.jobs[job.activation_id]
            assert job.activation_id in wanted
            assert job.activation_id not in before, "two valid leases"
            assert job.tries == asking.tries
            if asking.lease is not None:
                self.old_jobs.append(asking.lease)
            asking.lease, asking.next_at = job, self.now() + minutes * MINUTE
            asking.claims += 1
        next_at: list[datetime] = []
        for name, host in HOSTS.items():
            taken = sum(self.jobs[job.activation_id].node == name for job in found.jobs)
            assert taken == min(free[host], sum(self.jobs[one].node == name for one in wanted))
            for gone in [one for one in due if one not in wanted and due[one].node == name]:
                ended = self.state(gone) is not State.OPEN
                assert ended or taken == free[host]
                if ended:
                    assert not self.waiting_of(gone)
                    self.forget(gone)
            if taken < free[host]:
                next_at += [asking.next_at for asking in self.jobs.values() if asking.node == name]
        assert found.next_at == min(next_at, default=None)

    def forget(self, activation_id: str) -> None:
        lease = self.jobs.pop(activation_id).lease
        if lease is not None:
            self.old_jobs.append(lease)

    @precondition(lambda self: bool(self.valid()))
    @rule(data=st.data(), minutes=st.integers(0, 3))
    def postpone(self, data: st.DataObject, minutes: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.valid())))
        asking, at = self.jobs[name], self.now() + minutes * MINUTE
        assert self.run(self.outbox.postpone(self.valid()[name], NO_ANSWER, at))
        self.old_jobs.append(self.valid()[name])
        self.jobs[name] = Asking(node=asking.node, due_at=at, next_at=at, tries=asking.tries + 1)

    @precondition(lambda self: bool(self.valid()))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.valid())))
        asking = self.jobs[name]
        assert self.run(self.outbox.release(self.valid()[name]))
        self.old_jobs.append(self.valid()[name])
        asking.lease, asking.next_at, asking.claims = None, asking.due_at, asking.claims - 1

    @precondition(lambda self: bool(self.valid()))
    @rule(data=st.data(), end=st.sampled_from(ENDS), more=st.sets(st.sampled_from(["+1", "+3"])), once=st.booleans())
    def resolve(self, data: st.DataObject, end: ports.Resolution, more: set[str], once: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.valid())))
        job, before = self.valid()[name], self.run(self.outbox.history(ports.Query()))
        named = [draft(self.store.clock, to, once=once, source=message.Source.API) for to in sorted(more)]
        resolution = replace(end, more=tuple(named))
        assert self.run(self.outbox.resolve(job, resolution))
        after = {one.id: one for one in self.run(self.outbox.history(ports.Query()))}
        waited = [one.id for one in before if one.activation_id == name and one.status is S.WAITING]
        for old in before:
            new = after.pop(old.id)
            if old.id in waited:
                assert (new.status, new.reason, new.text) == (end.status, end.reason, end.text)
                if end.status is S.SKIPPED and old.id in self.once:
                    self.once_sent.remove(self.once.pop(old.id))
            else:
                assert new == old
        wanted = (more - self.recipients[name]) if waited else set()
        assert {one.recipient for one in after.values()} == wanted
        self.recipients[name] |= wanted
        self.messages += len(wanted)
        for new in after.values():
            whom = f"{new.node} {new.recipient}"
            self.keyed(new.id, once, job.visit.call.key, whom, new.status, S.SCHEDULED)
        assert self.state(name) is (end.state if waited else State.DROPPED)
        self.forget(name)

    @precondition(lambda self: bool(self.old_jobs) or len(self.valid()) < len(self.jobs))
    @rule(data=st.data())
    def late_answer(self, data: st.DataObject) -> None:
        """Somebody comes with an answer when the lease is over."""
        over = [asking.lease for name, asking in self.jobs.items() if asking.lease and name not in self.valid()]
        if not (late := self.old_jobs + over):
            return
        job = data.draw(st.sampled_from(late))
        before = self.run(self.outbox.history(ports.Query()))
        told = [self.run(self.outbox.story(one.id)) for one in before]
        assert not self.run(self.outbox.resolve(job, answered("late", more=(draft(self.store.clock, "+9"),))))
        assert not self.run(self.outbox.postpone(job, NO_ANSWER, self.now()))
        assert not self.run(self.outbox.release(job))
        assert [self.run(self.outbox.story(one.id)) for one in before] == told
        assert self.run(self.outbox.history(ports.Query())) == before

    def retried(self, old: message.Message) -> S:
        if old.text is not None:
            return S.SCHEDULED
        if old.activation_id not in self.valid():
            node = self.run(self.outbox.history(ports.Query(message_id=old.id)))[0].node
            if old.activation_id in self.jobs:
                self.forget(old.activation_id)
            self.jobs[old.activation_id] = Asking(node=node, due_at=self.now(), next_at=self.now())
        return S.WAITING

    def jobs_given_back(self) -> int:
        count = 0
        for asking in self.jobs.values():
            if asking.lease is not None:
                count += 1
                self.old_jobs.append(asking.lease)
                asking.lease, asking.next_at = None, asking.due_at
        return count

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        for one in self.run(self.outbox.history(ports.Query())):
            if one.status is S.WAITING:
                assert one.text is None
                told = self.run(stores.content(self.outbox, one.id))
                assert told is not None
                assert told.state is State.OPEN, "it waits, and nobody will ask"
                assert told.next_at == self.jobs[one.activation_id].due_at
                assert told.tries == self.jobs[one.activation_id].tries
            assert one.text == self.texts.get(one.id, one.text), "a text was written over"
            if one.text is not None:
                self.texts[one.id] = one.text
            if one.status is S.SKIPPED:
                assert one.id not in self.once


ContentMachine.TestCase.settings = settings(
    max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestContent = ContentMachine.TestCase
