"""`agi-sms flow`, as an operator types it: what it prints, where, and its exit codes."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agi_sms import cli
from tests.contract import fake_ami, test_survey

DONE, NOT_DONE, MISTAKES = 0, 1, 2
DATA = Path(__file__).resolve().parents[1] / "data" / "dialplan"
COMPANY = str(DATA / "company.txt")
TREE: dict[str, Any] = {
    "database": "box.db",
    "nodes": {
        "company-info": {"sender": "ACME", "send_to_caller": True, "content": {"text": "ACME, Krakow"}},
        "bare-agi": {"send_to_caller": True, "content": {"text": "x"}},
    },
}


class Shell:
    """A folder with a configuration, and the command on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "agi-sms.yaml"
        self.write()

    def write(self, **more: Any) -> None:
        self.config.write_text(json.dumps(TREE | more), encoding="utf-8")

    def __call__(self, *words: str, code: int = DONE, given: str | None = None) -> Result:
        result = CliRunner().invoke(cli.main, ("flow", *words), env={"AGI_SMS_CONFIG": str(self.config)}, input=given)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def complete(self, *words: str) -> list[str]:
        """What bash is told."""
        asked = {
            "_AGI_SMS_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("agi-sms", "flow", *words)),
            "COMP_CWORD": str(len(words) + 1),
            "AGI_SMS_CONFIG": str(self.config),
        }
        program = Path(sys.executable).with_name("agi-sms")
        told = subprocess.run([program], env=os.environ | asked, capture_output=True, text=True, check=False)
        assert told.stderr == ""
        return [line.removeprefix("plain,") for line in told.stdout.splitlines() if line]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


# --- from a file --------------------------------------------------------------------------------------------------


def test_mermaid_goes_to_the_terminal(shell: Shell) -> None:
    told = shell("announcement", "--from", COMPANY)
    assert told.stdout.startswith("flowchart TD\n")
    assert "✉ company-info<br/>from ACME, at once<br/>to caller<br/>“ACME, Krakow”" in told.stdout
    assert told.stderr == ""


def test_a_listing_out_of_a_pipe(shell: Shell) -> None:
    assert (
        "company-info" in shell("announcement", "--from", "-", given=Path(COMPANY).read_text(encoding="utf-8")).stdout
    )


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (("--output", "flow.svg"), "<?xml"),
        (("--output", "flow.mmd"), "flowchart"),
        (("--output", "flow.txt", "--format", "svg"), "<?xml"),
        (("--output", "flow.svg", "--format", "mermaid"), "flowchart"),
    ],
)
def test_a_file_is_written_as_its_name_or_the_format_says(shell: Shell, words: tuple[str, ...], begins: str) -> None:
    path = shell.folder / words[1]
    told = shell("announcement", "--from", COMPANY, "--output", str(path), *words[2:])
    assert path.read_text(encoding="utf-8").startswith(begins)
    assert told.stdout == f"{path}: 1 SMS node\n"


def test_nodes_that_are_not_configured_are_said_beside_the_drawing(shell: Shell) -> None:
    told = shell("on-call", "--from", COMPANY)
    assert "on-call,s,3 (extensions_test.conf:91) enters wake-up, which the configuration does not have" in told.stderr
    assert "warning" not in told.stdout


def test_a_bare_agi_counts_where_the_gateway_listens(shell: Shell) -> None:
    off = shell("calls", "--exten", "bare", "--from", str(DATA / "syntax.txt"))
    assert "✉ bare-agi<br/>the configuration has no agi" in off.stdout
    assert "enters bare-agi, and the configuration has no agi" in off.stderr
    shell.write(agi={"listen": "127.0.0.1:4573"}, pbx={"main": {"addresses": "127.0.0.1"}})
    told = shell("calls", "--exten", "bare", "--from", str(DATA / "syntax.txt")).stdout
    assert "✉ bare-agi<br/>at once" in told
    assert "✉ bare-stasis" in told


def test_the_stasis_application_is_the_pbxs(shell: Shell) -> None:
    ari = {"url": "http://127.0.0.1:8088", "username": "u", "password": "p", "app": "other-app"}
    shell.write(pbx={"main": {"ari": ari}})
    told = shell("calls", "--exten", "bare", "--from", str(DATA / "syntax.txt"))
    assert "✉ not-a-node" in told.stdout
    assert "✉ bare-stasis" not in told.stdout


def test_depth_and_extension(shell: Shell) -> None:
    told = shell("from-trunk", "--exten", "+48221131415", "--depth", "0", "--from", COMPANY).stdout
    assert "…" in told
    assert "hours,s" in told
    assert "on-call" not in told


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("anouncement", "--from", COMPANY), MISTAKES, "no context 'anouncement'; near it: announcement"),
        (("menu", "--exten", "7", "--from", COMPANY), MISTAKES, "menu has no extension '7'"),
        (("menu", "--from", str(DATA / "company.conf")), MISTAKES, "not what `dialplan show` prints"),
        (("menu", "--from", "no-such-file"), MISTAKES, "No such file"),
        (("menu", "--depth", "-1", "--from", COMPANY), MISTAKES, "0<=x<=100"),
        (("menu", "--pbx", "other", "--from", COMPANY), MISTAKES, "no pbx 'other'; there are: none"),
        (("menu",), MISTAKES, "no pbx is configured"),
        (("menu", "--output", "/no/such/folder/x.svg", "--from", COMPANY), NOT_DONE, "cannot be written"),
    ],
)
def test_mistakes_are_said_and_have_their_exit_codes(
    shell: Shell, words: tuple[str, ...], code: int, said: str
) -> None:
    told = shell(*words, code=code)
    assert said in told.output
    assert "Traceback" not in told.output


