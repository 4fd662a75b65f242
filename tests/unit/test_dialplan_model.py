"""The dialplan as data: what Asterisk's listings say, and which steps enter which node.

The listings are from a real Asterisk 22, made of tests/data/dialplan/*.conf; tests/acceptance/test_flow.py compares.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import app_arguments, dialplan, dialplan_calls, dialplan_places

DATA = Path(__file__).resolve().parents[1] / "data" / "dialplan"
SYNTAX = dialplan.parse_show((DATA / "syntax.txt").read_text(encoding="utf-8"))


def events(name: str) -> list[dict[str, str]]:
    """AMI messages as the survey hands them over."""
    blocks = (DATA / name).read_text(encoding="utf-8").split("\n\n")
    lines = [[line.partition(": ") for line in block.splitlines() if ": " in line] for block in blocks]
    return [{key.lower(): value for key, _, value in block} for block in lines]


def extension(plan: dialplan.Dialplan, context: str, name: str, caller: str | None = None) -> dialplan.Extension:
    (found,) = [one for one in plan.contexts[context].extensions if (one.name, one.caller) == (name, caller)]
    return found


# --- listings -----------------------------------------------------------------------------------------------------


def test_contexts_extensions_and_priorities() -> None:
    assert {"calls", "listing", "listing-more", "listing-night", *dialplan.OURS} == set(SYNTAX.contexts)
    assert not SYNTAX.cut
    context = SYNTAX.contexts["listing"]
    assert context.registrar == "pbx_config"
    names = ["#", "*31*", "100", "100", "100", "long", "o'brien", "_+48-NXX-XXX", "_[1-3a-c]XX.", "_X!"]
    assert [one.name for one in context.extensions] == names
    hundred = extension(SYNTAX, "listing", "100")
    assert hundred.hint == "PJSIP/phone&Custom:lamp"
    assert [(one.number, one.label, one.application, one.data) for one in hundred.priorities] == [
        (1, "first", "Answer", ""),
        (2, "", "NoOp", ""),
        (3, "again", "Set", "FOO=[bracket](paren) 'quote' \"double\""),
        (4, "", "Verbose", "1,a => b: c [pbx_config]"),
        (20, "", "Goto", "again"),
    ]


def test_file_and_line_of_each_priority() -> None:
    source = (DATA / "syntax.conf").read_text(encoding="utf-8").splitlines()
    for one in extension(SYNTAX, "calls", "gosub").priorities:
        assert one.file == "extensions_test.conf"
        assert one.application in source[one.line - 1]
        assert one.written


def test_callers_includes_switches_and_ignored_patterns() -> None:
    assert extension(SYNTAX, "listing", "100", "_48X.").priorities[0].application == "Congestion"
    assert extension(SYNTAX, "listing", "100", "").priorities[0].application == "Busy"
    context = SYNTAX.contexts["listing"]
    assert [(one.context, one.times) for one in context.includes] == [
        ("listing-more", ""),
        ("listing-night", "18:00-08:00,mon-fri,*,*"),
        ("no-such-context", ""),
    ]
    assert context.switches == ("Realtime/somewhere@extensions", "Lua/other")
    assert context.ignored == ("9",)


def test_the_label_of_a_first_step_is_not_told() -> None:
    assert extension(SYNTAX, "listing", "_[1-3a-c]XX.").priorities[0].label is None
    assert extension(SYNTAX, "listing", "long").priorities[1].label == "behind"


def test_what_the_listing_cuts_is_not_taken_for_whole() -> None:
    (first, *_) = extension(SYNTAX, "listing", "long").priorities
    assert first.data.startswith("agi-sms,s,1(long-one,var.A=lll")
    assert first.data.endswith("${…}")
    (visit,) = [one for one in dialplan.visits(SYNTAX) if one.exten == "long"]
    assert visit.node == "long-one"
    assert dialplan_calls.computed(visit.arguments[0])
    cut = "[ Context 'a' created by 'pbx_config' ]\n  's' =>            1. Gosub(agi-sms,s,1(" + "n" * 1200
    (visit,) = dialplan.visits(dialplan.parse_show(cut[:1060] + " [a.conf:1]"))
    assert visit.node is None


def test_events_say_the_same_without_files_and_lines() -> None:
    told = dialplan.parse_events(events("syntax.ami.txt"))
    assert set(told.contexts) == set(SYNTAX.contexts)
    for name, context in SYNTAX.contexts.items():
        other = told.contexts[name]
        assert other.includes == context.includes
        assert (other.switches, other.ignored) == (context.switches, context.ignored)
        for one, same in zip(context.extensions, other.extensions, strict=True):
            assert (one.name, one.hint) == (same.name, same.hint)
            for step, again in zip(one.priorities, same.priorities, strict=True):
                assert (step.number, step.application) == (again.number, again.application)
                assert step.data == again.data or step.data.endswith("${…}")
                assert again.written
                assert step.label in (again.label, None)
    assert extension(told, "listing", "_[1-3a-c]XX.").priorities[0].label == "only"
    bare = [dataclasses.replace(one, file="", line=0, arguments=()) for one in dialplan.visits(SYNTAX)]
    assert [dataclasses.replace(one, arguments=()) for one in dialplan.visits(told)] == bare


@pytest.mark.parametrize("text", ["", "hello\n", "No such command 'dialplan show'", "\x00\xff"])
def test_what_is_no_listing_is_refused(text: str) -> None:
    with pytest.raises(dialplan.Unreadable):
        dialplan.parse_show(text)


def test_a_listing_without_its_end_says_so() -> None:
    whole = (DATA / "syntax.txt").read_text(encoding="utf-8")
    assert dialplan.parse_show(whole[: len(whole) // 2]).cut
    assert not dialplan.parse_show(whole.replace("\n", "\r\n")).cut


LONG = "9" * 5000


@pytest.mark.parametrize(
    "line",
    [
        f"  's' =>            {LONG}. NoOp()   [a.conf:1]",
        f"  's' =>            {'9' * 10}. NoOp()   [a.conf:1]",
        f"     [x]            {'9' * 10}. NoOp()   [a.conf:1]",
        f"-= {'9' * 10} extensions (1 priority) in 1 context. =-",
        f"-= {LONG} extensions (1 priority) in 1 context. =-",
    ],
)
def test_numbers_that_are_none_of_asterisks_are_left_out(line: str) -> None:
    plan = dialplan.parse_show(f"[ Context 'a' created by 'pbx_config' ]\n{line}")
    assert plan.cut
    assert not any(one.priorities for one in plan.contexts["a"].extensions)


def test_a_line_number_that_is_none() -> None:
    text = f"[ Context 'a' created by 'pbx_config' ]\n  's' => 1. NoOp(x)   [a.conf:{'9' * 10}]"
    (step,) = dialplan.parse_show(text).contexts["a"].extensions[0].priorities
    assert (step.data, step.file, step.line) == ("x", "", 0)


def test_a_line_longer_than_asterisks_is_left_out() -> None:
    lines = ["[ Context 'a' created by 'pbx_config' ]", "  's' =>            1. NoOp(x)   [a.conf:1]"]
    end = "-= 1 extension (1 priority) in 1 context. =-"
    assert not dialplan.parse_show("\n".join([*lines, end])).cut
    plan = dialplan.parse_show("\n".join([*lines, f"     2. NoOp({'x' * 4096})   [a.conf:2]", end]))
    assert plan.cut
    assert [one.number for one in plan.contexts["a"].extensions[0].priorities] == [1]


def test_what_events_say_is_bounded() -> None:
    step = {"event": "ListDialplan", "context": "a", "extension": "s", "application": "NoOp"}
    events = [step | {"priority": "1", "appdata": "x" * 5000}, step | {"priority": LONG}, step | {"priority": "²"}]
    (one,) = dialplan.parse_events(events).contexts["a"].extensions[0].priorities
    assert one.data == "x" * 4096 + "${…}"


def test_a_listing_that_has_lost_something_says_so() -> None:
    whole = (DATA / "syntax.txt").read_text(encoding="utf-8")
    lines = whole.splitlines()
    assert dialplan.parse_show("\n".join(line for line in lines if "if-false" not in line)).cut
    told = events("syntax.ami.txt")
    assert not dialplan.parse_events(told).cut
    assert dialplan.parse_events(told[:100] + told[101:]).cut
    assert dialplan.parse_events(told[:-2]).cut


@given(st.text(alphabet="[]()'\" =>.,:$\\{}\n\rab12'-=", max_size=300))
def test_no_listing_breaks_the_reader(text: str) -> None:
    plan = dialplan.parse_show(f"[ Context 'a' created by 'pbx_config' ]\n  's' =>            1. NoOp()  [x:1]\n{text}")
    dialplan.visits(plan)


# --- expressions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("plain,text", "plain,text"),
        ("${A}", "\0000\0"),
        ("a${B},c", "a\0000\0,c"),
        ("${IF($[1,2]?${A}:b)},$[${A} = 1],x", "\0000\0,\0001\0,x"),
        ("${A:1:-2}${B}", "\0000\0\0001\0"),
        ("${never closed, at all", "\0000\0"),
        ("$5 {a} [b]", "$5 {a} [b]"),
    ],
)
def test_expressions_are_opaque(text: str, mask: str) -> None:
    masked = dialplan_calls.Masked(text)
    assert masked.text == mask
    assert masked.shown(masked.text) == text
    assert dialplan_calls.computed(text) == ("\0" in mask)


@given(st.text(alphabet='ab,${}[]()\\"?:', max_size=60))
def test_masking_loses_nothing(text: str) -> None:
    masked = dialplan_calls.Masked(text)
    assert masked.shown(masked.text) == text
    for application in ("Gosub", "GosubIf", "ExecIf", "Dial", "Queue", "Set", "AGI", "Stasis", "UserEvent", "GotoIf"):
        list(dialplan.node_calls(application, text, dialplan.Doors()))
        dialplan_calls.jumps(application, text)


def test_deep_nesting_ends() -> None:
    data = "ExecIf(1?" * 3000 + "NoOp()"
    list(dialplan.node_calls("ExecIf", data, dialplan.Doors()))
    list(dialplan.node_calls("Set", "CHANNEL(hangup_handler_push)=" + "${" * 5000, dialplan.Doors()))


@pytest.mark.parametrize(
    ("data", "separator", "expected"),
    [
        ('a,"b,c",d', ",", ["a", '"b,c"', "d"]),
        ("a\\,b,c", ",", ["a\\,b", "c"]),
        ("x?y(z?w):v?u", "?", ["x", "y(z?w):v?u"]),
        ("Gosub(a:b):NoOp(c)", ":", ["Gosub(a:b)", "NoOp(c)"]),
    ],
)
def test_raw_arguments_keep_quotes_and_backslashes(data: str, separator: str, expected: list[str]) -> None:
    assert app_arguments.split(data, separator=separator, most=len(expected), raw=True) == expected


# --- visits -------------------------------------------------------------------------------------------------------

VISITS = [
    ("bare", 1, "bare-stasis", "stasis", ""),
    ("bare", 3, "quoted-stasis", "stasis", ""),
    ("bare", 4, "bare-agi", "fastagi", ""),
    ("bare", 5, "bare-agi-default", "fastagi", ""),
    ("bare", 7, "bare-agi-six", "fastagi", ""),
    ("bare", 8, "bare-agi-global", "fastagi", ""),
    ("bare", 9, None, "fastagi", ""),
    ("bare", 11, "bare-event", "userevent", ""),
    ("bare", 12, "unquoted-event", "userevent", ""),
    ("gosub", 1, "plain", "ari", ""),
    ("gosub", 2, "plain-agi", "agi", ""),
    ("gosub", 3, "plain-event", "event", ""),
    ("gosub", 4, "spaced", "ari", ""),
    ("gosub", 5, "Za%C5%BC%C3%B3%C5%82%C4%87", "ari", ""),
    ("gosub", 6, None, "ari", ""),
    ("gosub", 7, None, "ari", ""),
    ("gosub", 9, "", "ari", ""),
    ("gosub", 10, "", "ari", ""),
    ("gosub", 12, '"quoted"', "ari", ""),
    ("gosub", 13, "unclosed", "ari", ""),
    ("if", 1, "if-true", "ari", ""),
    ("if", 1, "if-false", "event", ""),
    ("if", 2, "only-true", "ari", ""),
    ("if", 3, "only-false", "ari", ""),
    ("if", 4, "exec-true", "ari", ""),
    ("if", 4, "exec-false", "stasis", ""),
    ("if", 5, "exec-nested", "ari", ""),
    ("if", 6, "exec-time", "ari", ""),
    ("if", 7, "try-exec", "ari", ""),
    ("if", 8, "exec", "ari", ""),
    ("through", 1, "handler", "event", "hangup_handler"),
    ("through", 2, "handler-wipe", "event", "hangup_handler"),
    ("through", 3, "dial-answer", "ari", "dial_U"),
    ("through", 4, "dial-callee", "ari", "dial_b"),
    ("through", 4, "dial-caller", "event", "dial_B"),
    ("through", 6, "queue-gosub", "ari", "queue"),
    ("through", 7, "queue-gosub-sixteen", "ari", "queue"),
    ("through", 8, "queue-callee", "ari", "queue_b"),
    ("through", 9, None, "ari", "queue"),
    ("through", 11, "page-callee", "ari", "page_b"),
    ("through", 12, "follow-caller", "ari", "followme_B"),
    ("through", 13, "handler-mset", "event", "hangup_handler"),
    ("through", 15, "dial-mixed", "ari", "dial_b"),
    ("through", 16, "retry", "ari", "dial_U"),
    ("long", 1, "long-one", "ari", ""),
]


def test_every_form_in_which_a_node_is_named() -> None:
    found = [(one.exten, one.priority, one.node, one.way, one.through) for one in dialplan.visits(SYNTAX)]
    assert found == VISITS


def test_nothing_that_only_looks_like_a_visit() -> None:
    named = {one.node for one in dialplan.visits(SYNTAX)}
    written = set(re.findall(r"not-a-node\w*|never-known|not-understood", (DATA / "syntax.conf").read_text()))
    assert written
    assert not named & written
    assert {one.context for one in dialplan.visits(SYNTAX)} == {"calls", "listing"}  # not our own subroutines


def test_arguments_and_what_is_computed_are_kept_as_written() -> None:
    found = {(one.exten, one.priority, one.node): one for one in dialplan.visits(SYNTAX)}
    assert found["gosub", 2, "plain-agi"].arguments == ("var.X=${URIENCODE(${X})}", "delay=5m")
    assert found["gosub", 6, None].expression == "sms-${EXTEN}"
    assert found["gosub", 7, None].expression == '${IF($["${A}" = "1"]?one,1:two)}'
    assert found["bare", 4, "bare-agi"].arguments == ("var.X=1", "delay=5m")
    assert found["if", 1, "if-true"].arguments == ("var.T=1:30",)
    assert found["through", 3, "dial-answer"].arguments == ("var.X=1",)


def test_the_stasis_application_and_the_agi_port_are_the_configurations() -> None:
    def entered(way: str, **doors: Any) -> list[str | None]:
        return [one.node for one in dialplan.visits(SYNTAX, dialplan.Doors(**doors)) if one.way == way]

    assert entered("stasis", app="other-app") == ["not-a-node"]
    assert entered("fastagi", agi_port=4999) == ["not-a-node", "bare-agi-global"]


def test_where_fastagi_does_not_listen_our_agi_is_told_from_others() -> None:
    """By AGISMS_AGI, by the node's name; and what goes to the usual port of this machine may be ours."""
    doors = dialplan.Doors(agi_port=None, nodes={"bare-agi", "not-a-node"})
    ours = [one.node for one in dialplan.visits(SYNTAX, doors) if one.way == "fastagi"]
    assert ours == ["bare-agi", "not-a-node", "bare-agi-global"]
    assert [one.node for one in dialplan.guesses(SYNTAX, doors)] == ["bare-agi-six", None]
    assert dialplan.guesses(SYNTAX, dialplan.Doors()) == ()


