"""What pydantic finds wrong, in plain words with the place where it stands."""

import difflib
import functools
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar, Union

import pydantic
from pydantic_core import ErrorDetails

from agi_sms.config_mistakes import Mistakes, Spot

Model = TypeVar("Model", bound=pydantic.BaseModel)
Path = tuple[object, ...]

_SECTION = ("model_type", "model_attributes_type", "dict_type", "mapping_type", "dataclass_type")
_TEXT = ("string_type", "path_type", "bytes_type", "url_type")
_WORDS: dict[str, str] = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number that ends",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_unicode": "must be text",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must hold at least {min_length}",
    "too_long": "must hold at most {max_length}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "union_tag_not_found": "needs {discriminator}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "url_parsing": "must be an address like http://127.0.0.1:8088",
    "url_scheme": "must begin with {expected_schemes}",
    "url_too_long": "must have at most {max_length} characters",
    "time_delta_type": "must be a duration: 0 or a number with a unit, like 30s",
}
_WORDS |= dict.fromkeys(_TEXT, "must be text")
_WORDS |= dict.fromkeys(_SECTION, "must hold keys of its own, `key: value` lines indented below it")
_SWITCHES = frozenset({"yes", "no", "on", "off", "y", "n", "1", "0", "true", "false"})


def nearest(word: object, known: Iterable[object], *, show: str = "") -> str:
    """A hint for a name that does not exist: the nearest one, else what there is (`show` says of what)."""
    names = sorted({str(name) for name in known})
    close = difflib.get_close_matches(str(word)[:80].lower(), [name.lower() for name in names], n=1, cutoff=0.6)
    if close:
        return f"did you mean {next(name for name in names if name.lower() == close[0])}?"
    if not names:
        return f"there are no {show}" if show else ""
    listed = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
    return f"{show or 'known'}: {listed}"


def validated(
    build: Callable[[], Model],
    shape: Any,
    trees: Sequence[dict[str, Any]],
    spot: Spot,
    mistakes: Mistakes,
) -> tuple[Model | None, frozenset[Path]]:
    """Call `build`, which validates `trees`; note every mistake.

    A part with a mistake is taken out of the trees and the rest validated again, so that the mistakes behind
    it are found too. Returns the model (None where nothing of it stands), and the paths that were taken out.
    """
    pruned: set[Path] = set()
    for _ in range(200):
        try:
            return build(), frozenset(pruned)
        except pydantic.ValidationError as error:
            found = error.errors(include_url=False)
        if not _repaired(found, trees, spot):
            told = pruned | _misspelt(found, shape)
            for detail in found:
                if detail["loc"] not in told and not _follows(detail, trees, pruned):
                    _note(detail, shape, trees, spot, mistakes)
            cut = {_existing(detail["loc"], trees) for detail in found}
            if () in cut:
                return None, frozenset(pruned)
            pruned |= cut
            changed = [_change(trees, path) for path in cut]
            if not any(changed):
                break
    return None, frozenset(pruned)


def _repaired(found: list[ErrorDetails], trees: Sequence[dict[str, Any]], spot: Spot) -> bool:
    """Give back text that YAML read as a number, and sections that hold nothing but comments."""
    any_repaired = False
    for detail in found:
        path = _existing(detail["loc"], trees)
        here = _exact(spot, path) if path[-1:] == detail["loc"][-1:] else None
        if here is None or here.faulty:
            continue
        if detail["type"] in _TEXT and here.raw is not None and not isinstance(detail["input"], str):
            if detail["input"] is not None:
                any_repaired |= _change(trees, path, here.raw)
        elif detail["type"] in _SECTION and detail["input"] is None:
            any_repaired |= _change(trees, path, {})
    return any_repaired


def _follows(detail: ErrorDetails, trees: Sequence[dict[str, Any]], pruned: set[Path]) -> bool:
    """Whether this is only wrong because something inside it was taken out."""
    there = _existing(detail["loc"], trees)
    return any(path[: len(there)] == there for path in pruned)


def _misspelt(found: list[ErrorDetails], shape: Any) -> set[Path]:
    """Paths of missing keys that stand there under a name so near that telling that is enough."""
    missing = {detail["loc"] for detail in found if detail["type"] == "missing"}
    near: set[Path] = set()
    for detail in found:
        if detail["type"] == "extra_forbidden":
            *parent, name = detail["loc"]
            hint = nearest(name, keys(functools.reduce(child, parent, shape)))
            near |= {path for path in missing if [*path[:-1]] == parent and hint == f"did you mean {path[-1]}?"}
    return near


