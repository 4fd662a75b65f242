"""Visits that the dialplan wrote into AstDB are taken out again here.

Some it wrote because the gateway missed them; others on purpose, and tells so by an event (the event way): then
AstDB is looked at at once. A visit may also be an event and nothing else (user_events.py).

A record is deleted when its visit is stored, never before, so one that is met twice is stored once (by its
visit). A record that cannot be used stays where it is, is named in the log once, and keeps nobody waiting; the
operator deletes it, or makes the node that it names.
"""

import asyncio
import functools
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from agi_sms import call, errors, metrics, ports
from agi_sms.asterisk import ami_client, arguments, hearing, link, user_events
from agi_sms.asterisk.settings import Ami

State = link.State

FAMILY = "agi-sms"
PROBE_EVERY = 10.0  # seconds between two signs of life
DRAIN_EVERY = 30.0  # seconds
DRAIN_AGAIN = 3.0  # seconds, where something could not be stored
SETTLE = 0.5  # seconds after a wake, in which the dialplan writes its record
LOOK_PAUSE = 0.1  # seconds between two looks, so that one is for the events of many calls
SPARE = 4.0  # times as long as reading AstDB took, where that is longer: records that nobody takes away slow it down
LEFT_FOR = 300.0  # seconds until a record that could not be used is tried again
TELL_EVERY = 500  # records
AT_ONCE = 10  # visits being stored, so that they share a commit
MOST_AT_ONCE = 10_000  # records read in one drain; the rest have their turn in the next, which follows at once
LONGEST_KEY = 256  # characters, Asterisk's own limit

