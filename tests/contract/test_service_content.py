"""The real `agi-sms run` with a node that asks the customer's system: it asks, sends, stops, and starts again."""

import signal
import threading
from collections.abc import Iterator
from http import server
from typing import Any
from urllib import parse

import pytest

from tests.contract.test_service import DEADLINE, TREE, Gateway, gateway, wait_for

__all__ = ["gateway"]


class Shop:
    """The customer's system; `gate`: while it is cleared, answers wait."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[tuple[str, str]] = []  # path and activation
        shop = self

        class Handler(server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                shop.asked.append((self.path, told["activation_id"][0]))
                shop.gate.wait(DEADLINE)
                body = f"Zażółć {self.path}".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def tree(self, path: str = "/one", **api: Any) -> dict[str, Any]:
        """A configuration with one node that asks here."""
        url = f"http://127.0.0.1:{self._server.server_port}{path}"
        node = {"recipients": "+48600100200", "content": {"api": {"url": url, "timeout": "30s", **api}}}
        return TREE | {"nodes": {"shop": node}}

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE)


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.close()


def texts(gateway: Gateway) -> list[str]:
    return [one["text"] for one in gateway.sent()]


def test_from_the_trigger_to_the_sms(gateway: Gateway, shop: Shop) -> None:
    gateway.write(shop.tree())
    gateway("trigger", "shop")  # before it runs
    gateway.start()
    gateway.comes_to("accepted")
    shop.gate.clear()
    gateway("trigger", "shop")
    gateway.comes_to("waiting", "accepted")
    wait_for("it is asked", lambda: len(shop.asked) == 2, gateway.said)

    # what is being asked keeps its source, what comes later has the new one
    gateway.write(shop.tree("/two"))
    gateway("reload")
    gateway("trigger", "shop")
    wait_for("it is asked", lambda: len(shop.asked) == 3, gateway.said)
    shop.gate.set()
    gateway.comes_to("accepted", "accepted", "accepted")
    assert sorted(texts(gateway)) == ["Zażółć /one", "Zażółć /one", "Zażółć /two"]
    assert [path for path, _ in shop.asked] == ["/one", "/one", "/two"]
    assert "Zażółć" not in gateway.said()
    assert gateway.stop() == 0


def test_killed_while_it_asks_it_asks_again_and_sends_once(gateway: Gateway, shop: Shop) -> None:
    gateway.write(shop.tree(retries=0))
    shop.gate.clear()
    process = gateway.start()
    gateway("trigger", "shop")
    wait_for("it is asked", lambda: len(shop.asked) == 1, gateway.said)
    process.kill()
    process.wait(DEADLINE)
    gateway.start()
    assert any(line.get("rescheduled") == 1 for line in gateway.lines())
    wait_for("it is asked", lambda: len(shop.asked) == 2, gateway.said)
    shop.gate.set()
    gateway.comes_to("accepted")
    assert shop.asked[0] == shop.asked[1]
    assert texts(gateway) == ["Zażółć /one"]
    assert gateway.stop() == 0


def test_sigterm_lets_a_question_end(gateway: Gateway, shop: Shop) -> None:
    gateway.write(shop.tree())
    shop.gate.clear()
    process = gateway.start()
    gateway("trigger", "shop")
    wait_for("it is asked", lambda: len(shop.asked) == 1, gateway.said)
    process.send_signal(signal.SIGTERM)
    wait_for("it stops", lambda: any(e.startswith("stopping") for e in gateway.events()), gateway.said)
    gateway.comes_to("waiting")
    assert process.poll() is None
    shop.gate.set()
    assert process.wait(DEADLINE) == 0
    gateway.comes_to("scheduled")
    gateway.start()
    gateway.comes_to("accepted")
    assert len(shop.asked) == 1
    assert gateway.stop() == 0


def test_a_question_that_did_not_end_in_time_is_put_again(gateway: Gateway, shop: Shop) -> None:
    gateway.write(shop.tree() | {"drain": "0"})
    shop.gate.clear()
    gateway.start()
    gateway("trigger", "shop")
    wait_for("it is asked", lambda: len(shop.asked) == 1, gateway.said)
    assert gateway.stop() == 0
    gateway.comes_to("waiting")
    assert any(line.get("calls") == 1 for line in gateway.lines() if "being fetched" in line["event"])
    shop.gate.set()
    gateway.start()
    gateway.comes_to("accepted")
    assert len(shop.asked) == 2
    assert gateway.stop() == 0
