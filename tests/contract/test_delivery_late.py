"""Delivery where an answer comes late, a receipt early, or a route only when a person has mended it."""

from typing import Any

import pytest

from agi_sms import delivery, message, node, ports
from agi_sms.message import Reason, Status
from agi_sms.testing import FakeProvider
from tests.contract import stores
from tests.contract.sends import HOUR, MINUTE, NOW, SECOND, Rig, held, rig, until

__all__ = ["rig"]

SILENCE = message.Uncertain(code="timeout", detail="no answer within 10s")
LATE = message.Accepted(ids=("late-1",), detail="answered after its deadline")


def lines(logged: list[Any], *events: str) -> list[Any]:
    return [line for line in logged if line["event"] in events]


# --- the answer comes after its deadline --------------------------------------------------------------------------


async def test_a_late_yes_ends_the_doubt_and_the_receipt_finds_it(rig: Rig, logged: list[Any]) -> None:
    provider = FakeProvider("a", script=[SILENCE], on_uncertain=ports.OnUncertain.RESEND)
    rig.accounts["a"] = delivery.Account(receipt_timeout=HOUR)
    rig.start(provider)
    [one] = await rig.add()
    await rig.comes_to(one, Status.UNCERTAIN)
    rig.turn(7 * SECOND)
    provider.submissions[0].late(LATE)
    provider.submissions[0].late(message.Rejected())  # the first word counts
    taken, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert (taken.reason, tried) == (None, [("a", "accepted")])
    assert taken.receipt_due_at == NOW + HOUR
    [attempt] = (await rig.story(one)).attempts
    assert (attempt.provider_ids, attempt.detail) == (("late-1",), "answered after its deadline")
    await rig.box.receive("a", [ports.Receipt(provider_id="late-1", ref="", state=Status.DELIVERED, raw="")])
    rig.turn(HOUR)
    [two] = await rig.add()
    await rig.comes_to(two, Status.ACCEPTED)
    await rig.comes_to(one, Status.DELIVERED, attempts=1)
    first, then = lines(logged, "SMS not sent yet", "SMS sent")[:2]
    assert (first["event"], first["outcome"]) == ("SMS not sent yet", "uncertain")
    assert (then["event"], then["outcome"], then["late"]) == ("SMS sent", "accepted", True)


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        (message.Rejected(code="0x0b"), Status.FAILED, Reason.REJECTED),
        (message.Retry(code="0x58"), Status.SCHEDULED, None),
        (message.ProviderDown(code="0x0e"), Status.SCHEDULED, None),
    ],
)
async def test_a_late_no_is_decided_as_one_in_time(
    rig: Rig, outcome: message.Outcome, status: Status, reason: Reason | None
) -> None:
    provider = FakeProvider("a", script=[SILENCE])
    rig.start(provider)
    [one] = await rig.add()
    await rig.comes_to(one, Status.UNCERTAIN)
    rig.turn(7 * SECOND)
    provider.submissions[0].late(outcome)
    found, _ = await rig.comes_to(one, status)
    assert found.reason is reason
    if status is Status.SCHEDULED:
        assert found.due_at == NOW + 37 * SECOND
        rig.turn(30 * SECOND)
        _, tried = await rig.comes_to(one, Status.ACCEPTED)
        assert tried == [("a", message.OUTCOMES[type(outcome)]), ("a", "accepted")]


async def test_a_late_answer_during_a_resend_is_its_own_attempts(rig: Rig, logged: list[Any]) -> None:
    provider = FakeProvider("a", script=[SILENCE, SILENCE], on_uncertain=ports.OnUncertain.RESEND)
    rig.start(provider)
    [one] = await rig.add()
    await rig.comes_to(one, Status.UNCERTAIN)
    provider.gate.clear()
    rig.turn(5 * MINUTE)
    await until(lambda: len(provider.submissions) == 2)
    provider.submissions[0].late(message.Rejected(code="0x0b"))
    await until(lambda: bool(lines(logged, "this result changes nothing")))
    _, tried = await rig.comes_to(one, Status.SENDING)
    assert tried == [("a", "rejected"), ("a", "")]
    provider.gate.set()
    doubtful, tried = await rig.comes_to(one, Status.UNCERTAIN)
    assert tried == [("a", "rejected"), ("a", "uncertain")]
    provider.submissions[1].late(LATE)
    _, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert tried == [("a", "rejected"), ("a", "accepted")]
    assert doubtful.reason is Reason.UNANSWERED


