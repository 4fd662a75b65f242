"""The way of calls through a dialplan as a graph, and as Mermaid and SVG."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import dialplan, dialplan_calls, dialplan_listing, flow_draw, flow_svg, flow_walk, flow_words
from agi_sms.flow import Flow, Kind, State

DATA = Path(__file__).resolve().parents[1] / "data" / "dialplan"
COMPANY = dialplan.parse_show((DATA / "company.txt").read_text(encoding="utf-8"))
NAMES = ("company-info", "missed-call", "order-status", "on-call-alarm", "sms-gateway")
CARDS: Mapping[str, tuple[str, ...]] = {name: (f"what {name} is",) for name in NAMES}


def plan(**contexts: str) -> dialplan.Dialplan:
    """A dialplan in short: `exten,priority[(label)],Application(data)` in each line; `=> name` includes a context.

    Our subroutines are there too.
    """
    lines = []
    for name, body in contexts.items():
        lines.append(f"[ Context '{name.replace('_', '-')}' created by 'pbx_config' ]")
        last = None
        for row in filter(None, map(str.strip, body.splitlines())):
            if row.startswith("=>"):
                lines.append(f"  Include =>        '{row[2:].strip()}'  [pbx_config]")
                continue
            if row.startswith("switch"):
                lines.append(f"  Alt. Switch =>    '{row[6:].strip()}'  [pbx_config]")
                continue
            exten, number, step = row.split(",", 2)
            match = re.fullmatch(r"(\d+)(?:\((.*)\))?", number)
            assert match
            label = f"   [{match[2]}]" if match[2] else ""
            head = f"'{exten}' =>" if exten != last else label
            lines.append(f"  {head:<17} {match[1]}. {step}   [extensions.conf:{len(lines)}]")
            last = exten
    for name in dialplan.OURS:
        lines += [f"[ Context '{name}' created by 'pbx_config' ]", "  's' =>  1. Return()   [ours.conf:1]"]
    return dialplan.parse_show("\n".join([*lines, "-= 1 extension (1 priority) in 1 context. =-"]))


def drawn(*, context: str = "a", exten: str | None = None, depth: int = 10, **contexts: str) -> Flow:
    return flow_draw.draw(plan(**contexts), context, exten=exten, cards=CARDS, depth=depth)


def ways(flow: Flow) -> list[str]:
    """Every edge in words; `~` is aside, `?` not sure."""
    named = [
        " ".join((step.title, *step.lines)) if step.kind is not Kind.SMS else f"SMS {step.title}" for step in flow.steps
    ]
    return [
        f"{named[one.source]} -{one.label}-> {named[one.target]}{' ~' * one.aside}{' ?' * (not one.sure)}"
        for one in flow.edges
    ]


# --- the graph ----------------------------------------------------------------------------------------------------


def test_three_steps() -> None:
    flow = flow_draw.draw(COMPANY, "announcement", cards=CARDS)
    assert ways(flow) == [
        "announcement -100-> Playback our-address",
        "Playback our-address --> SMS company-info",
        "SMS company-info --> Queue sales",
        "Queue sales -not answered-> the call ends",
    ]
    (visit,) = flow.nodes
    assert (visit.state, visit.lines) == (State.KNOWN, ("what company-info is", "by Stasis"))
    assert (visit.place, visit.source) == ("announcement,100,3", "extensions_test.conf:11")
    assert flow.steps[1].before == "Answer"


def test_a_whole_company() -> None:
    flow = flow_draw.draw(COMPANY, "from-trunk", cards=CARDS)
    told = ways(flow)
    for way in (
        "from-trunk -+48221131415-> 8:00-16:00, mon-fri?",
        "8:00-16:00, mon-fri? -yes-> Menu menu-main up to 5 s",
        "Menu menu-main up to 5 s -1-> Hangup handler agi-sms-event",
        "Menu menu-main up to 5 s -other keys-> Playback invalid",
        "Menu menu-main up to 5 s -no key-> TRIES < 3?",
        "TRIES < 3? -yes-> Menu menu-main up to 5 s",
        "Gosub sms-and-say(company-info, address-sent) --> SMS company-info",
        "SMS company-info --> Playback address-sent",
        "Playback address-sent --> Menu menu-main up to 5 s",
        "Hangup handler agi-sms-event -when the call ends-> SMS missed-call ~",
        "Queue sales up to 120 s -answered: on the agent's leg-> SMS agent-brief ~",
        "Dial PJSIP/duty1 & PJSIP/duty2 up to 40 s -before it rings: on the callee's leg-> SMS wake-up ~",
        "AGISMS_STATUS = SCHEDULED? -yes-> Playback we-text-you",
        "AGISMS_STATUS = SCHEDULED? -no-> Playback no-mobile",
        "Goto on-call-next,${NEXT_TEAM},1 -south-> SMS on-call-alarm ?",
        "Goto orders-more,${MORE},1 -0-> Hangup ?",
        "from-trunk -when the call ends-> ABANDONED = TRUE? ~",
        "DIALSTATUS = BUSY? -yes-> SMS missed-call",
    ):
        assert way in told, way
    assert {one.title for one in flow.nodes if one.state is State.UNKNOWN} == {
        "agent-brief",
        "on-call-alram",
        "wake-up",
    }
    assert len(flow.steps) == 55


def test_an_extension_alone_and_what_is_deeper_than_wanted() -> None:
    flow = flow_draw.draw(COMPANY, "from-trunk", exten="+48221131415", cards=CARDS, depth=1)
    assert "8:00-16:00, mon-fri? -yes-> … menu,s SMS nodes further on" in ways(flow)
    assert not any("on-call" in way for way in ways(flow))
    flow = flow_draw.draw(COMPANY, "from-trunk", exten="+48221131425", cards=CARDS)
    assert ways(flow)[0].startswith("from-trunk -+48221131425-> Dial")


def test_what_is_not_there_is_named_with_its_nearest() -> None:
    with pytest.raises(flow_draw.NoSuchPlace, match="no context 'form-trunk'; near it: from-trunk"):
        flow_draw.draw(COMPANY, "form-trunk", cards=CARDS)
    with pytest.raises(flow_draw.NoSuchPlace, match="menu has no extension '8'; there are: 1, 2, 3, 9, i, s"):
        flow_draw.draw(COMPANY, "menu", exten="8", cards=CARDS)


def test_a_node_that_only_the_call_knows() -> None:
    flow = drawn(a="s,1,Gosub(agi-sms,s,1(sms-${WHICH}))")
    (visit,) = flow.nodes
    assert (visit.title, visit.state) == ("sms-${WHICH}", State.COMPUTED)


def test_a_node_without_a_name_and_with_wishes() -> None:
    flow = drawn(
        a="s,1,Gosub(agi-sms,s,1)\ns,2,Gosub(agi-sms-event,s,1(missed-call,delay=5m,var.X=${URIENCODE(${X})}))"
    )
    first, second = flow.nodes
    assert (first.title, first.state) == ("no node", State.UNKNOWN)
    assert first.lines == ("no node is named", "by Stasis")
    assert second.lines == ("what missed-call is", "with delay=5m, var.X=X", "by event")
    assert flow_words.warnings(flow) == ("a,s,1 (extensions.conf:1) enters no node, since the step names none",)


def test_runs_of_small_steps_are_folded_into_the_next_box() -> None:
    flow = drawn(
        a="\n".join(
            f"s,{at},{one}"
            for at, one in enumerate(
                ("Set(A=1)", "NoOp()", "Set(B=2)", "Verbose(x)", "Log(NOTICE,x)", "ExecIf(1?Set(C=3))", "Playback(x)"),
                1,
            )
        )
    )
    assert ways(flow) == ["a -s-> Playback x", "Playback x --> the call ends"]
    assert flow.steps[1].before == "Set ×2, NoOp, Verbose and 2 more"


def test_gotos_are_only_lines() -> None:
    flow = drawn(
        a="s,1,Goto(b,s,here)\n",
        b="s,1,Playback(no)\ns,2(here),Goto(3)\ns,3,Goto(+2)\ns,4,Playback(no)\ns,5,Playback(yes)",
    )
    assert ways(flow) == ["a -s-> Playback yes", "Playback yes --> the call ends"]


def test_jumps_that_lead_nowhere() -> None:
    flow = drawn(
        a="1,1,Goto(gone,s,1)\n2,1,Goto(b,8,1)\n3,1,Goto(b,s,7)\n4,1,Goto(c,9,1)\n5,1,Gosub(gone,s,1)\n6,1,NoOp()\n6,2,Goto(6,1)",
        b="s,1,NoOp()",
        c="s,1,NoOp()\nswitch Realtime/x@y",
    )
    assert ways(flow) == [
        "a -1-> no such place gone,s,1",
        "a -2-> no such place b,8,1",
        "a -3-> no such place b,s,7",
        "a -4-> perhaps in a switch c,9,1 Realtime/x@y",
        "a -5-> Gosub gone",
        "a -6-> goes round for ever",
        "Gosub gone --> no such place gone,s,1",
    ]
    kinds = {step.title: step.kind for step in flow.steps}
    assert (kinds["no such place"], kinds["perhaps in a switch"]) == (Kind.MISSING, Kind.COMPUTED)


def test_subroutines_return_each_to_its_own_caller() -> None:
    flow = drawn(
        a="s,1,Gosub(sub,s,1(company-info))\ns,2,Playback(between)\ns,3,Gosub(sub,s,1(${X}))\ns,4,Gosub(quiet,s,1)\ns,5,Hangup()",
        sub="s,1,Gosub(agi-sms,s,1(${ARG1}))\ns,2,Return()",
        quiet="s,1,Playback(inside)\ns,2,Return()",
    )
    assert ways(flow) == [
        "a -s-> Gosub sub(company-info)",
        "Gosub sub(company-info) --> SMS company-info",
        "SMS company-info --> Playback between",
        "Playback between --> Gosub sub(${X})",
        "Gosub sub(${X}) --> SMS ${ARG1}",
        "SMS ${ARG1} --> Gosub quiet",
        "Gosub quiet --> Hangup",
    ]


def test_where_dial_sends_both_legs() -> None:
    flow = drawn(
        a="s,1,Dial(PJSIP/x,20,G(b^s^here))\ns,2,Playback(busy)",
        b="s,1,Playback(no)\ns,2(here),Goto(c,s,1)\ns,3,Gosub(agi-sms,s,1(company-info))\ns,4,Hangup()",
        c="s,1,Playback(caller)\ns,2,Hangup()",
    )
    assert ways(flow) == [
        "a -s-> Dial PJSIP/x up to 20 s",
        "Dial PJSIP/x up to 20 s -answered-> Playback caller",
        "Dial PJSIP/x up to 20 s -answered: on the callee's leg-> SMS company-info ~",
        "Dial PJSIP/x up to 20 s -not answered-> Playback busy",
        "Playback caller --> Hangup",
        "SMS company-info --> Hangup",
        "Playback busy --> the call ends",
    ]


@pytest.mark.parametrize("application", ["Dial(PJSIP/x,20,F(b^s^1))", "Queue(q,F(b^s^1))"])
def test_where_the_callee_goes_when_the_caller_hangs_up(application: str) -> None:
    flow = drawn(a=f"s,1,{application}\ns,2,Hangup()", b="s,1,Gosub(agi-sms,s,1(company-info))\ns,2,Hangup()")
    first, *rest = ways(flow)
    box = first.removeprefix("a -s-> ")
    assert rest[0] == f"{box} -the caller hung up: on the callee's leg-> SMS company-info ~"
    assert rest[1] == f"{box} -not answered-> Hangup"
    assert "SMS company-info --> Hangup" in rest


@pytest.mark.parametrize(
    ("application", "label"),
    [
        ("Dial(PJSIP/x,20,g)", ""),
        ("Dial(PJSIP/x,20,F)", ""),
        ("Dial(PJSIP/x,20,F())", ""),
        ("Dial(PJSIP/x,20,F(gone^s^1))", "not answered"),
        ("Dial(PJSIP/x,20,G(a^s^2))", "not answered"),
        ("Dial(PJSIP/x,20,${OPTIONS})", ""),
        ("Queue(q,c)", ""),
        ("Queue(q,F)", ""),
        ("Queue(q,C)", "not answered"),  # that is "answered elsewhere", for phones that ring
        ("Queue(q,F(gone^s^1))", "not answered"),
    ],
)
def test_when_the_call_goes_on(application: str, label: str) -> None:
    flow = drawn(a=f"s,1,{application}\ns,2,Hangup()")
    assert [way.rpartition(" -")[2] for way in ways(flow) if way.endswith("> Hangup") and f"-{label}-> " in way]
    assert flow_words.goes_on(*application.removesuffix(")").split("(", 1)) == label


def test_macros_come_back_at_their_end_too() -> None:
    """Of Asterisk 16: app_macro."""
    flow = drawn(
        a="s,1,Macro(text,company-info)\ns,2,Playback(between)\ns,3,Macro(quiet)\ns,4,Macro(text,${X})\ns,5,Hangup()",
        macro_text="s,1,Gosub(agi-sms,s,1(${ARG1}))\ns,2,GotoIf($[${Y}]?5)\ns,3,MacroExit()\ns,5,Playback(five)",
        macro_quiet="s,1,Playback(inside)",
    )
    assert ways(flow) == [
        "a -s-> Macro text(company-info)",
        "Macro text(company-info) --> SMS company-info",
        "SMS company-info --> Y?",
        "Y? -yes-> Playback five",
        "Y? -no-> Playback between",
        "Playback five --> Playback between",
        "Playback between --> Macro quiet",
        "Macro quiet --> Macro text(${X})",
        "Macro text(${X}) --> SMS ${ARG1}",
        "SMS ${ARG1} --> Y?",
        "Y? -yes-> Playback five",
        "Y? -no-> Hangup",
        "Playback five --> Hangup",
    ]


def test_macro_on_the_callees_leg_and_one_that_is_not_there() -> None:
    flow = drawn(
        a="s,1,Dial(PJSIP/x,20,M(text^company-info))\ns,2,Macro(gone)",
        macro_text="s,1,Gosub(agi-sms,s,1(${ARG1}))\ns,2,MacroExit()",
    )
    assert ways(flow) == [
        "a -s-> Dial PJSIP/x up to 20 s",
        "Dial PJSIP/x up to 20 s -answered: on the callee's leg-> SMS company-info ~",
        "Dial PJSIP/x up to 20 s -not answered-> Macro gone",
        "SMS company-info --> return",
        "Macro gone --> no such place macro-gone,s,1",
    ]


def test_a_subroutine_that_runs_itself_ends() -> None:
    flow = drawn(a="s,1,Gosub(agi-sms,s,1(company-info))\ns,2,Gosub(a,s,1)\ns,3,Hangup()")
    assert len(flow.steps) < 20
    assert any("Gosub a --> Hangup" in way for way in ways(flow))


def test_the_calls_own_extension_is_known_or_a_pattern() -> None:
    flow = drawn(
        a="7,1,Goto(b,${EXTEN},1)\n_8X,1,Goto(b,${EXTEN},1)\n_9X,1,Gosub(c,${EXTEN},1)\n_9X,2,Goto(d,${EXTEN},1)",
        b="_X,1,Gosub(agi-sms,s,1(n-${EXTEN}))\n_8X,1,Set(CHANNEL(hangup_handler_push)=c,${EXTEN},1)",
        c="_9X,1,Gosub(agi-sms,s,1(company-info))\n_9X,2,Return()\n_8X,1,Gosub(agi-sms-event,s,1(missed-call))",
        d="1,1,Gosub(agi-sms,s,1(company-info))",
    )
    assert ways(flow) == [
        "a -7-> SMS n-7",
        "a -_8X-> Hangup handler c",
        "a -_9X-> Gosub c,_9X,1",
        "SMS n-7 --> the call ends",
        "Hangup handler c -when the call ends-> SMS missed-call ~",
        "Hangup handler c --> the call ends",
        "Gosub c,_9X,1 --> SMS company-info",
        "SMS missed-call --> the call ends",
        "SMS company-info --> Goto d,${EXTEN},1",
        "Goto d,${EXTEN},1 -1-> SMS company-info ?",
        "SMS company-info --> the call ends",
    ]


def test_conditions() -> None:
    flow = drawn(
        a="""
        1,1,GotoIf($["${DIALSTATUS}" = "BUSY"]?3:4)
        1,2,Hangup()
        1,3,Playback(busy)
        1,4,GosubIf($[${DIALPLAN_EXISTS(agi-sms,s,1)}]?agi-sms,s,1(company-info))
        1,5,GosubIf(${A}?agi-sms,s,1(missed-call):b,s,1)
        1,6,ExecIf($[${A} > 1]?Hangup():Playback(low))
        1,7,GotoIf(${A}?)
        """,
        b="s,1,Return()",
    )
    assert ways(flow) == [
        "a -1-> DIALSTATUS = BUSY?",
        "DIALSTATUS = BUSY? -yes-> Playback busy",
        "DIALSTATUS = BUSY? -no-> SMS company-info",
        "Playback busy --> SMS company-info",
        "SMS company-info --> A?",
        "A? -yes-> SMS missed-call",
        "A? -no-> Gosub b",
        "SMS missed-call --> A > 1?",
        "Gosub b --> A > 1?",
        "A > 1? -yes-> Hangup",
        "A > 1? -no-> Playback low",
        "Playback low --> the call ends",
    ]


def test_loops_and_ifs_of_applications() -> None:
    flow = drawn(
        a="""
        1,1,While($[${N} < 3])
        1,2,Playback(again)
        1,3,ExecIf(${X}?ExitWhile())
        1,4,EndWhile()
        1,5,If(${A})
        1,6,Playback(a)
        1,7,ElseIf(${B})
        1,8,Playback(b)
        1,9,Else()
        1,10,Playback(c)
        1,11,EndIf()
        1,12,Hangup()
        """
    )
    assert ways(flow) == [
        "a -1-> N < 3?",
        "N < 3? -yes-> Playback again",
        "N < 3? -no-> A?",
        "Playback again --> X?",
        "A? -yes-> Playback a",
        "A? -no-> B?",
        "X? -yes-> A?",
        "X? -no-> N < 3?",
        "Playback a --> Hangup",
        "B? -yes-> Playback b",
        "B? -no-> Playback c",
        "Playback b --> Hangup",
        "Playback c --> Hangup",
    ]


def test_digits_of_a_menu() -> None:
    flow = drawn(
        a="""
        s,1,Background(hello)
        s,2,Set(A=1)
        s,3,WaitExten(7)
        1,1,Gosub(agi-sms,s,1(company-info))
        *,1,Playback(star)
        _2X,1,Playback(two)
        i,1,Goto(s,1)
        t,1,Hangup()
        => more
        """,
        more="\n".join(f"{number},1,Playback(n)" for number in range(500, 520))
        + "\n600,1,Gosub(agi-sms,s,1(missed-call))",
    )
    assert ways(flow)[:8] == [
        "a -s-> Menu hello up to 7 s",
        "Menu hello up to 7 s -1-> SMS company-info",
        "Menu hello up to 7 s -*-> Playback star",
        "Menu hello up to 7 s -_2X-> Playback two",
        "Menu hello up to 7 s -600 (include more)-> SMS missed-call",
        "Menu hello up to 7 s --> 20 more extensions without an SMS node",
        "Menu hello up to 7 s -other keys-> Menu hello up to 7 s",
        "Menu hello up to 7 s -no key-> Hangup",
    ]


def test_a_menu_of_another_context_and_background_without_digits() -> None:
    flow = drawn(a="s,1,Background(hello,,,b)\ns,2,Playback(late)", b="1,1,Playback(one)\nt,1,Playback(no)")
    assert ways(flow)[:3] == [
        "a -s-> Menu hello",
        "Menu hello -1-> Playback one",
        "Menu hello -no key-> Playback late",
    ]
    assert ways(drawn(a="s,1,Background(hello)\ns,2,Hangup()")) == ["a -s-> Menu hello", "Menu hello --> Hangup"]


def test_callers_with_extensions_of_their_own() -> None:
    rows = "[ Context 'a' created by 'pbx_config' ]\n"
    rows += "  's' =>            1. Goto(100,1)  [a:1]\n"
    rows += "  '100' (CID match '_48X.') =>  1. Playback(pl)  [a:2]\n  '100' =>          1. Playback(all)  [a:3]\n"
    flow = flow_draw.draw(dialplan.parse_show(rows), "a", cards={})
    assert ways(flow)[:3] == [
        "a -s-> who calls?",
        "who calls? -caller _48X.-> Playback pl",
        "who calls? -others-> Playback all",
    ]


def test_voicemail_keys_and_the_end_of_the_call() -> None:
    flow = drawn(
        a="s,1,VoiceMail(1@default)\no,1,Gosub(agi-sms,s,1(company-info))\na,1,Playback(no)\nh,1,Goto(b,s,1)\nT,1,Goto(b,s,1)",
        b="s,1,Gosub(agi-sms-event,s,1(missed-call))",
    )
    assert ways(flow) == [
        "a -s-> VoiceMail 1@default",
        "VoiceMail 1@default -0-> SMS company-info",
        "VoiceMail 1@default --> the call ends",
        "SMS company-info --> the call ends",
        "a -when the call ends-> SMS missed-call ~",
        "SMS missed-call --> the call ends",
    ]


def test_many_extensions_are_grouped() -> None:
    quiet = "\n".join(f"{number},1,Playback(n)" for number in range(100, 113))
    loud = "\n".join(f"{number},1,Gosub(agi-sms,s,1(company-info))" for number in range(200, 250))
    flow = drawn(a=f"{quiet}\n{loud}")
    assert "a --> 13 more extensions without an SMS node" in ways(flow)
    assert "a --> 10 more extensions with SMS nodes" in ways(flow)
    assert len(flow.nodes) == 40


@pytest.mark.parametrize(
    ("application", "ways_of_it"),
    [
        (
            "MacroIf($[${X}]?text,company-info:quiet)",
            ("yes-> Macro text(company-info)", "no-> Macro quiet"),
        ),
        ("MacroIf($[${X}]?text,company-info)", ("yes-> Macro text(company-info)", "no-> Hangup")),
    ],
)
def test_macros_behind_a_condition(application: str, ways_of_it: tuple[str, str]) -> None:
    flow = drawn(
        a=f"s,1,{application}\ns,2,Hangup()",
        macro_text="s,1,Gosub(agi-sms,s,1(${ARG1}))",
        macro_quiet="s,1,Playback(inside)",
    )
    told = ways(flow)
    assert told[:3] == ["a -s-> X?", *(f"X? -{way}" for way in ways_of_it)]
    assert "Macro text(company-info) --> SMS company-info" in told
    assert "SMS company-info --> Hangup" in told


def test_a_flow_without_end_is_cut() -> None:
    rows = "\n".join(
        f"{at},1,Playback({at})\n{at},2,GotoIf(${{X}}?{at * 2 % 997},1)\n{at},3,Goto({at * 3 % 991},1)"
        for at in range(1000)
    )
    flow = drawn(a=rows, exten="1", depth=99)
    assert 200 <= len(flow.steps) < 900
    assert any(step.kind is Kind.MORE for step in flow.steps)
    assert not flow.whole
    assert flow_words.facts(flow).endswith(" · not all of it")


def test_menus_that_lead_to_menus_are_cut_where_mermaid_ends() -> None:
    """500 ways: see maxEdges, https://mermaid.js.org/config/schema-docs/config.html"""
    menus = {
        f"c{at}": "\n".join(
            f"{key},1,Background(x,,,c{(at * 7 + key) % 12})\n{key},2,Gosub(agi-sms,s,1(company-info))"
            for key in range(40)
        )
        for at in range(12)
    }
    flow = drawn(context="c0", depth=100, **menus)
    assert 400 < len(flow.edges) <= 500
    assert len(flow.steps) > 100
    assert not flow.whole
    assert any(way.endswith("more extensions with SMS nodes") for way in ways(flow))


