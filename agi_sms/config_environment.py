"""Settings from the environment: `AGI_SMS_PBX__MAIN__ARI__PASSWORD` is `pbx.main.ari.password`."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

from agi_sms.config_files import Broken, Reader, scalar
from agi_sms.config_mistakes import ENVIRONMENT as PREFIX
from agi_sms.config_mistakes import Spot, guarded, secretive
from agi_sms.config_words import child, keys

DELIMITER = "__"
WELL_KNOWN = frozenset({"AGI_SMS_CONFIG", "AGI_SMS_SPECS"})  # no settings: read by the command line and by tests
# what Docker links and Kubernetes set for a service that is called agi-sms
_FOREIGN = re.compile(r"AGI_SMS_(SERVICE_(HOST|PORT)|PORT)(_.*)?|AGI_SMS_(ENV|NAME)(_.*)?")
_MOST_LEVELS = 12


def read(reader: Reader, shape: type[pydantic.BaseModel], tree: Mapping[str, Any]) -> tuple[dict[str, Any], Spot]:
    """The overrides as a tree and its spots. Names of one's own, like a provider's, are found in `tree`.

    Upper case stands for any case, and `_` for `-` and `.`, in the names of nodes, providers and the like.
    """
    values: dict[str, Any] = {}
    spots = Spot("environment", 0, "")
    environ = reader.environ or {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in WELL_KNOWN or _FOREIGN.fullmatch(variable):
            continue
        parts = variable.removeprefix(PREFIX).split(DELIMITER)[:_MOST_LEVELS]
        raw = environ[variable].encode("utf-8", "replace").decode()
        path = _path(parts, shape, tree)
        if secretive(key := ".".join(path)) or guarded(key):
            reader.mistakes.secrets.add(raw)
        spot = Spot("environment", 0, variable)
        if not _put(values, spots, path, _value(raw, variable, reader, spot), spot):
            reader.mistakes.add(spot, "cannot stand together with the shorter variable that sets what is around it")
    return values, spots


def merge(spot: Spot, over: Spot) -> None:
    """Lay the environment's spots over the files'."""
    for name, child_spot in over.children.items():
        mine = spot.children.get(name)
        if mine is None or not child_spot.children:
            spot.children[name] = child_spot
        else:
            merge(mine, child_spot)


def _value(raw: str, variable: str, reader: Reader, spot: Spot) -> Any:
    """A scalar, or a list or mapping in brackets. Where text is wanted, `spot.raw` gives it back."""
    value = scalar(raw)
    if raw.lstrip()[:1] in ("[", "{"):
        try:
            value, inside = reader.yaml(raw, spot.file, key=variable, fill=False)
        except Broken:
            value = raw
        else:
            spot.children = inside.children
            _flatten(spot)
    if not isinstance(value, str):
        spot.raw = raw
    return value if raw else ""


def _flatten(spot: Spot) -> None:
    for inner in spot.children.values():
        inner.line = 0
        _flatten(inner)


def _put(values: dict[str, Any], spots: Spot, path: list[str], value: Any, spot: Spot) -> bool:
    names = spot.key.split(DELIMITER)
    for depth, part in enumerate(path[:-1], 1):
        inner: Any = values.setdefault(part, {})
        if not isinstance(inner, dict):
            return False
        values = inner
        spots = spots.children.setdefault(part, Spot(spot.file, 0, DELIMITER.join(names[:depth])))
    if path[-1] in values:
        return False
    values[path[-1]] = value
    spots.children[path[-1]] = spot
    return True


def _path(parts: list[str], shape: Any, tree: Any) -> list[str]:
    path: list[str] = []
    for part in parts:
        known: Iterable[str] = keys(shape) or (tree if isinstance(tree, Mapping) else ())
        name = next((name for name in known if _plain(name) == _plain(part)), part.lower())
        path.append(name)
        tree = tree.get(name) if isinstance(tree, Mapping) else None
        shape = child(shape, name)
    return path


def _plain(name: str) -> str:
    return re.sub(r"[-.]", "_", name).lower()
