"""What a company says of messages that it took: where it stands in what came, and what its words mean. Pure.

A place is a plain name (a field of the query or form, a key at the top of the JSON), a JSONPath that begins with `$`,
an XPath that begins with `/`, or a field of the address's query whatever else there is: `?ref`. Behind a JSONPath,
` ?ref` is a field in the query of an address that is found there. With `each`, places in JSON and XML are looked for
from each item on.
"""

import json
import re
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal
from xml.etree.ElementTree import Element

import pydantic

from agi_sms import errors, harmless, http_body, message, ports
from agi_sms.providers import http_answer, http_paths, signatures_settings

LONGEST_RAW = 2000  # characters of a receipt that are kept for people
_LONGEST_ID = 255
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
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
State = Literal["delivered", "failed", "accepted"]


class Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Only(Part):
    """Which items are about a message of ours; of others, like an SMS that came in, nothing is made."""

    path: Place
    equals: http_answer.Texts


class Said(Part):
    """Where the facts about one message are, and what each word for its state means."""

    only: Only | None = None
    each: Places = ()  # where the items are, in JSON or XML
    split: str = ""  # what joins several in one value
    id: Place | None = None
    ref: Place | None = None
    state: Place
    states: Annotated[dict[str, State], pydantic.BeforeValidator(_keys), pydantic.Field(min_length=1)]
    code: Place | None = None
    detail: Place | None = None

    @property
    def places(self) -> dict[str, tuple[str, ...]]:
        """By the key that names them, those that are given."""
        only = self.only.path if self.only is not None else None
        single = {"only": only, "id": self.id, "ref": self.ref, "state": self.state}
        single |= {"code": self.code, "detail": self.detail}
        return {key: (place,) for key, place in single.items() if place is not None} | {"each": self.each}

    def check(self, sources: Collection[signatures_settings.Source]) -> None:
        """Raises ValueError for a place that is in none of what may come."""
        places = self.places
        for source in sources:
            lead = {"json": "/", "xml": "$"}.get(source)
            for key in places if lead else places.keys() - {"each"}:
                for place in places[key]:
                    _fits(place, source, lead)
                    if source == "json" and _DOTTED.fullmatch(place) and set(sources) == {"json"}:
                        raise ValueError(f"{place} is the name of one key; write $.{place} for what is in another")
        if self.each and not {"json", "xml"}.intersection(sources):
            raise ValueError("each: only JSON and XML have items")


def _fits(place: str, source: signatures_settings.Source, lead: str | None) -> None:
    if (lead is None and place[0] in "$/") or place[0] == lead:
        raise ValueError(f"{place} is no place in {source}")
    if source == "xml" and place[0] not in "/?":
        raise ValueError(f"{place} is no XPath; one begins with /")


