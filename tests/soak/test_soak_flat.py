"""The judge of the soak sees what grows, and is not taken in by a single sample."""

import random

import pytest

from tests.soak import flat

MIB = 1 << 20


def run(memory: list[float], files: list[float] | None = None) -> dict[str, flat.Judged]:
    files = files or [20.0] * len(memory)
    samples = [
        flat.Sample(at=10.0 * n, memory=memory[n], files=files[n], threads=9, wal=4 * MIB) for n in range(len(memory))
    ]
    return {one.figure: one for one in flat.judge(samples)}


def test_what_stays_is_flat() -> None:
    dice = random.Random(1)
    found = run([100 * MIB + dice.uniform(-2, 2) * MIB for _ in range(180)])
    assert all(one.flat for one in found.values())


@pytest.mark.parametrize("per_call", [100, 1000])
def test_a_leak_of_a_few_bytes_a_call_shows(per_call: int) -> None:
    dice = random.Random(2)
    found = run([100 * MIB + n * 500 * per_call + dice.uniform(-1, 1) * MIB for n in range(180)])
    assert not found["memory"].flat
    assert found["memory"].grew == pytest.approx(per_call * 500 * 119, rel=0.15)


def test_files_that_are_never_closed_show() -> None:
    assert not run([100 * MIB] * 60, [20 + n / 5 for n in range(60)])["files"].flat


def test_warming_up_and_one_peak_count_for_nothing() -> None:
    memory = [min(60.0 + n, 100.0) * MIB for n in range(120)]
    memory[80] = 300 * MIB
    judged = run(memory, [20.0] * 119 + [90.0])
    assert judged["memory"].flat
    assert judged["files"].flat
    assert judged["memory"].highest == 300 * MIB


def test_what_gets_less_is_flat() -> None:
    assert run([200.0 * MIB - n * MIB for n in range(60)])["memory"].flat


def test_too_little_is_said() -> None:
    with pytest.raises(ValueError, match="longer"):
        run([1.0] * 5)
