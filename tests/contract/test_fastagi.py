"""The FastAGI door: every call goes on, no visit is lost or doubled, whatever a caller's name holds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import REGISTRY

from agi_sms import call, errors, ports
from agi_sms.asterisk import agi, agi_request
from tests.contract import doors, fake_agi
from tests.contract.fake_agi import FROM_SUBROUTINE, SUBROUTINE, header

PRESENTATION = {"CALLERID(num-pres)": "allowed_passed_screen", "CHANNEL(linkedid)": fake_agi.LINKEDID}
UNSET = ports.Reply(status=ports.ReplyStatus.ERROR, leave_unset=True)
INVALID = ports.Reply(status=ports.ReplyStatus.INVALID)


@pytest.fixture
async def intake() -> fake_agi.Intake:
    return fake_agi.Intake()


@pytest.fixture
async def entry(intake: fake_agi.Intake) -> AsyncIterator[agi.AgiEntry]:
    async with fake_agi.running(intake) as opened:
        yield opened


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"agi_sms_{name}_total", labels) or 0.0


def dropped(reason: str) -> float:
    return counted("agi_dropped", reason=reason)


def only(intake: fake_agi.Intake) -> call.Visit:
    (visit,) = intake.visits
    return visit


# --- one call ---


async def test_a_call_is_stored_told_and_sent_on(
    entry: agi.AgiEntry, intake: fake_agi.Intake, logged: list[Any]
) -> None:
    before = counted("calls", pbx="pbx1", entry="agi", status="SCHEDULED")
    channel = await fake_agi.visit(entry)
    assert channel.variables == {"AGISMS": "SCHEDULED,2"}
    visit = only(intake)
    assert (visit.id, visit.node, visit.entry, visit.arrived_at) == ("v-1", "reception", call.Entry.AGI, fake_agi.NOW)
    assert (visit.call.pbx, visit.call.key, visit.call.caller) == ("pbx1", "pbx1/1795431030.1", "+48600100200")
    assert (visit.call.trunk, visit.call.linkedid) == ("acme", "1.0")
    await doors.until(lambda: intake.back)
    assert intake.back == [("act-1", fake_agi.NOW)]
    (line,) = doors.events(logged, "call returned")
    assert (line["node"], line["call_id"], line["reply"]) == ("reception", "1795431030.1", "SCHEDULED,2")
    assert (line["channel"], line["pbx"]) == (fake_agi.UNIQUEID, "pbx1")
    assert 0 < line["held_ms"] < 10_000
    assert counted("calls", pbx="pbx1", entry="agi", status="SCHEDULED") == before + 1
    assert intake.looks == []


async def test_nothing_is_told_before_it_is_stored(entry: agi.AgiEntry, intake: fake_agi.Intake) -> None:
    intake.gate.clear()
    async with fake_agi.connected(entry) as channel:
        channel.write(SUBROUTINE)
        running = asyncio.create_task(channel.run())
        await doors.until(lambda: intake.visits)
        assert [command.split()[0] for command in channel.commands] == ["GET"]
        intake.gate.set()
        assert await running == {"AGISMS": "SCHEDULED,2"}


async def test_what_is_handed_over_is_not_asked_for(entry: agi.AgiEntry, intake: fake_agi.Intake) -> None:
    channel = await fake_agi.visit(entry, header(args=[*FROM_SUBROUTINE, "diverted_from="]), **PRESENTATION)
    assert "$" not in channel.commands[0]
    assert (only(intake).call.presentation, only(intake).call.linkedid) == ("allowed", "1.0")


async def test_a_bare_call_lives_on_what_the_channel_tells(entry: agi.AgiEntry, intake: fake_agi.Intake) -> None:
    functions = PRESENTATION | {"REDIRECTING(from-num-pres)": "allowed_not_screened"}
    channel = await fake_agi.visit(
        entry,
        header("rec%20eption?var.A=b%2Cc%26d&delay=5m", ["var.B=2", ""], agi_rdnis="48221131415"),
        **functions,
    )
    assert channel.variables == {"AGISMS": "SCHEDULED,2", "AGISMS_STATUS": "SCHEDULED", "AGISMS_COUNT": "2"}
    visit = only(intake)
    assert (visit.node, visit.delay) == ("rec eption", "5m")
    assert visit.call == call.Call(
        pbx="pbx1",
        key=f"pbx1/{fake_agi.UNIQUEID}",
        call_id=fake_agi.UNIQUEID,
        channel_id=fake_agi.UNIQUEID,
        linkedid=fake_agi.LINKEDID,
        caller="600100200",
        presentation="allowed_passed_screen",
        caller_name="Ann",
        dialled="225550100",
        diverted_from="48221131415",
        trunk="acme",
        variables={"A": "b,c&d", "B": "2"},
    )


async def test_what_the_channel_does_not_tell_is_withheld(entry: agi.AgiEntry, intake: fake_agi.Intake) -> None:
    unknown = dict.fromkeys(("agi_callerid", "agi_calleridname", "agi_dnid"), "unknown")
    await fake_agi.visit(entry, header("reception", agi_rdnis="48221131415", agi_extension="h", **unknown))
    told = only(intake).call
    assert (told.presentation, told.caller, told.caller_name, told.dialled, told.diverted_from) == ("",) * 5


async def test_each_bare_visit_is_one_of_its_own(entry: agi.AgiEntry, intake: fake_agi.Intake) -> None:
    for _ in range(3):
        await fake_agi.visit(entry, header("reception"))
    assert len({visit.id for visit in intake.visits}) == 3
    assert len({visit.call.key for visit in intake.visits}) == 1


async def test_ipv6_and_several_pbxs(intake: fake_agi.Intake) -> None:
    """Whose connection it is, is told by the address."""
    async with fake_agi.running(intake, pbx_at={"127.0.0.1": "one", "127.0.0.2": "two"}.get) as entry:
        await fake_agi.visit(entry)
        await fake_agi.visit(entry, host="127.0.0.2")
    assert [visit.call.pbx for visit in intake.visits] == ["one", "two"]


# --- whatever is wrong, the call goes on ---


@pytest.mark.parametrize("marked", [True, False], ids=["subroutine", "bare"])
@pytest.mark.parametrize(
    ("args", "answer", "told"),
    [
        (["bogus=1"], fake_agi.SCHEDULED, "INVALID,0"),
        (["caller"], fake_agi.SCHEDULED, "INVALID,0"),
        (["at=5"], fake_agi.SCHEDULED, "INVALID,0"),
        ([], INVALID, "INVALID,0"),
        ([], RuntimeError("a bug"), "ERROR,0"),
    ],
    ids=["argument", "no value", "record's", "no such node", "a bug"],
)
async def test_whatever_is_wrong_the_call_goes_on(
    entry: agi.AgiEntry,
    intake: fake_agi.Intake,
    marked: bool,
    args: list[str],
    answer: ports.Reply | Exception,
    told: str,
) -> None:
    intake.answer = answer
    channel = await fake_agi.visit(entry, header("reception" + "?back=1" * marked, args))
    assert channel.variables["AGISMS"] == told
    status, count = told.split(",")
    rest = {} if marked else {"AGISMS_STATUS": status, "AGISMS_COUNT": count}
    assert channel.variables == {"AGISMS": told} | rest
    assert intake.looks == []


@pytest.mark.parametrize("script", [None, "", "?back=1", "a=b", "x" * 200, "a%0Ab"])
async def test_no_node_is_no_reason_to_hold_a_call(
    entry: agi.AgiEntry, intake: fake_agi.Intake, script: str | None
) -> None:
    channel = await fake_agi.visit(entry, header(script))
    assert channel.variables["AGISMS"] == "INVALID,0"
    assert intake.visits == []


async def test_what_is_not_stored_is_left_to_the_subroutine(entry: agi.AgiEntry, intake: fake_agi.Intake) -> None:
    intake.answer = UNSET
    channel = await fake_agi.visit(entry)
    assert channel.variables == {}
    await doors.until(lambda: intake.looks == ["pbx1"])
    assert intake.back == []


async def test_without_the_subroutine_nobody_writes_it_down(entry: agi.AgiEntry, intake: fake_agi.Intake) -> None:
    """So what an earlier visit was told must not stay."""
    intake.answer = UNSET
    channel = await fake_agi.visit(entry, header("reception"))
    assert channel.variables == {"AGISMS": "ERROR,0", "AGISMS_STATUS": "ERROR", "AGISMS_COUNT": "0"}
    assert intake.looks == []


async def test_a_place_is_free_when_the_call_goes_on(intake: fake_agi.Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while it cannot be noted that it does, as where the database is held."""
    noted = asyncio.Event()

    async def held(_: str, __: object) -> None:
        await noted.wait()

    async with fake_agi.running(intake, connections=2) as entry:
        monkeypatch.setattr(entry, "_returned", held)
        for _ in range(5):
            assert (await fake_agi.visit(entry)).variables == {"AGISMS": "SCHEDULED,2"}
            await doors.until(lambda: entry.connections == 0)
        noted.set()


