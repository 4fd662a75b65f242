"""What the figures of `make bench` are made of: medians, ratios, goals, the table, the picture, the files."""

import io
import json
import math
import pathlib
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from tests.bench import __main__ as bench
from tests.bench import figures, hold, load, machine, picture, sizes, table

TWICE = figures.Goal(of="ratio", most=2)
HALF = figures.Goal(of="ratio", least=0.5)
MORE = figures.Goal(of="difference", most=50)


def figure(**changes: Any) -> figures.Figure:
    usual = {"section": "hold", "name": "held, p99", "unit": "ms", "ours": (3.0, 9.0, 4.0), "floor": (2.0, 1.0, 2.5)}
    return figures.Figure(**{**usual, **changes})


def test_the_median_of_the_runs_counts() -> None:
    found = figure()
    assert found.value == 4.0
    assert found.ratio == 2.0


@pytest.mark.parametrize(
    ("goal", "ours", "met"),
    [
        (TWICE, 4.0, True),
        (TWICE, 4.1, False),
        (HALF, 1.0, True),
        (HALF, 0.9, False),
        (figures.Goal(of="difference", most=50), 52.0, True),
        (figures.Goal(of="difference", most=50), 52.1, False),
        (figures.Goal(of="value", most=100), 100.0, True),
        (figures.Goal(of="value", most=0), 1.0, False),
        (None, 1.0, None),
    ],
)
def test_a_goal_is_about_ratio_difference_or_value(goal: figures.Goal | None, ours: float, met: bool | None) -> None:
    assert figure(ours=(ours,), floor=(2.0,), goal=goal).met is met


@pytest.mark.parametrize("runs", [(), (math.nan,), (1.0, math.nan, 3.0)])
def test_what_is_not_known_is_not_met(runs: tuple[float, ...]) -> None:
    assert figure(ours=runs, goal=TWICE).met is False
    assert figure(floor=runs, goal=TWICE).met is False


def test_a_floor_of_nothing_gives_no_ratio() -> None:
    assert math.isnan(figure(floor=(0.0,)).ratio)


@pytest.mark.parametrize(
    ("goal", "words"),
    [(TWICE, "≤ 2 ×"), (HALF, "≥ 0.5 ×"), (figures.Goal(of="difference", most=50), "≤ floor +50 ms"),
     (figures.Goal(of="value", most=100), "≤ 100 ms")],
)  # fmt: skip
def test_goals_in_words(goal: figures.Goal, words: str) -> None:
    assert goal.words("ms") == words


def test_quantiles() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert figures.quantile(values, 0.5) == 51
    assert figures.quantile(values, 0.99) == 100
    assert figures.quantile([7.0], 0.99) == 7
    assert math.isnan(figures.quantile([], 0.5))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0 ms"), (0.0512, "0.05 ms"), (4.126, "4.13 ms"), (41.26, "41.3 ms"), (4126.4, "4,126 ms"), (math.nan, "")],
)
def test_three_digits_are_shown(value: float, shown: str) -> None:
    assert figures.shown(value, "ms") == shown


def run(*held: float, calls: int = 10, ended: int = 10, set_aside: int = 0) -> hold.Run:
    return hold.Run(calls=calls, ended=ended, held=held, cpu_ms=1.0, set_aside=set_aside)


def test_a_lost_call_misses_the_goal_and_every_rate_has_its_own() -> None:
    runs = {"gateway": [run(4.0), run(4.0, ended=9)], "variable": [run(2.0)] * 2, "only": [run(1.0)] * 2}
    found = {one.name: one for one in hold.figures_at(200, runs)}
    assert found["held, p99, 200 calls/s"].met is True
    assert found["calls lost, 200 calls/s"].met is False
    assert {one.name: one.met for one in hold.figures_at(50, runs)}["held, p99, 50 calls/s"] is None


def test_beside_what_only_stores_nothing_is_required() -> None:
    found = {one.name: one for one in hold.figures_stored(200, {"gateway": [run(6.0)] * 3, "stored": [run(4.0)] * 3})}
    p99 = found["held, p99, 200 calls/s (floor: it commits a row too)"]
    assert (p99.ratio, p99.met) == (1.5, None)


@pytest.mark.parametrize(("lost", "met"), [((0, 0, 0, 0, 0), True), ((0, 0, 0, 0, 3), False)])
def test_calls_lost_in_any_run_are_lost(lost: tuple[int, ...], met: bool) -> None:
    gateway = [run(4.0, ended=10 - one) for one in lost]
    runs = {"gateway": gateway, "variable": [run(2.0)] * 5, "only": [run(1.0)] * 5}
    assert {one.name: one.met for one in hold.figures_at(400, runs)}["calls lost, 400 calls/s"] is met


