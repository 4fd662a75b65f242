"""Whether somebody can be reached: names, TCP, TLS, folders, and who answers where receipts come in."""

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agi_sms import reach
from tests.contract import desks, peer

HOST = "127.0.0.1"


def certificate(folder: Path, *, ends: datetime) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, which is its own CA file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(min(ends, datetime.now(UTC)) - timedelta(days=30))
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "chain.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@contextlib.asynccontextmanager
async def listening(*, chain: Path | None = None, refused: bool = False) -> AsyncIterator[tuple[int, bytearray]]:
    """A port, and what came in there behind a handshake, which is `refused` where there is none."""
    came = bytearray()
    ended = asyncio.Event()  # the one connection of a test, also on this side

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            came.extend(await reader.read())
        writer.transport.abort()
        ended.set()

    context = None
    if chain is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
    server = await asyncio.start_server(serve, HOST, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], came
        async with asyncio.timeout(10):
            if not refused:
                await ended.wait()
    finally:
        server.close()


async def test_host_is_there_and_nothing_is_said_to_it() -> None:
    async with listening() as (port, came):
        found = await reach.host(HOST, port, seconds=5)
    assert (found.where, found.trouble, found.ends) == (f"{HOST}:{port}", None, None)
    assert came == b""


@pytest.mark.parametrize("days", [3, 400])
async def test_certificate_is_good_until(tmp_path: Path, days: int) -> None:
    ends = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    chain = certificate(tmp_path, ends=ends)
    async with listening(chain=chain) as (port, _):
        found = await reach.host(HOST, port, tls=True, ca_file=chain, seconds=5)
    assert found.trouble is None
    assert found.ends == ends


async def test_certificate_has_ended(tmp_path: Path) -> None:
    chain = certificate(tmp_path, ends=datetime.now(UTC) - timedelta(days=1))
    async with listening(chain=chain, refused=True) as (port, _):
        found = await reach.host(HOST, port, tls=True, ca_file=chain, seconds=5)
    assert found.trouble is not None
    assert found.trouble.code == "tls"
    assert "certificate has expired" in found.trouble.detail


async def test_certificate_of_a_stranger(tmp_path: Path) -> None:
    chain = certificate(tmp_path, ends=datetime.now(UTC) + timedelta(days=90))
    async with listening(chain=chain, refused=True) as (port, _):
        found = await reach.host(HOST, port, tls=True, seconds=5)
    assert found.trouble is not None
    assert (found.trouble.code, "self-signed" in found.trouble.detail) == ("tls", True)


async def test_no_tls_where_there_should_be() -> None:
    async with peer.running(peer.silence()) as other:
        other.greeting = b"220 mail.example ESMTP\r\n"
        found = await reach.host(HOST, other.port, tls=True, seconds=5)
    assert found.trouble is not None
    assert found.trouble.code == "tls"


async def test_tls_that_never_comes() -> None:
    async with peer.running(peer.silence()) as other:
        found = await reach.host(HOST, other.port, tls=True, seconds=0.2)
    assert found.trouble is not None
    assert found.trouble.code == "timeout"


async def test_nobody_listens() -> None:
    with socket.create_server((HOST, 0)) as closed:
        port = closed.getsockname()[1]
    found = await reach.host(HOST, port, seconds=5)
    assert found.trouble is not None
    assert (found.trouble.code, found.trouble.detail) == ("connect", "cannot connect: Connection refused")


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b", "x" * 300])
async def test_name_that_does_not_resolve(name: str) -> None:
    found = await reach.host(name, 443, seconds=20)
    assert found.trouble is not None
    assert found.trouble.code == "dns"


async def test_our_own_port_is_seen_without_a_connection() -> None:
    """As FastAGI's is: what connects and says nothing is counted there, and told in the log."""
    met: list[object] = []
    for name, anywhere in ((HOST, HOST), ("0.0.0.0", HOST), (HOST, "0.0.0.0")):
        server = await asyncio.start_server(lambda *both: met.append(both), anywhere, 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            found = await reach.listening(name, port, seconds=5)
        assert (found.where, found.trouble) == (f"{name}:{port}", None)
        gone = await reach.listening(name, port, seconds=5)
        assert gone.trouble is not None
        assert (gone.trouble.code, gone.trouble.detail) == ("connect", "nobody listens")
    assert met == []


async def test_port_of_an_address_that_is_not_here() -> None:
    """It is connected to then."""
    found = await reach.listening("192.0.2.1", 4573, seconds=0.2)
    assert found.trouble is not None
    assert found.trouble.code in ("timeout", "connect")


# --- folders ------------------------------------------------------------------------------------------------------


def test_folders_and_files(tmp_path: Path) -> None:
    (tmp_path / "sent").mkdir()
    (tmp_path / "lines").touch()
    assert reach.place(tmp_path / "sent", folder=True).trouble is None
    assert reach.place(tmp_path / "lines", folder=False).trouble is None
    assert reach.place(tmp_path / "fresh", folder=False).trouble is None  # it is made
    assert not (tmp_path / "fresh").exists()
    for path, folder in ((tmp_path / "none", True), (tmp_path / "none" / "lines", False)):
        trouble = reach.place(path, folder=folder).trouble
        assert trouble is not None
        assert trouble.code == "absent"


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system is mounted, which only root may")
def test_folder_that_is_read_only(tmp_path: Path) -> None:
    subprocess.check_call(["mount", "-t", "tmpfs", "-o", "ro", "agi-sms-test", tmp_path])
    try:
        trouble = reach.place(tmp_path, folder=True).trouble
        assert trouble is not None
        assert trouble.code == "denied"
        assert reach.place(tmp_path / "lines", folder=False).trouble is not None
    finally:
        subprocess.check_call(["umount", "-l", tmp_path])


# --- receipts -----------------------------------------------------------------------------------------------------


async def test_our_listener_is_known_and_hears_nothing_of_it() -> None:
    async with desks.opened() as desk:
        found = await reach.receipts(f"http://{HOST}:{desk.port}/receipts/", seconds=5)
        assert (found.ours, found.status, found.trouble) == (True, 405, None)
        assert desk.company.notices == []
        assert desk.kept == []


@pytest.mark.parametrize(
    ("status", "headers", "ours"),
    [
        (405, {"Server": "nginx", "Allow": "GET, POST, PUT"}, True),  # a proxy in between
        (405, {"Server": "nginx"}, False),
        (404, {"Server": "nginx"}, False),
        (502, {"Server": "nginx"}, False),
        (200, {"Server": "Apache"}, False),
    ],
)
async def test_who_answers(status: int, headers: dict[str, str], ours: bool) -> None:
    async with peer.running(peer.answer(status, b"", headers)) as other:
        found = await reach.receipts(f"{other.url}/receipts/", seconds=5)
    assert (found.status, found.server, found.ours) == (status, headers["Server"], ours)
    assert [request.method for request in other.requests] == ["HEAD"]


async def test_nobody_answers() -> None:
    async with peer.running(peer.silence()) as other:
        found = await reach.receipts(f"{other.url}/receipts/", seconds=0.2)
    assert found.trouble is not None
    assert found.trouble.code == "timeout"
    assert not found.ours
