"""The running gateway gives a route to what was made without one, once its configuration has it."""

from typing import Any

from tests.contract.test_service import NODE, TREE, Gateway, gateway, wait_for

__all__ = ["gateway"]

SWISS = {"countries": ["CH"], "providers": ["out"]}


def routed(*ways: dict[str, Any]) -> dict[str, Any]:
    return TREE | {"routes": {"default": list(ways)}, "nodes": {"desk": NODE}}


def held_again(gateway: Gateway, reason: str) -> None:
    """Have it sent again, until the log says that it cannot be."""
    before = gateway.events().count("message not sent")
    gateway("retry", "--node", "desk", "--yes")
    wait_for("it is held", lambda: gateway.events().count("message not sent") > before, gateway.said)
    assert gateway.ask() == [("held", reason)]


def test_what_had_no_route_goes_out_after_the_route_was_mended(gateway: Gateway) -> None:
    gateway.write(routed(SWISS))
    gateway.start()
    gateway("trigger", "desk", "--caller", "+48600100200")
    assert gateway.ask() == [("held", "no_route")]
    held_again(gateway, "no_route")
    gateway.write(routed(SWISS, {"prefixes": ["+48"], "providers": ["out"]}))
    gateway("reload")
    gateway("retry", "--node", "desk", "--yes")
    gateway.comes_to("accepted")
    assert gateway.stop() == 0
    assert len(gateway.sent()) == 1


def test_without_its_node_it_says_so(gateway: Gateway) -> None:
    gateway.write(routed(SWISS))
    gateway.start()
    gateway("trigger", "desk", "--caller", "+48600100200")
    gateway.write(TREE | {"nodes": {"other": NODE}})
    gateway("reload")
    held_again(gateway, "node_missing")
    assert gateway.stop() == 0
