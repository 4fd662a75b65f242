"""What the dialplan hands over, read in one place: live arguments, `app_data` at recovery, AstDB records.

The contract, `NODE,key=value,...`: the first argument is the node's name, every other one is `key=value`; the
name and the values are percent-encoded (`${URIENCODE(...)}`), `+` stands for itself, empty arguments are ignored.

| Key | |
|---|---|
| `visit` | names this entry of the channel into the node, and no other one ever |
| `back` | the dialplan has the extension `result:STATUS:COUNT:VISIT`, by which it is told what was done |
| `origin` | uniqueid of the call's first channel |
| `call` | the dialplan's own key for "one per call", taken as it stands |
| `caller` `presentation` `caller_name` `dialled` `diverted_from` | facts about the call |
| `trunk` `channel` `linkedid` | facts about the channel |
| `recipients` `sender` `delay` | wishes, which the node may or may not grant |
| `var.NAME` | a variable for the template |

A record in AstDB, which the subroutine writes, has two more, and nobody else has them:

| `at` | when it happened, in seconds since 1970 |
| `way` | `event`: written on purpose, nobody missed the visit |

Facts come from strangers, so none of them can refuse a visit: they are cut to length and cleaned. The rest is
the dialplan's own writing, where a mistake is named instead of guessed at.
"""

import hashlib
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agi_sms import app_arguments, call, errors

