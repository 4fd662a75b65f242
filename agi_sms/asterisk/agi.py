"""Calls that enter the node by FastAGI: one connection for each visit, closed when the call is to go on.

Nothing here decides anything about messages: `receive` stores the visit and says what the dialplan is told. FastAGI
has no password and names no PBX, so whose connection it is, and whether it is served, is told by its address. Whoever
may connect can still be broken, or hostile: what says nothing, says too much or does not answer is closed, counted and
told in the log once in a while, and never keeps a place that a call needs.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from panoramisk import fast_agi

from agi_sms import call, errors, metrics, ports, seldom
from agi_sms.asterisk import agi_header, agi_request, arguments, visiting

LAST_WAIT = 2.0  # seconds that calls in hand get when the gateway stops
REASONS = {
    "stranger": "it comes from an address that is no PBX's, see pbx.NAME.addresses",
    "crowded": "more connections than agi.connections; of the address with most, the oldest without a visit gave way",
    "full": "more connections than agi.connections, and calls in all of them",
    "slow": "it did not say within agi.timeout what it wants",
    "closed": "it was closed before it said anything",
    "cut_off": "it was closed before it had said what it wants",
    "too_long": "what it says has no end",
    "no_header": "what it says is not FastAGI",
    "unanswered": "its commands got no answers within agi.timeout",
    "refused": "a command was refused",
}
PRESENTATION = "${CALLERID(num-pres)}"
DIVERTED_FROM_PRESENTATION = "${REDIRECTING(from-num-pres)}"
LINKEDID = "${CHANNEL(linkedid)}"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Connections at once, and how many seconds each has to say what it wants, and again to answer commands."""

    connections: int
    timeout: float


@dataclass(kw_only=True, eq=False)
class _Connection:
    """One connection, from the moment it is open."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pbx: str
    address: str
    opened: float  # on the event loop's clock
    heard: bool = False  # its header is here
    marked: bool = False  # it came by dialplan/agi-sms-agi.conf, which looks after what it is not told
    crowded: bool = False  # it gave way to another

    def end(self) -> None:
        """Close it; nothing waits for a peer that does not read."""
        transport = self.writer.transport
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()

    def cut(self) -> None:
        """Close it, whatever is under way."""
        self.writer.transport.abort()


class _Drops:
    """Connections that were closed without a visit, told of once in a while."""

    def __init__(self) -> None:
        self._seldom = seldom.Seldom()

    def add(self, reason: str, address: str, pbx: str) -> None:
        """Count one."""
        metrics.AGI_DROPPED.labels(reason).inc()
        count = self._seldom(reason)
        if count is None:
            return
        log.warning(
            "FastAGI connections closed", why=REASONS[reason], connections=count, the_last_from=address, pbx=pbx or None
        )


class _Application(fast_agi.Application):  # type: ignore[misc]
    """panoramisk's Application, but for its reader, which spins for ever where a client hangs up early."""

    def __init__(self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._serve = serve

    async def handler(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The whole life of one connection."""
        await self._serve(reader, writer)


class AgiEntry:
    """The door by which the live calls of all those PBXs come in that use FastAGI."""

    def __init__(
        self,
        receive: ports.Receive,
        *,
        limits: Limits,
        pbx_at: Callable[[str], str | None],
        clock: Callable[[], datetime],
        returned: visiting.Returned | None = None,
        missed: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing listens before `open`.

        `receive` stores a visit within the hold budget. `pbx_at` says whose an address is, None where it is nobody's.
        `returned` is told which activation's channel is back in the dialplan, and since when. `missed` is called with
        a PBX whose own database may hold a visit.
        """
        self._receive = receive
        self._limits = limits
        self._pbx_at = pbx_at
        self._clock = clock
        self._returned = returned
        self._missed = missed
        self._drops = _Drops()
        self._application = _Application(self._serve)
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, _Connection] = {}
        self._asking: dict[str, dict[_Connection, None]] = {}  # by address: no visit of theirs is in hand yet
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where it listens, for who asked for port 0."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    async def open(self, host: str, port: int) -> None:
        """Listen; calls are served from now on. Raises errors.AgiSmsError where that cannot be."""
        try:
            self._server = await asyncio.start_server(
                self._admit, host, port, limit=agi_request.LARGEST, backlog=max(100, self._limits.connections)
            )
        except (OSError, UnicodeError) as error:  # UnicodeError: of a host's name that is none
            number = getattr(error, "errno", None) or 0
            why = os.strerror(number) if number > 0 else error
            raise errors.AgiSmsError(f"agi.listen: {host}:{port} cannot be listened on ({why})") from error
        log.info("FastAGI listens", address=f"{host}:{self.port}")

    async def run(self) -> None:
        """Serve for ever, until cancelled; then let the calls in hand go on."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.close()

    async def close(self) -> None:
        """No new calls; those in hand have a moment to go on. What has not said what it wants is closed at once."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in tuple(self._connections.values()):
            if not connection.heard:
                connection.cut()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=LAST_WAIT)
        for connection in tuple(self._connections.values()):
            connection.cut()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=LAST_WAIT)

    # --- connections ---

    def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection was made; nothing has been read of it."""
        peer = writer.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        pbx = self._pbx_at(address) if peer else None
        if pbx is None:
            self._drops.add("stranger" if peer else "closed", address, "")
        elif self._room():
            connection = _Connection(
                reader=reader,
                writer=writer,
                pbx=pbx,
                address=address,
                opened=asyncio.get_running_loop().time(),
            )
            self._connections[writer] = connection
            self._asking.setdefault(address, {})[connection] = None
            task = asyncio.create_task(self._application.handler(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        else:
            self._drops.add("full", address, pbx)
        writer.transport.abort()

    def _room(self) -> bool:
        """Whether there is a place; of the address that has most of those without a visit in hand, one gives way."""
        if len(self._connections) < self._limits.connections:
            return True
        most = max(self._asking.values(), key=len, default={})
        oldest = next(iter(most), None)
        if oldest is None:
            return False
        oldest.crowded = True
        oldest.cut()
        self._forget(oldest)
        self._drops.add("crowded", oldest.address, oldest.pbx)
        return True

    def _forget(self, connection: _Connection) -> None:
        """Its place is free."""
        self._connections.pop(connection.writer, None)
        self._in_hand(connection)

    def _in_hand(self, connection: _Connection) -> None:
        """It does not give way to others any more."""
        of = self._asking.get(connection.address, {})
        of.pop(connection, None)
        if not of:
            self._asking.pop(connection.address, None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = self._connections.get(writer)
        if connection is None:
            return  # it had to give way before its turn came
        try:
            await self._visit(connection)
        except agi_request.Dropped as dropped:
            if not connection.crowded:
                self._drops.add(dropped.reason, connection.address, connection.pbx)
            self._look_for(connection)
        except Exception:
            self._look_for(connection)
            metrics.fault("bug")
            log.exception("a fault of agi-sms, the call goes on without an SMS", pbx=connection.pbx)
        finally:
            connection.end()
            self._forget(connection)

    # --- one visit ---

    async def _visit(self, connection: _Connection) -> None:
        """From the header to the connection's end, which sends the call on. Raises agi_request.Dropped."""
        try:
            async with asyncio.timeout(self._limits.timeout):
                lines = await agi_request.opening(connection.reader)
        except TimeoutError:
            raise agi_request.Dropped("slow") from None
        connection.heard = True
        request = agi_request.Request(
            self._application, connection.reader, connection.writer, patience=self._limits.timeout
        )
        header = agi_header.read(lines)
        if header is None:
            raise agi_request.Dropped("no_header")
        connection.marked = arguments.agi_args(header.script, ())[1:2] == [visiting.MARK]
        header, known = await _known_of(request, header, lines)
        if connection.crowded:
            raise agi_request.Dropped("crowded")
        self._in_hand(connection)
        held = visiting.Visiting(
            channel_id=known.uniqueid,
            args=list(header.args),
            # Nothing repeats a connection by itself, so each one is a visit of its own.
            visit_id=arguments.unnamed_visit(known.uniqueid, request.nonce),
        )
        held.reply = await visiting.ask(
            held, known, self._receive, pbx=connection.pbx, entry=call.Entry.AGI, arrived_at=self._clock()
        )
        told = await _tell(request, held.reply, marked=connection.marked)
        connection.end()
        self._forget(connection)  # what is noted below may have to wait
        ended, span = self._clock(), asyncio.get_running_loop().time() - connection.opened
        if not told:
            self._look_for(connection)
        metrics.HELD.labels(connection.pbx).observe(span)
        log.info(
            "call returned",
            **held.names,
            pbx=connection.pbx,
            channel=held.channel_id,
            held_ms=round(span * 1000, 1),
            reply=visiting.NOT_TOLD if told is None else told,
        )
        await visiting.back(held, self._returned, ended, pbx=connection.pbx)

    def _look_for(self, connection: _Connection) -> None:
        """The dialplan was not told that its visit is stored, so it writes it down, if it came by the subroutine."""
        if self._missed is not None and connection.marked:
            self._missed(connection.pbx)


