"""Sends over one SMPP 3.4 connection to an SMSC, and gets receipts over it.

A submit_sm is written at most once. Answered with an error it was certainly not taken; written and not answered
(deadline, lost connection) it may have been. A text of several segments is taken when all of them are, one after
the other: an answer that asks for patience is asked again for this segment, and what was begun and cannot be ended
is Uncertain, since a phone may have a half of it. An answer after its deadline is handed on late; nothing is sent
because of it.
"""

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from agi_sms import durations, harmless, http_words, message, ports, under_way
from agi_sms.providers import (
    free_places,
    http_mask,
    smpp_concatenation,
    smpp_inbox,
    smpp_link,
    smpp_outcomes,
    smpp_pace,
    smpp_pdus,
    smpp_settings,
)
from agi_sms.providers.smpp_session import Lost, Session, Silent

_LONGEST_NAME = 11  # characters of a sender that is no number (TP-OA, 3GPP TS 23.040 9.1.2.5)
_LONGEST_NUMBER = 20
_SENDERS = 1000  # whose addresses are remembered
_RECEIPT = 1  # registered_delivery: of success and failure
_LONGEST_TRY = 4  # times `timeout`: for the connection, for a free place in it, for its turn, for the answer
_AGAIN = 0.5  # seconds before a segment goes again that was not taken, and twice as many each time
_LATE = "answered after its deadline"


@dataclass(frozen=True, kw_only=True)
class _Segment:
    """One submit_sm of a `text`. `late` takes what its answer means where that comes after its deadline."""

    body: bytes
    text: str
    begun: bool  # those before it were taken
    late: Callable[[message.Outcome], None]


