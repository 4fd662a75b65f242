"""Kannel: bearerbox, smsbox, and fakesmsc as the network behind them, in one container."""

import contextlib
import http.client
import re
import urllib.request
import uuid

from rig import peers, ports

REFUSED_PREFIX = "+4899"
_ARRIVED = re.compile(r"Got message \d+: <(.*)>$")


class Kannel(peers.Peer):
    """Kannel with one sendsms user. A message that fakesmsc takes has receipts of type 8 and 1, at its dlr-url.

    They come within milliseconds, in no fixed order where it has several segments. A number with REFUSED_PREFIX has
    no route: the answer is a 403, and a receipt of type 16 comes all the same. While the network is down messages are
    queued.
    """

    def __init__(self) -> None:
        """Choose ports; nothing runs yet."""
        super().__init__("kannel", ["sh"])
        self._admin, self._boxes, self._network, self.port = ports.free(4)
        self.username, self.password = "rig", uuid.uuid4().hex
        self.url = f"http://{peers.HOST}:{self.port}/cgi-bin/sendsms"

    def start(self) -> None:
        """Start all three, and return when a message would reach the network."""
        super().start()
        self.write(f"cat >/tmp/kannel.conf <<'END'\n{self._configuration()}END")
        self.write("bearerbox /tmp/kannel.conf 2>&1 &")
        self.wait_for("bearerbox is up", lambda: bool(self.status()))
        self.write("smsbox /tmp/kannel.conf 2>&1 &")
        self.network_up()
        self.wait_for("smsbox is up", lambda: "smsbox:rig" in self.status())

    def network_down(self) -> None:
        """Take the network away; what is sent is queued."""
        self.write('kill "$network"; wait "$network"')
        self.wait_for("the network is down", lambda: f"FAKE:{self._network} (online" not in self.status())

    def network_up(self) -> None:
        """Connect the network; what was queued goes out."""
        # It wants a message to send, and sends none of it.
        self.write(f"fakesmsc -H {peers.HOST} -r {self._network} -m 0 '1 2 text x' 2>&1 & network=$!")
        self.wait_for("the network is up", lambda: f"FAKE:{self._network} (online" in self.status())

    def arrived(self) -> list[str]:
        """Return what the network got, as fakesmsc shows it: `SENDER RECIPIENT text TEXT`, or `udh HEADER data TEXT`.

        Both parts of a text outside ASCII are urlencoded, in UTF-8, or in UTF-16 after `ucs-2`.
        """
        return [found[1] for line in self.lines if (found := _ARRIVED.search(line))]

    def status(self) -> str:
        """Return bearerbox's status page, nothing where it does not answer."""
        address = f"http://{peers.HOST}:{self._admin}/status.txt?password={self.password}"
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            urllib.request.urlopen(address, timeout=5) as page,
        ):
            return str(page.read().decode(errors="replace"))
        return ""

    def _configuration(self) -> str:
        return (
            f"group = core\nadmin-port = {self._admin}\nadmin-interface = {peers.HOST}\n"
            f"admin-password = {self.password}\nsmsbox-port = {self._boxes}\nsmsbox-interface = {peers.HOST}\n"
            f"box-allow-ip = {peers.HOST}\ndlr-storage = internal\n\n"
            f"group = smsc\nsmsc = fake\nsmsc-id = fake\nport = {self._network}\nconnect-allow-ip = {peers.HOST}\n"
            f"denied-prefix = {REFUSED_PREFIX}\n\n"
            f"group = smsbox\nsmsbox-id = rig\nbearerbox-host = {peers.HOST}\nsendsms-port = {self.port}\n"
            f"sendsms-interface = {peers.HOST}\n\n"
            f"group = sendsms-user\nusername = {self.username}\npassword = {self.password}\nmax-messages = 10\n"
            "concatenation = true\n\n"
            "group = sms-service\nkeyword = default\nmax-messages = 0\ntext = none\n"
        )
