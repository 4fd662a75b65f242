"""Claim, attempt, record: over the real outbox, with providers that answer by a script."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import pytest

from agi_sms import delivery, errors, message, ports, retry, rounds
from agi_sms.message import Reason, Status
from agi_sms.outbox import sqlite
from agi_sms.testing import FakeProvider
from tests.contract import stores
from tests.contract.sends import DEADLINE, HOUR, MINUTE, NOW, SECOND, Rig, Slow, held, rig, until

__all__ = ["rig"]

# --- the usual way ----------------------------------------------------------------------------------------------


async def test_what_is_due_is_sent_and_recorded(rig: Rig) -> None:
    provider = FakeProvider("a")
    rig.start(provider)
    [one] = await rig.add(text="Zażółć", encoding=message.Encoding.UCS2, segments=2)
    sent, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert tried == [("a", "accepted")]
    assert sent.reason is None
    assert (await rig.story(one)).attempts[0].provider_ids == ("a-1",)
    assert provider.submissions == [
        ports.Submission(
            ref=one,
            to="+48600100000",
            sender="TeleShop",
            text="Zażółć",
            encoding=message.Encoding.UCS2,
            segments=2,
            node="desk",
            attempt=1,
        )
    ]


async def test_the_attempt_is_on_the_disk_before_its_bytes_leave(rig: Rig) -> None:
    provider = FakeProvider("a")
    provider.gate.clear()
    rig.start(provider)
    [one] = await rig.add()
    await until(lambda: len(provider.submissions) == 1)
    _, tried = await rig.comes_to(one, Status.SENDING)
    assert tried == [("a", "")]
    provider.gate.set()
    await rig.comes_to(one, Status.ACCEPTED)


async def test_nothing_goes_out_before_it_is_due(rig: Rig) -> None:
    provider = FakeProvider("a")
    rig.start(provider)
    [later] = await rig.add(due_at=NOW + HOUR, expires_at=NOW + 2 * HOUR)
    [at_once] = await rig.add()
    await rig.comes_to(at_once, Status.ACCEPTED)
    rig.turn(HOUR - SECOND)
    [second] = await rig.add()
    await rig.comes_to(second, Status.ACCEPTED)
    await rig.comes_to(later, Status.SCHEDULED, attempts=0)
    rig.turn(SECOND)
    await rig.comes_to(later, Status.ACCEPTED)


async def test_a_clock_that_goes_back_sends_nothing_twice(rig: Rig) -> None:
    provider = FakeProvider("a")
    rig.start(provider)
    [first] = await rig.add()
    await rig.comes_to(first, Status.ACCEPTED)
    rig.turn(-HOUR)
    [second] = await rig.add()
    await rig.comes_to(second, Status.ACCEPTED)
    rig.turn(3 * HOUR)
    [third] = await rig.add()
    await rig.comes_to(third, Status.ACCEPTED)
    assert [s.ref for s in provider.submissions] == [first, second, third]


async def test_no_more_at_once_than_allowed(rig: Rig) -> None:
    rig.concurrency = 3
    provider = Slow("a")
    provider.gate.clear()
    rig.start(provider)
    many = await rig.add(12)
    await until(lambda: provider.now == 3)
    for one in await rig.add(5):
        await rig.comes_to(one, Status.SCHEDULED)
    assert provider.most == 3
    provider.gate.set()
    for one in many:
        await rig.comes_to(one, Status.ACCEPTED)
    assert provider.most == 3
    await until(lambda: len(provider.submissions) == 17)
    assert len({s.ref for s in provider.submissions}) == 17


async def test_one_that_hangs_holds_up_no_other(rig: Rig) -> None:
    stuck, fine = FakeProvider("stuck"), FakeProvider("a")
    stuck.gate.clear()
    rig.start(stuck, fine)
    await rig.add(route=("stuck",))
    [one] = await rig.add()
    await rig.comes_to(one, Status.ACCEPTED)
    stuck.gate.set()


# --- what providers say -----------------------------------------------------------------------------------------


async def test_who_is_refused_by_one_is_handed_on_to_the_next(rig: Rig) -> None:
    a, b = (FakeProvider(name, script=[message.Rejected(code="13")]) for name in "ab")
    rig.start(a, b, FakeProvider("c"))
    [one] = await rig.add(route=("a", "b", "c"))
    _, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert tried == [("a", "rejected"), ("b", "rejected"), ("c", "accepted")]


async def test_where_all_refuse_each_was_asked_once(rig: Rig) -> None:
    rig.start(*(FakeProvider(name, script=[message.Rejected()]) for name in "ab"))
    [one] = await rig.add(route=("a", "b"))
    failed, tried = await rig.comes_to(one, Status.FAILED)
    assert failed.reason is Reason.REJECTED
    assert tried == [("a", "rejected"), ("b", "rejected")]


async def test_who_refused_is_not_asked_again_while_the_next_is_down(rig: Rig) -> None:
    a = FakeProvider("a", script=[message.Rejected()])
    rig.start(a, FakeProvider("b", script=[message.ProviderDown()]))
    [one] = await rig.add(route=("a", "b"))
    await rig.comes_to(one, Status.SCHEDULED, attempts=2)
    rig.turn(60 * SECOND)
    _, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert tried == [("a", "rejected"), ("b", "provider_down"), ("b", "accepted")]


async def test_what_is_refused_for_good_is_failed(rig: Rig) -> None:
    rig.start(FakeProvider("a", script=[message.Final(code="13", detail="unknown subscriber")]), FakeProvider("b"))
    [one] = await rig.add(route=("a", "b"))
    failed, tried = await rig.comes_to(one, Status.FAILED)
    assert failed.reason is Reason.REJECTED
    assert tried == [("a", "rejected")]
    [attempt] = (await rig.story(one)).attempts
    assert (attempt.code, attempt.detail) == ("13", "unknown subscriber")


@pytest.mark.parametrize("outcome", [message.Retry(code="429"), message.ProviderDown(code="refused")])
async def test_the_next_of_the_route_is_asked_at_once(rig: Rig, outcome: message.Outcome) -> None:
    rig.start(FakeProvider("a", script=[outcome]), FakeProvider("b"))
    [one] = await rig.add(route=("a", "b"))
    _, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert tried == [("a", message.OUTCOMES[type(outcome)]), ("b", "accepted")]


async def test_after_a_round_there_is_a_pause_that_grows(rig: Rig) -> None:
    provider = FakeProvider("a", script=[message.Retry(), message.Retry()])
    rig.start(provider)
    [one] = await rig.add()
    waiting, _ = await rig.comes_to(one, Status.SCHEDULED, attempts=1)
    assert waiting.due_at == NOW + 30 * SECOND
    rig.turn(30 * SECOND)
    waiting, _ = await rig.comes_to(one, Status.SCHEDULED, attempts=2)
    assert waiting.due_at == NOW + 90 * SECOND
    rig.turn(60 * SECOND)
    await rig.comes_to(one, Status.ACCEPTED, attempts=3)
    assert [s.attempt for s in provider.submissions] == [1, 2, 3]
    assert len({s.ref for s in provider.submissions}) == 1


async def test_retries_come_to_an_end(rig: Rig) -> None:
    rig.start(FakeProvider("a", script=[message.Retry()] * 9))
    [one] = await rig.add()
    for count in (1, 2):
        await rig.comes_to(one, Status.SCHEDULED, attempts=count)
        rig.turn(HOUR)
    failed, _ = await rig.comes_to(one, Status.FAILED, attempts=3)
    assert failed.reason is Reason.GAVE_UP


async def test_a_provider_that_is_down_is_waited_for_until_the_message_is_too_old(rig: Rig) -> None:
    provider = FakeProvider("a", script=[message.ProviderDown()] * 99)
    rig.start(provider)
    [one] = await rig.add(expires_at=NOW + 3 * HOUR)
    for count in range(1, 6):
        await rig.comes_to(one, Status.SCHEDULED, attempts=count)
        rig.turn(30 * MINUTE)
    await rig.comes_to(one, Status.SCHEDULED, attempts=6)
    rig.turn(30 * MINUTE)
    expired, _ = await rig.comes_to(one, Status.EXPIRED)
    assert expired.reason is Reason.TOO_OLD


async def test_what_was_too_old_from_the_start_is_never_sent(rig: Rig) -> None:
    provider = FakeProvider("a")
    rig.start(provider)
    [one] = await rig.add(due_at=NOW - 2 * HOUR, expires_at=NOW - HOUR)
    await rig.comes_to(one, Status.EXPIRED)
    assert provider.submissions == []


async def test_a_wish_beyond_the_calendar_loses_nothing(rig: Rig) -> None:
    rig.start(FakeProvider("a", script=[message.Retry(after=timedelta.max)]))
    [one] = await rig.add()
    waiting, tried = await rig.comes_to(one, Status.SCHEDULED, attempts=1)
    assert tried == [("a", "retry")]
    assert waiting.due_at == NOW + 24 * HOUR


# --- what may have been taken -----------------------------------------------------------------------------------


async def test_a_doubt_is_held_for_a_person(rig: Rig) -> None:
    provider = FakeProvider("a", script=[message.Uncertain(code="timeout")])
    other = FakeProvider("b")
    rig.start(provider, other)
    [one] = await rig.add(route=("a", "b"))
    doubtful, _ = await rig.comes_to(one, Status.UNCERTAIN)
    assert (doubtful.reason, doubtful.due_at) == (Reason.UNANSWERED, NOW + 5 * MINUTE)
    rig.turn(5 * MINUTE)
    doubtful, tried = await rig.comes_to(one, Status.HELD)
    assert doubtful.reason is Reason.UNANSWERED
    assert tried == [("a", "uncertain")]
    assert other.submissions == []


async def test_a_doubt_is_sent_again_where_the_operator_says_so(rig: Rig) -> None:
    provider = FakeProvider("a", script=[message.Uncertain()], on_uncertain=ports.OnUncertain.RESEND)
    rig.start(provider, FakeProvider("b"))
    [one] = await rig.add(route=("a", "b"))
    await rig.comes_to(one, Status.UNCERTAIN)
    rig.turn(5 * MINUTE)
    _, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert tried == [("a", "uncertain"), ("a", "accepted")]


async def test_a_provider_that_dedupes_is_asked_again_soon_and_by_the_same_ref(rig: Rig) -> None:
    provider = FakeProvider("a", script=[message.Uncertain()], idempotent=True)
    rig.start(provider)
    [one] = await rig.add()
    await rig.comes_to(one, Status.UNCERTAIN)
    rig.turn(30 * SECOND)
    await rig.comes_to(one, Status.ACCEPTED)
    assert [s.ref for s in provider.submissions] == [one, one]


@pytest.mark.parametrize("failure", [message.Retry(), message.ProviderDown()])
async def test_a_doubt_stays_with_its_provider_also_when_that_fails_later(rig: Rig, failure: message.Outcome) -> None:
    rig.policy = retry.Policy(attempts=8, jitter=0.0)
    provider = FakeProvider(
        "a", script=[message.Uncertain(), message.Uncertain(), failure], on_uncertain=ports.OnUncertain.RESEND
    )
    other = FakeProvider("b")
    rig.start(provider, other)
    [one] = await rig.add(route=("a", "b"))
    for count in (1, 2, 3):
        await rig.comes_to(one, Status.UNCERTAIN, attempts=count)
        rig.turn(30 * MINUTE)
    _, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert [provider for provider, _ in tried] == ["a"] * 4
    assert other.submissions == []


@pytest.mark.parametrize("error", [RuntimeError("broken plug-in"), TimeoutError(), KeyError("x")])
async def test_a_provider_whose_code_breaks_leaves_a_doubt(rig: Rig, error: Exception) -> None:
    rig.start(FakeProvider("a", script=[error]))
    [one] = await rig.add()
    _, tried = await rig.comes_to(one, Status.UNCERTAIN)
    assert tried == [("a", "uncertain")]
    [two] = await rig.add()
    await rig.comes_to(two, Status.ACCEPTED)


async def test_a_provider_that_never_ends_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MARGIN", timedelta(milliseconds=100))
    provider = FakeProvider("a", timeout=timedelta(milliseconds=10))
    provider.gate.clear()
    rig.start(provider)
    [one] = await rig.add()
    await rig.comes_to(one, Status.UNCERTAIN)


# --- providers come and go --------------------------------------------------------------------------------------


async def test_without_its_provider_a_message_waits_for_a_person(rig: Rig) -> None:
    rig.start(FakeProvider("b"))
    [one] = await rig.add(route=("a",))
    held_, tried = await rig.comes_to(one, Status.HELD)
    assert held_.reason is Reason.PROVIDER_MISSING
    assert tried == []


async def test_a_reload_counts_for_what_is_claimed_after_it(rig: Rig) -> None:
    first, second = FakeProvider("a"), FakeProvider("a")
    rig.start(first)
    [one] = await rig.add()
    await rig.comes_to(one, Status.ACCEPTED)
    rig.providers = {"a": second}
    [two] = await rig.add()
    await rig.comes_to(two, Status.ACCEPTED)
    assert [s.ref for s in first.submissions] in ([one], [one, two])  # a claim may have been under way
    assert len(first.submissions) + len(second.submissions) == 2


# --- leases -----------------------------------------------------------------------------------------------------


async def test_a_result_after_the_lease_ran_out_ends_the_doubt(rig: Rig) -> None:
    provider = FakeProvider("a")
    provider.gate.clear()
    rig.start(provider)
    [one] = await rig.add()
    await until(lambda: len(provider.submissions) == 1)
    rig.turn(provider.timeout + delivery.MARGIN + SECOND)
    doubtful, _ = await rig.comes_to(one, Status.UNCERTAIN)
    assert doubtful.reason is Reason.CRASHED
    provider.gate.set()
    taken, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert (taken.reason, tried) == (None, [("a", "accepted")])
    rig.turn(5 * MINUTE)
    [two] = await rig.add()
    await rig.comes_to(two, Status.ACCEPTED)
    assert [s.ref for s in provider.submissions] == [one, two]


async def test_a_lease_that_is_lost_before_the_attempt_is_not_sent(rig: Rig) -> None:
    provider = FakeProvider("a")

    class Stolen:
        """Between claim and attempt the message goes to somebody else."""

        def __init__(self) -> None:
            self.begun: list[str | None] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(rig.box, name)

        async def begin(self, lease: ports.Lease, provider: str, **more: Any) -> str | None:
            await rig.box.settle(lease, ports.Decision(status=Status.HELD, reason=Reason.OPERATOR))
            self.begun.append(await rig.box.begin(lease, provider, **more))
            return self.begun[-1]

    thief = Stolen()
    rig.start(provider, outbox=cast(ports.Outbox, thief))
    [one] = await rig.add()
    await until(lambda: thief.begun == [None])
    await rig.comes_to(one, Status.HELD, attempts=0)
    assert provider.submissions == []


async def test_what_a_person_cancels_is_not_sent(rig: Rig) -> None:
    [one] = await rig.add(due_at=NOW + MINUTE)
    assert await rig.box.cancel(ports.Query(message_id=one), "ann") == 1
    provider = FakeProvider("a")
    rig.start(provider)
    rig.turn(HOUR)
    [two] = await rig.add()
    await rig.comes_to(two, Status.ACCEPTED)
    await rig.comes_to(one, Status.CANCELLED, attempts=0)


async def test_what_a_person_retries_is_sent_now(rig: Rig) -> None:
    provider = FakeProvider("a", script=[message.Rejected()])
    rig.start(provider)
    [one] = await rig.add()
    await rig.comes_to(one, Status.FAILED)
    assert await stores.again(rig.box, ports.Query(message_id=one), "ann") == 1
    rig.turn(timedelta(0))
    await rig.comes_to(one, Status.ACCEPTED, attempts=2)


# --- the outbox is away -----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def result_that_waits(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, list[Exception]]]:
    """The provider has accepted, and another process holds the database; how often it was refused."""
    provider = FakeProvider("a")
    provider.gate.clear()
    rig.start(provider)
    [one] = await rig.add()
    await until(lambda: len(provider.submissions) == 1)
    refused: list[Exception] = []
    finish = rig.box.finish

    async def noting(*args: Any, **more: Any) -> Status | None:
        try:
            return await finish(*args, **more)
        except errors.OutboxError as error:
            refused.append(error)
            raise

    monkeypatch.setattr(rig.box, "finish", noting)
    with held(rig.path):
        provider.gate.set()
        await until(lambda: len(refused) >= 1)
        yield one, refused


async def test_a_result_is_recorded_however_long_the_outbox_is_away(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async with result_that_waits(rig, monkeypatch) as (one, refused):
        await until(lambda: len(refused) >= 2)
    await rig.comes_to(one, Status.ACCEPTED, attempts=1)
    assert all(isinstance(error, errors.OutboxBusy) for error in refused)
    assert len(cast(FakeProvider, rig.providers["a"]).submissions) == 1


async def test_sending_goes_on_when_the_outbox_answers_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = FakeProvider("a")
    [one] = await rig.add()
    refused: list[Exception] = []
    claim = rig.box.claim

    async def noting(**values: Any) -> ports.ClaimRound:
        try:
            return await claim(**values)
        except errors.OutboxError as error:
            refused.append(error)
            raise

    monkeypatch.setattr(rig.box, "claim", noting)
    with held(rig.path):
        rig.start(provider)
        await until(lambda: len(refused) >= 1)
        assert provider.submissions == []
    await rig.comes_to(one, Status.ACCEPTED)


# --- drain ------------------------------------------------------------------------------------------------------


async def test_drain_lets_what_is_being_sent_end(rig: Rig) -> None:
    provider = FakeProvider("a")
    provider.gate.clear()
    sender = rig.start(provider)
    [one] = await rig.add()
    await until(lambda: len(provider.submissions) == 1)
    draining = asyncio.create_task(sender.drain(timedelta(seconds=DEADLINE)))
    await asyncio.sleep(0)
    [two] = await rig.add()
    assert not draining.done()
    provider.gate.set()
    assert await draining == 0
    await rig.comes_to(one, Status.ACCEPTED)
    assert rig.running is not None
    await asyncio.wait_for(asyncio.shield(rig.running), DEADLINE)
    await rig.comes_to(two, Status.SCHEDULED, attempts=0)
    assert len(provider.submissions) == 1


async def test_drain_gives_up_and_the_next_start_knows(rig: Rig) -> None:
    provider = FakeProvider("a")
    provider.gate.clear()
    sender = rig.start(provider)
    [one] = await rig.add()
    await until(lambda: len(provider.submissions) == 1)
    assert await sender.drain(timedelta(milliseconds=10)) == 1
    await rig.comes_to(one, Status.SENDING, attempts=1)
    await rig.box.close()
    rig.box = await sqlite.SqliteOutbox.open(rig.path, clock=rig.clock)
    try:
        assert await rig.box.recover() == ports.Recovery(rescheduled=0, uncertain=1)
        doubtful, _ = await rig.comes_to(one, Status.UNCERTAIN)
        assert doubtful.reason is Reason.CRASHED
    finally:
        await rig.box.close()


async def test_a_result_that_is_being_written_when_drains_patience_ends_is_kept(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with result_that_waits(rig, monkeypatch) as (one, refused):
        assert rig.sender is not None
        draining = asyncio.create_task(rig.sender.drain(timedelta(0)))
        before = len(refused)
        await until(lambda: draining.done() or len(refused) > before)
    assert await draining == 0
    await rig.comes_to(one, Status.ACCEPTED, attempts=1)


async def test_a_result_that_cannot_be_written_stops_drain_for_a_while_only(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "GRACE", timedelta(milliseconds=20))
    async with result_that_waits(rig, monkeypatch) as (one, _):
        assert rig.sender is not None
        assert await asyncio.wait_for(rig.sender.drain(timedelta(0)), DEADLINE) == 1
    await rig.comes_to(one, Status.SENDING, attempts=1)


async def test_a_provider_that_does_not_let_go_stops_drain_for_a_while_only(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "GRACE", timedelta(milliseconds=20))

    class Clinging(FakeProvider):
        async def send(self, submission: ports.Submission) -> message.Outcome:
            self.submissions.append(submission)
            while not self.gate.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.gate.wait()
            return message.Accepted()

    provider = Clinging("a")
    provider.gate.clear()
    sender = rig.start(provider)
    await rig.add()
    await until(lambda: len(provider.submissions) == 1)
    assert await asyncio.wait_for(sender.drain(timedelta(0)), DEADLINE) == 1
    provider.gate.set()


async def test_what_the_outbox_refuses_for_ever_keeps_no_place(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def refused(*values: Any, **_: Any) -> Status | None:
        asked.append(values)
        raise errors.OutboxRefused

    finish = rig.box.finish
    monkeypatch.setattr(rig.box, "finish", refused)
    rig.concurrency = 1
    provider = FakeProvider("a")
    rig.start(provider)
    [one] = await rig.add()
    await until(lambda: bool(asked))
    monkeypatch.setattr(rig.box, "finish", finish)
    [two] = await rig.add()
    await rig.comes_to(two, Status.ACCEPTED)
    await rig.comes_to(one, Status.SENDING, attempts=1)


async def test_drain_with_nothing_under_way_is_over_at_once(rig: Rig) -> None:
    sender = rig.start(FakeProvider("a"))
    assert await sender.drain(timedelta(hours=1)) == 0


async def test_what_is_claimed_while_draining_begins_is_given_back(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim is under way, and so is a send; the drain must not let the claimed one start."""
    provider = FakeProvider("a")
    provider.gate.clear()
    gate, claimed = asyncio.Event(), asyncio.Event()
    claim = rig.box.claim

    async def slowly(**values: Any) -> ports.ClaimRound:
        found: ports.ClaimRound = await claim(**values)
        if found.leases and provider.submissions:
            claimed.set()
            await gate.wait()
        return found

    monkeypatch.setattr(rig.box, "claim", slowly)
    sender = rig.start(provider)
    [one] = await rig.add()
    await until(lambda: len(provider.submissions) == 1)
    [two] = await rig.add()
    await asyncio.wait_for(claimed.wait(), DEADLINE)
    draining = asyncio.create_task(sender.drain(timedelta(seconds=DEADLINE)))
    await asyncio.sleep(0)
    gate.set()
    assert rig.running is not None
    await asyncio.wait_for(asyncio.shield(rig.running), DEADLINE)
    provider.gate.set()
    assert await draining == 0
    await rig.comes_to(one, Status.ACCEPTED)
    await rig.comes_to(two, Status.SCHEDULED, attempts=0)
    assert [s.ref for s in provider.submissions] == [one]
