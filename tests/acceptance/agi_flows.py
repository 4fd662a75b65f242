"""Call flows that reach the node by FastAGI, for a gateway on a port of the test's own."""

from typing import Any

from rig.asterisk import Asterisk
from tests.acceptance import flows
from tests.acceptance import lab as labs
from tests.acceptance.flows import DESK
from tests.acceptance.gateway import wait_for

SHOWN = "[{{ caller }}|{{ caller_name }}|{{ dialled }}|{{ ORDER | default('-') }}]"
TO_BOTH = {"recipients": DESK, "send_to_caller": True, "content": {"text": SHOWN}}
NODES: dict[str, dict[str, Any]] = {
    **labs.NODES,
    "desk": TO_BOTH,
    "bare": TO_BOTH,
    "open": {"recipients": DESK, "dialplan_recipients": True, "content": {"text": "hello"}},
}


def dialplan(port: int) -> str:
    """The call flows, for a gateway that listens on this port."""
    return f"""{flows.SEEN}
{labs.VISIT.replace("agi-sms,s,1", "agi-sms-agi,s,1")}
; What became of the AGI() itself.
[ended]
exten => s,1,Set(DB(test/ended/${{UNIQUEID}})=${{AGISTATUS}}:${{AGIEXITONHANGUP}})
 same => n,Return()

[from-trunk]
exten => 600,1,Set(__AGISMS_AGI=127.0.0.1:{port})
 same => n,Gosub(agi-sms-agi,s,1(desk,var.ORDER=${{URIENCODE(„pilne”, nr 5/7)}}))
 same => n,Gosub(ended,s,1)
 same => n,Gosub(seen,s,1)
 same => n,Answer()
 same => n,Hangup()
exten => 601,1,Set(AGIEXITONHANGUP=mine)
 same => n,Goto(600,1)
; Without the subroutine.
exten => 610,1,AGI(agi://127.0.0.1:{port}/desk?var.ORDER=${{URIENCODE(5,7 & 9)}}&delay=0)
 same => n,Gosub(ended,s,1)
 same => n,Gosub(seen,s,1)
 same => n,AGI(agi://127.0.0.1:{port}/once,var.ORDER=1)
 same => n,Gosub(seen,s,1)
 same => n,AGI(agi://127.0.0.1:{port}/once,var.ORDER=1)
 same => n,Gosub(seen,s,1)
 same => n,AGI(agi://127.0.0.1:{port}/no-such-node)
 same => n,Gosub(seen,s,1)
 same => n,AGI(agi://127.0.0.1:{port})
 same => n,Gosub(seen,s,1)
 same => n,Answer()
 same => n,Hangup()
; Both ways, one after the other; and with a name as another channel driver may hand it on: any bytes.
exten => 611,1,Set(__AGISMS_AGI=127.0.0.1:{port})
 same => n,Gosub(agi-sms-agi,s,1(desk))
 same => n,Gosub(seen,s,1)
 same => n,AGI(agi://127.0.0.1:{port}/bare)
 same => n,Gosub(seen,s,1)
 same => n,Answer()
 same => n,Hangup()
exten => 612,1,Set(CALLERID(name)=${{BASE64_DECODE(${{DB(test/name)}})}})
 same => n,Goto(611,1)
; Mistakes of whoever wrote the dialplan, and a visit that is as good as ever.
exten => 620,1,Set(__AGISMS_AGI=127.0.0.1:{port})
 same => n,Gosub(agi-sms-agi,s,1(no-such-node))
 same => n,Gosub(seen,s,1)
 same => n,Gosub(agi-sms-agi,s,1(many,colour=red))
 same => n,Gosub(seen,s,1)
 same => n,Gosub(agi-sms-agi,s,1())
 same => n,Gosub(seen,s,1)
 same => n,Gosub(agi-sms-agi,s,1(open,recipients=${{URIENCODE(600 100 302,+48600100303)}},delay=1h))
 same => n,Gosub(seen,s,1)
 same => n,Answer()
 same => n,Hangup()
; A call that reaches both kinds of node twice, and one that is measured.
exten => 640,1,Set(__AGISMS_AGI=127.0.0.1:{port})
 same => n,Gosub(visit,s,1(many))
 same => n,Gosub(visit,s,1(once))
 same => n,Gosub(visit,s,1(many))
 same => n,Gosub(visit,s,1(once))
 same => n,Answer()
 same => n,Hangup()
exten => 641,1,Set(__AGISMS_AGI=127.0.0.1:{port})
 same => n,Gosub(visit,s,1(many))
 same => n,Answer()
 same => n,Hangup()
exten => 643,1,Set(__AGISMS_AGI=127.0.0.1:{port})
 same => n,Gosub(visit,s,1(many))
 same => n,Gosub(visit,s,1(once))
 same => n,Answer()
 same => n,Hangup()
; In the node without having been answered: a hangup is a CANCEL.
exten => 642,1,Set(__AGISMS_AGI=127.0.0.1:{port})
 same => n,Gosub(agi-sms-agi,s,1(many))
 same => n,Gosub(seen,s,1)
 same => n,Wait(2)
 same => n,Hangup()
; After the hangup.
exten => 650,1,Goto(over,s,1)
exten => 651,1,Set(__AGISMS_AGI=127.0.0.1:{port})
 same => n,Set(CHANNEL(hangup_handler_push)=handler,s,1(many))
 same => n,Answer()
 same => n,Wait(0.1)
 same => n,Hangup()
[over]
exten => s,1,Set(__AGISMS_AGI=127.0.0.1:{port})
 same => n,Answer()
 same => n,Wait(0.1)
 same => n,Hangup()
exten => h,1,Gosub(agi-sms-agi,s,1(many))
 same => n,Gosub(seen,s,1)
 same => n,AGI(agi://127.0.0.1:{port}/desk?var.ORDER=h)
 same => n,Gosub(seen,s,1)
[handler]
exten => s,1,Gosub(agi-sms-agi,s,1(${{ARG1}}))
 same => n,Gosub(seen,s,1)
 same => n,Return()
"""


def listening(port: int) -> dict[str, Any]:
    """What a gateway's configuration needs for these flows."""
    return {"agi": {"listen": f"127.0.0.1:{port}"}}


def ended(asterisk: Asterisk) -> list[str]:
    """AGISTATUS:AGIEXITONHANGUP of each visit to 600 or 610."""
    return [told for key, told in asterisk.database("test").items() if key.startswith("ended/")]


def drained(asterisk: Asterisk) -> None:
    """Wait until no visit is left in AstDB."""
    wait_for("what was missed is taken", lambda: not labs.missed(asterisk), deadline=45)
