"""What doctor says of this side: configuration, gateway, providers, database, receipts; and its exit code."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agi_sms import config, doctor
from agi_sms import doctor_facts as facts
from agi_sms.doctor_finding import Finding, Severity
from tests.unit import wellness
from tests.unit.wellness import COMPANY, DATABASE, GATEWAY, NODE, NOW, only, world, wrong

UNKNOWN, WARNING, ERROR = Severity.UNKNOWN, Severity.WARNING, Severity.ERROR
OFF = replace(GATEWAY, pid=None, doors=None)
RECEIPTS = {"listen": "127.0.0.1:8090", "public_url": "https://sms.example"}
REPORTING = COMPANY | {
    "secret": {"receipt_token": "0123456789abcdef"},
    "receipts": {
        "from": "json",
        "id": "$.id",
        "state": "$.state",
        "states": {"ok": "delivered"},
        "verify": {"scheme": "token", "secret": "receipt_token"},
    },
    "answer": {"id": "$.id"},
}


def ids(found: list[Finding]) -> list[tuple[str, Severity]]:
    return [(one.id, one.severity) for one in found]


@pytest.mark.parametrize(
    ("severities", "code"),
    [([], 0), (["ok"], 0), (["unknown"], 0), (["ok", "warning"], 1), (["warning", "error", "ok"], 2)],
)
def test_exit_code(severities: list[str], code: int) -> None:
    found = [Finding(id="x", severity=Severity(one), area="x", what="x") for one in severities]
    assert doctor.exit_code(found) == code


def test_what_is_known_of_can_be_ignored(tmp_path: Path) -> None:
    loaded = wellness.loaded(tmp_path)
    ari = replace(wellness.ARI, application=facts.Application(registered=False))
    assert only(doctor.findings(loaded, world(gateway=OFF, ari=ari))).id == "gateway.runs"
    assert wrong(doctor.findings(loaded, world(gateway=OFF, ari=ari), ignored={"gateway.runs"})) == []


# --- configuration and gateway ------------------------------------------------------------------------------------


def test_configuration_that_cannot_be_read() -> None:
    told = facts.Configuration(path=Path("x.yaml"), mistakes=("x.yaml: there is no such file",))
    (one,) = doctor.findings(None, facts.Facts(now=NOW, configuration=told))
    assert (one.id, one.severity, one.what) == ("configuration.mistake", ERROR, "x.yaml: there is no such file")
    assert one.mend == "change what it names, then agi-sms check"


def test_rest_of_a_configuration_with_mistakes(tmp_path: Path) -> None:
    """What stands of it is asked all the same."""
    path = wellness.written(tmp_path, nodes={"desk": wellness.NODE, "night": wellness.NODE | {"delay": "soon"}})
    found, mistakes = config.examined(path, {})
    assert found is not None
    assert len(mistakes) == 1
    told = facts.Configuration(path=path, mistakes=mistakes, warnings=found.warnings)
    assert ids(wrong(doctor.findings(found, world(configuration=told))))[0] == ("configuration.mistake", ERROR)
    assert "ari.reach" in {one.id for one in doctor.findings(found, world(configuration=told))}


def test_warnings_of_the_configuration(tmp_path: Path) -> None:
    told = facts.Configuration(path=Path("x.yaml"), warnings=("x.yaml:3: providers.b: no route uses it",))
    one = only(doctor.findings(wellness.loaded(tmp_path), world(configuration=told)))
    assert (one.id, one.severity) == ("configuration.warning", WARNING)
    assert one.mend == "change line 3 of x.yaml if it is not meant so, then agi-sms check"


@pytest.mark.parametrize(
    ("gateway", "key", "severity", "words"),
    [
        (
            {"reload_error": "a.yaml:1: x\nsecond"},
            "gateway.reload",
            WARNING,
            "the last reload was refused: a.yaml:1: x",
        ),
        ({"restart": ("database", "pbx.main")}, "gateway.restart", WARNING, "database, pbx.main"),
        ({"doors": {"ari main": "refused"}}, "gateway.door", ERROR, "ari main is refused"),
        ({"doors": {"ami main": "connecting"}}, "gateway.door", ERROR, "ami main is connecting"),
        ({"stranded": {"old": 3}}, "gateway.stranded", WARNING, "3 messages waiting for old"),
        ({"left_alone": {"company": "2026-11-23T12:00:30+00:00"}}, "gateway.left_alone", WARNING, "until 13:00:30"),
    ],
    ids=str,
)
def test_gateway(tmp_path: Path, gateway: dict[str, Any], key: str, severity: Severity, words: str) -> None:
    one = only(doctor.findings(wellness.loaded(tmp_path), world(gateway=replace(GATEWAY, **gateway))))
    assert (one.id, one.severity) == (key, severity)
    assert words in one.what


@pytest.mark.parametrize("trouble", [None, facts.Trouble(code="connect", detail="cannot connect: Connection refused")])
def test_fastagi(tmp_path: Path, trouble: facts.Trouble | None) -> None:
    port = facts.Port(where="127.0.0.1:4573", trouble=trouble)
    found = wrong(doctor.findings(wellness.loaded(tmp_path, agi={}), world(agi=port)))
    assert ids(found) == ([("gateway.agi", ERROR)] if trouble else [])


# --- providers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "mend"),
    [
        ("dns", "getent hosts sms.example"),
        ("tls", "openssl s_client -connect sms.example:443"),
        ("connect", "nc -vz sms.example 443"),
        ("timeout", "nc -vz"),
    ],
)
def test_provider_that_cannot_be_reached(tmp_path: Path, code: str, mend: str) -> None:
    reached = facts.Reached(where="sms.example:443", trouble=facts.Trouble(code=code, detail="its words"))
    one = only(doctor.findings(wellness.loaded(tmp_path), world(providers={"company": (reached,)})))
    assert (one.id, one.severity, one.about) == ("provider.reach", ERROR, "company")
    assert "company: sms.example:443: its words" in one.what
    assert mend in one.mend


def test_provider_that_nobody_uses(tmp_path: Path) -> None:
    loaded = wellness.loaded(tmp_path, providers={"company": COMPANY, "spare": COMPANY})
    gone = facts.Reached(where="sms.example:443", trouble=facts.Trouble(code="connect", detail="cannot connect"))
    assert ids(wrong(doctor.findings(loaded, world(providers={"spare": (gone,)})))) == [("provider.reach", WARNING)]


@pytest.mark.parametrize(("left", "told"), [(timedelta(days=15), False), (timedelta(days=13), True)])
def test_certificate_that_ends(tmp_path: Path, left: timedelta, told: bool) -> None:
    reached = facts.Reached(where="sms.example:443", ends=NOW + left)
    found = wrong(doctor.findings(wellness.loaded(tmp_path), world(providers={"company": (reached,)})))
    assert ids(found) == ([("provider.certificate", WARNING)] if told else [])
    assert all("ends 2026-12-06" in one.what for one in found)


@pytest.mark.parametrize("code", ["denied", "absent"])
def test_folder_of_a_provider(tmp_path: Path, code: str) -> None:
    gone = facts.Reached(where="/var/spool/gammu/sent", trouble=facts.Trouble(code=code, detail="no"))
    fine = facts.Reached(where="/var/spool/gammu/outbox")
    one = only(doctor.findings(wellness.loaded(tmp_path), world(providers={"company": (fine, gone)})))
    assert (one.id, one.severity) == ("provider.reach", ERROR)
    assert "/var/spool/gammu/sent" in one.what


# --- the customer's systems ---------------------------------------------------------------------------------------

SHOP = NODE | {"content": {"api": {"url": "https://shop.example/text"}, "fallback": "soon"}}
CLOSED = {"api": {"url": "https://shop.example/text", "private_addresses": "deny"}, "fallback": "soon"}


def content(folder: Path, **reached: facts.Reached) -> list[Finding]:
    """What is said of the hosts of two nodes' content.api."""
    nodes = {"desk": SHOP, "night": SHOP | {"content": CLOSED}}
    found = doctor.findings(wellness.loaded(folder, nodes=nodes), world(contents=reached))
    wrong(found)
    return [one for one in found if one.id.startswith("content.")]


