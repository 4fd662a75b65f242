"""SECURITY.md names tests that there are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "SECURITY.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`((?:unit|contract|acceptance)/\w+\.py)::(\w+)`", DOCUMENT)))


def test_every_line_of_the_table_names_one() -> None:
    rows = [line for line in DOCUMENT.partition("## Threats")[2].splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    assert [row for row in rows if "::" not in row] == []


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_it_is_there(file: str, test: str) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    found = [one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert test in found
