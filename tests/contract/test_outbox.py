"""What every outbox does: admission, once per call, limits, leases, history, and trouble with disk and neighbours."""

import asyncio
from datetime import timedelta

import pytest

from agi_sms import call, errors, message, node, ports
from tests.contract import stores
from tests.contract.stores import HOUR, MINUTE, SECOND, activation, admit, draft, statuses

ACCEPTED = ports.Decision(status=message.Status.ACCEPTED)
S = message.Status
R = message.Reason


# --- admission -------------------------------------------------------------------------------------------------


async def test_everything_that_was_stored_comes_back(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    visit = call.Visit(
        id="v1",
        node="after-hours",
        call=call.Call(
            pbx="pbx1",
            key="pbx1/1700000000.1",
            call_id="1700000000.1",
            channel_id="1700000000.7",
            linkedid="1700000000.0",
            caller="+48600100200",
            presentation="allowed_passed_screen",
            caller_name='Zoë "x", recipients=\\ \n\t',
            dialled="+48221131415",
            diverted_from="+48221131400",
            trunk="acme",
            variables={"ORDER": "ąę\x00\U0001f600", "EMPTY": ""},
        ),
        entry=call.Entry.ASTDB,
        arrived_at=clock() - HOUR,
        recipients="+49",
        sender="",
        delay="5m",
    )
    drafts = [
        draft(
            clock,
            "+48600100200",
            source=message.Source.CALLER,
            encoding=message.Encoding.UCS2,
            text="Zażółć",
            segments=2,
        ),
        draft(clock, "anonymous", status=S.SKIPPED, reason=R.CALLER_INVALID, text=None, route=()),
    ]
    admission = await outbox.admit(ports.Activation(id="a1", visit=visit, node_revision="r7"), drafts)
    assert admission.new
    assert admission.count == 1
    await outbox.close()

    again = await outbox_factory.open()
    story = await again.story(admission.messages[0].message_id)
    assert story is not None
    assert story.visit == visit
    assert story.node_revision == "r7"
    assert story.attempts == ()
    assert story.message == message.Message(
        id=admission.messages[0].message_id,
        activation_id="a1",
        node="after-hours",
        call_id="1700000000.1",
        recipient="+48600100200",
        source=message.Source.CALLER,
        status=S.SCHEDULED,
        reason=None,
        sender="Acme",
        text="Zażółć",
        encoding=message.Encoding.UCS2,
        segments=2,
        route=("main", "spare"),
        provider="main",
        created_at=visit.arrived_at,
        due_at=clock(),
        expires_at=clock() + 24 * HOUR,
        first_due_at=clock(),
    )
    assert [(one.recipient, one.reason, one.text) for one in story.siblings] == [("anonymous", R.CALLER_INVALID, None)]
    await again.close()


async def test_a_visit_is_stored_once_and_answered_the_same(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    drafts = [draft(clock, "+1", once=True), draft(clock, "+2", status=S.SKIPPED, reason=R.LANDLINE)]
    batch = await asyncio.gather(*(outbox.admit(activation("v1", clock), drafts) for _ in range(5)))
    assert sorted(one.new for one in batch) == [False] * 4 + [True]
    [lease] = await stores.claim(outbox, 9, MINUTE)
    await outbox.settle(lease, ports.Decision(status=S.FAILED))
    late = await outbox.admit(activation("v1", clock), drafts)
    assert not late.new
    assert {one.messages for one in (*batch, late)} == {batch[0].messages}  # also after it failed
    assert late.count == 1
    assert (await outbox.admit(activation("v1", clock, pbx="pbx2"), drafts)).new
    assert len(await outbox.history(ports.Query())) == 4


async def test_once_per_call(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock

    async def visit(name: str, key: str, recipient: str = "+1", node_name: str = "n", once: bool = True) -> str:
        made = await outbox.admit(
            activation(name, clock, key=key, node=node_name), [draft(clock, recipient, once=once)]
        )
        return f"{made.messages[0].status} {made.messages[0].reason}"

    assert await visit("v1", "call1") == "scheduled None"
    assert await visit("v2", "call1") == "skipped duplicate_in_call"
    assert await visit("v3", "call1", once=False) == "scheduled None"
    assert await visit("v4", "call1", recipient="+2") == "scheduled None"
    assert await visit("v5", "call1", node_name="m") == "scheduled None"
    assert await visit("v6", "call2") == "scheduled None"
    assert await outbox.cancel(ports.Query(call_id="call-call1"), "ann") == 4
    assert await visit("v7", "call1") == "skipped duplicate_in_call"  # nobody gets several, not even then
    await outbox.close()
    outbox = await outbox_factory.open()
    made = await outbox.admit(activation("v8", clock, key="call2", node="n"), [draft(clock, "+1", once=True)])
    assert made.messages[0].reason is R.DUPLICATE_IN_CALL
    assert made.count == 0
    await outbox.close()


async def test_what_was_never_to_be_sent_does_not_count_as_sent(
    outbox_factory: stores.Store, outbox: ports.Outbox
) -> None:
    clock = outbox_factory.clock
    skipped = draft(clock, "+1", once=True, status=S.SKIPPED, reason=R.LANDLINE)
    await outbox.admit(activation("v1", clock, key="c"), [skipped, draft(clock, "+1", once=True)])
    assert await statuses(outbox) == ["skipped", "scheduled"]
    waiting = draft(clock, "+1", once=True, status=S.WAITING, text=None)
    made = await outbox.admit(activation("v2", clock, key="c"), [waiting])
    assert made.messages[0].reason is R.DUPLICATE_IN_CALL


async def test_limits(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    limits = (
        node.Limit(per="recipient", most=2, window=HOUR),
        node.Limit(per="node", most=3, window=24 * HOUR),
    )

    async def send(visit: str, recipient: str, node_name: str = "n") -> message.Reason | None:
        drafts = [
            draft(clock, recipient, once=True),
            draft(clock, recipient, status=S.SKIPPED, reason=R.LANDLINE),  # not sent, not counted
        ]
        made = await outbox.admit(activation(visit, clock, key="c" + visit[1:], node=node_name), drafts, limits)
        return made.messages[0].reason

    assert await send("v1", "+1") is None
    assert await send("w1", "+1") is R.DUPLICATE_IN_CALL  # not counted either
    assert await send("v2", "+1") is None
    assert await send("v3", "+1") is R.CAPPED
    assert await send("v4", "+1", "other") is None
    assert await send("v5", "+2") is None
    assert await send("v6", "+3") is R.CAPPED  # the node's three are used up
    clock.advance(HOUR)
    assert await send("v7", "+1") is R.CAPPED  # that one still
    clock.advance(24 * HOUR)
    await stores.claim(outbox, 1, MINUTE)
    assert await send("v8", "+1") is None
    assert await send("w3", "+1") is None  # its call was capped the first time: nothing was sent in it


async def test_one_bad_activation_harms_nobody(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    bad = activation("bad", clock, caller_name="half a letter: \ud800")
    worse = activation("worse", clock)
    results = await asyncio.gather(
        *(outbox.admit(activation(f"v{n}", clock), [draft(clock)]) for n in range(10)),
        outbox.admit(bad, [draft(clock)]),
        outbox.admit(worse, [draft(clock), draft(clock, text="\udfff")]),
        *(outbox.admit(activation(f"v{n}", clock), [draft(clock)]) for n in range(10, 20)),
        return_exceptions=True,
    )
    refused = [type(one) for one in results if isinstance(one, BaseException)]
    assert refused == [errors.OutboxRefused] * 2
    assert await statuses(outbox) == ["scheduled"] * 20
    assert (await outbox.admit(activation("worse", clock), [draft(clock)])).new  # no half of it was left


async def test_a_waiter_that_gives_up_breaks_nothing(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    tasks = [asyncio.ensure_future(outbox.admit(activation(f"v{n}", clock), [draft(clock)])) for n in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, ports.Admission) for one in done) == 9
    assert not (await outbox.admit(activation("v3", clock), [draft(clock)])).new  # the call was real
    assert await statuses(outbox) == ["scheduled"] * 10


async def test_returned_is_written_soon(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    [made] = await admit(outbox, "v1", clock)
    await outbox.returned("act-pbx1-v1", clock() + SECOND)
    async with asyncio.timeout(stores.PATIENT):
        while True:
            story = await outbox.story(made.message_id)
            assert story is not None
            if story.returned_at is not None:
                break
            await asyncio.sleep(0.02)
    assert story.returned_at == clock() + SECOND


# --- neighbours, crashes, disks ---------------------------------------------------------------------------------


async def test_what_was_answered_survives_a_kill(outbox_factory: stores.Store) -> None:
    told = []
    with outbox_factory.child("admit", "v", "100000") as child:
        assert await child.line() == "ready"
        child.go_on()
        async for line in child.lines():
            told.append(line.split()[0])
            if len(told) == 23:
                child.kill()
                break
    outbox = await outbox_factory.open(owner=True)
    stored = {one.call_id for one in await outbox.history(ports.Query())}
    assert {f"call-{visit}" for visit in told} <= stored
    assert await statuses(outbox) == ["scheduled"] * len(stored)
    await outbox.close()


async def test_what_a_killed_gateway_was_sending(outbox_factory: stores.Store) -> None:
    outbox = await outbox_factory.open()
    for number in range(3):
        await admit(outbox, f"v{number}", outbox_factory.clock)
    with outbox_factory.child("attempt") as child:
        untouched = await child.line()
        child.kill()
    await outbox.close()
    outbox = await outbox_factory.open(owner=True)
    assert await outbox.recover() == ports.Recovery(rescheduled=1, uncertain=2)
    assert await outbox.recover() == ports.Recovery(rescheduled=0, uncertain=0)
    leases = await stores.claim(outbox, 9, MINUTE)
    before = {lease.message.id: lease.status_before for lease in leases}
    assert before.pop(untouched) is S.SCHEDULED
    assert list(before.values()) == [S.UNCERTAIN] * 2
    await outbox.close()


async def test_two_processes_admit_the_same_visits_once(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    clock = outbox_factory.clock
    with outbox_factory.child("admit", "v", "100") as child:
        assert await child.line() == "ready"
        child.go_on()
        mine = await asyncio.gather(
            *(outbox.admit(activation(f"v{n}", clock), [draft(clock)]) for n in reversed(range(100)))
        )
        theirs = [line.split() async for line in child.lines()]
        assert await child.end() == 0
    assert sum(one.new for one in mine) + sum(new == "True" for _, new in theirs) == 100
    assert len(await outbox.history(ports.Query())) == 100


async def test_two_processes_never_claim_the_same(outbox_factory: stores.Store, outbox: ports.Outbox) -> None:
    for number in range(60):
        await admit(outbox, f"v{number}", outbox_factory.clock)
    mine: list[str] = []
    with outbox_factory.child("claim") as child:
        assert await child.line() == "ready"
        child.go_on()
        while leases := await stores.claim(outbox, 3, HOUR):
            mine += [lease.message.id for lease in leases]
        theirs = [line async for line in child.lines()]
        assert await child.end() == 0
    assert len(mine + theirs) == len({*mine, *theirs}) == 60


async def test_admissions_wait_while_another_process_holds_the_database(outbox_factory: stores.Store) -> None:
    clock = outbox_factory.clock
    outbox = await outbox_factory.open(busy_timeout=timedelta(milliseconds=50))
    with outbox_factory.child("hold") as child:
        assert await child.line() == "held"
        waiting = [asyncio.ensure_future(outbox.admit(activation(f"v{n}", clock), [draft(clock)])) for n in range(20)]
        claiming = asyncio.ensure_future(stores.claim(outbox, 1, HOUR))
        await asyncio.sleep(0)
        waiting[0].cancel()  # its caller has gone on, the call was real all the same
        done, _ = await asyncio.wait([*waiting[1:], claiming], timeout=0.5)  # several busy timeouts
        assert not done
        assert await outbox.history(ports.Query()) == []  # reading goes on meanwhile
        child.go_on()
        assert await child.end() == 0
    async with asyncio.timeout(stores.PATIENT):
        assert all(one.new for one in await asyncio.gather(*waiting[1:]))
        assert len(await claiming) == 1
    assert len(await outbox.history(ports.Query())) == 20
    await outbox.close()


async def test_patience_ends_in_busy_and_it_works_again(outbox_factory: stores.Store) -> None:
    clock = outbox_factory.clock
    moment = timedelta(milliseconds=50)
    outbox = await outbox_factory.open(busy_timeout=moment, patience=moment)
    with outbox_factory.child("hold") as child:
        assert await child.line() == "held"
        with pytest.raises(errors.OutboxBusy, match="another process"):
            await admit(outbox, "v1", clock)
        child.go_on()
        assert await child.end() == 0
    await admit(outbox, "v1", clock)
    assert await statuses(outbox) == ["scheduled"]
    await outbox.close()


async def full_disk(store: stores.Store) -> None:
    clock = store.clock
    outbox = await store.open()
    await store.fill(outbox)
    big = {"X": "x" * 100_000}
    results = await asyncio.gather(
        *(outbox.admit(activation(f"v{n}", clock, variables=big), [draft(clock)]) for n in range(60)),
        return_exceptions=True,
    )
    assert {type(one) for one in results} <= {ports.Admission, errors.OutboxFull}
    full = [n for n, one in enumerate(results) if isinstance(one, errors.OutboxFull)]
    assert full
    kept = {one.call_id for one in await outbox.history(ports.Query())}
    assert kept == {f"call-v{n}" for n in range(60) if n not in full}
    await store.make_room(outbox)
    assert (await outbox.admit(activation(f"v{full[0]}", clock), [draft(clock)])).new
    await outbox.close()


async def test_a_store_that_may_not_grow(outbox_factory: stores.Store) -> None:
    await full_disk(outbox_factory)


async def test_a_full_disk(small_disk: stores.Store) -> None:
    await full_disk(small_disk)


async def test_close_carries_out_what_waits(outbox_factory: stores.Store) -> None:
    clock = outbox_factory.clock
    outbox = await outbox_factory.open()
    waiting = [asyncio.ensure_future(outbox.admit(activation(f"v{n}", clock), [draft(clock)])) for n in range(30)]
    await asyncio.sleep(0)
    await outbox.returned("act-pbx1-v0", clock())
    await outbox.close()
    await outbox.close()
    assert all([(await one).new for one in waiting])
    with pytest.raises(errors.OutboxError, match="closed"):
        await admit(outbox, "late", clock)
    with pytest.raises(errors.OutboxError, match="closed"):
        await outbox.history(ports.Query())
    again = await outbox_factory.open()
    assert len(await again.history(ports.Query())) == 30
    await again.close()
