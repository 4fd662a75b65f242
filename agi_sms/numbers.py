"""Phone numbers: reading them in a trunk's own dress, who withheld theirs, and hiding them in logs."""

import enum
import functools
import re
from dataclasses import dataclass

import phonenumbers

from agi_sms import errors

WORLD = "001"  # the region of numbers that belong to no country: +870, +881, +979, ...
LONGEST = 40  # characters looked at; E.164 has 15 digits, people add separators
_KEYPAD = frozenset("+0123456789*#")
_SEPARATORS = re.compile(r"[\s\-./()\u2010-\u2015\u2212]")
_DIGITS = re.compile(r"\+?[0-9]+")
OR_TRUNK = ", or set the trunk's number_format"  # for numbers that calls bring
_VALIDATION = phonenumbers.ValidationResult


class NumberFormat(enum.StrEnum):
    """How a trunk writes numbers."""

    E164 = "e164"  # +48… or 0048…, nothing else
    E164_NO_PLUS = "e164_no_plus"  # 48… is +48…, whatever the region
    NATIONAL = "national"  # as dialled in the region
    AUTO = "auto"  # national, or without its plus, whichever gives a valid number

    # + and 00 are understood in each of them


class Kind(enum.StrEnum):
    """What sort of line a number belongs to."""

    MOBILE = "mobile"
    LANDLINE = "landline"
    EITHER = "either"  # the numbering plan does not tell, as in North America
    OTHER = "other"  # toll-free, premium rate, VoIP, pager, ...


_KINDS = {
    phonenumbers.PhoneNumberType.MOBILE: Kind.MOBILE,
    phonenumbers.PhoneNumberType.FIXED_LINE: Kind.LANDLINE,
    phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE: Kind.EITHER,
}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How to read the numbers of one trunk.

    The first of `strip` that the number begins with is taken off; then `prefix` is put in front, unless the
    number begins with a plus; then `number_format` reads it, national numbers in `region` (ISO 3166, two
    letters). Raises NumberError where there is no such region.
    """

    number_format: NumberFormat = NumberFormat.AUTO
    region: str = "PL"
    strip: tuple[str, ...] = ()
    prefix: str = ""

    def __post_init__(self) -> None:
        if not known_region(self.region):
            raise errors.NumberError(
                f"{self.region[:LONGEST]!r} is not a region; write two capital letters, as in PL, DE or US"
            )


@dataclass(frozen=True, kw_only=True)
class Number:
    """A valid number. `region` is the country's ISO 3166 code, or WORLD."""

    e164: str
    kind: Kind
    region: str


def keyed(text: str) -> str:
    """What of a text a telephone's keypad has."""
    return "".join(c for c in text if c in _KEYPAD)


def known_region(region: str) -> bool:
    """Whether numbers can be read in this region (ISO 3166, two capital letters)."""
    return region in phonenumbers.SUPPORTED_REGIONS


_INTERNATIONAL = Rules(number_format=NumberFormat.E164)


def read(raw: str, rules: Rules) -> Number:
    """The number that `raw` stands for; raise NumberError that says why it is none.

    Spaces, dashes, dots, slashes, parentheses and `tel:` are allowed for; letters, extensions and digits
    outside ASCII are not. Only what phonenumbers calls valid counts: a range newer than its data is refused,
    and the text says so.

    AUTO, without + or 00: where only one of "national" and "international without its plus" is valid, it is
    that one. Where both are and they differ, national wins if the digits are just as the region writes them
    (with its trunk prefix); else international wins if they begin with the region's own country code
    (`4915112345678` in Germany, where the other reading lacks its 0). What is left is refused as ambiguous,
    since an SMS to a stranger is worse than none; the trunk's `number_format` settles it.
    """
    if len(raw) > LONGEST:
        raise errors.NumberError(f"{raw[:LONGEST]!r}... has more than {LONGEST} characters: no phone number")
    found = _read(raw, rules)
    if isinstance(found, str):
        raise errors.NumberError(found)
    return found


def international(written: str, region: str) -> str:
    """A number as somebody in the region (ISO 3166) wrote it, in international format; empty where it is none."""
    try:
        return read(written, Rules(number_format=NumberFormat.AUTO, region=region)).e164
    except errors.NumberError:
        return ""


def region(e164: str) -> str:
    """The region of an E.164 number (ISO 3166, or WORLD), empty where it is no valid number."""
    found = _read(e164, _INTERNATIONAL) if len(e164) <= LONGEST else ""
    return found.region if isinstance(found, Number) else ""


