"""Real calls by sipp: each load one sipp, that dials its numbers in order. What became of them is read from its log."""

import pathlib
import re
import shutil
import time
from collections.abc import Sequence

from rig import errors, sipp, sipp_process
from rig.asterisk import Asterisk
from tests.chaos import lists, plan

PATIENCE_MS = 15_000  # of a caller who stays: an Asterisk that was killed says nothing more
LINGER = 90.0  # seconds after the last call was placed, with every retransmission that SIP has
NUMBER = b"[field0]"  # where sipp puts the next line of numbers.csv


class Callers:
    """Loads under way."""

    def __init__(self, asterisk: Asterisk, loads: Sequence[plan.Load]) -> None:
        self._sipps = [_start(asterisk, load) for load in loads]
        self._loads = loads
        self._end = time.monotonic() + max(len(load.numbers) / load.rate for load in loads) + LINGER

    def finished(self) -> bool:
        """Whether all calls are over; raises errors.NotReady where they are not in time."""
        if all(one.finished() for one in self._sipps):
            return True
        if time.monotonic() > self._end:
            raise errors.NotReady(
                "calls not over within the deadline: " + " ".join(one.errors() for one in self._sipps)
            )
        return False

    def made(self) -> list[lists.Made]:
        """Every call that was placed."""
        return [
            made
            for load, one in zip(self._loads, self._sipps, strict=True)
            for made in read(one.messages(), load.numbers, stays=load.leave_after_ms is None)
        ]

    def said(self) -> str:
        """What the sipps complained of."""
        return "\n".join(one.errors() for one in self._sipps)

    def stop(self, keep: pathlib.Path) -> None:
        """End what is left, and move sipp's logs into a folder."""
        for number, one in enumerate(self._sipps):
            one.stop()
            shutil.copytree(one.directory, keep / f"sipp-{number}", dirs_exist_ok=True)
            one.remove_files()


def _start(asterisk: Asterisk, load: plan.Load) -> sipp_process.Process:
    patience = load.leave_after_ms or PATIENCE_MS
    wait = f'timeout="{patience}" ontimeout="cancel"'
    refusals = (f'  <recv response="{code}" optional="true" next="refused" {wait}/>' for code in sipp.REFUSALS)
    named = {
        "HEADERS": "Allow: INVITE, ACK, BYE",
        "REFUSALS": "\n".join(refusals),
        "PATIENCE": str(patience),
        "HOLD": str(patience),
        "MEDIA": "",
    }
    calls = str(len(load.numbers))
    return sipp_process.Process(
        sipp_process.scenario("caller.xml", named).replace(b"[service]", NUMBER),
        ["-inf", "numbers.csv", "-m", calls, "-l", calls, "-r", str(load.rate), "-deadcall_wait", "500"],
        host=asterisk.host,
        remote=f"{asterisk.host}:{asterisk.sip_port}",
        values={"caller": f"<sip:+48600100200@{asterisk.host}>".encode()},
        files={"numbers.csv": "\n".join(["SEQUENTIAL", *load.numbers, ""]).encode()},
    )


def read(rows: list[list[str]], numbers: Sequence[str], *, stays: bool) -> list[lists.Made]:
    """sipp's message log, of one sipp: the calls in the order in which they were placed."""
    events: dict[str, list[tuple[float, str, str, str]]] = {}
    for row in rows:
        if len(row) == 7:  # date, time, seconds, direction, call id, CSeq, first line
            events.setdefault(row[4], []).append((float(row[2]), row[3], row[5].split()[-1], row[6]))
    found = []
    for call_id, seen in events.items():
        number = re.match(r"\d+", call_id)
        if number is None or seen[0][1:3] != ("S", "INVITE"):
            continue  # not a call of ours: something that came late
        answers = [line for _, way, method, line in seen if (way, method) == ("R", "INVITE")]
        statuses = [int(line.split()[1]) for line in answers if line.startswith("SIP/2.0 ")]
        final = next((status for status in statuses if status >= 200), None)
        dialled = numbers[int(number[0]) - 1]
        found.append(
            lists.Made(call=call_id, number=dialled, at=seen[0][0], until=seen[-1][0], status=final, stays=stays)
        )
    return found
