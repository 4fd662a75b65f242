"""What is right and wrong with one Asterisk's ARI. Pure."""

from collections.abc import Iterator

import yarl

from agi_sms import doctor_facts as facts
from agi_sms import loopback, text
from agi_sms.asterisk import settings as pbx_settings
from agi_sms.doctor_asked import RELOAD_ARI, Asked
from agi_sms.doctor_finding import Area, Finding, span


def findings(asked: Asked, settings: pbx_settings.Ari, ari: facts.Ari, area: Area) -> Iterator[Finding]:
    where = settings.url.rstrip("/")
    if not loopback.near(yarl.URL(settings.url).host or "") and not settings.url.startswith("https"):
        yield area.warning(
            "ari.tls",
            f"ARI at {where} is asked over a network in clear: the password that controls every call can be read there",
            f"write tlsenable = yes and bindaddr = 127.0.0.1 in http.conf and https:// in {asked.key}.ari.url, or use"
            " a VPN",
        )
    if ari.trouble is not None:
        yield _ari_trouble(asked, settings, ari.trouble, where, area)
        return
    yield area.ok("ari.reach", f"ARI answers in {span(ari.took.total_seconds())}")
    yield _writes(asked, settings, ari, area)
    yield from _application(asked, settings.app, ari.application, area)


def _ari_trouble(asked: Asked, settings: pbx_settings.Ari, trouble: facts.Trouble, where: str, area: Area) -> Finding:
    key, user = f"{asked.key}.ari", settings.username
    match trouble.code:
        case "401":
            mend = f"ari.conf: [{user}] with password = what {key}.password is; {RELOAD_ARI}"
            return area.error("ari.login", f"ARI at {where} refuses the login of {user}", mend)
        case "absent":
            mend = (
                f'ari.conf: enabled = yes; asterisk -rx "module load res_ari.so"; {key}.url has the prefix of http.conf'
            )
            return area.error("ari.reach", f"{where} {trouble.detail}", mend)
        case "timeout":
            mend = 'is Asterisk stuck? asterisk -rx "core show uptime"; systemctl restart asterisk'
            return area.error("ari.reach", f"ARI at {where} does not answer: {trouble.detail}", mend)
        case "tls":
            mend = f"write in {key}.ca_file where the certificate is of who signed http.conf's tlscertfile"
            return area.error("ari.reach", f"ARI at {where}: {trouble.detail}", mend)
        case "dns":
            return area.error("ari.reach", f"ARI at {where}: {trouble.detail}", f"mend the name in {key}.url")
    mend = f'does Asterisk run? http.conf: enabled = yes, and what {key}.url says; asterisk -rx "http show status"'
    return area.error("ari.reach", f"ARI at {where}: {trouble.detail}", mend)


def _writes(asked: Asked, settings: pbx_settings.Ari, ari: facts.Ari, area: Area) -> Finding:
    if ari.writes is None:
        what = "whether the ARI user may send calls on, Asterisk does not tell"
        return area.unknown("ari.write", what, 'asterisk -rx "module load res_ari_channels.so"')
    if ari.writes:
        return area.ok("ari.write", "the ARI user may write")
    what = f"the ARI user {settings.username} may only read: no call can be sent on, each waits for its watchdog"
    mend = f"ari.conf: [{settings.username}] read_only = no; {RELOAD_ARI}"
    return area.error("ari.write", what, mend)


def _application(asked: Asked, app: str, application: facts.Application | None, area: Area) -> Iterator[Finding]:
    gateway = asked.gateway
    if application is None:
        what = f"whether the application {app} is registered, Asterisk does not tell"
        yield area.unknown("ari.application", what, 'asterisk -rx "module load res_ari_applications.so"')
        return
    calls = text.counted(application.channels, "call")
    door = (gateway.doors or {}).get(f"ari {asked.pbx.name}", "serving")
    if gateway.pid is not None and not application.registered:
        what = f"the gateway runs, and the application {app} is not registered: no call reaches it"
        yield area.error(
            "ari.application", what, "its log says why; a new pbx needs a restart: systemctl restart agi-sms"
        )
    elif gateway.pid is not None and door == "standby":
        what = f"the gateway runs, and another program has taken {app} (Stasis application): calls go there"
        mend = f"stop the other one, or give each an app of its own ({asked.key}.ari.app, and Stasis() in the dialplan)"
        yield area.error("ari.application", what, mend)
    elif gateway.pid is not None:
        held = f", {calls} in it" if application.channels else ""
        yield area.ok("ari.application", f"the application {app} is registered{held}")
    elif not gateway.told:
        held = "registered" if application.registered else "not registered"
        yield area.ok("ari.application", f"the application {app} is {held}")
    elif application.channels:
        what = f"{calls} parked in the application {app}, and no gateway of this database runs to send them on"
        mend = f'start it (agi-sms run); who else has it: asterisk -rx "ari show app {app}"'
        yield area.warning("ari.parked", what, mend)
    elif application.registered:
        what = f"the application {app} is registered by another program: no gateway runs on this database"
        mend = f'start ours and it takes over (agi-sms run), or stop the other; asterisk -rx "ari show app {app}"'
        yield area.warning("ari.application", what, mend)
    else:
        yield area.ok("ari.application", f"nobody has the application {app}")
