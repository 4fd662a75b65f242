"""What doctor says of a dialplan: our subroutines in it, and the nodes that it names."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agi_sms import dialplan, doctor, doctor_arguments
from agi_sms import doctor_facts as facts
from agi_sms.asterisk import arguments
from agi_sms.doctor_finding import Finding, Severity
from tests.unit import test_doctor_needs as shipped
from tests.unit import wellness
from tests.unit.wellness import NODE, PBX, only, world, wrong

UNKNOWN, WARNING, ERROR = Severity.UNKNOWN, Severity.WARNING, Severity.ERROR
CALLS = {
    "ari": "Gosub(agi-sms,s,1(desk))",
    "agi": "Gosub(agi-sms-agi,s,1(desk))",
    "event": "Gosub(agi-sms-event,s,1(desk))",
    "stasis": "Stasis(agi-sms,desk)",
    "fastagi": "AGI(agi://127.0.0.1:4573/desk)",
    "userevent": 'UserEvent(AgiSms,"AgiSms: desk")',
    "commas": "AGI(agi://127.0.0.1:4573/desk?var.A=1,delay=5m)",
}


def steps(*applications: str, context: str = "from-trunk") -> str:
    first, *rest = applications
    return f"[{context}]\nexten => 100,1,{first}\n" + "".join(f" same => n,{one}\n" for one in rest)


def told(folder: Path, text: str, *, agi: bool = True, **more: Any) -> list[Finding]:
    """What is not right with this dialplan; `more` goes into the configuration, or the world."""
    tree: dict[str, Any] = {"agi": {}} if agi else {}
    tree |= {key: more.pop(key) for key in ("nodes", "pbx") if key in more}
    how = {key: more.pop(key) for key in ("subroutines",) if key in more}
    found = doctor.findings(wellness.loaded(folder, **tree), world(plan=wellness.plan(text, **how), **more))
    return wrong(found)


def ids(found: list[Finding]) -> list[tuple[str, Severity]]:
    return [(one.id, one.severity) for one in found]


@pytest.mark.parametrize("way", ["ari", "agi", "event"])
def test_our_subroutines(tmp_path: Path, way: str) -> None:
    assert told(tmp_path, steps(CALLS[way])) == []


# --- the subroutines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "loaded", "missing"),
    [
        ("ari", (), ["[agi-sms] is not loaded"]),
        ("agi", ("agi-sms",), ["[agi-sms-agi] is not loaded"]),
        ("event", ("agi-sms-event",), ["[agi-sms] is not loaded"]),
        ("event", (), ["[agi-sms] is not loaded", "[agi-sms-event] is not loaded"]),
    ],
)
def test_subroutine_is_not_loaded(tmp_path: Path, way: str, loaded: tuple[str, ...], missing: list[str]) -> None:
    found = told(tmp_path, steps("Answer()", CALLS[way]), subroutines=loaded)
    *found, nodes = found
    assert ids(found) == [("dialplan.subroutine", ERROR)] * len(missing)
    assert (nodes.id, nodes.severity) == ("dialplan.node_unreached", WARNING)
    assert nodes.what == "calls that enter desk do not reach the gateway, see the errors under 'dialplan of main'"
    for one, words in zip(found, missing, strict=True):
        assert words in one.what
        assert "from-trunk,100,2 (extensions.conf:2)" in one.what
        assert "#include agi-sms" in one.mend


def changed(text: str, *, of: str = "agi-sms") -> dialplan.Dialplan:
    plan = wellness.plan(text)
    contexts = dict(plan.contexts)
    contexts[of] = replace(contexts[of], extensions=tuple(_without_t(contexts[of])))
    return replace(plan, contexts=contexts)


def _without_t(context: dialplan.Context) -> list[dialplan.Extension]:
    return [one for one in context.extensions if one.name != "T"]


def test_subroutine_is_not_whole(tmp_path: Path) -> None:
    found = doctor.findings(wellness.loaded(tmp_path), world(plan=changed(wellness.CALL)))
    one = only(found)
    assert (one.id, one.severity) == ("dialplan.subroutine", ERROR)
    assert "[agi-sms] has no extension T" in one.what


def test_subroutine_is_another_version(tmp_path: Path) -> None:
    plan = wellness.plan()
    ours = plan.contexts["agi-sms"]
    first, *rest = ours.extensions
    older = replace(first, priorities=first.priorities[:-1])
    contexts = {**plan.contexts, "agi-sms": replace(ours, extensions=(older, *rest))}
    one = only(doctor.findings(wellness.loaded(tmp_path), world(plan=replace(plan, contexts=contexts))))
    assert (one.id, one.severity) == ("dialplan.shipped", WARNING)
    assert "[agi-sms] is not the one of this version: s differs" in one.what
    assert "agi-sms.conf" in one.mend


def test_application_of_another_name(tmp_path: Path) -> None:
    pbx = PBX | {"ari": PBX["ari"] | {"app": "sms"}}
    found = told(tmp_path, steps(CALLS["ari"]), pbx={"main": pbx})
    assert ids(found) == [("dialplan.app", ERROR)]
    assert "enters the application agi-sms, and the gateway is sms" in found[0].what


# --- nodes --------------------------------------------------------------------------------------------------------


def test_nobody_enters_a_node(tmp_path: Path) -> None:
    assert ids(told(tmp_path, steps("Answer()"))) == [("dialplan.visits", WARNING)]


def test_switches_may_enter_nodes(tmp_path: Path) -> None:
    plan = wellness.plan(steps("Answer()"))
    here = replace(plan.contexts["from-trunk"], switches=("Realtime/@",))
    plan = replace(plan, contexts={**plan.contexts, "from-trunk": here})
    assert ids(wrong(doctor.findings(wellness.loaded(tmp_path), world(plan=plan)))) == [("dialplan.visits", UNKNOWN)]


def test_node_that_there_is_not(tmp_path: Path) -> None:
    calls = [f"Gosub(agi-sms,s,1({node}))" for node in ("desk", "dsek", "dsek", "dsek", "dsek", "")]
    typo, none = told(tmp_path, steps(*calls))
    assert (typo.id, typo.severity) == (none.id, none.severity) == ("dialplan.node_unknown", ERROR)
    places = ", ".join(f"from-trunk,100,{at + 1} (extensions.conf:{at + 1})" for at in (1, 2, 3))
    assert typo.what == f"there is no node dsek, which is entered at {places} and 1 more"
    assert typo.mend == "did you mean desk? Then write that name there; else add the node dsek to the configuration"
    assert "from-trunk,100,6" in none.what


def test_node_that_is_like_no_other(tmp_path: Path) -> None:
    nodes = {"desk": NODE, "night": NODE}
    calls = steps("Gosub(agi-sms,s,1(xyz))", CALLS["ari"], "Gosub(agi-sms,s,1(night))")
    (found,) = told(tmp_path, calls, nodes=nodes)
    assert found.mend == "write the name of a node there (desk, night), or add the node xyz to the configuration"


def test_node_that_may_have_a_mistake(tmp_path: Path) -> None:
    told = facts.Configuration(path=Path("/etc/agi-sms.yaml"), mistakes=("/etc/agi-sms.yaml:3: nodes.x: is wrong",))
    plan = wellness.plan(steps(CALLS["ari"], "Gosub(agi-sms,s,1(x))"))
    found = wrong(doctor.findings(wellness.loaded(tmp_path), world(configuration=told, plan=plan)))
    assert ids(found) == [("configuration.mistake", ERROR), ("dialplan.node_unknown", UNKNOWN)]


def test_node_that_only_the_call_knows(tmp_path: Path) -> None:
    found = told(tmp_path, steps("Gosub(agi-sms,s,1(${NODE}))", CALLS["ari"]))
    assert ids(found) == [("dialplan.node_computed", UNKNOWN)]
    assert "${NODE} at from-trunk,100,1" in found[0].what


def test_node_that_nobody_enters(tmp_path: Path) -> None:
    found = told(tmp_path, steps(CALLS["ari"]), nodes={"desk": NODE, "night": NODE, "day": NODE})
    assert ids(found) == [("dialplan.node_unreached", WARNING)]
    assert found[0].what == "no step of the dialplan enters night, day"
    assert "Gosub(agi-sms,s,1(night))" in found[0].mend


def test_node_that_a_computed_step_may_enter(tmp_path: Path) -> None:
    text = steps("Gosub(agi-sms,s,1(${NODE}))", CALLS["ari"])
    found = told(tmp_path, text, nodes={"desk": NODE, "night": NODE})
    assert ids(found) == [("dialplan.node_computed", UNKNOWN), ("dialplan.node_unreached", UNKNOWN)]


def test_node_of_another_pbx(tmp_path: Path) -> None:
    """Where one dialplan is unknown, nobody can say that no step enters a node."""
    loaded = wellness.loaded(tmp_path, pbx={"main": PBX, "far": PBX}, nodes={"desk": NODE, "night": NODE})
    pbxs = tuple(
        facts.Pbx(name=name, ari=wellness.ARI, ami=wellness.AMI, plan=plan, plan_trouble=trouble)
        for name, plan, trouble in (("main", wellness.plan(), ""), ("far", None, "the AMI user gw may not read it"))
    )
    one = only(doctor.findings(loaded, world(pbxs=pbxs)))
    assert (one.id, one.severity, one.about) == ("dialplan.read", UNKNOWN, "far")
    assert "may not read it" in one.what
    pbxs = (pbxs[0], replace(pbxs[0], name="far", plan=wellness.plan(steps("Gosub(agi-sms,s,1(night))"))))
    assert wrong(doctor.findings(loaded, world(pbxs=pbxs))) == []


def test_listing_without_an_end(tmp_path: Path) -> None:
    plan = replace(wellness.plan(), cut=True)
    assert ids(wrong(doctor.findings(wellness.loaded(tmp_path), world(plan=plan)))) == [("dialplan.cut", UNKNOWN)]


# --- how they are entered -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("application", "expected"),
    [
        ("Dial(PJSIP/a,20,U(agi-sms^desk))", ("dialplan.callee_leg", WARNING)),
        ("Dial(PJSIP/a,20,b(agi-sms^s^1(desk)))", ("dialplan.leg_down", ERROR)),
        ("Dial(PJSIP/a,20,b(agi-sms-event^s^1(desk)))", ("dialplan.callee_leg", WARNING)),
        ("Dial(PJSIP/a,20,B(agi-sms^s^1(desk)))", None),
        ("Set(CHANNEL(hangup_handler_push)=agi-sms-event,s,1(desk))", None),
    ],
)
def test_legs(tmp_path: Path, application: str, expected: tuple[str, Severity] | None) -> None:
    found = [one for one in told(tmp_path, steps(CALLS["ari"], application)) if one.id != "dialplan.node_unknown"]
    assert ids(found) == ([expected] if expected else [])
    assert all("from-trunk,100,2 (extensions.conf:2)" in one.what for one in found)


@pytest.mark.parametrize(
    ("way", "expected", "mend"),
    [
        ("stasis", ("dialplan.no_watchdog", WARNING), "Gosub(agi-sms,s,1(desk))"),
        ("commas", ("dialplan.no_watchdog", WARNING), "Gosub(agi-sms-agi,s,1(desk,var.A=1,delay=5m))"),
        ("fastagi", ("dialplan.no_watchdog", WARNING), "Gosub(agi-sms-agi,s,1(desk))"),
        ("userevent", ("dialplan.unrecorded", WARNING), "Gosub(agi-sms-event,s,1(desk))"),
    ],
)
def test_without_our_subroutine(tmp_path: Path, way: str, expected: tuple[str, Severity], mend: str) -> None:
    found = told(tmp_path, steps(CALLS[way]))
    assert ids(found) == [expected]
    assert mend in found[0].mend


# --- FastAGI ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["agi", "fastagi"])
def test_agi_is_off(tmp_path: Path, way: str) -> None:
    found = told(tmp_path, steps(CALLS[way]), agi=False)
    assert ("dialplan.agi_off", ERROR) in ids(found)


def test_agi_of_somebody_else(tmp_path: Path) -> None:
    """Another program's AGI scripts are none of our business."""
    assert told(tmp_path, steps(CALLS["ari"], "AGI(agi://10.0.0.1:4573/billing)", "AGI(local.py)"), agi=False) == []


