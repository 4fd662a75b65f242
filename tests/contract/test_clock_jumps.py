"""The machine's clock is set forward or back by a day, and more, while the real `agi-sms run` works."""

import stat
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agi_sms import message, ports
from tests.contract import stores, test_service
from tests.contract.stores import HOUR, MINUTE, admit, claim_one, receipt, statuses
from tests.contract.test_service import NODE, TREE, Gateway, Listener, by_http, gateway, listener, wait_for
from tests.contract.test_service_agi import Call, ask, tree
from tests.contract.test_service_content import Shop, shop
from tests.contract.test_service_edges import free_port

__all__ = ["gateway", "listener", "shop"]

DAY = timedelta(days=1)
# As `agi-sms`, with a clock that a file sets: so many seconds ahead of the machine's.
PROGRAM = """#!{python}
import pathlib
from datetime import UTC, datetime, timedelta
from agi_sms import cli, clock
ahead = pathlib.Path({file!r})
clock.now = lambda: datetime.now(UTC) + timedelta(seconds=float(ahead.read_text()))
cli.main()
"""


class Clock:
    """The clock of the gateways of one folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ahead"
        self.program = folder / "program"
        self.program.write_text(PROGRAM.format(python=sys.executable, file=str(self._file)), "utf-8")
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        self.set(timedelta(0))

    def set(self, ahead: timedelta) -> None:
        fresh = self._file.with_name("ahead.new")
        fresh.write_text(str(ahead.total_seconds()), "utf-8")
        fresh.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(tmp_path)
    monkeypatch.setattr(test_service, "PROGRAM", made.program)
    return made


def told(gateway: Gateway, event: str) -> Any:
    """The line in which it says so."""
    wait_for(event, lambda: event in gateway.events(), gateway.said)
    return next(line for line in gateway.lines() if line["event"] == event)


def call(port: int, visit: str) -> str:
    made = Call(port)
    made.begin(visit)
    return made.told()


def test_set_forward(gateway: Gateway, clock: Clock) -> None:
    """What is due by the new time goes out, once; what is not waits; calls go on."""
    port = free_port()
    nodes = {name: NODE | {"delay": delay} for name, delay in (("desk", "0"), ("hour", "1h"), ("days", "30h"))}
    gateway.write(tree(port, nodes=nodes))
    gateway("trigger", "days")
    gateway("trigger", "hour")
    gateway.start()
    assert gateway.sent() == []
    clock.set(DAY)
    gateway.comes_to("accepted", "scheduled")
    assert 86_000 < told(gateway, "the clock was set forward")["seconds"] < 86_500
    assert call(port, "v-1") == 'SET VARIABLE AGISMS "SCHEDULED,1"'
    gateway.comes_to("accepted", "accepted", "scheduled")
    assert [one["node"] for one in gateway.sent()] == ["hour", "desk"]
    assert gateway.stop() == 0


def test_set_forward_beyond_all_ages(gateway: Gateway, clock: Clock) -> None:
    """Nothing that old is sent, and nothing is lost: it is expired, and a person may have it sent."""
    gateway.write(TREE | {"nodes": {"desk": NODE | {"delay": "1h"}}})
    gateway("trigger", "desk")
    gateway.start()
    clock.set(3 * DAY)
    gateway.comes_to("expired")
    assert "retry" in told(gateway, "the clock was set forward")["meaning"]
    clock.set(timedelta(0))
    told(gateway, "the clock was set back")
    gateway("retry", "--node", "desk", "--status", "expired", "--yes")
    gateway.comes_to("accepted")
    assert len(gateway.sent()) == 1
    assert gateway.stop() == 0


def test_set_back(gateway: Gateway, clock: Clock) -> None:
    """New calls go by the new time, limits and all."""
    port = free_port()
    limited = NODE | {"limits": {"per_recipient": "1/1d"}}
    gateway.write(tree(port, nodes={"desk": limited}))
    clock.set(DAY)
    gateway.start()
    assert call(port, "v-1") == 'SET VARIABLE AGISMS "SCHEDULED,1"'
    gateway.comes_to("accepted")
    clock.set(timedelta(0))
    assert -86_500 < told(gateway, "the clock was set back")["seconds"] < -86_000
    assert call(port, "v-2") == 'SET VARIABLE AGISMS "SCHEDULED,1"'
    wait_for("sent at once", lambda: len(gateway.sent()) == 2, gateway.said)
    assert call(port, "v-3") == 'SET VARIABLE AGISMS "SKIPPED,0"'
    assert sorted(gateway.ask()) == [("accepted", None), ("accepted", None), ("skipped", "capped")]
    assert gateway.stop() == 0
    gateway.start()
    assert "found of an earlier run" not in gateway.events()
    assert gateway.stop() == 0


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_while_a_send_is_under_way(gateway: Gateway, listener: Listener, clock: Clock, jump: timedelta) -> None:
    """Its answer counts, and it is sent once."""
    gateway.write(by_http(listener, retry={"grace": "0"}))
    gateway("trigger", "desk")
    gateway.start()
    assert listener.asked.wait(test_service.DEADLINE)
    clock.set(jump)
    told(gateway, f"the clock was set {'forward' if jump > timedelta(0) else 'back'}")
    listener.answer.set()
    gateway.comes_to("accepted")
    assert gateway.stop() == 0
    assert ask(gateway, "SELECT outcome FROM attempts") == [("accepted",)]


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_while_a_text_is_fetched(gateway: Gateway, shop: Shop, clock: Clock, jump: timedelta) -> None:
    """It is sent once, by the time that is right in the end."""
    shop.gate.clear()
    gateway.write(shop.tree() | {"max_age": "3d"})
    gateway("trigger", "shop")
    gateway.start()
    wait_for("it is asked", lambda: shop.asked, gateway.said)
    clock.set(jump)
    told(gateway, f"the clock was set {'forward' if jump > timedelta(0) else 'back'}")
    shop.gate.set()
    gateway.comes_to("accepted" if jump > timedelta(0) else "scheduled")
    clock.set(timedelta(0))
    gateway.comes_to("accepted")
    assert [one["text"] for one in gateway.sent()] == ["Zażółć /one"]
    assert gateway.stop() == 0


# --- the outbox alone -------------------------------------------------------------------------------------------


async def test_leases_of_a_clock_that_was_ahead_are_found_at_the_next_start(outbox_factory: stores.Store) -> None:
    clock = outbox_factory.clock
    right = clock()
    outbox = await outbox_factory.open()
    clock.advance(DAY)
    for visit in ("begun", "claimed"):
        await admit(outbox, visit, clock)
    for lease in await stores.claim(outbox, 2, HOUR):
        if lease.message.call_id == "call-begun":
            assert await outbox.begin(lease, "main")
    await outbox.close()
    clock.now = right
    outbox = await outbox_factory.open()
    found = await outbox.recover()
    assert (found.rescheduled, found.uncertain) == (1, 1)
    assert sorted(await statuses(outbox)) == ["scheduled", "uncertain"]
    await outbox.close()


@pytest.mark.parametrize("back", [MINUTE, DAY])
async def test_a_receipt_before_the_answer_across_a_clock_that_is_set_back(
    outbox_factory: stores.Store, outbox: ports.Outbox, back: timedelta
) -> None:
    clock = outbox_factory.clock
    await admit(outbox, "v1", clock)
    lease = await claim_one(outbox)
    attempt = await outbox.begin(lease, "main")
    assert attempt is not None
    clock.advance(-back)
    await outbox.receive("main", [receipt(provider_id="p-1")])
    taken = message.Accepted(ids=("p-1",))
    await outbox.finish(lease, attempt, taken, ports.Decision(status=message.Status.ACCEPTED))
    assert await statuses(outbox) == ["delivered"]


async def test_what_overdue_receipts_and_ages_go_by_is_the_clock_of_now(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    right = clock()
    await admit(outbox, "v1", clock, due_at=right + HOUR)
    clock.advance(2 * DAY + 2 * HOUR)
    assert (await outbox.claim(free={"main": 9}, lease=HOUR)).leases == ()
    assert await statuses(outbox) == ["expired"]
    clock.now = right
    await admit(outbox, "v2", clock, due_at=right + HOUR)
    assert (await outbox.claim(free={"main": 9}, lease=HOUR)).next_at == right + HOUR