async def test_a_fault_behind_the_answer_costs_nothing(
    entry: agi.AgiEntry, intake: fake_agi.Intake, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    async def broken(_: str, __: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(entry, "_returned", broken)
    assert (await fake_agi.visit(entry)).variables == {"AGISMS": "SCHEDULED,2"}
    await doors.until(lambda: doors.events(logged, "could not note that a call is back"))


# --- hangups ---


@pytest.mark.parametrize("times", [1, 3])
async def test_hangup_lines_do_not_put_replies_out_of_step(
    entry: agi.AgiEntry, intake: fake_agi.Intake, times: int
) -> None:
    """As from `h`, or where the caller hangs up while the gateway has the call."""
    async with fake_agi.connected(entry) as channel:
        channel.functions = PRESENTATION
        channel.before = b"HANGUP\n" * times
        channel.write(header("reception") + b"HANGUP\n" * times)
        told = await channel.run()
    assert told == {"AGISMS": "SCHEDULED,2", "AGISMS_STATUS": "SCHEDULED", "AGISMS_COUNT": "2"}
    assert only(intake).call.presentation == "allowed_passed_screen"


async def test_trying_is_not_the_reply(entry: agi.AgiEntry) -> None:
    async with fake_agi.connected(entry) as channel:
        channel.answers["SET"] = b"100 result=0 Trying...\n200 result=1\n"
        channel.write(SUBROUTINE)
        await channel.run()
        assert len(channel.commands) == 2


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("raw", [SUBROUTINE, SUBROUTINE + b"HANGUP\nHANGUP\n"], ids=["cut", "hung up"])
async def test_gone_before_it_was_asked_anything(
    entry: agi.AgiEntry, intake: fake_agi.Intake, raw: bytes, how: str, logged: list[Any]
) -> None:
    """The header is whole, so the visit is stored; the dialplan has written it down as well, under the same id."""
    async with fake_agi.connected(entry) as channel:
        channel.write(raw)
        await channel.writer.drain()
        channel.close() if how == "close" else channel.reset()
        await doors.until(lambda: entry.connections == 0 and (intake.visits or doors.events(logged, "closed")))
    if how == "close":
        assert only(intake).id == "v-1"
        await doors.until(lambda: intake.looks == ["pbx1"] and intake.back)
        (line,) = doors.events(logged, "call returned")
        assert line["reply"].startswith("none")


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_gone_while_it_is_stored(
    entry: agi.AgiEntry, intake: fake_agi.Intake, how: str, logged: list[Any]
) -> None:
    intake.gate.clear()
    async with fake_agi.connected(entry) as channel:
        channel.write(SUBROUTINE)
        assert await channel.answer()
        await doors.until(lambda: intake.visits)
        channel.close() if how == "close" else channel.reset()
        intake.gate.set()
        await doors.until(lambda: intake.looks == ["pbx1"] and intake.back)
    assert only(intake).id == "v-1"
    (line,) = doors.events(logged, "call returned")
    assert line["reply"].startswith("none")
    assert [line for line in logged if line["log_level"] in ("warning", "error")] == []


async def test_half_closed_connections_are_calls_that_have_hung_up(
    entry: agi.AgiEntry, intake: fake_agi.Intake
) -> None:
    async with fake_agi.connected(entry) as channel:
        channel.write(SUBROUTINE)
        channel.writer.write_eof()
        await channel.ended()
    assert only(intake).id == "v-1"
    async with fake_agi.connected(entry) as channel:
        channel.write(SUBROUTINE[:-1])
        channel.writer.write_eof()
        await channel.ended()
    await doors.until(lambda: entry.connections == 0)
    assert len(intake.visits) == 1


# --- strangers' values ---

NAMES = {
    "arguments": "x\nagi_arg_1: recipients=+19005550100",
    "thread": "x\nagi_threadid: 1\nagi_arg_1: recipients=+19005550100",
    "end": "x\nagi_threadid: 1\nagi_arg_1: back=1\nagi_arg_2: visit=mine\nagi_arg_3: recipients=+19005550100\n",
    "mark": "x\nagi_threadid: 1\nagi_network_script: reception?back=1\nagi_arg_1: back=1\n",
    "reply": "x\nagi_threadid: 1\nagi_arg_1: recipients=+19005550100\n\n200 result=1 (allowed)\n200 result=1",
    "two ends": "x\n\n\n\n\n",
    "hangup": "x\n\nHANGUP\nHANGUP",
    "node": "x\nagi_network_script: other\nagi_uniqueid: 6.6\nagi_channel: PJSIP/other-1\nagi_callerid: +19005550100",
    "carriage returns": "x\r\nagi_arg_1: recipients=+19005550100\r\n\r\n",
    "not UTF-8": "\udcff\udcfe\n\n\udcc5",
    "lines": "x\n" * 400,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
async def test_a_callers_name_with_line_breaks_adds_nothing(
    entry: agi.AgiEntry, intake: fake_agi.Intake, name: str
) -> None:
    channel = await fake_agi.visit(entry, header(args=FROM_SUBROUTINE, agi_calleridname=name), **PRESENTATION)
    assert channel.variables == {"AGISMS": "SCHEDULED,2"}
    visit = only(intake)
    assert (visit.id, visit.node, visit.recipients) == ("v-1", "reception", None)
    assert (visit.call.channel_id, visit.call.caller, visit.call.trunk) == (fake_agi.UNIQUEID, "+48600100200", "acme")


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
async def test_the_same_without_the_subroutine(entry: agi.AgiEntry, intake: fake_agi.Intake, name: str) -> None:
    channel = await fake_agi.visit(entry, header("reception?delay=1h", agi_calleridname=name), **PRESENTATION)
    assert channel.variables == {"AGISMS": "SCHEDULED,2", "AGISMS_STATUS": "SCHEDULED", "AGISMS_COUNT": "2"}
    visit = only(intake)
    assert (visit.node, visit.recipients, visit.delay, visit.call.channel_id) == (
        "reception",
        None,
        "1h",
        fake_agi.UNIQUEID,
    )
    assert visit.call.caller in ("600100200", "")
    assert visit.call.presentation == "allowed_passed_screen"


async def test_a_name_in_the_dialled_number_is_nobodys(entry: agi.AgiEntry, intake: fake_agi.Intake) -> None:
    raw = header("reception", agi_calleridname="x\nagi_dnid: 0900\nagi_extension: 0900\nagi_rdnis: 0900")
    await fake_agi.visit(entry, raw, **PRESENTATION | {"REDIRECTING(from-num-pres)": "allowed"})
    assert (only(intake).call.dialled, only(intake).call.diverted_from) == ("", "")


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_torn_header_of_a_call_that_hung_up_is_left_to_the_dialplan(
    entry: agi.AgiEntry, intake: fake_agi.Intake, how: str
) -> None:
    """Nothing proves what in it is Asterisk's; the subroutine writes the visit down."""
    before = dropped("cut_off")
    async with fake_agi.connected(entry) as channel:
        channel.write(header(args=FROM_SUBROUTINE, agi_calleridname=NAMES["end"]))
        channel.close() if how == "close" else channel.reset()
        await doors.until(lambda: dropped("cut_off") + dropped("closed") > before and entry.connections == 0)
    assert intake.visits == []


# --- beginning and end ---


async def test_a_port_that_is_taken_is_said_in_words(entry: agi.AgiEntry, intake: fake_agi.Intake) -> None:
    other = agi.AgiEntry(
        intake.receive,
        limits=agi.Limits(connections=1, timeout=1),
        pbx_at=fake_agi.only_loopback,
        clock=lambda: fake_agi.NOW,
    )
    with pytest.raises(errors.AgiSmsError, match=rf"agi\.listen: 127\.0\.0\.1:{entry.port} cannot .*in use"):
        await other.open("127.0.0.1", entry.port)
    await other.close()


@pytest.mark.parametrize("host", ["a..b", f"{'x' * 64}.example"])
async def test_an_address_that_cannot_be_looked_up_is_said_in_words(intake: fake_agi.Intake, host: str) -> None:
    """A configuration does not let it pass."""
    entry = agi.AgiEntry(
        intake.receive,
        limits=agi.Limits(connections=1, timeout=1),
        pbx_at=fake_agi.only_loopback,
        clock=lambda: fake_agi.NOW,
    )
    with pytest.raises(errors.AgiSmsError, match=rf"agi\.listen: {host}:4573 cannot be listened on \(.+\)"):
        await entry.open(host, 4573)
    await entry.close()


async def test_calls_in_hand_go_on_when_the_gateway_stops(intake: fake_agi.Intake) -> None:
    """No new ones come in, and what has said nothing keeps nobody waiting."""
    intake.gate.clear()
    async with contextlib.AsyncExitStack() as stack:
        entry = await stack.enter_async_context(fake_agi.running(intake, patience=60))
        channel = await stack.enter_async_context(fake_agi.connected(entry))
        idle = await stack.enter_async_context(fake_agi.connected(entry))
        channel.write(SUBROUTINE)
        running = asyncio.create_task(channel.run())
        await doors.until(lambda: intake.visits and entry.connections == 2)
        port = entry.port
        closing = asyncio.create_task(entry.close())
        assert await idle.ended() == b""
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        assert not closing.done()
        intake.gate.set()
        assert await running == {"AGISMS": "SCHEDULED,2"}
        await closing


async def test_a_call_that_never_ends_does_not_keep_the_gateway(
    intake: fake_agi.Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agi, "LAST_WAIT", 0.2)
    async with fake_agi.running(intake, patience=60) as entry, fake_agi.connected(entry) as channel:
        channel.write(SUBROUTINE)
        await doors.until(lambda: entry.connections == 1)
        async with asyncio.timeout(10):
            await entry.close()
        assert await channel.ended() != b"SET"


async def test_the_size_of_a_header_that_is_let_in(entry: agi.AgiEntry, intake: fake_agi.Intake) -> None:
    """What Asterisk cuts at 4096, with a name that is as long, is far below the limit."""
    raw = header(args=[*FROM_SUBROUTINE, "var.A=" + "y" * 4000], agi_calleridname="n" * 8000)
    assert len(raw) < agi_request.LARGEST / 2
    assert (await fake_agi.visit(entry, raw)).variables == {"AGISMS": "SCHEDULED,2"}
