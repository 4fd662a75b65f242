"""The SIP provider: the addresses it makes, and what Asterisk's answers mean for a handover."""

import asyncio
import json
from datetime import timedelta
from typing import Any, cast

import pydantic
import pytest

from agi_sms import message, ports
from agi_sms.providers import sip
from tests.contract import doors, fake_ami, peer, subjects

TO = "pjsip:acme/sip:{{ to }}@sms.example"


def settings(**changes: Any) -> sip.SipSettings:
    return sip.SipSettings.model_validate({"type": "sip", "pbx": "main", "to": TO, "timeout": "5s", **changes})


class Recorder:
    """A messenger that does as it is told, and remembers."""

    def __init__(self, outcome: message.Outcome) -> None:
        self.outcome = outcome
        self.sent: list[dict[str, Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send_message(self, **fields: Any) -> message.Outcome:
        self.sent.append(fields)
        await self.gate.wait()
        return self.outcome


def through(messenger: object, wanted: sip.SipSettings) -> sip.SipProvider:
    return sip.SipProvider("sip", wanted, cast(ports.PbxMessenger, messenger))


async def sent(submission: ports.Submission, **changes: Any) -> dict[str, Any]:
    recorder = Recorder(message.Accepted())
    outcome = await through(recorder, settings(**changes)).send(submission)
    assert isinstance(outcome, message.Accepted)
    (fields,) = recorder.sent
    return fields


async def test_sip_a_yes_is_a_handover_and_names_the_attempt() -> None:
    made = through(Recorder(message.Accepted(code="202")), settings())
    assert made.confirms is ports.Confirms.HANDOVER
    assert await made.send(subjects.submission(attempt=2)) == message.Accepted(code="202", ids=("sip-m1-2",))


async def test_sip_the_number_and_the_sender_stand_where_the_settings_say() -> None:
    assert await sent(subjects.submission(text="Zażółć\nno \x00 zero")) == {
        "to": "pjsip:acme/sip:+48600100200@sms.example",
        "sender": "ACME",
        "body": "Zażółć\nno  zero",
        "over": "ari",
        "patience": timedelta(seconds=5),
    }
    digits = await sent(
        subjects.submission(),
        to="pjsip:acme/sip:{{ to|digits }};phone-context=pl@sms.example;transport=tcp",
        over="ami",
        **{"from": "sip:{{ sender|default('x') }}@gateway.example"},
    )
    assert digits["to"] == "pjsip:acme/sip:48600100200;phone-context=pl@sms.example;transport=tcp"
    assert (digits["sender"], digits["over"]) == ("sip:ACME@gateway.example", "ami")


@pytest.mark.parametrize(
    ("sender", "written"),
    [
        ("A&B Co.", "A&B%20Co."),
        ("x@evil>\r\nAction: Originate", "x%40evil%3E%0D%0AAction%3A%20Originate"),
        ("a;b?c/d%41", "a%3Bb%3Fc%2Fd%2541"),
        ("Żaba\ud800", "%C5%BBaba%3F"),
        ("", ""),
    ],
)
async def test_sip_a_sender_is_never_more_than_a_user_part(sender: str, written: str) -> None:
    assert (await sent(subjects.submission(sender=sender)))["sender"] == written


@pytest.mark.parametrize("to", ["", "abc", "+48 600", "+48600@evil", "4860\n0", "+" + "1" * 21, "٤٨٦٠٠"])
async def test_sip_what_is_no_number_never_gets_into_an_address(to: str) -> None:
    recorder = Recorder(message.Accepted())
    outcome = await through(recorder, settings()).send(subjects.submission(to=to))
    assert (type(outcome), outcome.code) == (message.Rejected, "to")
    assert recorder.sent == []


async def test_sip_what_asterisk_refuses_did_not_leave() -> None:
    made = through(Recorder(message.Retry(code="refused", detail="Endpoint not found")), settings())
    outcome = await made.send(subjects.submission())
    assert isinstance(outcome, message.ProviderDown)
    assert "pjsip:acme" in outcome.detail
    assert "600100200" not in outcome.detail


@pytest.mark.parametrize(
    "outcome",
    [
        message.Uncertain(code="timeout"),
        message.ProviderDown(code="connect"),
        message.Rejected(code="413"),
    ],
)
async def test_sip_other_outcomes_stay_what_they_are(outcome: message.Outcome) -> None:
    assert await through(Recorder(outcome), settings()).send(subjects.submission()) == outcome


async def test_sip_closing_waits_for_what_is_under_way() -> None:
    recorder = Recorder(message.Accepted())
    recorder.gate.clear()
    made = through(recorder, settings())
    task = asyncio.create_task(made.send(subjects.submission()))
    await doors.until(lambda: recorder.sent)
    closing = asyncio.create_task(made.close())
    await asyncio.sleep(0)
    assert not closing.done()
    recorder.gate.set()
    await closing
    assert isinstance(await task, message.Accepted)
    assert isinstance(await made.send(subjects.submission()), message.ProviderDown)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"to": "pjsip:acme"}, "must be like pjsip:ENDPOINT/sip:"),
        ({"to": "pjsip:{{ to }}"}, "must be like"),
        ({"to": "pjsip:acme/sip:{{ to }}"}, "must be like"),
        ({"to": "sip:{{ to }}@sms.example"}, "must be like"),
        ({"to": "pjsip:acme/sip:{{ to }}@sms.example/x"}, "must be like"),
        ({"to": "pjsip:acme/sip:123@sms.example"}, "must name the recipient"),
        ({"to": "pjsip:acme/sip:{{ text }}@sms.example"}, "text"),
        ({"to": "pjsip:acme/sip:{{ to }@sms.example"}, "in 'pjsip"),
        ({"to": "pjsip:acme/sip:{{ to }}@sms.example\n"}, "one line"),
        ({"from": "{{ nobody }}"}, "nobody"),
        ({"from": "a\r\nAction: Originate"}, "one line"),
        ({"over": "udp"}, "ari"),
        ({"pbx": ""}, "pbx"),
    ],
)
def test_sip_settings_that_cannot_work_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=words):
        settings(**changes)


