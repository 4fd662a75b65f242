"""What goes on for providers: begun, changed, ended, begun again after a fault."""

import asyncio
from typing import Any

import pytest

from agi_sms import attending, testing
from tests.contract import doors


class Work:
    """Goes on until it is cancelled, and takes its time to end; `told` keeps what it does."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name = name
        self.told = told
        self.end = asyncio.Event()
        self.faults = 0

    async def __call__(self) -> None:
        self.told.append(f"{self.name} begins")
        if self.faults:
            self.faults -= 1
            raise RuntimeError("a bug")
        try:
            await asyncio.Event().wait()
        finally:
            await self.end.wait()
            self.told.append(f"{self.name} ends")


async def test_a_provider_object_that_takes_the_place_of_another_waits_for_its_end() -> None:
    told: list[str] = []
    one, other = Work("one", told), Work("other", told)
    before, after = testing.FakeProvider("acme"), testing.FakeProvider("acme")
    kept = attending.Attending()
    kept.change({"acme": (before, one)})
    kept.change({"acme": (before, one)})
    await doors.until(lambda: told == ["one begins"])
    kept.change({"acme": (after, other)})
    for _ in range(20):
        await asyncio.sleep(0)
    assert told == ["one begins"]
    one.end.set()
    await doors.until(lambda: told == ["one begins", "one ends", "other begins"])
    other.end.set()
    await kept.end()
    assert told[-1] == "other ends"


async def test_what_is_not_wanted_any_more_ends() -> None:
    told: list[str] = []
    one = Work("one", told)
    one.end.set()
    kept = attending.Attending()
    kept.change({"acme": (testing.FakeProvider("acme"), one)})
    await doors.until(lambda: told == ["one begins"])
    kept.change({})
    await doors.until(lambda: told == ["one begins", "one ends"])
    await kept.end()


async def test_a_bug_is_told_and_the_work_begun_anew(logged: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "AGAIN", 0.01)
    told: list[str] = []
    one = Work("one", told)
    one.faults = 2
    one.end.set()
    kept = attending.Attending()
    kept.change({"acme": (testing.FakeProvider("acme"), one)})
    await doors.until(lambda: told.count("one begins") == 3)
    await kept.end()
    assert [line["provider"] for line in logged] == ["acme"] * 2
