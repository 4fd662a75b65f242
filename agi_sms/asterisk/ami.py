"""Visits that the gateway missed: the dialplan wrote them into AstDB, and here they are taken out again.

A record is deleted when its visit is stored, never before, so one that is met twice is stored once (by its
visit). A record that cannot be used stays where it is, is named in the log once, and keeps nobody waiting; the
operator deletes it, or makes the node that it names.
"""

import asyncio
import shlex
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog

from agi_sms import call, errors, metrics, ports
from agi_sms.asterisk import ami_client, arguments, link
from agi_sms.asterisk.settings import Ami

State = link.State

FAMILY = "agi-sms"
PROBE_EVERY = 10.0  # seconds between two signs of life
DRAIN_EVERY = 30.0  # seconds
DRAIN_AGAIN = 3.0  # seconds, where something could not be stored
SETTLE = 0.5  # seconds after a wake, in which the dialplan writes its record
LEFT_FOR = 300.0  # seconds until a record that could not be used is tried again
TELL_EVERY = 500  # records
MOST_AT_ONCE = 10_000  # records read in one drain; the rest have their turn in the next, which follows at once
LONGEST_KEY = 256  # characters, Asterisk's own limit

log = structlog.get_logger(__name__)


class AmiDrain:
    """The door by which missed visits of one PBX come in."""

    def __init__(
        self,
        pbx: str,
        settings: Ami,
        receive: ports.Receive,
        *,
        clock: Callable[[], datetime],
        ours: Callable[[], bool] = lambda: True,
        wake: asyncio.Event | None = None,
    ) -> None:
        """Nothing is connected before `run`; `receive` stores a visit. `wake` is set by who wants a look soon.

        `ours` is asked before each look whether the visits are ours to take: while another gateway serves the
        calls, they are that one's, and two would send twice.
        """
        self._pbx = pbx
        self._settings = settings
        self._receive = receive
        self._clock = clock
        self._ours = ours
        self._link = link.Link(pbx, "ami")
        self._log = log.bind(pbx=pbx)
        self._wake = wake or asyncio.Event()
        self._carried: list[ami_client.Record] = []  # read on a connection that could not be kept
        self._left: dict[ami_client.Record, float] = {}  # what could not be used, and when to try again

    @property
    def state(self) -> State:
        """How the connection stands."""
        return self._link.state

    @property
    def left(self) -> int:
        """Records in AstDB that could not be used."""
        return len(self._left)

    def wake(self) -> None:
        """Look soon: the dialplan may have written something down."""
        self._wake.set()

    async def run(self) -> None:
        """Serve for ever, until cancelled."""
        while True:
            pause = 0.0
            try:
                async with ami_client.connected(self._settings) as connection:
                    await self._serve(connection)
            except errors.PbxRefused as error:
                pause = self._link.refused(error, ami_client.RIGHTS_HINT)
            except errors.PbxError as error:
                pause = self._link.down(error)
            await asyncio.sleep(pause)

    async def _serve(self, connection: ami_client.Connection) -> None:
        """Drain at once, when woken, and now and then; returns only by raising."""
        loop = asyncio.get_running_loop()
        drain_at = loop.time()
        first = True
        while True:
            if self._wake.is_set():
                self._wake.clear()
                drain_at = min(drain_at, loop.time() + SETTLE)
            if loop.time() >= drain_at:
                drain_at = await self._drain(connection) + loop.time()
            else:
                await connection.ping()
            if first:
                self._link.up()  # not before: a user who may log in may still lack the right to read
                first = False
            await self._rest(connection, min(PROBE_EVERY, drain_at - loop.time()))

    async def _rest(self, connection: ami_client.Connection, seconds: float) -> None:
        """Wait until there is something to do; raise when the connection has ended."""
        woken = asyncio.ensure_future(self._wake.wait())
        either: set[asyncio.Future[Any]] = {woken, connection.lost}
        try:
            await asyncio.wait(either, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        if connection.lost.done():
            raise errors.PbxUnreachable(connection.lost.result())

    async def _drain(self, connection: ami_client.Connection) -> float:
        """Take the records that can be used, oldest first; how many seconds until the next look."""
        if not self._ours():
            return DRAIN_EVERY
        now = asyncio.get_running_loop().time()
        found = await self._found(connection)
        there = set(found)
        self._left = {record: until for record, until in self._left.items() if record in there}
        waiting = [record for record in found if self._left.get(record, 0.0) <= now]
        readable = []
        for number, record in enumerate(waiting[:MOST_AT_ONCE]):
            if number % ami_client.RECORDS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if (visit := self._read(record)) is not None:
                readable.append((visit.arrived_at, record, visit))
        readable.sort(key=lambda entry: (entry[0], entry[1].key))
        stored = 0
        for _, record, visit in readable:
            reply = await self._hand_over(visit)
            if reply.leave_unset:
                self._log.warning(
                    "missed visits cannot be stored now, they stay in AstDB", waiting=len(readable) - stored
                )
                return DRAIN_AGAIN
            if not reply.activation_id and reply.status in (ports.ReplyStatus.INVALID, ports.ReplyStatus.ERROR):
                self._leave(record, f"answered {reply.status}", node=visit.node, call_id=visit.call.call_id)
                continue
            if not await self._forget(connection, record):
                continue
            stored += 1
            if stored % TELL_EVERY == 0:
                self._log.info("taking missed visits out of AstDB", stored=stored, of=len(readable))
        if stored:
            self._log.warning("calls had passed that the gateway missed, their visits are stored now", calls=stored)
        return 0.0 if len(waiting) > MOST_AT_ONCE else DRAIN_EVERY

    async def _found(self, connection: ami_client.Connection) -> list[ami_client.Record]:
        """The records that are there, or as many as came before an answer without an end was given up."""
        carried, self._carried = self._carried, []
        if carried:
            return carried
        try:
            return await connection.tree(FAMILY)
        except ami_client.TooLong as error:
            self._carried = error.found
            raise

    def _read(self, record: ami_client.Record) -> call.Visit | None:
        """The visit that a record tells of, None where it cannot be read."""
        try:
            given = arguments.parse(arguments.split(record.value))
            # Nobody knows how old a record without a time is; as old as can be, its messages expire visibly.
            given = given if given.at is not None else replace(given, at=datetime.fromtimestamp(0, UTC))
            return arguments.visit(
                given,
                arguments.Facts(),
                pbx=self._pbx,
                entry=call.Entry.ASTDB,
                arrived_at=self._clock(),
                new_visit_id=record.key,
            )
        except errors.ArgumentError as error:
            self._leave(record, str(error))
            return None

    async def _forget(self, connection: ami_client.Connection, record: ami_client.Record) -> bool:
        """Delete a record whose visit is stored; False where Asterisk does not."""
        try:
            await connection.delete(FAMILY, record.key)
        except (errors.PbxUnreachable, errors.PbxRefused):
            raise
        except errors.PbxError as error:
            self._leave(record, f"stored, but not deleted: {error}")
            return False
        self._left.pop(record, None)
        return True

    async def _hand_over(self, visit: call.Visit) -> ports.Reply:
        with structlog.contextvars.bound_contextvars(pbx=self._pbx, node=visit.node, call_id=visit.call.call_id):
            try:
                reply = await self._receive(visit)
            except Exception:  # one visit's fault keeps nobody else waiting
                metrics.fault("bug")
                log.exception("a fault of agi-sms, the missed visit stays in AstDB")
                reply = ports.Reply(status=ports.ReplyStatus.ERROR)
        status = "UNSET" if reply.leave_unset else reply.status
        metrics.CALLS.labels(self._pbx, call.Entry.ASTDB, status).inc()
        return reply

    def _leave(self, record: ami_client.Record, reason: str, **names: str) -> None:
        if record not in self._left:
            metrics.fault("record")
            self._log.error(
                "a missed visit cannot be used and stays in AstDB",
                reason=reason,
                delete_with=_deletion(record.key),
                **names,
            )
        self._left[record] = asyncio.get_running_loop().time() + LEFT_FOR


def _deletion(key: str) -> str:
    """The shell command that deletes a record, whatever a stranger wrote into its key; else the one that shows all."""
    if not key.isprintable() or len(key) > LONGEST_KEY:
        return f"asterisk -rx {shlex.quote(f'database show {FAMILY}')}"
    for asterisk in ("\\", '"'):  # its command line knows double quotes and backslashes
        key = key.replace(asterisk, "\\" + asterisk)
    if " " in key or "\\" in key:
        key = f'"{key}"'
    return f"asterisk -rx {shlex.quote(f'database del {FAMILY} {key}')}"
