"""Other channels than a plain caller's: Local ones, queues and their members, transfers; and many at once."""

import collections.abc
from collections import Counter
from typing import Any

import pytest

from rig import sipp
from rig.asterisk import Asterisk
from tests.acceptance import flows
from tests.acceptance import lab as labs
from tests.acceptance.flows import CALLER, DESK
from tests.acceptance.gateway import Gateway, wait_for

pytestmark = pytest.mark.asterisk

FACTS = {"send_to_caller": True, "content": {"text": "{{ caller }} called {{ dialled }}"}}
NODES = dict.fromkeys(("first", "second", "third"), FACTS) | {
    # On a callee's own channel Asterisk takes the callee for the caller.
    "desk": {"recipients": DESK, "content": {"text": "somebody called {{ dialled }}"}},
    "once": {"recipients": DESK, "once_per_call": True, "content": {"text": "hello"}},
}
FIFTY = 50

DIALPLAN = f"""{flows.SEEN}
[visit]
exten => s,1,Gosub(agi-sms,s,1(${{ARG1}}))
 same => n,Gosub(seen,s,1)
 same => n,Return()
[from-trunk]
; Local channels: in the caller's way, optimised away or not, and forked to two at once.
exten => 400,1,Gosub(visit,s,1(first))
 same => n,Dial(Local/second@inside,10,g)
 same => n,Dial(Local/third@inside/n,10,g)
 same => n,Answer()
 same => n,Hangup()
exten => 401,1,Dial(Local/second@inside&Local/third@inside/n,10,g)
 same => n,Answer()
 same => n,Hangup()
; A Local channel that leads to a phone, and is gone from the call's way once it is answered.
exten => 402,1,Gosub(visit,s,1(first))
 same => n,Dial(Local/phone@inside,10,g)
 same => n,Gosub(visit,s,1(third))
 same => n,Hangup()
; A queue: before it, on the way to its member, on the member's own channel, and after it.
exten => 410,1,Gosub(visit,s,1(first))
 same => n,AddQueueMember(support,Local/phone@inside/n)
 same => n,Queue(support,c,,,10,,member)
 same => n,RemoveQueueMember(support,Local/phone@inside/n)
 same => n,Gosub(visit,s,1(third))
 same => n,Hangup()
exten => 411,1,AddQueueMember(support,${{DB(test/phone)}})
 same => n,Queue(support,,,,1)
 same => n,RemoveQueueMember(support,${{DB(test/phone)}})
 same => n,Set(DB(test/queue)=${{QUEUESTATUS}})
 same => n,Gosub(visit,s,1(third))
 same => n,Answer()
 same => n,Hangup()
; Both legs of a call: the callee's before it is connected.
exten => 420,1,Gosub(visit,s,1(first))
 same => n,Dial(${{DB(test/phone)}},10,gU(callee))
 same => n,Gosub(visit,s,1(third))
 same => n,Hangup()
; A phone hands the caller on.
exten => 430,1,Gosub(visit,s,1(first))
 same => n,Dial(${{DB(test/phone)}},10)
 same => n,Hangup()
exten => 431,1,Gosub(visit,s,1(second))
 same => n,Dial(Local/third@inside,10,g)
 same => n,Hangup()
exten => 450,1,Gosub(visit,s,1(once))
 same => n,Gosub(visit,s,1(desk))
 same => n,Answer()
 same => n,Set(DB(test/went on/${{UNIQUEID}})=1)
 same => n,Gosub(visit,s,1(once))
 same => n,Hangup()
[inside]
exten => second,1,Gosub(visit,s,1(second))
 same => n,Hangup()
exten => third,1,Gosub(visit,s,1(third))
 same => n,Hangup()
exten => phone,1,Gosub(visit,s,1(second))
 same => n,Dial(${{DB(test/phone)}},10)
 same => n,Hangup()
[member]
exten => s,1,Gosub(visit,s,1(desk))
 same => n,Return()
[callee]
exten => s,1,Gosub(visit,s,1(desk))
 same => n,Return()
"""


