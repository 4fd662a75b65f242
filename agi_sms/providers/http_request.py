"""From one submission to one HTTP request. Every value is encoded for the place where it stands."""

import base64
import functools
import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import yarl

import agi_sms
from agi_sms import errors, harmless, http_client, http_words, ports
from agi_sms.providers import templates

if TYPE_CHECKING:
    from agi_sms.providers import http_fields, http_settings


Compiled = dict[str, templates.Template]
BEARER = re.compile(r"[!-~]*")
_HEADERS = {"User-Agent": f"agi-sms/{agi_sms.__version__}", "Accept": "*/*"}
_JSON = json.JSONEncoder(separators=(",", ":"))


class Unsendable(Exception):
    """No request can be made of this message; certainly nothing was sent."""


Request = http_client.Request


class Call(Protocol):
    """What is asked of a company, in templates: a message is to be sent, or what became of some is to be told."""

    @property
    def method(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def headers(self) -> dict[str, str]: ...
    @property
    def query(self) -> dict[str, str]: ...
    @property
    def body(self) -> "http_fields.Body | None": ...


class Builder:
    """Makes requests by one provider's settings, of one kind: those that send, or those of `call`."""

    def __init__(self, settings: "http_settings.Settings", call: Call | None = None) -> None:
        call = settings if call is None else call
        self._settings = settings
        self._method = call.method
        self._secret = {name: value.get_secret_value() for name, value in settings.secret.items()}
        self._url = templates.compiled(call.url, in_url=True)
        self._query = _compiled(call.query)
        self._headers = _compiled(call.headers)
        self._body = call.body
        self._form = _compiled(call.body.form or {}) if call.body is not None else {}
        self._json = _nested(call.body.json_) if call.body is not None else None
        text = call.body.text if call.body is not None else None
        self._text = templates.compiled(text) if text is not None else None
        auth = settings.auth
        self._auth_header = _compiled({auth.header.name: auth.header.value} if auth and auth.header else {})
        self._auth_query = _compiled({auth.query.name: auth.query.value} if auth and auth.query else {})
        self._kind = _kind(call.body)
        self._check = functools.lru_cache(1)(_check)  # the next address is often the same; it may hold a secret
        self._receipt_url = settings.receipt_url
        if settings.receipts is not None:
            self._receipt_url = settings.receipts.address(settings.receipt_url, self._secret)

    def build(self, submission: ports.Submission) -> Request:
        """The request for a message. Raises Unsendable."""
        return self._filled(templates.values(submission, self._secret, self._receipt_url))

    def about(self, ids: list[str], refs: list[str]) -> Request:
        """The request that asks what became of messages. Raises Unsendable."""
        return self._filled(templates.asked(ids, refs, self._secret))

    def _filled(self, values: dict[str, object]) -> Request:
        try:
            url = self._address(values)
            body = self._content(values)
            headers = self._header_lines(values)
        except errors.TextError as error:
            raise Unsendable(str(error)) from error
        return Request(method=self._method, url=url, headers=headers, body=body)

    def _address(self, values: dict[str, object]) -> yarl.URL:
        address = self._url.render(values)
        self._check(address)
        pairs = self._pairs(self._query, values) + self._pairs(self._auth_query, values)
        if pairs:
            joint = "&" if "?" in address else "?"
            address += joint + urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote)
        try:
            return yarl.URL(address, encoded=True)  # yarl keeps what it made of the last ones
        except ValueError as error:
            raise Unsendable(f"url: {error}") from error

    def _pairs(self, compiled: Compiled, values: dict[str, object]) -> list[tuple[str, str]]:
        rendered = [(name, template.render(values)) for name, template in compiled.items()]
        return [(name, text) for name, text in rendered if text or not self._settings.omit_empty]

    def _content(self, values: dict[str, object]) -> bytes | None:
        if self._body is None:
            return None
        if self._text is not None:
            return self._text.render(values).encode()
        if self._body.form is not None:
            return urllib.parse.urlencode(self._pairs(self._form, values)).encode("ascii")
        return _JSON.encode(_filled(self._json, values, omit_empty=self._settings.omit_empty)).encode("ascii")

    def _header_lines(self, values: dict[str, object]) -> dict[str, str]:
        lines = dict(_HEADERS)
        if self._kind:
            lines["Content-Type"] = self._kind
        for name, text in self._pairs(self._headers, values) + self._pairs(self._auth_header, values):
            if not text.isprintable() and any(harmless.hidden(c) for c in text):
                raise Unsendable(f"headers.{name}: the value holds a line break or a control character")
            for same in [known for known in lines if known.lower() == name.lower()]:
                del lines[same]
            lines[name] = text
        lines["Accept-Encoding"] = "identity"
        if self._authorization:
            lines["Authorization"] = self._authorization
        return lines

    @functools.cached_property
    def _authorization(self) -> str:
        """What Authorization says by `auth.basic` or `auth.bearer`, else empty. Raises Unsendable, errors.TextError."""
        if login := _login(self._settings, self._secret):
            return f"Basic {base64.b64encode(login.encode()).decode()}"
        if self._settings.auth is None or self._settings.auth.bearer is None:
            return ""
        bearer = templates.filled(self._settings.auth.bearer.get_secret_value(), self._secret)
        if not BEARER.fullmatch(bearer):
            raise Unsendable("auth.bearer must be plain ASCII without spaces")
        return f"Bearer {bearer}"


