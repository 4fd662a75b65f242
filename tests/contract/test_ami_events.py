"""The dialplan says by an event that a visit waits in AstDB: it is taken at once, and only once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agi_sms import call, ports
from agi_sms.asterisk import ami, link
from tests.contract import doors, fake_astdb
from tests.contract.fake_astdb import AT, NOW, Counted, FakeAstDb, Intake, record, running, told

State = link.State
NO_ROOM = ports.Reply(status=ports.ReplyStatus.ERROR, leave_unset=True)


@pytest.fixture
async def fake() -> AsyncIterator[FakeAstDb]:
    async with fake_astdb.serving() as peer:
        yield peer


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_astdb.hurry(monkeypatch)


@pytest.fixture
def counted() -> Counted:
    return Counted()


async def test_it_looks_at_once(fake: FakeAstDb, logged: list[Any], counted: Counted) -> None:
    """And nobody is told that the gateway had missed the call."""
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is State.SERVING)
        fake.records["v-1"] = told("v-1")
        fake.say("AgiSmsLook: v-1")
        await doors.until(lambda: not fake.records)
    (visit,) = intake.visits
    assert (visit.id, visit.entry, visit.call.key) == ("v-1", call.Entry.AMI, "pbx1/1.0")
    assert fake.subscribed == ["user"]
    assert counted("look") == 1
    assert [line["event"] for line in logged] == ["connected to Asterisk"]


async def test_what_was_missed_is_still_told_apart(fake: FakeAstDb, logged: list[Any]) -> None:
    fake.records = {"v-1": told("v-1"), "v-2": record("v-2", at=AT + 1), "v-3": told("v-3", at=AT + 2)}
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is State.SERVING)
    assert fake.records == {}
    assert [(visit.id, visit.entry) for visit in intake.visits] == [("v-1", "ami"), ("v-2", "astdb"), ("v-3", "ami")]
    (line,) = doors.events(logged, "the gateway missed")
    assert line["calls"] == 1


async def test_one_look_is_for_many_events(fake: FakeAstDb, counted: Counted) -> None:
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is State.SERVING)
        for number in range(200):
            fake.records[f"v-{number}"] = told(f"v-{number}")
            fake.say(f"AgiSmsLook: v-{number}")
        await doors.until(lambda: not fake.records and counted("look") == 200)
    assert len(intake.ids) == 200
    assert len(fake.done("DBGetTree")) < 20


async def test_an_event_during_a_look_is_not_forgotten(fake: FakeAstDb) -> None:
    intake = Intake(fake)

    async def another(visit: call.Visit) -> ports.Reply:
        if visit.id == "v-1":
            fake.records["v-2"] = told("v-2")
            fake.say("AgiSmsLook: v-2")
            await asyncio.sleep(0)
        return await intake.receive(visit)

    fake.records["v-1"] = told("v-1")
    drain = ami.AmiDrain("pbx1", fake_astdb.settings(fake), another, clock=lambda: NOW)
    task = asyncio.create_task(drain.run())
    await doors.until(lambda: intake.ids == ["v-1", "v-2"] and not fake.records)
    task.cancel()
    await asyncio.wait({task})


async def test_events_do_not_hurry_an_outbox_that_is_full(
    fake: FakeAstDb, logged: list[Any], counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ami, "DRAIN_AGAIN", 1000.0)
    fake.records["v-1"] = told("v-1")
    intake = Intake(fake)
    intake.answers["reception"] = NO_ROOM
    async with running(fake, intake):
        await doors.until(lambda: doors.events(logged, "cannot be stored now"))
        for _ in range(20):
            fake.say("AgiSmsLook: v-1")
        await doors.until(lambda: counted("look") == 20)
    assert len(fake.done("DBGetTree")) == 1
    assert list(fake.records) == ["v-1"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("heard", [False, True])
async def test_events_that_never_come_are_missed(fake: FakeAstDb, logged: list[Any], heard: bool) -> None:
    """The user may lack `read = user`, which Asterisk does not say; the records are found all the same."""
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is State.SERVING)
        for number in range(3):
            looks = len(fake.done("DBGetTree"))
            fake.records[f"v-{number}"] = told(f"v-{number}")
            if heard:
                fake.say(f"AgiSmsLook: v-{number}")
            await doors.until(lambda: not fake.records)
            await doors.until(lambda n=looks: len(fake.done("DBGetTree")) > n + 4)  # type: ignore[misc]
    assert len(intake.ids) == 3
    lines = doors.events(logged, "no event told of them")
    assert len(lines) == (0 if heard else 1)
    assert all("read = user" in line["hint"] for line in lines)


@pytest.mark.usefixtures("impatient")
async def test_records_of_the_time_before_are_no_reason_to_complain(
    fake: FakeAstDb, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ami, "LEFT_FOR", 0.05)
    fake.records = {"v-1": told("v-1"), "v-2": told("v-2", node="later")}
    intake = Intake(fake)
    intake.answers["later"] = ports.Reply(status=ports.ReplyStatus.INVALID)
    async with running(fake, intake):
        await doors.until(lambda: list(fake.records) == ["v-2"])
        intake.answers.clear()  # a reload brought the node
        await doors.until(lambda: not fake.records)
        looks = len(fake.done("DBGetTree"))
        await doors.until(lambda: len(fake.done("DBGetTree")) > looks + 4)
    assert doors.events(logged, "no event told of them") == []
