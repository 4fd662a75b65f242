"""What is right and what is not, from Asterisk to the providers: facts in, findings out. Pure.

`doctor_ask` asks for the facts; `doctor_pbx`, `doctor_dialplan` and `doctor_host` judge them, each its area.
"""

from collections.abc import Collection, Iterable, Iterator

import pydantic

from agi_sms import dialplan, dialplan_config, doctor_agi, doctor_dialplan, doctor_host, doctor_pbx, doctor_read
from agi_sms import doctor_facts as facts
from agi_sms.config import Config
from agi_sms.doctor_asked import Asked
from agi_sms.doctor_finding import Area, Finding, Severity

__all__ = ["IDS", "Finding", "Severity", "exit_code", "findings"]

IDS = (
    *("configuration.mistake", "configuration.warning"),
    *("gateway.runs", "gateway.reload", "gateway.restart", "gateway.door", "gateway.agi"),
    *("gateway.left_alone", "gateway.stranded"),
    *("pbx.asked", "pbx.version", "pbx.modules", "pbx.files", "pjsip.trust_id_inbound"),
    *("ari.reach", "ari.login", "ari.tls", "ari.write", "ari.clock", "ari.application", "ari.parked"),
    *("ari.conf.read", "ari.conf.channelvars", "ari.conf.websocket_write_timeout"),
    *("http.conf.read", "http.conf.bindaddr"),
    *("ami.reach", "ami.login", "ami.tls", "ami.system", "ami.command", "ami.read_user", "ami.send", "ami.waiting"),
    "ami.clock",
    *("dialplan.read", "dialplan.cut", "dialplan.visits", "dialplan.subroutine", "dialplan.shipped", "dialplan.app"),
    *("dialplan.node_unknown", "dialplan.node_computed", "dialplan.node_unreached"),
    *("dialplan.callee_leg", "dialplan.leg_down", "dialplan.no_watchdog", "dialplan.unrecorded"),
    *(
        "dialplan.agi_off",
        "dialplan.agi_address",
        "dialplan.ari_off",
        "dialplan.ami_off",
        "dialplan.argument",
        "dialplan.bare_events",
    ),
    *("dialplan.misspelt", "dialplan.after_hangup", "dialplan.watchdog"),
    *("provider.reach", "provider.certificate", "content.reach", "content.certificate"),
    *("database.folder", "database.file", "database.owner", "database.schema", "database.file_system"),
    *("database.fsync", "database.space", "spool.file", "spool.quarantine"),
    *("receipts.listener", "receipts.public_url", "receipts.https", "receipts.unused"),
)
_CODES = {Severity.OK: 0, Severity.UNKNOWN: 0, Severity.WARNING: 1, Severity.ERROR: 2}
_SEND = {"quectel": "QuectelSendSMS", "dongle": "DongleSendSMS"}


def exit_code(found: Iterable[Finding]) -> int:
    """0 all right, 1 warnings, 2 errors; what cannot be told counts for nothing."""
    return max((_CODES[one.severity] for one in found), default=0)


def findings(loaded: Config | None, found: facts.Facts, *, ignored: Collection[str] = ()) -> tuple[Finding, ...]:
    """All of them, by area, without those that are ignored. `loaded` may be what stands of one with mistakes."""
    return tuple(one for one in _findings(loaded, found) if one.id not in ignored)


def _findings(loaded: Config | None, found: facts.Facts) -> Iterator[Finding]:
    yield from doctor_host.configuration(loaded, found.configuration)
    if loaded is None or found.gateway is None:
        return
    settings = loaded.settings
    yield from doctor_host.gateway(found.gateway, found.agi, settings.time_zone)
    reads: dict[str, doctor_read.Read] = {}
    for pbx in found.pbxs:
        if pbx.plan is not None:
            reads[pbx.name] = _read(loaded, pbx, pbx.plan, whole=not found.configuration.mistakes)
    for pbx in found.pbxs:
        known = settings.pbx[pbx.name]
        read = reads.get(pbx.name)
        yield from doctor_pbx.findings(
            Asked(
                pbx=pbx,
                ari=known.ari,
                ami=known.ami,
                gateway=found.gateway,
                now=found.now,
                ways=None if read is None else frozenset(one.way for one in read.visits),
                agi=settings.agi is not None,
                nodes=None if found.configuration.mistakes else frozenset(loaded.nodes),
                messages=frozenset(_over(one) for one in _through(loaded, pbx.name, "sip")),
                modem=next((_SEND[getattr(one, "driver", "")] for one in _through(loaded, pbx.name, "modem")), ""),
            )
        )
        yield from doctor_dialplan.findings(read) if read is not None else _unread(pbx)
    if settings.pbx and reads.keys() == settings.pbx.keys() and loaded.nodes:
        yield from doctor_dialplan.unreached(tuple(loaded.nodes), tuple(reads.values()))
    yield from doctor_host.providers(loaded, found.providers or {}, found.now)
    yield from doctor_host.contents(loaded, found.contents or {}, found.now)
    if found.database is not None:
        yield from doctor_host.database(found.database, found.gateway, settings.hold_budget)
    yield from doctor_host.receipts(loaded, found.gateway, found.listener, found.public)


def _read(loaded: Config, pbx: facts.Pbx, plan: dialplan.Dialplan, *, whole: bool) -> doctor_read.Read:
    agi, nodes = loaded.settings.agi, loaded.nodes
    doors = dialplan_config.doors(loaded.settings, pbx.name, nodes)
    tells = [door.variables for door in (pbx.ari, pbx.ami) if door is not None and door.variables is not None]
    return doctor_read.Read(
        pbx=pbx.name,
        plan=plan,
        visits=tuple(doctor_agi.ours(dialplan.visits(plan, doors), nodes, agi)),
        perhaps=dialplan.guesses(plan, doors),
        nodes=nodes,
        whole=whole,
        doors=doors,
        agi=agi,
        variables=tells[0] if tells else None,
        hold_budget=loaded.settings.hold_budget,
        answers=any(door is not None and door.trouble is None for door in (pbx.ari, pbx.ami)),
    )


def _unread(pbx: facts.Pbx) -> Iterator[Finding]:
    """Where no door is open, that is told already."""
    if pbx.ami is not None and pbx.ami.actions is None:
        return
    area = Area(name=f"dialplan of {pbx.name}", about=pbx.name)
    mend = 'asterisk -rx "dialplan show" > FILE; agi-sms doctor --from FILE needs no right'
    yield area.unknown("dialplan.read", f"which nodes it enters cannot be told: {pbx.plan_trouble}", mend)


def _through(loaded: Config, pbx: str, kind: str) -> Iterator[pydantic.BaseModel]:
    """The providers of this type that send through that PBX."""
    for one in loaded.providers.values():
        if getattr(one, "type", "") == kind and getattr(one, "pbx", "") == pbx:
            yield one


def _over(settings: pydantic.BaseModel) -> str:
    return str(getattr(settings, "over", "ari"))
