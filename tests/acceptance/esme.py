"""An SMPP client of a few lines, by the book alone: what an SMSC of somebody else's is tried with."""

import socket
import ssl
import struct
import typing

from rig import smsc

BIND, SUBMIT, DELIVER, UNBIND, ENQUIRE = 0x09, 0x04, 0x05, 0x06, 0x15
RESPONSE = 0x80000000
RECEIPTED_ID, MESSAGE_STATE = 0x001E, 0x0427


class Pdu(typing.NamedTuple):
    """What the SMSC sent."""

    command: int
    status: int
    sequence: int
    body: bytes

    def tlvs(self, start: int) -> dict[int, bytes]:
        """The optional parameters, from so far in the body."""
        found = {}
        while start < len(self.body):
            tag, length = struct.unpack_from(">HH", self.body, start)
            found[tag] = self.body[start + 4 : start + 4 + length]
            start += 4 + length
        return found

    def message(self) -> tuple[int, bytes, dict[int, bytes]]:
        """Of a deliver_sm: esm_class, short_message, optional parameters (SMPP 3.4, 4.6.1)."""
        at = self._after(0) + 2  # service_type, source
        at = self._after(at) + 2  # destination
        at = self._after(at)
        esm_class = self.body[at]
        at = self._after(self._after(at + 3)) + 5  # two times, and up to sm_length
        end = at + self.body[at - 1]
        return esm_class, self.body[at:end], self.tlvs(end)

    def _after(self, start: int) -> int:
        """Where a string that starts here has ended."""
        return self.body.index(b"\0", start) + 1


class Esme:
    """An SMPP client of a few lines; every call blocks."""

    def __init__(self, peer: smsc.Smsc, context: ssl.SSLContext | None = None) -> None:
        self._socket = socket.create_connection((peer.host, peer.port), timeout=10)
        if context is not None:
            self._socket = context.wrap_socket(self._socket, server_hostname=peer.host)
        self._sequence = 0

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def send(self, command: int, body: bytes = b"", *, sequence: int | None = None) -> int:
        if sequence is None:
            sequence = self._sequence = self._sequence + 1
        self._socket.sendall(struct.pack(">IIII", 16 + len(body), command, 0, sequence) + body)
        return sequence

    def read(self) -> Pdu:
        """The next PDU; raises EOFError where the connection ends."""
        head = self._exactly(16)
        length, command, status, sequence = struct.unpack(">IIII", head)
        pdu = Pdu(command, status, sequence, self._exactly(length - 16))
        if command == DELIVER:
            self.send(DELIVER | RESPONSE, b"\0", sequence=sequence)
        return pdu

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                more = self._socket.recv(count - len(data))
            except ConnectionResetError:
                more = b""
            if not more:
                raise EOFError
            data += more
        return data

    def bind(self) -> Pdu:
        self.send(BIND, b"gateway\0secret\0\0\x34\0\0\0")
        return self.read()

    def submit(self, text: bytes = b"hello", *, esm_class: int = 0, coding: int = 0, receipt: int = 1) -> int:
        body = b"\0\x05\x00ACME\0\x01\x01" + b"48600100200\0"
        body += bytes((esm_class, 0, 0)) + b"\0\0" + bytes((receipt, 0, coding, 0, len(text))) + text
        return self.send(SUBMIT, body)
