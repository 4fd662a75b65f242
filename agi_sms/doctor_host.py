"""What is right and wrong on this side: configuration, gateway, database, and whom they reach. Pure."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo

import yarl

from agi_sms import doctor_facts as facts
from agi_sms import durations, http_words, loopback, text
from agi_sms.config import Config
from agi_sms.doctor_finding import Area, Finding, named, span

SLOW, TOO_SLOW = timedelta(milliseconds=20), timedelta(milliseconds=100)  # fsync
LITTLE, TOO_LITTLE = 1 << 30, 100 << 20  # bytes left
RENEW = timedelta(days=14)
_SERVING = "serving"  # link.State
_AT = re.compile(r"([^:]+):(\d+): ")
_SSL = "openssl s_client -connect"


# --- configuration and gateway ------------------------------------------------------------------------------------


def configuration(loaded: Config | None, told: facts.Configuration) -> Iterator[Finding]:
    """What `check` says of it."""
    area = Area(name="configuration")
    for mistake in told.mistakes:
        yield area.error("configuration.mistake", mistake, f"change {_line(mistake)}, then agi-sms check")
    for warning in told.warnings:
        mend = f"change {_line(warning)} if it is not meant so, then agi-sms check"
        yield area.warning("configuration.warning", warning, mend)
    if loaded is not None and not told.mistakes:
        counts = [
            text.counted(len(loaded.nodes), "node"),
            text.counted(len(loaded.providers), "provider"),
            text.counted(len(loaded.settings.pbx), "pbx", "pbxes"),
        ]
        yield area.ok("configuration.mistake", f"{told.path}: {', '.join(counts)}")


def _line(said: str) -> str:
    """The place out of `file:line: key: what is wrong`."""
    at = _AT.match(said)
    return f"line {at[2]} of {at[1]}" if at else "what it names"


def gateway(told: facts.Gateway, agi: facts.Port | None, zone: tzinfo) -> Iterator[Finding]:
    """Whether it runs, and on what."""
    area = Area(name="gateway")
    if not told.told:
        what = f"whether a gateway runs cannot be told: {told.database.parent} is closed to this user"
        yield area.unknown("gateway.runs", what, "sudo agi-sms doctor, or as the gateway's own user")
        return
    if told.pid is None:
        what = f"none runs on {told.database}: calls make no SMS until one does"
        yield area.warning("gateway.runs", what, "systemctl start agi-sms (or agi-sms run)")
        return
    yield area.ok("gateway.runs", f"runs (pid {told.pid})")
    if told.reload_error:
        first = told.reload_error.splitlines()[0]
        what = f"runs on an older configuration: the last reload was refused: {first}"
        yield area.warning("gateway.reload", what, "agi-sms check, then agi-sms reload")
    if told.restart:
        what = f"runs without what was changed in {named(told.restart)}"
        yield area.warning("gateway.restart", what, "systemctl restart agi-sms")
    for door, state in (told.doors or {}).items():
        if state == "standby":
            continue  # told with its PBX
        if state != _SERVING:
            what = f"its connection to {door} is {state}"
            yield area.error("gateway.door", what, "mend what is said of that pbx below; the gateway's log says more")
    for name, until in (told.left_alone or {}).items():
        at = datetime.fromisoformat(until).astimezone(zone)
        what = f"leaves provider {name} alone until {at:%H:%M:%S}: it took nothing several times in a row"
        yield area.warning(
            "gateway.left_alone",
            what,
            "agi-sms history shows what it said; how soon a provider is left alone, health in the configuration says",
        )
    for route, count in (told.stranded or {}).items():
        what = f"{text.counted(count, 'message')} waiting for {route}, which the configuration no longer has"
        yield area.warning("gateway.stranded", what, "put it back and reload, or agi-sms retry --route (its --help)")
    if agi is not None:
        if agi.trouble is None:
            yield area.ok("gateway.agi", f"FastAGI is open at {agi.where}")
        else:
            what = f"FastAGI at {agi.where}: {agi.trouble.detail}"
            mend = "restart the gateway, which opens the port only at its start: systemctl restart agi-sms"
            yield area.error("gateway.agi", what, mend)


# --- providers ----------------------------------------------------------------------------------------------------


def providers(loaded: Config, reached: Mapping[str, tuple[facts.Reached, ...]], now: datetime) -> Iterator[Finding]:
    """Whether those that need somebody, or a folder, reach it."""
    used = {name for one in loaded.nodes.values() for name in one.route.providers}
    for name, found in reached.items():
        area = Area(name="providers", about=name)
        for one in found:
            if one.trouble is not None:
                what = f"{name}: {one.where}: {one.trouble.detail}"
                mend = _mend(f"providers.{name}", one, one.trouble)
                if name in used:
                    yield area.error("provider.reach", what, mend)
                else:
                    yield area.warning("provider.reach", f"{what} (no route uses it)", mend)
            elif one.ends is not None and one.ends - now < RENEW:
                what = f"{name}: the certificate of {one.where} ends {one.ends:%Y-%m-%d}"
                yield area.warning("provider.certificate", what, "its owner renews it; nothing goes out after that day")
        if found and all(one.trouble is None for one in found):
            yield area.ok("provider.reach", f"{name} {'reached' if _is_host(found[-1]) else 'writable'}")


def _is_host(one: facts.Reached) -> bool:
    return not one.where.startswith("/")


def _mend(key: str, one: facts.Reached, trouble: facts.Trouble) -> str:
    """What to do where somebody, or a folder, is not reached; `key` is where it stands in our configuration."""
    match trouble.code:
        case "dns":
            host = one.where.rpartition(":")[0].strip("[]")
            return f"write the right host in {key}, or mend this machine's DNS: getent hosts {host}"
        case "tls":
            return f"{_SSL} {one.where} shows the certificate; {key}.ca_file is for one of your own"
        case "denied":
            return "chown or chmod it for the gateway's user, as whom to ask: sudo -u agi-sms agi-sms doctor"
        case "absent":
            return "make it, writable for the gateway's user"
    host, _, port = one.where.rpartition(":")
    return f"is it up, and does a firewall let this machine out? nc -vz {host.strip('[]')} {port}"


# --- the customer's systems ---------------------------------------------------------------------------------------


def contents(loaded: Config, reached: Mapping[str, facts.Reached], now: datetime) -> Iterator[Finding]:
    """Whether those are reached that nodes ask for their texts; each host is told once."""
    nodes: dict[facts.Reached, list[str]] = {}
    for node, one in reached.items():
        nodes.setdefault(one, []).append(node)
    for one, names in nodes.items():
        area = Area(name="texts from your own systems", about=names[0])
        key = f"nodes.{names[0]}.content.api"
        of = named(names)
        if one.trouble is not None:
            what = f"{of}: {one.where}: {one.trouble.detail}"
            yield area.error("content.reach", what, _mend(key, one, one.trouble))
            continue
        refused = [name for name in names if _refused(loaded, name, one)]
        if refused:
            what = f"{named(refused)}: {one.where} has the private address {one.address}, which is not asked"
            mend = f"take private_addresses: deny out of {key}, or write a host that the internet has"
            yield area.error("content.reach", what, mend)
            continue
        if one.ends is not None and one.ends - now < RENEW:
            what = f"{of}: the certificate of {one.where} ends {one.ends:%Y-%m-%d}"
            yield area.warning("content.certificate", what, "its owner renews it; no text comes from there after that")
        yield area.ok("content.reach", f"{one.where} reached, for {of}")


def _refused(loaded: Config, node: str, one: facts.Reached) -> bool:
    """Whether its address is one that the node's settings do not let be asked."""
    source = loaded.sources.get(node)
    denied = source is not None and source.private_addresses == "deny"
    return denied and bool(one.address) and http_words.private(one.address)


