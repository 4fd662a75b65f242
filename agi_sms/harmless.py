"""Text from outside, made fit for a terminal, a log and a single line. Pure."""

import unicodedata

from agi_sms import message

_JOINER = "\u200d"  # holds emoji together, harmless alone
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def harmless(text: str, *, keep: str = "") -> str:
    r"""The text with everything invisible written out (`\x1b`, `\u202e`), except the characters in `keep`.

    Neither a terminal nor a reader can be fooled by it: no ANSI sequences, no bidirectional overrides, no
    surrogates, no second line.
    """
    if text.isprintable():
        return text
    return "".join(_shown(c, keep) for c in text)


def hidden(char: str) -> bool:
    """Whether a character shows nothing of itself, or changes how others show."""
    return unicodedata.category(char) in _HIDDEN and char != _JOINER


def _shown(char: str, keep: str) -> str:
    return char if char in keep or not hidden(char) else escaped(char)


def escaped(char: str) -> str:
    r"""One character written out, as in `\x1b`."""
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def clipped(text: str, most: int = message.LONGEST_DETAIL) -> str:
    """One harmless line of at most `most` characters."""
    line = harmless(" ".join(text[: most * 4].split()))
    return line if len(line) <= most else line[: most - 1] + "…"
