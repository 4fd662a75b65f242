"""Words, times and strangers' texts as the command line writes them."""

from datetime import datetime


def safe(value: str) -> str:
    """A stranger's text with nothing in it that could move a terminal's cursor."""
    return "".join(c if c.isprintable() or c == "\n" else _escaped(ord(c)) for c in value)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


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
