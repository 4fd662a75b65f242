"""What every outbox does with what people decide: what is sent again, by which way, and whose word costs what."""

from datetime import UTC, timedelta

import pytest

from agi_sms import message, ports, rates
from tests.contract import stores
from tests.contract.stores import DECISIONS, MINUTE, admit, attempted, begun, claim_one, only, receipt, story

S = message.Status
EUR = message.Cost(micros=40_000, currency="EUR")
HELD = ports.Decision(status=S.HELD, reason=message.Reason.UNANSWERED)


async def doubted(outbox: ports.Outbox, provider: str = "main") -> str:
    """A message held as nobody knows whether it was taken; its id."""
    lease = await claim_one(outbox)
    attempt = await outbox.begin(lease, provider, cost=EUR)
    assert attempt is not None
    assert await outbox.finish(lease, attempt, message.Uncertain(), HELD) is S.HELD
    return lease.message.id


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (None, False),
        (message.Accepted(), True),
        (message.Uncertain(), True),
        (message.Rejected(), False),
        (message.Retry(), False),
        (message.ProviderDown(), False),
    ],
)
async def test_it_is_known_what_may_have_been_taken(
    outbox_factory: stores.Store, outbox: ports.Outbox, outcome: message.Outcome | None, told: bool
) -> None:
    [made] = await admit(outbox, "v1", outbox_factory.clock)
    if outcome is not None:
        await attempted(outbox, outcome)
    assert (await only(outbox)).maybe_taken is told
    if outcome is not None:
        await outbox.receive("main", [receipt("", S.DELIVERED, ref=made.message_id)])
        assert (await only(outbox)).maybe_taken  # a receipt tells of what was taken


