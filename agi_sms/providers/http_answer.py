"""What an HTTP answer means: ordered rules of the operator's, then a table of defaults. Pure.

A `path` that begins with `$` is JSONPath into a JSON answer, one that begins with `/` XPath into an XML answer (names
stand without their namespaces); any other is a regular expression over the first 4,096 characters of a text, of which
group 1 counts (the whole where it has no group). The operator wrote it, and the provider chooses what it meets; so all
of them together have a time, after which the answer counts as unreadable.
"""

import functools
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Any
from xml.etree.ElementTree import Element

import pydantic
import regex

from agi_sms import harmless, http_body, message
from agi_sms.providers import http_paths, http_statuses

LARGEST = 64 * 1024  # bytes of an answer that are looked at
_SEEN_BY_REGEX = 4096  # characters
_NOTED = 4096  # characters of an answer's words that are looked through for what must not be noted
_PATIENCE = 0.05  # seconds of computing for all regular expressions over one answer
_MOST_IDS = 20
_LONGEST_ID = 255
_STATUS = re.compile(r"[1-5](?:xx|\d\d)")


Then = http_statuses.Then
_MAYBE_TAKEN = frozenset({Then.ACCEPT, Then.DUPLICATE, Then.UNCERTAIN})


LONGEST_PATTERN = 1000  # characters
MOST_PLACES = 10_000  # of the compiled expression, in which {n} repeats what it stands behind
_TIMES = re.compile(r"\{\s*(\d{0,15})\s*(?:,\s*(\d{0,15})\s*)?\}")
_SET = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def _places(source: str) -> int:
    """About how long an expression is when it is compiled, which nothing can interrupt."""
    outer: list[int] = []
    total = last = at = 0
    while at < len(source):
        if (times := _TIMES.match(source, at)) is not None:
            most = max(int(number or 0) for number in times.groups("0"))
            total, last = total + last * max(most - 1, 0), last * max(most, 1)
            at = times.end()
        elif source[at] == "(":
            outer.append(total)
            total = last = 0
            at += 1
        elif source[at] == ")" and outer:
            last, total = max(total, 1), outer.pop() + total
            at += 1
        else:
            last, total = 1, total + 1
            set_ = _SET.match(source, at)
            at = set_.end() if set_ is not None else at + 1 + (source[at] == "\\")
    return total + sum(outer)


def _path(source: str) -> str:
    _finder(source)
    return source


def _value(source: str) -> str:
    if NAMES.fullmatch(source):
        raise ValueError(f"{source} is a regular expression, which finds only itself; write $.{source} for JSON")
    return _path(source)


NAMES = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\d+\])*")  # as a JSONPath without its $ looks


def _pattern(source: str) -> str:
    if len(source) > LONGEST_PATTERN:
        raise ValueError(f"is longer than {LONGEST_PATTERN} characters")
    if _places(source) > MOST_PLACES:
        raise ValueError(f"repeats things so often that it has more than {MOST_PLACES} places; write * or +")
    try:
        regex.compile(source)  # which nothing can interrupt
    except (regex.error, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f"is no regular expression: {error}") from error
    return source


def _listed(value: object) -> object:
    many = value if isinstance(value, list | tuple) else [value]
    return tuple(http_body.shown(one) if not isinstance(one, str) else one for one in many)


def _statuses(value: tuple[str, ...]) -> tuple[str, ...]:
    for one in value:
        if not _STATUS.fullmatch(one.lower()):
            raise ValueError(f"{one[:20]!r} is no HTTP status; write 200, 2xx or a list of such")
    return tuple(one.lower() for one in value)


Path = Annotated[str, pydantic.AfterValidator(_path)]
ValuePath = Annotated[str, pydantic.AfterValidator(_value)]  # what is there is wanted, not only whether it is
Regex = Annotated[str, pydantic.AfterValidator(_pattern)]
Texts = Annotated[tuple[str, ...], pydantic.BeforeValidator(_listed)]
Statuses = Annotated[tuple[str, ...], pydantic.BeforeValidator(_listed), pydantic.AfterValidator(_statuses)]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Rule(_Part):
    """One line of the table: where all conditions hold, `then`. A path alone asks for its existence."""

    status: Statuses = ()
    path: Path | None = None
    equals: Texts | None = None  # compared as text: true, false, null, 14
    matches: Regex | None = None
    exists: bool | None = None  # null counts as absent
    then: Then

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Rule":
        asked = (self.equals, self.matches, self.exists)
        if self.path is None and any(one is not None for one in asked):
            raise ValueError("equals, matches and exists need a path")
        if self.path is not None and NAMES.fullmatch(self.path):
            compared = self.equals is not None and self.path not in self.equals
            if compared or self.matches is not None or re.search(r"[.\[]", self.path):
                _value(self.path)
        return self

    def covers(self, status: int) -> bool:
        """Whether the rule speaks of this HTTP status."""
        return not self.status or str(status) in self.status or f"{status // 100}xx" in self.status

    def holds(self, found: list[object], content: "_Content") -> bool:
        """Whether what was found at the path fits. Raises Unreadable."""
        there = [http_body.shown(one) for one in found if one is not None]
        if self.exists is not None and self.exists != bool(there):
            return False
        if self.equals is not None and not any(http_body.shown(one) in self.equals for one in found):
            return False
        if self.matches is not None:
            pattern = regex.compile(self.matches)  # out of its cache
            return any(content.matched(pattern, one[:_SEEN_BY_REGEX]) for one in there)
        return self.exists is not None or self.equals is not None or bool(there)


