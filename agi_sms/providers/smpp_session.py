"""One connection to an SMSC, from its bind to its end. What ends it is kept as a reason, for people.

A request has a deadline, an answer belongs to it by its sequence number and its command, and everything else that
an SMSC sends is answered, or ignored and counted. No octets of theirs make a session wait, spin or grow without end.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from agi_sms import metrics
from agi_sms.providers import smpp_outcomes
from agi_sms.providers import smpp_pdus as pdus
from agi_sms.providers.deadlines import Deadlines
from agi_sms.providers.smpp_pdus import Command, Pdu, Status
from agi_sms.providers.smpp_wire import Stalled, Wire

log = structlog.get_logger(__name__)

MOST_OVERDUE = 1000  # requests whose answers are listened for after their deadlines; of more the newest
_NACK = Command.NACK | pdus.RESPONSE
_FAREWELL = 2.0  # seconds for an unbind


class Lost(Exception):
    """The connection has ended. `written`: not before the request, or a part of it, may have got there."""

    def __init__(self, reason: str, *, written: bool) -> None:
        super().__init__(reason)
        self.written = written


class Silent(Exception):
    """No answer in time."""


Receive = Callable[["Session", Pdu], None]
Late = Callable[[Pdu], None]


@dataclass(kw_only=True, slots=True)
class _Request:
    """What waits for its answer."""

    expected: int  # the command of the answer
    answer: "asyncio.Future[Pdu | Lost | Silent]"
    late: Late | None
    piece: int  # of the wire, in which it goes


class Session:
    """Talks over `wire`. `patience` is how long, in seconds, one step of the other side may take.

    `receive` gets each deliver_sm and data_sm, and calls `answer` for it some time.
    """

    def __init__(self, *, patience: float, receive: Receive) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = self._loop.create_future()  # with the reason; no more requests from then on
        self.served = False  # whether it took a message
        self.wire = Wire(self._take, self._lost, patience=patience)
        self._patience = patience
        self._receive = receive
        self._pending: dict[int, _Request] = {}
        self._overdue: dict[int, tuple[int, Late]] = {}
        self._deadlines = Deadlines(self._silent)
        self._sequence = 0
        self._idle = asyncio.Event()
        self._probe = asyncio.Event()
        self._gone = False
        self._tasks: set[asyncio.Task[None]] = set()

    # --- asking -----------------------------------------------------------------------------------------------

    async def ask(self, command: int, body: bytes = b"", *, late: Late | None = None) -> Pdu:
        """One request, written at most once; its answer, whatever its status. Raises Lost and Silent.

        After Silent, `late` gets the answer if it comes all the same, while this connection lasts.
        """
        deadline = self._loop.time() + self._patience
        await self.wire.room()
        if self.ended.done():
            raise Lost(self.ended.result(), written=False)
        if deadline - self._loop.time() < self._patience / 2:
            raise Lost("the SMSC read nothing for so long that no time is left for an answer", written=False)
        return await self._ask(command, body, deadline, late)

    async def _ask(self, command: int, body: bytes, deadline: float, late: Late | None = None) -> Pdu:
        sequence = self._next()
        piece = self._write(Pdu(command=command, sequence=sequence, body=body))
        request = _Request(expected=command | pdus.RESPONSE, answer=self._loop.create_future(), late=late, piece=piece)
        self._pending[sequence] = request
        self._deadlines.add(sequence, deadline)
        try:
            found = await request.answer
        finally:
            self._deadlines.over(sequence)
            del self._pending[sequence]
            if not self._pending:
                self._idle.set()
        if isinstance(found, Pdu):
            return found
        raise found

    def _silent(self, sequence: int) -> None:
        """No answer in time."""
        request = self._pending[sequence]
        if request.answer.done():
            return  # it came in the same moment
        self._probe.set()  # is anybody there?
        if request.late is not None:
            self._overdue[sequence] = (request.expected, request.late)
            if len(self._overdue) > MOST_OVERDUE:
                del self._overdue[next(iter(self._overdue))]
        request.answer.set_result(Silent())

    def _next(self) -> int:
        while True:
            self._sequence = self._sequence % pdus.LAST_SEQUENCE + 1
            if self._sequence not in self._pending and self._sequence not in self._overdue:
                return self._sequence

    def _write(self, pdu: Pdu) -> int:
        if self._gone or self.wire.closing:
            self.end("the connection broke")
            raise Lost(self.ended.result(), written=False)
        return self.wire.write(pdu.encode())

    # --- answering --------------------------------------------------------------------------------------------

    def answer(self, request: Pdu, status: int = Status.OK) -> None:
        """Answer a request of the other side, if it is still there."""
        body = b"\0" if request.command in (Command.DELIVER, Command.DATA) else b""  # the unused message_id
        self._reply(Pdu(command=request.command | pdus.RESPONSE, status=status, sequence=request.sequence, body=body))

    def refuse(self, status: int, sequence: int = 0) -> None:
        """Answer what cannot be read, or is nothing that we know."""
        metrics.fault("smpp_malformed")
        self._reply(Pdu(command=_NACK, status=status, sequence=sequence))

    def _reply(self, pdu: Pdu) -> None:
        if not self._gone and not self.wire.closing:
            self.wire.write(pdu.encode())

    # --- reading ----------------------------------------------------------------------------------------------

    def _lost(self, error: Exception) -> None:
        """Nothing more comes."""
        match error:
            case EOFError():
                self.end("the SMSC closed the connection")
            case pdus.Malformed():
                self.refuse(Status.BAD_LENGTH)
                self.wire.flush()
                self.end(f"the SMSC sent what is no SMPP: {error}")
            case Stalled():
                self.end("the SMSC stopped in the middle of a PDU, or does not read")
            case OSError():
                self.end(_broken(error))
            case _:
                log.error("a bug in the SMPP provider", exc_info=error)
                metrics.fault("provider")
                self.end(f"{type(error).__name__} in our code")

    def _take(self, pdu: Pdu) -> None:
        match pdu.command:
            case _ if pdu.is_response:
                self._match(pdu)
            case Command.ENQUIRE_LINK:
                self.answer(pdu)
            case Command.DELIVER | Command.DATA:
                self._receive(self, pdu)
            case Command.UNBIND:
                self.answer(pdu)
                self._leave("the SMSC unbound")
            case Command.OUTBIND | Command.ALERT:  # these have no answer
                metrics.fault("smpp_unexpected")
            case _:
                self.refuse(Status.BAD_COMMAND, pdu.sequence)

    def _match(self, pdu: Pdu) -> None:
        request = self._pending.get(pdu.sequence)
        if request is not None and not request.answer.done() and _fits(pdu, request.expected):
            request.answer.set_result(_read_nack(pdu))
            return
        overdue, late = self._overdue.get(pdu.sequence, (None, None))
        if late is not None and _fits(pdu, overdue):
            del self._overdue[pdu.sequence]
            late(_read_nack(pdu))
        else:
            metrics.fault("smpp_unexpected")

    # --- the link, and its end --------------------------------------------------------------------------------

    def watch(self, every: float) -> None:
        """From now on see every so many seconds, and after a silence at once, whether anybody is there."""
        self._tasks.add(asyncio.create_task(self._watch(every)))

    async def _watch(self, every: float) -> None:
        while not self.ended.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await self._probe.wait()
            try:
                await self.ask(Command.ENQUIRE_LINK)
            except Silent:
                self.end("no answer to enquire_link")
            except Lost:
                return
            self._probe.clear()

    def _leave(self, reason: str) -> None:
        """No more requests; what is under way may still be answered."""
        if not self.ended.done():
            self.ended.set_result(reason)
            self._tasks.add(asyncio.create_task(self._linger(reason)))

    async def _linger(self, reason: str) -> None:
        await self._settled()
        self.end(reason)

    async def _settled(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                while self._pending and not self._gone:
                    self._idle.clear()
                    await self._idle.wait()

    def end(self, reason: str) -> None:
        """Let go at once; what has no answer yet gets none."""
        if not self.ended.done():
            self.ended.set_result(reason)
        if self._gone:
            return
        self._gone = True
        for request in self._pending.values():
            if not request.answer.done():
                request.answer.set_result(Lost(reason, written=request.piece < self.wire.piece))
        self._deadlines.stop()
        here = asyncio.current_task()
        for task in self._tasks:
            if task is not here:
                task.cancel()
        self._idle.set()
        self.wire.abort()

    async def close(self) -> None:
        """Wait for the answers under way, each until its own deadline, and take leave."""
        if not self.ended.done():
            self.ended.set_result("closed")
        await self._settled()
        with contextlib.suppress(Lost, Silent):
            await self._ask(Command.UNBIND, b"", self._loop.time() + min(_FAREWELL, self._patience))
        self.end("closed")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_FAREWELL):
                await asyncio.shield(self.wire.closed)


def _fits(answer: Pdu, expected: int | None) -> bool:
    return answer.command in (expected, _NACK)


def _read_nack(answer: Pdu) -> Pdu:
    """A negative answer is never read as a good one, whatever its status."""
    if answer.command == _NACK and not answer.status:
        metrics.fault("smpp_unexpected")
        return replace(answer, status=smpp_outcomes.NACKED)
    return answer


def _broken(error: OSError) -> str:
    return f"the connection broke: {error.strerror or type(error).__name__}"
