"""What every outbox does with a message that waits for the customer's system to name its recipient."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agi_sms import message, node, ports
from tests.contract import stores
from tests.contract.stores import (
    HOUR,
    MINUTE,
    activation,
    answered,
    ask,
    claim_job,
    claim_jobs,
    draft,
    statuses,
    unanswered,
    waiting,
)

S = message.Status
R = message.Reason
State = ports.ContentState


def nameless(clock: Any, **changed: Any) -> message.Draft:
    return waiting(clock, "", source=message.Source.API, **changed)


def named(clock: Any, recipient: str, **changed: Any) -> message.Draft:
    return draft(clock, recipient, **{"source": message.Source.API, "text": "It rains", **changed})


async def rows(outbox: ports.Outbox) -> list[tuple[str, str, message.Reason | None, str | None]]:
    return sorted((m.recipient, str(m.status), m.reason, m.text) for m in await outbox.history(ports.Query()))


async def test_the_first_who_is_named_takes_its_place(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    [made] = (await ask(outbox, "v1", clock, nameless(clock))).messages
    more = (named(clock, "+1"), named(clock, "+2", status=S.SKIPPED, reason=R.RECIPIENT_INVALID), named(clock, "+1"))
    assert await outbox.resolve(await claim_job(outbox), answered("It rains", more=more))
    assert await rows(outbox) == [
        ("+1", "scheduled", None, "It rains"),
        ("+2", "skipped", R.RECIPIENT_INVALID, "It rains"),
    ]
    story = await outbox.story(made.message_id)
    assert story is not None
    assert story.message.recipient == "+1"
    [lease] = await stores.claim(outbox, 9, MINUTE)
    assert lease.message.id == made.message_id
    [found] = await outbox.history(ports.Query(number="+1"))
    assert found.id == made.message_id


async def test_others_who_wait_need_no_place(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await ask(outbox, "v1", clock, waiting(clock, "+1"))
    assert await outbox.resolve(await claim_job(outbox), answered("It rains", more=(named(clock, "+2"),)))
    assert [row[:2] for row in await rows(outbox)] == [("+1", "scheduled"), ("+2", "scheduled")]


@pytest.mark.parametrize(
    ("resolution", "status", "reason"),
    [
        (answered(), S.SKIPPED, R.NO_RECIPIENT),
        (answered(state=State.FALLBACK, reason=R.CONTENT_TIMEOUT), S.HELD, R.CONTENT_TIMEOUT),
        (unanswered(S.HELD, reason=R.CONTENT_TIMEOUT), S.HELD, R.CONTENT_TIMEOUT),
        (unanswered(S.SKIPPED, reason=R.DECLINED), S.SKIPPED, R.DECLINED),
    ],
)
async def test_where_nobody_is_named_it_is_never_sent(
    outbox_factory: stores.Store,
    outbox: ports.Outbox,
    resolution: ports.Resolution,
    status: message.Status,
    reason: message.Reason,
) -> None:
    clock = outbox_factory.clock
    await ask(outbox, "v1", clock, nameless(clock))
    assert await outbox.resolve(await claim_job(outbox), resolution)
    assert await rows(outbox) == [("", str(status), reason, None)]
    assert await stores.claim(outbox, 9, MINUTE) == []


async def test_a_person_has_the_question_repeated(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await ask(outbox, "v1", clock, nameless(clock))
    assert await outbox.resolve(await claim_job(outbox), unanswered(S.HELD, reason=R.CONTENT_TIMEOUT))
    clock.advance(30 * HOUR)  # beyond its age
    assert await stores.again(outbox, ports.Query(), "ann") == 1
    job = await claim_job(outbox)
    arrived = job.visit.arrived_at
    late = named(clock, "+1", due_at=arrived, expires_at=arrived + 24 * HOUR)
    assert await outbox.resolve(job, answered("It rains", due_at=arrived + 5 * MINUTE, more=(late,)))
    [lease] = await stores.claim(outbox, 9, MINUTE)
    assert lease.message.recipient == "+1"


async def test_what_a_person_retries_is_not_too_old_for_a_delay_of_the_answers(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    await ask(outbox, "v1", clock)
    assert await outbox.resolve(await claim_job(outbox), unanswered(S.HELD, reason=R.CONTENT_TIMEOUT))
    clock.advance(30 * HOUR)
    assert await stores.again(outbox, ports.Query(), "ann") == 1
    job = await claim_job(outbox)
    assert await outbox.resolve(job, answered(due_at=job.visit.arrived_at + 5 * MINUTE))
    assert len(await stores.claim(outbox, 9, MINUTE)) == 1


async def test_one_per_call_counts_for_whom_the_answer_names(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    for visit in ("v1", "v2"):
        await ask(outbox, visit, clock, nameless(clock, once=True), key="c1")
        more = (named(clock, "+1", once=True), named(clock, "+2" if visit == "v1" else "+3", once=True))
        assert await outbox.resolve(await claim_job(outbox), answered("It rains", more=more))
    assert sorted((row[0], row[1]) for row in await rows(outbox)) == [
        ("+1", "scheduled"),
        ("+1", "skipped"),
        ("+2", "scheduled"),
        ("+3", "scheduled"),
    ]


async def test_limits_count_who_gets_it_and_not_who_waits(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    limits = (node.Limit(per="recipient", most=1, window=24 * HOUR),)
    for number in range(3):
        made = replace(activation(f"v{number}", clock), fetch_at=clock())
        await outbox.admit(made, (nameless(clock),), limits)
        job = await claim_job(outbox)
        assert await outbox.resolve(job, answered("It rains", more=(named(clock, "+1"),)), limits)
    assert sorted(row[1] for row in await rows(outbox)) == ["scheduled", "skipped", "skipped"]


async def test_the_same_visit_is_told_the_same_when_the_name_is_known(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    first = await ask(outbox, "v1", clock, nameless(clock))
    more = (named(clock, "+1"), named(clock, "+2"))
    assert await outbox.resolve(await claim_job(outbox), answered("It rains", more=more))
    again = await ask(outbox, "v1", clock, nameless(clock))
    assert (first.count, again.count, again.new) == (1, 1, False)
    assert [m.message_id for m in again.messages] == [m.message_id for m in first.messages]
    assert await claim_jobs(outbox) == ()
    assert await statuses(outbox) == ["scheduled", "scheduled"]


async def test_a_cancelled_one_is_not_asked_for(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await ask(outbox, "v1", clock, nameless(clock), at=clock() + timedelta(hours=1))
    assert await outbox.cancel(ports.Query(), "ann") == 1
    clock.advance(HOUR)
    assert await claim_jobs(outbox) == ()
