"""Whether the dialplan's events are heard over AMI, and when to log in anew because they are not.

A connection keeps the rights that its user had at the login: `read = user` in manager.conf and `manager reload` are for
the next one. Asterisk tells nobody which rights these are [22.10.1, 16.28]. There is to go by what manager.conf says,
which may not be loaded yet, and what it no longer says stays in force; and visits in AstDB of which no event told.
"""

import enum
from collections.abc import Callable
from typing import Any

from agi_sms import errors
from agi_sms.asterisk import ami_client, config_answer

EVENTS = config_answer.EVENTS
ON_THE_WAY = 10.0  # seconds that an event may come after the visit of which it tells
AGAIN_EVERY = 60.0  # seconds between two logins, or two looks into manager.conf
MOST_LOGINS = 10  # after a change of manager.conf: it may be loaded minutes later, and no call need come for hours

UNHEARD_HINT = "check manager.conf: the user needs read = user, or such visits wait for the next look, 30 s at most"


class Reads(enum.Enum):
    """What manager.conf says of our user: whether it hears what the dialplan sends."""

    YES = enum.auto()
    NO = enum.auto()
    UNKNOWN = enum.auto()  # it may not be asked, or there is no such section


class Hearing:
    """Watches one PBX over all its connections. Nothing is lost by a login anew: who hears nothing has none."""

    def __init__(self, user: str, log: Any, *, heard: Callable[[], int]) -> None:
        """`heard` counts the events that have come, whosever they are."""
        self._user = user
        self._log = log
        self._heard = heard
        self._reads = Reads.UNKNOWN
        self._missed = False  # a visit was there, and no event has come since
        self._hope = 0  # logins that are worth a try, as manager.conf has changed
        self._logins = 0
        self._told = Reads.UNKNOWN
        self._before = 0  # events before this connection
        self._again_at = 0.0
        self._thorough = False
        self._doubt: float | None = None  # until when an event may still come
        self._away = False

    @property
    def deaf(self) -> bool:
        """Whether this connection hears nothing, by what manager.conf says and by what has been heard."""
        return self._reads is Reads.NO and self._heard() == self._before

    async def begin(self, connection: ami_client.Connection, now: float) -> None:
        """A connection is logged in. Raises errors.PbxUnreachable."""
        if self._heard() > self._before:  # in the last moment of the one before
            self._hears()
        self._thorough, self._doubt, self._away = self._thorough and self._away, None, False
        self._before, self._again_at = self._heard(), now + AGAIN_EVERY
        self._found(await _reads(connection, self._user))
        self._thorough = self._thorough and self._reads is Reads.NO  # now there would be an event

    def looked(self, *, untold: bool, thorough: bool, now: float) -> None:
        """After each look into AstDB. `untold`: visits that an event should have told of were there, and none did.

        What is found by a look of our own should have been told of, if the look before it was `thorough`; its event may
        still be on the way.
        """
        if untold and self._thorough:
            self._doubt = now + ON_THE_WAY
        self._thorough = thorough

    def leave(self, now: float) -> None:
        """The connection is closed until the next look, which takes up where the last one ended; none is on the way."""
        self._away = True
        if self._doubt is not None:
            self._doubt = now
        self._settle(now)

    async def again(self, connection: ami_client.Connection, now: float) -> bool:
        """Now and then: whether to log in anew. Raises errors.PbxUnreachable."""
        if self._heard() > self._before:
            self._hears()
            return False
        self._settle(now)
        if now < self._again_at:
            return False
        self._again_at = now + AGAIN_EVERY
        if self._reads is not Reads.NO and not (self._missed or self._hope):
            return False
        self._found(await _reads(connection, self._user))
        if self._reads is Reads.NO or not (self._missed or self._hope):
            return False
        self._hope = max(0, self._hope - 1)
        self._logins += 1
        return True

    def _settle(self, now: float) -> None:
        if self._doubt is None or now < self._doubt:
            return
        if not self._missed:
            self._log.warning("visits were in AstDB and no event told of them", hint=UNHEARD_HINT)
            self._missed = True
        self._doubt = None

    def _hears(self) -> None:
        if self._missed or self._logins:
            self._log.info("events of the dialplan are heard now", logins=self._logins)
        self._missed, self._hope, self._logins, self._doubt = False, 0, 0, None
        self._told = self._reads = Reads.YES  # whatever manager.conf said when it was asked

    def _found(self, reads: Reads) -> None:
        if reads is Reads.YES and self._reads is Reads.NO:
            self._log.info("manager.conf gives the AMI user read = user now, logging in anew", most=MOST_LOGINS)
            self._hope = MOST_LOGINS
        elif reads is Reads.NO and self._told is not Reads.NO:
            hint = "manager.conf: read = user, where the dialplan uses agi-sms-event or UserEvent; then manager reload"
            self._log.info("by manager.conf the AMI user hears no events of the dialplan", hint=hint)
            self._told = reads
        self._reads = reads


async def _reads(connection: ami_client.Connection, user: str) -> Reads:
    try:
        (answer, *_) = await connection.action("GetConfig", Filename="manager.conf", Category=user)
    except errors.PbxError:
        if connection.lost.done():
            raise
        return Reads.UNKNOWN
    if not config_answer.has_section(answer):
        return Reads.UNKNOWN
    said = dict(config_answer.lines(answer)).get("read", "")
    return Reads.YES if config_answer.hears_user_events(said) else Reads.NO
