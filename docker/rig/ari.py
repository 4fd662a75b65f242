"""A stand-in for the gateway: registers the Stasis application, and answers its calls or lets them wait."""

import base64
import contextlib
import http.client
import json
import os
import socket
import struct
import threading
import types
import typing
import urllib.parse

from rig import errors

if typing.TYPE_CHECKING:
    from rig.asterisk import Asterisk

Event = dict[str, typing.Any]


class App:
    """One connection that owns a Stasis application; a context manager.

    With answer (the value of AGISMS) every call gets it and is sent back at once; without one calls wait for ever,
    as with a gateway that hangs.
    """

    def __init__(self, asterisk: "Asterisk", *, answer: str | None = None, name: str = "agi-sms") -> None:
        """Say which Asterisk and what to answer; nothing is connected yet."""
        self.events: list[Event] = []
        self._answer = answer
        self._name = name
        self._address = (asterisk.host, asterisk.http_port)
        secret = base64.b64encode(f"{asterisk.ari_user}:{asterisk.ari_password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {secret}"}
        self._socket: socket.socket | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Connect; the application is registered when this returns."""
        self._socket = socket.create_connection(self._address, timeout=10)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET /ari/events?app={self._name} HTTP/1.1",
            f"Host: {self._address[0]}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: ari",
            *(f"{name}: {value}" for name, value in self._headers.items()),
        ]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        stream = self._socket.makefile("rb")
        status = stream.readline().decode()
        if " 101 " not in status:
            raise errors.RigError(f"ARI refused the event stream: {status.strip()}")
        while stream.readline().strip():
            pass
        self._socket.settimeout(None)
        self._reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._reader.start()
        if self.request("GET", f"/applications/{self._name}")[0] != 200:
            raise errors.RigError(f"the application {self._name} is not registered")

    def stop(self) -> None:
        """Close the connection; Asterisk takes the application away."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None
        if self._reader is not None:
            self._reader.join(timeout=10)

    def request(self, method: str, path: str, **query: str) -> tuple[int, object]:
        """Send one ARI request; return its status and its JSON, None where there is none."""
        connection = http.client.HTTPConnection(*self._address, timeout=10)
        try:
            connection.request(method, f"/ari{path}?{urllib.parse.urlencode(query)}", headers=self._headers)
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if body else None
        finally:
            connection.close()

    def calls(self) -> list[Event]:
        """Return the StasisStart events so far."""
        return [event for event in list(self.events) if event["type"] == "StasisStart"]

    def send_on(self, start: Event, answer: str) -> int:
        """Answer the visit of a StasisStart and send its channel on; the HTTP status."""
        channel = urllib.parse.quote(start["channel"]["id"])
        visit = next((one.removeprefix("visit=") for one in start["args"] if one.startswith("visit=")), "")
        result = f"result:{answer.replace(',', ':')}:{visit[-9:]}"
        path = f"/channels/{channel}/continue"
        return self.request("POST", path, context="agi-sms", extension=result, priority="1")[0]

    def _read(self, stream: typing.BinaryIO) -> None:
        """Read events until the connection ends (RFC 6455: the server's frames are not masked)."""
        with contextlib.suppress(OSError, struct.error, ValueError):
            while True:
                first, length = struct.unpack("!BB", stream.read(2))
                if length == 126:
                    (length,) = struct.unpack("!H", stream.read(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", stream.read(8))
                payload = stream.read(length)
                if first & 0x0F == 1:
                    self._take(json.loads(payload))

    def _take(self, event: Event) -> None:
        self.events.append(event)
        if event["type"] == "StasisStart" and self._answer is not None:
            self.send_on(event, self._answer)

    def __enter__(self) -> typing.Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.stop()
