"""A pytest plug-in: only tests by Hypothesis, each with many times its examples, and a watch over every event loop."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from agi_sms import loop_lag

BEAT = 0.01  # seconds; examples are short
OURS = "/agi_sms/"


@dataclass(kw_only=True)
class Blocks:
    """Where code of ours kept an event loop, and for how long (seconds) each time."""

    found: dict[str, list[float]] = field(default_factory=dict)

    def note(self, block: loop_lag.Block) -> None:
        """The innermost line of ours is the place; what only tests do is theirs."""
        place = next((line for line in block.where if OURS in line), None)
        if place is not None:
            self.found.setdefault(place, []).append(block.seconds)

    def again(self) -> dict[str, list[float]]:
        """Places that did it more than once: a busy machine stops anybody once."""
        return {place: seconds for place, seconds in self.found.items() if len(seconds) > 1}


@dataclass(kw_only=True)
class Count:
    """Of one file: tests by Hypothesis, examples that each may have in all, and those that failed."""

    tests: int = 0
    examples: int = 0
    failed: list[str] = field(default_factory=list)


class Plugin:
    """For pytest.main(). `times`: so many times the examples that a test has in `make test`."""

    def __init__(self, times: float) -> None:
        self._times = times
        self._done: set[int] = set()
        self.blocks = Blocks()
        self.counts: dict[str, Count] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept = [item for item in items if self._multiply(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.counts[report.nodeid.partition("::")[0]].failed.append(report.nodeid)

    def _multiply(self, item: pytest.Item) -> bool:
        """Whether it is a test by Hypothesis. What has several parameters, or names, is multiplied once."""
        import hypothesis  # not before pytest has started, which rewrites the assertions in it

        machine, test = getattr(item, "cls", None), getattr(item, "obj", None)
        test = getattr(test, "__func__", test)
        if isinstance(getattr(machine, "settings", None), hypothesis.settings):
            holder, name = machine, "settings"
        elif getattr(test, "is_hypothesis_test", False):
            holder, name = test, "_hypothesis_internal_use_settings"  # there is no public way for a test that is made
        else:
            return False
        count = self.counts.setdefault(item.nodeid.partition("::")[0], Count())
        before = getattr(holder, name, None) or hypothesis.settings()
        most = before.max_examples
        if id(holder) not in self._done:
            self._done.add(id(holder))
            most = max(round(before.max_examples * self._times), 1)
            setattr(holder, name, hypothesis.settings(before, max_examples=most, deadline=None))
        count.tests += 1
        count.examples += most
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Iterator[None]:
        """Each loop that runs meanwhile is watched."""
        run = asyncio.BaseEventLoop.run_forever
        asyncio.BaseEventLoop.run_forever = self._watched(run)  # type: ignore[method-assign,assignment]
        try:
            return (yield)
        finally:
            asyncio.BaseEventLoop.run_forever = run  # type: ignore[method-assign]

    def _watched(self, run: Callable[[asyncio.BaseEventLoop], None]) -> Callable[[asyncio.BaseEventLoop], None]:
        def watched(loop: asyncio.BaseEventLoop) -> None:
            heart = loop_lag.Heart(look=True, tell=self.blocks.note, beat=BEAT)
            task = loop.create_task(_quietly(heart.run()))
            try:
                run(loop)
            finally:
                task.cancel()
                if not loop.is_closed():
                    loop.call_soon(loop.stop)
                    run(loop)  # so that it ends

        return watched


async def _quietly(beating: Coroutine[Any, Any, None]) -> None:
    try:
        await beating
    except asyncio.CancelledError:
        return
