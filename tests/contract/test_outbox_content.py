"""What every outbox does with content jobs: messages that wait for a text, and whoever asks for it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from agi_sms import message, node, ports
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


# --- from the call to the text ---------------------------------------------------------------------------------


async def test_from_the_call_to_the_text(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    stored = replace(activation("v1", clock, variables={"ORDER": "ą7"}), fetch_at=clock())
    skipped = draft(clock, "", status=S.SKIPPED, reason=R.CALLER_WITHHELD, text=None)
    admission = await outbox.admit(stored, [waiting(clock, "+1", due_at=clock() + HOUR), waiting(clock, "+2"), skipped])
    assert admission.count == 2
    assert [one.status for one in admission.messages] == [S.WAITING, S.WAITING, S.SKIPPED]
    name = admission.messages[0].message_id
    assert (await only(outbox, message_id=name)).text is None
    assert await content(outbox, name) == ports.ContentStory(
        state=State.OPEN, tries=0, next_at=clock(), ended_at=None, reason=None, code="", detail="", excerpt=""
    )

    found = await outbox.claim_content(hosts={}, free={"": 5}, lease=MINUTE)
    [job] = found.jobs
    assert (job.activation_id, job.visit, job.tries) == ("act-pbx1-v1", stored.visit, 0)
    assert found.next_at == clock() + MINUTE  # so that a lapsed lease is seen to
    assert await claim_jobs(outbox) == ()
    assert await stores.next_due(outbox) is None
    clock.advance(SECOND)
    text = "Zażółć, \ud800 & \U0001f600 " * 60
    resolution = answered(text, encoding=message.Encoding.UCS2, segments=3, code="200", excerpt="ę\udfff" * 2000)
    assert await outbox.resolve(job, resolution)
    assert not await outbox.resolve(job, answered("another"))

    for one, due in zip(admission.messages, (HOUR - SECOND, -SECOND), strict=False):
        got = await only(outbox, message_id=one.message_id)
        assert (got.status, got.reason, got.sender) == (S.SCHEDULED, None, "Acme")
        assert got.text == text.replace("\ud800", "?")  # the whole of it
        assert (got.encoding, got.segments) == (message.Encoding.UCS2, 3)
        assert (got.due_at, got.expires_at) == (clock() + due, clock() + due + 24 * HOUR)
    assert (await only(outbox, status=S.SKIPPED)).text is None
    assert await content(outbox, name) == ports.ContentStory(
        state=State.ANSWERED,
        tries=1,
        next_at=None,
        ended_at=clock(),
        reason=None,
        code="200",
        detail="",
        excerpt="ę?" * 1000,
    )
    assert await outbox.claim_content(hosts={}, free={"": 5}, lease=MINUTE) == ports.JobRound()
    [lease] = await stores.claim(outbox, 9, MINUTE)
    assert lease.message.recipient == "+2"


async def test_who_is_asked_for_nothing_has_no_job(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await ask(outbox, "first", clock, waiting(clock, once=True), key="call")
    first = await claim_job(outbox)
    await ask(outbox, "duplicate", clock, waiting(clock, once=True), key="call")
    await ask(outbox, "held", clock, waiting(clock, status=S.HELD, reason=R.BAD_ARGUMENT))
    await ask(outbox, "nobody", clock, draft(clock, status=S.SKIPPED, reason=R.LANDLINE))
    capped = replace(activation("capped", clock), fetch_at=clock())
    await outbox.admit(capped, [waiting(clock)], [node.Limit(per="node", most=0, window=HOUR)])
    await outbox.admit(activation("of its own", clock), [draft(clock)])
    again = await ask(outbox, "first", clock, waiting(clock))
    assert not again.new
    assert [one.status for one in again.messages] == [S.WAITING]
    assert await claim_jobs(outbox) == ()
    assert {one.activation_id for one in await outbox.history(ports.Query()) if await content(outbox, one.id)} == {
        first.activation_id
    }
    assert await outbox.resolve(first, answered())
    assert (await ask(outbox, "first", clock)).messages == again.messages  # what was told then
    assert await claim_jobs(outbox) == ()


async def test_the_answer_may_change_sender_and_time(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    late = clock() + 3 * HOUR
    await ask(outbox, "v1", clock, waiting(clock, expires_at=clock() + HOUR))
    assert await outbox.resolve(await claim_job(outbox), answered(sender="Shop\ud800", due_at=late))
    got = await only(outbox)
    assert (got.status, got.sender, got.due_at, got.expires_at) == (S.SCHEDULED, "Shop?", late, late + HOUR)
    assert await stores.next_due(outbox) == late


async def test_skipped_gives_the_one_per_call_back_and_held_does_not(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock

    async def visit(name: str, status: S) -> message.Reason | None:
        [got] = (await ask(outbox, name, clock, waiting(clock, once=True), key="call")).messages
        if got.status is S.WAITING:
            assert await outbox.resolve(await claim_job(outbox), unanswered(status))
        return got.reason

    assert await visit("v1", S.SKIPPED) is None
    assert await visit("v2", S.HELD) is None
    assert await visit("v3", S.SKIPPED) is R.DUPLICATE_IN_CALL
    found = await outbox.history(ports.Query())
    assert [(one.status, one.reason, one.text) for one in reversed(found)] == [
        (S.SKIPPED, R.CONTENT_TIMEOUT, None),
        (S.HELD, R.CONTENT_TIMEOUT, None),
        (S.SKIPPED, R.DUPLICATE_IN_CALL, None),
    ]


async def test_recipients_that_the_answer_names(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    start = clock()
    limits = [node.Limit(per="node", most=4, window=HOUR)]
    admission = await outbox.admit(
        replace(activation("v1", clock, key="call"), fetch_at=clock()),
        [waiting(clock, "+1", once=True), draft(clock, "+2", status=S.SKIPPED, reason=R.LANDLINE)],
        limits,
    )
    await outbox.admit(activation("v2", clock, key="call"), [draft(clock, "+3", once=True)], limits)
    clock.advance(MINUTE)
    more = [
        draft(clock, recipient, once=True, source=message.Source.API, text="Ready\udfff", sender="Shop\ud800")
        for recipient in ("+1", "+2", "+3", "+4", "+4", "+5", "+6")
    ]
    wrong = draft(clock, "x\ud800", source=message.Source.API, status=S.SKIPPED, reason=R.RECIPIENT_INVALID, text=None)
    assert await outbox.resolve(await claim_job(outbox), answered("Ready", more=(*more, wrong)), limits)
    found = await outbox.history(ports.Query(call_id="call-call"))
    named = [(one.recipient, one.status, one.reason) for one in reversed(found) if one.source is message.Source.API]
    assert named == [
        ("+3", S.SKIPPED, R.DUPLICATE_IN_CALL),
        ("+4", S.SCHEDULED, None),
        ("+5", S.SCHEDULED, None),
        ("+6", S.SKIPPED, R.CAPPED),
        ("x?", S.SKIPPED, R.RECIPIENT_INVALID),
    ]
    assert {(one.sender, one.text) for one in found if one.recipient in ("+4", "+5")} == {("Shop?", "Ready?")}
    assert {one.created_at for one in found} == {start}
    again = await ask(outbox, "v1", clock)
    assert again.messages == admission.messages  # the dialplan is told the same both times
    assert again.count == 1


# --- whose turn it is ------------------------------------------------------------------------------------------


async def test_each_host_has_its_places_and_the_longest_due_goes_first(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    hosts = {"a": "shop", "b": "shop", "c": "bank"}
    late = [("a", 9), ("b", 8), ("a", 7), ("b", 6), ("c", 1), ("c", -1), ("gone", 5), ("a", -2)]
    for number, (name, seconds) in enumerate(late):
        await ask(outbox, f"v{number}", clock, node=name, at=clock() - seconds * SECOND)

    async def claim(**free: int) -> tuple[str, timedelta | None]:
        places = {"" if name == "nobody" else name: count for name, count in free.items()}
        found = await outbox.claim_content(hosts=hosts, free=places, lease=HOUR)
        next_in = None if found.next_at is None else found.next_at - clock()
        return "".join(job.visit.id[1:] for job in found.jobs), next_in

    assert await claim() == ("", None)
    assert await claim(shop=0, bank=-1, elsewhere=5) == ("", None)
    assert await claim(shop=3) == ("012", None)  # its places are taken: nothing to come for
    assert await claim(nobody=3, bank=1) == ("64", HOUR)
    assert await claim(bank=1) == ("", SECOND)
    assert await claim(shop=3, bank=1) == ("3", SECOND)  # of both hosts the sooner
    clock.advance(SECOND)
    assert await claim(bank=1) == ("5", None)
    assert await claim(shop=1) == ("", SECOND)
    clock.advance(2 * SECOND)
    assert await claim(shop=1, nobody=1) == ("7", HOUR - 3 * SECOND)


async def test_postponed(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    [made] = (await ask(outbox, "v1", clock)).messages
    soon = clock() + 30 * SECOND
    no_answer = ports.NoAnswer(
        reason=R.CONTENT_REFUSED, code="503", detail="later\ud800" * 100, excerpt="<h1>" + "x" * 3000
    )
    assert await outbox.postpone(await claim_job(outbox), no_answer, soon)
    assert await statuses(outbox) == ["waiting"]
    assert await content(outbox, made.message_id) == ports.ContentStory(
        state=State.OPEN,
        tries=1,
        next_at=soon,
        ended_at=None,
        reason=R.CONTENT_REFUSED,
        code="503",
        detail=("later?" * 100)[:500],
        excerpt="<h1>" + "x" * 1996,
    )
    assert await outbox.claim_content(hosts={}, free={"": 5}, lease=MINUTE) == ports.JobRound(next_at=soon)
    clock.advance(30 * SECOND)
    job = await claim_job(outbox)
    assert job.tries == 1
    assert await outbox.resolve(job, answered())
    told = await content(outbox, made.message_id)
    assert told is not None
    assert (told.state, told.tries, told.reason, told.code) == (State.ANSWERED, 2, None, "")


async def test_released_as_if_never_claimed(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await ask(outbox, "v2", clock, at=clock() + SECOND)
    [made] = (await ask(outbox, "v1", clock)).messages
    before = await content(outbox, made.message_id)
    clock.advance(SECOND)
    for _ in range(25):  # no poison
        first, second = await claim_jobs(outbox)
        assert (first.visit.id, second.visit.id, first.tries) == ("v1", "v2", 0)  # as long due as before
        assert await outbox.release(first)
        assert await outbox.release(second)
        assert not await outbox.release(first)
    assert await content(outbox, made.message_id) == before


@pytest.mark.parametrize("end", ["resolve", "postpone", "release", "claim"])
async def test_a_late_worker_changes_nothing(outbox_factory: stores.Store, outbox: ports.Outbox, end: str) -> None:
    clock = outbox_factory.clock
    [made] = (await ask(outbox, "v1", clock)).messages
    late = await claim_job(outbox)

    async def nothing_changes(job: ports.Job) -> None:
        before = await outbox.story(made.message_id)
        more = (draft(clock, "+9"),)
        assert not await outbox.resolve(job, answered("late", more=more))
        assert not await outbox.postpone(job, TIMEOUT, clock())
        assert not await outbox.release(job)
        assert await outbox.story(made.message_id) == before

    clock.advance(MINUTE)
    await nothing_changes(late)  # though nobody else has it yet
    job = await claim_job(outbox)
    assert job.token != late.token
    await nothing_changes(late)
    if end == "resolve":
        assert await outbox.resolve(job, answered())
    elif end == "postpone":
        assert await outbox.postpone(job, TIMEOUT, clock() + MINUTE)
    elif end == "release":
        assert await outbox.release(job)
    if end != "claim":
        await nothing_changes(job)
    await nothing_changes(late)


# --- crashes and races -----------------------------------------------------------------------------------------


async def test_a_job_that_kills_the_process_does_not_do_so_for_ever(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    await ask(outbox, "v1", clock, waiting(clock, "+1"), waiting(clock, "+2"))
    await ask(outbox, "v2", clock)
    for _ in range(10):
        jobs = {job.visit.id: job for job in await claim_jobs(outbox)}
        assert await outbox.postpone(jobs["v2"], TIMEOUT, clock())  # an end, so it counts from the start
        clock.advance(MINUTE)
    [other] = await claim_jobs(outbox)
    assert other.visit.id == "v2"
    held = await outbox.history(ports.Query(status=S.HELD))
    assert [(one.recipient, one.reason) for one in held] == [("+2", R.POISON), ("+1", R.POISON)]
    told = await content(outbox, held[0].id)
    assert told is not None
    assert (told.state, told.tries, told.reason) == (State.HELD, 0, R.POISON)
    assert await stores.again(outbox, ports.Query(message_id=held[0].id), "ann") == 1
    assert (await claim_job(outbox)).visit.id == "v1"


async def test_recovery_asks_again_what_an_earlier_run_asked(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    for number in range(3):
        await ask(outbox, f"v{number}", clock, at=clock() - number * SECOND)
    earlier = await outbox_factory.open()
    lost = await claim_jobs(earlier, 2, HOUR)
    await earlier.close()
    [mine] = await claim_jobs(outbox, 1, HOUR)
    assert mine.visit.id == "v0"
    assert await outbox.recover() == ports.Recovery(rescheduled=2, uncertain=0)
    assert await outbox.recover() == ports.Recovery(rescheduled=0, uncertain=0)
    assert not await outbox.resolve(lost[0], answered())
    again = await claim_jobs(outbox)
    assert [job.activation_id for job in again] == [job.activation_id for job in lost]
    assert await outbox.resolve(mine, answered())


async def test_recovery_of_many(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await asyncio.gather(*(ask(outbox, f"v{number}", clock) for number in range(600)))
    earlier = await outbox_factory.open()
    while await claim_jobs(earlier, 600, HOUR):
        pass
    await earlier.close()
    assert await outbox.recover() == ports.Recovery(rescheduled=600, uncertain=0)
    assert len(await claim_jobs(outbox, 100)) == 100


async def test_two_never_claim_the_same(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    other = await outbox_factory.open()
    for number in range(60):
        await ask(outbox, f"v{number}", clock)

    async def claim_all(one: ports.Outbox) -> list[str]:
        taken: list[str] = []
        while jobs := await claim_jobs(one, 3, HOUR):
            taken += [job.activation_id for job in jobs]
        return taken

    mine, theirs = await asyncio.gather(claim_all(outbox), claim_all(other))
    assert len(mine + theirs) == len({*mine, *theirs}) == 60
    await other.close()


async def test_a_claim_that_is_given_up_gives_back(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await ask(outbox, "v1", outbox_factory.clock)
    for _ in range(12):  # nor is it poison
        claiming = asyncio.ensure_future(claim_jobs(outbox, lease=HOUR))
        await asyncio.sleep(0)
        claiming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claiming
    async with asyncio.timeout(stores.PATIENT):
        while not (jobs := await claim_jobs(outbox, lease=HOUR)):
            await outbox.history(ports.Query(limit=1))
    assert await outbox.resolve(jobs[0], answered())
