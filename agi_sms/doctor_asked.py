"""One PBX's facts, with what they are measured by; for the findings about it. Pure."""

from dataclasses import dataclass
from datetime import datetime

from agi_sms import doctor_facts as facts
from agi_sms.asterisk import settings

RELOAD_ARI = 'asterisk -rx "module reload res_ari.so"'
RELOAD_AMI = 'asterisk -rx "manager reload"'


@dataclass(frozen=True, kw_only=True)
class Asked:
    """`ways` are those that its dialplan uses, as dialplan.NodeCall has them; None where nobody knows."""

    pbx: facts.Pbx
    ari: settings.Ari | None
    ami: settings.Ami | None
    gateway: facts.Gateway
    now: datetime
    ways: frozenset[str] | None
    agi: bool  # whether FastAGI is configured
    nodes: frozenset[str] | None = None  # of the configuration; None where it has mistakes, and maybe more
    messages: frozenset[str] = frozenset()  # over which doors SIP MESSAGEs go out
    modem: str = ""  # the AMI action by which a modem sends

    @property
    def key(self) -> str:
        """Where it stands in our configuration."""
        return f"pbx.{self.pbx.name}"

    def file(self, name: str) -> facts.Section | None:
        """What one of Asterisk's files says; None where nobody could ask."""
        files = self.pbx.ami.files if self.pbx.ami is not None else None
        return None if files is None else files.get(name)

    @property
    def modules(self) -> frozenset[str] | None:
        """Those that run, by whichever door tells them."""
        if self.pbx.ari is not None and self.pbx.ari.modules is not None:
            return self.pbx.ari.modules
        return self.pbx.ami.modules if self.pbx.ami is not None else None
