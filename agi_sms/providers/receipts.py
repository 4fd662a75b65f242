"""What a company's receipts say: where they are in the notice, what each state means, how it is acknowledged. Pure.

A place is a plain name (a field of the query or form, a key at the top of the JSON), a JSONPath that begins with `$`,
an XPath that begins with `/`, or a field of the address's query whatever else there is: `?ref`. Behind a JSONPath,
` ?ref` is a field in the query of an address that is found there. With `each`, places in JSON and XML are looked for
from each item on. No place may be in what the company's signature does not cover.
"""

import json
import re
import urllib.parse
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from xml.etree.ElementTree import Element

import pydantic

from agi_sms import errors, harmless, http_body, message, ports
from agi_sms.providers import http_answer, signatures, signatures_settings

LONGEST_RAW = 2000  # characters of a receipt that are kept for people
_MOST = 500  # receipts in one notice
_LONGEST_ID = 255
_STATES = {
    "delivered": message.Status.DELIVERED,
    "failed": message.Status.FAILED,
    "accepted": message.Status.ACCEPTED,
}

_DOTTED = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*|\[\d+\])+")  # a JSONPath without its $
_WITHIN = re.compile(r"(\$.*\S)\s+\?([\w-]+)")  # a JSONPath, and a field in the address that is there


def _place(source: str) -> str:
    if not source.strip():
        raise ValueError("must not be empty")
    if source == "?":
        raise ValueError("needs a name behind the ?")
    if source[0] in "$/":
        _finder(source)
    return source


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _keys(value: object) -> object:
    return {str(name): state for name, state in value.items()} if isinstance(value, dict) else value


