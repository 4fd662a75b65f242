"""What only the SQLite outbox has of receipts: query plans, the bounds of the table, and databases from before it."""

import re
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agi_sms import message, ports
from agi_sms.outbox import database, queries, receipt_rows, receipts, rows, work
from tests.contract import stores
from tests.contract.stores import MINUTE, SECOND, admit, attempted, claim_one, only, receipt, sent, statuses
from tests.contract.test_outbox_sqlite import CLOCK, SCANNED, SQL, opened, plan

S = message.Status

STATEMENTS = {
    "attempt_by_ref": "attempts",
    "attempt_by_id": "submissions_provider",
    "add_receipt": "",
    "match_receipts": "receipts_unmatched",
    "told": "receipts_attempt",
    "set_verdict": "attempts",
    "standing": "messages",
    "tried": "attempts",
    "settle_message": "messages",
    "one": "messages",
    "count_unmatched": "",
    "unmatched": "unmatched",
    "forget_receipts": "receipts_old",
    "drop_receipts": "receipts_oldest",
    "drop_oldest": "receipts_unmatched",
    "laid_by": "receipts_unmatched",
    "receipts_of": "receipts_attempt",
    "repeated": "sqlite_autoindex_receipts_2",
    "came_again": "sqlite_autoindex_receipts_2",
    "hearing": "attempts",
    "segments": "submissions",
    "count_receipts": "attempts",
    "set_delivered": "submissions",
    "none_delivered": "submissions",
    "plain": "attempts",
    "laid": "receipts_unmatched",
    "awaits": "submissions_provider",
}
FOR_PEOPLE = {"last_receipt", "nobodys"}  # asked beside the writer, when somebody looks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def unmatched(path: Path, provider: str = "main") -> tuple[int, int]:
    """As counted, and as it is."""
    facts = {"provider": provider}
    with stores.connection(path) as raw:
        counted = raw.execute(SQL["unmatched"], facts).fetchone()
        found = raw.execute("SELECT count(*) FROM receipts WHERE attempt_id IS NULL AND provider = :provider", facts)
        return 0 if counted is None else counted["n"], found.fetchone()[0]


async def test_no_statement_reads_a_whole_table(path: Path) -> None:
    assert set(STATEMENTS) == {name for name in SQL if "receipts" in SQL[name] or name in STATEMENTS} - FOR_PEOPLE
    await (await opened(path)).close()
    with stores.connection(path) as raw:
        for name, index in STATEMENTS.items():
            steps = plan(raw, SQL[name])
            assert index in steps, (name, steps)
            assert not re.search(SCANNED, steps, re.MULTILINE), (name, steps)
            # which sort the attempts of one message, and the early receipts of one id
            if name not in ("attempt_by_ref", "match_receipts"):
                assert "TEMP B-TREE" not in steps, (name, steps)


async def test_those_that_are_nobodys_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "MOST_UNMATCHED", 10)
    outbox = await opened(path)
    await sent(outbox, "v1", CLOCK, "x1")
    for number in range(30):
        await outbox.receive("main", [receipt(f"a{number}"), receipt("x1", S.ACCEPTED, code=str(number))])
        assert unmatched(path) == (min(number + 1, 10),) * 2
    assert (await outbox.receive("main", [receipt(f"b{number}") for number in range(25)])).unmatched == 25
    assert unmatched(path) == (10, 10)
    with stores.connection(path) as raw:
        kept = [row[0] for row in raw.execute("SELECT provider_id FROM receipts WHERE attempt_id IS NULL ORDER BY id")]
        assert kept == [f"b{number}" for number in range(15, 25)]  # the oldest went
        assert raw.execute("SELECT count(*) FROM receipts").fetchone()[0] == 40
    await outbox.close()


