"""What `agi-sms send-test` tells of a message, and what it makes of its end."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agi_sms import message, ports, sendtest, show
from agi_sms.message import Reason, Status
from tests.unit.test_show import FUTURE, NOW, attempted, kept, make_message, make_story

WAIT = timedelta(seconds=60)


def told(one: message.Message, *attempts: ports.Attempt) -> list[str]:
    return [line for _, line in sendtest.events(make_story(one, attempts=attempts))]


def test_every_step_is_told_in_its_order() -> None:
    refused = attempted(outcome="retry", code="429", detail="slow \x1b[2J down", provider_ids=())
    taken = attempted(id="t2", n=2, receipts=(kept(Status.ACCEPTED), kept(Status.DELIVERED, code="404")))
    assert told(make_message(status=Status.DELIVERED), refused, taken) == [
        "attempt 1 by first",
        "retry after 150ms: 429 slow \\x1b[2J down",
        "attempt 2 by first",
        "accepted after 150ms: id=p-77",
        "receipt: accepted",
        "receipt: delivered, 404",
        "delivered",
    ]


def test_what_was_told_before_keeps_its_key() -> None:
    opened = attempted(ended_at=None, outcome="", provider_ids=())
    before = [key for key, _ in sendtest.events(make_story(make_message(status=Status.SENDING), attempts=(opened,)))]
    ended = replace(opened, ended_at=NOW, outcome="accepted")
    after = [key for key, _ in sendtest.events(make_story(make_message(), attempts=(ended,)))]
    assert after[: len(before)] == before
    assert len(set(after)) == len(after) > len(before)


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.SENDING])
def test_nothing_is_told_before_something_happens(status: Status) -> None:
    assert told(make_message(status=status)) == []


def test_how_it_stands_is_told_last() -> None:
    again = make_message(status=Status.SCHEDULED)
    assert told(again, attempted(outcome="retry"))[-1] == f"goes out again {show.local(NOW)}"
    doubt = make_message(status=Status.UNCERTAIN, reason=Reason.UNANSWERED)
    assert told(doubt, attempted(outcome="uncertain"))[-1].startswith("uncertain; a receipt may settle it, until ")
    assert told(make_message(receipt_due_at=FUTURE))[-1] == "accepted; its receipt is waited for"
    rejected = make_message(status=Status.FAILED, reason=Reason.REJECTED)
    assert told(rejected)[-1] == f"failed: {show.REASONS[Reason.REJECTED]}"


@pytest.mark.parametrize(
    ("one", "ended", "right", "words"),
    [
        (make_message(status=Status.DELIVERED), True, True, "delivered: "),
        (make_message(), True, True, "accepted: the provider took it, and sends no receipts"),
        (make_message(receipt_due_at=FUTURE), False, False, "accepted, and no receipt within 1m; it still counts"),
        (make_message(status=Status.FAILED, reason=Reason.REJECTED), True, False, "not sent: failed"),
        (make_message(status=Status.HELD, reason=Reason.UNANSWERED), True, False, "not sent: held"),
        (make_message(status=Status.HELD, reason=Reason.PROVIDER_MISSING), True, False, "the running gateway does not"),
        (make_message(status=Status.UNCERTAIN), False, False, "uncertain: nobody knows"),
        (make_message(status=Status.SCHEDULED, attempts=2), False, False, "not taken within 1m; it is given up at "),
        (make_message(status=Status.SCHEDULED, attempts=0), False, False, "not tried within 1m: the gateway is busy"),
    ],
)
def test_the_verdict(one: message.Message, ended: bool, right: bool, words: str) -> None:
    assert sendtest.ended(one) is ended
    found = sendtest.verdict(one, WAIT, NOW)
    assert found[0] is right
    assert found[1].startswith(words)


@pytest.mark.parametrize("status", Status)
def test_no_status_is_without_a_verdict(status: Status) -> None:
    right, words = sendtest.verdict(make_message(status=status), WAIT, NOW)
    assert words
    assert right is (status in (Status.ACCEPTED, Status.DELIVERED))
    assert not sendtest.verdict(None, WAIT, NOW)[0]
