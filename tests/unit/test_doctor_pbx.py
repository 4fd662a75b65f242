"""What doctor says of an Asterisk, by what its ARI and AMI answer."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agi_sms import doctor
from agi_sms import doctor_facts as facts
from agi_sms.doctor_finding import Severity
from tests.unit import wellness
from tests.unit.wellness import AMI, ARI, FILES, GATEWAY, NOW, PBX, only, world, wrong

OK, UNKNOWN, WARNING, ERROR = Severity.OK, Severity.UNKNOWN, Severity.WARNING, Severity.ERROR
OFF = replace(GATEWAY, pid=None, doors=None)


def test_all_right(tmp_path: Path) -> None:
    found = doctor.findings(wellness.loaded(tmp_path), world())
    assert wrong(found) == []
    assert doctor.exit_code(found) == 0
    told = {one.id for one in found}
    assert {"ari.write", "ami.system", "pbx.modules", "dialplan.visits", "database.fsync", "gateway.runs"} <= told


# --- ARI ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "key", "mend"),
    [
        ("connect", "ari.reach", "http show status"),
        ("timeout", "ari.reach", "stuck"),
        ("dns", "ari.reach", "pbx.main.ari.url"),
        ("tls", "ari.reach", "pbx.main.ari.ca_file"),
        ("absent", "ari.reach", "enabled = yes"),
        ("401", "ari.login", "[gw] with password"),
        ("broken", "ari.reach", "Asterisk"),
    ],
)
def test_ari_does_not_answer(tmp_path: Path, code: str, key: str, mend: str) -> None:
    trouble = facts.Trouble(code=code, detail="words of the network")
    one = only(doctor.findings(wellness.loaded(tmp_path), world(ari=facts.Ari(trouble=trouble))))
    assert (one.id, one.severity, one.area, one.about) == (key, ERROR, "pbx main", "main")
    assert "http://127.0.0.1:8088" in one.what
    assert mend in one.mend


@pytest.mark.parametrize(
    ("ari", "key", "severity", "words"),
    [
        ({"version": "16.27.0"}, "pbx.version", ERROR, "older than 16.28"),
        ({"version": "certified/13.21-cert6"}, "pbx.version", ERROR, "certified/13.21"),
        ({"version": "GIT-master-abcdef"}, "pbx.version", UNKNOWN, "GIT-master"),
        ({"writes": False}, "ari.write", ERROR, "may only read"),
        ({"writes": None}, "ari.write", UNKNOWN, "does not tell"),
        ({"ahead": timedelta(seconds=-63)}, "ari.clock", WARNING, "1m3s behind"),
        ({"ahead": timedelta(seconds=2.6)}, "ari.clock", WARNING, "3s ahead"),
        ({"application": facts.Application(registered=False)}, "ari.application", ERROR, "not registered"),
        ({"application": None}, "ari.application", UNKNOWN, "does not tell"),
    ],
    ids=str,
)
def test_ari(tmp_path: Path, ari: dict[str, Any], key: str, severity: Severity, words: str) -> None:
    one = only(doctor.findings(wellness.loaded(tmp_path), world(ari=replace(ARI, **ari))))
    assert (one.id, one.severity) == (key, severity)
    assert words in one.what


@pytest.mark.parametrize(
    "version", ["16.28.0~dfsg-0+deb11u4", "18.0.0", "22.10.1+dfsg", "certified/20.7-cert3", "23.1.0-rc1"]
)
def test_version_is_new_enough(tmp_path: Path, version: str) -> None:
    assert wrong(doctor.findings(wellness.loaded(tmp_path), world(ari=replace(ARI, version=version)))) == []


def test_clock_that_was_told_slowly(tmp_path: Path) -> None:
    ari = replace(ARI, ahead=timedelta(seconds=-3), took=timedelta(seconds=3))
    assert wrong(doctor.findings(wellness.loaded(tmp_path), world(ari=ari))) == []


def test_application_is_taken_while_we_do_not_run(tmp_path: Path) -> None:
    first, second = wrong(doctor.findings(wellness.loaded(tmp_path), world(gateway=OFF)))
    assert (first.id, first.severity) == ("gateway.runs", WARNING)
    assert (second.id, second.severity) == ("ari.application", WARNING)
    assert "another program" in second.what
    assert "ari show app agi-sms" in second.mend


def test_nobody_has_the_application_while_we_do_not_run(tmp_path: Path) -> None:
    ari = replace(ARI, application=facts.Application(registered=False))
    assert only(doctor.findings(wellness.loaded(tmp_path), world(ari=ari, gateway=OFF))).id == "gateway.runs"


def test_calls_are_parked_while_we_do_not_run(tmp_path: Path) -> None:
    ari = replace(ARI, application=facts.Application(registered=True, channels=2))
    _, parked = wrong(doctor.findings(wellness.loaded(tmp_path), world(ari=ari, gateway=OFF)))
    assert (parked.id, parked.severity) == ("ari.parked", WARNING)
    assert "2 calls parked" in parked.what


def test_calls_in_the_application_are_right_while_we_run(tmp_path: Path) -> None:
    ari = replace(ARI, application=facts.Application(registered=True, channels=1))
    assert wrong(doctor.findings(wellness.loaded(tmp_path), world(ari=ari))) == []


def test_our_gateway_stands_by(tmp_path: Path) -> None:
    gateway = replace(GATEWAY, doors={"ari main": "standby", "ami main": "serving"})
    one = only(doctor.findings(wellness.loaded(tmp_path), world(gateway=gateway)))
    assert (one.id, one.severity) == ("ari.application", ERROR)
    assert "another program has taken" in one.what


def test_nobody_may_look_whether_we_run(tmp_path: Path) -> None:
    gateway = replace(OFF, told=False)
    one = only(doctor.findings(wellness.loaded(tmp_path), world(gateway=gateway)))
    assert (one.id, one.severity) == ("gateway.runs", UNKNOWN)


def test_ari_in_clear_over_a_network(tmp_path: Path) -> None:
    far = PBX | {"ari": PBX["ari"] | {"url": "http://192.0.2.7:8088"}}
    one = only(doctor.findings(wellness.loaded(tmp_path, pbx={"main": far}), world()))
    assert (one.id, one.severity) == ("ari.tls", WARNING)


@pytest.mark.parametrize("url", ["https://192.0.2.7:8089", "http://localhost:8088", "http://[::1]:8088"])
def test_ari_with_tls_or_on_this_machine(tmp_path: Path, url: str) -> None:
    near = PBX | {"ari": PBX["ari"] | {"url": url}}
    assert wrong(doctor.findings(wellness.loaded(tmp_path, pbx={"main": near}), world())) == []


# --- AMI ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "key", "mend"),
    [
        ("denied", "ami.login", "[gw] with secret = what pbx.main.ami.secret is"),
        ("timeout", "ami.reach", "stuck"),
        ("connect", "ami.reach", "bindaddr"),
        ("tls", "ami.reach", "pbx.main.ami.ca_file"),
    ],
)
def test_ami_does_not_let_us_in(tmp_path: Path, code: str, key: str, mend: str) -> None:
    ami = facts.Ami(trouble=facts.Trouble(code=code, detail="words"))
    found = wrong(doctor.findings(wellness.loaded(tmp_path), world(ami=ami)))
    assert [(one.id, one.severity) for one in found] == [(key, ERROR), ("pbx.files", UNKNOWN)]
    assert "127.0.0.1:5038" in found[0].what
    assert mend in found[0].mend


def test_without_doors_that_is_all_there_is_to_tell(tmp_path: Path) -> None:
    gone = facts.Trouble(code="connect", detail="cannot connect: Connection refused")
    pbx = {"ari": facts.Ari(trouble=gone), "ami": facts.Ami(trouble=gone), "plan": None, "plan_trouble": "refused"}
    found = wrong(doctor.findings(wellness.loaded(tmp_path), world(**pbx)))
    assert [one.id for one in found] == ["ari.reach", "ami.reach"]


def test_ami_user_may_not_collect_visits(tmp_path: Path) -> None:
    ami = replace(AMI, actions=frozenset({"DBGetTree", "Command"}))
    one = only(doctor.findings(wellness.loaded(tmp_path), world(ami=ami)))
    assert (one.id, one.severity) == ("ami.system", ERROR)
    assert "may not ask for DBDel" in one.what
    assert "[gw] write = system" in one.mend


def test_ami_in_clear_over_a_network(tmp_path: Path) -> None:
    far = PBX | {"ami": PBX["ami"] | {"host": "192.0.2.7"}}
    assert only(doctor.findings(wellness.loaded(tmp_path, pbx={"main": far}), world())).id == "ami.tls"


EVENT = "[t]\nexten => h,1,Gosub(agi-sms-event,s,1(desk))\n"
BARE_EVENT = '[t]\nexten => h,1,UserEvent(AgiSms,"AgiSms: desk")\n'


def unread(**manager: Any) -> facts.Ami:
    return replace(AMI, files=FILES | {"manager.conf": facts.Section(**manager)})


@pytest.mark.parametrize(
    ("dialplan", "ami", "expected"),
    [
        (EVENT, unread(values={"read": "all"}), []),
        (EVENT, unread(values={"read": "call,user"}), []),
        (EVENT, unread(values={"read": "call, user"}), [("ami.read_user", WARNING)]),
        (EVENT, unread(values={"read": "call,USER"}), [("ami.read_user", WARNING)]),
        (EVENT, unread(values={"read": "call"}), [("ami.read_user", WARNING)]),
        (EVENT, unread(values={}), [("ami.read_user", WARNING)]),
        (EVENT, unread(trouble=facts.Trouble(code="absent", detail="no section")), [("ami.read_user", UNKNOWN)]),
        (BARE_EVENT, unread(values={}), [("ami.read_user", ERROR), ("dialplan.unrecorded", WARNING)]),
        (wellness.CALL, unread(values={}), []),  # nobody uses events
    ],
)
def test_ami_user_hears_events(
    tmp_path: Path, dialplan: str, ami: facts.Ami, expected: list[tuple[str, Severity]]
) -> None:
    found = doctor.findings(wellness.loaded(tmp_path), world(ami=ami, plan=wellness.plan(dialplan)))
    assert [(one.id, one.severity) for one in wrong(found)] == expected


@pytest.mark.parametrize(
    ("waiting", "gateway", "expected"),
    [
        (
            facts.Waiting(count=3, oldest=NOW - timedelta(hours=2)),
            GATEWAY,
            "3 visits waiting in AstDB, the oldest for 2h",
        ),
        (facts.Waiting(count=1, oldest=NOW - timedelta(seconds=5)), GATEWAY, None),  # the next look takes it
        (facts.Waiting(count=1), GATEWAY, "1 visit waiting in AstDB: the gateway does not take them"),
        (facts.Waiting(count=9, oldest=NOW, more=True), OFF, "more than 9 visits waiting in AstDB, the oldest for 1s"),
        (
            facts.Waiting(count=1, oldest=NOW),
            replace(GATEWAY, doors={"ari main": "serving", "ami main": "refused"}),
            "the gateway's connection to AMI is refused",
        ),
        (
            facts.Waiting(count=2, oldest=NOW, nodes={"dsek": 2}),
            GATEWAY,
            "2 visits in AstDB of the node dsek, which there is not: never taken as long as that is so",
        ),
        (
            facts.Waiting(count=2, oldest=NOW, nodes={"desk": 1}, unreadable=1, why="argument without `=`: '7'"),
            GATEWAY,
            "1 visit in AstDB cannot be read, and is never taken: argument without `=`: '7'",
        ),
        (facts.Waiting(count=2, oldest=NOW, nodes={"desk": 2}), GATEWAY, None),
    ],
)
def test_visits_that_wait(tmp_path: Path, waiting: facts.Waiting, gateway: facts.Gateway, expected: str | None) -> None:
    found = doctor.findings(wellness.loaded(tmp_path), world(ami=replace(AMI, waiting=waiting), gateway=gateway))
    told = [one for one in wrong(found) if one.id == "ami.waiting"]
    assert [one.severity for one in told] == ([WARNING] if expected else [])
    assert all(expected is not None and expected in one.what for one in told)


def test_visits_that_are_and_are_not_taken(tmp_path: Path) -> None:
    """Only of those is it said that they are about to be taken which will be."""
    waiting = facts.Waiting(count=3, oldest=NOW, nodes={"desk": 1, "dsek": 2})
    found = doctor.findings(wellness.loaded(tmp_path), world(ami=replace(AMI, waiting=waiting)))
    said = {one.severity: one.what for one in found if one.id == "ami.waiting"}
    assert said == {
        WARNING: "2 visits in AstDB of the node dsek, which there is not: never taken as long as that is so",
        Severity.OK: "1 visit in AstDB for the gateway's next look",
    }
    nobody = replace(waiting, nodes={"dsek": 3})
    found = doctor.findings(wellness.loaded(tmp_path), world(ami=replace(AMI, waiting=nobody)))
    assert "next look" not in " ".join(one.what for one in found)


def test_visits_of_a_gateway_that_stands_by(tmp_path: Path) -> None:
    doors = {"ari main": "standby", "ami main": "serving"}
    waiting = replace(AMI, waiting=facts.Waiting(count=1, oldest=NOW, nodes={"desk": 1}))
    found = doctor.findings(wellness.loaded(tmp_path), world(ami=waiting, gateway=replace(GATEWAY, doors=doors)))
    (one,) = [one for one in found if one.id == "ami.waiting"]
    assert (one.severity, "this one stands by" in one.what) == (Severity.UNKNOWN, True)


@pytest.mark.parametrize(
    ("provider", "ids"),
    [
        ({"type": "sip", "pbx": "main", "to": "pjsip:x/sip:{{ to }}@sms.example", "over": "ami"}, ["ami.send"]),
        ({"type": "sip", "pbx": "main", "to": "pjsip:x/sip:{{ to }}@sms.example"}, ["pbx.modules"]),
        ({"type": "modem", "pbx": "main", "driver": "quectel", "device": "quectel0"}, ["ami.send"]),
    ],
    ids=str,
)
def test_what_providers_need_that_send_through_asterisk(
    tmp_path: Path, provider: dict[str, str], ids: list[str]
) -> None:
    providers = {"company": wellness.COMPANY, "other": provider}
    loaded = wellness.loaded(tmp_path, providers=providers, routes={"default": ["company", "other"]})
    found = wrong(doctor.findings(loaded, world()))
    assert [(one.id, one.severity) for one in found] == [(one, ERROR) for one in ids]


def test_they_have_it(tmp_path: Path) -> None:
    providers = {
        "a": {"type": "sip", "pbx": "main", "to": "pjsip:x/sip:{{ to }}@sms.example", "over": "ami"},
        "b": {"type": "sip", "pbx": "main", "to": "pjsip:x/sip:{{ to }}@sms.example"},
        "c": {"type": "modem", "pbx": "main", "driver": "dongle", "device": "dongle0"},
    }
    loaded = wellness.loaded(tmp_path, providers=providers, routes={"default": ["a", "b", "c"]})
    ari = replace(ARI, modules=wellness.MODULES | {"res_pjsip_messaging", "res_ari_endpoints"})
    actions = (AMI.actions or frozenset()) | {"MessageSend", "DongleSendSMS"}
    found = doctor.findings(loaded, world(ari=ari, ami=replace(AMI, actions=actions), providers={}))
    assert wrong(found) == []


# --- less than both doors -----------------------------------------------------------------------------------------


def test_pbx_with_ami_alone(tmp_path: Path) -> None:
    loaded = wellness.loaded(tmp_path, pbx={"main": {"ami": PBX["ami"]}})
    plan = wellness.plan(EVENT)
    assert wrong(doctor.findings(loaded, world(ari=None, plan=plan))) == []
    old = world(ari=None, plan=plan, ami=replace(AMI, version="13.1.0"))
    assert only(doctor.findings(loaded, old)).id == "pbx.version"


def test_pbx_with_addresses_alone(tmp_path: Path) -> None:
    loaded = wellness.loaded(tmp_path, agi={}, pbx={"main": {"addresses": ["192.0.2.7"]}})
    found = doctor.findings(loaded, world(ari=None, ami=None, plan=None, plan_trouble="no ami"))
    assert ("pbx.asked", UNKNOWN) in [(one.id, one.severity) for one in wrong(found)]


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [(timedelta(0), []), (timedelta(seconds=-70), [("ami.clock", WARNING)]), (None, [("ami.clock", UNKNOWN)])],
)
def test_clock_of_a_pbx_with_ami_alone(
    tmp_path: Path, ahead: timedelta | None, expected: list[tuple[str, Severity]]
) -> None:
    loaded = wellness.loaded(tmp_path, pbx={"main": {"ami": PBX["ami"]}})
    ami = replace(AMI, ahead=ahead, took=timedelta(milliseconds=2))
    found = wrong(doctor.findings(loaded, world(ari=None, ami=ami, plan=wellness.plan(EVENT))))
    assert [(one.id, one.severity) for one in found] == expected


def test_clock_that_ari_does_not_tell(tmp_path: Path) -> None:
    """Where AMI does, that counts; else nobody can say."""
    ari = replace(ARI, ahead=None)
    assert wrong(doctor.findings(wellness.loaded(tmp_path), world(ari=ari))) == []
    one = only(doctor.findings(wellness.loaded(tmp_path), world(ari=ari, ami=replace(AMI, ahead=None))))
    assert (one.id, one.severity) == ("ari.clock", UNKNOWN)


TRUNKS = facts.Endpoints(looked=(facts.Endpoint(name="acme", trusts=False, trunk=True),), count=2)
LISTS = (AMI.actions or frozenset()) | {"PJSIPShowEndpoints"}


@pytest.mark.parametrize(
    ("ami", "expected"),
    [
        ({"endpoints": TRUNKS}, WARNING),
        ({"endpoints": facts.Endpoints(looked=(), count=0)}, None),
        ({"endpoints": facts.Endpoints(looked=(), count=3), "actions": LISTS}, UNKNOWN),
        ({"actions": LISTS}, UNKNOWN),
        ({}, None),  # no PJSIP
    ],
)
def test_trunks_of_a_pbx_with_ami_alone(tmp_path: Path, ami: dict[str, Any], expected: Severity | None) -> None:
    loaded = wellness.loaded(tmp_path, pbx={"main": {"ami": PBX["ami"]}})
    found = wrong(doctor.findings(loaded, world(ari=None, ami=replace(AMI, **ami), plan=wellness.plan(EVENT))))
    assert [(one.id, one.severity) for one in found] == ([("pjsip.trust_id_inbound", expected)] if expected else [])
    assert all("acme" in one.what for one in found if one.severity is WARNING)


@pytest.mark.parametrize(("modules", "told"), [(wellness.MODULES, False), (wellness.MODULES | {"chan_pjsip"}, True)])
def test_trunks_that_ari_does_not_tell(tmp_path: Path, modules: frozenset[str], told: bool) -> None:
    ari = replace(ARI, endpoints=None, modules=modules)
    found = wrong(doctor.findings(wellness.loaded(tmp_path), world(ari=ari)))
    assert [(one.id, one.severity) for one in found] == [("pjsip.trust_id_inbound", UNKNOWN)] * told
