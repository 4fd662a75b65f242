"""When a gateway logs in to AMI anew, as it hears nothing of the dialplan: what decides, and the door itself."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import structlog

from agi_sms import errors
from agi_sms.asterisk import ami, ami_client, hearing, link
from tests.contract import doors, fake_astdb
from tests.contract.fake_astdb import FakeAstDb, Intake, running, told

MINUTE = hearing.AGAIN_EVERY
OTHERS, OURS, ANY = "read=command,call", "read=call,user", "read=all"


class Answer(dict[str, str]):
    """Of GetConfig."""


@dataclass
class Pbx:
    """What manager.conf says of our user (None: it may not be asked; nothing: no section), and what is heard."""

    says: tuple[str, ...] | None = (OTHERS,)
    heard: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    hangs: bool = False
    heard_meanwhile: int = 0  # events that come before the answer to the next question
    lost: "asyncio.Future[str]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def action(self, name: str, **fields: str) -> list[Answer]:
        self.asked.append({"Action": name, **fields})
        self.heard, self.heard_meanwhile = self.heard + self.heard_meanwhile, 0
        if self.hangs:
            raise ami_client.Unanswered("GetConfig: Asterisk did not answer in time")
        if self.says is None:
            raise errors.PbxRefused("GetConfig: permission denied")
        told = {f"Line-000000-{n:06}": line for n, line in enumerate(("secret=read=user", *self.says))}
        section = {"Category-000000": "gateway", **told} if self.says else {}
        return [Answer({"Response": "Success", **section})]


class Rig:
    """One PBX over several connections."""

    def __init__(self, pbx: Pbx) -> None:
        self.pbx = pbx
        self.now = 1000.0
        self.ears = hearing.Hearing("gateway", structlog.get_logger(), heard=lambda: pbx.heard)

    async def begin(self) -> None:
        await self.ears.begin(cast(ami_client.Connection, self.pbx), self.now)

    async def again(self, later: float = MINUTE) -> bool:
        """So many seconds later; where it is to log in anew, it does."""
        self.now += later
        anew = await self.ears.again(cast(ami_client.Connection, self.pbx), self.now)
        if anew:
            await self.begin()
        return anew

    async def miss(self) -> None:
        """A visit is found by a look of our own, and no event tells of it."""
        self.ears.looked(untold=False, thorough=True, now=self.now)
        self.ears.looked(untold=True, thorough=True, now=self.now)
        await self.again(hearing.ON_THE_WAY)


@pytest.fixture
async def rig(logged: list[Any]) -> Rig:
    made = Rig(Pbx())
    await made.begin()
    return made


def said(logged: list[Any]) -> list[str]:
    return [line["event"] for line in logged]


GIVEN = "manager.conf gives the AMI user read = user now, logging in anew"
MISSED = "visits were in AstDB and no event told of them"
HEARD = "events of the dialplan are heard now"
NONE = "by manager.conf the AMI user hears no events of the dialplan"


async def test_who_may_not_hear_is_told_once_and_logs_in_when_that_changes(rig: Rig, logged: list[Any]) -> None:
    await rig.begin()
    assert [await rig.again() for _ in range(3)] == [False] * 3
    rig.pbx.says = (OURS,)
    assert not await rig.again(MINUTE / 2)  # not asked more often than once a minute
    assert await rig.again(MINUTE / 2)
    rig.pbx.heard += 1
    assert [await rig.again() for _ in range(3)] == [False] * 3
    assert said(logged) == [NONE, GIVEN, HEARD]
    assert logged[-1]["logins"] == 1
    assert all(
        one == {"Action": "GetConfig", "Filename": "manager.conf", "Category": "gateway"} for one in rig.pbx.asked
    )


async def test_an_event_in_the_last_moment_of_a_connection_counts(rig: Rig, logged: list[Any]) -> None:
    """Else it logged in anew for nothing, and never said that it hears where no more calls came."""
    rig.pbx.says, rig.pbx.heard_meanwhile = (OURS,), 1
    assert await rig.again()
    assert said(logged) == [NONE, GIVEN, HEARD]
    assert not await rig.again()


async def test_an_event_before_manager_conf_is_asked_is_the_better_evidence(rig: Rig, logged: list[Any]) -> None:
    """Else it said that it logs in anew, and did, where it heard already."""
    await rig.miss()
    rig.pbx.says, rig.pbx.heard = (OURS,), rig.pbx.heard + 1
    await rig.begin()
    assert [await rig.again() for _ in range(3)] == [False] * 3
    assert said(logged) == [NONE, MISSED, HEARD]


async def test_what_is_written_may_be_loaded_later_but_not_for_ever(rig: Rig, logged: list[Any]) -> None:
    rig.pbx.says = (ANY,)
    came = [await rig.again() for _ in range(hearing.MOST_LOGINS + 5)]
    assert came == [True] * hearing.MOST_LOGINS + [False] * 5
    assert said(logged) == [NONE, GIVEN]
    rig.pbx.heard += 1
    assert not await rig.again()
    assert said(logged) == [NONE, GIVEN, HEARD]


async def test_taken_back_before_it_was_loaded(rig: Rig, logged: list[Any]) -> None:
    rig.pbx.says = (OURS,)
    assert await rig.again()
    rig.pbx.says = (OTHERS,)
    assert not await rig.again()
    assert said(logged) == [NONE, GIVEN]


@pytest.mark.parametrize("says", [(OURS,), (ANY,), ("READ=user",), ("read=call ,user",), (OTHERS, OURS), None, ()])
async def test_who_may_hear_or_does_not_know_stays(says: tuple[str, ...] | None, logged: list[Any]) -> None:
    rig = Rig(Pbx(says=says))
    await rig.begin()
    assert [await rig.again() for _ in range(5)] == [False] * 5
    assert logged == []
    assert len(rig.pbx.asked) == 1


@pytest.mark.parametrize(
    "says",
    [(OTHERS,), (OURS, OTHERS), ("write=user",), ("read=User",), ("read=",), ("read=user call",), ("read=call, user",)],
)
async def test_who_may_not_hear(says: tuple[str, ...], logged: list[Any]) -> None:
    rig = Rig(Pbx(says=says))
    await rig.begin()
    assert not await rig.again()
    assert said(logged) == [NONE]


@pytest.mark.parametrize("says", [(OURS,), None])
async def test_a_visit_of_which_no_event_told_is_reason_enough(says: tuple[str, ...] | None, logged: list[Any]) -> None:
    """For as long as none comes: nothing can be lost by it."""
    rig = Rig(Pbx(says=says))
    await rig.begin()
    await rig.miss()
    assert said(logged) == [MISSED]
    assert [await rig.again() for _ in range(30)] == [True] * 30
    await rig.miss()
    rig.pbx.heard += 1
    assert not await rig.again()
    assert said(logged) == [MISSED, HEARD]


async def test_a_login_that_cannot_help_is_left(rig: Rig, logged: list[Any]) -> None:
    await rig.miss()
    assert [await rig.again() for _ in range(5)] == [False] * 5
    assert said(logged) == [NONE, MISSED]
    rig.pbx.says = (OURS,)
    assert await rig.again()


async def test_an_event_that_comes_a_little_later_is_none_that_is_missed(logged: list[Any]) -> None:
    rig = Rig(Pbx(says=(OURS,)))
    await rig.begin()
    rig.ears.looked(untold=False, thorough=True, now=rig.now)
    rig.ears.looked(untold=True, thorough=True, now=rig.now)
    rig.pbx.heard = 1
    assert not await rig.again(hearing.ON_THE_WAY)
    assert not await rig.again()
    assert logged == []


async def test_who_hears_others_has_the_right(logged: list[Any]) -> None:
    """An event of ours that was lost on its way says nothing of rights."""
    rig = Rig(Pbx(says=(OURS,)))
    await rig.begin()
    rig.pbx.heard = 1
    await rig.miss()
    assert not await rig.again()
    assert logged == []


@pytest.mark.parametrize("first", [{"untold": False, "thorough": False}, {"untold": True, "thorough": False}])
async def test_what_the_look_before_may_have_left_is_no_evidence(first: dict[str, bool], logged: list[Any]) -> None:
    rig = Rig(Pbx(says=(OURS,)))
    await rig.begin()
    rig.ears.looked(**first, now=rig.now)
    rig.ears.looked(untold=True, thorough=True, now=rig.now)
    assert not await rig.again()
    assert logged == []


async def test_a_question_without_an_answer_ends_nothing_unless_the_connection_is_lost(rig: Rig) -> None:
    rig.pbx.hangs = True
    await rig.begin()
    rig.pbx.lost.set_result("Asterisk closed the connection")
    with pytest.raises(errors.PbxUnreachable):
        await rig.begin()


# --- the door ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def fake(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeAstDb]:
    """Nobody waits a minute for it."""
    fake_astdb.hurry(monkeypatch)
    monkeypatch.setattr(hearing, "AGAIN_EVERY", 0.1)
    async with fake_astdb.serving() as peer:
        yield peer


async def until_heard(fake: FakeAstDb, logged: list[Any], header: str) -> None:
    """Say it again and again: one may come between two logins."""

    def heard() -> bool:
        fake.say(header)
        return HEARD in said(logged)

    await doors.until(heard)


async def test_rights_that_come_later_are_used_without_a_restart(fake: FakeAstDb, logged: list[Any]) -> None:
    """The connection is never told to be lost, and what was missed meanwhile is no fault."""
    fake.deaf, fake.read = True, "Line-000000-000001: read=command"
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: len(fake.done("GetConfig")) > 2)
        assert fake.logins == 1
        fake.read = "Line-000000-000001: read=user"
        await doors.until(lambda: fake.logins > 2)
        fake.deaf = False  # manager reload
        logins = fake.logins
        await doors.until(lambda: fake.logins > logins)
        assert drain.state is link.State.SERVING
        await until_heard(fake, logged, "AgiSms: desk,visit=event-1")
        assert set(intake.ids) == {"event-1"}
        logins, pings = fake.logins, len(fake.done("Ping"))
        await doors.until(lambda: len(fake.done("Ping")) > pings + 4)
        assert fake.logins == logins
    assert said(logged) == [NONE, "connected to Asterisk", GIVEN, HEARD]


async def test_who_hears_nothing_logs_in_until_it_does(fake: FakeAstDb, logged: list[Any]) -> None:
    """Where manager.conf may not be read, a visit of which no event told is the only sign."""
    fake.deaf = True
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        await doors.until(lambda: drain.state is link.State.SERVING)
        fake.records["v-1"] = told("v-1")
        await doors.until(lambda: fake.logins > 2)
        fake.deaf = False
        logins = fake.logins
        await doors.until(lambda: fake.logins > logins)
        fake.records["v-2"] = told("v-2")
        await until_heard(fake, logged, "AgiSmsLook: v-2")
        await doors.until(lambda: not fake.records)
    assert intake.ids == ["v-1", "v-2"]
    assert said(logged) == ["connected to Asterisk", MISSED, HEARD]


async def test_who_may_hear_nothing_is_away_between_looks(fake: FakeAstDb, logged: list[Any]) -> None:
    """Asterisk has work with every session that is open. What is found by a look is told of once all the same."""
    fake.deaf, fake.read = True, "Line-000000-000001: read=command"
    intake = Intake(fake)
    async with running(fake, intake, bare_events=False) as drain:
        await doors.until(lambda: fake.logins > 2)
        assert all(writer.is_closing() for writer in fake.writers[:-1])
        for number in range(3):
            fake.records[f"v-{number}"] = told(f"v-{number}")
            await doors.until(lambda: not fake.records)
            logins = fake.logins
            await doors.until(lambda n=logins: fake.logins > n + 1)  # type: ignore[misc]
        assert drain.state is link.State.SERVING
        assert len(fake.done("DBGetTree")) - fake.logins in (-1, 0)
        fake.deaf, fake.read = False, "Line-000000-000001: read=user"
        await doors.until(lambda: GIVEN in said(logged))
        await until_heard(fake, logged, "AgiSmsLook: v-9")
        logins, looks = fake.logins, len(fake.done("DBGetTree"))
        await doors.until(lambda: len(fake.done("DBGetTree")) > looks + 4)
        assert fake.logins == logins
    assert intake.ids == ["v-0", "v-1", "v-2"]
    assert said(logged) == [NONE, "connected to Asterisk", MISSED, GIVEN, HEARD]


async def test_who_is_away_comes_when_woken(fake: FakeAstDb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ami, "DRAIN_EVERY", 3600.0)
    fake.read = "Line-000000-000001: read=command"
    intake = Intake(fake)
    async with running(fake, intake, bare_events=False) as drain:
        await doors.until(lambda: bool(fake.writers) and fake.writers[0].is_closing())
        fake.records["v-1"] = told("v-1")
        drain.wake()
        await doors.until(lambda: not fake.records)
    assert intake.ids == ["v-1"]
    assert fake.logins == 2


async def test_an_asterisk_that_went_while_nobody_was_there_is_missed(fake: FakeAstDb, logged: list[Any]) -> None:
    fake.read = "Line-000000-000001: read=command"
    async with running(fake, Intake(fake), bare_events=False) as drain:
        await doors.until(lambda: fake.logins > 1)
        fake.ending = True
        await doors.until(lambda: drain.state is not link.State.SERVING)
        fake.ending = False
        await doors.until(lambda: drain.state is link.State.SERVING)
    assert said(logged)[:3] == [NONE, "connected to Asterisk", "connection to Asterisk lost"]


@pytest.mark.parametrize("more", [{"may_leave": False, "bare_events": False}, {"bare_events": True}], ids=str)
async def test_who_is_needed_there_stays(fake: FakeAstDb, more: dict[str, Any]) -> None:
    """Nobody else tells that Asterisk is back, or events alone are visits."""
    fake.read = "Line-000000-000001: read=command"
    async with running(fake, Intake(fake), **more):
        await doors.until(lambda: len(fake.done("DBGetTree")) > 4)
    assert fake.logins == 1


async def test_who_stands_by_is_away_too(fake: FakeAstDb) -> None:
    fake.read = "Line-000000-000001: read=command"
    async with running(fake, Intake(fake), ours=lambda: False, bare_events=False):
        await doors.until(lambda: fake.logins > 3)
    assert fake.done("DBGetTree") == []


async def test_who_is_woken_again_and_again_leaves_asterisk_its_pauses(
    fake: FakeAstDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that cannot be used stays, and reading it takes its time."""
    monkeypatch.setattr(ami, "DRAIN_EVERY", 3600.0)
    monkeypatch.setattr(ami, "LOOK_PAUSE", 3600.0)
    fake.read = "Line-000000-000001: read=command"
    async with running(fake, Intake(fake), bare_events=False) as drain:
        await doors.until(lambda: bool(fake.writers) and fake.writers[0].is_closing())
        drain.wake()
        await doors.until(lambda: not drain._wake.is_set())
        for _ in range(20):
            drain.wake()
            await asyncio.sleep(0.005)  # longer than SETTLE, all of them
    assert fake.logins == 1