async def test_an_answer_that_comes_before_the_silence_is_written_down(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two are told in their order, however long the outbox needs."""

    class Quick(FakeProvider):
        async def send(self, submission: ports.Submission) -> message.Outcome:
            said = await super().send(submission)
            submission.late(LATE)
            return said

    provider = Quick("a", script=[SILENCE])
    rig.start(provider)
    [one] = await rig.add()
    _, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert tried == [("a", "accepted")]


async def test_after_a_drain_nobody_listens(rig: Rig) -> None:
    provider = FakeProvider("a", script=[SILENCE])
    sender = rig.start(provider)
    [one] = await rig.add()
    await rig.comes_to(one, Status.UNCERTAIN)
    assert await sender.drain(SECOND) == 0
    provider.submissions[0].late(LATE)
    assert await sender.drain(SECOND) == 0  # nothing was begun
    await rig.comes_to(one, Status.UNCERTAIN)


async def test_a_late_answer_says_nothing_of_a_providers_health(rig: Rig) -> None:
    rig.break_after = 1
    provider = FakeProvider("a", script=[SILENCE])
    rig.start(provider)
    [one] = await rig.add()
    await rig.comes_to(one, Status.UNCERTAIN)
    provider.submissions[0].late(LATE)
    await rig.comes_to(one, Status.ACCEPTED)
    [two] = await rig.add()
    waiting, _ = await rig.comes_to(two, Status.SCHEDULED, attempts=0)
    await until(lambda: len(provider.submissions) == 1)
    assert waiting.provider == "a"


# --- the answer is known, and the disk is locked for longer than the lease ----------------------------------------


async def test_a_known_result_outlives_its_lease(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another round voids the lease before the result gets through; the result counts all the same."""
    provider = FakeProvider("a", on_uncertain=ports.OnUncertain.RESEND)
    provider.gate.clear()
    rig.start(provider)
    [one] = await rig.add()
    await until(lambda: len(provider.submissions) == 1)
    finish, asked, away = rig.box.finish, [], True

    async def slowly(*args: Any, **more: Any) -> Status | None:
        asked.append(args)
        if away:
            with held(rig.path):
                return await finish(*args, **more)  # OutboxBusy
        return await finish(*args, **more)

    monkeypatch.setattr(rig.box, "finish", slowly)
    provider.gate.set()
    await until(lambda: len(asked) == 1)
    rig.turn(provider.timeout + delivery.MARGIN + SECOND)
    doubtful, _ = await rig.comes_to(one, Status.UNCERTAIN)
    assert doubtful.reason is Reason.CRASHED
    away = False
    _, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert tried == [("a", "accepted")]
    rig.turn(HOUR)
    [two] = await rig.add()
    await rig.comes_to(two, Status.ACCEPTED)
    assert [s.ref for s in provider.submissions] == [one, two]


# --- a receipt before the answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "event", "level"),
    [
        (Status.DELIVERED, "SMS delivered", "info"),
        (Status.FAILED, "SMS not delivered", "warning"),
        (Status.ACCEPTED, "SMS sent", "info"),
    ],
)
@pytest.mark.parametrize("outcome", [message.Accepted(ids=("x",)), SILENCE])
async def test_the_log_says_what_became_of_it(
    rig: Rig, logged: list[Any], outcome: message.Outcome, said: Status, event: str, level: str
) -> None:
    provider = FakeProvider("a", script=[outcome])
    provider.gate.clear()
    rig.start(provider)
    [one] = await rig.add()
    await until(lambda: len(provider.submissions) == 1)
    await rig.box.receive("a", [ports.Receipt(provider_id="", ref=one, state=said, raw="")])
    provider.gate.set()
    await rig.comes_to(one, said)
    await until(lambda: bool([line for line in logged if line["event"].startswith("SMS")]))
    [line] = [line for line in logged if line["event"].startswith("SMS")]
    assert (line["event"], line["log_level"], line["outcome"]) == (event, level, message.OUTCOMES[type(outcome)])


# --- a route that is mended ---------------------------------------------------------------------------------------


def desk(*ways: node.Way) -> node.Nodes:
    return {"desk": node.Node(name="desk", revision="r2", template=None, route=node.Route(ways=ways))}


POLISH = node.Way(providers=("b", "a"), prefixes=("+48",))
SWISS = node.Way(providers=("a",), prefixes=("+41",))


async def unrouted(rig: Rig) -> str:
    [one] = await rig.add(status=Status.HELD, reason=Reason.NO_ROUTE, route=())
    return one


