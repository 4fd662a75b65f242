"""Sends over any HTTP API that a mapping of settings can describe (`http_settings.Settings`).

What failed before the request was written is ProviderDown; what failed later is Uncertain (see `http_client`).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from aiohttp import abc

from agi_sms import errors, harmless, http_body, http_client, message, ports, under_way
from agi_sms.providers import free_places, http_answer, http_mask, http_request, http_settings, polling, receipts

log = structlog.get_logger(__name__)

_SMALL = 1024  # bytes that are read without a thread: in a few milliseconds, whatever they are
_SMALL_HEADERS = 2048  # of their names and values together


class HttpProvider:
    """One company's API."""

    Settings = http_settings.Settings
    confirms = ports.Confirms.ACCEPTANCE

    def __init__(
        self,
        name: str,
        settings: http_settings.Settings,
        *,
        resolver: Callable[[], abc.AbstractResolver] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self.idempotent = settings.idempotent
        self.on_uncertain = settings.on_uncertain
        self.timeout = 2 * settings.timeout  # for a free place, then for the request
        self._settings = settings
        self._clock = clock
        self._builder = http_request.Builder(settings)
        self._mask = http_request.Mask(settings)
        self._reader = http_answer.Reader(settings.answer, self._mask)
        self._receipts = None
        if settings.receipts is not None:
            secret = {name: value.get_secret_value() for name, value in settings.secret.items()}
            self._receipts = receipts.Reader(settings.receipts, secret, self._mask)
        self._poller = None
        if settings.polling is not None:
            self._poller = polling.Poller(settings, settings.polling, self._mask)
        self._client = http_client.Client(ca_file=settings.ca_file, resolver=resolver)
        self._places = free_places.Places(settings.concurrency, settings.timeout)
        self._under_way = under_way.UnderWay()
        self._closed = False

    async def send(self, submission: ports.Submission) -> message.Outcome:
        """One request, at most one. Raises nothing but CancelledError."""
        if self._closed:
            return message.ProviderDown(code="closed", detail="this provider was replaced, or is shutting down")
        if submission.segments > self._settings.segments:
            said = f"the text takes {submission.segments} segments, this provider at most {self._settings.segments}"
            return message.Rejected(code="segments", detail=said)
        hide = http_mask.TextMask(submission.text)
        try:
            request = self._builder.build(submission)
        except http_request.Unsendable as error:
            return message.Rejected(code="request", detail=self._words(str(error), hide))
        with self._under_way:
            try:
                await self._places.take()
            except TimeoutError:
                return message.ProviderDown(code="busy", detail=f"all {self._settings.concurrency} places are taken")
            try:
                return await self._ask(request, hide)
            finally:
                self._places.give()

    async def _exchange(self, request: http_request.Request, most: int) -> http_body.Raw | http_client.Fault:
        answer = await self._client.exchange(request, timeout=self._settings.timeout, most=most)
        if isinstance(answer, http_client.Fault) and answer.bug is not None:
            log.error(_BUG, provider=self.name, exc_info=answer.bug)
        return answer

    async def _ask(self, request: http_request.Request, hide: http_mask.TextMask) -> message.Outcome:
        answer = await self._exchange(request, http_answer.LARGEST)
        if isinstance(answer, http_client.Fault):
            kind = message.Uncertain if answer.written else message.ProviderDown
            return kind(code=answer.code, detail=self._words(answer.detail, hide))
        try:
            small = len(answer.body) <= _SMALL and "Content-Encoding" not in answer.headers
            if self._reader.slow or not small:  # up to 100 ms, in which no call would be served
                return await asyncio.to_thread(self._reader.read, answer, self._clock(), hide)
            return self._reader.read(answer, self._clock(), hide)
        except Exception as error:
            log.exception(_BUG, provider=self.name)
            return message.Uncertain(code="broken", detail=self._words(f"{type(error).__name__}: {error}", hide))

    @property
    def reports(self) -> bool:
        """Whether receipts are to be expected: the settings say how they look, and where they come in."""
        return self._receipts is not None and bool(self._settings.receipt_url)

    def quick(self, notice: ports.Notice) -> bool:
        """Whether reading this notice takes no thread: a millisecond or so, whatever is in it."""
        if self._receipts is None or not self._receipts.quick or len(notice.body) + len(notice.url) > _SMALL:
            return False
        return sum(len(name) + len(value) for name, value in notice.headers.items()) <= _SMALL_HEADERS

    def read(self, notice: ports.Notice) -> ports.Report:
        """The receipts in a notice, and the acknowledgement. Computing only, up to some 100 ms for a body of 64 KiB.

        Raises errors.ReceiptForged where it is not from the company, errors.ReceiptError where it cannot be read.
        """
        if self._receipts is None:
            raise errors.ReceiptError("this provider's settings say nothing of receipts")
        return self._receipts.read(notice, self._clock())

    @property
    def pace(self) -> ports.Pace | None:
        """How often it is asked what became of messages, None where it is not."""
        polled = self._settings.polling
        return ports.Pace(every=polled.every, most=polled.most) if polled is not None else None

    async def ask(self, awaited: Sequence[ports.Awaited]) -> ports.Told:
        """What became of these; a question that is not answered is the last one. Raises only CancelledError."""
        found: list[ports.Receipt] = []
        told = ports.Told()
        for question in self._poller.questions(awaited) if self._poller is not None else ():
            with self._under_way:
                told = await self._put(self._poller, question)
            found += told.receipts
            if told.fault and not told.receipts:
                break
        return replace(told, receipts=tuple(found))

    async def _put(self, poller: polling.Poller | None, question: polling.Question) -> ports.Told:
        if self._closed or poller is None:
            return ports.Told(fault="this provider was replaced, or is shutting down")
        answer = await self._exchange(question.request, polling.LARGEST)
        if isinstance(answer, http_client.Fault):
            return ports.Told(fault=self._words(f"{answer.code}: {answer.detail}"))
        try:
            return await asyncio.to_thread(poller.read, question, answer, self._clock())
        except Exception as error:
            log.exception(_BUG, provider=self.name)
            return ports.Told(fault=self._words(f"{type(error).__name__}: {error}"))

    async def close(self) -> None:
        """Wait for requests under way (each ends by its own deadline), then let the connections go."""
        self._closed = True
        await self._under_way.ended()
        await self._client.close()

    def _words(self, text: str, hide: Callable[[str], str] = lambda text: text) -> str:
        return harmless.clipped(hide(self._mask(text)))


_BUG = "a bug in the HTTP provider, or in the library below it"
