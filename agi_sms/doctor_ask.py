"""Asks everything that `agi-sms doctor` tells of, all at once: a question that hangs keeps no other waiting."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent import futures
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import yarl

from agi_sms import clock, dialplan, errors, harmless, reach, run_status
from agi_sms import doctor_facts as facts
from agi_sms import doctor_needs as needs
from agi_sms.asterisk import survey, survey_ami, survey_ari
from agi_sms.outbox import health, sqlite
from agi_sms.providers import places
from agi_sms.web import addresses

if TYPE_CHECKING:
    import pydantic

    from agi_sms import config as configuration
    from agi_sms.asterisk.settings import Ami
    from agi_sms.config_settings import Pbx
    from agi_sms.content.settings import Api

PATIENCE = timedelta(seconds=4)  # for one question
SECONDS = PATIENCE.total_seconds()
DEADLINE = 9.0  # seconds, for all of them
_LATE = facts.Trouble(code="timeout", detail=f"did not answer within {DEADLINE:.0f} s")

T = TypeVar("T")
Tell = Callable[[frozenset[str]], None]  # what has no answer yet


class Threads(futures.ThreadPoolExecutor):
    """A thread for each job; nobody waits for it in the end: a lookup in the DNS, or a disk, may hang for long."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **named: Any) -> "futures.Future[T]":
        made: futures.Future[T] = futures.Future()

        def work() -> None:
            if not made.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **named)
            except BaseException as error:
                made.set_exception(error)
            else:
                made.set_result(result)

        threading.Thread(target=work, daemon=True).start()
        return made

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """There is nothing to wait for."""


def gateway(database: Path) -> facts.Gateway:
    """Whether a gateway runs on this database, and what it says of itself."""
    folder = database.parent
    pid = sqlite.owner_pid(database)
    if pid is None:
        return facts.Gateway(database=database, told=not folder.exists() or os.access(folder, os.X_OK))
    said = run_status.read(database)
    if said is None:
        return facts.Gateway(database=database, pid=pid)
    return facts.Gateway(
        database=database,
        pid=pid,
        reload_error=said.error,
        restart=said.restart,
        doors=said.doors,
        left_alone=said.left_alone,
        stranded=said.stranded,
    )


async def _gateway(database: Path) -> facts.Gateway:
    """As `gateway`, where the disk may hang."""
    try:
        async with asyncio.timeout(SECONDS / 2):
            return await asyncio.to_thread(gateway, database)
    except TimeoutError:
        return facts.Gateway(database=database, told=False)


async def examine(
    loaded: "configuration.Config",
    told: facts.Configuration,
    *,
    pbxs: "Mapping[str, Pbx]",
    plans: Mapping[str, dialplan.Dialplan],
    tell: Tell,
) -> facts.Facts:
    """The facts. `pbxs` are those that are asked, `plans` dialplans that need not be; `tell` hears how it goes on.

    The running loop is taken to be there for this alone.
    """
    asyncio.get_running_loop().set_default_executor(Threads())
    settings = loaded.settings
    runs = await _gateway(settings.database)
    asking = _Asking(tell)
    doors = {name: _Doors.ask(asking, name, pbx, plans.get(name)) for name, pbx in pbxs.items()}
    reached = {
        name: asking.add(f"provider {name}", _provider(one), (facts.Reached(where=name, trouble=_LATE),))
        for name, one in loaded.providers.items()
    }
    contents = _Contents(asking, loaded.sources)
    stored = asking.add(
        "database",
        asyncio.to_thread(health.examine, settings.database, settings.spool_path),
        facts.Database(path=settings.database, trouble=_LATE, spool=settings.spool_path),
    )
    listener = public = agi = None
    if (desk := settings.receipts) is not None:
        if runs.pid is not None:
            where = f"http://{_authority(desk.host, desk.port)}{addresses.RECEIPTS}"
            listener = asking.add("receipts", reach.receipts(where, seconds=SECONDS), _late_port(where))
        if desk.public_url:
            where = desk.public_url.rstrip("/") + addresses.RECEIPTS
            public = asking.add("public_url", reach.receipts(where, seconds=SECONDS), _late_port(where))
    if settings.agi is not None and runs.pid is not None:
        agi = asking.add(
            "agi",
            reach.listening(settings.agi.host, settings.agi.port, seconds=SECONDS),
            _late_port(settings.agi.listen),
        )
    await asking.wait()
    return facts.Facts(
        now=clock.now(),
        configuration=told,
        gateway=runs,
        pbxs=tuple(one.answer() for one in doors.values()),
        providers={name: found for name, one in reached.items() if (found := one.answer())},
        contents=contents.answers(),
        database=stored.answer(),
        listener=None if listener is None else listener.answer(),
        public=None if public is None else public.answer(),
        agi=None if agi is None else agi.answer(),
    )


