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
    attempt = await stores.begun(outbox, lease)
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
        ports.Awaited(ref=one, provider_ids=("x1", "x2"), since=began),
        ports.Awaited(ref=two, provider_ids=(), since=began + SECOND, in_doubt=True),
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


async def test_not_when_it_is_overdue_or_decided(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await accepted(outbox, outbox_factory, "v1", "x1")
    two = await uncertain(outbox, outbox_factory, "v2")
    clock.advance(HOUR - SECOND)
    assert len(await names(outbox)) == 2
    clock.advance(SECOND)
    assert await names(outbox) == [two]
    assert await outbox.judge(two, ports.Verdict.FAIL, "me")
    assert await names(outbox) == []


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


async def test_page_by_page(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    made = [await accepted(outbox, outbox_factory, f"v{n}", f"x{n}") for n in range(7)]
    found: list[str] = []
    while page := await outbox.awaited("main", most=3, after=found[-1] if found else ""):
        assert len(page) <= 3
        found += [one.ref for one in page]
    assert found == sorted(made)
