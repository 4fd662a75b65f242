"""SMPP 3.4 on the wire: what we write, and what we read of what comes. Pure.

Own code, after a look at others: smpplib 2.2.4 raises on every optional parameter that the specification does not
list for a PDU (in submit_sm_resp, where SMSCs like to add some, a message that was taken would read as lost),
aiosmpplib 0.7.4 on vendor status codes, smpp34 1.5.0 acknowledges receipts by itself. smpplib is the oracle in
the tests. Reading is tolerant where nothing hangs on it: optional parameters that are cut off are left out.
"""

import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

LARGEST = 64 * 1024  # octets of one PDU
LONGEST_ID = 128  # characters; the specification has 64
LAST_SEQUENCE = 0x7FFFFFFF
VERSION = 0x34
RESPONSE = 0x80000000

_MOST_TLVS = 100  # that are looked at; there could be 16,000 empty ones
_HEAD = struct.Struct(">IIII")
_LENGTH = struct.Struct(">I")
_TLV = struct.Struct(">HH")


class Command(enum.IntEnum):
    """The command ids that have a meaning here (5.1.2.1); a response has the bit RESPONSE too."""

    NACK = 0  # only as a response: generic_nack
    SUBMIT = 0x04
    DELIVER = 0x05
    UNBIND = 0x06
    BIND_TRANSCEIVER = 0x09
    OUTBIND = 0x0B
    ENQUIRE_LINK = 0x15
    ALERT = 0x102
    DATA = 0x103


class Status(enum.IntEnum):
    """The statuses that we answer with (5.1.3)."""

    OK = 0
    BAD_LENGTH = 0x02  # ESME_RINVCMDLEN
    BAD_COMMAND = 0x03  # ESME_RINVCMDID
    TEMPORARY = 0x64  # ESME_RX_T_APPN: it comes again


class Tlv(enum.IntEnum):
    """Optional parameters (5.3.2)."""

    STATUS_TEXT = 0x001D  # additional_status_info_text
    RECEIPTED_ID = 0x001E
    SAR_REF = 0x020C
    SAR_TOTAL = 0x020E
    SAR_NUMBER = 0x020F
    NETWORK_ERROR = 0x0423
    PAYLOAD = 0x0424
    STATE = 0x0427


class Malformed(ValueError):
    """Octets that are no PDU, or not the one that they say they are."""


@dataclass(frozen=True, kw_only=True)
class Pdu:
    """One PDU, its body unread. `command` may be any number."""

    command: int
    status: int = 0
    sequence: int
    body: bytes = b""

    @property
    def is_response(self) -> bool:
        return bool(self.command & RESPONSE)

    @property
    def size(self) -> int:
        """How many octets it has."""
        return _HEAD.size + len(self.body)

    def encode(self) -> bytes:
        """As it goes over the wire."""
        return _HEAD.pack(_HEAD.size + len(self.body), self.command, self.status, self.sequence) + self.body


def first(octets: bytes | bytearray, at: int = 0) -> Pdu | None:
    """The PDU that begins there, None where a part of it is all that there is. Raises Malformed."""
    there = len(octets) - at
    if there < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack_from(octets, at)
    if not _HEAD.size <= size <= LARGEST:
        raise Malformed(f"a PDU of {size} octets; there are {_HEAD.size} to {LARGEST}")
    if there < size:
        return None
    _, command, status, sequence = _HEAD.unpack_from(octets, at)
    return Pdu(command=command, status=status, sequence=sequence, body=bytes(octets[at + _HEAD.size : at + size]))


# --- bodies -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Address:
    """A number or a name with its type (TON) and numbering plan (NPI); at most 20 ASCII characters."""

    ton: int = 0
    npi: int = 0
    value: str = ""

    def encode(self) -> bytes:
        return bytes((self.ton, self.npi)) + text(self.value)


