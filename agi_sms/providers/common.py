"""What every provider's settings and answers have in common."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import pydantic

from agi_sms import durations, ports, prices, rates

LONGEST_TIMEOUT = timedelta(minutes=5)


def _timeout(value: timedelta) -> timedelta:
    if not timedelta(0) < value <= LONGEST_TIMEOUT:
        raise ValueError(f"must be more than 0 and at most {durations.show(LONGEST_TIMEOUT)}")
    return value


def _local(value: Path, info: pydantic.ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return value if base is None else Path(base) / value


Timeout = Annotated[durations.Duration, pydantic.AfterValidator(_timeout)]
LocalPath = Annotated[Path, pydantic.AfterValidator(_local)]  # relative to the validation context's `base`


def _price(value: object) -> prices.Prices:
    return value if isinstance(value, prices.Prices) else prices.Prices.parse(value)


def _overdue(value: timedelta) -> timedelta:
    if not timedelta(minutes=1) <= value <= timedelta(days=30):
        raise ValueError("must be from 1m to 30d")
    return value


Price = Annotated[prices.Prices, pydantic.PlainValidator(_price)]
ReceiptTimeout = Annotated[durations.Duration, pydantic.AfterValidator(_overdue)]


class Settings(pydantic.BaseModel):
    """The base of every provider's settings."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: str
    concurrency: Annotated[int, pydantic.Field(ge=1, le=1000)] | None = None  # submissions at once; None: the global
    limit: rates.Field | None = None  # no more messages than this
    price: Price | None = None  # of a segment
    receipt_timeout: ReceiptTimeout = timedelta(hours=48)  # after which a receipt is overdue, where there are any
    on_uncertain: ports.OnUncertain = ports.OnUncertain.HOLD
    timeout: Timeout = timedelta(seconds=10)  # the longest that one submission may take
