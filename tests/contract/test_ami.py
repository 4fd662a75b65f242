"""The AMI drain against peers that misbehave: a missed visit is stored once, and leaves AstDB only after that."""

import asyncio
import contextlib
import shlex
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pydantic
import pytest

from agi_sms import call, errors, ports
from agi_sms.asterisk import ami, ami_client, link
from agi_sms.asterisk.settings import Ami
from tests.contract import doors

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp()) - 60
SCHEDULED = ports.Reply(status=ports.ReplyStatus.SCHEDULED, count=1, activation_id="act-1")
USER, SECRET = "gateway", "s3cret"


@dataclass
class FakeAmi:
    """An AMI with one family of AstDB. `mute`: actions that get no answer; `slice`: bytes per write."""

    port: int = 0
    records: dict[str, str] = field(default_factory=dict)
    actions: list[dict[str, str]] = field(default_factory=list)
    logins: int = 0
    password: str = SECRET
    mute: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    slice: int = 0
    instead: dict[str, bytes] = field(default_factory=dict)
    drop_after: str = ""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

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
        match name:
            case "Login":
                self.logins += 1
                if (action["Username"], action["Secret"]) != (USER, self.password):
                    return f"{error}Authentication failed\r\n\r\n"
                return f"Response: Success\r\n{of}Message: Authentication accepted\r\n\r\n"
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

    def __init__(self, fake: FakeAmi) -> None:
        self.fake = fake
        self.visits: list[call.Visit] = []
        self.answers: dict[str, ports.Reply | Exception] = {}

    async def receive(self, visit: call.Visit) -> ports.Reply:
        await asyncio.sleep(0)
        assert visit.id in self.fake.records, "deleted before it was stored"
        self.visits.append(visit)
        answer = self.answers.get(visit.node, SCHEDULED)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def ids(self) -> list[str]:
        return [visit.id for visit in self.visits]


