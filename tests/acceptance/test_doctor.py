"""`agi-sms doctor` on a real Asterisk: everything right, and each thing made wrong in turn."""

import contextlib
import json
import pathlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rig import ari, engine
from rig import asterisk as rig_asterisk
from tests.acceptance.gateway import Gateway, wait_for

pytestmark = [pytest.mark.asterisk, pytest.mark.asterisk_versions("22", "16")]
ONLY_22 = pytest.mark.asterisk_versions("22")  # what is tested has nothing to do with Asterisk's version

DIALPLAN = """
[from-trunk]
exten => 100,1,Answer()
 same => n,Gosub(agi-sms,s,1(desk))
 same => n,Hangup()
exten => h,1,Gosub(agi-sms-event,s,1(desk))
"""
NODES = {"desk": {"recipients": "+48600100300", "content": {"text": "one"}}}
AT_MOST = 20.0  # seconds; what is promised are 10, on a machine that has nothing else to do
Bad = set[tuple[str, str]]


class Patient:
    """An Asterisk where everything is right, and doctor's command on it."""

    def __init__(self, asterisk: rig_asterisk.Asterisk) -> None:
        self.asterisk = asterisk
        self.etc = asterisk.directory / "etc"
        self.change("pjsip.conf", "send_diversion = yes", "send_diversion = yes\ntrust_id_inbound = yes", times=3)
        self.change("manager.conf", "write = system\n", "write = system,command\n")

    def change(self, name: str, old: str, new: str, *, times: int = 1) -> str:
        """Change a file that is not loaded by that; returns what was there."""
        before = (self.etc / name).read_text()
        assert before.count(old) == times, (name, old, before)
        self.asterisk.configure(name, before.replace(old, new))
        return before

    @contextlib.contextmanager
    def changed(self, name: str, old: str, new: str, *reloads: str) -> Iterator[None]:
        """A file that is different for a while, loaded by these commands."""
        before = self.change(name, old, new)
        try:
            for reload in reloads:
                self.asterisk.cli(reload)
            yield
        finally:
            self.asterisk.configure(name, before)
            for reload in reloads:
                self.asterisk.cli(reload)

    @contextlib.contextmanager
    def unloaded(self, module: str) -> Iterator[None]:
        """A module that is not there for a while."""
        self._module(module, "unload")
        try:
            yield
        finally:
            self._module(module, "load")

    def _module(self, module: str, verb: str) -> None:
        """On Asterisk's own command line: over AMI it is refused."""
        command = f"module {verb} {module}.so"
        printed = engine.docker(
            "exec", self.asterisk.container, "asterisk", "-C", "/rig/etc/asterisk.conf", "-rx", command
        )
        assert "nable to" not in printed, printed

    @contextlib.contextmanager
    def dialplan(self, text: str) -> Iterator[None]:
        """Another dialplan for a while."""
        self.asterisk.load_dialplan(text)
        try:
            yield
        finally:
            self.asterisk.load_dialplan(DIALPLAN)


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

Fault = Callable[[Patient], contextlib.AbstractContextManager[None]]
RES_ARI, MANAGER = "module reload res_ari.so", "manager reload"
HERE = "exten => 100,1,Answer()\n same => n,Gosub(agi-sms,s,1(desk))"


def file(name: str, old: str, new: str, *reloads: str) -> Fault:
    return lambda patient: patient.changed(name, old, new, *reloads)


def step(*steps: str) -> Fault:
    lines = "\n".join(f" same => n,{one}" for one in steps)
    return lambda patient: patient.dialplan(DIALPLAN.replace(HERE, f"{HERE}\n{lines}"))


