"""What operators' tools ask a running Asterisk over AMI: one method for each question, on a connection of its own.

For `Command` Asterisk writes its answer into a file before it sends it (main/manager.c, action_command), and calls go
on meanwhile. ShowDialPlan is sent with the dialplan locked (main/pbx.c, manager_show_dialplan_helper): of 20,000 steps,
on a busy machine, calls waited for a second; and it tells neither files nor lines. It is for who may not use `Command`.
With a `writetimeout` of 100 ms, Asterisk's default, a long answer may lose pieces; the dialplan then says that it is
cut.
"""

from typing import Any

from agi_sms import dialplan as dialplans
from agi_sms import errors
from agi_sms.asterisk import ami_client
from agi_sms.asterisk.settings import Ami

PATIENCE = 6.0  # times the usual deadline, for a dialplan of thousands of lines


class NoRight(errors.PbxRefused):
    """The AMI user may not ask that."""


class Survey:
    """Questions to one Asterisk. Every method raises errors.PbxError and below."""

    def __init__(self, settings: Ami) -> None:
        self._settings = settings

    async def dialplan(self) -> dialplans.Dialplan:
        """The dialplan, with files and lines where the AMI user has `command`; NoRight says what to write where not."""
        async with ami_client.connected(self._settings, longest=ami_client.LARGEST_ANSWER) as connection:
            try:
                return dialplans.parse_show(await _command(connection, "dialplan show"))
            except errors.PbxRefused:
                return await self._listed(connection)
            except dialplans.Unreadable as error:
                raise errors.PbxError(f"dialplan show: {error}") from error

    async def _listed(self, connection: ami_client.Connection) -> dialplans.Dialplan:
        try:
            answer, *events = await connection.action("ShowDialPlan", patience=PATIENCE)
        except errors.PbxRefused as error:
            user = self._settings.username
            raise NoRight(
                f"the AMI user {user} may not read the dialplan; in manager.conf, in [{user}], "
                "write = system,command would let it (with files and lines), or write = system,reporting (without them)"
            ) from error
        if not answer.success:
            raise errors.PbxError(f"ShowDialPlan: {answer.message}")
        return dialplans.parse_events({str(key).lower(): _text(one[key]) for key in one} for one in events)


async def _command(connection: ami_client.Connection, words: str) -> str:
    """What a command of Asterisk's command line prints."""
    (answer, *_) = await connection.action("Command", patience=PATIENCE, Command=words)
    said: Any = answer.get("Output", "")
    text = "\n".join(map(str, said)) if isinstance(said, list) else str(said)
    if not answer.success:
        raise errors.PbxError(f"{words}: {text or answer.message}")
    return text


def _text(value: Any) -> str:
    """A header that came twice is a list."""
    return str(value[0]) if isinstance(value, list) else str(value)
