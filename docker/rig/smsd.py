"""gammu-smsd with its dummy modem and its files: outbox, sent, error, inbox."""

import pathlib

from rig import peers

# Of the dummy modem: it takes every message, under the same reference.
REFERENCE = 255
# Seconds; smsd looks at its outbox so often.
LOOP = 1
_REPORT = """[SMSBackup000]
PDU = Status_Report
DateTime = 20261123T080000
State = UnRead
Number = "{number}"
Coding = Unicode_No_Compression
Folder = 1
Length = {length}
Class = -1
MessageReference = {reference}
Text00 = {text}
"""


class Smsd(peers.Peer):
    """A gammu-smsd that sends what is put into `outbox`, and moves it to `sent`, or to `error`.

    Its modem refuses nothing; into `error` goes a file whose name has no recipient, such as OUTx_y.txt. A report that
    the network sends lies in `inbox` as a file of its own (smsd ties it to nothing). Stopped, it leaves its files.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        """Make its folders and its configuration in a directory; nothing runs yet."""
        directory = directory.resolve()
        self.outbox, self.sent, self.error, self.inbox = (directory / n for n in ("outbox", "sent", "error", "inbox"))
        self._modem = directory / "modem" / "sms" / "1"
        for folder in (self.outbox, self.sent, self.error, self.inbox, self._modem):
            folder.mkdir(parents=True, exist_ok=True)
        (directory / "smsdrc").write_text(_CONFIGURATION)
        # smsd does not read its standard input, so the shell beside it waits for its end.
        command = ["sh", "-c", "gammu-smsd -c /rig/smsdrc & exec cat"]
        super().__init__("smsd", command, files={directory: "/rig"})

    def start(self) -> None:
        """Start, and return when the modem is connected."""
        super().start()
        self.wait_for_line("Starting phone communication")

    def report(self, number: str, text: str = "Delivered", *, reference: int = REFERENCE) -> None:
        """Let the network report on a message to this number: `Delivered`, `Failed`, `Pending` or `Unknown`."""
        words = text.encode("utf-16-be").hex().upper()
        written = self._modem / "report"
        written.write_text(_REPORT.format(number=number, length=len(text), reference=reference, text=words))
        # A name that is a number is a message in the modem; smsd deletes it when it has it.
        free = next(place for n in range(1, 1000) if not (place := self._modem / str(n)).exists())
        written.rename(free)


_CONFIGURATION = f"""[gammu]
model = dummy
connection = none
device = /rig/modem
[smsd]
service = files
logfile = /dev/stdout
debuglevel = 1
outboxpath = /rig/outbox/
sentsmspath = /rig/sent/
errorsmspath = /rig/error/
inboxpath = /rig/inbox/
inboxformat = detail
transmitformat = auto
deliveryreport = sms
loopsleep = {LOOP}
commtimeout = 0
receivefrequency = 0
statusfrequency = 0
checksecurity = 0
checkbattery = 0
checksignal = 0
checknetwork = 0
"""
