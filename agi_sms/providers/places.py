"""Where providers are, as their settings say it: hosts, and files and folders of this machine. Pure.

What a plug-in's settings mean, nobody here knows.
"""

from dataclasses import dataclass
from pathlib import Path

import pydantic
import yarl

_FOLDERS = ("outbox", "sent", "error", "inbox")


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A host that is connected to."""

    host: str
    port: int
    tls: bool = False
    ca_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Place:
    """A file that is appended to, or a folder in which files are made and moved."""

    path: Path
    folder: bool


def peer(settings: pydantic.BaseModel) -> Peer | None:
    """The host behind a provider; None where there is none."""
    match getattr(settings, "type", ""):
        case "http":
            url = yarl.URL(getattr(settings, "url", "").partition("?")[0].partition("{{")[0])
            if url.host is None or url.port is None:
                return None
            tls = url.scheme == "https"
            return Peer(host=url.host, port=url.port, tls=tls, ca_file=getattr(settings, "ca_file", None))
        case "smpp":
            return Peer(
                host=getattr(settings, "host", ""),
                port=int(getattr(settings, "port", 0)),
                tls=bool(getattr(settings, "tls", False)),
                ca_file=getattr(settings, "ca_file", None),
            )
    return None


def places(settings: pydantic.BaseModel) -> tuple[Place, ...]:
    """The files and folders that a provider writes to."""
    match getattr(settings, "type", ""):
        case "file":
            return (Place(path=getattr(settings, "path", Path()), folder=False),)
        case "gammu":
            found = [getattr(settings, name, None) for name in _FOLDERS]
            return tuple(Place(path=path, folder=True) for path in found if path is not None)
    return ()
