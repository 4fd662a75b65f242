"""The settings of `type: http`: how one company's API is asked, and what its answers mean."""

import json
import re
import ssl
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from agi_sms import errors, harmless, http_words
from agi_sms.providers import common, http_answer, http_request, receipts, templates

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,}")
_OURS = frozenset({"content-length", "transfer-encoding", "connection", "accept-encoding"})


def _template(source: str, *, in_url: bool = False) -> str:
    try:
        templates.compiled(source, in_url=in_url)
    except errors.TextError as error:
        raise ValueError(str(error)) from error
    return source


def _scalar(value: object) -> object:
    """YAML's numbers and truth values, as they were probably meant in a form or an address."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _url(source: str) -> str:
    http_words.check_address(source, login="auth.basic", templates="{{ }} only in path and query")
    return _template(source, in_url=True)


def _header_name(name: str) -> str:
    http_words.check_header_name(name, _OURS)
    return name


def _header_value(source: str) -> str:
    if any(harmless.hidden(c) for c in source):
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


def _receipt_url(source: str) -> str:
    if source:
        http_words.check_address(source, login="nothing")
        if "?" in source:
            raise ValueError("must be an address without a query (?)")
    return source.rstrip("/")


Plain = Annotated[str, pydantic.BeforeValidator(_scalar), pydantic.AfterValidator(_template)]
HeaderName = Annotated[str, pydantic.AfterValidator(_header_name)]
HeaderValue = Annotated[str, pydantic.BeforeValidator(_scalar), pydantic.AfterValidator(_header_value)]
Url = Annotated[str, pydantic.AfterValidator(_url)]
Receipts = receipts.Receipts  # the module has the name of a key below
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


class Header(_Part):
    """A header of the company's own: `X-Api-Key`, or `Authorization` with a word of theirs."""

    name: HeaderName
    value: HeaderValue


class Parameter(_Part):
    """A value in the address's query. It is in every log on the way; better is any other way that there is."""

    name: str
    value: Plain


class Auth(_Part):
    """How we log in: one of four ways. `{{ secret.NAME }}` in a value is filled in from `secret`."""

    basic: Basic | None = None
    bearer: pydantic.SecretStr | None = None
    header: Header | None = None
    query: Parameter | None = None

    @pydantic.model_validator(mode="after")
    def _one(self) -> "Auth":
        if sum(way is not None for way in (self.basic, self.bearer, self.header, self.query)) != 1:
            raise ValueError("write one of basic, bearer, header, query")
        if self.bearer is not None and not http_request.BEARER.fullmatch(_constant(self.bearer)):
            raise ValueError("bearer must be plain ASCII without spaces")
        return self

    @property
    def literal(self) -> set[str]:
        """What is a secret by itself: not a word of it is out of `secret`."""
        found = [self.basic.password.get_secret_value()] if self.basic is not None else []
        found += [self.bearer.get_secret_value()] if self.bearer is not None else []
        found += [one.value for one in (self.header, self.query) if one is not None]
        return {one for one in found if "{{" not in one}

    @property
    def secrets(self) -> set[str]:
        """The names of those secrets that it is filled in from."""
        found = [self.basic.username, self.basic.password.get_secret_value()] if self.basic is not None else []
        found += [self.bearer.get_secret_value()] if self.bearer is not None else []
        found += [one.value for one in (self.header, self.query) if one is not None]
        return {name for one in found for name in templates.named(one)}


