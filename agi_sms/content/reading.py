"""What an answer of the customer's system says. Pure; nothing that can come makes it raise, or take for long."""

import codecs
import http
import math
import re
import urllib.parse
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Protocol
from xml.etree.ElementTree import Element

from agi_sms import harmless, http_body, http_xml, ports
from agi_sms.content import settings as api_settings
from agi_sms.content import xml_tree
from agi_sms.http_body import Raw, Unreadable
from agi_sms.message import Reason

Structure = api_settings.Structure

DEFAULTS = {Structure.JSON: "$.message", Structure.XML: "/*/message"}  # or, in XML, a root that is <message> itself
LONGEST_WAIT = timedelta(seconds=60)  # of Retry-After that is honoured
_LONGEST_QUOTE = 200  # characters of names in an answer
_PASSING = frozenset({408, 425, 429})
_ANY_KIND = frozenset({"", "text/plain", "application/octet-stream"})
_NOT_PLAIN = frozenset({"html", "xml", "json", "css", "javascript"})
_OVERLOADED = frozenset({429, 502, 503, 504})
_HTML = "text/html"
_PAGES = frozenset({_HTML, "application/xhtml+xml"})
_NAMES = {Structure.TEXT: "plain text", Structure.JSON: "JSON", Structure.XML: "XML"}
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_LINE_ENDS = re.compile("\r\n?")


class _Missing(Exception):
    """The answer has no text where it is looked for; the text says what is there."""


class _Empty(Exception):
    """There is nothing, or nothing but spaces."""


def check_path(structure: api_settings.Structure, path: str) -> None:
    """Raise ValueError, saying what would be right, where `path` finds no text in such an answer, whatever is in it."""
    if structure is Structure.TEXT:
        raise ValueError("a text answer is the message; leave it out")
    if structure is Structure.XML:
        http_xml.XPath(path)
        return
    if not path.startswith("$"):
        raise ValueError(f"is no JSONPath; one begins with $, like {DEFAULTS[structure]}")
    http_body.JsonPath(path)


class Reader:
    """Reads the answers that one node gets.

    The text is where `message` says: by default $.message in JSON, in XML the root's child <message> or a root of
    that name. `templated`: the node has a text of its own around the answer, so no message is looked for.
    `slow`: not for the event loop, however short the answer.
    """

    def __init__(self, settings: api_settings.Api, *, templated: bool = False) -> None:
        self._structure = settings.response
        self._most = settings.max_size
        forms: dict[Structure, type[_Form]] = {Structure.TEXT: _Text, Structure.JSON: _Json, Structure.XML: _Xml}
        self._form = forms[settings.response](settings.message, templated)
        self.slow = self._form.slow

    def read(self, raw: Raw) -> ports.Answer | ports.NoAnswer:
        """The answer, or why it is none; never raises for what came."""
        unpacked = http_body.unpacked(raw, self._most)
        named = raw.headers.get("Content-Type", "")
        code, excerpt = str(raw.status), _excerpt(unpacked.body, named)
        if not 200 <= raw.status <= 299:
            return _refusal(raw, excerpt)
        try:
            answer = self._answer(unpacked, named)
        except Unreadable as fault:
            reason, detail = Reason.CONTENT_UNREADABLE, str(fault)
        except _Missing as fault:
            reason, detail = Reason.CONTENT_MISSING, str(fault)
        except _Empty as fault:
            reason, detail = Reason.EMPTY_CONTENT, str(fault)
        else:
            return replace(answer, code=code, excerpt=excerpt)
        return ports.NoAnswer(reason=reason, code=code, detail=harmless.clipped(detail), excerpt=excerpt)

    def _answer(self, unpacked: http_body.Unpacked, content_type: str) -> ports.Answer:
        """Raises Unreadable, _Missing, _Empty."""
        if unpacked.fault:
            raise Unreadable(f"the answer is {unpacked.fault}")
        if not unpacked.body:
            raise _Empty("the answer is empty")
        kind = content_type.partition(";")[0].strip().lower()
        text = self._decoded(unpacked.body, content_type) if kind == _HTML else ""
        if not _only_called_html(self._structure, text):
            _check_kind(self._structure, kind)
        text = text or self._decoded(unpacked.body, content_type)
        try:
            return self._form.read(text)
        except Unreadable as fault:
            raise Unreadable(f"the answer cannot be used: {fault}") from None

    def _decoded(self, body: bytes, content_type: str) -> str:
        """Raises Unreadable, _Empty."""
        try:
            charset = _charset(body, content_type)
            if charset is None:
                declared = http_xml.declared_charset(body) if self._structure is Structure.XML else None
                charset = declared or "utf-8"
        except Unreadable as fault:
            raise Unreadable(f"the answer is {fault}") from None
        try:
            text = body.decode(charset)
        except UnicodeError as error:
            where = f", see byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
            raise Unreadable(f"the answer is not {charset}{where}") from None
        text = http_body.encodable(text.removeprefix("\ufeff"))
        if not text.strip():
            raise _Empty("the answer is nothing but spaces")
        return text


