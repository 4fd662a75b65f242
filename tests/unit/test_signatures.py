"""Signatures of receipts: the vectors of the companies, and what a forger would try."""

import base64
import hashlib
import hmac
import importlib
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
    ends = datetime(2100, 1, 1, tzinfo=UTC)
    for now in (notices.AT - timedelta(seconds=1.5), ends + timedelta(seconds=1), datetime(2100, 1, 2, tzinfo=UTC)):
        with pytest.raises(errors.ReceiptForged, match=r"^the token is not valid at this time$"):
            notices.check(notices.VECTORS["messagebird"], now=now)
    for now in (notices.AT - timedelta(seconds=1), ends + timedelta(seconds=0.5)):
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


TWILIO, PLIVO, BIRD = ({"scheme": scheme, "secret": "s"} for scheme in ("twilio", "plivo", "messagebird"))


def mac(text: str, algorithm: str = "sha1", secret: str = "s3cret") -> str:
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), algorithm)).decode()


def twilio(
    url: str,
    signed_as: str,
    fields: bytes = b"",
    algorithm: str = "",
    source: signatures_settings.Source = "form",
) -> notices.Vector:
    """A notice signed over `signed_as`."""
    headers = {"X-Twilio-Signature": mac(signed_as, "sha256" if "256" in algorithm else "sha1")}
    if algorithm:
        headers["X-Twilio-Webhooks-Signature-Settings"] = algorithm
    return notices.Vector(verify=TWILIO, secret="s3cret", notice=notices.notice(url, headers, fields), source=source)


def test_what_twilio_signs() -> None:
    url = "https://h/x"
    notices.check(twilio(url, url + "BodyTo+48", b"To=%2B48&Body="))  # a field that is empty is signed too
    notices.check(twilio(url, url + "ToxToy", b"To=y&To=x&To=x"))
    for written, port in (("https://h", 443), ("http://h", 80)):
        notices.check(twilio(f"{written}/x", f"{written}:{port}/x"))
        notices.check(twilio(f"{written}:{port}/x", f"{written}/x"))
        notices.check(twilio(f"{written}:8443/x", f"{written}/x"))
        notices.check(twilio(f"{written}:8443/x", f"{written}:8443/x"))
        with pytest.raises(errors.ReceiptForged, match=r"^the signature is not good$"):
            notices.check(twilio(f"{written}/x", f"{written}:8443/x"))
    for named in (
        "algorithm=HMAC_SHA256",
        "key=a=b, algorithm=hmac_sha256",
        "algorithm=HMAC_SHA1",
        "key=a",
        "algorithm",
    ):
        notices.check(twilio(url, url, algorithm=named))


def test_what_of_twilio_is_refused() -> None:
    url = "https://h/x"
    word = "A" * 50
    refused = [
        (twilio(url, url, algorithm=f"algorithm={word}"), f"is signed by '{word[:40]}', which is not known here"),
        (
            twilio(url, url, algorithm="algorithm=HMAC_SHA256=1"),
            "is signed by 'HMAC_SHA256=1', which is not known here",
        ),
        (twilio(url, url, source="json"), "its body is not signed"),
        (twilio(url + "?bodySHA256=0", url + "?bodySHA256=0"), "its body is not the one that was signed"),
        (twilio(url, url, b"a" * 16_385), "its body is longer than 16 KiB"),
        (twilio(url, url + "a" * 16_384, b"a" * 16_384), ""),
        (twilio(url, url, b"&".join(b"f%d=1" % number for number in range(500))), "it has too many fields"),
        (replace(twilio(url, url), notice=notices.notice(url, {})), "the header X-Twilio-Signature is missing"),
    ]
    for vector, why in refused:
        if why:
            with pytest.raises(errors.ReceiptForged) as caught:
                notices.check(vector)
            assert str(caught.value) == why
        else:
            notices.check(vector)


def plivo(url: str, signed_as: str, fields: bytes = b"", before: str = "", nonce: str = "n0nce") -> notices.Vector:
    headers = {
        "X-Plivo-Signature-V3": before + mac(signed_as, "sha256"),
        "X-Plivo-Signature-V3-Nonce": nonce,
    }
    return notices.Vector(verify=PLIVO, secret="s3cret", notice=notices.notice(url, headers, fields))


