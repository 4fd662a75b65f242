"""From one question to one HTTP request. What a caller sent is only ever an encoded value in it. Pure."""

import hashlib
import hmac
import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import phonenumbers
import yarl

import agi_sms
from agi_sms import errors, http_client, http_words, numbers, ports
from agi_sms.content import settings as api_settings
from agi_sms.content.settings import NumberFormat, Structure

TIMESTAMP, SIGNATURE, TEST = "Agi-Sms-Timestamp", "Agi-Sms-Signature", "Agi-Sms-Test"
MOST_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FORM = "application/x-www-form-urlencoded"
_ACCEPT = {
    Structure.TEXT: "text/plain",
    Structure.JSON: "application/json",
    Structure.XML: "application/xml, text/xml",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as people may see it: what is secret in it is `***`. `values` are those in its query or body."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, str], ...]
    body: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """As it goes over the wire, more or less."""
        head = (f"{self.method} {self.url}", *(f"{name}: {value}" for name, value in self.headers))
        return (*head, "", *self.body.splitlines()) if self.body else head


class Unfollowed(Exception):
    """A redirect that is not followed; the message says why, as the end of a sentence."""


class Builder:
    """Makes requests by one node's settings."""

    def __init__(self, settings: api_settings.Api) -> None:
        self._settings = settings
        self._secret = settings.sign.secret.get_secret_value().encode() if settings.sign is not None else None
        self._own = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._mask = http_words.Mask(settings.secrets())

    def build(self, question: ports.Question, now: datetime) -> http_client.Request:
        """The request for a question. `now` is UTC, and signed."""
        pairs = list(self.values(question))
        address, headers, body = self._settings.url, self._standard(test=question.test), None
        if self._settings.method == "GET":
            address = _appended(address, urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote))
        elif self._settings.body == "json":
            headers["Content-Type"] = "application/json"
            body = json.dumps(dict(pairs), ensure_ascii=False, separators=(",", ":")).encode()
        else:
            headers["Content-Type"] = _FORM
            body = urllib.parse.urlencode(pairs).encode("ascii")
        for same in [line for line in headers if line.lower() in {name.lower() for name in self._own}]:
            del headers[same]
        url = yarl.URL(address, encoded=True)
        request = http_client.Request(
            method=self._settings.method, url=url, headers={**headers, **self._own}, body=body
        )
        return self._signed(request, now)

    def values(self, question: ports.Question) -> Iterator[tuple[str, str]]:
        """What is told, name by name; of a caller who withheld their number, no number."""
        at = question.visit.call
        facts = {
            "from_number": "" if numbers.withheld(at.caller, at.presentation) else self._number(at.caller, question),
            "to_number": self._number(at.dialled, question),
            "call_id": at.call_id,
            "diverted_from": self._number(at.diverted_from, question),
            "node": question.visit.node,
            "pbx": at.pbx,
            "activation_id": question.activation_id,
        }
        told = [(name, facts[param]) for param, name in self._settings.params.names()]
        told += self._settings.fields.items()
        told += [(name, at.variables.get(name, "")) for name in self._settings.vars]
        yield from ((name, _clean(value)) for name, value in told)

    def redirected(
        self, request: http_client.Request, status: int, location: str, now: datetime
    ) -> http_client.Request:
        """The request that a redirect asks for (RFC 9110, 15.4). Raises Unfollowed.

        What only the first host is to know, our own headers and signature, does not go to another one.
        """
        try:
            # as it stands, where that can be sent: a server may have signed it
            sendable = location.isascii() and location.isprintable() and " " not in location
            url = request.url.join(yarl.URL(location, encoded=sendable)).with_fragment(None)
            same = _origin(url) == _origin(request.url)
        except ValueError:
            raise Unfollowed("its address is none") from None
        if url.scheme not in {"http", "https"} or not url.raw_host:
            raise Unfollowed("it leads away from HTTP")
        if url.user is not None or url.password is not None:
            raise Unfollowed("its address holds a user or a password")
        if request.url.scheme == "https" and url.scheme != "https":
            raise Unfollowed("it leads from https to http")
        headers = dict(request.headers)
        if not same:
            known = {line.lower() for line in (*self._standard(test=False), TEST, "Content-Type")}
            own = {name.lower() for name in self._own}
            headers = {name: value for name, value in headers.items() if name.lower() in known - own}
            headers = {**self._standard(test=False), **headers}
        moved = replace(request, url=url, headers=headers)
        if status == 303 or (status in {301, 302} and request.method == "POST"):
            headers.pop("Content-Type", None)
            moved = replace(moved, method="GET", body=None)
        return self._signed(moved, now) if SIGNATURE in headers else moved

    def shown(self, request: http_client.Request) -> Asked:
        """The request for people. Values of the operator's own headers are all taken for secrets."""
        own = {name.lower() for name in self._own}
        body = (request.body or b"").decode()
        as_json = request.headers.get("Content-Type") == "application/json"
        told = [] if as_json else urllib.parse.parse_qsl(body or request.url.raw_query_string, keep_blank_values=True)
        pairs = list(json.loads(body).items()) if as_json and body else told
        return Asked(
            method=request.method,
            url=self._mask(str(request.url)),
            headers=tuple(
                (name, "***" if name.lower() in own else self._mask(value)) for name, value in request.headers.items()
            ),
            values=tuple((self._mask(name), self._mask(value)) for name, value in pairs),
            body=self._mask(body),
        )

    def _standard(self, *, test: bool) -> dict[str, str]:
        lines = {
            "User-Agent": f"agi-sms/{agi_sms.__version__}",
            "Accept": f"{_ACCEPT[self._settings.response]}, */*;q=0.1",
            "Accept-Encoding": "identity",
        }
        return lines | {TEST: "1"} if test else lines

    def _signed(self, request: http_client.Request, now: datetime) -> http_client.Request:
        """HMAC-SHA256 over time, a dot, and the body, or for GET the query as it is sent."""
        if self._secret is None:
            return request
        at = str(int(now.timestamp()))
        told = request.body if request.body is not None else request.url.raw_query_string.encode()
        signature = hmac.new(self._secret, at.encode() + b"." + told, hashlib.sha256).hexdigest()
        return replace(request, headers={**request.headers, TIMESTAMP: at, SIGNATURE: f"sha256={signature}"})

    def _number(self, raw: str, question: ports.Question) -> str:
        form = self._settings.number_format
        if form is NumberFormat.RAW:
            return raw
        try:
            number = numbers.read(raw, question.rules)
        except errors.NumberError:
            plain = numbers.keyed(raw[: numbers.LONGEST])
            return plain if form is NumberFormat.E164 else plain.removeprefix("+")
        if form is NumberFormat.NATIONAL and number.region == question.rules.region:
            return _national(number.e164)
        return number.e164.removeprefix("+") if form is NumberFormat.DIGITS else number.e164


def _national(e164: str) -> str:
    """As it is dialled within its country: `600100200`, or in Germany `030123456`."""
    written = phonenumbers.format_number(phonenumbers.parse(e164), phonenumbers.PhoneNumberFormat.NATIONAL)
    return "".join(c for c in written if c.isdigit())


def _origin(url: yarl.URL) -> tuple[str, str | None, int | None]:
    return url.scheme, url.raw_host and url.raw_host.lower(), url.port


def _appended(address: str, query: str) -> str:
    if not query:
        return address
    if "?" not in address:
        return f"{address}?{query}"
    return address + query if address.endswith(("?", "&")) else f"{address}&{query}"


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text in any encoding