def test_a_long_way_without_boxes_is_gone_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def silent(walk: flow_walk.Walk, spot: flow_walk.Spot, depth: int) -> flow_walk.Spot | int | None:
        nonlocal looked
        looked += 1
        return before(walk, spot, depth)

    before = flow_walk.Walk.silent
    monkeypatch.setattr(flow_walk.Walk, "silent", silent)
    jumps = "\n".join(f"s,{at},GotoIf($[{at}]?b,s,1)" for at in range(1, 101))
    flow = drawn(a=jumps, b="\n".join(f"s,{at},NoOp({at})" for at in range(1, 1001)))
    assert flow.whole
    assert sum("yes" in way for way in ways(flow)) == 100
    assert looked < 1500


def test_what_was_too_deep_by_one_way_is_drawn_by_a_shorter_one() -> None:
    flow = drawn(
        depth=2,
        a="s,1,Goto(b,s,1)\nh,1,NoOp()\nh,2,Goto(c,s,1)",
        b="s,1,Goto(a,h,1)",
        c="s,1,Gosub(agi-sms,s,1(company-info))",
    )
    assert "a -s-> … c,s SMS nodes further on" in ways(flow)
    assert "a -when the call ends-> SMS company-info ~" in ways(flow)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (
            "While(${A}) While(${B}) ContinueWhile() EndWhile() ExecIf(${X}?ContinueWhile()) ExecIf(${Y}?ExitWhile())"
            " Playback(in) EndWhile() Hangup()",
            [
                *("a -1-> A?", "A? -yes-> B?", "A? -no-> Hangup", "B? -yes-> B?", "B? -no-> X?", "X? -yes-> A?"),
                *("X? -no-> Y?", "Y? -yes-> Hangup", "Y? -no-> Playback in", "Playback in --> A?"),
            ],
        ),
        (
            "While(${A}) ExitWhile() While(${B}) EndWhile() EndWhile() Hangup()",
            ["a -1-> A?", "A? -yes-> Hangup", "A? -no-> Hangup"],
        ),
        (
            "If(${A}) ExitIf() If(${B}) EndIf() Playback(no) EndIf() Hangup()",
            ["a -1-> A?", "A? -yes-> Hangup", "A? -no-> Hangup"],
        ),
        ("ExitWhile() Playback(x)", ["a -1-> the call ends"]),
    ],
)
def test_loops_and_ifs_in_each_other(steps: str, expected: list[str]) -> None:
    assert ways(drawn(a="\n".join(f"1,{at},{one}" for at, one in enumerate(steps.split(), 1)))) == expected


