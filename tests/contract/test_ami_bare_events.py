"""A visit that is an event of the dialplan and nothing else: lost where nobody listens, harmless whatever it is."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import call, ports, seldom
from agi_sms.asterisk import ami, ami_client, link, user_events
from tests.contract import doors, fake_astdb
from tests.contract.fake_astdb import NOW, SECRET, Counted, FakeAstDb, Intake, running, told

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


async def test_a_bare_event_is_a_visit(fake: FakeAstDb, counted: Counted) -> None:
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is State.SERVING)
        fake.say("AgiSms: recep%20tion,var.ORDER=a%2Cb c,recipients=%2B48600100300,delay=5m")
        fake.say("AgiSms: recep%20tion")
        await doors.until(lambda: len(intake.visits) == 2)
    first, second = intake.visits
    assert first.id != second.id
    assert (first.node, first.entry, first.arrived_at) == ("recep tion", call.Entry.AMI, NOW)
    assert (first.recipients, first.delay) == ("+48600100300", "5m")
    assert first.call == call.Call(
        pbx="pbx1",
        key="pbx1/1768478400.7",
        call_id="1768478400.7",
        channel_id="1768478400.7",
        linkedid="1768478400.6",
        caller="+48600100200",
        presentation="",  # so that the caller counts as withheld
        caller_name="Jan",
        dialled="100",
        trunk="trunk",
        variables={"ORDER": "a,b c"},
    )
    assert fake.done("DBGetTree") == fake.done("DBGetTree")[:1]
    assert counted("visit") == 2


async def test_what_a_bare_event_hands_over_wins(fake: FakeAstDb) -> None:
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is State.SERVING)
        fake.say("AgiSms: n,visit=event-7,presentation=allowed,caller=%2B1,caller_name=,call=c,dialled=7,origin=1.1")
        await doors.until(lambda: intake.visits)
    (visit,) = intake.visits
    assert (visit.id, visit.call.key, visit.call.channel_id) == ("event-7", "c", "1768478400.7")
    assert (visit.call.presentation, visit.call.caller, visit.call.caller_name) == ("allowed", "+1", "")
    assert visit.call.dialled == "7"


async def test_an_event_by_itself_is_no_visit_unless_that_is_wanted(
    fake: FakeAstDb, logged: list[Any], counted: Counted
) -> None:
    intake = Intake(fake)
    async with running(fake, intake, bare_events=False) as drain:
        await doors.until(lambda: drain.state is State.SERVING)
        for _ in range(3):
            fake.say("AgiSms: n")
        looks = len(fake.done("DBGetTree"))
        fake.say("AgiSmsLook: 1-2-3")
        await doors.until(lambda: len(fake.done("DBGetTree")) > looks)
    assert intake.visits == []
    assert counted("refused") == 3
    (line,) = doors.events(logged, "such are not taken")
    assert line["hint"].startswith("pbx.pbx1.ami: bare_events: true")


FORGED = [
    "1\r\nUserEvent: AgiSms\r\nAgiSms: x",
    "1\r\nUserEvent: AgiSms\r\nAgiSms: x\r\n",
    "1\r\n\r\nEvent: UserEvent\r\nUserEvent: AgiSms\r\nAgiSms: x\r\n\r\n",
    "1\r\n\r\nEvent: UserEvent\r\nPrivilege: user,all\r\nUserEvent: AgiSms\r\nAgiSms: x\r\n\r\n",
    "1\r\n\r\nEvent: UserEvent\r\nUniqueid: 1.1\r\nLinkedid: 1.1\r\nUserEvent: AgiSms\r\nAgiSms: x",
    "1\r\n\r\nEvent: Shutdown\r\n\r\n",
]


@pytest.mark.parametrize("header", ["CallerIDNum", "Exten"])
@pytest.mark.parametrize("number", FORGED)
async def test_a_number_with_line_breaks_invents_no_visit(fake: FakeAstDb, header: str, number: str) -> None:
    """Asterisk writes numbers as they came: over SIP a caller can put into his whatever fits into 79 bytes."""
    assert len(number) <= 100
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is State.SERVING)
        own = [f"{header}: {number}" if line.startswith(f"{header}:") else line for line in fake_astdb.CHANNEL]
        for more in (["AgiSms: desk"], ["AgiSmsLook: 1"], []):
            lines = ["Event: UserEvent", "Privilege: user,all", *own, *more, ""]
            fake.write("".join(f"{line}\r\n" for line in lines).encode())
        fake.say("AgiSms: last")
        await doors.until(lambda: intake.visits)
    assert [visit.node for visit in intake.visits] == ["last"]
    assert len(fake.writers) == 1  # nor does it cut the connection


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("size", [1, 3, 7])
async def test_an_event_in_pieces(fake: FakeAstDb, size: int) -> None:
    intake = Intake(fake)
    async with running(fake, intake, timeout="5s") as drain:
        await doors.until(lambda: drain.state is State.SERVING)
        own = ("Event: UserEvent", "Privilege: user,all", *fake_astdb.CHANNEL)
        whole = "".join(f"{line}\r\n" for line in (*own, "AgiSms: n,var.A=Zażółć€😀", "")).encode()
        for at in range(0, len(whole), size):
            fake.write(whole[at : at + size])
            await asyncio.sleep(0)
        await doors.until(lambda: intake.visits)
    assert intake.visits[0].call.variables == {"A": "Zażółć€😀"}


HOSTILE = [
    ("Event: Shutdown",),
    ("event: shutdown",),
    ("Event: UserEvent", "Event: x", "EVENT: y"),
    ("ActionID: x", "actionid: y"),
    ("CommandID: 1", "CommandID: 2"),
    ("Response: Success", "Response: Follows"),
    ("UserEvent: AgiSms", "userevent: Other"),
    ("Uniqueid: 9.9", "uniqueid: 8.8", "CallerIDNum: +19005550100", "calleridnum: +19005550100"),
    ("result: %zz", "Result: %"),
    ("", "Event: Shutdown"),
    ("", "Event: Shutdown", "Event: x"),
    ("", "Response: Success", "ActionID: 1", "ActionID: 2"),
    ("no colon", ": nothing", " : ", "\x00: \x00", "\ud7ff: \u2028"),
    ("AgiSms: other,recipients=%2B19005550100",),
]


@pytest.mark.parametrize("headers", HOSTILE, ids=repr)
async def test_no_header_of_an_event_ends_the_connection_or_replaces_asterisks_own(
    fake: FakeAstDb, headers: tuple[str, ...]
) -> None:
    """Whoever forgets to encode lets a caller's name make a header: of our events, and of others' too.

    Where it is one of Asterisk's own, nobody knows any more what is true, and there is no visit.
    """
    names = {line.partition(":")[0].lower() for line in (headers if "" not in headers else ())}
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is State.SERVING)
        fake.say("AgiSms: first", *headers)
        fake.write("".join(f"{line}\r\n" for line in ("Event: UserEvent", "UserEvent: x", *headers, "")).encode())
        fake.say("AgiSms: last")
        taken = ["first", "last"] if names.isdisjoint(user_events._OWN) else ["last"]
        await doors.until(lambda: [visit.node for visit in intake.visits] == taken)
        drain.wake()
        await doors.until(lambda: len(fake.done("DBGetTree")) == 2)
    assert len(fake.writers) == 1
    first = intake.visits[0]
    assert (first.call.key, first.call.caller, first.recipients) == ("pbx1/1768478400.7", "+48600100200", None)


async def test_events_that_cannot_be_read_are_counted_and_told_once(
    fake: FakeAstDb, logged: list[Any], counted: Counted
) -> None:
    intake = Intake(fake)
    unreadable = [
        "",
        "AgiSms:",
        "AgiSms: =",
        "AgiSms: n,x",
        "AgiSms: n,delay=1,delay=2",
        "AgiSms: n,at=1768478400",
        "AgiSms: n,way=event",
    ]
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is State.SERVING)
        for header in unreadable * 20:
            fake.say(header) if header else fake.say()
        fake.say("AgiSms: good")
        await doors.until(lambda: intake.visits)
    assert counted("unreadable") == 140
    assert len(doors.events(logged, "cannot be read")) == 1
    assert len(fake.writers) == 1


def test_what_was_left_unsaid_is_told_with_the_next_line(logged: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("agi_sms.seldom.time.monotonic", lambda: now)
    events = listening()
    for _ in range(3):
        events.take({"userevent": "AgiSms"})
    now += seldom.EVERY
    events.take({"userevent": "AgiSms"})
    assert [line.get("more_since_last") for line in logged] == [None, 2]


async def test_more_events_than_can_be_stored(
    fake: FakeAstDb, logged: list[Any], counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is over is lost, and said; AstDB is looked at, and the connection lives on."""
    monkeypatch.setattr(user_events, "MOST_WAITING", 5)
    go_on = asyncio.Event()
    stored: list[str] = []

    async def slow(visit: call.Visit) -> ports.Reply:
        await go_on.wait()
        stored.append(visit.node)
        return fake_astdb.SCHEDULED

    drain = ami.AmiDrain("pbx1", fake_astdb.settings(fake), slow, clock=lambda: NOW)
    task = asyncio.create_task(drain.run())
    await doors.until(lambda: drain.state is State.SERVING)
    for taken in range(1, user_events.AT_ONCE + 1):
        fake.say("AgiSms: in-hand")
        await doors.until(lambda n=taken: counted("visit") == n and drain._events._waiting.empty())  # type: ignore[misc]
    for _ in range(8):
        fake.say("AgiSms: waiting")
    await doors.until(lambda: counted("overflow") == 3)
    await doors.until(lambda: len(fake.done("DBGetTree")) >= 2)
    go_on.set()
    await doors.until(lambda: sorted(stored) == ["in-hand"] * user_events.AT_ONCE + ["waiting"] * 5)
    task.cancel()
    await asyncio.wait({task})
    assert len(doors.events(logged, "faster than they can be stored")) == 1
    assert len(fake.writers) == 1


