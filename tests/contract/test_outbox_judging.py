"""What every outbox does with a person's verdict on a message, and with receipts that are overdue."""

import pytest

from agi_sms import message, ports
from tests.contract import stores
from tests.contract.stores import (
    DECISIONS,
    HOUR,
    MINUTE,
    admit,
    ask,
    attempted,
    begun,
    claim_job,
    claim_one,
    only,
    receipt,
    statuses,
    story,
    unanswered,
    waiting,
)

S = message.Status
R = message.Reason


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(
    ("verdict", "status", "reason"),
    [("sent", S.ACCEPTED, None), ("resend", S.SCHEDULED, None), ("fail", S.FAILED, R.OPERATOR)],
)
async def test_judge(
    outbox_factory: stores.Store, outbox: ports.Outbox, held: bool, verdict: str, status: S, reason: R | None
) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    name = await attempted(outbox, message.Uncertain(), "spare", due_at=clock() + HOUR)
    if held:
        clock.advance(HOUR)
        await outbox.settle(await claim_one(outbox), ports.Decision(status=S.HELD, reason=R.UNANSWERED))
    clock.advance(MINUTE)
    assert await outbox.judge(name[-6:], ports.Verdict(verdict), "ann")
    found = await story(outbox, name)
    assert (found.message.status, found.message.reason) == (status, reason)
    assert [(one.who, one.what, one.at) for one in found.events] == [("ann", verdict, clock())]
    for other in ports.Verdict:
        assert not await outbox.judge(name, other, "bob")  # it is no longer in doubt
    assert await story(outbox, name) == found
    again = await stores.claim(outbox, 9, MINUTE)
    assert [(one.message.id, one.message.provider) for one in again] == (
        [(name, "main")] if verdict == "resend" else []
    )


async def test_only_what_is_in_doubt_or_held_is_judged(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    assert not await outbox.judge("nothing", ports.Verdict.FAIL, "ann")
    for number, status in enumerate((S.WAITING, S.SCHEDULED, S.SKIPPED, S.HELD, S.HELD)):
        await admit(outbox, f"v{number}", clock, status=status, due_at=clock() + HOUR)
    await admit(outbox, "v5", clock)
    lease = await claim_one(outbox)
    made = [one.id for one in reversed(await outbox.history(ports.Query()))]
    assert not await outbox.judge(made[0][:4], ports.Verdict.FAIL, "ann")  # fits them all
    found = [await outbox.judge(name, ports.Verdict.SENT, "ann") for name in made]
    assert found == [False, False, False, True, True, False]
    assert await statuses(outbox) == ["waiting", "scheduled", "skipped", "accepted", "accepted", "sending"]
    assert await begun(outbox, lease)


async def test_receipts_have_the_last_word_after_a_verdict_too(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    names: list[str] = []
    for verdict in (ports.Verdict.SENT, ports.Verdict.FAIL, ports.Verdict.SENT):
        await admit(outbox, str(len(names)), clock)
        names.append(await attempted(outbox, message.Uncertain(), due_at=clock() + HOUR))
        assert await outbox.judge(names[-1], verdict, "ann")
    await outbox.receive("main", [receipt(ref=names[0]), receipt(ref=names[1]), receipt("", S.FAILED, ref=names[2])])
    assert await statuses(outbox) == ["delivered", "delivered", "failed"]


async def test_a_resend_of_what_never_had_a_text_asks_for_it(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    [made] = (await ask(outbox, "v1", clock, waiting(clock))).messages
    assert await outbox.resolve(await claim_job(outbox), unanswered(S.HELD))
    assert await outbox.judge(made.message_id, ports.Verdict.RESEND, "ann")
    assert await statuses(outbox) == ["waiting"]
    assert (await claim_job(outbox)).visit.id == "v1"


# --- receipts that are expected --------------------------------------------------------------------------------


async def test_when_a_receipt_is_overdue(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    for number in range(4):
        await admit(outbox, f"v{number}", clock)
        lease = await claim_one(outbox)
        accepted = message.Accepted(ids=(f"x{number}",))
        attempt = await begun(outbox, lease)
        if number == 3:
            await outbox.receive("main", [receipt("x3")])
        due = None if number == 2 else clock() + 2 * HOUR
        assert await outbox.finish(lease, attempt, accepted, DECISIONS[message.Accepted], receipt_due_at=due)

    async def overdue() -> list[bool]:
        return [one.receipt_overdue(clock()) for one in reversed(await outbox.history(ports.Query()))]

    first, second, third, fourth = reversed(await outbox.history(ports.Query()))
    assert (first.receipt_due_at, third.receipt_due_at, fourth.receipt_due_at) == (clock() + 2 * HOUR, None, None)
    assert await overdue() == [False] * 4
    await outbox.receive("main", [receipt("x0", S.ACCEPTED)])
    clock.advance(2 * HOUR)
    assert await overdue() == [True, True, False, False]
    assert await statuses(outbox) == ["accepted"] * 3 + ["delivered"]  # a mark, not a status
    assert await stores.next_due(outbox) is None
    await outbox.receive("main", [receipt("x0"), receipt("x1", S.FAILED)])
    assert await overdue() == [False] * 4
    assert {one.receipt_due_at for one in await outbox.history(ports.Query())} == {None}
    assert await stores.again(outbox, ports.Query(message_id=second.id), "ann") == 1
    lease = await claim_one(outbox)
    again = ports.Decision(status=S.UNCERTAIN, reason=R.UNANSWERED)
    attempt = await begun(outbox, lease)
    assert await outbox.finish(lease, attempt, message.Uncertain(), again, receipt_due_at=clock() + HOUR)
    clock.advance(HOUR)
    assert await overdue() == [False] * 4  # it is not known to be taken
    assert await outbox.judge(second.id, ports.Verdict.SENT, "ann")
    assert await overdue() == [False] * 4  # who knows that it was sent waits for no receipt
    assert (await only(outbox, message_id=second.id)).receipt_due_at is None
    await outbox.receive("main", [receipt(ref=second.id)])  # one that comes all the same counts
    assert (await only(outbox, message_id=second.id)).status is S.DELIVERED
