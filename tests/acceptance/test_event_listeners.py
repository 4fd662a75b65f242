"""Who hears the dialplan's events: a gateway without ARI, one that stands by, one whose user may not."""

import sys
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance import flows
from tests.acceptance import gateway as gateways
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
    only = {"main": {"ami": {**ami, "username": lab.asterisk.ami_user, "bare_events": True}}}
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


def hasty(**seconds: float) -> tuple[str, ...]:
    """A gateway that looks, asks and logs in more often than once or twice a minute."""
    paces = "; ".join(f"hearing.{name} = {value}" for name, value in seconds.items())
    more = f"ami.DRAIN_EVERY = ami.PROBE_EVERY = hearing.ON_THE_WAY = 0.5; {paces}"
    code = f"from agi_sms import cli; from agi_sms.asterisk import ami, hearing; {more}; cli.main()"
    return (sys.executable, "-c", code)


@pytest.fixture
def manager(lab: labs.Lab) -> Iterator[Callable[[str], None]]:
    """Write what our user may read into manager.conf, loaded or not; all is as before in the end."""
    shipped = (lab.asterisk.directory / "etc" / "manager.conf").read_text()

    def write(read: str) -> None:
        lab.asterisk.configure("manager.conf", shipped.replace("read = user\n", read, 1))

    yield write
    lab.asterisk.configure("manager.conf", shipped)
    lab.asterisk.cli("manager reload")


def test_user_that_may_not_read_events(lab: labs.Lab, manager: Callable[[str], None]) -> None:
    """The records are found at the next look of the gateway's own, and it says what is missing; then it is away."""
    manager("read = command\n")
    lab.asterisk.cli("manager reload")
    pbx = {"main": gateways.way_in(lab.asterisk)}
    gateway = lab.gateway(NODES, **flows.PATIENT, pbx=pbx, program=hasty(AGAIN_EVERY=60)).start()
    for number in range(1, 3):
        assert flows.place(lab.asterisk, "400").call.answered
        labs.wait_activations(gateway, number)
    said = "visits were in AstDB and no event told of them"
    wait_for("it says so", lambda: gateway.events(said))
    assert "read = user" in gateway.events(said)[0]["hint"]
    assert labs.missed(lab.asterisk) == set()
    assert len(gateway.events("by manager.conf the AMI user hears no events of the dialplan")) == 1
    wait_for("it is away", lambda: "agi-sms" not in lab.asterisk.cli("manager show connected"))


@pytest.mark.asterisk_versions("22", "16")
def test_user_that_may_read_events_from_now_on(lab: labs.Lab, manager: Callable[[str], None]) -> None:
    """Asterisk gives the new right to new logins only, and not before its reload; the gateway is not restarted."""
    manager("read = command\n")
    lab.asterisk.cli("manager reload")
    gateway = lab.gateway(NODES, **flows.PATIENT, program=hasty(AGAIN_EVERY=0.5, MOST_LOGINS=1000)).start()
    wait_for("it says so", lambda: gateway.events("by manager.conf the AMI user hears no events of the dialplan"))
    assert flows.place(lab.asterisk, "410").call.answered  # lost
    manager("read = user\n")
    given = "manager.conf gives the AMI user read = user now, logging in anew"
    wait_for("it has noticed", lambda: gateway.events(given))
    lab.asterisk.cli("manager reload")
    logins = lab.asterisk.log().count("Manager 'agi-sms' logged on")
    wait_for("it logs in", lambda: lab.asterisk.log().count("Manager 'agi-sms' logged on") > logins + 1)
    assert labs.activations(gateway) == []
    heard = lambda: flows.place(lab.asterisk, "410").call.answered and labs.activations(gateway)  # noqa: E731
    wait_for("it hears a call", heard)  # the first may come between two logins
    wait_for("it says so", lambda: gateway.events("events of the dialplan are heard now"))
    assert len(gateway.events(given)) == 1
    assert len([e for e in gateway.events("connected to Asterisk") if e["door"] == "ami"]) == 1
    assert not gateway.events("connection to Asterisk lost")
