"""What the provider suites send, and the HTTP provider that they send it with."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from agi_sms import message, ports
from agi_sms.providers import http, http_settings

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTILE = 'a"b\\c\x1b[2J\x00\x9b1m\u202e\u2028\r\n{"x":1}\ud800 \U0001f600 Zażółć {{ secret }} [bold]'


def submission(ref: str = "m1", **changes: Any) -> ports.Submission:
    plain = ports.Submission(
        ref=ref,
        to="+48600100200",
        sender="ACME",
        text="Hello",
        encoding=message.Encoding.GSM7,
        segments=1,
        node="info",
        attempt=1,
    )
    return replace(plain, **changes)


def http_provider(url: str, *, path: str = "/send", **changes: Any) -> http.HttpProvider:
    raw = {
        "type": "http",
        "url": url + path,
        "body": {"json": {"to": "{{ to }}", "text": "{{ text }}", "ref": "{{ ref }}"}},
        "timeout": "5s",
        **changes,
    }
    return http.HttpProvider("acme", http_settings.Settings.model_validate(raw), clock=lambda: NOW)
