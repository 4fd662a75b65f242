"""The receipts that a company sends: as what they come, how they are verified and acknowledged. Pure.

What is in them stands in `reports`. No place may be in what the company's signature does not cover.
"""

import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import pydantic
import pydantic_core

from agi_sms import errors, http_body, ports
from agi_sms.providers import http_paths, reports, signatures, signatures_settings

_MOST = 500  # receipts in one notice


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


Sources = Annotated[
    tuple[signatures_settings.Source, ...], pydantic.BeforeValidator(_listed), pydantic.Field(min_length=1)
]


class Acknowledge(reports.Part):
    """What the company is told once its receipts are kept, to the letter."""

    status: int = pydantic.Field(default=200, ge=200, le=299)
    type: str = pydantic.Field(default="text/plain; charset=utf-8", pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[ -~]+$")
    body: str = ""


class Receipts(reports.Said):
    """The receipts of one company. `from` says where: one of query, form, json, xml, or several as they may come."""

    verify: signatures_settings.Verify
    from_: Sources = pydantic.Field(alias="from")
    method: Annotated[tuple[Literal["GET", "POST", "PUT"], ...], pydantic.BeforeValidator(_listed)] = ()
    acknowledge: Acknowledge = pydantic.Field(default_factory=Acknowledge)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _verified(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "verify" not in value:
            what = (
                "{scheme: token, secret: NAME}, or how the company signs, or {scheme: none} where anybody is believed"
            )
            raise ValueError(f"needs verify: write verify: {what}")
        return value

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Receipts":
        if self.id is None and self.ref is None:
            raise ValueError("needs id or ref, or no message is found by them")
        self._covered()
        self.check(self.from_)
        return self

    def _covered(self) -> None:
        """Refuse every place in what is not signed: there, anybody could write anything."""
        found: dict[str, str] = {}
        for source in self.from_:
            for key, places in self.places.items():
                for place in places:
                    part: signatures_settings.Part = "query" if place[0] == "?" or source == "query" else "body"
                    if part not in self.verify.covers(source):
                        found.setdefault(key, _uncovered(place, source, part, self.verify))
        if found:
            wrong = [
                pydantic_core.InitErrorDetails(
                    type="value_error", loc=(key,), input=key, ctx={"error": ValueError(words)}
                )
                for key, words in found.items()
            ]
            raise pydantic_core.ValidationError.from_exception_data("Receipts", wrong, hide_input=True)

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods by which they come."""
        if self.method:
            return self.method
        return tuple(dict.fromkeys("GET" if source == "query" else "POST" for source in self.from_))

    @property
    def secrets(self) -> set[str]:
        """The names of those secrets that receipts are verified with."""
        return {self.verify.secret} - {""}

    def address(self, public: str, secret: Mapping[str, str]) -> str:
        """What the company is told to send them to; empty where `public` is."""
        token = secret.get(self.verify.secret, "") if self.verify.scheme == "token" else ""
        return f"{public}/{urllib.parse.quote(token, safe='')}" if public and token else public


def _uncovered(
    place: str, source: signatures_settings.Source, part: signatures_settings.Part, verify: signatures_settings.Verify
) -> str:
    where = {"query": "the query of the address", "body": "the body"}
    mends = [f"name a place in {where[other]}" for other in verify.covers(source) - {part}]
    return (
        f"{place} is in {where[part]}, which scheme {verify.scheme} does not sign where it comes as {source}: "
        f"whoever has seen a receipt could write anything there; {', or '.join([*mends, 'verify by scheme token'])}"
    )


class Reader:
    """Reads one provider's receipts. `mask` takes secrets out of what is kept."""

    def __init__(self, settings: Receipts, secret: Mapping[str, str], mask: Callable[[str], str]) -> None:
        signatures.prepare(settings.verify)
        self._settings = settings
        self._methods = settings.methods
        self._acknowledgement = settings.acknowledge.body.encode()
        self._secret = secret.get(settings.verify.secret, "")
        self._reports = reports.Reader(settings, mask)
        found = [place for places in settings.places.values() for place in places]
        self.quick = "xml" not in settings.from_ and not settings.split and all(map(http_paths.plain, found))

    def read(self, notice: ports.Notice, now: datetime) -> ports.Report:
        """The receipts in a notice. Raises errors.ReceiptForged, errors.ReceiptError; nothing else."""
        source = self._source(notice)
        signatures.check(self._settings.verify, notice, source, self._secret, now)  # before a stranger learns anything
        if notice.method not in self._methods:
            expected = " or ".join(self._methods)
            raise errors.ReceiptError(f"came by {notice.method[:10]}, receipts come by {expected}")
        try:
            receipts = tuple(self._receipts(notice, source))
        except http_body.Unreadable as fault:
            raise errors.ReceiptError(f"cannot be read: {fault}") from None
        said = self._settings.acknowledge
        return ports.Report(receipts=receipts, status=said.status, content_type=said.type, body=self._acknowledgement)

    def _receipts(self, notice: ports.Notice, source: signatures_settings.Source) -> Iterator[ports.Receipt]:
        """Raises Unreadable, ReceiptError."""
        asked = reports.fields(urllib.parse.urlsplit(notice.url).query, self._reports.names)
        whole = asked if source == "query" else self._body(notice, source)
        items = self._reports.items(whole, nested=source in {"json", "xml"})
        if not items:
            raise errors.ReceiptError("cannot be read: there is nothing in it")
        count = 0
        for item in items:
            for receipt in self._reports.read(item, asked):
                count += 1
                if count > _MOST:
                    raise errors.ReceiptError(f"holds more than {_MOST} receipts")
                yield receipt

    def _source(self, notice: ports.Notice) -> signatures_settings.Source:
        """As what a notice is read, and verified."""
        sources = self._settings.from_
        kind = notice_kind(notice)
        if kind not in sources:
            usual = [source for source in sources if (source == "query") == (notice.method == "GET")]
            kind = usual[0] if usual else sources[0]
        return kind

    def _body(self, notice: ports.Notice, source: signatures_settings.Source) -> Any:
        text = notice.body.decode(errors="replace").removeprefix("\ufeff")
        match source:
            case "json":
                return http_body.json_tree(text)
            case "xml":
                from agi_sms import http_xml

                return http_xml.parse(text)
        if text.lstrip()[:1] in {"{", "[", "<"}:  # nobody signs which of the two it is
            raise http_body.Unreadable("it is JSON or XML, and called a form")
        return reports.fields(text, self._reports.names)


def notice_kind(notice: ports.Notice) -> signatures_settings.Source:
    """What a notice is by its method and Content-Type."""
    if notice.method == "GET":
        return "query"
    named = notice.headers.get("Content-Type")  # aiohttp's know no case
    if named is None:
        named = next((value for name, value in notice.headers.items() if name.lower() == "content-type"), "")
    kind = named.partition(";")[0].strip().lower()
    if kind.endswith(("/json", "+json")):
        return "json"
    if kind.endswith(("/xml", "+xml")):
        return "xml"
    return "form" if notice.body else "query"
