"""One visit of one channel, while the gateway has it."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from agi_sms import call, errors, metrics, ports
from agi_sms.asterisk import arguments

CONTEXT = "agi-sms"  # of the subroutine
MARK = "back=1"  # its first argument behind the node

_NOT_NAMED = re.compile("[^A-Za-z0-9.-]")  # what the subroutine's names have not

NOT_TOLD = "none: it had left before, by the watchdog or a hangup"

Returned = Callable[[str, datetime], Awaitable[None]]

log = structlog.get_logger(__name__)


@dataclass(kw_only=True, eq=False)
class Visiting:
    """What is known of a visit while the gateway has its channel."""

    channel_id: str
    args: list[str]
    visit_id: str  # for a dialplan that names none
    reply: ports.Reply | None = None
    names: dict[str, str] = field(default_factory=dict)  # for log lines

    @property
    def told(self) -> str:
        """What the dialplan reads, empty where it is left to think that nobody answered."""
        return "" if self.reply is None or self.reply.leave_unset else self.reply.value


@dataclass(kw_only=True, eq=False)
class Held(Visiting):
    """The same of a channel in Stasis, from its StasisStart (or from being found parked) to its StasisEnd."""

    started: datetime | None  # by Asterisk's clock; None where the event has not been seen
    in_subroutine: bool  # a bare Stasis() has no extension that takes an answer
    recovered: bool = False
    late: bool = False  # it seems to have been heard of long after it came
    task: "asyncio.Task[None] | None" = None
    gone: bool = False  # the channel has left, by itself or by us
    released: bool = False  # Asterisk took our word that it may go on
    tried_at: float = 0.0  # on the event loop's clock
    ended: datetime | None = None

    @property
    def settled(self) -> bool:
        """Nothing is being done about it."""
        return self.task is None or self.task.done()

    @property
    def way_back(self) -> dict[str, str | int]:
        """Where the channel goes on: at the subroutine's extension for answers, or simply at the next priority.

        A place that does not exist would end the call, so only Asterisk's own word about where the channel is counts.
        """
        if not self.in_subroutine or not self.told:
            return {}
        status, count = self.told.split(",")
        return {"context": CONTEXT, "extension": f"result:{status}:{count}:{self._name_end}", "priority": 1}

    @property
    def _name_end(self) -> str:
        """How the subroutine's name of the visit ends: a late answer may find the channel in its next visit."""
        named = next((one for one in self.args[2:3] if one.startswith("visit=")), "")
        return _NOT_NAMED.sub("", named.removeprefix("visit="))[-9:]


def arguments_of(channel: dict[str, Any], app: str) -> list[str] | None:
    """The arguments of the visit that a channel is in, None where it is not in this application."""
    dialplan = channel.get("dialplan")
    if not isinstance(dialplan, dict) or dialplan.get("app_name") != "Stasis":
        return None
    found = arguments.split(str(dialplan.get("app_data", "")), most=arguments.STASIS_ARGUMENTS)
    return found[1:] if found[:1] == [app] else None


def in_subroutine(channel: dict[str, Any], args: list[str]) -> bool:
    """Whether the channel came by dialplan/agi-sms.conf: it says so itself, and Asterisk's account agrees.

    Somebody's own context may have the same name, and an argument may be a caller's; together they are the file's.
    """
    dialplan = channel.get("dialplan")
    if not isinstance(dialplan, dict) or args[1:2] != [MARK]:
        return False
    return dialplan.get("context") == CONTEXT and dialplan.get("exten") == "s"


def place_of(channel: dict[str, Any]) -> str:
    """Where in the dialplan a parked channel is; all that tells its visits apart from outside."""
    return repr([channel["dialplan"].get(key) for key in ("context", "exten", "priority", "app_data")])


async def ask(
    held: Visiting,
    known: arguments.Facts,
    receive: ports.Receive,
    *,
    pbx: str,
    entry: call.Entry,
    arrived_at: datetime,
) -> ports.Reply:
    """Hand a visit over; what the dialplan is to be told. Never raises: whatever is wrong, the call goes on."""
    held.names = {"call_id": held.channel_id}  # until the arguments say better
    structlog.contextvars.bind_contextvars(pbx=pbx, channel=held.channel_id, **held.names)
    try:
        visit = arguments.visit(
            arguments.parse(held.args),
            known,
            pbx=pbx,
            entry=entry,
            arrived_at=arrived_at,
            new_visit_id=held.visit_id,
        )
        held.names = {"node": visit.node, "call_id": visit.call.call_id}
        structlog.contextvars.bind_contextvars(**held.names)
        reply = await receive(visit)
    except errors.ArgumentError as error:
        metrics.fault("arguments")
        log.warning("the call's arguments cannot be read, it goes on without an SMS", error=str(error))
        reply = ports.Reply(status=ports.ReplyStatus.INVALID)
    except Exception:  # the call goes on, whatever we did wrong
        metrics.fault("bug")
        log.exception("a fault of agi-sms, the call goes on without an SMS")
        reply = ports.Reply(status=ports.ReplyStatus.ERROR)
    metrics.CALLS.labels(pbx, entry, "UNSET" if reply.leave_unset else reply.status).inc()
    return reply


async def back(held: Visiting, returned: Returned | None, ended: datetime, *, pbx: str) -> None:
    """Have it noted that the channel is back in the dialplan, where the visit is stored."""
    if returned is None or held.reply is None or not held.reply.activation_id:
        return
    try:
        await returned(held.reply.activation_id, ended)
    except Exception:
        metrics.fault("bug")
        log.exception("could not note that a call is back", pbx=pbx, **held.names)
