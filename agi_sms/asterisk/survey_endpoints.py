"""Which endpoints of PJSIP are trunks, by what ARI or AMI tells of them. Pure."""

from collections.abc import Iterable

from agi_sms import doctor_facts as facts
from agi_sms import harmless

MOST = 200  # that are looked at, one request each


def ordered(names: Iterable[str]) -> list[str]:
    """First those whose names are no extension's."""
    return sorted(names, key=lambda name: (name.isdecimal(), name))


def endpoint(name: str, *, auth: str, outbound_auth: str, trust_id_inbound: str) -> facts.Endpoint:
    """Who sends no password, or is sent one by us, is no phone; `anonymous` is the whole world."""
    trunk = (not auth or bool(outbound_auth)) and name != "anonymous"
    trusts = trust_id_inbound.lower() in ("true", "yes", "on", "1")
    return facts.Endpoint(name=harmless.clipped(name, 60), trusts=trusts, trunk=trunk)
