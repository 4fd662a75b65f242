"""What the ways into a node need of an Asterisk: versions, modules, extensions, settings. Pure.

A test holds MODULES and SHIPPED to the files in dialplan/, and says what to write where one has changed.
"""

import hashlib
from collections.abc import Iterable
from datetime import timedelta

OLDEST = (16, 28)  # the first Asterisk that has all of it

# By the file in dialplan/; those of agi-sms.conf are needed by all three.
MODULES = {
    "agi-sms": (
        *("app_stack", "app_verbose", "func_callerid", "func_channel", "func_cut", "func_db", "func_dialplan"),
        *("func_logic", "func_strings", "func_timeout", "func_rand", "func_uri"),
    ),
    "ari": ("app_stasis",),
    "agi": ("res_agi",),
    "event": ("app_userevent",),
}
# Of what the gateway itself asks over ARI.
ARI_MODULES = (
    *("res_stasis", "res_ari", "res_ari_events", "res_ari_channels", "res_ari_applications", "res_ari_asterisk"),
    "res_http_websocket",
)
MESSAGE_MODULES = ("res_pjsip_messaging", "res_ari_endpoints")  # of `type: sip` over ARI

CHANNELVARS = ("CHANNEL(linkedid)", "CALLERID(num-pres)", "CALLERID(dnid)")
WRITE_TIMEOUT = 1000  # ms, the least that lets the gateway's reader pause; Asterisk's own default is 100
GLOBALS = ("AGISMS_AGI", "AGISMS_WATCHDOG")
AGI_ADDRESS = "127.0.0.1:4573"  # of agi-sms-agi.conf, where AGISMS_AGI is not set
WATCHDOG = timedelta(seconds=2)  # of agi-sms.conf, where AGISMS_WATCHDOG is not set
WATCHDOG_MARGIN = timedelta(milliseconds=500)  # above hold_budget, for the way there and back
WATCHDOG_MOST = timedelta(seconds=10)  # that a caller waits for a gateway that hangs

# By context: the extensions without which it does not work, and what their steps say.
SHIPPED = {
    "agi-sms": {"s": "ccd22662b775", "_result:.": "bdd0c21167c4", "T": "29e68f9384f7", "h": "00a21d399f30"},
    "agi-sms-agi": {"s": "d22f4e36559f", "T": "9ac2abb49414", "h": "20aaecc73174"},
    "agi-sms-event": {"s": "40309f19e00d", "T": "61e611b54106", "h": "20aaecc73174"},
}


def digest(steps: Iterable[tuple[int, str, str]]) -> str:
    """What an extension's steps (number, application, data) say, in few characters; labels do not count."""
    said = "\n".join(f"{number} {application.lower()} {data}" for number, application, data in steps)
    return hashlib.sha256(said.encode()).hexdigest()[:12]
