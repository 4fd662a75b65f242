"""The port for receipts: kept, then acknowledged; whatever else comes is told so, counted, and forgotten."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import structlog
from structlog.testing import capture_logs

from agi_sms import errors, ports, testing
from agi_sms.message import Status
from agi_sms.web import addresses, listener, receipts

RECEIPT = ports.Receipt(provider_id="x1", ref="", state=Status.DELIVERED, raw="x1 DELIVRD")


class Company(testing.FakeProvider):
    """A provider that reports `said`, or raises it."""

    reports = True

    def __init__(self) -> None:
        super().__init__("company")
        self.said: ports.Report | Exception = ports.Report(receipts=(RECEIPT,), body=b"OK")
        self.notices: list[ports.Notice] = []
        self.asked = asyncio.Event()

    def read(self, notice: ports.Notice) -> ports.Report:
        self.notices.append(notice)
        self.asked.set()
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


@dataclass(kw_only=True)
class Desk:
    """The port, and what is behind it."""

    company: Company = field(default_factory=Company)
    kept: list[tuple[str, ports.Receipt]] = field(default_factory=list)
    fault: Exception | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def take(self, provider: str, found: Sequence[ports.Receipt]) -> None:
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        self.kept += [(provider, one) for one in found]

    async def ask(self, path: str = "/receipts/company", method: str = "POST", **more: Any) -> tuple[int, bytes]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"http://127.0.0.1:{self.port}{path}", **more) as answer,
        ):
            return answer.status, await answer.read()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    made.gate.set()
    opened: listener.Listener = await receipts.listen(
        "127.0.0.1",
        0,
        public_url="https://sms.example/gw/",
        providers=lambda: {"company": made.company, "other company": made.company},
        take=made.take,
    )
    made.port = opened.port
    yield made
    await opened.close()


async def test_a_receipt_is_kept_then_acknowledged_to_the_letter(desk: Desk) -> None:
    desk.company.said = ports.Report(receipts=(RECEIPT,), status=202, content_type="text/x", body=b"ACK/Jasmin")
    desk.gate.clear()
    asking = asyncio.create_task(desk.ask("/receipts/company?a=%20b&c=ż", data=b"body", headers={"X-Sign": "s"}))
    async with asyncio.timeout(10):
        await desk.company.asked.wait()
    assert not asking.done()
    desk.gate.set()
    assert await asking == (202, b"ACK/Jasmin")
    assert desk.kept == [("company", RECEIPT)]
    (notice,) = desk.company.notices
    assert (notice.method, notice.body, notice.headers["x-sign"]) == ("POST", b"body", "s")
    assert notice.url == "https://sms.example/gw/receipts/company?a=%20b&c=%C5%BC"


async def test_what_holds_no_receipt_is_acknowledged_too(desk: Desk) -> None:
    desk.company.said = ports.Report(receipts=())
    desk.fault = AssertionError("nothing is to be kept")
    assert await desk.ask(method="GET") == (200, b"")


@pytest.mark.parametrize("fault", [errors.OutboxBusy(), errors.OutboxFull(), RuntimeError("a bug")])
async def test_what_could_not_be_kept_is_to_come_again(desk: Desk, fault: Exception) -> None:
    desk.fault = fault
    assert (await desk.ask())[0] == 503
    desk.fault = None
    assert (await desk.ask())[0] == 200
    assert len(desk.kept) == 1


@pytest.mark.parametrize(
    ("said", "status"), [(errors.ReceiptForged(), 403), (errors.ReceiptError(), 400), (KeyError("a bug"), 503)]
)
async def test_what_is_no_receipt_is_told_so(desk: Desk, said: Exception, status: int) -> None:
    desk.company.said = said
    assert (await desk.ask())[0] == status
    assert (await desk.ask(data=b"x" * 10_000))[0] == status  # read beside the event loop
    assert desk.kept == []


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 404),
        ("/receipts/", "POST", 404),
        ("/receipts/nobody", "POST", 404),
        ("/receipts/company/the-token", "POST", 200),
        ("/receipts//company", "POST", 404),
        ("/receipts/company", "DELETE", 405),
        ("/receipts/other%20company", "POST", 200),
    ],
)
async def test_a_path_for_each_provider_and_nothing_else(desk: Desk, path: str, method: str, status: int) -> None:
    assert (await desk.ask(path, method))[0] == status


async def test_a_notice_is_not_read_beyond_its_limit(desk: Desk) -> None:
    assert (await desk.ask(data=b"x" * receipts.LARGEST))[0] == 200
    assert (await desk.ask(data=b"x" * (receipts.LARGEST + 1)))[0] == 413
    assert len(desk.kept) == 1


async def test_whoever_knocks_in_vain_is_told_of_once(desk: Desk) -> None:
    structlog.reset_defaults()
    desk.company.said = errors.ReceiptForged()
    with capture_logs() as lines:
        for _ in range(5):
            await desk.ask()
            await desk.ask("/receipts/nobody")
    assert sorted(line["event"] for line in lines) == [
        "a receipt for a provider that is not configured, or has none",
        "a receipt refused: it is not signed by the provider",
    ]


async def test_whoever_hangs_up_is_no_bug(desk: Desk) -> None:
    structlog.reset_defaults()
    with capture_logs() as lines:
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
            writer.write(b"POST /receipts/company HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0123456789")
            writer.write_eof()
            async with asyncio.timeout(10):
                await reader.read()
            writer.close()
    assert lines == []
    assert desk.kept == []
    assert (await desk.ask())[0] == 200


async def test_a_bug_does_not_fill_the_log(desk: Desk) -> None:
    structlog.reset_defaults()
    desk.company.said = KeyError("a bug")
    with capture_logs() as lines:
        assert [(await desk.ask())[0] for _ in range(5)] == [503] * 5
    assert len(lines) == 1


async def test_a_token_in_an_address_is_not_logged(desk: Desk) -> None:
    structlog.reset_defaults()
    with capture_logs() as lines:
        assert (await desk.ask("/receipts/gone/s3cret-t0ken"))[0] == 404
    assert "s3cret-t0ken" not in str(lines)


def test_the_address_that_a_provider_is_told() -> None:
    assert addresses.receipts("https://sms.example/gw/", "my co") == "https://sms.example/gw/receipts/my%20co"
    assert addresses.receipts("", "company") == ""
