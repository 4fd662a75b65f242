"""YAML files as plain values, with the place of each, so that every mistake can name its file and line."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from agi_sms import plain_file
from agi_sms.config_mistakes import Mistakes, Spot, guarded, secretive

MOST_BYTES = 1 << 20  # of one file
_MOST_DEPTH = 40
_MOST_VALUES = 200_000  # aliases counted as often as they are used
_CORE = "tag:yaml.org,2002:"
_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")
_INT = re.compile(r"[-+]?[0-9]{1,30}")
_BASED = re.compile(r"0o[0-7]{1,20}|0x[0-9a-fA-F]{1,16}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_LOGIN = re.compile(r"://[^/@\s]*:([^/@\s]+)@")
_DOUBTS = (
    (
        re.compile(r"\$[A-Za-z_]\w*"),
        "is a $ and a name, taken as it stands; a variable is written ${NAME}, with braces",
    ),
    (re.compile(r"(?i)<?change[-_ ]?(?:me|this|it)>?"), "is still what stands for it in an example; write your own"),
)
_WORDS = {"null": None, "~": None, "": None, "true": True, "false": False}


class Broken(ValueError):
    """The text is no YAML that we read."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


class Reader:
    """Reads the files of one configuration. `literal` holds each file's first openly written secret."""

    def __init__(self, environ: Mapping[str, str] | None, mistakes: Mistakes) -> None:
        """`environ` is where `${NAME}` comes from; None: these files take nothing from the environment."""
        self.environ = environ
        self.mistakes = mistakes
        self.literal: dict[str, Spot] = {}
        self.doubts: list[tuple[Spot, str]] = []  # secrets that hardly are what was meant

    def mapping(self, path: Path) -> tuple[dict[str, Any], Spot] | None:
        """A YAML file's top mapping and its spots; None where it cannot be read at all."""
        source = self.text(path, MOST_BYTES)
        if source is None:
            return None
        try:
            value, spot = self.yaml(source, str(path))
        except Broken as broken:
            self.mistakes.add(Spot(str(path), broken.line, ""), str(broken))
            return None
        if value is None:
            return {}, Spot(str(path), 1, "")
        if not isinstance(value, dict):
            self.mistakes.add(Spot(str(path), spot.line, ""), "must hold `key: value` lines at its top")
            return None
        return value, spot

    def text(self, path: Path, most: int) -> str | None:
        """A file's text (UTF-8), or None with the mistake noted."""
        here = Spot(str(path), 0, "")
        try:
            with os.fdopen(plain_file.opened(path, links=True), "rb") as file:
                data = file.read(most + 1)
        except FileNotFoundError:
            self.mistakes.add(here, "there is no such file")
            return None
        except plain_file.NoFile:
            self.mistakes.add(here, "is no plain file, but a folder, a pipe or a device")
            return None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            self.mistakes.add(here, f"cannot be read: {(reason or 'its name is no file name').lower()}")
            return None
        if len(data) > most:
            self.mistakes.add(here, f"is too large; at most {most // 1024} KiB, split it into several files")
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self.mistakes.add(Spot(str(path), line, ""), "is not UTF-8 text; save the file as UTF-8")
            return None

    def yaml(self, source: str, file: str, *, key: str = "", fill: bool = True) -> tuple[Any, Spot]:
        """Read YAML text that stands at `key`; raises Broken. Only with `fill`, `${NAME}` is replaced."""
        builder = _Builder(source, file, self, fill)
        try:
            return builder.document(key)
        except ReaderError as error:
            # the position is one of the text that the reader was given
            line = source.count("\n", 0, error.position) + 1
            raise Broken("holds a character that is not allowed in YAML", line) from None
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            at = (mark.line if mark else 0) + 1
            # of an open quote, the line where it was opened helps
            if error.context_mark and "quoted scalar" in (error.context or ""):
                at = error.context_mark.line + 1
            raise Broken(_plain_words(error, source, at) + _block(error, at), at) from None
        except (YAMLError, ValueError) as error:
            if isinstance(error, Broken):
                raise
            raise Broken("is not YAML", 1) from None


def scalar(raw: str) -> Any:
    """What an unquoted scalar means (YAML 1.2 core schema; dates stay text)."""
    if raw in ("NULL", "Null", "TRUE", "True", "FALSE", "False"):
        return _WORDS[raw.lower()]
    if raw in _WORDS:
        return _WORDS[raw]
    if _INT.fullmatch(raw):
        return int(raw)
    if _BASED.fullmatch(raw):
        return int(raw, 0)
    return float(raw) if _FLOAT.fullmatch(raw) else raw


