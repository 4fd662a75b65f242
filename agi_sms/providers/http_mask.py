"""Keeps the text of an SMS out of what is noted of an answer, in whatever form a provider echoes it."""

import html
import re
import sys
import urllib.parse
from dataclasses import dataclass

_RUN = 16  # characters without spaces: a piece of the text so long gives it away, also where the rest is cut off
_LAYERS = 4  # encodings around each other that are undone
_ESCAPED = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[\"\\/bfnrt]"  # JSON
    r"|&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"  # HTML
    r"|(?:%[fF][0-4](?:%[89abAB][0-9a-fA-F]){3}|%[eE][0-9a-fA-F](?:%[89abAB][0-9a-fA-F]){2}"  # URL, UTF-8
    r"|%[cdCD][0-9a-fA-F]%[89abAB][0-9a-fA-F]|%[0-7][0-9a-fA-F])"
)
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, kw_only=True)
class _Read:
    """A text, and for each of its characters where it stood in the original."""

    text: str
    starts: list[int]
    ends: list[int]

    def decoded(self) -> "_Read":
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
        return _Read(
            text="".join([*parts, self.text[at:]]), starts=starts + self.starts[at:], ends=ends + self.ends[at:]
        )

    def bare(self) -> "_Read":
        """Without spaces, which some APIs change, and without plus signs, which stand for them in forms."""
        kept = [i for i, char in enumerate(self.text) if not (char.isspace() or char == "+")]
        return _Read(
            text="".join(self.text[i] for i in kept),
            starts=[self.starts[i] for i in kept],
            ends=[self.ends[i] for i in kept],
        )


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


def _layers(text: str) -> list[_Read]:
    """The text as it stands, and with more and more of its escapes undone."""
    seen = [_Read(text=text, starts=list(range(len(text))), ends=list(range(1, len(text) + 1)))]
    while len(seen) <= _LAYERS and (deeper := seen[-1].decoded()).text != seen[-1].text:
        seen.append(deeper)
    return [one.bare() for one in seen]


class TextMask:
    """Replaces one message's text by `***`: raw, JSON-escaped, percent-encoded, form-encoded, HTML-escaped, mixed."""

    def __init__(self, text: str) -> None:
        self._forms = {one.text for one in _layers(text)} - {""}

    def __call__(self, answer: str) -> str:
        hidden: set[tuple[int, int]] = set()
        for layer in _layers(answer) if self._forms else ():
            for form in self._forms:
                hidden.update(_echoes(layer, form, answer))
        shown: list[str] = []
        at = 0
        for start, end in sorted(hidden):
            if start > at or not shown:
                shown += [answer[at:start], "***"]
            at = max(at, end)
        return "".join([*shown, answer[at:]])


def _echoes(layer: _Read, form: str, answer: str) -> list[tuple[int, int]]:
    """Where the original has the form, or a long piece of it."""
    size = min(_RUN, len(form))
    pieces = {form[i : i + size] for i in range(len(form) - size + 1)}
    found = []
    for i in range(len(layer.text) - size + 1):
        if layer.text[i : i + size] in pieces:
            start, end = layer.starts[i], layer.ends[i + size - 1]
            if size >= 4 or not (answer[start - 1 : start].isalnum() or answer[end : end + 1].isalnum()):
                found.append((start, end))
    return found
