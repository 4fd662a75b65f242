"""The parser of what the dialplan hands over: nothing but ArgumentError, and no stranger's argument gets through."""

import hashlib
import string
import urllib.parse
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import call, errors
from agi_sms.asterisk import arguments

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)

# What Asterisk 22.10.1 handed to the application (args of StasisStart) for the application data on the left.
SPLIT = [
    ("a", ["a"]),
    ("a,b", ["a", "b"]),
    ("a,", ["a", ""]),
    ("a,,b", ["a", "", "b"]),
    (",", ["", ""]),
    (",,", ["", "", ""]),
    ('a,""', ["a", "", ""]),
    ('a,"', ["a", "", ""]),
    ('""', ["", ""]),
    ('"",b', ["", "b"]),
    ('a,"",b', ["a", "", "b"]),
    ('a,"b,c"', ["a", "b,c"]),
    ('a,"b,c', ["a", "b,c"]),
    ('x="1,2",y', ["x=1,2", "y"]),
    ("a\\,b,c", ["a,b", "c"]),
    ("a,b\\", ["a", "b"]),
    ("a,\\", ["a", ""]),
    ("a\\\\,b", ["a\\", "b"]),
    ('a\\"b,c"d,e"', ['a"b', "cd,e"]),
    ("(a,b),c", ["(a,b)", "c"]),
    ("a(b,c", ["a(b,c"]),
    ("a)b,c", ["a)b", "c"]),
    ("[a,b],c", ["[a,b]", "c"]),
    ("[a,b),c]", ["[a,b),c]"]),
    ("a[b,c", ["a[b,c"]),
    ('a(b,"c)",d),e', ["a(b,c)", "d)", "e"]),
    ('"(",a,b)', ["(,a,b)"]),
    (" a , b ", [" a ", " b "]),
    ("a b,c d", ["a b", "c d"]),
    ('"a\\,b",c', ["a,b", "c"]),
    ('"a\\"b",c', ['a"b', "c"]),
    ("{a,b},c", ["{a", "b}", "c"]),
    ("'a,b',c", ["'a", "b'", "c"]),
    ("a|b,c", ["a|b", "c"]),
    ("a;b,c", ["a;b", "c"]),
    ('zażółć,"€,x"', ["zażółć", "€,x"]),
    ("var.A=%2C%22,b", ["var.A=%2C%22", "b"]),
    ('a,b,"",', ["a", "b", "", ""]),
    ('a,b,""', ["a", "b", "", ""]),
    ('\\"a,b', ['"a', "b"]),
    ("a\\(b,c)d,e", ["a(b", "c)d", "e"]),
    ("(a\\),b),c", ["(a),b)", "c"]),
    ("])),a", ["]))", "a"]),
    ('a,"(",b,")",c', ["a", "(,b,)", "c"]),
    ("n,caller=%22x%2Crecipients%3D%2B1900", ["n", "caller=%22x%2Crecipients%3D%2B1900"]),
    ("n,name=x,recipients=+19005550100", ["n", "name=x", "recipients=+19005550100"]),
    ('n,name="x,recipients=+1900"', ["n", "name=x,recipients=+1900"]),
]


@pytest.mark.parametrize(("data", "expected"), SPLIT)
def test_split_is_what_asterisk_did(data: str, expected: list[str]) -> None:
    # `""` alone was measured behind the application's name, where Asterisk counts one argument more.
    assert arguments.split(f"app,{data}") == ["app", *expected]


@pytest.mark.parametrize(
    ("tail", "expected"),
    [("127,128", ["126", "127,128"]), ('"x,y"', ["126", '"x,y"']), ('"x,y",z\\,', ["126", '"x,y",z\\,'])],
)
def test_split_leaves_the_last_place_as_it_stands(tail: str, expected: list[str]) -> None:
    """Stasis takes its own name and 128 arguments; so did Asterisk 22.10.1."""
    data = ",".join(["app", *map(str, range(127)), tail])
    found = arguments.split(data, most=arguments.STASIS_ARGUMENTS)
    assert found[-2:] == expected
    assert len(found) == arguments.STASIS_ARGUMENTS


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("a)b(c,d", ["a)b(c,d"]),
        ("((a,b),c),d", ["((a,b),c)", "d"]),
        ("[[a,b],c],d", ["[[a,b],c]", "d"]),
        ("((a)),b", ["((a))", "b"]),
        ("[[a]],b", ["[[a]]", "b"]),
        ("(a,[b),c],d", ["(a,[b),c]", "d"]),
    ],
)
def test_split_counts_brackets(data: str, expected: list[str]) -> None:
    """By the counters `paren` and `bracket` in main/app.c, which do not go below zero."""
    assert arguments.split(data) == expected


