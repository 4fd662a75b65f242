"""What an Asterisk sends for us: written once or not at all, whatever becomes of the connection."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from agi_sms import message
from agi_sms.asterisk import ami_client, link, messenger
from tests.contract import doors, fake_ami, peer

PATIENCE = timedelta(seconds=5)
SHORT = timedelta(milliseconds=200)
TO = "pjsip:acme/sip:+48600100200@sms.example"
TEXT = "Zażółć\ngęślą 😀"
ACTION = "MessageSend"


async def by_ami(made: messenger.Messenger, *, patience: timedelta = PATIENCE, **more: str) -> message.Outcome:
    fields = {"to": TO, "sender": "ACME", "body": TEXT} | more
    return await made.send_message(**fields, over="ami", patience=patience)


async def by_ari(made: messenger.Messenger, *, patience: timedelta = PATIENCE, **more: str) -> message.Outcome:
    fields = {"to": TO, "sender": "ACME", "body": TEXT} | more
    return await made.send_message(**fields, over="ari", patience=patience)


# --- AMI ----------------------------------------------------------------------------------------------------------


async def test_ami_a_message_goes_in_base64_over_a_connection_that_is_kept() -> None:
    async with fake_ami.running(answers={ACTION: fake_ami.SENT}) as fake, fake_ami.over_ami(fake) as made:
        assert fake.logins == 0
        outcomes = [await by_ami(made), await by_ami(made, body="second")]
    assert outcomes == [message.Accepted(detail="Message successfully sent")] * 2
    assert fake.logins == 1
    first, second = fake.done(ACTION)
    assert (first["To"], first["From"]) == (TO, "ACME")
    assert base64.b64decode(first["Base64Body"]).decode() == TEXT
    assert base64.b64decode(second["Base64Body"]) == b"second"


async def test_ami_an_action_is_never_written_twice_when_the_connection_ends_behind_it() -> None:
    """panoramisk writes what had no answer again after a reconnect: a MessageSend went twice."""
    async with fake_ami.running(answers={ACTION: fake_ami.SENT}, cut={ACTION}) as fake, fake_ami.over_ami(fake) as made:
        doubtful = await by_ami(made)
        fake.cut.clear()
        assert isinstance(await by_ami(made, body="another"), message.Accepted)
    assert isinstance(doubtful, message.Uncertain)
    assert doubtful.code == "unanswered"
    assert [base64.b64decode(action["Base64Body"]).decode() for action in fake.done(ACTION)] == [TEXT, "another"]
    assert fake.logins == 2


async def test_ami_silence_leaves_a_doubt_and_is_bounded() -> None:
    async with fake_ami.running(answers={ACTION: fake_ami.SENT}) as fake, fake_ami.over_ami(fake) as made:
        await by_ami(made)
        fake.mute = {ACTION}
        outcome = await by_ami(made, patience=SHORT)
        assert (type(outcome), outcome.code) == (message.Uncertain, "timeout")
        fake.mute.clear()
        assert isinstance(await by_ami(made), message.Accepted)
    assert (len(fake.done(ACTION)), fake.logins) == (3, 2)


async def test_ami_the_deadline_of_the_connection_counts_too() -> None:
    async with fake_ami.running(mute={ACTION}) as fake, fake_ami.over_ami(fake, timeout="500ms") as made:
        outcome = await by_ami(made)
    assert isinstance(outcome, message.Uncertain)
    assert outcome.code == "unanswered"


async def test_ami_where_asterisk_hangs_only_one_action_is_in_doubt() -> None:
    async with fake_ami.running(mute={ACTION}) as fake, fake_ami.over_ami(fake, timeout="60s") as made:
        written = asyncio.create_task(by_ami(made, patience=timedelta(minutes=1)))
        await doors.until(lambda: bool(fake.done(ACTION)))
        behind = await asyncio.gather(*(by_ami(made, patience=SHORT) for _ in range(9)))
        fake.drop()
        in_doubt = await written
    assert len(fake.done(ACTION)) == 1
    assert [(type(outcome), outcome.code) for outcome in behind] == [(message.ProviderDown, "timeout")] * 9
    assert isinstance(in_doubt, message.Uncertain)


@pytest.mark.parametrize(
    ("given", "kind", "code"),
    [
        ({"answers": {ACTION: fake_ami.DENIED}}, message.ProviderDown, "denied"),
        ({"password": "other"}, message.ProviderDown, "denied"),
        ({"cut": {"Login"}}, message.ProviderDown, "connect"),
        ({"mute": {"Login"}}, message.ProviderDown, "timeout"),
        ({"answers": {ACTION: "Response: Error\r\nMessage: Message failed to send."}}, message.Retry, "refused"),
        ({}, message.Retry, "refused"),
    ],
    ids=["right", "password", "cut", "mute", "failed", "unknown"],
)
async def test_ami_what_each_fault_means(given: dict[str, Any], kind: type[message.Outcome], code: str) -> None:
    async with fake_ami.running(**given) as fake, fake_ami.over_ami(fake) as made:
        outcome = await by_ami(made, patience=timedelta(seconds=1) if code == "timeout" else PATIENCE)
    assert (type(outcome), outcome.code) == (kind, code)
    assert "s3cret" not in outcome.detail


async def test_ami_an_answer_that_nobody_can_read_leaves_a_doubt() -> None:
    async with fake_ami.running(answers={ACTION: fake_ami.SENT}) as fake, fake_ami.over_ami(fake) as made:
        await by_ami(made)
        fake.answers[ACTION] = "\xff\xfe nonsense"
        outcome = await by_ami(made, patience=SHORT)
    assert (type(outcome), outcome.code) == (message.Uncertain, "timeout")


async def test_ami_nobody_there_is_provider_down() -> None:
    async with fake_ami.running() as fake:
        settings = fake.settings()
    made = messenger.Messenger("main", ari=None, ami=settings)
    outcome = await by_ami(made)
    assert (type(outcome), outcome.code) == (message.ProviderDown, "connect")
    await made.close()


async def test_ami_a_connection_that_died_idle_costs_no_message() -> None:
    async with fake_ami.running(answers={ACTION: fake_ami.SENT}) as fake, fake_ami.over_ami(fake) as made:
        await by_ami(made)
        fake.drop()
        await doors.until(lambda: made._connection is not None and made._connection.lost.done())
        assert isinstance(await by_ami(made), message.Accepted)
    assert (len(fake.done(ACTION)), fake.logins) == (2, 2)


async def test_ami_an_idle_connection_is_probed_before_it_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messenger, "FRESH", -1.0)
    async with (
        fake_ami.running(answers={ACTION: fake_ami.SENT}) as fake,
        fake_ami.over_ami(fake, timeout="100ms") as made,
    ):
        await by_ami(made)
        fake.mute = {"Ping"}
        assert isinstance(await by_ami(made), message.Accepted)
        assert len(fake.done("Ping")) == 1
    assert (len(fake.done(ACTION)), fake.logins) == (2, 2)


@pytest.mark.parametrize(
    "more", [{"to": "pjsip:x\r\nAction: Originate"}, {"sender": "A\nB"}, {"sender": "\x00"}, {"body": "x" * 800}]
)
async def test_ami_values_that_would_do_something_else_are_refused(more: dict[str, Any]) -> None:
    async with fake_ami.running(answers={ACTION: fake_ami.SENT}) as fake, fake_ami.over_ami(fake) as made:
        outcome = await by_ami(made, **more)
        assert isinstance(outcome, message.Rejected)
        assert isinstance(await by_ami(made), message.Accepted)
    assert b"Originate" not in fake.raw
    assert (len(fake.done(ACTION)), fake.logins) == (1, 1)


async def test_ami_cancelled_in_the_middle_nobody_gets_its_answer() -> None:
    async with fake_ami.running(mute={ACTION}) as fake, fake_ami.over_ami(fake) as made:
        task = asyncio.create_task(by_ami(made))
        await doors.until(lambda: fake.done(ACTION))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        fake.mute.clear()
        fake.answers[ACTION] = fake_ami.SENT
        assert isinstance(await by_ami(made), message.Accepted)
    assert fake.logins == 2


async def test_ami_an_action_names_what_it_made() -> None:
    async with fake_ami.running(answers={"QuectelSendSMS": fake_ami.QUEUED}) as fake, fake_ami.over_ami(fake) as made:
        outcome = await made.action("QuectelSendSMS", {"Device": "quectel0"}, patience=PATIENCE)
    assert outcome == message.Accepted(detail="[quectel0] SMS queued for send", ids=("0x7f01",))


async def test_closed_and_unconfigured_send_nothing() -> None:
    bare = messenger.Messenger("main", ari=None, ami=None)
    assert isinstance(await by_ami(bare), message.ProviderDown)
    assert isinstance(await by_ari(bare), message.ProviderDown)
    async with fake_ami.running(answers={ACTION: fake_ami.SENT}) as fake:
        made = messenger.Messenger("main", ari=fake_ami.ari("http://127.0.0.1:1"), ami=fake.settings())
        await made.close()
        assert [type(await by_ami(made)), type(await by_ari(made))] == [message.ProviderDown] * 2
        assert fake.logins == 0


# --- events -------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def listening(made: messenger.Messenger, take: ami_client.TakeEvent) -> AsyncIterator[None]:
    task = asyncio.create_task(made.listen({"QuectelReport"}, take))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that waits in production waits less here."""
    monkeypatch.setattr(link, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(link, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(link, "REFUSED_PAUSE", 0.02)
    monkeypatch.setattr(messenger, "PROBE_EVERY", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_events_are_handed_over_by_name_and_again_after_a_loss(logged: list[Any]) -> None:
    got: list[Mapping[str, str]] = []

    def take(event: Mapping[str, str]) -> None:
        got.append(event)
        if len(got) == 1:
            raise RuntimeError("a bug")

    async with fake_ami.running() as fake, fake_ami.over_ami(fake) as made, listening(made, take):
        await doors.until(lambda: fake.done("Ping"))
        assert fake.done("Login")[0]["Events"] == "call"
        fake.say("Newchannel", Channel="x")
        fake.say("QuectelReport", Payload="m1")
        await doors.until(lambda: len(got) == 1)
        fake.say("QuectelReport", Payload="m2")
        await doors.until(lambda: len(got) == 2)
        fake.drop()
        await doors.until(lambda: fake.logins == 2 and fake.listeners)
        fake.say("QuectelReport", Payload="m3", Device="Zażółć")
        await doors.until(lambda: len(got) == 3)
    assert [event["payload"] for event in got] == ["m1", "m2", "m3"]
    assert got[2]["device"] == "Zażółć"
    assert len(doors.events(logged, "a bug in reading an event")) == 1
    assert len(doors.events(logged, "connection to Asterisk lost")) == 1


@pytest.mark.usefixtures("impatient")
async def test_events_refused_or_gone_are_tried_again() -> None:
    got: list[Mapping[str, str]] = []
    async with fake_ami.running(password="other") as fake, fake_ami.over_ami(fake) as made, listening(made, got.append):
        await doors.until(lambda: fake.logins >= 2)
        fake.password = fake_ami.SECRET
        fake.cut = {"Ping"}
        await doors.until(lambda: len(fake.done("Ping")) >= 2)
        fake.cut = set()
        await doors.until(lambda: fake.listeners)
        fake.say("QuectelReport", Payload="m1")
        await doors.until(lambda: got)


# --- ARI ----------------------------------------------------------------------------------------------------------


async def test_ari_a_message_is_one_put_with_its_text_in_json() -> None:
    async with peer.running(peer.answer(202, b"")) as other, fake_ami.over_ari(other.url) as made:
        outcome = await by_ari(made)
    assert outcome == message.Accepted(code="202")
    (request,) = other.requests
    assert (request.method, request.target) == ("PUT", "/ari/endpoints/sendMessage")
    assert json.loads(request.body) == {"to": TO, "from": "ACME", "body": TEXT}
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"gateway:s3cret").decode()


async def test_ari_a_put_is_never_repeated_when_its_connection_breaks() -> None:
    """aiohttp sends a PUT again by itself where a reused connection breaks."""
    async with peer.running(peer.answer(202, b"")) as other, fake_ami.over_ari(other.url) as made:
        await by_ari(made)
        other.behave = peer.cut()
        outcome = await by_ari(made)
    assert isinstance(outcome, message.Uncertain)
    assert (len(other.requests), other.connections) == (2, 2)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (204, message.Accepted, "204"),
        (400, message.Rejected, "400"),
        (401, message.ProviderDown, "401"),
        (403, message.ProviderDown, "403"),
        (404, message.Retry, "refused"),
        (413, message.Rejected, "413"),
        (503, message.ProviderDown, "503"),
        (500, message.Uncertain, "500"),
        (302, message.Uncertain, "302"),
    ],
)
async def test_ari_what_each_answer_means(status: int, kind: type[message.Outcome], code: str) -> None:
    body = b"" if status == 204 else b'{"message": "words"}'
    async with peer.running(peer.answer(status, body)) as other, fake_ami.over_ari(other.url) as made:
        outcome = await by_ari(made)
    assert (type(outcome), outcome.code) == (kind, code)
    assert len(other.requests) == 1


