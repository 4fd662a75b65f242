"""What `agi-sms doctor` asks a running Asterisk over AMI, all on one connection. Nothing is changed by it.

Which actions a user may ask for, Asterisk tells itself (ListCommands, manager.c). GetConfig reads what is in its
files, which need not be loaded; it is in the classes `system` and `config`. Of manager.conf only the section of our
own user is asked for, and of that only what is no password leaves this file.
"""

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from agi_sms import doctor_facts as facts
from agi_sms import errors, harmless
from agi_sms.asterisk import ami, ami_client, arguments, config_answer, survey_endpoints
from agi_sms.asterisk.settings import Ami

_WANTED = {
    "ari.conf": ("enabled", "channelvars", "websocket_write_timeout"),
    "http.conf": ("enabled", "bindaddr", "tlsenable", "tlsbindaddr"),
    "manager.conf": ("read", "write"),
}
_LATEST = 1 << 40  # seconds; a later time is none
_TRUST = "trust_id_inbound"
_TRUST_SHOWN = re.compile(rf"^\s*{_TRUST}\s*:\s*(\w+)")


async def ask(
    settings: Ami,
    modules: Collection[str],
    variables: Collection[str] = (),
    *,
    patience: timedelta,
    endpoints: bool = False,
) -> facts.Ami:
    """Everything that is asked; `modules` and `variables`, globals of the dialplan, are those of interest.

    `endpoints` is whether those of PJSIP are, which ARI tells sooner.

    Nothing is raised but CancelledError.
    """
    settings = settings.model_copy(update={"timeout": min(settings.timeout, patience)})
    found = facts.Ami()
    try:
        async with ami_client.connected(settings) as connection:
            actions = await _actions(connection)
            ahead, took = await _clock(connection)
            found = replace(found, actions=actions, version=await _version(connection), ahead=ahead, took=took)
            if "DBGetTree" in actions:
                found = replace(found, waiting=await _waiting(connection))
            if "ModuleCheck" in actions:
                found = replace(found, modules=await _modules(connection, modules))
            if "GetConfig" in actions:
                found = replace(found, files=await _files(connection, settings.username))
            if variables and {"Getvar", "Command"} & actions:
                found = replace(found, variables=await _variables(connection, variables, actions))
            if endpoints and "PJSIPShowEndpoints" in actions and {"Getvar", "Command"} & actions:
                found = replace(found, endpoints=await _endpoints(connection, actions, patience))
    except errors.PbxRefused as error:
        return replace(found, trouble=facts.Trouble(code="denied", detail=harmless.clipped(str(error))))
    except errors.PbxError as error:
        return replace(found, trouble=_trouble(settings.host, error))
    return found


def _trouble(host: str, error: errors.PbxError) -> facts.Trouble:
    """In words of what the network said, where it did."""
    if isinstance(error.__cause__, TimeoutError) or "in time" in str(error):
        return facts.Trouble(code="timeout", detail="no answer in time")
    if isinstance(error.__cause__, OSError | UnicodeError):
        return facts.not_connected(host, error.__cause__)
    return facts.Trouble(code="connect", detail=harmless.clipped(str(error)))


async def _actions(connection: ami_client.Connection) -> frozenset[str]:
    """Those that the user may ask for."""
    (answer, *_) = await connection.action("ListCommands")
    return frozenset(str(key) for key in answer if "(Priv: " in _text(answer[key]))


async def _version(connection: ami_client.Connection) -> str:
    with contextlib.suppress(errors.PbxRefused):
        (answer, *_) = await connection.action("CoreSettings")
        return harmless.clipped(_text(answer.get("AsteriskVersion", "")), 60)
    return ""


async def _waiting(connection: ami_client.Connection) -> facts.Waiting:
    """The visits in AstDB. Whose they are, nobody keeps."""
    more = False
    try:
        records = await connection.tree(ami.FAMILY)
    except ami_client.TooLong as error:
        records, more = error.found, True
    times = [at for record in records if (at := _at(record.value)) is not None]
    nodes: Counter[str] = Counter()
    whys: list[str] = []
    for number, record in enumerate(records):
        if number % ami_client.RECORDS_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            nodes[arguments.parse(arguments.split(record.value), record=True).node] += 1
        except errors.ArgumentError as error:
            whys.append(harmless.clipped(str(error)))
    return facts.Waiting(
        count=len(records),
        oldest=min(times, default=None),
        more=more,
        nodes=nodes,
        unreadable=len(whys),
        why=whys[0] if whys else "",
    )


def _at(record: str) -> datetime | None:
    """When a visit was written down."""
    for part in record.split(","):
        key, _, value = part.partition("=")
        if key == "at":
            with contextlib.suppress(ValueError):
                seconds = float(value)
                return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _LATEST else None
    return None


async def _modules(connection: ami_client.Connection, names: Collection[str]) -> frozenset[str]:
    """Those of them that run."""
    running = set()
    for name in names:
        (answer, *_) = await connection.action("ModuleCheck", Module=name)
        if answer.success:
            running.add(name)
    return frozenset(running)


