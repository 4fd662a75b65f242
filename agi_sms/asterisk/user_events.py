"""What the dialplan says by UserEvent(AgiSms, ...): that a visit waits in AstDB, or the visit itself.

`UserEvent(AgiSms,"AgiSmsLook: VISIT")` only says "look": the record was written before. It may be lost, the next look
finds the record. `UserEvent(AgiSms,"AgiSms: NODE,key=value,...")` is all that there is of a visit: Asterisk sends it
once, to whoever listens at that moment. The facts about the channel are Asterisk's own headers.

Asterisk escapes nothing in the numbers among these [22.10.1, 16.28], and SIP lets a caller put line breaks into his: he
can add headers, or begin an event of his own. So events that are visits are taken only where the configuration says so,
and only with each of Asterisk's own headers once, in its order. What is forged in front of the genuine ones repeats
them, and what is whole is longer than a number can be over SIP (79 bytes). That one says "look" harms nobody.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog

from agi_sms import call, errors, metrics, ports, seldom
from agi_sms.asterisk import arguments

NAME = "agisms"  # of the event; names and headers are compared in lower case
VISIT = "agisms"
LOOK = "agismslook"

MOST_WAITING = 1_000  # visits that are read and not stored yet
AT_ONCE = 10  # visits being stored, so that they share a commit
LAST_WAIT = 2.0  # seconds that visits in hand get when the gateway stops

_OFF = "an event of the dialplan is a visit, and such are not taken: its call gets no SMS"
_OWN = (
    *("event", "privilege", "channel", "channelstate", "channelstatedesc", "calleridnum", "calleridname"),
    *("connectedlinenum", "connectedlinename", "language", "accountcode", "context", "exten", "priority"),
    *("uniqueid", "linkedid", "userevent"),
)

log = structlog.get_logger(__name__)


class UserEvents:
    """The events of one PBX: `take` is for the reader of its connection, `run` hands the visits over."""

    def __init__(
        self,
        pbx: str,
        hand_over: Callable[[call.Visit], Awaitable[ports.Reply]],
        *,
        clock: Callable[[], datetime],
        ours: Callable[[], bool],
        look: Callable[[], None],
        bare: bool,
    ) -> None:
        """`hand_over` stores a visit and never raises. `ours` says whether events are for this gateway, `look` is
        called when AstDB holds something. `bare`: an event by itself may be a visit."""
        self._pbx = pbx
        self._hand_over = hand_over
        self._clock = clock
        self._ours = ours
        self._look = look
        self._bare = bare
        self._waiting: asyncio.Queue[call.Visit] = asyncio.Queue(MOST_WAITING)
        self._seldom = seldom.Seldom()
        self._in_hand = 0  # visits that wait or are being stored
        self.heard = 0  # events that have come, whosever they are

    def take(self, event: Mapping[str, str]) -> None:
        """Read one event, keys in lower case; others than ours are nobody's business here. Never raises."""
        self.heard += "userevent" in event
        if event.get("userevent", "").lower() != NAME:
            return
        try:
            result = self._take(event) if self._ours() else "standby"
        except errors.ArgumentError as error:
            result = "unreadable"
            self._tell("an event of the dialplan cannot be read, its call gets no SMS", reason=str(error))
        except Exception as error:
            result = "unreadable"
            metrics.fault("bug")
            self._tell("a fault of agi-sms, an event is lost", reason=f"{type(error).__name__}: {error}")
        metrics.USER_EVENTS.labels(self._pbx, result).inc()

    def _take(self, event: Mapping[str, str]) -> str:
        if LOOK in event:
            self._look()
            return "look"
        if VISIT not in event:
            raise errors.ArgumentError("it has neither a header AgiSms: nor AgiSmsLook:")
        if not self._bare:
            self._tell(_OFF, hint=f"pbx.{self._pbx}.ami: bare_events: true, or Gosub(agi-sms-event,s,1(NODE))")
            return "refused"
        if not _genuine(getattr(event, "names", ())):
            raise errors.ArgumentError("its headers are not those of a channel's UserEvent, each once")
        visit = self._visit(event)
        try:
            self._waiting.put_nowait(visit)
        except asyncio.QueueFull:
            self._look()
            self._tell("events of the dialplan come faster than they can be stored, they are lost", kept=MOST_WAITING)
            return "overflow"
        self._in_hand += 1
        return "visit"

    def _visit(self, event: Mapping[str, str]) -> call.Visit:
        """Each event is a visit of its own: Asterisk repeats none."""
        given, known = arguments.parse(arguments.split(event[VISIT])), arguments.event_facts(event)
        return arguments.visit(
            given,
            known,
            pbx=self._pbx,
            entry=call.Entry.AMI,
            arrived_at=self._clock(),
            new_visit_id=given.visit or f"event-{uuid.uuid4()}",
        )

    async def run(self) -> None:
        """Hand over what was read, until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(AT_ONCE):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            visit = await self._waiting.get()
            try:
                if (await self._hand_over(visit)).leave_unset:
                    metrics.USER_EVENTS.labels(self._pbx, "lost").inc()
                    self._tell("a visit that came as an event cannot be stored and is lost", node=visit.node)
                self._in_hand -= 1
            finally:
                self._waiting.task_done()

    async def let_go(self) -> None:
        """Give what was read a moment to be stored."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WAIT):
                await self._waiting.join()
        if self._in_hand:
            metrics.USER_EVENTS.labels(self._pbx, "lost").inc(self._in_hand)
            log.error("stopped before events of the dialplan were stored, they are lost", calls=self._in_hand)

    def _tell(self, event: str, **facts: Any) -> None:
        """Log it, unless that was done a moment ago; whoever sends events shall not fill the log."""
        since = self._seldom(event)
        if since is not None:
            log.warning(event, pbx=self._pbx, **({"more_since_last": since - 1} if since > 1 else {}), **facts)


def _genuine(names: Sequence[str]) -> bool:
    """Whether Asterisk's own headers are all there, each once, in its order."""
    return tuple(name for name in names if name in _OWN) == _OWN