def places(flow: Flow) -> list[tuple[str, Kind, str]]:
    return [(step.title, step.kind, step.place) for step in flow.steps[1:]]


def test_steps_name_their_places_and_the_context_that_is_included() -> None:
    flow = drawn(a="=> b\ns,1,Goto(7,1)", b="7,1,GotoIf(${X}?gone,1,1:${Y},1)\n8,1,Playback(x)\n8,2,NoOp()")
    assert "a -8 (include b)-> Playback x" in ways(flow)
    assert places(flow) == [
        ("X?", Kind.CHOICE, "a,7,1 (of b)"),
        ("no such place", Kind.MISSING, "gone,1,1"),
        ("Goto", Kind.COMPUTED, "a,7,1 (of b)"),
        ("Playback", Kind.STEP, "a,8,1 (of b)"),
        ("the call ends", Kind.END, "a,8,3 (of b)"),
    ]


def test_groups_of_extensions_have_a_place_and_one_alone_is_one() -> None:
    loud = "\n".join(f"{at},1,Gosub(agi-sms,s,1(company-info))" for at in range(100, 141))
    flow = drawn(a=loud)
    assert "a --> 1 more extension with SMS nodes" in ways(flow)
    assert ("1 more extension", Kind.MORE, "a") in places(flow)


