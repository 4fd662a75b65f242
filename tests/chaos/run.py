"""One run: Asterisk, gateway, the provider's side, calls, and what goes wrong; then the lists and the verdict."""

import contextlib
import json
import pathlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rig import ports
from rig.asterisk import Asterisk
from tests.acceptance import gateway as gateways
from tests.chaos import calls, disasters, keeper, link, lists, plan, stand_in, verdict, windows

SETTLE = 180.0  # seconds that all messages get to come to their end, once nothing goes wrong any more
SETTLED_EVERY = 0.5
TELL_EVERY = 10  # looks
ALLOWED_TO_END = ("disk-full", "database-held")  # the gateway cannot start in these
START_PATIENCE = 35.0  # seconds after them, in which it may still end: it waits that long for its database
WATCH = "SELECT status, count(*) FROM messages GROUP BY status"

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one run came to."""

    verdict: verdict.Verdict
    happened: tuple[windows.Happened, ...]
    kills: int  # that met a running gateway
    serving_seconds: float
    seconds: float  # from the first call to the last message's end
    records_left: int


def once(directory: pathlib.Path, todo: plan.Plan, *, allowance_ms: float, tell: Tell) -> Result:
    """Do all of it, in a directory of its own; raises where the rig fails, not where agi-sms does."""
    with contextlib.ExitStack() as stack:
        asterisk = Asterisk(directory / "asterisk", verbose=0)
        asterisk.configure("cdr.conf", _CDR)
        stack.enter_context(asterisk)
        (agi,) = ports.free(1)
        asterisk.load_dialplan(f"{lists.DIALPLAN}AGISMS_AGI=127.0.0.1:{agi}\n")
        disk = stack.enter_context(disasters.Disk(directory / "disk"))
        ari = stack.enter_context(link.Link(asterisk.http_port))
        ami = stack.enter_context(link.Link(asterisk.ami_port))
        provider_log = directory / "provider.jsonl"
        provider = stack.enter_context(stand_in.running(provider_log, todo.seed))
        gateway = _gateway(directory / "gateway", asterisk, disk, ari, ami, agi, provider)
        kept = stack.enter_context(keeper.Keeper(gateway))
        gateways.wait_for("the gateway serves calls", lambda: '"door":"ari"' in gateway.said())
        world = disasters.World(
            asterisk=asterisk, keeper=kept, ari=ari, ami=ami, disk=disk, database=gateway.database, provider=provider
        )
        tell("Asterisk, gateway and provider run; calls begin")
        began = time.time()
        made, happened = _calls(world, todo, tell)
        left = _settled(world, gateway, tell)
        ended = time.time()
        found = lists.read(made, asterisk.directory, gateway, provider_log)
        log = gateway.events()
        silences = [_window(one) for one in happened if one.name == "ari-silence"]
        serving = windows.serving(log, [one.at for one in kept.endings], silences, ended)
        around = verdict.Circumstances(happened=happened, serving=serving, allowance_ms=allowance_ms)
        judged = verdict.judge(found, around)
        judged.findings += _of_the_gateway(gateway, log, kept.endings, happened)
        if left:
            judged.findings.append(verdict.Finding(what="visits are left in AstDB", of=f"{left} of them"))
        return Result(
            verdict=judged,
            happened=happened,
            kills=sum(one.killed for one in kept.endings),
            serving_seconds=serving.seconds,
            seconds=ended - began,
            records_left=left,
        )


_CDR = (
    "[general]\nenable = yes\nunanswered = yes\nendbeforehexten = yes\n"
    "[csv]\nusegmtime = yes\nloguniqueid = yes\nloguserfield = yes\n"
)


def _gateway(
    directory: pathlib.Path,
    asterisk: Asterisk,
    disk: disasters.Disk,
    ari: link.Link,
    ami: link.Link,
    agi: int,
    provider: str,
) -> gateways.Gateway:
    def company(door: str, **more: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "url": f"{provider}/{door}",
            "body": {"json": {"ref": "{{ ref }}", "to": "{{ to }}", "text": "{{ text }}"}},
            "answer": {"rules": [{"status": 429, "then": "retry"}, {"path": "$.id", "then": "accept"}], "id": "$.id"},
            "timeout": "2s",
            "concurrency": 40,
            **more,
        }

    def node(route: str, **more: Any) -> dict[str, Any]:
        return {"recipients": "+48600100300", "route": [route], "content": {"text": "{{ MARK }}"}, **more}

    database = disk.path / "agi-sms.db"
    gateway = gateways.Gateway(
        directory,
        asterisk,
        {
            "idempotent": node("idempotent"),
            "hold": node("hold"),
            "resend": node("resend"),
            "brief": node("idempotent", max_age="4s"),
            "once": node("idempotent", once_per_call=True),
        },
        database=str(database),
        spool={"size": "4MiB"},
        agi={"listen": f"127.0.0.1:{agi}"},
        log={"format": "json", "level": "info", "reveal": True},
        providers={
            "idempotent": company("idempotent", idempotent=True),
            "hold": company("plain", on_uncertain="hold"),
            "resend": company("plain", on_uncertain="resend"),
        },
        concurrency=100,
        retry={"first": "200ms", "longest": "2s", "attempts": 100, "grace": "3s"},
        health={"break_for": "1s"},
    )
    tree = json.loads(gateway.config.read_text(encoding="utf-8"))
    tree["pbx"]["main"]["ari"]["url"] = f"http://127.0.0.1:{ari.port}"
    tree["pbx"]["main"]["ami"]["port"] = ami.port
    del tree["providers"]["file"], tree["routes"]
    gateway.config.write_text(json.dumps(tree, indent=1), encoding="utf-8")
    gateway.database = database
    return gateway


def _calls(
    world: disasters.World, todo: plan.Plan, tell: Tell
) -> tuple[list[lists.Made], tuple[windows.Happened, ...]]:
    """Until the last call is over, and the last disaster."""
    callers = calls.Callers(world.asterisk, todo.loads)
    fate = disasters.Fate(world, todo.disasters)
    told = 0
    try:
        journal = world.asterisk.directory / lists.JOURNAL
        while not callers.finished() or fate.under_way():
            time.sleep(0.2)
            entered = journal.read_bytes().count(b"IN|") if journal.exists() else 0
            if entered >= told + 500:
                told = entered
                tell(f"{entered} visits, {len(fate.happened)} of {len(todo.disasters)} disasters")
        return callers.made(), tuple(fate.happened)
    finally:
        fate.end()
        callers.stop(world.asterisk.directory.parent)
        if fate.failed:
            raise AssertionError("the rig could not do its worst: " + "; ".join(fate.failed))


def _settled(world: disasters.World, gateway: gateways.Gateway, tell: Tell) -> int:
    """Wait until nothing is on its way any more, or for so long; how many records are left in AstDB."""
    world.asterisk.wait_for_no_channels(deadline=30)
    end = time.monotonic() + SETTLE
    quiet = looked = 0
    while time.monotonic() < end:
        left = len(world.asterisk.database("agi-sms"))
        with contextlib.closing(sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True, timeout=10)) as database:
            counts: dict[str, int] = dict(database.execute(WATCH).fetchall())
        under_way = sum(counts.get(status, 0) for status in verdict.OPEN)
        quiet = 0 if under_way or left else quiet + 1
        if quiet >= 4:
            return 0
        if looked % TELL_EVERY == 0:
            tell(f"calls are over; {under_way} messages under way, {left} visits in AstDB")
        looked += 1
        time.sleep(SETTLED_EVERY)
    return len(world.asterisk.database("agi-sms"))


def _window(one: windows.Happened) -> windows.Window:
    return windows.Window(begin=one.began, end=one.ended)


def _of_the_gateway(
    gateway: gateways.Gateway,
    log: list[dict[str, Any]],
    endings: list[keeper.Ending],
    happened: tuple[windows.Happened, ...],
) -> Iterator[verdict.Finding]:
    """What its own log says that it must not say."""
    for event in log:
        if "exception" in event or "a bug" in str(event["event"]) or str(event["event"]).startswith("Traceback"):
            yield verdict.Finding(what="a bug in the gateway's log", of=json.dumps(event)[:2000])
    excuses = [one for one in happened if one.name in ALLOWED_TO_END]
    for ending in endings:
        excused = any(one.began <= ending.at <= one.ended + START_PATIENCE for one in excuses)
        if not ending.killed and not excused:
            yield verdict.Finding(what="the gateway ended by itself", of=f"exit code {ending.code}")
    for kept in gateway.database.parent.glob("*.quarantine"):
        yield verdict.Finding(what="a spooled call is in quarantine", of=kept.read_text()[:500])
