"""The settings of `type: smpp`: how one SMSC is reached, and what it wants of a message."""

import contextlib
import ipaddress
import ssl
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from agi_sms import durations, text
from agi_sms.providers import common, smpp_concatenation, smpp_outcomes, smpp_receipts

MOST_WINDOW = 1000
_SHORTEST_LINK, _LONGEST_LINK = timedelta(seconds=1), timedelta(hours=1)
_SHORTEST_VALIDITY, _LONGEST_VALIDITY = timedelta(minutes=1), timedelta(days=30)


def _host(value: str) -> str:
    if ":" in value:
        with contextlib.suppress(ValueError):
            return str(ipaddress.IPv6Address(value.strip("[]")))
    if not value.isascii() or not value.isprintable() or any(c in "/@: " for c in value):
        raise ValueError("must be a name or an address alone, such as smpp.example.com; the port has a key of its own")
    return value


def _field(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("must be printable ASCII, as SMPP has nothing else in this field")
    return value


def _secret(value: pydantic.SecretStr) -> pydantic.SecretStr:
    _field(value.get_secret_value())
    return value


def _sender(value: str) -> str:
    fault = text.sender_fault(value)
    if fault is not None:
        raise ValueError(fault)
    return value


def _readable(path: Path) -> Path:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"{path} holds no certificates that can be read: {error.strerror}") from error
    return path


def _within(least: timedelta, most: timedelta) -> pydantic.AfterValidator:
    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            raise ValueError(f"must be from {durations.show(least)} to {durations.show(most)}")
        return value

    return pydantic.AfterValidator(check)


def _codes(value: object) -> object:
    """YAML's keys come as text, `0x0455` or `1109`; as JSON writes them, or from a test, as numbers."""
    if not isinstance(value, Mapping):
        return value
    return {_status(key): then for key, then in value.items()}


def _status(key: object) -> int:
    try:
        found = key if isinstance(key, int) else int(str(key)[:12], 0)
    except ValueError:
        found = 0
    if isinstance(key, bool) or not 1 <= found <= 0xFFFFFFFF:
        raise ValueError(f"{str(key)[:20]!r} is no status of an error; write it as 0x0455")
    return found


Octet = Annotated[int, pydantic.Field(ge=0, le=255)]
Secret = Annotated[pydantic.SecretStr, pydantic.Field(max_length=64), pydantic.AfterValidator(_secret)]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Kind(_Part):
    """Of what kind an address is (5.2.5, 5.2.6)."""

    ton: Octet
    npi: Octet


class Addresses(_Part):
    """The kinds of senders, and of the recipient."""

    name: Kind = Kind(ton=5, npi=0)
    number: Kind = Kind(ton=1, npi=1)
    short_code: Kind = Kind(ton=3, npi=0)
    empty: Kind = Kind(ton=0, npi=0)
    recipient: Kind = Kind(ton=1, npi=1)


class Settings(common.Settings):
    """One connection to one SMSC, as a transceiver of SMPP 3.4.

    `timeout` is for a connection with a free place, then for the answer to each segment.
    """

    type: Literal["smpp"] = "smpp"
    host: Annotated[str, pydantic.Field(min_length=1, max_length=253), pydantic.AfterValidator(_host)]
    port: int = pydantic.Field(default=2775, ge=1, le=65535)
    tls: pydantic.StrictBool = False
    ca_file: Annotated[common.LocalPath, pydantic.AfterValidator(_readable)] | None = None
    system_id: Annotated[str, pydantic.Field(min_length=1, max_length=64), pydantic.AfterValidator(_field)]
    password: Secret = pydantic.SecretStr("")
    system_type: Annotated[str, pydantic.Field(max_length=12), pydantic.AfterValidator(_field)] = ""
    service_type: Annotated[str, pydantic.Field(max_length=5), pydantic.AfterValidator(_field)] = ""
    window: int = pydantic.Field(default=10, ge=1, le=MOST_WINDOW)  # submits without an answer at once
    rate: float | None = pydantic.Field(default=None, ge=0.1, le=10_000, allow_inf_nan=False)  # submits a second
    enquire_link: Annotated[durations.Duration, _within(_SHORTEST_LINK, _LONGEST_LINK)] = timedelta(seconds=30)
    sender: Annotated[str, pydantic.AfterValidator(_sender)] = ""  # for messages that have none
    addresses: Addresses = Addresses()
    alphabet: smpp_concatenation.Alphabet = smpp_concatenation.Alphabet.GSM7
    data_coding: Octet | None = None  # of what is not UCS-2, where it is not what `alphabet` implies
    concatenation: smpp_concatenation.Concatenation = smpp_concatenation.Concatenation.UDH8
    validity: Annotated[durations.Duration, _within(_SHORTEST_VALIDITY, _LONGEST_VALIDITY)] | None = None
    receipt_id: smpp_receipts.ReceiptId = smpp_receipts.ReceiptId.AS_IS
    codes: Annotated[dict[int, smpp_outcomes.Then], pydantic.BeforeValidator(_codes)] = pydantic.Field(
        default_factory=dict
    )

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Settings":
        if self.ca_file is not None and not self.tls:
            raise ValueError("ca_file: is for tls: true")
        return self

    @property
    def style(self) -> smpp_concatenation.Style:
        """How texts are written."""
        return smpp_concatenation.Style(
            alphabet=self.alphabet, data_coding=self.data_coding, concatenation=self.concatenation
        )

    @property
    def validity_period(self) -> str:
        """`validity` as SMPP writes a span of time (7.1.1), empty where the SMSC decides."""
        if self.validity is None:
            return ""
        minutes, seconds = divmod(round(self.validity.total_seconds()), 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        return f"0000{days:02d}{hours:02d}{minutes:02d}{seconds:02d}000R"

    def secrets(self) -> set[str]:
        """What must never be shown."""
        return {self.password.get_secret_value()} - {""}

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("type", self.type), ("host", self.host), ("port", self.port), ("system_id", self.system_id)]
