"""Listings of a dialplan, line by line: what each says, and what is done with one that is odd, cut or no listing."""

import pytest

from agi_sms import dialplan_listing as listing
from agi_sms.dialplan_listing import Context, Dialplan, Extension, Include, Priority

END = "-= 2 extensions (4 priorities) in 1 context. =-"
SHOWN = f"""\
Asterisk said something before
  'no' =>           1. Answer()                                   [none.conf:1]
[ Context 'a' created by 'pbx_config' ]
\x1b[1;32m  '100' => \x1b[0m         1. Verbose(1,a. b [c])                        [ext.conf:1]
     [next]         2. Hangup()                                   [ext.conf:2]
  '101' (CID match '_5X') =>  hint: PJSIP/a&PJSIP/b               [pbx_config]
     [start]        1. NoOp()                                     [pbx_ael]
  Include =>        'b,9:00-17:00,*,*,*'                          [pbx_config]
  Ignore pattern => '9'                                           [pbx_config]
  Alt. Switch =>    'Realtime/@'                                  [pbx_config]

{END}
"""
HUNDRED = Extension(
    name="100",
    priorities=(
        Priority(number=1, application="Verbose", data="1,a. b [c]", label=None, file="ext.conf", line=1),
        Priority(number=2, application="Hangup", label="next", file="ext.conf", line=2),
    ),
)
OTHER = Extension(
    name="101",
    caller="_5X",
    hint="PJSIP/a&PJSIP/b",
    priorities=(Priority(number=1, application="NoOp", label="start", registrar="pbx_ael"),),
)
BESIDE = Context(
    name="a",
    registrar="pbx_config",
    includes=(Include(context="b", times="9:00-17:00,*,*,*"),),
    switches=("Realtime/@",),
    ignored=("9",),
)


def test_dialplan_show() -> None:
    found = listing.parse_show(SHOWN)
    (context,) = found.contexts.values()
    assert context.extensions == (HUNDRED, OTHER)
    assert (context.name, context.registrar) == ("a", "pbx_config")
    assert (context.includes, context.switches, context.ignored) == (BESIDE.includes, BESIDE.switches, BESIDE.ignored)
    assert not found.cut


@pytest.mark.parametrize("end", ["", "-= 2 extensions (3 priorities) in 1 context. =-"])
def test_a_listing_without_its_end_is_cut(end: str) -> None:
    assert listing.parse_show(SHOWN.replace(END, end)).cut


def test_a_line_that_is_too_long_is_left_out_and_what_follows_is_read() -> None:
    before, line, after = SHOWN.partition("     [next]         2. Hangup()")
    for longer, cut in ((0, False), (1, True)):
        noise = "x" * (listing.LONGEST_LINE + longer)
        found = listing.parse_show(f"{before}{noise}\n{line}{after}")
        assert found.contexts["a"].extensions == (HUNDRED, OTHER)
        assert found.cut is cut


def test_what_is_no_listing() -> None:
    with pytest.raises(listing.Unreadable, match=r"^no context in it: this is not what `dialplan show` prints$"):
        listing.parse_show("No such command 'dialplan show'")


def test_a_step_as_long_as_asterisk_prints_is_cut() -> None:
    """It cannot be told from one of just that length."""
    for length, mark in ((listing.LONGEST - 1, ""), (listing.LONGEST, f"){listing.CUT}")):
        data = "x" * (length - len("1. NoOp()"))
        found = listing.parse_show(SHOWN.replace("1. NoOp()", f"1. NoOp({data})"))
        assert found.contexts["a"].extensions[1].priorities[0].data == data + mark


def test_a_step_without_its_bracket_is_cut() -> None:
    (step,) = listing.parse_show(SHOWN.replace("NoOp()", "NoOp(open")).contexts["a"].extensions[1].priorities
    assert step.data == f"open{listing.CUT}"


