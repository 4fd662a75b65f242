"""`agi-sms flow` against a real Asterisk: what it says of its dialplan, and who may ask."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agi_sms import dialplan, dialplan_places, flow_draw, flow_mermaid, flow_walk
from agi_sms.asterisk import survey
from agi_sms.asterisk.settings import Ami
from rig import asterisk as rig_asterisk
from tests.acceptance.conftest import AsteriskFactory
from tests.unit import recipes

pytestmark = [pytest.mark.asterisk, pytest.mark.asterisk_versions("22", "16")]

DATA = Path(__file__).resolve().parents[1] / "data" / "dialplan"
LONG = "l" * 1200  # LOREM in syntax.conf: more than a listing shows
SECRET = "a-secret-of-this-test"
USERS = {"full": "system,command", "listing": "system,reporting", "small": "system"}


def source(name: str) -> str:
    return (DATA / f"{name}.conf").read_text(encoding="utf-8").replace("LOREM", LONG)


def recorded(name: str) -> dialplan.Dialplan:
    return dialplan.parse_show((DATA / f"{name}.txt").read_text(encoding="utf-8"))


def own(plan: dialplan.Dialplan, name: str) -> dict[str, dialplan.Context]:
    """The contexts that a file of ours makes."""
    names = re.findall(r"^\[([^\]]+)\]$", source(name), re.MULTILINE)
    return {one: plan.contexts[one] for one in names if one != "globals"}


def made(plan: dialplan.Dialplan, name: str) -> tuple[dialplan.NodeCall, ...]:
    """The visits in them."""
    found = [one for one in dialplan.visits(plan) if one.context in own(plan, name)]
    return tuple(sorted(found, key=lambda one: (one.context, one.exten, one.priority)))


def settings(pbx: rig_asterisk.Asterisk, user: str) -> Ami:
    return Ami.model_validate({"port": pbx.ami_port, "username": user, "secret": SECRET, "timeout": "10s"})


def flow(pbx: rig_asterisk.Asterisk, folder: Path, user: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command, configured for this Asterisk."""
    ami = {"port": pbx.ami_port, "username": user, "secret": SECRET, "timeout": "10s"}
    content = {"text": "ACME"}
    tree = {"database": "box.db", "pbx": {"main": {"ami": ami}}, "nodes": {"company-info": {"content": content}}}
    (folder / "agi-sms.yaml").write_text(json.dumps(tree))
    program = Path(sys.executable).with_name("agi-sms")
    command = [str(program), "flow", *words, "--config", str(folder / "agi-sms.yaml")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


async def test_a_running_asterisk(fresh_asterisk: AsteriskFactory, tmp_path: Path) -> None:
    pbx = fresh_asterisk()
    manager = (pbx.directory / "etc" / "manager.conf").read_text()
    for user, rights in USERS.items():
        manager += f"\n[{user}]\nsecret = {SECRET}\npermit = 127.0.0.1/255.255.255.255\n"
        manager += f"read =\nwrite = {rights}\nwritetimeout = 5000\n"
    pbx.configure("manager.conf", manager)
    pbx.cli("manager reload")

    for name in ("syntax", "company"):
        pbx.load_dialplan(source(name))
        told = await survey.Survey(settings(pbx, "full")).dialplan()
        assert not told.cut
        assert own(told, name) == own(recorded(name), name)
        visits = made(told, name)
        assert visits == made(recorded(name), name)
        assert all(one.file == "extensions_test.conf" for one in visits)

        listed = await survey.Survey(settings(pbx, "listing")).dialplan()
        for one, other in zip(visits, made(listed, name), strict=True):
            assert dataclasses.replace(one, file="", line=0, arguments=()) == dataclasses.replace(other, arguments=())

    with pytest.raises(survey.NoRight, match=r"\[small\], write = system,command"):
        await survey.Survey(settings(pbx, "small")).dialplan()

    drawn = flow(pbx, tmp_path, "full", "from-trunk", "--output", str(tmp_path / "flow.svg"))
    assert drawn.returncode == 0, drawn.stderr
    assert "12 SMS nodes" in drawn.stdout
    assert "hours" in (tmp_path / "flow.svg").read_text(encoding="utf-8")
    assert "enters wake-up" in drawn.stderr

    assert "company-info" in flow(pbx, tmp_path, "listing", "announcement").stdout
    refused = flow(pbx, tmp_path, "small", "announcement")
    assert refused.returncode == 1
    assert "write = system,command" in refused.stderr
    unknown = flow(pbx, tmp_path, "full", "announcment")
    assert unknown.returncode == 2
    assert "near it: announcement" in unknown.stderr


async def test_recipes_are_read_as_our_pictures_of_them_say(fresh_asterisk: AsteriskFactory, tmp_path: Path) -> None:
    """tests/unit/test_flow_readme.py draws them without an Asterisk."""
    pbx = fresh_asterisk()
    manager = (pbx.directory / "etc" / "manager.conf").read_text()
    pbx.configure(
        "manager.conf",
        f"{manager}\n[full]\nsecret = {SECRET}\npermit = 127.0.0.1/255.255.255.255\n"
        "read =\nwrite = system,command\nwritetimeout = 5000\n",
    )
    pbx.cli("manager reload")
    pbx.load_dialplan("".join(f"#include {name}.conf\n" for name in recipes.RECIPES))
    told = await survey.Survey(settings(pbx, "full")).dialplan()
    ours = recipes.plan(*recipes.RECIPES)
    contexts = sorted(name for name in ours.contexts if name.startswith("sms-"))
    assert len(contexts) >= len(recipes.RECIPES)
    for context in contexts:
        real, known = (flow_draw.draw(plan, context, cards={}) for plan in (told, ours))
        assert flow_mermaid.mermaid(real) == flow_mermaid.mermaid(known)


async def test_what_is_saved_by_the_command_line_is_the_same(fresh_asterisk: AsteriskFactory) -> None:
    """`asterisk -rx "dialplan show" > FILE`, as the help says."""
    from rig import engine

    pbx = fresh_asterisk()
    pbx.load_dialplan(source("company"))
    command = ["exec", pbx.container, "asterisk", "-C", "/rig/etc/asterisk.conf", "-rx", "dialplan show"]
    saved = dialplan.parse_show(engine.docker(*command))
    assert own(saved, "company") == own(recorded("company"), "company")
    assert not saved.cut


async def test_how_far_includes_lead_and_where_an_extension_is_cut(shared_asterisk: rig_asterisk.Asterisk) -> None:
    chain = "".join(f"[c{at}]\nexten => e{at},1,NoOp()\ninclude => c{(at + 1) % 300}\n" for at in range(300))
    shared_asterisk.load_dialplan(
        f"{chain}[grown]\nexten => _1!,1,Set(GLOBAL(GROWN)=${{LEN(${{EXTEN}})}})\n same => n,Hangup()\n"
        "[probe]\nexten => s,1,Set(GLOBAL(FOUND)=${DIALPLAN_EXISTS(c0,e299,1)}${DIALPLAN_EXISTS(c0,e300,1)})\n"
        f" same => n,Goto(grown,{'1' * 100},1)\n"
    )
    shared_asterisk.cli("channel originate Local/s@probe application NoOp")
    shared_asterisk.wait_for_no_channels(deadline=10)
    told = dict(re.findall(r"(GROWN|FOUND) *= *(\d+)", shared_asterisk.cli("dialplan show globals")))
    assert told == {"GROWN": str(flow_walk.LONGEST_EXTEN), "FOUND": "10"}
    places = dialplan_places.Places(dialplan.parse_show(shared_asterisk.cli("dialplan show")))
    assert [bool(places.variants("c0", f"e{at}")) for at in (299, 300)] == [True, False]


PATTERNS = (
    *("_X", "_X!", "_X.", "_XX", "_XX!", "_N", "_Z", "_[3-7]", "_[0-57-9]", "_[23]", "_[24]", "_5", "_5."),
    *("_.", "_!", "_*X", "_+X.", "_+48NX.", "_NX", "_5X!", "_NXX", "_[a-c]X", "_[13579].", "_x5", "_1-5X"),
    *("5", "55", "s", "abc"),
)
DIALLED = (*"0123456789*", "55", "25", "15", "05", "500", "123", "155", "a5", "*5", "+5", "+482", "+48222", "abc", "s")


async def test_patterns_are_tried_in_asterisks_order(shared_asterisk: rig_asterisk.Asterisk) -> None:
    """For each number, those that fit, and which of them Asterisk takes."""
    lines = "".join(f"exten => {name},1,NoOp({at})\n" for at, name in enumerate(PATTERNS))
    shared_asterisk.load_dialplan(f"[tried]\n{lines}")
    plan = dialplan.parse_show(shared_asterisk.cli("dialplan show tried"))
    places = dialplan_places.Places(plan)
    for exten in DIALLED:
        told = shared_asterisk.cli(f"dialplan show {exten}@tried")
        fitting = re.findall(r"^  '(.*?)' =>", told, re.MULTILINE)
        assert {
            name for name in PATTERNS if name == exten or (name[0] == "_" and dialplan_places.fits(name, exten))
        } == {*fitting}, exten
        assert [one.extension.name for one in places.variants("tried", exten)] == fitting[:1], (exten, fitting)
