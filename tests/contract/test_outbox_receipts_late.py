"""What every outbox does with receipts of messages that people decided about meanwhile."""

import pytest

from agi_sms import message, ports
from tests.contract import stores
from tests.contract.stores import HOUR, MINUTE, admit, attempted, claim_one, only, receipt, sent, statuses, story
from tests.contract.test_outbox_receipts import received

S = message.Status
R = message.Reason


@pytest.mark.parametrize("said", [S.ACCEPTED, S.FAILED])
@pytest.mark.parametrize("begin", [False, True])
async def test_late_news_of_what_a_person_retried(
    outbox_factory: stores.Store, outbox: ports.Outbox, said: S, begin: bool
) -> None:
    """It belongs to its attempt, and says nothing of the next."""
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    name = await attempted(outbox, message.Uncertain(), "first", due_at=clock() + HOUR)
    assert await stores.again(outbox, ports.Query(message_id=name), "ann") == 1
    if begin:
        await attempted(outbox, message.Accepted(ids=("x2",)), "second")
    before = await only(outbox)
    assert (await outbox.receive("first", [receipt(state=said, ref=name)])) == ports.Received(new=1)
    assert await only(outbox) == before
    assert (await story(outbox, name)).attempts[0].verdict is said


@pytest.mark.parametrize("begin", [False, True])
async def test_late_delivery_of_what_a_person_retried(
    outbox_factory: stores.Store, outbox: ports.Outbox, begin: bool
) -> None:
    """The phone has it, so it is not sent again, whichever attempt it was."""
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    name = await attempted(outbox, message.Uncertain(), "first", due_at=clock() + HOUR)
    assert await stores.again(outbox, ports.Query(message_id=name), "ann") == 1
    if begin:
        await attempted(outbox, message.Accepted(ids=("x2",)), "second")
    await outbox.receive("first", [receipt(ref=name)])
    assert await statuses(outbox) == ["delivered"]
    await outbox.receive("second", [receipt("x2", S.FAILED)])
    assert await statuses(outbox) == ["delivered"]
    assert await stores.claim(outbox, 9, MINUTE) == []


async def test_the_next_attempt_may_end_in_the_same_words(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    """A provider that names no id of its own says of each attempt the same."""
    clock = outbox_factory.clock
    name = await sent(outbox, "v1", clock)
    failed = receipt(state=S.FAILED, ref=name)
    assert await received(outbox, failed, failed) == (1, 1, 0)
    assert await stores.again(outbox, ports.Query(message_id=name), "ann") == 1
    await attempted(outbox, message.Accepted())
    assert await statuses(outbox) == ["accepted"]
    assert await received(outbox, failed, failed) == (1, 1, 0)
    assert await statuses(outbox) == ["failed"]


@pytest.mark.parametrize("status", [S.CANCELLED, S.EXPIRED, S.FAILED])
async def test_what_was_given_up_may_have_been_delivered_all_the_same(
    outbox_factory: stores.Store, outbox: ports.Outbox, status: S
) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    name = await attempted(outbox, message.Uncertain(), due_at=clock())
    await outbox.settle(await claim_one(outbox), ports.Decision(status=status, reason=R.OPERATOR))
    for said in (S.ACCEPTED, S.FAILED):
        assert (await outbox.receive("spare", [receipt("", said, ref=name)])).settled == ()
        assert (await outbox.receive("main", [receipt("", S.ACCEPTED, ref=name, code=said)])).settled == ()
    assert await statuses(outbox) == [str(status)]
    [settled] = (await outbox.receive("main", [receipt("", ref=name)])).settled
    assert (settled.before, settled.message.status, settled.message.reason) == (status, S.DELIVERED, None)
