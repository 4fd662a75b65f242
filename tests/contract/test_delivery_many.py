"""Ten thousand messages over two providers, of which one fails in every way that there is, at random.

What a provider took stands in its own log. At the end each message's status has to agree with it, and nothing was
taken twice that had not been in doubt.
"""

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from aiohttp import web

from agi_sms import call, delivery, ids, message, ports, retry
from agi_sms.message import Reason, Status
from agi_sms.outbox import sqlite
from agi_sms.providers import http, http_settings

SEED = 20261123
DEADLINE = 240.0  # seconds
FAULTS = (
    "accept", "accept", "accept", "accept", "reject", "throttle", "down", "error", "error after taking", "garbage",
    "garbage after taking", "reset", "reset after taking", "silence after taking", "drip after taking",
)  # fmt: skip
TAKEN = frozenset(name for name in FAULTS if name == "accept" or name.endswith("after taking"))


class Company:
    """A provider's side: it notes whom it took, then answers, or fails to."""

    def __init__(self, seed: int, faults: tuple[str, ...]) -> None:
        self.taken: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._faults = faults
        self._next: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        ref = (await request.json())["ref"]
        if not self._next:  # each way once, in another order each time: few requests come where it is left alone
            self._next = self._random.sample(self._faults, len(self._faults))
        fault = self._next.pop()
        self.met[fault] += 1
        if fault in TAKEN:
            self.taken[ref] += 1
        match fault.removesuffix(" after taking"):
            case "accept":
                return web.json_response({"id": f"{ref}-{self.taken[ref]}"})
            case "reject":
                return web.json_response({"error": "no such number"}, status=400)
            case "throttle":
                return web.Response(status=429)
            case "down":
                return web.Response(status=401)
            case "error":
                return web.Response(status=500)
            case "garbage":
                return web.Response(body=b"\xff\x00<html>")
            case "reset":
                if request.transport is not None:
                    request.transport.abort()
            case "silence":
                await asyncio.sleep(60)
            case "drip":
                response = web.StreamResponse()
                await response.prepare(request)
                with contextlib.suppress(ConnectionError):
                    while True:  # until the other side has gone
                        await response.write(b" ")
                        await asyncio.sleep(0.1)
                return response
        return web.Response()


@contextlib.asynccontextmanager
async def serving(company: Company) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/send", company.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/send"
    finally:
        await runner.cleanup()


def provider(name: str, url: str, on_uncertain: str) -> http.HttpProvider:
    settings = {
        "url": url,
        "body": {"json": {"to": "{{ to }}", "text": "{{ text }}", "ref": "{{ ref }}"}},
        "answer": {"rules": [{"path": "$.id", "then": "accept"}], "id": "$.id"},
        "timeout": "250ms",
        "concurrency": 100,
        "on_uncertain": on_uncertain,
    }
    return http.HttpProvider(name, http_settings.Settings.model_validate(settings))


@pytest.fixture
def quiet() -> Iterator[None]:
    """Twenty thousand lines of log are not what is tested here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


async def fill(box: sqlite.SqliteOutbox, many: int) -> None:
    now = datetime.now(UTC)
    for start in range(0, many, 10):
        drafts = [
            message.Draft(
                recipient=f"+4860{number:07}",
                source=message.Source.CONFIG,
                status=Status.SCHEDULED,
                text="Hello",
                segments=1,
                route=("flaky", "steady"),
                due_at=now,
                expires_at=now + timedelta(hours=1),
            )
            for number in range(start, start + 10)
        ]
        fresh = ids.new(now)
        visit = call.Visit(
            id=fresh,
            node="desk",
            call=call.Call(pbx="main", key=fresh, call_id=fresh),
            entry=call.Entry.ARI,
            arrived_at=now,
        )
        await box.admit(ports.Activation(id=fresh, visit=visit, node_revision="r1"), drafts)


async def ended(box: sqlite.SqliteOutbox) -> None:
    """Wait until nothing is to be done any more."""
    async with asyncio.timeout(DEADLINE):
        while True:
            stats = await box.stats()
            if not any(stats[one] for one in (Status.SCHEDULED, Status.SENDING, Status.UNCERTAIN)):
                return
            await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(("on_uncertain", "many"), [("hold", 10_000), ("resend", 2_000)])
async def test_every_message_ends_as_the_providers_log_says(tmp_path: Path, on_uncertain: str, many: int) -> None:
    flaky, steady = Company(SEED, FAULTS), Company(SEED + 1, ("accept",))
    box = await sqlite.SqliteOutbox.open(tmp_path / "box.db", clock=lambda: datetime.now(UTC))
    await fill(box, many)
    async with serving(flaky) as here, serving(steady) as there:
        providers: dict[str, ports.Provider] = {
            "flaky": provider("flaky", here, on_uncertain),
            "steady": provider("steady", there, on_uncertain),
        }
        terms = delivery.Terms(
            providers=providers,
            accounts=dict.fromkeys(providers, delivery.Account(concurrency=100)),
            policy=retry.Policy(
                first=timedelta(milliseconds=100), longest=timedelta(seconds=1), grace=timedelta(milliseconds=100)
            ),
            break_after=20,
            break_for=timedelta(seconds=1),
        )
        sender = delivery.Delivery(outbox=box, terms=lambda: terms, clock=lambda: datetime.now(UTC), jitter=lambda: 0.0)
        running = asyncio.create_task(sender.run())
        try:
            await ended(box)
        finally:
            await sender.drain(timedelta(seconds=5))
            await running
            for one in providers.values():
                await one.close()
    found = await box.history(ports.Query())
    assert len(found) == many
    assert set(flaky.met) == set(FAULTS), "some way of failing was never met"
    for kept in found:
        taken = flaky.taken[kept.id] + steady.taken[kept.id]
        match kept.status:
            case Status.ACCEPTED:
                assert taken >= 1
            case Status.FAILED:
                assert (taken, kept.reason) in ((0, Reason.REJECTED), (0, Reason.GAVE_UP))
            case _:
                assert (kept.status, kept.reason) == (Status.HELD, Reason.UNANSWERED)
    doubted = [kept for kept in found if flaky.taken[kept.id] + steady.taken[kept.id] > 1]
    doubted += [kept for kept in found if kept.status is Status.HELD][:200]
    for kept in doubted:
        story = await box.story(kept.id)
        assert story is not None
        assert "uncertain" in [attempt.outcome for attempt in story.attempts]
    assert doubted
    if on_uncertain == "hold":
        assert max((flaky.taken + steady.taken).values()) == 1
    await box.close()
