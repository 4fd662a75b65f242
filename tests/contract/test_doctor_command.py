"""`agi-sms doctor` as it is typed, and how long it waits for whom."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agi_sms import cli, clock, config, doctor, doctor_ask
from agi_sms import doctor_facts as facts
from agi_sms.asterisk import survey_ami
from agi_sms.outbox import health, sqlite
from tests.contract import peer, test_reach
from tests.unit import wellness

pytestmark = pytest.mark.usefixtures("own_logging")

RIGHT, WARNINGS, ERRORS = 0, 1, 2
HOLDER = """
import asyncio, pathlib, sys
from agi_sms import clock
from agi_sms.outbox import sqlite

async def main():
    box = await sqlite.SqliteOutbox.open(pathlib.Path(sys.argv[1]), clock=clock.now, owner=True)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await box.close()

asyncio.run(main())
"""
HANGING = """
import asyncio, time
from agi_sms import doctor_ask

async def main():
    asyncio.get_running_loop().set_default_executor(doctor_ask.Threads())
    hanging = asyncio.create_task(asyncio.to_thread(time.sleep, 600))
    assert await asyncio.to_thread(sum, [1, 2]) == 3
    try:
        await asyncio.to_thread(int, "x")
    except ValueError:
        print("raised")
    hanging.cancel()