def test_what_plivo_signs() -> None:
    notices.check(plivo("https://h/x", "https://h/x.n0nce"))
    notices.check(plivo("https://h/x?b=2&a=1#f", "https://h/x?a=1&b=2.n0nce"))
    notices.check(plivo("https://h/x?b=&a=1", "https://h/x?a=1&b=.Status1To.n0nce", b"To=&Status=1"))
    notices.check(plivo("https://h/x", "https://h/x?To1.n0nce", b"To=1"))
    most = signatures._MOST_GIVEN
    notices.check(plivo("https://h/x", "https://h/x.n0nce", before="a," * (most - 1)))
    for vector in (
        plivo("https://h/x", "https://h/x.n0nce", before="a," * most),
        plivo("https://h/x", "https://h/x.n0nce?"),
    ):
        with pytest.raises(errors.ReceiptForged, match=r"^the signature is not good$"):
            notices.check(vector)
    for headers, why in (
        ({}, "the header X-Plivo-Signature-V3 is missing"),
        ({"X-Plivo-Signature-V3": "a"}, "the header X-Plivo-Signature-V3-Nonce is missing"),
        (
            {"X-Plivo-Signature-V2": "a"},
            "it has no signature V3, and V2 does not cover its fields; where Plivo signs with nothing else, write "
            "receipts.verify: {scheme: token, secret: receipt_token}",
        ),
    ):
        with pytest.raises(errors.ReceiptForged) as caught:
            notices.check(plivo("https://h/x", ""), notice=notices.notice("https://h/x", headers))
        assert str(caught.value) == why


BIRD_CLAIMS = {
    "iss": "MessageBird", "nbf": notices.AT.timestamp(), "exp": notices.AT.timestamp() + 60,
    "url_hash": hashlib.sha256(b"https://h/x").hexdigest(),
}  # fmt: skip


def bird(claims: dict[str, Any], body: bytes = b"", alg: str = "HS256") -> notices.Vector:
    token = signed({"alg": alg}, claims, "s3cret", alg.replace("HS", "sha"))
    headers = {"MessageBird-Signature-JWT": token}
    return notices.Vector(verify=BIRD, secret="s3cret", notice=notices.notice("https://h/x", headers, body))


def test_what_messagebird_signs() -> None:
    own = BIRD_CLAIMS | {"payload_hash": hashlib.sha256(b"a=1").hexdigest()}
    for alg in ("HS256", "HS384", "HS512"):
        notices.check(bird(BIRD_CLAIMS, alg=alg))
    notices.check(bird(own, b"a=1"))
    less = {name: {key: value for key, value in BIRD_CLAIMS.items() if key != name} for name in BIRD_CLAIMS}
    for vector, why in (
        (bird(BIRD_CLAIMS, b"a=1"), "the token's payload_hash is not that of what came"),
        (bird(own, b"a=2"), "the token's payload_hash is not that of what came"),
        (bird(own), "the token's payload_hash is not that of what came"),
        (bird(less["url_hash"]), "the token's url_hash is not that of what came"),
        (bird(less["iss"]), "the token is not MessageBird's"),
        (bird(less["nbf"]), "the token is not valid at this time"),
        (bird(less["exp"]), "the token is not valid at this time"),
        (bird(BIRD_CLAIMS | {"exp": "soon"}), "the token is not valid at this time"),
        (bird(BIRD_CLAIMS | {"exp": None}), "the token is not valid at this time"),
        (bird(BIRD_CLAIMS | {"nbf": 10**400}), "the token is not valid at this time"),
        (replace(bird(BIRD_CLAIMS), secret="other"), "the signature is not good"),
        (bird(BIRD_CLAIMS, alg="HS224"), "the token cannot be read"),
        (replace(bird({}), notice=notices.notice("https://h/", {})), "the header MessageBird-Signature-JWT is missing"),
    ):
        with pytest.raises(errors.ReceiptForged) as caught:
            notices.check(vector)
        assert str(caught.value) == why


def vonage_sms(fields: dict[str, str]) -> notices.Vector:
    text = "".join(f"&{name}={fields[name]}" for name in sorted(fields))
    sig = hmac.digest(b"s3cret", text.encode(), "sha256").hex().upper()
    return notices.Vector(
        verify={"scheme": "vonage_sms", "secret": "s"},
        secret="s3cret",
        notice=notices.notice("https://h/x", {}, notices.form(**fields, sig=sig)),
    )


def test_what_of_vonage_is_refused() -> None:
    stamp = {"timestamp": "1577880000"}
    notices.check(vonage_sms(stamp | {"a": ""}))
    good = vonage_sms(stamp).notice.body
    json_fields = {f"f{number}": 1 for number in range(signatures._MOST_FIELDS)}
    cases: list[tuple[notices.Vector, signatures_settings.Source, bytes, str]] = [
        (vonage_sms({}), "form", b"a=1", "the parameter sig is missing"),
        (vonage_sms({}), "form", good + b"&timestamp=1", "a parameter is there twice"),
        (vonage_sms({}), "form", b"sig=a&a%26b=1", "a parameter has a name that is none"),
        (vonage_sms({}), "form", b"sig=a&a%3Db=1", "a parameter has a name that is none"),
        (vonage_sms({}), "form", b"sig=a&timestamp=1577880000", "the signature is not good"),
        (vonage_sms({}), "form", vonage_sms({}).notice.body, "its time is none"),
        (vonage_sms({}), "form", vonage_sms({"timestamp": "1"}).notice.body,
         "it was signed too long ago, or one of the clocks is wrong"),
        (vonage_sms({}), "xml", b"<a/>", "its XML is not signed"),
        (vonage_sms({}), "json", b"[]", "its JSON is not a list of names and values"),
        (vonage_sms({}), "json", b"{", "its JSON is not a list of names and values"),
        (vonage_sms({}), "json", b'{"a": []}', "its JSON is not a list of names and values"),
        (vonage_sms({}), "json", b'{"a": "' + b":" * (10 * signatures._MOST_FIELDS) + b'"}',
         "its JSON is not a list of names and values"),
        (vonage_sms({}), "json", b'{"a": "' + b":" * (10 * signatures._MOST_FIELDS - 1) + b'"}',
         "the parameter sig is missing"),
        (vonage_sms({}), "json", json.dumps(json_fields).encode(), "the parameter sig is missing"),
        (vonage_sms({}), "json", json.dumps(json_fields | {"sig": ""}).encode(), "it has too many fields"),
    ]  # fmt: skip
    for vector, source, body, why in cases:
        with pytest.raises(errors.ReceiptForged) as caught:
            notices.check(replace(vector, source=source), notice=replace(vector.notice, body=body))
        assert str(caught.value) == why