def test_few_extensions_without_nodes_are_drawn_of_each_context_by_itself() -> None:
    own, included = ("\n".join(f"{at},1,Playback({at})" for at in numbers) for numbers in (range(12), range(20, 33)))
    told = ways(drawn(a=f"=> b\n{own}", b=included))
    assert told[:12] == [f"a -{at}-> Playback {at}" for at in range(12)]
    assert told[12] == "a --> 13 more extensions without an SMS node"


def test_extensions_without_a_first_step_are_no_beginning() -> None:
    assert ways(drawn(a="1,2,Playback(late)\n2,1,Playback(x)"))[0] == "a -2-> Playback x"


def test_where_a_computed_jump_may_lead() -> None:
    """To any digits where Read asked for them, and to what leads to a node, but for what a call comes to by itself."""
    node = "Gosub(agi-sms,s,1(company-info))"
    inner = f"1,1,Playback(one)\n_X,1,Playback(any)\n7x,1,{node}\nt,1,{node}\nq,1,Playback(no)"
    asked = ways(drawn(a="s,1,Read(KEY,ask)\ns,2,Goto(b,${KEY},1)", b=inner))
    assert [way for way in asked if way.endswith("?")] == [
        "Goto b,${KEY},1 -1-> Playback one ?",
        "Goto b,${KEY},1 -7x-> SMS company-info ?",
    ]
    unasked = ways(drawn(a="s,1,Read(OTHER,ask)\ns,2,Goto(b,${KEY},1)", b=inner))
    assert [way for way in unasked if way.endswith("?")] == ["Goto b,${KEY},1 -7x-> SMS company-info ?"]


