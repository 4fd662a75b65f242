"""What a row of the outbox says of itself."""

from datetime import UTC, datetime, timedelta

import pytest

from agi_sms import message
from agi_sms.message import Status

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MS = timedelta(milliseconds=1)


def make_message(status: Status, receipt_due_at: datetime | None) -> message.Message:
    return message.Message(
        id="m1",
        activation_id="a1",
        node="desk",
        call_id="1700000000.1",
        recipient="+48600100200",
        source=message.Source.CALLER,
        status=status,
        reason=None,
        sender="ACME",
        text="Hello",
        encoding=message.Encoding.GSM7,
        segments=1,
        route=("company",),
        created_at=NOW,
        due_at=NOW,
        expires_at=NOW + timedelta(days=1),
        receipt_due_at=receipt_due_at,
    )


@pytest.mark.parametrize(
    ("due_at", "overdue"), [(NOW - MS, True), (NOW, True), (NOW + MS, False), (None, False)], ids=str
)
def test_a_receipt_is_overdue_from_the_moment_when_it_is_due(due_at: datetime | None, overdue: bool) -> None:
    assert make_message(Status.ACCEPTED, due_at).receipt_overdue(NOW) is overdue


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.ACCEPTED])
def test_nothing_is_overdue_of_what_no_provider_has(status: Status) -> None:
    assert not make_message(status, NOW - MS).receipt_overdue(NOW)
