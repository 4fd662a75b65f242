"""How a node asks the customer's system for its text; apart from the code that does, to be checked without it."""

import enum
import ipaddress
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from agi_sms import durations, harmless, http_words, node

SHORTEST_TIMEOUT, LONGEST_TIMEOUT = timedelta(milliseconds=100), timedelta(seconds=60)
_SIZE = re.compile(r"(\d{1,9})\s*(B|KiB|MiB)?")
_UNITS = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20}
_LEAST_SIZE, _MOST_SIZE = 1 << 10, 1 << 20
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")  # as asterisk/arguments.py takes them from the dialplan
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_BRACKETS = re.compile(r"\[[0-9A-Fa-f:.]+\](?::[0-9]+)?")
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")  # resolvers take such a name for an IPv4 address
_LOCALHOST = re.compile(r"(?:.*\.)?localhost\.?", re.IGNORECASE)  # RFC 6761, 6.3
_LONGEST_NAME = 64
_OURS = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "expect", "host", "keep-alive", "te"}
    | {"trailer", "transfer-encoding", "upgrade", "content-encoding", "proxy-connection"}
)
_OUR_PREFIX = "agi-sms-"
_LEAST_SECRET = 8  # characters of a header's value that is kept from people whatever the header's name


class Structure(enum.StrEnum):
    """Of what kind the answer is."""

    TEXT = "text"
    JSON = "json"
    XML = "xml"


class NumberFormat(enum.StrEnum):
    """How numbers are sent; what is no number goes as it came, without what no keypad has."""

    E164 = "e164"  # +48600100200
    DIGITS = "digits"  # 48600100200
    NATIONAL = "national"  # 600100200, where the number is of the region that the trunk is read in; else e164
    RAW = "raw"  # as the trunk wrote it


def _name(value: str) -> str:
    if not 0 < len(value) <= _LONGEST_NAME or any(harmless.hidden(c) for c in value):
        raise ValueError(f"a name to send a value as has 1 to {_LONGEST_NAME} visible characters")
    return value


