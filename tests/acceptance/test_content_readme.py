"""What the README says of texts from the customer's own system: its server, its node and its check of who asks."""

import collections.abc
import contextlib
import hmac
import pathlib
import re
import subprocess
import sys
import time
from typing import Any

import pytest
from ruamel.yaml import YAML

from rig import ports
from tests.acceptance import flows, shop
from tests.acceptance import lab as labs
from tests.acceptance.flows import CALLER
from tests.acceptance.gateway import wait_for

pytestmark = pytest.mark.asterisk

README = (pathlib.Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
LISTENS = "127.0.0.1:8099"  # in the README's node
NUMBER = "+48221131430"
SECRET = "secret-of-the-shop"

DIALPLAN = f"""
[from-trunk]
exten => {NUMBER},1,Answer()
 same => n,Set(ORDER_ID=${{DB(test/order)}})
 same => n,Gosub(agi-sms,s,1(order-status,var.ORDER_ID=${{URIENCODE(${{ORDER_ID}})}}))
 same => n,Hangup()
"""


def blocks(language: str) -> list[str]:
    """Those of this language in the section."""
    section = re.search(r"^## Text from your own system\n(.*?)(?=^## )", README, re.MULTILINE | re.DOTALL)
    assert section
    found = re.findall(r"^```(\w*)\n(.*?)^```", section.group(1), re.MULTILINE | re.DOTALL)
    return [block for kind, block in found if kind == language]


def nodes(address: str) -> dict[str, Any]:
    """The section's first nodes, that ask this address."""
    example, *_ = blocks("yaml")
    assert LISTENS in example
    found: dict[str, Any] = YAML(typ="safe").load(example.replace(LISTENS, address))["nodes"]
    return found


@contextlib.contextmanager
def example(directory: pathlib.Path, port: int) -> collections.abc.Iterator[None]:
    """The section's server, run as it says, until it listens and until the end."""
    (program,) = blocks("python")
    (directory / "shop.py").write_text(program, encoding="utf-8")
    with subprocess.Popen([sys.executable, "shop.py", str(port)], cwd=directory) as process:
        try:
            wait_for("the example listens", lambda: not ports.is_free(port))
            yield
        finally:
            process.terminate()


def test_server_and_node_work_as_written(lab: labs.Lab, tmp_path: pathlib.Path) -> None:
    """But for the port, which is an argument; the dialplan's line is the README's too, and so are the commands."""
    (gosub,) = re.findall(r"`(Gosub\(agi-sms,s,1\(order-status,[^`]*\))`", README)
    assert gosub in DIALPLAN
    (port,) = ports.free(1)
    gateway = lab.gateway(nodes(f"127.0.0.1:{port}"), **flows.PATIENT)
    with example(tmp_path, port):
        gateway.start()
        for order in ("1235", "7 & 8"):
            flows.put(lab.asterisk, "order", order)
            assert flows.place(lab.asterisk, NUMBER).call.answered
        rows = flows.settled(gateway, 2)
        online = gateway.command("check", "--online")
        (trigger,) = re.findall(r"^agi-sms (trigger .* --dry-run)", "".join(blocks("sh")), re.MULTILINE)
        dry = gateway.command(*trigger.split())
    assert [(row["recipient"], row["status"], row["text"]) for row in rows] == [
        (CALLER, "accepted", "Your order 1235 is waiting for you in Kraków."),
        (CALLER, "accepted", "Your order 7 & 8 is not known to us."),
    ]
    assert online.returncode == dry.returncode == 0, online.stderr + dry.stderr
    assert "Your order" in online.stdout
    assert "Your order 1235 is waiting for you in Kraków." in " ".join(dry.stdout.split())
    assert len(gateway.history()) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_check_of_the_signature(lab: labs.Lab, method: str) -> None:
    """It takes what the gateway signs, and nothing that is changed on the way."""
    (recipe,) = (block for block in blocks("") if "def signed(" in block)
    names: dict[str, Any] = {"hmac": hmac, "time": time}
    exec(recipe, names)
    with shop.Shop({"/sms-text": lambda _: shop.json_({"message": "hello"})}) as where:
        signing = nodes(f"127.0.0.1:{where.port}")
        signing["order-status"]["content"]["api"] |= {"method": method, "sign": {"secret": SECRET}}
        gateway = lab.gateway(signing, **flows.PATIENT).start()
        flows.put(lab.asterisk, "order", "Łódź 7/7")
        assert flows.place(lab.asterisk, NUMBER).call.answered
        (asked,) = where.wait_asked("/sms-text", 1)
        (row,) = flows.settled(gateway, 1)
    assert (asked.told["ORDER_ID"], row["text"]) == ("Łódź 7/7", "hello")
    headers = {name.title(): value for name, value in asked.headers.items()}
    body = asked.body if method == "POST" else asked.raw_query.encode()
    assert names["signed"](headers, body, SECRET)
    assert not names["signed"](headers, body + b" ", SECRET)
    assert not names["signed"](headers, body, SECRET + " ")
    assert not names["signed"](headers | {"Agi-Sms-Timestamp": "1"}, body, SECRET)
