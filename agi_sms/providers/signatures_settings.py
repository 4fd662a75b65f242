"""How a receipt is known to be genuine, as it is configured, and what of it a signature covers.

Not every signature is over everything. What it does not cover must not be believed, since whoever has seen one notice
that is signed can send it again with something else there.
"""

import re
from datetime import timedelta
from typing import Annotated, Literal

import pydantic

from agi_sms import durations, http_words

PLACES = re.compile(r"\{(\w*)\}")
_KNOWN = frozenset({"body", "url", "method", "timestamp", "nonce"})


def _header(name: str) -> str:
    http_words.check_header_name(name, ())
    return name


def _over(source: str) -> str:
    for place in PLACES.findall(source):
        if place not in _KNOWN:
            raise ValueError(f"{{{place}}} is unknown; known are {', '.join(sorted(_KNOWN))}")
    if "{body}" not in source and "{url}" not in source:
        raise ValueError("must hold {body} or {url}: what is not signed can be forged")
    return source


HeaderName = Annotated[str, pydantic.AfterValidator(_header)]
Over = Annotated[str, pydantic.AfterValidator(_over)]
Scheme = Literal["none", "token", "hmac", "ed25519", "twilio", "vonage", "vonage_sms", "plivo", "messagebird"]
Source = Literal["query", "form", "json", "xml"]  # the form in which a notice is read
Part = Literal["query", "body"]


class Verify(pydantic.BaseModel):
    """How a receipt is known to be genuine. `secret` is a name out of the provider's `secret`."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    scheme: Scheme
    secret: str = ""
    header: HeaderName | None = None  # holds the signature
    algorithm: Literal["md5", "sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""  # before the signature in its header, like sha256=
    over: Over | None = None  # what is signed: {body}, {url}, {method}, {timestamp}, {nonce} and what joins them
    timestamp: HeaderName | None = None  # holds the seconds since 1970
    nonce: HeaderName | None = None
    tolerance: durations.Duration = timedelta(minutes=5)

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "Verify":
        if (self.scheme == "none") == bool(self.secret):
            raise ValueError(
                "needs `secret`, the name of one under `secret:`" if not self.secret else "none has no secret"
            )
        if self.scheme == "hmac" and (self.header is None or self.over is None):
            raise ValueError("hmac needs header and over")
        if self.scheme == "ed25519" and (self.header is None or self.over is None):
            raise ValueError("ed25519 needs header and over")
        places = set(PLACES.findall(self.over or ""))
        for name, header in (("timestamp", self.timestamp), ("nonce", self.nonce)):
            if (name in places) != (header is not None):
                raise ValueError(f"over holds {{{name}}}, and `{name}` names its header: both, or neither")
        return self

    def covers(self, source: Source) -> frozenset[Part]:
        """Which parts of a notice that is read as `source` nobody can change unnoticed.

        With a token, and without verification, all of it: whoever knows the address is believed.
        """
        match self.scheme:
            case "hmac" | "ed25519":
                signed = set(PLACES.findall(self.over or ""))
                parts: dict[Part, bool] = {"query": "url" in signed, "body": "body" in signed}
            case "vonage":
                parts = {"query": False, "body": True}
            case "vonage_sms":  # over the parameters, wherever they are; it has no XML
                parts = {"query": source == "query", "body": source in {"form", "json"}}
            case "plivo":  # over address and form
                parts = {"query": True, "body": source in {"query", "form"}}
            case _:
                parts = {"query": True, "body": True}
        return frozenset(part for part, covered in parts.items() if covered)
