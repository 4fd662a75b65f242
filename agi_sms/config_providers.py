"""What is right by itself in a provider's settings, and does not do what one would think: warnings."""

from collections.abc import Mapping, Sequence
from typing import Any

import pydantic

from agi_sms.config_book import Book
from agi_sms.web import addresses

_LOST = "no message of theirs becomes delivered, and no receipt ends a doubt"


def warn(book: Book, built: Mapping[str, pydantic.BaseModel]) -> None:
    """Note what is to be said of the providers that stand."""
    reporting = [name for name, one in built.items() if _is_http(one) and getattr(one, "receipts", None) is not None]
    _receipts(book, reporting)
    for name, settings in built.items():
        spot = book.spot.at("providers", name)
        if _is_http(settings) and _takes_anything(settings):
            what = "is not said: every 2xx counts as accepted, whatever is in it, and no id of it is kept"
            book.warnings.add(spot, f"{what}; write answer.rules, or answer.id", below="answer")
        password = getattr(settings, "password", None)
        if getattr(settings, "type", "") == "smpp" and password is not None and not password.get_secret_value():
            book.warnings.add(spot, "is empty: the SMSC is asked to let us in without one", below="password")


def _is_http(settings: pydantic.BaseModel) -> bool:
    return getattr(settings, "type", "") == "http"


def _takes_anything(settings: Any) -> bool:
    return not settings.answer.rules and settings.answer.id is None


def _receipts(book: Book, reporting: Sequence[str]) -> None:
    """Whether those that report reach us."""
    desk = book.settings.receipts
    if desk is not None and desk.public_url.endswith(addresses.RECEIPTS.rstrip("/")):
        told = addresses.receipts(desk.public_url, "NAME")
        what = f"ends in {addresses.RECEIPTS.rstrip('/')}, and providers are told {told}"
        book.warnings.add(book.spot.at("receipts", "public_url"), f"{what}; leave the end out unless that is meant")
    if not reporting or (desk is not None and desk.public_url):
        return
    who = ", ".join(reporting[:5]) + (", ..." if len(reporting) > 5 else "")
    mend = "write receipts: {listen: ..., public_url: ...}, or receipts: null for these providers"
    if desk is None:
        book.warnings.add(book.spot, f"is missing, and {who} would report: {_LOST}; {mend}", below="receipts")
    else:
        spot = book.spot.at("receipts")
        book.warnings.add(spot, f"is missing, and {who} cannot be told where to report: {_LOST}", below="public_url")
