"""What Asterisk sends for us."""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Protocol

from agi_sms import message


class PbxMessenger(Protocol):
    """One Asterisk as a way of sending. Whatever it does is an Outcome; its own no is Retry with the code `refused`."""

    async def send_message(self, *, to: str, sender: str, body: str, over: str, patience: timedelta) -> message.Outcome:
        """Hand one SIP MESSAGE to its SIP stack, `over` "ari" or "ami"; what the peer answers, nobody hears."""

    async def action(self, name: str, fields: Mapping[str, str], *, patience: timedelta) -> message.Outcome:
        """One AMI action, by which something is sent. Accepted carries the answer's ID, where it has one."""

    async def listen(self, names: Collection[str], take: Callable[[Mapping[str, str]], None]) -> None:
        """Hand over AMI's events of these names, until cancelled."""

    async def close(self) -> None: ...
