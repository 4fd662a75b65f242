"""Finds a text again in the encodings that another system has put around it: JSON, HTML, URLs, several at once."""

import html
import re
import sys
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LAYERS = 4  # encodings around each other that are undone
_ESCAPED = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[\"\\/bfnrt]"  # JSON
    r"|&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"  # HTML
    r"|(?:%[fF][0-4](?:%[89abAB][0-9a-fA-F]){3}|%[eE][0-9a-fA-F](?:%[89abAB][0-9a-fA-F]){2}"  # URL, UTF-8
    r"|%[cdCD][0-9a-fA-F]%[89abAB][0-9a-fA-F]|%[0-7][0-9a-fA-F])"
)
_BROKEN = re.compile(r"(?:%[0-9a-fA-F]?|\\(?:u[0-9a-fA-F]{0,3})?|&#?[0-9A-Za-z]{0,8})\Z")
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A text, and for each of its characters where it began and ended in the original."""

    text: str
    starts: list[int]
    ends: list[int]

    def decoded(self) -> "Layer":
        """With one layer of escapes undone."""
        parts: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        at = 0
        for found in _ESCAPED.finditer(self.text):
            first, last = found.span()
            char = _char(found[0])
            parts += [self.text[at:first], char]
            starts += self.starts[at:first] + [self.starts[first]] * len(char)
            ends += self.ends[at:first] + [self.ends[last - 1]] * len(char)
            at = last
        return Layer(
            text="".join([*parts, self.text[at:]]), starts=starts + self.starts[at:], ends=ends + self.ends[at:]
        )

    def whole(self) -> str:
        """Its text without an escape that was cut off at its end."""
        return _BROKEN.sub("", self.text)

    def bare(self) -> "Layer":
        """Without spaces, which some APIs change, and without plus signs, which stand for them in forms."""
        kept = [i for i, char in enumerate(self.text) if not (char.isspace() or char == "+")]
        return Layer(
            text="".join(self.text[i] for i in kept),
            starts=[self.starts[i] for i in kept],
            ends=[self.ends[i] for i in kept],
        )


def encoded(text: str) -> bool:
    """Whether there is anything in it to undo."""
    return _ESCAPED.search(text) is not None


def layers(text: str) -> Iterator[Layer]:
    """The text as it stands, then with more and more of its escapes undone."""
    layer = Layer(text=text, starts=list(range(len(text))), ends=list(range(1, len(text) + 1)))
    yield layer
    for _ in range(_LAYERS):
        deeper = layer.decoded()
        if deeper.text == layer.text:
            return
        layer = deeper
        yield layer


def starred(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with `***` for each of these spans, and for several that touch."""
    shown: list[str] = []
    at = 0
    for start, end in sorted(spans):
        if start > at or not shown:
            shown += [text[at:start], "***"]
        at = max(at, end)
    return "".join([*shown, text[at:]])


def _char(escape: str) -> str:
    match escape[0]:
        case "&":
            if escape[1] != "#":
                return html.unescape(escape)
            number = int(escape[3:-1], 16) if escape[2] in "xX" else int(escape[2:-1])
            return chr(number) if number <= sys.maxunicode else escape
        case "%":
            return urllib.parse.unquote(escape)
    if escape[1] != "u":
        return _SHORT.get(escape[1], escape[1])
    units = b"".join(int(unit, 16).to_bytes(2, "big") for unit in escape.split("\\u")[1:])
    return units.decode("utf-16-be", "surrogatepass")