FACTS = {
    "origin": 160,
    "caller": 256,
    "presentation": 64,
    "caller_name": 256,
    "dialled": 256,
    "diverted_from": 256,
    "trunk": 256,
    "linkedid": 160,
    "channel": 160,
}
WISHES = {"call": 256, "recipients": 4096, "sender": 64, "delay": 64}
KEYS = (*FACTS, *WISHES, "visit", "back")
RECORD_KEYS = ("at", "way")  # of a record in AstDB, besides
MOST_VARIABLES = 64
LONGEST_VALUE = 4096
LONGEST_NODE = 128
STASIS_ARGUMENTS = 129  # app_stasis.c: the app's name and MAX_ARGS more; the last one keeps what is left over

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_SWALLOWED = re.compile(
    rf",(?=\s*(?:,|$|(?:{'|'.join((*KEYS, *RECORD_KEYS))}|var\.[A-Za-z_][A-Za-z0-9_]{{0,63}})\s*=))"
)
_VISIT = re.compile(r"[A-Za-z0-9._-]{1,64}")
_AT = re.compile(r"[0-9]{1,11}(\.[0-9]{1,9})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_NUMBER = frozenset("shitToae")  # extensions that are places in a dialplan, not what somebody dialled


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What was handed over. None: not given, which is not the same as given empty."""

    node: str
    visit: str | None = None
    origin: str | None = None
    call: str | None = None
    caller: str | None = None
    presentation: str | None = None
    caller_name: str | None = None
    dialled: str | None = None
    diverted_from: str | None = None
    trunk: str | None = None
    linkedid: str | None = None
    channel: str | None = None
    recipients: str | None = None
    sender: str | None = None
    delay: str | None = None
    at: datetime | None = None
    by_event: bool = False  # the record was written to be looked for, and an event says so
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What Asterisk itself says about the channel; used where the dialplan handed nothing over."""

    uniqueid: str = ""
    name: str = ""
    caller: str = ""
    caller_name: str = ""
    presentation: str = ""
    dnid: str = ""
    exten: str = ""
    linkedid: str = ""
    diverted_from: str = ""


split = app_arguments.split  # by which all that comes from the dialplan is taken apart


def _apart(args: Sequence[str]) -> Iterator[str]:
    """The arguments, also where Asterisk took a bracket for the beginning of one that goes on to the next bracket.

    URIENCODE leaves `(` as it is, so a caller named `Bob (` would swallow everything behind his name.
    """
    for argument in args:
        yield from _SWALLOWED.split(argument) if "(" in argument else (argument,)


def parse(args: Sequence[str], *, record: bool = False) -> Arguments:
    """Read the arguments behind the application's name, or a `record`'s; errors.ArgumentError names the one at fault.

    Blanks around the node's name do not count, those that the subroutine has encoded with it neither.
    """
    known = (*KEYS, *RECORD_KEYS) if record else KEYS
    node = urllib.parse.unquote(args[0], errors="replace").strip() if args else ""
    if not node:
        raise errors.ArgumentError("the first argument, the node's name, is missing")
    if "=" in node or len(node) > LONGEST_NODE or _CONTROL.search(node):
        raise errors.ArgumentError(f"the first argument is not a node's name: {_show(node)}")
    given: dict[str, str] = {}
    variables: dict[str, str] = {}
    for argument in map(str.strip, _apart(args[1:])):
        if not argument:
            continue
        key, equals, value = argument.partition("=")
        key = key.strip()
        if not equals:
            raise errors.ArgumentError(f"argument without `=`: {_show(argument)}")
        value = urllib.parse.unquote(value.strip(), errors="replace")
        if key.startswith("var."):
            _keep(variables, key[4:], value, key=key, longest=LONGEST_VALUE)
            if not _NAME.fullmatch(key[4:]):
                raise errors.ArgumentError(f"not a variable's name: {_show(key)}")
            if len(variables) > MOST_VARIABLES:
                raise errors.ArgumentError(f"{_show(key)} is one variable more than {MOST_VARIABLES}")
        elif key in FACTS:
            _keep(given, key, value.replace("\0", "\ufffd")[: FACTS[key]], key=key, longest=LONGEST_VALUE)
        elif key in known:
            _keep(given, key, value, key=key, longest=WISHES.get(key, 64))
        else:
            what = f"unknown argument {_show(key)}{', which only a record in AstDB has' * (key in RECORD_KEYS)}"
            raise errors.ArgumentError(f"{what}; known are {', '.join(known)} and var.NAME")
    visit_id = given.pop("visit", "") or None
    if visit_id is not None and not _VISIT.fullmatch(visit_id):
        raise errors.ArgumentError(f"visit is neither a UUID nor the like: {_show(visit_id)}")
    at = given.pop("at", None)
    given.pop("back", None)
    way = given.pop("way", "")
    return Arguments(
        node=node,
        visit=visit_id,
        at=None if at is None else _moment(at),
        by_event=_by_event(way),
        variables=variables,
        **given,
    )


def _keep(into: dict[str, str], name: str, value: str, *, key: str, longest: int) -> None:
    if name in into:
        raise errors.ArgumentError(f"argument given twice: {_show(key)}")
    if len(value) > longest:
        raise errors.ArgumentError(f"{_show(key)} is longer than {longest} characters")
    if "\0" in value:
        raise errors.ArgumentError(f"{_show(key)} holds a NUL")
    into[name] = value


def _moment(at: str) -> datetime:
    if not _AT.fullmatch(at):
        raise errors.ArgumentError(f"at is not a time in seconds since 1970: {_show(at)}")
    return datetime.fromtimestamp(float(at), UTC)


def _by_event(way: str) -> bool:
    if way not in ("", "event"):
        raise errors.ArgumentError(f"way is neither event nor empty: {_show(way)}")
    return bool(way)


def _show(text: str) -> str:
    """Make a stranger's text fit for a log line."""
    shown = ascii(text[:40])
    return shown if len(text) <= 40 else f"{shown}..."


def trunk(channel_name: str) -> str:
    """The endpoint out of a channel's name: `acme` from PJSIP/acme-0000001f, nothing from a Local channel."""
    technology, slash, rest = channel_name.partition("/")
    if not slash:
        return channel_name
    if technology.lower() == "local":
        return ""
    endpoint = rest.rpartition("-")[0] or rest
    return endpoint.partition("/")[0] if technology.upper() == "DAHDI" else endpoint


def facts(channel: Mapping[str, Any]) -> Facts:
    """Read a channel as ARI's JSON describes it; what is missing or of another type reads as empty.

    Presentation, dnid and linkedid are there only with `channelvars` in ari.conf.
    """
    caller, dialplan, variables = (_mapping(channel, key) for key in ("caller", "dialplan", "channelvars"))
    return Facts(
        uniqueid=_text(channel, "id", FACTS["channel"]),
        name=_text(channel, "name", FACTS["trunk"]),
        caller=_text(caller, "number", FACTS["caller"]),
        caller_name=_text(caller, "name", FACTS["caller_name"]),
        presentation=_text(variables, "CALLERID(num-pres)", FACTS["presentation"]),
        dnid=_text(variables, "CALLERID(dnid)", FACTS["dialled"]),
        exten=_text(dialplan, "exten", FACTS["dialled"]),
        linkedid=_text(variables, "CHANNEL(linkedid)", FACTS["linkedid"]),
    )


def agi_facts(
    header: Mapping[str, str], *, presentation: str = "", linkedid: str = "", diverted_from_presentation: str = ""
) -> Facts:
    """Read a channel as FastAGI's header describes it; "unknown" is how it says that there is nothing.

    The header has neither a name for the presentation nor the linkedid; who needs them asks for them. A number that
    the call was diverted from counts where it may be shown.
    """
    told = {key: "" if value == "unknown" else value for key, value in header.items()}
    diverted_from = _text(told, "agi_rdnis", FACTS["diverted_from"])
    return Facts(
        uniqueid=_text(told, "agi_uniqueid", FACTS["channel"]),
        name=_text(told, "agi_channel", FACTS["trunk"]),
        caller=_text(told, "agi_callerid", FACTS["caller"]),
        caller_name=_text(told, "agi_calleridname", FACTS["caller_name"]),
        presentation=presentation[: FACTS["presentation"]],
        dnid=_text(told, "agi_dnid", FACTS["dialled"]),
        exten=_text(told, "agi_extension", FACTS["dialled"]),
        linkedid=linkedid[: FACTS["linkedid"]],
        diverted_from=diverted_from if diverted_from_presentation.startswith("allowed") else "",
    )


def event_facts(event: Mapping[str, str]) -> Facts:
    """Read a channel as an event of AMI describes it, keys in lower case; "<unknown>" says that there is nothing.

    It has neither a presentation nor the number dialled, if that is not the extension.
    """
    told = {key: "" if value == "<unknown>" else value for key, value in event.items()}
    return Facts(
        uniqueid=_text(told, "uniqueid", FACTS["channel"]),
        name=_text(told, "channel", FACTS["trunk"]),
        caller=_text(told, "calleridnum", FACTS["caller"]),
        caller_name=_text(told, "calleridname", FACTS["caller_name"]),
        exten=_text(told, "exten", FACTS["dialled"]),
        linkedid=_text(told, "linkedid", FACTS["linkedid"]),
    )


def agi_args(script: str, args: Sequence[str]) -> list[str]:
    """The arguments out of what AGI() was given: `agi://HOST:PORT/NODE?key=value&key=value,key=value`.

    `script` is what stands behind the host, `args` what stands behind the commas.
    """
    node, _, query = script.partition("?")
    return [node, *query.split("&"), *args] if query else [node, *args]


def _mapping(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = of.get(key)
    return value if isinstance(value, dict) else {}


def _text(of: Mapping[str, Any], key: str, longest: int) -> str:
    value = of.get(key)
    return value.replace("\0", "\ufffd")[:longest] if isinstance(value, str) else ""


def unnamed_visit(channel_id: str, mark: str) -> str:
    """A visit's id for a dialplan that hands none over (a bare `Stasis(agi-sms,NODE)`).

    `mark` is the time stamp of the StasisStart, so that every visit of a looping channel is one of its own.
    Where the gateway finds the channel parked and has not seen that event, it is the place in the dialplan.
    So a gateway that is killed between storing and sending on stores such a visit a second time under another
    id (`once_per_call` still holds, the call's key is the same), and a channel that is found parked at the
    same place after two different crashes counts once.
    """
    return "bare-" + hashlib.sha256(f"{channel_id}\0{mark}".encode(errors="replace")).hexdigest()[:32]


def visit(
    arguments: Arguments,
    known: Facts,
    *,
    pbx: str,
    entry: call.Entry,
    arrived_at: datetime,
    new_visit_id: str,
) -> call.Visit:
    """Put together what the dialplan handed over and what Asterisk knows.

    What was handed over wins, even where it is empty. `new_visit_id` is for a dialplan that named no visit.
    """
    channel = arguments.channel or known.uniqueid
    origin = arguments.origin or channel
    dialled = known.dnid or ("" if known.exten in _NO_NUMBER else known.exten)
    return call.Visit(
        id=arguments.visit or new_visit_id,
        node=arguments.node,
        entry=entry,
        arrived_at=min(arguments.at or arrived_at, arrived_at),
        recipients=arguments.recipients,
        sender=arguments.sender,
        delay=arguments.delay,
        call=call.Call(
            pbx=pbx,
            key=arguments.call or f"{pbx}/{origin}",
            call_id=arguments.call or origin,
            channel_id=channel,
            linkedid=_first(arguments.linkedid, known.linkedid),
            caller=_first(arguments.caller, known.caller),
            presentation=_first(arguments.presentation, known.presentation),
            caller_name=_first(arguments.caller_name, known.caller_name),
            dialled=_first(arguments.dialled, dialled),
            diverted_from=_first(arguments.diverted_from, known.diverted_from),
            trunk=trunk(_first(arguments.trunk, known.name)),
            variables=arguments.variables,
        ),
    )


def _first(given: str | None, otherwise: str) -> str:
    return otherwise if given is None else given
