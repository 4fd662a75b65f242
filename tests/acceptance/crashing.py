"""The real command line, killed by SIGKILL at a named point, the first time that it gets there.

    python crashing.py POINT run --config agi-sms.yaml

Where it has died once stands in the file DIED of the working directory; a program that finds it there lives on.
"""

import asyncio
import os
import pathlib
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from agi_sms import cli, ports
from agi_sms.content import api
from agi_sms.outbox import sqlite
from agi_sms.providers import http

DIED = pathlib.Path("died")
RECEIVED = pathlib.Path("received")  # made by the provider's side when it has the whole request

Method = Callable[..., Awaitable[Any]]


def die() -> None:
    """End as a machine does whose power fails, but once only."""
    if not DIED.exists():
        DIED.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def after(method: Method) -> Method:
    """Die when it has come to something, before anybody hears of it."""

    async def dying(*arguments: Any, **named: Any) -> Any:
        result = await method(*arguments, **named)
        if came_to_something(result):
            die()
        return result

    return dying


def came_to_something(result: object) -> bool:
    """Of a claim: that it got hold of work."""
    match result:
        case ports.ClaimRound(leases=taken) | ports.JobRound(jobs=taken):
            return bool(taken)
        case _:
            return bool(result)


def die_if_received() -> None:
    """Die once the other side has the whole request."""
    if RECEIVED.exists():
        die()


def within(method: Method) -> Method:
    """Die when the other side has the request and is silent."""

    async def dying(*arguments: Any, **named: Any) -> Any:
        asking = asyncio.ensure_future(method(*arguments, **named))
        while not asking.done():
            die_if_received()
            await asyncio.sleep(0.01)
        return await asking

    return dying


POINTS: dict[str, tuple[type, str, Callable[[Method], Method]]] = {
    "after_commit": (sqlite.SqliteOutbox, "admit", after),
    "after_claim": (sqlite.SqliteOutbox, "claim", after),
    "after_attempt_row": (sqlite.SqliteOutbox, "begin", after),
    "bytes_written": (http.HttpProvider, "send", within),
    "answer_read": (http.HttpProvider, "send", after),
    "result_recorded": (sqlite.SqliteOutbox, "finish", after),
    "content_claimed": (sqlite.SqliteOutbox, "claim_content", after),
    "content_answered": (api.ApiSource, "fetch", after),
    "content_resolved": (sqlite.SqliteOutbox, "resolve", after),
}


def main() -> None:
    """Take the point's name out of the arguments, and be agi-sms."""
    owner, name, how = POINTS[sys.argv.pop(1)]
    setattr(owner, name, how(getattr(owner, name)))
    cli.main()


if __name__ == "__main__":
    main()
