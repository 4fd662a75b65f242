"""What a segment costs with a provider, by the country of its recipient. Whole numbers only: millionths, no floats."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from agi_sms import errors, message, numbers

_MICROS = 1_000_000
_AMOUNT = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_DEFAULT, _CURRENCY_KEY = "default", "currency"
_RULES = numbers.Rules()


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Prices of one segment in millionths of `currency` (ISO 4217), by region (ISO 3166); `default` is for the others.

    None: nobody said what it costs.
    """

    currency: str
    default: int | None = None
    regions: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, raw: object) -> "Prices":
        """Read `{default: "0.04", PL: "0.03", currency: EUR}`. Raises ValueError that says what would be right."""
        if not isinstance(raw, Mapping):
            raise ValueError('must be like {default: "0.04", PL: "0.03", currency: EUR}')  # noqa: TRY004
        given = dict(raw)
        currency = given.pop(_CURRENCY_KEY, None)
        if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
            raise ValueError("currency: must be three capital letters, like EUR")
        default = given.pop(_DEFAULT, None)
        regions = {_region(key): _parsed(key, value) for key, value in given.items()}
        if default is None and not regions:
            raise ValueError('names no price; write default: "0.04"')
        return cls(currency=currency, default=None if default is None else _parsed(_DEFAULT, default), regions=regions)

    def cost(self, number: str, segments: int) -> message.Cost | None:
        """What a message to this E.164 number costs, None where its price is not known."""
        micros = self.regions.get(_where(number), self.default) if self.regions else self.default
        return None if micros is None else message.Cost(micros=micros * segments, currency=self.currency)


def _where(number: str) -> str:
    try:
        return numbers.read(number, _RULES).region
    except errors.NumberError:
        return ""


def _region(key: object) -> str:
    if not isinstance(key, str) or not numbers.known_region(key):
        raise ValueError(f"{str(key)[:20]}: is no country; write two capital letters, as in PL or DE, or default")
    return key


def _parsed(key: str, value: object) -> int:
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def parse(value: object) -> int:
    """An amount in millionths.

    >>> parse("0.04")
    40000
    """
    # A float out of YAML is written as it was read: its shortest form is what the file says.
    text = str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f'{str(value)[:20]!r} is no price; write it like "0.04", with at most six digits after the dot'
        )
    whole, fraction = found.groups()
    return int(whole) * _MICROS + int((fraction or "").ljust(6, "0"))


def shown(cost: message.Cost) -> str:
    """An amount for people, with two digits after the dot, or as many as it has.

    >>> shown(message.Cost(micros=1_240_000, currency="EUR"))
    '1.24 EUR'
    """
    return f"{amount(cost.micros)} {cost.currency}".rstrip()


def amount(micros: int) -> str:
    """The same without a currency."""
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    whole, rest = divmod(micros, _MICROS)
    return f"{sign}{whole}.{f'{rest:06}'.rstrip('0').ljust(2, '0')}"
