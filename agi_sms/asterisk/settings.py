"""How to reach an Asterisk; apart from the code that does, so that a configuration is checked without it."""

from datetime import timedelta
from pathlib import Path

import pydantic
import yarl

from agi_sms import durations


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
        if url.query_string or url.fragment:
            raise ValueError("nothing belongs behind the path")
        return f"{url}".rstrip("/") + "/"


class Ami(pydantic.BaseModel):
    """How to reach one Asterisk's manager interface."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = pydantic.Field(default=5038, ge=1, le=65535)
    username: str = pydantic.Field(min_length=1, pattern=r"^[^\r\n]*$")
    secret: pydantic.SecretStr
    tls: bool = False
    ca_file: Path | None = None
    timeout: durations.Duration = timedelta(seconds=5)

    @pydantic.field_validator("secret")
    @classmethod
    def _one_line(cls, value: pydantic.SecretStr) -> pydantic.SecretStr:
        if set("\r\n") & set(value.get_secret_value()):
            raise ValueError("one line, please")
        return value
