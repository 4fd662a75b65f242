"""Why messages wait and receipts do not come, as the running gateway, its configuration and the outbox tell it."""

import json
from pathlib import Path
from typing import Any

import pytest

from agi_sms import errors
from agi_sms.outbox import database
from tests.contract import test_cli_providers, test_service
from tests.contract.test_cli import NOT_DONE
from tests.contract.test_cli_providers import MOBILE, Company
from tests.contract.test_service import Gateway, wait_for
from tests.contract.test_service_edges import free_port

gateway, company = test_service.gateway, test_cli_providers.company


def limited(company: Company, **more: Any) -> dict[str, Any]:
    """Its configuration with a limit of one message in an hour."""
    tree = company.tree(routes={"default": "company"}, **more)
    tree["providers"]["company"]["limit"] = "1/1h"
    return tree


def rows(gateway: Gateway, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gateway("history", "--format", "json", *words))
    return found


def test_a_test_behind_a_limit_says_so(gateway: Gateway, company: Company) -> None:
    company.states = ["DELIVRD"]
    gateway.write(limited(company))
    gateway.start()
    gateway("send-test", "company", MOBILE, "--wait", "1m")
    shown = gateway("send-test", "company", MOBILE, "--wait", "1s", code=NOT_DONE)
    assert "company is at its limit: 1 of 1 in 1h, until " in shown
    assert "older than max_age" not in shown
    gateway("trigger", "desk")
    name = rows(gateway, "--status", "scheduled")[0]["id"]
    assert "waits     company is at its limit: 1 of 1 in 1h, until " in gateway("explain", name)
    assert gateway.stop() == 0
    assert "waits     for the gateway, which does not run" in gateway("explain", name)


def test_a_test_that_was_not_delivered_says_why(gateway: Gateway, company: Company) -> None:
    company.states = ["UNDELIV"]
    gateway.write(company.tree())
    gateway.start()
    shown = gateway("send-test", "company", MOBILE, "--wait", "1m", code=NOT_DONE)
    assert "sent, not delivered: UNDELIV" in shown
    assert "not sent" not in shown
    assert gateway.stop() == 0


def test_a_provider_that_is_left_alone_is_told(gateway: Gateway, company: Company) -> None:
    tree = company.tree(routes={"default": "company"}, health={"break_after": 1, "break_for": "1h"})
    tree["providers"]["company"]["url"] = f"http://127.0.0.1:{free_port()}/send"
    gateway.write(tree)
    gateway.start()
    gateway("trigger", "desk")
    name = rows(gateway)[0]["id"]
    wait_for(
        "it is left alone",
        lambda: "company is left alone after faults, until " in gateway("explain", name),
        gateway.said,
    )
    assert gateway.stop() == 0


def test_a_reload_tells_what_waits_for_nobody(gateway: Gateway, company: Company) -> None:
    gateway.write(company.tree(routes={"default": "company"}) | {"nodes": {"late": LATE}})
    gateway.start()
    gateway("trigger", "late")
    tree = company.tree(routes={"default": "out"}) | {"nodes": {"late": LATE}}
    del tree["providers"]["company"]
    gateway.write(tree)
    told = gateway("reload")
    assert "1 message waiting for company, which is not configured any more" in told
    assert "messages wait for a provider that is not configured any more" in gateway.events()
    shown = gateway("retry", "--provider", "company", "--status", "scheduled", "--route", "out", "--yes")
    assert "1 message by out" in shown
    assert gateway.stop() == 0


LATE = {"recipients": MOBILE, "delay": "2h", "content": {"text": "Hello"}}


def test_only_the_last_folder_is_made(tmp_path: Path) -> None:
    slip = tmp_path / "a" / "slip" / "box.db"
    with pytest.raises(errors.OutboxError, match=r"there is no folder .*/a; make it, or mend the path"):
        database.prepare(slip)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    database.prepare(slip)
    assert slip.exists()