@pytest.fixture
async def fake() -> AsyncIterator[FakeAmi]:
    peer = FakeAmi()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for writer in peer.writers:
            writer.close()
        await server.wait_closed()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that waits in production waits less here."""
    for module, name, value in (
        (link, "FIRST_PAUSE", 0.01),
        (link, "LONGEST_PAUSE", 0.05),
        (link, "REFUSED_PAUSE", 0.02),
        (ami, "PROBE_EVERY", 0.05),
        (ami, "DRAIN_EVERY", 0.1),
        (ami, "SETTLE", 0.01),
        (ami_client, "TREE_PATIENCE", 1.0),
    ):
        monkeypatch.setattr(module, name, value)


def settings(fake: FakeAmi, **more: Any) -> Ami:
    given: dict[str, Any] = {"port": fake.port, "username": USER, "secret": SECRET, "timeout": "200ms"}
    return Ami(**given | more)


@contextlib.asynccontextmanager
async def running(
    fake: FakeAmi, intake: Intake, *, ours: Callable[[], bool] = lambda: True, **more: Any
) -> AsyncIterator[ami.AmiDrain]:
    """The door, opened; closed again in the end."""
    drain = ami.AmiDrain("pbx1", settings(fake, **more), intake.receive, clock=lambda: NOW, ours=ours)
    task = asyncio.create_task(drain.run())
    try:
        yield drain
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task.exception()


def record(visit_id: str, *, node: str = "reception", at: int = AT, more: str = "") -> str:
    return f"{node},visit={visit_id},origin=1.0,caller=%2B48600100200{more},linkedid=1.0,channel=1.1,at={at},,,"


# --- draining ---


async def test_missed_visits_are_stored_oldest_first_then_deleted(fake: FakeAmi, logged: list[Any]) -> None:
    fake.records = {"v-2": record("v-2", at=AT + 5), "v-1": record("v-1"), "v-3": record("v-3", at=AT + 9)}
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is ami.State.SERVING)
    assert intake.ids == ["v-1", "v-2", "v-3"]
    assert fake.records == {}
    visit = intake.visits[0]
    assert (visit.entry, visit.arrived_at) == (call.Entry.ASTDB, datetime.fromtimestamp(AT, UTC))
    assert (visit.call.key, visit.call.channel_id, visit.call.caller) == ("pbx1/1.0", "1.1", "+48600100200")
    (line,) = doors.events(logged, "missed, their visits are stored")
    assert line["calls"] == 3


async def test_an_empty_family_is_no_fault(fake: FakeAmi, logged: list[Any]) -> None:
    async with running(fake, Intake(fake)) as drain:
        await doors.until(lambda: drain.state is ami.State.SERVING)
    assert [line["event"] for line in logged] == ["connected to Asterisk"]


async def test_waking_looks_again_soon(fake: FakeAmi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ami, "SETTLE", 0.01)
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is ami.State.SERVING)
        fake.records["v-1"] = record("v-1")
        drain.wake()
        await doors.until(lambda: not fake.records)
    assert intake.ids == ["v-1"]


@pytest.mark.usefixtures("impatient")
async def test_it_looks_now_and_then_by_itself(fake: FakeAmi) -> None:
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is ami.State.SERVING)
        fake.records["v-1"] = record("v-1")
        await doors.until(lambda: not fake.records)
    assert intake.ids == ["v-1"]


@pytest.mark.usefixtures("impatient")
async def test_what_cannot_be_used_stays_is_named_once_and_keeps_nobody_waiting(
    fake: FakeAmi, logged: list[Any]
) -> None:
    unusable = {
        "v-0": "no equals sign,really",
        "v-1": "",
        "v-2": record("v-2", node="no-such-node", at=AT - 9),
        "v-3": record("v-3", node="buggy", at=AT - 8),
        "v-4": "n,visit=v-4,at=never",
    }
    fake.records = {**unusable, "v-9": record("v-9")}
    intake = Intake(fake)
    intake.answers = {
        "no-such-node": ports.Reply(status=ports.ReplyStatus.INVALID),
        "buggy": RuntimeError("a bug"),
    }
    async with running(fake, intake) as drain:
        await doors.until(lambda: len(fake.done("DBGetTree")) >= 3)
        assert drain.left == 5
        assert fake.records == unusable
        del fake.records["v-0"]  # by hand
        looks = len(fake.done("DBGetTree"))
        await doors.until(lambda: len(fake.done("DBGetTree")) >= looks + 2)
        assert drain.left == 4
    assert sorted(intake.ids) == ["v-2", "v-3", "v-9"]
    assert len(doors.events(logged, "stays in AstDB")) == 5 + 1  # and the bug's own line


@pytest.mark.usefixtures("impatient")
async def test_what_was_left_is_tried_again(fake: FakeAmi, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload may have brought the node."""
    monkeypatch.setattr(ami, "LEFT_FOR", 0.05)
    fake.records = {"v-1": record("v-1", node="new")}
    intake = Intake(fake)
    intake.answers = {"new": ports.Reply(status=ports.ReplyStatus.INVALID)}
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.left == 1)
        intake.answers.clear()
        await doors.until(lambda: not fake.records and drain.left == 0)


@pytest.mark.usefixtures("impatient")
async def test_what_was_stored_is_forgotten_whatever_else_was_wrong(fake: FakeAmi) -> None:
    """Messages that are held for a person are stored."""
    fake.records = {"v-1": record("v-1", node="odd")}
    intake = Intake(fake)
    intake.answers = {"odd": ports.Reply(status=ports.ReplyStatus.INVALID, activation_id="a1")}
    async with running(fake, intake) as drain:
        await doors.until(lambda: not fake.records)
        assert drain.left == 0


@pytest.mark.usefixtures("impatient")
async def test_what_cannot_be_stored_now_stays(fake: FakeAmi, logged: list[Any]) -> None:
    fake.records = {f"v-{n}": record(f"v-{n}") for n in range(3)}
    intake = Intake(fake)
    intake.answers = {"reception": ports.Reply(status=ports.ReplyStatus.ERROR, leave_unset=True)}
    async with running(fake, intake):
        await doors.until(lambda: doors.events(logged, "cannot be stored now"))
        assert len(fake.records) == 3
        intake.answers.clear()
        await doors.until(lambda: not fake.records)


