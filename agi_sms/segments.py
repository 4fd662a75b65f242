"""How a text travels as SMS: its encoding, how many segments it takes, where they are cut."""

import re
import unicodedata
from dataclasses import dataclass

import anyascii
import regex

from agi_sms import message

Encoding = message.Encoding

# 3GPP TS 23.038, 6.2.1: the default alphabet without ESC, and its extension table (each behind an ESC)
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")
_GSM7 = _BASIC | _EXTENDED

# 140 octets; of several segments each has a header of 6, with an 8-bit reference (TS 23.040, 9.2.3.24.1)
_ALONE = {Encoding.GSM7: 160, Encoding.UCS2: 70}
_CHAINED = {Encoding.GSM7: 153, Encoding.UCS2: 67}

_LINE_ENDS = re.compile("\r\n|[\r\x85\u2028\u2029]")
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPELLED_OUT = re.compile(r":[a-z0-9_+\-]+:")  # how anyascii writes an emoji
_MARKS = regex.compile(r"(\p{M}{30})\p{M}+")  # to compose them costs the square of their number
_SPACES = re.compile(r"(?<=\S) {2,}(?=\S)")


@dataclass(frozen=True, kw_only=True)
class Sized:
    """A text as it would be sent. `units` are septets for GSM-7, UTF-16 units for UCS-2."""

    text: str
    encoding: message.Encoding
    segments: int
    units: int

    @property
    def left(self) -> int:
        """Units that still fit without one more segment."""
        if self.segments == 1:
            return _ALONE[self.encoding] - self.units
        last = split(self.text, self.encoding)[-1]
        return _CHAINED[self.encoding] - units(last, self.encoding)


def measure(text: str, *, transliterate: bool = False) -> Sized:
    """Clean a text and say how it travels: GSM-7 where every character fits, else UCS-2.

    `transliterate` replaces what is outside GSM-7 by plain letters, and drops emoji.
    """
    tidy = clean(text)
    if transliterate:
        tidy = transliterated(tidy)
    encoding = Encoding.GSM7 if _GSM7.issuperset(tidy) else Encoding.UCS2
    return Sized(text=tidy, encoding=encoding, segments=len(split(tidy, encoding)), units=units(tidy, encoding))


def clean(text: str) -> str:
    """The text without what no phone can show: control characters, byte order marks, lone surrogates.

    Line ends become `\\n`, tabs spaces; letters with combining accents are composed (NFC), as GSM-7 has `é`
    but no accents. Of accents upon accents 30 stay.
    """
    tidy = _LINE_ENDS.sub("\n", text).replace("\t", " ")
    tidy = _UNWANTED.sub("", tidy)
    if _SURROGATES.search(tidy):
        tidy = tidy.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\ufffd", "?")
    return tidy if tidy.isascii() else unicodedata.normalize("NFC", _MARKS.sub(r"\1", tidy))


def units(text: str, encoding: message.Encoding) -> int:
    """Septets (GSM-7) or UTF-16 units (UCS-2) that a clean text takes."""
    if encoding is Encoding.GSM7:
        return len(text) + sum(c in _EXTENDED for c in text)
    return len(text) + sum(c > "\uffff" for c in text)


def split(text: str, encoding: message.Encoding) -> list[str]:
    """The texts of the segments, in order; one for an empty text. No ESC pair, no surrogate pair is cut."""
    if units(text, encoding) <= _ALONE[encoding]:
        return [text]
    most, pieces, start, used = _CHAINED[encoding], [], 0, 0
    for at, char in enumerate(text):
        cost = units(char, encoding)
        if used + cost > most:
            pieces.append(text[start:at])
            start, used = at, 0
        used += cost
    return [*pieces, text[start:]]


def explain(text: str) -> list[str]:
    """The characters that force UCS-2, each once, in the order they come; invisible ones as `U+200B`."""
    return [_visible(c) for c in dict.fromkeys(clean(text)) if c not in _GSM7]


def transliterated(text: str) -> str:
    """A clean text with only GSM-7 in it: `Zażółć` becomes `Zazolc`, `é` stays, emoji go."""
    if _GSM7.issuperset(text):
        return text
    plain = "".join(c if c in _GSM7 else _plain(c) for c in text)
    return _SPACES.sub(" ", plain)


def _visible(char: str) -> str:
    shows = char.isprintable() and unicodedata.category(char) not in ("Mn", "Me")
    return char if shows else f"U+{ord(char):04X}"


def _plain(char: str) -> str:
    """What to write instead of one character outside GSM-7."""
    spelled = anyascii.anyascii(char).replace("`", "'")  # the one printable ASCII character GSM-7 lacks
    if _SPELLED_OUT.fullmatch(spelled) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return ""
    return "".join(c for c in spelled if c in _GSM7) or "?"
