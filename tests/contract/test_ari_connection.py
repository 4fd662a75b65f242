"""The ARI door's connection against peers that misbehave: it is made again, said once, and refused politely."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from agi_sms.asterisk import ari, ari_client, link
from tests.contract import doors, fake_ari


@pytest.fixture
async def fake() -> AsyncIterator[fake_ari.FakeAri]:
    async with fake_ari.serve() as server:
        yield server


@pytest.fixture
async def intake() -> fake_ari.Intake:
    return fake_ari.Intake()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that waits in production waits less here."""
    monkeypatch.setattr(link, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(link, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(link, "REFUSED_PAUSE", 0.02)
    monkeypatch.setattr(ari, "STANDBY_CHECK", 0.03)
    monkeypatch.setattr(ari, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(ari_client, "HEARTBEAT", 0.2)


async def _close(socket: web.WebSocketResponse) -> None:
    await socket.close()


async def _garbage(socket: web.WebSocketResponse) -> None:
    await socket.send_str("{not json")


async def _no_event(socket: web.WebSocketResponse) -> None:
    await socket.send_json(["no", "object"])


async def _bytes(socket: web.WebSocketResponse) -> None:
    await socket.send_bytes(b"\x00\xff")


async def _huge(socket: web.WebSocketResponse) -> None:
    await socket.send_str('{"type":"x","y":"' + "z" * (ari_client.LARGEST_EVENT + 1) + '"}')


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("break_it", [_close, _garbage, _no_event, _bytes, _huge])
async def test_a_lost_connection_is_made_again(
    fake: fake_ari.FakeAri,
    intake: fake_ari.Intake,
    logged: list[Any],
    break_it: Callable[[web.WebSocketResponse], Awaitable[None]],
) -> None:
    async with fake_ari.running(fake, intake) as entry:
        socket = await fake.connected()
        await doors.until(lambda: entry.state is ari.State.SERVING)
        fake.channels["1.1"] = "agi-sms,reception,back=1,visit=v-1"  # nobody is told of it
        await break_it(socket)
        await fake.connected(2)
        await doors.until(lambda: fake.asked("1.1") == fake_ari.SENT_ON)
        assert intake.missed == 2
    assert len(doors.events(logged, "connection to Asterisk lost")) == 1
    assert len(doors.events(logged, "connected to Asterisk again")) == 1


@pytest.mark.usefixtures("impatient")
async def test_a_peer_that_fell_silent_is_noticed(fake: fake_ari.FakeAri, intake: fake_ari.Intake) -> None:
    fake.autoping = False
    async with fake_ari.running(fake, intake):
        await fake.connected()
        fake.autoping = True
        await fake.connected(2)
        await fake.start("1.1", "reception")
        await doors.until(lambda: fake.asked("1.1") == fake_ari.SENT_ON)


@pytest.mark.usefixtures("impatient")
async def test_a_call_in_hand_survives_the_loss_of_the_websocket(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake
) -> None:
    intake.gate.clear()
    async with fake_ari.running(fake, intake):
        socket = await fake.connected()
        await fake.start("1.1", "reception", "visit=v-1")
        await doors.until(lambda: intake.visits)
        await socket.close()
        await fake.connected(2)
        intake.gate.set()
        await doors.until(lambda: fake.asked("1.1"))
    assert len(intake.visits) == 1
    assert fake.asked("1.1") == fake_ari.SENT_ON


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("where", "number"), [("api-docs", 401), ("events", 401), ("events", 403), ("continue", 403)])
async def test_a_refusal_is_said_once_and_tried_again_slowly(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake, logged: list[Any], where: str, number: int
) -> None:
    refused = 0

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        nonlocal refused
        refused += 1
        return web.Response(status=number)

    fake.script[where] = refuse
    async with fake_ari.running(fake, intake) as entry:
        await doors.until(lambda: refused >= 3)
        assert entry.state is ari.State.REFUSED
        assert fake.sockets == []
        fake.script.clear()
        await fake.connected()
        await doors.until(lambda: entry.state is ari.State.SERVING)
    (line,) = doors.events(logged, "refuses us")
    assert "ari.conf" in line["hint"]
    assert fake_ari.PASSWORD not in repr(logged)


async def _slow(request: web.Request) -> web.StreamResponse | None:
    await asyncio.sleep(30)
    return None


async def _html(request: web.Request) -> web.StreamResponse | None:
    return web.Response(text="<html>It works!</html>")


async def _endless(request: web.Request) -> web.StreamResponse | None:
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b"x" * 1_000_000)
    return response


async def _redirect(request: web.Request) -> web.StreamResponse | None:
    raise web.HTTPFound("http://127.0.0.1:1/ari/api-docs/resources.json")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("misbehave", [fake_ari.reset, _slow, _html, _endless, _redirect, fake_ari.status(500)])
async def test_what_is_not_asterisk_is_waited_for(
    fake: fake_ari.FakeAri,
    intake: fake_ari.Intake,
    logged: list[Any],
    misbehave: Callable[[web.Request], Awaitable[web.StreamResponse | None]],
) -> None:
    fake.script["api-docs"] = misbehave
    async with fake_ari.running(fake, intake, timeout="200ms") as entry:
        await doors.until(lambda: len(fake.paths) >= 2)
        assert entry.state is ari.State.CONNECTING
        fake.script.clear()
        await fake.connected()
    assert len(doors.events(logged, "cannot be reached")) == 1


@pytest.mark.usefixtures("impatient")
async def test_nobody_listens_there_yet(intake: fake_ari.Intake, logged: list[Any]) -> None:
    async with fake_ari.serve() as before:
        port = int(before.url.rpartition(":")[2])
    async with fake_ari.running(before, intake):
        await doors.until(lambda: doors.events(logged, "cannot be reached"))
        async with fake_ari.serve(port) as fake:
            await fake.connected()


@pytest.mark.usefixtures("impatient")
async def test_a_replaced_application_is_left_to_the_other_until_it_is_free(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake, logged: list[Any]
) -> None:
    async with fake_ari.running(fake, intake) as entry:
        socket = await fake.connected()
        await socket.send_json({"type": "ApplicationReplaced", "application": fake_ari.APP})
        await doors.until(lambda: entry.state is ari.State.STANDBY)
        await doors.until(lambda: not fake.registered)
        fake.registered = True  # the other one
        fake.channels["1.1"] = "agi-sms,reception,back=1,visit=v-1"
        looks = len(fake.paths)
        await doors.until(lambda: sum("/applications/" in path for path in fake.paths[looks:]) >= 1)
        fake.channels.clear()
        await doors.until(lambda: sum("/applications/" in path for path in fake.paths[looks:]) >= 4)
        assert (len(fake.sockets), entry.state, intake.visits) == (1, ari.State.STANDBY, [])
        fake.registered = False
        await fake.connected(2)
        await doors.until(lambda: entry.state is ari.State.SERVING)
    assert len(doors.events(logged, "standing by")) == 1


@pytest.mark.usefixtures("impatient")
async def test_channels_that_stay_parked_show_that_the_other_is_gone(
    fake: fake_ari.FakeAri, intake: fake_ari.Intake
) -> None:
    async with fake_ari.running(fake, intake) as entry:
        socket = await fake.connected()
        await socket.send_json({"type": "ApplicationReplaced", "application": fake_ari.APP})
        await doors.until(lambda: entry.state is ari.State.STANDBY and not fake.registered)
        fake.channels["1.1"] = "agi-sms,reception,back=1,visit=v-1"
        fake.registered = True
        await fake.connected(2)
        await doors.until(lambda: fake.asked("1.1") == fake_ari.SENT_ON)


async def test_calls_in_hand_go_on_before_the_door_closes(fake: fake_ari.FakeAri, intake: fake_ari.Intake) -> None:
    intake.gate.clear()
    async with fake_ari.running(fake, intake):
        await fake.connected()
        await fake.start("1.1", "reception")
        await doors.until(lambda: intake.visits)
        asyncio.get_running_loop().call_later(0.1, intake.gate.set)
    assert fake.asked("1.1") == fake_ari.SENT_ON
