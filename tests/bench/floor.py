"""The floor: the least that an aioari application can do with a call.

    python -m tests.bench.floor URL USER PASSWORD APP variable|only FILE

Sets one variable on each channel and lets it go on (`variable`), or only lets it go on (`only`). At SIGTERM it writes
into FILE how long each call was held, in ms by Asterisk's own clock (StasisStart to StasisEnd), as one JSON list.
"""

import asyncio
import json
import pathlib
import signal
import sys
from datetime import datetime
from typing import Any

import aioari


async def main(url: str, user: str, password: str, app: str, mode: str) -> list[float]:
    """Serve until SIGTERM; how long each call was held, in ms."""
    client = await aioari.connect(url, user, password)
    started: dict[str, str] = {}
    held: list[float] = []
    tasks: set[asyncio.Task[None]] = set()

    async def send_on(channel_id: str) -> None:
        if mode == "variable":
            await client.channels.setChannelVar(channelId=channel_id, variable="AGISMS", value="SCHEDULED,1")
        await client.channels.continueInDialplan(channelId=channel_id)

    def on_start(event: dict[str, Any]) -> None:
        started[event["channel"]["id"]] = event["timestamp"]
        task = asyncio.create_task(send_on(event["channel"]["id"]))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def on_end(event: dict[str, Any]) -> None:
        begun = started.pop(event["channel"]["id"])
        took = datetime.fromisoformat(event["timestamp"]) - datetime.fromisoformat(begun)
        held.append(took.total_seconds() * 1000)

    client.on_event("StasisStart", on_start)
    client.on_event("StasisEnd", on_end)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    running = asyncio.create_task(client.run(apps=app))
    ended = asyncio.create_task(stop.wait())
    await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    await client.close()
    return held


if __name__ == "__main__":
    *to, file = sys.argv[1:]
    pathlib.Path(file).write_text(json.dumps(asyncio.run(main(*to))))