async def test_a_visit_for_which_there_is_no_room_is_lost_and_said(
    fake: FakeAstDb, logged: list[Any], counted: Counted
) -> None:
    intake = Intake(fake)
    intake.answers["full"] = NO_ROOM
    intake.answers["buggy"] = RuntimeError("a bug")
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is State.SERVING)
        for node in ("full", "full", "buggy", "good"):
            fake.say(f"AgiSms: {node}")
        await doors.until(lambda: len(intake.visits) == 4)
    assert counted("lost") == 2
    assert len(doors.events(logged, "is lost")) == 1
    assert len(doors.events(logged, "a fault of agi-sms")) == 1


async def test_a_gateway_that_stands_by_takes_no_events(fake: FakeAstDb, counted: Counted) -> None:
    """Two that take the same event into databases of their own would send twice."""
    intake, mine = Intake(fake), False
    async with running(fake, intake, ours=lambda: mine) as drain:
        await doors.until(lambda: drain.state is State.SERVING)
        fake.records["v-1"] = told("v-1")
        fake.say("AgiSmsLook: v-1")
        fake.say("AgiSms: n")
        await doors.until(lambda: counted("standby") == 2)
        assert (intake.visits, fake.done("DBGetTree")) == ([], [])
        mine = True
        fake.say("AgiSms: n")
        await doors.until(lambda: intake.visits)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("why", ["dropped", "refused"])