class Answer(_Part):
    """How answers are read. Where no rule fits, the table in `default` says; but where some rule says what
    acceptance looks like, a 2xx that fits none is uncertain."""

    rules: tuple[Rule, ...] = ()
    id: ValuePath | None = None
    code: ValuePath | None = None
    detail: ValuePath | None = None


class _Content:
    """The body, decoded on demand."""

    def __init__(self, raw: http_body.Raw) -> None:
        unpacked = http_body.unpacked(raw, LARGEST)
        self._fault = unpacked.fault
        self._json: Any = None
        self._no_json = ""
        self._xml: Element | None = None
        self._parsed = False
        kind = raw.headers.get("Content-Type", "")
        self._declared = "charset" in kind.lower()
        self._body = unpacked.body
        self._patience = _PATIENCE
        self.text = unpacked.body.decode(_charset(kind), "replace")

    @property
    def json(self) -> Any:
        """Raises Unreadable."""
        if self._fault or self._no_json:
            raise http_body.Unreadable(self._fault or self._no_json)
        if not self._parsed:
            try:
                self._json = http_body.json_tree(self.text.removeprefix("\ufeff"))
            except http_body.Unreadable as fault:  # the next rule need not try again
                self._no_json = str(fault)
                raise
            self._parsed = True
        return self._json

    @property
    def xml(self) -> Element:
        """Raises Unreadable."""
        from agi_sms import http_xml

        if self._fault:
            raise http_body.Unreadable(self._fault)
        if self._xml is None:
            text = self.text
            if not self._declared and (charset := http_xml.declared_charset(self._body)):
                text = self._body.decode(charset, "replace")
            self._xml = http_xml.parse(http_body.encodable(text.removeprefix("\ufeff")))
        return self._xml

    def matched(self, pattern: "regex.Pattern[str]", text: str, *, every: bool = False) -> list[object]:
        """What the pattern meets in the text, the first or every time. Raises Unreadable when the time is up."""
        began = time.thread_time()
        try:
            if self._patience <= 0:
                raise TimeoutError  # noqa: TRY301
            # Without the interpreter's lock: calls are served meanwhile.
            hits = pattern.finditer(text, timeout=max(self._patience, 0.001), concurrent=True)
            group = 1 if pattern.groups else 0
            found: list[object] = []
            for hit in hits:
                found.append(hit[group])
                if not every:
                    break
        except TimeoutError:
            self._patience = 0
            raise http_body.Unreadable(
                "a regular expression took too long over it; write it without nested repetition"
            ) from None
        self._patience -= time.thread_time() - began
        return found

    @property
    def head(self) -> str:
        """The text for regular expressions. Raises Unreadable."""
        if self._fault:
            raise http_body.Unreadable(self._fault)
        return self.text[:_SEEN_BY_REGEX]


@functools.lru_cache(maxsize=16)
def _charset(content_type: str) -> str:
    try:
        return http_body.charset(content_type) or "utf-8"
    except http_body.Unreadable:
        return "utf-8"


Finder = Callable[[_Content], list[object]]


def xpath(source: str) -> Callable[[Element], Iterator[Any]]:
    """What finds all that is at an XPath. Raises ValueError for what is none."""
    from agi_sms import http_xml

    path = http_xml.XPath(source)
    return path.all


def _finder(source: str) -> Finder:
    """Raises ValueError for what is neither JSONPath, XPath nor a regular expression."""
    if source.startswith("$"):
        find = http_paths.finder(source)
        return lambda content: list(find(content.json))
    if source.startswith("/"):
        nodes = xpath(source)
        return lambda content: [_text(one) for one in nodes(content.xml)]
    if not source:
        raise ValueError("must not be empty")
    pattern = regex.compile(_pattern(source))
    return lambda content: content.matched(pattern, content.head, every=True)


def _text(found: object) -> object:
    return "".join(found.itertext()).strip() if isinstance(found, Element) else found


