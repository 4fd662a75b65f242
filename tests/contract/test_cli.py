"""The commands beside `run`, as an operator types them: what they print, where, and their exit codes."""

import asyncio
import contextlib
import csv
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agi_sms import cli, cli_shared, clock, message, ports
from agi_sms.outbox import sqlite
from tests.contract import peer, stores

DONE, NOT_DONE, MISTAKES, UNUSABLE = 0, 1, 2, 3
TREE: dict[str, Any] = {
    "region": "PL",
    "database": "box.db",
    "providers": {"out": {"type": "file", "path": "out.jsonl"}},
    "routes": {"default": ["out"]},
    "groups": {"shop": "+48600100300, +48600100301"},
    "nodes": {
        "desk": {
            "description": "Front desk",
            "sender": "TeleShop",
            "recipients": "@shop",
            "send_to_caller": True,
            "once_per_call": True,
            "content": {"text": "Hi {{ caller_name }}, you rang {{ dialled }}. Order {{ var.order | default('-') }}"},
        },
        "later": {"delay": "2h", "dialplan_recipients": True, "content": {"text": "Hello"}},
        "order": {"recipients": "+48600100200", "content": {"text": "Order {{ var.order }}"}},
    },
}
COMMANDS = (
    *("run", "check", "reload", "history", "explain", "trigger", "cancel", "retry", "completion"),
    *("providers", "send-test", "resolve", "doctor"),
)


