"""Asks the customer's systems once, and tells people what was asked, answered, and would come of it."""

import asyncio
import collections
import dataclasses
import textwrap
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agi_sms import call, node, numbers, plan, ports, resolution, show, text, trigger
from agi_sms.content import api
from agi_sms.message import Reason, Status
from agi_sms.ports import ContentState

if TYPE_CHECKING:
    from agi_sms import config as configuration

_AT_ONCE = 50  # questions in all; to one host there are `content.concurrency`
_DIALLED = "+48221131415"
_VALUE = "12345"
_MOST_LINES, _WIDEST_LINE = 12, 200  # of an answer
_INDENT, _NARROWEST = 13, 20  # columns before a fact, and those that one has at least


@dataclass(frozen=True, kw_only=True)
class Told:
    """One question to a node's API, what came of it, and what that would make of the messages."""

    visit: call.Visit
    target: node.Node
    exchange: api.Exchange
    outcome: ports.Resolution

    @property
    def right(self) -> bool:
        """Whether the API did its part: it gave a text that can be sent, or said that nobody gets one."""
        return self.outcome.state is ContentState.ANSWERED or self.outcome.reason is Reason.DECLINED


def samples(loaded: "configuration.Config", names: Iterable[str]) -> list[call.Visit]:
    """A visit such as a call might make, for each of the nodes that ask an API."""
    return [
        trigger.sample(loaded, name, dialled=_DIALLED, variables=dict.fromkeys(loaded.details[name].variables, _VALUE))
        for name in names
        if name in loaded.sources
    ]


async def ask(loaded: "configuration.Config", visits: Iterable[call.Visit], tell: Callable[[Told], None]) -> bool:
    """Ask once for each visit, several at once, and tell of each in their order; whether all did their part.

    The running loop is taken to be there for this alone.
    """
    # a lookup in the DNS that hangs holds a thread; with asyncio's handful of them, others would seem to hang too
    asyncio.get_running_loop().set_default_executor(futures.ThreadPoolExecutor(_AT_ONCE, "agi-sms"))
    everywhere = asyncio.Semaphore(_AT_ONCE)
    hosts: dict[str, asyncio.Semaphore] = collections.defaultdict(
        lambda: asyncio.Semaphore(loaded.settings.content.concurrency)
    )

    async def one(visit: call.Visit) -> Told:
        target = loaded.nodes[visit.node]
        source = api.ApiSource(visit.node, loaded.sources[visit.node], templated=target.template is not None)
        rules = loaded.rules(visit.call.pbx, visit.call.trunk)
        question = ports.Question(activation_id=f"test-{uuid.uuid4().hex[:16]}", visit=visit, rules=rules, test=True)
        try:
            async with hosts[source.host], everywhere:
                exchange = await source.exchange(question)
        finally:
            await source.close()
        outcome = _outcome(visit, target, rules, exchange.result)
        return Told(visit=visit, target=target, exchange=exchange, outcome=outcome)

    right = True
    tasks = [asyncio.create_task(one(visit)) for visit in visits]
    try:
        for task in tasks:
            told = await task
            right = right and told.right
            tell(told)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return right


def _outcome(
    visit: call.Visit, target: node.Node, rules: numbers.Rules, result: ports.Answer | ports.NoAnswer
) -> ports.Resolution:
    if isinstance(result, ports.Answer):
        return resolution.resolve(visit, target, rules, result)
    return resolution.give_up(visit, target, rules, result)


def applied(planned: plan.Plan, told: Told) -> plan.Plan:
    """The plan with what the answer makes of its waiting messages."""
    outcome = told.outcome
    drafts = []
    for draft in planned.drafts:
        if draft.status is Status.WAITING:
            due_at = outcome.due_at or draft.due_at
            draft = dataclasses.replace(  # noqa: PLW2901
                draft,
                status=outcome.status,
                reason=outcome.reason,
                text=outcome.text,
                encoding=outcome.encoding,
                segments=outcome.segments,
                sender=draft.sender if outcome.sender is None else outcome.sender,
                due_at=due_at,
                expires_at=due_at + told.target.max_age,
            )
        drafts.append(draft)
    known = {draft.recipient for draft in drafts}
    drafts += [draft for draft in outcome.more if draft.recipient not in known]
    return dataclasses.replace(planned, drafts=tuple(drafts))


