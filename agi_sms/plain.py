"""Words, times and strangers' texts as the command line writes them."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime, tzinfo

from agi_sms import harmless


def safe(value: str) -> str:
    """A stranger's text with nothing in it that could move a terminal's cursor."""
    return "".join(c if c.isprintable() or c == "\n" else harmless.escaped(c) for c in value)


_zone: ContextVar[tzinfo | None] = ContextVar("zone", default=None)


def show_times_of(zone: tzinfo | None) -> None:
    """Show times of this zone from now on; None: of the machine's."""
    _zone.set(zone)


def there(at: datetime) -> datetime:
    """A time in the zone that is shown."""
    return at.astimezone(_zone.get())


def zone() -> str:
    """The name of the zone that is shown."""
    return str(_zone.get() or datetime.now(UTC).astimezone().tzname())


def local(at: datetime | None, *, precise: bool = False) -> str:
    """A time in the zone that is shown."""
    if at is None:
        return ""
    shown = there(at)
    return shown.strftime("%Y-%m-%d %H:%M:%S") + (f".{shown.microsecond // 1000:03d}" if precise else "")


def said(code: str, detail: str) -> str:
    """What the other side said: its code, where the words beside it do not begin with that, and these words."""
    if not (code and detail):
        return code or detail
    begins = [word.strip(".,:;").casefold() for word in detail.split()[:3]]
    return detail if code.casefold() in begins else f"{code}{'' if code.isdecimal() else ':'} {detail}"


def as_json(tree: object) -> str:
    r"""JSON, indented; what a terminal would act on, or a reader would not see, is written as `\u202e`."""
    found = json.dumps(tree, ensure_ascii=False, indent=2)
    return "".join(json.dumps(c)[1:-1] if c != "\n" and harmless.hidden(c) else c for c in found)


def as_csv(fields: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """CSV with a header; what a spreadsheet would run as a formula gets an apostrophe in front."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


_FORMULA = re.compile(r"(^|[;\t\n])(?=(?:[^\S\t\n]|[\"'])*[=+@＝＋－＠-])")
_SIGNED = re.compile(r"[+-][0-9]+")


def _cell(value: object) -> object:
    """A value for a spreadsheet in which `;` or a tab may divide cells, and full-width signs begin a formula too."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str) or _SIGNED.fullmatch(value):
        return value
    return _FORMULA.sub(r"\1'", harmless.harmless(value.replace("\r", " "), keep="\n\t"))
