"""What an answer comes to, and what its HTTP status means where no rule of the operator's knows it. Pure."""

import enum
import urllib.parse


class Then(enum.StrEnum):
    """What a rule makes of an answer."""

    ACCEPT = "accept"
    DUPLICATE = "duplicate"  # it has this ref already, from an attempt of ours: success
    RETRY = "retry"
    UNCERTAIN = "uncertain"
    REJECT = "reject"
    FINAL = "final"  # the recipient wants none, or is on a block list: nobody else is asked
    PROVIDER_DOWN = "provider_down"


def redirected(location: str) -> str:
    """Where a redirect leads; only its host, as the rest may hold anything."""
    try:
        host = urllib.parse.urlsplit(location).hostname
    except ValueError:
        host = None
    return f"it redirects to {host or 'another path'}, and redirects are not followed; mend url"


# Of every message alike: the login, the money, the address, or the form of the request is not right.
_DOWN = frozenset({401, 402, 403, 404, 405, 407, 410, 415, 421, 426})
_LATER = frozenset({425, 429})  # RFC 8470, 5.2; RFC 6585, 4: not processed


def default(status: int) -> Then:
    """What a status means where no rule says so (RFC 9110, 15). Redirects are never followed.

    After a 408 the server should not have had the whole request, but who says so is often a proxy behind which one was.
    """
    if 200 <= status <= 299:
        return Then.ACCEPT
    if status in _LATER:
        return Then.RETRY
    if 300 <= status <= 399 or status in _DOWN:
        return Then.PROVIDER_DOWN
    if status == 408 or not 400 <= status <= 499:
        return Then.UNCERTAIN
    return Then.REJECT
