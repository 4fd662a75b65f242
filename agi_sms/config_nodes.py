"""Nodes as they are written, checked against everything that can be known before a call, and compiled."""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import timedelta
from pathlib import Path

from agi_sms import durations, errors, node, numbers, text
from agi_sms.config_files import Reader
from agi_sms.config_mistakes import Mistakes, Spot
from agi_sms.config_settings import NodeSettings, Settings
from agi_sms.config_words import nearest

PRINT = "print"  # the provider that always exists
_MOST_TEMPLATE = 64 << 10
_TEXT_ERROR = re.compile(r"[^:]*:(\d+): (.*)", re.DOTALL)
_NORTH_AMERICA = "+1"


@dataclass(frozen=True, kw_only=True)
class TemplateFile:
    """A file of templates.d, compiled."""

    source: str
    template: text.Template
    spot: Spot


@dataclass(frozen=True, kw_only=True)
class Detail:
    """What `check` tells of a node beside its settings. `variables` are those that the dialplan must set."""

    where: str
    sample: str
    sized: text.Sized
    variables: tuple[str, ...]
    template: str = ""


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
    used: set[tuple[str, str]] = field(default_factory=set)


def read_templates(reader: Reader, paths: Iterable[Path]) -> dict[str, TemplateFile | None]:
    """The templates by name; None for one with a mistake."""
    found: dict[str, TemplateFile | None] = {}
    for path in paths:
        found[path.stem] = None
        source = reader.text(path, _MOST_TEMPLATE)
        if source is not None:
            spot = Spot(str(path), 1, "", block=1)
            compiled = _compiled(source, spot, "template", reader.mistakes)
            if compiled is not None:
                found[path.stem] = TemplateFile(source=source, template=compiled, spot=spot)
    return found


def compile_all(book: Book) -> tuple[dict[str, node.Node], dict[str, Detail]]:
    """Every node that stands; mistakes and warnings are noted in the book."""
    for name, entries in book.settings.groups.items():
        book.groups[name] = tuple(_members(book, name, entries))
    nodes: dict[str, node.Node] = {}
    details: dict[str, Detail] = {}
    for name in book.settings.nodes:
        made = _Compiler(book, name).compiled()
        if made is not None:
            nodes[name], details[name] = made
    for kind, names in (("groups", book.groups), ("routes", book.settings.routes)):
        for name in names:
            if (kind, name) not in book.used and (kind, name) != ("routes", "default"):
                book.warnings.add(book.spot.at(kind, name), "no node uses it")
    return nodes, details


def resolve_route(book: Book, named: tuple[str, ...], spot: Spot) -> tuple[str, ...]:
    """Provider names in their order, for a route's name, a provider's, or a list of providers."""
    if len(named) == 1 and named[0] in book.settings.routes:
        book.used.add(("routes", named[0]))
        return book.settings.routes[named[0]]
    if len(named) == 1 and named[0] in book.routes:
        return named  # its mistakes have been told
    check_providers(book, named, spot, others=book.routes if len(named) == 1 else frozenset())
    return named


def check_providers(book: Book, named: tuple[str, ...], spot: Spot, *, others: frozenset[str] = frozenset()) -> None:
    """Note names that are no provider, and those that stand there twice."""
    for at, name in enumerate(named):
        if name not in book.providers:
            known = book.providers | others
            what = "route or provider" if others else "provider"
            book.mistakes.add(spot.at(at), f"there is no {what} {name[:80]!r}; {nearest(name, known)}")
        elif name in named[:at]:
            book.warnings.add(spot.at(at), f"{name!r} stands in this route twice")


def _members(book: Book, group: str, entries: tuple[str, ...]) -> Iterable[node.Recipient]:
    spot = book.spot.at("groups", group)
    for at, entry in enumerate(entries):
        if entry.startswith("@"):
            book.mistakes.add(spot.at(at), "a group holds numbers only; a node may name several groups")
        else:
            number = _number(book, entry, spot.at(at))
            if number:
                yield node.Recipient(number=number, group=group)


def _number(book: Book, entry: str, spot: Spot) -> str | None:
    rules = numbers.Rules(number_format=numbers.NumberFormat.E164, region=book.settings.region)
    try:
        number = numbers.read(entry, rules)
    except errors.NumberError as error:
        book.mistakes.add(spot, str(error))
        return None
    if number.kind is numbers.Kind.LANDLINE:
        book.warnings.add(spot, f"{number.e164} is a landline: it gets its SMS only where its operator reads them out")
    return number.e164


def _compiled(source: str, spot: Spot, name: str, mistakes: Mistakes) -> text.Template | None:
    try:
        return text.Template(source, name=name)
    except errors.TextError as error:
        _note(error, spot, mistakes)
        return None