def test_a_long_extension_is_cut_as_asterisk_does() -> None:
    name = "9" * flow_walk.LONGEST_EXTEN
    assert ways(drawn(a=f"s,1,Goto({name}8,1)\n{name},1,Playback(cut)"))[0] == "a -s-> Playback cut"


@pytest.mark.parametrize(
    ("depth", "expected", "place"),
    [
        (0, ["a -s-> … b,s"], "b,s,1"),
        (1, ["a -s-> Playback b", "Playback b --> … c,s"], "c,s,1"),
        (2, ["a -s-> Playback b", "Playback b --> Playback c", "Playback c --> the call ends"], "c,s,2"),
    ],
)
def test_as_many_jumps_as_were_wanted_are_drawn(depth: int, expected: list[str], place: str) -> None:
    """One within an extension is none."""
    flow = drawn(
        depth=depth,
        a="s,1,Goto(s,3)\ns,3,Goto(b,s,1)",
        b="s,1,Playback(b)\ns,2,Goto(c,s,1)",
        c="s,1,Playback(c)",
    )
    assert ways(flow) == expected
    assert flow.steps[-1].place == place


def test_what_goes_round_says_where() -> None:
    flow = drawn(a="s,1,Goto(b,s,1)", b="s,1,NoOp()\ns,2,Goto(a,s,1)")
    assert places(flow) == [("goes round for ever", Kind.END, "a,s,1")]


