"""What a person decides about messages, as it is typed: what is sent again, by which way, and what it costs."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from agi_sms import clock, message, ports, testing
from agi_sms.outbox import sqlite
from tests.contract import stores, test_cli
from tests.contract.test_cli import MISTAKES, NOT_DONE, Shell, complete

shell = test_cli.shell
S, R = message.Status, message.Reason
T = TypeVar("T")
EUR = message.Cost(micros=30_000, currency="EUR")
SWISS = "+41791234567"
PRICED = {"type": "file", "path": "out.jsonl", "price": {"default": "0.03", "currency": "EUR"}}
NODES = {
    name: {"content": {"text": "Hello"}, "recipients": test_cli.TREE["groups"]["shop"]} for name in ("desk", "shop")
}
TREE: dict[str, Any] = {
    "region": "PL",
    "time_zone": "Asia/Tokyo",
    "database": "box.db",
    "providers": {"out": PRICED, "spare": {"type": "print"}},
    "routes": {"default": ["out"], "spares": ["spare", "out"], "polish": [{"countries": "PL", "providers": ["spare"]}]},
    "nodes": NODES,
}


@pytest.fixture(autouse=True)
def tree(shell: Shell) -> None:
    shell.write(TREE)


def ask(shell: Shell, work: Callable[[sqlite.SqliteOutbox], Awaitable[T]]) -> T:
    async def asked() -> T:
        box = await sqlite.SqliteOutbox.open(shell.database, clock=clock.now)
        try:
            return await work(box)
        finally:
            await box.close()

    return asyncio.run(asked())


def make(
    shell: Shell,
    node: str,
    status: message.Status,
    reason: message.Reason | None = None,
    outcome: message.Outcome | None = None,
    **changed: Any,
) -> str:
    """A message of this status, after an attempt that came to `outcome`; its id."""

    async def made(box: sqlite.SqliteOutbox) -> str:
        now = clock.now()
        draft = message.Draft(
            **{
                **{"recipient": "+48600100200", "source": message.Source.CONFIG, "status": S.SCHEDULED, "text": "Hi"},
                **{"segments": 1, "route": ("out",), "due_at": now, "expires_at": now + timedelta(hours=24)},
                **changed,
            }
        )
        visit = f"{node}-{now.timestamp()}"
        turned = testing.FixedClock()
        turned.now = now
        activation = replace(stores.activation(visit, turned, node=node), id=visit)
        name = (await box.admit(activation, [draft])).messages[0].message_id
        if status is S.SCHEDULED:
            return name
        [lease] = [one for one in await stores.claim(box, 100, timedelta(hours=1)) if one.message.id == name]
        decision = ports.Decision(status=status, reason=reason, due_at=now + timedelta(hours=1))
        if outcome is None:
            assert await box.settle(lease, decision)
        else:
            attempt = await box.begin(lease, "out", cost=EUR)
            assert attempt is not None
            assert await box.finish(lease, attempt, outcome, decision)
        return name

    return ask(shell, made)


def statuses(shell: Shell) -> dict[str, str]:
    return {row["id"]: row["status"] for row in shell.rows()}


# --- retry of several ---------------------------------------------------------------------------------------------


def test_only_what_certainly_was_not_handed_over_is_sent_again_unasked(shell: Shell) -> None:
    fine = [
        make(shell, "shop", S.HELD, R.PROVIDER_MISSING, segments=2),
        make(shell, "shop", S.HELD, R.PROVIDER_MISSING),
        make(shell, "shop", S.EXPIRED, R.TOO_OLD),
        make(shell, "shop", S.FAILED, R.GAVE_UP, message.Retry()),
    ]
    others = [
        make(shell, "shop", S.HELD, R.UNANSWERED, message.Uncertain()),
        make(shell, "shop", S.FAILED, R.REJECTED, message.Rejected()),
        make(shell, "shop", S.FAILED, R.UNDELIVERED, message.Accepted()),
        make(shell, "shop", S.UNCERTAIN, R.UNANSWERED, message.Uncertain()),
        make(shell, "shop", S.CANCELLED, R.OPERATOR),
        make(shell, "desk", S.HELD, R.PROVIDER_MISSING),
    ]
    before = statuses(shell)
    shown = shell("retry", "--node", "shop", answer="n\n", code=NOT_DONE).stdout
    assert statuses(shell) == before
    cells = [line.split() for line in shown.splitlines()]
    assert ["held:", "provider_missing", "2"] in [row[:3] for row in cells]
    assert ["3", "0.09", "EUR"] in [row[-3:] for row in cells]  # both of them together: three segments
    assert next(row for row in cells if row[:2] == ["all", "4"])[-3:] == ["5", "0.15", "EUR"]
    assert "left out: 1 cancelled: operator, 1 failed: rejected, 1 failed: undelivered, 1 held: unanswered, " in shown
    assert "Send 4 messages again? [y/N]" in shown
    told = shell("retry", "--node", "shop", "--yes").stdout
    assert "4 messages scheduled again" in told
    assert "the gateway is not running" in told
    assert {name: status for name, status in statuses(shell).items() if name in others} == {
        name: before[name] for name in others
    }
    assert {statuses(shell)[name] for name in fine} == {"scheduled"}
    assert "nothing that was certainly not handed over; left out: " in (
        shell("retry", "--node", "shop", "--yes", code=NOT_DONE).stderr
    )


def test_a_status_that_is_named_is_meant(shell: Shell) -> None:
    doubted = [make(shell, "shop", S.HELD, R.UNANSWERED, message.Uncertain()) for _ in range(2)]
    cancelled = make(shell, "shop", S.CANCELLED, R.OPERATOR)
    shown = shell("retry", "--node", "shop", "--status", "held", answer="y\n").stdout
    assert "may arrive twice" in shown
    [row] = [line.split() for line in shown.splitlines() if line.startswith("held: unanswered")]
    assert row[-1] == "2"
    assert {statuses(shell)[name] for name in doubted} == {"scheduled"}
    assert statuses(shell)[cancelled] == "cancelled"
    assert "1 message scheduled again" in shell("retry", "--node", "shop", "--status", "cancelled", "--yes").stdout


def test_what_came_before_or_after_is_left_alone(shell: Shell) -> None:
    make(shell, "shop", S.HELD, R.NO_ROUTE)
    assert "nothing to retry" in shell("retry", "--node", "shop", "--until", "1h", "--yes", code=NOT_DONE).stderr
    assert "1 message scheduled again" in shell("retry", "--node", "shop", "--since", "1h", "--yes").stdout


@pytest.mark.parametrize("status", ["accepted", "delivered", "scheduled"])
def test_what_cannot_be_sent_again_cannot_be_asked_for(shell: Shell, status: str) -> None:
    told = shell("retry", "--node", "shop", "--status", status, code=MISTAKES).stderr
    assert "only failed, expired, uncertain, held or cancelled can be sent again (with --route: scheduled)" in told


# --- retry of one -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason", "outcome", "told"),
    [
        (S.UNCERTAIN, R.UNANSWERED, message.Uncertain(), "out may have taken it; it may arrive twice, and cost twice"),
        (S.HELD, R.CRASHED, message.Uncertain(), "out may have taken it"),
        (S.FAILED, R.UNDELIVERED, message.Accepted(), "out took it for 0.03 EUR, which it would cost again"),
    ],
)
def test_what_may_arrive_twice_is_asked_about(
    shell: Shell, status: message.Status, reason: message.Reason, outcome: message.Outcome, told: str
) -> None:
    name = make(shell, "shop", status, reason, outcome)
    shown = shell("retry", name[-4:], answer="n\n", code=NOT_DONE).stdout
    assert told in shown
    assert f"agi-sms resolve {name}" in shown
    assert statuses(shell)[name] == str(status)
    assert told in shell("retry", name[-4:], "--yes").stdout
    assert statuses(shell)[name] == "scheduled"


def test_what_was_not_taken_is_sent_again_at_once(shell: Shell) -> None:
    name = make(shell, "shop", S.FAILED, R.REJECTED, message.Rejected())
    assert shell("retry", name).stdout.startswith("1 message scheduled again\n")


@pytest.mark.parametrize("maybe", [True, False])
def test_explain_offers_first_what_is_safe(shell: Shell, maybe: bool) -> None:
    outcome = message.Uncertain() if maybe else message.Retry()
    name = make(shell, "shop", S.HELD, R.UNANSWERED if maybe else R.POISON, outcome)
    _, _, after = shell("explain", name).stdout.partition("Next: ")
    assert after.startswith(f"agi-sms resolve {name} sent|resend|fail" if maybe else f"agi-sms retry {name}")
    assert ("may arrive twice" in after) is maybe


# --- another way --------------------------------------------------------------------------------------------------


def test_a_queue_is_moved_off_a_dead_company(shell: Shell) -> None:
    due = clock.now() + timedelta(hours=2)
    waits = make(shell, "shop", S.SCHEDULED, due_at=due, expires_at=due + timedelta(hours=1))
    held = make(shell, "desk", S.HELD, R.POISON)
    swiss = make(shell, "desk", S.HELD, R.POISON, recipient=SWISS)
    words = ("retry", "--provider", "out", "--route", "polish")
    shown = shell(*words, answer="y\n").stdout
    assert "left out: 1 message, as polish has no entry for the number" in shown
    assert "1 message by spare" in shown
    assert "not known" in shown  # spare has no prices
    rows = {row["id"]: row for row in shell.rows()}
    assert (rows[held]["status"], rows[held]["route"]) == ("scheduled", "spare")
    assert (rows[swiss]["status"], rows[swiss]["route"]) == ("held", "out")
    assert "Send 1 message another way?" in shell(*words, "--status", "scheduled", answer="y\n").stdout
    row = next(row for row in shell.rows() if row["id"] == waits)
    assert (row["status"], row["route"]) == ("scheduled", "spare")
    assert row["due_at"] == due.isoformat(timespec="milliseconds")
    assert "route spare" in shell("explain", waits).stdout


def test_one_message_goes_another_way(shell: Shell) -> None:
    name = make(shell, "shop", S.SCHEDULED)
    assert "can go another way: --route" in shell("retry", name, code=NOT_DONE).stderr
    assert "1 message by spare, then out" in shell("retry", name, "--route", "spares").stdout
    assert "no route or provider 'nope'; there are: default, spares, polish" in (
        shell("retry", name, "--route", "nope", code=MISTAKES).stderr
    )


def test_it_is_told_that_a_provider_is_gone(shell: Shell) -> None:
    make(shell, "shop", S.HELD, R.PROVIDER_MISSING, route=("dead",))
    told = shell("retry", "--node", "shop", "--yes").stdout
    assert "1 message: the configuration has no provider dead any more; by the node's present route" in told


# --- which message ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("retry",), ("cancel",), ("resolve", "sent"), ("explain",)])
def test_an_id_that_fits_none_or_many_says_so(shell: Shell, words: tuple[str, ...]) -> None:
    command, *rest = words
    name = make(shell, "shop", S.HELD, R.POISON)
    make(shell, "shop", S.HELD, R.POISON)
    assert "abc is too short: at least the last 4 characters" in shell(command, "abc", *rest, code=NOT_DONE).stderr
    assert "no message abcdefgh;" in shell(command, "abcdefgh", *rest, code=NOT_DONE).stderr
    assert f"2 messages are called {name[:4]}" in shell(command, name[:4], *rest, code=NOT_DONE).stderr


@pytest.mark.parametrize(
    ("words", "can"),
    [
        (("retry",), "failed, expired, uncertain, held or cancelled can be sent again"),
        (("cancel",), "waiting, scheduled, uncertain or held can be cancelled"),
        (("resolve", "sent"), "uncertain or held can be resolved"),
    ],
)
def test_a_status_that_does_not_allow_it_is_told(shell: Shell, words: tuple[str, ...], can: str) -> None:
    command, *rest = words
    name = make(shell, "shop", S.ACCEPTED, None, message.Accepted())
    assert shell(command, name, *rest, code=NOT_DONE).stderr == f"{name} is accepted; only {can}\n"


@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_a_node_that_is_not_there_is_told(shell: Shell, command: str) -> None:
    make(shell, "shop", S.ACCEPTED, None, message.Accepted())
    assert "; the configuration has no such node" in shell(command, "--node", "shpo", code=NOT_DONE).stderr
    told = shell(command, "--node", "shop", code=NOT_DONE).stderr
    assert f"nothing to {command}, that is " in told
    assert "of node shop" in told
    assert "no such node" not in told


def test_ids_are_completed(shell: Shell) -> None:
    held = make(shell, "shop", S.HELD, R.POISON)
    taken = make(shell, "shop", S.ACCEPTED, None, message.Accepted())
    assert complete(shell, "explain", "") == [taken, held]
    for command in ("retry", "resolve", "cancel"):
        assert complete(shell, command, "") == [held]
    assert complete(shell, "explain", taken[-4:]) == [taken]
    assert complete(shell, "retry", "--route", "s") == ["spares", "spare"]
    shell.database.unlink()
    assert complete(shell, "explain", "") == []


# --- what it costs ------------------------------------------------------------------------------------------------


def test_what_a_person_says_was_sent_costs(shell: Shell) -> None:
    name = make(shell, "shop", S.HELD, R.UNANSWERED, message.Uncertain())
    shown = shell("history", "--totals", "--status", "held").stdout
    assert "nothing was taken by any provider" in shown
    assert "in doubt: 1 message, up to 0.03 EUR" in shown
    assert shell("resolve", name, "sent").stdout == "it counts as sent: accepted, by out, 0.03 EUR\n"
    assert "cost      0.03 EUR" in shell("explain", name).stdout
    [row] = json.loads(shell("history", "--totals", "--format", "json").stdout)
    assert (row["messages"], row["cost"], row["in_doubt"]) == (1, "0.03", 0)
    assert "in doubt" not in shell("history", "--totals").stdout
    assert "a person said that it was sent" in shell("explain", name).stdout


def test_sent_without_an_attempt_counts_with_nobody(shell: Shell) -> None:
    name = make(shell, "shop", S.HELD, R.BAD_ARGUMENT)
    assert "so it counts with no provider" in shell("resolve", name, "sent").stdout


def test_totals_by_provider(shell: Shell) -> None:
    make(shell, "shop", S.ACCEPTED, None, message.Accepted())
    make(shell, "shop", S.SCHEDULED, route=("spare",))
    lines = [line.split() for line in shell("history", "--totals", "--by", "provider").stdout.splitlines()]
    assert lines[0] == ["node", "day", "provider", "messages", "segments", "cost"]
    assert lines[2][::2] == ["shop", "out", "1", "EUR"]
    [row] = json.loads(shell("history", "--totals", "--by", "provider", "--format", "json").stdout)
    assert (row["provider"], row["cost"]) == ("out", "0.03")
    [row] = shell.rows("--provider", "spare")
    assert row["provider"] == "spare"
    assert json.loads(shell("history", "--totals", "--provider", "spare", "--format", "json").stdout) == []
    assert "--by goes with --totals" in shell("history", "--by", "provider", code=MISTAKES).stderr


# --- times --------------------------------------------------------------------------------------------------------


def test_times_are_of_the_configured_zone_also_where_other_keys_have_mistakes(shell: Shell) -> None:
    make(shell, "shop", S.ACCEPTED, None, message.Accepted())
    broken = TREE | {"providers": {"out": PRICED | {"type": "http", "auth": {"bearer": "${NO_SUCH_TOKEN}"}}}}
    tokyo = clock.now() + timedelta(hours=9)
    for written in (TREE, broken):
        shell.write(written)
        assert "days of Asia/Tokyo" in shell("history", "--totals").stdout
        shown = shell("history").stdout
        assert f"{tokyo:%m-%d %H:}" in shown
        assert "times of Asia/Tokyo" in shown
        told = shell("explain", shell.rows()[0]["id"]).stdout
        assert f"arrived   {tokyo:%Y-%m-%d %H:}" in told
        assert told.count("Asia/Tokyo") == 1
    assert shell.rows("--since", f"{tokyo + timedelta(minutes=5):%Y-%m-%dT%H:%M}") == []
    assert len(shell.rows("--since", f"{tokyo - timedelta(minutes=5):%Y-%m-%dT%H:%M}")) == 1
