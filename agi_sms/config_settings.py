"""The settings tree: what may stand in agi-sms.yaml and nodes.d, with types, ranges and defaults."""

import contextvars
import zoneinfo
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pydantic_settings
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from agi_sms import config_types as types
from agi_sms import durations, numbers, rates
from agi_sms import retry as retries
from agi_sms.asterisk.settings import Ami, Ari
from agi_sms.content import settings as content_settings

MOST_SEGMENTS = 255  # 3GPP TS 23.040, 9.2.3.24.1: the number of segments is one octet


class Model(pydantic.BaseModel):
    """The base of every section."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Way(Model):
    """One entry of a route; without countries and prefixes it is for every number."""

    countries: Annotated[tuple[types.Region, ...], pydantic.BeforeValidator(types.separated)] = ()
    prefixes: Annotated[tuple[types.Prefix, ...], pydantic.BeforeValidator(types.separated)] = ()
    providers: types.Route


def _entries(value: object) -> object:
    """A list, or its only item."""
    return value if isinstance(value, list | tuple) else [value]


def _entry(value: object) -> "str | Way":
    """A provider's name, or some of them with conditions."""
    return Way.model_validate(value) if isinstance(value, Mapping | Way) else types.text(value)


def _alike(value: "tuple[str | Way, ...]") -> "tuple[str | Way, ...]":
    if len({isinstance(one, Way) for one in value}) > 1:
        what = "must be names of providers, or entries like {prefixes: [+48], providers: [a, b]}, not both"
        raise ValueError(f"{what}; give the names an entry without conditions: {{providers: [a, b]}}")
    return value


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
    recipients: types.Items = ()
    send_to_caller: types.Switch = False
    caller_countries: types.Countries | None = None
    once_per_call: types.Switch = False
    content: Content | None = None
    dialplan_recipients: types.Switch = False
    transliterate: types.Switch = False
    max_segments: Annotated[int, pydantic.Field(ge=1, le=MOST_SEGMENTS)] = 6
    max_age: types.Age | None = None
    route: types.Route | None = None
    time_zone: types.Zone | None = None
    region: types.Region | None = None
    limits: Limits = Limits()
    when: dict[types.Variable, types.Words] = {}


class Health(Model):
    """When a provider that takes nothing is left alone."""

    break_after: Annotated[int, pydantic.Field(ge=1, le=1000)] = 5
    break_for: types.Break = timedelta(seconds=30)


class Listening(Model):
    """A port of the gateway's."""

    listen: types.Listen

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

    listen: types.Listen = "127.0.0.1:8090"
    public_url: Annotated[str, pydantic.AfterValidator(types.public_url)] = ""


class Agi(Listening):
    """Where FastAGI reaches the nodes: connections at once, and how long each may take to say what it wants."""

    listen: types.Listen = "127.0.0.1:4573"
    connections: Annotated[int, pydantic.Field(ge=1, le=10_000)] = 500
    timeout: types.Patience = timedelta(seconds=5)


class Spool(Model):
    """The preallocated emergency file. Its path is beside the database by default."""

    path: types.FilePath | None = None
    size: types.Size = 16 << 20


class Log(Model):
    """What is logged, and how."""

    format: Literal["auto", "console", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"
    reveal: types.Switch = False


class Metrics(Listening):
    """Where Prometheus may ask."""

    listen: types.Listen = "127.0.0.1:9464"


class ContentHosts(Model):
    """How the hosts behind `content.api` are spared: questions to one at once, and when one is left alone."""

    concurrency: Annotated[int, pydantic.Field(ge=1, le=100)] = 4
    break_after: Annotated[int, pydantic.Field(ge=1, le=1000)] = 5  # faults in a row
    break_for: types.Break = timedelta(seconds=30)


class Trunk(Model):
    """How one trunk writes numbers; what is not set is as for its PBX."""

    number_format: numbers.NumberFormat | None = None
    strip: types.Leads | None = None
    prefix: types.Lead | None = None


class Pbx(Model):
    """One Asterisk. `addresses` are those that its FastAGI connections come from: FastAGI names no PBX."""

    ari: Ari | None = None
    ami: Ami | None = None
    addresses: types.Networks = ()
    number_format: numbers.NumberFormat = numbers.NumberFormat.AUTO
    strip: types.Leads = ()
    prefix: types.Lead = ""
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

    region: types.Region = "PL"
    time_zone: types.Zone = zoneinfo.ZoneInfo("Europe/Warsaw")
    database: types.FilePath = Path("/var/lib/agi-sms/agi-sms.db")
    spool: Spool = Spool()
    hold_budget: types.HoldBudget = timedelta(milliseconds=150)
    log: Log = Log()
    metrics: Metrics | None = None
    receipts: Receipts | None = None
    agi: Agi | None = None
    health: Health = Health()
    retry: retries.Policy = retries.Policy()
    max_age: types.Age = timedelta(hours=24)
    drain: types.Drain = timedelta(seconds=20)
    concurrency: Annotated[int, pydantic.Field(ge=1, le=1000)] = 20
    content: ContentHosts = ContentHosts()
    defaults: NodeSettings = NodeSettings()
    groups: dict[types.Name, types.Items] = {}
    pbx: dict[types.Name, Pbx] = {}
    providers: dict[types.Name, dict[str, Any]] = {}
    routes: dict[types.Name, Ways] = {}
    nodes: dict[types.Name, NodeSettings] = {}

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
