"""What a reload keeps, replaces and closes, and what else the service does by itself; in this process."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agi_sms import config, delivery, errors, fetching, parts, rounds, run_status, service
from tests.contract.doors import until

API = {"url": "http://127.0.0.1:9/sms-text"}
TREE: dict[str, Any] = {
    "database": "box.db",
    "providers": {"out": {"type": "file", "path": "out.jsonl"}, "more": {"type": "file", "path": "more.jsonl"}},
    "routes": {"default": ["out", "more"]},
    "nodes": {
        "desk": {"recipients": "+48600100200", "content": {"text": "Hello"}},
        "shop": {"recipients": "+48600100200", "content": {"api": API}},
        "bank": {"recipients": "+48600100200", "content": {"api": API}},
    },
}

Load = Callable[..., config.Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """A configuration with these top-level keys changed."""

    def made(**changed: Any) -> config.Config:
        path = tmp_path / "agi-sms.yaml"
        path.write_text(json.dumps(TREE | changed, indent=1), encoding="utf-8")
        return config.load(path, {})

    return made


def node(name: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"nodes": TREE["nodes"] | {name: TREE["nodes"][name] | {"content": content}}}


# --- which edges stay -------------------------------------------------------------------------------------------


async def test_what_did_not_change_stays(load: Load) -> None:
    old = parts.Parts.make(load())
    new = parts.Parts.make(load(max_age="1h"), old)
    assert old.without(new) == []
    assert all(edge is old.edges[number] for number, edge in enumerate(new.edges))
    assert list(new.asking.sources) == ["shop", "bank"]


async def test_what_changed_or_went_is_replaced(load: Load) -> None:
    old = parts.Parts.make(load())
    changed = node("shop", {"api": API | {"timeout": "1s"}})
    new = parts.Parts.make(load(**changed, providers={"out": TREE["providers"]["out"]}, routes={"default": "out"}), old)
    assert old.without(new) == [old.providers.edges["more"], old.sources.edges["shop"]]
    assert new.sources.edges["bank"] is old.sources.edges["bank"]
    without = parts.Parts.make(load(**node("shop", {"text": "Hello"})), new)
    assert new.without(without) == [new.sources.edges["shop"]]
    assert list(without.asking.sources) == ["bank"]


async def test_a_text_around_the_answer_makes_another_source(load: Load) -> None:
    old = parts.Parts.make(load(**node("shop", {"api": API | {"response": "json"}})))
    new = parts.Parts.make(load(**node("shop", {"api": API | {"response": "json"}, "text": "{{ api.x }}"})), old)
    assert old.without(new) == [old.sources.edges["shop"]]


async def test_how_hosts_are_spared_is_as_the_settings_say(load: Load) -> None:
    terms = parts.Parts.make(load(content={"concurrency": 7, "break_after": 2, "break_for": "9s"})).asking
    assert (terms.concurrency, terms.break_after, terms.break_for.total_seconds()) == (7, 2, 9.0)


# --- reloads ----------------------------------------------------------------------------------------------------


async def test_two_reloads_at_once_end_with_the_newer_configuration(load: Load) -> None:
    """The first read takes long; the second must not be undone by it."""
    older, newer = load(max_age="1h"), load(max_age="2h")
    reading, go_on = threading.Event(), threading.Event()
    answers = iter([older, newer])

    def read() -> config.Config:
        found = next(answers)
        if found is older:
            reading.set()
            assert go_on.wait(20)
        return found

    running = service.Service(load(), read)
    first = asyncio.create_task(running.reload())
    await asyncio.to_thread(reading.wait, 20)
    second = asyncio.create_task(running.reload())
    await asyncio.wait({second}, timeout=0.2)  # where nothing holds it up, it is done first
    go_on.set()
    await asyncio.gather(first, second)
    assert running._book() is newer
    status = service.read_status(newer.settings.database)
    assert status is not None
    assert (status.reloads, status.error) == (2, "")


@pytest.mark.parametrize("error", [errors.ConfigError(("a: b: c",)), RuntimeError("secret"), OSError("gone")])
async def test_a_reload_that_fails_changes_nothing(load: Load, error: Exception) -> None:
    def read() -> config.Config:
        raise error

    loaded = load()
    running = service.Service(loaded, read)
    before = running._asking()
    await running.reload()
    assert running._book() is loaded
    assert running._asking() == before
    status = service.read_status(loaded.settings.database)
    assert status is not None
    assert status.reloads == 1
    assert status.error
    assert "secret" not in status.error


async def test_of_many_that_are_asked_for_one_waits(load: Load) -> None:
    """A thousand signals while one reload takes its time: one more is done, and reads what is there then."""
    reading, go_on = threading.Event(), threading.Event()
    read: list[int] = []
    loaded = load()

    def slow() -> config.Config:
        read.append(len(read))
        reading.set()
        assert go_on.wait(20)
        return loaded

    made = service.Service(loaded, slow)
    made._ask_for_reload()
    assert await asyncio.to_thread(reading.wait, 20)
    for _ in range(1000):
        made._ask_for_reload()
    go_on.set()
    await until(lambda: len(made._aside) == 0)
    assert read == [0, 1]
    status = service.read_status(loaded.settings.database)
    assert status is not None
    assert status.reloads == 2


async def test_a_reload_that_never_ends_is_refused_and_the_next_one_runs(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()
    loaded, newer = load(), load(max_age="2h")
    answers = iter([loaded, newer])

    def read() -> config.Config:
        found = next(answers)
        if found is loaded:
            end.wait(60)
        return found

    monkeypatch.setattr(service, "RELOAD_PATIENCE", timedelta(milliseconds=50))
    made = service.Service(loaded, read)
    await made.reload()
    status = service.read_status(loaded.settings.database)
    assert status is not None
    assert (status.reloads, status.error[:26]) == (1, "the configuration could no")
    monkeypatch.setattr(service, "RELOAD_PATIENCE", timedelta(seconds=20))
    await made.reload()
    assert made._book() is newer
    end.set()  # what comes of the first one then is nobody's any more
    await until(lambda: not any(thread.name == "reload" for thread in threading.enumerate()))
    await asyncio.sleep(0)
    assert made._book() is newer


HANGING = """
import asyncio, sys, threading
from pathlib import Path
from agi_sms import config, service

