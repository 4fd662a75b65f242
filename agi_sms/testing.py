"""The small fakes that tests of plug-ins need too. They sit on the same seams as the real things."""

import asyncio
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
