"""What every outbox does with what messages cost."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from agi_sms import message, ports
from tests.contract import stores
from tests.contract.stores import (
    DECISIONS,
    HOUR,
    MINUTE,
    SECOND,
    activation,
    admit,
    attempted,
    claim_one,
    draft,
    receipt,
    story,
)

S = message.Status
EUR = message.Cost(micros=40_000, currency="EUR")


async def test_an_attempt_has_its_cost(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    [made] = await admit(outbox, "v1", clock)
    for given, more, kept in (
        (EUR, None, EUR),
        (None, None, None),
        (EUR, message.Cost(micros=50_001, currency="PLN"), message.Cost(micros=50_001, currency="PLN")),
        (None, EUR, EUR),
    ):
        lease = await claim_one(outbox)
        attempt = await outbox.begin(lease, "main", cost=given)
        assert attempt is not None
        assert await outbox.finish(lease, attempt, message.Retry(), ports.Decision(status=S.SCHEDULED), cost=more)
        assert (await story(outbox, made.message_id)).attempts[-1].cost == kept
    assert await outbox.totals(ports.Query(), UTC) == []  # nothing was taken


async def test_totals_count_what_was_taken(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    start = clock()

    async def send(
        node: str, outcome: message.Outcome, said: S | None, cost: message.Cost | None, times: int = 1
    ) -> None:
        visit = str(len(await outbox.history(ports.Query())))
        await outbox.admit(activation(visit, clock, node=node), [draft(clock, segments=2)])
        for _ in range(times):
            lease = await claim_one(outbox)
            attempt = await outbox.begin(lease, "main", cost=cost)
            assert attempt is not None
            assert await outbox.finish(lease, attempt, outcome, DECISIONS[type(outcome)])
            if said is not None:
                await outbox.receive("main", [receipt("", said, ref=lease.message.id, code=visit)])

    await send("a", message.Accepted(), None, EUR)
    await send("a", message.Accepted(), S.FAILED, EUR)  # billed all the same
    await send("a", message.Rejected(), None, EUR)
    await send("a", message.Uncertain(), None, EUR)  # nobody knows
    await send("a", message.Uncertain(), S.DELIVERED, EUR)
    await send("a", message.Uncertain(), S.FAILED, EUR)
    await send("a", message.Accepted(), None, None)
    await send("b", message.Accepted(), None, message.Cost(micros=10**12 + 1, currency="PLN"))
    clock.advance(12 * HOUR)
    await send("b", message.Retry(), S.DELIVERED, EUR)
    today, tomorrow = date(2026, 1, 15), date(2026, 1, 16)
    expected = [
        ("a", today, "", 1, 2, 0),
        ("a", today, "EUR", 4, 8, 160_000),
        ("b", today, "PLN", 1, 2, 10**12 + 1),
        ("b", tomorrow, "EUR", 1, 2, 40_000),
    ]

    async def totals(zone: str = "UTC", **conditions: object) -> list[tuple[object, ...]]:
        query = ports.Query(**conditions)  # type: ignore[arg-type]
        found = await outbox.totals(query, ZoneInfo(zone))
        return [(one.node, one.day, one.currency, one.messages, one.segments, one.cost) for one in found]

    assert await totals() == expected
    assert await totals(node="a") == expected[:2]
    assert await totals(until=start + MINUTE) == expected[:3]
    assert await totals(status=S.SKIPPED) == []
    assert await totals(limit=1) == expected
    west = sorted((node, today, *rest) for node, _, *rest in expected)
    assert await totals("America/New_York") == west  # there it is all one day


async def test_a_message_taken_twice_costs_twice(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    for outcome, said in ((message.Accepted(), S.FAILED), (message.Accepted(), S.DELIVERED)):
        lease = await claim_one(outbox)
        attempt = await outbox.begin(lease, "main", cost=EUR)
        assert attempt is not None
        assert await outbox.finish(lease, attempt, outcome, DECISIONS[message.Accepted])
        await outbox.receive("main", [receipt("", said, ref=lease.message.id)])
        await stores.again(outbox, ports.Query(), "ann")
    [total] = await outbox.totals(ports.Query(), UTC)
    assert (total.messages, total.segments, total.cost) == (1, 2, 80_000)
    [one] = await outbox.history(ports.Query())
    assert one.costs == (message.Cost(micros=80_000, currency="EUR"),)


async def test_a_message_has_a_cost_in_each_currency(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await admit(outbox, "v1", outbox_factory.clock)
    assert (await stores.only(outbox)).costs == ()
    zloty = message.Cost(micros=7, currency="PLN")
    for outcome, cost in (
        (message.Retry(), EUR),
        (message.Accepted(), EUR),
        (message.Accepted(), zloty),
        (message.Accepted(), None),
    ):
        lease = await claim_one(outbox)
        attempt = await outbox.begin(lease, "main", cost=cost)
        assert attempt is not None
        assert await outbox.finish(lease, attempt, outcome, DECISIONS[type(outcome)])
        await outbox.receive("main", [receipt("", S.FAILED, ref=lease.message.id)])
        await stores.again(outbox, ports.Query(), "ann")
    assert (await stores.only(outbox)).costs == (EUR, zloty)


async def test_what_a_crash_left_in_doubt_costs_once_it_is_known_to_be_taken(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    await admit(outbox, "v1", outbox_factory.clock)
    lease = await claim_one(outbox)
    assert await outbox.begin(lease, "main", cost=EUR)
    await outbox.close()
    outbox = await outbox_factory.open()
    await outbox.recover()
    [total] = await outbox.totals(ports.Query(), UTC)
    assert (total.messages, total.cost, total.doubted, total.cost_doubted) == (0, 0, 1, 40_000)
    await outbox.receive("main", [receipt(ref=lease.message.id)])
    [total] = await outbox.totals(ports.Query(), UTC)
    assert (total.segments, total.cost, total.currency) == (1, 40_000, "EUR")
    await outbox.close()


@pytest.mark.parametrize("zone", ["Europe/Warsaw", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"])
async def test_days_end_at_midnight_of_their_zone(
    outbox_factory: stores.Store, outbox: ports.Outbox, zone: str
) -> None:
    """Also on the days on which the clocks change, and where offsets are of half and quarter hours."""
    clock = outbox_factory.clock
    days: dict[date, int] = {}
    at = datetime(2026, 3, 28, tzinfo=UTC)
    last = datetime(2026, 4, 6, tzinfo=UTC)
    while at < last:
        clock.now = at
        await admit(outbox, at.isoformat(), clock)
        await attempted(outbox, message.Accepted())
        day = at.astimezone(ZoneInfo(zone)).date()
        days[day] = days.get(day, 0) + 1
        midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), ZoneInfo(zone)).astimezone(UTC)
        at = midnight - SECOND / 100 if at < midnight - SECOND else midnight if at < midnight else at + 7 * HOUR
    found = await outbox.totals(ports.Query(), ZoneInfo(zone))
    assert {one.day: one.messages for one in found} == days
