"""The modem provider over a fake AMI that answers as the drivers' sources do; nobody here has the hardware."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic
import pytest

from agi_sms import errors, message, ports
from agi_sms.asterisk import link
from agi_sms.message import Status
from agi_sms.providers import modem
from tests.contract import doors, fake_ami, subjects

SEND = "QuectelSendSMS"
HELLO = subjects.submission()


def settings(**changes: Any) -> modem.ModemSettings:
    raw = {"type": "modem", "pbx": "main", "driver": "quectel", "device": "quectel0", "timeout": "5s"}
    return modem.ModemSettings.model_validate(raw | changes)


@dataclass
class Keeper:
    """Keeps receipts as the outbox would; `faults` are raised first."""

    kept: list[ports.Receipt] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    async def __call__(self, provider: str, receipts: Sequence[ports.Receipt]) -> None:
        assert provider == "modem"
        if self.faults:
            raise self.faults.pop(0)
        self.kept += receipts

    @property
    def states(self) -> list[tuple[str, Status]]:
        return [(one.ref, one.state) for one in self.kept]


@contextlib.asynccontextmanager
async def provider(fake: fake_ami.FakeAmi, **changes: Any) -> AsyncIterator[modem.ModemProvider]:
    async with fake_ami.over_ami(fake) as sending:
        made = modem.ModemProvider("modem", settings(**changes), sending)
        try:
            yield made
        finally:
            await made.close()


@contextlib.asynccontextmanager
async def reporting(fake: fake_ami.FakeAmi, keeper: Keeper, **changes: Any) -> AsyncIterator[modem.ModemProvider]:
    """A provider that listens."""
    async with provider(fake, **changes) as made:
        task = asyncio.create_task(made.run(keeper))
        try:
            await doors.until(lambda: fake.listeners)
            yield made
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()


def ids(*names: str) -> Any:
    """Answers that name what they queued, one after the other."""
    left = iter(names)
    return lambda _: f"Response: Success\r\nMessage: [quectel0] SMS queued for send\r\nID: {next(left)}"


# --- sending ------------------------------------------------------------------------------------------------------


async def test_modem_an_action_says_all() -> None:
    async with fake_ami.running(answers={SEND: fake_ami.QUEUED}) as fake, provider(fake, validity="1d") as made:
        outcome = await made.send(subjects.submission(text="Zażółć\nC:\\new {x}", attempt=2))
        assert made.confirms is ports.Confirms.ACCEPTANCE
    assert outcome == message.Accepted(code="0x7f01", detail="[quectel0] SMS queued for send", ids=("modem-m1-2",))
    (action,) = fake.done(SEND)
    assert {key: value for key, value in action.items() if key not in ("Action", "ActionID")} == {
        "Device": "quectel0",
        "Number": "+48600100200",
        "Message": "Zażółć\\nC:\\\\new {x}",
        "Report": "no",
        "Payload": "m1",
        "Validity": "1440",
    }


async def test_modem_a_driver_without_escapes_takes_no_line_break() -> None:
    changes = {"driver": "dongle", "device": "dongle0", "reports": True}
    async with fake_ami.running(answers={"DongleSendSMS": fake_ami.QUEUED}) as fake, provider(fake, **changes) as made:
        refused = await made.send(subjects.submission(text="two\r\nAction: Originate"))
        assert isinstance(await made.send(subjects.submission(text="C:\\new")), message.Accepted)
        assert made.confirms is ports.Confirms.DELIVERY
    assert (type(refused), refused.code) == (message.Rejected, "line_break")
    (action,) = fake.done("DongleSendSMS")
    assert (action["Message"], action["Report"]) == ("C:\\new", "yes")
    assert b"Originate" not in fake.raw


@pytest.mark.parametrize("to", ["", "abc", "+48\r\nAction: Originate", "+48 600"])
async def test_modem_what_is_no_number_is_refused(to: str) -> None:
    async with fake_ami.running(answers={SEND: fake_ami.QUEUED}) as fake, provider(fake) as made:
        outcome = await made.send(subjects.submission(to=to))
    assert (type(outcome), outcome.code) == (message.Rejected, "to")
    assert fake.actions == []


async def test_modem_a_text_that_is_longer_than_an_action_may_be_is_refused() -> None:
    async with fake_ami.running(answers={SEND: fake_ami.QUEUED}) as fake, provider(fake) as made:
        assert isinstance(await made.send(subjects.submission(text="x" * 1007)), message.Accepted)
        assert isinstance(await made.send(subjects.submission(text="x" * 1008)), message.Rejected)
    assert len(fake.done(SEND)) == 1


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("[device1] Device not connected / initialized / registered", message.ProviderDown),
        ("[device1] Device disconnected", message.ProviderDown),
        ("[device1] Device not found", message.ProviderDown),
        ("[device1] Device disabled", message.ProviderDown),
        ("Invalid/unknown command. Use Action: ListCommands to show available commands.", message.ProviderDown),
        ("[device1] Invalid destination number", message.Rejected),
        ("[device1] Invalid phone number", message.Rejected),
        ("Message not specified", message.Rejected),
        ("[device1] Error adding SMS commands to queue", message.Retry),
        ("", message.Retry),
    ],
)
async def test_modem_what_the_driver_says_no_with(said: str, kind: type[message.Outcome]) -> None:
    answer = f"Response: Error\r\nMessage: {said}"
    async with fake_ami.running(answers={SEND: answer}) as fake, provider(fake) as made:
        assert type(await made.send(HELLO)) is kind


async def test_modem_a_cut_connection_is_a_doubt_and_one_message() -> None:
    async with fake_ami.running(answers={SEND: fake_ami.QUEUED}, cut={SEND}) as fake, provider(fake) as made:
        assert isinstance(await made.send(HELLO), message.Uncertain)
        fake.cut.clear()
        assert isinstance(await made.send(subjects.submission("m2")), message.Accepted)
    assert [action["Payload"] for action in fake.done(SEND)] == ["m1", "m2"]


# --- what the driver reports ----------------------------------------------------------------------------------------


async def test_modem_reports_come_by_our_own_name() -> None:
    keeper = Keeper()
    async with (
        fake_ami.running(answers={SEND: "Response: Success\r\nMessage: [quectel0] SMS queued for send"}) as fake,
        reporting(fake, keeper, reports=True) as made,
    ):
        assert isinstance(await made.send(HELLO), message.Accepted)
        for success, kind in (("1", "0"), ("1", "1"), ("0", "0"), ("0", "1")):
            fake.say("QuectelReport", Device="quectel0", Payload="m1", Success=success, Type=kind, Report="0,0")
        fake.say("QuectelReport", Device="quectel9", Payload="m1", Success="1", Type="1")
        fake.say("QuectelReport", Device="quectel0", Payload="", Success="1", Type="1")
        fake.say("QuectelReport", Device="quectel0", Payload="m2", Success="1", Type="1")
        await doors.until(lambda: len(keeper.kept) == 5)
    assert keeper.states == [
        ("m1", Status.ACCEPTED),
        ("m1", Status.DELIVERED),
        ("m1", Status.FAILED),
        ("m1", Status.FAILED),
        ("m2", Status.DELIVERED),
    ]
    assert [one.detail for one in keeper.kept[2:4]] == ["the modem did not send it", "the phone did not get it"]
    assert keeper.kept[1].code == "0,0"
    assert "payload=m1" in keeper.kept[1].raw


async def test_modem_the_drivers_own_names_are_used_once_each() -> None:
    keeper = Keeper()
    async with (
        fake_ami.running(answers={SEND: ids("0x1", "0x2", "0x1")}) as fake,
        reporting(fake, keeper) as made,
    ):
        await made.send(subjects.submission("m1"))
        await made.send(subjects.submission("m2"))
        fake.say("QuectelSMSStatus", Device="quectel0", ID="0x2", Status="NotSent")
        fake.say("QuectelSMSStatus", Device="quectel0", ID="0x1", Status="Sent")
        fake.say("QuectelSMSStatus", Device="quectel0", ID="0x1", Status="Sent")
        fake.say("QuectelSMSStatus", Device="quectel0", ID="0x9", Status="Sent")
        await doors.until(lambda: len(keeper.kept) == 2)
        await made.send(subjects.submission("m3"))
        fake.say("QuectelSMSStatus", Device="quectel0", ID="0x1", Status="Sent")
        await doors.until(lambda: len(keeper.kept) == 3)
    assert keeper.states == [("m2", Status.FAILED), ("m1", Status.ACCEPTED), ("m3", Status.ACCEPTED)]


async def test_modem_a_report_may_come_before_the_answer() -> None:
    keeper = Keeper()

    def hasty(_: fake_ami.Action) -> str:
        fake.say("QuectelSMSStatus", Device="quectel0", ID="0x7f01", Status="Sent")
        return fake_ami.QUEUED

    async with fake_ami.running(answers={SEND: hasty}) as fake, reporting(fake, keeper) as made:
        await made.send(HELLO)
        await doors.until(lambda: keeper.kept)
    assert keeper.states == [("m1", Status.ACCEPTED)]


async def test_modem_what_cannot_be_kept_is_kept_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modem, "_AGAIN", 0.01)
    keeper = Keeper(faults=[errors.OutboxBusy(), errors.OutboxFull(), errors.OutboxRefused()])
    async with fake_ami.running() as fake, reporting(fake, keeper):
        fake.say("QuectelReport", Device="quectel0", Payload="m1", Success="1", Type="1")
        fake.say("QuectelReport", Device="quectel0", Payload="m2", Success="1", Type="1")
        await doors.until(lambda: keeper.kept)
    assert [one.ref for one in keeper.kept] == ["m2"]


async def test_modem_more_than_can_wait_is_dropped_and_said(monkeypatch: pytest.MonkeyPatch, logged: list[Any]) -> None:
    monkeypatch.setattr(modem, "_MOST_WAITING", 1)
    gate = asyncio.Event()
    kept: list[ports.Receipt] = []

    async def slow(_: str, receipts: Sequence[ports.Receipt]) -> None:
        await gate.wait()
        kept.extend(receipts)

    async with fake_ami.running() as fake, provider(fake) as made:
        task = asyncio.create_task(made.run(slow))
        await doors.until(lambda: fake.listeners)
        for number in range(4):
            fake.say("QuectelReport", Device="quectel0", Payload=f"m{number}", Success="1", Type="1")
        await doors.until(lambda: doors.events(logged, "report of a modem is lost"))
        gate.set()
        await doors.until(lambda: kept)
        task.cancel()
        await asyncio.wait({task})
    assert kept[0].ref == "m0"


async def test_modem_listening_survives_asterisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "FIRST_PAUSE", 0.01)
    keeper = Keeper()
    async with fake_ami.running() as fake, reporting(fake, keeper):
        fake.drop()
        await doors.until(lambda: fake.logins == 2 and fake.listeners)
        fake.say("QuectelReport", Device="quectel0", Payload="m1", Success="1", Type="1")
        await doors.until(lambda: keeper.kept)


@pytest.mark.parametrize(
    "changes",
    [{"driver": "huawei"}, {"device": "a b"}, {"device": "x\r\ny"}, {"device": ""}, {"validity": "1m"}, {"pbx": ""}],
)
def test_modem_settings_that_cannot_work_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        settings(**changes)