@pytest.mark.parametrize(
    ("listen", "variable", "right"),
    [
        ("127.0.0.1:4573", "", True),
        ("127.0.0.1:4573", "127.0.0.1", True),
        ("127.0.0.1:4573", "localhost:4573", True),
        ("127.0.0.1:4573", "127.0.0.1:4574", False),
        ("127.0.0.1:4573", "192.0.2.7:4573", False),
        ("0.0.0.0:4573", "192.0.2.7:4573", True),
        ("0.0.0.0:5000", "", False),
    ],
)
def test_agi_address(tmp_path: Path, listen: str, variable: str, right: bool) -> None:
    loaded = wellness.loaded(tmp_path, agi={"listen": listen}, pbx={"main": PBX | {"addresses": ["127.0.0.1"]}})
    ari = replace(wellness.ARI, variables={"AGISMS_AGI": variable, "AGISMS_WATCHDOG": ""})
    found = wrong(doctor.findings(loaded, world(ari=ari, plan=wellness.plan(steps(CALLS["agi"])))))
    assert ids(found) == ([] if right else [("dialplan.agi_address", ERROR)])
    assert all(listen in one.what for one in found)


def test_agi_address_that_nobody_tells(tmp_path: Path) -> None:
    doors: dict[str, Any] = {door: replace(getattr(wellness, door.upper()), variables=None) for door in ("ari", "ami")}
    watchdog, found = told(tmp_path, steps(CALLS["agi"]), **doors)
    assert (watchdog.id, watchdog.severity) == ("dialplan.watchdog", UNKNOWN)
    assert (found.id, found.severity) == ("dialplan.agi_address", UNKNOWN)
    assert "dialplan show globals" in found.mend


