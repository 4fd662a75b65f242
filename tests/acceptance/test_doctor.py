"""`agi-sms doctor` on a real Asterisk: everything right, and each thing made wrong in turn."""

import contextlib
import json
import pathlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rig import ari
from rig import asterisk as rig_asterisk
from tests.acceptance.faults import DIALPLAN, FAULTS, NODES, OURS, Bad, Fault, Patient
from tests.acceptance.gateway import Gateway, wait_for

pytestmark = [pytest.mark.asterisk, pytest.mark.asterisk_versions("22", "16")]
ONLY_22 = pytest.mark.asterisk_versions("22")  # what is tested has nothing to do with Asterisk's version

AT_MOST = 20.0  # seconds; what is promised are 10, on a machine that has nothing else to do


@pytest.fixture(scope="module")
def patients(asterisk_images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Patient]]:
    """One of each version, started when it is first wanted."""
    made: dict[str, Patient] = {}
    with contextlib.ExitStack() as stack:

        def of(version: str) -> Patient:
            if version not in made:
                asterisk = rig_asterisk.Asterisk(tmp_path_factory.mktemp("patient"), version=version)
                made[version] = Patient(asterisk)
                stack.enter_context(asterisk)
                asterisk.load_dialplan(DIALPLAN)
            return made[version]

        yield of


@pytest.fixture
def patient(asterisk_version: str, patients: Callable[[str], Patient]) -> Patient:
    found = patients(asterisk_version)
    found.asterisk.database_clear("agi-sms")
    return found


@pytest.fixture
def gateway(patient: Patient, tmp_path: pathlib.Path) -> Iterator[Gateway]:
    """A configuration; nothing runs on it yet."""
    made = Gateway(tmp_path / "gateway", patient.asterisk, NODES)
    made.config.chmod(0o600)
    yield made
    made.stop()
    print(made.said()[-4000:])


def examine(gateway: Gateway, *words: str) -> tuple[list[dict[str, str]], int]:
    """The findings, and the exit code; what is said and what it says agree."""
    begun = time.monotonic()
    done = gateway.command("doctor", "--json", *words)
    assert time.monotonic() - begun < AT_MOST
    assert not done.stderr, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    assert gateway.directory.as_posix() in done.stdout
    for secret in (gateway._asterisk.ari_password, gateway._asterisk.ami_secret):
        assert secret not in done.stdout
    worst = {"ok": 0, "unknown": 0, "warning": 1, "error": 2}
    assert done.returncode == max(worst[row["severity"]] for row in found)
    return found, done.returncode


def bad(found: list[dict[str, str]], *, but: tuple[str, ...] = ("gateway.runs",)) -> Bad:
    """What is not right, beside what is known of."""
    return {(row["id"], row["severity"]) for row in found if row["severity"] != "ok" and row["id"] not in but}


def said(found: list[dict[str, str]], key: str) -> str:
    return "; ".join(row["what"] for row in found if row["id"] == key)


# --- everything is right ------------------------------------------------------------------------------------------


def test_everything_is_right(patient: Patient, gateway: Gateway) -> None:
    gateway.start()
    log = len(patient.asterisk.log())
    found, code = examine(gateway)
    assert bad(found, but=()) == set()
    assert code == 0
    told = {row["id"] for row in found}
    assert told >= {
        *("gateway.runs", "ari.reach", "ari.write", "ari.clock", "ari.application", "pbx.version", "pbx.modules"),
        *("ari.conf.channelvars", "ari.conf.websocket_write_timeout", "http.conf.bindaddr", "pjsip.trust_id_inbound"),
        *("ami.reach", "ami.system", "ami.read_user", "ami.waiting"),
        *("dialplan.visits", "dialplan.subroutine", "dialplan.node_unreached"),
        *("database.schema", "database.fsync", "database.space"),
    }
    assert "2 steps enter a node" in said(found, "dialplan.visits")
    assert patient.asterisk.version in said(found, "pbx.version")
    # and nothing was touched
    assert "ApplicationReplaced" not in gateway.said()
    assert "standing by" not in gateway.said()
    assert patient.asterisk.channels() == 0
    assert patient.asterisk.database("agi-sms") == {}
    assert "ERROR" not in patient.asterisk.log()[log:]
    assert gateway.history() == []
    screen = gateway.command("doctor")
    assert screen.returncode == 0
    assert screen.stdout.splitlines()[-1] == f"{len(found)} right"