def test_half_a_listing_is_drawn_with_a_warning(shell: Shell) -> None:
    half = Path(COMPANY).read_text(encoding="utf-8")
    told = shell("announcement", "--from", "-", given=half[: half.index("-= ")])
    assert "warning: the dialplan was not told whole" in told.stderr
    assert "company-info" in told.stdout


def test_hostile_bytes_in_a_listing_reach_no_terminal(shell: Shell) -> None:
    text = "[ Context 'a' created by 'pbx_config' ]\n  's' =>            1. Playback(\x1b]0;x\x07\u202e)  [a.conf:1]\n"
    told = shell("a", "--from", "-", given=text)
    assert not set("\x1b\x07\u202e") & set(told.output)
    told = shell("\x1b[31mb", "--from", "-", code=MISTAKES, given=text)
    assert "\x1b" not in told.output


def test_hostile_names_in_warnings_reach_no_terminal(shell: Shell) -> None:
    text = "[ Context 'a\x1b]0;x\x07' created by 'pbx_config' ]\n"
    text += "  's' =>            1. GotoIf(${X}?gone\x1b]0;y,s,1)  [a.conf:1]\n"
    text += "                    2. Gosub(agi-sms,s,1(nob\x1b]0;zody))  [\u202ea.conf:2]\n"
    told = shell("a\x1b]0;x\x07", "--from", "-", given=text)
    assert "enters nob\\x1b]0;zody" in told.stderr
    assert "goes on at gone\\x1b]0;y" in told.stderr
    refused = shell("a\x1b]0;x\x07", "--exten", "7", "--from", "-", code=MISTAKES, given=text)
    assert "has no extension '7'" in refused.stderr
    assert not set("\x1b\x07\u202e") & set(told.output + refused.output)


def test_what_is_too_much_is_said(shell: Shell) -> None:
    rows = "".join(f"  '{at}' =>   1. Background(x,,,a)   [a.conf:1]\n" for at in range(10))
    text = "".join(
        f"[ Context 'c{at}' created by 'pbx_config' ]\n"
        + "".join(f"  '{key}' =>   1. Background(x,,,c{at + key})   [a.conf:1]\n" for key in range(10))
        for at in range(100)
    )
    told = shell("c0", "--from", "-", "--depth", "100", given=text)
    assert "this is too much to draw: not all ways are followed; --exten or a smaller --depth draws less" in told.stderr
    small = shell("a", "--from", "-", given=f"[ Context 'a' created by 'pbx_config' ]\n{rows}")
    assert "too much" not in small.stderr


# --- from Asterisk ------------------------------------------------------------------------------------------------


async def asked(shell: Shell, fake: fake_ami.FakeAmi, *words: str, code: int = DONE) -> Result:
    """The command against an AMI; both run at once."""
    ami = {"port": fake.port, "username": fake_ami.USER, "secret": fake_ami.SECRET, "timeout": "5s"}
    shell.write(pbx={"quiet": {"addresses": "192.0.2.1"}, "main": {"ami": ami}}, agi={"listen": "127.0.0.1:4573"})
    return await asyncio.to_thread(shell, *words, code=code)


async def test_the_first_pbx_with_ami_is_asked(shell: Shell) -> None:
    async with fake_ami.running(answers={"Command": test_survey.printed}) as fake:
        told = await asked(shell, fake, "calls", "--exten", "bare")
    assert "✉ bare-agi" in told.stdout
    assert len(fake.done("Command")) == 1


async def test_a_pbx_without_ami_cannot_be_asked(shell: Shell) -> None:
    async with fake_ami.running() as fake:
        told = await asked(shell, fake, "calls", "--pbx", "quiet", code=MISTAKES)
    assert "pbx quiet has no ami" in told.output
    assert 'asterisk -rx "dialplan show" > FILE' in told.output


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"password": "another"}, "Authentication failed"),
        ({"cut": {"Command"}}, "closed the connection"),
        ({"answers": {"Command": fake_ami.DENIED, "ShowDialPlan": fake_ami.DENIED}}, "write = system,command"),
    ],
)
async def test_what_the_pbx_refuses_is_said_with_the_way_out(shell: Shell, fault: dict[str, Any], said: str) -> None:
    async with fake_ami.running(**fault) as fake:
        told = await asked(shell, fake, "calls", code=NOT_DONE)
    assert said in told.output
    assert "pbx main: " in told.output
    assert "--from FILE" in told.output
    assert fake_ami.SECRET not in told.output


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", ": cannot connect: Connection refused; does Asterisk run? agi-sms doctor says more"),
        ("pbx.invalid", ": the name pbx.invalid does not resolve"),
    ],
)
async def test_an_asterisk_that_is_down_is_said_in_words(shell: Shell, host: str, said: str) -> None:
    async with fake_ami.running() as fake:
        port = fake.port
    ami = {"host": host, "port": port, "username": "u", "secret": "s"}
    shell.write(pbx={"main": {"ami": ami}})
    told = await asyncio.to_thread(shell, "calls", code=NOT_DONE)
    assert f"pbx main: AMI at {host}:{port}{said}" in told.output
    assert "--from FILE" in told.output
    assert "Errno" not in told.output


# --- completion ---------------------------------------------------------------------------------------------------


async def test_completion_knows_contexts_and_pbxs(shell: Shell) -> None:
    assert await asyncio.to_thread(shell.complete, "--from", COMPANY, "hou") == ["hours"]
    assert await asyncio.to_thread(shell.complete, "") == []  # no pbx: silent
    async with fake_ami.running(answers={"Command": test_survey.printed}) as fake:
        await asked(shell, fake, "calls")
        assert await asyncio.to_thread(shell.complete, "--pbx", "m") == ["main"]
        assert await asyncio.to_thread(shell.complete, "list") == ["listing-night", "listing-more", "listing"]
