"""What an HTTP answer's body says, whoever sent it: unpacking, charsets, JSON, JSONPath. Pure, and never for long.

Whoever answers chooses what an operator's path meets. So paths have no regular expressions, whose time nobody can
tell, and take at most MOST_STEPS over one answer.
"""

import codecs
import email.utils
import encodings.aliases
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import jsonpath
from jsonpath import filter as filters
from jsonpath import parse, path

LONGEST_WAIT = timedelta(hours=1)  # of Retry-After that is honoured
DEEPEST = 50  # lists and objects within each other
MOST_STEPS = 150_000  # of a path over one answer, about a second of computing
LONGEST_PATH = 500  # characters
_MOST_SEARCHED = 1000  # members of a list that `in` and `contains` look through
_CODINGS = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s\"';,]{1,40})", re.IGNORECASE)
# Only what Python has: it remembers for ever each name that it was asked for in vain.
_CHARSETS = {"koi8_u", "cp874", "utf_8_sig", *encodings.aliases.aliases, *encodings.aliases.aliases.values()}
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, kw_only=True)
class Raw:
    """An answer as it came. `whole` is False where it was longer than was to be read, and reading stopped."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True


class Unreadable(Exception):
    """The answer is not in the form that was asked for; the text says what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """A body without its Content-Encoding. `fault` says why this is not the whole, empty where it is."""

    body: bytes
    fault: str = ""


def unpacked(raw: Raw, most: int) -> Unpacked:
    """The body of at most `most` bytes; what is packed to hold more costs no more memory than that."""
    named = raw.headers.get("Content-Encoding", "").strip().lower()
    coding = _CODINGS.get(named)
    if coding is None:
        return Unpacked(body=b"", fault=f"packed as {named[:40]!r}, which was not asked for")
    if not coding:
        whole = raw.whole and len(raw.body) <= most
        return Unpacked(body=raw.body[:most], fault="" if whole else f"longer than {size(most)}")
    unpacker = zlib.decompressobj(_window(raw.body, coding))
    try:
        body = unpacker.decompress(raw.body, most + 1)
    except zlib.error:
        return Unpacked(body=b"", fault=f"not {coding}, though it says so")
    if len(body) > most or not raw.whole:
        return Unpacked(body=body[:most], fault=f"longer than {size(most)}")
    if not unpacker.eof:
        return Unpacked(body=body, fault=f"{coding} that breaks off")
    if unpacker.unused_data:
        return Unpacked(body=body, fault=f"{coding} with something behind its end")
    return Unpacked(body=body)


def _window(body: bytes, coding: str) -> int:
    """zlib's wbits. Some servers call it deflate and leave zlib's header out (RFC 9110, 8.4.1.2)."""
    if coding == "deflate" and not (body[:1] and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0):
        return -zlib.MAX_WBITS
    return zlib.MAX_WBITS | 32


def size(count: int) -> str:
    """Bytes for people: 64KiB, 1MiB."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit}{name}"
    return f"{count} bytes"


def charset(content_type: str) -> str | None:
    """The charset that a Content-Type names, as Python calls it, None where it names none. Raises Unreadable."""
    named = _CHARSET.search(content_type)
    return codec(named[1]) if named else None


def codec(name: str) -> str:
    """What Python calls a charset. Raises Unreadable where it has none of that name."""
    normal = encodings.normalize_encoding(name).lower()
    if normal.isascii() and normal in _CHARSETS:
        try:
            b"-".decode(normal, "replace")  # refuses base64 and the like
            return codecs.lookup(normal).name
        except LookupError:
            pass
    raise Unreadable(f"in the unknown charset {name[:40]!r}")


def json_tree(text: str) -> Any:
    """What a JSON text holds: at most DEEPEST, every text in it encodable as UTF-8. Raises Unreadable."""
    try:
        tree = json.loads(text)
        if _ESCAPED_SURROGATE.search(text):
            tree = json.loads(encodable(json.dumps(tree, ensure_ascii=False)))
    except RecursionError:
        raise Unreadable(TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except ValueError:
        raise Unreadable("not JSON: a number has too many digits") from None
    if text.count("[") + text.count("{") > DEEPEST:
        _measure(tree)
    return tree


TOO_DEEP = f"nested deeper than {DEEPEST} levels"


def _measure(tree: object) -> None:
    level = [tree]
    for _ in range(DEEPEST + 1):
        holders = [one for one in level if isinstance(one, dict | list)]
        if not holders:
            return
        level = [inner for one in holders for inner in (one.values() if isinstance(one, dict) else one)]
    raise Unreadable(TOO_DEEP)


def encodable(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair; two that belong together become their character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def shown(value: object) -> str:
    """A value out of JSON as text."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return ""


def retry_after(header: str, now: datetime | None, most: timedelta = LONGEST_WAIT) -> timedelta | None:
    """RFC 9110, 10.2.3: seconds, or a date (not without `now`, UTC); at most `most`."""
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(timedelta(seconds=int(text)), most)
    until = http_date(text)
    if until is None or now is None:
        return None
    try:
        return min(max(until - now, timedelta(0)), most)
    except OverflowError:
        return None