@pytest.mark.parametrize(
    ("code", "mend"),
    [
        ("dns", "write the right host in nodes.desk.content.api"),
        ("tls", "openssl s_client -connect shop.example:443"),
        ("connect", "nc -vz shop.example 443"),
    ],
)
def test_system_that_cannot_be_reached(tmp_path: Path, code: str, mend: str) -> None:
    reached = facts.Reached(where="shop.example:443", trouble=facts.Trouble(code=code, detail="its words"))
    (one,) = content(tmp_path, desk=reached, night=reached)
    assert (one.id, one.severity, one.about) == ("content.reach", ERROR, "desk")
    assert one.what == "desk, night: shop.example:443: its words"
    assert mend in one.mend


@pytest.mark.parametrize(
    ("more", "expected", "words"),
    [
        ({}, [("content.reach", Severity.OK)], "shop.example:443 reached, for desk, night"),
        (
            {"ends": NOW + timedelta(days=3)},
            [("content.certificate", WARNING), ("content.reach", Severity.OK)],
            "2026-11-26",
        ),
        ({"address": "10.0.0.7"}, [("content.reach", ERROR)], "night: shop.example:443 has the private address"),
        ({"address": "2606:4700::1111"}, [("content.reach", Severity.OK)], "reached"),
    ],
)
def test_system_that_is_reached(
    tmp_path: Path, more: dict[str, Any], expected: list[tuple[str, Severity]], words: str
) -> None:
    reached = facts.Reached(where="shop.example:443", **more)
    found = content(tmp_path, desk=reached, night=reached)
    assert ids(found) == expected
    assert words in found[0].what


