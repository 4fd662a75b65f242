"""What every provider keeps to: an Outcome always, in time, and the truth about what may have been taken."""

import asyncio
import contextlib
import errno
import json
import os
import pty
import resource
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pydantic
import pytest

from agi_sms import message, ports, providers, testing
from agi_sms.providers import file, gammu, modem, sip
from agi_sms.providers import print as printing
from tests.contract import fake_ami, fake_smsd, peer, smsc, subjects

# --- every provider --------------------------------------------------------------------------------------------


@dataclass
class Subject:
    """A provider that works, and how to see which refs reached the other side, or that many where it hears of none."""

    provider: ports.Provider
    received: Callable[[], list[str]]
    anonymous: bool = False
    longest: int = 20_000  # characters of a text that it takes

    def got(self, *refs: str) -> bool:
        """Whether these arrived, each once."""
        if self.anonymous:
            return len(self.received()) == len(refs)
        return sorted(self.received()) == sorted(refs)


@contextlib.asynccontextmanager
async def _printing(_: Path) -> AsyncIterator[Subject]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    got = bytearray()

    def received() -> list[str]:
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(reading, 65536):
                got.extend(chunk)
        heads = [line for line in got.decode().split("\n") if line.startswith("SMS ")]
        return [line.rsplit(", ", 1)[1].rstrip(")") for line in heads]

    try:
        yield Subject(printing.PrintProvider("print", printing.PrintSettings(), fd=writing), received)
    finally:
        os.close(reading)
        os.close(writing)


@contextlib.asynccontextmanager
async def _filing(folder: Path) -> AsyncIterator[Subject]:
    path = folder / "out.jsonl"
    made = providers.build("log", file.FileSettings(path=path))

    def received() -> list[str]:
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line)["ref"] for line in lines]

    yield Subject(made, received)


@contextlib.asynccontextmanager
async def _posting(_: Path) -> AsyncIterator[Subject]:
    async with peer.running(peer.answer(body=b'{"id": "x1"}')) as other:
        yield Subject(
            subjects.http_provider(other.url, answer={"id": "$.id"}),
            lambda: [json.loads(request.body)["ref"] for request in other.requests],
        )


@contextlib.asynccontextmanager
async def _faking(_: Path) -> AsyncIterator[Subject]:
    made = testing.FakeProvider()
    yield Subject(made, lambda: [one.ref for one in made.submissions])


@contextlib.asynccontextmanager
async def _submitting(_: Path) -> AsyncIterator[Subject]:
    async with smsc.running() as other:
        yield Subject(smsc.provider(other.port), lambda: smsc.texts(other.submits), anonymous=True)


@contextlib.asynccontextmanager
async def _handing_over(_: Path) -> AsyncIterator[Subject]:
    settings = sip.SipSettings(pbx="main", to="pjsip:acme/sip:{{ to }}@sms.example")
    async with peer.running(peer.answer(202, b"")) as other, fake_ami.over_ari(other.url) as sending:
        made = sip.SipProvider("sip", settings, sending)
        yield Subject(made, lambda: [request.target for request in other.requests], anonymous=True)


@contextlib.asynccontextmanager
async def _queueing(_: Path) -> AsyncIterator[Subject]:
    settings = modem.ModemSettings(pbx="main", driver="quectel", device="quectel0")
    async with (
        fake_ami.running(answers={"QuectelSendSMS": fake_ami.QUEUED}) as fake,
        fake_ami.over_ami(fake) as sending,
    ):
        made = modem.ModemProvider("modem", settings, sending)
        yield Subject(made, lambda: [one["Payload"] for one in fake.done("QuectelSendSMS")], longest=900)


@contextlib.asynccontextmanager
async def _moving(folder: Path) -> AsyncIterator[Subject]:
    async with fake_smsd.running(fake_smsd.Smsd(folder)) as smsd:
        made = gammu.GammuProvider("gammu", smsd.settings())
        yield Subject(
            made, lambda: [name.rsplit("_", 1)[1].removesuffix(".txt") for name in smsd.names("sent")], longest=3000
        )


