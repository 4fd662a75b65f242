"""From a visit to a durable activation, within the hold budget: nothing here makes a caller wait."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from agi_sms import call, errors, ids, metrics, node, plan, ports

log = structlog.get_logger(__name__)

REPLAY_FIRST = 0.5  # seconds
REPLAY_LONGEST = 10.0


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a call may be held: for the outbox, and after that for the spool."""

    outbox: timedelta
    spool: timedelta


class Intake:
    """Admits visits.

    `wake` is called when there is something new to send, `wake_fetching` when a text is to be got: each with the time
    from when on, None where it is not known.
    """

    def __init__(
        self,
        *,
        outbox: ports.Outbox,
        spool: ports.Spool,
        book: Callable[[], ports.Book],
        clock: Callable[[], datetime],
        budget: Budget,
        wake: Callable[[datetime | None], None],
        wake_fetching: Callable[[datetime | None], None],
    ) -> None:
        self._outbox = outbox
        self._spool = spool
        self._book = book
        self._clock = clock
        self.budget = budget
        self._wake = wake
        self._wake_fetching = wake_fetching
        self._spooled = asyncio.Event()
        self._told = False
        self._late: set[asyncio.Task[ports.Admission]] = set()

    async def receive(self, visit: call.Visit) -> ports.Reply:
        """Store what this visit makes; never raises, never takes longer than the budget."""
        with structlog.contextvars.bound_contextvars(call_id=visit.call.call_id, node=visit.node):
            try:
                return await self._receive(visit)
            except Exception:
                log.exception("call goes on without SMS: a bug in agi-sms", pbx=visit.call.pbx)
                metrics.fault("intake")
                return ports.Reply(status=ports.ReplyStatus.ERROR)

    async def _receive(self, visit: call.Visit) -> ports.Reply:
        book = self._book()
        target = book.nodes.get(visit.node)
        if target is None:
            log.warning("call goes on without SMS: no such node", pbx=visit.call.pbx)
            metrics.fault("unknown_node")
            return ports.Reply(status=ports.ReplyStatus.INVALID)
        planned = plan.plan(visit, target, book.rules(visit.call.pbx, visit.call.trunk))
        for fault in planned.faults:
            log.warning("nothing is scheduled: an argument of the dialplan or the text is not usable", error=fault)
            metrics.fault("argument")
        for fault in planned.ignored:
            log.warning("argument ignored", error=fault)
            metrics.fault("argument")
        activation = ports.Activation(
            id=ids.new(self._clock()),
            visit=visit,
            node_revision=target.revision,
            fetch_at=planned.fetch_at,
        )
        reply = await self._store(activation, planned, target.limits)
        if planned.faults and not reply.leave_unset:
            return ports.Reply(status=ports.ReplyStatus.INVALID, activation_id=reply.activation_id)
        return reply

    async def _store(
        self, activation: ports.Activation, planned: plan.Plan, limits: Sequence[node.Limit]
    ) -> ports.Reply:
        admitting = asyncio.ensure_future(self._outbox.admit(activation, planned.drafts, limits))
        await asyncio.wait({admitting}, timeout=self.budget.outbox.total_seconds())
        trouble = "the outbox takes longer than the hold budget"
        if admitting.done():
            try:
                return self._admitted(activation, admitting.result())
            except errors.OutboxError as error:
                trouble = str(error)
            except Exception as error:
                log.exception("a bug in the outbox")
                metrics.fault("outbox")
                trouble = repr(error)
        else:
            self._late.add(admitting)
            admitting.add_done_callback(partial(self._came_late, activation))
        return await self._set_aside(activation, planned, limits, trouble)

    def _admitted(self, activation: ports.Activation, admission: ports.Admission) -> ports.Reply:
        if admission.new:
            log.info("call arrived", entry=str(activation.visit.entry), messages=admission.count)
        else:
            log.info("visit was stored before", entry=str(activation.visit.entry))
        reply = _reply(activation, admission.count)
        if reply.status is ports.ReplyStatus.SCHEDULED:
            self._wake_for(activation, admission)
        return replace(reply, activation_id=admission.activation_id)

    def _wake_for(self, activation: ports.Activation, admission: ports.Admission) -> None:
        if activation.fetch_at is None:
            self._wake(min((one.due_at for one in admission.to_be_sent), default=None))
        else:
            self._wake_fetching(activation.fetch_at)

    def _came_late(self, activation: ports.Activation, admitting: "asyncio.Task[ports.Admission]") -> None:
        """The spool has this visit too; the outbox tells the two apart by its visit."""
        self._late.discard(admitting)
        if not admitting.cancelled() and admitting.exception() is None:
            self._wake_for(activation, admitting.result())

    async def _set_aside(
        self, activation: ports.Activation, planned: plan.Plan, limits: Sequence[node.Limit], trouble: str
    ) -> ports.Reply:
        if not self._told:
            log.warning("the outbox does not take new calls; they are set aside in the spool", error=trouble)
        self._told = True
        try:
            async with asyncio.timeout(self.budget.spool.total_seconds()):
                await self._spool.write(activation, planned.drafts, limits)
        except (errors.SpoolError, TimeoutError) as error:
            log.error("neither outbox nor spool took the call; the dialplan is to write it down", error=repr(error))
            metrics.fault("not_stored")
            return ports.Reply(status=ports.ReplyStatus.ERROR, leave_unset=True)
        self._spooled.set()
        metrics.SPOOLED.inc()
        return _reply(activation, planned.count)

    async def run(self) -> None:
        """Hand over what is in the spool, now and whenever something was set aside; until cancelled."""
        while True:
            if not self._spool.pending:
                await self._something_spooled()
                continue
            handed_over, pause = 0, REPLAY_FIRST
            while self._spool.pending:
                try:
                    handed_over += await self._spool.replay(self._outbox)
                    self._wake(None)
                    self._wake_fetching(None)
                except (errors.OutboxError, errors.SpoolError):
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, REPLAY_LONGEST)
            self._told = False
            if handed_over:
                log.info("the outbox takes calls again; the spool is handed over", calls=handed_over)

    async def _something_spooled(self) -> None:
        """Told of it, or after a while: a write that was given up may have come to its end later."""
        self._spooled.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPLAY_LONGEST):
                await self._spooled.wait()

    async def close(self) -> None:
        """Wait for admissions that outlived their budget; the outbox is still open."""
        for task in tuple(self._late):
            with contextlib.suppress(errors.OutboxError):
                await task


def _reply(activation: ports.Activation, count: int) -> ports.Reply:
    status = ports.ReplyStatus.SCHEDULED if count else ports.ReplyStatus.SKIPPED
    return ports.Reply(status=status, count=count, activation_id=activation.id)
