"""What `agi-sms doctor` learns by asking, as values; the other doctor files make findings of it. Pure."""

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from agi_sms.dialplan import Dialplan


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why there is no answer. `code`: dns, tls, connect, timeout, broken, denied, absent, or an HTTP status."""

    code: str
    detail: str


def not_connected(name: str, error: OSError | UnicodeError) -> Trouble:
    """Why a connection to this host could not be made."""
    match error:
        case UnicodeError():
            return Trouble(code="dns", detail=f"{name} is no name that could resolve")
        case socket.gaierror():
            return Trouble(code="dns", detail=f"the name {name} does not resolve: {error.strerror}")
        case ssl.SSLCertVerificationError():
            return Trouble(code="tls", detail=f"its certificate is not good: {error.verify_message}")
        case ssl.SSLError():
            return Trouble(code="tls", detail=f"no TLS: {error.reason or error}")
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return Trouble(code="connect", detail=f"cannot connect: {why}")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The main file, and what is wrong in all of them, each as `file:line: key: ...`."""

    path: Path
    mistakes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Whether a gateway runs on the configured database. `told` False: this user may not look."""

    database: Path
    told: bool = True
    pid: int | None = None
    reload_error: str = ""
    restart: tuple[str, ...] = ()  # keys that the last reload could not take
    doors: Mapping[str, str] | None = None  # `ari PBX` and `ami PBX`, each with its link.State
    left_alone: Mapping[str, str] | None = None  # providers, until when (ISO 8601)
    stranded: Mapping[str, int] | None = None  # messages by their routes, of no provider that there is


# --- Asterisk -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Application:
    """A Stasis application: whether somebody has registered it, and how many channels are in it."""

    registered: bool
    channels: int = 0


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A PJSIP endpoint. `trunk`: nobody logs in there as phones do, so it is one in all likelihood."""

    name: str
    trusts: bool  # trust_id_inbound
    trunk: bool


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Those that were looked at, of so many."""

    looked: tuple[Endpoint, ...]
    count: int


@dataclass(frozen=True, kw_only=True)
class Ari:
    """What one ARI answers; None where it does not tell. `ahead` is how much its clock is ahead of ours."""

    trouble: Trouble | None = None
    version: str = ""
    took: timedelta = timedelta(0)  # the first answer
    ahead: timedelta | None = None
    writes: bool | None = None
    application: Application | None = None
    modules: frozenset[str] | None = None  # that run, without `.so`
    endpoints: Endpoints | None = None
    variables: Mapping[str, str] | None = None  # globals of the dialplan, empty where not set


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The visits in AstDB: how many, and since when the oldest waits. `more`: there are more than were read.

    `nodes` is how many of them enter each node; `unreadable` how many cannot be read, and why the first cannot.
    """

    count: int
    oldest: datetime | None = None
    more: bool = False
    nodes: Mapping[str, int] = field(default_factory=dict)
    unreadable: int = 0
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of a configuration file of Asterisk's, or why it cannot be told. No passwords are in it."""

    values: Mapping[str, str] | None = None
    trouble: Trouble | None = None


@dataclass(frozen=True, kw_only=True)
class Ami:
    """What one AMI answers; None where it does not tell. `actions` are those that the user may ask for.

    `ahead` is how much its clock is ahead of ours; `endpoints` are asked for where there is no ARI.
    """

    trouble: Trouble | None = None
    version: str = ""
    actions: frozenset[str] | None = None
    took: timedelta = timedelta(0)  # until its clock was told
    ahead: timedelta | None = None
    endpoints: Endpoints | None = None
    modules: frozenset[str] | None = None  # those of `doctor_needs.MODULES` that run
    waiting: Waiting | None = None
    variables: Mapping[str, str] | None = None  # globals of the dialplan, empty where not set
    files: Mapping[str, Section] | None = None  # by name; of manager.conf the user's section, else [general]


@dataclass(frozen=True, kw_only=True)
class Pbx:
    """One Asterisk, by each door that is configured. `plan_trouble` says why there is no plan."""

    name: str
    ari: Ari | None = None
    ami: Ami | None = None
    plan: Dialplan | None = None
    plan_trouble: str = ""


# --- this machine, and whom it reaches ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A host that was connected to, or a file or folder that was looked at. `ends`: its certificate's last moment.

    `address` is that of the host.
    """

    where: str
    trouble: Trouble | None = None
    ends: datetime | None = None
    address: str = ""


@dataclass(frozen=True, kw_only=True)
class Database:
    """The outbox's file and folder. None where it cannot be told, or there is none yet."""

    path: Path
    user: str = ""  # who asks
    owner: str = ""  # of the folder
    trouble: Trouble | None = None  # of the folder: nothing can be written there
    foreign: str = ""  # why others could change the file
    root_owned: tuple[Path, ...] = ()  # files of ours that belong to root, in the folder of another user
    exists: bool = False
    file_trouble: Trouble | None = None
    schema: int | None = None
    newest: int = 0  # the schema of this version
    file_system: str = ""
    network: bool = False
    fsync: timedelta | None = None  # median
    free: int | None = None  # bytes
    spool: Path = Path()
    spool_trouble: Trouble | None = None
    spool_exists: bool = False
    quarantine: bool = False


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port of the gateway's, or its public address. `ours`: it is the gateway that answers there."""

    where: str
    trouble: Trouble | None = None
    status: int = 0
    server: str = ""
    ours: bool = False


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All of it; None where it was not asked."""

    now: datetime
    configuration: Configuration
    gateway: Gateway | None = None
    pbxs: tuple[Pbx, ...] = ()
    providers: Mapping[str, tuple[Reached, ...]] | None = None
    contents: Mapping[str, Reached] | None = None  # by node: the host of its content.api
    database: Database | None = None
    listener: Port | None = None  # for receipts
    public: Port | None = None
    agi: Port | None = None
