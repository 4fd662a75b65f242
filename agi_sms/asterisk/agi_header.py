"""The header by which Asterisk opens a FastAGI connection, and which of its lines are Asterisk's own.

They are `key: value` lines in a fixed order with an empty one behind them, and nothing in a value is escaped. So a
caller's name with line breaks in it looks like more lines, or like the end of the header. What comes before the first
value that a stranger can have sent is Asterisk's; so is what comes behind the last of them, the arguments. Between the
two, a key that is there twice counts for nothing.

Order: launch_netscript() and setup_env(), res/res_agi.c.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agi_sms.asterisk import arguments

FIRST = "agi_network"
SCRIPT = "agi_network_script"  # only where a script was asked for
HOSTILE = "agi_callerid"  # the first value from a stranger
LAST = "agi_threadid"  # the last line before the arguments
NEEDED = ("agi_request", "agi_channel", "agi_uniqueid")
ORDER = (
    *(FIRST, SCRIPT, "agi_request", "agi_channel", "agi_language", "agi_type", "agi_uniqueid", "agi_version"),
    *(HOSTILE, "agi_calleridname", "agi_callingpres", "agi_callingani2", "agi_callington", "agi_callingtns"),
    *("agi_dnid", "agi_rdnis", "agi_context", "agi_extension", "agi_priority", "agi_enhanced", "agi_accountcode", LAST),
)

_ARGUMENT = re.compile(r"agi_arg_([0-9]{1,3}): (.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What Asterisk said at the beginning.

    `script` is what stood behind the host, in which no stranger has a say, as he may have in `args` while the header
    is not `whole`: one header, with no line break in any value.
    """

    script: str
    args: tuple[str, ...]
    values: Mapping[str, str]
    whole: bool

    @property
    def keys(self) -> frozenset[str]:
        """Which arguments the dialplan handed over, also where they are empty."""
        return frozenset(argument.partition("=")[0].strip() for argument in self.args[1:])


def read(lines: Sequence[str]) -> Header | None:
    """What the lines say; None where no Asterisk can have written them. They may go on behind an empty line."""
    pairs = [line.partition(": ") for line in lines]
    begin = next((at for at, (key, _, _) in enumerate(pairs) if key == HOSTILE), len(pairs))
    end = max((at for at, (key, _, _) in enumerate(pairs) if key == LAST), default=-1)
    own = {key: value for key, _, value in reversed(pairs[:begin])}
    if pairs[:1] != [(FIRST, ": ", "yes")] or not all(own.get(key) for key in NEEDED):
        return None
    middle = pairs[begin : end + 1]
    times = Counter(key for key, _, _ in middle)
    args, orderly = _args(lines[end + 1 :] if end >= 0 else ())
    script = own.get(SCRIPT, "")
    return Header(
        script=script,
        args=tuple(arguments.agi_args(script, args)),
        values={key: value for key, colon, value in middle if colon and times[key] == 1} | own,
        whole=orderly
        and [key for key, _, _ in pairs[: end + 1]] == [key for key in ORDER if key != SCRIPT or key in own],
    )


def _args(lines: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments, and whether there is nothing else among them."""
    found = [_ARGUMENT.fullmatch(line) for line in lines]
    numbers = [int(match[1]) for match in found if match]
    return [match[2] for match in found if match], numbers == list(range(1, len(lines) + 1))
