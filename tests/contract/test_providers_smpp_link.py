"""The SMPP provider's connection: made when needed, lost in every way, made anew with pauses, never in a hurry."""

import asyncio
import contextlib
import itertools
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from agi_sms import message
from agi_sms.providers import smpp_link, smpp_settings
from tests.contract import peer, smsc, subjects

HELLO = subjects.submission()
LONG = smpp_link.Pauses(first=3600.0, longest=3600.0)


async def keep_nothing(_: str, __: object) -> None:
    """Receipts are no matter here."""


@contextlib.asynccontextmanager
async def kept(made: Any) -> Any:
    """The provider with its connection kept up."""
    task = asyncio.create_task(made.run(keep_nothing))
    try:
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await made.close()


async def lines(logged: list[Any], event: str, count: int = 1) -> list[Any]:
    """Wait until an event was logged so often."""
    async with asyncio.timeout(10):
        while len(found := [line for line in logged if line["event"] == event]) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


# --- no connection: certainly not taken ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"bind": smsc.status(0x0E)}, "0x0e"),
        ({"bind": smsc.status(0x0F, b"\0")}, "0x0f"),
        ({"bind": smsc.status(0x0D)}, "0x0d"),
        ({"bind": smsc.status(0x05)}, "0x05"),
        ({"bind": smsc.status(0x499)}, "0x0499"),
        ({"bind": smsc.silent}, "timeout"),
        ({"bind": smsc.raw(b"\0\0\0\x15\x80")}, "timeout"),
        ({"bind": smsc.raw(b"", then=lambda connection: connection.writer.close())}, "connect"),
        ({"bind": smsc.raw(b"", then=lambda connection: connection.cut())}, "connect"),
        ({"bind": smsc.raw(b"220 mail.example ESMTP\r\n")}, "connect"),
        ({"greeting": b"SSH-2.0-OpenSSH_9.2\r\n"}, "connect"),
    ],
    ids=[
        "password", "system_id", "failed", "bound already", "vendor", "silence", "half an answer", "closed", "reset",
        "mail", "ssh",
    ],
)  # fmt: skip
async def test_smpp_without_a_bind_the_provider_is_down(changes: dict[str, Any], code: str) -> None:
    async with smsc.running(**changes) as other:
        made = smsc.provider(other.port, timeout="300ms")
        outcome = await made.send(HELLO)
        await made.close()
    assert (type(outcome), outcome.code) == (message.ProviderDown, code), outcome
    assert other.of(smsc.SUBMIT) == []


