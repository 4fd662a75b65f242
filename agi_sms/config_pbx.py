"""Whether each PBX can be reached, and which one a FastAGI connection comes from."""

import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from agi_sms.config_book import Book
from agi_sms.config_mistakes import Mistakes, Spot
from agi_sms.config_settings import Pbx, Settings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def addresses(settings: Settings) -> Mapping[Network, str]:
    """The networks from which FastAGI may come, each with its PBX; loopback is that of an only PBX."""
    given = {network: name for name, pbx in settings.pbx.items() for network in pbx.addresses}
    if not given and settings.agi is not None and len(settings.pbx) == 1:
        return dict.fromkeys(LOOPBACK, next(iter(settings.pbx)))
    return given


def check(book: Book) -> None:
    """Note what is wrong with how the PBXs are reached."""
    settings = book.settings
    for name, pbx in settings.pbx.items():
        _check(book, name, pbx, book.spot.at("pbx", name))
    if settings.agi is not None:
        if settings.pbx and not addresses(settings):
            what = "says of no PBX where its FastAGI comes from: give each one pbx.NAME.addresses"
            book.mistakes.add(book.spot.at("agi"), what)
        _overlapping(book)
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
    for network, name in _given(book.settings):
        for other, of in seen:
            if of != name and network.version == other.version and network.overlaps(other):
                what = f"{network} is within {other} of pbx {of}: a FastAGI connection must tell one PBX"
                book.mistakes.add(book.spot.at("pbx", name, "addresses"), what)
        seen.append((network, name))


def _given(settings: Settings) -> Iterator[tuple[Network, str]]:
    for name, pbx in settings.pbx.items():
        for network in pbx.addresses:
            yield network, name