async def test_only_what_is_as_it_was_seen_is_sent_again(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await admit(outbox, "v1", outbox_factory.clock, "+48600100200", "+48600100201", "+48600100202")
    ids = [await doubted(outbox) for _ in range(3)]
    seen = await outbox.history(ports.Query())
    outbox_factory.clock.advance(timedelta(milliseconds=1))
    assert await outbox.cancel(ports.Query(message_id=ids[0]), "bob") == 1
    assert await stores.again(outbox, ports.Query(message_id=ids[1]), "bob") == 1
    await doubted(outbox)  # it has the same status again, after another attempt
    assert await outbox.retry(seen, "ann") == 1
    assert [(await story(outbox, name)).message.status for name in ids] == [S.CANCELLED, S.HELD, S.SCHEDULED]
    assert await outbox.retry(seen, "ann") == 0


async def test_what_is_sent_again_may_go_another_way(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await admit(outbox, "v1", outbox_factory.clock)
    name = await doubted(outbox)
    assert not (await story(outbox, name)).events
    assert await outbox.retry([await only(outbox)], "ann", {name: ("other", "spare")}) == 1
    found = await story(outbox, name)
    assert (found.message.status, found.message.route, found.message.provider) == (
        S.SCHEDULED,
        ("other", "spare"),
        "other",
    )
    assert [(event.who, event.what) for event in found.events] == [("ann", "route other, spare"), ("ann", "retry")]
    assert (await claim_one(outbox)).again


async def refused(outbox: ports.Outbox, *providers: str) -> None:
    """By each of them in turn, as delivery.py has it: who refused it leaves its route."""
    for n, provider in enumerate(providers):
        lease = await claim_one(outbox)
        attempt = await outbox.begin(lease, provider)
        assert attempt is not None
        left = providers[n + 1 :]
        decision = ports.Decision(status=S.FAILED, reason=message.Reason.REJECTED)
        if left:
            decision = ports.Decision(status=S.SCHEDULED, due_at=lease.message.created_at, provider=left[0], route=left)
        assert await outbox.finish(lease, attempt, message.Rejected(), decision) is decision.status


async def test_what_all_have_refused_is_offered_to_all_again(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    """However often; and to those alone that a person has named since."""
    [made] = await admit(outbox, "v1", outbox_factory.clock, route=("main", "second", "third"))
    for _ in range(2):
        await refused(outbox, "main", "second", "third")
        assert (await only(outbox)).route == ("third",)
        assert await outbox.retry([await only(outbox)], "ann") == 1
        now = await only(outbox)
        assert (now.status, now.route, now.provider) == (S.SCHEDULED, ("main", "second", "third"), "main")
    await refused(outbox, "main", "second", "third")
    outbox_factory.clock.advance(timedelta(seconds=1))
    assert await outbox.retry([await only(outbox)], "ann", {made.message_id: ("spare", "other")}) == 1
    outbox_factory.clock.advance(timedelta(seconds=1))
    await refused(outbox, "spare", "other")
    assert await outbox.retry([await only(outbox)], "ann") == 1
    assert (await only(outbox)).route == ("spare", "other")
    events = [event.what for event in (await story(outbox, made.message_id)).events]
    assert events == ["retry", "retry", "route spare, other", "retry", "retry"]


async def test_what_one_may_have_taken_is_not_offered_to_who_refused_it(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    await admit(outbox, "v1", outbox_factory.clock, route=("main", "second"))
    lease = await claim_one(outbox)
    attempt = await outbox.begin(lease, "main")
    assert attempt is not None
    onward = ports.Decision(status=S.SCHEDULED, due_at=outbox_factory.clock(), provider="second", route=("second",))
    await outbox.finish(lease, attempt, message.Rejected(), onward)
    await doubted(outbox, "second")
    assert await outbox.retry([await only(outbox)], "ann") == 1
    assert (await only(outbox)).route == ("second",)


async def test_what_waits_may_go_another_way_at_its_time(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    due = clock() + timedelta(hours=2)
    [made] = await admit(outbox, "v1", clock, due_at=due)
    before = await only(outbox)
    assert await outbox.retry([before], "ann") == 0  # there is nothing to send again
    assert await outbox.retry([before], "ann", {made.message_id: ("other",)}) == 1
    after = await only(outbox)
    assert (after.status, after.due_at, after.expires_at) == (S.SCHEDULED, due, before.expires_at)
    assert (after.route, after.provider) == (("other",), "other")
    clock.advance(timedelta(hours=2))
    lease = await claim_one(outbox)
    assert not lease.again
    assert await outbox.retry([after], "ann", {made.message_id: ("main",)}) == 0  # it is being sent


async def test_a_persons_word_makes_it_cost(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await admit(outbox, "v1", outbox_factory.clock)
    name = await doubted(outbox)
    assert (await only(outbox)).costs == ()
    assert await outbox.judge(name, ports.Verdict.SENT, "ann")
    assert (await only(outbox)).costs == (EUR,)
    [total] = await outbox.totals(ports.Query(), UTC, by_provider=True)
    assert (total.provider, total.messages, total.cost, total.doubted) == ("main", 1, EUR.micros, 0)
    await outbox.receive("main", [receipt("", S.DELIVERED, ref=name)])
    assert (await only(outbox)).costs == (EUR,)


async def test_the_last_attempt_in_doubt_is_the_one_that_was_sent(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    await admit(outbox, "v1", outbox_factory.clock)
    name = await doubted(outbox)
    assert await outbox.judge(name, ports.Verdict.RESEND, "ann")
    await doubted(outbox, "spare")
    assert await outbox.judge(name, ports.Verdict.SENT, "ann")
    totals = await outbox.totals(ports.Query(), UTC, by_provider=True)
    assert [(one.provider, one.messages, one.doubted, one.cost_doubted) for one in totals] == [
        ("main", 0, 1, EUR.micros),
        ("spare", 1, 0, 0),
    ]
    [only_main] = await outbox.totals(ports.Query(provider="main"), UTC)
    assert (only_main.provider, only_main.messages, only_main.doubted) == ("", 0, 1)


async def test_totals_tell_what_is_in_doubt(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await admit(outbox, "v1", outbox_factory.clock)
    name = await doubted(outbox)
    [total] = await outbox.totals(ports.Query(status=S.HELD), UTC)
    assert (total.messages, total.segments, total.cost) == (0, 0, 0)
    assert (total.doubted, total.cost_doubted, total.currency) == (1, EUR.micros, "EUR")
    assert await outbox.judge(name, ports.Verdict.FAIL, "ann")  # who has looked it up
    assert await outbox.totals(ports.Query(), UTC) == []


async def test_a_late_no_is_no_cost_whatever_a_person_said(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await admit(outbox, "v1", outbox_factory.clock)
    lease = await claim_one(outbox, MINUTE)
    attempt = await begun(outbox, lease)
    assert await outbox.finish(lease, attempt, message.Uncertain(), HELD, cost=EUR) is S.HELD
    assert await outbox.judge(lease.message.id, ports.Verdict.SENT, "ann")
    assert await outbox.finish(lease, attempt, message.Rejected(), DECISIONS[message.Rejected]) is S.ACCEPTED
    assert (await only(outbox)).costs == ()


async def test_messages_of_a_provider(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await admit(outbox, "v1", outbox_factory.clock)
    name = await attempted(outbox, message.Accepted(), "spare")
    await admit(outbox, "v2", outbox_factory.clock, route=("other",))
    assert (await only(outbox, provider="spare")).id == name
    assert (await only(outbox, provider="other")).id != name
    assert await outbox.history(ports.Query(provider="main")) == []


async def test_what_passed_between_us_and_a_provider(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    rate = rates.Rate(most=2, window=timedelta(seconds=10))
    assert await outbox.traffic("main", rate) == ports.Traffic()
    start = clock()
    for at in range(2):
        await stores.sent(outbox, f"v{at}", clock, f"x{at}")
        clock.advance(timedelta(seconds=1))
    found = await outbox.traffic("main", rate)
    assert (found.begun, found.room_at) == (2, start + timedelta(seconds=10))
    assert (await outbox.traffic("spare", rate)).begun == 0
    await outbox.receive("main", [receipt("x0"), receipt("strange"), receipt("stranger")])
    clock.advance(timedelta(seconds=8))
    found = await outbox.traffic("main", rate)
    assert (found.begun, found.room_at, found.unmatched) == (1, None, 2)
    assert found.last_receipt_at == start + timedelta(seconds=2)
    assert (await outbox.traffic("spare")).last_receipt_at is None


async def test_what_waits_is_counted_by_its_route(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await stores.sent(outbox, "v0", clock)
    await admit(outbox, "v1", clock, "+48600100200", "+48600100201")
    await admit(outbox, "v2", clock, route=("gone",))
    assert await outbox.waiting() == {("main", "spare"): 2, ("gone",): 1}


async def test_when_it_was_due_first_stays_known(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    start = clock()
    await admit(outbox, "v1", clock)
    await attempted(outbox, message.Retry(), due_at=start + MINUTE)
    one = await only(outbox)
    assert (one.due_at, one.first_due_at) == (start + MINUTE, start)
