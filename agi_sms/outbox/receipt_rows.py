"""Between receipts and rows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agi_sms import ids, ports
from agi_sms.message import Status
from agi_sms.outbox import rows

FINAL = (Status.DELIVERED, Status.FAILED)


def storable(receipt: ports.Receipt) -> ports.Receipt:
    return ports.Receipt(
        provider_id=rows.storable(receipt.provider_id),
        ref=rows.storable(receipt.ref),
        state=receipt.state if receipt.state in (*FINAL, Status.ACCEPTED) else Status.UNCERTAIN,
        raw=rows.storable(receipt.raw, ports.LONGEST_EXCERPT),
        code=rows.storable(receipt.code),
        detail=rows.storable(receipt.detail),
    )


def words(receipt: ports.Receipt, facts: Mapping[str, str]) -> tuple[str, ...]:
    return facts["provider"], receipt.provider_id, receipt.ref, str(receipt.state), receipt.code


def kept(
    now: datetime, receipt: ports.Receipt, *, attempt_id: str | None, n: int, fingerprint: bytes
) -> dict[str, Any]:
    return {
        "id": ids.new(now),
        "state": str(receipt.state),
        "code": receipt.code,
        "detail": receipt.detail,
        "raw": receipt.raw,
        "now": rows.to_ms(now),
        "attempt_id": attempt_id,
        "n": n,
        "fingerprint": fingerprint,
    }