def test_a_call_that_the_database_did_not_take_in_time_misses_the_goal() -> None:
    runs = {"gateway": [run(4.0)] * 4 + [run(4.0, set_aside=1)], "variable": [run(2.0)] * 5, "only": [run(1.0)] * 5}
    name = "calls not in the database within the hold budget, 400 calls/s"
    assert {one.name: one.met for one in hold.figures_at(400, runs)}[name] is False


def test_slow_others_may_cost_as_much_as_the_runs_without_differ() -> None:
    noisy = [run(2.0), run(2.0), run(3.0)]
    p50 = hold.figures_slow(50, {"5 s": [run(2.9)], "at once": noisy})[0]
    assert p50.met is True
    assert hold.figures_slow(50, {"5 s": [run(3.1)], "at once": noisy})[0].met is False
    assert hold.figures_slow(50, {"5 s": [run(2.9)], "at once": [run(2.0)]})[0].met is False


def test_a_load_that_did_not_arrive_whole_has_no_rate() -> None:
    load.whole({"taken": 10, "repeated": 0}, 10)
    for facts in ({"taken": 9, "repeated": 0}, {"taken": 10, "repeated": 1}):
        with pytest.raises(AssertionError, match="of 10 messages"):
            load.whole(facts, 10)


def test_the_machine_was_busy_above_half_a_core_each() -> None:
    assert not machine.busy((1.0, 9.0, 9.0), 2)
    assert machine.busy((1.1, 0.0, 0.0), 2)


def test_a_number_of_runs_counts_whatever_the_size() -> None:
    assert sizes.chosen(quick=True, runs=None) == sizes.QUICK
    assert sizes.chosen(quick=False, runs=3).runs == 3


# --- what is shown ----------------------------------------------------------------------------------------------

ALL = (
    figure(name="held, p99 <&>", goal=TWICE, bare=(1.0,)),
    figure(name="lost", unit="", ours=(0.0,), floor=(), goal=figures.Goal(of="value", most=0)),
    figure(section="http", name="messages a second", unit="/s", ours=(100.0,), floor=(1000.0,), goal=HALF),
    figure(section="memory", name="waiting", unit="MB", ours=(80.0,), floor=(70.0,), goal=MORE),
    figure(section="history", name="command", ours=(math.nan,), floor=(math.nan,)),
)  # fmt: skip


def test_the_table_has_every_figure_its_floor_and_what_is_required() -> None:
    file = io.StringIO()
    Console(file=file, width=120).print(table.tables(ALL, warning="busy"))
    lines = {line.split("  ")[0].strip(): " ".join(line.split()) for line in file.getvalue().splitlines()}
    assert lines["held, p99 <&>"] == "held, p99 <&> 4.00 ms 2.00 ms 2.00 × 1.00 ms ✓ ≤ 2 ×"
    assert lines["messages a second"] == "messages a second 100 /s 1,000 /s 0.10 × ✗ ≥ 0.5 ×"
    assert "busy" in lines
    assert not any(figures.SECTIONS["smpp"].title in line for line in lines)


def test_the_picture_is_well_formed_and_true_to_scale() -> None:
    drawn = ET.fromstring(picture.svg(ALL, title="agi-sms <1>", notes=["on <some> machine"], warning="busy & quick"))
    name = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in drawn.iter(f"{name}text")]
    assert {"held, p99 <&>", "agi-sms <1>", "busy & quick", "✓ 2.00 ×", "✗ 0.10 ×", "✓ +10.0 MB"} <= set(texts)
    bars = [(bar.get("fill"), float(bar.get("width", 0))) for bar in drawn.iter(f"{name}rect")]
    ours = [width for fill, width in bars if fill == picture.OURS][1:]  # the first one is the legend's
    floor = [width for fill, width in bars if fill == picture.FLOOR][1:]
    assert ours[0] == picture.LONGEST
    assert floor[0] == pytest.approx(picture.LONGEST / 2)
    assert ours[2] == pytest.approx(floor[1] / 10)
    width, height = (float(drawn.get(side, 0)) for side in ("width", "height"))
    for text in drawn.iter(f"{name}text"):
        assert 0 < float(text.get("x", -1)) < width
        assert 0 < float(text.get("y", -1)) < height


def test_the_files_say_everything_and_are_json_without_nan(tmp_path: pathlib.Path) -> None:
    facts = {"at": "2026-11-23T15:00:00+00:00", "quick": True, "runs": 3, "busy": False, **machine.facts()}
    data, drawing = bench.write(tmp_path, "release-1", facts, ALL)
    kept = json.loads(data.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert [one["name"] for one in kept["figures"]] == [one.name for one in ALL]
    first = kept["figures"][0]
    assert (first["agi_sms"], first["floor"], first["ratio"], first["goal"], first["met"]) == (4, 2, 2, "≤ 2 ×", True)
    assert first["runs"]["agi_sms"] == [3.0, 9.0, 4.0]
    assert kept["figures"][-1]["agi_sms"] is None
    assert "cores" in kept["machine"]
    assert "a quick run" in drawing.read_text(encoding="utf-8")
