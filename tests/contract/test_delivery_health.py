"""Providers that take nothing are left alone; what waits for one keeps nobody else's from going out."""

import asyncio
from datetime import datetime, timedelta

import pytest
import structlog
from structlog.testing import capture_logs

from agi_sms import delivery, message, ports
from agi_sms.message import Reason, Status
from agi_sms.prices import Prices
from agi_sms.rates import Rate
from agi_sms.testing import FakeProvider
from tests.contract.sends import BREAK, HOUR, MINUTE, Rig, Slow, rig, until

__all__ = ["rig"]

DOWN = message.ProviderDown(code="connect", detail="refused")


# --- places -----------------------------------------------------------------------------------------------------


async def test_a_provider_that_hangs_uses_up_its_own_places_only(rig: Rig) -> None:
    stuck, fine = Slow("stuck"), FakeProvider("a")
    stuck.gate.clear()
    rig.accounts = {"stuck": delivery.Account(concurrency=2)}
    rig.start(stuck, fine)
    many = await rig.add(40, route=("stuck", "a"))
    [one] = await rig.add()
    await rig.comes_to(one, Status.ACCEPTED)
    await until(lambda: stuck.now == 2)
    stuck.gate.set()
    for other in many:
        await rig.comes_to(other, Status.ACCEPTED)
    assert stuck.most == 2
    assert len(stuck.submissions) == 40


async def test_a_rate_holds_over_a_restart(rig: Rig) -> None:
    provider = FakeProvider("a")
    rig.accounts = {"a": delivery.Account(rate=Rate(most=3, window=HOUR))}
    rig.start(provider)
    many = await rig.add(5)
    await until(lambda: len(provider.submissions) == 3)
    await rig.stop()
    again = FakeProvider("a")
    rig.start(again)
    rig.turn(59 * MINUTE)
    for one in many[3:]:
        await rig.comes_to(one, Status.SCHEDULED, attempts=0)
    assert again.submissions == []
    rig.turn(MINUTE)
    await until(lambda: len(again.submissions) == 2)


async def test_what_a_message_costs_is_written_with_the_attempt(rig: Rig) -> None:
    rig.accounts = {"a": delivery.Account(prices=Prices(currency="EUR", default=40_000, regions={"PL": 30_000}))}
    rig.start(FakeProvider("a"))
    [one] = await rig.add(segments=2)
    await rig.comes_to(one, Status.ACCEPTED)
    assert (await rig.story(one)).attempts[0].cost == message.Cost(micros=60_000, currency="EUR")


async def test_a_receipt_is_due_where_the_provider_sends_any(rig: Rig) -> None:
    rig.accounts = {"a": delivery.Account(receipt_timeout=2 * HOUR)}
    rig.start(FakeProvider("a"), FakeProvider("b"))
    [one] = await rig.add()
    [two] = await rig.add(route=("b",))
    taken, _ = await rig.comes_to(one, Status.ACCEPTED)
    assert taken.receipt_due_at == rig.clock.now + 2 * HOUR
    assert (await rig.comes_to(two, Status.ACCEPTED))[0].receipt_due_at is None


# --- health -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [DOWN, message.Uncertain(code="timeout")])
async def test_after_faults_in_a_row_nobody_asks_it_and_the_others_take_over(rig: Rig, fault: message.Outcome) -> None:
    structlog.reset_defaults()
    rig.break_after = 3
    a, b = FakeProvider("a", script=[fault] * 3), FakeProvider("b")
    rig.accounts = {"a": delivery.Account(concurrency=1)}
    with capture_logs() as lines:
        rig.start(a, b)
        first = await rig.add(3, route=("a", "b") if fault is DOWN else ("a",))
        await until(lambda: len(a.submissions) == 3)
        rest = await rig.add(30, route=("a", "b"))
        for one in rest:
            _, tried = await rig.comes_to(one, Status.ACCEPTED)
            assert tried == [("b", "accepted")]
        assert len(a.submissions) == 3
        for one in first:
            await rig.comes_to(one, Status.ACCEPTED if fault is DOWN else Status.UNCERTAIN)
        rig.turn(BREAK)
        [probe] = await rig.add()
        await rig.comes_to(probe, Status.ACCEPTED)
    events = [line["event"] for line in lines]
    assert events.count("provider left alone") == 1
    assert events.count("provider answers again") == 1