class Reader:
    """Reads answers by one provider's settings. `mask` takes secrets out of what is kept."""

    def __init__(self, answer: Answer, mask: Callable[[str], str]) -> None:
        self._rules = [(rule, _finder(rule.path) if rule.path is not None else None) for rule in answer.rules]
        self._id = _finder(answer.id) if answer.id is not None else None
        self._code = _finder(answer.code) if answer.code is not None else None
        self._detail = _finder(answer.detail) if answer.detail is not None else None
        self._says_accept = any(rule.then is Then.ACCEPT for rule in answer.rules)
        self._mask = mask
        paths = [answer.id, answer.code, answer.detail, *(rule.path for rule in answer.rules)]
        self.slow = any(path is not None and not path.startswith("$") for path in paths) or any(
            rule.matches is not None for rule in answer.rules
        )  # regular expressions or XPath are at work: not for the event loop

    def read(
        self, raw: http_body.Raw, now: datetime, mask: Callable[[str], str] = lambda text: text
    ) -> message.Outcome:
        """What the answer means; never raises for what a peer sent. `mask` takes out what only this message knows."""
        content = _Content(raw)
        then, proven, why = self._judge(raw.status, content)
        ids = self._ids(content) if then in {Then.ACCEPT, Then.DUPLICATE} else ()
        if then is Then.ACCEPT and not self._rules and not ids and _is_page(raw, content.text):
            then, why = Then.UNCERTAIN, "the answer is a web page"
        if then is Then.ACCEPT and self._id is not None and not ids and not proven:
            then, why = Then.UNCERTAIN, why or "the answer holds no id"
        if then is Then.PROVIDER_DOWN and 300 <= raw.status <= 399:
            why = why or http_statuses.redirected(raw.headers.get("Location", ""))
        detail = "; ".join(filter(None, [why, self._said(content)]))
        code = mask(self._mask(self._first(self._code, content))) if self._code is not None else ""
        outcome = message.Outcome(
            code=harmless.clipped(code or str(raw.status), 100), detail=harmless.clipped(mask(self._mask(detail)))
        )
        after = http_body.retry_after(raw.headers.get("Retry-After", ""), now) if then is Then.RETRY else None
        return _outcome(then, outcome, ids, after)

    def _judge(self, status: int, content: _Content) -> tuple[Then, bool, str]:
        """The meaning, whether a rule saw it in the body, and what is to be said about it."""
        good = 200 <= status <= 299
        for rule, find in self._rules:
            if not rule.covers(status):
                continue
            if find is None:
                return rule.then, False, ""
            try:
                if rule.holds(find(content), content):
                    return rule.then, True, ""
            except http_body.Unreadable as fault:
                if good or rule.then in _MAYBE_TAKEN:
                    return Then.UNCERTAIN, False, f"the answer cannot be read: {fault}"
        if good and self._says_accept:
            return Then.UNCERTAIN, False, "no rule fits the answer"
        return http_statuses.default(status), False, ""

    def _ids(self, content: _Content) -> tuple[str, ...]:
        found = [] if self._id is None else self._tried(self._id, content)
        ids = dict.fromkeys(http_body.shown(one).strip() for one in found if isinstance(one, str | int))
        return tuple(map(self._mask, islice(filter(_is_id, ids), _MOST_IDS)))

    def _first(self, find: Finder | None, content: _Content) -> str:
        found = self._tried(find, content) if find is not None else []
        return next((http_body.shown(one)[:_NOTED] for one in found if one is not None), "")

    def _said(self, content: _Content) -> str:
        return self._first(self._detail, content) or content.text[:_NOTED]

    @staticmethod
    def _tried(find: Finder, content: _Content) -> list[object]:
        try:
            return find(content)
        except http_body.Unreadable:
            return []


def _is_page(raw: http_body.Raw, text: str) -> bool:
    kind = raw.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in {"text/html", "application/xhtml+xml"} or bool(_PAGE.match(text))


_PAGE = re.compile(r"[\ufeff\s]*<(?:!doctype html|html)\b", re.IGNORECASE)


def _is_id(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_ID and text.isprintable() and "\ufffd" not in text


def _outcome(then: Then, said: message.Outcome, ids: tuple[str, ...], after: timedelta | None) -> message.Outcome:
    code, detail = said.code, said.detail
    match then:
        case Then.ACCEPT:
            return message.Accepted(code=code, detail=detail, ids=ids)
        case Then.DUPLICATE:
            return message.Accepted(code=code, detail=harmless.clipped(f"duplicate: {detail}"), ids=ids)
        case Then.RETRY:
            return message.Retry(code=code, detail=detail, after=after)
        case Then.UNCERTAIN:
            return message.Uncertain(code=code, detail=detail)
        case Then.REJECT:
            return message.Rejected(code=code, detail=detail)
        case Then.FINAL:
            return message.Final(code=code, detail=detail)
        case Then.PROVIDER_DOWN:
            return message.ProviderDown(code=code, detail=detail)