@pytest.mark.parametrize(
    ("way", "doors", "why"),
    [
        ("ari", {}, ""),
        ("ari", {"ari": False}, "pbx main has no ari"),
        ("stasis", {"ari": False}, "pbx main has no ari"),
        ("agi", {"ari": False}, ""),
        ("agi", {"agi_port": None}, "the configuration has no agi"),
        ("fastagi", {"agi_port": None}, "the configuration has no agi"),
        ("event", {"ari": False, "agi_port": None}, ""),
        ("event", {"ami": False}, "pbx main has no ami"),
        ("userevent", {"ami": False}, "pbx main has no ami"),
    ],
)
def test_ways_that_the_configuration_does_not_open(way: str, doors: dict[str, Any], why: str) -> None:
    one = dialplan.Entered(node="n", expression="n", way=way)
    assert dialplan.closed(one, SYNTAX, dialplan.Doors(pbx="main", **doors)) == why


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", ""),
        ("[::1]:4573", ""),
        ("${AGISMS_AGI}", ""),
        ("127.0.0.1:4999", "the gateway listens at port 4573"),
    ],
)
def test_agi_that_goes_to_another_port(address: str, why: str) -> None:
    (one,) = dialplan.node_calls("AGI", f"agi://{address}/n", dialplan.Doors(nodes={"n"}))
    assert (one.node, dialplan.closed(one, SYNTAX, dialplan.Doors())) == ("n", why)