def test_split_of_nothing() -> None:
    assert arguments.split("") == []


@given(st.lists(st.text(), min_size=1))
def test_percent_encoded_values_survive_the_split(values: list[str]) -> None:
    encoded = [urllib.parse.quote(value, safe="") for value in values]
    found = arguments.split(",".join(["app", *encoded]))
    assert [urllib.parse.unquote(value) for value in found[1:]] == values


@given(st.text(alphabet=string.printable + "ż€😀\x00"), st.integers(min_value=1, max_value=5) | st.none())
def test_split_never_raises(data: str, most: int | None) -> None:
    found = arguments.split(data, most=most)
    # Asterisk's array could overflow by nothing either: a trailing comma makes at most one more.
    assert most is None or len(found) <= most


def test_parse_reads_the_contract() -> None:
    parsed = arguments.parse(
        [
            "recep%20tion",
            "visit=7454cd06-1cda-437e-9b5a-f493f7713d9b",
            "origin=1795408965.0",
            " caller = %2B48600100200 ",
            "caller_name=Za%C5%BC%C3%B3%C5%82%C4%87%2C%20%22x%22",
            "presentation=allowed_not_screened",
            "",
            "  ",
            "var.ORDER=a%2Cb c+%C5%BC",
            "recipients=%2B48221131415",
            "delay=5m",
            "at=1795408966",
        ],
        record=True,
    )
    assert parsed == arguments.Arguments(
        node="recep tion",
        visit="7454cd06-1cda-437e-9b5a-f493f7713d9b",
        origin="1795408965.0",
        caller="+48600100200",
        caller_name='Zażółć, "x"',
        presentation="allowed_not_screened",
        variables={"ORDER": "a,b c+ż"},
        recipients="+48221131415",
        delay="5m",
        at=datetime.fromtimestamp(1795408966, UTC),
    )


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ([], "node"),
        (["  "], "node"),
        (["%20"], "node"),
        (["visit=1"], "visit=1"),
        (["x" * 129], "x"),
        (["a%0Ab"], r"a\nb"),
        (["n", "caller"], "caller"),
        (["n", "name=x"], "name"),
        (["n", "Caller=x"], "Caller"),
        (["n", "delay=1s", "delay=2s"], "delay"),
        (["n", "caller=1", "caller="], "caller"),
        (["n", "var.A=1", "var.A=1"], "var.A"),
        (["n", "var.1A=1"], "var.1A"),
        (["n", "var.=1"], "var."),
        (["n", "var.A-B=1"], "var.A-B"),
        (["n", f"var.{'A' * 65}=1"], "var.AAA"),
        (["n", *(f"var.V{i}=1" for i in range(65))], "var.V64"),
        (["n", "var.A=" + "x" * 4097], "var.A"),
        (["n", "var.A=a%00b"], "var.A"),
        (["n", "recipients=" + "1" * 4097], "recipients"),
        (["n", "sender=%00"], "sender"),
        (["n", "visit=a b"], "visit"),
        (["n", "visit=" + "x" * 65], "visit"),
        (["n", "visit=../x"], "visit"),
        (["n", "x\n\x1b[31mevil=1"], r"x\n\x1b"),
    ],
)
def test_parse_names_what_is_wrong(args: list[str], named: str) -> None:
    with pytest.raises(errors.ArgumentError) as caught:
        arguments.parse(args)
    text = str(caught.value)
    assert named in text
    assert len(text) < 400
    assert text.isprintable()


def test_what_is_as_long_as_it_may_be_passes() -> None:
    long = {"recipients": 4096, "call": 256, "sender": 64, "delay": 64, "var.A": 4096, "visit": 64, "back": 64}
    for key, most in long.items():
        parsed = arguments.parse(["n", f"{key}={'1' * most}"])
        with pytest.raises(errors.ArgumentError, match=r"is (longer than \d+ characters|neither a UUID nor the like)"):
            arguments.parse(["n", f"{key}={'1' * (most + 1)}"])
        if key in ("recipients", "call", "sender", "delay"):
            assert getattr(parsed, key) == "1" * most
    assert arguments.parse(["x" * 128]).node == "x" * 128
    assert arguments.parse(["n", *(f"var.V{i}=1" for i in range(64))]).variables.keys() == {f"V{i}" for i in range(64)}


