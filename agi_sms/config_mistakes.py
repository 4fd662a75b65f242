"""Mistakes in the configuration: where each stands, what is wrong there, and what must never be shown."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

ENVIRONMENT = "AGI_SMS_"  # how the variables begin that are settings
_SECRETIVE = re.compile(
    r"(?i)(?:^|[._\-\[])(?:\w*(?:pass(?:word|wd|phrase|code)?|secret|token|api_?key|credentials?|authorization|bearer)|auth|key)"
    r"(?:$|[._\-\[\]])"
)
_NAMED = re.compile(r"(?:^|\.)receipts\.verify\.secret$")  # holds a secret's name
# whatever the environment fills in there is taken for a secret
_GUARDED = re.compile(r"(?:^(?:pbx|providers)|(?:^|\.)content\.api)(?:\.|$)")


@dataclass(slots=True)
class Spot:
    """Where a value stands: `key` is the dotted path as a person would look for it in `file`.

    `raw` is what was written, where a scalar was read as something else than text. `block` is the line of a
    text's first line, where that can be told. `filled` says that part of it came from the environment,
    `faulty` that a mistake in it has been told already.
    """

    file: str
    line: int
    key: str
    raw: str | None = None
    block: int = 0
    filled: bool = False
    faulty: bool = False
    children: "dict[str, Spot]" = field(default_factory=dict)

    def at(self, *path: object) -> "Spot":
        """The spot of the value at `path`, or of the nearest one around it."""
        here = self
        for part in path:
            here = here.children.get(str(part), here)
        return here

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}" if self.key else where


class Mistakes:
    """What is wrong, each once, in the order of the files and lines. A secret in the words is taken out."""

    def __init__(self, secrets: set[str] | None = None) -> None:
        self._found: dict[tuple[str, int, str, str], None] = {}
        self.secrets: set[str] = set() if secrets is None else secrets

    def add(self, spot: Spot, what: str, *, below: str = "") -> None:
        """Note what is wrong at `spot`; `below` is the key under it that is meant, where it has no spot."""
        if spot.key.startswith(ENVIRONMENT) and below:
            key = f"{spot.key}__{below.replace('.', '__').upper()}"
        else:
            key = ".".join(part for part in (spot.key, below) if part)
        where = f"{spot.file}:{spot.line}" if spot.line else spot.file
        self._found[spot.file, spot.line, f"{where}: {key}: " if key else f"{where}: ", what] = None

    def __bool__(self) -> bool:
        return bool(self._found)

    def texts(self, order: Sequence[str] = ()) -> tuple[str, ...]:
        """All of them; those of the given files first."""
        rank = {name: at for at, name in enumerate(order)}
        found = sorted(self._found, key=lambda item: (rank.get(item[0], len(rank)), item[0], item[1]))
        pieces = {piece for secret in self.secrets for piece in _pieces(secret)}
        return tuple(_harmless(where + (_HIDDEN if _betrays(what, pieces) else what)) for _, _, where, what in found)


_HIDDEN = "is not right; the value is not shown, since it may be a secret"
_PIECE = 8


def secretive(key: str) -> bool:
    """Whether values under this dotted key, or in a variable of this name, are not to be shown."""
    return bool(_SECRETIVE.search(key)) and not _NAMED.search(key)


def guarded(key: str) -> bool:
    """Whether what the environment gives for this dotted key is taken for a secret."""
    return bool(_GUARDED.search(key))


def _pieces(secret: str) -> Iterator[str]:
    """What betrays a secret: eight characters of it in a row, or the whole of a shorter one."""
    for form in {secret.casefold(), repr(secret)[1:-1].casefold()}:
        if len(form) > _PIECE:
            yield from (form[at : at + _PIECE] for at in range(len(form) - _PIECE + 1))
        elif len(form) > 2:  # one or two characters are in every sentence
            yield form


def _betrays(what: str, pieces: set[str]) -> bool:
    folded = what.casefold()
    return any(piece in folded for piece in pieces)


def _harmless(line: str) -> str:
    """One line without anything that a terminal would act upon: keys and file names may hold it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)
