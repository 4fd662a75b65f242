"""A visit is stored before its caller is told, within the hold budget, whatever is broken. Real outbox, real spool."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from agi_sms import call, errors, intake, message, metrics, node, numbers, ports, text
from agi_sms.outbox import spool, sqlite
from agi_sms.testing import FixedClock

NOW = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
MOBILE = "+48600100200"
BUDGET = intake.Budget(outbox=timedelta(milliseconds=150), spool=timedelta(seconds=5))
PATIENT = intake.Budget(outbox=timedelta(seconds=30), spool=timedelta(seconds=30))
DEADLINE = 20.0  # seconds until a condition that never comes true fails the test


def make_node(name: str = "desk", source: str = "Hello", **changed: Any) -> node.Node:
    values: dict[str, Any] = {
        "name": name,
        "revision": "r1",
        "template": text.Template(source, name="text"),
        "recipients": (node.Recipient(number=MOBILE),),
    }
    return node.Node(**(values | changed))


@dataclass(kw_only=True)
class Book:
    nodes: dict[str, node.Node] = field(default_factory=dict)

    def rules(self, pbx: str, trunk: str) -> numbers.Rules:
        return numbers.Rules(region={"berlin": "DE"}.get(trunk, "PL"))


def make_visit(visit: str = "v1", target: str = "desk", **changed: Any) -> call.Visit:
    facts: dict[str, Any] = {"pbx": "main", "key": f"main/{visit}", "call_id": visit, "presentation": "allowed"}
    wishes = {name: changed.pop(name) for name in ("recipients", "sender", "delay") if name in changed}
    return call.Visit(
        id=visit,
        node=target,
        call=call.Call(**(facts | changed)),
        entry=call.Entry.ARI,
        arrived_at=NOW,
        **wishes,
    )


class Rig:
    """An intake over a real database and a real spool, in files of their own."""

    def __init__(self, folder: Path, box: sqlite.SqliteOutbox, reserve: spool.FileSpool) -> None:
        self.folder = folder
        self.box = box
        self.reserve = reserve
        self.book = Book(nodes={"desk": make_node()})
        self.woken = self.fetching_woken = 0
        self.woken_for: datetime | None = None
        self.running: asyncio.Task[None] | None = None

    def admitter(
        self,
        *,
        outbox: ports.Outbox | None = None,
        reserve: ports.Spool | None = None,
        budget: intake.Budget = BUDGET,
    ) -> intake.Intake:
        return intake.Intake(
            outbox=outbox or self.box,
            spool=reserve or self.reserve,
            book=lambda: self.book,
            clock=FixedClock(NOW),
            budget=budget,
            wake=self.wake,
            wake_fetching=self.wake_fetching,
        )

    def wake(self, at: datetime | None) -> None:
        self.woken += 1
        self.woken_for = at

    def wake_fetching(self, at: datetime | None) -> None:
        self.fetching_woken += 1
        self.woken_for = at

    def rows(self) -> list[tuple[str, str]]:
        """The visits and statuses on the disk, read by another connection."""
        with contextlib.closing(sqlite3.connect(self.folder / "box.db")) as raw:
            return raw.execute(
                "SELECT a.visit, m.status FROM activations a LEFT JOIN messages m ON m.activation_id = a.id"
                " ORDER BY a.visit, m.id"
            ).fetchall()

    def visits(self) -> list[str]:
        with contextlib.closing(sqlite3.connect(self.folder / "box.db")) as raw:
            return [row[0] for row in raw.execute("SELECT visit FROM activations ORDER BY visit")]

    def start(self, admitter: intake.Intake) -> None:
        self.running = asyncio.create_task(admitter.run())


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with contextlib.AsyncExitStack() as stack:
        box = await sqlite.SqliteOutbox.open(
            tmp_path / "box.db", clock=FixedClock(NOW), busy_timeout=timedelta(milliseconds=50)
        )
        stack.push_async_callback(box.close)
        reserve = await spool.FileSpool.open(tmp_path / "box.spool", 1 << 20)
        stack.push_async_callback(reserve.close)
        made = Rig(tmp_path, box, reserve)
        yield made
        if made.running is not None:
            made.running.cancel()
            await asyncio.gather(made.running, return_exceptions=True)


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process would do the same: the write lock is taken, and kept."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        yield
        raw.execute("ROLLBACK")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - nothing tells of these
            await asyncio.sleep(0.005)


def counted(kind: str) -> float:
    return cast(float, metrics.FAULTS.labels(kind=kind)._value.get())


class Broken:
    """An outbox or a spool that fails, or hangs, the same way every time."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.asked = 0
        self.pending = 0

    async def admit(self, *_: Any) -> ports.Admission:
        self.asked += 1
        if self.error is None:
            await asyncio.Event().wait()
        raise cast(Exception, self.error)

    async def write(self, *_: Any) -> None:
        await self.admit()

    async def replay(self, _: ports.Outbox) -> int:
        return 0

    async def close(self) -> None:
        pass