async def _known_of(
    request: agi_request.Request, header: agi_header.Header, lines: Sequence[str]
) -> tuple[agi_header.Header, arguments.Facts]:
    """What is known of the call, and its header, whole even where a caller's name tore it in two.

    A header is whole when a command behind it is answered. Where the call has hung up, there will be no answer and
    nothing more, so what is there must look whole. Raises Dropped where it does not.
    """
    asked = (
        "" if "presentation" in header.keys else PRESENTATION,
        "" if "diverted_from" in header.keys else DIVERTED_FROM_PRESENTATION,
        "" if "linkedid" in header.keys else LINKEDID,
    )
    try:
        told = await request.get(*asked)
    except agi_request.Gone:
        if request.rest or not header.whole:
            raise agi_request.Dropped("cut_off") from None
        told = ()
    presentation, diverted_from_presentation, linkedid = (*told, "", "", "")[:3]
    if request.rest:
        header = agi_header.read([*lines, "", *request.rest]) or header
    known = arguments.agi_facts(
        header.values,
        presentation=presentation,
        diverted_from_presentation=diverted_from_presentation,
        linkedid=linkedid,
    )
    return header, known


async def _tell(request: agi_request.Request, reply: ports.Reply, *, marked: bool) -> str | None:
    """Set what the dialplan reads; what that is, None where it could not be told.

    The subroutine splits AGISMS by itself, and writes down a visit of which it is told nothing. Without it nobody does,
    so such a call is told that there was an error.
    """
    if marked and reply.leave_unset:
        return ""
    told = {"AGISMS": reply.value}
    if not marked:
        told |= {"AGISMS_STATUS": str(reply.status), "AGISMS_COUNT": str(reply.count)}
    try:
        for name, value in told.items():
            await request.set(name, value)
    except (agi_request.Gone, agi_request.Dropped) as error:
        log.debug("a call could not be told", reason=str(error))
        return None
    return reply.value
