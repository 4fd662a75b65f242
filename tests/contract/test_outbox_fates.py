"""What receipts say of an attempt, and what that makes of its message; apart from any database."""

import itertools
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import message
from agi_sms.message import Status
from agi_sms.outbox import fates

A, D, F = Status.ACCEPTED, Status.DELIVERED, Status.FAILED
S = Status
WORDS = {"a": A, "d": D, "f": F, "?": Status.UNCERTAIN}


def said(text: str) -> list[tuple[str, Status]]:
    """`x:d` is a receipt that says delivered of the id x; `:d` names none."""
    return [(one.split(":")[0], WORDS[one.split(":")[1]]) for one in text.split()]


def verdict_of(ids: Sequence[str], told: Iterable[tuple[str, Status]], outcome: str = "") -> Status | None:
    """After all of them, one by one."""
    heard = fates.named(ids, outcome)
    for name, state in told:
        heard = fates.hear(heard, name, state)
    return heard.verdict


@pytest.mark.parametrize(
    ("ids", "told", "verdict"),
    [
        ("", "", None),
        ("", "x:?", None),  # a word that nobody knows
        ("x", "x:? x:d", D),
        ("xy", "x:d :? y:? x:?", A),
        ("x", "", None),
        ("", ":a", A),
        ("", ":d", D),
        ("", "x:f", F),
        ("", "x:d y:f", D),  # nothing is known of segments: the first last word counts
        ("", "x:f y:d", F),
        ("x", "x:a x:d", D),
        ("x", "x:d x:a", D),
        ("x", "x:d x:f", D),
        ("x", "x:f x:d", F),
        ("x", "0x78:d", D),  # the same, written in another way
        ("xy", "x:d", A),
        ("xy", "x:d x:d", A),
        ("xy", "x:d x:f", A),  # contradicts itself: delivered was its last word
        ("xy", "x:d x:f y:d", D),
        ("xy", "y:d x:d", D),
        ("xy", "y:d x:f", F),
        ("xy", "y:f x:d", F),
        ("xy", "x:a y:a", A),
        ("xy", ":d", D),
        ("xy", ":f", F),
        ("xy", "x:d :d", D),
        ("xy", "0x78:d 0x79:d", A),  # the answer never gave these
        ("xy", "x:d z:d", A),
        ("xy", "z:d z:d x:d y:d", D),
        ("xy", "z:d z:f", F),
        # the same id for each segment: as many words as there are segments, and nobody knows which is whose
        ("xxx", "x:d", A),
        ("xxx", "x:d x:d", A),
        ("xxx", "x:d x:d x:d", D),
        ("xxx", "x:d x:d x:f", F),
        ("xxx", "x:d x:d x:d x:f", D),
        ("xxx", "x:f", F),
        ("xxx", "x:d :d", D),
        ("xxy", "x:d y:d", A),
        ("xxy", "x:d x:d x:d", A),
        ("xxy", "x:d y:d x:d", D),
    ],
)
def test_verdict(ids: str, told: str, verdict: Status | None) -> None:
    assert verdict_of(ids, said(told)) is verdict


@pytest.mark.parametrize("outcome", ["rejected", "retry", "provider_down"])
@pytest.mark.parametrize(
    ("told", "verdict"), [(":a", None), (":f", None), ("x:f :a", None), (":d", D), ("x:f y:a x:d", D), (":d :f", D)]
)
def test_verdict_where_it_was_certainly_not_taken(outcome: str, told: str, verdict: Status | None) -> None:
    assert verdict_of("", said(told), outcome) is verdict


@given(
    ids=st.lists(st.sampled_from("xyz"), max_size=4),
    told=st.lists(st.tuples(st.sampled_from(["", "x", "y", "z", "w"]), st.sampled_from([A, D, F])), max_size=8),
)
def test_a_last_word_is_the_last(ids: list[str], told: list[tuple[str, Status]]) -> None:
    so_far = [verdict_of(ids, told[:n]) for n in range(len(told) + 1)]
    assert so_far[0] is None
    for before, after in itertools.pairwise(so_far):
        assert after is not None
        assert before not in (D, F) or after is before


@given(data=st.data(), ids=st.sets(st.sampled_from("xyz"), min_size=1))
def test_where_nobody_contradicts_himself_the_order_is_nothing(data: st.DataObject, ids: set[str]) -> None:
    truth = {name: data.draw(st.sampled_from([D, F])) for name in sorted(ids)}
    words = st.sampled_from([(name, word) for name in sorted(ids) for word in (A, truth[name])])
    told = data.draw(st.lists(words, max_size=8))
    assert verdict_of(sorted(ids), told) is verdict_of(sorted(ids), data.draw(st.permutations(told)))


@pytest.mark.parametrize(
    ("ids", "told", "verdict"),
    [
        ("x", "", None),
        ("x", "x:a", None),
        ("x", "x:d", None),
        ("x", "0x78:d", None),
        ("x", "x:f", F),
        ("x", "x:d x:f", None),  # contradicts itself: delivered was its last word
        ("x", ":a", A),
        ("x", ":d", D),
        ("x", "x:d :d", D),
        ("xy", "x:d y:d", None),
        ("xy", "x:d y:f", F),
        ("xy", "y:f x:d", F),
    ],
)
def test_verdict_where_not_all_segments_were_taken(ids: str, told: str, verdict: Status | None) -> None:
    assert verdict_of(ids, said(told), "uncertain") is verdict


