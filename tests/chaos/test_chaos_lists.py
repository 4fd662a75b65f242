"""What the lists are read from, and when the gateway is said to have served."""

from typing import Any

from tests.chaos import calls, lists, windows


def test_the_dialplans_journal() -> None:
    visits, ended = lists.journal(
        [
            "IN|100.001|1-a~7|1|once",
            "ON|100.010|1-a~7|1|SCHEDULED",
            "IN|100.011|1-a~7|2|once",
            "ON|102.013|1-a~7|2|MISSED",
            "END|102.014|1-a~7|2|",
            "H|102.015|1-a~7|2|MISSED||",
            "IN|103.000|2-a~7|1|hold",
            "H|103.500|2-a~7|1||visit-name|1",
            "IN|104.000|3-a~7|1|hold",
            "H|104.001|3-a~7|1||visit-name|",
            "IN|105.000|4-a~7|1|hold",
            "H|105.001|4-a~7|1|BEFORE||",
            "IN|106.000|5-a~7|1|hold",
        ]
    )
    first, second, inside, early, before, stuck = visits
    assert (first.mark, first.node, first.entered, first.went_on, first.status) == (
        "1-a~7.1",
        "once",
        100.001,
        100.010,
        "SCHEDULED",
    )
    assert (second.left, second.status, second.hung_up) == (102.013, "MISSED", None)
    assert ended == {"1-a~7": 102.014}
    assert (inside.hung_up, inside.reached, inside.named) == (103.5, True, True)
    assert (early.reached, early.named) == (True, False)
    assert before.reached is False
    assert (stuck.left, stuck.reached) == (None, True)


def test_the_cdr() -> None:
    line = '"","+48600100200","7340","from-trunk",""""" <+48600100200>","PJSIP/trunk-0","","Hangup","17","a",,"b",0,0,'
    assert lists.cdr([line + '"FAILED","DOCUMENTATION","1795441732.0","1-a~7"']) == {"1-a~7": "Hangup"}


def test_sipps_calls() -> None:
    def message(at: float, way: str, call: str, cseq: str, line: str) -> list[str]:
        return ["2026-11-23", "13:59:19", f"{at:.6f}", way, call, f"CSeq:{cseq}", line]

    rows = [
        message(10.0, "S", "1-a", "1 INVITE", "INVITE sip:7100@127.0.0.1 SIP/2.0"),
        message(10.1, "R", "1-a", "1 INVITE", "SIP/2.0 100 Trying"),
        message(11.0, "S", "2-a", "1 INVITE", "INVITE sip:7200@127.0.0.1 SIP/2.0"),
        message(11.5, "S", "2-a", "1 INVITE", "INVITE sip:7200@127.0.0.1 SIP/2.0"),
        message(12.0, "R", "1-a", "1 INVITE", "SIP/2.0 486 Busy Here"),
        message(12.1, "S", "1-a", "1 ACK", "ACK sip:7100@127.0.0.1 SIP/2.0"),
        ["torn", "line"],
    ]
    first, second = calls.read(rows, ["7100", "7200"], stays=True)
    assert (first.number, first.at, first.until, first.status) == ("7100", 10.0, 12.1, 486)
    assert (second.number, second.at, second.until, second.status) == ("7200", 11.0, 11.5, None)


def event(at: int, what: str, door: str = "ari") -> dict[str, Any]:
    return {"time": f"2026-11-23T12:00:{at:02}.000Z", "event": what, "door": door}


START = 1795435200.0


def served(
    *log: dict[str, Any], ends: tuple[float, ...] = (), silences: tuple[windows.Window, ...] = ()
) -> windows.Windows:
    return windows.serving(log, ends, silences, START + 50)


def test_when_the_gateway_served() -> None:
    log = (
        event(1, "connected to Asterisk", "ami"),
        event(2, "connected to Asterisk"),
        event(9, "connection to Asterisk lost"),
        event(12, "connected to Asterisk again"),
        event(25, "connected to Asterisk"),
        {"event": "not from the log of ours"},
    )
    found = served(*log, ends=(START + 20,))
    assert found.seconds == (9 - 2) + (20 - 12) + (50 - 25)
    assert found.contain(START + 3, START + 4)
    assert not found.contain(START + 1.5, START + 4)
    assert not found.contain(START + 8, START + 13)
    assert not found.contain(START + 19, START + 26)
    assert not found.contain(START + 49, START + 51)


def test_who_is_not_heard_does_not_serve() -> None:
    silence = windows.Window(begin=START + 10, end=START + 15)
    found = served(event(2, "connected to Asterisk"), silences=(silence,))
    assert found.contain(START + 3, START + 9)
    assert not found.contain(START + 9, START + 11)
    assert not found.contain(START + 15.5, START + 15.6)
    assert found.contain(START + 17, START + 30)
