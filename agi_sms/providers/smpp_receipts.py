"""Reads delivery receipts out of a deliver_sm or data_sm: optional parameters first, else the text. Pure.

The text is the SMSC vendor's own (SMPP 3.4, appendix B): `id:IIII sub:SSS dlvrd:DDD submit date:YYMMDDhhmm done
date:YYMMDDhhmm stat:DDDDDDD err:E text:...`. Only id and stat are needed of it, in any case and order; dates are
not read at all. It counts only where the SMSC itself says that this is a receipt: everybody can write such an SMS.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass

from agi_sms import harmless, ports
from agi_sms.message import Status
from agi_sms.providers.smpp_pdus import Short, Tlv, printable

UDHI = 0x40
_TYPES = 0x3C  # bits of esm_class (5.2.12)
_RECEIPTS = frozenset({0x04, 0x20})  # a delivery receipt, an intermediate notification
_UCS2 = 0x08
_LONGEST = 1000  # characters that are looked at
_LONGEST_RAW = 300  # characters that are kept

# the text of the message, which may say anything, begins behind the last field
_TEXT = re.compile(r"(?<!\S)text\s?[:=]", re.IGNORECASE)
_FIELD = re.compile(r"(?<![^\s,;])(id|stat|status|err)\s?[:=]\s?([^\s,;]+)", re.IGNORECASE)
_STATES: Mapping[int, str] = {  # 5.2.28; 0 and 9 are SMPP 5.0's
    0: "SCHEDULED",
    1: "ENROUTE",
    2: "DELIVRD",
    3: "EXPIRED",
    4: "DELETED",
    5: "UNDELIV",
    6: "ACCEPTD",
    7: "UNKNOWN",
    8: "REJECTD",
    9: "SKIPPED",
}
_DELIVERED = re.compile(r"DELIV")
_FAILED = re.compile(r"UNDEL|EXPIR|REJEC|DELET|FAIL|SKIPP|ABSEN|BARRE")  # all else is still on its way


class ReceiptId(enum.StrEnum):
    """How receipts write the ids that the answers to submit_sm gave, where these are written differently."""

    AS_IS = "as_is"
    HEX = "hex"  # in hexadecimal; decimal in the answers
    DECIMAL = "decimal"  # in decimal; hexadecimal in the answers

    def submitted(self, value: str) -> str:
        """An id out of an answer, as it is kept: decimal, unless `as_is`. What is no such number stays."""
        return self._decimal(value, {ReceiptId.HEX: 10, ReceiptId.DECIMAL: 16})

    def receipted(self, value: str) -> str:
        """The same out of a receipt."""
        return self._decimal(value, {ReceiptId.HEX: 16, ReceiptId.DECIMAL: 10})

    def _decimal(self, value: str, bases: "Mapping[ReceiptId, int]") -> str:
        if self is ReceiptId.AS_IS or not re.fullmatch(r"[0-9A-Fa-f]{1,64}", value):
            return value
        try:
            return str(int(value, bases[self]))
        except ValueError:
            return value


@dataclass(frozen=True, kw_only=True)
class Nameless:
    """A receipt of which nobody can say whose it is."""


def is_receipt(short: Short) -> bool:
    """Whether the SMSC says so. Some forget the bit, but nobody else can give these two optional parameters."""
    return short.esm_class & _TYPES in _RECEIPTS or {Tlv.RECEIPTED_ID, Tlv.STATE} <= short.tlvs.keys()


def read(short: Short, ids: ReceiptId) -> ports.Receipt | Nameless:
    """The receipt. `raw` is what came, without the message's own text."""
    told = _decoded(short)[:_LONGEST]
    if (begin := _TEXT.search(told)) is not None:
        told = told[: begin.start()]
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(told):
        fields.setdefault(name.lower(), value)
    said_id = fields.get("id", "").encode("latin-1", "replace")
    name = printable(short.tlvs.get(Tlv.RECEIPTED_ID, b"").split(b"\0")[0]) or printable(said_id)
    if not name:
        return Nameless()
    number = short.tlvs.get(Tlv.STATE, b"")
    said = fields.get("stat", fields.get("status", "")).upper()
    word = _STATES.get(int.from_bytes(number, "big"), said) if number else said
    return ports.Receipt(
        provider_id=ids.receipted(name),
        ref="",
        state=_state(word),
        raw=harmless.clipped(told, _LONGEST_RAW) or harmless.clipped(f"id:{name} stat:{word}", _LONGEST_RAW),
        code=_error(short, fields.get("err", "")),
        detail=harmless.clipped(word, 40),
    )


def _state(word: str) -> Status:
    if _FAILED.match(word):
        return Status.FAILED
    return Status.DELIVERED if _DELIVERED.match(word) else Status.ACCEPTED


def _error(short: Short, said: str) -> str:
    """The SMSC's error code, else the network's (type and code, 5.3.2.31); empty for zero."""
    if said.strip("0"):
        return harmless.clipped(said, 40)
    network = short.tlvs.get(Tlv.NETWORK_ERROR, b"")
    if len(network) == 3 and any(network[1:]):
        return f"{network[0]}/{int.from_bytes(network[1:], 'big')}"
    return ""


def _decoded(short: Short) -> str:
    octets = short.content
    if short.esm_class & UDHI and octets:
        octets = octets[1 + octets[0] :]
    if short.data_coding & 0x0F == _UCS2:
        return octets[: 2 * _LONGEST].decode("utf-16-be", "replace")
    return octets[:_LONGEST].decode("latin-1")