class Shell:
    """A folder with a configuration, and the commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "agi-sms.yaml"
        self.database = folder / "box.db"
        self.write(TREE)

    def write(self, tree: dict[str, Any] | str) -> None:
        self.config.write_text(tree if isinstance(tree, str) else json.dumps(tree, indent=1), encoding="utf-8")

    def __call__(self, *words: str, code: int = DONE, answer: str | None = None) -> Result:
        result = CliRunner().invoke(cli.main, words, env={"AGI_SMS_CONFIG": str(self.config)}, input=answer)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def rows(self, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self("history", "--format", "json", *words).stdout)
        return found

    def lease_all(self) -> None:
        """As a gateway does that is just sending them."""

        async def claim() -> None:
            box = await sqlite.SqliteOutbox.open(self.database, clock=clock.now)
            await stores.claim(box, 100, timedelta(hours=1))
            await box.close()

        asyncio.run(claim())


@pytest.fixture
def shell(tmp_path: Path, own_logging: None) -> Shell:
    return Shell(tmp_path)


# --- help, completion -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command(shell: Shell, flag: str) -> None:
    shown = shell(flag).stdout
    for name in COMMANDS:
        assert re.search(rf"^  {name}\b", shown, re.MULTILINE)
    assert "First steps" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_says_what_it_needs(shell: Shell, name: str) -> None:
    shown = shell(name, "--help").stdout
    assert f"Usage: main {name}" in shown or f"Usage: agi-sms {name}" in shown
    if name != "completion":
        assert "--config FILE" in shown
        assert "AGI_SMS_CONFIG" in shown
    needs = {"explain": "MESSAGE_ID", "trigger": "NODE", "cancel": "[MESSAGE_ID]", "retry": "[MESSAGE_ID]"}
    assert needs.get(name, "") in shown


def test_version(shell: Shell) -> None:
    assert re.fullmatch(r"agi-sms, version \d+\.\d+\.\d+\S*\n", shell("--version").stdout)


def test_an_unknown_command_is_a_usage_error(shell: Shell) -> None:
    assert "histroy" in shell("histroy", code=MISTAKES).output


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: Shell, name: str) -> None:
    assert "_AGI_SMS_COMPLETE" in shell("completion", name).stdout


def complete(shell: Shell, *words: str) -> list[str]:
    """What bash is told, by the installed command itself."""
    asked = {
        "_AGI_SMS_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("agi-sms", *words)),
        "COMP_CWORD": str(len(words)),
        "AGI_SMS_CONFIG": str(shell.config),
    }
    program = Path(sys.executable).with_name("agi-sms")
    told = subprocess.run([program], env=os.environ | asked, capture_output=True, text=True, check=False)
    assert told.stderr == ""
    return [line.removeprefix("plain,") for line in told.stdout.splitlines() if line]


def test_completion_knows_the_nodes(shell: Shell) -> None:
    assert complete(shell, "history", "--node", "") == ["desk", "later", "order"]
    assert complete(shell, "trigger", "d") == ["desk"]
    assert complete(shell, "check", "--online", "--node", "l") == ["later"]


def test_completion_is_silent_where_the_configuration_is_broken(shell: Shell) -> None:
    shell.write("nodes: [")
    assert complete(shell, "trigger", "d") == []


# --- check ------------------------------------------------------------------------------------------------------


def test_check_tells_what_is_configured(shell: Shell) -> None:
    shown = shell("check").stdout
    assert "3 nodes" in shown
    for name in ("desk", "later", "order"):
        assert re.search(rf"^  {name} ", shown, re.MULTILINE)
    assert "Front desk" in shell("check", "--verbose").stdout


def test_check_tells_every_mistake_with_its_place(shell: Shell) -> None:
    shell.write(
        "region: PL\n"
        "database: box.db\n"
        "nodes:\n"
        "  desk:\n"
        "    sender: MuchTooLongName\n"
        "    recipients: nobody\n"
        "    content: {text: 'Hi {{ caller'}\n"
        "    colour: red\n"
    )
    result = shell("check", code=MISTAKES)
    assert result.stdout == ""
    for line, key in ((5, "sender"), (6, "recipients"), (7, "content.text"), (8, "colour")):
        assert re.search(
            rf"^{re.escape(str(shell.config))}:{line}: nodes\.desk\.{key}\S*: ", result.stderr, re.MULTILINE
        )
    assert "4 mistakes" in result.stderr


def test_check_of_no_file_says_so(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.config.unlink()
    assert str(shell.config) in shell("check", code=MISTAKES).stderr


@pytest.mark.parametrize(
    "words",
    [
        *(("history",), ("explain", "x"), ("trigger", "desk"), ("cancel", "x"), ("retry", "x"), ("reload",), ("run",)),
        *(("providers",), ("send-test", "out", "600100200"), ("resolve", "x", "sent"), ("history", "--totals")),
    ],
)
def test_every_command_refuses_a_broken_configuration_alike(shell: Shell, words: tuple[str, ...]) -> None:
    shell.write("nodes: {desk: {colour: red}}")
    result = shell(*words, code=MISTAKES)
    assert "colour" in result.stderr
    assert not shell.database.exists()


# --- check --online ---------------------------------------------------------------------------------------------


def asking(asked: peer.Peer, **changed: Any) -> dict[str, Any]:
    """A node whose text this peer knows."""
    api = {"url": f"{asked.url}/sms", "response": "json", "timeout": "10s", "vars": ["order"]}
    return {"send_to_caller": True, "content": {"api": api | changed.pop("api", {})} | changed}


HELLO = peer.answer(body='{"message": "Zażółć"}'.encode())
GONE = peer.answer(404, b"{}")


def test_check_online_asks_every_api_and_shows_what_it_says(shell: Shell) -> None:
    with peer.beside(HELLO, GONE) as (good, bad):
        shell.write(TREE | {"nodes": {"good": asking(good), "plain": TREE["nodes"]["later"]}})
        shown = shell("check", "--online").stdout
        shell.write(TREE | {"nodes": {"good": asking(good), "bad": asking(bad)}})
        both = shell("check", "--online", code=NOT_DONE).stdout
        only = shell("check", "--online", "--node", "good").stdout
    assert f"from {good.url}/sms (POST, json)" in shown
    assert re.search(rf"^good  \({re.escape(str(shell.config))}:\d+: nodes\.good\)$", shown, re.MULTILINE)
    assert "  value      order=12345\n" in shown
    assert "  text       ucs2, 1 segment, 6 characters:\n             Zażółć\n" in shown
    assert "content_refused" in both
    assert "the messages are held" in both
    assert shown.endswith("\n\n1 node asked: each API did its part\n")
    assert both.endswith("\n\n1 of 2 nodes got no text: bad\n")
    assert bad.url not in only
    assert "\n  bad " not in only
    assert (len(good.requests), len(bad.requests)) == (3, 1)
    assert not shell.database.exists()


def test_check_online_of_nothing_says_so(shell: Shell) -> None:
    assert "nothing to ask: no node has a content.api" in shell("check", "--online").stdout
    assert "nothing to ask: desk has no content.api" in shell("check", "--online", "--node", "desk").stdout


def test_check_online_of_a_node_that_is_not_there(shell: Shell) -> None:
    assert "desk, later, order" in shell("check", "--online", "--node", "dest", code=MISTAKES).stderr
    assert "--online" in shell("check", "--node", "desk", code=MISTAKES).stderr


def test_check_online_does_not_ask_where_there_are_mistakes(shell: Shell) -> None:
    with peer.beside(HELLO) as (good,):
        shell.write(TREE | {"nodes": {"good": asking(good), "bad": {"content": {}}}})
        shell("check", "--online", code=MISTAKES)
    assert good.requests == []


def test_help_says_that_systems_are_really_asked(shell: Shell) -> None:
    for name in ("check", "trigger"):
        shown = " ".join(shell(name, "--help").stdout.split())
        assert "really ask" in shown
        assert "Agi-Sms-Test: 1" in shown


def test_check_online_can_be_interrupted(shell: Shell) -> None:
    with peer.beside(peer.silence()) as (asked,):
        shell.write(TREE | {"nodes": {"slow": asking(asked, api={"timeout": "60s"})}})
        program = Path(sys.executable).with_name("agi-sms")
        words = [str(program), "check", "--config", str(shell.config), "--online"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            deadline = time.monotonic() + 30
            while not asked.requests and time.monotonic() < deadline:
                assert running.poll() is None
                time.sleep(0.01)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=30)
    assert running.returncode == NOT_DONE
    assert "slow" in out
    assert err.strip() == "Aborted!"


# --- trigger ----------------------------------------------------------------------------------------------------


def test_a_dry_run_asks_for_the_text_and_shows_it(shell: Shell) -> None:
    with peer.beside(HELLO) as (asked,):
        shell.write(TREE | {"nodes": {"shop": asking(asked)}})
        shown = shell("trigger", "shop", "--caller", "600100200", "--var", "order=17", "--dry-run").stdout
        withheld = shell("trigger", "shop", "--caller", "600100200", "--withheld", "--dry-run").stdout
    (request,) = asked.requests
    assert "order=17" in request.body.decode()
    assert request.headers["agi-sms-test"] == "1"
    assert "  value      order=17\n" in shown
    assert "note:" not in shown
    assert "note: order is among content.api.vars, and not given" in withheld
    assert "+48600100200: from (the provider decides), due " in shown
    assert "text (ucs2, 1 segment, 6 characters):\n  Zażółć\n" in shown
    assert "nothing stored, nothing sent" in shown
    assert "(withheld): skipped" in withheld
    assert not shell.database.exists()


def test_a_dry_run_without_a_text_shows_what_would_become_of_it(shell: Shell) -> None:
    with peer.beside(GONE) as (asked,):
        shell.write(TREE | {"nodes": {"shop": asking(asked)}})
        held = shell("trigger", "shop", "--caller", "600100200", "--dry-run", code=NOT_DONE).stdout
        shell.write(TREE | {"nodes": {"shop": asking(asked, fallback="Sorry")}})
        going = shell("trigger", "shop", "--caller", "600100200", "--dry-run", code=NOT_DONE).stdout
    assert "+48600100200: held, the node's API answered with another HTTP status than 2xx" in held
    assert "+48600100200: from (the provider decides), due " in going
    assert going.count("Sorry") == 2


def test_a_trigger_waits_for_its_text(shell: Shell) -> None:
    with peer.beside(HELLO) as (asked,):
        shell.write(TREE | {"nodes": {"shop": asking(asked)}})
        shown = shell("trigger", "shop", "--caller", "600100200").stdout
    assert asked.requests == []
    assert "waiting for its text, due " in shown
    (row,) = shell.rows("--status", "waiting")
    assert row["text"] is None
    assert "(to be fetched)" in shell("history").stdout
    assert "The text\n  is        not known yet\n" in shell("explain", row["id"]).stdout


def test_history_says_who_got_the_fallback(shell: Shell) -> None:
    async def resolve() -> None:
        box = await sqlite.SqliteOutbox.open(shell.database, clock=clock.now)
        found = await box.claim_content(hosts={"shop": "h"}, free={"h": 1}, lease=timedelta(minutes=1))
        sorry = ports.Resolution(
            state=ports.ContentState.FALLBACK,
            status=message.Status.SCHEDULED,
            reason=message.Reason.CONTENT_TIMEOUT,
            text="Sorry",
            segments=1,
        )
        assert await box.resolve(found.jobs[0], sorry)
        await box.close()

    with peer.beside(HELLO) as (asked,):
        nodes = {
            "shop": asking(asked, fallback="Sorry") | {"recipients": "+48600100200"},
            "later": TREE["nodes"]["later"],
        }
        shell.write(TREE | {"nodes": nodes})
        shell("trigger", "shop", "--withheld")
        shell("trigger", "later", "--recipients", "+48600100201")
        assert {row["fallback"] for row in shell.rows()} == {False}
        asyncio.run(resolve())
    told = {(row["node"], row["status"]): row["fallback"] for row in shell.rows()}
    assert told == {("shop", "scheduled"): True, ("shop", "skipped"): False, ("later", "scheduled"): False}
    assert shell("history").stdout.count("(fallback)") == 1
    cells = csv.DictReader(io.StringIO(shell("history", "--format", "csv").stdout))
    assert [cell["fallback"] for cell in cells].count("true") == 1


def test_a_dry_run_shows_everything_and_stores_nothing(shell: Shell) -> None:
    shown = shell(
        "trigger", "desk", "--caller", "600100200", "--caller-name", "Jan", "--dialled", "221131415",
        "--var", "order=17", "--dry-run",
    ).stdout  # fmt: skip
    assert [line.split(":")[0] for line in shown.splitlines()[:3]] == ["+48600100300", "+48600100301", "+48600100200"]
    assert "Hi Jan, you rang +48221131415. Order 17" in shown
    assert "gsm7, 1 segment" in shown
    assert "nothing sent" in shown
    assert not shell.database.exists()


def test_a_trigger_is_kept_as_a_call_is(shell: Shell) -> None:
    shown = shell("trigger", "desk", "--caller", "600100200", "--call", "c1").stdout
    assert "the gateway is not running" in shown
    again = shell("trigger", "desk", "--caller", "600100200", "--call", "c1").stdout
    assert again.count("once_per_call") == 3
    assert "not running" not in again
    rows = shell.rows()
    assert [row["status"] for row in rows] == ["skipped"] * 3 + ["scheduled"] * 3
    assert {row["call_id"] for row in rows} == {"c1"}


def test_a_withheld_caller_is_shown_as_that(shell: Shell) -> None:
    shown = shell("trigger", "desk", "--caller", "600100200", "--withheld").stdout
    assert "(withheld): skipped" in shown
    assert "600100200" not in shown


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize("wish", [("--delay", "soon"), ("--sender", "MuchTooLongName")])
def test_an_argument_nobody_can_read_is_told_and_not_done(
    shell: Shell, wish: tuple[str, ...], dry: tuple[str, ...]
) -> None:
    shown = shell("trigger", "later", "--recipients", "600100200", *wish, *dry, code=NOT_DONE).stdout
    assert f"fault: {wish[0].removeprefix('--')}: " in shown
    assert "held" in shown


def test_a_text_that_lacks_a_variable_is_told(shell: Shell) -> None:
    shown = shell("trigger", "order", "--dry-run", code=NOT_DONE).stdout
    assert re.search(r"^fault: .*order", shown, re.MULTILINE)
    assert "skipped" in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere",), "desk, later, order"),
        (("desk", "--pbx", "munich"), "no pbx 'munich'"),
        (("desk", "--var", "order"), "NAME=VALUE"),
        (("desk", "--var", "1x=2"), "NAME=VALUE"),
        ((), "NODE"),
    ],
)
def test_what_cannot_be_triggered_is_a_mistake(shell: Shell, words: tuple[str, ...], told: str) -> None:
    assert told in shell("trigger", *words, code=MISTAKES).output
    assert not shell.database.exists()


# --- history ----------------------------------------------------------------------------------------------------


def test_history_of_nothing_is_no_mistake(shell: Shell) -> None:
    assert shell("history").stdout == "no messages\n"
    assert shell.rows() == []
    assert len(shell("history", "--format", "csv").stdout.splitlines()) == 1


def test_history_can_be_narrowed(shell: Shell) -> None:
    shell("trigger", "desk", "--caller", "600100200", "--call", "c1")
    shell("trigger", "later", "--recipients", "600100200", "--call", "c2")
    assert {row["node"] for row in shell.rows("--node", "later")} == {"later"}
    assert [row["recipient"] for row in shell.rows("--number", "301")] == ["+48600100301"]
    assert len(shell.rows("--number", "+48 600 100 200")) == 2
    assert {row["call_id"] for row in shell.rows("--call", "c2")} == {"c2"}
    assert len(shell.rows("--status", "scheduled")) == 4
    assert shell.rows("--status", "failed") == []
    assert len(shell.rows("--since", "1h")) == 4
    assert shell.rows("--until", "1h") == []
    assert len(shell.rows("--since", "2020-01-01", "--until", "2999-01-01T00:00")) == 4
    assert len(shell.rows("--limit", "2")) == 2
    assert shell.rows("--node", "desk", "--status", "cancelled") == []


@pytest.mark.parametrize(
    "words",
    [
        ("--status", "lost"),
        ("--since", "yesterday"),
        ("--limit", "0"),
        ("--format", "xml"),
        ("surplus",),
    ],
)
def test_what_history_cannot_read_is_a_mistake(shell: Shell, words: tuple[str, ...]) -> None:
    assert "Error" in shell("history", *words, code=MISTAKES).stderr


def test_history_has_three_formats_of_the_same(shell: Shell) -> None:
    shell("trigger", "desk", "--caller", "600100200", "--caller-name", "Jan")
    rows = shell.rows()
    table = shell("history").stdout
    cells = list(csv.DictReader(io.StringIO(shell("history", "--format", "csv").stdout)))
    assert [cell["id"] for cell in cells] == [row["id"] for row in rows]
    assert [cell["text"] for cell in cells] == [row["text"] for row in rows]
    for row in rows:
        assert row["id"] in table
        assert row["recipient"] in table
    assert "Hi Jan" in table
    assert "scheduled" in table


def test_history_says_when_there_is_more(shell: Shell) -> None:
    shell("trigger", "desk", "--caller", "600100200")
    assert "--limit" in shell("history", "--limit", "3").stdout
    assert "--limit" not in shell("history", "--limit", "4").stdout


# --- explain ----------------------------------------------------------------------------------------------------


def test_explain_tells_the_whole_story(shell: Shell) -> None:
    shell("trigger", "desk", "--caller", "[/x] :smile:", "--caller-name", "[bold]", "--call", "c1")
    for row in shell.rows():
        shown = shell("explain", row["id"]).stdout
        assert row["id"] in shown
        assert "made on the command line" in shown
        assert "[/x] :smile:" in shown
        assert "call c1" in shown


def test_explain_takes_the_end_of_an_id(shell: Shell) -> None:
    shell("trigger", "order", "--var", "order=1")
    [row] = shell.rows()
    assert row["id"] in shell("explain", row["id"][-6:]).stdout


def test_explain_of_no_message_says_so(shell: Shell) -> None:
    assert "first start" in shell("explain", "nonsense", code=NOT_DONE).stderr
    shell("trigger", "order", "--var", "order=1")
    assert "no message nonsense" in shell("explain", "nonsense", code=NOT_DONE).stderr


# --- cancel and retry -------------------------------------------------------------------------------------------


def test_cancel_and_retry_of_one_message(shell: Shell) -> None:
    shell("trigger", "order", "--var", "order=1")
    [row] = shell.rows()
    assert shell("cancel", row["id"]).stdout == "1 message cancelled\n"
    assert [r["status"] for r in shell.rows()] == ["cancelled"]
    assert f"{row['id']} is cancelled: operator" in shell("cancel", row["id"], code=NOT_DONE).stderr
    told = shell("retry", row["id"]).stdout
    assert told == "1 message scheduled again\nthe gateway is not running: it goes out once it is (agi-sms run)\n"
    assert [r["status"] for r in shell.rows()] == ["scheduled"]
    assert f"{row['id']} is scheduled; only" in shell("retry", row["id"], code=NOT_DONE).stderr
    assert shell("explain", row["id"]).stdout.count("(command line): ") == 2


def test_cancel_by_node_asks_first(shell: Shell) -> None:
    shell("trigger", "desk", "--caller", "600100200")
    shell("trigger", "order", "--var", "order=1")
    shell("cancel", "--node", "desk", answer="n\n", code=NOT_DONE)
    assert {row["status"] for row in shell.rows()} == {"scheduled"}
    assert "3 messages cancelled" in shell("cancel", "--node", "desk", answer="y\n").stdout
    assert "3 messages scheduled again" in shell("retry", "--node", "desk", "--status", "cancelled", "--yes").stdout
    assert {row["status"] for row in shell.rows()} == {"scheduled"}


def test_what_is_being_sent_cannot_be_cancelled(shell: Shell) -> None:
    shell("trigger", "order", "--var", "order=1")
    shell.lease_all()
    [row] = shell.rows()
    assert row["status"] == "sending"
    shell("cancel", row["id"], code=NOT_DONE)


@pytest.mark.parametrize("name", ["cancel", "retry"])
@pytest.mark.parametrize("words", [(), ("x", "--node", "desk")])
def test_which_messages_must_be_said_in_one_way(shell: Shell, name: str, words: tuple[str, ...]) -> None:
    assert "MESSAGE_ID" in shell(name, *words, code=MISTAKES).stderr


# --- the database -----------------------------------------------------------------------------------------------


def spoil(shell: Shell) -> None:
    shell.database.write_bytes(b"no database at all " * 100)


def damage(shell: Shell) -> None:
    shell("trigger", "desk", "--caller", "600100200")
    content = bytearray(shell.database.read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    shell.database.write_bytes(content)
    for beside in ("-wal", "-shm"):
        shell.database.with_name(shell.database.name + beside).unlink(missing_ok=True)


def newer(shell: Shell) -> None:
    shell("trigger", "desk", "--caller", "600100200")
    with contextlib.closing(sqlite3.connect(shell.database)) as raw, raw:
        raw.execute("UPDATE meta SET value = 999 WHERE key = 'schema'")


def foreign(shell: Shell) -> None:
    with contextlib.closing(sqlite3.connect(shell.database)) as raw, raw:
        raw.execute("CREATE TABLE theirs (x)")


@pytest.mark.parametrize("harm", [spoil, damage, newer, foreign])
def test_a_database_that_cannot_be_used_is_told_in_a_line(shell: Shell, harm: Callable[[Shell], None]) -> None:
    harm(shell)
    before = shell.database.read_bytes()
    for words in (("history",), ("explain", "abcd"), ("trigger", "desk"), ("cancel", "abcd"), ("run",)):
        told = shell(*words, code=UNUSABLE).stderr
        assert str(shell.database) in told
        assert "Traceback" not in told
    assert shell.database.read_bytes() == before


def test_reload_without_a_gateway_says_how_to_start_one(shell: Shell) -> None:
    shell("trigger", "desk", "--caller", "600100200")
    assert "agi-sms run" in shell("reload", code=NOT_DONE).stderr


def test_every_status_can_be_asked_for(shell: Shell) -> None:
    for status in message.Status:
        assert shell.rows("--status", str(status)) == []


def test_a_query_is_what_the_options_say() -> None:
    assert cli_shared.query(status="held", number="+48 600-100", limit=3, node="desk") == ports.Query(
        status=message.Status.HELD, number="+48600100", limit=3, node="desk"
    )
