"""The configuration of an Asterisk in the rig: the shipped examples, and what the rig adds."""

import pathlib
import re

from rig import errors

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "config" / "asterisk"
SUBROUTINES = tuple(ROOT / "dialplan" / name for name in ("agi-sms.conf", "agi-sms-agi.conf", "agi-sms-event.conf"))
RECIPES = tuple(sorted((ROOT / "dialplan").glob("sms-*.conf")))

# Only what calls, the dialplan and ARI need: an Asterisk that loads everything boots in three times the time.
MODULES = (pathlib.Path(__file__).parent / "modules.txt").read_text().split()
NEWER = {"16": {"func_export", "func_uuid", "res_websocket_client"}}


def _set(text: str, name: str, value: object) -> str:
    """Change one setting of a shipped example, and insist that it is there exactly once."""
    changed, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
    if count != 1:
        raise errors.RigError(f"the shipped example has {name!r} {count} times, the rig wants it once")
    return changed


def shipped(*, http_port: int, ami_port: int, ari_password: str, ami_secret: str) -> dict[str, str]:
    """Return the shipped examples with only their ports and passwords changed."""
    return {
        **{path.name: path.read_text() for path in (*SUBROUTINES, *RECIPES)},
        "http.conf": _set((SHIPPED / "http.conf").read_text(), "bindport", http_port),
        "ari.conf": _set((SHIPPED / "ari.conf").read_text(), "password", ari_password),
        "manager.conf": _set(_set((SHIPPED / "manager.conf").read_text(), "port", ami_port), "secret", ami_secret),
    }


def modules(version: str) -> list[str]:
    """Return the modules that an Asterisk of this major version loads here."""
    return [name for name in MODULES if name not in NEWER.get(version, set())]


def phones(contacts: dict[str, str], host: str) -> str:
    """Return the endpoints that ring at these SIP addresses."""
    return "".join(
        f"[{name}]\n{_endpoint(host)}aors = {name}\n[{name}]\ntype = aor\ncontact = {address}\n"
        for name, address in contacts.items()
    )


def _endpoint(host: str) -> str:
    return (
        "type = endpoint\ncontext = from-trunk\ndisallow = all\nallow = ulaw,alaw\ndirect_media = no\n"
        f"media_address = {host}\nbind_rtp_to_media_address = yes\nice_support = no\nsend_diversion = yes\n"
    )


def rig_manager(secret: str) -> str:
    """Return the AMI user by which the rig looks in; the gateway has its own."""
    return (
        f"\n[rig]\nsecret = {secret}\ndeny = 0.0.0.0/0.0.0.0\npermit = 127.0.0.1/255.255.255.255\n"
        "read = system\nwrite = system,command,originate,reporting,call\n"
    )


def own(
    *, version: str, sip_port: int, rtp_start: int, rtp_end: int, verbose: int, host: str, trusted_host: str
) -> dict[str, str]:
    """Return the rig's own files."""
    endpoint = _endpoint(host)
    return {
        "asterisk.conf": (
            "[directories]\nastetcdir => /rig/etc\nastmoddir => /rig/run/modules\nastvarlibdir => /rig/lib\n"
            "astdbdir => /rig/var\nastkeydir => /rig/lib\nastdatadir => /usr/share/asterisk\n"
            "astagidir => /usr/share/asterisk/agi-bin\nastspooldir => /rig/spool\nastrundir => /rig/run\n"
            f"astlogdir => /rig/log\n[options]\nverbose = {verbose}\nhighpriority = no\n"
        ),
        "modules.conf": "[modules]\nautoload = no\n" + "".join(f"load = {name}.so\n" for name in modules(version)),
        "logger.conf": "[general]\ndateformat = %F %T.%3q\n"
        "logger_queue_limit = 100000\n[logfiles]\nfull => notice,warning,error,verbose\n",  # of 1000, lines get lost
        "rtp.conf": f"[general]\nrtpstart = {rtp_start}\nrtpend = {rtp_end}\nicesupport = no\n",
        "cdr.conf": "[general]\nenable = yes\nunanswered = yes\n[csv]\nusegmtime = yes\nloguniqueid = yes\n",
        "pjsip.conf": (
            "[global]\ntype = global\nuser_agent = agi-sms rig\n\n"
            f"[udp]\ntype = transport\nprotocol = udp\nbind = {host}:{sip_port}\n\n"
            f"[trunk]\n{endpoint}\n[trunk]\ntype = identify\nendpoint = trunk\nmatch = {host}\n\n"
            f"[trusted]\n{endpoint}trust_id_inbound = yes\n\n"
            f"[trusted]\ntype = identify\nendpoint = trusted\nmatch = {trusted_host}\n\n"
            f"[phone]\n{endpoint}\n#include pjsip_phones.conf\n"
        ),
        "pjsip_phones.conf": "",
        "extensions.conf": "[general]\n[globals]\n"
        + "".join(f"#include {path.name}\n" for path in SUBROUTINES)
        + "#include extensions_test.conf\n",
        "extensions_test.conf": "[from-trunk]\nexten => _X!,1,Hangup(1)\n",
        "queues.conf": "[general]\n[support]\nstrategy = ringall\ntimeout = 5\nretry = 1\njoinempty = yes\n",
        "voicemail.conf": "[general]\nformat = wav\nminsecs = 1\nmaxsilence = 0\n[default]\n100 = 1234,Desk\n",
        "musiconhold.conf": "[default]\nmode = files\ndirectory = /usr/share/asterisk/sounds/en\n",
        # Empty ones keep what Asterisk says of missing files out of the log.
        **{f"{name}.conf": "[general]\n" for name in ("ccss", "cel", "features", "queuerules", "udptl")},
        **{f"{name}.conf": "" for name in ("acl", "pjproject", "res_http_media_cache", "websocket_client")},
        "indications.conf": "[general]\ncountry = us\n[us]\ndescription = tones\nringcadence = 2000,4000\n"
        "dial = 350+440\nbusy = 480+620/500,0/500\nring = 440+480/2000,0/4000\ncongestion = 480+620/250,0/250\n",
    }