# --- database -----------------------------------------------------------------------------------------------------


def denied(code: str) -> facts.Trouble:
    return facts.Trouble(code=code, detail="its words")


@pytest.mark.parametrize(
    ("database", "key", "severity", "words"),
    [
        ({"network": True, "file_system": "nfs4"}, "database.file_system", ERROR, "nfs4"),
        ({"trouble": denied("ENOSPC"), "fsync": None}, "database.folder", ERROR, "the disk is full"),
        ({"trouble": denied("EROFS"), "fsync": None}, "database.folder", ERROR, "read-only"),
        ({"trouble": denied("EACCES"), "fsync": None}, "database.folder", ERROR, "its words"),
        ({"trouble": denied("EACCES"), "fsync": None, "user": "bob"}, "database.folder", UNKNOWN, "this user (bob)"),
        ({"trouble": denied("timeout"), "fsync": None}, "database.folder", ERROR, "its words"),
        ({"trouble": denied("ENOENT"), "fsync": None, "exists": False}, "database.folder", UNKNOWN, "no folder"),
        ({"foreign": "others than its owner may write it"}, "database.owner", ERROR, "others than its owner"),
        ({"root_owned": (DATABASE.path,), "user": "root"}, "database.owner", ERROR, "belong to root"),
        ({"file_trouble": denied("EACCES")}, "database.file", ERROR, "its words"),
        ({"schema": None}, "database.schema", UNKNOWN, "cannot be told"),
        ({"schema": 0}, "database.schema", ERROR, "no database of agi-sms"),
        ({"schema": 9}, "database.schema", ERROR, "newer agi-sms (schema 9, this one knows 4)"),
        ({"schema": 3}, "database.schema", WARNING, "the gateway that runs is older"),
        ({"fsync": timedelta(milliseconds=35)}, "database.fsync", WARNING, "35ms"),
        ({"fsync": timedelta(milliseconds=150)}, "database.fsync", ERROR, "150ms"),
        ({"free": 512 << 20}, "database.space", WARNING, "512 MiB left"),
        ({"free": 50 << 20}, "database.space", ERROR, "50 MiB left"),
        ({"spool_trouble": denied("EACCES")}, "spool.file", ERROR, "its words"),
        ({"quarantine": True}, "spool.quarantine", WARNING, "agi-sms.spool.quarantine"),
    ],
    ids=str,
)
def test_database(tmp_path: Path, database: dict[str, Any], key: str, severity: Severity, words: str) -> None:
    found = doctor.findings(wellness.loaded(tmp_path), world(database=replace(DATABASE, **database)))
    one = only(found)
    assert (one.id, one.severity) == (key, severity)
    assert words in one.what


@pytest.mark.parametrize("database", [{"schema": 3}, {"exists": False, "schema": None}])
def test_database_that_the_next_start_makes(tmp_path: Path, database: dict[str, Any]) -> None:
    found = wrong(
        doctor.findings(wellness.loaded(tmp_path), world(database=replace(DATABASE, **database), gateway=OFF))
    )
    assert {one.id for one in found} <= {"gateway.runs", "ari.application"}


# --- receipts -----------------------------------------------------------------------------------------------------

