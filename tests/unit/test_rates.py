"""How many in how long, as it is written in the settings."""

from datetime import timedelta

import pytest
from pydantic_core import PydanticKnownError

from agi_sms import rates


@pytest.mark.parametrize(
    ("written", "most", "seconds"),
    [
        ("3/1d", 3, 86_400),
        ("200/1h", 200, 3_600),
        ("1/1s", 1, 1),
        (" 10 / 1h30m ", 10, 5_400),
        ("999999999/1s", 999_999_999, 1),
    ],
)
def test_rates(written: str, most: int, seconds: int) -> None:
    found = rates.parse(written)
    assert found == rates.Rate(most=most, window=timedelta(seconds=seconds))
    assert rates.parse(found) is found


FORM = "must be a number of messages and a time, like 3/1d or 100/1h"
NONE = "must allow at least 1 message, within more than 0, like 3/1d or 100/1h"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", FORM), ("3", FORM), ("3/", FORM), ("/1d", FORM), ("-3/1d", FORM), ("3.5/1d", FORM), ("3/1d/2", None),
        ("1000000000/1d", FORM), ("3/1 d", FORM), ("0/1d", NONE), ("3/0s", NONE), ("0/0s", NONE), ("3/soon", None),
    ],
)  # fmt: skip
def test_what_is_no_rate(written: str, says: str | None) -> None:
    with pytest.raises(ValueError) as caught:
        rates.parse(written)
    assert says is None or str(caught.value) == says


@pytest.mark.parametrize("value", [3, 3.5, None, True, ["3/1d"], {"most": 3}])
def test_what_is_no_text(value: object) -> None:
    with pytest.raises(PydanticKnownError) as caught:
        rates.parse(value)
    assert caught.value.type == "string_type"