@pytest.mark.usefixtures("impatient")
async def test_a_record_without_a_time_is_as_old_as_can_be(fake: FakeAmi) -> None:
    fake.records = {"v-1": "reception,visit=v-1"}
    intake = Intake(fake)
    async with running(fake, intake):
        await doors.until(lambda: not fake.records)
    assert intake.visits[0].arrived_at == datetime.fromtimestamp(0, UTC)


@pytest.mark.usefixtures("impatient")
async def test_a_record_that_another_deleted_is_fine(fake: FakeAmi, logged: list[Any]) -> None:
    fake.records = {"v-1": record("v-1")}

    async def take_away(visit: call.Visit) -> ports.Reply:
        fake.records.clear()
        return SCHEDULED

    drain = ami.AmiDrain("pbx1", settings(fake), take_away, clock=lambda: NOW)
    task = asyncio.create_task(drain.run())
    await doors.until(lambda: drain.state is ami.State.SERVING)
    task.cancel()
    await asyncio.wait({task})
    assert len(fake.done("DBDel")) == 1
    assert not doors.events(logged, "stays in AstDB")


# --- the connection ---


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_characters_split_between_segments_stay_whole(fake: FakeAmi, size: int) -> None:
    fake.slice = size
    fake.records = {"v-1": record("v-1", more=",caller_name=Zażółć€😀")}
    intake = Intake(fake)
    async with running(fake, intake, timeout="5s"):
        await doors.until(lambda: not fake.records)
    assert intake.visits[0].call.caller_name == "Zażółć€😀"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("silent", ["Login", "Ping", "DBGetTree", "DBDel"])
async def test_a_peer_that_does_not_answer_is_left_and_nothing_is_sent_twice(
    fake: FakeAmi, logged: list[Any], silent: str
) -> None:
    fake.records = {"v-1": record("v-1")}
    fake.mute = {silent}
    intake = Intake(fake)
    async with running(fake, intake):
        await doors.until(lambda: len(fake.writers) >= 2)
        fake.mute = set()
        await doors.until(lambda: doors.events(logged, "again"))
    ids = [action["ActionID"] for action in fake.actions]
    assert len(ids) == len(set(ids))
    assert set(intake.ids) == {"v-1"}
    assert fake.records == {}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("after", ["Login", "DBGetTree", "DBDel", "Ping"])
async def test_a_lost_connection_is_made_again(fake: FakeAmi, logged: list[Any], after: str) -> None:
    fake.records = {"v-1": record("v-1")}
    fake.drop_after = after
    async with running(fake, Intake(fake)) as drain:
        await doors.until(lambda: len(fake.writers) >= 2)
        fake.drop_after = ""
        await doors.until(lambda: drain.state is ami.State.SERVING and not fake.records)
    assert len({action["ActionID"] for action in fake.actions}) == len(fake.actions)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("denied", ["", "DBGetTree", "DBDel"])
async def test_a_refusal_is_said_once_and_tried_again(fake: FakeAmi, logged: list[Any], denied: str) -> None:
    fake.records = {"v-1": record("v-1")}
    if denied:
        fake.denied = {denied}
    else:
        fake.password = "another"
    async with running(fake, Intake(fake)) as drain:
        await doors.until(lambda: fake.logins >= 3)
        assert drain.state is ami.State.REFUSED
        fake.password, fake.denied = SECRET, set()
        await doors.until(lambda: drain.state is ami.State.SERVING)
    (line,) = doors.events(logged, "refuses us")
    assert "manager.conf" in line["hint"]
    assert SECRET not in repr(logged)
    assert fake.records == {}


@pytest.mark.usefixtures("impatient")
async def test_endless_input_ends_the_connection(fake: FakeAmi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ami_client, "LARGEST_MESSAGE", 100_000)
    fake.instead["DBGetTree"] = b"Event: x\r\nKey: " + b"y" * 300_000
    async with running(fake, Intake(fake), timeout="5s"):
        await doors.until(lambda: len(fake.writers) >= 2)


