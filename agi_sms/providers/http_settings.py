"""The settings of `type: http`: how one company's API is asked, and what its answers mean."""

import re
import ssl
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from agi_sms import http_words
from agi_sms.providers import common, http_answer, http_fields, http_request, receipts, templates
from agi_sms.providers import polling as polls

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,}")


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


Receipts = receipts.Receipts  # the module has the name of a key below
SecretName = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Basic(http_fields.Part):
    """A user and a password (RFC 7617)."""

    username: str
    password: pydantic.SecretStr

    @pydantic.field_validator("username")
    @classmethod
    def _one(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("must not hold a colon (RFC 7617)")
        return value


class Header(http_fields.Part):
    """A header of the company's own: `X-Api-Key`, or `Authorization` with a word of theirs."""

    name: http_fields.HeaderName
    value: http_fields.HeaderValue


class Parameter(http_fields.Part):
    """A value in the address's query. It is in every log on the way; better is any other way that there is."""

    name: str
    value: http_fields.Plain


class Auth(http_fields.Part):
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


class Settings(common.Settings):
    """`type: http`. Strings in url, headers, query and body are templates over `templates.NAMES`."""

    type: Literal["http"] = "http"
    profile: str = ""  # whose settings these are; `profiles.expanded` has filled them in
    method: Literal["GET", "POST", "PUT"] = "POST"
    url: http_fields.Url
    headers: dict[http_fields.HeaderName, http_fields.HeaderValue] = pydantic.Field(default_factory=dict)
    query: dict[str, http_fields.Plain] = pydantic.Field(default_factory=dict)
    body: http_fields.Body | None = None
    omit_empty: bool = True  # what comes out empty is left out of headers, query, form and JSON
    secret: dict[SecretName, pydantic.SecretStr] = pydantic.Field(default_factory=dict)
    auth: Auth | None = None
    answer: http_answer.Answer = pydantic.Field(default_factory=http_answer.Answer)
    receipts: Receipts | None = None
    polling: polls.Polling | None = None
    receipt_url: Annotated[str, pydantic.AfterValidator(_receipt_url)] = (
        ""  # where they come in, as the company sees it
    )
    idempotent: bool = False  # the provider dedupes by our ref
    segments: int = pydantic.Field(default=255, ge=1, le=255)  # the most that one message may have
    concurrency: int = pydantic.Field(default=10, ge=1, le=1000)  # requests under way at once
    ca_file: Annotated[common.LocalPath, pydantic.AfterValidator(_readable)] | None = None

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Settings":
        self._asks(self, "")
        if not self.idempotent and any(rule.then is http_answer.Then.DUPLICATE for rule in self.answer.rules):
            raise ValueError("answer.rules: duplicate means success only where idempotent is true")
        if self.receipts is not None and self.receipts.ref is None and self.answer.id is None:
            what = "is all that finds their messages, and no answer.id keeps the company's id: no receipt would fit one"
            raise ValueError(f"receipts.id: {what}; write answer.id, or receipts.ref for our own {{{{ ref }}}}")
        if other := sorted(http_request.names(self).intersection(templates.ASKED)):
            raise ValueError(f"{{{{ {other[0]} }}}} is known in polling only; here is {{{{ ref }}}}")
        verified = self.receipts.secrets if self.receipts is not None and self.receipt_url else set()
        for name in sorted(self._filled_in | verified):
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
        self._polls()
        return self

    def _asks(self, call: http_request.Call, where: str) -> None:
        """Raises ValueError for a request that cannot be made, or says what `auth` says; its keys are under `where`."""
        if call.method == "GET" and call.body is not None:
            raise ValueError(f"{where}body: GET has none; use query, or method POST")
        taken = self._auth_header.lower()
        if same := next((name for name in call.headers if name.lower() == taken), ""):
            raise ValueError(f"{where}headers.{same}: is set by auth already; write one of the two")
        if self.auth is not None and self.auth.query is not None and self.auth.query.name in call.query:
            raise ValueError(f"{where}query.{self.auth.query.name}: is set by auth already; write one of the two")

    def _polls(self) -> None:
        """Raises ValueError for polling that does not go with the rest."""
        polling = self.polling
        if polling is None:
            return
        self._asks(polling, "polling.")
        if polling.by == "ids" and self.answer.id is None:
            raise ValueError("polling: asks by {{ ids }}, and no answer.id keeps them; write it, or ask by {{ refs }}")
        if polling.by == "refs" and "ref" not in http_request.names(self):
            raise ValueError("polling: asks by {{ refs }}, and what is sent does not carry {{ ref }}")
        try:
            http_request.Builder(self, polling).about(["sample"], ["sample"])
        except http_request.Unsendable as error:
            raise ValueError(f"polling.{error}") from error

    @property
    def _filled_in(self) -> set[str]:
        """The names of the secrets that requests are filled in from."""
        found = http_request.secrets(self) | (self.auth.secrets if self.auth is not None else set())
        return found | (http_request.secrets(self.polling) if self.polling is not None else set())

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
        if name in self._filled_in:
            return f"{{{{ secret.{name} }}}} is filled in from it"
        return "receipts are verified with it; without it, write receipts: null"

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("type", self.type), ("method", self.method), ("url", self.url.split("?", 1)[0])]

    def secrets(self) -> set[str]:
        """What must never be shown: `secret`, `auth`, and constants under a key that sounds like one."""
        found = {value.get_secret_value() for value in self.secret.values()}
        found |= self.auth.literal if self.auth is not None else set()
        named = [pair for call in (self, self.polling) if call is not None for pair in _written(call)]
        found |= {text for key, text in named if http_words.secretive(key) and "{{" not in text}
        return found - {""}


def _written(call: http_request.Call) -> Iterator[tuple[str, str]]:
    """What a request says by name: in headers, query and body."""
    yield from call.headers.items()
    yield from call.query.items()
    yield from urllib.parse.parse_qsl(urllib.parse.urlsplit(call.url).query)
    if call.body is not None:
        yield from (call.body.form or {}).items()
        yield from http_fields.leaves(call.body.json_ or {})
