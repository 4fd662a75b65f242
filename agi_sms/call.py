"""One live call, and one visit of it to a node."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


class Entry(enum.StrEnum):
    """By which door a visit came in."""

    ARI = "ari"
    AGI = "agi"
    AMI = "ami"
    ASTDB = "astdb"  # the gateway missed it; the dialplan had written it down
    TRIGGER = "trigger"  # the command line, no call


@dataclass(frozen=True, kw_only=True)
class Call:
    """The facts about one call, as Asterisk told them: nothing is normalised yet, everything may be hostile.

    `key` is the identity under which "one per call" counts: `PBX/uniqueid` of the call's first channel, or the
    dialplan's own `call=` as it stands. `call_id` is the same without the PBX, and what customers see.
    """

    pbx: str
    key: str
    call_id: str
    channel_id: str = ""
    linkedid: str = ""
    caller: str = ""
    presentation: str = ""  # CALLERID(num-pres); empty where nobody told
    caller_name: str = ""
    dialled: str = ""
    diverted_from: str = ""
    trunk: str = ""  # endpoint name out of the channel name, `acme` in PJSIP/acme-0000001f
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One entry of a channel into a node. `recipients`, `sender` and `delay` are the dialplan's, unread."""

    id: str
    node: str
    call: Call
    entry: Entry
    arrived_at: datetime
    recipients: str | None = None
    sender: str | None = None
    delay: str | None = None
