"""What tests of faults share: gateways that are stopped again, and books that must balance."""

import pathlib
import re
import sqlite3
import types
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from rig.asterisk import Asterisk
from tests.acceptance.gateway import Gateway, wait_for

TAIL = 6000  # characters
WATCHDOG_MS = 2000  # of the subroutine
MARGIN_MS = 1000  # a busy machine; the watchdog itself is exact to a few ms
NODES: dict[str, dict[str, Any]] = {
    "many": {"recipients": "+48600100300", "content": {"text": "one each"}},
    "once": {"recipients": "+48600100300", "content": {"text": "one per call"}, "once_per_call": True},
}
# One visit; what the dialplan saw of it (AGISMS_STATUS, milliseconds by Asterisk's clock) goes into Asterisk's log.
VISIT = """
[visit]
exten => s,1,Set(LOCAL(before)=${STRFTIME(,,%s%3q)})
 same => n,Gosub(agi-sms,s,1(${ARG1}))
 same => n,Verbose(1,visited ${ARG1} ${AGISMS_STATUS} $[${STRFTIME(,,%s%3q)} - ${before}] ms)
 same => n,Return()
"""
_VISITED = re.compile(r": visited (\S+) (\S+) (\d+) ms$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One visit as the dialplan saw it."""

    node: str
    status: str
    took_ms: int


def missed(asterisk: Asterisk) -> set[str]:
    """The visits that wait in AstDB."""
    return set(asterisk.database("agi-sms"))


def parked(asterisk: Asterisk) -> int:
    """How many channels are in the node."""
    rows = asterisk.cli("core show channels concise").splitlines()
    return sum(row.split("!")[5:6] == ["Stasis"] for row in rows)


def _rows(gateway: Gateway, sql: str) -> list[dict[str, Any]]:
    """Read the gateway's file beside it: a command would cost half a second each time."""
    if not gateway.database.exists():
        return []
    database = sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True, timeout=10)
    database.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in database.execute(sql)]
    finally:
        database.close()


def activations(gateway: Gateway) -> list[dict[str, Any]]:
    """What the gateway has on disk of each visit, oldest first."""
    rows = _rows(gateway, "SELECT id, pbx, visit, node, call_id, entry FROM activations ORDER BY id")
    assert len({(row["pbx"], row["visit"]) for row in rows}) == len(rows)
    return rows


def wait_activations(gateway: Gateway, count: int, *, deadline: float = 30) -> list[dict[str, Any]]:
    """The activations, once there are as many; fails where there are more."""
    wait_for(f"{count} activations", lambda: len(activations(gateway)) >= count, deadline=deadline)
    rows = activations(gateway)
    assert len(rows) == count
    return rows


def messages(gateway: Gateway) -> Counter[tuple[str, str]]:
    """How many messages there are of each node in each status."""
    return Counter((row["node"], row["status"]) for row in _rows(gateway, "SELECT node, status FROM messages"))


def wait_messages(gateway: Gateway, expected: Mapping[tuple[str, str], int], *, deadline: float = 30) -> None:
    """Until exactly these messages, by node and status, are there; then the command line must say the same."""
    try:
        wait_for("the messages", lambda: messages(gateway) == expected, deadline=deadline)
    except AssertionError as error:
        raise AssertionError(f"{error}: {messages(gateway)} instead of {expected}") from None
    assert Counter((row["node"], row["status"]) for row in gateway.history()) == expected


class Lab:
    """The gateways of one test; a context manager that stops them and shows what they and Asterisk said."""

    def __init__(self, asterisk: Asterisk, directory: pathlib.Path) -> None:
        self.asterisk = asterisk
        self._directory = directory
        self._gateways: list[Gateway] = []
        self._log_begins = len(asterisk.log())

    def gateway(self, nodes: Mapping[str, Any] | None = None, **more: Any) -> Gateway:
        """A gateway that does not run yet; the arguments are Gateway's."""
        directory = self._directory / f"gateway-{len(self._gateways)}"
        self._gateways.append(Gateway(directory, self.asterisk, NODES if nodes is None else nodes, **more))
        return self._gateways[-1]

    def seen(self) -> list[Seen]:
        """Every visit of this test, as VISIT wrote it down."""
        found = _VISITED.findall(self.asterisk.log()[self._log_begins :])
        return [Seen(node=node, status=status, took_ms=int(took)) for node, status, took in found]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        for gateway in self._gateways:
            try:
                gateway.stop()
            finally:
                print(f"--- {gateway.directory.name} said\n{gateway.said()[-TAIL:]}")
        print(f"--- Asterisk said\n{self.asterisk.log()[self._log_begins :][-TAIL:]}")
