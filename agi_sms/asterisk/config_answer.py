"""What AMI's GetConfig says of one section of a file, and what manager.conf's words mean. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

EVENTS = "user"  # the class of what the dialplan sends with UserEvent()


def has_section(answer: Mapping[Any, Any]) -> bool:
    """Whether there is such a section at all."""
    return any(str(key).lower().startswith("category-") for key in answer)


def lines(answer: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    """`Line-000000-000003: read=user,call`, names in lower case; of several lines with one name the last counts."""
    for key in sorted(answer, key=str):
        if str(key).lower().startswith("line-"):
            said = answer[key]
            name, _, value = str(said[-1] if isinstance(said, list) else said).partition("=")
            yield name.strip().lower(), value.strip()


def hears_user_events(read: str) -> bool:
    """Whether `read` of manager.conf lets a user hear what the dialplan sends with UserEvent().

    As Asterisk reads it (tried with 16.28 and 22.10): with a blank or a capital, a word is none that it knows.
    """
    return not {EVENTS, "all"}.isdisjoint(read.strip().split(","))
