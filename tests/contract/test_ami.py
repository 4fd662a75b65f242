"""The AMI drain against peers that misbehave: a missed visit is stored once, and leaves AstDB only after that."""

import asyncio
import shlex
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pydantic
import pytest

from agi_sms import call, errors, ports
from agi_sms.asterisk import ami, ami_client, link
from agi_sms.asterisk.settings import Ami
from tests.contract import doors, fake_astdb
from tests.contract.fake_astdb import AT, NOW, SCHEDULED, SECRET, FakeAstDb, Intake, record, running, settings


@pytest.fixture
async def fake() -> AsyncIterator[FakeAstDb]:
    async with fake_astdb.serving() as peer:
        yield peer


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_astdb.hurry(monkeypatch)


# --- draining ---


async def test_missed_visits_are_stored_oldest_first_then_deleted(fake: FakeAstDb, logged: list[Any]) -> None:
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


async def test_an_empty_family_is_no_fault(fake: FakeAstDb, logged: list[Any]) -> None:
    async with running(fake, Intake(fake)) as drain:
        await doors.until(lambda: drain.state is ami.State.SERVING)
    assert [line["event"] for line in logged] == ["connected to Asterisk"]


async def test_waking_looks_again_soon(fake: FakeAstDb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ami, "SETTLE", 0.01)
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is ami.State.SERVING)
        fake.records["v-1"] = record("v-1")
        drain.wake()
        await doors.until(lambda: not fake.records)
    assert intake.ids == ["v-1"]


@pytest.mark.usefixtures("impatient")
async def test_it_looks_now_and_then_by_itself(fake: FakeAstDb) -> None:
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is ami.State.SERVING)
        fake.records["v-1"] = record("v-1")
        await doors.until(lambda: not fake.records)
    assert intake.ids == ["v-1"]


