"""What becomes of a message after an attempt, and where a claimed one goes."""

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import message, ports, retry
from agi_sms.message import Reason, Status
from agi_sms.testing import FakeProvider

NOW = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
POLICY = retry.Policy(jitter=0.0)
SECOND = timedelta(seconds=1)


def make_message(**changed: Any) -> message.Message:
    values: dict[str, Any] = {
        "id": "m1",
        "activation_id": "a1",
        "node": "desk",
        "call_id": "1795439100.12",
        "recipient": "+48600100200",
        "source": message.Source.CALLER,
        "status": Status.SENDING,
        "reason": None,
        "sender": "TeleShop",
        "text": "Hello",
        "encoding": message.Encoding.GSM7,
        "segments": 1,
        "route": ("a", "b"),
        "created_at": NOW - timedelta(hours=1),
        "due_at": NOW,
        "expires_at": NOW + timedelta(hours=24),
    }
    values["provider"] = next(iter(changed.get("route", values["route"])), "")
    return message.Message(**(values | changed))


def make_lease(status_before: Status = Status.SCHEDULED, last_provider: str = "", **changed: Any) -> ports.Lease:
    return ports.Lease(
        message=make_message(**changed),
        token="t",
        until=NOW + timedelta(minutes=2),
        status_before=status_before,
        last_provider=last_provider,
    )


def decide(
    outcome: message.Outcome,
    *,
    attempts: int = 1,
    refusals: int | None = None,
    before: Status = Status.SCHEDULED,
    provider: ports.Provider | None = None,
    policy: retry.Policy = POLICY,
    now: datetime = NOW,
    jitter: float = 0.0,
    **changed: Any,
) -> ports.Decision:
    sent = make_message(**changed)
    return retry.decide(
        outcome,
        sent=sent,
        before=before,
        attempts=attempts,
        refusals=attempts - 1 if refusals is None else refusals,
        provider=provider or FakeProvider(sent.route[(attempts - 1) % len(sent.route)]),
        policy=policy,
        now=now,
        jitter=jitter,
    )


# --- wait -------------------------------------------------------------------------------------------------------


def test_waits_double_up_to_the_longest() -> None:
    policy = retry.Policy(first=30 * SECOND, factor=2.0, longest=300 * SECOND)
    assert [retry.wait(policy, n, 0.0).total_seconds() for n in range(1, 7)] == [30, 60, 120, 240, 300, 300]


def test_jitter_lengthens_and_shortens() -> None:
    policy = retry.Policy(first=100 * SECOND, jitter=0.2)
    assert retry.wait(policy, 1, 1.0) == 120 * SECOND
    assert retry.wait(policy, 1, -1.0) == 80 * SECOND


POLICIES = st.builds(
    retry.Policy,
    first=st.timedeltas(timedelta(milliseconds=100), timedelta(days=366)),
    factor=st.floats(1.0, 100.0),
    longest=st.timedeltas(timedelta(milliseconds=100), timedelta(days=366)),
    attempts=st.integers(1, 100),
    jitter=st.floats(0.0, 0.99),
    grace=st.timedeltas(timedelta(0), timedelta(days=366)),
)


@settings(deadline=None)
@given(policy=POLICIES, rounds=st.integers(1, 10**6))
def test_waits_never_shrink_and_never_pass_the_longest(policy: retry.Policy, rounds: int) -> None:
    this, following = retry.wait(policy, rounds, 0.0), retry.wait(policy, rounds + 1, 0.0)
    assert timedelta(0) <= this <= following <= policy.longest


# --- decide: the table ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempts", [1, 2, 99])
@pytest.mark.parametrize(
    ("outcome", "before", "expected"),
    [
        (message.Accepted(ids=("x",)), Status.SCHEDULED, ports.Decision(status=Status.ACCEPTED)),
        (message.Accepted(ids=("x",)), Status.UNCERTAIN, ports.Decision(status=Status.ACCEPTED)),
        (
            message.Final(),
            Status.SCHEDULED,
            ports.Decision(status=Status.FAILED, reason=Reason.REJECTED),
        ),
    ],
)
def test_a_yes_and_a_no_are_final(
    outcome: message.Outcome, expected: ports.Decision, attempts: int, before: Status
) -> None:
    assert decide(outcome, attempts=attempts, before=before) == expected