# --- database -----------------------------------------------------------------------------------------------------


def database(found: facts.Database, running: facts.Gateway, hold_budget: timedelta) -> Iterator[Finding]:
    """The folder, the file and the disk below."""
    area = Area(name="database")
    folder = found.path.parent
    if found.network:
        what = f"{folder} is a network file system ({found.file_system}), where SQLite loses data"
        yield area.error("database.file_system", what, "write in database the path of a file on a local disk")
    if found.trouble is not None:
        yield _folder(found, found.trouble, area)
        if found.trouble.code == "ENOENT":
            return
    if found.foreign:
        yield area.error(
            "database.owner", found.foreign, "do what it says, once you know that nobody has changed the file"
        )
    if found.root_owned:
        what = (
            f"{named([path.name for path in found.root_owned])} in {folder} belong to root, the folder to {found.owner}"
        )
        mend = f"chown {found.owner} {' '.join(map(str, found.root_owned))}"
        yield area.error("database.owner", f"{what}: the gateway cannot write them", mend)
    if found.file_trouble is not None:
        yield area.error("database.file", f"{found.path}: {found.file_trouble.detail}", _as_owner(found))
    yield from _schema(found, running, area)
    if found.fsync is not None:
        yield _fsync(found.fsync, hold_budget, area)
    if found.free is not None:
        yield _space(found, found.free, area)
    yield from _spool(found, area)


