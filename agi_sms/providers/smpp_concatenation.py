"""From a text to the octets of its segments, and how a phone is told that they belong together. Pure.

GSM-7 goes unpacked, one septet in one octet, as SMSCs take it: they pack it on the way to the phone. So a segment
that begins with a header has up to 160 octets, not 140.
"""

import collections
import enum
import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agi_sms import message, segments
from agi_sms.providers.smpp_pdus import Tlv

MOST = 255  # segments: their number is one octet (3GPP TS 23.040, 9.2.3.24.1)
UDHI = 0x40  # bit of esm_class: the message begins with a user data header
UCS2 = 0x08  # data_coding
_LARGEST_PAYLOAD = 60_000  # octets: with the other fields, less than the largest PDU that we write
_DESTINATIONS = 10_000  # whose last reference is remembered
_WITH_16_BITS = {message.Encoding.GSM7: 152, message.Encoding.UCS2: 66}  # 140 octets less a header of 7

# 3GPP TS 23.038, 6.2.1: a character's place is its septet; ESC, which is none, is where nothing can stand for it
_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\udcffÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = {"\f": 0x0A, "^": 0x14, "{": 0x28, "}": 0x29, "\\": 0x2F, "[": 0x3C, "~": 0x3D, "]": 0x3E, "|": 0x40}
_SEPTETS = {char: bytes((at,)) for at, char in enumerate(_BASIC) if char != "\udcff"} | {
    char: bytes((0x1B, septet)) for char, septet in (_EXTENDED | {"€": 0x65}).items()
}
_OCTETS_ALONE, _SEPTETS_ALONE = 140, 160  # in a segment without a header


class _Table(dict[int, str]):
    """For str.translate, which leaves what it does not find as it is."""

    def __missing__(self, char: int) -> str:
        raise UnicodeError("not in GSM-7")


_TRANSLATED = _Table({ord(char): septets.decode("latin-1") for char, septets in _SEPTETS.items()})


class Alphabet(enum.StrEnum):
    """In which letters the SMSC takes what is GSM-7 on the way to the phone; the rest goes as UCS-2."""

    GSM7 = "gsm7"
    LATIN1 = "latin1"
    ASCII = "ascii"


DATA_CODING = {Alphabet.GSM7: 0x00, Alphabet.LATIN1: 0x03, Alphabet.ASCII: 0x01}  # 5.2.19


