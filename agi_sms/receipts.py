"""What providers report later: keep it, and say once what has become of a message."""

from collections.abc import Sequence

import structlog

from agi_sms import message, metrics, ports

log = structlog.get_logger(__name__)


class Receipts:
    """Takes receipts from providers, whichever way they come."""

    def __init__(self, *, outbox: ports.Outbox) -> None:
        self._outbox = outbox

    async def take(self, provider: str, receipts: Sequence[ports.Receipt]) -> None:
        """As ports.TakeReceipts: durable on return; raises OutboxError, and then they have to come again."""
        if not receipts:
            return
        received = await self._outbox.receive(provider, receipts)
        counts = {"matched": received.new - received.unmatched, "unmatched": received.unmatched}
        for result, count in (counts | {"known": received.known}).items():
            metrics.RECEIPTS.labels(provider=provider, result=result).inc(count)
        for settled in received.settled:
            metrics.SETTLED.labels(provider=provider, status=settled.message.status).inc()
            _tell(provider, settled)


def _tell(provider: str, settled: ports.Settled) -> None:
    now, receipt = settled.message, settled.receipt
    facts = {
        "provider": provider,
        "recipient": now.recipient,
        "before": settled.before,
        "code": receipt.code,
        "detail": receipt.detail,
    }
    with structlog.contextvars.bound_contextvars(call_id=now.call_id, node=now.node, message=now.id):
        if now.status is message.Status.FAILED:
            log.warning("SMS not delivered", status=now.status, reason=now.reason, **facts)
        else:
            log.info("SMS delivered" if now.status is message.Status.DELIVERED else "SMS taken after all", **facts)