@pytest.mark.parametrize(
    ("gone", "way", "missing"),
    [
        ("agi-sms", "ari", ("agi-sms",)),
        ("agi-sms", "event", ("agi-sms",)),
        ("agi-sms-agi", "agi", ("agi-sms-agi",)),
        ("agi-sms", "stasis", ()),
        ("agi-sms-agi", "event", ()),
    ],
)
def test_subroutines_that_are_not_loaded(gone: str, way: str, missing: tuple[str, ...]) -> None:
    plan = dataclasses.replace(SYNTAX, contexts={name: one for name, one in SYNTAX.contexts.items() if name != gone})
    one = dialplan.Entered(node="n", expression="n", way=way)
    assert dialplan.unloaded(way, plan) == missing
    assert bool(dialplan.closed(one, plan, dialplan.Doors())) is bool(missing)


@pytest.mark.parametrize("registrar", ["res_stasis", "res_parking", "func_periodic_hook", "app_queue"])
def test_contexts_of_asterisks_own_do_not_count(registrar: str) -> None:
    text = f"[ Context 'stasis-agi-sms' created by '{registrar}' ]\n  '_.' =>  1. Stasis(agi-sms,x)  [{registrar}]\n"
    plan = dialplan.parse_show(text)
    assert plan.contexts["stasis-agi-sms"].extensions
    assert dialplan.visits(plan) == ()
    for own in ("pbx_config", "pbx_ael", "extensions.conf:7"):
        assert len(dialplan.visits(dialplan.parse_show(text.replace(f"[{registrar}]", f"[{own}]")))) == 1


