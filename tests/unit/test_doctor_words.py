"""Doctor's findings of an Asterisk and its dialplan, word by word: what is not right with each of these, and its mend.

`doctor_words.txt` has them, since people act upon these words. Whoever changes some reads all that differs:
`python -m tests.unit.test_doctor_words` writes the file anew.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from agi_sms import doctor
from agi_sms import doctor_facts as facts
from agi_sms.dialplan_listing import Dialplan
from agi_sms.doctor_finding import Finding, Severity
from tests.unit import wellness
from tests.unit.wellness import AMI, ARI, FILES, GATEWAY, MODULES, NODE, PBX, world

WORDS = Path(__file__).with_suffix("").with_name("doctor_words.txt")
HEAD = "# {}\n"
TWO = {"desk": NODE, "other": NODE}
TAKES = {"desk": NODE | {"dialplan_recipients": True}}
ANSWERED = "Gosub(agi-sms,s,1(desk))"


def steps(*applications: str, exten: str = "100") -> str:
    return "[from-trunk]\n" + "".join(
        f"{f'exten => {exten},1' if not at else ' same => n'},{one}\n" for at, one in enumerate(applications)
    )


def conf(name: str, **values: str | None) -> facts.Ami:
    """AMI that tells this file with these values; None: without that one."""
    known = {**(FILES[name].values or {}), **values}
    return replace(AMI, files=FILES | {name: facts.Section(values={k: v for k, v in known.items() if v is not None})})


def trunks(*names: str, trust: bool = False, count: int = 0) -> facts.Ari:
    looked = tuple(facts.Endpoint(name=name, trusts=trust, trunk=True) for name in names)
    return replace(ARI, endpoints=facts.Endpoints(looked=looked, count=count or len(names)))


def watchdog(value: str) -> dict[str, Any]:
    return {"ari": replace(ARI, variables={**(ARI.variables or {}), "AGISMS_WATCHDOG": value})}


def arguments(*each: str, nodes: dict[str, Any] = TWO) -> dict[str, Any]:
    """Each in a step of its own."""
    return {"text": steps(ANSWERED, *(f"Gosub(agi-sms,s,1(desk,{one}))" for one in each)), "nodes": nodes}


def switched(plan: Dialplan) -> Dialplan:
    some = replace(plan.contexts["from-trunk"], switches=("Realtime/from-trunk@",))
    return replace(plan, contexts={**plan.contexts, "from-trunk": some})


def another(plan: Dialplan) -> Dialplan:
    """With a step less in each extension of a subroutine."""
    ours = plan.contexts["agi-sms-agi"]
    fewer = tuple(replace(one, priorities=one.priorities[:-1]) for one in ours.extensions)
    return replace(plan, contexts={**plan.contexts, "agi-sms-agi": replace(ours, extensions=fewer)})


def cut(plan: Dialplan) -> Dialplan:
    return replace(plan, cut=True)


NO_ARI = {"pbx": {"main": {"ami": PBX["ami"]}}, "ari": None}
NO_AMI = {"pbx": {"main": {"ari": PBX["ari"]}}, "ami": None}
UNTOLD = replace(AMI, variables=None, ahead=None)
CASES: dict[str, dict[str, Any]] = {
    "two steps, two nodes, FastAGI": {
        "text": steps(ANSWERED, "Gosub(agi-sms-agi,s,1(other))"),
        "nodes": TWO,
        "agi": {},
        "whole": True,
    },
    "one step": {"whole": True},
    "neither ARI nor AMI": {"pbx": {"main": {"addresses": ["192.0.2.7"]}}, "ari": None, "ami": None, "agi": {}},
    "ARI not configured, and asked nevertheless": {"pbx": {"main": {"ami": PBX["ami"]}}, "text": steps(ANSWERED)},
    "a version that is none": {"ari": replace(ARI, version="GIT-master")},
    "clock 2 s and half of the answer's time ahead": {
        "ari": replace(ARI, ahead=timedelta(seconds=3), took=timedelta(seconds=2))
    },
    "clock a little more than that ahead": {
        "ari": replace(ARI, ahead=timedelta(seconds=3.01), took=timedelta(seconds=2))
    },
    "clock behind": {"ari": replace(ARI, ahead=timedelta(seconds=-3.01), took=timedelta(seconds=2))},
    "clock not told": {"ari": replace(ARI, ahead=None), "ami": replace(AMI, ahead=None)},
    "modules not told": {"ari": replace(ARI, modules=None), "ami": replace(AMI, modules=None)},
    "two modules missing": {"ari": replace(ARI, modules=MODULES - {"app_stasis", "res_ari_events"})},
    "three modules missing": {"ari": replace(ARI, modules=MODULES - {"app_stasis", "res_ari_events", "func_db"})},
    "no modules, FastAGI alone": {
        "text": steps("Gosub(agi-sms-agi,s,1(desk))"),
        "agi": {},
        "ari": replace(ARI, modules=frozenset()),
    },
    "no modules, a dialplan that nobody tells": {
        "plan": None,
        "plan_trouble": "not told",
        "ari": replace(ARI, modules=frozenset()),
    },
    "no modules, no dialplan, FastAGI and AMI": {
        "pbx": {"main": {"ami": PBX["ami"]}},
        "ari": None,
        "ami": replace(AMI, modules=frozenset()),
        "plan": None,
        "plan_trouble": "not told",
        "agi": {},
    },
    "no modules, no dialplan, AMI": {
        "pbx": {"main": {"ami": PBX["ami"]}},
        "ari": None,
        "ami": replace(AMI, modules=frozenset()),
        "plan": None,
        "plan_trouble": "not told",
    },
    "files not told": {"ami": replace(AMI, files=None)},
    "files without some": {"ami": replace(AMI, files={"ari.conf": facts.Section()})},
    "no channelvars": {"ami": conf("ari.conf", channelvars=None)},
    "no channelvars, a bare Stasis": {"text": steps("Stasis(agi-sms,desk)"), "ami": conf("ari.conf", channelvars=None)},
    "a timeout of the websocket that is short": {"ami": conf("ari.conf", websocket_write_timeout="999")},
    "no timeout of the websocket": {"ami": conf("ari.conf", websocket_write_timeout=None)},
    "an HTTP server for everybody": {"ami": conf("http.conf", bindaddr="0.0.0.0")},
    "an HTTP server without an address": {"ami": conf("http.conf", bindaddr=None)},
    "endpoints not told": {"ari": replace(ARI, endpoints=None, modules=MODULES | {"chan_pjsip"})},
    "a trunk that hides who withholds": {"ari": trunks("acme")},
    "some of more endpoints": {"ari": trunks("acme", "bell", count=4)},
    "trusted, of more endpoints": {"ari": trunks("acme", trust=True, count=2), "keep": "pjsip"},
    "trusted": {"ari": trunks("acme", trust=True), "keep": "pjsip"},
    "nobody enters a node": {"text": steps("Answer()")},
    "a switch": {"text": "[from-trunk]\nexten => 100,1,Answer()\n", "changed": switched},
    "subroutine not loaded": {
        "text": steps("Gosub(agi-sms-agi,s,1(desk))", ANSWERED),
        "subroutines": ("agi-sms-agi",),
        "agi": {},
        "keep": "dialplan.subroutine",
    },
    "subroutine of another version": {
        "text": steps("Gosub(agi-sms-agi,s,1(desk))"),
        "agi": {},
        "changed": another,
        "keep": "dialplan.subroutine",
    },
    "subroutine as shipped": {
        "text": steps("Gosub(agi-sms-agi,s,1(desk))"),
        "agi": {},
        "keep": "dialplan.subroutine",
    },
    "a listing that has no end": {"text": steps(ANSWERED), "changed": cut},
    "application of a long name": {
        "text": f"{steps(ANSWERED)}[agi-sms]\nexten => s,1,Stasis({'a' * 70},x)\n",
        "subroutines": (),
    },
    "nodes that there are not": {
        "text": steps("Gosub(agi-sms,s,1())", f"Gosub(agi-sms,s,1({'n' * 70}))", "Gosub(agi-sms,s,1(othr))", ANSWERED),
        "nodes": TWO,
    },
    "nodes with blanks": {"text": steps(f'Gosub(agi-sms,s,1("a  {"b" * 70}"))', ANSWERED)},
    "a computed node": {"text": steps(f"Gosub(agi-sms,s,1(${{{'N' * 50}}}))"), "nodes": TWO},
    "some nodes are not entered": {"text": steps(ANSWERED), "nodes": TWO},
    "callee's leg": {
        "text": steps("Dial(PJSIP/1,,U(agi-sms^desk))", "Queue(q,,,,,,agi-sms)", "Dial(PJSIP/1,,b(agi-sms^s^1(desk)))")
    },
    "bare steps": {
        "text": steps(
            "Stasis(agi-sms,desk,var.A=1)", "AGI(agi://127.0.0.1:4573/desk?var.A=1)", 'UserEvent(AgiSms,"AgiSms: desk")'
        ),
        "agi": {},
    },
    "after the hangup": {"text": steps(ANSWERED, exten="h"), "agi": {}},
    "in a hangup handler": {
        "text": steps("Set(CHANNEL(hangup_handler_push)=agi-sms,s,1(desk,var.A=1))"),
    },
    "watchdog not told": {"ari": replace(ARI, variables=None), "ami": UNTOLD},
    "watchdog that is no number": watchdog("never" + "r" * 50),
    "watchdog that is short": watchdog("0.2"),
    "watchdog that is long": watchdog("90"),
    "watchdog that just suffices": watchdog("5") | {"hold_budget": "4s"},
    "watchdog that is not set and short": {"hold_budget": "9s"},
    "watchdog of an Asterisk that tells no globals": {
        "ari": replace(ARI, variables={}),
        "ami": replace(AMI, variables={}),
        "keep": "dialplan.watchdog",
    },
    "no ARI": {"text": steps(ANSWERED, "Stasis(agi-sms,desk)"), **NO_ARI},
    "no ARI, FastAGI": {"text": steps(ANSWERED, "Stasis(agi-sms,desk)"), "agi": {}, **NO_ARI},
    "no ARI, no AMI": {
        "text": steps(ANSWERED),
        "pbx": {"main": {"addresses": ["192.0.2.7"]}},
        "ari": None,
        "ami": None,
        "agi": {},
    },
    "no AMI": {"text": steps("Gosub(agi-sms-event,s,1(desk))", ANSWERED), **NO_AMI},
    "bare events that are not taken": {
        "text": steps('UserEvent(AgiSms,"AgiSms: desk")', ANSWERED),
        "pbx": {"main": PBX | {"ami": PBX["ami"] | {"bare_events": False}}},
    },
    "arguments that nobody can read": arguments(
        "7",
        "a" * 50,
        "colour=red",
        "var.A B=1",
        "var.A B=${C}",
        "var.A=1,var.A=2",
        "${X},7",
        "call=${X}",
        "trunk=1",
        "visit=1",
        "linkedid=1",
        ",,,,,,,,var.A=1",
        "visit=${X}",
    ),
    "arguments that do nothing": arguments(
        "recipients=1", "sender=WayTooLongForIt", "delay=soon", "sender=${S}", "delay=${D}", "var.A=${B}"
    ),
    "recipients that the node takes": arguments("recipients=1", nodes=TAKES | {"other": NODE}),
    "arguments of a bare Stasis": {
        "text": steps(
            "Stasis(agi-sms,desk,7,sender=WayTooLongForIt,delay=soon)", "Stasis(agi-sms,desk,recipients=${R})"
        )
    },
    "arguments of AGI": {"text": steps("AGI(agi://127.0.0.1:4573/desk,7)"), "agi": {}},
    "recipients for a computed node": {"text": steps("Gosub(agi-sms,s,1(${N},recipients=1))")},
    "quoted arguments": arguments('"var.A=1"', 'var.A="1,2"', "delay=5m"),
}


def found(folder: Path, case: dict[str, Any]) -> Iterable[Finding]:
    """What is not right in this case; where it is `whole`, all that is found of the PBX and its dialplan."""
    more = dict(case)
    whole, keep = more.pop("whole", False), more.pop("keep", "")
    tree = {key: more.pop(key) for key in ("nodes", "pbx", "agi", "hold_budget") if key in more}
    how = {key: more.pop(key) for key in ("subroutines",) if key in more}
    changed = more.pop("changed", None)
    if "text" in more:
        more["plan"] = wellness.plan(more.pop("text"), **how)
    if changed is not None:
        more["plan"] = changed(more["plan"])
    if more.get("ari", ARI) is None or more.get("ami", AMI) is None:
        doors = {f"{name} main": "serving" for name in ("ari", "ami") if more.get(name, True) is not None}
        more["gateway"] = replace(GATEWAY, doors=doors)
    for one in doctor.findings(wellness.loaded(folder, **tree), world(**more)):
        ours = one.area in ("pbx main", "dialplan of main", "nodes")
        if ours and (whole or one.severity is not Severity.OK or (keep and one.id.startswith(keep))):
            yield one


def told(folder: Path, name: str) -> str:
    lines = [
        f"{one.severity} {one.area} [{one.about}] {one.id}: {one.what}\n" + (f"    {one.mend}\n" if one.mend else "")
        for one in found(folder, CASES[name])
    ]
    return HEAD.format(name) + "".join(lines)


def known() -> dict[str, str]:
    parts = re.split(r"^(?=# )", WORDS.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0].removeprefix("# "): part.rstrip("\n") + "\n" for part in parts}


@pytest.mark.parametrize("name", CASES)
def test_words(tmp_path: Path, name: str) -> None:
    assert told(tmp_path, name) == known()[name]


def test_all_of_them_are_of_a_case() -> None:
    assert list(known()) == list(CASES)


def write(tell: Callable[[str], object] = print) -> None:
    """The file, as it is now."""
    with TemporaryDirectory() as folder:
        WORDS.write_text("\n".join(told(Path(folder), name) for name in CASES), "utf-8")
    tell(f"written: {WORDS}")


if __name__ == "__main__":
    write()