async def test_smpp_nobody_there() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        made = smsc.provider(sock.getsockname()[1])
        outcome = await made.send(HELLO)
        await made.close()
    assert (type(outcome), outcome.code) == (message.ProviderDown, "connect")
    assert "refused" in outcome.detail


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name service that knows one name, so that nothing is asked of a real one."""
    real = socket.getaddrinfo

    def look_up(host: str, *rest: Any, **options: Any) -> Any:
        if host == "smsc.example":
            return real("127.0.0.1", *rest, **options)
        host.encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize("host", ["no-such-host.example", "a..b", "x" * 100])
async def test_smpp_no_such_name(host: str, names: None) -> None:
    made = smsc.provider(2775, host=host)
    outcome = await made.send(HELLO)
    await made.close()
    assert (type(outcome), outcome.code) == (message.ProviderDown, "dns")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    (tmp_path / "key.pem").write_text(peer.KEY)
    (tmp_path / "certificate.pem").write_text(peer.CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    return context, tmp_path / "certificate.pem"


async def test_smpp_over_tls(certificate: tuple[ssl.SSLContext, Path]) -> None:
    context, ca_file = certificate
    async with smsc.running(context) as other:
        made = smsc.provider(other.port, tls=True, ca_file=str(ca_file))
        assert isinstance(await made.send(HELLO), message.Accepted)
        await made.close()


async def test_smpp_does_not_log_in_where_the_certificate_is_not_good(
    certificate: tuple[ssl.SSLContext, Path], names: None
) -> None:
    context, ca_file = certificate
    async with smsc.running(context) as other, smsc.running() as plain:
        for made in (
            smsc.provider(other.port, tls=True),
            smsc.provider(other.port, tls=True, ca_file=str(ca_file), host="smsc.example"),
            smsc.provider(plain.port, tls=True, timeout="300ms"),
        ):
            outcome = await made.send(HELLO)
            await made.close()
            assert isinstance(outcome, message.ProviderDown)
            assert outcome.code in ("tls", "timeout"), outcome
    assert other.received == []
    assert plain.of(smsc.BIND) == []


# --- the connection as a whole ------------------------------------------------------------------------------------


async def test_smpp_many_first_messages_make_one_connection() -> None:
    async with smsc.running() as other:
        made = smsc.provider(other.port)
        await asyncio.gather(*(made.send(HELLO) for _ in range(20)))
        await made.close()
    assert len(other.connections) == 1


async def test_smpp_cut_in_mid_window_each_message_has_its_own_truth() -> None:
    taken: list[smsc.Pdu] = []

    async def cut_at_five(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        taken.append(pdu)
        if len(taken) == 5:
            connection.accept(taken[0], "first")
            connection.accept(taken[3], "fourth")
            await connection.writer.drain()
            connection.writer.close()

    async with smsc.running(submit=cut_at_five) as other:
        made = smsc.provider(other.port, window=5)
        outcomes = await asyncio.gather(*(made.send(HELLO) for _ in range(5)))
        other.submit = None
        again = await made.send(HELLO)
        await made.close()
    assert sorted(type(one).__name__ for one in outcomes) == ["Accepted"] * 2 + ["Uncertain"] * 3
    assert isinstance(again, message.Accepted)
    assert len(other.of(smsc.SUBMIT)) == 6
    assert len(other.connections) == 2


async def test_smpp_during_a_pause_nobody_connects() -> None:
    async with smsc.running(bind=smsc.status(0x0E)) as other:
        made = smsc.provider(other.port, pauses=LONG)
        outcomes = [await made.send(HELLO) for _ in range(5)]
        await made.close()
    assert {(type(one), one.code) for one in outcomes} == {(message.ProviderDown, "0x0e")}
    assert len({one.detail for one in outcomes}) == 1
    assert len(other.connections) == 1


async def test_smpp_the_pauses_grow() -> None:
    now = [0.0]
    async with smsc.running(bind=smsc.status(0x0E)) as other:
        account = smpp_settings.Settings(host="127.0.0.1", port=other.port, system_id="acme")
        pauses = smpp_link.Pauses(first=1, longest=60)
        link = smpp_link.Link("acme", account, lambda *_: None, pauses=pauses, clock=lambda: now[0])
        tried_at: list[float] = []
        while len(tried_at) < 12:
            before = len(other.connections)
            with pytest.raises(smpp_link.Down):
                await link.session()
            if len(other.connections) > before:
                tried_at.append(now[0])
            now[0] += 0.25
        await link.close()
    for n, (earlier, later) in enumerate(itertools.pairwise(tried_at)):
        assert min(60, 2**n) * 0.5 <= later - earlier <= min(60, 2**n) + 0.25


async def test_smpp_a_bind_refused_is_told_once_and_that_it_works_again_once(logged: list[Any]) -> None:
    async with smsc.running(bind=smsc.status(0x0E)) as other, kept(smsc.provider(other.port)):
        await other.until(smsc.BIND, 4)
        (refused,) = await lines(logged, "the SMSC refuses the bind")
        other.bind = smsc.bound
        (again,) = await lines(logged, "bound to the SMSC again")
    assert refused["code"] == "0x0e"
    assert "wrong password" in refused["reason"]
    assert again["tries"] >= 4
    assert len(logged) == 2
    assert "s3cret" not in str(logged)


async def test_smpp_a_lost_connection_is_told_once_and_made_again(logged: list[Any]) -> None:
    async with smsc.running() as other, kept(smsc.provider(other.port)):
        await lines(logged, "bound to the SMSC")
        other.bind = smsc.silent
        other.connections[0].cut()
        await lines(logged, "connection to the SMSC lost")
        await other.until(smsc.BIND, 2)
        other.bind = smsc.bound
        other.connections[1].cut()
        await lines(logged, "bound to the SMSC again")
    assert [line["event"] for line in logged] == [
        "bound to the SMSC",
        "connection to the SMSC lost",
        "bound to the SMSC again",
    ]


async def test_smpp_an_smsc_that_throws_us_out_again_and_again_is_not_hammered() -> None:
    async def bound_and_out(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        connection.answer(pdu, b"SMSC\0")
        connection.writer.close()

    async with smsc.running(bind=bound_and_out) as other, kept(smsc.provider(other.port, pauses=LONG)):
        await other.until(smsc.BIND, 2)  # the first loss of a connection may be chance
        await smsc.provider_idle()
        assert len(other.connections) == 2


async def test_smpp_enquires_and_gives_a_dead_connection_up() -> None:
    changes: dict[str, Any] = {"enquire_link": "1s", "timeout": "300ms"}
    async with smsc.running(enquire=smsc.in_turn(smsc.alive, smsc.silent)) as other:
        async with kept(smsc.provider(other.port, **changes)):
            await other.until(smsc.BIND, 2)
        assert len(other.of(smsc.ENQUIRE)) == 2


async def test_smpp_a_silence_is_followed_up_at_once() -> None:
    changes: dict[str, Any] = {"enquire_link": "1h", "timeout": "300ms"}
    async with (
        smsc.running(submit=smsc.silent, enquire=smsc.silent) as other,
        kept(smsc.provider(other.port, **changes)) as made,
    ):
        assert isinstance(await made.send(HELLO), message.Uncertain)
        await other.until(smsc.ENQUIRE)
        await other.until(smsc.BIND, 2)
        other.submit = None
        assert isinstance(await made.send(HELLO), message.Accepted)


async def test_smpp_an_unbind_is_answered_and_what_is_under_way_may_end() -> None:
    async def unbind_first(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        connection.send(smsc.UNBIND, 77)
        assert (await connection.read()).command == smsc.UNBIND | smsc.RESPONSE
        connection.accept(pdu, "late")
        other.submit = None

    async with smsc.running(submit=unbind_first) as other:
        made = smsc.provider(other.port)
        assert await made.send(HELLO) == message.Accepted(ids=("late",))
        assert isinstance(await made.send(HELLO), message.Accepted)
        await made.close()
    assert len(other.connections) == 2


async def test_smpp_answers_what_it_knows_and_refuses_the_rest() -> None:
    async with smsc.running() as other, kept(smsc.provider(other.port)) as made:
        await made.send(HELLO)
        (connection,) = other.connections
        connection.send(smsc.ENQUIRE, 5)
        connection.send(0x00000003, 6)  # query_sm
        connection.send(0x00010200, 7)
        connection.send(0x00000102, 8)  # alert_notification: has no answer
        connection.send(smsc.DELIVER, 9, b"\0\x01")  # ends too early
        connection.send(0x80010200, 10)
        await other.until(smsc.NACK, 3)
        assert isinstance(await made.send(HELLO), message.Accepted)
    told = [(pdu.command, pdu.sequence, pdu.status) for pdu in other.received if pdu.command & smsc.RESPONSE]
    assert told == [
        (smsc.ENQUIRE | smsc.RESPONSE, 5, 0),
        (smsc.NACK, 6, 3),
        (smsc.NACK, 7, 3),
        (smsc.NACK, 9, 2),
    ]
    assert len(other.connections) == 1


async def test_smpp_run_that_is_cancelled_unbinds_and_sending_goes_on() -> None:
    async with smsc.running() as other:
        made = smsc.provider(other.port)
        async with kept(made):
            assert isinstance(await made.send(HELLO), message.Accepted)
        assert [pdu.command for pdu in other.received][-1] == smsc.UNBIND
        one_more = smsc.provider(other.port)
        async with asyncio.timeout(10):
            task = asyncio.create_task(one_more.run(keep_nothing))
            await other.until(smsc.BIND, 2)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert isinstance(await one_more.send(HELLO), message.Accepted)
        await one_more.close()


async def test_smpp_close_while_connecting_ends_every_send_with_an_outcome() -> None:
    async with smsc.running(bind=smsc.silent) as other:
        made = smsc.provider(other.port, timeout="300ms")
        sends = [asyncio.create_task(made.send(HELLO)) for _ in range(3)]
        await other.until(smsc.BIND)
        await made.close()
        assert {type(await send) for send in sends} == {message.ProviderDown}