@pytest.mark.parametrize(("variable", "right"), [("", True), ("127.0.0.1:4999", False)])
def test_agi_address_that_ami_tells(tmp_path: Path, variable: str, right: bool) -> None:
    """Where the PBX has no ari, or ARI does not tell."""
    ami = replace(wellness.AMI, variables={"AGISMS_AGI": variable, "AGISMS_WATCHDOG": ""})
    for ari in (None, replace(wellness.ARI, variables=None)):
        found = told(tmp_path, steps(CALLS["agi"]), ari=ari, ami=ami)
        assert ids(found) == ([] if right else [("dialplan.agi_address", ERROR)])


def test_agi_address_in_the_dialplan(tmp_path: Path) -> None:
    found = told(tmp_path, steps(CALLS["ari"], "AGI(agi://127.0.0.1:4999/desk)"))
    assert ids(found) == [("dialplan.agi_address", ERROR)]
    assert found[0].mend == "write AGI(agi://127.0.0.1:4573/desk) there"


def test_agi_with_commas_is_mended_as_a_url(tmp_path: Path) -> None:
    (found,) = told(tmp_path, steps(CALLS["ari"], "AGI(agi://127.0.0.1:4999/desk,var.A=${B},delay=5m)"))
    assert found.mend == "write AGI(agi://127.0.0.1:4573/desk?var.A=${B}&delay=5m) there"


