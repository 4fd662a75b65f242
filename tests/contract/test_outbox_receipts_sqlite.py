"""What only the SQLite outbox has of receipts: query plans, the bounds of the table, and databases from before it."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from agi_sms import message, ports
from agi_sms.outbox import database, queries, receipts, rows, work
from tests.contract import stores
from tests.contract.stores import MINUTE, SECOND, admit, attempted, claim_one, only, receipt, sent, statuses
from tests.contract.test_outbox_sqlite import CLOCK, SQL, opened, plan

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
    "count_unmatched": "meta",
    "unmatched": "meta",
    "forget_receipts": "receipts_old",
    "receipts_of": "receipts_attempt",
    "kept_early": "sqlite_autoindex_receipts_2",
    "came_again": "sqlite_autoindex_receipts_2",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def unmatched(path: Path) -> tuple[int, int]:
    """As counted, and as it is."""
    with stores.connection(path) as raw:
        counted = raw.execute(SQL["unmatched"]).fetchone()["n"]
        return counted, raw.execute("SELECT count(*) FROM receipts WHERE attempt_id IS NULL").fetchone()[0]


async def test_no_statement_reads_a_whole_table(path: Path) -> None:
    assert set(STATEMENTS) == {name for name in SQL if "receipts" in SQL[name] or name in STATEMENTS}
    await (await opened(path)).close()
    with stores.connection(path) as raw:
        for name, index in STATEMENTS.items():
            steps = plan(raw, SQL[name])
            assert index in steps, (name, steps)
            assert not re.search(r"^SCAN (?!CONSTANT ROW)", steps, re.MULTILINE), (name, steps)
            if name != "attempt_by_ref":  # which sorts the attempts of one message
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
        patch.setattr(receipts, "_bound", lambda raw: raw.execute("SELECT * FROM nowhere"))
        with pytest.raises(Exception, match="nowhere"):
            await outbox.receive("main", [receipt("y")])
    assert unmatched(path) == (0, 0)
    assert (await outbox.receive("main", [receipt("y")])).new == 1
    assert unmatched(path) == (1, 1)
    await outbox.close()


def steps_of(path: Path, told: ports.Receipt) -> int:
    """How many steps of SQLite's machine it takes to receive this."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with stores.connection(path) as raw:
        raw.execute("BEGIN IMMEDIATE")
        raw.set_progress_handler(count, 1)
        found = receipts.receive(raw, keys=rows.Keys(b"k" * 32), now=CLOCK(), provider="main", receipts=[told])
        raw.set_progress_handler(None, 1)
        raw.execute("ROLLBACK")
    assert found.new == 1
    return steps


@pytest.mark.parametrize("told", [receipt("x1"), receipt("strange"), receipt(ref="strange")])
async def test_a_receipt_costs_as_much_among_many(path: Path, told: ports.Receipt) -> None:
    """Counted in steps, which do not depend on the machine."""
    outbox = await opened(path)
    await sent(outbox, "v1", CLOCK, "x1")
    other = await sent(outbox, "v2", CLOCK)
    await outbox.close()
    few = steps_of(path, told)
    with stores.connection(path) as raw:
        raw.execute("BEGIN")
        names = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO"
        raw.execute(
            f"{names} receipts SELECT 'r' || i, 'main', 'y' || i, '', 'delivered', '', '', '', 0, NULL, 'f' || i FROM n"
        )
        raw.execute(
            f"{names} submissions SELECT t.id, i, 'main', 'z' || i FROM attempts t, n WHERE message_id = '{other}'"
        )
        raw.execute("COMMIT")
    assert steps_of(path, told) < few * 1.2


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