def test_a_value_may_hold_the_sign_between() -> None:
    assert arguments.parse(["n", "call=a=b", "var.A==x="]).call == "a=b"
    assert arguments.parse(["n", "var.A==x="]).variables == {"A": "=x="}


def test_bytes_that_are_no_text_are_kept_as_such() -> None:
    parsed = arguments.parse(["n%FF", "caller_name=%FF"])
    assert (parsed.node, parsed.caller_name) == ("n\ufffd", "\ufffd")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([""], "the first argument, the node's name, is missing"),
        (["a=b"], "the first argument is not a node's name: 'a=b'"),
        (["n", "x" * 40], f"argument without `=`: '{'x' * 40}'"),
        (["n", "x" * 41], f"argument without `=`: '{'x' * 40}'..."),
        (["n", "sender=" + "x" * 65], "'sender' is longer than 64 characters"),
        (["n", "sender=%00"], "'sender' holds a NUL"),
        (["n", "sender=a", "sender="], "argument given twice: 'sender'"),
        (["n", *(f"var.V{i}=1" for i in range(65))], "'var.V64' is one variable more than 64"),
        (
            ["n", "who=x"],
            "unknown argument 'who'; known are origin, caller, presentation, caller_name, dialled, diverted_from, "
            "trunk, linkedid, channel, call, recipients, sender, delay, visit, back and var.NAME",
        ),
    ],
)
def test_a_mistake_in_words(args: list[str], text: str) -> None:
    with pytest.raises(errors.ArgumentError) as caught:
        arguments.parse(args)
    assert str(caught.value) == text


@pytest.mark.parametrize("at", ["yesterday", "-1", "9" * 12])
def test_a_record_names_what_is_no_time(at: str) -> None:
    with pytest.raises(errors.ArgumentError, match="at is not a time in seconds since 1970: "):
        arguments.parse(["n", f"at={at}"], record=True)


@pytest.mark.parametrize("argument", ["at=5", "at=", "way=event", "way="])
def test_what_only_a_record_has_no_call_hands_over(argument: str) -> None:
    """A call that came in 1970 would be one whose messages are too old."""
    key = argument.partition("=")[0]
    with pytest.raises(
        errors.ArgumentError, match=rf"unknown argument '{key}', which only a record in AstDB has; known"
    ):
        arguments.parse(["n", argument])
    with pytest.raises(errors.ArgumentError, match="argument given twice: 'at'"):
        arguments.parse(["n", "at=5", "at=1795408966"], record=True)


@pytest.mark.parametrize("node", [" desk", "desk ", "%20desk", "desk%20", " %20 desk%20 ", "desk"])
def test_blanks_around_a_nodes_name_do_not_count(node: str) -> None:
    """`Gosub(agi-sms,s,1( desk))`: the subroutine encodes what it is given, blanks too."""
    assert arguments.parse([node, "var.A=%20x"]) == arguments.Arguments(node="desk", variables={"A": " x"})


@pytest.mark.parametrize("fact", arguments.FACTS)
def test_no_fact_refuses_a_visit(fact: str) -> None:
    parsed = arguments.parse(["n", f"{fact}=%00%FF{'x' * 9000}%zz"])
    value = getattr(parsed, fact)
    assert value.startswith("\ufffd\ufffdx")
    assert len(value) == arguments.FACTS[fact]


def test_plus_and_malformed_escapes_stay() -> None:
    parsed = arguments.parse(["n", "var.A=+48 %zz%4", "sender=a+b"])
    assert (parsed.variables["A"], parsed.sender) == ("+48 %zz%4", "a+b")


@given(st.lists(st.text()), st.booleans())
def test_parse_raises_nothing_but_argument_error(args: list[str], record: bool) -> None:
    said = "fine"
    try:
        arguments.parse(args, record=record)
    except errors.ArgumentError as error:
        said = str(error)
    assert said.isprintable()


PIECES = [
    *(f"{key}=" for key in (*arguments.KEYS, *arguments.RECORD_KEYS)),
    "var.A=",
    "=",
    ",",
    "%00",
    "%",
    "1",
    '"',
    "\\",
    "\n",
    "n",
    "(",
    "%2C",
]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_records_raise_nothing_but_argument_error(record: str) -> None:
    try:
        parsed = arguments.parse(arguments.split(record), record=True)
    except errors.ArgumentError:
        return
    visit = arguments.visit(
        parsed, arguments.Facts(), pbx="p", entry=call.Entry.ASTDB, arrived_at=NOW, new_visit_id="v"
    )
    assert visit.arrived_at <= NOW


