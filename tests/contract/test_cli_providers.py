"""The commands about providers, as an operator types them: against a gateway that runs, and a company that answers."""

import csv
import io
import json
import re
import threading
import urllib.request
from collections.abc import Iterator
from http import server
from pathlib import Path
from typing import Any
from urllib import parse

import pytest

from agi_sms.providers import profiles
from tests.contract import test_cli, test_service
from tests.contract.test_cli import MISTAKES, NOT_DONE, Shell, complete
from tests.contract.test_service import DEADLINE, Gateway
from tests.contract.test_service_edges import free_port

shell, gateway = test_cli.shell, test_service.gateway
MOBILE = "+48600100200"


class Company:
    """An SMS company: `answers` are given in turn, the last one again and again; after a 200 it reports `states`."""

    def __init__(self) -> None:
        self.answers: list[int] = [200]
        self.states: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.acknowledged: list[int] = []
        self.door = free_port()
        company = self

        class Handler(server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                company.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                status = company.answers.pop(0) if len(company.answers) > 1 else company.answers[0]
                body = json.dumps({"id": f"c{len(company.asked)}", "error": "no such route"}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                if status == 200:
                    company.report(f"c{len(company.asked)}")

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def report(self, name: str) -> None:
        for state in self.states:
            body = parse.urlencode({"id": name, "state": state}).encode()
            url = f"http://127.0.0.1:{self.door}/receipts/company/a-long-random-word"
            with urllib.request.urlopen(url, body, timeout=DEADLINE) as answer:
                self.acknowledged.append(answer.status)

    def tree(self, **more: Any) -> dict[str, Any]:
        """A configuration with this company, and beside it a provider without receipts."""
        company = {
            "type": "http",
            "url": f"http://127.0.0.1:{self._server.server_port}/send",
            "body": {"json": {"to": "{{ to }}", "text": "{{ text }}", "from": "{{ sender }}"}},
            "answer": {"id": "$.id", "detail": "$.error"},
            "secret": {"token": "a-long-random-word"},
            "receipts": {
                **{"from": "form", "id": "id", "state": "state", "code": "state"},
                "states": {"SENT": "accepted", "DELIVRD": "delivered", "UNDELIV": "failed"},
                "verify": {"scheme": "token", "secret": "token"},
            },
            "price": {"default": "0.04", "PL": "0.03", "currency": "EUR"},
            "limit": "10/1s",
        }
        door = f"127.0.0.1:{self.door}"
        receipts = {"listen": door, "public_url": f"http://{door}"}
        both = {"company": company, "out": {"type": "file", "path": "out.jsonl"}}
        return test_service.TREE | {"providers": both, "receipts": receipts} | more

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE)


@pytest.fixture
def company() -> Iterator[Company]:
    made = Company()
    yield made
    made.close()


def row(gateway: Gateway) -> dict[str, Any]:
    [found] = json.loads(gateway("history", "--format", "json"))
    assert isinstance(found, dict)
    return found


# --- send-test ----------------------------------------------------------------------------------------------------


def test_a_message_is_followed_to_its_receipt(gateway: Gateway, company: Company) -> None:
    company.states = ["SENT", "DELIVRD"]
    gateway.write(company.tree())
    gateway.start()
    shown = gateway("send-test", "company", "600 100 200", "--sender", "ACME", "--text", "Zażółć", "--wait", "5m")
    (asked,) = company.asked
    assert asked == {"to": MOBILE, "text": "Zażółć", "from": "ACME"}
    assert company.acknowledged == [200, 200]
    first, *lines = shown.splitlines()
    assert re.fullmatch(rf"\w{{16}}  to {re.escape(MOBILE)} by company \(ucs2, 1 segment\)", first)
    told = [re.sub(r"^ *[0-9.]+ s  ", "", line) for line in lines]
    assert told[0] == "attempt 1 by company"
    assert re.fullmatch(r"accepted after \w+: .*id=c1", told[1])
    assert "receipt: accepted, SENT" in told
    assert "receipt: delivered, DELIVRD" in told
    assert told[-2:] == [
        "delivered: the provider works, and so do its receipts",
        f"more of it: agi-sms explain {first[:16]}",
    ]
    found = row(gateway)
    assert (found["node"], found["source"], found["status"]) == ("send-test", "operator", "delivered")
    assert gateway.stop() == 0


def test_a_receipt_that_does_not_come_in_time_is_told(gateway: Gateway, company: Company) -> None:
    company.states = ["SENT"]
    gateway.write(company.tree())
    gateway.start()
    shown = gateway("send-test", "company", MOBILE, "--wait", "1s", code=NOT_DONE)
    assert "accepted; its receipt is waited for" in shown
    assert "accepted, and no receipt within 1s; it still counts when it comes" in shown
    assert gateway.stop() == 0


@pytest.mark.parametrize("answer", [400, 200])
def test_what_was_refused_or_never_arrived_is_not_done(gateway: Gateway, company: Company, answer: int) -> None:
    company.answers, company.states = [answer], ["UNDELIV"]
    gateway.write(company.tree())
    gateway.start()
    shown = gateway("send-test", "company", MOBILE, "--wait", "5m", code=NOT_DONE)
    assert ("not sent: failed" if answer == 400 else "sent, not delivered: UNDELIV") in shown
    assert ("the provider refused it for good" if answer == 400 else "it never reached the phone") in shown
    assert ("no such route" if answer == 400 else "receipt: failed, UNDELIV") in shown
    assert gateway.stop() == 0


def test_what_is_not_taken_is_given_up_when_the_wait_is_over(gateway: Gateway, company: Company) -> None:
    company.answers = [429]
    gateway.write(company.tree())
    gateway.start()
    shown = gateway("send-test", "company", MOBILE, "--wait", "1s", code=NOT_DONE)
    assert "retry after" in shown
    assert "goes out again" in shown
    assert "not taken within 1s; it is given up now" in shown or "not sent: expired" in shown
    gateway.comes_to("expired")
    assert gateway.stop() == 0


def test_a_provider_without_receipts_is_done_when_it_accepts(gateway: Gateway, company: Company) -> None:
    gateway.write(company.tree())
    gateway.start()
    shown = gateway("send-test", "out", MOBILE, "--wait", "5m")
    assert "accepted: the provider took it, and sends no receipts that would tell more" in shown
    assert [one["text"] for one in gateway.sent()] == ["agi-sms test"]
    gateway.write(company.tree(providers=company.tree()["providers"] | {"new": {"type": "print"}}))
    assert "agi-sms reload" in gateway("send-test", "new", MOBILE, "--wait", "5m", code=NOT_DONE)
    assert gateway.stop() == 0


def test_without_a_gateway_nothing_is_stored(shell: Shell) -> None:
    assert "no gateway runs on" in shell("send-test", "out", MOBILE, code=NOT_DONE).stderr
    assert not shell.database.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nobody", MOBILE), "no provider 'nobody'; there are: out, print"),
        (("out", "12"), "'12' is too short"),
        (("out", MOBILE, "--sender", "MuchTooLongName"), "sender: 'MuchTooLongName' has 15 characters"),
        (("out", MOBILE, "--text", " "), "the text is empty"),
        (("out", MOBILE, "--wait", "2h"), "must be more than 0 and at most 1h"),
        (("out", MOBILE, "--wait", "soon"), "is not a duration"),
        (("out",), "NUMBER"),
    ],
)
def test_what_cannot_be_sent_is_a_mistake(shell: Shell, words: tuple[str, ...], told: str) -> None:
    assert told in shell("send-test", *words, code=MISTAKES).stderr
    assert not shell.database.exists()