Place = Annotated[str, pydantic.AfterValidator(_place)]
Places = Annotated[tuple[Place, ...], pydantic.BeforeValidator(_listed)]
Sources = Annotated[
    tuple[signatures_settings.Source, ...], pydantic.BeforeValidator(_listed), pydantic.Field(min_length=1)
]
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

    verify: signatures_settings.Verify  # before the places: it says which of them can be believed
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

    @pydantic.model_validator(mode="before")
    @classmethod
    def _verified(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "verify" not in value:
            what = (
                "{scheme: token, secret: NAME}, or how the company signs, or {scheme: none} where anybody is believed"
            )
            raise ValueError(f"needs verify: write verify: {what}")
        return value

    @pydantic.field_validator("only", "each", "id", "ref", "state", "code", "detail")
    @classmethod
    def _covered(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        """Refuse a place in what is not signed: there, anybody could write anything."""
        verify: signatures_settings.Verify | None = info.data.get("verify")
        places = value if isinstance(value, tuple) else (value.path if isinstance(value, Only) else value,)
        for source in info.data.get("from_", ()) if verify is not None else ():
            for place in filter(None, places):
                part: signatures_settings.Part = "query" if place[0] == "?" or source == "query" else "body"
                if verify is not None and part not in verify.covers(source):
                    raise ValueError(_uncovered(place, source, part, verify))
        return value

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
                if source == "json" and _DOTTED.fullmatch(place) and self.from_ == ("json",):
                    raise ValueError(f"{place} is the name of one key; write $.{place} for what is in another")
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
        self._settings = settings
        self._secret = secret.get(settings.verify.secret, "")
        self._mask = mask
        self._states = {name.casefold(): _STATES[state] for name, state in settings.states.items()}
        places = {settings.id, settings.ref, settings.state, settings.code, settings.detail, *settings.each}
        places |= {settings.only.path} if settings.only is not None else set()
        self._paths = {place: _finder(place) for place in places if place is not None}
        self._names = {place.removeprefix("?") for place in self._paths}

    def read(self, notice: ports.Notice, now: datetime) -> ports.Report:
        """The receipts in a notice. Raises errors.ReceiptForged, errors.ReceiptError; nothing else."""
        source = self._source(notice)
        signatures.check(self._settings.verify, notice, source, self._secret, now)  # before a stranger learns anything
        if notice.method not in self._settings.methods:
            expected = " or ".join(self._settings.methods)
            raise errors.ReceiptError(f"came by {notice.method[:10]}, receipts come by {expected}")
        try:
            receipts = tuple(self._receipts(notice, source))
        except http_body.Unreadable as fault:
            raise errors.ReceiptError(f"cannot be read: {fault}") from None
        said = self._settings.acknowledge
        return ports.Report(receipts=receipts, status=said.status, content_type=said.type, body=said.body.encode())

    def _receipts(self, notice: ports.Notice, source: signatures_settings.Source) -> Iterator[ports.Receipt]:
        """Raises Unreadable, ReceiptError."""
        asked = _fields(urllib.parse.urlsplit(notice.url).query, self._names)
        whole = asked if source == "query" else self._body(notice, source)
        items = [whole]
        if self._settings.each and source in {"json", "xml"}:
            items = [found for place in self._settings.each for found in self._paths[place](whole)]
            if len(items) == 1 and isinstance(items[0], list):  # the list itself, where its members are meant
                items = items[0]
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
        return _fields(text, self._names)

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
            named = " or ".join(place for place in (settings.id, settings.ref) if place is not None)
            raise errors.ReceiptError(f"cannot be read: it names no message ({named} is not there)")
        said = values[settings.state]
        if not said:
            raise errors.ReceiptError(f"cannot be read: it names no state ({settings.state} is not there)")
        state = self._states.get(said.casefold())
        detail = values[settings.detail] if settings.detail is not None else ""
        if state is None:
            detail = "; ".join(filter(None, [f"unknown state {said[:60]!r}", detail]))
        return ports.Receipt(
            provider_id=ids["id"],
            ref=ids["ref"],
            state=state or message.Status.UNCERTAIN,
            raw=harmless.harmless(self._mask(raw))[:LONGEST_RAW],
            code=harmless.clipped(found["code"] or said, 100),
            detail=harmless.clipped(self._mask(detail)),
        )


def notice_kind(notice: ports.Notice) -> signatures_settings.Source:
    """What a notice is by its method and Content-Type."""
    if notice.method == "GET":
        return "query"
    named = next((value for name, value in notice.headers.items() if name.lower() == "content-type"), "")
    kind = named.partition(";")[0].strip().lower()
    if kind.endswith(("/json", "+json")):
        return "json"
    if kind.endswith(("/xml", "+xml")):
        return "xml"
    return "form" if notice.body else "query"


def _fields(source: str, names: Collection[str]) -> dict[str, str]:
    """The fields of a form or a query. Raises Unreadable, also where one of `names` is there with two values."""
    try:
        pairs = urllib.parse.parse_qsl(source, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise http_body.Unreadable("it has too many fields") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if found.setdefault(name, value) != value and name in names:
            raise http_body.Unreadable(f"it says two things of {name}")
    return found


def _is_id(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_ID and text.isprintable() and "\ufffd" not in text


def _raw(item: Any) -> str:
    if isinstance(item, Element):
        from xml.etree.ElementTree import tostring

        return tostring(item, encoding="unicode")[: 4 * LONGEST_RAW]
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"))[: 4 * LONGEST_RAW]


def _finder(place: str) -> Callable[[Any], Iterator[Any]]:
    if (within := _WITHIN.fullmatch(place)) is not None:
        path, field = http_body.JsonPath(within[1]), within[2]
        return lambda item: (_field(address, field) for address in path.find(item) if isinstance(address, str))
    if place.startswith("$"):
        return http_body.JsonPath(place).find
    if place.startswith("/"):
        return http_answer.xpath(place)
    return lambda item: iter((item[place],)) if isinstance(item, dict) and place in item else iter(())


def _field(address: str, name: str) -> str:
    """A field of an address's query, empty where there is none. Raises Unreadable."""
    return _fields(address.partition("?")[2].partition("#")[0], {name}).get(name, "")