class Concatenation(enum.StrEnum):
    """How the segments of a long text are marked."""

    UDH8 = "udh8"  # by a header in the message, with a reference of 8 bits
    UDH16 = "udh16"  # the same with 16 bits; a segment has one character less
    SAR = "sar"  # by optional parameters
    PAYLOAD = "payload"  # not at all: the whole text in one PDU, which the SMSC divides


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One segment as it goes into a submit_sm."""

    octets: bytes
    esm_class: int = 0
    data_coding: int = 0
    tlvs: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Style:
    """What one SMSC wants. `data_coding` says so of what is not UCS-2, where it is not what `alphabet` implies."""

    alphabet: Alphabet = Alphabet.GSM7
    data_coding: int | None = None
    concatenation: Concatenation = Concatenation.UDH8


class TooLong(ValueError):
    """A text of more segments than there can be, or more octets than one PDU takes."""


def pieces(text: str, encoding: message.Encoding, style: Style, reference: Callable[[], int]) -> list[Piece]:
    """The segments in their order; `reference` is asked once, where there are several. Raises TooLong."""
    if not text.isascii():
        text = text.encode("utf-16-be", "replace").decode("utf-16-be")  # half a surrogate pair cannot be sent
    octets, whole, alone = _encoded(text, encoding, style.alphabet)
    coding = DATA_CODING[style.alphabet] if style.data_coding is None else style.data_coding
    if octets is _ucs2:
        encoding, coding = message.Encoding.UCS2, UCS2
    if alone:
        return [Piece(octets=whole, data_coding=coding)]
    if style.concatenation is Concatenation.PAYLOAD:
        if len(whole) > _LARGEST_PAYLOAD:
            raise TooLong(f"{len(whole)} octets; one PDU takes {_LARGEST_PAYLOAD}")
        return [Piece(octets=b"", data_coding=coding, tlvs={Tlv.PAYLOAD: whole})]
    parts = _parts(text, encoding, style.concatenation)
    if len(parts) > MOST:
        raise TooLong(f"{len(parts)} segments; there can be {MOST}")
    mark = _MARKS[style.concatenation]
    number = reference()
    return [mark(octets(part), coding, number, len(parts), at) for at, part in enumerate(parts, 1)]


def gsm7(text: str) -> bytes:
    """The septets of a text, unpacked. Raises UnicodeError for what GSM-7 has not.

    >>> gsm7("a€")
    b'a\\x1be'
    """
    if text.isascii():  # str.translate is fast for these alone
        return text.translate(_TRANSLATED).encode("latin-1")
    try:
        return b"".join([_SEPTETS[char] for char in text])
    except KeyError as error:
        raise UnicodeError("not in GSM-7") from error


class References:
    """The numbers by which phones know the segments of one text: each recipient's own sequence, begun at random.

    So two texts to one phone share a number only when all the others have been used between them. `width` is 8 or
    16 bits. Of many recipients, those who got nothing for the longest time are forgotten.
    """

    def __init__(self, width: int) -> None:
        self._size = 1 << width
        self._last: collections.OrderedDict[str, int] = collections.OrderedDict()

    def next(self, to: str) -> int:
        """The next one for this recipient."""
        last = self._last.pop(to, None)
        number = random.randrange(self._size) if last is None else (last + 1) % self._size  # noqa: S311
        self._last[to] = number
        if len(self._last) > _DESTINATIONS:
            self._last.popitem(last=False)
        return number


def _encoded(text: str, encoding: message.Encoding, alphabet: Alphabet) -> tuple[Callable[[str], bytes], bytes, bool]:
    """How its parts are written, the whole as it is written, and whether that is one segment."""
    if encoding is message.Encoding.GSM7:
        encode = _ENCODERS[alphabet]
        try:
            septets = gsm7(text)
            whole = septets if encode is gsm7 else encode(text)
        except UnicodeError:
            pass
        else:
            return encode, whole, len(septets) <= _SEPTETS_ALONE
    whole = _ucs2(text)
    return _ucs2, whole, len(whole) <= _OCTETS_ALONE


def _ucs2(text: str) -> bytes:
    return text.encode("utf-16-be")


_ENCODERS: dict[Alphabet, Callable[[str], bytes]] = {
    Alphabet.GSM7: gsm7,
    Alphabet.LATIN1: lambda text: text.encode("latin-1"),
    Alphabet.ASCII: lambda text: text.encode("ascii"),
}


def _parts(text: str, encoding: message.Encoding, concatenation: Concatenation) -> list[str]:
    parts = segments.split(text, encoding)
    if concatenation is not Concatenation.UDH16:
        return parts
    most, parts, start, used = _WITH_16_BITS[encoding], [], 0, 0
    for at, char in enumerate(text):
        cost = segments.units(char, encoding)
        if used + cost > most:
            parts.append(text[start:at])
            start, used = at, 0
        used += cost
    return [*parts, text[start:]]


# --- marks: octets, data_coding, reference, how many, which --------------------------------------------------------


def _udh8(octets: bytes, coding: int, reference: int, total: int, at: int) -> Piece:
    header = bytes((5, 0x00, 3, reference, total, at))
    return Piece(octets=header + octets, esm_class=UDHI, data_coding=coding)


def _udh16(octets: bytes, coding: int, reference: int, total: int, at: int) -> Piece:
    header = struct.pack(">BBBHBB", 6, 0x08, 4, reference, total, at)
    return Piece(octets=header + octets, esm_class=UDHI, data_coding=coding)


def _sar(octets: bytes, coding: int, reference: int, total: int, at: int) -> Piece:
    marks: dict[int, bytes] = {
        Tlv.SAR_REF: struct.pack(">H", reference),
        Tlv.SAR_TOTAL: bytes((total,)),
        Tlv.SAR_NUMBER: bytes((at,)),
    }
    return Piece(octets=octets, data_coding=coding, tlvs=marks)


_MARKS = {Concatenation.UDH8: _udh8, Concatenation.UDH16: _udh16, Concatenation.SAR: _sar}


def width(concatenation: Concatenation) -> int:
    """How many bits a reference has. For SAR only 8 of its 16, since some SMSCs make a header of 8 bits of it."""
    return 16 if concatenation is Concatenation.UDH16 else 8