def test_callers_with_and_without_a_number_at_a_label() -> None:
    rows = "[ Context 'a' created by 'pbx_config' ]\n  's' =>            1. Goto(100,here)  [a:1]\n"
    for at, match in enumerate(("''", "'_48X.'")):
        rows += f"  '100' (CID match {match}) =>  1. NoOp()  [a:2]\n     [here]           2. Playback({at})  [a:2]\n"
    rows += "  '100' =>          1. Playback(all)  [a:3]\n"
    flow = flow_draw.draw(dialplan.parse_show(rows), "a", exten="s", cards={})
    assert ways(flow)[:3] == [
        "a -s-> who calls?",
        "who calls? -no number-> Playback 0",
        "who calls? -caller _48X.-> Playback 1",
    ]
    assert places(flow)[0] == ("who calls?", Kind.CHOICE, "a,100,2")


def test_callers_whose_extension_lacks_the_step_are_left_out_and_the_others_keep_their_names() -> None:
    rows = "[ Context 'a' created by 'pbx_config' ]\n  's' =>            1. Goto(100,2)  [a:1]\n"
    rows += "  '100' (CID match '_48X.') =>  1. Playback(pl)  [a:2]\n"
    rows += "  '100' (CID match '_49X.') =>  1. NoOp()  [a:3]\n                    2. Playback(de)  [a:3]\n"
    rows += "  '100' =>          1. NoOp()  [a:4]\n                    2. Playback(all)  [a:4]\n"
    flow = flow_draw.draw(dialplan.parse_show(rows), "a", exten="s", cards={})
    assert ways(flow)[:3] == [
        "a -s-> who calls?",
        "who calls? -caller _49X.-> Playback de",
        "who calls? -others-> Playback all",
    ]


