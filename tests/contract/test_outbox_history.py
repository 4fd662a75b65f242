"""What every outbox does for a person: history, one message's story, cancel and retry."""

from agi_sms import message, ports
from tests.contract import stores
from tests.contract.stores import HOUR, MINUTE, SECOND, activation, admit, draft, only, statuses, story

S = message.Status
R = message.Reason


async def test_history(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    start = clock()
    for number, (node_name, recipient) in enumerate(
        [("a", "+48600100200"), ("b", "+48600100201"), ("a", "+49151999200"), ("a", "anonymous")]
    ):
        await outbox.admit(activation(f"v{number}", clock, key=f"k{number}", node=node_name), [draft(clock, recipient)])
        clock.advance(MINUTE)

    async def found(**conditions: object) -> str:
        query = ports.Query(**conditions)  # type: ignore[arg-type]
        return "".join(str(int((one.created_at - start) / MINUTE)) for one in await outbox.history(query))

    assert await found() == "3210"
    assert await found(limit=2) == "32"
    assert await found(node="a") == "320"
    assert await found(node="a", number="200") == "20"
    assert await found(number="00200") == "0"
    assert await found(number="00") == ""  # too short for an end
    assert await found(number="+48 600 100-201") == "1"
    assert await found(number="+49151") == ""
    assert await found(number="anonymous") == "3"
    assert await found(number="%") == ""
    assert await found(status=S.SCHEDULED) == "3210"
    assert await found(status=S.FAILED) == ""
    assert await found(call_id="call-k1") == "1"
    assert await found(since=start + MINUTE, until=start + 3 * MINUTE) == "21"
    one = (await outbox.history(ports.Query(call_id="call-k2")))[0]
    assert await found(message_id=one.id) == "2"
    assert await found(message_id=one.id[-6:]) == "2"
    assert "2" in await found(message_id=one.id[:4])
    assert await found(message_id=one.id[-1:]) == ""
    assert (await story(outbox, one.id[-6:])).message == one
    assert await outbox.story(one.id[:4]) is None  # several begin so
    assert await outbox.story("nothing") is None


async def test_cancel_and_retry(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    made = [(await admit(outbox, f"v{n}", clock, due_at=clock() + n * SECOND))[0].message_id for n in range(4)]
    [sending] = await stores.claim(outbox, 9, HOUR)
    assert await outbox.cancel(ports.Query(message_id=made[1][:4]), "ann") == 0  # fits all of them
    assert await outbox.cancel(ports.Query(message_id=made[3][-5:]), "ann") == 1
    assert await outbox.cancel(ports.Query(node="after-hours", status=S.HELD), "ann") == 0
    assert await outbox.cancel(ports.Query(node="after-hours"), "ann") == 2
    assert await outbox.cancel(ports.Query(node="after-hours"), "ann") == 0
    assert await statuses(outbox) == ["sending", "cancelled", "cancelled", "cancelled"]
    assert (await only(outbox, message_id=made[1])).reason is R.OPERATOR
    assert await stores.claim(outbox, 9, HOUR) == []
    clock.advance(10 * HOUR)
    assert await stores.again(outbox, ports.Query(message_id=made[1]), "bob") == 1
    again = await only(outbox, message_id=made[1])
    assert (again.status, again.reason, again.due_at) == (S.SCHEDULED, None, clock())
    assert again.expires_at == clock() + 24 * HOUR
    assert [(e.who, e.what, e.at) for e in (await story(outbox, made[1])).events] == [
        ("ann", "cancel", clock() - 10 * HOUR),
        ("bob", "retry", clock()),
    ]
    assert sending.message.id == made[0]


async def test_a_retry_by_a_person_starts_the_count_of_attempts_anew(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    [made] = await admit(outbox, "v1", clock, due_at=clock())
    for _ in range(2):
        [lease] = await stores.claim(outbox, 1, HOUR)
        assert lease.message.attempts == 0
        attempt = await outbox.begin(lease, "acme")
        assert attempt is not None
        decision = ports.Decision(status=S.FAILED, reason=R.GAVE_UP)
        assert await outbox.finish(lease, attempt, message.Retry(), decision)
        assert (await only(outbox)).attempts == 1
        assert await stores.again(outbox, ports.Query(message_id=made.message_id), "ann") == 1
    assert [one.n for one in (await story(outbox, made.message_id)).attempts] == [1, 2]
