"""The gammu provider with a real gammu-smsd, whose modem is a dummy."""

import asyncio
import collections.abc
import contextlib
import pathlib
import re
from typing import Any

import pytest

from agi_sms import message, ports, segments
from agi_sms.message import Status
from agi_sms.providers import gammu
from rig import smsd as rig_smsd
from tests.acceptance import gateway
from tests.contract import subjects

pytestmark = [pytest.mark.asterisk, pytest.mark.timeout(900)]  # the first may have to build the image

NUMBER = "+48600100200"
EMOJI_AT_THE_SEAM = "ż" * 66 + "😀" + "ó" * 65 + "🎉" + "ł" * 20
TEXTS = [
    "Hello",
    "Price: 5 € {net} [a|b] ~ \\ ^ £ @ Ω",
    "Zażółć gęślą jaźń 😀",
    "x" * 160,
    "x" * 161,
    "ż" * 70,
    "ż" * 71,
    "a" * 153 + "b" * 153 + "c" * 10,
    EMOJI_AT_THE_SEAM,
]
_FOUND = re.compile(r'Found (\d+) sms to "([^"]*)" with text "(.*)" cod (\d) lgt (\d+) ')
_UCS2, _GSM7 = "1", "3"  # libgammu's codings


class Keeper:
    """Keeps receipts."""

    def __init__(self) -> None:
        self.kept: list[ports.Receipt] = []

    async def __call__(self, provider: str, receipts: collections.abc.Sequence[ports.Receipt]) -> None:
        self.kept += receipts


@pytest.fixture
def smsd(asterisk_images: None, tmp_path: pathlib.Path) -> rig_smsd.Smsd:
    """One that does not run yet."""
    return rig_smsd.Smsd(tmp_path)


def provider(smsd: rig_smsd.Smsd, **changes: Any) -> gammu.GammuProvider:
    folders = {"outbox": smsd.outbox, "sent": smsd.sent, "error": smsd.error}
    raw = {"type": "gammu", **folders, "timeout": "20s", **changes}
    return gammu.GammuProvider("modem", gammu.GammuSettings.model_validate(raw))


def written(text: str, ref: str, **changes: Any) -> ports.Submission:
    sized = segments.measure(text)
    return subjects.submission(ref, text=sized.text, encoding=sized.encoding, segments=sized.segments, **changes)


async def until(what: str, condition: collections.abc.Callable[[], object]) -> None:
    await asyncio.to_thread(gateway.wait_for, what, condition)


@contextlib.asynccontextmanager
async def watching(made: gammu.GammuProvider, keeper: Keeper) -> collections.abc.AsyncIterator[None]:
    task = asyncio.create_task(made.run(keeper))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


