"""What is red in a flow, and said beside it: steps that enter a node of which the gateway does not hear."""

from agi_sms import dialplan, flow_draw, flow_words
from agi_sms.flow import Flow, Kind, State
from tests.unit.test_flow_walk import CARDS, drawn, plan, ways

ENTERING = """
1,1,Gosub(agi-sms,s,1(company-info))
1,2,Playback(on)
2,1,GosubIf($[${DIALPLAN_EXISTS(agi-sms,s,1)}]?agi-sms,s,1(company-info))
2,2,Playback(on)
3,1,Gosub(agi-sms-event,s,1(nobody))
4,1,AGI(agi://127.0.0.1/company-info)
5,1,AGI(agi://127.0.0.1/nobody)
6,1,AGI(agi://10.0.0.1/billing)
"""


def unheard(flow: Flow) -> list[tuple[str, State | None, str]]:
    return [(step.title, step.state, step.lines[0]) for step in flow.nodes if step.trouble]


def test_a_subroutine_that_is_not_loaded() -> None:
    """Asterisk hangs up where nobody asks first whether it is there."""
    without = dialplan.Dialplan(contexts={"a": plan(a=ENTERING).contexts["a"]})
    flow = flow_draw.draw(without, "a", cards=CARDS)
    why = "[agi-sms] is not loaded"
    assert unheard(flow)[:3] == [
        ("company-info", State.UNHEARD, why),
        ("company-info", State.UNHEARD, why),
        ("nobody", State.UNKNOWN, "[agi-sms-event] is not loaded"),
    ]
    assert "a -1-> SMS company-info" in ways(flow)
    assert "SMS company-info --> Asterisk hangs up" in ways(flow)
    assert "SMS company-info --> Playback on" in ways(flow)
    assert flow_words.warnings(flow)[0] == f"a,1,1 (extensions.conf:1) enters company-info, and {why}"
    assert flow_words.warnings(flow)[2].endswith(
        "enters nobody, which the configuration does not have, and [agi-sms-event] is not loaded"
    )


def test_a_pbx_without_ari() -> None:
    doors = dialplan.Doors(pbx="main", ari=False, nodes=CARDS)
    found = unheard(flow_draw.draw(plan(a=ENTERING), "a", cards=CARDS, doors=doors))
    assert [one for one in found if one[1] is State.UNHEARD] == [
        ("company-info", State.UNHEARD, "pbx main has no ari")
    ] * 2


def test_agi_where_the_gateway_does_not_listen() -> None:
    """Ours are red; what goes where gateways usually listen may be ours; what goes elsewhere is not."""
    doors = dialplan.Doors(agi_port=None, nodes=CARDS)
    flow = flow_draw.draw(plan(a=ENTERING), "a", cards=CARDS, doors=doors)
    assert ("company-info", State.UNHEARD, "the configuration has no agi") in unheard(flow)
    kinds = {step.lines[0]: (step.kind, step.lines[1:]) for step in flow.steps if step.title == "AGI"}
    assert kinds == {
        "agi://127.0.0.1/nobody": (Kind.COMPUTED, (flow_words.PERHAPS,)),
        "agi://10.0.0.1/billing": (Kind.STEP, ()),
    }


def test_what_is_drawn_twice_is_one_warning() -> None:
    """And the heading counts what the warnings name."""
    flow = drawn(
        a="1,1,Gosub(sub,s,1)\n1,2,Playback(x)\n2,1,Gosub(sub,s,1)\n2,2,Goto(gone,s,1)",
        sub="s,1,Gosub(agi-sms,s,1(nobody))\ns,2,Return()",
    )
    assert len([step for step in flow.nodes if step.title == "nobody"]) == 2
    assert flow_words.warnings(flow) == (
        "sub,s,1 (extensions.conf:6) enters nobody, which the configuration does not have",
        "the dialplan goes on at gone,s,1, which it does not have",
    )
    assert flow_words.facts(flow) == "1 SMS node · 2 warnings"
