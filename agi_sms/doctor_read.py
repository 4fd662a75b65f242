"""A dialplan with what it is measured by, and how its steps are named; for the findings about it. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from agi_sms import dialplan, dialplan_calls, harmless, loopback
from agi_sms.config_settings import Agi
from agi_sms.dialplan import Dialplan, NodeCall
from agi_sms.doctor_finding import named
from agi_sms.node import Node

VARIABLES = 'ARI, or AMI with write = command or reporting; asterisk -rx "dialplan show globals" shows it'
LONGEST = 160  # characters of a step that is shown


@dataclass(frozen=True, kw_only=True)
class Read:
    """A dialplan with what it is measured by. `whole` False: the configuration has mistakes, and maybe more nodes.

    `perhaps` are steps of which nobody can tell whether they are meant to enter a node.
    """

    pbx: str
    plan: Dialplan
    visits: tuple[NodeCall, ...]
    perhaps: tuple[NodeCall, ...]
    nodes: Mapping[str, Node]
    whole: bool
    doors: dialplan.Doors
    agi: Agi | None
    variables: Mapping[str, str] | None  # globals of the dialplan, None where nobody tells them
    hold_budget: timedelta
    answers: bool  # whether a door of the PBX is open

    def late(self, one: NodeCall) -> bool:
        """Whether the gateway hears of it only when it looks into AstDB by itself."""
        return one.way == "ari" and not self.doors.ari and self.doors.ami and not dialplan.unloaded("ari", self.plan)

    def heard(self, one: NodeCall) -> bool:
        """Whether an SMS may come of it."""
        return self.late(one) or not dialplan.closed(one, self.plan, self.doors)


def place(one: NodeCall) -> str:
    """Where a step is: context,extension,priority, and file and line where they are known."""
    return at(one.context, one.exten, one.priority, one.file, one.line)


def at(context: str, exten: str, priority: int, file: str, line: int) -> str:
    """A place in words; `file` is empty where nobody tells it."""
    step = harmless.clipped(f"{context},{exten},{priority}", 120)
    return f"{step} ({file}:{line})" if file else step


def places(found: Collection[NodeCall]) -> str:
    """Where some steps are."""
    return named([place(one) for one in found])


def gosub(context: str, one: NodeCall) -> str:
    """The call of one of our subroutines that does what this step does."""
    return harmless.clipped(f"Gosub({subroutine(context, one)})", LONGEST)


def subroutine(context: str, one: NodeCall) -> str:
    """The same, as Gosub and a hangup handler have it."""
    given = ",".join((one.expression or "NODE", *filter(None, one.arguments)))
    return f"{context},s,1({given})"


def agi(address: str, one: NodeCall) -> str:
    """The AGI() at this address that does what this step does, with its arguments in the URL."""
    given = "&".join(filter(None, one.arguments))
    return harmless.clipped(f"AGI(agi://{address}/{one.expression or 'NODE'}{'?' if given else ''}{given})", LONGEST)


def leads(address: str, listen: Agi) -> bool:
    """Whether a connection to this address may reach the port; which machine a name is, is not decided here."""
    if dialplan_calls.port_of(address) != listen.port:
        return False
    host = address.removesuffix(f":{listen.port}")
    return not loopback.near(listen.host) or loopback.near(host) or not host
