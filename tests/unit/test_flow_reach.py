"""From which extensions a call can come to a node, by jumps that are written out."""

import pytest

from agi_sms import dialplan, flow_reach
from agi_sms.dialplan_calls import target
from agi_sms.dialplan_places import Places
from tests.unit.test_flow_walk import plan

NODE = "Gosub(agi-sms,s,1(company-info))"


def reaching(**contexts: str) -> list[str]:
    """`context/extension` of all from which a node is reached, sorted."""
    made = plan(**contexts)
    found = flow_reach.reaching(Places(made), dialplan.Doors())
    return sorted(f"{name}/{made.contexts[name].extensions[at].name}" for name, at in found)


@pytest.mark.parametrize(
    ("contexts", "found"),
    [
        ({"a": f"1,1,{NODE}\n2,1,Hangup()"}, ["a/1"]),
        ({"a": f"1,1,{NODE}", "b": "1,1,Goto(a,1,1)\n2,1,Hangup()"}, ["a/1", "b/1"]),
        ({"a": f"1,1,{NODE}\n2,1,Goto(1,1)\n3,1,Goto(2,1)"}, ["a/1", "a/2", "a/3"]),
        ({"a": f"1,1,{NODE}", "b": "1,1,ExecIf(x?Goto(a,1,1))"}, ["a/1", "b/1"]),
        ({"a": f"1,1,{NODE}", "b": "1,1,Gosub(a,1,1)", "c": "1,1,Dial(PJSIP/1,,G(b^1^1))"}, ["a/1", "b/1", "c/1"]),
        ({"a": f"1,1,{NODE}", "b": "1,1,GotoIf(x?a,2,1:a,1,1)"}, ["a/1", "b/1"]),
        ({"a": f"1,1,{NODE}", "b": "1,1,Goto(${WHERE},1,1)"}, ["a/1"]),
    ],
)
def test_who_reaches_a_node(contexts: dict[str, str], found: list[str]) -> None:
    assert reaching(**contexts) == found


def test_a_computed_extension_may_be_any_that_can_be_dialled() -> None:
    """A call comes to h, i, t and the like by itself only."""
    assert reaching(a=f"1,1,Hangup()\n2,1,{NODE}", b="1,1,Goto(a,${X},1)") == ["a/2", "b/1"]
    assert reaching(a=f"1,1,Hangup()\nh,1,{NODE}", b="1,1,Goto(a,${X},1)") == ["a/h"]
    assert reaching(a=f"1,1,Hangup()\n2,1,{NODE}", b="=> a", c="1,1,Goto(b,${X},1)") == ["a/2", "c/1"]


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ("Background(welcome)", ["a/1", "a/5"]),
        ("BACKGROUND(welcome)", ["a/1", "a/5"]),
        ("WaitExten(5,,,b)", ["a/1", "a/5"]),
        ("Background(welcome,,en,b)", ["a/5"]),
        ("Background(welcome,,en)", ["a/1", "a/5"]),
        ("Playback(welcome)", ["a/5"]),
    ],
)
def test_a_menu_leads_to_whatever_can_be_dialled_in_its_context(step: str, found: list[str]) -> None:
    assert reaching(a=f"1,1,{step}\n5,1,{NODE}", b="5,1,Hangup()") == found


@pytest.mark.parametrize("special", ["i", "t"])
def test_a_menu_leads_to_wrong_and_missing_keys(special: str) -> None:
    assert reaching(a=f"1,1,Background(welcome)\n{special},1,{NODE}") == ["a/1", f"a/{special}"]
    there = reaching(a="1,1,Background(welcome,,en,b)", b=f"{special},1,{NODE}")
    assert there == ["a/1", f"b/{special}"]


def test_a_menu_elsewhere() -> None:
    assert reaching(a="1,1,Background(welcome,,en,b)", b=f"5,1,{NODE}") == ["a/1", "b/5"]


@pytest.mark.parametrize(
    ("text", "led"),
    [
        ("1", [("a", 0)]),
        ("2,1", [("a", 1)]),
        ("b,7,1", [("b", 0)]),
        ("b,${EXTEN},1", [("b", flow_reach.ANY)]),
        ("${EXTEN},1", [("a", 0)]),
        ("c,${EXTEN},1", [("c", 0)]),
        ("${X},1", [("a", flow_reach.ANY)]),
        ("${X},7,1", []),
        ("nowhere,7,1", []),
    ],
)
def test_where_a_jump_may_lead(text: str, led: list[flow_reach.Key]) -> None:
    """From a's extension 1; `${EXTEN}` is that where there is such a one, and anything where there is none."""
    places = Places(plan(a="1,1,NoOp()\n2,1,NoOp()", b="7,1,NoOp()", c="1,1,NoOp()"))
    assert list(flow_reach.led(places, "a", "1", target(text))) == led
