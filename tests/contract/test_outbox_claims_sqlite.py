"""What only the SQLite outbox has of claims by provider: query plans, and how much of the queues a claim reads."""

import re
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from agi_sms import message, ports
from agi_sms.outbox import claims, work
from agi_sms.rates import Rate
from tests.contract import stores
from tests.contract.stores import HOUR, MINUTE, admit, attempted
from tests.contract.test_outbox_sqlite import CLOCK, SQL, opened, plan

STATEMENTS = {
    "providers_to_come": "messages_next",
    "first_of": "messages_next",
    "due_of": "messages_next",
    "about_to_begin": "messages_leased",
    "begun": "attempts_provider",
}
DEAD = {"dead": Rate(most=1, window=HOUR)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


async def test_no_statement_reads_a_whole_table(path: Path) -> None:
    await (await opened(path)).close()
    with stores.connection(path) as raw:
        for name, index in STATEMENTS.items():
            steps = plan(raw, SQL[name])
            assert index in steps, (name, steps)
            # `pending` is the list of providers; the index of leases holds only what is being sent at the moment.
            assert not re.search(r"^SCAN (?!pending|.*messages_leased)", steps, re.MULTILINE), (name, steps)
            if name != "about_to_begin":  # which counts these few by provider
                assert "TEMP B-TREE" not in steps, (name, steps)


def copy(raw: sqlite3.Connection, model: str, start: int, stop: int) -> None:
    """The message `model` under numbers from `start` to before `stop`."""
    names = [row["name"] for row in raw.execute("PRAGMA table_info(messages)")]
    values = [f"{name} || '-' || i" if name == "id" else name for name in names]
    raw.execute(
        f"WITH RECURSIVE n (i) AS (SELECT {start} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {stop})"
        f" INSERT INTO messages ({', '.join(names)}) SELECT {', '.join(values)} FROM messages, n WHERE id = '{model}'"
    )


def effort(
    raw: sqlite3.Connection, free: dict[str, int], rates: dict[str, Rate] | None = None
) -> tuple[list[str], int, ports.ClaimRound]:
    """Whose messages a claim takes, and how many steps of SQLite's machine that is."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    raw.execute("BEGIN IMMEDIATE")
    raw.set_progress_handler(count, 1)
    found = claims.claim(
        raw, now=CLOCK(), run="run", free=free, known={"dead", "quick"}, rates=rates or {}, lease=MINUTE
    )
    raw.set_progress_handler(None, 1)
    raw.execute("ROLLBACK")
    assert not found.more
    return [one.message.provider for one in found.round.leases], steps, found.round


@pytest.mark.parametrize("state", ["due", "later", "doubtful", "over its rate", "unknown"])
async def test_what_a_dead_provider_has_waiting_costs_another_nothing(path: Path, state: str) -> None:
    """Counted in steps, which do not depend on the machine: as many with 20 messages in front as with 10,000."""
    outbox = await opened(path)
    await admit(outbox, "v0", CLOCK, route=("dead",), due_at=CLOCK() - HOUR)
    await attempted(outbox, message.Accepted(), "dead")
    late = CLOCK() + (MINUTE if state == "later" else -MINUTE)
    route = ("gone",) if state == "unknown" else ("dead",)
    [dead] = await admit(outbox, "v1", CLOCK, route=route, due_at=late)
    if state == "doubtful":
        await attempted(outbox, message.Uncertain(), "dead", due_at=late)
    await admit(outbox, "v2", CLOCK, route=("quick",))
    await outbox.close()
    rates = DEAD if state == "over its rate" else {}
    efforts = []
    with stores.connection(path) as raw:
        for start, stop in ((0, 20), (20, 10_000)):
            raw.execute("BEGIN")
            copy(raw, dead.message_id, start, stop)
            raw.execute("COMMIT")
            taken, steps, _ = effort(raw, {"quick": 4} | ({"dead": 4} if rates else {}), rates)
            assert taken == ["quick"]
            both, _, _ = effort(raw, {"quick": 4, "dead": 4, "": 4}, rates)
            waits = state in ("later", "over its rate")
            assert sorted(both) == (["quick"] if waits else sorted([*[route[0]] * 4, "quick"]))
            efforts.append(steps)
    few, many = efforts
    assert many < few * 1.2


async def test_many_attempts_of_long_ago_cost_a_rate_nothing(path: Path) -> None:
    outbox = await opened(path)
    await admit(outbox, "v0", CLOCK, route=("quick",))
    name = await attempted(outbox, message.Accepted(), "quick")
    await admit(outbox, "v1", CLOCK, route=("quick",))
    await outbox.close()
    rates = {"quick": Rate(most=10, window=timedelta(seconds=1))}
    with stores.connection(path) as raw:
        taken, few, _ = effort(raw, {"quick": 4}, rates)
        assert taken == ["quick"]
        raw.execute(
            "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
            " INSERT INTO attempts (id, message_id, n, provider, started_at, ended_at, outcome)"
            " SELECT id || i, message_id, i, provider, started_at - 1000, ended_at, outcome FROM attempts, n"
        )
        taken, many, _ = effort(raw, {"quick": 4}, rates)
        assert taken == ["quick"]
        assert many < few * 1.2
    assert name


async def test_a_claim_is_a_short_transaction(path: Path) -> None:
    """However many places, and whatever waits."""
    outbox = await opened(path)
    models = [(await admit(outbox, name, CLOCK, route=(name,)))[0].message_id for name in ("dead", "quick", "gone")]
    await outbox.close()
    with stores.connection(path) as raw:
        for model in models:
            copy(raw, model, 0, 1000)
        before = raw.total_changes
        taken, _, found = effort(raw, {"quick": 10_000, "dead": 10_000, "": 10_000})
        assert raw.total_changes - before <= work.CHUNK
        assert {name: taken.count(name) for name in set(taken)} == dict.fromkeys(("dead", "quick", "gone"), 83)
        assert found.next_at == CLOCK()
