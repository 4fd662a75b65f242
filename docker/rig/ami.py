"""A small blocking AMI client: the rig's own way to look into Asterisk, apart from the gateway's."""

import socket
import types
import typing

from rig import errors

Headers = list[tuple[str, str]]


class Ami:
    """One AMI session; use it as a context manager."""

    def __init__(self, host: str, port: int, user: str, secret: str, *, timeout: float = 10.0) -> None:
        """Connect and log in; raises OSError or errors.RigError (a refused login)."""
        self._socket = socket.create_connection((host, port), timeout=timeout)
        self._file = self._socket.makefile("rb")
        self._file.readline()
        self.action("Login", Username=user, Secret=secret)

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self._file.close()
        self._socket.close()

    def action(self, name: str, **headers: str) -> Headers:
        """Send an action and return its response's headers; raises errors.RigError when Asterisk refuses it."""
        lines = [f"Action: {name}", "ActionID: rig", *(f"{key}: {value}" for key, value in headers.items())]
        self._socket.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        while True:
            message = self.read()
            if message and message[0][0] == "Response":
                if message[0][1] not in ("Success", "Goodbye"):
                    raise errors.RigError(f"AMI {name}: {dict(message).get('Message', message)}")
                return message

    def read(self) -> Headers:
        """Return the next message, a response or an event."""
        message: Headers = []
        while line := self._file.readline():
            text = line.decode(errors="replace").rstrip("\r\n")
            if not text:
                return message
            key, _, value = text.partition(":")
            message.append((key, value.removeprefix(" ")))
        raise errors.RigError("Asterisk closed the AMI connection")