SUBJECTS = {
    "print": _printing,
    "file": _filing,
    "http": _posting,
    "smpp": _submitting,
    "sip": _handing_over,
    "modem": _queueing,
    "gammu": _moving,
    "fake": _faking,
}


@pytest.fixture(params=sorted(SUBJECTS))
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    async with SUBJECTS[request.param](tmp_path) as made:
        yield made
        await made.provider.close()


async def test_takes_a_message_once_and_names_it(subject: Subject) -> None:
    outcome = await subject.provider.send(subjects.submission("m1"))
    assert isinstance(outcome, message.Accepted)
    assert outcome.ids
    assert all(outcome.ids)
    assert subject.got("m1")


async def test_declares_what_its_yes_means(subject: Subject) -> None:
    made = subject.provider
    assert made.name
    assert made.confirms in ports.Confirms
    assert made.on_uncertain is ports.OnUncertain.HOLD
    assert made.idempotent is False
    assert made.timeout > timedelta(0)


async def test_fifty_at_once_arrive_whole_and_once(subject: Subject) -> None:
    refs = [f"m{i}" for i in range(50)]
    outcomes = await asyncio.gather(*(subject.provider.send(subjects.submission(ref)) for ref in refs))
    assert {type(outcome) for outcome in outcomes} == {message.Accepted}
    assert subject.got(*refs)


@pytest.mark.parametrize("text", [subjects.HOSTILE, "x" * 20_000, ""])
async def test_any_text_passes(subject: Subject, text: str) -> None:
    text = text[: subject.longest]
    outcome = await subject.provider.send(subjects.submission(text=text, sender=subjects.HOSTILE[:20], node="n"))
    assert isinstance(outcome, message.Accepted)
    assert subject.got("m1")


async def test_after_close_nothing_is_taken(subject: Subject) -> None:
    await subject.provider.close()
    assert isinstance(await subject.provider.send(subjects.submission()), message.ProviderDown)
    await subject.provider.close()
    assert subject.received() == []


@pytest.mark.parametrize("kind", sorted(providers.REGISTRY))
def test_settings_of_every_type_refuse_what_they_do_not_know(kind: str) -> None:
    model = providers.settings_class(kind)
    with pytest.raises(pydantic.ValidationError) as caught:
        model.model_validate({"type": kind, "nonsense": 1, "timeout": "0"})
    places = {fault["loc"] for fault in caught.value.errors()}
    assert {("nonsense",), ("timeout",)} <= places


def test_unknown_types_name_the_known_ones() -> None:
    with pytest.raises(ValueError, match=f"known are {', '.join(sorted(providers.REGISTRY))},"):
        providers.settings_class("htpp")
    with pytest.raises(ValueError, match=r"cannot be loaded"):
        providers.settings_class("no_such_module:Provider")
    with pytest.raises(ValueError, match=r"has no Settings"):
        providers.settings_class("agi_sms.testing:FixedClock")


def test_a_plug_in_is_named_by_its_path() -> None:
    kind = "agi_sms.providers.print:PrintProvider"
    assert providers.settings_class(kind) is printing.PrintSettings


# --- print -----------------------------------------------------------------------------------------------------


async def test_print_full_pipe_holds_nobody_up() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    made = printing.PrintProvider("print", printing.PrintSettings.model_validate({"timeout": "200ms"}), fd=writing)
    first, second = await asyncio.gather(made.send(subjects.submission("m1")), made.send(subjects.submission("m2")))
    assert isinstance(first, message.Uncertain)  # its write is still waiting in the kernel
    assert isinstance(second, message.ProviderDown)  # taken back
    os.read(reading, 1 << 20)
    await made.close()
    left = os.read(reading, 1 << 20).decode()
    assert left.count("m1") == 1
    assert "m2" not in left
    os.close(reading)
    os.close(writing)


async def test_print_closed_terminal_is_provider_down() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    made = printing.PrintProvider("print", printing.PrintSettings(), fd=writing)
    assert isinstance(await made.send(subjects.submission()), message.ProviderDown)
    await made.close()
    os.close(writing)


