"""The ARI door: every call goes on, once, and no visit is lost or doubled, whatever Asterisk or we do wrong."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pydantic
import pytest
from aiohttp import web

from agi_sms import call, ports
from agi_sms.asterisk import ari, ari_client
from agi_sms.asterisk.settings import Ari
from tests.contract import doors, fake_ari


@pytest.fixture
async def fake() -> AsyncIterator[fake_ari.FakeAri]:
    async with fake_ari.serve() as server:
        yield server


@pytest.fixture
async def intake() -> fake_ari.Intake:
    return fake_ari.Intake()


# --- one call ---


async def test_a_call_is_stored_told_and_sent_on(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake, logged: list[Any]
) -> None:
    async with fake_ari.running(fake, intake) as entry:
        await fake.connected()
        await fake.start("1.1", "reception", "visit=v-1", "origin=1.0", "caller=%2B48600100200")
        await doors.until(lambda: fake.asked("1.1"))
        assert entry.in_hand == 1
        await fake.end("1.1", ms=7)
        await doors.until(lambda: intake.back)
    assert fake.asked("1.1") == fake_ari.SENT_ON
    (visit,) = intake.visits
    assert (visit.id, visit.node, visit.entry, visit.arrived_at) == ("v-1", "reception", call.Entry.ARI, fake_ari.NOW)
    assert (visit.call.key, visit.call.caller, visit.call.trunk) == ("pbx1/1.0", "+48600100200", "acme")
    assert intake.back == [("act-1", datetime(2026, 1, 15, 12, 0, 0, 7000, UTC))]
    (line,) = doors.events(logged, "call returned")
    assert (line["held_ms"], line["node"], line["call_id"], line["reply"]) == (7.0, "reception", "1.0", "SCHEDULED,2")


async def test_no_address_holds_a_credential(fake: fake_ari.FakeAri, intake: fake_ari.Intake) -> None:
    async with fake_ari.running(fake, intake):
        await fake.connected()
    assert any(path.startswith("/ari/events?app=agi-sms") for path in fake.paths)
    assert not [path for path in fake.paths if fake_ari.PASSWORD in path or fake_ari.USER in path]


async def test_only_what_is_used_of_the_description_is_read(fake: fake_ari.FakeAri, intake: fake_ari.Intake) -> None:
    async with fake_ari.running(fake, intake):
        await fake.connected()
    assert sorted(path.rpartition("/")[2] for path in fake.paths if "api-docs" in path) == [
        "applications.json",
        "channels.json",
        "events.json",
        "resources.json",
    ]


@pytest.mark.parametrize(
    ("args", "answer", "expected"),
    [
        (["reception", "bogus=1"], fake_ari.SCHEDULED, [("continue", "result:INVALID:0")]),
        ([""], fake_ari.SCHEDULED, [("continue", "result:INVALID:0")]),
        (["reception"], RuntimeError("a bug"), [("continue", "result:ERROR:0")]),
        (["reception"], ports.Reply(status=ports.ReplyStatus.ERROR, leave_unset=True), [("continue",)]),
        (["none"], ports.Reply(status=ports.ReplyStatus.INVALID), [("continue", "result:INVALID:0")]),
    ],
)
async def test_whatever_is_wrong_the_call_goes_on(
    fake: fake_ari.FakeAri,
    intake: fake_ari.Intake,
    logged: list[Any],
    args: list[str],
    answer: ports.Reply | Exception,
    expected: list[tuple[str, ...]],
) -> None:
    intake.answer = answer
    async with fake_ari.running(fake, intake) as entry:
        await doors.until(lambda: entry.state is ari.State.SERVING)
        missed = intake.missed
        await fake.start("1.1", *args)
        await doors.until(lambda: fake.asked("1.1"))
        await fake.end("1.1")
        await doors.until(lambda: doors.events(logged, "call returned"))
        left_unset = isinstance(answer, ports.Reply) and answer.leave_unset
        assert intake.missed - missed == (1 if left_unset else 0)
    assert fake.asked("1.1") == expected


@pytest.mark.parametrize(
    ("place", "marked"),
    [
        ({"context": "from-trunk", "exten": "s"}, True),
        ({"context": "agi-sms", "exten": "100"}, True),
        ({}, True),
        ({"context": "agi-sms", "exten": "s"}, False),  # somebody's own context of that name
    ],
)
async def test_a_bare_stasis_just_goes_on(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake, place: dict[str, str], marked: bool
) -> None:
    """It has no extension that takes an answer, and a place that does not exist would end the call."""
    fake.place, fake.marked = place, marked
    async with fake_ari.running(fake, intake):
        await fake.connected()
        await fake.start("1.1", "reception", "visit=00000000-0000-4000-8000-000000000001", "context=agi-sms")
        await doors.until(lambda: fake.asked("1.1"))
        await fake.start("1.2", "reception")
        await doors.until(lambda: fake.asked("1.2"))
    assert fake.asked("1.1") == fake.asked("1.2") == [("continue",)]


async def test_a_call_that_left_before_it_was_sent_on(fake: fake_ari.FakeAri, intake: fake_ari.Intake) -> None:
    """The dialplan has written its visit down, so somebody is to look there, now."""
    async with fake_ari.running(fake, intake) as entry:
        await doors.until(lambda: entry.state is ari.State.SERVING)
        missed = intake.missed
        intake.gate.clear()
        await fake.start("1.1", "reception", "visit=v-1")
        await doors.until(lambda: intake.visits)
        await fake.end("1.1")
        await doors.until(lambda: intake.missed == missed + 1)
        intake.gate.set()
        await doors.until(lambda: intake.back)
    assert fake.asked("1.1") == []


async def test_strange_events_disturb_nobody(fake: fake_ari.FakeAri, intake: fake_ari.Intake) -> None:
    async with fake_ari.running(fake, intake):
        socket = await fake.connected()
        await fake.start("1.9", "reception", replace_channel={"id": "1.8"})
        await fake.start("1.8", "reception", application="another")
        fake.channels.clear()
        await socket.send_json({"type": "NeverHeardOf", "application": fake_ari.APP})
        await socket.send_json({"type": "StasisStart", "application": fake_ari.APP})
        await socket.send_json({"type": "StasisStart", "application": fake_ari.APP, "channel": 7, "args": {}})
        await socket.send_json({"type": "StasisEnd", "application": fake_ari.APP, "channel": None})
        await fake.start("1.1", "reception", "visit=v-1")
        await doors.until(lambda: fake.asked("1.1"))
    assert [visit.id for visit in intake.visits] == ["v-1"]
    assert len(fake.sockets) == 1


async def test_a_caller_who_hangs_up_meanwhile_is_left_alone(fake: fake_ari.FakeAri, intake: fake_ari.Intake) -> None:
    intake.gate.clear()
    async with fake_ari.running(fake, intake) as entry:
        await fake.connected()
        await fake.start("1.1", "reception")
        await doors.until(lambda: intake.visits)
        await fake.end("1.1")
        await doors.until(lambda: entry.in_hand == 0)
        intake.gate.set()
        await doors.until(lambda: intake.back)
    assert fake.asked("1.1") == []


async def test_a_channel_that_came_again_is_not_released_for_the_visit_before(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake
) -> None:
    """The watchdog took it out of the first visit while we were busy with that."""
    intake.gate.clear()
    async with fake_ari.running(fake, intake):
        await fake.connected()
        await fake.start("1.1", "reception", "visit=v-1")
        await doors.until(lambda: len(intake.visits) == 1)
        await fake.end("1.1")
        await fake.start("1.1", "reception", "visit=v-2")
        await doors.until(lambda: len(intake.visits) == 2)
        assert fake.asked("1.1") == []
        intake.gate.set()
        await doors.until(lambda: fake.asked("1.1"))
        await fake.end("1.1")
        await doors.until(lambda: len(intake.back) == 2)
    assert fake.asked("1.1") == fake_ari.SENT_ON


# --- Asterisk does not answer as it should ---


@pytest.mark.parametrize("number", [404, 409])
async def test_a_channel_that_is_gone_already_is_fine(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake, number: int
) -> None:
    fake.script["gone-1/continue"] = fake_ari.status(number)
    async with fake_ari.running(fake, intake):
        await fake.connected()
        await fake.start("gone-1", "reception")
        await doors.until(lambda: any("gone-1/continue" in path for path in fake.paths))
        await fake.end("gone-1")
        await doors.until(lambda: intake.back)
    assert fake.asked("gone-1") == []


async def test_a_leg_that_is_down_is_asked_once(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake, logged: list[Any]
) -> None:
    fake.script["1.1/continue"] = fake_ari.status(412)
    async with fake_ari.running(fake, intake):
        await fake.connected()
        await fake.start("1.1", "reception")
        await doors.until(lambda: doors.events(logged, "could not be sent on"))
    assert sum("1.1/continue" in path for path in fake.paths) == 1


async def test_continue_is_repeated_only_while_the_channel_is_in_the_same_visit(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake
) -> None:
    async def break_once(request: web.Request) -> web.StreamResponse | None:
        del fake.script["/continue"]
        return await fake_ari.reset(request)

    async with fake_ari.running(fake, intake):
        await fake.connected()
        fake.script["/continue"] = break_once
        await fake.start("1.1", "reception", "visit=v-1")
        await doors.until(lambda: fake.asked("1.1"))
        assert any(path == "/ari/channels/1.1" for path in fake.paths), "looked before it asked again"

        fake.script["/continue"] = break_once
        await fake.start("1.2", "reception", "visit=v-2")
        await doors.until(lambda: "/continue" not in fake.script)
        fake.channels["1.2"] = "agi-sms,reception,visit=v-3"  # it did go on, and came again
        await doors.until(lambda: "/ari/channels/1.2" in fake.paths)
        await fake.start("1.3", "reception", "visit=v-4")
        await doors.until(lambda: fake.asked("1.3"))
    assert fake.asked("1.2") == []


async def test_the_answer_says_for_which_visit_it_is(fake: fake_ari.FakeAri, intake: fake_ari.Intake) -> None:
    """Asterisk sends a channel on also where it is in its next visit; the subroutine sees then that this is not its."""
    async with fake_ari.running(fake, intake):
        await fake.connected()
        await fake.start("1.1", "reception", "visit=1795486398.1840-1795486398123456-987654321")
        await doors.until(lambda: fake.asked("1.1"))
    (path,) = (path for path in fake.paths if path.startswith("/ari/channels/1.1/continue"))
    assert "extension=result%3ASCHEDULED%3A2%3A987654321&" in path


# --- heard of late ---

AT = "2026-01-15T12:00:{:06.3f}+0000"
DATE = "Thu, 15 Jan 2026 12:00:{:02} GMT"


async def one_at_once(fake: fake_ari.FakeAri) -> None:
    """A visit that is heard of at once, for comparison; it came at second 10."""
    await fake.connected()
    await fake.start("1.1", "reception", "visit=v-1", timestamp=AT.format(10))
    await doors.until(lambda: fake.asked("1.1"))


async def test_a_visit_heard_of_late_is_as_old_as_it_is(fake: fake_ari.FakeAri, intake: fake_ari.Intake) -> None:
    """It left by its watchdog, and the channel is in its next visit, which is not to be sent on for it."""
    async with fake_ari.running(fake, intake):
        await one_at_once(fake)
        fake.date = DATE.format(10)
        await fake.start("1.2", "reception", "visit=v-2", timestamp=AT.format(2))
        fake.channels["1.2"] = "agi-sms,reception,back=1,visit=v-3"
        await fake.start("1.4", "reception", "visit=v-4", timestamp=AT.format(2))
        await fake.end("1.4")  # known to have left before anybody asks
        await doors.until(lambda: len(intake.visits) == 3)
        await fake.end("1.2")
        await fake.start("1.2", "reception", "visit=v-3", timestamp=AT.format(10.2))
        await doors.until(lambda: fake.asked("1.2"))
    ages = {visit.id: (fake_ari.NOW - visit.arrived_at).total_seconds() for visit in intake.visits}
    assert ages == {"v-1": 0, "v-2": 8, "v-3": 0, "v-4": 8}
    assert fake.asked("1.4") == []
    assert fake.asked("1.2") == fake_ari.SENT_ON


async def test_a_visit_heard_of_late_that_still_waits_is_sent_on(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake
) -> None:
    async with fake_ari.running(fake, intake):
        await one_at_once(fake)
        fake.date, fake.marked = DATE.format(10), False
        await fake.start("1.2", "reception", timestamp=AT.format(2))
        await doors.until(lambda: fake.asked("1.2"))
    assert (fake_ari.NOW - intake.visits[1].arrived_at).total_seconds() == 8
    assert fake.asked("1.2") == [("continue",)]


async def test_a_clock_set_back_makes_nothing_late(fake: fake_ari.FakeAri, intake: fake_ari.Intake) -> None:
    """Asterisk's own time says so, and is asked for once."""
    async with fake_ari.running(fake, intake):
        await one_at_once(fake)
        fake.date = DATE.format(2)
        await fake.start("1.2", "reception", "visit=v-2", timestamp=AT.format(2.3))
        await doors.until(lambda: fake.asked("1.2"))
        await fake.start("1.3", "reception", "visit=v-3", timestamp=AT.format(2.4))
        await doors.until(lambda: fake.asked("1.3"))
    assert {visit.arrived_at for visit in intake.visits} == {fake_ari.NOW}
    assert "/ari/channels/1.2" in fake.paths
    assert "/ari/channels/1.3" not in fake.paths