def test_who_refuses_leaves_the_route_until_nobody_is_left() -> None:
    onward = decide(message.Rejected(), route=("a", "b", "c"))
    assert onward == ports.Decision(status=Status.SCHEDULED, due_at=NOW, provider="b", route=("b", "c"))
    last = decide(message.Rejected(), attempts=2, provider=FakeProvider("c"), route=("b", "c"))
    assert last == ports.Decision(status=Status.SCHEDULED, due_at=NOW, provider="b", route=("b",))
    failed = ports.Decision(status=Status.FAILED, reason=Reason.REJECTED)
    assert decide(message.Rejected(), attempts=3, provider=FakeProvider("b"), route=("b",)) == failed


def test_a_handover_fails_over_to_nobody() -> None:
    sip = FakeProvider("a", confirms=ports.Confirms.HANDOVER)
    assert decide(message.Rejected(), provider=sip) == ports.Decision(status=Status.FAILED, reason=Reason.REJECTED)


def test_only_refusals_count_against_the_policy() -> None:
    """An outage of hours is no reason to give a message up at the first "later" after it."""
    after_an_outage = decide(message.Retry(), attempts=99, refusals=0)
    assert after_an_outage.status is Status.SCHEDULED
    given_up = decide(message.Retry(), attempts=99, refusals=POLICY.attempts * 2 - 1)
    assert given_up == ports.Decision(status=Status.FAILED, reason=Reason.GAVE_UP)


@pytest.mark.parametrize("attempts", [2, 99])
def test_a_no_does_not_settle_an_earlier_doubt(attempts: int) -> None:
    """The attempt before may have been taken, and refused now for being the second."""
    held = decide(message.Rejected(), attempts=attempts, before=Status.UNCERTAIN)
    assert held == ports.Decision(status=Status.HELD, reason=Reason.UNANSWERED)


@pytest.mark.parametrize("outcome", [message.Retry(), message.Retry(after=600 * SECOND), message.ProviderDown()])
def test_what_was_not_taken_goes_to_the_next_of_the_route_at_once(outcome: message.Outcome) -> None:
    assert decide(outcome, attempts=1) == ports.Decision(status=Status.SCHEDULED, due_at=NOW, provider="b")


@pytest.mark.parametrize(("attempts", "seconds"), [(2, 30), (4, 60), (6, 120)])
@pytest.mark.parametrize("outcome", [message.Retry(), message.ProviderDown()])
def test_after_the_last_of_the_route_comes_a_pause_that_grows(
    outcome: message.Outcome, attempts: int, seconds: int
) -> None:
    decision = decide(outcome, attempts=attempts, provider=FakeProvider("b"))
    assert decision == ports.Decision(status=Status.SCHEDULED, due_at=NOW + seconds * SECOND, provider="a")


def test_the_providers_own_wish_counts_where_it_is_longer() -> None:
    assert decide(message.Retry(after=600 * SECOND), attempts=2).due_at == NOW + 600 * SECOND
    assert decide(message.Retry(after=SECOND), attempts=2).due_at == NOW + 30 * SECOND
    assert decide(message.Retry(after=-600 * SECOND), attempts=2).due_at == NOW + 30 * SECOND


def test_a_wish_beyond_the_calendar_is_no_crash() -> None:
    decision = decide(message.Retry(after=timedelta.max), attempts=2)
    assert decision.due_at == NOW + timedelta(hours=24)


@pytest.mark.parametrize("route", [("a",), ("a", "b"), ("a", "b", "c")])
def test_retries_end_after_so_many_rounds_through_the_route(route: tuple[str, ...]) -> None:
    policy = retry.Policy(attempts=3)
    last = 3 * len(route)
    assert decide(message.Retry(), attempts=last - 1, route=route, policy=policy).status is Status.SCHEDULED
    gave_up = ports.Decision(status=Status.FAILED, reason=Reason.GAVE_UP)
    assert decide(message.Retry(), attempts=last, route=route, policy=policy) == gave_up
    assert decide(message.Retry(), attempts=last + 5, route=route, policy=policy) == gave_up


