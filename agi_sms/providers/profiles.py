"""Profiles: one YAML file per company, which fills in the settings of `type: http`.

Beside these settings a profile says who it is for and how its facts were proved (`Head`). It holds no secrets: what the
operator has to give stands under `needs`, what he may give under `optional`. A profile in one of the operator's own
folders wins over the shipped one of that name.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from agi_sms import config_files, config_words, errors
from agi_sms.config_mistakes import Mistakes, Spot
from agi_sms.providers import http_request, http_settings, templates

SHIPPED = Path(__file__).with_name("profiles")
ENDINGS = (".yaml", ".yml")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NEED = re.compile(r"[A-Za-z_]+(\.[A-Za-z0-9_-]+)*")
_SAMPLES = {"url": "https://sms.example/send"}


def _prose(value: str) -> str:
    if not value.strip() or "\n" in value.strip():
        raise ValueError("must be one line of text")
    return value.strip()


def _need(name: str) -> str:
    if not _NEED.fullmatch(name):
        raise ValueError("must be a key of the settings, like secret.token or url")
    return name


def _link(value: str) -> str:
    if not re.fullmatch(r"https?://\S+", value):
        raise ValueError("must be an address, https://...")
    return value


Prose = Annotated[str, pydantic.AfterValidator(_prose)]
Needs = dict[Annotated[str, pydantic.AfterValidator(_need)], Prose]


class Head(pydantic.BaseModel):
    """What a profile says of itself. `sources` is what fact is from which page, document or library."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    title: Prose
    docs: Annotated[str, pydantic.AfterValidator(_link)]
    # third-party software, official document, documents only
    proof: Literal["software", "document", "documentation"] = "documentation"
    sources: dict[str, Prose] = pydantic.Field(default_factory=dict)
    needs: Needs = pydantic.Field(default_factory=dict)
    optional: Needs = pydantic.Field(default_factory=dict)
    notes: tuple[Prose, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A profile without mistakes: `settings` is what it fills in, `spot` says where each value stands."""

    name: str
    origin: Path
    head: Head
    settings: Mapping[str, Any]
    spot: Spot = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a profile can do, in words for a table; all of it follows from its data."""

    name: str
    title: str
    auth: str  # bearer, basic, header, query, or query values, form values, ...
    unicode: str  # stated (the request says so), automatic (the company finds out)
    sender: str  # yes, or no where the account or the phone decides
    receipts: str  # how they are verified, or asked for (the company tells when it is asked), or no
    idempotent: str  # yes where it dedupes by our ref
    ids: str  # how a receipt finds its message: id (the company's), ref (ours), both
    proof: str


# --- reading ------------------------------------------------------------------------------------------------------


def names(folders: Sequence[Path] = ()) -> list[str]:
    """The names of all profiles, those in the operator's folders included."""
    found = {path.stem for folder in (*folders, SHIPPED) for path in _files(folder)}
    return sorted(name for name in found if _NAME.fullmatch(name))


def load(name: str, folders: Sequence[Path] = ()) -> Profile:
    """A profile, the first of that name in the folders, else the shipped one.

    It takes nothing from the environment: whoever may write a profile is not to read the gateway's secrets by it.
    Raises errors.ConfigError, with `file:line: key: what is wrong` for every mistake in it.
    """
    path = next((path for folder in (*folders, SHIPPED) for path in _files(folder) if path.stem == name), None)
    if path is None or not _NAME.fullmatch(name):
        hint = config_words.nearest(name, names(folders))
        raise errors.ConfigError((f"there is no profile {name[:80]!r}; {hint}",))
    mistakes = Mistakes()
    reader = config_files.Reader(None, mistakes)
    read = reader.mapping(path)
    if read is not None and not read[0]:
        mistakes.add(read[1], "is empty; a profile begins with title and docs")
    found = _checked(name, path, *read, mistakes) if read is not None and read[0] else None
    if found is None or mistakes:
        raise errors.ConfigError(mistakes.texts())
    return found


def expanded(
    own: Mapping[str, Any],
    spot: Spot,
    folders: Sequence[Path],
    mistakes: Mistakes,
) -> tuple[dict[str, Any], Spot] | None:
    """A provider's settings over those of the profile that it names, and where each value stands.

    Keys of its own win, mappings are joined, lists replaced. None where a mistake was noted: in the profile, or that
    something is missing which the profile needs.
    """
    try:
        profile = load(str(own.get("profile")), folders)
    except errors.ConfigError as error:
        for line in error.mistakes:
            mistakes.add(spot.at("profile"), line)
        return None
    tree = _joined(profile.settings, own)
    known = tuple(http_settings.Settings.model_fields)
    unknown = [(key, config_words.nearest(key, known)) for key in own if key not in known]
    for key, hint in unknown:
        mistakes.add(spot.at(key), f"unknown key; {hint}")
    misspelt = {hint.removeprefix("did you mean ").rstrip("?") for _, hint in unknown}
    missing = [
        (name, hint)
        for name, hint in profile.head.needs.items()
        if _at(tree, name) in (None, "") and name.partition(".")[0] not in misspelt
    ]
    for name, hint in missing:
        mistakes.add(spot, f"is missing: {hint}", below=name)
    return None if missing or unknown else (tree, _overlaid(profile.spot, spot))


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in ENDINGS and not path.name.startswith("."))
    except OSError:
        return []


