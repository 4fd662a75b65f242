"""An activation with its drafts and limits as JSON, for the spool."""

from dataclasses import dataclass

import pydantic

from agi_sms import message, node, ports


@dataclass(frozen=True, kw_only=True)
class Record:
    activation: ports.Activation
    drafts: tuple[message.Draft, ...]
    limits: tuple[node.Limit, ...]


_ADAPTER = pydantic.TypeAdapter(Record)


def dump(record: Record) -> bytes:
    """ValueError where a text cannot be UTF-8."""
    return _ADAPTER.dump_json(record)


def load(raw: bytes) -> Record:
    """ValueError where these bytes are no record."""
    return _ADAPTER.validate_json(raw)
