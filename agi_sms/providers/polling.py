"""How a company is asked what became of messages that it took, where it does not tell by itself. Computing only."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

from agi_sms import durations, errors, harmless, http_body, ports
from agi_sms.providers import http_fields, http_request, reports, templates

if TYPE_CHECKING:
    from agi_sms.providers import http_settings

LARGEST = 256 * 1024  # bytes of an answer that are looked at
_SHORTEST, _LONGEST = timedelta(seconds=5), timedelta(days=1)
_NOTED = 200  # characters of an answer that says no


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
        if any(place.startswith("?") for places in self.places.values() for place in places):
            raise ValueError("an answer has no address: a place cannot begin with ?")
        return self


class Polling(http_fields.Part):
    """One request, logged in as `auth` says. `{{ ids }}` or `{{ refs }}` in it stand for up to `most` messages."""

    every: Annotated[durations.Duration, pydantic.AfterValidator(_every)] = timedelta(minutes=1)
    most: int = pydantic.Field(default=1, ge=1, le=500)
    method: Literal["GET", "POST"] = "GET"
    url: http_fields.Url
    headers: dict[http_fields.HeaderName, http_fields.HeaderValue] = pydantic.Field(default_factory=dict)
    query: dict[str, http_fields.Plain] = pydantic.Field(default_factory=dict)
    body: http_fields.Body | None = None
    answer: Told

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Polling":
        if self.method == "GET" and self.body is not None:
            raise ValueError("body: GET has none; use query, or method POST")
        named = http_request.names(self) - {"secret"}
        if other := sorted(named - set(templates.ASKED)):
            raise ValueError(f"{{{{ {other[0]} }}}} is of one message that is sent; here are ids, refs and secret.NAME")
        if len(named) != 1:
            raise ValueError("needs one of {{ ids }} (the company's) and {{ refs }} (ours) in url, query or body")
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
            asked, refs = [name for name, _ in part], [ref for _, ref in part]
            ids = asked if self._by == "ids" else []
            try:
                request = self._builder.about(ids, refs)
            except http_request.Unsendable:  # an id that would change the address; it is nobody's
                continue
            yield Question(request=request, ids=frozenset(ids), refs=frozenset(refs))

    def read(self, question: Question, answer: http_body.Raw) -> ports.Told:
        """The receipts for messages that were asked about; of others nothing is made. Never raises for what came."""
        alone = self._polling.most == 1
        if alone and answer.status == 404:
            return ports.Told()  # it knows no such message (yet)
        if not 200 <= answer.status <= 299:
            said = answer.body[:_NOTED].decode("utf-8", "replace")
            return ports.Told(fault=self._words(f"HTTP {answer.status}: {said}"))
        meant = (next(iter(question.ids), ""), next(iter(question.refs))) if alone else ("", "")
        found: list[ports.Receipt] = []
        fault = ""
        try:
            whole = self._tree(answer)
            fault = self._reader.text(whole, {}, self._polling.answer.fault) if self._polling.answer.fault else ""
            for item in self._reader.items(whole, nested=True) if not fault else ():
                try:
                    found += self._reader.read(item, {}, meant)
                except errors.ReceiptError as error:
                    fault = fault or str(error)
        except http_body.Unreadable as unreadable:
            fault = f"cannot be read: {unreadable}"
        told = tuple(one for one in found if one.provider_id in question.ids or one.ref in question.refs)
        if not told and not fault and found:
            fault = "tells of messages that it was not asked about"
        return ports.Told(receipts=told, fault=self._words(fault))

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

    def _words(self, text: str) -> str:
        return harmless.clipped(self._mask(text)) if text else ""
