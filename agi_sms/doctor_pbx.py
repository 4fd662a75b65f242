"""What is right and wrong with one Asterisk: its doors, its modules, its configuration. Pure."""

import re
from collections.abc import Iterator
from datetime import timedelta

from agi_sms import doctor_ami, doctor_ari, loopback, text
from agi_sms import doctor_facts as facts
from agi_sms import doctor_needs as needs
from agi_sms.doctor_asked import RELOAD_ARI, Asked
from agi_sms.doctor_finding import Area, Finding, named, span

_VERSION = re.compile(r"(?:\D*/)?(\d+)\.(\d+)[\d.]*")  # 22.10.1+dfsg, certified/18.9-cert5
CLOCKS_APART = timedelta(seconds=2)
_BARE = {"stasis": "ari", "fastagi": "agi", "userevent": "event"}  # what a way without our subroutines needs


def findings(asked: Asked) -> Iterator[Finding]:
    """All of them."""
    area = Area(name=f"pbx {asked.pbx.name}", about=asked.pbx.name)
    if asked.ari is None and asked.ami is None:
        yield area.unknown("pbx.asked", "has neither ari nor ami: nothing can be asked", f"give it {asked.key}.ami")
        return
    yield from _version(asked, area)
    if asked.ari is not None and asked.pbx.ari is not None:
        yield from doctor_ari.findings(asked, asked.ari, asked.pbx.ari, area)
    if asked.ami is not None and asked.pbx.ami is not None:
        yield from doctor_ami.findings(asked, asked.ami, asked.pbx.ami, area)
    if _answers(asked):
        yield _clock(asked, area)
    if asked.modules is not None or _answers(asked):
        yield from _modules(asked, area)
    yield from _files(asked, area)
    if _answers(asked):
        yield from _trunks(asked, area)


def _answers(asked: Asked) -> bool:
    """Whether a door is open; where none is, that is all there is to tell."""
    doors = (asked.pbx.ari, asked.pbx.ami)
    return any(door is not None and door.trouble is None for door in doors)


def _version(asked: Asked, area: Area) -> Iterator[Finding]:
    version = next((door.version for door in (asked.pbx.ari, asked.pbx.ami) if door is not None and door.version), "")
    found = _VERSION.match(version)
    if found is None:
        if version:
            what = f"Asterisk calls itself {version}, which tells no version"
            least = ".".join(map(str, needs.OLDEST))
            yield area.unknown("pbx.version", what, f'asterisk -rx "core show version"; it has to be {least} or newer')
        return
    least = ".".join(map(str, needs.OLDEST))
    if (int(found[1]), int(found[2])) < needs.OLDEST:
        yield area.error("pbx.version", f"Asterisk {found[0]} is older than {least}", f"use Asterisk {least} or newer")
    else:
        yield area.ok("pbx.version", f"Asterisk {found[0]}")


def _clock(asked: Asked, area: Area) -> Finding:
    """Whether it agrees with ours, by whichever door tells it. An answer that took long tells it less exactly."""
    doors = {"ari.clock": asked.pbx.ari, "ami.clock": asked.pbx.ami}
    for key, door in doors.items():
        if door is None or door.ahead is None:
            continue
        if abs(door.ahead) <= CLOCKS_APART + door.took / 2:
            return area.ok(key, "its clock agrees with ours")
        way = "ahead of" if door.ahead > timedelta(0) else "behind"
        apart = span(abs(door.ahead).total_seconds())
        what = f"its clock is {apart} {way} this machine's: delays and ages are wrong by that"
        return area.warning(key, what, "switch NTP on, on both machines: timedatectl set-ntp true")
    key = "ari.clock" if asked.pbx.ari is not None else "ami.clock"
    return area.unknown(key, "whether its clock agrees with ours cannot be told", "date -u, there and here")


def wanted(asked: Asked) -> dict[str, None]:
    """The modules without which the ways do not work that are used, as far as that is known; in order."""
    if asked.ways is not None:
        ways = {_BARE.get(way, way) for way in asked.ways}
        subroutines = bool({"ari", "agi", "event"} & asked.ways)
    else:
        ways = ({"ari"} if asked.ari is not None else set()) | ({"agi"} if asked.agi else set())
        subroutines = bool(ways)
    found = [name for way in needs.MODULES if way in ways for name in needs.MODULES[way]]
    if subroutines:
        found += needs.MODULES["agi-sms"]
    if asked.pbx.ari is not None and asked.pbx.ari.modules is not None:
        found += needs.ARI_MODULES
        found += needs.MESSAGE_MODULES if "ari" in asked.messages else ()
    return dict.fromkeys(found)


def _modules(asked: Asked, area: Area) -> Iterator[Finding]:
    running = asked.modules
    if running is None:
        what = "whether the modules are loaded that are needed, Asterisk does not tell"
        yield area.unknown(
            "pbx.modules", what, 'asterisk -rx "module load res_ari_asterisk.so", or AMI with write = system'
        )
        return
    missing = [name for name in wanted(asked) if name not in running]
    if not missing:
        yield area.ok("pbx.modules", "its modules are loaded")
        return
    what = f"not loaded: {', '.join(missing)}"
    loads = "; ".join(f'asterisk -rx "module load {name}.so"' for name in missing[:2])
    more = " ..." if len(missing) > 2 else ""
    yield area.error("pbx.modules", what, f"{loads}{more}, and modules.conf for the next start")