@given(
    ids=st.lists(st.sampled_from("xyz"), min_size=1, max_size=4),
    told=st.lists(st.tuples(st.sampled_from(["", "x", "y", "w"]), st.sampled_from([A, D, F])), max_size=8),
)
def test_a_last_word_is_the_last_of_a_part_too(ids: list[str], told: list[tuple[str, Status]]) -> None:
    so_far = [verdict_of(ids, told[:n], "uncertain") for n in range(len(told) + 1)]
    for before, after in itertools.pairwise(so_far):
        assert before not in (D, F) or after is before
    assert so_far[-1] is not D or ("", D) in told


def tried(text: str) -> list[fates.Tried]:
    """`uncertain/f` is an attempt with that outcome whose receipts say failed; `/` is under way."""
    parts = [one.split("/") for one in text.split()]
    return [fates.Tried(n=n, outcome=out, verdict=WORDS.get(word)) for n, (out, word) in enumerate(parts, start=1)]


@pytest.mark.parametrize(
    ("status", "attempts", "before", "after"),
    [
        (S.ACCEPTED, "accepted/", 0, None),
        (S.ACCEPTED, "accepted/a", 0, None),
        (S.ACCEPTED, "accepted/d", 0, D),
        (S.ACCEPTED, "accepted/f", 0, F),
        (S.DELIVERED, "accepted/d", 0, None),
        (S.FAILED, "accepted/f", 0, None),
        (S.UNCERTAIN, "uncertain/", 0, None),
        (S.UNCERTAIN, "uncertain/a", 0, A),
        (S.UNCERTAIN, "uncertain/f", 0, F),
        (S.HELD, "uncertain/a", 0, A),
        (S.HELD, "", 0, None),
        (S.SCHEDULED, "retry/", 0, None),
        # who took nothing decides nothing
        *((S.SCHEDULED, f"{no}/{word}", 0, None) for no in ("retry", "provider_down", "rejected") for word in "af"),
        (S.SCHEDULED, "retry/d", 0, D),
        (S.UNCERTAIN, "uncertain/ retry/f", 0, None),
        (S.HELD, "uncertain/ retry/a", 0, None),
        # the newest that may have been taken decides
        (S.UNCERTAIN, "uncertain/f retry/", 0, F),
        (S.UNCERTAIN, "uncertain/f uncertain/", 0, None),
        (S.UNCERTAIN, "uncertain/ uncertain/f", 0, F),
        (S.UNCERTAIN, "uncertain/a uncertain/", 0, A),
        (S.UNCERTAIN, "uncertain/a retry/", 0, A),
        (S.UNCERTAIN, "accepted/ uncertain/", 0, A),
        (S.HELD, "accepted/ uncertain/", 0, A),
        (S.SCHEDULED, "uncertain/ accepted/", 0, A),
        (S.HELD, "uncertain/a rejected/", 0, A),
        (S.ACCEPTED, "uncertain/f accepted/", 0, None),
        (S.ACCEPTED, "uncertain/a accepted/f", 0, F),
        (S.ACCEPTED, "retry/f accepted/", 0, None),
        # what came before a person's retry says only that the phone has it
        (S.SCHEDULED, "uncertain/f", 1, None),
        (S.SCHEDULED, "uncertain/a", 1, None),
        (S.SCHEDULED, "uncertain/d", 1, D),
        (S.UNCERTAIN, "uncertain/a uncertain/", 1, None),
        (S.UNCERTAIN, "uncertain/a uncertain/f", 1, F),
        (S.ACCEPTED, "accepted/f accepted/", 1, None),
        # what has ended stays so, unless the phone has it after all
        *((final, "uncertain/a", 0, None) for final in sorted(message.FINAL)),
        *((final, "uncertain/f", 0, None) for final in sorted(message.FINAL)),
        *((final, "uncertain/d", 0, D) for final in sorted(message.FINAL - {D})),
        (S.FAILED, "uncertain/d accepted/f", 0, D),
    ],
)
def test_settled(status: Status, attempts: str, before: int, after: Status | None) -> None:
    assert fates.settled(status, tried(attempts), before) is after


@pytest.mark.parametrize(
    ("status", "attempts", "before", "n", "cleared"),
    [
        (S.UNCERTAIN, "rejected/", 0, 1, True),
        (S.HELD, "retry/", 0, 1, True),
        (S.UNCERTAIN, "uncertain/ provider_down/", 0, 2, False),
        (S.UNCERTAIN, "retry/ uncertain/", 0, 1, False),
        (S.UNCERTAIN, "retry/a", 0, 1, True),
        (S.HELD, "retry/", 1, 1, False),  # held for another reason since a person's retry
        (S.UNCERTAIN, "uncertain/ retry/", 1, 2, True),
        *((other, "rejected/", 0, 1, False) for other in sorted(set(Status) - {S.UNCERTAIN, S.HELD})),
    ],
)
def test_cleared(status: Status, attempts: str, before: int, n: int, cleared: bool) -> None:
    assert fates.cleared(status, tried(attempts), before, n) is cleared