async def test_a_provider_pushes_out_its_own_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "MOST_UNMATCHED", 10)
    outbox = await opened(path)
    await admit(outbox, "v1", CLOCK)
    lease = await claim_one(outbox)
    attempt = await outbox.begin(lease, "good")
    assert attempt is not None
    await outbox.receive("good", [receipt("early")])
    await outbox.receive("bad", [receipt(f"a{number}") for number in range(50)])
    assert (unmatched(path, "good"), unmatched(path, "bad")) == ((1, 1), (10, 10))
    await outbox.finish(lease, attempt, message.Accepted(ids=("early",)), ports.Decision(status=S.ACCEPTED))
    assert await statuses(outbox) == ["delivered"]
    assert (unmatched(path, "good"), unmatched(path, "bad")) == ((0, 0), (10, 10))
    await outbox.close()


async def test_those_that_are_nobodys_go_after_a_week(path: Path) -> None:
    clock_then = CLOCK.now
    outbox = await opened(path)
    try:
        await outbox.receive("main", [receipt(f"a{number}") for number in range(2 * work.CHUNK + 1)])
        await sent(outbox, "v1", CLOCK, "x1")
        await outbox.receive("main", [receipt("x1", S.ACCEPTED)])
        CLOCK.advance(receipts.UNMATCHED_FOR - SECOND)
        await outbox.receive("main", [receipt("b")])
        await stores.claim(outbox, 1, MINUTE)
        assert unmatched(path) == (2 * work.CHUNK + 2,) * 2
        CLOCK.advance(SECOND)
        await admit(outbox, "v2", CLOCK)
        assert len(await stores.claim(outbox, 1, MINUTE)) == 1  # in as many transactions as that needs
        assert unmatched(path) == (1, 1)
        await outbox.receive("main", [receipt("x1")])
        assert await statuses(outbox) == ["delivered", "sending"]  # what is somebody's stays
    finally:
        CLOCK.now = clock_then
        await outbox.close()


async def test_matching_counts_too(path: Path) -> None:
    outbox = await opened(path)
    await admit(outbox, "v1", CLOCK)
    lease = await claim_one(outbox)
    attempt = await outbox.begin(lease, "main")
    assert attempt is not None
    await outbox.receive("main", [receipt("x1", S.ACCEPTED), receipt("x1"), receipt("y"), receipt("x2")])
    assert unmatched(path) == (4, 4)
    await outbox.finish(lease, attempt, message.Accepted(ids=("x1", "x2")), ports.Decision(status=S.ACCEPTED))
    assert unmatched(path) == (1, 1)
    assert await statuses(outbox) == ["delivered"]
    await outbox.close()


async def test_a_transaction_that_fails_counts_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = await opened(path)
    with monkeypatch.context() as patch:
        patch.setattr(receipts, "_bound", lambda raw, provider: raw.execute("SELECT * FROM nowhere"))
        with pytest.raises(Exception, match="nowhere"):
            await outbox.receive("main", [receipt("y")])
    assert unmatched(path) == (0, 0)
    assert (await outbox.receive("main", [receipt("y")])).new == 1
    assert unmatched(path) == (1, 1)
    await outbox.close()


def steps(raw: sqlite3.Connection, work: Callable[[], object]) -> int:
    """How many steps of SQLite's machine that takes, which do not depend on the computer."""
    count = 0

    def one_more() -> int:
        nonlocal count
        count += 1
        return 0

    raw.set_progress_handler(one_more, 1)
    try:
        work()
    finally:
        raw.set_progress_handler(None, 1)
    return count


def taken(raw: sqlite3.Connection, *told: ports.Receipt) -> ports.Received:
    reported = receipt_rows.Reported(provider="main", receipts=told)
    return receipts.receive(raw, keys=rows.Keys(b"k" * 32), now=CLOCK(), several=[reported])[0]


def steps_of(path: Path, told: ports.Receipt) -> int:
    """Of receiving this; it is taken back."""
    with stores.connection(path) as raw:
        raw.execute("BEGIN IMMEDIATE")
        found: list[ports.Received] = []
        count = steps(raw, lambda: found.append(taken(raw, told)))
        raw.execute("ROLLBACK")
    assert found[0].new == 1
    return count


