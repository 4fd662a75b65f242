"""What of a notice a signature covers, for each scheme, and that a forger can change nothing of that."""

import base64
import hmac
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from agi_sms import errors, ports
from agi_sms.providers import signatures_settings
from tests.unit import notices

BELIEVED = {"a token in the path", "a token in the query"}  # whoever knows the token may write what he likes


def others(good: ports.Notice, part: str) -> list[ports.Notice]:
    """What a forger makes of a notice that he has seen."""
    if part == "body":
        whole = good.body
        twin = b"MessageStatus=failed&Status=failed&status=failed&"
        made = [whole + b"&a=b", b"a=b&" + whole, twin + whole, whole[: len(whole) // 2], whole + whole]
        return [replace(good, body=one) for one in made if one != whole]
    address, _, query = good.url.partition("?")
    queries = [f"{query}&a=b", f"a=b&{query}", f"ref=m2&status=failed&{query}", query[:-1], ""]
    return [replace(good, url=f"{address}?{one}") for one in queries if one != query]


@pytest.mark.parametrize("part", ["query", "body"])
@pytest.mark.parametrize("name", sorted(notices.VECTORS.keys() - BELIEVED))
def test_what_a_signature_covers_cannot_be_changed_and_the_rest_can(name: str, part: signatures_settings.Part) -> None:
    vector = notices.VECTORS[name]
    covered = part in signatures_settings.Verify.model_validate(vector.verify).covers(vector.source)
    for other in others(vector.notice, part):
        if covered:
            with pytest.raises(errors.ReceiptForged):
                notices.check(vector, notice=other)
        else:
            notices.check(vector, notice=other)


BOTH = {"query", "body"}
COVERED: list[tuple[dict[str, Any], dict[str, set[str]]]] = [
    ({"scheme": "none"}, {"query": BOTH, "form": BOTH, "json": BOTH, "xml": BOTH}),
    ({"scheme": "token", "secret": "t"}, {"query": BOTH, "form": BOTH, "json": BOTH, "xml": BOTH}),
    ({"scheme": "twilio", "secret": "t"}, {"query": BOTH, "form": BOTH, "json": BOTH, "xml": BOTH}),
    ({"scheme": "messagebird", "secret": "t"}, {"query": BOTH, "form": BOTH, "json": BOTH, "xml": BOTH}),
    ({"scheme": "vonage", "secret": "t"}, {"query": {"body"}, "form": {"body"}, "json": {"body"}, "xml": {"body"}}),
    ({"scheme": "vonage_sms", "secret": "t"}, {"query": {"query"}, "form": {"body"}, "json": {"body"}, "xml": set()}),
    ({"scheme": "plivo", "secret": "t"}, {"query": BOTH, "form": BOTH, "json": {"query"}, "xml": {"query"}}),
    (notices.ED25519, {"query": {"body"}, "form": {"body"}, "json": {"body"}, "xml": {"body"}}),
    ({**notices.ED25519, "over": "{timestamp}{url}"}, {"query": {"query"}, "form": {"query"}, "json": {"query"}}),
    (notices.SINCH, {"query": {"body"}, "json": {"body"}}),
    ({**notices.SINCH, "over": "{method}{url}{body}{nonce}{timestamp}"}, {"query": BOTH, "form": BOTH, "json": BOTH}),
]


@pytest.mark.parametrize(("tree", "parts"), COVERED)
def test_what_each_scheme_covers(tree: dict[str, Any], parts: dict[signatures_settings.Source, set[str]]) -> None:
    verify = signatures_settings.Verify.model_validate(tree)
    assert {source: verify.covers(source) for source in parts} == parts


@pytest.mark.parametrize("over", ["{body}", "{url}", "{url}{body}"])
def test_what_hmac_as_configured_covers(over: str) -> None:
    text = over.replace("{body}", "id=1").replace("{url}", "https://h/x?ref=m1")
    made = hmac.digest(b"k3y", text.encode(), "sha256").hex()
    vector = notices.Vector(
        verify={"scheme": "hmac", "secret": "k", "header": "X", "over": over},
        secret="k3y",
        notice=notices.notice("https://h/x?ref=m1", {"X": made}, b"id=1"),
    )
    notices.check(vector)
    for part in ("query", "body"):
        covered = part in signatures_settings.Verify.model_validate(vector.verify).covers("form")
        for other in others(vector.notice, part):
            if covered:
                with pytest.raises(errors.ReceiptForged):
                    notices.check(vector, notice=other)
            else:
                notices.check(vector, notice=other)


@pytest.mark.parametrize("name", ["twilio, documented", "messagebird", "plivo V3"])
def test_another_path(name: str) -> None:
    good = notices.VECTORS[name].notice
    with pytest.raises(errors.ReceiptForged):
        notices.check(
            notices.VECTORS[name],
            notice=replace(good, url=good.url.replace("receipts", "else").replace("myapp", "else")),
        )


def test_another_token() -> None:
    for name in BELIEVED:
        good = notices.VECTORS[name].notice
        with pytest.raises(errors.ReceiptForged):
            notices.check(notices.VECTORS[name], notice=replace(good, url=good.url.replace("rand0m", "guess")))


def test_plivo_v2_does_not_cover_what_is_said_and_is_not_taken() -> None:
    """It is genuine (plivo 4.63.0, utils/__init__.py, validate_signature), and would be so with any other fields."""
    headers = {
        "X-Plivo-Signature-V2": "38LGgWve1NaFMYC7/Ff2MiIONG3EvSWUBSy19SOCDB0=",
        "X-Plivo-Signature-V2-Nonce": notices.PLIVO_NONCE,
    }
    seen = notices.notice("https://sms.example/receipts/plivo?ref=m1", headers, notices.PLIVO_FORM)
    for body in (notices.PLIVO_FORM, notices.form(MessageUUID="db3ce55a", Status="failed")):
        with pytest.raises(errors.ReceiptForged, match=r"V2 does not cover its fields.*scheme: token"):
            notices.check(notices.VECTORS["plivo V3"], notice=replace(seen, body=body))
    for both in (
        {"X-Plivo-Signature-V3": ""},
        {"X-Plivo-Signature-V3": "", "X-Plivo-Signature-V3-Nonce": notices.PLIVO_NONCE},
    ):
        with pytest.raises(errors.ReceiptForged):
            notices.check(notices.VECTORS["plivo V3"], notice=replace(seen, headers=headers | both))


@pytest.mark.parametrize("source", ["json", "xml"])
def test_twilio_signs_what_is_no_form_by_its_hash_only(source: signatures_settings.Source) -> None:
    """A body whose hash is not in the address is signed as if it were a form: not to the letter."""
    with pytest.raises(errors.ReceiptForged, match="its body is not signed"):
        notices.check(notices.VECTORS["twilio, documented"], source=source)


def test_vonage_signs_no_xml() -> None:
    with pytest.raises(errors.ReceiptForged, match="XML"):
        notices.check(notices.VECTORS["vonage, form"], source="xml")


def test_one_of_vonages_parameters_that_signs_like_several() -> None:
    fields = {name: value for name, value in notices.VONAGE_FIELDS.items() if name not in {"err-code", "client-ref"}}
    fields["client-ref=m1&err-code"] = "0"
    with pytest.raises(errors.ReceiptForged, match="a name that is none"):
        notices.check(
            notices.VECTORS["vonage, form"],
            notice=notices.notice("https://h/", notices.FORM, urlencode(fields).encode()),
        )


def test_a_nonce_holds_nothing_of_what_is_signed() -> None:
    """What comes before it can be cut, and the rest be sent as the nonce."""
    signature = base64.b64encode(hmac.digest(b"k", b"id=1&why=5.5.n.1577880000", "sha256")).decode()
    stamp = {"X-Sinch-Webhook-Signature": signature, "X-Sinch-Webhook-Signature-Timestamp": "1577880000"}
    nonce = "X-Sinch-Webhook-Signature-Nonce"
    good = notices.Vector(
        verify=notices.SINCH, secret="k", notice=notices.notice("https://h/", stamp | {nonce: "n"}, b"id=1&why=5.5")
    )
    notices.check(good)
    with pytest.raises(errors.ReceiptForged, match="holds no nonce"):
        notices.check(good, notice=notices.notice("https://h/", stamp | {nonce: "5.n"}, b"id=1&why=5"))
