"""A file of extensions.conf, as far as ours go: `exten`, `same => n`, contexts, comments. What else is there fails."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_CONTEXT = re.compile(r"\[([^\]]+)\]")
_STEP = re.compile(
    r"(?:exten\s*=>?\s*(?P<exten>[^,]+),1|same\s*=>?\s*n)(?:\((?P<label>[^)]*)\))?,(?P<application>\w+)(?:\((?P<data>.*)\))?"
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One priority; `context` is empty before the first one."""

    context: str
    exten: str
    number: int
    label: str
    application: str
    data: str
    line: int


def read(text: str) -> Iterator[Step]:
    """Its steps; ValueError names a line that is none."""
    context, exten, number = "", "", 0
    for at, raw in enumerate(text.splitlines(), start=1):
        line = re.sub(r"(?<!\\);.*", "", raw).strip().replace("\\;", ";")
        if not line:
            continue
        if (begun := _CONTEXT.fullmatch(line)) is not None:
            context, exten, number = begun[1], "", 0
            continue
        found = _STEP.fullmatch(line)
        if found is None or not (found["exten"] or exten):
            raise ValueError(f"line {at}: {line}")
        number = 1 if found["exten"] else number + 1
        exten = found["exten"] or exten
        yield Step(
            context=context,
            exten=exten,
            number=number,
            label=found["label"] or "",
            application=found["application"],
            data=found["data"] or "",
            line=at,
        )
