"""The other side over HTTP, a process of its own: an SMS company, and a customer's system that knows what to say.

    python -m tests.bench.company COUNT PAUSE [RECEIPTS]

It prints its port. POST /sms takes a message, POST /text answers with a text, each after PAUSE seconds. Where RECEIPTS
names an address, every message that was taken is reported there as delivered, until that is acknowledged. When COUNT
messages were taken (and reported), it prints {first, last, taken, repeated}: times in seconds since 1970.
"""

import asyncio
import json
import sys
import time

import aiohttp
from aiohttp import web

REPORTERS = 10
AGAIN = 0.05  # seconds


class Company:
    """What it took and told."""

    def __init__(self, count: int, pause: float, receipts: str) -> None:
        self._count = count
        self._pause = pause
        self._receipts = receipts
        self._refs: set[str] = set()
        self._repeated = 0
        self._acknowledged = 0
        self._first = 0.0
        self._news: asyncio.Queue[str] = asyncio.Queue()

    async def take(self, request: web.Request) -> web.Response:
        """One submission."""
        ref = (await request.json())["ref"]
        self._first = self._first or time.time()
        if self._pause:
            await asyncio.sleep(self._pause)
        if ref in self._refs:
            self._repeated += 1
        self._refs.add(ref)
        if self._receipts:
            self._news.put_nowait(f"id-{ref}")
        else:
            self._tell(len(self._refs))
        return web.json_response({"id": f"id-{ref}"})

    async def say(self, _: web.Request) -> web.Response:
        """One question for a text."""
        if self._pause:
            await asyncio.sleep(self._pause)
        return web.json_response({"message": "Your order is on its way."})

    async def report(self, session: aiohttp.ClientSession) -> None:
        """Send receipts for ever."""
        while True:
            name = await self._news.get()
            if await self._reported(session, name):
                self._acknowledged += 1
                self._tell(self._acknowledged)
            else:
                self._news.put_nowait(name)
                await asyncio.sleep(AGAIN)

    async def _reported(self, session: aiohttp.ClientSession, name: str) -> bool:
        try:
            async with session.post(self._receipts, json={"id": name, "state": "delivered"}) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def _tell(self, done: int) -> None:
        if done == self._count:
            facts = {
                "first": self._first,
                "last": time.time(),
                "taken": len(self._refs),
                "repeated": self._repeated,
            }
            print(json.dumps(facts), flush=True)


async def main(count: int, pause: float, receipts: str = "") -> None:
    """Serve until killed."""
    company = Company(count, pause, receipts)
    app = web.Application()
    app.router.add_post("/sms", company.take)
    app.router.add_post("/text", company.say)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(company.report(session) for _ in range(REPORTERS)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]))
