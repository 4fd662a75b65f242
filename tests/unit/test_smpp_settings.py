"""What an SMPP account is configured by: mistakes say what would be right, secrets never show."""

from pathlib import Path
from typing import Any

import pydantic
import pytest

from agi_sms import message
from agi_sms.providers import smpp_outcomes, smpp_settings

PLAIN: dict[str, Any] = {"type": "smpp", "host": "smpp.example.com", "system_id": "acme", "password": "s3cret"}


def made(**changes: Any) -> smpp_settings.Settings:
    return smpp_settings.Settings.model_validate(PLAIN | changes)


def test_as_little_as_is_needed() -> None:
    settings = made()
    assert (settings.port, settings.tls, settings.window, settings.rate) == (2775, False, 10, None)
    assert settings.validity_period == ""
    assert settings.codes == {}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"host": "smpp.example.com:2775"}, "the port has a key of its own"),
        ({"host": "smpp://smpp.example.com"}, "must be a name or an address alone"),
        ({"host": ""}, "at least 1 character"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"system_id": ""}, "at least 1 character"),
        ({"system_id": "zażółć"}, "printable ASCII"),
        ({"password": "one\ntwo"}, "printable ASCII"),
        ({"password": "x" * 65}, "at most 64"),
        ({"system_type": "x" * 13}, "at most 12 characters"),
        ({"window": 0}, "greater than or equal to 1"),
        ({"rate": 0}, "greater than or equal to 0.1"),
        ({"rate": float("inf")}, "finite number"),
        ({"enquire_link": "10ms"}, "from 1s to 1h"),
        ({"validity": "40d"}, "from 1m to 30d"),
        ({"sender": "much too long a name"}, "at most 11"),
        ({"sender": "48600100200"}, "write it as +48600100200"),
        ({"alphabet": "gsm"}, "'gsm7', 'latin1' or 'ascii'"),
        ({"concatenation": "udh"}, "'udh8', 'udh16', 'sar' or 'payload'"),
        ({"receipt_id": "oct"}, "'as_is', 'hex' or 'decimal'"),
        ({"data_coding": 256}, "less than or equal to 255"),
        ({"codes": {"0x455": "accept"}}, "'retry', 'reject', 'uncertain' or 'provider_down'"),
        ({"codes": {"ESME_X": "retry"}}, "write it as 0x0455"),
        ({"codes": {"0": "retry"}}, "write it as 0x0455"),
        ({"codes": ["retry"]}, "valid dictionary"),
        ({"ca_file": "/no/such/file", "tls": True}, "no certificates that can be read"),
        ({"addresses": {"name": {"ton": 5}}}, "Field required"),
        ({"addresses": {"nick": {"ton": 5, "npi": 0}}}, "not permitted"),
    ],
)
def test_mistakes_say_what_would_be_right(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        made(**changes)
    assert says in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_ca_file_is_read_from_the_base_and_wants_tls(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(pydantic.ValidationError, match="no certificates that can be read"):
        smpp_settings.Settings.model_validate(PLAIN | {"ca_file": "ca.pem"}, context={"base": tmp_path})


@pytest.mark.parametrize(("host", "kept"), [("[::1]", "::1"), ("::1", "::1"), ("10.0.0.1", "10.0.0.1")])
def test_addresses_as_hosts(host: str, kept: str) -> None:
    assert made(host=host).host == kept


@pytest.mark.parametrize(
    ("validity", "written"),
    [
        ("1m", "000000000100000R"),
        ("1h30m", "000000013000000R"),
        ("2d", "000002000000000R"),
        ("30d", "000030000000000R"),
    ],
)
def test_validity_as_smpp_writes_it(validity: str, written: str) -> None:
    assert made(validity=validity).validity_period == written


def test_secrets_are_known_and_do_not_show() -> None:
    settings = made()
    assert settings.secrets() == {"s3cret"}
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(settings)
    assert made(password="").secrets() == set()


def test_every_status_has_a_code_words_and_an_outcome() -> None:
    for status in [*range(1, 0x200), 0x400, 0x499, 0x4FF, 0x500, 0xFFFFFFFF]:
        found = smpp_outcomes.outcome(status, {}, "said " * 200)
        assert type(found) in (message.Retry, message.Rejected, message.ProviderDown)
        assert int(found.code, 16) == status
        assert len(found.detail) <= message.LONGEST_DETAIL
    assert smpp_outcomes.outcome(0x0B, {0x0B: smpp_outcomes.Then.RETRY}) == message.Retry(
        code="0x0b", detail="ESME_RINVDSTADR: the recipient is refused"
    )


@pytest.mark.parametrize(
    ("status", "code", "detail"),
    [
        (0x01, "0x01", "ESME_RINVMSGLEN: the message has a wrong length"),
        (0xFF, "0xff", "ESME_RUNKNOWNERR: a fault without a name"),
        (0x100, "0x0100", "a status that SMPP 3.4 does not have"),
        (0x3FF, "0x03ff", "a status that SMPP 3.4 does not have"),
        (0x400, "0x0400", "a status of this SMSC's own"),
        (0x4FF, "0x04ff", "a status of this SMSC's own"),
        (0x500, "0x0500", "a status that SMPP 3.4 does not have"),
    ],
)
def test_a_status_in_words(status: int, code: str, detail: str) -> None:
    found = smpp_outcomes.outcome(status, {})
    assert (found.code, found.detail) == (code, detail)
    assert smpp_outcomes.outcome(status, {}, "why").detail == f"{detail} (why)"


def test_what_is_sent_again_and_what_never() -> None:
    outcomes: dict[type[message.Outcome], tuple[int, ...]] = {
        message.Retry: (0x04, 0x05, 0x08, 0x14, 0x45, 0x58, 0x64, 0xFE, 0xFF, 0x0400, 0x0500),
        message.Rejected: (0x01, 0x0A, 0x0B, 0x43, 0x62, 0x65, 0x66, 0xC4),
        message.ProviderDown: (0x0D, 0x0E, 0x0F, 0x53),
        message.Uncertain: (smpp_outcomes.NACKED,),
    }
    for kind, statuses in outcomes.items():
        for status in statuses:
            assert type(smpp_outcomes.outcome(status, {})) is kind, hex(status)
    assert smpp_outcomes.code(smpp_outcomes.NACKED) == "nack"
