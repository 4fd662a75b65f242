"""What the suites of content sources ask, and the source over HTTP that they ask with."""

import asyncio
import socket
import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import abc

from agi_sms import call, numbers, ports
from agi_sms.content import api
from agi_sms.content import settings as api_settings
from tests.contract import peer

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TEXT = {"Content-Type": "text/plain; charset=utf-8"}


def question(activation_id: str = "a1", *, variables: dict[str, str] | None = None) -> ports.Question:
    facts = call.Call(
        pbx="main",
        key="main/1.1",
        call_id="1.1",
        caller="+48600100200",
        presentation="allowed",
        dialled="221131415",
        variables=variables or {},
    )
    visit = call.Visit(id="v1", node="desk", call=facts, entry=call.Entry.ARI, arrived_at=NOW)
    return ports.Question(activation_id=activation_id, visit=visit, rules=numbers.Rules(region="PL"))


def source(
    url: str,
    *,
    resolver: Callable[[], abc.AbstractResolver] | None = None,
    **changes: Any,
) -> api.ApiSource:
    made = api_settings.Api.model_validate({"url": url + "/sms-text", **changes})
    return api.ApiSource("desk", made, resolver=resolver, clock=lambda: NOW)


async def fetched(url: str, **changes: Any) -> ports.Answer | ports.NoAnswer:
    """What one question to a source of its own comes to."""
    made = source(url, **changes)
    try:
        async with asyncio.timeout(20):
            return await made.fetch(question())
    finally:
        await made.close()


async def refused(url: str, **changes: Any) -> ports.NoAnswer:
    result = await fetched(url, **changes)
    assert isinstance(result, ports.NoAnswer), result
    return result


def values(request: peer.Request) -> dict[str, str]:
    told = request.body.decode() or urllib.parse.urlsplit(request.target).query
    return dict(urllib.parse.parse_qsl(told))


class Resolver(abc.AbstractResolver):
    """A name service that knows these addresses, in turn; none: it knows nothing, or never answers."""

    def __init__(self, *answers: list[str], hangs: bool = False) -> None:
        self.asked = 0
        self._answers = answers
        self._hangs = hangs

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[abc.ResolveResult]:
        if self._hangs:
            await asyncio.Event().wait()
        if not self._answers:
            raise OSError(None, "no such name")
        found = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return [
            abc.ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in found
        ]

    async def close(self) -> None:
        pass


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