def _constant(secret: pydantic.SecretStr) -> str:
    text = secret.get_secret_value()
    return "" if templates.named(text) else text


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
    profile: str = ""  # whose settings these are; `profiles.expanded` has filled them in
    method: Literal["GET", "POST", "PUT"] = "POST"
    url: Url
    headers: dict[HeaderName, HeaderValue] = pydantic.Field(default_factory=dict)
    query: dict[str, Plain] = pydantic.Field(default_factory=dict)
    body: Body | None = None
    omit_empty: bool = True  # what comes out empty is left out of headers, query, form and JSON
    secret: dict[SecretName, pydantic.SecretStr] = pydantic.Field(default_factory=dict)
    auth: Auth | None = None
    answer: http_answer.Answer = pydantic.Field(default_factory=http_answer.Answer)
    receipts: Receipts | None = None
    receipt_url: Annotated[str, pydantic.AfterValidator(_receipt_url)] = (
        ""  # where they come in, as the company sees it
    )
    idempotent: bool = False  # the provider dedupes by our ref
    segments: int = pydantic.Field(default=255, ge=1, le=255)  # the most that one message may have
    concurrency: int = pydantic.Field(default=10, ge=1, le=1000)  # requests under way at once
    ca_file: Annotated[common.LocalPath, pydantic.AfterValidator(_readable)] | None = None

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Settings":
        if self.method == "GET" and self.body is not None:
            raise ValueError("body: GET has none; use query, or method POST")
        taken = self._auth_header
        if taken and (same := next((name for name in self.headers if name.lower() == taken.lower()), "")):
            raise ValueError(f"headers.{same}: is set by auth already; write one of the two")
        if self.auth is not None and self.auth.query is not None and self.auth.query.name in self.query:
            raise ValueError(f"query.{self.auth.query.name}: is set by auth already; write one of the two")
        if not self.idempotent and any(rule.then is http_answer.Then.DUPLICATE for rule in self.answer.rules):
            raise ValueError("answer.rules: duplicate means success only where idempotent is true")
        if self.receipts is not None and self.receipts.ref is None and self.answer.id is None:
            what = "is all that finds their messages, and no answer.id keeps the company's id: no receipt would fit one"
            raise ValueError(f"receipts.id: {what}; write answer.id, or receipts.ref for our own {{{{ ref }}}}")
        asked = self.receipts.secrets if self.receipts is not None and self.receipt_url else set()
        for name in sorted({*http_request.secrets(self), *asked}):
            if name not in self.secret:
                raise ValueError(f"secret.{name} is missing: " + self._wanted(name))
        token = self._token
        if token and not _TOKEN.fullmatch(token):
            name = self.receipts.verify.secret if self.receipts is not None else ""
            raise ValueError(
                f"secret.{name}: goes into the address of receipts; write 8 or more of A-Z a-z 0-9 . _ ~ -"
            )
        try:
            http_request.Builder(self).build(templates.SAMPLE)
        except http_request.Unsendable as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def _auth_header(self) -> str:
        if self.auth is None or self.auth.query is not None:
            return ""
        return "Authorization" if self.auth.header is None else self.auth.header.name

    @property
    def _token(self) -> str:
        """The token in the address of receipts, empty where there is none."""
        if self.receipts is None or self.receipts.verify.scheme != "token":
            return ""
        found = self.secret.get(self.receipts.verify.secret)
        return found.get_secret_value() if found is not None else ""

    def _wanted(self, name: str) -> str:
        if name in http_request.secrets(self):
            return f"{{{{ secret.{name} }}}} is filled in from it"
        return "receipts are verified with it; without it, write receipts: null"

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("type", self.type), ("method", self.method), ("url", self.url.split("?", 1)[0])]

    def secrets(self) -> set[str]:
        """What must never be shown: `secret`, `auth`, and constants under a key that sounds like one."""
        found = {value.get_secret_value() for value in self.secret.values()}
        found |= self.auth.literal if self.auth is not None else set()
        named = [*self.headers.items(), *self.query.items()]
        named += urllib.parse.parse_qsl(urllib.parse.urlsplit(self.url).query)
        if self.body is not None:
            named += list((self.body.form or {}).items()) + list(leaves(self.body.json_ or {}))
        found |= {text for key, text in named if http_words.secretive(key) and "{{" not in text}
        return found - {""}
