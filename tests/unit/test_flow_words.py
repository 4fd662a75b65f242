"""What stands in the boxes of a flow: conditions, settings of nodes, texts."""

from datetime import timedelta

import pytest

from agi_sms import dialplan, dialplan_listing, flow_words, node, text
from agi_sms.flow import Flow, Kind, State, Step


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ('$["${DIALSTATUS}" = "BUSY"]', "DIALSTATUS = BUSY"),
        ("${LEN(${A})}", "LEN(A)"),
        ('$["${CALLERID(num)}" = ""]', 'CALLERID(num) = ""'),
        ("$[1]$[2]", "$[1]$[2]"),
        ("", "always"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
    ],
)
def test_conditions_in_plain_words(asked: str, said: str) -> None:
    assert flow_words.condition(asked) == said


def test_a_node_is_shown_with_its_settings() -> None:
    made = node.Node(
        name="n",
        revision="",
        template=text.Template("Hello {{ caller }},\nyour order is on its way to the shop in the town", name="n"),
        description="Front desk",
        sender="ACME",
        delay=timedelta(minutes=5),
        recipients=(node.Recipient(number="+48600100300"), node.Recipient(number="+48600100301")),
        send_to_caller=True,
        once_per_call=True,
        when=(("DIALSTATUS", frozenset({"NOANSWER", "BUSY"})),),
    )
    quiet = node.Node(name="q", revision="", template=None, asking=node.Asking(), dialplan_recipients=True)
    assert flow_words.cards({"n": made, "q": quiet}) == {
        "n": (
            "Front desk",
            "from ACME, after 5m",
            "to 2 numbers + caller, once per call",
            "only if DIALSTATUS is BUSY or NOANSWER",
            "“Hello ‹caller›, your order is on its way to",
            "the shop in the town”",
        ),
        "q": ("at once", "to whom the dialplan names", "text from your own system"),
    }


def test_what_is_long_goes_on_in_the_next_line() -> None:
    values = ("BUSY", "CANCEL", "CHANUNAVAIL", "CONGESTION", "NOANSWER")
    made = node.Node(name="n", revision="", template=None, asking=node.Asking(), when=(("STATUS", frozenset(values)),))
    (card,) = flow_words.cards({"n": made}).values()
    said = " ".join(card)
    assert "only if STATUS is BUSY, CANCEL, CHANUNAVAIL, CONGESTION or NOANSWER" in said
    assert max(map(len, card)) <= flow_words.LONGEST_LINE
    assert len(flow_words.wrapped("word " * 500)) == flow_words.MOST_LINES


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Hello", "Hello"),
        ('From {{ caller or "a stranger" }} at {{ now.strftime("%H:%M") }}.', "From ‹caller› at ‹now›."),
        ("{{ api.order.id }}{# why #} is ready{% if late %}, late{% endif %}.", "‹api.order.id› is ready…"),
        ('{{ "{" }}', "‹…›"),
        ("{{ unfinished", "{{ unfinished"),
    ],
)
def test_a_template_is_shown_as_who_reads_the_sms_sees_it(source: str, said: str) -> None:
    assert flow_words.plainly(source) == said


# --- steps ---


@pytest.mark.parametrize(
    ("application", "data", "told"),
    [
        ("Gosub", "sub,s,1", ("sub",)),
        ("Gosub", "sub,s,1(a,b)", ("sub(a, b)",)),
        ("Gosub", "sub,100,1", ("sub,100,1",)),
        ("Gosub", "sub,s,2", ("sub,s,2",)),
        ("Gosub", "s,1", ("s,1",)),
        ("Dial", "PJSIP/a&PJSIP/b,20,tr", ("PJSIP/a & PJSIP/b", "up to 20 s")),
        ("Dial", "PJSIP/a,,tr", ("PJSIP/a",)),
        ("Dial", "PJSIP/a", ("PJSIP/a",)),
        ("Dial", "", ()),
        ("Page", "PJSIP/a&PJSIP/b,,5", ("PJSIP/a & PJSIP/b", "up to 5 s")),
        ("Queue", "sales&more,c,,,300", ("sales&more", "up to 300 s")),
        ("WaitExten", "10", ("up to 10 s",)),
        ("Read", "DIGITS,menu,1,,,7", ("DIGITS, menu", "up to 7 s")),
        ("Stasis", "app,${X},more", ("app, ${X}",)),
        ("Stasis", "app,,more", ("app",)),
        ("System", "rm everything", ()),
        ("Playback", "hello,noanswer", ("hello",)),
        ("Playback", "x" * 50, ("x" * 43 + "…",)),
    ],
)
def test_what_stands_below_an_applications_name(application: str, data: str, told: tuple[str, ...]) -> None:
    assert flow_words.said(application, data) == told


