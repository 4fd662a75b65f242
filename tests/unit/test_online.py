"""Asking the nodes' APIs once for people: what is asked, what is told of it, and that nobody waits for anybody."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agi_sms import config, online, plan, show, trigger
from agi_sms.message import Reason, Status
from tests.contract import peer

SECRETS = {"SHOP_TOKEN": "hunter2hunter2", "SHOP_SECRET": "correct-horse-battery"}


def load(folder: Path, *, content: object = None, **nodes: dict[str, Any]) -> config.Config:
    """A configuration with these nodes, whose callers get the SMS."""
    tree: dict[str, Any] = {"nodes": {name: {"send_to_caller": True} | one for name, one in nodes.items()}}
    if content is not None:
        tree["content"] = content
    (folder / "agi-sms.yaml").write_text(json.dumps(tree), encoding="utf-8")
    return config.load(folder / "agi-sms.yaml", SECRETS)


def shop(asked: peer.Peer, **api: Any) -> dict[str, Any]:
    """A node that asks this peer."""
    beside = {key: api.pop(key) for key in ("text", "fallback") if key in api}
    return {"content": {"api": {"url": f"{asked.url}/sms", "response": "json", "timeout": "10s"} | api} | beside}


@contextlib.asynccontextmanager
async def answering(body: object, status: int = 200, **headers: str) -> AsyncIterator[peer.Peer]:
    """A peer that answers JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    async with peer.running(peer.answer(status, data, headers)) as shop:
        yield shop


async def told_of(loaded: config.Config, *names: str) -> list[online.Told]:
    found: list[online.Told] = []
    right = await online.ask(loaded, online.samples(loaded, names or loaded.nodes), found.append)
    assert right == all(told.right for told in found)
    return found


async def lines_of(folder: Path, node: dict[str, Any]) -> tuple[online.Told, list[str]]:
    (told,) = await told_of(load(folder, a=node))
    return told, list(online.lines(told))


# --- what is asked ----------------------------------------------------------------------------------------------


async def test_the_question_is_a_test_with_sample_values(tmp_path: Path) -> None:
    async with answering({"message": "Hello"}) as asked:
        await told_of(load(tmp_path, a=shop(asked, vars=["ORDER_ID"], body="json")))
    (request,) = asked.requests
    assert request.headers["agi-sms-test"] == "1"
    values = json.loads(request.body)
    assert values.pop("activation_id").startswith("test-")
    assert values.pop("call_id").startswith("trigger-")
    assert values == {
        "from_number": "+48600100200",
        "to_number": "+48221131415",
        "node": "a",
        "pbx": "none",
        "ORDER_ID": "12345",
    }


async def test_only_nodes_with_an_api_are_asked_and_each_once(tmp_path: Path) -> None:
    async with answering({"message": "Hello"}) as asked:
        loaded = load(tmp_path, b=shop(asked), own={"content": {"text": "Hi"}}, a=shop(asked, retries=5))
        assert [told.visit.node for told in await told_of(loaded)] == ["b", "a"]
        assert [told.visit.node for told in await told_of(loaded, "a")] == ["a"]
        assert await told_of(loaded, "own") == []
    assert len(asked.requests) == 3


async def test_nobody_waits_for_anybody_and_no_host_gets_more_than_its_share(tmp_path: Path) -> None:
    """The answers come only when as many are asked at once as may be, and no more ever are."""
    share, names = 3, [f"n{at}" for at in range(9)]
    under_way: list[int] = [0, 0]
    full = asyncio.Event()

    async def behave(request: peer.Request, writer: asyncio.StreamWriter) -> bool:
        under_way[0] += 1
        under_way[1] = max(under_way)
        if under_way[0] == share:
            full.set()
        await full.wait()
        await asyncio.sleep(0)
        under_way[0] -= 1
        return await peer.answer(body=b'{"message": "Hello"}')(request, writer)

    async with peer.running(behave) as one, peer.running(peer.silence()) as other:
        nodes = {name: shop(one) for name in names}
        slow = shop(other, timeout="300ms")
        loaded = load(tmp_path, content={"concurrency": share}, slow=slow, **nodes)
        found = await told_of(loaded)
    assert [told.visit.node for told in found] == ["slow", *names]
    assert [told.right for told in found] == [False] + [True] * len(names)
    assert under_way[1] == share


