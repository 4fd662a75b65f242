"""How a company is asked what became of messages that it took, where it does not tell by itself. Computing only."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

from agi_sms import durations, errors, harmless, http_body, message, ports
from agi_sms.providers import http_fields, http_request, reports, templates

if TYPE_CHECKING:
    from agi_sms.providers import http_settings

LARGEST = 256 * 1024  # bytes of an answer that are looked at
MOST = 500  # receipts in one answer
_SHORTEST, _LONGEST = timedelta(seconds=5), timedelta(days=1)
_IN_A_QUERY = 50  # names that an address has room for
_NOTED = 200  # characters of an answer that says no
_NO_FAULT = frozenset({"", "0", "false", "null", "none", "ok"})


def _every(value: timedelta) -> timedelta:
    if not _SHORTEST <= value <= _LONGEST:
        raise ValueError(f"must be from {durations.show(_SHORTEST)} to {durations.show(_LONGEST)}")
    return value


class Told(reports.Said):
    """What the company answers: JSON or XML, with a message in each item."""

    from_: Literal["json", "xml"] = pydantic.Field(default="json", alias="from")
    fault: reports.Place | None = None  # what is there says why it does not tell

    @property
    def places(self) -> dict[str, tuple[str, ...]]:
        return super().places | ({"fault": (self.fault,)} if self.fault is not None else {})

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Told":
        self.check((self.from_,))
        if self.split:
            raise ValueError("split: is of receipts; an answer has an item for each message")
        if any(place.startswith("?") for places in self.places.values() for place in places):
            raise ValueError("an answer has no address: a place cannot begin with ?")
        return self


class Polling(http_fields.Part):
    """One request, logged in as `auth` says. `{{ ids }}` or `{{ refs }}` in it stand for up to `most` messages."""

    every: Annotated[durations.Duration, pydantic.AfterValidator(_every)] = timedelta(minutes=1)
    most: int = pydantic.Field(default=1, ge=1, le=MOST)
    method: Literal["GET", "POST"] = "GET"
    url: http_fields.Url
    headers: dict[http_fields.HeaderName, http_fields.HeaderValue] = pydantic.Field(default_factory=dict)
    query: dict[str, http_fields.Plain] = pydantic.Field(default_factory=dict)
    body: http_fields.Body | None = None
    answer: Told

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Polling":
        if self.method == "GET" and self.most > _IN_A_QUERY:
            raise ValueError(
                f"most: an address has room for about {_IN_A_QUERY}; for more write method POST, with a body"
            )
        named = http_request.names(self) - {"secret"}
        if other := sorted(named - set(templates.ASKED)):
            raise ValueError(f"{{{{ {other[0]} }}}} is of one message that is sent; here are ids, refs and secret.NAME")
        if len(named) != 1:
            raise ValueError("needs {{ ids }} (the company's) or {{ refs }} (ours) in url, query, headers or body")
        if self.most > 1 and self.answer.id is None and self.answer.ref is None:
            raise ValueError("answer: needs id or ref, or most: 1, or nobody knows which message an item is about")
        return self

    @property
    def by(self) -> str:
        """What it names messages by: ids or refs."""
        return (http_request.names(self) - {"secret"}).pop()


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request, and the names of the messages that it is about."""

    request: http_request.Request
    ids: frozenset[str]
    refs: frozenset[str]


class Poller:
    """Makes a provider's questions, and reads the answers. `mask` takes secrets out of what is kept."""

    def __init__(self, settings: "http_settings.Settings", polling: Polling, mask: Callable[[str], str]) -> None:
        self._polling = polling
        self._by = polling.by
        self._mask = mask
        self._builder = http_request.Builder(settings, polling)
        self._reader = reports.Reader(polling.answer, mask)

    def questions(self, awaited: Sequence[ports.Awaited]) -> Iterator[Question]:
        """About all that can be asked about: one without an id of the company's cannot where it wants that."""
        names = [(name, one.ref) for one in awaited for name in (one.provider_ids if self._by == "ids" else (one.ref,))]
        for start in range(0, len(names), self._polling.most):
            part = names[start : start + self._polling.most]
            ids = [name for name, _ in part] if self._by == "ids" else []
            refs = [ref for _, ref in part]
            try:
                request = self._builder.about(ids, refs)
            except http_request.Unsendable:  # an id that would change the address; it is nobody's
                continue
            yield Question(request=request, ids=frozenset(ids), refs=frozenset(refs))

    def read(self, question: Question, answer: http_body.Raw, now: datetime) -> ports.Told:
        """The receipts for messages that were asked about; of others nothing is made. Never raises for what came."""
        alone = self._polling.most == 1
        if answer.status == 204 or (alone and answer.status == 404):
            return ports.Told()  # it knows nothing of them (yet)
        if not 200 <= answer.status <= 299:
            said = self._words(answer.body.decode("utf-8", "replace"), _NOTED)
            after = http_body.retry_after(answer.headers.get("Retry-After", ""), now)
            return ports.Told(fault=f"HTTP {answer.status}: {said}", after=after)
        meant = (next(iter(question.ids), ""), next(iter(question.refs))) if alone else ("", "")
        try:
            found, fault = self._found(self._tree(answer), meant)
        except http_body.Unreadable as unreadable:
            found, fault = [], f"cannot be read: {unreadable}"
        told = [one for one in found if one.provider_id in question.ids or one.ref in question.refs]
        if found and not told:
            fault = fault or "tells of messages that it was not asked about"
        return ports.Told(receipts=tuple(_together(told)), fault=self._words(fault))

    def _found(self, whole: object, meant: tuple[str, str]) -> tuple[list[ports.Receipt], str]:
        """What is in an answer, and the first thing that is wrong with it. Raises http_body.Unreadable."""
        place = self._polling.answer.fault
        fault = self._reader.text(whole, {}, place) if place is not None else ""
        fault = "" if fault.casefold() in _NO_FAULT else fault
        items = self._reader.items(whole, nested=True)
        if len(items) > MOST:
            fault = fault or f"tells of more than {MOST} messages at once"
        found: list[ports.Receipt] = []
        for item in items[:MOST]:
            try:
                found += self._reader.read(item, {}, meant)
            except errors.ReceiptError as error:
                fault = fault or str(error)
        return found, fault

    def _tree(self, answer: http_body.Raw) -> object:
        """Raises http_body.Unreadable."""
        whole = http_body.unpacked(answer, LARGEST)
        if whole.fault:
            raise http_body.Unreadable(whole.fault)
        text = whole.body.decode(http_body.charset(answer.headers.get("Content-Type", "")) or "utf-8", "replace")
        text = text.removeprefix("\ufeff")
        if self._polling.answer.from_ == "json":
            return http_body.json_tree(text)
        from agi_sms import http_xml

        return http_xml.parse(text)

    def _words(self, text: str, most: int = 300) -> str:
        """Masked before it is cut, or the beginning of a secret would be left."""
        return harmless.clipped(self._mask(text), most)


def _together(receipts: Sequence[ports.Receipt]) -> Iterator[ports.Receipt]:
    """One for each message: of several parts with one name the word that is farthest from a good end."""
    named: dict[tuple[str, str], ports.Receipt] = {}
    for one in receipts:
        before = named.get((one.provider_id, one.ref))
        if before is None or _GOOD.index(one.state) < _GOOD.index(before.state):
            named[one.provider_id, one.ref] = one
    yield from named.values()


_GOOD = (message.Status.UNCERTAIN, message.Status.ACCEPTED, message.Status.FAILED, message.Status.DELIVERED)