@pytest.mark.parametrize("broken", ["no date", "no date at all", "no answer"])
async def test_where_nobody_knows_how_late_it_is_it_came_just_now(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake, broken: str
) -> None:
    async with fake_ari.running(fake, intake):
        await one_at_once(fake)
        fake.date = {"no date": "yesterday", "no date at all": " "}.get(broken, DATE.format(10))
        if broken == "no answer":
            fake.script["channels/1.2"] = fake_ari.reset
        await fake.start("1.2", "reception", "visit=v-2", timestamp=AT.format(2))
        await doors.until(lambda: len(intake.visits) == 2)
        fake.script.clear()
        await doors.until(lambda: fake.asked("1.2"))
    assert {visit.arrived_at for visit in intake.visits} == {fake_ari.NOW}


# --- recovery ---


async def test_parked_channels_are_found_stored_once_and_sent_on(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake
) -> None:
    fake.channels = {
        "1.1": 'agi-sms,reception,back=1,visit=v-1,caller_name="a,b"',
        "1.2": "agi-sms,reception,back=1",
        "1.3": "another,reception",
    }
    async with fake_ari.running(fake, intake):
        await doors.until(lambda: len(fake.seen) == 2)
        await fake.start("1.1", "reception", "visit=v-1", "caller_name=a,b")  # its event, late
        await fake.end("1.1")
        await doors.until(lambda: intake.back)
        await fake.start("1.4", "reception", "visit=v-4")
        await doors.until(lambda: fake.asked("1.4"))
    assert sorted(visit.id for visit in intake.visits)[1:] == ["v-1", "v-4"]
    assert fake.asked("1.1") == fake.asked("1.2") == fake_ari.SENT_ON
    assert fake.asked("1.3") == []