@pytest.fixture(scope="module")
def door(pbx: Asterisk, tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[Gateway]:
    """One gateway for this file's tests."""
    with flows.served(pbx, tmp_path_factory.mktemp("channels"), NODES) as running:
        yield running


@pytest.fixture
def gateway(door: Gateway, asterisk: Asterisk) -> collections.abc.Iterator[Gateway]:
    with flows.shown(asterisk, door):
        yield door


@pytest.fixture
def phones() -> collections.abc.Iterator[collections.abc.Callable[..., sipp.Phone]]:
    """Phones that are stopped again."""
    made: list[sipp.Phone] = []

    def make(**how: Any) -> sipp.Phone:
        made.append(sipp.Phone(**how))
        made[-1].start()
        return made[-1]

    yield make
    for phone in made:
        phone.stop()


def story(asterisk: Asterisk, gateway: Gateway, number: str, visits: int, **how: Any) -> Counter[tuple[str, str]]:
    """Place one call of so many visits; which nodes its SMS came from, and what they say."""
    before = len(labs.activations(gateway))
    assert flows.place(asterisk, number, **how).call.answered
    rows = labs.wait_activations(gateway, before + visits)[before:]
    assert len({row["call_id"] for row in rows}) == 1
    assert sum(map(len, flows.seen(asterisk).values())) == visits
    assert {told for channel in flows.seen(asterisk).values() for told in channel} == {"SCHEDULED:1"}
    messages = flows.settled_of(gateway, rows[0]["call_id"])
    for row in messages:
        assert (row["recipient"], row["status"]) == (DESK if row["node"] == "desk" else CALLER, "accepted")
    assert labs.missed(asterisk) == set()
    return Counter((row["node"], row["text"]) for row in messages)


def told(number: str, *nodes: str) -> Counter[tuple[str, str]]:
    """One SMS from each of these nodes, telling of the caller and the number."""
    return Counter((node, f"{'somebody' if node == 'desk' else CALLER} called {number}") for node in nodes)


def test_local_channels(asterisk: Asterisk, gateway: Gateway) -> None:
    """Who called, and what, is known on them, and that it is one call."""
    assert story(asterisk, gateway, "400", 3) == told("400", "first", "second", "third")


def test_two_local_channels_at_once(asterisk: Asterisk, gateway: Gateway) -> None:
    """What the fork's branches have in common they have from the caller, who has not been in a node yet."""
    before = len(labs.activations(gateway))
    assert flows.place(asterisk, "401").call.answered
    labs.wait_activations(gateway, before + 2)
    assert sorted(told for channel in flows.seen(asterisk).values() for told in channel) == ["SCHEDULED:1"] * 2


def test_local_channel_to_a_phone(
    asterisk: Asterisk, gateway: Gateway, phones: collections.abc.Callable[..., sipp.Phone]
) -> None:
    """The Local channel is optimised away after the answer, the caller's goes on to the last node."""
    flows.put(asterisk, "phone", phones(hangup_after=0.3).dial)
    assert story(asterisk, gateway, "402", 3) == told("402", "first", "second", "third")


def test_queue(asterisk: Asterisk, gateway: Gateway, phones: collections.abc.Callable[..., sipp.Phone]) -> None:
    phone = phones(hangup_after=0.3)
    flows.put(asterisk, "phone", phone.dial)
    assert story(asterisk, gateway, "410", 4) == told("410", "first", "second", "desk", "third")
    assert phone.calls() == 1


def test_queue_that_nobody_answers(
    asterisk: Asterisk, gateway: Gateway, phones: collections.abc.Callable[..., sipp.Phone]
) -> None:
    flows.put(asterisk, "phone", phones(ring=30).dial)
    assert story(asterisk, gateway, "411", 1) == told("411", "third")
    assert asterisk.database("test")["queue"] == "TIMEOUT"


def test_callees_leg(asterisk: Asterisk, gateway: Gateway, phones: collections.abc.Callable[..., sipp.Phone]) -> None:
    flows.put(asterisk, "phone", phones(hangup_after=0.3).dial)
    assert story(asterisk, gateway, "420", 3) == told("420", "first", "desk", "third")


def test_blind_transfer_between_visits(
    asterisk: Asterisk, gateway: Gateway, phones: collections.abc.Callable[..., sipp.Phone]
) -> None:
    flows.put(asterisk, "phone", phones(transfer_to="431").dial)
    assert story(asterisk, gateway, "430", 3, hold=20) == told("430", "first", "second", "third")


def test_fifty_calls_at_once(asterisk: Asterisk, gateway: Gateway) -> None:
    """Each with three visits: all go on, each visit is one activation, none is missed, each call gets its own SMS."""
    before, messages = len(labs.activations(gateway)), len(gateway.history())
    returned = len(gateway.events("call returned"))
    placed = flows.place(asterisk, "450", calls=FIFTY, rate=200, deadline=60)
    assert [call.status for call in placed.calls] == [200] * FIFTY
    seen = flows.seen(asterisk)
    assert Counter(map(tuple, seen.values())) == {("SCHEDULED:1", "SCHEDULED:1", "SKIPPED:0"): FIFTY}
    assert sum(key.startswith("went on/") for key in asterisk.database("test")) == FIFTY
    assert labs.missed(asterisk) == set()

    rows = labs.wait_activations(gateway, before + 3 * FIFTY)[before:]
    assert Counter(row["node"] for row in rows) == {"once": 2 * FIFTY, "desk": FIFTY}
    assert {row["call_id"] for row in rows} == set(seen)
    history = flows.settled(gateway, messages + 3 * FIFTY)[messages:]
    assert Counter((row["call_id"], row["node"], row["status"]) for row in history) == {
        key: 1
        for call in seen
        for key in ((call, "once", "accepted"), (call, "desk", "accepted"), (call, "once", "skipped"))
    }
    wait_for("all are back", lambda: len(gateway.events("call returned")) == returned + 3 * FIFTY)
    held = sorted(event["held_ms"] for event in gateway.events("call returned")[returned:])
    print(f"{len(held)} visits: held {held[len(held) // 2]} ms (median), {held[-1]} ms (most)")