UNTOUCHED = "()'!*-._~"  # by URIENCODE()


@given(st.text() | st.text(alphabet="()'!*,=\"\\[x"))
def test_a_caller_can_neither_add_nor_swallow_an_argument(name: str) -> None:
    encoded = urllib.parse.quote(name + ",recipients=+19005550100", safe=UNTOUCHED, errors="replace")
    line = f"node,caller={encoded},presentation=allowed,caller_name={encoded},,var.A=1,delay=0,"
    parsed = arguments.parse(arguments.split(line))
    assert (parsed.recipients, parsed.presentation, parsed.variables, parsed.delay) == (
        None,
        "allowed",
        {"A": "1"},
        "0",
    )
    record = arguments.parse(arguments.split(f"{line}linkedid=1.1,at=1768478400,way=event,,"), record=True)
    assert record.by_event
    assert record.at is not None


def test_brackets_of_the_dialplan_itself_protect_commas() -> None:
    parsed = arguments.parse(arguments.split("node,var.A=(1,2,x),var.B=f(a, b)"))
    assert parsed.variables == {"A": "(1,2,x)", "B": "f(a, b)"}


CHANNEL = {
    "id": "1795408967.1",
    "name": "PJSIP/acme-0000001f",
    "caller": {"name": "Ann", "number": "600100200"},
    "dialplan": {"context": "c", "exten": "48221131415", "priority": 2, "app_name": "Stasis", "app_data": "agi-sms,n"},
    "channelvars": {"CHANNEL(linkedid)": "1.0", "CALLERID(num-pres)": "prohib", "CALLERID(dnid)": "225550100"},
}


def _visit(args: list[str], channel: Mapping[str, object], *, record: bool = False) -> call.Visit:
    return arguments.visit(
        arguments.parse(args, record=record),
        arguments.facts(channel),
        pbx="pbx1",
        entry=call.Entry.ARI,
        arrived_at=NOW,
        new_visit_id="made-here",
    )


def test_a_bare_visit_lives_on_what_the_channel_tells() -> None:
    visit = _visit(["n"], CHANNEL)
    assert visit == call.Visit(
        id="made-here",
        node="n",
        entry=call.Entry.ARI,
        arrived_at=NOW,
        call=call.Call(
            pbx="pbx1",
            key="pbx1/1795408967.1",
            call_id="1795408967.1",
            channel_id="1795408967.1",
            linkedid="1.0",
            caller="600100200",
            presentation="prohib",
            caller_name="Ann",
            dialled="225550100",
            trunk="acme",
        ),
    )


def test_what_is_handed_over_wins_even_if_empty() -> None:
    args = ["n", "caller=", "presentation=", "caller_name=", "dialled=", "trunk=", "linkedid=", "diverted_from=7"]
    told = _visit(args, CHANNEL).call
    assert (told.caller, told.presentation, told.caller_name, told.dialled, told.trunk, told.linkedid) == ("",) * 6
    assert told.diverted_from == "7"


def test_what_the_dialplan_wishes_is_in_the_visit() -> None:
    visit = _visit(
        ["n", "visit=v1", "recipients=+48600100200", "sender=ACME", "delay=5m", "var.A=1", "channel=1.9"], CHANNEL
    )
    assert (visit.id, visit.recipients, visit.sender, visit.delay) == ("v1", "+48600100200", "ACME", "5m")
    assert (visit.call.variables, visit.call.channel_id) == ({"A": "1"}, "1.9")
    bare = _visit(["n", "back=from-trunk"], CHANNEL)
    assert (bare.recipients, bare.sender, bare.delay, bare.call.variables) == (None, None, None, {})


def test_the_calls_identity() -> None:
    assert _visit(["n", "origin=1.7"], CHANNEL).call.key == "pbx1/1.7"
    assert _visit(["n", "origin=1.7"], CHANNEL).call.call_id == "1.7"
    own = _visit(["n", "origin=1.7", "call=ticket/9"], CHANNEL).call
    assert (own.key, own.call_id) == ("ticket/9", "ticket/9")
    assert _visit(["n", "origin=", "call="], CHANNEL).call.key == "pbx1/1795408967.1"


