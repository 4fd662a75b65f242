"""Whether a receipt comes from the company it says: signatures by name, HMAC as configured, or a token in the address.

Each scheme is the company's own; the tests hold vectors of their documents and libraries. Whatever is compared is
compared in constant time. A scheme that has a time refuses what is older, or newer, than `tolerance`.
"""

import base64
import binascii
import hashlib
import hmac
import importlib
import json
import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agi_sms import errors, ports
from agi_sms.providers import signatures_settings

_LARGEST_PARSED = 16 * 1024  # bytes of a form, or of JSON, that are taken apart before anybody is known to have signed
_MOST_FIELDS = 100  # in them; the companies' receipts have about twenty
_MOST_GIVEN = 10  # signatures in one header
_NONCE = re.compile(r"[A-Za-z0-9_+/=:-]{1,200}")  # without the characters that join what is signed
_TWILIO_ALGORITHMS = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What a scheme looks at."""

    notice: ports.Notice
    source: signatures_settings.Source
    headers: Mapping[str, str]  # names in lower case
    secret: str
    verify: signatures_settings.Verify
    now: datetime

    def header(self, name: str) -> str:
        """Raises ReceiptForged where it is not there."""
        found = self.headers.get(name.lower(), "").strip()
        if not found:
            raise errors.ReceiptForged(f"the header {name} is missing")
        return found

    def nonce(self, name: str) -> str:
        """Raises ReceiptForged where it could hold a part of what else is signed."""
        found = self.header(name)
        if not _NONCE.fullmatch(found):
            raise errors.ReceiptForged(f"the header {name} holds no nonce")
        return found

    def fresh(self, seconds: object) -> None:
        """Raise ReceiptForged for a time (since 1970) that is too far from now."""
        try:
            if isinstance(seconds, bool) or not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", str(seconds)):
                raise ValueError  # noqa: TRY301
            off = abs(self.now.timestamp() - float(str(seconds)))
        except ValueError:
            raise errors.ReceiptForged("its time is none") from None
        if off > self.verify.tolerance.total_seconds():
            raise errors.ReceiptForged("it was signed too long ago, or one of the clocks is wrong")


def check(
    verify: signatures_settings.Verify,
    notice: ports.Notice,
    source: signatures_settings.Source,
    secret: str,
    now: datetime,
) -> None:
    """Raise ReceiptForged, saying why, where a notice that is read as `source` is not signed as it should be.

    `now` is aware. Where it passes, what `verify.covers(source)` says is the company's own.
    """
    headers = {name.lower(): value for name, value in notice.headers.items()}
    asked = _Asked(notice=notice, source=source, headers=headers, secret=secret, verify=verify, now=now.astimezone(UTC))
    if verify.scheme != "none" and not secret:
        raise errors.ReceiptForged(f"cannot be verified: secret.{verify.secret} is missing")
    try:
        _SCHEMES[verify.scheme](asked)
    except UnicodeError:  # bytes that are no text, where a signature should be
        raise errors.ReceiptForged("the signature is not good") from None


def _same(one: str | bytes, other: str | bytes) -> bool:
    first, second = (text.encode() if isinstance(text, str) else text for text in (one, other))
    return hmac.compare_digest(first, second)


def _matching(found: str, expected: set[str]) -> None:
    if not sum(_same(found, one) for one in expected):  # all are compared, whichever fits
        raise errors.ReceiptForged("the signature is not good")


# --- a token in the address ---------------------------------------------------------------------------------------


def _token(asked: _Asked) -> None:
    parts = urllib.parse.urlsplit(asked.notice.url)
    said = urllib.parse.unquote(parts.path.rsplit("/", 1)[-1])
    named = dict(_pairs(parts.query)).get("token", "")
    if not _same(said, asked.secret) | _same(named, asked.secret):
        raise errors.ReceiptForged("the token in the address is not ours")


# --- what is configured -------------------------------------------------------------------------------------------


def _signed(asked: _Asked) -> bytes:
    """The bytes that `over` names."""
    verify, notice = asked.verify, asked.notice
    values = {"body": notice.body, "url": notice.url.encode(), "method": notice.method.encode()}
    if verify.timestamp is not None:
        values["timestamp"] = asked.header(verify.timestamp).encode()
    if verify.nonce is not None:
        values["nonce"] = asked.nonce(verify.nonce).encode()
    pieces = signatures_settings.PLACES.split(verify.over or "")
    return b"".join(values[piece] if at % 2 else piece.encode() for at, piece in enumerate(pieces))


def _hmac(asked: _Asked) -> None:
    verify = asked.verify
    found = asked.header(verify.header or "")
    if not found.startswith(verify.prefix):
        raise errors.ReceiptForged("the signature is not good")
    digest = hmac.digest(asked.secret.encode(), _signed(asked), verify.algorithm)
    found = found.removeprefix(verify.prefix)
    if verify.encoding == "hex":
        _matching(found.lower(), {digest.hex()})
    else:
        _matching(found, {base64.b64encode(digest).decode()})
    if verify.timestamp is not None:
        asked.fresh(asked.header(verify.timestamp))


def prepare(verify: signatures_settings.Verify) -> None:
    """Load what checking by this scheme needs, so that the first receipt does not keep the event loop with it."""
    if verify.scheme == "ed25519":
        importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")


def _ed25519(asked: _Asked) -> None:
    from cryptography import exceptions
    from cryptography.hazmat.primitives.asymmetric import ed25519

    verify = asked.verify
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(asked.secret, validate=True))
        signature = base64.b64decode(asked.header(verify.header or ""), validate=True)
        key.verify(signature, _signed(asked))
    except exceptions.InvalidSignature:
        raise errors.ReceiptForged("the signature is not good") from None
    except (binascii.Error, ValueError) as error:
        raise errors.ReceiptForged(f"the key or the signature cannot be read: {error}") from None
    if verify.timestamp is not None:
        asked.fresh(asked.header(verify.timestamp))


# --- Twilio -------------------------------------------------------------------------------------------------------


def _twilio(asked: _Asked) -> None:
    """https://www.twilio.com/docs/usage/security: HMAC over the address and the sorted form; JSON by its hash in it."""
    notice = asked.notice
    found = asked.header("X-Twilio-Signature")
    settings = asked.headers.get("x-twilio-webhooks-signature-settings", "")
    named = dict(part.strip().split("=", 1) for part in settings.split(",") if "=" in part).get(
        "algorithm", "HMAC_SHA1"
    )
    algorithm = _TWILIO_ALGORITHMS.get(named.upper())
    if algorithm is None:
        raise errors.ReceiptForged(f"is signed by {named[:40]!r}, which is not known here")
    query = dict(_pairs(urllib.parse.urlsplit(notice.url).query))
    rest = ""
    if "bodySHA256" in query:
        if not _same(hashlib.sha256(notice.body).hexdigest(), query["bodySHA256"]):
            raise errors.ReceiptForged("its body is not the one that was signed")
    elif asked.source in {"json", "xml"}:
        raise errors.ReceiptForged("its body is not signed")
    else:
        rest = "".join(name + value for name, value in sorted(set(_form(notice.body))))
    key = asked.secret.encode()
    digests = (hmac.digest(key, (url + rest).encode(), algorithm) for url in _ports(notice.url))
    _matching(found, {base64.b64encode(digest).decode() for digest in digests})


