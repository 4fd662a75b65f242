"""Signatures of receipts: the vectors of the companies, and what a forger would try."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import errors
from agi_sms.providers import signatures, signatures_settings
from tests.unit import notices


@pytest.mark.parametrize("name", notices.VECTORS)
def test_genuine(name: str) -> None:
    notices.check(notices.VECTORS[name])


@pytest.mark.parametrize("name", notices.VECTORS)
def test_another_secret(name: str) -> None:
    other = base64.b64encode(bytes(32)).decode() if "telnyx" in name else "another-secret"
    with pytest.raises(errors.ReceiptForged):
        notices.check(notices.VECTORS[name], secret=other)
    with pytest.raises(errors.ReceiptForged, match="missing"):
        notices.check(notices.VECTORS[name], secret="")


@pytest.mark.parametrize("name", [name for name in notices.VECTORS if notices.VECTORS[name].notice.headers])
def test_a_header_less(name: str) -> None:
    good = notices.VECTORS[name].notice
    for gone in [
        key for key in good.headers if key.lower() not in {"content-type", "x-twilio-webhooks-signature-settings"}
    ]:
        rest = {key: value for key, value in good.headers.items() if key != gone}
        with pytest.raises(errors.ReceiptForged):
            notices.check(notices.VECTORS[name], notice=replace(good, headers=rest))


@pytest.mark.parametrize(
    "off", [timedelta(minutes=5, seconds=1), -timedelta(minutes=5, seconds=1), timedelta(days=3650)]
)
@pytest.mark.parametrize("name", [name for name in notices.VECTORS if notices.VECTORS[name].timed])
def test_another_time(name: str, off: timedelta) -> None:
    notices.check(notices.VECTORS[name], now=notices.AT + timedelta(minutes=5))
    with pytest.raises(errors.ReceiptForged, match="too long ago"):
        notices.check(notices.VECTORS[name], now=notices.AT + off)


def test_a_token_of_messagebird_has_its_own_time() -> None:
    for now in (notices.AT - timedelta(seconds=2), datetime(2100, 1, 2, tzinfo=UTC)):
        with pytest.raises(errors.ReceiptForged, match="not valid at this time"):
            notices.check(notices.VECTORS["messagebird"], now=now)


def signed(head: dict[str, Any], claims: dict[str, Any], secret: str = "sig-secret", digest: str = "sha256") -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (head, claims)]
    made = hmac.digest(secret.encode(), ".".join(parts).encode(), digest)
    return ".".join([*parts, base64.urlsafe_b64encode(made).decode().rstrip("=")])


CLAIMS = {"iat": 1577880000, "payload_hash": hashlib.sha256(notices.VONAGE_BODY).hexdigest()}
TOKENS: dict[str, Callable[[], str]] = {
    "no algorithm": lambda: signed({"alg": "none"}, CLAIMS),
    "none, unsigned": lambda: signed({"alg": "none"}, CLAIMS).rsplit(".", 1)[0] + ".",
    "another algorithm": lambda: signed({"alg": "HS512"}, CLAIMS, digest="sha512"),
    "algorithm of another type": lambda: signed({"alg": ["HS256"]}, CLAIMS),
    "head is a list": lambda: signed([], CLAIMS),  # type: ignore[arg-type]
    "claims are a list": lambda: signed({"alg": "HS256"}, []),  # type: ignore[arg-type]
    "no time": lambda: signed({"alg": "HS256"}, {"payload_hash": CLAIMS["payload_hash"]}),
    "time is true": lambda: signed({"alg": "HS256"}, CLAIMS | {"iat": True}),
    "time is text": lambda: signed({"alg": "HS256"}, CLAIMS | {"iat": "soon"}),
    "time is not a number": lambda: signed({"alg": "HS256"}, CLAIMS | {"iat": float("nan")}),
    "no hash": lambda: signed({"alg": "HS256"}, {"iat": 1577880000}),
    "hash is a number": lambda: signed({"alg": "HS256"}, CLAIMS | {"payload_hash": 1}),
    "too few parts": lambda: "a.b",
    "no base64": lambda: "!.!.!",
    "deep": lambda: base64.urlsafe_b64encode(b"[" * 50_000).decode() + ".e30.x",
    "empty": lambda: "",
}


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_that_are_none(name: str) -> None:
    headers = {"Authorization": f"Bearer {TOKENS[name]()}"}
    with pytest.raises(errors.ReceiptForged):
        notices.check(
            notices.VECTORS["vonage, token"], notice=notices.notice("https://h/", headers, notices.VONAGE_BODY)
        )


@pytest.mark.parametrize("name", notices.VECTORS)
@settings(deadline=None)
@given(junk=st.text(max_size=60), body=st.binary(max_size=60))
def test_nothing_but_forged_is_raised(name: str, junk: str, body: bytes) -> None:
    good = notices.VECTORS[name].notice
    headers = dict.fromkeys(good.headers, junk)
    asked = replace(good, headers=headers, body=body, url="https://h/" + junk.replace("#", ""))
    with pytest.raises(errors.ReceiptForged):
        notices.check(notices.VECTORS[name], notice=asked)


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"scheme": "twilio"}, "needs `secret`"),
    ({"scheme": "none", "secret": "a"}, "none has no secret"),
    ({"scheme": "rot13", "secret": "a"}, "scheme"),
    ({"scheme": "hmac", "secret": "a"}, "needs header and over"),
    ({"scheme": "hmac", "secret": "a", "header": "X", "over": "{timestamp}"}, "must hold {body} or {url}"),
    ({"scheme": "hmac", "secret": "a", "header": "X", "over": "{body}{timestamp}"}, "both, or neither"),
    ({"scheme": "hmac", "secret": "a", "header": "X", "over": "{body}", "nonce": "N"}, "both, or neither"),
    ({"scheme": "hmac", "secret": "a", "header": "X", "over": "{bdoy}"}, "{bdoy} is unknown"),
    ({"scheme": "hmac", "secret": "a", "header": "X Y", "over": "{body}"}, "no header's name"),
    ({"scheme": "ed25519", "secret": "a", "header": "X"}, "needs header and over"),
    ({"scheme": "hmac", "secret": "a", "header": "X", "over": "{body}", "algorithm": "crc32"}, "algorithm"),
]


@pytest.mark.parametrize(("tree", "says"), MISTAKES)
def test_mistakes(tree: dict[str, Any], says: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=says.replace("{", r"\{").replace("`", "`")):
        signatures_settings.Verify.model_validate(tree)


def test_without_verification_all_is_good() -> None:
    signatures.check(
        signatures_settings.Verify(scheme="none"), notices.notice("https://h/", {}), "form", "", notices.AT
    )


LONG, MANY = b"a=" + b"%26" * 20_000 + b"&sig=a", b"&".join(b"f%d=1" % number for number in range(500)) + b"&sig=a"
EXPENSIVE: dict[str, tuple[str, signatures_settings.Source, bytes]] = {
    "twilio, a long form": ("twilio", "form", LONG),
    "twilio, many fields": ("twilio", "form", MANY),
    "plivo, a long form": ("plivo", "form", LONG),
    "plivo, many fields": ("plivo", "form", MANY),
    "vonage, a long form": ("vonage_sms", "form", LONG),
    "vonage, many fields": ("vonage_sms", "form", MANY),
    "vonage, much JSON": ("vonage_sms", "json", b'{"a": "' + b"\\ud800" * 10_000 + b'", "sig": "a"}'),
    "vonage, many members": (
        "vonage_sms",
        "json",
        b"{" + b",".join(b'"%d":1' % number for number in range(500)) + b',"sig":"a"}',
    ),
}


@pytest.mark.parametrize("name", EXPENSIVE)
def test_what_costs_much_to_take_apart_is_refused_unread(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may send it: the signature is only compared once that is done."""
    scheme, source, body = EXPENSIVE[name]
    asked: list[object] = []

    def digest(*given: object) -> bytes:
        asked.append(given)
        return b""

    monkeypatch.setattr(hmac, "digest", digest)
    verify = signatures_settings.Verify.model_validate({"scheme": scheme, "secret": "x"})
    headers = dict.fromkeys(("X-Twilio-Signature", "X-Plivo-Signature-V3", "X-Plivo-Signature-V3-Nonce"), "a")
    notice = notices.notice("https://sms.example/receipts/x", headers, body)
    with pytest.raises(errors.ReceiptForged):
        signatures.check(verify, notice, source, "secret", notices.AT)
    assert asked == []
