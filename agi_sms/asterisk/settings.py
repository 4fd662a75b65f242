"""How to reach an Asterisk; apart from the code that does, so that a configuration is checked without it."""

import ipaddress
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import pydantic
import yarl

from agi_sms import durations


def host(value: str) -> str:
    """A name or an address that can be looked up; raises ValueError with what is wrong."""
    if ":" in value:
        try:
            return str(ipaddress.IPv6Address(value.strip("[]")))
        except ValueError:
            raise ValueError("must be a host alone, like pbx.example; a port has a place of its own") from None
    if not value or not value.isprintable() or any(character in "/@ " for character in value):
        raise ValueError("must be a host alone, like pbx.example or 192.0.2.7")
    try:
        value.encode("idna")  # as the look-up does, which is no OSError where it fails
    except UnicodeError:
        raise ValueError("is no host's name: between its dots there are 1 to 63 characters") from None
    return value


Host = Annotated[str, pydantic.AfterValidator(host)]


class Ari(pydantic.BaseModel):
    """How to reach one Asterisk's ARI."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    url: str
    username: str
    password: pydantic.SecretStr
    app: str = pydantic.Field(default="agi-sms", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    ca_file: Path | None = None
    timeout: durations.Duration = timedelta(seconds=5)

    @pydantic.field_validator("url")
    @classmethod
    def _only_an_address(cls, value: str) -> str:
        try:
            url = yarl.URL(value)
        except ValueError as error:
            raise ValueError(f"not an address: {error}") from error
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("write http://HOST:PORT or https://HOST:PORT, as in http.conf")
        if url.user or url.password:
            raise ValueError("user and password have keys of their own")
        host(url.raw_host or "")
        if url.query_string or url.fragment:
            raise ValueError("nothing belongs behind the path")
        return f"{url}".rstrip("/") + "/"


class Ami(pydantic.BaseModel):
    """How to reach one Asterisk's manager interface."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    host: Host = "127.0.0.1"
    port: int = pydantic.Field(default=5038, ge=1, le=65535)
    username: str = pydantic.Field(min_length=1, pattern=r"^[^\r\n]*$")
    secret: pydantic.SecretStr
    tls: bool = False
    ca_file: Path | None = None
    timeout: durations.Duration = timedelta(seconds=5)
    bare_events: bool = False  # whether UserEvent(AgiSms,"AgiSms: NODE") by itself is a visit

    @pydantic.field_validator("secret")
    @classmethod
    def _one_line(cls, value: pydantic.SecretStr) -> pydantic.SecretStr:
        if set("\r\n") & set(value.get_secret_value()):
            raise ValueError("one line, please")
        return value