@dataclass(frozen=True, kw_only=True)
class _Question(Generic[T]):
    """A question under way, and what stands for its answer where that is late."""

    task: "asyncio.Task[T]"
    late: T

    def answer(self) -> T:
        """Raises what is a bug."""
        return self.late if self.task.cancelled() else self.task.result()


class _Asking:
    """All questions under way."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._tasks: set[asyncio.Task[Any]] = set()

    def add(self, name: str, work: Coroutine[Any, Any, T], late: T) -> _Question[T]:
        """Ask."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        return _Question(task=task, late=late)

    async def wait(self) -> None:
        """Until all have answered, or time is up."""
        loop = asyncio.get_running_loop()
        left, end = set(self._tasks), loop.time() + DEADLINE
        while left and (rest := end - loop.time()) > 0:
            self._tell(frozenset(task.get_name() for task in left))
            _, left = await asyncio.wait(left, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
        self._tell(frozenset())
        for task in left:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass(frozen=True, kw_only=True)
class _Doors:
    """One PBX being asked over everything that it has."""

    name: str
    ari: _Question[facts.Ari] | None = None
    ami: _Question[facts.Ami] | None = None
    plan: _Question[tuple[dialplan.Dialplan | None, str]] | None = None
    known: dialplan.Dialplan | None = None

    @classmethod
    def ask(cls, asking: _Asking, name: str, pbx: "Pbx", known: dialplan.Dialplan | None) -> "_Doors":
        ari = ami = plan = None
        if pbx.ari is not None:
            work = survey_ari.ask(pbx.ari, needs.GLOBALS, patience=PATIENCE)
            ari = asking.add(f"ARI of {name}", work, facts.Ari(trouble=_LATE))
        if pbx.ami is not None:
            wanted = [one for way in needs.MODULES.values() for one in way]
            ami = asking.add(
                f"AMI of {name}",
                survey_ami.ask(pbx.ami, wanted, needs.GLOBALS, patience=PATIENCE, endpoints=pbx.ari is None),
                facts.Ami(trouble=_LATE),
            )
            if known is None:
                plan = asking.add(f"dialplan of {name}", _plan(pbx.ami), (None, _LATE.detail))
        return cls(name=name, ari=ari, ami=ami, plan=plan, known=known)

    def answer(self) -> facts.Pbx:
        """All that it said."""
        plan, trouble = (self.known, "") if self.plan is None else self.plan.answer()
        if plan is None and self.plan is None:
            trouble = "pbx has no ami, over which its dialplan could be asked for"
        return facts.Pbx(
            name=self.name,
            ari=None if self.ari is None else self.ari.answer(),
            ami=None if self.ami is None else self.ami.answer(),
            plan=plan,
            plan_trouble=trouble,
        )


async def _plan(settings: "Ami") -> tuple[dialplan.Dialplan | None, str]:
    """The running dialplan, or why there is none."""
    try:
        fast = settings.model_copy(update={"timeout": min(settings.timeout, PATIENCE)})
        return await survey.Survey(fast).dialplan(), ""
    except errors.PbxError as error:
        return None, harmless.clipped(str(error))


async def _provider(settings: "pydantic.BaseModel") -> tuple[facts.Reached, ...]:
    """Everything that a provider needs to reach; nothing where it needs nothing."""
    peer = places.peer(settings)
    found = [await asyncio.to_thread(reach.place, place.path, folder=place.folder) for place in places.places(settings)]
    if peer is not None:
        found.append(await _peer(peer))
    return tuple(found)


def _source(settings: "Api") -> places.Peer:
    url = yarl.URL(settings.url.partition("?")[0])
    return places.Peer(host=url.host or "", port=url.port or 0, tls=url.scheme == "https", ca_file=settings.ca_file)


async def _peer(peer: places.Peer) -> facts.Reached:
    return await reach.host(peer.host, peer.port, tls=peer.tls, ca_file=peer.ca_file, seconds=SECONDS)


class _Contents:
    """The hosts of the nodes' content.api being asked, each once."""

    def __init__(self, asking: _Asking, sources: "Mapping[str, Api]") -> None:
        self._peers = {node: _source(one) for node, one in sources.items()}
        self._asked: dict[places.Peer, _Question[facts.Reached]] = {}
        for peer in self._peers.values():
            if peer not in self._asked:
                late = facts.Reached(where=f"{peer.host}:{peer.port}", trouble=_LATE)
                self._asked[peer] = asking.add(f"content of {peer.host}", _peer(peer), late)

    def answers(self) -> dict[str, facts.Reached]:
        """By node."""
        return {node: self._asked[peer].answer() for node, peer in self._peers.items()}


def _authority(host: str, port: int) -> str:
    host = reach.ANYWHERE.get(host, host)
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def _late_port(where: str) -> facts.Port:
    return facts.Port(where=where, trouble=_LATE)
