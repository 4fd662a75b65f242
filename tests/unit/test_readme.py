"""What the README shows is true: its examples load, its commands and keys exist, its figures are said once."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pydantic
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from agi_sms import cli, config, config_settings, message, ports, providers

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def section(title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1)


def keys(table: str) -> list[str]:
    """The words in code in the first column."""
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `") or line.startswith("| **")]
    return [word for cell in rows for word in re.findall(r"`([^`]+)`", cell)]


def configured(example: str, folder: Path) -> Path:
    """The example as a file, with its data in the same folder."""
    path = folder / "agi-sms.yaml"
    tree = YAML(typ="safe").load(example)
    tree.setdefault("database", str(folder / "agi-sms.db"))
    with path.open("w", encoding="utf-8") as out:
        YAML().dump(tree, out)
    return path


@pytest.mark.parametrize("example", blocks("yaml"), ids=lambda text: text.split("\n", 1)[0])
def test_every_configuration_loads(example: str, tmp_path: Path) -> None:
    assert config.load(configured(example, tmp_path), {"SMS_TOKEN": "secret"}).nodes is not None


def commands() -> Iterator[list[str]]:
    for text in blocks("sh"):
        for line in text.splitlines():
            words = line.split("#")[0].split()
            if words[:1] == ["agi-sms"]:
                yield words[1:]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_does_what_it_says(words: list[str], tmp_path: Path) -> None:
    """On the configuration of the README; `run`, which does not end, is run by tests/contract/test_service.py."""
    path = configured(blocks("yaml")[0], tmp_path)
    if words[0] == "run":
        with click.Context(cli.main.commands["run"]) as context:
            cli.main.commands["run"].parse_args(context, words[1:])
        return
    result = CliRunner().invoke(cli.main, words, env={"AGI_SMS_CONFIG": str(path)})
    assert result.exit_code == 0, result.output
    assert result.output


def test_every_command_is_told() -> None:
    told = set(re.findall(r"`agi-sms (\w+)", section("Commands")))
    assert told == set(cli.main.commands)


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE)) <= targets


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def names(model: type[pydantic.BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_every_key_of_a_node_is_told() -> None:
    told = {word.split(".")[0] for word in keys(section("A node"))}
    assert told == names(config_settings.NodeSettings)


def test_every_other_key_is_told() -> None:
    text = section("Everything else")
    told = {word.split(".")[0] for word in keys(text)}
    assert names(config_settings.Settings) - {"nodes", "defaults"} <= told
    words = set(re.findall(r"\w+", text))
    for kind in providers.REGISTRY:
        assert names(providers.settings_class(kind)) <= words, kind


def test_every_status_is_told() -> None:
    told = set(keys(section("Commands")))
    assert {str(status) for status in message.Status} - {"waiting"} <= told
    assert {str(status) for status in ports.ReplyStatus} <= set(re.findall(r"`([A-Z]+)`", README))


def test_nothing_is_left_to_be_filled_in() -> None:
    assert not re.findall(r"\b(?:DEMO|TEST|TODO|XXX)_?[A-Z]*\b", README)