# --- with the real messenger ----------------------------------------------------------------------------------------


async def test_sip_over_ami_a_cut_connection_is_a_doubt_and_one_message() -> None:
    async with (
        fake_ami.running(answers={"MessageSend": fake_ami.SENT}, cut={"MessageSend"}) as fake,
        fake_ami.over_ami(fake) as sending,
    ):
        made = through(sending, settings(over="ami"))
        assert isinstance(await made.send(subjects.submission("m1")), message.Uncertain)
        fake.cut.clear()
        assert isinstance(await made.send(subjects.submission("m2")), message.Accepted)
        await made.close()
    assert len(fake.done("MessageSend")) == 2


async def test_sip_over_ari_a_cut_connection_is_a_doubt_and_one_message() -> None:
    async with peer.running(peer.cut()) as other, fake_ami.over_ari(other.url) as sending:
        made = through(sending, settings())
        assert isinstance(await made.send(subjects.submission("m1")), message.Uncertain)
        await made.close()
    (request,) = other.requests
    assert json.loads(request.body)["to"] == "pjsip:acme/sip:+48600100200@sms.example"


async def test_sip_over_ami_a_text_that_asterisk_would_cut_is_refused() -> None:
    async with (
        fake_ami.running(answers={"MessageSend": fake_ami.SENT}) as fake,
        fake_ami.over_ami(fake) as sending,
    ):
        made = through(sending, settings(over="ami"))
        assert isinstance(await made.send(subjects.submission(text="x" * 750)), message.Accepted)
        assert isinstance(await made.send(subjects.submission(text="x" * 754)), message.Rejected)
        await made.close()
    assert len(fake.done("MessageSend")) == 1


async def test_sip_over_a_silent_asterisk_ends_in_time() -> None:
    async with fake_ami.running(mute={"Login"}) as fake, fake_ami.over_ami(fake) as sending:
        made = through(sending, settings(over="ami", timeout="200ms"))
        async with asyncio.timeout(2):
            assert isinstance(await made.send(subjects.submission()), message.ProviderDown)