def test_agi_that_may_be_ours(tmp_path: Path) -> None:
    """It goes where a gateway usually listens, and ours does not."""
    calls = steps(CALLS["ari"], "AGI(agi://localhost/report)", "AGI(agi://127.0.0.1:4573/${NODE})")
    (found,) = told(tmp_path, calls, agi=False)
    assert (found.id, found.severity) == ("dialplan.agi_off", UNKNOWN)
    assert "from-trunk,100,2 (extensions.conf:2), from-trunk,100,3" in found.what
    assert "agi: {listen: 127.0.0.1:4573}" in found.mend
    assert told(tmp_path, calls.replace("/report", "/desk"), agi=False)[0].severity is ERROR
    (surely,) = told(tmp_path, steps(CALLS["ari"], "AGI(agi://${AGISMS_AGI}/desk)"), agi=False)
    assert (surely.id, surely.severity) == ("dialplan.agi_off", ERROR)


# --- ways that the configuration does not open ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "doors", "expected", "mend"),
    [
        ("ari", ("ami",), [("dialplan.ari_off", WARNING)], "Gosub(agi-sms-event,s,1(desk)) there"),
        ("ari", (), [("dialplan.ari_off", ERROR)], "Gosub(agi-sms-agi,s,1(desk)) there"),
        ("stasis", ("ami",), [("dialplan.ari_off", ERROR)], "Gosub(agi-sms-event,s,1(desk)) there"),
        ("event", ("ari",), [("dialplan.ami_off", ERROR)], "give pbx.main its ami"),
        ("userevent", ("ari",), [("dialplan.ami_off", ERROR)], "give pbx.main its ami"),
        ("event", ("ami",), [], ""),
        ("agi", ("ami",), [], ""),
    ],
)
def test_ways_that_are_not_open(
    tmp_path: Path, way: str, doors: tuple[str, ...], expected: list[tuple[str, Severity]], mend: str
) -> None:
    pbx = {door: PBX[door] for door in doors} | {"addresses": ["127.0.0.1"]}
    said: dict[str, Any] = {door: None for door in ("ari", "ami") if door not in doors}
    found = [
        one for one in told(tmp_path, steps(CALLS[way]), pbx={"main": pbx}, **said) if one.id.startswith("dialplan")
    ]
    expected = [*expected, ("dialplan.node_unreached", WARNING)] if ERROR in dict(expected).values() else expected
    beside = ("dialplan.agi_address", "dialplan.unrecorded", "dialplan.watchdog")
    found = [one for one in found if one.id not in beside]
    assert ids(found) == expected
    assert not expected or (mend in found[0].mend and "from-trunk,100,1" in found[0].what)


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("application", "words"),
    [
        ("Gosub(agi-sms,s,1(desk,7))", "the argument 7 is no key=value"),
        ("Gosub(agi-sms-event,s,1(desk,colour=red))", "the argument colour=red is none that there is"),
        ("Gosub(agi-sms,s,1(desk,var.A B=1))", "the argument var.A B=1 cannot be used (not a variable's name"),
        ("AGI(agi://127.0.0.1:4573/desk,7)", "the argument 7 is no key=value"),
        ("Gosub(agi-sms,s,1(desk,call=${X}))", "the argument call=${X} is given by the subroutine itself"),
        ("Gosub(agi-sms,s,1(desk,back=1))", "the argument back=1 is given by the subroutine itself"),
        ("Gosub(agi-sms-agi,s,1(desk,linkedid=1))", "the argument linkedid=1 is given by the subroutine itself"),
        ("Gosub(agi-sms-event,s,1(desk,trunk=acme))", "the argument trunk=acme is given by the subroutine itself"),
        ("Gosub(agi-sms,s,1(desk,visit=${X}))", "the argument visit=${X} is given by the subroutine itself"),
        ("Gosub(agi-sms,s,1(desk,caller=${X}))", "the argument caller=${X} is given by the subroutine itself"),
        ("Gosub(agi-sms,s,1(desk,dialled=${X}))", "the argument dialled=${X} is given by the subroutine itself"),
        ("Gosub(agi-sms,s,1(desk,origin=${X}))", "the argument origin=${X} is given by the subroutine itself"),
        ("Gosub(agi-sms,s,1(desk,var.A=1,var.A=${B}))", "the argument var.A=${B} is given twice"),
        ("Stasis(agi-sms,desk,call=1,call=2)", "the argument call=2 is given twice"),
        ("Stasis(agi-sms,desk,visit=no%20visit)", "cannot be used (visit is neither a UUID nor the like"),
        ("Gosub(agi-sms,s,1(desk,delay=soon))", "the argument delay=soon cannot be used ("),
        ("Gosub(agi-sms,s,1(desk,sender=WayTooLongForIt))", "the argument sender=WayTooLongForIt cannot be used ("),
        ("Gosub(agi-sms,s,1(desk,recipients=${R}))", "recipients=${R} is not used: the node desk has no"),
        (
            "Gosub(agi-sms,s,1(desk,,,,,,,,,var.A=1))",
            "the argument var.A=1 is the 9th or later, and [agi-sms] hands on 8",
        ),
        ("Stasis(agi-sms,desk,call=1,origin=2,back=1,var.A=1,var.B=2,var.C=3,var.D=4,var.E=5,var.F=6)", ""),
        ("Gosub(agi-sms,s,1(desk,sender=${S},delay=${D},var.A=${B},var.C=${B}))", ""),
        ('Gosub(agi-sms,s,1(desk,var.A="1,2",sender=A%26B))', ""),
        ("Gosub(agi-sms,s,1(desk,var.A=,,delay=5m,sender=A,${ANY},${KEY}=1))", ""),
        ("Gosub(agi-sms,s,1(other,recipients=+48600100300,delay=2h))", ""),
    ],
)
def test_arguments(tmp_path: Path, application: str, words: str) -> None:
    calls = steps(CALLS["ari"], application)
    nodes = {"desk": NODE, "other": NODE | {"dialplan_recipients": True}}
    found = [one for one in told(tmp_path, calls, nodes=nodes) if one.id == "dialplan.argument"]
    assert [one.severity for one in found] == [ERROR] * bool(words)
    for one in found:
        assert words in one.what
        assert "from-trunk,100,2 (extensions.conf:2)" in one.what
        assert ("AGI(agi://HOST/NODE?key=value" in one.mend) == application.startswith("AGI")


