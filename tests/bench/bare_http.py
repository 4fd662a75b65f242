"""The floor over HTTP: an aiohttp client that posts what the gateway posts, and writes nothing down.

    python -m tests.bench.bare_http URL COUNT CONCURRENCY [RECEIPTS]

With RECEIPTS, a port, it also takes as many receipts there. It prints the milliseconds of CPU that it used.
"""

import asyncio
import itertools
import json
import sys
import time

import aiohttp
from aiohttp import web


async def main(url: str, count: int, concurrency: int, port: int = 0) -> None:
    """Post all, then wait for the receipts."""
    received = 0
    complete = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        nonlocal received
        json.loads(await request.read())
        received += 1
        if received == count:
            complete.set()
        return web.Response(content_type="text/plain")

    app = web.Application()
    app.router.add_post("/receipts", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    if port:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    numbers = iter(range(count))
    began = time.process_time()
    async with aiohttp.ClientSession() as session:

        async def post() -> None:
            for number in numbers:
                asked = {
                    "ref": f"{number:016}",
                    "to": f"+48600{number:06}",
                    "from": "ACME",
                    "text": f"Thank you for calling. Your number is {number}. ACME, Zrodlana 5, Krakow, https://acme.example",
                }
                async with session.post(url, json=asked) as answer:
                    assert (await answer.json())["id"]

        await asyncio.gather(*itertools.starmap(post, [()] * concurrency))
        if port:
            await complete.wait()
    print((time.process_time() - began) * 1000, flush=True)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