@pytest.mark.parametrize("verb", ["retry", "resend"])
async def test_what_had_no_route_gets_its_nodes_present_one(rig: Rig, verb: str) -> None:
    rig.nodes = desk(SWISS, POLISH)
    first, second = FakeProvider("a"), FakeProvider("b")
    rig.start(first, second)
    one = await unrouted(rig)
    if verb == "retry":
        assert await stores.again(rig.box, ports.Query(message_id=one), "ann") == 1
    else:
        assert await rig.box.judge(one, ports.Verdict.RESEND, "ann")
    rig.turn(SECOND)
    sent, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert (sent.route, sent.provider, tried) == (("b", "a"), "b", [("b", "accepted")])


async def test_where_the_route_still_has_no_entry_it_is_held_again(rig: Rig) -> None:
    rig.nodes = desk(SWISS)
    rig.start(FakeProvider("a"))
    one = await unrouted(rig)
    for _ in range(2):
        assert await stores.again(rig.box, ports.Query(message_id=one), "ann") == 1
        rig.turn(SECOND)
        found, _ = await rig.comes_to(one, Status.HELD)
        assert (found.reason, found.route) == (Reason.NO_ROUTE, ())
    rig.nodes = desk(POLISH)
    rig.providers["b"] = FakeProvider("b")
    assert await stores.again(rig.box, ports.Query(message_id=one), "ann") == 1
    rig.turn(SECOND)
    await rig.comes_to(one, Status.ACCEPTED)


async def test_without_its_node_it_is_held_and_says_so(rig: Rig) -> None:
    rig.start(FakeProvider("a"))
    one = await unrouted(rig)
    assert await stores.again(rig.box, ports.Query(message_id=one), "ann") == 1
    rig.turn(SECOND)
    found, tried = await rig.comes_to(one, Status.HELD)
    assert (found.reason, tried) == (Reason.NODE_MISSING, [])


@pytest.mark.parametrize("verb", ["retry", "resend"])
async def test_what_no_provider_is_left_for_gets_its_nodes_present_route(rig: Rig, verb: str) -> None:
    rig.nodes = desk(POLISH)
    rig.start(FakeProvider("b"))
    [one] = await rig.add(route=("gone",))
    found, _ = await rig.comes_to(one, Status.HELD)
    assert (found.reason, found.route) == (Reason.PROVIDER_MISSING, ("gone",))  # a person decides
    if verb == "retry":
        assert await stores.again(rig.box, ports.Query(message_id=one), "ann") == 1
    else:
        assert await rig.box.judge(one, ports.Verdict.RESEND, "ann")
    rig.turn(SECOND)
    sent, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert (sent.route, tried) == (("b", "a"), [("b", "accepted")])


async def test_a_provider_that_came_back_gets_its_messages(rig: Rig) -> None:
    rig.nodes = desk(POLISH)
    rig.start(FakeProvider("b"))
    [one] = await rig.add(route=("gone",))
    await rig.comes_to(one, Status.HELD)
    rig.providers["gone"] = FakeProvider("gone")
    assert await stores.again(rig.box, ports.Query(message_id=one), "ann") == 1
    rig.turn(SECOND)
    sent, _ = await rig.comes_to(one, Status.ACCEPTED)
    assert sent.route == ("gone",)


async def test_a_route_that_a_message_has_stays_its_own(rig: Rig) -> None:
    """What a message needs to be sent is decided when it is made."""
    rig.nodes = desk(POLISH)
    rig.start(FakeProvider("a", script=[message.Rejected()]), FakeProvider("b"))
    [one] = await rig.add()
    await rig.comes_to(one, Status.FAILED)
    assert await stores.again(rig.box, ports.Query(message_id=one), "ann") == 1
    rig.turn(SECOND)
    sent, tried = await rig.comes_to(one, Status.ACCEPTED)
    assert (sent.route, tried) == (("a",), [("a", "rejected"), ("a", "accepted")])


# --- what is said -------------------------------------------------------------------------------------------------


async def test_a_failover_is_no_trouble_and_a_pause_is(rig: Rig, logged: list[Any]) -> None:
    rig.start(
        FakeProvider("a", script=[message.Retry(), message.Accepted()]), FakeProvider("b", script=[message.Retry()])
    )
    [one] = await rig.add(route=("a", "b"))
    await rig.comes_to(one, Status.SCHEDULED, attempts=2)
    first, second = lines(logged, "SMS handed on to the next provider", "SMS not sent yet")
    assert (first["event"], first["log_level"], first["next_provider"]) == (
        "SMS handed on to the next provider",
        "info",
        "b",
    )
    assert "again_at" not in first
    assert (second["event"], second["log_level"]) == ("SMS not sent yet", "warning")
    assert second["again_at"]
