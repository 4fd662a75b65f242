"""The types of the settings' values: what a name, a size, a region or a port looks like, and what is wrong with one."""

import functools
import ipaddress
import re
import zoneinfo
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import pydantic
from pydantic_core import PydanticKnownError

from agi_sms import durations, node, numbers
from agi_sms.asterisk import settings as pbx_settings
from agi_sms.config_words import nearest

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SIZE = re.compile(r"(\d{1,15})\s*(B|KiB|MiB|GiB)?")
_UNITS = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def text(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("a name has 1 to 64 of the characters A-Z a-z 0-9 _ . -")
    return value


def separated(value: object) -> object:
    """A list, or its items in one string with commas between."""
    if isinstance(value, list | tuple):
        return value
    return [part.strip() for part in text(value).split(",") if part.strip()]


def _single(value: object) -> object:
    """A list, or its only item."""
    return value if isinstance(value, list | tuple) else [text(value)]


def _size(value: object) -> object:
    if isinstance(value, int):
        return value
    match = _SIZE.fullmatch(text(value).strip())
    if not match:
        raise ValueError("must be a size: a number with KiB, MiB or GiB, like 16MiB")
    return int(match.group(1)) * _UNITS[match.group(2)]


def _zone(value: object) -> zoneinfo.ZoneInfo:
    if isinstance(value, zoneinfo.ZoneInfo):
        return value
    try:
        return zoneinfo.ZoneInfo(text(value))
    except (KeyError, ValueError, OSError):
        hint = nearest(value, _zones())
        hint = hint if hint.startswith("did") else "write a name like Europe/Warsaw"
        raise ValueError(f"is no time zone; {hint}") from None


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _region(value: str) -> str:
    if not numbers.known_region(value):
        known = numbers.known_region(value.upper())
        raise ValueError(f"is no region; {f'did you mean {value.upper()}?' if known else 'two letters, like PL or DE'}")
    return value


def _country(value: str) -> str:
    if value.lower() != node.ANY:
        return _region(value)
    if value != node.ANY:
        raise ValueError(f"is no region; did you mean {node.ANY}?")
    return value


def _countries(value: tuple[str, ...]) -> tuple[str, ...]:
    if node.ANY in value and len(value) > 1:
        raise ValueError(f"{node.ANY} stands alone, or regions do, like PL or [PL, DE]")
    return value


def _listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    odd = any(character.isspace() or not character.isprintable() for character in host)
    if not colon or not host or odd or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("must be an address and a port, like 127.0.0.1:9464 or [::1]:9464")
    pbx_settings.host(host.strip("[]"))
    return value


def public_url(value: str) -> str:
    if value and not re.fullmatch(r"https?://[A-Za-z0-9._\[\]:-]+(?:/[^?# ]*)?", value):
        raise ValueError("must be an address such as https://sms.example, without user, query and fragment")
    return value.rstrip("/")


def _lead(value: str) -> str:
    if not re.fullmatch(r"\+?[0-9*#]{0,15}", value):
        raise ValueError("must be the beginning of a number, like 00 or +48")
    return value


def _prefix(value: str) -> str:
    if not re.fullmatch(r"\+[1-9][0-9]{0,14}", value):
        raise ValueError("must be the beginning of an international number: + and digits, like +48 or +4866")
    return value


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", value):
        raise ValueError("must be a variable's name, as in var.NAME of the dialplan")
    return value


def _network(value: object) -> object:
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    try:
        return ipaddress.ip_network(text(value))
    except ValueError as error:
        raise ValueError(f"must be an address or a network, like 192.0.2.7 or 192.0.2.0/24: {error}") from None


def _path(value: Path) -> Path:
    if "\0" in str(value) or not value.name:
        raise ValueError("must be the path of a file")
    return value


def _between(least: timedelta, most: timedelta) -> pydantic.AfterValidator:
    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            raise ValueError(f"must be from {durations.show(least)} to {durations.show(most)}")
        return value

    return pydantic.AfterValidator(check)


Name = Annotated[str, pydantic.AfterValidator(_name)]
Switch = pydantic.StrictBool
Items = Annotated[tuple[str, ...], pydantic.BeforeValidator(separated)]
Lead = Annotated[str, pydantic.AfterValidator(_lead)]
Leads = Annotated[tuple[Lead, ...], pydantic.BeforeValidator(separated)]
Route = Annotated[tuple[str, ...], pydantic.BeforeValidator(_single), pydantic.Field(min_length=1)]
Prefix = Annotated[str, pydantic.AfterValidator(_prefix)]
Size = Annotated[int, pydantic.BeforeValidator(_size), pydantic.Field(ge=1 << 20, le=1 << 34)]
Zone = Annotated[zoneinfo.ZoneInfo, pydantic.PlainValidator(_zone)]
Region = Annotated[str, pydantic.AfterValidator(_region)]
Country = Annotated[str, pydantic.AfterValidator(_country)]
Countries = Annotated[
    tuple[Country, ...],
    pydantic.BeforeValidator(separated),
    pydantic.Field(min_length=1),
    pydantic.AfterValidator(_countries),
]
Variable = Annotated[str, pydantic.AfterValidator(_variable)]
Words = Annotated[tuple[str, ...], pydantic.BeforeValidator(separated), pydantic.Field(min_length=1)]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, pydantic.PlainValidator(_network)]
Networks = Annotated[tuple[Network, ...], pydantic.BeforeValidator(separated)]
Listen = Annotated[str, pydantic.AfterValidator(_listen)]
FilePath = Annotated[Path, pydantic.AfterValidator(_path)]
Age = Annotated[durations.Duration, _between(timedelta(seconds=1), durations.LONGEST)]
HoldBudget = Annotated[durations.Duration, _between(timedelta(milliseconds=10), timedelta(seconds=10))]
Drain = Annotated[durations.Duration, _between(timedelta(0), timedelta(minutes=10))]
Patience = Annotated[durations.Duration, _between(timedelta(milliseconds=100), timedelta(minutes=1))]
Break = Annotated[durations.Duration, _between(timedelta(seconds=1), timedelta(hours=1))]
