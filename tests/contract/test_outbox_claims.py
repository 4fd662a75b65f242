"""What every outbox does when it is asked for messages provider by provider: places, rates, and who goes where."""

import asyncio
import tempfile
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agi_sms import message, ports, testing
from agi_sms.rates import Rate
from tests.contract import stores
from tests.contract.stores import DECISIONS, HOUR, MINUTE, SECOND, admit, attempted, begun, claim_one, only, statuses

S = message.Status
R = message.Reason


async def taken(
    outbox: ports.Outbox,
    free: Mapping[str, int],
    known: Collection[str] | None = None,
    rates: Mapping[str, Rate] | None = None,
    lease: timedelta = MINUTE,
) -> tuple[list[str], datetime | None]:
    """The visits whose messages are claimed, and when to come again."""
    found = await outbox.claim(free=free, known=known, rates=rates or {}, lease=lease)
    return [one.message.call_id.removeprefix("call-") for one in found.leases], found.next_at


async def to(outbox: ports.Outbox, visit: str, clock: testing.FixedClock, *route: str, late: int = 0) -> str:
    """A message for this route, due so many seconds ago; its id."""
    [made] = await admit(outbox, visit, clock, route=route, due_at=clock() - late * SECOND)
    return made.message_id


async def test_places(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    for number in range(4):
        await to(outbox, f"a{number}", clock, "a", "b", late=20 - 2 * number)
    await to(outbox, "b0", clock, "b", late=19)
    await to(outbox, "b1", clock, "b", late=-60)
    assert await taken(outbox, {}) == ([], None)
    assert await taken(outbox, {"a": 0, "b": 0}) == ([], None)
    assert await taken(outbox, {"c": 9}) == ([], None)
    visits, next_at = await taken(outbox, {"a": 2, "b": 2}, lease=HOUR)
    assert visits == ["a0", "b0", "a1"]  # the longest due first
    assert next_at == clock() + MINUTE  # b has a place; who waits for one of a's is told when a send has ended
    visits, next_at = await taken(outbox, {"a": 9}, lease=HOUR)
    assert (visits, next_at) == (["a2", "a3"], clock() + HOUR)  # to see to leases that ran out
    clock.advance(MINUTE)
    assert await taken(outbox, {"a": 1, "b": 1}, lease=HOUR) == (["b1"], clock() - MINUTE + HOUR)


async def test_a_claim_gives_whole_leases(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    name = await to(outbox, "v1", clock, "a", "b")
    await attempted(outbox, message.Retry(), "a", due_at=clock())
    [lease] = (await outbox.claim(free={"a": 1}, lease=MINUTE)).leases
    assert (lease.message.id, lease.message.provider, lease.message.attempts) == (name, "a", 1)
    assert (lease.status_before, lease.last_provider, lease.refusals, lease.until) == (
        *(S.SCHEDULED, "a", 1),
        clock() + MINUTE,
    )
    assert (await outbox.claim(free={"a": 1}, lease=MINUTE)).leases == ()
    assert await outbox.settle(lease, lease.undone)
    assert (await taken(outbox, {"a": 1}))[0] == ["v1"]


async def test_those_that_the_configuration_no_longer_has(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    for late, (visit, route) in enumerate([("r", ()), ("g1", ("gone",)), ("a", ("a",)), ("g2", ("gone too",))], 1):
        await to(outbox, visit, clock, *route, late=late)
    assert (await taken(outbox, {"a": 9}))[0] == ["a"]
    assert (await taken(outbox, {"": 9}, ["a", "gone", "gone too", ""]))[0] == ["r"]
    assert (await taken(outbox, {"": 1}, ["a"]))[0] == ["g2"]
    assert (await taken(outbox, {"": 9, "a": 9}))[0] == ["g1"]


async def test_a_provider_without_places_is_not_taken_for_unknown(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    await to(outbox, "v1", outbox_factory.clock, "full")
    assert await taken(outbox, {"": 9}, ["full"]) == ([], None)
    assert (await taken(outbox, {"": 9}, []))[0] == ["v1"]


# --- where it goes next ------------------------------------------------------------------------------------------


async def test_the_provider_of_a_message(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    name = await to(outbox, "v1", clock, "a", "b")
    assert (await only(outbox)).provider == "a"

    async def claim(provider: str) -> ports.Lease:
        [lease] = (await outbox.claim(free={provider: 1}, lease=MINUTE)).leases
        assert (await only(outbox)).provider == provider
        return lease

    lease = await claim("a")
    await outbox.settle(lease, ports.Decision(status=S.SCHEDULED, provider="b"))  # a is down: moved at once
    lease = await claim("b")
    again = ports.Decision(status=S.SCHEDULED, due_at=clock())
    assert await outbox.finish(lease, await begun(outbox, lease, "b"), message.Retry(), again)
    lease = await claim("b")  # unchanged
    attempt = await begun(outbox, lease, "b")
    assert await outbox.finish(lease, attempt, message.ProviderDown(), ports.Decision(status=S.SCHEDULED, provider="a"))
    lease = await claim("a")
    attempt = await begun(outbox, lease, "c")  # somebody else sent it
    doubt = ports.Decision(status=S.UNCERTAIN, reason=R.UNANSWERED, due_at=clock())
    assert await outbox.finish(lease, attempt, message.Uncertain(), doubt)
    await outbox.settle(await claim("c"), ports.Decision(status=S.HELD, reason=R.UNANSWERED))
    assert (await only(outbox)).provider == "c"
    assert await stores.again(outbox, ports.Query(message_id=name), "ann") == 1
    await claim("a")  # from the beginning of its route


@pytest.mark.parametrize("restart", [False, True])
async def test_what_a_crash_leaves_in_doubt_stays_with_its_provider(
    outbox_factory: stores.Store, outbox: ports.Outbox, restart: bool
) -> None:
    clock = outbox_factory.clock
    await to(outbox, "v1", clock, "a", "b")
    await to(outbox, "v2", clock, "a", "b")
    first, second = (await outbox.claim(free={"a": 2}, lease=MINUTE)).leases
    await begun(outbox, first, "b")
    assert second.message.provider == "a"
    clock.advance(MINUTE)
    if restart:
        await outbox.close()
        outbox = await outbox_factory.open()
        await outbox.recover()
    visits = [(await taken(outbox, {name: 9}))[0] for name in "ab"]
    assert visits == [["v2"], ["v1"]]
    await outbox.close()


# --- rates -------------------------------------------------------------------------------------------------------

THREE = {"a": Rate(most=3, window=10 * SECOND)}


async def attempt_all(outbox: ports.Outbox, found: ports.ClaimRound) -> int:
    for lease in found.leases:
        attempt = await begun(outbox, lease, "a")
        assert await outbox.finish(lease, attempt, message.Accepted(), DECISIONS[message.Accepted])
    return len(found.leases)


async def test_a_rate(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    for number in range(20):
        await to(outbox, f"v{number}", clock, "a", late=30 - number)
    await to(outbox, "b", clock, "b")
    start = clock()

    async def claim() -> tuple[int, float | None, int]:
        """How many, after how many seconds again, and how many of the other provider's."""
        found = await outbox.claim(free={"a": 9, "b": 9}, rates=THREE, lease=HOUR)
        mine = ports.ClaimRound(leases=tuple(one for one in found.leases if one.message.provider == "a"))
        again = None if found.next_at is None else (found.next_at - clock()) / SECOND
        return await attempt_all(outbox, mine), again, len(found.leases) - len(mine.leases)

    assert await claim() == (3, 10, 1)
    assert await claim() == (0, 10, 0)
    clock.advance(4 * SECOND)
    assert await claim() == (0, 6, 0)
    await outbox.close()
    outbox = await outbox_factory.open()  # it holds across restarts
    assert await claim() == (0, 6, 0)
    clock.advance(6 * SECOND)
    assert clock() == start + 10 * SECOND
    [lease] = (await outbox.claim(free={"a": 1}, rates=THREE, lease=HOUR)).leases
    assert await claim() == (2, 10, 0)  # the one that is about to be sent counts
    assert await outbox.settle(lease, lease.undone)  # not sent after all
    clock.advance(3 * SECOND)
    assert await claim() == (1, 7, 0)
    clock.advance(7 * SECOND)
    assert await claim() == (2, 3, 0)  # the third was sent three seconds after
    await outbox.close()


async def test_a_rate_that_waits_for_what_is_not_due(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await to(outbox, "v0", clock, "a")
    await to(outbox, "later", clock, "a", late=-60)
    one = {"a": Rate(most=1, window=SECOND)}
    found = await outbox.claim(free={"a": 9}, rates=one, lease=HOUR)
    assert (len(found.leases), found.next_at) == (1, clock() + MINUTE)
    rare = {"a": Rate(most=1, window=2 * HOUR)}
    assert await attempt_all(outbox, found) == 1
    clock.advance(MINUTE)
    assert await taken(outbox, {"a": 9}, rates=rare) == ([], clock() - MINUTE + 2 * HOUR)
    assert (await taken(outbox, {"a": 9}, rates=one))[0] == ["later"]


async def test_a_rate_is_not_held_up_by_a_clock_that_was_wrong(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    for number in range(6):
        await to(outbox, f"v{number}", clock, "a", late=99)
    right = clock()
    clock.advance(24 * HOUR - 2 * MINUTE)
    assert await attempt_all(outbox, await outbox.claim(free={"a": 9}, rates=THREE, lease=HOUR)) == 3
    clock.now = right  # it had been a day ahead
    assert await attempt_all(outbox, await outbox.claim(free={"a": 9}, rates=THREE, lease=HOUR)) == 3


async def test_more_under_way_than_a_new_rate_allows(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    for number in range(6):
        await to(outbox, f"v{number}", clock, "a")
    assert len((await outbox.claim(free={"a": 5}, lease=HOUR)).leases) == 5
    assert await taken(outbox, {"a": 9}, rates=THREE) == ([], clock() + 10 * SECOND)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    most=st.integers(1, 3),
    seconds=st.integers(1, 4),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("claim"), st.integers(1, 4)),
            st.tuples(st.sampled_from(["begin", "give back", "finish"]), st.integers(0, 3)),
            st.tuples(st.just("wait"), st.integers(1, 30)),
        ),
        max_size=25,
    ),
)
def test_no_window_ever_has_more(most: int, seconds: int, steps: list[tuple[str, int]]) -> None:
    """Whatever is claimed, begun, given back and ended when; and what is told to wait, waits for a reason."""

    async def run(folder: str) -> None:
        store = stores.SqliteStore(Path(folder))
        outbox, clock = await store.open(), store.clock
        rates, window = {"a": Rate(most=most, window=seconds * SECOND)}, seconds * SECOND
        for number in range(30):
            await to(outbox, f"v{number}", clock, "a")
        begun_at: list[datetime] = []
        claimed: list[ports.Lease] = []
        under_way: list[tuple[ports.Lease, str]] = []
        for what, how in steps:
            if what == "wait":
                clock.advance(how * SECOND / 10)
            elif what == "claim":
                found = await outbox.claim(free={"a": how}, rates=rates, lease=HOUR)
                claimed += found.leases
                if len(found.leases) < how:
                    assert found.next_at is not None
                    full = len([at for at in begun_at if at > clock() - window]) + len(claimed) >= most
                    assert full == (found.next_at > clock())
            elif what == "begin" and claimed:
                lease = claimed.pop(how % len(claimed))
                under_way.append((lease, await begun(outbox, lease, "a")))
                begun_at.append(clock())
            elif what == "give back" and claimed:
                lease = claimed.pop(how % len(claimed))
                assert await outbox.settle(lease, lease.undone)
            elif what == "finish" and under_way:
                lease, attempt = under_way.pop(how % len(under_way))
                assert await outbox.finish(lease, attempt, message.Accepted(), DECISIONS[message.Accepted])
            for at in begun_at:
                assert sum(at - window < other <= at for other in begun_at) <= most
        await outbox.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))


# --- many, and what is tidied up -----------------------------------------------------------------------------------


async def test_many_at_once(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    await asyncio.gather(*(to(outbox, f"{p}{n}", clock, p, late=n) for n in range(300) for p in ("a", "b")))
    left = 600
    while left:
        visits, next_at = await taken(outbox, {"a": 1000, "b": 1000}, lease=HOUR)
        assert 0 < len(visits) < 260  # a short transaction
        assert {visit[0] for visit in visits} == {"a", "b"}
        left -= len(visits)
        assert next_at is not None
        assert (next_at <= clock()) == (left > 0)
    assert {one.status for one in await outbox.history(ports.Query())} == {S.SENDING}


async def test_two_never_claim_the_same(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    for number in range(60):
        await to(outbox, f"v{number}", outbox_factory.clock, "ab"[number % 2])
    other = await outbox_factory.open()

    async def claim_all(one: ports.Outbox) -> list[str]:
        mine: list[str] = []
        while found := (await taken(one, {"a": 2, "b": 1}, lease=HOUR))[0]:
            mine += found
        return mine

    first, second = await asyncio.gather(claim_all(outbox), claim_all(other))
    assert len({*first, *second}) == len(first) + len(second) == 60
    await other.close()


async def test_what_ran_out_expired_or_was_claimed_too_often(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    await to(outbox, "old", clock, "a")
    clock.advance(24 * HOUR)
    await to(outbox, "v1", clock, "a")
    for _ in range(10):
        assert (await taken(outbox, {"a": 9}))[0] == ["v1"]
        clock.advance(MINUTE)
    await to(outbox, "v2", clock, "a")
    assert (await taken(outbox, {"a": 1}))[0] == []  # the place went to v1, which is held now
    assert (await taken(outbox, {"a": 1}))[0] == ["v2"]
    assert await statuses(outbox) == ["expired", "held", "sending"]


async def test_a_claim_that_is_given_up_gives_back(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    await to(outbox, "v1", outbox_factory.clock, "a")
    claiming = asyncio.ensure_future(outbox.claim(free={"a": 1}, lease=HOUR))
    await asyncio.sleep(0)
    claiming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claiming
    async with asyncio.timeout(stores.PATIENT):
        while not (await taken(outbox, {"a": 1}))[0]:
            await outbox.history(ports.Query(limit=1))


async def test_the_claim_without_providers_takes_from_all(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    for late, provider in enumerate(("a", "b", "")):
        await to(outbox, provider or "none", clock, *([provider] if provider else []), late=late)
    assert (await claim_one(outbox)).message.call_id == "call-none"
    assert [one.message.call_id for one in await stores.claim(outbox, 9, HOUR)] == ["call-b", "call-a"]