@pytest.mark.parametrize("subroutine", dialplan.OURS)
@pytest.mark.parametrize("key", [*arguments.KEYS, "var.A"])
def test_keys_that_are_left_to_the_dialplan(tmp_path: Path, subroutine: str, key: str) -> None:
    value = {"recipients": "%2B48600100300", "sender": "A", "delay": "5m"}.get(key, "1")
    nodes = {"desk": NODE | {"dialplan_recipients": True}}
    found = told(tmp_path, steps(f"Gosub({subroutine},s,1(desk,{key}={value}))"), nodes=nodes)
    left = key in doctor_arguments.WISHES or key == "var.A"
    assert [one.id for one in found] == ([] if left else ["dialplan.argument"])


def test_subroutines_give_the_others() -> None:
    """In dialplan/: twice given, the gateway, or whoever reads a record in AstDB, refuses them."""
    files = [line for path in shipped.DIALPLAN.glob("agi-sms*.conf") for line in path.read_text().splitlines()]
    code = "\n".join(line for line in files if not line.startswith(";"))
    given = set(re.findall(r"\b([a-z_]+)=(?:\$\{|1,|event:)", code)) & set(arguments.KEYS)
    assert given == set(arguments.KEYS) - set(doctor_arguments.WISHES)
    assert f"${{ARG{doctor_arguments.HANDED_ON + 1}}}" in code
    assert f"${{ARG{doctor_arguments.HANDED_ON + 2}}}" not in code


