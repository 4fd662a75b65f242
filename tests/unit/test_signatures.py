"""Signatures of receipts: vectors of the companies' documents and libraries, and what a forger would try.

Where no document shows a vector, it was made with the company's own Python library, named beside it.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import errors, ports
from agi_sms.providers import signatures

AT = datetime.fromtimestamp(1577880000, UTC)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, kw_only=True)
class Vector:
    """A genuine notice. `bare`: it has no time, so it stays good."""

    verify: dict[str, Any]
    secret: str
    notice: ports.Notice
    now: datetime = AT
    timed: bool = False


def notice(url: str, headers: dict[str, str], body: bytes = b"", method: str = "POST") -> ports.Notice:
    return ports.Notice(method=method, url=url, headers=headers, body=body)


def form(**fields: str) -> bytes:
    return urlencode(fields).encode()


# https://www.twilio.com/docs/usage/security, the example of the PHP library's documentation
TWILIO_DOCUMENTED = notice(
    "https://mycompany.com/myapp.php?foo=1&bar=2",
    {"X-Twilio-Signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8=", **FORM},
    form(CallSid="CA1234567890ABCDE", Caller="+14158675309", Digits="1234", From="+14158675309", To="+18005551212"),
)
TWILIO_FORM = form(MessageSid="SM1", MessageStatus="delivered", To="+15558675310")
PLIVO_FORM = form(From="14151112222", MessageUUID="db3ce55a", Status="delivered", To="14152223333")
PLIVO_NONCE = "12345678901234567890"
TELNYX_BODY = b'{"data":{"event_type":"message.finalized","payload":{"id":"ac012cbf","to":[{"status":"delivered"}]}}}'
VONAGE_BODY = b'{"message_uuid":"aaaaaaaa-bbbb","status":"delivered"}'
VONAGE_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE1Nzc4ODAwMDAsImp0aSI6ImM1YmE4ZjI0LTFhMTQtNGMxMC1iZmRmLTNmYmU4Y2U"
    "1MTFiNSIsImlzcyI6IlZvbmFnZSIsInBheWxvYWRfaGFzaCI6ImQwOGRkYjNhYmVlYTAyNDcxMDUwMDY5YzhlODg4ODk4ODA4MWU2MWJkZTNjNjg1"
    "Yzk1YjY4ZGYxOGU4NmUzMjEiLCJhcGlfa2V5IjoiYWJjZDEyMzQiLCJhcHBsaWNhdGlvbl9pZCI6ImFhYWFhYWFhLWJiYmItY2NjYy1kZGRkLTAxM"
    "jM0NTY3ODlhYiJ9.1Pkq5qStwcJ042u8x9GgY5rg4XHxscyB8-PTRYtDGkM"
)
VONAGE_FIELDS = {
    "msisdn": "447700900000",
    "to": "AcmeInc",
    "network-code": "12345",
    "messageId": "aaaaaaaa-bbbb",
    "price": "0.0333",
    "status": "delivered",
    "scts": "2001011400",
    "err-code": "0",
    "api-key": "abcd1234",
    "client-ref": "m1",
    "message-timestamp": "2020-01-01 12:00:00",
    "timestamp": "1577880000",
    "nonce": "a&b=c",
    "sig": "2ad4b2a70128742a9d5e8eb814da8858aca3d8dca7c3ea90d90d078e6688c2d5",
}
BIRD_URL = "https://sms.example/receipts/messagebird?id=e80&reference=m1&status=delivered"
BIRD_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJNZXNzYWdlQmlyZCIsIm5iZiI6MTU3Nzg4MDAwMCwiZXhwIjo0MTAyNDQ0ODAwLCJqd"
    "GkiOiJ4IiwidXJsX2hhc2giOiI4MGEzOGZhMmYzZjNiOTZjMzYxNWZiYjdiYjc2ODAwODZiMzcwYjgzZmMzMWFiMzkxMTNlOTUyNzdkNjhlMTExIn0"
    ".xCuNKSFr1zX_ZGSwcDcbyBRKepDmpGqQAeTUi6mlUn0"
)
SINCH_HEADERS = {
    "x-sinch-webhook-signature-nonce": "01FJA8B4A7BM43YGWSG9GBV067",
    "x-sinch-webhook-signature-timestamp": "1577880000",
}
SINCH = {
    "scheme": "hmac",
    "secret": "key",
    "header": "X-Sinch-Webhook-Signature",
    "nonce": "X-Sinch-Webhook-Signature-Nonce",
    "timestamp": "X-Sinch-Webhook-Signature-Timestamp",
    "over": "{body}.{nonce}.{timestamp}",
    "encoding": "base64",
}
ANDROID = {
    "scheme": "hmac",
    "secret": "key",
    "header": "X-Signature",
    "timestamp": "X-Timestamp",
    "over": "{body}{timestamp}",
}
ED25519 = {
    "scheme": "ed25519",
    "secret": "key",
    "header": "Telnyx-Signature-Ed25519",
    "timestamp": "Telnyx-Timestamp",
    "over": "{timestamp}|{body}",
}

VECTORS = {
    "twilio, documented": Vector(verify={"scheme": "twilio", "secret": "t"}, secret="12345", notice=TWILIO_DOCUMENTED),
    # twilio 9.13.0, request_validator.RequestValidator.compute_signature
    "twilio, signed with the port": Vector(
        verify={"scheme": "twilio", "secret": "t"},
        secret="t0ken",
        notice=notice(
            "https://sms.example/receipts/twilio?ref=m1",
            {"x-twilio-signature": "xhFJWJjsRHVohZh9yAipf7YnTLg=", **FORM},
            TWILIO_FORM,
        ),
    ),
    "twilio, SHA-256": Vector(
        verify={"scheme": "twilio", "secret": "t"},
        secret="t0ken",
        notice=notice(
            "https://sms.example/receipts/twilio?ref=m1",
            {
                "X-Twilio-Signature": "HGJd8YLteifPoZjwXgIXMq9zwo1wepdpUTFXqaIlp+Y=",
                "X-Twilio-Webhooks-Signature-Settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256",
                **FORM,
            },
            TWILIO_FORM,
        ),
    ),
    "twilio, JSON": Vector(
        verify={"scheme": "twilio", "secret": "t"},
        secret="t0ken",
        notice=notice(
            "https://sms.example/receipts/twilio?ref=m1&bodySHA256=" + hashlib.sha256(b'{"a": 1}').hexdigest(),
            {"X-Twilio-Signature": "xFL8HVEDwn9D7lIIOEGjYoGDhUc=", "Content-Type": "application/json"},
            b'{"a": 1}',
        ),
    ),
    # plivo 4.63.0, utils/signature_v3.py: get_signature_v3 over construct_post_url and construct_get_url
    "plivo V3": Vector(
        verify={"scheme": "plivo", "secret": "t"},
        secret="t0ken",
        notice=notice(
            "https://sms.example/receipts/plivo?ref=m1",
            {
                "X-Plivo-Signature-V3": "other=,j5fCJAXp5a3/gulbDBqWD9LeuGfNuJG6jEvysTyDi7g=",
                "X-Plivo-Signature-V3-Nonce": PLIVO_NONCE,
            },
            PLIVO_FORM,
        ),
    ),
    "plivo V3, no query": Vector(
        verify={"scheme": "plivo", "secret": "t"},
        secret="t0ken",
        notice=notice(
            "https://sms.example/receipts/plivo",
            {
                "X-Plivo-Signature-V3": "JxVJy9db1erTJlK8u39TVwryKSKvHP7llqQneKJMTks=",
                "X-Plivo-Signature-V3-Nonce": PLIVO_NONCE,
            },
            PLIVO_FORM,
        ),
    ),
    "plivo V3, GET": Vector(
        verify={"scheme": "plivo", "secret": "t"},
        secret="t0ken",
        notice=notice(
            "https://sms.example/receipts/plivo?ref=m1",
            {
                "X-Plivo-Signature-V3": "zbQLmlnqA2PVz9/U/WE5kfV9lKVc1MvQVUTq2/C9Bvw=",
                "X-Plivo-Signature-V3-Nonce": PLIVO_NONCE,
            },
            method="GET",
        ),
    ),
    # plivo 4.63.0, utils/__init__.py: validate_signature
    "plivo V2": Vector(
        verify={"scheme": "plivo", "secret": "t"},
        secret="t0ken",
        notice=notice(
            "https://sms.example/receipts/plivo?ref=m1",
            {
                "X-Plivo-Signature-V2": "38LGgWve1NaFMYC7/Ff2MiIONG3EvSWUBSy19SOCDB0=",
                "X-Plivo-Signature-V2-Nonce": PLIVO_NONCE,
            },
            PLIVO_FORM,
        ),
    ),
    # checked with vonage-jwt 1.1.5, verify_signature; claims of developer.vonage.com, concepts/webhooks
    "vonage, token": Vector(
        verify={"scheme": "vonage", "secret": "s"},
        secret="sig-secret",
        notice=notice("https://sms.example/x", {"Authorization": f"Bearer {VONAGE_TOKEN}"}, VONAGE_BODY),
        timed=True,
    ),
    # vonage-http-client, auth.Auth.sign_params with sha256
    "vonage, form": Vector(
        verify={"scheme": "vonage_sms", "secret": "s"},
        secret="sig-secret",
        notice=notice("https://sms.example/x", FORM, urlencode(VONAGE_FIELDS).encode()),
        timed=True,
    ),
    "vonage, query": Vector(
        verify={"scheme": "vonage_sms", "secret": "s"},
        secret="sig-secret",
        notice=notice(f"https://sms.example/x?{urlencode(VONAGE_FIELDS)}", {}, method="GET"),
        timed=True,
    ),
    "vonage, JSON": Vector(
        verify={"scheme": "vonage_sms", "secret": "s"},
        secret="sig-secret",
        notice=notice(
            "https://sms.example/x", {"content-type": "application/json"}, json.dumps(VONAGE_FIELDS).encode()
        ),
        timed=True,
    ),
    # checked with messagebird 2.2.0, request_validator.RequestValidator
    "messagebird": Vector(
        verify={"scheme": "messagebird", "secret": "s"},
        secret="s1gn",
        notice=notice(BIRD_URL, {"MessageBird-Signature-JWT": BIRD_TOKEN}, method="GET"),
    ),
    # what telnyx 4.189.0, lib/webhook_verification.py verifies; the key is that of the bytes 0 to 31
    "telnyx": Vector(
        verify=ED25519,
        secret="A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        notice=notice(
            "https://sms.example/x",
            {
                "telnyx-timestamp": "1577880000",
                "telnyx-signature-ed25519": (
                    "95RdtG+mrGF1skJYkzc4W8WF76fo++D/Njrm9FSoRPDWEMCVy+Pl/atJbvTmHddCA+AmwWBd/DU9Cqj7n26+CA=="
                ),
            },
            TELNYX_BODY,
        ),
        timed=True,
    ),
    # sinch 2.3.0, authentication_validation.calculate_sinch_event_signature: body.nonce.timestamp
    "sinch": Vector(
        verify=SINCH,
        secret="foo_secret1234",
        notice=notice(
            "https://sms.example/x",
            SINCH_HEADERS
            | {
                "x-sinch-webhook-signature": base64.b64encode(
                    hmac.digest(b"foo_secret1234", b'{"a":1}.01FJA8B4A7BM43YGWSG9GBV067.1577880000', "sha256")
                ).decode()
            },
            b'{"a":1}',
        ),
        timed=True,
    ),
    # docs.sms-gate.app/features/webhooks: HMAC-SHA256, hexadecimal, over body and timestamp
    "android-sms-gateway": Vector(
        verify=ANDROID,
        secret="k3y",
        notice=notice(
            "https://sms.example/x",
            {"X-Timestamp": "1577880000", "X-Signature": hmac.digest(b"k3y", b"{}1577880000", "sha256").hex()},
            b"{}",
        ),
        timed=True,
    ),
    "a token in the path": Vector(
        verify={"scheme": "token", "secret": "t"},
        secret="rand0m-w0rd",
        notice=notice("https://h/r/p/rand0m-w0rd?a=1", {}),
    ),
    "a token in the query": Vector(
        verify={"scheme": "token", "secret": "t"},
        secret="rand0m-w0rd",
        notice=notice("https://h/r/p?token=rand0m-w0rd", {}),
    ),
}


def check(vector: Vector, **changes: Any) -> None:
    asked = replace(vector, **changes)
    signatures.check(signatures.Verify.model_validate(asked.verify), asked.notice, asked.secret, asked.now)


@pytest.mark.parametrize("name", VECTORS)
def test_genuine(name: str) -> None:
    check(VECTORS[name])


@pytest.mark.parametrize("name", VECTORS)
def test_another_secret(name: str) -> None:
    other = base64.b64encode(bytes(32)).decode() if "telnyx" in name else "another-secret"
    with pytest.raises(errors.ReceiptForged):
        check(VECTORS[name], secret=other)
    with pytest.raises(errors.ReceiptForged, match="missing"):
        check(VECTORS[name], secret="")


COVERS_NO_BODY = {"plivo V2", "plivo V3, GET", "vonage, query", "a token in the path", "a token in the query"}
COVERS_NO_ADDRESS = {"vonage, token", "vonage, form", "vonage, JSON", "telnyx", "sinch", "android-sms-gateway"}


@pytest.mark.parametrize("name", sorted(VECTORS.keys() - COVERS_NO_BODY))
def test_another_body(name: str) -> None:
    good = VECTORS[name].notice
    with pytest.raises(errors.ReceiptForged):
        check(VECTORS[name], notice=replace(good, body=good.body + b"&a=b"))


@pytest.mark.parametrize("name", sorted(VECTORS.keys() - COVERS_NO_ADDRESS))
def test_another_address(name: str) -> None:
    good = VECTORS[name].notice
    with pytest.raises(errors.ReceiptForged):
        check(
            VECTORS[name],
            notice=replace(
                good,
                url=good.url.replace("receipts", "else")
                .replace("rand0m", "guess")
                .replace("myapp", "else")
                .replace("x?", "x?a=b&"),
            ),
        )


@pytest.mark.parametrize("name", [name for name in VECTORS if VECTORS[name].notice.headers])
def test_a_header_less(name: str) -> None:
    good = VECTORS[name].notice
    for gone in [
        key for key in good.headers if key.lower() not in {"content-type", "x-twilio-webhooks-signature-settings"}
    ]:
        rest = {key: value for key, value in good.headers.items() if key != gone}
        with pytest.raises(errors.ReceiptForged):
            check(VECTORS[name], notice=replace(good, headers=rest))


@pytest.mark.parametrize(
    "off", [timedelta(minutes=5, seconds=1), -timedelta(minutes=5, seconds=1), timedelta(days=3650)]
)
@pytest.mark.parametrize("name", [name for name in VECTORS if VECTORS[name].timed])
def test_another_time(name: str, off: timedelta) -> None:
    check(VECTORS[name], now=AT + timedelta(minutes=5))
    with pytest.raises(errors.ReceiptForged, match="too long ago"):
        check(VECTORS[name], now=AT + off)


def test_a_token_of_messagebird_has_its_own_time() -> None:
    for now in (AT - timedelta(seconds=2), datetime(2100, 1, 2, tzinfo=UTC)):
        with pytest.raises(errors.ReceiptForged, match="not valid at this time"):
            check(VECTORS["messagebird"], now=now)


def signed(head: dict[str, Any], claims: dict[str, Any], secret: str = "sig-secret", digest: str = "sha256") -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (head, claims)]
    made = hmac.digest(secret.encode(), ".".join(parts).encode(), digest)
    return ".".join([*parts, base64.urlsafe_b64encode(made).decode().rstrip("=")])


CLAIMS = {"iat": 1577880000, "payload_hash": hashlib.sha256(VONAGE_BODY).hexdigest()}
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
        check(VECTORS["vonage, token"], notice=notice("https://h/", headers, VONAGE_BODY))


@pytest.mark.parametrize("name", VECTORS)
@settings(deadline=None)
@given(junk=st.text(max_size=60), body=st.binary(max_size=60))
def test_nothing_but_forged_is_raised(name: str, junk: str, body: bytes) -> None:
    good = VECTORS[name].notice
    headers = dict.fromkeys(good.headers, junk)
    asked = replace(good, headers=headers, body=body, url="https://h/" + junk.replace("#", ""))
    with pytest.raises(errors.ReceiptForged):
        check(VECTORS[name], notice=asked)


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
        signatures.Verify.model_validate(tree)


def test_without_verification_all_is_good() -> None:
    signatures.check(signatures.Verify(scheme="none"), notice("https://h/", {}), "", AT)
