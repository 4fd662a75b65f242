"""The doors: to whom they hand a visit, what it is told, and the book of nodes that it is planned by."""

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from agi_sms import call, node, numbers


class ReplyStatus(enum.StrEnum):
    """What the dialplan reads in AGISMS_STATUS."""

    SCHEDULED = "SCHEDULED"
    SKIPPED = "SKIPPED"
    INVALID = "INVALID"
    ERROR = "ERROR"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a visit is told. `leave_unset`: it could not be stored at all, so AGISMS is not to be set, and the
    subroutine writes the visit into the PBX's own database."""

    status: ReplyStatus
    count: int = 0
    activation_id: str = ""
    leave_unset: bool = False

    @property
    def value(self) -> str:
        """The channel variable AGISMS."""
        return f"{self.status},{self.count}"


Receive = Callable[[call.Visit], Awaitable[Reply]]


class Book(Protocol):
    """What a reload replaces: the nodes, and how each trunk writes numbers."""

    @property
    def nodes(self) -> node.Nodes: ...

    def rules(self, pbx: str, trunk: str) -> numbers.Rules: ...
