"""The peers that providers are tested against: each starts, answers a plain client, stops, and leaves nothing."""

import base64
import collections.abc
import contextlib
import http.server
import json
import pathlib
import queue
import ssl
import subprocess
import sys
import threading
import typing
import urllib.error
import urllib.parse
import urllib.request

import pytest

from rig import engine, errors, images, kannel, peers, prism, smsc, smsd
from tests.acceptance import esme, gateway
from tests.contract import peer

pytestmark = [pytest.mark.asterisk, pytest.mark.timeout(900)]  # the first one may have to build the image


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(pytestconfig: pytest.Config) -> collections.abc.Iterator[None]:
    """Build the image before the tests, showing how it goes; look for containers after them."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        engine.require()
        images.peers()
    yield
    ours = tuple(f"agi-sms-{name}-" for name in ("smsc", "kannel", "prism", "smsd", "luckless"))
    assert not [name for name in containers() if name.startswith(ours)]


def containers() -> list[str]:
    """Those of this process."""
    owner = engine.labels()[3]
    return engine.docker("ps", "-a", "--filter", f"label={owner}", "--format", "{{.Names}}").split()


# --- SMPP ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one_smsc(nothing_is_left: None) -> collections.abc.Iterator[smsc.Smsc]:
    with smsc.Smsc() as running:
        yield running


@pytest.fixture
def center(one_smsc: smsc.Smsc) -> smsc.Smsc:
    one_smsc.reset()
    return one_smsc


def test_an_smsc_takes_messages_and_writes_down_what_it_got(center: smsc.Smsc) -> None:
    with esme.Esme(center) as client:
        assert client.bind().status == 0
        header = bytes.fromhex("050003070201")
        sequence = client.submit(header + "Zażółć😀".encode("utf-16-be"), esm_class=0x40, coding=8)
        answer = client.read()
        assert (answer.command, answer.status, answer.sequence) == (esme.SUBMIT | esme.RESPONSE, 0, sequence)
        client.submit(b"euro \x1be", receipt=0)
        assert client.read().body != answer.body, "every message has its own id"
        client.send(esme.ENQUIRE)
        assert client.read().command == esme.ENQUIRE | esme.RESPONSE
        client.send(esme.UNBIND)
        assert client.read().command == esme.UNBIND | esme.RESPONSE
        with pytest.raises(EOFError):
            client.read()
    long, short = center.wait(2, "submit_sm")
    bound = center.events("bind")[0]
    assert (bound["command"], bound["system_id"], bound["interface_version"]) == ("bind_transceiver", "gateway", 0x34)
    assert (long["source_addr"], long["source_addr_ton"], long["source_addr_npi"]) == ("ACME", 5, 0)
    assert (long["destination_addr"], long["dest_addr_ton"], long["dest_addr_npi"]) == ("48600100200", 1, 1)
    assert (long["esm_class"], long["data_coding"], long["registered_delivery"]) == (0x40, 8, 1)
    assert long["sequence_number"] == sequence
    assert long["udh"] == ["0003070201"]
    assert long["bytes"] == (header + "Zażółć😀".encode("utf-16-be")).hex()
    assert long["text"] == "Zażółć😀"
    assert (short["udh"], short["text"], short["bytes"]) == ([], "euro €", b"euro \x1be".hex())


@pytest.mark.parametrize("form", ["text", "tlv", "both"])
def test_an_smsc_sends_receipts_in_every_form(center: smsc.Smsc, form: typing.Literal["text", "tlv", "both"]) -> None:
    first, second = smsc.receipt("ENROUTE", form=form), smsc.receipt("UNDELIV", form=form, err="069", after_ms=20)
    center.behave(receipts=[first, second])
    with esme.Esme(center) as client:
        client.bind()
        client.submit(receipt=0)
        client.read()
        client.submit()
        identity = client.read().body.rstrip(b"\0")
        for stat, state in ((b"ENROUTE", 1), (b"UNDELIV", 5)):
            esm_class, text, tlvs = client.read().message()
            assert esm_class == 4
            if form != "tlv":
                assert text.startswith(b"id:" + identity + b" sub:001 dlvrd:000 submit date:")
                assert b" stat:" + stat + b" err:" in text
            else:
                assert text == b""
            if form != "text":
                assert (tlvs[esme.RECEIPTED_ID].rstrip(b"\0"), tlvs[esme.MESSAGE_STATE]) == (identity, bytes((state,)))
            else:
                assert tlvs == {}
    center.wait(2, "deliver_sm_resp")


def test_a_receipt_can_come_before_the_answer_in_another_base_and_with_an_odd_text(center: smsc.Smsc) -> None:
    odd = smsc.receipt(before_answer=True, form="text", text="id:{id} stat:DELIVRD err:0x1f done date:{date}59")
    center.behave(receipts=[odd], id_bases=[16, 10])
    with esme.Esme(center) as client:
        client.bind()
        client.submit()
        receipt, answer = client.read(), client.read()
    assert (receipt.command, answer.command) == (esme.DELIVER, esme.SUBMIT | esme.RESPONSE)
    identity = int(answer.body.rstrip(b"\0"), 16)
    assert receipt.message()[1].startswith(b"id:%d stat:DELIVRD err:0x1f done date:" % identity)


def test_an_smsc_refuses_binds_and_submissions(center: smsc.Smsc) -> None:
    center.behave(bind_status=smsc.BIND_FAILED)
    with esme.Esme(center) as client:
        assert client.bind().status == smsc.BIND_FAILED
        with pytest.raises(EOFError):
            client.read()
    center.behave(bind_status=0, statuses=[smsc.THROTTLED, smsc.THROTTLED, 0x400])
    with esme.Esme(center) as client:
        client.submit()
        assert client.read().status == 0x04, "not bound"
        client.bind()
        for status in (smsc.THROTTLED, smsc.THROTTLED, 0x400, 0):
            client.submit()
            assert client.read().status == status


def test_an_smsc_keeps_silent_and_cuts_the_connection_in_mid_window(center: smsc.Smsc) -> None:
    center.behave(silent=["submit_sm"])
    with esme.Esme(center) as client:
        client.bind()
        client.submit()
        client.send(esme.ENQUIRE)
        assert client.read().command == esme.ENQUIRE | esme.RESPONSE, "the submission has no answer"
        center.behave(silent=[], cut_after=3)
        for _ in range(3):
            client.submit()
        with pytest.raises(EOFError):
            client.read()
    assert len(center.wait(4, "submit_sm")) == 4
    assert center.events("submit_sm_resp") == []
    with esme.Esme(center) as client:
        assert client.bind().status == 0
        client.submit()
        assert client.read().status == 0
        center.cut()
        with pytest.raises(EOFError):
            client.read()


def test_receipts_wait_for_the_next_bind_also_those_that_nobody_expects(center: smsc.Smsc) -> None:
    center.deliver("id:unknown stat:DELIVRD", source_addr="48600100200", destination_addr="ACME")
    with esme.Esme(center) as client:
        client.bind()
        assert client.read().message()[1] == b"id:unknown stat:DELIVRD"


def test_an_smsc_over_tls_only() -> None:
    context = ssl.create_default_context(cadata=peer.CERTIFICATE)
    with smsc.Smsc(tls=(peer.KEY, peer.CERTIFICATE)) as center:
        with esme.Esme(center, context) as client:
            assert client.bind().status == 0
        with esme.Esme(center) as client, pytest.raises(EOFError):
            client.bind()


# --- Kannel --------------------------------------------------------------------------------------------------


@pytest.fixture
def receipts() -> collections.abc.Iterator[tuple[str, queue.Queue[dict[str, str]]]]:
    """An address for receipts, and those that came, by their query."""
    came: queue.Queue[dict[str, str]] = queue.Queue()

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.put(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer((peers.HOST, 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{peers.HOST}:{server.server_port}/receipt", came
        server.shutdown()
        thread.join()


def fetch(
    url: str, *, body: bytes | None = None, headers: collections.abc.Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body, whatever the status."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, data=body, headers=dict(headers or {})), timeout=10
        ) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_kannel_sends_and_reports_queues_and_refuses(
    receipts: tuple[str, queue.Queue[dict[str, str]]],
) -> None:
    address, came = receipts

    def send(running: kannel.Kannel, **changes: str) -> tuple[int, bytes]:
        query = {
            "username": running.username,
            "password": running.password,
            "from": "ACME",
            "to": "+48600100200",
            "text": "hello",
            "dlr-mask": "31",
            "dlr-url": f"{address}?type=%d&answer=%A",
            **changes,
        }
        return fetch(f"{running.url}?{urllib.parse.urlencode(query)}")

    def arrived(running: kannel.Kannel, *messages: str) -> None:
        running.wait_for("the network's own word", lambda: running.arrived() == list(messages))

    def types(count: int) -> set[str]:
        return {came.get(timeout=10)["type"] for _ in range(count)}

    with kannel.Kannel() as running:
        assert send(running) == (202, b"0: Accepted for delivery")
        assert types(2) == {"8", "1"}
        arrived(running, "ACME +48600100200 text hello")
        assert send(running, password="wrong") == (403, b"Authorization failed for sendsms")
        assert send(running, to=f"{kannel.REFUSED_PREFIX}1") == (403, b"Not routable. Do not try again.")
        assert types(1) == {"16"}
        running.network_down()
        assert send(running, text="za", coding="2", charset="UTF-8") == (202, b"3: Queued for later delivery")
        running.network_up()
        assert types(2) == {"8", "1"}
        arrived(running, "ACME +48600100200 text hello", "ACME +48600100200 ucs-2 %00z%00a")


# --- Prism ---------------------------------------------------------------------------------------------------

LOGIN = {"Authorization": "Basic " + base64.b64encode(b"AC0:secret").decode()}
COMPANIES = {
    "twilio_messages.json": (
        f"/2010-04-01/Accounts/AC{'0' * 32}/Messages.json",
        urllib.parse.urlencode({"To": "+48600100200", "From": "+48600100300", "Body": "hello"}).encode(),
        {**LOGIN, "Content-Type": "application/x-www-form-urlencoded"},
        (201, 401),
    ),
    "android_sms_gateway.json": (
        "/messages",
        json.dumps({"textMessage": {"text": "hello"}, "phoneNumbers": ["+48600100200"]}).encode(),
        {**LOGIN, "Content-Type": "application/json"},
        (202, 401),
    ),
}
# Where no company's document is at hand, Prism is tried with this.
OWN_OPERATION = {
    "security": [{"login": []}],
    "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}},
    "responses": {"202": {"description": "taken"}},
}
OWN = {
    "openapi": "3.0.0",
    "info": {"title": "SMS", "version": "1"},
    "components": {"securitySchemes": {"login": {"type": "http", "scheme": "basic"}}},
    "paths": {"/messages": {"post": OWN_OPERATION}},
}


@pytest.mark.parametrize("name", [name for name in COMPANIES if (prism.SPECS / name).exists()] or ["own.json"])
def test_prism_answers_as_the_document_says(name: str, tmp_path: pathlib.Path) -> None:
    document = prism.SPECS / name
    path, body, headers, (taken, refused) = COMPANIES.get(name) or COMPANIES["android_sms_gateway.json"]
    if not document.exists():
        document = tmp_path / name
        document.write_text(json.dumps(OWN))
    anonymous = {name: value for name, value in headers.items() if name != "Authorization"}
    with prism.Prism(document) as running:
        assert fetch(running.url + path, body=body, headers=headers)[0] == taken
        assert fetch(running.url + path, body=body, headers=anonymous)[0] == refused
        assert fetch(f"{running.url}/no/such/path")[0] == 404
    assert "Request received" in running.log


# --- gammu-smsd ----------------------------------------------------------------------------------------------


def test_smsd_sends_what_is_in_its_outbox_and_brings_reports(tmp_path: pathlib.Path) -> None:
    with smsd.Smsd(tmp_path) as running:
        (running.outbox / "OUTA_+48600100200_1.txtd").write_bytes("Zażółć".encode("utf-16"))
        (running.outbox / "OUTx_y.txt").write_bytes(b"nobody to send it to")
        running.report("+48600100200", "Failed")
        running.wait_for("sent", (running.sent / "OUTA_+48600100200_1.txtd").exists)
        running.wait_for("refused", (running.error / "OUTx_y.txt").exists)
        running.wait_for("reported", lambda: any(running.inbox.iterdir()))
    assert f"to +48600100200, message reference 0x{smsd.REFERENCE:02x}" in running.log
    (report,) = running.inbox.iterdir()
    assert "PDU = Status_Report" in report.read_text()
    assert "; Failed" in report.read_text()
    assert list(running.outbox.iterdir()) == []


# --- all of them ---------------------------------------------------------------------------------------------


def test_a_killed_peer_starts_again_on_its_port() -> None:
    with smsc.Smsc() as short_lived:
        first = short_lived.container
        short_lived.kill()
        assert first not in containers()
        with pytest.raises(OSError, match="refused"):
            esme.Esme(short_lived)
        short_lived.start()
        with esme.Esme(short_lived) as client:
            assert client.bind().status == 0


def test_a_peer_that_does_not_come_up_says_why() -> None:
    with (
        pytest.raises(errors.NotReady, match="no such luck"),
        peers.Peer("luckless", ["sh", "-c", "echo no such luck"]) as it,
    ):
        it.wait_for_line("welcome")


def test_a_peer_ends_with_the_process_that_started_it() -> None:
    orphan = "import os; from rig import smsc; it = smsc.Smsc(); it.start(); print(it.container); os._exit(9)"
    name = subprocess.run(
        [sys.executable, "-c", orphan], cwd=images.DOCKER, stdout=subprocess.PIPE, text=True, check=False
    ).stdout.strip()
    assert name

    def gone() -> bool:
        return name not in engine.docker("ps", "-a", "--format", "{{.Names}}").split()

    gateway.wait_for("the container is gone", gone)
