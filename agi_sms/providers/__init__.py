"""The ways of sending. One file each; `REGISTRY` names them, and is imported only where one is used."""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import pydantic

from agi_sms import ports

_NONE: Mapping[str, ports.PbxMessenger] = MappingProxyType({})
REGISTRY: dict[str, str] = {
    "print": "agi_sms.providers.print:PrintProvider",
    "file": "agi_sms.providers.file:FileProvider",
    "http": "agi_sms.providers.http:HttpProvider",
    "smpp": "agi_sms.providers.smpp:SmppProvider",
    "sip": "agi_sms.providers.sip:SipProvider",
    "modem": "agi_sms.providers.modem:ModemProvider",
    "gammu": "agi_sms.providers.gammu:GammuProvider",
}


def provider_class(kind: str) -> Any:
    """The class behind a `type`: a name out of REGISTRY, or `package.module:Class` of somebody else's.

    Raises ValueError that names the known types.
    """
    dotted = REGISTRY.get(kind, kind)
    module, colon, name = dotted.partition(":")
    if not colon:
        known = ", ".join(sorted(REGISTRY))
        raise ValueError(f"unknown provider type {kind[:80]!r}; known are {known}, or package.module:Class")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # a plug-in's import may raise anything
        raise ValueError(f"provider type {kind[:80]!r} cannot be loaded: {error}") from error
    settings = getattr(found, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, pydantic.BaseModel)):
        raise ValueError(f"provider type {kind[:80]!r} has no Settings (a pydantic model)")  # noqa: TRY004
    return found


def settings_class(kind: str) -> type[pydantic.BaseModel]:
    """What a provider of this `type` is configured by. Raises ValueError that names the known types.

    Validate with `context={"base": FOLDER}` to have relative paths in it read from that folder.
    """
    return cast(type[pydantic.BaseModel], provider_class(kind).Settings)


def build(
    name: str, settings: pydantic.BaseModel, messengers: Mapping[str, ports.PbxMessenger] = _NONE
) -> ports.Provider:
    """A provider by its configured name and validated settings. Does no I/O; needs no running loop.

    One whose settings name a `pbx` sends through that one of `messengers`. Raises ValueError for an unknown type.
    """
    made = provider_class(str(getattr(settings, "type", "")))
    pbx = getattr(settings, "pbx", None)
    through = () if pbx is None else (messengers[pbx],)
    return cast(ports.Provider, made(name, settings, *through))
