"""What `dialplan show` prints of the files in dialplan/, for tests without an Asterisk."""

import re
from pathlib import Path

from agi_sms import dialplan

ROOT = Path(__file__).resolve().parents[2]
SUBROUTINES = ("agi-sms", "agi-sms-agi", "agi-sms-event")
RECIPES = tuple(sorted(path.stem for path in (ROOT / "dialplan").glob("sms-*.conf")))
_STEP = re.compile(
    r"(?:exten\s*=>?\s*(?P<exten>[^,]+),(?P<first>\d+)|same\s*=>?\s*n)(?:\((?P<label>[^)]*)\))?,(?P<what>.*)"
)


def plan(*names: str) -> dialplan.Dialplan:
    """The dialplan with these files, and the subroutines."""
    lines: list[str] = []
    contexts: list[list[int]] = []  # in each, how many steps each extension has
    for name in (*names, *SUBROUTINES):
        path = ROOT / "dialplan" / f"{name}.conf"
        exten = ""
        for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            line = re.sub(r"(?<!\\);.*", "", raw).strip().replace("\\;", ";")
            if line.startswith("["):
                lines.append(f"[ Context '{line.strip('[]')}' created by 'pbx_config' ]")
                contexts.append([])
                continue
            match = _STEP.fullmatch(line)
            if match is None:
                continue
            if match["exten"]:
                exten = match["exten"]
                contexts[-1].append(0)
            contexts[-1][-1] += 1
            label = f"     [{match['label']}] " if match["label"] else "      "
            head = f"  '{exten}' => " if match["exten"] else label
            lines.append(f"{head}{contexts[-1][-1]}. {match['what']} [{path.name}:{number}]")
    steps = sum(map(sum, contexts))
    counts = f"{sum(map(len, contexts))} extensions ({steps} priorities) in {len(contexts)} contexts"
    return dialplan.parse_show("\n".join([*lines, f"-= {counts}. =-"]))
