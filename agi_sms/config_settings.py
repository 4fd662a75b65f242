"""The settings tree: what may stand in agi-sms.yaml and nodes.d, with types, ranges and defaults."""

import contextvars
import functools
import re
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pydantic_settings
from pydantic.fields import FieldInfo
from pydantic_core import PydanticKnownError
from pydantic_settings import PydanticBaseSettingsSource

from agi_sms import durations, node, numbers, rates
from agi_sms import retry as retries
from agi_sms.asterisk.settings import Ami, Ari
from agi_sms.config_words import nearest
from agi_sms.content import settings as content_settings

MOST_SEGMENTS = 255  # 3GPP TS 23.040, 9.2.3.24.1: the number of segments is one octet
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SIZE = re.compile(r"(\d{1,15})\s*(B|KiB|MiB|GiB)?")
_UNITS = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("a name has 1 to 64 of the characters A-Z a-z 0-9 _ . -")
    return value


def _separated(value: object) -> object:
    """A list, or its items in one string with commas between."""
    if isinstance(value, list | tuple):
        return value
    return [part.strip() for part in _text(value).split(",") if part.strip()]


def _single(value: object) -> object:
    """A list, or its only item."""
    return value if isinstance(value, list | tuple) else [_text(value)]


def _size(value: object) -> object:
    if isinstance(value, int):
        return value
    match = _SIZE.fullmatch(_text(value).strip())
    if not match:
        raise ValueError("must be a size: a number with KiB, MiB or GiB, like 16MiB")
    return int(match.group(1)) * _UNITS[match.group(2)]


def _zone(value: object) -> zoneinfo.ZoneInfo:
    if isinstance(value, zoneinfo.ZoneInfo):
        return value
    try:
        return zoneinfo.ZoneInfo(_text(value))
    except (KeyError, ValueError, OSError):
        hint = nearest(value, _zones())
        hint = hint if hint.startswith("did") else "write a name like Europe/Warsaw"
        raise ValueError(f"is no time zone; {hint}") from None


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _region(value: str) -> str:
    if not numbers.known_region(value):
        known = numbers.known_region(value.upper())
        raise ValueError(f"is no region; {f'did you mean {value.upper()}?' if known else 'two letters, like PL or DE'}")
    return value


def _country(value: str) -> str:
    if value.lower() != node.ANY:
        return _region(value)
    if value != node.ANY:
        raise ValueError(f"is no region; did you mean {node.ANY}?")
    return value


def _countries(value: tuple[str, ...]) -> tuple[str, ...]:
    if node.ANY in value and len(value) > 1:
        raise ValueError(f"{node.ANY} stands alone, or regions do, like PL or [PL, DE]")
    return value


def _listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    odd = any(character.isspace() or not character.isprintable() for character in host)
    if not colon or not host or odd or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("must be an address and a port, like 127.0.0.1:9464 or [::1]:9464")
    return value


def _public_url(value: str) -> str:
    if value and not re.fullmatch(r"https?://[A-Za-z0-9._\[\]:-]+(?:/[^?# ]*)?", value):
        raise ValueError("must be an address such as https://sms.example, without user, query and fragment")
    return value.rstrip("/")


def _lead(value: str) -> str:
    if not re.fullmatch(r"\+?[0-9*#]{0,15}", value):
        raise ValueError("must be the beginning of a number, like 00 or +48")
    return value


def _prefix(value: str) -> str:
    if not re.fullmatch(r"\+[1-9][0-9]{0,14}", value):
        raise ValueError("must be the beginning of an international number: + and digits, like +48 or +4866")
    return value


def _entries(value: object) -> object:
    """A list, or its only item."""
    return value if isinstance(value, list | tuple) else [value]


def _entry(value: object) -> "str | Way":
    """A provider's name, or some of them with conditions."""
    return Way.model_validate(value) if isinstance(value, Mapping | Way) else _text(value)


def _alike(value: "tuple[str | Way, ...]") -> "tuple[str | Way, ...]":
    if len({isinstance(one, Way) for one in value}) > 1:
        what = "must be names of providers, or entries like {prefixes: [+48], providers: [a, b]}, not both"
        raise ValueError(f"{what}; give the names an entry without conditions: {{providers: [a, b]}}")
    return value