# --- what it says -----------------------------------------------------------------------------------------------


def lines(told: Told, width: int | None = None) -> Iterator[str]:
    """One exchange and what came of it, line by line; what is wider than `width` columns goes on below."""
    for name, value in _exchanged(told.exchange):
        yield from _fact(name, value, width)
    for name, value in _came_of(told):
        yield from _fact(name, value, width)


def closing(asked: int, without: Sequence[str], width: int | None = None) -> Iterator[str]:
    """What it came to: how many nodes were asked for, and which of them got no text."""
    line = f"{text.counted(asked, 'node')} asked: each API did its part"
    if without:
        line = f"{len(without)} of {text.counted(asked, 'node')} got no text: {', '.join(without)}"
    yield from _wrapped(line, width) if width else [line]


def _exchanged(exchange: api.Exchange) -> Iterator[tuple[str, str]]:
    if exchange.asked is not None:
        told = exchange.asked.values
        url = exchange.asked.url.partition("?")[0] if exchange.asked.method == "GET" and told else exchange.asked.url
        yield "asked", f"{exchange.asked.method} {url}"
        yield from (("header", f"{name}: {value}") for name, value in exchange.asked.headers)
        yield from (("value", f"{name}={value}") for name, value in told)
    yield from (("redirected", url) for url in exchange.followed)
    if exchange.answered is not None:
        answered = exchange.answered
        size = ("" if answered.whole else "more than ") + text.counted(answered.size, "byte")
        kind = answered.content_type or "no content type"
        yield "answered", f"{answered.status}, {kind}, {size}, after {exchange.seconds:.2f} s"
        yield "body", _head(exchange.result.excerpt)


def _came_of(told: Told) -> Iterator[tuple[str, str]]:
    outcome, asking = told.outcome, told.target.asking
    if outcome.state is ContentState.ANSWERED:
        yield _text("text", outcome)
        yield "note", outcome.detail
    elif outcome.reason is not None:
        what = "declined" if outcome.reason is Reason.DECLINED else "no text"
        yield what, f"{outcome.reason}: {show.REASONS[outcome.reason]}"
        yield "", show.said(outcome.code, outcome.detail)
        result = told.exchange.result
        if asking is not None and asking.retries and isinstance(result, ports.NoAnswer) and result.again:
            more = text.counted(asking.retries, "more time")
            yield "again", f"for a call it would be asked again, up to {more}"
        if outcome.state is ContentState.FALLBACK:
            yield _text("fallback", outcome)
        else:
            yield "then", f"the messages are {outcome.status}"
    yield "sender", f"{outcome.sender}, as the answer says" if outcome.sender else ""
    yield "due", f"{show.local(outcome.due_at)}, as the answer says" if outcome.due_at else ""
    for draft in outcome.more:
        if draft.recipient:
            why = f": {draft.status}, {show.REASONS[draft.reason]}" if draft.reason is not None else ""
            yield "recipient", f"{draft.recipient}, as the answer says{why}"


def _text(name: str, outcome: ports.Resolution) -> tuple[str, str]:
    body = outcome.text or ""
    return name, f"{show.sized(body, outcome.encoding, outcome.segments)}:\n{body}"


def _head(body: str) -> str:
    rows = [row for row in body.expandtabs(2).splitlines() if row.strip()]
    shown = [row if len(row) <= _WIDEST_LINE else row[: _WIDEST_LINE - 1] + "…" for row in rows[:_MOST_LINES]]
    return "\n".join(shown + ["…"] * (len(rows) > _MOST_LINES))


def _fact(name: str, value: str, width: int | None) -> Iterator[str]:
    """A line, or several for a value of several; none where it is empty. Nothing in it moves a cursor."""
    if not value:
        return
    room = max(width - _INDENT, _NARROWEST) if width else None
    told = [row for line in show.safe(value).split("\n") for row in (_wrapped(line, room) if room else [line])]
    for row in told:
        yield f"  {name:<11}{row}".rstrip()
        name = ""


def _wrapped(line: str, room: int) -> list[str]:
    """The line in pieces of so many columns; a longer word, such as an address, stays whole."""
    pieces = textwrap.wrap(
        line, room, expand_tabs=False, replace_whitespace=False, break_long_words=False, break_on_hyphens=False
    )
    return pieces or [""]
