"""One call that reaches the node three times: one SMS each with once_per_call, three without."""

from collections import Counter

import pytest

from rig import sipp
from tests.acceptance import flows
from tests.acceptance import lab as labs
from tests.acceptance.flows import CALLER, DEPUTY, DESK
from tests.acceptance.gateway import Gateway, wait_for

pytestmark = [pytest.mark.asterisk, pytest.mark.asterisk_versions("22", "16")]

TO_DESK_AND_CALLER = {"recipients": DESK, "send_to_caller": True, "content": {"text": "hello"}}
NODES = {
    "once": {**TO_DESK_AND_CALLER, "once_per_call": True},
    "each": TO_DESK_AND_CALLER,
    "also-once": {"recipients": DESK, "once_per_call": True, "content": {"text": "from another node"}},
    "open": {"dialplan_recipients": True, "once_per_call": True, "content": {"text": "hello"}},
}
VISITS = 3

DIALPLAN = f"""{flows.SEEN}
; Both kinds of node, one after the other.
[both]
exten => s,1,Gosub(agi-sms,s,1(once))
 same => n,Gosub(seen,s,1)
 same => n,Gosub(agi-sms,s,1(each))
 same => n,Gosub(seen,s,1)
 same => n,Return()
[from-trunk]
; A menu that begins again: the same place in the dialplan each time.
exten => 200,1,Set(round=0)
 same => n(again),Gosub(both,s,1)
 same => n,Set(round=$[${{round}} + 1])
 same => n,GotoIf($[${{round}} < {VISITS}]?again)
 same => n,Answer()
 same => n,Hangup()
; A long call: the test says when it reaches the node again.
exten => 201,1,Answer()
 same => n,Set(round=1)
 same => n(again),Gosub(both,s,1)
 same => n,While($[0${{DB(test/go)}} < ${{round}}])
 same => n,Wait(0.1)
 same => n,EndWhile()
 same => n,Set(round=$[${{round}} + 1])
 same => n,GotoIf($[${{round}} <= {VISITS}]?again)
 same => n,Hangup()
; Over Local channels, one of them through another.
exten => 202,1,Gosub(both,s,1)
 same => n,Dial(Local/outer@inside,10,g)
 same => n,Answer()
 same => n,Hangup()
; A phone hands the caller on.
exten => 203,1,Gosub(both,s,1)
 same => n,Dial(${{DB(test/phone)}},10)
 same => n,Hangup()
exten => 204,1,Gosub(both,s,1)
 same => n,Gosub(both,s,1)
 same => n,Hangup()
; One call, several nodes and several recipients.
exten => 205,1,Gosub(agi-sms,s,1(once))
 same => n,Gosub(agi-sms,s,1(also-once))
 same => n,Gosub(agi-sms,s,1(open,recipients={DESK}))
 same => n,Gosub(agi-sms,s,1(open,recipients=${{URIENCODE({DEPUTY},{DESK})}}))
 same => n,Answer()
 same => n,Hangup()
; Without the subroutine.
exten => 206,1,Stasis(agi-sms,once)
 same => n,Stasis(agi-sms,once)
 same => n,Stasis(agi-sms,each)
 same => n,Stasis(agi-sms,each)
 same => n,Stasis(agi-sms,once)
 same => n,Stasis(agi-sms,each)
 same => n,Answer()
 same => n,Hangup()
[inside]
exten => outer,1,Gosub(both,s,1)
 same => n,Dial(Local/inner@inside/n,10,g)
 same => n,Hangup()
exten => inner,1,Gosub(both,s,1)
 same => n,Hangup()
"""