# --- what is stored, and what is told ---------------------------------------------------------------------------


async def test_a_visit_is_on_the_disk_when_its_caller_is_told(rig: Rig) -> None:
    reply = await rig.admitter(budget=PATIENT).receive(make_visit())
    assert rig.rows() == [("v1", "scheduled")]
    assert reply.value == "SCHEDULED,1"
    assert reply.activation_id
    assert not reply.leave_unset
    assert (rig.woken, rig.woken_for) == (1, NOW)


async def test_those_who_send_are_told_from_when_on_there_is_something_to_do(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(delay=timedelta(minutes=5))
    await rig.admitter(budget=PATIENT).receive(make_visit())
    assert (rig.woken, rig.woken_for) == (1, NOW + timedelta(minutes=5))


async def test_a_visit_that_gives_nobody_anything_is_stored_too(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(recipients=(), send_to_caller=True)
    reply = await rig.admitter(budget=PATIENT).receive(make_visit(presentation="prohib"))
    assert reply.value == "SKIPPED,0"
    assert rig.rows() == [("v1", "skipped")]
    assert rig.woken == 0


@pytest.mark.parametrize("limits", [(), (node.Limit(most=1, window=timedelta(hours=1), per="node"),)])
async def test_a_node_that_names_nobody_makes_a_row_that_says_so(rig: Rig, limits: tuple[node.Limit, ...]) -> None:
    """And it takes neither a place in the node's limits nor the call's only one, nor can it be sent again."""
    rig.book.nodes["desk"] = make_node(
        recipients=(), dialplan_recipients=True, once_per_call=True, asking=node.Asking(), limits=limits
    )
    admitter = rig.admitter(budget=PATIENT)
    for visit in ("v1", "v2"):
        assert (await admitter.receive(make_visit(visit, key="main/call"))).value == "SKIPPED,0"
    found = await rig.box.history(ports.Query())
    assert [(one.recipient, one.status, one.reason) for one in found] == [
        ("", message.Status.SKIPPED, message.Reason.NO_RECIPIENT)
    ] * 2
    assert await rig.box.retry(found, "somebody") == 0
    story = await rig.box.story(found[0].id)
    assert story is not None
    assert (story.siblings, story.content) == ((), None)
    assert (rig.woken, rig.fetching_woken) == (0, 0)
    assert not (await rig.box.claim_content(hosts={}, free={"": 9}, lease=timedelta(minutes=1))).jobs
    named = make_visit("v3", key="main/call", recipients=MOBILE)
    assert (await admitter.receive(named)).value == "SCHEDULED,1"


async def test_a_text_that_is_to_be_got_holds_nobody(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(template=None, asking=node.Asking())
    reply = await rig.admitter(budget=PATIENT).receive(make_visit())
    assert reply.value == "SCHEDULED,1"
    assert rig.rows() == [("v1", "waiting")]
    assert (rig.woken, rig.fetching_woken) == (0, 1)
    [job] = (await rig.box.claim_content(hosts={}, free={"": 9}, lease=timedelta(minutes=1))).jobs
    assert (job.activation_id, job.visit) == (reply.activation_id, make_visit())


async def test_a_text_for_nobody_is_not_got(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(template=None, asking=node.Asking(), recipients=(), send_to_caller=True)
    reply = await rig.admitter(budget=PATIENT).receive(make_visit(presentation="prohib"))
    assert reply.value == "SKIPPED,0"
    assert (rig.woken, rig.fetching_woken) == (0, 0)


async def test_a_text_is_got_for_whom_only_the_answer_names(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = node.Asking(allow=frozenset({node.Allowed.RECIPIENTS}))
    rig.book.nodes["desk"] = make_node(template=None, asking=allowed, recipients=())
    admit = rig.box.admit
    stored: list[ports.Activation] = []

    async def noting(activation: ports.Activation, *more: Any) -> ports.Admission:
        stored.append(activation)
        return await admit(activation, *more)

    monkeypatch.setattr(rig.box, "admit", noting)
    admitter = rig.admitter(budget=PATIENT)
    reply = await admitter.receive(make_visit())
    assert reply.value == "SCHEDULED,1"
    assert await admitter.receive(make_visit()) == reply
    assert [one.fetch_at for one in stored] == [NOW] * 2
    assert rig.fetching_woken


async def test_the_same_visit_again_is_told_the_same_and_stored_once(rig: Rig) -> None:
    admitter = rig.admitter(budget=PATIENT)
    first, again = await admitter.receive(make_visit()), await admitter.receive(make_visit())
    assert first == again
    assert rig.rows() == [("v1", "scheduled")]


async def test_one_per_call_counts_what_is_sent_only(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(once_per_call=True)
    admitter = rig.admitter(budget=PATIENT)
    assert (await admitter.receive(make_visit("v1", key="main/c"))).value == "SCHEDULED,1"
    assert (await admitter.receive(make_visit("v2", key="main/c"))).value == "SKIPPED,0"
    assert rig.rows() == [("v1", "scheduled"), ("v2", "skipped")]


async def test_the_nodes_limits_are_kept(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(limits=(node.Limit(per="recipient", most=1, window=timedelta(days=1)),))
    admitter = rig.admitter(budget=PATIENT)
    replies = [(await admitter.receive(make_visit(f"v{n}"))).value for n in range(3)]
    assert replies == ["SCHEDULED,1", "SKIPPED,0", "SKIPPED,0"]
    [_, capped, _] = await rig.box.history(ports.Query())
    assert capped.reason is message.Reason.CAPPED


async def test_the_trunks_rules_are_the_ones_asked_for(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(recipients=(), send_to_caller=True)
    await rig.admitter(budget=PATIENT).receive(make_visit(caller="015112345678", trunk="berlin"))
    [stored] = await rig.box.history(ports.Query())
    assert stored.recipient == "+4915112345678"


async def test_a_reload_counts_from_the_next_visit_on(rig: Rig) -> None:
    admitter = rig.admitter(budget=PATIENT)
    rig.book = Book(nodes={"other": make_node("other")})
    assert (await admitter.receive(make_visit())).status is ports.ReplyStatus.INVALID
    assert (await admitter.receive(make_visit("v2", "other"))).value == "SCHEDULED,1"


async def test_an_unknown_node_is_told_and_counted(rig: Rig) -> None:
    before = counted("unknown_node")
    reply = await rig.admitter().receive(make_visit(target="nowhere"))
    assert reply.value == "INVALID,0"
    assert not reply.leave_unset
    assert rig.visits() == []
    assert counted("unknown_node") == before + 1


@pytest.mark.parametrize("wish", [{"delay": "soon"}, {"sender": "MuchTooLongName"}])
async def test_an_argument_nobody_can_read_holds_the_messages(rig: Rig, wish: dict[str, str]) -> None:
    before = counted("argument")
    reply = await rig.admitter(budget=PATIENT).receive(make_visit(**wish))
    assert reply.value == "INVALID,0"
    assert reply.activation_id
    assert rig.rows() == [("v1", "held")]
    assert counted("argument") == before + 1


async def test_recipients_that_are_not_allowed_change_nothing(rig: Rig) -> None:
    reply = await rig.admitter(budget=PATIENT).receive(make_visit(recipients="+19005550100"))
    assert reply.value == "SCHEDULED,1"
    assert [m.recipient for m in await rig.box.history(ports.Query())] == [MOBILE]


async def test_a_text_that_fails_on_this_call_is_stored_as_skipped(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(source="{{ var.order }}")
    with structlog.testing.capture_logs() as lines:
        reply = await rig.admitter(budget=PATIENT).receive(make_visit())
    assert reply.value == "INVALID,0"
    assert rig.rows() == [("v1", "skipped")]
    assert any("order" in str(line.get("error")) for line in lines)
    assert not any("held" in line["event"] for line in lines)


async def test_a_bug_of_ours_lets_the_call_go_on(rig: Rig) -> None:
    class Bad:
        def render(self, _: Mapping[str, object]) -> str:
            raise ZeroDivisionError("a bug")

    before = counted("intake")
    rig.book.nodes["desk"] = make_node(template=cast(text.Template, Bad()))
    reply = await rig.admitter().receive(make_visit())
    assert reply.value == "ERROR,0"
    assert counted("intake") == before + 1
    rig.book.nodes["desk"] = make_node()
    assert (await rig.admitter(budget=PATIENT).receive(make_visit("v2"))).value == "SCHEDULED,1"


async def test_a_bug_in_the_configuration_lets_the_call_go_on(rig: Rig) -> None:
    rig.book = cast(Book, None)
    assert (await rig.admitter().receive(make_visit())).value == "ERROR,0"


async def test_two_hundred_visits_at_once_are_two_hundred_activations(rig: Rig) -> None:
    admitter = rig.admitter(budget=PATIENT)
    replies = await asyncio.gather(*(admitter.receive(make_visit(f"v{n % 200:03}")) for n in range(400)))
    assert {reply.value for reply in replies} == {"SCHEDULED,1"}
    assert rig.visits() == [f"v{n:03}" for n in range(200)]
    assert len({reply.activation_id for reply in replies}) == 200
    assert rig.reserve.pending == 0


# --- the outbox takes too long, or does not take it at all ------------------------------------------------------


async def test_while_the_database_is_held_the_spool_takes_the_call(rig: Rig) -> None:
    admitter = rig.admitter()
    rig.start(admitter)
    with held(rig.folder / "box.db"):
        reply = await admitter.receive(make_visit())
        assert rig.visits() == []  # still held: the reply did not wait for it
        assert rig.reserve.pending == 1
    assert reply.value == "SCHEDULED,1"
    assert not reply.leave_unset
    await until(lambda: rig.reserve.pending == 0 and rig.visits() == ["v1"])
    await admitter.close()
    assert rig.rows() == [("v1", "scheduled")]
    assert rig.woken


async def test_a_text_is_got_for_a_call_that_the_spool_took(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(template=None, asking=node.Asking())
    refused = rig.admitter(outbox=cast(ports.Outbox, Broken(errors.OutboxFull())))
    assert (await refused.receive(make_visit())).value == "SCHEDULED,1"
    assert (rig.reserve.pending, rig.fetching_woken) == (1, 0)
    rig.start(rig.admitter())
    await until(lambda: rig.reserve.pending == 0 and rig.fetching_woken > 0)
    assert rig.rows() == [("v1", "waiting")]
    [_] = (await rig.box.claim_content(hosts={}, free={"": 9}, lease=timedelta(minutes=1))).jobs


async def test_a_text_is_got_for_a_call_that_came_late(rig: Rig) -> None:
    rig.book.nodes["desk"] = make_node(template=None, asking=node.Asking())
    admitter = rig.admitter()
    with held(rig.folder / "box.db"):
        assert (await admitter.receive(make_visit())).value == "SCHEDULED,1"
        assert (rig.woken, rig.fetching_woken) == (0, 0)
    await admitter.close()
    await until(lambda: rig.fetching_woken > 0)
    assert rig.woken == 0


async def test_fifty_calls_while_the_database_is_held_are_fifty_activations(rig: Rig) -> None:
    admitter = rig.admitter()
    rig.start(admitter)
    with held(rig.folder / "box.db"):
        replies = await asyncio.gather(*(admitter.receive(make_visit(f"v{n:02}")) for n in range(50)))
        assert rig.visits() == []
    assert {reply.value for reply in replies} == {"SCHEDULED,1"}
    await until(lambda: rig.reserve.pending == 0)
    await admitter.close()
    assert rig.rows() == [(f"v{n:02}", "scheduled") for n in range(50)]


async def test_what_is_in_the_spool_outlives_the_gateway(rig: Rig, tmp_path: Path) -> None:
    never = rig.admitter(outbox=cast(ports.Outbox, Broken(errors.OutboxFull())))
    assert (await never.receive(make_visit())).value == "SCHEDULED,1"
    await rig.reserve.close()
    rig.reserve = await spool.FileSpool.open(tmp_path / "box.spool", 1 << 20)
    assert rig.reserve.pending == 1
    rig.start(rig.admitter())
    await until(lambda: rig.visits() == ["v1"] and rig.reserve.pending == 0 and rig.woken > 0)
    assert rig.rows() == [("v1", "scheduled")]
    await rig.reserve.close()


@pytest.mark.parametrize("error", [errors.OutboxFull(), errors.OutboxBusy(), errors.OutboxForeign()])
async def test_a_call_that_the_outbox_refuses_is_handed_over_when_it_answers_again(
    rig: Rig, error: errors.OutboxError
) -> None:
    class Recovering:
        """Refuses the first call at once, then is the real one."""

        def __init__(self) -> None:
            self.refused = 0

        async def admit(
            self, activation: ports.Activation, drafts: Sequence[message.Draft], limits: Sequence[node.Limit] = ()
        ) -> ports.Admission:
            if not self.refused:
                self.refused += 1
                raise error
            return await rig.box.admit(activation, drafts, limits)

    admitter = rig.admitter(outbox=cast(ports.Outbox, Recovering()))
    rig.start(admitter)
    await asyncio.sleep(0)  # it waits now
    reply = await admitter.receive(make_visit())
    assert reply.value == "SCHEDULED,1"
    await until(lambda: rig.visits() == ["v1"] and rig.reserve.pending == 0)


@pytest.mark.parametrize("error", [errors.OutboxBusy(), None])
@pytest.mark.parametrize("trouble", [errors.SpoolFull(), errors.SpoolError(), None])
async def test_with_outbox_and_spool_gone_the_dialplan_is_to_write_it_down(
    rig: Rig, error: Exception | None, trouble: Exception | None
) -> None:
    before = counted("not_stored")
    quick = intake.Budget(outbox=timedelta(milliseconds=20), spool=timedelta(milliseconds=20))
    admitter = rig.admitter(
        outbox=cast(ports.Outbox, Broken(error)), reserve=cast(ports.Spool, Broken(trouble)), budget=quick
    )
    reply = await admitter.receive(make_visit())
    assert reply.leave_unset
    assert reply.status is ports.ReplyStatus.ERROR
    assert counted("not_stored") == before + 1


async def test_a_bad_argument_does_not_hide_that_nothing_could_be_stored(rig: Rig) -> None:
    admitter = rig.admitter(
        outbox=cast(ports.Outbox, Broken(errors.OutboxBusy())), reserve=cast(ports.Spool, Broken(errors.SpoolFull()))
    )
    assert (await admitter.receive(make_visit(delay="soon"))).leave_unset


async def test_the_trouble_is_told_once_and_its_end_once(rig: Rig) -> None:
    admitter = rig.admitter()
    with structlog.testing.capture_logs() as lines:
        rig.start(admitter)
        with held(rig.folder / "box.db"):
            for n in range(3):
                await admitter.receive(make_visit(f"v{n}"))
        await until(lambda: any("handed over" in line["event"] for line in lines))
        await admitter.close()
    said = [line["event"] for line in lines if "spool" in line["event"]]
    assert len(said) == 2
    assert [line["calls"] for line in lines if "calls" in line] == [3]


async def test_close_waits_for_admissions_that_came_late(rig: Rig) -> None:
    admitter = rig.admitter()
    with held(rig.folder / "box.db"):
        await admitter.receive(make_visit())
        closing = asyncio.create_task(admitter.close())
        await asyncio.sleep(0)
        assert not closing.done()
    await closing
    assert rig.rows() == [("v1", "scheduled")]
