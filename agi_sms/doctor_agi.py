"""What is right and wrong with the steps of a dialplan that enter a node by FastAGI. Pure."""

from collections.abc import Collection, Iterator

from agi_sms import dialplan_calls, doctor_read, harmless
from agi_sms import doctor_needs as needs
from agi_sms.config_settings import Agi
from agi_sms.dialplan import NodeCall
from agi_sms.doctor_finding import Area, Finding
from agi_sms.doctor_read import Read, leads, place, places

_RELOAD = 'asterisk -rx "dialplan reload"'
_OPEN = f"agi: {{listen: {needs.AGI_ADDRESS}}} in our configuration, and a restart of the gateway"


def findings(read: Read, area: Area) -> Iterator[Finding]:
    """Whether FastAGI goes where the gateway listens."""
    if read.agi is None:
        yield from _off(read, area)
        return
    for one in read.visits:
        if one.address and not dialplan_calls.computed(one.address) and not leads(one.address, read.agi):
            address = harmless.clipped(one.address, 80)
            what = f"AGI() at {place(one)} goes to {address}, and the gateway listens at {read.agi.listen}"
            mend = f"write {doctor_read.agi(read.agi.listen, one)} there"
            yield area.error("dialplan.agi_address", what, mend)
    if any(one.way == "agi" or dialplan_calls.GLOBAL in one.address for one in read.visits):
        yield _global(read, read.agi, area)


def _off(read: Read, area: Area) -> Iterator[Finding]:
    used = [one for one in read.visits if one.way in ("agi", "fastagi")]
    if used:
        what = f"FastAGI is used at {places(used)}, and the gateway does not listen for it"
        yield area.error("dialplan.agi_off", what, _OPEN)
    if read.perhaps:
        what = f"whether AGI() at {places(read.perhaps)} is meant for a node cannot be told: the gateway has no agi"
        yield area.unknown("dialplan.agi_off", what, f"if it is: {_OPEN}")


def _global(read: Read, listen: Agi, area: Area) -> Finding:
    """What the dialplan says of the gateway's address."""
    if read.variables is None:
        what = "whether AGISMS_AGI says where the gateway listens cannot be told"
        return area.unknown("dialplan.agi_address", what, doctor_read.VARIABLES)
    address = read.variables.get(dialplan_calls.GLOBAL, "") or needs.AGI_ADDRESS
    if leads(address, listen):
        return area.ok("dialplan.agi_address", f"FastAGI goes to {harmless.clipped(address, 80)}")
    what = f"agi-sms-agi goes to {harmless.clipped(address, 80)}, and the gateway listens at {listen.listen}"
    mend = f"extensions.conf: [globals] AGISMS_AGI={listen.listen}, or agi.listen: {address}; {_RELOAD}"
    return area.error("dialplan.agi_address", what, mend)


def ours(visits: Collection[NodeCall], nodes: Collection[str], listen: Agi | None) -> Iterator[NodeCall]:
    """Those that enter a node of ours: FastAGI's usual port is that of other programs too."""
    for one in visits:
        named = one.address and not dialplan_calls.computed(one.address) and one.node is not None
        if listen is None or not named or one.node in nodes or leads(one.address, listen):
            yield one
