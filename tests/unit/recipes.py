"""What `dialplan show` prints of the files in dialplan/, for tests without an Asterisk."""

from pathlib import Path

from agi_sms import dialplan
from tests.unit import extensions

ROOT = Path(__file__).resolve().parents[2]
SUBROUTINES = ("agi-sms", "agi-sms-agi", "agi-sms-event")
RECIPES = tuple(sorted(path.stem for path in (ROOT / "dialplan").glob("sms-*.conf")))


def plan(*names: str) -> dialplan.Dialplan:
    """The dialplan with these files, and the subroutines."""
    lines: list[str] = []
    contexts: dict[str, set[str]] = {}  # the extensions of each
    steps = 0
    for name in (*names, *SUBROUTINES):
        path = ROOT / "dialplan" / f"{name}.conf"
        for one in extensions.read(path.read_text(encoding="utf-8")):
            if one.context not in contexts:
                lines.append(f"[ Context '{one.context}' created by 'pbx_config' ]")
            contexts.setdefault(one.context, set()).add(one.exten)
            label = f"     [{one.label}] " if one.label else "      "
            head = f"  '{one.exten}' => " if one.number == 1 else label
            lines.append(f"{head}{one.number}. {one.application}({one.data}) [{path.name}:{one.line}]")
            steps += 1
    counts = f"{sum(map(len, contexts.values()))} extensions ({steps} priorities) in {len(contexts)} contexts"
    return dialplan.parse_show("\n".join([*lines, f"-= {counts}. =-"]))