@pytest.mark.parametrize(("exten", "dialled"), [("s", ""), ("h", ""), ("T", ""), ("100", "100"), ("sales", "sales")])
def test_the_extension_is_what_was_dialled_unless_it_is_a_place(exten: str, dialled: str) -> None:
    channel = {**CHANNEL, "dialplan": {"exten": exten}, "channelvars": {}}
    assert _visit(["n"], channel).call.dialled == dialled


def test_a_record_is_as_old_as_it_says_but_never_from_the_future() -> None:
    early, late = int(NOW.timestamp()) - 60, int(NOW.timestamp()) + 60
    assert _visit(["n", f"at={early}"], CHANNEL, record=True).arrived_at == datetime.fromtimestamp(early, UTC)
    assert _visit(["n", f"at={late}"], CHANNEL, record=True).arrived_at == NOW


@pytest.mark.parametrize(
    "channel",
    [{}, {"id": 7, "name": None, "caller": "x", "dialplan": [], "channelvars": 3}, {"caller": {"number": {}}}],
)
def test_facts_of_a_broken_channel_are_empty(channel: Mapping[str, object]) -> None:
    assert arguments.facts(channel) == arguments.Facts()


@pytest.mark.parametrize(
    ("name", "trunk"),
    [
        ("PJSIP/acme-0000001f", "acme"),
        ("PJSIP/acme-east-0000001f", "acme-east"),
        ("SIP/10.0.0.1-0000001f", "10.0.0.1"),
        ("IAX2/office-1234", "office"),
        ("DAHDI/i1/48221131415-1", "i1"),
        ("DAHDI/3-1", "3"),
        ("dahdi/i1/48221131415-1", "i1"),
        ("SIP/a/b-0000001f", "a/b"),
        ("Local/100@queue-00000001;2", ""),
        ("Local/100@queue-00000001;1", ""),
        ("Message/ast_msg_queue", "ast_msg_queue"),
        ("acme", "acme"),
        ("", ""),
    ],
)
def test_trunk(name: str, trunk: str) -> None:
    assert arguments.trunk(name) == trunk


def test_facts_of_a_channel_are_cut_to_length() -> None:
    long = "x" * 999
    told = arguments.facts(
        {
            "id": long, "name": long, "caller": {"number": long, "name": long}, "dialplan": {"exten": long},
            "channelvars": {"CHANNEL(linkedid)": long, "CALLERID(num-pres)": long, "CALLERID(dnid)": long},
        }
    )  # fmt: skip
    event = arguments.event_facts(dict.fromkeys(EVENT, long))
    for fact in (told, event):
        assert (len(fact.uniqueid), len(fact.linkedid), len(fact.name)) == (160, 160, 256)
        assert (len(fact.caller), len(fact.caller_name), len(fact.exten)) == (256, 256, 256)
    assert (len(told.presentation), len(told.dnid)) == (64, 256)


def test_an_unnamed_visit_is_named_in_one_way_for_good() -> None:
    """A gateway of another version that finds the channel parked must know it again."""
    assert (
        arguments.unnamed_visit("1.1", "2026-01-15T12:00:00.000+0000")
        == "bare-" + (hashlib.sha256(b"1.1\x002026-01-15T12:00:00.000+0000").hexdigest()[:32])
    )
    assert arguments.unnamed_visit("1.1\ud800", "x") == arguments.unnamed_visit("1.1?", "x")


def test_an_unnamed_visit_is_the_same_for_the_same_mark_only() -> None:
    one = arguments.unnamed_visit("1.1", "2026-01-15T12:00:00.000+0000")
    assert one == arguments.unnamed_visit("1.1", "2026-01-15T12:00:00.000+0000")
    assert one != arguments.unnamed_visit("1.1", "2026-01-15T12:00:00.001+0000")
    assert one != arguments.unnamed_visit("1.2", "2026-01-15T12:00:00.000+0000")
    assert arguments.parse(["n", f"visit={one}"]).visit == one


HEADER = {
    "agi_uniqueid": "1795408967.1",
    "agi_channel": "PJSIP/acme-0000001f",
    "agi_callerid": "600100200",
    "agi_calleridname": "Ann",
    "agi_dnid": "225550100",
    "agi_rdnis": "48221131415",
    "agi_extension": "100",
}


