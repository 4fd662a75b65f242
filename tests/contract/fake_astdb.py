"""An AMI with one family of AstDB on a loopback port, that misbehaves on demand; and the drain, running on it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from agi_sms import call, metrics, ports
from agi_sms.asterisk import ami, ami_client, hearing, link
from agi_sms.asterisk.settings import Ami

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp()) - 60
SCHEDULED = ports.Reply(status=ports.ReplyStatus.SCHEDULED, count=1, activation_id="act-1")
USER, SECRET = "gateway", "s3cret"
RESULTS = ("visit", "look", "standby", "unreadable", "overflow", "lost")  # of events
CHANNEL = (  # as Asterisk 22.10.1 writes them, before what the dialplan gave
    "Channel: PJSIP/trunk-0000001f",
    "ChannelState: 6",
    "ChannelStateDesc: Up",
    "CallerIDNum: +48600100200",
    "CallerIDName: Jan",
    "ConnectedLineNum: <unknown>",
    "ConnectedLineName: <unknown>",
    "Language: en",
    "AccountCode: ",
    "Context: from-trunk",
    "Exten: 100",
    "Priority: 1",
    "Uniqueid: 1768478400.7",
    "Linkedid: 1768478400.6",
    "UserEvent: AgiSms",
)


@dataclass
class FakeAstDb:
    """An AMI with one family of AstDB. `mute`: actions that get no answer; `slice`: bytes per write.

    `read` is what manager.conf says of our user, None where it may not be asked. Who logs in while `deaf` is set, as no
    right to events is loaded, hears none on that connection.
    """

    port: int = 0
    records: dict[str, str] = field(default_factory=dict)
    actions: list[dict[str, str]] = field(default_factory=list)
    logins: int = 0
    password: str = SECRET
    mute: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    ending: bool = False  # Asterisk is being stopped
    slice: int = 0
    instead: dict[str, bytes] = field(default_factory=dict)
    drop_after: str = ""
    unheeded: list[dict[str, str]] = field(default_factory=list)  # actions, meanwhile
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    read: str | None = None
    deaf: bool = False
    without: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def subscribed(self) -> list[str]:
        """The classes of events that each login asked for."""
        return [action["Events"] for action in self.done("Login")]

    def say(self, *headers: str) -> None:
        """Send the event of a UserEvent() to whoever is connected: Asterisk's own headers, then these."""
        own = ("Event: UserEvent", "Privilege: user,all", *CHANNEL)
        self.write("".join(f"{line}\r\n" for line in (*own, *headers, "")).encode(), self.without)

    def write(self, data: bytes, but: Collection[asyncio.StreamWriter] = ()) -> None:
        """Send this as it is to whoever is connected."""
        for writer in self.writers:
            if not writer.is_closing() and writer not in but:
                writer.write(data)

    def done(self, name: str) -> list[dict[str, str]]:
        return [action for action in self.actions if action["Action"] == name]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(b"Asterisk Call Manager/9.0.0\r\n")
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                action = dict(line.split(": ", 1) for line in lines if ": " in line)
                self.actions.append(action)
                name = action["Action"]
                if name == "Login" and self.deaf:
                    self.without.add(writer)
                answer = self.instead.get(name) or self._answer(name, action).encode()
                if name not in self.mute:
                    step = self.slice or len(answer)
                    for start in range(0, len(answer), step):
                        writer.write(answer[start : start + step])
                        await writer.drain()
                        if self.slice:
                            await asyncio.sleep(0.0005)
                if self.drop_after == name:
                    break
        writer.close()

    def _answer(self, name: str, action: dict[str, str]) -> str:
        of = f"ActionID: {action['ActionID']}\r\n"
        error = f"Response: Error\r\n{of}Message: "
        if name in self.denied:
            return f"{error}Permission denied\r\n\r\n"
        if self.ending:
            self.unheeded.append(action)
            return f"{error}Asterisk is shutting down\r\n\r\n"
        match name:
            case "Login":
                self.logins += 1
                if (action["Username"], action["Secret"]) != (USER, self.password):
                    return f"{error}Authentication failed\r\n\r\n"
                return f"Response: Success\r\n{of}Message: Authentication accepted\r\n\r\n"
            case "GetConfig" if self.read is not None:
                lines = ("Category-000000: gateway", "Line-000000-000000: secret=s3cret", *self.read.splitlines())
                return "\r\n".join(("Response: Success", *lines, of, ""))
            case "Ping":
                return f"Response: Success\r\n{of}Ping: Pong\r\n\r\n"
            case "DBGetTree" if not self.records:
                return f"{error}Database entry not found\r\n\r\n"
            case "DBGetTree":
                head = f"Response: Success\r\n{of}EventList: start\r\nMessage: Result will follow\r\n\r\n"
                body = "".join(
                    f"Event: DBGetTreeResponse\r\nKey: /agi-sms/{key}\r\nVal: {value}\r\n{of}\r\n"
                    for key, value in self.records.items()
                )
                return f"{head}{body}Event: DBGetTreeComplete\r\nEventList: Complete\r\nListItems: 1\r\n{of}\r\n"
            case "DBDel":
                if self.records.pop(action["Key"], None) is None:
                    return f"{error}Database entry not found\r\n\r\n"
                return f"Response: Success\r\n{of}Message: Key deleted successfully\r\n\r\n"
            case _:
                return f"{error}Invalid/unknown command\r\n\r\n"


