"""What the README shows is true: its examples load, its commands and keys exist, its figures are said once."""

import contextlib
import hmac
import re
import socket
import subprocess
import sys
import time
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import prometheus_client
import pydantic
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from agi_sms import cli, config, config_settings, message, metrics, numbers, ports, providers, show_providers, trigger
from agi_sms.content import request
from agi_sms.content import settings as content_settings
from agi_sms.providers import http_answer, polling, profiles, receipts, reports, signatures_settings

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NAMES = ("SMS_TOKEN", "SHOP_TOKEN", "SHOP_SECRET", "RECEIPT_TOKEN", "SMPP_PASSWORD")
SECRETS = dict.fromkeys(NAMES, "secret-of-a-test")


def blocks(language: str, text: str = README) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [text for kind, text in found if kind == language]


def section(title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1)


CONTENT = section("Text from your own system")


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
    assert config.load(configured(example, tmp_path), SECRETS).nodes is not None


def commands(text: str) -> Iterator[list[str]]:
    for block in blocks("sh", text):
        for line in block.splitlines():
            words = line.split("#")[0].split()
            if words[:1] == ["agi-sms"]:
                yield words[1:]


@pytest.mark.parametrize("words", list(commands(README.replace(CONTENT, ""))), ids=" ".join)
def test_every_command_does_what_it_says(words: list[str], tmp_path: Path) -> None:
    """On the configuration of the README; what does not end, or needs messages, is run by tests/contract."""
    path = configured(blocks("yaml")[0], tmp_path)
    if words[0] in ("run", "retry"):
        with click.Context(cli.main.commands[words[0]]) as context:
            cli.main.commands[words[0]].parse_args(context, words[1:])
        return
    result = CliRunner().invoke(cli.main, words, env={"AGI_SMS_CONFIG": str(path)})
    assert result.exit_code == 0, result.output
    assert result.output


@contextlib.contextmanager
def shop(folder: Path) -> Iterator[int]:
    """The example server, as it stands, on a free port."""
    (program,) = blocks("python")
    (folder / "shop.py").write_text(program, encoding="utf-8")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, folder / "shop.py", str(port)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert server.poll() is None
            assert time.monotonic() < deadline
        yield port
    finally:
        server.terminate()
        server.wait()


@pytest.mark.usefixtures("own_logging")
def test_the_example_server_is_asked_by_the_commands(tmp_path: Path) -> None:
    with shop(tmp_path) as port:
        path = configured(blocks("yaml", CONTENT)[0].replace("8099", str(port)), tmp_path)
        check, dry_run = commands(CONTENT)
        shown = [CliRunner().invoke(cli.main, words, env={"AGI_SMS_CONFIG": str(path)}) for words in (check, dry_run)]
    for result in shown:
        assert result.exit_code == 0, result.output
        assert f"POST http://127.0.0.1:{port}/sms-text" in result.output
    assert "Your order 12345 is not known to us." in shown[0].output
    assert "Your order 1235 is waiting for you in Kraków." in shown[1].output
    assert "nothing stored, nothing sent" in shown[1].output


def test_the_example_server_has_fifteen_lines() -> None:
    (program,) = blocks("python")
    assert len([line for line in program.splitlines() if line]) <= 15


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_signature_is_checked_as_shown(tmp_path: Path, method: str) -> None:
    (snippet,) = [text for text in blocks("", CONTENT) if text.startswith("def signed")]
    names: dict[str, Any] = {"hmac": hmac, "time": time}
    exec(snippet, names)
    (tmp_path / "agi-sms.yaml").write_text("nodes: {a: {send_to_caller: true, content: {text: Hello}}}\n")
    visit = trigger.sample(config.load(tmp_path / "agi-sms.yaml", {}), "a")
    question = ports.Question(activation_id="a1", visit=visit, rules=numbers.Rules(region="PL"))
    settings = content_settings.Api.model_validate(
        {"url": "https://shop.example/?shop=12", "method": method, "sign": {"secret": "secret-of-a-test"}}
    )
    asked = request.Builder(settings).build(question, datetime.now(UTC))
    body = asked.body if asked.body is not None else asked.url.raw_query_string.encode()
    assert names["signed"](asked.headers, body, "secret-of-a-test")
    assert not names["signed"](asked.headers, body + b"x", "secret-of-a-test")
    assert not names["signed"](asked.headers, body, "another")
    old = request.Builder(settings).build(question, datetime(2026, 1, 1, tzinfo=UTC))
    assert not names["signed"](old.headers, old.body or old.url.raw_query_string.encode(), "secret-of-a-test")


