"""Sends by a modem that is a channel of Asterisk: chan_quectel or chan_dongle, over AMI.

What it says yes to is `acceptance`, by the driver's queue in memory: that the modem sent it, or did not, is reported
later, and so is that the phone has it, where `reports` asks the network for that. Written from the drivers' sources
(wdoekes/asterisk-chan-dongle, bg111/asterisk-chan-dongle, IchthysMaranatha/asterisk-chan-quectel and its forks with
AMI, manager.c); proved with a fake AMI only, since nobody here has the hardware.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, TypeVar

import pydantic
import structlog

from agi_sms import durations, errors, harmless, message, metrics, ports, segments, under_way
from agi_sms.message import Status
from agi_sms.providers import common

MOST_KNOWN = 1000  # messages, or events, that wait for their other half
_MOST_WAITING = 1000  # receipts
_AGAIN = 5.0  # seconds until a receipt that could not be kept is handed on again
_NUMBER = re.compile(r"\+?[0-9]{1,20}")
_DOWN = re.compile(r"device|unknown command|not connected|disconnected|disabled", re.IGNORECASE)
_REJECTED = re.compile(r"invalid\b.*\bnumber|not specified", re.IGNORECASE)
_PREFIX = re.compile(r"\[[^\]]*\]\s*")  # the device's name
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n"})

V = TypeVar("V")

log = structlog.get_logger(__name__)


def _validity(value: timedelta) -> timedelta:
    if not timedelta(minutes=5) <= value <= timedelta(days=63):  # 3GPP TS 23.040, 9.2.3.12.1
        raise ValueError("must be from 5m to 63d")
    return value


class ModemSettings(common.Settings):
    """`type: modem`. The AMI user needs `call` in its write, and in its read for what is reported later.

    `escapes`: the driver reads \\n and \\\\ in a text, as newer ones do; without it no text may have a line break.
    """

    type: Literal["modem"] = "modem"
    pbx: Annotated[str, pydantic.Field(min_length=1)]
    driver: Literal["quectel", "dongle"]
    device: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
    reports: pydantic.StrictBool = False
    validity: Annotated[durations.Duration, pydantic.AfterValidator(_validity)] | None = None
    escapes: pydantic.StrictBool | None = None


class ModemProvider:
    """One modem of one Asterisk."""

    Settings = ModemSettings
    idempotent = False

    def __init__(self, name: str, settings: ModemSettings, messenger: ports.PbxMessenger) -> None:
        self.name = name
        self.confirms = ports.Confirms.DELIVERY if settings.reports else ports.Confirms.ACCEPTANCE
        self.on_uncertain = settings.on_uncertain
        self.timeout = settings.timeout
        self._settings = settings
        self._escapes = settings.driver == "quectel" if settings.escapes is None else settings.escapes
        self._messenger = messenger
        prefix = settings.driver.capitalize()
        self._action = f"{prefix}SendSMS"
        self._status, self._report = f"{prefix}SMSStatus".lower(), f"{prefix}Report".lower()
        self._sending = 0
        self._refs: OrderedDict[str, str] = OrderedDict()  # by the driver's id, which it gives again and again
        self._early: OrderedDict[str, Mapping[str, str]] = OrderedDict()  # events that may be before their answer
        self._receipts: asyncio.Queue[ports.Receipt] = asyncio.Queue(_MOST_WAITING)
        self._under_way = under_way.UnderWay()
        self._closed = False

    # --- sending ----------------------------------------------------------------------------------------------

    async def send(self, submission: ports.Submission) -> message.Outcome:
        """One action, at most one; the driver cuts a long text itself. Raises nothing but CancelledError."""
        if self._closed:
            return message.ProviderDown(code="closed", detail="this provider was replaced, or is shutting down")
        if not _NUMBER.fullmatch(submission.to):
            return message.Rejected(code="to", detail="the recipient is no number")
        text = segments.clean(submission.text)
        if self._escapes:
            text = text.translate(_ESCAPES)
        elif "\n" in text:
            return message.Rejected(code="line_break", detail="this driver takes no line break; see `escapes`")
        fields = {
            "Device": self._settings.device,
            "Number": submission.to,
            "Message": text,
            "Report": "yes" if self._settings.reports else "no",
            "Payload": submission.ref,
        }
        if self._settings.validity is not None:
            fields["Validity"] = str(round(self._settings.validity / timedelta(minutes=1)))
        with self._under_way:
            outcome = await self._act(fields)
        match outcome:
            case message.Accepted(ids=ids):
                own = f"{self.name}-{submission.ref}-{submission.attempt}"  # the driver's is no name for long
                return message.Accepted(code=",".join(ids), detail=outcome.detail, ids=(own,))
            case message.Retry(code="refused"):
                return _refusal(outcome)
        return outcome

    async def _act(self, fields: Mapping[str, str]) -> message.Outcome:
        self._sending += 1
        try:
            outcome = await self._messenger.action(self._action, fields, patience=self.timeout)
            if isinstance(outcome, message.Accepted) and outcome.ids:
                self._named(outcome.ids[0], fields["Payload"])
            return outcome
        finally:
            self._sending -= 1
            if not self._sending:
                self._early.clear()

    async def close(self) -> None:
        """Wait for what is under way; each ends by its own deadline."""
        self._closed = True
        await self._under_way.ended()

    # --- what the driver reports ------------------------------------------------------------------------------

    async def run(self, take: ports.TakeReceipts) -> None:
        """Listen for what becomes of messages, and hand it on, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._messenger.listen({self._status, self._report}, self._event))
            group.create_task(self._hand_on(take))

    def _event(self, event: Mapping[str, str]) -> None:
        if event.get("device") != self._settings.device:
            return
        if event["event"].lower() == self._report:
            if ref := event.get("payload", ""):
                self._receive(ref, event, delivered=event.get("type") != "0")
        elif ref := self._refs.pop(event.get("id", ""), ""):
            self._receive(ref, event, delivered=False)
        elif self._sending:
            _remember(self._early, event.get("id", ""), event)

    def _named(self, name: str, ref: str) -> None:
        """The driver calls this message so; it may have reported on it already."""
        if (event := self._early.pop(name, None)) is not None:
            self._receive(ref, event, delivered=False)
        else:
            _remember(self._refs, name, ref)

    def _receive(self, ref: str, event: Mapping[str, str], *, delivered: bool) -> None:
        """`delivered`: it is the network's word, not the modem's."""
        good = event.get("success") == "1" or event.get("status", "").lower() == "sent"
        receipt = ports.Receipt(
            provider_id="",
            ref=harmless.clipped(ref),
            state=(Status.DELIVERED if delivered else Status.ACCEPTED) if good else Status.FAILED,
            raw=harmless.clipped(" ".join(f"{key}={value}" for key, value in sorted(event.items()))),
            code=harmless.clipped(event.get("report", "") or event.get("status", "")),
            detail="" if good else "the phone did not get it" if delivered else "the modem did not send it",
        )
        try:
            self._receipts.put_nowait(receipt)
        except asyncio.QueueFull:
            metrics.fault("receipt")
            log.warning("a report of a modem is lost, too many wait to be kept", provider=self.name)

    async def _hand_on(self, take: ports.TakeReceipts) -> None:
        """The driver says everything once, so what cannot be kept now is tried again."""
        while True:
            receipt = await self._receipts.get()
            while True:
                try:
                    await take(self.name, [receipt])
                except errors.OutboxRefused as error:
                    metrics.fault("receipt")
                    log.error("a report of a modem cannot be stored", provider=self.name, error=str(error))
                except errors.OutboxError:
                    metrics.fault("receipt")
                    await asyncio.sleep(_AGAIN)
                    continue
                break


def _remember(known: "OrderedDict[str, V]", name: str, value: V) -> None:
    known[name] = value
    while len(known) > MOST_KNOWN:
        known.popitem(last=False)


def _refusal(outcome: message.Outcome) -> message.Outcome:
    """What the driver's own words mean; nothing was queued."""
    said = _PREFIX.sub("", outcome.detail, count=1)
    if _REJECTED.search(said):
        return message.Rejected(code=outcome.code, detail=outcome.detail)
    if _DOWN.search(said):
        return message.ProviderDown(code=outcome.code, detail=outcome.detail)
    return message.Retry(code=outcome.code, detail=outcome.detail)
