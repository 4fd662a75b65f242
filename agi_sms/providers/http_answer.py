"""What an HTTP answer means: ordered rules of the operator's, then a table of defaults. Pure.

A `path` that begins with `$` is JSONPath into a JSON answer; any other is a regular expression over the first
4,096 characters of a text, of which group 1 counts (the whole where it has no group). The operator wrote it, and the
provider chooses what it meets; so all of them together have a time, after which the answer counts as unreadable.
"""

import codecs
import email.utils
import enum
import json
import re
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import jsonpath
import pydantic
import regex
from jsonpath import parse

from agi_sms import message
from agi_sms.providers import common

LARGEST = 64 * 1024  # bytes of an answer that are looked at
LONGEST_WAIT = timedelta(hours=1)  # of Retry-After that is honoured
_SEEN_BY_REGEX = 4096  # characters
_PATIENCE = 0.05  # seconds of computing for all regular expressions over one answer
_MOST_IDS = 20
_LONGEST_ID = 255
_STATUS = re.compile(r"[1-5](?:xx|\d\d)")
_CHARSET = re.compile(
    r"charset=\"?(utf-?8|utf-?16(?:le|be)?|(?:us-)?ascii|iso-8859-\d+|windows-125\d)\b", re.IGNORECASE
)


class Then(enum.StrEnum):
    """What a rule makes of an answer."""

    ACCEPT = "accept"
    DUPLICATE = "duplicate"  # it has this ref already, from an attempt of ours: success
    RETRY = "retry"
    UNCERTAIN = "uncertain"
    REJECT = "reject"
    PROVIDER_DOWN = "provider_down"


_MAYBE_TAKEN = frozenset({Then.ACCEPT, Then.DUPLICATE, Then.UNCERTAIN})


def _path(source: str) -> str:
    _finder(source)
    return source


