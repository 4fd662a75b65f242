"""What only the SQLite outbox has of content jobs: the table, its query plans, and how much of it a claim reads."""

import re
import sqlite3
from pathlib import Path

import pytest

from agi_sms import message, ports
from agi_sms.outbox import content, database, queries, rows, work
from tests.contract import stores
from tests.contract.stores import MINUTE, ask, claim_job, claim_jobs, only, statuses, unanswered, waiting
from tests.contract.test_outbox_sqlite import CLOCK, SQL, made, opened, plan

S = message.Status

STATEMENTS = {
    "add_job": "",
    "reopen_job": "messages",
    "pending_nodes": "content_jobs_next",
    "first_job": "content_jobs_next",
    "expire_waiting": "messages_activation",
    "job": "messages_activation",
    "lease_job": "content_jobs",
    "recover_jobs": "content_jobs_leased",
    "holds_job": "content_jobs",
    "postpone_job": "content_jobs",
    "release_job": "content_jobs",
    "drop_job": "content_jobs",
    "end_job": "content_jobs",
    "end_waiting": "messages_activation",
    "recipients_of": "messages_activation",
    "content_of": "content_jobs",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


async def test_a_database_of_the_first_version(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = queries.migrations()
    with monkeypatch.context() as patch:
        patch.setattr(queries, "migrations", lambda: whole[:1])
        with stores.connection(path) as raw:
            database.migrate(raw, path)
            assert raw.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()[0] == 1
            raw.execute(
                "INSERT INTO activations VALUES ('a1', 'pbx1', 'v1', 'ari', 'n', 'r', 'k', 'call-v1', '', '', '', '',"
                " '', '', '', '', '{}', NULL, NULL, NULL, 0, NULL)"
            )
            raw.execute(
                "INSERT INTO messages (id, activation_id, node, recipient, recipient_reversed, recipient_hash, source,"
                " status, reason, admitted_status, sender, encoding, segments, route, created_at, due_at, expires_at,"
                " max_age) VALUES ('m1', 'a1', 'n', '+1', '1+', x'00', 'config', 'held', 'bad_argument', 'held', '',"
                " 'gsm7', 0, '[]', 0, 0, 0, 60000)"
            )
    outbox = await opened(path)
    assert await statuses(outbox) == ["held"]
    assert await stores.again(outbox, ports.Query(), "ann") == 1
    assert (await claim_job(outbox)).activation_id == "a1"
    await ask(outbox, "v2", CLOCK)
    assert (await claim_job(outbox)).visit.id == "v2"
    await outbox.close()
    await (await opened(path)).close()


async def test_no_statement_reads_a_whole_table(path: Path) -> None:
    own = {name for name in SQL if "content_jobs" in SQL[name].replace(SQL["columns"], "")}
    assert set(STATEMENTS) == own | {name for name in SQL if name in STATEMENTS}
    await made(path)
    with stores.connection(path) as raw:
        for name, index in STATEMENTS.items():
            steps = plan(raw, SQL[name])
            assert index in steps, (name, steps)
            # `pending` is the list of nodes; the index of leases holds only what is being asked at the moment.
            assert not re.search(r"^SCAN (?!pending|\d+ CONSTANT|.*content_jobs_leased)", steps, re.MULTILINE), (
                name,
                steps,
            )
            assert "TEMP B-TREE" not in steps, (name, steps)


def effort(raw: sqlite3.Connection, *, hosts: dict[str, str], free: dict[str, int]) -> tuple[list[str], int]:
    """Whose jobs a claim takes, and how many steps of SQLite's machine that is."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    raw.execute("BEGIN IMMEDIATE")
    raw.set_progress_handler(count, 1)
    found = content.claim(raw, now=CLOCK(), run="run", hosts=hosts, free=free, lease=MINUTE)
    raw.set_progress_handler(None, 1)
    raw.execute("ROLLBACK")
    return [job.visit.node for job in found.round.jobs], steps


def copy_job(raw: sqlite3.Connection, model: str, start: int, stop: int) -> None:
    """The activation `model`, with its message and its job, under numbers from `start` to before `stop`."""
    numbers = f"WITH RECURSIVE n (i) AS (SELECT {start} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {stop}) "
    for table in ("activations", "messages", "content_jobs"):
        names = [row["name"] for row in raw.execute(f"PRAGMA table_info({table})")]
        values = [f"{name} || '-' || i" if name in ("id", "activation_id", "visit") else name for name in names]
        key = "id" if table == "activations" else "activation_id"
        raw.execute(
            f"{numbers} INSERT INTO {table} ({', '.join(names)})"
            f" SELECT {', '.join(values)} FROM {table}, n WHERE {key} = '{model}'"
        )


@pytest.mark.parametrize("state", ["due", "postponed", "being asked"])
async def test_what_a_slow_host_has_waiting_costs_another_nothing(path: Path, state: str) -> None:
    """Counted in steps, which do not depend on the machine: as many with 20 jobs in front as with 20,000."""
    hosts = {"slow": "slow.example", "quick": "quick.example"}
    outbox = await opened(path)
    later = CLOCK() + MINUTE if state == "postponed" else CLOCK() - MINUTE
    slow = await ask(outbox, "v1", CLOCK, node="slow", at=later)
    if state == "being asked":
        assert (await outbox.claim_content(hosts=hosts, free={"slow.example": 1}, lease=MINUTE)).jobs
    await ask(outbox, "v2", CLOCK, node="quick")
    await outbox.close()
    efforts = []
    with stores.connection(path) as raw:
        for start, stop in ((0, 20), (20, 20_000)):
            raw.execute("BEGIN")
            copy_job(raw, slow.activation_id, start, stop)
            raw.execute("COMMIT")
            taken, steps = effort(raw, hosts=hosts, free={"quick.example": 4})
            assert taken == ["quick"]
            both, _ = effort(raw, hosts=hosts, free={"quick.example": 4, "slow.example": 4})
            assert sorted(both) == (["quick", *["slow"] * 4] if state == "due" else ["quick"])
            efforts.append(steps)
    few, many = efforts
    assert many < few * 1.2


async def test_a_claim_is_a_short_transaction(path: Path) -> None:
    """Whatever there is to tidy up, and however many places."""
    outbox = await opened(path)
    first = await ask(outbox, "v1", CLOCK, node="n")
    gone = await ask(outbox, "v2", CLOCK, node="gone")
    await outbox.cancel(ports.Query(node="gone"), "ann")
    await outbox.close()
    with stores.connection(path) as raw:
        for model in (first, gone):
            copy_job(raw, model.activation_id, 0, 1000)
        before = raw.total_changes
        raw.execute("BEGIN")
        found = content.claim(raw, now=CLOCK(), run="run", hosts={}, free={"": 10_000}, lease=MINUTE)
        assert raw.total_changes - before <= work.CHUNK
        assert len(found.round.jobs) <= work.CHUNK
        assert found.round.next_at == CLOCK()
        raw.execute("ROLLBACK")
    outbox = await opened(path)
    taken = 0
    while jobs := await claim_jobs(outbox, 10_000):
        taken += len(jobs)
    assert taken == 1001
    await outbox.close()


async def test_a_key_is_given_back_in_the_row(path: Path) -> None:
    outbox = await opened(path)
    await ask(outbox, "v1", CLOCK, waiting(CLOCK, once=True))
    await ask(outbox, "v2", CLOCK, waiting(CLOCK, once=True))
    skipped, held = await claim_jobs(outbox)
    assert await outbox.resolve(skipped, unanswered(S.SKIPPED))
    assert await outbox.resolve(held, unanswered(S.HELD))
    assert (await only(outbox, status=S.SKIPPED)).activation_id == skipped.activation_id
    await outbox.close()
    with stores.connection(path) as raw:
        found = dict(raw.execute("SELECT status, once_key IS NULL FROM messages").fetchall())
    assert found == {"skipped": 1, "held": 0}


def test_whole_keeps_every_letter() -> None:
    assert rows.whole("Zażółć \ud83d\U0001f600\x00") == "Zażółć ?\U0001f600\x00"
    assert rows.whole("x" * 5000) == "x" * 5000
    assert rows.storable("\ud800" * 600) == "?" * 500
