"""From one submission to one HTTP request. Every value is encoded for the place where it stands."""

import base64
import html
import json
import re
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yarl

import agi_sms
from agi_sms import errors, ports
from agi_sms.providers import common, templates

if TYPE_CHECKING:
    from agi_sms.providers import http_settings


Compiled = dict[str, templates.Template]


class Unsendable(Exception):
    """No request can be made of this message; certainly nothing was sent."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What goes on the wire."""

    method: str
    url: yarl.URL
    headers: dict[str, str]
    body: bytes | None


class Builder:
    """Makes requests by one provider's settings."""

    def __init__(self, settings: "http_settings.Settings") -> None:
        self._settings = settings
        self._secret = {name: value.get_secret_value() for name, value in settings.secret.items()}
        self._url = templates.Template(settings.url, in_url=True)
        self._query = _compiled(settings.query)
        self._headers = _compiled(settings.headers)
        self._body = settings.body
        self._form = _compiled(settings.body.form or {}) if settings.body is not None else {}
        self._json = _nested(settings.body.json_) if settings.body is not None else None
        text = settings.body.text if settings.body is not None else None
        self._text = templates.Template(text) if text is not None else None

    def build(self, submission: ports.Submission) -> Request:
        """The request for a message. Raises Unsendable."""
        values = templates.values(submission, self._secret)
        try:
            url = self._address(values)
            kind, body = self._content(values)
            headers = self._header_lines(values, kind)
        except errors.TextError as error:
            raise Unsendable(str(error)) from error
        return Request(method=self._settings.method, url=url, headers=headers, body=body)

    def _address(self, values: dict[str, object]) -> yarl.URL:
        address = self._url.render(values)
        if not address.isprintable() or " " in address:
            raise Unsendable("url: holds a space or a control character; write it percent-encoded")
        path = address.split("?", 1)[0]
        if any(urllib.parse.unquote(part) in {".", ".."} for part in path.split("/")):
            raise Unsendable("a value would change the path of url")
        pairs = self._pairs(self._query, values)
        if pairs:
            joint = "&" if "?" in address else "?"
            address += joint + urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote)
        try:
            return yarl.URL(address, encoded=True)
        except ValueError as error:
            raise Unsendable(f"url: {error}") from error

    def _pairs(self, compiled: Compiled, values: dict[str, object]) -> list[tuple[str, str]]:
        rendered = [(name, template.render(values)) for name, template in compiled.items()]
        return [(name, text) for name, text in rendered if text or not self._settings.omit_empty]

    def _content(self, values: dict[str, object]) -> tuple[str, bytes | None]:
        if self._body is None:
            return "", None
        if self._text is not None:
            return "text/plain; charset=utf-8", self._text.render(values).encode()
        if self._body.form is not None:
            form = urllib.parse.urlencode(self._pairs(self._form, values))
            return "application/x-www-form-urlencoded", form.encode("ascii")
        tree = _filled(self._json, values, omit_empty=self._settings.omit_empty)
        return "application/json", json.dumps(tree, separators=(",", ":")).encode("ascii")

    def _header_lines(self, values: dict[str, object], kind: str) -> dict[str, str]:
        lines = {"User-Agent": f"agi-sms/{agi_sms.__version__}", "Accept": "*/*"}
        if kind:
            lines["Content-Type"] = kind
        for name, text in self._pairs(self._headers, values):
            if any(common.hidden(c) for c in text):
                raise Unsendable(f"headers.{name}: the value holds a line break or a control character")
            for same in [known for known in lines if known.lower() == name.lower()]:
                del lines[same]
            lines[name] = text
        lines["Accept-Encoding"] = "identity"
        auth = self._settings.auth
        if auth is not None and auth.basic is not None:
            pair = f"{auth.basic.username}:{auth.basic.password.get_secret_value()}"
            lines["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif auth is not None and auth.bearer is not None:
            lines["Authorization"] = f"Bearer {auth.bearer.get_secret_value()}"
        return lines


def _compiled(sources: dict[str, str]) -> Compiled:
    return {name: templates.Template(source) for name, source in sources.items()}


def _nested(body: Any) -> Any:
    match body:
        case str():
            return templates.Template(body)
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
            pairs = ((key, _filled(value, values, omit_empty=omit_empty)) for key, value in body.items())
            return {key: value for key, value in pairs if value != "" or not omit_empty}
        case list():
            return [_filled(value, values, omit_empty=omit_empty) for value in body]
    return body


class Mask:
    """Replaces what is secret by `***`, in the forms in which a provider may echo it."""

    def __init__(self, settings: "http_settings.Settings") -> None:
        words = settings.secrets()
        forms = set(words)
        for word in words:
            quoted = json.dumps(word)[1:-1]
            forms |= {urllib.parse.quote(word, safe=""), urllib.parse.quote_plus(word)}
            forms |= {quoted, quoted.replace("/", "\\/"), html.escape(word)}
            forms.add(base64.b64encode(word.encode()).decode())
        if settings.auth is not None and settings.auth.basic is not None:
            pair = f"{settings.auth.basic.username}:{settings.auth.basic.password.get_secret_value()}"
            forms.add(base64.b64encode(pair.encode()).decode())
        ordered = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_form, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub("***", text) if self._pattern is not None else text


def _form(word: str) -> str:
    """A short secret only as a whole word: else every answer would be nothing but stars."""
    return re.escape(word) if len(word) >= 4 else rf"(?<!\w){re.escape(word)}(?!\w)"
