"""The customer's system slow, broken or overrun, and the gateway killed while it asks: each call gets its one SMS."""

import collections.abc
import pathlib
import sys
from typing import Any

import pytest

from rig import sipp
from tests.acceptance import crashing, flows, shop
from tests.acceptance import lab as labs
from tests.acceptance.flows import DESK
from tests.acceptance.gateway import Gateway, wait_for

pytestmark = pytest.mark.asterisk

DIALPLAN = f"""{labs.VISIT}
[from-trunk]
exten => 300,1,Gosub(visit,s,1(asks))
 same => n,Hangup()
exten => 310,1,Gosub(visit,s,1(left))
 same => n,Hangup()
exten => 311,1,Gosub(visit,s,1(right))
 same => n,Hangup()
exten => 312,1,Gosub(visit,s,1(other))
 same => n,Hangup()
exten => 320,1,Gosub(visit,s,1(fallback))
 same => n,Gosub(visit,s,1(skip))
 same => n,Gosub(visit,s,1(hold))
 same => n,Hangup()
"""
PATH = "/sms-text"
CONCURRENCY = 4  # the default
CALLS = 100
BREAK_AFTER = 3


@pytest.fixture
def where() -> collections.abc.Iterator[shop.Shop]:
    with shop.Shop({PATH: lambda _: shop.text("from the shop")}) as running:
        yield running


def asking(where: shop.Shop, *, fallback: str | None = None, **api: Any) -> dict[str, Any]:
    """A node that asks the shop."""
    content: dict[str, Any] = {"api": {"url": where.host + PATH, "timeout": "30s", **api}}
    return {"recipients": DESK, "content": content if fallback is None else {**content, "fallback": fallback}}


def told_once(where: shop.Shop, gateway: Gateway, times: int) -> None:
    """The shop was asked so often, always the same; one SMS is sent, with what it said."""
    labs.wait_messages(gateway, {("asks", "accepted"): 1})
    asked = where.wait_asked(PATH, times)
    (activation,) = labs.activations(gateway)
    assert [one.told["activation_id"] for one in asked] == [activation["id"]] * times
    assert all(one.told == asked[0].told for one in asked)
    assert [(line["to"], line["text"]) for line in gateway.sent()] == [(DESK, "from the shop")]


@pytest.mark.parametrize(("method", "retries"), [("GET", 0), ("POST", 2)])
def test_killed_while_the_shop_has_the_question(lab: labs.Lab, where: shop.Shop, method: str, retries: int) -> None:
    """A question that nobody heard the answer of is put again, also where the node says that none is repeated."""
    gateway = lab.gateway({"asks": asking(where, method=method, retries=retries)}, **flows.PATIENT).start()
    where.gate.clear()
    flows.place(lab.asterisk, "300")
    where.wait_waiting(1)
    gateway.kill()
    where.gate.set()
    gateway.start()
    told_once(where, gateway, 2)


def test_stopped_while_the_shop_has_the_question(lab: labs.Lab, where: shop.Shop) -> None:
    """A clean stop waits for answers no longer than `drain`; the next start asks again."""
    gateway = lab.gateway({"asks": asking(where, retries=0)}, drain="0s", **flows.PATIENT).start()
    where.gate.clear()
    flows.place(lab.asterisk, "300")
    where.wait_waiting(1)
    assert gateway.stop() == 0
    labs.wait_messages(gateway, {("asks", "waiting"): 1})
    where.gate.set()
    gateway.start()
    told_once(where, gateway, 2)


@pytest.mark.parametrize(
    ("point", "times"),
    [("after_commit", 1), ("content_claimed", 1), ("content_answered", 2), ("content_resolved", 1)],
)
def test_killed_on_the_way(lab: labs.Lab, where: shop.Shop, point: str, times: int) -> None:
    program = (sys.executable, pathlib.Path(crashing.__file__), point)
    gateway = lab.gateway({"asks": asking(where, retries=0)}, program=program, **flows.PATIENT).start()
    call = sipp.place_async(lab.asterisk, "300", hold=0.1)
    wait_for("the gateway dies", lambda: not gateway.running())
    assert gateway.wait() == -9
    gateway.start()
    assert len(call.wait().calls) == 1
    lab.asterisk.wait_for_no_channels()
    told_once(where, gateway, times)


def test_asked_again_after_a_fault_that_may_pass(lab: labs.Lab, where: shop.Shop) -> None:
    """It says so each time in the same words, so that the shop can tell."""
    broken = iter([shop.Said(status=503, body=b"later"), shop.Said(status=429, headers={"Retry-After": "1"})])
    where.pages[PATH] = lambda _: next(broken, shop.text("from the shop"))
    gateway = lab.gateway({"asks": asking(where, retries=2)}, **flows.PATIENT).start()
    flows.place(lab.asterisk, "300")
    told_once(where, gateway, 3)