def test_a_provider_that_is_down_is_waited_for_until_the_message_is_too_old() -> None:
    decision = decide(message.ProviderDown(), attempts=2000, route=("a",))
    assert decision == ports.Decision(status=Status.SCHEDULED, due_at=NOW + timedelta(minutes=30), provider="a")


def test_nothing_is_put_off_beyond_its_age() -> None:
    soon = NOW + 5 * SECOND
    assert decide(message.ProviderDown(), attempts=2, expires_at=soon).due_at == soon
    assert decide(message.Retry(after=600 * SECOND), attempts=2, expires_at=soon).due_at == soon


def test_what_may_have_been_taken_waits_for_a_receipt() -> None:
    decision = decide(message.Uncertain(), attempts=1)
    assert decision == ports.Decision(
        status=Status.UNCERTAIN, reason=Reason.UNANSWERED, due_at=NOW + timedelta(minutes=5)
    )


def test_a_provider_that_dedupes_is_asked_again_soon() -> None:
    provider = FakeProvider("a", idempotent=True)
    due = [decide(message.Uncertain(), attempts=n, provider=provider).due_at for n in (1, 2, 3)]
    assert due == [NOW + 30 * SECOND, NOW + 60 * SECOND, NOW + 120 * SECOND]


@pytest.mark.parametrize("outcome", [message.Retry(), message.ProviderDown(), message.Retry(after=SECOND)])
@pytest.mark.parametrize("attempts", [2, 3, 50])
def test_a_later_failure_does_not_settle_an_earlier_doubt(outcome: message.Outcome, attempts: int) -> None:
    decision = decide(
        outcome, attempts=attempts, before=Status.UNCERTAIN, reason=Reason.CRASHED, provider=FakeProvider("a")
    )
    assert (decision.status, decision.reason) == (Status.UNCERTAIN, Reason.CRASHED)
    assert decision.due_at is not None
    assert decision.due_at > NOW


def test_an_outcome_nobody_knows_is_a_bug_that_shows() -> None:
    with pytest.raises(AssertionError):
        decide(message.Outcome())


# --- choose -----------------------------------------------------------------------------------------------------


def providers(*known: ports.Provider) -> Callable[[str], ports.Provider | None]:
    return {p.name: p for p in known}.get


A, B, C = FakeProvider("a"), FakeProvider("b"), FakeProvider("c")


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_message_goes_where_it_is_to_go_next(name: str) -> None:
    assert retry.choose(make_lease(provider=name), POLICY, providers(A, B), NOW) == retry.Go(provider=name)


def test_a_provider_that_is_gone_from_the_configuration_is_passed_over() -> None:
    moved = ports.Decision(status=Status.SCHEDULED, due_at=NOW, provider="b")
    assert retry.choose(make_lease(route=("gone", "b")), POLICY, providers(B), NOW) == moved
    assert retry.choose(make_lease(route=("gone", "b"), provider="b"), POLICY, providers(B), NOW) == retry.Go(
        provider="b"
    )


# --- choose, where a provider is left alone ---------------------------------------------------------------------


def left_alone(**until: datetime) -> Callable[[str], datetime | None]:
    return until.get


def test_the_next_healthy_one_of_the_route_gets_what_another_cannot_take() -> None:
    later = NOW + 30 * SECOND
    lease = make_lease(provider="b", route=("a", "b", "c"))
    moved = retry.choose(lease, POLICY, providers(A, B, C), NOW, left_alone(b=later))
    assert moved == ports.Decision(status=Status.SCHEDULED, due_at=NOW, provider="c")
    moved = retry.choose(lease, POLICY, providers(A, B, C), NOW, left_alone(b=later, c=later))
    assert moved == ports.Decision(status=Status.SCHEDULED, due_at=NOW, provider="a")


def test_where_nobody_is_healthy_it_waits_for_the_first_who_may_be() -> None:
    broken = left_alone(a=NOW + 30 * SECOND, b=NOW + 10 * SECOND)
    waits = ports.Decision(status=Status.SCHEDULED, due_at=NOW + 10 * SECOND, provider="a")
    assert retry.choose(make_lease(), POLICY, providers(A, B), NOW, broken) == waits


