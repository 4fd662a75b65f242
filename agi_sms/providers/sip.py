"""Sends SIP MESSAGEs (RFC 3428) through an Asterisk, to whoever takes them as SMS there.

What it says yes to is `handover`: Asterisk's SIP stack has the message. Whether the peer took or refused it, Asterisk
tells nobody, so after a yes nothing else is tried; what certainly did not leave is ProviderDown or Rejected.
"""

import re
import urllib.parse
from typing import Annotated, Literal

import pydantic

from agi_sms import errors, harmless, message, ports, segments, under_way
from agi_sms.providers import common, templates

_NUMBER = re.compile(r"\+?[0-9]{1,20}")
# Without a sip: address Asterisk 22.10.1 crashes, where the endpoint has no contact.
_TO = re.compile(r"pjsip:[^\s/:@<>\"]+/sips?:[^\s/@<>\"]+@[^\s/@<>\"]+")
_USER = "-_.!~*'()&=+$,"  # RFC 3261, 25.1: what stands in a user part as it is, except the separators ; ? /


def _values(submission: ports.Submission) -> dict[str, object]:
    """What `to` and `from` can name, written so that it is nothing but a user part."""
    known = templates.values(submission, {})
    return {name: urllib.parse.quote(str(known[name]), safe=_USER) for name in ("to", "sender", "ref", "node")}


def _template(value: str) -> str:
    try:
        shown = templates.Template(value).render(_values(templates.SAMPLE))
    except errors.TextError as error:
        raise ValueError(str(error)) from error
    if not shown.isprintable():
        raise ValueError("must be one line without control characters")
    return value


def _to(value: str) -> str:
    shown = templates.Template(_template(value)).render(_values(templates.SAMPLE))
    if not _TO.fullmatch(shown):
        raise ValueError("must be like pjsip:ENDPOINT/sip:{{ to }}@sms.example, with an endpoint of pjsip.conf")
    if shown == templates.Template(value).render(_values(templates.SAMPLE) | {"to": "+1"}):
        raise ValueError("must name the recipient: {{ to }}, or {{ to|digits }}")
    return value


class SipSettings(common.Settings):
    """`type: sip`. `over` AMI a message has at most 750 bytes, and the AMI user needs the right `message`."""

    type: Literal["sip"] = "sip"
    pbx: Annotated[str, pydantic.Field(min_length=1)]
    to: Annotated[str, pydantic.AfterValidator(_to)]
    sender: Annotated[str, pydantic.Field(alias="from"), pydantic.AfterValidator(_template)] = "{{ sender }}"
    over: Literal["ari", "ami"] = "ari"


class SipProvider:
    """One peer, reached through one Asterisk."""

    Settings = SipSettings
    confirms = ports.Confirms.HANDOVER
    idempotent = False

    def __init__(self, name: str, settings: SipSettings, messenger: ports.PbxMessenger) -> None:
        self.name = name
        self.on_uncertain = settings.on_uncertain
        self.timeout = settings.timeout
        self._over = settings.over
        self._to = templates.Template(settings.to)
        self._from = templates.Template(settings.sender)
        self._messenger = messenger
        self._under_way = under_way.UnderWay()
        self._closed = False

    async def send(self, submission: ports.Submission) -> message.Outcome:
        """One MESSAGE, at most one. Raises nothing but CancelledError."""
        if self._closed:
            return message.ProviderDown(code="closed", detail="this provider was replaced, or is shutting down")
        if not _NUMBER.fullmatch(submission.to):
            return message.Rejected(code="to", detail="the recipient is no number")
        values = _values(submission)
        try:
            to, sender = self._to.render(values), self._from.render(values)
        except errors.TextError as error:
            return message.Rejected(code="settings", detail=harmless.clipped(str(error)))
        if not _TO.fullmatch(to):
            return message.Rejected(code="to", detail="no SIP address can be made of this recipient")
        with self._under_way:
            outcome = await self._messenger.send_message(
                to=to,
                sender=sender,
                body=segments.clean(submission.text),  # a zero byte would end it for Asterisk
                over=self._over,
                patience=self.timeout,
            )
        match outcome:
            case message.Accepted():
                return message.Accepted(code=outcome.code, ids=(f"{self.name}-{submission.ref}-{submission.attempt}",))
            case message.Retry(code="refused"):  # whatever the number: no such endpoint, no transport
                detail = f"Asterisk could not send it ({outcome.detail}): see its log; is {to.split('/')[0]} right?"
                return message.ProviderDown(code=outcome.code, detail=harmless.clipped(detail))
        return outcome

    async def close(self) -> None:
        """Wait for what is under way; each ends by its own deadline."""
        self._closed = True
        await self._under_way.ended()
