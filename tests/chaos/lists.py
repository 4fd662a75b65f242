"""The four lists, each read from where it comes to be: sipp, the dialplan, the history, the provider's own log.

A visit is named by its mark: the SIP Call-ID that sipp gave the call, which run of the dialplan (an INVITE that is
repeated to an Asterisk just started again is a new call to it), and which visit of the run it is.
"""

import csv
import json
import pathlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance import gateway as gateways
from tests.chaos import plan

JOURNAL = "log/journal"  # in Asterisk's directory, which the container sees as /rig
_NODES, _WAYS = "-".join(plan.NODES), ":".join(plan.WAYS)
_TIME = "${STRFTIME(,,%s.%3q)}"
# FILE() appends with a write of its own before the next step: what it has survives the end of Asterisk, unlike what
# is on its way to the log, the CDR or the CEL. 7VNWS: V visits of node N by way W; S is 1 where the caller ends the
# call.
DIALPLAN = f"""
[from-trunk]
exten => _7XXXX,1,Set(SIP=${{CHANNEL(pjsip,call-id)}}~${{UNIQUEID}})
 same => n,Set(CDR(userfield)=${{SIP}})
 same => n,Set(NODE=${{CUT(NODES,-,$[${{EXTEN:2:1}} + 1])}})
 same => n,Set(WAY=${{CUT(WAYS,:,$[${{EXTEN:3:1}} + 1])}})
 same => n,Set(N=0)
 same => n,While($[${{N}} < ${{EXTEN:1:1}}])
 same => n,Set(N=$[${{N}} + 1])
 same => n,Set(AGISMS_STATUS=BEFORE)
 same => n,Set(FILE(/rig/{JOURNAL},,,al,u)=IN|{_TIME}|${{SIP}}|${{N}}|${{NODE}})
 same => n,Gosub(${{WAY}},s,1(${{NODE}},var.MARK=${{SIP}}.${{N}}))
 same => n,Set(FILE(/rig/{JOURNAL},,,al,u)=ON|{_TIME}|${{SIP}}|${{N}}|${{AGISMS_STATUS}})
 same => n,EndWhile()
 same => n,Set(FILE(/rig/{JOURNAL},,,al,u)=END|{_TIME}|${{SIP}}|${{N}}|)
 same => n,GotoIf($[${{EXTEN:4:1}} = 0]?over)
 same => n,Wait(5)
 same => n(over),Hangup(17)
exten => h,1,Set(FILE(/rig/{JOURNAL},,,al,u)=H|{_TIME}|${{SIP}}|${{N}}|${{AGISMS_STATUS}}|${{visit}}|${{agisms_in}})
[globals]
NODES={_NODES}
WAYS={_WAYS}
"""


@dataclass(frozen=True, kw_only=True)
class Made:
    """One call as sipp made it; `at` and `until` are the seconds of its first and last SIP message."""

    call: str
    number: str
    at: float
    until: float
    status: int | None  # final answer
    stays: bool  # the caller does not hang up


@dataclass(kw_only=True)
class Visit:
    """One visit as the dialplan wrote it down; times in seconds by Asterisk's clock."""

    mark: str
    call: str
    run: str
    node: str
    entered: float
    went_on: float | None = None
    status: str = ""  # AGISMS_STATUS where it went on
    hung_up: float | None = None  # in the node
    reached: bool = True  # the node's first priority, before the caller hung up
    named: bool = True  # and the place from where on it is written down whatever happens

    @property
    def left(self) -> float | None:
        """When it was over, for the caller or the call."""
        return self.hung_up if self.went_on is None else self.went_on


@dataclass(frozen=True, kw_only=True)
class Row:
    """One message of the history. `mark` is its text."""

    id: str
    mark: str
    node: str
    status: str
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request in the provider's log."""

    at: float
    door: str
    ref: str
    mark: str
    fate: str
    taken: bool


@dataclass(frozen=True, kw_only=True)
class Lists:
    """What the verdict compares."""

    made: tuple[Made, ...]
    visits: tuple[Visit, ...]
    ended: Mapping[str, float]  # runs of the dialplan that came to their end, and when
    recorded: Mapping[str, str]  # runs in the CDR, with the application that they were in last
    rows: tuple[Row, ...]
    asked: tuple[Asked, ...]
    outcomes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of the attempts, by message


def journal(lines: Iterable[str]) -> tuple[tuple[Visit, ...], dict[str, float]]:
    """The dialplan's own list: the visits, and the runs that came to their end."""
    visits: dict[str, Visit] = {}
    ended: dict[str, float] = {}
    for line in lines:
        what, at, run, number, *more = line.rstrip("\n").split("|")
        mark = f"{run}.{number}"
        match what:
            case "IN":
                visits[mark] = Visit(mark=mark, call=call_of(run), run=run, node=more[0], entered=float(at))
            case "ON":
                visits[mark].went_on, visits[mark].status = float(at), more[0]
            case "END":
                ended[run] = float(at)
            case "H" if mark in visits and visits[mark].went_on is None:
                status, visit, inside = more
                visits[mark].hung_up = float(at)
                visits[mark].reached = status != "BEFORE"
                visits[mark].named = bool(visit and inside) or status not in ("", "BEFORE")
    return tuple(visits.values()), ended


def call_of(run: str) -> str:
    """The SIP Call-ID."""
    return run.partition("~")[0]


def cdr(lines: Iterable[str]) -> dict[str, str]:
    """Asterisk's call detail records: the application that each run was in last."""
    return {row[-1]: row[7] for row in csv.reader(lines) if len(row) > 8}


def history(rows: Iterable[Mapping[str, Any]]) -> tuple[Row, ...]:
    """What `agi-sms history --format json` says."""
    return tuple(
        Row(id=row["id"], mark=row["text"] or "", node=row["node"], status=row["status"], reason=row["reason"])
        for row in rows
    )


def provider(lines: Iterable[str]) -> tuple[Asked, ...]:
    """The stand-in's log."""
    found = map(json.loads, lines)
    return tuple(
        Asked(at=one["at"], door=one["door"], ref=one["ref"], mark=one["text"], fate=one["fate"], taken=one["taken"])
        for one in found
    )


def attempted(database: pathlib.Path) -> dict[str, tuple[str, ...]]:
    """What came of each attempt, in order, by message; "" where nobody knows."""
    found: dict[str, list[str]] = defaultdict(list)
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)
    try:
        for message, outcome in connection.execute("SELECT message_id, outcome FROM attempts ORDER BY message_id, n"):
            found[message].append(outcome or "")
    finally:
        connection.close()
    return {message: tuple(all_of_it) for message, all_of_it in found.items()}


def read(made: Iterable[Made], asterisk: pathlib.Path, gateway: gateways.Gateway, provider_log: pathlib.Path) -> Lists:
    """All of them, at the end."""
    visits, ended = journal(_lines(asterisk / JOURNAL))
    return Lists(
        made=tuple(made),
        visits=visits,
        ended=ended,
        recorded=cdr(_lines(asterisk / "log/cdr-csv/Master.csv")),
        rows=history(gateway.history()),
        asked=provider(_lines(provider_log)),
        outcomes=attempted(gateway.database),
    )


def _lines(path: pathlib.Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