async def test_events_are_heard_again_after_a_reconnect(fake: FakeAstDb, logged: list[Any], why: str) -> None:
    intake = Intake(fake)
    async with running(fake, intake, timeout="5s") as drain:  # a slow machine is no lost connection
        await doors.until(lambda: drain.state is State.SERVING)
        logins = fake.logins
        if why == "refused":
            fake.password = "another"
        fake.writers[-1].close()
        if why == "refused":
            await doors.until(lambda: drain.state is State.REFUSED and fake.logins > logins + 1)
            fake.password = SECRET
        await doors.until(lambda: doors.events(logged, "connected to Asterisk again"))
        fake.say("AgiSms: n")
        await doors.until(lambda: intake.visits)
    assert set(fake.subscribed) == {"user"}
    assert len({action["ActionID"] for action in fake.actions}) == len(fake.actions)


async def test_events_in_hand_are_stored_before_it_stops(fake: FakeAstDb) -> None:
    """Those that wait, too; nothing is stored before the gateway was told to stop."""
    stored: list[str] = []
    go_on = asyncio.Event()

    async def slow(visit: call.Visit) -> ports.Reply:
        await go_on.wait()
        stored.append(visit.node)
        return fake_astdb.SCHEDULED

    drain = ami.AmiDrain("pbx1", fake_astdb.settings(fake), slow, clock=lambda: NOW)
    task = asyncio.create_task(drain.run())
    await doors.until(lambda: drain.state is State.SERVING)
    for _ in range(user_events.AT_ONCE + 15):
        fake.say("AgiSms: n")
    await doors.until(lambda: drain._events._waiting.qsize() == 15)
    task.cancel()
    await doors.until(fake.writers[-1].is_closing)
    assert not task.done()
    go_on.set()
    await asyncio.wait({task})
    assert stored == ["n"] * 25