def test_a_doubt_does_not_move_because_its_provider_is_left_alone() -> None:
    again = FakeProvider("a", idempotent=True)
    lease = make_lease(Status.UNCERTAIN, "a", attempts=1, reason=Reason.UNANSWERED)
    waits = ports.Decision(status=Status.UNCERTAIN, reason=Reason.UNANSWERED, due_at=NOW + 30 * SECOND, provider="a")
    assert retry.choose(lease, POLICY, providers(again, B), NOW, left_alone(a=NOW + 30 * SECOND)) == waits


# --- failover after a doubt, which the operator has asked for ---------------------------------------------------

DOUBTING = FakeProvider("a", on_uncertain=ports.OnUncertain.FAILOVER)


def test_a_doubt_fails_over_at_once_where_the_operator_says_so() -> None:
    decision = decide(message.Uncertain(), provider=DOUBTING)
    onward = ports.Decision(status=Status.UNCERTAIN, reason=Reason.UNANSWERED, due_at=NOW, provider="b")
    assert decision == onward
    lease = make_lease(Status.UNCERTAIN, "a", attempts=1, provider="b", reason=Reason.UNANSWERED)
    assert retry.choose(lease, POLICY, providers(DOUBTING, B), NOW) == retry.Go(provider="b")
    moved = retry.choose(dataclasses.replace(lease, message=replace(lease.message, provider="a")), POLICY,
                         providers(DOUBTING, B), NOW)  # fmt: skip
    assert moved == onward


def test_a_doubt_has_nobody_to_fail_over_to_at_the_end_of_the_route() -> None:
    decision = decide(message.Uncertain(), provider=DOUBTING, route=("b", "a"))
    waits = ports.Decision(status=Status.UNCERTAIN, reason=Reason.UNANSWERED, due_at=NOW + timedelta(minutes=5))
    assert decision == waits
    lease = make_lease(Status.UNCERTAIN, "a", attempts=1, route=("b", "a"), provider="a", reason=Reason.UNANSWERED)
    held = ports.Decision(status=Status.HELD, reason=Reason.UNANSWERED)
    assert retry.choose(lease, POLICY, providers(DOUBTING, B), NOW) == held


def test_whoever_dedupes_is_asked_again_and_nobody_else() -> None:
    both = FakeProvider("a", idempotent=True, on_uncertain=ports.OnUncertain.FAILOVER)
    assert decide(message.Uncertain(), provider=both).provider is None


def test_without_any_provider_of_the_route_a_person_decides() -> None:
    held = ports.Decision(status=Status.HELD, reason=Reason.PROVIDER_MISSING)
    assert retry.choose(make_lease(), POLICY, providers(C), NOW) == held
    unrouted = ports.Decision(status=Status.HELD, reason=Reason.NO_ROUTE)
    assert retry.choose(make_lease(route=()), POLICY, providers(C), NOW) == unrouted


def test_what_was_made_without_a_route_gets_the_present_one() -> None:
    lease = make_lease(route=())
    asked: list[tuple[str, str]] = []

    def choose(route: tuple[str, ...] | None) -> retry.Go | ports.Decision:
        def routes(node: str, number: str) -> tuple[str, ...] | None:
            asked.append((node, number))
            return route

        return retry.choose(lease, POLICY, providers(A, B), NOW, lambda _: None, routes)

    again = ports.Decision(status=Status.SCHEDULED, due_at=lease.message.due_at, provider="b", route=("b", "gone"))
    assert choose(("b", "gone")) == again
    assert choose(()) == ports.Decision(status=Status.HELD, reason=Reason.NO_ROUTE)
    assert choose(None) == ports.Decision(status=Status.HELD, reason=Reason.NODE_MISSING)
    assert set(asked) == {(lease.message.node, lease.message.recipient)}
    routed = make_lease()
    assert retry.choose(routed, POLICY, providers(A, B), NOW, lambda _: None, lambda *_: None) == retry.Go(provider="a")