def _note(
    detail: ErrorDetails,
    shape: Any,
    trees: Sequence[dict[str, Any]],
    spot: Spot,
    mistakes: Mistakes,
) -> None:
    kind, loc = detail["type"], detail["loc"]
    there = _existing(loc, trees)
    here = spot.at(*there)
    if here.faulty:
        return
    below = ".".join(str(part) for part in loc[len(there) :]) if kind == "missing" else ""
    known = keys(functools.reduce(child, loc[:-1], shape))
    if kind == "extra_forbidden":
        what = f"unknown key; {nearest(loc[-1], known)}" if known else "unknown key"
    elif detail["input"] is None and kind != "missing":
        what = f"has no value; {_words(detail)}, or leave the key out"
    else:
        what = _words(detail)
        if kind == "value_error":
            here, below, what = _own_place(here, what)
    mistakes.add(here, what, below=below)


def _own_place(here: Spot, what: str) -> tuple[Spot, str, str]:
    """The place of the key below `here` whose name the words begin with, what is below that, and the words without it.

    So speaks what is found between several keys, where pydantic knows of all of them only.
    """
    name, colon, rest = what.partition(": ")
    key, _, below = name.partition(".")  # what is below may have dots of its own
    there = here.children.get(key)
    if not colon or there is None:
        return here, "", what
    return (there.children[below], "", rest) if below in there.children else (there, below, rest)


def _words(detail: ErrorDetails) -> str:
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", "is not right"))
    words = _WORDS.get(kind)
    if words is None:
        return detail["msg"][:1].lower() + detail["msg"][1:]
    if kind.startswith("bool") and str(value).lower() in _SWITCHES:
        return "must be true or false, without quotes"
    try:
        what = words.format_map(context)
    except (KeyError, ValueError, IndexError):
        what = words
    if kind not in ("literal_error", "enum"):
        return what
    what = what.replace("'", "")
    if isinstance(value, str):
        options = [option.strip(" '") for option in str(context.get("expected", "")).replace(" or ", ",").split(",")]
        close = difflib.get_close_matches(value.lower()[:80], options, n=1)
        what += f"; did you mean {close[0]}?" if close else ""
    return what


def _existing(path: Sequence[object], trees: Sequence[Mapping[str, Any]]) -> Path:
    """The part of a pydantic location that is in the trees; names of union members and the like fall out."""
    best: Path = ()
    for tree in trees:
        here: Any = tree
        kept: list[object] = []
        for part in path:
            if _holds(here, part):
                here = here[part]
                kept.append(part)
        best = max(best, tuple(kept), key=len)
    return best


def _exact(spot: Spot, path: Sequence[object]) -> Spot | None:
    here: Spot | None = spot
    for part in path:
        here = here.children.get(str(part)) if here else None
    return here


def _holds(here: Any, part: object) -> bool:
    if isinstance(here, dict):
        return part in here
    return isinstance(here, list) and isinstance(part, int) and part < len(here)


_GONE = object()


def _change(trees: Sequence[dict[str, Any]], path: Sequence[object], value: object = _GONE) -> bool:
    """Put a value at an existing path, or take out what is there; a list loses more than its item."""
    done = False
    for tree in trees:
        steps: list[Any] = [tree]
        for part in path:
            here = steps[-1]
            inside = part in here if isinstance(here, dict) else isinstance(here, list) and isinstance(part, int)
            if not inside or (isinstance(here, list) and typing.cast(int, part) >= len(here)):
                break
            steps.append(here[part])
        else:
            done = True
            if value is not _GONE:
                steps[-2][path[-1]] = value
                continue
            # taking an item out would move the others away from their spots
            last = max(at for at, here in enumerate(steps[:-1]) if isinstance(here, dict))
            del steps[last][path[last]]
    return done


def keys(shape: Any) -> list[str]:
    """The keys of a model type, empty where they are free."""
    shapes = [one for one in _alternatives(shape) if _is_model(one)]
    return [name for one in shapes for name in one.model_fields]


def child(shape: Any, part: object) -> Any:
    """The type of what stands under a key of this type."""
    for one in _alternatives(shape):
        if _is_model(one):
            if part in one.model_fields:
                return one.model_fields[part].annotation
        elif arguments := typing.get_args(one):
            return arguments[-1 if typing.get_origin(one) is dict else 0]
    return None


def _alternatives(shape: Any) -> list[Any]:
    while typing.get_origin(shape) is Annotated:
        shape = typing.get_args(shape)[0]
    if typing.get_origin(shape) in (Union, types.UnionType):
        return [one for member in typing.get_args(shape) for one in _alternatives(member)]
    return [shape]


def _is_model(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, pydantic.BaseModel)
