"""What every outbox does with receipts of a provider that is wrong, or contradicts itself, or says too much."""

from dataclasses import replace
from typing import Any

import pytest

from agi_sms import message, ports
from tests.contract import stores
from tests.contract.stores import admit, attempted, begun, claim_one, only, receipt, sent, statuses, story
from tests.contract.test_outbox_receipts import received

S = message.Status
R = message.Reason
MANY = 1000  # receipts of one message: more than any outbox keeps


# --- of what was certainly not taken ---------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [message.Retry(), message.ProviderDown()])
@pytest.mark.parametrize("said", [S.FAILED, S.ACCEPTED, S.UNCERTAIN])
@pytest.mark.parametrize("when", ["before the answer", "after it"])
async def test_who_took_nothing_ends_nothing(
    outbox_factory: stores.Store, outbox: ports.Outbox, outcome: message.Outcome, said: S, when: str
) -> None:
    """The next provider of the route gets the message all the same."""
    await admit(outbox, "v1", outbox_factory.clock)
    lease = await claim_one(outbox)
    attempt = await begun(outbox, lease, "first")
    name, told = lease.message.id, receipt("z", said, ref=lease.message.id)
    if when == "before the answer":
        assert await received(outbox, told, provider="first") == (1, 0, 0)
    to_second = ports.Decision(status=S.SCHEDULED, due_at=outbox_factory.clock(), provider="second")
    assert await outbox.finish(lease, attempt, outcome, to_second)
    if when == "after it":
        assert await outbox.receive("first", [told]) == ports.Received(new=1)
    waiting = await only(outbox)
    assert (waiting.status, waiting.provider, waiting.maybe_taken) == (S.SCHEDULED, "second", False)
    assert await attempted(outbox, message.Accepted(ids=("x",)), "second") == name
    assert await statuses(outbox) == ["accepted"]
    assert [one.verdict for one in (await story(outbox, name)).attempts] == [None, None]
    await outbox.receive("first", [receipt("z", ref=name)])  # the phone has it after all
    assert await statuses(outbox) == ["delivered"]


