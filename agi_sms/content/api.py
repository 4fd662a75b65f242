"""Asks the customer's system over HTTP for a node's text."""

import asyncio
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog
import yarl
from aiohttp import abc

from agi_sms import durations, harmless, http_body, http_client, http_words, message, ports, under_way
from agi_sms.content import reading
from agi_sms.content import request as requests
from agi_sms.content import settings as api_settings

log = structlog.get_logger(__name__)

_SMALL = 1024  # bytes that are read without a thread: in a few milliseconds, whatever they are


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What came back. `size` is in bytes, as they came; `whole` False where there were more of them."""

    status: int
    content_type: str
    size: int
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One question and what came of it, for people: nothing secret is in it.

    `asked` is None where no request could be made. `followed` are the addresses it was redirected to. The
    beginning of the answer's body is `result.excerpt`. `seconds` are those from the question to `result`.
    """

    result: ports.Answer | ports.NoAnswer
    asked: requests.Asked | None = None
    followed: tuple[str, ...] = ()
    answered: Answered | None = None
    seconds: float = 0.0


@dataclass
class _Going:
    """How far one fetch has come."""

    began: float
    request: http_client.Request | None = None
    raw: http_body.Raw | None = None
    followed: tuple[yarl.URL, ...] = ()

    @property
    def spent(self) -> timedelta:
        return timedelta(seconds=asyncio.get_running_loop().time() - self.began)


# Few, since they share one interpreter with the event loop: long answers wait for each other, and no call for them.
_READERS = futures.ThreadPoolExecutor(2, "agi-sms-reading")


class ApiSource:
    """One node's source of texts: one request for each fetch, which is never repeated here."""

    def __init__(
        self,
        name: str,
        settings: api_settings.Api,
        *,
        templated: bool = False,
        resolver: Callable[[], abc.AbstractResolver] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        url = yarl.URL(settings.url, encoded=True)
        self.name = name
        self.host = f"{url.scheme}://{url.host_subcomponent}:{url.port}".lower()
        self.timeout = settings.timeout  # reading the answer included
        self._settings = settings
        self._clock = clock
        self._builder = requests.Builder(settings)
        self._reader = reading.Reader(settings, templated=templated)
        self._mask = http_words.Mask(settings.secrets())
        self._client = http_client.Client(
            ca_file=settings.ca_file,
            resolver=resolver,
            private_addresses=settings.private_addresses == "allow",
            keep_alive=False,  # one that the host closes just then would count as its fault
        )
        self._under_way = under_way.UnderWay()
        self._closed = False

    async def fetch(self, question: ports.Question) -> ports.Answer | ports.NoAnswer:
        """The text for one activation. Raises nothing but CancelledError."""
        result, _ = await self._fetch(question)
        return result

    async def exchange(self, question: ports.Question) -> Exchange:
        """The same, telling what was asked and answered."""
        result, going = await self._fetch(question)
        raw = going.raw
        return Exchange(
            result=result,
            asked=self._builder.shown(going.request) if going.request is not None else None,
            followed=tuple(self._mask(str(url)) for url in going.followed),
            answered=Answered(
                status=raw.status,
                content_type=harmless.clipped(self._mask(raw.headers.get("Content-Type", "")), 100),
                size=len(raw.body),
                whole=raw.whole,
            )
            if raw is not None
            else None,
            seconds=going.spent.total_seconds(),
        )

    async def close(self) -> None:
        """Wait for what is under way (each ends by its own deadline), then let the connections go."""
        self._closed = True
        await self._under_way.ended()
        await self._client.close()

    async def _fetch(self, question: ports.Question) -> tuple[ports.Answer | ports.NoAnswer, _Going]:
        going = _Going(began=asyncio.get_running_loop().time())
        if self._closed:
            detail = "this source was replaced, or is shutting down"
            return _unreachable("closed", detail, host_fault=False), going
        with self._under_way:
            try:
                result = await self._ask(question, going)
            except Exception as error:
                log.exception(_BUG, node=self.name)
                result = _unreachable("bug", f"a fault in agi-sms: {type(error).__name__}", host_fault=False)
        return self._masked(result), going

    async def _ask(self, question: ports.Question, going: _Going) -> ports.Answer | ports.NoAnswer:
        request = going.request = self._builder.build(question, self._clock())
        while True:
            raw = await self._client.exchange(
                request, timeout=self.timeout, most=self._settings.max_size, spent=going.spent
            )
            if isinstance(raw, http_client.Fault):
                return self._no_answer(raw)
            going.raw = raw
            location = raw.headers.get("Location", "")
            if not self._settings.redirects or raw.status not in requests.REDIRECTS or not location:
                return await self._read(raw, going)
            if len(going.followed) == requests.MOST_REDIRECTS:
                return _unfollowed(raw, f"it is one more than {requests.MOST_REDIRECTS}")
            try:
                request = self._builder.redirected(request, raw.status, location, self._clock())
            except requests.Unfollowed as error:
                return _unfollowed(raw, str(error))
            going.followed += (request.url,)

    async def _read(self, raw: http_body.Raw, going: _Going) -> ports.Answer | ports.NoAnswer:
        if len(raw.body) <= _SMALL and not self._reader.slow and "Content-Encoding" not in raw.headers:
            return self._reader.read(raw)
        try:
            async with asyncio.timeout((self.timeout - going.spent).total_seconds()):
                return await asyncio.get_running_loop().run_in_executor(_READERS, self._reader.read, raw)
        except TimeoutError:
            detail = f"its answer could not be read within {durations.show(self.timeout)} of asking"
            return ports.NoAnswer(
                reason=message.Reason.CONTENT_TIMEOUT, code=str(raw.status), detail=detail, again=True
            )

    def _no_answer(self, fault: http_client.Fault) -> ports.NoAnswer:
        if fault.bug is not None:
            log.error(_BUG, node=self.name, exc_info=fault.bug)
            return _unreachable("bug", fault.detail, host_fault=False)
        if fault.code == "timeout":
            return ports.NoAnswer(
                reason=message.Reason.CONTENT_TIMEOUT,
                code=fault.code,
                detail=fault.detail,
                again=True,
                host_fault=True,
            )
        if fault.code == "private":  # our own refusal: it is the same next time, and says nothing of the host
            return replace(_unreachable(fault.code, fault.detail, host_fault=False), again=False)
        return _unreachable(fault.code, fault.detail, host_fault=True)

    def _masked(self, result: ports.Answer | ports.NoAnswer) -> ports.Answer | ports.NoAnswer:
        """Without secrets that the other side repeats; only the text and the fields are as they came."""
        excerpt = self._mask.clipped(result.excerpt)[: ports.LONGEST_EXCERPT]
        if isinstance(result, ports.Answer):
            return replace(result, excerpt=excerpt)
        return replace(result, excerpt=excerpt, detail=harmless.clipped(self._mask.clipped(result.detail)))


def _unreachable(code: str, detail: str, *, host_fault: bool) -> ports.NoAnswer:
    return ports.NoAnswer(
        reason=message.Reason.CONTENT_UNREACHABLE, code=code, detail=detail, again=True, host_fault=host_fault
    )


def _unfollowed(raw: http_body.Raw, why: str) -> ports.NoAnswer:
    detail = f"a redirect, not followed: {why}"
    return ports.NoAnswer(reason=message.Reason.CONTENT_REFUSED, code=str(raw.status), detail=detail)


_BUG = "a bug in the content source, or in the library below it"
