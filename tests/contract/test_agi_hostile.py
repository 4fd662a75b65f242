"""Whoever misbehaves at the FastAGI door is closed, counted and told of, and calls are served meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from agi_sms import seldom
from agi_sms.asterisk import agi
from tests.contract import doors, fake_agi
from tests.contract.fake_agi import FROM_SUBROUTINE, SUBROUTINE, VALUES, header


@pytest.fixture
async def intake() -> fake_agi.Intake:
    return fake_agi.Intake()


@pytest.fixture
async def entry(intake: fake_agi.Intake) -> AsyncIterator[agi.AgiEntry]:
    async with fake_agi.running(intake) as opened:
        yield opened


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value("agi_sms_agi_dropped_total", {"reason": reason}) or 0.0


# --- connections that are of no use ---

TOO_MUCH = 10 << 20


async def silent(channel: fake_agi.Channel) -> None:
    await channel.ended()


async def hang_up(channel: fake_agi.Channel) -> None:
    channel.close()


async def reset(channel: fake_agi.Channel) -> None:
    channel.reset()


async def half_a_header(channel: fake_agi.Channel) -> None:
    channel.write(SUBROUTINE[:300])
    channel.close()


async def one_endless_line(channel: fake_agi.Channel) -> None:
    with contextlib.suppress(ConnectionError):
        channel.write(b"agi_network: " + b"x" * TOO_MUCH)
        await channel.writer.drain()
    await channel.ended()


async def endless_lines(channel: fake_agi.Channel) -> None:
    with contextlib.suppress(ConnectionError):
        for _ in range(TOO_MUCH // 4096):
            channel.write(b"a: b\n" * 820)
            await channel.writer.drain()
            await asyncio.sleep(0)
    await channel.ended()


async def empty_lines(channel: fake_agi.Channel) -> None:
    with contextlib.suppress(ConnectionError):
        channel.write(b"\n" * TOO_MUCH)
        await channel.writer.drain()
    await channel.ended()


async def lines_behind_the_header(channel: fake_agi.Channel) -> None:
    channel.write(SUBROUTINE)
    await endless_lines(channel)


async def one_line_behind_the_header(channel: fake_agi.Channel) -> None:
    channel.write(SUBROUTINE)
    await one_endless_line(channel)


async def many_short_lines(channel: fake_agi.Channel) -> None:
    channel.write(b"agi_network: yes\n" + b"a\n" * 5000 + b"\n")
    await channel.ended()


async def not_utf8(channel: fake_agi.Channel) -> None:
    channel.write(b"\xff\xfe\x00\xc5" * 100 + b"\n\n")
    await channel.ended()


async def http(channel: fake_agi.Channel) -> None:
    channel.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\n\n")
    await channel.ended()


async def dripping(channel: fake_agi.Channel) -> None:
    ended = asyncio.create_task(channel.ended())
    while not ended.done():
        channel.write(b"a")
        await asyncio.sleep(0.02)


async def no_reply(channel: fake_agi.Channel) -> None:
    """A peer that never reads our commands looks the same."""
    channel.write(SUBROUTINE)
    await channel.ended()


async def refusing(channel: fake_agi.Channel) -> None:
    channel.answers["GET"] = b"510 Invalid or unknown command\n"
    channel.write(SUBROUTINE)
    await channel.run()


async def usage(channel: fake_agi.Channel) -> None:
    channel.answers["GET"] = b"520-Invalid command syntax.  Proper usage follows:\nUsage\n520 End of proper usage.\n"
    channel.write(SUBROUTINE)
    await channel.run()


async def stranger(channel: fake_agi.Channel) -> None:
    with contextlib.suppress(ConnectionError):
        channel.write(SUBROUTINE)
    await channel.ended()


USELESS: list[tuple[Callable[[fake_agi.Channel], Any], str]] = [
    (silent, "slow"),
    (hang_up, "closed"),
    (reset, "closed"),
    (half_a_header, "cut_off"),
    (one_endless_line, "too_long"),
    (endless_lines, "too_long"),
    (empty_lines, "no_header"),
    (lines_behind_the_header, "too_long"),
    (one_line_behind_the_header, "too_long"),
    (many_short_lines, "too_long"),
    (not_utf8, "no_header"),
    (http, "no_header"),
    (dripping, "slow"),
    (no_reply, "unanswered"),
    (refusing, "refused"),
    (usage, "refused"),
    (stranger, "stranger"),
]


@pytest.mark.parametrize(("misbehave", "reason"), USELESS, ids=[how.__name__ for how, _ in USELESS])
async def test_a_connection_of_no_use_is_closed_counted_and_told(
    intake: fake_agi.Intake, logged: list[Any], misbehave: Callable[[fake_agi.Channel], Any], reason: str
) -> None:
    """And calls are served meanwhile."""
    before = dropped(reason)
    async with fake_agi.running(intake, patience=1.0) as entry:
        host = "127.0.0.2" if reason == "stranger" else "127.0.0.1"
        async with fake_agi.connected(entry, host=host) as channel:
            trouble = asyncio.create_task(misbehave(channel))
            for _ in range(3):
                assert (await fake_agi.visit(entry)).variables == {"AGISMS": "SCHEDULED,2"}
            async with asyncio.timeout(20):
                await trouble
            await doors.until(lambda: dropped(reason) == before + 1)
            await doors.until(lambda: entry.connections == 0)
        assert len(intake.visits) == 3
    (line,) = doors.events(logged, "FastAGI connections closed")
    assert (line["why"], line["connections"], line["the_last_from"]) == (agi.REASONS[reason], 1, host)
    assert doors.events(logged, "a fault of agi-sms") == []


async def test_all_answers_of_a_connection_have_one_time_together(intake: fake_agi.Intake) -> None:
    """Or whoever is slow with each would keep a place for several times as long."""
    async with fake_agi.running(intake, patience=1.0) as entry, fake_agi.connected(entry) as channel:
        channel.write(fake_agi.header(script="/desk"))
        async with asyncio.timeout(20):
            while await channel.answer():  # noqa: ASYNC110
                await asyncio.sleep(0.6)
    assert len(intake.visits) == 1
    assert "AGISMS_COUNT" not in channel.variables


async def test_a_stranger_is_closed_before_anything_is_read(
    entry: agi.AgiEntry, intake: fake_agi.Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_: asyncio.StreamReader, data: bytes) -> None:
        pytest.fail(f"read {data!r}")

    async with fake_agi.connected(entry, host="127.0.0.3") as channel:
        monkeypatch.setattr(asyncio.StreamReader, "feed_data", nobody)
        await stranger(channel)
    assert intake.visits == []


async def test_a_flood_does_not_fill_the_log(entry: agi.AgiEntry, logged: list[Any]) -> None:
    before = dropped("closed")
    for _ in range(200):
        async with fake_agi.connected(entry):
            pass
    await doors.until(lambda: dropped("closed") == before + 200)
    assert len(doors.events(logged, "FastAGI connections closed")) == 1


async def test_what_was_not_told_is_told_with_the_next_line(
    entry: agi.AgiEntry, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dropped("closed")
    for number in range(1, 5):
        if number == 4:
            monkeypatch.setattr(seldom, "EVERY", 0.0)
        async with fake_agi.connected(entry):
            pass
        await doors.until(lambda at=number: dropped("closed") == before + at)  # type: ignore[misc]
    assert [line["connections"] for line in doors.events(logged, "FastAGI connections closed")] == [1, 3]


# --- crowds ---


@contextlib.asynccontextmanager
async def crowd(
    entry: agi.AgiEntry, many: int, *, host: str = "127.0.0.1", raw: bytes = b""
) -> AsyncIterator[list[fake_agi.Channel]]:
    """So many connections that say this much."""
    async with contextlib.AsyncExitStack() as stack:
        channels = []
        for _ in range(many):
            channels.append(await stack.enter_async_context(fake_agi.connected(entry, host=host)))
            channels[-1].write(raw)
        yield channels


@pytest.mark.parametrize("raw", [b"", SUBROUTINE[:100], SUBROUTINE], ids=["silent", "half", "no answers"])
async def test_a_thousand_idle_connections_take_no_call_its_place(intake: fake_agi.Intake, raw: bytes) -> None:
    before = dropped("crowded")
    async with fake_agi.running(intake, connections=100, patience=60) as entry, crowd(entry, 400, raw=raw):
        for _ in range(20):
            assert (await fake_agi.visit(entry)).variables == {"AGISMS": "SCHEDULED,2"}
            assert entry.connections <= 100
        assert len(intake.visits) == 20
        async with crowd(entry, 600, raw=raw):
            assert (await fake_agi.visit(entry)).variables == {"AGISMS": "SCHEDULED,2"}
            await doors.until(lambda: entry.connections <= 100)
        assert dropped("crowded") == before + 901


async def test_one_address_does_not_crowd_out_another(intake: fake_agi.Intake) -> None:
    def pbx_at(address: str) -> str:
        return address

    async with (
        fake_agi.running(intake, connections=20, patience=60, pbx_at=pbx_at) as entry,
        crowd(entry, 5) as few,
        crowd(entry, 100, host="127.0.0.2"),
    ):
        await doors.until(lambda: entry.connections == 20)
        for channel in few:
            channel.write(SUBROUTINE)
            assert await channel.run() == {"AGISMS": "SCHEDULED,2"}


async def test_calls_in_hand_give_way_to_nobody(intake: fake_agi.Intake, logged: list[Any]) -> None:
    before = dropped("full")
    intake.gate.clear()
    async with fake_agi.running(intake, connections=3) as entry, crowd(entry, 3, raw=SUBROUTINE) as channels:
        running = [asyncio.create_task(channel.run()) for channel in channels]
        await doors.until(lambda: len(intake.visits) == 3)
        async with fake_agi.connected(entry) as late:
            assert await late.ended() == b""
        intake.gate.set()
        assert await asyncio.gather(*running) == [{"AGISMS": "SCHEDULED,2"}] * 3
        assert (await fake_agi.visit(entry)).variables == {"AGISMS": "SCHEDULED,2"}
    assert dropped("full") == before + 1
    assert len(doors.events(logged, "FastAGI connections closed")) == 1


async def test_a_hundred_calls_at_once(entry: agi.AgiEntry, intake: fake_agi.Intake) -> None:
    channels = await asyncio.gather(*(fake_agi.visit(entry) for _ in range(50)))
    assert [channel.variables for channel in channels] == [{"AGISMS": "SCHEDULED,2"}] * 50
    assert len(intake.visits) == 50


# --- anything at all ---


@contextlib.contextmanager
def no_faults() -> Iterator[None]:
    """Nothing escapes, to us or to the event loop."""
    escaped: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: escaped.append(context))
    with structlog.testing.capture_logs() as lines:
        yield
    assert escaped == []
    assert [line for line in lines if line["log_level"] == "error"] == []


LINES = st.one_of(
    st.sampled_from(["", "agi_network: yes", "agi_network_script: reception", "HANGUP", "200 result=1", "100 x", "5"]),
    st.sampled_from([f"{key}: {value}" for key, value in VALUES.items()]),
    st.tuples(st.sampled_from([*VALUES, "agi_arg_1", "agi_arg_99"]), st.text(max_size=20)).map(": ".join),
    st.text(max_size=40),
)
ANYTHING = st.one_of(
    st.binary(max_size=400),
    st.lists(LINES, max_size=40).map(lambda lines: "\n".join(lines).encode("utf-8", "replace")),
    st.lists(LINES, max_size=10).map(lambda lines: header(args=FROM_SUBROUTINE, agi_calleridname="\n".join(lines))),
)


async def served(entry: agi.AgiEntry) -> None:
    """Another channel is served; where a pause of the machine outlasts the door's patience, it comes again."""
    async with asyncio.timeout(10):
        while (await fake_agi.visit(entry, header(args=["visit=other"]))).variables != {"AGISMS": "SCHEDULED,2"}:
            pass


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(ANYTHING, max_size=4),
    end=st.sampled_from([b"", b"\n\n", b"HANGUP\n"]),
    how=st.sampled_from(["close", "half", "reset", "answer", "wait"]),
)
async def test_whatever_it_says_the_connection_ends_and_others_are_served(
    pieces: list[bytes], end: bytes, how: str
) -> None:
    intake = fake_agi.Intake()
    with no_faults():
        async with fake_agi.running(intake, patience=0.1) as entry, fake_agi.connected(entry) as channel:
            for piece in pieces:
                channel.write(piece)
                await asyncio.sleep(0)
            channel.write(end)
            match how:
                case "close":
                    channel.close()
                case "half":
                    with contextlib.suppress(OSError):
                        channel.writer.write_eof()
                case "reset":
                    channel.reset()
                case "answer":
                    with contextlib.suppress(UnicodeDecodeError):
                        await channel.run()
            await served(entry)
            assert "other" in {visit.id for visit in intake.visits}
            if how == "wait":
                await channel.ended()
            await doors.until(lambda: entry.connections == 0)


