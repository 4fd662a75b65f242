"""One FastAGI connection on the wire: the header that opens it, and commands whose replies belong to them.

panoramisk's Request sends the commands and reads the replies. What it lacks is here: limits, deadlines, a HANGUP line
that may come at any time, and the certainty that what is read is the reply, not the rest of a torn header.
"""

import asyncio
import re
import secrets
from collections.abc import Sequence
from typing import Any

from panoramisk import fast_agi, utils

from agi_sms import errors

LARGEST = 32 * 1024  # bytes of a header; Asterisk cuts what a dialplan hands over at 4096
MOST_LINES = 500  # of a header; Asterisk's own has 24 and one for each argument
LONGEST_REPLY = 1024  # characters; panoramisk's pattern takes quadratic time

_REPLY = re.compile(r"(?:100|200) ")
_REFUSAL = re.compile(r"5\d\d[ -]")


class Gone(errors.PbxUnreachable):
    """The other side has hung up."""


class Dropped(errors.PbxError):
    """A connection is of no use; `reason` is one of agi.REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def opening(reader: asyncio.StreamReader) -> list[str]:
    """The lines up to the first empty one. Raises Dropped; whoever calls sets the deadline.

    Made for a StreamReader with LARGEST as its limit.
    """
    try:
        raw = await reader.readuntil(b"\n\n")
    except asyncio.LimitOverrunError:
        raise Dropped("too_long") from None
    except asyncio.IncompleteReadError as error:
        raise Dropped("cut_off" if error.partial else "closed") from None
    except OSError:
        raise Dropped("closed") from None
    lines = raw[:-2].decode(errors="replace").split("\n")
    if len(lines) > MOST_LINES:
        raise Dropped("too_long")
    return lines


class Request(fast_agi.Request):  # type: ignore[misc]
    """panoramisk's Request; each command has a deadline. Every method raises Gone and Dropped."""

    def __init__(
        self,
        application: fast_agi.Application,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        patience: float,
    ) -> None:
        super().__init__(application, {}, reader, writer)
        self.nonce = secrets.token_hex(8)
        self.rest: list[str] = []  # lines that came before the first reply: of a header with an empty line in it
        self._room = LARGEST  # for them
        self._patience = patience
        self._until: float | None = None
        self._in_step = False

    async def get(self, *expressions: str) -> Sequence[str]:
        """What the dialplan makes of each expression; the first call, which may have none, gets into step.

        Nobody else can know the nonce, so the reply that has it is ours. There is no place here for expressions whose
        values strangers send.
        """
        reply = await self._command(f'GET FULL VARIABLE "{",".join([self.nonce, *expressions])}"')
        return str(reply["result"][1]).split(",")[1:]

    async def set(self, name: str, value: str) -> None:
        """Set a channel variable."""
        await self._command(f'SET VARIABLE {name} "{value}"')

    async def _command(self, command: str) -> dict[str, Any]:
        if self._until is None:  # one time for all answers, or a peer that is slow each time keeps its place
            self._until = asyncio.get_running_loop().time() + self._patience
        try:
            async with asyncio.timeout_at(self._until):
                reply: dict[str, Any] = await self.send_command(command)
        except TimeoutError:
            raise Dropped("unanswered") from None
        except OSError as error:
            raise Gone(str(error)) from error
        if "error" in reply:
            raise Dropped("refused")
        return reply

    async def _read_result(self) -> dict[str, Any]:
        """The next reply; send_command reads on where it is 100."""
        while True:
            line = await self._line()
            if line == "HANGUP":
                continue
            ours = self._in_step or f"({self.nonce}" in line
            if ours and _REPLY.match(line) and len(line) <= LONGEST_REPLY:
                self._in_step = True
                return dict(utils.parse_agi_result(line))
            if ours or _REFUSAL.match(line):
                raise Dropped("refused")
            self.rest.append(line)
            self._room -= len(line)
            if len(self.rest) > MOST_LINES or self._room < 0:
                raise Dropped("too_long")

    async def _line(self) -> str:
        try:
            raw = await self.reader.readline()
        except ValueError:
            raise Dropped("too_long") from None
        if not raw.endswith(b"\n"):
            raise Gone("the connection ended")
        return str(raw[:-1].decode(errors="replace"))