class SmppProvider:
    """One account at one SMSC. `clock` counts seconds."""

    Settings = smpp_settings.Settings
    confirms = ports.Confirms.DELIVERY
    idempotent = False

    def __init__(
        self,
        name: str,
        settings: smpp_settings.Settings,
        *,
        pauses: smpp_link.Pauses | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.on_uncertain = settings.on_uncertain
        slowest = smpp_concatenation.MOST / settings.rate if settings.rate else 0.0
        self.timeout = 2 * _LONGEST_TRY * settings.timeout + timedelta(seconds=slowest)
        self._settings = settings
        self._clock = clock
        self._patience = settings.timeout.total_seconds()
        self._inbox = smpp_inbox.Inbox(name, settings.receipt_id, clock=clock)
        self._link = smpp_link.Link(name, settings, self._inbox.take, pauses=pauses or smpp_link.Pauses(), clock=clock)
        self._pace = smpp_pace.Pace(settings.rate)
        self._places = free_places.Places(settings.window, settings.timeout)
        self._references = smpp_concatenation.References(smpp_concatenation.width(settings.concatenation))
        self._sources = functools.lru_cache(_SENDERS)(self._source)
        self._mask = http_words.Mask(settings.secrets())
        self._under_way = under_way.UnderWay()
        self._closed = False

    async def send(self, submission: ports.Submission) -> message.Outcome:
        """Every segment, each written at most once without an answer. Raises nothing but CancelledError."""
        if self._closed:
            return _closed()
        try:
            bodies = self._bodies(submission)
        except smpp_concatenation.TooLong as error:
            return message.Rejected(code="segments", detail=str(error))
        with self._under_way:
            return await self._all(bodies, submission)

    async def run(self, take: ports.TakeReceipts) -> None:
        """Keep the connection up and hand receipts on, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._inbox.serve(take))
                group.create_task(self._link.keep())
        finally:
            await self._link.rest()  # one who takes over may be let in only then

    async def close(self) -> None:
        """Wait for the answers under way (each ends by its own deadline), then unbind. What is not begun is not."""
        self._closed = True
        await self._under_way.ended()
        await self._link.close()

    # --- submitting -------------------------------------------------------------------------------------------

    async def _all(self, bodies: list[bytes], submission: ports.Submission) -> message.Outcome:
        until = self._clock() + self.timeout.total_seconds() - _LONGEST_TRY * self._patience
        ids: tuple[str, ...] = ()
        for taken, body in enumerate(bodies):
            come_to = functools.partial(_come_to, ids=ids, taken=taken, total=len(bodies))
            segment = _Segment(
                body=body,
                text=submission.text,
                begun=taken > 0,
                late=functools.partial(_hand_on, submission.late, come_to),
            )
            outcome = await (self._next(segment, until) if taken else self._one(segment))
            if not isinstance(outcome, message.Accepted):
                return come_to(outcome)
            ids += outcome.ids
        return message.Accepted(ids=ids)

    async def _next(self, segment: _Segment, until: float) -> message.Outcome:
        """One more segment of a text that is begun: patiently, since without it the others are worth nothing."""
        if self._clock() >= until:
            return message.ProviderDown(code="late", detail="the segments before took too long")
        pause = _AGAIN
        outcome = await self._one(segment)
        while isinstance(outcome, message.Retry | message.ProviderDown) and self._clock() + pause < until:
            await asyncio.sleep(pause)
            pause *= 2
            outcome = await self._one(segment)
        return outcome

    async def _one(self, segment: _Segment) -> message.Outcome:
        """One segment, written once or not at all."""
        try:
            await self._link.session()  # who cannot have one shall not wait for a place
            await self._places.take()
        except smpp_link.Down as down:
            return down.outcome
        except TimeoutError:
            return self._busy()
        try:
            await self._turn()
            if self._closed and not segment.begun:
                return _closed()
            return await self._submit(self._link.bound, segment)
        except smpp_link.Down as down:
            return down.outcome
        except TimeoutError:
            return self._busy()
        finally:
            self._places.give()

    async def _turn(self) -> None:
        """Wait until the rate lets this one go. Raises TimeoutError where that is too long."""
        now = self._clock()
        if self._pace.next(now) > now + self._patience:
            raise TimeoutError
        wait = self._pace.take(now) - now
        if wait > 0:
            await asyncio.sleep(wait)

    async def _submit(self, session: Session, segment: _Segment) -> message.Outcome:
        read = functools.partial(self._read, session, segment.text, self._clock())

        def late(answer: smpp_pdus.Pdu) -> None:
            outcome = read(answer)
            detail = f"{outcome.detail}, {_LATE}" if outcome.detail else _LATE
            segment.late(replace(outcome, detail=harmless.clipped(detail)))

        try:
            return read(await session.ask(smpp_pdus.Command.SUBMIT, segment.body, late=late))
        except Lost as error:
            if error.written:
                return message.Uncertain(code="lost", detail=f"{error}, before it answered")
            return message.ProviderDown(code="lost", detail=str(error))
        except Silent:
            waited = durations.show(self._settings.timeout)
            return message.Uncertain(code="timeout", detail=f"no answer within {waited}")

    def _read(self, session: Session, text: str, sent_at: float, answer: smpp_pdus.Pdu) -> message.Outcome:
        """What the answer to a segment of `text` means."""
        name, tlvs = smpp_pdus.answer(answer.body)
        if not answer.status:
            session.served = True
            return message.Accepted(ids=(self._settings.receipt_id.submitted(name),) if name else ())
        if answer.status in smpp_outcomes.THROTTLED:
            self._pace.throttled(self._clock(), sent_at)
        elif answer.status == smpp_outcomes.NOT_BOUND:
            session.end("the SMSC says that we are not bound")
        said = smpp_pdus.printable(tlvs.get(smpp_pdus.Tlv.STATUS_TEXT, b"").split(b"\0")[0])
        if said:
            said = harmless.clipped(http_mask.TextMask(text)(self._mask.clipped(said)))
        return smpp_outcomes.outcome(answer.status, self._settings.codes, said)

    def _busy(self) -> message.ProviderDown:
        waited = durations.show(self._settings.timeout)
        return message.ProviderDown(code="busy", detail=f"no free place on the connection within {waited}")

    # --- what a submit_sm says --------------------------------------------------------------------------------

    def _bodies(self, submission: ports.Submission) -> list[bytes]:
        settings = self._settings
        to = _digits(submission.to)[:_LONGEST_NUMBER]
        kind = settings.addresses.recipient
        pieces = smpp_concatenation.pieces(
            submission.text, submission.encoding, settings.style, lambda: self._references.next(to)
        )
        source = self._sources(submission.sender or settings.sender)
        return [
            smpp_pdus.Short(
                service_type=settings.service_type,
                source=source,
                to=smpp_pdus.Address(ton=kind.ton, npi=kind.npi, value=to),
                esm_class=piece.esm_class,
                validity=settings.validity_period,
                registered_delivery=_RECEIPT,
                data_coding=piece.data_coding,
                message=piece.octets,
                tlvs=piece.tlvs,
            ).encode()
            for piece in pieces
        ]

    def _source(self, sender: str) -> smpp_pdus.Address:
        """The sender with its kind; what no sender can have in it is left out."""
        kinds = self._settings.addresses
        digits = sender.removeprefix("+")
        if digits.isascii() and digits.isdecimal():
            kind = kinds.number if sender.startswith("+") else kinds.short_code
            return smpp_pdus.Address(ton=kind.ton, npi=kind.npi, value=digits[:_LONGEST_NUMBER])
        value = "".join(c for c in sender if c.isascii() and c.isprintable())[:_LONGEST_NAME]
        kind = kinds.name if value else kinds.empty
        return smpp_pdus.Address(ton=kind.ton, npi=kind.npi, value=value)


def _closed() -> message.ProviderDown:
    return smpp_link.Closed().outcome


def _digits(number: str) -> str:
    digits = number.removeprefix("+")
    if digits.isascii() and digits.isdecimal():
        return digits
    return "".join(c for c in digits if c in "0123456789")


def _hand_on(
    tell: Callable[[message.Outcome], None],
    come_to: Callable[[message.Outcome], message.Outcome],
    outcome: message.Outcome,
) -> None:
    tell(come_to(outcome))


def _come_to(outcome: message.Outcome, *, ids: Sequence[str], taken: int, total: int) -> message.Outcome:
    """What a text of so many segments comes to after the answer to one more than were taken before, as these `ids`."""
    if isinstance(outcome, message.Accepted):
        ids, taken = (*ids, *outcome.ids), taken + 1
        if taken == total:
            return message.Accepted(ids=tuple(ids), detail=outcome.detail)
    if not taken:
        return outcome
    named = f" ({', '.join(ids)})" if ids else ""
    detail = harmless.clipped(f"{taken} of {total} segments were taken{named}, then: {outcome.detail}")
    return message.Uncertain(code=outcome.code, detail=detail, ids=tuple(ids))
