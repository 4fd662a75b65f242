"""What every provider's settings and answers have in common."""

import unicodedata
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import pydantic

from agi_sms import durations, message, ports

LONGEST_TIMEOUT = timedelta(minutes=5)
_JOINER = "\u200d"  # holds emoji together, harmless alone
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _timeout(value: timedelta) -> timedelta:
    if not timedelta(0) < value <= LONGEST_TIMEOUT:
        raise ValueError(f"must be more than 0 and at most {durations.show(LONGEST_TIMEOUT)}")
    return value


def _local(value: Path, info: pydantic.ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return value if base is None else Path(base) / value


Timeout = Annotated[durations.Duration, pydantic.AfterValidator(_timeout)]
LocalPath = Annotated[Path, pydantic.AfterValidator(_local)]  # relative to the validation context's `base`


class Settings(pydantic.BaseModel):
    """The base of every provider's settings."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: str
    on_uncertain: ports.OnUncertain = ports.OnUncertain.HOLD
    timeout: Timeout = timedelta(seconds=10)  # the longest that one submission may take


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
    if char in keep or not hidden(char):
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def clipped(text: str, most: int = message.LONGEST_DETAIL) -> str:
    """One harmless line of at most `most` characters."""
    line = harmless(" ".join(text[: most * 4].split()))
    return line if len(line) <= most else line[: most - 1] + "…"
