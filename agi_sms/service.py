"""The one place where the parts are wired together, and their life cycle."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent import futures
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from agi_sms import (
    attending,
    clock,
    clock_steps,
    config,
    config_words,
    delivery,
    durations,
    errors,
    fetching,
    intake,
    logs,
    loop_lag,
    parts,
    polling,
    ports,
    receipts,
    rounds,
    run_status,
    threads,
    warming,
)
from agi_sms.asterisk import agi, ami, ari, link
from agi_sms.outbox import spool, sqlite
from agi_sms.web import metrics as web_metrics
from agi_sms.web import receipts as web_receipts

log = structlog.get_logger(__name__)

SPOOL_PATIENCE = timedelta(milliseconds=350)  # after the hold budget: half a second in all
THREADS = 64
RELOAD_PATIENCE = timedelta(seconds=60)


read_status = run_status.read


class Service:
    """A running gateway. `run` ends when SIGTERM or SIGINT asks for it."""

    def __init__(self, loaded: config.Config, reload: Callable[[], config.Config]) -> None:
        self._started = loaded
        self._parts = parts.Parts.make(loaded)
        self._reload = reload
        self._reloading = asyncio.Lock()
        self._reload_waits = False
        self._reloads = 0
        self._reload_error = ""
        self._late: tuple[str, ...] = ()
        self._left_alone: dict[str, str] = {}
        self._stranded: dict[str, int] = {}
        self._outbox: ports.Outbox | None = None
        self._stop = asyncio.Event()
        self._aside: set[asyncio.Task[None]] = set()
        self._workers: tuple[rounds.Worker, ...] = ()
        self._take_receipts: ports.TakeReceipts = _not_yet
        self._asker: polling.Polling | None = None
        self._attending = attending.Attending()
        self._missed = defaultdict[str, asyncio.Event](asyncio.Event)  # by PBX: its own database may hold visits
        self._agi: agi.AgiEntry | None = None
        self._watch = link.Watch(self._tell_status)

    async def run(self) -> None:
        """Until told to stop. Raises errors.OutboxError where the database cannot be used."""
        settings = self._parts.config.settings
        self._signals()
        # A lookup in the DNS may hang for half a minute, and holds a thread as long. With asyncio's handful of them a
        # few dead names would keep every other lookup and thread of ours waiting. Threads start when there is work.
        # What threads compute, a call waits for at most so long at a time.
        sys.setswitchinterval(0.001)
        asyncio.get_running_loop().set_default_executor(futures.ThreadPoolExecutor(THREADS, "agi-sms"))
        async with contextlib.AsyncExitStack() as stack:
            outbox = await sqlite.SqliteOutbox.open(settings.database, clock=clock.now, owner=True)
            stack.push_async_callback(outbox.close)
            reserve = await spool.FileSpool.open(settings.spool_path, settings.spool.size)
            stack.push_async_callback(reserve.close)
            stack.push_async_callback(self._close_edges)
            found = await outbox.recover()
            if found.rescheduled or found.uncertain:
                log.warning("found of an earlier run", rescheduled=found.rescheduled, uncertain=found.uncertain)
            self._outbox = outbox
            self._take_receipts = receipts.Receipts(outbox=outbox).take
            self._asker = polling.Polling(outbox=outbox, take=self._take_receipts, clock=clock.now)
            await self._listen(stack)
            sender = delivery.Delivery(
                outbox=outbox, terms=self._sending, clock=clock.now, jitter=_jitter, tell_health=self._tell_health
            )
            fetcher = fetching.Fetching(
                outbox=outbox,
                book=self._book,
                terms=self._asking,
                clock=clock.now,
                jitter=_jitter,
                wake=sender.wake,
            )
            admitter = intake.Intake(
                outbox=outbox,
                spool=reserve,
                book=self._book,
                clock=clock.now,
                budget=intake.Budget(outbox=settings.hold_budget, spool=SPOOL_PATIENCE),
                wake=sender.wake,
                wake_fetching=fetcher.wake,
            )
            warming.warm(self._parts.config)
            self._attend()
            stack.push_async_callback(self._attending.end)
            self._workers = (sender, fetcher)
            await self._open_agi(stack, outbox, admitter)
            await self._serve(outbox, admitter, sender, fetcher)

    async def _serve(
        self, outbox: ports.Outbox, admitter: intake.Intake, sender: delivery.Delivery, fetcher: fetching.Fetching
    ) -> None:
        settings = self._parts.config.settings
        doors = [self._task(run, name) for name, run in self._doors(outbox, admitter)]
        inner = [
            self._task(admitter.run, "spool"),
            self._task(sender.run, "delivery"),
            self._task(fetcher.run, "fetching"),
            self._task(self._watch.run, "status"),
            self._task(clock_steps.watch, "clock"),
            self._task(loop_lag.Heart(look=settings.log.level == "debug").run, "loop lag"),
        ]
        self._tell_status()
        await asyncio.sleep(0)  # each part has begun; a clock that is set from now on is noticed
        log.info(
            "gateway runs",
            nodes=len(self._parts.config.nodes),
            providers=",".join(self._parts.providers.edges),
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
        left, unasked = await asyncio.gather(sender.drain(settings.drain), fetcher.drain(settings.drain))
        if left:
            log.warning("stopped with sends under way; the next start looks at them", messages=left)
        if unasked:
            log.warning("stopped with texts being fetched; the next start asks for them again", calls=unasked)
        await _cancel([*inner, stopping, *self._aside])
        await admitter.close()
        run_status.path(settings.database).unlink(missing_ok=True)
        log.info("gateway stopped")
        if ended - {stopping}:
            raise errors.AgiSmsError("a part of the gateway ended by itself; see the log")

    def _doors(
        self, outbox: ports.Outbox, admitter: intake.Intake
    ) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        doors: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = []
        if self._agi is not None:
            doors.append(("agi", self._agi.run))  # the first to be told to stop
        for name, pbx in self._parts.config.settings.pbx.items():
            missed = self._missed[name]
            entry = None
            if pbx.ari is not None:
                entry = ari.AriEntry(
                    name, pbx.ari, admitter.receive, clock=clock.now, returned=outbox.returned, missed=missed.set
                )
                doors.append((self._watch.named(f"ari {name}", entry), entry.run))
            if pbx.ami is not None:
                drain = ami.AmiDrain(
                    name,
                    pbx.ami,
                    admitter.receive,
                    clock=clock.now,
                    unknown=self._unknown,
                    ours=_serving(entry),
                    wake=missed,
                    may_leave=entry is not None,
                )
                doors.append((self._watch.named(f"ami {name}", drain), drain.run))
        return doors

    async def _open_agi(self, stack: contextlib.AsyncExitStack, outbox: ports.Outbox, admitter: intake.Intake) -> None:
        """Listen for FastAGI where it is configured; one port for all PBXs."""
        settings = self._parts.config.settings.agi
        if settings is None:
            return
        self._agi = agi.AgiEntry(
            admitter.receive,
            limits=agi.Limits(connections=settings.connections, timeout=settings.timeout.total_seconds()),
            pbx_at=lambda address: self._book().pbx_at(address),
            clock=clock.now,
            returned=outbox.returned,
            missed=lambda pbx: self._missed[pbx].set(),
        )
        await self._agi.open(settings.host, settings.port)
        stack.push_async_callback(self._agi.close)

    @staticmethod
    def _task(run: Callable[[], Coroutine[Any, Any, None]], name: str) -> "asyncio.Task[None]":
        return asyncio.create_task(run(), name=name)

    # --- configuration ----------------------------------------------------------------------------------------

    def _book(self) -> config.Config:
        return self._parts.config

    def _unknown(self, name: str) -> str:
        """What is wrong with a node's name; nothing where there is such a node."""
        nodes = self._book().nodes
        return "" if name in nodes else f"no such node; {config_words.nearest(name, nodes, show='nodes')}"

    def _sending(self) -> delivery.Terms:
        return self._parts.sending

    def _asking(self) -> fetching.Terms:
        return self._parts.asking

    async def reload(self) -> None:
        """Take a new configuration, or keep the old one and say why. One at a time: the last one asked for stays."""
        async with self._reloading:
            self._reload_waits = False
            try:
                # what the first node that asks a customer's system needs is imported there
                fresh = await threads.apart(
                    lambda: parts.Parts.make(self._reload(), self._parts), RELOAD_PATIENCE, "reload"
                )
            except TimeoutError:
                waited = durations.show(RELOAD_PATIENCE)
                self._reload_error = f"the configuration could not be read within {waited}: is one of its files a pipe?"
                log.error("reload refused; the old configuration stays", mistake=self._reload_error)
            except errors.ConfigError as error:
                self._reload_error = str(error)
                log.error("reload refused; the old configuration stays", mistakes=len(error.mistakes))
                for mistake in error.mistakes:
                    log.error("configuration", mistake=mistake)
            except Exception as error:
                self._reload_error = f"{type(error).__name__}, a bug; see the gateway's log"
                log.exception("reload failed: a bug; the old configuration stays")
            else:
                self._take(fresh)
                await self._look_for_stranded()
            self._reloads += 1
            self._tell_status()

    def _ask_for_reload(self) -> None:
        """One that waits is enough: it reads what is there when its turn comes."""
        if not self._reload_waits:
            self._reload_waits = True
            self._beside(self.reload())

    def _take(self, fresh: parts.Parts) -> None:
        new = fresh.config
        self._late = late = tuple(config.restart_needed(self._started, new))
        old, self._parts = self._parts, fresh
        for edge in old.without(fresh):
            self._retire(edge)
        logs.configure(**new.settings.log.model_dump())
        self._reload_error = ""
        self._attend()
        log.info("configuration reloaded", nodes=len(new.nodes))
        for warning in new.warnings:
            log.warning("configuration", mistake=warning)
        if late:
            log.warning("these keys change with a restart only", keys=", ".join(late))
        self._wake()

    async def _look_for_stranded(self) -> None:
        """What waits for providers that there are no more, so that a person hears of it before it is due."""
        if self._outbox is None:
            return
        try:
            waiting = await self._outbox.waiting()
        except errors.OutboxError as error:
            log.warning("what waits for providers that are gone is not known", error=str(error))
            return
        self._stranded = run_status.stranded(waiting, self._parts.providers.edges)
        for route, count in self._stranded.items():
            log.warning("messages wait for a provider that is not configured any more", messages=count, route=route)

    def _attend(self) -> None:
        """Keep up the connections of providers, and ask those that are to be asked."""
        take, asker = self._take_receipts, self._asker
        if asker is None:
            return
        work: dict[str, tuple[ports.Provider, attending.Work]] = {
            f"provider {name}": (one, partial(one.run, take)) for name, one in self._parts.connected.items()
        }
        for name, polled in self._parts.polled.items():
            work[f"polling {name}"] = (polled, partial(asker.keep_asking, polled))
        self._attending.change(work)

    def _retire(self, edge: parts.Edge) -> None:
        """Close what a reload replaced, when what it is doing has ended."""

        async def later() -> None:
            try:
                await asyncio.sleep((edge.timeout + max(delivery.MARGIN, fetching.MARGIN)).total_seconds())
            finally:
                await edge.close()

        self._beside(later())

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def _close_edges(self) -> None:
        await asyncio.gather(*(edge.close() for edge in self._parts.edges), return_exceptions=True)
        await asyncio.gather(*(one.close() for one in self._parts.messengers.values()), return_exceptions=True)

    def _tell_health(self, left_alone: Mapping[str, datetime]) -> None:
        """Write it down where it has changed."""
        told = {name: until.isoformat() for name, until in left_alone.items()}
        if told != self._left_alone:
            self._left_alone = told
            self._tell_status()

    def _tell_status(self) -> None:
        status = run_status.RunStatus(
            pid=os.getpid(),
            reloads=self._reloads,
            error=self._reload_error,
            restart=self._late,
            doors=self._watch.states,
            left_alone=self._left_alone,
            stranded=self._stranded,
        )
        run_status.write(self._started.settings.database, status)

    # --- the process ------------------------------------------------------------------------------------------

    def _signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR1, self._wake)  # before there is a lock that tells our process id
        loop.add_signal_handler(signal.SIGHUP, self._ask_for_reload)

    def _wake(self) -> None:
        for worker in self._workers:
            worker.wake()

    async def _listen(self, stack: contextlib.AsyncExitStack) -> None:
        listen = self._parts.config.settings.metrics
        if listen is not None:
            opened = await web_metrics.listen(listen.host, listen.port)
            stack.push_async_callback(opened.close)
        desk = self._parts.config.settings.receipts
        if desk is not None:
            opened = await web_receipts.listen(
                desk.host,
                desk.port,
                public_url=desk.public_url,
                providers=lambda: self._parts.reporting,
                take=self._take_receipts,
            )
            stack.push_async_callback(opened.close)


async def _not_yet(provider: str, _: Sequence[ports.Receipt]) -> None:
    raise errors.OutboxError(f"no receipts of {provider} can be kept before the outbox is open")


def _serving(entry: ari.AriEntry | None) -> Callable[[], bool]:
    """Whether what a PBX says over AMI is ours; without ARI there is no gateway that stands by."""
    return lambda: entry is None or entry.state is not ari.State.STANDBY


def _jitter() -> float:
    return random.uniform(-1.0, 1.0)  # noqa: S311 - spreads retries, guards nothing


async def _cancel(tasks: "list[asyncio.Task[Any]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