asyncio.run(main())
print("ended")
"""


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def pbx(ari: int, ami: int) -> dict[str, Any]:
    return {
        "ari": wellness.PBX["ari"] | {"url": f"http://127.0.0.1:{ari}"},
        "ami": wellness.PBX["ami"] | {"port": ami},
    }


def configured(folder: Path, **more: Any) -> Path:
    """One that asks nobody outside this machine."""
    tree = {
        "pbx": {"main": pbx(closed_port(), closed_port())},
        "providers": {"file": {"type": "file", "path": "sent.jsonl"}},
        "routes": {"default": ["file"]},
    }
    return wellness.written(folder, **(tree | more))


def run(path: Path, *words: str, code: int, answer: str | None = None) -> Result:
    result = CliRunner().invoke(cli.main, ["doctor", "--config", str(path), *words], input=answer)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def rows(path: Path, *words: str, code: int, answer: str | None = None) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(run(path, "--json", *words, code=code, answer=answer).stdout)
    return found


def bad(found: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(row["id"], row["severity"]) for row in found if row["severity"] != "ok"}


# --- the command --------------------------------------------------------------------------------------------------


def test_screen_and_json_say_the_same(tmp_path: Path) -> None:
    path = configured(tmp_path)
    found = rows(path, code=ERRORS)
    assert bad(found) == {("gateway.runs", "warning"), ("ari.reach", "error"), ("ami.reach", "error")}
    said = run(path, code=ERRORS).stdout
    for row in found:
        assert row["area"] in said
        assert row["what"].split()[0] in said
    assert said.splitlines()[-1].startswith("2 errors, 1 warning, ")
    assert said.count("cannot connect: Connection refused") == 2


def test_nothing_is_made_or_changed(tmp_path: Path) -> None:
    path = configured(tmp_path)
    before = sorted(tmp_path.iterdir())
    run(path, code=ERRORS)
    assert sorted(tmp_path.iterdir()) == before


def test_without_a_pbx_and_with_what_is_known_of(tmp_path: Path) -> None:
    path = configured(tmp_path, pbx={}, nodes={})
    told = {row["id"] for row in rows(path, code=WARNINGS) if row["severity"] == "warning"}
    assert told == {"gateway.runs", "configuration.warning"}
    words = [word for one in told for word in ("--ignore", one)]
    assert bad(rows(path, *words, code=RIGHT)) == set()


def test_gateway_runs(tmp_path: Path) -> None:
    """As far as its lock says."""
    path = configured(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "box.db"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        found = rows(path, code=ERRORS)
        assert [row["what"] for row in found if row["id"] == "gateway.runs"] == [f"runs (pid {holder.pid})"]
        assert ("database.schema", "ok") in {(row["id"], row["severity"]) for row in found}
        holder.communicate(b"")


def test_configuration_with_mistakes(tmp_path: Path) -> None:
    """They are told as `check` tells them, and what stands is asked."""
    path = configured(tmp_path, nodes={"desk": wellness.NODE, "night": wellness.NODE | {"dealy": "5s"}})
    found = rows(path, code=ERRORS)
    (mistake,) = [row for row in found if row["id"] == "configuration.mistake"]
    checked = CliRunner().invoke(cli.main, ["check", "--config", str(path)])
    assert mistake["what"] in checked.output
    assert "dealy" in mistake["what"]
    assert ("ari.reach", "error") in bad(found)
    assert "database.fsync" in {row["id"] for row in found}


def test_no_configuration(tmp_path: Path) -> None:
    (row,) = rows(tmp_path / "none.yaml", code=ERRORS)
    assert (row["id"], "no such file" in row["what"]) == ("configuration.mistake", True)


def test_saved_dialplan(tmp_path: Path) -> None:
    path = configured(tmp_path)
    text = wellness.listing("[t]\nexten => 1,1,Gosub(agi-sms,s,1(dsek))\n")
    (row,) = [
        row for row in rows(path, "--from", "-", code=ERRORS, answer=text) if row["id"] == "dialplan.node_unknown"
    ]
    assert (row["about"], "did you mean desk?" in row["mend"]) == ("main", True)
    (tmp_path / "plan.txt").write_text("Asterisk is not running\n")
    assert "dialplan show" in run(path, "--from", str(tmp_path / "plan.txt"), code=ERRORS).output


def test_one_pbx_of_several(tmp_path: Path) -> None:
    both = {name: pbx(closed_port(), closed_port()) for name in ("main", "far")}
    path = configured(tmp_path, pbx=both)
    assert {row["area"] for row in rows(path, code=ERRORS)} >= {"pbx main", "pbx far"}
    assert "pbx main" not in {row["area"] for row in rows(path, "--pbx", "far", code=ERRORS)}
    assert "there are: far, main" in run(path, "--pbx", "none", code=ERRORS).output
    assert "say which with --pbx" in run(path, "--from", "-", code=ERRORS, answer="").output


def test_what_cannot_be_ignored(tmp_path: Path) -> None:
    said = run(configured(tmp_path), "--ignore", "ari.rech", code=ERRORS).output
    assert "there is no finding 'ari.rech'; did you mean ari.reach?" in said


def test_ids_are_completed() -> None:
    environment = {
        "_AGI_SMS_COMPLETE": "bash_complete",
        "COMP_WORDS": "agi-sms doctor --ignore ari.co",
        "COMP_CWORD": "3",
    }
    done = CliRunner().invoke(cli.main, prog_name="agi-sms", env=environment)
    assert re.findall(r"plain,(\S+)", done.output) == [one for one in doctor.IDS if one.startswith("ari.co")]


# --- who waits for whom -------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_ask, "PATIENCE", timedelta(milliseconds=300))
    monkeypatch.setattr(doctor_ask, "SECONDS", 0.3)
    monkeypatch.setattr(doctor_ask, "DEADLINE", 1.5)


async def examined(path: Path, heard: list[frozenset[str]] | None = None) -> facts.Facts:
    loaded, mistakes = config.examined(path, {})
    assert loaded is not None
    told = facts.Configuration(path=path, mistakes=mistakes)
    tell = (heard if heard is not None else []).append
    async with asyncio.timeout(20):
        return await doctor_ask.examine(loaded, told, pbxs=loaded.settings.pbx, plans={}, tell=tell)


async def test_everybody_hangs(tmp_path: Path, quick: None) -> None:
    """Each is told of, the others are not kept waiting, and it ends."""
    async with peer.running(peer.silence()) as other:
        company = wellness.COMPANY | {"url": f"https://127.0.0.1:{other.port}/send"}
        path = configured(
            tmp_path,
            pbx={"main": pbx(other.port, other.port)},
            providers={"company": company, "file": {"type": "file", "path": "sent.jsonl"}},
            routes={"default": ["company", "file"]},
            receipts={"public_url": other.url},
        )
        heard: list[frozenset[str]] = []
        found = await examined(path, heard)
    (one,) = found.pbxs
    assert one.ari is not None
    assert one.ari.trouble is not None
    assert one.ari.trouble.code == "timeout"
    assert one.ami is not None
    assert one.ami.trouble is not None
    assert one.plan is None
    assert one.plan_trouble
    assert found.providers is not None
    assert found.providers["company"][0].trouble is not None
    assert found.providers["file"][0].trouble is None
    assert found.public is not None
    assert found.public.trouble is not None
    assert found.database is not None
    assert found.database.fsync is not None
    assert {"ARI of main", "AMI of main", "provider company", "public_url"} <= heard[0]
    assert heard[-1] == frozenset()


async def test_one_that_keeps_no_deadline(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def for_ever(*_: object, **__: object) -> facts.Ami:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(survey_ami, "ask", for_ever)
    found = await examined(configured(tmp_path))
    (one,) = found.pbxs
    assert one.ami is not None
    assert one.ami.trouble is not None
    assert one.ami.trouble.code == "timeout"
    assert one.ari is not None
    assert one.ari.trouble is not None
    assert one.ari.trouble.code == "connect"


async def test_provider_whose_certificate_has_ended(tmp_path: Path) -> None:
    chain = test_reach.certificate(tmp_path, ends=clock.now() - timedelta(days=1))
    async with test_reach.listening(chain=chain, refused=True) as (port, _):
        company = wellness.COMPANY | {"url": f"https://127.0.0.1:{port}/send", "ca_file": str(chain)}
        path = configured(tmp_path, pbx={}, providers={"company": company}, routes={"default": ["company"]})
        found = await examined(path)
    loaded = config.load(path, {})
    (one,) = [one for one in doctor.findings(loaded, found) if one.id == "provider.reach"]
    assert one.severity == "error"
    assert "certificate has expired" in one.what
    assert "openssl s_client -connect 127.0.0.1" in one.mend


async def test_systems_that_are_asked_for_texts(tmp_path: Path) -> None:
    """Each is connected to once, however many nodes ask it, and hears nothing."""
    closed = closed_port()
    async with test_reach.listening() as (port, came):
        apis = {
            "a": f"http://127.0.0.1:{port}/a?x=1",
            "b": f"http://127.0.0.1:{port}/b",
            "c": f"http://127.0.0.1:{closed}/",
        }
        nodes = {name: wellness.NODE | {"content": {"api": {"url": url}}} for name, url in apis.items()}
        path = configured(tmp_path, pbx={}, nodes=nodes)
        found = await examined(path)
    assert came == b""
    told = [one for one in doctor.findings(config.load(path, {}), found) if one.id == "content.reach"]
    assert [(one.severity, one.what) for one in told] == [
        ("ok", f"127.0.0.1:{port} reached, for a, b"),
        ("error", f"c: 127.0.0.1:{closed}: cannot connect: Connection refused"),
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system is mounted, which only root may")
@pytest.mark.parametrize(("options", "words"), [("size=64k", "the disk is full"), ("ro", "read-only")])
def test_folder_that_takes_nothing(tmp_path: Path, options: str, words: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.check_call(["mount", "-t", "tmpfs", "-o", options, "agi-sms-test", disk])
    try:
        if options != "ro":
            with (disk / "filling").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free)
        before = sorted(disk.iterdir())
        found = rows(configured(tmp_path, pbx={}, database=str(disk / "box.db")), code=ERRORS)
        (row,) = [row for row in found if row["id"] == "database.folder"]
        assert (row["severity"], words in row["what"]) == ("error", True)
        assert sorted(disk.iterdir()) == before
    finally:
        subprocess.check_call(["umount", "-l", disk])


async def test_disk_that_hangs(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    monkeypatch.setattr(sqlite, "owner_pid", lambda _: free.wait(60) and None)
    monkeypatch.setattr(health, "examine", lambda *_: free.wait(60))
    try:
        found = await examined(configured(tmp_path))
    finally:
        free.set()
    assert found.gateway is not None
    assert not found.gateway.told
    assert found.database is not None
    assert found.database.trouble is not None
    assert found.database.trouble.code == "timeout"


def test_threads_that_hang_keep_nobody_from_ending() -> None:
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["raised", "ended"]


async def test_now_is_now(tmp_path: Path, quick: None) -> None:
    found = await examined(configured(tmp_path))
    assert abs(found.now - clock.now()) < timedelta(minutes=1)