STRANGERS = ("agi_callerid", "agi_calleridname", "agi_dnid", "agi_rdnis", "agi_extension", "agi_accountcode")
PARTS = st.sampled_from(
    [
        *(
            "\n",
            "\n",
            "\n",
            "x",
            ": ",
            "HANGUP",
            "200 result=1 (allowed)",
            "200 result=1",
            "agi_network: yes",
            "\r",
            "\0",
        ),
        *("agi_threadid: 1", "agi_arg_1: back=1", "agi_arg_1: recipients=+19005550100", "agi_arg_2: visit=mine"),
        *("agi_network_script: other?back=1", "agi_uniqueid: 6.6", "agi_callerid: +19005550100", "ż", "\udcff"),
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.sampled_from(STRANGERS), st.lists(PARTS, max_size=12).map("".join)))
async def test_no_value_of_a_stranger_changes_what_the_dialplan_handed_over(values: dict[str, str]) -> None:
    intake = fake_agi.Intake()
    with no_faults():
        async with fake_agi.running(intake, patience=1.0) as entry:
            channel = await fake_agi.visit(entry, header(args=FROM_SUBROUTINE, **values))
    assert channel.variables == {"AGISMS": "SCHEDULED,2"}
    (visit,) = intake.visits
    assert (visit.id, visit.node, visit.recipients) == ("v-1", "reception", None)
    assert (visit.call.caller, visit.call.presentation) == ("+48600100200", "allowed")
    assert (visit.call.channel_id, visit.call.trunk) == (fake_agi.UNIQUEID, "acme")
