"""What every HTTP edge says of addresses, headers and secrets: what may stand in the settings, and what is never shown.

Pure, and light: the configuration is checked with it before any HTTP library is imported.
"""

import base64
import html
import ipaddress
import json
import re
import urllib.parse
from collections.abc import Iterable

from agi_sms import echoes

_SECRETIVE = re.compile(r"pass|pwd|secret|token|key|auth|signature|credential", re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIXED = re.compile(r"https?://[A-Za-z0-9._\[\]:-]+(?:[/?].*)?", re.IGNORECASE)
_LOGIN = re.compile(r"https?://[^/?#{]*@", re.IGNORECASE)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_PROTOCOLS = ipaddress.IPv4Network("192.0.0.0/24")  # RFC 6890; older Pythons know only a part of it
_LEAST_OF_CUT = 6  # characters of a secret that was cut off, to be taken for one


def secretive(key: str) -> bool:
    """Whether the value of a header, a field or a query parameter with this name is probably a secret."""
    return bool(_SECRETIVE.search(key))


def check_address(source: str, *, login: str, templates: str = "") -> None:
    """Raise ValueError for what cannot be asked over HTTP; `login` is the key where a user and a password belong.

    `templates` says where in the address, if anywhere, `{{ }}` may stand.
    """
    if not (source.isascii() and source.isprintable()):
        raise ValueError("must be plain ASCII; write other characters percent-encoded, the host in punycode")
    if _LOGIN.match(source):
        raise ValueError(f"must not hold a user and password; write them under {login}")
    if not _FIXED.fullmatch(source):
        raise ValueError("must start with http:// or https:// and a fixed host" + (templates and f"; {templates}"))
    if "#" in source:
        raise ValueError("must not hold a fragment (#)")


def check_header_name(name: str, ours: Iterable[str]) -> None:
    """Raise ValueError for what is no header's name, or one of `ours` (lower case)."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name[:40]!r} is no header's name")
    if name.lower() in ours:
        raise ValueError(f"{name} is set by the gateway itself")


def private(address: str) -> bool:
    """Whether an IP address is not one of the public internet's: loopback, link-local, private, shared, multicast,
    unspecified, reserved, or IPv6 that leads to such an IPv4 address. What is no IP address counts as private.

    >>> private("::ffff:127.0.0.1"), private("64:ff9b::a00:1"), private("2606:4700::1111")
    (True, True, False)
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return True
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return private(str(inner))
        if found.is_site_local:
            return True
    elif found in _PROTOCOLS:
        return True
    return (
        not found.is_global
        or found.is_private  # Teredo (2001::/32) is in it
        or found.is_loopback
        or found.is_link_local
        or found.is_multicast
        or found.is_reserved
        or found.is_unspecified
    )


class Mask:
    """Replaces what is secret by `***`, in whatever encodings another system echoes it."""

    def __init__(self, words: Iterable[str], *, login: str = "") -> None:
        """`login`: a `user:password`, of which HTTP sends the Base64 form."""
        found = {word for word in words if word}
        forms = set(found)
        for word in found:
            quoted = json.dumps(word)[1:-1]
            forms |= {urllib.parse.quote(word, safe=""), urllib.parse.quote_plus(word)}
            forms |= {quoted, quoted.replace("/", "\\/"), html.escape(word)}
            forms.add(base64.b64encode(word.encode()).decode())
        if login:
            forms.add(base64.b64encode(login.encode()).decode())
        self._forms = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_form, self._forms))) if forms else None

    def __call__(self, text: str) -> str:
        if self._pattern is None:
            return text
        if not echoes.encoded(text):
            return self._pattern.sub("***", text)
        spans = set()
        for layer in echoes.layers(text):
            for found in self._pattern.finditer(layer.text):
                spans.add((layer.starts[found.start()], layer.ends[found.end() - 1]))
        return echoes.starred(text, spans)

    def clipped(self, text: str) -> str:
        """The same for a text of which the end is cut off, maybe in the middle of a secret."""
        masked, mark = self(text), ""
        if masked.endswith("…"):
            masked, mark = masked[:-1], "…"
        cut = len(masked)
        for layer in echoes.layers(masked):
            end = layer.whole()
            for form in self._forms:
                for size in range(min(len(form), len(end)), _LEAST_OF_CUT - 1, -1):
                    if end.endswith(form[:size]):
                        cut = min(cut, layer.starts[len(end) - size])
                        break
        return masked[:cut] + ("***" if cut < len(masked) else "") + mark


def _form(word: str) -> str:
    """A short secret only as a whole word: else every answer would be nothing but stars."""
    return re.escape(word) if len(word) >= 4 else rf"(?<!\w){re.escape(word)}(?!\w)"
