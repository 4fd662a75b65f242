"""What doctor knows of the files in dialplan/ is what they say."""

import re
from pathlib import Path

import pytest

from agi_sms import doctor_needs as needs
from tests.unit import extensions

DIALPLAN = Path(__file__).resolve().parents[2] / "dialplan"
ARI_CONF = Path(__file__).resolve().parents[2] / "config" / "asterisk" / "ari.conf"


def steps(path: Path) -> dict[str, list[tuple[int, str, str]]]:
    """The extensions of a file with one context, as Asterisk lists their steps."""
    return steps_of(path.read_text(encoding="utf-8"))


def steps_of(text: str) -> dict[str, list[tuple[int, str, str]]]:
    """The extensions of one context of extensions.conf."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    for one in extensions.read(text):
        found.setdefault(one.exten, []).append((one.number, one.application, one.data))
    return found


@pytest.mark.parametrize("context", needs.SHIPPED)
def test_subroutines_are_those_that_are_shipped(context: str) -> None:
    """Where one has changed, its line in SHIPPED is the one that the failure shows."""
    found = steps(DIALPLAN / f"{context}.conf")
    assert {exten: needs.digest(here) for exten, here in found.items()} == needs.SHIPPED[context]


def said(path: Path) -> list[str]:
    """The words behind `Modules:` in the head of a file."""
    head = path.read_text(encoding="utf-8").split("\n[", 1)[0]
    words = re.search(r"^; Modules: (.*?)(?=\.(?:\s|$)|\n;\n|\n\n)", head, re.MULTILINE | re.DOTALL)
    assert words, path
    return words[1].replace(";", " ").split()


def test_modules_are_those_that_the_heads_name() -> None:
    assert set(said(DIALPLAN / "agi-sms.conf")) == {*needs.MODULES["agi-sms"], *needs.MODULES["ari"]}
    for way in ("agi", "event"):
        text = " ".join(said(DIALPLAN / f"agi-sms-{way}.conf"))
        assert text == f"those of agi-sms.conf, with {needs.MODULES[way][0]} in place of {needs.MODULES['ari'][0]}"


def test_settings_are_those_of_our_examples() -> None:
    text = ARI_CONF.read_text(encoding="utf-8")
    assert f"channelvars = {','.join(needs.CHANNELVARS)}" in text
    written = re.search(r"^websocket_write_timeout = (\d+)$", text, re.MULTILINE)
    assert written
    assert int(written[1]) >= needs.WRITE_TIMEOUT


def test_defaults_are_those_of_the_subroutines() -> None:
    assert needs.AGI_ADDRESS in (DIALPLAN / "agi-sms-agi.conf").read_text(encoding="utf-8")
    assert f"default {needs.WATCHDOG.total_seconds():g}" in (DIALPLAN / "agi-sms.conf").read_text(encoding="utf-8")
