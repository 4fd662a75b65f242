"""How often a message is asked about."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agi_sms import errors, metrics, polling, ports
from agi_sms.message import Status

SENT = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVERY = st.timedeltas(timedelta(seconds=5), timedelta(days=1))


def rounds(every: timedelta, span: timedelta) -> list[timedelta]:
    """At which ages it is asked about, where there is a round every `every`."""
    found, last, now = [], SENT, SENT
    while now - SENT <= span:
        if polling.owed(SENT, last, now, every):
            found.append(now - SENT)
        last, now = now, now + every
    return found


def test_ten_times_at_full_pace_then_ever_less() -> None:
    asked = rounds(MINUTE, timedelta(hours=48))
    assert asked[:10] == [n * MINUTE for n in range(1, 11)]
    assert asked[10:16] == [n * MINUTE for n in (11, 13, 14, 15, 17, 18)]  # whenever its age has grown by a tenth
    assert 50 <= len(asked) <= 80  # and not 2,880
    assert all(after - before <= after / 10 + 2 * MINUTE for before, after in itertools.pairwise(asked))


def test_at_the_start_about_everything() -> None:
    assert polling.owed(SENT, None, SENT, MINUTE)
    assert polling.owed(SENT, None, SENT + timedelta(days=3), MINUTE)


def test_a_new_one_is_not_asked_about_at_once() -> None:
    assert not polling.owed(SENT, SENT - MINUTE, SENT + MINUTE / 2, MINUTE)
    assert polling.owed(SENT, SENT - MINUTE, SENT + MINUTE, MINUTE)


@given(every=EVERY, ages=st.lists(st.timedeltas(timedelta(0), timedelta(days=30)), min_size=2, max_size=9))
def test_no_matter_when_the_rounds_are_none_is_forgotten(every: timedelta, ages: list[timedelta]) -> None:
    """Between two rounds it is owed once or not at all, and it is owed in one of them if it is in both together."""
    first, *between, end = sorted(ages)
    whole = polling.owed(SENT, SENT + first, SENT + end, every)
    steps = [first, *between, end]
    parts = [polling.owed(SENT, SENT + before, SENT + after, every) for before, after in itertools.pairwise(steps)]
    assert any(parts) == whole


@given(every=EVERY, back=st.timedeltas(timedelta(microseconds=1), timedelta(days=400)))
def test_after_a_clock_was_set_back_it_is_asked_about(every: timedelta, back: timedelta) -> None:
    assert polling.owed(SENT, SENT - back, SENT - back, every)


def test_the_tenth_time_is_still_at_full_pace() -> None:
    assert polling.owed(SENT, SENT + 9 * MINUTE, SENT + 10 * MINUTE, MINUTE)
    assert not polling.owed(SENT, SENT + 10 * MINUTE, SENT + 10.9 * MINUTE, MINUTE)
    assert polling.owed(SENT, SENT + 10 * MINUTE, SENT + 11 * MINUTE, MINUTE)


# --- what is said of a provider, and counted ------------------------------------------------------------------------


@dataclass
class Desk:
    """A provider that says what stands in `says`, question by question, and an outbox in which `waiting` wait."""

    name: str
    says: list[ports.Told | errors.OutboxError]
    waiting: int = 1
    goes: int = 1
    pace: ports.Pace | None = field(default_factory=lambda: ports.Pace(every=MINUTE, most=1))
    rests: list[float] = field(default_factory=list)
    taken: list[tuple[str, int]] = field(default_factory=list)
    polls: tuple[float, float] = (0, 0)  # in vain, answered: as they are counted

    async def ask(self, awaited: Sequence[ports.Awaited]) -> ports.Told:
        said = self.says.pop(0)
        if isinstance(said, errors.OutboxError):
            raise said
        return said

    async def awaited(self, provider: str, *, most: int, after: ports.Awaited | None) -> Sequence[ports.Awaited]:
        assert (provider, most) == (self.name, polling.PAGE)
        first = 0 if after is None else int(after.ref) + 1
        return [
            ports.Awaited(ref=str(n), provider_ids=(f"p{n}",), since=SENT, until=SENT)
            for n in range(first, self.waiting)
        ]

    async def take(self, provider: str, found: Sequence[ports.Receipt]) -> None:
        self.taken.append((provider, len(found)))

    async def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        if len(self.rests) == self.goes:
            raise asyncio.CancelledError

    def now(self) -> datetime:
        return SENT + timedelta(seconds=sum(self.rests))

    def _counted(self) -> list[float]:
        results = ("in vain", "answered")
        return [metrics.POLLS.labels(provider=self.name, result=result)._value.get() for result in results]

    async def kept_asking(self) -> list[dict[str, Any]]:
        """What is logged."""
        asker = polling.Polling(outbox=cast(ports.Outbox, self), take=self.take, clock=self.now, rest=self.rest)
        before = self._counted()
        with capture_logs() as logged, pytest.raises(asyncio.CancelledError):
            await asker.keep_asking(cast(ports.Polled, self))
        vain, answered = (after - now for after, now in zip(self._counted(), before, strict=True))
        self.polls = (vain, answered)
        return [dict(line) for line in logged]


DOWN, NOTHING = ports.Told(fault="HTTP 500"), ports.Told()
GOOD = ports.Told(receipts=(ports.Receipt(provider_id="p0", ref="", state=Status.DELIVERED, raw="{}"),))


async def test_one_that_does_not_answer_and_then_does() -> None:
    desk = Desk("silent-1", [DOWN, DOWN, DOWN, GOOD, GOOD], goes=5)
    logged = await desk.kept_asking()
    assert logged == [
        {
            "event": "a provider does not say what became of messages", "log_level": "warning",
            "provider": "silent-1", "error": "HTTP 500", "times": 1,
        },
        {"event": "a provider says again what became of messages", "log_level": "info", "provider": "silent-1"},
    ]  # fmt: skip
    assert desk.rests == [60, 120, 240, 60, 60]
    assert desk.taken == [("silent-1", 1)] * 2
    assert desk.polls == (3, 2)


async def test_an_answer_with_a_fault_is_no_silence() -> None:
    desk = Desk("half-1", [ports.Told(receipts=GOOD.receipts, fault="cut off")] * 2, goes=2)
    (line,) = await desk.kept_asking()
    assert (line["event"], line["error"]) == ("a provider does not say what became of messages", "cut off")
    assert desk.rests == [60, 60]
    assert desk.polls == (0, 2)


async def test_three_answers_that_tell_nothing_are_told_of() -> None:
    desk = Desk("odd-1", [NOTHING] * 3, waiting=3)
    assert await desk.kept_asking() == [
        {
            "event": "a provider says nothing of the messages that it was asked about", "log_level": "warning",
            "provider": "odd-1", "error": "does polling.answer look where the company writes it?", "times": 1,
        }
    ]  # fmt: skip
    assert await Desk("odd-2", [NOTHING] * 2, waiting=2).kept_asking() == []
    assert await Desk("odd-3", [GOOD, NOTHING, NOTHING], waiting=3).kept_asking() == []
    assert await Desk("odd-4", [NOTHING, GOOD, NOTHING], waiting=3).kept_asking() == []


async def test_what_cannot_be_kept_is_told_of_and_asked_for_later() -> None:
    desk = Desk("full-1", [errors.OutboxBusy("a backup"), errors.OutboxBusy("a backup"), GOOD], goes=3)
    logged = await desk.kept_asking()
    assert logged == [
        {
            "event": "what a provider told of messages is not kept; it is asked again", "log_level": "warning",
            "provider": "full-1", "error": "a backup", "times": 1,
        },
        {"event": "a provider says again what became of messages", "log_level": "info", "provider": "full-1"},
    ]  # fmt: skip
    assert desk.rests == [60, 120, 60]
    assert desk.polls == (2, 1)


async def test_who_is_asked_about_nothing_is_neither_silent_nor_well() -> None:
    desk = Desk("idle-1", [], waiting=0, goes=2)
    assert await desk.kept_asking() == []
    assert desk.rests == [60, 60]
    assert desk.polls == (0, 0)


async def test_two_of_three_in_vain_and_one_answer_is_no_silence() -> None:
    desk = Desk("some-1", [DOWN, GOOD, DOWN], waiting=3)
    await desk.kept_asking()
    assert desk.rests == [60]
    assert desk.polls == (0, 1)


async def test_what_was_asked_about_in_one_round_is_asked_again_when_its_time_has_come() -> None:
    desk = Desk("pace-1", [NOTHING] * 9, goes=3, pace=ports.Pace(every=2 * MINUTE, most=1))
    await desk.kept_asking()
    assert desk.rests == [120.0] * 3
    assert len(desk.says) == 9 - 3


def test_news_of_one_that_is_not_ours_hides_no_other() -> None:
    asked = [ports.Awaited(ref="m1", provider_ids=("p1",), since=SENT, until=SENT)]

    def receipt(provider_id: str, state: Status) -> ports.Receipt:
        return ports.Receipt(provider_id=provider_id, ref="", state=state, raw="")

    found = polling._news(
        asked, [receipt("else", Status.DELIVERED), receipt("p1", Status.ACCEPTED), receipt("p1", Status.DELIVERED)]
    )
    assert [(one.provider_id, one.ref, one.state) for one in found] == [("", "m1", Status.DELIVERED)]
