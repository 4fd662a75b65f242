"""What one step of a dialplan does, by its words: where it jumps, what it runs on which leg, which node it names."""

import pytest

from agi_sms import dialplan_calls as calls
from agi_sms.dialplan_calls import Bare, Branch, Subroutine, Target, Transfer


def at(context: str | None, exten: str | None, priority: str, *arguments: str) -> Target:
    return Target(context=context, exten=exten, priority=priority, arguments=arguments)


# --- places ---


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("7", at(None, None, "7")),
        ("100,start", at(None, "100", "start")),
        ("other,100,1", at("other", "100", "1")),
        ("other,100,1(a,b)", at("other", "100", "1", "a", "b")),
        ("other,100,1(f(x),b)", at("other", "100", "1", "f(x)", "b")),
        ("other,100,1(a", at("other", "100", "1", "a")),
        ("other,100,1,more", at("other", "100", "1")),
        ("${IF(a,b)},s,1(${X},y)", at("${IF(a,b)}", "s", "1", "${X}", "y")),
        ("${A${B}},$[1 + [2]],1", at("${A${B}}", "$[1 + [2]]", "1")),
        ("a\0b", at(None, None, "ab")),
    ],
)
def test_a_place_is_read_as_goto_and_gosub_do(text: str, place: Target) -> None:
    assert calls.target(text) == place


@pytest.mark.parametrize(
    ("text", "computed"), [("", False), (None, False), ("plain", False), ("${X}", True), ("1$[2]", True), ("$X", False)]
)
def test_what_only_a_call_knows(text: str | None, computed: bool) -> None:
    assert calls.computed(text) is computed


YES, NO = at("a", "s", "1"), at("b", "s", "1")


@pytest.mark.parametrize(
    ("application", "data", "told"),
    [
        ("Goto", "a,s,1", ("", YES, None)),
        ("NoOp", "a,s,1", ("", None, None)),
        ("GotoIf", "${X}?a,s,1:b,s,1", ("${X}", YES, NO)),
        ("GotoIf", "${X}?a,s,1", ("${X}", YES, None)),
        ("GotoIf", "${X}?:b,s,1", ("${X}", None, NO)),
        ("GotoIf", "1?2?3", ("1", at(None, None, "2?3"), None)),
        ("GotoIf", "1?2:3:4", ("1", at(None, None, "2"), at(None, None, "3:4"))),
        ("GotoIfTime", "9:00-17:00,*,*,*?a,s,1:b,s,1", ("9:00-17:00,*,*,*", YES, NO)),
        ("GosubIf", "${X}?a,s,1(p):b,s,1", ("${X}", at("a", "s", "1", "p"), NO)),
        ("GosubIf", "1?2?3", ("1", at(None, None, "2?3"), None)),
        ("GosubIf", "1?2:3:4", ("1", at(None, None, "2"), at(None, None, "3:4"))),
        ("GosubIf", '"a"?"b":"c"', ('"a"', at(None, None, '"b"'), at(None, None, '"c"'))),
        ("GosubIf", "", ("", None, None)),
        ("MacroIf", "1?m,x:n", ("1", at("macro-m", "s", "1", "x"), at("macro-n", "s", "1"))),
    ],
)
def test_jumps(application: str, data: str, told: tuple[str, Target | None, Target | None]) -> None:
    assert calls.jumps(application, data) == told


# --- applications that run others ---


def branch(condition: str, holds: bool, application: str, data: str) -> Branch:
    return Branch(condition=condition, holds=holds, application=application, data=data)


@pytest.mark.parametrize(
    ("application", "data", "told"),
    [
        ("Exec", "Goto(a,s,1)", [branch("", True, "Goto", "a,s,1")]),
        ("TryExec", "Verbose(f(x))", [branch("", True, "Verbose", "f(x)")]),
        ("Exec", "Answer", [branch("", True, "Answer", "")]),
        ("Exec", "Verbose(open", [branch("", True, "Verbose", "open")]),
        ("ExecIf", "${X}?A(1):B(2)", [branch("${X}", True, "A", "1"), branch("${X}", False, "B", "2")]),
        ("ExecIf", "1?A(2?3:4):B", [branch("1", True, "A", "2?3:4"), branch("1", False, "B", "")]),
        ("ExecIf", '1?A("2"):B', [branch("1", True, "A", '"2"'), branch("1", False, "B", "")]),
        ("ExecIf", "1?A:B:C", [branch("1", True, "A", ""), branch("1", False, "B:C", "")]),
        ("ExecIf", "1?A?B", [branch("1", True, "A?B", "")]),
        ("ExecIf", '"1"?A', [branch('"1"', True, "A", "")]),
        ("ExecIf", "1?:B", [branch("1", False, "B", "")]),
        ("ExecIf", "1", []),
        ("ExecIfTime", "9:00-17:00,*,*,*?A(b?c)", [branch("9:00-17:00,*,*,*", True, "A", "b?c")]),
        ("ExecIfTime", "9:00-17:00,*,*,*", []),
        ("NoOp", "A(b)", []),
    ],
)
def test_what_an_application_runs(application: str, data: str, told: list[Branch]) -> None:
    assert list(calls.branches(application, data)) == told


def nested(depth: int) -> str:
    return "".join(["Exec("] * depth) + "NoOp(x)" + ")" * depth


def test_applications_run_one_another_so_deep_and_no_deeper() -> None:
    assert list(calls.within("Exec", nested(calls.DEEPEST - 1))) == [("NoOp", "x")]
    assert list(calls.within("Exec", nested(calls.DEEPEST))) == [("Exec", "NoOp(x)")]


