"""The port for receipts: kept, then acknowledged; whatever else comes is told so, counted, and forgotten."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog
from structlog.testing import capture_logs

from agi_sms import errors, ports
from agi_sms.web import addresses, receipts, telling
from tests.contract import desks


@pytest.fixture
async def desk() -> AsyncIterator[desks.Desk]:
    async with desks.opened() as made:
        yield made


async def test_a_receipt_is_kept_then_acknowledged_to_the_letter(desk: desks.Desk) -> None:
    desk.company.said = ports.Report(receipts=(desks.RECEIPT,), status=202, content_type="text/x", body=b"ACK/Jasmin")
    desk.gate.clear()
    asking = asyncio.create_task(desk.ask("/receipts/company?a=%20b&c=ż", data=b"body", headers={"X-Sign": "s"}))
    async with asyncio.timeout(10):
        await desk.company.asked.wait()
    assert not asking.done()
    desk.gate.set()
    assert await asking == (202, b"ACK/Jasmin")
    assert desk.kept == [("company", desks.RECEIPT)]
    (notice,) = desk.company.notices
    assert (notice.method, notice.body, notice.headers["x-sign"]) == ("POST", b"body", "s")
    assert notice.url == "https://sms.example/gw/receipts/company?a=%20b&c=%C5%BC"


async def test_what_holds_no_receipt_is_acknowledged_too(desk: desks.Desk) -> None:
    desk.company.said = ports.Report(receipts=())
    desk.fault = AssertionError("nothing is to be kept")
    assert await desk.ask(method="GET") == (200, b"")


@pytest.mark.parametrize("fault", [errors.OutboxBusy(), errors.OutboxFull(), RuntimeError("a bug")])
async def test_what_could_not_be_kept_is_to_come_again(desk: desks.Desk, fault: Exception) -> None:
    desk.fault = fault
    assert (await desk.ask())[0] == 503
    desk.fault = None
    assert (await desk.ask())[0] == 200
    assert len(desk.kept) == 1


@pytest.mark.parametrize(
    ("said", "status"), [(errors.ReceiptForged(), 403), (errors.ReceiptError(), 400), (KeyError("a bug"), 503)]
)
async def test_what_is_no_receipt_is_told_so(desk: desks.Desk, said: Exception, status: int) -> None:
    desk.company.said = said
    assert (await desk.ask())[0] == status
    assert desk.kept == []


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 404),
        ("/receipts", "POST", 404),
        ("/receipts/", "POST", 403),
        ("/receipts/nobody", "POST", 403),
        ("/receipts/company/the-token", "POST", 200),
        ("/receipts//company", "POST", 403),
        ("/receipts/company", "DELETE", 405),
        ("/receipts/other%20company", "POST", 200),
        ("/receipts/other%2520company", "POST", 403),
    ],
)
async def test_a_path_for_each_provider_and_nothing_else(desk: desks.Desk, path: str, method: str, status: int) -> None:
    assert (await desk.ask(path, method))[0] == status


@pytest.mark.parametrize("path", ["/receipts/company/t?a=b", "/gw/receipts/company/t?a=b"])
async def test_the_path_of_public_url_may_be_kept_or_stripped(desk: desks.Desk, path: str) -> None:
    assert (await desk.ask(path))[0] == 200
    (notice,) = desk.company.notices
    assert notice.url == "https://sms.example/gw/receipts/company/t?a=b"


async def test_another_path_is_told_without_what_may_be_a_token(desk: desks.Desk) -> None:
    structlog.reset_defaults()
    with capture_logs() as lines:
        assert (await desk.ask("/other/receipts/company/t0ken-t0ken?x=y"))[0] == 404
    assert [(line["path"], line["served"]) for line in lines] == [("/other/receipts/", "/gw/receipts/PROVIDER")]


async def test_each_cause_is_told_and_those_left_out_are_counted(
    desk: desks.Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    structlog.reset_defaults()
    with capture_logs() as lines:
        for said in ("it is no JSON", "it is no JSON", *(f"it lacks {at}" for at in range(9))):
            desk.company.said = errors.ReceiptError(said)
            await desk.ask("/receipts/company/t0ken-t0ken")
        monkeypatch.setattr(telling, "EVERY", 0.0)
        await desk.ask("/receipts/company/t0ken-t0ken")
    assert [line["error"] for line in lines] == ["it is no JSON", *(f"it lacks {at}" for at in (0, 1, 2, 3, 8))]
    assert {line["path"] for line in lines} == {"/receipts/company"}
    assert [line.get("left_out") for line in lines] == [None, 1, None, None, None, 5]


async def test_a_notice_is_not_read_beyond_its_limit(desk: desks.Desk) -> None:
    assert (await desk.ask(data=b"x" * receipts.LARGEST))[0] == 200
    assert (await desk.ask(data=b"x" * (receipts.LARGEST + 1)))[0] == 413
    assert len(desk.kept) == 1


async def test_whoever_knocks_in_vain_is_told_of_once(desk: desks.Desk) -> None:
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


async def test_whoever_hangs_up_is_no_bug(desk: desks.Desk) -> None:
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


async def test_a_bug_does_not_fill_the_log(desk: desks.Desk) -> None:
    structlog.reset_defaults()
    desk.company.said = KeyError("a bug")
    with capture_logs() as lines:
        assert [(await desk.ask())[0] for _ in range(5)] == [503] * 5
    assert len(lines) == 1


async def test_a_token_in_an_address_is_not_logged(desk: desks.Desk) -> None:
    structlog.reset_defaults()
    with capture_logs() as lines:
        assert (await desk.ask("/receipts/gone/s3cret-t0ken"))[0] == 403
    assert "s3cret-t0ken" not in str(lines)


def test_the_address_that_a_provider_is_told() -> None:
    assert addresses.receipts("https://sms.example/gw/", "my co") == "https://sms.example/gw/receipts/my%20co"
    assert addresses.receipts("", "company") == ""
