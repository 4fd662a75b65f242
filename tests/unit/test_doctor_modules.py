"""What doctor says of an Asterisk's modules, files and endpoints."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agi_sms import doctor
from agi_sms import doctor_facts as facts
from agi_sms.doctor_finding import Severity
from tests.unit import wellness
from tests.unit.wellness import AMI, ARI, FILES, only, world, wrong

UNKNOWN, WARNING, ERROR = Severity.UNKNOWN, Severity.WARNING, Severity.ERROR
EVENT = "[t]\nexten => h,1,Gosub(agi-sms-event,s,1(desk))\n"


def without(*names: str) -> dict[str, Any]:
    return {
        "ari": replace(ARI, modules=wellness.MODULES - set(names)),
        "ami": replace(AMI, modules=(AMI.modules or frozenset()) - set(names)),
    }


AGI_CALL = "[t]\nexten => 1,1,Gosub(agi-sms-agi,s,1(desk))\n"
BARE_STASIS = "[t]\nexten => 1,1,Stasis(agi-sms,desk)\n"


@pytest.mark.parametrize(
    ("missing", "dialplan", "told"),
    [
        ("app_stasis", wellness.CALL, True),
        ("func_db", wellness.CALL, True),
        ("res_ari_channels", wellness.CALL, True),
        ("res_agi", wellness.CALL, False),
        ("app_userevent", wellness.CALL, False),
        ("res_agi", AGI_CALL, True),
        ("app_stasis", AGI_CALL, False),
        ("app_userevent", EVENT, True),
        ("func_db", EVENT, True),
        ("func_db", BARE_STASIS, False),
        ("app_stasis", BARE_STASIS, True),
    ],
)
def test_modules_of_the_ways_that_are_used(tmp_path: Path, missing: str, dialplan: str, told: bool) -> None:
    loaded = wellness.loaded(tmp_path, agi={})
    found = wrong(doctor.findings(loaded, world(plan=wellness.plan(dialplan), **without(missing))))
    about = [one for one in found if one.id == "pbx.modules"]
    assert bool(about) is told
    for one in about:
        assert one.severity is ERROR
        assert missing in one.what
        assert f'asterisk -rx "module load {missing}.so"' in one.mend


def test_modules_where_the_dialplan_is_unknown(tmp_path: Path) -> None:
    """Those of the ways that are configured."""
    known = {"plan": None, "plan_trouble": "no right"}
    found = doctor.findings(wellness.loaded(tmp_path), world(**known, **without("app_stasis", "res_agi")))
    assert [one.what for one in wrong(found) if one.id == "pbx.modules"] == ["not loaded: app_stasis"]


def test_modules_that_ami_tells(tmp_path: Path) -> None:
    ami = replace(AMI, modules=(AMI.modules or frozenset()) - {"func_uri"})
    one = only(doctor.findings(wellness.loaded(tmp_path), world(ari=replace(ARI, modules=None), ami=ami)))
    assert (one.id, one.severity, one.what) == ("pbx.modules", ERROR, "not loaded: func_uri")


def test_modules_that_nobody_tells(tmp_path: Path) -> None:
    doors = {"ari": replace(ARI, modules=None), "ami": replace(AMI, modules=None)}
    one = only(doctor.findings(wellness.loaded(tmp_path), world(**doors)))
    assert (one.id, one.severity) == ("pbx.modules", UNKNOWN)


def files(name: str, **values: str) -> facts.Ami:
    return replace(AMI, files=FILES | {name: facts.Section(values={**(FILES[name].values or {}), **values})})


@pytest.mark.parametrize(
    ("ami", "key", "severity", "words"),
    [
        (
            files("ari.conf", channelvars="CHANNEL(linkedid)"),
            "ari.conf.channelvars",
            WARNING,
            "CALLERID(num-pres), CALLERID(dnid)",
        ),
        (files("ari.conf", channelvars=""), "ari.conf.channelvars", WARNING, "CHANNEL(linkedid)"),
        (files("ari.conf", websocket_write_timeout="100"), "ari.conf.websocket_write_timeout", WARNING, "100 ms"),
        (files("ari.conf", websocket_write_timeout=""), "ari.conf.websocket_write_timeout", WARNING, "not set"),
        (files("http.conf", bindaddr="0.0.0.0"), "http.conf.bindaddr", WARNING, "0.0.0.0"),
        (files("http.conf", bindaddr="192.0.2.7"), "http.conf.bindaddr", WARNING, "192.0.2.7"),
        (files("http.conf", bindaddr="0.0.0.0", tlsenable="yes"), "http.conf.bindaddr", WARNING, "0.0.0.0, in clear"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files(tmp_path: Path, ami: facts.Ami, key: str, severity: Severity, words: str) -> None:
    one = only(doctor.findings(wellness.loaded(tmp_path), world(ami=ami)))
    assert (one.id, one.severity) == (key, severity)
    assert words in one.what


@pytest.mark.parametrize(
    "ami",
    [
        files("ari.conf", channelvars="callerid(DNID), CALLERID(num-pres) ,channel(linkedid),CHANNEL(foo,bar)"),
        files("ari.conf", websocket_write_timeout="1000"),
        files("http.conf", bindaddr="::1"),
        files("http.conf", bindaddr="localhost"),
        files("http.conf", bindaddr=""),  # then the server is off, and ARI would not have answered
    ],
)
def test_files_that_are_right(tmp_path: Path, ami: facts.Ami) -> None:
    assert wrong(doctor.findings(wellness.loaded(tmp_path), world(ami=ami))) == []


def test_bare_stasis_needs_the_channelvars(tmp_path: Path) -> None:
    ami = files("ari.conf", channelvars="")
    found = wrong(doctor.findings(wellness.loaded(tmp_path), world(ami=ami, plan=wellness.plan(BARE_STASIS))))
    assert ("ari.conf.channelvars", ERROR) in [(one.id, one.severity) for one in found]


def test_files_that_cannot_be_told(tmp_path: Path) -> None:
    absent = facts.Section(trouble=facts.Trouble(code="absent", detail="Config file not found"))
    ami = replace(AMI, files=FILES | {"ari.conf": absent})
    one = only(doctor.findings(wellness.loaded(tmp_path), world(ami=ami)))
    assert (one.id, one.severity) == ("ari.conf.read", UNKNOWN)
    assert "Config file not found" in one.what


def test_files_without_the_right(tmp_path: Path) -> None:
    one = only(doctor.findings(wellness.loaded(tmp_path), world(ami=replace(AMI, files=None))))
    assert (one.id, one.severity) == ("pbx.files", UNKNOWN)
    assert "write = system" in one.mend


def endpoints(*trunks: str, phones: int = 0, count: int = 0) -> facts.Ari:
    looked = [facts.Endpoint(name=name, trusts=False, trunk=True) for name in trunks]
    looked += [facts.Endpoint(name=str(200 + at), trusts=False, trunk=False) for at in range(phones)]
    return replace(ARI, endpoints=facts.Endpoints(looked=tuple(looked), count=count or len(looked)))


def test_trunks_that_hide_who_withholds(tmp_path: Path) -> None:
    ari = endpoints("acme", "bell", "carrier", "delta", "echo", phones=300, count=400)
    one = only(doctor.findings(wellness.loaded(tmp_path), world(ari=ari)))
    assert (one.id, one.severity) == ("pjsip.trust_id_inbound", WARNING)
    assert "acme, bell, carrier and 2 more" in one.what
    assert "(95 endpoints not looked at)" in one.what
    assert "200" not in one.what


def test_phones_need_no_trust(tmp_path: Path) -> None:
    assert wrong(doctor.findings(wellness.loaded(tmp_path), world(ari=endpoints(phones=3)))) == []
