"""The way of a call through its SMS nodes, as a graph. Pure.

`flow_walk` makes it of a dialplan, `flow_mermaid` and `flow_svg` draw it.
"""

import enum
from dataclasses import dataclass

DEPTH = 10  # jumps from the start that are drawn


class Kind(enum.StrEnum):
    """What a step is."""

    ENTRY = "entry"  # where the drawing begins
    SMS = "sms"  # a node of the configuration
    STEP = "step"  # an application
    MENU = "menu"  # digits lead on
    CHOICE = "choice"  # a condition
    END = "end"  # the call, or the subroutine, ends
    COMPUTED = "computed"  # only the call knows where it goes on
    MISSING = "missing"  # there is no such place
    MORE = "more"  # not drawn: too deep, or too much


class State(enum.StrEnum):
    """Whether the configuration knows the node."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    COMPUTED = "computed"  # only the call knows which one
    UNHEARD = "unheard"  # the gateway does not hear of the call: a subroutine is not loaded, or a key is missing


@dataclass(frozen=True, kw_only=True)
class Step:
    """One box. `before` names the steps right before it that are not drawn; `place` and `source` are for engineers."""

    kind: Kind
    title: str
    lines: tuple[str, ...] = ()
    before: str = ""
    place: str = ""  # context,extension,priority
    source: str = ""  # file:line, where known
    state: State | None = None  # of SMS nodes
    trouble: str = ""  # what is wrong with an SMS node, behind "... enters NODE, "


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A way from one step to another, by their numbers. `aside`: on another leg, or after the call; `sure`: literal."""

    source: int
    target: int
    label: str = ""
    aside: bool = False
    sure: bool = True


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The graph; its first step is the entry. `whole` False: it is more than can be drawn, some ways end too soon."""

    title: str
    steps: tuple[Step, ...]
    edges: tuple[Edge, ...]
    whole: bool = True

    @property
    def nodes(self) -> tuple[Step, ...]:
        """The SMS nodes in it."""
        return tuple(step for step in self.steps if step.kind is Kind.SMS)