def test_hundred_calls_at_once_do_not_run_the_shop_over(lab: labs.Lab, where: shop.Shop) -> None:
    """Two nodes ask one host, and it is still asked four questions at a time; another host answers meanwhile."""
    with shop.Shop({PATH: lambda _: shop.text("from elsewhere")}) as elsewhere:
        nodes = {
            "left": asking(where, method="GET"),
            "right": asking(where, method="GET"),
            "other": asking(elsewhere),
        }
        gateway = lab.gateway(nodes, **flows.PATIENT).start()
        where.gate.clear()
        under_way = [
            sipp.place_async(lab.asterisk, number, calls=CALLS // 2, rate=100, hold=0.1) for number in ("310", "311")
        ]
        assert sum(len(calls.wait().calls) for calls in under_way) == CALLS
        labs.wait_activations(gateway, CALLS)
        where.wait_waiting(CONCURRENCY)
        flows.place(lab.asterisk, "312")
        waiting = {("left", "waiting"): CALLS // 2, ("right", "waiting"): CALLS // 2}
        labs.wait_messages(gateway, {**waiting, ("other", "accepted"): 1})
        assert (where.waiting, len(where.asked)) == (CONCURRENCY, CONCURRENCY)
        where.gate.set()
        done = {("left", "accepted"): CALLS // 2, ("right", "accepted"): CALLS // 2, ("other", "accepted"): 1}
        labs.wait_messages(gateway, done, deadline=60)
    assert (where.most_waiting, where.most_connections) == (CONCURRENCY, CONCURRENCY)
    assert len({asked.told["activation_id"] for asked in where.asked}) == len(where.asked) == CALLS
    assert len(gateway.sent()) == CALLS + 1


def test_broken_host_is_left_alone_for_a_while(lab: labs.Lab, where: shop.Shop) -> None:
    """Its nodes take what on_error says at once; then one question finds out that it is back. `retry` asks again."""
    where.pages[PATH] = lambda _: shop.Said(status=503, body=b"no database")
    nodes = {
        "fallback": asking(where, retries=0, fallback="we will text you"),
        "skip": asking(where, retries=0, on_error="skip"),
        "hold": asking(where, retries=0, on_error="hold"),
    }
    rest = {"break_after": BREAK_AFTER, "break_for": "8s"}
    gateway = lab.gateway(nodes, content=rest, **flows.PATIENT).start()

    def calls(count: int) -> list[dict[str, Any]]:
        """One more call, the `count`th; its messages once they went their way."""
        flows.place(lab.asterisk, "320")
        return flows.settled(gateway, 3 * count)[-3:]

    def ends(rows: list[dict[str, Any]]) -> dict[str, tuple[str, str | None, str | None]]:
        return {row["node"]: (row["status"], row["reason"], row["text"]) for row in rows}

    first = calls(1)
    for row in first:
        assert row["status"] == {"fallback": "accepted", "skip": "skipped", "hold": "held"}[row["node"]]
    assert ends(first)["skip"] == ("skipped", "content_refused", None)
    assert ends(first)["hold"] == ("held", "content_refused", None)
    assert ends(first)["fallback"][2] == "we will text you"
    where.wait_asked(PATH, BREAK_AFTER)
    wait_for("it is left alone", lambda: gateway.events("content host left alone"))

    second = calls(2)
    where.wait_asked(PATH, BREAK_AFTER)
    assert ends(second)["skip"] == ("skipped", "content_unreachable", None)
    assert ends(second)["hold"] == ("held", "content_unreachable", None)
    assert ends(second)["fallback"][2] == "we will text you"
    (held,) = (row for row in second if row["node"] == "hold")
    assert "left alone" in gateway.command("explain", held["id"]).stdout

    where.pages[PATH] = lambda _: shop.text("from the shop")
    placed = 2

    def back() -> bool:
        nonlocal placed
        placed += 1
        return any(row["text"] == "from the shop" for row in calls(placed))

    wait_for("the shop is asked again", back, deadline=60)
    for event in ("content host left alone", "content host answers again"):
        assert len(gateway.events(event)) == 1, event

    before = len(where.asked)
    assert gateway.command("retry", held["id"]).returncode == 0
    wait_for(
        "the held one goes out",
        lambda: (
            ("hold", "accepted", "from the shop")
            in {(row["node"], row["status"], row["text"]) for row in gateway.history() if row["id"] == held["id"]}
        ),
    )
    assert len(where.asked) == before + 1
    for row in gateway.history("--status", "held"):
        assert row["text"] is None
    sent = [line["ref"] for line in gateway.sent()]
    assert len(set(sent)) == len(sent)