def test_every_command_is_told() -> None:
    told = set(re.findall(r"`agi-sms ([\w-]+)", section("Commands")))
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


def test_every_key_of_an_api_is_told() -> None:
    assert {word.split(".")[0] for word in keys(CONTENT)} >= names(content_settings.Api)
    shown = YAML(typ="safe").load(blocks("yaml", CONTENT)[1])["nodes"]["order-status"]["content"]["api"]
    assert set(shown) == names(content_settings.Api) - {"message", "ca_file"}  # no such file here


def test_the_table_of_ends_names_what_there_is() -> None:
    *_, table = CONTENT.partition("| What your system does | Status | Reason | Asked again | Fallback |\n")
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()[1:] if line]
    assert len({row[0] for row in rows}) == len(rows) > 20
    for _, status, reason, again, fallback in rows:
        assert status in {"scheduled", "skipped"}
        assert reason == "" or reason in set(message.Reason)
        assert {again, fallback} <= {"yes", "no"}
    every_one = {reason for _, _, reason, _, _ in rows}
    assert {reason for reason in message.Reason if reason.startswith("content_")} - every_one == {"content_removed"}


def test_every_other_key_is_told() -> None:
    text = section("Everything else")
    told = {word.split(".")[0] for word in keys(text)}
    assert names(config_settings.Settings) - {"nodes", "defaults"} <= told
    words = set(re.findall(r"\w+", text))
    for part in (config_settings.ContentHosts, config_settings.Health, config_settings.Receipts, config_settings.Way):
        assert names(part) <= words, part
    for kind in providers.REGISTRY:
        assert names(providers.settings_class(kind)) <= words, kind


def test_the_profiles_are_those_that_there_are() -> None:
    """The table is what `agi-sms providers --profiles` prints."""
    begin, end = show_providers.MARKS
    assert README.partition(f"{begin}\n")[2].partition(f"\n{end}")[0] == show_providers.matrix(profiles.matrix())


def test_every_status_is_told() -> None:
    told = set(keys(section("Commands")))
    assert {str(status) for status in message.Status} <= told
    assert {str(status) for status in ports.ReplyStatus} <= set(re.findall(r"`([A-Z]+)`", README))


def test_nothing_is_left_to_be_filled_in() -> None:
    assert not re.findall(r"\b(?:DEMO|TEST|TODO|XXX)_?[A-Z]*\b", README)


def test_every_metric_is_told_with_its_labels() -> None:
    """A counter's name ends in _total where Prometheus reads it."""
    declared = {
        (metric.name + ("_total" if metric.type == "counter" else ""), tuple(made._labelnames))
        for made in vars(metrics).values()
        if isinstance(made, prometheus_client.metrics.MetricWrapperBase)
        for metric in made.describe()
    }
    rows = re.findall(r"^\| `(agi_sms_\w+)` \|([^|]*)\|", README, re.MULTILINE)
    assert {(name, tuple(re.findall(r"`(\w+)`", labels))) for name, labels in rows} == declared


def test_every_key_of_the_language_of_profiles_is_told() -> None:
    told = README.partition("### The language of profiles")[2].partition("### Receipts")[0]
    models = (profiles.Head, http_answer.Answer, http_answer.Rule, receipts.Receipts, reports.Only)
    keys = {
        field.alias or name
        for model in (*models, receipts.Acknowledge, signatures_settings.Verify, polling.Polling, polling.Told)
        for name, field in model.model_fields.items()
    }
    words = {*keys, *http_answer.Then, *typing.get_args(signatures_settings.Scheme)}
    assert {word for word in words if not re.search(rf"[`.]{word}\b", told)} == set()
