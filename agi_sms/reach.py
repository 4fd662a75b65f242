"""Whether somebody can be reached: a name resolves, TCP connects, TLS is good. Nothing is sent to anybody."""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yarl

from agi_sms import doctor_facts as facts
from agi_sms import http_client

SERVER = "agi-sms"  # as our listener calls itself
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a port is that listens everywhere
ALLOW = "GET, POST, PUT"  # what it allows, which is told to whoever asks otherwise; proxies leave that alone


async def host(
    name: str, port: int, *, tls: bool = False, ca_file: Path | None = None, seconds: float
) -> facts.Reached:
    """Connect and hang up. Raises nothing but CancelledError."""
    where = f"{f'[{name}]' if ':' in name else name}:{port}"
    try:
        async with asyncio.timeout(seconds):
            context = await asyncio.to_thread(ssl.create_default_context, cafile=ca_file) if tls else None
            _, writer = await asyncio.open_connection(name, port, ssl=context)
    except TimeoutError:
        detail = f"no connection within {seconds:g} s"
        return facts.Reached(where=where, trouble=facts.Trouble(code="timeout", detail=detail))
    except (OSError, UnicodeError) as error:
        return facts.Reached(where=where, trouble=facts.not_connected(name, error))
    ends, address = _ends(writer), writer.get_extra_info("peername")
    writer.transport.abort()
    return facts.Reached(where=where, ends=ends, address=str(address[0]) if address else "")


def _ends(writer: asyncio.StreamWriter) -> datetime | None:
    """The last moment of the peer's certificate."""
    certificate = writer.get_extra_info("peercert") or {}
    with contextlib.suppress(KeyError, ValueError, TypeError):
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    return None


def place(path: Path, *, folder: bool) -> facts.Reached:
    """Whether this user may write there. Blocking."""
    try:
        there = path if folder or path.exists() else path.parent
        wanted = os.W_OK | (os.X_OK if there.is_dir() else 0)
        there.stat()
    except OSError as error:
        trouble = facts.Trouble(code="absent", detail=(error.strerror or str(error)).lower())
        return facts.Reached(where=str(path), trouble=trouble)
    if os.access(there, wanted):
        return facts.Reached(where=str(path))
    detail = "this user may not write there" if there == path else f"this user may make no file in {there}"
    return facts.Reached(where=str(path), trouble=facts.Trouble(code="denied", detail=detail))


async def listening(name: str, port: int, *, seconds: float) -> facts.Port:
    """Whether somebody listens at a port of this machine, which hears nothing of it.

    A port that is listened at cannot be had by another; a connection would count there as one that said nothing.
    Where that does not tell, it is connected to. Raises nothing but CancelledError.
    """
    where = f"{f'[{name}]' if ':' in name else name}:{port}"
    try:
        async with asyncio.timeout(seconds):
            taken = await asyncio.to_thread(_taken, name, port)
    except (OSError, UnicodeError, TimeoutError):
        found = await host(ANYWHERE.get(name, name), port, seconds=seconds)
        return facts.Port(where=found.where, trouble=found.trouble)
    return facts.Port(where=where, trouble=None if taken else facts.Trouble(code="connect", detail="nobody listens"))


def _taken(name: str, port: int) -> bool:
    """Whether a port is another's. Blocking."""
    with socket.socket(socket.AF_INET6 if ":" in name else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((name, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return True
    return False


async def receipts(url: str, *, seconds: float) -> facts.Port:
    """Who answers under the address of the receipts' listener: asked with HEAD, which is refused and logged nowhere."""
    client = http_client.Client(keep_alive=False)
    request = http_client.Request(method="HEAD", url=yarl.URL(url, encoded=True), headers={})
    try:
        answer = await client.exchange(request, timeout=timedelta(seconds=seconds), most=1024)
    finally:
        await client.close()
    if isinstance(answer, http_client.Fault):
        return facts.Port(where=url, trouble=facts.Trouble(code=answer.code, detail=answer.detail))
    server = answer.headers.get("Server", "")
    ours = server == SERVER or (answer.status == 405 and answer.headers.get("Allow", "") == ALLOW)
    return facts.Port(where=url, status=answer.status, server=server[:60], ours=ours)