async def test_being_cancelled_it_leaves_nothing_behind(tmp_path: Path) -> None:
    async with peer.running(peer.silence()) as asked:
        loaded = load(tmp_path, a=shop(asked), b=shop(asked))
        task = asyncio.create_task(told_of(loaded))
        await asked.arrived()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() - asked.tasks == {asyncio.current_task()}


# --- what is told -----------------------------------------------------------------------------------------------


async def test_a_whole_exchange(tmp_path: Path) -> None:
    async with answering({"message": "Zażółć gęślą jaźń"}) as asked:
        node = shop(
            asked,
            headers={"Authorization": "Bearer ${SHOP_TOKEN}", "X-Shop": "${SHOP_SECRET}"},
            sign={"secret": "${SHOP_SECRET}"},
            fields={"lang": "pl"},
        )
        told, lines = await lines_of(tmp_path, node)
    assert told.right
    assert lines[0] == f"  asked      POST {asked.url}/sms"
    assert "  header     Authorization: ***" in lines
    assert "  header     X-Shop: ***" in lines
    assert any(line.startswith("  header     Agi-Sms-Signature: sha256=") for line in lines)
    assert "  value      from_number=+48600100200" in lines
    assert "  value      lang=pl" in lines
    answered = next(line for line in lines if line.startswith("  answered"))
    assert answered.startswith("  answered   200, application/json, 41 bytes, after ")
    assert lines[-3:] == [
        '  body       {"message": "Zażółć gęślą jaźń"}',
        "  text       ucs2, 1 segment, 17 characters:",
        "             Zażółć gęślą jaźń",
    ]
    assert not any(secret in line for secret in SECRETS.values() for line in lines)


async def test_the_values_of_a_get_are_told_once(tmp_path: Path) -> None:
    async with answering({"message": "Hello"}) as asked:
        _, lines = await lines_of(tmp_path, shop(asked, method="GET", url=f"{asked.url}/sms?shop=12"))
    assert lines[0] == f"  asked      GET {asked.url}/sms"
    assert "  value      shop=12" in lines
    assert "\n".join(lines).count("%2B48600100200") == 0
    assert lines.count("  value      from_number=+48600100200") == 1


async def test_what_is_wider_than_the_terminal_goes_on_below(tmp_path: Path) -> None:
    async with answering({"message": "one two three " * 20, "much": ["word " * 9] * 9}) as asked:
        told, _ = await lines_of(tmp_path, shop(asked))
    lines = list(online.lines(told, 60))
    assert max(len(line) for line in lines if asked.url not in line) <= 60
    assert " ".join(" ".join(lines[-6:]).split()).endswith(("one two three " * 20).strip())


def test_a_closing_line_says_who_got_no_text() -> None:
    assert list(online.closing(35, ["slow", "down"])) == ["2 of 35 nodes got no text: slow, down"]
    assert list(online.closing(1, ["slow"])) == ["1 of 1 node got no text: slow"]
    assert list(online.closing(1, [])) == ["1 node asked: each API did its part"]
    assert max(map(len, online.closing(99, ["a-node"] * 50, 60))) <= 60


async def test_what_the_answer_decides_beside_its_text(tmp_path: Path) -> None:
    answer = {"message": "Hello", "sender": "SHOP", "delay": "5m", "recipients": ["+48600100201", "x"]}
    async with answering(answer) as asked:
        node = shop(asked, allow=["sender", "delay", "recipients"])
        told, lines = await lines_of(tmp_path, node)
        ignored, notes = await lines_of(tmp_path, shop(asked))
    due = show.local(told.visit.arrived_at + timedelta(minutes=5))
    assert told.right
    assert lines[-4:] == [
        "  sender     SHOP, as the answer says",
        f"  due        {due}, as the answer says",
        "  recipient  +48600100201, as the answer says",
        f"  recipient  x, as the answer says: skipped, {show.REASONS[Reason.RECIPIENT_INVALID]}",
    ]
    assert ignored.right
    assert notes[-1] == "  note       ignored, since allow does not name it: sender, delay, recipients"


async def test_nobody_is_to_get_one(tmp_path: Path) -> None:
    async with answering({"send": False}) as asked:
        told, lines = await lines_of(tmp_path, shop(asked, allow=["send"]))
    assert told.right
    assert lines[-2:] == [
        f"  declined   declined: {show.REASONS[Reason.DECLINED]}",
        "             200",
    ] or lines[-3:-1] == [f"  declined   declined: {show.REASONS[Reason.DECLINED]}", "             200"]