class Reader:
    """Reads items by one company's settings. `mask` takes secrets out of what is kept."""

    def __init__(self, said: Said, mask: Callable[[str], str]) -> None:
        self._said = said
        self._mask = mask
        self._states = {name.casefold(): _STATES[state] for name, state in said.states.items()}
        self._paths = {place: _finder(place) for places in said.places.values() for place in places}
        self.names = {place.removeprefix("?") for place in self._paths}

    def items(self, whole: Any, *, nested: bool) -> list[Any]:
        """The items in what came: itself where it is not JSON or XML (`nested`), or `each` names no place."""
        if not self._said.each or not nested:
            return [whole]
        items = [found for place in self._said.each for found in self._paths[place](whole)]
        if len(items) == 1 and isinstance(items[0], list):  # the list itself, where its members are meant
            items = items[0]
        return items

    def read(self, item: Any, asked: Mapping[str, str], meant: tuple[str, str] = ("", "")) -> Iterator[ports.Receipt]:
        """The receipts in one item; `asked` are the fields of the address. Raises http_body.Unreadable, ReceiptError.

        `meant` are the id and the ref of the only message that it can be about, where it names none.
        """
        only = self._said.only
        if only is not None and self.text(item, asked, only.path) not in only.equals:
            return
        raw = self._raw(item)
        for values in self._split({place: self.text(item, asked, place) for place in self._paths}):
            yield self._receipt(values, raw, meant)

    def text(self, item: Any, asked: Mapping[str, str], place: str) -> str:
        """What is at a place of the settings, empty where nothing is. Raises http_body.Unreadable."""
        if place.startswith("?"):
            return http_body.encodable(asked.get(place[1:], "")).strip()
        for found in self._paths[place](item):
            if isinstance(found, str | int | float):
                return http_body.encodable(http_body.shown(found)).strip()
            if isinstance(found, Element):
                return "".join(found.itertext()).strip()
        return ""

    def _split(self, values: dict[str, str]) -> Iterator[dict[str, str]]:
        joint = self._said.split
        if not joint:
            yield values
            return
        parts = {place: [part.strip() for part in text.split(joint)] for place, text in values.items()}
        telling = [place for place in (self._said.id, self._said.ref, self._said.state) if place is not None]
        size = max(len(parts[place]) for place in telling)
        if any(len(parts[place]) not in {1, size} for place in telling):
            raise errors.ReceiptError("cannot be read: its lists are not of one length")
        for at in range(size):
            yield {
                place: part[at] if len(part) == size else part[0] if len(part) == 1 else values[place]
                for place, part in parts.items()
            }

    def _raw(self, item: Any) -> str:
        """What came, for people. Masked before it is cut, or the beginning of a secret would be left."""
        if isinstance(item, Element):
            from xml.etree.ElementTree import tostring

            text = tostring(item, encoding="unicode")
        else:
            text = _JSON.encode(item)
        return harmless.harmless(self._mask(text))[:LONGEST_RAW]

    def _receipt(self, values: Mapping[str, str], raw: str, meant: tuple[str, str]) -> ports.Receipt:
        said = self._said
        provider_id, ref = self._id(values, said.id), self._id(values, said.ref)
        if not (provider_id or ref):
            provider_id, ref = meant
        if not (provider_id or ref):
            named = " or ".join(place for place in (said.id, said.ref) if place is not None)
            raise errors.ReceiptError(f"cannot be read: it names no message ({named} is not there)")
        if not values[said.state]:
            raise errors.ReceiptError(f"cannot be read: it names no state ({said.state} is not there)")
        state = self._states.get(values[said.state].casefold())
        word = self._mask(values[said.state])
        code = self._mask(values[said.code]) if said.code is not None else ""
        detail = values[said.detail] if said.detail is not None else ""
        if state is None:
            detail = "; ".join(filter(None, [f"unknown state {word[:60]!r}", detail]))
        return ports.Receipt(
            provider_id=provider_id,
            ref=ref,
            state=state or message.Status.UNCERTAIN,
            raw=raw,
            code=harmless.clipped(code or word, 100),
            detail=harmless.clipped(self._mask(detail)),
        )

    def _id(self, values: Mapping[str, str], place: str | None) -> str:
        """The name of a message at a place, empty where there is none."""
        found = self._mask(values[place]) if place is not None else ""
        return found if _is_id(found) else ""


def fields(source: str, names: Collection[str]) -> dict[str, str]:
    """The fields of a form or a query. Raises Unreadable, also where one of `names` is there with two values."""
    if not source:
        return {}
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


def _finder(place: str) -> Callable[[Any], Iterable[Any]]:
    if (within := _WITHIN.fullmatch(place)) is not None:
        find, field = http_paths.finder(within[1]), within[2]
        return lambda item: (_field(address, field) for address in find(item) if isinstance(address, str))
    if place.startswith("$"):
        return http_paths.finder(place)
    if place.startswith("/"):
        return http_answer.xpath(place)
    return lambda item: (item[place],) if isinstance(item, dict) and place in item else ()


def _field(address: str, name: str) -> str:
    """A field of an address's query, empty where there is none. Raises Unreadable."""
    return fields(address.partition("?")[2].partition("#")[0], {name}).get(name, "")
