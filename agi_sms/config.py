"""The configuration: read, checked whole, compiled. A reload loads a new one and swaps it.

`agi-sms.yaml` is the main file; `nodes.d/*.yaml` and `templates.d/*.txt` stand beside it. Environment variables
(`AGI_SMS_LOG__LEVEL=debug`) override what the files say, and `${NAME}` in a value is filled in from the environment.
"""

import copy
import functools
import ipaddress
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from agi_sms import (
    config_book,
    config_environment,
    config_nodes,
    config_pbx,
    config_providers,
    config_settings,
    errors,
    node,
    numbers,
    providers,
)
from agi_sms.config_book import Book, Detail
from agi_sms.config_files import Reader
from agi_sms.config_mistakes import Mistakes, Spot
from agi_sms.config_nodes import PRINT
from agi_sms.config_report import format_report
from agi_sms.config_settings import Settings
from agi_sms.config_words import nearest, validated
from agi_sms.content import settings as content_settings
from agi_sms.web import addresses

__all__ = ["Config", "format_report", "load", "restart_needed"]

M = TypeVar("M", bound=pydantic.BaseModel)

NEEDS_RESTART = ("database", "spool", "hold_budget", "drain", "metrics", "receipts", "agi")  # and of PBXs: ari, ami
_OTHERS = 0o004  # the mode bit that lets every user of the machine read a file


