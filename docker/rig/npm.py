"""What npm packages say about texts, apart from our own code and from smsutil."""

import dataclasses
import json

from rig import engine, images


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """A text as sms-segments-calculator would send it: `GSM-7` or `UCS-2`, septets or UTF-16 units, the segments."""

    encoding: str
    segments: int
    units: int
    pieces: tuple[str, ...]


def segments(texts: list[str]) -> list[Measured]:
    """Measure all texts in one container."""
    printed = engine.docker(
        "run", "--rm", "-i", *engine.labels(), "--network", "none", images.peers(), "node", "segments.js",
        stdin=json.dumps(texts).encode(), timeout=300,
    )  # fmt: skip
    return [Measured(**{**one, "pieces": tuple(one["pieces"])}) for one in json.loads(printed)]