def _path(value: Path) -> Path:
    if "\0" in str(value) or not value.name:
        raise ValueError("must be the path of a file")
    return value


def _between(least: timedelta, most: timedelta) -> Callable[[timedelta], timedelta]:
    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            raise ValueError(f"must be from {durations.show(least)} to {durations.show(most)}")
        return value

    return check


Name = Annotated[str, pydantic.AfterValidator(_name)]
Switch = pydantic.StrictBool
Items = Annotated[tuple[str, ...], pydantic.BeforeValidator(_separated)]
Lead = Annotated[str, pydantic.AfterValidator(_lead)]
Leads = Annotated[tuple[Lead, ...], pydantic.BeforeValidator(_separated)]
Route = Annotated[tuple[str, ...], pydantic.BeforeValidator(_single), pydantic.Field(min_length=1)]
Prefix = Annotated[str, pydantic.AfterValidator(_prefix)]
Size = Annotated[int, pydantic.BeforeValidator(_size), pydantic.Field(ge=1 << 20, le=1 << 34)]
Zone = Annotated[zoneinfo.ZoneInfo, pydantic.PlainValidator(_zone)]
Region = Annotated[str, pydantic.AfterValidator(_region)]
Country = Annotated[str, pydantic.AfterValidator(_country)]
Countries = Annotated[
    tuple[Country, ...],
    pydantic.BeforeValidator(_separated),
    pydantic.Field(min_length=1),
    pydantic.AfterValidator(_countries),
]
Listen = Annotated[str, pydantic.AfterValidator(_listen)]
FilePath = Annotated[Path, pydantic.AfterValidator(_path)]
_AGE = pydantic.AfterValidator(_between(timedelta(seconds=1), durations.LONGEST))
Age = Annotated[durations.Duration, _AGE]
_HOLD = pydantic.AfterValidator(_between(timedelta(milliseconds=10), timedelta(seconds=10)))
_DRAIN = pydantic.AfterValidator(_between(timedelta(0), timedelta(minutes=10)))
_BREAK = pydantic.AfterValidator(_between(timedelta(seconds=1), timedelta(hours=1)))


class Model(pydantic.BaseModel):
    """The base of every section."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Way(Model):
    """One entry of a route; without countries and prefixes it is for every number."""

    countries: Annotated[tuple[Region, ...], pydantic.BeforeValidator(_separated)] = ()
    prefixes: Annotated[tuple[Prefix, ...], pydantic.BeforeValidator(_separated)] = ()
    providers: Route


Ways = Annotated[
    tuple[Annotated[str | Way, pydantic.PlainValidator(_entry)], ...],
    pydantic.BeforeValidator(_entries),
    pydantic.Field(min_length=1),
    pydantic.AfterValidator(_alike),
]


class Content(Model):
    """What the SMS says: a text or a template, or what the customer's system answers, which either may show."""

    text: str | None = None
    template: str | None = None
    api: content_settings.Api | None = None
    fallback: str | None = None


class Limits(Model):
    """How many messages a node may make."""

    per_recipient: rates.Field | None = None
    per_node: rates.Field | None = None


class NodeSettings(Model):
    """One node as written. What is not set comes from `defaults`, then from here."""

    description: Annotated[str, pydantic.Field(max_length=200)] = ""
    sender: str = ""
    delay: durations.Duration = timedelta(0)
    recipients: Items = ()
    send_to_caller: Switch = False
    caller_countries: Countries | None = None
    once_per_call: Switch = False
    content: Content | None = None
    dialplan_recipients: Switch = False
    transliterate: Switch = False
    max_segments: Annotated[int, pydantic.Field(ge=1, le=MOST_SEGMENTS)] = 6
    max_age: Age | None = None
    route: Route | None = None
    time_zone: Zone | None = None
    region: Region | None = None
    limits: Limits = Limits()


class Health(Model):
    """When a provider that takes nothing is left alone."""

    break_after: Annotated[int, pydantic.Field(ge=1, le=1000)] = 5
    break_for: Annotated[durations.Duration, _BREAK] = timedelta(seconds=30)