async def test_a_bare_visit_keeps_its_id_when_it_is_found_again(fake: fake_ari.FakeAri) -> None:
    """The gateway was killed between storing and sending on, twice."""
    found = []
    for _ in range(2):
        intake = fake_ari.Intake()
        fake.channels = {"1.2": "agi-sms,reception"}
        async with fake_ari.running(fake, intake):
            await doors.until(lambda: fake.asked("1.2"))
        fake.seen.clear()
        found += [visit.id for visit in intake.visits]
    assert found[0] == found[1]


async def test_too_many_parked_channels_are_looked_after_in_turn(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are no visits, and stay, do not keep the others from their turn."""
    monkeypatch.setattr(ari, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(ari, "LOOK_MOST", 10)
    fake.channels = {f"1.{n}": f"other-app,{n}" for n in range(45)}
    fake.channels |= {f"2.{n}": "agi-sms,reception" for n in range(25)}
    looks = 0

    async def count(_: web.Request) -> None:
        nonlocal looks
        looks += 1

    fake.script["applications/"] = count
    async with fake_ari.running(fake, intake):
        await doors.until(lambda: all(fake.asked(f"2.{n}") for n in range(25)))
        assert looks >= 3
    assert len(intake.visits) == 25


async def test_hundreds_of_parked_channels_open_few_connections(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake
) -> None:
    fake.channels = {f"1.{number}": f"agi-sms,reception,visit=v-{number}" for number in range(300)}
    async with fake_ari.running(fake, intake):
        await doors.until(lambda: sum(asked[1] == "continue" for asked in fake.seen) == 300)
    assert len(intake.visits) == 300
    assert fake.most_at_once <= ari_client.POOL
    assert len(fake.peers) <= ari_client.POOL + 1


async def test_a_call_that_could_not_be_sent_on_is_looked_at_again(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ari, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(ari, "STUCK_AFTER", 0.05)
    monkeypatch.setattr(ari, "PAUSES", (0.0, 0.01))
    async with fake_ari.running(fake, intake):
        await fake.connected()
        fake.script["1.1/continue"] = fake_ari.reset
        await fake.start("1.1", "reception", "visit=v-1")
        await doors.until(lambda: sum("1.1/continue" in path for path in fake.paths) >= 2)
        del fake.script["1.1/continue"]
        await doors.until(lambda: fake.asked("1.1"))
    assert len(intake.visits) == 1


# --- settings ---


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "127.0.0.1:8088"},
        {"url": "ftp://127.0.0.1"},
        {"url": "http://user:pw@127.0.0.1:8088"},
        {"url": "http://127.0.0.1:8088/?api_key=x"},
        {"url": "http://127.0.0.1:99999"},
        {"url": ""},
        {"app": "a,b"},
        {"app": ""},
        {"timeout": "soon"},
        {"more": 1},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {"url": "http://127.0.0.1:8088", "username": "u", "password": "p"}
    assert Ari(**right).url == "http://127.0.0.1:8088/"
    with pytest.raises(pydantic.ValidationError):
        Ari(**right | wrong)
