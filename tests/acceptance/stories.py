"""What tests of the ways into the gateway share: what is stored of a call, without ids and times, to be compared."""

import collections.abc
import contextlib
import re
import sqlite3
from dataclasses import dataclass
from typing import Any

from rig import sipp
from rig.asterisk import Asterisk
from tests.acceptance import flows
from tests.acceptance import lab as labs
from tests.acceptance.gateway import Gateway, wait_for

WAYS = {"agi-sms": "ari", "agi-sms-agi": "agi", "agi-sms-event": "ami"}  # subroutine -> entry
EVENT = "agi-sms-event"

# Which way a call goes is in a header of its own, so that calls of all ways are under way at the same time.
# Gosub(way,s,1) reads it, Gosub(visit,s,1(NODE,...)) goes that way and keeps what the dialplan was told.
WAY = f"""{flows.SEEN}
[way]
exten => s,1,Set(__WAY=${{PJSIP_HEADER(read,X-Way)}})
 same => n,Set(DB(test/way/${{UNIQUEID}})=${{WAY}}:${{CALLERID(dnid)}})
 same => n,Return()
[visit]
exten => s,1,Gosub(${{WAY}},s,1(${{ARG1}},${{ARG2}},${{ARG3}},${{ARG4}}))
 same => n,Gosub(seen,s,1)
 same => n,Return()
"""


@dataclass(frozen=True, kw_only=True)
class Sms:
    """One message; `due` and `expires` in ms since its visit arrived."""

    recipient: str
    status: str
    reason: str | None
    source: str
    sender: str
    text: str | None
    encoding: str
    segments: int
    route: str
    due: int
    expires: int


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One activation with its messages."""

    node: str
    caller: str
    presentation: str
    caller_name: str
    dialled: str
    diverted_from: str
    trunk: str
    vars: str
    recipients: str | None
    sender: str | None
    delay: str | None
    messages: tuple[Sms, ...]

    @property
    def outcome(self) -> list[tuple[str, str, str | None]]:
        """Recipient, status and reason of each message, in order of the recipients."""
        return sorted(((one.recipient, one.status, one.reason) for one in self.messages), key=str)

    @property
    def text(self) -> str | None:
        """The text that all its messages have."""
        (text,) = {one.text for one in self.messages}
        return text


@dataclass(frozen=True, kw_only=True)
class Story:
    """What came of one call: its visits in their order, by which doors they came, and what the dialplan was told."""

    way: str
    number: str
    call_id: str
    visits: tuple[Visit, ...]
    entries: tuple[str, ...]
    told: tuple[str, ...]

    def visit(self, node: str) -> Visit:
        """The only visit to a node."""
        (found,) = (visit for visit in self.visits if visit.node == node)
        return found


def place(
    asterisk: Asterisk, calls: collections.abc.Mapping[str, dict[str, Any]], ways: collections.abc.Iterable[str] = WAYS
) -> None:
    """Place calls to these numbers, once for each way and all at once, and wait until they are over."""
    under_way = []
    for way in ways:
        for number, how in calls.items():
            headers = {"X-Way": way, **how.get("headers", {})}
            under_way.append(sipp.place_async(asterisk, number, **{"hold": 5.0, **how, "headers": headers}))
    for result in [one.wait() for one in under_way]:
        assert len(result.calls) == 1, result.errors
    asterisk.wait_for_no_channels(deadline=20)


def read(asterisk: Asterisk, gateway: Gateway) -> list[Story]:
    """What came of each call since family `test` was cleared, once nothing is left to be done but what is for later."""
    wait_for("what waits in AstDB is taken", lambda: not labs.missed(asterisk), deadline=45)
    wait_for("what is due has gone its way", lambda: not _rows(gateway, _ON_ITS_WAY))
    seen = flows.seen(asterisk)
    stories = []
    for key, value in asterisk.database("test").items():
        if not key.startswith("way/"):
            continue
        way, _, number = value.partition(":")
        call_id = key.removeprefix("way/")
        found = [row for row in _rows(gateway, _ACTIVATIONS) if row["call_id"] == call_id]
        for row in found:
            assert (row["call_key"], row["channel_id"], row["linkedid"]) == (f"main/{call_id}", call_id, call_id)
        stories.append(
            Story(
                way=way,
                number=number,
                call_id=call_id,
                visits=tuple(_visit(gateway, row) for row in found),
                entries=tuple(row["entry"] for row in found),
                told=tuple(seen.get(call_id, ())),
            )
        )
    return stories


def alike(stories: collections.abc.Iterable[Story]) -> None:
    """Of calls to one number, the same must be stored, whatever the way was."""
    first: dict[str, Story] = {}
    for story in stories:
        for one, other in zip(story.visits, first.setdefault(story.number, story).visits, strict=True):
            assert one == other, f"{story.number} by {story.way}"


_ACTIVATIONS = "SELECT * FROM activations ORDER BY id"
_ON_ITS_WAY = (
    "SELECT 1 FROM messages WHERE status IN ('waiting', 'sending') "
    "OR (status = 'scheduled' AND due_at < 1000 * unixepoch() + 60000) LIMIT 1"
)


def _rows(gateway: Gateway, query: str, *values: str) -> list[dict[str, Any]]:
    """Ask the database itself: each command would cost half a second."""
    with contextlib.closing(sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True, timeout=10)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query, values)]


def _visit(gateway: Gateway, row: dict[str, Any]) -> Visit:
    """A node of one way alone counts as the same in all: NAME-WAY is NAME."""
    arrived = row["arrived_at"]
    messages = _rows(gateway, "SELECT * FROM messages WHERE activation_id = ? ORDER BY id", row["id"])
    plain = {name: row[name] for name in Visit.__dataclass_fields__ if name not in ("node", "messages", "trunk")}
    for one in messages:
        one |= {"due": (one["due_at"] or arrived) - arrived, "expires": one["expires_at"] - arrived}
    return Visit(
        **plain,
        node=re.sub(f"-(?:{'|'.join(WAYS)})$", "", row["node"]),
        trunk=row["trunk"],
        messages=tuple(Sms(**{name: one[name] for name in Sms.__dataclass_fields__}) for one in messages),
    )
