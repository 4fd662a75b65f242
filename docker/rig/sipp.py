"""Real SIP calls: sipp in a container, as a caller or as a phone that is called."""

import collections.abc
import dataclasses
import functools
import re
import time
import types
import typing

from rig import errors, ports, sipp_process

if typing.TYPE_CHECKING:
    from rig.asterisk import Asterisk

REFUSALS = (
    302,
    400,
    401,
    403,
    404,
    405,
    408,
    410,
    415,
    420,
    480,
    481,
    482,
    483,
    484,
    485,
    486,
    487,
    488,
    500,
    501,
    502,
    503,
    504,
    600,
    603,
    604,
    606,
)
TAKEN = "Address already in use"  # somebody was quicker: another run, or Asterisk for its RTP
FOREVER_MS = 600_000
TONE = bytes((0x80, 0x9E, 0xFF, 0x1E, 0x00, 0x1E, 0x7F, 0x9E)) * 1000  # 1 kHz, one second of µ-law

Privacy = typing.Literal["id", "anonymous"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """What became of one call, as the caller saw it; times in ms from its INVITE, None where it did not happen."""

    call_id: str
    status: int | None
    ringing_ms: float | None
    answer_ms: float | None
    end_ms: float | None

    @property
    def answered(self) -> bool:
        """Tell whether the call was answered."""
        return self.status == 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What became of all calls of one caller."""

    calls: tuple[Call, ...]
    errors: str

    @property
    def call(self) -> Call:
        """The only call; raises errors.RigError where there is not exactly one."""
        if len(self.calls) != 1:
            raise errors.RigError(f"{len(self.calls)} calls instead of one: {self.errors}")
        return self.calls[0]


class Calls:
    """Calls that are under way; wait() for what becomes of them."""

    def __init__(self, start: collections.abc.Callable[[], sipp_process.Process], deadline: float) -> None:
        self._start = start
        self._sipp = start()
        self._end = time.monotonic() + deadline

    def finished(self) -> bool:
        """Tell whether all calls are over. Where somebody was quicker to take its port, sipp is started anew."""
        if not self._sipp.finished():
            return False
        if self._sipp.messages() or TAKEN not in self._sipp.errors() or time.monotonic() > self._end:
            return True
        self.stop()
        self._sipp = self._start()
        return False

    def wait(self) -> Result:
        """Wait until all calls are over; raises errors.NotReady when they are not within the deadline."""
        while not self.finished():
            if time.monotonic() > self._end:
                said = self._sipp.errors()
                self.stop()
                raise errors.NotReady(f"calls not over within the deadline: {said}")
            time.sleep(0.01)
        self._sipp.stop()
        result = Result(calls=_calls(self._sipp.messages()), errors=self._sipp.errors())
        self._sipp.remove_files()
        return result

    def stop(self) -> None:
        """End sipp at once, without a word to Asterisk: as a caller whose network went away."""
        self._sipp.stop()
        self._sipp.remove_files()


def place_async(
    asterisk: "Asterisk",
    number: str,
    *,
    caller: str = "+48600100200",
    caller_name: str | None = None,
    raw_caller_name: bytes | None = None,
    privacy: Privacy | None = None,
    trusted: bool = False,
    calls: int = 1,
    rate: float = 10.0,
    hold: float = 2.0,
    hangup_after_ms: int | None = None,
    headers: dict[str, str] | None = None,
    digits: str = "",
    talk: bool = False,
    deadline: float = 30.0,
) -> Calls:
    """Place SIP calls to a number, and return at once.

    rate is in calls a second. hold is how many seconds the caller stays after the answer if nobody else hangs up;
    hangup_after_ms hangs up so many ms after the INVITE, or after the answer if that came first. raw_caller_name
    goes between the quotes of the display name byte by byte. digits are pressed after the answer; talk sends a tone
    from then on, where otherwise the caller is silent. privacy "id" shows the number and asks for privacy,
    "anonymous" hides it too; both send the number as P-Asserted-Identity, which only a trusted caller is believed.
    """
    host = asterisk_host(trusted)
    name = raw_caller_name if raw_caller_name is not None else _quoted(caller_name)
    identity = f"<sip:{caller}@{host}>".encode()
    shown = b"<sip:anonymous@anonymous.invalid>" if privacy == "anonymous" else identity
    sent_headers = dict(headers or {})
    if privacy:
        sent_headers |= {"Privacy": "id", "P-Asserted-Identity": f"<sip:{caller}@{host}>"}
    if privacy == "anonymous":
        name = b"Anonymous"
    patience = FOREVER_MS if hangup_after_ms is None else hangup_after_ms
    wait = f'timeout="{patience}" ontimeout="cancel"'
    stay = round(hold * 1000) if hangup_after_ms is None else hangup_after_ms
    scenario = sipp_process.scenario(
        "caller.xml",
        {
            "HEADERS": "\n".join(f"{key}: {value}" for key, value in sent_headers.items()) or "Allow: INVITE, ACK, BYE",
            "REFUSALS": "\n".join(
                f'  <recv response="{code}" optional="true" next="refused" {wait}/>' for code in REFUSALS
            ),
            "PATIENCE": str(patience),
            "HOLD": str(max(stay, 1)),
            "MEDIA": _media(digits, talk),
        },
    )
    start = functools.partial(
        sipp_process.Process,
        scenario,
        [
            "-s",
            number,
            "-m",
            str(calls),
            "-l",
            str(calls),
            "-r",
            str(rate),
            "-timeout",
            f"{round(deadline)}s",
            "-timeout_error",
        ],
        host=host,
        remote=f"{asterisk.host}:{asterisk.sip_port}",
        values={"caller": b'"' + name + b'" ' + shown if name else shown},
        files={"voice.ulaw": TONE} if talk else {},
    )
    return Calls(start, deadline + 5)


def place(
    asterisk: "Asterisk",
    number: str,
    *,
    caller: str = "+48600100200",
    caller_name: str | None = None,
    raw_caller_name: bytes | None = None,
    privacy: Privacy | None = None,
    trusted: bool = False,
    calls: int = 1,
    rate: float = 10.0,
    hold: float = 2.0,
    hangup_after_ms: int | None = None,
    headers: dict[str, str] | None = None,
    digits: str = "",
    talk: bool = False,
    deadline: float = 30.0,
) -> Result:
    """Place SIP calls and wait until they are over; the arguments are those of place_async()."""
    return place_async(
        asterisk,
        number,
        caller=caller,
        caller_name=caller_name,
        raw_caller_name=raw_caller_name,
        privacy=privacy,
        trusted=trusted,
        calls=calls,
        rate=rate,
        hold=hold,
        hangup_after_ms=hangup_after_ms,
        headers=headers,
        digits=digits,
        talk=talk,
        deadline=deadline,
    ).wait()


class Phone:
    """A phone that can be dialled at PJSIP/phone/URI; a context manager.

    It rings for ring seconds and answers, unless it is busy. Then it stays until the caller hangs up; hangup_after
    makes it hang up first, transfer_to makes it hand the caller to that extension (talk seconds after the answer).
    """

    def __init__(
        self,
        *,
        ring: float = 0.1,
        busy: bool = False,
        hangup_after: float | None = None,
        transfer_to: str | None = None,
        talk: float = 0.2,
        host: str = "127.0.0.1",
    ) -> None:
        """Say what the phone does; it is there from start() on."""
        talk_part = ""
        if transfer_to is not None:
            talk_part = sipp_process.part("transfer.part.xml", {"SECONDS": _ms(talk), "TRANSFER_TO": transfer_to})
        elif hangup_after is not None:
            talk_part = sipp_process.part("hangup.part.xml", {"SECONDS": _ms(hangup_after)})
        self._scenario = sipp_process.scenario(
            "phone.xml",
            {
                "BUSY": sipp_process.part("busy.part.xml", {}) if busy else "",
                "RING": _ms(ring),
                "TALK": talk_part,
                "NOTIFIED": sipp_process.part("notified.part.xml", {}) if transfer_to is not None else "",
            },
        )
        self._host = host
        self._sipp: sipp_process.Process | None = None

    def start(self) -> None:
        """Start the phone, and return when it can be called."""
        end = time.monotonic() + 20
        while True:
            self._sipp = sipp_process.Process(self._scenario, [], host=self._host)
            while ports.is_free(self._sipp.port) and not self._sipp.finished() and time.monotonic() < end:
                time.sleep(0.02)
            if not self._sipp.finished() and not ports.is_free(self._sipp.port):
                return
            said = self._sipp.errors()
            self.stop()
            if TAKEN not in said or time.monotonic() > end:
                raise errors.NotReady(f"the phone did not start: {said}")

    @property
    def uri(self) -> str:
        """The address to dial it at."""
        if self._sipp is None:
            raise errors.RigError("the phone is not started")
        return f"sip:phone@{self._host}:{self._sipp.port}"

    @property
    def dial(self) -> str:
        """What Dial() takes, and AddQueueMember() with a state interface such as Custom:phone of its own."""
        return f"PJSIP/phone/{self.uri}"

    def calls(self) -> int:
        """Return how many calls have reached it."""
        rows = self._sipp.messages() if self._sipp else []
        return len({row[4] for row in rows if len(row) == 7 and row[6].startswith("INVITE ")})

    def stop(self) -> None:
        """End the phone."""
        if self._sipp is not None:
            self._sipp.stop()
            self._sipp.remove_files()
            self._sipp = None

    def __enter__(self) -> typing.Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.stop()


# --- parts -----------------------------------------------------------------------------------------------


def asterisk_host(trusted: bool) -> str:
    """Return the address from which a caller is believed about a withheld number, or not."""
    return "127.0.0.2" if trusted else "127.0.0.1"


def _quoted(name: str | None) -> bytes:
    """Return a display name as the inside of a SIP quoted string (RFC 3261, 25.1)."""
    return re.sub(r'(["\\])', r"\\\1", name or "").encode()


def _media(digits: str, talk: bool) -> str:
    """Return what the caller sends after the answer."""
    pressed = sipp_process.part("digits.part.xml", {"DIGITS": digits}) if digits else ""
    return pressed + (sipp_process.part("talk.part.xml", {}) if talk else "")


def _ms(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _calls(rows: list[list[str]]) -> tuple[Call, ...]:
    """Read the calls out of sipp's message log, in the order in which they were placed.

    A call for which it sent no INVITE is not its own: Asterisk repeats its BYE to whoever had the port before.
    """
    seen: dict[str, list[tuple[float, str, str, str]]] = {}
    for row in rows:
        if len(row) == 7:  # date, time, seconds, direction, call id, CSeq, first line
            seen.setdefault(row[4], []).append((float(row[2]) * 1000, row[3], row[5].split()[-1], row[6]))
    ours = {row[4] for row in rows if len(row) == 7 and row[3] == "S" and row[5].split()[-1] == "INVITE"}
    return tuple(_call(call_id, events) for call_id, events in seen.items() if call_id in ours)


def _call(call_id: str, events: list[tuple[float, str, str, str]]) -> Call:
    """Read one call: its events are when (ms), direction, CSeq method and first line."""
    invite = next(when for when, direction, method, _ in events if direction == "S" and method == "INVITE")
    status = ringing = answer = None
    for when, direction, method, line in events:
        if direction == "R" and method == "INVITE" and line.startswith("SIP/2.0 "):
            code = int(line.split()[1])
            if code in (180, 183) and ringing is None:
                ringing = when - invite
            if code >= 200 and status is None:
                status = code
                answer = when - invite if code == 200 else None
    end = events[-1][0] - invite if status is not None else None
    return Call(call_id=call_id, status=status, ringing_ms=ringing, answer_ms=answer, end_ms=end)
