"""Claim, ask, record: over the real outbox, with content sources that answer by a script."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import structlog

from agi_sms import breaker, delivery, errors, fetching, message, node, ports, retry
from agi_sms import text as texts
from agi_sms.message import Reason, Status
from agi_sms.node import OnError
from agi_sms.ports import ContentState
from agi_sms.testing import FakeProvider, FakeSource
from tests.contract import stores
from tests.contract.fetches import (
    BANK,
    DEADLINE,
    HOUR,
    MINUTE,
    MOBILE,
    NOW,
    OTHER,
    REFUSED,
    SECOND,
    SHOP,
    TIMEOUT,
    Rig,
    asking,
    events,
    make_node,
    requests,
    rig,
)
from tests.contract.sends import held, until

__all__ = ["rig"]


# --- the usual way ----------------------------------------------------------------------------------------------


async def test_what_a_call_waits_for_is_asked_and_written(rig: Rig) -> None:
    answered = requests("answered")
    source = FakeSource(SHOP, script=[ports.Answer(text="Zażółć", code="200", excerpt="Zażółć")])
    rig.start(source)
    one = await rig.arrive(caller="004915112345678", trunk="berlin")
    written = await rig.comes_to(one, Status.SCHEDULED)
    assert (written.text, written.reason, written.due_at) == ("Zażółć", None, NOW)
    assert (written.encoding, written.segments) == (message.Encoding.UCS2, 1)
    [question] = source.questions
    assert question.activation_id == written.activation_id
    assert (question.visit.call.caller, question.rules.region, question.test) == ("004915112345678", "DE", False)
    content = (await rig.story(one)).content
    assert content is not None
    assert (content.state, content.tries, content.code) == (ContentState.ANSWERED, 1, "200")
    await until(lambda: rig.woken == 1)
    assert requests("answered") == answered + 1


async def test_a_log_line_tells_of_which_call_and_not_what_was_said(rig: Rig) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        rig.start(FakeSource(SHOP, script=[ports.Answer(text="Zażółć", excerpt="Zażółć", fields="Zażółć")]))
        written = await rig.comes_to(await rig.arrive(caller=OTHER), Status.SCHEDULED)
        await until(lambda: bool(events(lines, "text fetched")))
    [line] = events(lines, "text fetched")
    assert (line["node"], line["call_id"], line["tries"]) == ("desk", written.call_id, 1)
    assert "Zażółć" not in str(lines)
    assert OTHER not in str(lines)


async def test_everybody_of_a_call_gets_the_one_answer(rig: Rig) -> None:
    both = (node.Recipient(number=MOBILE), node.Recipient(number=OTHER))
    rig.book.nodes["desk"] = make_node(recipients=both, delay=5 * MINUTE)
    source = FakeSource(SHOP)
    rig.start(source)
    one = await rig.arrive()
    await rig.comes_to(one, Status.SCHEDULED)
    rows = await rig.box.history(ports.Query())
    assert {(row.recipient, row.status, row.text, row.due_at) for row in rows} == {
        (number, Status.SCHEDULED, "Hello", NOW + 5 * MINUTE) for number in (MOBILE, OTHER)
    }
    assert len(source.questions) == 1


async def test_a_node_that_fetches_at_sending_is_not_asked_before(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(asking=asking(fetch=node.Fetch.SEND), delay=HOUR)
    rig.book.nodes["now"] = make_node("now")
    source = FakeSource(SHOP)
    rig.start(desk=source, now=source)
    later = await rig.arrive()
    rig.turn(HOUR - SECOND)
    await rig.comes_to(await rig.arrive("now"), Status.SCHEDULED)
    await rig.comes_to(later, Status.WAITING)
    rig.turn(SECOND)
    await rig.comes_to(later, Status.SCHEDULED)
    assert [question.visit.node for question in source.questions] == ["now", "desk"]


async def test_the_nodes_own_template_and_what_the_answer_may_say(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(
        template=texts.Template("{{ api.name }}, yours is {{ api.order.id }}", name="text"),
        asking=asking(allow=frozenset({node.Allowed.RECIPIENTS, node.Allowed.SENDER})),
    )
    fields = {"name": "Ala", "order": {"id": 7}}
    rig.start(FakeSource(SHOP, script=[ports.Answer(text=None, fields=fields, sender="SHOP", recipients=[OTHER])]))
    one = await rig.arrive()
    await rig.comes_to(one, Status.SCHEDULED)
    rows = await rig.box.history(ports.Query())
    assert {(row.recipient, row.sender, row.text) for row in rows} == {
        (number, "SHOP", "Ala, yours is 7") for number in (MOBILE, OTHER)
    }


async def test_the_nodes_limits_count_for_whom_the_answer_names(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(
        asking=asking(allow=frozenset({node.Allowed.RECIPIENTS})),
        limits=(node.Limit(per="node", most=1, window=HOUR),),
    )
    rig.start(FakeSource(SHOP, script=[ports.Answer(text="Hello", recipients=[OTHER])]))
    await rig.comes_to(await rig.arrive(), Status.SCHEDULED)
    rows = await rig.box.history(ports.Query())
    assert {row.recipient: (row.status, row.reason) for row in rows} == {
        MOBILE: (Status.SCHEDULED, None),
        OTHER: (Status.SKIPPED, Reason.CAPPED),
    }


async def test_an_answer_that_wants_no_sms_is_no_trouble(rig: Rig, logged: list[Any]) -> None:
    rig.book.nodes["desk"] = make_node(asking=asking(allow=frozenset({node.Allowed.SEND})))
    rig.start(FakeSource(SHOP, script=[ports.Answer(text=None, send=False)]))
    skipped = await rig.comes_to(await rig.arrive(), Status.SKIPPED)
    assert skipped.reason is Reason.DECLINED
    await until(lambda: bool(events(logged, "the customer's system wants no SMS")))
    assert not [line for line in logged if line["log_level"] != "info"]


# --- no answer --------------------------------------------------------------------------------------------------


async def test_what_may_pass_is_asked_again_in_the_same_words(rig: Rig, logged: list[Any]) -> None:
    timeouts = requests("content_timeout")
    source = FakeSource(SHOP, script=[TIMEOUT, TIMEOUT])
    rig.start(source)
    one = await rig.arrive()
    content = await rig.tried(one, 1)
    assert (content.state, content.reason, content.next_at) == (
        ContentState.OPEN,
        Reason.CONTENT_TIMEOUT,
        NOW + SECOND,
    )
    rig.turn(SECOND)
    content = await rig.tried(one, 2)
    assert content.next_at == NOW + 3 * SECOND
    rig.turn(2 * SECOND)
    await rig.comes_to(one, Status.SCHEDULED)
    assert len(source.questions) == 3
    assert all(question == source.questions[0] for question in source.questions)
    first, _ = events(logged, "text not fetched")
    assert (first["reason"], first["detail"], first["tries"]) == (Reason.CONTENT_TIMEOUT, "no answer within 5s", 1)
    assert first["again_at"] == "2026-11-23T13:05:01+00:00"
    assert requests("content_timeout") == timeouts + 2


@pytest.mark.parametrize(
    ("on_error", "status", "text"),
    [
        (OnError.FALLBACK, Status.SCHEDULED, "We will text you"),
        (OnError.SKIP, Status.SKIPPED, None),
        (OnError.HOLD, Status.HELD, None),
    ],
)
@pytest.mark.parametrize("said", [replace(TIMEOUT, host_fault=False), REFUSED])
async def test_without_an_answer_the_node_says_what_becomes_of_it(
    rig: Rig, logged: list[Any], on_error: OnError, status: Status, text: str | None, said: ports.NoAnswer
) -> None:
    fallback = texts.Template("We will text you", name="fallback") if on_error is OnError.FALLBACK else None
    rig.book.nodes["desk"] = make_node(asking=asking(retries=1, on_error=on_error, fallback=fallback))
    source = FakeSource(SHOP, script=[said] * 9)
    rig.start(source)
    one = await rig.arrive()
    if said.again:
        await rig.tried(one, 1)
        rig.turn(HOUR)
    ended = await rig.comes_to(one, status)
    assert (ended.text, ended.reason) == (text, said.reason)
    assert len(source.questions) == (2 if said.again else 1)
    await until(lambda: any(line.get("status") == status for line in events(logged, "text not fetched")))
    assert rig.woken == (status is Status.SCHEDULED)


@pytest.mark.parametrize("error", [RuntimeError("broken plug-in"), TimeoutError(), KeyError("x")])
async def test_a_source_whose_code_breaks_is_no_answer(rig: Rig, error: Exception) -> None:
    rig.book.nodes["desk"] = make_node(asking=asking(retries=0))
    rig.start(FakeSource(SHOP, script=[error]))
    ended = await rig.comes_to(await rig.arrive(), Status.HELD)
    assert ended.reason is Reason.CONTENT_UNREACHABLE
    await rig.comes_to(await rig.arrive(), Status.SCHEDULED)


async def test_a_source_that_never_ends_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LATE", timedelta(milliseconds=50))
    rig.book.nodes["desk"] = make_node(asking=asking(retries=0))
    source = FakeSource(SHOP, timeout=timedelta(milliseconds=10))
    source.gate.clear()
    rig.start(source)
    one = await rig.arrive()
    ended = await rig.comes_to(one, Status.HELD)
    assert ended.reason is Reason.CONTENT_UNREACHABLE
    content = (await rig.story(one)).content
    assert content is not None
    assert content.detail == "the code that asks did not end in time"


# --- crashes, leases, a person ----------------------------------------------------------------------------------


async def test_after_a_crash_it_is_asked_again_and_goes_out_once(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(asking=asking(retries=0))
    source = FakeSource(SHOP)
    source.gate.clear()
    rig.start(source)
    one = await rig.arrive()
    await until(lambda: source.under_way == 1)
    await rig.crash()
    again = FakeSource(SHOP)
    provider = FakeProvider("a")
    recovered = await rig.box.recover()
    assert recovered.rescheduled == 1
    rig.sender = delivery.Delivery(
        outbox=rig.box,
        terms=lambda: delivery.Terms(providers={"a": provider}, accounts={}, policy=retry.Policy()),
        clock=rig.clock,
        jitter=lambda: 0.0,
    )
    rig.running.append(asyncio.create_task(rig.sender.run()))
    rig.start(again)
    await rig.comes_to(one, Status.ACCEPTED)
    await rig.sender.drain(timedelta(seconds=DEADLINE))
    assert again.questions == source.questions
    assert [submission.text for submission in provider.submissions] == ["Hello"]


async def test_an_answer_after_the_lease_ran_out_changes_nothing(rig: Rig, logged: list[Any]) -> None:
    source = FakeSource(SHOP, script=[ports.Answer(text="first"), ports.Answer(text="second")])
    source.gate.clear()
    rig.start(source)
    one = await rig.arrive()
    await until(lambda: source.under_way == 1)
    rig.turn(source.timeout + fetching.MARGIN)
    await until(lambda: source.under_way == 2)
    source.gate.set()
    await rig.comes_to(one, Status.SCHEDULED)
    await until(lambda: len([line for line in logged if line["event"].startswith("the lease had run out")]) == 1)
    content = (await rig.story(one)).content
    assert content is not None
    assert content.tries == 1
    assert len(await rig.box.history(ports.Query())) == 1


async def test_what_a_person_cancels_is_not_brought_back_by_an_answer(rig: Rig) -> None:
    source = FakeSource(SHOP)
    source.gate.clear()
    rig.start(desk=source, bank=FakeSource(BANK))
    one = await rig.arrive()
    await until(lambda: source.under_way == 1)
    assert await rig.box.cancel(ports.Query(message_id=one), "ann") == 1
    source.gate.set()
    await rig.stands(one, lambda story: story.content is not None and story.content.state is ContentState.DROPPED)
    await rig.comes_to(one, Status.CANCELLED)


async def test_what_a_person_retries_is_asked_again(rig: Rig) -> None:
    rig.start(FakeSource(SHOP, script=[REFUSED]))
    one = await rig.arrive()
    await rig.comes_to(one, Status.HELD)
    assert await stores.again(rig.box, ports.Query(message_id=one), "ann") == 1
    rig.turn(timedelta(0))
    await rig.comes_to(one, Status.SCHEDULED)


# --- the outbox is away -----------------------------------------------------------------------------------------


async def test_an_answer_is_recorded_however_long_the_outbox_is_away(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource(SHOP)
    source.gate.clear()
    rig.start(source)
    one = await rig.arrive()
    await until(lambda: source.under_way == 1)
    refused: list[Exception] = []
    resolve = rig.box.resolve

    async def noting(*args: Any) -> bool:
        try:
            return await resolve(*args)
        except errors.OutboxError as error:
            refused.append(error)
            raise

    monkeypatch.setattr(rig.box, "resolve", noting)
    with held(rig.path):
        source.gate.set()
        await until(lambda: len(refused) >= 2)
    await rig.comes_to(one, Status.SCHEDULED)
    assert len(source.questions) == 1


async def test_it_says_once_that_the_outbox_is_away_and_once_that_it_is_back(rig: Rig, logged: list[Any]) -> None:
    one = await rig.arrive()
    with held(rig.path):
        rig.start(FakeSource(SHOP))
        await until(lambda: bool(events(logged, fetching.WORDS.pauses)))
    await rig.comes_to(one, Status.SCHEDULED)
    assert len(events(logged, fetching.WORDS.pauses)) == 1
    assert len(events(logged, fetching.WORDS.goes_on)) == 1


async def test_a_bug_keeps_no_place_and_harms_no_other(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    rig.concurrency = 1

    def broken(*_: Any) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(breaker.Breaker, "asks", broken)
    rig.start(FakeSource(SHOP))
    one = await rig.arrive()
    await until(lambda: bool(events(logged, fetching.WORDS.bug)))
    monkeypatch.undo()
    await rig.comes_to(await rig.arrive(), Status.SCHEDULED)
    await rig.comes_to(one, Status.WAITING)
    rig.turn(5 * SECOND + fetching.MARGIN)
    await rig.comes_to(one, Status.SCHEDULED)


# --- drain ------------------------------------------------------------------------------------------------------


async def test_drain_lets_what_is_being_asked_end(rig: Rig) -> None:
    source = FakeSource(SHOP)
    source.gate.clear()
    fetcher = rig.start(source)
    one = await rig.arrive()
    await until(lambda: source.under_way == 1)
    draining = asyncio.create_task(fetcher.drain(timedelta(seconds=DEADLINE)))
    await asyncio.sleep(0)
    two = await rig.arrive()
    source.gate.set()
    assert await draining == 0
    await rig.comes_to(one, Status.SCHEDULED)
    await asyncio.wait_for(asyncio.shield(rig.running[0]), DEADLINE)
    await rig.comes_to(two, Status.WAITING)
    assert len(source.questions) == 1


async def test_drain_gives_up_and_the_next_start_asks_again(rig: Rig) -> None:
    source = FakeSource(SHOP)
    source.gate.clear()
    fetcher = rig.start(source)
    one = await rig.arrive()
    await until(lambda: source.under_way == 1)
    assert await fetcher.drain(timedelta(milliseconds=10)) == 1
    await rig.crash()
    assert (await rig.box.recover()).rescheduled == 1
    rig.start(FakeSource(SHOP))
    await rig.comes_to(one, Status.SCHEDULED)


async def test_what_is_claimed_while_draining_begins_is_given_back(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, claimed = asyncio.Event(), asyncio.Event()
    claim = rig.box.claim_content

    async def slowly(**values: Any) -> ports.JobRound:
        found = await claim(**values)
        if found.jobs:
            claimed.set()
            await gate.wait()
        return found

    monkeypatch.setattr(rig.box, "claim_content", slowly)
    source = FakeSource(SHOP)
    fetcher = rig.start(source)
    one = await rig.arrive()
    await asyncio.wait_for(claimed.wait(), DEADLINE)
    assert await fetcher.drain(timedelta(seconds=DEADLINE)) == 0
    gate.set()
    await asyncio.wait_for(asyncio.shield(rig.running[0]), DEADLINE)
    assert source.questions == []
    content = (await rig.story(one)).content
    assert content is not None
    assert (content.state, content.tries, content.next_at) == (ContentState.OPEN, 0, NOW)
    assert len((await claim(hosts={}, free={"": 1}, lease=MINUTE)).jobs) == 1
