"""Which messages every outbox says that a provider is to be asked about."""

from datetime import timedelta

from agi_sms import message, ports
from tests.contract import stores
from tests.contract.stores import HOUR, MINUTE, SECOND

S = message.Status
TAKEN = ports.Decision(status=S.ACCEPTED)


async def accepted(
    outbox: ports.Outbox, store: stores.Store, visit: str, *ids: str, overdue_in: timedelta | None = HOUR
) -> str:
    """A message that was taken, and whose receipt is expected until then; its id."""
    await stores.admit(outbox, visit, store.clock)
    lease = await stores.claim_one(outbox)
    attempt = await stores.begun(outbox, lease)
    due = None if overdue_in is None else store.clock() + overdue_in
    assert await outbox.finish(lease, attempt, message.Accepted(ids=ids), TAKEN, receipt_due_at=due)
    return lease.message.id


async def uncertain(outbox: ports.Outbox, store: stores.Store, visit: str, *ids: str) -> str:
    await stores.admit(outbox, visit, store.clock)
    lease = await stores.claim_one(outbox)
    attempt = await outbox.begin(lease, "main", receipt_due_at=store.clock() + HOUR)
    assert attempt is not None
    later = ports.Decision(status=S.UNCERTAIN, due_at=store.clock() + 5 * MINUTE)
    assert await outbox.finish(lease, attempt, message.Uncertain(ids=ids), later)
    return lease.message.id


async def names(outbox: ports.Outbox, provider: str = "main") -> list[str]:
    return [one.ref for one in await outbox.awaited(provider, most=99)]


async def test_what_was_taken_and_what_may_have_been(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    began = clock()
    one = await accepted(outbox, outbox_factory, "v1", "x1", "x2")
    clock.advance(SECOND)
    two = await uncertain(outbox, outbox_factory, "v2")
    await accepted(outbox, outbox_factory, "v3", "x3", overdue_in=None)  # no receipt is expected
    await stores.admit(outbox, "v4", clock)  # not sent yet
    assert await outbox.awaited("main", most=9) == (
        ports.Awaited(ref=one, provider_ids=("x1", "x2"), since=began, until=began + HOUR),
        ports.Awaited(ref=two, provider_ids=(), since=began + SECOND, until=began + SECOND + HOUR, in_doubt=True),
    )
    assert await names(outbox, "spare") == []


async def test_not_after_the_last_word(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    one = await accepted(outbox, outbox_factory, "v1", "x1", "x2")
    two = await uncertain(outbox, outbox_factory, "v2")
    await outbox.receive("main", [stores.receipt("x1", S.ACCEPTED), stores.receipt(ref=two)])
    assert await names(outbox) == [one]
    await outbox.receive("main", [stores.receipt("x1")])
    (left,) = await outbox.awaited("main", most=9)
    assert left.provider_ids == ("x2",)  # the other segment is there
    await outbox.receive("main", [stores.receipt("x2")])
    assert await names(outbox) == []


async def test_not_when_it_is_overdue(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await accepted(outbox, outbox_factory, "v1", "x1")
    clock.advance(SECOND)
    two = await uncertain(outbox, outbox_factory, "v2")
    clock.advance(HOUR - 2 * SECOND)
    assert len(await names(outbox)) == 2
    clock.advance(SECOND)
    assert await names(outbox) == [two]
    clock.advance(SECOND)
    assert await names(outbox) == []


async def test_what_is_held_in_doubt_until_a_person_decides(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    one = await uncertain(outbox, outbox_factory, "v1")
    outbox_factory.clock.advance(5 * MINUTE)
    lease = await stores.claim_one(outbox)
    assert await outbox.settle(lease, ports.Decision(status=S.HELD, reason=message.Reason.UNANSWERED))
    (found,) = await outbox.awaited("main", most=9)
    assert (found.ref, found.in_doubt) == (one, True)
    assert await outbox.judge(one, ports.Verdict.SENT, "me")
    assert await names(outbox) == []


async def test_what_a_crash_left_is_asked_about(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    """Nobody heard the answer, and a receipt is expected all the same."""
    clock = outbox_factory.clock
    await stores.admit(outbox, "v1", clock)
    lease = await stores.claim_one(outbox)
    assert await outbox.begin(lease, "main", receipt_due_at=clock() + HOUR)
    assert await names(outbox) == []  # it is under way
    await outbox.close()
    again = await outbox_factory.open()
    assert (await again.recover()).uncertain == 1
    assert await names(again) == [lease.message.id]
    await again.receive("main", [stores.receipt(ref=lease.message.id, state=S.ACCEPTED)])
    assert await stores.statuses(again) == ["accepted"]
    assert await names(again) == [lease.message.id]
    assert (await stores.only(again)).receipt_due_at == clock() + HOUR
    await again.close()


async def test_of_the_newest_attempt(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    """After a failover only who has it now is asked."""
    clock = outbox_factory.clock
    await stores.admit(outbox, "v1", clock)
    lease = await stores.claim_one(outbox)
    attempt = await stores.begun(outbox, lease)
    onward = ports.Decision(status=S.SCHEDULED, due_at=clock(), provider="spare")
    assert await outbox.finish(lease, attempt, message.Uncertain(ids=("x1",)), onward)
    assert await names(outbox) == []
    lease = await stores.claim_one(outbox)
    clock.advance(SECOND)
    attempt = await stores.begun(outbox, lease, "spare")
    due = clock() + HOUR
    assert await outbox.finish(lease, attempt, message.Accepted(ids=("y1",)), TAKEN, receipt_due_at=due)
    assert await names(outbox) == []
    (only,) = await outbox.awaited("spare", most=9)
    assert (only.provider_ids, only.since) == (("y1",), clock())


async def test_of_two_attempts_by_one_provider_the_newer(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await stores.admit(outbox, "v1", clock)
    lease = await stores.claim_one(outbox)
    onward = ports.Decision(status=S.SCHEDULED, due_at=clock())
    assert await outbox.finish(lease, await stores.begun(outbox, lease), message.Uncertain(ids=("x1",)), onward)
    lease = await stores.claim_one(outbox)
    clock.advance(SECOND)
    attempt, due = await stores.begun(outbox, lease), clock() + HOUR
    assert await outbox.finish(lease, attempt, message.Accepted(ids=("z2", "y1")), TAKEN, receipt_due_at=due)
    (only,) = await outbox.awaited("main", most=9)
    assert (only.provider_ids, only.since) == (("z2", "y1"), clock())  # in the order of the segments


async def test_page_by_page(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    made = [await accepted(outbox, outbox_factory, f"v{n}", f"x{n}", overdue_in=n // 3 * HOUR + HOUR) for n in range(7)]
    found: list[ports.Awaited] = []
    while page := await outbox.awaited("main", most=2, after=found[-1] if found else None):
        assert len(page) <= 2
        found += page
    assert [one.ref for one in found] == made
