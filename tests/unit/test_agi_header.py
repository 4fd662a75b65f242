"""The header of a FastAGI connection: which of its lines are Asterisk's, whatever a stranger's values look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms.asterisk import agi_header
from tests.contract import fake_agi
from tests.contract.fake_agi import FROM_SUBROUTINE, UNIQUEID

REAL = {"agi_channel": "PJSIP/acme-0000001f", "agi_uniqueid": UNIQUEID}


def lines(script: str | None = "reception?back=1", *args: str, **values: str) -> list[str]:
    return fake_agi.header(script, args, **values).decode("utf-8", "surrogateescape").removesuffix("\n\n").split("\n")


def read(script: str | None = "reception?back=1", *args: str, **values: str) -> agi_header.Header:
    found = agi_header.read(lines(script, *args, **values))
    assert found is not None
    return found


def test_what_asterisk_wrote() -> None:
    found = read("reception?back=1", *FROM_SUBROUTINE, "", "var.A=b: c")
    assert found.whole
    assert found.args == ("reception", "back=1", *FROM_SUBROUTINE, "", "var.A=b: c")
    assert found.keys >= {"back", "visit", "presentation", "var.A"}
    assert {key: found.values[key] for key in fake_agi.VALUES} == fake_agi.VALUES


@pytest.mark.parametrize(("script", "args"), [(None, ("",)), ("", ("",)), ("reception", ("reception",))])
def test_without_arguments(script: str | None, args: tuple[str, ...]) -> None:
    found = read(script)
    assert (found.args, found.script, found.whole) == (args, script or "", True)


@pytest.mark.parametrize(
    "raw",
    [
        [],
        [""],
        ["\ufffd\ufffd"],
        ["GET / HTTP/1.1", "Host: x"],
        ["agi_network: yes"],
        ["agi_network: no", *lines()[1:]],
        ["", *lines()],
        lines()[1:],
        [line for line in lines() if not line.startswith("agi_uniqueid")],
        ["agi_uniqueid: " if line.startswith("agi_uniqueid") else line for line in lines()],
        [line for line in lines() if not line.startswith(("agi_channel", "agi_request"))],
    ],
)
def test_what_no_asterisk_wrote(raw: list[str]) -> None:
    assert agi_header.read(raw) is None


@pytest.mark.parametrize(
    "torn",
    [
        lines()[:-1],
        lines()[:10],
        [*lines(), "x"],
        [*lines(), ""],
        [*lines(), "agi_arg_2: x"],
        [*lines(), "agi_arg_1: x", "agi_arg_1: y"],
        lines(agi_calleridname="x\ny"),
        lines(agi_calleridname="x\n\ny"),
        lines(agi_calleridname="x\nagi_dnid: 1"),
        lines(agi_accountcode="\nagi_threadid: 1"),
    ],
)
def test_what_is_not_whole(torn: list[str]) -> None:
    found = agi_header.read(torn)
    assert found is not None
    assert not found.whole


def test_what_a_line_break_leaves_of_the_values() -> None:
    found = read(agi_calleridname="a: b", agi_accountcode="c: d: e", agi_channel="PJSIP/a: b-1")
    assert (found.values["agi_calleridname"], found.values["agi_accountcode"]) == ("a: b", "c: d: e")
    assert found.values["agi_channel"] == "PJSIP/a: b-1"
    torn = read(agi_calleridname="x\nagi_dnid: 1\nno colon", agi_accountcode="y\nalone")
    assert torn.values["agi_calleridname"] == "x"
    assert torn.values["agi_accountcode"] == "y"
    assert not {"agi_dnid", "no colon", "alone"} & torn.values.keys()  # one is there twice, the others are no lines


def test_an_argument_is_no_value() -> None:
    found = read("n", "a=1", "b=2")
    assert not any(key.startswith("agi_arg_") for key in found.values)
    assert read().values["agi_threadid"]


def test_a_header_without_its_end_or_its_strangers() -> None:
    cut = agi_header.read(lines()[:8])
    assert cut is not None
    assert (cut.args, cut.whole) == (("reception", "back=1"), False)
    assert cut.values.keys() == {line.partition(":")[0] for line in lines()[:8]}
    more = agi_header.read([*lines()[:8], "agi_arg_1: a=1"])
    assert more is not None
    assert more.args == ("reception", "back=1")


STRANGERS = ("agi_callerid", "agi_calleridname", "agi_dnid", "agi_rdnis", "agi_extension", "agi_accountcode")


@given(
    st.dictionaries(
        st.sampled_from(STRANGERS),
        st.lists(st.sampled_from(lines("other", "recipients=+19005550100")) | st.text(max_size=20)).map("\n".join),
    )
)
def test_no_stranger_writes_what_is_asterisks(values: dict[str, str]) -> None:
    found = read("reception?back=1", *FROM_SUBROUTINE, **values)
    assert found.args == ("reception", "back=1", *FROM_SUBROUTINE)
    assert {key: found.values[key] for key in REAL} == REAL
    if found.whole:
        assert {key: found.values[key] for key in values} == values


@given(st.lists(st.sampled_from([*lines("n", "a=1"), "", "agi_arg_: ", "agi_arg_0: "]) | st.text(max_size=20)))
def test_nothing_is_raised(raw: list[str]) -> None:
    found = agi_header.read(raw)
    assert found is None or len(found.args) >= 1
    found = agi_header.read(["agi_network: yes", *raw])
    assert found is None or found.values["agi_uniqueid"]