FAULTS: dict[str, tuple[Fault, Bad, str]] = {
    "read-only user": (
        file("ari.conf", "read_only = no", "read_only = yes", RES_ARI),
        {("ari.write", "error")},
        "may only read",
    ),
    "no ARI": (
        file("ari.conf", "enabled = yes", "enabled = no", RES_ARI),
        {("ari.reach", "error")},
        "not as ARI does",
    ),
    "no channelvars": (
        file("ari.conf", "channelvars = CHANNEL(linkedid),CALLERID(num-pres),CALLERID(dnid)", ""),
        {("ari.conf.channelvars", "warning")},
        "CALLERID(num-pres)",
    ),
    "one channelvar is missing": (
        file("ari.conf", "CHANNEL(linkedid),CALLERID(num-pres),CALLERID(dnid)", "CHANNEL(linkedid),CALLERID(dnid)"),
        {("ari.conf.channelvars", "warning")},
        "no channelvars CALLERID(num-pres)",
    ),
    "write timeout is the default": (
        file("ari.conf", "websocket_write_timeout = 5000\n", ""),
        {("ari.conf.websocket_write_timeout", "warning")},
        "not set (100 ms)",
    ),
    "HTTP is open to the network": (
        file("http.conf", "bindaddr = 127.0.0.1", "bindaddr = 0.0.0.0"),
        {("http.conf.bindaddr", "warning")},
        "0.0.0.0",
    ),
    "AMI user without system": (
        file("manager.conf", "write = system,command\n", "write = reporting\n", MANAGER),
        {("ami.system", "error"), ("pbx.files", "unknown"), ("ami.read_user", "unknown")},
        "may not ask for DBDel",
    ),
    "AMI user hears nothing": (
        file("manager.conf", "read = user\n", "", MANAGER),
        {("ami.read_user", "warning")},
        "hears no UserEvent",
    ),
    "module app_stasis": (
        lambda patient: patient.unloaded("app_stasis"),
        {("pbx.modules", "error")},
        "not loaded: app_stasis",
    ),
    "module app_userevent": (
        lambda patient: patient.unloaded("app_userevent"),
        {("pbx.modules", "error")},
        "not loaded: app_userevent",
    ),
    "module func_uri": (
        lambda patient: patient.unloaded("func_uri"),
        {("pbx.modules", "error")},
        "not loaded: func_uri",
    ),
    "trunk that hides who withholds": (
        file("pjsip.conf", "trust_id_inbound = yes\n\n[trunk]", "\n[trunk]", "module reload res_pjsip.so"),
        {("pjsip.trust_id_inbound", "warning")},
        "in trunk:",
    ),
    "node that there is not": (
        step("Gosub(agi-sms,s,1(dsek))"),
        {("dialplan.node_unknown", "error")},
        "there is no node dsek, which is entered at from-trunk,100,3 (extensions_test.conf:5)",
    ),
    "node that only the call knows": (
        step("Gosub(agi-sms,s,1(${NODE}))"),
        {("dialplan.node_computed", "unknown")},
        "${NODE} at from-trunk,100,3 (extensions_test.conf:5)",
    ),
    "node in U()": (
        step("Dial(PJSIP/phone/sip:a@127.0.0.1,1,U(agi-sms^desk))"),
        {("dialplan.callee_leg", "warning")},
        "from-trunk,100,3",
    ),
    "node in b()": (
        step("Dial(PJSIP/phone/sip:a@127.0.0.1,1,b(agi-sms^s^1(desk)))"),
        {("dialplan.leg_down", "error")},
        "from-trunk,100,3",
    ),
    "bare Stasis()": (
        step("Stasis(agi-sms,desk)"),
        {("dialplan.no_watchdog", "warning")},
        "a bare Stasis() has no watchdog",
    ),
    "bare UserEvent()": (
        step('UserEvent(AgiSms,"AgiSms: desk")'),
        {("dialplan.unrecorded", "warning")},
        "a bare UserEvent() is lost",
    ),
    "FastAGI is not configured": (
        step("Gosub(agi-sms-agi,s,1(desk))"),
        {("dialplan.agi_off", "error")},
        "the gateway does not listen for it",
    ),
    "no step enters a node": (
        lambda patient: patient.dialplan("[from-trunk]\nexten => 100,1,Hangup()\n"),
        {("dialplan.visits", "warning")},
        "no step enters a node",
    ),
    "subroutine is not loaded": (
        file("extensions.conf", "#include agi-sms.conf\n", "", "dialplan reload"),
        {("dialplan.subroutine", "error")},
        "[agi-sms] is not loaded: Asterisk hangs up on the call at from-trunk,100,2",
    ),
    "subroutine of another version": (
        file("agi-sms.conf", "MSet(AGISMS=,AGISMS_STATUS=,AGISMS_COUNT=)", "MSet(AGISMS=)", "dialplan reload"),
        {("dialplan.shipped", "warning")},
        "[agi-sms] is not the one of this version: s differs",
    ),
    "subroutine is not whole": (
        file("agi-sms.conf", "exten => T,1,", "exten => TT,1,", "dialplan reload"),
        {("dialplan.subroutine", "error")},
        "[agi-sms] has no extension T",
    ),
}


OURS = {  # what we judge, and not how this Asterisk or that one tells it
    *("one channelvar is missing", "write timeout is the default", "HTTP is open to the network"),
    *("module app_userevent", "module func_uri", "subroutine of another version", "subroutine is not whole"),
    *(name for name in FAULTS if "node" in name or "bare" in name or "FastAGI" in name),
}


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
    assert all(row["mend"] for row in found if row["severity"] in ("warning", "error"))


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
        finally:
            patient.asterisk.cli("dialplan set global AGISMS_AGI 127.0.0.1:4573")


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
    assert "the gateway does not take them" in said(found, "ami.waiting")


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
