"""The settings of `type: http`: how one company's API is asked, and what its answers mean."""

import json
import re
import ssl
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from agi_sms import errors
from agi_sms.providers import common, http_answer, http_request, templates

_SECRETIVE = re.compile(r"pass|pwd|secret|token|key|auth|signature|credential", re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset({"content-length", "transfer-encoding", "connection", "accept-encoding"})
_FIXED = re.compile(r"https?://[A-Za-z0-9._\[\]:-]+(?:[/?].*)?", re.IGNORECASE)


def _template(source: str, *, in_url: bool = False) -> str:
    try:
        templates.Template(source, in_url=in_url)
    except errors.TextError as error:
        raise ValueError(str(error)) from error
    return source


def _scalar(value: object) -> object:
    """YAML's numbers and truth values, as they were probably meant in a form or an address."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _url(source: str) -> str:
    if not (source.isascii() and source.isprintable()):
        raise ValueError("must be plain ASCII; write other characters percent-encoded, the host in punycode")
    if re.match(r"https?://[^/?#{]*@", source, re.IGNORECASE):
        raise ValueError("must not hold a user and password; write them under auth.basic")
    if not _FIXED.fullmatch(source):
        raise ValueError("must start with http:// or https:// and a fixed host; {{ }} only in path and query")
    if "#" in source:
        raise ValueError("must not hold a fragment (#)")
    return _template(source, in_url=True)


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name[:40]!r} is no header's name")
    if name.lower() in _OURS:
        raise ValueError(f"{name} is set by the gateway itself")
    return name


def _header_value(source: str) -> str:
    if any(common.hidden(c) for c in source):
        raise ValueError("a header's value must be one line without control characters")
    return _template(source)


def _json_body(body: dict[str, Any]) -> dict[str, Any]:
    for where, source in leaves(body):
        try:
            _template(source)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    try:
        json.dumps(body, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot be written as JSON: {error}") from error
    return body


def leaves(body: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every string in a nested body, with its place."""
    match body:
        case str():
            yield where, body
        case dict():
            for key, value in body.items():
                yield from leaves(value, f"{where}.{key}" if where else str(key))
        case list():
            for i, value in enumerate(body):
                yield from leaves(value, f"{where}[{i}]")


def _readable(path: Path) -> Path:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"{path} holds no certificates that can be read: {error.strerror}") from error
    return path


Plain = Annotated[str, pydantic.BeforeValidator(_scalar), pydantic.AfterValidator(_template)]
HeaderName = Annotated[str, pydantic.AfterValidator(_header_name)]
HeaderValue = Annotated[str, pydantic.BeforeValidator(_scalar), pydantic.AfterValidator(_header_value)]
Url = Annotated[str, pydantic.AfterValidator(_url)]
SecretName = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Basic(_Part):
    """A user and a password (RFC 7617)."""

    username: str
    password: pydantic.SecretStr

    @pydantic.field_validator("username")
    @classmethod
    def _one(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("must not hold a colon (RFC 7617)")
        return value


class Auth(_Part):
    """How we log in; other ways are headers or query values with `{{ secret.NAME }}`."""

    basic: Basic | None = None
    bearer: pydantic.SecretStr | None = None

    @pydantic.model_validator(mode="after")
    def _one(self) -> "Auth":
        if (self.basic is None) == (self.bearer is None):
            raise ValueError("write either basic or bearer")
        if self.bearer is not None and not re.fullmatch(r"[!-~]*", self.bearer.get_secret_value()):
            raise ValueError("bearer must be plain ASCII without spaces")
        return self


class Body(_Part):
    """What the request carries: one of three forms."""

    form: dict[str, Plain] | None = None
    json_: Annotated[dict[str, Any], pydantic.AfterValidator(_json_body)] | None = pydantic.Field(
        default=None, alias="json"
    )
    text: Plain | None = None

    @pydantic.model_validator(mode="after")
    def _one(self) -> "Body":
        if sum(part is not None for part in (self.form, self.json_, self.text)) != 1:
            raise ValueError("write one of form, json, text")
        return self


class Settings(common.Settings):
    """`type: http`. Strings in url, headers, query and body are templates over `templates.NAMES`."""

    type: Literal["http"] = "http"
    method: Literal["GET", "POST", "PUT"] = "POST"
    url: Url
    headers: dict[HeaderName, HeaderValue] = pydantic.Field(default_factory=dict)
    query: dict[str, Plain] = pydantic.Field(default_factory=dict)
    body: Body | None = None
    omit_empty: bool = True  # what comes out empty is left out of headers, query, form and JSON
    secret: dict[SecretName, pydantic.SecretStr] = pydantic.Field(default_factory=dict)
    auth: Auth | None = None
    answer: http_answer.Answer = pydantic.Field(default_factory=http_answer.Answer)
    idempotent: bool = False  # the provider dedupes by our ref
    concurrency: int = pydantic.Field(default=10, ge=1, le=1000)  # requests under way at once
    ca_file: Annotated[common.LocalPath, pydantic.AfterValidator(_readable)] | None = None

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Settings":
        if self.method == "GET" and self.body is not None:
            raise ValueError("body: GET has none; use query, or method POST")
        if self.auth is not None and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("headers.Authorization: is set by auth already; write one of the two")
        if not self.idempotent and any(rule.then is http_answer.Then.DUPLICATE for rule in self.answer.rules):
            raise ValueError("answer.rules: duplicate means success only where idempotent is true")
        try:
            http_request.Builder(self).build(templates.SAMPLE)
        except http_request.Unsendable as error:
            raise ValueError(str(error)) from error
        return self

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("type", self.type), ("method", self.method), ("url", self.url.split("?", 1)[0])]

    def secrets(self) -> set[str]:
        """What must never be shown: `secret`, `auth`, and constants under a key that sounds like one."""
        found = {value.get_secret_value() for value in self.secret.values()}
        if self.auth is not None and self.auth.basic is not None:
            found.add(self.auth.basic.password.get_secret_value())
        if self.auth is not None and self.auth.bearer is not None:
            found.add(self.auth.bearer.get_secret_value())
        named = [*self.headers.items(), *self.query.items()]
        named += urllib.parse.parse_qsl(urllib.parse.urlsplit(self.url).query)
        if self.body is not None:
            named += list((self.body.form or {}).items()) + list(leaves(self.body.json_ or {}))
        found |= {text for key, text in named if _SECRETIVE.search(key) and "{{" not in text}
        return found - {""}