async def _variables(
    connection: ami_client.Connection, names: Collection[str], actions: frozenset[str]
) -> dict[str, str] | None:
    """Globals of the dialplan, empty where not set; None where Asterisk does not tell. Others may hold a password."""
    found: dict[str, str] = {}
    if "Getvar" in actions:
        for name in names:
            (answer, *_) = await connection.action("Getvar", Variable=name)
            if not answer.success:
                return None
            found[name] = harmless.clipped(_text(answer.get("Value", "")), 200)
        return found
    try:
        (answer, *_) = await connection.action("Command", Command="dialplan show globals")
    except errors.PbxRefused:
        return None
    if not answer.success:
        return None
    for line in _output(answer):
        name, _, value = line.strip().partition("=")
        found[name] = harmless.clipped(value, 200)
    return {name: found.get(name, "") for name in names}


async def _clock(connection: ami_client.Connection) -> tuple[timedelta | None, timedelta]:
    """How much the other clock is ahead of ours, None where it is not told, and how long that took.

    Everybody may ask for a Ping; the answer has a Timestamp, in seconds with six decimals (action_ping, manager.c).
    """
    asked_at, begun = datetime.now(UTC), time.monotonic()
    (answer, *_) = await connection.action("Ping")
    took = timedelta(seconds=time.monotonic() - begun)
    with contextlib.suppress(ValueError):
        seconds = float(_text(answer.get("Timestamp", "")))
        if 0 < seconds < _LATEST:
            with contextlib.suppress(OverflowError, OSError):
                return datetime.fromtimestamp(seconds, UTC) - (asked_at + took / 2), took
    return None, took


async def _endpoints(
    connection: ami_client.Connection, actions: frozenset[str], patience: timedelta
) -> facts.Endpoints | None:
    """Those of PJSIP, as long as the time lasts.

    PJSIPShowEndpoint would tell all of one at once, and the passwords of phones with it.
    """
    try:
        answer, *events = await connection.action("PJSIPShowEndpoints")
    except errors.PbxRefused:
        return None
    listed = {_text(one["ObjectName"]): one for one in events if "ObjectName" in one} if answer.success else {}
    looked: list[facts.Endpoint] = []
    end = time.monotonic() + patience.total_seconds()
    for name in survey_endpoints.ordered(listed)[: survey_endpoints.MOST]:
        if time.monotonic() >= end:
            break
        with contextlib.suppress(errors.PbxRefused, ami_client.Unsendable):
            trusts = await (_by_function if "Getvar" in actions else _by_command)(connection, name)
            auth, outbound = (_text(listed[name].get(key, "")) for key in ("Auths", "OutboundAuths"))
            if trusts:
                one = survey_endpoints.endpoint(name, auth=auth, outbound_auth=outbound, trust_id_inbound=trusts)
                looked.append(one)
    return facts.Endpoints(looked=tuple(sorted(looked, key=lambda one: one.name)), count=len(listed))


async def _by_function(connection: ami_client.Connection, name: str) -> str:
    (answer, *_) = await connection.action("Getvar", Variable=f"PJSIP_ENDPOINT({name},{_TRUST})")
    return _text(answer.get("Value", "")).strip() if answer.success else ""


async def _by_command(connection: ami_client.Connection, name: str) -> str:
    (answer, *_) = await connection.action("Command", Command=f"pjsip show endpoint {name}")
    if not answer.success:
        return ""
    return next((value for line in _output(answer) for value in _TRUST_SHOWN.findall(line)), "")


def _output(answer: Mapping[Any, Any]) -> list[str]:
    """The lines that a command printed."""
    said = answer.get("Output", "")
    return [str(line) for line in said] if isinstance(said, list) else str(said).splitlines()


async def _files(connection: ami_client.Connection, user: str) -> dict[str, facts.Section]:
    found = {}
    for file, wanted in _WANTED.items():
        section = user if file == "manager.conf" else "general"
        found[file] = await _section(connection, file, section, wanted)
        await asyncio.sleep(0)
    return found


async def _section(
    connection: ami_client.Connection, file: str, section: str, wanted: Collection[str]
) -> facts.Section:
    try:
        (answer, *_) = await connection.action("GetConfig", Filename=file, Category=section)
    except ami_client.Unsendable as error:
        return facts.Section(trouble=facts.Trouble(code="denied", detail=str(error)))
    if not answer.success:
        return facts.Section(trouble=facts.Trouble(code="absent", detail=harmless.clipped(str(answer.message))))
    values = {key: harmless.clipped(said, 300) for key, said in config_answer.lines(answer) if key in wanted}
    if not config_answer.has_section(answer):
        return facts.Section(trouble=facts.Trouble(code="absent", detail=f"{file} has no section [{section}]"))
    return facts.Section(values=values)


def _text(value: Any) -> str:
    """A header that came twice is a list."""
    return str(value[-1]) if isinstance(value, list) else str(value)