@pytest.mark.parametrize(
    ("policy", "end"),
    [
        ({"fallback": "Sorry"}, ["  fallback   gsm7, 1 segment, 5 characters:", "             Sorry"]),
        ({"on_error": "skip"}, ["  then       the messages are skipped"]),
        ({"on_error": "hold"}, ["  then       the messages are held"]),
        ({}, ["  then       the messages are held"]),
    ],
)
async def test_what_the_node_would_do_without_a_text(tmp_path: Path, policy: dict[str, Any], end: list[str]) -> None:
    async with answering({"status": "busy"}, status=503) as asked:
        told, lines = await lines_of(tmp_path, shop(asked, retries=3, **policy))
    assert not told.right
    assert f"  no text    content_refused: {show.REASONS[Reason.CONTENT_REFUSED]}" in lines
    assert "  again      for a call it would be asked again, up to 3 more times" in lines
    assert "             503 Service Unavailable" in lines
    assert lines[-len(end) :] == end
    assert '  body       {"status": "busy"}' in lines


async def test_a_host_that_is_not_there(tmp_path: Path) -> None:
    async with answering({}) as asked:
        pass
    told, lines = await lines_of(tmp_path, shop(asked))
    assert not told.right
    assert not any(line.startswith("  answered") for line in lines)
    assert f"  no text    content_unreachable: {show.REASONS[Reason.CONTENT_UNREACHABLE]}" in lines


async def test_a_template_around_the_answer(tmp_path: Path) -> None:
    async with answering({"order": {"id": 7, "status": "ready"}}) as asked:
        _, lines = await lines_of(tmp_path, shop(asked, text="Order {{ api.order.id }}: {{ api.order.status }}"))
        told, missing = await lines_of(tmp_path, shop(asked, text="{{ api.order.colour }}"))
    assert lines[-1] == "             Order 7: ready"
    assert not told.right
    assert any("content_error" in line for line in missing)


@pytest.mark.parametrize("body", [b"\x1b[2J\xe2\x80\xae", b'"\xff"', b'{"message": "\\u001b[2J\\u202e"}', b"x\n" * 999])
async def test_nothing_that_comes_back_moves_a_cursor(tmp_path: Path, body: bytes) -> None:
    async with answering(body) as asked:
        _, lines = await lines_of(tmp_path, shop(asked))
    assert all(line.isprintable() for line in lines)
    assert len(lines) < 50


# --- a dry run --------------------------------------------------------------------------------------------------


async def applied(folder: Path, node: dict[str, Any], caller: str = "600100200") -> plan.Plan:
    loaded = load(folder, a=node)
    (visit,) = online.samples(loaded, ["a"])
    found: list[online.Told] = []
    await online.ask(loaded, [visit], found.append)
    return online.applied(trigger.planned(loaded, visit), found[0])


async def test_a_dry_run_shows_the_messages_with_their_text(tmp_path: Path) -> None:
    answer = {"message": "Hello", "sender": "SHOP", "delay": "5m", "recipients": "+48600100201, +48600100200"}
    async with answering(answer) as asked:
        node = shop(asked, allow=["sender", "delay", "recipients"]) | {"recipients": "+48600100300", "sender": "ACME"}
        planned = await applied(tmp_path, node)
    assert [(draft.recipient, draft.status, draft.sender, draft.text) for draft in planned.drafts] == [
        (recipient, Status.SCHEDULED, "SHOP", "Hello") for recipient in ("+48600100300", "+48600100200", "+48600100201")
    ]
    assert len({draft.due_at for draft in planned.drafts}) == 1
    assert all(draft.expires_at - draft.due_at == timedelta(hours=24) for draft in planned.drafts)


async def test_a_dry_run_shows_why_there_is_no_text(tmp_path: Path) -> None:
    async with answering([], status=404) as asked:
        held = await applied(tmp_path, shop(asked))
        going = await applied(tmp_path, shop(asked, fallback="Sorry"))
    assert [(draft.status, draft.reason, draft.text) for draft in held.drafts] == [
        (Status.HELD, Reason.CONTENT_REFUSED, None)
    ]
    assert [(draft.status, draft.text) for draft in going.drafts] == [(Status.SCHEDULED, "Sorry")]