def _pattern(source: str) -> str:
    try:
        regex.compile(source)
    except (regex.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression: {error}") from error
    return source


def _listed(value: object) -> object:
    many = value if isinstance(value, list | tuple) else [value]
    return tuple(shown(one) if not isinstance(one, str) else one for one in many)


def _statuses(value: tuple[str, ...]) -> tuple[str, ...]:
    for one in value:
        if not _STATUS.fullmatch(one.lower()):
            raise ValueError(f"{one[:20]!r} is no HTTP status; write 200, 2xx or a list of such")
    return tuple(one.lower() for one in value)


Path = Annotated[str, pydantic.AfterValidator(_path)]
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
        return self

    def covers(self, status: int) -> bool:
        """Whether the rule speaks of this HTTP status."""
        return not self.status or str(status) in self.status or f"{status // 100}xx" in self.status

    def holds(self, found: list[object], content: "_Content") -> bool:
        """Whether what was found at the path fits. Raises Unreadable."""
        there = [shown(one) for one in found if one is not None]
        if self.exists is not None and self.exists != bool(there):
            return False
        if self.equals is not None and not any(shown(one) in self.equals for one in found):
            return False
        if self.matches is not None:
            pattern = regex.compile(self.matches)  # out of its cache
            return any(content.matched(pattern, one[:_SEEN_BY_REGEX]) for one in there)
        return self.exists is not None or self.equals is not None or bool(there)


class Answer(_Part):
    """How answers are read. Where no rule fits, the table in `default` says; but where some rule says what
    acceptance looks like, a 2xx that fits none is uncertain."""

    rules: tuple[Rule, ...] = ()
    id: Path | None = None
    code: Path | None = None
    detail: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Raw:
    """An answer as it came. `whole` is False where it was longer than LARGEST and reading stopped."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True


class Unreadable(Exception):
    """The answer is not in the form that was asked for."""


class _Content:
    """The body, decoded on demand."""

    def __init__(self, raw: Raw) -> None:
        self._whole = raw.whole
        self._body = raw.body
        self._kind = raw.headers.get("Content-Type", "")
        self._json: Any = None
        self._parsed = False
        self._patience = _PATIENCE
        coding = raw.headers.get("Content-Encoding", "").strip().lower()
        if coding not in {"", "identity"}:  # we asked for none
            self._unpack(coding)
        self.text = self._decode()

    def _unpack(self, coding: str) -> None:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            unpacked = unpacker.decompress(self._body, LARGEST)
        except zlib.error:
            unpacked = b""
        self._whole = self._whole and coding in {"gzip", "deflate"} and unpacker.eof
        self._body = unpacked

    def _decode(self) -> str:
        named = _CHARSET.search(self._kind)
        try:
            charset = codecs.lookup(named[1]).name if named else "utf-8"
        except LookupError:
            charset = "utf-8"
        return self._body.decode(charset, "replace")

    @property
    def json(self) -> Any:
        """Raises Unreadable."""
        if not self._parsed:
            if not self._whole:
                raise Unreadable(f"longer than {LARGEST} bytes, or packed in a way that was not asked for")
            try:
                self._json = json.loads(self.text.removeprefix("\ufeff"))
            except (ValueError, RecursionError):
                raise Unreadable("not JSON") from None
            self._parsed = True
        return self._json

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
            raise Unreadable("a regular expression took too long over it; write it without nested repetition") from None
        self._patience -= time.thread_time() - began
        return found

    @property
    def head(self) -> str:
        """The text for regular expressions. Raises Unreadable."""
        if not self._whole:
            raise Unreadable(f"longer than {LARGEST} bytes, or packed in a way that was not asked for")
        return self.text[:_SEEN_BY_REGEX]


_NO_REGEX = "regular expressions in a path have no time limit; write `matches` beside it"


class _Parser(parse.Parser):
    """JSONPath without the operator `=~`."""

    def parse_regex(self, stream: Any) -> Any:
        raise jsonpath.JSONPathSyntaxError(_NO_REGEX, token=stream.current())


class _Paths(jsonpath.JSONPathEnvironment):
    """JSONPath without the functions match() and search()."""

    parser_class = _Parser

    def validate_function_extension_signature(self, token: Any, args: list[Any]) -> list[Any]:
        if token.value in {"match", "search"}:
            raise jsonpath.JSONPathSyntaxError(_NO_REGEX, token=token)
        return super().validate_function_extension_signature(token, args)


_JSONPATH = _Paths()

Finder = Callable[[_Content], list[object]]


def _finder(source: str) -> Finder:
    """Raises ValueError for what is neither JSONPath nor a regular expression."""
    if source.startswith("$"):
        try:
            compiled = _JSONPATH.compile(source)
        except jsonpath.JSONPathError as error:
            raise ValueError(f"is no JSONPath: {str(error).splitlines()[0]}") from error

        def walk(content: _Content) -> list[object]:
            try:
                return list(compiled.findall(content.json))
            except (jsonpath.JSONPathError, RecursionError):
                raise Unreadable("nested too deeply, or not of the form that the path expects") from None

        return walk
    if not source:
        raise ValueError("must not be empty")
    pattern = regex.compile(_pattern(source))
    return lambda content: content.matched(pattern, content.head, every=True)


def shown(value: object) -> str:
    """A value out of JSON as text."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return ""


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
        )  # regular expressions are at work: not for the event loop

    def read(self, raw: Raw, now: datetime, mask: Callable[[str], str] = lambda text: text) -> message.Outcome:
        """What the answer means; never raises for what a peer sent. `mask` takes out what only this message knows."""
        content = _Content(raw)
        then, proven, why = self._judge(raw.status, content)
        ids = self._ids(content) if then in {Then.ACCEPT, Then.DUPLICATE} else ()
        if then is Then.ACCEPT and self._id is not None and not ids and not proven:
            then, why = Then.UNCERTAIN, why or "the answer holds no id"
        detail = "; ".join(filter(None, [why, self._said(content)]))
        outcome = message.Outcome(
            code=common.clipped(mask(self._mask(self._first(self._code, content))) or str(raw.status), 100),
            detail=common.clipped(mask(self._mask(detail))),
        )
        return _outcome(then, outcome, ids, retry_after(raw.headers.get("Retry-After", ""), now))

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
            except Unreadable as fault:
                if good or rule.then in _MAYBE_TAKEN:
                    return Then.UNCERTAIN, False, f"the answer cannot be read: {fault}"
        if good and self._says_accept:
            return Then.UNCERTAIN, False, "no rule fits the answer"
        return default(status), False, ""

    def _ids(self, content: _Content) -> tuple[str, ...]:
        found = [] if self._id is None else self._tried(self._id, content)
        ids = dict.fromkeys(shown(one).strip() for one in found if isinstance(one, str | int))
        return tuple(self._mask(one) for one in ids if _is_id(one))[:_MOST_IDS]

    def _first(self, find: Finder | None, content: _Content) -> str:
        found = self._tried(find, content) if find is not None else []
        return next((shown(one) for one in found if one is not None), "")

    def _said(self, content: _Content) -> str:
        return self._first(self._detail, content) or content.text

    @staticmethod
    def _tried(find: Finder, content: _Content) -> list[object]:
        try:
            return find(content)
        except Unreadable:
            return []


def _is_id(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_ID and text.isprintable() and "\ufffd" not in text


def default(status: int) -> Then:
    """What a status means where no rule says so. 3xx is a refusal: redirects are never followed."""
    if 200 <= status <= 299:
        return Then.ACCEPT
    if status == 429:
        return Then.RETRY
    if status in {401, 403}:
        return Then.PROVIDER_DOWN
    if status == 408 or not 300 <= status <= 499:
        return Then.UNCERTAIN
    return Then.REJECT


def _outcome(then: Then, said: message.Outcome, ids: tuple[str, ...], after: timedelta | None) -> message.Outcome:
    code, detail = said.code, said.detail
    match then:
        case Then.ACCEPT:
            return message.Accepted(code=code, detail=detail, ids=ids)
        case Then.DUPLICATE:
            return message.Accepted(code=code, detail=common.clipped(f"duplicate: {detail}"), ids=ids)
        case Then.RETRY:
            return message.Retry(code=code, detail=detail, after=after)
        case Then.UNCERTAIN:
            return message.Uncertain(code=code, detail=detail)
        case Then.REJECT:
            return message.Rejected(code=code, detail=detail)
        case Then.PROVIDER_DOWN:
            return message.ProviderDown(code=code, detail=detail)


def retry_after(header: str, now: datetime) -> timedelta | None:
    """RFC 9110, 10.2.3: seconds or a date; at most LONGEST_WAIT. `now` is UTC."""
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(timedelta(seconds=int(text)), LONGEST_WAIT)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    try:
        return min(max(until - now, timedelta(0)), LONGEST_WAIT)
    except OverflowError:
        return None