# --- places -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "exten", "expected"),
    [
        ("_X!", "1", True),
        ("_X!", "12345", True),
        ("_X.", "1", False),
        ("_X.", "12", True),
        ("_NXX", "199", False),
        ("_NXX", "299", True),
        ("_ZXX", "099", False),
        ("_[1-3a]X", "a5", True),
        ("_[1-3a]X", "45", False),
        ("_+48-NXX-XXX", "+48222333", True),
        ("_+48NXXXXX", "+48-222333", True),
        ("_.", "", False),
        ("_!", "", True),
        ("_abc", "abc", True),
        ("_*X", "*7", True),
        ("_[", "[", True),
    ],
)
def test_patterns(pattern: str, exten: str, expected: bool) -> None:
    assert dialplan_places.fits(pattern, exten) is expected


PATTERN = st.text("12X.!NZ[]-3a_*", max_size=5)


@given(st.lists(PATTERN.map("_".__add__), max_size=10), st.text("1235-a*9", max_size=4))
def test_patterns_are_found_together_as_alone(patterns: list[str], exten: str) -> None:
    found = places(a=context(*patterns)).variants("a", exten)
    fitting = {one for one in patterns if dialplan_places.fits(one, exten)}
    assert {one.extension.name for one in found} <= fitting
    assert bool(found) == bool(fitting)


