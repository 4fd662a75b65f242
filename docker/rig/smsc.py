"""An SMSC by the npm package smpp, which does what a test tells it to, and writes down what it was sent."""

import json
import typing

from rig import errors, peers, ports

Event = dict[str, typing.Any]

# Command statuses, SMPP 3.4, 5.1.3
SYSTEM_ERROR, QUEUE_FULL, THROTTLED = 0x08, 0x14, 0x58
BIND_FAILED, WRONG_PASSWORD = 0x0D, 0x0E


class Smsc(peers.Peer):
    """An SMSC on a port of 127.0.0.1. What it does is its behaviour, which behave() changes at any time:

    - `bind_status`: a status other than 0 refuses every bind
    - `silent`: commands that it does not answer: `bind`, `submit_sm`, `enquire_link`, `unbind`
    - `statuses`: for the next submissions, one each (refuse_next() writes them)
    - `delay_ms`: how long an answer to a submission takes
    - `cut_after`: so many submissions are taken in without an answer, the last one cuts the connection; 0: none
    - `receipts`: what follows every accepted submission that asks for it, each a receipt() below
    - `id_bases`: `[16, 10]` names a message in hexadecimal in the answer and in decimal in its receipts

    A receipt for which nobody is bound waits for the next bind. With `tls` (a private key and its certificate, both
    PEM) it speaks TLS only.
    """

    def __init__(self, *, port: int | None = None, tls: tuple[str, str] | None = None, **behaviour: typing.Any) -> None:
        """Say how it behaves from the first connection on; nothing runs yet."""
        super().__init__("smsc", ["node", "smsc.js"])
        self.host = peers.HOST
        self.port = port or ports.free(1)[0]
        secret = {"key": tls[0], "cert": tls[1]} if tls else None
        self._events: list[Event] = []
        self._parsed = 0
        self._first = {"host": self.host, "port": self.port, "tls": secret, **behaviour}

    def start(self) -> None:
        """Start, and return when it listens."""
        super().start()
        self.write(json.dumps(self._first))
        self.wait_for_line('"event":"listening"')

    def behave(self, **behaviour: typing.Any) -> None:
        """Change some of its behaviour; it is so when this returns."""
        self._command({"set": behaviour})

    def refuse_next(self, count: int, status: int = THROTTLED) -> None:
        """Refuse the next submissions with this command status."""
        self.behave(statuses=[status] * count)

    def cut(self) -> None:
        """Cut every connection now."""
        self._command({"cut": True})

    def reset(self) -> None:
        """Cut every connection, behave as at the start, and forget what happened: for the next test."""
        self._command({"reset": True})
        self.wait_for("all closed", lambda: len(self.events("closed")) == len(self.events("connected")))
        self._events.clear()

    def deliver(self, text: str, **fields: typing.Any) -> None:
        """Send a deliver_sm of one's own making, for example a receipt for a message that nobody sent."""
        self._command({"deliver": {"text": text, "esm_class": 4, **fields}})

    def events(self, *kinds: str) -> list[Event]:
        """Return what happened, of these kinds or of all, oldest first.

        Kinds are `connected`, `closed`, `bind`, and the names of SMPP commands with their fields: what came in
        (`submit_sm`, `enquire_link`, `unbind`, `deliver_sm_resp`), what went out (`deliver_sm`, `submit_sm_resp`).
        A submit_sm also has `bytes` (of the message, header included, in hex), `udh` (header elements in hex) and
        `text` (as the package reads it). `at` is in milliseconds since 1970, `session` counts connections.
        """
        lines = self.lines
        for line in lines[self._parsed :]:
            if line.startswith('{"event":'):
                self._events.append(json.loads(line))
        self._parsed = len(lines)
        return [event for event in self._events if not kinds or event["event"] in kinds]

    def wait(self, count: int, *kinds: str, deadline: float = peers.PATIENCE) -> list[Event]:
        """Wait until so many of these have happened, and return them; raises errors.NotReady."""
        self.wait_for(f"{count} x {kinds}", lambda: len(self.events(*kinds)) >= count, deadline=deadline)
        return self.events(*kinds)

    def submissions(self) -> list[Event]:
        """Return every submit_sm that came in."""
        return self.events("submit_sm")

    def _command(self, command: dict[str, object]) -> None:
        before = len(self.events("done"))
        self.write(json.dumps(command))
        self.wait(before + 1, "done")


def receipt(
    stat: str = "DELIVRD",
    *,
    after_ms: int = 0,
    before_answer: bool = False,
    form: typing.Literal["text", "tlv", "both"] = "both",
    err: str = "000",
    text: str | None = None,
    esm_class: int = 4,
) -> dict[str, object]:
    """A receipt as Smsc sends it, so long after it took the message, or before it says that it did.

    `form` says where its content is: in the text (SMPP 3.4, appendix B), in TLVs (5.3.2.12, 5.3.2.35), or in both.
    `text` replaces the usual one; `{id}` and `{date}` (YYMMDDhhmm) in it are filled in.
    """
    if form == "tlv" and text is not None:
        raise errors.RigError("a receipt in TLVs alone has no text")
    wanted = {"stat": stat, "after_ms": after_ms, "before_answer": before_answer, "form": form, "err": err}
    return {**wanted, "esm_class": esm_class, **({} if text is None else {"text": text})}