def _as_owner(found: facts.Database) -> str:
    return f"ask as the gateway's user: sudo -u {found.owner or 'agi-sms'} agi-sms doctor"


def _folder(found: facts.Database, trouble: facts.Trouble, area: Area) -> Finding:
    folder = found.path.parent
    match trouble.code:
        case "ENOENT":
            what = f"there is no folder {folder} yet; the gateway's first start makes it"
            return area.unknown("database.folder", what, "agi-sms run, or systemctl start agi-sms")
        case "ENOSPC":
            what = f"nothing can be written in {folder}: the disk is full"
            return area.error("database.folder", what, f"make room: df -h {folder}")
        case "EROFS":
            what = f"nothing can be written in {folder}: its file system is read-only"
            return area.error("database.folder", what, "dmesg says why; mount -o remount,rw, or another disk")
        case "EACCES" if found.owner and found.owner != found.user:
            what = f"{folder} is {found.owner}'s, and this user ({found.user}) may not write there"
            return area.unknown("database.folder", what, _as_owner(found))
    return area.error("database.folder", f"nothing can be written in {folder}: {trouble.detail}", f"ls -ld {folder}")


def _schema(found: facts.Database, running: facts.Gateway, area: Area) -> Iterator[Finding]:
    if not found.exists:
        yield area.ok("database.file", "not made yet; the gateway's first start does")
    elif found.schema is None:
        if found.file_trouble is None:
            what = f"which version {found.path} has cannot be told"
            yield area.unknown("database.schema", what, "another process may hold it; agi-sms history says more")
    elif found.schema == 0:
        what = f"{found.path} is no database of agi-sms"
        yield area.error("database.schema", what, "give `database` another path")
    elif found.schema > found.newest:
        what = f"{found.path} was written by a newer agi-sms (schema {found.schema}, this one knows {found.newest})"
        yield area.error("database.schema", what, "upgrade agi-sms, or restore the backup from before")
    elif found.schema < found.newest and running.pid is not None:
        what = f"the gateway that runs is older than this command (schema {found.schema}, not {found.newest})"
        yield area.warning("database.schema", what, "systemctl restart agi-sms")
    elif found.schema < found.newest:
        yield area.ok("database.schema", "is brought up to date by the next start")
    else:
        yield area.ok("database.schema", f"schema {found.schema}")


def _fsync(median: timedelta, hold_budget: timedelta, area: Area) -> Finding:
    took = span(median.total_seconds())
    if median <= SLOW:
        return area.ok("database.fsync", f"a write is on the disk in {took}")
    what = (
        f"a write takes {took} until it is on the disk; a call waits for it (hold_budget {durations.show(hold_budget)})"
    )
    mend = "give it a disk of its own, or an SSD; what else writes there: iostat -x 1"
    if median <= TOO_SLOW:
        return area.warning("database.fsync", what, mend)
    return area.error("database.fsync", what, mend)


