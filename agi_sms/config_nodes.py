"""Nodes as they are written, checked against everything that can be known before a call, and compiled."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta

from agi_sms import config_content, config_routes, durations, errors, node, numbers, text
from agi_sms.config_book import Book, Detail, Entry
from agi_sms.config_mistakes import Spot
from agi_sms.config_words import nearest

PRINT = "print"  # the provider that always exists
_NORTH_AMERICA = "+1"
_OF_CONTENT = ("revision", "template", "asking")


def compile_all(book: Book) -> tuple[dict[str, node.Node], dict[str, Detail]]:
    """Every node that stands; mistakes and warnings are noted in the book."""
    for name, entries in book.settings.groups.items():
        book.groups[name] = tuple(_members(book, name, entries))
    config_routes.compile_all(book)
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
        book.mistakes.add(spot, str(error).removesuffix(numbers.OR_TRUNK))
        return None
    if number.kind is numbers.Kind.LANDLINE:
        book.warnings.add(spot, f"{number.e164} is a landline: it gets its SMS only where its operator reads them out")
    return number.e164


class _Compiler(Entry):
    """One node on its way from settings to `node.Node`."""

    def compiled(self) -> tuple[node.Node, Detail] | None:
        wanted, settings = self.settings, self.book.settings
        recipients = self.recipients()
        self.sender(recipients)
        limits = self.limits(recipients)
        if not (recipients or self.others() or self.lost("recipients")):
            self.warn("nobody gets its messages: give recipients, send_to_caller: true or dialplan_recipients: true")
        route = self.route(recipients)
        said = config_content.compile_content(self)
        if said is None:
            return None
        made = node.Node(
            name=self.name,
            revision="",
            template=said.template,
            asking=said.asking,
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
            when=tuple((name, frozenset(word.upper() for word in words)) for name, words in wanted.when.items()),
        )
        detail = config_content.detail(self, made, said)
        if detail is None:
            return None
        return _revised(made, said.canon), detail

    def route(self, recipients: tuple[node.Recipient, ...]) -> node.Route:
        wanted = self.settings.route
        if wanted is None and "default" not in self.book.routes:
            return node.Route.of(PRINT)
        route = config_routes.resolve(self.book, wanted or ("default",), self.spot("route"))
        lost = [one.number for one in recipients if not route.for_number(one.number)]
        if lost:
            what = f"no entry of its route is for {', '.join(lost[:3])}{', ...' if len(lost) > 3 else ''}: no SMS goes"
            self.warn(f"{what} there; add an entry without conditions", "recipients")
        return route

    def others(self) -> bool:
        """Whether a call, or an answer, brings recipients of its own."""
        wanted = self.settings
        api = wanted.content.api if wanted.content is not None else None
        named = api is not None and node.Allowed.RECIPIENTS in api.allow
        return wanted.send_to_caller or wanted.dialplan_recipients or named

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
        fault = text.sender_fault(sender, self.settings.region or self.book.settings.region)
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


def _revised(made: node.Node, content: str) -> node.Node:
    facts = {item.name: getattr(made, item.name) for item in fields(made) if item.name not in _OF_CONTENT}
    canon = json.dumps([content, facts], default=_plain, sort_keys=True)
    return replace(made, revision=hashlib.sha256(canon.encode("utf-8", "replace")).hexdigest()[:10])


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        return durations.show(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in fields(value)}
    return str(value)