def test_a_range_of_characters_ends_with_the_last_byte() -> None:
    assert dialplan_places.fits("_[!-\U0010ffff]X", "a5")
    assert max(map(len, dialplan_places._tokens("_[!-\U0010ffff]"))) <= 256  # type: ignore[arg-type]


def test_includes_are_followed_as_far_as_they_lead() -> None:
    """tests/acceptance/test_flow.py asks Asterisk."""
    chain = {f"c{at}": context(f"e{at}", includes=("c0", f"c{at + 1}", "gone")) for at in range(300)}
    known = places(**chain)
    assert [one.home for one in known.variants("c0", "e299")] == ["c299"]
    assert known.variants("c7", "e6")


def context(*extensions: str, includes: tuple[str, ...] = ()) -> str:
    lines = [f"  '{name}' =>            1. NoOp({name})  [pbx_config]" for name in extensions]
    lines += [f"  Include =>        '{name}'  [pbx_config]" for name in includes]
    return "\n".join(lines)


def places(**contexts: str) -> dialplan_places.Places:
    text = "\n\n".join(f"[ Context '{name}' created by 'pbx_config' ]\n{body}" for name, body in contexts.items())
    return dialplan_places.Places(dialplan.parse_show(text))


@pytest.mark.parametrize(
    ("exten", "found"),
    [
        ("100", "100"),
        ("101", "_10X"),
        ("123", "_1XX"),
        ("999", "_X!"),
        ("300", "_3."),
        ("30", "_3."),
        ("3", "_X!"),
        ("abc", None),
    ],
)
def test_the_most_exact_pattern_wins(exten: str, found: str | None) -> None:
    known = places(a=context("100", "_X!", "_1XX", "_10X", "_3.", includes=("b",)), b=context("30"))
    names = [one.extension.name for one in known.variants("a", exten)]
    assert names == ([found] if found else [])


