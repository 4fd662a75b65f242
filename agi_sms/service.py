"""The one place where the parts are wired together, and their life cycle."""

import asyncio
import contextlib
import json
import os
import random
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from agi_sms import clock, config, delivery, errors, intake, logs, ports, providers, trigger
from agi_sms.asterisk import ami, ari
from agi_sms.outbox import spool, sqlite
from agi_sms.web import metrics

log = structlog.get_logger(__name__)

SPOOL_PATIENCE = timedelta(milliseconds=350)  # after the hold budget: half a second in all


def status_file(database: Path) -> Path:
    """Where a running gateway says which configuration it runs on; beside its database."""
    return database.with_name(database.name + ".status")


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """What a running gateway says of itself: how often it was told to reload, and what was wrong the last time."""

    pid: int
    reloads: int
    error: str = ""
    restart: tuple[str, ...] = ()  # keys that the last reload could not take


def read_status(database: Path) -> RunStatus | None:
    """None where no gateway runs, or what it says cannot be read."""
    try:
        facts = json.loads(status_file(database).read_text(encoding="utf-8"))
        return RunStatus(**{**facts, "restart": tuple(facts["restart"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


class Service:
    """A running gateway. `run` ends when SIGTERM or SIGINT asks for it."""

    def __init__(self, loaded: config.Config, reload: Callable[[], config.Config]) -> None:
        self._config = self._started = loaded
        self._reload = reload
        self._reloads = 0
        self._reload_error = ""
        self._late: tuple[str, ...] = ()
        self._stop = asyncio.Event()
        self._providers: dict[str, ports.Provider] = {}
        self._terms = self._make_terms({})
        self._aside: set[asyncio.Task[None]] = set()
        self._sender: delivery.Delivery | None = None

    async def run(self) -> None:
        """Until told to stop. Raises errors.OutboxError where the database cannot be used."""
        settings = self._config.settings
        self._signals()
        async with contextlib.AsyncExitStack() as stack:
            outbox = await sqlite.SqliteOutbox.open(settings.database, clock=clock.now, owner=True)
            stack.push_async_callback(outbox.close)
            reserve = await spool.FileSpool.open(settings.spool_path, settings.spool.size)
            stack.push_async_callback(reserve.close)
            stack.push_async_callback(self._close_providers)
            found = await outbox.recover()
            if found.rescheduled or found.uncertain:
                log.warning("found of an earlier run", rescheduled=found.rescheduled, uncertain=found.uncertain)
            await self._listen(stack)
            sender = delivery.Delivery(
                outbox=outbox,
                terms=lambda: self._terms,
                clock=clock.now,
                jitter=lambda: random.uniform(-1.0, 1.0),  # noqa: S311 - spreads retries, guards nothing
            )
            admitter = intake.Intake(
                outbox=outbox,
                spool=reserve,
                book=lambda: self._config,
                clock=clock.now,
                budget=intake.Budget(outbox=settings.hold_budget, spool=SPOOL_PATIENCE),
                wake=sender.wake,
            )
            self._warm()
            self._sender = sender
            await self._serve(outbox, admitter, sender)

    async def _serve(self, outbox: ports.Outbox, admitter: intake.Intake, sender: delivery.Delivery) -> None:
        settings = self._config.settings
        doors = [self._task(run, name) for name, run in self._doors(outbox, admitter)]
        inner = [self._task(admitter.run, "spool"), self._task(sender.run, "delivery")]
        self._tell_status()
        log.info(
            "gateway runs",
            nodes=len(self._config.nodes),
            providers=",".join(self._terms.providers),
            database=str(settings.database),
        )
        stopping = asyncio.create_task(self._stop.wait())
        ended, _ = await asyncio.wait({stopping, *doors, *inner}, return_when=asyncio.FIRST_COMPLETED)
        for task in ended - {stopping}:
            log.error(
                "a part of the gateway ended by itself; stopping",
                part=task.get_name(),
                exc_info=task.exception(),
            )
        log.info("stopping: no new calls; sends under way may end", patience_seconds=settings.drain.total_seconds())
        await _cancel(doors)
        left = await sender.drain(settings.drain)
        if left:
            log.warning("stopped with sends under way; the next start looks at them", messages=left)
        await _cancel([*inner, stopping, *self._aside])
        await admitter.close()
        status_file(settings.database).unlink(missing_ok=True)
        log.info("gateway stopped")
        if ended - {stopping}:
            raise errors.AgiSmsError("a part of the gateway ended by itself; see the log")

    def _doors(
        self, outbox: ports.Outbox, admitter: intake.Intake
    ) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        doors: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = []
        for name, pbx in self._config.settings.pbx.items():
            if pbx.ari is None:
                continue
            missed = asyncio.Event()
            entry = ari.AriEntry(
                name, pbx.ari, admitter.receive, clock=clock.now, returned=outbox.returned, missed=missed.set
            )
            doors.append((f"ari {name}", entry.run))
            if pbx.ami is not None:
                drain = ami.AmiDrain(
                    name, pbx.ami, admitter.receive, clock=clock.now, ours=_serving(entry), wake=missed
                )
                doors.append((f"ami {name}", drain.run))
        return doors

    @staticmethod
    def _task(run: Callable[[], Coroutine[Any, Any, None]], name: str) -> "asyncio.Task[None]":
        return asyncio.create_task(run(), name=name)

    # --- configuration ----------------------------------------------------------------------------------------

    def _make_terms(self, old: Mapping[str, ports.Provider]) -> delivery.Terms:
        """Providers whose settings did not change stay as they are."""
        settings = self._config.settings
        built = {
            name: old[name] if name in old and self._same(name) else providers.build(name, wanted)
            for name, wanted in self._config.providers.items()
        }
        self._providers = built
        self._built_from = dict(self._config.providers)
        return delivery.Terms(providers=built, policy=settings.retry, concurrency=settings.concurrency)

    def _same(self, name: str) -> bool:
        return self._built_from.get(name) == self._config.providers[name]

    async def reload(self) -> None:
        """Take a new configuration, or keep the old one and say why."""
        try:
            new = await asyncio.to_thread(self._reload)
        except errors.ConfigError as error:
            self._reload_error = str(error)
            log.error("reload refused; the old configuration stays", mistakes=len(error.mistakes))
            for mistake in error.mistakes:
                log.error("configuration", mistake=mistake)
        else:
            self._late = late = tuple(config.restart_needed(self._started, new))
            old = dict(self._providers)
            self._config = new
            self._terms = self._make_terms(old)
            self._retire({name: p for name, p in old.items() if self._providers.get(name) is not p})
            logs.configure(**new.settings.log.model_dump())
            self._reload_error = ""
            log.info("configuration reloaded", nodes=len(new.nodes))
            for warning in new.warnings:
                log.warning("configuration", mistake=warning)
            if late:
                log.warning("these keys change with a restart only", keys=", ".join(late))
        self._reloads += 1
        self._tell_status()

    def _retire(self, old: Mapping[str, ports.Provider]) -> None:
        """Close providers that a reload replaced, when what they are sending has ended."""

        async def later(provider: ports.Provider) -> None:
            try:
                await asyncio.sleep((provider.timeout + delivery.MARGIN).total_seconds())
            finally:
                await provider.close()

        for provider in old.values():
            task = asyncio.create_task(later(provider))
            self._aside.add(task)
            task.add_done_callback(self._aside.discard)

    async def _close_providers(self) -> None:
        await asyncio.gather(*(p.close() for p in self._providers.values()), return_exceptions=True)

    def _tell_status(self) -> None:
        path = status_file(self._started.settings.database)
        fresh = path.with_name(path.name + ".new")
        facts = RunStatus(pid=os.getpid(), reloads=self._reloads, error=self._reload_error, restart=self._late)
        try:
            fresh.unlink(missing_ok=True)
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(facts), file)
            fresh.replace(path)
        except OSError as error:
            log.warning("cannot write the status file", path=str(path), error=str(error))

    # --- the process ------------------------------------------------------------------------------------------

    def _signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

        loop.add_signal_handler(signal.SIGUSR1, self._wake)  # before there is a lock that tells our process id

        def reload() -> None:
            task = asyncio.create_task(self.reload())
            self._aside.add(task)
            task.add_done_callback(self._aside.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)

    def _wake(self) -> None:
        if self._sender is not None:
            self._sender.wake()

    def _warm(self) -> None:
        """Load what phone numbers and templates load at their first use, before a call has to wait for it."""
        for name in self._config.nodes:
            trigger.planned(self._config, trigger.sample(self._config, name))

    async def _listen(self, stack: contextlib.AsyncExitStack) -> None:
        listen = self._config.settings.metrics
        if listen is not None:
            opened = await metrics.Metrics.open(listen.host, listen.port)
            stack.push_async_callback(opened.close)


def _serving(entry: ari.AriEntry) -> Callable[[], bool]:
    return lambda: entry.state is not ari.State.STANDBY


async def _cancel(tasks: "list[asyncio.Task[Any]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
