"""What a newcomer runs first: the demo, and the gateway in a container."""

import subprocess
import sys
from pathlib import Path

import pytest

from rig import engine, images

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.asterisk, pytest.mark.timeout(600)]


def test_the_demo_shows_the_sms_and_says_so_by_its_exit_code() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docker/demo/demo.py", "--once"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.split("The call")[1]
    steps = ["SMS stored on disk", "the call went on after", "SMS TeleShop -> +48600100200", "SMS sent", "accepted"]
    places = [told.find(step) for step in steps]
    assert -1 not in places, told
    assert places == sorted(places)


def test_the_gateways_image_checks_the_shipped_configuration() -> None:
    said = engine.docker(
        "run", "--rm", *engine.labels(), "--network", "none", "-v", f"{ROOT / 'config'}:/etc/agi-sms:ro",
        images.gateway(), "check",
    )  # fmt: skip
    assert "agi-sms.yaml: right" in said