async def test_what_cannot_be_stored_before_it_stops_is_said(
    fake: FakeAstDb, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_events, "LAST_WAIT", 0.01)

    async def never(visit: call.Visit) -> ports.Reply:
        await asyncio.Event().wait()
        raise AssertionError

    drain = ami.AmiDrain("pbx1", fake_astdb.settings(fake), never, clock=lambda: NOW)
    task = asyncio.create_task(drain.run())
    await doors.until(lambda: drain.state is State.SERVING)
    for _ in range(user_events.AT_ONCE + 3):
        fake.say("AgiSms: n")
    await doors.until(lambda: drain._events._waiting.qsize() == 3)
    task.cancel()
    await asyncio.wait({task})
    (line,) = doors.events(logged, "stopped before events")
    assert line["calls"] == user_events.AT_ONCE + 3


# --- anything ---


def listening() -> user_events.UserEvents:
    async def nobody(visit: call.Visit) -> ports.Reply:
        raise AssertionError(visit)

    return user_events.UserEvents("pbx1", nobody, clock=lambda: NOW, ours=lambda: True, look=lambda: None, bare=True)


NAMES = st.sampled_from(
    ["agisms", "agismslook", "uniqueid", "calleridnum", "calleridname", "exten", "channel", "linkedid", "x"]
)


@given(st.dictionaries(NAMES, st.text() | st.just("n,var.A=1") | st.text(alphabet='n,="%\\([].<>v\x00')))
def test_no_event_raises(headers: dict[str, str]) -> None:
    listening().take({**headers, "userevent": "AgiSms"})


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8")) | st.sampled_from(sum(HOSTILE, ()))))
def test_no_text_in_an_event_reaches_the_parser_of_answers(lines: list[str]) -> None:
    """It is one event, whatever stands in it, unless the dialplan itself sends an empty line."""
    heard: list[dict[str, str]] = []
    protocol = ami_client._Protocol()
    protocol.received, protocol._begun = 0, ""
    protocol.factory = type("Factory", (), {"said": staticmethod(heard.append)})()
    protocol._message("\r\n".join(["Event: UserEvent", "UserEvent: Real", *lines]))
    assert [event["userevent"] for event in heard] == ["Real"]
