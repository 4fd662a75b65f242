"""Calls that enter the node by Stasis: hear of them, hand them over, send them on with the answer.

Nothing here decides anything about messages: `receive` stores the visit and says what the dialplan is told.
The rules that made this file what it is:

- The reader only parses; everything that waits is a task.
- `continue` is never repeated blindly, since a second one can release the channel's next visit. So can one that comes
  behind the watchdog: the answer in it says for which visit it is, and what is heard of late is looked at first.
- The answer travels in that one request. Setting a variable on a channel in Stasis (22.10.1) leaves the channel's
  thread inhibited: the dialplan is then refused DB(), SHELL() and CURL() for the rest of the call.
- A websocket that comes back replays nothing, so after every connect, and now and then, the parked channels
  are looked for.
- Whoever registers the application last has it; the one before stands by and says so.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

import structlog

from agi_sms import call, errors, metrics, ports
from agi_sms.asterisk import arguments, ari_client, lateness, link, visiting
from agi_sms.asterisk.settings import Ari

State = link.State

LOOK_EVERY = 15.0  # seconds between two looks for parked channels
LOOK_MOST = 5_000  # channels looked after in one look; the others have their turn in the next
LOOK_AT_ONCE = 10  # channels looked after at the same time, so that live calls find the pool free
STANDBY_CHECK = 15.0  # seconds
STUCK_AFTER = 2.0  # seconds after which a channel that was sent on and is still here is looked at again
PAUSES = (0.0, 0.1, 0.3, 1.0)  # seconds before each try to send a channel on
LAST_WAIT = 2.0  # seconds that calls in hand get when the gateway stops
PREVIOUS_WAIT = 1.0  # seconds

log = structlog.get_logger(__name__)


class AriEntry:
    """The door by which live calls of one PBX come in."""

    def __init__(
        self,
        pbx: str,
        settings: Ari,
        receive: ports.Receive,
        *,
        clock: Callable[[], datetime],
        returned: visiting.Returned | None = None,
        missed: Callable[[], None] | None = None,
    ) -> None:
        """Nothing is connected before `run`.

        `receive` stores a visit within the hold budget. `returned` is told which activation's channel is back in
        the dialplan, and since when. `missed` is called when the PBX's own database may hold visits.
        """
        self._pbx = pbx
        self._settings = settings
        self._receive = receive
        self._clock = clock
        self._returned = returned
        self._missed = missed
        self._link = link.Link(pbx, "ari")
        self._log = log.bind(pbx=pbx)
        self._connection: ari_client.Connection | None = None
        self._lateness = lateness.Lateness()
        self._held: dict[str, visiting.Held] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stirred: set[str] = set()  # channels with an event since the last look began
        self._looked: set[str] = set()  # channels that had their turn, where they are too many for one look
        self._opened = asyncio.Event()
        self._replaced = asyncio.Event()

    @property
    def state(self) -> State:
        """How the connection stands."""
        return self._link.state

    @property
    def in_hand(self) -> int:
        """Visits whose channel is not back yet."""
        return len(self._held)

    async def run(self) -> None:
        """Serve for ever, until cancelled; then let the calls in hand go on."""
        while True:
            try:
                await self._serve()
                if self._replaced.is_set():
                    await self._stand_by()
                    continue
                pause = self._link.down("the websocket ended")
            except errors.PbxRefused as error:
                pause = self._link.refused(error, ari_client.RIGHTS_HINT)
            except errors.PbxError as error:
                pause = self._link.down(error)
            await asyncio.sleep(pause)

    async def _serve(self) -> None:
        """One connection, from its login to its end."""
        self._replaced.clear()
        self._opened.clear()
        self._lateness = lateness.Lateness()
        async with ari_client.connected(self._settings) as connection:
            self._connection = connection
            handlers: dict[str, ari_client.Handler] = {
                "StasisStart": self._on_start,
                "StasisEnd": self._on_end,
                "ApplicationReplaced": self._on_replaced,
            }
            reader = asyncio.create_task(
                connection.listen(self._settings.app, handlers, on_open=self._on_open, on_fault=self._on_fault)
            )
            looker = asyncio.create_task(self._look_for_ever(connection))
            replaced = asyncio.create_task(self._replaced.wait())
            try:
                await asyncio.wait({reader, replaced}, return_when=asyncio.FIRST_COMPLETED)
                if self._replaced.is_set():
                    await self._let_go()
                else:
                    reader.result()
            except asyncio.CancelledError:
                reader.cancel()  # no new calls; with the websocket the application ends
                await self._let_go()
                raise
            finally:
                self._connection = None
                for task in (looker, replaced, reader):
                    task.cancel()
                await asyncio.wait({looker, replaced, reader})

    async def _let_go(self) -> None:
        """Give the calls in hand a moment to get back."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=LAST_WAIT)

    async def _stand_by(self) -> None:
        """Wait until nobody serves the application any more."""
        self._link.state = State.STANDBY
        app = self._settings.app
        self._log.warning(
            "another connection has taken the application, standing by; one app name per gateway", app=app
        )
        seen: set[str] = set()
        while True:
            await asyncio.sleep(STANDBY_CHECK)
            try:
                async with ari_client.connected(self._settings) as connection:
                    parked = await connection.parked(app)
            except errors.PbxError as error:
                self._log.debug("cannot see who has the application", app=app, reason=str(error)[:300])
                continue
            # An application without a connection lives on while channels are parked in it; a gateway that
            # serves sends them on within milliseconds.
            if parked is None or parked & seen:
                self._log.warning("nobody serves the application any more, taking it back", app=app)
                return
            seen = parked

    # --- events: called by the reader, so nothing here waits ---

    def _on_open(self) -> None:
        self._link.up()
        self._opened.set()
        for channel_id, held in list(self._held.items()):
            if held.released and held.settled:
                # Its StasisEnd went by while nobody listened; a channel that is here is so for another visit.
                del self._held[channel_id]
        if self._missed is not None:
            self._missed()

    def _on_fault(self, error: Exception) -> None:
        metrics.fault("event")
        self._log.error("an event of Asterisk could not be handled", error=f"{type(error).__name__}: {error}")

    def _on_replaced(self, event: dict[str, Any]) -> None:
        if event.get("application") == self._settings.app:
            self._replaced.set()

    def _on_start(self, event: dict[str, Any]) -> None:
        if event.get("application") != self._settings.app or event.get("replace_channel"):
            return  # a masquerade's event has no arguments; the visit it belongs to is in hand
        channel = event["channel"]
        args = [str(argument) for argument in event["args"]]
        stamp = str(event["timestamp"])
        channel_id = str(channel["id"])
        self._stirred.add(channel_id)
        started = datetime.fromisoformat(stamp)
        known = self._held.get(channel_id)
        if known is not None and known.started is None and known.args == args:
            known.started = started  # found parked, before its event came through
            return
        visit_id = arguments.unnamed_visit(channel_id, stamp)
        self._take(
            visiting.Held(
                channel_id=channel_id,
                args=args,
                visit_id=visit_id,
                started=started,
                in_subroutine=visiting.in_subroutine(channel, args),
                late=self._lateness.suspects(started, asyncio.get_running_loop().time()),
            ),
            channel,
        )

    def _on_end(self, event: dict[str, Any]) -> None:
        if event.get("application") != self._settings.app:
            return
        channel_id = str(event["channel"]["id"])
        self._stirred.add(channel_id)
        held = self._held.pop(channel_id, None)
        if held is None:
            return
        held.gone = True
        if not held.tried_at and self._missed is not None:
            self._missed()  # it left by its watchdog, or hung up: the dialplan has written the visit down
        held.ended = datetime.fromisoformat(str(event["timestamp"]))
        if held.settled:
            self._spawn(self._finish(held))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- one visit ---

    def _take(self, held: visiting.Held, channel: dict[str, Any]) -> None:
        """Begin with a visit. A channel is in one place only, so an earlier visit of it is over."""
        before = self._held.get(held.channel_id)
        if before is not None:
            before.gone = True
        self._held[held.channel_id] = held
        held.task = self._spawn(self._handle(held, channel, before))

    async def _handle(self, held: visiting.Held, channel: dict[str, Any], before: visiting.Held | None) -> None:
        if before is not None and before.task is not None and not before.task.done():
            await asyncio.wait({before.task}, timeout=PREVIOUS_WAIT)
        arrived_at = self._clock()
        if held.late:
            arrived_at -= await self._how_late(held)
        held.reply = await visiting.ask(
            held, arguments.facts(channel), self._receive, pbx=self._pbx, entry=call.Entry.ARI, arrived_at=arrived_at
        )
        await self._release(held)
        if held.ended is not None:
            await self._finish(held)

    async def _how_late(self, held: visiting.Held) -> timedelta:
        """How long ago a visit came that seems to be heard of late; whether its channel is still in it, too."""
        heard, connection = asyncio.get_running_loop().time(), self._connection
        if held.started is None or connection is None:
            return timedelta()
        try:
            held.gone = await self._has_left(held) or held.gone  # asked in any case, since its answer has the time
        except errors.PbxError as error:
            log.debug("cannot see how late a visit is", reason=str(error)[:300])
            return timedelta()
        late = self._lateness.settle(held.started, heard, connection.present)
        if late:
            log.info("a visit is heard of late", late_ms=round(late.total_seconds() * 1000), left=held.gone)
        return late

    async def _release(self, held: visiting.Held) -> None:
        """Send the channel on, once, with what the dialplan is told."""
        reason: errors.PbxError | None = None
        for number, pause in enumerate(PAUSES):
            if pause:
                await asyncio.sleep(pause)
            if held.gone or held.released:
                return
            try:
                if number and not await self._still_here(held):
                    return
                await self._send_on(held)
                return
            except errors.PbxError as error:
                reason = error
            if isinstance(reason, ari_client.Refusal) and reason.status == 412:
                break  # Down or Ringing, a callee's leg before the call: only the watchdog gets it out
        metrics.fault("release")
        log.error("a call could not be sent on, its watchdog has to", reason=str(reason)[:300])

    async def _send_on(self, held: visiting.Held) -> None:
        connection = self._connection
        if connection is None:
            raise errors.PbxUnreachable("not connected")
        held.tried_at = asyncio.get_running_loop().time()
        try:
            await connection.send_on(held.channel_id, held.way_back)
        except ari_client.Refusal as refusal:
            if refusal.status not in (404, 409):  # hung up, or out of Stasis already
                raise
        held.released = True
        if held.reply is not None and held.reply.leave_unset and self._missed is not None:
            self._missed()

    async def _has_left(self, held: visiting.Held) -> bool:
        """Whether the channel is surely no longer in this visit; where in doubt, it is to be sent on."""
        if self._connection is None:
            raise errors.PbxUnreachable("not connected")
        channel = await self._connection.channel(held.channel_id)
        args = None if channel is None else visiting.arguments_of(channel, self._settings.app)
        return args is None or (args[1:2] == [visiting.MARK] and args[2:3] != held.args[2:3])

    async def _still_here(self, held: visiting.Held) -> bool:
        """Whether the channel is still in this very visit, as far as can be told from outside."""
        if self._connection is None:
            raise errors.PbxUnreachable("not connected")
        channel = await self._connection.channel(held.channel_id)
        return channel is not None and visiting.arguments_of(channel, self._settings.app) == held.args

    async def _finish(self, held: visiting.Held) -> None:
        """The channel is back: say how long it was here."""
        if held.ended is None:
            return
        took = None
        if held.started is not None:
            span = (held.ended - held.started).total_seconds()
            metrics.HELD.labels(self._pbx).observe(span)
            took = round(span * 1000, 1)
        self._log.info(
            "call returned",
            **held.names,
            channel=held.channel_id,
            held_ms=took,
            reply=held.told if held.released else visiting.NOT_TOLD,
            recovered=held.recovered,
        )
        await visiting.back(held, self._returned, held.ended, pbx=self._pbx)

    # --- what no event told ---

    async def _look_for_ever(self, connection: ari_client.Connection) -> None:
        await self._opened.wait()
        while True:
            try:
                await self._look(connection)
            except errors.PbxError as error:
                metrics.fault("look")
                self._log.warning("cannot look for parked calls", reason=str(error)[:300])
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self, connection: ari_client.Connection) -> None:
        """Find the channels that are parked without being in hand, and send them on."""
        self._stirred = set()
        parked = await connection.parked(self._settings.app) or set()
        for channel_id, held in list(self._held.items()):
            if channel_id not in parked and channel_id not in self._stirred and held.settled:
                del self._held[channel_id]  # it left while nobody listened
        turns = iter(self._turns(parked))
        outcomes: list[bool | Exception] = []

        async def look() -> None:
            for channel_id in turns:
                try:
                    outcomes.append(await self._look_at(connection, channel_id))
                except Exception as error:
                    outcomes.append(error)
                await asyncio.sleep(0)

        await asyncio.gather(*(look() for _ in range(LOOK_AT_ONCE)))
        if found := sum(outcome is True for outcome in outcomes):
            metrics.RECOVERED.labels(self._pbx).inc(found)
            self._log.warning("found calls parked that no event had told of, sent them on", calls=found)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def _turns(self, parked: set[str]) -> list[str]:
        """Which channels are looked after now: all, or those whose turn it is."""
        waiting = parked - self._looked
        turns = list(itertools.islice(waiting, LOOK_MOST))
        self._looked = (self._looked & parked) | set(turns) if len(waiting) > LOOK_MOST else set()
        return turns

    async def _look_at(self, connection: ari_client.Connection, channel_id: str) -> bool:
        """See to one parked channel; True where it was not in hand."""
        held = self._held.get(channel_id)
        if held is not None:
            idle = asyncio.get_running_loop().time() - held.tried_at
            if held.settled and held.reply is not None and idle > STUCK_AFTER and await self._still_here(held):
                held.released = False
                held.task = self._spawn(self._release(held))
            return False
        if channel_id in self._stirred:
            return False
        channel = await connection.channel(channel_id)
        if channel is None or channel_id in self._held or channel_id in self._stirred:
            return False
        args = visiting.arguments_of(channel, self._settings.app)
        if args is None:
            return False
        visit_id = arguments.unnamed_visit(channel_id, visiting.place_of(channel))
        held = visiting.Held(
            channel_id=channel_id,
            args=args,
            visit_id=visit_id,
            started=None,
            in_subroutine=visiting.in_subroutine(channel, args),
            recovered=True,
        )
        self._take(held, channel)
        if held.task is not None:
            await asyncio.wait({held.task})
        return True
