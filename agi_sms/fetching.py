"""Claim the texts that are to be asked for, ask the customer's system, record what came of it."""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from agi_sms import breaker, durations, errors, message, metrics, node, numbers, ports, resolution, rounds, text
from agi_sms.message import Reason, Status

log = structlog.get_logger(__name__)

WORDS = rounds.Words(
    part="fetching",
    pauses="fetching of texts pauses: the outbox does not answer",
    goes_on="fetching of texts goes on: the outbox answers again",
    bug="a bug in fetching; the lease runs out and the text is asked for again",
)
MARGIN = timedelta(seconds=60)  # a lease outlasts the longest question by this
LATE = timedelta(seconds=5)  # beyond its timeout, then a source is given up
NOBODY = ""  # the host of nodes that no source is for, as in Outbox.claim_content
_SHORT = 2000  # characters of a text that are measured on the event loop
AT_ONCE = 20  # jobs for which nobody is asked: of those nodes, and for each host that is left alone


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a reload replaces too: whom the nodes ask by their names, and how a host is spared.

    `concurrency`: questions to one host at once. After `break_after` faults in a row a host is left alone for
    `break_for`.
    """

    sources: Mapping[str, ports.ContentSource]
    concurrency: int
    break_after: int
    break_for: timedelta


@dataclass(eq=False, kw_only=True)
class Host:
    """What is known of one host: questions under way, those it was spared while left alone, and its last fault."""

    name: str
    breaker: breaker.Breaker
    asking: int = 0
    spared: int = 0
    last: ports.NoAnswer | None = None


class Fetching(rounds.Worker):
    """Asks for texts. `jitter` gives numbers from -1 to 1; `wake` is called when there is something to send."""

    def __init__(
        self,
        *,
        outbox: ports.Outbox,
        book: Callable[[], ports.Book],
        terms: Callable[[], Terms],
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        super().__init__(words=WORDS, clock=clock)
        self._outbox = outbox
        self._book = book
        self._terms = terms
        self._jitter = jitter
        self._wake_delivery = wake
        self._busy: Counter[str] = Counter()  # jobs under way, by host
        self._hosts: dict[str, Host] = {}

    async def _round(self) -> datetime | None:
        terms = self._terms()
        hosts = {name: source.host for name, source in terms.sources.items()}
        self._forget(hosts)
        places = {host: terms.concurrency + self._beside(host) for host in hosts.values()} | {NOBODY: AT_ONCE}
        free = {host: most - self._busy[host] for host, most in places.items() if most > self._busy[host]}
        longest = max((source.timeout for source in terms.sources.values()), default=timedelta(0))
        found = await self._outbox.claim_content(hosts=hosts, free=free, lease=longest + MARGIN)
        if self._draining:
            await self._give_back(found.jobs)
            return None
        for job in found.jobs:
            self._begin(job, hosts.get(job.visit.node, NOBODY))
        return found.next_at

    def _beside(self, host: str) -> int:
        """Further places while it is left alone: nobody waits there until others have asked in vain."""
        known = self._hosts.get(host)
        return 0 if known is None or known.breaker.until is None else AT_ONCE

    def _begin(self, job: ports.Job, host: str) -> None:
        """By the configuration of this moment: a reload may have come while the claim was under way."""
        self._busy[host] += 1
        task = self._start(self._work(job, host, self._book(), self._terms()))
        task.add_done_callback(lambda _: self._busy.subtract([host]))

    def _forget(self, hosts: Mapping[str, str]) -> None:
        for gone in self._hosts.keys() - set(hosts.values()):
            if not self._busy[gone]:
                del self._hosts[gone], self._busy[gone]
                self._count_broken()

    async def _give_back(self, jobs: Sequence[ports.Job]) -> None:
        """What was claimed while the drain began; what is not given back now, the next start finds."""
        for job in jobs:
            with contextlib.suppress(errors.OutboxError):
                await self._outbox.release(job)

    async def _work(self, job: ports.Job, host: str, book: ports.Book, terms: Terms) -> None:
        visit = job.visit
        with structlog.contextvars.bound_contextvars(call_id=visit.call.call_id, node=visit.node):
            source, target = terms.sources.get(visit.node), book.nodes.get(visit.node)
            if (NOBODY if source is None else source.host) != host:
                await self._persist(lambda: self._outbox.release(job))  # another host has to have a place for it
                return
            rules = book.rules(visit.call.pbx, visit.call.trunk)
            if target is not None and target.asking is None:
                await self._end(job, resolution.rewritten(visit, target, rules), target)
            elif target is None or source is None:
                await self._end(job, resolution.removed(), target)
            elif (said := await self._say(job, source, rules, self._host(host, terms), terms.concurrency)) is None:
                await self._persist(lambda: self._outbox.release(job))
            else:
                await self._decide(job, said, target, rules)

    async def _say(
        self, job: ports.Job, source: ports.ContentSource, rules: numbers.Rules, host: Host, most: int
    ) -> ports.Answer | ports.NoAnswer | None:
        """What the host says, or we for it; None where it answers again since the claim and has no place."""
        host.breaker.patience = source.timeout + LATE
        full = host.asking >= most
        if full and host.breaker.until is None:
            return None
        if full or not host.breaker.asks(self._clock()):
            return self._left_alone(host, again=job.tries > 0)
        host.asking += 1
        try:
            question = ports.Question(activation_id=job.activation_id, visit=job.visit, rules=rules)
            said = await _fetch(question, source)
        finally:
            host.asking -= 1
        _count("answered" if isinstance(said, ports.Answer) else said.reason)
        self._learn(host, said, repeated=job.tries > 0)
        return said

    async def _decide(
        self, job: ports.Job, said: ports.Answer | ports.NoAnswer, target: node.Node, rules: numbers.Rules
    ) -> None:
        if isinstance(said, ports.Answer):
            await self._end(job, await self._resolve(job, target, rules, said), target)
            return
        no_answer = said
        at = resolution.again_at(target, no_answer, job.tries + 1, self._clock(), self._jitter())
        if at is None:
            await self._end(job, resolution.give_up(job.visit, target, rules, no_answer), target)
            return
        _tell_if_lost(await self._conclude(lambda: self._outbox.postpone(job, no_answer, at)))
        log.warning(
            "text not fetched",
            tries=job.tries + 1,
            reason=no_answer.reason,
            code=no_answer.code,
            detail=no_answer.detail,
            again_at=at.isoformat(timespec="seconds"),
        )

    async def _resolve(
        self, job: ports.Job, target: node.Node, rules: numbers.Rules, answer: ports.Answer
    ) -> ports.Resolution:
        """Beside the event loop where the answer is long: there is a text to measure, or a template that sorts it."""
        if len(answer.text or "") <= _SHORT and len(answer.excerpt) < ports.LONGEST_EXCERPT:
            return resolution.resolve(job.visit, target, rules, answer)
        return await asyncio.to_thread(resolution.resolve, job.visit, target, rules, answer)

    async def _end(self, job: ports.Job, ending: ports.Resolution, target: node.Node | None) -> None:
        limits = () if target is None else target.limits
        kept = await self._conclude(lambda: self._outbox.resolve(job, ending, limits))
        _tell_if_lost(kept)
        if not kept:
            return
        if ending.status is Status.SCHEDULED or ending.more:
            self._wake_delivery()
        facts: dict[str, object] = {"tries": job.tries + ending.asked, "status": ending.status}
        if ending.detail:
            facts["detail"] = ending.detail
        match ending.reason:
            case None:
                log.info("text fetched", **facts)
            case Reason.DECLINED:
                log.info("the customer's system wants no SMS", **facts)
            case reason:
                log.warning("text not fetched", reason=reason, code=ending.code, **facts)

    # --- hosts ------------------------------------------------------------------------------------------------

    def _host(self, name: str, terms: Terms) -> Host:
        known = self._hosts.get(name)
        if known is None:
            made = breaker.Breaker(after=terms.break_after, pause=terms.break_for)
            known = self._hosts[name] = Host(name=name, breaker=made)
        known.breaker.after, known.breaker.pause = terms.break_after, terms.break_for
        return known

    def _learn(self, host: Host, said: ports.Answer | ports.NoAnswer, *, repeated: bool) -> None:
        """What this says about the host. One that was not reached for a reason of our own says nothing.

        A question that is put again and again says it once: a node with many retries breaks no host alone.
        """
        if isinstance(said, ports.NoAnswer) and said.host_fault:
            host.last = said
            if (host.breaker.until is not None or not repeated) and host.breaker.fault(self._clock()):
                log.warning(
                    "content host left alone",
                    host=host.name,
                    faults=host.breaker.count,
                    seconds=host.breaker.pause.total_seconds(),
                    reason=said.reason,
                    detail=said.detail,
                )
        elif isinstance(said, ports.Answer) or said.reason is not Reason.CONTENT_UNREACHABLE:
            faults = host.breaker.count
            if host.breaker.success():
                log.info("content host answers again", host=host.name, faults=faults, not_asked=host.spared)
                host.spared = 0
        self._count_broken()

    def _left_alone(self, host: Host, *, again: bool) -> ports.NoAnswer:
        """What we say for a host. `again`: it was asked before, so its next try may wait for the end of the pause."""
        host.spared += 1
        _count("left_alone")
        until, how_long, after = host.breaker.until, "until it answers the question asked now", None
        if until is not None and until > self._clock():
            after = until - self._clock()
            how_long = f"for {durations.show(timedelta(seconds=math.ceil(after.total_seconds())))} more"
        last = "" if host.last is None else f"; the last: {host.last.detail or host.last.reason}"
        detail = f"left alone {how_long} after {text.counted(host.breaker.count, 'fault')} in a row{last}"
        detail = detail[: message.LONGEST_DETAIL]
        return ports.NoAnswer(reason=Reason.CONTENT_UNREACHABLE, detail=detail, again=again, after=after, asked=False)

    def _count_broken(self) -> None:
        metrics.CONTENT_LEFT_ALONE.set(sum(host.breaker.until is not None for host in self._hosts.values()))


async def _fetch(question: ports.Question, source: ports.ContentSource) -> ports.Answer | ports.NoAnswer:
    try:
        async with asyncio.timeout((source.timeout + LATE).total_seconds()):
            return await source.fetch(question)
    except Exception as error:
        log.exception("a bug in the content source's code", host=source.host)
        metrics.fault("content_source")
        what = "did not end in time" if isinstance(error, TimeoutError) else f"broke: {type(error).__name__}"
        return ports.NoAnswer(
            reason=Reason.CONTENT_UNREACHABLE,
            code="bug",
            detail=f"the code that asks {what}",
            again=True,
            host_fault=True,
        )


def _count(result: str) -> None:
    metrics.CONTENT_REQUESTS.labels(result=str(result)).inc()


def _tell_if_lost(kept: bool) -> None:
    if not kept:
        log.warning("the lease had run out meanwhile; this answer is not the messages' any more")