async def test_what_is_written_after_a_look_that_was_due_anyway(
    fake: FakeAstDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who wakes writes its record a little later: here the look at the login is the one that was due."""
    monkeypatch.setattr(ami, "DRAIN_EVERY", 3600.0)
    monkeypatch.setattr(ami, "SETTLE", 0.2)
    intake = Intake(fake)
    async with running(fake, intake) as drain:
        drain.wake()
        await doors.until(lambda: len(fake.done("DBGetTree")) == 1)
        fake.records["v-1"] = told("v-1")
        await doors.until(lambda: not fake.records)
    assert intake.ids == ["v-1"]


async def test_what_was_recorded_while_away_is_no_sign_once_events_may_be_heard(
    fake: FakeAstDb, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.read = "Line-000000-000001: read=command"
    monkeypatch.setattr(ami, "DRAIN_EVERY", 3600.0)
    async with running(fake, Intake(fake), bare_events=False) as drain:
        await doors.until(lambda: bool(fake.writers) and fake.writers[0].is_closing())
        fake.read = "Line-000000-000001: read=user"
        fake.records["v-1"] = told("v-1")
        monkeypatch.setattr(ami, "DRAIN_EVERY", 0.1)
        drain.wake()
        await doors.until(lambda: len(fake.done("DBGetTree")) > 6)
    assert MISSED not in said(logged)
