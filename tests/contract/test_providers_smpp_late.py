"""SMPP: what of a text was taken when not all of it was, and answers that come after their deadline."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from agi_sms import message, ports
from agi_sms.providers import smpp_session
from tests.contract import smsc, subjects

PATIENCE = 10.0  # seconds: a deadline for what has to come
LONG = "x" * 400  # three segments


@dataclass
class Slow:
    """An SMSC that keeps the submits which it is told to keep, and answers them when the test says so."""

    keeps: frozenset[int]  # which, counted from 1
    kept: list[tuple[smsc.Connection, smsc.Pdu]] = field(default_factory=list)
    count: int = 0

    async def __call__(self, connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        self.count += 1
        if self.count in self.keeps:
            self.kept.append((connection, pdu))
        else:
            connection.accept(pdu, f"id{self.count}")

    def accept(self, name: str, at: int = 0) -> None:
        connection, pdu = self.kept[at]
        connection.accept(pdu, name)

    def refuse(self, status: int, at: int = 0) -> None:
        connection, pdu = self.kept[at]
        connection.answer(pdu, status=status)


@dataclass
class Ear:
    """Hears what comes late."""

    heard: list[message.Outcome] = field(default_factory=list)
    there: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, outcome: message.Outcome) -> None:
        self.heard.append(outcome)
        self.there.set()

    async def one(self) -> message.Outcome:
        async with asyncio.timeout(PATIENCE):
            await self.there.wait()
        self.there.clear()
        return self.heard[-1]


@contextlib.asynccontextmanager
async def sent(text: str, *keeps: int, **changes: Any) -> AsyncIterator[tuple[message.Outcome, Slow, Ear, smsc.Smsc]]:
    """A message of which some submits get no answer in time."""
    slow, ear = Slow(frozenset(keeps)), Ear()
    async with smsc.running(submit=slow) as other:
        made = smsc.provider(other.port, **({"timeout": "300ms"} | changes))
        outcome = await made.send(subjects.submission(text=text, segments=-(-len(text) // 153), late=ear))
        try:
            yield outcome, slow, ear, other
        finally:
            await made.close()


async def echo(other: smsc.Smsc) -> None:
    """Until the provider has read all that was sent to it."""
    seen = len(other.of(smsc.ENQUIRE | smsc.RESPONSE))
    other.connections[-1].send(smsc.ENQUIRE, 4711)
    await other.until(smsc.ENQUIRE | smsc.RESPONSE, seen + 1)


# --- a part of the text was taken -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("then", "taken"),
    [
        (smsc.silent, ("id-2",)),
        (smsc.status(0x0B), ("id-2",)),
        (smsc.raw(b"", then=lambda connection: connection.cut()), ("id-2",)),
        (smsc.in_turn(smsc.taken, smsc.silent), ("id-2", "id-3")),
    ],
    ids=["silence", "refused", "reset", "silence at the last"],
)
async def test_smpp_the_ids_of_the_segments_that_were_taken(then: smsc.Behaviour, taken: tuple[str, ...]) -> None:
    async with smsc.running(submit=smsc.in_turn(smsc.taken, then)) as other:
        made = smsc.provider(other.port, timeout="300ms")
        outcome = await made.send(subjects.submission(text=LONG, segments=3))
        await made.close()
    assert isinstance(outcome, message.Uncertain)
    assert outcome.ids == taken
    assert outcome.detail.startswith(f"{len(taken)} of 3 segments were taken")


async def test_smpp_ids_of_taken_segments_are_written_as_receipts_will() -> None:
    async def accept(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        connection.accept(pdu, "0A1B")
        other.submit = smsc.silent

    async with smsc.running(submit=accept) as other:
        made = smsc.provider(other.port, timeout="300ms", receipt_id="decimal")
        outcome = await made.send(subjects.submission(text=LONG, segments=3))
        await made.close()
    assert isinstance(outcome, message.Uncertain)
    assert outcome.ids == ("2587",)


# --- answers after the deadline ---------------------------------------------------------------------------------------


async def test_smpp_a_late_yes_is_heard_with_its_id() -> None:
    async with sent("Hello", 1) as (outcome, slow, ear, other):
        assert isinstance(outcome, message.Uncertain)
        slow.accept("late-1")
        heard = await ear.one()
        slow.accept("late-1")  # once
        await echo(other)
    assert isinstance(heard, message.Accepted)
    assert heard.ids == ("late-1",)
    assert heard.detail
    assert ear.heard == [heard]
    assert len(other.submits) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [(0x0B, message.Rejected), (0x58, message.Retry), (0x0E, message.ProviderDown), (0x457, message.Uncertain)],
)
async def test_smpp_a_late_no_is_heard_as_what_it_means(status: int, kind: type[message.Outcome]) -> None:
    async with sent("Hello", 1, codes={0x457: "uncertain"}) as (_, slow, ear, _other):
        slow.refuse(status)
        heard = await ear.one()
    assert type(heard) is kind
    assert int(heard.code, 16) == status


async def test_smpp_a_late_yes_in_the_middle_names_one_more_segment() -> None:
    async with sent(LONG, 2) as (outcome, slow, ear, other):
        assert isinstance(outcome, message.Uncertain)
        assert outcome.ids == ("id1",)
        slow.accept("late-2")
        heard = await ear.one()
        assert len(other.submits) == 2  # the third is not sent on its own
    assert isinstance(heard, message.Uncertain)
    assert heard.ids == ("id1", "late-2")
    assert heard.detail.startswith("2 of 3 segments were taken")


async def test_smpp_a_late_yes_at_the_end_makes_the_text_whole() -> None:
    async with sent(LONG, 3) as (outcome, slow, ear, _):
        assert isinstance(outcome, message.Uncertain)
        slow.accept("late-3")
        heard = await ear.one()
    assert isinstance(heard, message.Accepted)
    assert heard.ids == ("id1", "id2", "late-3")


async def test_smpp_a_late_no_in_the_middle_leaves_half_a_text() -> None:
    async with sent(LONG, 2) as (_, slow, ear, _other):
        slow.refuse(0x0B)
        heard = await ear.one()
    assert isinstance(heard, message.Uncertain)
    assert (heard.ids, heard.code) == (("id1",), "0x0b")
    assert heard.detail.startswith("1 of 3 segments were taken")


async def test_smpp_late_answers_belong_to_their_own_messages() -> None:
    ears = [Ear() for _ in range(5)]
    slow = Slow(frozenset(range(1, 6)))
    async with smsc.running(submit=slow) as other:
        made = smsc.provider(other.port, timeout="300ms", window=5)
        sends = [made.send(subjects.submission(ref=f"m{n}", to=f"+4860010020{n}", late=ears[n])) for n in range(5)]
        outcomes = await asyncio.gather(*sends)
        assert {type(one) for one in outcomes} == {message.Uncertain}
        for at in (3, 0, 4, 1):
            slow.accept(smsc.read(slow.kept[at][1]).destination_addr.decode(), at)
        for n, ear in enumerate(ears):
            owner = [at for at in range(5) if smsc.read(slow.kept[at][1]).destination_addr.endswith(str(n).encode())]
            if owner != [2]:
                heard = await ear.one()
                assert isinstance(heard, message.Accepted)
                assert heard.ids == (f"4860010020{n}",)
        await echo(other)
        assert sorted(len(ear.heard) for ear in ears) == [0, 1, 1, 1, 1]
        await made.close()


async def test_smpp_what_is_no_answer_to_it_is_not_heard() -> None:
    async with sent("Hello", 1) as (_, slow, ear, other):
        connection, pdu = slow.kept[0]
        connection.send(smsc.ENQUIRE | smsc.RESPONSE, pdu.sequence)
        connection.send(smsc.SUBMIT | smsc.RESPONSE, pdu.sequence + 1000, b"other\0")
        await echo(other)
        assert ear.heard == []
        connection.send(smsc.NACK, pdu.sequence, status=0x03)
        heard = await ear.one()
    assert (type(heard), heard.code) == (message.Rejected, "0x03")


async def test_smpp_on_the_next_connection_nobody_waits_for_it() -> None:
    slow, ear = Slow(frozenset({1})), Ear()
    async with smsc.running(submit=slow) as other:
        made = smsc.provider(other.port, timeout="300ms")
        await made.send(subjects.submission(late=ear))
        other.connections[0].cut()
        while len(other.connections) < 2:
            await made.send(subjects.submission(ref="another"))
        sequence = slow.kept[0][1].sequence
        other.connections[1].send(smsc.SUBMIT | smsc.RESPONSE, sequence + 100, b"id\0")
        await echo(other)
        assert ear.heard == []
        await made.close()


async def test_smpp_an_smsc_that_never_answers_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smpp_session, "MOST_OVERDUE", 2)
    ears = [Ear() for _ in range(4)]
    slow = Slow(frozenset(range(1, 5)))
    async with smsc.running(submit=slow) as other:
        made = smsc.provider(other.port, timeout="200ms", window=1)
        for ear in ears:
            assert isinstance(await made.send(subjects.submission(late=ear)), message.Uncertain)
        for at in range(4):
            slow.accept(f"late-{at}", at)
        await echo(other)
        assert [len(ear.heard) for ear in ears] == [0, 0, 1, 1]  # the newest
        await made.close()


async def test_smpp_an_answer_in_time_is_no_late_one() -> None:
    async with sent("Hello") as (outcome, _, ear, other):
        assert outcome == message.Accepted(ids=("id1",))
        await echo(other)
    assert ear.heard == []


def test_smpp_submissions_are_the_same_whoever_listens() -> None:
    heard: list[ports.Submission] = [subjects.submission(), subjects.submission(late=print)]
    assert heard[0] == heard[1]
    heard[0].late(message.Accepted())  # nobody
