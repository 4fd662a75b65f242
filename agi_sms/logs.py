"""Logs: key-value lines for a person, JSON lines for machines, the same things hidden in both.

What a line hides is decided here and nowhere else, by the name of the key: numbers are masked and the texts of
messages left out, both unless `reveal`; passwords never show. What comes from outside cannot end a line or colour
a terminal.
"""

import codecs
import enum
import json
import logging
import math
import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal, TextIO

import structlog

from agi_sms import numbers

Format = Literal["auto", "console", "json"]
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}

_LONGEST = 2000  # characters of one value
_LONGEST_CACHED = 200
_LONGEST_TRACE = 20_000
_MOST_ITEMS = 50  # of a list or mapping
_DEEPEST = 4
_WIDTH = 44  # of the event's column
_GONE = "***"


def configure(*, format: Format, level: str, reveal: bool, stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging; may be called again, as after a reload.

    `auto` is `console` on a terminal, else `json`. Libraries' own lines show from WARNING up. `level` is one of
    `LEVELS`; raises ValueError otherwise. Lines go to `stream`, standard error by default.
    """
    if level not in LEVELS:
        raise ValueError(f"{level!r} is no log level; there are {', '.join(LEVELS)}")
    target = sys.stderr if stream is None else stream
    terminal = target.isatty()
    as_json = format == "json" or (format == "auto" and not terminal)
    style = _Style(
        as_json=as_json,
        terminal=terminal and not as_json,
        colours=terminal and not as_json and not os.environ.get("NO_COLOR"),
        reveal=reveal,
        traces=as_json or LEVELS[level] <= logging.DEBUG,
    )
    writer = _Writer(target)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, style],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=False,  # loggers of modules must follow a reload
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(handler)
    root.addHandler(_Handler(style, writer))
    root.setLevel(max(LEVELS[level], logging.WARNING))


class _Writer:
    """Writes whole lines. A stream that is gone or full costs the line, never the call it is about."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        encoding = getattr(stream, "encoding", None) or "utf-8"
        self._ascii = codecs.lookup(encoding).name != "utf-8"

    def write(self, line: str) -> None:
        try:
            with self._lock:
                self._stream.write((_NOT_ASCII.sub(_json_escape, line) if self._ascii else line) + "\n")
                self._stream.flush()
        except (OSError, ValueError):
            pass

    debug = info = warning = error = critical = write


class _Handler(logging.Handler):
    """The standard library's records, through the same style."""

    def __init__(self, style: "_Style", writer: _Writer) -> None:
        super().__init__()
        self._style = style
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.getMessage()
        except Exception:  # the library's own mistake: arguments that do not fit
            event = str(record.msg)
        values = {**structlog.contextvars.get_contextvars(), "logger": record.name, "event": event}
        self._writer.write(self._style.line(record.levelname.lower(), {**values, "exc_info": record.exc_info}))


# --- what a line hides --------------------------------------------------------------------------------------


class _Key(enum.Enum):
    SECRET = enum.auto()
    TEXT = enum.auto()
    NUMBER = enum.auto()
    SENDER = enum.auto()
    ID = enum.auto()
    FREE = enum.auto()
    MISTAKE = enum.auto()  # of the configuration, which keeps secrets out itself and names their keys


_SECRET_KEY = re.compile(
    "(?:^|_)(?:pass|password|passwd|passphrase|pwd|secrets?|token|credentials?|auth|authorization|cookie)(?:$|_)"
    "|api_?key|access_?key|private_?key"
)
_TEXT_KEYS = frozenset({"text", "body", "content", "payload", "sms", "message_text", "caller_name"})
_NUMBER_KEY = re.compile(
    "(?:.*_)?(?:caller|callee|called|dialled|dialed|recipients?|numbers?|msisdn|phone|callerid|caller_id)"
    "|to|from|from_|diverted_from|exten|extension|dnid|ani|cli"
)
_ID_KEYS = frozenset(
    {"call_id", "visit", "visit_id", "message_id", "activation", "activation_id", "channel_id", "linkedid"}
    | {"uniqueid", "node", "pbx", "id", "ref"}
)

_SECRET_HINT = re.compile("://|pass|pwd|secret|token|key|auth|cred|cookie|sig|bearer|basic", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)(?:[^/\s?#]*@|[^/\s@:]*:(?!\d+/)[^\s@]*@)")
_QUERY = re.compile(r"(?i)([?&;](?:[a-z_\-]*key|auth|pass|user|sig|signature)=)[^&\s\"'<>]+")
_NAMED = re.compile(
    r"(?i)((?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization"
    r"|credentials?|cookie)\\?[\"']?\s{0,3}[=:]\s{0,3})"
    r"(\\?\"(?:[^\"\\]|\\[^\"])*\\?\"|'[^']*'|(?:basic|bearer|digest)\s+[^\s\"',;]+|[^\s&,;}\"']+)"
)
_SCHEME = re.compile(r"(?i)\b(basic|bearer)\s+[a-z0-9+/._~\-]{8,}=*")


@lru_cache(maxsize=1024)
def _kind(key: str) -> _Key:
    name = key.lower().replace("-", "_")
    if _SECRET_KEY.search(name):
        return _Key.SECRET
    if name in _TEXT_KEYS:
        return _Key.TEXT
    if name in _ID_KEYS:
        return _Key.ID
    if name == "sender":
        return _Key.SENDER
    if name == "mistake":
        return _Key.MISTAKE
    return _Key.NUMBER if _NUMBER_KEY.fullmatch(name) else _Key.FREE


def _without_secrets(text: str) -> str:
    if not _SECRET_HINT.search(text):
        return text
    text = _USERINFO.sub(f"{_GONE}@", text)
    text = _QUERY.sub(rf"\g<1>{_GONE}", text)
    text = _NAMED.sub(rf"\g<1>{_GONE}", text)
    return _SCHEME.sub(rf"\g<1> {_GONE}", text)


# --- lines --------------------------------------------------------------------------------------------------

_LEVEL_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_PLAIN = re.compile(r"[^\s\"'=\\]+")
# control and format characters (Unicode Cc, Cf, Cs, Zl, Zp): they end lines, move cursors, turn text round
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


@dataclass(frozen=True, kw_only=True)
class _Style:
    """Makes one line of an event; the last processor of structlog."""

    as_json: bool
    terminal: bool
    colours: bool
    reveal: bool
    traces: bool

    def __call__(self, _logger: Any, method: str, values: MutableMapping[str, Any]) -> str:
        return self.line(method, values)

    def line(self, level: str, values: Mapping[str, Any]) -> str:
        try:
            return self._line(level, dict(values))
        except Exception as error:  # a value that cannot even be shown must not harm the call it is about
            return self._line("error", {"event": "a log line could not be made", "why": type(error).__name__})

    def _line(self, level: str, values: dict[str, Any]) -> str:
        event = self._string(_Key.FREE, str(values.pop("event", "")))
        error = _exception(values.pop("exc_info", None))
        shown = {}
        for key, value in values.items():
            kind = _kind(key)
            if kind is not _Key.TEXT or self.reveal:
                shown[key] = self._value(kind, value, 0)
        trace = ""
        if error is not None:
            if self.traces:
                trace = "".join(traceback.format_exception(error))[-_LONGEST_TRACE:]
                trace = _hidden.__wrapped__(_Key.FREE, trace, self.reveal)
            if not self.as_json:
                shown.setdefault("error", self._value(_Key.FREE, error, 0))
        return self._json(level, event, shown, trace) if self.as_json else self._text(level, event, shown, trace)

    def _json(self, level: str, event: str, shown: dict[str, Any], trace: str) -> str:
        whole = {"time": _utc(), "level": level, "event": event, **_renamed(shown)}
        if trace:
            whole["exception"] = trace
        line = _ENCODER.encode(whole)
        return line if line.isprintable() else _UNSAFE.sub(_json_escape, line)

    def _text(self, level: str, event: str, shown: dict[str, Any], trace: str) -> str:
        at = datetime.now(UTC).astimezone().strftime("%H:%M:%S.%f")[:-3] if self.terminal else _utc()
        event = _safe(event)
        if self.colours:
            head = f"\x1b[2m{at}\x1b[0m \x1b[{_LEVEL_COLOURS.get(level, '0')}m{level:<8}\x1b[0m"
            pairs = [f"\x1b[2m{_shown(key)}=\x1b[0m{_shown(value)}" for key, value in shown.items()]
        else:
            head = f"{at} {level:<8}"
            pairs = [f"{_shown(key)}={_shown(value)}" for key, value in shown.items()]
        line = f"{head} {event:<{_WIDTH if pairs else 0}} {' '.join(pairs)}".rstrip()
        return "\n".join([line, *(f"    {_safe(part)}" for part in trace.splitlines())])

    # --- values

    def _value(self, kind: _Key, value: Any, depth: int) -> Any:
        """The value as it may be shown: text, numbers, None, and lists and mappings of these."""
        if kind is _Key.SECRET:
            return None if value is None else _GONE
        match value:
            case None | bool():
                return value
            case str():
                return self._string(kind, str(value))
            case int():
                hide = kind is _Key.NUMBER and not self.reveal and abs(value) >= 10**6
                return numbers.mask(str(value)) if hide else int(value)
            case float():
                return value if math.isfinite(value) else str(value)
            case datetime():
                return value.isoformat()
            case BaseException():
                return self._string(_Key.FREE, f"{type(value).__name__}: {value}".removesuffix(": "))
        if depth >= _DEEPEST:
            return "…"
        match value:
            case Mapping():
                return self._mapping(list(value.items())[:_MOST_ITEMS], depth)
            case list() | tuple() | set() | frozenset():
                return [self._value(kind, item, depth + 1) for item in list(value)[:_MOST_ITEMS]]
            case _ if is_dataclass(value):
                return self._mapping([(f.name, getattr(value, f.name)) for f in fields(value)], depth)
            case _:
                return self._string(kind, str(value))

    def _mapping(self, items: list[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        shown = {}
        for key, value in items:
            kind = _kind(str(key)[:100])
            if kind is not _Key.TEXT or self.reveal:
                shown[self._string(_Key.FREE, str(key)[:100])] = self._value(kind, value, depth + 1)
        return shown

    def _string(self, kind: _Key, value: str) -> str:
        if len(value) > _LONGEST:
            value = f"{value[:_LONGEST]}… ({len(value)} characters)"
        return (_hidden if len(value) <= _LONGEST_CACHED else _hidden.__wrapped__)(kind, value, self.reveal)


@lru_cache(maxsize=4096)  # events, names and causes repeat
def _hidden(kind: _Key, value: str, reveal: bool) -> str:
    if kind is _Key.ID:
        return value
    if kind is not _Key.MISTAKE:
        value = _without_secrets(value)
    if reveal:
        return value
    if kind is _Key.NUMBER or (kind is _Key.SENDER and not any(c.isalpha() for c in value)):
        return numbers.mask(value)
    return numbers.mask_all(value)


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _renamed(shown: dict[str, Any]) -> dict[str, Any]:
    """Keys of ours are not to be overwritten by values that have the same name."""
    return {f"{key}_" if key in ("time", "level", "event", "exception") else key: v for key, v in shown.items()}


def _exception(
    exc_info: bool
    | BaseException
    | tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
    | None,
) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1]
    return sys.exc_info()[1] if exc_info else None


def _shown(value: Any) -> str:
    if isinstance(value, str):
        plain = value.isprintable() and _PLAIN.fullmatch(value)
        text = value if plain else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    else:
        text = _ENCODER.encode(value)
    return _safe(text)


def _safe(text: str) -> str:
    return text if text.isprintable() else _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    return named or (f"\\x{ord(char):02x}" if char < "\x80" else f"\\u{ord(char):04x}")


def _json_escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1].replace("\x7f", "\\u007f")