def http_date(header: str) -> datetime | None:
    """A date out of a header, None where it is none."""
    try:
        found = email.utils.parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


# --- JSONPath --------------------------------------------------------------------------------------------------


class Steps(dict[str, Any]):
    """How many steps are left of MOST_STEPS. It travels as the JSONPath library's filter context, into every filter."""

    def __init__(self) -> None:
        super().__init__()
        self._left = MOST_STEPS

    def __bool__(self) -> bool:
        return True  # the library drops what is empty

    def spend(self, count: int) -> None:
        """Raises Unreadable where none are left."""
        self._left -= count
        if self._left < 0:
            raise Unreadable("the path takes too long over it")


class _Match(jsonpath.JSONPathMatch):
    """A node on the way. It counts, and does not hold what nobody asks for: its path, its children."""

    __slots__ = ()

    def __init__(self, **given: Any) -> None:
        super().__init__(**given | {"parent": None, "path": "", "parts": ()})
        steps = self._filter_context
        if isinstance(steps, Steps):
            steps.spend(1 + (len(self.obj) if isinstance(self.obj, dict | list) else 0))

    def new_child(self, obj: object, key: int | str) -> "_Match":
        return _Match(filter_context=self._filter_context, obj=obj, root=self.root)

    def add_child(self, *children: jsonpath.JSONPathMatch) -> None:
        pass


class _Path(path.JSONPath):
    """A path that counts its steps, and takes a text for a text, not for JSON to be parsed again."""

    def finditer(
        self, data: Any, *, filter_context: Mapping[str, Any] | None = None
    ) -> Iterable[jsonpath.JSONPathMatch]:
        matches: Iterable[jsonpath.JSONPathMatch] = [
            _Match(
                filter_context=filter_context if filter_context is not None else {},
                obj=[data] if self.pseudo_root else data,
                root=data,
            )
        ]
        for segment in self.segments:
            matches = segment.resolve(matches)
        return matches


_NO_REGEX = "regular expressions in a path have no time limit; write `matches` beside it"


class _Parser(parse.Parser):
    """JSONPath without the operator `=~`; whose filters count steps too."""

    def parse_regex(self, stream: Any) -> Any:
        raise jsonpath.JSONPathSyntaxError(_NO_REGEX, token=stream.current())

    def parse_absolute_query(self, stream: Any) -> filters.BaseExpression:
        return _counting(super().parse_absolute_query(stream))

    def parse_relative_query(self, stream: Any) -> filters.BaseExpression:
        return _counting(super().parse_relative_query(stream))


def _counting(query: filters.BaseExpression) -> filters.BaseExpression:
    if isinstance(query, filters.FilterQuery):
        query.path = _path(query.path)
    return query


def _path(plain: path.JSONPath) -> _Path:
    return _Path(env=plain.env, segments=plain.segments, pseudo_root=plain.pseudo_root)


class _Paths(jsonpath.JSONPathEnvironment):
    """JSONPath without the functions match() and search()."""

    parser_class = _Parser
    max_recursion_depth = DEEPEST + 1

    def validate_function_extension_signature(self, token: Any, args: list[Any]) -> list[Any]:
        if token.value in {"match", "search"}:
            raise jsonpath.JSONPathSyntaxError(_NO_REGEX, token=token)
        return super().validate_function_extension_signature(token, args)

    def compare(self, left: object, operator: str, right: object) -> bool:
        searched = {"in": right, "contains": left}.get(operator)
        if isinstance(searched, list) and len(searched) > _MOST_SEARCHED:
            raise Unreadable(f"`{operator}` meets a list of more than {_MOST_SEARCHED}")
        return super().compare(left, operator, right)


_JSONPATH = _Paths()


class JsonPath:
    """A compiled JSONPath. Raises ValueError for what is none.

    `single`: it names one place (`$.order.status`), so that finding it takes no time worth speaking of.
    """

    def __init__(self, source: str) -> None:
        if len(source) > LONGEST_PATH:
            raise ValueError(f"is longer than {LONGEST_PATH} characters")
        try:
            compiled = _JSONPATH.compile(source)
        except (jsonpath.JSONPathError, RecursionError) as error:
            raise ValueError(f"is no JSONPath: {str(error).splitlines()[0]}") from error
        plain = [compiled]
        if isinstance(compiled, path.CompoundJSONPath):
            if any(operator != _JSONPATH.union_token for operator, _ in compiled.paths):
                raise ValueError("is no JSONPath: & is not available")
            plain = [compiled.path, *(one for _, one in compiled.paths)]
        self._paths = [_path(one) for one in plain if isinstance(one, path.JSONPath)]
        self.single = len(self._paths) == 1 and self._paths[0].singular_query()

    def find(self, tree: object) -> Iterator[object]:
        """What is there, in order. Raises Unreadable, also on the way."""
        steps = Steps()
        try:
            for match in chain.from_iterable(one.finditer(tree, filter_context=steps) for one in self._paths):
                yield match.obj
        except Unreadable:
            raise
        except Exception:  # beside the library's own kinds: whatever a filter meets
            raise Unreadable("not of the form that the path expects") from None