def test_what_is_no_step_is_none() -> None:
    found = listing.parse_show(SHOWN.replace("1. NoOp()", "1. NoOp"))
    assert found.contexts["a"].extensions[1].priorities == ()
    assert found.cut


# --- ShowDialPlan ---


def told(**more: str) -> dict[str, str]:
    return {"event": "ListDialplan", "context": "a", "registrar": "pbx_config", **more}


STEP = {"extension": "100", "priority": "1", "application": "Answer"}


def read(*events: dict[str, str], items: int | None = None) -> Dialplan:
    count = len([one for one in events if one.get("event") == "ListDialplan"]) if items is None else items
    return listing.parse_events(
        [*events, {"event": "ShowDialPlanComplete", "listitems": str(count), "listcontexts": "1"}]
    )


def test_events() -> None:
    found = read(
        told(**STEP, appdata="1", extensionlabel="first"),
        told(extension="100", priority="2", application="Hangup"),
        told(extension="101", priority="hint", application="PJSIP/a"),
        told(extension="101", priority="1", application="NoOp"),
        told(includecontext="b,sat"),
        told(ignorepattern="9"),
        told(switch="Realtime/@"),
        {"event": "Newchannel", "context": "strange"},
        {"event": "ListDialplan"},
    )
    registrar = "pbx_config"
    one = Priority(number=1, application="Answer", data="1", label="first", registrar=registrar)
    two = Priority(number=2, application="Hangup", registrar=registrar)
    noop = Priority(number=1, application="NoOp", registrar=registrar)
    assert found == Dialplan(
        contexts={
            "a": Context(
                name="a",
                registrar=registrar,
                extensions=(
                    Extension(name="100", priorities=(one, two)),
                    Extension(name="101", hint="PJSIP/a", priorities=(noop,)),
                ),
                includes=(Include(context="b", times="sat"),),
                switches=("Realtime/@",),
                ignored=("9",),
            )
        }
    )


def test_events_with_little_in_them() -> None:
    bare = {"event": "ListDialplan", "context": "a"}
    found = read({**bare, "priority": "1"}, {**bare, "priority": "hint"}, {**bare, "priority": "later"})
    step = Priority(number=1, application="")
    assert found.contexts["a"] == Context(
        name="a", extensions=(Extension(name="", priorities=(step,)), Extension(name=""))
    )


def test_a_number_that_comes_again_is_another_callers() -> None:
    found = read(told(**STEP), told(**STEP), told(**{**STEP, "priority": "2"}))
    assert [[step.number for step in one.priorities] for one in found.contexts["a"].extensions] == [[1], [1, 2]]


@pytest.mark.parametrize(("items", "cut"), [(1, False), (2, True)])
def test_events_that_are_missing_are_noticed(items: int, cut: bool) -> None:
    assert read(told(**STEP), items=items).cut is cut
    assert listing.parse_events([told(**STEP)]).cut
    assert read(told(**STEP), items=1) == listing.parse_events([{"listitems": "1"}, told(**STEP)])


def test_data_longer_than_a_line_is_cut() -> None:
    for longer, mark in ((0, ""), (1, listing.CUT)):
        data = "x" * (listing.LONGEST_LINE + longer)
        (step,) = read(told(**STEP, appdata=data)).contexts["a"].extensions[0].priorities
        assert step.data == data[: listing.LONGEST_LINE] + mark


@pytest.mark.parametrize(
    ("found", "written"),
    [({"file": "a.conf"}, True), ({"registrar": "pbx_lua"}, True), ({"registrar": "features"}, False)],
)
def test_what_somebody_wrote(found: dict[str, str], written: bool) -> None:
    step = Priority(number=1, application="NoOp", **found)  # type: ignore[arg-type]
    plan = Dialplan(contexts={"a": Context(name="a", extensions=(Extension(name="1", priorities=(step,)),))})
    assert step.written is written
    assert len(list(listing.steps(plan))) == written
