"""What a company's receipts say: where they are in the notice, what each state means, how it is acknowledged. Pure.

A place is a plain name (a field of the query or form, a key at the top of the JSON), a JSONPath that begins with `$`,
an XPath that begins with `/`, or a field of the address's query whatever else there is: `?ref`. With `each`, places in
JSON and XML are looked for from each item on.
"""

import json
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from xml.etree.ElementTree import Element

import pydantic

from agi_sms import errors, harmless, http_body, message, ports
from agi_sms.providers import http_answer, signatures

LONGEST_RAW = 2000  # characters of a receipt that are kept for people
_MOST = 500  # receipts in one notice
_LONGEST_ID = 255
_STATES = {
    "delivered": message.Status.DELIVERED,
    "failed": message.Status.FAILED,
    "accepted": message.Status.ACCEPTED,
}

Source = Literal["query", "form", "json", "xml"]


def _place(source: str) -> str:
    if not source.strip():
        raise ValueError("must not be empty")
    if source == "?":
        raise ValueError("needs a name behind the ?")
    if source.startswith("$"):
        http_body.JsonPath(source)
    elif source.startswith("/"):
        http_answer.xpath(source)
    return source


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _keys(value: object) -> object:
    return {str(name): state for name, state in value.items()} if isinstance(value, dict) else value


Place = Annotated[str, pydantic.AfterValidator(_place)]
Places = Annotated[tuple[Place, ...], pydantic.BeforeValidator(_listed)]
Sources = Annotated[tuple[Source, ...], pydantic.BeforeValidator(_listed), pydantic.Field(min_length=1)]
State = Literal["delivered", "failed", "accepted"]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Only(_Part):
    """Which notices, or items of one, are receipts; of others, like an SMS that came in, nothing is made."""

    path: Place
    equals: http_answer.Texts


