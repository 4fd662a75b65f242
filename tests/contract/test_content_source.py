"""What every content source keeps to: an Answer or a NoAnswer always, and each question asked once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from agi_sms import content, ports, testing
from agi_sms.content import settings as api_settings
from tests.contract import peer, shops


@dataclass
class Subject:
    """A source that works, which activations reached the other side, and a gate that holds the answers back."""

    source: ports.ContentSource
    asked: Callable[[], list[str]]
    gate: asyncio.Event


@contextlib.asynccontextmanager
async def _asking() -> AsyncIterator[Subject]:
    gate = asyncio.Event()
    gate.set()
    async with peer.running(peer.gated(gate, peer.answer(200, b"Hello", shops.TEXT))) as other:
        settings = api_settings.Api.model_validate({"url": other.url, "timeout": "10s"})
        made = content.build("desk", settings)
        yield Subject(made, lambda: [shops.values(request)["activation_id"] for request in other.requests], gate)


@contextlib.asynccontextmanager
async def _faking() -> AsyncIterator[Subject]:
    made = testing.FakeSource()
    yield Subject(made, lambda: [one.activation_id for one in made.questions], made.gate)


SUBJECTS = {"api": _asking, "fake": _faking}


@pytest.fixture(params=sorted(SUBJECTS))
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with SUBJECTS[request.param]() as made:
        yield made
        made.gate.set()
        await made.source.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def test_answers(subject: Subject) -> None:
    answer = await subject.source.fetch(shops.question())
    assert isinstance(answer, ports.Answer)
    assert answer.text == "Hello"
    assert answer.code == "200"
    assert subject.asked() == ["a1"]


async def test_names_its_host_and_its_time(subject: Subject) -> None:
    scheme, _, place = subject.source.host.partition("://")
    assert scheme in {"http", "https"}
    assert place.rpartition(":")[2].isdigit()
    assert subject.source.timeout > timedelta(0)


async def test_a_question_that_is_repeated_says_the_same_activation(subject: Subject) -> None:
    for _ in range(2):
        assert isinstance(await subject.source.fetch(shops.question("a7")), ports.Answer)
    assert subject.asked() == ["a7", "a7"]


async def test_fifty_at_once_are_all_under_way_and_all_answered(subject: Subject) -> None:
    """How many may be under way at one host is for the use case to say, not for the source."""
    subject.gate.clear()
    names = [f"a{i}" for i in range(50)]
    tasks = [asyncio.create_task(subject.source.fetch(shops.question(name))) for name in names]
    await until(lambda: len(subject.asked()) == 50)
    subject.gate.set()
    assert {type(answer) for answer in await asyncio.gather(*tasks)} == {ports.Answer}
    assert sorted(subject.asked()) == sorted(names)


async def test_cancelled_while_it_waits(subject: Subject) -> None:
    subject.gate.clear()
    task = asyncio.create_task(subject.source.fetch(shops.question()))
    await until(lambda: subject.asked() == ["a1"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await subject.source.close()
    assert subject.asked() == ["a1"]


async def test_close_waits_for_what_is_under_way(subject: Subject) -> None:
    subject.gate.clear()
    asking = asyncio.create_task(subject.source.fetch(shops.question()))
    await until(lambda: subject.asked() == ["a1"])
    closing = asyncio.create_task(subject.source.close())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not closing.done()
    subject.gate.set()
    assert isinstance(await asking, ports.Answer)
    await closing


async def test_after_close_nobody_is_asked(subject: Subject) -> None:
    await subject.source.close()
    result = await subject.source.fetch(shops.question())
    assert isinstance(result, ports.NoAnswer)
    assert result.again
    assert not result.host_fault
    await subject.source.close()
    assert subject.asked() == []