def test_facts_of_fastagi() -> None:
    found = arguments.agi_facts(
        HEADER, presentation="allowed", linkedid="1.0", diverted_from_presentation="allowed_not_screened"
    )
    assert found == arguments.Facts(
        uniqueid="1795408967.1",
        name="PJSIP/acme-0000001f",
        caller="600100200",
        caller_name="Ann",
        presentation="allowed",
        dnid="225550100",
        exten="100",
        linkedid="1.0",
        diverted_from="48221131415",
    )
    visit = arguments.visit(
        arguments.parse(["n"]), found, pbx="p", entry=call.Entry.AGI, arrived_at=NOW, new_visit_id="v"
    )
    assert (visit.call.diverted_from, visit.call.dialled) == ("48221131415", "225550100")
    own = arguments.parse(["n", "diverted_from="])
    visit = arguments.visit(own, found, pbx="p", entry=call.Entry.AGI, arrived_at=NOW, new_visit_id="v")
    assert visit.call.diverted_from == ""


@pytest.mark.parametrize("presentation", ["", "prohib_not_screened", "unavailable", "x allowed"])
def test_who_was_diverted_from_is_nobodys_unless_it_may_be_shown(presentation: str) -> None:
    assert arguments.agi_facts(HEADER, diverted_from_presentation=presentation).diverted_from == ""


def test_fastagi_says_unknown_where_there_is_nothing() -> None:
    unknown = dict.fromkeys(HEADER, "unknown")
    assert arguments.agi_facts(unknown, diverted_from_presentation="allowed") == arguments.Facts()
    assert arguments.agi_facts({}) == arguments.Facts()


def test_facts_of_fastagi_are_cut_to_length() -> None:
    found = arguments.agi_facts(
        dict.fromkeys(HEADER, "\0" + "9" * 5000),
        presentation="9" * 5000,
        linkedid="9" * 5000,
        diverted_from_presentation="allowed",
    )
    for value in vars(found).values():
        assert len(value) <= max(arguments.FACTS.values())
        assert "\0" not in value


@pytest.mark.parametrize(
    ("script", "args", "expected"),
    [
        ("", [], [""]),
        ("n", [], ["n"]),
        ("n", ["a=1", "b=2"], ["n", "a=1", "b=2"]),
        ("n?", ["a=1"], ["n", "a=1"]),
        ("n?back=1", ["a=1"], ["n", "back=1", "a=1"]),
        ("rec%20n?var.A=x%26y%3Dz+1?&delay=5m&&x", [], ["rec%20n", "var.A=x%26y%3Dz+1?", "delay=5m", "", "x"]),
    ],
)
def test_arguments_of_fastagi(script: str, args: list[str], expected: list[str]) -> None:
    assert arguments.agi_args(script, args) == expected


def test_a_query_is_read_as_every_argument() -> None:
    parsed = arguments.parse(arguments.agi_args("rec%20n?var.A=x%26y%3Dz+1?&delay=5m&", ["sender=ACME"]))
    assert (parsed.node, parsed.variables, parsed.delay, parsed.sender) == (
        "rec n",
        {"A": "x&y=z+1?"},
        "5m",
        "ACME",
    )


def test_a_record_of_the_event_way_says_so() -> None:
    assert arguments.parse(["n", "way=event", "at=1795408966.123"], record=True).by_event
    assert not arguments.parse(["n", "way="], record=True).by_event
    assert not arguments.parse(["n"], record=True).by_event
    with pytest.raises(errors.ArgumentError, match="way is neither event nor empty: 'agi'"):
        arguments.parse(["n", "way=agi"], record=True)


EVENT = {
    "event": "UserEvent",
    "channel": "PJSIP/acme-0000001f",
    "calleridnum": "+48600100200",
    "calleridname": "Jan",
    "connectedlinenum": "100",
    "exten": "48221131415",
    "uniqueid": "1795408967.1",
    "linkedid": "1795408967.0",
}


def test_facts_of_an_event() -> None:
    """Nothing says whether the number may be used, so it may not."""
    assert arguments.event_facts(EVENT) == arguments.Facts(
        uniqueid="1795408967.1",
        name="PJSIP/acme-0000001f",
        caller="+48600100200",
        caller_name="Jan",
        exten="48221131415",
        linkedid="1795408967.0",
    )
    assert arguments.event_facts({}) == arguments.Facts()


def test_what_an_event_does_not_know_is_empty() -> None:
    unknown = dict.fromkeys(EVENT, "<unknown>")
    assert arguments.event_facts(unknown) == arguments.Facts()
    hostile = arguments.event_facts(EVENT | {"calleridname": "\0" + "x" * 999})
    assert hostile.caller_name == "\ufffd" + "x" * 255
