"""What providers report later: keep it, and say once what has become of a message."""

import functools
from collections.abc import Sequence

import structlog
from prometheus_client import Counter

from agi_sms import message, metrics, ports, seldom

log = structlog.get_logger(__name__)

_ID_SHOWN = 8  # characters, of an id's end


class Receipts:
    """Takes receipts from providers, whichever way they come."""

    def __init__(self, *, outbox: ports.Outbox) -> None:
        self._outbox = outbox
        self._seldom = seldom.Seldom()

    async def take(self, provider: str, receipts: Sequence[ports.Receipt]) -> None:
        """As ports.TakeReceipts: durable on return; raises OutboxError, and then they have to come again."""
        if not receipts:
            return
        received = await self._outbox.receive(provider, receipts)
        if received.unmatched:
            example = receipts[0] if received.unmatched == len(receipts) else None
            self._complain("receipts that fit no message so far", provider, example, received.unmatched)
        unknown = [one for one in receipts if one.state is message.Status.UNCERTAIN]
        if unknown:
            self._complain("receipts with a state that nobody knows", provider, unknown[0], len(unknown))
        matched, unmatched, known = _counters(provider)
        matched.inc(received.new - received.unmatched)
        unmatched.inc(received.unmatched)
        known.inc(received.known)
        for settled in received.settled:
            metrics.SETTLED.labels(provider=provider, status=settled.message.status).inc()
            _tell(provider, settled)

    def _complain(self, event: str, provider: str, example: ports.Receipt | None, count: int) -> None:
        """Once in a while, with the number of all since the last time. Some come before the answer, and fit later."""
        since = self._seldom((event, provider), count)
        if since is None:
            return
        facts: dict[str, object] = {"provider": provider, "receipts": since}
        if example is not None:
            facts["for_example"] = _shortened(example.provider_id or example.ref)
            facts |= {"code": example.code, "detail": example.detail}
        log.warning(event, **facts)


@functools.cache  # providers are few
def _counters(provider: str) -> tuple[Counter, ...]:
    """What came of a provider's receipts: matched, unmatched, known."""
    return tuple(metrics.RECEIPTS.labels(provider, result) for result in ("matched", "unmatched", "known"))


def _shortened(name: str) -> str:
    return name if len(name) <= _ID_SHOWN else f"…{name[-_ID_SHOWN:]}"


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
