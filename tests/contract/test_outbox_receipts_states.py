"""Receipts in any order, twice, before the answer, about any segment, in between crashes and people: what must hold."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from agi_sms import message, ports
from tests.contract import stores, test_outbox_states
from tests.contract.stores import HOUR, MINUTE, admit, begun, claim_one, only, receipt

S = message.Status
R = message.Reason
ENDS = (S.DELIVERED, S.FAILED)
OUTCOMES: dict[str, message.Outcome | None] = {
    "accepted": message.Accepted(),
    "rejected": message.Rejected(),
    "retry": message.Retry(),
    "provider_down": message.ProviderDown(),
    "uncertain": message.Uncertain(),
    "half": message.Uncertain(),  # of its segments
    "crash": None,
}
REFUSED: dict[str, tuple[S, R | None]] = {  # only that the phone has it changes these
    "rejected": (S.FAILED, R.REJECTED),
    "retry": (S.SCHEDULED, None),
    "provider_down": (S.SCHEDULED, None),
}


# --- one attempt: the end is a function of what was said, whatever the order -------------------------------------


@dataclass(frozen=True, kw_only=True)
class World:
    """How an attempt went, and the receipts about it; those that name an id come with our ref or without."""

    answer: str
    ids: tuple[str, ...]
    truth: dict[str, S]
    receipts: tuple[ports.Receipt, ...]

    @property
    def end(self) -> tuple[S, R | None]:
        """By the set of receipts alone."""
        heard = [one for one in self.receipts if one.ref or one.provider_id in self.ids]
        half, refused = self.answer == "half", self.answer in REFUSED
        said = {(one.provider_id if len(self.ids) > 1 or half else "", one.state) for one in heard}
        each = self.ids and {(name, S.DELIVERED) for name in self.ids} <= said
        all_of_it = ("", S.DELIVERED) in said or (each and not half)
        if any(state is S.FAILED for _, state in said) and not refused:
            return S.FAILED, R.UNDELIVERED
        if all_of_it:
            return S.DELIVERED, None
        if refused:
            return REFUSED[self.answer]
        if ("", S.ACCEPTED) in said or (said and not half) or self.answer == "accepted":
            return S.ACCEPTED, None
        return S.UNCERTAIN, R.CRASHED if self.answer == "crash" else R.UNANSWERED


@st.composite
def worlds(draw: st.DrawFn) -> World:
    answer = draw(st.sampled_from(["accepted", *OUTCOMES, "accepted"]))
    counts = {"accepted": [1, 2, 3, 0], "half": [1, 2]}.get(answer, [0])
    ids = tuple(f"s{n}" for n in range(draw(st.sampled_from(counts))))
    truth = {name: draw(st.sampled_from(ENDS)) for name in ids}
    truth[""] = S.FAILED if S.FAILED in truth.values() else S.DELIVERED if truth else draw(st.sampled_from(ENDS))
    told = []
    for _ in range(draw(st.sampled_from([2, 3, 1, 4, 0]))):
        name = draw(st.sampled_from([*ids, *ids, ""]))
        state = draw(st.sampled_from([truth[name], S.ACCEPTED]))
        ref = draw(st.sampled_from(["", "ours"])) if name else "ours"
        told.append(receipt(name, state, ref=ref, code=draw(st.sampled_from("ab"))))
    return World(answer=answer, ids=ids, truth=truth, receipts=tuple(told))


async def live(store: stores.Store, outbox: ports.Outbox, world: World, order: Sequence[int], visit: str) -> S:
    """The attempt, its answer after so many of the receipts as `order` has -1; nothing final goes back on the way."""
    await admit(outbox, visit, store.clock, "+48600100200")
    lease = await claim_one(outbox)
    name, attempt = lease.message.id, await begun(outbox, lease)
    ends: list[S] = []
    for step in order:
        if step >= 0:
            told = world.receipts[step % len(world.receipts)]
            named = told.provider_id and f"{visit}-{told.provider_id}"
            await outbox.receive("main", [replace(told, provider_id=named, ref=told.ref and name)])
        elif (outcome := OUTCOMES[world.answer]) is None:
            store.clock.advance(MINUTE)
            await stores.claim(outbox, 0, MINUTE)
            await outbox.claim(free={}, lease=MINUTE)
        else:
            if isinstance(outcome, message.Accepted | message.Uncertain):
                outcome = replace(outcome, ids=tuple(f"{visit}-{name}" for name in world.ids))
            decision = replace(stores.DECISIONS[type(outcome)], due_at=store.clock() + 99 * HOUR)
            assert await outbox.finish(lease, attempt, outcome, decision)
        status = (await only(outbox, message_id=name)).status
        assert status is S.SENDING or -1 in order[: order.index(step) + 1]
        if ends and ends[-1] in ENDS and ends[-1] is not status:
            assert (ends[-1], status, world.answer) == (S.FAILED, S.DELIVERED, "rejected")  # the answer was wrong
        ends.append(status)
    end = await only(outbox, message_id=name)
    assert (end.status, end.reason) == world.end
    return end.status


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds(), data=st.data())
def test_the_end_is_what_was_said_whatever_the_order(world: World, data: st.DataObject) -> None:
    again = [n + len(world.receipts) for n in range(len(world.receipts)) if data.draw(st.booleans())]  # come twice
    orders = [data.draw(st.permutations([*range(len(world.receipts)), -1, *again])) for _ in range(2)]

    async def twice(folder: str) -> None:
        store = stores.SqliteStore(Path(folder))
        outbox = await store.open()
        try:
            for visit, order in zip(("v1", "v2"), orders, strict=True):
                await live(store, outbox, world, order, visit)
        finally:
            await outbox.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(twice(folder))


# --- many attempts ---------------------------------------------------------------------------------------------


class ReceiptMachine(test_outbox_states.OutboxMachine):
    """Adds what providers report to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []  # ids that the provider gave
        self.started: dict[str, int] = {}  # attempts of each message before a person's last retry
        self.last: dict[str, S] = {}  # the last word of an attempt
        self.before: dict[str, S] = {}  # what a claimed message is, if its lease is undone

    def stories(self) -> dict[str, ports.Story]:
        found = self.run(self.outbox.history(ports.Query()))
        return {one.id: self.run(stores.story(self.outbox, one.id)) for one in found}

    @precondition(lambda self: bool(self.attempts))
    @rule(
        data=st.data(),
        end=st.sampled_from(test_outbox_states.ENDS),
        delay=st.integers(0, 3),
        segments=st.sampled_from([2, 1, 0]),
        reuse=st.booleans(),
    )
    def finish(
        self,
        data: st.DataObject,
        end: tuple[message.Outcome, S, R | None],
        delay: int,
        segments: int,
        reuse: bool,
    ) -> None:
        self.ends(data.draw(st.sampled_from(sorted(self.attempts))), end, delay, segments, reuse)

    @rule(end=st.sampled_from(test_outbox_states.ENDS), segments=st.sampled_from([2, 1, 0]))
    def in_one_go(self, end: tuple[message.Outcome, S, R | None], segments: int) -> None:
        """From the claim to the answer, so that messages come to have several attempts."""
        self.claim(limit=1, minutes=3)
        for name in [one for one in self.held if one not in self.attempts][:1]:
            attempt = self.run(self.outbox.begin(self.held[name], "main"))
            if attempt is not None:
                self.attempts[name] = attempt
                self.ends(name, end, 0, segments, False)

    def ends(self, name: str, end: tuple[message.Outcome, S, R | None], delay: int, segments: int, reuse: bool) -> None:
        outcome, status, reason = end
        if isinstance(outcome, message.Accepted | message.Uncertain):
            outcome = replace(outcome, ids=self.fresh(segments, reuse))
        lease, attempt = self.held.pop(name), self.attempts.pop(name)
        due = self.now() + delay * MINUTE if status in (S.SCHEDULED, S.UNCERTAIN) else None
        if status is S.SCHEDULED and lease.status_before is S.UNCERTAIN:
            status, reason = S.UNCERTAIN, R.UNANSWERED  # as the policy has it: the doubt is still there
        decision = ports.Decision(status=status, reason=reason, due_at=due)
        assert self.run(self.outbox.finish(lease, attempt, outcome, decision))
        self.old.append((lease, attempt))
        self.agrees(name, status, reason)

    def fresh(self, count: int, reuse: bool) -> tuple[str, ...]:
        """New ids, or from the last one on."""
        first = len(self.names) - (1 if reuse and self.names else 0)
        made = tuple(f"x{first + n}" for n in range(count))
        self.names += [one for one in made if one not in self.names]
        return made

    def named(self, outcome: message.Outcome, before: Sequence[tuple[str, ...]]) -> message.Outcome:
        if not isinstance(outcome, message.Accepted | message.Uncertain):
            return outcome
        return replace(outcome, ids=sum(before, ()) + self.fresh(1, False))

    @rule(
        data=st.data(),
        state=st.sampled_from([S.ACCEPTED, S.DELIVERED, S.FAILED]),
        code=st.sampled_from("abc"),
        times=st.integers(1, 2),
    )
    def report(self, data: st.DataObject, state: S, code: str, times: int) -> None:
        before = self.stories()
        tried = [name for name, one in before.items() if one.attempts]
        soon = [f"x{len(self.names)}"]  # the next answer's
        name, ref, provider = data.draw(
            st.one_of(
                st.tuples(st.sampled_from(self.names or soon), st.just(""), st.just("main")),
                st.tuples(st.just(""), st.sampled_from(tried or ["strange"]), st.just("main")),
                st.tuples(
                    st.sampled_from(["", "strange", *soon, *self.names]),
                    st.sampled_from(["", "strange", *before]),
                    st.sampled_from(["main", "spare"]),
                ),
            )
        )
        told = ports.Receipt(provider_id=name, ref=ref, state=state, raw="raw", code=code)
        found = self.run(self.outbox.receive(provider, [told] * times))
        assert found.new + found.known == times
        assert found.new <= 1
        assert len(found.settled) <= found.new - found.unmatched
        after = self.stories()
        added = [one for one in after if sum(map(len, self.told(after[one]))) > sum(map(len, self.told(before[one])))]
        assert len(added) == found.new - found.unmatched
        for one, old in before.items():
            if one not in added:
                assert (after[one].message, after[one].attempts) == (old.message, old.attempts)
                continue
            assert ref in ("", "strange", one) or not before[ref].attempts
            if one in self.attempts:
                assert after[one].message == old.message  # what it comes to is needed first
                continue
            was = self.before[one] if one in self.held else old.message.status
            if self.agrees(one, was, old.message.reason):
                [settled] = found.settled
                assert (settled.message, settled.before, settled.receipt) == (after[one].message, was, told)
                self.frozen.pop(one, None)
                if one in self.held:
                    self.old.append((self.held.pop(one), None))
            else:
                assert found.settled == ()

    @staticmethod
    def told(story: ports.Story) -> list[tuple[ports.KeptReceipt, ...]]:
        return [one.receipts for one in story.attempts]

    def agrees(self, name: str, was: S, reason: R | None) -> bool:
        """Whether its receipts changed a message that was this, as they should."""
        story = self.run(stores.story(self.outbox, name))
        ours = story.attempts[self.started.get(name, 0) :]
        alive = [one for one in ours if one.outcome not in REFUSED]
        expected: tuple[S, R | None] = (was, reason)
        if S.DELIVERED in [one.verdict for one in story.attempts]:
            expected = (S.DELIVERED, None)
        elif was not in message.FINAL and alive:
            taken = [one for one in alive if (one.verdict or one.outcome) == "accepted"]
            if alive[-1].verdict is S.FAILED:
                expected = (S.FAILED, R.UNDELIVERED)
            elif taken and was is not S.ACCEPTED:
                expected = (S.ACCEPTED, None)
        got = story.message
        if got.status is not S.SENDING:
            assert (got.status, got.reason) == expected
        return expected[0] is not was

    def claimed(self, leases: Sequence[ports.Lease]) -> None:
        super().claimed(leases)
        self.before = {name: lease.status_before for name, lease in self.held.items()}

    @rule(call=st.sampled_from("ab"), verb=st.sampled_from(["cancel", "retry"]))
    def a_person_decides(self, call: str, verb: str) -> None:
        before = {one.id: one for one in self.run(self.outbox.history(ports.Query(call_id=f"call-{call}")))}
        super().a_person_decides(call, verb)
        if verb == "retry":
            for name, one in before.items():
                if one.status in message.RETRYABLE:
                    self.started[name] = len(self.run(stores.story(self.outbox, name)).attempts)

    @precondition(lambda self: self.messages > 0)
    @rule(data=st.data(), verdict=st.sampled_from(ports.Verdict))
    def judge(self, data: st.DataObject, verdict: ports.Verdict) -> None:
        before = {one.id: one for one in self.run(self.outbox.history(ports.Query()))}
        name = data.draw(st.sampled_from(sorted(before)))
        open_to_it = before[name].status in (S.UNCERTAIN, S.HELD)
        assert self.run(self.outbox.judge(name, verdict, "ann")) == open_to_it
        got = self.run(stores.story(self.outbox, name))
        if not open_to_it:
            assert got.message == before[name]
            return
        assert got.message.status is {"sent": S.ACCEPTED, "resend": S.SCHEDULED, "fail": S.FAILED}[verdict]
        assert (got.events[-1].who, got.events[-1].what) == ("ann", str(verdict))
        if verdict is ports.Verdict.RESEND:
            self.started[name] = len(got.attempts)

    @invariant()
    def it_all_fits(self) -> None:
        found = self.stories()
        assert len(found) == self.messages
        assert {name for name, one in found.items() if one.message.status is S.SENDING} == set(self.held)
        for name, story in found.items():
            status = story.message.status
            if name in self.frozen and status is not self.frozen[name]:
                # Only a crash or an answer could have been at work, and an earlier receipt waited for it.
                raise AssertionError(f"{self.frozen[name]} became {status} by itself")
            if status in message.FINAL or status is S.ACCEPTED:
                self.frozen[name] = status
            for attempt in story.attempts:
                self.fits(attempt)
            if any(one.verdict is S.DELIVERED for one in story.attempts):
                assert status in (S.DELIVERED, S.SENDING)
            if status is S.DELIVERED:
                assert any(one.verdict is S.DELIVERED for one in story.attempts)
            if story.message.reason is R.UNDELIVERED:
                assert any(one.verdict is S.FAILED for one in story.attempts)

    def fits(self, attempt: ports.Attempt) -> None:
        """Its last word stays, and there is a receipt that said so."""
        said = {one.receipt.state for one in attempt.receipts}
        some = len(set(attempt.provider_ids)) > 1 and S.DELIVERED in said  # of its segments, maybe not all
        if attempt.outcome in REFUSED:
            # what was believed while it was in doubt stays, where the answer came late
            believed = (None, S.ACCEPTED, S.FAILED)
            assert attempt.verdict in ((*believed, S.DELIVERED) if some else ENDS if S.DELIVERED in said else believed)
            return
        half = attempt.outcome == "uncertain" and bool(attempt.provider_ids)
        unnamed = {one.receipt.state for one in attempt.receipts if not one.receipt.provider_id}
        assert (
            (attempt.verdict is None and not (unnamed if half else said))
            or attempt.verdict in said
            or (some and attempt.verdict is S.ACCEPTED)
        )
        if attempt.outcome and attempt.verdict in ENDS:
            assert self.last.setdefault(attempt.id, attempt.verdict) is attempt.verdict
        if said == {S.FAILED} or said == {S.FAILED, S.ACCEPTED}:
            assert attempt.verdict is S.FAILED
        delivered = {one.receipt.provider_id for one in attempt.receipts if one.receipt.state is S.DELIVERED}
        whole = len(set(attempt.provider_ids)) < 2 or set(attempt.provider_ids) <= delivered
        if delivered and ((whole and not half) or "" in delivered) and S.FAILED not in said:
            assert attempt.verdict is S.DELIVERED


ReceiptMachine.TestCase.settings = settings(
    max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestReceipts = ReceiptMachine.TestCase
