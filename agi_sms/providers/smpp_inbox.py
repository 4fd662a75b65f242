"""Hands receipts on to be kept, and tells the SMSC that it may forget one only when it is on disk."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agi_sms import errors, metrics, ports
from agi_sms.providers import smpp_pdus as pdus
from agi_sms.providers import smpp_receipts
from agi_sms.providers.smpp_session import Session

log = structlog.get_logger(__name__)

_MOST = 500  # receipts that wait to be kept; what comes beyond that has to come again
_TOGETHER = 100  # receipts in one commit
_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """A receipt, and where its acknowledgement goes."""

    receipt: ports.Receipt
    session: Session
    request: pdus.Pdu


class Inbox:
    """What an SMSC sends to us. Without somebody who keeps receipts they are refused for now, and come again."""

    def __init__(self, name: str, ids: smpp_receipts.ReceiptId, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._ids = ids
        self._clock = clock
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(_MOST)
        self._serving = False
        self._counts = {"mobile-originated SMS": 0, "receipts without an id": 0}
        self._told_at = dict.fromkeys(self._counts, float("-inf"))

    def take(self, session: Session, request: pdus.Pdu) -> None:
        """One deliver_sm or data_sm; it is answered now, or when its receipt is kept."""
        read = pdus.Short.data if request.command == pdus.Command.DATA else pdus.Short.deliver
        try:
            short = read(request.body)
        except pdus.Malformed:
            session.refuse(pdus.Status.BAD_LENGTH, request.sequence)
            return
        if not smpp_receipts.is_receipt(short):
            self._dropped("mobile-originated SMS", session, request)
            return
        receipt = smpp_receipts.read(short, self._ids)
        if isinstance(receipt, smpp_receipts.Nameless):
            self._dropped("receipts without an id", session, request)
            return
        if not self._serving or self._queue.full():
            session.answer(request, pdus.Status.TEMPORARY)
            return
        head = pdus.Pdu(command=request.command, sequence=request.sequence)
        self._queue.put_nowait(_Waiting(receipt=receipt, session=session, request=head))

    async def serve(self, take: ports.TakeReceipts) -> None:
        """Hand on what comes, until cancelled."""
        self._serving = True
        under_way: list[_Waiting] = []
        try:
            while True:
                under_way = [await self._queue.get()]
                while len(under_way) < _TOGETHER and not self._queue.empty():
                    under_way.append(self._queue.get_nowait())
                await self._keep(take, under_way)
                under_way = []
        finally:
            self._serving = False
            while not self._queue.empty():
                under_way.append(self._queue.get_nowait())
            _answer(under_way, pdus.Status.TEMPORARY)

    async def _keep(self, take: ports.TakeReceipts, waiting: list[_Waiting]) -> None:
        try:
            await take(self._name, [one.receipt for one in waiting])
        except errors.OutboxError as error:
            if isinstance(error, errors.OutboxRefused) and len(waiting) > 1:  # the bad one harms no other
                for one in waiting:
                    await self._keep(take, [one])
                return
            metrics.fault("receipt")
            _answer(waiting, pdus.Status.TEMPORARY)
        except Exception:
            log.exception("a bug in keeping receipts; the SMSC sends them again", provider=self._name)
            metrics.fault("receipt")
            _answer(waiting, pdus.Status.TEMPORARY)
        else:
            _answer(waiting, pdus.Status.OK)

    def _dropped(self, what: str, session: Session, request: pdus.Pdu) -> None:
        """It would be the same if it came again."""
        session.answer(request)
        metrics.fault("smpp_dropped")
        self._counts[what] += 1
        if self._clock() - self._told_at[what] >= _HOUR:
            log.warning("the SMSC sent what is dropped here", what=what, provider=self._name, count=self._counts[what])
            self._told_at[what], self._counts[what] = self._clock(), 0


def _answer(waiting: list[_Waiting], status: int) -> None:
    for one in waiting:
        one.session.answer(one.request, status)