def balanced(lab: labs.Lab, gateway: Gateway, calls: int) -> None:
    """Of so many calls with three visits to each node, a recipient got one SMS from one and three from the other."""
    rows = flows.settled(gateway, calls * 4 * VISITS)
    assert Counter((row["node"], row["recipient"], row["status"], row["reason"]) for row in rows) == {
        ("each", DESK, "accepted", None): calls * VISITS,
        ("each", CALLER, "accepted", None): calls * VISITS,
        ("once", DESK, "accepted", None): calls,
        ("once", CALLER, "accepted", None): calls,
        ("once", DESK, "skipped", "duplicate_in_call"): calls * (VISITS - 1),
        ("once", CALLER, "skipped", "duplicate_in_call"): calls * (VISITS - 1),
    }
    accepted = Counter(row["id"] for row in rows if row["status"] == "accepted")
    assert Counter(line["ref"] for line in gateway.sent()) == accepted
    assert len({row["call_id"] for row in rows}) == calls
    assert len(labs.activations(gateway)) == calls * 2 * VISITS
    assert labs.missed(lab.asterisk) == set()


def test_three_visits_of_one_call(lab: labs.Lab) -> None:
    """And the same caller's next call is a call of its own."""
    gateway = lab.gateway(NODES, **flows.PATIENT).start()
    placed = flows.place(lab.asterisk, "200", calls=2, rate=2)
    assert [call.answered for call in placed.calls] == [True, True]
    balanced(lab, gateway, 2)
    first = ["SCHEDULED:2", "SCHEDULED:2"]
    assert list(flows.seen(lab.asterisk).values()) == [first + ["SKIPPED:0", "SCHEDULED:2"] * (VISITS - 1)] * 2


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_gateway_restarted_between_the_visits(lab: labs.Lab, how: str) -> None:
    gateway = lab.gateway(NODES, **flows.PATIENT).start()
    calls = sipp.place_async(lab.asterisk, "201", hold=60, deadline=60)
    for visit in range(1, VISITS + 1):
        wait_for("the visits are over", lambda n=visit: sum(map(len, flows.seen(lab.asterisk).values())) == 2 * n)  # type: ignore[misc]
        if visit < VISITS:
            if how == "killed":
                flows.settled(gateway, 4 * visit)  # what dies with a send under way is another test's matter
                gateway.kill()
            else:
                assert gateway.stop() == 0
            gateway.start()
        flows.put(lab.asterisk, "go", str(visit))
    assert calls.wait().call.answered
    balanced(lab, gateway, 1)


def test_visits_over_local_channels(lab: labs.Lab) -> None:
    """Three channels of one call; each visits both nodes, and is told so by its own."""
    gateway = lab.gateway(NODES, **flows.PATIENT).start()
    assert flows.place(lab.asterisk, "202").call.answered
    balanced(lab, gateway, 1)
    visits = Counter(tuple(told) for told in flows.seen(lab.asterisk).values())
    assert visits == {("SCHEDULED:2", "SCHEDULED:2"): 1, ("SKIPPED:0", "SCHEDULED:2"): 2}


def test_visits_before_and_after_a_blind_transfer(lab: labs.Lab) -> None:
    gateway = lab.gateway(NODES, **flows.PATIENT).start()
    with sipp.Phone(transfer_to="204") as phone:
        flows.put(lab.asterisk, "phone", phone.dial)
        placed = flows.place(lab.asterisk, "203", hold=20).call
    assert placed.answered
    balanced(lab, gateway, 1)


def test_one_is_per_node_and_recipient(lab: labs.Lab) -> None:
    gateway = lab.gateway(NODES, **flows.PATIENT).start()
    assert flows.place(lab.asterisk, "205").call.answered
    rows = flows.settled(gateway, 6)
    assert [(row["node"], row["recipient"], row["status"]) for row in rows] == [
        ("once", DESK, "accepted"),
        ("once", CALLER, "accepted"),
        ("also-once", DESK, "accepted"),
        ("open", DESK, "accepted"),
        ("open", DEPUTY, "accepted"),
        ("open", DESK, "skipped"),
    ]
    assert len(gateway.sent()) == 5


def test_bare_stasis(lab: labs.Lab) -> None:
    gateway = lab.gateway(NODES, **flows.PATIENT).start()
    assert flows.place(lab.asterisk, "206").call.answered
    balanced(lab, gateway, 1)