@functools.lru_cache(maxsize=8192)
def _read(raw: str, rules: Rules) -> Number | str:
    """The number, or why it is none. Cached, as a repeat caller's number is read at every visit."""
    stripped = raw.strip()
    if stripped[:4].lower() == "tel:":
        stripped = stripped[4:].lstrip()
    if not stripped:
        return f"{raw!r} is empty: not a phone number"
    lead = next((lead for lead in rules.strip if lead and stripped.startswith(lead)), "")
    stripped = stripped[len(lead) :]
    if not stripped.startswith("+"):
        stripped = rules.prefix + stripped
    dense = _SEPARATORS.sub("", stripped)
    if not _DIGITS.fullmatch(dense):
        odd = next((c for c in dense.removeprefix("+") if not ("0" <= c <= "9")), "")
        fault = f"{odd!r} is not a digit" if odd else "there is no digit in it"
        return f"{raw!r} is not a phone number: {fault}"
    found = _reading(raw, dense, rules)
    if isinstance(found, str):
        return found
    return Number(
        e164=_e164(found),
        kind=_KINDS.get(phonenumbers.number_type(found), Kind.OTHER),
        region=phonenumbers.region_code_for_number(found) or WORLD,
    )


def _reading(raw: str, dense: str, rules: Rules) -> phonenumbers.PhoneNumber | str:
    if dense.startswith("+"):
        return _valid(f"+{dense[1:]}", rules.region) or _why(raw, dense, rules.region)
    if dense.startswith("00") and len(dense) > 2:
        if rules.number_format in (NumberFormat.NATIONAL, NumberFormat.AUTO):
            own = _valid(dense, rules.region)  # Brazil and others put a carrier between 00 and the country
            if own is not None:
                return own
        return _valid(f"+{dense[2:]}", rules.region) or _why(raw, f"+{dense[2:]}", rules.region)
    match rules.number_format:
        case NumberFormat.E164:
            return (
                f"{raw!r} has neither + nor 00 in front; write it in international format, "
                f"as in {international(dense, rules.region) or '+48221131415'}{OR_TRUNK}"
            )
        case NumberFormat.E164_NO_PLUS:
            return _valid(f"+{dense}", rules.region) or _why(raw, f"+{dense}", rules.region)
        case NumberFormat.NATIONAL:
            return _national(dense, rules.region) or _why(raw, dense, rules.region)
        case NumberFormat.AUTO:
            return _auto(raw, dense, rules.region)


def _auto(raw: str, dense: str, region: str) -> phonenumbers.PhoneNumber | str:
    national, plain = _national(dense, region), _valid(f"+{dense}", region)
    if national is None or plain is None:
        return national or plain or _why(raw, dense, region)
    if _e164(national) == _e164(plain):
        return national
    written = phonenumbers.format_number(national, phonenumbers.PhoneNumberFormat.NATIONAL)
    if _SEPARATORS.sub("", written) == dense:
        return national
    if plain.country_code == national.country_code:
        return plain
    return (
        f"{raw!r} is ambiguous: {_e164(national)} as a number in {region}, "
        f"or {_e164(plain)} without its plus; the trunk's number_format can settle it"
    )


def _national(dense: str, region: str) -> phonenumbers.PhoneNumber | None:
    found = _valid(dense, region)
    if found is None and dense.startswith("0"):  # a trunk prefix that the country has given up, as Poland has
        return _valid(dense[1:], region)
    return found


def _valid(dense: str, region: str) -> phonenumbers.PhoneNumber | None:
    try:
        number = phonenumbers.parse(dense, region)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None