def test_everything_but_a_gateway(gateway: Gateway) -> None:
    before = sorted(gateway.directory.iterdir())
    found, code = examine(gateway)
    assert bad(found, but=()) == {("gateway.runs", "warning")}
    assert code == 1
    assert sorted(gateway.directory.iterdir()) == before


@pytest.mark.parametrize(
    ("right", "expected"),
    [("system", {("dialplan.read", "unknown")}), ("system,reporting", set[tuple[str, str]]())],
)
def test_right_to_read_the_dialplan(patient: Patient, gateway: Gateway, right: str, expected: Bad) -> None:
    """Without it, the line is told that would give it; with the lesser one everything is right as well."""
    with patient.changed("manager.conf", "write = system,command\n", f"write = {right}\n", "manager reload"):
        found, code = examine(gateway, "--ignore", "gateway.runs")
        assert bad(found) == expected
        assert code == 0
        if expected:
            assert "write = system,command" in said(found, "dialplan.read")
            plan = gateway.directory / "plan.txt"
            plan.write_text(patient.asterisk.cli("dialplan show"))
            found, _ = examine(gateway, "--from", str(plan))
            assert bad(found) == set()


# --- one thing after the other is wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FAULTS.keys() - OURS))
def test_one_thing_is_wrong(patient: Patient, gateway: Gateway, name: str) -> None:
    wrong(patient, gateway, *FAULTS[name])


@ONLY_22
@pytest.mark.parametrize("name", sorted(OURS))
def test_one_thing_more_is_wrong(patient: Patient, gateway: Gateway, name: str) -> None:
    wrong(patient, gateway, *FAULTS[name])


def wrong(patient: Patient, gateway: Gateway, fault: Fault, expected: Bad, words: str) -> None:
    with fault(patient):
        found, _ = examine(gateway)
    assert bad(found) == expected
    assert words in "\n".join(row["what"] for row in found)
    assert all(row["mend"] for row in found if row["severity"] != "ok")


@pytest.mark.parametrize(
    ("door", "key", "expected"),
    [
        ("ari", "password", {("ari.login", "error")}),
        ("ami", "secret", {("ami.login", "error"), ("pbx.files", "unknown")}),
    ],
)
def test_wrong_password(patient: Patient, gateway: Gateway, door: str, key: str, expected: Bad) -> None:
    tree = json.loads(gateway.config.read_text())
    tree["pbx"]["main"][door][key] = "not-the-password"
    gateway.config.write_text(json.dumps(tree, indent=1))
    found, _ = examine(gateway)
    assert bad(found) == expected
    assert "not-the-password" not in json.dumps(found)


def test_modules_are_asked_over_ami_where_ari_does_not_tell(patient: Patient, gateway: Gateway) -> None:
    with patient.unloaded("res_ari_asterisk"), patient.unloaded("func_cut"):
        found, _ = examine(gateway)
    assert bad(found) == {("pbx.modules", "error")}
    assert "func_cut" in said(found, "pbx.modules")


@ONLY_22
def test_gateways_application_has_another_name(patient: Patient, gateway: Gateway) -> None:
    tree = json.loads(gateway.config.read_text())
    tree["pbx"]["main"]["ari"]["app"] = "sms"
    gateway.config.write_text(json.dumps(tree, indent=1))
    found, _ = examine(gateway)
    assert bad(found) == {("dialplan.app", "error")}


def test_agi_address(patient: Patient, gateway: Gateway) -> None:
    gateway.configure(NODES, agi={"listen": "127.0.0.1:4599"})
    text = DIALPLAN.replace("Gosub(agi-sms,s,1(desk))", "Gosub(agi-sms-agi,s,1(desk))")
    with patient.dialplan(text):
        found, _ = examine(gateway)
        assert bad(found) == {("dialplan.agi_address", "error")}
        assert "goes to 127.0.0.1:4573, and the gateway listens at 127.0.0.1:4599" in said(
            found, "dialplan.agi_address"
        )
        patient.asterisk.cli("dialplan set global AGISMS_AGI 127.0.0.1:4599")
        try:
            found, _ = examine(gateway)
            assert bad(found) == set()
            gateway.start()
            found, _ = examine(gateway)
            assert bad(found) == set()
            assert "127.0.0.1:4599" in said(found, "gateway.agi")
            assert "FastAGI connections closed" not in gateway.said()
        finally:
            patient.asterisk.cli("dialplan set global AGISMS_AGI 127.0.0.1:4573")


