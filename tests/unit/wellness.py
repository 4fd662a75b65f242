"""Facts of a system where everything is right, for tests of what doctor says when one of them is not."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agi_sms import config, dialplan, doctor
from agi_sms import doctor_facts as facts
from agi_sms import doctor_needs as needs
from agi_sms.doctor_finding import Finding, Severity
from tests.unit import test_doctor_needs as shipped

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
NODE = {"recipients": "+48600100300", "content": {"text": "one"}}
PBX: dict[str, Any] = {
    "ari": {"url": "http://127.0.0.1:8088", "username": "gw", "password": "p-secret"},
    "ami": {"username": "gw", "secret": "a-secret", "bare_events": True},
}
COMPANY = {
    "type": "http",
    "url": "https://sms.example/send",
    "body": {"json": {"to": "{{ to }}", "text": "{{ text }}"}},
}
TREE: dict[str, Any] = {
    "database": "box.db",
    "pbx": {"main": PBX},
    "providers": {"company": COMPANY},
    "routes": {"default": ["company"]},
    "nodes": {"desk": NODE},
}
CALL = "[from-trunk]\nexten => 100,1,Answer()\n same => n,Gosub(agi-sms,s,1(desk))\n"


def written(folder: Path, **more: Any) -> Path:
    """The configuration's file; `more` are top-level keys."""
    path = folder / "agi-sms.yaml"
    path.write_text(json.dumps(TREE | more), encoding="utf-8")
    path.chmod(0o600)
    return path


def loaded(folder: Path, **more: Any) -> config.Config:
    """The configuration; `more` are top-level keys."""
    return config.load(written(folder, **more), {})


def listing(text: str, *, subroutines: tuple[str, ...] = ("agi-sms", "agi-sms-agi", "agi-sms-event")) -> str:
    """What `dialplan show` prints of a file of extensions.conf, with the subroutines that are shipped."""
    made: dict[str, dict[str, list[tuple[int, str, str]]]] = {}
    parts = re.split(r"^\[([^\]]+)\]$", text, flags=re.MULTILINE)
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        made[name] = shipped.steps_of(body)
    made |= {name: shipped.steps(shipped.DIALPLAN / f"{name}.conf") for name in subroutines}
    lines = []
    for name, extensions in made.items():
        lines.append(f"[ Context '{name}' created by 'pbx_config' ]")
        for exten, steps in extensions.items():
            head = f"  '{exten}' =>".ljust(20)
            for number, application, data in steps:
                line = f"{head}{number}. {application}({data})"
                lines.append(f"{line:<70} [extensions.conf:{len(lines)}]")
                head = " " * 20
        lines.append("")
    priorities = [len(steps) for extensions in made.values() for steps in extensions.values()]
    counts = f"{len(priorities)} extensions ({sum(priorities)} priorities) in {len(made)} contexts"
    return "\n".join([*lines, f"-= {counts}. =-"])


def plan(text: str = CALL, **how: Any) -> dialplan.Dialplan:
    """A dialplan as Asterisk would tell it."""
    return dialplan.parse_show(listing(text, **how))


MODULES = frozenset(name for way in needs.MODULES.values() for name in way) | set(needs.ARI_MODULES)
ARI = facts.Ari(
    version="22.10.1+dfsg",
    took=timedelta(milliseconds=5),
    ahead=timedelta(milliseconds=200),
    writes=True,
    application=facts.Application(registered=True),
    modules=MODULES,
    endpoints=facts.Endpoints(looked=(facts.Endpoint(name="trunk", trusts=True, trunk=True),), count=1),
    variables=dict.fromkeys(needs.GLOBALS, ""),
)
FILES = {
    "ari.conf": facts.Section(
        values={"enabled": "yes", "channelvars": ",".join(needs.CHANNELVARS), "websocket_write_timeout": "5000"}
    ),
    "http.conf": facts.Section(values={"enabled": "yes", "bindaddr": "127.0.0.1"}),
    "manager.conf": facts.Section(values={"read": "user", "write": "system,command"}),
}
AMI = facts.Ami(
    version="22.10.1",
    actions=frozenset({"DBGetTree", "DBDel", "Command", "GetConfig", "ModuleCheck"}),
    modules=frozenset(name for way in needs.MODULES.values() for name in way),
    took=timedelta(milliseconds=2),
    ahead=timedelta(milliseconds=5),
    waiting=facts.Waiting(count=0),
    variables=dict.fromkeys(needs.GLOBALS, ""),
    files=FILES,
)
DATABASE = facts.Database(
    path=Path("/var/lib/agi-sms/agi-sms.db"),
    user="agi-sms",
    owner="agi-sms",
    exists=True,
    schema=4,
    newest=4,
    file_system="ext4",
    fsync=timedelta(milliseconds=0.5),
    free=70 << 30,
    spool=Path("/var/lib/agi-sms/agi-sms.spool"),
    spool_exists=True,
)
GATEWAY = facts.Gateway(database=DATABASE.path, pid=4711, doors={"ari main": "serving", "ami main": "serving"})


def world(**more: Any) -> facts.Facts:
    """All facts; `ari`, `ami`, `plan`, `plan_trouble` are of the PBX, the others of Facts."""
    pbx = facts.Pbx(
        name="main",
        ari=more.pop("ari", ARI),
        ami=more.pop("ami", AMI),
        plan=more.pop("plan", plan()),
        plan_trouble=more.pop("plan_trouble", ""),
    )
    right = facts.Facts(
        now=NOW,
        configuration=facts.Configuration(path=Path("/etc/agi-sms/agi-sms.yaml")),
        gateway=GATEWAY,
        pbxs=(pbx,),
        providers={"company": (facts.Reached(where="sms.example:443", ends=NOW + timedelta(days=60)),)},
        database=DATABASE,
    )
    return replace(right, **more)


def wrong(found: tuple[Finding, ...]) -> list[Finding]:
    """Those that are not right; each id is one that is known, and each mend says something."""
    assert {one.id for one in found} <= set(doctor.IDS)
    assert all(one.mend for one in found if one.severity is not Severity.OK)
    return [one for one in found if one.severity is not Severity.OK]


def only(found: tuple[Finding, ...]) -> Finding:
    """The one that is not right."""
    (one,) = wrong(found)
    return one
