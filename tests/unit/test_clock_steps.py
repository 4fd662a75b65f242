"""How the gateway notices that the clock was set, and what summer time does to texts and delays: nothing unexpected."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import structlog

from agi_sms import clock, clock_steps, node, plan
from tests.unit import visits

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize("step", [DAY, -DAY, 10 * SECOND, -10 * SECOND, timedelta(days=20_000)])
def test_a_clock_that_was_set_is_told_once(step: timedelta) -> None:
    steps = clock_steps.Steps(NOW, 7 * SECOND)
    assert steps.look(NOW + 5 * SECOND, 12 * SECOND) is None
    assert steps.look(NOW + step + 10 * SECOND, 17 * SECOND) == step
    assert steps.look(NOW + step + 15 * SECOND, 22 * SECOND) is None
    assert steps.look(NOW + 20 * SECOND, 27 * SECOND) == -step


def test_a_clock_that_is_only_slow_and_a_machine_that_slept_are_not_told_of() -> None:
    steps = clock_steps.Steps(NOW, 7 * SECOND)
    assert steps.look(NOW + 14 * SECOND, 12 * SECOND) is None
    assert steps.look(NOW + 14 * SECOND + DAY, 12 * SECOND + DAY) is None


async def test_each_step_is_told_with_what_it_means() -> None:
    clocks = [NOW + at * SECOND for at in (0, 5, 10, 86_415, 86_420, 25)]
    passed = [at * SECOND for at in (100, 105, 110, 115, 120, 125)]

    def now() -> datetime:
        if not clocks:
            raise asyncio.CancelledError
        return clocks.pop(0)

    with structlog.testing.capture_logs() as lines, pytest.raises(asyncio.CancelledError):
        await clock_steps.watch(now, lambda: passed.pop(0), every=0)
    assert lines == [
        {
            "event": "the clock was set forward",
            "log_level": "warning",
            "seconds": 86_400,
            "meaning": clock_steps.FORWARD,
        },
        {"event": "the clock was set back", "log_level": "warning", "seconds": -86_400, "meaning": clock_steps.BACK},
    ]


async def test_the_machines_own_clock_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what no other clock than that of the start tells."""
    shown = iter([NOW, NOW + timedelta(hours=1)])
    monkeypatch.setattr(clock, "now", lambda: next(shown))
    with structlog.testing.capture_logs() as lines, pytest.raises(RuntimeError):  # of the third look
        await clock_steps.watch(every=0)
    assert [line["event"] for line in lines] == ["the clock was set forward"]
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= clock_steps.elapsed().total_seconds() <= time.clock_gettime(time.CLOCK_BOOTTIME) + 1e-6


# --- summer time: Warsaw's clocks go from 2:00 to 3:00 on 2026-03-29, and from 3:00 to 2:00 on 2026-10-25 ---------

WARSAW = ZoneInfo("Europe/Warsaw")


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), "2026-03-29 01:59"),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "2026-03-29 03:00"),
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "2026-10-25 02:30"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "2026-10-25 02:30"),
        (datetime(2026, 10, 25, 2, 0, tzinfo=UTC), "2026-10-25 03:00"),
    ],
)
@pytest.mark.parametrize("delay", [timedelta(0), timedelta(minutes=90), DAY])
def test_the_hour_is_of_the_place_and_a_delay_is_time_that_passes(at: datetime, shown: str, delay: timedelta) -> None:
    source = "{{ now }} {{ now.strftime('%H:%M') }}"
    to = (node.Recipient(number=visits.MOBILE),)
    target = visits.make_node(source, time_zone=WARSAW, delay=delay, recipients=to)
    [draft] = plan.plan(visits.make_visit(arrived_at=at), target, visits.PL).drafts
    assert draft.text == f"{shown} {shown[-5:]}"
    assert draft.due_at == at + delay