@pytest.mark.parametrize("reason", [Reason.UNANSWERED, Reason.CRASHED])
def test_an_uncertain_message_is_held_unless_its_provider_may_have_it_again(reason: message.Reason) -> None:
    lease = make_lease(Status.UNCERTAIN, "a", attempts=1, reason=reason)
    held = ports.Decision(status=Status.HELD, reason=reason)
    assert retry.choose(lease, POLICY, providers(A, B), NOW) == held


@pytest.mark.parametrize(
    "provider",
    [FakeProvider("a", idempotent=True), FakeProvider("a", on_uncertain=ports.OnUncertain.RESEND)],
)
def test_an_uncertain_message_goes_to_the_same_provider_again(provider: FakeProvider) -> None:
    for attempts in (1, 2, 3):
        lease = make_lease(Status.UNCERTAIN, "a", attempts=attempts)
        assert retry.choose(lease, POLICY, providers(provider, B), NOW) == retry.Go(provider="a")


@pytest.mark.parametrize(
    ("changed", "now"),
    [({"attempts": 8}, NOW), ({"attempts": 1}, NOW + timedelta(hours=24)), ({"attempts": 1}, NOW + timedelta(days=9))],
)
def test_an_uncertain_message_is_not_sent_for_ever(changed: dict[str, Any], now: datetime) -> None:
    again = FakeProvider("a", idempotent=True)
    lease = make_lease(Status.UNCERTAIN, "a", **changed)
    assert retry.choose(lease, POLICY, providers(again), now) == ports.Decision(
        status=Status.HELD, reason=Reason.UNANSWERED
    )


@pytest.mark.parametrize("mode", list(ports.OnUncertain))
def test_what_a_crash_left_has_its_grace_first(mode: ports.OnUncertain) -> None:
    provider = FakeProvider("a", on_uncertain=mode)
    lease = make_lease(Status.UNCERTAIN, "a", attempts=1, reason=Reason.CRASHED)
    fresh = dataclasses.replace(lease, last_ended=NOW - SECOND)
    waits = ports.Decision(status=Status.UNCERTAIN, reason=Reason.CRASHED, due_at=NOW - SECOND + timedelta(minutes=5))
    assert retry.choose(fresh, POLICY, providers(provider), NOW) == waits
    over = dataclasses.replace(lease, last_ended=NOW - timedelta(minutes=5))
    held = ports.Decision(status=Status.HELD, reason=Reason.CRASHED)
    expected = retry.Go(provider="a") if mode is ports.OnUncertain.RESEND else held  # nobody else is known
    assert retry.choose(over, POLICY, providers(provider), NOW) == expected


def test_what_a_crash_left_with_a_provider_that_dedupes_goes_again_at_once() -> None:
    lease = make_lease(Status.UNCERTAIN, "a", attempts=1, reason=Reason.CRASHED)
    fresh = dataclasses.replace(lease, last_ended=NOW)
    again = retry.choose(fresh, POLICY, providers(FakeProvider("a", idempotent=True)), NOW)
    assert again == retry.Go(provider="a")


def test_an_uncertain_message_whose_provider_is_gone_is_held() -> None:
    lease = make_lease(Status.UNCERTAIN, "a", attempts=1, reason=Reason.CRASHED)
    assert retry.choose(lease, POLICY, providers(B), NOW) == ports.Decision(status=Status.HELD, reason=Reason.CRASHED)


@pytest.mark.parametrize("on_uncertain", list(ports.OnUncertain))
def test_after_a_crash_the_grace_period_comes_first(on_uncertain: ports.OnUncertain) -> None:
    known = providers(FakeProvider("a", on_uncertain=on_uncertain))
    lease = replace(make_lease(Status.UNCERTAIN, "a", attempts=1, reason=Reason.CRASHED), last_ended=NOW)
    ends = NOW + POLICY.grace
    waits = ports.Decision(status=Status.UNCERTAIN, reason=Reason.CRASHED, due_at=ends)
    assert retry.choose(lease, POLICY, known, NOW) == waits
    assert retry.choose(lease, POLICY, known, ends - timedelta(milliseconds=1)) == waits
    assert retry.choose(lease, POLICY, known, ends) == (
        retry.Go(provider="a")
        if on_uncertain is ports.OnUncertain.RESEND
        else ports.Decision(status=Status.HELD, reason=Reason.CRASHED)
    )