async def test_what_only_it_can_send_waits_and_one_probe_goes(rig: Rig) -> None:
    rig.break_after = 1
    a = Slow("a", script=[DOWN, DOWN])
    rig.accounts = {"a": delivery.Account(concurrency=1)}
    rig.start(a)
    many = await rig.add(10)
    await until(lambda: len(a.submissions) == 1)
    many += await rig.add(1)
    for one in many[1:]:
        await until_due(rig, one, rig.clock.now + BREAK)
    rig.accounts = {"a": delivery.Account(concurrency=10)}
    rig.turn(BREAK)
    await until(lambda: len(a.submissions) == 2)  # the probe, which fails as well
    waiting = [one for one in many if (await rig.story(one)).attempts == ()]
    assert len(waiting) == 10
    for one in waiting:
        await until_due(rig, one, rig.clock.now + BREAK)
    assert a.most == 1
    rig.turn(2 * MINUTE)
    for one in many:
        await rig.comes_to(one, Status.ACCEPTED)


async def until_due(rig: Rig, message_id: str, at: datetime) -> None:
    """Wait until the message is put off to that time, without an attempt."""
    async with asyncio.timeout(20):
        while (story := await rig.story(message_id)).message.due_at != at:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert (story.message.status, story.attempts) == (Status.SCHEDULED, ())


async def test_a_used_up_rate_keeps_nothing_with_a_provider_that_is_left_alone(rig: Rig) -> None:
    rig.break_after = 2
    a, b = FakeProvider("a", script=[DOWN] * 9), FakeProvider("b")
    rig.accounts = {"a": delivery.Account(concurrency=1, rate=Rate(most=2, window=24 * HOUR))}
    rig.start(a, b)
    many = await rig.add(10, route=("a", "b"))
    for one in many:
        await rig.comes_to(one, Status.ACCEPTED)
    assert len(a.submissions) == 2


async def test_a_provider_that_a_reload_replaced_is_not_left_alone_for_the_old_ones_faults(rig: Rig) -> None:
    rig.break_after = 1
    rig.start(FakeProvider("a", script=[DOWN] * 9))
    [one] = await rig.add()
    await rig.comes_to(one, Status.SCHEDULED, attempts=1)
    mended = FakeProvider("a")
    rig.providers["a"] = mended
    rig.turn(MINUTE)
    await rig.comes_to(one, Status.ACCEPTED)
    [two] = await rig.add()
    await rig.comes_to(two, Status.ACCEPTED)


async def test_our_own_pace_is_no_fault_of_a_provider(rig: Rig) -> None:
    rig.break_after = 1
    a = FakeProvider("a", script=[message.ProviderDown(code=delivery.BUSY)])
    rig.start(a)
    [one] = await rig.add()
    await rig.comes_to(one, Status.SCHEDULED, attempts=1)
    [two] = await rig.add()
    await rig.comes_to(two, Status.ACCEPTED)


async def test_no_failover_after_a_doubt_unless_the_operator_says_so(rig: Rig) -> None:
    b = FakeProvider("b")
    rig.start(FakeProvider("a", script=[message.Uncertain()]), b)
    [one] = await rig.add(route=("a", "b"))
    doubtful, tried = await rig.comes_to(one, Status.UNCERTAIN)
    rig.turn(6 * MINUTE)
    await rig.comes_to(one, Status.HELD, attempts=1)
    assert (doubtful.provider, tried) == ("a", [("a", "uncertain")])
    assert b.submissions == []


async def test_failover_after_a_doubt_where_the_operator_says_so(rig: Rig) -> None:
    doubting = FakeProvider("a", script=[message.Uncertain()], on_uncertain=ports.OnUncertain.FAILOVER)
    rig.start(doubting, FakeProvider("b"))
    [one] = await rig.add(route=("a", "b"))
    sent, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert tried == [("a", "uncertain"), ("b", "accepted")]
    assert sent.provider == "b"
    refusing = FakeProvider("b", script=[message.Rejected()])
    rig.providers["b"] = refusing
    doubting._script = iter([message.Uncertain()])
    [two] = await rig.add(route=("a", "b"))
    held, _ = await rig.comes_to(two, Status.HELD, attempts=2)
    assert held.reason is Reason.UNANSWERED


@pytest.mark.parametrize("back", [HOUR, 24 * HOUR])
async def test_a_clock_that_is_set_back_leaves_nobody_alone_for_longer(rig: Rig, back: timedelta) -> None:
    rig.break_after = 3
    rig.start(FakeProvider("a", script=[DOWN] * 3), FakeProvider("b"))
    with capture_logs() as lines:
        for one in await rig.add(3, route=("a", "b")):
            await rig.comes_to(one, Status.ACCEPTED)
    assert "provider left alone" in [line["event"] for line in lines]
    rig.turn(-back)
    [one] = await rig.add()
    assert (await rig.comes_to(one, Status.ACCEPTED))[1] == [("a", "accepted")]