def _space(found: facts.Database, free: int, area: Area) -> Finding:
    left = f"{free / (1 << 30):.1f} GiB" if free >= LITTLE else f"{free >> 20} MiB"
    mend = f"make room: df -h {found.path.parent}"
    if free < TOO_LITTLE:
        return area.error("database.space", f"{left} left on the disk", mend)
    if free < LITTLE:
        return area.warning("database.space", f"{left} left on the disk", mend)
    return area.ok("database.space", f"{left} left")


def _spool(found: facts.Database, area: Area) -> Iterator[Finding]:
    if found.spool_trouble is not None and (found.spool_exists or found.trouble is None):
        what = f"the spool {found.spool}: {found.spool_trouble.detail}"
        yield area.error("spool.file", what, _as_owner(found))
    if found.quarantine:
        path = found.spool.with_name(found.spool.name + ".quarantine")
        yield area.warning(
            "spool.quarantine", f"{path} holds calls that could not be stored", f"each line says why: cat {path}"
        )


# --- receipts -----------------------------------------------------------------------------------------------------


def receipts(
    loaded: Config, running: facts.Gateway, listener: facts.Port | None, public: facts.Port | None
) -> Iterator[Finding]:
    """Whether what providers report comes in."""
    area = Area(name="receipts")
    desk = loaded.settings.receipts
    reporting = [name for name, one in loaded.providers.items() if getattr(one, "receipts", None) is not None]
    if desk is None:
        return  # providers that would report are told of with the configuration
    if not reporting:
        what = "a port is open for receipts, and no provider reports over HTTP"
        yield area.warning("receipts.unused", what, "take out the receipts key")
    if listener is not None:
        if listener.ours:
            yield area.ok("receipts.listener", f"the port {desk.listen} is open")
        elif listener.trouble is not None:
            what = f"the port {desk.listen}: {listener.trouble.detail}"
            yield area.error(
                "receipts.listener",
                what,
                "restart the gateway, which opens the port only at its start: systemctl restart agi-sms",
            )
        else:
            what = f"at {desk.listen} somebody else answers ({_who(listener)})"
            yield area.error(
                "receipts.listener", what, "write another port in receipts.listen, then systemctl restart agi-sms"
            )
    if desk.public_url and public is not None:
        yield from _public(desk.public_url, desk.listen, running, public, area)


def _public(url: str, listen: str, running: facts.Gateway, public: facts.Port, area: Area) -> Iterator[Finding]:
    if not url.startswith("https") and not loopback.near(yarl.URL(url).host or ""):
        what = f"{url} is without TLS: on the way, receipts with phone numbers can be read"
        yield area.warning(
            "receipts.https", what, "give the proxy a certificate, and write https in receipts.public_url"
        )
    proxy = f"let the proxy hand {url}/receipts/ on to http://{listen}/receipts/"
    if public.trouble is not None:
        what = f"{public.where}: {public.trouble.detail}"
        if public.trouble.code in ("dns", "tls"):
            yield area.error(
                "receipts.public_url",
                what,
                f"mend the name in receipts.public_url, or the certificate: {_SSL} HOST:443 shows it",
            )
        else:
            mend = "try it from outside: curl -I " + public.where
            yield area.warning("receipts.public_url", f"{what} (as seen from this machine)", mend)
    elif public.ours:
        yield area.ok("receipts.public_url", f"{url} leads here")
    elif public.status in (502, 503, 504) and running.pid is None:
        yield area.ok("receipts.public_url", f"{url}: a proxy answers, and waits for the gateway")
    elif public.status in (502, 503, 504):
        what = f"{public.where}: a proxy answers {_who(public)}: it does not reach the gateway"
        yield area.error("receipts.public_url", what, proxy)
    elif public.status in (401, 403, 405):
        what = f"{public.where}: {_who(public)} answers; whether receipts get through cannot be told"
        yield area.unknown("receipts.public_url", what, proxy)
    else:
        what = f"{public.where}: somebody else answers ({_who(public)})"
        yield area.error("receipts.public_url", what, proxy)


def _who(port: facts.Port) -> str:
    return f"{port.status}{f', {port.server}' if port.server else ''}"
