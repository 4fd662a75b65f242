"""What is right and wrong with one Asterisk's AMI. Pure."""

from collections.abc import Iterator
from datetime import timedelta

from agi_sms import doctor_facts as facts
from agi_sms import harmless, loopback, text
from agi_sms.asterisk import config_answer
from agi_sms.asterisk import settings as pbx_settings
from agi_sms.doctor_asked import RELOAD_AMI, Asked
from agi_sms.doctor_finding import Area, Finding, span

LEFT = timedelta(seconds=90)  # after which a gateway that runs has taken every visit that it can use


def findings(asked: Asked, settings: pbx_settings.Ami, ami: facts.Ami, area: Area) -> Iterator[Finding]:
    where, user = f"{settings.host}:{settings.port}", settings.username
    if not settings.tls and not loopback.near(settings.host):
        what = f"AMI at {where} is asked over a network in clear: the secret that opens the PBX can be read there"
        yield area.warning(
            "ami.tls",
            what,
            f"write tlsenable = yes in manager.conf's [general] and {asked.key}.ami.tls: true, or use a VPN",
        )
    if ami.trouble is not None:
        yield _ami_trouble(asked, ami.trouble, where, user, area)
    if ami.actions is None:
        return
    if ami.trouble is None:
        yield area.ok("ami.reach", "AMI lets us in")
    missing = [name for name in ("DBGetTree", "DBDel") if name not in ami.actions]
    if missing:
        what = f"the AMI user {user} may not ask for {' and '.join(missing)}: missed visits cannot be collected"
        yield area.error("ami.system", what, f"manager.conf: [{user}] write = system; {RELOAD_AMI}")
    else:
        yield area.ok("ami.system", "its user may collect visits")
    if "Command" in ami.actions:
        yield area.ok("ami.command", "it may read the dialplan")
    elif "ShowDialPlan" in ami.actions:
        yield area.ok("ami.command", "it may read the dialplan, without files and lines (which `command` would tell)")
    yield from _reads_events(asked, user, area)
    yield from _sends(asked, ami.actions, user, area)
    if ami.waiting is not None:
        yield from _waiting(asked, ami.waiting, area)


def _ami_trouble(asked: Asked, trouble: facts.Trouble, where: str, user: str, area: Area) -> Finding:
    key = f"{asked.key}.ami"
    if trouble.code == "denied":
        mend = f"manager.conf: [{user}] with secret = what {key}.secret is, and permit = this machine; {RELOAD_AMI}"
        return area.error("ami.login", f"AMI at {where} refuses {user}: {trouble.detail}", mend)
    if trouble.code in ("dns", "tls"):
        mend = f"write the right host in {key}.host, and in {key}.ca_file who signed manager.conf's tlscertfile"
        return area.error("ami.reach", f"AMI at {where}: {trouble.detail}", mend)
    if trouble.code == "timeout":
        mend = 'is Asterisk stuck? asterisk -rx "core show uptime"; systemctl restart asterisk'
        return area.error("ami.reach", f"AMI at {where}: {trouble.detail}", mend)
    mend = f"does Asterisk run? manager.conf: enabled = yes, and bindaddr and port of {key}; {RELOAD_AMI}"
    return area.error("ami.reach", f"AMI at {where}: {trouble.detail}", mend)


def _reads_events(asked: Asked, user: str, area: Area) -> Iterator[Finding]:
    """Whether the gateway hears of UserEvents; only a dialplan that uses them needs it."""
    events = {"event", "userevent"}
    if asked.ways is not None and not events & asked.ways:
        return
    section = asked.file("manager.conf")
    mend = f"manager.conf: [{user}] read = user (in small letters, no blanks between commas); {RELOAD_AMI}"
    if section is None or section.values is None:
        if asked.ways is not None:
            yield area.unknown("ami.read_user", "whether the AMI user has read = user cannot be told", mend)
    elif config_answer.hears_user_events(section.values.get("read", "")):
        yield area.ok("ami.read_user", "it hears events of the dialplan")
    elif asked.ways is not None and "userevent" in asked.ways:
        what = f"the AMI user {user} hears no UserEvent: what the dialplan says by UserEvent(AgiSms,...) is lost"
        yield area.error("ami.read_user", what, mend)
    else:
        what = f"the AMI user {user} hears no UserEvent: visits by agi-sms-event wait up to 30 s"
        yield area.warning("ami.read_user", what, mend)


