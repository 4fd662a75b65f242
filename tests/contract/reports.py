"""Notices, and an HTTP provider that reads them."""

import urllib.parse
from typing import Any

from agi_sms import ports
from agi_sms.providers import http, http_settings
from tests.contract import subjects

URL = "https://sms.example/receipts/acme"
PLAIN: dict[str, Any] = {
    "from": "form",
    "id": "id",
    "ref": "ref",
    "state": "state",
    "states": {"OK": "delivered", "NO": "failed", "WAIT": "accepted"},
    "code": "code",
    "detail": "why",
    "verify": {"scheme": "none"},
}

JSON = {"from": "json", "id": "$.id", "ref": None, "state": "$.s", "code": None, "detail": None}


def provider(**changes: Any) -> http.HttpProvider:
    own = {"receipts": {**PLAIN, **changes.pop("receipts", {})}, **changes}
    raw = {"url": "http://127.0.0.1:1/", "answer": {"id": "$.id"}, **own}
    return http.HttpProvider("acme", http_settings.Settings.model_validate(raw), clock=lambda: subjects.NOW)


def notice(
    body: bytes | str | dict[str, str] = b"", *, url: str = URL, method: str = "POST", kind: str = ""
) -> ports.Notice:
    data = urllib.parse.urlencode(body) if isinstance(body, dict) else body
    return ports.Notice(
        method=method,
        url=url,
        headers={"content-type": kind or "application/x-www-form-urlencoded"},
        body=data if isinstance(data, bytes) else data.encode(),
    )


def found(report: ports.Report) -> list[tuple[str, str, str, str, str]]:
    return [(one.provider_id, one.ref, one.state.value, one.code, one.detail) for one in report.receipts]