def _check(address: str) -> None:
    """Raises Unsendable for an address that a value has changed."""
    if not address.isprintable() or " " in address:
        raise Unsendable("url: holds a space or a control character; write it percent-encoded")
    path = address.split("?", 1)[0]
    if any(urllib.parse.unquote(part) in {".", ".."} for part in path.split("/")):
        raise Unsendable("a value would change the path of url")


def _kind(body: "http_fields.Body | None") -> str:
    """The Content-Type of what a request carries; empty where it carries nothing."""
    if body is None:
        return ""
    if body.text is not None:
        return "text/plain; charset=utf-8"
    return "application/json" if body.form is None else "application/x-www-form-urlencoded"


def _compiled(sources: dict[str, str]) -> Compiled:
    return {name: templates.compiled(source) for name, source in sources.items()}


def _nested(body: Any) -> Any:
    match body:
        case str():
            return templates.compiled(body)
        case dict():
            return {key: _nested(value) for key, value in body.items()}
        case list():
            return [_nested(value) for value in body]
    return body


def _filled(body: Any, values: dict[str, object], *, omit_empty: bool) -> Any:
    match body:
        case templates.Template():
            return body.value(values)
        case dict():
            pairs = [(key, _filled(value, values, omit_empty=omit_empty)) for key, value in body.items()]
            return {key: value for key, value in pairs if not omit_empty or (value not in ("", {}) or body[key] == {})}
        case list():
            return [_filled(value, values, omit_empty=omit_empty) for value in body]
    return body


def secrets(call: Call) -> set[str]:
    """The names of the secrets that a request is filled in from, beside those of `auth`."""
    return {name for one in _templates(call) for name in one.secrets}


def names(call: Call) -> set[str]:
    """The values that a request is filled in from, out of `templates.NAMES` and `ASKED`."""
    return {name for one in _templates(call) for name in one.names}


def _templates(call: Call) -> Iterator[templates.Template]:
    body = call.body
    yield templates.compiled(call.url, in_url=True)
    yield from _compiled(call.query).values()
    yield from _compiled(call.headers).values()
    if body is not None:
        yield from _compiled(body.form or {}).values()
        yield from _inside(_nested(body.json_))
        if body.text is not None:
            yield templates.compiled(body.text)


def _inside(body: Any) -> Iterator[templates.Template]:
    match body:
        case templates.Template():
            yield body
        case dict():
            for value in body.values():
                yield from _inside(value)
        case list():
            for value in body:
                yield from _inside(value)


def _login(settings: "http_settings.Settings", secret: dict[str, str]) -> str:
    """The `user:password` of basic authentication, empty where there is none. Raises errors.TextError."""
    basic = settings.auth.basic if settings.auth is not None else None
    if basic is None:
        return ""
    user = templates.filled(basic.username, secret)
    if ":" in user:
        raise errors.TextError("auth.basic.username must not hold a colon (RFC 7617)")
    return f"{user}:{templates.filled(basic.password.get_secret_value(), secret)}"


class Mask(http_words.Mask):
    """Replaces what is secret in a provider's settings by `***`."""

    def __init__(self, settings: "http_settings.Settings") -> None:
        secret = {name: value.get_secret_value() for name, value in settings.secret.items()}
        super().__init__(settings.secrets(), login=_login(settings, secret))