@dataclass(frozen=True, kw_only=True)
class Config:
    """A configuration without mistakes. `warnings` are `file:line: key: ...`, as mistakes are.

    `providers` holds validated settings for `providers.build`, `sources` those of the nodes that ask the customer's
    system, for `content.build`; `details` what `check` tells of each node.
    """

    path: Path
    settings: Settings
    nodes: Mapping[str, node.Node]
    providers: Mapping[str, pydantic.BaseModel]
    sources: Mapping[str, content_settings.Api]
    details: Mapping[str, Detail]
    templates: tuple[str, ...]
    warnings: tuple[str, ...]

    def rules(self, pbx: str, trunk: str) -> numbers.Rules:
        """How numbers that come in over this trunk are read; a PBX or trunk nobody configured has the defaults."""
        region = self.settings.region
        at = self.settings.pbx.get(pbx)
        if at is None:
            return numbers.Rules(region=region)
        own = at.trunks.get(trunk) or config_settings.Trunk()
        return numbers.Rules(
            number_format=own.number_format or at.number_format,
            region=region,
            strip=at.strip if own.strip is None else own.strip,
            prefix=at.prefix if own.prefix is None else own.prefix,
        )

    def pbx_at(self, address: str) -> str | None:
        """Which PBX a FastAGI connection from this address belongs to; None where it is nobody's."""
        peer = ipaddress.ip_address(address)
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return next((name for network, name in self._addresses.items() if peer in network), None)

    @functools.cached_property
    def _addresses(self) -> Mapping[config_pbx.Network, str]:
        return config_pbx.addresses(self.settings)


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read the configuration whose main file is `path`.

    Raises errors.ConfigError with every mistake as `file:line: key: what is wrong, what would be right`, or
    `environment: VARIABLE: ...`. Relative paths in it are read from the main file's folder.
    """
    found, mistakes = examined(path, environ)
    if found is None or mistakes:
        raise errors.ConfigError(mistakes)
    return found


def examined(path: Path, environ: Mapping[str, str]) -> tuple[Config | None, tuple[str, ...]]:
    """As `load`, for tools that tell of a configuration with mistakes: what of it stands, and all mistakes."""
    loader = _Loader(path, environ)
    try:
        found = loader.load()
    except RecursionError:
        found = None
        loader.mistakes.add(Spot(str(path), 0, ""), "is nested too deeply")
    return found, loader.mistakes.texts(loader.files)


@dataclass(frozen=True, kw_only=True)
class Basics:
    """What is needed to read the history. `mistakes` is how many there are elsewhere."""

    database: Path
    time_zone: zoneinfo.ZoneInfo
    mistakes: int = 0


def basics(path: Path, environ: Mapping[str, str]) -> Basics:
    """What the configuration says of them, also where other keys have mistakes.

    Raises errors.ConfigError where it has mistakes, and does not say where the outbox is.
    """
    loader = _Loader(path, environ)
    try:
        loader.load()
    except RecursionError:
        loader.mistakes.add(Spot(str(path), 0, ""), "is nested too deeply")
    found, mistakes = loader.settings, loader.mistakes.texts(loader.files)
    if found is None or (mistakes and "database" not in found.model_fields_set):
        raise errors.ConfigError(mistakes)
    return Basics(database=found.database, time_zone=found.time_zone, mistakes=len(mistakes))


def restart_needed(old: Config, new: Config) -> list[str]:
    """The keys whose change takes effect only when the gateway is started again."""
    keys = [key for key in NEEDS_RESTART if getattr(old.settings, key) != getattr(new.settings, key)]
    before, after = old.settings.pbx, new.settings.pbx
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            keys.append(f"pbx.{name}")
            continue
        keys += [
            f"pbx.{name}.{part}" for part in ("ari", "ami") if getattr(before[name], part) != getattr(after[name], part)
        ]
    return keys


class _Loader:
    """One load: the files, then the environment, then the tree, then what refers to what."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self.path = path
        self.mistakes = Mistakes()
        self.warnings = Mistakes(self.mistakes.secrets)
        self.reader = Reader(environ, self.mistakes)
        self.files = [str(path)]
        self.lost: frozenset[tuple[object, ...]] = frozenset()
        self.settings: Settings | None = None  # as far as they are right

    def load(self) -> Config | None:
        main = self.reader.mapping(self.path)
        node_files = self.beside("nodes.d", (".yaml", ".yml"))
        self.files += [str(path) for path in node_files]
        more = [found for found in map(self.reader.mapping, node_files) if found is not None]
        template_files = self.beside("templates.d", (".txt",))
        templates = config_book.read_templates(self.reader, template_files)
        if main is None:
            return None
        tree, spot = main
        for values, spots in more:
            self.join(tree, spot, values, spots)
        over, over_spot = config_environment.read(self.reader, Settings, tree)
        config_environment.merge(spot, over_spot)
        settings, self.lost = validated(lambda: _settings(over, tree), Settings, (over, tree), spot, self.mistakes)
        if settings is None:
            return None
        self.settings = settings = _anchored(settings, self.path.absolute().parent)
        book = Book(
            settings=settings,
            spot=spot,
            mistakes=self.mistakes,
            warnings=self.warnings,
            providers=_names(over, tree, "providers") | self.below("providers") | {PRINT},
            templates=templates,
            routes=_names(over, tree, "routes") | self.below("routes"),
            group_names=_names(over, tree, "groups") | self.below("groups"),
            lost=self.lost,
        )
        built = self.providers(book)
        nodes, details = config_nodes.compile_all(book)
        for name, one in details.items():
            if one.api is not None and one.api.ca_file is not None:
                config_pbx.certificates(
                    one.api.ca_file, spot.at("nodes", name, "content", "api", "ca_file"), self.mistakes
                )
        self.hints(book, nodes, template_files, built)
        return Config(
            path=self.path,
            settings=settings,
            nodes=nodes,
            providers=built,
            sources={
                name: one.api.guarding(self.mistakes.secrets) for name, one in details.items() if one.api is not None
            },
            details=details,
            templates=tuple(templates),
            warnings=self.warnings.texts(self.files),
        )

    def below(self, section: str) -> frozenset[str]:
        """The names under a section that were taken out for a mistake."""
        return frozenset(str(path[1]) for path in self.lost if path[0] == section and len(path) > 1)

    def beside(self, folder: str, endings: tuple[str, ...]) -> list[Path]:
        """The files of a folder beside the main file, by name; there need not be such a folder."""
        where = self.path.parent / folder
        try:
            return sorted(p for p in where.iterdir() if p.suffix in endings and not p.name.startswith("."))
        except (FileNotFoundError, ValueError):
            return []
        except OSError as error:
            self.mistakes.add(Spot(str(where), 0, ""), f"cannot be read: {(error.strerror or '').lower()}")
            return []

    def join(self, tree: dict[str, Any], spot: Spot, values: dict[str, Any], spots: Spot) -> None:
        """Put a file's nodes among the main file's."""
        if tree.get("nodes") is None:
            tree["nodes"] = {}
        nodes = tree["nodes"]
        if not isinstance(nodes, dict):
            return  # which is a mistake of its own
        places = spot.children.setdefault("nodes", Spot(spot.file, 0, "nodes")).children
        for name, value in values.items():
            if name in nodes:
                first = places[name]
                self.mistakes.add(spots.at(name), f"there is a node of this name already, in {first.file}:{first.line}")
            else:
                nodes[name], places[name] = value, spots.at(name)

    def providers(self, book: Book) -> dict[str, pydantic.BaseModel]:
        """The settings of every provider that stands, by its own class."""
        everyone = {PRINT: {"type": PRINT}} | book.settings.providers
        made = {name: self.provider(book, name, copy.deepcopy(values)) for name, values in everyone.items()}
        return {name: settings for name, settings in made.items() if settings is not None}

    def provider(self, book: Book, name: str, tree: dict[str, Any]) -> pydantic.BaseModel | None:
        spot = book.spot.at("providers", name)
        kind = tree.get("type")
        known = providers.REGISTRY
        if kind is None:
            self.mistakes.add(spot, f"is missing; known: {', '.join(sorted(known))}", below="type")
            return None
        if not isinstance(kind, str) or (kind not in known and ":" not in kind):
            self.mistakes.add(spot.at("type"), f"there is no such type of provider; {self.meant(kind)}")
            return None
        try:
            shape = providers.settings_class(kind)
        except ValueError as error:
            self.mistakes.add(spot.at("type"), str(error))
            return None
        folder = self.path.absolute().parent
        if kind == "http":
            filled = self.filled(book, name, tree, spot, folder)
            if filled is None:
                return None
            tree, spot = filled
        base = {"base": folder}
        return validated(lambda: shape.model_validate(tree, context=base), shape, (tree,), spot, self.mistakes)[0]

    def meant(self, kind: object) -> str:
        """What a type that there is not may have been."""
        from agi_sms.providers import profiles

        if kind in profiles.names([self.path.absolute().parent / "profiles.d"]):
            return f"{kind} is a profile: write type: http, profile: {kind}"
        return nearest(kind, providers.REGISTRY)

    def filled(
        self, book: Book, name: str, tree: dict[str, Any], spot: Spot, folder: Path
    ) -> tuple[dict[str, Any], Spot] | None:
        """An HTTP provider's settings with those of its profile, and the address for its receipts."""
        if tree.get("profile"):
            from agi_sms.providers import profiles

            expanded = profiles.expanded(tree, spot, [folder / "profiles.d"], self.mistakes)
            if expanded is None:
                return None
            tree, spot = expanded
        desk = book.settings.receipts
        if desk is not None and desk.public_url and tree.get("receipts") is not None:
            tree.setdefault("receipt_url", addresses.receipts(desk.public_url, name))
        return tree, spot

    def through(self, name: str, settings: pydantic.BaseModel, book: Book) -> None:
        """The PBX that a provider sends through."""
        named = getattr(settings, "pbx", None)
        if named is None:
            return
        spot = book.spot.at("providers", name, "pbx")
        pbx = book.settings.pbx.get(named)
        if pbx is None:
            if ("pbx", named) not in self.lost:
                self.mistakes.add(spot, f"there is no pbx {named[:80]!r}; {nearest(named, book.settings.pbx)}")
            return
        door = getattr(settings, "over", "ami")
        if getattr(pbx, door) is None and ("pbx", named, door) not in self.lost:
            self.mistakes.add(spot, f"{named} has no {door}, over which this provider sends")

    def hints(
        self,
        book: Book,
        nodes: Mapping[str, node.Node],
        templates: list[Path],
        built: Mapping[str, pydantic.BaseModel],
    ) -> None:
        """Warnings about the whole: what is configured and does nothing, or not what one would think."""
        self.unused(book, nodes)
        config_providers.warn(book, built)
        for name, settings in built.items():
            self.through(name, settings, book)
        for path in templates:
            if ("templates", path.stem) not in book.used:
                self.warnings.add(Spot(str(path), 0, ""), "no node uses this template")
        if not book.settings.pbx:
            self.warnings.add(Spot(str(self.path), 0, "pbx"), "is missing: no call can arrive")
        config_pbx.check(book)
        for spot, doubt in self.reader.doubts:
            self.warnings.add(spot, doubt)
        for file, spot in self.reader.literal.items():
            if _public(Path(file)):
                hint = "every user of this machine can read this secret: chmod o-r the file, or write ${NAME}"
                self.warnings.add(spot, hint)

    def unused(self, book: Book, nodes: Mapping[str, node.Node]) -> None:
        settings = book.settings
        used = {name for one in nodes.values() for name in one.route.providers}
        used |= {name for route in book.compiled.values() for name in route.providers}
        for name in settings.providers:
            if name not in used:
                self.warnings.add(book.spot.at("providers", name), "no route and no node uses it")
        if not set(settings.providers) - {PRINT} or "default" in book.routes:
            return
        for name, own in settings.nodes.items():
            if (own.route or settings.defaults.route) is None:
                hint = "only prints its SMS: it has no route, and there is no routes.default"
                self.warnings.add(book.spot.at("nodes", name), hint)


def _public(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except OSError:
        return False


def _settings(over: Mapping[str, Any], tree: Mapping[str, Any]) -> Settings:
    with config_settings.sources(over, tree):
        return Settings()


def _names(over: Mapping[str, Any], tree: Mapping[str, Any], section: str) -> frozenset[str]:
    """The names under a section, also of those whose settings have mistakes."""
    sections = (over.get(section), tree.get(section))
    return frozenset(name for one in sections if isinstance(one, dict) for name in one)


def _anchored(model: M, base: Path) -> M:
    """The model with its relative paths put under `base`."""
    changes: dict[str, Any] = {}
    for name, value in model:
        fresh = _moved(value, base)
        if fresh is not value:
            changes[name] = fresh
    return model.model_copy(update=changes) if changes else model


def _moved(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return value if value.is_absolute() else base / value
    if isinstance(value, pydantic.BaseModel):
        return _anchored(value, base)
    if isinstance(value, dict):
        fresh = {name: _moved(inner, base) for name, inner in value.items()}
        return fresh if any(fresh[name] is not value[name] for name in value) else value
    return value