def test_after_a_crash_a_provider_that_dedupes_is_asked_at_once() -> None:
    lease = replace(make_lease(Status.UNCERTAIN, "a", attempts=1, reason=Reason.CRASHED), last_ended=NOW)
    assert retry.choose(lease, POLICY, providers(FakeProvider("a", idempotent=True)), NOW) == retry.Go(provider="a")


# --- whatever happens -------------------------------------------------------------------------------------------

OUTCOMES = st.one_of(
    st.builds(message.Accepted),
    st.builds(message.Rejected),
    st.builds(message.Retry, after=st.one_of(st.none(), st.timedeltas())),
    st.builds(message.ProviderDown),
    st.builds(message.Uncertain),
)
JITTER = st.floats(-1.0, 1.0)


@settings(deadline=None, max_examples=300)
@given(
    outcome=OUTCOMES,
    policy=POLICIES,
    attempts=st.integers(1, 500),
    width=st.integers(0, 4),
    age=st.timedeltas(timedelta(days=-1), timedelta(days=366)),
    before=st.sampled_from([Status.SCHEDULED, Status.UNCERTAIN]),
    idempotent=st.booleans(),
    jitter=JITTER,
)
def test_every_decision_is_one_that_can_be_carried_out(
    outcome: message.Outcome,
    policy: retry.Policy,
    attempts: int,
    width: int,
    age: timedelta,
    before: Status,
    idempotent: bool,
    jitter: float,
) -> None:
    decision = decide(
        outcome,
        policy=policy,
        attempts=attempts,
        before=before,
        provider=FakeProvider("a", idempotent=idempotent),
        jitter=jitter,
        route=tuple("abcd"[:width]),
        expires_at=NOW + age,
    )
    waits = decision.status in (Status.SCHEDULED, Status.UNCERTAIN)
    assert waits == (decision.due_at is not None)
    assert (decision.reason is None) == (decision.status in (Status.SCHEDULED, Status.ACCEPTED))
    if decision.status is Status.SCHEDULED:
        assert before is Status.SCHEDULED
        assert decision.due_at is not None
        assert decision.due_at <= NOW + age
    if isinstance(outcome, message.Uncertain):
        assert decision.status is Status.UNCERTAIN


@settings(deadline=None, max_examples=300)
@given(
    outcomes=st.lists(OUTCOMES, min_size=1, max_size=40),
    resend=st.booleans(),
    attempts=st.integers(1, 6),
    width=st.integers(1, 3),
)
def test_after_a_doubt_nobody_else_gets_it(
    outcomes: list[message.Outcome], resend: bool, attempts: int, width: int
) -> None:
    """The whole life of one message: claim, attempt, decision, until it rests."""
    policy = retry.Policy(attempts=attempts)
    mode = ports.OnUncertain.RESEND if resend else ports.OnUncertain.HOLD
    everyone = {name: FakeProvider(name, on_uncertain=mode) for name in "abc"}
    lease, now, doubted = make_lease(route=tuple("abc"[:width])), NOW, ""
    for count, outcome in enumerate(outcomes, start=1):
        onward = retry.choose(lease, policy, everyone.get, now)
        if isinstance(onward, ports.Decision):
            assert doubted
            assert onward.status is Status.HELD
            return
        assert not doubted or onward.provider == doubted
        decision = retry.decide(
            outcome,
            sent=lease.message,
            before=lease.status_before,
            attempts=count,
            refusals=sum(isinstance(one, message.Retry) for one in outcomes[: count - 1]),
            provider=everyone[onward.provider],
            policy=policy,
            now=now,
            jitter=0.0,
        )
        if isinstance(outcome, message.Uncertain):
            doubted = onward.provider
        if decision.due_at is None:
            return
        assert (decision.status is Status.UNCERTAIN) == bool(doubted)
        now = max(now, decision.due_at)
        lease = make_lease(
            decision.status,
            onward.provider,
            attempts=count,
            reason=decision.reason,
            route=lease.message.route,
        )
        if decision.status is Status.SCHEDULED and now >= lease.message.expires_at:
            return  # the outbox expires it