def _param(value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ValueError("must be true, false, or the name to send it as")  # noqa: TRY004
    return _name(value)


def _timeout(value: timedelta) -> timedelta:
    if not SHORTEST_TIMEOUT <= value <= LONGEST_TIMEOUT:
        raise ValueError(f"must be from {durations.show(SHORTEST_TIMEOUT)} to {LONGEST_TIMEOUT.seconds}s")
    return value


def _size(value: object) -> int:
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    size = int(found[1]) * _UNITS[found[2]] if found else value
    if isinstance(size, bool) or not isinstance(size, int):
        raise ValueError("must be a size: a number with KiB or MiB, like 64KiB")  # noqa: TRY004
    if not _LEAST_SIZE <= size <= _MOST_SIZE:
        raise ValueError("must be from 1KiB to 1MiB")
    return size


def _separated(value: object) -> object:
    """A list, or its items in one string with commas between."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _variables(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is no variable's name: letters, digits and _, like ORDER_ID")
    return names


def _url(source: str) -> str:
    if "{{" in source or "{%" in source:
        raise ValueError("takes no {{ }}; what is known of the call goes along as params, fields and vars")
    http_words.check_address(source, login="headers.Authorization")
    if " " in source:
        raise ValueError("must not hold a space; write it as %20")
    host, fault = _host(source)
    if fault:
        raise ValueError(fault)
    if not host:
        raise ValueError("must name a host, like https://shop.example/sms-text")
    return source


def _host(url: str) -> tuple[str, str]:
    """The host in an address, and what is wrong with it or its port."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if "[" in parts.netloc:
            if not _BRACKETS.fullmatch(parts.netloc):
                return "", "has brackets, but not just around its host"
            ipaddress.IPv6Address(host)
    except ValueError as error:
        return "", f"has a host or a port that is none: {error}"
    if port == 0 or parts.netloc.endswith(":"):
        return host, "must have a port from 1 to 65535, or none"
    if ":" in host:
        return host, ""
    if _NUMERIC.fullmatch(host) and not _is_ipv4(host):
        return host, "has a number for its host; write an IPv4 address with four numbers, like 192.0.2.1"
    return host, "" if _HOST.fullmatch(host) and len(host) <= 253 else "has a host that is no name"


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _local(host: str) -> bool:
    """Whether an address names a private target without asking any resolver."""
    if ":" in host or _is_ipv4(host):
        return http_words.private(host)
    return bool(_LOCALHOST.fullmatch(host))


def _header_name(name: str) -> str:
    http_words.check_header_name(name, _OURS)
    if name.lower().startswith((_OUR_PREFIX, "proxy-")):
        raise ValueError(f"{name[:40]} is a header of the gateway's own, or of a proxy's; choose another name")
    return name


def _header_value(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if any(harmless.hidden(c) for c in value.get_secret_value()):
        raise ValueError("a header's value must be one line without control characters")
    return value


def _given(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if not value.get_secret_value().strip():
        raise ValueError('must not be empty; write what both sides know, like "${SHOP_SECRET}"')
    return value


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


Param = Annotated[bool | str, pydantic.PlainValidator(_param)]  # sent, not sent, or sent under this name
Name = Annotated[str, pydantic.AfterValidator(_name)]
HeaderName = Annotated[str, pydantic.AfterValidator(_header_name)]
HeaderValue = Annotated[pydantic.SecretStr, pydantic.AfterValidator(_header_value)]
Timeout = Annotated[durations.Duration, pydantic.AfterValidator(_timeout)]
Size = Annotated[int, pydantic.PlainValidator(_size)]
Secret = Annotated[pydantic.SecretStr, pydantic.AfterValidator(_given)]


class Params(_Part):
    """What is told of the call."""

    from_number: Param = True
    to_number: Param = True
    call_id: Param = True
    diverted_from: Param = False
    node: Param = True
    pbx: Param = True
    activation_id: Param = True

    def names(self) -> Iterator[tuple[str, str]]:
        """What is sent, and as what."""
        for param in type(self).model_fields:
            value: bool | str = getattr(self, param)
            if value is not False:
                yield param, param if value is True else value


class Sign(_Part):
    """HMAC-SHA256 over the time and the body, so that the customer can check who asks."""

    secret: Secret


class Api(_Part):
    """`content.api`: one question to the customer's system, and where in its answer the text is."""

    method: Literal["GET", "POST"] = "POST"
    url: Annotated[str, pydantic.AfterValidator(_url)]
    timeout: Timeout = timedelta(seconds=5)
    response: Structure = Structure.TEXT
    message: str | None = None
    params: Params = Params()
    number_format: NumberFormat = NumberFormat.E164
    fields: dict[Name, str] = {}
    vars: Annotated[tuple[str, ...], pydantic.BeforeValidator(_separated), pydantic.AfterValidator(_variables)] = ()
    body: Literal["form", "json"] = "form"
    headers: dict[HeaderName, HeaderValue] = {}
    sign: Sign | None = None
    fetch: node.Fetch = node.Fetch.ARRIVAL
    retries: Annotated[int, pydantic.Field(ge=0, le=10)] = 2
    on_error: node.OnError | None = None
    allow: Annotated[tuple[node.Allowed, ...], pydantic.BeforeValidator(_separated)] = ()
    private_addresses: Literal["allow", "deny"] = "allow"
    redirects: pydantic.StrictBool = False
    ca_file: Path | None = None
    max_size: Size = 64 << 10
    _filled: frozenset[str] = pydantic.PrivateAttr(default=frozenset())

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Api":
        if self.method == "GET" and "body" in self.model_fields_set:
            raise ValueError("body: a GET has none, its values go into the url; leave it out, or write method: POST")
        if self.message is not None:
            self._check_message(self.message)
        if self.allow and self.response is not Structure.JSON:
            raise ValueError("allow: only a JSON answer can say more than its text; write response: json")
        if self.private_addresses == "deny" and _local(_host(self.url)[0]):
            raise ValueError("private_addresses: deny refuses the very host of url; write allow, or another host")
        self._check_names()
        return self

    def _check_message(self, path: str) -> None:
        if self.response is Structure.TEXT:
            raise ValueError("message: a text answer is the message; leave it out, or write response: json or xml")
        from agi_sms.content import reading  # it needs this file, and libraries that not every node needs

        try:
            reading.check_path(self.response, path)
        except ValueError as error:
            raise ValueError(f"message: {error}") from error

    def _check_names(self) -> None:
        """Each value under a name of its own: what a second one of the same name means, every server sees its way."""
        seen: dict[str, str] = {}
        if self.method == "GET":
            query = urllib.parse.parse_qsl(urllib.parse.urlsplit(self.url).query, keep_blank_values=True)
            seen = {name: "in the url" for name, _ in query}
        sent = [(f"params.{param}", name) for param, name in self.params.names()]
        sent += [(f"fields.{name}", name) for name in self.fields]
        sent += [("vars", name) for name in self.vars]
        for key, name in sent:
            if name in seen:
                raise ValueError(f"{key}: {name} is sent as {seen[name]} already; every name must be there once")
            seen[name] = key
        lines: set[str] = set()
        for name in self.headers:
            if name.lower() in lines:
                raise ValueError(f"headers.{name}: stands there twice; upper and lower case are the same in headers")
            lines.add(name.lower())

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("method", self.method), ("url", self.url.split("?", 1)[0]), ("response", self.response.value)]

    def secrets(self) -> set[str]:
        """What must never be shown: what signs, the headers' values, and constants under a name that sounds like it."""
        found = {self.sign.secret.get_secret_value()} if self.sign is not None else set()
        for name, hidden in self.headers.items():
            value = hidden.get_secret_value()
            if http_words.secretive(name):
                found |= {value, *value.split(" ")[1:]}  # a token also without its scheme
            elif len(value) >= _LEAST_SECRET:
                found.add(value)
        query = urllib.parse.urlsplit(self.url).query
        named = [*self.fields.items(), *urllib.parse.parse_qsl(query)]
        named += [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&"))]
        found |= {value for name, value in named if http_words.secretive(name)}
        return (found | self._filled) - {""}

    def guarding(self, filled: Iterable[str]) -> "Api":
        """The same, which also takes these for secrets: what came in from the environment, wherever it stands."""
        guarded = self.model_copy()
        guarded._filled = frozenset(value for value in filled if len(value) >= _LEAST_SECRET)
        return guarded
