"""Durations: what people write, what is refused, and that showing and reading agree."""

from datetime import timedelta

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import durations


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0", 0),
        (0, 0),
        ("0s", 0),
        ("150ms", 0.15),
        ("30s", 30),
        ("5m", 300),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (" 30S ", 30),
        (timedelta(minutes=3), 180),
    ],
)
def test_reads(written: object, seconds: float) -> None:
    assert durations.parse(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "written",
    ["", "30", 30, "s", "5 m", "-5m", "5min", "1h 30m", "٣s", "1e3s", "5m!", None, True, False, "1_0s", "9" * 50 + "s"],
)
def test_refuses_and_says_what_is_right(written: object) -> None:
    with pytest.raises(ValueError, match="write 0 or a number with a unit"):
        durations.parse(written)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("0" * 39 + "s", None),
        ("0" * 40 + "s", f"'{'0' * 40}' is not a duration; {durations.HELP}"),
        ("soon", f"'soon' is not a duration; {durations.HELP}"),
        ("9" * 38 + "s", f"'{'9' * 38}s' is out of range; at most 366d"),
        (timedelta(days=-400), "'-400 days, 0:00:00' is out of range; at most 366d"),
        ("0" * 35 + "367d ", f"'{'0' * 35}367d ' is out of range; at most 366d"),
        ("0" * 35 + "367d  ", f"'{'0' * 35}367d ' is out of range; at most 366d"),
    ],
)
def test_what_is_said_of_it(written: object, says: str | None) -> None:
    if says is None:
        assert durations.parse(written) == timedelta(0)
        return
    with pytest.raises(ValueError) as caught:
        durations.parse(written)
    assert str(caught.value) == says


@pytest.mark.parametrize("written", ["367d", "9" * 30 + "d", timedelta(seconds=-1), timedelta(days=400)])
def test_refuses_what_is_out_of_range(written: object) -> None:
    with pytest.raises(ValueError, match="out of range"):
        durations.parse(written)


@given(st.timedeltas(min_value=timedelta(0), max_value=durations.LONGEST))
def test_shown_reads_back_to_the_millisecond(span: timedelta) -> None:
    back = durations.parse(durations.show(span))
    assert abs(back - span) <= timedelta(milliseconds=0.5)


def test_shows_the_shortest_form() -> None:
    assert durations.show(timedelta(hours=1, minutes=30)) == "1h30m"
    assert durations.show(timedelta(0)) == "0"
    assert durations.show(timedelta(milliseconds=1500)) == "1s500ms"
    assert durations.show(-timedelta(seconds=5)) == "-5s"
    assert (durations.show(timedelta(milliseconds=1)), durations.show(timedelta(days=1, hours=2))) == ("1ms", "1d2h")


def test_in_a_model_the_mistake_is_the_fields() -> None:
    class Model(pydantic.BaseModel):
        delay: durations.Duration

    assert Model.model_validate({"delay": "5m"}).delay == timedelta(minutes=5)
    with pytest.raises(pydantic.ValidationError, match="delay"):
        Model.model_validate({"delay": "soon"})