class Acknowledge(_Part):
    """What the company is told once its receipts are kept, to the letter."""

    status: int = pydantic.Field(default=200, ge=200, le=299)
    type: str = pydantic.Field(default="text/plain; charset=utf-8", pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[ -~]+$")
    body: str = ""


class Receipts(_Part):
    """The receipts of one company. `from` says where: one of query, form, json, xml, or several as they may come."""

    from_: Sources = pydantic.Field(alias="from")
    method: Annotated[tuple[Literal["GET", "POST", "PUT"], ...], pydantic.BeforeValidator(_listed)] = ()
    only: Only | None = None
    each: Places = ()  # where the items are, in JSON or XML
    split: str = ""  # what joins several in one value
    id: Place | None = None
    ref: Place | None = None
    state: Place
    states: Annotated[dict[str, State], pydantic.BeforeValidator(_keys), pydantic.Field(min_length=1)]
    code: Place | None = None
    detail: Place | None = None
    acknowledge: Acknowledge = pydantic.Field(default_factory=Acknowledge)
    verify: signatures.Verify

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Receipts":
        if self.id is None and self.ref is None:
            raise ValueError("needs id or ref, or no message is found by them")
        places = [self.id, self.ref, self.state, self.code, self.detail]
        places += [self.only.path] if self.only is not None else []
        for source in self.from_:
            lead = {"json": "/", "xml": "$"}.get(source)
            for place in filter(None, [*places, *(self.each if lead else ())]):
                if (lead is None and place[0] in "$/") or place[0] == lead:
                    raise ValueError(f"{place} is no place in {source}")
                if source == "xml" and place[0] not in "/?":
                    raise ValueError(f"{place} is no XPath; one begins with /")
        if self.each and not {"json", "xml"}.intersection(self.from_):
            raise ValueError("each: only JSON and XML have items")
        return self

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


Found = Callable[[str], str]  # a place -> what is there, as text, or nothing


class Reader:
    """Reads one provider's receipts. `mask` takes secrets out of what is kept."""

    def __init__(self, settings: Receipts, secret: Mapping[str, str], mask: Callable[[str], str]) -> None:
        self._settings = settings
        self._secret = secret.get(settings.verify.secret, "")
        self._mask = mask
        self._states = {name.casefold(): _STATES[state] for name, state in settings.states.items()}
        places = (settings.id, settings.ref, settings.state, settings.code, settings.detail, *settings.each)
        self._paths = {place: _finder(place) for place in places if place is not None}
        if settings.only is not None:
            self._paths[settings.only.path] = _finder(settings.only.path)

    def read(self, notice: ports.Notice, now: datetime) -> ports.Report:
        """The receipts in a notice. Raises errors.ReceiptForged, errors.ReceiptError; nothing else."""
        if notice.method not in self._settings.methods:
            expected = " or ".join(self._settings.methods)
            raise errors.ReceiptError(f"came by {notice.method[:10]}, receipts come by {expected}")
        signatures.check(self._settings.verify, notice, self._secret, now)
        try:
            receipts = tuple(self._receipts(notice))
        except http_body.Unreadable as fault:
            raise errors.ReceiptError(f"cannot be read: {fault}") from None
        said = self._settings.acknowledge
        return ports.Report(receipts=receipts, status=said.status, content_type=said.type, body=said.body.encode())

    def _receipts(self, notice: ports.Notice) -> Iterator[ports.Receipt]:
        """Raises Unreadable, ReceiptError."""
        kind, whole = self._whole(notice)
        asked = _fields(urllib.parse.urlsplit(notice.url).query)
        items = [whole]
        if self._settings.each and kind in {"json", "xml"}:
            items = [found for place in self._settings.each for found in self._paths[place](whole)]
        if not items:
            raise errors.ReceiptError("cannot be read: there is nothing in it")
        only, count = self._settings.only, 0
        for item in items:
            if only is not None and self._text(item, asked, only.path) not in only.equals:
                continue
            for values in self._split({place: self._text(item, asked, place) for place in self._paths}):
                count += 1
                if count > _MOST:
                    raise errors.ReceiptError(f"holds more than {_MOST} receipts")
                yield self._receipt(values, _raw(item))

    def _whole(self, notice: ports.Notice) -> tuple[str, Any]:
        """What kind of notice it is, and what it holds."""
        sources = self._settings.from_
        kind = notice_kind(notice)
        if kind not in sources:
            usual = [source for source in sources if (source == "query") == (notice.method == "GET")]
            kind = usual[0] if usual else sources[0]
        text = notice.body.decode(errors="replace").removeprefix("\ufeff")
        match kind:
            case "json":
                return kind, http_body.json_tree(text)
            case "xml":
                from agi_sms import http_xml

                return kind, http_xml.parse(text)
        return kind, _fields(urllib.parse.urlsplit(notice.url).query if kind == "query" else text)

    def _text(self, item: Any, asked: Mapping[str, str], place: str) -> str:
        if place.startswith("?"):
            return http_body.encodable(asked.get(place[1:], "")).strip()
        for found in self._paths[place](item):
            if isinstance(found, str | int | float):
                return http_body.encodable(http_body.shown(found)).strip()
            if isinstance(found, Element):
                return "".join(found.itertext()).strip()
        return ""

    def _split(self, values: dict[str, str]) -> Iterator[dict[str, str]]:
        joint = self._settings.split
        if not joint:
            yield values
            return
        parts = {place: [part.strip() for part in text.split(joint)] for place, text in values.items()}
        telling = [
            place for place in (self._settings.id, self._settings.ref, self._settings.state) if place is not None
        ]
        size = max(len(parts[place]) for place in telling)
        if any(len(parts[place]) not in {1, size} for place in telling):
            raise errors.ReceiptError("cannot be read: its lists are not of one length")
        for at in range(size):
            yield {
                place: part[at] if len(part) == size else part[0] if len(part) == 1 else values[place]
                for place, part in parts.items()
            }

    def _receipt(self, values: Mapping[str, str], raw: str) -> ports.Receipt:
        settings = self._settings
        found = {
            name: self._mask(values[place]) if place is not None else ""
            for name, place in (("id", settings.id), ("ref", settings.ref), ("code", settings.code))
        }
        ids = {name: found[name] if _is_id(found[name]) else "" for name in ("id", "ref")}
        if not any(ids.values()):
            raise errors.ReceiptError("cannot be read: it names no message")
        said = values[settings.state]
        if not said:
            raise errors.ReceiptError("cannot be read: it names no state")
        state = self._states.get(said.casefold())
        detail = values[settings.detail] if settings.detail is not None else ""
        if state is None:
            detail = "; ".join(filter(None, [f"unknown state {said[:60]!r}", detail]))
        return ports.Receipt(
            provider_id=ids["id"],
            ref=ids["ref"],
            state=state or message.Status.ACCEPTED,
            raw=harmless.harmless(self._mask(raw))[:LONGEST_RAW],
            code=harmless.clipped(found["code"] or said, 100),
            detail=harmless.clipped(self._mask(detail)),
        )


def notice_kind(notice: ports.Notice) -> str:
    """What a notice is by its method and Content-Type: query, form, json or xml."""
    if notice.method == "GET":
        return "query"
    named = next((value for name, value in notice.headers.items() if name.lower() == "content-type"), "")
    kind = named.partition(";")[0].strip().lower()
    for ending in ("json", "xml"):
        if kind.endswith(("/" + ending, "+" + ending)):
            return ending
    return "form" if notice.body else "query"


def _fields(source: str) -> dict[str, str]:
    """The fields of a form or a query; of two of one name, the first. Raises Unreadable."""
    try:
        pairs = urllib.parse.parse_qsl(source, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise http_body.Unreadable("it has too many fields") from None
    return dict(reversed(pairs))


def _is_id(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_ID and text.isprintable() and "\ufffd" not in text


def _raw(item: Any) -> str:
    if isinstance(item, Element):
        from xml.etree.ElementTree import tostring

        return tostring(item, encoding="unicode")[: 4 * LONGEST_RAW]
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"))[: 4 * LONGEST_RAW]


def _finder(place: str) -> Callable[[Any], Iterator[Any]]:
    if place.startswith("$"):
        return http_body.JsonPath(place).find
    if place.startswith("/"):
        return http_answer.xpath(place)
    return lambda item: iter((item[place],)) if isinstance(item, dict) and place in item else iter(())
