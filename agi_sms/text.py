"""What a message says: the values that templates see, and which senders there can be.

`templates` compiles and renders, `segments` measures; what others need of both is here as well.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from agi_sms import call, numbers
from agi_sms.segments import Sized, clean, explain, measure, split, transliterated
from agi_sms.templates import Template, Variables

__all__ = [
    "API",
    "STANDARD",
    "Moment",
    "Sized",
    "Template",
    "clean",
    "counted",
    "expected",
    "explain",
    "measure",
    "sample",
    "sender_fault",
    "split",
    "values",
]

LONGEST_NAME = 60  # characters of a caller's name, and of a number as shown
LONGEST_VARIABLE = 500  # characters of a dialplan variable

STANDARD = frozenset(
    {"caller", "dialled", "diverted_from", "caller_name", "call_id", "node", "description", "pbx", "now", "var"}
)
API = "api"  # the whole answer of the customer's system, where the node asks it

_DROPPED = frozenset({"Cc", "Cf", "Cs"})  # control, format (bidi, zero width), surrogate
_ALPHANUMERIC = re.compile(r"[A-Za-z0-9 .\-&_+]{1,11}")
_PARTS = frozenset("./:")  # what links are made of
_DOT = re.compile(r"\.(?=[^\s.])")
_MOST_OF_NAME = 4 * LONGEST_NAME  # characters looked at; cleaning may leave fewer, the spaces make more
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT_CODE = re.compile(r"[0-9]{3,8}")


class Moment(datetime):
    """A datetime that reads `2026-11-23 14:05` where a text shows it as it is."""

    def __str__(self) -> str:
        return self.strftime("%Y-%m-%d %H:%M")


def values(
    visit: call.Visit,
    *,
    node: str,
    description: str,
    time_zone: ZoneInfo,
    caller: str,
    dialled: str,
    diverted_from: str,
) -> dict[str, object]:
    """What a template sees of one visit: the `STANDARD` names, and the dialplan's variables.

    These are in `var`, and by their own names where they take none of ours. Whatever comes from outside is
    cleaned and capped; variables keep their line breaks. A caller's name, which anybody can make up, holds
    nothing that a phone would show as a link. The three numbers are as they should be shown.
    """
    at = visit.call
    variables = Variables({name: _tidy_lines(value, LONGEST_VARIABLE) for name, value in at.variables.items()})
    return {
        **variables,
        "caller": _tidy(caller, LONGEST_NAME),
        "dialled": _tidy(dialled, LONGEST_NAME),
        "diverted_from": _tidy(diverted_from, LONGEST_NAME),
        "caller_name": _unlinked(at.caller_name)[:LONGEST_NAME].rstrip(),
        "call_id": _tidy(at.call_id, LONGEST_VARIABLE),
        "node": node,
        "description": description,
        "pbx": at.pbx,
        "now": Moment.fromtimestamp(visit.arrived_at.timestamp(), time_zone),
        "var": variables,
    }


def expected(template: Template) -> frozenset[str]:
    """The variables that a template needs from the dialplan: names that are none of ours, and `var.NAME`."""
    return (template.names - STANDARD - {API}) | template.members("var")


def sample(
    template: Template,
    *,
    node: str,
    description: str = "",
    time_zone: ZoneInfo,
    pbx: str = "pbx",
    variables: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """Values like those of a real call, for trying a template out. What it expects is `12345` where not given."""
    visit = call.Visit(
        id="00000000-0000-4000-8000-000000000000",
        node=node,
        entry=call.Entry.TRIGGER,
        arrived_at=datetime(2026, 11, 23, 13, 5, tzinfo=UTC),
        call=call.Call(
            pbx=pbx,
            key=f"{pbx}/1795439100.12",
            call_id="1795439100.12",
            caller_name="Jan Kowalski",
            variables=dict.fromkeys(expected(template), "12345") | dict(variables or {}),
        ),
    )
    return values(
        visit,
        node=node,
        description=description,
        time_zone=time_zone,
        caller="+48601234567",
        dialled="+48221131415",
        diverted_from="+48221131416",
    )


def sender_fault(sender: str, region: str = "") -> str | None:
    """What is wrong with a sender, and what would be right; None where it is fine. Empty is the provider's default.

    Where a national number is meant, that of `region` is what would be right.

    A sender is a number in international format (ITU-T E.164), a short code, or a name of 1 to 11 characters
    (TP-OA, 3GPP TS 23.040 9.1.2.5) with a letter in it.
    """
    if not sender or _E164.fullmatch(sender) or _SHORT_CODE.fullmatch(sender):
        return None
    quoted = repr(sender if len(sender) <= 40 else sender[:40] + "…")
    dense = re.sub(r"[\s\-./()]", "", sender)
    if re.fullmatch(r"\+?[0-9]+", dense):
        if region and (own := numbers.international(dense, region)):
            return f"{quoted} reads like a number; write it as {own}, with its country code"
        digits = dense.removeprefix("+").removeprefix("00")
        if _E164.fullmatch(f"+{digits}"):
            return f"{quoted} reads like a number; write it as +{digits}, with its country code"
        return (
            f"{quoted} is neither a number in international format (+ and 7 to 15 digits) "
            "nor a short code (3 to 8 digits)"
        )
    if sender != sender.strip():
        return f"{quoted} has spaces around it; write {sender.strip()[:40]!r}"
    if len(sender) > 11:
        return f"{quoted} has {len(sender)} characters; a name as sender has at most 11"
    if not _ALPHANUMERIC.fullmatch(sender):
        odd = next(c for c in sender if not _ALPHANUMERIC.fullmatch(c))
        return f"{quoted} has {odd!r} in it; a name as sender has letters A-Z, digits, spaces and . - & _ +"
    if not any(c.isalpha() for c in sender):
        return f"{quoted} has no letter in it; a name as sender needs one, a number its + and country code"
    return None


def counted(count: int, word: str, plural: str = "") -> str:
    """So many of them in words: `1 segment`, `2 segments`; `plural` where it is not made with an s."""
    return f"{count} {word if count == 1 else plural or word + 's'}"


def _tidy(text: str, most: int) -> str:
    """One line: nothing invisible in it, single spaces, at most `most` characters."""
    if not text.isprintable():
        text = "".join(_printable(c) for c in text)
    return " ".join(text.split())[:most].rstrip()


def _unlinked(name: str) -> str:
    """One line of a caller's name without `/` and `:`, and with a space behind every dot before something else.

    Letters that would be written so in plain ones (the full-width `．`) become spaces.
    """
    tidy = unicodedata.normalize("NFC", _tidy(name, _MOST_OF_NAME))
    spaced = "".join(" " if c in "/:" or (c > "\x7f" and not _PARTS.isdisjoint(transliterated(c))) else c for c in tidy)
    return _tidy(_DOT.sub(". ", spaced), _MOST_OF_NAME)


def _tidy_lines(text: str, most: int) -> str:
    if "\n" not in text and "\r" not in text:
        return _tidy(text, most)
    return "\n".join(_tidy(line, most) for line in clean(text).split("\n"))[:most]


def _printable(char: str) -> str:
    if char.isspace():
        return " "
    return "" if unicodedata.category(char) in _DROPPED else char
