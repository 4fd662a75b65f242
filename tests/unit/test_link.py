"""How connections to Asterisk stand, told at their turns."""

import asyncio
from dataclasses import dataclass

import pytest

from agi_sms.asterisk import link


@dataclass
class Door:
    state: link.State = link.State.CONNECTING


async def test_turns_are_told_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "WATCH_EVERY", 0.001)
    told: list[dict[str, str]] = []
    turned = asyncio.Event()

    def tell() -> None:
        told.append(watch.states)
        turned.set()

    async def turn() -> None:
        async with asyncio.timeout(10):
            await turned.wait()
        turned.clear()

    watch = link.Watch(tell)
    ari, ami = Door(), Door()
    assert watch.named("ari main", ari) == "ari main"
    watch.named("ami main", ami)
    task = asyncio.create_task(watch.run())
    await turn()
    ari.state = link.State.SERVING
    await turn()
    ari.state = link.State.STANDBY
    await turn()
    task.cancel()
    await asyncio.wait({task})
    assert told == [
        {"ari main": "connecting", "ami main": "connecting"},
        {"ari main": "serving", "ami main": "connecting"},
        {"ari main": "standby", "ami main": "connecting"},
    ]