# --- what is misspelt -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("application", "severity", "words"),
    [
        ("Gosub(agi_sms,s,1(desk))", ERROR, "there is no [agi_sms] to which from-trunk,100,2"),
        ("Gosub(agisms,s,1(desk))", ERROR, "there is no [agisms]"),
        ("Gosub(agi-sms,1,1(desk))", ERROR, "agi-sms,1,1 is not where [agi-sms] begins"),
        ("Gosub(agi-sms,s,5(desk))", ERROR, "agi-sms,s,5 is not where"),
        ("Gosub(agi-sms,1(desk))", ERROR, "agi-sms,1 is an extension of from-trunk, which it does not have"),
        ("Gosub(agi-sms(desk))", ERROR, "agi-sms is a priority of from-trunk,100, which it does not have"),
        ("GosubIf($[${X}]?agi-sms-event,1,1(desk))", ERROR, "agi-sms-event,1,1 is not where"),
        ("ExecIf($[${X}]?Gosub(agi_sms,s,1(desk)))", ERROR, "there is no [agi_sms]"),
        ("Set(CHANNEL(hangup_handler_push)=agi-sms-evnt,s,1(desk))", ERROR, "there is no [agi-sms-evnt]"),
        ("Dial(PJSIP/a,20,B(agi-sms^1^1(desk)))", ERROR, "agi-sms,1,1 is not where"),
        ("Goto(agi-sms,s,1)", WARNING, "goes to agi-sms,s,1"),
        ("GotoIf($[${X}]?agi-sms-event,s,1)", WARNING, "goes to agi-sms-event,s,1"),
        ("Goto(agi_sms,s,1)", WARNING, "goes to agi_sms,s,1"),
        ("Gosub(agi-sms,${X},1(desk))", None, ""),
        ("Gosub(somewhere,s,1(desk))", None, ""),
        ("Gosub(sub-agi,s,1)", None, ""),
        ("Goto(100,1)", None, ""),
    ],
)
def test_misspelt(tmp_path: Path, application: str, severity: Severity | None, words: str) -> None:
    found = [one for one in told(tmp_path, steps(CALLS["ari"], application)) if one.id == "dialplan.misspelt"]
    assert [one.severity for one in found] == ([severity] if severity else [])
    for one in found:
        assert words in one.what
        assert "from-trunk,100,2 (extensions.conf:2)" in one.what
        assert "Gosub(agi-sms" in one.mend or "hangup_handler_push)=agi-sms-event,s,1" in one.mend


