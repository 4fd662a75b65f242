"""Notices that are signed: vectors of the companies' documents and libraries.

Where no document shows a vector, it was made with the company's own Python library, named beside it.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from agi_sms import ports
from agi_sms.providers import signatures, signatures_settings

AT = datetime.fromtimestamp(1577880000, UTC)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, kw_only=True)
class Vector:
    """A genuine notice. `timed`: it has a time, so it does not stay good."""

    verify: dict[str, Any]
    secret: str
    notice: ports.Notice
    source: signatures_settings.Source = "form"
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
        source="json",
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
        source="query",
        notice=notice(
            "https://sms.example/receipts/plivo?ref=m1",
            {
                "X-Plivo-Signature-V3": "zbQLmlnqA2PVz9/U/WE5kfV9lKVc1MvQVUTq2/C9Bvw=",
                "X-Plivo-Signature-V3-Nonce": PLIVO_NONCE,
            },
            method="GET",
        ),
    ),
    "plivo Ma-V3": Vector(
        verify={"scheme": "plivo", "secret": "t"},
        secret="t0ken",
        notice=notice(
            "https://sms.example/receipts/plivo",
            {
                "X-Plivo-Signature-Ma-V3": "JxVJy9db1erTJlK8u39TVwryKSKvHP7llqQneKJMTks=",
                "X-Plivo-Signature-V3-Nonce": PLIVO_NONCE,
            },
            PLIVO_FORM,
        ),
    ),
    # checked with vonage-jwt 1.1.5, verify_signature; claims of developer.vonage.com, concepts/webhooks
    "vonage, token": Vector(
        verify={"scheme": "vonage", "secret": "s"},
        secret="sig-secret",
        source="json",
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
        source="query",
        notice=notice(f"https://sms.example/x?{urlencode(VONAGE_FIELDS)}", {}, method="GET"),
        timed=True,
    ),
    "vonage, JSON": Vector(
        verify={"scheme": "vonage_sms", "secret": "s"},
        secret="sig-secret",
        source="json",
        notice=notice(
            "https://sms.example/x", {"content-type": "application/json"}, json.dumps(VONAGE_FIELDS).encode()
        ),
        timed=True,
    ),
    # checked with messagebird 2.2.0, request_validator.RequestValidator
    "messagebird": Vector(
        verify={"scheme": "messagebird", "secret": "s"},
        secret="s1gn",
        source="query",
        notice=notice(BIRD_URL, {"MessageBird-Signature-JWT": BIRD_TOKEN}, method="GET"),
    ),
    # what telnyx 4.189.0, lib/webhook_verification.py verifies; the key is that of the bytes 0 to 31
    "telnyx": Vector(
        verify=ED25519,
        secret="A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        source="json",
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
        source="json",
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
        source="json",
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
        source="query",
        notice=notice("https://h/r/p/rand0m-w0rd?a=1", {}),
    ),
    "a token in the query": Vector(
        verify={"scheme": "token", "secret": "t"},
        secret="rand0m-w0rd",
        source="query",
        notice=notice("https://h/r/p?token=rand0m-w0rd", {}),
    ),
}


def check(vector: Vector, **changes: Any) -> None:
    asked = replace(vector, **changes)
    verify = signatures_settings.Verify.model_validate(asked.verify)
    signatures.check(verify, asked.notice, asked.source, asked.secret, asked.now)
