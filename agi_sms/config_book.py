"""What the compiling of nodes works with: the whole configuration, templates, and one node's keys and places."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agi_sms import errors, node, text
from agi_sms.config_files import Reader
from agi_sms.config_mistakes import Mistakes, Spot
from agi_sms.config_settings import NodeSettings, Settings
from agi_sms.content import settings as content_settings

_MOST_TEMPLATE = 64 << 10
_TEXT_ERROR = re.compile(r"[^:]*:(\d+): (.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class TemplateFile:
    """A file of templates.d, compiled."""

    source: str
    template: text.Template
    spot: Spot


@dataclass(frozen=True, kw_only=True)
class Detail:
    """What `check` tells of a node beside its settings. `variables` are those that the dialplan must set.

    `sized` is None where the text depends on what the customer's system answers; then `sample` says where from.
    """

    where: str
    sample: str
    sized: text.Sized | None
    variables: tuple[str, ...]
    template: str = ""
    api: content_settings.Api | None = None
    fallback: text.Sized | None = None


@dataclass(kw_only=True)
class Book:
    """What nodes refer to, and where mistakes go. `lost` names what had mistakes of its own already."""

    settings: Settings
    spot: Spot
    mistakes: Mistakes
    warnings: Mistakes
    providers: frozenset[str]
    templates: Mapping[str, TemplateFile | None]
    routes: frozenset[str]
    group_names: frozenset[str]
    lost: frozenset[tuple[object, ...]] = frozenset()
    groups: dict[str, tuple[node.Recipient, ...]] = field(default_factory=dict)
    compiled: dict[str, node.Route] = field(default_factory=dict)  # those of `routes` that stand
    used: set[tuple[str, str]] = field(default_factory=set)


class Entry:
    """One node as written, with what `defaults` add to it, and where each key stands."""

    def __init__(self, book: Book, name: str) -> None:
        self.book = book
        self.name = name
        self._own = book.settings.nodes[name]
        shared = book.settings.defaults
        values = {key: getattr(shared, key) for key in shared.model_fields_set}
        values |= {key: getattr(self._own, key) for key in self._own.model_fields_set}
        self.settings = NodeSettings.model_construct(**values)

    def spot(self, *path: object) -> Spot:
        """Where a key of this node stands: in the node, or in `defaults`."""
        if self._shared(path) and path[0] in self.book.settings.defaults.model_fields_set:
            return self.book.spot.at("defaults", *path)
        return self.book.spot.at("nodes", self.name, *path)

    def wrong(self, what: str, *path: object, below: str = "") -> None:
        """Note a mistake at a key."""
        self.book.mistakes.add(self.spot(*path), what, below=below)

    def warn(self, what: str, *path: object) -> None:
        """Note a warning at a key."""
        self.book.warnings.add(self.spot(*path), what)

    def lost(self, *path: object) -> bool:
        """Whether a mistake here, or below, has been told."""
        wholes = [("nodes", self.name, *path)] + ([("defaults", *path)] if self._shared(path) else [])
        return any(lost[: len(whole)] == whole for lost in self.book.lost for whole in wholes)

    def _shared(self, path: tuple[object, ...]) -> bool:
        return bool(path) and path[0] not in self._own.model_fields_set


def address(api: content_settings.Api) -> str:
    """Where the customer's system is, without a query, which may hold a key."""
    return api.url.partition("?")[0]


def read_templates(reader: Reader, paths: Iterable[Path]) -> dict[str, TemplateFile | None]:
    """The templates by name; None for one with a mistake."""
    found: dict[str, TemplateFile | None] = {}
    for path in paths:
        found[path.stem] = None
        source = reader.text(path, _MOST_TEMPLATE)
        if source is not None:
            spot = Spot(str(path), 1, "", block=1)
            template = compiled(source, spot, "template", reader.mistakes)
            if template is not None:
                found[path.stem] = TemplateFile(source=source, template=template, spot=spot)
    return found


def compiled(source: str, spot: Spot, name: str, mistakes: Mistakes) -> text.Template | None:
    """A text, or None with its mistake noted."""
    try:
        return text.Template(source, name=name)
    except errors.TextError as error:
        note(error, spot, mistakes)
        return None


def note(error: errors.TextError, spot: Spot, mistakes: Mistakes) -> None:
    """A template's mistake (`name:line: what`) at its line in the file, where that can be told."""
    match = _TEXT_ERROR.fullmatch(str(error))
    if match and spot.block:
        spot = Spot(spot.file, spot.block + int(match.group(1)) - 1, spot.key)
    mistakes.add(spot, match.group(2) if match else str(error))
