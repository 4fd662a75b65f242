"""The screen and the JSON of `agi-sms doctor`."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich import console

from agi_sms import doctor, show_doctor
from agi_sms import doctor_facts as facts
from agi_sms.doctor_finding import Finding, Severity
from tests.unit import wellness

README = Path(__file__).resolve().parents[2] / "README.md"
FOUND = (
    Finding(id="a", severity=Severity.OK, area="pbx main", what="Asterisk 22.10.1"),
    Finding(id="b", severity=Severity.UNKNOWN, area="pbx main", what="cannot be told", mend="a right"),
    Finding(id="c", severity=Severity.ERROR, area="pbx main", what="refuses " + "the login " * 12, mend="the password"),
    Finding(id="d", severity=Severity.OK, area="pbx main", what="its clock agrees"),
    Finding(id="e", severity=Severity.WARNING, area="database", what="slow", mend="a disk"),
)


def printed(found: tuple[Finding, ...], *, width: int = 80, encoding: str = "utf-8", **how: Any) -> str:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding, newline="\n") as file:
        show_doctor.screen(console.Console(file=file, width=width, highlight=False, **how), found)
        file.flush()
        return raw.getvalue().decode(encoding)


def test_screen() -> None:
    assert printed(FOUND).splitlines() == [
        "pbx main",
        "  ✗ refuses the login the login the login the login the login the login the",
        "    login the login the login the login the login the login",
        "    mend: the password",
        "  ? cannot be told",
        "    mend: a right",
        "  ✓ Asterisk 22.10.1; its clock agrees",
        "database",
        "  ! slow",
        "    mend: a disk",
        "1 error, 1 warning, 1 cannot be told, 2 right",
    ]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int) -> None:
    found = doctor.findings(wellness.loaded(tmp_path), wellness.world(gateway=wellness.GATEWAY))
    for line in printed((*FOUND, *found), width=width).splitlines():
        assert len(line) <= width or " " not in line.strip()
        assert line == line.rstrip()


def test_where_the_terminal_has_no_such_signs() -> None:
    said = printed((*FOUND, Finding(id="f", severity=Severity.WARNING, area="x", what="Zażółć")), encoding="ascii")
    assert "  X  refuses" in said
    assert "  ok Asterisk" in said
    assert "Za????" in said


def test_colours_only_where_there_is_a_terminal() -> None:
    assert "\x1b" not in printed(FOUND)
    assert "\x1b[" in printed(FOUND, force_terminal=True)
    assert "\x1b[3" not in printed(FOUND, force_terminal=True, no_color=True)


def test_strangers_words_move_no_cursor() -> None:
    evil = Finding(id="x", severity=Severity.ERROR, area="x", what="name \x1b[2J\r\nsecond", mend="[red]no markup[/]")
    said = printed((evil,))
    assert "\x1b" not in said
    assert r"name \x1b[2J\x0d second" in said
    assert "[red]no markup[/]" in said


README_CALLS = """
[from-trunk]
exten => 100,1,Answer()
 same => n,Gosub(agi-sms,s,1(desk))
 same => n,Dial(PJSIP/200,20)
 same => n,Gosub(agi-sms,s,1(mised-call,var.DIALSTATUS=${DIALSTATUS}))
[ivr]
exten => 1,1,Gosub(agi-sms,s,1(${NODE}))
"""


def test_the_readme_shows_the_screen(tmp_path: Path) -> None:
    pbx = {door: settings | {"username": "agi-sms"} for door, settings in wellness.PBX.items()}
    nodes = {"desk": wellness.NODE, "missed-call": wellness.NODE}
    loaded = wellness.loaded(tmp_path, pbx={"main": pbx}, nodes=nodes)
    endpoints = (facts.Endpoint(name="acme", trusts=False, trunk=True),)
    world = wellness.world(
        ari=replace(wellness.ARI, writes=False, endpoints=facts.Endpoints(looked=endpoints, count=1)),
        plan=wellness.plan(README_CALLS),
    )
    screen = printed(doctor.findings(loaded, world), width=116)
    assert f"```\n{screen}```\n" in README.read_text(encoding="utf-8"), screen


def test_json() -> None:
    rows = json.loads(show_doctor.as_json(FOUND))
    assert [row["id"] for row in rows] == ["a", "b", "c", "d", "e"]
    assert rows[1] == {
        "id": "b",
        "severity": "unknown",
        "area": "pbx main",
        "what": "cannot be told",
        "mend": "a right",
        "about": "",
    }
