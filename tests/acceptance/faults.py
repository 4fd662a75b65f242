"""An Asterisk where everything is right, and what can be made wrong with it, for `agi-sms doctor` to find."""

import contextlib
from collections.abc import Callable, Iterator

from rig import asterisk as rig_asterisk
from rig import engine

DIALPLAN = """
[from-trunk]
exten => 100,1,Answer()
 same => n,Gosub(agi-sms,s,1(desk))
 same => n,Hangup()
exten => h,1,Gosub(agi-sms-event,s,1(desk))
"""
NODES = {"desk": {"recipients": "+48600100300", "content": {"text": "one"}}}
Bad = set[tuple[str, str]]  # ids and severities of findings


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

    @contextlib.contextmanager
    def variable(self, name: str, value: str, usual: str) -> Iterator[None]:
        """A global of the dialplan that is set for a while."""
        self.asterisk.cli(f"dialplan set global {name} {value}")
        try:
            yield
        finally:
            self.asterisk.cli(f"dialplan set global {name} {usual}")  # a reload does not forget it

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
    "HTTP is open to the network beside TLS": (
        file("http.conf", "bindaddr = 127.0.0.1", "bindaddr = 0.0.0.0\ntlsenable = yes"),
        {("http.conf.bindaddr", "warning")},
        "0.0.0.0, in clear",
    ),
    "watchdog that is no number": (
        lambda patient: patient.variable("AGISMS_WATCHDOG", "2s", "2"),
        {("dialplan.watchdog", "error")},
        "AGISMS_WATCHDOG is 2s",
    ),
    "node by another extension": (
        step("Gosub(agi-sms,1,1(desk))"),
        {("dialplan.misspelt", "error")},
        "from-trunk,100,3",
    ),
    "node by a context of another name": (
        step("Gosub(agi_sms,s,1(desk))"),
        {("dialplan.misspelt", "error")},
        "there is no [agi_sms]",
    ),
    "node after the hangup": (
        lambda patient: patient.dialplan(DIALPLAN.replace("agi-sms-event", "agi-sms")),
        {("dialplan.after_hangup", "warning")},
        "from-trunk,h,1",
    ),
    "node with an argument that the subroutine gives": (
        step("Gosub(agi-sms,s,1(desk,call=${X}))"),
        {("dialplan.argument", "error")},
        "call=${X} is given by the subroutine itself",
    ),
    "node with a blank": (
        step("Gosub(agi-sms,s,1( front  desk))"),
        {("dialplan.node_unknown", "error")},
        '"front  desk"',
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
        {("dialplan.subroutine", "error"), ("dialplan.node_unreached", "warning")},
        "[agi-sms] is not loaded: Asterisk hangs up on the call at from-trunk,100,2",
    ),
    "subroutine of another version": (
        file("agi-sms.conf", "MSet(AGISMS=,AGISMS_STATUS=,", "MSet(AGISMS=,", "dialplan reload"),
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
    *("HTTP is open to the network beside TLS",),
    *("module app_userevent", "module func_uri", "subroutine of another version", "subroutine is not whole"),
    *(name for name in FAULTS if "node" in name or "bare" in name or "FastAGI" in name),
}
