"""Receipts from a provider to the log: over the real outbox."""

import asyncio
import io
from typing import Any

import prometheus_client
import pytest
import structlog

from agi_sms import errors, logs, message, ports, receipts, seldom
from tests.contract import stores
from tests.contract.stores import admit, attempted, begun, claim_one, receipt, sent, statuses

S = message.Status


def counted(name: str, **labels: str) -> float:
    return prometheus_client.REGISTRY.get_sample_value(name, {"provider": "main"} | labels) or 0.0


async def test_what_is_settled_is_said_once(
    outbox_factory: stores.Store, outbox: ports.Outbox, logged: list[Any]
) -> None:
    clock = outbox_factory.clock
    first = await sent(outbox, "v1", clock, "x1")
    await sent(outbox, "v2", clock, "x2")
    await admit(outbox, "v3", clock)
    doubtful = await attempted(outbox, message.Uncertain())
    results = ("matched", "unmatched", "known")
    before = [counted("agi_sms_receipts_total", result=one) for one in results]
    settled = counted("agi_sms_settled_total", status="delivered")
    keeper = receipts.Receipts(outbox=outbox)
    refused = ports.Receipt(provider_id="x2", ref="", state=S.FAILED, raw="", code="34", detail="absent")
    told = [receipt("x1"), refused, receipt("strange"), receipt("", S.ACCEPTED, ref=doubtful)]
    await keeper.take("main", told)
    await keeper.take("main", told)
    await keeper.take("main", [receipt("x1", S.FAILED)])
    assert await statuses(outbox) == ["delivered", "failed", "accepted"]
    assert logged.pop(0)["event"] == "receipts that fit no message so far"
    lines = [(one["event"], one["log_level"]) for one in logged]
    assert lines == [("SMS delivered", "info"), ("SMS not delivered", "warning"), ("SMS taken after all", "info")]
    assert logged[0]["provider"] == "main"
    assert (logged[1]["code"], logged[1]["detail"], logged[1]["reason"]) == ("34", "absent", message.Reason.UNDELIVERED)
    assert logged[2]["before"] is S.UNCERTAIN
    after = [counted("agi_sms_receipts_total", result=one) for one in results]
    assert [new - old for old, new in zip(before, after, strict=True)] == [4, 1, 4]
    assert counted("agi_sms_settled_total", status="delivered") == settled + 1
    assert first != doubtful


async def test_the_line_names_the_call_and_hides_the_number(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    name = await sent(outbox, "v1", outbox_factory.clock, "x1")
    out = io.StringIO()
    before = structlog.get_config()
    logs.configure(format="json", level="info", reveal=False, stream=out)
    try:
        await receipts.Receipts(outbox=outbox).take("main", [receipt("x1")])
    finally:
        structlog.configure(**before)
    assert '"event":"SMS delivered"' in out.getvalue()
    assert f'"message":"{name}"' in out.getvalue()
    assert '"call_id":"call-v1"' in out.getvalue()
    assert "600100200" not in out.getvalue()


async def test_nothing_comes_to_nothing(outbox: ports.Outbox, logged: list[Any]) -> None:
    keeper = receipts.Receipts(outbox=outbox)
    await keeper.take("main", [])
    await keeper.take("nowhere", [receipt(), receipt("\ud800", ref="\x00")])
    assert [line["event"] for line in logged] == ["receipts that fit no message so far"]


async def test_what_could_not_be_kept_is_not_acknowledged(
    outbox_factory: stores.Store, outbox: ports.Outbox, logged: list[Any]
) -> None:
    await sent(outbox, "v1", outbox_factory.clock, "x1")
    keeper = receipts.Receipts(outbox=outbox)
    await outbox.close()
    with pytest.raises(errors.OutboxError):
        await keeper.take("main", [receipt("x1")])
    again = await outbox_factory.open()
    assert await statuses(again) == ["accepted"]
    await receipts.Receipts(outbox=again).take("main", [receipt("x1")])
    assert await statuses(again) == ["delivered"]
    await again.close()


async def test_a_hundred_at_once_while_messages_go_out(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    """Each receipt comes while its own message's answer is being written down."""
    clock = outbox_factory.clock
    keeper = receipts.Receipts(outbox=outbox)
    for number in range(100):
        await admit(outbox, f"v{number}", clock)

    async def send(number: int) -> None:
        lease = await claim_one(outbox)
        attempt = await begun(outbox, lease)
        accepted = message.Accepted(ids=(f"x{number}",))
        await asyncio.gather(
            outbox.finish(lease, attempt, accepted, stores.DECISIONS[message.Accepted]),
            keeper.take("main", [receipt(f"x{number}")]),
            keeper.take("main", [receipt(f"x{number}")]),
        )

    await asyncio.gather(*(send(number) for number in range(100)))
    assert await statuses(outbox) == ["delivered"] * 100


async def test_what_fits_no_message_is_said_now_and_then(
    outbox: ports.Outbox, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, now = receipts.Receipts(outbox=outbox), [0.0]
    monkeypatch.setattr("agi_sms.seldom.time.monotonic", lambda: now[0])
    await keeper.take("main", [receipt("strange-and-long-id", code="7")])
    await keeper.take("main", [receipt("b"), receipt("c")])
    await keeper.take("spare", [receipt("b")])
    assert [(one["provider"], one["receipts"], one["for_example"]) for one in logged] == [
        ("main", 1, "…-long-id"),
        ("spare", 1, "b"),
    ]
    now[0] = seldom.EVERY
    await keeper.take("main", [receipt("d")])
    assert logged[-1]["receipts"] == 3
    assert {one["log_level"] for one in logged} == {"warning"}


async def test_a_state_that_nobody_knows_is_said(
    outbox_factory: stores.Store, outbox: ports.Outbox, logged: list[Any]
) -> None:
    await sent(outbox, "v1", outbox_factory.clock, "x1")
    unknown = ports.Receipt(provider_id="x1", ref="", state=S.UNCERTAIN, raw="", code="777", detail="unknown state")
    await receipts.Receipts(outbox=outbox).take("main", [unknown])
    [line] = logged
    assert (line["event"], line["code"]) == ("receipts with a state that nobody knows", "777")