# --- the three structures ---------------------------------------------------------------------------------------


class _Form(Protocol):
    slow: bool

    def __init__(self, path: str | None, templated: bool) -> None: ...

    def read(self, text: str) -> ports.Answer:
        """Raises Unreadable, _Missing, _Empty. `text` has more than spaces in it."""


class _Text:
    slow = False

    def __init__(self, path: str | None, templated: bool) -> None:
        self._templated = templated

    def read(self, text: str) -> ports.Answer:
        said = text.strip()
        return ports.Answer(text=None if self._templated else said, fields=said)


class _Json:
    def __init__(self, path: str | None, templated: bool) -> None:
        self._name = path or DEFAULTS[Structure.JSON]
        self._path = http_body.JsonPath(self._name)
        self._templated = templated
        self.slow = not (templated or self._path.single)

    def read(self, text: str) -> ports.Answer:
        tree = http_body.json_tree(text)
        beside = tree if isinstance(tree, dict) else {}
        answer = ports.Answer(
            text=None,
            fields=tree,
            sender=beside.get("sender"),
            delay=beside.get("delay"),
            recipients=beside.get("recipients"),
            send=beside.get("send"),
        )
        if self._templated:
            if tree is None:
                raise _Missing("the answer is null")
            return answer
        try:
            return replace(answer, text=_full(self._found(tree), self._name))
        except (_Missing, _Empty):
            if answer.send is False:
                return answer
            raise

    def _found(self, tree: object) -> str:
        for value in self._path.find(tree):
            if isinstance(value, str):
                return value
            if not isinstance(value, bool) and (isinstance(value, int) or _is_number(value)):
                return http_body.shown(value)
            raise _Missing(f"{self._name} is {_what(value)}, not text")
        what = f"has: {_names(tree)}" if tree and isinstance(tree, dict) else f"is {_what(tree)}"
        raise _Missing(f"there is no {self._name}; the answer {what}")