@pytest.mark.parametrize(
    ("behave", "code"),
    [
        (peer.silence(), "timeout"),
        (peer.cut(b"HTTP/1.1 202"), "broken"),
        (peer.raw(b"\x00\xff not HTTP\r\n\r\n"), "broken"),
        (peer.drip(b"HTTP/1.1 202 Accepted\r\nContent-Length: 99\r\n\r\n"), "timeout"),
    ],
    ids=["silence", "cut", "nonsense", "drip"],
)
async def test_ari_what_was_written_and_has_no_answer_is_uncertain(behave: peer.Behaviour, code: str) -> None:
    async with peer.running(behave) as other, fake_ami.over_ari(other.url) as made:
        outcome = await by_ari(made, patience=timedelta(seconds=1) if code == "timeout" else PATIENCE)
    assert (type(outcome), outcome.code) == (message.Uncertain, code)
    assert len(other.requests) == 1


async def test_ari_what_was_not_written_is_provider_down() -> None:
    async with peer.running(peer.answer()) as other:
        url = other.url
    async with fake_ami.over_ari(url) as made:
        outcome = await by_ari(made)
        assert (type(outcome), outcome.code) == (message.ProviderDown, "connect")
        assert isinstance(await by_ari(made, body="ż" * 30_000), message.Rejected)
    async with fake_ami.over_ari("https://127.0.0.1:1") as made:
        assert isinstance(await by_ari(made), message.ProviderDown)
