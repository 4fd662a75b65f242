"""Whether each PBX can be reached, and which one a FastAGI connection comes from."""

import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from agi_sms import loopback
from agi_sms.config_book import Book
from agi_sms.config_mistakes import Mistakes, Spot
from agi_sms.config_settings import Agi, Pbx, Settings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def addresses(settings: Settings) -> Mapping[Network, str]:
    """The networks from which FastAGI may come, each with its PBX; loopback is that of an only PBX."""
    if settings.agi is None:
        return {}
    given = {_plain(network): name for network, name in _given(settings)}
    if not given and len(settings.pbx) == 1:
        return dict.fromkeys(LOOPBACK, next(iter(settings.pbx)))
    return given


def check(book: Book) -> None:
    """Note what is wrong with how the PBXs are reached."""
    settings = book.settings
    for name, pbx in settings.pbx.items():
        _check(book, name, pbx, book.spot.at("pbx", name))
    if settings.agi is not None:
        unread = any(path[0] == "pbx" and "addresses" in path for path in book.lost)
        if settings.pbx and not addresses(settings) and not unread:
            what = "says of no PBX where its FastAGI comes from: give each one pbx.NAME.addresses"
            book.mistakes.add(book.spot.at("agi"), what)
        _overlapping(book)
        _reached(book, settings.agi)
    else:
        for name, pbx in settings.pbx.items():
            if pbx.addresses:
                what = "does nothing without the key agi, which opens FastAGI: agi: {listen: 127.0.0.1:4573}"
                book.warnings.add(book.spot.at("pbx", name, "addresses"), what)


def certificates(path: Path, spot: Spot, mistakes: Mistakes) -> None:
    """Note where a file with certificates cannot be used."""
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        mistakes.add(spot, f"{path} holds no certificates that can be read: {error.strerror}")


def _check(book: Book, name: str, pbx: Pbx, spot: Spot) -> None:
    secrets = {("ari", "password"): pbx.ari.password} if pbx.ari else {}
    secrets |= {("ami", "secret"): pbx.ami.secret} if pbx.ami else {}
    for where, secret in secrets.items():
        if not secret.get_secret_value():
            book.warnings.add(spot.at(*where), "is empty; Asterisk refuses such a login")
    lost = {door for door in ("ari", "ami") if ("pbx", name, door) in book.lost}
    if pbx.ari is None and pbx.ami is None and not lost and name not in addresses(book.settings).values():
        what = "is missing: calls reach the gateway over it (or over ami, or FastAGI)"
        book.mistakes.add(spot, what, below="ari")
    for door, part in (("ari", pbx.ari), ("ami", pbx.ami)):
        if part is not None and part.ca_file is not None:
            certificates(part.ca_file, spot.at(door, "ca_file"), book.mistakes)
    if pbx.ami is None and "ami" not in lost:
        book.warnings.add(spot, "has no ami: calls that come while the gateway is down make no SMS")


def _overlapping(book: Book) -> None:
    """An address belongs to one PBX."""
    seen: list[tuple[Network, str]] = []
    for given, name in _given(book.settings):
        network = _plain(given)
        spot = book.spot.at("pbx", name, "addresses")
        if not network.prefixlen:
            what = "lets everybody in: FastAGI knows no password, and who connects can have SMS sent"
            book.warnings.add(spot, f"{given} {what}; name the PBX's addresses")
        for other, of in seen:
            if of != name and network.version == other.version and network.overlaps(other):
                what = f"{network} overlaps with {other} of pbx {of}: an address must tell which PBX a call comes from"
                book.mistakes.add(spot, what)
        seen.append((network, name))


def _reached(book: Book, agi: Agi) -> None:
    """Whether those who are served can get through to where it listens."""
    served = addresses(book.settings)
    if not served:
        return
    local = [network for network in served if any(_within(network, loopback) for loopback in LOOPBACK)]
    if not loopback.near(agi.host):
        if len(local) == len(served):
            what = f"{agi.listen} can be reached from elsewhere, and only calls of this machine are served"
            book.warnings.add(book.spot.at("agi", "listen"), f"{what}: give pbx.NAME.addresses, or listen on 127.0.0.1")
        return
    for name in sorted({served[network] for network in served if network not in local}):
        what = f"nobody but this machine can reach {agi.listen}: listen where these get through (agi.listen)"
        book.warnings.add(book.spot.at("pbx", name, "addresses"), what)


def _within(network: Network, other: Network) -> bool:
    match network, other:
        case ipaddress.IPv4Network(), ipaddress.IPv4Network():
            return network.subnet_of(other)
        case ipaddress.IPv6Network(), ipaddress.IPv6Network():
            return network.subnet_of(other)
    return False


def _plain(network: Network) -> Network:
    """An IPv4 network in IPv6's dress without it, as a connection's address is read."""
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96))


def _given(settings: Settings) -> Iterator[tuple[Network, str]]:
    for name, pbx in settings.pbx.items():
        for network in pbx.addresses:
            yield network, name
