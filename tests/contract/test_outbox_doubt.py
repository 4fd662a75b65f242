"""What every outbox does with attempts in doubt: an answer that comes late, and a text of which a part was taken."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from agi_sms import message, ports
from tests.contract import stores
from tests.contract.stores import (
    DECISIONS,
    HOUR,
    MINUTE,
    admit,
    attempted,
    begun,
    claim_one,
    only,
    receipt,
    statuses,
    story,
)

S = message.Status
R = message.Reason
TAKEN = message.Accepted(ids=("x1",))
ACCEPTED = DECISIONS[message.Accepted]
FAILED = ports.Decision(status=S.FAILED, reason=R.REJECTED)
AGAIN = ports.Decision(status=S.SCHEDULED, provider="spare")
DOUBT = DECISIONS[message.Uncertain]


async def doubted(
    store: stores.Store, outbox: ports.Outbox, *, crashed: bool = False, visit: str = "v1"
) -> tuple[ports.Lease, str]:
    """A lease and its attempt, of which nobody knows whether it was taken; the message may be claimed again."""
    await admit(outbox, visit, store.clock)
    lease = await claim_one(outbox)
    attempt = await begun(outbox, lease)
    if crashed:
        store.clock.advance(MINUTE)
        assert (await outbox.claim(free={}, lease=MINUTE)).leases == ()  # the lease ran out
    else:
        decision = ports.Decision(status=S.UNCERTAIN, reason=R.UNANSWERED, due_at=store.clock())
        assert await outbox.finish(lease, attempt, message.Uncertain(code="timeout"), decision) is S.UNCERTAIN
    assert (await only(outbox, message_id=lease.message.id)).status is S.UNCERTAIN
    return lease, attempt


# --- an answer that comes late -----------------------------------------------------------------------------------


@pytest.mark.parametrize("crashed", [False, True])
@pytest.mark.parametrize("claimed", [False, True])
async def test_a_late_yes_ends_the_doubt(
    outbox_factory: stores.Store, outbox: ports.Outbox, crashed: bool, claimed: bool
) -> None:
    """Also where somebody else is about to send again: from the answer on, nobody may."""
    clock = outbox_factory.clock
    lease, attempt = await doubted(outbox_factory, outbox, crashed=crashed)
    other = await claim_one(outbox) if claimed else None
    clock.advance(timedelta(seconds=7))
    due = clock() + HOUR
    assert await outbox.finish(lease, attempt, TAKEN, ACCEPTED, receipt_due_at=due) is S.ACCEPTED
    found = await story(outbox, lease.message.id)
    assert (found.message.status, found.message.reason, found.message.receipt_due_at) == (S.ACCEPTED, None, due)
    [told] = found.attempts
    assert (told.outcome, told.code, told.provider_ids, told.ended_at) == ("accepted", "", ("x1",), clock())
    if other is not None:
        assert await outbox.begin(other, "main") is None
        assert not await outbox.settle(other, ports.Decision(status=S.HELD, reason=R.UNANSWERED))
    clock.advance(HOUR)
    assert await stores.claim(outbox, 9, MINUTE) == []
    [settled] = (await outbox.receive("main", [receipt("x1")])).settled
    assert settled.message.status is S.DELIVERED


@pytest.mark.parametrize("crashed", [False, True])
@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize(
    ("outcome", "decision"),
    [(message.Rejected(code="0x0b"), FAILED), (message.Retry(code="0x58"), AGAIN), (message.ProviderDown(), AGAIN)],
)
async def test_a_late_no_ends_it_too(
    outbox_factory: stores.Store,
    outbox: ports.Outbox,
    crashed: bool,
    claimed: bool,
    outcome: message.Outcome,
    decision: ports.Decision,
) -> None:
    lease, attempt = await doubted(outbox_factory, outbox, crashed=crashed)
    other = await claim_one(outbox) if claimed else None
    assert await outbox.finish(lease, attempt, outcome, decision) is decision.status
    found = await story(outbox, lease.message.id)
    assert (found.message.status, found.message.reason) == (decision.status, decision.reason)
    assert found.message.provider == (decision.provider or "main")
    assert [one.outcome for one in found.attempts] == [message.OUTCOMES[type(outcome)]]
    if other is not None:
        assert await outbox.begin(other, "main") is None
    again = await stores.claim(outbox, 9, MINUTE)
    assert [one.status_before for one in again] == [S.SCHEDULED] * (decision is AGAIN)


@pytest.mark.parametrize(
    ("outcome", "decision", "status"),
    [(TAKEN, ACCEPTED, S.ACCEPTED), (message.Rejected(), FAILED, S.FAILED), (message.Retry(), AGAIN, S.SCHEDULED)],
)
async def test_a_late_answer_about_what_is_held(
    outbox_factory: stores.Store,
    outbox: ports.Outbox,
    outcome: message.Outcome,
    decision: ports.Decision,
    status: S,
) -> None:
    lease, attempt = await doubted(outbox_factory, outbox)
    assert await outbox.settle(await claim_one(outbox), ports.Decision(status=S.HELD, reason=R.UNANSWERED))
    assert await outbox.finish(lease, attempt, outcome, decision) is status
    assert await statuses(outbox) == [str(status)]


async def test_a_late_maybe_is_kept_and_changes_nothing(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    lease, attempt = await doubted(outbox_factory, outbox, crashed=True)
    before = await only(outbox)
    unread = message.Uncertain(code="timeout", detail="no answer")
    assert await outbox.finish(lease, attempt, unread, DOUBT) is S.UNCERTAIN
    assert await only(outbox) == before
    [told] = (await story(outbox, lease.message.id)).attempts
    assert (told.outcome, told.code, told.detail) == ("uncertain", "timeout", "no answer")


@pytest.mark.parametrize(
    ("outcome", "decision"), [(TAKEN, ACCEPTED), (message.Rejected(), FAILED), (message.Retry(), AGAIN)]
)
@pytest.mark.parametrize("person", ["sent", "fail", "cancel", "retry"])
async def test_a_late_answer_takes_nothing_back_from_a_person(
    outbox_factory: stores.Store, outbox: ports.Outbox, outcome: message.Outcome, decision: ports.Decision, person: str
) -> None:
    """It is kept with its attempt. What is sent again on purpose goes out, whatever the first attempt came to."""
    lease, attempt = await doubted(outbox_factory, outbox)
    name = lease.message.id
    if person in ("sent", "fail"):
        assert await outbox.judge(name, ports.Verdict(person), "ann")
    else:
        decides = outbox.cancel if person == "cancel" else partial(stores.again, outbox)
        assert await decides(ports.Query(message_id=name), "ann") == 1
    before = await only(outbox)
    due = outbox_factory.clock()
    assert await outbox.finish(lease, attempt, outcome, decision, receipt_due_at=due) is before.status
    assert await only(outbox) == replace(before, maybe_taken=isinstance(outcome, message.Accepted))
    [told] = (await story(outbox, name)).attempts
    assert told.outcome == message.OUTCOMES[type(outcome)]
    assert [one.status_before for one in await stores.claim(outbox, 9, MINUTE)] == [S.SCHEDULED] * (person == "retry")


@pytest.mark.parametrize(
    ("first", "second", "status", "reason"),
    [
        # the first was taken after all: whatever the second came to, there is no doubt and no reason to send again
        (TAKEN, message.Accepted(ids=("x2",)), S.ACCEPTED, None),
        (TAKEN, message.Uncertain(), S.ACCEPTED, None),
        (TAKEN, message.ProviderDown(), S.ACCEPTED, None),
        # the first was not: what the second came to counts
        (message.Rejected(), message.Accepted(ids=("x2",)), S.ACCEPTED, None),
        (message.Rejected(), message.Uncertain(), S.UNCERTAIN, R.UNANSWERED),
        (message.Retry(), message.Uncertain(), S.UNCERTAIN, R.UNANSWERED),
    ],
)
@pytest.mark.parametrize("ended", [False, True])
async def test_a_late_answer_while_another_attempt_is_under_way_or_over(
    outbox_factory: stores.Store,
    outbox: ports.Outbox,
    first: message.Outcome,
    second: message.Outcome,
    status: S,
    reason: R | None,
    ended: bool,
) -> None:
    lease, attempt = await doubted(outbox_factory, outbox)
    again = await claim_one(outbox)
    other = await begun(outbox, again, "main")
    # the policy does not take a doubt back because a later attempt certainly failed
    decision = DOUBT if isinstance(second, message.ProviderDown) else DECISIONS[type(second)]
    early, late = DECISIONS[type(first)], None
    if not ended:
        assert await outbox.finish(lease, attempt, first, early) is S.SENDING
        late = await outbox.finish(again, other, second, decision)
    else:
        assert await outbox.finish(again, other, second, decision) is decision.status
        late = await outbox.finish(lease, attempt, first, early)
    assert late is status
    found = await story(outbox, lease.message.id)
    assert (found.message.status, found.message.reason) == (status, reason)
    assert [one.outcome for one in found.attempts] == [message.OUTCOMES[type(one)] for one in (first, second)]
    await outbox.receive("main", [receipt("x1"), receipt("x2", S.FAILED)])
    if first is TAKEN:
        assert (await only(outbox)).status is S.DELIVERED


async def test_an_answer_that_is_there_stays(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    for number, outcome in enumerate((TAKEN, message.Rejected(), message.Retry(), message.ProviderDown())):
        await admit(outbox, f"v{number}", clock)
        lease = await claim_one(outbox)
        attempt = await begun(outbox, lease)
        decision = ports.Decision(status=S.HELD, reason=R.OPERATOR)
        assert await outbox.finish(lease, attempt, outcome, decision) is S.HELD or outcome is TAKEN
        before = await story(outbox, lease.message.id)
        for other in (message.Accepted(ids=("late",)), message.Rejected(), message.Uncertain(ids=("late",))):
            assert await outbox.finish(lease, attempt, other, DECISIONS[type(other)]) is None
        assert await outbox.finish(lease, "no such attempt", TAKEN, ACCEPTED) is None
        assert await story(outbox, lease.message.id) == before


async def test_of_a_late_answer_and_a_receipt_the_order_is_nothing(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    """A receipt by the id that only the late answer gives waits for it."""
    for number, said in enumerate((S.DELIVERED, S.FAILED, S.ACCEPTED)):
        for early in (False, True):
            lease, attempt = await doubted(outbox_factory, outbox, visit=f"v{number}{early}")
            name = f"{number}-{early}"
            if early:
                assert (await outbox.receive("main", [receipt(name, said)])).unmatched == 1
            found = await outbox.finish(lease, attempt, message.Accepted(ids=(name,)), ACCEPTED)
            assert found is (said if early else S.ACCEPTED)
            if not early:
                assert (await outbox.receive("main", [receipt(name, said)])).unmatched == 0
            assert (await only(outbox, message_id=lease.message.id)).status is said


@pytest.mark.parametrize(
    ("outcome", "decision"), [(TAKEN, ACCEPTED), (message.Rejected(), FAILED), (message.Retry(), AGAIN)]
)
async def test_receipts_that_were_there_first_win_over_a_late_answer(
    outbox_factory: stores.Store, outbox: ports.Outbox, outcome: message.Outcome, decision: ports.Decision
) -> None:
    for number, said in enumerate((S.DELIVERED, S.FAILED, S.ACCEPTED)):
        lease, attempt = await doubted(outbox_factory, outbox, visit=f"v{number}")
        await outbox.receive("main", [receipt(state=said, ref=lease.message.id)])
        before = await only(outbox, message_id=lease.message.id)
        assert await outbox.finish(lease, attempt, outcome, decision) is said
        assert await only(outbox, message_id=lease.message.id) == before


async def test_a_late_answer_of_another_gateways_lease(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    """Two on one store: one voids what the other is still about to write down."""
    clock = outbox_factory.clock
    other = await outbox_factory.open()
    await admit(outbox, "v1", clock)
    lease = await claim_one(other)
    attempt = await begun(other, lease)
    clock.advance(MINUTE)
    taken_over = await claim_one(outbox)
    assert taken_over.status_before is S.UNCERTAIN
    assert await other.finish(lease, attempt, TAKEN, ACCEPTED) is S.ACCEPTED
    assert await outbox.begin(taken_over, "main") is None
    await other.close()


# --- a text of which a part was taken ------------------------------------------------------------------------------


async def half(outbox: ports.Outbox, store: stores.Store, *ids: str, visit: str = "v1") -> str:
    await admit(outbox, visit, store.clock, segments=3)
    return await attempted(outbox, message.Uncertain(ids=ids), due_at=store.clock() + HOUR)


@pytest.mark.parametrize("ids", [("a",), ("a", "b"), ("a", "b", "c")])
@pytest.mark.parametrize("early", [False, True])
async def test_segments_that_arrived_are_not_the_whole(
    outbox_factory: stores.Store, outbox: ports.Outbox, ids: tuple[str, ...], early: bool
) -> None:
    told = [receipt(name, state) for state in (S.ACCEPTED, S.DELIVERED) for name in ids]
    if early:
        assert (await outbox.receive("main", told)).unmatched == len(told)
    name = await half(outbox, outbox_factory, *ids)
    if not early:
        found = await outbox.receive("main", told)
        assert (found.new, found.unmatched, found.settled) == (len(told), 0, ())
    one = await story(outbox, name)
    assert (one.message.status, one.message.reason) == (S.UNCERTAIN, R.UNANSWERED)
    [attempt] = one.attempts
    assert (attempt.outcome, attempt.provider_ids, attempt.verdict) == ("uncertain", ids, None)
    assert len(attempt.receipts) == len(told)  # people see them
    assert one.message.costs == ()


@pytest.mark.parametrize("first", ["", "b"])
async def test_a_segment_that_failed_is_the_texts_end(
    outbox_factory: stores.Store, outbox: ports.Outbox, first: str
) -> None:
    name = await half(outbox, outbox_factory, "a", "b")
    if first:
        assert (await outbox.receive("main", [receipt(first)])).settled == ()
    [settled] = (await outbox.receive("main", [receipt("a", S.FAILED)])).settled
    assert (settled.before, settled.message.status, settled.message.reason) == (S.UNCERTAIN, S.FAILED, R.UNDELIVERED)
    assert (await story(outbox, name)).attempts[0].verdict is S.FAILED


async def test_a_receipt_for_the_whole_speaks_for_it(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    for number, state in enumerate((S.ACCEPTED, S.DELIVERED, S.FAILED)):
        name = await half(outbox, outbox_factory, f"a{number}", visit=f"v{number}")
        await outbox.receive("main", [receipt(state=state, ref=name)])
        assert (await only(outbox, message_id=name)).status is state


async def test_the_other_segments_ids_come_late(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock, segments=3)
    lease = await claim_one(outbox)
    attempt = await begun(outbox, lease)
    some = message.Uncertain(ids=("a",))
    assert await outbox.finish(lease, attempt, some, DOUBT) is S.UNCERTAIN
    assert (await outbox.receive("main", [receipt("a"), receipt("b"), receipt("c")])).unmatched == 2
    assert await outbox.finish(lease, attempt, message.Uncertain(ids=("a", "b")), DOUBT) is S.UNCERTAIN
    [told] = (await story(outbox, lease.message.id)).attempts
    assert (told.provider_ids, len(told.receipts), told.verdict) == (("a", "b"), 2, None)
    assert await outbox.finish(lease, attempt, message.Accepted(ids=("a", "b", "c")), ACCEPTED) is S.DELIVERED
    [told] = (await story(outbox, lease.message.id)).attempts
    assert (told.provider_ids, told.verdict) == (("a", "b", "c"), S.DELIVERED)


async def test_a_half_is_no_hindrance_for_the_whole(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    """Sent again on purpose, the text is whole; what its first half came to is no longer a matter."""
    name = await half(outbox, outbox_factory, "a", "b")
    assert await stores.again(outbox, ports.Query(message_id=name), "ann") == 1
    await attempted(outbox, message.Accepted(ids=("c", "d", "e")))
    await outbox.receive("main", [receipt("a", S.FAILED), receipt("b"), receipt("c"), receipt("d")])
    assert await statuses(outbox) == ["accepted"]
    await outbox.receive("main", [receipt("e")])
    assert await statuses(outbox) == ["delivered"]
    assert [one.verdict for one in (await story(outbox, name)).attempts] == [S.FAILED, S.DELIVERED]


# --- what is held again, and what gets a route ----------------------------------------------------------------------


async def test_a_late_no_says_nothing_of_what_is_held_since_a_retry(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    """It was retried, and is held for another reason before anybody tried again."""
    lease, attempt = await doubted(outbox_factory, outbox)
    assert await stores.again(outbox, ports.Query(message_id=lease.message.id), "ann") == 1
    held = ports.Decision(status=S.HELD, reason=R.PROVIDER_MISSING)
    assert await outbox.settle(await claim_one(outbox), held)
    before = await only(outbox)
    assert await outbox.finish(lease, attempt, message.Rejected(), FAILED) is S.HELD
    assert await only(outbox) == replace(before, maybe_taken=False)


async def test_a_route_that_a_decision_gives(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await admit(outbox, "v1", outbox_factory.clock, route=())
    lease = await claim_one(outbox)
    routed = ports.Decision(status=S.SCHEDULED, provider="spare", route=("spare", "main"))
    assert await outbox.settle(lease, routed)
    [again] = (await outbox.claim(free={"spare": 1}, lease=MINUTE)).leases
    assert (again.message.route, again.message.provider) == (("spare", "main"), "spare")
    assert await outbox.settle(again, again.undone)
    assert (await only(outbox)).route == ("spare", "main")  # any other decision leaves it alone
    assert await stores.again(outbox, ports.Query(message_id=lease.message.id), "ann") == 0
