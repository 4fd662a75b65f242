"""Keeps one bound connection to an SMSC: made when first needed, made anew when lost, with growing pauses."""

import asyncio
import os
import random
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agi_sms import durations, message
from agi_sms.providers import smpp_outcomes, smpp_pdus, smpp_settings
from agi_sms.providers.smpp_session import Lost, Receive, Session, Silent

log = structlog.get_logger(__name__)

_STABLE = 30.0  # seconds after which a connection counts as good, though it took no message


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """Between tries to connect, in seconds; each lasts from a half of it to the whole."""

    first: float = 1.0
    longest: float = 60.0


class Down(Exception):
    """There is no bound connection. `code` is for the history: connect, dns, tls, timeout, closed, or the status."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code

    @property
    def outcome(self) -> message.ProviderDown:
        """What it means for a message that waits for one."""
        return message.ProviderDown(code=self.code, detail=str(self))


class Closed(Down):
    """There will be none any more."""

    def __init__(self) -> None:
        super().__init__("closed", "this provider was replaced, or is shutting down")


class Link:
    """One connection at a time. Tells the log once that it is gone or refused, and once that it is there again."""

    def __init__(
        self,
        name: str,
        settings: smpp_settings.Settings,
        receive: Receive,
        *,
        pauses: Pauses,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._receive = receive
        self._pauses = pauses
        self._clock = clock
        self._log = log.bind(provider=name)
        self._session: Session | None = None
        self._bound_at = 0.0
        self._connecting: asyncio.Task[Session | Down] | None = None
        self._next_try = 0.0
        self._why = Down("connect", "not connected yet")
        self._told = ""  # the trouble that the log has heard of
        self._away_since: float | None = None
        self._tries = 0
        self._closed = False

    async def session(self) -> Session:
        """The bound connection, made where there is none. Raises Down: at once while a pause lasts."""
        if self._closed:
            raise Closed
        self._notice()
        if self._session is not None:
            return self._session
        if self._connecting is None:
            left = self._next_try - self._clock()
            if left > 0:
                raise Down(self._why.code, str(self._why))
            self._connecting = asyncio.create_task(self._connect())
        connecting = self._connecting
        try:
            found = await asyncio.shield(connecting)
        except asyncio.CancelledError:
            here = asyncio.current_task()
            if not connecting.cancelled() or (here is not None and here.cancelling()):
                raise
            raise Closed from None
        if isinstance(found, Down):
            raise found
        return found

    @property
    def bound(self) -> Session:
        """The bound connection. Raises Down where there is none any more."""
        self._notice()
        if self._session is None:
            raise Down(self._why.code, str(self._why))
        return self._session

    async def keep(self) -> None:
        """Keep the connection up, until cancelled."""
        while not self._closed:
            try:
                session = await self.session()
            except Down:
                await asyncio.sleep(max(0.0, self._next_try - self._clock()))
            else:
                await asyncio.wait({session.ended})  # which a cancellation of this wait leaves alone

    async def close(self) -> None:
        """Take leave for good, when the answers under way are there or late."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await self.rest()

    async def rest(self) -> None:
        """Take leave for now; who needs a connection makes another one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # --- connecting -------------------------------------------------------------------------------------------

    async def _connect(self) -> Session | Down:
        try:
            session = await self._bound()
        except Down as down:
            self._down(down)
            return down
        except Exception as error:
            self._log.exception("a bug in the SMPP provider")
            bug = Down("broken", f"{type(error).__name__} in our code")
            self._down(bug)
            return bug
        finally:
            self._connecting = None
        self._up(session)
        return session

    async def _bound(self) -> Session:
        settings = self._settings
        loop = asyncio.get_running_loop()
        deadline = loop.time() + settings.timeout.total_seconds()
        within = f"within {durations.show(settings.timeout)}"
        try:
            async with asyncio.timeout_at(deadline):
                tls = await asyncio.to_thread(_tls, settings) if settings.tls else None
                session = Session(patience=settings.timeout.total_seconds(), receive=self._receive)
                await loop.create_connection(lambda: session.wire, settings.host, settings.port, ssl=tls)
        except TimeoutError:
            raise Down("timeout", f"no connection to {settings.host}:{settings.port} {within}") from None
        except (OSError, UnicodeError) as error:
            raise _unreachable(settings, error) from error
        try:
            async with asyncio.timeout_at(deadline):
                await self._bind(session)
        except (TimeoutError, Silent):
            session.end("no answer to the bind")
            raise Down("timeout", f"connected, but no answer to the bind {within}") from None
        except BaseException as error:
            session.end(f"not bound: {type(error).__name__}")
            raise
        return session

    async def _bind(self, session: Session) -> None:
        body = smpp_pdus.bind(
            system_id=self._settings.system_id,
            password=self._settings.password.get_secret_value(),
            system_type=self._settings.system_type,
        )
        try:
            answer = await session.ask(smpp_pdus.Command.BIND_TRANSCEIVER, body)
        except Lost as error:
            raise Down("connect", f"{error}, before it answered the bind") from error
        if answer.status:
            raise Refused(answer.status)

    def _up(self, session: Session) -> None:
        self._session, self._bound_at = session, self._clock()
        session.ended.add_done_callback(lambda _: self._notice())
        session.watch(self._settings.enquire_link.total_seconds())
        if self._away_since is None:
            self._log.info("bound to the SMSC", host=self._settings.host, port=self._settings.port)
        else:
            away = round(self._clock() - self._away_since, 1)
            self._log.info("bound to the SMSC again", away_seconds=away, tries=self._tries)
        self._told, self._away_since = "", None

    def _notice(self) -> None:
        """Let go of a connection that has ended."""
        session = self._session
        if session is None or not session.ended.done() or self._closed:
            return
        self._session = None
        if session.served or self._clock() - self._bound_at >= _STABLE:
            self._tries = 0
        self._down(Down("lost", session.ended.result()), was_up=True)

    def _down(self, down: Down, *, was_up: bool = False) -> None:
        now = self._clock()
        self._away_since = self._away_since if self._away_since is not None else now
        pause = min(self._pauses.longest, self._pauses.first * 2.0 ** min(self._tries, 30))
        self._next_try = now + pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads gateways, guards nothing
        if was_up and self._tries == 0:
            self._next_try = now  # a good connection is made anew at once
        self._tries += 1
        self._why = down
        kind = "refused" if isinstance(down, Refused) else "down"
        if kind == self._told:
            return
        self._told = kind
        if isinstance(down, Refused):
            self._log.error("the SMSC refuses the bind", code=down.code, reason=str(down), hint=_HINT)
        elif was_up:
            self._log.warning("connection to the SMSC lost", reason=str(down)[:300])
        else:
            self._log.warning("the SMSC cannot be reached", code=down.code, reason=str(down)[:300])


_HINT = "check system_id, password and system_type, from which addresses it lets us in, and who else is bound"


class Refused(Down):
    """The SMSC does not let us in."""

    def __init__(self, status: int) -> None:
        super().__init__(smpp_outcomes.code(status), f"bind refused: {smpp_outcomes.words(status)}")


def _tls(settings: smpp_settings.Settings) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=settings.ca_file)


def _unreachable(settings: smpp_settings.Settings, error: OSError | UnicodeError) -> Down:
    match error:
        case UnicodeError():
            return Down("dns", f"{settings.host} is no name that could resolve")
        case socket.gaierror():
            return Down("dns", f"the name {settings.host} does not resolve: {error.strerror}")
        case ssl.SSLCertVerificationError():
            return Down("tls", f"the certificate of {settings.host} is not good: {error.verify_message}")
        case ssl.SSLError():
            return Down("tls", f"no TLS with {settings.host}: {error.reason or error}")
    why = os.strerror(error.errno) if error.errno else error
    return Down("connect", f"cannot connect to {settings.host}:{settings.port}: {why}")
