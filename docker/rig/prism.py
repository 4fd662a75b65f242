"""Prism: a server that answers as a company's own OpenAPI document says, and refuses what that does not allow."""

import os
import pathlib

from rig import peers, ports

# Where the companies' documents are: AGI_SMS_SPECS, or beside the project.
SPECS = pathlib.Path(os.environ.get("AGI_SMS_SPECS") or pathlib.Path(__file__).parents[3] / "shared" / "specs")


class Prism(peers.Peer):
    """A mock of one OpenAPI document on a port of 127.0.0.1; paths are those of the document, after `url`.

    A request that breaks the document is answered with a status of 400 or more, by Prism itself; so is one without
    the credentials that the document asks for (401). Its log has a line for each. Loading takes three seconds.
    """

    def __init__(self, document: pathlib.Path, *, port: int | None = None) -> None:
        """Say which document; nothing runs yet."""
        self.port = port or ports.free(1)[0]
        self.url = f"http://{peers.HOST}:{self.port}"
        seen = f"/specs/{document.name}"
        command = ["prism", "mock", "-h", peers.HOST, "-p", str(self.port), "--errors=false", seen]
        super().__init__("prism", ["sh", "-c", _WHILE_WANTED, "sh", *command], files={document: f"{seen}:ro"})

    def start(self) -> None:
        """Start, and return when it answers; raises errors.NotReady."""
        super().start()
        self.wait_for_line("Prism is listening", deadline=2 * peers.PATIENCE)


# Prism does not read its standard input, so the shell beside it waits for its end.
_WHILE_WANTED = '"$@" & exec cat'