path = Path(sys.argv[1])

def hang():
    path.with_name("reading").touch()
    threading.Event().wait()

asyncio.run(service.Service(config.load(path, {}), hang).run())
"""


def test_a_reload_that_never_ends_does_not_hold_up_the_end(load: Load, tmp_path: Path) -> None:
    """The process itself, as SIGTERM ends it."""
    loaded = load()
    process = subprocess.Popen([sys.executable, "-c", HANGING, str(tmp_path / "agi-sms.yaml")])
    try:
        appears(run_status.path(loaded.settings.database))
        process.send_signal(signal.SIGHUP)
        appears(tmp_path / "reading")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def appears(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


async def test_what_a_reload_replaced_is_closed_when_its_work_has_ended(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[object] = []
    new = load(**node("shop", {"api": API | {"timeout": "200ms"}}))
    running = service.Service(load(**node("shop", {"api": API | {"timeout": "100ms"}})), lambda: new)
    old = running._asking().sources

    async def close(source: object) -> None:
        closed.append(source)

    monkeypatch.setattr(type(old["shop"]), "close", close)
    monkeypatch.setattr(delivery, "MARGIN", 0 * delivery.MARGIN)
    monkeypatch.setattr(fetching, "MARGIN", 0 * fetching.MARGIN)
    await running.reload()
    assert running._asking().sources["bank"] is old["bank"]
    assert closed == []
    await until(lambda: closed == [old["shop"]])


# --- the life of a service --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def running(loaded: config.Config) -> AsyncIterator[service.Service]:
    made = service.Service(loaded, lambda: loaded)
    task = asyncio.create_task(made.run())
    try:
        await until(lambda: task.done() or run_status.path(loaded.settings.database).exists())
        assert not task.done()
        yield made
    finally:
        made._stop.set()
        await asyncio.wait_for(task, 20)


async def test_threads_that_hang_leave_some_to_others(load: Load) -> None:
    """As lookups of dead names do."""
    end = threading.Event()
    async with running(load()):
        hanging = [asyncio.create_task(asyncio.to_thread(end.wait, 60)) for _ in range(60)]
        try:
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 20) == "done"
            assert not any(task.done() for task in hanging)
        finally:
            end.set()
            await asyncio.gather(*hanging)


async def test_a_signal_wakes_both_who_send_and_who_ask(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(load()):
        woken: list[rounds.Worker] = []

        def wake(worker: rounds.Worker) -> None:
            woken.append(worker)

        monkeypatch.setattr(rounds.Worker, "wake", wake)
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(lambda: len(woken) == 2)
        assert {type(worker) for worker in woken} == {delivery.Delivery, fetching.Fetching}
