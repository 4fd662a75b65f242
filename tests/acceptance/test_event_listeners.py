"""Who hears the dialplan's events: a gateway without ARI, one that stands by, one whose user may not."""

import sys

import pytest

from tests.acceptance import flows
from tests.acceptance import lab as labs
from tests.acceptance.flows import DESK
from tests.acceptance.gateway import wait_for

pytestmark = pytest.mark.asterisk

NODES = {"desk": {"recipients": DESK, "content": {"text": "hello"}}}

DIALPLAN = """
[from-trunk]
exten => 400,1,Gosub(agi-sms-event,s,1(desk))
 same => n,Answer()
 same => n,Hangup()
exten => 410,1,UserEvent(AgiSms,"AgiSms: desk")
 same => n,Answer()
 same => n,Hangup()
"""


def test_pbx_without_ari(lab: labs.Lab) -> None:
    """AMI alone is enough for the event way, and for what was written down before."""
    ami = {key: getattr(lab.asterisk, f"ami_{key}") for key in ("host", "port", "secret")}
    only = {"main": {"ami": {**ami, "username": lab.asterisk.ami_user}}}
    assert flows.place(lab.asterisk, "400").call.answered
    gateway = lab.gateway(NODES, **flows.PATIENT, pbx=only).start(connected=False)
    labs.wait_activations(gateway, 1)
    wait_for("it listens", lambda: gateway.events("connected to Asterisk"))
    assert flows.place(lab.asterisk, "400").call.answered
    assert flows.place(lab.asterisk, "410").call.answered
    assert {row["entry"] for row in labs.wait_activations(gateway, 3)} == {"ami"}
    assert labs.missed(lab.asterisk) == set()


def test_a_gateway_that_stands_by_takes_no_events(lab: labs.Lab) -> None:
    first = lab.gateway(NODES, **flows.PATIENT).start()
    second = lab.gateway(NODES, **flows.PATIENT).start()
    standing_by = "another connection has taken the application, standing by; one app name per gateway"
    wait_for("the first stands by", lambda: first.events(standing_by))
    assert flows.place(lab.asterisk, "410").call.answered
    assert flows.place(lab.asterisk, "400", calls=5).calls[-1].answered
    labs.wait_activations(second, 6)
    assert labs.activations(first) == []


def test_user_that_may_not_read_events(lab: labs.Lab) -> None:
    """The records are found at the next look of the gateway's own, and it says what is missing."""
    manager = (lab.asterisk.directory / "etc" / "manager.conf").read_text()
    lab.asterisk.configure("manager.conf", manager.replace("read = user", "read = command"))
    lab.asterisk.cli("manager reload")
    try:
        hasty = "ami.DRAIN_EVERY = 0.5; ami.PROBE_EVERY = 0.5"
        code = f"from agi_sms import cli; from agi_sms.asterisk import ami; {hasty}; cli.main()"
        gateway = lab.gateway(NODES, **flows.PATIENT, program=(sys.executable, "-c", code)).start()
        for number in range(1, 3):
            assert flows.place(lab.asterisk, "400").call.answered
            labs.wait_activations(gateway, number)
        said = "visits were in AstDB and no event told of them"
        wait_for("it says so", lambda: gateway.events(said))
        assert "read = user" in gateway.events(said)[0]["hint"]
        assert labs.missed(lab.asterisk) == set()
    finally:
        lab.asterisk.configure("manager.conf", manager)
        lab.asterisk.cli("manager reload")