def _sends(asked: Asked, actions: frozenset[str], user: str, area: Area) -> Iterator[Finding]:
    """What a provider of ours needs that sends over AMI."""
    if "ami" in asked.messages and "MessageSend" not in actions:
        what = f"the AMI user {user} may not ask for MessageSend, by which a provider of type sip sends"
        yield area.error("ami.send", what, f"manager.conf: [{user}] write = system,message; {RELOAD_AMI}")
    if asked.modem and asked.modem not in actions:
        what = f"AMI has no {asked.modem} for {user}, by which a provider of type modem sends"
        mend = f"load the modem's driver; manager.conf: [{user}] read = user,call and write = system,call; {RELOAD_AMI}"
        yield area.error("ami.send", what, mend)


def _waiting(asked: Asked, waiting: facts.Waiting, area: Area) -> Iterator[Finding]:
    if not waiting.count:
        yield area.ok("ami.waiting", "no visit waits in AstDB")
        return
    useless = sum(_useless(asked, waiting).values())
    if useless:
        yield from _never_taken(asked, waiting, area)
    if useless >= waiting.count and not waiting.more:
        return
    count = f"{'more than ' if waiting.more else ''}{text.counted(waiting.count - useless, 'visit')}"
    age = None if waiting.oldest is None else asked.now - waiting.oldest
    since = f", the oldest for {span(max(1.0, age.total_seconds()))}" if age is not None else ""
    doors = asked.gateway.doors or {}
    connection = doors.get(f"ami {asked.pbx.name}", "serving")
    if asked.gateway.pid is None:
        what = f"{count} waiting in AstDB{since}: no gateway takes them"
        yield area.warning(
            "ami.waiting", what, "start it (agi-sms run); what is older than its node's max_age then expires"
        )
    elif doors.get(f"ari {asked.pbx.name}") == "standby":
        what = f"{count} waiting in AstDB{since}, for the program that has taken the application: this one stands by"
        yield area.unknown("ami.waiting", what, "agi-sms doctor on that program's machine")
    elif connection != "serving":
        what = f"{count} waiting in AstDB{since}: the gateway's connection to AMI is {connection}"
        yield area.warning("ami.waiting", what, "mend what is said of AMI here; the gateway's log says more")
    elif age is None or age > LEFT:
        what = f"{count} waiting in AstDB{since}: the gateway does not take them"
        mend = 'its log says which cannot be used and how to delete them; asterisk -rx "database show agi-sms"'
        yield area.warning("ami.waiting", what, mend)
    else:
        yield area.ok("ami.waiting", f"{count} in AstDB for the gateway's next look")


def _useless(asked: Asked, waiting: facts.Waiting) -> dict[str, int]:
    """How many visits there are of each node that the configuration does not have, and ("") that cannot be read."""
    found = {} if asked.nodes is None else {name: n for name, n in waiting.nodes.items() if name not in asked.nodes}
    return {"": waiting.unreadable, **found} if waiting.unreadable else found


def _never_taken(asked: Asked, waiting: facts.Waiting, area: Area) -> Iterator[Finding]:
    """What stays in AstDB until somebody deletes it or makes the node that it names."""
    show = 'asterisk -rx "database show agi-sms" shows them, "database del agi-sms NAME" deletes one'
    for node, number in sorted(_useless(asked, waiting).items()):
        count = text.counted(number, "visit")
        if not node:
            what = f"{count} in AstDB cannot be read, and {'is' if number == 1 else 'are'} never taken: {waiting.why}"
            yield area.warning("ami.waiting", what, f"mend the arguments in the dialplan; {show}")
        else:
            name = harmless.clipped(node, 60)
            what = f"{count} in AstDB of the node {name}, which there is not: never taken as long as that is so"
            yield area.warning("ami.waiting", what, f"add the node {name} to the configuration and reload; {show}")
