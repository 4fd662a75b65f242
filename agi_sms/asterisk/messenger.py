"""What one Asterisk sends for us: SIP MESSAGEs over ARI or AMI, SMS by a modem's driver over AMI.

An action or a request is written at most once. What failed before it was written is ProviderDown, what Asterisk
refused in so many words was certainly not sent, and what was written and got no answer is Uncertain.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import Collection, Mapping
from datetime import timedelta

import structlog
import yarl

from agi_sms import durations, errors, harmless, http_body, http_client, message
from agi_sms.asterisk import ami_client, link
from agi_sms.asterisk.settings import Ami, Ari

FRESH = 2.0  # seconds after which a silent connection is probed before anything is written to it
PROBE_EVERY = 10.0  # seconds between two signs of life while listening
RIGHTS_HINT = "check manager.conf: the user's write must have message (SIP), its read and write call (modems)"
LARGEST_BODY = 40_000  # bytes of an ARI request; Asterisk refuses those over 40 KiB
_LARGEST_ANSWER = 16 * 1024
_EVENTS = "call"  # the class of what modems' drivers report

log = structlog.get_logger(__name__)


class Messenger:
    """One Asterisk as a way of sending. Whatever it does is an Outcome; nothing is raised but CancelledError.

    An error in Asterisk's own words is Retry with the code `refused`, for the caller to judge.
    """

    def __init__(self, pbx: str, *, ari: Ari | None, ami: Ami | None) -> None:
        """Nothing is connected before it is needed."""
        self._pbx = pbx
        self._ari = ari
        self._ami = ami
        self._client = None if ari is None else http_client.Client(ca_file=ari.ca_file)
        self._turn = asyncio.Lock()  # where Asterisk hangs, one action is in doubt, and those behind it are not
        self._open: contextlib.AsyncExitStack | None = None
        self._connection: ami_client.Connection | None = None
        self._used_at = 0.0
        self._closed = False

    async def send_message(
        self,
        *,
        to: str,
        sender: str,
        body: str,
        over: str,
        patience: timedelta,
    ) -> message.Outcome:
        """Hand one SIP MESSAGE to Asterisk's SIP stack, `over` "ari" or "ami"; what the peer answers, nobody hears.

        `to` is a message address such as pjsip:ENDPOINT/sip:USER@HOST. Without its sip: part, and without a contact
        of that endpoint's own, Asterisk 22.10.1 crashes.
        """
        if over == "ami":
            fields = {"To": to, "From": sender, "Base64Body": base64.b64encode(body.encode()).decode()}
            return await self.action("MessageSend", fields, patience=patience)
        return await self._put("endpoints/sendMessage", {"to": to, "from": sender, "body": body}, patience)

    async def action(
        self,
        name: str,
        fields: Mapping[str, str],
        *,
        patience: timedelta,
    ) -> message.Outcome:
        """One AMI action, by which something is sent. Accepted carries the answer's ID, where it has one."""
        if self._closed:
            return message.ProviderDown(code="closed", detail="the gateway is shutting down")
        if self._ami is None:
            return message.ProviderDown(code="settings", detail=f"pbx {self._pbx} has no ami")
        written = False
        try:
            async with asyncio.timeout(patience.total_seconds()), self._turn:
                try:
                    connection = await self._connected(self._ami)
                    written = True
                    (answer, *_) = await connection.act(name, fields)
                except ami_client.Unsendable:
                    raise
                except BaseException:  # nobody waits any more for what that connection may still bring
                    await self._drop()
                    raise
        except ami_client.Unsendable as error:
            return message.Rejected(code="value", detail=_words(error))
        except TimeoutError:
            return _late(patience, written=written)
        except errors.PbxRefused as error:
            return message.ProviderDown(code="denied", detail=f"{_words(error)}; {RIGHTS_HINT}")
        except errors.PbxError as error:
            if written and isinstance(error, ami_client.Unanswered):
                return message.Uncertain(code="unanswered", detail=_words(error))
            return message.ProviderDown(code="connect", detail=_words(error))
        self._used_at = asyncio.get_running_loop().time()
        said = harmless.clipped(str(answer.message))
        if not answer.success:
            return message.Retry(code="refused", detail=said)
        named = harmless.clipped(str(answer.get("id", "")))
        return message.Accepted(detail=said, ids=(named,) if named else ())

    async def listen(self, names: Collection[str], take: ami_client.TakeEvent) -> None:
        """Keep a connection of its own, and hand over events of these names, until cancelled. Without AMI, wait."""
        if self._ami is None:
            await asyncio.get_running_loop().create_future()
            return
        wanted = {name.lower() for name in names}

        def chosen(event: Mapping[str, str]) -> None:
            if event.get("event", "").lower() in wanted:
                try:
                    take(event)
                except Exception:  # one event's fault is not the connection's
                    log.exception("a bug in reading an event of Asterisk", pbx=self._pbx)

        door = link.Link(self._pbx, "events")
        while True:
            pause = 0.0
            try:
                async with ami_client.connected(self._ami, events=_EVENTS, take=chosen) as connection:
                    await connection.ping()
                    door.up()
                    while True:
                        await asyncio.wait({connection.lost}, timeout=PROBE_EVERY)
                        await connection.ping()  # raises where the connection is lost
            except errors.PbxRefused as error:
                pause = door.refused(error, RIGHTS_HINT)
            except errors.PbxError as error:
                pause = door.down(error)
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Let go of every connection."""
        self._closed = True
        async with self._turn:
            await self._drop()
        if self._client is not None:
            await self._client.close()

    # --- AMI --------------------------------------------------------------------------------------------------

    async def _connected(self, settings: Ami) -> ami_client.Connection:
        """A connection that has just shown a sign of life. Raises errors.PbxError."""
        idle = asyncio.get_running_loop().time() - self._used_at
        if self._connection is not None and not self._connection.lost.done():
            if idle <= FRESH:
                return self._connection
            with contextlib.suppress(errors.PbxError):
                await self._connection.ping()
                return self._connection
        await self._drop()
        self._open = contextlib.AsyncExitStack()
        self._connection = await self._open.enter_async_context(ami_client.connected(settings))
        return self._connection

    async def _drop(self) -> None:
        opened, self._open, self._connection = self._open, None, None
        if opened is not None:
            await opened.aclose()

    # --- ARI --------------------------------------------------------------------------------------------------

    async def _put(self, path: str, fields: Mapping[str, str], patience: timedelta) -> message.Outcome:
        """One PUT. aiohttp, and aioari above it, would write it twice on a broken connection; `http_client` does not.

        Asterisk 22.10.1 answers 404 for what did not leave; in old versions that was 202 too.
        """
        if self._closed:
            return message.ProviderDown(code="closed", detail="the gateway is shutting down")
        if self._ari is None or self._client is None:
            return message.ProviderDown(code="settings", detail=f"pbx {self._pbx} has no ari")
        body = json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")
        if len(body) > LARGEST_BODY:
            return message.Rejected(code="too_long", detail=f"longer than {LARGEST_BODY} bytes")
        login = f"{self._ari.username}:{self._ari.password.get_secret_value()}".encode()
        request = http_client.Request(
            method="PUT",
            url=yarl.URL(f"{self._ari.url}ari/{path}", encoded=True),
            headers={
                "Authorization": "Basic " + base64.b64encode(login).decode(),
                "Content-Type": "application/json; charset=utf-8",
            },
            body=body,
        )
        answer = await self._client.exchange(request, timeout=patience, most=_LARGEST_ANSWER)
        if isinstance(answer, http_client.Fault):
            kind = message.Uncertain if answer.written else message.ProviderDown
            return kind(code=answer.code, detail=_words(answer.detail))
        return _judged(answer)


def _judged(answer: http_body.Raw) -> message.Outcome:
    """What ARI's answer says of a message."""
    code = str(answer.status)
    said = harmless.clipped(answer.body.decode(errors="replace"))
    match answer.status:
        case 200 | 202 | 204:
            return message.Accepted(code=code)
        case 401 | 403:
            return message.ProviderDown(code=code, detail="Asterisk refuses us: check ari.conf, and read_only = no")
        case 400 | 413:
            return message.Rejected(code=code, detail=said)
        case 404:
            return message.Retry(code="refused", detail=said)
        case 503:
            return message.ProviderDown(code=code, detail=said)
    return message.Uncertain(code=code, detail=said)


def _late(patience: timedelta, *, written: bool) -> message.Outcome:
    if written:
        return message.Uncertain(code="timeout", detail=f"no answer within {durations.show(patience)}")
    return message.ProviderDown(code="timeout", detail=f"no connection to Asterisk within {durations.show(patience)}")


def _words(error: object) -> str:
    return harmless.clipped(str(error))
