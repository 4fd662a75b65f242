"""What is said of providers and senders that are right by themselves, or nearly."""

import os
from pathlib import Path

import pytest

from agi_sms import config, errors

OWN = "p: {type: http, url: https://x.example/send, answer: {id: $.id}, body: {json: {to: '{{ to }}'}}%s}"
REPORTS = ", receipts: {from: json, id: $.id, state: $.s, states: {d: delivered}, verify: {scheme: none}}"
SMPP = "p: {type: smpp, host: smpp.example, system_id: acme%s}"
SMSAPI = "p: {type: http, profile: smsapi, %s}"


def told(folder: Path, provider: str, *, top: str = "", sender: str = "ACME", to: str = "+48600100200") -> list[str]:
    """The warnings about providers and receipts, or the mistakes, with paths relative to the folder."""
    main = folder / "agi-sms.yaml"
    node = f"n: {{sender: '{sender}', recipients: ['{to}'], content: {{text: Hello}}, route: p}}"
    pbx = "pbx:\n  main:\n    ari: {url: 'http://127.0.0.1:8088', username: gw, password: secret-word}\n"
    pbx += "    ami: {username: gw, secret: secret-word}\n"
    main.write_text(f"{pbx}{top}nodes:\n  {node}\nproviders:\n  {provider}\n")
    main.chmod(0o600)
    try:
        found = config.load(main, {}).warnings
    except errors.ConfigError as error:
        found = error.mistakes
    return [line.replace(f"{folder}{os.sep}", "") for line in found]


def listening(url: str) -> str:
    return f"receipts: {{listen: '127.0.0.1:8090', public_url: '{url}'}}\n"


@pytest.mark.parametrize(
    ("provider", "top"),
    [(OWN % "", ""), (OWN % REPORTS, listening("https://sms.example/gw")), (SMPP % ", password: pw", "")],
)
def test_what_is_right_brings_no_word(tmp_path: Path, provider: str, top: str) -> None:
    assert told(tmp_path, provider, top=top) == []


CASES = {
    "no answer": (OWN.replace("answer: {id: $.id}, ", "") % "", "", "8: providers.p.answer: is not said: every 2xx "),
    "no listener": (OWN % REPORTS, "", "1: receipts: is missing, and p would report: no message of theirs becomes "),
    "no public_url": (
        OWN % REPORTS,
        "receipts: {listen: '127.0.0.1:8090'}\n",
        "5: receipts.public_url: is missing, and p ",
    ),
    "receipts twice": (
        OWN % REPORTS,
        listening("https://sms.example/receipts"),
        "5: receipts.public_url: ends in /receipts, and providers are told https://sms.example/receipts/receipts/NAME",
    ),
    "no password": (SMPP % "", "", "8: providers.p.password: is empty: the SMSC"),
    "no braces": (
        SMSAPI % "receipts: null, secret: {token: $SMS_TOKEN}",
        "",
        "8: providers.p.secret.token: is a $ and a name, taken as it stands; a variable is written ${NAME}",
    ),
    "of the example": (
        SMSAPI % "receipts: null, secret: {token: CHANGE-ME}",
        "",
        "8: providers.p.secret.token: is still what stands for it in an example",
    ),
    "a profile as type": (
        "p: {type: smsapi}",
        "",
        "8: providers.p.type: there is no such type of provider; smsapi is a profile: write type: http, profile: ",
    ),
    "a short token": (
        SMSAPI % "secret: {token: abcdefgh, receipt_token: kurz}",
        listening("https://sms.example"),
        "9: providers.p.secret.receipt_token: goes into the address of receipts; write 8 or more",
    ),
    "a variable that is not set": (
        SMSAPI % "secret: {token: '${SMS_TOKEN}'}",
        "",
        "8: providers.p.secret.token: the environment variable SMS_TOKEN is not set; set it (a running gateway has",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_told(tmp_path: Path, name: str) -> None:
    provider, top, says = CASES[name]
    found = told(tmp_path, provider, top=top)
    assert any(line.startswith(f"agi-sms.yaml:{says}") for line in found), found


def test_a_national_number_is_told_in_international_format(tmp_path: Path) -> None:
    [sender] = told(tmp_path, OWN % "", sender="600100200")
    assert sender.endswith("'600100200' reads like a number; write it as +48600100200, with its country code")
    [recipient] = told(tmp_path, OWN % "", to="600100200")
    assert recipient.endswith(
        "'600100200' has neither + nor 00 in front; write it in international format, as in +48600100200"
    )


def test_the_name_of_a_secret_is_none(tmp_path: Path) -> None:
    verify = "{scheme: hmac, secret: signingkey, header: X-Sign, over: '{timestamp}.{body}'}"
    reports = REPORTS.replace("{scheme: none}", verify)
    found = told(tmp_path, OWN % f"{reports}, secret: {{signingkey: abcdefgh}}", top=listening("https://sms.example"))
    assert not any("not shown" in line for line in found), found
