"""Whether what goes to a host stays on this machine. Pure."""

import ipaddress

_NAMES = frozenset({"localhost", "ip6-localhost", "ip6-loopback"})  # /etc/hosts of Debian


def near(host: str) -> bool:
    """Whether what goes there never leaves the machine: `127.0.0.1`, `[::1]`, `localhost`, `x.localhost` (RFC 6761)."""
    plain = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return plain in _NAMES or plain.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
