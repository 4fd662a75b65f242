"""What every outbox does with receipts: kept once, matched, and what they make of messages."""

import asyncio
from datetime import timedelta

import pytest

from agi_sms import message, ports
from tests.contract import stores
from tests.contract.stores import (
    HOUR,
    MINUTE,
    SECOND,
    admit,
    attempted,
    begun,
    claim_one,
    only,
    receipt,
    sent,
    statuses,
    story,
)

S = message.Status
R = message.Reason
DAY = timedelta(days=1)
LATER = ports.Decision(status=S.SCHEDULED)


async def received(outbox: ports.Outbox, *receipts: ports.Receipt, provider: str = "main") -> tuple[int, int, int]:
    """How many were new, known, unmatched."""
    found = await outbox.receive(provider, receipts)
    return found.new, found.known, found.unmatched


async def test_from_the_answer_to_the_phone(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    name = await sent(outbox, "v1", clock, "x1")
    clock.advance(SECOND)
    buffered = receipt("x1", S.ACCEPTED, code="4")
    found = await outbox.receive("main", [buffered])
    assert found == ports.Received(new=1)
    clock.advance(SECOND)
    delivered = ports.Receipt(
        provider_id="x1", ref=name, state=S.DELIVERED, raw='{"id": "x1", "dlr": 1}', code="000", detail="DELIVRD"
    )
    found = await outbox.receive("main", [delivered])
    assert (found.new, found.known, found.unmatched) == (1, 0, 0)
    [settled] = found.settled
    assert (settled.before, settled.receipt) == (S.ACCEPTED, delivered)
    assert settled.message == await only(outbox)
    assert (settled.message.id, settled.message.status, settled.message.reason) == (name, S.DELIVERED, None)
    [attempt] = (await story(outbox, name)).attempts
    assert (attempt.outcome, attempt.provider_ids, attempt.verdict) == ("accepted", ("x1",), S.DELIVERED)
    assert attempt.receipts == (
        ports.KeptReceipt(at=clock() - SECOND, receipt=buffered),
        ports.KeptReceipt(at=clock(), receipt=delivered),
    )
    assert await stores.next_due(outbox) is None


async def test_undelivered(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    name = await sent(outbox, "v1", outbox_factory.clock, "x1")
    refused = ports.Receipt(provider_id="x1", ref="", state=S.FAILED, raw="id:x1", code="34", detail="absent")
    [settled] = (await outbox.receive("main", [refused])).settled
    assert (settled.message.status, settled.message.reason) == (S.FAILED, R.UNDELIVERED)
    [attempt] = (await story(outbox, name)).attempts
    assert (attempt.outcome, attempt.verdict) == ("accepted", S.FAILED)
    assert (attempt.receipts[0].receipt.code, attempt.receipts[0].receipt.detail) == ("34", "absent")


@pytest.mark.parametrize("by_ref", [False, True])
@pytest.mark.parametrize("first", [S.DELIVERED, S.FAILED])
@pytest.mark.parametrize("then", [S.DELIVERED, S.FAILED, S.ACCEPTED])
async def test_a_final_state_never_goes_back(
    outbox_factory: stores.Store, outbox: ports.Outbox, by_ref: bool, first: S, then: S
) -> None:
    name = await sent(outbox, "v1", outbox_factory.clock, "x1")
    which = {"provider_id": "", "ref": name} if by_ref else {"provider_id": "x1"}
    await outbox.receive("main", [receipt(**which, state=first)])
    before = await only(outbox)
    found = await outbox.receive("main", [receipt(**which, state=then, code="late")])
    assert found == ports.Received(new=1)
    assert await only(outbox) == before
    assert before.status is first
    [attempt] = (await story(outbox, name)).attempts
    assert [one.receipt.state for one in attempt.receipts] == [first, then]  # the history has it all the same
    assert attempt.verdict is first


async def test_the_same_receipt_twice_is_one(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    name = await sent(outbox, "v1", outbox_factory.clock, "x1")
    one, other = receipt("x1", S.ACCEPTED), receipt("x1")
    assert await received(outbox, one, one, other) == (2, 1, 0)
    assert await received(outbox, other, one) == (0, 2, 0)
    assert await received(outbox, other, provider="spare") == (1, 0, 1)
    await outbox.close()
    outbox = await outbox_factory.open()
    assert await received(outbox, one, receipt("x1", code="new")) == (1, 1, 0)
    assert len((await story(outbox, name)).attempts[0].receipts) == 3
    await outbox.close()


async def test_only_all_segments_are_a_message(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    whole = await sent(outbox, "v1", clock, "a1", "a2", "a3")
    broken = await sent(outbox, "v2", clock, "b1", "b2", "b3")
    one_name = await sent(outbox, "v3", clock, "c", "c", "c")  # as many words as segments, all alike
    named = await sent(outbox, "v4", clock, "d1", "d2")
    for name in ("a3", "a1", "b2"):
        assert (await outbox.receive("main", [receipt(name)])).settled == ()
    assert (await outbox.receive("main", [receipt("a1", code="again")])).settled == ()
    assert await statuses(outbox) == ["accepted"] * 4
    await outbox.receive(
        "main", [receipt("b1", S.FAILED), receipt("b3"), receipt("a2"), receipt("c"), receipt(ref=named)]
    )
    assert await statuses(outbox) == ["delivered", "failed", "accepted", "delivered"]
    assert await received(outbox, receipt("c")) == (0, 1, 0)
    assert (await only(outbox, message_id=one_name)).status is S.ACCEPTED
    assert await received(outbox, receipt("c")) == (0, 1, 0)
    assert await statuses(outbox) == ["delivered", "failed", "delivered", "delivered"]
    found = [(await story(outbox, one)).attempts[0] for one in (whole, broken, one_name, named)]
    assert [one.verdict for one in found] == [S.DELIVERED, S.FAILED, S.DELIVERED, S.DELIVERED]
    assert len(found[1].receipts) == 3


@pytest.mark.parametrize("by_ref", [False, True])
@pytest.mark.parametrize(
    ("said", "status"), [(S.DELIVERED, S.DELIVERED), (S.FAILED, S.FAILED), (S.ACCEPTED, S.ACCEPTED)]
)
async def test_before_the_answer(
    outbox_factory: stores.Store, outbox: ports.Outbox, by_ref: bool, said: S, status: S
) -> None:
    await admit(outbox, "v1", outbox_factory.clock)
    lease = await claim_one(outbox)
    attempt = await begun(outbox, lease)
    which = {"ref": lease.message.id} if by_ref else {"provider_id": "x1"}
    assert await received(outbox, receipt(state=said, **which)) == (1, 0, 0 if by_ref else 1)
    assert await received(outbox, receipt(state=said, **which)) == (0, 1, 0)
    assert await statuses(outbox) == ["sending"]
    assert await outbox.finish(lease, attempt, message.Accepted(ids=("x1",)), stores.DECISIONS[message.Accepted])
    assert await statuses(outbox) == [str(said)]
    assert await received(outbox, receipt(state=said, **which)) == (0, 1, 0)
    [kept] = (await story(outbox, lease.message.id)).attempts
    assert (kept.verdict, len(kept.receipts)) == (said, 1)


@pytest.mark.parametrize(
    ("outcome", "said", "status", "reason"),
    [
        (message.Uncertain(), S.DELIVERED, S.DELIVERED, None),
        (message.Uncertain(), S.ACCEPTED, S.ACCEPTED, None),
        (message.Uncertain(), S.FAILED, S.FAILED, R.UNDELIVERED),
        (message.Retry(), S.DELIVERED, S.DELIVERED, None),
        (message.Rejected(), S.DELIVERED, S.DELIVERED, None),
        (message.Rejected(), S.ACCEPTED, S.FAILED, R.REJECTED),
        (message.Rejected(), S.FAILED, S.FAILED, R.REJECTED),
    ],
)
@pytest.mark.parametrize("early", [False, True])
async def test_an_answer_and_a_receipt_in_any_order(
    outbox_factory: stores.Store,
    outbox: ports.Outbox,
    outcome: message.Outcome,
    said: S,
    status: S,
    reason: R | None,
    early: bool,
) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    lease = await claim_one(outbox)
    attempt = await begun(outbox, lease)
    word = receipt(state=said, ref=lease.message.id)
    if early:
        await outbox.receive("main", [word])
    assert await outbox.finish(lease, attempt, outcome, stores.DECISIONS[type(outcome)])
    if not early:
        await outbox.receive("main", [word])
    found = await only(outbox)
    assert (found.status, found.reason) == (status, reason)
    clock.advance(DAY)
    assert await stores.claim(outbox, 9, MINUTE) == []  # nothing is sent again
    assert await stores.next_due(outbox) is None


async def test_a_receipt_cancels_the_resend(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    """Also one that a worker has claimed already, up to the moment in which its attempt is committed."""
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    name = await attempted(outbox, message.Uncertain(), due_at=clock() + MINUTE)
    clock.advance(MINUTE)
    lease = await claim_one(outbox)
    assert lease.status_before is S.UNCERTAIN
    [settled] = (await outbox.receive("main", [receipt(ref=name)])).settled
    assert (settled.before, settled.message.status) == (S.UNCERTAIN, S.DELIVERED)
    assert await outbox.begin(lease, "main") is None
    assert not await outbox.settle(lease, ports.Decision(status=S.HELD, reason=R.UNANSWERED))
    assert await statuses(outbox) == ["delivered"]

    await admit(outbox, "v2", clock)
    name = await attempted(outbox, message.Uncertain(), due_at=clock())
    lease = await claim_one(outbox)
    attempt = await begun(outbox, lease)
    assert (await outbox.receive("main", [receipt(ref=name)])).settled == ()  # too late: it may be on its way again
    assert await outbox.finish(lease, attempt, message.ProviderDown(), LATER)
    assert await statuses(outbox) == ["delivered", "delivered"]


async def test_a_failure_of_one_attempt_is_no_failure_of_the_next(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    name = await attempted(outbox, message.Uncertain(), "first", due_at=clock())
    await attempted(outbox, message.Accepted(ids=("x",)), "second")
    await outbox.receive("first", [receipt(state=S.FAILED, ref=name)])
    assert await statuses(outbox) == ["accepted"]
    await outbox.receive("second", [receipt("x", S.FAILED)])
    assert await statuses(outbox) == ["failed"]
    await outbox.receive("first", [receipt(ref=name, code="late")])
    assert await statuses(outbox) == ["failed"]  # that attempt had had its last word
    assert [one.verdict for one in (await story(outbox, name)).attempts] == [S.FAILED, S.FAILED]


async def test_doubt_about_the_first_attempt_ends_with_its_receipt(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    again = ports.Decision(status=S.UNCERTAIN, reason=R.UNANSWERED, due_at=clock())
    for visit, said, status in (("v1", S.ACCEPTED, S.ACCEPTED), ("v2", S.FAILED, S.FAILED)):
        await admit(outbox, visit, clock)
        name = await attempted(outbox, message.Uncertain(), due_at=clock())
        lease = await claim_one(outbox)
        assert await outbox.finish(lease, await begun(outbox, lease), message.ProviderDown(), again)
        await outbox.receive("main", [receipt(state=said, ref=name)])
        assert (await only(outbox, message_id=name)).status is status
        assert [one.verdict for one in (await story(outbox, name)).attempts] == [said, None]  # not the second's
    assert await stores.next_due(outbox) is None


async def test_a_held_one_is_settled_too(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    name = await attempted(outbox, message.Uncertain(), due_at=clock())
    await outbox.settle(await claim_one(outbox), ports.Decision(status=S.HELD, reason=R.UNANSWERED))
    await outbox.receive("main", [receipt(state=S.ACCEPTED, ref=name)])
    held = await only(outbox)
    assert (held.status, held.reason) == (S.ACCEPTED, None)


async def test_a_receipt_before_a_crash(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    names = []
    for visit in ("v1", "v2", "v3"):
        await admit(outbox, visit, clock)
        lease = await claim_one(outbox)
        await begun(outbox, lease)
        names.append(lease.message.id)
    await outbox.receive("main", [receipt(ref=names[0]), receipt(state=S.ACCEPTED, ref=names[1])])
    await outbox.close()
    outbox = await outbox_factory.open()
    assert (await outbox.recover()).uncertain == 3
    assert await statuses(outbox) == ["delivered", "accepted", "uncertain"]
    assert (await only(outbox, message_id=names[0])).reason is None
    lease = await claim_one(outbox)
    await begun(outbox, lease)
    await outbox.receive("main", [receipt(state=S.FAILED, ref=names[2])])
    clock.advance(MINUTE)
    assert await stores.claim(outbox, 9, MINUTE) == []  # the lease ran out, and the receipt says the rest
    assert await statuses(outbox) == ["delivered", "accepted", "failed"]
    await outbox.close()


# --- whose it is -----------------------------------------------------------------------------------------------


async def test_nobodys(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v0", clock, "+1", status=S.SKIPPED, reason=R.LANDLINE)
    skipped = (await only(outbox)).id
    name = await sent(outbox, "v1", clock, "x1")
    strange = [
        receipt("x2"),
        receipt(ref="unknown"),
        receipt(),
        receipt("x1"[:1]),
        receipt("X1"),
        receipt("x1 "),
        receipt(ref=skipped),
        receipt("\ud800"),
        receipt("x" * 100_000, code="\x00"),
        ports.Receipt(provider_id="%", ref="'", state=S.DELIVERED, raw="\udfff" * 5000, detail="x" * 5000),
    ]
    assert await received(outbox, *strange) == (len(strange), 0, len(strange))
    assert await received(outbox, *strange) == (0, len(strange), 0)
    assert await received(outbox, receipt("x1"), receipt(ref=name), provider="spare") == (2, 0, 2)
    assert await received(outbox) == (0, 0, 0)
    assert await statuses(outbox) == ["skipped", "accepted"]


async def test_whatever_the_words(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    """Each is kept as far as it can be stored, and none harms another."""
    name = await sent(outbox, "v1", outbox_factory.clock, "half \ud800")
    odd = ports.Receipt(
        provider_id="half \ud800", ref="", state=S.SKIPPED, raw="\ud800" + "r" * 9999, code="c" * 9999, detail="\x00"
    )
    assert (await outbox.receive("main", [odd])) == ports.Received(new=1)
    [attempt] = (await story(outbox, name)).attempts
    [kept] = attempt.receipts
    assert (kept.receipt.provider_id, kept.receipt.state) == ("half ?", S.UNCERTAIN)  # no word of ours
    assert (len(kept.receipt.raw), len(kept.receipt.code)) == (ports.LONGEST_EXCERPT, message.LONGEST_DETAIL)


async def test_an_id_that_comes_again_is_the_newest_ones(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    old = await sent(outbox, "v1", clock, "1")
    new = await sent(outbox, "v2", clock, "1")
    await outbox.receive("main", [receipt("1")])
    assert await statuses(outbox) == ["accepted", "delivered"]
    await outbox.receive("main", [receipt("1", S.FAILED, ref=old)])  # our own ref knows better
    assert await statuses(outbox) == ["failed", "delivered"]
    assert new != old


async def test_an_id_that_comes_again_has_its_own_receipts(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    """An SMSC whose ids begin anew says the same words of the next message."""
    clock = outbox_factory.clock
    for visit in ("v1", "v2", "v3"):
        await sent(outbox, visit, clock, "1")
        assert await received(outbox, receipt("1")) == (1, 0, 0)
        assert await received(outbox, receipt("1")) == (0, 1, 0)
        clock.advance(MINUTE)
    assert await statuses(outbox) == ["delivered", "delivered", "delivered"]


async def test_an_early_receipt_hides_no_later_one_of_the_same_words(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    assert await received(outbox, receipt("1")) == (1, 0, 1)  # nobody's, and older than what comes
    clock.advance(HOUR)
    for visit in ("v1", "v2"):
        assert (await received(outbox, receipt("1")))[1:] in ((1, 0), (0, 1))
        await sent(outbox, visit, clock, "1")
        assert await received(outbox, receipt("1")) in ((1, 0, 0), (0, 1, 0))
        clock.advance(MINUTE)
    assert await statuses(outbox) == ["delivered", "delivered"]


async def test_what_came_before_the_attempt_began_is_another_ones(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    assert await received(outbox, receipt("1", S.FAILED)) == (1, 0, 1)
    clock.advance(HOUR)
    await sent(outbox, "v1", clock, "1")
    assert await statuses(outbox) == ["accepted"]


async def test_of_several_attempts_the_one_that_gave_the_id(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    first = await sent(outbox, "v1", clock, "x1")
    await outbox.receive("main", [receipt("x1", S.FAILED)])
    assert await stores.again(outbox, ports.Query(message_id=first), "ann") == 1
    assert await attempted(outbox, message.Accepted(ids=("x2",))) == first
    await outbox.receive("main", [receipt("x1", S.ACCEPTED, ref=first), receipt("x3", S.ACCEPTED, ref=first)])
    told = [[one.receipt.provider_id for one in a.receipts] for a in (await story(outbox, first)).attempts]
    assert told == [["x1", "x1"], ["x3"]]
    assert await statuses(outbox) == ["accepted"]


# --- many ------------------------------------------------------------------------------------------------------


async def test_many_at_once(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    for number in range(40):
        await sent(outbox, f"v{number}", clock, f"x{number}")
    told = [receipt(f"x{number}", state) for number in range(1000) for state in (S.ACCEPTED, S.DELIVERED)]
    found = await asyncio.gather(*(outbox.receive("main", told) for _ in range(3)))
    assert sum(one.new for one in found) == 2000
    assert sum(one.known for one in found) == 4000
    assert sum(one.unmatched for one in found) == 1920
    assert sum(len(one.settled) for one in found) == 40
    assert await statuses(outbox) == ["delivered"] * 40


async def test_what_was_told_survives_a_kill(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    """A receipt that was acknowledged is on disk."""
    clock = outbox_factory.clock
    for number in range(100):
        await sent(outbox, f"v{number}", clock, f"x{number}")
    await outbox.close()
    told = []
    with outbox_factory.child("receive", "x", "100") as child:
        assert await child.line() == "ready"
        child.go_on()
        async for line in child.lines():
            told.append(line)
            if len(told) == 23:
                child.kill()
                break
    outbox = await outbox_factory.open()
    delivered = {one.call_id for one in await outbox.history(ports.Query(status=S.DELIVERED))}
    assert {f"call-v{name[1:]}" for name in told} <= delivered
    await outbox.close()