_REFUSALS = {  # of a visit that is not stored
    ports.ReplyStatus.INVALID: "no such node",
    ports.ReplyStatus.ERROR: "a fault of agi-sms, which the log tells of",
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What one look at AstDB came to: seconds until the next one, and until the next at the earliest."""

    pause: float
    spare: float
    by_event: int = 0  # visits that an event should have told of

    @property
    def hurry(self) -> bool:
        """Whether there is more to be done than a look now and then."""
        return self.pause < DRAIN_EVERY

    @property
    def thorough(self) -> bool:
        """Whether it left nothing that the next one finds."""
        return self.spare > 0 and not self.hurry


@dataclass(frozen=True, kw_only=True)
class Times:
    """Of the next look, by the event loop's clock: when it is due, and the earliest, also where something wakes."""

    look_at: float
    not_before: float


@dataclass(kw_only=True)
class Taken:
    """What became of the records of one look: those whose visits are stored; how many were not for want of room."""

    stored: list[tuple[ami_client.Record, call.Visit]] = field(default_factory=list)
    refused: int = 0


class AmiDrain:
    """The door by which missed visits of one PBX come in, and those that its dialplan tells of by events."""

    def __init__(
        self,
        pbx: str,
        settings: Ami,
        receive: ports.Receive,
        *,
        clock: Callable[[], datetime],
        unknown: Callable[[str], str] = lambda _: "",
        ours: Callable[[], bool] = lambda: True,
        wake: asyncio.Event | None = None,
        may_leave: bool = True,
    ) -> None:
        """Nothing is connected before `run`; `receive` stores a visit. `wake` is set by who wants a look soon.

        `unknown` says of a node's name what is wrong with it, nothing where there is such a node: until there is one,
        a record that names it stays where it is.
        `ours` is asked before each look whether the visits are ours to take: while another gateway serves the
        calls, they are that one's, and two would send twice.
        `may_leave` where somebody else tells, by `wake`, that Asterisk is back: then a user who may hear no events is
        logged in for each look only.
        """
        self._pbx = pbx
        self._settings = settings
        self._receive = receive
        self._clock = clock
        self._unknown = unknown
        self._ours = ours
        self._link = link.Link(pbx, "ami")
        self._log = log.bind(pbx=pbx)
        self._wake = wake or asyncio.Event()
        self._may_leave = may_leave and not settings.bare_events
        self._told = asyncio.Event()  # by an event of the dialplan
        self._events = user_events.UserEvents(
            pbx, self._hand_over, clock=clock, ours=ours, look=self._told.set, bare=settings.bare_events
        )
        self._hearing = hearing.Hearing(settings.username, self._log, heard=lambda: self._events.heard)
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
        """Serve for ever, until cancelled; then let the visits in hand be stored."""
        storing = asyncio.create_task(self._events.run())
        try:
            await self._stay_connected()
        finally:
            await self._events.let_go()
            storing.cancel()
            await asyncio.wait({storing})

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            pause, away = 0.0, None
            try:
                async with ami_client.connected(
                    self._settings, events=hearing.EVENTS, take=self._events.take
                ) as connection:
                    away = await self._serve(connection)
            except errors.PbxRefused as error:
                pause = self._link.refused(error, ami_client.RIGHTS_HINT)
            except errors.PbxError as error:
                pause = self._link.down(error)
            if away is not None:
                await self._stay_away(away)
                pause = away.not_before - loop.time()
            await asyncio.sleep(max(0.0, pause))

    async def _stay_away(self, times: Times) -> None:
        """Until the next look is due; where woken, until the dialplan has written its record."""
        try:
            async with asyncio.timeout_at(times.look_at):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()
        await asyncio.sleep(SETTLE)

    async def _serve(self, connection: ami_client.Connection) -> Times | None:
        """Look at once, when woken or told, and now and then.

        Returns where it is better to log in anew: at once (None), or for the next look, where nothing would be heard
        until then. Asterisk makes all its events for every session that is open, and wakes it for each of them, also
        one that may hear none.
        """
        loop = asyncio.get_running_loop()
        told = False
        await self._hearing.begin(connection, loop.time())
        look_at = not_before = probe_at = woken_at = loop.time()
        while True:
            now = loop.time()
            if self._wake.is_set():
                self._wake.clear()
                woken_at = now + SETTLE
                look_at = min(look_at, woken_at)
            if self._told.is_set():
                self._told.clear()
                look_at, told = now, True
            if (began := now) >= max(look_at, not_before):
                looked = await self._drain(connection)
                now = loop.time()
                look_at, not_before, probe_at = now + looked.pause, now + looked.spare, now + PROBE_EVERY
                if began < woken_at:  # the record of who woke may not have been there
                    look_at = min(look_at, woken_at)
                self._hearing.looked(untold=looked.by_event > 0 and not told, thorough=looked.thorough, now=now)
                told = False
                if self._link.state is not State.SERVING:
                    self._link.up()  # not before: a user who may log in may still lack the right to read
                if self._may_leave and not looked.hurry and self._hearing.deaf:
                    self._hearing.leave(now)
                    return Times(look_at=max(look_at, not_before), not_before=not_before)
            elif now >= probe_at:
                await connection.ping()
                probe_at = loop.time() + PROBE_EVERY
            if await self._hearing.again(connection, now):
                return None
            await self._rest(connection, min(probe_at, max(look_at, not_before)) - loop.time())

    async def _rest(self, connection: ami_client.Connection, seconds: float) -> None:
        """Wait until there is something to do; raise when the connection has ended."""
        stirred = {asyncio.ensure_future(event.wait()) for event in (self._wake, self._told)}
        either: set[asyncio.Future[Any]] = {*stirred, connection.lost}
        try:
            await asyncio.wait(either, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in stirred:
                waiting.cancel()
        if connection.lost.done():
            raise errors.PbxUnreachable(connection.lost.result())

    async def _drain(self, connection: ami_client.Connection) -> Looked:
        """Take the records that can be used, oldest first."""
        if not self._ours():
            await connection.ping()
            return Looked(pause=DRAIN_EVERY, spare=0.0)
        loop = asyncio.get_running_loop()
        now = loop.time()
        found = await self._found(connection)
        spare = max(LOOK_PAUSE, SPARE * (loop.time() - now))
        there, before = set(found), self._left
        self._left = {record: until for record, until in before.items() if record in there}
        waiting = [record for record in found if self._left.get(record, 0.0) <= now]
        readable = []
        for number, record in enumerate(waiting[:MOST_AT_ONCE]):
            if number % ami_client.RECORDS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if (visit := self._read(record)) is not None:
                readable.append((visit.arrived_at, record, visit))
        readable.sort(key=lambda entry: (entry[0], entry[1].key))
        taken = await self._take_all(connection, [(record, visit) for _, record, visit in readable])
        missed = sum(visit.entry is call.Entry.ASTDB for _, visit in taken.stored)
        if missed:
            self._log.warning("calls had passed that the gateway missed, their visits are stored now", calls=missed)
        if taken.refused:
            self._log.warning("visits cannot be stored now, they stay in AstDB", waiting=taken.refused)
            return Looked(pause=DRAIN_AGAIN, spare=DRAIN_AGAIN)
        if len(waiting) > MOST_AT_ONCE:
            return Looked(pause=0.0, spare=0.0)
        by_event = [record for record, visit in taken.stored if visit.entry is call.Entry.AMI and record not in before]
        return Looked(pause=DRAIN_EVERY, spare=spare, by_event=len(by_event))

    async def _take_all(
        self, connection: ami_client.Connection, readable: list[tuple[ami_client.Record, call.Visit]]
    ) -> Taken:
        """Store the visits, begun in their order, and delete their records; the outbox being full ends it."""
        taken = Taken()
        turns = iter(readable)
        unknown = functools.cache(self._unknown)  # many may name the same

        async def take() -> None:
            for record, visit in turns:
                if wrong := unknown(visit.node):
                    self._leave(record, wrong, node=visit.node, call_id=visit.call.call_id)
                    await asyncio.sleep(0)
                    continue
                reply = await self._hand_over(visit)
                if reply.leave_unset:
                    taken.refused = len(readable) - len(taken.stored)
                elif not reply.activation_id and reply.status in _REFUSALS:
                    self._leave(record, _REFUSALS[reply.status], node=visit.node, call_id=visit.call.call_id)
                elif await self._forget(connection, record):
                    taken.stored.append((record, visit))
                    if len(taken.stored) % TELL_EVERY == 0:
                        self._log.info("taking visits out of AstDB", stored=len(taken.stored), of=len(readable))
                if taken.refused:
                    return

        takers = [asyncio.ensure_future(take()) for _ in range(AT_ONCE)]
        try:
            await asyncio.gather(*takers)
        finally:
            for taker in takers:
                taker.cancel()
            await asyncio.gather(*takers, return_exceptions=True)
        return taken

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
            given = arguments.parse(arguments.split(record.value), record=True)
            # Nobody knows how old a record without a time is; as old as can be, its messages expire visibly.
            given = given if given.at is not None else replace(given, at=datetime.fromtimestamp(0, UTC))
            return arguments.visit(
                given,
                arguments.Facts(),
                pbx=self._pbx,
                entry=call.Entry.AMI if given.by_event else call.Entry.ASTDB,
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
                log.exception("a fault of agi-sms, the visit is not stored")
                reply = ports.Reply(status=ports.ReplyStatus.ERROR)
        status = "UNSET" if reply.leave_unset else reply.status
        metrics.CALLS.labels(self._pbx, visit.entry, status).inc()
        return reply

    def _leave(self, record: ami_client.Record, reason: str, **names: str) -> None:
        if record not in self._left:
            metrics.fault("record")
            self._log.error(
                "a visit cannot be used and stays in AstDB",
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