@pytest.mark.parametrize("told", [receipt("x1"), receipt("strange"), receipt(ref="strange")])
async def test_a_receipt_costs_as_much_among_many(path: Path, told: ports.Receipt) -> None:
    outbox = await opened(path)
    await sent(outbox, "v1", CLOCK, "x1")
    other = await sent(outbox, "v2", CLOCK)
    await outbox.close()
    few = steps_of(path, told)
    with stores.connection(path) as raw:
        raw.execute("BEGIN")
        names = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO"
        raw.execute(
            f"{names} receipts (id, provider, provider_id, ref, state, code, detail, raw, received_at, fingerprint)"
            " SELECT 'r' || i, 'main', 'y' || i, '', 'delivered', '', '', '', 0, 'f' || i FROM n"
        )
        raw.execute(
            f"{names} submissions (attempt_id, segment, provider, provider_id)"
            f" SELECT t.id, i, 'main', 'z' || i FROM attempts t, n WHERE message_id = '{other}'"
        )
        raw.execute("COMMIT")
    assert steps_of(path, told) < few * 1.2


@pytest.mark.parametrize("whose", ["x1", "nobodys"])
@pytest.mark.parametrize("state", [S.ACCEPTED, S.DELIVERED, S.FAILED])
async def test_the_ten_thousandth_receipt_costs_what_the_tenth_does(path: Path, whose: str, state: S) -> None:
    """Of one message, or of nobody and with one id; each with another code."""
    outbox = await opened(path)
    await sent(outbox, "v1", CLOCK, "x1", "x2")
    await outbox.close()
    costs = []
    with stores.connection(path) as raw:
        raw.execute("BEGIN IMMEDIATE")
        for number in range(10_000):
            told = receipt(whose, state, code=str(number))
            if number % 100 == 9 or number == 9_999:
                costs.append(steps(raw, lambda told=told: taken(raw, told)))  # type: ignore[misc]  # lambda default
            else:
                taken(raw, told)
        raw.execute("COMMIT")
        assert raw.execute("SELECT count(*) FROM receipts").fetchone()[0] <= receipts.MOST_KEPT
    assert max(costs) < costs[0] * 1.5, costs
    if whose == "nobodys":
        assert unmatched(path) == (receipts.MOST_OF_ID,) * 2


async def test_an_answer_takes_a_bounded_number_of_early_receipts(path: Path) -> None:
    """And last words first, though there were a hundred thousand before."""
    outbox = await opened(path)
    await admit(outbox, "v1", CLOCK)
    lease = await claim_one(outbox)
    attempt = await outbox.begin(lease, "main")
    assert attempt is not None
    await outbox.receive("main", [receipt("x1")])
    await outbox.close()
    with stores.connection(path) as raw:
        raw.execute("BEGIN IMMEDIATE")
        raw.execute(
            "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT INTO"
            " receipts (id, provider, provider_id, ref, state, code, detail, raw, received_at, fingerprint, n)"
            " SELECT 'r' || i, 'main', 'x1', '', 'accepted', '', '', '', 9e15, 'f' || i, i FROM n"
        )  # as an earlier version would have kept them
        raw.execute("COMMIT")
        raw.execute("BEGIN IMMEDIATE")
        receipts.match(raw, now=CLOCK(), attempt_id=attempt, provider="main", provider_ids={"x1"})
        counted = raw.execute("SELECT receipts FROM attempts").fetchone()[0]
        found = raw.execute("SELECT count(*), sum(state = 'delivered') FROM receipts WHERE attempt_id IS NOT NULL")
        assert (counted, *found.fetchone()) == (receipts.MOST_KEPT, receipts.MOST_KEPT, 1)
        weighing = steps(raw, lambda: receipts.weigh(raw, attempt, answered=True))
        assert weighing < 50 * receipts.MOST_KEPT
        assert raw.execute("SELECT verdict FROM attempts").fetchone()[0] == "delivered"
        raw.execute("ROLLBACK")


