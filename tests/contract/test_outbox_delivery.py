"""What every outbox does with leases and attempts."""

import asyncio

import pytest

from agi_sms import message, ports
from tests.contract import stores
from tests.contract.stores import HOUR, MINUTE, SECOND, admit, begun, claim_one, only, statuses

ACCEPTED = ports.Decision(status=message.Status.ACCEPTED)
S = message.Status
R = message.Reason


async def test_the_longest_due_is_claimed_first_and_once(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    for number, late in enumerate((3, 1, 2, -1)):
        await admit(outbox, f"v{number}", clock, due_at=clock() - late * SECOND)
    first = await stores.claim(outbox, 2, MINUTE)
    second = await stores.claim(outbox, 9, MINUTE)
    assert [lease.message.call_id for lease in first + second] == ["call-v0", "call-v2", "call-v1"]
    assert {lease.status_before for lease in first} == {S.SCHEDULED}
    assert first[0].message.status is S.SENDING
    assert first[0].message.claims == 1
    assert first[0].until == clock() + MINUTE
    assert await stores.claim(outbox, 9, MINUTE) == []
    assert await stores.claim(outbox, 0, MINUTE) == []
    clock.advance(SECOND)
    assert [lease.message.call_id for lease in await stores.claim(outbox, 9, MINUTE)] == ["call-v3"]


async def test_next_due(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    assert await stores.next_due(outbox) is None
    await admit(outbox, "v0", clock, "+1", status=S.SKIPPED, reason=R.LANDLINE)
    await admit(outbox, "v1", clock, "+1", status=S.WAITING, text=None)
    assert await stores.next_due(outbox) is None
    await admit(outbox, "v2", clock, due_at=clock() + HOUR)
    assert await stores.next_due(outbox) == clock() + HOUR
    await admit(outbox, "v3", clock)
    assert await stores.next_due(outbox) == clock()
    lease = await claim_one(outbox)
    assert await stores.next_due(outbox) == lease.until  # so that a lapsed lease is seen to
    await outbox.settle(lease, ports.Decision(status=S.UNCERTAIN))
    assert await stores.next_due(outbox) == clock() + HOUR
    clock.advance(2 * HOUR)
    [late] = await stores.claim(outbox, 9, MINUTE)
    assert late.message.call_id == "call-v2"  # an uncertain one without a time is nobody's


async def test_an_attempt_from_begin_to_finish(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    lease = await claim_one(outbox)
    attempt = await begun(outbox, lease, "main")
    assert await outbox.begin(lease, "spare") is None  # one attempt at a time
    assert not await outbox.settle(lease, ACCEPTED)  # not while one is under way
    clock.advance(SECOND)
    again = ports.Decision(status=S.SCHEDULED, due_at=clock() + MINUTE)
    failure = message.Retry(code="429", detail="slow down " * 100 + "\ud800")
    assert await outbox.finish(lease, attempt, failure, again)
    waiting = await only(outbox)
    assert (waiting.status, waiting.due_at, waiting.attempts) == (S.SCHEDULED, clock() + MINUTE, 1)
    assert await stores.claim(outbox, 1, MINUTE) == []

    clock.advance(MINUTE)
    lease = await claim_one(outbox)
    assert lease.last_provider == "main"
    assert lease.message.attempts == 1
    attempt = await begun(outbox, lease, "spare")
    assert await outbox.finish(lease, attempt, message.Accepted(code="0", ids=("x1", "x2")), ACCEPTED)
    story = await outbox.story(lease.message.id)
    assert story is not None
    assert story.message.status is S.ACCEPTED
    first, second = story.attempts
    assert (first.n, first.provider, first.outcome, first.code) == (1, "main", "retry", "429")
    assert first.detail == ("slow down " * 100)[:500]
    assert first.started_at + SECOND == first.ended_at
    assert (second.n, second.provider, second.outcome, second.id) == (2, "spare", "accepted", attempt)
    assert second.provider_ids == ("x1", "x2")
    assert await stores.next_due(outbox) is None


@pytest.mark.parametrize(
    ("outcome", "decision"),
    [
        (message.Rejected(code="13"), ports.Decision(status=S.FAILED, reason=R.REJECTED)),
        (message.Uncertain(), ports.Decision(status=S.HELD, reason=R.UNANSWERED)),
        (message.ProviderDown(), ports.Decision(status=S.EXPIRED, reason=R.TOO_OLD)),
        (message.Accepted(), ACCEPTED),
    ],
)
async def test_a_late_worker_changes_nothing_of_what_another_does(
    outbox_factory: stores.Store, outbox: ports.Outbox, outcome: message.Outcome, decision: ports.Decision
) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    late = await claim_one(outbox)
    late_attempt = await begun(outbox, late)
    clock.advance(MINUTE)
    lease = await claim_one(outbox)
    assert lease.status_before is S.UNCERTAIN
    attempt = await begun(outbox, lease)
    assert attempt != late_attempt
    assert await outbox.finish(late, attempt, message.Accepted(ids=("late",)), ACCEPTED) is None
    assert await outbox.finish(lease, attempt, outcome, decision) is decision.status
    if not isinstance(outcome, message.Uncertain):
        assert await outbox.finish(lease, attempt, message.Accepted(ids=("twice",)), ACCEPTED) is None
    assert not await outbox.settle(late, ports.Decision(status=S.SCHEDULED))
    assert await outbox.begin(late, "main") is None
    story = await outbox.story(lease.message.id)
    assert story is not None
    assert (story.message.status, story.message.reason) == (decision.status, decision.reason)
    assert [(one.outcome, one.code, one.provider_ids) for one in story.attempts] == [
        ("uncertain", "crashed", ()),
        (message.OUTCOMES[type(outcome)], outcome.code, ()),
    ]


async def test_a_lease_that_ran_out(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    lease = await claim_one(outbox)
    clock.advance(MINUTE)
    assert await outbox.begin(lease, "main") is None  # too late, though nobody else has it yet
    lease = await claim_one(outbox)
    assert lease.status_before is S.SCHEDULED
    await begun(outbox, lease)
    clock.advance(MINUTE)
    lease = await claim_one(outbox)
    assert (lease.status_before, lease.message.reason, lease.last_provider) == (S.UNCERTAIN, R.CRASHED, "main")
    assert lease.last_ended == clock.now
    clock.advance(MINUTE)
    lease = await claim_one(outbox)
    assert lease.status_before is S.UNCERTAIN  # not tried since, so the doubt is still there
    assert await outbox.settle(lease, ports.Decision(status=S.HELD, reason=R.CRASHED))
    assert await statuses(outbox) == ["held"]


async def test_a_result_counts_when_the_lease_ran_out_but_nobody_took_it(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    lease = await claim_one(outbox)
    attempt = await begun(outbox, lease)
    clock.advance(HOUR)
    assert await outbox.finish(lease, attempt, message.Accepted(ids=("x",)), ACCEPTED)
    assert await statuses(outbox) == ["accepted"]


async def test_too_old(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v0", clock)
    await admit(outbox, "v1", clock, status=S.WAITING, text=None)
    await admit(outbox, "v2", clock)
    doubtful = await claim_one(outbox, 48 * HOUR)
    await outbox.settle(doubtful, ports.Decision(status=S.UNCERTAIN, due_at=clock() + HOUR))
    clock.advance(24 * HOUR)
    [lease] = await stores.claim(outbox, 9, MINUTE)
    assert (lease.message.id, lease.status_before) == (doubtful.message.id, S.UNCERTAIN)
    assert await statuses(outbox) == ["sending", "expired", "expired"]
    assert {one.reason for one in await outbox.history(ports.Query(status=S.EXPIRED))} == {R.TOO_OLD}


async def test_many_too_old_do_not_hide_what_is_due(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    old = clock() - 48 * HOUR
    await asyncio.gather(*(admit(outbox, f"v{n}", clock, due_at=old) for n in range(600)))
    await admit(outbox, "due", clock)
    assert [lease.message.call_id for lease in await stores.claim(outbox, 9, MINUTE)] == ["call-due"]
    assert (await statuses(outbox)).count("expired") == 600


async def test_a_message_that_kills_the_process_does_not_do_so_for_ever(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    for claims in range(1, 11):
        assert (await claim_one(outbox)).message.claims == claims
        clock.advance(MINUTE)
    assert await stores.claim(outbox, 1, MINUTE) == []
    assert ((held := await only(outbox)).status, held.reason) == (S.HELD, R.POISON)
    assert await stores.again(outbox, ports.Query(message_id=held.id), "ann") == 1
    assert (await claim_one(outbox)).message.claims == 1


async def test_orderly_releases_are_no_poison(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    for _ in range(25):
        lease = await claim_one(outbox)
        assert await outbox.settle(lease, ports.Decision(status=S.SCHEDULED, due_at=clock()))
    for _ in range(25):
        lease = await claim_one(outbox)
        attempt = await begun(outbox, lease)
        assert await outbox.finish(lease, attempt, message.Retry(), ports.Decision(status=S.SCHEDULED))
    assert await statuses(outbox) == ["scheduled"]


async def test_recovery_leaves_leases_of_this_run_alone(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    for number in range(4):
        await admit(outbox, f"v{number}", clock)
    earlier = await outbox_factory.open()
    leases = await stores.claim(earlier, 2, HOUR)
    await earlier.begin(leases[1], "main")
    await earlier.close()
    mine = await stores.claim(outbox, 1, HOUR)
    assert await outbox.recover() == ports.Recovery(rescheduled=1, uncertain=1)
    assert await begun(outbox, mine[0])
    assert await statuses(outbox) == ["scheduled", "uncertain", "sending", "scheduled"]


async def test_a_claim_that_is_given_up_gives_back(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    claiming = asyncio.ensure_future(stores.claim(outbox, 1, HOUR))
    await asyncio.sleep(0)
    claiming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claiming
    async with asyncio.timeout(stores.PATIENT):
        while not (leases := await stores.claim(outbox, 1, HOUR)):
            await outbox.history(ports.Query(limit=1))
    assert leases[0].message.claims == 1
