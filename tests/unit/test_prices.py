"""Prices: what is read, what is refused, and what a message costs."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import message, prices

RAW = {"default": "0.04", "PL": "0.03", "DE": "0.075", "currency": "EUR"}
PRICES = prices.Prices.parse(RAW)


@pytest.mark.parametrize(
    ("written", "micros"),
    [
        ("0.04", 40_000),
        ("0.000001", 1),
        ("0", 0),
        ("1", 1_000_000),
        ("12.5", 12_500_000),
        (" 0.10 ", 100_000),
        (3, 3_000_000),
        (0.04, 40_000),  # YAML without quotes
        (0.1, 100_000),
        (0.29, 290_000),
        ("999999999.999999", 999_999_999_999_999),
    ],
)
def test_amounts(written: object, micros: int) -> None:
    assert prices.parse(written) == micros


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            "free",
            "-0.04",
            "+1",
            "0,04",
            ".04",
            "4.",
            "1e-3",
            "0.0000001",
            "1234567890",
            "0.04 EUR",
            "٣",
            "0.04\n1",
        ),
        *("0.04\n1", "inf", True, False, None, [], {}, float("nan"), float("inf"), 1e-7, -1, 10**12),
    ],
)
def test_what_is_no_amount(written: object) -> None:
    with pytest.raises(ValueError, match=r'is no price; write it like "0\.04"'):
        prices.parse(written)


@given(st.integers(0, 10**15 - 1))
def test_an_amount_shown_is_read_again(micros: int) -> None:
    shown = prices.shown(message.Cost(micros=micros, currency="EUR"))
    amount, currency = shown.split(" ")
    assert currency == "EUR"
    assert prices.parse(amount) == micros
    assert Decimal(amount) == Decimal(micros).scaleb(-6)


@pytest.mark.parametrize(
    ("micros", "currency", "shown"),
    [
        (0, "EUR", "0.00 EUR"),
        (40_000, "EUR", "0.04 EUR"),
        (1_500_000, "PLN", "1.50 PLN"),
        (75_000, "EUR", "0.075 EUR"),
        (1, "USD", "0.000001 USD"),
        (-40_000, "EUR", "-0.04 EUR"),
        (2_000_000, "", "2.00"),
    ],
)
def test_shown(micros: int, currency: str, shown: str) -> None:
    assert prices.shown(message.Cost(micros=micros, currency=currency)) == shown


@pytest.mark.parametrize(
    ("number", "segments", "micros"),
    [
        ("+48600100200", 1, 30_000),
        ("+48600100200", 3, 90_000),
        ("+4915112345678", 2, 150_000),
        ("+33612345678", 1, 40_000),
        ("+870773111632", 1, 40_000),  # of no country
        ("anonymous", 1, 40_000),
        ("", 1, 40_000),
        ("+48600100200", 0, 0),
    ],
)
def test_cost(number: str, segments: int, micros: int) -> None:
    assert PRICES.cost(number, segments) == message.Cost(micros=micros, currency="EUR")


def test_where_nobody_said_what_it_costs() -> None:
    known = prices.Prices.parse({"PL": "0.03", "currency": "PLN"})
    assert known.cost("+48600100200", 1) == message.Cost(micros=30_000, currency="PLN")
    assert known.cost("+4915112345678", 1) is None
    assert known.cost("", 1) is None
    everywhere = prices.Prices.parse({"default": 0, "currency": "EUR"})
    assert everywhere.cost("+4915112345678", 5) == message.Cost(micros=0, currency="EUR")


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        ("0.04", r'must be like \{default: "0\.04"'),
        ([], "must be like"),
        (None, "must be like"),
        ({"default": "0.04"}, "currency: must be three capital letters"),
        ({"default": "0.04", "currency": "eur"}, "currency: must be three capital letters"),
        ({"default": "0.04", "currency": "EURO"}, "currency: must be three capital letters"),
        ({"default": "0.04", "currency": 978}, "currency: must be three capital letters"),
        ({"currency": "EUR"}, "names no price"),
        ({"default": "cheap", "currency": "EUR"}, "default: 'cheap' is no price"),
        ({"PL": -1, "currency": "EUR"}, "PL: '-1' is no price"),
        ({"Poland": "0.04", "currency": "EUR"}, "Poland: is no country"),
        ({"pl": "0.04", "currency": "EUR"}, "pl: is no country"),
        ({"XX": "0.04", "currency": "EUR"}, "XX: is no country"),
        ({False: "0.04", "currency": "EUR"}, "False: is no country"),  # NO, as YAML 1.1 reads it
        ({48: "0.04", "currency": "EUR"}, "48: is no country"),
    ],
)
def test_mistakes(raw: object, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        prices.Prices.parse(raw)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (None, 'must be like {default: "0.04", PL: "0.03", currency: EUR}'),
        ({"default": "0.04"}, "currency: must be three capital letters, like EUR"),
        ({"currency": "EUR"}, 'names no price; write default: "0.04"'),
        (
            {"P" * 21: "0.04", "currency": "EUR"},
            f"{'P' * 20}: is no country; write two capital letters, as in PL or DE, or default",
        ),
        (
            {"PL": "x" * 21, "currency": "EUR"},
            f"PL: '{'x' * 20}' is no price; write it like \"0.04\", with at most six digits after the dot",
        ),
    ],
)
def test_mistakes_in_words(raw: object, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        prices.Prices.parse(raw)
    assert str(caught.value) == says


def test_only_a_number_or_a_text_is_a_price() -> None:
    for odd in (Decimal("0.04"), ["0.04"], b"0.04"):
        with pytest.raises(ValueError, match="is no price"):
            prices.parse(odd)


def test_what_is_read_is_left_alone() -> None:
    raw = dict(RAW)
    assert prices.Prices.parse(raw) == PRICES
    assert raw == RAW