# --- providers ----------------------------------------------------------------------------------------------------


def test_the_configured_providers(shell: Shell, company: Company) -> None:
    ways = [{"countries": "PL", "providers": ["company", "out"]}, {"providers": ["out"]}]
    nodes = {f"n{at}": test_service.NODE for at in range(7)} | {"p": test_service.NODE | {"route": "print"}}
    shell.write(company.tree(routes={"default": ways, "spare": "out"}, nodes=nodes))
    blocks = shell("providers").stdout.split("\n\n")
    by_name = {block.split()[0]: block for block in blocks}
    assert list(by_name) == ["print", "company", "out"]
    lines = [re.sub(" +", " ", line.strip()) for line in by_name["company"].splitlines()]
    assert lines == [
        "company (http)",
        "used by route default; 7 nodes (n0, n1, n2, n3, n4 and 2 more)",
        "means its yes says that it took the message",
        "at once 10",
        "limit 10 in 1s",
        "price 0.04 EUR, PL 0.03 EUR a segment",
        "uncertain hold",
        f"receipts http://127.0.0.1:{company.door}/receipts/company/<secret.token>; overdue after 2d",
    ]
    assert "a-long-random-word" not in "".join(blocks)
    assert "route default, spare" in by_name["out"]
    assert "1 node (p)" in by_name["print"]
    tree = company.tree()
    del tree["receipts"]
    shell.write(tree)
    assert "none: no receipts.public_url says where they come in" in shell("providers").stdout


