"""Shows the SMS in the terminal: the provider of the first run, which needs no account.

What it says yes to is `acceptance`: the line was written, and a failure to write is noticed at once. Nothing
later ever comes, and no phone gets anything.
"""

import io
import os
from typing import Literal

from agi_sms import harmless, message, ports
from agi_sms.providers import common, writer

STDOUT = 1
_WIDEST = 88


class PrintSettings(common.Settings):
    """`type: print` has no settings of its own."""

    type: Literal["print"] = "print"


class PrintProvider:
    """Writes each message to a file descriptor (standard output) in one go."""

    Settings = PrintSettings
    confirms = ports.Confirms.ACCEPTANCE
    idempotent = False

    def __init__(self, name: str, settings: PrintSettings, *, fd: int = STDOUT) -> None:
        self.name = name
        self.on_uncertain = settings.on_uncertain
        self.timeout = settings.timeout
        self._fd = fd
        self._writer = writer.Writer(name)

    async def send(self, submission: ports.Submission) -> message.Outcome:
        """Accepted when written; ProviderDown where no terminal takes anything."""
        try:
            await self._writer.do(lambda: self._write(submission), self.timeout)
        except writer.NotBegun:
            return message.ProviderDown(code="blocked", detail="the terminal takes no output")
        except writer.Unfinished:
            return message.Uncertain(code="blocked", detail="the terminal stopped taking output half-way")
        except OSError as error:
            return message.ProviderDown(code="output", detail=f"cannot write: {error.strerror}")
        return message.Accepted(ids=(f"{self.name}-{submission.ref}-{submission.attempt}",))

    async def close(self) -> None:
        """Wait for the last line, within reason."""
        await self._writer.close()

    def _write(self, submission: ports.Submission) -> None:
        shown = panel(submission, _columns(self._fd)) if os.isatty(self._fd) else plain(submission)
        left = memoryview(shown.encode("utf-8", "backslashreplace"))
        while left:
            left = left[os.write(self._fd, left) :]


def _columns(fd: int) -> int:
    try:
        return os.get_terminal_size(fd).columns or 80
    except OSError:
        return 80


def _facts(submission: ports.Submission) -> tuple[str, str, str]:
    sender = harmless.clipped(submission.sender) or "(default sender)"
    count = submission.segments
    size = f"{submission.encoding.upper()}, {count} segment{'' if count == 1 else 's'}"
    again = f", attempt {submission.attempt}" if submission.attempt > 1 else ""
    rest = f"node {harmless.clipped(submission.node)}, {size}, {harmless.clipped(submission.ref)}{again}"
    return sender, harmless.clipped(submission.to), rest


def plain(submission: ports.Submission) -> str:
    """The message as lines, for a pipe or a log."""
    sender, to, rest = _facts(submission)
    lines = harmless.harmless(submission.text, keep="\n").split("\n")
    return "\n".join([f"SMS {sender} -> {to} ({rest})", *(f"  | {line}" for line in lines), ""])


def panel(submission: ports.Submission, columns: int) -> str:
    """The message as a box of at most `columns` columns, for a terminal."""
    from rich import box, console, panel, text

    sender, to, rest = _facts(submission)
    head = text.Text.assemble(("SMS  ", "bold"), (sender, "cyan"), " → ", (to, "bold green"))
    shown = panel.Panel(
        text.Text(harmless.harmless(submission.text, keep="\n")),
        title=head,
        title_align="left",
        subtitle=text.Text(rest, "dim"),
        subtitle_align="left",
        box=box.ROUNDED,
        border_style="green",
        width=max(20, min(columns, _WIDEST)),
        padding=(0, 1),
    )
    out = io.StringIO()
    console.Console(file=out, force_terminal=True, width=max(20, columns), emoji=False).print(shown)
    return out.getvalue()