def test_what_of_a_token_in_a_header_is_refused() -> None:
    vector = notices.VECTORS["vonage, token"]
    for said, why in (
        ("", "the header Authorization is missing"),
        (f"Basic {notices.VONAGE_TOKEN}", "the header Authorization holds no token"),
        (notices.VONAGE_TOKEN, "the header Authorization holds no token"),
        ("Bearer a.b", "the token cannot be read"),
        (f"Bearer {notices.VONAGE_TOKEN.replace('.', '.!', 1)}", "the token cannot be read"),
        (f"Bearer {notices.VONAGE_TOKEN}!", "the token cannot be read"),
        (f"Bearer {notices.VONAGE_TOKEN[:-3]}AAA", "the signature is not good"),
    ):
        notice = notices.notice("https://h/", {"Authorization": said}, notices.VONAGE_BODY)
        with pytest.raises(errors.ReceiptForged) as caught:
            notices.check(vector, notice=notice)
        assert str(caught.value) == why
    spaced = notices.notice("https://h/", {"Authorization": f"bearer  {notices.VONAGE_TOKEN} "}, notices.VONAGE_BODY)
    notices.check(vector, notice=spaced)


def test_hmac_over_the_method_with_a_prefix() -> None:
    digest = hmac.digest(b"k3y", b"POST:{}", "sha256").hex()
    verify = {"scheme": "hmac", "secret": "k", "header": "X-Sig", "over": "{method}:{body}", "prefix": "sha256="}
    for header, why in (
        (f"sha256={digest}", ""), (f"sha256={digest.upper()}", ""),
        (digest, "the signature is not good"), (f"sha256={digest[:-1]}", "the signature is not good"),
        (f"{digest}sha256=", "the signature is not good"), (" ", "the header X-Sig is missing"),
        ("sha256=\udcff", "the signature is not good"),
    ):  # fmt: skip
        vector = notices.Vector(
            verify=verify, secret="k3y", notice=notices.notice("https://h/", {"x-sig": header}, b"{}")
        )
        if why:
            with pytest.raises(errors.ReceiptForged) as caught:
                notices.check(vector)
            assert str(caught.value) == why
        else:
            notices.check(vector)


def test_ed25519_takes_nothing_but_base64() -> None:
    vector = notices.VECTORS["telnyx"]
    good = vector.notice.headers["telnyx-signature-ed25519"]
    for name, secret, why in (
        (f"!{good}", vector.secret, r"^the key or the signature cannot be read: \S"),
        (good, f"!{vector.secret}", r"^the key or the signature cannot be read: \S"),
        (good.replace("9", "8"), vector.secret, r"^the signature is not good$"),
        ("", vector.secret, r"^the header Telnyx-Signature-Ed25519 is missing$"),
    ):
        headers = {**vector.notice.headers, "telnyx-signature-ed25519": name}
        with pytest.raises(errors.ReceiptForged, match=why):
            notices.check(vector, notice=replace(vector.notice, headers=headers), secret=secret)


def test_a_token_that_is_no_part_of_the_address() -> None:
    vector = notices.VECTORS["a token in the path"]
    notices.check(vector, notice=notices.notice("https://h/r%2Fp/rand0m%2Dw0rd", {}))
    for url in ("https://h/rand0m-w0rd/p", "https://h/r?Token=rand0m-w0rd", "https://h/r", "https://h/r/rand0m-w0rd/"):
        with pytest.raises(errors.ReceiptForged, match=r"^the token in the address is not ours$"):
            notices.check(vector, notice=notices.notice(url, {}))


def test_what_is_loaded_before_the_first_receipt(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(importlib, "import_module", loaded.append)
    for verify in (TWILIO, notices.ED25519):
        signatures.prepare(signatures_settings.Verify.model_validate(verify))
    assert loaded == ["cryptography.hazmat.primitives.asymmetric.ed25519"]
