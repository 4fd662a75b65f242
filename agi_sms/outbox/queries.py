"""SQL from .sql files: a statement stands under `-- name: NAME`; `{NAME}` in it stands for another one."""

import functools
import re
from collections.abc import Mapping
from importlib import resources

_HEADER = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)
_PIECE = re.compile(r"\{(\w+)\}")


@functools.cache
def load(name: str) -> Mapping[str, str]:
    """The statements of `NAME.sql` by their names; KeyError where one refers to a name not above it."""
    parts = _HEADER.split(resources.files(__package__).joinpath(f"{name}.sql").read_text("utf-8"))
    found: dict[str, str] = {}
    for key, body in zip(parts[1::2], parts[2::2], strict=True):
        if key in found:
            raise ValueError(f"{name}.sql has two statements named {key}")
        statement = _COMMENT.sub("", body).strip().rstrip(";")
        found[key] = _PIECE.sub(lambda piece: found[piece[1]], statement)
    return found


@functools.cache
def migrations() -> tuple[tuple[int, str], ...]:
    """The numbered migrations, in order: (number, script)."""
    folder = resources.files(__package__).joinpath("migrations")
    return tuple(
        sorted(
            (int(file.name.split("_")[0]), file.read_text("utf-8"))
            for file in folder.iterdir()
            if file.name.endswith(".sql")
        )
    )
