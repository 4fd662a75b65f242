"""PDUs over one connection, both ways. What is written in one turn of the event loop goes out in one piece.

The other side can neither make us wait for the rest of a PDU, nor write without reading, nor keep others from their
turn: of who does not read, nothing more is read either.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from agi_sms.providers import smpp_pdus as pdus
from agi_sms.providers.smpp_pdus import Pdu

_IN_A_ROW = 32  # PDUs that are read before others have their turn
_AT_ONCE = 16 * 1024  # octets that are not kept until the end of the turn


class Stalled(Exception):
    """The other side stopped in the middle of a PDU, or does not read."""


class Wire(asyncio.Protocol):
    """`take` gets each PDU, `lose` why no more comes: Malformed, Stalled, EOFError, OSError, or a bug of `take`.

    `patience` is how long, in seconds, the rest of a PDU may take, and the other side to read what was written.
    """

    def __init__(self, take: Callable[[Pdu], None], lose: Callable[[Exception], None], *, patience: float) -> None:
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.piece = 0  # that is written next: what is in those before was handed to the kernel, or waits for its turn
        self._take = take
        self._lose = lose
        self._patience = patience
        self._transport: asyncio.Transport | None = None
        self._come = bytearray()  # and not taken yet
        self._over: Exception | None = None  # nothing comes after that
        self._paused = False
        self._gone = False
        self._rest: asyncio.TimerHandle | None = None  # until when the rest of a PDU has to come
        self._out: list[bytes] = []
        self._waiting = 0  # octets in it
        self._room = asyncio.Event()
        self._room.set()
        self._unread: asyncio.TimerHandle | None = None

    # --- writing ----------------------------------------------------------------------------------------------

    @property
    def closing(self) -> bool:
        """Nothing can be written any more."""
        return self._transport is None or self._transport.is_closing()

    async def room(self) -> None:
        """Wait until the other side has read most of what was written, or there is no connection any more."""
        if not self._room.is_set():
            await self._room.wait()

    def write(self, octets: bytes) -> int:
        """In which piece they go: one that is not below `piece` never went."""
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(octets)
        self._waiting += len(octets)
        piece = self.piece
        if self._waiting > _AT_ONCE:
            self.flush()
        return piece

    def flush(self) -> None:
        """Write at once what waits for the end of the turn."""
        if not self._out or self._transport is None or self._transport.is_closing():
            return
        octets = b"".join(self._out)
        self._out.clear()
        self._waiting = 0
        self.piece += 1
        self._transport.write(octets)

    def pause_writing(self) -> None:
        self._room.clear()
        self._unread = self._loop.call_later(self._patience, self._stall)
        self._pause()

    def resume_writing(self) -> None:
        self._has_room()
        self._loop.call_soon(self._read)

    def _has_room(self) -> None:
        self._room.set()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    # --- reading ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._gone:
            return
        self._come += data
        if not self._paused:
            self._read()

    def eof_received(self) -> None:
        self._end(EOFError())

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_room()
        self._end(exc or EOFError())
        if not self.closed.done():
            self.closed.set_result(None)

    def _end(self, error: Exception) -> None:
        """What came before counts."""
        self._over = self._over or error
        self._read()

    def _read(self) -> None:
        """Take what is whole, so much in a row; of who does not read, nothing."""
        if not self._room.is_set():
            return
        count = at = 0
        try:
            while count < _IN_A_ROW and (pdu := pdus.first(self._come, at)) is not None:
                count, at = count + 1, at + pdu.size
                self._take(pdu)
        except Exception as error:
            self._gone = True
            self._come.clear()
            self._lose(error)
            return
        del self._come[:at]
        if at:
            self._forget_rest()
        if count == _IN_A_ROW:
            self._pause()
            self._loop.call_soon(self._read)
        elif self._over is not None:
            self._lose(self._over)
        else:
            if self._come and self._rest is None:
                self._rest = self._loop.call_later(self._patience, self._stall)
            self._resume()

    def _forget_rest(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _pause(self) -> None:
        self._forget_rest()
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self._room.is_set() and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _stall(self) -> None:
        self._lose(Stalled())

    # --- the end ----------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Let go at once; a close would wait for one who does not read."""
        self._gone = True
        self._come.clear()
        self._out.clear()
        self._forget_rest()
        self._has_room()
        if self._transport is not None:
            self._transport.abort()
