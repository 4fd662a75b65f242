"""What the command line says of profiles and totals, as far as it needs no configuration."""

import csv
import io
import json
from datetime import date
from pathlib import Path

import pytest
from rich import console
from ruamel.yaml import YAML

from agi_sms import config, ports, show_providers, show_totals
from agi_sms.providers import profiles


def test_every_profile_is_one_row_of_one_width() -> None:
    head, rule, *rows = show_providers.matrix(profiles.matrix()).splitlines()
    assert [cell.strip() for cell in head.split("|")][1:3] == ["Profile", "Company"]
    assert set(rule) == {"|", "-"}
    assert [row.split("|")[1].strip() for row in rows] == profiles.names()
    assert len({len(line) for line in (head, rule, *rows)}) == 1


@pytest.mark.parametrize("name", profiles.names())
def test_what_a_profile_tells_to_write_is_a_provider(name: str, tmp_path: Path) -> None:
    *_, block = "\n".join(show_providers.profile(profiles.load(name))).partition("\nproviders:\n")
    (tmp_path / "agi-sms.yaml").write_text(f"providers:\n{block}\n", encoding="utf-8")
    written = YAML(typ="safe").load(f"providers:\n{block}")["providers"][name]
    needs = profiles.load(name).head.needs
    variables = {value[2:-1]: "https://sms.example/x" for value in written.values() if str(value).startswith("${")}
    variables |= {value[2:-1]: "sample-of-a-secret" for value in (written.get("secret") or {}).values()}
    assert len(variables) == len(needs)
    assert name in config.load(tmp_path / "agi-sms.yaml", variables).providers


def total(node: str, day: int, currency: str, cost: int, messages: int = 1) -> ports.Total:
    return ports.Total(
        node=node, day=date(2026, 11, day), currency=currency, messages=messages, segments=2 * messages, cost=cost
    )


TOTALS = [
    total("a", 1, "EUR", 80_000),
    total("a", 1, "", 0, 3),
    total("b", 2, "EUR", 1),
    total("b", 2, "PLN", 5_000_000),
]


def table(totals: list[ports.Total]) -> list[list[str]]:
    out = console.Console(width=100, file=io.StringIO(), highlight=False)
    out.print(show_totals.as_table(totals))
    shown = out.file
    assert isinstance(shown, io.StringIO)
    return [line.split() for line in shown.getvalue().splitlines()]


def test_totals_have_a_sum_in_each_currency() -> None:
    rows = table(TOTALS)
    assert ["a", "2026-11-01", "1", "2", "0.08", "EUR"] in rows
    assert ["a", "2026-11-01", "3", "6", "not", "known"] in rows
    assert [row for row in rows if row[:1] == ["all"]] == [
        ["all", "2", "4", "0.080001", "EUR"],
        ["all", "3", "6", "not", "known"],
        ["all", "1", "2", "5.00", "PLN"],
    ]
    assert not [row for row in table(TOTALS[:1]) if row[:1] == ["all"]]


def test_totals_for_machines() -> None:
    first, second, *_ = json.loads(show_totals.as_json(TOTALS))
    assert first == {
        "node": "a", "day": "2026-11-01", "currency": "EUR", "messages": 1, "segments": 2, "cost": "0.08",
        "provider": None, "in_doubt": 0, "cost_in_doubt": "0.00",
    }  # fmt: skip
    assert (second["currency"], second["cost"]) == (None, None)
    cells = list(csv.DictReader(io.StringIO(show_totals.as_csv(TOTALS))))
    assert [cell["cost"] for cell in cells] == ["0.08", "", "0.000001", "5.00"]