@pytest.mark.parametrize(
    ("exten", "patterns", "found"),
    [
        ("5", "_X _X!", "_X!"),
        ("55", "_X! _X.", "_X."),
        ("55", "_X. _XX", "_XX"),
        ("55", "_XX! _XX", "_XX!"),
        ("5", "_[3-7] _N", "_[3-7]"),
        ("5", "_[0-57-9] _Z", "_[0-57-9]"),  # nine each, of which that with the lower first digit counts
        ("2", "_[23] _[24]", "_[23]"),
        ("x", "_! _x", "_!"),  # a small x is an X too
    ],
)
def test_patterns_in_asterisks_own_order(exten: str, patterns: str, found: str) -> None:
    """As Asterisk 22.10 has it; the acceptance test of flow asks a running one."""
    for names in (patterns.split(), patterns.split()[::-1]):
        (one,) = places(a=context(*names)).variants("a", exten)
        assert one.extension.name == found


def test_includes_count_after_the_own_ones_and_may_go_round() -> None:
    known = places(
        a=context("1", includes=("b",)),
        b=context("1", "2", includes=("c", "a")),
        c=context("3", includes=("b", "gone")),
    )
    assert [(one.home, one.extension.name) for one in known.variants("a", "1")] == [("a", "1")]
    assert [(one.home, one.extension.name) for one in known.variants("a", "3")] == [("c", "3")]
    assert known.variants("a", "4") == ()
    assert known.variants("gone", "1") == ()


@pytest.mark.parametrize(
    ("label", "now", "number"),
    [
        ("1", 0, 1),
        ("20", 0, 20),
        ("5", 0, None),
        ("again", 0, 3),
        ("+1", 3, 4),
        ("-2", 3, 1),
        ("+9", 3, None),
        ("x", 0, None),
    ],
)
def test_priorities_as_jumps_write_them(label: str, now: int, number: int | None) -> None:
    known = dialplan_places.Places(SYNTAX)
    (found,) = [one for one in known.variants("listing", "100") if one.extension.caller is None]
    place = known.numbered(found, "listing", label, now=now)
    assert (place.number if place else None) == number


@pytest.mark.parametrize("label", [LONG, f"+{LONG}", f"-{LONG}"])
def test_a_priority_that_is_none(label: str) -> None:
    known = dialplan_places.Places(SYNTAX)
    context = next(one for one in SYNTAX.contexts.values() if one.extensions)
    found = dialplan_places.Found(home=context.name, at=0, extension=context.extensions[0])
    assert known.numbered(found, context.name, label) is None


def test_a_port_that_is_none() -> None:
    assert dialplan_calls.port_of(f"host:{LONG}") != dialplan_calls.AGI_PORT
    assert dialplan_calls.port_of("host:4573") == 4573


def test_a_label_that_nobody_has_may_be_that_of_the_first_step() -> None:
    known = dialplan_places.Places(SYNTAX)
    (found,) = known.variants("listing", "211")
    place = known.numbered(found, "listing", "only")
    assert place is not None
    assert place.number == 1
    assert known.numbered(found, "listing", "a^b") is None
