"""Which ways into a node the configuration opens for the calls of one PBX. Pure."""

from collections.abc import Collection

from agi_sms import dialplan
from agi_sms.config_settings import Settings


def doors(settings: Settings, pbx: str, nodes: Collection[str]) -> dialplan.Doors:
    """Those of a PBX by its name; of none (""), nobody can say that it lacks one."""
    known = settings.pbx.get(pbx)
    ari = known.ari if known is not None else None
    return dialplan.Doors(
        pbx=pbx,
        app=ari.app if ari is not None else "agi-sms",
        ari=known is None or ari is not None,
        ami=known is None or known.ami is not None,
        bare_events=known is None or (known.ami is not None and known.ami.bare_events),
        agi_port=settings.agi.port if settings.agi is not None else None,
        nodes=nodes,
    )