class _Builder:
    """Builds values and spots from the parser's events: one pass, bounded in depth and size."""

    def __init__(self, source: str, file: str, reader: Reader, fill: bool) -> None:
        self.events: Iterator[Any] = iter(YAML(typ="safe", pure=True).parse(source))
        self.file = file
        self.reader = reader
        self.filling = fill
        self.anchors: dict[str, tuple[Any, Spot, int]] = {}
        self.count = 0

    def document(self, key: str) -> tuple[Any, Spot]:
        value: Any = None
        spot = Spot(self.file, 1, key)
        documents = 0
        for event in self.events:
            if isinstance(event, events.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise Broken("holds a second document (`---`); one file holds one", _line(event))
            elif isinstance(event, events.NodeEvent):
                value, spot = self.node(event, key, _line(event), 0)
        return value, spot

    def node(self, event: Any, key: str, line: int, depth: int) -> tuple[Any, Spot]:
        if depth > _MOST_DEPTH:
            raise Broken(f"is nested deeper than {_MOST_DEPTH} levels", _line(event))
        before = self.count
        self.count += 1
        if isinstance(event, events.AliasEvent):
            if event.anchor not in self.anchors:
                raise Broken("a value that begins with * names an anchor that does not exist; quote it", _line(event))
            value, spot, size = self.anchors[event.anchor]
            self.count += size
            if secretive(key) and isinstance(value, str):
                self.reader.mistakes.secrets.add(value)
        elif isinstance(event, events.ScalarEvent):
            value, spot = self.scalar(event, key, line)
        elif isinstance(event, events.SequenceStartEvent):
            value, spot = self.sequence(event, key, line, depth)
        else:
            value, spot = self.mapping(event, key, line, depth)
        if self.count > _MOST_VALUES:
            raise Broken(f"holds more than {_MOST_VALUES} values", _line(event))
        if event.anchor and not isinstance(event, events.AliasEvent):
            self.anchors[event.anchor] = (value, spot, self.count - before)
        return value, spot

    def scalar(self, event: Any, key: str, line: int) -> tuple[Any, Spot]:
        raw = str(event.value)
        tag = _tag(event)
        if tag not in ("", "str", "int", "float", "bool", "null"):
            raise Broken("a value that begins with ! is a tag, which is not used here; quote it", _line(event))
        if any(0xD800 <= ord(character) <= 0xDFFF for character in raw):
            raise Broken("holds half of a surrogate pair, which is no character", _line(event))
        style = event.style or ""
        spot = Spot(self.file, line, key, block=_line(event) + 1 if style == "|" else 0)
        full = self.fill(raw, spot)
        login = _LOGIN.search(full)
        if login:
            self.reader.mistakes.secrets.add(login.group(1))
        if secretive(key) and full:
            self.reader.mistakes.secrets.add(full)
            if "${" not in raw:
                self.reader.literal.setdefault(self.file, spot)
            if doubt := next((words for pattern, words in _DOUBTS if pattern.fullmatch(full)), ""):
                self.reader.doubts.append((spot, doubt))
        if style or tag == "str":
            return full, spot
        value = scalar(full)
        if not isinstance(value, str):
            spot.raw = full
        return value, spot

    def sequence(self, start: Any, key: str, line: int, depth: int) -> tuple[Any, Spot]:
        _refuse_tag(start, "seq")
        value: list[Any] = []
        spot = Spot(self.file, line, key)
        for event in self.events:
            if isinstance(event, events.SequenceEndEvent):
                break
            at = str(len(value))
            item, spot.children[at] = self.node(event, f"{key}[{at}]", _line(event), depth + 1)
            value.append(item)
        return value, spot

    def mapping(self, start: Any, key: str, line: int, depth: int) -> tuple[Any, Spot]:
        _refuse_tag(start, "map")
        value: dict[str, Any] = {}
        spot = Spot(self.file, line, key)
        merged: list[tuple[Any, Spot]] = []
        for event in self.events:
            if isinstance(event, events.MappingEndEvent):
                break
            if not isinstance(event, events.ScalarEvent):
                raise Broken('a value that begins with { or [ needs quotes round it: "{{ ... }}"', _line(event))
            name, here = str(event.value), _line(event)
            child, place = self.node(next(self.events), f"{key}.{name}" if key else name, here, depth + 1)
            if name == "<<" and not event.style:
                merged += self.merges(child, place, here)
            elif name in value:
                first = spot.children[name].line
                self.reader.mistakes.add(
                    Spot(self.file, here, key),
                    f"stands here a second time; the first is in line {first}",
                    below=name,
                )
            else:
                value[name], spot.children[name] = child, place
        for child, place in merged:
            for name in child.keys() - value.keys():
                value[name], spot.children[name] = child[name], place.children[name]
        return value, spot

    def merges(self, child: Any, place: Spot, line: int) -> list[tuple[Any, Spot]]:
        several = list(enumerate(child)) if isinstance(child, list) else [(-1, child)]
        if not all(isinstance(one, dict) for _, one in several):
            raise Broken("<< takes the name of a mapping: `<<: *name`", line)
        return [(one, place.at(at) if at >= 0 else place) for at, one in several]

    def fill(self, raw: str, spot: Spot) -> str:
        """Replace `${NAME}` and `${NAME:-default}`; `$${` is a plain `${`."""
        mistakes = self.reader.mistakes

        def replaced(match: re.Match[str]) -> str:
            name, default = match.group(1), match.group(2)
            if match.group() == "$${":
                return "${"
            if name is None:
                spot.faulty = True
                mistakes.add(spot, "${ begins a variable: write ${NAME}, or $${ for the characters themselves")
                return ""
            if self.reader.environ is None:
                spot.faulty = True
                what = "nothing here comes from the environment; write {{ secret.NAME }}, and name it under needs"
                mistakes.add(spot, f"{what} with what it is: each provider gives its own")
                return ""
            found = self.reader.environ.get(name)
            if found is None and default is None:
                spot.faulty = True
                hint = "set it (a running gateway has those of its start: restart it), "
                hint += f"or give a default: ${{{name}:-...}}"
                mistakes.add(spot, f"the environment variable {name} is not set; {hint}")
            if not found:
                return default or ""
            spot.filled = True
            # bytes that are no UTF-8 reach us as surrogates
            found = found.encode("utf-8", "replace").decode()
            if secretive(name) or guarded(spot.key):
                mistakes.secrets.add(found)
            return found

        return _VARIABLE.sub(replaced, raw) if self.filling and "${" in raw else raw


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _tag(event: Any) -> str:
    tag = str(event.tag or "")
    return "" if tag == "!" else tag.removeprefix(_CORE)


def _refuse_tag(event: Any, own: str) -> None:
    if _tag(event) not in ("", own):
        raise Broken("a value that begins with ! is a tag, which is not used here; quote it", _line(event))


def _plain_words(error: MarkedYAMLError, source: str, line: int) -> str:
    """The parser's complaint in words of ours: its own may quote a part of a password."""
    problem = f"{error.context or ''} {error.problem or ''}"
    lines = source.splitlines()
    text = lines[line - 1] if line <= len(lines) else ""
    for known, words in _PROBLEMS:
        if known in problem:
            return words
    if re.search(r":\s*\{\{", text):
        return 'a value that begins with {{ needs quotes round it: "{{ ... }}"'
    if "${" in text:
        return 'inside { } or [ ], ${NAME} needs quotes round it: "${NAME}"'
    return "is not YAML from here on; look for indentation that differs, or a quote or bracket left open"


def _block(error: MarkedYAMLError, line: int) -> str:
    """Where that begins into which the line does not fit."""
    began = error.context_mark.line + 1 if error.context_mark and "block" in (error.context or "") else line
    return f"; it does not fit what begins in line {began}" if 1 < began < line else ""


_PROBLEMS = (
    ("'\\t' that cannot start", "a tab stands where spaces belong; YAML is indented with spaces only"),
    ("that cannot start any token", "a value that begins with @, ` or % needs quotes round it"),
    (
        "mapping values are not allowed",
        "a second `: ` in one line, or a line indented too far; quote a text that holds `: `",
    ),
    ("quoted scalar found unexpected", "a quote is opened here and never closed"),
    (
        "unknown escape character",
        'a backslash inside "..." starts an escape; use single quotes, or write \\\\',
    ),
    (
        "could not find expected ':'",
        "a `:` is missing after the key, or a text in several lines needs quotes or `|`",
    ),
    ("undefined tag handle", "a value that begins with ! is a tag, which is not used here; quote it"),
    ("incompatible YAML document", "the %YAML line asks for another version; remove it"),
)
