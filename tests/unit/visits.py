"""A node and a visit to it, for the tests of the pure files."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agi_sms import call, node, numbers, text

NOW = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
MOBILE, LANDLINE = "+48600100200", "+48221131415"
PL = numbers.Rules(region="PL")


def make_node(source: str = "Hello", **changed: Any) -> node.Node:
    values: dict[str, Any] = {"name": "desk", "revision": "r1", "template": text.Template(source, name="text")}
    return node.Node(**(values | changed))


def make_visit(
    *,
    caller: str = MOBILE,
    presentation: str = "allowed",
    caller_name: str = "",
    dialled: str = "",
    diverted_from: str = "",
    variables: Mapping[str, str] | None = None,
    **changed: Any,
) -> call.Visit:
    at = call.Call(
        pbx="main",
        key="main/1795439100.12",
        call_id="1795439100.12",
        caller=caller,
        presentation=presentation,
        caller_name=caller_name,
        dialled=dialled,
        diverted_from=diverted_from,
        variables=variables or {},
    )
    values: dict[str, Any] = {"id": "v1", "node": "desk", "entry": call.Entry.ARI, "arrived_at": NOW, "call": at}
    return call.Visit(**(values | changed))
