"""One connection to an SMSC, from its bind to its end. What ends it is kept as a reason, for people.

A request has a deadline, an answer belongs to it by its sequence number and its command, and everything else that
an SMSC sends is answered, or ignored and counted. No octets of theirs make a session wait, spin or grow without end.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

import structlog

from agi_sms import metrics
from agi_sms.providers import smpp_outcomes
from agi_sms.providers import smpp_pdus as pdus
from agi_sms.providers.smpp_pdus import Command, Pdu, Status

log = structlog.get_logger(__name__)

MOST_OVERDUE = 1000  # requests whose answers are listened for after their deadlines; of more the newest
_IN_A_ROW = 32  # PDUs that are read before others have their turn
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


class Session:
    """Talks over a pair of streams. `patience` is how long, in seconds, one step of the other side may take.

    `receive` gets each deliver_sm and data_sm, and calls `answer` for it some time.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, patience: float, receive: Receive
    ) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = loop.create_future()  # with the reason; no more requests from then on
        self.served = False  # whether it took a message
        self._reader = reader
        self._writer = writer
        self._patience = patience
        self._receive = receive
        self._pending: dict[int, tuple[int, asyncio.Future[Pdu | str]]] = {}
        self._overdue: dict[int, tuple[int, Late]] = {}
        self._sequence = 0
        self._idle = asyncio.Event()
        self._probe = asyncio.Event()
        self._gone = False
        self._tasks = {asyncio.create_task(self._read())}

    # --- asking -----------------------------------------------------------------------------------------------

    async def ask(self, command: int, body: bytes = b"", *, late: Late | None = None) -> Pdu:
        """One request, written at most once; its answer, whatever its status. Raises Lost and Silent.

        After Silent, `late` gets the answer if it comes all the same, while this connection lasts.
        """
        deadline = asyncio.get_running_loop().time() + self._patience
        await self._room(deadline)
        if self.ended.done():
            raise Lost(self.ended.result(), written=False)
        return await self._ask(command, body, deadline, late)

    async def _ask(self, command: int, body: bytes, deadline: float, late: Late | None = None) -> Pdu:
        sequence = self._next()
        answer: asyncio.Future[Pdu | str] = asyncio.get_running_loop().create_future()
        self._pending[sequence] = (command | pdus.RESPONSE, answer)
        try:
            self._write(Pdu(command=command, sequence=sequence, body=body))
            async with asyncio.timeout_at(deadline):
                found = await answer
        except TimeoutError:
            if answer.cancelled():
                self._probe.set()  # is anybody there?
                self._listen(sequence, command | pdus.RESPONSE, late)
                raise Silent from None
            found = answer.result()  # it came in the same moment
        finally:
            del self._pending[sequence]
            if not self._pending:
                self._idle.set()
        if isinstance(found, str):
            raise Lost(found, written=True)
        return found

    def _listen(self, sequence: int, expected: int, late: Late | None) -> None:
        if late is None:
            return
        self._overdue[sequence] = (expected, late)
        if len(self._overdue) > MOST_OVERDUE:
            del self._overdue[next(iter(self._overdue))]

    def _next(self) -> int:
        while True:
            self._sequence = self._sequence % pdus.LAST_SEQUENCE + 1
            if self._sequence not in self._pending and self._sequence not in self._overdue:
                return self._sequence

    async def _room(self, deadline: float) -> None:
        """Wait until the other side has read most of what was written before."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._writer.drain()
        except TimeoutError:
            self.end("the SMSC does not read")
        except OSError as error:
            self.end(_broken(error))

    def _write(self, pdu: Pdu) -> None:
        if self._gone or self._writer.is_closing():
            self.end("the connection broke")
            raise Lost(self.ended.result(), written=False)
        self._writer.write(pdu.encode())

    # --- answering --------------------------------------------------------------------------------------------

    def answer(self, request: Pdu, status: int = Status.OK) -> None:
        """Answer a request of the other side, if it is still there."""
        body = b"\0" if request.command in (Command.DELIVER, Command.DATA) else b""  # the unused message_id
        self._reply(Pdu(command=request.command | pdus.RESPONSE, status=status, sequence=request.sequence, body=body))

    def refuse(self, status: int, sequence: int = 0) -> None:
        """Answer what cannot be read, or is nothing that we know."""
        metrics.fault("smpp_malformed")
        self._reply(Pdu(command=Command.NACK | pdus.RESPONSE, status=status, sequence=sequence))

    def _reply(self, pdu: Pdu) -> None:
        with contextlib.suppress(Lost):
            self._write(pdu)

    # --- reading ----------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            await self._read_on()
        except asyncio.IncompleteReadError:
            self.end("the SMSC closed the connection")
        except pdus.Malformed as error:
            self.refuse(Status.BAD_LENGTH)
            self.end(f"the SMSC sent what is no SMPP: {error}")
        except TimeoutError:
            self.end("the SMSC stopped in the middle of a PDU, or does not read")
        except OSError as error:
            self.end(_broken(error))
        except Exception as error:
            log.exception("a bug in the SMPP provider")
            metrics.fault("provider")
            self.end(f"{type(error).__name__} in our code")

    async def _read_on(self) -> None:
        count = 0
        while True:
            first = await self._reader.readexactly(4)
            async with asyncio.timeout(self._patience):
                rest = await self._reader.readexactly(pdus.length(first) - 4)
                self._take(pdus.decode(first + rest))
                await self._writer.drain()  # who does not read our answers, of them nothing more is read
            count += 1
            if count % _IN_A_ROW == 0:
                await asyncio.sleep(0)

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
        expected, future = self._pending.get(pdu.sequence, (None, None))
        overdue, late = self._overdue.get(pdu.sequence, (None, None))
        if future is not None and not future.done() and _fits(pdu, expected):
            future.set_result(_read_nack(pdu))
        elif late is not None and _fits(pdu, overdue):
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
        for _, future in self._pending.values():
            if not future.done():
                future.set_result(reason)
        here = asyncio.current_task()
        for task in self._tasks:
            if task is not here:
                task.cancel()
        self._idle.set()
        self._writer.transport.abort()  # a close would wait for one who does not read

    async def close(self) -> None:
        """Wait for the answers under way, each until its own deadline, and take leave."""
        if not self.ended.done():
            self.ended.set_result("closed")
        await self._settled()
        with contextlib.suppress(Lost, Silent):
            now = asyncio.get_running_loop().time()
            await self._ask(Command.UNBIND, b"", now + min(_FAREWELL, self._patience))
        self.end("closed")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_FAREWELL):
                await self._writer.wait_closed()


def _fits(answer: Pdu, expected: int | None) -> bool:
    return answer.command in (expected, Command.NACK | pdus.RESPONSE)


def _read_nack(answer: Pdu) -> Pdu:
    """A negative answer is never read as a good one, whatever its status."""
    if answer.command == Command.NACK | pdus.RESPONSE and not answer.status:
        metrics.fault("smpp_unexpected")
        return replace(answer, status=smpp_outcomes.NACKED)
    return answer


def _broken(error: OSError) -> str:
    return f"the connection broke: {error.strerror or type(error).__name__}"