@pytest.mark.parametrize(
    ("application", "data", "told"),
    [
        ("Dial", "PJSIP/a", "not answered"),
        ("Dial", "PJSIP/a,20", "not answered"),
        ("Dial", "PJSIP/a,20,tg", ""),
        ("Dial", "PJSIP/a,20,tF", ""),
        ("Dial", "PJSIP/a,20,F(a^s^1)", "not answered"),
        ("Dial", "PJSIP/a,20,${OPTIONS}", ""),
        ("Queue", "sales,t", "not answered"),
        ("Queue", "sales,c", ""),
        ("Playback", "hello", ""),
    ],
)
def test_when_the_dialplan_goes_on_behind_an_application(application: str, data: str, told: str) -> None:
    assert flow_words.goes_on(application, data) == told


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("9:00-17:00,mon-fri,*,*", "9:00-17:00, mon-fri"),
        ("*,*,*,*", "always"),
        (" * , sat ,,", "sat"),
    ],
)
def test_hours_in_plain_words(asked: str, told: str) -> None:
    assert flow_words.times(asked) == told


@pytest.mark.parametrize(
    ("applications", "told"),
    [
        ([], ""),
        (["Answer", "Set", "Set", "Set"], "Answer, Set ×3"),
        (["A", "B", "C", "D", "E", "E"], "A, B, C and 3 more"),
        (["N" * 21], "N" * 19 + "…"),
        (["N" * 21, "N" * 21], "N" * 19 + "… ×2"),
    ],
)
def test_steps_that_are_not_drawn(applications: list[str], told: str) -> None:
    assert flow_words.folded(applications) == told


def test_how_long_one_line_may_be() -> None:
    assert flow_words.clipped("x" * 45) == "x" * 43 + "…"
    assert flow_words.clipped("x" * 44) == "x" * 44
    assert flow_words.condition("x" * 61) == "x" * 59 + "…"
    lines = flow_words.wrapped(" ".join(["w" * 40] * 5))
    assert lines[:3] == ("w" * 40,) * 3
    assert lines[3].endswith("…")
    assert flow_words.wrapped(" ".join(["w" * 40] * 4)) == ("w" * 40,) * 4
    assert flow_words.wrapped("w" * 40 + " well-known") == ("w" * 40, "well-known")