HERE = facts.Port(where="http://127.0.0.1:8090/receipts/", status=405, ours=True)
OUT = facts.Port(where="https://sms.example/receipts/", status=405, server="nginx", ours=True)


@pytest.mark.parametrize(
    ("listener", "public", "gateway", "expected"),
    [
        (HERE, OUT, GATEWAY, []),
        (replace(HERE, ours=False, trouble=denied("connect")), OUT, GATEWAY, [("receipts.listener", ERROR)]),
        (replace(HERE, ours=False, status=200, server="Apache"), OUT, GATEWAY, [("receipts.listener", ERROR)]),
        (HERE, replace(OUT, ours=False, status=502), GATEWAY, [("receipts.public_url", ERROR)]),
        (None, replace(OUT, ours=False, status=502), OFF, []),
        (HERE, replace(OUT, ours=False, status=404), GATEWAY, [("receipts.public_url", ERROR)]),
        (HERE, replace(OUT, ours=False, status=301), GATEWAY, [("receipts.public_url", ERROR)]),
        (HERE, replace(OUT, ours=False, status=403), GATEWAY, [("receipts.public_url", UNKNOWN)]),
        (HERE, replace(OUT, ours=False, trouble=denied("dns")), GATEWAY, [("receipts.public_url", ERROR)]),
        (HERE, replace(OUT, ours=False, trouble=denied("tls")), GATEWAY, [("receipts.public_url", ERROR)]),
        (HERE, replace(OUT, ours=False, trouble=denied("timeout")), GATEWAY, [("receipts.public_url", WARNING)]),
    ],
)
def test_receipts_come_in(
    tmp_path: Path,
    listener: facts.Port | None,
    public: facts.Port,
    gateway: facts.Gateway,
    expected: list[tuple[str, Severity]],
) -> None:
    loaded = wellness.loaded(tmp_path, receipts=RECEIPTS, providers={"company": REPORTING})
    found = wrong(doctor.findings(loaded, world(listener=listener, public=public, gateway=gateway)))
    assert [one for one in ids(found) if one[0].startswith("receipts")] == expected


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        ({"receipts": RECEIPTS}, "receipts.unused"),
        (
            {"providers": {"company": REPORTING}, "receipts": RECEIPTS | {"public_url": "http://sms.example"}},
            "receipts.https",
        ),
    ],
)
def test_receipts_and_providers_fit(tmp_path: Path, tree: dict[str, Any], key: str) -> None:
    loaded = wellness.loaded(tmp_path, **tree)
    one = only(doctor.findings(loaded, world(listener=HERE, public=OUT)))
    assert (one.id, one.severity) == (key, WARNING)


@pytest.mark.parametrize("receipts", [None, {"listen": "127.0.0.1:8090"}])
def test_receipts_that_cannot_come_in(tmp_path: Path, receipts: dict[str, str] | None) -> None:
    """That is said of the configuration, and once."""
    loaded = wellness.loaded(
        tmp_path, providers={"company": REPORTING}, **({"receipts": receipts} if receipts is not None else {})
    )
    told = facts.Configuration(path=loaded.path, warnings=loaded.warnings)
    one = only(doctor.findings(loaded, world(configuration=told, listener=HERE if receipts is not None else None)))
    assert (one.id, "company" in one.what, "receipt" in one.what) == ("configuration.warning", True, True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8090", "http://localhost"])
def test_receipts_on_this_machine_need_no_tls(tmp_path: Path, url: str) -> None:
    loaded = wellness.loaded(tmp_path, providers={"company": REPORTING}, receipts=RECEIPTS | {"public_url": url})
    assert wrong(doctor.findings(loaded, world(listener=HERE, public=OUT))) == []


@pytest.mark.parametrize(
    ("code", "where", "command"),
    [
        ("connect", "sms.example:443", "nc -vz sms.example 443"),
        ("connect", "[::1]:443", "nc -vz ::1 443"),
        ("timeout", "[2001:db8::7]:2775", "nc -vz 2001:db8::7 2775"),
        ("dns", "sms.example:443", "getent hosts sms.example"),
    ],
)
def test_commands_that_tell_more(tmp_path: Path, code: str, where: str, command: str) -> None:
    dead = facts.Reached(where=where, trouble=facts.Trouble(code=code, detail="words"))
    one = only(doctor.findings(wellness.loaded(tmp_path), world(providers={"company": (dead,)})))
    assert one.mend.endswith(command)