def test_context_of_a_name_like_ours_is_somebodys(tmp_path: Path) -> None:
    text = steps(CALLS["ari"], "Gosub(agi-sms2,s,1(desk))") + "\n[agi-sms2]\nexten => s,1,Return()\n"
    assert told(tmp_path, text) == []


def test_node_with_blanks(tmp_path: Path) -> None:
    """Those around it do not count, as in arguments.parse; those in it can be seen."""
    assert told(tmp_path, steps("Gosub(agi-sms,s,1( desk ))")) == []
    (found,) = told(tmp_path, steps(CALLS["ari"], "Gosub(agi-sms,s,1(front  desk))"))
    assert found.what.startswith('there is no node "front  desk", which is entered at from-trunk,100,2')


# --- after the hangup -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("exten => h,1,Gosub(agi-sms,s,1(desk,var.A=${B}))\n", True),
        ("exten => h,1,Gosub(agi-sms-agi,s,1(desk,var.A=${B}))\n", True),
        ("exten => h,1,AGI(agi://127.0.0.1:4573/desk,var.A=${B})\n", True),
        ("exten => h,1,Stasis(agi-sms,desk,var.A=${B})\n", True),
        ("exten => 200,1,Set(CHANNEL(hangup_handler_push)=agi-sms,s,1(desk,var.A=${B}))\n", True),
        ("exten => h,1,Gosub(agi-sms-event,s,1(desk,var.A=${B}))\n", False),
        ("exten => 200,1,Set(CHANNEL(hangup_handler_push)=agi-sms-event,s,1(desk,var.A=${B}))\n", False),
    ],
)
def test_entered_after_the_hangup(tmp_path: Path, text: str, warned: bool) -> None:
    found = [one for one in told(tmp_path, steps(CALLS["ari"]) + text) if one.id == "dialplan.after_hangup"]
    assert [one.severity for one in found] == [WARNING] * warned
    for one in found:
        assert "(extensions.conf:2)" in one.what
        assert "agi-sms-event,s,1(desk,var.A=${B})" in one.mend


