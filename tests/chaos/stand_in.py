"""The SMS company's side, a process of its own that nothing kills: every request goes into its log before the answer.

    python -m tests.chaos.stand_in LOG SEED

It prints its port. POST /idempotent knows a ref that comes again and takes it once; POST /plain takes whatever comes.
POST /fail and /work switch whether it fails. A line of the log is one request: `taken` says whether an SMS went out.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator

from aiohttp import web

ROOT = pathlib.Path(__file__).resolve().parents[2]
FATES = (
    "accept", "accept", "accept", "accept", "429", "429 late", "500", "500 after taking", "garbage",
    "garbage after taking", "reset", "reset after taking", "silence after taking", "pause after taking",
)  # fmt: skip
TAKEN = frozenset(fate for fate in FATES if fate == "accept" or fate.endswith("after taking"))
PAUSE = 30.0  # seconds
LATE = 0.5  # seconds
FOREVER = 600.0  # seconds; whoever asked has gone long before


@contextlib.contextmanager
def running(log: pathlib.Path, seed: int = 0) -> Iterator[str]:
    """Its address; it takes everything until it is switched to fail."""
    command = [sys.executable, "-m", "tests.chaos.stand_in", str(log), str(seed)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


class Company:
    """What it took, and how it answers."""

    def __init__(self, log: str, seed: int) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._dice = random.Random(seed)
        self._known: set[str] = set()
        self._failing = False

    async def switch(self, request: web.Request) -> web.Response:
        """Fail from now on, or work."""
        self._failing = request.path == "/fail"
        return web.Response()

    async def take(self, request: web.Request) -> web.StreamResponse:
        """One submission."""
        asked = await request.json()
        ref, door = asked["ref"], request.path.strip("/")
        fate = self._dice.choice(FATES) if self._failing else "accept"
        repeated = door == "idempotent" and ref in self._known
        taken = fate in TAKEN and not repeated
        if fate in TAKEN:
            self._known.add(ref)
        line = {"at": time.time(), "door": door, **asked, "fate": fate, "taken": taken, "repeated": repeated}
        os.write(self._log, json.dumps(line).encode() + b"\n")
        return await self._answer(request, fate.removesuffix(" after taking"), {"id": f"id-{ref}"})

    async def _answer(self, request: web.Request, fate: str, right: dict[str, str]) -> web.StreamResponse:
        match fate:
            case "429":
                return web.Response(status=429)
            case "429 late":
                await asyncio.sleep(LATE)
                return web.Response(status=429)
            case "500":
                return web.Response(status=500)
            case "garbage":
                return web.Response(body=b"\xff\x00<html>")
            case "reset":
                if request.transport is not None:
                    request.transport.abort()
            case "silence":
                await asyncio.sleep(FOREVER)
            case "pause":
                await asyncio.sleep(PAUSE)
        return web.json_response(right)


async def main(log: str, seed: int) -> None:
    """Serve until killed."""
    company = Company(log, seed)
    app = web.Application()
    app.router.add_post("/idempotent", company.take)
    app.router.add_post("/plain", company.take)
    app.router.add_post("/fail", company.switch)
    app.router.add_post("/work", company.switch)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