async def test_a_transaction_reads_an_attempt_once(path: Path) -> None:
    """However many of its receipts there are in it."""
    outbox = await opened(path)
    await sent(outbox, "v1", CLOCK, "x1", "x2")
    await outbox.close()
    with stores.connection(path) as raw:
        ran: list[str] = []
        raw.set_trace_callback(ran.append)
        raw.execute("BEGIN IMMEDIATE")
        taken(raw, *[receipt("x1", S.ACCEPTED, code=str(number)) for number in range(receipts.CHUNK)])
        raw.set_trace_callback(None)
        for name in ("hearing", "segments", "set_verdict", "count_receipts", "standing", "tried"):
            assert len([one for one in ran if one.startswith(SQL[name].split(":")[0])]) == 1, name
        assert not [one for one in ran if one.startswith(SQL["told"].split(":")[0])]
        raw.execute("ROLLBACK")


async def test_a_database_of_the_second_version(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = queries.migrations()
    message_of = (
        "INSERT INTO messages (id, activation_id, node, recipient, recipient_reversed, recipient_hash, source, status,"
        " admitted_status, sender, text, encoding, segments, route, created_at, due_at, expires_at, max_age)"
        " VALUES (?, 'a1', 'n', '+1', '1+', x'00', 'config', ?, 'scheduled', '', 'Hi', 'gsm7', 1, ?, 0, 0, 9e12, 60000)"
    )
    with monkeypatch.context() as patch:
        patch.setattr(queries, "migrations", lambda: whole[:2])
        with stores.connection(path) as raw:
            database.migrate(raw, path)
            raw.execute(
                "INSERT INTO activations VALUES ('a1', 'pbx1', 'v1', 'ari', 'n', 'r', 'k', 'call-v1', '', '', '', '',"
                " '', '', '', '', '{}', NULL, NULL, NULL, 0, NULL)"
            )
            for name, status, route in (
                ("m1", "scheduled", '["a", "b"]'),
                ("m2", "scheduled", '["a", "b"]'),
                ("m3", "uncertain", '["a", "b"]'),
                ("m4", "accepted", '["a"]'),
                ("m5", "held", "[]"),
                ("m6", "sending", '["a", "b"]'),
            ):
                raw.execute(message_of, (name, status, route))
            for attempt, name in (("t2", "m2"), ("t3", "m3"), ("t4", "m4"), ("t6", "m6")):
                ended = None if name == "m6" else 1
                raw.execute(
                    "INSERT INTO attempts (id, message_id, n, provider, started_at, ended_at)"
                    " VALUES (?, ?, 1, 'a', 0, ?)",
                    (attempt, name, ended),
                )
            raw.execute("UPDATE messages SET lease_token = 'old', lease_until = 0 WHERE id = 'm6'")
            raw.execute("INSERT INTO submissions VALUES ('t4', 1, 'a', 'x1')")
    outbox = await opened(path)
    found = {one.id: one.provider for one in await outbox.history(ports.Query())}
    assert found == {"m1": "a", "m2": "b", "m3": "a", "m4": "", "m5": "", "m6": "a"}
    await outbox.receive("a", [receipt("x1")])
    assert (await only(outbox, message_id="m4")).status is S.DELIVERED
    assert await outbox.recover() == ports.Recovery(rescheduled=0, uncertain=1)
    assert (await only(outbox, message_id="m6")).status is S.UNCERTAIN
    await outbox.close()


async def test_a_receipt_of_a_message_that_is_due_again_wakes_nobody(path: Path) -> None:
    outbox = await opened(path)
    await admit(outbox, "v1", CLOCK)
    name = await attempted(outbox, message.Uncertain(), due_at=CLOCK() + timedelta(minutes=5))
    assert await stores.next_due(outbox) == CLOCK() + timedelta(minutes=5)
    await outbox.receive("main", [receipt(ref=name)])
    assert await stores.next_due(outbox) is None
    await outbox.close()