def _checked(name: str, path: Path, tree: dict[str, Any], spot: Spot, mistakes: Mistakes) -> Profile | None:
    head_tree = {key: tree.pop(key) for key in Head.model_fields if key in tree}
    # What a key like secret.token makes look like one, and is none: words for people, and templates.
    mistakes.secrets.difference_update(_texts(head_tree))
    mistakes.secrets.difference_update([text for text in mistakes.secrets if "{{" in text])
    head, _ = config_words.validated(lambda: Head.model_validate(head_tree), Head, (head_tree,), spot, mistakes)
    for key in ("type", "profile", "secret"):
        if key in tree:
            mistakes.add(spot.at(key), "belongs to the provider's own configuration, not to a profile")
            del tree[key]
    known = [*Head.model_fields, *http_settings.Settings.model_fields]
    for key in tree.keys() - set(known):
        mistakes.add(spot.at(key), f"unknown key; {config_words.nearest(key, known)}")
        del tree[key]
    verified = _at(tree, "receipts.verify.secret")
    if head is not None and isinstance(verified, str) and f"secret.{verified}" not in {*head.needs, *head.optional}:
        what = f"nobody is asked for secret.{verified}; name it under needs or optional, with what it is"
        mistakes.add(spot.at("receipts", "verify", "secret"), what)
        head = None
    sampled = _joined(tree, _samples(head) if head is not None else _guessed(tree))
    if sampled.get("receipts") is not None:
        sampled["receipt_url"] = f"https://sms.example/receipts/{name}"
    shape = http_settings.Settings
    config_words.validated(lambda: shape.model_validate(sampled), shape, (sampled,), spot, mistakes)
    if head is None:
        return None
    return Profile(name=name, origin=path, head=head, settings=tree, spot=spot)


def _samples(head: Head) -> dict[str, Any]:
    """Values for what the operator gives, so that the profile can be checked without him."""
    tree: dict[str, Any] = {}
    for name in (*head.needs, *head.optional):
        section, _, key = name.partition(".")
        if section == "secret":
            tree.setdefault("secret", {})[key] = f"sample-{key}"
        elif name in head.needs and name in _SAMPLES:
            tree[name] = _SAMPLES[name]
    return tree


def _guessed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The same, of a profile whose head does not stand: each secret that it names, since what it lacks follows."""
    named = {name for text in _texts(tree) for name in re.findall(r"\bsecret\.(\w+)", text)}
    verified = _at(tree, "receipts.verify.secret")
    named |= {verified} if isinstance(verified, str) else set()
    found: dict[str, Any] = {"secret": {name: f"sample-{name}" for name in named}}
    return found if "url" in tree else found | {"url": _SAMPLES["url"]}


def _texts(tree: Any) -> Iterator[str]:
    match tree:
        case str():
            yield tree
        case dict():
            for value in tree.values():
                yield from _texts(value)
        case list():
            for value in tree:
                yield from _texts(value)


def _joined(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    found = copy.deepcopy(dict(under))
    for key, value in over.items():
        below = found.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        found[key] = _joined(below, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]
    return found


def _overlaid(under: Spot, over: Spot) -> Spot:
    children = dict(under.children)
    for key, mine in over.children.items():
        theirs = children.get(key)
        children[key] = _overlaid(theirs, mine) if theirs is not None and mine.children else mine
    made = copy.copy(over)
    made.children = children
    return made


def _at(tree: Mapping[str, Any], name: str) -> Any:
    here: Any = tree
    for part in name.split("."):
        here = here.get(part) if isinstance(here, Mapping) else None
    return here


# --- the table ----------------------------------------------------------------------------------------------------


def matrix(folders: Sequence[Path] = ()) -> list[Row]:
    """What each profile can do, by name; of those that stand."""
    out = broken(folders)
    return [row(load(name, folders)) for name in names(folders) if name not in out]


def broken(folders: Sequence[Path] = ()) -> dict[str, errors.ConfigError]:
    """The profiles that cannot be used, and why."""
    found: dict[str, errors.ConfigError] = {}
    for name in names(folders):
        try:
            load(name, folders)
        except errors.ConfigError as error:
            found[name] = error
    return found


def row(profile: Profile) -> Row:
    """What one profile can do."""
    settings = http_settings.Settings.model_validate(_joined(profile.settings, _samples(profile.head)))
    used = http_request.names(settings)
    return Row(
        name=profile.name,
        title=profile.head.title,
        auth=_auth(settings),
        unicode="stated" if used & {"unicode", "encoding"} else "automatic",
        sender="yes" if "sender" in used else "no",
        receipts=_receipts(settings),
        idempotent="yes" if settings.idempotent else "no",
        ids=_ids(settings),
        proof=profile.head.proof,
    )


_VERIFIED = {"none": "unverified", "token": "token"}


def _receipts(settings: http_settings.Settings) -> str:
    if settings.receipts is not None:
        return _VERIFIED.get(settings.receipts.verify.scheme, "signed")
    return "asked for" if settings.polling is not None else "no"


def _auth(settings: http_settings.Settings) -> str:
    if settings.auth is not None:
        return next(way for way in ("basic", "bearer", "header", "query") if getattr(settings.auth, way) is not None)
    body = settings.body
    places = {"headers": settings.headers, "query": settings.query, "form": (body and body.form) or {}}
    for place, values in places.items():
        if any(templates.named(value) for value in values.values()):
            return place
    return "json" if body is not None and body.json_ is not None and http_request.secrets(settings) else "none"


def _ids(settings: http_settings.Settings) -> str:
    receipts = settings.receipts
    if receipts is None and settings.polling is not None:
        return settings.polling.by.removesuffix("s")
    if receipts is None:
        return "id" if settings.answer.id is not None else "no"
    ways = ["id"] if settings.answer.id is not None and receipts.id is not None else []
    ways += ["ref"] if receipts.ref is not None else []
    return " and ".join(ways)