class Intake:
    """What stands behind the door. `order` also tells what was still in AstDB when a visit was stored."""

    def __init__(self, fake: FakeAstDb) -> None:
        self.fake = fake
        self.visits: list[call.Visit] = []
        self.answers: dict[str, ports.Reply | Exception] = {}

    async def receive(self, visit: call.Visit) -> ports.Reply:
        await asyncio.sleep(0)
        if not visit.id.startswith("event-"):
            assert visit.id in self.fake.records, "deleted before it was stored"
        self.visits.append(visit)
        answer = self.answers.get(visit.node, SCHEDULED)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def ids(self) -> list[str]:
        return [visit.id for visit in self.visits]


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[FakeAstDb]:
    """Somebody to connect to."""
    peer = FakeAstDb()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for writer in peer.writers:
            writer.close()
        await server.wait_closed()


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that waits in production waits less here."""
    for module, name, value in (
        (link, "FIRST_PAUSE", 0.01),
        (link, "LONGEST_PAUSE", 0.05),
        (link, "REFUSED_PAUSE", 0.02),
        (ami, "PROBE_EVERY", 0.05),
        (ami, "DRAIN_EVERY", 0.1),
        (ami, "SETTLE", 0.01),
        (hearing, "ON_THE_WAY", 0.05),
        (ami_client, "TREE_PATIENCE", 1.0),
    ):
        monkeypatch.setattr(module, name, value)


def settings(fake: FakeAstDb, **more: Any) -> Ami:
    given: dict[str, Any] = {"port": fake.port, "username": USER, "secret": SECRET, "timeout": "200ms"}
    given["bare_events"] = True
    return Ami(**given | more)


@contextlib.asynccontextmanager
async def running(
    fake: FakeAstDb,
    intake: Intake,
    *,
    unknown: Callable[[str], str] = lambda _: "",
    ours: Callable[[], bool] = lambda: True,
    may_leave: bool = True,
    **more: Any,
) -> AsyncIterator[ami.AmiDrain]:
    """The door, opened; closed again in the end."""
    given: dict[str, Any] = {"unknown": unknown, "ours": ours, "may_leave": may_leave}
    drain = ami.AmiDrain("pbx1", settings(fake, **more), intake.receive, clock=lambda: NOW, **given)
    task = asyncio.create_task(drain.run())
    try:
        yield drain
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task.exception()


def record(visit_id: str, *, node: str = "reception", at: int = AT, more: str = "") -> str:
    return f"{node},visit={visit_id},origin=1.0,caller=%2B48600100200{more},linkedid=1.0,channel=1.1,at={at},,,"


class Counted:
    """How many events of PBX pbx1 came to which result, since this was made."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._begun = {result: self(result) for result in RESULTS}

    def __call__(self, result: str) -> float:
        return float(metrics.USER_EVENTS.labels("pbx1", result)._value.get()) - self._begun.get(result, 0)


def told(visit_id: str, **more: Any) -> str:
    """A record as dialplan/agi-sms-event.conf writes it."""
    return record(visit_id, more=",way=event", **more)
