"""What stands in the boxes of a flow: conditions, settings of nodes, texts."""

from datetime import timedelta

import pytest

from agi_sms import flow_words, node, text


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