# --- what is made to explode --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["1${EXTEN}", "${EXTEN}${EXTEN}"])
def test_an_extension_that_grows_is_cut_as_asterisk_does(where: str) -> None:
    flow = drawn(exten="1", a=f"_1!,1,Goto({where},1)")
    assert ways(flow) == ["a -1-> goes round for ever"]


def test_arguments_that_double_are_cut() -> None:
    inner = {f"n{at}": f"s,1,Gosub(n{at + 1},s,1(${{ARG1}}${{ARG1}}))\ns,2,Return()" for at in range(40)}
    last = "s,1,Gosub(agi-sms,s,1(company-info,var.A=${ARG1}))\ns,2,Return()"
    flow = drawn(depth=100, a="s,1,Gosub(n0,s,1(xx))\ns,2,Hangup()", n40=last, **inner)
    assert flow.whole
    assert [step.title for step in flow.nodes] == ["company-info"]
    assert len(flow_words.given("${ARG1}" * 500, {"ARG1": "x" * 4096})) <= 4096 + len(dialplan_listing.CUT)
    assert dialplan_calls.computed(flow_words.given("${ARG1}" * 500, {"ARG1": "x" * 4096}))


def test_an_argument_that_is_not_known_stays() -> None:
    known = {"ARG1": "one", "EXTEN": "7"}
    assert flow_words.given("${ARG1}-${ARG2}-${ARG10}-${EXTEN}-${EXTEN:1}-${ARG1${X}}", known) == (
        "one-${ARG2}-${ARG10}-7-${EXTEN:1}-${ARG1${X}}"
    )


