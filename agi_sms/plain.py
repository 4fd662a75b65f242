"""Words, times and strangers' texts as the command line writes them."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from agi_sms import harmless


def safe(value: str) -> str:
    """A stranger's text with nothing in it that could move a terminal's cursor."""
    return "".join(c if c.isprintable() or c == "\n" else harmless.escaped(c) for c in value)


def local(at: datetime | None, *, precise: bool = False) -> str:
    """A time in the machine's own zone."""
    if at is None:
        return ""
    shown = at.astimezone()
    return shown.strftime("%Y-%m-%d %H:%M:%S") + (f".{shown.microsecond // 1000:03d}" if precise else "")


def said(code: str, detail: str) -> str:
    """What the other side said: its code, where the words beside it do not begin with that, and these words."""
    if not (code and detail):
        return code or detail
    begins = [word.strip(".,:;").casefold() for word in detail.split()[:3]]
    return detail if code.casefold() in begins else f"{code}{'' if code.isdecimal() else ':'} {detail}"


def as_csv(fields: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """CSV with a header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