def run(target: Target, through: str = "", *, macro: bool = False) -> Subroutine:
    return Subroutine(target=target, through=through, macro=macro)


HANDLER = "CHANNEL(hangup_handler_push)"


@pytest.mark.parametrize(
    ("application", "data", "told"),
    [
        ("Gosub", "a,s,1", [run(YES)]),
        ("GosubIf", "1?a,s,1:b,s,1", [run(YES), run(NO)]),
        ("MacroIf", "1?m:n", [run(at("macro-m", "s", "1"), macro=True), run(at("macro-n", "s", "1"), macro=True)]),
        ("Macro", "m,x", [run(at("macro-m", "s", "1", "x"), macro=True)]),
        ("Set", f"{HANDLER}=a,s,1(x,y)", [run(at("a", "s", "1", "x", "y"), "hangup_handler")]),
        ("Set", f"{HANDLER}=", []),
        ("Set", "X=hangup_handler,s,1", []),
        ("MSet", f"X=1,{HANDLER}=a", [run(at(None, None, "a"), "hangup_handler")]),
        ("Dial", "PJSIP/1,,M(m^x)", [run(at("macro-m", "s", "1", "x"), "dial_M", macro=True)]),
        ("RetryDial", "a,1,2,PJSIP/1,,M(m)", [run(at("macro-m", "s", "1"), "dial_M", macro=True)]),
        ("Dial", "PJSIP/1,,U(u^x)", [run(at("u", "s", "1", "x"), "dial_U")]),
        ("RetryDial", "a,1,2,PJSIP/1,,b(a^s^1)", [run(YES, "dial_b")]),
        ("Dial", "PJSIP/1,,b(a^s^1)B(b^s^1)", [run(YES, "dial_b"), run(NO, "dial_B")]),
        ("Dial", "PJSIP/1,,MgU", []),
        ("Queue", "q,M(m)b(a^s^1)", [run(YES, "queue_b")]),
        ("Queue", "q,,,,,,sub", [run(at("sub", "s", "1"), "queue")]),
        ("Queue", "q,,,,,,,sub,x", [run(at("sub", "s", "1"), "queue")]),
        ("NoOp", "a,s,1", []),
    ],
)
def test_subroutines_on_the_call_and_on_other_legs(application: str, data: str, told: list[Subroutine]) -> None:
    assert list(calls.subroutines(application, data)) == told


@pytest.mark.parametrize(
    ("application", "data", "told"),
    [
        ("Dial", "PJSIP/1,,G(a^s^1)", [Transfer(target=YES, option="G")]),
        ("Dial", "PJSIP/1,,gF(b^s^1)", [Transfer(target=NO, option="F")]),
        ("Dial", "PJSIP/1,,F", []),
        ("Queue", "q,G(a^s^1)F(b^s^1)", [Transfer(target=NO, option="F")]),
        ("Page", "PJSIP/1,F(b^s^1)", []),
    ],
)
def test_transfers(application: str, data: str, told: list[Transfer]) -> None:
    assert list(calls.transfers(application, data)) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tU(sub^1)g", {"t": None, "U": "sub^1", "g": None}),
        ("${OPTIONS}t${MORE}r", {"t": None, "r": None}),
        ("U(a(b)c)g", {"U": "a(b)c", "g": None}),
        ("U(open", {"U": "open"}),
        ("S(${X})", {"S": "${X}"}),
        ("", {}),
    ],
)
def test_options(text: str, told: dict[str, str | None]) -> None:
    assert calls.options(text) == told


# --- nodes without our subroutines ---


@pytest.mark.parametrize(
    ("application", "data", "told"),
    [
        ("Stasis", "agi-sms,a%20b,x=1", Bare(way="stasis", name="a b", expression="a%20b", arguments=("x=1",))),
        ("Stasis", "agi-sms,%FF", Bare(way="stasis", name="�", expression="%FF")),
        ("Stasis", "agi-sms", Bare(way="stasis", name="", expression="")),
        ("Stasis", "agi-sms,${N}", Bare(way="stasis", name=None, expression="${N}")),
        ("Stasis", "other,node", None),
        (
            "AGI",
            "agi://pbx:4573/node?a=1&&b=2,c=3,d=4",
            Bare(
                way="fastagi",
                name="node",
                expression="node",
                arguments=("a=1", "b=2", "c=3", "d=4"),
                address="pbx:4573",
                ours=True,
            ),
        ),
        ("EAGI", "agi://pbx:9/node", Bare(way="fastagi", name="node", expression="node", address="pbx:9", ours=False)),
        ("AGI", "script.agi", None),
        ("UserEvent", "AgiSms,AgiSms: node,X: 1", Bare(way="userevent", name="node", expression="node")),
        ("UserEvent", "AgiSms,AgiSmsLook: v", None),
        ("NoOp", "agi-sms,node", None),
    ],
)
def test_a_node_that_is_named_without_our_subroutines(application: str, data: str, told: Bare | None) -> None:
    assert calls.bare(application, data, app="agi-sms", agi_port=4573) == told


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("host", 4573),
        ("host:99", 99),
        ("[::1]", 4573),
        ("[::1]:99", 99),
        ("::1:99", 99),
        ("host:", 4573),
        ("host:99x", 4573),
        ("99", 4573),
        ("host:1234567890", 123456789),
    ],
)
def test_port_of_an_agi_address(address: str, port: int) -> None:
    assert calls.port_of(address) == port