@pytest.mark.usefixtures("impatient")
async def test_an_endless_answer_is_given_up_and_what_came_of_it_is_taken(
    fake: FakeAmi, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ami_client, "LARGEST_ANSWER", 20_000)
    fake.records = {f"v-{n}": record(f"v-{n}") for n in range(300)}
    intake = Intake(fake)
    async with running(fake, intake, timeout="5s") as drain:
        await doors.until(lambda: not fake.records and drain.state is ami.State.SERVING)
    assert sorted(intake.ids) == sorted(f"v-{n}" for n in range(300))
    assert "longer than 20000 bytes" in repr(logged)


@pytest.mark.usefixtures("impatient")
async def test_so_many_records_are_taken_in_parts(fake: FakeAmi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ami, "MOST_AT_ONCE", 10)
    monkeypatch.setattr(ami, "DRAIN_EVERY", 1000.0)
    unusable = {f"u-{n}": "no equals sign,really" for n in range(15)}
    fake.records = {**unusable, **{f"v-{n}": record(f"v-{n}") for n in range(25)}}
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: fake.records == unusable)
        assert drain.left == 15
    assert len(fake.done("DBGetTree")) == 4
    assert len(intake.ids) == 25


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("key", "command"),
    [
        ("plain-1", "database del agi-sms plain-1"),
        ("x'; touch /tmp/evil; echo '", "database del agi-sms \"x'; touch /tmp/evil; echo '\""),
        ('a "b" \\c', 'database del agi-sms "a \\"b\\" \\\\c"'),
        ("$(reboot)`reboot`", "database del agi-sms $(reboot)`reboot`"),
        ("k" * 300, "database show agi-sms"),
        ("bell\x07", "database show agi-sms"),
    ],
)
async def test_the_command_that_is_hinted_at_does_nothing_else(
    fake: FakeAmi, logged: list[Any], key: str, command: str
) -> None:
    """The key is whatever a stranger made it; the shell reads all as one word, and so does Asterisk the key."""
    fake.records = {key: "no equals sign,really"}
    async with running(fake, Intake(fake)) as drain:
        await doors.until(lambda: drain.left == 1)
    (line,) = doors.events(logged, "stays in AstDB")
    assert shlex.split(line["delete_with"]) == ["asterisk", "-rx", command]


@pytest.mark.usefixtures("impatient")
async def test_nobody_listens_there(fake: FakeAmi, logged: list[Any]) -> None:
    async with running(fake, Intake(fake), port=1) as drain:
        await doors.until(lambda: doors.events(logged, "cannot be reached"))
        assert drain.state is ami.State.CONNECTING


@pytest.mark.parametrize("evil", ["x\r\nAction: Originate", "x\ny", "x\0"])
async def test_a_value_with_a_line_break_is_never_sent(fake: FakeAmi, evil: str) -> None:
    async with ami_client.connected(settings(fake)) as connection:
        with pytest.raises(errors.PbxError, match="line break"):
            await connection.delete("agi-sms", evil)
        await connection.ping()
    assert [action["Action"] for action in fake.actions] == ["Login", "Ping"]


@pytest.mark.parametrize("wrong", [{"secret": "a\r\nb"}, {"username": "a\nb"}, {"port": 0}, {"username": ""}, {"x": 1}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {"username": "u", "secret": "s"}
    assert Ami(**right).port == 5038
    with pytest.raises(pydantic.ValidationError):
        Ami(**right | wrong)


@pytest.mark.usefixtures("impatient")
async def test_while_another_gateway_serves_the_visits_are_that_ones(fake: FakeAmi) -> None:
    """Two that take the same visit into databases of their own would send it twice."""
    fake.records = {"v-1": record("v-1")}
    intake, mine = Intake(fake), False
    async with running(fake, intake, ours=lambda: mine) as drain:
        await doors.until(lambda: drain.state is link.State.SERVING)
        assert (list(fake.records), intake.visits) == (["v-1"], [])
        mine = True
        drain.wake()
        await doors.until(lambda: not fake.records)
