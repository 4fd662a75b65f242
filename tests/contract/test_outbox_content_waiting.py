"""What every outbox does with content jobs of messages that wait no more, or wait again: cancel, age, retry."""

import asyncio

from agi_sms import message, ports
from tests.contract import stores
from tests.contract.stores import (
    HOUR,
    MINUTE,
    SECOND,
    activation,
    answered,
    ask,
    claim_job,
    claim_jobs,
    content,
    draft,
    only,
    statuses,
    unanswered,
    waiting,
)

S = message.Status
R = message.Reason
State = ports.ContentState
TIMEOUT = ports.NoAnswer(reason=R.CONTENT_TIMEOUT, detail="no answer within 3s", again=True)


async def test_what_was_cancelled_meanwhile_stays_cancelled(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    one, two = (await ask(outbox, "v1", clock, waiting(clock, "+1"), waiting(clock, "+2"))).messages
    job = await claim_job(outbox)
    assert await outbox.cancel(ports.Query(message_id=one.message_id), "ann") == 1
    assert await outbox.resolve(job, answered())
    first = await only(outbox, message_id=one.message_id)
    assert (first.status, first.reason, first.text) == (S.CANCELLED, R.OPERATOR, None)
    assert (await only(outbox, message_id=two.message_id)).status is S.SCHEDULED


async def test_nobody_is_asked_for_whom_nobody_waits(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    [cancelled] = (await ask(outbox, "v1", clock)).messages
    [old] = (await ask(outbox, "v2", clock, waiting(clock, expires_at=clock() + MINUTE))).messages
    await ask(outbox, "v3", clock)
    assert await outbox.cancel(ports.Query(message_id=cancelled.message_id), "ann") == 1
    clock.advance(MINUTE)
    assert (await claim_job(outbox)).visit.id == "v3"
    for one in (cancelled, old):
        told = await content(outbox, one.message_id)
        assert told is not None
        assert (told.state, told.tries, told.next_at, told.ended_at) == (State.DROPPED, 0, None, clock())
    got = await only(outbox, message_id=old.message_id)
    assert (got.status, got.reason) == (S.EXPIRED, R.TOO_OLD)


async def test_an_answer_that_nobody_waits_for_is_sent_to_nobody(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    [made] = (await ask(outbox, "v1", clock)).messages
    job = await claim_job(outbox)
    assert await outbox.cancel(ports.Query(), "ann") == 1
    assert await outbox.resolve(job, answered(more=(draft(clock, "+9", source=message.Source.API),), code="200"))
    assert await statuses(outbox) == ["cancelled"]
    told = await content(outbox, made.message_id)
    assert told is not None
    assert (told.state, told.tries, told.code) == (State.DROPPED, 1, "200")
    assert await claim_jobs(outbox) == ()


async def test_many_that_nobody_waits_for_hide_nothing(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await asyncio.gather(*(ask(outbox, f"v{number}", clock) for number in range(600)))
    assert await outbox.cancel(ports.Query(), "ann") == 600
    clock.advance(SECOND)
    await ask(outbox, "due", clock)
    assert (await claim_job(outbox)).visit.id == "due"
    assert (await outbox.claim_content(hosts={}, free={"": 9}, lease=MINUTE)).next_at == clock() + MINUTE


async def test_a_retry_asks_anew(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    [made] = (await ask(outbox, "v1", clock, waiting(clock, once=True))).messages
    assert await outbox.postpone(await claim_job(outbox), TIMEOUT, clock())
    assert await outbox.resolve(await claim_job(outbox), unanswered(S.HELD, code="503", detail="down", excerpt="x"))
    clock.advance(10 * HOUR)
    assert await stores.again(outbox, ports.Query(message_id=made.message_id), "ann") == 1
    got = await only(outbox)
    assert (got.status, got.reason, got.due_at, got.expires_at) == (S.WAITING, None, clock(), clock() + 24 * HOUR)
    assert await content(outbox, made.message_id) == ports.ContentStory(
        state=State.OPEN, tries=0, next_at=clock(), ended_at=None, reason=None, code="", detail="", excerpt=""
    )
    job = await claim_job(outbox)
    assert job.tries == 0
    assert await outbox.resolve(job, answered())
    assert await statuses(outbox) == ["scheduled"]
    [lease] = await stores.claim(outbox, 1, MINUTE)
    assert await outbox.settle(lease, ports.Decision(status=S.FAILED))
    assert await stores.again(outbox, ports.Query(), "ann") == 1
    assert await statuses(outbox) == ["scheduled"]  # it has its text
    assert await claim_jobs(outbox) == ()


async def test_a_retry_brings_a_postponed_job_forward(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    one, _ = (await ask(outbox, "v1", clock, waiting(clock, "+1"), waiting(clock, "+2"))).messages
    await outbox.cancel(ports.Query(message_id=one.message_id), "ann")
    assert await outbox.postpone(await claim_job(outbox), TIMEOUT, clock() + HOUR)
    await stores.again(outbox, ports.Query(message_id=one.message_id), "ann")
    job = await claim_job(outbox)
    assert job.tries == 0
    await outbox.resolve(job, answered())
    assert await statuses(outbox) == ["scheduled", "scheduled"]


async def test_a_retry_where_there_never_was_a_job(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    held = waiting(clock, status=S.HELD, reason=R.BAD_ARGUMENT)
    [made] = (await outbox.admit(activation("v1", clock, node="orders"), [held])).messages
    assert await content(outbox, made.message_id) is None
    assert await stores.again(outbox, ports.Query(), "ann") == 1
    found = await outbox.claim_content(hosts={"orders": "shop"}, free={"shop": 1}, lease=MINUTE)
    assert await outbox.resolve(found.jobs[0], answered())
    assert await statuses(outbox) == ["scheduled"]


async def test_a_retry_while_the_source_is_being_asked_has_that_answer(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    one, _ = (await ask(outbox, "v1", clock, waiting(clock, "+1"), waiting(clock, "+2"))).messages
    await outbox.cancel(ports.Query(message_id=one.message_id), "ann")
    job = await claim_job(outbox)
    await stores.again(outbox, ports.Query(message_id=one.message_id), "ann")
    assert await claim_jobs(outbox) == ()
    assert await outbox.resolve(job, answered())
    assert await statuses(outbox) == ["scheduled", "scheduled"]


async def test_a_retry_after_the_lease_ran_out_asks_anew(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    one, two = (await ask(outbox, "v1", clock, waiting(clock, "+1"), waiting(clock, "+2"))).messages
    await outbox.cancel(ports.Query(message_id=one.message_id), "ann")
    for _ in range(9):
        await claim_job(outbox)
        clock.advance(MINUTE)
    lost = await claim_job(outbox)
    clock.advance(MINUTE)  # one more claim, and it would be held
    await stores.again(outbox, ports.Query(message_id=one.message_id), "ann")
    told = await content(outbox, two.message_id)
    assert told is not None
    assert (told.state, told.next_at) == (State.OPEN, clock())
    assert not await outbox.resolve(lost, answered())
    assert await outbox.resolve(await claim_job(outbox), answered())
    assert await statuses(outbox) == ["scheduled", "scheduled"]


async def test_a_second_answer_changes_no_text_and_doubles_nobody(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    one, _ = (await ask(outbox, "v1", clock, waiting(clock, "+1"), waiting(clock, "+2"))).messages
    await outbox.cancel(ports.Query(message_id=one.message_id), "ann")
    more = tuple(draft(clock, name, source=message.Source.API, text="first") for name in ("+1", "+3"))
    assert await outbox.resolve(await claim_job(outbox), answered("first", more=more))
    await stores.again(outbox, ports.Query(message_id=one.message_id), "ann")
    more = tuple(draft(clock, name, source=message.Source.API, text="second") for name in ("+2", "+3", "+4"))
    assert await outbox.resolve(await claim_job(outbox), answered("second", more=more))
    found = await outbox.history(ports.Query())
    assert sorted((one.recipient, one.text) for one in found) == [
        ("+1", "second"),
        ("+2", "first"),
        ("+3", "first"),
        ("+4", "second"),
    ]