def without_ari(gateway: Gateway) -> None:
    """Its configuration has AMI alone."""
    tree = json.loads(gateway.config.read_text())
    del tree["pbx"]["main"]["ari"]
    gateway.config.write_text(json.dumps(tree, indent=1))


def test_agi_address_over_ami(patient: Patient, gateway: Gateway) -> None:
    """A PBX without ari tells it as well, where its user may ask."""
    gateway.configure(NODES, agi={"listen": "127.0.0.1:4599"})
    without_ari(gateway)
    with patient.dialplan(DIALPLAN.replace("Gosub(agi-sms,s,1(desk))", "Gosub(agi-sms-agi,s,1(desk))")):
        patient.asterisk.cli("dialplan set global AGISMS_AGI 127.0.0.1:4598")
        try:
            found, _ = examine(gateway)
            assert bad(found) == {("dialplan.agi_address", "error")}
            assert "agi-sms-agi goes to 127.0.0.1:4598" in said(found, "dialplan.agi_address")
        finally:
            patient.asterisk.cli("dialplan set global AGISMS_AGI 127.0.0.1:4573")


def test_pbx_without_ari(patient: Patient, gateway: Gateway) -> None:
    """What doctor says of it is what happens: the visit waits in AstDB until the gateway looks."""
    without_ari(gateway)
    found, _ = examine(gateway)
    assert bad(found) == {("dialplan.ari_off", "warning")}
    assert "from-trunk,100,2" in said(found, "dialplan.ari_off")
    gateway.start(connected=False)
    told = len(gateway.history())
    patient.asterisk.cli("channel originate Local/100@from-trunk application Wait 1")
    wait_for("the visit is in AstDB", lambda: patient.asterisk.database("agi-sms") or len(gateway.history()) > told)
    wait_for("it is taken", lambda: not patient.asterisk.database("agi-sms"), deadline=60)
    wait_for("its message is there", lambda: len(gateway.history()) > told)


@pytest.mark.parametrize("right", ["command", "reporting"])
def test_clock_and_trunks_of_a_pbx_without_ari(patient: Patient, gateway: Gateway, right: str) -> None:
    without_ari(gateway)
    known = ("gateway.runs", "dialplan.ari_off")
    with patient.changed("manager.conf", "write = system,command\n", f"write = system,{right}\n", "manager reload"):
        found, _ = examine(gateway)
        assert bad(found, but=known) == set()
        assert "agrees with ours" in said(found, "ami.clock")
        assert said(found, "pjsip.trust_id_inbound") == "trunks tell who withholds"
        hidden = ("pjsip.conf", "trust_id_inbound = yes\n\n[trunk]", "\n[trunk]", "module reload res_pjsip.so")
        with patient.changed(*hidden):
            found, _ = examine(gateway)
    assert bad(found, but=known) == {("pjsip.trust_id_inbound", "warning")}
    assert "in trunk:" in said(found, "pjsip.trust_id_inbound")


def test_trunks_that_ami_may_not_tell(patient: Patient, gateway: Gateway) -> None:
    without_ari(gateway)
    with patient.changed("manager.conf", "write = system,command\n", "write = system\n", "manager reload"):
        found, _ = examine(gateway)
    assert bad(found) == {("dialplan.read", "unknown"), ("pjsip.trust_id_inbound", "unknown")}
    assert all(row["mend"] for row in found if row["severity"] == "unknown")


@ONLY_22
def test_visit_that_will_never_be_taken(patient: Patient, gateway: Gateway) -> None:
    gateway.start()
    wait_for("it has looked", lambda: gateway.events("connected to Asterisk"))
    patient.asterisk.cli("database put agi-sms v1 dsek,visit=v1")
    patient.asterisk.cli("database put agi-sms v2 desk,7")
    found, _ = examine(gateway)
    assert bad(found) == {("ami.waiting", "warning")}
    assert "of the node dsek, which there is not" in said(found, "ami.waiting")
    assert "cannot be read, and is never taken: argument without `=`" in said(found, "ami.waiting")
    assert "next look" not in said(found, "ami.waiting")


# --- the application ----------------------------------------------------------------------------------------------


def test_another_program_has_the_application(patient: Patient, gateway: Gateway) -> None:
    with ari.App(patient.asterisk):
        found, _ = examine(gateway)
    assert bad(found) == {("ari.application", "warning")}