class Listening(Model):
    """A port of the gateway's."""

    listen: Listen

    @property
    def host(self) -> str:
        """The address alone, an IPv6 one without its brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port alone."""
        return int(self.listen.rpartition(":")[2])


class Receipts(Listening):
    """Where providers report what became of messages; `public_url` is how they reach it."""

    listen: Listen = "127.0.0.1:8090"
    public_url: Annotated[str, pydantic.AfterValidator(_public_url)] = ""


class Spool(Model):
    """The preallocated emergency file. Its path is beside the database by default."""

    path: FilePath | None = None
    size: Size = 16 << 20


class Log(Model):
    """What is logged, and how."""

    format: Literal["auto", "console", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"
    reveal: Switch = False


class Metrics(Listening):
    """Where Prometheus may ask."""

    listen: Listen = "127.0.0.1:9464"


class ContentHosts(Model):
    """How the hosts behind `content.api` are spared: questions to one at once, and when one is left alone."""

    concurrency: Annotated[int, pydantic.Field(ge=1, le=100)] = 4
    break_after: Annotated[int, pydantic.Field(ge=1, le=1000)] = 5  # faults in a row
    break_for: Annotated[durations.Duration, _BREAK] = timedelta(seconds=30)


class Trunk(Model):
    """How one trunk writes numbers; what is not set is as for its PBX."""

    number_format: numbers.NumberFormat | None = None
    strip: Leads | None = None
    prefix: Lead | None = None


class Pbx(Model):
    """One Asterisk."""

    ari: Ari | None = None
    ami: Ami | None = None
    number_format: numbers.NumberFormat = numbers.NumberFormat.AUTO
    strip: Leads = ()
    prefix: Lead = ""
    trunks: dict[str, Trunk] = {}


class Settings(pydantic_settings.BaseSettings):
    """The whole tree. Values come from the environment (`AGI_SMS_LOG__LEVEL=debug`), then from the files."""

    model_config = pydantic_settings.SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="AGI_SMS_",
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    region: Region = "PL"
    time_zone: Zone = zoneinfo.ZoneInfo("Europe/Warsaw")
    database: FilePath = Path("/var/lib/agi-sms/agi-sms.db")
    spool: Spool = Spool()
    hold_budget: Annotated[durations.Duration, _HOLD] = timedelta(milliseconds=150)
    log: Log = Log()
    metrics: Metrics | None = None
    receipts: Receipts | None = None
    health: Health = Health()
    retry: retries.Policy = retries.Policy()
    max_age: Age = timedelta(hours=24)
    drain: Annotated[durations.Duration, _DRAIN] = timedelta(seconds=20)
    concurrency: Annotated[int, pydantic.Field(ge=1, le=1000)] = 20
    content: ContentHosts = ContentHosts()
    defaults: NodeSettings = NodeSettings()
    groups: dict[Name, Items] = {}
    pbx: dict[Name, Pbx] = {}
    providers: dict[Name, dict[str, Any]] = {}
    routes: dict[Name, Ways] = {}
    nodes: dict[Name, NodeSettings] = {}

    @property
    def spool_path(self) -> Path:
        """Where the spool is: beside the database, unless it is told."""
        return self.spool.path or self.database.with_suffix(".spool")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[pydantic_settings.BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Our own trees in place of the process's environment, so that every mistake has its place."""
        del env_settings, dotenv_settings, file_secret_settings
        return (init_settings, *(_Tree(settings_cls, tree) for tree in _trees.get()))


class _Tree(PydanticBaseSettingsSource):
    """A source that was read before."""

    def __init__(self, settings_cls: type[pydantic_settings.BaseSettings], tree: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._tree = tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(self._tree)


_trees: contextvars.ContextVar[tuple[Mapping[str, Any], ...]] = contextvars.ContextVar("trees", default=())


@contextmanager
def sources(*trees: Mapping[str, Any]) -> Iterator[None]:
    """Within this, `Settings()` takes its values from the trees; an earlier one wins."""
    token = _trees.set(trees)
    try:
        yield
    finally:
        _trees.reset(token)
