"""What a receipt's signature does not cover is never believed: refused at load, or with the receipt."""

import hmac
import json
import urllib.parse
from dataclasses import replace
from typing import Any

import pydantic
import pytest

from agi_sms import errors, ports
from agi_sms.providers import http, http_settings
from tests.contract import reports
from tests.unit import notices

BODY_ONLY = {"scheme": "hmac", "secret": "s", "header": "X", "over": "{body}"}
ADDRESS_ONLY = {"scheme": "hmac", "secret": "s", "header": "X", "over": "{url}"}
UNCOVERED: list[tuple[dict[str, Any], tuple[str, ...], str]] = [
    (
        {"ref": "?ref", "verify": BODY_ONLY},
        ("ref",),
        "the query of the address.*name a place in the body, or verify by",
    ),
    ({"from": ["form", "query"], "verify": BODY_ONLY}, ("id", "ref", "state", "code", "detail"), "comes as query"),
    ({"verify": ADDRESS_ONLY}, ("id", "ref", "state", "code", "detail"), "name a place in the query of the address"),
    ({"only": {"path": "?kind", "equals": ["dlr"]}, "verify": BODY_ONLY}, ("only",), r"\?kind is in the query"),
    (
        {
            **reports.JSON,
            "ref": "?ref",
            "verify": {**BODY_ONLY, "scheme": "ed25519", "over": "{timestamp}{body}", "timestamp": "T"},
        },
        ("ref",),
        "scheme ed25519 does not sign",
    ),
    ({"ref": "?ref", "verify": {"scheme": "vonage", "secret": "s"}}, ("ref",), "scheme vonage does not sign"),
    ({"ref": "?ref", "verify": {"scheme": "vonage_sms", "secret": "s"}}, ("ref",), "scheme vonage_sms does not sign"),
    (
        {**reports.JSON, "verify": {"scheme": "plivo", "secret": "s"}},
        ("id", "state"),
        "scheme plivo does not sign.*as json",
    ),
    (
        {**reports.JSON, "from": "xml", "id": "/a", "state": "/s", "verify": {"scheme": "vonage_sms", "secret": "s"}},
        ("id", "state"),
        "could write anything there; verify by scheme token",
    ),
    (
        {**reports.JSON, "from": "json", "each": "$.all[*]", "verify": ADDRESS_ONLY},
        ("each", "id", "state"),
        r"\$\.all\[\*\] is in the body",
    ),
]


@pytest.mark.parametrize(("changes", "keys", "says"), UNCOVERED)
def test_a_place_that_is_not_signed_is_refused(changes: dict[str, Any], keys: tuple[str, ...], says: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=says) as caught:
        reports.provider(receipts=changes)
    assert {one["loc"] for one in caught.value.errors()} == {("receipts", key) for key in keys}


@pytest.mark.parametrize(
    "changes",
    [
        {"ref": "?ref", "verify": {**BODY_ONLY, "over": "{url}{body}"}},
        {"ref": "?ref", "verify": {"scheme": "plivo", "secret": "s"}},
        {"ref": "?ref", "verify": {"scheme": "twilio", "secret": "s"}},
        {"ref": "?ref", "from": ["form", "query", "json"], "verify": {"scheme": "token", "secret": "s"}},
        {"from": "query", "ref": "?ref", "verify": ADDRESS_ONLY},
        {"from": ["query", "form", "json"], "verify": {"scheme": "vonage_sms", "secret": "s"}},
    ],
)
def test_a_place_that_is_signed_is_not_refused(changes: dict[str, Any]) -> None:
    reports.provider(receipts=changes)
    reports.provider(receipts=changes)


def vonage(**changes: Any) -> http.HttpProvider:
    made = http_settings.Settings.model_validate(
        {
            "url": "http://127.0.0.1:1/",
            "answer": {"id": "$.id"},
            "secret": {"s": "sig-secret"},
            "receipts": {
                "from": ["form", "query", "json"],
                "method": ["POST", "GET"],
                "id": "messageId",
                "state": "status",
                "states": {"delivered": "delivered", "failed": "failed"},
                "verify": {"scheme": "vonage_sms", "secret": "s"},
                **changes,
            },
        }
    )
    return http.HttpProvider("vonage", made, clock=lambda: notices.AT)


FORGED = "messageId=FORGED&status=failed"
SEEN = urllib.parse.urlencode(notices.VONAGE_FIELDS)
FORGERIES: dict[str, tuple[ports.Notice, dict[str, Any]]] = {
    "twice, and one of the two is signed": (reports.notice(url=f"{reports.URL}?{FORGED}&{SEEN}", method="GET"), {}),
    "twice in a form": (reports.notice(f"{FORGED}&{SEEN}"), {}),
    "verified as JSON and read as a form": (
        reports.notice(f'{{"scts": "&{FORGED}&", {json.dumps(notices.VONAGE_FIELDS)[1:]}', kind="application/jsonx"),
        {},
    ),
    "verified as a form and read as a query": (reports.notice(SEEN, url=f"{reports.URL}?{FORGED}"), {"from": "query"}),
    "verified as a query and read as a form": (
        reports.notice(FORGED, url=f"{reports.URL}?{SEEN}", method="GET"),
        {"from": "form"},
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_was_seen_once_cannot_be_sent_with_something_else(name: str) -> None:
    """What is verified is what is read."""
    asked, changes = FORGERIES[name]
    assert [one.provider_id for one in vonage().read(reports.notice(SEEN)).receipts] == ["aaaaaaaa-bbbb"]
    with pytest.raises(errors.ReceiptForged):
        vonage(**changes).read(asked)


def test_a_stranger_learns_nothing_of_what_would_be_read() -> None:
    for asked in (
        reports.notice(SEEN, method="PUT"),
        reports.notice("{", kind="application/json"),
        reports.notice(b"a=b&" * 2000),
    ):
        with pytest.raises(errors.ReceiptForged):
            vonage().read(replace(asked, body=asked.body + b"&x=y"))
    with pytest.raises(errors.ReceiptError, match="came by PUT"):
        vonage().read(reports.notice(SEEN, method="PUT"))


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "", "text/plain"])
@pytest.mark.parametrize("said", ['{"id": "a", "state": "OK", "text": "%s"}', "\ufeff \n[1, 2]&%s", "<a>%s</a>"])
def test_what_is_signed_as_json_is_not_read_as_a_form(said: str, kind: str) -> None:
    """A text of somebody else in it could look like fields, and no signature is over the Content-Type."""
    body = (said % "&id=FORGED&state=NO&").encode()
    made = reports.provider(
        secret={"s": "k3y"},
        receipts={
            "from": ["form", "json"],
            "verify": {"scheme": "hmac", "secret": "s", "header": "X", "over": "{body}"},
        },
    )
    headers = {"X": hmac.digest(b"k3y", body, "sha256").hex(), "Content-Type": kind}
    with pytest.raises(errors.ReceiptError, match="called a form"):
        made.read(replace(reports.notice(body), headers=headers))