@ONLY_22
def test_another_program_takes_the_application(patient: Patient, gateway: Gateway) -> None:
    gateway.start()
    with ari.App(patient.asterisk):
        wait_for("the gateway stands by", lambda: "standing by" in gateway.said())
        wait_for("it says so", lambda: ("ari.application", "error") in bad(examine(gateway)[0]))
        found, _ = examine(gateway)
        assert bad(found) == {("ari.application", "error")}
        assert "another program has taken" in said(found, "ari.application")


def test_call_is_parked(patient: Patient, gateway: Gateway) -> None:
    """Held by a gateway that is gone."""
    with (
        patient.dialplan(DIALPLAN + "exten => 200,1,Answer()\n same => n,Stasis(agi-sms,desk)\n"),
        ari.App(patient.asterisk) as app,
    ):
        patient.asterisk.cli("channel originate Local/200@from-trunk application Wait 20")
        wait_for("the call is in the application", lambda: len(app.calls()) == 1)
        app.stop()
        found, _ = examine(gateway, "--ignore", "dialplan.no_watchdog")
        patient.asterisk.cli("channel request hangup all")
    patient.asterisk.wait_for_no_channels()
    assert bad(found) == {("ari.parked", "warning")}
    assert "1 call parked" in said(found, "ari.parked")


# --- visits that wait ---------------------------------------------------------------------------------------------


def waiting(patient: Patient, *, ago: int, node: str = "desk") -> None:
    with patient.asterisk.session() as session:
        value = f"{node},visit=v1,caller=,presentation=unavailable,at={int(time.time()) - ago}"
        session.action("DBPut", Family="agi-sms", Key="v1", Val=value)


def test_visits_wait_for_a_gateway(patient: Patient, gateway: Gateway) -> None:
    waiting(patient, ago=7200)
    found, _ = examine(gateway)
    assert bad(found) == {("ami.waiting", "warning")}
    assert re.search(r"1 visit waiting in AstDB, the oldest for 2h\S*: no gateway", said(found, "ami.waiting"))
    assert set(patient.asterisk.database("agi-sms")) == {"v1"}  # which is still there


@ONLY_22
def test_visit_that_the_gateway_does_not_take(patient: Patient, gateway: Gateway) -> None:
    waiting(patient, ago=7200, node="nobody")
    gateway.start()
    wait_for("it was looked at", lambda: gateway.events("a visit cannot be used and stays in AstDB"))
    found, _ = examine(gateway)
    assert bad(found) == {("ami.waiting", "warning")}
    assert "1 visit in AstDB of the node nobody, which there is not" in said(found, "ami.waiting")


# --- an Asterisk that is not there, or hangs ----------------------------------------------------------------------


@ONLY_22
def test_asterisk_is_paused_then_stopped(
    fresh_asterisk: Callable[[], rig_asterisk.Asterisk], tmp_path: pathlib.Path
) -> None:
    asterisk = fresh_asterisk()
    made = Gateway(tmp_path / "gateway", asterisk, NODES)
    made.config.chmod(0o600)
    asterisk.pause()
    found, code = examine(made)
    assert code == 2
    assert bad(found) == {("ari.reach", "error"), ("ami.reach", "error")}
    assert "no answer in time" in said(found, "ami.reach")
    asterisk.unpause()
    asterisk.stop()
    found, _ = examine(made)
    assert bad(found) == {("ari.reach", "error"), ("ami.reach", "error")}
    assert "Connection refused" in said(found, "ari.reach")


@ONLY_22
def test_gateway_whose_asterisk_stops(
    fresh_asterisk: Callable[[], rig_asterisk.Asterisk], tmp_path: pathlib.Path
) -> None:
    asterisk = fresh_asterisk()
    made = Gateway(tmp_path / "gateway", asterisk, NODES)
    made.config.chmod(0o600)
    made.start()
    try:
        asterisk.stop()
        wanted = {("gateway.door", "error"), ("ari.reach", "error"), ("ami.reach", "error")}
        wait_for("the gateway tells its doors", lambda: bad(examine(made)[0]) == wanted)
    finally:
        made.stop()


# --- providers ----------------------------------------------------------------------------------------------------


@ONLY_22
def test_provider_is_dead(patient: Patient, gateway: Gateway) -> None:
    dead: dict[str, Any] = {"type": "smpp", "host": "127.0.0.1", "port": 1, "system_id": "x", "password": "y"}
    gateway.configure(NODES, providers={"carrier": dead}, routes={"default": ["file", "carrier"]})
    found, _ = examine(gateway)
    assert bad(found) == {("provider.reach", "error")}
    assert "carrier: 127.0.0.1:1: cannot connect: Connection refused" in said(found, "provider.reach")
