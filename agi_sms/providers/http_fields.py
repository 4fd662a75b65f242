"""The parts of a request as settings name them: address, headers, query and body, each a template that is checked."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import pydantic

from agi_sms import errors, harmless, http_words
from agi_sms.providers import templates

_OURS = frozenset({"content-length", "transfer-encoding", "connection", "accept-encoding"})


def _template(source: str, *, in_url: bool = False) -> str:
    try:
        templates.compiled(source, in_url=in_url)
    except errors.TextError as error:
        raise ValueError(str(error)) from error
    return source


def _scalar(value: object) -> object:
    """YAML's numbers and truth values, as they were probably meant in a form or an address."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _url(source: str) -> str:
    http_words.check_address(source, login="auth.basic", templates="{{ }} only in path and query")
    return _template(source, in_url=True)


def _header_name(name: str) -> str:
    http_words.check_header_name(name, _OURS)
    return name


def _header_value(source: str) -> str:
    if any(harmless.hidden(c) for c in source):
        raise ValueError("a header's value must be one line without control characters")
    return _template(source)


def _json_body(body: dict[str, Any]) -> dict[str, Any]:
    for where, source in leaves(body):
        try:
            _template(source)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    try:
        json.dumps(body, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot be written as JSON: {error}") from error
    return body


def leaves(body: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every string in a nested body, with its place."""
    match body:
        case str():
            yield where, body
        case dict():
            for key, value in body.items():
                yield from leaves(value, f"{where}.{key}" if where else str(key))
        case list():
            for i, value in enumerate(body):
                yield from leaves(value, f"{where}[{i}]")


Plain = Annotated[str, pydantic.BeforeValidator(_scalar), pydantic.AfterValidator(_template)]
HeaderName = Annotated[str, pydantic.AfterValidator(_header_name)]
HeaderValue = Annotated[str, pydantic.BeforeValidator(_scalar), pydantic.AfterValidator(_header_value)]
Url = Annotated[str, pydantic.AfterValidator(_url)]


class Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Body(Part):
    """What the request carries: one of three forms."""

    form: dict[str, Plain] | None = None
    json_: Annotated[dict[str, Any], pydantic.AfterValidator(_json_body)] | None = pydantic.Field(
        default=None, alias="json"
    )
    text: Plain | None = None

    @pydantic.model_validator(mode="after")
    def _one(self) -> "Body":
        if sum(part is not None for part in (self.form, self.json_, self.text)) != 1:
            raise ValueError("write one of form, json, text")
        return self
