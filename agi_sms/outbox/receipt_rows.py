"""Between receipts and rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agi_sms import ids, ports
from agi_sms.message import Status
from agi_sms.outbox import rows

FINAL = (Status.DELIVERED, Status.FAILED)


@dataclass(frozen=True, kw_only=True)
class Reported:
    """What one provider reports."""

    provider: str
    receipts: Sequence[ports.Receipt]


def storable(receipt: ports.Receipt) -> ports.Receipt:
    return ports.Receipt(
        provider_id=rows.storable(receipt.provider_id),
        ref=rows.storable(receipt.ref),
        state=receipt.state if receipt.state in (*FINAL, Status.ACCEPTED) else Status.UNCERTAIN,
        raw=rows.storable(receipt.raw, ports.LONGEST_EXCERPT),
        code=rows.storable(receipt.code),
        detail=rows.storable(receipt.detail),
    )


def facts(now: datetime, provider: str, receipt: ports.Receipt) -> dict[str, Any]:
    """The row of one, but for whose it is."""
    return {
        "id": ids.new(now),
        "provider": provider,
        "provider_id": receipt.provider_id,
        "ref": receipt.ref,
        "state": str(receipt.state),
        "code": receipt.code,
        "detail": receipt.detail,
        "raw": receipt.raw,
        "now": rows.to_ms(now),
    }


def fingerprint(keys: rows.Keys, told: Mapping[str, Any], whose: str = "") -> bytes:
    """By which the same words are known, among those of an attempt or of nobody."""
    return keys.receipt(told["provider"], told["provider_id"], told["ref"], told["state"], told["code"], whose)