def _why(raw: str, dense: str, region: str) -> str:
    """Why phonenumbers does not take it, for a person."""
    try:
        number = phonenumbers.parse(dense, region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            return f"{raw!r} begins with no country code that exists"
        return f"{raw!r} is too {'long' if len(dense) > 15 else 'short'} for a phone number"
    home = phonenumbers.region_code_for_country_code(number.country_code or 0)
    place = f"in {home}" if home.isalpha() and home != "ZZ" else f"under +{number.country_code}"
    match phonenumbers.is_possible_number_with_reason(number):
        case _VALIDATION.TOO_SHORT | _VALIDATION.IS_POSSIBLE_LOCAL_ONLY:
            return f"{raw!r} is too short for a number {place}"
        case _VALIDATION.TOO_LONG:
            return f"{raw!r} is too long for a number {place}"
        case _VALIDATION.IS_POSSIBLE:
            return (
                f"{raw!r} has the length of a number {place}, but its range is not in use "
                f"(as far as phonenumbers {phonenumbers.__version__} knows; a newer one may know it)"
            )
        case _:
            return f"{raw!r} has the wrong length for a number {place}"


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@functools.lru_cache(maxsize=2048)
def shown(number: str) -> str:
    """An E.164 number grouped for people, `+48 22 113 14 15`; what is no such number comes back as it is."""
    if len(number) > LONGEST or not number.startswith("+") or not _DIGITS.fullmatch(number):
        return number
    parsed = _valid(number, "ZZ")
    if parsed is None:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


# --- presentation -------------------------------------------------------------------------------------------

# the values of Asterisk's CALLERID(num-pres) that allow; the others are prohib, prohib_* and unavailable
_ALLOWED = frozenset({"allowed", "allowed_not_screened", "allowed_passed_screen", "allowed_failed_screen"})
_NOBODY = frozenset(
    {"", "anonymous", "unknown", "restricted", "private", "withheld", "unavailable", "asterisk", "null"}
    | {"anonymous.invalid", "anonymous@anonymous.invalid", "unknown@unknown.invalid"}
    # spells ANONYMOUS on a telephone's keys; some switches send it
    | {"266696687", "+266696687", "00266696687"}
)


def withheld(number: str, presentation: str) -> bool:
    """Whether the caller must be taken as withheld. Fails closed: only `allowed*` with a number is not.

    `presentation` is Asterisk's CALLERID(num-pres), empty where nobody told. `allowed_failed_screen` is allowed
    as well: a network looked at the number and could not confirm it, but nobody asked for it to be hidden. That
    makes it no less trustworthy than `allowed`, which nobody verified either: never take a number as proof of
    who is calling.
    """
    if presentation.strip().lower() not in _ALLOWED:
        return True
    bare = number.strip(" \t\r\n\0\"'<>").casefold()
    return bare.removeprefix("sip:").removeprefix("sips:").removeprefix("tel:") in _NOBODY


# --- masking ------------------------------------------------------------------------------------------------

HIDDEN = "•••••"  # always five: how many digits there were is nobody's business either
_SHOWN = 3
_LEAST_HIDDEN = 4  # fewer unknown digits could be tried out
_GAP = r"[\s\-./()]"
_PHONE_LIKE = re.compile(rf"\+?\(?\d(?:{_GAP}*\d)*")
_MAYBE = re.compile(rf"\d(?:{_GAP}{{0,3}}\d){{6}}")
_LONG_RUN = re.compile(rf"(?<!\w)\+?\(?\d(?:{_GAP}{{0,3}}\d){{6,}}(?!\w)|\+?\d{{9,}}")
_MASKED = re.compile(r"(?:(?:\+|00)\d{1,3})?•{5}\d{0,3}")
_KEPT = re.compile(
    r"(?<![\w+])(?:"
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"  # UUID
    r"|\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?"  # ISO 8601
    r"|1\d{9}\.\d{1,9}-1\d{15}-\d{9}"  # a visit, as dialplan/agi-sms.conf names it
    r"|1\d{6}(?:\d{3})?\.\d{1,9}"  # uniqueid: seconds since 1970, a counter; no NANP number begins with 1
    r"|0[0-9][a-z][0-9a-z]{13}"  # our ids, whose third character is a letter until 2039
    r"|(?=[0-9]*[A-Fa-f])[0-9A-Fa-f]{20,64}"  # digests
    r"|(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?::\d{1,5})?"  # IPv4
    r")(?![\w.+]?\d|\w)"
)


def mask(text: str) -> str:
    """A number with all but its country code and last three digits hidden, `+48•••••415`; short ones wholly.

    Meant for what should be a number. In anything else (a stranger wrote it) every run of digits is hidden
    the same way. What is masked already stays as it is.
    """
    return text if _MASKED.fullmatch(text) else _PHONE_LIKE.sub(_mask_match, text)


def mask_all(text: str) -> str:
    """Free text with every run of seven and more digits hidden that could be a phone number.

    Uniqueids, visits, UUIDs, ISO timestamps, IPv4 addresses and our own ids stay readable.
    """
    if not _MAYBE.search(text):
        return text
    pieces, end = [], 0
    for kept in _KEPT.finditer(text):
        pieces += [_LONG_RUN.sub(_mask_match, text[end : kept.start()]), kept[0]]
        end = kept.end()
    pieces.append(_LONG_RUN.sub(_mask_match, text[end:]))
    return "".join(pieces)


def _mask_match(match: re.Match[str]) -> str:
    return _masked(match[0])


def _masked(number: str) -> str:
    digits = "".join(c for c in number if c.isdigit())
    lead = "+" if number.lstrip("(").startswith("+") else "00" if digits.startswith("00") else ""
    code = _country_code(digits.removeprefix("00") if lead == "00" else digits) if lead else ""
    rest = len(digits) - len(code) - (2 if lead == "00" else 0)
    tail = digits[-_SHOWN:] if rest >= _SHOWN + _LEAST_HIDDEN else ""
    return (lead + code if code else "") + HIDDEN + tail


def _country_code(digits: str) -> str:
    for length in (1, 2, 3):
        head = digits[:length]
        if head.isascii() and head.isdigit() and int(head) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return head
    return ""