def files(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_texts_of_every_kind_are_sent_in_as_many_segments_as_we_count(smsd: rig_smsd.Smsd) -> None:
    made = provider(smsd)
    with smsd:
        outcomes = [await made.send(written(text, f"m{at}")) for at, text in enumerate(TEXTS)]
        await made.close()
    assert {type(outcome) for outcome in outcomes} == {message.Accepted}
    assert [name.split("_")[-1] for name in files(smsd.sent)] == [f"m{at}.txt" for at in range(len(TEXTS))]
    assert files(smsd.outbox) == files(smsd.error) == []
    found = _FOUND.findall(smsd.log)
    assert [one[1] for one in found] == [NUMBER] * len(TEXTS)
    for text, (count, _, _, coding, length) in zip(TEXTS, found, strict=True):
        sized = segments.measure(text)
        first = segments.split(sized.text, sized.encoding)[0]
        assert (int(count), coding) == (sized.segments, _UCS2 if sized.encoding is message.Encoding.UCS2 else _GSM7)
        if coding == _UCS2:
            assert int(length) == segments.units(first, sized.encoding)


async def test_many_at_once_go_once_each(smsd: rig_smsd.Smsd) -> None:
    made = provider(smsd, timeout="60s")
    with smsd:
        outcomes = await asyncio.gather(*(made.send(written(f"number {at}", f"m{at}")) for at in range(15)))
        await made.close()
    assert {type(outcome) for outcome in outcomes} == {message.Accepted}
    assert len(re.findall(r"Transmitted .* \(total: 1\)", smsd.log)) == 15


async def test_a_stopped_smsd_took_nothing(smsd: rig_smsd.Smsd) -> None:
    made = provider(smsd, timeout="1s")
    outcome = await made.send(written("Hello", "m1"))
    assert (type(outcome), outcome.code) == (message.ProviderDown, "idle")
    with smsd:
        assert isinstance(await provider(smsd).send(written("Hello", "m2")), message.Accepted)
    await made.close()
    assert [name.split("_")[-1] for name in files(smsd.sent)] == ["m2.txt"]


async def test_the_networks_reports_are_receipts(smsd: rig_smsd.Smsd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gammu, "SCAN_EVERY", 0.2)
    made, keeper = provider(smsd, inbox=smsd.inbox), Keeper()
    with smsd:
        async with watching(made, keeper):
            long = written("ż" * 100, "m1")
            assert isinstance(await made.send(long), message.Accepted)
            assert isinstance(await made.send(written("Hello", "m2", to="+48600100201")), message.Accepted)
            smsd.report(NUMBER)
            smsd.report(NUMBER, "Pending")
            await until("two reports", lambda: len(files(smsd.inbox)) == 2)
            assert keeper.kept == []
            smsd.report("+48600100201", "Failed")
            smsd.report(NUMBER)
            await until("two receipts", lambda: len(keeper.kept) == 2)
        await made.close()
    assert sorted((one.ref, one.state) for one in keeper.kept) == [("m1", Status.DELIVERED), ("m2", Status.FAILED)]


async def test_a_gateway_that_was_killed_hears_of_it_later(smsd: rig_smsd.Smsd) -> None:
    made = provider(smsd)
    task = asyncio.create_task(made.send(written("Hello", "m1")))
    await until("the file", lambda: [name for name in files(smsd.outbox) if name.startswith("OUT")])
    task.cancel()
    await asyncio.wait({task})
    await made.close()
    later, keeper = provider(smsd), Keeper()
    with smsd:
        async with watching(later, keeper):
            await until("the receipt", lambda: keeper.kept)
        await later.close()
    assert [(one.ref, one.state) for one in keeper.kept] == [("m1", Status.ACCEPTED)]
    assert len(re.findall(r"Transmitted .*_m1\.txt", smsd.log)) == 1


async def test_what_smsd_has_sent_and_cannot_file_is_a_doubt(smsd: rig_smsd.Smsd) -> None:
    """It moves it to its errors, though it has sent it."""
    made = provider(smsd)
    with smsd:
        smsd.sent.rmdir()
        outcome = await made.send(written("Hello", "m1"))
        await made.close()
        smsd.sent.mkdir()
    assert (type(outcome), outcome.code) == (message.Uncertain, "error")
    assert len(re.findall(r"Transmitted .*_m1\.txt", smsd.log)) == 1


async def test_what_smsd_would_send_for_ever_is_taken_from_it(smsd: rig_smsd.Smsd, tmp_path: pathlib.Path) -> None:
    """Where it can move a message nowhere, it sends it again every second."""
    made = provider(smsd)
    with smsd:
        smsd.sent.rmdir()
        smsd.error.rmdir()
        outcome = await made.send(written("Hello", "m1"))
        sent = len(re.findall(r"Transmitted .*_m1\.txt", smsd.log))
        smsd.sent.mkdir()
        smsd.error.mkdir()
        assert isinstance(await made.send(written("Hello", "m2")), message.Accepted)
        await made.close()
    assert (type(outcome), outcome.code) == (message.Uncertain, "unsent")
    assert 1 < sent <= 3 * gammu.MOST_READS  # one is counted a look: a busy machine looks rarely
    assert len(re.findall(r"Transmitted .*_m1\.txt", smsd.log)) <= sent + 1