def _is_number(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


class _Xml:
    slow = True

    def __init__(self, path: str | None, templated: bool) -> None:
        self._name = path or DEFAULTS[Structure.XML]
        self._find = xml_tree.message if path is None or templated else http_xml.XPath(path).find
        self._templated = templated

    def read(self, text: str) -> ports.Answer:
        root = http_xml.parse(text)
        said = None if self._templated else _full(self._found(root), self._name)
        return ports.Answer(text=said, fields=xml_tree.fields(root))

    def _found(self, root: Element) -> str:
        found = self._find(root)
        if isinstance(found, str):
            return found
        if isinstance(found, bool):
            raise _Missing(f"{self._name} is {_what(found)}, not text")
        if found is None:
            inside = f" with: {_names(child.tag for child in root)}" if len(root) else ""
            raise _Missing(f"there is no {self._name}; the answer is <{root.tag}>{inside}")
        if len(found):
            raise _Missing(f"{self._name} has elements inside, not text: {_names(child.tag for child in found)}")
        return http_xml.whole_text(found)


def _full(text: str, name: str) -> str:
    if not text.strip():
        raise _Empty(f"{name} is empty")
    return text


def _what(value: object) -> str:
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case dict():
            return "an object" if value else "an empty object"
        case list():
            return "a list" if value else "an empty list"
        case str():
            return "text"
    return str(value)[:40]


def _names(names: Iterable[str]) -> str:
    return harmless.clipped(", ".join(dict.fromkeys(names)), _LONGEST_QUOTE)


# --- headers, charsets, refusals --------------------------------------------------------------------------------


def _check_kind(structure: api_settings.Structure, kind: str) -> None:
    """Raise Unreadable for a Content-Type that is plainly something else."""
    main, _, sub = kind.partition("/")
    ending = sub.rpartition("+")[2]
    fits = kind in _ANY_KIND
    match structure:
        case Structure.JSON:
            fits = fits or (main in {"application", "text"} and sub == "json") or sub.endswith("+json")
        case Structure.XML:
            fits = fits or ((sub == "xml" or sub.endswith("+xml")) and kind not in _PAGES)
        case Structure.TEXT:
            fits = fits or (main == "text" and ending not in _NOT_PLAIN)
    if fits:
        return
    hint = ""
    if kind in _PAGES:
        hint = ": often a login or error page"
    elif structure is Structure.TEXT and ending in {"json", "xml"}:
        hint = f"; response: {ending} reads it"
    raise Unreadable(f"the answer is {harmless.clipped(kind, 100)}, not {_NAMES[structure]}{hint}")


def _only_called_html(structure: api_settings.Structure, text: str) -> bool:
    """Whether a text that its sender calls HTML, as PHP does with whatever it prints, is what is expected."""
    head = text.lstrip()[:20].lower()
    match structure:
        case Structure.JSON:
            return head.startswith(("{", "[", '"'))
        case Structure.XML:
            return head.startswith("<") and not head.startswith(("<!doctype", "<html"))
        case Structure.TEXT:
            return bool(text) and "<" not in text


def _charset(body: bytes, content_type: str) -> str | None:
    """What the header names, or the byte order mark shows. Raises Unreadable."""
    marked = next((charset for mark, charset in _MARKS.items() if body.startswith(mark)), None)
    return http_body.charset(content_type) or marked


def _excerpt(body: bytes, content_type: str) -> str:
    """The beginning of the body for people, harmless, with its line ends."""
    head = body[: 4 * ports.LONGEST_EXCERPT]
    try:
        charset = _charset(body, content_type) or http_xml.declared_charset(body) or "utf-8"
    except Unreadable:
        charset = "utf-8"
    text = _LINE_ENDS.sub("\n", head.decode(charset, "replace").removeprefix("\ufeff"))
    return harmless.harmless(text[: ports.LONGEST_EXCERPT], keep="\n\t")[: ports.LONGEST_EXCERPT]


def _refusal(raw: Raw, excerpt: str) -> ports.NoAnswer:
    status = raw.status
    again = status in _PASSING or status >= 500
    wish = raw.headers.get("Retry-After", "")
    # What the header means by a date, only the clock that wrote it can say.
    after = http_body.retry_after(wish, http_body.http_date(raw.headers.get("Date", "")), LONGEST_WAIT)
    location = raw.headers.get("Location", "")
    said = _redirect(location) if 300 <= status <= 399 and location else ""  # more is in the excerpt, not in the log
    return ports.NoAnswer(
        reason=Reason.CONTENT_REFUSED,
        code=str(status),
        detail=harmless.clipped(": ".join(filter(None, [_status(status), said]))),
        excerpt=excerpt,
        again=again,
        after=after if again else None,
        host_fault=status in _OVERLOADED,  # any other, what one call brings along may bring about
    )


def _status(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _redirect(location: str) -> str:
    """Where to, without what may be secret in it."""
    try:
        parts = urllib.parse.urlsplit(location)
        where = parts.hostname or parts.path
    except ValueError:
        where = ""
    return f"a redirect to {harmless.clipped(where or 'nowhere', 100)}, not followed"
