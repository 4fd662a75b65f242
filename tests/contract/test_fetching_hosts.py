"""Hosts are spared: so many questions at once, none to who keeps failing; and what a reload changes meanwhile."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from agi_sms import durations, ports
from agi_sms import text as texts
from agi_sms.message import Reason, Status
from agi_sms.node import OnError
from agi_sms.testing import FakeSource
from tests.contract.fetches import (
    BANK,
    BROKEN,
    REFUSED,
    SECOND,
    SHOP,
    TIMEOUT,
    Book,
    Rig,
    asking,
    events,
    left_alone,
    make_node,
    requests,
    rig,
)
from tests.contract.sends import until

__all__ = ["rig"]


class Slow(FakeSource):
    """Its answers take a few turns of the event loop; counts how many are being asked for at once."""

    now = most = 0

    async def fetch(self, question: ports.Question) -> ports.Answer | ports.NoAnswer:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(3):
            await asyncio.sleep(0)
        self.now -= 1
        return await super().fetch(question)


# --- hosts are spared -------------------------------------------------------------------------------------------


async def test_hundred_calls_do_not_run_one_host_over(rig: Rig) -> None:
    """Nodes that share a host share its places."""
    rig.concurrency = 3
    source = FakeSource(SHOP)
    source.gate.clear()
    rig.start(desk=source, shop=source)
    many = [await rig.arrive(name) for _ in range(50) for name in ("desk", "shop")]
    await until(lambda: source.under_way == 3)
    source.gate.set()
    for one in many:
        await rig.comes_to(one, Status.SCHEDULED)
    assert source.most_under_way == 3
    assert len({question.activation_id for question in source.questions}) == len(source.questions) == 100


async def test_a_slow_host_holds_up_no_other(rig: Rig) -> None:
    slow, quick = FakeSource(SHOP), FakeSource(BANK)
    slow.gate.clear()
    rig.start(desk=slow, bank=quick)
    waiting = [await rig.arrive() for _ in range(20)]
    await until(lambda: slow.under_way == rig.concurrency)
    await rig.comes_to(await rig.arrive("bank"), Status.SCHEDULED)
    assert slow.under_way == len(slow.questions) == rig.concurrency
    for one in waiting:
        await rig.comes_to(one, Status.WAITING)
    slow.gate.set()


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_host_that_keeps_failing_is_left_alone_then_asked_once(
    rig: Rig, logged: list[Any], concurrency: int
) -> None:
    rig.concurrency = concurrency
    alone, gauge = requests("left_alone"), left_alone()
    rig.book.nodes["desk"] = make_node(asking=asking(retries=2, on_error=OnError.SKIP))
    source = FakeSource(SHOP, script=[replace(BROKEN, again=False)] * 4)
    rig.start(source)
    for _ in range(3):
        await rig.comes_to(await rig.arrive(), Status.SKIPPED)
    assert left_alone() == gauge + 1
    for _ in range(5):
        one = await rig.arrive()
        skipped = await rig.comes_to(one, Status.SKIPPED)
        assert skipped.reason is Reason.CONTENT_UNREACHABLE
        content = (await rig.story(one)).content
        assert content is not None
        lasts = durations.show(rig.break_for)
        assert content.detail == f"left alone for {lasts} more after 3 faults in a row; the last: 503: no database"
    assert len(source.questions) == 3
    assert requests("left_alone") == alone + 5

    rig.turn(rig.break_for)  # one probe, which fails: another pause
    await rig.comes_to(await rig.arrive(), Status.SKIPPED)
    await rig.comes_to(await rig.arrive(), Status.SKIPPED)
    assert len(source.questions) == 4

    rig.turn(rig.break_for)  # one that is answered: all are asked again
    source.gate.clear()
    probe = await rig.arrive()
    await until(lambda: source.under_way == 1)
    one = await rig.arrive()
    await rig.comes_to(one, Status.SKIPPED)
    content = (await rig.story(one)).content
    assert content is not None
    assert "until it answers the question asked now" in content.detail
    source.gate.set()
    await rig.comes_to(probe, Status.SCHEDULED)
    await rig.comes_to(await rig.arrive(), Status.SCHEDULED)
    assert len(source.questions) == 6
    assert left_alone() == gauge

    [broke] = events(logged, "content host left alone")
    assert (broke["host"], broke["faults"], broke["seconds"]) == (SHOP, 3, 30.0)
    [back] = events(logged, "content host answers again")
    assert (back["host"], back["faults"], back["not_asked"]) == (SHOP, 4, 7)


async def test_while_it_is_left_alone_nobody_waits_for_those_who_asked_before(rig: Rig) -> None:
    rig.concurrency, rig.break_after = 2, 1
    rig.book.nodes["desk"] = make_node(asking=asking(retries=0))
    source = FakeSource(SHOP, script=[BROKEN])
    broken = FakeSource(SHOP, script=[BROKEN])
    source.gate.clear()
    rig.start(desk=source, shop=broken)
    one = await rig.arrive()
    await until(lambda: source.under_way == 1)
    await rig.comes_to(await rig.arrive("shop"), Status.HELD)
    for _ in range(5):
        await rig.comes_to(await rig.arrive(), Status.HELD)
    await rig.comes_to(one, Status.WAITING)
    assert source.most_under_way == 1
    source.gate.set()
    await rig.comes_to(one, Status.HELD)


async def test_a_host_that_answers_again_is_not_run_over_by_those_who_were_to_be_spared(rig: Rig) -> None:
    rig.concurrency, rig.break_after = 2, 1
    rig.book.nodes["desk"] = make_node(asking=asking(retries=0))
    source = Slow(SHOP, script=[BROKEN])
    rig.start(source)
    await rig.comes_to(await rig.arrive(), Status.HELD)
    rig.clock.advance(rig.break_for)
    for one in await asyncio.gather(*(rig.arrive() for _ in range(60))):
        await rig.stands(one, lambda story: story.message.status is not Status.WAITING)
    await rig.comes_to(await rig.arrive(), Status.SCHEDULED)
    assert 1 <= source.most <= 2


async def test_one_question_that_is_repeated_breaks_no_host_alone(rig: Rig) -> None:
    rig.break_after = 2
    rig.book.nodes["desk"] = make_node(asking=asking(retries=4))
    source = FakeSource(SHOP, script=[TIMEOUT] * 4)
    rig.start(source)
    one = await rig.arrive()
    for tries, pause in enumerate((SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND), start=1):
        await rig.tried(one, tries)
        rig.turn(pause)
    await rig.comes_to(one, Status.SCHEDULED)
    assert len(source.questions) == 5


async def test_a_question_that_is_to_be_repeated_waits_for_a_host_that_is_left_alone_meanwhile(rig: Rig) -> None:
    rig.break_after = 2
    source = FakeSource(SHOP, script=[TIMEOUT] * 2)
    rig.start(source)
    one = await rig.arrive()
    await rig.tried(one, 1)
    two = await rig.arrive()
    await rig.tried(two, 1)  # which breaks it
    rig.turn(SECOND)
    waits = await rig.tried(one, 2)
    assert waits.next_at is not None
    assert waits.next_at - rig.clock.now >= rig.break_for - SECOND
    assert waits.reason is Reason.CONTENT_UNREACHABLE
    assert (await rig.comes_to(await rig.arrive(), Status.HELD)).reason is Reason.CONTENT_UNREACHABLE
    assert len(source.questions) == 2
    rig.turn(2 * rig.break_for)
    await rig.comes_to(one, Status.SCHEDULED)
    await rig.comes_to(two, Status.SCHEDULED)


async def test_one_host_that_is_left_alone_harms_no_other(rig: Rig) -> None:
    rig.break_after = 1
    rig.book.nodes["desk"] = make_node(asking=asking(retries=0))
    broken, fine = FakeSource(SHOP, script=[BROKEN] * 9), FakeSource(BANK)
    rig.start(desk=broken, bank=fine)
    for _ in range(3):
        await rig.comes_to(await rig.arrive(), Status.HELD)
        await rig.comes_to(await rig.arrive("bank"), Status.SCHEDULED)
    assert (len(broken.questions), len(fine.questions)) == (1, 3)


async def test_what_is_not_the_hosts_fault_breaks_nothing_and_shows_that_it_lives(rig: Rig) -> None:
    rig.break_after = 2
    rig.book.nodes["desk"] = make_node(asking=asking(retries=0))
    source = FakeSource(SHOP, script=[REFUSED] * 5 + [BROKEN, REFUSED, BROKEN, REFUSED])
    rig.start(source)
    for _ in range(9):
        await rig.comes_to(await rig.arrive(), Status.HELD)
    assert len(source.questions) == 9
    await rig.comes_to(await rig.arrive(), Status.SCHEDULED)


async def test_what_was_not_sent_to_the_host_says_nothing_about_it(rig: Rig, logged: list[Any]) -> None:
    rig.break_after = 1
    rig.book.nodes["desk"] = make_node(asking=asking(retries=0))
    refused = ports.NoAnswer(reason=Reason.CONTENT_UNREACHABLE, detail="a private address")
    rig.start(FakeSource(SHOP, script=[BROKEN, refused]))
    await rig.comes_to(await rig.arrive(), Status.HELD)
    rig.turn(rig.break_for)
    await rig.comes_to(await rig.arrive(), Status.HELD)
    assert not events(logged, "content host answers again")
    await rig.comes_to(await rig.arrive(), Status.HELD)
    rig.turn(rig.break_for)  # the probe that told nothing is over by now
    await rig.comes_to(await rig.arrive(), Status.SCHEDULED)
    assert len(events(logged, "content host answers again")) == 1


# --- the configuration changes ----------------------------------------------------------------------------------


async def test_a_reload_counts_for_what_is_claimed_after_it(rig: Rig) -> None:
    first, second = FakeSource(SHOP), FakeSource(SHOP)
    first.gate.clear()
    rig.start(first)
    one = await rig.arrive()
    await until(lambda: first.under_way == 1)
    rig.sources = {"desk": second}
    two = await rig.arrive()
    await rig.comes_to(two, Status.SCHEDULED)
    await rig.comes_to(one, Status.WAITING)
    first.gate.set()
    await rig.comes_to(one, Status.SCHEDULED)
    assert (len(first.questions), len(second.questions)) == (1, 1)


async def test_an_old_source_still_counts_at_its_host(rig: Rig) -> None:
    rig.concurrency = 1
    first, second = FakeSource(SHOP), FakeSource(SHOP)
    first.gate.clear()
    rig.start(desk=first, bank=FakeSource(BANK))
    one = await rig.arrive()
    await until(lambda: first.under_way == 1)
    rig.sources["desk"] = second
    two = await rig.arrive()
    await rig.comes_to(await rig.arrive("bank"), Status.SCHEDULED)
    await rig.comes_to(two, Status.WAITING)
    assert second.questions == []
    first.gate.set()
    await rig.comes_to(one, Status.SCHEDULED)
    await rig.comes_to(two, Status.SCHEDULED)


async def test_a_node_that_is_gone_leaves_its_messages_to_a_person(rig: Rig) -> None:
    one = await rig.arrive()
    rig.book = Book()
    rig.start()
    gone = await rig.comes_to(one, Status.HELD)
    assert gone.reason is Reason.CONTENT_REMOVED


async def test_a_node_that_has_a_text_of_its_own_now_asks_nobody(rig: Rig) -> None:
    one = await rig.arrive()
    rig.book.nodes["desk"] = make_node(template=texts.Template("Hello {{ node }}", name="text"), asking=None)
    rig.start()
    written = await rig.comes_to(one, Status.SCHEDULED)
    assert written.text == "Hello desk"
    await until(lambda: rig.woken == 1)


@pytest.mark.parametrize("before", ["nobody", SHOP])
async def test_a_reload_while_a_claim_is_under_way_loses_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """What was claimed by the old configuration is asked for by the new one, at a place of its own host."""
    rig.concurrency = 1
    old, new = FakeSource(SHOP), FakeSource(BANK)
    one, two = await rig.arrive(), await rig.arrive()
    book = rig.book
    claim = rig.box.claim_content
    claims: list[ports.JobRound] = []

    async def reloading(**values: Any) -> ports.JobRound:
        claims.append(await claim(**values))
        rig.book, rig.sources = book, {"desk": new}
        return claims[-1]

    monkeypatch.setattr(rig.box, "claim_content", reloading)
    if before == "nobody":
        rig.book = Book()
        rig.start()
    else:
        rig.start(old)
    for each in (one, two):
        await rig.comes_to(each, Status.SCHEDULED)
    assert claims[0].jobs
    assert (len(old.questions), len(new.questions)) == (0, 2)
    assert new.most_under_way == 1


async def test_how_long_a_host_is_left_alone_may_change(rig: Rig) -> None:
    rig.break_after = 1
    rig.book.nodes["desk"] = make_node(asking=asking(retries=0))
    source = FakeSource(SHOP, script=[BROKEN])
    rig.start(source)
    await rig.comes_to(await rig.arrive(), Status.HELD)
    await rig.comes_to(await rig.arrive(), Status.HELD)
    rig.break_for = SECOND
    rig.turn(SECOND)
    await rig.comes_to(await rig.arrive(), Status.SCHEDULED)


async def test_a_host_that_nobody_asks_any_more_is_forgotten(rig: Rig) -> None:
    gauge = left_alone()
    rig.break_after = 1
    rig.book.nodes["desk"] = make_node(asking=asking(retries=0))
    fetcher = rig.start(FakeSource(SHOP, script=[BROKEN]))
    await rig.comes_to(await rig.arrive(), Status.HELD)
    await until(lambda: left_alone() == gauge + 1)
    rig.sources = {"desk": FakeSource(BANK)}
    await rig.comes_to(await rig.arrive(), Status.SCHEDULED)
    await until(lambda: left_alone() == gauge)
    assert list(fetcher._hosts) == [BANK]
