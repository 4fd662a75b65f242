"""`make chaos` in short: real calls while everything goes wrong, and four lists that must agree at the end."""

import pathlib

import pytest
from rich.console import Console

from tests.chaos import plan, run, table, verdict

pytestmark = [pytest.mark.asterisk, pytest.mark.timeout(300)]

SEED = 20261124
CALLS, RATE = 200, 8.0
PACE = 0.4
ALLOWANCE_MS = 1500.0  # the other tests are busy beside it


def test_nothing_lost_nothing_doubled_nobody_kept_waiting(asterisk_images: None, tmp_path: pathlib.Path) -> None:
    todo = plan.make(seed=SEED, calls=CALLS, rate=RATE, pace=PACE)
    assert {one.name for one in todo.disasters} == set(plan.DISASTERS)
    result = run.once(tmp_path, todo, allowance_ms=ALLOWANCE_MS, tell=print)
    Console(width=120).print(table.table(result, allowance_ms=ALLOWANCE_MS))
    print(f'again: make chaos ARGS="--calls {CALLS} --rate {RATE:g} --pace {PACE:g} --seed {SEED}"')
    assert verdict.summary(result.verdict.findings) == {}
    counts = result.verdict.counts
    assert counts["calls made"] == CALLS
    assert result.kills >= 3
    assert counts["visits told SCHEDULED"] >= 5
    assert counts["visits told MISSED"] >= 5
    assert counts["messages accepted"] >= CALLS // 2
