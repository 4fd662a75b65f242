"""What an SMSC's answer to a submit_sm means. Pure.

An error status certainly means "not taken": a message that was taken is answered with status 0 and its id, there
is no partial success (SMPP 3.4, 4.4.2 and 5.1.3). So the only question left is whether another try makes sense. A
status that we know nothing of (a vendor's from 0x400, a reserved one) is Retry: that loses nothing, its tries are
counted, and the table `codes` in the settings says it better. A generic_nack says that the SMSC could not read the
request, and with which error (4.3.1); one with status 0 says "no" and "no error", so it counts for neither.
"""

import enum
from collections.abc import Mapping

from agi_sms import message


class Then(enum.StrEnum):
    """What a status may stand for in the settings."""

    RETRY = "retry"
    REJECT = "reject"
    UNCERTAIN = "uncertain"
    PROVIDER_DOWN = "provider_down"


OUTCOMES: dict[Then, type[message.Outcome]] = {
    Then.RETRY: message.Retry,
    Then.REJECT: message.Rejected,
    Then.UNCERTAIN: message.Uncertain,
    Then.PROVIDER_DOWN: message.ProviderDown,
}

NACKED = 1 << 32  # no status that fits into a PDU: a generic_nack that names no error
NOT_BOUND = 0x04
THROTTLED = frozenset({0x14, 0x58})  # these slow the whole connection down

_RETRY, _REJECT, _DOWN = Then.RETRY, Then.REJECT, Then.PROVIDER_DOWN
_KNOWN: dict[int, tuple[str, str, Then]] = {
    0x01: ("ESME_RINVMSGLEN", "the message has a wrong length", _REJECT),
    0x02: ("ESME_RINVCMDLEN", "the command has a wrong length", _REJECT),
    0x03: ("ESME_RINVCMDID", "the SMSC does not know this command", _REJECT),
    0x04: ("ESME_RINVBNDSTS", "not bound, or not for this", _RETRY),
    0x05: ("ESME_RALYBND", "bound already", _RETRY),
    0x06: ("ESME_RINVPRTFLG", "wrong priority_flag", _REJECT),
    0x07: ("ESME_RINVREGDLVFLG", "wrong registered_delivery", _REJECT),
    0x08: ("ESME_RSYSERR", "the SMSC has a fault of its own", _RETRY),
    0x0A: ("ESME_RINVSRCADR", "the sender is refused", _REJECT),
    0x0B: ("ESME_RINVDSTADR", "the recipient is refused", _REJECT),
    0x0C: ("ESME_RINVMSGID", "wrong message_id", _REJECT),
    0x0D: ("ESME_RBINDFAIL", "the bind failed", _DOWN),
    0x0E: ("ESME_RINVPASWD", "wrong password", _DOWN),
    0x0F: ("ESME_RINVSYSID", "wrong system_id", _DOWN),
    0x14: ("ESME_RMSGQFUL", "the SMSC's queue is full", _RETRY),
    0x15: ("ESME_RINVSERTYP", "wrong service_type", _REJECT),
    0x33: ("ESME_RINVNUMDESTS", "wrong number of destinations", _REJECT),
    0x34: ("ESME_RINVDLNAME", "wrong distribution list", _REJECT),
    0x40: ("ESME_RINVDESTFLAG", "wrong destination flag", _REJECT),
    0x42: ("ESME_RINVSUBREP", "replacing is refused", _REJECT),
    0x43: ("ESME_RINVESMCLASS", "wrong esm_class: try another `concatenation`", _REJECT),
    0x44: ("ESME_RCNTSUBDL", "no distribution lists", _REJECT),
    0x45: ("ESME_RSUBMITFAIL", "the submit failed", _RETRY),
    0x48: ("ESME_RINVSRCTON", "wrong type of number of the sender", _REJECT),
    0x49: ("ESME_RINVSRCNPI", "wrong numbering plan of the sender", _REJECT),
    0x50: ("ESME_RINVDSTTON", "wrong type of number of the recipient", _REJECT),
    0x51: ("ESME_RINVDSTNPI", "wrong numbering plan of the recipient", _REJECT),
    0x53: ("ESME_RINVSYSTYP", "wrong system_type", _DOWN),
    0x54: ("ESME_RINVREPFLAG", "wrong replace_if_present_flag", _REJECT),
    0x55: ("ESME_RINVNUMMSGS", "wrong number of messages", _REJECT),
    0x58: ("ESME_RTHROTTLED", "too many messages a second", _RETRY),
    0x61: ("ESME_RINVSCHED", "wrong delivery time", _REJECT),
    0x62: ("ESME_RINVEXPIRY", "wrong validity_period", _REJECT),
    0x63: ("ESME_RINVDFTMSGID", "wrong predefined message", _REJECT),
    0x64: ("ESME_RX_T_APPN", "a fault that passes", _RETRY),
    0x65: ("ESME_RX_P_APPN", "a fault that stays", _REJECT),
    0x66: ("ESME_RX_R_APPN", "refused", _REJECT),
    0xC0: ("ESME_RINVOPTPARSTREAM", "wrong optional part", _REJECT),
    0xC1: ("ESME_ROPTPARNOTALLWD", "an optional parameter is not allowed: try another `concatenation`", _REJECT),
    0xC2: ("ESME_RINVPARLEN", "a parameter has a wrong length", _REJECT),
    0xC3: ("ESME_RMISSINGOPTPARAM", "an optional parameter is missing", _REJECT),
    0xC4: ("ESME_RINVOPTPARAMVAL", "wrong value of an optional parameter", _REJECT),
    0xFE: ("ESME_RDELIVERYFAILURE", "the delivery failed", _RETRY),
    0xFF: ("ESME_RUNKNOWNERR", "a fault without a name", _RETRY),
    NACKED: ("generic_nack", "it names no error, so nobody can tell what became of the request", Then.UNCERTAIN),
}


def code(status: int) -> str:
    """A status as it is written in the settings and in the history.

    >>> code(11), code(0x455), code(NACKED)
    ('0x0b', '0x0455', 'nack')
    """
    if status == NACKED:
        return "nack"
    return f"0x{status:02x}" if status < 0x100 else f"0x{status:04x}"


def words(status: int) -> str:
    """A status in words."""
    if status in _KNOWN:
        name, meaning, _ = _KNOWN[status]
        return f"{name}: {meaning}"
    return "a status of this SMSC's own" if 0x400 <= status <= 0x4FF else "a status that SMPP 3.4 does not have"


def outcome(status: int, codes: Mapping[int, Then], said: str = "") -> message.Outcome:
    """What a status that is not 0 comes to; `said` are the SMSC's own words, fit to be shown."""
    then = codes.get(status) or (_KNOWN[status][2] if status in _KNOWN else Then.RETRY)
    detail = words(status) + (f" ({said})" if said else "")
    return OUTCOMES[then](code=code(status), detail=detail[: message.LONGEST_DETAIL])