def _files(asked: Asked, area: Area) -> Iterator[Finding]:
    if asked.ari is None:
        return
    if asked.pbx.ami is None or asked.pbx.ami.files is None:
        if asked.pbx.ari is not None and asked.pbx.ari.trouble is None:
            what = "what ari.conf and http.conf say cannot be told: it is asked over AMI"
            yield area.unknown("pbx.files", what, "an AMI user with write = system (or config)")
        return
    for file, check in (("ari.conf", _ari_conf), ("http.conf", _http_conf)):
        section = asked.pbx.ami.files.get(file)
        if section is None or section.values is None:
            why = section.trouble.detail if section is not None and section.trouble is not None else "not told"
            mend = f"put {file} where asterisk.conf's astetcdir is, with a [general] in it; config/asterisk/ has ours"
            yield area.unknown(f"{file}.read", f"what {file} says cannot be told: {why}", mend)
        else:
            yield from check(asked, dict(section.values), area)


def _ari_conf(asked: Asked, values: dict[str, str], area: Area) -> Iterator[Finding]:
    reload = RELOAD_ARI
    given = {one.strip().lower() for one in re.split(r",(?![^()]*\))", values.get("channelvars", ""))}
    missing = [one for one in needs.CHANNELVARS if one.lower() not in given]
    mend = f"ari.conf: [general] channelvars = {','.join(needs.CHANNELVARS)}; {reload}"
    if not missing:
        yield area.ok("ari.conf.channelvars", "ari.conf has the channelvars")
    elif asked.ways is not None and "stasis" in asked.ways:
        what = f"ari.conf has no channelvars {', '.join(missing)}: with a bare Stasis() every caller counts as withheld"
        yield area.error("ari.conf.channelvars", what, mend)
    else:
        what = f"ari.conf has no channelvars {', '.join(missing)}: a bare Stasis() would lack what they tell"
        yield area.warning("ari.conf.channelvars", what, mend)
    written = values.get("websocket_write_timeout", "")
    if written.isdecimal() and int(written) >= needs.WRITE_TIMEOUT:
        yield area.ok("ari.conf.websocket_write_timeout", f"websocket_write_timeout {written}")
    else:
        now = f"{written} ms" if written else "not set (100 ms)"
        what = (
            f"ari.conf: websocket_write_timeout is {now}: one pause of the gateway, and Asterisk drops its application"
        )
        yield area.warning(
            "ari.conf.websocket_write_timeout", what, f"ari.conf: [general] websocket_write_timeout = 5000; {reload}"
        )


def _http_conf(asked: Asked, values: dict[str, str], area: Area) -> Iterator[Finding]:
    address = values.get("bindaddr", "")
    if not address or loopback.near(address):  # tlsenable opens another port, and leaves this one as it is
        yield area.ok("http.conf.bindaddr", "its HTTP server is not open to the network")
        return
    what = (
        f"http.conf: the HTTP server listens at {address}, in clear: whoever has the ARI password controls every call"
    )
    mend = 'http.conf: [general] bindaddr = 127.0.0.1; asterisk -rx "module reload http"'
    yield area.warning("http.conf.bindaddr", what, mend)


def _trunks(asked: Asked, area: Area) -> Iterator[Finding]:
    """Whether the endpoints of PJSIP are told, and what they say."""
    ari, ami = asked.pbx.ari, asked.pbx.ami
    found = [door.endpoints for door in (ari, ami) if door is not None and door.endpoints is not None]
    if found and (found[0].looked or not found[0].count):
        yield from _endpoints(found[0], area)
        return
    if ari is not None:
        there = ari.modules is not None and "chan_pjsip" in ari.modules
    else:
        there = ami is not None and ami.actions is not None and "PJSIPShowEndpoints" in ami.actions
    if there:
        what = "PJSIP: whether trust_id_inbound is set, without which withheld numbers are not known, cannot be told"
        mend = 'AMI with write = system,command (or reporting); asterisk -rx "pjsip show endpoint NAME" shows it'
        yield area.unknown("pjsip.trust_id_inbound", what, mend)


def _endpoints(endpoints: facts.Endpoints, area: Area) -> Iterator[Finding]:
    blind = [one.name for one in endpoints.looked if one.trunk and not one.trusts]
    rest = endpoints.count - len(endpoints.looked)
    unseen = f" ({text.counted(rest, 'endpoint')} not looked at)" if rest else ""
    if blind:
        what = f"PJSIP: trust_id_inbound = no in {named(blind)}: who withholds a number arrives as if it were shown"
        mend = "pjsip.conf: trust_id_inbound = yes in the endpoint of every trunk that you trust, and only there"
        yield area.warning("pjsip.trust_id_inbound", f"{what}{unseen}", mend)
    elif endpoints.looked:
        yield area.ok("pjsip.trust_id_inbound", f"trunks tell who withholds{unseen}")
