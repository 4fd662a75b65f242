"""Under which addresses the gateway is reached; apart from the code that answers there."""

import urllib.parse

RECEIPTS = "/receipts/"


def receipts(public_url: str, provider: str) -> str:
    """What a provider is told as the address for its receipts; empty where there is none."""
    return public_url.rstrip("/") + RECEIPTS + urllib.parse.quote(provider, safe="") if public_url else ""
