"""SIP MESSAGEs by a real Asterisk to sipp: what arrives there, and what Asterisk says of it to us."""

import asyncio
import collections.abc
import contextlib
import pathlib
import re
import time
from typing import Any

import pydantic
import pytest

from agi_sms import message
from agi_sms.asterisk import messenger
from agi_sms.asterisk.settings import Ami, Ari
from agi_sms.providers import modem, sip
from rig import asterisk as rig_asterisk
from rig import errors, ports, sipp_process
from tests.acceptance import gateway
from tests.contract import subjects

pytestmark = [pytest.mark.asterisk, pytest.mark.timeout(300)]

TEXT = "Zażółć gęślą jaźń\nORDER {1} ^[€] 😀🎉 \\ \"quoted\" 'x' &lt;"
RIGHTS = "write = system,message,call\nread = call\n"
NARROW = "\n[narrow]\nsecret = narrow-secret\npermit = 127.0.0.1/255.255.255.255\nwrite = system\n"
SCENARIO = """<?xml version="1.0" encoding="ISO-8859-1"?>
<scenario name="message">
  <recv request="MESSAGE"/>
  <send><![CDATA[
SIP/2.0 %STATUS%
[last_Via:]
[last_From:]
[last_To:];tag=%RUN%p[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
</scenario>
"""


class Phone:
    """sipp, as somebody who gets SIP MESSAGEs and answers each with a status."""

    def __init__(self, status: str) -> None:
        arguments = ["-trace_msg", "-message_file", "whole.log"]
        self._sipp = sipp_process.Process(
            SCENARIO.replace("%STATUS%", status).encode(), arguments, host=rig_asterisk.HOST
        )
        self.port = self._sipp.port

    def wait(self) -> None:
        """Until it listens."""
        end = time.monotonic() + 20
        while ports.is_free(self.port):
            if self._sipp.finished() or time.monotonic() > end:
                raise errors.NotReady(f"sipp did not start: {self._sipp.errors()}")
            time.sleep(0.02)

    def stop(self) -> None:
        self._sipp.stop()
        self._sipp.remove_files()

    def got(self) -> list[tuple[dict[str, str], str]]:
        """Head and body of each MESSAGE that came, retransmissions once; the request line is the header ""."""
        path = self._sipp.directory / "whole.log"
        data = path.read_bytes() if path.exists() else b""
        found: dict[str, tuple[dict[str, str], str]] = {}
        for mark in re.finditer(rb"message received \[(\d+)\] bytes ?:\s*\n\n", data):
            head, _, body = data[mark.end() : mark.end() + int(mark[1])].partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            headers = {"": first} | dict(line.split(": ", 1) for line in lines)
            if first.startswith("MESSAGE ") and len(body) == int(headers["Content-Length"]):
                found[headers["Call-ID"]] = (headers, body.decode())
        return list(found.values())

    def bodies(self) -> list[str]:
        return [body for _, body in self.got()]


@pytest.fixture(scope="module")
def pbx(
    asterisk_images: None, tmp_path_factory: pytest.TempPathFactory
) -> collections.abc.Iterator[rig_asterisk.Asterisk]:
    """An Asterisk whose AMI user has the rights that sending needs, and one whose user has not."""
    made = rig_asterisk.Asterisk(tmp_path_factory.mktemp("asterisk"))
    path = made.directory / "etc" / "manager.conf"
    path.write_text(re.sub(r"^write = system\n", RIGHTS, path.read_text(), count=1, flags=re.MULTILINE) + NARROW)
    with made:
        yield made


@contextlib.contextmanager
def phone(status: str = "200 OK") -> collections.abc.Iterator[Phone]:
    made = Phone(status)
    try:
        made.wait()
        yield made
    finally:
        made.stop()


@contextlib.asynccontextmanager
async def sending(pbx: rig_asterisk.Asterisk, **login: str) -> collections.abc.AsyncIterator[messenger.Messenger]:
    user, secret = login.get("user", pbx.ami_user), login.get("secret", pbx.ami_secret)
    made = messenger.Messenger(
        "main",
        ari=Ari(url=pbx.ari_url, username=pbx.ari_user, password=pydantic.SecretStr(pbx.ari_password)),
        ami=Ami(host=pbx.ami_host, port=pbx.ami_port, username=user, secret=pydantic.SecretStr(secret)),
    )
    try:
        yield made
    finally:
        await made.close()


def provider(over: str, by: messenger.Messenger, port: int, **changes: Any) -> sip.SipProvider:
    to = f"pjsip:phone/sip:{{{{ to }}}}@{rig_asterisk.HOST}:{port}"
    raw = {"type": "sip", "pbx": "main", "to": to, "over": over, "timeout": "5s", **changes}
    return sip.SipProvider("sip", sip.SipSettings.model_validate(raw), by)


async def until(phone: Phone, count: int) -> list[tuple[dict[str, str], str]]:
    await asyncio.to_thread(gateway.wait_for, f"{count} messages", lambda: len(phone.got()) >= count)
    return phone.got()


@pytest.mark.parametrize("over", ["ari", "ami"])
async def test_the_text_arrives_as_it_is(pbx: rig_asterisk.Asterisk, over: str) -> None:
    with phone() as other:
        async with sending(pbx) as by:
            made = provider(over, by, other.port, **{"from": "sip:{{ sender }}@gateway.example"})
            outcome = await made.send(subjects.submission(text=TEXT, sender="A&B Co."))
        ((head, body),) = await until(other, 1)
    assert outcome.code == ("202" if over == "ari" else "")
    assert isinstance(outcome, message.Accepted)
    assert body == TEXT
    assert head[""] == f"MESSAGE sip:+48600100200@{rig_asterisk.HOST}:{other.port} SIP/2.0"
    assert head["From"].startswith("<sip:A&B%20Co.@gateway.example>;tag=")
    assert head["Content-Type"] == "text/plain"


