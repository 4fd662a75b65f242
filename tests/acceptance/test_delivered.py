"""From the trigger to the receipt: the real command line, Kannel over HTTP and an SMSC over SMPP."""

import collections.abc
import pathlib
import types
import typing
import urllib.error
import urllib.request

import pytest

from rig import asterisk, kannel, ports, smsc
from tests.acceptance import gateway

pytestmark = [pytest.mark.asterisk, pytest.mark.timeout(600)]

NOBODY = typing.cast(
    asterisk.Asterisk,
    types.SimpleNamespace(
        ari_url="http://127.0.0.1:9", ari_user="x", ari_password="x",
        ami_host="127.0.0.1", ami_port=9, ami_user="x", ami_secret="x",
    ),
)  # fmt: skip
TEXT = "Zażółć gęślą jaźń. " * 8  # three segments
TOKEN = "rand0m-w0rd"


@pytest.fixture(scope="module")
def company() -> collections.abc.Iterator[kannel.Kannel]:
    with kannel.Kannel() as running:
        yield running


@pytest.fixture(scope="module")
def carrier() -> collections.abc.Iterator[smsc.Smsc]:
    with smsc.Smsc() as running:
        yield running


class Node:
    """A gateway with the two providers, and a node for each."""

    def __init__(self, directory: pathlib.Path, company: kannel.Kannel, carrier: smsc.Smsc) -> None:
        [self.port] = ports.free(1)
        content = {"text": TEXT}
        both = {"sender": "ACME", "send_to_caller": True, "content": content, "max_segments": 9}
        self.gateway = gateway.Gateway(
            directory,
            NOBODY,
            {"by-http": {**both, "route": "company"}, "by-smpp": {**both, "route": "carrier"}},
            providers={
                "company": {
                    "type": "http",
                    "profile": "kannel",
                    "url": company.url,
                    "secret": {"username": company.username, "password": company.password, "receipt_token": TOKEN},
                    "price": {"default": "0.05", "PL": "0.03", "currency": "EUR"},
                },
                "carrier": {
                    "type": "smpp",
                    "host": "127.0.0.1",
                    "port": carrier.port,
                    "system_id": "acme",
                    "password": "s3cret",
                },
            },
            receipts={"listen": f"127.0.0.1:{self.port}", "public_url": f"http://127.0.0.1:{self.port}"},
        )

    def send(self, node: str, caller: str = "+48600100200") -> str:
        """Make one message; its id."""
        done = self.gateway.command("trigger", node, "--caller", caller)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[0]

    def comes_to(self, message_id: str, status: str) -> dict[str, typing.Any]:
        """Its row of the history, once it stands so."""

        def row() -> dict[str, typing.Any]:
            return next(one for one in self.gateway.history() if one["id"] == message_id)

        gateway.wait_for(f"{message_id} is {status}", lambda: row()["status"] == status, deadline=60)
        return row()

    def report(self, path: str) -> int:
        """What the port for receipts answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture
def node(tmp_path: pathlib.Path, company: kannel.Kannel, carrier: smsc.Smsc) -> collections.abc.Iterator[Node]:
    carrier.behave(bind_status=0, silent=[], statuses=[], delay_ms=0, cut_after=0, receipts=[smsc.receipt(after_ms=50)])
    made = Node(tmp_path / "gateway", company, carrier)
    try:
        made.gateway.start(connected=False)
        yield made
    finally:
        made.gateway.stop()


def test_kannel_reports_over_http_that_the_phone_has_it(node: Node) -> None:
    sent = node.send("by-http")
    node.comes_to(sent, "delivered")
    story = node.gateway.command("explain", sent).stdout
    assert "delivered" in story
    assert "0.09 EUR" in story  # three segments to Poland
    assert TOKEN not in node.gateway.said() + story
    assert "600100200" not in node.gateway.said()


def test_an_smsc_reports_each_segment(node: Node) -> None:
    sent = node.send("by-smpp")
    node.comes_to(sent, "delivered")
    story = node.gateway.command("explain", sent).stdout
    assert story.count("delivered") >= 3


def test_receipts_that_come_while_the_gateway_is_down_are_not_lost(node: Node, carrier: smsc.Smsc) -> None:
    carrier.behave(receipts=[smsc.receipt(after_ms=8000)])  # time enough for a command to see it accepted
    sent = node.send("by-smpp")
    node.comes_to(sent, "accepted")
    node.gateway.kill()
    node.gateway.start(connected=False)
    node.comes_to(sent, "delivered")


def test_a_stranger_settles_nothing(node: Node) -> None:
    assert node.report("/receipts/company/wrong?type=1&ref=x") == 403
    assert node.report("/receipts/nobody") == 403
    assert node.report("/") == 404
