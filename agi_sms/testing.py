"""The small fakes that tests of plug-ins need too. They sit on the same seams as the real things."""

import asyncio
import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from agi_sms import message, ports


class FixedClock:
    """A clock that stands still until it is told to go on. Call it for the time (UTC)."""

    def __init__(self, now: datetime = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, span: timedelta) -> None:
        """Let time pass."""
        self.now += span


class FakeProvider:
    """A provider that answers by a script, then accepts, and keeps what it was given.

    `gate`: while it is cleared, `send` waits, so that a test can look at a message under way.
    """

    def __init__(
        self,
        name: str = "fake",
        *,
        script: Iterable[message.Outcome | Exception] = (),
        confirms: ports.Confirms = ports.Confirms.ACCEPTANCE,
        idempotent: bool = False,
        on_uncertain: ports.OnUncertain = ports.OnUncertain.HOLD,
        timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        self.name = name
        self.confirms = confirms
        self.idempotent = idempotent
        self.on_uncertain = on_uncertain
        self.timeout = timeout
        self.submissions: list[ports.Submission] = []
        self.closed = False
        self.gate = asyncio.Event()
        self.gate.set()
        self._script = iter(script)

    async def send(self, submission: ports.Submission) -> message.Outcome:
        """The script's next word; an exception in it is raised, as a broken plug-in would."""
        if self.closed:
            return message.ProviderDown(code="closed")
        self.submissions.append(submission)
        await self.gate.wait()
        said = next(self._script, message.Accepted(ids=(f"{self.name}-{len(self.submissions)}",)))
        if isinstance(said, Exception):
            raise said
        return said

    async def close(self) -> None:
        """Remember it."""
        self.closed = True


class FakeSource:
    """A content source that answers by a script, then says Hello, and keeps what it was asked.

    `gate`: while it is cleared, `fetch` waits, so that a test can look at a question under way. `most_under_way`
    is the highest number of them that there ever was at once.
    """

    def __init__(
        self,
        host: str = "https://shop.example:443",
        *,
        script: Iterable[ports.Answer | ports.NoAnswer | Exception] = (),
        timeout: timedelta = timedelta(seconds=5),
    ) -> None:
        self.host = host
        self.timeout = timeout
        self.questions: list[ports.Question] = []
        self.under_way = 0
        self.most_under_way = 0
        self.closed = False
        self.gate = asyncio.Event()
        self.gate.set()
        self._ended = asyncio.Event()
        self._script = iter(script)

    async def fetch(self, question: ports.Question) -> ports.Answer | ports.NoAnswer:
        """The script's next word; an exception in it is raised, as a broken plug-in would."""
        if self.closed:
            return ports.NoAnswer(reason=message.Reason.CONTENT_UNREACHABLE, code="closed", again=True)
        self.questions.append(question)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
            self._ended.set()
        said = next(self._script, ports.Answer(text="Hello", fields="Hello", code="200"))
        if isinstance(said, Exception):
            raise said
        return said

    async def close(self) -> None:
        """Remember it, and wait for what is under way, but no longer than its timeout."""
        self.closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.timeout.total_seconds()):
                while self.under_way:
                    self._ended.clear()
                    await self._ended.wait()
