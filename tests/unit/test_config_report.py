"""The report of `agi-sms check`."""

from pathlib import Path

import pytest

from agi_sms import config

MAIN = """\
pbx:
  main:
    ari: {url: "http://127.0.0.1:8088", username: gw, password: "${ARI_PASSWORD:-x}"}
    ami: {username: gw, secret: "${AMI_SECRET:-x}"}
"""
INFO = """\
info:
  description: All there is
  sender: ACME
  delay: 30s
  recipients: "+48221131415"
  send_to_caller: true
  content: {template: order}
  limits: {per_recipient: 3/1d, per_node: 1/1h}
"""
ORDER = "Hello {{ caller }}, order {{ ORDER }}\nBye"


def loaded(folder: Path) -> config.Config:
    (folder / "agi-sms.yaml").write_text(MAIN)
    for name, body in (("nodes.d/a.yaml", INFO), ("templates.d/order.txt", ORDER)):
        (folder / name).parent.mkdir()
        (folder / name).write_text(body)
    return config.load(folder / "agi-sms.yaml", {})


def test_the_report_is_brief(tmp_path: Path) -> None:
    lines = config.format_report(loaded(tmp_path)).splitlines()
    assert lines[0] == f"{tmp_path}/agi-sms.yaml: right"
    assert lines[1] == "  1 node, 1 provider (print), 1 pbx (main), 1 template"
    assert lines[4].split() == ["NODE", "SENDER", "DELAY", "TO", "TEXT", "ROUTE"]
    columns = [cell.strip() for cell in lines[5].split("  ") if cell]
    text = "1 segment gsm7: Hello +48601234567, order 12345 Bye"
    assert columns == ["info", "ACME", "30s", "1 number + caller", text, "print"]
    assert lines[-2] == "1 warning:"
    assert "is a landline" in lines[-1]


def test_the_verbose_report_says_what_the_dialplan_must_set(tmp_path: Path) -> None:
    lines = config.format_report(loaded(tmp_path), verbose=True).splitlines()
    story = lines[lines.index(f"info  ({tmp_path}/nodes.d/a.yaml:1: info)") :]
    assert story[1:-3] == [
        "  description  All there is",
        "  recipient    +48221131415",
        "  callers      mobiles of PL",
        "  template     order",
        "  options      send_to_caller, max_segments 6",
        "  limit        3 messages in 1d for each recipient",
        "  limit        1 message in 1h in all",
        "  variables    ORDER  (the dialplan hands them over as var.NAME=)",
        "  units        35, 125 left in the last segment",
        "  text         Hello +48601234567, order 12345",
        "               Bye",
    ]


@pytest.mark.parametrize(
    ("written", "told", "taken"),
    [
        ("", "mobiles of PL", {"PL"}),
        ("  caller_countries: any\n", "mobiles of any country", {"NO", "PL", "SE"}),
        ("  caller_countries: [NO, SE]\n", "mobiles of NO, SE", {"NO", "SE"}),
    ],
)
def test_whose_callers_get_one(tmp_path: Path, written: str, told: str, taken: set[str]) -> None:
    (tmp_path / "agi-sms.yaml").write_text(
        f"{MAIN}nodes:\n a:\n  send_to_caller: true\n{written}  content: {{text: A}}\n"
    )
    found = config.load(tmp_path / "agi-sms.yaml", {})
    assert f"  callers      {told}" in config.format_report(found, verbose=True).splitlines()
    assert {region for region in ("NO", "PL", "SE") if found.nodes["a"].serves(region)} == taken
