"""What every outbox does with the limits of nodes: so many within any span of that length."""

from datetime import timedelta

import pytest

from agi_sms import message, node, ports
from tests.contract import stores
from tests.contract.stores import MINUTE, SECOND, activation, draft

R = message.Reason


async def sent(store: stores.Store, outbox: ports.Outbox, *limits: node.Limit) -> bool:
    """Whether one more message of the node is not capped."""
    visit = str(len(await outbox.history(ports.Query())))
    made = await outbox.admit(activation(visit, store.clock), [draft(store.clock)], limits)
    return made.messages[0].reason is not R.CAPPED


@pytest.mark.parametrize("per", ["recipient", "node"])
@pytest.mark.parametrize("begin", [0, 1, 5, 8, 9])
async def test_a_window_has_no_edge(outbox_factory: stores.Store, outbox: ports.Outbox, per: str, begin: int) -> None:
    """Wherever on the clock it begins."""
    limit = node.Limit(per=per, most=1, window=10 * SECOND)
    outbox_factory.clock.advance(begin * SECOND)
    assert await sent(outbox_factory, outbox, limit)
    for _ in range(9):
        outbox_factory.clock.advance(SECOND)
        assert not await sent(outbox_factory, outbox, limit)
    outbox_factory.clock.advance(SECOND)
    assert await sent(outbox_factory, outbox, limit)


@pytest.mark.parametrize("window", [timedelta(milliseconds=400), SECOND, 7 * MINUTE, timedelta(days=1)])
async def test_never_more_in_any_span_but_for_a_slice(
    outbox_factory: stores.Store, outbox: ports.Outbox, window: timedelta
) -> None:
    limit, clock = node.Limit(per="node", most=3, window=window), outbox_factory.clock
    times = []
    for step in range(60):
        clock.advance(window * (0.11 + step % 7 / 50))
        if await sent(outbox_factory, outbox, limit):
            times.append(clock())
    assert len(times) > 9
    for first, fourth in zip(times, times[3:], strict=False):
        assert fourth - first >= window * 0.995


async def test_what_is_over_does_not_count(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    limits = node.Limit(per="node", most=2, window=MINUTE), node.Limit(per="recipient", most=1, window=10 * SECOND)
    found = []
    for _ in range(14):
        found.append(await sent(outbox_factory, outbox, *limits))
        outbox_factory.clock.advance(5 * SECOND)
    assert [at for at, one in enumerate(found) if one] == [0, 2, 12]


async def test_a_clock_that_was_ahead_blocks_nobody(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    limit, clock = node.Limit(per="node", most=1, window=MINUTE), outbox_factory.clock
    clock.advance(timedelta(days=365))
    assert await sent(outbox_factory, outbox, limit)
    clock.advance(timedelta(days=-365))
    assert await sent(outbox_factory, outbox, limit)
    assert not await sent(outbox_factory, outbox, limit)