def _form(body: bytes) -> list[tuple[str, str]]:
    return _pairs(_parsable(body))


def _parsable(body: bytes) -> str:
    """Raises ReceiptForged where taking it apart would cost more than a stranger may make us spend."""
    if len(body) > _LARGEST_PARSED:
        raise errors.ReceiptForged(f"its body is longer than {_LARGEST_PARSED // 1024} KiB")
    return body.decode(errors="replace")


def _pairs(source: str) -> list[tuple[str, str]]:
    try:
        return urllib.parse.parse_qsl(source, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise errors.ReceiptForged("it has too many fields") from None


def _ports(url: str) -> set[str]:
    """The address with its port, also where it is the usual one, and without: Twilio signs either."""
    parts = urllib.parse.urlsplit(url)
    bare = re.sub(r":\d+$", "", parts.netloc)
    usual = 443 if parts.scheme == "https" else 80
    full = parts.netloc if bare != parts.netloc else f"{bare}:{usual}"
    return {url, *(urllib.parse.urlunsplit(parts._replace(netloc=netloc)) for netloc in (bare, full))}


# --- JSON web tokens ----------------------------------------------------------------------------------------------


def _claims(asked: _Asked, token: str, algorithms: Mapping[str, str]) -> dict[str, Any]:
    """What a token (RFC 7519, HMAC only) says; its times are for the caller to look at. `algorithms` by their `alg`."""
    try:
        head, claims, signature = token.split(".")
        named, said = (json.loads(_unpadded(part)) for part in (head, claims))
        algorithm = algorithms[named["alg"]]
        genuine = _same(
            hmac.digest(asked.secret.encode(), f"{head}.{claims}".encode(), algorithm), _unpadded(signature)
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise errors.ReceiptForged("the token cannot be read") from None
    if not genuine or not isinstance(said, dict):
        raise errors.ReceiptForged("the signature is not good")
    return said


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _hashes(claims: dict[str, Any], name: str, data: bytes) -> None:
    said = claims.get(name)
    if not isinstance(said, str) or not _same(said.lower(), hashlib.sha256(data).hexdigest()):
        raise errors.ReceiptForged(f"the token's {name} is not that of what came")


def _vonage(asked: _Asked) -> None:
    """https://developer.vonage.com/en/getting-started/concepts/webhooks: a token (HS256) with the body's hash in it."""
    kind, _, token = asked.header("Authorization").partition(" ")
    if kind.lower() != "bearer":
        raise errors.ReceiptForged("the header Authorization holds no token")
    claims = _claims(asked, token.strip(), {"HS256": "sha256"})
    _hashes(claims, "payload_hash", asked.notice.body)
    asked.fresh(claims.get("iat"))


def _messagebird(asked: _Asked) -> None:
    """https://developers.messagebird.com/api/#verifying-http-requests: a token with the hashes of address and body."""
    algorithms = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
    claims = _claims(asked, asked.header("MessageBird-Signature-JWT"), algorithms)
    if claims.get("iss") != "MessageBird":
        raise errors.ReceiptForged("the token is not MessageBird's")
    _hashes(claims, "url_hash", asked.notice.url.encode())
    if asked.notice.body or "payload_hash" in claims:
        _hashes(claims, "payload_hash", asked.notice.body)
    now, leeway = asked.now.timestamp(), 1.0
    try:
        valid = float(claims["nbf"]) - leeway <= now < float(claims["exp"]) + leeway
    except (KeyError, TypeError, ValueError, OverflowError):
        valid = False
    if not valid:
        raise errors.ReceiptForged("the token is not valid at this time")


# --- Vonage's SMS API ---------------------------------------------------------------------------------------------


def _vonage_sms(asked: _Asked) -> None:
    """https://developer.vonage.com/en/getting-started/concepts/signing-messages: HMAC over the sorted parameters."""
    found = _parameters(asked)
    said = found.pop("sig", "").lower()
    if not said:
        raise errors.ReceiptForged("the parameter sig is missing")
    if any("&" in name or "=" in name for name in found):  # one field that signs like several
        raise errors.ReceiptForged("a parameter has a name that is none")
    text = "".join(f"&{name}={re.sub('[&=]', '_', found[name])}" for name in sorted(found))
    _matching(said, {hmac.digest(asked.secret.encode(), text.encode(), asked.verify.algorithm).hex()})
    asked.fresh(found.get("timestamp"))


def _parameters(asked: _Asked) -> dict[str, str]:
    match asked.source:
        case "query":
            query = urllib.parse.urlsplit(asked.notice.url).query
            return _once(_pairs(query))
        case "form":
            return _once(_form(asked.notice.body))
        case "json":
            return _flat(asked.notice.body)
    raise errors.ReceiptForged("its XML is not signed")


def _once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Raises ReceiptForged where a name is there twice: one of the two would be signed, and the other believed."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise errors.ReceiptForged("a parameter is there twice")
    return found


def _flat(body: bytes) -> dict[str, str]:
    from agi_sms import http_body

    try:
        text = _parsable(body)
        tree = http_body.json_tree(text) if text.count(":") <= 10 * _MOST_FIELDS else None  # in values there are some
    except http_body.Unreadable:
        tree = None
    if not isinstance(tree, dict) or not all(isinstance(one, str | int | float) for one in tree.values()):
        raise errors.ReceiptForged("its JSON is not a list of names and values")
    if len(tree) > _MOST_FIELDS:
        raise errors.ReceiptForged("it has too many fields")
    return {name: http_body.shown(value) for name, value in tree.items()}


# --- Plivo --------------------------------------------------------------------------------------------------------


def _plivo(asked: _Asked) -> None:
    """Plivo's signature V3 (their library, utils/signature_v3.py): HMAC over address, sorted parameters and a nonce.

    Ma-V3 is the same by the main account's token, V3 by that of the (sub)account. V2, which their messaging pages tell
    of, is over the address alone: whoever has seen one could report anything, so it is not taken.
    """
    found = [asked.headers.get(name, "") for name in ("x-plivo-signature-v3", "x-plivo-signature-ma-v3")]
    if not any(found):
        raise errors.ReceiptForged(
            "it has no signature V3, and V2 does not cover its fields; where Plivo signs with nothing else, write "
            "receipts.verify: {scheme: token, secret: receipt_token}"
            if {"x-plivo-signature-v2", "x-plivo-signature-ma-v2"} & asked.headers.keys()
            else "the header X-Plivo-Signature-V3 is missing"
        )
    parts = urllib.parse.urlsplit(asked.notice.url)
    query = _sorted(_pairs(parts.query), "=", "&")
    form = _sorted(_form(asked.notice.body), "", "")
    base = urllib.parse.urlunsplit(parts._replace(query="", fragment=""))
    base += f"?{query}" if query or form else ""
    base += "." if query and form else ""
    signed = f"{base}{form}.{asked.nonce('X-Plivo-Signature-V3-Nonce')}"
    expected = base64.b64encode(hmac.digest(asked.secret.encode(), signed.encode(), "sha256")).decode()
    given = [one for header in found for one in header.split(",", _MOST_GIVEN)[:_MOST_GIVEN]]
    if not sum(_same(one.strip(), expected) for one in given):
        raise errors.ReceiptForged("the signature is not good")


def _sorted(pairs: list[tuple[str, str]], equals: str, joint: str) -> str:
    return joint.join(f"{name}{equals}{value}" for name, value in sorted(pairs))


_SCHEMES: dict[str, Callable[[_Asked], None]] = {
    "none": lambda asked: None,
    "token": _token,
    "hmac": _hmac,
    "ed25519": _ed25519,
    "twilio": _twilio,
    "vonage": _vonage,
    "vonage_sms": _vonage_sms,
    "plivo": _plivo,
    "messagebird": _messagebird,
}