def test_values_are_filled_in_until_a_line_is_full() -> None:
    most = dialplan_listing.LONGEST_LINE
    known = {"ARG1": "x" * (most // 2)}
    assert flow_words.given("${ARG1}${ARG1}", known) == "x" * most
    cut = flow_words.given("-${ARG1}${ARG1}${ARG1}", known)
    assert cut == "-" + "x" * (most - 1) + dialplan_listing.CUT


# --- the heading ---


def sms(title: str, place: str, **more: object) -> Step:
    return Step(**{"kind": Kind.SMS, "title": title, "place": place, "state": State.KNOWN, **more})  # type: ignore[arg-type]


def flow(*steps: Step, whole: bool = True) -> Flow:
    return Flow(title="a", steps=steps, edges=(), whole=whole)


GONE = Step(kind=Kind.MISSING, title="?", place="a,s,9")


@pytest.mark.parametrize(
    ("drawn", "told"),
    [
        (flow(), "no SMS node"),
        (flow(sms("n", "a,1,1")), "1 SMS node"),
        (flow(sms("n", "a,1,1"), sms("n", "a,1,1")), "1 SMS node"),
        (flow(sms("n", "a,1,1"), sms("n", "a,2,1")), "2 SMS nodes · all the same"),
        (flow(sms("n", "a,1,1"), sms("m", "a,2,1")), "2 SMS nodes"),
        (flow(sms("n", "a,1,1"), sms("n", "a,2,1"), sms("m", "a,3,1")), "3 SMS nodes · 2 different"),
        (flow(sms("${X}", "a,1,1", state=State.COMPUTED)), "1 SMS node · 1 known only during the call"),
        (flow(GONE), "no SMS node · 1 warning"),
        (flow(GONE, sms("n", "a,1,1", trouble="and it is bad")), "1 SMS node · 2 warnings"),
        (flow(whole=False), "no SMS node · not all of it"),
    ],
)
def test_what_there_is_in_a_flow(drawn: Flow, told: str) -> None:
    assert flow_words.facts(drawn) == told


def test_what_is_red_is_told_once_for_each_place() -> None:
    bad = sms("n", "a,1,1", trouble="and it is bad", source="extensions.conf:7")
    assert flow_words.warnings(flow(GONE, bad, bad, GONE)) == (
        "the dialplan goes on at a,s,9, which it does not have",
        "a,1,1 (extensions.conf:7) enters n, and it is bad",
    )


# --- nodes ---


def entered(name: str | None, expression: str, *arguments: str) -> dialplan.Entered:
    return dialplan.Entered(node=name, expression=expression, way="ari", arguments=arguments)


@pytest.mark.parametrize(
    ("one", "closed", "told"),
    [
        (entered("n", "n"), "", ("n", ("from ACME", "by Stasis"), State.KNOWN, "")),
        (
            entered("n", "n"),
            "no agi",
            ("n", ("no agi", "from ACME", "by Stasis"), State.UNHEARD, "and no agi"),
        ),
        (
            entered(None, "${X}"),
            "",
            ("${X}", ("which node, only the call knows", "by Stasis"), State.COMPUTED, ""),
        ),
        (
            entered(None, "${X}"),
            "no agi",
            ("${X}", ("no agi", "which node, only the call knows", "by Stasis"), State.UNHEARD, "and no agi"),
        ),
        (
            entered("other", "other"),
            "",
            (
                "other",
                ("not in the configuration", "by Stasis"),
                State.UNKNOWN,
                "which the configuration does not have",
            ),
        ),
        (
            entered("", ""),
            "no agi",
            (
                "no node",
                ("no agi", "no node is named", "by Stasis"),
                State.UNKNOWN,
                "since the step names none, and no agi",
            ),
        ),
        (
            entered("n", "n", "var.PHONE=${URIENCODE(${EXTEN})}", "", "delay=", "var.X=a=b", "bare"),
            "",
            (
                "n",
                ("from ACME", "with var.PHONE=EXTEN, delay=, var.X=a=b,", "bare", "by Stasis"),
                State.KNOWN,
                "",
            ),
        ),
    ],
)
def test_a_visit_as_it_is_drawn(
    one: dialplan.Entered, closed: str, told: tuple[str, tuple[str, ...], State, str]
) -> None:
    assert flow_words.entered(one, {"n": ("from ACME",)}, closed) == told


def test_who_gets_it() -> None:
    def to(**settings: object) -> str:
        made = node.Node(**{"name": "n", "revision": "", "template": None, **settings})  # type: ignore[arg-type]
        (card,) = flow_words.cards({"n": made}).values()
        return next(line for line in card if line.startswith("to "))

    one = (node.Recipient(number="+48600100300"),)
    named = node.Asking(allow=frozenset({node.Allowed.RECIPIENTS}))
    assert to(recipients=one) == "to 1 number"
    assert to(recipients=one * 2) == "to 2 numbers"
    assert to() == "to nobody"
    assert to(asking=named) == "to whom the answer names"
    assert to(asking=node.Asking()) == "to nobody"