def _note(error: errors.TextError, spot: Spot, mistakes: Mistakes) -> None:
    """A template's mistake (`name:line: what`) at its line in the file, where that can be told."""
    match = _TEXT_ERROR.fullmatch(str(error))
    if match and spot.block:
        spot = Spot(spot.file, spot.block + int(match.group(1)) - 1, spot.key)
    mistakes.add(spot, match.group(2) if match else str(error))


class _Compiler:
    """One node on its way from settings to `node.Node`."""

    def __init__(self, book: Book, name: str) -> None:
        self.book = book
        self.name = name
        self.own = book.settings.nodes[name]
        shared = book.settings.defaults
        values = {key: getattr(shared, key) for key in shared.model_fields_set}
        values |= {key: getattr(self.own, key) for key in self.own.model_fields_set}
        self.settings = NodeSettings.model_construct(**values)

    def spot(self, *path: object) -> Spot:
        """Where a key of this node stands: in the node, or in `defaults`."""
        here = self.book.spot.at("nodes", self.name)
        if (
            path
            and path[0] not in self.own.model_fields_set
            and path[0] in self.book.settings.defaults.model_fields_set
        ):
            return self.book.spot.at("defaults", *path)
        return here.at(*path)

    def wrong(self, what: str, *path: object, below: str = "") -> None:
        self.book.mistakes.add(self.spot(*path), what, below=below)

    def warn(self, what: str, *path: object) -> None:
        self.book.warnings.add(self.spot(*path), what)

    def compiled(self) -> tuple[node.Node, Detail] | None:
        wanted, settings = self.settings, self.book.settings
        recipients = self.recipients()
        self.sender(recipients)
        limits = self.limits(recipients)
        if not (recipients or wanted.send_to_caller or wanted.dialplan_recipients or self.lost("recipients")):
            self.warn("nobody gets its messages: give recipients, send_to_caller: true or dialplan_recipients: true")
        route = wanted.route or ("default",)
        if wanted.route is not None or "default" in self.book.routes:
            route = resolve_route(self.book, route, self.spot("route"))
        else:
            route = (PRINT,)
        content = self.content()
        if content is None:
            return None
        template, source, path = content
        made = node.Node(
            name=self.name,
            revision="",
            template=template,
            description=wanted.description,
            sender=wanted.sender,
            delay=wanted.delay,
            recipients=recipients,
            send_to_caller=wanted.send_to_caller,
            caller_countries=wanted.caller_countries or (),
            once_per_call=wanted.once_per_call,
            dialplan_recipients=wanted.dialplan_recipients,
            transliterate=wanted.transliterate,
            max_segments=wanted.max_segments,
            max_age=wanted.max_age or settings.max_age,
            route=route,
            region=wanted.region or settings.region,
            time_zone=wanted.time_zone or settings.time_zone,
            limits=limits,
        )
        detail = self.detail(made, path)
        if detail is None:
            return None
        return _revised(made, source), detail

    def lost(self, *path: object) -> bool:
        """Whether a mistake here, or below, has been told."""
        whole = ("nodes", self.name, *path)
        return any(lost[: len(whole)] == whole for lost in self.book.lost)

    def recipients(self) -> tuple[node.Recipient, ...]:
        found: dict[str, node.Recipient] = {}
        for at, entry in enumerate(self.settings.recipients):
            spot = self.spot("recipients", at)
            for recipient in self.entry(entry, spot):
                if recipient.number in found:
                    first = found[recipient.number]
                    also = f" (the first is in @{first.group})" if first.group else ""
                    self.book.warnings.add(spot, f"{recipient.number} is named twice{also}; it gets one SMS")
                else:
                    found[recipient.number] = recipient
        return tuple(found.values())

    def entry(self, entry: str, spot: Spot) -> tuple[node.Recipient, ...]:
        if not entry.startswith("@"):
            number = _number(self.book, entry, spot)
            return (node.Recipient(number=number),) if number else ()
        group = entry[1:]
        self.book.used.add(("groups", group))
        if group in self.book.groups:
            if not self.book.settings.groups[group]:
                self.book.warnings.add(spot, f"the group {entry} is empty")
            return self.book.groups[group]
        if group not in self.book.group_names:
            hint = nearest(group, self.book.group_names, show="groups")
            self.book.mistakes.add(spot, f"there is no group {group[:80]!r}; {hint}")
        return ()

    def sender(self, recipients: tuple[node.Recipient, ...]) -> None:
        sender = self.settings.sender
        fault = text.sender_fault(sender)
        if fault is not None:
            self.wrong(fault, "sender")
        elif any(character.isalpha() for character in sender):
            refused = [one.number for one in recipients if one.number.startswith(_NORTH_AMERICA)]
            if refused:
                self.warn(
                    f"networks in North America take no sender with letters ({refused[0]}); use a number",
                    "sender",
                )

    def limits(self, recipients: tuple[node.Recipient, ...]) -> tuple[node.Limit, ...]:
        wanted = self.settings.limits
        rates = (("recipient", wanted.per_recipient), ("node", wanted.per_node))
        if wanted.per_node and wanted.per_node.most < len(recipients):
            what = f"allows {wanted.per_node.most}, but each call makes {len(recipients)} messages"
            self.warn(what, "limits", "per_node")
        return tuple(node.Limit(per=per, most=rate.most, window=rate.window) for per, rate in rates if rate)

    def content(self) -> tuple[text.Template, str, str] | None:
        """The compiled text, its source and the template's name; None with the mistake noted."""
        wanted = self.settings.content
        if wanted is None:
            if not self.lost("content"):
                self.wrong("is missing: write content: {text: ...} or content: {template: NAME}", below="content")
            return None
        if self.lost("content"):
            return None
        if wanted.text is not None and wanted.template is not None:
            self.wrong("holds both text and template; keep one of them", "content")
        elif wanted.template is not None:
            return self.from_template(wanted.template)
        elif wanted.text is not None:
            return self.from_text(wanted.text)
        else:
            self.wrong("is empty; give it a text or a template", "content")
        return None

    def from_template(self, name: str) -> tuple[text.Template, str, str] | None:
        self.book.used.add(("templates", name))
        if name not in self.book.templates:
            hint = nearest(name, self.book.templates, show="templates")
            self.wrong(f"there is no template {name[:80]!r} in templates.d; {hint}", "content", "template")
            return None
        found = self.book.templates[name]
        return None if found is None else (found.template, found.source, name)

    def from_text(self, source: str) -> tuple[text.Template, str, str] | None:
        compiled = _compiled(source, self.spot("content", "text"), "text", self.book.mistakes)
        return None if compiled is None else (compiled, source, "")

    def detail(self, made: node.Node, template: str) -> Detail | None:
        """Render with sample values, which finds what compiling does not."""
        key = "template" if template else "text"
        try:
            sample = made.template.render(self.sample(made))
        except errors.TextError as error:
            file = self.book.templates.get(template) if template else None
            _note(error, file.spot if file else self.spot("content", key), self.book.mistakes)
            return None
        sized = text.measure(sample, transliterate=made.transliterate)
        if not sized.text.strip():
            self.wrong("is empty; an SMS needs a text", "content", key)
            return None
        self.lengths(made, sized, key)
        for name in sorted(text.expected(made.template)):
            close = difflib.get_close_matches(name, sorted(text.STANDARD), n=1, cutoff=0.75)
            if close:
                self.warn(
                    f"{name} has to come from the dialplan, as var.{name}=; or did you mean {close[0]}?", "content"
                )
        if made.send_to_caller and "caller_name" in made.template.names:
            hint = "caller_name is what the caller made up, and who called under a stranger's number has it sent there"
            self.warn(f"{hint} in your name: leave it out where send_to_caller is true", "content", key)
        return Detail(
            where=str(self.spot()),
            sample=sample,
            sized=sized,
            variables=tuple(sorted(text.expected(made.template))),
            template=template,
        )

    def sample(self, made: node.Node) -> dict[str, object]:
        return text.sample(made.template, node=made.name, description=made.description, time_zone=made.time_zone)

    def lengths(self, made: node.Node, sized: text.Sized, key: str) -> None:
        if sized.segments > made.max_segments:
            figures = f"{sized.segments} segments ({sized.encoding}), more than max_segments: {made.max_segments}"
            if self.alone(made) > made.max_segments:
                self.wrong(f"the text alone makes {figures}; shorten it or raise max_segments", "content", key)
            else:
                self.warn(f"with sample values the text makes {figures}; such an SMS is not sent", "content", key)
        plain = text.measure(sized.text, transliterate=True)
        if plain.segments < sized.segments:
            forcing = " ".join(text.explain(sized.text)[:8])
            hint = f"{forcing} make it UCS-2, 70 characters a segment: {_segments(sized.segments)}"
            self.warn(f"{hint}; transliterate: true makes it {_segments(plain.segments)}", "content", key)

    def alone(self, made: node.Node) -> int:
        """Segments of the text with nothing filled in, where that can be rendered."""
        blank = {name: "" if isinstance(value, str) else value for name, value in self.sample(made).items()}
        try:
            return text.measure(made.template.render(blank), transliterate=made.transliterate).segments
        except errors.TextError:
            return 0


def _segments(count: int) -> str:
    return f"{count} segment{'' if count == 1 else 's'}"


def _revised(made: node.Node, source: str) -> node.Node:
    facts = {item.name: getattr(made, item.name) for item in fields(made) if item.name not in ("revision", "template")}
    canon = json.dumps([source, facts], default=_plain, sort_keys=True)
    return replace(made, revision=hashlib.sha256(canon.encode("utf-8", "replace")).hexdigest()[:10])


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        return durations.show(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in fields(value)}
    return str(value)