@pytest.mark.parametrize("over", ["ari", "ami"])
async def test_a_sender_without_an_address_is_the_user_part(pbx: rig_asterisk.Asterisk, over: str) -> None:
    with phone() as other:
        async with sending(pbx) as by:
            made = provider(over, by, other.port)
            for sender in ("ACME", "+48221131415", ""):
                assert isinstance(await made.send(subjects.submission(sender=sender)), message.Accepted)
        heads = [head["From"].split("@")[0] for head, _ in await until(other, 3)]
    assert heads == ["<sip:ACME", "<sip:+48221131415", "<sip:phone"]


@pytest.mark.parametrize("over", ["ari", "ami"])
async def test_a_refusal_by_the_peer_is_invisible(pbx: rig_asterisk.Asterisk, over: str) -> None:
    """Which is why a yes is no more than a handover."""
    with phone("404 Not Found") as other:
        async with sending(pbx) as by:
            outcome = await provider(over, by, other.port).send(subjects.submission())
        await until(other, 1)
    assert isinstance(outcome, message.Accepted)


@pytest.mark.parametrize("over", ["ari", "ami"])
async def test_what_cannot_leave_is_said(pbx: rig_asterisk.Asterisk, over: str) -> None:
    async with sending(pbx) as by:
        made = provider(over, by, 9, to="pjsip:nobody/sip:{{ to }}@127.0.0.1")
        outcome = await made.send(subjects.submission())
    assert (type(outcome), outcome.code) == (message.ProviderDown, "refused")


async def test_long_texts_arrive_whole_or_not_at_all(pbx: rig_asterisk.Asterisk) -> None:
    whole, longer, longest = "ż" * 376 + "y", "ż" * 377, "x" * 1529 + "y"
    with phone() as other:
        async with sending(pbx) as by:
            over_ami, over_ari = provider("ami", by, other.port), provider("ari", by, other.port)
            assert isinstance(await over_ami.send(subjects.submission(text=whole)), message.Accepted)
            assert isinstance(await over_ami.send(subjects.submission(text=longer)), message.Rejected)
            assert isinstance(await over_ari.send(subjects.submission(text=longest)), message.Accepted)
        await until(other, 2)
        assert sorted(other.bodies(), key=len) == [whole, longest]


async def test_a_right_that_is_missing_is_named(pbx: rig_asterisk.Asterisk) -> None:
    async with sending(pbx, user="narrow", secret="narrow-secret") as by:
        outcome = await provider("ami", by, 9).send(subjects.submission())
        assert (type(outcome), outcome.code) == (message.ProviderDown, "denied")
        assert "message" in outcome.detail
    async with sending(pbx, secret="wrong") as by:
        assert isinstance(await provider("ami", by, 9).send(subjects.submission()), message.ProviderDown)


@pytest.mark.parametrize("over", ["ari", "ami"])
async def test_a_hundred_at_once_arrive_once_each(pbx: rig_asterisk.Asterisk, over: str) -> None:
    with phone() as other:
        async with sending(pbx) as by:
            made = provider(over, by, other.port, timeout="20s")
            texts = [f"number {number}" for number in range(100)]
            outcomes = await asyncio.gather(*(made.send(subjects.submission(text=text)) for text in texts))
        assert {type(outcome) for outcome in outcomes} == {message.Accepted}
        await until(other, 100)
        assert sorted(other.bodies()) == sorted(texts)


@pytest.mark.parametrize("over", ["ari", "ami"])
async def test_a_frozen_asterisk_leaves_a_doubt_and_sends_once(pbx: rig_asterisk.Asterisk, over: str) -> None:
    with phone() as other:
        async with sending(pbx) as by:
            made = provider(over, by, other.port, timeout="1s")
            assert isinstance(await made.send(subjects.submission(text="before")), message.Accepted)
            await asyncio.to_thread(pbx.pause)
            try:
                doubtful = await made.send(subjects.submission(text="meanwhile"))
                behind = await made.send(subjects.submission(text="behind it")) if over == "ami" else None
            finally:
                await asyncio.to_thread(pbx.unpause)
            assert isinstance(doubtful, message.Uncertain)
            assert behind is None or isinstance(behind, message.ProviderDown)
            await asyncio.to_thread(pbx.wait_for, "Asterisk answers", lambda: pbx.channels() == 0)
            assert isinstance(await made.send(subjects.submission(text="after")), message.Accepted)
        await until(other, 3)
        assert sorted(other.bodies()) == ["after", "before", "meanwhile"]


async def test_without_a_modems_driver_there_is_no_modem(pbx: rig_asterisk.Asterisk) -> None:
    settings = modem.ModemSettings(pbx="main", driver="quectel", device="quectel0")
    async with sending(pbx) as by:
        outcome = await modem.ModemProvider("modem", settings, by).send(subjects.submission())
    assert (type(outcome), outcome.code) == (message.ProviderDown, "refused")


async def test_a_stopped_asterisk_takes_nothing_and_a_started_one_does(
    fresh_asterisk: collections.abc.Callable[[], rig_asterisk.Asterisk], tmp_path: pathlib.Path
) -> None:
    pbx = await asyncio.to_thread(fresh_asterisk)
    with phone() as other:
        async with sending(pbx) as by:
            made = provider("ari", by, other.port)
            await asyncio.to_thread(pbx.stop)
            assert isinstance(await made.send(subjects.submission(text="meanwhile")), message.ProviderDown)
            await asyncio.to_thread(pbx.start)
            assert isinstance(await made.send(subjects.submission(text="after")), message.Accepted)
        await until(other, 1)
        assert other.bodies() == ["after"]