@dataclass(frozen=True, kw_only=True)
class Short:
    """A submit_sm, deliver_sm or data_sm (4.4.1, 4.6.1, 4.7.1): the fields of it that we use.

    `message` is at most 255 octets in the first two; data_sm has it in the optional parameter PAYLOAD only.
    """

    service_type: str = ""
    source: Address = Address()
    to: Address = Address()
    esm_class: int = 0
    validity: str = ""
    registered_delivery: int = 0
    data_coding: int = 0
    message: bytes = b""
    tlvs: Mapping[int, bytes] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The body of a submit_sm or deliver_sm. Raises ValueError for what has no place in one."""
        return b"".join(
            (
                text(self.service_type),
                self.source.encode(),
                self.to.encode(),
                bytes((self.esm_class, 0, 0)),  # protocol_id, priority_flag
                b"\0",  # schedule_delivery_time: at once
                text(self.validity),
                bytes((self.registered_delivery, 0, self.data_coding, 0, len(self.message))),
                self.message,
                tlvs(self.tlvs),
            )
        )

    @classmethod
    def deliver(cls, body: bytes) -> Self:
        """Out of the body of a deliver_sm (or submit_sm). Raises Malformed."""
        reader = _Reader(body)
        service_type, source, to = reader.text(), reader.address(), reader.address()
        esm_class, _, _ = reader.octets(3)
        reader.text()
        validity = reader.text()
        registered_delivery, _, data_coding, _, size = reader.octets(5)
        return cls(
            service_type=service_type,
            source=source,
            to=to,
            esm_class=esm_class,
            validity=validity,
            registered_delivery=registered_delivery,
            data_coding=data_coding,
            message=reader.octets(size),
            tlvs=reader.tlvs(),
        )

    @classmethod
    def data(cls, body: bytes) -> Self:
        """Out of the body of a data_sm. Raises Malformed."""
        reader = _Reader(body)
        service_type, source, to = reader.text(), reader.address(), reader.address()
        esm_class, registered_delivery, data_coding = reader.octets(3)
        return cls(
            service_type=service_type,
            source=source,
            to=to,
            esm_class=esm_class,
            registered_delivery=registered_delivery,
            data_coding=data_coding,
            tlvs=reader.tlvs(),
        )

    @property
    def content(self) -> bytes:
        """The message, wherever it is."""
        return self.message or self.tlvs.get(Tlv.PAYLOAD, b"")


def bind(*, system_id: str, password: str, system_type: str) -> bytes:
    """The body of a bind_transceiver for every address (4.1.5). Raises ValueError."""
    return text(system_id) + text(password) + text(system_type) + bytes((VERSION, 0, 0, 0))


def answer(body: bytes) -> tuple[str, Mapping[int, bytes]]:
    """The message_id and the optional parameters of a submit_sm_resp, empty where there are none."""
    value, _, rest = body.partition(b"\0")
    return printable(value), _Reader(rest).tlvs() if rest else {}


def text(value: str) -> bytes:
    """A C-Octet String (3.1). Raises ValueError for what is not ASCII, or has its end in the middle."""
    if "\0" in value:
        raise ValueError("a NUL ends the field")
    return value.encode("ascii") + b"\0"


def tlvs(values: Mapping[int, bytes]) -> bytes:
    """Optional parameters."""
    return b"".join(_TLV.pack(tag, len(value)) + value for tag, value in values.items())


def printable(octets: bytes) -> str:
    r"""What an SMSC gave as text, of at most LONGEST_ID characters; what is no printable ASCII as `\x1b`."""
    value = octets[:LONGEST_ID].decode("ascii", "backslashreplace")
    if value.isprintable():
        return value.strip()[:LONGEST_ID]
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value).strip()[:LONGEST_ID]


class _Reader:
    """Reads a body from its beginning to its end."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def octets(self, count: int) -> bytes:
        found = self._body[self._at : self._at + count]
        if len(found) < count:
            raise Malformed("the body ends too early")
        self._at += count
        return found

    def text(self) -> str:
        end = self._body.find(b"\0", self._at)
        if end < 0:
            raise Malformed("a field has no end")
        found = self._body[self._at : end]
        self._at = end + 1
        return printable(found)

    def address(self) -> Address:
        ton, npi = self.octets(2)
        return Address(ton=ton, npi=npi, value=self.text())

    def tlvs(self) -> dict[int, bytes]:
        """The first of each tag; what is cut off, too many, or a stray NUL at the end, is nothing."""
        found: dict[int, bytes] = {}
        for _ in range(_MOST_TLVS):
            if self._at + _TLV.size > len(self._body):
                break
            tag, size = _TLV.unpack_from(self._body, self._at)
            value = self._body[self._at + _TLV.size : self._at + _TLV.size + size]
            self._at += _TLV.size + size
            if len(value) == size:
                found.setdefault(tag, value)
        return found