async def test_print_draws_for_a_terminal_and_harms_none() -> None:
    master, slave = pty.openpty()
    made = printing.PrintProvider("print", printing.PrintSettings(), fd=slave)
    outcome = await made.send(subjects.submission(text=subjects.HOSTILE))
    assert isinstance(outcome, message.Accepted)
    await made.close()
    shown = os.read(master, 1 << 16).decode()
    assert "+48600100200" in shown
    assert "╭" in shown
    for harmful in ("\x1b[2J", "\x9b", "\u202e", "\x00"):
        assert harmful not in shown
    assert "\\x1b[2J" in shown
    os.close(master)
    os.close(slave)


# --- file ------------------------------------------------------------------------------------------------------


def filed(path: Path) -> file.FileProvider:
    return file.FileProvider("log", file.FileSettings(path=path), clock=testing.FixedClock(subjects.NOW))


async def test_file_line_says_it_all_and_is_private(tmp_path: Path) -> None:
    made = filed(tmp_path / "out.jsonl")
    await made.send(subjects.submission(text="Zażółć\n\x7f\u202e", attempt=2))
    await made.close()
    raw = (tmp_path / "out.jsonl").read_text()
    assert json.loads(raw) == {
        "time": "2026-03-01T12:00:00.000+00:00",
        "ref": "m1",
        "to": "+48600100200",
        "sender": "ACME",
        "text": "Zażółć\n\x7f\u202e",
        "encoding": "gsm7",
        "segments": 1,
        "node": "info",
        "attempt": 2,
    }
    assert "Zażółć" in raw
    assert "\u202e" not in raw
    assert "\x7f" not in raw
    assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == 0o600


async def test_file_follows_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    made = filed(path)
    await made.send(subjects.submission("m1"))
    path.rename(tmp_path / "out.jsonl.1")
    await made.send(subjects.submission("m2"))
    path.unlink()
    await made.send(subjects.submission("m3"))
    await made.close()
    assert "m1" in (tmp_path / "out.jsonl.1").read_text()
    assert [json.loads(line)["ref"] for line in path.read_text().splitlines()] == ["m3"]


@contextlib.contextmanager
def _largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_file_without_room_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    made = filed(path)
    await made.send(subjects.submission("m1"))
    whole = path.read_bytes()
    with _largest_file(len(whole) + 30):  # the kernel takes 30 bytes of the next line
        outcome = await made.send(subjects.submission("m2"))
    assert isinstance(outcome, message.ProviderDown)
    assert outcome.code == "EFBIG"
    assert path.read_bytes() == whole
    assert isinstance(await made.send(subjects.submission("m2")), message.Accepted)
    await made.close()
    assert [json.loads(line)["ref"] for line in path.read_text().splitlines()] == ["m1", "m2"]


async def test_file_full_disk_is_retried_and_what_cannot_be_cut_is_uncertain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def stuck(_: int, __: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    made = filed(tmp_path / "out.jsonl")
    monkeypatch.setattr(os, "fsync", full)
    assert isinstance(await made.send(subjects.submission()), message.ProviderDown)
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    monkeypatch.setattr(os, "ftruncate", stuck)
    assert isinstance(await made.send(subjects.submission()), message.Uncertain)
    await made.close()


async def test_file_whose_folder_vanished_is_provider_down(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    made = filed(folder / "out.jsonl")
    folder.rmdir()
    assert isinstance(await made.send(subjects.submission()), message.ProviderDown)
    await made.close()


def test_file_settings_want_a_folder_and_read_from_the_base(tmp_path: Path) -> None:
    with pytest.raises(pydantic.ValidationError, match="does not exist"):
        file.FileSettings(path=tmp_path / "no" / "out.jsonl")
    with pytest.raises(pydantic.ValidationError, match="is a folder"):
        file.FileSettings(path=tmp_path)
    with pytest.raises(pydantic.ValidationError, match="no ordinary file"):
        file.FileSettings(path=Path("/dev/null"))
    made = file.FileSettings.model_validate({"path": "out.jsonl"}, context={"base": tmp_path})
    assert made.path == tmp_path / "out.jsonl"