def test_the_profiles_need_no_configuration(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.config.unlink()
    (tmp_path / "profiles.d").mkdir()
    own = (profiles.SHIPPED / "kannel.yaml").read_text(encoding="utf-8").replace("title: Kannel", "title: Our Kannel")
    (tmp_path / "profiles.d" / "kannel.yaml").write_text(own, encoding="utf-8")
    shown = shell("providers", "--profiles").stdout
    assert len(shown.splitlines()) == 2 + len(profiles.names())
    assert "| Our Kannel " in shown
    one = shell("providers", "--profile", "kannel").stdout
    assert f"Our Kannel  ({tmp_path}/profiles.d/kannel.yaml)" in one
    assert "secret.username: username of the sendsms-user group" in one
    assert "did you mean kannel?" in shell("providers", "--profile", "kannl", code=MISTAKES).stderr
    (tmp_path / "profiles.d" / "kannel.yaml").write_text("title: [", encoding="utf-8")
    assert f"{tmp_path}/profiles.d/kannel.yaml:1: " in shell("providers", "--profiles", code=MISTAKES).stderr


def test_completion_knows_providers_and_profiles(shell: Shell) -> None:
    assert complete(shell, "send-test", "") == ["print", "out"]
    assert complete(shell, "send-test", "o") == ["out"]
    assert complete(shell, "providers", "--profile", "sm") == ["smsapi"]
    assert complete(shell, "resolve", "x", "") == ["sent", "resend", "fail"]
    shell.write("nodes: [")
    assert complete(shell, "send-test", "") == []


@pytest.mark.parametrize("name", ["providers", "send-test", "resolve"])
def test_help_teaches(shell: Shell, name: str) -> None:
    shown = shell(name, "--help").stdout
    assert f"Usage: main {name}" in shown
    assert "AGI_SMS_CONFIG" in shown
    assert "agi-sms" in shown.partition("Options:")[0]


# --- resolve ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "status", "told"),
    [("sent", "accepted", "counts as sent"), ("resend", "scheduled", "goes out once"), ("fail", "failed", "is failed")],
)
def test_a_person_decides_about_what_is_held(shell: Shell, verdict: str, status: str, told: str) -> None:
    shell("trigger", "later", "--recipients", MOBILE, "--delay", "soon", code=NOT_DONE)
    [held] = shell.rows()
    assert held["status"] == "held"
    assert f"agi-sms resolve {held['id']} sent|resend|fail" in shell("explain", held["id"]).stdout
    assert told in shell("resolve", held["id"][-5:], verdict).stdout
    [found] = shell.rows()
    assert found["status"] == status
    assert f"(command line): {verdict}" in shell("explain", held["id"]).stdout
    told = shell("resolve", held["id"], verdict, code=NOT_DONE).stderr
    assert f"{held['id']} is {status}" in told
    assert "only uncertain or held can be resolved" in told


def test_only_three_words_decide(shell: Shell) -> None:
    assert "'sent', 'resend', 'fail'" in shell("resolve", "x", "maybe", code=MISTAKES).stderr
    shell("trigger", "order", "--var", "order=1")
    assert "no message nonsense" in shell("resolve", "nonsense", "sent", code=NOT_DONE).stderr


# --- totals -------------------------------------------------------------------------------------------------------


def test_totals_are_what_was_taken(gateway: Gateway, company: Company) -> None:
    gateway.write(company.tree(routes={"default": "company"}))
    gateway.start()
    assert gateway("history", "--totals").strip() == "nothing was taken by any provider"
    for _ in range(2):
        gateway("trigger", "desk", "--var", f"who={'x' * 200}")
    gateway("trigger", "printed")
    gateway.comes_to("accepted", "accepted", "accepted")
    table = [line.split() for line in gateway("history", "--totals").splitlines()]
    assert table[0] == ["node", "day", "messages", "segments", "cost"]
    assert table[2][0::2] + table[2][3:4] == ["desk", "2", "0.12", "4"]
    assert table[3][-2:] == ["not", "known"]
    assert ["all", "2", "4", "0.12", "EUR"] in table
    assert table[-1][:2] == ["days", "of"]
    rows = json.loads(gateway("history", "--totals", "--format", "json"))
    assert [(one["node"], one["currency"], one["messages"], one["segments"], one["cost"]) for one in rows] == [
        ("desk", "EUR", 2, 4, "0.12"),
        ("printed", None, 1, 1, None),
    ]
    cells = list(csv.DictReader(io.StringIO(gateway("history", "--totals", "--format", "csv", "--node", "desk"))))
    assert [(cell["node"], cell["cost"]) for cell in cells] == [("desk", "0.12")]
    assert gateway.stop() == 0


def test_totals_of_no_database(shell: Shell) -> None:
    assert shell("history", "--totals").stdout == "nothing was taken by any provider\n"
    assert json.loads(shell("history", "--totals", "--format", "json").stdout) == []
    assert len(shell("history", "--totals", "--format", "csv").stdout.splitlines()) == 1