# --- the watchdog -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "severity", "words"),
    [
        ("", None, ""),
        ("2", None, ""),
        ("0.8", None, ""),
        ("10", None, ""),
        ("0", ERROR, "AGISMS_WATCHDOG is 0"),
        ("-1", ERROR, "AGISMS_WATCHDOG is -1"),
        ("2s", ERROR, "AGISMS_WATCHDOG is 2s"),
        ("nan", ERROR, "AGISMS_WATCHDOG is nan"),
        ("0.3", WARNING, "hold_budget 150ms"),
        ("30", WARNING, "30s"),
    ],
)
@pytest.mark.parametrize("way", ["ari", "agi"])
def test_watchdog(tmp_path: Path, way: str, value: str, severity: Severity | None, words: str) -> None:
    variables = {"AGISMS_AGI": "", "AGISMS_WATCHDOG": value}
    for doors in (
        {"ari": replace(wellness.ARI, variables=variables)},
        {"ari": replace(wellness.ARI, variables=None), "ami": replace(wellness.AMI, variables=variables)},
    ):
        found = told(tmp_path, steps(CALLS[way]), **doors)
        assert ids(found) == ([("dialplan.watchdog", severity)] if severity else [])
        assert all(words in one.what and "AGISMS_WATCHDOG=2" in one.mend for one in found)


def test_watchdog_of_a_longer_hold_budget(tmp_path: Path) -> None:
    variables = {"AGISMS_AGI": "", "AGISMS_WATCHDOG": "1"}
    world_ = world(ari=replace(wellness.ARI, variables=variables))
    assert wrong(doctor.findings(wellness.loaded(tmp_path), world_)) == []
    one = only(doctor.findings(wellness.loaded(tmp_path, hold_budget="900ms"), world_))
    assert (one.id, one.severity) == ("dialplan.watchdog", WARNING)


def test_watchdog_that_nobody_tells_or_needs(tmp_path: Path) -> None:
    ari = replace(wellness.ARI, variables=None)
    dumb = replace(wellness.AMI, variables=None)
    assert ids(told(tmp_path, steps(CALLS["ari"]), ari=ari, ami=dumb)) == [("dialplan.watchdog", UNKNOWN)]
    ami = replace(wellness.AMI, variables={"AGISMS_AGI": "", "AGISMS_WATCHDOG": "0"})
    assert told(tmp_path, steps(CALLS["event"]), ari=ari, ami=ami) == []


def test_bare_events_that_are_not_taken(tmp_path: Path) -> None:
    ami = {key: value for key, value in PBX["ami"].items() if key != "bare_events"}
    found = told(tmp_path, steps(CALLS["userevent"]), pbx={"main": PBX | {"ami": ami}})
    (off,) = [one for one in found if one.id == "dialplan.bare_events"]
    assert off.severity is ERROR
    assert off.what.startswith("bare events are not taken (pbx.main.ami.bare_events): no SMS comes of ")
    assert off.mend.startswith("Gosub(agi-sms-event,s,1(desk)) there, or bare_events: true")