async def test_a_word_that_nobody_knows_settles_nothing(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await admit(outbox, "v1", outbox_factory.clock)
    name = await attempted(outbox, message.Uncertain(), due_at=outbox_factory.clock() + stores.HOUR)
    before = await only(outbox)
    strange = receipt(state=S.UNCERTAIN, ref=name, code="weird")
    assert await outbox.receive("main", [strange]) == ports.Received(new=1)
    assert await only(outbox) == before
    [attempt] = (await story(outbox, name)).attempts
    assert (attempt.verdict, [one.receipt for one in attempt.receipts]) == (None, [strange])
    await outbox.receive("main", [receipt(ref=name)])
    assert await statuses(outbox) == ["delivered"]


# --- of two messages at once -----------------------------------------------------------------------------------


async def test_a_ref_and_an_id_that_contradict_each_other_count_for_neither(
    outbox_factory: stores.Store, outbox: ports.Outbox, logged: list[Any]
) -> None:
    clock = outbox_factory.clock
    one = await sent(outbox, "v1", clock, "x1")
    await sent(outbox, "v2", clock, "x2")
    assert await received(outbox, receipt("x2", S.FAILED, ref=one), receipt("x2", ref=one)) == (2, 0, 2)
    assert await statuses(outbox) == ["accepted", "accepted"]
    [line] = logged
    assert (line["log_level"], line["provider"], line["count"]) == ("warning", "main", 2)
    assert await received(outbox, receipt("x1", ref=one), receipt("x2")) == (2, 0, 0)
    assert await statuses(outbox) == ["delivered", "delivered"]


async def test_an_old_id_with_the_ref_of_a_new_message_waits_for_its_answer(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    """An SMSC whose ids begin anew, and a receipt before the answer."""
    clock = outbox_factory.clock
    await sent(outbox, "v1", clock, "1")
    await admit(outbox, "v2", clock)
    lease = await claim_one(outbox)
    attempt = await begun(outbox, lease)
    assert await received(outbox, receipt("1", ref=lease.message.id)) == (1, 0, 1)
    assert await outbox.finish(lease, attempt, message.Accepted(ids=("1",)), stores.DECISIONS[message.Accepted])
    assert await statuses(outbox) == ["accepted", "delivered"]


async def test_ids_that_the_answer_never_gave_deliver_no_segment(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    name = await sent(outbox, "v1", outbox_factory.clock, "x1", "x2")
    await outbox.receive("main", [receipt(one, ref=name) for one in ("y1", "y2", "y3", "x1")])
    assert await statuses(outbox) == ["accepted"]
    await outbox.receive("main", [receipt("x2")])
    assert await statuses(outbox) == ["delivered"]


@pytest.mark.parametrize("early", [0, 1, 2, 3])
async def test_one_id_for_all_segments_needs_a_receipt_for_each(
    outbox_factory: stores.Store, outbox: ports.Outbox, early: int
) -> None:
    """In the same words, before the answer or after it."""
    await admit(outbox, "v1", outbox_factory.clock)
    lease = await claim_one(outbox)
    attempt = await begun(outbox, lease)
    accepted = message.Accepted(ids=("same",) * 3)
    for number in range(4):
        if number == early:
            assert await outbox.finish(lease, attempt, accepted, stores.DECISIONS[message.Accepted])
        if number < 3:
            expected = "sending" if number < early else "accepted"
            assert await statuses(outbox) == [expected]
            await outbox.receive("main", [receipt("same")])
    assert await statuses(outbox) == ["delivered"]


# --- too many --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [S.DELIVERED, S.FAILED])
@pytest.mark.parametrize("at_once", [False, True])
async def test_after_too_many_receipts_a_last_word_still_counts(
    outbox_factory: stores.Store, outbox: ports.Outbox, last: S, at_once: bool, logged: list[Any]
) -> None:
    name = await sent(outbox, "v1", outbox_factory.clock, "x1", "x2")
    chatter = [receipt("x1", S.ACCEPTED, code=str(number)) for number in range(MANY)]
    chatter += [receipt("x1", code=str(number)) for number in range(MANY)]
    if at_once:
        found = await outbox.receive("main", chatter)
        assert found.new + found.known == len(chatter)
        assert (found.new < MANY, found.unmatched) == (True, 0)
    else:
        for number in range(0, len(chatter), 50):
            await outbox.receive("main", chatter[number : number + 50])
    assert await statuses(outbox) == ["accepted"]
    assert len([one for one in logged if one.get("message") == name]) == 1
    [settled] = (await outbox.receive("main", [receipt("x2", last)])).settled
    assert settled.message.status is last
    [attempt] = (await story(outbox, name)).attempts
    assert attempt.verdict is last
    assert len(attempt.receipts) < MANY
    assert attempt.receipts[-1].receipt == receipt("x2", last)  # what decided is there to be seen


async def test_too_many_before_the_answer(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    """Neither they nor those of another id push out the last word."""
    await admit(outbox, "v1", outbox_factory.clock)
    lease = await claim_one(outbox)
    attempt = await begun(outbox, lease)
    chatter = [receipt("x1", S.ACCEPTED, code=str(number)) for number in range(MANY)]
    await outbox.receive("main", [receipt("x2"), *chatter, receipt("x1"), *[replace(one, code="b") for one in chatter]])
    accepted = message.Accepted(ids=("x1", "x2"))
    assert await outbox.finish(lease, attempt, accepted, stores.DECISIONS[message.Accepted]) is S.DELIVERED
    [kept] = (await story(outbox, lease.message.id)).attempts
    assert len(kept.receipts) < MANY


async def test_of_those_that_are_nobodys_the_newest_last_words_stay(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    await admit(outbox, "v1", outbox_factory.clock)
    lease = await claim_one(outbox)
    attempt = await begun(outbox, lease)
    await outbox.receive("main", [receipt("x1", S.FAILED, code=str(number)) for number in range(MANY)])
    assert await outbox.finish(lease, attempt, message.Accepted(ids=("x1",)), stores.DECISIONS[message.Accepted])
    assert await statuses(outbox) == ["failed"]
    [kept] = (await story(outbox, lease.message.id)).attempts
    assert len(kept.receipts) < MANY
    assert kept.receipts[-1].receipt.code == str(MANY - 1)