def test_many_subroutines_in_each_other() -> None:
    """Two calls of the next in each: none is looked at twice as long as the one around it."""
    inner = {f"n{at}": f"s,1,Gosub(n{at + 1},s,1(a))\ns,2,Gosub(n{at + 1},s,1(b))\ns,3,Return()" for at in range(40)}
    last = "s,1,Gosub(agi-sms,s,1(company-info))\ns,2,Return()"
    flow = drawn(depth=100, a="s,1,Gosub(n0,s,1(x))\ns,2,Hangup()", n40=last, **inner)
    assert "Gosub n39(a) --> Gosub n40(a)" in ways(flow)
    assert "Gosub n40(a) --> SMS company-info" in ways(flow)


def test_applications_that_run_one_another_too_deep_are_a_box() -> None:
    deep = "ExecIf(1?" * 100 + "NoOp()" + ")" * 100
    assert ways(drawn(a=f"s,1,{deep}"))[-1].startswith("ExecIf")
    assert len(drawn(a=f"s,1,{deep}").steps) < 20
    assert ways(drawn(a=f"s,1,{'Exec(' * 100}Hangup(){')' * 100}"))[0].startswith("a -s-> Exec")


@pytest.mark.parametrize("step", ["Playback(\099\0)", "Dial(PJSIP/1,,\0)", "Goto(\07\0,1,1)"])
def test_a_nul_is_no_mark_of_ours(step: str) -> None:
    assert len(drawn(a=f"s,1,{step}").steps) >= 2


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["s", "1", "2", "i", "t", "h", "_X."]),
            st.sampled_from(
                [
                    *("Goto(s,1)", "Goto(b,1,1)", "Goto(+1)", "Goto(${X},1)", "GotoIf(${X}?1,1:2,1)", "WaitExten(1)"),
                    *("Gosub(b,s,1)", "Gosub(a,s,1)", "Gosub(agi-sms,s,1(company-info))", "Return()", "Hangup()"),
                    *("While(${X})", "EndWhile()", "ExitWhile()", "If(${X})", "Else()", "ElseIf(1)", "EndIf()"),
                    *("ExecIf(${X}?Goto(s,1))", "ExecIf(${X}?Return():Gosub(b,s,1))", "Exec(Gosub(a,s,1))", "Set(A=1)"),
                    *(
                        "Dial(x,,U(b))",
                        "Set(CHANNEL(hangup_handler_push)=b,s,1)",
                        "Background(x)",
                        "Goto()",
                        "GotoIf(?)",
                    ),
                ]
            ),
        ),
        max_size=24,
    ),
    st.integers(0, 6),
)
@settings(max_examples=60, deadline=None)
def test_every_dialplan_can_be_drawn(steps: list[tuple[str, str]], depth: int) -> None:
    bodies: dict[str, list[str]] = {"a": ["=> b"], "b": []}
    for at, context in enumerate(("a", "b")):
        for exten in dict.fromkeys(name for name, _ in steps):
            mine = [step for name, step in steps if name == exten][at::2]
            bodies[context] += [f"{exten},{number},{step}" for number, step in enumerate(mine, 1)]
    known = plan(**{name: "\n".join(rows) for name, rows in bodies.items()})
    flow = flow_draw.draw(known, "a", cards=CARDS, depth=depth)
    assert flow == flow_draw.draw(known, "a", cards=CARDS, depth=depth)
    reached = {0}
    for _ in flow.steps:
        reached |= {one.target for one in flow.edges if one.source in reached}
    assert reached == set(range(len(flow.steps)))
    ET.fromstring(flow_svg.svg(flow))