@pytest.mark.usefixtures("impatient")
async def test_what_cannot_be_used_stays_is_named_once_and_keeps_nobody_waiting(
    fake: FakeAstDb, logged: list[Any]
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
    left = {line["node"]: line["reason"] for line in doors.events(logged, "stays in AstDB") if "node" in line}
    assert left == {"no-such-node": "no such node", "buggy": "a fault of agi-sms, which the log tells of"}
    assert len(doors.events(logged, "stays in AstDB")) == 5
    assert len(doors.events(logged, "a fault of agi-sms")) >= 1


@pytest.mark.usefixtures("impatient")
async def test_what_was_left_is_tried_again(fake: FakeAstDb, monkeypatch: pytest.MonkeyPatch) -> None:
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
async def test_a_node_that_is_none_is_told_once_for_each_record_until_there_is_one(
    fake: FakeAstDb, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is tried again; the gateway is not asked in vain."""
    monkeypatch.setattr(ami, "LEFT_FOR", 0.05)
    wrong = {"receptoin": "no such node; did you mean reception?"}
    asked: list[str] = []

    def unknown(name: str) -> str:
        asked.append(name)
        return wrong.get(name, "")

    fake.records = {f"v-{n}": record(f"v-{n}", node="receptoin", at=AT + n) for n in range(3)}
    fake.records["v-9"] = record("v-9")
    intake = Intake(fake)
    async with running(fake, intake, unknown=unknown) as drain:
        await doors.until(lambda: asked.count("receptoin") >= 4)
        assert (drain.left, intake.ids) == (3, ["v-9"])
        assert asked.count("receptoin") <= len(fake.done("DBGetTree"))
        wrong.clear()
        await doors.until(lambda: not fake.records)
    assert intake.ids == ["v-9", "v-0", "v-1", "v-2"]
    lines = doors.events(logged, "stays in AstDB")
    assert [line["reason"] for line in lines] == ["no such node; did you mean reception?"] * 3
    assert {line["delete_with"] for line in lines} == {
        f"asterisk -rx 'database del agi-sms v-{number}'" for number in range(3)
    }


@pytest.mark.usefixtures("impatient")
async def test_what_was_stored_is_forgotten_whatever_else_was_wrong(fake: FakeAstDb) -> None:
    """Messages that are held for a person are stored."""
    fake.records = {"v-1": record("v-1", node="odd")}
    intake = Intake(fake)
    intake.answers = {"odd": ports.Reply(status=ports.ReplyStatus.INVALID, activation_id="a1")}
    async with running(fake, intake) as drain:
        await doors.until(lambda: not fake.records)
        assert drain.left == 0


@pytest.mark.usefixtures("impatient")
async def test_what_cannot_be_stored_now_stays(fake: FakeAstDb, logged: list[Any]) -> None:
    fake.records = {f"v-{n}": record(f"v-{n}") for n in range(3)}
    intake = Intake(fake)
    intake.answers = {"reception": ports.Reply(status=ports.ReplyStatus.ERROR, leave_unset=True)}
    async with running(fake, intake):
        await doors.until(lambda: doors.events(logged, "cannot be stored now"))
        assert len(fake.records) == 3
        intake.answers.clear()
        await doors.until(lambda: not fake.records)


@pytest.mark.usefixtures("impatient")
async def test_a_record_without_a_time_is_as_old_as_can_be(fake: FakeAstDb) -> None:
    fake.records = {"v-1": "reception,visit=v-1"}
    intake = Intake(fake)
    async with running(fake, intake):
        await doors.until(lambda: not fake.records)
    assert intake.visits[0].arrived_at == datetime.fromtimestamp(0, UTC)


@pytest.mark.usefixtures("impatient")
async def test_a_record_that_another_deleted_is_fine(fake: FakeAstDb, logged: list[Any]) -> None:
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
async def test_characters_split_between_segments_stay_whole(fake: FakeAstDb, size: int) -> None:
    fake.slice = size
    fake.records = {"v-1": record("v-1", more=",caller_name=Zażółć€😀")}
    intake = Intake(fake)
    async with running(fake, intake, timeout="5s"):
        await doors.until(lambda: not fake.records)
    assert intake.visits[0].call.caller_name == "Zażółć€😀"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("silent", ["Login", "Ping", "DBGetTree", "DBDel"])
async def test_a_peer_that_does_not_answer_is_left_and_nothing_is_sent_twice(
    fake: FakeAstDb, logged: list[Any], silent: str
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
async def test_a_lost_connection_is_made_again(fake: FakeAstDb, logged: list[Any], after: str) -> None:
    fake.records = {"v-1": record("v-1")}
    fake.drop_after = after
    async with running(fake, Intake(fake)) as drain:
        await doors.until(lambda: len(fake.writers) >= 2)
        fake.drop_after = ""
        await doors.until(lambda: drain.state is ami.State.SERVING and not fake.records)
    assert len({action["ActionID"] for action in fake.actions}) == len(fake.actions)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("denied", ["", "DBGetTree", "DBDel"])
async def test_a_refusal_is_said_once_and_tried_again(fake: FakeAstDb, logged: list[Any], denied: str) -> None:
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


class _Last(Intake):
    """While the first visit is being stored, somebody stops Asterisk."""

    async def receive(self, visit: call.Visit) -> ports.Reply:
        self.fake.ending |= not self.visits
        return await super().receive(visit)


@pytest.mark.usefixtures("impatient")
async def test_an_asterisk_that_is_being_stopped_is_away(fake: FakeAstDb, logged: list[Any]) -> None:
    """No right is missing, and nothing is wrong with its records: they are deleted as soon as it is back."""
    fake.records = {f"v-{number}": record(f"v-{number}") for number in range(3)}
    async with running(fake, _Last(fake)) as drain:
        await doors.until(lambda: {"DBDel", "Login"} <= {action["Action"] for action in fake.unheeded})
        assert drain.state is ami.State.CONNECTING
        assert (drain.left, len(fake.records)) == (0, 3)
        fake.ending = False
        await doors.until(lambda: not fake.records)
    assert doors.events(logged, "refuses us") == doors.events(logged, "cannot be used") == []


@pytest.mark.usefixtures("impatient")
async def test_endless_input_ends_the_connection(fake: FakeAstDb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ami_client, "LARGEST_MESSAGE", 100_000)
    fake.instead["DBGetTree"] = b"Event: x\r\nKey: " + b"y" * 300_000
    async with running(fake, Intake(fake), timeout="5s"):
        await doors.until(lambda: len(fake.writers) >= 2)


@pytest.mark.usefixtures("impatient")
async def test_an_endless_answer_is_given_up_and_what_came_of_it_is_taken(
    fake: FakeAstDb, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ami_client, "LARGEST_ANSWER", 20_000)
    fake.records = {f"v-{n}": record(f"v-{n}") for n in range(300)}
    intake = Intake(fake)
    async with running(fake, intake, timeout="5s") as drain:
        await doors.until(lambda: not fake.records and drain.state is ami.State.SERVING)
    assert sorted(intake.ids) == sorted(f"v-{n}" for n in range(300))
    assert "longer than 20000 bytes" in repr(logged)


@pytest.mark.usefixtures("impatient")
async def test_so_many_records_are_taken_in_parts(fake: FakeAstDb, monkeypatch: pytest.MonkeyPatch) -> None:
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
    fake: FakeAstDb, logged: list[Any], key: str, command: str
) -> None:
    """The key is whatever a stranger made it; the shell reads all as one word, and so does Asterisk the key."""
    fake.records = {key: "no equals sign,really"}
    async with running(fake, Intake(fake)) as drain:
        await doors.until(lambda: drain.left == 1)
    (line,) = doors.events(logged, "stays in AstDB")
    assert shlex.split(line["delete_with"]) == ["asterisk", "-rx", command]


@pytest.mark.usefixtures("impatient")
async def test_nobody_listens_there(fake: FakeAstDb, logged: list[Any]) -> None:
    async with running(fake, Intake(fake), port=1) as drain:
        await doors.until(lambda: doors.events(logged, "cannot be reached"))
        assert drain.state is ami.State.CONNECTING


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("host", ["pbx..example", f"{'x' * 64}.example"])
async def test_a_name_that_cannot_be_looked_up(host: str, logged: list[Any]) -> None:
    """What the look-up raises is no OSError; a configuration does not let it pass, and here it ends nothing."""
    unfit = Ami(username="gw", secret=pydantic.SecretStr(SECRET)).model_copy(update={"host": host})
    drain = ami.AmiDrain("pbx1", unfit, Intake(FakeAstDb()).receive, clock=lambda: NOW)
    task = asyncio.create_task(drain.run())
    await doors.until(lambda: task.done() or doors.events(logged, "cannot be reached"))
    assert drain.state is ami.State.CONNECTING
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


@pytest.mark.parametrize("evil", ["x\r\nAction: Originate", "x\ny", "x\0"])
async def test_a_value_with_a_line_break_is_never_sent(fake: FakeAstDb, evil: str) -> None:
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
async def test_while_another_gateway_serves_the_visits_are_that_ones(fake: FakeAstDb) -> None:
    """Two that take the same visit into databases of their own would send it twice."""
    fake.records = {"v-1": record("v-1")}
    intake, mine = Intake(fake), False
    async with running(fake, intake, ours=lambda: mine) as drain:
        await doors.until(lambda: drain.state is link.State.SERVING)
        assert (list(fake.records), intake.visits) == (["v-1"], [])
        mine = True
        drain.wake()
        await doors.until(lambda: not fake.records)
